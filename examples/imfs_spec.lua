-- Programs on the in-memory file system, beside the same programs on the kernel's.

local support = require "spec.support"

local sh, quote = support.sh, support.quote

-- Text with a folder's path in the place of DIR.
local function placed(text, path) return (text:gsub("%f[%w_]DIR%f[^%w_]", path)) end

-- What a script prints when it runs by `command`, with DIR a name in a fresh folder; and what is in the folder then.
local function printed(dir, command, script)
  local path = support.write_file(dir .. "/script", placed(script, dir .. "/m"))
  local out, err, status = sh(("LC_ALL=C %s sh %s"):format(placed(command, dir .. "/m"), path))
  return (("%s%s%d"):format(out, err, status):gsub(dir:gsub("%p", "%%%0"), "D")), (sh("ls -A " .. quote(dir)))
end

local function in_memory(script, stack)
  local text, left
  support.in_folder(function(dir)
    text, left = printed(dir, ("%s run %s --"):format(support.lencase, stack or "imfs.lua --at DIR"), script)
  end)
  assert.are.equal("script\n", left) -- nothing of it reached the disk
  return text
end

local function on_disk(script)
  local text
  support.in_folder(function(dir)
    assert(os.execute("mkdir " .. quote(dir .. "/m")))
    text = printed(dir, "", script)
  end)
  return text
end

local function alike(script, stack)
  local memory = in_memory(script, stack)
  assert.are.equal(on_disk(script), memory)
  return memory
end

-- The same, of a Python program in the folder's place.
local function alike_python(body)
  return alike("cd DIR && exec /usr/bin/python3 -S - <<'EOF'\nimport os, fcntl, errno\n"
    .. "def attempt(f, *a, **k):\n  try: return f(*a, **k)\n  except OSError as e: return errno.errorcode[e.errno]\n"
    .. body .. "\nEOF\n")
end

describe("imfs.lua", function()
  it("holds files, directories and links for a shell", function()
    alike [[
cd DIR; pwd; echo hello > f; cat f; echo more >> f; wc -c f; ls -a
ln -s f l; readlink l; cat l; mv f g; cat l 2>/dev/null || echo gone; mv g f; rm l
mkdir -p a/b/c; echo x > a/b/c/y; cd a/b; cat c/y; cat ../b/./c/y; cd ../..; pwd; find . | sort; rm -r a; ls
mkdir e; rmdir e; ls e 2>&1; ls -l f/x 2>&1; mkdir f 2>&1
stat -c '%F %a %s %h' f; chmod 640 f; stat -c %a f; touch -d '2001-01-01 00:00:00 UTC' f; stat -c %Y f
ln f h; stat -c %h h; rm f; cat h; umask 77; > u; stat -c %a u; test -x u; echo $?
cp h t; cmp h t && echo same; sort -r -o t t; cat t; truncate -s 5 t; od -c t
dd if=/dev/zero of=z bs=1000 seek=10 count=1 2>/dev/null; stat -c %s z
cd DIR/..; pwd; ls DIR | wc -l; cd m; cat ../script | wc -l; cat DIR/../script | wc -c]]
  end)

  it("shares what is opened over dup, fork and exec", function()
    local memory = alike [[
cd DIR; exec 7> f; echo a >&7; (echo b >&7); sh -c 'echo c >&7'; exec 8>&7 7>&-; echo d >&8; exec 8>&-; cat f
exec 5< f; read x <&5; (read y <&5; echo "$y"); cat <&5; rm f
exec 6<> g; echo text >&6; rm g; cat /dev/null >&6; exec 6>&-]]
    assert.are.equal("a\nb\nc\nd\nb\nc\nd\n0", memory)
  end)

  it("is what tar packs and unpacks", function()
    alike [[
cd DIR; mkdir -p src/deep/er; seq 20000 > src/deep/n; ln -s n src/deep/link; ln src/deep/n src/hard; chmod 600 src/hard
touch -d '2002-02-02 02:02:02 UTC' src/deep/n src/deep/er
tar cf t.tar --sort=name src; mkdir out; tar xf t.tar -C out; (cd out/src; find . -printf '%p %y %m %n %l\n' | sort)
cmp src/hard out/src/deep/n && tar tf t.tar; stat -c %Y out/src/hard; rm -rf out src; tar xOf t.tar src/deep/n | tail -1
tar cf - t.tar | tar tf -]]
  end)

  it("is what sqlite3 keeps a database in", function()
    local memory = alike [[
cd DIR; sqlite3 db 'create table t(a, b); insert into t values (1, "one"), (2, "two"); select * from t'
sqlite3 db 'begin; insert into t select a + 2, b from t; rollback; select count(*) from t;'
for i in 1 2 3; do sqlite3 -cmd '.timeout 9000' DIR/db "insert into t values ($i, 'x')" & done; wait
sqlite3 db 'pragma integrity_check; select count(*) from t; create index i on t(a); vacuum; select b from t where a = 2'
ls]]
    assert.is_truthy(memory:find "1|one\n2|two\n2\nok\n5\ntwo\n", memory)
  end)

  it("says the errors that the kernel says", function()
    alike_python [[
W = os.O_WRONLY; C = os.O_CREAT
os.mkdir("d"); os.symlink("loop", "loop"); os.symlink("d", "l"); open("f", "w").write("12345")
for args in [("no", 0), ("f/x", 0), ("f", C | os.O_EXCL), ("d", W), ("d", C), ("loop", 0), ("l", os.O_NOFOLLOW),
             ("f", os.O_DIRECTORY), ("new/", C), ("f/", 0), ("", 0), ("x" * 256, C), ("no/x", C)]:
  print(args[0][:9], attempt(os.open, *args))
for f, args in [(os.mkdir, ["d"]), (os.rmdir, ["f"]), (os.unlink, ["d"]), (os.unlink, ["no"]), (os.rename, ["d", "f"]),
                (os.rename, ["f", "d"]), (os.rename, ["d", "d/x"]), (os.rename, ["no", "x"]), (os.link, ["d", "x"]),
                (os.link, ["f", "d"]), (os.symlink, ["x", "f"]), (os.readlink, ["f"]), (os.listdir, ["f"]),
                (os.chdir, ["f"]), (os.chdir, ["no"]), (os.truncate, ["f", -1]), (os.truncate, ["d", 0]),
                (os.stat, ["loop"]), (os.rename, ["f", "/proc/x"]), (os.rmdir, ["d/."])]:
  print(f.__name__, attempt(f, *args))
r = os.open("f", 0); w = os.open("f", W)
print(attempt(os.write, r, b"x"), attempt(os.read, w, 1), attempt(os.ftruncate, r, 0), attempt(os.lseek, r, -1, 0))
print(attempt(os.pread, r, 9, 3), attempt(os.pread, r, 9, 99),
      attempt(os.getdents, r, 9) if hasattr(os, "getdents") else "")
print(attempt(os.isatty, r), attempt(os.fchdir, r), attempt(os.read, os.open("d", 0), 1),
      attempt(os.read, os.open("f", os.O_PATH), 1))
print(attempt(os.execv, "f", ["f"]), attempt(os.statvfs, "no"))
os.mkdir("d/x"); print(attempt(os.rmdir, "d"), attempt(os.rename, "d", "l"))
os.chdir("d/x"); os.rmdir("../x"); print(attempt(os.getcwd), attempt(os.open, "y", C), attempt(os.listdir, "."))]]
  end)

  it("reads, writes and seeks in all the ways there are", function()
    alike_python [[
f = os.open("f", os.O_RDWR | os.O_CREAT)
print(os.write(f, b"0123456789"), os.pwrite(f, b"AB", 4), os.writev(f, [b"x", b"", b"yz"]), os.lseek(f, 0, 1))
print(os.pwritev(f, [b"pq", b"r"], 1), os.pread(f, 4, 2), os.lseek(f, -3, 2), os.read(f, 9), os.read(f, 9))
a, b = bytearray(3), bytearray(5)
print(os.preadv(f, [a, b], 1), a, b, os.lseek(f, 2, 0), os.readv(f, [b, a]), a, b)
os.lseek(f, 10000, 0); os.write(f, b"end"); print(os.fstat(f).st_size, os.pread(f, 4, 9998), set(os.pread(f, 9000, 50)))
os.ftruncate(f, 8); os.ftruncate(f, 20); print(os.pread(f, 99, 0)); os.posix_fallocate(f, 0, 30)
print(os.stat("f").st_size)
g = os.open("f", os.O_WRONLY | os.O_APPEND); os.write(g, b"tail"); print(os.lseek(g, 0, 1), os.pread(f, 99, 28))
print(fcntl.fcntl(g, fcntl.F_GETFL) & 0xffff); fcntl.fcntl(g, fcntl.F_SETFL, 0); os.write(g, b"!")
print(os.stat("f").st_size)
big = bytes(range(256)) * 20000; os.pwrite(f, big, 777); print(os.pread(f, len(big), 777) == big, os.stat("f").st_size)
import mmap
m = mmap.mmap(f, 0, mmap.MAP_PRIVATE); print(m[777:781], len(m)); m[0] = 33; print(os.pread(f, 1, 0))
m = mmap.mmap(f, 5, mmap.MAP_SHARED, mmap.PROT_READ); print(m[:])
os.fsync(f); os.sync(); print(os.stat("f") == os.fstat(f), os.path.sameopenfile(f, g))]]
  end)

  it("lists what is there, also while it is being removed, and by directory descriptor", function()
    alike_python [[
os.mkdir("d")
for i in range(3000): open("d/file%d" % i, "w").close()
print(len(os.listdir("d"))); n = 0
for e in os.scandir("d"):
  os.unlink(e.path); n += 1
print(n, os.listdir("d"))
d = os.open("d", 0); os.mkdir("s", dir_fd=d); os.symlink("../d/s", "l", dir_fd=d)
f = os.open("x", os.O_CREAT | os.O_RDWR, dir_fd=d); os.close(f)
os.rename("x", "y", src_dir_fd=d, dst_dir_fd=d); os.link("y", "z", src_dir_fd=d, dst_dir_fd=d)
print(sorted(os.listdir(d)), os.stat("y", dir_fd=d).st_nlink, os.readlink("l", dir_fd=d),
      os.stat("l", dir_fd=d).st_nlink)
os.utime("y", ns=(5, 7000000009), dir_fd=d); print(os.stat("y", dir_fd=d).st_mtime_ns); os.chmod("y", 0o601, dir_fd=d)
os.rename("d", "e"); print(oct(os.stat("e/y").st_mode), os.access("s", os.X_OK, dir_fd=d))
os.unlink("y", dir_fd=d); os.rmdir("s", dir_fd=d)
os.fchdir(d); print(os.path.basename(os.getcwd()), sorted(os.listdir())); os.chdir(".."); print(os.listdir("."))
t = os.open(".", os.O_TMPFILE | os.O_RDWR); os.write(t, b"no name"); print(os.fstat(t).st_nlink, os.listdir("."))
print(os.pread(os.open("/proc/self/fd/%d" % t, 0), 9, 0))
os.link("/proc/self/fd/%d" % t, "named", follow_symlinks=True)
print(open("named").read(), os.fstat(t).st_nlink, os.stat("/dev/fd/%d" % t).st_size)
for i, e in enumerate(sorted(os.scandir("e"), key=lambda e: e.name)):
  print(e.name, e.is_symlink(), e.is_dir(follow_symlinks=False))
import shutil; shutil.rmtree("e"); print(os.listdir("."))]]
  end)

  it("locks ranges between processes", function()
    alike_python [[
import struct, time
f = os.open("f", os.O_RDWR | os.O_CREAT); r, w = os.pipe(); r2, w2 = os.pipe()
fcntl.lockf(f, fcntl.LOCK_EX, 10, 5)
if os.fork() == 0:
  print(attempt(fcntl.lockf, f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0),
        attempt(fcntl.lockf, f, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 14))
  kind, whence, start, size, pid = struct.unpack(
    "hhqqi", fcntl.fcntl(f, fcntl.F_GETLK, struct.pack("hhqqi", 1, 0, 0, 0, 0)))
  print(kind, start, size, pid == os.getppid(),
        attempt(fcntl.lockf, f, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0), flush=True)
  os.write(w, b"x"); fcntl.lockf(f, fcntl.LOCK_EX, 1, 7); print("had to wait", os.read(r2, 1), flush=True); os._exit(0)
os.read(r, 1); time.sleep(0.05); os.write(w2, b"y"); fcntl.lockf(f, fcntl.LOCK_UN, 10, 5); os.wait()
print(attempt(fcntl.lockf, f, fcntl.LOCK_EX | fcntl.LOCK_NB))
g = os.open("f", os.O_RDWR); fcntl.flock(f, fcntl.LOCK_EX)
print(attempt(fcntl.flock, g, fcntl.LOCK_SH | fcntl.LOCK_NB))
os.close(f); print(attempt(fcntl.flock, g, fcntl.LOCK_EX | fcntl.LOCK_NB))]]
  end)

  it("knows its limits", function()
    local memory = in_memory([[
cd DIR; cat /dev/zero > f; stat -c %s f; rm f; echo small > f; cat f
ln f DIR/../hard; cp /bin/true t; ./t; mkfifo p
/usr/bin/python3 -S -c "import os; print(os.listxattr('f'))" 2>&1 | tail -1
/usr/bin/python3 -S -c "import mmap; f = open('f', 'r+'); mmap.mmap(f.fileno(), 0)" 2>&1 | tail -1]],
      "imfs.lua --at DIR --size 2")
    for _, line in ipairs { "cat: write error: No space left on device", "2097152\nsmall\n",
                            "/hard'.*Invalid cross%-device link",
                            "./t: Permission denied", "'p': Operation not permitted", "Operation not supported: 'f'",
                            "No such device" } do
      assert.is_truthy(memory:find(line), line .. "\n" .. memory)
    end
    local _, message, status = sh(support.lencase .. " run imfs.lua --at tmp -- true")
    assert.are.equal(125, status)
    assert.is_truthy(message:find "absolute")
  end)

  it("works under a clamp with a tracer above, and under a grate that reads what is written", function()
    alike("cd DIR; echo one > f; cat f; mkdir s; cd s; echo two > ../g; ls ..; cd ..; cat g; cd /; pwd; cat DIR/f",
          "clamp.lua --prefix DIR %{ imfs.lua --at DIR strace.lua -o /dev/null %}")
    local out, err = sh(support.lencase .. " run clamp.lua --prefix /tmp %{ imfs.lua strace.lua %} -- "
      .. "sh -c 'echo hello > /tmp/f; cat /etc/hostname >/dev/null; cat < /tmp/f'")
    assert.are.equal("hello\n", out)
    assert.is_truthy(err:find('openat%(AT_FDCWD, "/tmp/f", O_WRONLY|O_CREAT|O_TRUNC, 0666%)%s+= %d'), err)
    assert.is_truthy(err:find 'write%(1, "hello\\n", 6%)%s+= 6')
    assert.is_nil(err:find "hostname")
    alike("cd DIR; echo abc > f; tr a-z A-Z < f > g; cat g", "imfs.lua --at DIR count_writes.lua -o /dev/null")
  end)
end)
