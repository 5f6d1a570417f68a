-- where.lua - where a thread of a live program is: its process, its call, its descriptors, its functions

local flags = require "lencase.flags"
local frames = require "lencase.repl.frames"
local stopped = require "lencase.repl.stopped"

local where = {}

local SHOWN = 12 -- frames

-- { { name =, fd =, path = }, ... }: what the descriptors among the arguments refer to.
local function descriptors(call)
  local list = {}
  for _, param in ipairs(call and call.params or {}) do
    local name = param.name
    local fd = (name:find "fd$" or name:find "^fd") and not param.record and call[name]
    local path = math.type(fd) == "integer" and call.cage:fd_path(fd)
    if path then
      table.insert(list, { name = name, fd = fd, path = path, text = flags.name(call.name, name, fd) or tostring(fd) })
    end
  end
  return list
end

local function frame_lines(lines, list, own, why)
  for i = 1, math.min(#list, SHOWN) do
    local mark = list[i] == own and "   <- of the program itself" or ""
    table.insert(lines, ("  #%-2d %s%s"):format(i - 1, list[i].text, mark))
  end
  if #list > SHOWN then why = ("%d more"):format(#list - SHOWN) end
  if why then table.insert(lines, "      and then: " .. why) end
end

local meta = {
  __tostring = function(self)
    local lines = { ("%s (%s) %s"):format(stopped.thread_name(self.pid, self.tid), self.comm, self.doing) }
    for _, d in ipairs(self.descriptors) do
      table.insert(lines, ("  %s %s is %s"):format(d.name, d.text, d.path))
    end
    frame_lines(lines, self.frames, self.own, self.why)
    return table.concat(lines, "\n")
  end,
}

--- Of a thread { pid =, tid =, comm =, doing = } with its cage, its registers and the call that it is at (or nil).
---@param thread table
---@param cage userdata
---@param regs? table<string, integer>
---@param call? table
---@return table
function where.of(thread, cage, regs, call)
  local place = setmetatable({ pid = thread.pid, tid = thread.tid, comm = thread.comm, doing = thread.doing,
                               descriptors = descriptors(call), frames = {} }, meta)
  if regs then place.frames, place.why = frames.of(cage, regs) end
  place.own = frames.own(place.frames)
  place.site = place.own and place.own.text
  return place
end

return where
