-- shell.lua - what the command says to the shell that ran it: text and a status

local shell = {
  FAILED = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127, -- as env(1) has them
  FOUND = 1, MISUSED = 2, -- of lencase check, try and doctor
}

local ENOENT = 2

--- The status when lencase itself fails; MISUSED of commands whose status says what they found.
shell.failed = shell.FAILED

-- Standard error, written by lencase's own module once that is loaded.
local errors = { put = function(_, text) return io.stderr:write(text) end }
local core
local unsaid = false -- a message could not be written
local unwritten -- why standard output could not be written

--- From now on lencase's own module writes.
---@param module table lencase.core
function shell.use(module) core, errors = module, module.output() end

--- To standard error, each line with the command's name before it.
---@param fmt string
function shell.say(fmt, ...)
  local text = fmt:format(...):gsub("\n", "\nlencase: ")
  if not errors:put("lencase: " .. text .. "\n") then unsaid = true end
end

--- To standard output.
function shell.put(...)
  local ok, why = io.write(...)
  unwritten = unwritten or not ok and why or nil
end

local function is_written()
  local ok, why = (core and core.flush or io.flush)()
  unwritten = unwritten or not ok and why or nil
  if unwritten then shell.say("standard output: %s", unwritten) end
  return not unwritten and not unsaid
end

--- Ends lencase, by a signal if there is one; with the status of a failure, when something could not be written.
---@param status integer
---@param signal? integer
function shell.leave(status, signal)
  local fine = is_written()
  if fine and signal then core.raise(signal) end
  os.exit(fine and status or shell.failed, true)
end

--- Says why, and ends lencase.
---@param status integer
---@param fmt string
function shell.give_up(status, fmt, ...)
  shell.say(fmt, ...)
  shell.leave(status)
end

--- The same for a program that could not be executed.
---@param program string
---@param errno integer
---@param why string
function shell.not_executed(program, errno, why)
  shell.give_up(errno == ENOENT and shell.NOT_FOUND or shell.NOT_EXECUTABLE, "%s: %s", program, why)
end

return shell
