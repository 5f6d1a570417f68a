-- live.lua - a live program at the prompt: it runs, stops at its calls, and these are decided
--
-- While the prompt waits for input, the whole program is stopped. A stopped call is decided by a handler
-- for this call alone (core.aside), made by the commands let, call and ret: it can do what any handler can.

local cages = require "lencase.repl.cages"
local core = require "lencase.core"
local handlers = require "lencase.repl.handlers"
local parsing = require "lencase.parsing"
local policy = require "lencase.policy"
local show = require "lencase.tools.show"
local stopped = require "lencase.repl.stopped"
local where = require "lencase.repl.where"

local live = { interactive = false }

local run     -- the program; nil: there is none
local title   -- "4242 (sh)": the program when it was started
local attached = false
local current -- the id of the thread that the commands are about
local chosen  -- true: step() stops at no other thread
local call    -- the call that it is stopped at; nil: it is at none
local wanted  -- function(call) -> true: step() ends there
local seen = {} -- thread id -> a call whose end will be shown
local tracing -- nil, "handled" or "all"

local function fail(fmt, ...) error(fmt:format(...), 0) end

local function say(fmt, ...)
  io.stdout:write(fmt:format(...), "\n")
  io.stdout:flush()
end

local function must(ok, _, message)
  if not ok then fail("%s", message) end
  return ok
end

local function program() return run or fail "there is no program: lencase repl -- PROGRAM, or lencase repl -p PID" end

-- {================================== threads ==============================

local function threads()
  local list = program():threads()
  table.sort(list, function(a, b)
    if a.pid ~= b.pid then return a.pid < b.pid end
    return a.tid < b.tid
  end)
  return list
end

local function thread_of(tid)
  for _, t in ipairs(threads()) do
    if t.tid == tid then return t end
  end
end

local function call_of(t)
  local cage = t and t.place == "call" and run:cage(t.cage)
  return cage and stopped.new(cage, t.pid, t.tid, t.nr, t.words) or nil
end

-- Chooses the thread that the commands are about from now on.
local function turn_to(tid)
  local t = thread_of(tid) or thread_of(current) or thread_of(run:pid()) or threads()[1]
  if t and t.tid ~= current then chosen = false end
  current = t and t.tid
  call = call_of(t)
end

local function first_line(path)
  local stream = io.open(path)
  local text = stream and stream:read "l"
  if stream then stream:close() end
  return text
end

local function task(t, file) return first_line(("/proc/%d/task/%d/%s"):format(t.pid, t.tid, file)) end

-- What a thread that was stopped at an arbitrary place is doing.
local function midst(t)
  local nr = math.tointeger(tonumber((task(t, "syscall") or ""):match "^%d+"))
  return nr and "in " .. core.callname(nr) or "between calls"
end

local function doing(t)
  if t.place == "call" then return "at " .. tostring(call_of(t) or core.callname(t.nr)):gsub("^%S+%s+", "") end
  if t.place == "down" then return "in " .. core.callname(t.nr) .. ", while its handler runs" end
  if t.place == "stopped" then return "stopped by job control" end
  if t.place == "kernel" then return "held by the kernel (it waits for a vfork, or for its threads)" end
  return midst(t)
end

--- threads(): all threads of all processes of the program.
function live.threads()
  for _, t in ipairs(threads()) do
    local name = stopped.thread_name(t.pid, t.tid)
    local mark = t.tid == current and "*" or " "
    io.stdout:write(("%s %-15s %-16s %s\n"):format(mark, name, task(t, "comm") or "?", doing(t)))
  end
end

--- choose(tid): the commands are about this thread, and step() stops at no other. choose(): at any again.
function live.choose(tid)
  program()
  if tid == nil then
    chosen = false
    return
  end
  if not thread_of(tid) then fail("there is no thread %s: see threads()", show.value(tid)) end
  current, chosen = tid, true
  call = call_of(thread_of(tid))
  return call
end

-- }==========================================================================

local function place()
  program()
  local t = thread_of(current) or fail "the thread has ended: see threads()"
  local cage = run:cage(t.cage) or fail "the process has ended: see threads()"
  t.comm, t.doing = task(t, "comm") or "?", doing(t)
  return where.of(t, cage, run:regs(t.tid), call)
end

--- where, or where(): the thread, its call, what its descriptors are, and its functions.
live.where = setmetatable({}, {
  __call = place,
  __tostring = function() return tostring(place()) end,
  __index = function(_, key) return place()[key] end,
})

-- {================================ looking on ==============================

local function is_handled(nr)
  local e = handlers.entry(nr)
  return e ~= nil
end

local function begin(c)
  c.args, c.events, c.outs, c.began = nil, {}, {}, core.clock()
  c.mark = c.began
  seen[c.tid], cages.arriving = c, c
end

-- A call of some thread arrives.
local function arrived(tid, pid, cage, nr, ...)
  local c = stopped.new(run:cage(cage), pid, tid, nr, { ... })
  if wanted and (not chosen or tid == current) and wanted(c) then return true end
  if tracing ~= "all" and not (tracing and is_handled(nr)) then return nil end
  c.list = stopped.list(c)
  begin(c)
  return "end"
end

-- In the form of sim's calls, for the list of calls and for what is shown of them.
local function recorded(c, result)
  return { cage = c.pid, nr = c.nr, name = c.name, args = c.list, words = c.words, events = c.events, result = result,
           outs = result and stopped.outs(c, result) or {}, time = core.clock() - c.began }
end

-- The kernel has made a call for it.
local function carried(tid, result, nr)
  local c = seen[tid]
  if not c then return end
  local now = core.clock()
  table.insert(c.events, { by = "kernel", name = core.callname(nr), result = result, time = now - c.mark })
  c.mark = now
end

local function over(tid, result)
  local c = seen[tid]
  seen[tid] = nil
  if cages.arriving == c then cages.arriving = nil end
  if not c then return end
  c.record = recorded(c, result)
  cages.keep_call(c.record)
  if tracing then cages.tell(c.record) end
end

-- }==========================================================================

-- {================================= going on ===============================

local function ended(how, n)
  local text = how == "signal" and "killed by signal " .. n or "exit " .. n
  run:close()
  run, call, current, seen = nil, nil, nil, {}
  say("%s has ended: %s", title, text)
end

local function interrupted(tid)
  turn_to(tid ~= 0 and tid or current)
  local t = thread_of(current)
  say("interrupted: %s is %s", stopped.thread_name(t.pid, t.tid), doing(t))
end

local tellers = {
  call = function(tid)
    turn_to(tid)
    return call
  end,
  result = function(tid) turn_to(tid) end,
  lost = function()
    turn_to(current)
    say "the call did not return: its thread has ended, or was diverted from it"
  end,
  interrupt = interrupted,
  stopped = function(_, signal)
    turn_to(current)
    say("%s is stopped by signal %d; run() continues it", title, signal)
  end,
  ["end"] = function(how, n) ended(how, n) end,
}

-- Continues the program until there is something to show: what happened, in which thread, and its text.
local function go(looks)
  local every = wanted ~= nil or tracing == "all"
  cages.arriving = nil
  local fine, what, a, b = pcall(run.go, run, every, looks)
  cages.arriving = nil
  if not fine then
    turn_to(current)
    error(what, 0)
  end
  return what, a, tellers[must(what, a, b)](a, b)
end

local function looking() return wanted ~= nil or tracing ~= nil end

-- Calls that are under way when the prompt returns are decided by the handlers.
local function go_on()
  program()
  local _, _, told = go(looking())
  if told ~= nil then return told end
end

--- run(): until the program ends, or Ctrl-C.
function live.run()
  wanted = nil
  return go_on()
end

local function numbers_of(name)
  local nr = math.type(name) and name or core.callnum(name)
             or fail("unknown call '%s'%s", name, parsing.did_you_mean(name, core.names()))
  local set = { [nr] = true }
  for _, member in ipairs((core.members(nr))) do set[member] = true end
  return set
end

-- step's arguments as one test: names of calls, and functions that get the call.
local function test_of(...)
  local tests = { ... }
  if #tests == 0 then return function() return true end end
  for i, what in ipairs(tests) do
    if type(what) ~= "function" then
      local set = numbers_of(what)
      tests[i] = function(c) return set[c.nr] end
    end
  end
  return function(c)
    for _, test in ipairs(tests) do
      if test(c) then return true end
    end
  end
end

--- step(): to the next call. step("openat", ...): to one of that name (of its family). step(function(c) ... end):
--- to one for which the function returns true; c has the arguments by name.
function live.step(...)
  program()
  wanted = test_of(...)
  local fine, told = pcall(go_on)
  wanted = nil
  if not fine then error(told, 0) end
  if told ~= nil then return told end
end

-- }==========================================================================

-- {================================ decisions ===============================

local decision -- what the call that is given to an entry of ours is decided by

local asides = {} -- callnum -> policy -> entry

local function aside(nr, mask)
  asides[nr] = asides[nr] or {}
  local entry = asides[nr][mask]
  if not entry then
    entry = core.aside { nr = nr, family = nr, policy = mask, where = "prompt",
                         fn = function(...) return decision(...) end }
    asides[nr][mask] = entry
  end
  return entry
end

local function at_call()
  program()
  return call or fail "the program is not stopped at a call: step() first"
end

-- In the form of what c:NAME(...) returns for a simulated cage.
local function results(c)
  local record = c.record or recorded(c, nil)
  return cages.results_of(record)
end

-- The call is answered, and its end waited for.
local function finish(entry)
  local c = at_call()
  c.list = stopped.list(c)
  begin(c)
  must(run:answer(c.tid, entry))
  local what = go(tracing ~= nil)
  if what == "result" then return results(c) end
end

--- finish(): the stopped call goes to its handlers, and to the kernel. Its results. Until it has them
--- all other threads run and do not stop at calls.
function live.finish() return finish(nil) end

--- let(): it goes to the kernel unchanged, past the prompt's handlers.
function live.let()
  local c = at_call()
  decision = function() end
  return finish(aside(c.nr, policy.PASS_THROUGH_POINTERS))
end

--- call{ pathname = "/etc/hosts" }: with other arguments.
function live.call(changes)
  local c = at_call()
  if type(changes) ~= "table" then fail "call { name = value, ... }" end
  local list, make = stopped.changed(c, changes), core.sys(c.nr)
  decision = function() return make(table.unpack(list, 1, list.n)) end
  return finish(aside(c.nr, policy.PASS_THROUGH_POINTERS))
end

-- Only what the call fills is copied, so that a handler can give other bytes.
local function fills_only(c)
  local mask = policy.COPY_ALL_ARGS
  for i, param in ipairs(c.params) do
    if param.kind ~= "int" and param.dir ~= "out" and param.dir ~= "inout" then mask = mask | policy.PASS(i) end
  end
  return mask
end

local function errno_of(errno)
  if type(errno) ~= "string" then return errno end
  local names = {}
  for name, number in pairs(core.errnos()) do
    if name == errno then return number end
    table.insert(names, name)
  end
  fail("unknown errno '%s'%s", errno, parsing.did_you_mean(errno, names))
end

--- ret(n): the call is not made, and this is its result. ret(-1, "ENOENT"); ret(3, nil, "abc"): with what it fills.
function live.ret(n, errno, ...)
  local c = at_call()
  if n == nil then fail "ret(n), or ret(-1, \"ENOENT\")" end
  local values = table.pack(n, errno_of(errno), ...)
  decision = function() return table.unpack(values, 1, values.n) end
  return finish(aside(c.nr, fills_only(c)))
end

--- args: the arguments of the stopped call, by name.
live.args = setmetatable({}, {
  __index = function(_, name) return call and call[name] or nil end,
  __tostring = function() return show.value(stopped.arguments(at_call())) end,
})

--- The argument of the stopped call that has this name.
---@param name string
function live.argument(name) return call and stopped.index_of(call, name) and call[name] or nil end

-- }==========================================================================

--- trace(true): calls that a handler gets are shown; trace "all": every call of the program.
function live.trace(on)
  if on == false then tracing = nil else tracing = on == "all" and "all" or "handled" end
  cages.trace(on)
end

-- {============================ beginning, leaving ==========================

local function opened(options)
  options.arrived, options.carried, options.over = arrived, carried, over
  local new, status, message = core.live(options)
  if not new then fail("%s%s", status == "LENCASE_EEXEC" and options.program[1] .. ": " or "", message) end
  run = new
  turn_to(run:pid())
  local t = thread_of(current)
  title = ("%d (%s)"):format(run:pid(), task(t, "comm") or "?")
end

--- Starts a program: it is stopped before its first instruction.
---@param words string[]
function live.start(words)
  opened { program = words, no_input = not live.interactive }
  say("%s is stopped before its first instruction", title)
end

--- Attaches to a program that runs.
---@param pid integer
function live.attach(pid)
  opened { pid = pid }
  attached = true
  say("%s is stopped: %s", title, doing(thread_of(current)))
end

--- Ends a program that was started, detaches from one that was attached to.
function live.close()
  if not run then return end
  local n = run:close()
  run, call = nil, nil
  if attached then return say("%s continues", title) end
  say("%s was killed%s", title, n > 1 and (", with %d more processes"):format(n - 1) or "")
end

--- leave(): ends the program, or detaches from one that was attached to; the prompt stays.
live.leave = live.close

-- }==========================================================================

return live
