-- The inline host where not everything is allowed: behind a container's seccomp filter, without /proc, on disks
-- that cannot be written. It does what it does elsewhere, or says before the program starts why not.

local support = require "spec.support"

local CONFINE = support.build .. "/spec/helper_confine "

if support.sanitized then return end -- the sanitizer's runtime is no part of the engine's namespace

-- Copies in and out, with buffers over many pages, and asks where paths are.
local copies = [[
local lencase = require "lencase"
local sys, bytes, paths = lencase.sys, 0, {}
return lencase.grate {
  write = { "copy all", function(fd, buf, count)
    bytes = bytes + #tostring(buf)
    return sys.write(fd, buf, count)
  end },
  read = { "copy all", function(fd, _, count)
    local n, errno, buf = sys.read(fd, nil, count)
    if n > 0 then bytes = bytes + #tostring(buf) end
    return n, errno, buf
  end },
  open = { "copy all", function(pathname, flags, mode)
    if tostring(pathname):find "marked" then table.insert(paths, tostring(pathname)) end
    return sys.open(pathname, flags, mode)
  end },
  on_exit = function() io.stderr:write("copied ", bytes, " ", table.concat(paths, ","), "\n") end,
}]]

-- Runs f(command) with a `lencase run --inline GRATE --` of its own.
local function with_grate(f)
  support.in_folder(function(dir)
    f(("%s run --inline %s -- "):format(support.lencase, support.write_file(dir .. "/grate.lua", copies)), dir)
  end)
end

-- What differs from run to run: what Python reads when it starts is not always as long.
local function settled(err)
  return (err:gsub("%S+/grate%.lua", "GRATE"):gsub("cage %d+", "cage N"):gsub("copied %d%d%d%d+ ", "copied thousands "))
end

local function python(text) return "/usr/bin/python3 -S -c " .. support.quote(text) end

-- Pipes of the program's own, forks, a spawned program, pointers that lead nowhere, protected pages.
local program = python [[
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno = True)
r, w = os.pipe()
os.write(w, b"x" * 20000)
assert os.read(r, 20000) == b"x" * 20000
assert libc.write(w, ctypes.c_void_p(16), 5) == -1 and ctypes.get_errno() == 14
os.write(w, b"y")
assert libc.read(r, ctypes.c_void_p(16), 1) == -1 and ctypes.get_errno() == 14
for i in range(3):
    if os.fork() == 0:
        os.write(w, b"child")
        os._exit(0)
    os.wait()
assert os.read(r, 100).endswith(b"childchildchild")
print(os.spawnv(os.P_WAIT, "/bin/echo", ["echo", "spawned"]))]]

describe("a program inline behind a filter", function()
  local wanted
  setup(function()
    with_grate(function(run)
      local out, err, n = support.sh(run .. program)
      wanted = { out, settled(err), n }
    end)
  end)

  local function same(filter)
    with_grate(function(run)
      local out, err, n = support.sh(CONFINE .. filter .. " -- " .. run .. program)
      assert.are.same(wanted, { out, settled(err), n })
    end)
  end

  it("is right without one", function()
    assert.are.equal("spawned\n0\n", wanted[1])
    assert.is_truthy(wanted[2]:find "copied thousands \n$")
    assert.are.equal(0, wanted[3])
  end)

  for _, name in ipairs { "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd", "memfd_create",
                          "seccomp",
                          "clone3", "signalfd4", "ptrace" } do
    for _, errno in ipairs { "ENOSYS", "EPERM" } do
      it(("is right when %s says %s"):format(name, errno), function() same(("-e %s=%s"):format(name, errno)) end)
    end
  end

  it("is right when all of them do", function()
    same("-e process_vm_readv=EPERM -e process_vm_writev=EPERM -e pidfd_open=EPERM -e pidfd_getfd=EPERM "
         .. "-e memfd_create=EPERM -e seccomp=EPERM -e clone3=ENOSYS -e signalfd4=EPERM -e ptrace=EPERM")
  end)

  for _, errno in ipairs { "ENOSYS", "EPERM" } do
    it("is refused before it starts when prctl says " .. errno, function()
      with_grate(function(run)
        local out, err, n = support.sh(CONFINE .. ("-e prctl=%s -- "):format(errno) .. run .. "echo ran")
        assert.are.same({ "", 125 }, { out, n })
        assert.is_truthy(err:find("^lencase: prctl%(PR_SET_SYSCALL_USER_DISPATCH%): [^\n]*run the program "
                                  .. "traced[^\n]*lencase doctor")
                         , err)
        assert.are.equal(1, select(2, err:gsub("\n", "")))
      end)
    end)
  end

  -- Loaded by a program that runs inline, which executes another, which forks.
  local OWN = support.build .. "/spec/dynamic_confine "

  for what, rules in pairs { ["for copies"] = "kill process_vm_readv\nkill process_vm_writev",
                             ["for memory that is made executable"] = "kill mprotect 2,masked,4,4" } do
    it("of its own, which would end it " .. what .. ", is right, too", function()
      with_grate(function(run, dir)
        local file = support.write_file(dir .. "/rules", "default allow\n" .. rules)
        local out, err, n = support.sh(run .. OWN .. "-f " .. file .. " -- " .. program)
        assert.are.same({ wanted[1], 0 }, { out, n })
        assert.is_truthy(err:find "^copied %d+ \n", err)
        assert.is_nil(err:find "lencase:")
      end)
    end)
  end

  it("of its own, which would end it for what cannot be left out, is reported by lencase run, once", function()
    with_grate(function(run, dir)
      local file =
        support.write_file(dir .. "/rules", "default allow\nkill rt_sigreturn\nkill process_vm_readv\nkill pipe2")
      local script = ("for i in 1 2; do %s -f %s -- cat /dev/null 2>/dev/null; echo $?; done"):format(OWN, file)
      local out, err = support.sh(run .. "sh -c " .. support.quote(script))
      assert.are.equal("159\n159\n", out)
      assert.are.equal(1,
                       select(2, err:gsub("lencase: process %d+ loads a seccomp filter that may end it for calls that "
        .. "lencase makes in it %(process_vm_readv, rt_sigreturn%): "
        .. "run the program traced, without %-%-inline\n", "")), err)
    end)
  end)

  it("keeps the pipe that it copies by from programs that close everything", function()
    with_grate(function(run)
      local out, err, n =
        support.sh(CONFINE .. "-e process_vm_readv=EPERM -e process_vm_writev=EPERM -- " .. run .. python [[
import os
os.closerange(3, 1 << 20)
for fd in range(3, 2000):
    try: os.close(fd)
    except OSError: pass
null = os.open("/dev/null", os.O_WRONLY)
for fd in range(1000, 1010):
    try: os.dup2(null, fd)
    except OSError: pass
os.write(1, b"all closed\n")]])
      assert.are.same({ "all closed\n", 0 }, { out, n })
      assert.is_truthy(err:find "^copied %d+ \n$", err)
    end)
  end)

  it("answers the program's own filter by the same way", function()
    with_grate(function(run)
      local own = CONFINE:gsub("helper_confine", "dynamic_confine")
      local out, err, n =
        support.sh(run .. own .. "-e process_vm_readv=EPERM -e process_vm_writev=ENOSYS -- " .. program)
      assert.are.same({ wanted[1], wanted[3] }, { out, n })
      assert.are.equal(wanted[2], settled(err))
    end)
  end)
end)

describe("a program inline", function()
  -- In namespaces of its own, after `change`; nil: they cannot be made here.
  local function changed(change, line)
    if not os.execute "unshare -Urmpf true 2>/dev/null" then return nil end
    local out, err, n
    with_grate(function(run, dir)
      os.execute(("mkdir %s/sub && echo text > %s/sub/marked"):format(dir, dir))
      line = run .. line:gsub("DIR", (dir:gsub("%%", "%%%%")))
      out, err, n = support.sh(("unshare -Urmpf sh -c %s"):format(support.quote(change .. " && " .. line)))
      err = err:gsub(dir:gsub("%p", "%%%0"), "DIR")
    end)
    return out, err, n
  end

  local reader = python [[
import os
d = os.open("DIR/sub", os.O_RDONLY)
os.write(1, os.read(os.open("marked", os.O_RDONLY, dir_fd = d), 100))]]

  for change, what in pairs {
    ["mount -t tmpfs none /proc"] = "knows the paths of folders without /proc",
    ["true"] = "knows the paths of folders",
    ["mount -t proc -o hidepid=2 none /proc"] = "needs no process but its own in /proc",
    ["mount --rbind / / && mount -o remount,ro,bind /"] = "needs no disk that can be written",
    ["mount -t tmpfs -o noexec none /var/tmp"] = "needs no folder for programs",
  } do
    it(what, function()
      local out, err, n = changed(change, reader)
      if not out then return pending "no user namespaces" end
      assert.are.same({ "text\n", 0 }, { out, n })
      assert.is_truthy(err:find "^copied %d+ DIR/sub/marked\n$", err)
    end)
  end

  it("gains no privileges, and is not refused for that", function()
    support.in_folder(function(dir)
      os.execute(("cp /bin/echo %s/echo && chmod u+s %s/echo; chown 12345 %s/echo 2>/dev/null; chmod u+s %s/echo")
        :format(
        dir, dir, dir, dir))
      with_grate(function(run)
        local out, err, n = support.sh(("setpriv --no-new-privs %s %s/echo ran"):format(run, dir))
        assert.are.same({ "ran\n", 0 }, { out, n })
        assert.is_truthy(err:find "^copied %d+ \n$", err)
      end)
    end)
  end)

  it("executes nothing by a descriptor that it cannot look at", function()
    local static = support.build:find "^/" and support.build or support.pwd .. "/" .. support.build
    for _, change in ipairs { "true", "mount -t tmpfs none /proc" } do
      for _, flag in ipairs { "O_RDONLY", "O_PATH" } do
        local out, err = changed(change, python(([[
import ctypes, os
try: ctypes.CDLL(None, use_errno = True).execveat(os.open("%s/spec/helper_habits", os.%s), b"",
                                                  (ctypes.c_char_p * 3)(b"x", b"faults"), None, 0x1000)
except OSError: pass
os.write(1, b"refused\n")]]):format(static, flag)))
        if not out then return pending "no user namespaces" end
        assert.are.equal("refused\n", out)
        assert.is_truthy(err:find("^lencase: a program that is executed by its descriptor [^\n]*: it cannot run "
                                  .. "inline, ")
                         , err)
      end
    end
  end)

  it("is refused when it can be executed but not read", function()
    local root = os.execute "test $(id -u) = 0"
    if root and support.private then return pending(support.private) end
    support.in_folder(function(dir)
      os.execute(("cp %s/spec/helper_habits %s/hidden && chmod 111 %s/hidden && chmod 755 %s")
        :format(support.build, dir, dir, dir))
      with_grate(function(run, own)
        os.execute("chmod 755 " .. own)
        local drop = root and "setpriv --reuid 65534 --clear-groups " or ""
        local out, err = support.sh(drop .. run .. ("sh -c '%s/hidden faults; echo $?'"):format(dir))
        assert.are.equal("126\n", out, err)
        assert.is_truthy(err:find("hidden cannot be read, so that it cannot be told how it is linked: it cannot run "
                                  .. "inline"), err)
      end)
    end)
  end)
end)
