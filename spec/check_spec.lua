-- lencase check: a script for each mistake that it finds, and nothing found in the examples

local source = require "lencase.source"
local support = require "spec.support"

local HEAD = 'local lencase = require "lencase"\nlocal sys = lencase.sys\n'

-- Checks a script of that text; `lines` is what it prints, without the script's name.
local function checked(text, arguments)
  local out, err, status
  support.in_folder(function(dir)
    support.write_file(dir .. "/bad.lua", text)
    out, err, status = support.sh(("%s check %s/bad.lua %s"):format(support.lencase, dir, arguments or ""))
    out = out:gsub(dir:gsub("%p", "%%%0") .. "/", "")
  end)
  assert.are.equal("", err)
  return out, status
end

local function finds(expected, text)
  local out, status = checked(HEAD .. text)
  assert.are.equal(expected ~= "" and "bad.lua:" .. expected .. "\n" or "", out)
  assert.are.equal((expected == "" or expected:find "^%d+: hint") and 0 or 1, status)
end

-- An interface of one call, which begins on line 3.
local function finds_in(expected, entry) finds(expected, "return lencase.grate {\n" .. entry .. "\n}\n") end

describe("lencase check", function()
  describe("finds what loading finds:", function()
    it("what is not Lua", function()
      assert.are.equal("bad.lua:2: error: unexpected symbol near '='\n", (checked "local a\na = = 3"))
    end)

    it("a script that fails", function()
      assert.are.equal("bad.lua:1: error: attempt to concatenate a nil value\n", (checked "return nil .. 1"))
      assert.are.equal("bad.lua: error: which file?\n", (checked 'error("which file?", 0)'))
    end)

    it("a script without an interface", function()
      assert.are.equal("bad.lua: error: the script must end with 'return lencase.grate { ... }'\n",
                       (checked "return {}"))
    end)

    it("a misspelt call", function()
      finds_in("4: error: unknown call 'wriet' (did you mean 'write'?)", "wriet = function() end")
    end)

    it("a misspelt policy", function()
      finds_in("4: error: write: policy \"pass bfu\": line 1, column 6: write has no parameter 'bfu' (did you mean "
               .. "'buf'?)",
               'write = { "pass bfu", function() end }')
    end)

    it("parameters of another call", function()
      finds_in("4: error: a handler for write(fd, buf, count), but its parameters (pathname, flags, mode) look like "
               .. "those of open(pathname, flags, mode)", "write = function(pathname, flags, mode) end")
    end)

    it("a call that is handled twice", function()
      finds_in("4: error: 'write' is handled twice, by name and by number",
               "write = function() end, [1] = function() end")
    end)

    it("an invalid contract", function()
      local out = checked(HEAD .. 'return lencase.grate { write = { nil, nil, args = { cuont = "0.." } } }')
      assert.is_truthy(out:find "^bad.lua:3: error: write: .*cuont.*count", out)
    end)

    it("layers", function()
      finds_in('4: error: provide: default must be "pass", "deny" or "kill", not "dny"',
               'provide = { default = "dny" }')
      finds("4: error: sys.write is not among this grate's uses",
            'return lencase.grate { uses = { "read" }, read = function()\n  return sys.write() end }')
    end)

    it("several at once, by lines", function()
      local out =
        checked(HEAD .. "return lencase.grate {\n  wriet = print,\n  close = 3,\n  mkdir = function(a, b, c) end }")
      local lines = {}
      for line in out:gmatch "bad.lua:(%d+): error" do table.insert(lines, tonumber(line)) end
      assert.are.same({ 4, 5, 6 }, lines)
    end)
  end)

  describe("finds in the text:", function()
    it("globals", function()
      finds("3: warning: 'n' is a global: did you mean 'local n'?",
            "n = 1\nreturn lencase.grate { close = function() return n end }")
      finds("3: warning: 'f' is a global: did you mean 'local function f'?",
            "function f() end\nreturn lencase.grate {}")
      finds("3: warning: the global 'sting' is never assigned (did you mean 'string'?)",
            "return lencase.grate { close = function() return sting.len '' end }")
      finds("", "local _ENV = { n = 1, lencase = lencase }\nn = 2\nreturn lencase.grate {}")
      finds("", "_G.n = 1\nreturn lencase.grate { close = function() print(_G.n, arg) end }")
    end)

    it("names that no call has", function()
      finds("4: error: unknown call 'sys.wriet' (did you mean 'write'?)",
            "return lencase.grate { close = function()\n  return sys.wriet() end }")
      finds("3: error: unknown call 'sys.clsoe' (did you mean 'close'?)",
            "return lencase.grate { close = function() return require 'lencase'.sys.clsoe() end }")
      finds("", "local sys = {}\nreturn lencase.grate { close = function() return sys.wriet end }")
      finds("",
        "return lencase.grate { [2000] = { prototype = 'int frob(int a);', nil, function(a) return sys.frob(a) end } }")
    end)

    it("names that lencase does not have", function()
      finds("3: error: there is no lencase.cagee (did you mean 'cage'?)",
            "return lencase.grate { close = function() print(lencase.cagee) end }")
      finds('3: error: unknown errno "EPREM" (did you mean \'EPERM\'?)',
            "return lencase.grate { close = function() return lencase.fail 'EPREM' end }")
      finds('3: error: unknown errno "EPREM" (did you mean \'EPERM\'?)',
            "return lencase.grate { close = function() return -1, lencase.errno.EPREM end }")
    end)

    it("too many arguments of a call", function()
      finds("4: error: close takes 1 arguments, not 2",
            "return lencase.grate { close = function(fd)\n  return sys.close(fd, 3) end }")
      finds("", "return lencase.grate { close = function(...) return sys.close(3, ...) end }")
      finds("", "return lencase.grate { close = function(fd) return sys.close(print(fd)) end }")
    end)

    it("once what loading finds, too", function()
      finds('3: error: unknown errno "EPREM" (did you mean \'EPERM\'?)',
            "return lencase.grate { mount = lencase.fail 'EPREM' }")
      finds("3: error: unknown call 'sys.wriet' (did you mean 'write'?)", "local w = sys.wriet return lencase.grate {}")
      finds("3: error: there is no lencase.PAS (did you mean 'PASS'?)", "local p = lencase.PAS return lencase.grate {}")
    end)

    it("a handler that returns nothing after its call", function()
      finds("5: error: close: the handler returns nothing after making its call",
            "return lencase.grate { close = function(fd)\n  sys.close(fd)\nend }")
      finds("4: warning: close: the handler can return nothing here, and it may have made its call",
            "return lencase.grate { close = function(fd) if fd > 2 then sys.close() end\n  return nil end }")
      finds("5: error: close: the handler returns nothing after making its call",
            "local function close(fd) return sys.close(fd) end\nreturn lencase.grate { close = function(fd) "
            .. "close(fd)\nend }")
      finds("6: warning: close: the handler can return nothing here, and it may have made its call",
            "return lencase.grate { close = function(fd)\n  while fd > 0 do fd = sys.close(fd) end\n\nend }")
      finds("5: error: close: the handler returns nothing after making its call",
            "local function helper() sys.fsync() end\n"
            .. "return lencase.grate { close = function()\n  return helper() end }")
    end)

    local fine = {
      "if fd > 2 then return end return sys.close(fd)",
      "local n, errno = sys.close() if n == 0 then return 0 end return n, errno",
      "while true do local n = sys.close() if n == 0 then return n end end",
      "repeat local n = sys.close() if n then return n end until false",
      "sys.close() error 'never'",
      "for i = 1, fd do if i == 3 then return sys.close(i) end end",
      "do goto done end sys.close() ::done:: return 0",
      "if fd == 1 then sys.close() elseif fd == 2 then sys.dup() else return end return 0",
      "local function later() sys.close() end return later and 0",
    }
    for _, body in ipairs(fine) do
      it("nothing in: " .. body, function() finds_in("", "close = function(fd) " .. body .. " end") end)
    end

    it("copies that the handler does not use", function()
      finds_in('4: hint: write: buf is copied and the handler never uses it: "pass pointers" is cheaper',
               "write = function(fd, buf, count) return sys.write(fd, nil, count) end")
      finds_in('4: hint: rename: newpath is copied and the handler never uses it: "pass newpath" is cheaper',
               "rename = { 'copy all', function(oldpath, newpath) return sys.rename(oldpath) end }")
      finds_in('4: hint: fstat: statbuf is copied and the handler never uses it: "pass pointers" is cheaper',
               "fstat = function(fd) return sys.fstat(fd) end")
      finds_in("", "write = function(fd, buf) return sys.write(fd, tostring(buf):upper()) end")
      finds_in("", "fstat = function(fd) local n, errno, st = sys.fstat(fd) return n, errno, st end")
      finds_in("", "fstat = function(fd) local t = { sys.fstat(fd) } return table.unpack(t) end")
      finds_in("", "write = { 'pass buf', function(fd, buf) return sys.write(fd, buf) end }")
    end)

    it("decisions on what is passed through", function()
      finds_in("4: warning: write: a decision on 'buf', which is passed through: it is nil here",
               "write = { 'pass buf', function(fd, buf) if buf then return lencase.fail 'EPERM' end end }")
      finds_in("4: warning: unlink: a decision on 'pathname', which is passed through: it is nil here",
               "unlink = { lencase.PASS_THROUGH_POINTERS, function(pathname) if pathname:find '^/etc' then return 0 "
               .. "end end }")
      finds_in("5: warning: unlink: a decision on what 'pathname' points to, which can change before the kernel reads "
               .. "it: "
               .. "copy it", "unlink = { 'addr pathname', function(pathname) local path = "
                             .. "lencase.cage:string(pathname)\n"
               .. "  if path == '/etc' then return lencase.fail 'EPERM' end end }")
      finds_in("", "unlink = { 'addr pathname', function(pathname) local path = lencase.cage:string(pathname)\n"
               .. "  if not path then return lencase.fail 'EFAULT' end print(path) end }")
      finds_in("", "write = { 'pass buf', function(fd, buf) if sys.write(fd, buf) < 0 then return 3 end return 4 end }")
    end)
  end)

  it("writes a list for programs", function()
    local out, status = checked(HEAD .. "n = 1\nreturn lencase.grate { wriet = print }", "--json")
    assert.are.equal(1, status)
    assert.are.equal([[
[{"file": "bad.lua", "line": 3, "severity": "warning", "text": "'n' is a global: did you mean 'local n'?"},
 {"file": "bad.lua", "line": 4, "severity": "error", "text": "unknown call 'wriet' (did you mean 'write'?)"}]
]], out)
    out, status = checked("return require 'lencase'.grate {}", "--json")
    assert.are.equal("[]\n", out)
    assert.are.equal(0, status)
  end)

  it("gives scripts their arguments", function()
    local text = "if (...) ~= 'right' then error('which?', 0) end\nreturn require 'lencase'.grate {}"
    assert.are.equal(1, (select(2, checked(text))))
    assert.are.equal(0, (select(2, checked(text, "right"))))
    assert.are.equal(0, (select(2, checked(text, "-- right"))))
    assert.are.equal(0, (select(2, checked(text, "right --json"))))
  end)

  it("knows the calls that another script describes", function()
    support.in_folder(function(dir)
      support.write_file(dir .. "/below.lua", HEAD
        .. "return lencase.grate { [2000] = { prototype = 'int frob(int a);', nil, function(a) return a end } }")
      support.write_file(dir .. "/above.lua",
                         HEAD .. "return lencase.grate { close = function(fd) return sys.frob(fd) end }")
      local line = "%s check %s/%s.lua"
      local out, _, status = support.sh(line:format(support.lencase, dir, "above"))
      assert.are.equal(1, status)
      assert.is_truthy(out:find("unknown call 'sys.frob'", 1, true))
      out, _, status = support.sh((line .. " %s/above.lua"):format(support.lencase, dir, "below", dir))
      assert.are.equal("", out)
      assert.are.equal(0, status)
    end)
  end)

  it("takes scripts for one stack with --stack", function()
    support.in_folder(function(dir)
      support.write_file(dir .. "/below.lua", HEAD
        .. "return lencase.grate { provide = { default = 'deny', 'read' }, write = { 'pass buf', function() end } }")
      support.write_file(dir .. "/above.lua", HEAD .. "return lencase.grate {\n  uses = { 'close' } }")
      for option, expected in pairs { [""] = "",
                                      ["--stack"] = dir .. "/above.lua:4: error: uses: 'close' is denied below ("
          .. dir .. "/below.lua:3): a layer cannot allow what a lower one denies\n" } do
        local out, err, status = support.sh(("%s check %s/below.lua %s/above.lua %s")
          :format(support.lencase, dir, dir, option))
        assert.are.equal(expected, out)
        assert.are.equal("", err)
        assert.are.equal(expected == "" and 0 or 1, status)
      end
      local line = "%s check %s/below.lua tee.lua %%{ %s/above.lua %%} %%{ strace.lua %%} --stack"
      assert.are.equal(1, (select(3, support.sh(line:format(support.lencase, dir, dir)))))
    end)
  end)

  it("finds what is wrong in the stacks inside", function()
    support.in_folder(function(dir)
      support.write_file(dir .. "/inner.lua", HEAD .. "return lencase.grate { wriet = print }")
      local out, _, status = support.sh(("%s check tee.lua %%{ %s/inner.lua %%} %%{ strace.lua %%}")
        :format(support.lencase, dir))
      assert.are.equal(1, status)
      assert.are.equal(dir .. "/inner.lua:3: error: unknown call 'wriet' (did you mean 'write'?)\n", out)
    end)
  end)

  it("keeps what scripts print apart", function()
    support.in_folder(function(dir)
      support.write_file(dir .. "/a.lua",
                         "print('a', 1) io.write 'b' io.stdout:write 'c'\nreturn require 'lencase'.grate {}")
      local out, err = support.sh(("%s check --json %s/a.lua"):format(support.lencase, dir))
      assert.are.equal("[]\n", out)
      assert.are.equal("a\t1\nbc", err)
    end)
  end)

  it("ends with 2 for a wrong command line", function()
    for _, words in ipairs { "", "--jsno x.lua", "--json" } do
      local out, err, status = support.sh(support.lencase .. " check " .. words)
      assert.are.equal(2, status, words)
      assert.are.equal("", out)
      assert.is_truthy(err:find "^lencase: ", err)
    end
  end)

  -- The arguments of those examples that do not work without any.
  local needs =
    { umask = "077", fault = "write:error=ENOSPC", seccomp = "RULES", clamp = "--prefix /tmp %{ strace.lua %}",
                  tee = "%{ strace.lua %} %{ umask.lua 022 %}" }

  for script in io.popen("ls examples/*.lua"):lines() do
    local name = script:match "([^/]+)%.lua$"
    if not name:find "_spec$" then
      it("finds nothing in " .. name, function()
        support.in_folder(function(dir)
          support.write_file(dir .. "/rules", "allow read\n")
          local words = (needs[name] or ""):gsub("RULES", dir .. "/rules")
          local out, err, status = support.sh(("%s check %s %s"):format(support.lencase, script, words))
          assert.are.equal("", err)
          assert.are.equal(0, status, out)
        end)
      end)
    end
  end
end)

describe("a script's tree", function()
  it("has the globals that luac sees, for every script of the tree", function()
    for path in io.popen("ls lua/lencase/*.lua lua/lencase/*/*.lua examples/*.lua spec/*.lua scripts/*.lua "
                         .. "scripts/lencase"):lines() do
      local tree = assert(source.parse(support.read_file(path)), path)
      local here, there = {}, {}
      for _, n in ipairs(tree.globals) do here[n.name] = true end
      for line in io.popen("luac5.4 -l -l -p " .. path):lines() do
        there[line:match '_ENV "([%w_]+)"' or "require"] = true
      end
      here.require = true
      assert.are.same(there, here, path)
    end
  end)

  it("has what is hard to read", function()
    for _, text in ipairs {
      "#!/usr/bin/lua\nreturn 1", "a.b[ [[x]] ]:c 'x' {1, 2; 3,} (4)", "function a.b.c:d(x, ...) return self, ... end",
      "local a <const>, b <close> = 1", "goto x; ::x::", "x = 0x1p4 + 1e-3 .. .5 // 2 ~ 3",
      "--[==[ c ]==] return -b ^ 2",
      "return '\\z  \n x\\\ny'", "for i = 1, 2, 3 do break end", "repeat local x until x", "return",
      "x = a --[[c]] .. b",
    } do
      assert.is_truthy(source.parse(text), text)
      assert.is_truthy(load((text:gsub("^#[^\n]*", ""))), text)
    end
    for _, text in ipairs { "x = = 3", "return return", "local 3", "f(", "local end" } do
      assert.is_nil(source.parse(text), text)
    end
  end)

  it("knows which names are variables", function()
    local function globals(text)
      local list = {}
      for _, n in ipairs(source.parse(text).globals) do table.insert(list, n.name) end
      return table.concat(list, " ")
    end
    assert.are.equal("b a", globals "function a.x:y() return self, b end")
    assert.are.equal("self", globals "local function f() return self end")
    assert.are.equal("x", globals "local x = x")
    assert.are.equal("", globals "local function f() return f end")
    assert.are.equal("f", globals "local f = function() return f end")
    assert.are.equal("n", globals "for i = 1, n do local j = i end")
    assert.are.equal("i", globals "for i = 1, 2 do end return i")
    assert.are.equal("", globals "repeat local x until x")
    assert.are.equal("x", globals "do local x end while x do end")
    assert.are.equal("", globals "return function(a, ...) return a, ... end")
    assert.are.equal("k t", globals "t.x = { x = 1, [k] = 2 }")
  end)

  it("gives operators their order", function()
    local function shown(n)
      if n.tag == "Binary" then return "(" .. shown(n.left) .. n.op .. shown(n.right) .. ")" end
      return n.name or n.tag
    end
    local tree = source.parse "return a or b and c == d .. e .. f + g * h ^ i ^ j - k"
    assert.are.equal("(aor(band(c==(d..(e..((f+(g*(h^(i^j))))-k))))))", shown(tree.block[1].values[1]))
  end)
end)
