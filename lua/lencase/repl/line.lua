-- line.lua - reads lines: from a terminal by GNU readline, with history and completion, where the system has
-- it; from a pipe plainly

local core = require "lencase.core"
local flags = require "lencase.flags"

local line = { interactive = false, env = nil, commands = nil, methods = nil }

local readline = false -- there is one
local history = "" -- where it is kept

-- {================================ completion ==============================

local KEYWORDS = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local",
                   "nil", "not", "or", "repeat", "return", "then", "true", "until", "while" }
local VERBS = { "copy", "pass", "addr", "once", "pointers", "all" }

local function keys_of(t)
  local list = {}
  for key in pairs(t or {}) do
    if type(key) == "string" then table.insert(list, key) end
  end
  return list
end

local function matching(prefix, head, ...)
  local list, seen = {}, {}
  for _, names in ipairs { ... } do
    for _, name in ipairs(names) do
      if name:sub(1, #prefix) == prefix and not seen[name] then
        seen[name] = true
        table.insert(list, head .. name)
      end
    end
  end
  table.sort(list)
  return list
end

local function params_of(call)
  local nr, list = core.callnum(call), {}
  for _, variant in ipairs(nr and core.describe(nr) and core.describe(nr).variants or {}) do
    for _, param in ipairs(variant.params) do table.insert(list, param.name) end
  end
  return list
end

local function in_string(before, word)
  if before:find "%f[%w_]o[nf]f?%s*%(?%s*[\"']$" or before:find "%f[%w_]policy%s*%(?%s*[\"']$"
     or before:find ":call%(%s*[\"']$" or before:find "%f[%w_]step%s*%(?%s*[\"']$" then
    return matching(word, "", core.names())
  end
  local call = before:match "%f[%w_]on%s*%(%s*[\"']([%w_]+)[\"']%s*,%s*[\"'][^\"']*$"
               or before:match "%f[%w_]policy%s*%(%s*[\"']([%w_]+)[\"']%s*,%s*[\"'][^\"']*$"
  if call then return matching(word, "", params_of(call), VERBS) end
  if word:find "^%u" then return matching(word, "", flags.names()) end
  return nil -- file names
end

-- Inside of a string that begins in `before`?
local function is_quoted(before)
  local mark
  for c in before:gmatch "." do
    if c == mark then mark = nil elseif not mark and (c == '"' or c == "'") then mark = c end
  end
  return mark ~= nil
end

--- The completions of the word at from..to of a line; nil: file names.
---@param text string
---@param from integer
---@param to integer
---@return string[]?
function line.complete(text, from, to)
  local before, word = text:sub(1, from - 1), text:sub(from, to)
  if is_quoted(before) then return in_string(before, word) end
  if word:find "^%?" then return matching(word:sub(2), "?", core.names()) end
  if before:find "^%s*%?$" then return matching(word, "", core.names()) end
  local head, tail = word:match "^(.*:)([%w_]*)$"
  if head then return matching(tail, head, core.names(), line.methods) end
  head, tail = word:match "^([%w_]+%.)([%w_]*)$"
  if head == "sys." then return matching(tail, head, core.names()) end
  if head then
    local value = line.env[head:sub(1, -2)]
    return matching(tail, head, type(value) == "table" and keys_of(value) or {})
  end
  return matching(word, "", KEYWORDS, keys_of(line.env), keys_of(line.commands), keys_of(_G))
end

-- }==========================================================================

-- {================================= history ===============================

local function history_file()
  local given = os.getenv "LENCASE_HISTORY"
  if given then return given end
  local base = os.getenv "XDG_STATE_HOME" or os.getenv "HOME" and os.getenv "HOME" .. "/.local/state"
  if not base then return "" end
  local folder = base .. "/lencase"
  os.execute("mkdir -p -- '" .. folder:gsub("'", "'\\''") .. "' 2>/dev/null")
  return folder .. "/history"
end

local KEPT_LINES = 1000

--- Whether the input is a terminal; then readline is set up.
function line.open()
  line.interactive = core.isatty(0) and core.isatty(1)
  if not line.interactive then return end
  readline = core.readline(line.complete)
  if not readline then return end
  history = history_file()
  if history ~= "" then core.history_read(history, KEPT_LINES) end
end

function line.close()
  if readline and history ~= "" then core.history_write(history) end
end

local last

local function remember(text)
  if text ~= "" and text ~= last then core.history_add(text) end
  last = text
end

-- }==========================================================================

local function edited(prompt)
  io.stdout:flush()
  local got, why = core.readline_read(prompt)
  if got then remember(got) end
  if why == "interrupted" then io.stdout:write "^C\n" end
  return got, why
end

--- The next line without its end; nil and "end" or "interrupted".
---@param prompt string
---@return string?, string?
function line.read(prompt)
  if readline then return edited(prompt) end
  if line.interactive then io.stdout:write(prompt) io.stdout:flush() end
  local text = io.stdin:read "l"
  return text, not text and "end" or nil
end

return line
