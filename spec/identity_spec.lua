-- Random calls, natively and under grates that forward them (scripts/lencase run): the same results,
-- bytes and effects.
-- spec/identity/known.lua lists what is known to differ; rows that no longer do must be removed.

local generate = require "spec.identity.generate"
local identity = require "spec.identity"
local knowledge = require "spec.identity.knowledge"
local known = require "spec.identity.known"
local report = require "spec.identity.report"
local signatures = require "lencase.calls.signatures"
local support = require "spec.support"

local SEED, CALLS = 1, 1000
local missing = identity.missing()

local function texts(differences, names)
  local list = {}
  for _, d in ipairs(differences) do table.insert(list, report.text(d, SEED, names)) end
  return table.concat(list, "\n")
end

describe("identity:", function()
  it("a seed and an index are always the same call", function()
    local list = generate.signatures()
    local lines = {}
    for i = 1, 300 do lines[i] = generate.call(7, i, list).line end
    for i = 300, 1, -1 do assert.equal(lines[i], generate.call(7, i, list).line) end
    assert.not_equal(lines[1], generate.call(8, 1, list).line)
  end)

  it("what is known of calls is of calls that there are", function()
    for _, names in ipairs { knowledge.left_out, knowledge.varies, knowledge.ask_only, knowledge.group,
                             knowledge.needs_child } do
      for name in pairs(names) do assert.is_truthy(signatures.by_name(name), name) end
    end
    for _, list in ipairs { knowledge.values, knowledge.bits, knowledge.kinds_for, knowledge.strings, knowledge.closed,
                            knowledge.path_texts_for } do
      for key in pairs(list) do
        local name, param = key:match "^([%w_]+)%.([%w_]+)$"
        local sig, found = name and signatures.by_name(name), not name
        for _, v in ipairs(sig and sig.variants or {}) do
          for _, p in ipairs(v.params) do found = found or p.name == param end
        end
        assert.is_true(found, "no such parameter: " .. key)
      end
    end
  end)

  if missing then
    it("calls are the same natively and in a cage", function() pending(missing) end)
    return
  end

  it("what a grate changes is found: a result, bytes, an effect", function()
    support.in_folder(function(dir)
      os.execute("chmod 755 " .. dir)
      local script = support.write_file(dir .. "/changing.lua", [[
        local lencase = require "lencase"
        local sys = lencase.sys
        return lencase.grate {
          getpgrp = lencase.fail "EPERM",
          uname = function() local n, e, u = sys.uname() if n == 0 then u.machine = "other" end return n, e, u end,
          truncate = function() return 0 end,
        }]])
      local found =
        identity.compare { seed = SEED, first = 1, last = 60, names = { "getpgrp", "uname", "truncate", "getuid" },
                                       runs = { { host = "trace", style = "changing", script = script } } }
      local ways = {}
      for _, d in ipairs(found.differences) do ways[d.call.name .. " " .. table.concat(d.ways, " ")] = true end
      assert.is_true(ways["getpgrp result"])
      assert.is_true(ways["uname memory"])
      assert.is_true(ways["truncate effects"])
      for way in pairs(ways) do assert.is_nil(way:find "getuid") end
    end)
  end)

  it("words are as wide as the kernel's, and in its order, where nothing else is odd", function()
    local names = { "sched_setaffinity", "mmap", "mprotect", "pkey_mprotect", "mremap" }
    local found = identity.compare { seed = SEED, first = 1, last = 1000, names = names,
                                     runs = { { host = "trace", style = "copy" } } }
    local plain = {}
    for _, d in ipairs(known.sort(found.differences)) do
      if #d.call.shape == 0 then table.insert(plain, d) end
    end
    assert(#plain == 0, "\n" .. texts(plain, names))
  end)

  local runs = {}
  for _, host in ipairs(support.hosts) do
    for _, style in ipairs(host.name ~= "sim" and identity.styles or {}) do
      table.insert(runs, { host = host.name, style = style })
    end
  end
  local found

  setup(function()
    found = identity.compare { seed = SEED, first = 1, last = CALLS, settled = known.has, runs = runs }
  end)

  for _, run in ipairs(runs) do
    it(("%d calls on %s, %s"):format(CALLS, run.host, run.style), function()
      local new, now_and_then = known.sort(found.differences, run)
      if #now_and_then > 0 then print("# now and then: " .. texts(now_and_then):gsub("\n", "\n# ")) end
      assert(#new == 0, "\n" .. texts(new))
    end)
  end

  it("what is known to differ still does", function()
    if support.sanitized then return pending "no inline host under a sanitizer: its rows cannot be seen" end
    assert.same({}, known.left_over(found.differences))
  end)
end)
