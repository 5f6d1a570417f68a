-- strace.lua - the calls of a program, a line each: names, arguments by type, result, errno
--
--   lencase run strace.lua [-e CALLS] [-s N] [-o FILE] -- PROGRAM [ARGS...]
--
-- -e: names, numbers and classes with commas between (%file, %desc, %network, %process, %signal, %memory,
-- all, the default). -s: how many bytes of a buffer or an argv are shown (32). -o: write to a file instead of
-- standard error. Each line begins with the process; of a buffer only what is shown is read.
--
-- Not covered: a line is written when its call has ended, so calls of several processes do not interleave
-- as they began; signals that arrive; calls without a signature have six integers in hexadecimal; flags
-- have names where lua/lencase/flags.lua knows them. The vDSO's answers are not calls.

local lencase = require "lencase"
local classes = require "lencase.classes"
local flags = require "lencase.flags"

local sys = lencase.sys
local limit, list, path = 32, "all", nil

local words = { ... }
while #words > 0 do
  local option, value = table.remove(words, 1), table.remove(words, 1)
  if option == "-e" and value then
    list = value:gsub("^trace=", "")
  elseif option == "-s" and math.tointeger(value) then
    limit = math.tointeger(value)
  elseif option == "-o" and value then
    path = value
  else
    error("strace.lua: expected -e CALLS, -s N or -o FILE", 0)
  end
end
local output = lencase.output(path)

-- {================================= values =================================

local escapes = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ["\v"] = "\\v", ["\f"] = "\\f",
                  ['"'] = '\\"', ["\\"] = "\\\\" }

-- An octal escape is as short as what follows it allows.
local function escape(c, after)
  if escapes[c] then return escapes[c] end
  if not c:find "[%c\127-\255]" then return c end
  return (after:find "%d" and "\\%03o" or "\\%o"):format(c:byte())
end

local function quote_all(bytes)
  local text = {}
  for i = 1, #bytes do text[i] = escape(bytes:sub(i, i), bytes:sub(i + 1, i + 1)) end
  return '"' .. table.concat(text) .. '"'
end

-- `more`: there are bytes after these.
local function quote(bytes, more)
  return quote_all(bytes:sub(1, limit)) .. ((more or #bytes > limit) and "..." or "")
end

-- The first of `size` bytes at an address.
local function bytes_at(addr, size)
  if addr == 0 then return "NULL" end
  local bytes = lencase.cage:read(addr, math.min(size, limit))
  return bytes and quote(bytes, size > limit) or ("0x%x"):format(addr)
end

-- A pointer that cannot be read.
local function address(bad) return (tostring(bad):match "0x%x+$") end

local show_view

local function field(name, value)
  if type(value) == "userdata" then return show_view(value) end
  if type(value) == "table" then return "[" .. table.concat(value, ", ") .. "]" end
  if type(value) == "string" then return quote(value) end
  if name:find "mode$" then return ("0%o"):format(value) end
  return ("%d"):format(value)
end

-- A struct as {name=value, ...}, an array as [element, ...].
function show_view(view)
  local parts, array = {}, false
  for name, value in pairs(view) do
    array = math.type(name) ~= nil
    if array and #parts == limit then
      table.insert(parts, "...")
      break
    end
    if array then table.insert(parts, field("", value)) end
    if not array and not name:find "^__" then table.insert(parts, name .. "=" .. field(name, value)) end
  end
  return (array and "[%s]" or "{%s}"):format(table.concat(parts, ", "))
end

local function strings(values)
  local parts = {}
  for i = 1, math.min(#values, limit) do
    parts[i] = lencase.is_bad(values[i]) and address(values[i]) or quote(values[i])
  end
  if #values > limit then table.insert(parts, "...") end
  return "[" .. table.concat(parts, ", ") .. "]"
end

local function runs(addr, n)
  local parts, array = {}, addr ~= 0 and n >= 0 and n <= 1024 and lencase.cage:read(addr, 16 * n)
  if not array then return ("0x%x"):format(addr) end
  for i = 1, math.min(n, limit) do
    local base, len = string.unpack("<i8I8", array, 16 * i - 15)
    parts[i] = ("{iov_base=%s, iov_len=%d}"):format(bytes_at(base, len), len)
  end
  return "[" .. table.concat(parts, ", ") .. "]"
end

local function integer(call, param, value)
  local name = flags.name(call, param.name, value)
  if name then return name end
  if param.ctype:find "mode_t" then return ("0%o"):format(value) end
  if param.name:find "flags$" then return ("0x%x"):format(value) end
  return param.pointer and (value == 0 and "NULL" or ("0x%x"):format(value)) or ("%d"):format(value)
end

-- What a handler got, or a call filled, as text.
local function show(call, param, value)
  if value == lencase.NULL then return "NULL" end
  if value == nil then return "?" end
  if lencase.is_bad(value) then return address(value) end
  if math.type(value) then return integer(call, param, value) end
  if type(value) == "string" then return quote_all(value) end -- a path is shown whole
  if type(value) == "table" then return strings(value) end
  if param.kind == "strings" then return strings(value) end
  if param.kind == "bytes" then return quote(tostring(value)) end
  return show_view(value)
end

-- }==========================================================================

-- {================================== calls =================================

-- Buffers and iovecs are read here, as far as they are shown; everything else is copied.
local function ours(param)
  return param.kind == "iovec" or param.kind == "bytes" and param.count ~= nil
end

local function widest(described)
  local best = described.variants[1]
  for _, variant in ipairs(described.variants) do
    if #variant.params > #best.params then best = variant end
  end
  return best.params
end

-- The parameters of the variant that a handler was given so many arguments for.
local function params_of(described, n)
  for _, variant in ipairs(described.variants) do
    if #variant.params == n then return variant.params end
  end
  return widest(described)
end

-- An out buffer has as many bytes as the result says, or its whole size.
local function buffer(param, args, addr, n)
  local size = args[param.count] or 0
  if param.kind == "iovec" then return runs(addr, size) end
  if param.filled and param.dir == "out" then size = math.min(size, n) end
  return bytes_at(addr, math.max(size, 0))
end

local function text_of(call, params, args, n, outs)
  local parts, next_out = {}, 1
  for i, param in ipairs(params) do
    local value = args[i]
    if ours(param) and math.type(value) then
      value = (param.dir == "in" or n >= 0) and buffer(param, args, value, n) or ("0x%x"):format(value)
    elseif param.dir ~= "in" and param.kind ~= "int" and not param.address then
      local filled = outs[next_out]
      next_out = next_out + 1
      value = show(call, param, n >= 0 and filled ~= nil and filled or value)
    else
      value = show(call, param, value)
    end
    parts[i] = value
  end
  return table.concat(parts, ", ")
end

local function result_text(described, n, errno)
  if n == -1 and errno then
    local name = lencase.errno[errno]
    return name and ("-1 %s (%s)"):format(name, lencase.strerror(errno)) or "-1 " .. errno
  end
  return described.address and ("0x%x"):format(n) or ("%d"):format(n)
end

local function say(...) output:write(("[%d] "):format(lencase.cage.pid), ...) end

-- Lines are written whole: another process may have its own in between.
local function handler(nr, described)
  local name, call = described.name, sys[nr]
  return function(...)
    local args, params = { ... }, params_of(described, select("#", ...))
    if described.noreturn then return say(name, "(", text_of(name, params, args, -1, {}), ") = ?\n") end
    local before = text_of(name, params, args, -1, {}) -- after execve the arguments are gone
    local results = table.pack(call())
    local n, errno = results[1], results[2]
    local outs = { table.unpack(results, 3, results.n) }
    local text = name:find "^execve" and before or text_of(name, params, args, n, outs)
    say(name, "(", text, ") = ", result_text(described, n, errno), "\n")
    return table.unpack(results, 1, results.n)
  end
end

local function entry(nr)
  local described = lencase.describe(nr)
  local policy = lencase.COPY_ALL_ARGS
  if not described then
    local params = {}
    for i = 1, 6 do params[i] = { name = "arg" .. i, ctype = "", kind = "int", dir = "in", pointer = true } end
    described = { name = lencase.callname(nr), variants = { { params = params } } }
  end
  for i, param in ipairs(widest(described)) do
    if ours(param) then policy = policy | lencase.ADDR(i) end
  end
  return { policy, handler(nr, described), exact = true }
end

-- }==========================================================================

local numbers, message = classes.expand(list)
if not numbers then error("strace.lua: -e: " .. message, 0) end

local interface = { on_cage_exit = function(cage, how, n)
  local text = how == "exit" and "+++ exited with %d +++" or "+++ killed by %s +++"
  output:write(("[%d] "):format(cage.pid), text:format(how == "exit" and n or flags.name("kill", "sig", n) or n), "\n")
end }
for nr in pairs(numbers) do interface[nr] = entry(nr) end

return lencase.grate(interface)
