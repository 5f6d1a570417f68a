-- lencase new NAME: what it writes works and passes.

local support = require "spec.support"

local quote, sh = support.quote, support.sh

describe("lencase new", function()
  it("writes a grate that works and a spec that passes", function()
    support.in_folder(function(dir)
      local path = quote(dir .. "/mine")
      local out, err, status = sh(("%s new %s"):format(support.lencase, path))
      assert.are.same({ "", 0 }, { err, status })
      local command = out:match "mine_spec%.lua: (LUA_PATH[^\n]+)\n"
      assert.is_truthy(command, out)
      out, err, status = sh(command:gsub("busted %-%-lua=lua5.4", "lua5.4 /usr/bin/busted -o TAP"))
      assert.are.equal(0, status, out .. err)
      assert.is_truthy(out:find "1%.%.4")
      out, err, status = sh(("cd %s && touch a a.keep && %s/%s run mine.lua -- rm a a.keep; ls"):format(
        quote(dir), support.pwd, support.lencase:gsub("^lua5.4 ", "")))
      assert.are.same({ "a.keep\nmine.lua\nmine_spec.lua\n", 0 }, { out, status })
      assert.is_truthy(err:find "not permitted")
    end)
  end)

  it("writes what luacheck accepts", function()
    local missing = support.missing { ["lua-check"] = "command -v luacheck" }
    if missing then pending(missing) end
    support.in_folder(function(dir)
      local path = quote(dir .. "/mine")
      local out, err, status =
        sh(("%s new %s && luacheck -q --std lua54+busted %s*.lua"):format(support.lencase, path, path))
      assert.are.equal(0, status, out .. err)
    end)
  end)

  it("overwrites nothing", function()
    support.in_folder(function(dir)
      support.write_file(dir .. "/mine_spec.lua", "mine")
      local _, err, status = sh(("%s new %s"):format(support.lencase, quote(dir .. "/mine.lua")))
      assert.are.equal(125, status)
      assert.is_truthy(err:find("mine_spec.lua exists already", 1, true), err)
      assert.are.equal("mine_spec.lua\n", (sh("ls " .. quote(dir))))
    end)
  end)

  it("refuses invalid names", function()
    for name, message in pairs { ["a b"] = "'a b' is not a valid script name", ["/nowhere/x"] = "No such file",
                                 [""] = "not a valid script name" } do
      local _, err, status = sh(("%s new %s"):format(support.lencase, quote(name)))
      assert.are.equal(125, status)
      assert.is_truthy(err:find(message, 1, true), err)
    end
  end)
end)
