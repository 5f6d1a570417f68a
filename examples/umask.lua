-- umask.lua - permission bits that no new file gets, regardless of the program's own umask
--
--   lencase run umask.lua MASK [--chmod] -- PROGRAM [ARGS...]        (MASK in octal: 077)
--
-- The bits of MASK are removed from the mode of what open, creat, openat2, mkdir, mknod, mkfifo and
-- mq_open create, and from sockets that bind names; the program's own umask applies, too, and
-- umask(2) answers as usual. --chmod: chmod and fchmod cannot set them either.
--
-- Not covered: directories with a default ACL, which determine the modes; System V IPC, which
-- has no umask; files that exist already, and those that other programs create on the program's behalf.

local lencase = require "lencase"
local sys = lencase.sys

local AF_UNIX = 1
local mask, chmod_too

for _, word in ipairs { ... } do
  if word == "--chmod" then
    chmod_too = true
  elseif word:find "^[0-7]+$" and tonumber(word, 8) <= 511 then
    mask = tonumber(word, 8)
  else
    error(("umask.lua: '%s' is neither an octal mask from 0 to 0777 nor --chmod"):format(word), 0)
  end
end
if not mask then error("umask.lua: no mask: lencase run umask.lua 077 -- PROGRAM", 0) end

-- A handler of call `name`, whose argument `place` is a mode, where there is one.
local function masked(name, place)
  local call = sys[name]
  return function(...)
    local mode = select(place, ...)
    if not mode or mode & mask == 0 then return end
    local args = { ... }
    args[place] = mode & ~mask
    return call(table.unpack(args, 1, place))
  end
end

-- A socket gets all bits that the umask leaves: bind has no mode argument.
local function bind(_, addr)
  if type(addr) ~= "userdata" or addr == lencase.NULL or lencase.is_bad(addr) then return end
  local named = #addr > 2 and addr:byte(3) ~= 0
  if not named or string.unpack("<I2", addr:sub(1, 2)) ~= AF_UNIX then return end
  local own = sys.umask(511)
  sys.umask(own | mask)
  local n, errno = sys.bind()
  sys.umask(own)
  return n, errno
end

return lencase.grate {
  open = masked("open", 3),
  mkdir = masked("mkdir", 2),
  mknod = masked("mknod", 2),
  mq_open = masked("mq_open", 3),
  chmod = chmod_too and masked("chmod", 2) or nil,
  fchmod = chmod_too and masked("fchmod", 2) or nil,
  bind = { "copy addr", bind },
}
