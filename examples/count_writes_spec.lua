-- What the write counter says is compared with the files themselves, and where a file is not
-- simply what was written (holes, parts written again) with what strace saw of the same program.

local cjson = require "cjson"
local support = require "spec.support"

local quote, sh = support.quote, support.sh
local helper = support.build .. "/spec/helper_writes"
local counting = { "write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "splice",
                   "vmsplice" }

-- {================================= running ================================

--- Runs f(dir, work): `work` is a fresh folder for a program to fill, `dir` the one around it.
local function in_work(f)
  support.in_folder(function(dir)
    dir = sh("realpath " .. quote(dir)):match "[^\n]+"
    assert(os.execute("mkdir " .. quote(dir .. "/work")))
    f(dir, dir .. "/work")
  end)
end

--- A command line of sh, in which WORK and HELPER are replaced.
local function command(line, work)
  line = line:gsub("%u%u%u%u+", { WORK = work, HELPER = helper })
  return "sh -c " .. quote(line)
end

local function under(grate, program) return support.lencase .. " run " .. grate .. " -- " .. program end

--- What the counter reports of a command line: { files = { { path =, bytes =, writes = } }, total = }.
local function counted(line, dir, work)
  local report = dir .. "/report"
  local grate = "examples/count_writes.lua --json -o " .. quote(report)
  local _, err, status = sh(("%s >%s/out 2>%s/err"):format(under(grate, command(line, work)), dir, dir))
  assert(status == 0, ("status %s: %s%s"):format(status, err, support.read_file(dir .. "/err")))
  return cjson.decode(support.read_file(report))
end

-- }==========================================================================

-- {================================ comparing ===============================

-- The names of temporary files and the numbers of pipes differ from run to run.
local function normal(path)
  return (path:gsub("/cc%w%w%w%w%w%w", "/ccXXXXXX"):gsub("^pipe:%[%d+%]$", "pipe"):gsub(" ?%(deleted%)$", ""))
end

local function add(sums, path, bytes)
  path = normal(path)
  sums[path] = (sums[path] or 0) + bytes
end

local function bytes_by_path(report)
  local sums = {}
  for _, file in ipairs(report.files) do add(sums, file.path, file.bytes) end
  return sums
end

--- Of the files below `work` only.
local function bytes_below(work, report)
  local sums = bytes_by_path(report)
  for path in pairs(sums) do
    if path:sub(1, #work + 1) ~= work .. "/" then sums[path] = nil end
  end
  return sums
end

local function sizes_below(work)
  local sizes = {}
  for size, path in sh(("find %s -type f -size +0 -printf '%%s %%p\\n'"):format(quote(work))):gmatch "(%d+) ([^\n]+)" do
    sizes[path] = math.tointeger(size)
  end
  return sizes
end

-- One line of strace's: the path that the descriptor written to led to, and the bytes.
local function written(line)
  local name, first, rest, bytes = line:match "^([%w_]+)%(%d+<(.-)>(.*)%) += (%d+)$"
  if name == "copy_file_range" or name == "splice" then first = rest:match "^, [^,]*, %d+<(.-)>" end
  return first, math.tointeger(bytes)
end

local function bytes_by_strace(line, dir, work)
  local _, err, status = sh(("strace -ff -y -s 0 -e signal=none -e trace=%s -o %s/log %s >%s/out 2>%s/err"):format(
    table.concat(counting, ","), dir, command(line, work), dir, dir))
  assert(status == 0, err)
  local sums = {}
  for text in sh(("cat %s/log.*"):format(dir)):gmatch "[^\n]+" do
    local path, bytes = written(text)
    if path and bytes > 0 then add(sums, path, bytes) end
  end
  return sums
end

local function same_as_files(line)
  in_work(function(dir, work)
    local report = counted(line, dir, work)
    local sizes = sizes_below(work)
    assert.is_truthy(next(sizes), "the program made no file")
    assert.are.same(sizes, bytes_below(work, report))
  end)
end

local function same_as_strace(line)
  in_work(function(dir, work)
    local sums = bytes_by_strace(line, dir, work)
    assert.is_truthy(next(sums), "strace saw no write")
    assert(os.execute(("rm -rf %s && mkdir %s"):format(work, work)))
    assert.are.same(sums, bytes_by_path(counted(line, dir, work)))
  end)
end

-- }==========================================================================

describe("count_writes says of fresh files what their sizes are:", function()
  for _, mode in ipairs(counting) do
    it(mode, function() same_as_files("HELPER " .. mode .. " WORK") end)
  end

  for _, mode in ipairs { "dup", "dup2", "dup3", "fcntl", "close", "close_range", "fork", "clone_files", "clone_early",
                          "unshare", "exec" } do
    it("descriptors after " .. mode, function()
      if mode == "unshare" and support.filtered then return pending "a container's profile refuses unshare" end
      same_as_files("HELPER " .. mode .. " WORK")
    end)
  end

  it("io_submit", function() same_as_files "HELPER io_submit WORK" end)
  it("io_submit, of which a part is written", function() same_as_files "HELPER io_submit-in-part WORK" end)
  it("io_submit, inline", function()
    if support.sanitized then return end
    in_work(function(dir, work)
      local report = dir .. "/report"
      local _, err, status =
        sh(("%s run --inline examples/count_writes.lua --json -o %s -- %s/spec/dynamic_writes io_submit %s"):format(
        support.lencase, report, support.build, work))
      assert.are.same({ "", 0 }, { err, status })
      assert.are.same(sizes_below(work), bytes_below(work, cjson.decode(support.read_file(report))))
    end)
  end)
  it("threads that write at once", function() same_as_files "HELPER threads WORK" end)
  it("a write that waits while its descriptor changes", function() same_as_files "HELPER wait WORK" end)

  it("tar", function() same_as_files "tar cf WORK/a.tar lua spec" end)
  it("tar with a compressor after a pipe", function() same_as_files "tar czf WORK/a.tar lua" end)
  it("tar that unpacks an archive", function() same_as_files "tar cf - lua | tar xf - -C WORK" end)
  -- Without --reflink=never a file system may clone the blocks: nothing is written then.
  it("cp", function() same_as_files "cp -r --reflink=never lua spec WORK" end)
  it("gcc", function() same_as_files "TMPDIR=WORK gcc -D_GNU_SOURCE -S -o WORK/a.s spec/c/helper_writes.c" end)
  it("sqlite3, a dump", function()
    same_as_files "sqlite3 :memory: '.output WORK/a' 'create table t(x)' 'insert into t values (1), (2)' .dump"
  end)
  it("a shell with redirections", function()
    same_as_files [=[
      exec 5>WORK/a; echo 1 >&5
      { echo 22; (echo 333; exec 1>WORK/b; echo 4444) } >&5
      echo 55555 >>WORK/b]=]
  end)
  it("a shell with pipelines", function()
    same_as_files "seq 20000 | tee WORK/a WORK/b | sort -rn | head -100 >WORK/c; wc -c <WORK/a >WORK/d"
  end)
  it("several processes at once", function()
    same_as_files [=[
      for i in 1 2 3 4 5; do (seq ${i}000 >WORK/$i; dd if=/dev/zero bs=100 count=50 of=WORK/d$i) & done
      wait]=]
  end)
  it("a reader that leaves early", function() same_as_files "yes | head -c 100000 >WORK/a" end)
end)

describe("count_writes says what strace says:", function()
  it("tar", function() same_as_strace "tar cf WORK/a.tar lua" end)
  it("cp", function() same_as_strace "cp -r lua spec WORK" end)
  it("gcc, whose linker leaves holes", function()
    same_as_strace "echo 'int main(void) { return 0; }' >WORK/a.c; TMPDIR=WORK gcc -o WORK/a WORK/a.c"
  end)
  it("sqlite3, whose files are written again", function()
    same_as_strace [[
      sqlite3 WORK/a 'create table t(x, y)' 'create index i on t(y)' \
        'with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
         insert into t select i, hex(i * 7919) from n' \
        'update t set y = y || x where x % 3 = 0' 'delete from t where x % 2 = 0' vacuum;
      sqlite3 WORK/b 'pragma journal_mode = wal' 'create table t(x)' 'insert into t values (1)' 'update t set x = 2']]
  end)
  it("a shell with pipelines", function() same_as_strace "seq 3000 | tee WORK/a | sort -n | tail -5; echo done >&2" end)
  it("a file that is gone before its last write", function()
    same_as_strace "exec 5>WORK/a; echo 1 >&5; (rm WORK/a; echo 22 >&5)"
  end)
end)

describe("the report of count_writes", function()
  local program = "printf 12345 >WORK/b; printf 123 >WORK/a; printf 45 >>WORK/a; printf 1234567 >WORK/c"

  it("is a table, largest first, then by name, on standard error", function()
    in_work(function(_, work)
      local out, err = sh(under("examples/count_writes.lua", command(program .. "; echo hello", work)))
      assert.are.equal("hello\n", out)
      local lines = { ("%14s %9s  %s"):format("bytes", "writes", "path") }
      for _, row in ipairs { { 7, 1, work .. "/c" }, { 5, 2, work .. "/a" }, { 5, 1, work .. "/b" } } do
        table.insert(lines, ("%14d %9d  %s"):format(table.unpack(row)))
      end
      local pipe_or_file = ("%14d %9d  "):format(6, 1)
      assert.are.equal(pipe_or_file, (err:match("\n(" .. pipe_or_file .. ")")))
      err = err:gsub(pipe_or_file .. "[^\n]*\n", "")
      table.insert(lines, ("%14d %9d  total\n"):format(23, 5))
      assert.are.equal(table.concat(lines, "\n"), err)
    end)
  end)

  it("is JSON with --json, and goes to a file with -o", function()
    in_work(function(dir, work)
      local report = counted(program, dir, work)
      assert.are.same({
        files = { { path = work .. "/c", bytes = 7, writes = 1 }, { path = work .. "/a", bytes = 5, writes = 2 },
                  { path = work .. "/b", bytes = 5, writes = 1 } },
        total = { bytes = 17, writes = 4 },
      }, report)
      assert.are.equal("", support.read_file(dir .. "/err"))
    end)
  end)

  it("has no files when nothing was written", function()
    local _, err = sh(under("examples/count_writes.lua --json", "true"))
    assert.is_truthy(err:find('"files":[]', 1, true), err)
    assert.are.same({ bytes = 0, writes = 0 }, cjson.decode(err).total)
  end)

  it("does not list what could not be written", function()
    local _, err = sh(under("examples/count_writes.lua", "sh -c 'echo x >/dev/full; echo y >&9' 2>/dev/null"))
    assert.is_nil(err:find("full", 1, true))
    assert.is_nil(err:find("descriptor", 1, true))
  end)

  for _, words in ipairs { "-x", "--json=yes", "-o" } do
    it("is not begun with the argument " .. words, function()
      in_work(function(_, work)
        local _, err, status = sh(under("examples/count_writes.lua " .. words, command("echo x >WORK/a", work)))
        assert.are.equal(125, status)
        assert.is_truthy(err:find("count_writes: unknown argument '" .. words .. "'", 1, true), err)
        assert.are.same({}, sizes_below(work))
      end)
    end)
  end

  it("is not begun when its file cannot be written", function()
    in_work(function(_, work)
      local grate = "examples/count_writes.lua -o " .. work .. "/no/report"
      local _, err, status = sh(under(grate, command("echo x >WORK/a", work)))
      assert.are.equal(125, status)
      assert.is_truthy(err:find("no/report: No such file or directory", 1, true), err)
      assert.are.same({}, sizes_below(work))
    end)
  end)
end)

describe("a program that is counted", function()
  local function same_as_alone(line)
    in_work(function(dir, work)
      local out, err, status = sh(command(line, work))
      local grate = "examples/count_writes.lua -o " .. dir .. "/report"
      local out2, err2, status2 = sh(under(grate, command(line, work)))
      assert.are.equal(out, out2)
      assert.are.equal(err, err2)
      assert.are.equal(status, status2)
    end)
  end

  it("writes the same bytes", function() same_as_alone "tar cf - core lua; seq 5000 >&2" end)
  it("exits with the same status", function() same_as_alone "echo x; exit 7" end)
  it("dies of the same signal", function() same_as_alone "echo x; kill -KILL $$" end)
  it("is signalled when its reader has left", function() same_as_alone "{ yes; echo $? >&2; } | head -c 100000" end)
  it("has the same errors", function() same_as_alone "echo x >/dev/full; echo $?; (exec 1>&-; echo x); echo $?" end)
  it("has the same descriptors", function()
    same_as_alone "ls /proc/self/fd; bash -c 'exec 5<>/dev/null; ls /proc/self/fd'"
  end)
end)

describe("no byte that count_writes counts", function()
  it("is asked for by its plan", function()
    for _, call in ipairs(counting) do
      local plan, err, status = sh(support.lencase .. " plan " .. call .. " --policy PASS_THROUGH_POINTERS")
      assert.are.equal(0, status, err)
      assert.is_nil(plan:find "\n  in ", plan)
    end
    assert.is_truthy((sh(support.lencase .. " plan write --policy COPY_ALL_ARGS")):find "\n  in ")
  end)

  -- The bytes that the supervisor, itself traced, reads from anywhere while 64 MiB are written.
  local function bytes_read(grate, dir)
    local trace = ("strace -e signal=none -e trace=%s -o %s/log "):format(
      "ptrace,process_vm_readv,read,readv,pread64,preadv,preadv2,recvfrom,recvmsg,splice,copy_file_range", dir)
    local _, err, status = sh(trace .. under(grate, helper .. " much " .. dir))
    assert.are.equal(0, status, err)
    local sum, log = 0, support.read_file(dir .. "/log")
    assert.is_truthy(log:find "ptrace%(PTRACE_GETREGS", "strace did not follow the supervisor")
    for line in log:gmatch "[^\n]+" do
      local name, request, bytes = line:match "^([%w_]+)%(([%w_]*).* = (%d+)"
      if name == "ptrace" then
        sum = sum + (request:find "^PTRACE_PEEK" and request ~= "PTRACE_PEEKUSER" and 8 or 0)
      elseif name then
        sum = sum + math.tointeger(bytes)
      end
    end
    return sum
  end

  it("is read", function()
    support.in_folder(function(dir)
      local copying = support.write_file(dir .. "/copy.lua", [[
        local lencase = require "lencase"
        return lencase.grate { write = { lencase.COPY_ALL_ARGS, function(fd, buf, count)
          return lencase.sys.write(fd, nil, count)
        end } }]])
      assert.is_true(bytes_read("examples/count_writes.lua", dir) < 1 << 20)
      assert.is_true(bytes_read(copying, dir) >= 64 << 20)
    end)
  end)
end)
