-- fuzz.lua - random and hostile calls for a grate under test: lencase.test.fuzz
--
-- Calls are made by the signatures of what the grate handles, most of their arguments as a program would
-- give them, some as an attacker would. The bottom answers at random, too, as a kernel may.

local core = require "lencase.core"
local flags = require "lencase.flags"
local placing = require "lencase.tools.placing"

---@class lencase.test.fuzz.options
---@field n? integer how many calls (1000)
---@field seed? integer (1)
---@field args? string[] the script's arguments
---@field calls? string[] these only
---@field handler_ms? integer processor time that a handler may take (2000)
---@field bottom? table<string, any> results that are not random: as in t.bottom

---@class lencase.test.failure
---@field seed integer
---@field n integer the number of the call, from 1
---@field call string "open(\"/tmp\", 65, 384)"
---@field message string the script's error

local FAULT = { __name = "lencase.test.failure", __tostring = function(f)
  return ("seed %d, call %d: %s: %s"):format(f.seed, f.n, f.call, f.message)
end }

-- {=================================== random ===============================

-- xorshift64*; Lua's own generator is shared with the scripts.
local function generator(seed)
  local x = seed * 0x9e3779b97f4a7c15 ~ 0x2545f4914f6cdd1d
  if x == 0 then x = 1 end
  local function word()
    x = x ~ x >> 12
    x = x ~ x << 25
    x = x ~ x >> 27
    return x * 0x2545f4914f6cdd1d
  end
  for _ = 1, 8 do word() end
  local rng = { word = word }
  function rng.below(n) return (word() >> 1) % n end
  function rng.pick(list) return list[rng.below(#list) + 1] end
  function rng.once_in(n) return rng.below(n) == 0 end
  function rng.bytes(n)
    local parts = {}
    for i = 1, n do parts[i] = string.char(rng.below(256)) end
    return table.concat(parts)
  end
  return rng
end

-- }==========================================================================

-- {================================= arguments ==============================

local odd_integers = { -1, 0, 1, 255, 4095, 4096, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
                       math.maxinteger, math.mininteger, -100, -4095 }

local odd_paths = { "", "/", ".", "..", "//", "/../..", "/proc/self/fd/0", "/dev/null", "/tmp/\255\254", "%s%n", "a b",
                    "/etc/passwd", "/tmp/x", "x", "/tmp/../etc/shadow", "x.log", ("/d"):rep(600), ("x"):rep(5000) }

local function integer(rng, call, param)
  local named = flags.values(call, param.name)
  if named and not rng.once_in(4) then return rng.pick(named) | (rng.once_in(2) and 0 or rng.pick(named)) end
  if rng.once_in(4) then return rng.pick(odd_integers) end
  if rng.once_in(8) then return rng.word() end
  return rng.below(12)
end

local function hostile_pointer(rng)
  local addresses = { 0, 0xbad, 1, -1, math.mininteger, math.maxinteger, 0x10000, 0x7ffffffff000, rng.word() }
  return placing.at(rng.pick(addresses))
end

local function text(rng)
  if rng.once_in(16) then return rng.bytes(rng.below(40)):gsub("\0", "x") end
  return rng.pick(odd_paths)
end

local makers = {}

function makers.string(rng)
  if rng.once_in(12) then return placing.unterminated(rng.pick { "/tmp/unterminated", "", ("x"):rep(4096) }) end
  return (text(rng))
end

function makers.bytes(rng, param)
  local size = rng.pick { 0, 1, 2, 3, 16, 110, 128, 4096 }
  return param.dir == "out" and placing.room(size) or rng.bytes(size)
end

function makers.records(rng, param)
  local size = math.max(param.elem, 1) * (param.fixed or rng.below(4))
  if rng.once_in(8) then size = rng.below(size + 2) end
  return param.dir == "out" and placing.room(size) or rng.once_in(3) and ("\0"):rep(size) or rng.bytes(size)
end

local function list(rng, item)
  if rng.once_in(12) then return rng.bytes(rng.below(64)) end
  local values = {}
  for i = 1, rng.below(5) do values[i] = rng.once_in(10) and hostile_pointer(rng) or item() end
  return values
end

function makers.strings(rng) return list(rng, function() return (text(rng)) end) end

function makers.iovec(rng, param)
  return list(rng, function() return param.dir == "in" and rng.bytes(rng.below(20)) or rng.below(20) end)
end

function makers.address(rng) return hostile_pointer(rng).at end

local function argument(rng, call, param)
  if param.kind == "int" then return integer(rng, call, param) end
  if param.kind ~= "address" and rng.once_in(10) then return hostile_pointer(rng) end
  return makers[param.kind](rng, param)
end

-- Most counts fit what is counted: these are left out, and placing fills them in.
local function arguments(rng, described, call)
  local args = { n = 0 }
  if not described then
    for i = 1, 6 do args[i] = rng.once_in(3) and rng.word() or rng.pick(odd_integers) end
    args.n = 6
    return args
  end
  local words, params = { 0, 0, 0, 0, 0, 0 }, rng.pick(described.variants).params
  for i, param in ipairs(params) do
    if param.kind == "int" then args[i] = integer(rng, call, param) end
    words[i] = args[i] or 0
  end
  params = placing.params(described, words) -- what the integers choose
  for i, param in ipairs(params) do args[i] = param.kind == "int" and args[i] or argument(rng, call, param) end
  for i, param in ipairs(params) do
    if param.count and not rng.once_in(6) and getmetatable(args[i]) ~= getmetatable(placing.at(0)) then
      args[param.count] = nil
    end
  end
  args.n = #params
  return args
end

-- An odd integer may choose another variant than the one that the arguments were made for.
local function words_of(cage, described, call, args)
  local ok, words, params = pcall(placing.words, cage, call, described, args)
  if ok then return words, #params end
  words = {}
  for i = 1, 6 do words[i] = placing.word(cage, args[i]) end
  return words, 6
end

-- }==========================================================================

-- {================================= the bottom ==============================

local some_errnos = { "EPERM", "ENOENT", "EINTR", "EIO", "EBADF", "EAGAIN", "ENOMEM", "EACCES", "EFAULT", "EEXIST",
                      "EINVAL", "ENFILE", "ENOSPC", "ENOSYS", "ETIMEDOUT" }

local some_paths = { [-100] = "/tmp", [3] = "/tmp/x", [4] = "/dev/null", [5] = "pipe:[42]", [6] = false, [7] = "/tmp" }

local function most_of(call, params)
  for _, param in ipairs(params) do
    if param.filled then
      local count = param.count and call[params[param.count].name] or 0
      return math.max(0, math.min(count, 64))
    end
  end
end

local never_fail = { umask = true, getpid = true, gettid = true, getppid = true, getuid = true, geteuid = true,
                     getgid = true, getegid = true }

local function random_answer(rng, call)
  if not never_fail[call[1]] and rng.once_in(4) then return -1, rng.pick(some_errnos) end
  local described = placing.describe(core.callnum(call[1]) or -1)
  local most = described and most_of(call, described.variants[1].params)
  local n = most and rng.below(most + 1) or rng.once_in(2) and 0 or rng.below(20)
  local outs = {}
  for i, param in ipairs(described and described.variants[1].params or {}) do
    local filled = param.dir == "out" or param.dir == "inout"
    if filled and param.kind == "records" and param.fixed == 1 and i > 0 then
      table.insert(outs, rng.once_in(2) and rng.bytes(param.elem) or ("\0"):rep(param.elem))
    elseif filled and param.kind ~= "int" then
      table.insert(outs, false)
    end
  end
  for i, out in ipairs(outs) do outs[i] = out or "" end
  return n, nil, table.unpack(outs)
end

-- }==========================================================================

-- {=================================== calls ================================

local function shown(value)
  if type(value) == "string" then
    local quoted = ("%q"):format(#value > 64 and value:sub(1, 64) or value):gsub("\\\n", "\\n")
    return quoted .. (#value > 64 and ".." .. #value or "")
  end
  if value == core.NULL then return "NULL" end
  if type(value) ~= "table" or getmetatable(value) then return value == nil and "_" or tostring(value) end
  local items = {}
  for i, item in ipairs(value) do items[i] = shown(item) end
  return "{" .. table.concat(items, ", ") .. "}"
end

local function show_call(name, args)
  local items = {}
  for i = 1, args.n do items[i] = shown(args[i]) end
  return ("%s(%s)"):format(name, table.concat(items, ", "))
end

local function handled(t, wanted)
  local numbers = {}
  for _, name in ipairs(wanted or {}) do
    table.insert(numbers, core.callnum(name) or error("there is no call " .. name, 0))
  end
  for _, route in ipairs(wanted and {} or t.world.state:routes()) do
    if not route.denied then table.insert(numbers, route.nr) end
  end
  return numbers
end

-- The cage that calls next: now and then a child, or another one when this has ended.
local function caller(rng, t)
  if not t:alive() then return t:another() end
  if not rng.once_in(40) then return t end
  local child = t:fork()
  if not child then return t end
  if rng.once_in(2) then t:kill_by(9) end
  return child
end

local function one_call(rng, t, nr)
  local described = placing.describe(nr)
  local name = core.callname(nr)
  local args = arguments(rng, described, name)
  if t:alive() then
    t.cage:reset()
    local words, n = words_of(t.cage, described, name, args)
    t.cage:call(nr, table.unpack(words, 1, n))
  end
  return name, args
end

local function fuzz(test, script, options)
  local seed, rng = options.seed or 1, generator(options.seed or 1)
  local stack = type(script) == "table" and script or { { script, table.unpack(options.args or {}) } }
  local t = test.stack(stack, { handler_ms = options.handler_ms or 2000 })
  for call, answer in pairs(options.bottom or {}) do t.bottom[call] = answer end
  for fd, path in pairs(some_paths) do t.paths[fd] = path end
  t.bottom.default = t.bottom.default or function(call) return random_answer(rng, call) end
  local numbers, all = handled(t, options.calls), t
  for i = 1, #numbers > 0 and (options.n or 1000) or 0 do
    t = caller(rng, t)
    local name, args = one_call(rng, t, rng.pick(numbers))
    if #all.errors > 0 then
      local message = all.errors[1]
      pcall(all.finish, all)
      return setmetatable({ seed = seed, n = i, call = show_call(name, args), message = message }, FAULT)
    end
    all:clear()
  end
  all:finish()
end

-- }==========================================================================

return fuzz
