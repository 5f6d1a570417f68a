-- ctype.lua - C's types: their sizes, and how structs are laid out

local enum = require "lencase.calls.enum"
local parsing = require "lencase.parsing"

local FIELD = enum.field
local fail = parsing.fail

local ctype = {}

-- {================================== types =================================

-- What differs between C's data models; 'widest' is the strictest alignment of an integer.
local models = {
  lp64 = { long = 8, pointer = 8, widest = 8 },
  ilp32 = { long = 4, pointer = 4, widest = 8 }, -- as on wasm32
}

---@class lencase.env
---@field types table<string, table> type's name -> its kind ("int", "char", "void", "record"), size, align ...
---@field model table
---@field parent? lencase.env whose types are known too

local function add_integer(env, type, width, signed, kind)
  env.types[type] = {
    kind = kind or "int", name = type, size = width, align = math.min(width, env.model.widest), signed = signed,
  }
end

--- An environment with the types of C itself.
---@param model? "lp64"|"ilp32"
---@return lencase.env
function ctype.bare_env(model)
  local env = { types = {}, model = models[model or "lp64"] }
  for type, width in pairs { short = 2, int = 4, long = env.model.long, ["long long"] = 8 } do
    add_integer(env, type, width, true)
    add_integer(env, "unsigned " .. type, width, false)
  end
  add_integer(env, "char", 1, true, "char")
  add_integer(env, "signed char", 1, true)
  add_integer(env, "unsigned char", 1, false)
  add_integer(env, "bool", 1, false)
  env.types.void = { kind = "void", name = "void", size = 1 }
  return env
end

local function type_names(env)
  local names = {}
  while env do
    for n in pairs(env.types) do names[#names + 1] = n end
    env = env.parent
  end
  table.sort(names)
  return names
end

--- The type of a declaration in the tree, without its stars and arrays; fail() when unknown.
---@param env lencase.env
---@param node table
---@return table
function ctype.of(env, node)
  local type = env.types[node.type]
  if type then return type end
  local help = parsing.did_you_mean(node.type, type_names(env))
  if node.type:find "^struct " or node.type:find "^union " then help = help .. "; declare it first, or write void *" end
  fail(node.type_pos, "unknown type '%s'%s", node.type, help)
end

--- A pointer to it, as a type of its own: as a struct's field it is an unsigned integer.
---@param env lencase.env
---@param type table
---@return table
function ctype.pointer(env, type)
  return { kind = "int", name = type.name .. " *", size = env.model.pointer, align = env.model.pointer, signed = false }
end

-- }==========================================================================

-- {================================= structs ================================

local function align_up(n, align) return (n + align - 1) // align * align end

-- What struct sig_field and struct sig_record have room for.
local MOST_BYTES, MOST_INNER_BYTES = 0xffff, 0xff

-- The number of elements of a field.
local function field_count(node)
  local count = 1
  for _, a in ipairs(node.arrays) do
    if a.from ~= "FIXED" then fail(a.pos, "the size of field '%s' must be a number", node.name) end
    if a.count < 1 or a.count > MOST_BYTES then
      fail(a.pos, "the size of field '%s' must be from 1 to %d", node.name, MOST_BYTES)
    end
    count = count * a.count
  end
  return count
end

--- The enum field_kind of a field or element of that type.
---@param type table
---@param is_array boolean
---@return integer
function ctype.field_kind(type, is_array)
  if type.record then return FIELD.RECORD end
  if type.kind == "char" and is_array then return FIELD.CHARS end
  return type.signed and FIELD.INT or FIELD.UINT
end

local layout

-- The type that the names of one member have, without their own stars and arrays.
local function member_type(env, member)
  if member.body then return layout(env, member.body) end
  return ctype.of(env, member)
end

-- Calls each(type, count, node) for the fields that one member declares; node is nil for an
-- anonymous struct.
local function each_field(env, member, each)
  local base = member_type(env, member)
  if #member.names == 0 then return each(base, 1) end
  for _, node in ipairs(member.names) do
    local type = #node.stars > 0 and ctype.pointer(env, base) or base
    if not type.align then fail(node.name_pos, "field '%s' has a type of unknown size", node.name) end
    if type.record and type.size > MOST_INNER_BYTES then
      fail(node.name_pos, "field '%s' is a struct of more than %d bytes", node.name, MOST_INNER_BYTES)
    end
    each(type, field_count(node), node)
  end
end

-- The fields of an anonymous struct are its owner's.
local function hoist_fields(into, record, offset)
  for _, f in ipairs(record.fields) do
    table.insert(into, { name = f.name, offset = offset + f.offset, count = f.count, width = f.width,
                         kind = f.kind, record = f.record })
  end
end

local function add_field(into, type, count, node, offset)
  if not node then return hoist_fields(into, type.record, offset) end
  if node.name:find "^__" then return end -- padding
  table.insert(into, { name = node.name, offset = offset, count = count, width = type.size,
                       kind = ctype.field_kind(type, #node.arrays > 0), record = type.record })
end

-- The type that a struct's or union's body describes.
function layout(env, node)
  local found, at, most, align = {}, 0, 0, 1
  for _, member in ipairs(node.members) do
    each_field(env, member, function(type, count, field_node)
      local own_align = node.packed and 1 or type.align
      at = node.keyword == "union" and 0 or align_up(at, own_align)
      add_field(found, type, count, field_node, at)
      at = at + type.size * count
      most, align = math.max(most, at), math.max(align, own_align)
    end)
  end
  local total = align_up(most, align)
  if total > MOST_BYTES then fail(node.pos, "a struct may have at most %d bytes, not %d", MOST_BYTES, total) end
  local full_name = node.tag and node.keyword .. " " .. node.tag or node.keyword
  return { kind = "record", name = full_name, size = total, align = align,
           record = { name = full_name, size = total, fields = found } }
end

local function declare_record(env, node)
  if not node.tag then fail(node.pos, "a struct without a name cannot be used here") end
  local type = layout(env, node)
  env.types[type.name] = type
end

local function declare_typedef(env, node)
  local type = node.body and layout(env, node.body) or ctype.of(env, node)
  if #node.stars > 0 then type = ctype.pointer(env, type) end
  local renamed = setmetatable({ name = node.typedef }, { __index = type })
  if type.record then renamed.record = { name = node.typedef, size = type.size, fields = type.record.fields } end
  env.types[node.typedef] = renamed
end

--- Adds what a list of declarations says to an environment.
---@param env lencase.env
---@param nodes table[] as the grammar of prototype.lua has them
function ctype.declare(env, nodes)
  for _, node in ipairs(nodes) do
    if node.typedef then
      declare_typedef(env, node)
    elseif node.opaque then
      env.types[node.opaque] = { kind = "void", name = node.opaque, size = 1 }
    else
      declare_record(env, node)
    end
  end
end

--- An environment that knows all of another one, and what is declared in it later.
---@param parent lencase.env
---@return lencase.env
function ctype.inside(parent)
  return { types = setmetatable({}, { __index = parent.types }), model = parent.model, parent = parent }
end

-- }==========================================================================

return ctype
