-- check_grate.lua - the script that `lencase check` loads in place of an author's
--
-- Its arguments: names of calls that are known from other scripts, the author's script, and that one's
-- arguments. What is found in it goes to the log, a line each, fields separated by tabs. The grate that is
-- returned is the author's, so that the core installs it and reports what it finds wrong.

local check = require "lencase.tools.check"
local core = require "lencase.core"
local lencase = require "lencase"

local words = table.pack(...)
local script = words[2]
arg = table.move(words, 2, words.n, 0, {}) -- luacheck: ignore 121

-- Standard output is for the findings. coroutine.wrap makes it a C function, as print is: the message for a
-- script that uses it as a handler does not name a line in this file.
print = coroutine.wrap(function(...) -- luacheck: ignore 121
  local list = table.pack(...)
  while true do
    for i = 1, list.n do list[i] = tostring(list[i]) end
    io.stderr:write(table.concat(list, "\t"), "\n")
    list = table.pack(coroutine.yield())
  end
end)
io.output(io.stderr)
io.stdout = io.stderr -- luacheck: ignore 122

local interface, findings = check.load(table.unpack(words, 1, words.n))
for _, found in ipairs(findings) do
  core.log(("%s\t%s\t%s\t%s"):format(found.severity, found.line or "", found.file, found.text:sub(1, 900)))
end
return interface or lencase.grate { on_exit = function() return script end }
