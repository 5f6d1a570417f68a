-- new.lua - what `lencase new NAME` writes: a first grate that works, and its spec

local output = require "lencase.output"

local new = {}

local grate = [[
-- NAME.lua - files whose names end in .keep are neither removed, renamed nor replaced by others
--
--   lencase run NAME.lua [ENDING] -- PROGRAM [ARGS...]

local lencase = require "lencase"

local ending = ... or ".keep"
local refused = lencase.fail "EPERM"

-- A null pointer is not a string: the kernel says what is wrong with it.
local function kept(path) return type(path) == "string" and path:sub(-#ending) == ending end

return lencase.grate {
  -- Also handles unlinkat. Without a return value the call proceeds.
  unlink = { "copy pathname", function(pathname)
    if kept(pathname) then return refused end
  end },

  -- Also handles renameat and renameat2. The kernel gets the copied paths.
  rename = { "copy oldpath, copy newpath", function(oldpath, newpath)
    if kept(oldpath) or kept(newpath) then return refused end
  end },
}
]]

local spec = [[
-- busted NAME_spec.lua - the policy with no program: calls of a simulated cage, a table in the kernel's place

local test = require "lencase.test"

local script = (debug.getinfo(1, "S").source:match "^@(.*/)" or "./") .. "NAME.lua"

describe("NAME.lua", function()
  local t

  before_each(function()
    t = test.load(script)
    t.bottom.unlink, t.bottom.rename = 0, 0
  end)

  after_each(function() t:finish() end)

  it("keeps what it is to keep", function()
    assert.same({ -1, "EPERM" }, { t:unlink "/tmp/a.keep" })
    assert.same({ -1, "EPERM" }, { t:unlinkat("AT_FDCWD", "a.keep", 0) })
    assert.same({ -1, "EPERM" }, { t:rename("a", "b.keep") })
    assert.same({}, t.calls) -- nothing of it reached the kernel
  end)

  it("lets the rest through", function()
    assert.equal(0, (t:unlink "/tmp/a"))
    assert.same({ pathname = 7 }, t:copied())
    assert.same({ { "unlink", pathname = "/tmp/a" } }, t.calls)
  end)

  it("holds in a child, and for bad pointers", function()
    assert.same({ -1, "EPERM" }, { t:fork():unlink "a.keep" })
    assert.same({ -1, "EFAULT" }, { t:unlink(test.BAD) })
  end)

  it("survives odd calls", function()
    local failure = test.fuzz(script, { n = 1000, seed = 1 })
    assert.is_nil(failure, tostring(failure))
  end)
end)
]]

-- Why nothing can be written there anew. Links that lead nowhere exist, too.
local function obstacle(path)
  local ok, message, errno = os.rename(path, path)
  if ok then return path .. " exists already" end
  if errno ~= 2 then return message end -- ENOENT
end

--- Writes NAME.lua and NAME_spec.lua, if neither is there: their paths, or nil and why not.
---@param name string with a folder or without, and with .lua or without
---@return string? grate
---@return string spec or the message
function new.write(name)
  local base = name:gsub("%.lua$", "")
  local last = base:match "[^/]*$"
  if not last:find "^[%w_][%w_-]*$" then
    return nil, ("'%s' is not a valid script name: use letters, digits, _ and -"):format(last)
  end
  local paths = { base .. ".lua", base .. "_spec.lua" }
  for _, path in ipairs(paths) do
    local why = obstacle(path)
    if why then return nil, why end
  end
  for i, text in ipairs { grate, spec } do
    local ok, message = output.save(paths[i], (text:gsub("NAME", (last:gsub("%%", "%%%%")))))
    if not ok then return nil, message end
  end
  return paths[1], paths[2]
end

return new
