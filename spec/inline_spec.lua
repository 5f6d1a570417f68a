-- The inline host with real programs: they see what they see without lencase.

local support = require "spec.support"

local BUILD = support.build
local HABITS = BUILD .. "/spec/dynamic_habits "

-- Handles calls that programs make all the time, and forwards them.
local busy = [[
local lencase = require "lencase"
local sys, grate = lencase.sys, {}
local names = "read write execve wait4 clone fork vfork exit_group exit mmap munmap brk futex rt_sigaction "
  .. "rt_sigprocmask rt_sigsuspend sigaltstack rt_sigreturn"
for name in names:gmatch "%S+" do
  grate[name] = { lencase.PASS_THROUGH_ALL, function() return sys[name]() end }
end
return lencase.grate(grate)
]]

local counter = [[
local lencase = require "lencase"
local sys, bytes, word = lencase.sys, 0, ...
return lencase.grate {
  write = { "pass buf", function(fd, _, count)
    local n, errno = sys.write(fd, nil, count)
    if n > 0 then bytes = bytes + n end
    return n, errno
  end },
  on_exit = function() io.stderr:write(word or "", "bytes ", bytes, "\n") end,
}
]]

local function inline(script, program, words)
  local out, err, n, how
  support.in_folder(function(dir)
    local path = support.write_file(dir .. "/grate.lua", script)
    out, err, n, how = support.sh(("%s run --inline %s %s -- %s"):format(support.lencase, path, words or "", program))
  end)
  return out, err, n, how
end

local function absolute(path) return path:find "^/" and path or support.pwd .. "/" .. path end

local function same(program, script)
  local out, err, n, how = support.sh(program)
  local out2, err2, n2, how2 = inline(script or busy, program)
  assert.are.same({ out, err, n, how }, { out2, err2, n2, how2 })
end

if support.sanitized then return end -- the sanitizer's runtime is no part of the engine's namespace

describe("a program inline", function()
  for _, habit in ipairs { "interrupted", "restarted", "leaps", "masks", "stacks", "faults", "own_sigsys", "killed",
                           "threads", "inherits", "cancelled", "main_leaves", "forks", "vforks", "spawns", "clones",
                           "pipes", "execs", "storms", "heights", "queues", "actions", "littles", "least", "visits",
                           "disarms", "overflows", "scanned", "traps", "waiting", "traces", "strangers",
                           "stackless", "keys" } do
    it("sees no difference: " .. habit, function() same(HABITS .. habit) end)
  end

  it("gets each signal that comes while a grate's own library makes calls, in their order", function()
    same(HABITS .. "paced", [[
      local lencase = require "lencase"
      local sys, grate = lencase.sys, {}
      for _, name in ipairs { "read", "write" } do
        grate[name] = { lencase.PASS_THROUGH_ALL, function()
          for _ = 1, 10 do io.open("/dev/null"):close() end
          return sys[name]()
        end }
      end
      return lencase.grate(grate)]])
  end)

  it("is counted as a traced one is", function()
    support.in_folder(function(dir)
      local program = (" examples/count_writes.lua -- sh -c 'echo hello > %s/x'"):format(dir)
      local _, traced = support.sh(support.lencase .. " run" .. program)
      local _, counted, n = support.sh(support.lencase .. " run --inline" .. program)
      assert.are.equal(0, n)
      assert.are.equal(traced, counted)
      assert.is_truthy(counted:find("6 +1  " .. dir:gsub("%p", "%%%0") .. "/x"))
    end)
  end)

  it("takes its grates along to the programs that it executes", function()
    local out, err, n = inline(counter, "env -i /bin/sh -c 'cd /; /bin/echo one; exec /bin/echo three'", "its_")
    assert.are.same({ "one\nthree\n", 0 }, { out, n })
    assert.are.equal("its_bytes 4\nits_bytes 6\n", err)
  end)

  it("has a report of each process, also of those that close their standard error", function()
    local _, err = inline(counter, "/usr/bin/python3 -c 'import os; os.write(1, b\"abc\"); os.closerange(2, 4096)'")
    assert.are.equal("bytes 3\n", err)
  end)

  it("has a grate that prints, writes and runs programs of its own", function()
    local script = [[
      local lencase = require "lencase"
      local sys = lencase.sys
      return lencase.grate { write = function(fd, buf, count)
        io.stderr:write(("%d"):format(count), " ")
        print(("x"):rep(3))
        local p = io.popen "echo y"
        assert(p:read "a" == "y\n" and p:close())
        return sys.write(fd, tostring(buf):upper(), count)
      end }]]
    local out, err = inline(script, "/usr/bin/python3 -c 'import os; os.write(1, b\"hello\\n\")'")
    assert.are.same({ "xxx\nHELLO\n", "6 " }, { out, err })
  end)

  it("has a grate whose C library knows its thread", function()
    support.in_folder(function(dir)
      support.write_file(dir .. "/locks.c", [[
#include <lauxlib.h>
#include <pthread.h>
static int try(lua_State *L) {
  static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
  pthread_mutexattr_t a;
  pthread_mutex_t m, robust;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&m, &a);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &a);
  int r[9], i = 0;
  r[i++] = pthread_rwlock_rdlock(&rw);
  r[i++] = pthread_rwlock_unlock(&rw);
  r[i++] = pthread_rwlock_wrlock(&rw);
  r[i++] = pthread_rwlock_wrlock(&rw);
  r[i++] = pthread_rwlock_unlock(&rw);
  r[i++] = pthread_mutex_lock(&m);
  r[i++] = pthread_mutex_lock(&m);
  r[i++] = pthread_mutex_lock(&robust);
  r[i++] = pthread_mutex_unlock(&robust);
  luaL_checkstack(L, 2 * i, "results");
  for (i = 0; i < 9; i++) lua_pushfstring(L, "%d ", r[i]);
  lua_concat(L, 9);
  return 1;
}
int luaopen_locks(lua_State *L) { lua_pushcfunction(L, try); return 1; }
]])
      assert.is_true(os.execute(("cc -O0 -shared -fPIC $(pkg-config --cflags lua5.4) -o %s/locks.so %s/locks.c")
        :format(dir, dir)))
      local _, err = inline(([[
        package.cpath = "%s/?.so;" .. package.cpath
        local try = require "locks"
        local function tell() io.stderr:write(try(), "\n") end
        return require "lencase".grate { getppid = tell }]]):format(dir),
        "/usr/bin/python3 -S -c 'import os; os.getppid(); os.fork(); os.getppid()'")
      assert.are.equal(("0 0 0 35 0 0 35 0 0 \n"):rep(3), err)
    end)
  end)

  it("leaves no traces of a signal handler on an alternate stack that returns", function()
    local out, err = inline('local sys = require "lencase".sys\n'
                              .. 'return require "lencase".grate { rt_sigreturn = function() return sys.rt_sigreturn() '
                                 .. 'end }',
      [[/usr/bin/python3 -S -c '
import faulthandler, os, signal
faulthandler.enable()  # has a stack for handlers
count = 0
def handler(*args):
    global count
    count += 1
def used():
    return int(open("/proc/self/statm").read().split()[1]) * 4
signal.signal(signal.SIGUSR1, handler)
def send(n):
    for _ in range(n): os.kill(os.getpid(), signal.SIGUSR1)
send(500)
before = used()
send(6000)
print(count, "grown" if used() > before + 4096 else "as large as before")']])
    assert.are.equal("6500 as large as before\n", out, err)
  end)

  it("gets a second thread's calls while one waits", function()
    local out = inline(busy, [[/usr/bin/python3 -c '
import os, threading
r, w = os.pipe()
t = threading.Thread(target = lambda: print(os.read(r, 10)))
t.start()
os.write(w, b"second")
t.join()']])
    assert.are.equal("b'second'\n", out)
  end)
end)

describe("lencase's modules in Lua", function()
  local shows = [[
    local lencase = require "lencase"
    io.stderr:write(debug.getinfo(lencase.sum, "S").source, " ", lencase.sum({ n = 1 }, { n = 1 }).n, "\n")
    return lencase.grate {}]]

  -- A tree of its own, with the same build.
  local function in_tree(change)
    local err
    support.in_folder(function(dir)
      local build = absolute(BUILD)
      os.execute(("cp -r lua %s && mkdir %s/scripts && cp scripts/lencase %s/scripts && ln -s %s %s/build"):format(
        dir, dir, dir, build, dir))
      change(dir)
      local path = support.write_file(dir .. "/grate.lua", shows)
      err = select(2,
        support.sh(("env -u LENCASE_BUILD lua5.4 %s/scripts/lencase run --inline %s -- true"):format(dir, path)))
      err = err:gsub(dir:gsub("%p", "%%%0"), "DIR")
    end)
    return err
  end

  it("are not parsed in each program", function()
    assert.are.equal("@DIR/scripts/../lua/lencase/init.lua 2\n@lencase/init.lua 2\n", in_tree(function() end))
  end)

  it("are those of their files, when these have changed since", function()
    local function change(dir)
      local path = dir .. "/lua/lencase/merging.lua"
      support.write_file(path, (support.read_file(path):gsub("own %+ value", "own * 7")))
    end
    assert.are.equal("@DIR/scripts/../lua/lencase/init.lua 7\n@lencase/init.lua 7\n", in_tree(change))
  end)
end)

describe("what cannot run inline", function()
  it("is refused at the start", function()
    local _, err, n = inline(counter, BUILD .. "/spec/helper_habits threads")
    assert.are.equal(126, n)
    assert.is_truthy(err:find "is linked statically: it cannot run inline; run it traced, without %-%-inline")
  end)

  it("is refused at an exec", function()
    local program = ("sh -c '%s/spec/helper_habits threads; echo $?'"):format(BUILD)
    local out, err = inline(busy, program)
    assert.are.equal("126\n", out)
    assert.is_truthy(err:find "lencase: .*helper_habits is linked statically: it cannot run inline")
  end)

  it("is a set-user-ID program", function()
    support.in_folder(function(dir)
      os.execute(("cp /bin/true %s/true && chmod u+s %s/true"):format(dir, dir))
      os.execute(("chown 12345 %s/true 2>/dev/null; chmod u+s %s/true"):format(dir, dir))
      local _, err, n = inline(counter, dir .. "/true")
      if n == 0 then return pending "not root: the file cannot be given away" end
      assert.are.equal(126, n)
      assert.is_truthy(err:find "is set%-user%-ID")
    end)
  end)

  it("is a script that cannot be loaded", function()
    local _, err, n = inline("return 1", "true")
    assert.are.equal(125, n)
    assert.is_truthy(err:find "the script must end with 'return lencase.grate")
  end)

  it("is not there", function()
    local _, err, n = inline(counter, "/nonexistent")
    assert.are.same({ 127, "lencase: /nonexistent: No such file or directory\n" }, { n, err })
  end)
end)

describe("a program's environment inline", function()
  local function same_environment(program)
    local out, err, n, how = support.sh("env -i A=1 B=2 PATH=$PATH " .. program)
    local run = ("env -i A=1 B=2 PATH=$PATH %s run --inline GRATE -- %s"):format(support.lencase, program)
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/grate.lua", busy)
      assert.are.same({ out, err, n, how }, { support.sh((run:gsub("GRATE", path))) })
    end)
    return out
  end

  it("is as it is without lencase", function()
    assert.are.equal("A=1\nB=2\n", (same_environment("/usr/bin/env"):gsub("PATH=[^\n]*\n", "")))
    same_environment "/bin/sh -c 'env; env -i /usr/bin/env; C=3 env; exec env'"
    same_environment "/usr/bin/env LENCASE_INLINE=its_own env"
    same_environment "/usr/bin/env LD_PRELOAD=libm.so.6 /bin/sh -c 'env; LD_PRELOAD= env'"
  end)

  it("is so for readers of /proc", function()
    local out = same_environment "/bin/cat /proc/self/environ"
    assert.is_truthy(out:find "^A=1\0B=2\0PATH=[^\0]*\0$")
    same_environment "/usr/bin/env -i /bin/cat /proc/self/environ"
  end)

  it("is before the auxiliary vector, as the kernel has it", function()
    local out = same_environment(HABITS .. "vectors")
    assert.is_truthy(out:find "page 4096\n.*random 1\n")
  end)

  it("is what a grate's own programs have", function()
    local script = [[
      local lencase = require "lencase"
      local p = io.popen "env"
      io.stderr:write((p:read "a":gsub("[^\n]*PATH=[^\n]*\n", ""):gsub("[^\n]*PWD=[^\n]*\n", "")))
      p:close()
      return lencase.grate {}]]
    local _, err = inline(script, "env -i A=1 /bin/true")
    assert.is_truthy(err:find "A=1\n$", err)
    assert.is_falsy(err:find "LENCASE_INLINE" or err:find "LD_PRELOAD")
  end)
end)

describe("a program that would run without its grates", function()
  local function refused(program, what, word)
    local out, err = inline(counter, program)
    assert.are.equal("", out)
    assert.is_truthy(err:find("lencase: [^\n]*" .. what .. "[^\n]*: it cannot run inline, the caller gets EACCES"), err)
    if word then assert.is_truthy(err:find(word), err) end
  end

  local hides = "would not find lencase's library %%(in another root folder or mount namespace, or as another user%%)"
  hides = hides:gsub("%%%%", "%%")

  it("is refused in another mount namespace", function()
    if not os.execute "unshare -Urm true 2>/dev/null" then return pending "no user namespaces" end
    support.in_folder(function(dir)
      os.execute(("cp /bin/mount %s/mount"):format(dir)) -- not set-user-ID
      refused(("unshare -Urm sh -c '%s/mount -t tmpfs none %s; exec /bin/echo unwatched'"):format(dir, absolute(BUILD)),
              hides)
    end)
  end)

  it("is refused below another root", function()
    if not os.execute "unshare -Ur true 2>/dev/null" then return pending "no user namespaces" end
    support.in_folder(function(dir)
      os.execute(("cd %s && mkdir -p bin lib64 lib/x86_64-linux-gnu && cp /bin/echo bin && cp "
                  .. "/lib64/ld-linux-x86-64.so.2 lib64 "
                  .. "&& cp /lib/x86_64-linux-gnu/libc.so.6 lib/x86_64-linux-gnu"):format(dir))
      refused(("unshare -Ur chroot %s /bin/echo unwatched"):format(dir), "/bin/echo " .. hides)
    end)
  end)

  it("is refused when its user cannot read them, or is two", function()
    if not os.execute "test $(id -u) = 0" then return pending "not root" end
    support.in_folder(function(dir)
      local build = absolute(BUILD)
      os.execute(("mkdir %s/b && cp -r %s/*.so %s/lencase %s/b && chmod 755 %s && chmod 700 %s/b")
        :format(dir, build, build, dir, dir, dir))
      local up = ("../"):rep(select(2, support.pwd:gsub("/", "")) + 1)
      local path = support.write_file(dir .. "/grate.lua", counter)
      local out, err =
        support.sh(("env LENCASE_BUILD=%s%s/b %s run --inline %s -- setpriv --reuid 65534 --clear-groups "
                                   .. "/bin/echo unwatched"):format(up, dir:sub(2), support.lencase, path))
      assert.are.equal("", out)
      assert.is_truthy(err:find("/bin/echo " .. hides), err)
    end)
    refused([[/usr/bin/python3 -c '
import os
os.setresuid(0, 12345, 0)
try: os.execv("/bin/echo", ["echo", "unwatched"])
except PermissionError: pass']], "would run with an effective user or group ID that is not the real one")
  end)

  it("is refused when its dynamic linker is another's", function()
    support.in_folder(function(dir)
      support.write_file(dir .. "/x.c", "int main(void) { return 0; }\n")
      assert.is_true(os.execute(("cc -o %s/x %s/x.c -Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"):format(dir, dir)))
      refused(("sh -c '%s/x; exit 0'"):format(dir), "/x is linked for another C library")
    end)
  end)
end)
