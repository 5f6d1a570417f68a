-- source.lua - where things are in a Lua text: functions, an interface's entries, names that are used

local lpeg = require "lpeg"

local P, R, S, C, Cc, Cp, Ct = lpeg.P, lpeg.R, lpeg.S, lpeg.C, lpeg.Cc, lpeg.Cp, lpeg.Ct

local source = {}

-- {================================== tokens ================================

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then
true until while]]):gmatch "%a+" do KEYWORDS[word] = true end

local letter = R("az", "AZ") + "_"
local word = letter * (letter + R "09") ^ 0
local long = lpeg.Cmt("[" * C(P "=" ^ 0) * "[", function(text, pos, level)
  local _, stop = text:find("]" .. level .. "]", pos, true)
  return (stop or #text) + 1
end) / 0
local skipped = S " \t\r\n\f\v" + "--" * (long + (1 - P "\n") ^ 0) + "#!" * (1 - P "\n") ^ 0
local function quoted(mark) return mark * ("\\" * P(1) + 1 - S(mark .. "\n")) ^ 0 * P(mark) ^ -1 end
local number = P "." ^ -1 * R "09" * (S "eEpP" * S "+-" + letter + R "09" + ".") ^ 0
local operator = P "..." + ".." + "==" + "~=" + "<=" + ">=" + "::" + "//" + "<<" + ">>" + 1
local function token(kind, pattern) return Ct(Cc(kind) * Cp() * C(pattern) * Cp()) end
local tokens = Ct((skipped + token("word", word) + token("string", long + quoted '"' + quoted "'")
                   + token("number", number) + token("op", operator)) ^ 0)

--- { { kind, from, text, behind }, ... }: kind is "word", "keyword", "string", "number" or "op".
---@param text string
---@return table[]
function source.tokens(text)
  local list = tokens:match(text)
  for _, t in ipairs(list) do
    t.kind, t.from, t.text, t.behind = t[1], t[2], t[3], t[4]
    if KEYWORDS[t.text] and t.kind == "word" then t.kind = "keyword" end
  end
  return list
end

local opens = { ["function"] = true, ["do"] = true, ["if"] = true, ["repeat"] = true, ["("] = true, ["{"] = true,
                ["["] = true }
local closes = { ["end"] = true, ["until"] = true, [")"] = true, ["}"] = true, ["]"] = true }

-- Whether token `t` opens or closes a block.
local function nesting(t)
  if t.kind ~= "keyword" and t.kind ~= "op" then return 0 end
  return opens[t.text] and 1 or closes[t.text] and -1 or 0
end

local function line_at(text, pos) return select(2, text:sub(1, pos - 1):gsub("\n", "")) + 1 end

-- }==========================================================================

-- {================================ functions ===============================

local function params_after(list, i)
  local names = {}
  while list[i] and list[i].text ~= "(" do i = i + 1 end
  i = i + 1
  while list[i] and list[i].text ~= ")" do
    if list[i].kind == "word" then table.insert(names, list[i].text) end
    i = i + 1
  end
  return table.concat(names, ",")
end

local function functions_in(text)
  local list, found, stack = source.tokens(text), {}, {}
  for i, t in ipairs(list) do
    local step = nesting(t)
    if step > 0 then
      table.insert(stack, { token = t, at = i })
    elseif step < 0 then
      local open = table.remove(stack)
      if open and open.token.text == "function" then
        table.insert(found, { from = open.token.from, to = t.behind - 1, first = line_at(text, open.token.from),
                              last = line_at(text, t.from), params = params_after(list, open.at),
                              named = list[open.at + 1].text ~= "(" })
      end
    end
  end
  table.sort(found, function(a, b) return a.from < b.from end)
  return found
end

local function params_of(fn)
  local names = {}
  for i = 1, debug.getinfo(fn, "u").nparams do names[i] = debug.getlocal(fn, i) end
  return table.concat(names, ",")
end

--- Where a function of this text is: { from =, to =, named = }, nil when it is ambiguous.
---@param text string
---@param fn function
---@return table?
function source.find(text, fn)
  local info, params, found = debug.getinfo(fn, "S"), params_of(fn), {}
  for _, f in ipairs(functions_in(text)) do
    if f.first == info.linedefined and f.last == info.lastlinedefined and f.params == params then
      table.insert(found, f)
    end
  end
  if #found == 1 then return found[1] end
  local alike = {}
  for _, f in ipairs(found) do -- several on a line: the one that compiles to as many bytes
    local chunk = not f.named and load("return " .. text:sub(f.from, f.to))
    if chunk and #string.dump(chunk(), true) == #string.dump(fn, true) then table.insert(alike, f) end
  end
  local first = alike[1]
  for _, f in ipairs(alike) do
    if text:sub(f.from, f.to) ~= text:sub(first.from, first.to) then return nil end
  end
  return first
end

-- }==========================================================================

-- {================================ interfaces ==============================

local function is_interface(list, i)
  return list[i].text == "grate" and i > 2 and list[i - 1].text == "." and list[i - 2].text == "lencase"
end

-- The token that opens the table given to lencase.grate.
local function table_of(list)
  for i = 1, #list do
    if list[i].kind == "word" and is_interface(list, i) then
      local j = list[i + 1] and list[i + 1].text == "(" and i + 2 or i + 1
      if list[j] and list[j].text == "{" then return j end
    end
  end
end

local function key_at(list, i)
  if list[i].kind == "word" and list[i + 1].text == "=" then return list[i].text, i + 2 end
  local bracketed = list[i].text == "[" and list[i + 2] and list[i + 2].text == "]"
  if not (bracketed and list[i + 3].text == "=") then return nil, i end
  local key = list[i + 1]
  return key.kind == "string" and key.text:sub(2, -2) or math.tointeger(tonumber(key.text)), i + 4
end

-- The token after the value that begins at i.
local function behind_value(list, i)
  local depth = 0
  while list[i] do
    local t = list[i]
    if depth == 0 and (t.text == "," or t.text == ";" or t.text == "}") and t.kind == "op" then return i end
    depth = depth + nesting(t)
    i = i + 1
  end
  return i
end

-- The first item of a table that begins at i, if it has no key: the policy of an entry.
local function first_item(list, i)
  if list[i].text ~= "{" or not list[i + 1] or list[i + 1].text == "}" or key_at(list, i + 1) then return nil end
  return { from = list[i + 1].from, to = list[behind_value(list, i + 1) - 1].behind - 1 }
end

--- The entries of the interface in a script's text: { [key] = { from =, to =, whole =, behind =, first = }, close = };
--- nil when lencase.grate is not given a table there. `from`..`to` is the value, `whole`..`behind` all of the entry,
--- `first` the policy in it.
---@param text string
---@return table?
function source.interface(text)
  local list = source.tokens(text)
  local open = table_of(list)
  if not open then return nil end
  local entries, i = { start = list[open - 2].from }, open + 1
  while list[i] and list[i].text ~= "}" do
    local key, value = key_at(list, i)
    local stop = behind_value(list, value)
    local separator = list[stop] and list[stop].text ~= "}"
    if key then
      entries[key] = { from = list[value].from, to = list[stop - 1].behind - 1, whole = list[i].from,
                       first = first_item(list, value),
                       behind = separator and list[stop].behind or list[stop - 1].behind }
    end
    i = separator and stop + 1 or stop
  end
  entries[1] = { close = list[i] and list[i].from, comma = list[i - 1].text == "," or list[i - 1].text == "{",
                 last = list[i - 1].behind }
  return entries
end

-- The names that "local", "for" and parameters declare from token i on: into `declared`.
local function declare(list, i, declared)
  local depth = list[i].text == "(" and 1 or 0
  repeat
    i = i + 1
    local t = list[i]
    if t and t.kind == "word" then declared[t.text] = true end
    local goes_on = t and (t.kind == "word" or t.text == "," or t.text == "..." or t.text == "<" or t.text == ">")
  until not goes_on or (depth == 0 and list[i + 1] and list[i + 1].kind == "word" and t.kind == "word")
end

local function declared_in(list)
  local declared = {}
  for i, t in ipairs(list) do
    if t.text == "local" and list[i + 1] and list[i + 1].text ~= "function" or t.text == "for" then
      declare(list, i, declared)
    elseif t.text == "function" and t.kind == "keyword" then
      local j = i
      while list[j] and list[j].text ~= "(" do j = j + 1 end
      if list[j] then declare(list, j, declared) end
    end
  end
  return declared
end

--- All names in a text that are not fields.
---@param text string
---@return table<string, boolean>
function source.names(text)
  local list, names = source.tokens(text), {}
  for i, t in ipairs(list) do
    local before = list[i - 1] and list[i - 1].text
    if t.kind == "word" and before ~= "." and before ~= ":" then names[t.text] = true end
  end
  return names
end

--- The names that a script's text has at its top level: locals, and globals that it sets.
---@param text string
---@return table<string, boolean>
function source.toplevel(text)
  local list, names, depth = source.tokens(text), {}, 0
  for i, t in ipairs(list) do
    local after = list[i + 1]
    if depth == 0 and t.text == "local" and after and after.text ~= "function" then declare(list, i, names) end
    if depth == 0 and t.kind == "word" and after and after.text == "=" then names[t.text] = true end
    if depth == 0 and t.text == "function" and after and after.kind == "word" then names[after.text] = true end
    depth = depth + nesting(t)
  end
  return names
end

--- Those that the text does not declare itself, and that are not keys in a table.
---@param text string
---@return table<string, boolean>
function source.globals(text)
  local list, names, stack = source.tokens(text), {}, {}
  local declared = declared_in(list)
  for i, t in ipairs(list) do
    local step = nesting(t)
    if step > 0 then table.insert(stack, t.text) elseif step < 0 then table.remove(stack) end
    local before, after = list[i - 1] and list[i - 1].text, list[i + 1] and list[i + 1].text
    local is_key = after == "=" and stack[#stack] == "{"
    if t.kind == "word" and before ~= "." and before ~= ":" and not is_key and not declared[t.text] then
      names[t.text] = true
    end
  end
  return names
end

-- }==========================================================================

return source
