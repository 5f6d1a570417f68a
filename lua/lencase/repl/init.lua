-- lencase.repl - a prompt for trying policies
--
-- It runs in the Lua state of a grate (lencase.repl.grate), so that what is typed are handlers like any
-- other. Its commands are plain functions; what is typed are globals of an environment of its own.

local cages = require "lencase.repl.cages"
local core = require "lencase.core"
local file = require "lencase.repl.file"
local handlers = require "lencase.repl.handlers"
local help = require "lencase.repl.help"
local lencase = require "lencase"
local line = require "lencase.repl.line"
local live = require "lencase.repl.live"
local recording = require "lencase.tools.recording"
local show = require "lencase.tools.show"

local repl = {}

local leaving = setmetatable({}, { __tostring = function() return "exit" end })

-- {================================= commands ==============================

local function routes()
  for _, e in ipairs(handlers.list()) do
    local members = {}
    for _, nr in ipairs(e.exact and {} or core.members(e.nr)) do
      if nr ~= e.nr then table.insert(members, core.callname(nr)) end
    end
    local also = #members > 0 and " (also " .. table.concat(members, ", ") .. ")" or ""
    local what = handlers.policy(e.name)
    what = math.type(what) and show.policy(what) or what
    io.stdout:write(("%-16s %-30s %s%s\n"):format(e.name, what, e.where, also))
  end
end

-- load "policy.lua" and load "trace.jsonl" are the prompt's; all other uses are Lua's own load.
local function load_either(what, ...)
  local is_file = type(what) == "string" and not what:find "[\n()=]" and select("#", ...) == 0
  if is_file and (what:find "%.jsonl$" or recording.is_one(what)) then return cages.load(what) end
  if is_file and (what:find "%.lua$" or io.open(what)) then return file.load(what) end
  return load(what, ...)
end

local commands = {
  lencase = lencase, sys = lencase.sys, fail = lencase.fail, NULL = lencase.NULL,
  cage = cages.cage, calls = cages.calls, try = cages.try, record = cages.record, trace = live.trace,
  cages = function() return cages.all end,
  on = handlers.on, off = handlers.off, policy = handlers.policy, routes = routes,
  save = file.save, load = load_either, help = help.show,
  run = live.run, step = live.step, finish = live.finish, let = live.let, call = live.call, ret = live.ret,
  args = live.args, where = live.where, threads = live.threads, choose = live.choose, leave = live.leave,
  exit = function() error(leaving, 0) end,
}

-- }==========================================================================

-- {=============================== environment =============================

local function upvalue(name) return file.upvalues[name] end

local env = setmetatable({}, {
  __index = function(_, name)
    local up = upvalue(name)
    if up then return (select(2, debug.getupvalue(up[1], up[2]))) end
    if commands[name] ~= nil then return commands[name] end
    if _G[name] ~= nil then return _G[name] end
    return live.argument(name)
  end,
  __newindex = function(t, name, value)
    local up = upvalue(name)
    if up then debug.setupvalue(up[1], up[2], value) else rawset(t, name, value) end
  end,
})
rawset(env, "_G", env)

-- }==========================================================================

-- {================================== chunks ===============================

local chunks = 0
local failed = false

-- The line that a message of a typed chunk names.
local function typed_line(message)
  local n, at = message:match "^%[(%d+)%]:(%d+):"
  local text = n and file.texts[tonumber(n)]
  if not text then return nil end
  local k = 0
  for found in (text .. "\n"):gmatch "(.-)\n" do
    k = k + 1
    if k == tonumber(at) then return found end
  end
end

local function tell_error(message)
  failed = true
  message = type(message) == "string" and message or show.value(message)
  io.stdout:flush()
  io.stderr:write(show.paint("error", message), "\n")
  local where = typed_line(message)
  if where and line.interactive then io.stderr:write("  ", where:match "^%s*(.*)$", "\n") end
end

-- A chunk of what is typed; nil and whether more lines may complete it.
local function compile(text, n)
  local name = "=[" .. n .. "]"
  local chunk, why = load("return " .. text, name, "t", env)
  if chunk then return chunk end
  local statement, message = load(text, name, "t", env)
  if statement then return statement end
  return nil, message, (message:find "<eof>$" or why:find "<eof>$") ~= nil
end

local function finish(ok, ...)
  local values = table.pack(...)
  if ok and values.n > 0 then io.stdout:write(show.paint("result", show.values(values)), "\n") end
  if ok then return false end
  if values[1] == leaving then return true end
  tell_error(values[1])
  return not line.interactive and tostring(values[1]):find "interrupted$" ~= nil -- Ctrl-C ends a filter
end

-- Runs a chunk; true: it was the last.
local function run_chunk(chunk, text, n)
  file.texts[n], file.texts["=[" .. n .. "]"] = text, text
  local over = finish(core.interruptible(chunk, function(message) return message end))
  io.stdout:flush()
  return over
end

local function question(text)
  local name = text:match "^%s*%?%s*([%w_]*)%s*$"
  if not name then return false end
  local ok, message = pcall(help.show, name)
  if not ok then tell_error(message) end
  return true
end

-- }==========================================================================

-- The next chunk: text, function; nil at the end.
local function next_chunk(n)
  local text
  while true do
    local got, why = line.read(text and ">> " or "> ")
    if why == "end" then return text, text and select(2, compile(text, n)), true end
    if why == "interrupted" then
      text = nil
    else
      text = text and text .. "\n" .. got or got
      if question(text) or text:match "^%s*$" then
        text = nil
      else
        local chunk, message, more = compile(text, n)
        if chunk then return text, chunk end
        if not more then
          tell_error(message)
          text = nil
        end
      end
    end
  end
end

local function loop()
  while true do
    local text, chunk, over = next_chunk(chunks + 1)
    if over then
      if text then tell_error(chunk) end
      if line.interactive then io.stdout:write "\n" end
      return
    end
    chunks = chunks + 1
    if run_chunk(chunk, text, chunks) then return end
  end
end

local function run_text(text)
  if question(text) then return end
  local chunk, message = compile(text, chunks + 1)
  if not chunk then return tell_error(message) end
  chunks = chunks + 1
  return run_chunk(chunk, text, chunks)
end

local function attempt(f, ...)
  local ok, message = pcall(f, ...)
  if not ok then tell_error(message) end
  return ok
end

-- Verbs, each with a value: "load" and a file, "attach" and a process, "execute" and code, which runs last; then, if
-- a program is to be started, "start" and its words. True: no prompt follows.
local function take(words)
  local i, codes = 1, {}
  while words[i] and words[i] ~= "start" do
    local verb, value = words[i], words[i + 1]
    i = i + 2
    if verb == "load" then attempt(file.load, value) end
    if verb == "execute" then table.insert(codes, value) end
    if verb == "attach" and not attempt(live.attach, math.tointeger(tonumber(value))) then return true end
  end
  if words[i] and not attempt(live.start, table.move(words, i + 1, #words, 1, {})) then return true end
  for _, code in ipairs(codes) do
    if run_text(code) then break end
  end
  return #codes > 0
end

--- Reads and runs what is typed until it ends. Returns whether something failed.
---@param words string[]
---@return boolean
function repl.run(words)
  file.commands = commands
  file.env, handlers.watch = env, cages.watch
  line.env, line.commands = env, commands
  line.methods = { "put", "alloc", "bytes", "poke", "dump", "call", "gone" }
  handlers.apply()
  line.open()
  live.interactive = line.interactive
  if line.interactive then io.stdout:write("lencase ", lencase.VERSION, ": ? for help\n") end
  if not take(words) then loop() end
  line.close()
  live.close()
  cages.close()
  return failed and not line.interactive
end

return repl
