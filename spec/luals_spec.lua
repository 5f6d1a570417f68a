-- The definitions for lua-language-server: they have all that is public, and nothing else.

local core = require "lencase.core"
local lencase = require "lencase"
local policy = require "lencase.policy"
local support = require "spec.support"

local text = support.read_file(support.build .. "/luals/lencase.d.lua")

-- The lines of a class, as a table from field to type.
local function fields_of(class)
  local fields = {}
  local block = text:match("%-%-%-@class " .. class:gsub("%.", "%%.") .. "%f[^%w_.][^\n]*\n(.-)\n[^-]")
  assert(block, class)
  for line in (block .. "\n"):gmatch "([^\n]*)\n" do
    local name, type_ = line:match "^%-%-%-@field ([%w_]+)%?? (.*)$"
    if name then fields[name] = type_ end
  end
  return fields
end

-- The names of the functions of a table, with their parameters and annotations.
local function functions_of(of)
  local list, notes = {}, {}
  for line in text:gmatch "([^\n]*)\n" do
    if line:find "^%-%-%-" then
      table.insert(notes, line)
    else
      local name, params = line:match("^function " .. of .. "[.:]([%w_]+)%((.-)%) end$")
      if name then list[name] = { params = params, notes = notes } end
      notes = {}
    end
  end
  return list
end

local function keys(t)
  local list = {}
  for key in pairs(t) do table.insert(list, key) end
  table.sort(list)
  return list
end

describe("the definitions for lua-language-server", function()
  it("are what the generator prints, and valid Lua", function()
    local out, err = support.sh "lua5.4 scripts/gen-luals.lua"
    assert.are.equal("", err)
    assert.are.equal(out, text)
    assert.is_truthy(load(text))
    assert.is_truthy(text:find "^%-%-%-@meta lencase\n")
    assert.is_truthy(text:match("^.-\n%-%-%-@class"):find("workspace.library", 1, true))
  end)

  it("have every public name of the module, and no others", function()
    local annotated = fields_of "lencase"
    for name in pairs(functions_of "lencase") do annotated[name] = true end
    for name in text:gmatch "\nlencase%.([%w_]+) = " do annotated[name] = true end
    local public = { cage = true } -- there inside handlers only
    for name in pairs(lencase) do public[name] = true end
    assert.are.same(keys(public), keys(annotated))
  end)

  it("have the policies", function()
    local fields, functions = fields_of "lencase", functions_of "lencase"
    for name in pairs(policy) do
      if name:find "^%u" then assert.is_truthy(fields[name] or functions[name], name) end
    end
  end)

  it("annotate every parameter of every function", function()
    for _, of in ipairs { "lencase", "sys", "bytes" } do
      for name, f in pairs(functions_of(of)) do
        local notes = table.concat(f.notes, "\n")
        local params = {}
        for param in f.params:gmatch "[^,%s]+" do table.insert(params, param) end
        local i = 0
        for param in notes:gmatch "@param ([%w_.]+)%?? [%w{(\"]" do
          i = i + 1
          assert.are.equal(params[i], param, name)
        end
        assert.are.equal(#params, i, name)
      end
    end
  end)

  it("have every call that has a signature, and no others", function()
    local functions, handled = functions_of "sys", fields_of "lencase.definition"
    local n = 0
    for _, name in ipairs(core.names()) do
      local described = core.describe(core.callnum(name))
      if described then
        n = n + 1
        local f = assert(functions[name], name)
        assert.is_truthy(handled[name], name)
        local widest = described.variants[1].params
        for _, v in ipairs(described.variants) do widest = #v.params > #widest and v.params or widest end
        local names, outs = {}, 0
        for i, param in ipairs(widest) do
          names[i] = param.name
          if param.dir:find "out" and param.kind ~= "int" and param.kind ~= "address" then outs = outs + 1 end
        end
        assert.are.equal(table.concat(names, ", "), (f.params:gsub("(%w+)_%f[^%w_]", "%1")), name)
        local returns = select(2, table.concat(f.notes, "\n"):gsub("@return", ""))
        assert.are.equal(2 + outs, returns, name)
        assert.is_truthy(f.notes[1]:find(described.prototype, 1, true), name)
      end
    end
    assert.are.equal(n, #keys(functions))
  end)

  it("have the options of a definition", function()
    local handled = fields_of "lencase.definition"
    for _, option in ipairs { "on_start", "on_error", "provide", "uses", "keep", "timeout" } do
      assert.is_truthy(handled[option], option)
    end
    for name in pairs(handled) do
      assert.is_truthy(core.callnum(name) or pcall(lencase.grate, { [name] = 1 })
        or not select(2, pcall(lencase.grate, { [name] = 1 })):find("unknown call", 1, true), name)
    end
  end)

  it("have the fields of structs by their C names", function()
    assert.are.equal("integer", fields_of("lencase.struct.stat").st_size)
    assert.are.equal("lencase.struct.timespec", fields_of("lencase.struct.stat").st_mtim)
    assert.are.equal("integer[]", fields_of("lencase.struct.sysinfo").loads)
    assert.are.equal("string", fields_of("lencase.struct.utsname").sysname)
    assert.are.equal("lencase.struct.epoll_event.data", fields_of("lencase.struct.epoll_event").data)
    assert.is_truthy(text:find("---@return lencase.struct.stat? statbuf", 1, true))
    assert.is_truthy(text:find("---@return lencase.records<lencase.struct.pollfd>? fds", 1, true))
  end)

  it("name no class that does not exist", function()
    local defined = {}
    for name in text:gmatch "\n%-%-%-@class ([%w_.]+)" do
      assert.is_nil(defined[name], name)
      defined[name] = true
    end
    for name in text:gmatch "%-%-%-@alias ([%w_.]+)" do defined[name] = true end
    for line in text:gmatch "%-%-%-@([^\n]*)" do
      local types = line:match "^param [^%s]+ (%S+)" or line:match "^return (%S+)" or line:match "^field %S+ (%S+)"
        or line:match "^overload (.*)$"
      for name in (types or ""):gmatch "lencase%.[%l_.%w]*%w" do assert.is_true(defined[name], name) end
    end
  end)
end)
