-- reload.lua - a grate's script loaded again, in the same Lua state
--
-- The script runs with fresh globals, and the modules that it required are loaded anew, so that
-- nothing is kept but what `keep` names. A failure leaves everything as it was.

local core = require "lencase.core"
local fdtable = require "lencase.fdtable"
local per_cage = require "lencase.per_cage"

local reload = {}

local registry, GLOBALS = debug.getregistry(), 2 -- LUA_RIDX_GLOBALS

local function copy(t)
  local new = {}
  for key, value in next, t do new[key] = value end
  return new
end

local standard = copy(registry[GLOBALS])
local words -- the script and its arguments

--- The script that runs first: it may change `arg` later.
function reload.remember() words = words or copy(type(arg) == "table" and arg or {}) end

-- {================================= script =================================

local function fresh_globals()
  local globals = copy(standard)
  globals._G, globals.arg = globals, copy(words)
  return globals
end

-- The author's own Lua modules; C modules and lencase's stay.
local function forget_modules()
  for name in pairs(copy(package.loaded)) do
    if not name:find "^lencase" and package.searchpath(name, package.path) then package.loaded[name] = nil end
  end
end

local function put_back(t, old)
  for key in pairs(copy(t)) do t[key] = old[key] end
  for key, value in pairs(old) do t[key] = value end
end

-- In a coroutine of its own no cage is calling, as when the script ran first.
local function run_script()
  local chunk, message = loadfile(words[0])
  if not chunk then error(message, 0) end
  local co = coroutine.create(chunk)
  core.timed(co)
  local ok, result = coroutine.resume(co, table.unpack(words))
  if not ok then error(result, 0) end
  if not debug.getmetatable(result) or not debug.getmetatable(result).__install then
    error(words[0] .. ": the script must end with 'return lencase.grate { ... }'", 0)
  end
  return result
end

-- }==========================================================================

-- {================================== keeping ===============================

-- A handler that still runs and has the old table reaches the new one through it.
local function stands_for(new)
  return { __index = new, __newindex = new, __len = function() return #new end,
           __pairs = function() return pairs(new) end }
end

local function merged(new, old)
  for key, value in next, old do rawset(new, key, value) end
  local meta = stands_for(new)
  return function()
    for key in next, old do rawset(old, key, nil) end
    debug.setmetatable(old, meta)
  end
end

local function kept(name, new, old)
  if new == old then return function() end end
  if per_cage.is(new) ~= per_cage.is(old) then
    error(("keep: '%s' was a table of another kind before"):format(name), 0)
  end
  if per_cage.is(new) then return function() per_cage.adopt(new, old) end end
  return merged(new, old)
end

--- What is to be done, once nothing can fail any more, so that `new` takes over what `old` has.
---@param new table<string, table>
---@param old table<string, table>
---@return (fun())[]
function reload.keep(new, old)
  local steps = {}
  for name, value in pairs(new) do
    if old[name] then table.insert(steps, kept(name, value, old[name])) end
  end
  return steps
end

-- }==========================================================================

local busy = false

-- `prepare(interface)` returns what is done when nothing can fail any more.
local function try(prepare)
  local cages, descriptors = per_cage.mark(), fdtable.mark()
  local globals, loaded = registry[GLOBALS], copy(package.loaded)
  registry[GLOBALS] = fresh_globals()
  forget_modules()
  local ok, finish = pcall(function()
    local interface = run_script()
    core.reload_begin()
    return prepare(interface, descriptors)
  end)
  if ok then
    core.reload_end(function()
      per_cage.forget(cages)
      fdtable.forget(descriptors)
      finish()
    end)
    return true
  end
  core.reload_end()
  registry[GLOBALS] = globals
  put_back(package.loaded, loaded)
  per_cage.cut(cages)
  fdtable.cut(descriptors)
  return nil, tostring(finish)
end

--- Loads the script again: true, or nil and why the old one stays.
---@param prepare fun(interface: lencase.interface, descriptors: integer): fun()
---@return boolean?, string?
function reload.run(prepare)
  if busy or not words then return nil, "there is nothing to reload" end
  if core.script_text() then return nil, words[0] .. ": it was loaded from memory, there is no file to reload" end
  busy = true
  local ok, message = core.untimed(function() return try(prepare) end)
  busy = false
  return ok, not ok and message .. "; not reloaded, the old script stays in force" or nil
end

return reload
