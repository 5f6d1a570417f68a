-- Programs that would change a folder, and what is left of it afterwards.

local support = require "spec.support"

local quote, sh = support.quote, support.sh

-- Everything about a folder that a program could change, access times left out.
local function fingerprint(dir)
  return (sh(("cd %s && find . -printf '%%p %%y %%m %%U %%G %%s %%n %%T@ %%C@ %%l\\n' | sort; cat f")
    :format(quote(dir))))
end

local function in_files(f)
  support.in_folder(function(dir)
    assert(os.execute(("cd %s && echo hi > f && mkdir d && ln -s f s && mkfifo p"):format(quote(dir))))
    f(dir)
  end)
end

--- What a command line says under the grate, in a folder with a file f, a folder d, a link s and a FIFO p.
local function under(dir, line)
  return sh(("cd %s && %s/%s run readonly.lua -- bash -c %s"):format(quote(dir), support.pwd,
             support.lencase:gsub("^lua5.4 ", ""), quote(line)))
end

-- Each expression in turn, a line of what came of it.
local prologue = [[
import os, socket, ctypes
libc = ctypes.CDLL(None, use_errno=True)
def raw(nr, *args):
  n = libc.syscall(nr, *args)
  if n < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
  return n
W, C, X, T = os.O_WRONLY, os.O_CREAT, os.O_EXCL, os.O_TRUNC
def attempt(f):
  try: print(f())
  except OSError as e: print(e.strerror)
]]

local EROFS, EEXIST, ENOENT = "Read-only file system", "File exists", "No such file or directory"

-- A Python expression, and what comes of it.
local calls = {
  { "os.open('f', os.O_RDWR)", EROFS }, { "os.open('f', os.O_RDONLY | T)", EROFS }, { "os.open('s', W)", EROFS },
  { "os.open('n', W | C)", EROFS }, { "os.open('n', W | C | X)", EROFS }, { "os.open('f', W | C | X)", EEXIST },
  { "os.open('n', C)", EROFS }, { "os.open('f', C) > 2", "True" }, { "os.open('n', W)", ENOENT },
  { "os.open('no/n', W | C)", ENOENT }, { "os.open('.', os.O_TMPFILE | W)", EROFS },
  { "os.open('/dev/null', W) > 2", "True" }, { "os.open('p', os.O_RDWR) > 2", "True" },
  { "raw(257, -100, b'n', W | C, 0o600)", EROFS }, { "raw(85, b'n', 0o600)", EROFS },
  { "raw(437, -100, b'n', (ctypes.c_uint64 * 3)(W | C, 0o600, 0), 24)", EROFS },
  { "raw(437, -100, b'f', (ctypes.c_uint64 * 3)(0, 0, 0), 24) > 2", "True" },
  { "os.open('f', W, dir_fd=os.open('.', 0))", EROFS },
  { "os.access('f', os.W_OK)", "False" }, { "os.access('f', os.R_OK)", "True" },
  { "os.access('/dev/null', os.W_OK)", "True" },
  { "os.unlink('f')", EROFS }, { "os.unlink('f', dir_fd=os.open('.', 0))", EROFS }, { "os.rmdir('d')", EROFS },
  { "os.mkdir('n')", EROFS }, { "os.mkfifo('n')", EROFS }, { "os.link('f', 'n')", EROFS },
  { "os.symlink('f', 'n')", EROFS },
  { "os.rename('f', 'n')", EROFS }, { "raw(316, -100, b'f', -100, b's', 2)", EROFS },
  { "os.chmod('f', 0o777)", EROFS }, { "os.chown('f', -1, 0)", EROFS }, { "os.lchown('s', 0, 0)", EROFS },
  { "raw(452, -100, b'f', 0o777, 0)", EROFS },
  { "os.fchmod(os.open('f', 0), 0o777)", EROFS }, { "os.fchown(os.open('f', 0), 0, 0)", EROFS },
  { "os.truncate('f', 0)", EROFS }, { "os.utime('f')", EROFS }, { "os.utime(os.open('f', 0))", EROFS },
  { "os.utime('f', (1, 1), follow_symlinks=False)", EROFS },
  { "os.setxattr('f', 'user.a', b'1')", EROFS }, { "os.setxattr(os.open('f', 0), 'user.a', b'1')", EROFS },
  { "os.removexattr('f', 'user.a')", EROFS }, { "raw(463, -100, b'f', 0, b'user.a', 0, 0)", EROFS },
  { "raw(16, os.open('f', 0), 0x40086602, (ctypes.c_long * 1)(0x80))", EROFS },
  { "socket.socket(socket.AF_UNIX).bind('n')", EROFS }, { "socket.socket(socket.AF_UNIX).bind('\\0lencase')", "None" },
  { "raw(165, 0, b'd', b'tmpfs', 0, 0)", EROFS }, { "raw(166, b'd', 0)", EROFS },
  { "os.ftruncate(os.memfd_create('m'), 10)", "None" }, { "os.fchmod(os.memfd_create('m'), 0o700)", "None" },
  { "os.write(os.pipe()[1], b'12')", "2" },
}

describe("readonly.lua", function()
  it("lets nothing of the usual programs through", function()
    in_files(function(dir)
      local before = fingerprint(dir)
      for _, line in ipairs {
        "touch n", "touch f", "echo x > f", "echo x >> f", "echo x > n", "rm -f f", "mv f n", "mkdir n", "rmdir d",
        "ln f n",
        "ln -s f n", "chmod 600 f", "chown 0 f", "cp f n", "sed -i s/h/k/ f", "mkfifo n", "tar cf n.tar f",
        "truncate -s 0 f",
        "tee n < f", "dd if=/dev/zero of=f count=1", "install f n",
      } do
        local _, err, status = under(dir, line)
        assert.is_true(status ~= 0, line)
        assert.is_truthy(err:find(EROFS, 1, true), line .. ": " .. err)
        assert.are.equal(before, fingerprint(dir), line)
      end
    end)
  end)

  it("lets no call through that would change something, in any spelling", function()
    in_files(function(dir)
      local lines, wanted = { prologue }, {}
      for i, call in ipairs(calls) do
        lines[i + 1], wanted[i] = ("attempt(lambda: %s)\n"):format(call[1]), call[1] .. ": " .. call[2]
      end
      support.write_file(dir .. "/x.py", table.concat(lines))
      local before, got = fingerprint(dir), {}
      local out, err = under(dir, "/usr/bin/python3 x.py")
      for line in out:gmatch "[^\n]+" do
        local call = calls[#got + 1]
        -- A container's profile refuses what is not allowed there before the grate is called.
        if support.filtered and call[1]:find "^raw%(" and line == "Operation not permitted" then line = call[2] end
        table.insert(got, call[1] .. ": " .. line)
      end
      assert.are.same(wanted, got, err)
      assert.are.equal(before, fingerprint(dir))
    end)
  end)

  it("does not disturb what reads, and writes elsewhere", function()
    in_files(function(dir)
      for _, line in ipairs { "cat f s", "ls -a d . | sort", "sort f | tee /dev/null | wc -c", "find . -name f",
                              "echo x > /dev/null; echo $?", "/usr/bin/python3 -c 'print(open(\"f\").read())'" } do
        local native = sh(("cd %s && bash -c %s"):format(quote(dir), quote(line)))
        local out, err, status = under(dir, line)
        assert.are.equal("", err)
        assert.are.equal(0, status)
        assert.are.equal(native, out)
      end
    end)
  end)
end)
