-- check-layers.lua - proves from the #include lines that the rooms of core/ know only those
-- rooms that the design allows (DESIGN, section 7), and from `require` the same of lua/lencase/
--
--   lua5.4 scripts/check-layers.lua FILE...
--
-- Each violation is a line "file:line: why"; the exit status is 1 when there are any.

-- Which room a file belongs to; the first pattern that fits decides.
local ROOMS = {
  { "^core/lencase%.h$", "public" },
  { "^core/lencase%.c$", "state" },
  { "^core/state%.[ch]$", "state" },
  { "^core/signature[%w_]*%.[ch]$", "signature" },
  { "^core/policy%.[ch]$", "policy" },
  { "^core/marshal[%w_]*%.[ch]$", "marshal" },
  { "^core/cage%.[ch]$", "cage" },
  { "^core/route%.[ch]$", "route" },
  { "^core/call[%w_]*%.[ch]$", "call" },
  { "^core/grate[%w_]*%.[ch]$", "grate" },
  { "^core/bind/[%w_]+%.[ch]$", "bind" },
  { "^core/host/host%.h$", "host" },
  { "^core/host/supervise%.[ch]$", "host" },
  { "^core/host/edge%.[ch]$", "host" },
  { "^core/host/bpf%.[ch]$", "host" },
  { "^core/host/descriptor%.[ch]$", "host" },
  { "^core/host/kernel%.h$", "host" },
  { "^core/host/probe[%w_]*%.[ch]$", "host" },
  { "^core/host/(%w+)/[%w_]+%.[ch]$", "host/%1" },
  { "^core/host/inline/preload/[%w_]+%.[ch]$", "host/inline" },
  { "^lua/lencase/[%w_]+%.lua$", "language" },
  { "^lua/lencase/(%w+)/[%w_]+%.lua$", "%1" },
}

-- What the files of a room may include besides their own: exactly the arrows, each written out.
local CONCRETE_HOST = "public state host call"
local MAY_KNOW = {
  public = "",
  state = "public",
  host = "public state",
  signature = "public state",
  policy = "public state signature",
  cage = "public state host",
  route = "public state host signature cage",
  marshal = "public state host signature policy cage",
  call = "public state host signature policy cage route marshal",
  grate = "public state host signature policy cage route marshal call",
  bind = "public state host signature policy cage route marshal call grate host/sim host/trace host/inline",
  ["host/sim"] = CONCRETE_HOST,
  ["host/trace"] = CONCRETE_HOST,
  ["host/embed"] = CONCRETE_HOST,
  ["host/inline"] = CONCRETE_HOST,
  ["host/lind"] = CONCRETE_HOST,
  calls = "language",
  language = "calls",
  tools = "language calls",
  repl = "language calls tools",
  cli = "language calls tools repl",
}

-- Single files that know more than their room, and why.
local EXCEPTIONS = {
  -- lencase_new and lencase_close make and free what every room keeps in the state.
  ["core/lencase.c"] = "cage route call",
  -- Scripts know lencase.test by this name; what it consists of are tools.
  ["lua/lencase/test.lua"] = "tools",
}

local LUA_HEADERS = { ["lua.h"] = true, ["lauxlib.h"] = true, ["lualib.h"] = true, ["luaconf.h"] = true }
local MAY_KNOW_LUA = { grate = true, bind = true }

---@param path string
---@return string? room
local function room_of(path)
  for _, row in ipairs(ROOMS) do
    local pattern, room = row[1], row[2]
    if path:find(pattern) then return (path:gsub(pattern, room)) end
  end
end

-- "core/host/sim/x.h" from "core/host/sim/x.c" and "../../call.h": "core/call.h".
---@param from string
---@param included string
---@return string
local function resolve(from, included)
  local parts = {}
  for part in (from:match "^(.*/)" .. included):gmatch "[^/]+" do
    if part == ".." and #parts > 0 then
      table.remove(parts)
    elseif part ~= "." then
      table.insert(parts, part)
    end
  end
  return table.concat(parts, "/")
end

---@param words string
---@param word string
---@return boolean
local function lists(words, word)
  return (" " .. words .. " "):find(" " .. word .. " ", 1, true) ~= nil
end

-- Why 'path' may not include the project's file 'target'; nil: it may.
---@param path string
---@param room string
---@param target string
---@return string?
local function why_not(path, room, target)
  local known = room_of(target)
  if not known then return target .. " belongs to no room" end
  if known == room or lists(MAY_KNOW[room], known) or lists(EXCEPTIONS[path] or "", known) then
    return nil
  end
  return ("room '%s' may not know room '%s' (%s)"):format(room, known, target)
end

-- The file of a Lua module: lua/lencase/repl/init.lua for "lencase.repl".
---@param name string
---@return string? path
local function module_file(name)
  local path = "lua/" .. name:gsub("%.", "/")
  for _, file in ipairs { path .. ".lua", path .. "/init.lua" } do
    local f = io.open(file)
    if f then
      f:close()
      return file
    end
  end
end

-- The complaint about one line in Lua; nil: none.
---@param path string
---@param room string
---@param line string
---@return string?
local function judge_lua(path, room, line)
  for word, name in line:gmatch '([%w_]+)[ (]*"([%w_.]*[%w_])"' do
    local target = (word == "require" or word == "when_needed") and name:find "^lencase" and module_file(name)
    local complaint = target and why_not(path, room, target)
    if complaint then return complaint end
  end
end

-- The same about one line in C.
---@param path string
---@param room string
---@param line string
---@return string?
local function judge_c(path, room, line)
  local open, name = line:match '^%s*#%s*include%s*(["<])([^">]+)[">]'
  if not open then return nil end
  if LUA_HEADERS[name] then
    return not MAY_KNOW_LUA[room] and ("room '%s' may not know Lua (%s)"):format(room, name) or nil
  end
  if open == '"' then return why_not(path, room, resolve(path, name)) end
  return room_of("core/" .. name) and ("<%s> is a header of lencase: use quotes"):format(name) or nil
end

---@param path string
---@return string[] complaints
local function check_file(path)
  local room = room_of(path)
  if not room or not MAY_KNOW[room] then return { path .. ":1: belongs to no room" } end
  local judge = path:find "%.lua$" and judge_lua or judge_c
  local complaints, number = {}, 0
  for line in io.lines(path) do
    number = number + 1
    local complaint = judge(path, room, line)
    if complaint then table.insert(complaints, ("%s:%d: %s"):format(path, number, complaint)) end
  end
  return complaints
end

---@param paths string[]
---@return integer # how many complaints were printed
local function check_all(paths)
  local count = 0
  for _, path in ipairs(paths) do
    for _, complaint in ipairs(check_file(path)) do
      io.stderr:write(complaint, "\n")
      count = count + 1
    end
  end
  return count
end

assert(#arg > 0, "usage: check-layers.lua FILE...")
local count = check_all(arg)
print(("check-layers: %d files, %d violations"):format(#arg, count))
os.exit(count == 0)
