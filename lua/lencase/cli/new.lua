-- new.lua - lencase new: a first grate and its spec

local files = require "lencase.cli.files"
local shell = require "lencase.cli.shell"

local command = { name = "new", brief = "Write a first grate that works, NAME.lua, and its spec, NAME_spec.lua." }

function command.declare(c)
  c:argument("name", "The grate's name; existing files are not overwritten."):argname "NAME"
end

-- Where a checkout's modules are, for a busted that does not find them by itself.
local function module_paths()
  local here = files.here
  if not files.is_there(here .. "/../lua/lencase/init.lua") then return "" end
  return ("LUA_PATH='%s/../lua/?.lua;%s/../lua/?/init.lua;;' LUA_CPATH='%s/?.so;;' "):format(here, here, files.build())
end

function command.run(args)
  local grate, spec = require("lencase.tools.new").write(args.name)
  if not grate then shell.give_up(shell.FAILED, "%s", spec) end
  shell.put(("%s: lencase run %s -- PROGRAM\n"):format(grate, grate))
  shell.put(("%s: %sbusted --lua=lua5.4 %s\n"):format(spec, module_paths(), spec))
end

return command
