-- signatures.lua - the signatures and families that data.lua describes
--
-- Used to generate the C tables, and to look up a call's parameters by name.

local calls = require "lencase.calls.data"
local enum = require "lencase.calls.enum"
local prototype = require "lencase.calls.prototype"

local TEST, FOLD = enum.test, enum.fold

local signatures = {}

local function names_in(text) return text:gmatch "[%w_]+" end

--- The value of a constant by name.
local function constant(name)
  return calls.constants[name] or error(("data.lua: unknown constant '%s'"):format(name), 0)
end

local function bits(text)
  local value = 0
  for name in names_in(text) do value = value | constant(name) end
  return value
end

local function index_of(params, name)
  for i, p in ipairs(params) do
    if p.name == name then return i end
  end
end

-- The test that a row's any, none or eq asks for, of the argument `by` among `params`. Only the bits that
-- the kernel looks at are tested: the upper half of an int's word may be anything.
local function test_of(rule, value_name, by, mask, params)
  local i = assert(index_of(params, by))
  local seen = params[i].width == 4 and 0xffffffff or -1
  if rule.any then return { op = TEST.ANY, arg = i - 1, mask = bits(rule.any) & seen, value = 0 } end
  if rule.none then return { op = TEST.NONE, arg = i - 1, mask = bits(rule.none) & seen, value = 0 } end
  return { op = TEST.EQ, arg = i - 1, mask = (mask and bits(mask) or -1) & seen, value = constant(value_name) }
end

-- The parameters of a row's prototype up to its "...".
local function fixed_params(row, env)
  local sig = assert(prototype.parse(row[2], env))
  return sig.variants[1].params
end

-- One variant for each value of an eq, all with the same tail.
local function add_variants(into, row, rule, params)
  local variant = { tail = rule[1], unknown = rule.unknown }
  if not (rule.eq or rule.any or rule.none) then
    into[#into + 1] = variant
    return
  end
  for name in names_in(rule.eq or "once") do
    into[#into + 1] = { tail = variant.tail, when = test_of(rule, name, row.by, row.mask, params) }
  end
end

local function variants_of(row, env)
  if not row.by then return nil end
  local variants, params = {}, fixed_params(row, env)
  for i = 3, #row do add_variants(variants, row, row[i], params) end
  return variants
end

local function signature_of(row, env)
  local sig, message = prototype.parse(row[2], env, variants_of(row, env))
  if not sig then error(("data.lua: call %d: %s\n  %s"):format(row[1], message, row[2]), 0) end
  sig.nr = row[1]
  return sig
end

local cached = {}

--- All signatures, by ascending callnum.
---@param model? "lp64"|"ilp32"
---@return table[]
function signatures.list(model)
  model = model or "lp64"
  if cached[model] then return cached[model] end
  local env = prototype.env(model)
  local list = {}
  for i, row in ipairs(calls.list) do list[i] = signature_of(row, env) end
  table.sort(list, function(a, b) return a.nr < b.nr end)
  cached[model] = list
  return list
end

--- The signature of a call by its name; nil when there is none.
---@param name string
---@return table?
function signatures.by_name(name)
  for _, sig in ipairs(signatures.list()) do
    if sig.name == name then return sig end
  end
end

--- The parameters of the widest variant.
---@param sig table
---@return table[]
function signatures.params(sig)
  local widest = sig.variants[1].params
  for _, v in ipairs(sig.variants) do
    if #v.params > #widest then widest = v.params end
  end
  return widest
end

local function fold_param(from, fields)
  local p = { from = from, arg = 0, dir_arg = 0, value = 0 }
  for k, v in pairs(fields) do p[k] = v end
  return p
end

local function field_offset(param, name)
  for _, f in ipairs(param.record.fields) do
    if f.name == name then return f.offset end
  end
  error(("data.lua: no field '%s' in %s"):format(name, param.ctype), 0)
end

-- One parameter of a family as a row of calls.families says where it is found.
local function fold_source(text, params)
  local function arg(name)
    return assert(index_of(params, name), "data.lua: no parameter " .. name) - 1
  end
  if text == "-" then return fold_param(FOLD.ABSENT, {}) end
  if text:find "^=" then return fold_param(FOLD.CONST, { value = bits(text) }) end
  local dir, path = text:match "^(.+)/(.+)$"
  if dir then return fold_param(FOLD.PATH, { arg = arg(path), dir_arg = arg(dir) }) end
  local record, field = text:match "^(.+)%.(.+)$"
  if not record then return fold_param(FOLD.ARG, { arg = arg(text) }) end
  local at = arg(record)
  return fold_param(FOLD.FIELD, { arg = at, value = field_offset(params[at + 1], field) })
end

local function fold_of(row)
  local member, family = signatures.by_name(row[1]), signatures.by_name(row[2])
  local params = signatures.params(member)
  local fold = { member = member.nr, family = family.nr, nparams = #row - 2, params = {} }
  fold.when = row.by and test_of(row, row.eq, row.by, row.mask, params)
              or { op = TEST.ALWAYS, arg = 0, mask = 0, value = 0 }
  for i = 3, #row do fold.params[i - 2] = fold_source(row[i], params) end
  assert(fold.nparams == #signatures.params(family), "data.lua: family of " .. row[1])
  return fold
end

--- All folds, by ascending member, then as data.lua lists them.
---@return table[]
function signatures.folds()
  local folds = {}
  for i, row in ipairs(calls.families) do
    folds[i] = fold_of(row)
    folds[i].place = i
  end
  table.sort(folds, function(a, b)
    if a.member ~= b.member then return a.member < b.member end
    return a.place < b.place
  end)
  return folds
end

return signatures
