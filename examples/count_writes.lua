-- count_writes.lua - how many bytes a program writes, file by file, and never a byte of them seen
--
--   lencase run count_writes.lua [--json] [-o FILE] -- PROGRAM [ARGS...]
--
-- Counted is what write, pwrite64, writev, pwritev, pwritev2, sendfile, copy_file_range, splice
-- and vmsplice report as done, whichever process of the program did it and by whichever descriptor.
-- Not counted is what reaches a file without such a call: stores to a mapped file, a clone of
-- blocks (FICLONE), space given by ftruncate or fallocate.
-- The report goes to standard error, so that the program keeps its standard output. With --inline it is one
-- over all processes, too.

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
    error(("count_writes: unknown argument '%s'; it takes --json and -o FILE"):format(word), 0)
  end
end

local output = lencase.output(report_path)

-- A descriptor that leads nowhere may lead somewhere the next time, so that is not kept.
local function find_path(fd)
  path_of[fd] = lencase.cage:fd_path(fd)
  return path_of[fd] or "descriptor " .. fd
end

local function count(path, n)
  local counter = files[path] or { path = path, bytes = 0, writes = 0 }
  files[path] = counter
  counter.bytes, counter.writes = counter.bytes + n, counter.writes + 1
end

-- A handler for `name`, whose argument number `place` (1 or 3) is the descriptor that is written to.
local function counting(name, place)
  local call = sys[name]
  return { lencase.PASS_THROUGH_POINTERS, function(first, _, third)
    local fd = place == 1 and first or third
    local path = path_of[fd] or find_path(fd) -- before it may come to mean another file
    local n, errno = call()
    if n > 0 then count(path, n) end
    return n, errno
  end }
end

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
  state = files,
  merge = lencase.sum,
  on_exit = report,
}
