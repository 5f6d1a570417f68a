-- Programs that load seccomp filters themselves, and programs whose memory others may not read: under the
-- trace host they see and do the same as without it, and a grate sees their calls.

local support = require "spec.support"

local ROOT = support.sh("id -u") == "0\n"
local NOBODY = "setpriv --reuid=nobody --regid=nogroup --clear-groups "
local HELPER, CONFINE, UNREAD = "helper_filters ", "helper_confine ", "dynamic_filters "

local COPIES = [[
local sys = require "lencase".sys
return require "lencase".grate {
  openat = { "copy pathname", exact = true, function(dirfd, pathname, flags, mode)
    return sys.openat(dirfd, pathname, flags, mode)
  end },
  open = { "copy pathname", exact = true, function(pathname, flags, mode) return sys.open(pathname, flags, mode) end },
  read = { "copy buf", exact = true, function(fd, buf, count) return sys.read(fd, nil, count) end },
}
]]
local REPLACES =
  COPIES:gsub("dirfd, pathname, flags, mode%)\n  end", 'dirfd, (pathname:gsub("other$", "word")), flags, mode)\n  end')
local DENIES = [[
local lencase = require "lencase"
return lencase.grate {
  open = { "copy pathname", function(pathname) if pathname:find "word$" then return lencase.fail "EXDEV" end end },
}
]]
local ASKS = [[
local lencase = require "lencase"
local sys = lencase.sys
return lencase.grate {
  openat = { "copy pathname", exact = true, function(dirfd, pathname, flags, mode)
    local uid, errno = sys.getuid()
    if pathname:find "word$" then print(uid, errno and errno == lencase.errno.EPERM) end
    return sys.openat(dirfd, nil, flags, mode)
  end },
}
]]

--- In a folder with 'word' and the grate: what the command prints by itself, and under the grate.
local function both(script, command, options)
  local native, out, err, status
  support.in_folder(function(dir)
    support.write_file(dir .. "/g.lua", script)
    support.write_file(dir .. "/word", "hello\n")
    for name, text in pairs(options and options.files or {}) do support.write_file(dir .. "/" .. name, text) end
    for _, name in ipairs { "helper_filters", "helper_confine", "dynamic_filters" } do
      os.execute(("cp %s/spec/%s %s/"):format(support.build, name, dir))
    end
    os.execute(("chmod -R a+rX %s && chmod 0111 %s/dynamic_filters"):format(dir, dir))
    local prefix, here = options and options.prefix or "", support.pwd
    command = command:gsub("helper_", "./helper_"):gsub("dynamic_", "./dynamic_")
    native = support.sh(("cd %s && %s timeout 60 %s"):format(dir, prefix, command))
    out, err, status = support.sh(("cd %s && %s timeout 60 %s/scripts/lencase run %s g.lua -- %s")
      :format(dir, prefix, here, options and options.flags or "", command))
  end)
  return native, out, err, status
end

--- The same with and without the grate, and no message but 'said' (a pattern).
local function is_same(said, native, out, err)
  assert.is_true(#native > 0)
  assert.are.equal(native, out)
  if said then assert.is_truthy(err:find("^" .. said .. "$"), err) else assert.are.equal("", err) end
end

local OWN = "lencase: cage %d+ has no window %(seccomp filters of its own%)[^\n]+\n"
local NOTHING = "lencase: cage %d+ lets no memory be mapped[^\n]+nothing can be replaced\n"
local LISTENER = "lencase: cage %d+ loads a seccomp filter with a listener[^\n]+slow\n"
local LISTENED = LISTENER .. "lencase: cage %d+ has no window %(a program has a seccomp listener[^\n]+\n"

-- What a static program needs that another executes, and how a file is read; MORE is what maps a window.
local LIST = "default kill\n"
  .. ([[execve execveat brk arch_prctl set_tid_address set_robust_list rseq prlimit64 readlink
  readlinkat getrandom newfstatat fstat open openat read write close exit_group mprotect uname futex ioctl lseek]])
  :gsub("%s*(%S+)", "allow %1\n")
local function allowing(more) return LIST .. (more:gsub("%s*(%S+)", "allow %1\n")) end

describe("a filter of a program's own, then exec", function()
  local cat = HELPER .. "cat other"
  local lets = {
    { "that allows all", CONFINE .. "-- " },
    { "for a call that neither program nor lencase needs", CONFINE .. "-e getppid=EPERM -- " },
    { "that is a list with all that maps a window", CONFINE .. "-f rules -- ",
      files = { rules = allowing "mmap madvise sched_getaffinity getpgrp" } },
    { "and another one", CONFINE .. "-e getppid=EPERM -- " .. CONFINE .. "-e getuid=EXDEV -- " },
    { "that ends processes which call getpgrp", CONFINE .. "-k getpgrp -- ", said = OWN },
    { "that ends processes which call sched_getaffinity", CONFINE .. "-k sched_getaffinity -- ", said = OWN },
    { "that answers madvise", CONFINE .. "-e madvise=EPERM -- ", said = OWN },
    { "that is a list with mmap", CONFINE .. "-f rules -- ", files = { rules = allowing "mmap" }, said = OWN },
    { "that looks at mmap's protection", CONFINE .. "-f rules -- ",
      files = { rules = "default allow\nEPERM mmap 2,masked,4,4\n" }, said = OWN },
    { "that looks where mmap maps", CONFINE .. "-f rules -- ",
      files = { rules = "default allow\nkill mmap 3,masked,0x100000,0x100000\n" }, said = OWN },
  }
  for _, case in ipairs(lets) do
    it(case[1] .. ": what a handler replaces is replaced", function()
      local _, out, err = both(REPLACES, case[2] .. cat, case)
      assert.are.equal("hello\n", out, err)
      if case.said then assert.is_truthy(err:find("^" .. case.said .. "$"), err) else assert.are.equal("", err) end
    end)
  end

  local refuses = {
    { "that ends processes which map memory", CONFINE .. "-k mmap -- " },
    { "that is a list without mmap", CONFINE .. "-f rules -- ", files = { rules = allowing "" } },
    { "and another one, which ends processes that map memory", CONFINE .. "-- " .. CONFINE .. "-k mmap -- " },
  }
  for _, case in ipairs(refuses) do
    it(case[1] .. ": what is handed on is handed on, which is said once", function()
      is_same(NOTHING, both(COPIES, case[2] .. HELPER .. "cat word", case))
    end)
    it(case[1] .. ": what is replaced is refused", function()
      local _, out, err, status = both(REPLACES, case[2] .. cat, case)
      assert.are.same({ "other: -5\n", 0 }, { out, status })
      assert.is_truthy(err:find("^" .. NOTHING .. "lencase: g.lua:%d+: openat: LENCASE_ENOMEM: nothing can be replaced "
        .. "in cage %d+[^\n]+the caller gets EIO\n$"), err)
    end)
  end

  it("does not end a program for a handler's calls", function()
    local _, out, err, status = both(ASKS, CONFINE .. "-k getuid -- " .. HELPER .. "cat word")
    assert.are.same({ "-1\ttrue\nhello\n", "", 0 }, { out, err, status })
  end)

  it("by bwrap", function()
    local files = { allow = "\6\0\0\0\0\0\255\127" }
    local bwrap = "sh -c 'exec bwrap --dev-bind / / --seccomp 9 cat other word 9<allow'"
    local missing = support.missing { bubblewrap = "command -v bwrap" }
    if missing then return pending(missing) end
    if not (both(COPIES, bwrap, { files = files })):find "hello" then return pending "no user namespaces" end
    local _, out, err = both(REPLACES, bwrap, { files = files })
    assert.are.equal("hello\nhello\n", out, err)
    assert.are.equal("", err)
  end)
end)

describe("a filter of a program's own", function()
  for _, name in ipairs { "mode", "strict", "bad", "threads", "origin word" } do
    it(("(%s) is what it is without a grate"):format(name), function()
      is_same(nil, both(COPIES, HELPER .. name))
      is_same(nil, both(DENIES:gsub("word", "nothing"), HELPER .. name))
    end)
  end

  it("may know where calls come from: those of handlers come from there", function()
    local _, out, err = both(ASKS, HELPER .. "origin word")
    assert.is_truthy(out:find "^load 0\n%d+\tnil\nhello\n$", out .. err)
    assert.are.equal("", err)
  end)

  it("is known of each thread and child", function()
    local _, out, err = both(ASKS, HELPER .. "everyone word")
    assert.are.equal("load 0\n" .. ("-1\ttrue\nhello\n"):rep(3) .. "in a child 0\n", out)
    assert.are.equal("", err)
  end)

  it("is known as the kernel has it, even if another thread changes it while it is loaded", function()
    local _, out, err = both(ASKS:gsub("if pathname:find[^\n]+", ""), HELPER .. "changing")
    assert.are.same({ "100\n", "" }, { out, err })
  end)

  it("may have a listener, which lets nothing go on that a grate is to see", function()
    is_same(LISTENED, both(COPIES, CONFINE .. "-n openat -- " .. HELPER .. "cat word"))
    local _, out, err = both(DENIES, CONFINE .. "-n openat -- " .. HELPER .. "cat word")
    assert.are.equal("word: -18\n", out, err)
    assert.is_truthy(err:find("^" .. LISTENER), err)
    _, out, err = both(DENIES, CONFINE .. "-n openat -k getpid -- " .. HELPER .. "cat word")
    assert.are.equal("word: -18\n", out, err) -- another call is made in the place of the one refused
  end)
end)

describe("what others may not read", function()
  -- Without this capability root is an ordinary user to ptrace(2).
  local prefix = ROOT and "setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace " or ""
  -- In a container root may not ask for the mappings of another user's process.
  local others = support.filtered and ROOT
    and "lencase: cage %d+ has no window %(its mappings cannot be asked for: Permission denied%)[^\n]+\n"
  local unread = others or "lencase: cage %d+ has no window %(its program cannot be read%)[^\n]+\n"

  it("a program that says so itself", function()
    is_same(nil, both(COPIES, HELPER .. "undumpable word", { prefix = prefix }))
  end)

  it("a program that says so itself, behind a filter that maps a window", function()
    is_same(nil, both(COPIES, CONFINE .. "-e getppid=EPERM -- " .. HELPER .. "undumpable word", { prefix = prefix }))
  end)

  if ROOT then
    it("a program that becomes another user's", function()
      is_same(others, both(COPIES, HELPER .. "user word ", { prefix = prefix }))
      is_same(others, both(COPIES, HELPER .. "user word helper_filters cat word", { prefix = prefix }))
      is_same(others, both(COPIES, NOBODY .. HELPER .. "undumpable word", { prefix = prefix }))
    end)
  end

  it("a program that cannot be read", function()
    if support.sanitized then
      return pending "the sanitizer's runtime is in that program, too, and wants to read itself"
    end
    local as = (ROOT and NOBODY or "") .. [[sh -c 'exec "$@"' sh ]] -- setpriv itself may still read it
    is_same(unread, both(COPIES, as .. UNREAD .. "undumpable word", { prefix = prefix }))
    local _, out, err = both(REPLACES, as .. UNREAD .. "cat other", { prefix = prefix })
    assert.are.equal("hello\n", out, err)
    assert.is_truthy(err:find("^" .. unread .. "$"), err)
    _, out, err = both('return require "lencase".grate { time = function() return 5 end }', as .. UNREAD .. "cat word",
                       { prefix = prefix })
    assert.are.equal("hello\n", out, err)
    assert.is_truthy(err:find("^lencase: cage %d+ executes a program that cannot be read: [^\n]+clock_gettime[^\n]+not "
                              .. "seen\n$"), err)
  end)

  it("a program's directories, which paths are resolved against", function()
    local shows = [[
local lencase = require "lencase"
return lencase.grate { open = { "copy pathname", function(pathname)
  if pathname:find "word$" then print(pathname) end
end } }
]]
    local _, out, err = both(shows, HELPER .. "beneath . word", { prefix = prefix })
    assert.is_truthy(out:find "^word\nhello\n0 0\n/[^\n]+/word\nhello\n$", out .. err)
    assert.are.equal("", err)
  end)
end)
