-- The grates beside this spec without a program: what they do to single calls (lencase.test), and that no call,
-- however odd, causes an error in their scripts (lencase.test.fuzz). What programs see is in the other specs.

local support = require "spec.support"
local test = require "lencase.test"

local S_IFREG, S_IFCHR = 0x8000, 0x2000

local function fuzzed(script, args, options)
  for seed = 1, 2 do
    local failure = test.fuzz(script, { args = args, seed = seed, n = options and options.n or 500 })
    assert.is_nil(failure, tostring(failure))
  end
end

local function with_file(text, f)
  support.in_folder(function(dir) f(support.write_file(dir .. "/file", text)) end)
end

local function names_of(calls)
  local names = {}
  for i, call in ipairs(calls) do names[i] = call[1] end
  return table.concat(names, " ")
end

describe("umask.lua", function()
  local t
  before_each(function() t = test.load("umask.lua", "077") end)
  after_each(function() t:finish() end)

  it("takes its bits off the mode", function()
    t.bottom.open, t.bottom.mkdir = 3, 0
    assert.equal(3, (t:open("/tmp/x", "O_WRONLY|O_CREAT", 420)))
    assert.same({ pathname = 7 }, t:copied())
    assert.equal(3, (t:open("/tmp/x", "O_RDONLY")))
    assert.equal(0, (t:mkdir("/tmp/d", 511)))
    assert.same({ { "open", pathname = "/tmp/x", flags = 65, mode = 384 }, { "open", pathname = "/tmp/x", flags = 0 },
                  { "mkdir", pathname = "/tmp/d", mode = 448 } }, t.calls)
  end)

  it("does so in a child, and answers for a bad pointer as the kernel", function()
    t.bottom.openat = 3
    assert.same({ -1, "EFAULT" }, { t:open(test.BAD, "O_CREAT", 420) })
    local child = t:fork()
    child:openat("AT_FDCWD", "x", "O_CREAT", 511)
    assert.same({ "openat", dirfd = -100, pathname = "x", flags = 64, mode = 448 }, t.calls[3])
  end)

  it("forwards a refusal", function()
    t.bottom.open = "EACCES"
    assert.same({ -1, "EACCES" }, { t:open("/x", "O_CREAT", 511) })
  end)

  it("has no errors", function() fuzzed("umask.lua", { "027", "--chmod" }) end)
end)

describe("readonly.lua", function()
  it("opens for reading, and for writing only what is not a file", function()
    local t, kind = test.load "readonly.lua", S_IFREG
    t.bottom.open = 3
    t.bottom.fstat = function() return 0, nil, { st_mode = kind } end
    t.bottom.close = 0
    assert.equal(3, (t:open("/f", "O_RDONLY")))
    assert.same({ -1, "EROFS" }, { t:open("/f", "O_WRONLY") })
    assert.same({ -1, "EROFS" }, { t:creat("/f", 420) })
    -- O_WRONLY, O_CREAT, O_TRUNC
    for _, call in ipairs(t.calls) do assert.equal(0, (call.flags or 0) & 0x241, call[1]) end
    kind = S_IFCHR
    assert.equal(3, (t:open("/dev/null", "O_WRONLY")))
    assert.same({ -1, "EROFS" }, { t:unlinkat(-100, "/f", 0) })
    t:finish()
  end)

  it("refuses when it cannot look", function()
    local t = test.load "readonly.lua"
    t.bottom.open, t.bottom.fstat, t.bottom.close = 3, "EIO", 0
    assert.same({ -1, "EROFS" }, { t:open("/f", "O_RDWR") })
    assert.equal("open fstat close", names_of(t.calls)) -- nothing is left open
    t:finish()
  end)

  it("has no errors", function() fuzzed "readonly.lua" end)
end)

describe("write_filter.lua", function()
  it("goes by what was reached", function()
    local t = test.load("write_filter.lua", "--errno", "EACCES")
    t.bottom.open, t.bottom.close = 3, 0
    t.bottom.fstat = function() return 0, nil, { st_mode = S_IFREG } end
    t.paths[3] = "/var/a.log"
    assert.equal(3, (t:open("link", "O_WRONLY")))
    t.paths[3] = "/etc/passwd"
    assert.same({ -1, "EACCES" }, { t:open("a.log", "O_WRONLY") })
    assert.same({ -1, "EACCES" }, { t:rename("a.log", "b") })
    assert.same({ -1, "ENOSYS" }, { t:rename("a.log", "b.log") }) -- it was forwarded
    t:finish()
  end)

  it("has no errors", function() fuzzed("write_filter.lua", { "--allow", "x*" }) end)
end)

describe("fault.lua", function()
  it("fails the calls that its rules take", function()
    local t = test.load("fault.lua", "write:error=ENOSPC:when=2", "open:retval=9:if=pathname~etc")
    t.bottom.write, t.bottom.open = test.short(3), 3
    assert.same({ 3, -1, 3 }, { (t:write(1, "abcdef")), (t:write(1, "abcdef")), (t:write(1, "abcdef")) })
    assert.same({ 9, 3 }, { (t:openat(-100, "/etc/x", 0)), (t:open("/x", 0)) })
    assert.equal("write write open", names_of(t.calls))
    t:finish()
  end)

  it("has no errors", function() fuzzed("fault.lua", { "write:error=EIO:p=0.5", "open:error=EPERM:if=pathname~t" }) end)
end)

describe("seccomp.lua", function()
  it("goes by number and arguments", function()
    with_file("errno EPERM mkdir if mode & 022\nkill unlink if flags == 1\nerrno EACCES read\n", function(path)
      assert.has_error(function() test.load("seccomp.lua", path) end,
                       path .. ": line 2, column 16: unlink has no argument 'flags'")
    end)
    with_file("errno EPERM mkdir if mode & 022\nkill unlink\nerrno EACCES read\n", function(path)
      local t = test.load("seccomp.lua", path)
      t.bottom.mkdir = 0
      assert.same({ 0, -1 }, { (t:mkdir("/a", 448)), (t:mkdir("/a", 511)) })
      assert.same({}, t:copied())
      assert.same({ -1, "EACCES" }, { t:read(0, nil, 10) })
      assert.equal("mkdir", names_of(t.calls))
      t:finish()
    end)
    with_file("errno EPERM mkdir if mode & 022\nerrno EIO read if count > 9 and fd != 2\nallow openat\n", function(path)
      fuzzed("seccomp.lua", { path })
    end)
  end)
end)

describe("strace.lua", function()
  it("writes what was called and what came of it", function()
    with_file("", function(path)
      local t = test.load("strace.lua", "-o", path)
      t.bottom.openat, t.bottom.read = "ENOENT", function() return 2, nil, "hi" end
      t:openat("AT_FDCWD", "/x", "O_RDONLY|O_CLOEXEC")
      t:read(3, nil, 10)
      t:write(1, test.BAD, 5)
      t:finish()
      local text = support.read_file(path):gsub("%[%d+%] ", "")
      assert.is_truthy(text:find('openat(AT_FDCWD, "/x", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)\n',
                                 1, true), text)
      assert.is_truthy(text:find('read(3, "hi", 10) = 2\n', 1, true), text)
      assert.is_truthy(text:find("write(1, 0xbad, 5) = -1 ENOSYS", 1, true), text)
    end)
  end)

  it("has no errors", function() fuzzed("strace.lua", { "-o", "/dev/null" }, { n = 2000 }) end)
end)

describe("count_writes.lua", function()
  it("counts what the results say, and copies nothing", function()
    with_file("", function(path)
      local t = test.load("count_writes.lua", "-o", path)
      t.paths[1], t.bottom.write, t.bottom.writev = "/out", { test.short(2), "EINTR", 5 }, 7
      t:write(1, "hello")
      t:write(1, "llo")
      t:fork():write(1, "lalala")
      t:writev(1, { "abc", "defg" })
      assert.same({}, t:copied())
      t:finish()
      assert.is_truthy(support.read_file(path):find "14 +3 +/out")
    end)
  end)

  it("has no errors", function() fuzzed("count_writes.lua", { "-o", "/dev/null" }) end)
end)

describe("imfs.lua", function()
  it("has files that the bottom never sees", function()
    local t = test.load("imfs.lua", "--at", "/mem")
    t.paths[-100] = "/"
    local next_fd = 9
    t.bottom.default = function()
      next_fd = next_fd + 1
      return next_fd
    end
    local fd = t:open("/mem/f", "O_RDWR|O_CREAT", 420)
    assert.equal(5, (t:write(fd, "hello")))
    assert.equal(0, (t:lseek(fd, 0, "SEEK_SET")))
    assert.same({ 5, nil, "hello" }, { t:read(fd, nil, 100) })
    assert.same({ -1, "ENOENT" }, { t:open("/mem/g", 0) })
    assert.equal("hello", select(3, t:fork():pread64(fd, nil, 9, 0)))
    assert.same({ -1, "EFAULT" }, { t:write(fd, test.BAD, 3) })
    for _, call in ipairs(t.calls) do assert.is_nil(tostring(call.pathname):find "/mem", call[1]) end
    t:finish()
  end)

  it("has no errors", function() fuzzed("imfs.lua", { "--at", "/tmp" }, { n = 1500 }) end)
end)

local told = 'return require "lencase".grate { %s }'

describe("clamp.lua", function()
  it("calls the grates inside when its conditions hold", function()
    local inside = told:format 'open = function() return 77 end, write = function() return 78 end,\n'
    local t = test.stack { { "clamp.lua", "--prefix", "/in", branches = { { { inside } } } } }
    t.paths[-100], t.bottom.open, t.bottom.write = "/", 3, 1
    assert.same({ 77, 3, 77, 3 },
                { (t:open("/in/x", 0)), (t:open("/out", 0)), (t:open("out/../in", 0)), (t:open("/inside", 0)) })
    assert.same({ 78, 1 }, { (t:write(77, "a")), (t:write(3, "a")) })
    assert.equal(78, (t:fork():write(77, "a")))
    t:finish()
  end)

  it("has no errors", function()
    fuzzed { { "clamp.lua", "--prefix", "/tmp",
               branches = { { { "imfs.lua", "--at", "/tmp" }, { "strace.lua", "-o", "/dev/null" } } } } }
  end)
end)

describe("tee.lua", function()
  it("makes each call twice, and one result comes back", function()
    local first = told:format 'getuid = function() return 5 end, open = function() end,\n'
    local second = told:format 'getuid = require "lencase".fail "EPERM", open = function() end,\n'
    local function tee(rule)
      return test.stack { { "tee.lua", "--rule", rule, branches = { { { first } }, { { second } } } } }
    end
    local t = tee "both"
    t.bottom.open, t.bottom.close = { 3, 4 }, 0
    assert.same({ -1, "EPERM" }, { t:getuid() })
    assert.equal(3, (t:open("/x", 0)))
    assert.same({ "open open close", 4 }, { names_of(t.calls), t.calls[3].fd })
    t:finish()
    t = tee "first"
    assert.equal(5, (t:getuid()))
    t:finish()
  end)

  it("gives the caller what the first call filled", function()
    local both = told:format "readv = function() end, read = function() end,\n"
    local t = test.stack { { "tee.lua", branches = { { { both } }, { { both } } } } }
    t.bottom.readv = { function() return 5, nil, "first" end, function() return 6, nil, "second" end }
    t.bottom.read = { function() return 5, nil, "first" end, function() return 6, nil, "second" end }
    assert.same({ 5, nil, "first" }, { t:readv(3, { 2, 10 }) })
    assert.same({ 5, nil, "first" }, { t:read(3, nil, 10) })
    t:finish()
  end)

  it("has no errors", function()
    fuzzed { { "tee.lua",
               branches = { { { "umask.lua", "77" }, { "readonly.lua" } }, { { "strace.lua", "-o", "/dev/null" } } } } }
  end)
end)
