-- Reloading: handlers are swapped between calls, and what fails changes nothing.

local core = require "lencase.core"
local support = require "spec.support"

local prologue = [[local lencase = require "lencase" local sys = lencase.sys local _ = sys ]]

-- Runs f(cage, become, log): become(script) is the script's new text, and whether it was reloaded.
local function on_sim(script, f)
  support.in_folder(function(dir)
    local log, path = {}, dir .. "/g.lua"
    local state <close> = core.state { log = function(line) table.insert(log, line) end }
    local loaded, _, message = state:load(support.write_file(path, prologue .. script), { "one" })
    if not loaded then error(message, 0) end
    local cage <close> = state:sim {}
    f(cage, function(text)
      support.write_file(path, prologue .. text)
      return state:reload()
    end, log, path)
  end)
end

local function answering(name, n) return ("return lencase.grate { %s = function() return %d end }"):format(name, n) end

describe("a reload", function()
  it("swaps handlers, constants, policies", function()
    on_sim([[return lencase.grate { getpgrp = function() return 1 end, socket = lencase.fail "EPERM",
      access = { "pass pathname", function(p) return p == nil and 1 or 2 end } }]], function(cage, become)
      assert.are.same({ 1, -1, 1 }, { cage:call "getpgrp", cage:call("socket", 1, 1, 0), cage:call("access", "/", 0) })
      assert.is_true(become [[return lencase.grate { getpgrp = lencase.fail "EACCES", socket = function() return 7 end,
        access = function(p) return p == "/" and 5 or 6 end }]])
      assert.are.same({ -13, 7, 5 }, { cage:call "getpgrp", cage:call("socket", 1, 1, 0), cage:call("access", "/", 0) })
      assert.is_true(become(answering("getpgrp", 3)))
      assert.are.equal(3, cage:call "getpgrp")
      assert.are.equal(0, cage:call("access", "/", 0))
    end)
  end)

  it("lets through what is not named any more, and takes it back", function()
    on_sim(answering("getppid", 42), function(cage, become, log)
      assert.is_true(become "return lencase.grate {}")
      assert.are.equal(0, cage:call "getppid")
      assert.is_true(become(answering("getppid", 43)))
      assert.are.equal(43, cage:call "getppid")
      assert.are.same({}, log)
    end)
  end)

  it("reports a call that does not reach lencase, and does not handle it", function()
    on_sim(answering("getpgrp", 1), function(cage, become, log)
      assert.is_true(become [[return lencase.grate { getppid = function() return 5 end,
        getpgrp = function() return 2 end }]])
      assert.are.same({ 0, 2 }, { cage:call "getppid", cage:call "getpgrp" })
      assert.is_truthy(#log == 1 and log[1]:find "g%.lua:1: getppid was not handled when the program started", log[1])
    end)
  end)

  it("that fails leaves everything and says why", function()
    on_sim("x = 1 " .. answering("getpgrp", 1):gsub("return 1", "return x"), function(cage, become, log)
      for script, pattern in pairs { ["x = "] = "g%.lua:1: unexpected symbol", ["x = 2 error 'oh'"] = "g%.lua:1: oh",
                                     ["x = 2"] = "must end with",
                                     ["x = 2 return lencase.grate { opne = 1 }"] = "unknown call 'opne'",
        ["lencase.per_cage() lencase.fdtable() return lencase.grate { uses = { 'open' } }"] = "layer" } do
        local ok, status, message = become(script)
        assert.are.equal("nil LENCASE_ESCRIPT", tostring(ok) .. " " .. tostring(status))
        assert.is_truthy(message:find(pattern) and message:find "not reloaded", message)
        assert.are.equal(1, cage:call "getpgrp")
      end
      assert.are.equal(5, #log)
    end)
  end)

  it("keeps the tables that the script names, and nothing else", function()
    local script =
      [[local counts, other, state, files, unkept = { n = 0, k = K }, { n = 0 }, lencase.per_cage(),
        lencase.fdtable(), lencase.per_cage()
      g = (g or 0) + 1
      return lencase.grate { keep = { counts = counts, state = state, files = files },
        getpgrp = function()
          for _, t in ipairs { counts, other, state, unkept } do t.n = (t.n or 0) + 1 end
          files[9] = (files[9] or 0) + 1
          return counts.n * 10000 + other.n * 1000 + state.n * 100 + unkept.n * 10 + g
        end, lseek = function() return files[9] or 0 end }]]
    on_sim(script, function(cage, become)
      assert.are.equal(11111, cage:call "getpgrp")
      assert.are.equal(22221, cage:call "getpgrp")
      assert.is_true(become(script))
      assert.are.equal(31311, cage:call "getpgrp")
      local child = cage:child(cage:call "fork")
      assert.are.equal(42421, child:call "getpgrp")
      assert.are.equal(53421, cage:call "getpgrp")
      assert.are.equal(5, cage:call("lseek", 0, 0, 0))
      child:exit(0)
    end)
  end)

  it("from a handler: it ends as it began, and writes to what is kept", function()
    on_sim([[local kept = { n = 1 }
      return lencase.grate { keep = { kept = kept }, getpgrp = function()
        local ok, message = lencase.reload()
        kept.n = kept.n + 1
        sys.getpid()
        return ok and 100 + kept.n or message
      end }]], function(cage, _, _, path)
      support.write_file(path, prologue .. [[local kept = { n = 0, more = 40 }
        return lencase.grate { keep = { kept = kept }, getpgrp = function() return kept.n + kept.more end }]])
      assert.are.equal(102, cage:call "getpgrp")
      assert.are.equal(42, cage:call "getpgrp")
    end)
  end)

  it("is cut short when the script does not end, and can be tried again", function()
    on_sim([[return lencase.grate { timeout = 0.05, getpgrp = function() return lencase.reload() and 1 or 2 end }]],
      function(cage, _, log, path)
        support.write_file(path, "while true do end")
        assert.are.equal(2, cage:call "getpgrp")
        assert.is_truthy(#log == 1 and log[1]:find "did not end within 50 ms", log[1])
        support.write_file(path, prologue .. answering("getpgrp", 3))
        assert.are.same({ 1, 3 }, { cage:call "getpgrp", cage:call "getpgrp" })
      end)
  end)

  it("gives the script its arguments, and its modules anew", function()
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/g.lua", prologue .. ([[package.path = "%s/?.lua;" .. package.path
        local n = require "reload_spec_module" assert(... == "one" and arg[1] == "one")
        return lencase.grate { getpgrp = function() return n end }]]):format(dir))
      support.write_file(dir .. "/reload_spec_module.lua", "return 1")
      local state <close> = core.state {}
      assert(state:load(path, { "one" }))
      local cage <close> = state:sim {}
      assert.are.equal(1, cage:call "getpgrp")
      support.write_file(dir .. "/reload_spec_module.lua", "return 2")
      assert(state:reload())
      assert.are.equal(2, cage:call "getpgrp")
    end)
  end)

  it("comes with SIGHUP under --reload, in a handler that waits, too", function()
    support.in_folder(function(dir)
      local new = support.write_file(dir .. "/new.lua", prologue .. answering("getppid", 2))
      support.write_file(dir .. "/g.lua", prologue .. ([[local dir, new = "%s", "%s"
        return lencase.grate {
          chdir = function() return os.execute("cp " .. new .. " " .. dir .. "/g.lua") and 0 end,
          read = { "pass buf", function(fd)
            if fd ~= 0 then return end
            io.open(dir .. "/reading", "w"):close()
            local n, e = sys.read()
            io.stderr:write("old ", n, "\n")
            return n, e
          end },
          getppid = function() return 1 end }]]):format(dir, new))
      local program = [[sh -c 'cd /; (until [ -e $D/reading ]; do :; done; kill -HUP $S;
        until [ "$(sh -c "echo \$PPID")" = 2 ]; do :; done; echo) | (read y; echo done)']]
      local line =
        ([[cd %s && sh -c 'S=$$; D=$PWD; export S D; exec lua5.4 %s/scripts/lencase run --reload g.lua -- "$@"' sh %s]])
        :format(dir, support.pwd, program)
      local out, err, status = support.sh(line)
      assert.are.equal("done\n", out)
      assert.are.equal(0, status)
      assert.are.equal("old 1\n", err)
    end)
  end)

  it("leaves SIGHUP to the program otherwise", function()
    support.in_folder(function(dir)
      support.write_file(dir .. "/g.lua", prologue .. answering("getppid", 1))
      local out = support.sh(([[cd %s && sh -c 'S=$$; export S; exec lua5.4 %s/scripts/lencase run g.lua -- "$@"' sh \
        sh -c 'trap "echo hup; exit" HUP; sh -c "kill -HUP \$S"; while :; do sleep 0.1; done']])
        :format(dir, support.pwd))
      assert.are.equal("hup\n", out)
    end)
  end)
end)
