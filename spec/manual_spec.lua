-- The manual's pages: they agree with the sources, groff has no warnings about them, and their
-- examples work.

local support = require "spec.support"

local function page(section) return support.read_file(("%s/man/lencase.%d"):format(support.build, section)) end

-- groff is no program of ours: a sanitizer has nothing to look for in it.
local groff = "env -u LD_PRELOAD LC_ALL=C groff -man -ww "

-- As a reader sees it, without what makes it bold.
local function shown(section)
  local text, err, status = support.sh(
    (groff .. "-Tascii -P-cbou -rLL=200n %s/man/lencase.%d"):format(support.build, section))
  assert.are.equal("", err)
  assert.are.equal(0, status)
  return text
end

-- The text of a section of a page as it is shown.
local function section_of(text, title) return assert(text:match("\n" .. title .. "\n(.-)\n%f[%u]"), title) end

describe("the manual", function()
  for _, section in ipairs { 1, 3, 7 } do
    it("is shown without a warning, page " .. section, function()
      assert.is_truthy(shown(section):find "^LENCASE")
      assert.are.equal("", (select(2, support.sh(
        (groff .. "-Tutf8 %s/man/lencase.%d > /dev/null"):format(support.build, section)))))
    end)

    it("is what its sources say, page " .. section, function()
      local text, err = support.sh("lua5.4 scripts/gen-manual.lua " .. section)
      assert.are.equal("", err)
      assert.are.equal(text, page(section))
    end)
  end

  it("has every command and option that lencase has", function()
    local text = shown(1)
    local helps = { (support.sh(support.lencase .. " --help")) }
    local commands = 0
    for name in helps[1]:match("Commands:\n(.*)$"):gmatch "\n?   (%l%S*)" do
      assert.is_truthy(text:find("lencase " .. name, 1, true), name)
      table.insert(helps, (support.sh(("%s %s --help"):format(support.lencase, name))))
      commands = commands + 1
    end
    assert.is_true(commands >= 2)
    for _, help in ipairs(helps) do
      local options = help:match "\nOptions:\n(.-)\n\n" or help:match "\nOptions:\n(.*)$"
      for option in options:gmatch "%-%-%l[%l-]*" do assert.is_truthy(text:find(option, 1, true), option) end
    end
  end)

  it("says what lencase's exit status means", function()
    local text = section_of(shown(1), "EXIT STATUS")
    for _, status in ipairs { "125", "126", "127" } do assert.is_truthy(text:find("\n       " .. status, 1, true)) end
  end)

  it("shows examples that work", function()
    local examples = page(1):match "%.SH EXAMPLES\n(.-)\n%.SH"
    local n = 0
    support.in_folder(function(dir)
      support.write_file(dir .. "/lencase", ('#!/bin/sh\nLENCASE_BUILD=%s exec lua5.4 %s/scripts/lencase "$@"\n')
        :format(support.quote(support.build), support.quote(support.pwd)))
      for example in examples:gmatch "%.EX\n(.-)\n%.EE" do
        local line = example:gsub("\\%-", "-"):gsub("\\%(aq", "'"):gsub("\\e", "\\")
        local out, err, status = support.sh(("chmod +x %s/lencase; cd %s; PATH=$PWD:$PATH\nexport PATH\n%s")
          :format(dir, dir, line))
        assert.is_true(status == 0 or line:find "readonly.lua strace.lua %-%- touch" ~= nil, line .. "\n" .. out .. err)
        assert.is_true(#out + #err > 0, line)
        n = n + 1
      end
    end)
    assert.is_true(n >= 4)
  end)

  it("has every function of the library with what its comment says", function()
    local text = shown(3):gsub("%s+", " ")
    local header = support.read_file "core/lencase.h"
    local n = 0
    for name in ("\n" .. header):gmatch "\n%l[%w_ *]-[ *](lencase_[%l_]+)%(" do
      assert.is_truthy(text:find(name .. "(", 1, true), name)
      n = n + 1
    end
    assert.is_true(n >= 30)
    assert.is_truthy(text:find("all of them or LENCASE_EFAULT. LENCASE_EGONE.", 1, true))
    for title in header:gmatch "{=+ (.-) =+ %*/" do
      assert.is_truthy(text:find(" " .. title:upper() .. " ", 1, true), title)
    end
  end)
end)

describe("core/README.md", function()
  -- A word in code's letters with an underscore is a name of the code's.
  it("names functions that there are", function()
    local sources = support.sh "cat core/*.[chS] core/*/*.[chS] core/*/*/*.[chS] core/*/*/*/*.[chS]"
    local names = 0
    for name in support.read_file("core/README.md"):gmatch "`(%l+_[%l_]+)`" do
      assert.is_truthy(sources:find("%f[%w_]" .. name .. "%f[^%w_]"), name)
      names = names + 1
    end
    assert.is_true(names > 40)
  end)
end)
