local support = require "spec.support"

local function run(arguments, left, right, program)
  local out, err, status
  support.in_folder(function(dir)
    local prologue =
      'local lencase = require "lencase"\nlocal sys, fail = lencase.sys, lencase.fail\nlocal _ = sys, fail\n'
    support.write_file(dir .. "/a.lua", prologue .. left)
    support.write_file(dir .. "/b.lua", prologue .. right)
    out, err, status = support.sh(("%s run tee.lua %s %%{ %s/a.lua %%} %%{ %s/b.lua %%} -- %s"):format(
      support.lencase, arguments, dir, dir, (program:gsub("DIR", dir))))
  end)
  return out, err, status
end

local function uname(name)
  return ([[return lencase.grate { uname = function()
    local n, errno, u = sys.uname()
    u.nodename = "NAME"
    return n, errno, u
  end }]]):gsub("NAME", name)
end

local fails = [[return lencase.grate { uname = fail "EPERM" }]]

describe("tee:", function()
  it("both get each call, the first one's result is the caller's", function()
    local out, err = run("", (uname "left"), (uname "right"), "uname -n")
    assert.are.equal("left\n", out)
    assert.are.equal("", err)
  end)

  it("the first success", function()
    assert.are.equal("right\n", (run("--rule first", fails, (uname "right"), "uname -n")))
    assert.are.equal("left\n", (run("--rule first", (uname "left"), fails, "uname -n")))
  end)

  it("both must succeed", function()
    local _, err = run("--rule both", (uname "left"), fails, "uname -n")
    assert.is_truthy(err:find "uname: cannot get system name")
    assert.are.equal("left\n", (run("--rule both", (uname "left"), (uname "right"), "uname -n")))
  end)

  it("compares and reports", function()
    local out, err = run("--rule compare", (uname "left"), fails, "uname -n")
    assert.are.equal("left\n", out)
    assert.are.equal("tee: uname: 0 and -1 EPERM\n", err)
    out, err = run("--rule compare", (uname "same"), (uname "same"), "uname -n")
    assert.are.equal("same\n", out)
    assert.are.equal("", err)
  end)

  it("forks and execs once, and leaves no descriptor open", function()
    local all = [[local function told(name) return { "pass pointers", function() end } end
      return lencase.grate { clone = told "clone", vfork = told "vfork", fork = told "fork", execve = told "execve",
                             exit_group = told "exit", openat = told "openat" }]]
    local program = "sh -c 'sh -c \"ls /proc/self/fd | wc -l\"; (exit 3)'"
    local out, err, status = run("", all, all, program)
    assert.are.equal("", err)
    assert.are.equal((support.sh(program)), out)
    assert.are.equal(3, status)
  end)

  it("needs two stacks", function()
    local _, err, status = support.sh(support.lencase .. " run tee.lua %{ examples/count_writes.lua %} -- true")
    assert.are.equal(125, status)
    assert.is_truthy(err:find "expected two stacks")
  end)
end)
