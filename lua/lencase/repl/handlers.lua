-- handlers.lua - the calls that are handled at the prompt, as they are now
--
-- What is typed becomes a definition as a script would return it, is checked like one, and replaces the
-- definition in force: handlers stay closures of the prompt's own environment.

local core = require "lencase.core"
local definitions = require "lencase.definition"
local install = require "lencase.install"
local parsing = require "lencase.parsing"

local handlers = {
  entries = {}, -- name -> what a script writes for the call: a function, a failure, { policy, handler }
  options = {}, -- on_cage, ...: of a file that was loaded
  changed = {}, -- name -> true: changed since the file was loaded
  watch = nil,  -- function(entry, ...) -> done: called for each call that a handler gets
}

local interface -- what is in force

local function definition()
  local d = {}
  for name, value in pairs(handlers.options) do d[name] = value end
  for name, value in pairs(handlers.entries) do d[name] = value end
  return d
end

local function finish(done, ...)
  done(...)
  return ...
end

local function watched(e)
  local fn = e.fn
  if not fn then return nil end
  return function(...)
    local done = handlers.watch(e, ...)
    return finish(done, fn(...))
  end
end

--- Puts the entries and options in force; raises an error and changes nothing when they are wrong.
function handlers.apply()
  local new = definitions.new(definition())
  for _, e in ipairs(new.entries) do e.fn = watched(e) end
  local ok, message = install.exchange(new)
  if not ok then error(message, 0) end
  interface = new
end

local function exchange(name, value)
  local old = handlers.entries[name]
  handlers.entries[name] = value
  local ok, message = pcall(handlers.apply)
  if ok then
    handlers.changed[name] = true
    return
  end
  handlers.entries[name] = old
  error(message, 0)
end

-- The entry of a call that the author has given a prototype, by its number or its name.
local function own_entry(call)
  for _, e in ipairs(interface and interface.entries or {}) do
    if e.signature and (e.nr == call or e.name == call) then return e end
  end
end

--- A call by its name or number: number, name, and the argument for placing.describe; nil: there is none.
---@param call string|integer
---@return integer? nr
---@return string name
---@return integer|userdata described_by
function handlers.call(call)
  local own = own_entry(call)
  if own then return own.nr, own.name, own.signature end
  local nr = math.tointeger(tonumber(call)) or core.callnum(call)
  if nr then return nr, core.callname(nr), nr end
end

-- The key of a call among the entries: its name, or the number of one that the author describes.
local function key_of(call)
  if type(call) ~= "string" and math.type(call) ~= "integer" then
    error("a call's name comes first, as in on(\"write\", ...)", 0)
  end
  local own = own_entry(call)
  if own then return own.nr end
  local name = math.type(call) == "integer" and core.callname(call)
  if name and core.callnum(name) == call then return name end
  if name and not install.is_own(call) then
    error("calls of your own have numbers from 2000 to 2099 at the prompt", 0)
  end
  return call
end

--- on(call, [policy,] handler): from now on this handles it. Also on(call, { policy, handler, exact = true }), and
--- on(2000, { prototype = "int frob(int a);", policy, handler }) for a call of your own.
function handlers.on(call, policy, fn)
  local name = key_of(call)
  if fn ~= nil then return exchange(name, { policy, fn }) end
  if policy == nil then error("on(\"" .. call .. "\", \"policy\", function(...) ... end)", 0) end
  exchange(name, policy)
end

local function handled(name)
  if handlers.entries[name] ~= nil then return end
  local names = {}
  for known in pairs(handlers.entries) do table.insert(names, tostring(known)) end
  error(("nothing handles '%s'%s"):format(name, parsing.did_you_mean(tostring(name), names)), 0)
end

--- off(call): nothing handles it any more; off() all.
function handlers.off(call)
  if call then
    handled(key_of(call))
    return exchange(key_of(call), nil)
  end
  for name in pairs(handlers.entries) do handlers.changed[name] = true end
  handlers.entries = {}
  handlers.apply()
end

local function parts(value)
  if type(value) == "table" and not definitions.is_failure(value) then return value end
  return { nil, value }
end

--- policy(call, text): changes what is copied, with the same handler. policy(call) shows it.
function handlers.policy(call, text)
  local name = key_of(call)
  handled(name)
  local old = parts(handlers.entries[name])
  if text == nil then return old[1] or "COPY_ALL_ARGS" end
  local new = {}
  for key, value in pairs(old) do new[key] = value end
  new[1] = text
  exchange(name, new)
end

--- The entry in force for a call, of its own or by its family: with nr, name, policy (a mask), where.
function handlers.entry(nr)
  local list = interface and interface.routes[nr]
  return list and list[1]
end

--- All entries in force, by their numbers.
function handlers.list() return interface and interface.entries or {} end

return handlers
