-- generate.lua - calls as no program should make them, and as some do: one for each seed and index
--
--   local generate = require "spec.identity.generate"
--   local call = generate.call(seed, index)   -- name, line, arguments, shape
--
-- What a call is made of comes from its signature; values come from spec/identity/knowledge.lua and
-- lencase.flags. The same seed and index give the same call, regardless of what else is generated. The arena and
-- the line of a plan are helper_identity.c's.

local enum = require "lencase.calls.enum"
local flags = require "lencase.flags"
local signatures = require "lencase.calls.signatures"
local knowledge = require "spec.identity.knowledge"

local KIND, DIR, SIZE, TEST, FIELD = enum.kind, enum.dir, enum.size, enum.test, enum.field

local random = math.random

local generate = {}

local ARENA, SLOTS, SLOT_SIZE = 0x200000000000, 16, 0x10000 -- and the big slot
local BIG_SIZE = 0x200000
local WRITABLE, READONLY_AT, READONLY = 0x4000, 0x8000, 0x2000

local FIRST_THREEI = 1001 -- Lind's own numbers: no kernel has them

local HOW = { TREE = 1, THREAD = 2, IGNORED = 4, BUSY = 8, CHILD = 16, FORKS = 32, GROUP = 64, IPC = 128, FORKING = 256,
              HANDLED = 512 }

-- {================================ choosing ================================

local function one_of(list) return list[random(#list)] end

-- Of a list that has the usual values first: of a tame call one of these.
local function usual_of(call, list)
  return list[random(call.tame and (#list + 1) // 2 or #list)]
end

-- One of { weight, value } pairs.
local function weighted(list)
  local sum = 0
  for _, pair in ipairs(list) do sum = sum + pair[1] end
  local n = random(sum)
  for _, pair in ipairs(list) do
    n = n - pair[1]
    if n <= 0 then return pair[2] end
  end
end

local function words_in(text)
  local list = {}
  for word in text:gmatch "%S+" do table.insert(list, word) end
  return list
end

-- What a table of knowledge.lua has for a parameter: its own, or its name's.
local function known(list, call, param) return list[call.name .. "." .. param.name] or list[param.name] end

local function random_bytes(n)
  local list = {}
  for i = 1, n do list[i] = string.char(random(0, 255)) end
  return table.concat(list)
end

local ODD_INTEGERS =
  { 0, 0, 1, 2, 3, 7, 64, 4096, -1, -2, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 32, 1 << 62, math.mininteger }

local function odd_integer()
  return random(4) > 1 and one_of(ODD_INTEGERS) or random(0) >> random(0, 63)
end

-- }==========================================================================

-- {================================= memory =================================

local function slot_address(slot, offset) return ARENA + slot * SLOT_SIZE + offset end

local function new_slot(call)
  local slot = call.nslots
  call.nslots = slot + 1
  assert(slot < SLOTS, call.name)
  return slot
end

local function put(call, address, bytes)
  if #bytes > 0 then
    table.insert(call.memory, ("%x="):format(address) .. bytes:gsub(".", function(c)
      return ("%02x"):format(c:byte())
    end))
  end
end

local NOWHERE = {
  unmapped = { 0x100000000000, 0x1000, 0xdead0000, 0x6fffffff0000 }, small = { 1, 8, 4095 },
  kernel = { -0x1000, -1, -8, 0x7ffffffff000, 0x800000000000, math.mininteger, -0x800000000000, -0x7f00000000 },
}

-- Where an object stands, with how many of its bytes are there: by how often.
local TAME_PLACES =
  { { 70, "good" }, { 15, "end" }, { 5, "readonly" }, { 6, "null" }, { 2, "partial" }, { 2, "overlap" } }

local PLACES = {
  { 50, "good" }, { 12, "end" }, { 12, "partial" }, { 5, "readonly" }, { 7, "null" }, { 4, "unmapped" }, { 2, "small" },
  { 4, "kernel" }, { 4, "overlap" },
}

-- An object that no ordinary slot holds, in the big one: whole, or cut by its end.
local function place_big(call, bytes, size)
  if call.big then return NOWHERE.unmapped[1], "unmapped" end
  call.big = true
  local cut = not call.tame and random(4) == 1
  local offset = (cut or size > BIG_SIZE) and BIG_SIZE - random(1, math.min(size, BIG_SIZE)) or BIG_SIZE - size
  put(call, slot_address(SLOTS, offset), bytes:sub(1, BIG_SIZE - offset))
  return slot_address(SLOTS, offset), ("big, %d of %d"):format(math.min(size, BIG_SIZE - offset), size)
end

local function clipped(bytes, room) return #bytes > room and bytes:sub(1, room) or bytes end

-- Puts an object of `size` bytes somewhere, of which `bytes` are given; its address and how it stands.
local function place(call, bytes, size, where)
  where = where or weighted(call.tame and TAME_PLACES or PLACES)
  if where == "null" then return 0, where end
  if NOWHERE[where] then return one_of(NOWHERE[where]), where end
  if where == "overlap" then
    local other = call.places[random(math.max(#call.places, 1))]
    if other then return other + one_of { 0, 0, 4, 8, -8 }, where end
    where = "good"
  end
  if size > 2 * WRITABLE and (where == "good" or where == "end") then return place_big(call, bytes, size) end
  local slot, room = new_slot(call), READONLY
  local offset
  if where == "readonly" then
    offset = READONLY_AT + (size < READONLY and random(0, READONLY - size) & ~7 or 0)
  elseif where == "good" and size <= WRITABLE then
    offset = random(0, WRITABLE - size)
    if random(5) > 1 then offset = offset & ~7 end
    room = WRITABLE - offset
  elseif where == "partial" and size > 1 then
    room = random(1, math.min(size - 1, WRITABLE))
    where = ("partial %d of %d"):format(room, size)
    offset = WRITABLE - room
  else
    where = size <= WRITABLE and "end" or "partial"
    room = math.min(size, WRITABLE)
    offset = WRITABLE - room
  end
  local address = slot_address(slot, offset)
  put(call, address, clipped(bytes, room))
  call.shown[address] = clipped(bytes, room)
  table.insert(call.places, address)
  return address, where
end

-- }==========================================================================

-- {============================== descriptors ===============================

-- A descriptor of a kind, opened by the process before its call; its number.
local function open_fd(call, kind)
  if #call.kinds == 8 then return 77, "closed" end
  local n = call.next_fd
  call.next_fd = n + knowledge.fd_kinds[kind]
  table.insert(call.kinds, kind)
  if knowledge.tree_kinds[kind] then call.how = call.how | HOW.TREE end
  if knowledge.fd_kinds[kind] == 2 and random(4) == 1 then return n + 1, kind .. "'s other" end
  return n, kind
end

local ODD_FDS = { { 3, 77 }, { 3, -1 }, { 1, -100 }, { 2, 0 }, { 1, 1 }, { 2, 0x7fffffff }, { 1, -2147483648 },
                  { 1, 1024 }, { 1, 1000 } }

local function fd_value(call, param)
  local kinds = known(knowledge.kinds_for, call, param)
  if random(100) <= (call.tame and 97 or 80) then
    return open_fd(call, one_of(words_in(kinds or knowledge.kinds_for.fd)))
  end
  local fd = weighted(ODD_FDS)
  return fd, "fd " .. fd
end

local function dirfd_value(call, param)
  if random(100) <= 55 then return -100, "AT_FDCWD" end
  return fd_value(call, param)
end

-- }==========================================================================

-- {================================ integers ================================

local function flag_value(call, param)
  local values = flags.values(call.name, param.name)
  if not values then return nil end
  local n = 0
  for _ = 1, random(0, 3) do n = n | one_of(values) end
  return not call.tame and random(12) == 1 and n | 1 << random(0, 31) or n
end

local function bits_value(call, bits)
  local n = 0
  for _ = 1, random(0, 2) do n = n | one_of(bits) end
  return not call.tame and random(12) == 1 and n | 1 << random(0, 31) or n
end

local function pid_value(call)
  if knowledge.needs_child[call.name] and random(3) > 1 then
    call.how = call.how | HOW.CHILD
    return "$child", "child"
  end
  if knowledge.ask_only[call.name] and random(6) == 1 then return "$parent", "parent" end
  local value =
    usual_of(call, { 0, 0, "$self", "$self", "$tid", "$tid", 99999, 0x7fffffff, -99999, -2147483648, 99998 })
  return value, tostring(value)
end

-- An integer that is no count of another parameter's.
local function integer_value(call, param)
  if knowledge.fds[param.name] then return fd_value(call, param) end
  if knowledge.dirfds[param.name] then return dirfd_value(call, param) end
  if knowledge.pids[param.name] then return pid_value(call) end
  local ipc = knowledge.needs_ipc[param.name]
  if ipc and random(4) == 1 then return one_of { -1, 0x7fffffff, 123456789 }, "odd" end -- not another worker's
  if ipc then
    call.how = call.how | HOW.IPC
    return ipc
  end
  local open = not knowledge.closed[call.name .. "." .. param.name]
  if open and not call.tame and random(12) == 1 then return odd_integer(), "odd" end
  if param.name == "key" then return one_of { 0, 0, 0x10000 + call.index } end -- not another call's
  local values, bits = known(knowledge.values, call, param), known(knowledge.bits, call, param)
  if values then return usual_of(call, values) end
  if bits then return bits_value(call, bits) end
  return flag_value(call, param) or odd_integer()
end

-- A count or length: the intended one, or one larger than any buffer.
local function count_value(call, n, elem)
  if random(100) <= (call.tame and 96 or 65) then return n end
  return one_of { -1, 0, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 32, 1 << 32 | n, 1 << 62, math.mininteger, n + 1,
                  n - 1, 65536, 1025,
                  elem > 1 and (1 << 63) // elem * 2 + n or 0x7ffff000 }, "count"
end

-- The word of an integer. The kernel looks at the lower half alone when it takes 32 bits.
local function widened(value, param)
  if math.type(value) ~= "integer" then return value end
  local dirty = random(8) == 1
  if param.width ~= 4 then return dirty and value >> 32 == 0 and value | 0xdead << 32 or value end
  value = value & 0xffffffff
  if dirty then return value | 0xdead << 32 end
  return random(8) < 6 and value >= 0x80000000 and value | -1 << 32 or value
end

-- What a variant's test asks of the argument that decides.
local function decided(value, when)
  if when.op == TEST.ALWAYS then return value end
  value = math.type(value) == "integer" and value or 0
  if when.op == TEST.EQ then return value & ~when.mask | when.value end
  if when.op == TEST.NONE then return value & ~when.mask end
  if when.op == TEST.ANY and value & when.mask == 0 then
    local bit
    repeat bit = 1 << random(0, 31) until bit & when.mask ~= 0
    return value | bit
  end
  return value
end

-- }==========================================================================

-- {================================= objects ================================

local record_bytes

local function field_value(call, record, field)
  local values = knowledge.fields[record.name .. "." .. field.name] or knowledge.fields[field.name]
  if values and (call.tame or random(8) > 1) then return usual_of(call, values) end
  return random(3) == 1 and odd_integer() or random(0, 3)
end

local function packed(value, width) return string.pack("<I8", value):sub(1, width) end

local function field_bytes(call, record, field)
  local list = {}
  for i = 1, field.count do
    if field.kind == FIELD.RECORD then list[i] = record_bytes(call, field.record)
    elseif field.name == "fd" then list[i] = packed(random(3) > 1 and fd_value(call, field) or one_of { -1, 77 },
                                                    field.width)
    else list[i] = packed(field.kind == FIELD.CHARS and random(0, 127) or field_value(call, record, field), field.width)
    end
  end
  return table.concat(list)
end

-- An array of iovecs whose bytes stand in slots of their own.
local function iovec_bytes(call, n)
  local list = {}
  for i = 1, math.min(n, 4) do
    local size = one_of { 0, 1, 5, 16, 100, 1000 }
    local base = place(call, random_bytes(size), size)
    local length = (call.tame or random(10) > 1) and size
      or one_of { -1, 1 << 40, math.mininteger, 0x7fffffff, 0x7ffff000 }
    list[i] = string.pack("<I8I8", base, length)
  end
  return table.concat(list)
end

local function sockaddr_bytes()
  local kind = random(8)
  if kind <= 3 then
    return string.pack("<I2", 1) .. one_of { "s", "f", "listen", "d/s", "\0abstract", ("s"):rep(108), "" } .. "\0"
  end
  if kind <= 6 then return string.pack("<I2>I2I4", 2, one_of { 0, 9 }, one_of { 0, 0x7f000001 }) .. ("\0"):rep(8) end
  return random_bytes(random(0, 30))
end

local function sigset_bytes() return packed(odd_integer() & ~(1 << 13), 8) end -- SIGALRM ends what waits

local function control_bytes()
  return string.pack("<I8I4I4I4I4", one_of { 20, 24, 0, -1 }, one_of { 1, 0 }, one_of { 1, 2, 9 }, one_of { 0, 3, 77 },
                     0)
end

local function msghdr_bytes(call)
  local n = one_of { 0, 1, 1, 2, 3 }
  local iov = iovec_bytes(call, n)
  local name, namelen, control, controllen = 0, one_of { 0, 0, 16, 110, -1 }, 0, one_of { 0, 0, 24, 100, -1 }
  if random(3) == 1 then name = place(call, sockaddr_bytes(), 110) end
  if random(3) == 1 then control = place(call, control_bytes(), 64) end
  local at = place(call, iov, #iov)
  return string.pack("<I8i4I4I8I8I8I8I4I4", name, namelen, 0, at, count_value(call, n, 16), control, controllen, 0, 0)
end

-- Structs that hold pointers, and bytes that have a form.
local builders = {
  ["struct msghdr"] = msghdr_bytes,
  ["struct mmsghdr"] = function(call) return msghdr_bytes(call) .. packed(0, 8) end,
  ["struct iovec"] = function(call) return iovec_bytes(call, 1) end,
  ["struct sigset_argpack"] = function(call)
    return string.pack("<I8I8", (place(call, sigset_bytes(), 8)), one_of { 8, 8, 8, 0, -1 })
  end,
  ["kernel_sigset_t"] = sigset_bytes,
}

function record_bytes(call, record)
  if builders[record.name] then return builders[record.name](call) end
  local bytes = ("\0"):rep(record.size)
  for _, field in ipairs(record.fields) do
    local piece = field_bytes(call, record, field)
    bytes = bytes:sub(1, field.offset) .. piece .. bytes:sub(field.offset + #piece + 1)
  end
  return bytes:sub(1, record.size)
end

local function text_of(call, param)
  if knowledge.paths[param.name] then
    call.how = call.how | HOW.TREE
    local own = known(knowledge.path_texts_for, call, param)
    if own and random(3) > 1 then return one_of(own) end
    return usual_of(call, knowledge.path_texts)
  end
  local list = known(knowledge.strings, call, param)
  return list and usual_of(call, list) or random(5) > 1 and ("text"):rep(random(0, 8)) or ("long"):rep(1500)
end

-- A string ends by a NUL, or where what can be read ends.
local function string_object(call, text)
  if call.tame or random(100) <= 92 then return place(call, text .. "\0", #text + 1) end
  local body = #text > 0 and text or "x"
  local address = place(call, body, #body, "end")
  return address, "unterminated"
end

local function strv_object(call)
  local list = {}
  for i = 1, random(0, 3) do list[i] = string.pack("<I8", (string_object(call, one_of(knowledge.argv)))) end
  if not call.tame and random(6) == 1 then return place(call, table.concat(list), #list * 8, "end") end
  return place(call, table.concat(list) .. packed(0, 8), #list * 8 + 8)
end

-- Whether a parameter is one struct of as many bytes as another one says.
local function is_sized(param) return param.record ~= nil and param.elem < param.record.size end

-- How many elements an array is meant to have.
local function intended_count(param)
  if is_sized(param) then
    local size = param.record.size
    return one_of { size, size, size, size - 8, size + 8, size + 100, 64, 32 }
  end
  if param.kind == KIND.IOVEC then return one_of { 0, 1, 2, 3 } end
  if param.kind == KIND.RECORDS then return one_of { 0, 1, 1, 2, 3 } end
  return one_of { 0, 1, 2, 4, 8, 8, 16, 24, 64, 100, 256, 1000, 5000, 20000,
                  one_of { 65536, 100000, 1 << 20, BIG_SIZE } }
end

-- The bytes of an argument of so many elements.
local function object_bytes(call, param, n)
  if param.kind == KIND.IOVEC then return iovec_bytes(call, n) end
  if param.kind == KIND.RECORDS and is_sized(param) then
    return (record_bytes(call, param.record) .. one_of { ("\0"):rep(128), "\1" }):sub(1, n)
  end
  if param.kind == KIND.RECORDS and param.record then
    local list = {}
    for i = 1, math.min(n, 3) do list[i] = record_bytes(call, param.record) end
    return table.concat(list)
  end
  if param.name:find "addr" then return sockaddr_bytes() end
  if param.name == "sigmask" or param.name == "mask" then return sigset_bytes() end
  if call.name:find "setgroups" then return random_bytes(math.min(n, 64)) end
  return one_of { random_bytes(math.min(n, 64)), ("\0"):rep(math.min(n, 64)), "\1", "\1\0\0\0" }
end

-- An address without further description: of bytes that may mean anything.
local function address_object(call, param)
  if knowledge.pages[param.name] and random(4) > 1 then
    return slot_address(new_slot(call), one_of { 0, 0x1000, 0x3000, READONLY_AT, READONLY_AT + 0x1000, WRITABLE })
  end
  if knowledge.mostly_null[param.name] and random(4) > 1 then return 0, "null" end
  if param.ctype:find "fd_set" then return place(call, packed(one_of { 0, 8, 0x18, 0x38, -1 }, 8), 8) end
  if param.ctype:find "iovec" then local bytes = iovec_bytes(call, 2) return place(call, bytes, #bytes) end
  local bytes = one_of { packed(500000, 8), ("\0"):rep(64), random_bytes(64), packed(1, 8) .. ("m"):rep(20) }
  return place(call, bytes, 64)
end

-- }==========================================================================

-- {================================== calls =================================

-- The sizes that go with pointers: of the argument `i`, of what it points to.
local function elements_of(call, params, i)
  local param = params[i]
  if param.size == SIZE.FIXED or not param.size then return param.count and param.count > 0 and param.count or 1 end
  return call.counts[param.size_arg + 1] or 1
end

-- What counts the elements of pointers is chosen first.
local function choose_counts(call, params)
  for _, param in ipairs(params) do
    if param.size and param.size ~= SIZE.FIXED and not call.counts[param.size_arg + 1] then
      call.counts[param.size_arg + 1] = param.name:find "addr" and one_of { 110, 16, 8 }
        or intended_count(param)
      call.elems[param.size_arg + 1] = param.elem or 1
    end
  end
  -- A struct whose size another parameter tells, which no signature says yet.
  for i, param in ipairs(params) do
    if param.name == "size" and param.kind == KIND.INT and not call.counts[i] and i > 1 and params[i - 1].record then
      call.struct_sizes[i] = params[i - 1].record.size
    end
  end
end

local function struct_size(call, size)
  if call.tame then return size end
  return one_of { size, size, size, size - 8, size + 8, 0, 64, 32, 24, 4096, 5000, -1, 7 }
end

local function is_pointer(param) return param.kind ~= KIND.INT end

local function pointer_value(call, params, i)
  local param = params[i]
  if param.kind == KIND.STRING then return string_object(call, text_of(call, param)) end
  if param.kind == KIND.STRV then return strv_object(call) end
  if param.kind == KIND.ADDR then return address_object(call, param) end
  local n = elements_of(call, params, i)
  local size = n * (param.elem or 1)
  if call.counts[i] then -- a length that is pointed to
    local value, odd = count_value(call, call.counts[i], 1)
    local address, where = place(call, packed(value, 4), 4)
    return address, odd and where .. ", *" .. odd or where
  end
  local bytes = (param.dir & DIR.IN ~= 0 or param.kind == KIND.IOVEC) and object_bytes(call, param, n) or ""
  local extra = call.struct_sizes[i + 1] and one_of { 0, 0, 8, 100 } or 0
  if extra > 0 then bytes = bytes .. one_of { ("\0"):rep(extra), "\1" } end
  return place(call, bytes, param.kind == KIND.IOVEC and #bytes or size + extra)
end

local function value_of(call, params, i)
  local param = params[i]
  if is_pointer(param) then return pointer_value(call, params, i) end
  local value, shape
  if call.counts[i] then value, shape = count_value(call, call.counts[i], call.elems[i])
  elseif call.struct_sizes[i] then value, shape = struct_size(call, call.struct_sizes[i]), "size"
  else value, shape = integer_value(call, param)
  end
  return value, shape
end

local function word_text(value) return math.type(value) and ("%x"):format(value) or value end

-- An address with the first of the bytes there: text of strings, else in hexadecimal.
local function shown_bytes(call, param, value)
  local bytes = call.shown[value]
  if not bytes or #bytes == 0 then return ("0x%x"):format(value) end
  local first = clipped(bytes, 32)
  local text = (param.kind == KIND.STRING or not first:find "[^%g ]") and ("%q"):format(first):gsub("\0", "")
               or first:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  return ("0x%x {%s%s}"):format(value, text, #bytes > #first and "..." or "")
end

local function shown(call, param, value)
  if math.type(value) and is_pointer(param) then return shown_bytes(call, param, value) end
  if math.type(value) and value > 4096 then return ("0x%x"):format(value) end
  return tostring(value)
end

-- What is no reason for a difference to be of another kind.
local function usual(shape)
  return shape == "good" or shape:find "^big" or shape == "AT_FDCWD" or knowledge.fd_kinds[shape:match "[%w_]+"]
end

local function choose_arguments(call, variant)
  local params = variant.params
  choose_counts(call, params)
  for i, param in ipairs(params) do
    local value, shape = value_of(call, params, i)
    if variant.when and variant.when.arg == i - 1 then value = decided(value, variant.when) end
    value = widened(value, param)
    call.words[i] = word_text(value)
    call.arguments[i] = ("%s = %s%s")
      :format(param.name, shown(call, param, value), shape and shape ~= "good" and " (" .. shape .. ")" or "")
    if shape and not usual(shape) then
      table.insert(call.shape, param.name .. " " .. shape:gsub("partial.*", "partial"))
    end
  end
  for i = #params + 1, 6 do call.words[i] = random(6) == 1 and word_text(odd_integer()) or "0" end
end

local CIRCUMSTANCES = {
  { 64, 0 }, { 5, HOW.HANDLED }, { 1, HOW.HANDLED | HOW.THREAD }, { 10, HOW.THREAD }, { 8, HOW.IGNORED },
  { 5, HOW.BUSY }, { 3, HOW.FORKING }, { 2, HOW.THREAD | HOW.FORKING },
  { 2, HOW.THREAD | HOW.IGNORED },
}

local HOW_NAMES =
  { [HOW.THREAD] = "in a thread", [HOW.IGNORED] = "with an ignored signal", [HOW.HANDLED] = "with a handled signal",
                    [HOW.BUSY] = "beside a busy thread",
                    [HOW.FORKING] = "beside a forking thread" }

local function circumstances(call)
  local chosen = weighted(CIRCUMSTANCES)
  call.how = call.how | chosen
  if call.name:find "fork" or call.name:find "^clone" then call.how = call.how | HOW.FORKS end
  if knowledge.group[call.name] then call.how = call.how | HOW.GROUP end
  for _, bit in ipairs { HOW.THREAD, HOW.IGNORED, HOW.HANDLED, HOW.BUSY, HOW.FORKING } do
    if chosen & bit ~= 0 then table.insert(call.shape, HOW_NAMES[bit]) end
  end
end

--- The signatures of the calls that are made, in order.
---@param names? string[] of these alone
---@return table[]
function generate.signatures(names)
  local wanted, list = {}, {}
  for _, name in ipairs(names or {}) do wanted[name] = true end
  for _, sig in ipairs(signatures.list()) do
    local chosen = names == nil or wanted[sig.name]
    if chosen and sig.nr < FIRST_THREEI and not knowledge.left_out[sig.name] then table.insert(list, sig) end
  end
  return list
end

-- A line of a plan, as helper_identity.c reads it.
local function line_of(call)
  local words = { ("%x %x"):format(call.index, call.nr), table.concat(call.words, " "),
                  ("%x %x"):format(call.how, (1 << call.nslots) - 1 | (call.big and 1 << SLOTS or 0)) }
  for _, kind in ipairs(call.kinds) do table.insert(words, "." .. kind) end
  for _, text in ipairs(call.memory) do table.insert(words, text) end
  return table.concat(words, " ")
end

---@class identity.call
---@field index integer
---@field name string
---@field arguments string[] "count = -1 (count)"
---@field shape string[] what is odd about it
---@field line string of the plan

--- The call of a seed and an index, of these signatures.
---@param seed integer
---@param index integer
---@param list table[]
---@return identity.call
function generate.call(seed, index, list)
  math.randomseed(seed, index)
  local sig = one_of(list)
  local call = { index = index, name = sig.name, nr = sig.nr, words = {}, how = 0, nslots = 0, kinds = {}, next_fd = 3,
                 memory = {},
                 places = {}, counts = {}, elems = {}, struct_sizes = {}, arguments = {}, shape = {}, shown = {} }
  local variant = one_of(sig.variants)
  call.tame = random(10) <= 5
  circumstances(call)
  choose_arguments(call, variant)
  call.line = line_of(call)
  return call
end

return generate
