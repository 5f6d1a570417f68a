-- known.lua - what differs between a call and the same call handed on: data, and who matches it
--
-- One row a cause: { why, hosts, { kind, "calls..." }... }; a kind is as report.lua names it. Each call of
-- each kind must be seen to differ by spec/identity_spec.lua on each of the hosts, but for the rows with
-- now_and_then; what no longer does is to be taken out. `run.lua --rows` prints what differs in this form.

local report = require "spec.identity.report"

local known = {}

known.list = {
  { why = "a program has one tracer (README, Limits)", hosts = "trace",
    { "0 -> EPERM", "ptrace" } },
  { why = "a traced program gets SIGSYS stops without end (issue 11, 9)", hosts = "inline",
    { "0 -> stuck", "ptrace" } },
  { why = "clone3 is answered ENOSYS by design (core/host/inline/README.md)", hosts = "inline",
    { "EINVAL -> ENOSYS", "clone3" } },
  { why = "descriptors 1000 and 1001 are lencase's (core/host/inline/README.md)", hosts = "inline",
    { "EBADF -> EFAULT", "pwritev2" }, { "EBADF -> ENOTSOCK", "getsockopt" } },
}

-- "host: kind: call" of each call that is listed -> its row
local function keys()
  local rows = {}
  for _, row in ipairs(known.list) do
    for host in row.hosts:gmatch "%S+" do
      for _, kind in ipairs(row) do
        for name in kind[2]:gmatch "%S+" do rows[host .. ": " .. kind[1] .. ": " .. name] = row end
      end
    end
  end
  return rows
end

local function key_of(d) return d.run.host .. ": " .. report.kind(d) .. ": " .. d.call.name end

--- Whether a difference is listed.
---@param d identity.difference
---@return boolean
function known.has(d) return keys()[key_of(d)] ~= nil end

--- Those that are not listed, and of these apart those that do not differ each time.
---@param differences identity.difference[]
---@param run? identity.run of this run alone
---@return identity.difference[] new
---@return identity.difference[] now_and_then
function known.sort(differences, run)
  local new, now_and_then = {}, {}
  for _, d in ipairs(differences) do
    if not known.has(d) and (run == nil or d.run == run) then table.insert((d.unsteady or d.sometimes) and now_and_then or new, d) end
  end
  return new, now_and_then
end

--- What is listed and no longer differs: "host: kind: call", sorted.
---@param differences identity.difference[]
---@return string[]
function known.left_over(differences)
  local rows, list = keys(), {}
  for _, d in ipairs(differences) do rows[key_of(d)] = nil end
  for key, row in pairs(rows) do
    if not row.now_and_then then table.insert(list, key) end
  end
  table.sort(list)
  return list
end

return known
