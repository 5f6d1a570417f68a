-- compile.lua - lencase compile: a script as C

local files = require "lencase.cli.files"
local shell = require "lencase.cli.shell"
local stacks = require "lencase.cli.stacks"

local command = { name = "compile", brief = "Write a script as C, for programs that are linked with liblencase." }

function command.declare(c)
  c:usage("Usage: lencase compile [options] GRATE.lua [-- arguments [%{ GRATE.lua ... %}] ...]")
  c:argument("script", "The script."):argname "GRATE.lua"
  c:option("-o --output", "The file to write; by default standard output."):argname "FILE"
  c:option("-n --name", "Prefix of the functions' names, as in NAME_load; by default the script's name."):argname "NAME"
  c:flag("-H --header", "Write the interface as a table for handlers in C.")
  c:flag("-s --strip", "Without names and line numbers: smaller, but messages do not say where.")
  c:flag("-u --unchecked", "Do not run the script; LPeg reads its policies when it is loaded.")
  c:epilog([[
The C file has the script and the modules in Lua that it requires, lencase's own too, as bytecode,
and the function int NAME_load(lencase_state *, int argc, const char *const argv[], lencase_grate
**). Nothing is read or parsed when it is called, and LPeg is not needed: lencase compile runs the
script once, with the arguments after --, and keeps what its policies, contracts and prototypes
mean. A file compiled by another version of lencase or Lua is refused when it is loaded. A grate
with stacks inside (clamp.lua, tee.lua) is run with those that are named there; they are not in
the file: the program loads its own, between lencase_branch_open() and lencase_branch_close(),
before it calls NAME_load.

With --header the file declares a function for each call that the script handles, typed as its
policy says, for the program to define, and NAME_new, which makes a grate of them. The script's
own handlers and events are not in it.]])
end

local function write_output(path, text)
  if not path then return shell.put(text) end
  local ok, why = require "lencase.output".save(path, text)
  if not ok then shell.give_up(shell.FAILED, "%s", why) end
end

local function check_compile(args)
  if args.name and not args.name:find "^[%a_][%w_]*$" then
    shell.give_up(shell.FAILED, "--name: not a C identifier: %s", args.name)
  end
  if args.header and (args.unchecked or args.strip) then
    shell.give_up(shell.FAILED, "--%s cannot be used with --header, which writes no bytecode",
      args.strip and "strip" or "unchecked")
  end
end

-- { args =, branches = } of the words after "--": the stacks inside come last.
local function split_behind(words)
  local args, i = {}, 1
  while words[i] and words[i] ~= "%{" do
    args[i] = words[i]
    i = i + 1
  end
  local stack = stacks.split(table.move(words, i, #words, 2, { "it" }), 1)
  if #stack > 1 or #stack[1].args > 0 then
    shell.give_up(shell.FAILED, "compile: the script's arguments come before %%{")
  end
  return { args = args, branches = stack[1].branches }
end

-- The numbers of the calls that each stack handles.
local function calls_inside(branches)
  local list = {}
  for i, branch in ipairs(branches) do
    local state, calls = stacks.new_state {}, {}
    stacks.load(state, branch)
    for _, route in ipairs(state:routes()) do table.insert(calls, route.nr) end
    state:close()
    list[i] = calls
  end
  return list
end

function command.split(words) return stacks.split_program(words, 1) end

function command.run(args, words)
  check_compile(args)
  local inside = split_behind(words or {})
  local options = { script = files.find_script(args.script), args = inside.args, name = args.name, strip = args.strip,
                    unchecked = args.unchecked, branches = calls_inside(inside.branches) }
  local writer = args.header and require "lencase.tools.header".to_h or require "lencase.tools.compile".to_c
  local ok, text, needed = pcall(writer, options)
  if not ok then shell.give_up(shell.FAILED, "%s", tostring(text)) end
  write_output(args.output, text)
  if needed and #needed > 0 then
    shell.say("the program that loads it needs these C modules: %s", table.concat(needed, ", "))
  end
end

return command
