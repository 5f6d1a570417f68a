-- known.lua - what differs between a call and the same call forwarded: data, and the functions that match it
--
-- One row a cause: { why, hosts, { kind, "calls...", of? }... }; a kind is as report.lua names it, 'of' says
-- which of the calls: of others the same difference is new. Each call of each kind must be seen to
-- differ by spec/identity_spec.lua on each of the hosts, but for those of rows that are rare; what no
-- longer does is to be taken out. `run.lua --rows` prints what differs in this form.

local report = require "spec.identity.report"

local known = {}

-- The n-th word of a call, as an int.
local function int(call, n) return tonumber(call.words[n], 16) & 0xffffffff end

-- Whether an argument stands as said: "timeout readonly".
local function stands(how)
  return function(call)
    for _, odd in ipairs(call.shape) do
      if odd == how then return true end
    end
    return false
  end
end

local function traceme(call) return int(call, 1) == 0 end

local function takes_ours(call) return int(call, 2) >= 1000 and int(call, 2) <= 1003 end

known.list = {
  { why = "a program has one tracer (README, Limits)", hosts = "trace",
    { "0 -> EPERM", "ptrace", traceme } },
  { why = "a signal that is ignored interrupts a traced call, and how much time is left cannot be written",
    hosts = "trace",
    rare = true,
    { "0 -> EINTR", "select pselect6", stands "timeout readonly" } },
  { why = "no CPU time is left: the process ends at the next tick, to which natively it seldom comes", hosts = "trace",
    rare = true,
    { "0 -> signal9", "setrlimit prlimit64" } },
  { why = "and stops at signals until it waits for it, natively", hosts = "trace", rare = true,
    { "stuck -> EPERM", "ptrace", traceme } },
  { why = "a traced program stops at each call until its tracer waits for it (core/host/inline/README.md)",
    hosts = "inline",
    { "0 -> stuck", "ptrace", traceme } },
  { why = "natively it stops at signals, which in a cage it does not come to", hosts = "inline", rare = true,
    { "effects", "ptrace", traceme } },
  { why = "descriptors 1000 to 1003 cannot be taken (core/host/inline/README.md)", hosts = "inline", rare = true,
    { "a value -> EBADF", "dup2 dup3", takes_ours } },
  { why = "clone3 is answered ENOSYS by design (core/host/inline/README.md)", hosts = "inline",
    { "EINVAL -> ENOSYS", "clone3" } },
  { why = "clone3, too", hosts = "inline", rare = true,
    { "E2BIG -> ENOSYS", "clone3" }, { "EFAULT -> ENOSYS", "clone3" }, { "EPERM -> ENOSYS", "clone3" },
    { "a value -> ENOSYS", "clone3" } },
}

-- The keys of a row's entries, "host: kind: call" -> { row, of }, are added to those that there are.
local function add_keys(keys, row)
  for host in row.hosts:gmatch "%S+" do
    for _, entry in ipairs(row) do
      for name in entry[2]:gmatch "%S+" do
        keys[host .. ": " .. entry[1] .. ": " .. name] = { row = row, of = entry[3] }
      end
    end
  end
end

local function all_keys()
  local keys = {}
  for _, row in ipairs(known.list) do add_keys(keys, row) end
  return keys
end

local function key_of(d) return d.run.host .. ": " .. report.kind(d) .. ": " .. d.call.name end

local function is_in(keys, d)
  local entry = keys[key_of(d)]
  return entry ~= nil and (entry.of == nil or entry.of(d.call))
end

--- Whether a difference is listed.
---@param d identity.difference
---@return boolean
function known.has(d) return is_in(all_keys(), d) end

--- Those that are not listed, and of these apart those that do not differ each time.
---@param differences identity.difference[]
---@param run? identity.run of this run alone
---@return identity.difference[] new
---@return identity.difference[] now_and_then
function known.sort(differences, run)
  local new, now_and_then = {}, {}
  for _, d in ipairs(differences) do
    if not known.has(d) and (run == nil or d.run == run) then
      table.insert((d.unsteady or d.sometimes) and now_and_then or new, d)
    end
  end
  return new, now_and_then
end

--- What is listed and no longer differs: "host: kind: call", sorted.
---@param differences identity.difference[]
---@return string[]
function known.left_over(differences)
  local keys, list = all_keys(), {}
  for _, d in ipairs(differences) do
    if is_in(keys, d) then keys[key_of(d)].seen = true end
  end
  for key, entry in pairs(keys) do
    if not entry.seen and not entry.row.rare then table.insert(list, key) end
  end
  table.sort(list)
  return list
end

return known
