-- Files of rules, and what programs can do under them.

local support = require "spec.support"

local quote, sh = support.quote, support.sh

local function under(rules, program)
  local out, err, status
  support.in_folder(function(dir)
    local path = support.write_file(dir .. "/rules", rules)
    out, err, status = sh(("cd %s && %s/%s run seccomp.lua %s -- %s"):format(quote(dir), support.pwd,
                          support.lencase:gsub("^lua5.4 ", ""), path, program))
    err = err:gsub(path:gsub("%p", "%%%0"), "rules")
  end)
  return out, err, status
end

-- What cat needs of the kernel, from its start to its end.
local for_cat = [[
default errno EPERM
allow execve brk mmap munmap mprotect openat read write close fstat newfstatat lseek pread64 access
allow arch_prctl set_tid_address set_robust_list rseq prlimit64 getrandom futex fadvise64 statfs ioctl
]]

local function python(body) return "/usr/bin/python3 -c " .. quote("import os\n" .. body) end

describe("seccomp.lua", function()
  it("denies by default what is not allowed", function()
    if support.sanitized then pending "a sanitizer's runtime makes calls of its own" end
    local out, err, status = under(for_cat, "cat rules")
    assert.are.same({ for_cat, "", 0 }, { out, err, status })
    out, err, status = under(for_cat, "sh -c 'cat rules; echo $?'")
    assert.are.equal("", out)
    assert.is_truthy(err:find "Cannot fork")
    assert.is_true(status > 0)
  end)

  it("allows by default what no line names", function()
    local out, err = under("errno ENOTDIR mkdir\n# all else goes on\n", python [[
try: os.mkdir("d")
except OSError as e: print(e.strerror)
os.rmdir("/proc") if False else print(os.getpid() > 0)]])
    assert.are.equal("Not a directory\nTrue\n", out)
    assert.are.equal("", err)
  end)

  it("knows one kernel call from another", function()
    local body = [[
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(83, b"d", 0o700), libc.syscall(258, -100, b"e", 0o700))]]
    assert.are.equal("-1 0\n", (under("errno EPERM mkdir", python(body))))
    assert.are.equal("0 -1\n", (under("errno EPERM mkdirat", python(body))))
    assert.are.equal("-1 0\n", (under("errno EPERM 83", python(body))))
  end)

  it("compares arguments, and the first line that holds counts", function()
    local body = [[
def attempt(mode):
  try: os.mkdir("d%o" % mode, mode)
  except OSError as e: return e.strerror
print(attempt(0o700), attempt(0o711), attempt(0o722), attempt(0o777), sep=",")]]
    local rules = "errno EPERM mkdir if mode == 0711 or mode & 022 and mode != 0777\n"
    assert.are.equal("None,Operation not permitted,Operation not permitted,None\n", (under(rules, python(body))))
    rules = "allow mkdir if mode <= 448\nerrno EACCES mkdir if mode < 0x1d2\nerrno EPERM mkdir # the rest\n"
    assert.are.equal("None,Permission denied,Operation not permitted,Operation not permitted\n",
                     (under(rules, python(body))))
  end)

  it("logs, and kills", function()
    local out, err, status = under("log getppid\nkill mkdir\n", python [[
import os
print(os.getppid() > 0, flush=True)
os.mkdir("d")
print("still here")]])
    assert.are.equal("True\n", out)
    assert.is_truthy(err:find "^seccomp: getppid by cage %d+\n")
    assert.is_truthy(err:find "seccomp: mkdir by cage %d+: killed\n")
    assert.are.equal(137, status)
  end)

  it("says what is wrong with a file, with line and column", function()
    for rules, message in pairs {
      ["alow read"] = "line 1, column 1: expected default, allow, errno, log or kill",
      ["\nallow raed"] = "line 2, column 7: unknown call 'raed' (did you mean 'read'?)",
      ["errno EFOO read"] = "column 7: unknown errno 'EFOO'",
      ["errno EPERM read if fd = 3"] = "column 24: expected an operator",
      ["errno EPERM read if buf == 3"] = "'buf' is a pointer",
      ["errno EPERM read if fx == 3"] = "read has no argument 'fx' (did you mean 'fd'?)",
      ["default allow\ndefault kill"] = "line 2, column 1: there is a default already",
      ["allow"] = "expected the name of a call, found the end",
      ["allow read;"] = "expected the end of the line, found ';'",
      ["default"] = "expected an action",
    } do
      local _, err, status = under(rules, "true")
      assert.are.equal(125, status, rules)
      assert.is_truthy(err:find("rules: ", 1, true) and err:find(message, 1, true), err)
    end
    local _, err = sh(support.lencase .. " run seccomp.lua -- true")
    assert.is_truthy(err:find "expected one file")
  end)
end)
