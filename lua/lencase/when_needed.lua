-- when_needed.lua - modules with grammars of their own, which few grates need: every run would wait for them

--- Stands for a module, which is loaded when something of it is used.
---@param name string
---@return table
return function(name)
  return setmetatable({}, { __index = function(_, key) return require(name)[key] end })
end
