-- run --inline --debug: what the inline host tells of its events, a line each

local support = require "spec.support"

if support.sanitized then return end -- the sanitizer's runtime is no part of the engine's namespace

local PYTHON = "/usr/bin/python3"

local grate = [[
local lencase = require "lencase"
local sys = lencase.sys
return lencase.grate {
  getsid = function()
    os.execute "kill -USR1 $PPID" -- in the midst of a call
    return 7
  end,
  write = { "copy buf", function(fd, buf, n) return sys.write(fd, tostring(buf):upper(), n) end },
}
]]

-- What a program prints under the grate, and what is told.
local function run(options, program)
  local out, err, n
  support.in_folder(function(dir)
    local path = support.write_file(dir .. "/grate.lua", grate)
    out, err, n = support.sh(("%s run --inline %s %s -- %s"):format(support.lencase, options, path, program))
  end)
  assert.are.equal(0, n, err)
  return out, err
end

local function python(code) return ("%s -Sc '%s'"):format(PYTHON, code) end

-- How many lines are told that match.
local function count(err, pattern)
  local n = 0
  for line in err:gmatch "[^\n]+" do
    if line:find("^lencase: " .. pattern .. "$") then n = n + 1 end
  end
  return n
end

describe("events of the inline host", function()
  local signals = python [[
import os, signal
got = []
signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
os.getsid(0)
print(len(got))]]

  it("are not reported unless asked for", function()
    local out, err = run("", signals)
    assert.are.same({ "1\n", "" }, { out, err })
  end)

  it("are those of another kind only when these are asked for", function()
    local _, err = run("--debug routes", "/bin/echo x")
    assert.is_nil(err:find "STOPS")
    assert.is_nil(err:find "WINDOW")
  end)

  it("tell calls by SIGSYS, until their site is patched", function()
    local out, err = run("--debug stops", python "import os\nfor i in range(9): os.getpgid(0)")
    assert.are.equal("", out)
    assert.are.equal(4, count(err, "STOPS: %d+/%d+: SIGSYS: getpgid at 0x%x+"), err)
    assert.is_true(count(err, "STOPS: %d+/%d+: the call site at 0x%x+ is patched") > 0, err)
    assert.is_nil(err:find "WINDOW")
  end)

  it("tell signals that wait until the host is left, and their handlers", function()
    local out, err = run("--debug stops", signals)
    assert.are.equal("1\n", out)
    assert.is_true(count(err, "STOPS: %d+/%d+: signal 10: deferred until the thread leaves the host") > 0, err)
    assert.are.equal(1, count(err, "STOPS: %d+/%d+: signal 10: the program's handler at 0x%x+"), err)
  end)

  it("tell forks, programs that are executed, and ends", function()
    local _, err = run("--debug stops", "/bin/sh -c '/bin/true; exit 0'")
    local child = err:match "STOPS: (%d+): a new process of %d+\n"
    assert.is_truthy(child, err)
    assert.are.equal(1, count(err, "STOPS: " .. child .. ": executes a program"), err)
    assert.are.equal(2, count(err, "STOPS: %d+: ends, status 0x0"), err)
  end)

  it("tell threads", function()
    local _, err = run("--debug stops", python [[
import threading
t = threading.Thread(target=lambda: None)
t.start()
t.join()]])
    assert.are.equal(1, count(err, "STOPS: %d+/%d+: a new thread, %d+"), err)
    assert.are.equal(1, count(err, "STOPS: %d+/%d+: the thread ends"), err)
  end)

  it("tell memory that the host lends, and that it comes back", function()
    local out, err = run("--debug window", "/bin/echo hello")
    local bytes = "WINDOW: %d+: %d+ bytes at 0x%x+"
    assert.are.same({ "HELLO\n", 1, 1 }, { out, count(err, bytes), count(err, bytes .. " are free again") }, err)
    assert.is_nil(err:find "STOPS")
  end)

  it("are asked for by the environment as well", function()
    local path = os.tmpname()
    support.write_file(path, grate)
    local _, err = support.sh(("LENCASE_DEBUG=stops %s run --inline %s -- /bin/true"):format(support.lencase, path))
    os.remove(path)
    assert.are.equal(1, count(err, "STOPS: %d+: ends, status 0x0"), err)
  end)
end)
