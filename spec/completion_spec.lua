-- What bash completes: in a bash, word by word.

local core = require "lencase.core"
local support = require "spec.support"

-- What the last of the words may become, sorted.
local function completions(...)
  local words = {}
  for i, word in ipairs { ... } do words[i] = support.quote(word) end
  local script = ([[. %s/completion/lencase
    PATH=$PWD/scripts:$PATH
    COMP_WORDS=(%s) COMP_CWORD=%d
    _lencase "${COMP_WORDS[0]}"
    printf '%%s\n' "${COMPREPLY[@]}"]]):format(support.build, table.concat(words, " "), #words - 1)
  local out, err, status = support.sh("env -u LD_PRELOAD bash --norc -c " .. support.quote(script))
  assert.are.equal("", err)
  assert.are.equal(0, status)
  local list, seen = {}, {}
  for line in out:gmatch "[^\n]+" do
    if not seen[line] then table.insert(list, line) end
    seen[line] = true
  end
  table.sort(list)
  return list
end

local function has(list, word)
  for _, other in ipairs(list) do
    if other == word then return true end
  end
  return false
end

describe("bash completes", function()
  it("commands, all that there are", function()
    assert.are.same({ "run" }, completions("lencase", "ru"))
    assert.are.same({ "--version" }, completions("lencase", "--v"))
    local help = support.sh(support.lencase .. " --help")
    local all = completions("lencase", "")
    for name in help:match("Commands:\n(.*)$"):gmatch "\n?   (%l%S*)" do assert.is_true(has(all, name), name) end
  end)

  it("options, all that a command has", function()
    assert.are.same({ "--timeout" }, completions("lencase", "run", "--t"))
    assert.are.same({ "--json" }, completions("lencase", "check", "--j"))
    assert.are.same({ "--policy" }, completions("lencase", "plan", "write", "--p"))
    for _, name in ipairs { "run", "plan", "check" } do
      local help = support.sh(("%s %s --help"):format(support.lencase, name))
      local all = completions("lencase", name, "-")
      local options = help:match "\nOptions:\n(.-)\n\n" or help:match "\nOptions:\n(.*)$"
      for option in options:gmatch "%-%-%l[%l-]*" do assert.is_true(has(all, option), option) end
    end
  end)

  it("values of options", function()
    assert.are.same({}, completions("lencase", "run", "-t", ""))
    assert.are.same({ "PASS_THROUGH_ALL", "PASS_THROUGH_POINTERS" },
                    completions("lencase", "plan", "write", "-p", "PASS"))
    assert.are.same({ "count_writes.lua" }, completions("lencase", "run", "-t", "5", "count_w"))
    assert.are.same({ "Makefile" }, completions("lencase", "run", "--record", "Makef"))
    assert.are.same({ "umask.lua" }, completions("lencase", "try", "--json", "uma"))
  end)

  it("grates, those in files and those of the examples", function()
    assert.are.same({ "count_writes.lua" }, completions("lencase", "run", "count_w"))
    assert.are.same({ "umask.lua" }, completions("lencase", "check", "uma"))
    assert.are.same({ "count_writes.lua" }, completions("scripts/lencase", "run", "count_w"))
    assert.are.same({ "examples/umask.lua", "examples/umask_spec.lua" }, completions("lencase", "run", "examples/uma"))
    assert.are.same({}, completions("lencase", "run", "Makef"))
    assert.are.same({ "tee.lua" }, completions("lencase", "run", "strace.lua", "te"))
  end)

  it("what follows a grate", function()
    assert.are.same({ "Makefile" }, completions("lencase", "run", "seccomp.lua", "Makef"))
    assert.are.same({ "%{", "%}" }, completions("lencase", "run", "clamp.lua", "%"))
    assert.are.same({ "--" }, completions("lencase", "run", "clamp.lua", "--"))
  end)

  it("a program and its arguments", function()
    assert.is_true(has(completions("lencase", "run", "umask.lua", "077", "--", "luac"), "luac5.4")
      or has(completions("lencase", "run", "umask.lua", "077", "--", "mktem"), "mktemp"))
    assert.are.same({ "Makefile" }, completions("lencase", "run", "umask.lua", "077", "--", "cat", "Makef"))
    assert.are.same({ "Makefile" }, completions("lencase", "check", "x.lua", "--", "Makef"))
    assert.are.same({}, completions("lencase", "run", "umask.lua", "--", "cat", "--timeo"))
  end)

  it("the names of calls for plan", function()
    assert.are.same({ "write", "writev" }, completions("lencase", "plan", "wri"))
    local all = completions("lencase", "plan", "")
    local n = 0
    for _, name in ipairs(core.names()) do
      if core.describe(core.callnum(name)) then
        assert.is_true(has(all, name), name)
        n = n + 1
      end
    end
    assert.are.equal(n, #all)
  end)
end)
