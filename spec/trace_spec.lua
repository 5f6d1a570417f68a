-- What only a real program under the trace host can show.

local support = require "spec.support"

local function under(script, program, before)
  local out, err, status
  support.in_folder(function(dir)
    local path =
      support.write_file(dir .. "/g.lua", 'local lencase = require "lencase"\nlocal sys = lencase.sys\n' .. script)
    out, err, status = support.sh(("cd %s && %s %s/scripts/lencase run %s -- %s")
      :format(dir, before or "", support.pwd, path, program))
  end)
  return out, err, status
end

describe("a traced program", function()
  it("reads the clock by calls when a grate handles them, not in the vDSO", function()
    local out, err = under([[return lencase.grate { clock_gettime = function(clockid)
      if clockid == 0 then return 0, nil, { tv_sec = 1000000000, tv_nsec = 0 } end
    end }]], "date -u +%s")
    assert.are.equal("", err)
    assert.are.equal("1000000000\n", out)
  end)

  it("sees the same CPUs as before", function()
    local script = "return lencase.grate { write = function() end, read = function() end, close = function() end }"
    local out =
      under(script, "sh -c 'nproc; for i in 1 2 3 4 5 6 7 8 9; do echo; done; nproc; taskset -p $$ | sed s/.*://'")
    local native =
      support.sh("sh -c 'nproc; for i in 1 2 3 4 5 6 7 8 9; do echo; done; nproc; taskset -p $$ | sed s/.*://'")
    assert.are.equal(native, out)
  end)

  it("blocks in one process and works in another", function()
    local out, err = under([[return lencase.grate {
      read = { "pass buf", function(fd, _, count) return sys.read(fd, nil, count) end },
      write = { "pass buf", function(fd, _, count) return sys.write(fd, nil, count) end } }]],
      "sh -c 'mkfifo f; exec 3<>f; (head -c 3 f; echo read) & (head -c 3 f >/dev/null) & echo work; echo go >&3; echo "
      .. "go >&3; wait'")
    assert.are.equal("", err)
    assert.is_truthy(out:find "^work\n" and out:find "read\n")
  end)

  it("has its files under other names, and exec sees them too", function()
    local out, err = under([[return lencase.grate {
      execve = function(pathname, argv, envp)
        if pathname:find "/false$" then
          return sys.execve("/bin/echo", { "echo", "a longer answer than before" }, envp)
        end
      end }]], "sh -c '/bin/false; exec /bin/false'")
    assert.are.equal("", err)
    assert.are.equal("a longer answer than before\na longer answer than before\n", out)
  end)

  it("may be of more processes than lencase may have files", function()
    local out, err = under([[return lencase.grate { openat = { "copy pathname", exact = true,
      function(dirfd, pathname, flags, mode) return sys.openat(dirfd, pathname, flags, mode) end } }]],
      "sh -c 'for i in $(seq 60); do sleep 1 & done; ulimit -Sn; wait'", "ulimit -Sn 40; ")
    assert.are.equal("", err)
    assert.are.equal("40\n", out)
  end)

  -- A write beyond the limit is a signal: it ends the program's head, and never lencase.
  for kind, said in pairs { S = "true", H = "false" } do
    it(("has its limit on sizes of files (%s), and lencase its own"):format(kind), function()
      local out, err = under([[return lencase.grate { openat = { "copy pathname", exact = true,
        function(dirfd, pathname, flags, mode)
          if not pathname:find "other$" then return sys.openat(dirfd, nil, flags, mode) end
          local file = assert(io.open("large", "w"))
          file:setvbuf "no"
          io.stderr:write(tostring(file:write(("x"):rep(4096)) ~= nil), "\n")
          file:close()
          return sys.openat(dirfd, "/proc/self/limits", flags, mode)
        end } }]], "sh -c 'grep \"Max file size\" other; head -c 4096 /dev/zero >mine; echo $?'",
        ("ulimit -Sf 1; ulimit -%sf 1; "):format(kind))
      local limit, status = out:match "^Max file size +512 +(%w+) +bytes +\n(%d+)\n$"
      assert.are.same({ kind == "S" and "unlimited" or "512", "153" }, { limit, status }, out)
      local window = kind == "S" and "" or "lencase: cage %d+ has no window %(files may not be that long[^\n]+\n"
      assert.is_truthy(err:find("^" .. window .. said .. "\n"), err)
    end)
  end

  it("forks by a handler's call, threads and all", function()
    local script = [[
      local n = 0
      local function counted(call) return function(...) n = n + 1 return call(...) end end
      return lencase.grate { fork = counted(sys.fork), vfork = counted(sys.vfork), clone = counted(sys.clone),
        on_exit = function() assert(n > 3) end }]]
    local program = [[sh -c '(echo a); (echo b); echo c | cat; python3 -c "
import threading, subprocess
t = [threading.Thread(target=lambda: subprocess.run([\"true\"])) for _ in range(4)]
[x.start() for x in t]; [x.join() for x in t]
print(\"done\")"']]
    local out, err, status = under(script, program)
    assert.are.equal("", err)
    assert.are.equal("a\nb\nc\ndone\n", out)
    assert.are.equal(0, status)
  end)

  it("writes for one process what lies in another's memory, and acts for the one that calls alone", function()
    local out, err = under([[local first
      return lencase.grate { write = { "addr buf", function(_, buf, count)
        if not first then first = { cage = lencase.cage, buf = lencase.at(lencase.cage, buf), n = count } end
        if lencase.cage ~= first.cage then
          sys.write(1, first.buf, first.n)
          local n, errno = lencase.make_call(first.cage, "getpid")
          assert(n == -1 and errno == lencase.errno.EOPNOTSUPP)
        end
        return sys.write()
      end } }]], "sh -c 'echo first; (echo second)'")
    assert.are.equal("", err)
    assert.are.equal("first\nfirst\nsecond\n", out)
  end)

  it("has arguments replaced in a child without room for a window, which is said", function()
    local out, err, status = under([[return lencase.grate { open = { "copy pathname", function(pathname)
      return sys.open((pathname:gsub("word$", "other")))
    end } }]], [[sh -c 'echo hello > other; (ulimit -v 1; read x < word; echo $x)']])
    assert.are.same({ "hello\n", 0 }, { out, status }, err)
    assert.is_truthy(err:find("^lencase: cage %d+ has no window %(it cannot be mapped: Cannot allocate "
                              .. "memory%)[^\n]+\n$"), err)
  end)

  it("has none of the files that its grate opened", function()
    local out =
      under("local f, t = io.open '/dev/null', io.tmpfile() return lencase.grate { on_exit = function() f:close() "
            .. "t:close() end }",
      "sh -c 'ls /proc/self/fd | wc -l'")
    assert.are.equal(support.sh "sh -c 'ls /proc/self/fd | wc -l'", out)
  end)
end)
