#!/usr/bin/env lua5.4
-- gen-signatures.lua - prints core/signature_data.c: lua/lencase/calls/data.lua as C tables
--
--   lua5.4 scripts/gen-signatures.lua > core/signature_data.c
--
-- The same input gives the same output, byte for byte: 'make check' compares.

local here = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = here .. "/../lua/?.lua;" .. package.path

local enum = require "lencase.calls.enum"
local signatures = require "lencase.calls.signatures"

local KIND, FIELD, SIZE = enum.kind, enum.field, enum.size

-- {================================ C's words ===============================

-- The C name of an enum's value: "SIG_" with "BYTES".
local function enumerator(prefix, kind, value)
  for name, number in pairs(enum[kind]) do
    if number == value then return prefix .. name end
  end
  error(("no %s has the value %s"):format(kind, value))
end

local function quoted(s) return '"' .. s:gsub('[\\"]', "\\%0") .. '"' end

local function hex(n) return ("0x%xu"):format(n) end

-- A designated initialiser of the members that are not zero, in the order given.
local function initialiser(members)
  local out = {}
  for _, m in ipairs(members) do
    if m[2] and m[2] ~= 0 then out[#out + 1] = ("." .. m[1] .. " = " .. m[2]) end
  end
  return "{" .. table.concat(out, ", ") .. "}"
end

local function emit(fmt, ...) io.write(fmt:format(...), "\n") end

local function emit_table(type, name, rows)
  emit("static const struct %s %s[] = {", type, name)
  for _, row in ipairs(rows) do emit("  %s,", row) end
  emit "};\n"
end

-- }==========================================================================

-- {================================= records ================================

local record_names = {} -- what a record holds -> its C name
local names_taken = {}

-- "record_struct_stat"; a second record of that name has a number.
local function fresh_name(prefix, text)
  local name = prefix .. text:gsub("%*", "ptr"):gsub("[^%w]+", "_")
  local n = (names_taken[name] or 0) + 1
  names_taken[name] = n
  return n == 1 and name or name .. "_" .. n
end

local record_name

local function field_row(f)
  return initialiser {
    { "name", quoted(f.name) }, { "offset", f.offset }, { "count", f.count }, { "width", f.width },
    { "kind", enumerator("FIELD_", "field", f.kind) },
    { "record", f.kind == FIELD.RECORD and "&" .. record_name(f.record) },
  }
end

-- The C name of a record, which is printed when it is met for the first time.
function record_name(record)
  local rows = {}
  for i, f in ipairs(record.fields) do rows[i] = field_row(f) end
  local key = record.name .. record.size .. table.concat(rows)
  if record_names[key] then return record_names[key] end
  local name = fresh_name("record_", record.name)
  record_names[key] = name
  emit_table("sig_field", name .. "_fields", rows)
  emit("static const struct sig_record %s = {%s, %d, %d, %s_fields};\n", name, quoted(record.name), record.size,
       #record.fields, name)
  return name
end

-- }==========================================================================

-- {=============================== parameters ===============================

local function is_sized(p)
  return p.kind == KIND.BYTES or p.kind == KIND.RECORDS or p.kind == KIND.IOVEC
end

local function is_out(p) return p.dir & enum.dir.OUT ~= 0 end

local function param_row(p)
  local sized = is_sized(p)
  return initialiser {
    { "name", quoted(p.name) }, { "ctype", quoted(p.ctype) },
    { "kind", enumerator("SIG_", "kind", p.kind) },
    { "dir", p.dir ~= 0 and enumerator("SIG_", "dir", p.dir) or nil },
    { "width", p.width }, { "is_signed", p.is_signed }, { "nullable", p.nullable },
    { "size", sized and enumerator("SIZE_", "size", p.size) or nil },
    { "size_arg", (p.size == SIZE.ARG or p.size == SIZE.DEREF) and p.size_arg or nil },
    { "filled", is_out(p) and enumerator("FILLED_", "filled", p.filled) or nil },
    { "elem", p.elem }, { "count", p.count },
    { "record", p.record and "&" .. record_name(p.record) },
  }
end

local function rows_of(params)
  local rows = {}
  for i, p in ipairs(params) do rows[i] = param_row(p) end
  return rows
end

-- The key of an array of so many of these rows.
local function rows_key(rows, n) return table.concat(rows, "\n", 1, n) end

local param_tables = {} -- rows_key -> C name; a table serves for its own first rows too

local function emit_params(sig, params)
  local rows = rows_of(params)
  if #rows == 0 or param_tables[rows_key(rows, #rows)] then return end
  local name = fresh_name("params_", sig.name)
  emit_table("sig_param", name, rows)
  for n = 1, #rows do
    local key = rows_key(rows, n)
    param_tables[key] = param_tables[key] or name
  end
end

-- The longest first, so that the shorter ones are found in them.
local function emit_all_params(list)
  local all = {}
  for place, sig in ipairs(list) do
    for _, v in ipairs(sig.variants) do table.insert(all, { sig = sig, params = v.params, place = place }) end
  end
  for length = 6, 1, -1 do
    for _, entry in ipairs(all) do
      if #entry.params == length then emit_params(entry.sig, entry.params) end
    end
  end
end

local function params_name(params)
  if #params == 0 then return "NULL" end
  local rows = rows_of(params)
  return param_tables[rows_key(rows, #rows)]
end

-- }==========================================================================

-- {============================ signatures, folds ===========================

local function test(t)
  if t.op == enum.test.ALWAYS then return nil end
  return initialiser {
    { "op", enumerator("TEST_", "test", t.op) }, { "arg", t.arg }, { "mask", hex(t.mask) },
    { "value", t.value ~= 0 and hex(t.value) or nil },
  }
end

local function variant_row(v)
  return initialiser {
    { "when", test(v.when) }, { "nparams", #v.params }, { "unknown", v.unknown }, { "params", params_name(v.params) },
  }
end

local variant_tables = {} -- the rows -> C name

-- The C name of the table of a signature's variants.
local function emit_variants(sig)
  local rows = {}
  for i, v in ipairs(sig.variants) do rows[i] = variant_row(v) end
  local key = table.concat(rows, "\n")
  if not variant_tables[key] then
    variant_tables[key] = fresh_name("variants_", sig.name)
    emit_table("sig_variant", variant_tables[key], rows)
  end
  return variant_tables[key]
end

local function flags(sig)
  local out = {}
  for _, name in ipairs { "NORETURN", "ADDRESS" } do
    if sig.flags & enum.flag[name] ~= 0 then out[#out + 1] = "SIGF_" .. name end
  end
  return #out > 0 and table.concat(out, " | ") or nil
end

local function signature_row(sig)
  return initialiser {
    { "name", quoted(sig.name) }, { "prototype", quoted(sig.prototype) }, { "nr", sig.nr }, { "flags", flags(sig) },
    { "nvariants", #sig.variants }, { "variants", sig.variants_name },
    { "narrow", sig.narrow_name ~= sig.variants_name and sig.narrow_name },
  }
end

local function fold_param_row(p)
  return initialiser {
    { "from", enumerator("FOLD_", "fold", p.from) }, { "arg", p.arg }, { "dir_arg", p.dir_arg },
    { "value", p.value ~= 0 and hex(p.value) or nil },
  }
end

local function fold_row(f)
  local params = {}
  for i, p in ipairs(f.params) do params[i] = fold_param_row(p) end
  return initialiser {
    { "member", f.member }, { "family", f.family }, { "when", test(f.when) },
    { "nparams", f.nparams }, { "params", "{" .. table.concat(params, ", ") .. "}" },
  }
end

-- Calls that the headers of Debian 12 (Linux 6.1) do not have yet.
local FIRST_NEW = 451
local FIRST_THREEI = 1001 -- Lind's numbers: lencase.h has them

-- The numbers are data.lua's; the kernel's headers (of 3i: lencase.h) must agree.
local function emit_assertions(list)
  emit "#ifdef __x86_64__"
  for _, sig in ipairs(list) do
    local check = ("_Static_assert(__NR_%s == %d, \"callnum of %s\");"):format(sig.name, sig.nr, sig.name)
    if sig.nr >= FIRST_THREEI then
      check = ("_Static_assert(LENCASE_%s == %d, \"callnum of %s\");"):format(sig.name:upper(), sig.nr, sig.name)
    elseif sig.nr >= FIRST_NEW then check = ("#ifdef __NR_%s\n%s\n#endif"):format(sig.name, check)
    end
    emit("%s", check)
  end
  emit "#endif"
end

local function emit_exported(type, name, rows)
  emit("\nconst struct %s %s[] = {", type, name)
  for _, row in ipairs(rows) do emit("  %s,", row) end
  emit("};\nconst size_t %s_size = sizeof %s / sizeof *%s;", name, name, name)
end

-- }==========================================================================

local function map(list, f)
  local out = {}
  for i, v in ipairs(list) do out[i] = f(v) end
  return out
end

local list, narrow = signatures.list(), signatures.list "ilp32"
emit [[
/*
** signature_data.c - the signatures of lua/lencase/calls/data.lua as C tables
**
** Generated by scripts/gen-signatures.lua: change data.lua and run 'make generate'.
*/

#include "signature.h"

#ifdef __x86_64__
#include <sys/syscall.h>
#endif

/* clang-format off */
]]
emit_all_params(list)
emit_all_params(narrow)
for i, sig in ipairs(list) do
  sig.variants_name = emit_variants(sig)
  sig.narrow_name = emit_variants(narrow[i])
end
emit_assertions(list)
emit_exported("signature", "sig_table", map(list, signature_row))
emit_exported("sig_fold", "sig_folds", map(signatures.folds(), fold_row))
emit "\n/* clang-format on */"
