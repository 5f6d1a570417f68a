-- definition.lua - the interface that a script declares, checked; this needs neither a program nor a grate

local compiled = require "lencase.compiled"
local core = require "lencase.core"
local parsing = require "lencase.parsing"
local per_cage = require "lencase.per_cage"
local policy = require "lencase.policy"
local when_needed = require "lencase.when_needed"
local where = require "lencase.where"

local contract, layer = when_needed "lencase.contract", when_needed "lencase.layer"
local merging = when_needed "lencase.merging"
local did_you_mean, fail = parsing.did_you_mean, where.fail

local definition = {}

---@class lencase.definition
---@field [string|integer] lencase.entry|function|lencase.failure a call's name or number
---@field on_start? fun() before the program's first instruction
---@field on_cage? fun(cage: lencase.cage, parent: lencase.cage?) a cage was created
---@field on_cage_exit? fun(cage: lencase.cage, how: "exit"|"signal", n: integer) a cage ended
---@field on_exit? fun(how: "exit"|"signal", n: integer) the program has ended
---@field on_error? string an errno's name, "kill" or "pass": the answer to a call whose handler fails
---@field keep? table<string, table> tables that a reload of the script keeps, by name
---@field state? table what processes hand over under `lencase run --inline`; initially its empty form
---@field merge? fun(a: table, b: table): table `a`, the state, with `b`, what another process handed over
---@field registered? boolean false: nothing is handled before lencase.register_handler says for which cage
---@field timeout? number seconds of processor time that a handler may take
---@field provide? lencase.provide the calls that are provided above this grate
---@field uses? (string|integer)[] the calls that this grate itself may make

---@class lencase.entry: lencase.contract
---@field [1] integer|string the policy: lencase.PASS(2), "pass buf", ...
---@field [2]? fun(...): ... the handler; with a contract it may be left out: the call goes on
---@field exact? boolean this one kernel call, not its family
---@field prototype? string the call's prototype, for one that lencase does not know

---@class lencase.interface
---@field entries table[] for the core

---@class lencase.cage
---@field pid integer
---@field id integer never used again
---@field parent integer the id of its parent, 0 for none
---@field comm string the name of its program
---@field cwd string its working directory: what relative paths start from
---@field gone boolean it has ended, and all events of that have been handled
---@field fd_path fun(self, fd: integer): string?, integer? what a descriptor refers to
---@field fd_open fun(self, fd: integer): boolean
---@field read fun(self, addr: integer, n: integer): string?, integer?
---@field string fun(self, addr: integer): string?, integer?
---@field kill fun(self) ends it as by SIGKILL

--- A failure is a constant answer: see lencase.fail.
definition.failure_meta = {
  __tostring = function(self) return "lencase.fail(" .. self.errno .. ")" end,
  __name = "lencase.failure",
}

--- Whether it is what lencase.fail makes.
---@param value any
---@return boolean
function definition.is_failure(value) return getmetatable(value) == definition.failure_meta end

local is_failure = definition.is_failure

-- {============================ names and numbers ===========================

--- The names of all calls, sorted.
---@return string[]
function definition.call_names()
  local names = core.names()
  table.sort(names)
  return names
end

local options = { on_start = "function", on_cage = "function", on_cage_exit = "function",
                  on_exit = "function", on_error = "string", timeout = "number", provide = "table", uses = "table",
                  keep = "table", registered = "boolean", state = "table", merge = "function" }

--- Whether a key of a definition is an option and not a call.
function definition.is_option(key) return options[key] ~= nil end

local function unknown_call(at, name)
  local names = definition.call_names()
  for option in pairs(options) do table.insert(names, option) end
  fail(at, "unknown call '%s'%s", name, did_you_mean(name, names))
end

local function callnum(at, key)
  if math.type(key) == "integer" then
    if key < 0 or key > 0x3fffffff then fail(at, "invalid call number %d", key) end
    return key
  end
  if type(key) ~= "string" then fail(at, "a call is given by its name or number, not by a %s", type(key)) end
  return core.callnum(key) or unknown_call(at, key)
end

-- }==========================================================================

-- {============================ handlers' parameters ========================

local function parameters_of(fn)
  local info = debug.getinfo(fn, "u")
  local names = {}
  for i = 1, info.nparams do names[i] = debug.getlocal(fn, i) end
  return names, info.isvararg
end

-- The names that a call has at each place, over all its variants: names[i] = { buf = true }.
local function names_by_place(described)
  local places = {}
  for _, variant in ipairs(described.variants) do
    for i, param in ipairs(variant.params) do
      places[i] = places[i] or {}
      places[i][param.name] = true
    end
  end
  return places
end

local function shape(described)
  local widest = described.variants[1]
  for _, variant in ipairs(described.variants) do
    if #variant.params > #widest.params then widest = variant end
  end
  local names = {}
  for i, param in ipairs(widest.params) do names[i] = param.name end
  return ("%s(%s)"):format(described.name, table.concat(names, ", "))
end

local function matches(names, places)
  local n = 0
  for i, name in ipairs(names) do
    if places[i] and places[i][name] then n = n + 1 end
  end
  return n
end

local function check_places(at, names, places, described)
  for i, name in ipairs(names) do
    if not (places[i] and places[i][name]) then
      for j, place in ipairs(places) do
        if place[name] then
          fail(at, "the handler has '%s' as parameter %d, %s has it as %d", name, i, shape(described), j)
        end
      end
    end
  end
end

local function check_parameters(at, fn, described)
  local names, vararg = parameters_of(fn)
  local places = names_by_place(described)
  if #names > 1 and matches(names, places) == 0 then -- one name alone says too little
    local other = core.look_alike(names) -- a call whose prototype they are, name for name
    if other then
      fail(at, "a handler for %s, but its parameters (%s) look like those of %s", shape(described),
           table.concat(names, ", "), shape(core.describe(core.callnum(other))))
    end
  end
  if #names > #places and not vararg then
    fail(at, "the handler has %d parameters, %s has %d", #names, shape(described), #places)
  end
  check_places(at, names, places, described)
end

-- }==========================================================================

-- {================================= entries ================================

local function policy_of(at, value, described, name)
  if value == nil then return policy.COPY_ALL_ARGS end
  if math.type(value) == "integer" then return value end
  if type(value) ~= "string" then fail(at, "%s: a policy is an integer or a string, not a %s", name, type(value)) end
  local mask, message = policy.parse(value, described)
  return mask or fail(at, "%s: policy \"%s\": %s", name, value, message)
end

-- What an author wrote for a call, in one form: { policy, handler or failure }.
local function entry_of(at, name, value)
  if type(value) == "function" or is_failure(value) then return { nil, value } end
  if type(value) ~= "table" then
    fail(at, "%s: an entry is { policy, handler }, a handler or lencase.fail \"NAME\", not a %s", name, type(value))
  end
  for key in pairs(value) do
    if key ~= 1 and key ~= 2 and key ~= "exact" and key ~= "prototype" and not contract.fields[key] then
      fail(at, "%s: an entry has no '%s' (policy, handler, exact, prototype, args, returns, errors, on_violation)",
           name, tostring(key))
    end
  end
  if value[2] == nil and (value.args or value.returns or value.errors) then return value end
  if type(value[2]) ~= "function" and not is_failure(value[2]) then
    local hint = type(value[1]) == "function" and ": the policy comes first" or ""
    fail(at, "%s: the handler must be a function, not a %s%s", name, type(value[2]), hint)
  end
  return value
end

local KERNEL_MAX = 511 -- above: 3i's numbers and an author's own

-- The signature that an entry brings itself, as userdata, and its description.
local function own_signature(at, name, nr, text)
  local wide, narrow = table.unpack(compiled.prototypes[text] or {})
  if not wide then
    local prototype = require "lencase.calls.prototype" -- building its grammar takes longer than all else at the start
    local message
    wide, message = prototype.parse(text)
    if not wide then fail(at, "%s: prototype: %s", name, message) end
    narrow = prototype.parse(text, prototype.env "ilp32")
    compiled.found("prototypes", text, { wide, narrow })
  end
  local signature = core.signature(nr, wide, narrow)
  local described = core.describe(signature)
  local other = core.callnum(described.name)
  if nr > KERNEL_MAX and other and other ~= nr then
    fail(at, "%s: prototype: '%s' is the name of call %d", name, described.name, other)
  end
  return signature, described
end

local function unknown_description(name)
  local params = {}
  for i = 1, 6 do params[i] = { name = "arg" .. i, pointer = false } end
  return { name = name, variants = { { params = params } } }
end

local function contract_of(at, name, raw, described, mask)
  if not (raw.args or raw.returns or raw.errors or raw.on_violation) then return nil end
  local c, message = contract.parse(raw, described, mask)
  if c == false then fail(at, "%s: %s", name, message) end
  if c and is_failure(raw[2]) then fail(at, "%s: a constant answer cannot have a contract", name) end
  return c
end

local function check_policy(at, e)
  local text, message = core.plan(e.signature or e.nr, e.policy)
  if not text then fail(at, "%s: %s", e.name, message) end
end

-- A constant answer says nothing when it is given: in a process that runs inline, where lencase run has checked the
-- script before, its line is not looked up, since parsing the script would take longer than all else.
local function place_of(declared, key, value)
  local constant = is_failure(value) or type(value) == "table" and is_failure(value[2])
  if constant and core.sends and core.sends() then return where.script(declared) or "lencase.grate" end
  return where.of(declared, key)
end

local function new_entry(declared, key, value)
  local at = place_of(declared, key, value)
  local e = { nr = callnum(at, key), where = at }
  e.name = type(key) == "string" and key or core.callname(key)
  local raw = entry_of(at, e.name, value)
  local described = core.describe(e.nr)
  if raw.prototype then
    e.signature, described = own_signature(at, e.name, e.nr, raw.prototype)
    if e.nr > KERNEL_MAX then e.name = described.name end
  end
  described = described or unknown_description(e.name)
  e.policy, e.exact = policy_of(at, raw[1], described, e.name), raw.exact
  check_policy(at, e)
  e.contract = contract_of(at, e.name, raw, described, e.policy)
  if is_failure(raw[2]) then
    e.constant = -raw[2].errno
  else
    e.fn = raw[2]
    if e.fn and core.describe(e.signature or e.nr) then check_parameters(at, e.fn, described) end
  end
  return e
end

-- }==========================================================================

-- {================================= routes =================================

local function check_twice(e, nr, other)
  if other.name == e.name then fail(e.where, "'%s' is handled twice, by name and by number", e.name) end
  if e.nr ~= nr and other.nr ~= nr then return end -- members of two families: each takes its part
  local family = other.nr == nr and e or other
  fail(e.where, "'%s' is handled twice, by '%s' and by '%s': give '%s' exact = true", core.callname(nr), e.name,
       other.name, family.name)
end

local function add_route(routes, e, nr)
  routes[nr] = routes[nr] or {}
  for _, other in ipairs(routes[nr]) do check_twice(e, nr, other) end
  table.insert(routes[nr], e)
end

-- callnum -> entries: a call's own, and those of its families.
local function routes_of(entries)
  local routes = {}
  for _, e in ipairs(entries) do add_route(routes, e, e.nr) end
  for _, e in ipairs(entries) do
    for _, member in ipairs(e.exact and {} or core.members(e.nr)) do
      if member ~= e.nr then add_route(routes, e, member) end
    end
  end
  return routes
end

local function check_keep(wrong, keep)
  for name, value in pairs(keep) do
    if type(name) ~= "string" or type(value) ~= "table" then
      wrong("keep names tables, as in keep = { counts = counts }, not [%s] = a %s", name, type(value))
    end
  end
end

local function check_option(declared, name, value)
  local function wrong(...) fail(where.of(declared, name), ...) end
  if type(value) ~= options[name] then wrong("%s must be a %s, not a %s", name, options[name], type(value)) end
  if name == "on_error" and value ~= "kill" and value ~= "pass" and not core.errnos()[value] then
    wrong("on_error must be \"kill\", \"pass\" or the name of an errno, not \"%s\"", value)
  end
  if name == "keep" then check_keep(wrong, value) end
  if name == "timeout" and not (value > 0 and value <= 3600) then
    wrong("timeout must be more than 0 and at most 3600 seconds, not %s", value)
  end
end

local function check_layer(declared, interface)
  local given = interface.options
  if given.provide then given.provide = layer.provide(where.of(declared, "provide"), given.provide, callnum) end
  if not given.uses then return end
  interface.uses_at = where.of(declared, "uses")
  local script = where.script(declared)
  given.uses = layer.uses(interface.uses_at, given.uses, callnum, script, script and where.text(script))
end

local function check_merge(declared, interface)
  local given = interface.options
  local function at() return where.of(declared, declared.state ~= nil and "state" or "merge") end
  if declared.state ~= nil and declared.merge == nil then
    fail(at(), "state needs merge = function(a, b) ... return a end, or merge = lencase.sum")
  end
  if declared.state == nil and declared.merge ~= nil then
    fail(at(), "merge needs state = TABLE: what a process hands over")
  end
  if not given.state or not given.merge then return end -- or one of them is wrong, which has been reported
  if per_cage.is(given.state) then
    fail(at(), "state must be a plain table: add what is per cage to it in on_cage_exit")
  end
  local ok, beginning = pcall(merging.beginning, given.state)
  interface.beginning = ok and beginning or fail(at(), "%s", beginning)
  interface.where_state = at
end

-- What a key of a definition says, checked.
local function take(interface, declared, key, value)
  if options[key] then
    check_option(declared, key, value)
    interface.options[key] = value
  else
    table.insert(interface.entries, new_entry(declared, key, value))
  end
end

local function line_in(message) return math.tointeger(tonumber(message:match ":(%d+): ")) or 0 end

-- All that is wrong is reported at once, by lines.
local function tell_all(messages)
  for i, message in ipairs(messages) do messages[i] = tostring(message) end
  table.sort(messages, function(a, b)
    if line_in(a) ~= line_in(b) then return line_in(a) < line_in(b) end
    return a < b
  end)
  error(table.concat(messages, "\n"), 0)
end

--- What the core knows an interface by; install.lua adds how it is installed.
definition.interface_meta = { __name = "lencase.interface" }

---@param declared lencase.definition
---@return lencase.interface
function definition.new(declared)
  if type(declared) ~= "table" then
    fail(where.of(declared), "lencase.grate takes a table, not a %s", type(declared))
  end
  local interface = { options = {}, entries = {} }
  local wrong = {}
  local function try(f, ...)
    local ok, result = pcall(f, ...)
    if ok then return result end
    table.insert(wrong, result)
  end
  for key, value in pairs(declared) do try(take, interface, declared, key, value) end
  try(check_layer, declared, interface)
  try(check_merge, declared, interface)
  table.sort(interface.entries, function(a, b) return a.nr < b.nr end)
  interface.routes = try(routes_of, interface.entries)
  if #wrong > 0 then tell_all(wrong) end
  return setmetatable(interface, definition.interface_meta)
end

-- }==========================================================================

return definition
