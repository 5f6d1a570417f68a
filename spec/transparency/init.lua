-- init.lua - real programs natively and under a grate that forwards every call, and what differs
--
--   local transparency = require "spec.transparency"
--   local result = transparency.try(job, "trace")
--
-- A job (spec/transparency/jobs.lua) is run in a folder of its own, which is /mnt for it, in new namespaces: no network
-- but the loopback, where every port is free, and nothing that it started is left. What it printed, how it ended
-- and what its `check` prints afterwards is compared line by line.

local namespace = require "spec.namespace"
local support = require "spec.support"

local quote = support.quote

local transparency = {}

transparency.hosts = { "trace", "inline" }

local function absolute(path) return path:find "^/" and path or support.pwd .. "/" .. path end

local GRATE = quote(absolute "spec/identity/grate.lua") .. " copy"
local USER = 1000
local SECONDS = 60 -- a job that takes longer hangs, if it does not say how long it may
local HUNG = 124 -- timeout(1)

-- Messages that lencase is expected to print; any other is a difference.
local BY_DESIGN = "no variant describes these arguments"

-- Where the jobs' programs are looked for: no version manager's stand-ins, which depend on HOME.
local PATH =
  (support.sh [[printf %s: /usr/lib/postgresql/*/bin /usr/local/go/bin "$HOME/.cargo/bin" \
  /usr/local/sbin /usr/local/bin \
  /usr/sbin /usr/bin /sbin; printf /bin]])

local ENVIRONMENT =
  ("env -i --default-signal PATH=%s HOME=/mnt/home TMPDIR=/mnt/tmp USER=user LOGNAME=user SHELL=/bin/sh "
  .. "LANG=C.UTF-8 LC_ALL=C.UTF-8 TZ=UTC0 TERM=dumb OUTER_HOME=%s TREE=%s "):format(quote(PATH),
    quote(os.getenv "HOME" or "/"), quote(support.pwd))

-- Run by sh, with the job's folder and a command.
local INSIDE =
  ([[ip link set lo up && mount --bind "$1" /mnt && mount --bind "$1/passwd" /etc/passwd && cd /mnt/work || exit 99
shift
%s %s "$@" ]]):format(namespace.as_user(USER), ENVIRONMENT)

local PASSWD = ("root:x:0:0:root:/root:/bin/sh\nuser:x:%d:%d:user:/mnt/home:/bin/sh\n"):format(USER, USER)

-- {================================= running ================================

--- What of a job's needs is not here; nil: nothing.
---@param job transparency.job
---@return string?
function transparency.missing(job)
  local missing = {}
  for command in job.needs:gmatch "%S+" do
    if select(3, support.sh(("PATH=%s command -v %s"):format(quote(PATH), command))) ~= 0 then
      table.insert(missing, command)
    end
  end
  if job.sign and select(3, support.sh(job.sign)) ~= 0 then table.insert(missing, job.package) end
  return missing[1] and ("needs %s"):format(job.package or table.concat(missing, " "))
end

-- Runs a command line's words in a job's folder; its status is in DIR/status, what it printed in DIR/out and DIR/err.
local function inside(dir, seconds, words)
  local line = ("timeout -k 5 %d %s sh -c %s sh %s %s < /dev/null")
    :format(seconds, namespace.start, quote(INSIDE), quote(dir), words)
  local out, err, status, how = support.sh(line)
  return { out = out, err = err, status = how == "exit" and tostring(status) or how .. " " .. status,
           hung = status == HUNG }
end

-- Runs one of a job's scripts, natively or by lencase.
local function run_script(dir, name, script, seconds, before)
  support.write_file(("%s/%s"):format(dir, name), script)
  return inside(dir, seconds, ("%s sh -eu /mnt/%s"):format(before or "", name))
end

-- What is before a job's command: nothing natively.
local function before_of(host, grate)
  if not host then return "" end
  return ("%s run %s %s --")
    :format(quote(absolute(support.lencase)), host == "inline" and "--inline" or "", grate or GRATE)
end

-- }==========================================================================

-- {================================ comparing ===============================

-- Adds a text's lines, each with what it is of.
local function add_lines(lines, what, text)
  for line in (text:gsub("\n$", "") .. "\n"):gmatch "([^\n]*)\n" do table.insert(lines, what .. ": " .. line) end
end

-- What is compared, as lines.
local function account_of(job, ran, checked)
  local lines = {}
  add_lines(lines, "status", ran.hung and ("hangs: ended after %d s"):format(job.seconds or SECONDS) or ran.status)
  for _, stream in ipairs { "out", "err" } do
    local text = ran[stream]
    if stream == "err" then text = text:gsub("lencase: [^\n]*\n", function(line)
      if not line:find(BY_DESIGN, 1, true) then add_lines(lines, "said", line) end
      return ""
    end) end
    for _, pair in ipairs(job.normal or {}) do text = text:gsub(pair[1], pair[2]) end
    if not (job.ignore or ""):find(stream) then add_lines(lines, stream, text) end
  end
  if checked then
    add_lines(lines, "check", checked.out .. checked.err)
    if checked.status ~= "0" then table.insert(lines, "check: status " .. checked.status) end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- Runs a job in a copy of the folder that its setup left.
local function account(job, template, host, grate)
  local text
  support.in_folder(function(dir)
    assert(os.execute(("cp -a %s/. %s"):format(quote(template), quote(dir))))
    local ran = run_script(dir, "command", job.command, job.seconds or SECONDS, before_of(host, grate))
    local checked = job.check and run_script(dir, "check", job.check, SECONDS)
    text = account_of(job, ran, checked)
  end)
  return text
end

-- The lines that are in one account alone, "< " natively, "> " in a cage.
local function difference(native, ours)
  local lines = {}
  support.in_folder(function(dir)
    support.write_file(dir .. "/native", native)
    support.write_file(dir .. "/ours", ours)
    for line in (support.sh(("diff -a %s/native %s/ours"):format(dir, dir))):gmatch "[^\n]+" do
      if line:find "^[<>]" then table.insert(lines, line) end
    end
  end)
  return lines
end

--- The job's rows of what is known to differ on a host.
local function rows_of(job, host)
  local rows = {}
  for _, row in ipairs(job.known or {}) do
    if row.hosts:find(host, 1, true) then table.insert(rows, row) end
  end
  return rows
end

-- The lines that no row knows, and the rows that know none: these no longer differ.
local function sort(lines, rows)
  local new, seen, left, instead = {}, {}, {}, false
  for _, line in ipairs(lines) do
    local known = false
    for _, row in ipairs(rows) do
      if line:find(row.lines or row.instead) then known, seen[row], instead = true, true, instead or row.instead end
    end
    if not known then table.insert(new, line) end
  end
  if instead then new = {} end
  for _, row in ipairs(rows) do
    if not seen[row] and not row.now_and_then then table.insert(left, row) end
  end
  return new, left
end

---@class transparency.job
---@field name string
---@field needs string the commands that it needs
---@field package? string the Debian package that has them, if it is not named as they are
---@field sign? string a command line that succeeds when the package is here
---@field seconds? integer that the command may take
---@field setup? string run once, natively, by `sh -eu` in an empty /mnt/work, with /mnt/home and /mnt/tmp beside it
---@field command string the job, by `sh -eu`
---@field check? string run natively afterwards: what it prints is compared
---@field ignore? string "out", "err" or both: what is not compared
---@field normal? string[][] pairs for string.gsub, of what is not the same each time
---@field short? boolean whether it is in `make test`
---@field known? transparency.known[] what is known to differ

---@class transparency.known
---@field why string
---@field hosts string "trace", "inline" or both
---@field lines? string pattern of the lines that differ
---@field instead? string pattern of a line that is there instead of all of the program
---@field now_and_then boolean? whether it may be missing

---@class transparency.result
---@field host string
---@field native string what is compared with
---@field new string[] the lines that differ and that no row of job.known knows
---@field known string[] the lines that one does
---@field left_over string[] why something was known to differ that no longer does
---@field again boolean? it differed, and a second time not
---@field unusable string? the job itself fails: why

-- Whether a native run says enough to be compared with.
local function unusable(native)
  local status = native:match "^status: ([^\n]*)"
  return status ~= "0" and ("natively it ends with status %s:\n%s"):format(status, native) or nil
end

local function compare(job, template, host, grate, native)
  local lines = difference(native, account(job, template, host, grate))
  local rows = rows_of(job, host)
  local new, left = sort(lines, rows)
  local result = { host = host, new = new, known = {}, left_over = {} }
  for _, row in ipairs(left) do table.insert(result.left_over, row.why) end
  for _, row in ipairs(rows) do table.insert(result.known, row.why) end
  return result
end

--- Runs a job natively and on hosts. What differs is tried once more, with a native run of that time.
---@param job transparency.job
---@param hosts string[]
---@param grate? string another than the one that hands all on: script and arguments
---@return transparency.result[]
function transparency.try(job, hosts, grate)
  local results = {}
  support.in_folder(function(template)
    support.write_file(template .. "/passwd", PASSWD)
    assert(os.execute(("cd %s && mkdir work home tmp && chmod 755 ."):format(quote(template))))
    local set = job.setup and run_script(template, "setup", job.setup, 300)
    if set and set.status ~= "0" then
      results[1] = { unusable = ("its setup ends with status %s: %s"):format(set.status, set.err) }
      return
    end
    local native = account(job, template)
    for i, host in ipairs(hosts) do
      local result = { host = host, unusable = unusable(native) }
      if not result.unusable then
        result = compare(job, template, host, grate, native)
        result.native = native
        if #result.new + #result.left_over > 0 then
          local again = compare(job, template, host, grate, account(job, template))
          again.native, again.again = native, #again.new + #again.left_over == 0 and result.new or nil
          result = again
        end
      end
      results[i] = result
    end
  end)
  return results
end

-- }==========================================================================

return transparency
