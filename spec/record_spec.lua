-- record_spec.lua - calls recorded, from programs and at the prompt, and tried again

local cjson = require "cjson"
local core = require "lencase.core"
local decision = require "lencase.tools.decision"
local lpeg = require "lpeg"
local recording = require "lencase.tools.recording"
local replay = require "lencase.tools.replay"
local support = require "spec.support"

local quote, sh, write_file, read_file = support.quote, support.sh, support.write_file, support.read_file

local HEAD = 'local lencase = require "lencase"\nlocal sys, fail = lencase.sys, lencase.fail\nlocal _ = sys, fail\n'

-- {================================= helpers ===============================

local function lencase(fmt, ...) return sh((support.lencase .. " " .. fmt):format(...)) end

-- Runs a program in `dir` under grates, recorded to dir/trace.jsonl; its output, errors and status.
local function record(dir, grates, program, options)
  return lencase("run --record %s/trace.jsonl %s %s -- %s", dir, options or "", grates, program)
end

local function shell(dir, text) return "sh -c " .. quote("cd " .. dir .. "; " .. text) end

-- What is shown when the recording in `dir` is tried: lines without the file's folder, messages, status.
local function try(dir, grates, options)
  local out, err, status = lencase("try %s %s %s/trace.jsonl", options or "", grates, dir)
  local function plain(text) return (text:gsub(dir:gsub("%p", "%%%0") .. "/", "")) end
  return plain(out), plain(err), status
end

local function same(dir, grates)
  local out, err, status = try(dir, grates)
  assert.equal("", out)
  assert.truthy(err:find(": 0 decided differently", 1, true), err)
  assert.equal(0, status)
  return err
end

local function grate(dir, name, text) return write_file(dir .. "/" .. name, HEAD .. text) end

local function lines_of(dir)
  local lines = {}
  for line in io.lines(dir .. "/trace.jsonl") do table.insert(lines, line) end
  return lines
end

local function calls_of(dir, name)
  local list = {}
  for _, item in ipairs(recording.read(dir .. "/trace.jsonl").items) do
    if item.n and (not name or item.call == name) then table.insert(list, item) end
  end
  return list
end

-- The first call whose argument `name` has these bytes.
local function call_with(dir, name, bytes)
  for _, call in ipairs(calls_of(dir)) do
    for _, arg in ipairs(call.args) do
      if arg.name == name and arg.bytes == bytes then return call end
    end
  end
end

local function in_folder(f) support.in_folder(f) end

-- }==========================================================================

describe("lencase run --record", function()
  it("leaves the program as it is, and its file to itself", function()
    in_folder(function(dir)
      local script = grate(dir, "g.lua", "return lencase.grate { open = function() end, wait4 = function() end }")
      local out, err, status = record(dir, script, shell(dir, "echo hello; ls /proc/self/fd | wc -l >fds; exit 7"))
      assert.equal("hello\n", out)
      assert.equal("", err)
      assert.equal(7, status)
      assert.equal("600\n", (sh("stat -c %a " .. dir .. "/trace.jsonl")))
      local recorded = read_file(dir .. "/fds")
      lencase("run %s -- %s", script, shell(dir, "ls /proc/self/fd | wc -l >fds"))
      assert.equal(read_file(dir .. "/fds"), recorded)
      assert.equal(15,
                   select(3, sh(("( %s run --record %s/trace.jsonl %s -- sh -c 'kill -TERM $$' ); exit $(($? - 128))")
        :format(support.lencase, dir, script))))
    end)
  end)

  it("keeps the call, the calls made for it, and its result", function()
    in_folder(function(dir)
      local script = grate(dir, "g.lua", [[return lencase.grate {
        mkdir = function(path, mode) return sys.mkdir(path .. "2", mode & ~63) end,
        rmdir = fail "EPERM",
        unlink = function() end,
      }]])
      record(dir, script, shell(dir, "mkdir a; rmdir a2 2>/dev/null; rm -f none"))
      local call = call_with(dir, "pathname", "a")
      assert.equal("mkdir", call.call)
      assert.equal(0, call.result)
      assert.same({ 1, "mkdir", 0 }, { #call.bottom, call.bottom[1].call, call.bottom[1].result })
      assert.equal("a2", call.bottom[1].args[1].bytes)
      assert.equal(511 & ~63, call.bottom[1].args[2].int)
      call = call_with(dir, "pathname", "a2")
      assert.same({ "rmdir", -core.errnos().EPERM, 0 }, { call.call, call.result, #call.bottom })
      call = call_with(dir, "pathname", "none")
      assert.same({ -core.errnos().ENOENT, 1 }, { call.result, #call.bottom })
      assert.truthy(recording.is_own(call, call.bottom[1]))
      assert.equal(dir, call.cwd or calls_of(dir)[1].cwd)
      assert.equal(call.pid, call.tid)
    end)
  end)

  it("begins with what it is, and ends with how much it is", function()
    in_folder(function(dir)
      local script = grate(dir, "g.lua", "return lencase.grate { link = function() end, mkdir = function() end }")
      record(dir, script .. " 'an argument'", shell(dir, "mkdir a b"))
      local lines = lines_of(dir)
      local header = cjson.decode(lines[1])
      assert.same({ "lencase-recording", 1, core.version, "x86_64" },
                  { header.format, header.version, header.lencase, header.arch })
      assert.same({ script = script, args = { "an argument" }, hash = recording.hash(script) }, header.scripts[1])
      assert.same({ "sh", "-c", "cd " .. dir .. "; mkdir a b" }, header.program)
      assert.truthy(lines[1]:find('"calls":["mkdir","link","mkdirat","linkat"]', 1, true), lines[1])
      assert.equal('{"end":true,"calls":2}', lines[#lines])
    end)
  end)

  it("keeps every byte", function()
    in_folder(function(dir)
      local bytes = {}
      for code = 0, 255 do bytes[code + 1] = string.char(code) end
      local all = table.concat(bytes)
      write_file(dir .. "/all", all)
      local script = grate(dir, "g.lua", "return lencase.grate { read = function() end, write = function() end }")
      record(dir, script, shell(dir, "cat all | cat >copy"))
      assert.equal(all, read_file(dir .. "/copy"))
      local written, found
      for _, write in ipairs(calls_of(dir, "write")) do
        written = written or write.args[1].path == dir .. "/copy" and write.args[2].bytes
      end
      for _, read in ipairs(calls_of(dir, "read")) do found = found or read.outs[1] and read.outs[1].bytes == all end
      assert.equal(all, written)
      assert.truthy(found)
      for _, line in ipairs(lines_of(dir)) do assert.truthy(utf8.len(line) and not line:find "[%c\x7f]") end
      assert.equal(all, cjson.decode(recording.json { bytes = all }).bytes:gsub("[\xc2\xc3][\x80-\xbf]", function(c)
        return string.char(utf8.codepoint(c))
      end))
      same(dir, script)
    end)
  end)

  it("follows forks, programs that are executed, and their ends", function()
    in_folder(function(dir)
      local script = grate(dir, "g.lua", "return lencase.grate { mkdir = function() end, clone = function() end }")
      record(dir, script, shell(dir, "mkdir a; (mkdir b; exit 3); cd a; mkdir ../c"))
      local rec = recording.read(dir .. "/trace.jsonl")
      local born, executed, ended, comms = {}, {}, {}, {}
      for _, item in ipairs(rec.items) do
        if item.born then table.insert(born, item) end
        if item.exec then executed[item.exec], comms[item.exec] = item, item.comm end
        if item.exit then ended[item.exit] = item.status end
      end
      assert.truthy(#born >= 4)
      assert.same({ 0, 1 }, { born[1].parent, born[2].parent })
      assert.same({ "sh", "mkdir" }, { comms[1], comms[2] })
      assert.same({ true, true, true }, { executed[2].fds[1] == 0, executed[2].fds[2] == 1, executed[2].fds[3] == 2 })
      local statuses = {}
      for _, status in pairs(ended) do statuses[status] = true end
      assert.truthy(statuses[3 << 8])
      assert.equal(dir .. "/a", call_with(dir, "pathname", "../c").cwd)
      assert.not_equal(call_with(dir, "pathname", "a").cage, call_with(dir, "pathname", "../c").cage)
      same(dir, script)
    end)
  end)

  it("is bounded, in bytes and in calls, and says so", function()
    in_folder(function(dir)
      local script = grate(dir, "g.lua", "return lencase.grate { write = function() end }")
      local program = shell(dir, "i=0; while [ $i -lt 40 ]; do echo $i; i=$(($i + 1)); done >/dev/null")
      local _, err, status = record(dir, script, program, "--record-bytes 4K")
      assert.equal(0, status)
      local text = read_file(dir .. "/trace.jsonl")
      assert.truthy(#text <= 4096 and #text > 2048)
      local calls = recording.read(dir .. "/trace.jsonl").count
      assert.truthy(calls > 3 and calls < 40)
      assert.truthy(text:find('\n{"end":true,"calls":' .. calls .. ',"full":"bytes"}\n$'))
      assert.truthy(err:find("trace.jsonl: the recording has reached its limit of 4096 bytes: it ends after "
                             .. calls .. " calls", 1, true), err)
      assert.truthy(same(dir, script):find("the recording reached its limit of bytes", 1, true))
      err = select(2, record(dir, script, program, "--record-calls 3"))
      assert.truthy(err:find("its limit of 3 calls: it ends after 3 calls", 1, true))
      assert.truthy(read_file(dir .. "/trace.jsonl"):find '\n{"end":true,"calls":3,"full":"lines"}\n$')
    end)
  end)

  it("keeps so many bytes of an argument, and says what is missing", function()
    in_folder(function(dir)
      local script = grate(dir, "g.lua", "return lencase.grate { write = function() end, execve = function() end }")
      record(dir, script, shell(dir, "echo 0123456789; /bin/true abcdef"), "--record-arg 4")
      local call = call_with(dir, "buf", "0123")
      assert.equal(11, call.args[2].size)
      local argv
      for _, c in ipairs(calls_of(dir, "execve")) do argv = c.args[2] end
      assert.same({ 9, 6 }, argv.sizes)
      assert.same({ "/bin", "" }, argv.strings)
      same(dir, script)
      local changed = grate(dir, "h.lua", 'return lencase.grate { write = fail "EIO" }')
      local out = try(dir, changed)
      assert.truthy(out:find('write(1, "0123"... (11 bytes), 11): recorded let through, now answered -1 EIO without a '
                             .. "call (the recording has only 4 of 11 bytes of buf)", 1, true), out)
    end)
  end)

  it("is refused inline, without a file to write to, and with nonsense for bounds", function()
    in_folder(function(dir)
      local script = grate(dir, "g.lua", "return lencase.grate { mkdir = function() end }")
      local _, err, status = record(dir, script, "true", "--inline")
      assert.equal("lencase: --record cannot be used with --inline: only a traced run is recorded\n", err)
      assert.equal(125, status)
      _, err, status = lencase("run --record %s/none/trace %s -- true", dir, script)
      assert.equal(("lencase: --record: %s/none/trace: No such file or directory\n"):format(dir), err)
      assert.equal(125, status)
      err = select(2, record(dir, script, "true", "--record-calls 0"))
      assert.truthy(err:find("--record-calls: expected a number above 0, not '0'", 1, true))
      err = select(2, record(dir, script, "true", "--record-bytes much"))
      assert.truthy(err:find("--record-bytes: expected a size like 4096, 64K or 256M", 1, true))
    end)
  end)

  it("says when the file cannot be written any more", function()
    in_folder(function(dir)
      local script = grate(dir, "g.lua", "return lencase.grate { mkdir = function() end }")
      local _, err, status = lencase("run --record /dev/full %s -- %s", script, shell(dir, "mkdir a"))
      assert.equal("lencase: /dev/full: No space left on device: the recording ends here\n", err)
      assert.equal(125, status)
      local program = shell(dir, "mkdir b; dd if=/dev/zero of=/dev/null bs=8k count=40 2>/dev/null; mkdir c")
      _, err, status = lencase("run --record /dev/full strace.lua -o /dev/null -- %s", program)
      assert.equal("lencase: /dev/full: No space left on device: the recording ends here\n", err)
      assert.equal(125, status)
      assert.equal("a\nb\nc\n", (sh("ls -1 " .. dir .. " | grep '^[abc]$'")))
    end)
  end)
end)

describe("lencase try", function()
  -- What the examples do when the program does this.
  local PROGRAM =
    "mkdir d; echo one >d/a.txt; echo two >d/b.log; cat d/a.txt >/dev/null; ln -s a.txt d/l; mv d/b.log d/c; "
    .. "(cd d; rm -f c); rm -rf d; echo over"

  for _, grates in ipairs { "readonly.lua", "write_filter.lua --allow '*.log'", "fault.lua write:error=ENOSPC:when=1+2",
                            "umask.lua 077", "strace.lua -o /dev/null", "count_writes.lua -o /dev/null",
                            "clamp.lua --prefix d '%{' readonly.lua '%}'",
                            "count_writes.lua -o /dev/null umask.lua 077 strace.lua -o /dev/null" } do
    it("finds no difference for the recorded grates: " .. grates, function()
      in_folder(function(dir)
        record(dir, grates, shell(dir, PROGRAM))
        assert.truthy(recording.read(dir .. "/trace.jsonl").count > 3)
        assert.truthy(same(dir, grates):find("by the same scripts that were recorded", 1, true))
      end)
    end)
  end

  it("shows what is decided differently, by the line of the recording", function()
    in_folder(function(dir)
      record(dir, "umask.lua 077", shell(dir, "umask 0; mkdir a; mkdir -m 700 b"))
      local out, err, status = try(dir, "umask.lua 027")
      local line = call_with(dir, "pathname", "a").line
      assert.equal(("trace.jsonl:%d: mkdir(\"a\", 0777): recorded made with mode = 0700, now made with mode = 0750 "
                    .. "(the answer is that of the recorded call)\n"):format(line), out)
      assert.truthy(err:find("1 decided differently, 1 with an answer that the recording does not have", 1, true))
      assert.equal(1, status)
      local list = cjson.decode((try(dir, "umask.lua 027", "--json")))
      assert.same({ { file = dir .. "/trace.jsonl", line = line, n = call_with(dir, "pathname", "a").n,
                      cage = call_with(dir, "pathname", "a").cage, call = 'mkdir("a", 0777)',
                      recorded = "made with mode = 0700", now = "made with mode = 0750",
                      note = "the answer is that of the recorded call" } },
                  cjson.decode((select(1, lencase("try --json umask.lua 027 %s/trace.jsonl", dir)))))
      assert.equal(1, #list)
      assert.equal("[]\n", (try(dir, "umask.lua 077", "--json")))
    end)
  end)

  -- What is shown of one call of mkdir, recorded under one handler and tried under another.
  local function judged(recorded, now)
    local said
    in_folder(function(dir)
      record(dir, grate(dir, "g.lua", "return lencase.grate { mkdir = " .. recorded .. " }"),
             shell(dir, "mkdir a 2>/dev/null"))
      local out, _, status = try(dir, grate(dir, "h.lua", "return lencase.grate { mkdir = " .. now .. " }"))
      assert.equal(out == "" and 0 or 1, status)
      said = out:gsub('^trace.jsonl:%d+: mkdir%("a", 0777%): ', ""):gsub("\n$", "")
    end)
    return said
  end

  it("knows every kind of decision", function()
    local through = "function() end"
    assert.equal("", judged(through, "function(path, mode) return sys.mkdir(path, mode) end"))
    assert.equal("recorded let through, now answered -1 EPERM without a call", judged(through, 'fail "EPERM"'))
    assert.equal("recorded answered -1 EPERM without a call, now let through (the recording does not know the answer: "
                 .. "ENOSYS)",
                 judged('fail "EPERM"', through))
    assert.equal("recorded answered -1 EPERM without a call, now answered 0 without a call",
                 judged('fail "EPERM"', "function() return 0 end"))
    assert.equal('recorded let through, now made with pathname = "b" (the answer is that of the recorded call)',
                 judged(through, 'function(_, mode) return sys.mkdir("b", mode) end'))
    assert.equal("recorded let through, now let through, answered -1 EIO for 0",
                 judged(through, 'function() sys.mkdir() return fail "EIO" end'))
    assert.equal('recorded let through, now made access("a", 0) = -1 ENOSYS, mkdir("a", 0777) = 0, answered 0 '
                 .. "(the recording does not know the answer: ENOSYS)",
                 judged(through, "function(path) sys.access(path, 0) return sys.mkdir() end"))
    assert.equal("recorded let through, now a handler failed (h.lua:4: no): answered -1 EIO without a call",
                 judged(through, 'function() error "no" end'))
    assert.equal("", judged('function() error "no" end', 'function() error "neither" end'))
    assert.equal("recorded let through, now a handler failed (h.lua:4: no): ended the cage",
                 judged(through, 'function() error "no" end, on_error = "kill"'))
    assert.equal("",
                 judged('function() error "no" end, on_error = "kill"', 'function() error "no" end, on_error = "kill"'))
  end)

  it("sees different bytes in what a call fills", function()
    in_folder(function(dir)
      write_file(dir .. "/f", "hello")
      local script = grate(dir, "g.lua", 'return lencase.grate { read = { "pass buf", function() end } }')
      record(dir, script, shell(dir, "cat f | cat"))
      local changed = grate(dir, "h.lua", [[return lencase.grate { read = function(fd, _, count)
        local n, errno, buf = sys.read(fd, nil, count)
        if n == 5 then return n, errno, "HELLO" end
        return n, errno
      end }]])
      local out, _, status = try(dir, changed)
      assert.truthy(out:find("trace.jsonl:%d+: read%(%d, %(%d+ bytes%), %d+%): recorded let through, now let through, "
                             .. "then changed buf %(different bytes in buf%)\n"), out)
      assert.equal(1, status)
      assert.equal("", (try(dir, grate(dir, "h.lua", [[return lencase.grate { read = function(fd, _, count)
        local n, errno, buf = sys.read(fd, nil, count)
        if n == 5 then return n, errno, tostring(buf) end
        return n, errno
      end }]]))))
    end)
  end)

  it("gives handlers their descriptors, folders, names and numbers back", function()
    in_folder(function(dir)
      local text = [[
local path_of = lencase.fdtable()
local log = {}
local function note(...) table.insert(log, table.concat({ ... }, " ")) end
return lencase.grate {
  open = function(path, flags, mode)
    local fd, errno = sys.open(path, flags, mode)
    if fd >= 0 then path_of[fd] = path end
    return fd, errno
  end,
  write = { "pass buf", function(fd)
    local cage = lencase.cage
    note("write", path_of[fd] or "?", cage:fd_path(fd) or "?", cage.cwd, cage.comm, cage.pid)
  end },
  on_exit = function() io.stderr:write(table.concat(log, "\n"), "\n") end,
}]]
      local script = grate(dir, "g.lua", text)
      local _, err = record(dir, script, shell(dir, "mkdir d; cd d; echo a >x; (echo b >>x; exec 5>y; echo c >&5)"))
      local _, again, status = try(dir, script)
      assert.truthy(err:find(("write x DIR/d/x DIR/d sh %d+\n"):gsub("DIR", (dir:gsub("%p", "%%%%%0")))), err)
      assert.truthy(err:find("write y ", 1, true), err)
      assert.equal((err:gsub(dir:gsub("%p", "%%%0") .. "/", "")), (again:gsub("lencase: [^\n]*\n", "")))
      assert.equal(0, status)
    end)
  end)

  it("has cages come, and close files when they execute, where they did", function()
    in_folder(function(dir)
      local script = grate(dir, "g.lua", [[
local path_of = lencase.fdtable()
local born = {}
local function forked(name)
  return function(...)
    local pid, errno = sys[name](...)
    if pid > 0 and not born[pid] then return fail "EAGAIN" end
    return pid, errno
  end
end
return lencase.grate {
  on_cage = function(cage) born[cage.pid] = true end,
  fork = forked "fork", vfork = forked "vfork", clone = forked "clone",
  open = function()
    local fd, errno = sys.open()
    if fd >= 0 then path_of[fd] = true end
    return fd, errno
  end,
  mkdir = function() if path_of[50] then return fail "EPERM" end end,
}]])
      local python =
        "import os\nos.fork() or os._exit(0)\nos.wait()\nos.dup2(os.open('f', os.O_CREAT), 50, inheritable=False)\n"
        .. "os.execvp('mkdir', ['mkdir', 'd'])"
      local _, err, status = record(dir, script, shell(dir, "/usr/bin/python3 -c " .. quote(python) .. "; ls"))
      assert.same({ "", 0 }, { err, status })
      assert.equal(0, call_with(dir, "pathname", "d").result)
      same(dir, script)
    end)
  end)

  it("knows what was filled in for a handler, and not for the program", function()
    in_folder(function(dir)
      write_file(dir .. "/f", "hello")
      local script = grate(dir, "g.lua", [[return lencase.grate { read = { "pass buf", function(fd, _, count)
        local n, errno = sys.read(fd, nil, count)
        if n == 5 then return fail "EIO" end
        return n, errno
      end } }]])
      record(dir, script, shell(dir, "cat f 2>/dev/null | cat"))
      local read
      for _, call in ipairs(calls_of(dir, "read")) do read = call.bottom[1].result == 5 and call or read end
      assert.same({ -core.errnos().EIO, {}, "hello" }, { read.result, read.outs, read.bottom[1].outs[1].bytes })
      same(dir, script)
    end)
  end)

  it("knows that a thread's end is the end of its handler", function()
    in_folder(function(dir)
      local script = grate(dir, "g.lua", [[return lencase.grate {
        exit = function(status) sys.exit(status) sys.getppid() return 0 end,
        exit_group = function(status) sys.exit_group(status) sys.getppid() return 0 end,
      }]])
      record(dir, script, "/usr/bin/python3 -c " .. quote(
        "import os, threading\nt = threading.Thread(target=int)\nt.start(); t.join()\n"
        .. "while len(os.listdir('/proc/self/task')) > 1: pass")) -- joined, it may not have come to its exit yet
      local exits = calls_of(dir, "exit")
      assert.same({ 1, nil, 1, nil }, { #exits, exits[1].result, #exits[1].bottom, exits[1].bottom[1].result })
      assert.not_equal(exits[1].pid, exits[1].tid)
      same(dir, script)
    end)
  end)

  it("says what the recording cannot have: calls that no grate handled", function()
    in_folder(function(dir)
      record(dir, grate(dir, "g.lua", "return lencase.grate { mkdir = function() end }"),
             shell(dir, "mkdir a; rmdir a"))
      local err = select(2, try(dir, grate(dir, "h.lua", "return lencase.grate { rmdir = function() end }")))
      assert.truthy(err:find("not in the recording, since no grate handled them when it was made: rmdir", 1, true))
    end)
  end)

  it("does not go on with a cage that was ended", function()
    in_folder(function(dir)
      record(dir, grate(dir, "g.lua", "return lencase.grate { mkdir = function() end }"), shell(dir, "mkdir a b"))
      local out, err, status = try(dir, grate(dir, "h.lua", [[return lencase.grate { on_error = "kill",
        mkdir = function() error "no" end }]]))
      assert.truthy(out:find('mkdir%("a", 0777%): recorded let through, now a handler failed %(h.lua:5: no%): ended '
                             .. 'the cage\n'
                             .. 'trace.jsonl:%d+: mkdir%("b", 0777%): recorded let through, now not tried: its cage '
                                .. 'has ended\n'),
                    out)
      assert.truthy(err:find("1 calls tried: 1 decided differently, 1 not tried", 1, true), err)
      assert.equal(1, status)
    end)
  end)

  it("keeps what scripts print out of its output", function()
    in_folder(function(dir)
      local script =
        grate(dir, "g.lua", "print 'loaded'\nreturn lencase.grate { mkdir = function() print 'asked' end }")
      record(dir, script, shell(dir, "mkdir a"))
      local out, err = try(dir, script, "--json")
      assert.equal("[]\n", out)
      assert.truthy(err:find "loaded\n.*asked\n")
    end)
  end)

  -- A recording's text, changed; what is said of it.
  local function refused(change)
    local said
    in_folder(function(dir)
      local script = grate(dir, "g.lua", "return lencase.grate { mkdir = function() end }")
      record(dir, script, shell(dir, "mkdir a b"))
      write_file(dir .. "/trace.jsonl", change(read_file(dir .. "/trace.jsonl")))
      local out, err, status = try(dir, script)
      assert.equal("", out)
      assert.equal(2, status)
      said = err
    end)
    return (said:gsub("\n$", ""))
  end

  it("refuses what is not a recording, with the line", function()
    assert.equal("lencase: trace.jsonl:1: this is not a recording of lencase's: it is empty", refused(function()
      return ""
    end))
    for _, text in ipairs { "hello\n", '{"a":1}\n', "\0\xff[" } do
      assert.equal("lencase: trace.jsonl:1: this is not a recording of lencase's", refused(function() return text end))
    end
    assert.equal("lencase: trace.jsonl:1: the recording has version 2, of a newer lencase (9.1); this one, "
                 .. core.version
                 .. ", reads version 1", refused(function(text)
      return (text:gsub('"version":1,"lencase":"[^"]*"', '"version":2,"lencase":"9.1"'))
    end))
    assert.equal("lencase: trace.jsonl:1: the recording was made on riscv64, and this is x86_64", refused(function(text)
      return (text:gsub('"x86_64"', '"riscv64"'))
    end))
  end)

  it("refuses what is truncated or damaged, with the line", function()
    local function cut(text) return (text:gsub("[^\n]*\n$", "")) end
    local function count(text) return select(2, text:gsub("\n", "")) end
    local lines
    assert.equal("the recording is truncated: its last line is missing", refused(function(text)
      lines = count(text)
      return cut(text)
    end):match ": (the recording.*)$")
    assert.equal(("lencase: trace.jsonl:%d: the line is incomplete: the recording is truncated"):format(lines),
                 refused(function(text) return text:sub(1, -4) end))
    assert.equal("lencase: trace.jsonl:3: not a line of a recording: it is truncated or damaged", refused(function(text)
      return (text:gsub("^([^\n]*\n[^\n]*\n)[^\n]*", "%1{\"n\":"))
    end))
    assert.equal("lencase: trace.jsonl:2: neither a call nor an event of a cage", refused(function(text)
      return (text:gsub("^([^\n]*\n)[^\n]*", '%1{"after":0}'))
    end))
    assert.equal("lencase: trace.jsonl:2: 'nr' is missing: expected a number from 0", refused(function(text)
      return (text:gsub("^([^\n]*\n)[^\n]*", '%1{"n":1,"cage":1,"call":"mkdir"}'))
    end))
    assert.truthy(refused(function(text) return (text:gsub('"kind":"string"', '"kind":"knot"')) end)
      :find "^lencase: trace.jsonl:%d+: 'args%[%d%]' is not an argument of a known kind$")
    assert.truthy(refused(function(text) return (text:gsub('"bytes":"a"', '"bytes":"\\u20ac"')) end)
      :find "^lencase: trace.jsonl:%d+: 'args%[%d%].bytes' is \"[^\"]*\": expected a string$")
    assert.truthy(refused(function(text) return (text:gsub('"calls":2}', '"calls":3}')) end)
      :find "^lencase: trace.jsonl:%d+: 'calls' %(3%) is not their number$")
    assert.truthy(refused(function(text) return text .. "{}\n" end):find ": something follows the last line$")
    assert.truthy(refused(function(text) return (text:gsub('"n":2,', '"n":1,')) end):find ": 'n' %(1%) appears twice$")
  end)

  it("refuses an invalid field, with the line and the field", function()
    local function with(pattern, by)
      return refused(function(text) return (text:gsub(pattern, by, 1)) end)
    end
    assert.equal("lencase: trace.jsonl:2: 'born' is 0: expected a number from 1", with('"born":1', '"born":0'))
    assert.equal("lencase: trace.jsonl:1: 'arg_bytes' is -1: expected a number from 0",
                 with('"arg_bytes":%d+', '"arg_bytes":-1'))
    assert.equal("lencase: trace.jsonl:2: 'parent' (7) is not an earlier cage", with('"parent":0', '"parent":7'))
    assert.truthy(with('("n":1,"cage"):%d+',
                       "%1:9"):find "^lencase: trace.jsonl:%d+: 'cage' %(9%) is not a cage that exists$")
    assert.truthy(with('"call":"mkdir"', '"call":"rmdir"')
      :find "^lencase: trace.jsonl:%d+: 'call' is not the name of its 'nr'$")
    assert.truthy(with('"status":0', '"status":0,"state":0')
      :find "^lencase: trace.jsonl:%d+: 'state' is not a field here$")
  end)

  -- {=============================== damages ================================

  local WHOLE = read_file "spec/recording.jsonl" -- every kind of line, object and argument

  local REPLACED =
    { "0", "-1", "4611686018427387904", "1e300", "0.5", '"0x7fffffffffffffff"', '"0xffffffffffffffff"', '""', '"x"',
                     "true", "false", "null", "[]", "[0]", '[""]', "{}", '{"x":0}' }

  -- A line's values: where each begins and ends, and which it is: "args[].size".
  local values_of
  do
    local P, R, S, Cg, Cp, Ct, V = lpeg.P, lpeg.R, lpeg.S, lpeg.Cg, lpeg.Cp, lpeg.Ct, lpeg.V
    local text = P '"' * (P "\\" * 1 + (1 - S '"\\')) ^ 0 * '"'
    local function several(open, item, close) return P(open) * Ct((item * (P "," * item) ^ 0) ^ -1) * close end
    local member =
      Ct(Cg(Cp(), "first") * '"' * Cg((1 - P '"') ^ 1, "key") * '":' * Cg(V "value", "value") * Cg(Cp(), "last"))
    local item = Ct(Cg(Cp(), "first") * Cg(V "value", "value") * Cg(Cp(), "last"))
    values_of = P { "value", value = Ct(Cg(Cp(), "first")
      * (Cg(several("{", member, "}"), "members") + Cg(several("[", item, "]"),
                                                       "members") + text + (R("az", "09") + S "-.") ^ 1)
      * Cg(Cp(), "last")) }
  end

  -- f(place, first, last, by): the text from first to before last is replaced.
  local function each_change(value, place, f)
    for _, by in ipairs(REPLACED) do f(place .. " = " .. by, value.first, value.last, by) end
    for i, part in ipairs(value.members or {}) do
      local name = place .. (part.key and "." .. part.key or "[]")
      local following = value.members[i + 1]
      each_change(part.value, name, f)
      f(name .. " twice", part.last, part.last, function(line) return "," .. line:sub(part.first, part.last - 1) end)
      if following then
        f(name .. " missing", part.first, following.first, "")
        f(name .. " swapped", part.first, following.last, function(line)
          return line:sub(following.first, following.last - 1) .. "," .. line:sub(part.first, part.last - 1)
        end)
      elseif i > 1 then
        f(name .. " missing", value.members[i - 1].last, part.last, "")
      end
      if part.key then f(name .. " renamed", part.first, part.value.first, '"x":') end
    end
  end

  -- Damages of a whole line.
  local LINES = {
    removed = function(lines, i) table.remove(lines, i) end,
    doubled = function(lines, i) table.insert(lines, i, lines[i]) end,
    swapped = function(lines, i) lines[i], lines[i + 1] = lines[i + 1] or "", lines[i] end,
    truncated = function(lines, i) lines[i] = lines[i]:sub(1, #lines[i] // 2) end,
    emptied = function(lines, i) lines[i] = "" end,
    ["no text"] = function(lines, i) lines[i] = "\0\xff" end,
    ["deep"] = function(lines, i) lines[i] = ("["):rep(2000) end,
  }

  local function kind_of(line) return line:match '^{"after":%d+,"(%l+)"' or line:match '^{"(%l+)"' end

  -- The damages of a recording: f(what, lines, number of the line in which it is). Each kind of place once, whichever
  -- line it is in; with LENCASE_STRESS each place.
  local function each_damage(lines, f)
    local seen = {}
    local function is_new(what)
      local old = seen[what]
      seen[what] = true
      return not old or os.getenv "LENCASE_STRESS"
    end
    for i, line in ipairs(lines) do
      each_change(values_of:match(line), kind_of(line), function(what, first, last, by)
        if not is_new(what) then return end
        local bad = table.move(lines, 1, #lines, 1, {})
        bad[i] = line:sub(1, first - 1) .. (type(by) == "string" and by or by(line)) .. line:sub(last)
        if bad[i] ~= line then f(("line %d: %s"):format(i, what), bad, i) end
      end)
    end
    for what, change in pairs(LINES) do
      for i, line in ipairs(lines) do
        if is_new(kind_of(line) .. what) then
          local bad = table.move(lines, 1, #lines, 1, {})
          change(bad, i)
          f(("line %d %s"):format(i, what), bad, i)
        end
      end
    end
  end

  local ALL = [[return lencase.grate { open = function() end, write = function() return sys.write(nil, "x", 1) end,
    read = function() end, writev = function() end, readv = function() end, execve = function() end,
    fork = function() end,
    stat = function() end, fstat = function() end, brk = function() end, exit_group = function() end }]]

  -- Each damaged recording is refused with its file and a line, or tried as lencase try does, call by call too.
  local function try_damaged(dir, lines)
    local path, count = dir .. "/bad.jsonl", { refused = 0, tried = 0 }
    local script, log = grate(dir, "all.lua", ALL), {}
    local state <close> = core.state { log = function(line) table.insert(log, line) end }
    assert(state:load(script, {}))
    local options = { sim = function(o) return state:sim(o) end, record = function(...) state:record(...) end,
                      each = function(call, now)
                        decision.call(call)
                        decision.text(call)
                        if now then decision.text(now) replay.note(call, now) end
                      end }
    each_damage(lines, function(what, bad, at)
      write_file(path, table.concat(bad, "\n") .. "\n")
      local ok, rec = pcall(recording.read, path)
      if not ok then
        count.refused = count.refused + 1
        assert(rec:sub(1, #path + 1) == path .. ":" and rec:find("^%d+: .", #path + 2), what .. ": " .. rec)
        return
      end
      count.tried = count.tried + 1
      local counts = replay.run(rec, options)
      assert.equal(rec.count, counts.tried + counts.untried, what)
      for _, call in pairs(rec.calls) do
        if call.line == at then replay.one(rec, call, options) end
      end
      local told = table.concat(log, "\n")
      log = {}
      assert.falsy(told:find "the bottom of a sim failed" or told:find "internal", what .. ": " .. told)
    end)
    return count
  end

  it("refuses a damaged recording, or tries what is left of it: every value of every field", function()
    in_folder(function(dir)
      local lines = {}
      for line in WHOLE:gmatch "[^\n]+" do table.insert(lines, line) end
      write_file(dir .. "/trace.jsonl", WHOLE)
      assert.equal(12, recording.read(dir .. "/trace.jsonl").count)
      local count = try_damaged(dir, lines)
      assert.truthy(count.refused > 1000 and count.tried > 200, cjson.encode(count))
    end)
  end)

  it("refuses a damaged recording of a program, or tries what is left of it", function()
    in_folder(function(dir)
      record(dir, grate(dir, "g.lua", ALL), shell(dir, "echo hello >a; cat a"), "--record-arg 64 --record-calls 20")
      local count = try_damaged(dir, lines_of(dir))
      assert.truthy(count.refused > 500 and count.tried > 100, cjson.encode(count))
    end)
  end)

  -- }==========================================================================

  it("ends with 2 for what it cannot try", function()
    in_folder(function(dir)
      local script = grate(dir, "g.lua", "return lencase.grate { mkdir = function() end }")
      record(dir, script, shell(dir, "mkdir a"))
      local function failing(words, pattern)
        local out, err, status = lencase("try %s", words:gsub("DIR", dir))
        assert.same({ "", 2 }, { out, status })
        assert.truthy(err:find(pattern), err)
      end
      failing("", "expected a script and a recording")
      failing("DIR/trace.jsonl", "expected a script and a recording")
      failing("DIR/g.lua DIR/none.jsonl", "none.jsonl: No such file or directory")
      failing("DIR/none.lua DIR/trace.jsonl", "none.lua")
      failing("DIR/g.lua '%{' DIR/g.lua DIR/trace.jsonl", "%%{ without %%}")
      failing("--frob DIR/g.lua DIR/trace.jsonl", "unknown option '%-%-frob'")
      failing("DIR/g.lua -- DIR/trace.jsonl more", "expected a script and a recording")
      grate(dir, "bad.lua", "return lencase.grate { mkdri = function() end }")
      failing("DIR/bad.lua DIR/trace.jsonl", "did you mean 'mkdir'")
      grate(dir, "bad.lua", "return lencase.grate { on_start = function() error 'not today' end }")
      failing("DIR/bad.lua DIR/trace.jsonl", "not today")
      assert.equal(0, select(3, lencase("try %s/g.lua -- %s/trace.jsonl", dir, dir)))
    end)
  end)
end)

describe("state:record", function()
  -- What is reported of calls that `f` makes in a simulated cage under the script.
  local function told(text, f)
    local list = {}
    in_folder(function(dir)
      local state = core.state { log = function() end }
      assert(state:load(grate(dir, "g.lua", text), {}))
      local _, listener = recording.composer(function(item) table.insert(list, item) end)
      state:record(listener, 1 << 16)
      local cage = state:sim { guard = true }
      f(cage, state)
      state:record(false)
      state:close()
    end)
    return list
  end

  local function calls(list)
    local found = {}
    for _, item in ipairs(list) do
      if item.n then table.insert(found, item) end
    end
    return found
  end

  it("reports arguments of every kind", function()
    local list = calls(told("return lencase.grate { writev = function() end }", function(cage)
      local a, b = cage:put "ab", cage:put "cde"
      local iov = cage:alloc(32)
      cage:write(iov, string.pack("<i8i8i8i8", a, 2, b, 3))
      local out, fds, len, addr = cage:alloc(16), cage:alloc(8), cage:alloc(4), cage:alloc(16)
      cage:call("pipe", fds)
      local r, w = string.unpack("<i4i4", cage:read(fds, 8))
      cage:call("writev", w, iov, 2)
      cage:write(iov, string.pack("<i8i8i8i8", out, 2, out + 8, 8))
      cage:call("readv", r, iov, 2)
      cage:call("writev", w, 0xbad, 2)
      cage:call("open", 0, 0)
      cage:call("open", 0xbad, 0)
      local socket = cage:call("socket", 1, 1, 0)
      cage:write(len, string.pack("<I4", 16))
      cage:call("getsockname", socket, addr, len)
      for _, fd in ipairs { r, w, socket } do cage:call("close", fd) end
    end))
    local pipe, writev, readv, bad, null, fault, _, name = table.unpack(list)
    assert.same({ "pipe", 8 }, { pipe.call, pipe.outs[1].size })
    assert.same({ { 2, 3 }, "abcde", 5 }, { writev.args[2].runs, writev.args[2].bytes, writev.args[2].size })
    assert.equal(5, writev.result)
    assert.same({ { 2, 8 }, 10 }, { readv.args[2].runs, readv.args[2].size })
    assert.is_nil(readv.args[2].bytes)
    assert.same({ { arg = 2, size = 5, bytes = "abcde" } }, readv.outs)
    assert.truthy(bad.args[2].fault and bad.result == -core.errnos().EFAULT and #bad.bottom == 1)
    assert.truthy(null.args[1].null and fault.args[1].fault)
    assert.equal("getsockname", name.call)
    assert.same({ 16, "\16\0\0\0" }, { name.args[2].size, name.args[3].bytes })
    assert.same({ { arg = 2, size = 2, bytes = "\1\0" }, { arg = 3, size = 4, bytes = "\2\0\0\0" } }, name.outs)
  end)

  it("reports a fork in the middle, and the cage that it was for", function()
    local list = told("return lencase.grate { fork = function() return sys.fork() end }", function(cage)
      local child = cage:child(cage:call "fork")
      child:call("getpid")
      child:exit(9)
    end)
    assert.same({ 0, 1 }, { list[1].after, list[1].born })
    assert.same({ 1, 2, 1 }, { list[2].after, list[2].born, list[2].parent })
    assert.same({ "fork", 1, "getpid", 2 }, { list[3].call, list[3].cage, list[4].call, list[4].cage })
    assert.same({ 2, 2, 9 }, { list[5].after, list[5].exit, list[5].status })
  end)

  it("can be stopped and started anew, in the middle of a call", function()
    local first, second = {}, {}
    in_folder(function(dir)
      local state = core.state { log = function() end }
      assert(state:load(grate(dir, "g.lua", "return lencase.grate { getpid = function() return sys.getppid() end }"),
                        {}))
      local cage = state:sim {}
      state:record(function(event)
        table.insert(first, event)
        if event == "down" then state:record(function(e) table.insert(second, e) end) end
      end)
      cage:call "getpid"
      assert.same({ "asked", "down" }, first)
      assert.same({}, second)
      cage:call "getpid"
      assert.same({ "asked", "down", "answered", "over" }, second)
      state:record(false)
      cage:call "getpid"
      assert.equal(4, #second)
      state:close()
    end)
  end)

  it("survives a listener that fails", function()
    assert.has_no.errors(function()
      in_folder(function(dir)
        local state = core.state { log = function() end }
        assert(state:load(grate(dir, "g.lua", "return lencase.grate { getpid = function() return 5 end }"), {}))
        state:record(function() error "no" end)
        local cage = state:sim {}
        assert.equal(5, cage:call "getpid")
        state:close()
      end)
    end)
  end)
end)

describe("the prompt", function()
  local function typed(lines, options)
    return sh(("printf %%s %s | %s repl %s"):format(quote(lines), support.lencase, options or ""))
  end

  it("records what is typed, for lencase try as well", function()
    in_folder(function(dir)
      local out, err, status = typed((([[
record "DIR/trace.jsonl"
on("write", "copy buf", function(fd, buf) if tostring(buf):find "x" then return fail "EPERM" end end)
c = cage { bottom = { write = function(fd, buf, count) return count end, open = 7 } }
c:open("/a", 0)
c:write(7, "fine")
c:write(7, "x\0")
record(false)
c:write(7, "later")
]]):gsub("DIR", dir)))
      assert.same({ "", 0 }, { err, status })
      assert.equal('7\n4\n-1  "EPERM"\n5\n', out)
      local list = calls_of(dir)
      assert.same({ 3, "open", "x\0" }, { #list, list[1].call, list[3].args[2].bytes })
      same(dir, grate(dir, "g.lua", [[return lencase.grate { write = function(_, buf)
        if tostring(buf):find "x" then return fail "EPERM" end
      end }]]))
    end)
  end)

  it("records cages that were there before, and what they are", function()
    in_folder(function(dir)
      local _, err = typed((([[
c = cage { bottom = { getuid = 5 } }
d = cage { bottom = { getuid = 6 } }
c:getuid()
record "DIR/trace.jsonl"
c:getuid()
d:exit()
]]):gsub("DIR", dir)))
      assert.equal("", err)
      local born = {}
      for _, item in ipairs(recording.read(dir .. "/trace.jsonl").items) do
        if item.born then table.insert(born, { item.born, item.pid, item.parent, item.after }) end
      end
      assert.same({ { 1, 1, 0, 0 }, { 2, 2, 0, 1 } }, born)
      same(dir, grate(dir, "g.lua", "return lencase.grate { getuid = function() end }"))
    end)
  end)

  it("refuses invalid limits", function()
    in_folder(function(dir)
      local function bounded(options)
        return select(2, typed(('record("%s/trace.jsonl", %s)\n'):format(dir, options)))
      end
      assert.truthy(bounded("{ arg = -1 }"):find("arg must be a number from 0 up, not -1", 1, true))
      assert.truthy(bounded("{ bytes = 'x' }"):find('bytes must be a number from 1 up, not "x"', 1, true))
      assert.truthy(bounded("{ lines = 3 }"):find('record("FILE", { arg =, bytes =, calls = }), not "lines"', 1, true))
    end)
  end)

  it("tries the calls of a recording with the handlers that there are", function()
    in_folder(function(dir)
      record(dir, grate(dir, "g.lua", "return lencase.grate { mkdir = function() end, openat = function() end }"),
             shell(dir, "mkdir a b"))
      local call = call_with(dir, "pathname", "b")
      local out, err, status = typed((([[
load "DIR/trace.jsonl"
calls[N]
on("mkdir", "copy pathname", function(path) if path == "b" then return fail "EROFS" end end)
try(N)
off "mkdir"
try(N)
on("mkdir", "copy pathname", function(path) return sys.mkdir(path .. "2", 0) end)
try(N)
on("mkdir", function() error "oh" end)
try(N)
try(10000)
]]):gsub("%f[%w]DIR%f[%W]", dir):gsub("%f[%w]N%f[%W]", tostring(call.n))))
      assert.equal(1, status)
      assert.truthy(err:find("call 10000 was not kept", 1, true))
      assert.truthy(out:find(("^%d\nmkdir%%(\"b\", 0777%%) = 0: let through\n")
        :format(recording.read(dir .. "/trace.jsonl").count)),
                    out)
      assert.truthy(out:find('  then     let through\n  now      answered -1 EROFS without a call\n-1  "EROFS"\n', 1,
                             true), out)
      assert.truthy(out:find("  recorded mkdir = 0\n  then     let through\n  now      let through\n0\n", 1, true), out)
      assert.truthy(out:find('  assumed  mkdir = 0\n  then     let through\n  now      made with pathname = "b2", mode '
                             .. '= 0 '
                             .. "(the answer is that of the recorded call)\n0\n", 1, true), out)
      assert.truthy(out:find(": oh): answered -1 EIO without a call\n", 1, true), out)
    end)
  end)

  it("goes on recording after a try, and keeps what is tried out of it", function()
    in_folder(function(dir)
      record(dir, grate(dir, "g.lua", "return lencase.grate { mkdir = function() end }"), shell(dir, "mkdir a"))
      local _, err = typed((([[
record "DIR/other.jsonl"
c = cage { bottom = { getuid = 5, getgid = 6 } }
c:getuid()
try(1)
load "DIR/trace.jsonl"
try(1)
c:getgid()
]]):gsub("DIR", dir)))
      assert.equal("", err)
      local names = {}
      for _, call in ipairs(recording.read(dir .. "/other.jsonl").calls) do table.insert(names, call.call) end
      assert.same({ "getuid", "getgid" }, names)
    end)
  end)

  it("refuses a damaged recording with its line", function()
    in_folder(function(dir)
      write_file(dir .. "/bad.jsonl", "{}\n")
      local _, err, status = typed(('load "%s/bad.jsonl"\n'):format(dir))
      assert.truthy(err:find("bad.jsonl:1: this is not a recording of lencase's", 1, true))
      assert.equal(1, status)
    end)
  end)
end)
