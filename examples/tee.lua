-- tee.lua - two stacks get each call, and one result comes back
--
--   lencase run tee.lua [--rule RULE] %{ a.lua %} %{ b.lua %} -- PROGRAM [ARGS...]
--
-- Rules: first    the first stack's result; the second's if the first fails and it does not
--        both     a failure if one of them fails (the first one's first), else the first's result
--        compare  the first stack's result; a difference is reported on standard error
--
-- Both stacks make their calls below the tee, so a call that both let through is made twice: bytes are
-- written twice, what one has read from a pipe or socket the other does not see, and of two descriptors
-- that an open returns the second is closed again. A tee is meant for stacks of which at least one
-- answers by itself, or for calls that may be repeated (stat, pread64, ...).
-- Calls that change processes (fork, exec, exit and their like) go to the first stack only.

local lencase = require "lencase"

local output = lencase.output()

local first, second = lencase.branches[1], lencase.branches[2]
if not second or lencase.branches[3] then
  error("tee.lua: expected two stacks: %{ GRATE.lua ... %} %{ GRATE.lua ... %}", 0)
end

local function words_of(list)
  local set = {}
  for word in list:gmatch "%S+" do set[word] = true end
  return set
end

local once = words_of "fork vfork clone clone3 execve execveat exit exit_group rt_sigreturn kill tgkill tkill"
local opens = words_of "open openat openat2 creat socket accept accept4 dup epoll_create1 eventfd2 memfd_create"

-- Each rule says whether the second result is the caller's.
local rules = {}

function rules.first(_, a, b) return a[1] == -1 and b[1] ~= -1 end

function rules.both(_, a, b) return a[1] ~= -1 and b[1] == -1 end

function rules.compare(name, a, b)
  local differ = a[1] ~= b[1] or a[2] ~= b[2]
  if not differ then
    for i = 3, math.max(#a, #b) do
      differ = differ or type(a[i]) == "userdata" and type(b[i]) == "userdata" and not pcall(function()
        assert(tostring(a[i]) == tostring(b[i]))
      end)
    end
  end
  if differ then
    local function told(r) return r[1] == -1 and "-1 " .. lencase.errno[r[2]] or tostring(r[1]) end
    output:write(("tee: %s: %s and %s\n"):format(name, told(a), told(b)))
  end
  return false
end

local words = { ... }
local rule = rules.first
if words[1] == "--rule" then
  rule = rules[words[2]] or error(("tee.lua: expected the rule first, both or compare, not '%s'"):format(words[2]), 0)
elseif #words > 0 then
  error("tee.lua: the only option is --rule RULE", 0)
end

-- Which results of a call are runs (readv), by their places.
local function runs_among(nr)
  local described, runs, place = lencase.describe(nr), {}, 2
  for _, param in ipairs(described and described.variants[1].params or {}) do
    if param.dir == "out" or param.dir == "inout" then
      place = place + 1
      if param.kind == "iovec" then table.insert(runs, place) end
    end
  end
  return runs
end

-- Runs as one string: the second call overwrites what the first one filled in the caller's memory.
local function joined(runs)
  local parts = {}
  for i = 1, #runs do parts[i] = tostring(runs[i]) end
  return table.concat(parts)
end

local function twice(nr, name) -- a call that is new may have no name
  local call_first, call_second, runs = first.sys[nr], second.sys[nr], runs_among(nr)
  return function()
    local a = table.pack(call_first())
    for _, i in ipairs(runs) do a[i] = a[i] and joined(a[i]) end
    local b = table.pack(call_second())
    local taken, other = a, b
    if rule(name, a, b) then taken, other = b, a end
    if opens[name] and other[1] >= 0 and other[1] ~= taken[1] then lencase.sys.close(other[1]) end
    return table.unpack(taken, 1, taken.n)
  end
end

local interface = {}

local function add(nr)
  local name = lencase.callname(nr)
  local handler = once[name] and function() first.enter() end or twice(nr, name)
  interface[nr] = { lencase.COPY_ALL_ARGS, handler, exact = true }
end

for _, b in ipairs(lencase.branches) do
  for _, nr in ipairs(b.calls) do add(nr) end
end

return lencase.grate(interface)
