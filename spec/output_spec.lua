-- output_spec.lua - what cannot be written is reported, has an exit status of its own and does not affect the program

local support = require "spec.support"

local in_folder, quote, sh = support.in_folder, support.quote, support.sh
local read_file, write_file = support.read_file, support.write_file

local FULL = "/dev/full: No space left on device"
local LOST = "lencase: " .. FULL .. ": what is written there from now on is lost\n"

local function lencase(words) return sh(support.lencase .. " " .. words) end

local modes = { traced = "" }
if not support.sanitized then modes.inline = "--inline" end

for mode, option in pairs(modes) do
  describe("an output that cannot be written, " .. mode .. ",", function()
    local function run(words, program, more)
      return lencase(("run %s %s -- sh -c %s %s"):format(option, words, quote(program), more or ""))
    end

    for _, grates in ipairs { "strace.lua -o /dev/full", "count_writes.lua -o /dev/full",
                              "count_writes.lua --json -o /dev/full",
                              "umask.lua 077 strace.lua -o /dev/full umask.lua 022" } do
      it("is reported once, at the end by the status: " .. grates, function()
        local out, err, status = run(grates, "echo a; /bin/echo b; (echo c); exit 7")
        assert.same({ "a\nb\nc\n", LOST, 125 }, { out, err, status })
      end)
    end

    it("may be standard error", function()
      for _, grates in ipairs { "strace.lua -e write", "count_writes.lua",
                                "fault.lua write:error=EIO:when=9 --report" } do
        local out, _, status = run(grates, "echo a; /bin/echo b; exit 7", "2>/dev/full")
        assert.same({ grates, "a\nb\n", 125 }, { grates, out, status })
      end
    end)

    it("counts as much when a signal ends the program", function()
      local out, err, status = run("strace.lua -o /dev/full", "echo a; kill -TERM $$")
      assert.same({ "a\n", LOST, 125 }, { out, err, status })
    end)

    it("may be a pipe without a reader", function()
      in_folder(function(dir)
        local program = ("sleep 0.2; echo a >%s/a; echo b >%s/b"):format(dir, dir)
        sh(("{ %s run %s strace.lua -- sh -c %s; echo $? >%s/status; } 2>&1 | head -n 1")
          :format(support.lencase, option,
          quote(program), dir))
        assert.same({ "a\n", "b\n", "125\n" },
                    { read_file(dir .. "/a"), read_file(dir .. "/b"), read_file(dir .. "/status") })
      end)
    end)

    it("is refused before the program runs, when it cannot be opened", function()
      for _, grate in ipairs { "strace.lua", "count_writes.lua" } do
        local out, err, status = run(grate .. " -o /none/file", "echo a")
        assert.same({ "", "lencase: /none/file: No such file or directory\n", 125 }, { out, err, status })
      end
    end)

    it("is one file, wherever the processes of the program have gone", function()
      in_folder(function(dir)
        write_file(dir .. "/out", "from before\n")
        local out, err, status = sh(("cd %s; %s/%s run %s strace.lua -e write -o out -- sh -c %s")
          :format(dir, support.pwd, support.lencase, option, quote "cd /; echo a; /bin/echo b; (/bin/echo c)"))
        assert.same({ "a\nb\nc\n", "", 0 }, { out, err, status })
        local text = read_file(dir .. "/out")
        for _, written in ipairs { "a", "b", "c" } do
          assert.truthy(text:find(('] write(1, "%s\\n", 2) = 2\n'):format(written), 1, true), text)
        end
        assert.falsy(text:find("from before", 1, true))
        assert.equal("", (sh "ls /out 2>/dev/null"))
      end)
    end)

    it("is opened by lencase run: the program may be of another user", function()
      if sh "id -u" ~= "0\n" then return pending "only root can become another user" end
      if support.private then return pending(support.private) end
      in_folder(function(dir)
        local out, err, status = run(("count_writes.lua -o %s/out"):format(dir),
                                     "exec setpriv --reuid 65534 --clear-groups sh -c 'echo a; /bin/echo b; id -u'")
        assert.same({ "a\nb\n65534\n", "", 0 }, { out, err, status })
        assert.truthy(read_file(dir .. "/out"):find "\n +%d+ +3  total\n")
      end)
    end)

    it("is not the program's: no descriptor is left to it", function()
      in_folder(function(dir)
        local script = write_file(dir .. "/g.lua", [[
          local lencase = require "lencase"
          local out = lencase.output(...)
          return lencase.grate { mkdir = function() end, on_exit = function() out:write("over\n") end }]])
        local fds = sh(("%s run %s %s %s/out -- ls /proc/self/fd"):format(support.lencase, option, script, dir))
        local plain = write_file(dir .. "/h.lua", [[return require "lencase".grate { mkdir = function() end }]])
        assert.equal(fds, (sh(("%s run %s %s -- ls /proc/self/fd"):format(support.lencase, option, plain))))
        assert.equal("over\n", read_file(dir .. "/out"))
      end)
    end)
  end)
end

describe("lencase.output", function()
  it("reports a limit on files, and the program sees nothing of it", function()
    if support.sanitized then return end
    in_folder(function(dir)
      local out, err, status =
        sh(("ulimit -f 1; %s run --inline strace.lua -o %s/trace -- ls /bin/true"):format(support.lencase, dir))
      assert.same({ "/bin/true\n",
                    ("lencase: %s/trace: File too large: what is written there from now on is lost\n"):format(dir),
                    125 }, { out, err, status })
    end)
  end)

  it("leaves a file alone that a script names, until a program starts", function()
    in_folder(function(dir)
      write_file(dir .. "/out", "from before\n")
      assert.equal(0, select(3, lencase(("check strace.lua -o %s/out"):format(dir))))
      assert.equal(0, select(3, lencase(("run --routes strace.lua -o %s/out"):format(dir))))
      assert.equal("from before\n", read_file(dir .. "/out"))
      assert.equal(0, select(3, lencase(("run strace.lua -e write -o %s/out -- true"):format(dir))))
      assert.falsy(read_file(dir .. "/out"):find("from before", 1, true))
    end)
  end)

  it("is opened while the script is loaded, so that every process of a program has the same", function()
    in_folder(function(dir)
      local script = write_file(dir .. "/g.lua", [[
local lencase = require "lencase"
return lencase.grate { mkdir = function() lencase.output("late"):write "x" end }]])
      local _, err = lencase(("run %s -- mkdir %s/a"):format(script, dir))
      assert.truthy(err:find("g.lua:2: late: outputs can be opened only while the script is loaded", 1, true), err)
    end)
  end)

  it("can be opened by a script that is loaded at the prompt", function()
    in_folder(function(dir)
      write_file(dir .. "/g.lua", ([[
local lencase = require "lencase"
local out = lencase.output "DIR/out"
return lencase.grate { getuid = function() out:write "asked\n" end }]]):gsub("DIR", dir))
      local lines = ('load "%s/g.lua"\nc = cage { bottom = { getuid = 5 } }\nc:getuid()\n'):format(dir)
      local out, err, status = sh(("printf %%s %s | %s repl"):format(quote(lines), support.lencase))
      assert.same({ "5\n", "", 0 }, { out, err, status })
      assert.equal("asked\n", read_file(dir .. "/out"))
    end)
  end)

  it("goes on in the same file when the script is reloaded", function()
    in_folder(function(dir)
      local script = write_file(dir .. "/g.lua", ([[
local lencase = require "lencase"
local out = lencase.output "DIR/out"
out:write "loaded\n"
return lencase.grate { mkdir = function() out:write "mkdir\n" lencase.reload() end,
                       on_exit = function() out:write "over\n" end }]])
        :gsub("DIR", dir))
      local _, err, status = lencase(("run %s -- mkdir %s/a"):format(script, dir))
      assert.same({ "", 0 }, { err, status })
      assert.equal("mkdir\nloaded\nover\n", read_file(dir .. "/out"))
    end)
  end)
end)

describe("a command's own output", function()
  for words, status in pairs { ["--help"] = 125, ["--version"] = 125, ["run --help"] = 125, ["plan write"] = 125,
                               ["run --routes umask.lua 077"] = 125, ["compile examples/umask.lua -- 077"] = 125,
                               ["compile --help"] = 125, ["try --help"] = 2, ["check --json umask.lua 077"] = 2,
                               ["repl -e 1"] = 125 } do
    it("is reported when it cannot be written: " .. words, function()
      local _, err, n = lencase(words .. " >/dev/full")
      assert.truthy(err:find "^lencase: standard output: No space left on device\n$"
                    or words:find "^repl" and err == "lencase: standard output: not all could be written\n", err)
      assert.equal(status, n)
    end)
  end

  it("is reported with the file's name, and the file stays if lencase did not create it", function()
    local _, err, status = lencase "compile -o /dev/full examples/umask.lua -- 077"
    assert.same({ "lencase: " .. FULL .. "\n", 125 }, { err, status })
    assert.equal(0, select(3, sh "test -c /dev/full"))
    _, err, status = sh("echo 'save \"/dev/full\"' | " .. support.lencase .. " repl")
    assert.truthy(err:find(FULL, 1, true), err)
    assert.equal(1, status)
    assert.equal(0, select(3, sh "test -c /dev/full"))
  end)

  it("may be a file that does not fit: it is removed", function()
    in_folder(function(dir)
      local line = "ulimit -f 1; " .. support.lencase
      local _, err, status = sh(("%s compile -o %s/c.c examples/umask.lua -- 077"):format(line, dir))
      assert.same({ ("lencase: %s/c.c: File too large\n"):format(dir), 125 }, { err, status })
      _, err, status = sh(("%s new %s/mine"):format(line, dir))
      assert.same({ ("lencase: %s/mine.lua: File too large\n"):format(dir), 125 }, { err, status })
      assert.equal("", (sh("ls " .. dir)))
    end)
  end)

  it("is reported when the prompt records to a full disk", function()
    local lines = 'record "/dev/full"\nc = cage { bottom = { getuid = 5 } }\nc:getuid()\n'
    local out, err, status = sh(("printf %%s %s | %s repl"):format(quote(lines), support.lencase))
    assert.same({ "5\n", "lencase: " .. FULL .. ": the recording ends here\n", 125 }, { out, err, status })
  end)
end)
