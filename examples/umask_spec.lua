-- The modes of what programs make, beside those that they have without the grate.

local support = require "spec.support"

local quote, sh = support.quote, support.sh

-- What a command line makes in a fresh folder, a line of mode and name each.
local function modes(prefix, line)
  local out, err
  support.in_folder(function(dir)
    local command = ("%s bash -c %s"):format(prefix, quote("umask 002; cd " .. dir .. "; " .. line))
    err = select(2, sh(command))
    out = sh(("cd %s && find . -mindepth 1 -printf '%%m %%f\n' | sort -k2"):format(quote(dir)))
  end)
  assert.are.equal("", err)
  return out
end

local function under(arguments) return ("%s run umask.lua %s --"):format(support.lencase, arguments) end

local everything =
  [[echo > a; mkdir b; mkfifo c; touch d; mkdir -m 777 e; install -m 755 a f; cp -p f g; /usr/bin/python3 -c "
import os, socket, ctypes
socket.socket(socket.AF_UNIX).bind(\"h\")
libc = ctypes.CDLL(None)
libc.syscall(257, -100, b\"i\", os.O_CREAT, 0o777)
libc.syscall(85, b\"j\", 0o777)
libc.syscall(437, -100, b\"k\", (ctypes.c_uint64 * 3)(os.O_CREAT, 0o777, 0), 24)
libc.syscall(83, b\"l\", 0o777)
libc.syscall(133, b\"m\", 0o100777, 0)
"]]

describe("umask.lua", function()
  it("removes its bits from all that is created, and the program's own, too", function()
    assert.are.equal("664 a\n775 b\n664 c\n664 d\n777 e\n755 f\n755 g\n775 h\n775 i\n775 j\n775 k\n775 l\n775 m\n",
                     modes("", everything))
    assert.are.equal("660 a\n770 b\n660 c\n660 d\n777 e\n755 f\n755 g\n770 h\n770 i\n770 j\n770 k\n770 l\n770 m\n",
                     modes(under "007", everything))
  end)

  it("removes them from what chmod sets with --chmod", function()
    assert.are.equal("700 b\n700 c\n700 d\n600 e\n",
                     modes(under "077 --chmod", [[mkdir -m 777 b c; chmod 755 c; /usr/bin/python3 -c "
import os
os.fchmod(os.open(\"d\", os.O_CREAT), 0o777)"; touch e; chmod 664 e]]))
  end)

  it("leaves umask(2) as it was", function()
    assert.are.equal("0027\n", (sh(under "077" .. " sh -c 'umask 027; umask'")))
  end)

  it("says what is wrong with its arguments", function()
    for arguments, message in pairs { ["0788"] = "'0788' is neither an octal mask", ["1777"] = "octal mask",
                                      ["--chmd 077"] = "--chmd", [""] = "no mask" } do
      local _, err, status = sh(under(arguments) .. " true")
      assert.are.equal(125, status)
      assert.is_truthy(err:find(message, 1, true), err)
    end
  end)
end)
