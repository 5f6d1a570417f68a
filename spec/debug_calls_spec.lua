-- What is said of calls and of routes when that is asked for: LENCASE_DEBUG, core.state{ debug = }.

local core = require "lencase.core"
local support = require "spec.support"

local prologue = [[local lencase = require "lencase" local sys = lencase.sys local _ = sys ]]

-- The lines of events in a log, without the number of the cage.
local function events(log, kind)
  local lines = {}
  for _, line in ipairs(log) do
    local event = line:match("^lencase: " .. kind .. ": (.*)$")
    if event then table.insert(lines, (event:gsub("^cage %d+", "cage N"):gsub("/%S*/(%w+%.lua)", "%1"))) end
  end
  return lines
end

-- One after the other, with anything between them.
local function in_order(lines, patterns)
  local at = 0
  for _, pattern in ipairs(patterns) do
    repeat
      at = at + 1
      assert(lines[at], "no line like\n  " .. pattern .. "\nfollows in\n  " .. table.concat(lines, "\n  "))
    until lines[at]:find(pattern)
  end
end

local function has(lines, pattern)
  for _, line in ipairs(lines) do
    if line:find(pattern) then return true end
  end
  return false
end

for _, host in ipairs(support.hosts) do
  if host.name ~= "inline" then
    -- The log of calls under a stack of scripts, the bottom first.
    local function log_of(scripts, calls, debug)
      local log
      support.in_folder(function(dir)
        local paths = {}
        for i, script in ipairs(scripts) do
          paths[i] = support.write_file(("%s/g%d.lua"):format(dir, i), prologue .. script)
        end
        log = select(2, host.run(paths, support.calls(calls, dir), dir, debug))
      end)
      return log
    end

    describe("calls on host " .. host.name, function()
      it("are followed to a handler, down from it and back", function()
        local lines = events(log_of({ [[return lencase.grate {
          getppid = function() return (sys.getppid()) + 1 end,
          write = { "pass buf", function(fd, _, count) return sys.write(fd, nil, count) end } }]] },
          { "getppid", "write 77 0 5" }, "calls"), "CALLS")
        in_order(lines, {
          "^cage N: getppid%(%) arrived$",
          "^cage N: getppid: g1%.lua:%d+ entered$",
          "^cage N: getppid: g1%.lua:%d+ makes getppid%(%)$",
          "^cage N: getppid: g1%.lua:%d+ answers %d+$",
          "^cage N: getppid answered with %d+$",
          "^cage N: write%(0x4d, 0x0, 0x5%) arrived$",
          "^cage N: write: g1%.lua:%d+ makes write%(0x4d, 0x0, 0x5%)$",
          "^cage N: write answered with %-EBADF$",
        })
      end)

      it("have the result of what was made before the handler answers", function()
        local lines = events(log_of({ "return lencase.grate { close = function(fd) return sys.close(fd) end }" },
          { "close 77" }, "calls"), "CALLS")
        in_order(lines, { "close: g1%.lua:%d+ has the result %-EBADF$", "close: g1%.lua:%d+ answers %-EBADF$" })
        assert.are.equal(has(lines, "close: g1%.lua:%d+ parked$"), has(lines, "close: g1%.lua:%d+ resumed$"))
      end)

      it("that pass, constants and stacks are told apart", function()
        local lines = events(log_of({ "return lencase.grate { getppid = function() return 5 end }",
          [[return lencase.grate { getppid = function() end, socket = lencase.fail "EPERM",
            getpgrp = function() end }]] }, { "getppid", "socket 1 1 0", "getpgrp" }, "calls"), "CALLS")
        in_order(lines, {
          "getppid: g2%.lua:%d+ entered$", "getppid: g2%.lua:%d+ lets it through$",
          "getppid: g1%.lua:%d+ entered$", "getppid: g1%.lua:%d+ answers 5$", "getppid answered with 5$",
          "getpgrp: g2%.lua:%d+ lets it through$", "getpgrp passed$",
        })
        -- A host may answer a constant without being asked: then nothing arrives.
        assert.are.equal(has(lines, "socket%(0x1, 0x1, 0x0%) arrived$"), has(lines, "socket answered with %-EPERM$"))
      end)

      it("are not told without", function()
        local scripts = { "return lencase.grate { getppid = function() return (sys.getppid()) end }" }
        assert.are.same({}, log_of(scripts, { "getppid" }))
        local log = log_of(scripts, { "getppid" }, "routes")
        assert.are.same({}, events(log, "CALLS"))
        assert.are_not.same({}, events(log, "ROUTES"))
        assert.are.same({}, events(log_of(scripts, { "getppid" }, "calls"), "ROUTES"))
      end)
    end)

    describe("routes on host " .. host.name, function()
      it("are told when a grate is loaded, and which cages have them", function()
        local lines = events(log_of({ "return lencase.grate { getppid = function() return 5 end }" }, { "getppid" },
          "routes"), "ROUTES")
        in_order(lines, { "^getppid: g1%.lua:%d+ is added %(active%)$",
                          "^cage N: has the routes of first cages$" })
      end)

      it("change by 3i's calls, whose failures are told, too", function()
        local lines = events(log_of({ [[return lencase.grate { registered = false, getpgrp = function() return 6 end,
            on_cage = function(cage) lencase.register_handler(cage, "getpgrp") end }]],
          [[return lencase.grate { getppid = function()
            lencase.deregister_handler(lencase.cage, "getppid")
            lencase.deregister_handler(lencase.cage, "getppid")
            return 1
          end }]] }, { "getppid" }, "routes"), "ROUTES")
        in_order(lines, { "^getpgrp: g1%.lua:%d+ is added %(unregistered%)$",
                          "^cage N: getpgrp of grate %d+ registered: done$",
                          "^cage N: getppid of grate %d+ deregistered: done$",
                          "^cage N: getppid of grate %d+ deregistered: no handler for getppid$" })
      end)
    end)
  end
end

describe("routes of a simulated cage", function()
  local function on_sim(script, f)
    support.in_folder(function(dir)
      local log, path = {}, dir .. "/g.lua"
      local state <close> = core.state { debug = 8, log = function(line) table.insert(log, "lencase: " .. line) end }
      assert(state:load(support.write_file(path, prologue .. script), {}))
      local cage <close> = state:sim {}
      f(cage, function(text)
        support.write_file(path, prologue .. text)
        return state:reload()
      end, function()
        local lines = events(log, "ROUTES")
        for i = #log, 1, -1 do log[i] = nil end
        return lines
      end)
    end)
  end

  it("are inherited at a fork", function()
    on_sim("return lencase.grate { getppid = function() return 5 end }", function(cage, _, lines)
      lines()
      local child <close> = cage:fork()
      assert.are.equal(5, child:call "getppid")
      assert.is_truthy(lines()[1]:find "^cage N: inherited the routes of cage %d+$")
    end)
  end)

  it("are swapped in, absent and active again as the grate is reloaded", function()
    on_sim("return lencase.grate { getppid = function() return 5 end }", function(cage, become, lines)
      lines()
      assert.is_true(become "return lencase.grate { getppid = function() return 6 end }")
      assert.are.same({ "getppid: g.lua:1 is swapped in" }, lines())
      assert.is_true(become "return lencase.grate {}")
      assert.are.same({ "getppid: g.lua:1 is absent from now on" }, lines())
      assert.is_true(become "return lencase.grate {}")
      assert.are.same({}, lines())
      assert.is_true(become "return lencase.grate { getppid = lencase.fail 'EPERM' }")
      assert.are.same({ "getppid: g.lua:1 is active again" }, lines())
      assert.are.equal(-1, cage:call "getppid")
    end)
  end)
end)
