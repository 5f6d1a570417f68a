-- support.lua - what the specs share: folders, files, and cages on both hosts

local core = require "lencase.core"

local support = {}

support.build = os.getenv "LENCASE_BUILD" or "build"

--- Whether programs run with a sanitizer's runtime inside: make asan.
support.sanitized = (os.getenv "LD_PRELOAD" or ""):find "asan" ~= nil

-- {================================== files =================================

function support.quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

function support.write_file(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

function support.read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

--- A fresh folder, of TMPDIR.
function support.new_folder()
  local pipe <close> = assert(io.popen "mktemp -d")
  return pipe:read "l"
end

--- Runs f(dir) with a fresh folder that is gone afterwards.
function support.in_folder(f)
  local dir = support.new_folder()
  local ok, message = xpcall(f, function(m) return type(m) == "string" and debug.traceback(m, 2) or m end, dir)
  os.execute("rm -rf " .. support.quote(dir))
  if not ok then error(message, 0) end
end

-- Of what a command prints.
local outputs = support.new_folder()
setmetatable(support, { __gc = function() os.execute("rm -rf " .. support.quote(outputs)) end })

--- Runs a command line; its standard output, standard error and status ("exit", n).
function support.sh(line)
  local out, err = outputs .. "/out", outputs .. "/err"
  local _, how, n = os.execute(("{ %s\n} >%s 2>%s"):format(line, support.quote(out), support.quote(err)))
  local o, e = support.read_file(out), support.read_file(err)
  os.remove(out)
  os.remove(err)
  return o, e, n, how
end

support.lencase = support.build .. "/bin/lencase"

--- The packages that are not here, of those in missing{ wabt = "command -v wasm2c" }, by what shows that they are:
--- a reason for `pending`, which scripts/run-tests.lua prints at its end; nil: all are.
function support.missing(signs)
  local missing = {}
  for package, sign in pairs(signs) do
    if not os.execute(("{ %s; } >/dev/null 2>&1"):format(sign)) then table.insert(missing, package) end
  end
  table.sort(missing)
  return missing[1] and "needs " .. table.concat(missing, ", ")
end

--- Whether an outer seccomp filter is in force, as in a container: it answers some calls before lencase's does.
function support.seccomp_status(pid)
  return tonumber(support.read_file(("/proc/%s/status"):format(pid or "self")):match "\nSeccomp:\t(%d)")
end

support.filtered = support.seccomp_status() == 2

support.no_readline = support.missing { libreadline8 = "ldconfig -p | grep 'libreadline[.]so[.]8'" }

local here = assert(io.popen "pwd")
support.pwd = here:read "l"
here:close()

--- Why another user's program cannot use this build (a checkout in /root): a reason for `pending`; nil: it can.
support.private = not os.execute((
  'setpriv --reuid 65534 --clear-groups test -r "$(realpath %s/liblencase-engine.so)" 2>/dev/null')
    :format(support.build))
  and "other users cannot read this checkout"

-- }==========================================================================

-- {================================== cages =================================

--- The calls of a case with their numbers: "write 1 @x 1" -> "1 1 @x 1"
function support.calls(calls, dir)
  local out = {}
  for i, call in ipairs(calls) do
    call = call:gsub("DIR", (dir:gsub("%%", "%%%%")))
    out[i] = call:gsub("^%S+", function(name) return tostring(tonumber(name) or core.callnum(name)) end)
  end
  return out
end

local function words_of(list)
  local out = {}
  for i, word in ipairs(list) do out[i] = support.quote(word) end
  return table.concat(out, " ")
end

-- How a host's program is started, with its report and its calls to follow.
local starts = {
  sim = "LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='BUILD/?.so;;' "
    .. "lua5.4 spec/sim_caller.lua SCRIPTLIST REPORT CALLS",
  trace = "truncate -s 1M REPORT && " .. support.lencase .. " run SCRIPTS -- BUILD/spec/helper_caller CALLS 9<>REPORT",
  inline = "truncate -s 1M REPORT && " .. support.lencase
    .. " run --inline SCRIPTS -- BUILD/spec/dynamic_caller CALLS 9<>REPORT",
}

-- `scripts` are the paths of a stack, the bottom first; `debug` is what LENCASE_DEBUG is set to, if anything.
local function run(start, scripts, calls, dir, debug)
  local report, log = {}, {}
  local line = start:gsub("%u%u%u+", { SCRIPTS = table.concat(scripts, " "), SCRIPTLIST = table.concat(scripts, ":"),
                                       REPORT = dir .. "/report", BUILD = support.build,
                                       CALLS = words_of(calls) })
  if debug then line = "export LENCASE_DEBUG=" .. support.quote(debug) .. "; " .. line end
  local _, err, status = support.sh(line)
  assert(status == 0, ("status %s: %s"):format(status, err))
  for text in support.read_file(dir .. "/report"):gsub("%z*$", ""):gmatch "([^\n]*)\n" do table.insert(report, text) end
  for text in err:gmatch "[^\n]+" do table.insert(log, text) end
  return report, log
end

support.hosts = {}
for _, name in ipairs { "sim", "trace", "inline" } do
  local possible = name ~= "inline" or not support.sanitized -- the engine's namespace has no sanitizer's runtime
  if possible then
    table.insert(support.hosts, { name = name, run = function(...) return run(starts[name], ...) end })
  end
end

-- }==========================================================================

return support
