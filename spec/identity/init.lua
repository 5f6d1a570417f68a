-- init.lua - the same calls natively and under a grate that forwards them all, and what differs
--
--   local identity = require "spec.identity"
--   local found = identity.compare { seed = 1, first = 1, last = 1000, runs = { { host = "trace", style = "copy" } } }
--
-- Everything runs in namespaces of its own as an ordinary user, in a file system in memory. What differs
-- is made again, natively and in a cage: natively it must have been the same each time.

local generate = require "spec.identity.generate"
local namespace = require "spec.namespace"
local outcome = require "spec.identity.outcome"
local support = require "spec.support"

local quote = support.quote

local identity = {}

identity.styles = { "copy", "pass", "through", "families" }

local WORKERS = 6
local USER = 65534
local AGAIN = 2 -- times that what differs is made again

local WORK = "/mnt" -- the same for each run, since calls say where they are

-- Run by sh in new namespaces, with a file for the outcomes, the program that makes the calls, and a command.
local INSIDE = ([[mount -t tmpfs -o mode=1777,size=512m identity WORK && cd WORK && >out && chmod 666 out &&
mkdir bin && mount -t tmpfs identity bin && cp "$2" bin/x && mount -o remount,bind,ro bin || exit 99
to=$1; shift 2
"$@" < /dev/null; status=$?; cat out > "$to"; exit $status]]):gsub("WORK", WORK)

--- Why it cannot run here; nil: it can.
identity.missing = namespace.missing

-- {================================= running ================================

-- The program that makes the calls.
local function tester_of(run)
  local path = ("%s/spec/%s_identity"):format(support.build, run.host == "inline" and "dynamic" or "helper")
  return path:find "^/" and path or support.pwd .. "/" .. path
end

-- The command of a run; natively without a style.
local function command_of(run, plan)
  local words = { "setarch -R" }
  if run.style then
    table.insert(words, ("env -C %s %s run %s %s %s --"):format(quote(support.pwd), support.lencase,
      run.host == "inline" and "--inline" or "", quote(run.script or "spec/identity/grate.lua"), run.style))
  end
  table.insert(words, ("%s/bin/x %s %s/out %s %d %d"):format(WORK, quote(plan), WORK, WORK, WORKERS, USER))
  return table.concat(words, " ")
end

local function outcomes_of(path)
  local list = {}
  for line in io.lines(path) do
    local o = outcome.parse(line)
    list[o.index] = o
  end
  return list
end

-- Makes the calls of a plan: outcomes by index, and what lencase said.
local function run_plan(run, calls, seconds)
  local list, said
  support.in_folder(function(dir)
    local lines = {}
    for i, call in ipairs(calls) do lines[i] = call.line .. "\n" end
    support.write_file(dir .. "/plan", table.concat(lines))
    support.write_file(dir .. "/outcomes", "")
    support.sh(("chmod -R a+rX %s"):format(dir))
    local command = (namespace.of_root and "" or namespace.as_user(USER)) .. command_of(run, dir .. "/plan")
    local _, err, status = support.sh(("timeout -k 5 %d %s sh -c %s sh %s/outcomes %s %s")
      :format(seconds, namespace.start, quote(INSIDE), dir,
      quote(tester_of(run)), command))
    assert(status == 0, ("a run ended with status %s: %s"):format(status, err))
    list, said = outcomes_of(dir .. "/outcomes"), err
  end)
  return list, said
end

-- }==========================================================================

-- {================================ comparing ===============================

local NOTHING = { result = "-", ended = "lost", after = "", slots = {} }

local function different(calls, native, ours)
  local list = {}
  for _, call in ipairs(calls) do
    local a, b = native[call.index] or NOTHING, ours[call.index] or NOTHING
    local ways = outcome.differences(call.name, a, b)
    if #ways > 0 then table.insert(list, { call = call, ways = ways, native = a, ours = b }) end
  end
  return list
end

local function calls_of(differences)
  local calls = {}
  for i, d in ipairs(differences) do calls[i] = d.call end
  return calls
end

-- Makes again what differed and is not settled: it may differ natively, or now and then.
local function confirm(differences, run, options)
  local found = {}
  for _, d in ipairs(differences) do
    if not (options.settled and options.settled(d)) then table.insert(found, d) end
  end
  local calls = calls_of(found)
  if #calls == 0 then return end
  for _ = 1, AGAIN do
    local native, ours = run_plan({ host = run.host }, calls, options.seconds), run_plan(run, calls, options.seconds)
    for _, d in ipairs(found) do
      local a, b = native[d.call.index] or NOTHING, ours[d.call.index] or NOTHING
      if #outcome.differences(d.call.name, d.native, a) > 0 then d.unsteady = true end
      if #outcome.differences(d.call.name, d.native, b) == 0 then d.sometimes = true end
    end
  end
end

---@class identity.run
---@field host "trace"|"inline"
---@field style "copy"|"pass"|"through"|"families"|string
---@field script? string another grate than spec/identity/grate.lua

---@class identity.difference
---@field call identity.call
---@field run identity.run
---@field ways string[] "result", "end", "memory", "effects"
---@field native identity.outcome
---@field ours identity.outcome
---@field unsteady boolean? it is not the same each time natively
---@field sometimes boolean? it does not differ each time

---@class identity.options
---@field seed integer
---@field first integer the calls, by index
---@field last integer
---@field names? string[] of these calls alone
---@field seconds? integer that one run may take
---@field settled? fun(d: identity.difference): boolean whether a difference need not be seen again
---@field runs identity.run[]

--- Compares runs with native ones.
---@param options identity.options
---@return { differences: identity.difference[], said: table<string, string>, calls: integer }
function identity.compare(options)
  options.seconds = options.seconds or 120
  local calls, all, said, native = {}, {}, {}, {}
  for index = options.first, options.last do
    table.insert(calls, generate.call(options.seed, index, generate.signatures(options.names)))
  end
  for _, run in ipairs(options.runs) do
    native[run.host] = native[run.host] or run_plan({ host = run.host }, calls, options.seconds)
    local ours, messages = run_plan(run, calls, options.seconds)
    local found = different(calls, native[run.host], ours)
    for _, d in ipairs(found) do
      d.run = run
      table.insert(all, d)
    end
    confirm(found, run, options)
    said[run.host .. " " .. run.style] = messages
  end
  return { differences = all, said = said, calls = #calls * #options.runs }
end

-- }==========================================================================

return identity
