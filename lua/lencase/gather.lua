-- gather.lua - messages from the processes of a program that runs inline to the lencase run that started it
--
-- A message is what one send(2) wrote; the kernel says which process sent it, and nothing else in it can
-- be relied on. core/host/inline/report.c writes them:
--   "B"                         the process begins to count: at its start, in the child of a fork, and
--                               when executing another program has failed
--   "D" <grate: 4> <last> ...   bytes of the state of a grate; <last> is "1" with the last of them
--   "O" <grate: 4> <number: 4> ...   bytes for an output of a grate (output.lua)
--   "F" ...                     it is about to load a seccomp filter that may end it for these calls of lencase's
--   "E"                         it executes another program, and has handed over everything
--   "X" <lost>                  it ends; <lost> is "1" when it could not hand over everything

local merging = require "lencase.merging"

local gather = {}

---@class lencase.gather
---@field give fun(grate: integer, pid: integer, bytes: string) gets each state that is whole
---@field put fun(grate: integer, bytes: string): boolean? gets the bytes for an output
---@field say fun(line: string)
---@field counting table<integer, boolean> the processes that have something to hand over
---@field lost integer processes that ended without doing so
local Gather = {}
Gather.__index = Gather

local MESSAGES = 10 -- about what is wrong, then no more
local MAX_WAITING = 256 << 20 -- bytes of states that are not whole yet, of all processes

---@param give fun(grate: integer, pid: integer, bytes: string)
---@param put fun(grate: integer, bytes: string): boolean?
---@param say fun(line: string)
---@return lencase.gather
function gather.new(give, put, say)
  return setmetatable({ give = give, put = put, say = say, counting = {}, lost = 0, told = 0, parts = {},
                        waiting = 0, told_filter = false }, Gather)
end

function Gather:complain(pid, fmt, ...)
  self.told = self.told + 1
  if self.told > MESSAGES then return end
  self.say(("process %d: %s%s"):format(pid, fmt:format(...),
    self.told == MESSAGES and "; this is the last message of this kind" or ""))
end

-- Nothing is kept of a state that is not whole and never will be; what still comes of it is skipped.
local function spoil(self, pid, parts, why)
  self:complain(pid, "the state that it handed over is ignored: %s", why)
  self.waiting = self.waiting - parts.size
  self.parts[pid] = { grate = parts.grate, size = 0, spoilt = true }
end

local function forget(self, pid, parts)
  self.waiting, self.parts[pid] = self.waiting - parts.size, nil
end

local function drop(self, pid, why)
  local parts = self.parts[pid]
  if not parts then return end
  if not parts.spoilt then spoil(self, pid, parts, why) end
  forget(self, pid, self.parts[pid])
end

local CUT_OFF, NO_MESSAGE = "it is truncated", "it sent an invalid message"

-- An earlier process with the same number has not reported its end.
local function begin(self, pid)
  if self.counting[pid] then self.lost = self.lost + 1 end
  drop(self, pid, CUT_OFF)
  self.counting[pid] = true
end

local function stop(self, pid, lost)
  if self.counting[pid] and lost == "1" then self.lost = self.lost + 1 end
  drop(self, pid, CUT_OFF)
  self.counting[pid] = nil
end

local function add(self, pid, parts, grate, bytes)
  if parts.spoilt then return end
  parts.size, self.waiting = parts.size + #bytes, self.waiting + #bytes
  table.insert(parts, bytes)
  if parts.grate ~= grate then return spoil(self, pid, parts, "it is mixed with that of another grate") end
  if parts.size > merging.MAX_BYTES then return spoil(self, pid, parts, "it is too long") end
  if self.waiting > MAX_WAITING then spoil(self, pid, parts, "too many processes hand over at the same time") end
end

local function data(self, pid, rest)
  if #rest < 5 then return self:complain(pid, NO_MESSAGE) end
  local grate, last = string.unpack("<I4c1", rest)
  self.parts[pid] = self.parts[pid] or { grate = grate, size = 0 }
  add(self, pid, self.parts[pid], grate, rest:sub(6))
  if last ~= "1" then return end
  local parts = self.parts[pid]
  forget(self, pid, parts)
  if not parts.spoilt then self.give(grate, pid, table.concat(parts)) end
end

local function write(self, pid, rest)
  if #rest < 8 or not self.put(string.unpack("<I4", rest), rest:sub(5)) then self:complain(pid, NO_MESSAGE) end
end

-- Reported once: a server loads one for each of its clients.
local function filter(self, pid, names)
  if not names:find "^[%l%d_, ]+$" then return self:complain(pid, NO_MESSAGE) end
  if self.told_filter then return end
  self.told_filter = true
  self.say(("process %d loads a seccomp filter that may end it for calls that lencase makes in it (%s): run the "
    .. "program traced, without --inline"):format(pid, names))
end

local kinds = { B = begin, D = data, E = stop, F = filter, O = write, X = stop }

--- A message has come.
---@param pid integer
---@param message string
function Gather:take(pid, message)
  local kind = kinds[message:sub(1, 1)]
  if not kind then return self:complain(pid, NO_MESSAGE) end
  kind(self, pid, message:sub(2))
end

--- All processes have ended: how many of them did so without having handed over all of their state.
---@return integer
function Gather:finish()
  local cut_off = {}
  for pid in pairs(self.parts) do table.insert(cut_off, pid) end
  for _, pid in ipairs(cut_off) do drop(self, pid, CUT_OFF) end
  for _ in pairs(self.counting) do self.lost = self.lost + 1 end
  self.counting = {}
  return self.lost
end

return gather
