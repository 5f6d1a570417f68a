-- placing.lua - puts values into the memory of a simulated cage, and reads them back, by signatures
--
-- What lencase.test and the prompt put into a cage before a call, and read from it at the bottom.

local core = require "lencase.core"
local flags = require "lencase.flags"
local did_you_mean = require "lencase.parsing".did_you_mean

local placing = {}

local PAGE, MAX_STRING, MAX_BYTES, MAX_RUNS = 4096, 1 << 20, 1 << 24, 1024
local EASY_ROOM, EASY_LENGTH = 4096, 128 -- the room for a call at the prompt without a size

local known = setmetatable({}, { __mode = "k" }) -- placing.describe

local function fail(fmt, ...) error(fmt:format(...), 0) end

-- {================================== special ================================

---@class lencase.test.address
---@field at integer

---@class lencase.test.room
---@field room integer bytes

local Address = { __name = "lencase.test.address", __tostring = function(a) return ("at(0x%x)"):format(a.at) end }
local Room = { __name = "lencase.test.room", __tostring = function(r) return ("room(%d)"):format(r.room) end }
local Unterminated = { __name = "lencase.test.unterminated",
                       __tostring = function(u) return ("unterminated(%q)"):format(u.text) end }

function placing.at(addr) return setmetatable({ at = addr }, Address) end

function placing.room(n) return setmetatable({ room = n }, Room) end

function placing.unterminated(text) return setmetatable({ text = text }, Unterminated) end

local function is_null(value) return value == core.NULL end

local function allocate(cage, size) return cage:alloc(math.max(size, 1)) end

-- After the last byte is a page that cannot be read.
local function put(cage, bytes)
  local addr = allocate(cage, #bytes)
  if #bytes > 0 then assert(cage:write(addr, bytes)) end
  return addr
end

-- The word of a value that is the same for every parameter; nil: not special.
local function special(cage, value)
  if is_null(value) then return 0 end
  local meta = type(value) == "table" and getmetatable(value)
  if meta == Address then return value.at end
  if meta == Room then return allocate(cage, value.room) end
  if meta == Unterminated then return put(cage, value.text) end
end

--- The word of a value without its parameter; 0 for one that has no meaning without it.
---@return integer
function placing.word(cage, value)
  local word = math.type(value) == "integer" and value or special(cage, value)
  return word or type(value) == "string" and put(cage, value) or 0
end

-- }==========================================================================

-- {================================== records ================================

local function pack_integer(value, width)
  value = math.tointeger(value) or fail("expected an integer, not a %s", type(value))
  if width < 8 then value = value & (1 << width * 8) - 1 end
  return string.pack(width < 8 and "<I" .. width or "<i8", value)
end

local pack_record

local function pack_field(field, value)
  local size = field.width * field.count
  if type(value) == "string" then
    if #value > size then fail("%s has room for %d bytes", field.name, size) end
    return value .. ("\0"):rep(size - #value)
  end
  if field.count == 1 then
    if field.kind == "record" then return pack_record(field.record, value) end
    return pack_integer(value, field.width)
  end
  local parts = {}
  for i = 1, field.count do
    local item = value[i] or (field.kind == "record" and {} or 0)
    parts[i] = field.kind == "record" and pack_record(field.record, item) or pack_integer(item, field.width)
  end
  return table.concat(parts)
end

local function is_scalar(record) return #record.fields == 1 and record.fields[1].name == "" end

local function field_of(record, name)
  local names = {}
  for i, field in ipairs(record.fields) do
    if field.name == name then return field end
    names[i] = field.name
  end
  fail("%s has no field %s%s", record.name, name, did_you_mean(tostring(name), names))
end

-- A number is the first field.
function pack_record(record, value, rest)
  if type(value) == "string" then return value end
  if is_scalar(record) then return pack_field(record.fields[1], value) end
  if math.type(value) then value = { [record.fields[1].name] = value } end
  local bytes = ("\0"):rep(record.size)
  for name, item in pairs(value) do
    if not (rest and name == "rest") then
      local field = field_of(record, name)
      local packed = pack_field(field, item)
      bytes = bytes:sub(1, field.offset) .. packed .. bytes:sub(field.offset + #packed + 1)
    end
  end
  return rest and bytes .. (value.rest or "") or bytes
end

local unpack_record

local function unpack_one(field, bytes, at)
  if field.kind == "record" then return unpack_record(field.record, bytes:sub(at, at + field.width - 1)) end
  local format = (field.kind == "int" or field.width == 8) and "<i" or "<I"
  return (string.unpack(format .. field.width, bytes, at))
end

local function unpack_field(field, bytes)
  local at = field.offset + 1
  if field.kind == "chars" then return (bytes:sub(at, at + field.width * field.count - 1):match "^[^\0]*") end
  if field.count == 1 then return unpack_one(field, bytes, at) end
  local list = {}
  for i = 1, field.count do list[i] = unpack_one(field, bytes, at + (i - 1) * field.width) end
  return list
end

-- A truncated struct (a sockaddr) has those fields that are complete.
function unpack_record(record, bytes)
  if is_scalar(record) then return #bytes >= record.size and unpack_field(record.fields[1], bytes) or nil end
  local value = {}
  for _, field in ipairs(record.fields) do
    if field.offset + field.width * field.count <= #bytes then value[field.name] = unpack_field(field, bytes) end
  end
  return value
end

-- A struct whose size is given in bytes is one, too: what follows the known fields is its rest.
local function is_sized(param) return param.record and param.elem < param.record.size end
local function is_single(param) return param.fixed == 1 or is_sized(param) end

local function is_filled(param) return param.dir == "out" or param.dir == "inout" end

local function pack_records(param, value)
  if type(value) == "string" then return value end
  if is_single(param) then return pack_record(param.record, value, is_sized(param)) end
  local parts = {}
  for i, item in ipairs(value) do parts[i] = pack_record(param.record, item) end
  return table.concat(parts)
end

--- What the bytes of a parameter mean: a string, a struct's fields by name, a list of these.
---@param param lencase.param with its layout
---@param bytes string
---@return any
function placing.decode(param, bytes)
  local record = param.kind == "records" and param.record
  if not record then return bytes end
  if is_single(param) then
    local value = unpack_record(record, bytes)
    if is_sized(param) and #bytes > record.size then value.rest = bytes:sub(record.size + 1) end
    return value
  end
  local list = {}
  for at = 1, #bytes - record.size + 1, record.size do
    table.insert(list, unpack_record(record, bytes:sub(at, at + record.size - 1)))
  end
  return list
end

-- }==========================================================================

-- {=================================== words =================================

-- "O_WRONLY|O_CREAT" -> 65; nil and the word that is not a name
local function number_of(text, call, name)
  local number = 0
  for word in text:gmatch "[^|%s]+" do
    local value = math.tointeger(tonumber(word)) or flags.value(word, call, name)
    if not value then return nil, word end
    number = number | value
  end
  return number
end

local function integer(value, call, param)
  if type(value) == "boolean" then return value and 1 or 0 end
  if type(value) == "number" and math.tointeger(value) then return math.tointeger(value) end
  if getmetatable(value) == Address then return value.at end
  if value == nil then fail("%s: argument %s is missing", call, param.name) end
  local number, word
  if type(value) == "string" then number, word = number_of(value, call, param.name) end
  if number then return number end
  if not word then fail("%s: %s is an integer, not a %s", call, param.name, type(value)) end
  fail("%s: %s: unknown flag '%s'%s", call, param.name, word, did_you_mean(word, flags.names()))
end

-- The variant that the integers among the arguments choose, and these integers.
local function chosen_variant(described, args)
  local words = { 0, 0, 0, 0, 0, 0 }
  for _, variant in ipairs(described.variants) do
    for i, param in ipairs(variant.params) do
      local value = args[i]
      if param.kind == "int" and type(value) == "string" and value:find "^[%u%d_|%sx]+$" then
        value = integer(value, described.name, param)
      end
      if param.kind == "int" and math.type(value) == "integer" then words[i] = value end
    end
  end
  return placing.params(described, words), words
end

---@class lencase.placing.call
---@field cage userdata
---@field name string|integer
---@field params lencase.param[] of the variant that the call is
---@field args table with n
---@field easy boolean? what is left out is guessed, and an integer is an address where a pointer is expected
---@field words integer[]
---@field lengths table<integer, boolean> which arguments point to the number of what another one points to

local function lengths_of(params)
  local lengths = {}
  for _, param in ipairs(params) do
    if param.deref then lengths[param.deref] = true end
  end
  return lengths
end

local function count_in(p, param, value)
  local elem = math.max(param.elem, 1)
  if type(value) == "string" then return #value // elem end
  if type(value) == "table" and getmetatable(value) == Room then return value.room // elem end
  if type(value) == "table" and not getmetatable(value) then
    if is_sized(param) then return param.record.size + #(value.rest or "") end
    return is_single(param) and 1 or #value
  end
  if value == nil and p.easy and is_filled(param) then return EASY_ROOM // elem end
end

local function place_integers(p)
  local params, args, words = p.params, p.args, p.words
  for i, param in ipairs(params) do
    if param.kind == "int" and args[i] ~= nil then words[i] = integer(args[i], p.name, param) end
  end
  for i, param in ipairs(params) do -- a missing count is set to the size of what it counts
    if param.count and words[param.count] == nil then words[param.count] = count_in(p, param, args[i]) end
  end
  for i, param in ipairs(params) do
    if param.kind == "int" and words[i] == nil then words[i] = p.easy and 0 or integer(nil, p.name, param) end
  end
end

local function number_of_elements(cage, param, words)
  if param.fixed then return param.fixed end
  if param.count then return words[param.count] end
  if not param.deref then return 0 end
  local bytes = words[param.deref] and words[param.deref] ~= 0 and cage:read(words[param.deref], 4)
  return bytes and (string.unpack("<I4", bytes)) or 0
end

local function size_of(cage, param, words)
  local n, elem = number_of_elements(cage, param, words), math.max(param.elem, 1)
  if n < 0 or n > MAX_BYTES // elem then return nil end
  return n * elem
end

-- The length that a call gets by a pointer.
local function told(p, i)
  local value = p.args[i]
  return math.type(value) == "integer" and value or value == nil and p.easy and EASY_LENGTH or nil
end

-- The most bytes that the call may write to argument `i`; nil: too many.
local function room_of(p, i)
  local param = p.params[i]
  local length = param.deref and told(p, param.deref)
  if not length then return size_of(p.cage, param, p.words) end
  return length >= 0 and length <= MAX_BYTES and length * math.max(param.elem, 1) or nil
end

-- An array of pointers, ended by a null.
local function place_strings(cage, list)
  local packed = {}
  for i, item in ipairs(list) do
    packed[i] = string.pack("<i8", special(cage, item) or put(cage, item .. "\0"))
  end
  return put(cage, table.concat(packed) .. ("\0"):rep(8))
end

-- Runs: strings, or how many bytes of room.
local function place_runs(cage, list)
  local packed = {}
  for i, item in ipairs(list) do
    local size = type(item) == "string" and #item or math.type(item) == "integer" and item or 16
    local addr = special(cage, item) or type(item) == "string" and put(cage, item) or allocate(cage, size)
    packed[i] = string.pack("<i8i8", addr, size)
  end
  return put(cage, table.concat(packed))
end

-- What the call fills has all the room that its arguments say.
local function put_bytes(p, i, bytes)
  local room = is_filled(p.params[i]) and room_of(p, i) or 0
  return put(p.cage, bytes .. ("\0"):rep(room - #bytes))
end

local placers = {}

function placers.address(p, _, value) return math.type(value) and value or put(p.cage, value) end

function placers.string(p, _, value) return put(p.cage, value .. "\0") end

placers.bytes = put_bytes

function placers.records(p, i, value) return put_bytes(p, i, pack_records(p.params[i], value)) end

function placers.strings(p, _, value)
  return type(value) == "string" and put(p.cage, value) or place_strings(p.cage, value)
end

function placers.iovec(p, _, value)
  return type(value) == "string" and put(p.cage, value) or place_runs(p.cage, value)
end

local wanted = { address = { number = true, string = true }, string = { string = true }, bytes = { string = true },
                 records = { string = true, table = true }, strings = { string = true, table = true },
                 iovec = { string = true, table = true } }

local function has_room(param) return is_filled(param) and (param.kind == "bytes" or param.kind == "records") end

-- Whether an argument that is not given is a null pointer.
local function is_null_when_missing(p, i)
  local param = p.params[i]
  if p.easy then
    return not (has_room(param) and (p.lengths[i] or not param.nullable or param.dir == "out"))
  end
  local asked = param.deref and told(p, param.deref)
  return (param.nullable or param.kind == "address") and not asked
end

-- Of an argument that is not given: room for what the call fills, or a null pointer where one may be.
local function place_nothing(p, i)
  local param = p.params[i]
  if is_null_when_missing(p, i) then return 0 end
  if not has_room(param) then
    fail("%s: argument %s is missing (test.NULL is a null pointer)", p.name, param.name)
  end
  local size = room_of(p, i) or p.easy and EASY_ROOM
  if not size then fail("%s: no room for %s: give a room or an address", p.name, param.name) end
  if p.lengths[i] then return put_bytes(p, i, pack_records(param, told(p, i) or 0)) end
  return allocate(p.cage, size)
end

local function is_pointee(param, value)
  return math.type(value) == "integer" and param.kind == "records" and is_single(param) and is_scalar(param.record)
end

local function place_pointer(p, i)
  local param, value = p.params[i], p.args[i]
  if value == nil then return place_nothing(p, i) end
  local addr = special(p.cage, value)
  if addr then return addr end
  if is_pointee(param, value) then return placers.records(p, i, value) end
  if p.easy and math.type(value) == "integer" then return value end
  if not wanted[param.kind][type(value)] then
    fail("%s: %s is %s, not a %s (%s)", p.name, param.name, param.ctype, type(value),
         p.easy and "an integer is an address" or "test.at(n) is an address")
  end
  return placers[param.kind](p, i, value)
end

local function unknown_params()
  local params = {}
  for i = 1, 6 do params[i] = { name = "arg" .. i, kind = "int", width = 8, signed = true } end
  return params
end

--- A value that a person gives for an argument of a live program's call, as sys.NAME(...) takes it.
---@return any
function placing.replacement(call, param, value)
  if param.kind == "int" then return integer(value, call, param) end
  if is_null(value) or math.type(value) == "integer" or wanted[param.kind][type(value)] then return value end
  fail("%s: %s is a %s, which a %s is not", call, param.name, param.ctype, type(value))
end

-- For a call without a signature: six integers; a string becomes the address of it and a NUL.
local function six_words(cage, call, args)
  local words, params = {}, unknown_params()
  for i, param in ipairs(params) do
    local value = args[i]
    words[i] = value == nil and 0 or type(value) == "string" and put(cage, value .. "\0") or special(cage, value)
               or integer(value, call, param)
  end
  return words, params
end

-- More arguments than the variant has are an error; at the prompt (easy), those of a longer variant are ignored.
local function check_number(call, described, params, args, easy)
  local most = #params
  for _, variant in ipairs(easy and described.variants or {}) do most = math.max(most, #variant.params) end
  for i = most + 1, args.n do
    if args[i] ~= nil then fail("%s takes %d arguments here, not %d", call, most, args.n) end
  end
end

--- What is known about a call and where its arguments are; nil when it has no signature.
---@param call integer|userdata its number, or a signature
---@return table?
function placing.describe(call)
  if not known[call] then
    known[call] = core.describe(call, true)
    if known[call] then known[call].of = call end
  end
  return known[call]
end

--- The words of a call: its arguments put into the cage's memory as its signature says.
---@param cage userdata
---@param call string|integer
---@param described table? placing.describe(nr)
---@param args table with n
---@param easy boolean? as lencase.placing.call has it
---@return integer[] words
---@return lencase.param[] params of the variant that the call is
function placing.words(cage, call, described, args, easy)
  if not described then return six_words(cage, call, args) end
  local params, integers = chosen_variant(described, args)
  check_number(call, described, params, args, easy)
  local p = { cage = cage, name = call, params = params, args = args, easy = easy, words = {},
              lengths = lengths_of(params) }
  place_integers(p)
  for i, param in ipairs(params) do
    if param.kind ~= "int" then p.words[i] = place_pointer(p, i) end
  end
  for i = #params + 1, args.n do p.words[i] = integers[i] end
  return p.words, params
end

--- The variant that the words of a call choose.
---@param described table? placing.describe(nr)
---@return lencase.param[]
function placing.params(described, words)
  if not described then return unknown_params() end
  return described.variants[core.variant(described.of, table.unpack(words, 1, 6))].params
end

-- }==========================================================================

-- {================================= reading back ============================

-- Up to its NUL, page by page, for the page after it may be unmapped; nil: it has none that can be read.
local function read_string(cage, addr)
  local parts, total = {}, 0
  while total < MAX_STRING do
    local n = PAGE - addr % PAGE
    local bytes = cage:read(addr, n)
    if not bytes then return nil end
    local text = bytes:match "^([^\0]*)\0"
    table.insert(parts, text or bytes)
    if text then return table.concat(parts) end
    addr, total = addr + n, total + n
  end
end

local function read_strings(cage, addr)
  local list = {}
  while #list < 4096 do
    local bytes = cage:read(addr + #list * 8, 8)
    local at = bytes and string.unpack("<i8", bytes)
    if at == 0 then return list end
    local text = at and read_string(cage, at)
    if not text then return nil end
    table.insert(list, text)
  end
end

-- The bytes of each run; of those that the call fills, how many there is room for.
local function read_runs(cage, param, addr, n)
  local list = {}
  if n < 0 or n > MAX_RUNS then return nil end
  for i = 1, n do
    local bytes = cage:read(addr + (i - 1) * 16, 16)
    if not bytes then return nil end
    local at, size = string.unpack("<i8i8", bytes)
    list[i] = size
    if param.dir == "in" then list[i] = size >= 0 and size <= MAX_BYTES and cage:read(at, size) or nil end
    if list[i] == nil then return nil end
  end
  return list
end

-- C's conversion of a word to the type of the parameter.
function placing.integer(param, word)
  local bits = param.width * 8
  if bits == 0 or bits >= 64 then return word end
  word = word & (1 << bits) - 1
  if param.signed and word >> bits - 1 == 1 then word = word - (1 << bits) end
  return word
end

local function read_bytes(cage, param, words, addr)
  local size = size_of(cage, param, words)
  local bytes = size and cage:read(addr, size)
  return bytes and placing.decode(param, bytes)
end

local function read_pointer(cage, param, words, addr)
  if param.kind == "string" then return read_string(cage, addr) end
  if param.kind == "strings" then return read_strings(cage, addr) end
  if param.kind == "iovec" then return read_runs(cage, param, addr, number_of_elements(cage, param, words)) end
  return read_bytes(cage, param, words, addr)
end

--- Whether only the call fills it, so that it has no content before.
function placing.is_only_filled(param)
  return param.dir == "out" and param.kind ~= "int" and param.kind ~= "iovec"
end

--- What an argument is, as placing.read has it.
---@param word integer
---@return any
function placing.value(cage, param, words, word)
  if param.kind == "int" then return placing.integer(param, word) end
  if param.kind == "address" then return word end
  if word == 0 then return core.NULL end
  if placing.is_only_filled(param) then return nil end
  return read_pointer(cage, param, words, word) or word
end

--- The arguments of a call by their names: integers, strings, structs as tables. What the call is to fill
--- is left out, what cannot be read is its address.
---@param cage userdata
---@param params lencase.param[]
---@param words integer[]
---@param into table
---@return table
function placing.read(cage, params, words, into)
  for i, param in ipairs(params) do into[param.name] = placing.value(cage, param, words, words[i]) end
  return into
end

--- Whether some argument that a call only reads cannot be read.
function placing.faults(cage, params, words)
  for i, param in ipairs(params) do
    local reads = param.dir == "in" and param.kind ~= "int" and param.kind ~= "address"
    if reads and words[i] ~= 0 and read_pointer(cage, param, words, words[i]) == nil then return true end
  end
  return false
end

--- The same by their places.
function placing.list(cage, params, words)
  local values = {}
  for i, param in ipairs(params) do values[i] = placing.value(cage, param, words, words[i]) end
  return values
end

local function fills(param) return is_filled(param) and param.kind ~= "int" and param.kind ~= "address" end

-- Spreads a string over the runs of an iovec.
local function fill_runs(cage, param, words, i, text)
  local at = words[i]
  for _ = 1, math.min(number_of_elements(cage, param, words), MAX_RUNS) do
    local addr, size = string.unpack("<i8i8", cage:read(at, 16) or ("\0"):rep(16))
    if #text > 0 then cage:write(addr, text:sub(1, size)) end
    text, at = text:sub(size + 1), at + 16
  end
end

--- Writes what a call fills at argument `i`, as a bottom returns it: no more than there is room for.
---@param value any a string, or what a struct or an array is given as
function placing.fill_one(cage, params, words, i, value)
  local param = params[i]
  if words[i] == 0 then return end
  if param.kind == "records" and type(value) ~= "string" then value = pack_records(param, value) end
  if type(value) ~= "string" then fail("%s is given as a string, not as a %s", param.name, type(value)) end
  if param.kind == "iovec" then return fill_runs(cage, param, words, i, value) end
  cage:write(words[i], value:sub(1, size_of(cage, param, words) or 0))
end

--- Writes what a call fills: values in the order of the prototype.
---@param values table from `first` on
function placing.fill(cage, params, words, values, first)
  for i, param in ipairs(params) do
    if fills(param) then
      if values[first] ~= nil then placing.fill_one(cage, params, words, i, values[first]) end
      first = first + 1
    end
  end
end

local function filled_runs(cage, param, words, i, result)
  local parts = {}
  for k = 1, math.min(number_of_elements(cage, param, words), MAX_RUNS) do
    local at = words[i] + (k - 1) * 16
    local addr, size = string.unpack("<i8i8", cage:read(at, 16) or ("\0"):rep(16))
    local n = math.min(size, result)
    table.insert(parts, n > 0 and cage:read(addr, n) or "")
    result = result - n
  end
  return table.concat(parts)
end

local function filled_bytes(cage, params, words, i, result, rooms)
  local param = params[i]
  if param.kind == "iovec" then return filled_runs(cage, param, words, i, result) end
  local size = rooms[i]
  if not size then return nil end
  if param.filled then size = math.min(size, result * math.max(param.elem, 1)) end
  if param.deref then size = math.min(size, size_of(cage, param, words) or 0) end
  return cage:read(words[i], size)
end

--- What a call has filled, in the order of the prototype.
---@param rooms table placing.rooms before the call
---@return { arg: integer, bytes: string?, value: any }[] outs
function placing.outs(cage, params, words, result, rooms)
  local outs = {}
  for i, param in ipairs(params) do
    if fills(param) then
      local bytes = words[i] ~= 0 and result >= 0 and filled_bytes(cage, params, words, i, result, rooms) or nil
      table.insert(outs, { arg = i, bytes = bytes, value = bytes and placing.decode(param, bytes) })
    end
  end
  return outs
end

--- How many bytes there is room for at each pointer, before the call.
function placing.rooms(cage, params, words)
  local rooms = {}
  for i, param in ipairs(params) do
    if param.kind == "bytes" or param.kind == "records" then rooms[i] = size_of(cage, param, words) end
  end
  return rooms
end

-- }==========================================================================

return placing
