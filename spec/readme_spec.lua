-- The fenced blocks of README and of the page that it goes on in, each one run: what a newcomer copies works, and does
-- what is said of it.

local support = require "spec.support"

local PAGES = { "README.md", "lua/lencase/README.md" }
local README = ""
for _, page in ipairs(PAGES) do README = README .. support.read_file(page) end

-- { page =, language =, line =, text = } in their order.
local function blocks_of(page)
  local blocks, block, n = {}, nil, 0
  for line in support.read_file(page):gmatch "([^\n]*)\n" do
    n = n + 1
    local fence = line:match "^%s*```(.*)$"
    if fence and block then
      table.insert(blocks, block)
      block = nil
    elseif fence then
      block = { page = page, language = fence, line = n, text = "" }
    elseif block then
      block.text = block.text .. line .. "\n"
    end
  end
  assert(not block, page .. ": a block has no end")
  return blocks
end

-- Those of all pages but pictures.
local BLOCKS = {}
for _, page in ipairs(PAGES) do
  for _, block in ipairs(blocks_of(page)) do
    if block.language ~= "text" then table.insert(BLOCKS, block) end
  end
end

-- A script is named by its first line.
local function script_of(block)
  return assert(block.text:match "^%-%- ([%w_]+%.lua)%f[\n:]", "the first line of a script does not name it")
end

-- A line is a command, unless it goes on in the next.
local function commands_of(block)
  local list = {}
  for line in block.text:gsub("\\\n", " "):gmatch "[^\n]+" do
    local command = line:gsub("%s+#.*$", "")
    if command ~= "" and not command:find "^#" then table.insert(list, command) end
  end
  return list
end

-- Commands that are not run here, and why.
local skipped = {
  ["make test"] = "it runs this spec",
}

-- What README says about a command: where to look for it, as a pattern.
local promised = {
  ["make demo"] = { err = "%d+ [^\n]*core%.tar\n" },
  ["scripts/lencase run count.lua -- sh -c 'echo hello > /tmp/greeting'"] = {
    said = "`6 /tmp/greeting`", out = "^$", err = "%f[^\n\0]6 /tmp/greeting\n",
  },
}

describe("README's", function()
  local dir -- of the scratch copy, of what is installed from it, and of the folder that replaces /tmp
  local clean = "env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES -u LENCASE_BUILD -u LUA_PATH -u LUA_CPATH "
    .. "-u LUA_PATH_5_4 -u LUA_CPATH_5_4 "

  -- /tmp is shared by the users of a machine, who would find each other's files there.
  local function here(text) return (text:gsub("/tmp/", (dir:gsub("%%", "%%%%")) .. "/tmp/")) end
  local function there(text) return (text:gsub((dir .. "/tmp/"):gsub("%p", "%%%0"), "/tmp/")) end

  -- Runs a command in the scratch copy as a newcomer does: nothing of this process's build is known.
  local function run(command, settings)
    local out, err, status, how = support.sh(("cd %s/tree && %s %s sh -c %s < /dev/null")
      :format(dir, clean, settings or "", support.quote(command)))
    return there(out), there(err), status, how
  end

  local function must_run(command, settings)
    local out, err, status = run(command, settings)
    assert.are.equal(0, status, command .. "\n" .. out .. err)
    return out, err
  end

  setup(function()
    dir = support.new_folder()
    local _, err, status =
      support.sh(("mkdir %s/tree %s/tmp && tar cf - --exclude='./build*' --exclude=./.git . | tar xf - -C %s/tree")
      :format(dir, dir, dir))
    assert(status == 0, err)
    for _, block in ipairs(BLOCKS) do
      if block.language == "lua" then support.write_file(("%s/tree/%s"):format(dir, script_of(block)), block.text) end
    end
    must_run "make demo" -- as README begins; what follows is in any order
  end)

  teardown(function() os.execute("rm -rf " .. support.quote(dir)) end)

  local function keep(promise, said, text)
    if promise then assert.is_truthy(text:find(promise), said .. text) end
  end

  local runners, run_spec = {}, nil

  function runners.sh(block)
    for _, command in ipairs(commands_of(block)) do
      if not skipped[command] then
        local promise = promised[command] or {}
        local out, err = must_run(here(command))
        keep(promise.out, command .. "\n", out)
        keep(promise.err, command .. "\n", err)
        if promise.said then assert.is_truthy(README:find(promise.said, 1, true), promise.said) end
      end
    end
  end

  -- Commands, and what each shows.
  function runners.console(block)
    for command, shows in ("\n" .. block.text):gmatch "\n%$ ([^\n]*)\n([^$]*)" do
      local out, err = must_run(here(command))
      assert.are.equal(shows, out .. err)
    end
  end

  -- The other blocks run it.
  function runners.lua(block)
    local name = script_of(block)
    assert(load(block.text, "@" .. name, "t"))
    if name:find "_spec%.lua$" then run_spec(name) end
  end

  -- How README says that it is compiled and where its script finds the module.
  function runners.c(block)
    local line = assert(README:match "`(cc embed%.c [^`]+)`", "README does not say how embed.c is compiled")
    local prefix = dir .. "/prefix"
    local settings = ("PKG_CONFIG_PATH=%s/lib/pkgconfig LD_LIBRARY_PATH=%s/lib "):format(prefix, prefix)
      .. ("LUA_PATH='%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua;;' LUA_CPATH='%s/lib/lua/5.4/?.so;;'")
        :format(prefix, prefix, prefix)
    local function status_of(command) return (select(3, run(command, settings))) end
    must_run("make -s install PREFIX=" .. prefix)
    support.write_file(dir .. "/tree/embed.c", block.text)
    must_run(line:gsub("^cc", "cc -Wall -Wextra -Werror"), settings)
    local out, err = must_run(here "./a.out count.lua sh -c 'echo hello > /tmp/greeting; echo said'", settings)
    assert.are.equal("said\n", out)
    assert.is_truthy(err:find "%f[^\n\0]6 /tmp/greeting\n", err)
    assert.are.equal(7, status_of "./a.out count.lua sh -c 'exit 7'")
    assert.are.equal(128 + 15, status_of "./a.out count.lua sh -c 'kill -TERM $$'")
    assert.are.equal(125, status_of "./a.out count.lua /nonexistent/program")
    assert.are.equal(125, status_of "./a.out nonexistent.lua true")
    assert.are.equal(125, status_of "./a.out")
  end

  -- A program in a terminal, given what is typed at each prompt: what it shows, without what moves a cursor.
  local function shown(program, typed)
    local steps = {}
    for _, line in ipairs(typed) do
      table.insert(steps, support.quote(line.prompt))
      table.insert(steps, support.quote(line.text:gsub("\\", "\\\\") .. "\\r"))
    end
    local text =
      must_run(("TERM=dumb NO_COLOR=1 LENCASE_HISTORY=/dev/null /usr/bin/python3 spec/repl_terminal.py %s '> ' '\\x04' "
                .. "-- %s")
      :format(table.concat(steps, " "), program))
    return (text:gsub("\27%[[%d;?]*%a", ""):gsub("\r", ""))
  end

  -- Times differ from run to run.
  local function timeless(text) return (text:gsub("%f[%d][%d.]+ [mu]?s%f[%W]", "TIME")) end

  -- A session at the prompt: what is typed follows the prompts, all else is what it prints.
  local function session_of(command, text)
    local typed = {}
    for line in text:gmatch "[^\n]+" do
      local prompt, what = line:match "^(>+ )(.*)$"
      if prompt then table.insert(typed, { prompt = prompt, text = what }) end
    end
    local out = shown(command, typed)
    local banner, session = out:match "^(lencase [^\n]*\n)(.*)> \n$"
    assert.is_truthy(banner, out)
    return session
  end

  function runners.repl(block)
    assert.are.equal(timeless(block.text), timeless(session_of("scripts/lencase repl", block.text)))
  end

  -- The same with a program after it: the first line is what is typed in a shell.
  function runners.live(block)
    local command, text = block.text:match "^%$ ([^\n]+)\n(.*)$"
    local shows = session_of("scripts/" .. command, text)
    local function nameless(session) return (("\n" .. session):gsub("\n%d+ ", "\nPID ")) end
    assert.are.equal(nameless(text), nameless(shows))
  end

  -- How README says that a spec is run, in a checkout and when lencase is installed.
  function run_spec(name)
    local command =
      assert(README:match("`(LUA_PATH=[^`]*busted[^`]*" .. name:gsub("%.", "%%.") .. ")`"), name .. ": how is it run?")
    local out, err = must_run((command:gsub("\n", " ")))
    assert.is_truthy(out:find "1 success / 0 failures / 0 errors", out)
    assert.is_truthy(err:find "^4 /tmp/x\n$", err)
    assert.is_truthy(README:find("`busted --lua=lua5.4 " .. name .. "`", 1, true))
  end

  for _, block in ipairs(BLOCKS) do
    it(("%s block of %s, line %d, works"):format(block.language, block.page, block.line), function()
      local runner = assert(runners[block.language], "no way to run a block in '" .. block.language .. "'")
      runner(block)
    end)
  end

  it("promises are about commands that it shows", function()
    local shown_commands = {}
    for _, block in ipairs(BLOCKS) do
      for _, command in ipairs(block.language == "sh" and commands_of(block) or {}) do
        shown_commands[command] = true
      end
    end
    for command in pairs(promised) do assert.is_true(shown_commands[command], command) end
    for command in pairs(skipped) do assert.is_true(shown_commands[command], command) end
  end)

  it("exit statuses are what lencase run ends with", function()
    local function status_of(program, script)
      local _, _, status = run(("scripts/lencase run %s -- %s"):format(script or "count.lua", program))
      return status
    end
    assert.is_truthy(README:find "or 125,%s126,%s127%sas%swith%senv%(1%)")
    assert.are.equal(7, status_of "sh -c 'exit 7'")
    assert.are.equal(128 + 15, status_of "sh -c 'kill -TERM $$'")
    assert.are.equal(125, status_of("true", "nonexistent.lua"))
    assert.are.equal(126, status_of "./README.md")
    assert.are.equal(127, status_of "/nonexistent/program")
  end)
end)
