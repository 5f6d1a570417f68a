-- live_spec.lua - a live program at the prompt: driven by a pipe, and in a terminal

local support = require "spec.support"

local quote, sh = support.quote, support.sh
local PYTHON = "/usr/bin/python3"

-- What the prompt says to these lines of a program: output, messages, status.
local function typed(lines, program, options)
  return sh(("printf %%s %s | timeout 60 %s repl %s %s"):format(quote(lines), support.lencase, options or "",
                                                     program and "-- " .. program or ""))
end

-- The output, with T for a process's number and A for an address.
local function output(lines, program, options)
  local out, err, status = typed(lines, program, options)
  assert.equal("", err)
  assert.equal(0, status)
  return (out:gsub("0x%x%x%x+", "A"):gsub("%f[%d]%d%d%d%d%d*%f[%D]", "T"))
end

local function python(text) return PYTHON .. " -c " .. quote(text) end

describe("a program at the prompt", function()
  it("starts stopped, and is told of to its end", function()
    assert.equal("T (sh) is stopped before its first instruction\nhello\nT (sh) has ended: exit 3\n",
                 output("run()\n", "sh -c 'echo hello; exit 3'"))
    assert.equal("T (sh) is stopped before its first instruction\nT (sh) has ended: killed by signal 9\n",
                 output("run()\n", "sh -c 'kill -9 $$'"))
  end)

  it("has /dev/null for its input when lines come from a pipe", function()
    assert.truthy(output("run()\n1 + 1\n", "cat"):find "exit 0\n2\n$")
  end)

  it("steps to calls by name, by family and by a function, and tells their arguments by name", function()
    local out = output([[
step("openat")
pathname
args.flags, flags == args.flags
finish() >= 3
step("open").name
step(function(c) return c.name == "write" and c.count == 6 end)
args
]], "sh -c 'echo hi; echo hello'")
    assert.truthy(out:find('T  openat(dirfd = AT_FDCWD, pathname = "/etc/ld.so.cache", flags = O_RDONLY|O_CLOEXEC)\n'
                           .. '"/etc/ld.so.cache"\nT  true\ntrue\n"openat"\nhi\n'
                           .. 'T  write(fd = 1, buf = "hello\\n", count = 6)\n'
                           .. '{ buf = "hello\\n", count = 6, fd = 1 }\n', 1, true), out)
  end)

  it("has its calls decided: let, call, ret", function()
    local program = python [[
import os
open("/nothere", "rb") if os.path.exists("/never") else None
f = os.open("/etc/hostname", os.O_RDONLY)
print(os.read(f, 100) == open("/proc/version", "rb").read(100), flush=True)
try: os.open("/etc/hosts", os.O_RDONLY)
except OSError as e: print(e, flush=True)
print(os.read(f, 100), flush=True)
os.write(1, b"as it is\n")
]]
    local out = output([[
step(function(c) return c.name == "openat" and c.pathname == "/etc/hostname" end)
call{ pathname = "/proc/version", flags = "O_RDONLY|O_CLOEXEC" } > 0
step(function(c) return c.name == "openat" and c.pathname == "/etc/hosts" end)
ret(-1, "EMFILE")
step "read"
ret(5, nil, "12345")
on("write", fail "EPERM")
step(function(c) return c.name == "write" and c.count == 9 end)
let()
run()
]], program)
    assert.truthy(out:find 'T  openat%([^\n]*"/etc/hostname"', out)
    assert.truthy(out:find('true\nTrue\nT  openat', 1, true), out)
    assert.truthy(out:find('-1  "EMFILE"\n[Errno 24] Too many open files: \'/etc/hosts\'\nT  read(', 1, true), out)
    assert.truthy(out:find("5  nil  \"12345\"\n", 1, true), out)
    assert.truthy(out:find("as it is\n9\nT (python3) has ended: ", 1, true), out)
  end)

  it("has handlers that are put in force and taken off while it is stopped", function()
    local out = output([[
step("write")
on("write", function(fd, buf, count) return sys.write(fd, "J" .. buf:sub(2)) end)
finish()
step("write")
policy("write", "pass buf")
on("write", "pass buf", function(fd, buf, count) return count end)
let()
n = 0
on("write", "pass buf", function(fd, buf, count) n = n + count if n > 12 then return lencase.fail "EIO" end end)
step("fcntl")
off "write"
run()
n
]], python [[
import os, fcntl
os.write(1, b"hello\n")
os.write(1, b"hello\n")
os.write(1, b"abcdef\n")
try: os.write(1, b"abcdef\n")
except OSError as e: print(e.errno, flush=True)
fcntl.fcntl(1, fcntl.F_GETFD)
os.write(1, b"last\n")
]])
    assert.truthy(out:find("Jello\n6\nT  write(fd = 1, buf = \"hello\\n\", count = 6)\nhello\n6\nabcdef\n", 1, true), out)
    assert.truthy(out:find("last\nT (python3) has ended: exit 1\n14\n", 1, true) == nil)
    assert.truthy(out:find("last\nT (python3) has ended: exit 0\n", 1, true), out)
  end)

  it("shows the calls that handlers get, keeps them, and tries them again", function()
    local out = output([[
trace(true)
on("write", "copy buf", function(fd, buf, count) return sys.write(fd, "J" .. buf:sub(2)) end)
run()
calls[1]
on("write", function(fd, buf, count) return 77 end)
try(1)
]], "sh -c 'echo hello'")
    assert.truthy(out:find 'Jello\nwrite%(1, "hello\\n", 6%) = 6, [%d.T]+ %as\n  handler  write at %[2%]:1: '
                  and out:find "copied buf 6 bytes; it answered 6", out)
    assert.truthy(out:find('write(1, "hello\\n", 6) = 6\n', 1, true), out)
    assert.truthy(out:find 'it answered 77, [^\n]*\n77\n$', out)
  end)

  it("shows every call when it is asked to", function()
    local out = output("trace 'all'\nrun()\n", "sh -c 'exit 0'")
    assert.truthy(out:find('openat(-100, "/etc/ld.so.cache", T', 1, true), out)
    assert.truthy(out:find "munmap%(")
  end)

  it("is ended with the prompt, and that is told", function()
    local out = output("step('clone', 'fork', 'vfork')\nfinish() > 0\nstep 'wait4'\n", "sh -c 'sleep 1000; sleep 1001'")
    assert.truthy(out:find "true\n.*T %(sh%) was killed, with 1 more processes\n$" or
                  out:find "true\n.*T %(sh%) was killed\n$", out)
    assert.equal("", (sh "pgrep -f '^sleep 100[01]$' || true"))
  end)

  it("goes on as it was when a line fails", function()
    local out, err, status = typed([[
ret(1)
step("opne")
step(function(c) return c.nothing.x end)
step("write")
ret(-1, "ENOTHING")
call{ bfu = "x" }
call{ buf = {} }
call(7)
choose(1)
finish()
]], "sh -c 'echo hello'")
    assert.equal(1, status)
    for _, text in ipairs { "not stopped at a call: step() first", "did you mean 'open'?", "attempt to index a nil value",
                            "there is no errno 'ENOTHING'", "write has no argument 'bfu' (did you mean 'buf'?)",
                            "write: buf is a const void [.count], which a table is not", "call { name = value, ... }", "there is no thread 1" } do
      assert.truthy(err:find(text, 1, true), text .. ": " .. err)
    end
    assert.truthy(out:find "\nhello\n6\n")
  end)

  it("must be there", function()
    local _, err, status = typed("1\n", "/nothere/x")
    assert.truthy(err:find("/nothere/x: No such file or directory", 1, true))
    assert.equal(1, status)
    _, err = typed("step()\n")
    assert.truthy(err:find("there is no program: lencase repl -- PROGRAM", 1, true))
  end)
end)
