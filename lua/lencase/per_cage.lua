-- per_cage.lua - a table for each cage: state that follows the program
--
-- A cage's table is made when it is first used, copied when the cage forks, kept over exec and dropped
-- when the cage has ended. Cages are distinguished by their ids, which are never used again; a pid may be.

local core = require "lencase.core"
local parsing = require "lencase.parsing"

local per_cage = {}

---@class lencase.per_cage.definition
---@field init? fun(cage: lencase.cage): table? the table of a cage that has none yet; nil: an empty one
---@field fork? fun(values: table, child: lencase.cage, parent: lencase.cage, shares_files: boolean): table the child's
---  table, from its parent's; without it a deep copy. The parent's own: they share it
---@field exec? fun(values: table, cage: lencase.cage): table the cage's table from now on; without it the same

---@class lencase.per_cage A key is one of the table of the cage that calls (inside handlers).
---@field [any] any
---@overload fun(cage?: lencase.cage): table the table itself, of the cage that calls or of `cage`

local FIELDS = { init = true, fork = true, exec = true }

-- Every one of this grate, in the order they were made and by their proxies:
-- { definition =, tables = { [id] = table } }
local all, of_proxy = {}, setmetatable({}, { __mode = "k" })

-- {================================== copies ================================

-- What is reached more than once is one table in the copy, too; metatables, functions and
-- userdata are shared.
local function deep_copy(root)
  local copies, pending = {}, {}
  local function copy_of(value)
    if type(value) ~= "table" or of_proxy[value] then return value end
    if not copies[value] then
      copies[value] = {}
      table.insert(pending, value)
    end
    return copies[value]
  end
  local copy = copy_of(root)
  while #pending > 0 do
    local original = table.remove(pending)
    for key, value in next, original do rawset(copies[original], copy_of(key), copy_of(value)) end
    debug.setmetatable(copies[original], debug.getmetatable(original))
  end
  return copy
end

-- }==========================================================================

-- {================================== tables ================================

local function table_from(what, value)
  if type(value) == "table" then return value end
  error(("per_cage: %s must return a table, not a %s"):format(what, type(value)), 0)
end

local function made(self, cage)
  if cage.gone then error(("%s has ended, and its tables are gone"):format(cage), 4) end
  local init = self.definition.init
  local values = init and init(cage)
  if values == nil then values = {} end
  table_from("init", values)
  local id = cage.id -- init may have waited for a call, and another handler of the cage made the table meanwhile
  self.tables[id] = self.tables[id] or values
  return self.tables[id]
end

local function values_for(self, cage)
  cage = cage or core.cage and core.cage()
  if not cage then
    error("a per_cage table belongs to the calling cage: use it in a handler, or name the cage", 3)
  end
  return self.tables[cage.id] or made(self, cage)
end

local cage_id = core.cage_id or function() end

-- Most accesses are a handler's, and need only the id of its cage.
local function values_of(self, cage)
  local id = not cage and cage_id()
  local values = id and self.tables[id]
  if values then return values end
  return values_for(self, cage) -- a tail call: its errors count the levels from here
end

local function check(definition)
  local kind = type(definition)
  if kind == "function" then return { init = definition } end
  if definition ~= nil and kind ~= "table" then
    error(("per_cage takes a function or { init =, fork =, exec = }, not a %s"):format(kind), 4)
  end
  local names = { "init", "fork", "exec" }
  for key, value in pairs(definition or {}) do
    if not FIELDS[key] then
      error(("per_cage: there is no '%s'%s"):format(tostring(key), parsing.did_you_mean(tostring(key), names)), 4)
    end
    if type(value) ~= "function" then
      error(("per_cage: %s must be a function, not a %s"):format(key, type(value)), 4)
    end
  end
  return definition or {}
end

--- The proxy, and its `tables` by cage id.
---@param definition? lencase.per_cage.definition|fun(cage: lencase.cage): table?
---@return lencase.per_cage
---@return table
function per_cage.new(definition)
  local self = { definition = check(definition), tables = {} }
  local proxy = setmetatable({}, {
    __name = "lencase.per_cage",
    __index = function(_, key) return values_of(self)[key] end,
    __newindex = function(_, key, value) values_of(self)[key] = value end,
    __call = function(_, cage) return values_of(self, cage) end,
    __len = function() return #values_of(self) end,
    __pairs = function() return pairs(values_of(self)) end,
  })
  of_proxy[proxy] = self
  table.insert(all, self)
  return proxy, self
end

-- }==========================================================================

-- {================================== events ================================

local events = {}

function events.new(self, cage, parent, shares_files)
  local fork = self.definition.fork
  if not parent or not fork and not self.tables[parent.id] then return end
  local values = values_of(self, parent)
  self.tables[cage.id] = fork and table_from("fork", fork(values, cage, parent, shares_files)) or deep_copy(values)
end

function events.exec(self, cage)
  local values, exec = self.tables[cage.id], self.definition.exec
  if values and exec then self.tables[cage.id] = table_from("exec", exec(values, cage)) end
end

function events.exit(self, cage) self.tables[cage.id] = nil end

--- A cage was created, runs a new program, or has ended. When one of the author's functions fails, the
--- others still run.
function per_cage.event(name, ...)
  local first
  for _, self in ipairs(events[name] and all or {}) do
    local ok, message = pcall(events[name], self, ...)
    if not ok then first = first or message end
  end
  if first then error(first, 0) end
end

-- }==========================================================================

-- {================================= reloading ==============================

--- What a reloaded script makes comes after the mark: either that is dropped again, or all before it.
function per_cage.mark() return #all end

function per_cage.cut(n)
  for i = #all, n + 1, -1 do all[i] = nil end
end

function per_cage.forget(n)
  table.move(all, n + 1, #all + n, 1)
end

function per_cage.is(value) return of_proxy[value] ~= nil end

--- One takes over the tables of the other.
function per_cage.adopt(new, old) of_proxy[new].tables = of_proxy[old].tables end

-- }==========================================================================

return per_cage
