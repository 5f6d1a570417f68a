-- where.lua - places in a script, which messages begin with: "script.lua:12"

local compiled = require "lencase.compiled"
local core = require "lencase.core"

local where = {}

local OURS = debug.getinfo(1, "S").source:match "^.*/" or "" -- where lencase's own functions come from

-- Whether it is a Lua function of the author's.
local function is_lua(fn)
  local info = type(fn) == "function" and debug.getinfo(fn, "S")
  return info and info.what ~= "C" and (OURS == "" or info.source:sub(1, #OURS) ~= OURS)
end

local STRIPPED = "=?" -- the source of bytecode without debug information

--- The script that has a definition. Most scripts call lencase.grate as a tail call, which leaves
--- no trace on the stack: the source of any function in the definition says which it is.
---@param definition any
---@return string? path
function where.script(definition)
  for _, value in pairs(type(definition) == "table" and definition or {}) do
    local fn = type(value) == "table" and rawget(value, 2) or value
    local source = is_lua(fn) and debug.getinfo(fn, "S").source
    if source and source ~= STRIPPED then return source:match "^@(.*)" end
  end
  return type(arg) == "table" and arg[0] or nil
end

--- The text of a script, from a file or from memory; nil when it cannot be read.
---@param script string
---@return string? text
function where.text(script)
  local text = core.script_text and core.script_text()
  local file = not text and io.open(script, "rb")
  if not file then return text end
  text = file:read "a"
  file:close()
  return text
end

local read = {} -- the text whose `lines` are known: key -> the first line on which it is set

-- The lines of the keys of the definitions in a text; none when LPeg is missing, or in a compiled script.
local function lines_of(text)
  if text == read.text then return read.lines end
  read = { text = text, lines = {} }
  local found, source = pcall(require, "lencase.source")
  local tree = text ~= "" and found and source.parse(text)
  for _, k in ipairs(tree and source.keys(tree) or {}) do
    read.lines[k.key] = read.lines[k.key] or source.line(text, k.pos)
  end
  return read.lines
end

-- The first line on which the script sets `key`, as in "key =" or "[1] ="; nil when the key is computed.
local function line_of(script, key)
  return compiled.lines[key] or compiled.found("lines", key, lines_of(where.text(script) or "")[key])
end

--- "script.lua:12" of what is said about a key of a definition.
---@param definition any
---@param key? any
---@return string
function where.of(definition, key)
  local value = key and definition[key]
  local fn = type(value) == "table" and rawget(value, 2) or value
  if is_lua(fn) then
    local info = debug.getinfo(fn, "S")
    local source = info.source == STRIPPED and where.script(definition) or info.short_src
    return source .. ":" .. info.linedefined
  end
  local script = where.script(definition)
  local line = script and key and line_of(script, key)
  return line and ("%s:%d"):format(script, line) or script or "lencase.grate"
end

--- An error whose message begins with the place.
---@param at string
---@param fmt string
function where.fail(at, fmt, ...) error(at .. ": " .. fmt:format(...), 0) end

return where
