-- Real programs natively and under a grate that forwards every call: the same output, status and files. All of them,
-- and larger ones: make transparency.

local jobs = require "spec.transparency.jobs"
local namespace = require "spec.namespace"
local support = require "spec.support"
local transparency = require "spec.transparency"

local missing = namespace.missing()

describe("transparency:", function()
  it("a job has a name of its own and says what it needs; what is known to differ has a reason and a host", function()
    local names = {}
    for _, job in ipairs(jobs) do
      assert.is_nil(names[job.name])
      names[job.name] = true
      assert.is_truthy(job.needs:find "%S")
      for _, row in ipairs(job.known or {}) do
        assert.is_truthy(row.why:find "%S")
        for host in row.hosts:gmatch "%S+" do assert.is_true(host == "trace" or host == "inline", job.name) end
      end
    end
  end)

  if missing then
    it("programs are the same natively and in a cage", function() pending(missing) end)
    return
  end

  local function try(job, grate)
    job.name, job.needs = "a job", "sh"
    return transparency.try(job, { "trace" }, grate)[1]
  end

  it("what a grate changes is found: a status, output, a file, a message of lencase's", function()
    support.in_folder(function(dir)
      local grate = support.write_file(dir .. "/changing.lua", [[
        local lencase = require "lencase"
        return lencase.grate {
          getppid = lencase.fail "EPERM",
          mkdir = function(path) return lencase.sys.mkdir(path .. "x") end,
          rmdir = function() error "a mistake" end,
        }]])
      local result = try({ command = "mkdir made; ls -d made; rmdir made", check = "ls" }, grate)
      local text = table.concat(result.new, "\n")
      for _, line in ipairs { "< status: 0", "> status: 2", "< out: made", "> check: madex",
                              "> err: ls: cannot access 'made'" } do
        assert.is_truthy(text:find(line, 1, true), line .. " in " .. text)
      end
      text = table.concat(try({ command = "mkdir a; mkdir ax; rmdir ax || true" }, grate).new, "\n")
      assert.is_truthy(text:find("> said: lencase: .*a mistake"), text)
    end)
  end)

  it("a program that hangs in a cage is ended, and named so", function()
    support.in_folder(function(dir)
      local grate = support.write_file(dir .. "/hanging.lua", [[
        local lencase = require "lencase"
        return lencase.grate { mkdir = function() return lencase.sys.pause() end }]])
      local result = try({ command = "mkdir made", seconds = 3 }, grate)
      assert.is_truthy(table.concat(result.new, "\n"):find("> status: hangs: ended after 3 s", 1, true))
    end)
  end)

  it("a job that fails by itself is no comparison", function()
    assert.is_truthy(try { command = "echo broken >&2; exit 3" }.unusable:find "status 3.*err: broken")
    assert.is_truthy(try { setup = "exit 4", command = "true" }.unusable:find "setup ends with status 4")
  end)

  it("what is known to differ is accepted, and reported when it no longer does", function()
    local row = { why = "a reason", hosts = "trace", lines = "TracerPid" }
    local result = try { command = "grep TracerPid /proc/self/status", known = { row } }
    assert.same({ {}, {}, { "a reason" } }, { result.new, result.left_over, result.known })
    assert.same({ "a reason" }, try { command = "echo TracerPid", known = { row } }.left_over)
  end)

  it("a job has no network but the loopback, a folder and a home of its own, and leaves nothing", function()
    local result = try { seconds = 2, setup = "touch there",
      command = "cd; pwd; id -un; cat /proc/net/dev | wc -l; sleep 4321 >/dev/null 2>&1 & ls /mnt/work /mnt/tmp" }
    assert.is_truthy(result.native:find("out: /mnt/home\nout: user\nout: 3\nout: /mnt/tmp:\nout: \nout: "
                                        .. "/mnt/work:\nout: there\n", 1, true), result.native)
    -- Its namespace is being taken down when its job is over.
    assert.are.equal("",
      (support.sh("for i in $(seq 100); do pgrep -f '^sleep 4321' >/dev/null || exit; sleep 0.1; done; echo left")))
  end)

  for _, job in ipairs(jobs) do
    if job.short then
      it(job.name, function()
        local needs = transparency.missing(job)
        if needs then pending(needs) end
        for _, result in ipairs(transparency.try(job, transparency.hosts)) do
          assert.is_nil(result.unusable)
          if result.again then
            print("# now and then: " .. job.name .. ", " .. result.host .. ": " .. table.concat(result.again, "\n# "))
          end
          assert.same({}, result.new, result.host)
          assert.same({}, result.left_over, result.host)
        end
      end)
    end
  end
end)
