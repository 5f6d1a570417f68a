-- One report for the processes of a program that runs inline: state that is handed over, and merge.

local gather = require "lencase.gather"
local lencase = require "lencase"
local merging = require "lencase.merging"
local support = require "spec.support"

-- {================================== bytes =================================

local everything = {
  [1] = 1, [2] = math.mininteger, [3] = math.maxinteger, [4] = 0.5, [5] = -0.0, [6] = math.huge,
  [-7] = "", [1.5] = "half", [true] = false, [false] = true, name = "a\0\n\xff", nested = { { {} }, { [""] = {} } },
  long = ("x"):rep(70000),
}

local function refusal(value)
  local ok, message = pcall(merging.encode, value)
  assert.is_false(ok)
  return message
end

describe("a state as bytes", function()
  it("is read as it was written", function()
    local read = merging.decode(merging.encode(everything))
    assert.are.same(everything, read)
    assert.are.equal("integer", math.type(read[2]))
    assert.are.equal("float", math.type(read[4]))
    assert.are.equal(-math.huge, 1 / read[5])
    local nan = merging.decode(merging.encode { n = 0 / 0 }).n
    assert.are_not.equal(nan, nan)
  end)

  it("has a table at each place that it stands in", function()
    local shared = { n = 1 }
    local read = merging.decode(merging.encode { a = shared, b = shared })
    assert.are.same({ a = { n = 1 }, b = { n = 1 } }, read)
    assert.are_not.equal(read.a, read.b)
  end)

  it("is refused with the place of what cannot be in it", function()
    assert.are.equal("state.a[2].f: a function cannot be handed over", refusal { a = { 1, { f = print } } })
    assert.are.equal('state["a b"]: a userdata cannot be handed over', refusal { ["a b"] = io.stdout })
    assert.are.equal("state.co: a thread cannot be handed over", refusal { co = coroutine.create(print) })
    assert.are.equal("state.t: a table as a key cannot be handed over", refusal { t = { [{}] = 1 } })
    assert.are.equal("state.t: a function as a key cannot be handed over", refusal { t = { [print] = 1 } })
    local cycle = { list = { {} } }
    cycle.list[1].back = cycle.list
    assert.are.equal("state.list[1].back: the table contains itself: a cycle cannot be handed over", refusal(cycle))
  end)

  it("is bounded", function()
    local deep = {}
    for _ = 1, merging.MAX_DEPTH do deep = { deep } end
    assert.is_truthy(refusal(deep):find("[1][1]: nested more than 100 tables deep", 1, true))
    assert.are.equal("state: more than 16 MiB", refusal { ("x"):rep(merging.MAX_BYTES) })
    local many = {}
    for i = 1, merging.MAX_VALUES // 2 + 1 do many[i] = true end
    assert.are.equal("state: more than 1048576 values", refusal(many))
  end)

  it("is refused when it is truncated anywhere, or too long", function()
    local bytes = merging.encode { a = { 1, 2.5, "three" }, [true] = {} }
    for n = 0, #bytes - 1 do
      local value, message = merging.decode(bytes:sub(1, n))
      assert.is_nil(value)
      assert.are.equal("string", type(message))
    end
    assert.are.same({ nil, "more bytes after the end, from " .. #bytes + 1 .. " on" }, { merging.decode(bytes .. "x") })
  end)

  it("is refused when it has invalid values", function()
    local function wrong(bytes) return select(2, merging.decode("LS1{" .. bytes)) end
    assert.are.equal("it is not a state", select(2, merging.decode "\27Lua"))
    assert.are.equal("it is not a state", select(2, merging.decode "LS2{}"))
    assert.are.equal("it is not a state", select(2, merging.decode "LS1t"))
    assert.is_truthy(wrong("{}t}"):find "invalid key before byte")
    assert.is_truthy(wrong(string.pack("<c1d", "d", 0 / 0) .. "t}"):find "invalid key before byte")
    assert.is_truthy(wrong("s\xff\xff\xff\x7fxx}"):find "truncated")
    assert.is_truthy(wrong("tq}"):find "no value begins at byte")
    assert.is_truthy(wrong(("t{"):rep(500)):find "too deep")
    assert.is_truthy(wrong(("t{}"):rep(merging.MAX_VALUES // 2 + 1)):find "too many values")
    assert.is_truthy(select(2, merging.decode(("x"):rep(merging.MAX_BYTES + 1))):find "more than 16 MiB")
  end)

  it("never raises an error, for any bytes", function()
    local seed = 1
    local function random(n)
      seed = (seed * 6364136223846793005 + 1442695040888963407)
      return (seed >> 33) % n
    end
    local good = merging.encode(everything):gsub(("x"):rep(70000), "x")
    for _ = 1, 3000 do
      local bytes, at = good, random(#good) + 1
      bytes = bytes:sub(1, at - 1) .. string.char(random(256)) .. bytes:sub(at + random(3))
      local ok, value, message = pcall(merging.decode, bytes)
      assert.is_true(ok, value)
      assert.is_true(type(value) == "table" or type(message) == "string")
    end
  end)
end)

-- }==========================================================================

-- {================================== states ================================

describe("a state", function()
  it("is made again as it was, in the same tables", function()
    local reads, root = { n = 0 }, { limit = 3 }
    root.reads = reads
    local beginning = merging.beginning(root)
    assert.is_true(merging.is_fresh(beginning))
    reads.n, reads.more, root.reads, root.limit = 5, {}, {}, nil
    assert.is_false(merging.is_fresh(beginning))
    merging.reset(beginning)
    assert.is_true(merging.is_fresh(beginning))
    assert.are.same({ limit = 3, reads = { n = 0 } }, root)
    assert.are.equal(reads, root.reads)
  end)

  it("takes in what merge returns, in the same tables", function()
    local reads = { n = 1 }
    local root = { reads = reads, old = 1 }
    local beginning = merging.beginning(root)
    merging.take(beginning, function(a, b) return { reads = { n = a.reads.n + b.reads.n } } end,
                 merging.encode { reads = { n = 41 } })
    assert.are.same({ reads = { n = 42 } }, root)
    assert.are.equal(reads, root.reads)
  end)

  it("requires merge to return a table", function()
    local beginning = merging.beginning {}
    assert.has_error(function() merging.take(beginning, function() end, merging.encode {}) end,
                     "merge must return a table, not a nil")
  end)

  it("is added up by lencase.sum", function()
    local a = { n = 1, f = 0.5, name = "a", by = { x = 1 }, flag = true }
    assert.are.equal(a,
                     lencase.sum(a, { n = 2, f = 0.25, name = "b", by = { x = 2, y = 3 }, flag = false, new = { 1 } }))
    assert.are.same({ n = 3, f = 0.75, name = "a", by = { x = 3, y = 3 }, flag = true, new = { 1 } }, a)
    assert.has_error(function() lencase.sum({ n = 1 }, { n = {} }) end,
                     "sum: 'n' is a number in one and a table in the other")
  end)
end)

local function wrong(definition)
  local ok, message = pcall(lencase.grate, definition)
  assert.is_false(ok)
  return message
end

describe("a definition", function()
  it("is refused when state or merge are not what they must be", function()
    local function keep(a) return a end
    assert.is_truthy(wrong { state = {} }:find "state needs merge = function")
    assert.is_truthy(wrong { merge = keep }:find "merge needs state = TABLE")
    assert.is_truthy(wrong { state = 1, merge = keep }:find "state must be a table, not a number")
    assert.is_truthy(wrong { state = {}, merge = {} }:find "merge must be a function, not a table")
    assert.is_truthy(wrong { state = lencase.per_cage(), merge = keep }:find "state must be a plain table")
    assert.is_truthy(wrong { state = { n = { f = print } }, merge = keep }:find
                       "merge_spec%.lua.*state%.n%.f: a function cannot be handed over")
  end)
end)

-- }==========================================================================

-- {================================= messages ===============================

local function gathered(messages)
  local given, told = {}, {}
  local g = gather.new(function(grate, pid, bytes) table.insert(given, { grate, pid, bytes }) end,
                       function(grate, bytes)
                         table.insert(given, { grate, bytes })
                         return grate == 0
                       end,
                       function(line) table.insert(told, line) end)
  for _, message in ipairs(messages) do g:take(message[1], message[2]) end
  return given, told, g:finish(), g
end

local function data(grate, last, bytes) return string.pack("<c1I4c1", "D", grate, last) .. bytes end

describe("messages of processes", function()
  it("are put together for each of them", function()
    local given, told, lost, g = gathered {
      { 1, "B" }, { 2, "B" }, { 1, data(0, "0", "he") }, { 2, data(1, "0", "wo") }, { 1, data(0, "1", "llo") },
      { 2, data(1, "1", "rld") }, { 1, data(1, "1", "!") }, { 1, "E0" }, { 2, "E0" },
    }
    assert.are.same({ { 0, 1, "hello" }, { 1, 2, "world" }, { 1, 1, "!" } }, given)
    assert.are.same({ {}, 0, 0 }, { told, lost, g.waiting })
  end)

  it("have outputs for each grate", function()
    local given, told = gathered { { 1, "O\0\0\0\0\1\0\0\0text" }, { 1, "O\1\0\0\0\1\0\0\0text" }, { 2, "O\0\0" } }
    assert.are.same({ { 0, "\1\0\0\0text" }, { 1, "\1\0\0\0text" } }, given)
    assert.are.same({ "process 1: it sent an invalid message", "process 2: it sent an invalid message" }, told)
  end)

  it("name calls for which a seccomp filter may end a process, once", function()
    local _, told = gathered { { 1, "F\27[2J" }, { 2, "Frt_sigreturn, futex" }, { 3, "Ffutex" } }
    assert.are.equal(2, #told)
    assert.are.equal("process 1: it sent an invalid message", told[1])
    assert.is_truthy(told[2]:find("^process 2 loads a seccomp filter[^\n]+%(rt_sigreturn, futex%)"))
  end)

  it("count processes that ended without a report", function()
    assert.are.equal(1, select(3, gathered { { 1, "B" } }))
    assert.are.equal(0, select(3, gathered { { 1, "B" }, { 1, "E0" } }))
    assert.are.equal(1, select(3, gathered { { 1, "B" }, { 1, "E1" } })) -- it could not
    assert.are.equal(1, select(3, gathered { { 1, "B" }, { 1, "B" }, { 1, "E0" } })) -- killed; the number came again
    assert.are.equal(0, select(3, gathered { { 1, "B" }, { 1, "E0" }, { 1, "B" }, { 1, "E0" } })) -- exec
    assert.are.equal(0, select(3, gathered { { 1, "E0" }, { 1, "E1" } }))
  end)

  it("are ignored when truncated, and none of the others", function()
    local given, told = gathered {
      { 1, "B" }, { 1, data(0, "0", "he") }, { 2, "B" }, { 2, data(0, "1", "fine") }, { 1, "B" },
      { 1, data(0, "1", "new") }, { 3, data(0, "0", "x") },
    }
    assert.are.same({ { 0, 2, "fine" }, { 0, 1, "new" } }, given)
    assert.are.same({ "process 1: the state that it handed over is ignored: it is truncated",
                      "process 3: the state that it handed over is ignored: it is truncated" }, told)
  end)

  it("are ignored when mixed, too long or invalid", function()
    local given, told, _, g = gathered {
      { 1, data(0, "0", "a") }, { 1, data(1, "0", "b") }, { 1, data(1, "1", "c") }, { 1, data(2, "1", "d") },
      { 2, "" }, { 2, "D" }, { 2, "?" }, { 2, "D\0\0\0\0" },
      { 3, data(0, "0", ("x"):rep(merging.MAX_BYTES)) }, { 3, data(0, "0", "y") }, { 3, data(0, "1", "z") },
    }
    assert.are.same({ { 2, 1, "d" } }, given)
    assert.are.same({ "process 1: the state that it handed over is ignored: it is mixed with that of another grate",
                      "process 2: it sent an invalid message", "process 2: it sent an invalid message",
                      "process 2: it sent an invalid message", "process 2: it sent an invalid message",
                      "process 3: the state that it handed over is ignored: it is too long" }, told)
    assert.are.equal(0, g.waiting)
  end)

  it("are limited over all processes", function()
    local messages, half = {}, ("x"):rep(merging.MAX_BYTES // 2)
    for pid = 1, 40 do messages[pid] = { pid, data(0, "0", half) } end
    local _, told, _, g = gathered(messages)
    assert.is_truthy(told[1]:find "process 33: .*too many processes hand over at the same time")
    assert.is_truthy(told[10]:find "this is the last message of this kind")
    assert.is_nil(told[11])
    assert.are.equal(0, g.waiting)
  end)
end)

-- }==========================================================================

if support.sanitized then return end -- the sanitizer's runtime is no part of the engine's namespace

-- {================================= programs ===============================

-- Sums up what is written, by descriptor, and says how often it reports.
local counter = [[
local lencase = require "lencase"
local sys, word = lencase.sys, ... or "sum"
local state = { bytes = 0, by = {} }
return lencase.grate {
  write = { "pass buf", function(fd, _, count)
    local n, errno = sys.write(fd, nil, count)
    if n > 0 then state.bytes, state.by[fd] = state.bytes + n, (state.by[fd] or 0) + n end
    return n, errno
  end },
  state = state,
  merge = lencase.sum,
  on_exit = function(how, n) io.stderr:write(word, " ", state.bytes, " ", state.by[1] or 0, " ", how, " ", n, "\n") end,
}
]]

local PYTHON = "/usr/bin/python3 -c "

local function run(options, script, program, words)
  local out, err, n, how
  support.in_folder(function(dir)
    local path = support.write_file(dir .. "/grate.lua", script)
    program = program:gsub("DIR", dir)
    out, err, n, how = support.sh(("%s run %s %s %s -- %s")
      :format(support.lencase, options, path, words or "", program))
  end)
  return { out = out, err = err, n = n, how = how }
end

local function inline(...) return run("--inline", ...) end

-- The same report, and all else, as of a traced run.
local function same(program, wanted)
  local traced, result = run("", counter, program), inline(counter, program)
  assert.are.same(traced, result)
  if wanted then assert.are.equal(wanted, result.err) end
end

local function python(text) return PYTHON .. support.quote(text) end

describe("one report over all processes", function()
  it("is that of a traced run: forks and programs that are executed", function()
    same("sh -c 'echo one; (echo four; exec /bin/echo sixsix); /bin/echo a | cat; for i in 1 2 3; do (echo $i) & done; "
         .. "wait; "
         .. "exec /bin/echo end' | sort", "sum 30 30 exit 0\n")
  end)

  it("is that of a traced run: threads, spawned programs, ends without a word", function()
    same(python [[
import os, threading
null = os.open("/dev/null", os.O_WRONLY)
def work():
    for i in range(500): os.write(null, b"abc")
ts = [threading.Thread(target = work) for i in range(4)]
for t in ts: t.start()
for t in ts: t.join()
for i in range(3):
    os.posix_spawn("/bin/echo", ["echo", "spawned"], os.environ)
    os.wait()
if os.fork() == 0:
    os.write(null, b"child")
    if os.fork() == 0: os.write(null, b"grandchild")
    os._exit(0)
os.wait()
stay = threading.Thread(target = lambda: os.read(os.pipe()[0], 1), daemon = True)
stay.start()
os.write(1, b"bye\n")
os._exit(7)]])
  end)

  it("is that of a traced run: a signal ends the process", function()
    for _, signal in ipairs { "TERM", "INT", "SEGV", "ABRT", "PIPE", "ALRM", "RTMIN" } do
      same(("sh -c 'echo %s; kill -%s $$; echo never'"):format(signal, signal))
    end
    same(python [[
import ctypes, os, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.write(1, b"abc")
ctypes.string_at(0)]])
  end)

  it("is that of a traced run: a signal ends the process when its handler was called, and restored", function()
    same(python [[
import ctypes, os, signal
libc = ctypes.CDLL(None)
handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda sig: os.write(1, b"handled "))
libc.sysv_signal(signal.SIGTERM, handler) # SA_RESETHAND
os.kill(os.getpid(), signal.SIGTERM)
assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"and "))
signal.raise_signal(signal.SIGUSR1)
signal.signal(signal.SIGUSR1, signal.SIG_DFL)
os.write(1, b"gone")
os.kill(os.getpid(), signal.SIGTERM)
os.write(1, b"never")]], "sum 16 16 signal 15\nTerminated\n")
  end)

  it("leaves a program what it knows of its signals", function()
    local program = python [[
import signal
print([signal.getsignal(s) == signal.SIG_DFL
       for s in (signal.SIGTERM, signal.SIGSEGV, signal.SIGUSR2, signal.SIGCHLD, 40)])
print(signal.signal(signal.SIGTERM, signal.SIG_IGN), signal.signal(signal.SIGTERM, signal.SIG_DFL),
      signal.signal(signal.SIGTERM, signal.SIG_DFL))]]
    local out = inline(counter, program).out
    assert.are.equal(support.sh(program), out)
    assert.is_truthy(out:find "%[True, True, True, True, True%]")
  end)

  it("is that of a traced run: a program that is interrupted in a pipeline", function()
    -- How much yes has written when it is ended is not the same twice.
    local script = [[
      local lencase = require "lencase"
      local state = {}
      return lencase.grate {
        write = { "pass buf", function() state[lencase.cage.comm] = true end },
        state = state, merge = lencase.sum,
        on_exit = function() io.stderr:write(state.yes and "yes " or "", state.head and "head\n" or "\n") end,
      }]]
    assert.are.same({ out = "y\n", err = "yes head\n", n = 0, how = "exit" }, inline(script, "sh -c 'yes | head -n 1'"))
  end)

  it("says how many were killed, and what the others did is in it", function()
    local r = inline(counter, "sh -c 'echo one; sh -c \"echo two; kill -KILL \\$\\$\"; echo three'")
    assert.are.equal("one\ntwo\nthree\n", r.out)
    assert.is_truthy(r.err:find "lencase: 1 process ended without a report [^\n]*\nsum %d+ 10 exit 0\n$", r.err)
    r = inline(counter, python [[
import os, signal
for i in range(3):
    if os.fork() == 0: os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
os.write(1, b"abc")]])
    assert.is_truthy(r.err:find("^lencase: 3 processes ended without a report [^\n]*\nsum 3 3 exit 0\n$"), r.err)
  end)

  it("counts nothing twice when a program cannot be executed", function()
    same(python [[
import os
os.write(1, b"abc")
for name in "/nonexistent", "/", "/etc/passwd":
    try: os.execv(name, [name])
    except OSError: os.write(1, b"d")
if os.fork() == 0:
    try: os.execv("/nonexistent", ["x"])
    except OSError: os.write(1, b"e")
    os.execv("/bin/echo", ["echo", "f"])
os.wait()]], "sum 9 9 exit 0\n")
  end)

  it("is there when a program closes everything, changes its session and its root", function()
    local program = python [[
import os, stat
try: os.chroot("/proc")
except PermissionError: pass
os.setsid()
try: os.setgid(65534); os.setuid(65534)
except PermissionError: pass
os.write(1, b"abc")
for fd in range(3, 2000):
    try: os.close(fd)
    except OSError: pass
null = os.dup(1)
for fd in 1000, 1001:
    try: os.dup2(null, fd)
    except OSError: pass
os.closerange(2, 1 << 20)
os.write(1, b"defg")]]
    assert.are.same({ out = "abcdefg", err = "sum 7 7 exit 0\n", n = 0, how = "exit" }, inline(counter, program))
  end)

  it("waits for processes that the program left", function()
    local r = inline(counter,
      "sh -c '(until [ -e DIR/go ]; do sleep 0.01; done; echo late) & (setsid sh -c \"touch DIR/go\" &)'")
    assert.are.same({ "late\n", "sum 5 5 exit 0\n" }, { r.out, r.err })
  end)

  it("has the status of the program and not of what it started", function()
    assert.are.equal(3, inline(counter, "sh -c '(sleep 0.1; exit 9) & exit 3'").n)
  end)

  it("has every grate of a stack, and one without merge reports for each process", function()
    local r
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/grate.lua", counter)
      local each = support.write_file(dir .. "/each.lua", [[
        return require "lencase".grate { write = function() end, on_exit = function() io.stderr:write "each\n" end }]])
      local _, err =
        support.sh(("%s run --inline %s a %s %s b -- sh -c '(echo x); echo y'"):format(support.lencase, path,
        each, path))
      r = err
    end)
    assert.are.equal("each\neach\n", r:match "^each\neach\n")
    assert.is_truthy(r:find "a 4 4 exit 0\n" and r:find "b 4 4 exit 0\n")
    assert.are.equal(2, select(2, r:gsub("exit 0\n", "")))
  end)

  it("has the work of on_start, on_cage and on_cage_exit in it", function()
    local script = [[
      local lencase = require "lencase"
      local state = { born = 0, gone = 0 }
      local per = lencase.per_cage(function() return { n = 0 } end)
      local name
      return lencase.grate {
        getppid = function() per.n = per.n + 1 end,
        on_start = function() name = "started" end,
        on_cage = function() state.born = state.born + 1 end,
        on_cage_exit = function(cage) state.gone = state.gone + per(cage).n end,
        state = state, merge = lencase.sum,
        on_exit = function() io.stderr:write(name, " ", state.born, " ", state.gone, "\n") end,
      }]]
    local program = python [[
import os
for i in range(3):
    if os.fork() == 0: os.getppid(); os._exit(0)
    os.wait()
os.getppid()]]
    local traced, result = run("", script, program), inline(script, program)
    assert.are.equal("started 4", result.err:match "started %d")
    assert.are.equal(traced.err:match "started %d", result.err:match "started %d")
    assert.are.equal("4\n", result.err:match "%S+\n$") -- a fork begins with a copy of what is per cage
  end)

  it("has long states, and reports one that is too long", function()
    local long = [[
      local lencase = require "lencase"
      local state, size = {}, math.tointeger(...)
      return lencase.grate {
        getppid = function() state[#state + 1] = ("x"):rep(size) end,
        state = state,
        merge = function(a, b) return table.move(b, 1, #b, #a + 1, a) end,
        on_exit = function() io.stderr:write(#state, " ", #table.concat(state), "\n") end,
      }]]
    local forks = python [[
import os
for i in range(8):
    if os.fork() == 0: os.getppid(); os._exit(0)
for i in range(8): os.wait()]]
    assert.are.equal("8 8000000\n", inline(long, forks, "1000000").err)
    local r = inline(long, forks, tostring(merging.MAX_BYTES))
    assert.is_truthy(r.err:find "grate%.lua:%d+: state: more than 16 MiB; this process has nothing to hand over")
    assert.is_truthy(r.err:find "lencase: 8 processes ended without a report [^\n]*\n0 0\n$")
  end)

  it("reports what cannot be handed over, with its place", function()
    local script = counter:gsub("return n, errno", "if count == 7 then state.by[2] = { print } end return n, errno")
    local r = inline(script, "sh -c '(echo longer); echo y'")
    assert.is_truthy(r.err:find("lencase: [^\n]*grate%.lua:%d+: state%.by%[2%]%[1%]: a function cannot be handed over; "
                                .. "this process"))
    assert.is_truthy(r.err:find "lencase: 1 process ended without a report [^\n]*\nsum 2 2 exit 0\n$", r.err)
  end)

  it("reports a merge that fails, and goes on with the others", function()
    local script = counter:gsub("merge = lencase.sum", [[
      merge = function(a, b)
        if b.bytes == 4 then error "four" end
        if b.bytes == 5 then return nil end
        return lencase.sum(a, b)
      end]])
    local r = inline(script, "sh -c '/bin/echo one; /bin/echo four; /bin/echo threes'")
    assert.is_truthy(r.err:find("lencase: [^\n]*grate%.lua:%d+: four\nlencase: the state that process %d+ handed over "
                                .. "is ignored\n"), r.err)
    assert.is_truthy(r.err:find "lencase: [^\n]*merge must return a table, not a nil\n", r.err)
    assert.are.equal("sum 7 7 exit 0\n", r.err:match "sum .*$")
  end)

  it("is not affected by what a program writes to the channel", function()
    local hostile = python [[
import os, socket, struct
for fd in os.listdir("/proc/self/fd"):
    try: s = socket.socket(fileno = os.dup(int(fd)))
    except OSError: continue
    s.send(b"nonsense")
    s.send(b"D")
    s.send(b"D" + struct.pack("<I", 77) + b"1" + b"LS1{}")
    s.send(b"D" + struct.pack("<I", 0) + b"1" + b"\x1bLuaT")
    s.send(b"D" + struct.pack("<I", 0) + b"1" + b"LS1{s\x05\x00\x00\x00bytess")
    s.send(b"D" + struct.pack("<I", 0) + b"1" + b"LS1{s\x05\x00\x00\x00bytest}")
    s.send(b"x" * 70000)
    socket.send_fds(s, [b"E0"], [0, 1, 2])
    s.send(b"B")
    s.send(b"D" + struct.pack("<I", 0) + b"0" + b"not all of it")
os.write(1, b"abc")]]
    local r = inline(counter, "sh -c 'echo before; \"$@\"; echo after' sh " .. hostile)
    assert.are.equal("before\nabcafter\n", r.out)
    assert.are.equal("sum 13 13 exit 0\n", r.err:match "sum %d+ .*$", r.err)
    for _, wanted in ipairs { "it sent an invalid message\n", "there is no grate number 77\n", "it is not a state\n",
                              "truncated at byte",
                              "sum: 'bytes' is a number in one and a boolean in the other\n" } do
      assert.is_truthy(r.err:find(wanted, 1, true), r.err)
    end
  end)

  it("refuses a script whose state cannot be handed over before anything runs", function()
    local r = inline(counter:gsub("by = {}", "by = {}, f = print"), "echo ran")
    assert.are.same({ "", 125 }, { r.out, r.n })
    assert.is_truthy(r.err:find "^lencase: [^\n]*grate%.lua:%d+: state%.f: a function cannot be handed over\n$")
  end)

  it("is that of examples/count_writes.lua, too", function()
    support.in_folder(function(dir)
      local program =
        (" count_writes.lua -- sh -c 'cd %s; for i in 1 2 3; do (echo $i >> a; exec /bin/echo x > b$i) & done; "
        .. "wait; tar cf t.tar a b1; rm b1; kill -TERM $$'"):format(dir)
      local _, traced, status = support.sh(support.lencase .. " run" .. program)
      os.execute("rm -rf " .. dir .. "/*")
      local _, counted, status2 = support.sh(support.lencase .. " run --inline" .. program)
      assert.are.same({ traced, status }, { counted, status2 })
      assert.is_truthy(counted:find("6 +3  " .. dir:gsub("%p", "%%%0") .. "/a\n"))
    end)
  end)
end)

describe("lencase run, waiting for a program inline,", function()
  it("is stopped and continued with it, and ends by the same signal", function()
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/grate.lua", counter)
      local out =
        support.sh(("/usr/bin/python3 spec/job_control.py %s run --inline %s -- cat"):format(support.lencase, path))
      assert.are.equal(support.sh "/usr/bin/python3 spec/job_control.py cat", out)
      assert.are.equal("stopped by 20\nended by 2\n", out)
    end)
  end)

  it("forwards the signals that it gets", function()
    local result
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/grate.lua", counter)
      local out, err = support.sh(([[
        %s run --inline %s -- sh -c 'trap "echo got; exit 4" USR1; touch DIR/up; while :; do sleep 0.01; done' &
        until [ -e DIR/up ]; do sleep 0.01; done
        kill -USR1 $!
        wait $!; echo $?]]):format(support.lencase, path):gsub("DIR", dir))
      result = { out, err }
    end)
    assert.are.same({ "got\n4\n", "sum 4 4 exit 4\n" }, result)
  end)

  it("forwards them to processes that the program left", function()
    local result
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/grate.lua", counter)
      local out, err = support.sh(([[
        %s run --inline %s -- sh -c 'setsid sh -c "until ! kill -0 $$ 2> DIR/no; do sleep 0.01; done; touch DIR/up
          exec cat DIR/pipe" &
          mkfifo DIR/pipe; exit 4' &
        until [ -e DIR/up ]; do sleep 0.01; done
        kill -TERM $!
        wait $!; echo $?]]):format(support.lencase, path):gsub("DIR", dir))
      result = { out, err:match "sum .*$" }
    end)
    assert.are.same({ "4\n", "sum 0 0 exit 4\n" }, { result[1], result[2] and result[2]:gsub("sum %d+", "sum 0") })
  end)

  -- Inline, inside of one another: `names` from the outside in.
  local function nested(names, program, build)
    local out, err, n
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/grate.lua", counter)
      local words = {}
      for i, name in ipairs(names) do
        words[i] = ("%s %s run --inline %s %s --"):format(i == #names and build or "env", support.lencase, path, name)
      end
      out, err, n = support.sh(table.concat(words, " ") .. " " .. program)
    end)
    return out, err, n
  end

  it("may run inline itself: its grates are above, and report to it", function()
    local program = "sh -c '(echo one); (exec /bin/echo four); exec /bin/echo x'"
    local out, err, n = nested({ "outer", "inner" }, program)
    assert.are.same({ "one\nfour\nx\n", 0 }, { out, n })
    assert.is_truthy(err:find "^inner 11 11 exit 0\nouter %d+ 11 exit 0\n$", err)
  end)

  it("says which report is missing, four deep", function()
    local _, err, n, how = nested({ "a", "b", "c", "d" }, "sh -c 'echo one; exec sh -c \"kill -KILL \\$\\$\"'")
    assert.are.same({ 137 }, { n }, how)
    assert.is_truthy(err:find "d 4 4 signal 9\n.*c %d+ %d+ signal 9\n.*b %d+ %d+ signal 9\n.*a %d+ %d+ signal 9\n", err)
    -- Each lencase ends by the same signal, and is a process of the one around it.
    local missing = {}
    for number in err:gmatch "lencase: (%d+) process%l* ended without a report" do table.insert(missing, number) end
    assert.are.same({ "1", "2", "3", "4" }, missing, err)
    _, err, n = nested({ "a", "b", "c", "d", "e" }, "echo ran")
    assert.are.equal(125, n)
    assert.is_truthy(err:find "lencase: lencase run %-%-inline is nested 4 deep already, which is the limit\n")
  end)

  it("refuses to run inline under another installation's", function()
    support.in_folder(function(dir)
      os.execute(("mkdir %s/x && cp %s/*.so %s/x && mkdir %s/x/lencase && cp %s/lencase/core.so %s/x/lencase"):format(
        dir, support.build, dir, dir, support.build, dir))
      local up = ("../"):rep(select(2, support.pwd:gsub("/", "")) + 1)
      local out, err, n = nested({ "outer", "inner" }, "echo ran", ("env LENCASE_BUILD=%s%s/x"):format(up, dir:sub(2)))
      assert.are.same({ "", 125 }, { out, n })
      assert.is_truthy(err:find "lencase: this lencase already runs inline, under another installation of lencase", err)
    end)
  end)

  it("does not reload", function()
    local r = inline(counter, "echo ran", "")
    assert.are.equal("ran\n", r.out)
    r = run("--inline --reload", counter, "echo ran")
    assert.are.same({ "", 125, "lencase: --reload cannot be used with --inline: signals belong to the program\n" },
                    { r.out, r.n, r.err })
  end)
end)

-- }==========================================================================
