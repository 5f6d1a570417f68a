-- debug_spec.lua - what happens in a run, a line an event: --debug and LENCASE_DEBUG

local support = require "spec.support"

local in_folder, sh = support.in_folder, support.sh

-- It replaces what is written by as many bytes, which takes a part of the window.
local GRATE = [[
local lencase = require "lencase"
return lencase.grate {
  write = { lencase.COPY_ALL_ARGS, function(fd, buf, count)
    return lencase.sys.write(fd, ("x"):rep(count))
  end },
}
]]

--- What is said of a run of `echo abc`, or more: a list of lines, with PID for the program's number, CHILD for another
--- process's and ADDRESS for those.
local function lines_of(options, before, more)
  local lines = {}
  in_folder(function(dir)
    local grate = support.write_file(dir .. "/grate.lua", GRATE)
    local out, err, status = sh(("%s %s run %s %s -- sh -c 'echo abc%s'"):format(before or "", support.lencase, options,
      grate, more or ""))
    assert.same({ "xxxx", 0 }, { out, status })
    local names = { PID = err:match "%u: (%d+)", CHILD = err:match "birth (%d+)" }
    for line in err:gmatch "[^\n]+" do
      for name, pid in pairs(names) do
        line = line:gsub(pid .. "/" .. pid, name .. "/" .. name)
        for _, word in ipairs { "WINDOW:", "cage", "exec", "birth", "of" } do
          line = line:gsub(word .. " " .. pid .. "%f[%D]", word .. " " .. name)
        end
      end
      line = line:gsub("0x%x+", "ADDRESS"):gsub("%d%d%d%d%d%d%d%d%d%d%d+", "ADDRESS")
      table.insert(lines, line)
    end
  end)
  return lines
end

local STOPS = {
  "lencase: STOPS: PID/PID: signal SIGSTOP: launch -> launch, PTRACE_CONT",
  "lencase: STOPS: PID/PID: exec PID: launch -> execed, PTRACE_SYSCALL",
  "lencase: STOPS: PID/PID: syscall entry getpgrp: waited for",
  "lencase: STOPS: PID/PID: syscall exit 3: waited for",
  "lencase: STOPS: PID/PID: syscall entry mmap: waited for",
  "lencase: STOPS: PID/PID: syscall exit ADDRESS: waited for",
  "lencase: STOPS: PID/PID: seccomp sched_getaffinity: waited for",
  "lencase: STOPS: PID/PID: syscall exit 0: execed -> run, PTRACE_CONT",
  "lencase: STOPS: PID/PID: seccomp write: run -> down, PTRACE_SYSCALL",
  "lencase: STOPS: PID/PID: syscall exit 4: down -> run, PTRACE_CONT",
  "lencase: STOPS: PID/PID: exited with 0: run -> gone, not resumed",
}

describe("events", function()
  it("are not told without being asked for", function() assert.same({}, lines_of "") end)

  it("of stops are each stop, the thread's state before and after, and how it goes on", function()
    assert.same(STOPS, lines_of "--debug stops")
  end)

  it("may be asked for in the environment", function() assert.same(STOPS, lines_of("", "LENCASE_DEBUG=stops")) end)

  it("of stops are births and ends, too", function()
    local there = {}
    for _, line in ipairs(lines_of("--debug stops", nil, "; (exit 7); exit 0")) do there[line] = true end
    for _, line in ipairs {
      "lencase: STOPS: CHILD/CHILD: a new process of PID",
      "lencase: STOPS: PID/PID: birth CHILD: run -> run, PTRACE_CONT",
      "lencase: STOPS: CHILD/CHILD: exited with 7: run -> gone, not resumed",
      "lencase: STOPS: PID/PID: signal SIGCHLD: run -> run, PTRACE_CONT with SIGCHLD",
      "lencase: STOPS: PID/PID: exited with 0: run -> gone, not resumed",
    } do assert.same({ line, true }, { line, there[line] }) end
  end)

  it("of windows are what is mapped, and each use of it", function()
    assert.same({
      "lencase: WINDOW: PID: 536870912 bytes are mapped at ADDRESS",
      "lencase: WINDOW: PID: 16 bytes at ADDRESS",
      "lencase: WINDOW: PID: 16 bytes at ADDRESS are free again",
    }, lines_of "--debug window")
  end)

  it("of windows say why there is none", function()
    assert.same({
      "lencase: WINDOW: PID: no window: files may not be that long here, ulimit -Hf: File too large",
      "lencase: cage PID has no window (files may not be that long here, ulimit -Hf: File too large): "
        .. "what replaces its arguments lies in memory of its own, which its threads could change",
      "lencase: WINDOW: PID: 67108864 bytes are lent at ADDRESS",
      "lencase: WINDOW: PID: 16 bytes at ADDRESS, lent",
      "lencase: WINDOW: PID: 16 bytes at ADDRESS are free again",
    }, lines_of("--debug window", "ulimit -f 1000;"))
  end)
end)
