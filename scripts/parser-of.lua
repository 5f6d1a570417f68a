-- parser-of.lua - the argparse parser of scripts/lencase, for what is generated from it
--
--   local parser_of = dofile "scripts/parser-of.lua"
--   local parser = parser_of "scripts/lencase"

-- Stands for any module of lencase's: they may not be built yet, and the parser needs none of them.
local stub = {}
setmetatable(stub, { __index = function() return stub end, __call = function() return stub end })

-- The parser of scripts/lencase, taken when it is about to read the command line.
return function(script)
  local argparse = require "argparse"
  local taken = {}
  local function take(parser) error(setmetatable({ parser = parser }, taken)) end
  package.loaded.argparse = setmetatable({}, { __index = argparse, __call = function(_, ...)
    local parser = argparse(...)
    parser.parse, parser.pparse = take, take
    return parser
  end })
  table.insert(package.searchers, 1, function(name)
    return name:find "^lencase%f[.\0]" and function() return stub end or nil
  end)
  local env = setmetatable({ arg = { [0] = script, "--help" } }, { __index = _G })
  local ok, caught = pcall(assert(loadfile(script, "t", env)), "--help")
  assert(not ok and getmetatable(caught) == taken, caught or "scripts/lencase has read no command line")
  return caught.parser
end
