-- fault.lua - makes calls fail, wait or raise a signal, by rules
--
--   lencase run fault.lua RULE... [--seed N] [--report] -- PROGRAM [ARGS...]
--   lencase run fault.lua write:error=ENOSPC:when=3 'open:error=EACCES:if=pathname~/etc' -- PROGRAM
--
-- A rule is CALLS:ITEM:ITEM... CALLS are names, numbers and classes (%file, %desc, %network, %process,
-- %signal, %memory, all) with commas between; open means openat, openat2 and creat, too. Items:
--   error=NAME         the call is not made and fails with this errno
--   retval=N           the call is not made and returns N
--   signal=SIG         the calling thread gets the signal (SIGTERM, TERM or 15); the call is made nevertheless
--   delay_enter=TIME   the thread waits before the call (10us, 5ms, 2s; a bare number is microseconds)
--   delay_exit=TIME    the thread waits after the call
--   when=N             only the N-th matching call (N+ from there on, N+STEP and each STEP-th after it, N..M)
--   if=NAME OP VALUE   only with this argument: == != < <= > >= & for integers, == != ~ (contains) for
--                      strings; NAME as the manual's prototype has it; calls without it never match
--   p=0.1              each matching call with this probability
-- The first rule that applies to a call decides. Calls are counted by rule, over all processes of the program;
-- with --inline each process has its own count (when=), and the report is for all of them.
-- --seed: the same seed gives the same faults to the same calls (0). --report: at the end, how often each
-- rule matched and was applied, on standard error.
--
-- Not covered: calls that the kernel does not enter (clock_gettime is in the vDSO, which lencase hides only
-- from programs whose grates handle it); what an injected signal means to a handler of the program's own.

local lpeg = require "lpeg"
local lencase = require "lencase"
local classes = require "lencase.classes"
local parsing = require "lencase.parsing"

local sys, output = lencase.sys, lencase.output()
local P, R, C, Cc, Cg, Cp, Ct = lpeg.P, lpeg.R, lpeg.C, lpeg.Cc, lpeg.Cg, lpeg.Cp, lpeg.Ct
local expected = parsing.expected

local signals, last = {}, 0 -- asm/signal.h
for name in ([[HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP
               TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS]]):gmatch "%u[%u%d]*" do
  last = last + 1
  signals[name] = last
end

-- {================================== rules =================================

local digits = P "0x" * R("09", "af", "AF") ^ 1 + R "09" ^ 1
local integer = (P "-" ^ -1 * digits) / math.tointeger + expected "an integer"
local word = C((R("az", "AZ", "09") + "_") ^ 1)
local value = C((1 - P ":") ^ 1)

-- A time in microseconds.
local units = { us = 1, ms = 1000, s = 1000000 }
local decimal = R "09" ^ 1 * ("." * R "09" ^ 1) ^ -1
local time = C(decimal) * (C(P "us" + "ms" + "s") + Cc "us") / function(n, unit)
  return math.floor(tonumber(n) * units[unit])
end

local function errno_of(pos, name)
  if type(lencase.errno[name]) ~= "number" then parsing.fail(pos, "unknown errno '%s'", name) end
  return lencase.fail(name)
end

local function signal_of(pos, name)
  local nr = signals[(name:gsub("^SIG", ""))] or math.tointeger(name)
  return nr and nr >= 1 and nr <= 64 and nr or parsing.fail(pos, "unknown signal '%s'", name)
end

local whole = Ct(Cg(integer, "first") * (".." * Cg(integer, "last")) ^ -1
                 * ("+" * (Cg(integer - expected "a step", "step") + Cg(Cc(1), "step"))) ^ -1)
local operator = C(P "==" + "!=" + "<=" + ">=" + "<" + ">" + "&" + "~") + expected "an operator (== != < <= > >= & ~)"
local space = P " " ^ 0
local condition = Ct(Cg(Cp(), "pos") * Cg(word, "name") * space * Cg(operator, "op") * space
                     * Cg(value + expected "a value", "value"))
local probability = C(R "09" ^ 0 * ("." * R "09" ^ 1) ^ -1) / tonumber

local function item(name, pattern, what) return Cg(Cc(name) * (name .. "=") * (pattern + expected(what))) end
local items = item("error", Cp() * word / errno_of, "the name of an errno")
            + item("retval", integer, "an integer")
            + item("signal", Cp() * word / signal_of, "a signal")
            + item("delay_enter", time, "a time (10us, 5ms, 2s)") + item("delay_exit", time, "a time (10us, 5ms, 2s)")
            + item("when", whole, "which calls (3, 3+, 3+2, 3..5)")
            + item("if", condition, "NAME OP VALUE")
            + item("p", probability, "a probability (0.1)")
local any_item = (Cp() * items) / function(pos, name, got) return { pos, name, got } end
               + expected "error=, retval=, signal=, delay_enter=, delay_exit=, when=, if= or p="
local grammar = Ct(Cg(Cp() * value / function(_, list) return list end + expected "names of calls", "calls")
                   * Ct((":" * any_item) ^ 1 + expected ":"))
              * (P(-1) + expected "':'")

local effects = { "error", "retval", "signal", "delay_enter", "delay_exit" }

local function rule_of(text)
  local tree = parsing.match(grammar, text)
  local rule = { text = text, calls = tree.calls, fitted = 0 }
  for _, given in ipairs(tree[1]) do
    local pos, name, got = table.unpack(given, 1, 3)
    if rule[name] ~= nil then parsing.fail(pos, "%s= is given twice", name) end
    rule[name] = got
  end
  local any = false
  for _, name in ipairs(effects) do any = any or rule[name] ~= nil end
  if not any then
    parsing.fail(#text + 1, "the rule does nothing: error=, retval=, signal=, delay_enter= or delay_exit=")
  end
  if rule.error and rule.retval then parsing.fail(#text + 1, "error= and retval= exclude each other") end
  if rule.p and not (rule.p >= 0 and rule.p <= 1) then parsing.fail(#text + 1, "a probability is from 0 to 1") end
  local numbers, message = classes.expand(rule.calls)
  if not numbers then parsing.fail(1, "%s", message) end
  rule.numbers = numbers
  return rule
end

-- }==========================================================================

-- {================================ conditions ==============================

local compare = {
  ["=="] = function(a, b) return a == b end,
  ["!="] = function(a, b) return a ~= b end,
  ["<"] = function(a, b) return a < b end,
  ["<="] = function(a, b) return a <= b end,
  [">"] = function(a, b) return a > b end,
  [">="] = function(a, b) return a >= b end,
  ["&"] = function(a, b) return a & b ~= 0 end,
  ["~"] = function(a, b) return a:find(b, 1, true) ~= nil end,
}
local for_strings = { ["=="] = true, ["!="] = true, ["~"] = true }

local function param_of(nr, name)
  local described = lencase.describe(nr)
  for _, variant in ipairs(described and described.variants or {}) do
    for i, param in ipairs(variant.params) do
      if param.name == name then return param, i end
    end
  end
end

-- Which argument of a call a condition means, and how it is compared: nil when it has none of that name.
local function bound(c, nr)
  local param, place = param_of(nr, c.name)
  if not param then return nil end
  local is_string = param.ctype:find "char %*" ~= nil
  local other = is_string and c.value or math.tointeger(tonumber(c.value))
  if param.pointer and not is_string or is_string and not for_strings[c.op] then return nil end
  if not is_string and c.op == "~" or not other then return nil end
  return { place = place, copied = is_string, holds = compare[c.op], value = other }
end

local function check_condition(rule)
  local c = rule["if"]
  for nr in pairs(c and rule.numbers or {}) do
    if bound(c, nr) then return rule end
  end
  if c then parsing.fail(c.pos, "no call of '%s' has an argument '%s' that can be compared so", rule.calls, c.name) end
  return rule
end

local function holds(b, args)
  local got = args[b.place]
  if b.copied then return type(got) == "string" and b.holds(got, b.value) end
  return math.type(got) == "integer" and b.holds(got, b.value)
end

local function falls_on(when, n)
  if not when then return true end
  if n < when.first or when.last and n > when.last then return false end
  if when.step then return (n - when.first) % when.step == 0 end
  return when.last ~= nil or n == when.first
end

-- }==========================================================================

-- {================================= effects ================================

local function wait(microseconds)
  if not microseconds then return end
  sys.nanosleep({ tv_sec = microseconds // 1000000, tv_nsec = microseconds % 1000000 * 1000 }, lencase.NULL)
end

local function strike(rule, call)
  wait(rule.delay_enter)
  if rule.signal then sys.tgkill(sys.getpid(), sys.gettid(), rule.signal) end
  if rule.error or rule.retval then
    wait(rule.delay_exit)
    return rule.error or rule.retval
  end
  if not rule.delay_exit then return call() end
  local results = table.pack(call())
  wait(rule.delay_exit)
  return table.unpack(results, 1, results.n)
end

-- Counts the call, and says whether the rule applies to it.
local function takes(rule, b, args)
  if b and not holds(b, args) then return false end
  rule.fitted, rule.count.fitted = rule.fitted + 1, rule.count.fitted + 1
  if not falls_on(rule.when, rule.fitted) or rule.p and math.random() >= rule.p then return false end
  rule.count.taken = rule.count.taken + 1
  return true
end

-- The rules for one call: { rule, its condition here }; nil when none can apply.
local function handler(nr, rules)
  local mine, policy, call = {}, lencase.PASS_THROUGH_POINTERS, sys[nr]
  for _, rule in ipairs(rules) do
    local b = rule["if"] and bound(rule["if"], nr)
    if rule.numbers[nr] and (b or not rule["if"]) then
      table.insert(mine, { rule, b })
      if b and b.copied then policy = policy | lencase.COPY(b.place) end
    end
  end
  if #mine == 0 then return nil end
  return { policy, function(...)
    local args = { ... }
    for _, m in ipairs(mine) do
      if takes(m[1], m[2], args) then return strike(m[1], call) end
    end
  end, exact = true }
end

-- }==========================================================================

local rules, seed, report = {}, 0, false
local words = { ... }
while #words > 0 do
  local arg = table.remove(words, 1)
  if arg == "--report" then
    report = true
  elseif arg == "--seed" and math.tointeger(words[1]) then
    seed = math.tointeger(table.remove(words, 1))
  else
    local rule, message = parsing.guarded(function(text) return check_condition(rule_of(text)) end, arg)
    if not rule then error(("fault.lua: '%s': %s"):format(arg, message:gsub("^line 1, ", "")), 0) end
    table.insert(rules, rule)
  end
end
if #rules == 0 then error("fault.lua: no rule: lencase run fault.lua write:error=ENOSPC:when=3 -- PROGRAM", 0) end
math.randomseed(seed)

local counts = {} -- for the report
for i, rule in ipairs(rules) do
  rule.count = { fitted = 0, taken = 0 }
  counts[i] = rule.count
end

local interface = { state = counts, merge = lencase.sum, on_exit = function()
  for _, rule in ipairs(report and rules or {}) do
    output:write(("fault: %s: %d matched, %d applied\n"):format(rule.text, rule.count.fitted, rule.count.taken))
  end
end }
for _, rule in ipairs(rules) do
  for nr in pairs(rule.numbers) do interface[nr] = interface[nr] or handler(nr, rules) end
end

return lencase.grate(interface)
