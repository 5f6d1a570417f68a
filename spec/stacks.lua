-- stacks.lua - what stacked grates do to calls, the same on every host: the form of spec/cases.lua
-- with `stack`, the scripts of its grates, the bottom first.

local E = setmetatable({}, {
  __index = function(_, name) return tostring(-require("lencase").errno[name]) end,
})

local OPEN = "open @DIR/f 0x42 0600"

-- A grate that writes `mark` before and after what is written.
local function marking(mark)
  return (([[return lencase.grate { write = function(fd, buf, count)
    local n, errno = sys.write(fd, "MARK" .. tostring(buf) .. "MARK")
    return n >= 0 and count or n, errno
  end }]]):gsub("MARK", mark))
end

-- What is bad or ends early is forwarded unchanged; a buffer by its view or by nil.
local HANDS_ON = [[return lencase.grate {
  open = function(path, flags)
    assert(lencase.is_bad(path))
    return sys.open(path, flags)
  end,
  write = function(fd, buf, count)
    assert(#buf == 5 and count == 9)
    return sys.write(fd, %s, count)
  end }]]

local stacks = {
  {
    name = "the one next to the program is asked first, its calls go to the next",
    stack = { marking "1", marking "2", marking "3" },
    calls = { OPEN, "write =1 @x 1", "pread64 =1 %20 20 0" },
    report = { "3", "1", "7 [123x321]" },
  },
  {
    name = "what one lets through goes to the next",
    stack = { marking "1", "return lencase.grate { write = function() end }", marking "3",
              "return lencase.grate { write = function() end }" },
    calls = { OPEN, "write =1 @x 1", "pread64 =1 %20 20 0" },
    report = { "3", "1", "5 [13x31]" },
  },
  {
    name = "a grate does not see its own calls, the one below does",
    stack = { "return lencase.grate { getpid = function() return 1000 + sys.getpid() * 0 end }",
              "return lencase.grate { getpid = function() return sys.getpid() + 1 end, getppid = function() return "
              .. "sys.getpid() end }" },
    calls = { "getpid", "getppid" },
    report = { "1001", "1000" },
  },
  {
    name = "an invented errno goes up as it is",
    stack = { [[return lencase.grate { write = fail "EDQUOT" }]],
              [[return lencase.grate { write = function() local n, e = sys.write() assert(n == -1)
                return n, e end }]] },
    calls = { "write 1 @x 1" },
    report = { E.EDQUOT },
  },
  {
    name = "a changed path is what the lower one sees",
    stack = { [[return lencase.grate { open = function(pathname, flags, mode)
                  assert(pathname:find "/changed$", pathname)
                  return sys.open(pathname .. "2", flags, mode)
                end }]],
              [[return lencase.grate { open = function(pathname, flags, mode)
                  return sys.open((pathname:gsub("f$", "changed")), flags, mode)
                end }]] },
    calls = { OPEN, "openat -100 @DIR/f 0x42 0600", "access @DIR/changed2 0" },
    report = { "3", "4", "0" },
  },
  {
    name = "families meet: what is unlink for one is passed by the other",
    stack = { "return lencase.grate { rmdir = function() return 22 end }",
              "return lencase.grate { unlink = function() return 11 end }" },
    calls = { "unlinkat -100 @/x 0", "unlinkat -100 @/x 0x200", "unlink @/x", "rmdir @/x" },
    report = { "11", "22", "11", "22" },
  },
  {
    name = "out-arguments go up, and may be replaced on the way",
    stack = { [[return lencase.grate { pread64 = function(fd, _, count, offset)
                  local n, errno, got = sys.pread64(fd, nil, count, offset)
                  return n, errno, (tostring(got):upper())
                end }]],
              [[return lencase.grate { pread64 = function(fd, _, count, offset)
                  local n, errno, got = sys.pread64(fd, nil, count, offset)
                  assert(tostring(got) == "HELLO")
                  return n, errno, (tostring(got):reverse())
                end }]] },
    calls = { OPEN, "write =1 @hello 5", "pread64 =1 %9 9 0" },
    report = { "3", "5", "5 [OLLEH]" },
  },
  {
    name = "a grate's own call has room that the lower one can fill",
    stack = { [[return lencase.grate { pread64 = function() return 3, nil, "abc" end }]],
              [[return lencase.grate { lseek = function(fd)
                  local n, _, got = sys.pread64(fd, nil, 10, 0)
                  assert(n == 3 and tostring(got) == "abc", tostring(got))
                  return n
                end }]] },
    calls = { OPEN, "lseek =1 0 0" },
    report = { "3", "3" },
  },
  {
    name = "an error below is the lower one's, and an errno for the upper one",
    stack = { [[return lencase.grate { write = function() error "low" end, on_error = "EXDEV" }]],
              [[return lencase.grate { write = function() local n, e = sys.write() assert(e == lencase.errno.EXDEV)
                return n, e end }]] },
    calls = { "write 1 @x 1" },
    report = { E.EXDEV },
    log = { "grate1%.lua:4: low: in write: cage %d+ .*the caller gets EXDEV" },
  },
  {
    name = "what is bad or ends early is so for each of them, and for the kernel",
    stack = { HANDS_ON:format "buf", HANDS_ON:format "nil" },
    calls = { "memfd_create @x 0", "open 0x10 0 0", "open !@" .. ("x"):rep(4096) .. " 0", "write =1 !@hello 9",
              "pread64 =1 %9 9 0" },
    report = { "3", E.EFAULT, E.ENAMETOOLONG, "5", "5 [hello]" },
  },
  {
    name = "a constant below",
    stack = { [[return lencase.grate { socket = fail "EACCES" }]],
              [[return lencase.grate { socket = function() return sys.socket() end }]] },
    calls = { "socket 1 1 0" },
    report = { E.EACCES },
  },
  {
    name = "each grate has a Lua state of its own",
    stack = { [[x = 1 return lencase.grate { getpid = function() return x end }]],
              [[assert(x == nil) x = 2
                return lencase.grate { getpid = function() return sys.getpid() * 10 + x end }]] },
    calls = { "getpid" },
    report = { "12" },
  },
  {
    name = "fdtables of two grates keep apart",
    stack = { [[local t = lencase.fdtable()
                return lencase.grate { open = function(...) local fd, e = sys.open(...) t[fd] = 1 return fd, e end,
                                       lseek = function(fd) return t[fd] or 0 end }]],
              [[local t = lencase.fdtable()
                return lencase.grate { open = function(...) local fd, e = sys.open(...) t[fd] = 20 return fd, e end,
                                       lseek = function(fd) return sys.lseek() + (t[fd] or 0) end }]] },
    calls = { OPEN, "dup =1", "lseek =2 0 0", "close =1", "lseek =1 0 0", "lseek =2 0 0" },
    report = { "3", "4", "21", "0", "0", "21" },
  },
}

-- A stack deeper than the limit of 64.
local deep = {}
for i = 1, 65 do deep[i] = "return lencase.grate { getpid = function() return sys.getpid() end }" end
table.insert(stacks, {
  name = "a stack too deep is ELOOP with a message",
  stack = deep,
  calls = { "getpid" },
  report = { E.ELOOP },
  log = { "getpid: cage %d+ .*: more than 64 grates call one another; the caller gets ELOOP" },
})

return stacks
