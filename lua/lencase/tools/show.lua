-- show.lua - values in Lua's own notation, for reading; colours on a terminal only

local core = require "lencase.core"
local policy = require "lencase.policy"

local show = {}

local MAX_DEPTH, MAX_STRING, MAX_ITEMS, WIDTH = 4, 240, 100, 90

local COLOURS = { error = "31", dim = "2", result = "36" }
local colourful = core.isatty(1) and not os.getenv "NO_COLOR"

--- `text` in the colour of its kind: "error", "dim", "result".
---@param kind string
---@param text string
---@return string
function show.paint(kind, text)
  if not colourful then return text end
  return "\27[" .. COLOURS[kind] .. "m" .. text .. "\27[0m"
end

local escapes = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ["\0"] = "\\0", ['"'] = '\\"', ["\\"] = "\\\\" }

local function escaped(c) return escapes[c] or ("\\x%02x"):format(c:byte()) end

--- A string as a literal, cut after `max` bytes.
---@param s string
---@param max? integer
---@return string
function show.string(s, max)
  max = max or MAX_STRING
  local shown = s:sub(1, max):gsub('[%c"\\\127-\255]', function(c)
    return utf8.len(s) and c:byte() >= 128 and c or escaped(c)
  end)
  return '"' .. shown .. '"' .. (#s > max and ("... (%d bytes)"):format(#s) or "")
end

local function is_name(key) return type(key) == "string" and key:find "^[%a_][%w_]*$" end

local function by_type(a, b)
  if type(a) ~= type(b) then return type(a) == "number" end
  return (type(a) == "number" or type(a) == "string") and a < b
end

local value_of

local function joined(items, depth)
  local line = "{ " .. table.concat(items, ", ") .. " }"
  if #items == 0 then return "{}" end
  if #line <= WIDTH - 2 * depth and not line:find "\n" then return line end
  local indent = ("  "):rep(depth + 1)
  return "{\n" .. indent .. table.concat(items, ",\n" .. indent) .. "\n" .. ("  "):rep(depth) .. "}"
end

local function items_of(t, n, depth, seen)
  local items, keys = {}, {}
  for i = 1, math.min(n, MAX_ITEMS) do items[i] = value_of(t[i], depth + 1, seen) end
  for key in next, type(t) == "table" and t or {} do
    if not (math.type(key) == "integer" and key >= 1 and key <= n) then table.insert(keys, key) end
  end
  table.sort(keys, by_type)
  for _, key in ipairs(keys) do
    if #items >= MAX_ITEMS then break end
    local name = is_name(key) and key or "[" .. value_of(key, depth + 1, seen) .. "]"
    table.insert(items, name .. " = " .. value_of(t[key], depth + 1, seen))
  end
  local left = math.max(0, n - MAX_ITEMS) + math.max(0, #keys - math.max(0, MAX_ITEMS - n))
  if left > 0 then table.insert(items, ("... (%d more)"):format(left)) end
  return items
end

local function table_of(t, depth, seen)
  if seen[t] then return "{ ... }" end
  if depth >= MAX_DEPTH then return next(t) == nil and "{}" or "{ ... }" end
  seen[t] = true
  local text = joined(items_of(t, rawlen(t), depth, seen), depth)
  seen[t] = nil
  return text
end

-- A struct by its fields, an array by its elements, bytes as a string.
local function view_of(view, depth, seen)
  local ok, bytes = pcall(tostring, view)
  if ok and not bytes:find "^lencase%.view: 0x" then return show.string(bytes) end
  local items = {}
  local fine, message = pcall(function()
    for key, value in pairs(view) do
      local name = is_name(key) and key .. " = " or ""
      if not (is_name(key) and key:find "^__") then table.insert(items, name .. value_of(value, depth + 1, seen)) end
    end
  end)
  return fine and joined(items, depth) or "(a view: " .. tostring(message):gsub("^.-: ", "") .. ")"
end

local function function_of(fn)
  local info = debug.getinfo(fn, "S")
  if info.what == "C" then return "function (C)" end
  return ("function (%s:%d)"):format(info.short_src, info.linedefined)
end

local function userdata_of(value, depth, seen)
  if value == core.NULL then return "NULL" end
  local meta = debug.getmetatable(value)
  if meta and meta.__pairs then return view_of(value, depth, seen) end
  if meta and meta.__name == "lencase.cage" and not value.gone then
    return ("cage %d (%s)"):format(value.id, value.comm)
  end
  return tostring(value)
end

function value_of(value, depth, seen)
  local kind = type(value)
  if kind == "string" then return show.string(value) end
  if kind == "function" then return function_of(value) end
  if kind == "userdata" then return userdata_of(value, depth, seen) end
  if kind ~= "table" then return tostring(value) end
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then return tostring(value) end
  return table_of(value, depth, seen)
end

--- Any value as text.
---@param value any
---@return string
function show.value(value) return value_of(value, 0, {}) end

--- Several, as a chunk returned them.
---@param values table with n
---@return string
function show.values(values)
  local list = {}
  for i = 1, values.n do list[i] = show.value(values[i]) end
  return table.concat(list, "  ")
end

--- A time in a fitting unit.
---@param seconds number
---@return string
function show.time(seconds)
  if seconds < 1e-3 then return ("%.0f us"):format(seconds * 1e6) end
  if seconds < 1 then return ("%.1f ms"):format(seconds * 1e3) end
  return ("%.2f s"):format(seconds)
end

local SETS = { "COPY_ALL_ARGS", "PASS_THROUGH_POINTERS", "PASS_THROUGH_ALL" }

--- A policy as an expression of lencase's constants.
---@param mask integer
---@return string
function show.policy(mask)
  for _, set in ipairs(SETS) do
    local terms, sum = { "lencase." .. set }, policy[set]
    for n = 1, 6 do
      for _, verb in ipairs { "COPY", "PASS", "ADDR", "ONCE" } do
        local bits = policy[verb](n)
        if mask & bits == bits and sum & bits ~= bits then
          table.insert(terms, ("lencase.%s(%d)"):format(verb, n))
          sum = sum | bits
        end
      end
    end
    if sum == mask then return table.concat(terms, " | ") end
  end
  return ("0x%x"):format(mask)
end

return show
