-- file.lua - saves the prompt's handlers as a script, and loads a script's into the prompt

local definitions = require "lencase.definition"
local handlers = require "lencase.repl.handlers"
local lencase = require "lencase"
local output = require "lencase.output"
local show = require "lencase.tools.show"
local source = require "lencase.repl.source"

local file = {
  env = nil,     -- the prompt's environment
  texts = {},    -- chunk name -> what was typed
  commands = {}, -- the prompt's own
  upvalues = {}, -- name -> { function, index }: the locals of the script that was loaded
}

local loaded -- { path =, text =, definition = } of the script that was loaded

local function fail(fmt, ...) error(fmt:format(...), 0) end

-- {================================= loading ===============================

local function take_upvalues(fn, seen)
  if type(fn) ~= "function" or seen[fn] then return end
  seen[fn] = true
  for i = 1, 255 do
    local name, value = debug.getupvalue(fn, i)
    if not name then break end
    if name ~= "_ENV" and name ~= "" then
      file.upvalues[name] = file.upvalues[name] or { fn, i }
      take_upvalues(value, seen)
    end
  end
end

local function take_handlers(definition)
  local seen = {}
  file.upvalues = {}
  for _, value in pairs(definition) do
    take_upvalues(value, seen)
    if type(value) == "table" then take_upvalues(value[2], seen) end
  end
end

-- The definition that a script gives to lencase.grate.
local function run(text, path)
  local chunk, message = load(text, "@" .. path, "t", file.env)
  if not chunk then fail("%s", message) end
  local new, definition = definitions.new, nil
  definitions.new = function(d)
    definition = d
    return new(d)
  end
  output.seal(false)
  local ok, result = pcall(chunk)
  output.seal(true)
  definitions.new = new
  if not ok then fail("%s", result) end
  if not definition then fail("%s: the script must end with 'return lencase.grate { ... }'", path) end
  return definition
end

--- load "policy.lua": its handlers replace those that are there.
---@param path string
function file.load(path)
  local stream = io.open(path, "rb") or fail("%s cannot be read", path)
  local text = stream:read "a"
  stream:close()
  local definition = run(text, path)
  local old_entries, old_options, entries, options = handlers.entries, handlers.options, {}, {}
  for key, value in pairs(definition) do
    if definitions.is_option(key) then options[key] = value else entries[key] = value end
  end
  handlers.entries, handlers.options = entries, options
  local ok, message = pcall(handlers.apply)
  if not ok then
    handlers.entries, handlers.options = old_entries, old_options
    fail("%s", message)
  end
  take_handlers(definition)
  handlers.changed = {}
  loaded = { path = path, text = text, definition = definition }
  file.texts["@" .. path] = text
end

-- }==========================================================================

-- {============================= values as text =============================

local function text_of_function(fn)
  local text = file.texts[debug.getinfo(fn, "S").source]
  local at = text and source.find(text, fn)
  if not at then
    fail("the text of %s is not known: type it as function(...) ... end on a line of its own", show.value(fn))
  end
  local found = text:sub(at.from, at.to)
  return at.named and found:gsub("^function%s+[%w_.:]+", "function", 1) or found
end

local literal

local function literal_table(value)
  local items = {}
  for key, item in pairs(value) do
    table.insert(items, "[" .. literal(key) .. "] = " .. literal(item))
  end
  table.sort(items)
  return "{ " .. table.concat(items, ", ") .. " }"
end

function literal(value)
  local kind = type(value)
  if kind == "function" then return text_of_function(value) end
  if definitions.is_failure(value) then return ('lencase.fail "%s"'):format(lencase.errno[value.errno]) end
  if kind == "table" and getmetatable(value) == nil then return next(value) and literal_table(value) or "{}" end
  if kind == "string" or math.type(value) then return ("%q"):format(value) end
  if kind == "boolean" or kind == "nil" then return tostring(value) end
  fail("a %s cannot be written to a script", kind)
end

-- A handler with the locals that only it has, as one made by a factory.
local function text_of_handler(value, own)
  local lines = {}
  for name, item in pairs(type(value) == "function" and own or {}) do
    table.insert(lines, ("  local %s = %s\n"):format(name, literal(item)))
  end
  if #lines == 0 then return literal(value) end
  table.sort(lines)
  return ("(function()\n%s  return %s\nend)()"):format(table.concat(lines), literal(value))
end

local function text_of_policy(given) return math.type(given) and show.policy(given) or literal(given) end

local function text_of_entry(value, own)
  if type(value) == "function" or definitions.is_failure(value) then return text_of_handler(value, own) end
  local parts = { text_of_policy(value[1]), value[2] ~= nil and text_of_handler(value[2], own) or nil }
  for key, item in pairs(value) do
    if math.type(key) == nil then table.insert(parts, key .. " = " .. literal(item)) end
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

-- }==========================================================================

-- {============================ names that are used ========================

local SHARED = { sys = "local sys = lencase.sys", fail = "local fail = lencase.fail",
                 NULL = "local NULL = lencase.NULL" }

local function uses_commands(text)
  for name in pairs(source.globals(text)) do
    if file.commands[name] and name ~= "lencase" and not SHARED[name] then return true end
  end
  return false
end

-- The chunk "name = ..." that was typed last, without the text before the value.
local function typed_value(name)
  for n = #file.texts, 1, -1 do
    local value = file.texts[n]:match("^%s*" .. name .. "%s*=%s*(.*)$")
    if value and load("return " .. value) and not uses_commands(value) then return value end
  end
end

-- A global's definition: as it was typed; nil when only handlers assign it.
local function definition_of(name, user)
  local value = rawget(file.env, name)
  local typed = typed_value(name)
  if typed then return "local " .. name .. " = " .. typed end
  if type(value) ~= "function" and user:find("%f[%w_]" .. name .. "%s*=[^=]") then return nil end
  local ok, text = pcall(literal, value)
  if ok and type(value) == "function" then return "local " .. name .. "\n" .. name .. " = " .. text end
  if ok then return "local " .. name .. " = " .. text end
  if type(value) == "userdata" or type(value) == "table" then
    fail("%s is used by a handler and has no text: write %s = ... on a line of its own", name, name)
  end
  fail("%s", text)
end

-- The locals of typed chunks that a function holds, and the functions among them: name -> { value =, id = }.
local function locals_of(fn, into)
  for i = 1, 255 do
    local name, value = debug.getupvalue(fn, i)
    if not name then return into end
    if name ~= "_ENV" and not into[name] then
      into[name] = { value = value, id = debug.upvalueid(fn, i) }
      if type(value) == "function" and debug.getinfo(value, "S").what ~= "C" then locals_of(value, into) end
    end
  end
  return into
end

local function locals_of_entry(value)
  local fn = type(value) == "table" and value[2] or value
  return type(fn) == "function" and locals_of(fn, {}) or {}
end

-- name -> which variable -> how many of the entries have it
local function users_of(values)
  local users = {}
  for _, value in ipairs(values) do
    for name, variable in pairs(locals_of_entry(value)) do
      users[name] = users[name] or {}
      users[name][variable.id] = (users[name][variable.id] or 0) + 1
    end
  end
  return users
end

-- The variable of this name that is declared before all handlers: one that several have, or the only one.
local function shared_variable(name, users)
  local first = next(users)
  if not next(users, first) then return first end
  local shared
  for id, n in pairs(users) do
    if n > 1 and shared then
      fail("handlers share several locals named %s: define them on lines of their own, by different names", name)
    end
    if n > 1 then shared = id end
  end
  return shared
end

-- value -> the locals that only it has, even if others have some of the same names; and the others' values.
local function share_locals(values)
  local own, shared, users = {}, {}, users_of(values)
  for _, value in ipairs(values) do
    own[value] = {}
    for name, variable in pairs(locals_of_entry(value)) do
      local is_shared = (loaded and file.upvalues[name]) or variable.id == shared_variable(name, users[name])
      if is_shared then shared[name] = variable.value else own[value][name] = variable.value end
    end
  end
  return own, shared
end

local collect

local function collect_name(c, name, user)
  if c.seen[name] or (loaded and file.upvalues[name]) then return end
  local is_global = rawget(file.env, name) ~= nil
  if c.locals[name] == nil and not is_global and not c.shared[name] then return end
  c.seen[name] = true
  local text
  if c.locals[name] ~= nil then
    local is_function = type(c.locals[name]) == "function" -- that may call itself
    text = "local " .. name .. (is_function and "\n" .. name or "") .. " = " .. literal(c.locals[name])
  else
    text = c.shared[name]
    if is_global then text = definition_of(name, user) end
  end
  if not text then return end
  collect(c, text)
  table.insert(c.lines, text)
end

function collect(c, text)
  local names = {}
  for name in pairs(source.globals(text)) do table.insert(names, name) end
  table.sort(names)
  for _, name in ipairs(names) do collect_name(c, name, text) end
end

-- The lines that must stand before handlers with these texts. 'has' are names that the script has.
local function preamble(locals, texts, has)
  local c = { seen = has, lines = {}, locals = locals, shared = SHARED }
  for _, text in ipairs(texts) do collect(c, text) end
  return c.lines
end

-- }==========================================================================

-- {================================== saving ===============================

local function sorted(t)
  local keys = {}
  for key in pairs(t) do table.insert(keys, key) end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

local function key_text(key) return math.type(key) and "[" .. key .. "]" or key end

local function new_script()
  local values, texts, entries, lines = {}, {}, {}, { 'local lencase = require "lencase"' }
  for _, value in pairs(handlers.entries) do table.insert(values, value) end
  local own, shared = share_locals(values)
  for _, key in ipairs(sorted(handlers.entries)) do
    local text = text_of_entry(handlers.entries[key], own[handlers.entries[key]])
    table.insert(texts, text)
    table.insert(entries, "  " .. key_text(key) .. " = " .. text .. ",")
  end
  for _, line in ipairs(preamble(shared, texts, { lencase = true })) do table.insert(lines, line) end
  table.insert(lines, "\nreturn lencase.grate {")
  for _, entry in ipairs(entries) do table.insert(lines, entry) end
  table.insert(lines, "}\n")
  return table.concat(lines, "\n")
end

-- A handler that a function of the script makes has no text of its own.
local function check_home(value, place, key)
  local fn = type(value) == "table" and value[2] or value
  if type(fn) ~= "function" or debug.getinfo(fn, "S").source ~= "@" .. loaded.path then return end
  local at = source.find(loaded.text, fn)
  if not (place and at and at.from >= place.from and at.to <= place.to) then
    fail("%s: the handler of %s is made elsewhere in the text: change it there, or type it anew", loaded.path, key)
  end
end

-- Only the policy differs from the script's: the handler may then be made by a function of the script.
local function only_policy(key)
  local new, old = handlers.entries[key], loaded.definition[key]
  if type(new) ~= "table" or type(old) ~= "table" or getmetatable(new) or getmetatable(old) then return false end
  for k, value in pairs(new) do
    if k ~= 1 and old[k] ~= value then return false end
  end
  for k in pairs(old) do
    if k ~= 1 and new[k] == nil then return false end
  end
  return true
end

local function changed_values()
  local values = {}
  for key in pairs(handlers.changed) do
    if not only_policy(key) then table.insert(values, handlers.entries[key]) end
  end
  return values
end

local function edit_of_policy(place, key)
  return { place.first.from, place.first.to + 1, text_of_policy(handlers.entries[key][1]) }
end

-- The changes to a script's text: { from, after, text }, the handlers that are new in it, the locals they have.
local function edits_of(at)
  local edits, texts, new = {}, {}, {}
  local own, shared = share_locals(changed_values())
  local function edit(key)
    local value, place = handlers.entries[key], at[key]
    local text = value ~= nil and text_of_entry(value, own[value])
    if value ~= nil then check_home(value, place, key) end
    if text then table.insert(texts, text) end
    if place and text then table.insert(edits, { place.from, place.to + 1, text }) end
    if place and not text then table.insert(edits, { place.whole, place.behind, "" }) end
    if not place and text then table.insert(new, "  " .. key_text(key) .. " = " .. text .. ",\n") end
  end
  for _, key in ipairs(sorted(handlers.changed)) do
    if at[key] and at[key].first and only_policy(key) then
      table.insert(edits, edit_of_policy(at[key], key))
    else
      edit(key)
    end
  end
  return edits, shared, texts, new
end

local function line_start(text, pos)
  while pos > 1 and text:sub(pos - 1, pos - 1) ~= "\n" do pos = pos - 1 end
  return pos
end

local function edited_script()
  local text = loaded.text
  local at = source.interface(text) or fail("%s: lencase.grate is not given a table in the text", loaded.path)
  local edits, locals, texts, new = edits_of(at)
  if #new > 0 then
    local close = at[1].close
    local before = at[1].comma and "" or ","
    table.insert(edits, { at[1].last, at[1].last, before })
    table.insert(edits, { line_start(text, close), line_start(text, close), table.concat(new) })
  end
  local has = source.toplevel(text)
  local lines = preamble(locals, texts, has)
  local start = line_start(text, at.start)
  if #lines > 0 then table.insert(edits, { start, start, table.concat(lines, "\n") .. "\n\n" }) end
  table.sort(edits, function(a, b) return a[1] > b[1] end)
  for _, e in ipairs(edits) do text = text:sub(1, e[1] - 1) .. e[3] .. text:sub(e[2]) end
  return text
end

--- save "policy.lua": the handlers as they were typed, with their policies; a script that was loaded
--- with what was changed in it.
---@param path string
function file.save(path)
  local text = loaded and edited_script() or new_script()
  local good, message = load(text, "@" .. path, "t")
  if not good then fail("the result would not be a valid script: %s", message) end
  local ok, why = output.save(path, text)
  if not ok then fail("%s", why) end
end

-- }==========================================================================

return file
