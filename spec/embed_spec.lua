-- The programs of examples/embed, built as their Makefile says against an installed liblencase.

local support = require "spec.support"

local sh, quote = support.sh, support.quote

-- Installs below dir, and runs the targets of `make` there.
local function in_prefix(f)
  support.in_folder(function(dir)
    local _, err, status = sh(("make -s install PREFIX=%s BUILD=%s"):format(quote(dir), quote(support.build)))
    assert(status == 0, err)
    local env = ("export PKG_CONFIG_PATH=DIR/lib/pkgconfig LD_LIBRARY_PATH=DIR/lib "
      .. "LUA_PATH='DIR/share/lua/5.4/?.lua;DIR/share/lua/5.4/?/init.lua;;' "
      .. "LUA_CPATH='DIR/lib/lua/5.4/?.so;;'; "):gsub("DIR", dir)
    f(dir, function(line) return sh(env .. line) end)
  end)
end

describe("examples/embed", function()
  it("builds by pkg-config, and does what it says", function()
    in_prefix(function(dir, run)
      local out, err, status = run("make -s -C examples/embed check OUT=" .. quote(dir .. "/out"))
      assert.are.equal(0, status, err)
      for _, line in ipairs { "lencase-policy.log: saved", "lencase-policy.txt: Operation not permitted",
                              "counted\n8 bytes in 1 calls", "\ncompiled\n",
                              "whole: 500000 bytes\ndouble: 1000000 bytes" } do
        assert.is_truthy(out:find(line, 1, true), out)
      end
      assert.is_truthy(err:find "\n +9 +1  total\n", err)
      out = run(dir .. "/out/policy examples/readonly.lua")
      assert.are.equal("lencase-policy.log: Read-only file system\nlencase-policy.txt: Read-only file system\n", out)
      out, err, status = run(dir .. "/out/policy /no/such.lua")
      assert.are.equal("", out)
      assert.are.equal(1, status)
      assert.is_truthy(err:find "/no/such.lua")
    end)
  end)

  it("runs a WebAssembly program as a cage", function()
    local missing = support.missing {
      clang = "command -v clang", lld = "command -v wasm-ld", wabt = "command -v wasm2c",
      ["wasi-libc"] = "test -f /usr/lib/wasm32-wasi/libc.a",
      ["libclang-rt-dev-wasm32"] =
        [[test -f "$(clang --target=wasm32-wasi --rtlib=compiler-rt --print-libgcc-file-name)"]],
    }
    if missing then pending(missing) end
    in_prefix(function(dir, run)
      local out, err, status = run("make -s -C examples/embed wasm OUT=" .. quote(dir .. "/out"))
      assert.are.equal(0, status, out .. err)
      local grates = support.pwd .. "/examples/"

      out, err = run(("cd %s && out/wasm/host %scount_writes.lua"):format(quote(dir), grates))
      assert.are.equal("a pointer to nowhere: Bad address\nwritten\n", out)
      assert.is_truthy(err:find("8890 +9  " .. dir:gsub("%p", "%%%0") .. "/lencase%-wasm.txt\n"), err)
      assert.are.equal(8890, #support.read_file(dir .. "/lencase-wasm.txt"))
      out, err, status = run(("cd %s && out/wasm/host %sreadonly.lua"):format(quote(dir), grates))
      assert.are.equal("lencase-wasm.txt: Read-only file system\n", err)
      assert.are.equal(1, status)
      assert.are.equal("", out)
    end)
  end)
end)
