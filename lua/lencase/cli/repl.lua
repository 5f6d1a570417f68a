-- repl.lua - lencase repl: a prompt

local core = require "lencase.core"
local files = require "lencase.cli.files"
local options = require "lencase.cli.options"
local shell = require "lencase.cli.shell"
local stacks = require "lencase.cli.stacks"

local command = { name = "repl", brief = "A prompt for trying policies: type ? there for help." }

function command.declare(c)
  c:usage "Usage: lencase repl [-e CODE]... [-p PID] [GRATE.lua]... [-- PROGRAM [ARGS...]]"
  c:option("-e --execute", "Run this instead of reading lines."):count "*":argname "CODE"
  c:option("-p --pid", "Attach to this process and all its threads; detach when the prompt ends."):argname "PID"
      :convert(options.count())
  options.add_debug(c)
  c:argument("script", "Grates, as lencase run stacks them; the handlers of the last are the prompt's own."):args "*"
  c:epilog([[
With a program, or a process to attach to, the prompt controls it: step "openat", where, ret(-1,
"ENOENT"), run(); Ctrl-C stops the program and returns to the prompt. A program that was started
is killed when the prompt ends, one that was attached to continues. Lines from a pipe are run as
if typed (the program's input is /dev/null then); the exit status is 1 when one of them failed.
History: $LENCASE_HISTORY or ~/.local/state/lencase/history.]])
end

local PROMPT_FAILED = "lencase.repl: failed" -- its error has been reported

function command.split(words) return stacks.split_program(words, 1) end

function command.run(args, program)
  if program and (#program == 0 or args.pid) then
    shell.give_up(shell.FAILED, args.pid and "-p PID or -- PROGRAM, not both" or "no program after --")
  end
  local state = core.state {
    debug = args.debug,
    log = function(line)
      if line ~= PROMPT_FAILED then shell.say("%s", line) end
    end,
  }
  local words = {} -- of lencase.repl.run
  local function add(verb, value) table.move({ verb, value }, 1, 2, #words + 1, words) end
  if #args.script > 0 then add("load", table.remove(args.script)) end
  for _, script in ipairs(args.script) do stacks.must(state:load(files.find_script(script), {})) end
  for _, code in ipairs(args.execute) do add("execute", code) end
  if args.pid then add("attach", tostring(args.pid)) end
  if program then
    add "start"
    table.move(program, 1, #program, #words + 1, words)
  end
  stacks.must(state:load(assert(package.searchpath("lencase.repl.grate", package.path)), words))
  local fine = state:start()
  local lost = state:unwritten()
  state:close()
  shell.leave(lost and shell.FAILED or fine and 0 or 1)
end

return command
