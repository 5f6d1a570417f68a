-- decision.lua - decisions about recorded calls, compared and in words
--
-- A decision is: let through as it is; made with other arguments; answered without a call; other
-- calls made; another result, or other bytes than those that the kernel filled in.

local core = require "lencase.core"
local recording = require "lencase.tools.recording"
local show = require "lencase.tools.show"

local decision = {}

local SHOWN = 60 -- bytes of a string

local errnos = {}
for name, number in pairs(core.errnos()) do errnos[number] = name end

-- {================================== words =================================

local function result_text(result)
  if not result then return "nothing" end
  if result >= 0 or result < -4095 then return tostring(result) end
  return "-1 " .. (errnos[-result] or tostring(-result))
end

local function list_text(list, item)
  local parts = {}
  for i, value in ipairs(list) do parts[i] = item(value, i) end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function bytes_text(bytes, size)
  local text = show.string(bytes:sub(1, SHOWN))
  return size > math.min(#bytes, SHOWN) and ("%s... (%d bytes)"):format(text, size) or text
end

local writers = {}

function writers.int(arg) return arg.name == "mode" and ("%#o"):format(arg.int) or tostring(arg.int) end

function writers.strings(arg)
  return list_text(arg.strings, function(text, i) return bytes_text(text, arg.sizes[i]) end)
end

function writers.iovec(arg) return arg.bytes and bytes_text(arg.bytes, arg.size) or list_text(arg.runs, show.value) end

function writers.address(arg) return ("0x%x"):format(arg.word) end

local function arg_text(arg)
  if arg.null then return "NULL" end
  if arg.fault then return ("0x%x"):format(arg.word) end
  local writer = writers[arg.kind]
  if writer then return writer(arg) end
  return arg.bytes and bytes_text(arg.bytes, arg.size) or ("(%d bytes)"):format(arg.size)
end

--- A call with its arguments: openat(-100, "/etc/hosts", 0).
---@param call table a recording's, or one made at the bottom
---@return string
function decision.call(call)
  local parts = {}
  for i, arg in ipairs(call.args) do parts[i] = arg_text(arg) end
  return call.call .. "(" .. table.concat(parts, ", ") .. ")"
end

local function changed_args(call, b)
  local parts = {}
  for i, arg in ipairs(b.args) do
    local before = call.args[i]
    if not before or not recording.same_arg(before, arg) then
      table.insert(parts, arg.name .. " = " .. arg_text(arg))
    end
  end
  return table.concat(parts, ", ")
end

local function filled_names(call, b)
  local names = {}
  for i, arg in ipairs(call.args) do
    local mine, theirs = {}, {}
    for _, out in ipairs(call.outs) do mine[1] = out.arg == i and out or mine[1] end
    for _, out in ipairs(b.outs) do theirs[1] = out.arg == i and out or theirs[1] end
    if not recording.same_outs(mine, theirs) then table.insert(names, arg.name) end
  end
  return table.concat(names, ", ")
end

-- One call, of the same number: let through, or changed on its way.
local function own_text(call, b)
  local through = recording.is_own(call, b)
  local text = through and "let through" or "made with " .. changed_args(call, b)
  if call.result and call.result ~= b.result then
    return text .. ", answered " .. result_text(call.result) .. " for " .. result_text(b.result)
  end
  if through and call.result and not recording.same_outs(call.outs, b.outs) then
    return text .. ", then changed " .. filled_names(call, b)
  end
  return text
end

local function calls_text(call)
  local parts = {}
  for i, b in ipairs(call.bottom) do parts[i] = decision.call(b) .. " = " .. result_text(b.result) end
  local answer = call.result and ", answered " .. result_text(call.result) or ""
  return "made " .. table.concat(parts, ", ") .. answer
end

local function text_of(call)
  local first = call.bottom[1]
  if call.ended then return "ended the cage" end
  if not first then return "answered " .. result_text(call.result) .. " without a call" end
  if #call.bottom == 1 and first.nr == call.nr and not first.cage then return own_text(call, first) end
  return calls_text(call)
end

--- The arguments in which the program finds different bytes after the two calls; "" for none.
---@param call table
---@param other table
---@return string
function decision.filled(call, other)
  if not call.result or not other.result then return "" end
  return filled_names(call, other)
end

--- The result that the program got: "3", "-1 EPERM"; "nothing" when there was none.
---@param result integer?
---@return string
function decision.result(result) return result_text(result) end

--- What was decided, in words.
---@param call table
---@return string
function decision.text(call)
  if not call.error then return text_of(call) end
  return "a handler failed (" .. call.error .. "): " .. text_of(call)
end

-- }==========================================================================

-- {================================ comparing ===============================

-- A handler whose call did not return is cut short there: calls that it makes after it now, it would have made.
local function same_bottoms(recorded, now)
  local n = #recorded.bottom
  if #now.bottom < n or #now.bottom > n and recorded.result then return false end
  for i, made in ipairs(recorded.bottom) do
    if not recording.same_call(made, now.bottom[i]) then return false end
  end
  return true
end

--- Whether the decision differs now. Calls to which the recording does not know the answer do not
--- count as a difference.
---@param recorded table
---@param now table
---@return boolean
function decision.differs(recorded, now)
  if now.ended then return not recorded.ended end
  if not same_bottoms(recorded, now) then return true end
  if not recorded.result then return false end
  if now.error and not recorded.error then return true end
  if not now.result or now.unknown or now.assumed then return false end
  return recorded.result ~= now.result or not recording.same_outs(recorded.outs, now.outs)
end

-- }==========================================================================

return decision
