-- Places that answer some calls before lencase's own filter does: containers, service managers, old
-- kernels. Each is made by spec/c/helper_confine.c; a run either works there as anywhere, or is
-- refused before the program starts, with a message that names the cause.

local support = require "spec.support"

local SCRIPT = [[
local lencase = require "lencase"
local sys = lencase.sys
return lencase.grate {
  getppid = function() return 4242 end,
  openat = { "copy pathname", exact = true, function(dirfd, pathname, flags, mode)
    if pathname:find "secret$" then return lencase.fail "EACCES" end
    if pathname:find "other$" then return sys.openat(dirfd, (pathname:gsub("other$", "word")), flags, mode) end
    return sys.openat(dirfd, pathname, flags, mode)
  end },
  read = { "copy buf", function(fd, buf, count)
    local n, errno, bytes = sys.read(fd, nil, count)
    return n, errno, n > 0 and tostring(bytes):gsub("hello", "HELLO") or nil
  end },
}
]]

-- Replaced, refused and filled arguments, in forks, new programs and threads.
local PROGRAM = [[
cat other | cat
cat secret
(cat other | tr O o)
python3 -c "
import os, threading
t = threading.Thread(target=lambda: print(os.getppid()))
t.start(); t.join()
fd = os.open('word', os.O_RDONLY)
try: os.readv(fd, [bytearray(0)]); print(os.read(fd, 3))
except OSError as e: print(e)"
]]
local OUT = "HELLO\nHELLo\n4242\nb'hel'\n"
local ERR = "cat: secret: Permission denied\n"

--- Under helper_confine with these options, after 'prefix' if there is one.
local function run(options, flags, prefix)
  local out, err, status
  support.in_folder(function(dir)
    support.write_file(dir .. "/g.lua", SCRIPT)
    support.write_file(dir .. "/prog.sh", PROGRAM)
    support.write_file(dir .. "/word", "hello\n")
    os.execute("chmod -R a+rX " .. dir)
    local here = support.pwd
    out, err, status = support.sh(("cd %s && %s %s/%s/spec/helper_confine %s -- %s/scripts/lencase run %s g.lua -- sh "
                                   .. "prog.sh")
      :format(dir, prefix or "timeout 60", here, support.build, options, here, flags or ""))
  end)
  return out, err, status
end

--- The run is as anywhere else; 'said' is the beginning of standard error, a pattern; nil: nothing.
local function is_right(said, out, err)
  assert.are.equal(OUT, out)
  if said then
    assert.is_truthy(err:find("^" .. said), err)
    assert.are.equal(ERR, err:sub(-#ERR))
  else
    assert.are.equal(ERR, err)
  end
end

local EVERY = "lencase: [^\n]+every call of the program stops[^\n]+doctor[^\n]+\n"
local LENT = "lencase: cage %d+ has no window %([^\n]+%)[^\n]+\n"

-- What is answered, and the message then.
local places = {
  { "process_vm_readv" }, { "process_vm_writev" }, { "process_vm_readv process_vm_writev" },
  { "pidfd_open" }, { "pidfd_getfd" }, { "pidfd_send_signal" }, { "kcmp" }, { "process_madvise" },
  { "process_vm_readv process_vm_writev pidfd_open pidfd_getfd kcmp process_madvise perf_event_open userfaultfd bpf" },
  { "memfd_create", LENT }, { "sched_getaffinity", LENT }, { "sched_setaffinity" },
}

-- A process without a filter of ours is stopped at each call; root may do without prctl.
if support.sh("id -u") == "0\n" then
  table.insert(places, { "seccomp", LENT })
  table.insert(places, { "prctl seccomp", "lencase: prctl is refused[^\n]+\n" .. EVERY .. LENT })
end

describe("a traced run where an outer filter answers", function()
  for _, place in ipairs(places) do
    for _, errno in ipairs { "EPERM", "ENOSYS" } do
      it(("%s with %s"):format(place[1], errno), function()
        if support.sanitized and place[1] == "sched_getaffinity" then
          return pending "the sanitizer's runtime needs it"
        end
        is_right(place[2], run((place[1]:gsub("[%w_]+", function(name) return "-e " .. name .. "=" .. errno end))))
      end)
    end
  end

  it("ptrace, or clone3 as no kernel does: it is refused, and the program has not begun", function()
    local refused = { ["ptrace=EPERM"] = "traced here %(ptrace: [^\n]+%-%-cap%-add SYS_PTRACE",
      ["ptrace=ENOSYS"] = "traced here %(ptrace: [^\n]+%-%-inline", ["clone3=EPERM"] = "clone3[^\n]+%-%-security%-opt",
      ["socketpair=EPERM"] = "channel[^\n]+socketpair" }
    for option, said in pairs(refused) do
      local out, err, status = run("-e " .. option)
      assert.are.same({ "", 125 }, { out, status })
      assert.is_truthy(err:find("^lencase: [^\n]+" .. said .. "[^\n]*\n$"), err)
    end
  end)

  it("clone3 with ENOSYS, as Docker's does", function() is_right(nil, run "-e clone3=ENOSYS") end)

  it("by a listener, which lets calls go on", function()
    for _, call in ipairs { "openat", "getpgrp" } do is_right(EVERY .. LENT, run("-n " .. call)) end
  end)

  it("number -1 with an errno, by a list of what is allowed: what is decided stands", function()
    local out, err
    support.in_folder(function(dir)
      local rules = { "default EPERM" }
      for nr = 0, 500 do table.insert(rules, "allow " .. nr) end
      support.write_file(dir .. "/rules", table.concat(rules, "\n"))
      support.write_file(dir .. "/word", "hello\n")
      support.write_file(dir .. "/session",
                         'step(function(c) return c.pathname == "word" end)\nret(-1, "EXDEV")\nrun()\n')
      out, err = support.sh(("cd %s && %s/%s/spec/helper_confine -f rules -- %s/scripts/lencase repl -- cat word < "
                             .. "session")
        :format(dir, support.pwd, support.build, support.pwd))
    end)
    assert.is_truthy(out:find '%-1  "EXDEV"', out .. err)
    assert.is_truthy(err:find "cat: word: Invalid cross%-device link", out .. err)
  end)
end)

describe("a traced run in a place", function()
  -- As an ordinary user by way of a user namespace, where there is one.
  local private = support.sh("id -u") == "0\n" and "unshare -m" or "unshare -rm"
  local function can(prefix)
    return select(3, support.sh(('cd "${TMPDIR:-/tmp}" && %s true'):format(prefix))) == 0
  end
  local function inside(setup)
    return private .. " sh -c " .. support.quote(setup .. ' && exec timeout 60 "$@"') .. " sh"
  end

  local same = {
    ["without new privileges"] = "setpriv --no-new-privs timeout 60",
    ["with a root that cannot be written"] = inside "mount --bind / / && mount -o remount,bind,ro /",
    ["where /tmp executes nothing"] = inside 'mount --bind . . && mount -o remount,bind,noexec . && cd "$PWD"',
    ["where other users' processes are hidden"] = inside "mount -t proc -o hidepid=2 proc /proc",
  }
  for name, prefix in pairs(same) do
    it(name, function()
      if prefix:find "hidepid" and private:find "%-r" then
        prefix = prefix:gsub("unshare %-rm", "unshare -rmpf --mount-proc")
      end
      if not can(prefix) then return pending "this place cannot be made here" end
      is_right(nil, run("-e kcmp=EPERM", nil, prefix))
    end)
  end

  it("without /proc: it is refused", function()
    local prefix = inside "mount -t tmpfs none /proc"
    if not can(prefix) then return pending "this place cannot be made here" end
    local out, err, status = run("-e kcmp=EPERM", nil, prefix)
    assert.are.same({ "", 125 }, { out, status })
    assert.is_truthy(err:find "^lencase: /proc is not there [^\n]+mount %-t proc[^\n]+\n$", err)
  end)
end)
