-- Rules, and what programs see under them.

local support = require "spec.support"

local quote, sh = support.quote, support.sh

local function under(rules, program)
  return sh(("%s run fault.lua %s -- %s"):format(support.lencase, rules, program))
end

local function bash(line) return "bash -c " .. quote(line) end
local function python(body) return "/usr/bin/python3 -c " .. quote("import os, time\n" .. body) end

-- Each write fails or not: a letter for each of the n lines.
local function writes(rule, n)
  local body = ("s = ''\nfor i in range(%d):\n  try: os.write(1, b''); s += '.'\n  except OSError: s += 'x'\nprint(s)")
    :format(n)
  return (under((rule:gsub("^write", "write:if=count==0")), python(body)):gsub("\n", ""))
end

describe("fault.lua", function()
  it("applies to the calls that when= names", function()
    for when, wanted in pairs { ["3"] = "..x......", ["3+"] = "..xxxxxxx", ["2+3"] = ".x..x..x.",
                                ["2..4"] = ".xxx.....",
                                ["1..7+3"] = "x..x..x..", ["20"] = "........." } do
      assert.are.equal(wanted, writes("write:error=EIO:when=" .. when, 9), when)
    end
  end)

  it("applies by probability, the same for the same seed", function()
    local first = writes("write:error=EIO:p=0.5 --seed 1", 40)
    assert.are.equal(first, writes("write:error=EIO:p=0.5 --seed 1", 40))
    assert.are_not.equal(first, writes("write:error=EIO:p=0.5 --seed 2", 40))
    assert.is_truthy(first:find "x" and first:find "%.")
    assert.are.equal(("."):rep(9), writes("write:error=EIO:p=0", 9))
    assert.are.equal(("x"):rep(9), writes("write:error=EIO:p=1", 9))
  end)

  it("looks at arguments", function()
    local _, err, status = under("'open:error=EACCES:if=pathname~pass'", "cat /etc/passwd")
    assert.are.equal("cat: /etc/passwd: Permission denied\n", err)
    assert.are.equal(1, status)
    assert.are.equal("", select(2, under("'open:error=EACCES:if=pathname==/etc/pass'", "cat /etc/passwd")))
    assert.are.equal("a\n", (under("'write:error=EIO:if=fd==2'", bash "echo a; echo b >&2")))
    assert.are.equal("a\n", (under("'write:error=EIO:if=fd&2'", bash "echo a; echo b >&2")))
  end)

  it("returns results without making the call", function()
    assert.are.equal("4711\n", (under("getpid:retval=4711", python "print(os.getpid())")))
    local _, err = under("mkdir:error=EDQUOT", "mkdir /tmp/no/such")
    assert.is_truthy(err:find "Disk quota exceeded")
  end)

  it("sends signals, and the call is made", function()
    support.in_folder(function(dir)
      local out, err = under("mkdir:signal=USR1", python(([[
import signal
signal.signal(signal.SIGUSR1, lambda *a: print("signal", flush=True))
os.mkdir("%s/d")
print(os.path.isdir("%s/d"))]]):format(dir, dir)))
      assert.are.equal("", err)
      assert.are.equal("signal\nTrue\n", out)
    end)
    local _, _, status = under("mkdir:signal=SIGTERM", "mkdir -p /tmp")
    assert.are.equal(143, status)
  end)

  it("delays calls, and no other threads", function()
    local out = under("getppid:delay_enter=0.4s:delay_exit=200ms", python [[
import threading
start = time.monotonic()
t = threading.Thread(target=os.getppid)
t.start()
for i in range(10): os.getpid()
mine = time.monotonic() - start
t.join()
print(time.monotonic() - start >= 0.6, mine < time.monotonic() - start)]])
    assert.are.equal("True True\n", out)
  end)

  it("knows classes and families, and the first rule that applies decides", function()
    local body = [[
for f in (lambda: os.open("/dev/null", 0), lambda: os.stat("/dev/null"), lambda: os.unlink("/no"),
          lambda: os.getppid()):
  try: print(f() != None, end=" ")
  except OSError as e: print(e.strerror, end=", ")]]
    assert.are.equal("True True No such file or directory, True ", (under("%network:error=EIO", python(body))))
    local rule = "%file:error=EUCLEAN:if=pathname==/dev/null %file:error=EIO:if=pathname==/dev/null unlink:error=EBUSY"
    assert.are.equal("Structure needs cleaning, Structure needs cleaning, Device or resource busy, True ",
                     (under(rule, python(body))))
  end)

  it("reports how often its rules were applied", function()
    local _, err = under("mkdir:error=EIO:when=2 --report", "mkdir -p /tmp /tmp /tmp")
    assert.are.equal("fault: mkdir:error=EIO:when=2: 3 matched, 1 applied\n", err:match "fault:.*")
  end)

  it("says what is wrong with a rule, and where", function()
    for rule, message in pairs {
      ["wrte:error=EIO"] = "unknown call 'wrte' (did you mean 'write'?)", ["write"] = "expected :",
      ["write:error=EFOO"] = "column 13: unknown errno 'EFOO'", ["write:errr=1"] = "column 7: expected error=, retval=",
      ["write:when=3"] = "does nothing", ["write:error=EIO:when=x"] = "which calls (3, 3+, 3+2, 3..5), found 'x'",
      ["write:error=EIO:if=fd"] = "expected an operator",
      ["write:error=EIO:if=pathname~x"] = "no call of 'write' has an argument 'pathname'",
      ["write:error=EIO:retval=1"] = "exclude each other", ["write:error=EIO:error=EIO"] = "given twice",
      ["write:signal=FOO"] = "unknown signal 'FOO'", ["write:error=EIO:p=2"] = "0 to 1",
      ["write:delay_enter=x"] = "expected a time",
    } do
      local _, err, status = under(quote(rule), "true")
      assert.are.equal(125, status)
      assert.is_truthy(err:find(message, 1, true), rule .. ": " .. err)
    end
  end)
end)
