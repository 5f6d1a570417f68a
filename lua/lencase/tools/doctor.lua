-- doctor.lua - what the kernel and the environment allow, and what of lencase can be used here
--
--   local report = require "lencase.tools.doctor".examine(core.probe(engine))
--   io.write(doctor.text(report)); report.usable
--
-- The probes (core/host/probe.h) say what works; this file says what follows from it: which hosts and which kinds of
-- entry can be used, and what to do about what is missing.

local doctor = {}

-- What a host and a kind of entry cannot do without; one of a list is enough.
local READING = { "vm-read", "proc-mem", "peek" }

-- Entries that need nothing but the host itself.
local free = {
  { name = "handlers", needs = {} }, { name = "replaced arguments", needs = {} }, { name = "constants", needs = {} },
}

local hosts = {
  { name = "trace", command = "lencase run", other = "inline",
    needs = { "fork", "proc", "threads", "ptrace", READING },
    entries = {
      { name = "handlers", needs = {} },
      { name = "replaced arguments", needs = {} },
      { name = "constants", needs = {} },
      { name = "replaced arguments out of the program's reach", needs = { "window", "addfd", "scm-rights" } },
      { name = "other calls at full speed", needs = { "stop", "unwatched" } },
      { name = "paths below descriptors", needs = { "pids" } },
      { name = "attaching (lencase repl -p)", needs = { "attach" } },
    } },
  { name = "inline", command = "lencase run --inline", other = "trace",
    needs = { "fork", "dispatch", "namespace" }, entries = free },
  { name = "sim", command = "lencase repl, lencase try, specs of grates", needs = {}, entries = free },
}

-- {============================ what to do about it ========================

-- What container profiles allow to processes with the capability.
local BY_CAPABILITY = { ptrace = true, ["vm-read"] = true, ["vm-write"] = true, ["proc-mem"] = true,
                        ["pidfd-getfd"] = true, attach = true, ["sys-ptrace"] = true }

local REFUSED = { EPERM = true, EACCES = true, ENOSYS = true }
local UNKNOWN = { ENOSYS = true, EINVAL = true, ENOTTY = true, EOPNOTSUPP = true }

-- Where more is known about the cause than its errno: text -> what to do, or nil.
local cures = {
  proc = function() return "mount -t proc proc /proc" end,
  pids = function() return "mount -t proc proc /proc" end,
  hidepid = function() return "mount -o remount,hidepid=0 /proc, if you want that" end,
  ["sys-ptrace"] = function() return "be root, or --cap-add SYS_PTRACE" end,
  ["memfd-exec"] = function(p) return p.errno == "EACCES" and "sysctl vm.memfd_noexec=1" or nil end,
  namespace = function() return "make, or make install" end,
  unwatched = function() return "run lencase outside of it" end,
  ptrace = function(p)
    if p.text:find "^process" then return "run it without that tracer" end
    return p.text:find "ptrace_scope is [23]" and "sysctl kernel.yama.ptrace_scope=1 (from 3: after a restart)" or nil
  end,
  attach = function(p)
    return p.text:find "ptrace_scope is" and "sysctl kernel.yama.ptrace_scope=0, or CAP_SYS_PTRACE" or nil
  end,
}

-- A filter is in force, or the probe for it is refused.
local function is_confined(by_name)
  local filter = by_name["outer-filter"]
  return filter.state ~= "ok" or filter.text ~= "none"
end

-- What to do about a probe that is missing; nil: nothing is known.
local function cure_of(p, by_name)
  local cure = cures[p.name] and cures[p.name](p)
  if cure then return cure end
  if p.signal == "SYS" or REFUSED[p.errno] and is_confined(by_name) then
    return "in a container: " .. (BY_CAPABILITY[p.name] and "--cap-add SYS_PTRACE, or " or "")
      .. "--security-opt seccomp=unconfined, or a profile that allows it"
  end
  return UNKNOWN[p.errno] and p.since and ("Linux %s has it"):format(p.since) or nil
end

-- }==========================================================================

-- {================================= verdict ================================

-- The probe that is missing and therefore p was not tried, or p itself.
local function root_of(p, by_name)
  while p.state == "untried" do p = by_name[p.needs] end
  return p
end

-- The probes among `needs` that are missing.
local function missing_of(needs, by_name)
  local missing, seen = {}, {}
  local function add(p)
    if seen[p] then return end
    seen[p] = true
    table.insert(missing, p)
  end
  for _, need in ipairs(needs) do
    local alternatives, without = type(need) == "table" and need or { need }, {}
    for _, name in ipairs(alternatives) do
      if by_name[name].state ~= "ok" then table.insert(without, root_of(by_name[name], by_name)) end
    end
    if #without == #alternatives then
      for _, p in ipairs(without) do add(p) end
    end
  end
  return missing
end

local function names_of(list)
  local names = {}
  for i, p in ipairs(list) do names[i] = p.name end
  return names
end

-- What to do about all of them, without repetitions.
local function cures_of(list)
  local texts, seen = {}, {}
  for _, p in ipairs(list) do
    if p.cure and not seen[p.cure] then table.insert(texts, p.cure) end
    seen[p.cure or ""] = true
  end
  return #texts > 0 and table.concat(texts, "; ") or nil
end

local function judge(thing, by_name)
  local missing = missing_of(thing.needs, by_name)
  if #missing == 0 then return { name = thing.name, usable = true } end
  return { name = thing.name, usable = false, without = names_of(missing), cure = cures_of(missing) }
end

local function judge_host(host, by_name)
  local verdict = judge(host, by_name)
  verdict.command, verdict.entries = host.command, {}
  for i, entry in ipairs(host.entries) do
    verdict.entries[i] = verdict.usable and judge(entry, by_name)
      or { name = entry.name, usable = false, without = verdict.without, cure = verdict.cure }
  end
  return verdict
end

--- What the probes mean: { usable = whether a program can be run, probes =, hosts = }.
---@param probes table[] # of core.probe
---@return table report
function doctor.examine(probes)
  local by_name, report = {}, { usable = false, probes = probes, hosts = {} }
  for _, p in ipairs(probes) do
    p.text = p.text or ""
    by_name[p.name] = p
  end
  for _, p in ipairs(probes) do p.cure = p.state == "missing" and cure_of(p, by_name) or nil end
  for i, host in ipairs(hosts) do
    local verdict = judge_host(host, by_name)
    report.hosts[i] = verdict
    report.usable = report.usable or host.other ~= nil and verdict.usable
  end
  for i, host in ipairs(hosts) do
    for _, other in ipairs(report.hosts) do
      if other.name == host.other and other.usable then report.hosts[i].instead = other.command end
    end
  end
  return report
end

-- }==========================================================================

-- {================================== output ================================

local function line(state, name, text) return ("%-8s %-13s %s\n"):format(state, name, text) end

local function finding(p)
  if p.state == "untried" then return "not tried without " .. p.needs end
  local words = {}
  if p.text ~= "" then table.insert(words, p.text) end
  if p.errno then table.insert(words, p.errno) end
  if p.signal then table.insert(words, "ended by SIG" .. p.signal) end
  return table.concat(words, ": ")
end

local function probe_line(p)
  local found = finding(p)
  local text = p.purpose .. (found ~= "" and ": " .. found or "")
  return line(p.state, p.name, text .. (p.cure and " (" .. p.cure .. ")" or ""))
end

-- "without listener; run lencase outside of it; or lencase run --inline"
local function refusal(verdict, instead)
  local words = { "without " .. table.concat(verdict.without, ", ") }
  table.insert(words, verdict.cure)
  if instead then table.insert(words, "or " .. instead) end
  return table.concat(words, "; ")
end

local function host_lines(host)
  if not host.usable then return line("no", host.name, host.command .. ": " .. refusal(host, host.instead)) end
  local can, lines = {}, {}
  for _, entry in ipairs(host.entries) do
    if entry.usable then
      table.insert(can, entry.name)
    else
      table.insert(lines, line("no", host.name, entry.name .. ": " .. refusal(entry, host.instead)))
    end
  end
  return line("usable", host.name, host.command .. ": " .. table.concat(can, ", ")) .. table.concat(lines)
end

--- A line for each probe, then which hosts and kinds of entry can be used.
---@param report table
---@return string
function doctor.text(report)
  local lines = {}
  for _, p in ipairs(report.probes) do table.insert(lines, probe_line(p)) end
  table.insert(lines, "\n")
  for _, host in ipairs(report.hosts) do table.insert(lines, host_lines(host)) end
  return table.concat(lines)
end

-- Of the report, of probes, of hosts and their entries.
local KEYS = { "usable", "probes", "hosts", "name", "state", "purpose", "text", "errno", "signal", "needs", "since",
               "cure", "without", "command", "instead", "entries" }

--- The same for programs.
---@param report table
---@return string
function doctor.json(report)
  local json = require "lencase.tools.json"
  return json.writer { keys = KEYS, string = json.text }(report) .. "\n"
end

-- }==========================================================================

return doctor
