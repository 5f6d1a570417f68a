-- parser-of.lua - argparse's parser of the command lencase, for what is generated from it
--
--   local parser = dofile "scripts/parser-of.lua" "lua"

-- Replaces every module of lencase outside cli/: they may not be built yet, and the parser needs none of them.
local stub = {}
setmetatable(stub, { __index = function() return stub end, __call = function() return stub end })

-- `folder` has lencase's modules.
return function(folder)
  package.path = ("%s/?.lua;%s/?/init.lua;%s"):format(folder, folder, package.path)
  table.insert(package.searchers, 1, function(name)
    local is_stub = name:find "^lencase%f[.\0]" and not name:find "^lencase%.cli%f[.\0]"
    return is_stub and function() return stub end or nil
  end)
  return (require "lencase.cli".parser())
end
