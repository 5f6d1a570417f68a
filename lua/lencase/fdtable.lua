-- fdtable.lua - from descriptor to value, for each cage
--
-- A value follows what was opened: a duplicate of the descriptor gets it, too, and it is dropped when the
-- descriptor is closed. The calls that do so are watched by handlers of lencase's own (watchers); they let
-- close and close_range through, at the cost of one stop.

local core = require "lencase.core"
local per_cage = require "lencase.per_cage"

local fdtable = {}

local all = {} -- every fdtable of this grate: its tables by cage id

local F_DUPFD, F_DUPFD_CLOEXEC = 0, 1030
local CLOSE_RANGE_UNSHARE, CLOSE_RANGE_CLOEXEC = 2, 4
local CLONE_FILES = 0x400
local EQ, ANY = 1, 2 -- enum test_op of core/signature.h

local function copy(values)
  local new = {}
  for fd, value in pairs(values) do new[fd] = value end
  return new
end

-- What descriptors do in the kernel. The values themselves are not copied: a fork's descriptors
-- refer to the same open files.
local following = {
  fork = function(values, _, _, shares_files) return shares_files and values or copy(values) end,
  exec = function(values, cage)
    values = copy(values) -- exec ends the sharing of descriptors
    for fd in pairs(values) do
      if not cage:fd_open(fd) then values[fd] = nil end
    end
    return values
  end,
}

---@return table<integer, any>
function fdtable.new()
  local proxy, self = per_cage.new(following)
  table.insert(all, self)
  return proxy
end

--- Whether the script made any after a mark: only then are calls watched.
function fdtable.used(mark) return #all > (mark or 0) end

--- For reloading, as in per_cage.
function fdtable.mark() return #all end

function fdtable.cut(n)
  for i = #all, n + 1, -1 do all[i] = nil end
end

function fdtable.forget(n) table.move(all, n + 1, #all + n, 1) end

-- {================================ watchers ================================

local function int(i) -- an int argument: the low half of its word, signed
  local word = core.word(i) & 0xffffffff
  return word < 0x80000000 and word or word - 0x100000000
end

local function each(f, ...)
  local id = core.cage_id()
  for _, self in ipairs(all) do
    if self.tables[id] then f(self.tables, id, ...) end
  end
end

local function move(cages, id, from, to) cages[id][to] = cages[id][from] end

local function drop(cages, id, first, last)
  local values = cages[id]
  if first == last then
    values[first] = nil
    return
  end
  for fd in pairs(values) do
    if fd >= first and fd <= last then values[fd] = nil end
  end
end

local function unshare(cages, id) cages[id] = copy(cages[id]) end

local function duplicated(new)
  if new >= 0 then each(move, int(1), new) end
end

local function unshared(result)
  if result == 0 and core.word(1) & CLONE_FILES ~= 0 then each(unshare) end
end

local function close_range()
  local flags = core.word(3)
  if flags & CLOSE_RANGE_UNSHARE ~= 0 then each(unshare) end
  if flags & CLOSE_RANGE_CLOEXEC ~= 0 then return end
  each(drop, core.word(1) & 0xffffffff, core.word(2) & 0xffffffff)
end

-- The author's own handler of close still sees the value. Another thread may have opened the same number
-- meanwhile: what it put there stays.
local function closing()
  local fd, seen = int(1), {}
  each(function(cages, id) seen[cages] = cages[id][fd] end)
  return function()
    each(function(cages, id)
      if rawequal(cages[id][fd], seen[cages]) then drop(cages, id, fd, fd) end
    end)
  end
end

--- How each call is watched: `before` runs when it arrives, `after` when it has its result. Where the
--- author has a handler too, `around` runs before it, and the function that it returns runs when the
--- handler has let the call through, or made it.
fdtable.watchers = {
  dup = { after = duplicated },
  dup2 = { after = duplicated },
  dup3 = { after = duplicated },
  fcntl = {
    after = function(result)
      local command = int(2)
      if command == F_DUPFD or command == F_DUPFD_CLOEXEC then duplicated(result) end
    end,
    tests = {
      { op = EQ, arg = 1, mask = 0xffffffff, value = F_DUPFD },
      { op = EQ, arg = 1, mask = 0xffffffff, value = F_DUPFD_CLOEXEC },
    },
  },
  close = { before = function() each(drop, int(1), int(1)) end, around = closing },
  close_range = { before = close_range, around = function() return close_range end },
  unshare = { after = unshared, tests = { { op = ANY, arg = 0, mask = CLONE_FILES, value = 0 } } },
}

-- }==========================================================================

return fdtable
