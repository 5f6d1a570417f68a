-- test.lua - grates under test: no program, no root, no ptrace
--
-- A simulated cage makes calls, a table of results stands in for the kernel:
--
--   local test = require "lencase.test"
--   local t = test.load("umask.lua", "077")
--   t.bottom.open = 3
--   assert.equal(3, t:open("/tmp/x", "O_WRONLY|O_CREAT", 420))
--   assert.same({ "open", pathname = "/tmp/x", flags = 65, mode = 384 }, t.calls[1])
--
-- The grate runs in a Lua state of its own, as under `lencase run`; what it does to real files by io
-- and os it does to real files.

local core = require "lencase.core"
local output = require "lencase.output"
local placing = require "lencase.tools.placing"
local did_you_mean = require "lencase.parsing".did_you_mean

local test = {}

-- {================================== values ================================

---@type lightuserdata the null pointer
test.NULL = core.NULL

--- An address, as a pointer argument.
---@param addr integer
---@return lencase.test.address
function test.at(addr) return placing.at(addr) end

---@type lencase.test.address a pointer that cannot be read or written
test.BAD = placing.at(0xbad)

--- Room of `n` bytes, as a pointer argument.
---@param n integer
---@return lencase.test.room
function test.room(n) return placing.room(n) end

--- Bytes with nothing readable after them: a string without an end, a buffer that is shorter than its count.
---@param text string
function test.unterminated(text) return placing.unterminated(text) end

local errnos = core.errnos()
local errno_names, names = {}, {}
for name, number in pairs(errnos) do
  errno_names[number] = name
  table.insert(names, name)
end
table.sort(names)

local function errno_of(value)
  if math.type(value) == "integer" then return value end
  if type(value) == "string" and errnos[value] then return errnos[value] end
  error(("the bottom: unknown errno '%s'%s"):format(value, did_you_mean(tostring(value), names)), 0)
end

--- For a bottom: a call that transfers at most `n` bytes (a short write): it returns the lesser of `n`
--- and its count.
---@param n integer
---@return fun(call: table): integer
function test.short(n)
  return function(call) return math.min(n, call.count or call.size or call.len or n) end
end

-- }==========================================================================

-- {================================ the bottom ==============================

-- Member -> the calls that are seen as one with it.
local families

local function family_of(name)
  if not families then
    families = {}
    for _, head in ipairs(core.names()) do
      local members = { head }
      for _, nr in ipairs(core.members(core.callnum(head))) do table.insert(members, core.callname(nr)) end
      for _, member in ipairs(#members > 1 and members or {}) do
        families[member] = families[member] or {}
        table.move(members, 1, #members, #families[member] + 1, families[member])
      end
    end
  end
  return families[name] or {}
end

-- What the test set for a call, or for another one of its family.
local function scripted(bottom, name)
  local answer = rawget(bottom, name)
  for _, other in ipairs(answer == nil and family_of(name) or {}) do
    if answer == nil then answer = rawget(bottom, other) end
  end
  return answer
end

local function is_failure(value) return type(value) == "table" and math.type(value.errno) == "integer" end

-- A bottom's result in the kernel's form; what follows the errno are out-arguments.
local function result_of(n, errno)
  if n == nil then return 0 end
  if type(n) == "string" then return -errno_of(n) end
  if is_failure(n) then return -n.errno end
  if math.type(n) ~= "integer" then error(("the bottom returned a %s"):format(type(n)), 0) end
  if n == -1 and errno ~= nil then return -errno_of(errno) end
  return n
end

local CLONE_THREAD = 0x10000

local function fork(world, cage, words)
  if words[1] & CLONE_THREAD ~= 0 then return -errnos.ENOSYS end
  local child = cage:fork()
  world.cages[child:pid()] = child
  return child:pid()
end

local function fork_plain(world, cage) return fork(world, cage, { 0 }) end

local function exit(_, cage, words)
  cage:exit((words[1] & 0xff) << 8)
  return 0
end

local function exec(_, cage)
  cage:exec()
  return 0
end

local function pid(_, cage) return cage:pid() end

-- What a cage cannot do without.
local natural = { fork = fork_plain, vfork = fork_plain, clone = fork, clone3 = fork_plain, exit = exit,
                  exit_group = exit, execve = exec, execveat = exec, getpid = pid, gettid = pid }

-- One after the other, the last one repeated.
local function next_of(world, list)
  local i = world.turns[list] or 1
  world.turns[list] = math.min(i + 1, #list)
  return list[i]
end

local function answer(world, cage, record, params, words)
  local given, own = scripted(world.bottom, record[1]), natural[record[1]]
  if given == nil and own then return own(world, cage, words) end
  if given == nil then given = rawget(world.bottom, "default") end
  if given == nil then return -errnos.ENOSYS end
  if type(given) == "table" and not is_failure(given) then given = next_of(world, given) end
  if type(given) ~= "function" then
    local n = result_of(given)
    return n >= 0 and placing.faults(cage, params, words) and -errnos.EFAULT or n
  end
  local results = table.pack(given(record))
  local n = result_of(results[1], results[2])
  placing.fill(cage, params, words, results, 3)
  return n
end

-- A call has reached the bottom: it is noted, and answered.
local function arrive(world, nr, id, words)
  local cage = world.cages[id] or world.first
  local described = placing.describe(nr)
  local params = placing.params(described, words)
  local record = placing.read(cage, params, words, { core.callname(nr) })
  table.insert(world.calls, record)
  return answer(world, cage, record, params, words)
end

-- The core keeps what it calls: if that kept the world, which has the state, neither would ever be freed.
local function weakly(world) return setmetatable({ world = world }, { __mode = "v" }) end

local function bottom_of(ref)
  return function(nr, a1, a2, a3, a4, a5, a6, id)
    local world = ref.world
    if not world then return -errnos.ENOSYS end
    local ok, result = xpcall(arrive, debug.traceback, world, nr, id, { a1, a2, a3, a4, a5, a6 })
    if ok then return result end
    world.failure = world.failure or result
    return -errnos.EIO
  end
end

-- }==========================================================================

-- {================================= watching ===============================

local function add(copied, more, how)
  for name, bytes in pairs(more) do copied[name] = how(copied[name] or 0, bytes) end
end

local watchers = {}

function watchers.asked(world, call, params, values, depth, copied)
  local record = { call }
  for i, param in ipairs(params) do
    local value = values[i]
    record[param.name] = type(value) == "string" and placing.decode(param, value) or value
  end
  table.insert(world.seen, record)
  if depth == 0 then add(world.copied, copied, math.max) end
end

function watchers.filled(world, depth, copied)
  if depth == 0 then add(world.copied, copied, function(a, b) return a + b end) end
end

function watchers.failed(world, call, message)
  table.insert(world.errors, message)
  world.failed_call = call
end

-- }==========================================================================

-- {================================== scripts ===============================

local function is_there(path)
  local file = io.open(path)
  return file ~= nil and file:close()
end

local here = debug.getinfo(1, "S").source:match "^@(.*/)" or "./"

-- A script's file: as it is named, or one of lencase's own.
local function find_script(name)
  if name:find "/" or is_there(name) then return name end
  for _, folder in ipairs { "../../examples/", "../../../lencase/examples/" } do
    if is_there(here .. folder .. name) then return here .. folder .. name end
  end
  return name
end

-- A text of several lines is the script itself.
local function load_script(state, script, args)
  local path = find_script(script)
  if script:find "\n" then
    path = os.tmpname()
    assert(output.save(path, script))
  end
  local ok, _, message = state:load(path, args)
  if script:find "\n" then os.remove(path) end
  if not ok then error(message, 0) end
end

local function must(ok, _, message) return ok or error(message, 0) end

local function load_stack(state, stack)
  for _, grate in ipairs(stack) do
    if type(grate) == "string" then grate = { grate } end
    for _, branch in ipairs(grate.branches or {}) do
      must(state:branch(true))
      load_stack(state, branch)
      must(state:branch(false))
    end
    load_script(state, grate[1], table.move(grate, 2, #grate, 1, {}))
  end
end

-- }==========================================================================

-- {================================== testers ===============================

---@class lencase.test.tester
---@field bottom table<string, any> what replaces the kernel: by call, a result, an errno's name, a function
--- of the call (its arguments by name) that returns n, or -1 and an errno, and then what the call fills; or a
--- list of these, the last one repeated. What is set for a call is for its family too (open for openat).
--- Without it forks make cages, exits end them, execve and getpid succeed; `default` is for all others, which
--- are ENOSYS otherwise.
---@field calls table[] the calls that reached the bottom: { "open", pathname = "/tmp/x", flags = 65, mode = 384 }
---@field seen table[] what handlers were called with, in the same form, without what was not copied
---@field errors string[] the errors of handlers
---@field log string[] messages
---@field paths table<integer, string|false> what descriptors refer to, -100: the working directory; false: not open
---@field cage userdata
---@field [string] fun(self: lencase.test.tester, ...): integer, string?, ...
local Tester = {}

-- { n, errno, outs... } of a call that gave `result`.
local function results_of(cage, params, words, rooms, result)
  if result < 0 and result >= -4095 then return { -1, errno_names[-result] or -result, n = 2 } end
  local results = { result, nil, n = 2 }
  for _, out in ipairs(placing.outs(cage, params, words, result, rooms)) do
    results.n = results.n + 1
    results[results.n] = out.value
  end
  return results
end

local function make_call(tester, call, args)
  local cage, world = tester.cage, tester.world
  local nr = math.type(call) == "integer" and call or core.callnum(call)
  if not tester:alive() then return { nil, "the cage has ended", n = 2 } end
  if not world.inside then cage:reset() end -- the arguments of the call before
  local words, params = placing.words(cage, call, placing.describe(nr), args)
  local rooms = placing.rooms(cage, params, words)
  local was_inside = world.inside
  if not was_inside then world.copied = {} end
  world.inside = true
  local result, status = cage:call(nr, table.unpack(words, 1, #params)) -- the bottom runs in here
  world.inside = was_inside
  local failure = not was_inside and world.failure
  if failure then
    world.failure = nil
    error(failure, 0)
  end
  if not result then return { nil, status == "LENCASE_EGONE" and "the cage has ended" or status, n = 2 } end
  if not tester:alive() then return { result, n = 1 } end
  return results_of(cage, params, words, rooms, result)
end

--- Makes a call: arguments as the prototype has them. Integers by number or names ("O_RDWR|O_CREAT"),
--- strings and bytes as strings, structs as tables, arrays as lists; what the call fills is left out (nil),
--- and so are counts of what is given. n, or -1 and the errno's name; then what the call has filled. nil
--- and a message when the cage has ended. t:open(...) is t:call("open", ...).
---@param call string|integer
---@return integer? n
---@return string? errno
---@return any ...
function Tester:call(call, ...)
  local ok, results = pcall(make_call, self, call, table.pack(...))
  if not ok then error(results, 2) end
  return table.unpack(results, 1, results.n)
end

local function new_tester(world, cage)
  return setmetatable({ world = world, cage = cage, bottom = world.bottom, calls = world.calls, seen = world.seen,
                        errors = world.errors, log = world.log, paths = world.paths }, Tester.meta)
end

--- The cage forks: a tester for the child, which shares everything but the cage; or nil and what fork returned.
---@param call? string another call that makes a cage ("vfork", "clone")
---@return lencase.test.tester?
---@return any
function Tester:fork(call, ...)
  local n, errno = self:call(call or "fork", ...)
  local child = n and self.world.cages[n]
  if not child then return nil, errno or n end
  return new_tester(self.world, child)
end

--- The cage's program ends: by exit_group, which a grate may handle.
---@param code? integer
function Tester:exit(code) return self:call("exit_group", code or 0) end

--- The cage's program is ended by a signal, as by SIGKILL: no handler is called.
---@param signal? integer
function Tester:kill_by(signal) self.cage:exit(signal or 9) end

--- Whether the cage has not ended.
---@return boolean
function Tester:alive() return (pcall(self.cage.pid, self.cage)) end

--- The bytes that were copied for the top grate in the last call, by argument: { pathname = 7 }.
---@return table<string, integer>
function Tester:copied() return self.world.copied end

--- Forgets the calls, what was seen, errors and messages so far.
function Tester:clear()
  for _, list in ipairs { self.calls, self.seen, self.errors, self.log } do
    for i = #list, 1, -1 do list[i] = nil end
  end
  self.world.copied = {}
end

--- All has ended: cages that are there still exit, on_exit runs, the state closes.
---@param status? integer as in waitpid(2)
function Tester:finish(status)
  local world = self.world
  for _, cage in pairs(world.cages) do
    if pcall(cage.pid, cage) then cage:exit(status or 0) end
  end
  local ok, _, message = world.state:finish(status or 0)
  world.state:close()
  if not ok then error(message, 2) end
end

local function unknown_call(name)
  local list = core.names()
  for method in pairs(Tester) do
    if method ~= "meta" then table.insert(list, method) end
  end
  error(("there is no call %s%s"):format(name, did_you_mean(name, list)), 3)
end

Tester.meta = {
  __index = function(_, name)
    if Tester[name] then return Tester[name] end
    if type(name) ~= "string" then return nil end
    if not core.callnum(name) then unknown_call(name) end
    return function(self, ...) return self:call(name, ...) end
  end,
}

-- Names of calls in t.bottom are checked when they are set.
local bottom_meta = {
  __newindex = function(bottom, name, value)
    if name ~= "default" and not core.callnum(name) then unknown_call(name) end
    rawset(bottom, name, value)
  end,
}

-- }==========================================================================

---@class lencase.test.options
---@field handler_ms? integer processor time that a handler may take
---@field max_call_bytes? integer
---@field memory? integer bytes of a cage

local function new_world(options)
  local world = { bottom = setmetatable({}, bottom_meta), calls = {}, seen = {}, errors = {}, log = {}, copied = {},
                  paths = {}, cages = {}, turns = setmetatable({}, { __mode = "k" }) }
  local ref = weakly(world)
  world.state = core.state { log = function(line) if ref.world then table.insert(ref.world.log, line) end end,
                             handler_ms = options.handler_ms, max_call_bytes = options.max_call_bytes }
  world.state:watch(function(event, ...) if ref.world then watchers[event](ref.world, ...) end end)
  return world
end

--- Another cage under the same grates, not related to the first.
---@return lencase.test.tester
function Tester:another()
  local world, ref = self.world, weakly(self.world)
  local cage = world.state:sim { guard = true, memory = world.memory, bottom = bottom_of(ref),
                                 paths = function(fd) return ref.world and ref.world.paths[fd] end }
  world.cages[cage:pid()] = cage
  return new_tester(world, cage)
end

--- A stack of grates under test, the bottom first: { { "umask.lua", "077" }, { "tee.lua", branches = { ... } } }.
--- Raises an error when something is wrong with a script.
---@param stack table[]
---@param options? lencase.test.options
---@return lencase.test.tester
function test.stack(stack, options)
  local world = new_world(options or {})
  local ok, message = pcall(load_stack, world.state, stack)
  if not ok then error(message, 0) end
  must(world.state:start())
  world.memory = options and options.memory
  local tester = Tester.another({ world = world })
  world.first = tester.cage
  return tester
end

--- A grate under test: a script's file (one of lencase's examples by its name), or its text.
---@param script string
---@param ... string its arguments
---@return lencase.test.tester
function test.load(script, ...) return test.stack { { script, ... } } end

--- Random and hostile calls, of those that the grate handles. nil when no handler raised an error;
--- else the first one, which a test prints. The same seed makes the same calls.
---@param script string|table[] one script, or a stack as test.stack takes it
---@param options? lencase.test.fuzz.options
---@return lencase.test.failure?
function test.fuzz(script, options) return require "lencase.tools.fuzz"(test, script, options or {}) end

return test
