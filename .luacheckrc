std = "lua54"
max_line_length = false -- scripts/check-columns.lua
exclude_files = { "build*/**" }
files["spec/**"] = { std = "+busted" }
files["examples/*_spec.lua"] = { std = "+busted" }
files["scripts/lencase"] = { globals = { "_" } } -- a shell assigns to it, too
