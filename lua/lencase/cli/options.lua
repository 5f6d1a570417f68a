-- options.lua - what the commands' options have in common: values, and which words belong to them

local options = {}

local function wrong(option, what, text)
  return nil, ("%sexpected %s, not '%s'"):format(option and option .. ": " or "", what, text)
end

--- A converter of argparse's: a number above 0. `option` is named in the message, if there is one.
---@param option? string
---@return fun(text: string): number?, string?
function options.positive(option)
  return function(text)
    local n = tonumber(text)
    if n and n > 0 then return n end
    return wrong(option, "a number above 0", text)
  end
end

--- The same for whole numbers.
---@param option? string
---@return fun(text: string): integer?, string?
function options.count(option)
  return function(text)
    local n = math.tointeger(tonumber(text))
    if n and n > 0 then return n end
    return wrong(option, "a number above 0", text)
  end
end

--- The same for sizes.
---@param option string
---@return fun(text: string): integer?, string?
function options.bytes(option)
  return function(text)
    local n, unit = text:match "^(%d+)([KMG]?)$"
    local shift = ({ K = 10, M = 20, G = 30, [""] = 0 })[unit or "-"]
    if n and shift then return math.tointeger(n) << shift end
    return wrong(option, "a size like 4096, 64K or 256M", text)
  end
end

--- The options that limit handlers.
---@param c table a command of argparse's
function options.add_bounds(c)
  c:option("-t --timeout", "CPU seconds that a handler may take (10).", nil, options.positive "--timeout")
    :argname "S"
  c:option("-b --max-call-bytes", "Most bytes that may be copied for one call (256M).", nil,
    options.bytes "--max-call-bytes"):argname "N"
end

-- The bits of lencase.h.
local DEBUG = { stops = 1, calls = 2, window = 4, routes = 8 }

-- A converter of argparse's: "calls,routes", or "all", to a mask.
local function debug_kinds(text)
  local mask = 0
  for word in text:gmatch "[^,]+" do
    local bit = word == "all" and 15 or DEBUG[word]
    if not bit then return wrong("--debug", "some of stops,calls,window,routes or all", word) end
    mask = mask | bit
  end
  return mask
end

--- The option for reports of events; by default it is LENCASE_DEBUG of the environment.
---@param c table a command of argparse's
function options.add_debug(c)
  c:option("--debug", "Report events, a line each: some of stops,calls,window,routes or all ($LENCASE_DEBUG).",
    os.getenv "LENCASE_DEBUG", debug_kinds):argname "KINDS":show_default(false)
end

--- Whether a value follows the option.
---@param option table of argparse's
---@return boolean
function options.takes_value(option) return #option:_get_argument_list() > 0 end

--- The option of this name; nil when the command has none.
---@param c table a command of argparse's
---@param word string
---@return table?
function options.named(c, word)
  for _, option in ipairs(c._options) do
    for _, alias in ipairs(option._aliases) do
      if alias == word then return option end
    end
  end
end

--- The words up to the first grate are lencase's, those from there on the scripts': argparse must not see these.
---@param c table a command of argparse's
---@param words string[]
---@return string[] ours
---@return integer i where the others begin
function options.split(c, words)
  local i = 2
  while words[i] and words[i]:find("^%-.") and words[i] ~= "--" do
    local option = options.named(c, words[i])
    i = i + (option and options.takes_value(option) and 2 or 1)
  end
  return table.move(words, 1, math.min(i - 1, #words), 1, {}), i
end

return options
