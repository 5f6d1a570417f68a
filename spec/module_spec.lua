-- The module as an ordinary Lua program requires it, and what its sources say of it.

local support = require "spec.support"
local lencase = require "lencase"

local function lua(code)
  return support.sh(("LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='%s/?.so;;' lua5.4 -e %s")
    :format(support.build, support.quote(code)))
end

describe("require 'lencase'", function()
  it("adds no globals", function()
    local out, err = lua [[
      local before = {}
      for name in pairs(_G) do before[name] = true end
      require "lencase"
      for name in pairs(_G) do if not before[name] then print(name) end end]]
    assert.are.equal("", err)
    assert.are.equal("", out)
  end)

  it("checks an interface without a program", function()
    local interface = lencase.grate { write = { "pass buf", function(fd, buf, count)
      return lencase.sys.write(fd, buf, count)
    end } }
    assert.are.equal("write", interface.entries[1].name)
    assert.has_error(function() lencase.grate { wirte = function() end } end)
  end)

  it("makes no calls outside of a grate", function()
    local ok, message = pcall(lencase.sys.write, 1, "x", 1)
    assert.is_false(ok)
    assert.is_truthy(message:find "in a grate only")
    assert.has_error(function() return lencase.cage end)
  end)

  it("knows errnos and calls by name and number", function()
    assert.are.equal(1, lencase.errno.EPERM)
    assert.are.equal("EPERM", lencase.errno[1])
    assert.are.equal("write", lencase.callname(1))
    assert.are.equal(1, lencase.callnum "write")
    assert.is_nil(lencase.callnum "wirte")
    assert.are.equal("pathname", lencase.describe("open").variants[1].params[1].name)
    assert.are.equal(lencase.fail "EPERM", lencase.fail "EPERM")
  end)

  it("has policies that combine", function()
    assert.are.equal(0, lencase.COPY_ALL_ARGS)
    assert.are.equal(lencase.PASS_THROUGH_ALL | lencase.PASS(1),
                     lencase.PASS_THROUGH_ALL | lencase.PASS(1) | lencase.COPY_ALL_ARGS)
    local out = support.sh(support.lencase .. " plan write -p 'PASS_THROUGH_ALL & ~PASS(2)'")
    assert.is_truthy(out:find "copy +buf" and out:find "pass +fd" and out:find "in +bytes +buf %[count%]", out)
    out = support.sh(support.lencase .. " plan write -p 'PASS_THROUGH_POINTERS|COPY(2)'")
    assert.is_truthy(out:find "copy +buf" and out:find "value +fd", out)
  end)
end)

describe("the sources", function()
  -- Each public function and field has an annotation right above it, or a field line.
  it("annotate every public name", function()
    local text = support.read_file "lua/lencase/init.lua"
    for name in pairs(lencase) do
      local annotated = text:find("%-%-%-@[^\n]*\nfunction lencase%." .. name .. "%f[%W]")
                        or text:find("%-%-%-@field " .. name .. "%f[%W]")
                        or text:find("%-%-%-@type[^\n]*\nlencase%." .. name .. "%f[%W]")
      assert.is_truthy(annotated, "lencase." .. name .. " has no annotation")
    end
  end)

  it("say that README's counter is a grate", function()
    local script = support.read_file("README.md"):match "```lua\n(%-%- count%.lua.-)```"
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/count.lua", script)
      local out, err, status =
        support.sh(("%s run %s -- sh -c 'echo hello > %s/greeting'"):format(support.lencase, path, dir))
      assert.are.equal(0, status, err)
      assert.are.equal("", out)
      assert.is_truthy(err:find("6 " .. dir .. "/greeting\n", 1, true), err)
    end)
  end)
end)

describe("core/README.md", function()
  local rooms = {} -- "grate_load" -> true
  for cell in support.read_file("core/README.md"):gmatch "\n| (`[^|]*`) |" do
    for name in cell:gmatch "`([^`]+)`" do rooms[name] = true end
  end

  local function is_there(path) return os.rename(path, path) ~= nil end

  it("names rooms that are there", function()
    for name in pairs(rooms) do
      local path = "core/" .. name
      assert.is_true(is_there(path) or is_there(path .. ".c") or is_there(path .. ".h"), name)
    end
  end)

  it("has a room for each file", function()
    for path in support.sh("find core -name '*.[ch]'"):gmatch "core/([^\n]+)" do
      local name = path:gsub("%.[ch]$", "")
      local first = name:match "^%a+"
      local folder = path:match "^(.*)/[^/]*$" or ""
      local room = rooms[path] or rooms[name] or rooms[folder] or rooms[name:match "^host/%a+"] or folder == ""
        and rooms[first]
      assert.is_truthy(room, path)
    end
  end)
end)
