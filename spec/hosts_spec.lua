-- The same cases on every host: sim in this process, trace around a real program.

local support = require "spec.support"
local cases = require "spec.cases"
local layers = require "spec.layers"
local stacks = require "spec.stacks"
local threei = require "spec.threei"

local prologue = table.concat({
  'local lencase = require "lencase"',
  "local sys, fail = lencase.sys, lencase.fail",
  "local _ = sys, fail",
}, "\n") .. "\n"

local function check(case, report, log)
  assert.are.same(case.report, report)
  local wanted = case.log or {}
  for i, pattern in ipairs(wanted) do
    assert.is_truthy((log[i] or ""):find(pattern), ("message %d is\n  %s\nwanted\n  %s"):format(i, log[i], pattern))
  end
  assert.are.equal(#wanted, #log, table.concat(log, "\n"))
end

-- The scripts of a case in files: grate.lua, or of a stack grate1.lua (the bottom), grate2.lua, ...
local function write_scripts(case, dir)
  if case.script then return { support.write_file(dir .. "/grate.lua", prologue .. case.script) } end
  local paths = {}
  for i, script in ipairs(case.stack) do
    paths[i] = support.write_file(("%s/grate%d.lua"):format(dir, i), prologue .. script)
  end
  return paths
end

local function run_cases(host, list)
  for _, case in ipairs(list) do
    it(case.name, function()
      if case.unfiltered and support.filtered then return pending "a container's profile answers first" end
      support.in_folder(function(dir)
        local report, log = host.run(write_scripts(case, dir), support.calls(case.calls, dir), dir)
        check(case, report, log)
      end)
    end)
  end
end

for _, host in ipairs(support.hosts) do
  describe("on host " .. host.name .. ":", function() run_cases(host, cases) end)
  describe("a stack on host " .. host.name .. ":", function() run_cases(host, stacks) end)
  describe("layers on host " .. host.name .. ":", function() run_cases(host, layers) end)
  describe("3i on host " .. host.name .. ":", function() run_cases(host, threei) end)
end
