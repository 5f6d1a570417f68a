-- doctor.lua - lencase doctor: what works here

local core = require "lencase.core"
local files = require "lencase.cli.files"
local shell = require "lencase.cli.shell"

local command = { name = "doctor", misuse = shell.MISUSED,
                  brief = "Show what works here, and what can be used: hosts, kinds of entry." }

function command.declare(c)
  c:flag("--json", "Print an object with usable, probes and hosts.")
  c:epilog([[
Each line is something that lencase needs of the kernel, tried in a process of its own: ok;
missing, with the cause and, in parentheses, what to do about it; or untried, since something else
is missing. The kernel's version number does not matter. The last lines say which hosts can be
used, by which command, and for which kinds of entry.

The exit status is 0 when programs can be run, traced or inline, 1 when not, and 2 for a wrong
command line.]])
end

function command.run(args)
  local examination = require "lencase.tools.doctor"
  local report = examination.examine(core.probe(files.library_path "liblencase-engine.so"))
  shell.put(args.json and examination.json(report) or examination.text(report))
  shell.leave(report.usable and 0 or shell.FOUND)
end

return command
