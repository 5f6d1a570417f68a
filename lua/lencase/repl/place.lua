-- place.lua - values to a simulated cage's memory and back, as a call's signature says

local core = require "lencase.core"
local enum = require "lencase.enum"
local flags = require "lencase.flags"
local signatures = require "lencase.signatures"

local KIND, DIR, SIZE, FIELD, TEST = enum.kind, enum.dir, enum.size, enum.field, enum.test
local PAGE, DEFAULT_ROOM, MAX_ROOM, POINTER = 4096, 4096, 1 << 26, 8

local place = {}

local function fail(fmt, ...) error(fmt:format(...), 0) end

-- {================================= integers ===============================

local function bits_of(text, call, param)
  local value = 0
  for word in text:gmatch "[^%s|]+" do
    local number = math.tointeger(tonumber(word)) or flags.value(word, call, param)
    value = value | (number or fail("%s: '%s' is no flag of %s", call, word, param))
  end
  return value
end

local function integer_of(value, call, param)
  if value == nil then return 0 end
  if type(value) == "boolean" then return value and 1 or 0 end
  if type(value) == "string" then return bits_of(value, call, param) end
  return math.tointeger(value) or fail("%s: %s is an integer, not a %s", call, param, type(value))
end

local tests = {
  [TEST.ALWAYS] = function() return true end,
  [TEST.EQ] = function(word, t) return word & t.mask == t.value end,
  [TEST.ANY] = function(word, t) return word & t.mask ~= 0 end,
  [TEST.NONE] = function(word, t) return word & t.mask == 0 end,
}

--- The variant of a signature that these words choose.
function place.variant(signature, words)
  for _, variant in ipairs(signature.variants) do
    local when = variant.when
    if tests[when.op](words[when.arg + 1] or 0, when) then return variant end
  end
end

-- }==========================================================================

-- {================================= records ================================

local function int_format(width) return "<i" .. width end

local pack_record

local function pack_field(field, value)
  local size = field.width * field.count
  if type(value) == "string" then return (value .. ("\0"):rep(size)):sub(1, size) end
  local list, parts = value, {}
  if field.count == 1 and not (field.kind == FIELD.RECORD and value[1] ~= nil) then list = { value } end
  for i = 1, field.count do
    local item = list[i]
    if field.kind == FIELD.RECORD then
      parts[i] = pack_record(field.record, item or {})
    else
      local n = item or 0
      if field.width < 8 then n = n & (1 << 8 * field.width) - 1 end
      parts[i] = string.pack(field.width < 8 and "<I" .. field.width or "<i8", n)
    end
  end
  return table.concat(parts)
end

function pack_record(record, value)
  local bytes = ("\0"):rep(record.size)
  if type(value) == "string" then return (value .. bytes):sub(1, record.size) end
  if math.type(value) then value = { [record.fields[1].name] = value } end
  for key, item in pairs(value) do
    local field
    for _, f in ipairs(record.fields) do field = f.name == key and f or field end
    if not field then fail("%s has no field %s", record.name, tostring(key)) end
    local packed = pack_field(field, item)
    bytes = bytes:sub(1, field.offset) .. packed .. bytes:sub(field.offset + #packed + 1)
  end
  return bytes
end

local unpack_record

local function unpack_item(field, bytes, at)
  if field.kind == FIELD.RECORD then return unpack_record(field.record, bytes:sub(at, at + field.width - 1)) end
  local signed = field.kind == FIELD.INT or field.width == 8
  return (string.unpack(signed and int_format(field.width) or "<I" .. field.width, bytes, at))
end

local function unpack_field(field, bytes)
  local at = field.offset + 1
  if field.kind == FIELD.CHARS then return (bytes:sub(at, at + field.count - 1):gsub("%z.*", "")) end
  if field.count == 1 then return unpack_item(field, bytes, at) end
  local list = {}
  for i = 1, field.count do list[i] = unpack_item(field, bytes, at + (i - 1) * field.width) end
  return list
end

function unpack_record(record, bytes)
  if #bytes < record.size then bytes = bytes .. ("\0"):rep(record.size - #bytes) end
  if record.fields[1].name == "" then return unpack_field(record.fields[1], bytes) end
  local value = {}
  for _, field in ipairs(record.fields) do
    if not field.name:find "^__" then value[field.name] = unpack_field(field, bytes) end
  end
  return value
end

local function is_single(param) return param.size == SIZE.FIXED and param.count <= 1 end

local function pack_records(param, value)
  if is_single(param) or math.type(value) then return pack_record(param.record, value) end
  local parts = {}
  for i, item in ipairs(value) do parts[i] = pack_record(param.record, item) end
  return table.concat(parts)
end

local function unpack_records(param, bytes)
  if is_single(param) then return unpack_record(param.record, bytes) end
  local list = {}
  for at = 1, #bytes, param.elem do
    table.insert(list, unpack_record(param.record, bytes:sub(at, at + param.elem - 1)))
  end
  return list
end

-- }==========================================================================

-- {============================== into the cage =============================

local function put(sim, bytes)
  local addr = sim:alloc(#bytes)
  if #bytes > 0 then sim:write(addr, bytes) end
  return addr
end

-- Bytes that argument `i` has room for: what the call's own arguments say.
local function room_of(p, i)
  local param = p.variant.params[i]
  local n = param.count
  if param.size == SIZE.ARG then n = p.words[param.size_arg + 1] end
  if param.size == SIZE.DEREF then n = p.told[param.size_arg + 1] or 128 end
  if n < 0 then n = 0 end
  local size = n * math.max(1, param.elem)
  return size <= MAX_ROOM and size or MAX_ROOM
end

local function put_iovec(p, i, value)
  local parts = {}
  for _, item in ipairs(value) do
    local size = type(item) == "string" and #item or item
    local addr = type(item) == "string" and put(p.sim, item) or p.sim:alloc(size)
    table.insert(p.parts, { arg = i, addr = addr, size = size })
    table.insert(parts, string.pack("<i8i8", addr, size))
  end
  return put(p.sim, table.concat(parts))
end

local function put_strings(p, _, value)
  local parts = {}
  for _, item in ipairs(value) do table.insert(parts, string.pack("<i8", put(p.sim, item .. "\0"))) end
  return put(p.sim, table.concat(parts) .. ("\0"):rep(POINTER))
end

local function put_bytes(p, i, bytes)
  local param = p.variant.params[i]
  local room = param.dir == DIR.IN and 0 or room_of(p, i)
  return put(p.sim, bytes .. ("\0"):rep(room - #bytes))
end

local putters = {
  [KIND.STRING] = function(p, _, value) return put(p.sim, value .. "\0") end,
  [KIND.BYTES] = put_bytes,
  [KIND.RECORDS] = function(p, i, value)
    local param = p.variant.params[i]
    if is_single(param) and math.type(value) then p.told[i] = value end
    return put_bytes(p, i, type(value) == "string" and value or pack_records(param, value))
  end,
  [KIND.STRV] = put_strings,
  [KIND.IOVEC] = put_iovec,
  [KIND.ADDR] = function(p, _, value) return put(p.sim, value) end,
}

-- A value left out: room for what the call fills, a null pointer for what it reads.
local function put_nothing(p, i)
  local param = p.variant.params[i]
  local fills = param.dir & DIR.OUT ~= 0 and (param.kind == KIND.BYTES or param.kind == KIND.RECORDS)
  if not fills or param.nullable == 1 and param.dir == DIR.INOUT then return 0 end
  local is_length = p.lengths[i]
  if is_length then return put(p.sim, string.pack("<I4", p.told[i] or 128)) end
  return p.sim:alloc(room_of(p, i))
end

local function wants(param, value)
  if type(value) == "string" then return true end
  local structured = param.kind == KIND.RECORDS or param.kind == KIND.STRV or param.kind == KIND.IOVEC
  if type(value) == "table" then return structured end
  return false
end

--- A value that a person gives for an argument of a live program's call, as sys.NAME(...) takes it.
function place.replacement(name, param, value)
  if param.kind == KIND.INT then return integer_of(value, name, param.name) end
  if value == core.NULL or math.type(value) == "integer" or wants(param, value) then return value end
  return fail("%s: %s is a %s, which a %s is not", name, param.name, param.ctype, type(value))
end

local function pointer_of(p, i, value)
  local param = p.variant.params[i]
  if value == nil then return put_nothing(p, i) end
  if value == core.NULL then return 0 end
  if math.type(value) == "integer" and (p.lengths[i] or param.elem == 4 and param.record and is_single(param)) then
    return putters[param.kind](p, i, value) -- an int that is pointed to
  end
  if math.type(value) == "integer" then return value end
  if not wants(param, value) then
    fail("%s: %s is a %s, which a %s is not", p.name, param.name, param.ctype, type(value))
  end
  return putters[param.kind](p, i, value)
end

-- A count that was left out: the length of what it counts.
local function counted(p, i, args)
  for j, param in ipairs(p.variant.params) do
    if param.size == SIZE.ARG and param.size_arg == i - 1 and param.kind >= KIND.BYTES then
      local value = args[j]
      if type(value) == "string" then return #value // math.max(1, param.elem) end
      if type(value) == "table" then return #value end
      if value == nil and param.dir & DIR.OUT ~= 0 then return DEFAULT_ROOM // math.max(1, param.elem) end
    end
  end
  return 0
end

local function integers(name, params, args)
  local words = {}
  for i = 1, 6 do
    local param = params[i]
    local is_int = param and param.kind == KIND.INT
    if is_int then words[i] = integer_of(args[i], name, param.name) else words[i] = 0 end
  end
  return words
end

local function lengths_of(variant)
  local lengths = {}
  for _, param in ipairs(variant.params) do
    if param.size == SIZE.DEREF then lengths[param.size_arg + 1] = true end
  end
  return lengths
end

local function plain(sim, name, args)
  local words = {}
  for i = 1, 6 do
    words[i] = type(args[i]) == "string" and put(sim, args[i] .. "\0") or integer_of(args[i], name, "argument " .. i)
  end
  return { sim = sim, name = name, words = words, variant = { params = {} }, parts = {} }
end

--- Puts the arguments of a call into a cage. What comes back has `words`, and is for place.outs.
---@param sim userdata
---@param name string
---@param args table with n
function place.arguments(sim, name, args)
  local signature = signatures.by_name(name)
  if not signature then return plain(sim, name, args) end
  local widest = signatures.params(signature)
  if args.n > #widest then fail("%s has %d arguments, not %d", name, #widest, args.n) end
  local words = integers(name, widest, args)
  local variant = place.variant(signature, words)
  local p = { sim = sim, name = name, variant = variant, words = words, told = {}, parts = {},
              lengths = lengths_of(variant) }
  for i, param in ipairs(variant.params) do
    if param.kind == KIND.INT and args[i] == nil then words[i] = counted(p, i, args) end
    if p.lengths[i] and math.type(args[i]) == "integer" then p.told[i] = args[i] end
  end
  for i, param in ipairs(variant.params) do
    if param.kind ~= KIND.INT then words[i] = pointer_of(p, i, args[i]) end
  end
  return p
end

-- }==========================================================================

-- {============================ out of the cage =============================

--- The bytes up to a NUL; nil when they cannot be read.
function place.string(sim, addr)
  local parts = {}
  while true do
    local bytes = sim:read(addr, PAGE - addr % PAGE)
    if not bytes then return nil end
    local stop = bytes:find("\0", 1, true)
    if stop then return table.concat(parts) .. bytes:sub(1, stop - 1) end
    table.insert(parts, bytes)
    addr = addr + #bytes
  end
end

local function strings_of(sim, addr)
  local list = {}
  while true do
    local bytes = sim:read(addr, POINTER)
    local at = bytes and string.unpack("<i8", bytes) or 0
    if at == 0 then return list end
    table.insert(list, place.string(sim, at))
    addr = addr + POINTER
  end
end

-- How many bytes lie at argument `i`, by the cage's memory as it is now.
local function size_now(sim, variant, words, i)
  local param = variant.params[i]
  local n = param.count
  if param.size == SIZE.ARG then n = words[param.size_arg + 1] end
  if param.size == SIZE.DEREF then
    local told = sim:read(words[param.size_arg + 1], 4)
    n = told and string.unpack("<I4", told) or 0
  end
  return math.max(0, math.min(n * math.max(1, param.elem), MAX_ROOM))
end

local function iovec_of(sim, addr, n)
  local list = {}
  for i = 1, n do
    local bytes = sim:read(addr + (i - 1) * 16, 16)
    if not bytes then return list end
    local base, size = string.unpack("<i8i8", bytes)
    list[i] = sim:read(base, size) or core.NULL
  end
  return list
end

--- What argument `i` is, as a value: in the cage's memory, or the word itself.
function place.value(sim, variant, words, i, size)
  local param, word = variant.params[i], words[i]
  if param.kind == KIND.INT then
    local bits = 8 * param.width
    if bits == 64 then return word end
    word = word & (1 << bits) - 1
    return param.is_signed == 1 and word >> bits - 1 == 1 and word - (1 << bits) or word
  end
  if word == 0 then return core.NULL end
  if param.kind == KIND.STRING then return place.string(sim, word) or word end
  if param.kind == KIND.STRV then return strings_of(sim, word) end
  if param.kind == KIND.IOVEC then return iovec_of(sim, word, words[param.size_arg + 1]) end
  local bytes = param.kind ~= KIND.ADDR and sim:read(word, size or size_now(sim, variant, words, i))
  if not bytes then return word end
  return param.kind == KIND.RECORDS and unpack_records(param, bytes) or bytes
end

local function fills(param) return param.dir & DIR.OUT ~= 0 and param.kind ~= KIND.ADDR end

local function filled_size(sim, variant, words, i, result)
  local param = variant.params[i]
  local size = size_now(sim, variant, words, i)
  return param.filled == 1 and math.min(size, result * math.max(1, param.elem)) or size
end

--- What the call filled, in the order of its prototype: { { arg =, bytes =, value = }, ... }
function place.outs(sim, variant, words, result)
  local outs = {}
  for i, param in ipairs(variant.params) do
    if fills(param) then
      local out = { arg = i, value = nil }
      if words[i] ~= 0 and result >= 0 then
        local known = param.kind ~= KIND.IOVEC and filled_size(sim, variant, words, i, result) or nil
        out.bytes = known and sim:read(words[i], known)
        out.value = place.value(sim, variant, words, i, known)
      end
      table.insert(outs, out)
    end
  end
  return outs
end

--- Writes what a bottom in Lua returned for an out-argument.
function place.fill(sim, variant, words, i, value)
  local param = variant.params[i]
  local bytes = value
  if param.kind == KIND.RECORDS and type(value) ~= "string" then bytes = pack_records(param, value) end
  if type(bytes) ~= "string" then fail("%s is given as a string", param.name) end
  local room = size_now(sim, variant, words, i)
  return words[i] == 0 or sim:write(words[i], bytes:sub(1, room))
end

--- The places of the arguments that a call fills.
function place.fills(variant)
  local list = {}
  for i, param in ipairs(variant.params) do
    if fills(param) then table.insert(list, i) end
  end
  return list
end

-- }==========================================================================

return place
