-- live_spec.lua - a live program at the prompt: driven by a pipe, and in a terminal

local support = require "spec.support"

local quote, sh = support.quote, support.sh
local PYTHON = "/usr/bin/python3"

-- What the prompt prints for these lines about a program: output, messages, status.
local function typed(lines, program, options)
  return sh(("printf %%s %s | timeout 60 %s repl %s %s"):format(quote(lines), support.lencase, options or "",
                                                     program and "-- " .. program or ""))
end

-- The output with T for the number of a process or thread where it stands: numbers are small in some places.
local function nameless(out)
  return (("\n" .. out):gsub("(\n)%d+( %()", "%1T%2"):gsub("(\n[ *] )%d+( )", "%1T%2")
          :gsub("(\n)%d+(  [%l_][%w_]*%()", "%1T%2"):gsub("(\n)%d+/%d+(  [%l_][%w_]*%()", "%1T/T%2"):sub(2))
end

-- Such an output, with A for an address.
local function output(lines, program, options)
  local out, err, status = typed(lines, program, options)
  assert.equal("", err)
  assert.equal(0, status)
  return (nameless(out):gsub("0x%x%x%x+", "A"))
end

local function python(text) return PYTHON .. " -c " .. quote(text) end

describe("a program at the prompt", function()
  it("starts stopped, and is followed to its end", function()
    assert.equal("T (sh) is stopped before its first instruction\nhello\nT (sh) has ended: exit 3\n",
                 output("run()\n", "sh -c 'echo hello; exit 3'"))
    assert.equal("T (sh) is stopped before its first instruction\nT (sh) has ended: killed by signal 9\n",
                 output("run()\n", "sh -c 'kill -9 $$'"))
  end)

  it("has /dev/null for its input when lines come from a pipe", function()
    assert.truthy(output("run()\n1 + 1\n", "cat"):find "exit 0\n2\n$")
  end)

  it("steps to calls by name, by family and by a function, and shows their arguments by name", function()
    local out = output([[
step(function(c) return c.name == "openat" and c.pathname == "/etc/ld.so.cache" end)
pathname
args.flags, flags == args.flags
finish() >= 3
step("open").name
step(function(c) return c.name == "write" and c.count == 6 end)
args
]], "sh -c 'echo hi; echo hello'")
    assert.truthy(out:find('T  openat(dirfd = AT_FDCWD, pathname = "/etc/ld.so.cache", flags = O_RDONLY|O_CLOEXEC)\n'
                           .. '"/etc/ld.so.cache"\n524288  true\ntrue\n"openat"\nhi\n'
                           .. 'T  write(fd = 1, buf = "hello\\n", count = 6)\n'
                           .. '{ buf = "hello\\n", count = 6, fd = 1 }\n', 1, true), out)
  end)

  it("has its calls decided: let, call, ret", function()
    local program = python [[
import os
open("/nothere", "rb") if os.path.exists("/never") else None
f = os.open("/etc/hostname", os.O_RDONLY)
print(os.read(f, 100) == open("/proc/version", "rb").read(100), flush=True)
try: os.open("/etc/hosts", os.O_RDONLY)
except OSError as e: print(e, flush=True)
print(os.read(f, 100), flush=True)
os.write(1, b"as it is now\n")
]]
    local out = output([[
step(function(c) return c.name == "openat" and c.pathname == "/etc/hostname" end)
call{ pathname = "/proc/version", flags = "O_RDONLY|O_CLOEXEC" } > 0
step(function(c) return c.name == "openat" and c.pathname == "/etc/hosts" end)
ret(-1, "EMFILE")
step "read"
ret(5, nil, "abcde")
on("write", function(fd, buf, count) if count == 13 then return fail "EPERM" end end)
step(function(c) return c.name == "write" and c.count == 13 end)
let()
run()
]], program)
    assert.truthy(out:find 'T  openat%([^\n]*"/etc/hostname"', out)
    assert.truthy(out:find('true\nTrue\nT  openat', 1, true), out)
    assert.truthy(out:find('-1  "EMFILE"\n[Errno 24] Too many open files: \'/etc/hosts\'\nT  read(', 1, true), out)
    assert.truthy(out:find("5  nil  \"abcde\"\nb'abcde'\n", 1, true), out)
    assert.truthy(out:find("as it is now\n13\nT (python3) has ended: ", 1, true), out)
  end)

  it("has handlers that are put in force and taken off while it is stopped", function()
    local out = output([[
step("write")
on("write", function(fd, buf, count) return sys.write(fd, "J" .. buf:sub(2)) end)
finish()
step("write")
policy("write", "pass buf")
on("write", "pass buf", function(fd, buf, count) return count end)
let()
n = 0
on("write", "pass buf", function(fd, buf, count) n = n + count if n == 14 then return lencase.fail "EIO" end end)
step("fcntl")
off "write"
run()
n
]], python [[
import os, fcntl
os.write(1, b"hello\n")
os.write(1, b"hello\n")
os.write(1, b"abcdef\n")
try: os.write(1, b"abcdef\n")
except OSError as e: print(e.errno, flush=True)
fcntl.fcntl(1, fcntl.F_GETFD)
os.write(1, b"last\n")
]])
    assert.truthy(out:find("Jello\n6\nT  write(fd = 1, buf = \"hello\\n\", count = 6)\nhello\n6\nabcdef\n", 1, true),
                  out)
    assert.truthy(out:find("abcdef\n5\nT  fcntl(", 1, true), out)
    assert.truthy(out:find("last\nT (python3) has ended: exit 0\n16\n", 1, true), out)
  end)

  it("shows the calls that handlers get, keeps them, and tries them again", function()
    local out = output([[
trace(true)
on("write", "copy buf", function(fd, buf, count) return sys.write(fd, "J" .. buf:sub(2)) end)
run()
calls[1]
on("write", function(fd, buf, count) return 77 end)
try(1)
]], "sh -c 'echo hello'")
    assert.truthy(out:find 'Jello\nwrite%(1, "hello\\n", 6%) = 6, [%d.]+ %as\n  handler  write at %[2%]:1: '
                  and out:find "copied buf 6 bytes; it answered 6", out)
    assert.truthy(out:find('write(1, "hello\\n", 6) = 6\n', 1, true), out)
    assert.truthy(out:find 'it answered 77, [^\n]*\n77\n$', out)
  end)

  it("shows every call when it is asked to", function()
    local out = output("trace 'all'\nrun()\n", "sh -c 'exit 0'")
    assert.truthy(out:find('openat(-100, "/etc/ld.so.cache", 524288', 1, true), out)
    assert.truthy(out:find "munmap%(")
  end)

  it("is ended with the prompt, which is reported", function()
    local out = typed("step('clone', 'fork', 'vfork')\nfinish()\nstep 'wait4'\n", "sh -c 'sleep 1000; sleep 1001'")
    local parent, child = out:match "^(%d+) .-\n(%d+)\n"
    assert.truthy(out:find("\n" .. parent .. " %(sh%) was killed, with 1 more processes\n$"), out)
    for _, pid in ipairs { parent, child } do
      local file = io.open("/proc/" .. pid .. "/status") -- its new parent may not have waited for it yet
      assert.truthy(not file or file:read "a":find "State:%s*[ZX]", pid)
      if file then file:close() end
    end
  end)

  it("goes on as it was when a line fails", function()
    local out, err, status = typed([[
ret(1)
step("opne")
step(function(c) return c.nothing.x end)
step("write")
ret(-1, "ENOTHING")
call{ bfu = "x" }
call{ buf = {} }
call(7)
choose(1)
finish()
]], "sh -c 'echo hello'")
    assert.equal(1, status)
    for _, text in ipairs { "not stopped at a call: step() first", "did you mean 'open'?",
                            "attempt to index a nil value",
                            "unknown errno 'ENOTHING'", "write has no argument 'bfu' (did you mean 'buf'?)",
                            "write: buf is a const void [.count], which a table is not", "call { name = value, ... }",
                            "there is no thread 1" } do
      assert.truthy(err:find(text, 1, true), text .. ": " .. err)
    end
    assert.truthy(out:find "\nhello\n6\n")
  end)

  it("must be there", function()
    local _, err, status = typed("1\n", "/nothere/x")
    assert.truthy(err:find("/nothere/x: No such file or directory", 1, true))
    assert.equal(1, status)
    _, err = typed("step()\n")
    assert.truthy(err:find("there is no program: lencase repl -- PROGRAM", 1, true))
  end)
end)

describe("where", function()
  it("shows thread, call, descriptors and functions up to the program's own", function()
    support.in_folder(function(dir)
      support.write_file(dir .. "/p.c", [[
#include <stdio.h>
#include <unistd.h>
__attribute__((noinline)) static int helper(FILE *f) { fputs("hello\n", f); return fflush(f); }
int main(void) { int r = helper(stdout); return r + close(0); }
]])
      for _, how in ipairs { "-O2", "-O0 -fno-omit-frame-pointer", "-O2 -static" } do
        local _, message, built = sh(("cc %s -o %s/p %s/p.c"):format(how, dir, dir))
        assert.equal(0, built, message)
        local out = output('step("execve")\nstep("write")\nwhere\nwhere.site\nwhere.descriptors[1].path\n',
                           ("sh -c 'exec %s/p > %s/out'"):format(dir, dir))
        assert.truthy(out:find('T %(p%) at write%(fd = 1, buf = "hello\\n", count = 6%)\n  fd 1 is '
                               .. dir:gsub("%p", "%%%0") .. '/out\n'
                               .. '  #0  %S+%+0x%x+ %(', 1), out)
        local innermost = out:match "  #0  (%S+)%+0x" -- of a static program each function has a name
        assert.truthy(innermost:find "write" or how:find "static" and out:find "  #[12]  %S*write%S*%+0x%x+ %(p%)\n",
                      out)
        assert.truthy(out:find "  #%d+%s+main%+0x%x+ %(p%)", out)
        local own = out:match '\n"([%w_]+)%+0x%x+ %(p%)"\n"'
        assert.truthy(how:find "static" and own or own == "main" or own == "helper", out)
      end
    end)
  end)

  -- As glibc's write does since 2.41.
  it("names the function of a library that makes its call in functions without a name", function()
    support.in_folder(function(dir)
      support.write_file(dir .. "/lib.c", [[
__attribute__((noinline)) static long inner(long n) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "0"(n), "D"(1), "S"("hello\n"), "d"(6) : "rcx", "r11", "memory");
  return result;
}
__attribute__((noinline)) static long middle(long n) { return inner(n) + 1; }
long says_hello(void) { return middle(1) + 1; }
]])
      support.write_file(dir .. "/p.c", "long says_hello(void); int main(void) { return (int)says_hello() + 1; }\n")
      local _, message, built =
        sh(("cc -O1 -shared -fPIC -s -o DIR/lib.so DIR/lib.c && cc -O1 -o DIR/p DIR/p.c DIR/lib.so"):gsub("DIR", dir))
      assert.equal(0, built, message)
      local out = output('step("write")\nwhere\nwhere.frames[1].name, where.frames[1].inside\n', dir .. "/p")
      assert.truthy(out:find('\n  fd 1 is [^\n]*\n  #0  says_hello%+0x%x+ %(lib%.so%), 2 inside without a name\n'
                             .. '  #1  main%+0x%x+ %(p%)   <%- of the program itself\n'), out)
      assert.truthy(out:find('"says_hello"  2\n', 1, true), out)
    end)
  end)

  it("says where the stack cannot be unwound further", function()
    local out = output('step("write")\nwhere.why\n', python [[
import ctypes, mmap, os
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
# mov eax,1; mov edi,1; xor edx,edx; syscall; ret
code.write(b"\xb8\x01\x00\x00\x00\xbf\x01\x00\x00\x00\x31\xd2\x0f\x05\xc3")
ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
]])
    assert.truthy(out:find '"[^\n]*/dev/zero %(deleted%) cannot be read"\n', out)
  end)
end)

describe("a program with several threads and processes", function()
  local program = [[
import os, subprocess, threading
lock = threading.Lock()
def work():
    with lock:
        os.getppid()
        os.getpgid(0)
        os.getsid(0)
t = [threading.Thread(target=work) for _ in range(2)]
for x in t: x.start()
while any(x.is_alive() for x in t): os.getsid(0)
for x in t: x.join()
subprocess.run(["/bin/echo", "child"])
os.write(1, b"end\n")
]]

  it("lists them, steps in all or in the one that is chosen", function()
    local out = output([[
step("getppid")
first = where.tid
choose(first)
step("getpgid", "exit").name
step("getsid").name
where.tid == first
choose()
step("getppid").tid ~= first
step("execve")
threads()
where.pid ~= where.tid or where.comm
run()
]], python(program))
    assert.truthy(out:find('"getpgid"\n"getsid"\ntrue\n', 1, true), out)
    assert.truthy(out:find("true\n%S+  execve%(pathname = \"/bin/echo\""), out)
    -- A thread that was joined may be on its way out still, between the two.
    assert.truthy(out:find "  T +python3 +[^\n]*\n[^*]*%* T +python3 +at execve", out)
    assert.truthy(out:find "child\nend\n", out)
  end)

  it("gets filters for what is handled from now on, in all its threads, and its children have them", function()
    local out = output([[
function filters() for l in io.lines("/proc/" .. where.pid .. "/status") do
  local n = l:match "Seccomp_filters:%s*(%d+)" if n then return tonumber(n) end
end end
before = filters() - 1 -- an outer filter may be there
asked = 0
on("getpgid", function(pid) asked = asked + 1 end)
step("getppid")
filters() - before
pids = {}
on("write", "pass buf", function(fd, buf, count) if fd == 1 then pids[lencase.cage.comm] = true end end)
step("execve")
filters() - before
off "getpgid"
run()
asked, pids.echo, pids.python3
]], python(program))
    assert.truthy(out:find "stopped before its first instruction\nT/T  getppid%(%)\n2\n", out)
    assert.truthy(out:find "execve[^\n]*\n3\nchild\nend\n[^\n]*exit 0\n2  true  true\n$", out)
  end)

  it("has its calls handled behind a filter of its own, which lets lencase load one or would end it", function()
    local outer = tonumber(support.read_file("/proc/self/status"):match "\nSeccomp_filters:\t(%d+)")
    for options, loaded in pairs { ["-e getppid=EPERM"] = 3, ["-k seccomp"] = 2 } do
      local out = output([[
function filters() for l in io.lines("/proc/" .. where.pid .. "/status") do
  local n = l:match "Seccomp_filters:%s*(%d+)" if n then return tonumber(n) end
end end
step("execve")
asked = 0
on("readlink", function() asked = asked + 1 end)
on("openat", function(dirfd, pathname, flags, mode)
  asked = asked + 10
  return lencase.sys.openat(dirfd, nil, flags, mode) end)
step("close")
filters()
run()
asked
]], ("%s/spec/helper_confine %s -- %s/spec/helper_filters cat /etc/passwd")
        :format(support.build, options, support.build))
      assert.truthy(out:find("close%(fd = 3%)\n" .. outer + loaded .. "\n"), out)
      assert.truthy(out:find "exit 0\n11\n$", out)
    end
  end)
end)

describe("a process that runs already", function()
  -- Runs f(pid, read_line) beside a program that says "up" when it is; then what it printed after SIGUSR1.
  local function beside(text, f, prefix)
    support.in_folder(function(dir)
      support.write_file(dir .. "/p.py", text)
      if prefix then sh(("chmod a+rx %s; chmod a+r %s/p.py"):format(dir, dir)) end
      sh(("mkfifo %s/up; %s %s %s/p.py > %s/out 2>&1 3> %s/up & echo $! > %s/pid; head -c 1 %s/up > /dev/null")
        :format(dir, prefix or "", PYTHON, dir, dir, dir, dir, dir))
      local pid = support.read_file(dir .. "/pid"):match "%d+"
      local fine, message = pcall(f, pid)
      sh(("kill -USR1 %s; tail --pid=%s -f /dev/null"):format(pid, pid))
      if not fine then error(message, 0) end
      local out = support.read_file(dir .. "/out")
      assert.truthy(out:find "ended right\n$", out)
    end)
  end

  local program = [[
import os, select, signal, sys, threading, time
stop = threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: stop.set())
def work():
    while not stop.is_set():
        if os.getppid() == 0: print("nonsense")
        f = os.open("/etc/hostname", os.O_RDONLY)
        os.close(f)
        time.sleep(0.001)
def poll():
    r, w = os.pipe()
    e = select.epoll()
    e.register(r)
    e.poll(1000)
threads = [threading.Thread(target=work) for _ in range(2)]
for t in threads: t.start()
threading.Thread(target=poll, daemon=True).start()
maps = open("/proc/self/maps").read()
os.write(3, b"x")
while not stop.is_set(): time.sleep(0.01)
for t in threads: t.join()
status = open("/proc/self/status").read()
print("TracerPid:\t0\n" in status, "Seccomp_filters:\t0\n" in status)
print("rw-p 00000000 00:00 0 \n" * 0 + "ended right")
]]

  local function attached(pid, lines, prefix)
    return sh(("printf %%s %s | %s timeout 10 %s repl -p %s"):format(quote(lines), prefix or "", support.lencase, pid))
  end

  describe("with seccomp filters", function()
    local NOBODY = "setpriv --reuid=nobody --regid=nogroup --clear-groups "
    local CONFINE = support.build .. "/spec/helper_confine "
    local filtered_program = [[
import os, signal, time
over = []
signal.signal(signal.SIGUSR1, lambda *_: over.append(1))
os.write(3, b"x")
while not over:
    os.getppid()
    try: os.close(os.open("/etc/hostname", os.O_RDONLY))
    except OSError as e: pass
    time.sleep(0.001)
print("ended right")
]]
    -- Calls that are answered, replaced, and made for a handler.
    local lines = [[
step("getppid")
ret(7)
step("open").pathname
call{ pathname = "/etc/passwd" }
on("getppid", function() asked = { sys.getsid(0) } return 7 end)
step(function() return asked end).name ~= nil
asked[1], asked[2] and asked[2] == lencase.errno.EPERM
]]

    local function decided(filter, prefix)
      local out, err, status
      beside(filtered_program, function(pid)
        out, err, status = attached(pid, lines, prefix)
        out = nameless(out):gsub("^%d+", "T")
      end, (prefix or "") .. CONFINE .. filter .. " -- ")
      assert.equal(0, status)
      return out:match "getppid%(%)\n(.-)\nT %(", err
    end

    local NO_MEMORY =
      "lencase: cage %d+ lets no memory be mapped[^\n]+\n[^\n]+nothing can be replaced in cage[^\n]+EIO\n$"

    it("is read by root: what they would end it for is not made", function()
      if support.sh("id -u") ~= "0\n" or support.filtered then return pending "root alone, and without filters" end
      if support.sanitized then return pending "the sanitizer's runtime needs getpid" end
      support.in_folder(function(dir)
        local rules =
          support.write_file(dir .. "/rules", ("default allow\nkill mmap 1,eq,%d\nkill getpid\nkill getsid\n")
          :format(64 << 20))
        local out, err = decided("-f " .. rules)
        assert.equal('7\n"/etc/hostname"\n-1  "EIO"\ntrue\n-1  true', out)
        assert.truthy(err:find("^" .. NO_MEMORY), err)
        out, err = decided "-e uname=EPERM"
        assert.truthy(out:find '^7\n"/etc/hostname"\n%d\ntrue\n%d+  nil', out)
        assert.equal("", err)
      end)
    end)

    it("is not read by another user: nothing is made in its name", function()
      local prefix = support.sh("id -u") == "0\n" and NOBODY or nil
      if prefix and support.private then return pending(support.private) end
      local out, err = decided("-e uname=EPERM", prefix)
      assert.equal('7\n"/etc/hostname"\n-1  "EIO"\ntrue\n-1  true', out)
      assert.truthy(err:find("^lencase: process %d+ has seccomp filters that cannot be read here[^\n]+\n" .. NO_MEMORY),
                    err)
    end)
  end)

  it("is stepped, answered and handled, and goes on as before", function()
    beside(program, function(pid)
      local out, err, status = attached(pid, [[
threads()
step("getppid")
ret(7)
step("open").pathname
call{ pathname = "/etc/passwd" } > 2
where.own ~= nil
n = 0
on("open", function(pathname, flags, mode) n = n + 1 return sys.open("/etc/hosts", flags) end)
step(function() return n > 3 end).name ~= nil
]])
      assert.equal("", err)
      assert.equal(0, status)
      assert.truthy(out:find("^" .. pid .. " %(python3%) is stopped: in %l"), out)
      assert.truthy(select(2, out:gsub("\n[ *] " .. pid .. "[ /]", "")) == 4, out)
      local tail = 'getppid%(%)\n7\n"/etc/hostname"\ntrue\ntrue\ntrue\n' .. pid .. " %(python3%) continues\n$"
      assert.truthy(out:find(tail), out)
      local maps = support.read_file("/proc/" .. pid .. "/status")
      assert.truthy(maps:find "TracerPid:\t0\n")
      assert.equal(support.seccomp_status(), support.seccomp_status(pid))
    end)
  end)

  it("goes on when the prompt is killed, at a call or not", function()
    beside(program, function(pid)
      for _, line in ipairs { "", 'step("getppid")\n', 'step("open")\n' } do
        -- the prompt kills itself where it is
        local _, _, status = attached(pid, line .. 'os.execute("kill -9 $PPID")\n')
        assert.equal(137, status)
      end
    end)
  end)

  it("must exist, and be allowed to be traced", function()
    local _, err, status = sh(support.lencase .. " repl -p 999999999 </dev/null")
    assert.truthy(err:find "there is no process 999999999")
    assert.equal(1, status)
    _, err = sh(support.lencase .. " repl -p 1x </dev/null")
    assert.truthy(err:find "expected a number above 0")
    _, err = sh(support.lencase .. " repl -p 1 -- true </dev/null")
    assert.truthy(err:find("not both", 1, true))
  end)
end)

-- {================================= terminal ==============================

-- What a terminal showed in which these keys were typed, each after the text before it.
local function terminal(steps, program, options)
  local words = {}
  for _, word in ipairs(steps) do table.insert(words, quote(word)) end
  local out, _, status =
    sh(("NO_COLOR=1 TERM=xterm LENCASE_HISTORY=/dev/null %s spec/repl_terminal.py %s -- %s repl %s %s")
    :format(PYTHON, table.concat(words, " "), support.lencase, options or "", program and "-- " .. program or ""))
  assert.equal(0, status, out)
  return out
end

-- Says when the program reads again: what is typed then is for it.
local READING = "on('read', 'pass buf', function(fd) if fd == 0 then print 'reading' end end)\\r"

describe("a program in the prompt's terminal", function()
  it("is stopped by Ctrl-C, which it does not get, and goes on", function()
    if support.no_readline then pending(support.no_readline) end
    local out = terminal({
      "> ", "run()\\r", "ready", "hello\\r", "got hello", "\\x03", "interrupted: ", "", -- in a call
      "> ", "1 + 41\\r", "42", "", "> ", READING, "> ", "run()\\r", "reading", "more\\r", "got more", "", "reading",
      "go\\r",
      "computing", "\\x03", "interrupted: ", "", -- and in none
      "> ", "step('write')\\r", 'write(fd = 1, buf = "done', "", "> ", "run()\\r", "exit 7", "", "> ", "\\x04",
    }, python [[
import os, sys
os.write(1, b"ready\n")
for line in sys.stdin:
    if line == "go\n": break
    os.write(1, b"got " + line.encode())
os.write(1, b"computing\n")
for i in range(30000000): pass
os.write(1, b"done\n")
sys.exit(7)
]])
    assert.falsy(out:find "KeyboardInterrupt")
  end)

  it("that was attached to is stopped by Ctrl-C at the prompt, and keeps its own terminal", function()
    if support.no_readline then pending(support.no_readline) end
    support.in_folder(function(dir)
      sh(("mkfifo %s/in; sh -c 'echo up > %s/up; read x; echo got $x' < %s/in > %s/out & echo $! > %s/pid")
        :format(dir, dir, dir, dir, dir))
      local pid = support.read_file(dir .. "/pid"):match "%d+"
      local feed = assert(io.open(dir .. "/in", "w")) -- waits until it reads
      local out = terminal({
        "> ", "on('read', 'pass buf', function() print 'reading' end)\\r", "> ", "run()\\r", "reading", "", "",
        "\\x03", "interrupted: ", "", "is in read", "", "> ", "\\x04",
      }, nil, "-p " .. pid)
      assert.truthy(out:find(pid .. " %(sh%) continues"), out)
      feed:write "it\n"
      feed:close()
      sh("tail --pid=" .. pid .. " -f /dev/null")
      assert.equal("got it\n", support.read_file(dir .. "/out"))
    end)
  end)

  it("keeps its own modes, and the prompt has others meanwhile", function()
    if support.no_readline then pending(support.no_readline) end
    terminal({
      "> ", "step('kill')\\r", "raw", "\\x03", "key 3", "", -- no signal: the program wants the byte
      "kill(", "", "> ", "abc\\x03", "^C", "", "> ", "step('write')\\r", "step", "Z", "write(", "", "> ", "run()\\r",
      "key 90", "", "exit 0", "", "> ", "\\x04",
    }, python [[
import os, termios, tty
modes = termios.tcgetattr(0)
tty.setraw(0)
os.write(1, b"raw\r\n")
os.write(1, b"key %d\r\n" % os.read(0, 1)[0])
os.kill(os.getpid(), 0)
os.write(1, b"key %d\r\n" % os.read(0, 1)[0])
termios.tcsetattr(0, termios.TCSADRAIN, modes)
]])
  end)

  it("is stopped by Ctrl-Z as a job is, and run() continues it", function()
    if support.no_readline then pending(support.no_readline) end
    terminal({
      "> ", "run()\\r", "ready", "\\x1a", "is stopped by signal 20", "", "> ", "threads()\\r", "stopped by job control",
      "", "> ", READING, "> ", "run()\\r", "reading", "hello\\r", "got hello", "", "exit 0", "", "> ", "\\x04",
    }, "sh -c 'echo ready; read x; echo got $x'")
  end)

  it("has a call of a handler's made again unseen when Ctrl-C has cut it short", function()
    if support.no_readline then pending(support.no_readline) end
    local polled = "on('epoll_wait', 'pass pointers', function(epfd, events, maxevents, timeout)"
                   .. " print 'polling' return sys.epoll_wait(epfd, nil, maxevents, timeout) end)\\r"
    local out = terminal({
      "> ", polled, "> ", "run()\\r", "waits", "", "polling", "\\x03", "interrupted: ", "",
      -- a call that another thread is in tells when the program goes on: it is handled only now
      "> ", "on('wait4', 'pass pointers', function() print 'waiting' end)\\r",
      "> ", "run()\\r", "waiting", "x\\r", "polled", "", "exit 0", "", "> ", "\\x04",
    }, python [[
import os, select, signal, threading
child = os.fork()
if child == 0:
    signal.pause()
waits = threading.Thread(target=os.waitpid, args=(child, 0))
waits.start()
poll = select.epoll()
poll.register(0, select.EPOLLIN)
while open("/proc/self/task/%d/wchan" % waits.native_id).read() != "do_wait": pass
os.write(1, b"waits\n")
print("polled", poll.poll(), os.read(0, 9), flush=True)
os.kill(child, signal.SIGKILL)
waits.join()
]])
    assert.falsy(out:find "\npolling.*\npolling")
  end)

  it("may be several processes, of which Ctrl-C stops all, once", function()
    if support.no_readline then pending(support.no_readline) end
    terminal({
      "> ", READING, "> ", "run()\\r", "reading", "", "reading", "\\x03", "interrupted: ", "",
      "> ", "threads()\\r", "in read", "", "in read", "", "> ",
      "off() on('wait4', 'pass pointers', function() print 'waiting' end)\\r", "> ", "run()\\r", "waiting", "hello\\r",
      "got hello", "", "exit 0", "", "> ", "\\x04",
    }, "sh -c 'head -n 1 | { read x; echo got $x; }'")
  end)
end)

-- }==========================================================================
