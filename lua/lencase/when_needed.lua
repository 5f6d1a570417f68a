-- when_needed.lua - loads modules on first use: their grammars take time to build, and few grates need them

--- Stands for a module, which is loaded when something of it is used.
---@param name string
---@return table
return function(name)
  return setmetatable({}, { __index = function(_, key) return require(name)[key] end })
end
