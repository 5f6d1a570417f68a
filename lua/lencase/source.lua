-- source.lua - a script's text as a tree in which every name knows its variable
--
-- source.parse(text) gives the function that the whole text is. A node is a table: its `tag`, the place
-- `pos` where it begins, its `parent`, and
--
--   Function  params (variables), vararg, block, stop (where its `end` is)
--   Local     vars, values        Assign  targets, values     Do, Repeat  block (Repeat: cond)
--   LocalFunction var, func       While   cond, block         If          conds, blocks (one more: else)
--   For       vars, values, block Return  values              Goto, Label name        Break
--   Name      name, var (nil: a global)                       Index       object, key
--   Call      func, args          Method  object, name, args  Table       fields { key =, value = }
--   Binary    op, left, right     Unary   op, operand         Paren       inner
--   String    value (as it was typed)      Number value      Nil, True, False, Vararg
--
-- A statement may be a Call or Method. A variable has name, pos, init (the expression that its value is),
-- assigned (it gets another value somewhere), uses (Name nodes), and, when a parameter, place (from 1).

local lpeg = require "lpeg"

local P, R, S, V = lpeg.P, lpeg.R, lpeg.S, lpeg.V
local C, Cc, Cg, Cp, Ct = lpeg.C, lpeg.Cc, lpeg.Cg, lpeg.Cp, lpeg.Ct

local source = {}

-- {================================== tokens ================================

local letter, digit = R("az", "AZ") + "_", R "09"
local hex = R("09", "af", "AF")
local wordend = -(letter + digit)

-- [[...]], [=[...]=]: its text.
local long = lpeg.Cmt("[" * C(P "=" ^ 0) * "[", function(text, pos, level)
  local from, stop = text:find("]" .. level .. "]", pos, true)
  if stop then return stop + 1, text:sub(pos, from - 1) end
end)
local comment = "--" * (long / 0 + (1 - P "\n") ^ 0)
local skip = (S " \t\r\n\f\v" + comment) ^ 0

local reserved = P(false)
for word in ([[and break do elseif else end false for function goto if in local nil not or repeat return then true
               until while]]):gmatch "%l+" do
  reserved = reserved + P(word)
end
reserved = reserved * wordend

local function keyword(word) return P(word) * wordend * skip end
local function sign(text) return P(text) * skip end

local name = (C(letter * (letter + digit) ^ 0) - reserved) * skip

local exponent = S "+-" ^ -1 * digit ^ 1
local numeral = P "0" * S "xX" * (hex + ".") ^ 1 * (S "pP" * exponent) ^ -1
              + (digit ^ 1 * ("." * digit ^ 0) ^ -1 + "." * digit ^ 1) * (S "eE" * exponent) ^ -1
local number = numeral / tonumber * skip

local escape = "\\" * (P "z" * S " \t\r\n\f\v" ^ 0 + P "\r\n" + 1)
local function quoted(mark) return mark * C((escape + 1 - S(mark .. "\n")) ^ 0) * mark end
local text = (quoted '"' + quoted "'" + long) * skip

-- }==========================================================================

-- {================================= grammar ================================

local function node(tag, p) return Ct(Cg(Cp(), "pos") * Cg(Cc(tag), "tag") * p) end
local function field(key, p) return Cg(p, key) end

local levels = { ["or"] = 1, ["and"] = 2, ["<"] = 3, [">"] = 3, ["<="] = 3, [">="] = 3, ["~="] = 3, ["=="] = 3,
                 ["|"] = 4, ["~"] = 5, ["&"] = 6, ["<<"] = 7, [">>"] = 7, [".."] = 9, ["+"] = 10, ["-"] = 10,
                 ["*"] = 11, ["/"] = 11, ["//"] = 11, ["%"] = 11, ["^"] = 14 }
local right = { [".."] = true, ["^"] = true }

-- Operands and operators alternating, as a tree.
local function tree_of(...)
  local list, i = { ... }, 1
  local function climb(least)
    local left = list[i]
    i = i + 1
    while list[i] and levels[list[i]] >= least do
      local op = list[i]
      i = i + 1
      local other = climb(levels[op] + (right[op] and 0 or 1))
      left = { tag = "Binary", pos = left.pos, op = op, left = left, right = other }
    end
    return left
  end
  return climb(1)
end

-- A head with what follows it: calls, methods, indices.
local function chain_of(head, ...)
  for _, suffix in ipairs { ... } do
    suffix[suffix.tag == "Call" and "func" or "object"] = head
    suffix.pos, suffix.at = head.pos, suffix.pos
    head = suffix
  end
  return head
end

local binary = C(P "or" * wordend + P "and" * wordend + "<<" + ">>" + "<=" + ">=" + "~=" + "==" + P ".." + "//"
                 + S "<>|~&+-*/%^") * skip
local unary = C(P "not" * wordend + "-" + "#" + "~" * -P "=") * skip

local names = Ct(node("Variable", field("name", name)) * (sign "," * node("Variable", field("name", name))) ^ 0)
local attribute = sign "<" * name / 0 * sign ">"
local declared = node("Variable", field("name", name)) * attribute ^ -1
local dots = sign "..."
local parameter = node("Variable", field("name", name))
local parameters = field("params", Ct((parameter * (sign "," * parameter) ^ 0) ^ -1))
                   * (sign "," ^ -1 * field("vararg", dots * Cc(true))) ^ -1
local body = sign "(" * parameters * sign ")" * field("block", V "block") * field("stop", Cp()) * keyword "end"
local expressions = Ct(V "expression" * (sign "," * V "expression") ^ 0)
local string_node = node("String", field("value", text))

-- function a.b:c() ... end is an assignment.
local function function_statement(pos, target, method, func)
  if method then
    method.object, method.pos = target, target.pos
    target = method
    table.insert(func.params, 1, { tag = "Variable", pos = func.pos, name = "self" })
  end
  return { tag = "Assign", pos = pos, targets = { target }, values = { func } }
end

local function assignment_or_call(first, rest)
  if not rest then return first end
  table.insert(rest.targets, 1, first)
  rest.pos = first.pos
  return rest
end

local dotted = node("Name", field("name", name)) * node("Index", sign "." * field("key", V "key")) ^ 0 / chain_of
local method = node("Index", sign ":" * field("key", V "key")) + Cc(false)

local grammar = P {
  skip * Cg(Cc "Function", "tag") * field("params", Ct "") * field("vararg", Cc(true))
    * field("block", V "block") * field("stop", Cp()) * -P(1),
  block = Ct((V "statement" + sign ";") ^ 0 * V "last" ^ -1),
  last = node("Return", keyword "return" * field("values", expressions + Ct "") * sign ";" ^ -1),
  statement = node("Label", sign "::" * field("name", name) * sign "::")
    + node("Break", keyword "break")
    + node("Goto", keyword "goto" * field("name", name))
    + node("Do", keyword "do" * field("block", V "block") * keyword "end")
    + node("While", keyword "while" * field("cond", V "expression") * keyword "do" * field("block", V "block")
           * keyword "end")
    + node("Repeat", keyword "repeat" * field("block", V "block") * keyword "until" * field("cond", V "expression"))
    + V "if_statement"
    + node("For", keyword "for" * field("vars", names) * (sign "=" + keyword "in") * field("values", expressions)
           * keyword "do" * field("block", V "block") * keyword "end")
    + Cp() * keyword "function" * dotted * method * node("Function", body) / function_statement
    + node("LocalFunction", keyword "local" * keyword "function" * field("var", parameter)
           * field("func", node("Function", body)))
    + node("Local", keyword "local" * field("vars", Ct(declared * (sign "," * declared) ^ 0))
           * field("values", sign "=" * expressions + Ct ""))
    + V "chain" * node("Assign", field("targets", Ct((sign "," * V "chain") ^ 0)) * sign "=" * -P "="
                       * field("values", expressions)) ^ -1 / assignment_or_call,
  if_statement = Ct(Cg(Cp(), "pos") * Cg(Cc "If", "tag") * keyword "if"
    * Cg(Ct(V "branch" * (keyword "elseif" * V "branch") ^ 0 * Ct(keyword "else" * V "block") ^ -1), "branches")
    * keyword "end"),
  branch = Ct(V "expression" * keyword "then" * V "block"),
  expression = V "operand" * (binary * V "operand") ^ 0 / tree_of,
  operand = node("Unary", field("op", unary) * field("operand", V "operand")) + V "simple",
  simple = node("Number", field("value", number)) + string_node
    + node("Nil", keyword "nil") + node("True", keyword "true") + node("False", keyword "false")
    + node("Vararg", dots)
    + node("Function", keyword "function" * body) + V "table" + V "chain",
  key = node("String", field("value", name)),
  table = node("Table", sign "{" * field("fields", Ct((V "item" * (S ",;" * skip * V "item") ^ 0 * (S ",;" * skip) ^ -1)
                                                     ^ -1)) * sign "}"),
  item = Ct(field("key", sign "[" * V "expression" * sign "]") * sign "=" * field("value", V "expression")
            + field("key", V "key") * sign "=" * -P "=" * field("value", V "expression")
            + field("value", V "expression")),
  chain = (node("Name", field("name", name)) + node("Paren", sign "(" * field("inner", V "expression") * sign ")"))
    * (V "suffix") ^ 0 / chain_of,
  suffix = node("Index", "." * -P "." * skip * field("key", V "key"))
    + node("Method", ":" * -P ":" * skip * field("name", name) * field("args", V "args"))
    + node("Call", field("args", V "args"))
    + node("Index", sign "[" * field("key", V "expression") * sign "]"),
  args = sign "(" * (expressions + Ct "") * sign ")" + Ct(V "table" + string_node),
}
grammar = Ct(Cg(Cp(), "pos") * grammar)

-- }==========================================================================

-- {================================= scopes =================================

local visit -- tag -> function(node, scope)

local function walk(n, scope, parent)
  n.parent = parent
  visit[n.tag](n, scope)
end

local function walk_list(list, scope, parent)
  for _, n in ipairs(list) do walk(n, scope, parent) end
end

local function declare(var, scope, func)
  var.uses, var.func = {}, func
  scope[var.name] = var
end

local function inner(scope) return setmetatable({}, { __index = scope }) end

local function walk_block(block, scope, parent)
  scope = inner(scope)
  walk_list(block, scope, parent)
  return scope
end

local function nothing() end

-- The value that the i-th of several variables gets.
local function value_at(values, i)
  local last = values[#values]
  if i < #values or last and i == #values then return values[i] end
end

visit = { Label = nothing, Goto = nothing, Break = nothing, String = nothing, Number = nothing, Nil = nothing,
          True = nothing, False = nothing, Vararg = nothing }

function visit.Function(n, scope)
  scope = inner(scope)
  for i, var in ipairs(n.params) do
    declare(var, scope, n)
    var.place = i
  end
  walk_block(n.block, scope, n)
end

function visit.Local(n, scope)
  walk_list(n.values, scope, n)
  for i, var in ipairs(n.vars) do
    declare(var, scope)
    var.init, var.several = value_at(n.values, i), i
  end
end

function visit.LocalFunction(n, scope)
  declare(n.var, scope)
  n.var.init = n.func
  walk(n.func, scope, n)
end

function visit.Assign(n, scope)
  walk_list(n.values, scope, n)
  for i, target in ipairs(n.targets) do
    target.written = value_at(n.values, i) or n
    walk(target, scope, n)
  end
end

function visit.For(n, scope)
  walk_list(n.values, scope, n)
  scope = inner(scope)
  for _, var in ipairs(n.vars) do declare(var, scope) end
  walk_block(n.block, scope, n)
end

function visit.If(n, scope)
  n.conds, n.blocks = {}, {}
  for i, branch in ipairs(n.branches) do
    local cond, block = branch[1], branch[2]
    if not block then cond, block = nil, branch[1] end
    if cond then walk(cond, scope, n) end
    n.conds[i], n.blocks[i] = cond, block
    walk_block(block, scope, n)
  end
end

function visit.Do(n, scope) walk_block(n.block, scope, n) end

function visit.While(n, scope)
  walk(n.cond, scope, n)
  walk_block(n.block, scope, n)
end

function visit.Repeat(n, scope) walk(n.cond, walk_block(n.block, scope, n), n) end

function visit.Return(n, scope) walk_list(n.values, scope, n) end

function visit.Name(n, scope)
  local var = scope[n.name]
  n.var = var
  if not var then
    table.insert(scope["\0globals"], n)
  elseif n.written then
    var.assigned = true
  else
    table.insert(var.uses, n)
  end
end

function visit.Index(n, scope)
  walk(n.object, scope, n)
  walk(n.key, scope, n)
end

function visit.Call(n, scope)
  walk(n.func, scope, n)
  walk_list(n.args, scope, n)
end

function visit.Method(n, scope)
  walk(n.object, scope, n)
  walk_list(n.args, scope, n)
end

function visit.Table(n, scope)
  for _, item in ipairs(n.fields) do
    if item.key then walk(item.key, scope, n) end
    walk(item.value, scope, n)
  end
end

function visit.Binary(n, scope)
  walk(n.left, scope, n)
  walk(n.right, scope, n)
end

function visit.Unary(n, scope) walk(n.operand, scope, n) end

function visit.Paren(n, scope) walk(n.inner, scope, n) end

-- }==========================================================================

local children = { "block", "values", "targets", "cond", "branches", "func", "args", "object", "key", "fields", "value",
                   "left", "right", "operand", "inner" }

--- Every node below `n` and itself, to f(node).
function source.each(n, f)
  if n.tag then f(n) end
  for _, key in ipairs(children) do
    if type(n[key]) == "table" then source.each(n[key], f) end
  end
  for _, child in ipairs(n) do source.each(child, f) end
end

-- The variables whose value a table expression is, and the table itself, of an argument.
local function table_of(n)
  if n and n.tag == "Name" then return n.var and n.var.init, n.var end
  return n
end

--- The places of the keys of the tables that a script gives to lencase.grate, in the order of the text:
--- { key = a string or number, pos = }. Keys that are computed are left out.
---@param tree table of source.parse
---@return { key: any, pos: integer }[]
function source.keys(tree)
  local keys = {}
  local function add(key)
    if key and (key.tag == "String" or key.tag == "Number") then
      table.insert(keys, { key = key.value, pos = key.pos })
    end
  end
  source.each(tree, function(n)
    if n.tag ~= "Call" or n.func.tag ~= "Index" or n.func.key.value ~= "grate" then return end
    local definition, var = table_of(n.args[1])
    for _, item in ipairs(definition and definition.fields or {}) do add(item.key) end
    for _, use in ipairs(var and var.uses or {}) do
      if use.parent.tag == "Index" and use.parent.object == use and use.parent.written then add(use.parent.key) end
    end
  end)
  table.sort(keys, function(a, b) return a.pos < b.pos end)
  return keys
end

--- The line of a place in a text.
---@param text_ string
---@param pos integer
---@return integer
function source.line(text_, pos) return select(2, text_:sub(1, pos - 1):gsub("\n", "")) + 1 end

--- The tree of a script; its `globals` are the Name nodes of no variable. nil for what cannot be read;
--- load() has a message for that.
---@param text_ string
---@return table?
function source.parse(text_)
  text_ = text_:gsub("^#[^\n]*", function(line) return (" "):rep(#line) end)
  lpeg.setmaxstack(10000)
  local tree = grammar:match(text_)
  if not tree then return nil end
  tree.globals = {}
  walk(tree, { ["\0globals"] = tree.globals })
  return tree
end

return source
