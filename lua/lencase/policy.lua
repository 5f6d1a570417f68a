-- policy.lua - what may happen to each argument of a call
--
-- A policy is one integer, encoded as core/lencase.h says: 4 bits an argument for the argument's
-- own policy, and from bit 24 on 4 bits an argument for the sets'.
--
-- People write it by name:  "copy pathname, pass buf count, once 2"
--
--   clause, clause ...      a clause is a verb and what it is for, one or more of
--   copy pass addr once       a parameter's name, its number (from 1),
--                             pointers (all that are pointers), all
--
-- An argument's own policy takes precedence over one for all.

local enum = require "lencase.calls.enum"
local parsing = require "lencase.parsing"

local fail = parsing.fail

local policy = {}

local MAXARGS = 6
local COPY, PASS, ADDR, ONCE = 1, 2, 4, 8
local CHOICES = COPY | PASS | ADDR
local SETS = 24 -- the first bit of the sets
local POINTERS, ALL = 1, 3 -- a set's policy for an argument

-- {================================= numbers ================================

local function at(bits, n)
  if math.type(n) ~= "integer" or n < 1 or n > MAXARGS then
    error(("expected the number of an argument, from 1 to %d, not %s"):format(MAXARGS, tostring(n)), 3)
  end
  return bits << 4 * (n - 1)
end

local function of_every_argument(bits)
  local mask = 0
  for n = 1, MAXARGS do mask = mask | at(bits, n) end
  return mask
end

--- The policies below are for argument `n`, counted from 1, and are combined by |, & and ~.
---@param n integer
---@return integer
function policy.COPY(n) return (at(COPY, n)) end

---@param n integer
---@return integer
function policy.PASS(n) return at(PASS, n) | at(ALL, n) << SETS end

---@param n integer
---@return integer
function policy.ADDR(n) return (at(ADDR, n)) end

---@param n integer
---@return integer
function policy.ONCE(n) return (at(ONCE, n)) end

policy.COPY_ALL_ARGS = 0
policy.PASS_THROUGH_POINTERS = of_every_argument(POINTERS) << SETS
policy.PASS_THROUGH_ALL = of_every_argument(ALL) << SETS

-- }==========================================================================

-- {================================ parameters ==============================

-- Of each place in a call: the names it has in the variants, and whether it is a pointer there.
local function places_of(signature)
  local places = {}
  for _, variant in ipairs(signature.variants) do
    for i, p in ipairs(variant.params) do
      places[i] = places[i] or { names = {}, pointer = false }
      table.insert(places[i].names, p.name)
      places[i].pointer = places[i].pointer or p.pointer or p.kind ~= nil and p.kind ~= enum.kind.INT
    end
  end
  return places
end

local function names_of(places)
  local names = { "all", "pointers" }
  for _, place in ipairs(places) do table.move(place.names, 1, #place.names, #names + 1, names) end
  return names
end

local function place_named(places, name)
  for i, place in ipairs(places) do
    for _, n in ipairs(place.names) do
      if n == name then return i end
    end
  end
end

-- }==========================================================================

-- {================================= parsing ================================

local function build(lpeg)
  local P, R, S = lpeg.P, lpeg.R, lpeg.S
  local C, Cg, Cp, Ct = lpeg.C, lpeg.Cg, lpeg.Cp, lpeg.Ct
  local space = S " \t\r\n" ^ 0
  local letter = R("az", "AZ") + "_"
  local word = C(letter * (letter + R "09") ^ 0)
  local number = C(R "09" ^ 1)

  local function token(p, what) return p * space + parsing.expected(what) end

  local verb_word = (P "copy" + "pass" + "addr" + "once") * -(letter + R "09")
  local verb = Cg(Cp(), "pos") * Cg(token(C(verb_word), "copy, pass, addr or once"), "verb")
  local no_verb = Ct(Cg(Cp(), "pos") * Cg(word - verb_word, "no_verb")) * P(1) ^ 0
  local target = Ct(Cg(Cp(), "pos") * token(Cg(word, "name") + Cg(number, "number"),
                                            "a parameter's name or number, pointers or all"))
  local clause = no_verb + Ct(verb * Cg(Ct(target ^ 1), "targets"))
  local comma = token(P ",", "','")
  return space * Ct(clause * (comma * clause) ^ 0) * (-P(1) + parsing.expected "the end")
end

local grammar = { name = "the policy", build = build }

local verbs = { "copy", "pass", "addr", "once" }
local policy_of_verb = { copy = policy.COPY, pass = policy.PASS, addr = policy.ADDR, once = policy.ONCE }

-- A verb for all arguments, or all pointers, is a set: an argument's own policy takes precedence.
local sets = {
  ["copy all"] = policy.COPY_ALL_ARGS,
  ["pass all"] = policy.PASS_THROUGH_ALL,
  ["pass pointers"] = policy.PASS_THROUGH_POINTERS,
}

-- A clause that does not begin with a verb.
local function check_verb(node, places)
  if not node.no_verb then return end
  local help = parsing.did_you_mean(node.no_verb, verbs)
  if place_named(places, node.no_verb) then help = "; the names after a verb have spaces between them" end
  fail(node.pos, "expected copy, pass, addr or once, found '%s'%s", node.no_verb, help)
end

-- The place that a name or number means; nil for "all" and "pointers".
local function place_of(node, places, signature)
  if node.name == "all" or node.name == "pointers" then return nil end
  local n = math.tointeger(tonumber(node.number))
  if n and n >= 1 and n <= #places then return n end
  if node.number then fail(node.pos, "%s has no argument %s: it has %d", signature.name, node.number, #places) end
  local place = place_named(places, node.name)
  if place then return place end
  if policy_of_verb[node.name] then fail(node.pos, "a ',' is missing before '%s'", node.name) end
  fail(node.pos, "%s has no parameter '%s'%s", signature.name, node.name,
       parsing.did_you_mean(node.name, names_of(places)))
end

-- Adds a verb for one argument to a mask, unless the two contradict each other.
local function add(mask, verb_, place, node)
  local bits = policy_of_verb[verb_](place)
  local choices = (mask | bits) >> 4 * (place - 1) & CHOICES
  if choices & choices - 1 ~= 0 then fail(node.pos, "the policy of argument %d contradicts itself", place) end
  return mask | bits
end

local function check_address(node, places, place)
  if not places[place].pointer then
    fail(node.pos, "argument %d (%s) is an integer: it has no address", place, places[place].names[1])
  end
end

local function add_every(mask, verb_, node, places)
  local set = sets[verb_ .. " " .. node.name]
  if set then return mask | set end
  local only_pointers = node.name == "pointers" or verb_ == "addr"
  for i, place in ipairs(places) do
    if place.pointer or not only_pointers then mask = add(mask, verb_, i, node) end
  end
  return mask
end

local function add_clause(mask, node, places, signature)
  check_verb(node, places)
  for _, t in ipairs(node.targets) do
    local place = place_of(t, places, signature)
    if not place then
      mask = add_every(mask, node.verb, t, places)
    else
      if node.verb == "addr" then check_address(t, places, place) end
      mask = add(mask, node.verb, place, t)
    end
  end
  return mask
end

local function parse(text, signature)
  local mask, places = 0, places_of(signature)
  for _, node in ipairs(parsing.match(grammar, text)) do mask = add_clause(mask, node, places, signature) end
  return mask
end

--- The policy that a text says for calls with that signature (of calls/prototype.lua, or as
--- core.describe gives it).
---@param text string
---@param signature table
---@return integer? policy
---@return string? message with the column
function policy.parse(text, signature) return parsing.guarded(parse, text, signature) end

-- }==========================================================================

-- {================================ formatting ==============================

local verb_of_choice = { [COPY] = "copy", [PASS] = "pass", [ADDR] = "addr" }

-- A mask's policy for argument i: its own choice (0: none), ONCE or not, and the set it is in.
local function said_of(mask, i)
  local own, set = mask >> 4 * (i - 1) & 15, mask >> SETS + 4 * (i - 1) & ALL
  return own & CHOICES, own & ONCE ~= 0, set > POINTERS and ALL or set
end

--- What a handler sees of argument i: "copy", "pass" or "addr".
---@param mask integer
---@param i integer counted from 1
---@param pointer boolean whether the argument is one
---@return string
function policy.shown(mask, i, pointer)
  local choice, _, set = said_of(mask, i)
  if choice ~= 0 then return verb_of_choice[choice] end
  return (set == ALL or set == POINTERS and pointer) and "pass" or "copy"
end

-- The set that all arguments without a choice of their own are in; of several the one that passes least.
local function base_of(mask, count)
  local base
  for i = 1, count do
    local choice, _, set = said_of(mask, i)
    if choice == 0 then base = math.min(base or ALL, set) end
  end
  return base or 0
end

local base_names = { [0] = "copy all", [POINTERS] = "pass pointers", [ALL] = "pass all" }

-- The verb that argument i needs in addition to the base.
local function verb_beyond(mask, i, base, place)
  local choice, _, set = said_of(mask, i)
  if choice ~= 0 then return verb_of_choice[choice] end
  if set ~= base and (set == ALL or place.pointer) then return "pass" end
end

local function clause_of(verb_, mask, places, base)
  local out = {}
  for i, place in ipairs(places) do
    local _, once = said_of(mask, i)
    if verb_beyond(mask, i, base, place) == verb_ or verb_ == "once" and once then out[#out + 1] = place.names[1] end
  end
  return #out > 0 and verb_ .. " " .. table.concat(out, " ") or nil
end

--- A policy as policy.parse() reads it; policies of arguments that the call does not have are left out.
---@param mask integer
---@param signature table
---@return string
function policy.format(mask, signature)
  local places = places_of(signature)
  local base = base_of(mask, #places)
  local clauses = {}
  if base ~= 0 then clauses[1] = base_names[base] end
  for _, v in ipairs(verbs) do clauses[#clauses + 1] = clause_of(v, mask, places, base) end
  return #clauses > 0 and table.concat(clauses, ", ") or base_names[base]
end

-- }==========================================================================

return policy
