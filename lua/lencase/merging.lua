-- merging.lua - a grate's state, which processes hand over and lencase run merges
--
-- Under `lencase run --inline` every process has a grate of its own. The table `state` of
-- its definition is written as bytes when the process ends; lencase run reads them and calls
-- `merge`. The bytes come from an address space where the program can write anything: they are
-- parsed within limits, and never code.

local merging = {}

merging.MAX_BYTES = 16 << 20
merging.MAX_VALUES = 1 << 20 -- an empty table is two bytes there and fifty here
merging.MAX_DEPTH = 100

local MARK = "LS1" -- what the bytes begin with; the digit is the form's number

-- {================================= writing ================================

-- "state.files["/tmp/x"].n"
local function place_of(trail)
  local parts = { "state" }
  for _, key in ipairs(trail) do
    local is_name = type(key) == "string" and key:find "^[%a_][%w_]*$"
    table.insert(parts, is_name and "." .. key or type(key) == "string" and ("[%q]"):format(key:sub(1, 200))
      or ("[%s]"):format(key))
  end
  return table.concat(parts)
end

local function refuse(walk, fmt, ...) error(place_of(walk.trail) .. ": " .. fmt:format(...), 0) end

local function put(walk, bytes)
  walk.size = walk.size + #bytes
  if walk.size > merging.MAX_BYTES then
    error(("state: more than %d MiB"):format(merging.MAX_BYTES >> 20), 0)
  end
  table.insert(walk.out, bytes)
end

local write = {}

local function put_value(walk, value, what)
  local writer = write[math.type(value) or type(value)]
  if not writer then refuse(walk, "a %s %s", type(value), what) end
  walk.values = walk.values + 1
  if walk.values > merging.MAX_VALUES then
    error(("state: more than %d values"):format(merging.MAX_VALUES), 0)
  end
  writer(walk, value)
end

function write.boolean(walk, value) put(walk, value and "t" or "f") end
function write.integer(walk, value) put(walk, string.pack("<c1i8", "i", value)) end
function write.float(walk, value) put(walk, string.pack("<c1d", "d", value)) end
function write.string(walk, value) put(walk, string.pack("<c1s4", "s", value)) end

function write.table(walk, value)
  if walk.inside[value] then refuse(walk, "the table contains itself: a cycle cannot be handed over") end
  if #walk.trail >= merging.MAX_DEPTH then refuse(walk, "nested more than %d tables deep", merging.MAX_DEPTH) end
  walk.inside[value] = true
  put(walk, "{")
  for key, item in next, value do
    if type(key) == "table" then refuse(walk, "a table as a key cannot be handed over") end
    put_value(walk, key, "as a key cannot be handed over")
    table.insert(walk.trail, key)
    put_value(walk, item, "cannot be handed over")
    table.remove(walk.trail)
  end
  put(walk, "}")
  walk.inside[value] = nil
end

--- A table as bytes. Raises an error that names the place of what cannot be handed over: functions, threads,
--- userdata, cycles, and what is too deep or too much. Metatables are left out.
---@param value table
---@return string
function merging.encode(value)
  local walk = { out = {}, size = 0, values = 0, trail = {}, inside = {} }
  put(walk, MARK)
  put_value(walk, value)
  return table.concat(walk.out)
end

-- }==========================================================================

-- {================================= reading ================================

local read = {}

local function take_value(r)
  local reader = read[r.data:sub(r.at, r.at)]
  if not reader then error(("no value begins at byte %d"):format(r.at), 0) end
  r.values = r.values + 1
  if r.values > merging.MAX_VALUES then error("too many values", 0) end
  r.at = r.at + 1
  return reader(r)
end

local function unpack(r, format)
  local ok, value, at = pcall(string.unpack, format, r.data, r.at)
  if not ok then error(("truncated at byte %d"):format(r.at), 0) end
  r.at = at
  return value
end

function read.t() return true end
function read.f() return false end
function read.i(r) return unpack(r, "<i8") end
function read.d(r) return unpack(r, "<d") end
function read.s(r) return unpack(r, "<s4") end

read["{"] = function(r)
  local t = {}
  r.depth = r.depth + 1
  if r.depth > merging.MAX_DEPTH then error("too deep", 0) end
  while r.data:sub(r.at, r.at) ~= "}" do
    local key = take_value(r)
    if type(key) == "table" or key ~= key then error(("invalid key before byte %d"):format(r.at), 0) end
    t[key] = take_value(r)
  end
  r.at = r.at + 1
  r.depth = r.depth - 1
  return t
end

--- The table that bytes are; nil and what is wrong with them.
---@param data string
---@return table?
---@return string? message
function merging.decode(data)
  if #data > merging.MAX_BYTES then return nil, ("more than %d MiB"):format(merging.MAX_BYTES >> 20) end
  if data:sub(1, #MARK + 1) ~= MARK .. "{" then return nil, "it is not a state" end
  local r = { data = data, at = #MARK + 1, values = 0, depth = 0 }
  local ok, value = pcall(take_value, r)
  if not ok then return nil, value end
  if r.at <= #data then return nil, ("more bytes after the end, from %d on"):format(r.at) end
  return value
end

-- }==========================================================================

-- {================================ beginnings ==============================

---@class lencase.beginning what a state was when its script had made it
---@field root table
---@field first table<table, table> each table of it -> its initial content

local function remember(self, t)
  if self.first[t] then return end
  self.first[t] = {}
  for key, value in next, t do
    self.first[t][key] = value
    if type(value) == "table" then remember(self, value) end
  end
end

--- Remembers a state as its script made it. Raises an error when it could not be handed over.
---@param root table
---@return lencase.beginning
function merging.beginning(root)
  merging.encode(root)
  local self = { root = root, first = {} }
  remember(self, root)
  return self
end

--- Whether nothing has been written into it since.
---@param self lencase.beginning
---@return boolean
function merging.is_fresh(self)
  for t, was in next, self.first do
    for key, value in next, t do
      if not rawequal(was[key], value) then return false end
    end
    for key in next, was do
      if rawget(t, key) == nil then return false end
    end
  end
  return true
end

local function fill(t, from)
  for key in next, t do
    if from[key] == nil then rawset(t, key, nil) end
  end
  for key, value in next, from do rawset(t, key, value) end
end

--- Resets the state. The script may hold tables of its state elsewhere: those that were there from the
--- beginning are the same tables afterwards.
---@param self lencase.beginning
function merging.reset(self)
  for t, was in next, self.first do fill(t, was) end
end

-- Puts what is in `from` into `into`, one of the tables of the beginning.
local function settle(self, into, from)
  if from ~= into then fill(into, from) end
  for key, original in next, self.first[into] do
    local value = rawget(into, key)
    if self.first[original] and type(value) == "table" then
      settle(self, original, value)
      rawset(into, key, original)
    end
  end
end

--- Merges what another process handed over into the state. Raises an error when it cannot.
---@param self lencase.beginning
---@param merge fun(a: table, b: table): table
---@param data string
function merging.take(self, merge, data)
  local piece, message = merging.decode(data)
  if not piece then error(message, 0) end
  local result = merge(self.root, piece)
  if type(result) ~= "table" then error(("merge must return a table, not a %s"):format(type(result)), 0) end
  settle(self, self.root, result)
end

-- }==========================================================================

--- Numbers are added, tables merged key by key, what only one has is taken, and else a's value stays.
---@param a table
---@param b table
---@return table a
function merging.sum(a, b)
  for key, value in next, b do
    local own = rawget(a, key)
    if own == nil then
      rawset(a, key, value)
    elseif type(own) ~= type(value) then
      error(("sum: '%s' is a %s in one and a %s in the other"):format(key, type(own), type(value)), 0)
    elseif type(own) == "table" then
      merging.sum(own, value)
    elseif type(own) == "number" then
      rawset(a, key, own + value)
    end
  end
  return a
end

return merging
