-- help.lua - what `?` and `?open` show

local core = require "lencase.core"
local handlers = require "lencase.repl.handlers"
local parsing = require "lencase.parsing"
local policy = require "lencase.policy"

local help = {}

local GUIDE = [[
c = cage()                       a simulated cage; cage { bottom = { write = function(fd, buf, count) ... end } }
c:open("/tmp/x", "O_RDWR|O_CREAT", 420)    a call: n; or -1 and the errno's name; then what the call filled
c:fork()  c:exit()  c:put("s")  c:dump(addr, n)
on("write", "pass buf", function(fd, buf, count) ... end)      handle a call; sys.write(...) makes it
on(2000, { prototype = "int frob(int a);", "copy a", function(a) ... end })    a call of your own: c:frob(1)
policy("write", "copy buf")  off("write")  routes()
trace(true)                      show each call: what was copied, which handler ran, how long it took
calls  calls[7].copied  try(7)   the calls made, and one of them again with the handlers as they are now
record "trace.jsonl"  record(false)        calls are written to a file; record(20): how many are kept here
load "trace.jsonl"               the calls of a recording, also of lencase run --record, for calls and try
step "openat"  step()  step(function(c) return c.fd == 1 end)  run()   a program (lencase repl -- PROGRAM): to a call
pathname  args  where            of the call that it is stopped at: its arguments, and the code that makes it
finish()  let()  call{ pathname = "/etc/hosts" }  ret(-1, "ENOENT")    handlers decide it; the kernel; changed; not made
threads()  choose(tid)  trace "all"  leave()      Ctrl-C stops a running program
save "policy.lua"  load "policy.lua"       the handlers as a script for lencase run
?open                            a call's prototype, variants, family and steps
exit()                           or Ctrl-D
]]

local function family_lines(nr)
  local members, partly = core.members(nr)
  local names, lines = {}, {}
  for _, member in ipairs(members) do
    if member ~= nr then table.insert(names, core.callname(member) .. (partly[member] and " (in part)" or "")) end
  end
  if #names > 0 then table.insert(lines, "family: " .. table.concat(names, ", ")) end
  local families = {}
  for _, name in ipairs(core.names()) do
    local family = core.callnum(name)
    for _, member in ipairs(family ~= nr and core.members(family) or {}) do
      if member == nr then table.insert(families, name) end
    end
  end
  if #families > 0 then table.insert(lines, "seen by handlers of: " .. table.concat(families, ", ")) end
  return lines
end

local function steps(nr, described_by)
  local entry = handlers.entry(nr)
  local mask = entry and entry.policy or policy.COPY_ALL_ARGS
  local where = entry and ("handled by %s at %s"):format(entry.name, entry.where) or "nothing handles it; COPY_ALL_ARGS"
  -- Of the family, which is what the handler sees.
  local text = core.plan(entry and entry.nr ~= nr and entry.nr or described_by, mask)
  return where .. "\n" .. (text or "")
end

--- help(): a short guide. help "open": what is known about a call.
---@param name? string
function help.show(name)
  if not name or name == "" then
    io.stdout:write(GUIDE)
    return
  end
  local nr, known, described_by = handlers.call(math.tointeger(tonumber(name)) or name)
  if not nr then error(("unknown call '%s'%s"):format(name, parsing.did_you_mean(name, core.names())), 0) end
  local described = core.describe(described_by)
  if not described then
    io.stdout:write(known, " has no signature: its handler sees six integers\n")
    return
  end
  io.stdout:write(described.prototype, "\n")
  for _, line in ipairs(family_lines(nr)) do io.stdout:write(line, "\n") end
  io.stdout:write(steps(nr, described_by))
end

return help
