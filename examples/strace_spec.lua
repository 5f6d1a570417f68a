-- What the tracer writes, beside what strace(1) writes of the same program.

local support = require "spec.support"

local sh = support.sh

-- The lines of calls with these names, without process and padding; addresses are all one.
local function lines_of(text, names)
  local out = {}
  for line in text:gmatch "[^\n]+" do
    line = line:gsub("^%[%d+%] ", ""):gsub("%s+= ", " = "):gsub("O_CLOEXEC|O_DIRECTORY", "O_DIRECTORY|O_CLOEXEC")
    local name = line:match "^([%w_]+)%("
    if name and names[name] then table.insert(out, line) end
  end
  return out
end

local function set(text)
  local names = {}
  for name in text:gmatch "%S+" do names[name] = true end
  return names
end

local function traced(arguments, program)
  local text, err
  support.in_folder(function(dir)
    err = select(2, sh(("%s run strace.lua %s -o %s/out -- %s"):format(support.lencase, arguments, dir, program)))
    text = support.read_file(dir .. "/out")
  end)
  return text, err
end

local same = set [[openat read write close access exit_group lseek pread64 dup2 pipe2 kill unlink mkdir
                   symlink rename chdir nanosleep]]

describe("strace.lua", function()
  it("writes what strace writes", function()
    if support.sanitized then pending "a sanitizer's runtime makes calls of its own" end
    support.in_folder(function(dir)
      support.write_file(dir .. "/f", 'a\t"quoted"\\\0001\001\0023\255' .. ("x"):rep(60))
      local program =
        ("/usr/bin/python3 -S -c \"import os; f = os.open('%s/f', 0); os.read(f, 100); os.lseek(f, 0, 2); "
        .. "os.write(2, b''); os.getpid(); os.mkdir('%s/d', 0o750); os.symlink('f', '%s/l'); "
        .. "os.rename('%s/l', '%s/m'); "
        .. "os.unlink('%s/m'); os.rmdir('%s/d'); os.getcwd(); os.dup2(f, 9); os.access('%s/f', 4); "
        .. "os._exit(3)\""):gsub("%%s", dir)
      sh(("strace -o %s/strace %s"):format(dir, program))
      local wanted = lines_of(support.read_file(dir .. "/strace"), same)
      assert.is_true(#wanted > 30)
      assert.are.same(wanted, lines_of(traced("", program), same))
    end)
  end)

  it("shows structs, arrays, vectors and what a call filled", function()
    local text = traced("", [[/usr/bin/python3 -S -c "
import os, socket, select
os.stat('/')
a, b = socket.socketpair()
os.writev(a.fileno(), [b'one', b'three'])
os.readv(b.fileno(), [bytearray(3), bytearray(9)])
select.poll().poll(0)
os.pipe2(0)
os.execv('/bin/true', ['true', 'x'])"]])
    for _, pattern in ipairs {
      'stat%w*%(.*"/", {st_dev=%d+,.-st_mode=040755,.-st_size=%d+.-}', "socketpair%(AF_UNIX, .-, 0, %[%d+, %d+%]%) = 0",
      'writev%(%d+, %[{iov_base="one", iov_len=3}, {iov_base="three", iov_len=5}%], 2%) = 8',
      'readv%(%d+, %[{iov_base="one", iov_len=3}, {iov_base="three.-, iov_len=9}%], 2%) = 8',
      "pipe2%(%[%d+, %d+%], 0%) = 0", 'execve%("/bin/true", %["true", "x"%], %[.*%]%) = 0', "exit_group%(0%) = %?",
      "%+%+%+ exited with 0 %+%+%+", 'openat%(AT_FDCWD, ".-", O_RDONLY|O_CLOEXEC%) = %d+', "brk%(NULL%) = 0x%x+",
      'access%(".-", R_OK%) = %-1 ENOENT %(No such file or directory%)',
      "mmap%(NULL, %d+, PROT_READ, MAP_PRIVATE, %d+, 0%) = 0x%x+",
    } do
      assert.is_truthy(text:find(pattern), pattern .. "\n" .. text)
    end
  end)

  it("traces the calls that -e names, as much as -s says, all processes", function()
    local text = traced("-e write,%process -s 3", "sh -c 'echo hello; (echo child; kill -9 $$); :'")
    assert.is_truthy(text:find('write%(1, "hel"%.%.%., 6%) = 6') and text:find('write%(1, "chi"%.%.%., 6%) = 6'))
    assert.is_truthy(text:find "killed by SIGKILL")
    assert.is_nil(text:find "openat%(")
    assert.is_truthy(select(2, sh(support.lencase .. " run strace.lua -e wrte -- true")):find("did you mean 'write'", 1,
      true))
    assert.is_truthy(select(2, sh(support.lencase .. " run strace.lua -x -- true")):find("expected -e CALLS", 1, true))
  end)

  it("does not disturb threads, pipes and archives", function()
    support.in_folder(function(dir)
      support.write_file(dir .. "/t.py", [[
import os, threading
threads = [threading.Thread(target=lambda i: os.write(1, b"%d\n" % i), args=(i,)) for i in range(4)]
for t in threads: t.start()
for t in threads: t.join()]])
      local program = ("sh -c 'cd %s; echo x > f; tar cf - f | tar tf -; /usr/bin/python3 t.py | sort'"):format(dir)
      local out = sh(("%s run strace.lua -o /dev/null -- %s"):format(support.lencase, program))
      assert.are.equal("f\n0\n1\n2\n3\n", out)
    end)
  end)

  it("works in a clamp, above and below others", function()
    local _, err = sh(support.lencase
                      .. " run clamp.lua --prefix /etc %{ strace.lua -e openat %} -- cat /etc/hostname /proc/version")
    assert.are.equal("/etc/hostname", err:match 'openat%(AT_FDCWD, "(/etc/h[^"]*)"')
    assert.is_nil(err:find "/proc/version")
    _, err = sh(support.lencase .. " run strace.lua -e getppid fault.lua getppid:retval=7 strace.lua -e getppid -- "
                .. "/usr/bin/python3 -c 'import os; os.getppid()'")
    assert.are.equal("getppid() = 7\n", err:match "getppid.-\n")
    assert.are.equal(1, select(2, err:gsub("getppid", "")))
  end)
end)
