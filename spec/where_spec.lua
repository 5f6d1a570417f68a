-- Where a message says that a key of a definition is set: the line that the parser of Lua finds.

local source = require "lencase.source"
local support = require "spec.support"

-- The lines of the keys that source.keys finds in a text.
local function lines_of(text)
  local lines = {}
  for _, k in ipairs(source.keys(assert(source.parse(text)))) do lines[k.key] = source.line(text, k.pos) end
  return lines
end

describe("a key of a definition", function()
  it("is found in every way to write it", function()
    assert.same({ socket = 2, bind = 3, [41] = 4, listen = 6, [42] = 7 }, lines_of [==[
local T = {
  socket = 1,
  ["bind"] = 2, [ [[connect]] .. "" ] = 3,
  [41] = 4,
}
T.listen = 5
T[0x2a] = 6
return lencase.grate(T)]==])
  end)

  it("is not found in comments, strings and other tables", function()
    assert.same({ on_start = 7, bind = 7, state = 8, socket = 9 }, lines_of [==[
--[[ socket = before
state = before ]]
local text, more = "socket = 1", [[
state = 2]]
local socket = { state = 3, socket = 4 }
return require "lencase".grate {
  on_start = function() socket.state = 5 return { socket = 6 } end, bind = { "pass buf", args = { socket = "1" } },
  state = {}, [socket.state] = "socket = 7",
  socket = 8, -- socket = 9
}]==])
  end)

  it("has no line when it is computed", function()
    assert.same({}, lines_of 'local T = {} for _, n in ipairs { "socket" } do T[n] = 1 end return lencase.grate(T)')
    assert.same({}, lines_of 'return lencase.grate { ["sock" .. "et"] = 1 }')
  end)

  it("is named with its line in messages", function()
    support.in_folder(function(dir)
      local script = support.write_file(dir .. "/grate.lua", [[
local lencase = require "lencase"
-- on_error = "kill", as in
local other = { on_error = "kill" }
return lencase.grate {
  getpid = lencase.fail "EPERM", keep = { other = other },
  on_error = "EPREM",
}]])
      local _, err, status = support.sh(("%s run %s -- true"):format(support.lencase, script))
      assert.equal(125, status)
      assert.equal(("lencase: %s:6: on_error must be \"kill\", \"pass\" or the name of an errno, not \"EPREM\"\n")
        :format(script), err)
    end)
  end)
end)
