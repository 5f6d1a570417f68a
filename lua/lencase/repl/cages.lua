-- cages.lua - simulated cages at the prompt: their calls are made, shown, kept and tried again

local core = require "lencase.core"
local decision = require "lencase.tools.decision"
local definitions = require "lencase.definition"
local handlers = require "lencase.repl.handlers"
local parsing = require "lencase.parsing"
local placing = require "lencase.tools.placing"
local recording = require "lencase.tools.recording"
local replay = require "lencase.tools.replay"
local show = require "lencase.tools.show"

local MEMORY, ENOSYS, ERRNO_MAX = 1 << 28, 38, 4095
local PROCESS = { exit = true, exit_group = true, fork = true, vfork = true, clone = true, getpid = true,
                  getppid = true } -- what the cage answers itself: a table of functions need not have them
local FORKS = { fork = true, vfork = true, clone = true }

local cages = {
  all = {},      -- id -> cage, until it has ended
  calls = {},    -- n -> a call made at the prompt
  count = 0,     -- calls made so far
  keep = 100,    -- how many of them are kept
  loaded = 0,    -- the calls up to this one are of a recording
  tracing = false,
  arriving = nil, -- a live program's call, while its handlers begin with it
}

local errnos = {} -- number -> name
for name, number in pairs(core.errnos()) do errnos[number] = name end

local current -- the call that is being made

-- {================================= results ===============================

local function failed(result) return result < 0 and result >= -ERRNO_MAX end

local function errno_name(result) return errnos[-result] or tostring(-result) end

local function result_text(result)
  if not result then return "the cage has ended" end
  return failed(result) and "-1 " .. errno_name(result) or tostring(result)
end

--- n; -1, errno's name; followed by what the call filled.
function cages.results_of(call)
  if not call.result then return end
  local list = { call.result, nil, n = #call.outs > 0 and 2 + #call.outs or 1 }
  if failed(call.result) then list[1], list[2], list.n = -1, errno_name(call.result), 2 end
  for i, out in ipairs(list.n > 2 and call.outs or {}) do list[2 + i] = out.value end
  return table.unpack(list, 1, list.n)
end

-- }==========================================================================

-- {================================= telling ===============================

local function say(fmt, ...) io.stdout:write(show.paint("dim", fmt:format(...)), "\n") end

local function arguments_text(args)
  local list = {}
  for i = 1, args.n do list[i] = type(args[i]) == "string" and show.string(args[i], 40) or show.value(args[i]) end
  return table.concat(list, ", ")
end

local function tell_handler(h)
  local copied = {}
  for _, c in ipairs(h.copied) do table.insert(copied, ("%s %d bytes"):format(c.name, c.size)) end
  local what = #copied > 0 and "copied " .. table.concat(copied, ", ") or "copied nothing"
  local how = h.over and h.answer .. ", " .. show.time(h.time) or "it failed"
  say("  %-8s %s at %s: %s; %s", "handler", h.name, h.where, what, how)
end

local function tell_bottom(b) say("  %-8s %s = %s, %s", b.by, b.name, result_text(b.result), show.time(b.time)) end

--- What trace shows of a call.
function cages.tell(call)
  say("%s(%s) = %s, %s", call.name, arguments_text(call.args), result_text(call.result), show.time(call.time))
  if #call.events == 1 and call.events[1].by == "kernel" then return end -- that was all
  for _, event in ipairs(call.events) do
    if event.copied then tell_handler(event) else tell_bottom(event) end
  end
  if #call.events == 0 then say("  no handler and no bottom was called") end
end

local call_meta = {
  __tostring = function(self)
    return ("%s(%s) = %s"):format(self.name, arguments_text(self.args), result_text(self.result))
  end,
}

setmetatable(cages.calls, {
  __tostring = function(self)
    local lines = {}
    for n = math.max(1, cages.count - cages.keep + 1), cages.count do
      if self[n] then table.insert(lines, ("%3d  %s"):format(n, self[n])) end
    end
    return #lines > 0 and table.concat(lines, "\n") or "no calls yet"
  end,
})

-- }==========================================================================

-- {============================ what handlers saw ==========================

local function sum_of(list, more)
  local sum = 0
  for i = 1, #list do sum = sum + #list[i] + more end
  return sum
end

local function size_of(value, param)
  if type(value) == "string" then return #value + 1 end
  if type(value) == "table" then return sum_of(value, 1) end
  if param.kind == "iovec" then return sum_of(value, 0) end
  if param.kind == "bytes" then return #value end
  return param.elem * (param.fixed == 1 and 1 or #value)
end

local function is_copied(value)
  return type(value) == "string" or type(value) == "table" or type(value) == "userdata" and value ~= core.NULL
end

local function copied_of(e, ...)
  local described = placing.describe(e.signature or e.nr)
  local widest = { params = {} }
  for _, v in ipairs(described and described.variants or {}) do
    if #v.params > #widest.params then widest = v end
  end
  local list = {}
  for i = 1, select("#", ...) do
    local value, param = select(i, ...), widest.params[i]
    if param and param.pointer and is_copied(value) then
      local bytes = param.kind == "bytes" and tostring(value) or type(value) == "string" and value or nil
      table.insert(list, { name = param.name, size = size_of(value, param), bytes = bytes or show.value(value) })
    end
  end
  return list
end

local function answer_of(n, ...)
  if n == nil then return "it let the call through" end
  if definitions.is_failure(n) then return "it answered -1 " .. errnos[n.errno] end
  local errno = ...
  local failed_too = n == -1 and math.type(errno) == "integer" and errnos[errno]
  return "it answered " .. show.value(n) .. (failed_too and " " .. errnos[errno] or "")
end

--- For handlers.watch.
function cages.watch(e, ...)
  local call = current or cages.arriving
  if not call then return function() end end
  local event = { name = e.name, where = e.where, copied = copied_of(e, ...) }
  table.insert(call.events, event)
  local began = core.clock()
  return function(...)
    event.time, event.over, event.answer = core.clock() - began, true, answer_of(...)
  end
end

-- }==========================================================================

-- {================================= bottoms ===============================

-- Calls a function of the bottom's table, with values; its results stand for the kernel's.
local function ask_function(cage, fn, params, words)
  local args = placing.list(cage.sim, params, words)
  for i = 1, #params do
    if args[i] == core.NULL then args[i] = nil end
  end
  local answers = table.pack(fn(table.unpack(args, 1, #params)))
  local n, errno = answers[1], answers[2]
  if definitions.is_failure(n) then return -n.errno end
  if n == -1 and errno then return -(core.errnos()[errno] or math.tointeger(errno) or ENOSYS) end
  placing.fill(cage.sim, params, words, answers, 3)
  return math.tointeger(n) or 0
end

local function from_table(cage, name, params, words)
  local bottom = cage.bottom
  local entry = bottom and bottom[name]
  if type(entry) == "function" then return ask_function(cage, entry, params, words), "bottom" end
  if definitions.is_failure(entry) then return -entry.errno, "bottom" end
  if math.type(entry) == "integer" then return entry, "bottom" end
  if bottom and not bottom.kernel and not PROCESS[name] then return -ENOSYS, "bottom" end
end

-- A call that is tried again gets the bottom's answers of then.
local function from_record(cage, name, params, words)
  if not cage.replays or FORKS[name] then return end
  for k, b in ipairs(cage.replays) do
    if b.name == name then
      table.remove(cage.replays, k)
      for _, out in ipairs(b.outs) do
        if out.bytes then placing.fill_one(cage.sim, params, words, out.arg, out.bytes) end
      end
      return b.result, "recorded"
    end
  end
  return -ENOSYS, "recorded"
end

local adopt

-- The bottom of a cage and its forks.
local function bottom_of(root)
  return function(nr, w1, w2, w3, w4, w5, w6, id)
    local words, began = { w1, w2, w3, w4, w5, w6 }, core.clock()
    local _, name, described_by = handlers.call(nr)
    local cage = cages.all[id]
    if not cage then return -ENOSYS end
    local params = placing.params(placing.describe(described_by), words)
    local rooms = placing.rooms(cage.sim, params, words)
    local result, by = from_record(cage, name, params, words)
    if not result then result, by = from_table(cage, name, params, words) end
    if not result then result, by = root.sim:kernel(id, nr, w1, w2, w3, w4, w5, w6), "kernel" end
    local event = { by = by, name = name, result = result, time = core.clock() - began }
    if by == "kernel" and FORKS[name] and result > 0 then adopt(root, cage, result) end
    local can_look = not FORKS[name] and cages.all[id]
    event.outs = can_look and placing.outs(cage.sim, params, words, result, rooms) or {}
    if current then table.insert(current.events, event) end
    return result
  end
end

-- }==========================================================================

-- {================================== calls ================================

local function forget(n)
  if n > cages.loaded then cages.calls[n] = nil end
end

-- What handlers saw of the arguments: name -> bytes.
local function copied_by_name(call)
  local copied = {}
  for _, event in ipairs(call.events) do
    for _, c in ipairs(event.copied or {}) do copied[c.name] = copied[c.name] or c.bytes end
  end
  return copied
end

function cages.keep_call(call)
  call.copied = copied_by_name(call)
  cages.count = cages.count + 1
  cages.calls[cages.count] = setmetatable(call, call_meta)
  forget(cages.count - cages.keep)
end

local function alive(cage)
  if cages.all[cage.id] ~= cage then error("cage " .. cage.id .. " has ended", 0) end
end

local function carry_out(cage, asked, args)
  alive(cage)
  local nr, name, described_by = handlers.call(asked)
  if not nr then error(("unknown call '%s'%s"):format(asked, parsing.did_you_mean(asked, core.names())), 0) end
  local words, params = placing.words(cage.sim, name, placing.describe(described_by), args, true)
  local rooms = placing.rooms(cage.sim, params, words)
  local call = { cage = cage.id, nr = nr, name = name, args = args, words = words, events = {}, outs = {} }
  local before, began = current, core.clock()
  current = call
  local ok, result = pcall(cage.sim.call, cage.sim, nr, table.unpack(words, 1, 6))
  current = before
  call.time = core.clock() - began
  if not ok then error(result, 0) end
  call.result = result
  if result then
    call.outs = placing.outs(cage.sim, params, words, result, rooms)
  else
    cages.all[cage.id] = nil
  end
  return call
end

local function make(cage, name, ...)
  local call = carry_out(cage, name, table.pack(...))
  cages.keep_call(call)
  if cages.tracing then cages.tell(call) end
  return call
end

local writer, writer_limit -- of the file that calls are recorded to

-- Puts the recording back as it was, or none.
local function resume_recording() core.record(writer and writer.told or false, writer_limit) end

local function stop_recording()
  core.record(false)
  if writer then writer:close() end
  writer = nil
end

local RECORD = 'record("FILE", { arg =, bytes =, calls = })'
local LEAST = { arg = 0, bytes = 1, calls = 1 }

local function check_bounds(options)
  for name, value in pairs(options) do
    if not LEAST[name] then error(("%s, not %s"):format(RECORD, show.value(name)), 0) end
    if math.type(value) ~= "integer" or value < LEAST[name] then
      error(("%s: %s must be a number from %d up, not %s"):format(RECORD, name, LEAST[name], show.value(value)), 0)
    end
  end
end

local function start_recording(path, options)
  local why
  check_bounds(options)
  stop_recording()
  writer_limit = options.arg or recording.ARG_BYTES
  writer, why = recording.writer { path = path, arg_bytes = writer_limit, bytes = options.bytes, lines = options.calls,
                                   say = function(message, lost)
                                     if lost then return core.unwritten(message) end
                                     io.stderr:write(message, "\n")
                                   end,
                                   stop = function() core.record(false) end }
  if not writer then error(why, 0) end
  resume_recording()
end

--- record("FILE", { arg =, bytes =, calls = }): from now on calls are written to a file, within these limits;
--- record(false) stops that. record(n): the last n calls are kept here (100).
function cages.record(what, options)
  if type(what) == "string" then return start_recording(what, options or {}) end
  if what == false then return stop_recording() end
  if what then
    cages.keep = math.tointeger(what) or error('record("FILE"), record(false), or record(n): n calls are kept', 0)
  end
  for k in pairs(cages.calls) do
    if k <= cages.count - cages.keep then forget(k) end
  end
  return cages.keep
end

local recorded_meta = {
  __tostring = function(self)
    return ("%s = %s: %s"):format(decision.call(self), decision.result(self.result), decision.text(self))
  end,
}

local loaded -- the recording that was loaded last

--- load "trace.jsonl": its calls replace those that are there. Returns how many there are.
function cages.load(path)
  loaded = recording.read(path)
  for n in pairs(cages.calls) do cages.calls[n] = nil end
  for n, call in pairs(loaded.calls) do cages.calls[n] = setmetatable(call, recorded_meta) end
  cages.count, cages.loaded = loaded.last, loaded.last
  return loaded.count
end

-- }==========================================================================

-- {================================== cages ================================

local methods = {}

local cage_meta = {
  __name = "cage",
  __tostring = function(self) return ("cage %d%s"):format(self.id, cages.all[self.id] and "" or " (ended)") end,
}

function cage_meta.__index(_, key)
  if methods[key] then return methods[key] end
  if key == "bottom" or key == "replays" or key == "sim" then return nil end
  if not handlers.call(key) then
    local names = core.names()
    for name in pairs(methods) do table.insert(names, name) end
    error(("a cage has no '%s'%s"):format(tostring(key), parsing.did_you_mean(tostring(key), names)), 2)
  end
  local function call(self, ...)
    if getmetatable(self) ~= cage_meta then error("c:" .. key .. "(...), with a colon", 2) end
    return cages.results_of(make(self, key, ...))
  end
  methods[key] = call
  return call
end

local function new_cage(sim, bottom)
  local cage = setmetatable({ sim = sim, id = sim:pid(), bottom = bottom }, cage_meta)
  cages.all[cage.id] = cage
  return cage
end

function adopt(root, parent, id) return new_cage(root.sim:child(id), parent.bottom) end

local function new_root(options)
  local root = {}
  root.sim = core.sim { memory = options.memory or MEMORY, guard = options.guard, bottom = bottom_of(root),
                        files = not options.bottom or options.bottom.kernel }
  return new_cage(root.sim, options.bottom)
end

--- cage{ bottom = { write = function(fd, buf, count) ... end }, memory =, guard = }: a simulated cage. Calls
--- without a handler go to the kernel, or to the functions of `bottom`.
function cages.cage(options)
  options = options or {}
  for key in pairs(options) do
    if key ~= "bottom" and key ~= "memory" and key ~= "guard" then
      error("cage { bottom =, memory =, guard = }, not " .. tostring(key), 0)
    end
  end
  for name in pairs(options.bottom or {}) do
    if name ~= "kernel" and not handlers.call(name) then
      error(("bottom: unknown call '%s'%s"):format(name, parsing.did_you_mean(name, core.names())), 0)
    end
  end
  return new_root(options)
end

local function fork_with(name)
  return function(self)
    local call = make(self, name)
    if call.result and cages.all[call.result] then return cages.all[call.result] end
    return cages.results_of(call)
  end
end

methods.fork, methods.vfork = fork_with "fork", fork_with "vfork"

function methods.exit(self, code)
  make(self, "exit", code or 0)
end

--- c:call(name, ...): as c:name(...).
function methods.call(self, call, ...) return cages.results_of(make(self, call, ...)) end

function methods.put(self, bytes) return self.sim:put(bytes) end

function methods.alloc(self, n) return self.sim:alloc(n) end

function methods.bytes(self, addr, n) return self.sim:read(addr, n) end

function methods.poke(self, addr, bytes) return self.sim:write(addr, bytes) or false end

local function dump_line(addr, bytes)
  local hex = bytes:gsub(".", function(c) return ("%02x "):format(c:byte()) end)
  return ("%08x  %-48s %s\n"):format(addr, hex, (bytes:gsub("[^\32-\126]", ".")))
end

--- c:dump(addr, n): bytes of the cage's memory.
function methods.dump(self, addr, n)
  alive(self)
  for at = addr, addr + (n or 64) - 1, 16 do
    local bytes = self.sim:read(at, math.min(16, addr + (n or 64) - at))
    if not bytes then
      io.stdout:write(("%08x  not mapped\n"):format(at))
      return
    end
    io.stdout:write(dump_line(at, bytes))
  end
end

function methods.gone(self) return cages.all[self.id] == nil end

--- Ends all cages and their recording.
function cages.close()
  for id, cage in pairs(cages.all) do
    cages.all[id] = nil
    pcall(cage.sim.exit, cage.sim, 0)
  end
  stop_recording()
end

-- }==========================================================================

--- trace(true): each call is shown as it is made.
function cages.trace(on) cages.tracing = on ~= false end

local function bottoms_of(call)
  local list = {}
  for _, event in ipairs(call.events) do
    if event.by then table.insert(list, event) end
  end
  return list
end

-- A cage like the one that made the call: a fork of it, if it is still there.
local function stand_in(call)
  local origin = cages.all[call.cage]
  if not origin then return new_root {} end
  local id = origin.sim:kernel(origin.id, core.callnum "fork")
  if id <= 0 then error("no memory for a cage", 0) end
  return adopt(origin, origin, id)
end

local function tell_tried(call, now, events)
  local note = replay.note(call, now)
  say("%s = %s", decision.call(call), decision.result(now.result))
  for _, event in ipairs(events) do tell_handler(event) end
  for _, b in ipairs(now.bottom) do say("  %-8s %s = %s", b.by, b.call, decision.result(b.result)) end
  say("  %-8s %s", "then", decision.text(call))
  say("  %-8s %s%s", "now", decision.text(now), note ~= "" and " (" .. note .. ")" or "")
end

-- A call of a recording, made again in a cage as it was then.
local function try_recorded(call)
  local before = current
  current = { events = {} }
  local events = current.events
  local ok, now, why = pcall(replay.one, loaded, call, { sim = core.sim, record = core.record })
  current = before
  if not ok then error(now, 0) end
  if not now then error(why, 0) end
  tell_tried(call, now, events)
  local outs = {}
  for i, out in ipairs(now.outs) do outs[i] = { value = out.bytes } end
  return cages.results_of { result = now.result, outs = outs }
end

local function try_made(call)
  local cage = stand_in(call)
  cage.replays = bottoms_of(call)
  local ok, again = pcall(carry_out, cage, call.nr, call.args)
  if cages.all[cage.id] then
    cages.all[cage.id] = nil
    cage.sim:exit(0)
  end
  if not ok then error(again, 0) end
  cages.tell(again)
  return cages.results_of(again)
end

local function give_back(ok, ...)
  resume_recording()
  if not ok then error(..., 0) end
  return ...
end

--- try(n): gives call n to the handlers as they are now. The bottom answers as it did then, and
--- nothing is recorded.
function cages.try(n)
  local call = cages.calls[n] or error(("call %s was not kept: see calls"):format(show.value(n)), 0)
  core.record(false)
  return give_back(pcall(getmetatable(call) == recorded_meta and try_recorded or try_made, call))
end

return cages
