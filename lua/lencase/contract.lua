-- contract.lua - what an entry of an interface requires of its callers and promises them
--
--   args = { count = "0..4096", fd = "0..", pathname = "string 1..255", buf = "bytes ..count | null" }
--   returns = "0..count"
--   errors = { "EINTR", "ENOSPC" }
--   on_violation = "EIO"           an errno's name, "kill", or "report": it is reported only
--
-- What an argument or a result may be:
--
--   thing | thing ...
--     range            an integer in it; for an argument that is a pointer: shown as an address
--     integer          any integer
--     null             the null pointer
--     string range     a string; the range, which may be left out, is that of its length
--     bytes range      a buffer, struct or array likewise: its bytes or elements are counted
--   range: low..high, low.., ..high or one bound
--   bound: integers (0x... too) and integer parameters by name, with + and - between them
--
-- A result is judged by `returns` when the call went well, by `errors` when it failed (-1): either
-- may be left out, and then anything goes. An argument that is not there (the mode of an open that
-- creates nothing, a buffer that the call is to fill) is not judged.

local core = require "lencase.core"
local parsing = require "lencase.parsing"
local policy = require "lencase.policy"
local did_you_mean = parsing.did_you_mean

local fail = parsing.fail

local contract = {}

---@class lencase.contract
---@field args? table<string, string> parameter -> what it must be
---@field returns? string what a result must be
---@field errors? string[] the errnos that it may fail with
---@field on_violation? string an errno's name, "kill" or "report"

--- The fields of an entry that are a contract's.
contract.fields = { args = "table", returns = "string", errors = "table", on_violation = "string" }

-- {================================= grammar ================================

local function build(lpeg)
  local P, R, S = lpeg.P, lpeg.R, lpeg.S
  local C, Cc, Cg, Cp, Ct = lpeg.C, lpeg.Cc, lpeg.Cg, lpeg.Cp, lpeg.Ct
  local space = S " \t\r\n" ^ 0
  local letter, digit = R("az", "AZ") + "_", R "09"
  local wordend = -(letter + digit)

  local function token(p) return p * space end
  local function wanted(p, what) return token(p) + parsing.expected(what) end

  local kind = C(P "string" + "bytes") * wordend
  local alone = C(P "integer" + "null") * wordend
  local numeral = lpeg.Cmt(C(P "0x" * R("09", "af", "AF") ^ 1 + digit ^ 1) * wordend, function(_, pos, text)
    local n = math.tointeger(tonumber(text))
    return n and pos, n -- what does not fit in 64 bits is not a number
  end)
  local name = letter * (letter + digit) ^ 0
  local term = Ct(Cg(Cp(), "pos") * (Cg(numeral, "number") + Cg(C(name), "name")))

  local function signed(sign, what) return Ct(Cg(sign, "sign") * Cg(wanted(term, what), "term")) end

  local minus, plus = token(P "-") * Cc(-1), token(P "+") * Cc(1)
  local WHAT = "a number or a parameter's name"
  local first = signed(minus, WHAT) + Ct(Cg(Cc(1), "sign") * Cg(token(term), "term"))
  local bound = Ct(first * signed(plus + minus, WHAT) ^ 0)
  local dots = token(P "..")
  local range = Ct(dots * Cg(bound, "high")
                   + Cg(bound, "low") * (dots * Cg(bound, "high") ^ -1 + Cg(Cc(true), "one")))
  local thing = Ct(Cg(Cp(), "pos") * (Cg(token(alone), "kind")
                   + Cg(token(kind), "kind") * Cg(range, "range") ^ -1
                   + Cg(Cc "integer", "kind") * Cg(range, "range")))
                + parsing.expected "a range (0..4096), integer, null, string or bytes"
  local bar = wanted(P "|", "'|'")
  return space * Ct(thing * (bar * thing) ^ 0) * (-P(1) + parsing.expected "the end")
end

local grammar = { name = "the contract", build = build }

-- }==========================================================================

-- {================================= meaning ================================

-- name -> { index =, pointer =, shown = } of a call's parameters, under all their names.
local function parameters_of(described, mask)
  local params, names = {}, {}
  for _, variant in ipairs(described.variants) do
    for i, p in ipairs(variant.params) do
      if not params[p.name] then table.insert(names, p.name) end
      local shown = policy.shown(mask, i, p.pointer)
      if p.address and shown == "copy" then shown = "addr" end -- what it points to is not known
      params[p.name] = { index = i, pointer = p.pointer, shown = shown, name = p.name }
    end
  end
  return { by_name = params, names = names, call = described.name }
end

local function parameter(params, wanted_name)
  local p = params.by_name[wanted_name]
  if p then return p end
  return nil, ("%s has no parameter '%s'%s"):format(params.call, wanted_name, did_you_mean(wanted_name, params.names))
end

-- A parameter in a range: an integer that the handler sees.
local function check_term(node, params)
  if not node.name then return end
  local p, message = parameter(params, node.name)
  if not p then fail(node.pos, "%s", message) end
  if p.pointer and p.shown ~= "addr" then fail(node.pos, "%s is not an integer", node.name) end
  if p.shown == "pass" then fail(node.pos, "%s is passed through: its value is not known", node.name) end
  node.index = p.index
end

local function check_range(node, params)
  for _, which in ipairs { "low", "high" } do
    for _, part in ipairs(node[which] or {}) do check_term(part.term, params) end
  end
  if node.one then node.high = node.low end
end

-- What a thing may be of: an argument that is a pointer and copied, or an integer.
local function check_kind(node, p)
  local is_pointer = p.pointer and p.shown == "copy"
  if is_pointer and node.kind == "integer" then
    fail(node.pos, "%s is not an integer: expected string, bytes or null", p.name)
  elseif not is_pointer and node.kind ~= "integer" then
    fail(node.pos, "%s is an integer: expected a range", p.name)
  end
end

local function parse_things(text, params, p)
  local things = parsing.match(grammar, text)
  for _, node in ipairs(things) do
    check_kind(node, p)
    if node.range then check_range(node.range, params) end
  end
  return things
end

-- The names in `text` that stand for parameters: a violation is reported with their values.
local function names_in(things)
  local names, seen = {}, {}
  for _, node in ipairs(things) do
    for _, which in ipairs { "low", "high" } do
      for _, part in ipairs(node.range and node.range[which] or {}) do
        local t = part.term
        if t.name and not seen[t.name] then table.insert(names, t) end
        seen[t.name or 0] = true
      end
    end
  end
  return names
end

local function compile(text, params, p)
  if type(text) ~= "string" then return nil, ("expected a string, not a %s"):format(type(text)) end
  local things, message = parsing.guarded(parse_things, text, params, p)
  if not things then return nil, message end
  return { text = text, things = things, names = names_in(things), index = p.index, name = p.name }
end

local function compile_args(raw, params)
  local checks = {}
  for key, text in pairs(raw) do
    local p, message = parameter(params, tostring(key))
    if not p then return nil, "args: " .. message end
    if p.shown == "pass" then return nil, ("args: %s is passed through: it cannot be judged"):format(key) end
    local check
    check, message = compile(text, params, p)
    if not check then return nil, ("args: %s: %s"):format(key, message) end
    table.insert(checks, check)
  end
  table.sort(checks, function(a, b) return a.index < b.index end)
  return checks
end

local function compile_errors(raw)
  local errors, known, names = {}, core.errnos(), {}
  for name_ in pairs(known) do table.insert(names, name_) end
  table.sort(names)
  for key, value in pairs(raw) do
    if math.type(key) ~= "integer" then return nil, ("errors is a list of errnos, without a key '%s'"):format(key) end
    if not known[value] then
      return nil, ("errors: unknown errno '%s'%s"):format(value, did_you_mean(tostring(value), names))
    end
    errors[known[value]] = true
  end
  return { set = errors, text = #raw > 0 and table.concat(raw, ", ") or "none" }
end

local function answer_of(on_violation)
  local number = core.errnos()[on_violation]
  if on_violation == "kill" then return { kill = true, text = "the cage is ended" } end
  if on_violation == "report" then return { go_on = true, text = "it is reported only" } end
  return number and { errno = number, text = "the caller gets " .. on_violation }
end

local RESULT = { name = "the result", pointer = false, shown = "copy" }

--- The contract in an entry's fields; nil when there is none; false and a message when it is wrong.
---@param raw lencase.contract
---@param described table of core.describe
---@param mask integer the policy
---@return table|false|nil
---@return string? message
function contract.parse(raw, described, mask)
  if not (raw.args or raw.returns or raw.errors) then
    if raw.on_violation then return false, "on_violation needs args, returns or errors" end
    return nil
  end
  for field, kind_ in pairs(contract.fields) do
    if raw[field] ~= nil and type(raw[field]) ~= kind_ then
      return false, ("%s must be a %s, not a %s"):format(field, kind_, type(raw[field]))
    end
  end
  local params, message = parameters_of(described, mask), nil
  local c = { answer = answer_of(raw.on_violation or "EIO"), args = {} }
  if not c.answer then return false, 'on_violation must be "kill", "report" or the name of an errno' end
  if raw.args then c.args, message = compile_args(raw.args, params) end
  if raw.returns and not message then
    c.returns, message = compile(raw.returns, params, RESULT)
    message = message and "returns: " .. message
  end
  if raw.errors and not message then c.errors, message = compile_errors(raw.errors) end
  if message then return false, message end
  return c
end

-- }==========================================================================

-- {================================ judging =================================

-- The value of a bound; nil when a parameter in it is not there.
local function value_of(bound_, args)
  local sum = 0
  for _, part in ipairs(bound_) do
    local value = part.term.number or args[part.term.index]
    if math.type(value) ~= "integer" then return nil end
    sum = sum + part.sign * value
  end
  return sum
end

local function within(range_, n, args)
  local low = range_.low and value_of(range_.low, args)
  local high = range_.high and value_of(range_.high, args)
  return not (range_.low and not low or range_.high and not high)
         and (not low or n >= low) and (not high or n <= high)
end

local NULL = core.NULL

local size_of = {
  integer = function(value) return math.type(value) == "integer" and value end,
  string = function(value) return type(value) == "string" and #value end,
  bytes = function(value) return value ~= NULL and type(value) ~= "number" and #value end, -- tables: argv
  null = function(value) return value == NULL and 0 end,
}

local function fits(node, value, args)
  local size = size_of[node.kind](value)
  return size and (not node.range or within(node.range, size, args))
end

local function holds(check, value, args)
  for _, node in ipairs(check.things) do
    if fits(node, value, args) then return true end
  end
  return false
end

local function shown(value)
  if math.type(value) == "integer" then return tostring(value) end
  if value == NULL then return "null" end
  local what = type(value) == "string" and "string" or "buffer"
  return ("a %s of %d"):format(what, #value)
end

local function told(check, value, args)
  local known = {}
  for _, t in ipairs(check.names) do table.insert(known, ("%s is %s"):format(t.name, args[t.index])) end
  local values = #known > 0 and " (" .. table.concat(known, ", ") .. ")" or ""
  return ("contract: %s is %s, not %s%s"):format(check.name, shown(value), check.text, values)
end

local function wrong_argument(c, args)
  for _, check in ipairs(c.args) do
    local value = args[check.index]
    if value ~= nil and not holds(check, value, args) then return told(check, value, args) end
  end
end

local function errno_of(n, errno)
  if type(n) == "table" then return n.errno end -- lencase.fail
  return n == -1 and errno or nil
end

local names_of_errnos = {}
for name_, number_ in pairs(core.errnos()) do names_of_errnos[number_] = name_ end

-- A result of a wrong type is left to the core, which says so.
local function wrong_result(c, args, n, errno)
  local failed = errno_of(n, errno)
  if failed then
    if not c.errors or c.errors.set[failed] then return nil end
    return ("contract: it failed with %s, which is not among its errors (%s)"):format(
      names_of_errnos[failed] or failed, c.errors.text)
  end
  if n == NULL then n = 0 end
  if not c.returns or math.type(n) ~= "integer" or holds(c.returns, n, args) then return nil end
  return told(c.returns, n, args)
end

local EIO = core.errnos().EIO

-- Reports a violation; true when the call proceeds nevertheless.
local function violated(c, message)
  core.report(message, c.answer.text)
  if c.answer.kill then core.cage():kill() end
  return c.answer.go_on
end

--- The handler `fn`, or (nil) the call as it is, checked against a contract. `call` makes the call: when the
--- handler lets it through, the result must be checked, too.
---@param c table of contract.parse
---@param fn? fun(...): ...
---@param call fun(): ...
---@return fun(...): ...
function contract.wrap(c, fn, call)
  local errno = c.answer.errno or EIO
  local function finish(args, n, e, ...)
    if n == nil and (c.returns or c.errors) and select(2, core.word(1)) == 0 then return finish(args, call()) end
    local message = wrong_result(c, args, n, e)
    if message and not violated(c, message) then return -1, errno end
    return n, e, ...
  end
  return function(...)
    local args = { ... }
    local message = wrong_argument(c, args)
    if message and not violated(c, message) then return -1, errno end
    if fn then return finish(args, fn(...)) end
    return finish(args)
  end
end

-- }==========================================================================

return contract
