-- grate.lua - the interface that a script declares: checked, then installed
--
-- Checking needs no program and no grate; installing (done by the core when the script has
-- returned) turns entries into routes and plans.

local compiled = require "lencase.compiled"
local core = require "lencase.core"
local fdtable = require "lencase.fdtable"
local output = require "lencase.output"
local parsing = require "lencase.parsing"
local per_cage = require "lencase.per_cage"
local policy = require "lencase.policy"
local reload = require "lencase.reload"

-- Modules with grammars of their own, which few grates need: every run would wait for them.
local function when_needed(name)
  return setmetatable({}, { __index = function(_, key) return require(name)[key] end })
end

local contract, layer = when_needed "lencase.contract", when_needed "lencase.layer"
local merging = when_needed "lencase.merging"
local did_you_mean = parsing.did_you_mean

local grate = {}

---@class lencase.definition
---@field [string|integer] lencase.entry|function|lencase.failure a call's name or number
---@field on_start? fun() before the program's first instruction
---@field on_cage? fun(cage: lencase.cage, parent: lencase.cage?) a cage came to be
---@field on_cage_exit? fun(cage: lencase.cage, how: "exit"|"signal", n: integer) a cage ended
---@field on_exit? fun(how: "exit"|"signal", n: integer) the program has ended
---@field on_error? string an errno's name, "kill" or "pass": what a failing handler means
---@field keep? table<string, table> tables that a reload of the script goes on with, by name
---@field state? table what processes hand over under `lencase run --inline`; as the script makes it it is empty
---@field merge? fun(a: table, b: table): table what `state` is with what another process handed over
---@field registered? boolean false: nothing is handled before lencase.register_handler says for which cage
---@field timeout? number seconds of processor time that a handler may take
---@field provide? lencase.provide what is there for those above this grate
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
---@field gone boolean it ended and everybody has been told
---@field fd_path fun(self, fd: integer): string?, integer? what a descriptor refers to
---@field fd_open fun(self, fd: integer): boolean
---@field read fun(self, addr: integer, n: integer): string?, integer?
---@field string fun(self, addr: integer): string?, integer?
---@field kill fun(self) ends it as by SIGKILL

--- A failure is a constant answer: see lencase.fail.
grate.failure_meta = {
  __tostring = function(self) return "lencase.fail(" .. self.errno .. ")" end,
  __name = "lencase.failure",
}

local function is_failure(value) return getmetatable(value) == grate.failure_meta end

-- {================================ messages ================================

local OURS = debug.getinfo(1, "S").source:match "^.*/" or "" -- where lencase's own functions come from

-- Whether it was written by the author, in Lua.
local function is_lua(fn)
  local info = type(fn) == "function" and debug.getinfo(fn, "S")
  return info and info.what ~= "C" and (OURS == "" or info.source:sub(1, #OURS) ~= OURS)
end

local STRIPPED = "=?" -- the source of bytecode that does not say any more where it comes from

-- The script that a definition stands in. Most call lencase.grate as a tail call, which leaves
-- no trace on the stack: any function in it tells.
local function script_of(definition)
  for _, value in pairs(type(definition) == "table" and definition or {}) do
    local fn = type(value) == "table" and rawget(value, 2) or value
    local source = is_lua(fn) and debug.getinfo(fn, "S").source
    if source and source ~= STRIPPED then return source:match "^@(.*)" end
  end
  return type(arg) == "table" and arg[0] or nil
end

-- What stands in a script, wherever it came from; nil when it cannot be read.
local function text_of(script)
  local text = core.script_text and core.script_text()
  local file = not text and io.open(script, "rb")
  if not file then return text end
  text = file:read "a"
  file:close()
  return text
end

-- The first line on which the script sets `key`, as in "key =" or "[1] =".
local function line_of(script, key)
  if compiled.lines[key] then return compiled.lines[key] end
  local name = tostring(key):gsub("%p", "%%%0")
  local pattern = math.type(key) and "%[%s*" .. name .. "%s*%]%s*=" or "%f[%w_]" .. name .. "%s*=[^=]"
  local n = 0
  for line in (text_of(script) or ""):gmatch "([^\n]*)\n?" do
    n = n + 1
    if line:find(pattern) then return compiled.found("lines", key, n) end
  end
end

-- "script.lua:12" of what is said about a key of a definition.
local function where_of(definition, key)
  local value = key and definition[key]
  local fn = type(value) == "table" and rawget(value, 2) or value
  if is_lua(fn) then
    local info = debug.getinfo(fn, "S")
    local source = info.source == STRIPPED and script_of(definition) or info.short_src
    return source .. ":" .. info.linedefined
  end
  local script = script_of(definition)
  local line = script and key and line_of(script, key)
  return line and ("%s:%d"):format(script, line) or script or "lencase.grate"
end

local function fail(where, fmt, ...) error(where .. ": " .. fmt:format(...), 0) end

-- }==========================================================================

-- {============================ names and numbers ===========================

local function call_names()
  local names = core.names()
  table.sort(names)
  return names
end

local options = { on_start = "function", on_cage = "function", on_cage_exit = "function",
                  on_exit = "function", on_error = "string", timeout = "number", provide = "table", uses = "table",
                  keep = "table", registered = "boolean", state = "table", merge = "function" }

--- Whether a key of a definition is an option and no call.
function grate.is_option(key) return options[key] ~= nil end

local function unknown_call(where, name)
  local names = call_names()
  for option in pairs(options) do table.insert(names, option) end
  fail(where, "unknown call '%s'%s", name, did_you_mean(name, names))
end

local function callnum(where, key)
  if math.type(key) == "integer" then
    if key < 0 or key > 0x3fffffff then fail(where, "%d is no callnum", key) end
    return key
  end
  if type(key) ~= "string" then fail(where, "a %s is no call: give its name or number", type(key)) end
  return core.callnum(key) or unknown_call(where, key)
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

local function check_places(where, names, places, described)
  for i, name in ipairs(names) do
    if not (places[i] and places[i][name]) then
      for j, place in ipairs(places) do
        if place[name] then
          fail(where, "the handler has '%s' as parameter %d, %s has it as %d", name, i, shape(described), j)
        end
      end
    end
  end
end

local function check_parameters(where, fn, described)
  local names, vararg = parameters_of(fn)
  local places = names_by_place(described)
  if #names > 1 and matches(names, places) == 0 then -- one name alone tells too little
    local other = core.look_alike(names) -- a call whose prototype they are, name for name
    if other then
      fail(where, "a handler for %s, but its parameters (%s) look like those of %s", shape(described),
           table.concat(names, ", "), shape(core.describe(core.callnum(other))))
    end
  end
  if #names > #places and not vararg then
    fail(where, "the handler has %d parameters, %s has %d", #names, shape(described), #places)
  end
  check_places(where, names, places, described)
end

-- }==========================================================================

-- {================================= entries ================================

local function policy_of(where, value, described, name)
  if value == nil then return policy.COPY_ALL_ARGS end
  if math.type(value) == "integer" then return value end
  if type(value) ~= "string" then fail(where, "%s: a policy is an integer or a string, not a %s", name, type(value)) end
  local mask, message = policy.parse(value, described)
  return mask or fail(where, "%s: policy \"%s\": %s", name, value, message)
end

-- What an author wrote for a call, in one form: { policy, handler or failure }.
local function entry_of(where, name, value)
  if type(value) == "function" or is_failure(value) then return { nil, value } end
  if type(value) ~= "table" then
    fail(where, "%s: an entry is { policy, handler }, a handler or lencase.fail \"NAME\", not a %s", name, type(value))
  end
  for key in pairs(value) do
    if key ~= 1 and key ~= 2 and key ~= "exact" and key ~= "prototype" and not contract.fields[key] then
      fail(where, "%s: an entry has no '%s' (policy, handler, exact, prototype, args, returns, errors, on_violation)",
           name, tostring(key))
    end
  end
  if value[2] == nil and (value.args or value.returns or value.errors) then return value end
  if type(value[2]) ~= "function" and not is_failure(value[2]) then
    local hint = type(value[1]) == "function" and ": the policy comes first" or ""
    fail(where, "%s: the handler must be a function, not a %s%s", name, type(value[2]), hint)
  end
  return value
end

local KERNEL_MAX = 511 -- above: 3i's numbers and an author's own

-- The signature that an entry brings itself, as userdata, and its description.
local function own_signature(where, name, nr, text)
  local wide, narrow = table.unpack(compiled.prototypes[text] or {})
  if not wide then
    local prototype = require "lencase.calls.prototype" -- its grammar takes longer than all else at the start
    local message
    wide, message = prototype.parse(text)
    if not wide then fail(where, "%s: prototype: %s", name, message) end
    narrow = prototype.parse(text, prototype.env "ilp32")
    compiled.found("prototypes", text, { wide, narrow })
  end
  local signature = core.signature(nr, wide, narrow)
  local described = core.describe(signature)
  local other = core.callnum(described.name)
  if nr > KERNEL_MAX and other and other ~= nr then
    fail(where, "%s: prototype: '%s' is the name of call %d", name, described.name, other)
  end
  return signature, described
end

local function unknown_description(name)
  local params = {}
  for i = 1, 6 do params[i] = { name = "arg" .. i, pointer = false } end
  return { name = name, variants = { { params = params } } }
end

local function contract_of(where, name, raw, described, mask)
  if not (raw.args or raw.returns or raw.errors or raw.on_violation) then return nil end
  local c, message = contract.parse(raw, described, mask)
  if c == false then fail(where, "%s: %s", name, message) end
  if c and is_failure(raw[2]) then fail(where, "%s: a constant answer has no contract", name) end
  return c
end

local function check_policy(where, e)
  local text, message = core.plan(e.signature or e.nr, e.policy)
  if not text then fail(where, "%s: %s", e.name, message) end
end

local function new_entry(definition, key, value)
  local where = where_of(definition, key)
  local e = { nr = callnum(where, key), where = where }
  e.name = type(key) == "string" and key or core.callname(key)
  local raw = entry_of(where, e.name, value)
  local described = core.describe(e.nr)
  if raw.prototype then
    e.signature, described = own_signature(where, e.name, e.nr, raw.prototype)
    if e.nr > KERNEL_MAX then e.name = described.name end
  end
  described = described or unknown_description(e.name)
  e.policy, e.exact = policy_of(where, raw[1], described, e.name), raw.exact
  check_policy(where, e)
  e.contract = contract_of(where, e.name, raw, described, e.policy)
  if is_failure(raw[2]) then
    e.constant = -raw[2].errno
  else
    e.fn = raw[2]
    if e.fn and core.describe(e.signature or e.nr) then check_parameters(where, e.fn, described) end
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
      wrong("keep has tables by name, as in keep = { counts = counts }, not [%s] = a %s", name, type(value))
    end
  end
end

local function check_option(definition, name, value)
  local function wrong(...) fail(where_of(definition, name), ...) end
  if type(value) ~= options[name] then wrong("%s must be a %s, not a %s", name, options[name], type(value)) end
  if name == "on_error" and value ~= "kill" and value ~= "pass" and not core.errnos()[value] then
    wrong("on_error must be \"kill\", \"pass\" or the name of an errno, not \"%s\"", value)
  end
  if name == "keep" then check_keep(wrong, value) end
  if name == "timeout" and not (value > 0 and value <= 3600) then
    wrong("timeout must be more than 0 and at most 3600 seconds, not %s", value)
  end
end

local function check_layer(definition, interface)
  local given = interface.options
  if given.provide then given.provide = layer.provide(where_of(definition, "provide"), given.provide, callnum) end
  if not given.uses then return end
  interface.uses_at = where_of(definition, "uses")
  local script = script_of(definition)
  given.uses = layer.uses(interface.uses_at, given.uses, callnum, script, script and text_of(script))
end

local function check_merge(definition, interface)
  local given = interface.options
  local function where() return where_of(definition, definition.state ~= nil and "state" or "merge") end
  if definition.state ~= nil and definition.merge == nil then
    fail(where(), "state is there to be merged: give merge = function(a, b) ... return a end, or lencase.sum")
  end
  if definition.state == nil and definition.merge ~= nil then
    fail(where(), "merge wants state = TABLE: what a process hands over")
  end
  if not given.state or not given.merge then return end -- or one of them is wrong, which has been told
  if per_cage.is(given.state) then
    fail(where(), "state is a plain table: what is per cage is put there in on_cage_exit")
  end
  local ok, beginning = pcall(merging.beginning, given.state)
  interface.beginning = ok and beginning or fail(where(), "%s", beginning)
  interface.where_state = where
end

-- What a key of a definition says, checked.
local function take(interface, definition, key, value)
  if options[key] then
    check_option(definition, key, value)
    interface.options[key] = value
  else
    table.insert(interface.entries, new_entry(definition, key, value))
  end
end

local function line_in(message) return math.tointeger(tonumber(message:match ":(%d+): ")) or 0 end

-- All that is wrong is told at once, by lines.
local function tell_all(messages)
  for i, message in ipairs(messages) do messages[i] = tostring(message) end
  table.sort(messages, function(a, b)
    if line_in(a) ~= line_in(b) then return line_in(a) < line_in(b) end
    return a < b
  end)
  error(table.concat(messages, "\n"), 0)
end

---@param definition lencase.definition
---@return lencase.interface
function grate.new(definition)
  if type(definition) ~= "table" then
    fail(where_of(definition), "lencase.grate takes a table, not a %s", type(definition))
  end
  local interface = { options = {}, entries = {} }
  local wrong = {}
  local function try(f, ...)
    local ok, result = pcall(f, ...)
    if ok then return result end
    table.insert(wrong, result)
  end
  for key, value in pairs(definition) do try(take, interface, definition, key, value) end
  try(check_layer, definition, interface)
  try(check_merge, definition, interface)
  table.sort(interface.entries, function(a, b) return a.nr < b.nr end)
  interface.routes = try(routes_of, interface.entries)
  if #wrong > 0 then tell_all(wrong) end
  return setmetatable(interface, grate.interface_meta)
end

-- }==========================================================================

-- {================================ installing ==============================

local function no_cage() error("sys is at work in a grate only: lencase run SCRIPT -- PROGRAM", 2) end

local uses -- callnum -> true: what this grate may call; nil: everything
local all_sys = {}

local function may_use(nr) return not uses or uses[nr] == true end

-- The calls that a grate can make: to whom is below it, or into one of its branches.
local function new_sys(branch)
  local new = setmetatable({}, {
    __index = function(sys, name)
      local nr = math.type(name) == "integer" and name or core.callnum(name)
      if not nr then error(("unknown call 'sys.%s'%s"):format(name, did_you_mean(name, call_names())), 2) end
      if not may_use(nr) then error(("sys.%s is not among this grate's uses"):format(name), 2) end
      local fn = core.sys and core.sys(nr, nil, branch) or no_cage
      rawset(sys, name, fn)
      return fn
    end,
  })
  table.insert(all_sys, new)
  return new
end

grate.sys = new_sys()

---@class lencase.branch a stack inside of this grate: lencase run x.lua %{ a.lua b.lua %}
---@field calls integer[] the numbers of the calls that the grates in it handle
---@field sys lencase.sys calls made to it
---@field enter fun() a handler that then returns nothing lets its call through to it

---@return lencase.branch[]
function grate.branches()
  local list = {}
  for i = 1, core.branches and core.branches() or 0 do
    list[i] = { calls = core.branch_calls(i), sys = new_sys(i), enter = function() core.enter(i) end }
  end
  return list
end

-- A handler that also keeps the fdtables: the author's own, or none.
local function watched(name, watcher, fn)
  local nr = core.callnum(name)
  local call = core.sys(nr)
  local function finish(n, ...)
    if n == nil and watcher.after and select(2, core.word(1)) == 0 then
      local branch = core.entered()
      return finish((branch and core.sys(nr, nil, branch) or call)())
    end
    if watcher.after and math.type(n) == "integer" then watcher.after(n) end
    return n, ...
  end
  local function finish_around(done, n, ...)
    if n == nil or select(2, core.word(1)) > 0 then done() end
    return n, ...
  end
  return function(...)
    if fn and watcher.around then return finish_around(watcher.around(), fn(...)) end
    if watcher.before then watcher.before() end
    if fn then return finish(fn(...)) end
    if watcher.after then return finish(call()) end
  end
end

local function watch_descriptors(interface)
  for name, watcher in pairs(fdtable.watchers) do
    local nr = core.callnum(name)
    local e = interface.routes[nr] and interface.routes[nr][1]
    if e and e.fn then
      e.fn = watched(name, watcher, e.fn)
    elseif not e and (not interface.options.provide or layer.provides(interface.options.provide, nr)) then
      interface.routes[nr] = { { nr = nr, name = name, policy = policy.PASS_THROUGH_ALL, tests = watcher.tests,
                               fn = watched(name, watcher), where = "lencase.fdtable" } }
    end
  end
end

local function status_of(wstatus)
  local signal = wstatus & 0x7f
  if signal ~= 0 then return "signal", signal end
  return "exit", wstatus >> 8 & 0xff
end

local current -- the interface that is installed
local load_again

-- Where a program runs inline, events of what is merged: in each of its processes, and (gather_...) in the
-- one that waits for them.
local function merging_events(tell, call)
  local handed_over
  function tell.fork()
    if current.beginning then merging.reset(current.beginning) end
  end
  function tell.hand_over()
    local beginning = current.beginning
    handed_over = beginning ~= nil
    if not beginning or merging.is_fresh(beginning) then return end
    local ok, bytes = pcall(merging.encode, beginning.root)
    merging.reset(beginning) -- it may be asked again: executing a program can fail
    return ok and bytes or fail(current.where_state(), "%s; this process has nothing to hand over", bytes)
  end
  local finish = tell.finish
  function tell.finish(...)
    if not handed_over then finish(...) end -- else it is for whoever merges
  end
  function tell.merge(_, _, _, _, data)
    if not current.beginning then error("a state was handed over to a grate that merges none", 0) end
    local ok, message = pcall(merging.take, current.beginning, current.options.merge, data)
    if not ok then fail(current.where_state(), "merge: %s", message) end
  end
  function tell.merges() return current.beginning and "" end
  function tell.gather_start()
    output.begin()
    if current.beginning then call "on_start" end
  end
  function tell.gather_finish(_, _, _, wstatus)
    if current.beginning then call("on_exit", status_of(wstatus)) end
    output.finish()
  end
end

-- What the core tells, in turn for the tables per cage and for the script.
local function dispatcher()
  local function call(name, ...)
    local given = current.options
    if given[name] then given[name](...) end
  end
  local tell = {
    start = function()
      output.begin()
      call "on_start"
    end,
    new = function(cage, parent) call("on_cage", cage, parent) end,
    exec = function(cage) return current.options.on_cage_exit and cage.comm end, -- it is kept for later
    exit = function(cage, _, _, wstatus) call("on_cage_exit", cage, status_of(wstatus)) end,
    reload = function()
      local ok, message = load_again()
      if not ok then error(message, 0) end
    end,
    finish = function(_, _, _, wstatus)
      call("on_exit", status_of(wstatus))
      output.finish()
    end,
    output = function(_, _, _, _, data) output.take(data) end,
  }
  merging_events(tell, call)
  return function(event, cage, parent, shares_files, wstatus, data)
    local result
    if event ~= "exit" then per_cage.event(event, cage, parent, shares_files) end
    if tell[event] then result = tell[event](cage, parent, shares_files, wstatus, data) end
    if event == "exit" then per_cage.event(event, cage) end
    return result
  end
end

local function apply_timeout(given)
  if given.timeout then core.handler_ms(math.max(1, math.floor(given.timeout * 1000))) end
end

local function apply_options(given)
  apply_timeout(given)
  local on_error = given.on_error
  if on_error then core.on_error(core.errnos()[on_error] or on_error) end
end

-- From here on the grate makes the calls that it says; what the script fetched before is looked at.
local function limit_uses(interface)
  uses = interface.options.uses
  for _, sys in ipairs(all_sys) do
    for name in pairs(sys) do
      local nr = math.type(name) == "integer" and name or core.callnum(name)
      if not may_use(nr) then fail(interface.uses_at, "sys.%s is not among this grate's uses", name) end
    end
  end
end

local function hold_to_contracts(interface)
  for _, e in ipairs(interface.entries) do
    if e.contract then e.fn = contract.wrap(e.contract, e.fn, core.sys(e.nr, e.signature)) end
  end
end

local function register(e, nr)
  if e.signature and may_use(nr) then rawset(grate.sys, e.name, core.sys(nr, e.signature)) end
  return core.register { nr = nr, family = e.nr, policy = e.policy, where = e.where, fn = e.fn, constant = e.constant,
                  signature = nr == e.nr and e.signature or nil, tests = e.tests, denied = e.denied, off = e.off,
                  dormant = current.options.registered == false }
end

local function refuse_layer(interface)
  for _, name in ipairs { "provide", "uses" } do
    if interface.options[name] or current.options[name] then
      fail(interface.uses_at or "reload", "a layer (%s) cannot be reloaded, nor exchanged at the prompt", name)
    end
  end
end

-- A filter cannot be widened: what a script names newly is told and left.
local function stage(interface)
  local left = {}
  for nr, entries in pairs(interface.routes) do
    for _, e in ipairs(entries) do
      if not register(e, nr) then left[e.name] = e.where end
    end
  end
  for name, where in pairs(left) do
    core.log(("%s: %s was not handled when the program began: it is not stopped for, or in part"):format(where, name))
  end
end

-- What can fail, then a function that cannot.
local function prepare(interface, descriptors)
  refuse_layer(interface)
  hold_to_contracts(interface)
  if fdtable.used(descriptors) then watch_descriptors(interface) end
  stage(interface)
  local steps = reload.keep(interface.options.keep or {}, current.options.keep or {})
  local on_error = interface.options.on_error or "EIO"
  on_error = core.errnos()[on_error] or on_error
  return function()
    for _, step in ipairs(steps) do step() end
    if interface.options.timeout then apply_timeout(interface.options) end
    core.on_error(on_error)
    current = interface
  end
end

--- Loads the script of this grate again: true, or nil and why the old one goes on.
function grate.reload()
  local ok, message = load_again()
  if not ok and core.log then core.log(message) end
  return ok, message
end

function load_again()
  if not current then return nil, "there is no grate to reload here" end
  output.seal(false)
  local ok, message = reload.run(prepare)
  output.seal(true)
  return ok, message
end

--- Puts another interface in the place of the one that is at work: a prompt's changes.
---@param interface lencase.interface
---@return boolean? ok
---@return string? message why the old one goes on
function grate.exchange(interface)
  core.reload_begin()
  local ok, finish = pcall(prepare, interface)
  if not ok then
    core.reload_end()
    return nil, tostring(finish)
  end
  core.reload_end(finish)
  return true
end

local OWN_FIRST, OWN_LAST = 2000, 2099 -- an author's own calls that a prompt may come to handle

-- What may come to be handled: every call by itself, and as a member of its families.
local function all_routes()
  local routes = {}
  local function add(nr, family)
    routes[nr] = routes[nr] or {}
    table.insert(routes[nr], { nr = family, where = "prompt", policy = policy.PASS_THROUGH_ALL, off = true,
                               fn = function() end })
  end
  for _, name in ipairs(core.names()) do
    local nr = core.callnum(name)
    add(nr, nr)
    for _, member in ipairs((core.members(nr))) do
      if member ~= nr then add(member, nr) end
    end
  end
  for nr = OWN_FIRST, OWN_LAST do add(nr, nr) end
  return routes
end

--- Whether a prompt can come to handle a call of an author's own that has this number.
function grate.is_own(nr) return nr >= OWN_FIRST and nr <= OWN_LAST end

--- A grate that any interface can be exchanged for while cages run.
---@param definition lencase.definition
---@return lencase.interface
function grate.open(definition)
  local interface = grate.new(definition)
  interface.routes = all_routes()
  return interface
end

-- Called by the core with what the script returned.
local function install(interface)
  reload.remember()
  current = interface
  apply_options(interface.options)
  limit_uses(interface)
  hold_to_contracts(interface)
  if fdtable.used() then watch_descriptors(interface) end
  if interface.options.provide then layer.complete(interface.options.provide, interface.routes) end
  local numbers = {}
  for nr in pairs(interface.routes) do table.insert(numbers, nr) end
  table.sort(numbers)
  for _, nr in ipairs(numbers) do
    for _, e in ipairs(interface.routes[nr]) do register(e, nr) end
  end
  output.seal(true)
  core.events(dispatcher())
end

grate.interface_meta = { __name = "lencase.interface", __install = install }

-- }==========================================================================

return grate
