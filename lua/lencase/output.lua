-- output.lua - where a grate writes: a file, or standard error
--
-- A script opens its outputs when it is loaded, and writes to them at any time. A failure (a full disk, a
-- pipe without a reader) is no error in the handler that writes: it is reported once, with the file and the
-- errno, what comes after it is lost, the program continues unaffected, and lencase run ends with status 125.
--
-- Where a program runs inline a file is opened once, by lencase run, and what the processes of the program write
-- is sent there: they may be of another user by then, or have another root folder. Standard error is
-- that of the process. The number of an output is its place among those of its script.

local core = require "lencase.core"

local output = {}

---@class lencase.output.file
---@field write fun(self: lencase.output.file, ...: string|number) in one piece

-- `name`, for messages; `file`, core.output's, nil: what is written is sent; `number`, of a file.
local Output = {}
Output.__index = Output

local by_path, numbered = {}, {}
local sealed = false

-- In an ordinary Lua program nothing is sent, and a loss is an error.
local function sends() return core.sends ~= nil and core.sends() end

local unwritten = core.unwritten or function(message) error(message, 0) end

local function lose(self, why)
  self.lost = true
  local message = ("%s: %s: what is written there from now on is lost"):format(self.name, why)
  if not sends() or not core.send(0, message) then unwritten(message) end
end

function Output:write(...)
  if self.lost then return end
  local text = table.concat { ... }
  local ok, why
  if self.file then ok, why = self.file:put(text) else ok, why = core.send(self.number, text) end
  if not ok then lose(self, why) end
end

local function open_file(path)
  if sealed then error(("%s: outputs can be opened only while the script is loaded"):format(path), 3) end
  local self = setmetatable({ name = path, number = #numbered + 1 }, Output)
  if not sends() then
    local why
    self.file, why = core.output(path)
    if not self.file then error(why, 0) end
  end
  numbered[self.number], by_path[path] = self, self
  return self
end

--- An output; raises an error when it cannot be opened. What was in a file is gone when the program starts.
---@param path string? standard error without it
---@return lencase.output.file
function output.open(path)
  if path == nil then return setmetatable({ name = "standard error", file = core.output() }, Output) end
  return by_path[path] or open_file(path)
end

--- Writes a whole file; one that cannot be written whole is removed.
---@param path string
---@param text string
---@return boolean? ok
---@return string? why
function output.save(path, text)
  local file, message = core.output(path)
  if not file then return nil, message end
  local ok, why = file:clear()
  if ok then ok, why = file:put(text) end
  if ok then ok, why = file:close() end
  if ok then return true end
  core.remove(path)
  return nil, ("%s: %s"):format(path, why)
end

--- From now on no outputs can be opened: the script has been loaded.
---@param on boolean
function output.seal(on) sealed = on end

--- The program starts.
function output.begin()
  for _, self in ipairs(numbered) do
    local ok, why = true, nil
    if self.file then ok, why = self.file:clear() end
    if not ok then lose(self, why) end
  end
end

--- The program has ended: some file systems report only now that they are full.
function output.finish()
  for _, self in ipairs(numbered) do
    local ok, why = true, nil
    if self.file and not self.lost then ok, why = self.file:close() end
    if not ok then lose(self, why) end
  end
end

--- What a process of the program has sent: a number and bytes; 0: one of its own outputs is lost.
---@param data string
function output.take(data)
  local number, at = string.unpack("<I4", data)
  if number == 0 then return unwritten(data:sub(at)) end
  local self = numbered[number] or error(("there is no output %d"):format(number), 0)
  self:write(data:sub(at))
end

return output
