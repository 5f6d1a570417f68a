-- parsing.lua - LPeg's work with messages that say where, what was expected, what was found
--
-- A pattern names what it wants by expected(): it fails, and notes it at its position. When the
-- whole text does not match, what was noted farthest to the right is the message.

local compiled = require "lencase.compiled"
local suggest = require "lencase.suggest"

-- Loaded when a text is to be parsed: a compiled script contains what its texts mean.
local lpeg = setmetatable({}, { __index = function(_, key) return require "lpeg"[key] end })

local parsing = {}

-- What stops a parse: raised by fail(), turned into a message by guarded().
local Fault = {}

--- Stops the parse that guarded() began.
---@param pos integer where in the text
---@param fmt string
function parsing.fail(pos, fmt, ...)
  error(setmetatable({ pos = pos, message = fmt:format(...) }, Fault))
end

local function place(text, pos)
  local before = text:sub(1, pos - 1)
  local _, newlines = before:gsub("\n", "")
  return ("line %d, column %d"):format(newlines + 1, #before:match "[^\n]*$" + 1)
end

--- f(text, ...); what fail() says in it becomes nil and a message with line and column.
---@param f fun(text: string, ...): any
---@param text string
---@return any? result
---@return string? message
function parsing.guarded(f, text, ...)
  local ok, result = pcall(f, text, ...)
  if ok then return result end
  if getmetatable(result) ~= Fault then error(result, 0) end
  return nil, place(text, result.pos) .. ": " .. result.message
end

--- " (did you mean 'write'?)", or nothing.
---@param word string
---@param list string[]
---@return string
function parsing.did_you_mean(word, list)
  local best = suggest(word, list)
  return best and (" (did you mean '%s'?)"):format(best) or ""
end

--- A pattern that fails and notes that `what` was expected there.
---@param what string
function parsing.expected(what)
  return lpeg.Cmt(lpeg.Carg(1), function(_, pos, state)
    if pos > state.pos then state.pos, state.wanted = pos, {} end
    if pos == state.pos and not state.wanted[what] then
      state.wanted[what] = true
      table.insert(state.wanted, what)
    end
    return false
  end) * lpeg.P(1) -- so that LPeg knows that it never succeeds on nothing
end

--- The text itself, as a capture.
function parsing.text() return lpeg.Carg(1) / function(state) return state.text end end

local function found_at(text, pos)
  local word = text:match("^[%w_]+", pos) or text:match("^%.%.%.", pos) or text:match("^%S", pos)
  return word and ("'%s'"):format(word) or "the end"
end

local function one_of(wanted)
  local last = wanted[#wanted]
  if #wanted == 1 then return last end
  return table.concat(wanted, ", ", 1, #wanted - 1) .. " or " .. last
end

---@class lencase.grammar
---@field name string what its texts are, for messages
---@field build fun(lpeg: table): userdata makes its pattern, when the first text is to be read

-- The pattern of a grammar. LPeg is missing when a compiled script has a text that it did not have when compiled.
local function pattern_of(grammar, text)
  if grammar.pattern then return grammar.pattern end
  local ok, found = pcall(require, "lpeg")
  if not ok then
    error(("%s \"%s\" must be parsed, and LPeg is missing: compile the script with arguments that lead to this text, "
           .. "or install LPeg"):format(grammar.name, text), 0)
  end
  grammar.pattern = grammar.build(found)
  return grammar.pattern
end

--- The capture of a grammar, or pattern, that matches the whole text; else fail().
---@param grammar lencase.grammar|userdata
---@param text string
---@param hint? fun(rest: string): string what to add about the text from where the match stopped
---@return any
function parsing.match(grammar, text, hint)
  local name = type(grammar) == "table" and grammar.name
  local known = name and compiled.trees[compiled.key_of(name, text)]
  if known then return known() end
  local state = { text = text, pos = 0, wanted = {} }
  local tree = (name and pattern_of(grammar, text) or grammar):match(text, 1, state)
  if tree then return name and compiled.found("trees", compiled.key_of(name, text), tree) or tree end
  parsing.fail(state.pos, "expected %s, found %s%s", one_of(state.wanted), found_at(text, state.pos),
               hint and hint(text:sub(state.pos)) or "")
end

return parsing
