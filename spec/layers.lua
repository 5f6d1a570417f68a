-- layers.lua - what a grate provides above it, and contracts, the same on every host: in the form of
-- spec/cases.lua and spec/stacks.lua

local E = setmetatable({}, {
  __index = function(_, name) return tostring(-require("lencase").errno[name]) end,
})

local OPEN = "open @DIR/f 0x42 0600"

-- What a statically linked program needs before its main function.
local START = [["execve", "brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64",
  "readlink", "getrandom", "mprotect", "mmap"]]

local function providing(text) return "provide = { " .. text .. ", " .. START .. " }" end

local function layer(text, handlers)
  return "return lencase.grate {\n" .. providing(text) .. (handlers and ", " .. handlers or "") .. "\n}"
end

local function grate(handlers) return "return lencase.grate { " .. handlers .. " }" end

local function logged(text, answer) return text .. ": in %w+: cage %d+ %([%w_]+%); " .. answer end

local FROB =
  [=[[2000] = { prototype = "int frob(int a, const char *b, /* out */ char c[.n], size_t n);", nil, function(a, b)
  return a + #b, nil, b:upper()
end }]=]

return {
  {
    name = "what is not listed is not there",
    script = layer [[default = "deny", "write", "open"]],
    calls = { OPEN, "write =1 @x 1", "lseek =1 0 0", "getpid", "close =1" },
    report = { "3", "1", E.ENOSYS, E.ENOSYS, E.ENOSYS },
  },
  {
    name = "a number that no kernel call has is not there either",
    script = layer [[default = "deny", deny = "EPERM"]],
    calls = { "511", "400", "1001" },
    report = { E.EPERM, E.EPERM, E.EPERM },
  },
  {
    name = "a handled call is there, the handler has all calls below",
    script = layer([[default = "deny", deny = "EACCES"]], "lseek = function(fd) return sys.getppid() * 0 + fd end"),
    calls = { "lseek 7 0 0", "getppid" },
    report = { "7", E.EACCES },
  },
  {
    name = "by default everything is there",
    script = layer [["write"]],
    calls = { OPEN, "lseek =1 0 0" },
    report = { "3", "0" },
  },
  {
    name = "a listed call brings its family, and no more of a number than is of it",
    script = layer [[default = "deny", deny = "EPERM", "open", "unlink"]],
    calls = { "openat -100 @DIR/f 0x42 0600", "mkdir @DIR/d 0700", "unlinkat -100 @DIR/f 0",
              "unlinkat -100 @DIR/f 0x200",
              "rmdir @DIR/f" },
    report = { "3", E.EPERM, "0", E.EPERM, E.EPERM },
  },
  {
    name = "a handled family beside a listed one",
    script = layer([[default = "deny", "unlink"]], "rmdir = function() return 5 end"),
    calls = { "unlinkat -100 @/no/such 0", "unlinkat -100 @/no/such 0x200", "rmdir @/no/such" },
    report = { E.ENOENT, "5", "5" },
  },
  {
    name = "a handled family alone",
    script = layer([[default = "deny", deny = "EXDEV"]], "rmdir = function() return 5 end"),
    calls = { "unlinkat -100 @/no/such 0", "unlinkat -100 @/no/such 0x200" },
    report = { E.EXDEV, "5" },
  },
  {
    name = "an exact handler, and a constant",
    script = layer([[default = "deny", deny = "EXDEV"]],
                   "rmdir = { nil, function() return 5 end, exact = true }, getpid = fail 'EPERM'"),
    calls = { "rmdir @/no/such", "unlinkat -100 @/no/such 0x200", "getpid" },
    report = { "5", E.EXDEV, E.EPERM },
  },
  {
    name = "fdtables of a layer watch what it provides",
    script = "local t = lencase.fdtable()\n" .. layer([[default = "deny", "fcntl", "write"]], [[
      lseek = function(fd) return t[fd] or 9 end,
      open = function(...) local fd, e = sys.open(...) t[fd] = 1 return fd, e end]]),
    calls = { OPEN, "fcntl =1 0 0", "lseek =2 0 0", "fcntl =1 3 0", "close =1", "lseek =1 0 0" },
    report = { "3", "4", "1", "32770", E.ENOSYS, "1" },
  },
  {
    name = "grates above have what the layer provides",
    stack = { layer [[default = "deny", deny = "EPERM", "getppid"]],
              grate "getppid = function() local n, e = sys.getpid() return -n * e end" },
    calls = { "getppid", "getpid" },
    report = { "1", E.EPERM },
  },
  {
    name = "layers on layers",
    stack = { layer [[default = "deny", deny = "EACCES", "write", "open", "lseek"]],
              layer([[default = "deny", deny = "EPERM", "open"]],
                    "getpid = function() return select(2, sys.getpid()) end") },
    calls = { OPEN, "lseek =1 0 0", "getpid", "write =1 @x 1" },
    report = { "3", E.EPERM, tostring(-E.EACCES), E.EPERM },
  },
  {
    name = "a watcher above does not hide what is denied below",
    stack = { layer [[default = "deny", deny = "EPERM", "open"]],
              "local t = lencase.fdtable() return lencase.grate { open = function(...) local fd, e = sys.open(...) "
              .. "t[fd] = 1 return fd, e end }" },
    calls = { OPEN, "fcntl =1 3 0", "fcntl =1 0 0" },
    report = { "3", E.EPERM, E.EPERM },
  },

  -- contracts

  {
    name = "arguments in their ranges, and out of them",
    script = grate [[write = { nil, function(fd, buf, count) return count end,
      args = { count = "1..4", fd = "0..100 | -1" } }]],
    calls = { "write 1 @x 1", "write 1 @xxxxx 5", "write -1 @xxxx 4", "write -2 @xxxx 4", "write 1 @x 0" },
    report = { "1", E.EIO, "4", E.EIO, E.EIO },
    log = { logged("grate%.lua:%d: contract: count is 5, not 1%.%.4", "the caller gets EIO"),
            logged("contract: fd is %-2, not 0%.%.100 | %-1", "the caller gets EIO"),
            logged("contract: count is 0, not 1%.%.4", "the caller gets EIO") },
  },
  {
    name = "a contract without a handler",
    script = grate [[lseek = { args = { offset = "..0x10 - 6" }, on_violation = "EPERM" }]],
    calls = { OPEN, "lseek =1 10 0", "lseek =1 11 0" },
    report = { "3", "10", E.EPERM },
    log = { logged("grate%.lua:%d: contract: offset is 11, not %.%.0x10 %- 6", "the caller gets EPERM") },
  },
  {
    name = "a result of the call itself is judged",
    script = grate [[lseek = { returns = "0..offset - 1" }]],
    calls = { OPEN, "lseek =1 10 0", "lseek =1 0 1" },
    report = { "3", E.EIO, E.EIO },
    log = { logged("contract: the result is 10, not 0%.%.offset %- 1 %(offset is 10%)", "the caller gets EIO"),
            logged("contract: the result is 10, not 0%.%.offset %- 1 %(offset is 0%)", "the caller gets EIO") },
  },
  {
    name = "a result of a handler",
    script = grate [[write = { nil, function(fd, buf, count) return fd end,
      returns = "0..count | 77", on_violation = "ERANGE" }]],
    calls = { "write 1 @xx 2", "write 3 @xx 2", "write 77 @xx 2" },
    report = { "1", E.ERANGE, "77" },
    log = { logged("contract: the result is 3, not 0%.%.count | 77 %(count is 2%)", "the caller gets ERANGE") },
  },
  {
    name = "allowed errnos, however a handler fails",
    script = grate [[lseek = { nil, function(fd)
      if fd == 1 then return fail "EINTR" elseif fd == 2 then return fail "EPERM" elseif fd == 3 then return -1, 28 end
      return -1, 1
    end, errors = { "EINTR", "ENOSPC" } },
      getpid = { nil, fail and function() return fail "EAGAIN" end, errors = {} }]],
    calls = { "lseek 1 0 0", "lseek 2 0 0", "lseek 3 0 0", "lseek 4 0 0", "getpid" },
    report = { E.EINTR, E.EIO, E.ENOSPC, E.EIO, E.EIO },
    log = { logged("contract: it failed with EPERM, which is not among its errors %(EINTR, ENOSPC%)",
                   "the caller gets EIO"),
            logged("contract: it failed with EPERM, .*", "the caller gets EIO"),
            logged("contract: it failed with EAGAIN, which is not among its errors %(none%)", "the caller gets EIO") },
  },
  {
    name = "strings, buffers and null",
    script = grate [[
      access = { nil, function() return 1 end, args = { pathname = "string 2..3" } },
      write = { nil, function() return 2 end, args = { buf = "null | bytes 3.. | bytes 1" } } ]],
    calls = { "access @ab 0", "access @abcd 0", "write 1 @abc 3", "write 1 @abc 2", "write 1 @abc 1", "write 1 0 0" },
    report = { "1", E.EIO, "2", E.EIO, "2", "2" },
    log = { logged("contract: pathname is a string of 4, not string 2%.%.3", "the caller gets EIO"),
            logged("contract: buf is a buffer of 2, not null | bytes 3%.%. | bytes 1", "the caller gets EIO") },
  },
  {
    name = "a violation that is told, and nothing else",
    script = grate [[lseek = { nil, function(fd) return fd end,
      args = { fd = "0..5" }, returns = "0..6", on_violation = "report" }]],
    calls = { "lseek 7 0 0", "lseek 6 0 0", "lseek 5 0 0" },
    report = { "7", "6", "5" },
    log = { logged("contract: fd is 7, not 0%.%.5", "it is reported only"),
            logged("contract: the result is 7, not 0%.%.6", "it is reported only"),
            logged("contract: fd is 6, not 0%.%.5", "it is reported only") },
  },
  {
    name = "a contract holds for the whole family, in its prototype",
    script = grate [[open = { args = { flags = "0x42", mode = "0..0x1ff" } }]],
    calls = { OPEN, "openat -100 @DIR/f 0x42 0600", "openat -100 @DIR/f 0 0", "creat @DIR/f 0600" },
    report = { "3", "4", E.EIO, E.EIO },
    log = { logged("contract: flags is 0, not 0x42", "the caller gets EIO"),
            logged("contract: flags is 577, .*", "the caller gets EIO") },
  },
  {
    name = "an address is an integer",
    script = grate [[write = { "addr buf", function() return 1 end, args = { buf = "0..4096" } },
      brk = { args = { addr = "0.." } }]],
    calls = { "write 1 0x1000 1", "write 1 0x1001 1" },
    report = { "1", E.EIO },
    log = { logged("contract: buf is 4097, not 0%.%.4096", "the caller gets EIO") },
  },
  {
    name = "a grate above is held to contracts as well",
    stack = { grate [[lseek = { nil, function(fd) return fd end, args = { fd = "0..5" } }]],
              grate [[getpid = function() local n, e = sys.lseek(6, 0, 0) return -n * e end]] },
    calls = { "getpid" },
    report = { tostring(-E.EIO) },
    log = { "grate1%.lua:4: contract: fd is 6, not 0%.%.5: in lseek: " },
  },

  -- uses

  {
    name = "what is not among the uses is an error at the call",
    script = grate [[uses = { "lseek" },
      getppid = function() local any = sys return any.getpid() end,
      lseek = function() return sys.lseek() + 1 end]],
    calls = { OPEN, "getppid", "lseek =1 0 0" },
    report = { "3", E.EIO, "1" },
    log = { "grate%.lua:5: sys%.getpid is not among this grate's uses: in getppid: " },
  },

  -- calls of an author's own

  {
    name = "a call of a grate below, by name and by number",
    stack = { grate(FROB),
              grate [[getpid = function()
                local n, errno, c = sys.frob(3, "abcd", nil, 10)
                assert(errno == nil and tostring(c):sub(1, 4) == "ABCD", tostring(c))
                return n * 100 + sys[2000](1, "x", nil, 1)
              end]] },
    calls = { "getpid" },
    report = { "702" },
  },
  {
    name = "a program that knows the number calls it, too",
    stack = { grate(FROB), grate "getpid = function() end" },
    calls = { "2000 1 @hello %5 5" },
    report = { "6 [HELLO]" },
  },
  {
    name = "a grate between handles it by its name",
    stack = { grate(FROB), grate [[frob = function(a, b, c, n) return sys.frob(a + 10, b .. "!") end]],
              grate [[getpid = function() return (sys.frob(1, "ab", nil, 8)) end]] },
    calls = { "getpid", "2000 1 @hello %9 9" },
    report = { "14", "17 [HELLO!]" },
  },
  {
    name = "what is wrong with a call of it is told by its name",
    stack = { grate(FROB), grate "getpid = function() return (sys.frob(1, {}, nil, 8)) end" },
    calls = { "getpid" },
    report = { E.EIO },
    log = { "frob: b .*: in getpid: " },
  },
  {
    name = "a layer provides it, or hides it",
    stack = { grate(FROB), layer [[default = "deny", "frob"]],
              layer([[default = "deny", deny = "EPERM"]],
                    [[getpid = function() return (sys.frob(1, "ab", nil, 8)) end]]) },
    calls = { "getpid", "2000 1 @hello %9 9" },
    report = { "3", E.EPERM .. " []" },
  },
  {
    name = "who hides it hides its name",
    stack = { grate(FROB), layer [[default = "deny"]], grate "getpid = function() return sys.frob(1) end" },
    calls = { "getpid" },
    report = { E.EIO },
    log = { "unknown call 'sys.frob'.*: in getpid: " },
  },
  {
    name = "contracts on it",
    stack = { grate(FROB:gsub(" }$", [[, args = { a = "0..n" }, returns = "..n"}]])),
              grate [[getpid = function() local n, e = sys.frob(1, "abcdef", nil, 6) return n == -1 and e or n end]] },
    calls = { "2000 1 @h %5 5", "2000 6 @h %5 5", "getpid" },
    report = { "2 [H]", E.EIO .. " []", tostring(-E.EIO) },
    log = { "contract: a is 6, not 0%.%.n %(n is 5%): in frob: ",
            "contract: the result is 7, not %.%.n %(n is 6%): in frob: " },
  },
}
