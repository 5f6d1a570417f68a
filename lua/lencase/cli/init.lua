-- cli - the command lencase: its parser, and the choice of the command that runs
--
-- A command is a file here: a table with its `name` and what it does in `brief`.
--   declare(c)        gives argparse's command c its options
--   split(words, c)   the words that argparse gets, and further arguments of run; without it argparse gets all
--   run(args, ...)    does it; args is what argparse made of its words
--   misuse            the status when lencase itself fails, if that is not shell.FAILED

local files = require "lencase.cli.files"
local shell = require "lencase.cli.shell"

local cli = {}

-- Modules that are not lencase's own, and the packages that Debian has them in.
local dependencies = { { "argparse", "lua-argparse" }, { "cjson", "lua-cjson" }, { "lpeg", "lua-lpeg" } }

local function check_needed()
  local modules, packages = {}, {}
  for _, row in ipairs(dependencies) do
    local module, debian = row[1], row[2]
    if not pcall(require, module) then
      table.insert(modules, module)
      table.insert(packages, debian)
    end
  end
  if #modules == 0 then return end
  shell.give_up(shell.FAILED, "missing the Lua module%s %s: apt-get install %s (Debian's name%s)",
    #modules > 1 and "s" or "", table.concat(modules, ", "), table.concat(packages, " "), #modules > 1 and "s" or "")
end

local function load_core()
  local loaded, module = pcall(require, "lencase.core")
  if loaded then return shell.use(module) end
  local why = package.searchpath("lencase.core", package.cpath) and module:gsub("%s+", " ")
  shell.give_up(shell.FAILED, "%s", why or "lencase is not built: run make in the folder with its Makefile")
end

-- {================================= parser =================================

-- In the order of the help.
local NAMES = { "run", "plan", "compile", "check", "try", "new", "repl", "doctor" }

-- The help of a parser or command, as argparse has it, but ended by shell.leave.
local function with_help(of)
  of:add_help { action = function()
    shell.put(of:get_help(), "\n")
    shell.leave(0)
  end }
  return of
end

--- argparse's parser of the command line, the commands by name, and argparse's commands by name.
---@return table parser
---@return table<string, table> commands
---@return table<string, table> parsed
function cli.parser()
  local parser = require "argparse"("lencase", "Puts a Lua script between a program and its system calls.")
  local commands, parsed = {}, {}
  parser:usage_max_width(100):help_max_width(100)
  parser:flag("-v --version", "Show the version and exit."):action(function()
    shell.put("lencase ", require "lencase".VERSION, "\n")
    shell.leave(0)
  end)
  parser:require_command(false):command_target "command"
  with_help(parser)
  for _, name in ipairs(NAMES) do
    local command = require("lencase.cli." .. name)
    commands[name], parsed[name] = command, with_help(parser:command(name, command.brief))
    command.declare(parsed[name])
  end
  return parser, commands, parsed
end

-- }==========================================================================

-- What argparse makes of its words, and the further arguments of the command's run.
local function read(parser, command, c, words)
  local rest = command and command.split and table.pack(command.split(words, c)) or { words, n = 1 }
  local ok, args = parser:pparse(rest[1])
  if not ok then shell.give_up(shell.failed, "%s (see lencase --help)", args) end
  return args, table.unpack(rest, 2, rest.n)
end

local function run(command, args, ...)
  if command then command.run(args, ...) end
end

--- Does what the words say, and leaves.
---@param here string the folder that everything is found from
---@param words string[]
function cli.main(here, words)
  files.here = here
  check_needed()
  load_core()
  local parser, commands, parsed = cli.parser()
  if #words == 0 then
    io.stderr:write(parser:get_help(), "\n")
    shell.leave(shell.FAILED)
  end
  local command = commands[words[1]]
  shell.failed = command and command.misuse or shell.FAILED
  run(command, read(parser, command, parsed[words[1]], words))
  shell.leave(0)
end

return cli
