-- What `make install` puts in place works from there, without the tree.

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

-- Nothing of the tree may help.
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
    local out, err, status = support.sh(("%s %s/bin/lencase run %s/counter.lua -- echo hello"):format(clean, prefix, prefix))
    assert.are.equal(0, status, err)
    assert.are.equal("hello\n", out)
    assert.are.equal("6 bytes\n", err)
  end)

  -- Below the prefix.
  local files = {
    "bin/lencase", "include/lencase.h", "lib/liblencase.a", "lib/liblencase.so", "lib/liblencase.so.0",
    "lib/pkgconfig/lencase.pc", "lib/lua/5.4/lencase/core.so", "share/lua/5.4/lencase/init.lua",
    "share/lencase/examples/count_writes.lua", "share/man/man1/lencase.1", "share/man/man3/lencase.3",
    "share/lua/5.4/lencase/check.lua", "share/lencase/luals/lencase.d.lua", "share/bash-completion/completions/lencase",
  }

  it("is complete, and all of it can be removed", function()
    support.in_folder(function(dir)
      local make = ("make -s %%s DESTDIR=%s PREFIX=/usr BUILD=%s"):format(dir, support.build)
      local _, err, status = support.sh(make:format "install")
      assert.are.equal(0, status, err)
      for _, file in ipairs(files) do
        assert.are.equal(0, (select(3, support.sh(("test -f %s/usr/%s"):format(dir, file)))), file)
      end
      _, err, status = support.sh(make:format "uninstall")
      assert.are.equal(0, status, err)
      assert.are.equal("", (support.sh(("find %s -type f -o -type l"):format(dir))))
    end)
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
        ('"%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua;;", "%s/lib/lua/5.4/?.so;;"'):format(prefix, prefix, prefix))))
      local libs = kind == "static" and "--static" or ""
      local line = ("cc -Wall -Wextra -Werror -o %s/p %s $(PKG_CONFIG_PATH=%s/lib/pkgconfig pkg-config --cflags --libs %s lencase)")
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
    local _, err, status = support.sh(("c++ -Wall -Wextra -Werror -I%s/include -o %s/pp %s && %s/pp"):format(prefix, prefix, source, prefix))
    assert.are.equal(0, status, err)
  end)
end)
