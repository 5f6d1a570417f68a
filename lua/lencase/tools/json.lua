-- json.lua - JSON, written and read: what recordings are made of, and what --json prints

local cjson = require "cjson"

local json = { null = cjson.null, decode = cjson.decode }

-- Bytes that are escaped: also all that a terminal may interpret.
local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r" }
for code = 0, 255 do
  local byte = string.char(code)
  local plain = code >= 0xa0 and utf8.char(code) or ("\\u%04x"):format(code)
  escapes[byte] = escapes[byte] or plain
end

--- A string of any bytes: each as the character of its number.
---@param s string
---@return string
function json.bytes(s) return '"' .. s:gsub('[%c"\\\x7f-\xff]', escapes) .. '"' end

--- Text: UTF-8 as it is, anything else as bytes.
---@param s string
---@return string
function json.text(s)
  if not utf8.len(s) then return json.bytes(s) end
  return '"' .. s:gsub('[%c"\\]', escapes) .. '"'
end

--- Integers up to here are exact for readers that read numbers as doubles.
json.EXACT = 1 << 53

local function integer(n)
  if n > -json.EXACT and n < json.EXACT then return ("%d"):format(n) end
  return ('"0x%x"'):format(n)
end

---@class lencase.json.options
---@field keys string[] the keys of objects, in this order; others are not written
---@field string fun(s: string): string json.bytes or json.text
---@field empty? table<string, boolean> the lists that are also written when they are empty
---@field space? string after commas and colons

--- A function that writes a value. An integer that is not exact everywhere is written as a string, in hexadecimal.
---@param options lencase.json.options
---@return fun(value: any): string
function json.writer(options)
  local keys, string_of, empty, space = options.keys, options.string, options.empty or {}, options.space or ""
  local comma, field = "," .. space, '"%s":' .. space .. "%s"
  local write

  local function list(values)
    local parts = {}
    for i, value in ipairs(values) do parts[i] = write(value) end
    return "[" .. table.concat(parts, comma) .. "]"
  end

  local function object(t)
    local parts = {}
    for _, key in ipairs(keys) do
      local value = t[key]
      local is_empty = type(value) == "table" and next(value) == nil
      if is_empty and empty[key] then
        table.insert(parts, field:format(key, "[]"))
      elseif value ~= nil and not is_empty then
        table.insert(parts, field:format(key, write(value)))
      end
    end
    return "{" .. table.concat(parts, comma) .. "}"
  end

  function write(value)
    if math.type(value) == "integer" then return integer(value) end
    if type(value) == "string" then return string_of(value) end
    if type(value) == "table" then return value[1] ~= nil and list(value) or object(value) end
    return value == json.null and "null" or tostring(value)
  end

  return write
end

--- A list of objects for programs and people, each on a line.
---@param list table[]
---@param keys string[]
---@return string
function json.lines(list, keys)
  local write, lines = json.writer { keys = keys, string = json.text, space = " " }, {}
  for i, object in ipairs(list) do lines[i] = write(object) end
  return "[" .. table.concat(lines, ",\n ") .. "]\n"
end

return json
