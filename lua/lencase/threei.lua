-- threei.lua - 3i's calls, with names where the calls have numbers
--
-- Each is made as a call of the grate's own, so that the grates below may handle it.

local core = require "lencase.core"
local install = require "lencase.install"
local parsing = require "lencase.parsing"

local threei = { MATCH_ALL = -1 }

local REPLACE, DEREGISTER, OVERWRITE = 1, 2, 4 -- lencase.h
local REGISTER_FLAGS = { replace = REPLACE }
local TABLE_FLAGS = { merge = 0, replace = REPLACE, overwrite = OVERWRITE }
local COPY_TYPES = { bytes = 0, string = 1 }

local function flag_of(flags, name)
  if name == nil then return 0 end
  if flags[name] then return flags[name] end
  local names = {}
  for known in pairs(flags) do table.insert(names, known) end
  table.sort(names)
  error(("unknown flag '%s' (%s)"):format(tostring(name), table.concat(names, ", ")), 3)
end

local function callnum_of(call)
  if math.type(call) == "integer" then return call end
  local name = tostring(call)
  return core.callnum(name)
    or error(("unknown call '%s'%s"):format(name, parsing.did_you_mean(name, core.names())), 3)
end

function threei.register_handler(cage, call, flags)
  local nr, word = callnum_of(call), flag_of(REGISTER_FLAGS, flags)
  return install.sys.register_handler(core.cage_id(cage), nr, word, core.grate_id())
end

function threei.deregister_handler(cage, call)
  local nr = callnum_of(call)
  return install.sys.register_handler(core.cage_id(cage), nr, DEREGISTER, core.grate_id())
end

function threei.copy_handler_table_to_cage(target, source, flags)
  local word = flag_of(TABLE_FLAGS, flags)
  return install.sys.copy_handler_table_to_cage(core.cage_id(target), core.cage_id(source), word)
end

function threei.copy_data_between_cages(dest, src, len, type)
  local word = flag_of(COPY_TYPES, type)
  return install.sys.copy_data_between_cages(dest.addr, dest.cage, src.addr, src.cage, len, word)
end

return threei
