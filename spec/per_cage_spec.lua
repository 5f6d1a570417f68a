-- Tables per cage: made when first used, copied on fork, kept over exec, dropped at the end.

local core = require "lencase.core"
local support = require "spec.support"

local prologue = [[local lencase = require "lencase" local sys = lencase.sys local _ = sys ]]

-- Runs f(cage, log) with a simulated cage under the script.
local function on_sim(script, f)
  support.in_folder(function(dir)
    local log = {}
    local state <close> = core.state { log = function(line) table.insert(log, line) end }
    local loaded, _, message = state:load(support.write_file(dir .. "/g.lua", prologue .. script), {})
    if not loaded then error(message, 0) end
    local cage <close> = state:sim {}
    f(cage, log)
  end)
end

local function under(script, program)
  local out, err, status
  support.in_folder(function(dir)
    local path = support.write_file(dir .. "/g.lua", prologue .. script)
    out, err, status = support.sh(("cd %s && %s/scripts/lencase run %s -- %s"):format(dir, support.pwd, path, program))
  end)
  return out, err, status
end

-- lseek adds to what the calling cage has, getpgrp returns it.
local COUNTING = [[return lencase.grate { lseek = function(fd) state.n = (state.n or 0) + fd return state.n end,
  getpgrp = function() return state().n or -1 end }]]

describe("a table per cage", function()
  it("is made when a cage first uses it", function()
    on_sim("local state = lencase.per_cage(function(cage) return { n = cage.id * 100 } end) " .. COUNTING,
           function(cage)
      assert.are.equal(105, cage:call("lseek", 5, 0, 0))
      assert.are.equal(106, cage:call("lseek", 1, 0, 0))
      assert.are.equal(106, cage:call "getpgrp")
    end)
  end)

  it("is empty without init, and with one that returns nothing", function()
    for _, init in ipairs { "", "function() end", "{ init = function() end }" } do
      on_sim("local state = lencase.per_cage(" .. init .. ") " .. COUNTING, function(cage)
        assert.are.equal(5, cage:call("lseek", 5, 0, 0))
      end)
    end
  end)

  it("is its own for every cage, and a fork's begins as its parent's", function()
    on_sim("local state = lencase.per_cage() " .. COUNTING, function(cage)
      cage:call("lseek", 5, 0, 0)
      local child = cage:child(cage:call "fork")
      assert.are.equal(5, child:call "getpgrp")
      assert.are.equal(7, child:call("lseek", 2, 0, 0))
      assert.are.equal(8, cage:call("lseek", 3, 0, 0))
      assert.are.equal(7, child:call "getpgrp")
    end)
  end)

  it("is copied on fork through and through: cycles, what is shared, metatables", function()
    on_sim([[
      local class = { __index = { value = function(self) return self.n end } }
      local state = lencase.per_cage(function()
        local shared = setmetatable({ n = 1 }, class)
        local t = { a = shared, b = shared, list = {}, [shared] = "key" }
        local at = t.list
        for _ = 1, 100000 do at.next = {} at = at.next end -- no recursion takes this
        t.self = t
        return t
      end)
      return lencase.grate {
        lseek = function(fd) state().a.n = fd return fd end,
        getpgrp = function()
          local t = state()
          assert(t.self == t and t.a == t.b and t[t.a] == "key" and getmetatable(t.a) == class)
          local n, at = 0, t.list
          while at.next do n, at = n + 1, at.next end
          assert(n == 100000)
          return t.a:value()
        end }]], function(cage)
      assert.are.equal(1, cage:call "getpgrp")
      local child = cage:child(cage:call "fork")
      cage:call("lseek", 2, 0, 0)
      assert.are.equal(1, child:call "getpgrp")
      assert.are.equal(2, cage:call "getpgrp")
    end)
  end)

  it("is what the author's fork returns, also the parent's own", function()
    on_sim([[local state = lencase.per_cage {
        init = function() return { n = 1 } end,
        fork = function(values, child, parent, shares_files)
          assert(child.parent == parent.id and type(shares_files) == 'boolean')
          return values.n > 1 and values or { n = 50 }
        end } ]] .. COUNTING, function(cage)
      local child = cage:child(cage:call "fork")
      assert.are.equal(50, child:call "getpgrp")
      assert.are.equal(3, cage:call("lseek", 2, 0, 0))
      local sharing = cage:child(cage:call "fork")
      assert.are.equal(4, sharing:call("lseek", 1, 0, 0))
      assert.are.equal(4, cage:call "getpgrp")
    end)
  end)

  it("is kept over exec, and the author may change it there", function()
    on_sim("local state = lencase.per_cage() " .. COUNTING, function(cage)
      cage:call("lseek", 5, 0, 0)
      cage:call("execve", "/bin/true", 0, 0)
      assert.are.equal(5, cage:call "getpgrp")
    end)
    on_sim("local state = lencase.per_cage { exec = function(t, cage) return { n = t.n + cage.id } end } " .. COUNTING,
      function(cage)
        cage:call("lseek", 5, 0, 0)
        cage:call("execve", "/bin/true", 0, 0)
        assert.are.equal(6, cage:call "getpgrp")
      end)
  end)

  it("exists in on_cage_exit, and is gone after it", function()
    on_sim([[local state = lencase.per_cage()
      local weak, last = setmetatable({}, { __mode = "k" }), nil
      return lencase.grate {
        lseek = function(fd) state.n = fd weak[state()] = true return fd end,
        on_cage_exit = function(cage) last = cage assert(not cage.gone and state(cage).n == 5) end,
        getpgrp = function()
          collectgarbage()
          assert(next(weak) == nil and last.gone)
          local ok, message = pcall(state, last)
          assert(not ok and message:find "cage %d+ has ended, and its tables are gone", message)
          return 1
        end }]], function(cage, log)
      local child = cage:child(cage:call "fork")
      assert.are.equal(5, child:call("lseek", 5, 0, 0))
      child:exit(0)
      assert.are.equal(1, cage:call "getpgrp")
      assert.are.same({}, log)
    end)
  end)

  it("is found by its cage in events", function()
    on_sim([[local state = lencase.per_cage()
      return lencase.grate { on_cage = function(cage, parent) state(cage).born = parent and parent.id or 77 end,
        getpgrp = function() return state.born end }]], function(cage)
      assert.are.equal(77, cage:call "getpgrp")
      local child = cage:child(cage:call "fork")
      assert.are.equal(1, child:call "getpgrp")
      assert.are.equal(77, cage:call "getpgrp")
    end)
  end)

  it("can be walked over and counted", function()
    on_sim([[local state = lencase.per_cage(function() return { 4, 5, 6 } end)
      return lencase.grate { getpgrp = function()
        local sum = 0
        for _, n in pairs(state) do sum = sum + n end
        for _, n in ipairs(state) do sum = sum + n end
        return sum * 10 + #state
      end }]], function(cage) assert.are.equal(303, cage:call "getpgrp") end)
  end)

  it("is one, though init waits for a call of its own", function()
    local _, err, status = under([[local made, fours = 0, 0
      local state = lencase.per_cage(function()
        made = made + 1
        if pcall(function() return lencase.cage end) then sys.getpid() end
        return { n = 0 }
      end)
      return lencase.grate {
        sched_get_priority_max = function() state.n = state.n + 1 return sys.sched_get_priority_max() end,
        on_exit = function() assert(fours == 1 and made >= 1) end,
        on_cage_exit = function(cage)
          local n = state(cage).n
          assert(n == 0 or n == 4, "counted " .. n)
          fours = fours + n // 4
        end }]],
      [[python3 -c "
import threading, os
b = threading.Barrier(4)
def f():
  b.wait()
  os.sched_get_priority_max(0)
t = [threading.Thread(target=f) for _ in range(4)]
[x.start() for x in t]; [x.join() for x in t]"]])
    assert.are.equal("", err)
    assert.are.equal(0, status)
  end)

  it("leaves the others alone when a fork function fails", function()
    on_sim([[local bad = lencase.per_cage { fork = function() error "no fork" end }
      local state = lencase.per_cage() local _ = bad ]] .. COUNTING, function(cage, log)
      cage:call("lseek", 5, 0, 0)
      local child = cage:child(cage:call "fork")
      assert.are.equal(5, child:call "getpgrp")
      assert.is_truthy(#log == 1 and log[1]:find "g%.lua:1: no fork", log[1])
    end)
  end)

  local function fails(script, pattern)
    local ok, message = pcall(on_sim, script, function() end)
    assert.is_false(ok)
    assert.is_truthy(message:find(pattern), message)
  end

  it("says what is wrong with its definition", function()
    fails("lencase.per_cage { inti = print }", "g%.lua:1: per_cage: there is no 'inti' %(did you mean 'init'%?%)")
    fails("lencase.per_cage { init = 3 }", "g%.lua:1: per_cage: init must be a function, not a number")
    fails("lencase.per_cage(3)", "g%.lua:1: per_cage takes a function or { init =, fork =, exec = }, not a number")
    fails("lencase.per_cage().x = 1", "g%.lua:1: a per_cage table belongs to the calling cage: use it in a handler")
  end)

  it("fails closed when init gives no table", function()
    on_sim("local state = lencase.per_cage(function() return 3 end) " .. COUNTING, function(cage, log)
      assert.are.equal(-5, cage:call("lseek", 5, 0, 0))
      assert.is_truthy(log[1]:find "per_cage: init must return a table, not a number: in lseek", log[1])
    end)
  end)
end)

describe("a table per cage of a real program", function()
  it("follows its processes", function()
    local out, err = under([[local state = lencase.per_cage(function() return { path = {} } end)
      return lencase.grate {
        chdir = function(path) table.insert(state.path, path) return sys.chdir() end,
        write = { "pass buf", function(_, _, count)
          sys.write(nil, table.concat(state.path, ",") .. "\n")
          return count
        end } }]],
      [[sh -c 'cd /; (cd /usr; echo x; exec /bin/echo y); cd /tmp; /bin/echo z']])
    assert.are.equal("", err)
    assert.are.equal("/,/usr\n/,/usr\n/,/tmp\n", out)
  end)

  it("keeps an fdtable shared between those who share descriptors", function()
    local out, err, status = under([[local mark = lencase.fdtable()
      return lencase.grate {
        open = function(path, flags, mode)
          local fd, errno = sys.open(path, flags, mode)
          if fd >= 0 and path == "/dev/null" then mark[fd] = 7 end
          return fd, errno
        end,
        lseek = function(fd) if fd == 40 then return mark[fd] or 0 end end }]],
      [[python3 -c "
import ctypes, os
c = ctypes.CDLL(None)
c.syscall.restype = ctypes.c_long
def clone(flags): return c.syscall(56, flags | 17, 0, 0, 0, 0)
for files in (0x400, 0):
  pid = clone(files)
  if pid == 0:
    os.dup2(os.open('/dev/null', 0), 40)
    os._exit(0)
  os.waitpid(pid, 0)
  print(c.syscall(8, 40, 0, 0))
  if files: os.close(40)
"]])
    assert.are.equal("", err)
    assert.are.equal("7\n0\n", out)
    assert.are.equal(0, status)
  end)
end)
