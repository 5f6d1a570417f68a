-- run-tests.lua - runs test programs and busted specs, one process each, and adds up
--
--   lua5.4 scripts/run-tests.lua [options] FILE...
--
-- A FILE that ends in _spec.lua is run by busted, any other is a program. Both print TAP lines
-- ("ok ...", "not ok ...", "ok ... # SKIP why") and at their end how many tests there were, as
-- "1..N" or "N passed, N failed", so that one that ends early is noticed. The raw output is kept in
-- BUILD/test/ and shown when something failed. The last line here is
-- "N passed, N failed[, N skipped]"; before it one that names the missing packages because of which tests
-- were left out ("# SKIP needs PACKAGE...").
--
-- Each process has an environment of its own, which is the same everywhere, no signal ignored, and a
-- temporary folder that is gone afterwards. Files, and the tests of a spec, run in a random order.
--
--   --build DIR        the build under test (default: build)
--   --jobs N           so many processes at a time (default: one for each CPU)
--   --seed N           the order of a run that printed this number
--   --prefix COMMAND, --spec-prefix COMMAND
--                      put before each program, before busted: valgrind, or env(1)
--   --as-user-too      when root, run the specs a second time as an ordinary user
--   --namespace        each process in new namespaces of pids and mounts, where pids are small

local SECONDS = 300 -- a process that runs longer hangs, which is a failure
local USER = "nobody"
local AS_USER = ("setpriv --reuid=%s --regid=nogroup --clear-groups "):format(USER)

-- The shell is process 1 there, which reaps, and the test an ordinary process.
local NAMESPACE = [[unshare --pid --fork --kill-child --mount-proc sh -c '"$@"; exit $?' sh ]]

local ENVIRONMENT = "env -i --default-signal PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "
  .. 'LANG=C.UTF-8 LC_ALL=C.UTF-8 TZ=UTC0 TERM=dumb HOME="$tmp" TMPDIR="$tmp" '

-- Runs a job, and prints how it ended. Other users may enter its folder: root's specs run programs as other users.
local SHELL_LINE = [[tmp=$(mktemp -d %s/lencase-test-XXXXXX) && chmod 711 "$tmp" && %s || exit 255; ]]
  .. [[log=$(realpath -m %s); start=$(date +%%s); ]]
  .. [[trap 'kill $!; wait $!; rm -rf "$tmp"; exit 255' INT TERM HUP; ( cd %s && exec timeout -k 5 %d %s ]]
  .. ENVIRONMENT .. [[LENCASE_BUILD=%s %s %s ) > "$log" 2>&1 < /dev/null & ]]
  .. [[wait $!; status=$?; rm -rf "$tmp"; echo %d $status $(($(date +%%s) - start))]]

-- Runs the jobs of a file, so many at a time, and removes the files named after them, also when interrupted.
local RUN_JOBS = [[trap : INT TERM HUP; xargs -a %s -d '\n' -n 1 -P %d sh -c; rm -rf %s]]

---@class options
---@field build string
---@field jobs integer
---@field seed integer
---@field prefix string
---@field spec_prefix string
---@field as_user_too boolean
---@field namespace boolean
---@field files string[]

---@class counts
---@field passed integer
---@field failed integer
---@field skipped integer

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

---@param argv string[]
---@return options
local function parse_options(argv)
  local opts = { build = "build", jobs = tonumber(line_of "nproc"), seed = math.random(999999), prefix = "",
                 spec_prefix = "", as_user_too = false, namespace = false, files = {} }
  local i = 1
  while argv[i] do
    local name = argv[i]:match "^%-%-(.*)$"
    local key = (name or "files"):gsub("-", "_")
    if not name then
      table.insert(opts.files, argv[i])
    elseif opts[key] == false then
      opts[key] = true
    else
      local integer = math.type(opts[key])
      assert(integer or type(opts[key]) == "string", "no such option: " .. argv[i])
      local value = assert(argv[i + 1], argv[i] .. " needs a value")
      opts[key] = not integer and value or assert(math.tointeger(tonumber(value)), argv[i] .. " needs a number")
      i = i + 1
    end
    i = i + 1
  end
  return opts
end

---@param file string
---@return boolean
local function is_spec(file)
  return file:find "_spec%.lua$" ~= nil
end

-- busted's first line may ask for another Lua, so it is given to this one.
---@param file string
---@param seed integer
---@return string
local function command_of(file, seed)
  if not is_spec(file) then return quote(file) end
  return ("lua5.4 /usr/bin/busted --verbose --output=TAP --shuffle --seed=%d %s"):format(seed, quote(file))
end

---@param log string
---@return counts
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

-- How many tests a process says it ran; nil: it does not say.
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

-- What is wrong with a process as a whole, apart from its TAP lines; nil: nothing.
---@param file string
---@param status integer
---@param log string
---@param n counts
---@return string?
local function complaint(file, status, log, n)
  local total = n.passed + n.failed + n.skipped
  if is_spec(file) and not loadfile(file) then return select(2, loadfile(file)) end
  if status == 124 or status == 137 then return ("hung: ended after %d s"):format(SECONDS) end
  if status > 128 then return ("died of signal %d"):format(status % 128) end
  if status ~= 0 and n.failed == 0 then return ("ended with status %d"):format(status) end
  if total == 0 then return "ran no test" end
  if count_claimed(log) ~= total then return "ended before its end" end
end

---@param path string
---@return string
local function contents(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read "a"
end

---@class job
---@field file string
---@field dir string where the tree is
---@field as_user boolean
---@field log string
---@field line? string

-- The line that runs the job of that number.
---@param opts options
---@param job job
---@param number integer
---@return string
local function line_for(opts, job, number)
  local before = (opts.namespace and NAMESPACE or "") .. (job.as_user and AS_USER or "")
  return SHELL_LINE:format(job.as_user and "/tmp" or '"${TMPDIR:-/tmp}"',
                           job.as_user and ('chown %s: "$tmp"'):format(USER) or ":", quote(job.log), quote(job.dir),
                           SECONDS, before, quote(opts.build), is_spec(job.file) and opts.spec_prefix or opts.prefix,
                           command_of(job.file, opts.seed), number)
end

-- Reports a job that has ended in a line, with its output when it failed.
---@param job job
---@param status integer
---@param seconds integer
---@param wanting table<string, integer> package -> tests that were left out
---@return counts
local function report(job, status, seconds, wanting)
  local output = contents(job.log)
  local n = count_tap(output)
  local wrong = complaint(job.file, status, output, n)
  if wrong then n.failed = n.failed + 1 end
  print(("%-6s %s%s: %d passed, %d failed, %d skipped, %d s%s"):format(n.failed == 0 and "ok" or "FAILED",
    job.file, job.as_user and " (as " .. USER .. ")" or "", n.passed, n.failed, n.skipped, seconds,
    wrong and " (" .. wrong .. ")" or ""))
  if n.failed > 0 then print(output .. "-- end of " .. job.log) end
  for packages in output:gmatch "# SKIP [^\n]-needs ([^\n]+)" do wanting[packages] = (wanting[packages] or 0) + 1 end
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

-- The jobs in the order of the seed.
---@param opts options
---@param copy? string the ordinary user's tree
---@return job[]
local function jobs_of(opts, copy)
  local jobs = {}
  local function add(file, dir, as_user)
    local log = ("%s/test/%s%s.log"):format(opts.build, as_user and "user-" or "", file:gsub("/", "-"))
    table.insert(jobs, { file = file, dir = dir, as_user = as_user, log = log })
  end
  for _, file in ipairs(opts.files) do
    add(file, ".", false)
    if copy and is_spec(file) then add(file, copy, true) end
  end
  math.randomseed(opts.seed)
  for i = #jobs, 2, -1 do
    local j = math.random(i)
    jobs[i], jobs[j] = jobs[j], jobs[i]
  end
  return jobs
end

---@param opts options
---@param copy? string the ordinary user's tree, which is removed
---@return counts sum
---@return table<string, integer> wanting
local function run(opts, copy)
  local jobs = jobs_of(opts, copy)
  local sum, wanting, lines = { passed = 0, failed = 0, skipped = 0 }, {}, {}
  for number, job in ipairs(jobs) do table.insert(lines, line_for(opts, job, number)) end
  local list = line_of [[mktemp "${TMPDIR:-/tmp}/lencase-test-XXXXXX"]]
  local file = assert(io.open(list, "w"))
  file:write(table.concat(lines, "\n"), "\n")
  file:close()
  local ended <close> = assert(io.popen(RUN_JOBS:format(quote(list), opts.jobs, quote(list) .. " " .. (copy or ""))))
  local reports = 0
  for number, status, seconds in ended:lines("n", "n", "n") do
    for what, count in pairs(report(jobs[number], status, seconds, wanting)) do sum[what] = sum[what] + count end
    reports = reports + 1
  end
  assert(reports == #jobs, ("%d of %d files did not run"):format(#jobs - reports, #jobs))
  return sum, wanting
end

---@param opts options
---@return boolean # nothing failed, and something ran
local function run_all(opts)
  if opts.namespace and not os.execute(NAMESPACE .. "true") then
    print "left out: no namespaces of pids and mounts can be made here\n0 passed, 0 failed, 1 skipped"
    return true
  end
  assert(os.execute("mkdir -p " .. quote(opts.build .. "/test")))
  print(("%d at a time, in the order of --seed %d"):format(opts.jobs, opts.seed))
  local copy = opts.as_user_too and line_of "id -u" == "0" and copy_for_user(opts) or nil
  local sum, wanting = run(opts, copy)
  local missing = {}
  for packages, n in pairs(wanting) do table.insert(missing, ("%d without %s"):format(n, packages)) end
  table.sort(missing)
  if #missing > 0 then print("left out: " .. table.concat(missing, "; ")) end
  print(("%d passed, %d failed%s"):format(sum.passed, sum.failed,
    sum.skipped > 0 and (", %d skipped"):format(sum.skipped) or ""))
  return sum.failed == 0 and sum.passed > 0
end

os.exit(run_all(parse_options(arg)))
