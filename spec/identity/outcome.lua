-- outcome.lua - outcomes of calls, as helper_identity.c writes them, and whether two are the same
--
--   INDEX RESULT END AFTER [SLOT:RUNS:HASH:BYTES ...]

local knowledge = require "spec.identity.knowledge"

local errno_names = {}
for name, number in pairs(require "lencase.core".errnos()) do errno_names[number] = name end

local outcome = {}

---@class identity.outcome
---@field index integer
---@field result string "-" when the call did not return
---@field ended string "exit0", "signal11", "stuck", "worker"
---@field after string
---@field slots { slot: string, runs: string, hash: string, bytes: string }[]

---@param line string
---@return identity.outcome
function outcome.parse(line)
  local index, result, ended, after, rest = line:match "^(%x+) (%S+) (%S+) (%S+)(.*)$"
  local slots = {}
  for slot, runs, hash, bytes in rest:gmatch " (%x+):([^:]*):(%x+):(%x+)" do
    table.insert(slots, { slot = slot, runs = runs, hash = hash, bytes = bytes })
  end
  return { index = tonumber(index, 16), result = result, ended = ended, after = after, slots = slots }
end

-- A result that is another each time is compared by its sign, an errno always.
local function result_seen(o, varies)
  local n = math.tointeger(o.result)
  if not varies or not n or n < 0 and n >= -4095 then return o.result end
  return "a value"
end

-- From where to where: what varies may be what was there before.
local function extent(runs)
  return runs:match "^%x+" .. "-" .. runs:match "%x+%+%x+$"
end

local function memory_seen(o, varies)
  local list = {}
  for i, s in ipairs(o.slots) do list[i] = s.slot .. ":" .. (varies and extent(s.runs) or s.runs .. ":" .. s.hash) end
  return table.concat(list, " ")
end

--- In which ways two outcomes of a call differ: "result", "end", "memory", "effects"; none: they are the same.
---@param name string the call
---@param a identity.outcome
---@param b identity.outcome
---@return string[]
function outcome.differences(name, a, b)
  local varies = knowledge.varies[name] or ""
  local result, memory = varies:find "result", varies:find "memory"
  local list = {}
  if result_seen(a, result) ~= result_seen(b, result) then table.insert(list, "result") end
  if a.ended ~= b.ended and not (result and a.ended:find "^exit" and b.ended:find "^exit") then
    table.insert(list, "end")
  end
  if memory_seen(a, memory) ~= memory_seen(b, memory) then table.insert(list, "memory") end
  if a.after ~= b.after then table.insert(list, "effects") end
  return list
end

--- A result as text: "3", "EINVAL", "did not return".
---@param o identity.outcome
---@return string
function outcome.result_text(o)
  local n = math.tointeger(o.result)
  if not n then return "did not return" end
  return n < 0 and n >= -4095 and (errno_names[-n] or "errno " .. -n) or o.result
end

--- An outcome as text: "EINVAL", "3; part 2: 10+8 (3412...)".
---@param o identity.outcome
---@return string
function outcome.text(o)
  local text = outcome.result_text(o)
  if o.ended ~= "exit0" then text = text .. ", " .. o.ended end
  for _, s in ipairs(o.slots) do text = ("%s; part %s: %s (%s)"):format(text, s.slot, s.runs, s.bytes) end
  return text
end

return outcome
