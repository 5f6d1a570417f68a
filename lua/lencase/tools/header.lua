-- header.lua - a script's interface as a table for C handlers: lencase compile --header
--
-- A handler in C gets a call's arguments as C declares them, by a prototype of its own: one that counts
-- or types them otherwise does not compile. What the policy does not copy is an address (uint64_t) and
-- no pointer, so that a handler cannot look at what was never copied.

local compile = require "lencase.tools.compile"
local core = require "lencase.core"
local policy = require "lencase.policy"

local header = {}

local SYS_MAX = 334 -- numbers up to here have names in every <sys/syscall.h>

-- {================================= policies ===============================

local SETS, ALL = 24, 3
local bases = {
  { "LENCASE_COPY_ALL_ARGS", 0 }, { "LENCASE_PASS_THROUGH_POINTERS", 1 }, { "LENCASE_PASS_THROUGH_ALL", ALL },
}
local choices = { [1] = "LENCASE_COPY(%d)", [4] = "LENCASE_ADDR(%d)", [8] = "LENCASE_ONCE(%d)" }

-- The terms that argument n needs beyond the base.
local function said_of(parts, mask, base, n)
  local own, set = mask >> 4 * (n - 1) & 15, mask >> SETS + 4 * (n - 1) & 15
  for bit, text in pairs(choices) do
    if own & bit ~= 0 then table.insert(parts, text:format(n)) end
  end
  if own & 2 ~= 0 then
    table.insert(parts, (set & ALL == ALL and "LENCASE_PASS(%d)" or "LENCASE_P_AT(LENCASE_P_PASS, %d)"):format(n))
    set = set & ~ALL
  end
  if set & ~base ~= 0 then table.insert(parts, ("LENCASE_P_SET_AT(%du, %d)"):format(set & ~base, n)) end
end

-- Whether a base sets nothing that the policy does not.
local function fits(mask, base)
  for n = 1, 6 do
    if mask >> SETS + 4 * (n - 1) & base ~= base then return false end
  end
  return true
end

--- A policy as an expression of lencase.h's constants.
---@param mask integer
---@return string
function header.policy(mask)
  local best
  for _, base in ipairs(bases) do
    local parts = {}
    for n = 1, 6 do said_of(parts, mask, base[2], n) end
    if base[2] ~= 0 or #parts == 0 then table.insert(parts, 1, base[1]) end
    if fits(mask, base[2]) and (not best or #parts < #best) then best = parts end
  end
  return table.concat(best, " | ")
end

-- }==========================================================================

-- {================================ parameters ==============================

-- Types that <sys/types.h> and C have: their bytes, signed or not.
local known_types = {
  int = "4s", ["unsigned int"] = "4u", long = "8s", ["unsigned long"] = "8u", size_t = "8u", ssize_t = "8s",
  off_t = "8s", mode_t = "4u", pid_t = "4s", uid_t = "4u", gid_t = "4u", dev_t = "8u", id_t = "4u", key_t = "4s",
  clockid_t = "4s",
}

local ADDRESS = "uint64_t"
local pointers = { string = "const char *", bytes = "const void *", records = "const void *" }

local function integer_type(p)
  local form = p.width .. (p.signed and "s" or "u")
  if known_types[p.ctype] == form then return p.ctype end
  return ("%sint%d_t"):format(p.signed and "" or "u", 8 * p.width)
end

-- The C type of a parameter in one variant, with the policy `mask`.
local function type_of(p, mask, place)
  if p.kind == "int" and p.width > 0 then return integer_type(p) end
  if not p.pointer or policy.shown(mask, place, true) ~= "copy" then return ADDRESS end
  return p.dir ~= "out" and pointers[p.kind] or ADDRESS
end

local reserved = { call = true, event = true, ud = true, unix = true, linux = true }

-- { { name =, type = }, ... }: where variants differ the handler gets the word.
local function parameters_of(described, mask)
  local list = {}
  for _, variant in ipairs(described.variants) do
    for i, p in ipairs(variant.params) do
      local type, name = type_of(p, mask, i), reserved[p.name] and p.name .. "_" or p.name
      list[i] = list[i] or { name = name, type = type }
      if list[i].type ~= type then list[i].type = ADDRESS end
      if list[i].name ~= name then list[i].name = "arg" .. i end
    end
  end
  return list
end

local function declared(p) return p.type .. (p.type:find "%*$" and "" or " ") .. p.name end

local function value_of(p, i)
  if p.type:find "%*$" then return ("NAME_bytes(call, %d)"):format(i) end
  local word = ("lencase_call_word(call, %d)"):format(i)
  return p.type == ADDRESS and word or ("(%s)%s"):format(p.type, word)
end

-- }==========================================================================

-- {================================== entries ===============================

local function fail(e, fmt, ...) error(e.where .. ": " .. fmt:format(...), 0) end

local function unknown_description(name)
  local params = {}
  for i = 1, 6 do params[i] = { name = "arg" .. i, pointer = false } end
  return { name = name, prototype = name .. ": six integers", variants = { { params = params } } }
end

-- A call whose signature C does not know has six integers, regardless of the script's prototype.
local function policy_of(e, nr)
  if e.signature or not core.describe(nr) then return policy.COPY_ALL_ARGS end
  if nr == e.nr then return e.policy end
  local mask = core.member_policy(nr, e.nr, e.policy)
  for n = 1, 6 do
    if mask >> 4 * (n - 1) & 2 ~= 0 then mask = mask | policy.PASS(n) end -- the same, in other words
  end
  return mask
end

local function without_pointers(described)
  for _, variant in ipairs(described.variants) do
    for _, p in ipairs(variant.params) do p.pointer = false end
  end
  return described
end

local function new_row(e, nr)
  local described = core.describe(nr) or e.signature and without_pointers(core.describe(e.signature))
                    or unknown_description(e.name)
  local row = { nr = nr, name = described.name:gsub("[^%w_]", "_"), constant = e.constant, policy = policy_of(e, nr) }
  row.described, row.of = described, nr ~= e.nr and e.name or nil
  row.partly = row.of and select(2, core.members(e.nr))[nr]
  row.params = parameters_of(described, row.policy)
  return row
end

-- Calls of a number in several families: a table in C has one handler for it.
local function check_single(entries)
  local a, b = entries[1], entries[2]
  if b then fail(b, "'%s' and '%s' have calls in common: give one exact = true", a.name, b.name) end
end

local function check_interface(interface, script)
  for _, name in ipairs { "provide", "uses" } do
    if interface.options[name] then
      error(("%s: a layer (%s) cannot be written as a table: leave it out"):format(script, name), 0)
    end
  end
  for _, e in ipairs(interface.entries) do
    if e.contract then fail(e, "%s: contracts are not checked for C handlers: leave it out", e.name) end
  end
  if #interface.entries == 0 then error(script .. ": it handles nothing", 0) end
end

local function rows_of(interface)
  local numbers, rows = {}, {}
  for nr in pairs(interface.routes) do table.insert(numbers, nr) end
  table.sort(numbers)
  for i, nr in ipairs(numbers) do
    check_single(interface.routes[nr])
    rows[i] = new_row(interface.routes[nr][1], nr)
  end
  return rows
end

-- }==========================================================================

-- {=================================== text =================================

local HEAD = [[
/*
** %s: the interface of a grate in C, written by 'lencase compile --header' (lencase %s)
**
** Define the functions that are declared here, in a file that includes this one, and put the grate
** into a state with NAME_new(st, ud, &grate). They are handlers as lencase.h says (lencase_handler):
** called for each event of a call, with its arguments in C's types. A pointer refers to the bytes
** that were copied (lencase_call_bytes says how many), and is NULL if the cage's is or if none were;
** an argument that is not copied, or that the call fills, is the address in the cage.
*/

#ifndef %s
#define %s

#include <errno.h>
#include <lencase.h>
#include <sys/syscall.h>
#include <sys/types.h>

_Static_assert(LENCASE_VERSION_NUM == %d, "written by lencase %s: compile it again");

static inline const void *NAME_bytes(const lencase_call *call, int n) {
  size_t size;
  return lencase_call_bytes(call, n, &size);
}

/* For a handler to return: the call has this result (-EPERM), and no other. */
static inline lencase_verdict NAME_answer(lencase_call *call, int64_t result) {
  lencase_call_answer(call, result);
  return LENCASE_VERDICT_DONE;
}
]]

local TAIL = [[
static inline int NAME_new(lencase_state *st, void *ud, lencase_grate **out) {
  const lencase_interface interface = {.name = %s,
                                       .entries = NAME_entries,
                                       .nentries = sizeof NAME_entries / sizeof NAME_entries[0],
                                       .flags = %s,
                                       .ud = ud};
  return lencase_grate_new(st, &interface, out);
}

#endif
]]

local WIDTH = 100

-- The words one after the other, on as many lines as it takes; `indent` is for all but the first.
local function filled(words, indent)
  local lines, line = {}, nil
  for _, word in ipairs(words) do
    if line and #line + 1 + #word > WIDTH then
      table.insert(lines, line)
      line = nil
    end
    line = line and line .. " " .. word or (#lines > 0 and indent or "") .. word
  end
  table.insert(lines, line)
  return table.concat(lines, "\n")
end

-- "head(a, b, c)tail", on several lines where one is too long.
local function listed(head, items, tail)
  local words = {}
  for i, item in ipairs(items) do words[i] = item .. (i < #items and "," or ")" .. tail) end
  words[1] = head .. "(" .. words[1]
  return filled(words, head:match "^%s*" .. "    ")
end

local function callnum_text(row)
  local is_sys = row.nr <= SYS_MAX and core.callnum(row.described.name) == row.nr
  return is_sys and "SYS_" .. row.described.name or tostring(row.nr), is_sys
end

-- Parameters that some variants of the call have and others have not.
local function absent_text(row)
  local least, names = #row.params, {}
  for _, variant in ipairs(row.described.variants) do least = math.min(least, #variant.params) end
  for i = least + 1, #row.params do table.insert(names, row.params[i].name) end
  return #names > 0 and table.concat(names, ", ") .. ": not in every call."
end

-- What the handler is for, as a comment.
local function heading(row)
  local parts = { (row.described.prototype:gsub("/%*%s*(.-)%s*%*/", "[%1]")) }
  if row.of then
    table.insert(parts, (row.partly and "Some of its calls are of" or "Of") .. " the family of '" .. row.of .. "'.")
  end
  table.insert(parts, absent_text(row) or nil)
  local words = { "/*" }
  for word in compile.commented(table.concat(parts, " ")):gmatch "%S+" do table.insert(words, word) end
  table.insert(words, "*/")
  return filled(words, "** ")
end

local function handler_text(row)
  local params = { "lencase_call *call", "lencase_event event", "void *ud" }
  local values = { "call", "event", "ud" }
  for i, p in ipairs(row.params) do
    table.insert(params, declared(p))
    table.insert(values, value_of(p, i))
  end
  return table.concat({
    heading(row),
    listed("lencase_verdict NAME_" .. row.name, params, ";"), "",
    listed("static inline lencase_verdict NAME_" .. row.name .. "_typed",
           { "lencase_call *call", "lencase_event event", "void *ud" }, " {"),
    listed("  return NAME_" .. row.name, values, ";"), "}", "",
  }, "\n")
end

local function errno_text(constant)
  for name, number in pairs(core.errnos()) do
    if number == -constant then return "-" .. name end
  end
  return tostring(constant)
end

local function entry_text(row)
  local nr = callnum_text(row)
  if row.constant then return ("    {.callnum = %s, .constant = %s},"):format(nr, errno_text(row.constant)) end
  return ("    {.callnum = %s,\n     .policy = %s,\n     .handler = NAME_%s_typed},"):format(
    nr, header.policy(row.policy), row.name)
end

local function checks_text(rows)
  local out = {}
  for _, row in ipairs(rows) do
    local nr, is_sys = callnum_text(row)
    if is_sys then
      table.insert(out, ('_Static_assert(%s == %d, "written for x86-64: %s has another number here");'):format(
        nr, row.nr, row.name))
    end
  end
  return table.concat(out, "\n")
end

local function version_number()
  local major, minor, patch = core.version:match "^(%d+)%.(%d+)%.(%d+)$"
  return major * 10000 + minor * 100 + patch
end

--- The text of a header.
---@param options lencase.compile.options
---@return string
function header.to_h(options)
  local interface = compile.run(options)
  check_interface(interface, options.script)
  local name, rows = options.name or compile.name_of(options.script), rows_of(interface)
  local guard = name:upper() .. "_INTERFACE_H"
  local out = { (HEAD:format(compile.commented(options.script), core.version, guard, guard, version_number(),
                             core.version)) }
  for _, row in ipairs(rows) do
    if not row.constant then table.insert(out, handler_text(row)) end
  end
  table.insert(out, checks_text(rows) .. "\n")
  table.insert(out, "static const lencase_entry NAME_entries[] = {")
  for _, row in ipairs(rows) do table.insert(out, entry_text(row)) end
  table.insert(out, "};\n")
  local flags = interface.options.registered == false and "LENCASE_UNREGISTERED" or "0"
  table.insert(out, (TAIL:format(compile.quoted(name), flags)))
  return (table.concat(out, "\n"):gsub("%f[%w_]NAME_", name .. "_"))
end

-- }==========================================================================

return header
