-- Programs that write files, and what is in the files afterwards.

local support = require "spec.support"

local quote, sh = support.quote, support.sh

-- Runs a command line under the grate in a folder with f, a.log, x.log -> f and z.log -> nowhere.
local function under(line, arguments)
  local out, err, files
  support.in_folder(function(dir)
    dir = sh("realpath " .. quote(dir)):match "[^\n]+"
    assert(os.execute(("cd %s && echo f > f && echo a > a.log && ln -s f x.log && ln -s nowhere z.log")
      :format(quote(dir))))
    out, err = sh(("cd %s && %s/%s run write_filter.lua %s -- bash -c %s"):format(quote(dir), support.pwd,
                  support.lencase:gsub("^lua5.4 ", ""), arguments or "", quote(line)))
    files = sh(("cd %s && for f in $(ls); do test -f $f && test ! -L $f && echo $f $(cat $f); done"):format(quote(dir)))
  end)
  return files:gsub("\n", ","), err, out
end

local untouched = "a.log a,f f,"

describe("write_filter.lua", function()
  it("refuses what would change another file", function()
    for _, line in ipairs {
      "echo x > f", "echo x >> f", "echo x > new", "echo x > x.log", "rm -f f", "mv f f.log", "mv a.log b",
      "ln f y.log", "ln a.log y", "cp a.log f", "truncate -s 0 f", "truncate -s 0 x.log", "sed -i s/f/x/ f",
      "touch new",
      "mv -f a.log f", "/usr/bin/python3 -c 'import os; os.truncate(\"f\", 0)'",
      "/usr/bin/python3 -c 'import os; os.link(\"/proc/self/fd/%d\" % os.open(\"f\", 0), \"y.log\")'",
      "/usr/bin/python3 -c 'import os; os.mknod(\"new\")'",
    } do
      local files, err = under(line)
      assert.are.equal(untouched, files, line)
      assert.is_truthy(err:find("not permitted", 1, true), line .. ": " .. err)
    end
  end)

  it("does not make what a link leads to", function()
    local files = under "echo x > z.log"
    assert.are.equal(untouched, files)
  end)

  it("lets the allowed ones be written, emptied, renamed, linked and removed", function()
    for line, wanted in pairs {
      ["echo x > a.log"] = "a.log x,f f,", ["echo x >> a.log"] = "a.log a x,f f,",
      ["echo x > n.log"] = "a.log a,f f,n.log x,",
      ["rm a.log"] = "f f,", ["mv a.log b.log"] = "b.log a,f f,", ["ln a.log b.log"] = "a.log a,b.log a,f f,",
      ["cp f c.log"] = "a.log a,c.log f,f f,", [": > a.log"] = "a.log,f f,", ["truncate -s 1 a.log"] = "a.log a,f f,",
      ["/usr/bin/python3 -c 'import os; os.truncate(\"a.log\", 0)'"] = "a.log,f f,",
      ["set -C; echo x > n.log"] = "a.log a,f f,n.log x,",
      ["cat f > /dev/null; echo x | cat > /dev/null; mkfifo p; cat p & echo x > p; wait"] = untouched,
    } do
      local files, err = under(line)
      assert.are.equal("", err, line)
      assert.are.equal(wanted, files, line)
    end
  end)

  it("has other patterns, and another errno", function()
    local files, err = under("echo x > f; echo x > g1; echo y > a.log", "--allow f --allow 'g?' --errno EACCES")
    assert.are.equal("a.log a,f x,g1 x,", files)
    assert.is_truthy(err:find("a.log: Permission denied", 1, true), err)
    assert.is_truthy(select(2, under("true", "--alow f")):find "expected %-%-allow PATTERN")
  end)
end)
