-- check.lua - lencase check: mistakes in scripts

local core = require "lencase.core"
local files = require "lencase.cli.files"
local options = require "lencase.cli.options"
local shell = require "lencase.cli.shell"
local stacks = require "lencase.cli.stacks"

local command = { name = "check", misuse = shell.MISUSED,
                  brief = "Look for mistakes in scripts without running a program." }

function command.declare(c)
  c:usage("Usage: lencase check [--json] [--stack] GRATE.lua [arguments] [GRATE.lua [arguments]]... [-- ARGS]")
  c:flag("--json", "Print a list of objects with file, line, severity and text.")
  c:flag("--stack", "The scripts are one stack, as under lencase run: uses of what a layer denies are found, too.")
  c:argument("words"):args("*"):hidden(true)
  c:epilog([[
Each script is loaded separately; ARGS are the arguments of those that have none of their own. A
stack between %{ and %} belongs to the grate before it, as with lencase run. Findings are printed
in the form of compilers' messages: file:line: error, warning or hint: text. What scripts print
goes to standard error.

The exit status is 0 without errors and warnings, 1 with them, and 2 for a wrong command line.]])
end

function command.split(words, c)
  local before, after = stacks.split_program(words, 2)
  local ours, rest = { "check" }, {}
  for _, word in ipairs(before) do
    local is_ours = options.named(c, word) or #rest == 0 and word:find "^%-."
    table.insert(is_ours and ours or rest, word)
  end
  return ours, (stacks.split(rest, 1)), after
end

-- Every grate of a stack and of the stacks inside.
local function each_grate(stack, f)
  for _, grate in ipairs(stack) do
    f(grate)
    for _, branch in ipairs(grate.branches) do each_grate(branch, f) end
  end
end

-- A state whose log collects what check_grate.lua finds, and the warnings of loading.
local function checking_state(found)
  return core.state { log = function(line)
    local severity, at, file, text = line:match "^(%l+)\t(%d*)\t([^\t]*)\t(.*)$"
    if not severity then severity, file, text = "warning", "lencase", line end
    table.insert(found, { file = file, line = math.tointeger(tonumber(at)), severity = severity, text = text })
  end }
end

local function check_stack(state, stack, found, described)
  local driver = assert(package.searchpath("lencase.tools.check_grate", package.path))
  for _, grate in ipairs(stack) do
    for _, branch in ipairs(grate.branches) do
      stacks.must(state:branch(true))
      check_stack(state, branch, found, described)
      stacks.must(state:branch(false))
    end
    local words = table.move(grate.args, 1, #grate.args, 3, { described, grate.script })
    local ok, _, message = state:load(driver, words)
    local list = ok and {} or require "lencase.tools.check".errors(grate.script, message)
    table.move(list, 1, #list, #found + 1, found)
  end
end

local function check_all(args, stack, described)
  local found = {}
  for _, part in ipairs(args.stack and { stack } or stack) do
    local state = checking_state(found)
    check_stack(state, args.stack and part or { part }, found, described)
    state:close()
  end
  return require "lencase.tools.check".sorted(found)
end

local function show_findings(args, found)
  local check = require "lencase.tools.check"
  if args.json then return shell.put(check.json(found)) end
  for _, f in ipairs(found) do shell.put(check.text(f), "\n") end
end

function command.run(args, stack, behind)
  if #stack == 0 then shell.give_up(shell.MISUSED, "no script: lencase check GRATE.lua (see lencase check --help)") end
  local names, described, status = {}, {}, 0
  each_grate(stack, function(grate)
    grate.script = files.find_script(grate.script)
    if #grate.args == 0 then grate.args = behind or {} end
    require "lencase.tools.check".described(grate.script, names)
  end)
  for name in pairs(names) do table.insert(described, name) end
  local found = check_all(args, stack, table.concat(described, " "))
  show_findings(args, found)
  for _, f in ipairs(found) do
    if f.severity ~= "hint" then status = shell.FOUND end
  end
  shell.leave(status)
end

return command
