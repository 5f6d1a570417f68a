-- What a program gets from calls with arguments that no sensible program gives: the same under a grate that forwards
-- them and without one. spec/c/helper_values.c makes the calls.

local support = require "spec.support"

-- A grate that handles every call that is described, except for those that do not return. EXACT
-- is "true" or "false", HANDLER what an entry has before it.
local everything = [=[
local lencase = require "lencase"
local never = { rt_sigreturn = true, exit = true, exit_group = true, restart_syscall = true }
local handed, exact = {}, EXACT
for _, family in ipairs(require "lencase.calls.data".families) do never[family[1]] = never[family[1]] or not exact end
for _, sig in ipairs(require "lencase.calls.signatures".list()) do
  local call = lencase.sys[sig.name]
  local function hand_on(...) return call(...) end
  local function hand_nothing_on() return call() end
  local _ = hand_on, hand_nothing_on
  if not never[sig.name] and sig.nr < 1000 then handed[sig.name] = { HANDLER, exact = exact } end
end
return lencase.grate(handed)
]=]

local grates = {
  { "that hands all arguments on", '"copy all", hand_on', "true" },
  { "that names none of them", '"copy all", hand_nothing_on', "true" },
  { "that passes all through", '"pass all", hand_nothing_on', "true" },
  { "that observes and returns nothing", '"copy all", function() end', "true" },
  { "that takes families", '"copy all", hand_on', "false" },
}

local programs = {
  trace = "lua5.4 scripts/lencase run GRATE -- BUILD/spec/helper_values",
  inline = "lua5.4 scripts/lencase run --inline GRATE -- BUILD/spec/dynamic_values",
}

-- Inline there is no clone3: a C library takes clone then (core/host/inline/README.md).
local function lines_of(text, host)
  local out = {}
  for line in text:gmatch "[^\n]+" do
    local left_out = host == "inline" and (line:find "clone3" or line:find "^its status")
    if not left_out then table.insert(out, line) end
  end
  return out
end

local function filled(line, grate) return (line:gsub("BUILD", support.build):gsub("GRATE", grate or "")) end

-- MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS: an empty path, where nothing was mapped when the handler ran
local mapped_since = [[
local lencase = require "lencase"
return lencase.grate { open = function(path, flags)
  if not lencase.is_bad(path) then return end
  assert(lencase.sys.mmap(0x10000, 4096, 3, 0x32, -1, 0) == 0x10000)
  return lencase.sys.open(path, flags)
end }
]]

describe("a pointer that could not be read", function()
  for _, host in ipairs(support.hosts) do
    if programs[host.name] then
      it("is bad for the kernel, too, when it is forwarded, on host " .. host.name, function()
        support.in_folder(function(dir)
          local path = support.write_file(dir .. "/grate.lua", mapped_since)
          local report, log = host.run({ path }, support.calls({ "open 0x10000 0", "open 0x10000 0" }, dir), dir)
          assert.same({}, log)
          assert.same({ "-14", "-2" }, report) -- the second time it is an empty path
        end)
      end)
    end
  end
end)

describe("bytes that end early", function()
  it("do not end a string where a program has made the page after them readable", function()
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/grate.lua", [[
local lencase = require "lencase"
return lencase.grate { open = function(path, flags)
  if lencase.is_bad(path) then return lencase.sys.open(path, flags) end
end }
]])
      local trace = support.hosts[2]
      assert.equal("trace", trace.name)
      local guard = "0x7e9000005000" -- the first of the window's
      local calls = { "open !@/etc/passwd 0", ("mprotect %s 4096 1"):format(guard), "open !@/etc/passwd 0" }
      assert.same({ "-14", "0", "-36" }, (trace.run({ path }, support.calls(calls, dir), dir)))
    end)
  end)

  it("do not wait for room: when there is none, that is reported and the caller gets ENOMEM", function()
    support.in_folder(function(dir)
      local path = support.write_file(dir .. "/grate.lua", [[
local lencase = require "lencase"
return lencase.grate { sendto = function(fd, buf, ...) return lencase.sys.sendto(fd, buf, ...) end }
]])
      local out, err, status = support.sh(filled("lua5.4 scripts/lencase run -q GRATE -- BUILD/spec/helper_many", path))
      assert.equal(0, status)
      assert.equal("ENOMEM\nENOMEM\n", out)
      assert.is_truthy(err:find("buf at 0x%x+ %(9 bytes%) ends early, and no place is left where it could: "
                                .. "in sendto: cage %d+ %(helper_many%); the caller gets ENOMEM\n"), err)
      assert.is_truthy(err:find "sendto: 1 more such calls were not reported\n$", err)
    end)
  end)
end)

describe("arguments of any kind under a grate", function()
  for _, host in ipairs(support.hosts) do
    local line = programs[host.name]
    for _, grate in ipairs(line and grates or {}) do
      it(("%s, on host %s, are what they are without it"):format(grate[1], host.name), function()
        support.in_folder(function(dir)
          local path =
            support.write_file(dir .. "/grate.lua", (everything:gsub("EXACT", grate[3]):gsub("HANDLER", grate[2])))
          local native = support.sh(filled("BUILD/spec/helper_values"))
          local out, err, status = support.sh(filled(line, path))
          assert.equal(0, status, err)
          assert.equal("", err)
          assert.is_true(#lines_of(native) > 300)
          assert.same(lines_of(native, host.name), lines_of(out, host.name))
        end)
      end)
    end
  end
end)
