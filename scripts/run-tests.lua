-- run-tests.lua - runs test programs and busted specs, one process each, and adds up
--
--   lua5.4 scripts/run-tests.lua [options] FILE...
--
-- A FILE that ends in _spec.lua is run by busted, any other is a program. Both print TAP lines
-- ("ok ...", "not ok ...", "ok ... # SKIP why") and at their end how many tests there were, as
-- "1..N" or "N passed, N failed", so that one that ends early is seen. The raw output is kept in
-- BUILD/test/ and shown when something failed. The last line here is
-- "N passed, N failed[, N skipped]".
--
--   --build DIR        the build under test (default: build)
--   --prefix COMMAND, --spec-prefix COMMAND
--                      put before each program, before busted: valgrind, or env(1)
--   --as-user-too      when root, run the specs a second time as an ordinary user

local SECONDS = 300 -- a process that runs longer hangs, which is a failure
local USER = "nobody"

-- log, folder, build, seconds, prefix of the user, prefix of the tool, command
local SHELL_LINE = "log=$(realpath -m %s); cd %s && "
  .. "LENCASE_BUILD=%s timeout -k 5 %d %s %s %s > $log 2>&1 < /dev/null"

---@class options
---@field build string
---@field prefix string
---@field spec_prefix string
---@field as_user_too boolean
---@field files string[]

---@param argv string[]
---@return options
local function parse_options(argv)
  local opts = { build = "build", prefix = "", spec_prefix = "", as_user_too = false, files = {} }
  local i = 1
  while argv[i] do
    if argv[i] == "--as-user-too" then
      opts.as_user_too = true
    elseif argv[i]:find "^%-%-" then
      local name = argv[i]:sub(3):gsub("-", "_")
      assert(type(opts[name]) == "string", "no such option: " .. argv[i])
      opts[name] = assert(argv[i + 1], argv[i] .. " needs a value")
      i = i + 1
    else
      table.insert(opts.files, argv[i])
    end
    i = i + 1
  end
  return opts
end

---@param word string
---@return string # the word, quoted for sh
local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

---@param command string
---@return string # its first line of output
local function line_of(command)
  local pipe = assert(io.popen(command))
  local line = pipe:read "l" or ""
  pipe:close()
  return line
end

---@param file string
---@return boolean
local function is_spec(file)
  return file:find "_spec%.lua$" ~= nil
end

-- busted's first line may ask for another Lua, so it is given to this one.
---@param file string
---@return string
local function command_of(file)
  if is_spec(file) then return "lua5.4 /usr/bin/busted --verbose --output=TAP " .. quote(file) end
  return quote(file)
end

---@param log string
---@return { passed: integer, failed: integer, skipped: integer }
local function count_tap(log)
  local n = { passed = 0, failed = 0, skipped = 0 }
  for line in log:gmatch "[^\n]+" do
    if line:find "^not ok" then
      n.failed = n.failed + 1
    elseif line:find "^ok.*# SKIP" then
      n.skipped = n.skipped + 1
    elseif line:find "^ok" then
      n.passed = n.passed + 1
    end
  end
  return n
end

-- How many tests a process says it ran; nil: it says nothing.
---@param log string
---@return integer?
local function count_claimed(log)
  local claim
  for line in log:gmatch "[^\n]+" do
    local passed, failed = line:match "^(%d+) passed, (%d+) failed"
    claim = passed and passed + failed or line:match "^1%.%.(%d+)$" or claim
  end
  return math.tointeger(claim)
end

-- What is wrong with a process as a whole, whatever its TAP lines say; nil: nothing.
---@param file string
---@param how "exit"|"signal"
---@param code integer
---@param log string
---@param n { passed: integer, failed: integer, skipped: integer }
---@return string?
local function complaint(file, how, code, log, n)
  local total = n.passed + n.failed + n.skipped
  if is_spec(file) and not loadfile(file) then return select(2, loadfile(file)) end
  if how == "exit" and code == 124 then return ("hung: ended after %d s"):format(SECONDS) end
  if how == "signal" or code > 128 then return ("died of signal %d"):format(code % 128) end
  if code ~= 0 and n.failed == 0 then return ("ended with status %d"):format(code) end
  if total == 0 then return "ran no test" end
  if count_claimed(log) ~= total then return "ended before its end" end
end

---@param path string
---@return string
local function contents(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read "a"
end

-- Runs one file in folder 'dir' and reports it in a line, with its output when it failed.
---@param opts options
---@param file string
---@param dir string
---@param user_prefix string
---@return { passed: integer, failed: integer, skipped: integer }
local function run(opts, file, dir, user_prefix)
  local name = file:gsub("/", "-")
  local log = ("%s/test/%s%s.log"):format(opts.build, user_prefix ~= "" and "user-" or "", name)
  local _, how, code = os.execute(SHELL_LINE:format(quote(log), quote(dir), quote(opts.build),
    SECONDS, user_prefix, is_spec(file) and opts.spec_prefix or opts.prefix, command_of(file)))
  local output = contents(log)
  local n = count_tap(output)
  local wrong = complaint(file, how, code, output, n)
  if wrong then n.failed = n.failed + 1 end
  print(("%-6s %s%s: %d passed, %d failed, %d skipped%s"):format(n.failed == 0 and "ok" or "FAILED",
    file, user_prefix ~= "" and " (as " .. USER .. ")" or "", n.passed, n.failed, n.skipped,
    wrong and " (" .. wrong .. ")" or ""))
  if n.failed > 0 then print(output .. "-- end of " .. log) end
  return n
end

-- A copy of the tree that the ordinary user owns: it may not be able to read this one.
---@param opts options
---@return string dir
local function copy_for_user(opts)
  local dir = line_of "mktemp -d /tmp/lencase-test-XXXXXX"
  assert(os.execute(("cp -a Makefile README.md .busted core lua scripts examples spec %s %s && chown -R %s: %s")
    :format(quote(opts.build), dir, USER, dir)))
  return dir
end

---@param opts options
---@return boolean # nothing failed, and something ran
local function run_all(opts)
  local sum = { passed = 0, failed = 0, skipped = 0 }
  local function add(file, dir, user_prefix)
    for what, count in pairs(run(opts, file, dir, user_prefix)) do sum[what] = sum[what] + count end
  end
  assert(os.execute("mkdir -p " .. quote(opts.build .. "/test")))
  for _, file in ipairs(opts.files) do add(file, ".", "") end
  if opts.as_user_too and line_of "id -u" == "0" then
    local dir = copy_for_user(opts)
    local as_user = ("setpriv --reuid=%s --regid=nogroup --clear-groups env HOME=%s"):format(USER, dir)
    for _, file in ipairs(opts.files) do
      if is_spec(file) then add(file, dir, as_user) end
    end
    os.execute("rm -rf " .. quote(dir))
  end
  print(("%d passed, %d failed%s"):format(sum.passed, sum.failed,
    sum.skipped > 0 and (", %d skipped"):format(sum.skipped) or ""))
  return sum.failed == 0 and sum.passed > 0
end

os.exit(run_all(parse_options(arg)))
