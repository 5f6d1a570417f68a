-- sim_caller.lua - helper_caller.c for a simulated cage: lua5.4 sim_caller.lua SCRIPT REPORT CALL...
-- A process of its own, because the descriptors of a sim cage are those of its process.

local core = require "lencase.core"

local scripts, report = arg[1], {} -- the scripts of a stack, with ":" between them
local events = 0 -- as lencase.h has them
for kind, bit in pairs { stops = 1, calls = 2, window = 4, routes = 8 } do
  if (os.getenv "LENCASE_DEBUG" or ""):find(kind) then events = events | bit end
end
local state = core.state { log = function(line) io.stderr:write("lencase: ", line, "\n") end, debug = events }
for script in scripts:gmatch "[^:]+" do
  local loaded, _, message = state:load(script, {})
  if not loaded then error(message, 0) end
end
local cage = state:sim { guard = true }
local results, buffers

-- Every object of a guarded cage lies right before a page that cannot be read.
local function bare(text)
  local at = cage:alloc(#text)
  cage:write(at, text)
  return at, #text
end

local function simple(word)
  if word:sub(1, 2) == "!@" then return bare((word:sub(3):gsub("_", " "))) end
  word = word:gsub("^!", "")
  local kind, rest = word:sub(1, 1), word:sub(2)
  if kind == "@" then return cage:put((rest:gsub("_", " "))), #rest end
  if kind == "=" then return results[tonumber(rest)] end
  if kind ~= "%" then return word:find "^0%d" and tonumber(word, 8) or math.tointeger(tonumber(word)) end
  local size = tonumber(rest)
  local at = cage:alloc(size)
  table.insert(buffers, { at = at, size = size })
  return at, size
end

local function list(kind, items)
  local packed = {}
  for item in items:gmatch "[^,]+" do
    local value, size = simple(item)
    if item:sub(1, 1) == "!" then size = size + 1 end -- the run is said to be longer than it is
    table.insert(packed, string.pack("<i8", value))
    if kind == "v" then table.insert(packed, string.pack("<i8", size)) end
  end
  local bytes = table.concat(packed)
  local at = cage:alloc(#bytes)
  cage:write(at, bytes)
  return at
end

local function value_of(word)
  local kind, items = word:match "^!?(%a):(.*)$"
  if kind then return list(kind, items) end
  return (simple(word))
end

local function make(call)
  local words = {}
  buffers = {}
  for word in call:gmatch "%S+" do table.insert(words, #words == 0 and tonumber(word) or value_of(word)) end
  local result = cage:call(table.unpack(words))
  table.insert(results, result)
  local line = tostring(result)
  for _, b in ipairs(buffers) do line = line .. " [" .. cage:read(b.at, b.size):gsub("%z+$", "") .. "]" end
  return line
end

results = {}
for i = 3, #arg do table.insert(report, make(arg[i])) end
state:finish(0)
cage:exit(0)
state:close()
local file = assert(io.open(arg[2], "wb"))
file:write(table.concat(report, "\n"), "\n")
file:close()
