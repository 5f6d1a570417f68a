local support = require "spec.support"

-- A grate that prints its calls, with a mark, and changes nothing.
local teller = [[
local lencase = require "lencase"
local mark = ...
local function told(name)
  return { "pass pointers", function() io.stderr:write(mark, " ", name, "\n") end }
end
return lencase.grate { write = told "write", read = told "read", connect = told "connect" }
]]

-- Runs the program's calls under a stack; in the stack DIR is a fresh folder and T such a grate.
local function told(stack, program)
  local err, out, status
  support.in_folder(function(dir)
    support.write_file(dir .. "/t.lua", teller)
    local line = stack:gsub("DIR", dir):gsub("%f[%w]T%f[%W]", dir .. "/t.lua")
    out, err, status = support.sh(("mkdir %s/tmp && %s run %s -- %s"):format(dir, support.lencase, line,
                                                                            (program:gsub("DIR", dir))))
  end)
  assert.are.equal(0, status, err)
  return (err:gsub("\n", ",")), out
end

local writes_in = "sh -c 'echo x > DIR/tmp/f'"
local writes_out = "sh -c 'echo x > DIR/f'"
local reads_out = "sh -c 'echo x > DIR/f; read y < DIR/f'"

describe("clamp:", function()
  describe("the four arrangements of Lind's document:", function()
    it("(a) one clamped grate", function()
      local stack = "clamp.lua --prefix DIR/tmp %{ T fs %}"
      assert.are.equal("fs write,", told(stack, writes_in))
      assert.are.equal("", told(stack, writes_out))
    end)

    it("(b) two stacked inside of one clamp: the one nearer to the program first", function()
      local stack = "clamp.lua --prefix DIR/tmp %{ T low T high %}"
      assert.are.equal("high write,low write,", told(stack, writes_in))
      assert.are.equal("", told(stack, writes_out))
    end)

    local function marks(text)
      local n = { fs = {}, tr = {} }
      for mark, name in text:gmatch "(%a+) (%a+)," do n[mark][name] = true end
      return n
    end

    it("(c) two clamps in series: paths to a file system, reads to a tracer", function()
      local stack = "clamp.lua --prefix DIR/tmp %{ T fs %} clamp.lua --calls read --when \"args[1] < 3\" %{ T tr %}"
      local all = marks((told(stack, writes_in)))
      assert.are.same({ fs = { write = true }, tr = {} }, all)
      all = marks((told(stack, "sh -c 'echo x > DIR/tmp/f; cd DIR/tmp; exec < f; read y'")))
      assert.are.same({ fs = { write = true, read = true }, tr = { read = true } }, all)
      all = marks((told(stack, "sh -c 'echo x > DIR/f; cd DIR; exec < f; read y'")))
      assert.are.same({ fs = {}, tr = { read = true } }, all)
    end)

    it("(d) the tracer's clamp inside of the path's: a read elsewhere reaches neither", function()
      local stack = "clamp.lua --prefix DIR/tmp %{ T fs clamp.lua --calls read %{ T tr %} %}"
      local all = marks((told(stack, "sh -c 'echo x > DIR/tmp/f; exec < DIR/tmp/f; read y'")))
      assert.are.same({ fs = { write = true, read = true }, tr = { read = true } }, all)
      all = marks((told(stack, reads_out)))
      assert.are.same({ fs = {}, tr = {} }, all)
    end)
  end)

  it("follows descriptors through dup, fork and exec", function()
    local stack = "clamp.lua --prefix DIR/tmp %{ T in %}"
    assert.are.equal("in write,in write,",
      (told(stack, "sh -c 'exec 7>DIR/tmp/f; exec 8>&7; (sh -c \"echo a >&8\"); exec 7>&-; echo b >&8; echo c'")))
  end)

  it("does not take a path that only begins like the prefix", function()
    assert.are.equal("", (told("clamp.lua --prefix DIR/tm %{ T in %}", writes_in)))
    assert.are.equal("", (told("clamp.lua --prefix DIR/tmp %{ T in %}", "sh -c 'echo x > DIR/tmp/../f'")))
    assert.are.equal("in write,", (told("clamp.lua --prefix DIR/tmp %{ T in %}", "sh -c 'cd DIR; echo x > ./tmp//f'")))
  end)

  it("by descriptor, class, name, cage and expression", function()
    assert.are.equal("in write,",
                     (told("clamp.lua --fd 1 --calls write %{ T in %}", "sh -c 'echo x; cd /no/such 2>/dev/null; :'")))
    assert.are.equal("in write,", (told("clamp.lua --calls %desc --when 'name == \"write\"' %{ T in %}", "echo x")))
    assert.are.equal("in write,",
                     (told("clamp.lua --cage echo --calls write %{ T in %}", "sh -c '/bin/echo x; echo y'")))
    assert.are.equal("", (told("clamp.lua --not --calls write,read %{ T in %}", "echo x")))
  end)

  it("by port, and the socket's calls follow", function()
    local program = [[python3 -c "
import socket
s = socket.socket()
try: s.connect((\"127.0.0.1\", PORT))
except ConnectionRefusedError: pass"]]
    local stack = "clamp.lua --port 1-9 %{ T in %}"
    assert.are.equal("in connect,", (told(stack, (program:gsub("PORT", "1")))))
    assert.are.equal("", (told(stack, (program:gsub("PORT", "10")))))
  end)

  it("says what is wrong with its arguments", function()
    for arguments, message in pairs {
      ["clamp.lua --prefix /tmp"] = "expected %%{ GRATE",
      ["clamp.lua --prefx /tmp %{ examples/count_writes.lua %}"] = "conditions are",
      ["clamp.lua --fd x %{ examples/count_writes.lua %}"] = "'x' is neither a number nor a range",
      ["clamp.lua --when '1 +' %{ examples/count_writes.lua %}"] = "unexpected symbol",
      ["clamp.lua %{ examples/count_writes.lua"] = "%%{ without %%}",
      ["%} examples/count_writes.lua"] = "%%} without %%{",
    } do
      local _, err, status = support.sh(("%s run %s -- true"):format(support.lencase, arguments))
      assert.are.equal(125, status)
      assert.is_truthy(err:find(message), err)
    end
  end)
end)
