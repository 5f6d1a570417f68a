-- install.lua - puts an interface in force: when the script has returned, and on reload
--
-- Entries become routes and plans, events go to the script and the tables per cage, sys makes calls.

local core = require "lencase.core"
local definition = require "lencase.definition"
local fdtable = require "lencase.fdtable"
local output = require "lencase.output"
local parsing = require "lencase.parsing"
local per_cage = require "lencase.per_cage"
local policy = require "lencase.policy"
local reload = require "lencase.reload"
local when_needed = require "lencase.when_needed"
local where = require "lencase.where"

local contract, layer = when_needed "lencase.contract", when_needed "lencase.layer"
local merging = when_needed "lencase.merging"
local did_you_mean, fail = parsing.did_you_mean, where.fail

local install = {}

local function no_cage() error("sys can be used in a grate only: lencase run SCRIPT -- PROGRAM", 2) end

local uses -- callnum -> true: what this grate may call; nil: everything
local all_sys = {}

local function may_use(nr) return not uses or uses[nr] == true end

-- The calls that a grate can make: to the grate or host below it, or into one of its branches.
local function new_sys(branch)
  local new = setmetatable({}, {
    __index = function(sys, name)
      local nr = math.type(name) == "integer" and name or core.callnum(name)
      if not nr then error(("unknown call 'sys.%s'%s"):format(name, did_you_mean(name, definition.call_names())), 2) end
      if not may_use(nr) then error(("sys.%s is not among this grate's uses"):format(name), 2) end
      local fn = core.sys and core.sys(nr, nil, branch) or no_cage
      rawset(sys, name, fn)
      return fn
    end,
  })
  table.insert(all_sys, new)
  return new
end

install.sys = new_sys()

---@class lencase.branch a stack inside of this grate: lencase run x.lua %{ a.lua b.lua %}
---@field calls integer[] the numbers of the calls that the grates in it handle
---@field sys lencase.sys calls made to it
---@field enter fun() a handler that then returns nothing lets its call through to it

---@return lencase.branch[]
function install.branches()
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

-- Where a program runs inline, events of states that are merged: in each of its processes, and (gather_...)
-- in lencase run, which waits for them.
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
    merging.reset(beginning) -- it may be called again: executing a program can fail
    return ok and bytes or fail(current.where_state(), "%s; this process has nothing to hand over", bytes)
  end
  local finish = tell.finish
  function tell.finish(...)
    if not handed_over then finish(...) end -- else lencase run does, which merges
  end
  function tell.merge(_, _, _, _, data)
    if not current.beginning then error("a state was handed over to a grate without merge", 0) end
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

-- The core's events, first for the tables per cage, then for the script.
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

-- From here on `uses` holds; the calls that the script has already fetched are checked.
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
  if e.signature and may_use(nr) then rawset(install.sys, e.name, core.sys(nr, e.signature)) end
  return core.register { nr = nr, family = e.nr, policy = e.policy, where = e.where, fn = e.fn, constant = e.constant,
                  signature = nr == e.nr and e.signature or nil, tests = e.tests,
                  status = e.status, registered = current.options.registered }
end

local function refuse_layer(interface)
  for _, name in ipairs { "provide", "uses" } do
    if interface.options[name] or current.options[name] then
      fail(interface.uses_at or "reload", "a layer (%s) can be neither reloaded nor replaced at the prompt", name)
    end
  end
end

-- A filter cannot be widened: a call that a script names newly is reported and not handled.
local function stage(interface)
  local left = {}
  for nr, entries in pairs(interface.routes) do
    for _, e in ipairs(entries) do
      if not register(e, nr) then left[e.name] = e.where end
    end
  end
  for name, at in pairs(left) do
    core.log(("%s: %s was not handled when the program started: not all of its calls reach the handler")
      :format(at, name))
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

--- Loads the script of this grate again: true, or nil and why the old one stays.
function install.reload()
  local ok, message = load_again()
  if not ok and core.log then core.log(message) end
  return ok, message
end

function load_again()
  if not current then return nil, "there is no grate to reload" end
  output.seal(false)
  local ok, message = reload.run(prepare)
  output.seal(true)
  return ok, message
end

--- Replaces the interface that is in force: a prompt's changes.
---@param interface lencase.interface
---@return boolean? ok
---@return string? message why the old one stays
function install.exchange(interface)
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

-- All that may be handled later: every call by itself, and as a member of its families.
local function all_routes()
  local routes = {}
  local function add(nr, family)
    routes[nr] = routes[nr] or {}
    table.insert(routes[nr], { nr = family, where = "prompt", policy = policy.PASS_THROUGH_ALL, status = "absent",
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
function install.is_own(nr) return nr >= OWN_FIRST and nr <= OWN_LAST end

--- A grate whose interface can be replaced by any other while cages run.
---@param declared lencase.definition
---@return lencase.interface
function install.open(declared)
  local interface = definition.new(declared)
  interface.routes = all_routes()
  return interface
end

-- Called by the core with what the script returned.
local function begin(interface)
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

definition.interface_meta.__install = begin

return install
