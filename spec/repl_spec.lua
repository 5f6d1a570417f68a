-- repl_spec.lua - the prompt: as a filter, and in a terminal

local support = require "spec.support"

local quote, sh = support.quote, support.sh

-- What the prompt prints for these lines: output, messages, status.
local function typed(lines, options)
  return sh(("printf %%s %s | %s repl %s"):format(quote(lines), support.lencase, options or ""))
end

local function output(lines)
  local out, err, status = typed(lines)
  assert.equal("", err)
  assert.equal(0, status)
  return out
end

local function in_folder(f)
  support.in_folder(function(dir) f(dir) end)
end

describe("lencase repl as a filter", function()
  it("prints values", function()
    assert.equal('3  "a\\n"  nil\n{ 1, 2, x = "y" }\n', output '1 + 2, "a\\n", nil\n{ 1, 2, x = "y" }\nx = 5\n')
  end)

  it("reads on when a chunk is incomplete", function()
    assert.equal("1\n2\n", output "for i = 1, 2 do\n  print(i)\nend\n")
    assert.equal("3\n", output "1 +\n2\n")
  end)

  it("says where an error is, goes on, and ends with 1", function()
    local out, err, status = typed "a.b = 1\n\nif true then\n  error 'x'\nend\n7\n1 1\n"
    assert.equal("7\n", out)
    assert.truthy(err:find("[1]:1: attempt to index a nil value (global 'a')", 1, true))
    assert.truthy(err:find("[2]:2: x", 1, true))
    assert.truthy(err:find("[4]:1: ", 1, true))
    assert.equal(1, status)
  end)

  it("has no colours and no prompt in a pipe", function()
    assert.falsy(output("1\n"):find "\27")
    assert.equal("1\n", output "1\n")
  end)

  it("runs -e", function()
    local out, _, status = sh(support.lencase .. " repl -e 'x = 20' -e 'x + 1' </dev/null")
    assert.equal("21\n", out)
    assert.equal(0, status)
    assert.equal(1, select(3, sh(support.lencase .. " repl -e 'error()' </dev/null")))
  end)

  it("shows what is known about a call", function()
    local out = output '?\n?open\non("open", "pass pathname", function() end)\n?openat\n? open\n'
    assert.truthy(out:find("int open(const char *pathname, int flags, ... /* mode_t mode */);", 1, true))
    assert.truthy(out:find("family: creat, openat", 1, true))
    assert.truthy(out:find "nothing handles it; COPY_ALL_ARGS\nopen%(pathname, flags, mode%) if flags")
    assert.truthy(out:find "seen by handlers of: open\nhandled by open at %[1%]:1\nopen%(")
    assert.truthy(out:find "handled by open at %[1%]:1\nopen[^\n]*\n  arg  pass    pathname")
    local _, err = typed "?opne\n"
    assert.truthy(err:find("unknown call 'opne' (did you mean 'open'?)", 1, true))
  end)
end)

describe("calls at the prompt", function()
  it("are made with values, and results come back as values", function()
    in_folder(function(dir)
      local out = output(([[
c = cage()
fd = c:open("DIR/x", "O_RDWR|O_CREAT", 384)
c:write(fd, "hello")
c:lseek(fd, 1, "SEEK_SET")
c:read(fd, nil, 100)
c:pread64(fd, nil, 2, 3)
n, errno, st = c:fstat(fd)
st.st_size
c:open("DIR/none", "O_RDONLY")
c:writev(fd, { "ab", "c" })
c:preadv(fd, { 2, 9 }, nil, 5)
c:getsockname(fd)
c:pipe2(nil, 0)
c:nanosleep({ tv_nsec = 5 })
c:lseek(fd, -1, 0)
]]):gsub("DIR", dir))
      assert.equal([[
5
1
4  nil  "ello"
2  nil  "lo"
5
-1  "ENOENT"
3
3  nil  "abc"
-1  "ENOTSOCK"
0  nil  { 4, 5 }
0  nil  { tv_nsec = 0, tv_sec = 0 }
-1  "EINVAL"
]], (out:gsub("{ %d+, %d+ }", "{ 4, 5 }")))
    end)
  end)

  it("go to handlers, which are closures of what was typed", function()
    assert.equal('5\n5\n-1  "EPERM"\n-1  "EBADF"\n', output [[
c = cage()
total = 0
on("write", "pass buf", function(fd, buf, count) total = total + count return count end)
c:write(1, "hello")
total
on("write", fail "EPERM")
c:write(1, "hello")
off "write"
c:write(99, "x")
]])
  end)

  it("are refused with the checks that a script has", function()
    local _, err = typed 'on("wirte", function() end)\non("write", "pass bfu", function() end)\nc = cage()\nc:opne()\n'
    assert.truthy(err:find("(did you mean 'write'?)", 1, true))
    assert.truthy(err:find('policy "pass bfu"', 1, true))
    assert.truthy(err:find("a cage has no 'opne' (did you mean 'open'?)", 1, true))
    _, err = typed 'c = cage()\nc:open(1, "O_WRONGLY")\nc:write(1, 2, 3, 4)\nc:write(1, {}, 0)\n'
    assert.truthy(err:find("open: flags: unknown flag 'O_WRONGLY' (did you mean 'O_WRONLY'?)", 1, true))
    assert.truthy(err:find("write takes 3 arguments here, not 4", 1, true))
    assert.truthy(err:find("write: buf is const void [.count], not a table", 1, true))
  end)

  it("show what was copied, who handled it and what was below", function()
    local out = output [[
c = cage { bottom = { write = function(fd, buf, count) return #buf end } }
on("write", function(fd, buf, count) return sys.write(fd, "other words", 11) end)
trace(true)
c:write(7, "hello")
policy("write", "pass buf")
c:write(7, "hello")
]]
    assert.truthy(out:find('write%(7, "hello"%) = 11, [%d.]+ %as\n  handler  write at %[2%]:1: copied buf 5 bytes; '
                           .. "it answered 11, [%d.]+ %as\n  bottom   write = 11, [%d.]+ %as\n11\n"))
    assert.truthy(out:find "copied nothing; it answered 11")
  end)

  it("can be of your own", function()
    in_folder(function(dir)
      local out, err = typed(([[
on(2000, { prototype = "int frob(int a, const char *b);", "copy b", function(a, b) return a + #b end })
c = cage { bottom = { frob = function(a, b) return a * 10 + #b end } }
c:frob(1, "abc"), c:call(2000, 1, "abc")
trace(true)
c:frob(2, "abcd")
trace(false)
?frob
policy("frob", "pass b")
routes()
on(2000, { prototype = "int frob(int a, const char *b);", nil, function() return sys.frob() end })
c:frob(2, "abcd")
save "DIR/p.lua"
off "frob"
c:call(2000, 1)
c:frob(1)
on(3000, { prototype = "int far(void);", function() end })
]]):gsub("DIR", dir))
      assert.truthy(out:find('4  4\nfrob(2, "abcd") = 6, ', 1, true), out)
      assert.truthy(out:find("handler  frob at [1]:1: copied b 5 bytes; it answered 6", 1, true), out)
      assert.truthy(out:find("int frob(int a, const char *b);\nhandled by frob at [1]:1\nfrob(a, b)\n", 1, true), out)
      assert.truthy(out:find "frob +pass b +%[1%]:1\n24\n%-1  \"ENOSYS\"\n$", out)
      assert.truthy(err:find("unknown call 'frob'", 1, true), err)
      assert.truthy(err:find("calls of your own have numbers from 2000 to 2099", 1, true), err)
      local text = support.read_file(dir .. "/p.lua")
      assert.truthy(text:find("  [2000] = { ", 1, true)
                    and text:find('prototype = "int frob(int a, const char *b);"', 1, true), text)
      assert.equal("24\n",
        output(("load %q\nc = cage { bottom = { frob = function(a, b) return a * 10 + #b end } }\nc:frob(2, 'abcd')\n")
        :format(dir .. "/p.lua")))
    end)
  end)

  it("fork, exit and dump", function()
    assert.equal("cage 2\n2  1\ntrue\n00010000  68 69 00                                         hi.\n", output [[
c = cage()
d = c:fork()
d
d:getpid(), d:getppid()
d:exit(3)
d:gone()
a = c:put "hi"
c:dump(a, 3)
]])
  end)

  it("end at a table of functions", function()
    assert.equal('3\n4  nil  "data"\n-1  "ENOSPC"\n-1  "ENOSYS"\n0  nil  8  "xy"\n', output [[
c = cage { bottom = { open = function(path) return #path end, read = function(fd, buf, count) return 4, nil, "data" end,
  write = fail "ENOSPC", readlink = function() return 0 end, getcwd = function() return 0 end,
  getrandom = function() error "no" end } }
c:open("abc", 0)
c:read(0, nil, 10)
c:write(1, "x")
c:close(1)
0, nil, 8, "xy"
]])
  end)
end)

describe("recorded calls", function()
  it("are kept and tried again with the handlers as they are", function()
    in_folder(function(dir)
      local out = output(([[
c = cage()
fd = c:open("DIR/x", "O_WRONLY|O_CREAT", 384)
c:write(fd, "hello")
on("write", function(fd, buf, count) return sys.write(fd, "J" .. buf:sub(2)) end)
try(2)
calls[2]
on("lseek", function(fd) end)
c:lseek(fd, 0, "SEEK_END")
record(1)
calls
c:write(fd, "again")
calls[4].copied.buf, calls[3]
c:writev(fd, { "ab", "c" })
]]):gsub("DIR", dir))
      assert.truthy(out:find('write%(%d+, "hello"%) = 5, [%d.]+ %as\n'
                             .. '  handler  write at %[4%]:1: copied buf 5 bytes; it answered 5'))
      assert.truthy(out:find "recorded write = 5")
      assert.truthy(out:find 'write%(%d+, "hello"%) = 5\n5\n1\n  3  lseek%([^\n]*\n5\n"again"  nil\n3\n$')
      assert.equal("helloJgainabc", support.read_file(dir .. "/x"))
    end)
  end)
end)

describe("save and load", function()
  local definitions = [[
written = {}
function note(n) written.total = (written.total or 0) + n end
local limit = 5; on("mkdir", function(pathname, mode) if #pathname > limit then return fail "EPERM" end end)
on("write", lencase.PASS_THROUGH_POINTERS, function(fd, buf, count)
  local n, errno = sys.write(fd, nil, count) -- as it was
  if n > 0 then note(n) end
  io.stderr:write(written.total, "\n")
  return n, errno
end)
]]

  it("write what was typed as a grate", function()
    in_folder(function(dir)
      output(definitions .. ("save %q\n"):format(dir .. "/p.lua"))
      local text = support.read_file(dir .. "/p.lua")
      assert.truthy(text:find("-- as it was", 1, true))
      assert.truthy(text:find("{ lencase.PASS_THROUGH_POINTERS, function(fd, buf, count)", 1, true))
      local out, err = sh(("%s run %s/p.lua -- sh -c 'echo hello; mkdir /tmp/long/er'"):format(support.lencase, dir))
      assert.equal("hello\n", out)
      assert.truthy(err:find "^6\n")
      assert.truthy(err:find "not permitted")
    end)
  end)

  it("lose nothing of a script but what was changed", function()
    in_folder(function(dir)
      local script = [[
-- an author's script
local lencase = require "lencase"
local sys, seen = lencase.sys, {} -- shared

-- A handler.
return lencase.grate {
  mkdir = lencase.fail "EPERM", -- never
  write = { "pass buf", function(fd, buf, count)
    seen[fd] = true -- noted
    return sys.write(fd, nil, count)
  end },
  rmdir = function(pathname) return -1, 5 end,
  on_cage = function(cage) seen.cage = cage.id end -- the last
}
]]
      support.write_file(dir .. "/p.lua", script)
      local out = output(([[
load "DIR/p.lua"
c = cage()
seen.cage
c:mkdir("/", 0)
c:write(99, "x")
save "DIR/same.lua"
on("mkdir", fail "EEXIST")
off "rmdir"
on("unlink", function(pathname)
  seen[pathname] = true
end)
save "DIR/new.lua"
]]):gsub("DIR", dir))
      assert.equal('1\n-1  "EPERM"\n-1  "EBADF"\n', out)
      assert.equal(script, support.read_file(dir .. "/same.lua"))
      local expected = script:gsub('"EPERM"', '"EEXIST"'):gsub("rmdir = [^\n]* end,", "")
                       :gsub("cage.id end", "cage.id end,")
                       :gsub("\n}\n$", "\n  unlink = function(pathname)\n  seen[pathname] = true\nend,\n}\n")
      assert.equal(expected, support.read_file(dir .. "/new.lua"))
      assert.equal(0, select(3, sh(("%s run %s/new.lua -- true"):format(support.lencase, dir))))
    end)
  end)
end)

describe("save", function()
  -- Types definitions of handlers, saves them, and returns the results of calls under the saved file.
  local function saved(definitions, calls)
    local out
    in_folder(function(dir)
      local first = output(("%sc = cage()\n%s"):format(definitions, calls))
      output(("%ssave %q\n"):format(definitions, dir .. "/p.lua"))
      out = output(("load %q\nc = cage()\n%s"):format(dir .. "/p.lua", calls))
      assert.equal(first, out)
    end)
    return out
  end

  it("gives handlers that a function made the locals that each has", function()
    assert.equal("3\n4\n4\n5\n", saved([[
function mk(k)
  return function() k = k + 1 return k end
end
on("getuid", mk(2))
on("geteuid", { "copy all", mk(3), exact = true })
]], "c:getuid()\nc:getuid()\nc:geteuid()\nc:geteuid()\n"))
  end)

  it("keeps locals that handlers share, and what helpers of theirs hold", function()
    assert.equal("4\n12\n10\n120\n", saved([[
function pair(k)
  local n = 0
  on("getuid", function()
    n = n + 1
    return n + k
  end)
  on("geteuid", function()
    return n * k * 4
  end)
end
pair(3)
function alone(n)
  on("getgid", function()
    return n
  end)
end
alone(10)
local function product(n) return n < 2 and 1 or n * product(n - 1) end; on("getegid", function() return product(5) end)
]], "c:getuid()\nc:geteuid()\nc:getgid()\nc:getegid()\n"))
  end)

  it("says when locals of one name are several that handlers share", function()
    local _, err, status = typed [[
function pair(one, other, k)
  on(one, function() return k end)
  on(other, function() return k + 1 end)
end
pair("getuid", "geteuid", 1)
pair("getgid", "getegid", 2)
save "/nowhere/p.lua"
]]
    assert.truthy(err:find("handlers share several locals named k", 1, true))
    assert.equal(1, status)
  end)

  it("changes the policy of a script's handler, and its locals are the prompt's", function()
    in_folder(function(dir)
      local script = [[
local lencase = require "lencase"
local sys, n = lencase.sys, 0
return lencase.grate { write = { "pass buf", function(fd, buf, count)
  n = n + 1 -- counted
  return sys.write(fd, nil, count)
end } }
]]
      support.write_file(dir .. "/p.lua", script)
      local out = output(([[
load "DIR/p.lua"
c = cage()
c:write(99, "a")
n = n + 10
c:write(99, "a")
n
policy("write", "copy buf")
save "DIR/p.lua"
]]):gsub("DIR", dir))
      assert.equal('-1  "EBADF"\n-1  "EBADF"\n12\n', out)
      assert.equal(script:gsub("pass buf", "copy buf"), support.read_file(dir .. "/p.lua"))
    end)
  end)

  it("changes the policy of a handler that a function of the script makes", function()
    in_folder(function(dir)
      local script = [[
local lencase = require "lencase"
local function counting(call)
  local n = 0
  return function(fd, buf, count) n = n + count return lencase.sys[call](fd, buf, count) end
end
return lencase.grate {
  write = { "pass buf", counting "write", args = { count = "0..4096" } }, -- all of it
  read = { lencase.PASS_THROUGH_POINTERS, counting "read" },
  pread64 = counting "pread64",
}
]]
      support.write_file(dir .. "/p.lua", script)
      output(('load %q\npolicy("write", "copy buf")\npolicy("read", lencase.PASS_THROUGH_ALL)\nsave %q\n')
        :format(dir .. "/p.lua", dir .. "/q.lua"))
      assert.equal(script:gsub("pass buf", "copy buf"):gsub("POINTERS", "ALL"), support.read_file(dir .. "/q.lua"))
      local _, err =
        typed(('load %q\npolicy("pread64", "pass buf")\nsave %q\n'):format(dir .. "/p.lua", dir .. "/q.lua"))
      assert.truthy(err:find("the handler of pread64 is made elsewhere in the text", 1, true), err)
    end)
  end)

  it("says when it cannot tell which text is a handler's", function()
    in_folder(function(dir)
      local line = 'on("getuid", function() return 1 end) on("getgid", function() return 2 end)\n'
      local _, err, status = typed(line .. ("save %q\n"):format(dir .. "/p.lua"))
      assert.truthy(err:find("on a line of its own", 1, true))
      assert.equal(1, status)
    end)
  end)
end)

-- {================================= terminal ==============================

local function terminal(steps, variables)
  local words = {}
  for _, word in ipairs(steps) do table.insert(words, quote(word)) end
  return sh(("TERM=xterm %s /usr/bin/python3 spec/repl_terminal.py %s -- %s repl"):format(
    variables or "", table.concat(words, " "), support.lencase))
end

describe("in a terminal", function()
  it("completes, reads on, is interrupted, and remembers", function()
    if support.no_readline then pending(support.no_readline) end
    in_folder(function(dir)
      local variables = "LENCASE_HISTORY=" .. dir .. "/history"
      local out, _, status = terminal({
        "> ", "c = ca\\tge()\\r",
        "> ", "c:getpi\\t()\\r", "36m1", "", -- a call's name
        "> ", "for i = 1, 2 do\\r", ">> ", "print(i * 21)\\r", ">> ", "end\\r", "42", "", -- several lines
        "> ", "abandoned", "abandoned", "\\x03", "^C", "", -- Ctrl-C while a line is typed
        -- and while one runs
        "> ", 'print("run" .. "ning") while true do end\\r', "running", "\\x03", "interrupted", "",
        "> ", "1 +\\r", ">> ", "\\x03", "^C", "",
        "> ", 'c:open("/dev/nul\\t", "O_WRON\\t|O_CLOE\\t", 0) > 2\\r', "true", "", -- a file's name, flags
        "> ", 'on("getppi\\t", "COP', "COP", "\\x03", "^C", "",
        "> ", '?getpp\\t\\r', "pid_t getppid(void)", "",
        "> ", 'on("read", "pass bu\\t, addr cou\\t", function() end)\\r', "> ", "routes()\\r",
        "pass buf, addr count", "", "> ", "\\x04",
      }, variables)
      assert.equal(0, status, out)
      assert.truthy(out:find "%[36mtrue")
      local history = support.read_file(dir .. "/history")
      assert.truthy(history:find("c = cage()\nc:getpid()\nfor i = 1, 2 do\n", 1, true))
      out = terminal({ "> ", "\\x1b[A\\x1b[A\\x1b[A\\r", "getppid(void)", "", "> ", "exit()\\r" }, variables)
      assert.truthy(out:find "getppid%(void%)", out)
    end)
  end)

  it("ends a handler that does not end by Ctrl-C, also one that catches errors", function()
    if support.no_readline then pending(support.no_readline) end
    local out, _, status = terminal({
      "> ", "c = cage()\\r", "> ", 'on("getpid", function() print "loo" print "ping" while true do end end)\\r',
      "> ", "c:getpid()\\r", "ping", "\\x03", "interrupted", "",
      "> ", 'on("getpid", function() print "ping" while true do pcall(function() while true do end end) end end)\\r',
      "> ", "c:getpid()\\r", "getpid()", "", "ping", "\\x03", "interrupted", "",
      "> ", 'on("getpid", function() return 5 end)\\r', "> ", "c:getpid() * 3\\r", "15", "", "> ", "exit()\\r",
    }, "NO_COLOR=1 LENCASE_HISTORY=/dev/null")
    assert.equal(0, status, out)
    assert.truthy(out:find("interrupted: in getpid: cage", 1, true), out)
  end)

  it("has no colours when NO_COLOR says so", function()
    local out = terminal({ "> ", "1 + 1\\r", "2", "", "> ", "exit()\\r" }, "NO_COLOR=1 LENCASE_HISTORY=/dev/null")
    assert.falsy(out:find "\27%[3%d")
  end)
end)

-- }==========================================================================
