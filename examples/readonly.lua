-- readonly.lua - every way to change the file system fails with EROFS
--
--   lencase run readonly.lua -- PROGRAM [ARGS...]
--
-- As on a file system that is mounted read-only: files cannot be opened for writing, made, removed,
-- renamed or linked, and nothing about them changes. Devices, FIFOs and sockets can be written to, and
-- so can what has no name (memfd_create, pipes). access(2) with W_OK fails with EROFS, too.
--
-- Not covered: descriptors that the program inherits open for writing (its standard output) stay so; POSIX
-- message queues; changes that reading makes (access times); a path whose links another process
-- changes between the check and the open is checked again afterwards, and closed.

local lencase = require "lencase"
local sys, fail = lencase.sys, lencase.fail

local O_ACCMODE, O_CREAT, O_EXCL, O_TRUNC, O_CLOEXEC, O_PATH = 3, 0x40, 0x80, 0x200, 0x80000, 0x200000
local O_TMPFILE, O_NOFOLLOW, O_DIRECTORY = 0x400000, 0x20000, 0x10000
local S_IFMT, S_IFREG, S_IFDIR = 0xf000, 0x8000, 0x4000
local W_OK, AF_UNIX = 2, 1

-- What a read-only mount protects; a device is only named by it.
local function protected(st)
  local kind = st.st_mode & S_IFMT
  return kind == S_IFREG or kind == S_IFDIR
end

local function writes(flags)
  return flags & O_ACCMODE ~= 0 or flags & (O_CREAT | O_TRUNC) ~= 0 or flags & O_TMPFILE ~= 0
end

-- What cannot be examined is protected.
local function is_protected(fd)
  local n, _, st = sys.fstat(fd)
  return n ~= 0 or protected(st)
end

-- The file does not exist: it would be created, if its directory exists.
local function missing(pathname, flags, errno)
  if errno ~= lencase.errno.ENOENT or flags & O_CREAT == 0 then return -1, errno end
  local n, reason = sys.access(pathname:match "^(.*/)[^/]*$" or ".", 0)
  if n < 0 then return n, reason end
  return fail "EROFS"
end

-- Opened with O_PATH first, which cannot change anything.
local function check_name(pathname, flags)
  local fd, errno = sys.open(pathname, O_PATH | O_CLOEXEC | flags & (O_NOFOLLOW | O_DIRECTORY), 0)
  if fd < 0 then return missing(pathname, flags, errno) end
  local refused = is_protected(fd)
  sys.close(fd)
  if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL then return fail "EEXIST" end
  return refused
end

-- Opened without O_CREAT: if the file did not exist, O_CREAT would create it.
local function open_for_reading(pathname, flags)
  local fd, errno = sys.open(pathname, flags & ~O_CREAT, 0)
  if fd < 0 then return missing(pathname, flags, errno) end
  return fd
end

local function open(pathname, flags)
  if flags & O_PATH ~= 0 or not writes(flags) then return end
  if flags & O_TMPFILE ~= 0 then return fail "EROFS" end
  if flags & (O_ACCMODE | O_EXCL | O_TRUNC) == 0 then return open_for_reading(pathname, flags) end
  local refused, errno = check_name(pathname, flags)
  if refused == true then return fail "EROFS" end
  if refused ~= false then return refused, errno end
  local fd, reason = sys.open(pathname, flags & ~(O_CREAT | O_TRUNC), 0)
  if fd < 0 or not is_protected(fd) then return fd, reason end
  sys.close(fd)
  return fail "EROFS"
end

local function access(pathname, mode)
  if mode & W_OK == 0 then return end
  local n, errno = sys.access()
  if n < 0 then return n, errno end
  local found, _, st = sys.stat(pathname)
  if found == 0 and protected(st) then return fail "EROFS" end
  return n
end

-- Changes the file of a descriptor; a file without a name is the program's own.
local function by_descriptor(fd)
  local path = lencase.cage:fd_path(fd)
  if path and path:sub(1, 1) == "/" and not path:find "^/memfd:" then return fail "EROFS" end
end

local setting = { -- linux/fs.h: these work with a descriptor that is open for reading
  [0x40086602] = true, -- FS_IOC_SETFLAGS
  [0x40087602] = true, -- FS_IOC_SETVERSION
  [0x401c5820] = true, -- FS_IOC_FSSETXATTR
  [0x41009432] = true, -- FS_IOC_SETFSLABEL
}

local function ioctl(fd, request)
  if setting[request & 0xffffffff] then return by_descriptor(fd) end
end

-- A socket with a name in the file system.
local function bind(_, addr)
  if type(addr) ~= "userdata" or addr == lencase.NULL or #addr < 3 then return end
  if string.unpack("<I2", addr:sub(1, 2)) == AF_UNIX and addr:byte(3) ~= 0 then return fail "EROFS" end
end

local interface = {
  open = { "copy pathname", open },
  open_by_handle_at = { "pass pointers", function(_, _, flags) if writes(flags) then return fail "EROFS" end end },
  access = { "copy pathname", access },
  fchmod = { "pass pointers", by_descriptor },
  fchown = { "pass pointers", by_descriptor },
  fsetxattr = { "pass pointers", by_descriptor },
  fremovexattr = { "pass pointers", by_descriptor },
  ioctl = { lencase.PASS_THROUGH_POINTERS, ioctl },
  bind = { "copy addr", bind },
}

-- With their families: unlinkat, renameat2, fchmodat2, ...
for name in ([[unlink rmdir mkdir mknod link symlink rename chmod chown lchown truncate utime utimes utimensat
               setxattr lsetxattr removexattr lremovexattr
               mount umount2 pivot_root move_mount mount_setattr swapon swapoff acct quotactl]]):gmatch "%S+" do
  interface[name] = fail "EROFS"
end
for _, nr in ipairs { 463, 466, 469 } do interface[nr] = fail "EROFS" end -- setxattrat, removexattrat, file_setattr

return lencase.grate(interface)
