std = "lua54"
max_line_length = 120
exclude_files = { "build*/**" }
files["spec/**"] = { std = "+busted" }
files["examples/*_spec.lua"] = { std = "+busted", max_line_length = 180 }
files["spec"].max_line_length = 180 -- expected messages stand in one piece
files["scripts/lencase"] = { globals = { "_" } } -- a shell assigns to it, too

-- Jobs are lines of shell.
files["spec/transparency/jobs.lua"] = { max_line_length = false }
