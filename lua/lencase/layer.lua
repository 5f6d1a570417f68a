-- layer.lua - the calls that a grate provides to what runs above it, and those that it may make itself
--
--   provide = { default = "deny", deny = "EPERM", "read", "write", "exit" }
--
-- Above the grate, in the program and in the grates between, there are the calls that it handles
-- and those that are listed; a listed call brings the members of its family. `default` says what
-- becomes of the others: "pass" (they are there, too), "deny" (they fail with ENOSYS, or with the
-- errno named by `deny`), "kill" (the cage is ended). What no program can end without stays (ALWAYS);
-- what its C library and dynamic linker need (execve, brk, mmap, futex, ...) is to be listed. A
-- number above 511 without a handler goes to the kernel, which refuses it, also with "kill".
--
--   uses = { "write", "fstat" }
--
-- The grate itself may make these calls through sys, and no others. Neither list can name a call
-- that a grate below denies.

local core = require "lencase.core"
local policy = require "lencase.policy"

local layer = {}

---@class lencase.provide
---@field default? "pass"|"deny"|"kill" what becomes of calls that are not listed ("pass")
---@field deny? string the errno that denied calls get ("ENOSYS")
---@field [integer] string|integer the calls that are there

-- A program cannot end, or return from a signal's handler, without them.
local ALWAYS = { "exit", "exit_group", "rt_sigreturn", "restart_syscall" }

-- Every number that a kernel call has or may get (the size of the route table's array; libseccomp and lencase
-- know names for fewer, and a newer kernel has more), and those of 3i.
local KERNEL_MAX = 511
local THREEI_FIRST, THREEI_LAST = 1001, 1003

-- {================================= lists ==================================

-- callnum -> true. `number_of` raises the error for an unknown call.
local function numbers(where, what, list, number_of)
  local set = {}
  for _, key in ipairs(list) do
    local nr = number_of(where, key)
    local place, denied
    if core.below then place, denied = core.below(nr) end
    if denied then
      error(("%s: %s: '%s' is denied below (%s): a layer cannot allow what a lower one denies"):format(where, what, key,
            place), 0)
    end
    set[nr] = true
  end
  return set
end

local defaults = { pass = true, deny = true, kill = true }

local function check_provide(where, raw)
  local function fail(fmt, ...) error(where .. ": provide: " .. fmt:format(...), 0) end
  for key in pairs(raw) do
    if key ~= "default" and key ~= "deny" and not (math.type(key) == "integer" and key >= 1 and key <= #raw) then
      fail("there is no '%s' (default, deny, and a list of calls)", tostring(key))
    end
  end
  if raw.default ~= nil and not defaults[raw.default] then
    fail('default must be "pass", "deny" or "kill", not "%s"', tostring(raw.default))
  end
  if raw.deny ~= nil and raw.default ~= "deny" then fail 'deny needs default = "deny"' end
  if raw.deny ~= nil and not core.errnos()[raw.deny] then
    fail('deny must be the name of an errno, not "%s"', tostring(raw.deny))
  end
end

--- What a definition's `provide` says, checked.
---@param where string for messages
---@param raw lencase.provide
---@param number_of fun(where: string, key: any): integer
---@return table
function layer.provide(where, raw, number_of)
  check_provide(where, raw)
  return { where = where, default = raw.default or "pass", errno = core.errnos()[raw.deny or "ENOSYS"],
           listed = numbers(where, "provide", raw, number_of) }
end

-- }==========================================================================

-- {================================ defaults ================================

-- Whether every call of number `nr` is seen in the prototype of `family`.
local function part_of(family, nr)
  if family == nr then return true end
  local _, conditional = core.members(family)
  return conditional[nr] == false
end

-- callnum -> true for calls that are provided as a whole; -> { families } for those provided in part.
local function listed_numbers(provide)
  local whole, partly = {}, {}
  for _, name in ipairs(ALWAYS) do whole[core.callnum(name)] = true end
  for family in pairs(provide.listed) do
    whole[family] = true
    for _, nr in ipairs((core.members(family))) do
      if part_of(family, nr) then
        whole[nr] = true
      else
        partly[nr] = partly[nr] or {}
        table.insert(partly[nr], family)
      end
    end
  end
  return whole, partly
end

--- Whether calls of this number can be made above, with or without a handler.
---@param provide? table of layer.provide
---@param nr integer
---@return boolean
function layer.provides(provide, nr)
  if not provide or provide.default == "pass" then return true end
  local whole = listed_numbers(provide)
  return whole[nr] == true
end

local function handled_whole(entries, nr)
  for _, e in ipairs(entries) do
    if e.exact and e.nr == nr or not e.exact and part_of(e.nr, nr) then return true end
  end
  return false
end

local function handles_family(entries, family)
  for _, e in ipairs(entries) do
    if e.nr == family then return true end
  end
  return false
end

local function pass() end

-- The entry that answers calls that are not provided.
local function denial(provide)
  local e = { where = provide.where, policy = policy.PASS_THROUGH_ALL, status = "denied" }
  if provide.default == "deny" then
    e.constant = -provide.errno
  else
    function e.fn()
      core.report("the call is not provided", "the cage is ended")
      core.cage():kill()
      return -1, provide.errno
    end
  end
  return e
end

-- In front of a number's entries (those registered first run last): the denial, then those
-- that let listed families through.
local function deny(provide, entries, nr, families)
  local e = denial(provide)
  e.nr = nr
  local out = { e }
  for _, family in ipairs(families or {}) do
    if not handles_family(entries, family) then
      table.insert(out, { nr = family, where = provide.where, policy = policy.PASS_THROUGH_ALL, fn = pass })
    end
  end
  return table.move(entries, 1, #entries, #out + 1, out)
end

local function each_number(f)
  for nr = 0, KERNEL_MAX do f(nr) end
  for nr = THREEI_FIRST, THREEI_LAST do f(nr) end
  local nr = core.next_below(KERNEL_MAX)
  while nr >= 0 do
    if nr < THREEI_FIRST or nr > THREEI_LAST then f(nr) end
    nr = core.next_below(nr)
  end
end

--- Adds the entries that `provide` means to an interface's routes.
---@param provide? table of layer.provide
---@param routes table<integer, table[]>
function layer.complete(provide, routes)
  if not provide or provide.default == "pass" then return end
  local whole, partly = listed_numbers(provide)
  each_number(function(nr)
    local entries = routes[nr] or {}
    if whole[nr] or handled_whole(entries, nr) then return end
    routes[nr] = deny(provide, entries, nr, partly[nr])
  end)
end

-- }==========================================================================

-- {================================== uses ==================================

-- A pattern: the places and names of sys.NAME in a script.
local function calls_made()
  local lpeg = require "lpeg"
  local P, R, S = lpeg.P, lpeg.R, lpeg.S
  local letter = R("az", "AZ") + "_"
  local name = letter * (letter + R "09") ^ 0
  local space = S " \t\r\n" ^ 0
  local long = lpeg.Cmt("[" * lpeg.C(P "=" ^ 0) * "[", function(text, pos, level)
    local _, stop = text:find("]" .. level .. "]", pos, true)
    return (stop or #text) + 1
  end) / 0
  local comment = "--" * (long + (1 - P "\n") ^ 0)
  local function quoted(mark) return mark * ("\\" * P(1) + 1 - S(mark .. "\n")) ^ 0 * P(mark) ^ -1 end
  local dot = space * "." * -P "." * space
  local access = (P "lencase" * dot) ^ -1 * "sys" * -(letter + R "09") * dot * lpeg.Ct(lpeg.Cp() * lpeg.C(name))
  local chain = name * (space * S ".:" * -S ".:" * space * name) ^ 0
  return lpeg.Ct((comment + long + quoted '"' + quoted "'" + access + chain + 1) ^ 0)
end

local function check_source(script, text, uses)
  if text == "" then return end -- it was checked when it was compiled
  for _, found in ipairs(calls_made():match(text)) do
    local nr = core.callnum(found[2])
    if nr and not uses[nr] then
      local line = require "lencase.source".line(text, found[1])
      error(("%s:%d: sys.%s is not among this grate's uses"):format(script, line, found[2]), 0)
    end
  end
end

--- What a definition's `uses` says, checked; the script's text is searched for sys.NAME.
---@param where string for messages
---@param raw (string|integer)[]
---@param number_of fun(where: string, key: any): integer
---@param script? string its name
---@param text? string its text
---@return table<integer, boolean>
function layer.uses(where, raw, number_of, script, text)
  for key in pairs(raw) do
    if math.type(key) ~= "integer" then
      error(("%s: uses is a list of calls, without a key '%s'"):format(where, tostring(key)), 0)
    end
  end
  local uses = numbers(where, "uses", raw, number_of)
  if text then check_source(script, text, uses) end
  return uses
end

-- }==========================================================================

return layer
