-- compiled.lua - what is known about a script before it runs
--
-- About a script in a file nothing is: these tables are empty, and policies, contracts and prototypes are parsed.
-- The C file that `lencase compile` writes brings them as a module of their own, lencase.known, with what
-- was found out by running the script: neither text nor grammars are needed at its start.

local compiled = package.preload["lencase.known"] and require "lencase.known" or {
  trees = {}, -- what grammars make of texts: see key_of; functions, since trees are changed by their owners
  prototypes = {}, -- "text" -> { signature, the same with pointers of 4 bytes }
  lines = {}, -- a key of the definition -> the line on which the script sets it
}

---@type fun(kind: "trees"|"prototypes"|"lines", key: any, value: any)? notes what was found out: lencase compile
compiled.record = nil

--- The key in `trees` of a text and the name of the grammar that reads it.
---@param grammar string
---@param text string
---@return string
function compiled.key_of(grammar, text) return grammar .. ": " .. text end

--- Notes what was found out, if a compilation records it, and returns it.
function compiled.found(kind, key, value)
  if compiled.record and value ~= nil then compiled.record(kind, key, value) end
  return value
end

return compiled
