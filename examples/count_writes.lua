-- count_writes.lua - how many bytes a program writes, file by file, without reading any of them
--
--   lencase run count_writes.lua [--json] [-o FILE] -- PROGRAM [ARGS...]
--
-- Counted is what write, pwrite64, writev, pwritev, pwritev2, sendfile, copy_file_range, splice
-- and vmsplice report as done, in all processes of the program and by all descriptors.
-- What io_submit accepts is counted then, and corrected when io_getevents or io_pgetevents reports how it ended. A
-- program that reads the ring of its context itself makes no such call: what it submitted stays counted.
-- Not counted is what reaches a file without such a call: io_uring, stores to a mapped file, a clone of
-- blocks (FICLONE), space given by ftruncate or fallocate.
-- The report goes to standard error, so that the program keeps its standard output. With --inline it is one
-- for all processes, too.

local lencase = require "lencase"
local sys = lencase.sys

local files = {} -- path -> { path =, bytes =, writes = }
local path_of = lencase.fdtable() -- descriptor -> path; what is in `files` is kept nowhere else: see `state`
local as_json, report_path = false, nil

local words = { ... }
while #words > 0 do
  local word = table.remove(words, 1)
  if word == "--json" then
    as_json = true
  elseif word == "-o" and words[1] then
    report_path = table.remove(words, 1)
  else
    error(("count_writes: unknown argument '%s': expected --json or -o FILE"):format(word), 0)
  end
end

local output = lencase.output(report_path)

-- A descriptor that is not open now may be the next time, so that is not remembered.
local function find_path(fd)
  path_of[fd] = lencase.cage:fd_path(fd)
  return path_of[fd] or "descriptor " .. fd
end

local function add(path, bytes, writes)
  local counter = files[path] or { path = path, bytes = 0, writes = 0 }
  counter.bytes, counter.writes = counter.bytes + bytes, counter.writes + writes
  files[path] = (counter.bytes ~= 0 or counter.writes ~= 0) and counter or nil
end

-- A handler for `name`, whose argument number `place` (1 or 3) is the descriptor that is written to.
local function counting(name, place)
  local call = sys[name]
  return { lencase.PASS_THROUGH_POINTERS, function(first, _, third)
    local fd = place == 1 and first or third
    local path = path_of[fd] or find_path(fd) -- before the call, during which it may become another file
    local n, errno = call()
    if n > 0 then add(path, n, 1) end
    return n, errno
  end }
end

-- {================================== AIO ===================================

-- linux/aio_abi.h: opcode, fildes, buf and nbytes of an iocb; obj and res of an event.
local IOCB, IOCB_SIZE = "<xxxxxxxxxxxxxxxxI2xxI4i8i8", 40
local EVENT, EVENT_SIZE = "<xxxxxxxxi8i8", 32
local PWRITE, PWRITEV = 1, 8
local MAX_IOVECS, MAX_IOCBS = 1024, 65536 -- the kernel's own, and its default

-- The address of an iocb that was submitted -> { path =, bytes = }. Contexts are not inherited.
local function none() return {} end
local under_way = lencase.per_cage { fork = none, exec = none }

-- Corrects what was counted for a write to `bytes`.
local function correct(write, bytes) add(write.path, bytes - write.bytes, bytes > 0 and 0 or -1) end

local function size_of_runs(addr, n)
  local size, array = 0, n > 0 and n <= MAX_IOVECS and lencase.cage:read(addr, 16 * n)
  for i = 1, array and n or 0 do size = size + string.unpack("<i8", array, 16 * i - 7) end
  return size
end

-- What the iocb at an address is to write: a descriptor and a number of bytes; nil: nothing.
local function write_at(addr)
  local iocb = lencase.cage:read(addr, IOCB_SIZE)
  if not iocb then return nil end
  local opcode, fd, buf, n = string.unpack(IOCB, iocb)
  if opcode == PWRITEV then n = size_of_runs(buf, n) end
  if (opcode == PWRITE or opcode == PWRITEV) and n > 0 then return fd, n end
end

-- The writes in a list of iocbs, by their places in it.
local function writes_in(list, n)
  local writes = {}
  for i = 1, math.min(n, MAX_IOCBS) do
    local pointer = lencase.cage:read(list + 8 * (i - 1), 8)
    if not pointer then break end
    local addr = string.unpack("<i8", pointer)
    local fd, bytes = write_at(addr)
    if fd then writes[i] = { addr = addr, path = path_of[fd] or find_path(fd), bytes = bytes } end
  end
  return writes
end

-- All are counted before the call: another thread may get their results before this call returns.
local function submitting(_, n, list)
  local writes = writes_in(list, n)
  for _, write in pairs(writes) do
    under_way[write.addr] = write
    add(write.path, write.bytes, 1)
  end
  local taken, errno = sys.io_submit()
  for i, write in pairs(writes) do
    if i > taken then
      under_way[write.addr] = nil
      correct(write, 0)
    end
  end
  return taken, errno
end

local function getting(name)
  local call = sys[name]
  return function(_, _, _, events)
    local n, errno = call()
    for i = 1, n do
      local event = lencase.cage:read(events + EVENT_SIZE * (i - 1), EVENT_SIZE)
      if not event then break end
      local addr, result = string.unpack(EVENT, event)
      local write = under_way[addr]
      under_way[addr] = nil
      if write then correct(write, math.max(result, 0)) end
    end
    return n, errno
  end
end

-- }==========================================================================

local function by_size()
  local list, total = {}, { bytes = 0, writes = 0 }
  for _, counter in pairs(files) do
    table.insert(list, counter)
    total.bytes, total.writes = total.bytes + counter.bytes, total.writes + counter.writes
  end
  table.sort(list, function(a, b)
    if a.bytes ~= b.bytes then return a.bytes > b.bytes end
    return a.path < b.path
  end)
  return list, total
end

local function as_table(list, total)
  local lines = { ("%14s %9s  %s"):format("bytes", "writes", "path") }
  for _, c in ipairs(list) do table.insert(lines, ("%14d %9d  %s"):format(c.bytes, c.writes, c.path)) end
  table.insert(lines, ("%14d %9d  total"):format(total.bytes, total.writes))
  return table.concat(lines, "\n") .. "\n"
end

-- { "files": [{ "path":, "bytes":, "writes": }, ...], "total": { "bytes":, "writes": } }
local function as_object(list, total)
  local encode = require "cjson".encode
  local rows = {}
  for i, counter in ipairs(list) do rows[i] = encode(counter) end -- cjson has no empty list
  return ('{"files":[%s],"total":%s}\n'):format(table.concat(rows, ",\n"), encode(total))
end

local function report() output:write((as_json and as_object or as_table)(by_size())) end

return lencase.grate {
  write = counting("write", 1),
  pwrite64 = counting("pwrite64", 1),
  writev = counting("writev", 1),
  pwritev = counting("pwritev", 1),
  pwritev2 = counting("pwritev2", 1),
  sendfile = counting("sendfile", 1),
  copy_file_range = counting("copy_file_range", 3),
  splice = counting("splice", 3),
  vmsplice = counting("vmsplice", 1),
  io_submit = submitting,
  io_getevents = getting "io_getevents",
  io_pgetevents = getting "io_pgetevents",
  state = files,
  merge = lencase.sum,
  on_exit = report,
}
