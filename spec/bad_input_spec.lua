-- Bad input: each message names file, line, call and cage as far as there are any, each exit
-- status is the one in `lencase run --help`.

local support = require "spec.support"

local function run(script, program, options)
  local out, err, status
  support.in_folder(function(dir)
    local path = support.write_file(dir .. "/bad.lua", script)
    out, err, status = support.sh(("%s run %s %s -- %s"):format(support.lencase, options or "", path, program))
  end)
  return { out = out, err = err, status = status }
end

local function grate(body) return 'local lencase = require "lencase"\nreturn lencase.grate {\n' .. body .. "\n}\n" end

-- A script that is not loaded: nothing ran, 125, one message.
local function refused(script, pattern)
  local r = run(script, "echo ran")
  assert.are.equal(125, r.status, r.err)
  assert.are.equal("", r.out)
  assert.is_truthy(r.err:find("^lencase: [^\n]*" .. pattern), r.err)
  assert.are.equal(1, select(2, r.err:gsub("\n", "\n")), r.err)
end

describe("a script that is refused:", function()
  it("a syntax error", function() refused("return = 1\n", "bad%.lua:1: unexpected symbol near '='") end)
  it("an error while it is loaded", function() refused("\nerror 'oh'", "bad%.lua:2: oh") end)
  it("nothing returned", function()
    refused("local x = 1", "bad%.lua: the script must end with 'return lencase.grate")
  end)
  it("an unknown call", function()
    refused(grate "wirte = function() end", "bad%.lua:3: unknown call 'wirte' %(did you mean 'write'%?%)")
  end)
  it("an unknown option", function()
    refused(grate 'on_eror = "EPERM"', "bad%.lua:3: unknown call 'on_eror' %(did you mean 'on_error'%?%)")
  end)
  it("an unknown sys call", function()
    refused('local f = require "lencase".sys.opne', "bad%.lua:1: unknown call 'sys%.opne' %(did you mean 'open'%?%)")
  end)
  it("a misspelt policy", function()
    refused(grate 'write = { "pass buff", function() end }',
            "bad%.lua:3: write: policy \"pass buff\": .*did you mean 'buf'")
    refused(grate 'write = { "pas buf", function() end }',
            "bad%.lua:3: write: policy \"pas buf\": .*did you mean 'pass'")
  end)
  it("a policy that lencase does not have", function()
    refused(grate "write = { lencase.PASS_TROUGH_POINTERS, function() end }",
            "bad%.lua:3: there is no lencase%.PASS_TROUGH_POINTERS %(did you mean 'PASS_THROUGH_POINTERS'%?%)")
  end)
  it("an error that is not a string", function()
    refused("error {}", "bad%.lua: the script raised an error that is no string")
  end)
  it("an on_start that fails", function() refused(grate "on_start = function() error 'no' end", "bad%.lua:3: no") end)
  it("os.exit", function() refused("os.exit(4)", "os%.exit is not for grates") end)
  it("a policy for an argument that is not there", function()
    refused(grate "close = { lencase.PASS(2), function() end }",
            "bad%.lua:3: close: the policy names argument 2, but close has 1")
  end)
  it("a policy that contradicts itself", function()
    refused(grate "write = { lencase.ADDR(2) | lencase.COPY(2), function() end }",
            "bad%.lua:3: write: .*more than one thing")
  end)
  it("a handler in the place of another", function()
    refused(grate "write = function(pathname, flags, mode) end",
            "bad%.lua:3: a handler for write%(fd, buf, count%).*look like those of open%(pathname, flags, mode%)")
  end)
  it("parameters in another order", function()
    refused(grate "write = function(buf, fd) end",
            "bad%.lua:3: the handler has 'buf' as parameter 1, write%(fd, buf, count%) has it as 2")
  end)
  it("too many parameters", function()
    refused(grate "close = function(fd, x) end", "bad%.lua:3: the handler has 2 parameters, close%(fd%) has 1")
  end)
  it("the handler before the policy", function()
    refused(grate 'write = { function() end, "pass buf" }',
            "bad%.lua:3: write: the handler must be a function, not a string: the policy comes first")
  end)
  it("a call handled twice", function()
    refused(grate "write = function() end, [1] = function() end", "bad%.lua:3: 'write' is handled twice")
    refused(grate "open = function() end, openat = function() end",
            "bad%.lua:3: 'openat' is handled twice.*exact = true")
  end)
  it("an invalid on_error", function() refused(grate 'on_error = "EPREM"', "bad%.lua:3: on_error must be") end)
  it("an unknown errno", function()
    refused(grate 'socket = lencase.fail "EPREM"', "bad%.lua:3: unknown errno \"EPREM\" %(did you mean 'EPERM'%?%)")
  end)
  it("a prototype with an error", function()
    refused(grate '[2000] = { prototype = "int f(int a", nil, function() end }',
            "bad%.lua:3: call 2000: prototype: line 1, column 12")
  end)
  it("a script that does not exist", function()
    local _, err, status = support.sh(support.lencase .. " run /no/such.lua -- echo ran")
    assert.are.equal(125, status)
    assert.is_truthy(err:find("^lencase: cannot open /no/such%.lua: No such file"), err)
  end)
end)

describe("a program that does not run:", function()
  local ok = grate "on_exit = function() io.stderr:write 'on_exit ran' end"
  it("does not exist", function()
    local r = run(ok, "/usr/bin/no-such-program")
    assert.are.equal(127, r.status)
    assert.are.equal("lencase: /usr/bin/no-such-program: No such file or directory\n", r.err)
  end)
  it("may not be executed", function()
    local r = run(ok, "/etc/passwd")
    assert.are.equal(126, r.status)
    assert.are.equal("lencase: /etc/passwd: Permission denied\n", r.err)
    assert.are.equal(126, run(ok, "/").status)
  end)
  it("is not named", function()
    local r = run(ok, "")
    assert.are.equal(125, r.status)
    assert.is_truthy(r.err:find "no program")
    local _, err, status = support.sh(support.lencase .. " run")
    assert.are.equal(125, status)
    assert.is_truthy(err:find "no script")
  end)
  it("an unknown option of the command", function()
    local _, err, status = support.sh(support.lencase .. " run --no-such x.lua -- true")
    assert.are.equal(125, status)
    assert.is_truthy(err:find "lencase: .*no%-such", err)
    _, err, status = support.sh(support.lencase .. " run -t soon x.lua -- true")
    assert.are.equal(125, status)
    assert.is_truthy(err:find "expected a number above 0, not 'soon'", err)
  end)
end)

describe("a program's end is lencase's:", function()
  local ok = grate "geteuid = function() end"
  it("its exit status", function()
    assert.are.equal(0, run(ok, "true").status)
    assert.are.equal(77, run(ok, "sh -c 'exit 77'").status)
    assert.are.equal(125, run(ok, "sh -c 'exit 125'").status)
  end)
  it("its signal", function()
    local _, _, status = support.sh(("%s run %s -- sh -c 'kill -KILL $$'; echo $? >&2")
      :format(support.lencase, "examples/count_writes.lua"))
    assert.are.equal(0, status)
    for _, signal in ipairs { "KILL", "TERM", "ABRT", "INT", "HUP" } do
      support.in_folder(function(dir)
        local path = support.write_file(dir .. "/g.lua", ok)
        local out = support.sh(("sh -c '%s run %s -- sh -c \"kill -%s \\$\\$\"'; kill -l $?")
          :format(support.lencase, path, signal))
        assert.are.equal(signal .. "\n", out)
      end)
    end
  end)
end)

describe("a handler that fails while the program runs:", function()
  it("is named with line, call and cage, and the program goes on", function()
    local r = run(grate "uname = function(buf)\n  return buf.x.y\nend", "sh -c 'uname; echo and on'")
    assert.are.equal("and on\n", r.out)
    assert.is_truthy(r.err:find("lencase: %S+bad%.lua:4: attempt to index a nil value .*: in uname: cage %d+ "
                                .. "%(uname%); the caller gets EIO"), r.err)
  end)
  it("is named also when it is C that complains", function()
    for _, body in ipairs { "return -1", "return 'x'", "return 10.5", "error {}", "os.exit(4)" } do
      local r = run(grate("uname = function() " .. body .. " end"), "uname")
      assert.is_truthy(r.err:find "lencase: %S+bad%.lua:3: [^\n]+: in uname: cage %d+ %(uname%); the caller gets EIO",
                       r.err)
    end
  end)
  it("that hoards memory is ended", function()
    local state = require("lencase.core").state { max_grate_bytes = 8 << 20 }
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/g.lua", grate "getpid = function() return #('x'):rep(1 << 24) end")
      assert(state:load(path, {}))
      local cage = state:sim {}
      assert.are.equal(-require("lencase").errno.EIO, cage:call "getpid")
      assert.are.equal(cage:pid(), cage:call("getppid") and cage:pid())
      cage:exit()
    end)
    state:close()
  end)
  it("that does not end is ended", function()
    local r = run(grate "timeout = 0.1, uname = function() while true do end end", "sh -c 'uname; echo and on'")
    assert.are.equal("and on\n", r.out)
    assert.is_truthy(r.err:find "did not end within 100 ms")
  end)
  it("--timeout says when", function()
    local r = run(grate "uname = function() while true do end end", "uname", "--timeout 0.1")
    assert.is_truthy(r.err:find "did not end within 100 ms")
  end)
  it("may end the cage", function()
    local out, err = support.in_folder and "", ""
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/g.lua", grate 'on_error = "kill", uname = function() error "x" end')
      out, err = support.sh(("sh -c '%s run %s -- uname'; kill -l $?"):format(support.lencase, path))
    end)
    assert.are.equal("KILL\n", out)
    assert.is_truthy(err:find "in uname: cage %d+ %(uname%); the cage is ended")
  end)
  it("is silenced after ten messages", function()
    local r = run(grate "uname = function() error 'x' end",
                  "sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do uname; done 2>/dev/null'")
    assert.are.equal(10, select(2, r.err:gsub("in uname: cage", "")))
    assert.is_truthy(r.err:find "no more messages of this handler")
  end)
  it("an error in on_exit is reported, and the status is the program's", function()
    local r = run(grate "on_exit = function() error 'late' end", "sh -c 'exit 3'")
    assert.are.equal(3, r.status)
    assert.is_truthy(r.err:find "bad%.lua:3: late")
  end)
  it("a limit is reported, and how the kernel treats what was copied", function()
    local handing_on = grate "write = function(fd, buf, count) return lencase.sys.write(fd, buf, count) end"
    local more = "write: cage %d+ %(head%); "
    local r = run(handing_on, "sh -c 'f=$(mktemp) && head -c 100000 /dev/zero > $f && wc -c < $f; rm $f'", "-b 4K")
    assert.equal("100000\n", r.out)
    assert.is_truthy(r.err:find("buf at 0x%x+ %(%d+ bytes%) is more than the limits of lencase allow: in " .. more
                                .. "the kernel has read as much as was copied"), r.err)
    assert.is_truthy(r.err:find "write: %d+ more such calls were not reported", r.err)
    r = run(handing_on, "sh -c 'head -c 100000 /dev/zero | cat'", "-b 4K") -- a pipe takes whole pages
    assert.equal("", r.out)
    assert.is_truthy(r.err:find(more .. "the caller gets ENOMEM"), r.err)
  end)
end)

describe("events:", function()
  it("come in their order, with their cages", function()
    local r = run([[
      local lencase = require "lencase"
      local function say(...) io.stdout:write(table.concat({ ... }, " "), "\n") end
      local first
      return lencase.grate {
        on_start = function() say "start" end,
        on_cage = function(cage, parent)
          first = first or cage
          say("cage", tostring(parent == nil), tostring(parent == first), tostring(cage.pid > 0))
        end,
        on_cage_exit = function(cage, how, n) say("cage exit", tostring(cage == first), how, tostring(n)) end,
        on_exit = function(how, n) say("exit", how, tostring(n)) end,
      }]], "sh -c '/bin/true; sh -c \"kill -9 \\$\\$\"; exit 5' 2>/dev/null")
    assert.are.equal(table.concat({ "start", "cage true false true", "cage false true true", "cage exit false exit 0",
      "cage false true true", "cage exit false signal 9", "cage exit true exit 5", "exit exit 5", "" }, "\n"), r.out)
    assert.are.equal(5, r.status)
  end)
  it("a cage that has ended still has its name", function()
    local r =
      run(grate [[on_cage_exit = function(cage) print(cage.comm, cage.pid > 0, pcall(cage.read, cage, 1, 1)) end]],
                  "sh -c '/bin/true; exit 0'")
    assert.is_truthy(r.out:find "^true\ttrue\tfalse\t[^\n]*gone\nsh\ttrue\tfalse\t", r.out .. r.err)
  end)
  it("a cage has a working directory", function()
    local r = run(grate "uname = function() print(lencase.cage.cwd) end", "sh -c 'cd /usr/bin && uname >/dev/null'")
    assert.are.equal("/usr/bin\n", r.out)
  end)
  it("a cage is unknown outside of handlers", function()
    local r = run(grate "on_start = function() return lencase.cage.pid end", "true")
    assert.is_truthy(r.err:find "bad%.lua:3: lencase.cage can be used in a handler only")
    assert.are.equal(125, r.status)
  end)
  it("a script gets its arguments", function()
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/g.lua", [[
        print(select("#", ...), (select(2, ...)), arg[0]:match "[^/]*$", arg[1])
        return require "lencase".grate {}]])
      local out = support.sh(("%s run %s --json 'a b' -- echo"):format(support.lencase, path))
      assert.are.equal("2\ta b\tg.lua\t--json\n\n", out)
    end)
  end)
end)
