-- replay.lua - makes the calls of a recording again in simulated cages, for handlers as they are now
--
-- Each call's arguments are put into a cage's memory and the call is made; the bottom answers as recorded. A call
-- that reaches the bottom and equals one that the recorded call had made gets that one's result and bytes, in
-- the order of the recording. One that differs in its arguments alone gets them too: the answer is assumed. To any
-- other the recording does not know the answer: ENOSYS. Cages are created, execute and end as they did;
-- descriptors and the working directory refer to the same files.
--
-- What differs from the recorded run: addresses; memory that was not a call's argument is missing; calls
-- come one after the other, in the order in which they arrived; clocks, and what scripts do by io and os.

local core = require "lencase.core"
local decision = require "lencase.tools.decision"
local recording = require "lencase.tools.recording"

local replay = {}

local MEMORY, MAX_ARGUMENT, NOWHERE = 1 << 28, 64 << 20, 0xbad
local CAGE_BEGIN, CAGE_END = 0x10000, 4 * MEMORY -- no simulated cage has memory elsewhere: core/host/sim/sim.h
local AT_FDCWD, FILES, SIGKILL = -100, 256, 9
local EXECS = { execve = true, execveat = true }
local FORKS = { fork = true, vfork = true, clone = true, clone3 = true }

local errnos = core.errnos()

-- {================================= placing ===============================

local function check_size(size)
  if size > MAX_ARGUMENT then error(("%d bytes are more than a simulated cage has room for"):format(size), 0) end
end

local function put(sim, bytes, size)
  size = math.max(size or #bytes, 1)
  check_size(size)
  local addr = sim:alloc(size)
  if #bytes > 0 then assert(sim:write(addr, bytes)) end
  return addr
end

local placers = {}

function placers.int(_, arg) return arg.int end

function placers.address(_, arg) return arg.word end

-- The bytes beyond the cut of a string are unknown; its length is known.
local function whole(text, size)
  check_size(size)
  return text .. ("?"):rep(size - #text) .. "\0"
end

function placers.string(sim, arg) return put(sim, whole(arg.bytes, arg.size)) end

function placers.bytes(sim, arg) return put(sim, arg.bytes or "", arg.size) end

placers.records = placers.bytes

function placers.strings(sim, arg)
  local pointers = {}
  for i, text in ipairs(arg.strings) do pointers[i] = string.pack("<i8", put(sim, whole(text, arg.sizes[i]))) end
  return put(sim, table.concat(pointers) .. ("\0"):rep(8))
end

function placers.iovec(sim, arg)
  local runs, at = {}, 1
  for i, size in ipairs(arg.runs) do
    runs[i] = string.pack("<i8i8", put(sim, (arg.bytes or ""):sub(at, at + size - 1), size), size)
    at = at + size
  end
  return put(sim, table.concat(runs))
end

-- A pointer that could not be read keeps its value, unless the simulated cage has memory there.
local function unreadable(word) return word >= CAGE_BEGIN and word < CAGE_END and NOWHERE or word end

local function place(sim, arg)
  if arg.null then return 0 end
  if arg.fault then return unreadable(arg.word) end
  return placers[arg.kind](sim, arg)
end

-- Bytes that a call filled into runs.
local function scatter(sim, at, runs, bytes)
  for i = 1, #runs do
    local addr, size = string.unpack("<i8i8", sim:read(at + (i - 1) * 16, 16))
    sim:write(addr, bytes:sub(1, size))
    bytes = bytes:sub(size + 1)
  end
end

local function fill(sim, args, outs)
  for _, out in ipairs(outs) do
    local arg = args[out.arg]
    if arg and arg.kind == "iovec" and arg.runs then
      scatter(sim, arg.word, arg.runs, out.bytes)
    elseif arg and arg.size then
      sim:write(arg.word, out.bytes:sub(1, arg.size))
    end
  end
end

-- }==========================================================================

-- {================================== cages ================================

local function known_of(world, id)
  world.known[id] = world.known[id] or {}
  return world.known[id]
end

local function path_of(world, fd, id)
  return known_of(world, world.recorded_id[id] or 0)[fd]
end

local function adopt(world, id, sim)
  world.sims[id], world.recorded_id[sim:id()] = sim, id
  return sim
end

local becomes = {}

function becomes.born(world, event)
  local parent = world.sims[event.parent or 0]
  local known = known_of(world, event.born)
  for fd, path in pairs(parent and known_of(world, event.parent) or {}) do known[fd] = path end
  if event.cwd then known[AT_FDCWD] = event.cwd end
  if parent then return adopt(world, event.born, parent:fork(event.pid, event.shares_files)) end
  adopt(world, event.born, world.sim { memory = MEMORY, guard = true, pid = event.pid, comm = event.comm,
                                       bottom = world.bottom, paths = world.paths })
end

function becomes.exec(world, event)
  local known, open = known_of(world, event.exec), {}
  for _, fd in ipairs(event.fds or {}) do open[fd] = true end
  for fd = 0, event.fds and FILES - 1 or -1 do
    if not open[fd] then known[fd] = false elseif not known[fd] then known[fd] = nil end
  end
  local sim = world.sims[event.exec]
  if sim then sim:exec(event.comm) end
end

function becomes.exit(world, event)
  local sim = world.sims[event.exit]
  world.sims[event.exit] = nil
  if sim then sim:exit(event.status or 0) end
end

local function apply(world, event)
  if world.done[event] then return end
  world.done[event] = true
  for what, f in pairs(becomes) do
    if event[what] then f(world, event) end
  end
end

-- The events of a cage that are still to come.
local function next_event(world, fits)
  for i = world.at, #world.items do
    local item = world.items[i]
    if not item.n and not world.done[item] and fits(item) then return item end
  end
end

-- A call that creates a cage or executes a program is over when that event has happened.
local function take_effect(world, cage, made)
  local result = made.result
  if EXECS[made.call] and result == 0 then
    local event = next_event(world, function(item) return item.exec == cage end)
    if event then apply(world, event) end
  elseif result and result > 0 and FORKS[made.call] then
    local event = next_event(world, function(item)
      return item.born and item.parent == cage and item.pid == result
    end)
    if event then apply(world, event) end
  end
end

-- }==========================================================================

-- {================================= bottom ================================

-- What was recorded for a call that reached the bottom; whether its arguments differ.
local function recorded_for(world, made)
  local list, similar = world.current.bottom, nil
  for i, b in ipairs(list) do
    if not world.used[i] then
      if recording.same_call(b, made) then
        world.used[i] = true
        return b, false
      end
      similar = similar or b.nr == made.nr and b.cage == made.cage and i or nil
    end
  end
  if not similar then return nil end
  world.used[similar] = true
  return list[similar], true
end

-- It did not return: the cage ended with it, or a thread of it did.
local function no_answer(world, cage)
  if world.last_call[cage] == world.current.n then
    local event = next_event(world, function(item) return item.exit == cage end)
    if event then apply(world, event) end
  end
  return -errnos.EINTR
end

local function answer(world, id)
  local now = world.composer.latest
  local made = now and now.bottom[#now.bottom]
  local sim = world.sims[world.recorded_id[id]]
  if not made or not sim then return -errnos.ENOSYS end
  local b, assumed = recorded_for(world, made)
  now.assumed, now.unknown = now.assumed or assumed, now.unknown or b == nil
  made.by = not b and "unknown" or assumed and "assumed" or "recorded"
  if not b then return -errnos.ENOSYS end
  local cage = made.cage or world.current.cage
  if not b.result then return no_answer(world, cage) end
  fill(world.sims[cage] or sim, made.args, b.outs)
  take_effect(world, cage, b)
  return b.result
end

-- }==========================================================================

-- {================================== calls ================================

-- What descriptors referred to when the call arrived.
local function learn(world, call)
  local known = known_of(world, call.cage)
  if call.cwd then known[AT_FDCWD] = call.cwd end
  for _, arg in ipairs(call.args) do
    if arg.path ~= nil and arg.int then known[arg.int] = arg.path end
  end
end

local function is_cut_list(arg)
  for i, text in ipairs(arg.strings or {}) do
    if #text < arg.sizes[i] then return true end
  end
  return false
end

-- The arguments that the recording has only in part.
local function cut_names(call)
  local names = {}
  for _, arg in ipairs(call.args) do
    local have = arg.bytes and #arg.bytes
    if have and arg.size and have < arg.size then
      table.insert(names, ("%d of %d bytes of %s"):format(have, arg.size, arg.name))
    end
    if is_cut_list(arg) then table.insert(names, "a part of " .. arg.name) end
  end
  return table.concat(names, ", ")
end

-- The cage was ended by a grate, as far as a recording can tell.
local function was_ended(world, call)
  local exit = world.last_call[call.cage] == call.n and world.exits[call.cage]
  return exit and (exit.status or 0) & 0x7f == SIGKILL or nil
end

local function make(world, call, sim)
  local words = {}
  sim:reset()
  for i = 1, 6 do words[i] = call.args[i] and place(sim, call.args[i]) or 0 end
  local result = sim:call(call.nr, table.unpack(words, 1, 6))
  local now = world.finished
  if not result and world.sims[call.cage] == sim then
    world.sims[call.cage] = nil
    now.ended, call.ended = true, was_ended(world, call)
  end
  return now
end

local function try(world, call)
  local sim = world.sims[call.cage]
  if not sim then return nil, "its cage has ended" end
  learn(world, call)
  world.current, world.used, world.finished, world.composer.latest = call, {}, nil, nil
  local ok, now = pcall(make, world, call, sim)
  if not ok then return nil, now end
  return now
end

---@class lencase.replay.options
---@field sim fun(options: table): userdata makes a first cage: state:sim or core.sim
---@field record fun(f: function|false, limit?: integer): any state:record or core.record
---@field each? fun(call: table, now: table?, differs: boolean, why: string?) called for each call

local function look_ahead(world)
  for _, item in ipairs(world.items) do
    if item.n then world.last_call[item.cage] = math.max(item.n, world.last_call[item.cage] or 0) end
    if item.exit then world.exits[item.exit] = item end
  end
end

-- What is recorded now becomes world.finished, call by call.
local function listen(world, record, limit)
  local told
  world.composer, told = recording.composer(function(item) world.finished = item.n and item or world.finished end)
  record(function(event, t)
    t.cage = world.recorded_id[t.cage] or t.cage
    told(event, t)
  end, limit)
end

local function new_world(rec, options)
  local world = { items = rec.items, at = 1, done = {}, sim = options.sim, sims = {}, recorded_id = {}, known = {},
                  last_call = {}, exits = {} }
  world.bottom = function(_, _, _, _, _, _, _, id) return answer(world, id) end
  world.paths = function(fd, id) return path_of(world, fd, id) end
  look_ahead(world)
  listen(world, options.record, rec.header.arg_bytes or recording.ARG_BYTES)
  return world
end

local function count(counts, now, differs)
  local what = now and "tried" or "untried"
  counts[what] = counts[what] + 1
  if differs then counts.differing = counts.differing + 1 end
  if now and (now.unknown or now.assumed) then counts.unknown = counts.unknown + 1 end
end

--- Makes the calls of a recording again.
---@param rec lencase.recording
---@param options lencase.replay.options
---@return { tried: integer, differing: integer, untried: integer, unknown: integer }
function replay.run(rec, options)
  local world = new_world(rec, options)
  local counts = { tried = 0, differing = 0, untried = 0, unknown = 0 }
  for i, item in ipairs(world.items) do
    world.at = i
    if not item.n then
      apply(world, item)
    else
      local now, why = try(world, item)
      local differs = now ~= nil and decision.differs(item, now)
      count(counts, now, differs)
      if options.each then options.each(item, now, differs, why) end
    end
  end
  for _, sim in pairs(world.sims) do sim:exit(0) end
  options.record(false)
  return counts
end

-- Brings a cage to its state at the arrival of call `n`.
local function cage_before(rec, call)
  local born = { after = 0, born = call.cage, pid = call.pid, line = 0 }
  for _, item in ipairs(rec.items) do
    if item == call then break end
    if item.born == call.cage or item.exec == call.cage then born.comm = item.comm or born.comm end
    if item.cage == call.cage or item.born == call.cage or item.exec == call.cage then
      born.cwd = item.cwd or born.cwd
    end
  end
  return born
end

--- Makes one call of a recording again, in a cage like the one that made it.
---@param rec lencase.recording
---@param call table
---@param options lencase.replay.options
---@return table? now
---@return string? why it could not be tried
function replay.one(rec, call, options)
  local result, reason
  local alone = { header = rec.header, items = { cage_before(rec, call), call } }
  replay.run(alone, { sim = options.sim, record = options.record,
                      each = function(_, now, _, why) result, reason = now, why end })
  return result, reason
end

--- What one must know to judge a difference; "" for nothing.
---@param call table
---@param now table
---@return string
function replay.note(call, now)
  local notes, cut = {}, cut_names(call)
  if now.unknown then
    table.insert(notes, "the recording does not know the answer: ENOSYS")
  elseif now.assumed then
    table.insert(notes, "the answer is that of the recorded call")
  end
  local filled = decision.filled(call, now)
  if filled ~= "" then table.insert(notes, "different bytes in " .. filled) end
  if cut ~= "" then table.insert(notes, "the recording has only " .. cut) end
  return table.concat(notes, "; ")
end

-- }==========================================================================

return replay
