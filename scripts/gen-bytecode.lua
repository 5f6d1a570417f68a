#!/usr/bin/env lua5.4
-- gen-bytecode.lua - lencase's modules in Lua as they are and compiled, for liblencase-engine.so
--
--   lua5.4 scripts/gen-bytecode.lua lua/lencase/*.lua lua/lencase/calls/*.lua > FILE
--
-- core/grate_load.c reads FILE and uses the bytecode of modules whose files have not changed since:
-- each program that is executed inline loads them, and parsing them would take longest.
-- A string of Lua's release, then three strings for each module: name, text, bytecode; each with its size
-- before it, 4 bytes, the lowest first.

local RELEASE = assert(io.popen(arg[-1] .. " -v")):read "l":match "^(Lua %S+)"

local function contents(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

io.write(string.pack("<s4", RELEASE))
for _, path in ipairs(arg) do
  local tail = assert(path:match "(lencase/.*%.lua)$", path)
  local name = tail:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
  local text = contents(path)
  io.write(string.pack("<s4s4s4", name, text, string.dump(assert(load(text, "@" .. tail, "t")))))
end
