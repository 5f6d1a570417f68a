-- check.lua - what can be said about a script without running a program
--
-- A script is loaded in a grate of its own, which finds what loading finds (lencase.grate); besides, its
-- text is examined as a tree (source.lua). What is found is an error, a warning or a hint:
--
--   error    unknown names of calls, of lencase's own and of errnos; too many arguments of a call; a
--            handler that returns nothing after its call on all paths
--   warning  globals; a handler that may return nothing after its call; a decision on an argument that is
--            passed through: it is nil, or its content can change
--   hint     a policy that copies what the handler never uses

local core = require "lencase.core"
local parsing = require "lencase.parsing"
local policy = require "lencase.policy"
local source = require "lencase.source"

local check = {}

---@class lencase.finding
---@field file string
---@field line? integer nil for what is true of the whole script
---@field severity "error"|"warning"|"hint"
---@field text string

-- What is found in one script is kept with its name, text and tree: f = { script =, code =, tree =, list = }.
local function say(f, severity, pos, fmt, ...)
  local line = source.line(f.code, pos)
  table.insert(f.list, { file = f.script, line = line, severity = severity, text = fmt:format(...) })
end

-- {================================= meanings ===============================

local meaning

local function constant(n) return n and n.tag == "String" and n.value or nil end

local function is_require(n)
  return n.func.tag == "Name" and not n.func.var and n.func.name == "require" and constant(n.args[1]) == "lencase"
end

local known_tables = { lencase = true, ["lencase.sys"] = true, ["lencase.errno"] = true, ["lencase.cage"] = true,
                       ["lencase.branches.?"] = true, ["lencase.branches"] = true, ["lencase.branches.?.sys"] = true }

local meanings = {}

function meanings.Paren(n) return meaning(n.inner) end

function meanings.Call(n) return is_require(n) and "lencase" or nil end

function meanings.Name(n)
  local var = n.var
  if var and var.init and not var.assigned and not var.place then return meaning(var.init) end
end

function meanings.Index(n)
  local object = meaning(n.object)
  if not known_tables[object] then return nil end
  local key = n.key.tag == "String" and n.key.value or "?"
  return object .. "." .. (object == "lencase.branches" and "?" or key)
end

-- What part of lencase an expression refers to: "lencase.sys.write"; nil for everything else.
function meaning(n)
  local f = meanings[n.tag]
  return f and f(n)
end

-- Those of lencase's own functions that make a call.
local calling = { ["lencase.make_call"] = true, ["lencase.register_handler"] = true,
                  ["lencase.deregister_handler"] = true, ["lencase.copy_handler_table_to_cage"] = true,
                  ["lencase.copy_data_between_cages"] = true }

local function is_sys(m)
  return m and (m:find "^lencase%.sys%." or m:find "^lencase%.branches%.%?%.sys%." or calling[m])
end

local function sys_call(n) return n.tag == "Call" and is_sys(meaning(n.func)) end

-- The function in this script that an expression is.
local function function_of(n)
  if n.tag == "Function" then return n end
  if n.tag == "Paren" then return function_of(n.inner) end
  local var = n.tag == "Name" and n.var
  return var and var.init and not var.assigned and not var.place and function_of(var.init) or nil
end

-- }==========================================================================

-- {================================== names =================================

local function sorted(set)
  local list = {}
  for key in pairs(set) do
    if type(key) == "string" then table.insert(list, key) end
  end
  table.sort(list)
  return list
end

-- The names of calls that a script describes itself: prototype = "int frob(int a);"
local function described_names(tree, into)
  source.each(tree, function(n)
    for _, item in ipairs(n.tag == "Table" and n.fields or {}) do
      local text = item.key and constant(item.key) == "prototype" and constant(item.value)
      local name = text and text:match "([%a_][%w_]*)%s*%("
      if name then into[name] = true end
    end
  end)
  return into
end

--- The names of calls that a script's text describes itself, for the scripts above it.
---@param path string
---@param into table<string, boolean>
function check.described(path, into)
  local file = io.open(path, "rb")
  local tree = file and source.parse(file:read "a")
  if file then file:close() end
  return tree and described_names(tree, into) or into
end

local function check_call(f, n, name)
  if core.callnum(name) or f.described[name] then return end
  local names = table.move(core.names(), 1, #core.names(), 1, sorted(f.described))
  say(f, "error", n.pos, "unknown call 'sys.%s'%s", name, parsing.did_you_mean(name, names))
end

local function check_member(f, n, name, module)
  if name == "cage" or rawget(module, name) ~= nil then return end
  local names = sorted(module)
  table.insert(names, "cage")
  say(f, "error", n.pos, "there is no lencase.%s%s", name, parsing.did_you_mean(name, names))
end

local function check_errno(f, pos, name, module)
  if type(module.errno[name]) == "number" then return end
  say(f, "error", pos, "unknown errno \"%s\"%s", name, parsing.did_you_mean(name, sorted(module.errno)))
end

local function check_index(f, n, module)
  local key, m = constant(n.key), meaning(n.object)
  if not (key and m) or n.written then return end
  if m == "lencase" then check_member(f, n, key, module) end
  if m == "lencase.errno" then check_errno(f, n.pos, key, module) end
  if m == "lencase.sys" or m == "lencase.branches.?.sys" then check_call(f, n, key) end
end

local function check_fail(f, n, module)
  local name = meaning(n.func) == "lencase.fail" and constant(n.args[1])
  if name then check_errno(f, n.pos, name, module) end
end

-- How many arguments a call has in its widest variant.
local function width(described)
  local n = 0
  for _, variant in ipairs(described.variants) do n = math.max(n, #variant.params) end
  return n
end

local function several(n) return n.tag == "Call" or n.tag == "Method" or n.tag == "Vararg" end

-- The call's name when it is one of the kernel's or of 3i's, by name.
local function named_call(n)
  local m = meaning(n.func)
  local name = m and (m:match "^lencase%.sys%.([%a_][%w_]*)$" or m:match "^lencase%.branches%.%?%.sys%.([%a_][%w_]*)$")
  return name and core.callnum(name) and name
end

local function check_count(f, n)
  local name = named_call(n)
  local described = name and core.describe(core.callnum(name))
  if not described or f.described[name] then return end
  local least, most = #n.args, width(described)
  if n.args[least] and several(n.args[least]) then least = least - 1 end
  if least > most then say(f, "error", n.pos, "%s takes %d arguments, not %d", name, most, least) end
end

local function check_names(f)
  local module = require "lencase"
  source.each(f.tree, function(n)
    if n.tag == "Index" then check_index(f, n, module) end
    if n.tag == "Call" then
      check_fail(f, n, module)
      check_count(f, n)
    end
  end)
end

-- }==========================================================================

-- {================================= globals ================================

local standard = {}
for name in pairs(_G) do standard[name] = true end
standard.arg = true -- the script's own, which the core sets

local function check_globals(f)
  local names, set = sorted(standard), {}
  if f.code:find "%f[%w_]_ENV%f[^%w_]" then return end -- the author knows what a global is
  for _, n in ipairs(f.tree.globals) do
    if n.written then set[n.name] = true end
  end
  for _, n in ipairs(f.tree.globals) do
    if n.written then
      local what = n.written.tag == "Function" and "local function" or "local"
      say(f, "warning", n.pos, "'%s' is a global: did you mean '%s %s'?", n.name, what, n.name)
    elseif not standard[n.name] and not set[n.name] then
      say(f, "warning", n.pos, "the global '%s' is never assigned%s", n.name, parsing.did_you_mean(n.name, names))
    end
  end
end

-- }==========================================================================

-- {=================================== flow =================================

-- Where a handler is, as bits: it has made no call of its own, it has made one; 0: unreachable.
local BEFORE, AFTER = 1, 2

local effect, run_block, analyze

local function never_returns(n)
  local func = n.func
  if func.tag == "Name" and not func.var then return func.name == "error" end
  return func.tag == "Index" and constant(func.key) == "exit" and func.object.tag == "Name"
    and not func.object.var and func.object.name == "os"
end

local function effects(flow, list, at)
  for _, n in ipairs(list) do at = effect(flow, n, at) end
  return at
end

local expressions = {}

-- A function in this script counts as a call when it makes one on each of its paths.
function expressions.Call(flow, n, at)
  at = effects(flow, n.args, effect(flow, n.func, at))
  if at == 0 or never_returns(n) then return 0 end
  if sys_call(n) then return AFTER end
  local func = function_of(n.func)
  if not func then return at end
  local inside = analyze(func, BEFORE, flow)
  return inside and inside.all == AFTER and AFTER or at
end

function expressions.Method(flow, n, at) return effects(flow, n.args, effect(flow, n.object, at)) end

function expressions.Binary(flow, n, at)
  at = effect(flow, n.left, at)
  local after = effect(flow, n.right, at)
  return (n.op == "and" or n.op == "or") and at | after or after
end

function expressions.Unary(flow, n, at) return effect(flow, n.operand, at) end
function expressions.Paren(flow, n, at) return effect(flow, n.inner, at) end
function expressions.Index(flow, n, at) return effect(flow, n.key, effect(flow, n.object, at)) end

function expressions.Table(flow, n, at)
  for _, item in ipairs(n.fields) do at = effect(flow, item.value, item.key and effect(flow, item.key, at) or at) end
  return at
end

function effect(flow, n, at)
  local f = expressions[n.tag]
  return f and f(flow, n, at) or at
end

local function returned(flow, n, at)
  flow.all = flow.all | at
  local first = n.values and n.values[1]
  if at ~= 0 and (not first or first.tag == "Nil") then table.insert(flow.empty, { pos = n.pos, at = at }) end
end

local function loop(flow, block, at, cond)
  local outer = flow.breaks
  flow.breaks = 0
  local forever = cond and cond.tag == "True"
  for _ = 1, 2 do -- the second time for the iterations after the first
    local start = cond and effect(flow, cond, at) or at
    at = at | run_block(flow, block, start)
  end
  local left = (forever and 0 or at) | flow.breaks
  flow.breaks = outer
  return left
end

local statements = {}

function statements.Local(flow, n, at) return effects(flow, n.values, at) end
function statements.Assign(flow, n, at) return effects(flow, n.targets, effects(flow, n.values, at)) end
function statements.LocalFunction(_, _, at) return at end
function statements.Do(flow, n, at) return run_block(flow, n.block, at) end
function statements.While(flow, n, at) return loop(flow, n.block, at, n.cond) end
function statements.For(flow, n, at) return loop(flow, n.block, effects(flow, n.values, at)) end

function statements.Repeat(flow, n, at)
  local outer = flow.breaks
  flow.breaks = 0
  for _ = 1, 2 do at = at | effect(flow, n.cond, run_block(flow, n.block, at)) end
  at = (n.cond.tag == "False" and 0 or effect(flow, n.cond, run_block(flow, n.block, at))) | flow.breaks
  flow.breaks = outer
  return at
end

function statements.If(flow, n, at)
  local left = 0
  for i, block in ipairs(n.blocks) do
    local cond = n.conds[i]
    if cond then at = effect(flow, cond, at) end
    left = left | run_block(flow, block, at)
    if not cond then at = 0 end
  end
  return left | at
end

function statements.Break(flow, _, at)
  flow.breaks = flow.breaks | at
  return 0
end

function statements.Goto(flow, n, at)
  flow.gotos[n.name] = (flow.gotos[n.name] or 0) | at
  return 0
end

function statements.Label(flow, n, at) return at | (flow.gotos[n.name] or 0) end

-- What a handler returns that returns the results of a function of this script.
local function tail_call(flow, n, at)
  local call = #n.values == 1 and n.values[1]
  local func = call and call.tag == "Call" and function_of(call.func)
  local start = func and effects(flow, call.args, at)
  local inside = func and analyze(func, start, flow)
  if not inside then return false end
  flow.all = flow.all | inside.all
  local empty = 0
  for _, place in ipairs(inside.empty) do empty = empty | place.at end
  if empty ~= 0 then table.insert(flow.empty, { pos = n.pos, at = empty }) end
  return true
end

function statements.Return(flow, n, at)
  if at ~= 0 and not tail_call(flow, n, at) then returned(flow, n, effects(flow, n.values, at)) end
  return 0
end

function run_block(flow, block, at)
  for _, n in ipairs(block) do
    local f = statements[n.tag] or effect
    at = f == effect and effect(flow, n, at) or f(flow, n, at)
  end
  return at
end

-- How a function is left when it is entered in the state `at`: `all` of its ways out, and the places where it
-- returns nothing, `empty`. nil for a recursive one.
function analyze(func, at, outer)
  local depth, up = 0, outer
  while up do
    if up.func == func then return nil end
    depth, up = depth + 1, up.outer
  end
  if depth > 8 then return nil end
  local flow = { func = func, outer = outer, all = 0, empty = {}, breaks = 0, gotos = {} }
  local left = run_block(flow, func.block, at)
  if left ~= 0 then returned(flow, { pos = func.stop }, left) end
  return flow
end

local function check_returns(f, handler)
  local seen = {}
  for _, place in ipairs(analyze(handler.func, BEFORE).empty) do
    if place.at & AFTER ~= 0 and not seen[place.pos] then
      seen[place.pos] = true
      local always = place.at == AFTER
      say(f, always and "error" or "warning", place.pos, "%s: the handler %s nothing %s its call", handler.name,
          always and "returns" or "can return", always and "after making" or "here, and it may have made")
    end
  end
end

-- }==========================================================================

-- {================================ arguments ===============================

-- What a call's argument i is over all variants: its name, and whether something is pointed to.
local function argument(described, i)
  local got
  for _, variant in ipairs(described.variants) do
    local param = variant.params[i]
    if param then
      got = got or { name = param.name, dir = param.dir }
      got.pointer = got.pointer or param.pointer
      got.moved = got.moved or param.kind ~= "int" and param.kind ~= "address" and param.dir ~= "none"
      if param.dir ~= "in" and param.dir ~= "none" then got.dir = param.dir end
    end
  end
  return got
end

-- Whether some part of the function may take or return the values after the errno: what a call filled.
local function handles_outs(func)
  local found = false
  source.each(func.block, function(n)
    if n.tag ~= "Call" and n.tag ~= "Method" then return end
    local parent = n.parent
    local values = parent.values or parent.args
    local last = values and values[#values] == n
    if parent.tag == "Local" and last then found = found or #parent.vars - #values + 1 > 2 end
    if parent.tag == "Assign" and last then found = found or #parent.targets - #values + 1 > 2 end
    if (parent.tag == "Call" or parent.tag == "Method") and last then found = true end
    local known = sys_call(n) or n.tag == "Call" and meaning(n.func) == "lencase.fail"
    found = found or parent.tag == "Table" or parent.tag == "Return" and last and not known
  end)
  source.each(func.block, function(n) found = found or n.tag == "Return" and #n.values > 2 end)
  return found
end

local function looked_at(handler, i, arg)
  local func = handler.func
  local var = func.params[i]
  if var and #var.uses > 0 or not var and func.vararg then return true end
  return arg.dir ~= "in" and handles_outs(func)
end

local COPY, ALL_CHOICES = 1, 7

-- The mask without a choice for argument i that is redundant.
local function passed(mask, i)
  local choice = mask >> 4 * (i - 1) & ALL_CHOICES
  if choice == COPY then mask = mask & ~policy.COPY(i) end
  return mask | policy.PASS(i)
end

-- The policy for a handler that does not use the arguments in `unused`.
local function cheaper(mask, described, unused)
  local all = true
  for i = 1, width(described) do
    local arg = argument(described, i)
    if arg.moved and policy.shown(mask, i, arg.pointer) == "copy" then all = all and unused[i] ~= nil end
  end
  if all and mask == policy.COPY_ALL_ARGS then return policy.PASS_THROUGH_POINTERS end
  for i in pairs(unused) do mask = passed(mask, i) end
  return mask
end

local function check_copies(f, handler)
  local described, mask = handler.described, handler.policy
  if handler.contract then return end
  local unused, names = {}, {}
  for i = 1, width(described) do
    local arg = argument(described, i)
    if arg.moved and policy.shown(mask, i, arg.pointer) == "copy" and not looked_at(handler, i, arg) then
      unused[i] = true
      table.insert(names, arg.name)
    end
  end
  if #names == 0 then return end
  say(f, "hint", handler.func.pos, "%s: %s copied and the handler never uses %s: \"%s\" is cheaper", handler.name,
      table.concat(names, ", ") .. (#names > 1 and " are" or " is"), #names > 1 and "them" or "it",
      policy.format(cheaper(mask, described, unused), described))
end

local comparisons = { ["=="] = true, ["~="] = true, ["<"] = true, ["<="] = true, [">"] = true, [">="] = true }

-- Whether the value of an expression decides what happens next.
local function decides(n)
  local parent = n.parent
  if parent.tag == "Paren" or parent.tag == "Unary" then return decides(parent) end
  if parent.tag == "Binary" then
    return comparisons[parent.op] or (parent.op == "and" or parent.op == "or") and parent.left == n
      or parent.op ~= "or" and decides(parent)
  end
  if parent.tag == "Method" or parent.tag == "Index" then return parent.object == n and decides(parent) end
  if parent.tag == "Call" then return not sys_call(parent) and parent.func ~= n and decides(parent) end
  if parent.tag == "If" then
    for _, cond in pairs(parent.conds) do
      if cond == n then return true end
    end
  end
  return (parent.tag == "While" or parent.tag == "Repeat") and parent.cond == n
end

local function is_opened(n) return (n.parent.tag == "Method" or n.parent.tag == "Index") and n.parent.object == n end

-- Whether it is only tested for nil.
local function asks_presence(n)
  local parent = n.parent
  if parent.tag == "Unary" and parent.op == "not" then return true end
  if parent.tag == "If" or parent.tag == "While" then return true end
  if parent.tag ~= "Binary" then return false end
  if parent.op == "and" or parent.op == "or" then return true end
  local other = parent.left == n and parent.right or parent.left
  return other.tag == "Nil"
end

local function check_nil(f, handler, var)
  for _, use in ipairs(var.uses) do
    if decides(use) or is_opened(use) then
      say(f, "warning", use.pos, "%s: a decision on '%s', which is passed through: it is nil here", handler.name,
          var.name)
      return
    end
  end
end

-- lencase.cage:string(var), lencase.cage:read(var, n): the result is used to decide.
local function reading(use)
  local call = use.parent
  if call.tag == "Method" and (call.name == "string" or call.name == "read") and call.args[1] == use
     and meaning(call.object) == "lencase.cage" then return call end
end

local function first_decision(call)
  local parent = call.parent
  if parent.tag ~= "Local" or parent.values[1] ~= call then
    return decides(call) and not asks_presence(call) and call or nil
  end
  for _, use in ipairs(parent.vars[1].uses) do
    if decides(use) and not asks_presence(use) then return use end
  end
end

local function check_address(f, handler, var)
  for _, use in ipairs(var.uses) do
    local call = reading(use)
    local place = call and first_decision(call)
    if place then
      say(f, "warning", place.pos, "%s: a decision on what '%s' points to, which can change before the kernel reads "
          .. "it: copy it", handler.name, var.name)
    end
    if is_opened(use) then
      say(f, "warning", use.pos, "%s: '%s' is an address here, an integer: copy it", handler.name, var.name)
    end
  end
end

local by_shown = { pass = check_nil, addr = check_address }

-- A function may be the handler of several calls: what holds for all of them is reported.
local function check_decisions(f, handlers)
  local handler = handlers[1]
  for i, var in ipairs(handler.func.params) do
    local shown
    for _, other in ipairs(handlers) do
      local arg = argument(other.described, i)
      local now = arg and policy.shown(other.policy, i, arg.pointer) or "copy"
      shown = (not shown or shown == now) and now or "copy"
    end
    if by_shown[shown] and not var.assigned then by_shown[shown](f, handler, var) end
  end
end

-- }==========================================================================

-- {================================= handlers ===============================

-- The script's functions by "first line:last line:parameters"; false where there are several.
local function functions_of(f)
  local found = {}
  source.each(f.tree, function(n)
    if n.tag ~= "Function" then return end
    local key = ("%d:%d:%d"):format(source.line(f.code, n.pos), source.line(f.code, n.stop), #n.params)
    found[key] = found[key] == nil and n or false
  end)
  return found
end

local function unknown_description(e) return { name = e.name, variants = { { params = {} } } } end

-- The handlers of an interface whose text is in the script: one list for each function.
local function handlers_of(f, interface)
  local functions, lists, order = functions_of(f), {}, {}
  for _, e in ipairs(interface.entries) do
    local info = e.fn and debug.getinfo(e.fn, "Su")
    local key = info and info.source == "@" .. f.script
      and ("%d:%d:%d"):format(info.linedefined, info.lastlinedefined, info.nparams)
    local func = functions[key]
    if func then
      if not lists[func] then
        lists[func] = {}
        table.insert(order, func)
      end
      table.insert(lists[func], { name = e.name, func = func, policy = e.policy, contract = e.contract,
                                  described = core.describe(e.signature or e.nr) or unknown_description(e) })
    end
  end
  return lists, order
end

local function check_handlers(f, interface)
  local lists, order = handlers_of(f, interface)
  for _, func in ipairs(order) do
    check_returns(f, lists[func][1])
    check_decisions(f, lists[func])
    if #lists[func] == 1 then check_copies(f, lists[func][1]) end -- one for many calls cannot know them
  end
end

-- }==========================================================================

-- {================================== loading ===============================

-- "script.lua:12: text", of which a long script name's beginning may be missing.
local function located(script, message)
  local file, line, text = message:match "^([^\n]-):(%d+): (.*)$"
  if not file or #file > 200 or file:find "%s" and file ~= script then
    local text_ = message:gsub("^" .. script:gsub("%p", "%%%0") .. ": ", "")
    return { file = script, severity = "error", text = text_ }
  end
  local tail = file:match "^%.%.%.(.*)$"
  if tail and script:sub(-#tail) == tail then file = script end
  return { file = file, line = math.tointeger(tonumber(line)), severity = "error", text = text }
end

--- The findings in an error's message: lencase.grate reports several at once.
---@param script string
---@param message string
---@return lencase.finding[]
function check.errors(script, message)
  local list, whole = {}, {}
  for line in tostring(message):gmatch "[^\n]+" do
    if line:find "^stack traceback:" then break end
    if #whole == 0 or line:find "^[^%s].-:%d+: " then
      table.insert(whole, line)
    else
      whole[#whole] = whole[#whole] .. " " .. line:gsub("^%s+", "")
    end
  end
  for _, line in ipairs(whole) do table.insert(list, located(script, line)) end
  return list
end

local function findings_of(script, described)
  local file = io.open(script, "rb")
  local code = file and file:read "a" or ""
  if file then file:close() end
  local f = { script = script, code = code, tree = source.parse(code), list = {}, described = {} }
  if not f.tree then return f end
  for name in described:gmatch "%S+" do f.described[name] = true end
  described_names(f.tree, f.described)
  check_names(f)
  check_globals(f)
  return f
end

local function interface_from(script, chunk, ...)
  local interface = chunk(...)
  local meta = debug.getmetatable(interface)
  if not (meta and meta.__install) then
    error(script .. ": the script must end with 'return lencase.grate { ... }'", 0)
  end
  return interface
end

--- Loads a script and checks it; the interface it returned, or nil.
---@param described string names of calls that other scripts describe
---@param script string
---@param ... string the script's arguments
---@return lencase.interface?
---@return lencase.finding[]
function check.load(described, script, ...)
  local chunk, message = loadfile(script)
  if not chunk then return nil, check.errors(script, message) end
  local f = findings_of(script, described)
  local ok, interface = pcall(interface_from, script, chunk, ...)
  if not ok then
    for _, found in ipairs(check.errors(script, interface)) do table.insert(f.list, found) end
    return nil, f.list
  end
  if f.tree then check_handlers(f, interface) end
  return interface, f.list
end

-- }==========================================================================

-- {================================== output ================================

local ranks = { error = 1, warning = 2, hint = 3 }

--- The findings in the order of their files, lines and severities, each once.
---@param list lencase.finding[]
---@return lencase.finding[]
function check.sorted(list)
  local files, seen, out = {}, {}, {}
  for i, found in ipairs(list) do files[found.file] = files[found.file] or i end
  for _, found in ipairs(list) do
    local key = table.concat({ found.file, found.line or 0, found.text }, "\0")
    if not seen[key] then table.insert(out, found) end
    seen[key] = true
  end
  table.sort(out, function(a, b)
    if a.file ~= b.file then return files[a.file] < files[b.file] end
    if a.line ~= b.line then return (a.line or 0) < (b.line or 0) end
    if a.severity ~= b.severity then return ranks[a.severity] < ranks[b.severity] end
    return a.text < b.text
  end)
  return out
end

--- In the form of compilers' messages.
---@param found lencase.finding
---@return string
function check.text(found)
  return ("%s%s: %s: %s"):format(found.file, found.line and ":" .. found.line or "", found.severity, found.text)
end

--- A list of objects: file, line (or null), severity, text.
---@param list lencase.finding[]
---@return string
function check.json(list)
  local json, objects = require "lencase.tools.json", {}
  for i, found in ipairs(list) do
    objects[i] = { file = found.file, line = found.line or json.null, severity = found.severity, text = found.text }
  end
  return json.lines(objects, { "file", "line", "severity", "text" })
end

-- }==========================================================================

return check
