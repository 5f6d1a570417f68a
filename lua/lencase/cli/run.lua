-- run.lua - lencase run: a program under a stack of grates

local core = require "lencase.core"
local options = require "lencase.cli.options"
local shell = require "lencase.cli.shell"
local stacks = require "lencase.cli.stacks"

local command = { name = "run", brief = "Run a program under a grate." }

function command.declare(c)
  c:usage("Usage: lencase run [options] GRATE.lua [arguments] [GRATE.lua [arguments]]... -- PROGRAM [ARGS...]")
  options.add_bounds(c)
  options.add_debug(c)
  c:option("--record", "Record the calls and their results in a file for lencase try."):argname "FILE"
  c:option("--record-arg", "Most bytes to record of an argument (16K).", nil,
    options.bytes "--record-arg"):argname "N"
  c:option("--record-bytes", "Most bytes in the recording (64M).", nil, options.bytes "--record-bytes")
    :argname "N"
  c:option("--record-calls", "Most calls in the recording (1000000).", nil, options.count "--record-calls")
    :argname "N"
  c:flag("-R --reload", "SIGHUP reloads the grates' scripts instead of going to the program.")
  c:flag("-i --inline", "Run the grates in the program's own process: fast, but no boundary.")
  c:flag("-q --quiet", "Do not report what programs do wrong with their calls (bad pointers).")
  c:flag("-r --routes", "Show which grate handles which call, and run nothing.")
  c:argument("words"):args("*"):hidden(true)
  c:epilog([[
Every word that ends in .lua is a grate; the words after it are its arguments. The grate next to
-- gets a call first, its own calls go to the one on its left, those of the leftmost to the
kernel. A stack between %{ and %} belongs to the grate before it, which decides which calls go
there: clamp.lua, tee.lua. A script that does not exist is looked for among lencase's examples.

lencase waits until all processes that the program started have ended, even if it ends before
them. Signals sent to lencase go to the program (with --reload not SIGHUP); Ctrl-C reaches it by
itself.

With --inline program and grates are one process, in one address space: a convenience, not a
boundary; a program can evade its grates if it wants to. Each process of the program, and each
program that it executes, has grates of its own: a fork continues with a copy, exec starts anew;
on_exit runs in each when it ends. A grate with state = TABLE and merge = function(a, b), or
lencase.sum, has one report for all: processes hand their state over when they end, and on_exit
runs once, in lencase. Programs that are linked statically, or set-user-ID, are refused.

With --record each call that a grate handles is written to a file when it is over: its arguments,
with what they point to whether a policy copies it or not, the calls that reached the kernel for
it, and what the program got. So the file has what the program reads and writes, including
secrets: only its owner can read it. It ends at its limits, with a message. Its format is in
lencase(1), under RECORDINGS.

The exit status is the program's; if a signal ended it, lencase ends by the same signal. Otherwise
  125  lencase itself failed: a bad script or option, tracing not possible
  126  the program was found and could not be executed
  127  the program was not found]])
end

function command.split(words, c)
  local ours, i = options.split(c, words)
  local before, program = stacks.split_program(words, i)
  return ours, (stacks.split(before, 1)), program
end

local function show_route(route)
  for i, where in ipairs(route) do
    shell.put(("%-20s %s%s\n"):format(i == 1 and core.callname(route.nr) or "", ("  "):rep(i - 1), where))
  end
end

-- The grates that handle each call, from the program down to the kernel; then the layers that deny the others.
local function show_routes(state)
  local denied = {} -- the layers, and where -> how many
  for _, route in ipairs(state:routes()) do
    local where = route[1]
    if not route.denied then
      show_route(route)
    else
      if not denied[where] then table.insert(denied, where) end
      denied[where] = (denied[where] or 0) + 1
    end
  end
  for _, where in ipairs(denied) do shell.put(("%-20s %s\n"):format(denied[where] .. " denied", where)) end
end

-- From now on calls are written to a file.
local function start_recording(state, args, stack, program)
  local recording = require "lencase.tools.recording"
  local header = { scripts = stacks.described(stack), program = program, calls = stacks.handled_calls(state) }
  local writer, why = recording.writer { path = args.record, bytes = args.record_bytes, lines = args.record_calls,
                                         arg_bytes = args.record_arg, header = header,
                                         say = function(message) shell.say("%s", message) end,
                                         stop = function() state:record(false) end }
  if not writer then shell.give_up(shell.FAILED, "--record: %s", why) end
  state:record(writer.told, args.record_arg or recording.ARG_BYTES)
  return writer
end

function command.run(args, stack, program)
  if #stack == 0 then
    shell.give_up(shell.FAILED, "no script: lencase run GRATE.lua -- PROGRAM (see lencase run --help)")
  end
  if not args.routes and (not program or #program == 0) then
    shell.give_up(shell.FAILED, "no program: lencase run %s -- PROGRAM (see lencase run --help)", stack[#stack].script)
  end
  if args.inline and args.record then
    shell.give_up(shell.FAILED, "--record cannot be used with --inline: only a traced run is recorded")
  end
  if args.inline and not args.routes then return require "lencase.cli.inline".run(args, stack, program) end
  local state = stacks.new_state(args)
  stacks.load(state, stack)
  if args.routes then return show_routes(state) end
  local writer = args.record and start_recording(state, args, stack, program)
  if not state:start() then -- on_start's error has been reported
    if writer then writer:close() end
    shell.leave(shell.FAILED)
  end
  io.stdout:flush()
  local how, n, wstatus, errno = state:run(program)
  if how then return stacks.ended(state, "finish", how, n, wstatus, writer) end
  if writer then writer:close() end
  if n == "LENCASE_EEXEC" then shell.not_executed(program[1], errno, wstatus) end
  shell.give_up(shell.FAILED, "%s", wstatus)
end

return command
