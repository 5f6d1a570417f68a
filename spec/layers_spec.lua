-- Layers and contracts: messages about them when a script is loaded, and whole programs under them.
-- What they do to calls is in spec/layers.lua.

local support = require "spec.support"

local prologue = 'local lencase = require "lencase"\nlocal sys = lencase.sys\n'

local function grate(body) return prologue .. "return lencase.grate {\n" .. body .. "\n}\n" end

-- The stack of these scripts (grate1.lua is the bottom) around a program.
local function run(scripts, program)
  local out, err, status
  support.in_folder(function(dir)
    local paths = {}
    for i, script in ipairs(scripts) do paths[i] = support.write_file(("%s/grate%d.lua"):format(dir, i), script) end
    out, err, status = support.sh(("%s run %s -- %s"):format(support.lencase, table.concat(paths, " "), program))
  end)
  return { out = out, err = err, status = status }
end

local function refused(scripts, pattern)
  if type(scripts) == "string" then scripts = { scripts } end
  local r = run(scripts, "echo ran")
  assert.are.equal(125, r.status, r.err)
  assert.are.equal("", r.out)
  assert.is_truthy(r.err:find("^lencase: [^\n]*" .. pattern), r.err)
  assert.are.equal(1, select(2, r.err:gsub("\n", "\n")), r.err)
end

describe("a provide that is refused:", function()
  it("an unknown call", function()
    refused(grate 'provide = { default = "deny", "wirte" }',
            "grate1%.lua:4: unknown call 'wirte' %(did you mean 'write'%?%)")
  end)
  it("an unknown default", function()
    refused(grate 'provide = { default = "allow" }',
            'grate1%.lua:4: provide: default must be "pass", "deny" or "kill", not "allow"')
  end)
  it("an unknown key", function()
    refused(grate 'provide = { defualt = "deny" }', "grate1%.lua:4: provide: there is no 'defualt'")
  end)
  it("an unknown errno, or one without use", function()
    refused(grate 'provide = { default = "deny", deny = "EPREM" }',
            'grate1%.lua:4: provide: deny must be the name of an errno, not "EPREM"')
    refused(grate 'provide = { default = "kill", deny = "EPERM" }',
            'grate1%.lua:4: provide: deny needs default = "deny"')
  end)
  it("no table", function()
    refused(grate 'provide = "deny"', "grate1%.lua:4: provide must be a table, not a string")
  end)
  it("more than the layer below gives", function()
    refused({ grate 'provide = { default = "deny", "read" }',
              grate '\nprovide = { default = "deny", "read", "write" }' },
            "grate2%.lua:5: provide: 'write' is denied below %(%S+grate1%.lua:4%): a layer cannot allow what a lower "
            .. "one denies")
    refused({ grate 'provide = { default = "kill", "read" }', grate 'getpid = function() end',
              grate 'provide = { "write" }' },
            "grate3%.lua:4: provide: 'write' is denied below %(%S+grate1%.lua:4%)")
    refused({ grate 'socket = lencase.fail "EPERM"', grate 'provide = { "socket" }' },
            "grate2%.lua:4: provide: 'socket' is denied below")
  end)
end)

describe("uses that are refused:", function()
  it("an unknown call", function() refused(grate 'uses = { "opne" }', "grate1%.lua:4: unknown call 'opne'") end)
  it("a call that is denied below", function()
    refused({ grate 'provide = { default = "deny", "read" }', grate 'uses = { "read", "write" }' },
            "grate2%.lua:4: uses: 'write' is denied below")
  end)
  it("a call in a handler that is not among them", function()
    refused(grate 'uses = { "read" },\n -- sys.open\n getpid = function() return #"sys.close" + sys.getppid() end',
            "grate1%.lua:6: sys%.getppid is not among this grate's uses")
    refused(grate 'uses = { "read" }, getpid = function() return lencase.sys . getpid() end',
            "grate1%.lua:4: sys%.getpid is not among this grate's uses")
  end)
  it("a call that the script took by another way", function()
    refused(prologue
      .. 'local s = sys\nlocal f = s["getpid"]\nreturn lencase.grate { getpid = function() return f() end,\n '
      .. 'uses = { "read" } }',
            "grate1%.lua:6: sys%.getpid is not among this grate's uses")
  end)
end)

describe("a contract that is refused:", function()
  local function contract(text, pattern, call)
    refused(grate(("%s = { nil, function() return 1 end, %s }"):format(call or "write", text)),
            "grate1%.lua:4: write: " .. pattern)
  end
  it("a grammatical error, with its place", function()
    contract('args = { count = "0..4096 x" }', "args: count: line 1, column 9: expected .*found 'x'")
    contract('args = { count = "0..1 | |" }', "args: count: line 1, column 8: expected a range")
    contract('returns = "0..count -"',
             "returns: line 1, column 11: expected a number or a parameter's name, found the end")
    contract('returns = ""', "returns: line 1, column 1: expected a range")
  end)
  it("a name that no parameter has", function()
    contract('args = { cuont = "0.." }', "args: write has no parameter 'cuont' %(did you mean 'count'%?%)")
    contract('returns = "0..\\n cuont"',
             "returns: line 2, column 2: write has no parameter 'cuont' %(did you mean 'count'%?%)")
  end)
  it("what does not fit an argument", function()
    contract('args = { buf = "0..4" }', "args: buf: line 1, column 1: buf is not an integer")
    contract('args = { count = "string" }', "args: count: line 1, column 1: count is an integer")
    contract('args = { count = "0..buf" }', "args: count: line 1, column 4: buf is not an integer")
  end)
  it("an argument that the policy passes through", function()
    refused(grate 'write = { "pass buf", function() end, args = { buf = "bytes" } }',
            "grate1%.lua:4: write: args: buf is passed through")
    refused(grate 'write = { "pass all", function() end, returns = "..count" }',
            "returns: line 1, column 3: count is passed through")
  end)
  it("unknown errnos", function()
    contract('errors = { "EPREM" }', "errors: unknown errno 'EPREM' %(did you mean 'EPERM'%?%)")
    contract('errors = { EPERM = true }', "errors is a list of errnos, without a key 'EPERM'")
  end)
  it("a strange on_violation", function()
    contract('returns = "0", on_violation = "ignore"', 'on_violation must be "kill", "report" or the name of an errno')
    contract('on_violation = "kill"', "on_violation needs args, returns or errors")
  end)
  it("one of a constant", function()
    refused(grate 'write = { nil, lencase.fail "EPERM", returns = "0" }',
            "grate1%.lua:4: write: a constant answer cannot have a contract")
  end)
end)

describe("a prototype that is refused:", function()
  it("under the name of a system call", function()
    refused(grate '[2000] = { prototype = "int write(int a);", nil, function() end }',
            "grate1%.lua:4: call 2000: prototype: 'write' is the name of call 1")
  end)
end)

describe("a program in a layer:", function()
  it("ends when it makes a call that kills", function()
    local r =
      run({ grate('provide = { default = "kill", "execve", "brk", "arch_prctl", "set_tid_address", "set_robust_list",\n'
      .. '"rseq", "prlimit64", "readlink", "getrandom", "mprotect", "mmap" }') },
      support.build .. "/spec/helper_caller '39' 9<>/dev/zero; kill -l $? >&2")
    assert.is_truthy(r.err:find("^lencase: %S+grate1%.lua:4: the call is not provided: in getpid: cage %d+ "
                                .. "%(helper_caller%); the cage is ended\n"),
                     r.err)
    assert.is_truthy(r.err:find "KILL\n$", r.err)
  end)
  it("ends when a contract kills", function()
    local r = run({ grate 'uname = { nil, function() return 3 end, returns = "0", on_violation = "kill" }' },
                  "uname; kill -l $? >&2")
    assert.is_truthy(r.err:find("grate1%.lua:4: contract: the result is 3, not 0: in uname: cage %d+ %(uname%); the "
                                .. "cage is ended\n"), r.err)
    assert.is_truthy(r.err:find "KILL\n$", r.err)
  end)
  it("of a few calls runs, in one that lacks a call it fails", function()
    if support.sanitized then pending "a sanitizer's runtime makes calls of its own" end
    local few = [["execve", "brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "getrandom",
      "mprotect", "mmap", "munmap", "open", "close", "read", "pread64", "newfstatat", "fstat", "access",
      "write", "fadvise64", "futex", "writev"]]
    local r =
      run({ grate('provide = { default = "deny", deny = "EPERM", ' .. few .. " }") }, "/bin/cat /proc/self/comm")
    assert.are.equal("cat\n", r.out, r.err)
    assert.are.equal("", r.err)
    r = run({ grate('provide = { default = "deny", deny = "EPERM", ' .. few:gsub('"open", ', "") .. " }") },
            "/bin/cat /proc/self/comm")
    assert.are.equal("", r.out)
    assert.is_truthy(r.err:find "cannot open shared object file", r.err)
  end)
  it("is shown by --routes", function()
    support.in_folder(function(dir)
      local path =
        support.write_file(dir .. "/g.lua", grate 'provide = { default = "deny", "read" }, write = function() end')
      local out = support.sh(("%s run --routes %s"):format(support.lencase, path))
      assert.is_truthy(out:find "^write +%S+g%.lua:4\n%d%d%d denied +%S+g%.lua:4\n$", out)
    end)
  end)
end)
