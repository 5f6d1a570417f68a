-- Programs that try to get round a grate by what they do to lencase's own work: spec/attacks/. Each would succeed
-- without the fix for it.

local support = require "spec.support"

local long = tonumber(os.getenv "LENCASE_TRIES")

--- Tries of one attack: in the long form as many as were asked for, or more where one takes more. `prefix` makes the
--- place it runs in.
local function attack(name, tries, prefix)
  local out, err, status
  support.in_folder(function(dir)
    support.write_file(dir .. "/secret", "secret\n")
    support.write_file(dir .. "/rules", "default allow\narch x86\n1 prctl\n1 seccomp\n")
    local here = support.pwd
    local build = here .. "/" .. support.build
    out, err, status = support.sh(("cd %s && timeout -k 5 %d %s %s/scripts/lencase run %s/spec/attacks/deny.lua -- "
                                   .. "%s/spec/attacks/%s %d")
      :format(dir, long and 3600 or 100, (prefix or ""):gsub("BUILD", build), here, here, build, name,
              math.max(long or 0, tries)))
  end)
  return out, err, status
end

--- It has made its tries, and none was won.
local function is_lost(out, err, status)
  assert.is_truthy(out:find "^lost %d+ tries\n$", out .. err)
  assert.are.equal(0, status)
end

--- It was ended at its first, by name.
local function is_ended(what, out, err, status)
  assert.are.equal("", out)
  assert.is_truthy(err:find("^lencase: cage %d+, thread %d+: " .. what .. ": ended\n"), err)
  assert.are.equal(137, status)
end

describe("a program that attacks its grate", function()
  it("has a call made again after a signal that is ignored by then", function()
    is_lost(attack("flip", 40))
  end)

  it("makes another call in the place of rt_sigreturn", function()
    is_ended("another call came than its rt_sigreturn", attack("sigreturn", 20000))
  end)

  it("makes another call in the place of those that set its child's program up", function()
    local out, err, status = attack("exec", 100)
    is_lost(out, err, status)
    if support.filtered then return end -- a container's profile refuses process_vm_writev: its tries change nothing
    assert.is_truthy(err:find "another call came than the one made for it: ended", err)
  end)

  it("answers lencase's own calls by a filter", function()
    is_lost(attack("filter", 1))
  end)

  it("makes lencase's own call with words that it read of its child", function()
    local out, err, status = attack("cookie", 20)
    is_lost(out, err, status)
    assert.is_truthy(err:find "made a call that is lencase's own: ended", err)
  end)

  it("looks for the arguments of another cage", function()
    is_lost(attack("neighbour", 2))
  end)

  if support.sh("id -u") == "0\n" then
    it("makes a call of another table where lencase has no filter", function()
      is_lost(attack("table", 1, "BUILD/spec/helper_confine -f rules --"))
    end)
  end
end)
