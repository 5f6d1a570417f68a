-- stacks.lua - the words that name a stack of grates, and the state in which it is loaded

---@class lencase.cli.grate
---@field script string
---@field args string[]
---@field branches lencase.cli.grate[][] the stacks inside

local core = require "lencase.core"
local files = require "lencase.cli.files"
local shell = require "lencase.cli.shell"

local stacks = {}

--- The words from i up to "--" (or the end), and those after it (nil without "--").
---@param words string[]
---@param i integer
---@return string[] before
---@return string[]? after
function stacks.split_program(words, i)
  local before = {}
  while words[i] and words[i] ~= "--" do
    table.insert(before, words[i])
    i = i + 1
  end
  return before, words[i] and table.move(words, i + 1, #words, 1, {})
end

--- The grates from word i on, the bottom first, and the place after them. The first word is always a script;
--- "%{ ... %}" is a stack inside of the grate before.
---@param words string[]
---@param i integer
---@param inside? boolean of a grate
---@return lencase.cli.grate[] stack
---@return integer i
function stacks.split(words, i, inside)
  local stack = {}
  while words[i] and words[i] ~= "%}" do
    local word, last = words[i], stack[#stack]
    if word == "%{" then
      if not last then shell.give_up(shell.failed, "%%{ without a grate before it") end
      local branch
      branch, i = stacks.split(words, i + 1, true)
      table.insert(last.branches, branch)
    elseif not last or word:find "%.lua$" then
      table.insert(stack, { script = word, args = {}, branches = {} })
    else
      table.insert(last.args, word)
    end
    i = i + 1
  end
  if inside and not words[i] then shell.give_up(shell.failed, "%%{ without %%}") end
  if not inside and words[i] then shell.give_up(shell.failed, "%%} without %%{") end
  return stack, i
end

--- A state whose messages are written as the command's are.
---@param args { timeout: number?, max_call_bytes: integer?, reload: boolean?, quiet: boolean?, debug: integer? }
---@return table
function stacks.new_state(args)
  return core.state {
    log = function(line) shell.say("%s", line) end,
    handler_ms = args.timeout and math.max(1, math.floor(args.timeout * 1000)),
    max_call_bytes = args.max_call_bytes,
    reload_on_hup = args.reload and 1 or 0,
    quiet = args.quiet and 1 or 0,
    debug = args.debug,
  }
end

--- The result of a state's function; a failure ends lencase.
function stacks.must(ok, _, message) return ok or shell.give_up(shell.failed, "%s", message) end

--- Loads a stack, the stacks inside of each grate before it.
---@param state table
---@param stack lencase.cli.grate[]
function stacks.load(state, stack)
  for _, grate in ipairs(stack) do
    for _, branch in ipairs(grate.branches) do
      stacks.must(state:branch(true))
      stacks.load(state, branch)
      stacks.must(state:branch(false))
    end
    stacks.must(state:load(files.find_script(grate.script), grate.args))
  end
end

--- A stack's scripts with their arguments, and hashes that distinguish their versions.
---@param stack lencase.cli.grate[]
---@param list? table[] the list to append to
---@return table[]
function stacks.described(stack, list)
  local recording = require "lencase.tools.recording"
  list = list or {}
  for _, grate in ipairs(stack) do
    for _, branch in ipairs(grate.branches) do stacks.described(branch, list) end
    local path = files.find_script(grate.script)
    table.insert(list, { script = grate.script, args = grate.args, hash = recording.hash(path) })
  end
  return list
end

--- The names of the calls that the state's grates handle.
---@return string[]
function stacks.handled_calls(state)
  local names = {}
  for _, route in ipairs(state:routes()) do
    if not route.denied then table.insert(names, core.callname(route.nr)) end
  end
  return names
end

--- The program has ended, which the grates get as `event`: lencase ends in the same way.
---@param state table
---@param event string
---@param how "exit" | "signal"
---@param n integer
---@param wstatus integer
---@param writer? table of a recording
function stacks.ended(state, event, how, n, wstatus, writer)
  state:tell(event, wstatus)
  if writer then writer:close() end
  local lost = state:unwritten() or writer and writer.lost -- it has been reported
  state:close()
  if lost then shell.leave(shell.FAILED) end
  if how == "exit" then shell.leave(n) end
  shell.leave(128 + n, n)
end

return stacks
