-- elf.lua - a program's file: the names of its functions, and how to unwind their frames
--
-- 64-bit, little-endian. Only what is needed of a file is read. A damaged file raises an error
-- somewhere in here, which the callers catch.

local elf = {}
elf.__index = elf

local PT_LOAD, PT_EH_FRAME_HDR = 1, 0x6474e550
local SHT_SYMTAB, SHT_DYNSYM = 2, 11
local STT_FUNC, STT_IFUNC = 2, 10
local SYMBOL_SIZE, MAX_TABLE = 24, 1 << 26

-- {================================== files ================================

local function bytes_at(stream, offset, size)
  if size < 0 or size > MAX_TABLE then error("a table of the file is too large", 0) end
  stream:seek("set", offset)
  local bytes = stream:read(size) or ""
  if #bytes < size then error("the file is truncated", 0) end
  return bytes
end

local function segments_of(stream, offset, n, size)
  local list = {}
  for i = 0, n - 1 do
    local kind, _, at, addr, _, in_file = string.unpack("<I4I4i8i8i8i8", bytes_at(stream, offset + i * size, 56))
    table.insert(list, { kind = kind, offset = at, addr = addr, size = in_file })
  end
  return list
end

local function sections_of(stream, offset, n, size)
  local list = {}
  for i = 0, n - 1 do
    local name, kind, _, addr, at, length, link = string.unpack("<I4I4i8i8i8i8I4",
                                                                bytes_at(stream, offset + i * size, 64))
    list[i] = { name = name, kind = kind, addr = addr, offset = at, size = length, link = link }
  end
  return list
end

--- Opens a file; an error says why it cannot be.
---@param path string
---@return table
function elf.open(path)
  local stream = io.open(path, "rb") or error((path:gsub("^/proc/%d+/root", "")) .. " cannot be read", 0)
  local head = bytes_at(stream, 0, 64)
  if head:sub(1, 6) ~= "\127ELF\2\1" then error("it is not a 64-bit ELF file", 0) end
  local phoff, shoff, _, _, phsize, phnum, shsize, shnum, names = string.unpack("<i8i8I4I2I2I2I2I2I2", head, 33)
  return setmetatable({ stream = stream, segments = segments_of(stream, phoff, phnum, phsize),
                        sections = sections_of(stream, shoff, shnum, shsize), names = names }, elf)
end

--- The file's own address of an offset in it; nil: it has none.
---@param offset integer
---@return integer?
function elf:address(offset)
  for _, s in ipairs(self.segments) do
    if s.kind == PT_LOAD and offset >= s.offset and offset < s.offset + s.size then
      return offset - s.offset + s.addr
    end
  end
end

-- Bytes at an address of the file's own: as many of `size` as there are.
local function read(self, addr, size)
  for _, s in ipairs(self.segments) do
    if s.kind == PT_LOAD and addr >= s.addr and addr < s.addr + s.size then
      return bytes_at(self.stream, addr - s.addr + s.offset, math.min(size, s.addr + s.size - addr))
    end
  end
  error("the file has nothing there", 0)
end

-- }==========================================================================

-- {================================ functions ==============================

local function add_symbols(self, into, section, strings)
  local table_bytes = bytes_at(self.stream, section.offset, section.size)
  local names = bytes_at(self.stream, strings.offset, strings.size)
  for at = 1, #table_bytes - SYMBOL_SIZE + 1, SYMBOL_SIZE do
    local name, info, _, index, value, size = string.unpack("<I4BBI2i8i8", table_bytes, at)
    local kind = info & 15
    if (kind == STT_FUNC or kind == STT_IFUNC) and index ~= 0 then
      table.insert(into, { addr = value, size = size, name = string.unpack("z", names, name + 1), global = info >> 4 })
    end
  end
end

local function functions_of(self)
  local list = {}
  for _, section in pairs(self.sections) do
    if section.kind == SHT_SYMTAB or section.kind == SHT_DYNSYM then
      add_symbols(self, list, section, self.sections[section.link])
    end
  end
  table.sort(list, function(a, b)
    if a.addr ~= b.addr then return a.addr < b.addr end
    if #a.name ~= #b.name then return #a.name < #b.name end -- write and not __write
    return a.name < b.name
  end)
  return list
end

-- The last place in a sorted list whose addr is not above the one that is looked for; 0: none.
local function place_of(list, addr)
  local low, high = 0, #list
  while low < high do
    local mid = (low + high + 1) // 2
    if list[mid].addr <= addr then low = mid else high = mid - 1 end
  end
  return low
end

--- The function that an address of the file's own is in, and the distance from its start; nil: no name is known.
---@param addr integer
---@return string? name
---@return integer? distance
function elf:name(addr)
  self.functions = self.functions or functions_of(self)
  local i = place_of(self.functions, addr)
  local f = self.functions[i]
  if not f or f.size > 0 and addr >= f.addr + f.size then return nil end
  while i > 1 and self.functions[i - 1].addr == f.addr do i = i - 1 end
  return self.functions[i].name, addr - f.addr
end

-- }==========================================================================

-- {============================ call frame information =====================

local RSP, RETURN = 7, 16

-- Reads numbers one after the other, from bytes that begin at an address.
local function cursor(bytes, addr) return { bytes = bytes, base = addr, at = 1 } end

local function take(c, format)
  local value
  value, c.at = string.unpack(format, c.bytes, c.at)
  return value
end

local function uleb(c)
  local value, shift = 0, 0
  repeat
    local byte = take(c, "B")
    value = value | (byte & 127) << shift
    shift = shift + 7
  until byte < 128
  return value, shift
end

local function sleb(c)
  local value, shift = uleb(c)
  if shift < 64 and value >> shift - 1 & 1 == 1 then value = value - (1 << shift) end
  return value
end

local ENCODED = { [0] = "<i8", [2] = "<I2", [3] = "<I4", [4] = "<i8", [10] = "<i2", [11] = "<i4", [12] = "<i8" }

-- A pointer in an encoding (DW_EH_PE_...); `data`: what a data-relative one is relative to.
local function pointer(c, encoding, data)
  if encoding == 255 then return nil end
  local here = c.base + c.at - 1
  local value
  if encoding & 15 == 1 then value = uleb(c) elseif encoding & 15 == 9 then value = sleb(c)
  else value = take(c, ENCODED[encoding & 15] or error("unknown pointer encoding", 0)) end
  local relative = encoding & 0x70
  if relative == 0x10 then return value + here end
  if relative == 0x30 then return value + data end
  return value
end

local entry_at, common_at

local function section_named(self, wanted)
  local names = self.sections[self.names]
  local text = names and bytes_at(self.stream, names.offset, names.size) or ""
  for _, section in pairs(self.sections) do
    if names and string.unpack("z", text, section.name + 1) == wanted then return section end
  end
end

-- Of a file without a table (one that is linked statically): all descriptions, one after the other.
local function described(self)
  local section = section_named(self, ".eh_frame") or error("it has no .eh_frame section", 0)
  local bytes, list, at = bytes_at(self.stream, section.offset, section.size), {}, 1
  while at + 8 <= #bytes do
    local size, back = string.unpack("<I4I4", bytes, at)
    if size == 0 then break end
    local addr = section.addr + at - 1
    if back ~= 0 then
      local c = cursor(bytes:sub(at + 8, at + 3 + size), addr + 8)
      table.insert(list, { addr = pointer(c, common_at(self, addr + 4 - back).encoding, 0), where = addr })
    end
    at = at + 4 + size
  end
  table.sort(list, function(a, b) return a.addr < b.addr end)
  return list
end

local function header_of(self)
  for _, s in ipairs(self.segments) do
    if s.kind == PT_EH_FRAME_HDR then
      local c = cursor(read(self, s.addr, s.size), s.addr)
      local _, where, count, kind = take(c, "B"), take(c, "B"), take(c, "B"), take(c, "B")
      pointer(c, where, s.addr)
      local n = pointer(c, count, s.addr)
      if kind ~= 0x3b or not n then error("unknown kind of .eh_frame_hdr section", 0) end
      return { addr = s.addr, bytes = c.bytes, first = c.at, n = n }
    end
  end
  return { list = described(self) }
end

-- Where the description of the function with this address is.
local function description_at(self, addr)
  self.header = self.header or header_of(self)
  local h = self.header
  if h.list then return (h.list[place_of(h.list, addr)] or error("no frame is described there", 0)).where end
  local low, high = 0, h.n
  while low < high do
    local mid = (low + high + 1) // 2
    if string.unpack("<i4", h.bytes, h.first + 8 * (mid - 1)) + h.addr <= addr then low = mid else high = mid - 1 end
  end
  if low == 0 then error("no frame is described there", 0) end
  return string.unpack("<i4", h.bytes, h.first + 8 * (low - 1) + 4) + h.addr
end

-- An entry without its length: a cursor, and the address after it.
function entry_at(self, addr)
  local size = string.unpack("<I4", read(self, addr, 4))
  if size == 0 or size >= 0xfffffff0 then error("unknown kind of frame description", 0) end
  return cursor(read(self, addr + 4, size), addr + 4)
end

function common_at(self, addr)
  local c = entry_at(self, addr)
  take(c, "<I4")
  local version, letters = take(c, "B"), take(c, "z")
  local common = { code = uleb(c), data = sleb(c), encoding = 0, signal = false, letters = letters }
  common.back = version == 1 and take(c, "B") or uleb(c)
  local behind
  if letters:sub(1, 1) == "z" then behind = uleb(c) + c.at end
  for letter in letters:gmatch "." do
    if letter == "R" then common.encoding = take(c, "B") end
    if letter == "L" then take(c, "B") end
    if letter == "P" then pointer(c, take(c, "B"), 0) end
    if letter == "S" then common.signal = true end
  end
  c.at = behind or c.at
  common.program = c
  return common
end

local function copy(row)
  local new = { cfa = row.cfa, offset = row.offset, rules = {} }
  for register, rule in pairs(row.rules) do new.rules[register] = rule end
  return new
end

local unsupported = { expression = true }

local function skip_block(c)
  local n = uleb(c)
  c.at = c.at + n
end

-- What the instructions of one opcode byte do to a machine m: row, loc, first, stack, common.
local instructions = {
  [0x00] = function() end,
  [0x01] = function(m, c) m.loc = pointer(c, m.common.encoding, 0) end,
  [0x02] = function(m, c) m.loc = m.loc + take(c, "B") * m.common.code end,
  [0x03] = function(m, c) m.loc = m.loc + take(c, "<I2") * m.common.code end,
  [0x04] = function(m, c) m.loc = m.loc + take(c, "<I4") * m.common.code end,
  [0x05] = function(m, c) m.row.rules[uleb(c)] = uleb(c) * m.common.data end,
  [0x06] = function(m, c)
    local register = uleb(c)
    m.row.rules[register] = m.first and m.first.rules[register]
  end,
  [0x07] = function(m, c) m.row.rules[uleb(c)] = false end, -- undefined
  [0x08] = function(m, c) m.row.rules[uleb(c)] = nil end, -- same value
  [0x09] = function(m, c) m.row.rules[uleb(c)] = { from = uleb(c) } end,
  [0x0a] = function(m) table.insert(m.stack, copy(m.row)) end,
  [0x0b] = function(m) m.row = table.remove(m.stack) or error("a frame description is damaged", 0) end,
  [0x0c] = function(m, c) m.row.cfa, m.row.offset = uleb(c), uleb(c) end,
  [0x0d] = function(m, c) m.row.cfa = uleb(c) end,
  [0x0e] = function(m, c) m.row.offset = uleb(c) end,
  [0x0f] = function(m, c)
    m.row.cfa = unsupported
    skip_block(c)
  end,
  [0x10] = function(m, c)
    m.row.rules[uleb(c)] = unsupported
    skip_block(c)
  end,
  [0x11] = function(m, c) m.row.rules[uleb(c)] = sleb(c) * m.common.data end,
  [0x12] = function(m, c) m.row.cfa, m.row.offset = uleb(c), sleb(c) * m.common.data end,
  [0x13] = function(m, c) m.row.offset = sleb(c) * m.common.data end,
  [0x14] = function(m, c) m.row.rules[uleb(c)] = { value = uleb(c) * m.common.data } end,
  [0x15] = function(m, c) m.row.rules[uleb(c)] = { value = sleb(c) * m.common.data } end,
  [0x16] = function(m, c)
    m.row.rules[uleb(c)] = unsupported
    skip_block(c)
  end,
  [0x2e] = function(_, c) uleb(c) end,
  [0x2f] = function(m, c) m.row.rules[uleb(c)] = -uleb(c) * m.common.data end,
}

-- Runs a program up to an address.
local function execute(m, c, addr)
  while c.at <= #c.bytes and m.loc <= addr do
    local op = take(c, "B")
    local high, low = op & 0xc0, op & 0x3f
    if high == 0x40 then m.loc = m.loc + low * m.common.code
    elseif high == 0x80 then m.row.rules[low] = uleb(c) * m.common.data
    elseif high == 0xc0 then m.row.rules[low] = m.first and m.first.rules[low]
    else (instructions[op] or error("unknown instruction in a frame description", 0))(m, c) end
  end
end

-- The rules that hold at an address of the file's own.
local function row_at(self, addr)
  local at = description_at(self, addr)
  local c = entry_at(self, at)
  local back = take(c, "<I4")
  local common = common_at(self, at + 4 - back)
  local first = pointer(c, common.encoding, 0)
  local size = pointer(c, common.encoding & 15, 0)
  if addr < first or addr >= first + size then error("no frame is described there", 0) end
  if common.letters:sub(1, 1) == "z" then skip_block(c) end
  local m = { row = { rules = {} }, loc = first, stack = {}, common = common }
  execute(m, common.program, math.maxinteger)
  m.loc, m.first = first, copy(m.row)
  execute(m, c, addr)
  m.row.back, m.row.signal = common.back, common.signal
  return m.row
end

local UCONTEXT_REGS = 40 -- where the registers are in the frame of a signal handler
local UCONTEXT = { 8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, RSP, RETURN }

local function signal_frame(regs, memory)
  local new = {}
  for i, register in ipairs(UCONTEXT) do new[register] = memory(regs[RSP] + UCONTEXT_REGS + 8 * (i - 1)) end
  return new
end

local function cannot() error("the frame is described by an expression, which is not supported", 0) end

local function restored(rule, old, cfa, memory, regs)
  if rule == unsupported then cannot() end
  if math.type(rule) then return memory(cfa + rule) end
  if type(rule) == "table" then return rule.from and regs[rule.from] or rule.value and cfa + rule.value end
  if rule == false then return nil end
  return old
end

--- The registers of the caller, by their DWARF numbers (7: rsp, 16: the return address). `addr` is where the
--- callee is, of the file's own; memory(address) -> integer.
---@param addr integer
---@param regs table<integer, integer>
---@param memory fun(addr: integer): integer
---@return table<integer, integer>
function elf:unwind(addr, regs, memory)
  local row = row_at(self, addr)
  if row.signal then return signal_frame(regs, memory) end
  if row.cfa == unsupported then cannot() end
  local cfa, new = regs[row.cfa] + row.offset, {}
  for register, old in pairs(regs) do new[register] = restored(row.rules[register], old, cfa, memory, regs) end
  new[RSP] = cfa
  new[RETURN] = restored(row.rules[row.back], nil, cfa, memory, regs)
  return new
end

-- }==========================================================================

return elf
