-- imfs.lua - an in-memory file system: what is below a prefix is kept in this script, and gone at its end
--
--   lencase run imfs.lua [--at PATH] [--size MIB] -- PROGRAM [ARGS...]
--   lencase run clamp.lua --prefix /tmp %{ imfs.lua strace.lua %} -- PROGRAM [ARGS...]
--
-- By default PATH is /tmp, and MIB 256. Files, directories, hard and symbolic links, working
-- directories, record locks and private mappings; what is opened is shared over dup, fork and exec. In the
-- program each descriptor is an O_PATH one, of a file in /proc that the program cannot change: a call that
-- is not known here fails with EBADF and changes nothing.
--
-- Not covered: programs cannot be executed from it, nor FIFOs, devices and sockets be made in it; shared
-- mappings; extended attributes, inotify, leases, holes by fallocate; permissions are kept and shown, but
-- only access(2) for X_OK respects them; names that lead here through links outside; descriptors that are
-- sent to others, and what /proc says about them; a listing of the directory above PATH does not show it. Times
-- are whole seconds and a count of changes.

local lencase = require "lencase"
local classes = require "lencase.classes"
local sys, fail = lencase.sys, lencase.fail

local AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_SYMLINK_FOLLOW = -100, 0x100, 0x200, 0x400
local AT_EMPTY_PATH = 0x1000
local O_ACCMODE, O_WRONLY, O_CREAT, O_EXCL, O_TRUNC, O_APPEND = 3, 1, 0x40, 0x80, 0x200, 0x400
local O_NONBLOCK, O_LARGEFILE, O_DIRECTORY, O_NOFOLLOW, O_CLOEXEC = 0x800, 0x8000, 0x10000, 0x20000, 0x80000
local O_PATH, O_TMPFILE = 0x200000, 0x400000
local S_IFMT, S_IFREG = 0xf000, 0x8000
local NAME_MAX, LINKS_MAX, IOV_MAX, RW_MAX, OFF_MAX = 255, 40, 1024, 0x7ffff000, math.maxinteger
local PAGE = 4096
local NULL = lencase.NULL

-- {================================ arguments ===============================

local function parts_of(path)
  local parts = {}
  for part in path:gmatch "[^/]+" do table.insert(parts, part) end
  return parts
end

local prefix, pages_left = parts_of "/tmp", 256 << 8
local words = { ... }
while #words > 0 do
  local option, value = table.remove(words, 1), table.remove(words, 1)
  if option == "--at" and value and value:find "^/.*[^/]" and not value:find "/%.%.?%f[/\0]" then
    prefix = parts_of(value)
  elseif option == "--size" and value and value:find "^%d+$" and #value < 10 then
    pages_left = math.tointeger(value) << 8
  else
    error("imfs.lua: expected --at PATH, absolute and without . and .., or --size MIB", 0)
  end
end
local pages_in_all = pages_left

-- }==========================================================================

-- {================================== nodes =================================

local KIND = { file = 0x8000, dir = 0x4000, link = 0xa000 } -- S_IFREG, S_IFDIR, S_IFLNK
local DT = { file = 8, dir = 4, link = 10 } -- dirent.h

-- Per cage: its working directory, when that is here, and its umask, when it is known.
local process = lencase.per_cage {
  init = function() return {} end,
  fork = function(of) return { cwd = of.cwd, umask = of.umask } end,
}

local second, changes = 0, 0

-- A later time is greater, also within a second.
local function now()
  local t = os.time()
  changes = t == second and math.min(changes + 1, 999999999) or 0
  second = t
  return { tv_sec = t, tv_nsec = changes }
end

local inodes = 0

local function new_node(kind, mode, uid, gid)
  inodes = inodes + 1
  local t = now()
  local node = { kind = kind, mode = mode, uid = uid, gid = gid, ino = inodes, nlink = 0, size = 0,
                 atime = t, mtime = t, ctime = t, btime = t }
  if kind == "dir" then node.nlink, node.entries, node.names, node.count, node.last = 2, {}, {}, 0, 2 end
  return node
end

local root = new_node("dir", 0x3ff, 0, 0)

local function umask()
  if not process.umask then
    process.umask = sys.umask(0)
    sys.umask(process.umask)
  end
  return process.umask
end

-- `mode` without the bits of the umask.
local function make(kind, mode) return new_node(kind, mode & 0xfff & ~umask(), sys.geteuid(), sys.getegid()) end

local function touch(node)
  node.mtime = now()
  node.ctime = node.mtime
end

-- names[cookie] is an entry's name; a listing continues after the last cookie that it had, also when
-- entries have been removed meanwhile.
local function enter(dir, name, node)
  dir.last, dir.count = dir.last + 1, dir.count + 1
  dir.names[dir.last] = name
  dir.entries[name] = { node = node, cookie = dir.last }
  node.nlink = node.nlink + 1
  if node.kind == "dir" then
    node.nlink, node.parent, node.name = 2, dir, name
    dir.nlink = dir.nlink + 1
  end
  node.ctime = now()
  touch(dir)
end

local function leave(dir, name)
  local entry = dir.entries[name]
  local node = entry.node
  dir.entries[name], dir.names[entry.cookie], dir.count = nil, nil, dir.count - 1
  if dir.count == 0 then dir.last = 2 end
  node.nlink, node.ctime = node.nlink - 1, now()
  if node.kind == "dir" then
    node.nlink, node.parent, node.name = 0, nil, nil
    dir.nlink = dir.nlink - 1
  end
  touch(dir)
end

local function path_of(dir)
  local parts = {}
  while dir ~= root do
    if not dir.parent then return nil end -- removed
    table.insert(parts, 1, dir.name)
    dir = dir.parent
  end
  return "/" .. table.concat(prefix, "/") .. (#parts > 0 and "/" or "") .. table.concat(parts, "/")
end

local function size_of(node) return node.kind == "dir" and PAGE or node.target and #node.target or node.size end

local function blocks_of(node)
  local n = 0
  for _ in pairs(node.pages or {}) do n = n + PAGE // 512 end
  return n
end

local DEV_MINOR = 77
local function stat_of(node)
  return { st_dev = DEV_MINOR, st_ino = node.ino, st_nlink = node.nlink, st_mode = KIND[node.kind] | node.mode,
           st_uid = node.uid, st_gid = node.gid, st_rdev = 0, st_size = size_of(node), st_blksize = PAGE,
           st_blocks = blocks_of(node), st_atim = node.atime, st_mtim = node.mtime, st_ctim = node.ctime }
end

local function statx_of(node)
  return { stx_mask = 0xfff, stx_blksize = PAGE, stx_nlink = node.nlink, stx_uid = node.uid, stx_gid = node.gid,
           stx_mode = KIND[node.kind] | node.mode, stx_ino = node.ino, stx_size = size_of(node),
           stx_blocks = blocks_of(node), stx_atime = node.atime, stx_btime = node.btime, stx_ctime = node.ctime,
           stx_mtime = node.mtime, stx_dev_minor = DEV_MINOR }
end

-- }==========================================================================

-- {================================= contents ===============================

-- pages[i] are the bytes from (i - 1) * PAGE on; a missing page is zeros, and so are the
-- bytes of the last one after the file's size.
local ZEROS = ("\0"):rep(PAGE)

local function contents(node, from, n)
  n = math.max(0, math.min(n, node.size - from))
  local parts, pages = {}, node.pages or {}
  while n > 0 do
    local start = from % PAGE
    local part = (pages[from // PAGE + 1] or ZEROS):sub(start + 1, start + n)
    table.insert(parts, part)
    from, n = from + #part, n - #part
  end
  return table.concat(parts)
end

-- How many bytes were stored: fewer when the file system is full.
local function store(node, from, bytes)
  local done = 0
  node.pages = node.pages or {}
  while done < #bytes do
    local i, start = (from + done) // PAGE + 1, (from + done) % PAGE
    local page = node.pages[i]
    if not page and pages_left == 0 then collectgarbage() end -- removed nodes free their pages
    if not page and pages_left == 0 then break end
    local part = bytes:sub(done + 1, done + PAGE - start)
    if not page then pages_left, page = pages_left - 1, ZEROS end
    node.pages[i] = page:sub(1, start) .. part .. page:sub(start + #part + 1)
    done = done + #part
  end
  if done > 0 then
    node.size = math.max(node.size, from + done)
    touch(node)
  end
  return done
end

local function resize(node, size)
  local keep = (size + PAGE - 1) // PAGE
  for i in pairs(size < node.size and node.pages or {}) do
    if i > keep then node.pages[i], pages_left = nil, pages_left + 1 end
  end
  local last = size % PAGE > 0 and node.pages and node.pages[keep]
  if last then node.pages[keep] = last:sub(1, size % PAGE) .. ZEROS:sub(size % PAGE + 1) end
  node.size = size
  touch(node)
end

-- A node without a name or an open description frees its pages.
local release = { __gc = function(pages) for _ in pairs(pages) do pages_left = pages_left + 1 end end }

local function make_file(mode)
  local node = make("file", mode)
  node.pages = setmetatable({}, release)
  return node
end

-- }==========================================================================

-- {================================== paths =================================

local files = lencase.fdtable() -- descriptor -> what was opened: { node =, flags =, pos = }

---@class place
---@field node table? what is there
---@field dir table? the directory it is or would be in
---@field name string? its name there; nil for a directory that was reached by ".", ".." or as the root
---@field slash boolean? the path ended in a slash: it must be a directory
---@field outside string? it is not here: its absolute path
---@field crossed boolean? the way there led through here: the kernel would not find it

local function is_prefix(parts)
  for i = 1, #prefix do
    if parts[i] ~= prefix[i] then return false end
  end
  return #parts == #prefix
end

-- Outside, paths are compared as text.
local function step_outside(parts, name)
  if name == ".." then
    table.remove(parts)
  elseif name ~= "." then
    table.insert(parts, name)
  end
  return is_prefix(parts) and root or parts
end

local function step_up(dir)
  if dir ~= root then return dir.parent or dir end
  return table.move(prefix, 1, #prefix - 1, 1, {})
end

-- The target of a link replaces its name.
local function follow_link(walk, target)
  walk.links, walk.crossed = walk.links + 1, true
  if walk.links > LINKS_MAX then return fail "ELOOP" end
  local parts = parts_of(target)
  walk.todo = table.move(walk.todo, 1, #walk.todo, #parts + 1, parts)
  if target:find "^/" then walk.where = {} end
end

-- One name further, in a directory here; a failure when that is not possible.
local function step(walk, name)
  local dir, last = walk.where, #walk.todo == 0
  walk.crossed = true
  if name == "." then return end
  if name == ".." then
    walk.where = step_up(dir)
    return
  end
  if #name > NAME_MAX then return fail "ENAMETOOLONG" end
  local node = dir.entries[name] and dir.entries[name].node
  if node and node.target and (not last or walk.follow or walk.slash) then return follow_link(walk, node.target) end
  if last then
    walk.place = { node = node, dir = dir, name = name, slash = walk.slash }
    return walk.slash and node and node.kind ~= "dir" and fail "ENOTDIR"
  end
  if not node or node.kind ~= "dir" then return fail(node and "ENOTDIR" or "ENOENT") end
  walk.where = node
end

-- `where` is a directory here, or the names of a path outside.
local function walk_from(where, path, follow)
  local walk = { where = where, todo = parts_of(path), follow = follow, slash = path:find "/$" ~= nil, links = 0 }
  while #walk.todo > 0 do
    local name = table.remove(walk.todo, 1)
    if walk.where.kind then
      local failure = step(walk, name)
      if failure then return nil, failure end
    else
      walk.where = step_outside(walk.where, name)
    end
  end
  if walk.place then return walk.place end
  if walk.where.kind then return { node = walk.where, slash = walk.slash } end
  return { outside = "/" .. table.concat(walk.where, "/"), crossed = walk.crossed }
end

-- What a relative path is resolved against: a directory here, or a path outside.
local function base_of(dirfd)
  if not dirfd or dirfd == AT_FDCWD then return process.cwd, lencase.cage.cwd end
  return files[dirfd] and files[dirfd].node, lencase.cage:fd_path(dirfd)
end

local standard = { stdin = 0, stdout = 1, stderr = 2 }

-- What a name of a descriptor means, and what follows that name: "/proc/self/fd/3/x" -> file, "/x"
local function descriptor_named(path)
  local process_name, fd, behind = path:match "^/proc/([%w-]+)/fd/(%d+)(.*)$"
  local own = process_name == "self" or process_name == "thread-self" or process_name == tostring(lencase.cage.pid)
  if not own then fd, behind = path:match "^/dev/fd/(%d+)(.*)$" end
  return files[math.tointeger(fd) or standard[path:match "^/dev/(std%a+)$"] or -1], behind or ""
end

--- The place a path means; false for one that is outside and that the kernel finds; nil and why not.
local function find(dirfd, path, follow)
  if path == NULL then return false end
  if path == "" then return nil, fail "ENOENT" end
  local place, failure, here, outside
  local file, behind = descriptor_named(path)
  if file and behind == "" then return follow and { node = file.node } end
  if file then
    here, path = file.node, behind
  elseif not path:find "^/" then
    here, outside = base_of(dirfd)
    if not here and not outside then return false end -- the kernel says what is wrong with it
  end
  if here and here.kind ~= "dir" then return nil, fail "ENOTDIR" end
  if here then
    place, failure = walk_from(here, path, follow)
  else
    place, failure = walk_from({}, outside and outside .. "/" .. path or path, follow)
  end
  if place and place.outside and not here and not place.crossed then return false end
  return place, failure
end

-- What a descriptor means where a path is empty or null; false for one that was not opened here.
local function find_open(dirfd)
  if dirfd == AT_FDCWD or not dirfd then return process.cwd and { node = process.cwd } or false end
  return files[dirfd] and { node = files[dirfd].node } or false
end

-- }==========================================================================

-- {============================= calls with paths ===========================

local by_path = {} -- name of a call -> { function(place, rest...), follow = does it follow a last link }

local function always() return true end
local function never() return false end

-- Whether flags, the n-th argument after the path, say not to follow a link.
local function unless_nofollow(n)
  return function(...) return (select(n, ...)) & AT_SYMLINK_NOFOLLOW == 0 end
end

local function path_call(names, follow, f)
  for name in names:gmatch "%S+" do by_path[name] = { f, follow = follow } end
end

-- Nothing can be created in a directory that has been removed.
local function is_gone(dir) return not dir.parent and dir ~= root end

-- For a path that exists.
local function existing(f)
  return function(place, ...)
    if not place.node then return fail "ENOENT" end
    return f(place.node, ...)
  end
end

-- For a path that does not exist.
local function vacant(f)
  return function(place, ...)
    if place.node then return fail "EEXIST" end
    if is_gone(place.dir) then return fail "ENOENT" end
    return f(place, ...)
  end
end

path_call("stat", always, existing(function(node) return 0, nil, stat_of(node) end))
path_call("lstat", never, by_path.stat[1])
path_call("newfstatat", unless_nofollow(2), by_path.stat[1])
path_call("statx", unless_nofollow(1), existing(function(node) return 0, nil, statx_of(node) end))

path_call("access faccessat faccessat2", always, existing(function(node, mode)
  if mode & 1 ~= 0 and node.kind == "file" and node.mode & 0x49 == 0 then return fail "EACCES" end
  return 0
end))

path_call("mkdir mkdirat", never, vacant(function(place, mode)
  enter(place.dir, place.name, make("dir", mode & 0x3ff))
  return 0
end))

path_call("mknod mknodat", never, vacant(function(place, mode)
  local kind = mode & S_IFMT
  if kind ~= 0 and kind ~= S_IFREG then return fail "EPERM" end
  if place.slash then return fail "ENOENT" end
  enter(place.dir, place.name, make_file(mode))
  return 0
end))

path_call("symlink symlinkat", never, vacant(function(place, target)
  if target == "" or place.slash then return fail "ENOENT" end
  local node = make("link", 0x1ff)
  node.mode, node.target = 0x1ff, target
  enter(place.dir, place.name, node)
  return 0
end))

path_call("readlink readlinkat", never, existing(function(node, _, size)
  if not node.target or size <= 0 then return fail "EINVAL" end
  local target = node.target:sub(1, size)
  return #target, nil, target
end))

local function remove_dir(place)
  local node = place.node
  if not node then return fail "ENOENT" end
  if node.kind ~= "dir" then return fail "ENOTDIR" end
  if not place.name then return fail(node == root and "EBUSY" or "EINVAL") end
  if node.count > 0 then return fail "ENOTEMPTY" end
  leave(place.dir, place.name)
  return 0
end

local function unlink(place)
  if not place.node then return fail "ENOENT" end
  if place.node.kind == "dir" then return fail "EISDIR" end
  leave(place.dir, place.name)
  return 0
end

path_call("rmdir", never, remove_dir)
path_call("unlink", never, unlink)
path_call("unlinkat", never, function(place, flags)
  return (flags & AT_REMOVEDIR ~= 0 and remove_dir or unlink)(place)
end)

local function set_mode(node, mode)
  if node.kind == "link" then return fail "EOPNOTSUPP" end -- as the kernel since Linux 6.6
  node.mode, node.ctime = mode & 0xfff, now()
  return 0
end

local function set_owner(node, uid, gid)
  if uid ~= 0xffffffff and uid ~= -1 then node.uid = uid end
  if gid ~= 0xffffffff and gid ~= -1 then node.gid = gid end
  node.ctime = now()
  return 0
end

path_call("chmod fchmodat", always, existing(set_mode))
path_call("fchmodat2", unless_nofollow(2), existing(set_mode))
path_call("chown", always, existing(set_owner))
path_call("lchown", never, existing(set_owner))
path_call("fchownat", unless_nofollow(3), existing(set_owner))

local UTIME_NOW, UTIME_OMIT = 0x3fffffff, 0x3ffffffe

local function time_of(old, t, unit)
  local nsec = t.tv_nsec or t.tv_usec
  if not t.tv_usec and nsec == UTIME_NOW then return now() end
  if not t.tv_usec and nsec == UTIME_OMIT then return old end
  return { tv_sec = t.tv_sec, tv_nsec = nsec * unit }
end

-- `atime` and `mtime` are timespecs or timevals; without them it is now.
local function set_times(node, atime, mtime, unit)
  node.ctime = now()
  node.atime = atime and time_of(node.atime, atime, unit) or node.ctime
  node.mtime = mtime and time_of(node.mtime, mtime, unit) or node.ctime
  return 0
end

local function set_times_by(unit)
  return existing(function(node, times)
    if times == NULL then return set_times(node) end
    return set_times(node, times[1], times[2], unit)
  end)
end

path_call("utimes futimesat", always, set_times_by(1000))
path_call("utimensat", unless_nofollow(2), set_times_by(1))
path_call("utime", always, existing(function(node, times)
  if times == NULL then return set_times(node) end
  return set_times(node, { tv_sec = times.actime, tv_nsec = 0 }, { tv_sec = times.modtime, tv_nsec = 0 }, 1)
end))

local function truncate(node, length)
  if node.kind == "dir" then return fail "EISDIR" end
  if length < 0 then return fail "EINVAL" end
  resize(node, length)
  return 0
end

path_call("truncate", always, existing(truncate))

local function statfs_of()
  return { f_type = 0x01021994, f_bsize = PAGE, f_blocks = pages_in_all, f_bfree = pages_left, f_bavail = pages_left,
           f_files = 1 << 20, f_ffree = (1 << 20) - inodes, f_namelen = NAME_MAX, f_frsize = PAGE }
end

path_call("statfs", always, existing(function() return 0, nil, statfs_of() end))

path_call("execve execveat", always, existing(function() return fail "EACCES" end))

-- }==========================================================================

-- {================================== open ==================================

-- A descriptor of the cage's that represents what was opened.
local function descriptor(node, flags)
  local fd, errno = sys.open("/proc/self/stat", O_PATH | flags & O_CLOEXEC)
  if fd >= 0 then files[fd] = { node = node, flags = flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC), pos = 0 } end
  return fd, errno
end

local function open_existing(node, flags)
  local writes = flags & O_ACCMODE ~= 0 or flags & O_TRUNC ~= 0
  if flags & O_PATH == 0 then
    if node.kind == "link" then return fail "ELOOP" end
    if node.kind == "dir" and (writes or flags & O_CREAT ~= 0) then return fail "EISDIR" end
  end
  if flags & O_DIRECTORY ~= 0 and node.kind ~= "dir" then return fail "ENOTDIR" end
  local fd, errno = descriptor(node, flags)
  if fd >= 0 and flags & (O_TRUNC | O_PATH) == O_TRUNC then resize(node, 0) end
  return fd, errno
end

local function open(place, flags, mode)
  local node = place.node
  if flags & O_TMPFILE ~= 0 then
    if not node or node.kind ~= "dir" then return fail(node and "ENOTDIR" or "ENOENT") end
    return descriptor(make_file(mode), flags & ~(O_TMPFILE | O_DIRECTORY))
  end
  if flags & O_CREAT == 0 or flags & O_PATH ~= 0 then
    if not node then return fail "ENOENT" end
    return open_existing(node, flags & ~O_CREAT)
  end
  if node and flags & O_EXCL ~= 0 then return fail "EEXIST" end
  if node then return open_existing(node, flags) end
  if place.slash then return fail "EISDIR" end
  if is_gone(place.dir) then return fail "ENOENT" end
  node = make_file(mode)
  local fd, errno = descriptor(node, flags)
  if fd >= 0 then enter(place.dir, place.name, node) end
  return fd, errno
end

local function follows(flags)
  return flags & O_NOFOLLOW == 0 and flags & (O_CREAT | O_EXCL) ~= O_CREAT | O_EXCL
end

path_call("open openat", follows, open)
path_call("creat", always, function(place, mode) return open(place, O_CREAT | O_WRONLY | O_TRUNC, mode) end)
path_call("openat2", function(how) return how ~= NULL and follows(how.flags) end, function(place, how)
  if how == NULL then return fail "EFAULT" end
  if how.resolve ~= 0 then return fail "EINVAL" end
  return open(place, how.flags, how.mode)
end)

-- }==========================================================================

-- {========================== calls with two paths ==========================

local RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2

local function is_within(dir, node)
  while dir do
    if dir == node then return true end
    dir = dir.parent
  end
  return false
end

-- What must hold for a name before the node at `from` can get it.
local function refusal(from, to)
  if not to.name or not from.name then return fail "EBUSY" end
  if from.node.kind == "dir" and is_within(to.dir, from.node) then return fail "EINVAL" end
  if not to.node then
    if to.slash and from.node.kind ~= "dir" then return fail "ENOTDIR" end
    return is_gone(to.dir) and fail "ENOENT"
  end
  if from.node.kind ~= "dir" then return to.node.kind == "dir" and fail "EISDIR" end
  if to.node.kind ~= "dir" then return fail "ENOTDIR" end
  return to.node.count > 0 and fail "ENOTEMPTY"
end

local function exchange(from, to)
  if not to.node then return fail "ENOENT" end
  if is_within(to.dir, from.node) or is_within(from.dir, to.node) then return fail "EINVAL" end
  leave(from.dir, from.name)
  leave(to.dir, to.name)
  enter(from.dir, from.name, to.node)
  enter(to.dir, to.name, from.node)
  return 0
end

local function rename(from, to, flags)
  flags = flags or 0
  if not from.node then return fail "ENOENT" end
  if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) ~= 0 or flags == 3 then return fail "EINVAL" end
  if flags == RENAME_EXCHANGE then return exchange(from, to) end
  if to.node and flags == RENAME_NOREPLACE then return fail "EEXIST" end
  if from.node == to.node then return 0 end
  local refused = refusal(from, to)
  if refused then return refused end
  if to.node then leave(to.dir, to.name) end
  leave(from.dir, from.name)
  enter(to.dir, to.name, from.node)
  return 0
end

local function link(from, to)
  if not from.node then return fail "ENOENT" end
  if from.node.kind == "dir" then return fail "EPERM" end
  if to.node then return fail "EEXIST" end
  if to.slash or is_gone(to.dir) then return fail "ENOENT" end
  enter(to.dir, to.name, from.node)
  return 0
end

path_call("rename renameat renameat2", never, rename)
path_call("link", never, link)
path_call("linkat", function(flags) return flags & AT_SYMLINK_FOLLOW ~= 0 end, link)

-- }==========================================================================

-- {================================== locks =================================

-- node.locks: { { owner =, shared =, from =, to = } }; owners are cages' ids, or open descriptions,
-- which their locks do not keep alive.
local locked = setmetatable({}, { __mode = "k" }) -- the nodes that have some
local weak = { __mode = "v" }

local function conflict(node, owner, shared, from, to)
  for _, lock in ipairs(node.locks or {}) do
    local meets = lock.to >= from and lock.from <= to and not (shared and lock.shared)
    if meets and lock.owner and lock.owner ~= owner then return lock end
  end
end

-- The owner's locks without those of a range.
local function unlock(node, owner, from, to)
  local left = {}
  for _, lock in ipairs(node.locks or {}) do
    if lock.owner ~= owner or lock.to < from or lock.from > to then
      table.insert(left, lock)
    else
      local function rest(first, last)
        if first > last then return end
        local part = { owner = owner, shared = lock.shared, pid = lock.pid, from = first, to = last }
        table.insert(left, setmetatable(part, weak))
      end
      rest(lock.from, from - 1)
      if to < OFF_MAX then rest(to + 1, lock.to) end
    end
  end
  node.locks = left
end

local WAIT = { tv_sec = 0, tv_nsec = 5000000 }

-- Other cages continue while this one sleeps.
local function lock_range(node, lock, waits)
  if node.locks and #node.locks > 0 then collectgarbage() end -- the close of the last descriptor may not be seen here
  while conflict(node, lock.owner, lock.shared, lock.from, lock.to) do
    if not waits then return fail "EAGAIN" end
    local n, errno = sys.nanosleep(WAIT, 0)
    if n < 0 then return n, errno end
  end
  unlock(node, lock.owner, lock.from, lock.to)
  table.insert(node.locks, setmetatable(lock, weak))
  locked[node] = true
  return 0
end

local F_RDLCK, F_UNLCK = 0, 2

local function range_of(file, flock)
  local start = flock.l_start + (({ [0] = 0, file.pos, file.node.size })[flock.l_whence] or 0)
  local length = flock.l_len
  if length < 0 then start, length = start + length, -length end
  return start, length == 0 and OFF_MAX or start + length - 1
end

-- }==========================================================================

-- {========================== calls with descriptors ========================

local by_fd = {} -- name of a call -> { policy, function(file, rest...) }

local function fd_call(names, f, policy)
  for name in names:gmatch "%S+" do by_fd[name] = { policy or "pass pointers", f } end
end

local function can_read(file)
  if file.flags & O_PATH ~= 0 or file.flags & O_ACCMODE == O_WRONLY then return fail "EBADF" end
  return file.node.kind == "dir" and fail "EISDIR"
end

local function can_write(file)
  return (file.flags & O_PATH ~= 0 or file.flags & O_ACCMODE == 0) and fail "EBADF"
end

-- At `offset`, or at the file's position; in a call the bytes replace its second argument.
local function read(file, count, offset)
  local refused = can_read(file)
  if refused then return refused end
  if offset and offset < 0 then return fail "EINVAL" end
  local bytes = contents(file.node, offset or file.pos, math.min(count, RW_MAX))
  if not offset then file.pos = file.pos + #bytes end
  return #bytes, nil, bytes
end

local CHUNK = 1 << 20 -- bytes that are read at once

-- The bytes of the cage's buffers { addr, length }, a chunk at a time.
local function store_from(node, from, buffers)
  local done = 0
  for _, buffer in ipairs(buffers) do
    local addr, left = buffer[1], math.min(buffer[2], RW_MAX - done)
    while left > 0 do
      local bytes, errno = lencase.cage:read(addr, math.min(left, CHUNK))
      if not bytes then return done, errno end
      local stored = store(node, from + done, bytes)
      done, addr, left = done + stored, addr + stored, left - stored
      if stored < #bytes then return done, lencase.errno.ENOSPC end
    end
  end
  return done
end

local function write(file, buffers, offset)
  local refused = can_write(file)
  if refused then return refused end
  if offset and offset < 0 then return fail "EINVAL" end
  local from = offset or file.pos
  if file.flags & O_APPEND ~= 0 then from = file.node.size end
  if from > OFF_MAX - RW_MAX then return fail "EFBIG" end
  local done, errno = store_from(file.node, from, buffers)
  if done == 0 and errno then return -1, errno end
  if not offset then file.pos = from + done end
  return done
end

-- The buffers of an iovec of the cage's.
local function buffers_of(iov, count)
  if count < 0 or count > IOV_MAX then return nil, fail "EINVAL" end
  local buffers, text = {}, count == 0 and "" or lencase.cage:read(iov, 16 * count)
  if not text then return nil, fail "EFAULT" end
  for i = 1, count do
    local addr, length = string.unpack("<i8i8", text, 16 * i - 15)
    if length < 0 then return nil, fail "EINVAL" end
    buffers[i] = { addr, length }
  end
  return buffers
end

local function writev(file, iov, count, offset)
  local buffers, refused = buffers_of(iov, count)
  if not buffers then return refused end
  return write(file, buffers, offset)
end

local function readv(file, iov, _, offset)
  if iov == NULL then return fail "EFAULT" end
  local count = 0
  for i = 1, #iov do count = count + iov[i].iov_len end
  return read(file, count, offset)
end

-- -1 means the file's position.
local function at_offset(f)
  return function(file, iov, count, offset) return f(file, iov, count, offset ~= -1 and offset or nil) end
end

fd_call("read", function(file, _, count) return read(file, count) end, "copy buf")
fd_call("pread64", function(file, _, count, offset) return read(file, count, offset) end, "copy buf")
fd_call("write", function(file, buf, count) return write(file, { { buf, count } }) end, "addr buf")
fd_call("pwrite64", function(file, buf, count, offset) return write(file, { { buf, count } }, offset) end, "addr buf")
fd_call("readv", function(file, iov, n) return readv(file, iov, n) end, "copy iov")
fd_call("preadv", readv, "copy iov")
fd_call("preadv2", at_offset(readv), "copy iov")
fd_call("writev", function(file, iov, n) return writev(file, iov, n) end, "addr iov")
fd_call("pwritev", writev, "addr iov")
fd_call("pwritev2", at_offset(writev), "addr iov")

local SEEK_DATA, SEEK_HOLE = 3, 4

fd_call("lseek", function(file, offset, whence)
  if file.flags & O_PATH ~= 0 then return fail "EBADF" end
  local size = size_of(file.node)
  local base = ({ [0] = 0, file.pos, size })[whence]
  if whence == SEEK_DATA or whence == SEEK_HOLE then -- all of it counts as data
    if offset < 0 or offset >= size then return fail "ENXIO" end
    base, offset = whence == SEEK_DATA and offset or size, 0
  end
  if not base or base + offset < 0 then return fail "EINVAL" end
  file.pos = base + offset
  return file.pos
end)

local function entry_record(node, name, cookie)
  local size = (19 + #name + 1 + 7) // 8 * 8
  local record = string.pack("<I8i8I2Bz", node.ino, cookie, size, DT[node.kind], name)
  return record .. ("\0"):rep(size - #record)
end

-- Cookie 1 is ".", 2 is "..", the others are the entries'.
local function entry_at(dir, cookie)
  if cookie == 1 then return dir, "." end
  if cookie == 2 then return dir.parent or dir, ".." end
  local name = dir.names[cookie]
  return name and dir.entries[name].node, name
end

fd_call("getdents64", function(file, _, count)
  local dir = file.node
  if dir.kind ~= "dir" then return fail "ENOTDIR" end
  local records, size = {}, 0
  for cookie = file.pos + 1, dir.last do
    local node, name = entry_at(dir, cookie)
    local record = node and entry_record(node, name, cookie)
    if record and size + #record > count then
      if size == 0 then return fail "EINVAL" end
      break
    end
    if record then
      size = size + #record
      table.insert(records, record)
    end
    file.pos = cookie
  end
  return size, nil, table.concat(records)
end, "copy dirp")

fd_call("fstat", function(file) return 0, nil, stat_of(file.node) end, "copy statbuf")
fd_call("fstatfs", function() return 0, nil, statfs_of() end, "copy buf")
fd_call("fchmod", function(file, mode) return set_mode(file.node, mode) end)
fd_call("fchown", function(file, uid, gid) return set_owner(file.node, uid, gid) end)
fd_call("ftruncate", function(file, length)
  if can_write(file) then return fail "EINVAL" end
  return truncate(file.node, length)
end)

local FALLOC_FL_KEEP_SIZE = 1

fd_call("fallocate", function(file, mode, offset, size)
  if mode & ~FALLOC_FL_KEEP_SIZE ~= 0 then return fail "EOPNOTSUPP" end
  local refused = can_write(file)
  if refused then return refused end
  if offset < 0 or size <= 0 or offset > OFF_MAX - size then return fail "EINVAL" end
  if mode == 0 and offset + size > file.node.size then resize(file.node, offset + size) end
  return 0
end)

fd_call("fsync fdatasync fadvise64 sync_file_range readahead syncfs", function() return 0 end)
fd_call("fsetxattr fgetxattr flistxattr fremovexattr", function() return fail "EOPNOTSUPP" end)

local fcntl = {
  [3] = function(file) return file.flags | O_LARGEFILE end, -- F_GETFL
  [4] = function(file, flags) -- F_SETFL
    local some = O_APPEND | O_NONBLOCK
    file.flags = file.flags & ~some | flags & some
    return 0
  end,
}

-- F_GETLK, F_SETLK, F_SETLKW; F_OFD_ ones are of what was opened and not of the cage.
local function record_lock(waits, of_file)
  return function(file, flock)
    if flock == NULL then return fail "EFAULT" end
    local owner, from, to = of_file and file or lencase.cage.id, range_of(file, flock)
    if from < 0 then return fail "EINVAL" end
    if flock.l_type == F_UNLCK then
      unlock(file.node, owner, from, to)
      return 0
    end
    local shared = flock.l_type == F_RDLCK
    local lock = { owner = owner, shared = shared, from = from, to = to, pid = lencase.cage.pid }
    return lock_range(file.node, lock, waits)
  end
end

local function query_lock(of_file)
  return function(file, flock)
    if flock == NULL then return fail "EFAULT" end
    local from, to = range_of(file, flock)
    local lock = conflict(file.node, of_file and file or lencase.cage.id, flock.l_type == F_RDLCK, from, to)
    if not lock then return 0, nil, { l_type = F_UNLCK } end
    return 0, nil, { l_type = lock.shared and F_RDLCK or 1, l_whence = 0, l_start = lock.from,
                                 l_len = lock.to == OFF_MAX and 0 or lock.to - lock.from + 1, l_pid = lock.pid or -1 }
  end
end

fcntl[5], fcntl[6], fcntl[7] = query_lock(false), record_lock(false, false), record_lock(true, false)
fcntl[36], fcntl[37], fcntl[38] = query_lock(true), record_lock(false, true), record_lock(true, true)

-- F_DUPFD, F_GETFD, F_SETFD and F_DUPFD_CLOEXEC are of the descriptor, which the kernel has.
local on_the_descriptor = { [0] = true, [1] = true, [2] = true, [1030] = true }

fd_call("fcntl", function(file, op, argument)
  if on_the_descriptor[op] then return end
  if not fcntl[op] then return fail "EINVAL" end
  return fcntl[op](file, argument)
end, lencase.COPY_ALL_ARGS)

local LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN = 1, 2, 4, 8

-- These locks and record locks do not conflict: they are on a node of their own.
fd_call("flock", function(file, op)
  local kind = op & ~LOCK_NB
  file.node.whole = file.node.whole or {}
  local node = file.node.whole
  if kind == LOCK_UN then
    unlock(node, file, 0, OFF_MAX)
    return 0
  end
  if kind ~= LOCK_SH and kind ~= LOCK_EX then return fail "EINVAL" end
  return lock_range(node, { owner = file, shared = kind == LOCK_SH, from = 0, to = OFF_MAX }, op & LOCK_NB == 0)
end)

local MAP_PRIVATE, MAP_TYPE, PROT_WRITE = 2, 15, 2

-- A private mapping is of a copy for this mapping alone.
local function mmap(file, length, prot, flags, offset)
  local refused = can_read(file)
  if refused then return refused end
  if flags & MAP_TYPE ~= MAP_PRIVATE and prot & PROT_WRITE ~= 0 then return fail "ENODEV" end
  local copy, errno = sys.memfd_create("imfs", 1)
  if copy < 0 then return copy, errno end
  local bytes = contents(file.node, offset, length)
  local n, reason = sys.pwrite64(copy, bytes, #bytes, offset)
  if n == #bytes then n, reason = sys.mmap(nil, length, prot, flags, copy, offset) end
  sys.close(copy)
  return n, reason
end

-- }==========================================================================

-- {================================ interface ===============================

local interface = {}

local function ours(f)
  return function(fd, ...)
    local file = files[fd]
    if file then return f(file, ...) end
  end
end

for name, call in pairs(by_fd) do interface[name] = { call[1], ours(call[2]), exact = true } end

local MAP_ANONYMOUS = 0x20

interface.mmap = { "pass pointers", function(_, length, prot, flags, fd, offset)
  if flags & MAP_ANONYMOUS == 0 and files[fd] then return mmap(files[fd], length, prot, flags, offset) end
end }

-- Calls with two descriptors, of which one may be from here.
for name, errno in pairs { sendfile = "EINVAL", splice = "EINVAL", tee = "EINVAL", copy_file_range = "EXDEV" } do
  local places = classes.places(lencase.callnum(name)).fds
  interface[name] = { "pass pointers", function(...)
    for _, at in ipairs(places) do
      if files[select(at, ...)] then return fail(errno) end
    end
  end }
end

-- A cage that closes any descriptor of a file loses its record locks there (fcntl(2)).
function interface.close(fd)
  if files[fd] then unlock(files[fd].node, lencase.cage.id, 0, OFF_MAX) end
end

function interface.on_cage_exit(cage)
  for node in pairs(locked) do unlock(node, cage.id, 0, OFF_MAX) end
end

local FIOCLEX, FIONCLEX, F_SETFD, FD_CLOEXEC = 0x5451, 0x5450, 2, 1

interface.ioctl = { "pass pointers", function(fd, request)
  if not files[fd] then return end
  if request ~= FIOCLEX and request ~= FIONCLEX then return fail "ENOTTY" end
  return sys.fcntl(fd, F_SETFD, request == FIOCLEX and FD_CLOEXEC or 0)
end }

function interface.umask(mask)
  local old = sys.umask()
  process.umask = mask & 0x1ff
  return old
end

function interface.getcwd(_, size)
  if not process.cwd then return end
  local path = path_of(process.cwd)
  if not path then return fail "ENOENT" end
  if #path >= size then return fail "ERANGE" end
  return #path + 1, nil, path .. "\0"
end

local function changed_directory(n, errno)
  if n == 0 then process.cwd = nil end
  return n, errno
end

local function change_directory(node)
  if node.kind ~= "dir" then return fail "ENOTDIR" end
  process.cwd = node
  return 0
end

function interface.fchdir(fd)
  if files[fd] then return change_directory(files[fd].node) end
  return changed_directory(sys.fchdir())
end

-- Where the kernel would not find a path by itself.
local function forward(name, paths, places, n)
  local args = {}
  for i, path in ipairs(paths) do
    if places[i] then
      if path.dir then args[path.dir] = AT_FDCWD end
      args[path.at] = places[i].outside
    end
  end
  return sys[name](table.unpack(args, 1, n))
end

-- Calls where a path may be empty: which argument has the flag for that.
local flags_at = { newfstatat = 4, statx = 3, fchownat = 5, linkat = 5, utimensat = 4, faccessat2 = 4, fchmodat2 = 4,
                   execveat = 5 }

local function locate(name, path, follow, args)
  local dirfd, text = path.dir and args[path.dir], args[path.at]
  local empty = text == "" and flags_at[name] and args[flags_at[name]] & AT_EMPTY_PATH ~= 0
  if text == NULL or empty then return find_open(dirfd) end
  return find(dirfd, text, follow)
end

-- The arguments that are neither paths nor their directories, after those in `list`.
local function with_rest(list, paths, args)
  local taken, n = {}, #list
  for _, path in ipairs(paths) do
    taken[path.at] = true
    if path.dir then taken[path.dir] = true end
  end
  for i = 1, args.n do
    if not taken[i] then
      n = n + 1
      list[n] = args[i]
    end
  end
  return table.unpack(list, 1, n)
end

-- A call whose paths are all here is this file system's; one without a function here is not supported.
local function path_handler(name, paths)
  local call = by_path[name] or { function() return fail "EOPNOTSUPP" end, follow = always }
  return function(...)
    local args, places, here, elsewhere = table.pack(...), {}, 0, false
    for i, path in ipairs(paths) do
      local place, failure = locate(name, path, i == 1 and call.follow(with_rest({}, paths, args)), args)
      if failure then return failure end
      places[i] = place
      if place and not place.outside then here = here + 1 end
      elsewhere = elsewhere or place and place.outside ~= nil
    end
    if here == #paths then return call[1](with_rest(places, paths, args)) end
    if here > 0 then return fail "EXDEV" end
    if elsewhere then return forward(name, paths, places, args.n) end
  end
end

for nr = 0, 511 do
  local name, paths = lencase.callname(nr), classes.places(nr).paths
  if #paths > 0 then interface[name] = { nil, path_handler(name, paths), exact = true } end
end

function interface.chdir(path)
  local place, failure = find(nil, path, true)
  if failure then return failure end
  if not place or place.outside then return changed_directory(sys.chdir(place and place.outside or nil)) end
  if not place.node then return fail "ENOENT" end
  return change_directory(place.node)
end

return lencase.grate(interface)
