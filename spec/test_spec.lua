-- lencase.test itself: what it puts into a cage, what it reports about calls, and that it finds errors.

local test = require "lencase.test"

local prologue = 'local lencase = require "lencase"\nlocal sys, fail = lencase.sys, lencase.fail\nlocal _ = sys, fail\n'

local function load_text(text) return test.load(prologue .. text) end

describe("lencase.test", function()
  it("places arguments by the signature, and names those that reach the bottom", function()
    local t = load_text "return lencase.grate {}"
    t.bottom.default = 0
    t:open("/tmp/x", "O_WRONLY|O_CREAT", 420)
    t:open("/tmp/x", "O_RDONLY")
    t:write(1, "hello")
    t:execve("/bin/true", { "true", "x" }, {})
    t:writev(1, { "ab", "cde" })
    t:connect(3, "\1\0/tmp/s\0")
    t:nanosleep({ tv_sec = 1, tv_nsec = 5 })
    t:chmod(test.NULL, 511)
    t:lseek(3, -1, "SEEK_END")
    assert.same({
      { "open", pathname = "/tmp/x", flags = 65, mode = 420 },
      { "open", pathname = "/tmp/x", flags = 0 },
      { "write", fd = 1, buf = "hello", count = 5 },
      { "execve", pathname = "/bin/true", argv = { "true", "x" }, envp = {} },
      { "writev", fd = 1, iov = { "ab", "cde" }, iovcnt = 2 },
      { "connect", sockfd = 3, addr = "\1\0/tmp/s\0", addrlen = 9 },
      { "nanosleep", duration = { tv_sec = 1, tv_nsec = 5 }, rem = test.NULL },
      { "chmod", pathname = test.NULL, mode = 511 },
      { "lseek", fd = 3, offset = -1, whence = 2 },
    }, t.calls)
    t:finish()
  end)

  it("returns what the bottom returned and filled", function()
    local t = load_text "return lencase.grate {}"
    t.bottom.read = { "EINTR", function(call) return 2, nil, ("xyz"):sub(1, call.count) end }
    t.bottom.stat = function() return 0, nil, { st_size = 7 } end
    t.bottom.readv = function() return 5, nil, "hello" end
    t.bottom.recvfrom = function() return 3, nil, "abc", "\1\0", 2 end
    t.bottom.pipe2 = function() return 0, nil, { 3, 4 } end
    t.bottom.write = test.short(3)
    t.bottom.open = function() return -1, "EACCES" end
    assert.same({ -1, "EINTR" }, { t:read(3, nil, 10) })
    assert.same({ 2, nil, "xy" }, { t:read(3, nil, 10) })
    assert.same({ 2, nil, "xy" }, { t:read(3, nil, 10) })
    assert.equal(7, select(3, t:stat("/x")).st_size)
    assert.same({ 5, nil, "hello" }, { t:readv(3, { 2, 4 }) })
    assert.same({ 3, nil, "abc", "\1\0", 2 }, { t:recvfrom(3, nil, 10, 0, nil, 16) })
    assert.same({ 0, nil, { 3, 4 } }, { t:pipe2(nil, 0) })
    assert.equal(3, (t:write(1, "hello")))
    assert.same({ -1, "EACCES" }, { t:openat("AT_FDCWD", "/x", 0) }) -- of its family
    assert.same({ -1, "ENOSYS" }, { t:getcwd(nil, 10) })
    t:finish()
  end)

  it("gives what a call fills the room that the call's arguments say, and writes no more", function()
    local t = load_text "return lencase.grate {}"
    t.bottom.read = function(call) return call.count, nil, "0123456789" end
    t.bottom.getsockname = function() return 0, nil, ("x"):rep(16) end
    assert.same({ 4, nil, "0123" }, { t:read(3, "ab", 4) }) -- two bytes would be too few
    assert.same({ 0, nil, "xxxxxxxx", 8 }, { t:getsockname(3, nil, 8) })
    t:finish()
  end)

  it("reports what handlers saw and what was copied for them", function()
    local t = load_text [[return lencase.grate {
      open = function(pathname) if pathname == "/no" then return fail "EPERM" end end,
      write = { "pass buf", function() return sys.write() end },
      read = function(fd, buf, count) local n, e, b = sys.read(fd, nil, count) return n, e, b end,
      fstat = { "addr statbuf", function() end },
    }]]
    t.bottom.default = 0
    t.bottom.read = function() return 5, nil, "hello" end
    t:openat(-100, "/no", 0)
    assert.same({ pathname = 4 }, t:copied())
    t:write(1, "hello")
    assert.same({}, t:copied())
    t:read(0, nil, 100)
    assert.same({ buf = 5 }, t:copied())
    t:write(1, "hello") -- nothing remains of the call before
    assert.same({}, t:copied())
    t:fstat(3, test.at(0x10000))
    assert.same({ { "open", pathname = "/no", flags = 0 }, { "write", fd = 1, count = 5 },
                  { "read", fd = 0, count = 100 },
                  { "write", fd = 1, count = 5 }, { "fstat", fd = 3, statbuf = 0x10000 } }, t.seen)
    assert.same({ "write", fd = 1, buf = "hello", count = 5 }, t.calls[1])
    t:finish()
  end)

  it("reports the errors of a script and the failed reads of arguments", function()
    local t = load_text [[return lencase.grate { on_error = "EPERM",
      write = function(_, buf) error("seen " .. #buf, 0) end, chmod = function(pathname) return #pathname end }]]
    assert.same({ -1, "EPERM" }, { t:write(1, "abc") })
    assert.same({ "seen 3" }, t.errors)
    assert.same({ -1, "EFAULT" }, { t:chmod(test.BAD, 0) })
    assert.same({ -1, "EFAULT" }, { t:chmod(test.unterminated "abc", 0) })
    assert.same({ -1, "EPERM" }, { t:write(1, test.room(10), 11) })
    assert.same({ "seen 3", "seen 10" }, t.errors)
    assert.equal(3, #t.log) -- what a program does wrong with a call is reported once
    assert.equal(4, #t.seen)
    t:clear()
    assert.same({ {}, {}, {} }, { t.errors, t.log, t.seen })
    t:finish()
  end)

  it("forks, executes and ends cages", function()
    local t = load_text [[
      local paths, state = lencase.fdtable(), lencase.per_cage(function() return { n = 0 } end)
      return lencase.grate {
        open = function(pathname) local n = sys.open() paths[n] = pathname return n end,
        write = { "pass buf", function(fd)
          state.n = state.n + 1
          if paths[fd] == "/no" then return fail "EPERM" end
          return state.n
        end },
      }]]
    t.bottom.openat, t.bottom.dup = 3, 4
    t:open("/no", 0)
    assert.equal(1, (t:write(1, "x")))
    local child = t:fork()
    assert.equal(4, (child:dup(3)))
    assert.same({ -1, "EPERM" }, { child:write(4, "x") })
    assert.equal(3, (child:write(1, "x")))
    assert.equal(2, (t:write(4, "x")))
    child:exit(3)
    assert.is_false(child:alive())
    assert.same({ nil, "the cage has ended" }, { child:write(1, "x") })
    assert.same({ nil, "EAGAIN" }, { (function() t.bottom.vfork = "EAGAIN" return t:fork "vfork" end)() })
    assert.equal(0, (t:execve("/x", {}, {})))
    assert.is_true(t:alive())
    t:finish()
  end)

  it("forks and ends cages in the middle of their calls", function()
    local t = load_text [[
      local state = lencase.per_cage(function() return { n = 0 } end)
      return lencase.grate { write = { "pass buf", function()
        state.n = state.n + 1
        local n = sys.write()
        return n < 0 and -1 or state.n, lencase.errno.EPERM
      end } }]]
    local child
    t.bottom.write = { function() child = t:fork() return 1 end, 1, 1, function() t:kill_by(9) return 1 end, "EIO" }
    assert.equal(1, (t:write(1, "x")))
    assert.equal(2, (child:write(1, "x"))) -- it goes on from where the fork was
    assert.equal(2, (t:write(1, "x")))
    assert.same({ nil, "the cage has ended" }, { t:write(1, "x") })
    assert.same({ -1, "EPERM" }, { child:write(1, "x") })
    assert.same({}, t.errors)
    t:finish()
  end)

  it("raises errors in the functions of a bottom", function()
    local t = load_text "return lencase.grate {}"
    t.bottom.write = function(call) assert.equal(7, call.fd) return 1 end
    assert.has_error(function() t:write(1, "x") end)
    assert.equal(1, (t:write(7, "x")))
    t:finish()
  end)

  it("frees a tester that was not finished", function()
    local weak = setmetatable({}, { __mode = "k" })
    for _ = 1, 3 do
      local t = load_text "return lencase.grate { open = function() end }"
      t.bottom.open = 3
      t:open("/x", 0)
      weak[t:fork().world] = true
    end
    for _ = 1, 3 do collectgarbage() end
    assert.is_nil(next(weak))
  end)

  it("knows what descriptors refer to", function()
    local t = load_text [[return lencase.grate {
      open = function(pathname) return fail(pathname == "/dir/x" and "EPERM" or "EIO") end,
      close = function(fd) return lencase.cage:fd_path(fd) == nil and 1 or 0 end }]]
    t.paths[7], t.paths[8] = "/dir", false
    assert.same({ -1, "EPERM" }, { t:openat(7, "x", 0) })
    assert.same({ 0, 1 }, { (t:close(7)), (t:close(8)) })
    t:finish()
  end)

  it("stacks grates, and takes limits", function()
    local below = prologue .. 'return lencase.grate { getuid = function() return sys.getuid() + 1 end }'
    local above = prologue .. 'return lencase.grate { getuid = function() return sys.getuid() * 2 end }'
    local t = test.stack { { below }, { above } }
    t.bottom.getuid = 20
    assert.equal(42, (t:getuid()))
    t:finish()
    t = test.stack({ { prologue .. "return lencase.grate { getuid = function() while true do end end }" } },
                   { handler_ms = 20 })
    assert.same({ -1, "EIO" }, { t:getuid() })
    assert.is_truthy(t.errors[1]:find "20 ms")
    t:finish()
  end)

  it("says what is wrong with a test", function()
    local t = load_text "return lencase.grate {}"
    for message, f in pairs {
      ["there is no call opne (did you mean 'open'?)"] = function() t:opne() end,
      ["there is no call raed (did you mean 'read'?)"] = function() t.bottom.raed = 0 end,
      ["open: flags: unknown flag 'O_CRAT' (did you mean 'O_CREAT'?)"] = function() t:open("/x", "O_CRAT", 1) end,
      ["open: argument pathname is missing (test.NULL is a null pointer)"] = function() t:open(nil, 0) end,
      ["open takes 2 arguments here, not 3"] = function() t:open("/x", 0, 420) end,
      ["pathname is const char *, not a number (test.at(n) is an address)"] = function() t:open(5, 0) end,
      ["struct timespec has no field tv_se"] = function() t:nanosleep { tv_se = 1 } end,
      ["the bottom: unknown errno 'EPREM' (did you mean 'EPERM'?)"] = function()
        t.bottom.open = "EPREM" t:open("/x", 0)
      end,
      ["the bottom returned a boolean"] = function() t.bottom.open = true t:open("/x", 0) end,
      ["unknown call 'wirte'"] = function() load_text "return lencase.grate { wirte = function() end }" end,
    } do
      local ok, said = pcall(f)
      assert.is_false(ok)
      assert.is_truthy(tostring(said):find(message, 1, true), said)
    end
    t:finish()
  end)
end)

describe("lencase.test.fuzz", function()
  local careless = prologue
    .. 'return lencase.grate { open = function(pathname) if #pathname > 4000 then return fail "ENAMETOOLONG" end end, \
    rename = function(oldpath, newpath) if oldpath .. newpath == "" then return fail "EPERM" end end }'
  local careful = prologue .. [[return lencase.grate { write = { "pass pointers", function() return sys.write() end },
    rename = function(a, b)
      if a ~= lencase.NULL and b ~= lencase.NULL and a .. b == "x" then return fail "EPERM" end
    end }]]

  it("finds the error of a script, the same with the same seed", function()
    local failure = test.fuzz(careless, { n = 2000, seed = 7 })
    assert.is_truthy(failure.message:find "attempt to")
    assert.is_truthy(failure.call:find "at%(0x0%)")
    assert.same({ failure.n, failure.call }, (function()
      local again = test.fuzz(careless, { n = 2000, seed = 7 })
      return { again.n, again.call }
    end)())
    assert.is_truthy(tostring(failure):find("seed 7, call " .. failure.n, 1, true))
  end)

  it("says nothing when all is well", function()
    for seed = 1, 3 do assert.is_nil(test.fuzz(careful, { n = 300, seed = seed })) end
    assert.is_nil(test.fuzz(prologue .. "return lencase.grate {}"))
  end)

  it("makes the calls of every signature", function()
    local every = prologue .. [[local interface = {}
      local core = require "lencase.core"
      for _, name in ipairs(core.names()) do
        if not name:find "^exit" then interface[name] = { nil, function() end, exact = true } end
      end
      return lencase.grate(interface)]]
    assert.is_nil(test.fuzz(every, { n = 3000, seed = 3 }))
  end)
end)
