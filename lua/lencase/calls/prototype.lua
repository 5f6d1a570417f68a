-- prototype.lua - signatures from prototypes and records from structs, as C writes them
--
-- A prototype is written as the SYNOPSIS of a manual page has it:
--
--   ssize_t write(int fd, const void buf[.count], size_t count);
--
-- What it says about a parameter:
--
--   int fd                    an integer
--   const char *path          a string
--   char *const argv[]        a NULL-terminated array of strings
--   const T *p                one T, in;  without const: one T, out
--   T p[3]                    three of them
--   T p[.n]                   as many as argument n says; an out one is filled as far as the
--                             result says
--   T p[*len]                 as many as the 32-bit integer says that argument len points to
--                             (socklen_t *addrlen), which then is in and out
--   T p[->f]                  one struct, as many bytes of it as the 32-bit integer says that is its field f
--   struct iovec iov[.n]      the bytes that n iovecs point to: const in, else out
--   void *p, char *p, T *p    with T void, char or a struct of unknown form: an address
--   _Nullable                 NULL is fine; in an array it is written in the brackets
--   ... /* mode_t mode */     further arguments; without the comment: unknown ones
--   [[noreturn]]              the call does not return
--
-- void, char, and structs of unknown form ("struct sockaddr") are counted in bytes. A struct that
-- the kernel's headers do not have is declared before the prototype, in the same text.
-- What C cannot say is said in a comment before the parameter, one or more of
--
--   /* in */ /* out */ /* inout */   the direction, regardless of const
--   /* whole */                      an out one is filled whole, regardless of the result
--   /* addr */                       nothing is moved: it is an address
--   /* sized */ const T p[.n]        one struct of n bytes, which may be longer than lencase knows it
--   /* nul */ const char s[16]       a string, of which at most so many bytes are read
--
-- A signature is a plain table with the names and numbers of core/signature.h.

local lpeg = require "lpeg"
local calls = require "lencase.calls.data"
local ctype = require "lencase.calls.ctype"
local enum = require "lencase.calls.enum"
local parsing = require "lencase.parsing"

local P, R, S, V = lpeg.P, lpeg.R, lpeg.S, lpeg.V
local C, Cc, Cg, Cp, Ct = lpeg.C, lpeg.Cc, lpeg.Cg, lpeg.Cp, lpeg.Ct

local KIND, DIR, SIZE, FILLED, TEST, FLAG = enum.kind, enum.dir, enum.size, enum.filled, enum.test, enum.flag
local expected, fail, guarded = parsing.expected, parsing.fail, parsing.guarded

local MAXARGS = 6

local prototype = {}

-- {================================ grammar =================================

local space = S " \t\r\n" ^ 0
local letter = R("az", "AZ") + "_"
local alnum = letter + R "09"

local function word(w) return P(w) * -alnum end

local function any_word(list)
  local p = P(false)
  for w in list:gmatch "%S+" do p = p + word(w) end
  return p
end

local comment = "/*" * (1 - P "*/") ^ 0 * "*/"
local note = "/*" * space
           * Ct((C(any_word "in out inout whole addr sized nul") * space * P "," ^ -1 * space) ^ 1) * "*/" * space
local blank = (S " \t\r\n" + (comment - note)) ^ 0

-- A token and what separates it from the next one.
local function token(p, what) return p * blank + expected(what) end
local function sign(s) return token(P(s), "'" .. s .. "'") end
local function eof(what) return -P(1) + expected(what) end

local qualifier_word = any_word "const volatile restrict __restrict __restrict__ _Nullable _Nonnull"
local integer_word = any_word "unsigned signed char short int long void _Bool bool"
local reserved = qualifier_word + integer_word + any_word "struct union typedef enum"
local plain_name = C(letter * alnum ^ 0 - reserved)

local function name(what) return token(plain_name, what) end

local number = P "0" * S "xX" * R("09", "af", "AF") ^ 1 / tonumber
             + P "0" * R "07" ^ 1 / function(s) return tonumber(s, 8) end
             + R "09" ^ 1 / tonumber

-- C allows the words of an integer type in any order: sorted words -> the type's name.
local integer_types = {
  ["char"] = "char", ["char signed"] = "signed char", ["char unsigned"] = "unsigned char",
  ["short"] = "short", ["int short"] = "short",
  ["short unsigned"] = "unsigned short", ["int short unsigned"] = "unsigned short",
  ["int"] = "int", ["signed"] = "int", ["int signed"] = "int",
  ["unsigned"] = "unsigned int", ["int unsigned"] = "unsigned int",
  ["long"] = "long", ["int long"] = "long", ["long signed"] = "long",
  ["long unsigned"] = "unsigned long", ["int long unsigned"] = "unsigned long",
  ["long long"] = "long long", ["int long long"] = "long long",
  ["long long unsigned"] = "unsigned long long", ["int long long unsigned"] = "unsigned long long",
  ["void"] = "void", ["_Bool"] = "bool", ["bool"] = "bool",
}

local function integer_type(list)
  local written = table.concat(list, " ")
  table.sort(list)
  return integer_types[table.concat(list, " ")] or written
end

local function join(list) return table.concat(list, " ") end

local qualifiers = Ct((C(qualifier_word) * blank) ^ 0)
local struct_name = Ct(C(any_word "struct union") * blank * name "the struct's name") / join
local type_name = struct_name + token(Ct((C(integer_word) * blank) ^ 1) / integer_type + plain_name, "a type")
local specifiers = Cg(qualifiers, "quals") * Cg(Cp(), "type_pos") * Cg(type_name, "type")
                 * Cg(qualifiers, "more_quals")
local stars = Cg(Ct(("*" * blank * qualifiers) ^ 0), "stars")

local function sized(from, named) return Cg(Cc(from), "from") * Cg(named, "name") end

local size = "." * blank * sized("ARG", name "a parameter's name")
           + "*" * blank * sized("DEREF", name "a parameter's name")
           + "->" * blank * sized("FIELD", name "a field's name")
           + Cg(Cc "FIXED", "from") * Cg(number, "count") * blank
           + sized("bare", plain_name) * blank
local array = "[" * blank * Ct(Cg(qualifiers, "quals") * Cg(Cp(), "pos") * size ^ -1) * sign "]"

local function declarator(what)
  return stars * Cg(Cp(), "name_pos") * Cg(name(what), "name") * Cg(Ct(array ^ 0), "arrays")
end

-- A comment where a note could stand is kept for the message that it is not one.
local parameter = Ct(Cg(Cp(), "pos") * Cg(parsing.text(), "text")
                     * (Cg(note, "note") + Cg(C(comment), "comment") * blank) ^ -1
                     * Cg(Cp(), "start") * specifiers * declarator "the parameter's name" * Cg(Cp(), "stop"))
local list = Ct(parameter * (P "," * space * -P "..." * parameter) ^ 0)
local rest = Cg(Cp(), "rest_pos") * "..." * space
           * ("/*" * blank * Cg(list, "rest") * "*/" + Cg(Cc(true), "unknown") * comment ^ -1) * blank
local none = Cg(Ct(true), "params")
local parameters = word "void" * blank * #P ")" * none
                 + #P ")" * none
                 + rest * none
                 + Cg(list, "params") * ("," * space * rest) ^ -1

local attribute = ("[[" * space * "noreturn" * space * "]]" + word "_Noreturn") * blank * Cg(Cc(true), "noreturn")
                + word "extern" * blank

-- "write(" or, for a call without a function of its own, "syscall(SYS_gettid, ".
local call = word "syscall" * blank * "(" * space * "SYS_" * Cg(plain_name, "name") * space * (P "," * space) ^ -1
           + Cg(name "the call's name", "name") * (P "(" * space + expected "'('")

local field = Ct(declarator "the field's name")
local fields = field * (P "," * blank * field) ^ 0 * (expected "','" + P(true))
local packed = word "__attribute__" * blank * "((" * blank * word "packed" * blank * "))" * blank
             * Cg(Cc(true), "packed")

local rules = {
  declaration = Ct(Cg(Cp(), "pos") * (V "typedef" + V "body" + Cg(struct_name, "opaque")) * sign ";"),
  typedef = word "typedef" * blank * (Cg(Ct(V "body"), "body") + specifiers) * stars
          * Cg(name "the type's name", "typedef"),
  body = Cg(Cp(), "pos") * Cg(C(any_word "struct union"), "keyword") * blank * Cg(plain_name * blank, "tag") ^ -1
       * "{" * blank * Cg(Ct(V "member" ^ 1), "members") * sign "}" * packed ^ -1,
  member = Ct((Cg(Ct(V "body"), "body") * Cg(Ct(fields ^ -1), "names") + specifiers * Cg(Ct(fields), "names"))
              * sign ";"),
  declarations = blank * Ct(V "declaration" ^ 0) * eof "'typedef' or 'struct'",
  signature = blank * Ct(Cg(Ct(V "declaration" ^ 0), "declared") * Cg(Cp(), "pos") * attribute ^ 0
                         * Cg(Ct(specifiers * stars), "result") * call * parameters * (expected "','" + sign ")"))
            * sign ";" ^ -1 * eof "the end",
  tail = space * (list + Ct(space)) * (expected "','" + eof "the end"), -- what a variant has for "..."
}

local function grammar_from(rule)
  local grammar = { rule }
  for n, pattern in pairs(rules) do grammar[n] = pattern end
  return P(grammar)
end

local signature_grammar, tail_grammar = grammar_from "signature", grammar_from "tail"
local declarations_grammar = grammar_from "declarations"

-- What people write there, and what to write instead.
local hints = {
  { "^%(%s*%*", "a pointer to a function is written as void *name" },
  { "^/%*", "a note like /* out */ comes before its parameter" },
  { "^[-+*/<>]", "a size is a number, .name or *name, without arithmetic" },
  { "^#", "leave out the #include lines" },
  { "^enum%f[^%w_]", "write int for an enum" },
}

local function hint(text)
  for _, h in ipairs(hints) do
    if text:find(h[1]) then return "; " .. h[2] end
  end
  return ""
end

local function match(grammar, text) return parsing.match(grammar, text, hint) end

-- }==========================================================================

-- {=============================== environments =============================

--- An environment with the types of C itself.
---@param model? "lp64"|"ilp32"
---@return lencase.env
function prototype.bare_env(model) return ctype.bare_env(model) end

local function declare(text, env)
  ctype.declare(env, match(declarations_grammar, text))
  return env
end

--- Adds typedefs and structs to an environment. "struct foo;" and "typedef void foo;" name
--- bytes of unknown form.
---@param text string
---@param env lencase.env
---@return lencase.env? env
---@return string? message
function prototype.declare(text, env) return guarded(declare, text, env) end

local kernel_envs = {}

--- A new environment that knows the kernel's types (those of calls/data.lua).
---@param model? "lp64"|"ilp32"
---@return lencase.env
function prototype.env(model)
  model = model or "lp64"
  kernel_envs[model] = kernel_envs[model] or assert(prototype.declare(calls.types, ctype.bare_env(model)))
  return ctype.inside(kernel_envs[model])
end

-- }==========================================================================

-- {=============================== parameters ===============================

local function has(quals, wanted)
  for _, q in ipairs(quals) do
    if q == wanted then return true end
  end
  return false
end

-- What a parameter's pointer or array points to: its type, whether it is const, how many
-- there are (nil: not said) and the qualifiers of the pointer itself.
local function pointee(env, node)
  local quals = { [0] = table.move(node.more_quals, 1, #node.more_quals, #node.quals + 1, node.quals) }
  for i, q in ipairs(node.stars) do quals[i] = q end
  local bracket = node.arrays[1]
  local level = bracket and #node.stars or #node.stars - 1
  local base = ctype.of(env, node)
  return {
    type = level > 0 and ctype.pointer(env, base) or base, base = base, level = level,
    const = has(quals[level], "const"), quals = bracket and bracket.quals or quals[#node.stars],
    element_quals = quals[level], bracket = bracket, size = bracket and bracket.from and bracket,
  }
end

local function has_note(node, wanted) return node.note ~= nil and has(node.note, wanted) end

local function direction(node, is_const)
  if has_note(node, "inout") or has_note(node, "in") and has_note(node, "out") then return DIR.INOUT end
  if has_note(node, "in") then return DIR.IN end
  if has_note(node, "out") then return DIR.OUT end
  return is_const and DIR.IN or DIR.OUT
end

local function scalar_record(type)
  return { name = type.name, size = type.size, fields = {
    { name = "", offset = 0, count = 1, width = type.size, kind = ctype.field_kind(type, false) } } }
end

-- The C type as it is written, without the parameter's name: "const void [.count]".
local function spelled(node)
  local left = node.text:sub(node.start, node.name_pos - 1)
  local right = node.text:sub(node.name_pos + #node.name, node.stop - 1)
  return ((left .. right):gsub("/%*.-%*/", ""):gsub("%s+", " "):gsub(" $", ""))
end

local function new_param(node, kind, dir)
  return {
    name = node.name, ctype = spelled(node), kind = kind, dir = dir, width = 0, is_signed = 0, nullable = 0,
    size = SIZE.FIXED, size_arg = 0, filled = FILLED.WHOLE, elem = 0, count = 0,
    note = node.note and join(node.note) or nil,
  }
end

local function integer_param(env, node)
  local type = ctype.of(env, node)
  if type.kind == "record" then fail(node.type_pos, "a struct is passed by a pointer: %s *%s", node.type, node.name) end
  if type.kind == "void" then fail(node.type_pos, "'%s' needs a type; bytes are void *%s", node.name, node.name) end
  if node.note then fail(node.pos, "'%s' is an integer: it has no direction", node.name) end
  local p = new_param(node, KIND.INT, DIR.IN)
  p.width, p.is_signed = type.size, type.signed and 1 or 0
  return p
end

local function is_bytes(type) return type.kind == "void" or type.kind ~= "record" and type.size == 1 end

-- Whether a pointer without a size leads to something of unknown size.
local function is_address(to)
  return to.type.kind == "void" or to.type.kind == "char" and not to.const
end

local function is_strv(to)
  return to.level == 1 and to.base.kind == "char" and not to.size
         and (to.bracket ~= nil or to.const)
end

local function is_string(node, to)
  return to.type.kind == "char" and to.const and (not to.size or to.size.from == "FIXED" and has_note(node, "nul"))
end

local function sized_kind(to)
  if to.type.name == "struct iovec" then return KIND.IOVEC end
  return is_bytes(to.type) and KIND.BYTES or KIND.RECORDS
end

-- Elements and bytes of one argument that struct sig_param has room for.
local MOST = 0xffffffff

local function check_count(to)
  local count = to.size.count
  if math.type(count) ~= "integer" or count < 1 or count > MOST // to.type.size then
    fail(to.size.pos, "the size must be from 1 to %d", MOST // to.type.size)
  end
end

local function check_size(node, to)
  local wanted
  if to.bracket and not to.size then
    wanted = ("say how many: %s %s[.count], [*count] or [8]"):format(node.type, node.name)
  elseif to.size and to.size.from == "bare" then
    wanted = ("a size that is a parameter has a dot: [.%s]"):format(to.size.name)
  elseif not to.size and to.type.name == "struct iovec" then
    wanted = ("say how many: struct iovec %s[.iovcnt]"):format(node.name)
  end
  if wanted then fail(to.bracket and to.bracket.pos or node.name_pos, "%s", wanted) end
  if to.size and to.size.from == "FIXED" then check_count(to) end
end

local function check_sized(node, to, p)
  if not p.record or p.record.fields[1].name == "" or p.size ~= SIZE.ARG and p.size ~= SIZE.FIELD then
    fail(to.bracket and to.bracket.pos or node.name_pos, "sized is for a struct of known form: struct foo %s[.size]",
         node.name)
  end
end

-- The offset in the struct of its own size.
local function size_field(to, record)
  for _, f in ipairs(record.fields) do
    if f.name == to.size.name and f.width == 4 and f.count == 1 then return f.offset end
  end
  fail(to.size.pos, "[->%s]: %s has no 32-bit integer '%s'", to.size.name, record.name, to.size.name)
end

-- A pointer or array of so many elements; resolve_size() resolves sizes given by name.
local function sized_param(node, to)
  check_size(node, to)
  local p = new_param(node, sized_kind(to), direction(node, to.const))
  p.elem = to.type.size
  p.size = to.size and SIZE[to.size.from] or SIZE.FIXED
  p.count = to.size and to.size.count or p.size == SIZE.FIXED and 1 or 0
  if p.kind == KIND.RECORDS then p.record = to.type.record or scalar_record(to.type) end
  local is_sized = p.size == SIZE.FIELD or has_note(node, "sized")
  if is_sized then
    check_sized(node, to, p)
    p.elem = 1
  end
  if p.size == SIZE.FIELD then p.count = size_field(to, p.record) end
  local by_result = not is_sized and p.size == SIZE.ARG and p.dir & DIR.OUT ~= 0 and not has_note(node, "whole")
  p.filled = by_result and FILLED.RESULT or FILLED.WHOLE
  return p
end

local function pointer_param(env, node)
  local to = pointee(env, node)
  local p
  if has_note(node, "addr") then
    p = new_param(node, KIND.ADDR, DIR.NONE)
  elseif is_strv(to) then
    p = new_param(node, KIND.STRV, DIR.IN)
    p.elem = env.model.pointer
  elseif is_string(node, to) then
    p = new_param(node, KIND.STRING, DIR.IN)
    p.count = to.size and to.size.count or 0
  elseif not to.size and is_address(to) then
    p = new_param(node, KIND.ADDR, DIR.NONE)
  else
    p = sized_param(node, to)
  end
  local nullable = has(to.quals, "_Nullable") or p.kind == KIND.STRV and has(to.element_quals, "_Nullable")
  p.nullable = nullable and 1 or 0
  return p
end

local function check_param(node)
  if node.comment then
    local word_ = node.comment:match "^/%*%s*(%a+)%s*%*/$"
    local words = { "in", "out", "inout", "whole", "addr", "sized", "nul" }
    fail(node.pos, "a note before a parameter is one of %s%s", table.concat(words, ", "),
         word_ and parsing.did_you_mean(word_, words) or "")
  end
  if #node.arrays > 1 then fail(node.arrays[2].pos, "'%s' has more than one dimension", node.name) end
end

local function param_of(env, node)
  check_param(node)
  if #node.stars + #node.arrays == 0 then return integer_param(env, node) end
  return pointer_param(env, node)
end

-- }==========================================================================

-- {=============================== signatures ===============================

local function index_of(nodes, wanted)
  for i, node in ipairs(nodes) do
    if node.name == wanted then return i end
  end
end

local function names_of(nodes)
  local names = {}
  for i, node in ipairs(nodes) do names[i] = node.name end
  return names
end

-- A socklen_t *addrlen that says how much room there is.
local function mark_room(params, nodes, i, bracket)
  local room = params[i]
  if room.kind ~= KIND.RECORDS or room.elem ~= 4 or room.count ~= 1 then
    fail(bracket.pos, "[*%s]: '%s' must point to one 32-bit integer", room.name, room.name)
  end
  if not nodes[i].note then room.dir = DIR.INOUT end
end

local function resolve_size(params, nodes, p, bracket)
  local i = index_of(nodes, bracket.name)
  if not i then
    fail(bracket.pos, "there is no parameter '%s'%s", bracket.name, parsing.did_you_mean(bracket.name, names_of(nodes)))
  end
  if bracket.from == "DEREF" then
    mark_room(params, nodes, i, bracket)
  elseif params[i].kind ~= KIND.INT then
    fail(bracket.pos, "'%s' is not an integer; if it points to the size, write [*%s]", bracket.name, bracket.name)
  end
  p.size_arg = i - 1
end

local function check_nodes(nodes)
  if nodes[MAXARGS + 1] then fail(nodes[MAXARGS + 1].pos, "a call has at most %d arguments", MAXARGS) end
  for i, node in ipairs(nodes) do
    if index_of(nodes, node.name) < i then fail(node.name_pos, "there are two parameters '%s'", node.name) end
  end
end

local function params_of(env, nodes)
  check_nodes(nodes)
  local params = {}
  for i, node in ipairs(nodes) do params[i] = param_of(env, node) end
  for i, node in ipairs(nodes) do
    local bracket = node.arrays[1]
    if bracket and bracket.name and bracket.from ~= "FIELD" then resolve_size(params, nodes, params[i], bracket) end
  end
  return params
end

local function append(a, b) return table.move(b, 1, #b, #a + 1, table.move(a, 1, #a, 1, {})) end

-- Addresses in all places that are left, for arguments without a description.
local function fill_up(params)
  for i = #params + 1, MAXARGS do
    params[i] = { name = "arg" .. i, ctype = "void *", kind = KIND.ADDR, dir = DIR.NONE, width = 0, is_signed = 0,
                  nullable = 1, size = SIZE.FIXED, size_arg = 0, filled = FILLED.WHOLE, elem = 0, count = 0 }
  end
  return params
end

local always = { op = TEST.ALWAYS, arg = 0, mask = 0, value = 0 }

local function new_variant(params, unknown, when)
  return { when = when or always, nparams = #params, unknown = unknown and 1 or 0, params = params }
end

-- The only variant of a prototype without "...".
local function only_variant(env, tree)
  local params = params_of(env, append(tree.params, tree.rest or {}))
  return new_variant(tree.unknown and fill_up(params) or params, tree.unknown)
end

-- What replaces "..." in a variant: text of its own, or what the prototype's comment says.
local function tail_of(tree, variant)
  if not variant.tail then return tree.rest or {} end
  if not tree.rest_pos then fail(tree.pos, "there is no '...' for the variant '%s'", variant.tail) end
  local tail, message = guarded(function(text) return match(tail_grammar, text) end, variant.tail)
  return tail or fail(tree.rest_pos, "in the variant '%s': %s", variant.tail, message)
end

local function variants_of(env, tree, variants)
  local list_ = {}
  for i, v in ipairs(variants) do
    list_[i] = new_variant(params_of(env, append(tree.params, tail_of(tree, v))), v.unknown, v.when)
  end
  return list_
end

local function check_result(env, node)
  local type = ctype.of(env, node)
  if type.kind == "record" and #node.stars == 0 then
    fail(node.type_pos, "a call's result is an integer or an address")
  end
end

local function flags_of(tree)
  return (tree.noreturn and FLAG.NORETURN or 0) | (#tree.result.stars > 0 and FLAG.ADDRESS or 0)
end

local function parse(text, parent, variants)
  local tree = match(signature_grammar, text)
  local env = ctype.inside(parent)
  ctype.declare(env, tree.declared)
  check_result(env, tree.result)
  return {
    name = tree.name,
    prototype = text:sub(tree.pos):gsub("%s+", " "):gsub(" $", ""),
    flags = flags_of(tree),
    variants = variants and variants_of(env, tree, variants) or { only_variant(env, tree) },
  }
end

--- The signature that a prototype describes. `variants` says what may stand in the place of
--- "...", each { when = test, tail = "int minfd", unknown = boolean }, the last without `when`.
--- The text may begin with declarations that the prototype needs: "struct foo { int a; }; ...".
---@param text string
---@param env? lencase.env the kernel's types when left out
---@param variants? table[]
---@return table? signature
---@return string? message
function prototype.parse(text, env, variants)
  return guarded(parse, text, env or prototype.env(), variants)
end

local function format_param(p)
  local left, right = p.ctype:match "^(.-)( ?%[.*)$"
  left, right = left or p.ctype, right or ""
  local gap = left:find "%*$" and "" or " "
  return (p.note and "/* " .. p.note .. " */ " or "") .. left .. gap .. p.name .. right:gsub("^ ", "")
end

--- A variant's parameters as C declares them: "int fd, const void buf[.count], size_t count".
---@param variant table
---@return string
function prototype.format(variant)
  local out = {}
  for i, p in ipairs(variant.params) do out[i] = format_param(p) end
  return #out > 0 and table.concat(out, ", ") or "void"
end

-- }==========================================================================

return prototype
