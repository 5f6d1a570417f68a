-- seccomp.lua - a file says which calls a program may make
--
--   lencase run seccomp.lua FILE -- PROGRAM [ARGS...]
--
--   # comments begin like this
--   default errno EPERM                   # what becomes of calls that no line names; once
--   allow read write close exit_group     # names, or numbers
--   errno ENOSYS ptrace 425               # fails with this errno
--   log socket                            # allowed, and reported on standard error
--   kill mount                            # ends the process
--   errno EACCES ioctl if request == 0x5412 or fd > 2
--
-- Actions: allow, errno NAME, log, kill. Of the lines that name a call the first one whose condition
-- holds applies; without a default, calls that no line names are allowed. A condition compares
-- integer arguments by their names in the manual's prototype: == != < <= > >= and & (any of these bits),
-- with and, or. A name means this one kernel call and not its family: name openat as well as open. What a
-- program cannot end without (exit, exit_group, rt_sigreturn, restart_syscall) is allowed unless a line names it.
--
-- Not covered: what pointers point to; the calls of lencase's grates below. The rules apply to
-- all processes of the program; the first execve has happened when they begin.

local lpeg = require "lpeg"
local lencase = require "lencase"
local parsing = require "lencase.parsing"

local P, R, S, C, Cc, Cp, Cg, Ct = lpeg.P, lpeg.R, lpeg.S, lpeg.C, lpeg.Cc, lpeg.Cp, lpeg.Cg, lpeg.Ct
local expected = parsing.expected
local output = lencase.output()

local KERNEL_MAX = 511
local ALWAYS = { exit = true, exit_group = true, rt_sigreturn = true, restart_syscall = true }

-- {================================= grammar ================================

local blank = (S " \t" + "#" * (1 - P "\n") ^ 0) ^ 0
local letter = R("az", "AZ") + "_"
local word = letter * (letter + R "09") ^ 0
local function keyword(text) return P(text) * -(letter + R "09") * blank end

local hex, octal = "0x" * R("09", "af", "AF") ^ 1, "0" * R "07" ^ 1
local integer = (C(hex) / tonumber + C(octal) / function(s) return tonumber(s, 8) end + C(R "09" ^ 1) / tonumber)
                * -(letter + R "09") * blank

local errno = Cp() * C(R "AZ" * R("AZ", "09") ^ 0) * blank + expected "the name of an errno"
local action = Ct(Cg(C(P "errno"), "kind") * -letter * blank * Cg(Ct(errno), "errno")
                  + Cg(C(P "allow" + "log" + "kill"), "kind") * -letter * blank)

local operator = C(P "==" + "!=" + "<=" + ">=" + "<" + ">" + "&") * blank + expected "an operator (== != < <= > >= &)"
local parameter = Cp() * C(word) * blank + expected "an argument's name"
local number = integer + expected "an integer"
local comparison = Ct(parameter * operator * number)
local conjunction = Ct(comparison * (keyword "and" * comparison) ^ 0)
local condition = keyword "if" * Ct(conjunction * (keyword "or" * conjunction) ^ 0)

local call = Ct(Cp() * (C(word) - keyword "if" + integer) * blank)
local calls = Ct((call + expected "the name of a call") * call ^ 0)
local rule = Ct(Cg(Cp(), "pos") * Cg(action, "action") * Cg(calls, "calls") * Cg(condition, "condition") ^ -1)
local default = Ct(Cg(Cp(), "pos") * keyword "default" * Cg(action + expected "an action", "action")
                   * Cg(Cc(true), "default"))
local line = blank * (default + rule + expected "default, allow, errno, log or kill") + blank
local stop = P "\n" + expected "the end of the line"
local file = Ct(line * (stop * line) ^ 0) * (P(-1) + expected "the end of the line")

-- }==========================================================================

-- {================================= meaning ================================

local compare = {
  ["=="] = function(a, b) return a == b end,
  ["!="] = function(a, b) return a ~= b end,
  ["<"] = function(a, b) return a < b end,
  ["<="] = function(a, b) return a <= b end,
  [">"] = function(a, b) return a > b end,
  [">="] = function(a, b) return a >= b end,
  ["&"] = function(a, b) return a & b ~= 0 end,
}

local function known_calls()
  local names = {}
  for nr = 0, KERNEL_MAX do table.insert(names, lencase.callname(nr)) end
  return names
end

local function number_of(at)
  local pos, name = at[1], at[2]
  if math.type(name) then return name end
  local nr = lencase.callnum(name)
  if not nr then parsing.fail(pos, "unknown call '%s'%s", name, parsing.did_you_mean(name, known_calls())) end
  return nr
end

-- The place of a parameter among the handler's arguments.
local function place_of(nr, pos, name)
  local described, names = lencase.describe(nr), {}
  local widest = {}
  for _, variant in ipairs(described and described.variants or {}) do
    if #variant.params > #widest then widest = variant.params end
  end
  for i, param in ipairs(widest) do
    if param.name == name then
      if param.pointer then parsing.fail(pos, "'%s' is a pointer: only integers can be compared", name) end
      return i
    end
    names[i] = param.name
  end
  parsing.fail(pos, "%s has no argument '%s'%s", lencase.callname(nr), name, parsing.did_you_mean(name, names))
end

-- The condition of a rule for one call, as a function of the call's arguments.
local function compiled(nr, alternatives)
  if not alternatives then return nil end
  local tests = {}
  for i, all in ipairs(alternatives) do
    tests[i] = {}
    for k, c in ipairs(all) do
      tests[i][k] = { place = place_of(nr, c[1], c[2]), holds = compare[c[3]], value = c[4] }
    end
  end
  return function(args)
    for _, all in ipairs(tests) do
      local holds = true
      for _, t in ipairs(all) do holds = holds and args[t.place] ~= nil and t.holds(args[t.place], t.value) end
      if holds then return true end
    end
    return false
  end
end

local function check_errno(a)
  if not a.errno then return end
  local pos, name = a.errno[1], a.errno[2]
  if type(lencase.errno[name]) ~= "number" then parsing.fail(pos, "unknown errno '%s'", name) end
  a.failure = lencase.fail(name)
end

-- callnum -> { { action =, condition = }, ... }; the default action, or nil.
local function rules_of(tree)
  local by_call, by_default = {}, nil
  for _, r in ipairs(tree) do
    check_errno(r.action)
    if r.default and by_default then parsing.fail(r.pos, "there is a default already") end
    if r.default then by_default = r.action end
    for _, at in ipairs(r.calls or {}) do
      local nr = number_of(at)
      by_call[nr] = by_call[nr] or {}
      table.insert(by_call[nr], { action = r.action, condition = compiled(nr, r.condition) })
    end
  end
  return { by_call = by_call, default = by_default }
end

-- }==========================================================================

-- {================================ interface ===============================

local act = {}

function act.allow() end

function act.errno(_, failure) return failure end

function act.log(nr)
  output:write(("seccomp: %s by %s\n"):format(lencase.callname(nr), tostring(lencase.cage)))
end

function act.kill(nr)
  output:write(("seccomp: %s by %s: killed\n"):format(lencase.callname(nr), tostring(lencase.cage)))
  lencase.cage:kill()
  return lencase.fail "EPERM"
end

local function handler(nr, rules)
  return function(...)
    local args = { ... }
    for _, r in ipairs(rules) do
      if not r.condition or r.condition(args) then return act[r.action.kind](nr, r.action.failure) end
    end
  end
end

-- No entry for a call that is allowed in any case: it costs nothing then.
local function entry_of(nr, rules)
  local first = rules[1]
  if not first or not first.condition and first.action.kind == "allow" then return nil end
  local fixed = not first.condition and first.action.failure
  return { lencase.PASS_THROUGH_POINTERS, fixed or handler(nr, rules), exact = true }
end

local function interface_of(rules)
  local interface, everything = {}, rules.default and { action = rules.default }
  local numbers = {}
  for nr in pairs(rules.by_call) do numbers[nr] = true end
  for nr = 0, everything and KERNEL_MAX or -1 do numbers[nr] = true end
  for nr in pairs(numbers) do
    local of_call = rules.by_call[nr] or {}
    if everything and not (ALWAYS[lencase.callname(nr)] and #of_call == 0) then table.insert(of_call, everything) end
    interface[nr] = entry_of(nr, of_call)
  end
  return interface
end

-- }==========================================================================

local path = ...
if select("#", ...) ~= 1 then error("seccomp.lua: expected one file: lencase run seccomp.lua FILE -- PROGRAM", 0) end
local source = assert(io.open(path, "rb"))
local text = source:read "a"
source:close()
local rules, message = parsing.guarded(function(all) return rules_of(parsing.match(file, all)) end, text)
if not rules then error(("%s: %s"):format(path, message), 0) end

return lencase.grate(interface_of(rules))
