-- write_filter.lua - only files whose names match a pattern may be written
--
--   lencase run write_filter.lua [--allow PATTERN]... [--errno NAME] -- PROGRAM [ARGS...]
--
-- PATTERN is a shell's pattern (* and ?) for the last part of a path; without any it is *.log. Other
-- regular files cannot be opened for writing, made, truncated, removed, renamed or linked: EPERM, or
-- the errno that is named. What counts is the file that is opened and not a link to
-- it. Devices, FIFOs and what has no name (pipes, memfd_create) can be written to.
--
-- Not covered: directories and links may be made, and directories removed; permissions, owners, times and
-- attributes can be changed; descriptors that the program inherits stay as they are.

local lencase = require "lencase"
local sys = lencase.sys

local O_ACCMODE, O_CREAT, O_EXCL, O_TRUNC, O_CLOEXEC = 3, 0x40, 0x80, 0x200, 0x80000
local O_WRONLY, O_NOFOLLOW, O_PATH, O_TMPFILE = 1, 0x20000, 0x200000, 0x400000
local S_IFMT, S_IFREG, AT_EMPTY_PATH = 0xf000, 0x8000, 0x1000

-- {================================ arguments ===============================

local patterns, refused = {}, lencase.fail "EPERM"

-- "*.log" -> "^[^/]*%.log$"
local function pattern_of(glob)
  local text = glob:gsub("%p", "%%%0"):gsub("%%([*?])", { ["*"] = "[^/]*", ["?"] = "[^/]" })
  return "^" .. text .. "$"
end

local words = { ... }
while #words > 0 do
  local option, value = table.remove(words, 1), table.remove(words, 1)
  if option == "--allow" and value then
    table.insert(patterns, pattern_of(value))
  elseif option == "--errno" and value then
    refused = lencase.fail(value)
  else
    error("write_filter.lua: expected --allow PATTERN or --errno NAME", 0)
  end
end
if #patterns == 0 then patterns[1] = pattern_of "*.log" end

-- }==========================================================================

local function allowed(path)
  if path == lencase.NULL then return true end -- the kernel says EFAULT
  local name = path:match "[^/]*$"
  for _, pattern in ipairs(patterns) do
    if name:find(pattern) then return true end
  end
  return false
end

-- Checks what was opened, after all links: a regular file must have an allowed name.
local function checked(fd)
  local n, _, st = sys.fstat(fd)
  if n == 0 and st.st_mode & S_IFMT ~= S_IFREG then return fd end
  local path = lencase.cage:fd_path(fd)
  if n == 0 and path and (allowed(path) or path:find "^/memfd:") then return fd end
  sys.close(fd)
  return refused
end

-- Opened without creating or truncating it, until it is known which file it is.
local function open_existing(pathname, flags)
  local fd, errno = sys.open(pathname, flags & ~(O_CREAT | O_EXCL | O_TRUNC), 0)
  if fd < 0 then return fd, errno end
  local result = checked(fd)
  if result ~= fd then return result end
  if flags & O_TRUNC ~= 0 then sys.ftruncate(fd, 0) end -- ignored for a device, as O_TRUNC is
  return fd
end

-- A new file, at exactly this name: a dangling link there would create another.
local function make(pathname, flags, mode)
  if not allowed(pathname) then return refused end
  return sys.open(pathname, flags | O_EXCL | O_NOFOLLOW, mode)
end

local function open(pathname, flags, mode)
  if flags & O_PATH ~= 0 or flags & O_TMPFILE == O_TMPFILE then return end
  if flags & (O_ACCMODE | O_CREAT | O_TRUNC) == 0 then return end
  if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL then return make(pathname, flags, mode) end
  if flags & (O_ACCMODE | O_TRUNC) == 0 then -- only created, if it does not exist
    local fd, errno = sys.open(pathname, flags & ~O_CREAT, 0)
    if fd >= 0 or errno ~= lencase.errno.ENOENT then return fd, errno end
    return make(pathname, flags, mode)
  end
  local fd, errno = open_existing(pathname, flags)
  if fd ~= -1 or errno ~= lencase.errno.ENOENT or flags & O_CREAT == 0 then return fd, errno end
  return make(pathname, flags, mode)
end

local function truncate(path, length)
  local fd, errno = open_existing(path, O_WRONLY | O_CLOEXEC)
  if math.type(fd) ~= "integer" or fd < 0 then return fd, errno end
  local n, reason = sys.ftruncate(fd, length)
  sys.close(fd)
  return n, reason
end

local function unlink(pathname)
  if not allowed(pathname) then return refused end
end

local function both(from, to)
  if not (allowed(from) and allowed(to)) then return refused end
end

-- linkat can also link the file of a descriptor.
local function linkat(_, oldpath, _, newpath, flags)
  if flags & AT_EMPTY_PATH ~= 0 then return refused end
  return both(oldpath, newpath)
end

local function mknod(pathname, mode)
  local kind = mode & S_IFMT
  if (kind == 0 or kind == S_IFREG) and not allowed(pathname) then return refused end
end

return lencase.grate {
  open = open,
  open_by_handle_at = { "pass pointers", function(_, _, flags)
    if flags & (O_ACCMODE | O_TRUNC) ~= 0 then return refused end
  end },
  truncate = truncate,
  unlink = unlink,
  rename = both,
  link = { nil, both, exact = true },
  linkat = linkat,
  mknod = mknod,
}
