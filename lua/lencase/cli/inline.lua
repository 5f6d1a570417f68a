-- inline.lua - lencase run --inline: the grates in the program's own processes

local core = require "lencase.core"
local files = require "lencase.cli.files"
local shell = require "lencase.cli.shell"
local stacks = require "lencase.cli.stacks"

local inline = {}

local MAX_NESTED = 4 -- INLINE_CHANNELS

local function absolute(path, cwd) return path:find "^/" and path or cwd .. "/" .. path end

-- Of package.path or .cpath.
local function absolute_all(list, cwd)
  return (list:gsub("[^;]+", function(path) return absolute(path, cwd) end))
end

-- The words of LENCASE_INLINE: core/host/inline/preload/engine.c.
local function inline_script(args, stack, cwd)
  local words = {}
  local function add(letter, word)
    table.insert(words, letter .. tostring(word):gsub("[%%\n]", { ["%"] = "%25", ["\n"] = "%0a" }) .. "\n")
  end
  local function add_stack(list)
    for _, grate in ipairs(list) do
      for _, branch in ipairs(grate.branches) do
        add("{", "")
        add_stack(branch)
        add("}", "")
      end
      add("g", absolute(files.find_script(grate.script), cwd))
      for _, word in ipairs(grate.args) do add("a", word) end
    end
  end
  add("p", absolute_all(package.path, cwd))
  add("c", absolute_all(package.cpath, cwd))
  if args.timeout then add("t", math.max(1, math.floor(args.timeout * 1000))) end
  if args.max_call_bytes then add("b", args.max_call_bytes) end
  if args.quiet then add("q", 1) end
  if args.debug then add("d", args.debug) end
  add_stack(stack)
  return table.concat(words)
end

-- The library that a program preloads; absolute, it may change its folder.
local function preload_path(cwd)
  local path = files.library_path "liblencase-inline.so"
    or shell.give_up(shell.FAILED, "liblencase-inline.so was not found: build or install lencase first")
  return absolute(path, cwd)
end

-- Its grates merge the states that the grates in the program's processes hand over.
local function merging_state(args, stack)
  local state = stacks.new_state(args)
  stacks.load(state, stack)
  if state:tell "gather_start" == nil then shell.leave(shell.FAILED) end -- on_start's error has been reported
  return state, state:tell "merges"
end

-- Receives what processes hand over, for the grates of `state`.
local function gathering(state)
  local function give(grate, pid, piece)
    local ok, status, message = state:tell("merge", 0, grate, piece)
    if ok ~= nil then return end
    local why = status == "LENCASE_ENOENT" and ": " .. message or ""
    shell.say("the state that process %d handed over is ignored%s", pid, why)
  end
  local function write(grate, piece) return state:tell("output", 0, grate, piece) ~= nil end
  return require "lencase.gather".new(give, write, function(line) shell.say("%s", line) end)
end

local function say_lost(n)
  if n == 0 then return end
  shell.say("%d process%s ended without a report (killed, or unable to send it): what happened there is not counted",
      n, n > 1 and "es" or "")
end

-- When this lencase runs inline itself, the words of the outer one; ours are appended to them.
local function outer_script(preload)
  local by, outer = core.inline_by()
  if not outer then return "" end
  if by ~= preload then
    shell.give_up(shell.FAILED, "this lencase already runs inline, under another installation of lencase (not %s): "
      .. "name all grates in one command, as in lencase run --inline OUTER.lua INNER.lua -- PROGRAM", preload)
  end
  if select(2, outer:gsub("%f[^\n\0]m%d+\n", "")) >= MAX_NESTED then
    shell.give_up(shell.FAILED, "lencase run --inline is nested %d deep already, which is the limit", MAX_NESTED)
  end
  return outer
end

--- Runs the program, and ends lencase.
---@param args table what argparse read
---@param stack lencase.cli.grate[]
---@param program string[]
function inline.run(args, stack, program)
  if args.reload then
    shell.give_up(shell.FAILED, "--reload cannot be used with --inline: signals belong to the program")
  end
  local cwd, why = core.cwd()
  if not cwd then shell.give_up(shell.FAILED, "%s", why) end
  program.preload = preload_path(cwd)
  program.script = outer_script(program.preload) .. inline_script(args, stack, cwd)
  local state, merges = merging_state(args, stack)
  local gather = gathering(state)
  io.stdout:flush()
  local how, n, wstatus, errno = state:inline(program, function(pid, message) gather:take(pid, message) end)
  if how then
    if merges then say_lost(gather:finish()) end
    stacks.ended(state, "gather_finish", how, n, wstatus)
  end
  if n == "LENCASE_EEXEC" then shell.not_executed(program[1], errno, wstatus) end
  shell.give_up(n == "LENCASE_EPERM" and shell.NOT_EXECUTABLE or shell.FAILED, "%s", wstatus)
end

return inline
