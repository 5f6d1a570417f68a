-- clamp.lua - calls go through the grates inside only when a condition holds; others pass by
--
--   lencase run clamp.lua --prefix /tmp %{ imfs.lua strace.lua %} -- PROGRAM [ARGS...]
--
-- Conditions: of each kind that is given at least one must hold:
--   --prefix PATH   a path argument is PATH or below it, or a descriptor was opened by such a path
--   --calls LIST    names of calls and of classes: %file (those with a path), %desc (with a
--                   descriptor), %network, %process, %signal, %memory
--   --fd LIST       a descriptor argument: 0,1,5-9
--   --port LIST     the port of connect, bind or sendto; then the socket's other calls too
--   --cage LIST     the cage's pid or program name
--   --when EXPR     a Lua expression of name (the call's), args (a table) and cage
--   --not           everything else goes inside
--
-- Paths are compared as text, made absolute by the working directory or the call's directory
-- descriptor, "." and ".." taken out; symbolic links are not followed. A working directory inside
-- is remembered, though the kernel may not have it. Descriptors are followed through dup, fork, close and
-- exec; for others (inherited, by SCM_RIGHTS) the path in /proc counts, which is of little use for a file that
-- only the grates inside have.

local lencase = require "lencase"
local classes = require "lencase.classes"

local branch = lencase.branches[1]
if not branch then error("clamp.lua: expected %{ GRATE.lua ... %} after the conditions", 0) end

local AT_FDCWD = -100

-- {================================ arguments ===============================

local wanted = { prefix = {}, calls = {}, fd = {}, port = {}, cage = {}, when = {} }
local negated = false

local function ranges_of(list)
  local ranges = {}
  for item in list:gmatch "[^,]+" do
    local from, to = item:match "^(%d+)%-?(%d*)$"
    if not from then error(("clamp.lua: '%s' is neither a number nor a range like 5-9"):format(item), 0) end
    table.insert(ranges, { math.tointeger(from), math.tointeger(to) or math.tointeger(from) })
  end
  return ranges
end

local function words_of(list)
  local set = {}
  for item in list:gmatch "[^,]+" do set[item] = true end
  return set
end

-- "/a//b/./../c" -> "/a/c"
local function plain(path)
  local parts = {}
  for part in path:gmatch "[^/]+" do
    if part == ".." then
      table.remove(parts)
    elseif part ~= "." then
      table.insert(parts, part)
    end
  end
  return "/" .. table.concat(parts, "/")
end

local function expression(text)
  local source = "local name, args, cage = ...; return " .. text
  local chunk, message = load(source, "=--when", "t")
  return chunk or error("clamp.lua: " .. message, 0)
end

local readers = { prefix = plain, calls = words_of, fd = ranges_of, port = ranges_of, cage = words_of,
                  when = expression }

local words = { ... }
while #words > 0 do
  local kind = table.remove(words, 1):match "^%-%-(%a+)$"
  if kind == "not" then
    negated = true
  elseif readers[kind] and words[1] then
    table.insert(wanted[kind], readers[kind](table.remove(words, 1)))
  else
    error("clamp.lua: conditions are --prefix PATH, --calls, --fd, --port, --cage LIST, --when EXPR, --not", 0)
  end
end

-- }==========================================================================

-- {================================== calls =================================

local opens = words_of "open,openat,openat2,creat,socket,accept,accept4"
local addresses = { connect = 2, bind = 2, sendto = 5 } -- where they have one

-- Which arguments of a call are paths (with their directory descriptors), descriptors and an address.
local function places_of(nr)
  local call = classes.places(nr)
  call.name, call.policy = lencase.callname(nr), lencase.PASS_THROUGH_POINTERS
  for _, path in ipairs(call.paths) do call.policy = call.policy | lencase.COPY(path.at) end
  if addresses[call.name] then
    call.address = addresses[call.name]
    call.policy = call.policy | lencase.COPY(call.address)
  end
  call.classes = classes.of(nr)
  table.insert(call.classes, call.name)
  return call
end

-- }==========================================================================

-- {=============================== conditions ===============================

local inside = lencase.fdtable() -- descriptor -> the path it was opened by, or true: it is inside; false: it is not
local here = lencase.per_cage() -- here.cwd: the working directory's path, when that is inside

local function under(path)
  for _, prefix in ipairs(wanted.prefix) do
    if prefix == "/" or path == prefix or path:sub(1, #prefix + 1) == prefix .. "/" then return true end
  end
  return false
end

local function fd_under(fd)
  if fd < 0 then return false end
  local known = inside[fd]
  if known == nil then
    local path = lencase.cage:fd_path(fd)
    known = path ~= nil and under(path)
    if path then inside[fd] = known end
  end
  return known
end

-- Where a path leads; `dir` is the descriptor that it is relative to, if any.
local function absolute(path, dir)
  if path:sub(1, 1) == "/" then return plain(path) end
  local base
  if dir and dir ~= AT_FDCWD then
    base = type(inside[dir]) == "string" and inside[dir] or lencase.cage:fd_path(dir)
  else
    base = here.cwd or lencase.cage.cwd
  end
  return base and plain(base .. "/" .. path)
end

local function path_under(path, dir)
  path = type(path) == "string" and absolute(path, dir)
  return path and under(path)
end

local function in_ranges(lists, n)
  for _, ranges in ipairs(lists) do
    for _, r in ipairs(ranges) do
      if n >= r[1] and n <= r[2] then return true end
    end
  end
  return false
end

local function in_sets(sets, ...)
  for _, set in ipairs(sets) do
    for _, word in ipairs { ... } do
      if set[word] then return true end
    end
  end
  return false
end

-- The port of an IPv4 or IPv6 address; they have it in the same place.
local function port_of(address)
  if type(address) ~= "userdata" or address == lencase.NULL or #address < 4 then return nil end
  local family, port = string.unpack("<I2>I2", address:sub(1, 4))
  return (family == 2 or family == 10) and port or nil
end

local test = {}

function test.prefix(call, args)
  for _, path in ipairs(call.paths) do
    if path_under(args[path.at], path.dir and args[path.dir]) then return true end
  end
  for _, at in ipairs(call.fds) do
    if fd_under(args[at]) then return true end
  end
  return false
end

function test.calls(call) return in_sets(wanted.calls, table.unpack(call.classes)) end

function test.fd(call, args)
  for _, at in ipairs(call.fds) do
    if in_ranges(wanted.fd, args[at]) then return true end
  end
  return false
end

function test.port(call, args)
  local port = call.address and port_of(args[call.address])
  if port and in_ranges(wanted.port, port) then
    inside[args[1]] = true
    return true
  end
  return #call.fds > 0 and inside[args[call.fds[1]]] == true
end

function test.cage() return in_sets(wanted.cage, tostring(lencase.cage.pid), lencase.cage.comm) end

function test.when(call, args)
  for _, chunk in ipairs(wanted.when) do
    if chunk(call.name, args, lencase.cage) then return true end
  end
  return false
end

local given = {}
for kind, list in pairs(wanted) do
  if #list > 0 then table.insert(given, test[kind]) end
end

local function holds(call, ...)
  local args = { ... }
  for _, condition in ipairs(given) do
    if not condition(call, args) then return negated end
  end
  return not negated
end

-- }==========================================================================

local function opened_path(call, ...)
  local path = call.paths[1]
  return path and absolute((select(path.at, ...)), path.dir and (select(path.dir, ...)))
end

-- A descriptor opened inside is marked: its calls go inside, too.
local function opening(call)
  return function(...)
    if not holds(call, ...) then return end
    local fd, errno = branch.sys[call.name]()
    if fd >= 0 and #wanted.prefix > 0 then inside[fd] = opened_path(call, ...) or true end
    return fd, errno
  end
end

-- A change of the working directory goes inside also when the old one is there: the grates inside follow it.
local function moving(call)
  return function(where)
    local now_inside = holds(call, where)
    if not now_inside and not here.cwd then return end
    local n, errno = branch.sys[call.name]()
    if n == 0 then
      local path = type(where) == "string" and absolute(where) or inside[where]
      here.cwd = now_inside and type(path) == "string" and path or nil
    end
    return n, errno
  end
end

local function asking_where(call)
  return function()
    if here.cwd or holds(call) then branch.enter() end
  end
end

local function passing(call)
  return function(...)
    if holds(call, ...) then branch.enter() end
  end
end

local moves = { chdir = moving, fchdir = moving, getcwd = asking_where }
local interface = {}

local function add(nr)
  if interface[nr] then return end
  local call = places_of(nr)
  local make = opens[call.name] and opening or #wanted.prefix > 0 and moves[call.name] or passing
  interface[nr] = { call.policy, make(call), exact = true }
end

for _, nr in ipairs(branch.calls) do add(nr) end
if #wanted.port > 0 then
  for name in pairs(addresses) do add(lencase.callnum(name)) end
end

return lencase.grate(interface)
