-- stopped.lua - a call of a live program: its arguments by name, as they lie in the program's memory

local core = require "lencase.core"
local flags = require "lencase.flags"
local parsing = require "lencase.parsing"
local placing = require "lencase.tools.placing"
local show = require "lencase.tools.show"

local SHOWN, SHOWN_LIST = 48, 8 -- bytes of a string or a buffer, strings of a list

local stopped = {}

-- What placing reads from; `limit`: at most so many bytes of each argument.
local function reader_of(cage, limit)
  return { read = function(_, addr, n) return (cage:read(addr, limit and math.min(n, limit) or n)) end }
end

-- Before the call, what only the call fills is an address.
local function value_of(call, i, limit)
  local param = call.params[i]
  if placing.is_only_filled(param) then return call.words[i] == 0 and core.NULL or call.words[i] end
  return placing.value(reader_of(call.cage, limit), param, call.words, call.words[i])
end

local function is_buffer(param) return param.kind == "bytes" and param.dir ~= "out" end

local function argument_text(call, i)
  local param, word = call.params[i], call.words[i]
  local value = value_of(call, i, is_buffer(param) and SHOWN or nil)
  if param.kind == "int" then return flags.name(call.name, param.name, value) or tostring(value) end
  if math.type(value) == "integer" then return ("0x%x"):format(word) end
  if param.kind == "strings" and #value > SHOWN_LIST then return ("{ %d strings }"):format(#value) end
  if type(value) ~= "string" then return show.value(value) end
  local size = is_buffer(param) and call.rooms[i] or #value
  local more = size > #value and ("... (%d bytes)"):format(size) or ""
  return show.string(value, SHOWN) .. more
end

local function text_of(call)
  local list = {}
  for i, param in ipairs(call.params) do list[i] = param.name .. " = " .. argument_text(call, i) end
  return ("%s(%s)"):format(call.name, table.concat(list, ", "))
end

--- "4242", or "4242/4243" for a thread that is not the first of its process.
---@param pid integer
---@param tid integer
---@return string
function stopped.thread_name(pid, tid) return pid == tid and tostring(pid) or pid .. "/" .. tid end

local function index_of(call, name)
  for i, param in ipairs(call.params) do
    if param.name == name then return i end
  end
end

local meta = {
  __name = "call",
  __index = function(self, key)
    local i = type(key) == "string" and index_of(self, key)
    return i and value_of(self, i) or nil
  end,
  __tostring = function(self)
    local fine, text = pcall(text_of, self)
    if not fine then text = self.name .. "(...)" end -- the program is gone
    return stopped.thread_name(self.pid, self.tid) .. "  " .. text
  end,
}

--- A call that has arrived and is not made yet. Its arguments are fields, read on access.
---@param cage userdata
---@param pid integer
---@param tid integer
---@param nr integer
---@param words integer[]
---@return table
function stopped.new(cage, pid, tid, nr, words)
  local name = core.callname(nr)
  local params = placing.params(placing.describe(nr), words)
  return setmetatable({ cage = cage, pid = pid, tid = tid, nr = nr, name = name, words = words,
                        params = params, rooms = placing.rooms(reader_of(cage), params, words) }, meta)
end

--- Where a name is among the arguments of a call; nil: nowhere.
stopped.index_of = index_of

--- The arguments by name: { fd = 1, ... }, as they were when this was called.
---@param call table
---@return table
function stopped.arguments(call)
  local args = {}
  for i, param in ipairs(call.params) do args[param.name] = value_of(call, i) end
  return args
end

--- The arguments in their order, those that the call fills left out, as c:NAME(...) takes them: with n.
---@param call table
---@return table
function stopped.list(call)
  local list = { n = #call.params }
  for i, param in ipairs(call.params) do
    if not placing.is_only_filled(param) or param.kind == "address" then list[i] = value_of(call, i) end
  end
  return list
end

--- What the call has filled, in the order of its prototype.
---@param call table
---@param result integer
---@return table[]
function stopped.outs(call, result)
  if call.cage.gone then return {} end
  return placing.outs(reader_of(call.cage), call.params, call.words, result, call.rooms)
end

--- The values that replace arguments, { name = value }, at their places; an error names one that is wrong.
---@param call table
---@param changes table<string, any>
---@return table
function stopped.changed(call, changes)
  local list, names = { n = #call.params }, {}
  for i, param in ipairs(call.params) do names[i] = param.name end
  for name, value in pairs(changes) do
    local i = index_of(call, name)
    if not i then
      error(("%s has no argument '%s'%s"):format(call.name, tostring(name),
                                                 parsing.did_you_mean(tostring(name), names)), 0)
    end
    list[i] = placing.replacement(call.name, call.params[i], value)
  end
  return list
end

return stopped
