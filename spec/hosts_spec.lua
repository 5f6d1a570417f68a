-- The same cases on every host: sim in this process, trace around a real program.

local support = require "spec.support"
local cases = require "spec.cases"

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

for _, host in ipairs(support.hosts) do
  describe("on host " .. host.name .. ":", function()
    for _, case in ipairs(cases) do
      it(case.name, function()
        support.in_folder(function(dir)
          local script = support.write_file(dir .. "/grate.lua", prologue .. case.script)
          local report, log = host.run(script, support.calls(case.calls, dir), dir)
          check(case, report, log)
        end)
      end)
    end
  end)
end
