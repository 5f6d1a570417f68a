-- compile.lua - a script and all that it needs to start, as one C file: lencase compile
--
-- The script is run once, as a check does, so that what its policies, contracts and prototypes mean is
-- known: neither the grammars that read them nor LPeg are needed where the C file is loaded.

local core = require "lencase.core"

local compile = {}

---@class lencase.compile.options
---@field script string the script's file
---@field args? string[] the arguments with which it is run here
---@field name? string the NAME in NAME_load; by default the script's name
---@field strip? boolean without lines and names: smaller, but messages do not say where
---@field branches? integer[][] for each stack inside of the grate, the calls that it handles
---@field unchecked? boolean the script is not run: LPeg reads its policies when it is loaded

-- {================================== sources ===============================

local function contents(path)
  local file, message = io.open(path, "rb")
  if not file then error(message, 0) end
  local text = file:read "a"
  file:close()
  if not text then error(path .. ": cannot be read", 0) end
  return (text:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", "")) -- as luaL_loadfile does
end

local function is_ours(name) return name == "lencase" or name:find "^lencase%." ~= nil end

--- The name that a script's functions and tables have in C.
---@param script string
---@return string
function compile.name_of(script)
  local name = script:match "([^/]*)$":gsub("%.lua$", ""):gsub("[^%w_]", "_")
  return name:find "^%a" and name or "grate_" .. name
end

-- What a text names in `require`. A comment may name a module that does not exist, which is left out later.
local function required_in(text)
  local names = {}
  for _, word in ipairs { "require", "when_needed" } do
    for name in text:gmatch(word .. "%s*[(,]?%s*[\"']([%w_.%-]+)[\"']") do table.insert(names, name) end
  end
  return names
end

-- A module in Lua: { name =, text =, source = }; nil for one in C, or none.
local function module_at(name)
  local path = package.searchpath(name, package.path)
  if not path then return nil end
  local tail = name:gsub("%.", "/")
  local ours = is_ours(name) and (path:match(tail .. "%.lua$") or path:match(tail .. "/init%.lua$"))
  return { name = name, text = contents(path), source = ours or path }
end

-- All modules that the script needs, in a fixed order, and the names of those in C. A script that ran has
-- required what it needs (`ran`); what it will require in a handler is found in its text.
local function modules_of(text, ran)
  local modules, in_c, seen = {}, {}, { ["lencase.core"] = true, ["lencase.known"] = true, lpeg = true }
  local function add(name)
    if seen[name] then return end
    seen[name] = true
    local module = module_at(name)
    if module then
      table.insert(modules, module)
      if not (is_ours(name) and ran[name]) then for _, other in ipairs(required_in(module.text)) do add(other) end end
    elseif not is_ours(name) and package.searchpath(name, package.cpath) then
      table.insert(in_c, name)
    end
  end
  for name in pairs(ran) do add(name) end
  for _, name in ipairs(required_in(text)) do add(name) end
  table.sort(modules, function(a, b) return a.name < b.name end)
  table.sort(in_c)
  return modules, in_c
end

-- }==========================================================================

-- {================================== running ===============================

local function keys_of(t)
  local keys = {}
  for key in pairs(t) do table.insert(keys, key) end
  table.sort(keys, function(a, b)
    if type(a) ~= type(b) then return type(a) < type(b) end
    return a < b
  end)
  return keys
end

-- A table of plain values as Lua reads it, the same for the same table.
local function written(value)
  if type(value) ~= "table" then return ("%q"):format(value) end
  local parts = {}
  for _, key in ipairs(keys_of(value)) do
    table.insert(parts, ("[%q]=%s"):format(key, written(value[key])))
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- Trees are written when they are made, since their owners change them later.
local function recorder(known)
  return function(kind, key, value)
    known[kind][key] = kind == "trees" and "function() return " .. written(value) .. " end" or written(value)
  end
end

local function known_text(known)
  local kinds = {}
  for _, kind in ipairs(keys_of(known)) do
    local parts = {}
    for _, key in ipairs(keys_of(known[kind])) do table.insert(parts, ("[%q]=%s"):format(key, known[kind][key])) end
    table.insert(kinds, kind .. "={" .. table.concat(parts, ",") .. "}")
  end
  return "return {" .. table.concat(kinds, ",\n") .. "}"
end

local function copy(t)
  local new = {}
  for key, value in next, t do new[key] = value end
  return new
end

local function put_back(t, old)
  for key in pairs(copy(t)) do t[key] = old[key] end
  for key, value in pairs(old) do t[key] = value end
end

-- Every Lua module is loaded anew, so that all that are required are noticed.
local function forget_modules()
  for name in pairs(copy(package.loaded)) do
    local in_lua = name ~= "lencase.core" and package.searchpath(name, package.path)
    if in_lua then package.loaded[name] = nil end
  end
end

-- In a grate's state its branches come from the core.
local function set_branches(branches)
  core.branches = branches and function() return #branches end
  core.branch_calls = branches and function(i) return branches[i] end
end

--- Runs a script: what it returns, what was found out, and the set of names that it required.
---@param options lencase.compile.options
---@return table interface
---@return table<string, table<any, string>> known
---@return table<string, boolean> required
function compile.run(options)
  local chunk, message = load(contents(options.script), "@" .. options.script, "t")
  if not chunk then error(message, 0) end
  local known, required = { trees = {}, prototypes = {}, lines = {} }, {}
  local loaded, given, words = copy(package.loaded), arg, options.args or {}
  forget_modules()
  require "lencase.compiled".record = recorder(known)
  table.insert(package.searchers, 1, function(name) required[name] = true end)
  _G.arg = table.move(words, 1, #words, 1, { [0] = options.script })
  set_branches(options.branches)
  local ok, interface = pcall(chunk, table.unpack(words))
  set_branches(nil)
  _G.arg = given
  table.remove(package.searchers, 1)
  put_back(package.loaded, loaded)
  if not ok then error(interface, 0) end
  local meta = debug.getmetatable(interface)
  if not (meta and meta.__install) then
    error(options.script .. ": the script must end with 'return lencase.grate { ... }'", 0)
  end
  required["lencase.compiled"] = true
  return interface, known, required
end

-- }==========================================================================

-- {================================== C files ===============================

local FNV_BASIS, FNV_PRIME = 0xcbf29ce484222325, 0x100000001b3

-- FNV-1a, as core/grate_load.c has it.
local function checksum(bytes)
  local sum = FNV_BASIS
  for i = 1, #bytes do sum = (sum ~ bytes:byte(i)) * FNV_PRIME end
  return sum
end

local function dumped(text, source, strip)
  local chunk, message = load(text, "@" .. source, "t")
  if not chunk then error(message, 0) end
  return string.dump(chunk, strip)
end

-- { { name =, bytes = }, ... }: the script, what is known of it, the modules.
local function chunks_of(options, known, modules)
  local chunks = { { name = options.script, bytes = dumped(contents(options.script), options.script, options.strip) } }
  if known then
    table.insert(chunks, { name = "lencase.known", bytes = dumped(known_text(known), "lencase.known", true) })
  end
  for _, m in ipairs(modules) do
    table.insert(chunks, { name = m.name, bytes = dumped(m.text, m.source, options.strip) })
  end
  return chunks
end

local ROW = 24 -- bytes on a line

local function array(name, bytes)
  local rows = {}
  for i = 1, #bytes, ROW do
    table.insert(rows, "    " .. table.concat({ bytes:byte(i, math.min(i + ROW - 1, #bytes)) }, ", "))
  end
  return ("static const unsigned char %s[] = {\n%s};\n"):format(name, table.concat(rows, ",\n"))
end

--- A string as C reads it.
---@param text string
---@return string
function compile.quoted(text)
  return '"' .. text:gsub('[%c"\\\x7f-\xff?]', function(c) return ("\\%03o"):format(c:byte()) end) .. '"'
end

-- Text in a comment must not end it.
local function commented(text) return (text:gsub("%*/", "* /"):gsub("/%*", "/ *"):gsub("%c", "?")) end
compile.commented = commented

local HEAD = [[
/*
** %s: written by 'lencase compile' (lencase %s, %s); compile again instead of changing it
**
** Link it with liblencase. Declare this function, and call it before any cage runs:
**
**   int %s_load(lencase_state *st, int argc, const char *const argv[], lencase_grate **out);
**
** It loads the grate as lencase_load() does its script. %s
*/

#include <lencase.h>
]]

local TAIL = [[
static const lencase_compiled NAME_compiled = {
    %d, "%s", "%s", NAME_chunks, sizeof NAME_chunks / sizeof NAME_chunks[0]};

int NAME_load(lencase_state *st, int argc, const char *const argv[], lencase_grate **out);

int NAME_load(lencase_state *st, int argc, const char *const argv[], lencase_grate **out) {
  return lencase_load_compiled(st, &NAME_compiled, argc, argv, NULL, NULL, out);
}
]]

local function needs_text(in_c, unchecked)
  local needs = {}
  if unchecked then
    table.insert(needs, "LPeg, for policies and contracts that are text: the script was not run when it was compiled")
  end
  if #in_c > 0 then table.insert(needs, "modules in C, as 'require' finds them: " .. table.concat(in_c, ", ")) end
  if #needs == 0 then return "Nothing else is read or parsed." end
  return "It needs\n** " .. table.concat(needs, ";\n** ") .. "."
end

--- The text of a C file, and the names of the C modules that the script will look for.
---@param options lencase.compile.options
---@return string
---@return string[]
function compile.to_c(options)
  local known, ran
  if not options.unchecked then known, ran = select(2, compile.run(options)) end
  local modules, in_c = modules_of(contents(options.script), ran or {})
  local name = options.name or compile.name_of(options.script)
  local out = { (HEAD:format(commented(options.script), core.version, core.lua, name,
                             needs_text(in_c, options.unchecked))) }
  local rows = {}
  for i, chunk in ipairs(chunks_of(options, known, modules)) do
    local id = ("%s_chunk_%d"):format(name, i)
    table.insert(out, array(id, chunk.bytes))
    table.insert(rows, ("    {%s, %s, sizeof %s, UINT64_C(0x%016x)},\n"):format(
      compile.quoted(chunk.name), id, id, checksum(chunk.bytes)))
  end
  table.insert(out, ("static const lencase_chunk %s_chunks[] = {\n%s};"):format(name, table.concat(rows)))
  table.insert(out, (TAIL:gsub("NAME", name):format(core.compiled, core.version, core.lua)))
  return table.concat(out, "\n"), in_c
end

-- }==========================================================================

return compile
