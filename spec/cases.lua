-- cases.lua - what a grate does to calls, the same on every host
--
-- A case: a script (after a prologue that names lencase, sys, fail), the calls that the program
-- makes (in the words of spec/c/helper_caller.c; DIR is a fresh folder), and the report: a line a
-- call, its result and what lies in its buffers; E.NAME stands for -errno. `log` are patterns that
-- the messages must match, in order; none: there must be none.

local E = setmetatable({}, {
  __index = function(_, name) return tostring(-require("lencase").errno[name]) end,
})

local FD = "=1" -- most cases open their file with the first call
local OPEN = "open @DIR/f 0x42 0600" -- O_RDWR | O_CREAT

return {
  -- {=============================== results ================================
  {
    name = "a call is handed on and its result back",
    script = [[return lencase.grate { write = function(fd, buf, count) return sys.write(fd, buf, count) end }]],
    calls = { OPEN, "write " .. FD .. " @hello 5", "pread64 " .. FD .. " %9 9 0" },
    report = { "3", "5", "5 [hello]" },
  },
  {
    name = "a handler that returns nothing lets the call through",
    script = [[local n = 0
               return lencase.grate { write = function() n = n + 1 end }]],
    calls = { OPEN, "write " .. FD .. " @hello 5", "write -1 @hello 5" },
    report = { "3", "5", E.EBADF },
  },
  {
    name = "the kernel's errno is passed through",
    script = [[return lencase.grate { write = { lencase.PASS_THROUGH_POINTERS, function(fd, _, count)
                 local n, errno = sys.write(fd, nil, count)
                 assert(n == -1 and errno == lencase.errno.EBADF)
                 return n, errno
               end } }]],
    calls = { "write 99 @hello 5" },
    report = { E.EBADF },
  },
  {
    name = "a handler invents an errno",
    script = [[return lencase.grate { write = function() return fail "ENOSPC" end }]],
    calls = { OPEN, "write " .. FD .. " @hello 5", "lseek " .. FD .. " 0 2" },
    report = { "3", E.ENOSPC, "0" },
  },
  {
    name = "-1 and an errno are a failure too",
    script = [[return lencase.grate { write = function() return -1, lencase.errno.EDQUOT end }]],
    calls = { "write 1 @hello 5" },
    report = { E.EDQUOT },
  },
  {
    name = "an entry that is a constant",
    script = [[return lencase.grate { socket = fail "EPERM", geteuid = { "pass all", fail "EACCES" } }]],
    calls = { "socket 2 1 0", "geteuid" },
    report = { E.EPERM, E.EACCES },
  },
  {
    name = "a value of the handler's own is the result",
    script = [[return lencase.grate { geteuid = function() return 4242 end }]],
    calls = { "geteuid" },
    report = { "4242" },
  },
  {
    name = "a result beyond 32 bits",
    script = [[return lencase.grate { lseek = function() return 1 << 40 end }]],
    calls = { "lseek 0 0 0" },
    report = { tostring(1 << 40) },
  },
  -- }========================================================================

  -- {============================== arguments ===============================
  {
    name = "what the handler sees by policy",
    script = [[return lencase.grate { write = { "addr buf", function(fd, buf, count)
                 assert(math.type(buf) == "integer" and fd == 77 and count == 5)
                 assert(lencase.cage:read(buf, 5) == "hello" and lencase.cage:string(buf) == "hello")
                 return fail "EXDEV"
               end } }]],
    calls = { "write 77 @hello 5" },
    report = { E.EXDEV },
  },
  {
    name = "a passed pointer is nil, a passed integer too",
    script = [[return lencase.grate { write = { lencase.PASS_THROUGH_ALL, function(fd, buf, count)
                 assert(fd == nil and buf == nil and count == nil)
                 return sys.write()
               end } }]],
    calls = { OPEN, "write " .. FD .. " @hello 5", "pread64 " .. FD .. " %9 9 0" },
    report = { "3", "5", "5 [hello]" },
  },
  {
    name = "an int argument is signed, regardless of the upper half of its register",
    script = [[return lencase.grate { close = function(fd) assert(fd == -1) return 7 end }]],
    calls = { "close 0x12ffffffff" },
    report = { "7" },
  },
  {
    name = "a buffer is a view",
    script = [[return lencase.grate { write = function(fd, buf, count)
                 assert(#buf == 5 and tostring(buf) == "hello" and buf:sub(2, 3) == "el" and buf:sub(-2) == "lo")
                 assert(buf:byte(1) == 104 and buf[5] == 111 and buf[6] == nil)
                 assert(not pcall(function() buf[1] = 1 end))
                 return count
               end }]],
    calls = { "write 1 @hello 5" },
    report = { "5" },
  },
  {
    name = "a null pointer is lencase.NULL",
    script = [[return lencase.grate {
                 write = function(_, buf) return buf == lencase.NULL and 1 or 2 end,
                 open = function(path) return path == lencase.NULL and 1 or 2 end }]],
    calls = { "write 1 0 5", "open 0 0 0" },
    report = { "1", "1" },
  },
  {
    name = "a pointer that cannot be read is a bad value, and handed on",
    script = [[return lencase.grate {
                 open = function(path, flags)
                   assert(lencase.is_bad(path) and not lencase.is_bad(flags))
                   assert(tostring(path) == "bad pointer 0x10")
                   return sys.open(path, flags)
                 end,
                 write = function(fd, buf, count)
                   assert(lencase.is_bad(buf))
                   return sys.write(fd, nil, count)
                 end,
                 writev = function(fd, iov, iovcnt) return sys.writev(fd, iov, iovcnt) end,
                 fstat = function(...) return sys.fstat(...) end }]],
    calls = { "memfd_create @x 0", "open 0x10 0 0", "write =1 0x10 5", "write -1 0x10 5", "writev =1 0x10 1",
              "writev -1 0x10 1", "write =1 0x7fffffffffff0010 5", "fstat =1 0x10" },
    report = { "3", E.EFAULT, E.EFAULT, E.EBADF, E.EFAULT, E.EBADF, E.EFAULT, E.EFAULT },
  },
  {
    name = "what is done with a bad value is EFAULT for the caller, and no error of the script's",
    script = [[local n = 0
               local uses = {
                 function(p) return p.x end, function(p) return #p end, function(p) return "a" .. p end,
                 function(p) return p < "a" end, function(p) return p + 1 end, function(p) p.x = 1 end,
                 function(p) return p() end, function(p) return ("x").find(p, "x") end,
                 function(p) for _ in pairs(p) do end end, function(p) return p end }
               return lencase.grate { on_error = "EPERM", open = function(path)
                 n = n + 1
                 local ok, why = pcall(uses[n], path)
                 assert(n == 10 or not ok)
                 return uses[n](path)
               end }]],
    calls = { "open 0x10 0", "open 0x10 0", "open 0x10 0", "open 0x10 0", "open 0x10 0", "open 0x10 0", "open 0x10 0",
              "open 0x10 0", "open 0x10 0", "open 0x10 0" },
    report = { E.EFAULT, E.EFAULT, E.EFAULT, E.EFAULT, E.EFAULT, E.EFAULT, E.EFAULT, E.EFAULT, E.EFAULT, E.EFAULT },
    log = { "grate%.lua:10: pathname at 0x10 cannot be read: in open: cage %d+ %(.-%); the caller gets EFAULT",
            "grate%.lua:10: open: 9 more such calls were not reported" },
  },
  {
    name = "a string without an end is bad, and the kernel says what that is",
    script = [[return lencase.grate { open = function(path, flags)
                 assert(lencase.is_bad(path))
                 return sys.open(path, flags)
               end }]],
    calls = { "open !@/etc 0", "open !@" .. ("x"):rep(4096) .. " 0" },
    report = { E.EFAULT, E.ENAMETOOLONG },
  },
  {
    name = "a buffer that can be read in part is as long as its readable part",
    script = [[return lencase.grate {
                 write = function(fd, buf, count)
                   assert(#buf == 5 and tostring(buf) == "hello" and count == 9)
                   return sys.write(fd, buf, count)
                 end,
                 setsockopt = function(fd, level, name, value, size)
                   assert(#value == 4 and size == 8)
                   return sys.setsockopt(fd, level, name, value, size)
                 end }]],
    calls = { OPEN, "write =1 !@hello 9", "write -1 !@hello 9", "pread64 =1 %9 9 0", "socket 1 1 0",
              "setsockopt =5 1 2 !%4 8" },
    report = { "3", "5", E.EBADF, "5 [hello]", "4", "0 []" },
  },
  {
    name = "what was seen of a run that ends early is what the kernel reads",
    script = [[return lencase.grate { writev = function(fd, iov, iovcnt)
                 assert(#iov == 1 and iov[1].iov_len == 6 and tostring(iov[1]) == "hello")
                 assert(sys.pread64(fd, iov[1].iov_base, 5, 0) == 5) -- over what the caller has there
                 return sys.writev(fd, iov, iovcnt)
               end }]],
    calls = { OPEN, "write =1 @WORLD 5", "writev =1 v:!@hello 1", "pread64 =1 %20 20 0" },
    report = { "3", "5", "5", "10 [WORLDhello]" },
  },
  {
    name = "room that can be written in part gets what the kernel writes there",
    script = [[return lencase.grate {
                 pread64 = function(fd, buf, count, offset)
                   local n, errno, got = sys.pread64(fd, buf, count, offset)
                   assert(n == -1 or #got == n)
                   return n, errno, got
                 end,
                 getsockopt = function(...) return sys.getsockopt(...) end }]],
    calls = { OPEN, "write =1 @hello! 6", "pread64 =1 !%4 9 0", "pread64 =1 !%4 0x7fffffff 6", "socket 1 1 0",
              "getsockopt =5 1 3 !%4 q:8" },
    report = { "3", "6", "4 [hell]", "0 []", "4", "0 [\1]" },
  },
  {
    name = "counts are the caller's words, unchanged",
    script = [[local handed = {}
               for _, name in ipairs { "write", "readlink", "getgroups", "epoll_wait", "bind", "poll", "writev",
                                       "setsockopt", "sendto" } do
                 local call = sys[name]
                 handed[name] = function(...) return call(...) end
               end
               return lencase.grate(handed)]],
    calls = { "write -1 @hello -1", "readlink @/ %4 -1", "getgroups -1 %4", "epoll_wait 0 %12 -1 0", "socket 1 1 0",
              "bind =5 @x -1", "poll %8 -1 0", "writev =5 q:16,-1 1", "writev -1 @x 5000", "writev =5 @x 5000",
              "setsockopt =5 1 2 %4 0x7fffffff", "bind =5 @x 0x7fffffff", "sendto -1 @x -1 0 0 0" },
    report = { E.EBADF, E.EINVAL .. " []", E.EINVAL .. " []", E.EINVAL .. " []", "3", E.EINVAL, E.EINVAL .. " []",
               E.EINVAL, E.EBADF, E.EINVAL, "0 []", E.EINVAL, E.EBADF },
  },
  {
    name = "a buffer over the limit is looked at in part, and the kernel says whether it reads it",
    script = [[return lencase.grate { write = function(fd, buf, count)
                 assert(#buf > 0 and #buf < count and count == 0x40000000)
                 return sys.write(fd, buf, count)
               end }]],
    calls = { "openat -100 @/dev/null 1", "write =1 @hello 0x40000000", "write -1 @hello 0x40000000" },
    report = { "3", tostring(0x40000000), E.EBADF },
  },
  {
    name = "a struct is as long as the caller says",
    script = [[return lencase.grate { openat2 = { nil, function(dirfd, path, how, size)
                 if lencase.is_bad(how) then return sys.openat2(dirfd, path, how, size) end
                 assert(how.flags == 0 and how.resolve == 0)
                 if size == 32 then assert(#how.rest == 8) else assert(how.rest == nil) end
                 if size == 24 then return sys.openat2(dirfd, path, { flags = 0x10000, rest = "" }) end
                 return sys.openat2(dirfd, path, how, size)
               end, exact = true } }]],
    calls = { "openat2 -100 @/ q:0,0,0,0 32", "openat2 -100 @/ q:0,0,0,7 32", "openat2 -100 @/ q:0,0,0 24",
              "openat2 -100 @/ 0x10 24" },
    report = { "3", E.E2BIG, "4", E.EFAULT },
  },
  {
    name = "a struct that ends early is bad where it ends",
    script = [[return lencase.grate {
                 openat2 = { nil, function(dirfd, path, how, size)
                   assert(how.flags == 0 and how.mode == 0)
                   if size == 40 then return sys.openat2(dirfd, path, how, size) end
                   return how.resolve
                 end, exact = true },
                 nanosleep = function(duration) return duration.tv_nsec end }]],
    calls = { "openat2 -100 @/ !q:0,0 24", "openat2 -100 @/ !q:0,0,0 40", "nanosleep !q:1 0" },
    report = { E.EFAULT, E.EFAULT, E.EFAULT },
    log = { "how at 0x%x+ %(24 bytes%) cannot be read.*EFAULT",
            "duration at 0x%x+ %(16 bytes%) cannot be read.*EFAULT" },
  },
  {
    name = "a family is told of what cannot be read",
    script = [[return lencase.grate { open = function(path, flags)
                 assert(lencase.is_bad(flags) or lencase.is_bad(path))
                 return sys.open(path, flags)
               end }]],
    calls = { "openat2 -100 @/ 0x10 24", "openat -100 0x10 0", "openat 99 0x10 0" },
    report = { E.EFAULT, E.EFAULT, E.EFAULT },
  },
  {
    name = "bad strings of an array are bad values in it",
    script = [[return lencase.grate { execve = function(path, argv, envp)
                 assert(#argv == 2 and argv[1] == "a" and lencase.is_bad(argv[2]))
                 return sys.execve(path, argv, envp)
               end }]],
    calls = { "execve @/no/such s:@a,0x10,0 0", "execve @/bin/sh s:@a,0x10,0 0" },
    report = { E.ENOENT, E.EFAULT },
  },
  {
    name = "a call without a signature has six integers",
    unfiltered = true, -- a container's profile has no such number
    script = [[return lencase.grate { keyctl = function(a, b, c, d, e, f)
                 return a * 100000 + b * 10000 + c * 1000 + d * 100 + e * 10 + f
               end, [1234] = function(a) return a + 1 end }]],
    calls = { "keyctl 1 2 3 4 5 6", "1234 41" },
    report = { "123456", "42" },
  },
  {
    name = "a variant that is not described shows addresses, and that is reported once",
    script = [[return lencase.grate { fcntl = function(fd, cmd, arg)
                 assert(fd == 1 and cmd == 4242 and math.type(arg) == "integer")
                 return arg
               end }]],
    calls = { "fcntl 1 4242 77", "fcntl 1 4242 78" },
    report = { "77", "78" },
    log = { "grate%.lua:4: fcntl: cage %d+ %(.-%): no variant describes these arguments" },
  },
  {
    name = "variants are chosen by the arguments that are there",
    script = [[return lencase.grate {
                 open = function(...) return select("#", ...) end,
                 fcntl = function(fd, cmd, ...)
                   if cmd == 5 then return (...).l_len end
                   return select("#", ...)
                 end }]],
    calls = { "open @/ 0 0", "open @/ 0x40 0", "fcntl 1 1", "fcntl 1 0 7", "fcntl 1 5 q:0,0,4711,0" },
    report = { "2", "3", "0", "1", "4711" },
  },
  {
    name = "arrays of strings are tables",
    script = [[return lencase.grate { execve = function(pathname, argv, envp)
                 assert(pathname == "/no/such" and #argv == 3 and envp == lencase.NULL)
                 assert(argv[1] == "a" and argv[2] == "b c" and argv[3] == ("x"):rep(2000))
                 return sys.execve(pathname .. "/file", { "one", argv[3] }, { "A=1" })
               end }]],
    calls = { "execve @/no/such s:@a,@b_c,@" .. ("x"):rep(2000) .. ",0 0" },
    report = { E.ENOENT },
  },
  {
    name = "a prototype of the author's own",
    unfiltered = true, -- a container's profile has no such number
    script = [[return lencase.grate { [1234] = {
                 prototype = "int shout(const char *text, int times, char out[.times]);",
                 "copy all", function(text, times)
                   return times, nil, text:upper():rep(times):sub(1, times)
                 end } }]],
    calls = { "1234 @ab 3 %8" },
    report = { "3 [ABA]" },
  },
  -- }========================================================================

  -- {============================== replacing ===============================
  {
    name = "a longer path replaces a short one",
    script = [[return lencase.grate { open = function(path, flags, mode)
                 return sys.open(path .. ("/."):rep(100) .. "/../longer", flags, mode)
               end }]],
    calls = { "mkdir @DIR/d 0700", "open @DIR/d 0x41 0600", "access @DIR/longer 0" },
    report = { "0", "3", "0" },
  },
  {
    name = "other bytes replace a buffer, and the count follows",
    script = [[return lencase.grate { write = function(fd, buf, count)
                 local n = sys.write(fd, tostring(buf):upper() .. "!!")
                 assert(n == count + 2)
                 return count
               end }]],
    calls = { OPEN, "write " .. FD .. " @hello 5", "pread64 " .. FD .. " %9 9 0" },
    report = { "3", "5", "7 [HELLO!!]" },
  },
  {
    name = "a count beyond the bytes is refused",
    script = [[return lencase.grate { write = function(fd) return sys.write(fd, "ab", 3) end }]],
    calls = { "write 1 @hello 5" },
    report = { E.EIO },
    log = { "grate%.lua:4: write: count is 3, but buf has 2.*in write: cage .*EIO" },
  },
  {
    name = "a count beyond the caller's room is refused",
    script = [[return lencase.grate { read = function(fd, buf, count) return sys.read(fd, nil, count + 1) end }]],
    calls = { "read 0 %4 4" },
    report = { E.EIO .. " []" },
    log = { "read: count is 5, but buf has 4" },
  },
  {
    name = "NULL and integers replace pointers",
    script = [[return lencase.grate { open = { "addr pathname", function(path, flags, mode)
                 local fd, errno = sys.open(lencase.NULL, flags, mode)
                 assert(fd == -1 and errno == lencase.errno.EFAULT)
                 return sys.open(path, flags, mode)
               end } }]],
    calls = { OPEN },
    report = { "3" },
  },
  {
    name = "bytes for a buffer that cannot be written are EFAULT, regardless of on_error",
    script = [[return lencase.grate { on_error = "EPERM",
                 read = function() return 5, nil, "hello" end,
                 fstat = function() return 0, nil, { st_size = 7 } end,
                 accept = function() return 4, nil, "\1\0" end,
                 wait4 = function() return 7, nil, "\0\1\0\0" end }]],
    calls = { "read 0 0x10 5", "fstat 0 0", "accept 3 %16 0", "read 0 %5 5", "wait4 7 0x10 0 0", "wait4 7 0 0 0",
              "accept 3 0 0" },
    report = { E.EFAULT, E.EFAULT, E.EFAULT .. " []", "5 [hello]", E.EFAULT, "7", "4" },
    log = { "grate%.lua:5: buf at 0x10 %(5 bytes%) cannot be written: in read: cage %d+ .*EFAULT",
            "grate%.lua:6: statbuf at 0x0 %(144 bytes%) cannot be written: in fstat: cage %d+ .*EFAULT",
            "grate%.lua:7: addrlen at 0x0 %(4 bytes%) cannot be written: in accept: cage %d+ .*EFAULT",
            "grate%.lua:8: wstatus at 0x10 %(4 bytes%) cannot be written: in wait4: cage %d+ .*EFAULT" },
  },
  {
    name = "what a script does wrong with such a buffer is the script's error",
    script = [[return lencase.grate {
                 read = function() return 5, nil, "hello" end,
                 wait4 = function() return 7, nil, "\0\1\0\0", { ru_none = 1 } end,
                 fstat = function() return 0, nil, {}, {} end }]],
    calls = { "read 0 0x10 3", "wait4 7 0x10 0 0x10", "fstat 0 0x10" },
    report = { E.EIO, E.EIO, E.EIO },
    log = { "returned 5 bytes for buf, where the caller has room for 3.*EIO", "ru_none.*EIO",
            "returned 2 values after the errno.*EIO" },
  },
  {
    name = "a zero byte in a string is refused",
    script = [[return lencase.grate { open = function(path, flags) return sys.open(path .. "\0x", flags) end }]],
    calls = { "open @/ 0 0" },
    report = { E.EIO },
    log = { "open: pathname contains a zero byte" },
  },
  {
    name = "a buffer in an iovec is replaced",
    script = [[return lencase.grate { writev = function(fd, iov, iovcnt)
                 assert(#iov == 2 and iovcnt == 2 and tostring(iov[1]) == "ab" and iov[2].iov_len == 3)
                 local n = sys.writev(fd, { "<", iov[1], "|", tostring(iov[2]), ">" })
                 assert(n == 8)
                 return sys.writev(fd, iov, 1)
               end }]],
    calls = { OPEN, "writev " .. FD .. " v:@ab,@cde 2", "pread64 " .. FD .. " %20 20 0" },
    report = { "3", "2", "10 [<ab|cde>ab]" },
  },
  -- }========================================================================

  -- {============================ calling again =============================
  {
    name = "calling twice does it twice",
    script = [[return lencase.grate { write = function(fd, _, count)
                 sys.write(fd, nil, count)
                 return sys.write(fd, nil, count)
               end }]],
    calls = { OPEN, "write " .. FD .. " @ab 2", "pread64 " .. FD .. " %9 9 0" },
    report = { "3", "2", "4 [abab]" },
  },
  {
    name = "ONCE makes a second use an error",
    script = [[return lencase.grate { write = { lencase.COPY_ALL_ARGS | lencase.ONCE(2), function(fd, _, count)
                 sys.write(fd, nil, count)
                 return sys.write(fd, nil, count)
               end } }]],
    calls = { OPEN, "write " .. FD .. " @ab 2", "pread64 " .. FD .. " %9 9 0" },
    report = { "3", E.EIO, "2 [ab]" },
    log = { "grate%.lua:6: write: buf was used already.*once" },
  },
  {
    name = "several calls of other numbers",
    script = [[return lencase.grate { write = function(fd, buf, count)
                 local pid = sys.getpid()
                 assert(pid > 0 and pid == sys.getpid() and lencase.cage.pid == pid)
                 local at = sys.lseek(fd, 0, 1)
                 local n, errno = sys.write(fd, nil, count)
                 assert(sys.lseek(fd, 0, 1) == at + n)
                 return n, errno
               end }]],
    calls = { OPEN, "write " .. FD .. " @ab 2", "write " .. FD .. " @cd 2" },
    report = { "3", "2", "2" },
  },
  {
    name = "a handler's own call has room for what it gives",
    script = [[return lencase.grate { write = function(fd, _, count)
                 local n, errno, st = sys.fstat(fd)
                 assert(n == 0 and errno == nil and st.st_size == 0)
                 sys.write(fd, "head ", 5)
                 local size, _, bytes = sys.pread64(fd, nil, 100, 0)
                 assert(size == 5 and tostring(bytes) == "head ")
                 _, _, st = sys.fstat(fd)
                 assert(st.st_size == 5)
                 return sys.write(fd, nil, count)
               end }]],
    calls = { OPEN, "write " .. FD .. " @ab 2", "pread64 " .. FD .. " %9 9 0" },
    report = { "3", "2", "7 [head ab]" },
  },
  -- }========================================================================

  -- {============================ out-arguments =============================
  {
    name = "what a read brought is seen",
    script = [[return lencase.grate { pread64 = function(fd, buf, count, offset)
                 assert(buf == nil)
                 local n, errno, got = sys.pread64(fd, nil, count, offset)
                 assert(n == 5 and #got == 5 and tostring(got) == "hello")
                 return n, errno
               end }]],
    calls = { OPEN, "write " .. FD .. " @hello 5", "pread64 " .. FD .. " %9 9 0" },
    report = { "3", "5", "5 [hello]" },
  },
  {
    name = "what a read brought is replaced",
    script = [[return lencase.grate { pread64 = function(fd, _, count, offset)
                 local n, errno, got = sys.pread64(fd, nil, count, offset)
                 local other = tostring(got):reverse() .. "!"
                 return #other, errno, other
               end }]],
    calls = { OPEN, "write " .. FD .. " @hello 5", "pread64 " .. FD .. " %9 9 0" },
    report = { "3", "5", "6 [olleh!]" },
  },
  {
    name = "an answer without a call fills the caller's buffer",
    script = [[return lencase.grate { read = function(fd, _, count) return 5, nil, "magic" end }]],
    calls = { "read 0 %9 9" },
    report = { "5 [magic]" },
  },
  {
    name = "more than the caller has room for is an error, and nothing is written",
    script = [[return lencase.grate { read = function() return 5, nil, "magic" end }]],
    calls = { "read 0 %4 4" },
    report = { E.EIO .. " []" },
    log = { "returned 5 bytes for buf, where the caller has room for 4" },
  },
  {
    name = "fields of a struct",
    script = [[return lencase.grate { fstat = function(fd)
                 local n, errno, st = sys.fstat(fd)
                 assert(st.st_size == 5 and st.st_nlink == 1 and st.no_such_field == nil)
                 st.st_size = 0x41424344
                 return n, errno, st
               end }]],
    calls = { OPEN, "write " .. FD .. " @hello 5", "fstat " .. FD .. " q:0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0" },
    report = { "3", "5", "0" },
  },
  {
    name = "structs in structs, pairs, and fields that are not there",
    script = [[return lencase.grate { fstat = function(fd)
                 local n, errno, st = sys.fstat(fd)
                 local seen = {}
                 for name, value in pairs(st) do seen[name] = value end
                 assert(seen.st_size == 5 and seen.st_mode == st.st_mode)
                 assert(st.st_mtim.tv_sec > 1500000000 and st.st_mtim.tv_nsec >= 0)
                 st.st_mtim.tv_sec = 77
                 assert(st.st_mtim.tv_sec == 77)
                 assert(not pcall(function() st.no_such_field = 1 end))
                 assert(not pcall(function() st.st_size = "five" end))
                 return n, errno, st
               end }]],
    calls = { OPEN, "write =1 @hello 5", "fstat =1 q:0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0" },
    report = { "3", "5", "0" },
  },
  {
    name = "a struct given as a table",
    script = [[return lencase.grate { clock_gettime = function(clockid)
                 return 0, nil, { tv_sec = 0x6f6c6c6568, tv_nsec = 0x21 }
               end }]],
    calls = { "clock_gettime 0 %16" },
    report = { "0 [hello\0\0\0!]" },
  },
  {
    name = "an array of integers",
    script = [[return lencase.grate { pipe2 = function(_, flags)
                 local n, errno, fds = sys.pipe2(nil, flags)
                 assert(n == 0 and #fds == 2 and fds[1] >= 3 and fds[2] == fds[1] + 1 and fds[3] == nil)
                 sys.close(fds[1])
                 sys.close(fds[2])
                 return 0, nil, { 0x41414141, 0x42424242 }
               end }]],
    calls = { "pipe2 %8 0" },
    report = { "0 [AAAABBBB]" },
  },
  {
    name = "an iovec that is read into",
    script = [[return lencase.grate { readv = function(fd, iov, iovcnt)
                 assert(#iov == 2 and iov[1].iov_len == 3)
                 local n, errno, got = sys.readv(fd, iov, iovcnt)
                 assert(n == 5 and tostring(got[1]) == "hel" and tostring(got[2]) == "lo")
                 return n, errno, "HELLO"
               end }]],
    calls = { OPEN, "write " .. FD .. " @hello 5", "lseek " .. FD .. " 0 0", "readv " .. FD .. " v:%3,%4 2" },
    report = { "3", "5", "0", "5 [HEL] [LO]" },
  },
  {
    name = "an iovec that was read into is handed on as it is",
    script = [[return lencase.grate { readv = function() return sys.readv() end }]],
    calls = { OPEN, "write " .. FD .. " @hello 5", "lseek " .. FD .. " 0 0", "readv " .. FD .. " v:%3,%4 2" },
    report = { "3", "5", "0", "5 [hel] [lo]" },
  },
  -- }========================================================================

  -- {=============================== families ===============================
  {
    name = "a handler on open sees every way to open",
    script = [[local seen = {}
               return lencase.grate { open = function(pathname, flags, mode)
                 assert(pathname:sub(-6) == "/dir/x" and pathname:sub(1, 1) == "/", pathname)
                 assert(mode == nil or mode == 384, mode)
                 assert((flags & 64 ~= 0) == (mode ~= nil))
                 return sys.open(pathname, flags, mode)
               end }]],
    calls = { "mkdir @DIR/dir 0700", "openat -100 @DIR/dir/x 0x41 0600", "creat @DIR/dir/x 0600",
              "open @DIR/dir/x 0", "openat2 -100 @DIR/dir/x q:0x41,384,0 24" },
    report = { "0", "3", "4", "5", "6" },
  },
  {
    name = "a relative path is resolved against its directory",
    script = [[return lencase.grate { open = function(pathname, flags, mode)
                 if flags & 0x10000 ~= 0 then return end
                 assert(pathname:find("^/.*/dir/x$"), pathname)
                 return sys.open((pathname:gsub("x$", "y")), flags, mode)
               end }]],
    calls = { "mkdir @DIR/dir 0700", "open @DIR/dir 0x10000", "openat =2 @x 0x41 0600", "access @DIR/dir/y 0",
              "access @DIR/dir/x 0", "openat2 =2 @x q:0x41,384,0 24" },
    report = { "0", "3", "4", "0", E.ENOENT, "5" },
  },
  {
    name = "changed flags go where the member has them",
    script = [[return lencase.grate { open = function(pathname, flags, mode)
                 return sys.open(pathname, flags & ~64, mode)
               end }]],
    calls = { "openat -100 @DIR/no 0x41 0600", "creat @DIR/no 0600", "open @DIR/no 0x41 0600",
              "openat2 -100 @DIR/no q:0x40,0,0 24" },
    report = { E.ENOENT, E.ENOENT, E.ENOENT, E.ENOENT },
  },
  {
    name = "exact takes one kernel call alone",
    script = [[return lencase.grate { open = { nil, function() return 77 end, exact = true } }]],
    calls = { "openat -100 @/ 0 0", "open @/ 0 0" },
    report = { "3", "77" },
  },
  {
    name = "unlinkat is unlink or rmdir",
    script = [[return lencase.grate { unlink = function() return 1 end, rmdir = function() return 2 end }]],
    calls = { "unlinkat -100 @/x 0", "unlinkat -100 @/x 0x200", "unlink @/x", "rmdir @/x" },
    report = { "1", "2", "1", "2" },
  },
  -- }========================================================================

  -- {============================= descriptors ==============================
  {
    name = "an fdtable follows dup, dup2, dup3, F_DUPFD, close and close_range",
    script = [[local mark = lencase.fdtable()
               return lencase.grate {
                 open = function(p, f, m)
                   local fd, errno = sys.open(p, f, m)
                   if fd >= 0 then mark[fd] = 1000 end
                   return fd, errno
                 end,
                 lseek = { "copy all", function(fd) return mark[fd] or 0 end } }]],
    calls = { OPEN, "dup =1", "lseek =2 0 0", "dup2 =1 30", "lseek 30 0 0", "dup3 =1 31 0", "lseek 31 0 0",
              "fcntl =1 0 40", "lseek 40 0 0", "fcntl =1 1030 41", "lseek 41 0 0", "fcntl =1 1", "close 30",
              "lseek 30 0 0", "close_range 31 40 0", "lseek 31 0 0", "lseek 40 0 0", "lseek 41 0 0",
              "dup2 0 41", "lseek 41 0 0", "lseek =1 0 0" },
    report = { "3", "4", "1000", "30", "1000", "31", "1000", "40", "1000", "41", "1000", "0", "0", "0", "0", "0",
               "0", "1000", "41", "0", "1000" },
  },
  {
    name = "an fdtable beside the author's own handlers",
    script = [[local mark = lencase.fdtable()
               return lencase.grate {
                 dup = { "pass all", function() end },
                 dup2 = { "pass all", function() return sys.dup2() end },
                 close = { "pass all", function() return sys.close() end },
                 open = function(...)
                   local fd, errno = sys.open(...)
                   mark[fd] = 7
                   return fd, errno
                 end,
                 lseek = function(fd) return mark[fd] or 0 end }]],
    calls = { OPEN, "dup =1", "lseek =2 0 0", "dup2 =1 30", "lseek 30 0 0", "close 30", "lseek 30 0 0" },
    report = { "3", "4", "7", "30", "7", "0", "0" },
  },
  {
    name = "an author's own close sees what the descriptor meant",
    script = [[local mark = lencase.fdtable()
               return lencase.grate {
                 open = function(...)
                   local fd, errno = sys.open(...)
                   mark[fd] = 7
                   return fd, errno
                 end,
                 close = function(fd)
                   if mark[fd] == nil then return end
                   assert(mark[fd] == 7)
                   if fd % 2 == 0 then return end
                   return sys.close(fd)
                 end,
                 close_range = function(first) assert(mark[first] == 7) end,
                 lseek = function(fd) return mark[fd] or 0 end }]],
    calls = { OPEN, OPEN, OPEN, "close 3", "lseek 3 0 0", "close 4", "lseek 4 0 0", "close_range 5 6 0",
              "lseek 5 0 0" },
    report = { "3", "4", "5", "0", "0", "0", "0", "0", "0" },
  },
  {
    name = "what a descriptor refers to",
    script = [[return lencase.grate { lseek = function(fd)
                 local path = lencase.cage:fd_path(fd)
                 local none, errno = lencase.cage:fd_path(99)
                 assert(none == nil and errno == lencase.errno.EBADF)
                 return path:sub(-2) == "/f" and 1 or 0
               end }]],
    calls = { OPEN, "lseek =1 0 0" },
    report = { "3", "1" },
  },
  -- }========================================================================

  -- {============================ failing closed ============================
  {
    name = "a script error is EIO, names the place, and the program goes on",
    script = [[return lencase.grate { write = function(fd)
                 local t = nil
                 return t.x
               end }]],
    calls = { OPEN, "write " .. FD .. " @hello 5", "lseek " .. FD .. " 0 2" },
    report = { "3", E.EIO, "0" },
    log = { "grate%.lua:6: attempt to index a nil value %(local 't'%): in write: cage %d+ %(.-%); "
            .. "the caller gets EIO" },
  },
  {
    name = "on_error names another errno",
    script = [[return lencase.grate { write = function() error "no" end, on_error = "EPERM" }]],
    calls = { "write 1 @hello 5" },
    report = { E.EPERM },
    log = { "grate%.lua:4: no: in write: cage .*the caller gets EPERM" },
  },
  {
    name = "on_error pass lets the call through",
    script = [[return lencase.grate {
                 write = function(fd, _, n) if n == 5 then sys.write(fd, nil, n) end error "no" end,
                 on_error = "pass" }]],
    calls = { OPEN, "write " .. FD .. " @hello 5", "write " .. FD .. " @abc 3", "pread64 " .. FD .. " %9 9 0" },
    report = { "3", "5", "3", "8 [helloabc]" },
    log = { "no: in write.*as if it had no handler", "no: in write.*as if it had no handler" },
  },
  {
    name = "a handler that does not end is ended, pcall or not",
    script = [[return lencase.grate { timeout = 0.05,
                 write = function() while true do end end,
                 read = function() while true do pcall(function() while true do end end) end end }]],
    calls = { "write 1 @hello 5", "read 0 %1 1" },
    report = { E.EIO, E.EIO .. " []" },
    log = { "grate%.lua:%d+: the handler did not end within 50 ms.*in write: cage", "did not end.*in read: cage" },
  },
  {
    name = "nothing returned after a call was made",
    script = [[return lencase.grate { write = function(fd) sys.write(fd) end }]],
    calls = { OPEN, "write " .. FD .. " @hello 5" },
    report = { "3", E.EIO },
    log = { "grate%.lua:4: the handler returned nothing after having made its call: in write" },
  },
  {
    name = "a result that is none",
    script = [[return lencase.grate {
                 write = function() return "5" end,
                 read = function() return -1 end,
                 close = function() return -5 end,
                 dup = function() return 0, nil, "x" end,
                 dup2 = function() return {} end }]],
    calls = { "write 1 @hello 5", "read 0 %1 1", "close 0", "dup 0", "dup2 0 0" },
    report = { E.EIO, E.EIO .. " []", E.EIO, E.EIO, E.EIO },
    log = { "returned a string where a result", "returned %-1 without an errno", "returned %-5: a failure is %-1",
            "returned 1 values after the errno; the call has 0", "with the errno nil" },
  },
  {
    name = "a handler may not yield",
    script = [[return lencase.grate { write = function() coroutine.yield() end }]],
    calls = { "write 1 @hello 5" },
    report = { E.EIO },
    log = { "may not yield" },
  },
  {
    name = "a coroutine of the script's own makes no calls, but may work",
    script = [[return lencase.grate { write = function(fd, buf, count)
                 local co = coroutine.wrap(function() coroutine.yield(count) return sys.getpid() end)
                 assert(co() == 5)
                 local ok, message = pcall(co)
                 assert(not ok and message:find("no cage is calling here"), message)
                 return count
               end }]],
    calls = { "write 1 @hello 5" },
    report = { "5" },
  },
  {
    name = "pcall around a call, and an error between two calls",
    script = [[return lencase.grate { write = function(fd, _, count)
                 local ok = pcall(function() sys.write(fd, "ab", 2) error "x" end)
                 assert(not ok)
                 ok = pcall(sys.write, fd, {}, 2)
                 assert(not ok)
                 return sys.write(fd, nil, count)
               end }]],
    calls = { OPEN, "write " .. FD .. " @cde 3", "pread64 " .. FD .. " %9 9 0" },
    report = { "3", "3", "5 [abcde]" },
  },
  {
    name = "a view is dead when its call has ended",
    script = [[local kept
               return lencase.grate {
                 write = function(_, buf) kept = buf return 1 end,
                 lseek = function()
                   local ok, message = pcall(tostring, kept)
                   assert(not ok and message:find("after its call had ended"), message)
                   return 9
                 end }]],
    calls = { "write 1 @hello 5", "lseek 1 0 0" },
    report = { "1", "9" },
  },
  -- }========================================================================
}
