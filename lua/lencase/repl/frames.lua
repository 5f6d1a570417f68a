-- frames.lua - the stack of a thread: its functions, from the innermost outwards, by name
--
-- Frames are unwound as their file says (.eh_frame), and nothing is guessed: where there is no such
-- description, as in code made at run time, the list ends, and `why` says so.

local elf = require "lencase.repl.elf"

local frames = {}

local MAX_FRAMES = 64
local RSP, RETURN = 7, 16
local SYSCALL = "\x0f\x05"
local NUMBERS = { rax = 0, rbx = 3, rbp = 6, rsp = RSP, r12 = 12, r13 = 13, r14 = 14, r15 = 15, rip = RETURN }

local files = {} -- path -> what elf.open gave, or a message

local function file_at(pid, path)
  local whole = "/proc/" .. pid .. "/root" .. path
  if files[path] == nil then
    local fine, file = pcall(elf.open, whole)
    files[path] = fine and file or tostring(file)
  end
  if type(files[path]) == "string" then error(files[path], 0) end
  return files[path]
end

local function mappings(pid)
  local list = {}
  local stream = io.open("/proc/" .. pid .. "/maps")
  for text in stream and stream:lines() or function() end do
    local from, to, offset, path = text:match "^(%x+)%-(%x+) %S+ (%x+) %S+ %d+%s*(.*)$"
    if from then
      from, to, offset = tonumber(from, 16), tonumber(to, 16), tonumber(offset, 16)
      table.insert(list, { from = from, to = to, offset = offset, path = path })
    end
  end
  if stream then stream:close() end
  return list
end

local function mapping_at(list, addr)
  for _, m in ipairs(list) do
    if addr >= m.from and addr < m.to then return m end
  end
end

local function executable(pid)
  local pipe = io.popen(("readlink /proc/%d/exe 2>/dev/null"):format(pid))
  local path = pipe and pipe:read "l"
  if pipe then pipe:close() end
  return path
end

-- A frame at an address: { addr =, file =, name =, text =, own = it is of the program's own file }
local function frame_at(pid, maps, exe, addr, look)
  local m = mapping_at(maps, addr)
  local f = { addr = addr, text = ("0x%x"):format(addr), look = look }
  if not m or not m.path:find "^/" then
    f.why = m and m.path ~= "" and m.path or "no file is mapped there"
    return f
  end
  f.own, f.file = m.path == exe, m.path:match "[^/]*$"
  local fine, object = pcall(file_at, pid, m.path)
  f.at = fine and object:address(look - m.from + m.offset)
  if not f.at then
    f.why = fine and "its file has no code there" or object
    return f
  end
  f.object, f.moved = object, addr - look
  local known, name, distance = pcall(object.name, object, f.at)
  if known and name then
    f.name, f.text = name, ("%s+0x%x (%s)"):format(name, distance + f.moved, f.file)
  else
    f.text = ("%s+0x%x"):format(f.file, f.at + f.moved)
  end
  return f
end

local function registers(regs)
  local list = {}
  for name, number in pairs(NUMBERS) do list[number] = regs[name] end
  return list
end

-- All frames of a thread, and why there are no more.
local function walk(cage, regs)
  local pid, list = cage.pid, {}
  local maps, exe, now = mappings(pid), executable(pid), registers(regs)
  local function memory(addr)
    local bytes = cage:read(addr, 8) or error("its stack cannot be read", 0)
    return (string.unpack("<i8", bytes))
  end
  local function looked_for(addr) -- the call (or system call) may be the last instruction of its function
    return (#list > 0 or cage:read(addr - 2, 2) == SYSCALL) and addr - 1 or addr
  end
  while #list < MAX_FRAMES do
    local addr = now[RETURN]
    if not addr or addr == 0 then return list end
    local f = frame_at(pid, maps, exe, addr, looked_for(addr))
    table.insert(list, f)
    if not f.object then return list, f.why end
    local fine, caller = pcall(f.object.unwind, f.object, f.at, now, memory)
    if not fine then return list, tostring(caller) end
    if caller[RSP] == now[RSP] and caller[RETURN] == addr then return list, "the frames form a cycle" end
    now = caller
  end
  return list, "there are more"
end

-- A library makes its calls in functions of its own that its file does not name (__syscall_cancel of glibc
-- 2.41): its innermost frame with a name represents them, and `inside` is their number.
local function fold(list)
  local n = 0
  while list[n + 1] and list[n + 1].object and not list[n + 1].name and not list[n + 1].own do n = n + 1 end
  local named = list[n + 1]
  if n == 0 or not named or not named.name or named.object ~= list[1].object then return list end
  named.inside = n
  named.text = ("%s, %d inside without a name"):format(named.text, n)
  return table.move(list, n + 1, #list, 1, {})
end

--- The frames of a stopped thread, and why there are no more (nil: it is the outermost).
---@param cage userdata
---@param regs table<string, integer>
---@return table[] frames
---@return string? why
function frames.of(cage, regs)
  local list, why = walk(cage, regs)
  return fold(list), why
end

--- Where the program itself is: the first frame of its own file.
---@param list table[]
---@return table?
function frames.own(list)
  for _, f in ipairs(list) do
    if f.own then return f end
  end
end

return frames
