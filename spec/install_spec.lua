-- What `make install` installs works from there, without the tree.

local support = require "spec.support"

local program = [[
#include <lencase.h>
#include <stdio.h>
#include <sys/wait.h>

static void say(void *ud, const char *line) {
  (void)ud;
  fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv) {
  lencase_config config = {.log = say};
  lencase_state *st = lencase_new(&config);
  int wstatus = 0, status;
  if (st == NULL || argc < 3) return 1;
  status = lencase_load(st, argv[1], 0, NULL, PATHS, NULL);
  if (status == LENCASE_OK) status = lencase_trace_run(st, argv + 2, &wstatus);
  if (status == LENCASE_OK) status = lencase_finish(st, wstatus);
  if (status != LENCASE_OK) fprintf(stderr, "%s: %s\n", lencase_status_name(status), lencase_error(st));
  lencase_close(st);
  return status == LENCASE_OK ? WEXITSTATUS(wstatus) : 99;
}
]]

local counter = [[
local lencase = require "lencase"
local sys, n = lencase.sys, 0
return lencase.grate {
  write = { "pass buf", function(fd, _, count)
    local done, errno = sys.write(fd, nil, count)
    n = n + math.max(done, 0)
    return done, errno
  end },
  on_exit = function() io.stderr:write(n, " bytes\n") end,
}
]]

-- Nothing of the tree may be used.
local clean = "cd / && env -u LUA_PATH -u LUA_CPATH -u LUA_PATH_5_4 -u LUA_CPATH_5_4 -u LENCASE_BUILD "

describe("an installed lencase", function()
  local prefix

  setup(function()
    prefix = support.new_folder()
    local _, err, status = support.sh(("make -s install PREFIX=%s BUILD=%s"):format(prefix, support.build))
    assert(status == 0, err)
    support.write_file(prefix .. "/counter.lua", counter)
  end)

  teardown(function() os.execute("rm -rf " .. support.quote(prefix)) end)

  it("runs programs", function()
    local out, err, status =
      support.sh(("%s %s/bin/lencase run %s/counter.lua -- echo hello"):format(clean, prefix, prefix))
    assert.are.equal(0, status, err)
    assert.are.equal("hello\n", out)
    assert.are.equal("6 bytes\n", err)
  end)

  -- Below the prefix.
  local files = {
    "bin/lencase", "include/lencase.h", "lib/liblencase.a", "lib/liblencase.so", "lib/liblencase.so.0",
    "lib/pkgconfig/lencase.pc", "lib/lua/5.4/lencase/core.so", "share/lua/5.4/lencase/init.lua",
    "share/lencase/examples/count_writes.lua", "share/man/man1/lencase.1", "share/man/man3/lencase.3",
    "share/man/man7/lencase.7",
    "share/lua/5.4/lencase/tools/check.lua", "share/lencase/luals/lencase.d.lua",
    "share/bash-completion/completions/lencase",
  }

  it("is complete", function()
    for _, file in ipairs(files) do
      assert.are.equal(0, (select(3, support.sh(("test -f %s/%s"):format(prefix, file)))), file)
    end
  end)

  it("is a module of a stock Lua", function()
    local paths = ("LUA_PATH='%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua;;' LUA_CPATH='%s/lib/lua/5.4/?.so;;'")
        :format(prefix, prefix, prefix)
    local out, err = support.sh(clean .. paths .. [[ lua5.4 -e 'print(require "lencase".VERSION)']])
    assert.are.equal("", err)
    assert.are.equal("0.1.0\n", out)
  end)

  it("shows plans", function()
    local out = support.sh(("%s %s/bin/lencase plan write --policy PASS_THROUGH_POINTERS"):format(clean, prefix))
    assert.are.equal([[
ssize_t write(int fd, const void buf[.count], size_t count);
write(fd, buf, count)
  arg  value   fd
  arg  pass    buf
  arg  value   count
]], out)
  end)

  it("looks at what works here, the inline host's library among it", function()
    local out, err = support.sh(("%s %s/bin/lencase doctor"):format(clean, prefix))
    assert.are.equal("", err)
    assert.is_truthy(out:find "\nok +namespace ", out)
  end)

  it("checks scripts, also its own examples by name", function()
    local out, err, status = support.sh(("%s %s/bin/lencase check readonly.lua count_writes.lua"):format(clean, prefix))
    assert.are.equal("", out .. err)
    assert.are.equal(0, status)
    local bad = support.write_file(prefix .. "/bad.lua", (counter:gsub("write =", "wriet =")))
    out, err, status = support.sh(("%s %s/bin/lencase check %s"):format(clean, prefix, bad))
    assert.are.equal(1, status, err)
    assert.are.equal(bad .. ":4: error: unknown call 'wriet' (did you mean 'write'?)\n", out)
  end)

  it("completes the names of its examples", function()
    local out = support.sh(([[%s PATH=%s/bin:$PATH bash -c '. %s/share/bash-completion/completions/lencase
      COMP_WORDS=(lencase run count_w) COMP_CWORD=2
      _lencase lencase
      echo "${COMPREPLY[@]}"']]):format(clean, prefix, prefix))
    assert.are.equal("count_writes.lua\n", out)
  end)

  for _, kind in ipairs { "shared", "static" } do
    it("is a library for C programs, " .. kind, function()
      local source = support.write_file(prefix .. "/p.c", (program:gsub("PATHS",
        ('"%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua;;", "%s/lib/lua/5.4/?.so;;"')
          :format(prefix, prefix, prefix))))
      local libs = kind == "static" and "--static" or ""
      local line =
        ("cc -Wall -Wextra -Werror -o %s/p %s $(PKG_CONFIG_PATH=%s/lib/pkgconfig "
         .. "pkg-config --cflags --libs %s lencase)")
          :format(prefix, source, prefix, libs)
      if kind == "static" then line = line:gsub("%)$", " | sed 's/-llencase/-l:liblencase.a/')") end
      local _, err, status = support.sh(line)
      assert.are.equal(0, status, err)
      local out
      out, err, status = support.sh(("%s LD_LIBRARY_PATH=%s/lib %s/p %s/counter.lua sh -c 'echo hello; exit 7'"):format(
        clean, prefix, prefix, prefix))
      assert.are.equal("hello\n", out)
      assert.are.equal("6 bytes\n", err)
      assert.are.equal(7, status)
    end)
  end

  it("has a header that C++ takes", function()
    local source = support.write_file(prefix .. "/p.cc", "#include <lencase.h>\n"
      .. "static const lencase_policy p = LENCASE_COPY_ALL_ARGS | LENCASE_PASS(2);\n"
      .. "int main() { return p == 0; }\n")
    local _, err, status =
      support.sh(("c++ -Wall -Wextra -Werror -I%s/include -o %s/pp %s && %s/pp"):format(prefix, prefix, source, prefix))
    assert.are.equal(0, status, err)
  end)
end)

-- {============================ what make install leaves ====================

local is_root = (support.sh "id -u") == "0\n"

local function make(goal, settings)
  local _, err, status = support.sh(("LC_ALL=C make -s %s BUILD=%s %s"):format(goal, support.build, settings))
  assert.are.equal(0, status, err)
  assert.are.equal("", err)
end

-- Everything in a folder with its mode.
local function tree(dir) return (support.sh(("cd %s && find . -printf '%%p %%M\\n' | LC_ALL=C sort"):format(dir))) end

-- A folder as a system has it: with files, empty folders and modes of others.
local function furnish(dir)
  assert.are.equal(0,
    (select(3, support.sh(([[cd %s && chmod 755 . && mkdir -p usr/lib usr/share/man/man3 usr/share/lua/5.4/other &&
    chmod 2775 usr/lib && chmod 700 usr/share/man && echo x > usr/share/lua/5.4/other/init.lua]]):format(dir)))))
end

describe("make uninstall leaves nothing that was not there", function()
  -- Where it is installed to, in a folder of the test's own.
  local places = {
    ["in a DESTDIR"] = "DESTDIR=%s PREFIX=/usr",
    ["in a DESTDIR that is not there"] = "DESTDIR=%s/new PREFIX=/usr/local",
    ["in a PREFIX"] = "PREFIX=%s/usr",
    ["in a PREFIX that is not there"] = "PREFIX=%s/opt/new",
  }
  for name, settings in pairs(places) do
    it(name, function()
      support.in_folder(function(dir)
        furnish(dir)
        local before = tree(dir)
        make("install", settings:format(dir))
        assert.are_not.equal(before, tree(dir))
        make("install", settings:format(dir)) -- a second time nothing is made
        make("uninstall", settings:format(dir))
        assert.are.equal(before, tree(dir))
      end)
    end)
  end

  it("when nothing is installed, either", function()
    support.in_folder(function(dir)
      furnish(dir)
      local before = tree(dir)
      make("uninstall", "PREFIX=" .. dir .. "/usr")
      assert.are.equal(before, tree(dir))
    end)
  end)

  it("and keeps what others have put there since", function()
    support.in_folder(function(dir)
      make("install", "PREFIX=" .. dir .. "/usr")
      support.write_file(dir .. "/usr/share/man/man1/other.1", "x")
      make("uninstall", "PREFIX=" .. dir .. "/usr")
      assert.are.equal("./usr/share/man/man1/other.1\n",
                       (support.sh(("cd %s && find . -type f -o -empty"):format(dir))))
    end)
  end)

  -- The cache is the machine's: a program that is found in its place says what it saw.
  it("in ld.so's cache, either", function()
    support.in_folder(function(dir)
      local log = dir .. "/log"
      support.write_file(dir .. "/ldconfig",
                         ("#!/bin/sh\ntest -e %s/usr/lib/liblencase.so; echo $? >> %s\n"):format(dir, log))
      os.execute("chmod +x " .. dir .. "/ldconfig")
      for _, goal in ipairs { "install", "uninstall" } do
        local _, err, status =
          support.sh(("PATH=%s:$PATH make -s %s BUILD=%s PREFIX=%s/usr"):format(dir, goal, support.build, dir))
        assert.are.equal(0, status, err)
      end
      if is_root then
        assert.are.equal("0\n1\n", support.read_file(log)) -- there, then gone
      else
        assert.is_nil(io.open(log)) -- the cache is not theirs
      end
    end)
  end)
end)

describe("lencase installed under umask 077", function()
  it("can be used by other users", function()
    support.in_folder(function(dir)
      local _, err, status = support.sh(("chmod 755 %s; umask 077; make -s install BUILD=%s PREFIX=%s/usr"):format(
        dir, support.build, dir))
      assert.are.equal(0, status, err)
      assert.are.equal("", (support.sh(("find %s ! -type l ! -perm -444 -o -type d ! -perm -555"):format(dir))))
      local script = support.write_file(dir .. "/counter.lua", counter)
      local other = is_root and "setpriv --reuid=nobody --regid=nogroup --clear-groups " or ""
      local line = ("chmod 644 %s; %s %s %s/usr/bin/lencase run %s -- echo hello")
        :format(script, clean, other, dir, script)
      local out
      out, err, status = support.sh(line)
      assert.are.equal("hello\n", out)
      assert.are.equal("6 bytes\n", err)
      assert.are.equal(0, status)
      out = support.sh(("%s env PKG_CONFIG_PATH=%s/usr/lib/pkgconfig pkg-config --modversion lencase")
        :format(other, dir))
      assert.are.equal("0.1.0\n", out)
    end)
  end)
end)

-- }==========================================================================

-- {========================== where it cannot be built =====================

-- Runs a command line with these programs in front of PATH. `asked`: which programs that install packages it ran.
local function with_programs(programs, line)
  local result
  support.in_folder(function(dir)
    for name, text in pairs(programs) do support.write_file(dir .. "/" .. name, "#!/bin/sh\n" .. text .. "\n") end
    for _, name in ipairs { "apt-get", "sudo", "dpkg-query" } do
      support.write_file(dir .. "/" .. name, ("#!/bin/sh\necho %s >> %s/log\nexit 1\n"):format(name, dir))
    end
    os.execute(("chmod +x %s/*; : > %s/log"):format(dir, dir))
    local out, err, status = support.sh(("export LC_ALL=C PATH=%s:$PATH BIN=%s; %s"):format(dir, dir, line))
    result = { out = out, err = err, status = status, asked = support.read_file(dir .. "/log") }
  end)
  return result
end

describe("make", function()
  local machines =
    { ["Linux aarch64"] = true, ["Linux riscv64"] = true, ["FreeBSD amd64"] = true, ["Darwin x86_64"] = true }
  for machine in pairs(machines) do
    for _, goal in ipairs { "", "demo", "test", "install" } do
      it(("stops at once on %s: make %s"):format(machine, goal), function()
        local uname = ('set -- $1 %s\ncase $1 in -s) echo $2 ;; -m) echo $3 ;; esac'):format(machine)
        local r = with_programs({ uname = uname }, "make DESTDIR=$BIN/root " .. goal)
        assert.are.equal(2, r.status)
        assert.is_truthy(r.err:find("^Makefile:%d+: %*%*%* lencase runs on Linux, x86%-64; this is " .. machine
                                    .. "%.  Stop%.\n$"), r.err)
        assert.are.equal("", r.out .. r.asked)
      end)
    end
  end

  -- What a machine lacks, and the message about it.
  local lacks = {
    ["a C compiler"] = { "make CC=no-such-compiler", "a C compiler %(no%-such%-compiler%)" },
    ["a compiler for x86-64"] = { "make CC='gcc -m32'", "a C compiler that makes programs for x86%-64 %(gcc %-m32%)" },
    ["the C library's headers"] = { "make CC='gcc -nostdinc'", "the headers of the C library" },
    ["pkg-config"] = { "make PKG_CONFIG=no-such-pkg-config", "no%-such%-pkg%-config" },
    ["headers"] = { "PKG_CONFIG_LIBDIR=/nowhere make", "the headers of lua5%.4, the headers of libseccomp" },
    ["Lua"] = { "make LUA=no-such-lua", "no%-such%-lua" },
    ["Lua's modules"] = { "env -u LUA_PATH_5_4 -u LUA_CPATH_5_4 LUA_PATH=/nowhere LUA_CPATH=/nowhere make",
                          "the Lua module argparse, the Lua module cjson, the Lua module lpeg" },
  }
  for name, row in pairs(lacks) do
    it("says what a first build lacks, and where it comes from: " .. name, function()
      local line, what = row[1], row[2]
      local r = with_programs({}, line .. " -j2 BUILD=$BIN/build; status=$?; test ! -e $BIN/build && exit $status")
      assert.are.equal(2, r.status)
      assert.is_truthy(r.err:find("^Makefile:%d+: %*%*%* a build needs what is not here: " .. what
        .. "; `make demo` installs what is missing%.  Stop%.\n$"), r.err)
      assert.are.equal("", r.out .. r.asked)
    end)
  end
end)

describe("the command without a module that it needs", function()
  for module, package in pairs { argparse = "lua-argparse", cjson = "lua-cjson", lpeg = "lua-lpeg" } do
    it("names the package of " .. module, function()
      support.in_folder(function(dir)
        support.write_file(dir .. "/without.lua", ([[
          table.insert(package.searchers, 1, function(name)
            if name == %q then error "it is not here" end
          end)]]):format(module))
        local out, err, status =
          support.sh(("LUA_INIT=@%s/without.lua lua5.4 scripts/lencase run examples/umask.lua -- true"):format(dir))
        assert.are.equal(("lencase: missing the Lua module %s: apt-get install %s (Debian's name)\n")
          :format(module, package), err)
        assert.are.equal("", out)
        assert.are.equal(125, status)
      end)
    end)
  end

  it("says when it is not built, or does not load", function()
    support.in_folder(function(dir)
      local others = package.searchpath("lpeg", package.cpath):gsub("lpeg", "?") -- and no lencase that is installed
      local run =
        ("unset LENCASE_BUILD LUA_CPATH_5_4; cp -r scripts lua %s; cd %s; LUA_CPATH=%s "
         .. "lua5.4 scripts/lencase run x.lua")
        :format(dir, dir, others)
      local _, err, status = support.sh(run)
      assert.are.equal("lencase: lencase is not built: run make in the folder with its Makefile\n", err)
      assert.are.equal(125, status)
      os.execute(("mkdir -p %s/build/lencase; echo junk > %s/build/lencase/core.so"):format(dir, dir))
      _, err, status = support.sh(run)
      assert.is_truthy(err:find "^lencase: error loading module 'lencase.core' from file [^\n]*too short\n$", err)
      assert.are.equal(125, status)
    end)
  end)
end)

-- }==========================================================================
