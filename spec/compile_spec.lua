-- lencase compile: scripts as C files, and interfaces as tables for handlers in C, in programs that are
-- built and run here.

local core = require "lencase.core"
local header = require "lencase.tools.header"
local policy = require "lencase.policy"
local support = require "spec.support"

local sh, quote, write_file, read_file = support.sh, support.quote, support.write_file, support.read_file

-- LOAD puts a grate into st; then the words of the command line are run under it.
local main = [[
#include <lencase.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
BEFORE

static void say(void *ud, const char *line) {
  (void)ud;
  fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv) {
  const lencase_config config = {.log = say};
  lencase_state *st = lencase_new(&config);
  int wstatus = 0, status;
  if (st == NULL || argc < 2) return 1;
  status = LOAD;
  if (status == LENCASE_OK && getenv("RELOAD") != NULL) status = lencase_reload(st);
  if (status == LENCASE_OK) status = lencase_trace_run(st, argv + 1, &wstatus);
  if (status == LENCASE_OK) status = lencase_finish(st, wstatus);
  if (status != LENCASE_OK) fprintf(stderr, "%s: %s\n", lencase_status_name(status), lencase_error(st));
  lencase_close(st);
  AFTER
  return status == LENCASE_OK ? WEXITSTATUS(wstatus) : 99;
}
]]

local compiled = {
  BEFORE = "int count_load(lencase_state *st, int argc, const char *const argv[], lencase_grate **out);",
  LOAD = 'count_load(st, 2, (const char *const[]){"one", "two"}, NULL)',
}

local sanitizers = support.sanitized and "-fsanitize=address,undefined" or ""

-- Builds dir/p of the program above and other files: the compiler's messages and status.
local function build(dir, parts, files)
  write_file(dir .. "/main.c", (main:gsub("%u+", function(word)
    return word == "BEFORE" and parts.BEFORE or word == "LOAD" and parts.LOAD or word == "AFTER" and (parts.AFTER or "")
      or nil
  end)))
  local _, err, status =
    sh(("cd %s && gcc -std=gnu11 -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Werror %s "
    .. "-I%s/core -o p main.c %s %s/%s/liblencase.a $(pkg-config --libs lua5.4 libseccomp) -lpthread")
    :format(quote(dir), sanitizers, quote(support.pwd), files or "", quote(support.pwd), support.build))
  return err, status
end

-- No Lua file and no C module can be found.
local nowhere = "cd / && env -u LUA_PATH_5_4 -u LUA_CPATH_5_4 LUA_PATH=/nowhere LUA_CPATH=/nowhere "

local function run(dir, words, env) return sh(("%s %s %s/p %s"):format(nowhere, env or "", quote(dir), words)) end

local function compile(dir, words)
  return sh(("LENCASE_BUILD=%s %s compile %s"):format(support.build, support.lencase, words:gsub("DIR", dir)))
end

-- Compiles a script to dir/count.c, changes that by `change`, and builds the program.
local function program(dir, script, options, change)
  write_file(dir .. "/count.lua", script)
  local _, err, status = compile(dir, ("DIR/count.lua -o DIR/count.c %s"):format(options or ""))
  assert.are.equal(0, status, err)
  if change then
    local text, n = change(read_file(dir .. "/count.c"))
    assert.are.equal(1, n)
    write_file(dir .. "/count.c", text)
  end
  local messages
  messages, status = build(dir, compiled, "count.c")
  assert.are.equal(0, status, messages)
  return err
end

local counter = [[
local lencase = require "lencase"
local sys, n, calls, words = lencase.sys, 0, 0, { ... }
return lencase.grate {
  write = { "pass buf", args = { count = "0..4096 | 9000" }, returns = "0..count", function(fd, _, count)
    local done, errno = sys.write(fd, nil, count)
    n, calls = n + math.max(done, 0), calls + 1
    return done, errno
  end },
  socket = lencase.fail "EPERM",
  [2001] = { "pass b", prototype = "int frob(int a, const char *b)", function(a) return a end },
  on_exit = function()
    io.stderr:write(("%d bytes in %d calls, %s\n"):format(n, calls, table.concat(words, " ")))
  end,
}
]]

describe("lencase compile", function()
  for _, option in ipairs { "", "--strip" } do
    it("writes a grate that needs no file, no parser and no LPeg " .. option, function()
      support.in_folder(function(dir)
        program(dir, counter, option)
        local out, err, status = run(dir, [[sh -c 'echo hello; echo you']])
        assert.are.equal("10 bytes in 2 calls, one two\n", err)
        assert.are.equal("hello\nyou\n", out)
        assert.are.equal(0, status)
      end)
    end)
  end

  it("keeps what messages name, if it is not stripped", function()
    local script = 'local lencase = require "lencase"\nreturn lencase.grate { on_exit = function()\nerror "oh" end }'
    support.in_folder(function(dir)
      program(dir, script)
      assert.is_truthy((select(2, run(dir, "true"))):find("/count.lua:3: oh", 1, true))
      program(dir, script, "--strip")
      assert.is_truthy((select(2, run(dir, "true"))):find("oh", 1, true))
      assert.is_nil((select(2, run(dir, "true"))):find(":3: oh", 1, true))
    end)
  end)

  it("includes the script's own modules, and names those in C", function()
    support.in_folder(function(dir)
      write_file(dir .. "/inner.lua", "return { word = 'inner' }")
      write_file(dir .. "/outer.lua", "return { word = require 'inner'.word .. ' outer' }")
      write_file(dir .. "/later.lua", "return ' later'")
      write_file(dir .. "/count.lua", [[
        local lencase, outer = require "lencase", require("outer")
        return lencase.grate { on_exit = function()
          io.stderr:write(outer.word, require "later", pcall(require, "cjson") and " json" or "", "\n")
        end }]])
      local _, err, status =
        sh(("here=$PWD; cd %s && LENCASE_BUILD=%s lua5.4 $here/scripts/lencase compile count.lua -o count.c")
        :format(quote(dir), support.build))
      assert.are.equal(0, status, err)
      assert.are.equal("lencase: the program that loads it needs these C modules: cjson\n", err)
      assert.are.equal("", (build(dir, compiled, "count.c")))
      _, err = run(dir, "true")
      assert.are.equal("inner outer later\n", err)
    end)
  end)

  -- A grate with stacks inside, each of which is compiled, too: what the program prints.
  local function with_stacks(script, options, inside, words)
    local parts =
      { BEFORE = "#define LOAD_OF(name) int name##_load(lencase_state *, int, const char *const[], lencase_grate **)\n"
                             .. "LOAD_OF(outer);\n", LOAD = "load_all(st)" }
    local steps, files, stacks = {}, "outer.c", ""
    local out, said
    support.in_folder(function(dir)
      for i, text in ipairs(inside) do
        local name = "inner" .. i
        write_file(("%s/%s.lua"):format(dir, name), text)
        assert.are.equal(0, select(3, compile(dir, ("DIR/%s.lua -o DIR/%s.c"):format(name, name))))
        parts.BEFORE = parts.BEFORE .. ("LOAD_OF(%s);\n"):format(name)
        table.insert(steps,
          ("lencase_branch_open(st) || %s_load(st, 0, NULL, NULL) || lencase_branch_close(st) || "):format(name))
        files, stacks = files .. " " .. name .. ".c", ("%s '%%{' %s/%s.lua '%%}'"):format(stacks, dir, name)
      end
      options = options:gsub("DIR", dir)
      local _, err, status = compile(dir, ("%s -n outer -o DIR/outer.c -- %s %s"):format(script, options, stacks))
      assert.are.equal(0, status, err)
      parts.BEFORE = parts.BEFORE
        .. ("static int load_all(lencase_state *st) {\n  static const char *const argv[] = {%s NULL};\n"
        .. "  return %souter_load(st, sizeof argv / sizeof *argv - 1, argv, NULL) ? LENCASE_ESCRIPT : LENCASE_OK;\n}\n")
        :format(options:gsub("%S+", '"%0",'), table.concat(steps))
      assert.are.equal("", (build(dir, parts, files)))
      out, said = run(dir, (words:gsub("DIR", dir)))
    end)
    return out, said
  end

  it("compiles clamps and tees, run with the stacks inside", function()
    local readonly = 'local lencase = require "lencase" return lencase.grate { mkdir = lencase.fail "EROFS" }'
    local out, err = with_stacks("clamp.lua", "--prefix DIR/in", { readonly },
                                 [[sh -c 'mkdir DIR/in DIR/out; ls DIR | grep -c ^out$']])
    assert.are.equal("1\n", out)
    assert.is_truthy(err:find("/in.*Read%-only file system\n$"), err)
    local ids =
      { 'return require "lencase".grate { getuid = function() return -1, 5 end, geteuid = function() return 7 end }',
                  'return require "lencase".grate { getuid = function() return 8 end, geteuid = function() return 8 '
                  .. 'end }' }
    out, err = with_stacks("tee.lua", "--rule first", ids, [[sh -c 'id -u; id -ru']])
    assert.are.equal("7\n8\n", out, err)
  end)

  it("says what is wrong with stacks inside", function()
    for words, message in pairs {
      ["tee.lua"] = "expected two stacks", ["tee.lua -- '%{' umask.lua"] = "%{ without %}",
      ["clamp.lua -- '%{' umask.lua 022 '%}' --prefix /"] = "the script's arguments come before %{",
      ["clamp.lua -- --prefix / '%{' none.lua '%}'"] = "none.lua",
    } do
      local _, err, status = compile("/nowhere", words)
      assert.are.equal(125, status)
      assert.is_truthy(err:find(message, 1, true), err)
    end
  end)

  it("knows what a text means that depends on the arguments it was compiled with", function()
    local script = [[local lencase = require "lencase"
      local which = ... == "one" and "pathname" or "mode"
      return lencase.grate { access = { "pass " .. which, function() return 0 end } }]]
    support.in_folder(function(dir)
      program(dir, script, "-- one")
      assert.are.equal("", (select(2, run(dir, "true"))))
      program(dir, script)
      local err = select(2, run(dir, "true"))
      assert.is_truthy(err:find('LENCASE_ESCRIPT: the policy "pass pathname" must be parsed, and LPeg is missing', 1,
                                true), err)
      local out
      out, err = sh(("%s/p echo hello"):format(dir)) -- where LPeg is
      assert.are.equal("hello\n", out, err)
      program(dir, "if ... ~= 'one' then error 'which?' end " .. script, "--unchecked")
      out, err = sh(("%s/p echo hello"):format(dir))
      assert.are.equal("hello\n", out, err)
    end)
  end)

  it("writes the same file for the same script", function()
    support.in_folder(function(dir)
      write_file(dir .. "/count.lua", counter)
      assert.are.equal((compile(dir, "DIR/count.lua")), (compile(dir, "DIR/count.lua")))
    end)
  end)

  -- What is changed in the C file, and what the message must say.
  local changes = {
    { "another lencase", function(text) return text:gsub('"%d+%.%d+%.%d+"', '"0.0.9"') end,
      "count.lua: it was compiled by lencase 0.0.9, this is lencase " .. core.version .. ": compile it again" },
    { "another Lua", function(text) return text:gsub('"Lua %d+%.%d+%.%d+"', '"Lua 5.4.99"') end,
      "count.lua: it was compiled by Lua 5.4.99, this is " .. core.lua .. ": compile it again" },
    { "another form", function(text) return text:gsub("(_compiled = {\n    )%d+", "%1" .. 77) end,
      "compiled in form 77" },
    { "a changed byte of the script", function(text) return text:gsub("27, 76, 117, 97", "27, 76, 117, 98", 1) end,
      "count.lua: the bytes of '/.*/count.lua' are not those that were compiled %(checksum %x+, not %x+%): compile it "
      .. "again" },
    { "a changed checksum of a module", function(text)
        return text:gsub('("lencase%.policy", [^{}]*UINT64_C%(0x)%x%x%x%x', "%10000")
      end, "the bytes of 'lencase.policy' are not those that were compiled" },
  }

  for _, change in ipairs(changes) do
    it("is refused: " .. change[1], function()
      support.in_folder(function(dir)
        program(dir, counter, "", change[2])
        local out, err, status = run(dir, "echo hello")
        assert.are.equal("", out)
        assert.are.equal(99, status)
        assert.is_truthy(err:find "^LENCASE_ESCRIPT: " and (err:find(change[3]) or err:find(change[3], 1, true)), err)
      end)
    end)
  end

  it("gives a grate that cannot be reloaded, and says so", function()
    support.in_folder(function(dir)
      program(dir, counter)
      local _, err, status = run(dir, "true", "RELOAD=1")
      assert.is_truthy(err:find("LENCASE_ESCRIPT: .*count.lua: it was loaded from memory, there is no file to reload"),
                       err)
      assert.are.equal(99, status)
    end)
  end)

  it("finds mistakes, and writes nothing then", function()
    support.in_folder(function(dir)
      for script, message in pairs {
        ['return require "lencase".grate {\nopne = require "lencase".fail "EPERM" }'] =
          "bad.lua:2: unknown call 'opne'",
        ["return 1"] = "bad.lua: the script must end with 'return lencase.grate",
        ["x ="] = "bad.lua:1: unexpected symbol",
        ["return nil, error { }"] = "table:",
      } do
        write_file(dir .. "/bad.lua", script)
        for _, option in ipairs { "", "--header" } do
          local _, err, status = compile(dir, "DIR/bad.lua -o DIR/bad.c " .. option)
          assert.are.equal(125, status)
          assert.is_truthy(err:find(message, 1, true), err)
          assert.is_nil(io.open(dir .. "/bad.c"))
        end
      end
      for words, message in pairs {
        ["DIR/none.lua"] = "none.lua: No such file", ["DIR/bad.lua -n 7up"] = "not a C identifier: 7up",
        ["DIR/bad.lua --header --strip"] = "--strip cannot be used with --header",
      } do
        local _, err, status = compile(dir, words)
        assert.are.equal(125, status)
        assert.is_truthy(err:find(message, 1, true), err)
      end
    end)
  end)
end)


describe("a grate from memory", function()
  local from_file = {
    BEFORE = [[static char data[100000];
      static size_t size;
      static int load(lencase_state *st);
      static int load(lencase_state *st) {
        FILE *f = fopen(getenv("DATA"), "rb");
        size = f != NULL ? fread(data, 1, sizeof data, f) : 0;
        if (f != NULL) fclose(f);
        return lencase_load_buffer(st, "mem.lua", data, size, 0, NULL, NULL, NULL, NULL);
      }]],
    LOAD = "load(st)",
  }
  local dir

  setup(function()
    dir = support.new_folder()
    assert.are.equal("", (build(dir, from_file)))
  end)

  teardown(function() os.execute("rm -rf " .. quote(dir)) end)

  local function with(data, words, env)
    write_file(dir .. "/data", data)
    return sh(("cd %s && LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;;' LUA_CPATH='%s/%s/?.so;;' DATA=%s/data %s ./p %s")
      :format(
      dir, support.pwd, support.pwd, support.pwd, support.build, dir, env or "", words))
  end

  it("is text or bytecode", function()
    for _, data in ipairs { counter, string.dump(assert(load(counter, "@mem.lua"))),
                            string.dump(assert(load(counter)), true) } do
      local out, err, status = with(data, "echo hello")
      assert.are.equal("6 bytes in 1 calls, \n", err)
      assert.are.equal("hello\n", out)
      assert.are.equal(0, status)
    end
  end)

  it("has lines of its own text in messages, also when a file of that name exists", function()
    write_file(dir .. "/mem.lua", "\n\n\n\n\n\nopne = 1")
    local err = select(2,
      with('local lencase = require "lencase"\nreturn lencase.grate {\nopne = lencase.fail "EPERM" }', "true"))
    assert.is_truthy(err:find("LENCASE_ESCRIPT: mem.lua:3: unknown call 'opne'", 1, true), err)
    err = select(2, with('local lencase = require "lencase" local sys = lencase.sys\n'
      .. 'return lencase.grate { uses = { "read" }, open = function() return sys.write(1, "a", 1) end }', "true"))
    assert.is_truthy(err:find("mem.lua:2: sys.write is not among this grate's uses", 1, true), err)
    err = select(2, with("return 1", "true"))
    assert.is_truthy(err:find("mem.lua: the script must end with", 1, true), err)
    err = select(2, with("", "true"))
    assert.is_truthy(err:find("mem.lua: the script must end with", 1, true), err)
  end)

  it("is refused when it is bytecode of something else", function()
    local good = string.dump(assert(load(counter)))
    for data, message in pairs {
      [good:sub(1, 4) .. "\x53" .. good:sub(6)] = "bytecode for Lua 5.3, format 0; this is " .. core.lua
        .. ": compile it again",
      [good:sub(1, 12) .. "\x08" .. good:sub(14)] = "a Lua with other number formats: compile it again",
      [good:sub(1, 20)] = "mem.lua: it is not bytecode, or is truncated",
      [good:sub(1, 60)] = "mem.lua: bad binary format (truncated chunk)",
      ["\x1bELF"] = "mem.lua: it is not bytecode, or is truncated",
    } do
      local _, err, status = with(data, "true")
      assert.are.equal(99, status)
      assert.is_truthy(err:find("LENCASE_ESCRIPT: ", 1, true) and err:find(message, 1, true), err)
    end
  end)

  it("cannot be reloaded", function()
    local _, err = with(counter, "true", "RELOAD=1")
    assert.is_truthy(err:find("LENCASE_ESCRIPT: mem.lua: it was loaded from memory", 1, true), err)
  end)
end)

describe("lencase compile --header", function()
  local script = [[
    local lencase = require "lencase"
    return lencase.grate {
      write = { "COPYING buf", exact = true, function() end },
      open = { "copy pathname", function() end },
      clock_gettime = function() end,
      socket = lencase.fail "EPERM",
    }]]

  local handlers = [[
#include "count.h"
#include <string.h>

struct counts { long bytes, eyes, opens; };

static lencase_verdict forwarded(lencase_call *call, lencase_event event) {
  if (event == LENCASE_EVENT_DROP) return LENCASE_VERDICT_DONE;
  if (event == LENCASE_EVENT_START && lencase_call_forward(call) == LENCASE_VERDICT_PARKED)
    return LENCASE_VERDICT_PARKED;
  return count_answer(call, lencase_call_result(call));
}

lencase_verdict count_write(lencase_call *call, lencase_event event, void *ud, int fd, const void *buf,
                            size_t size) {
  struct counts *c = ud;
  lencase_verdict verdict = forwarded(call, event);
  if (verdict != LENCASE_VERDICT_DONE || event == LENCASE_EVENT_DROP || fd != 1) return verdict;
  c->bytes += lencase_call_result(call);
  c->eyes += memchr(buf, 'i', size) != NULL;
  return verdict;
}

static lencase_verdict opened(lencase_call *call, struct counts *c, const char *pathname) {
  if (strncmp(pathname, "/secret/", 8) == 0) return count_answer(call, -EACCES);
  c->opens += strstr(pathname, "count-me") != NULL;
  return LENCASE_VERDICT_PASS;
}

lencase_verdict count_open(lencase_call *call, lencase_event event, void *ud, const char *pathname,
                           int flags, mode_t mode) {
  (void)event, (void)flags, (void)mode;
  return opened(call, ud, pathname);
}

lencase_verdict count_openat(lencase_call *call, lencase_event event, void *ud, int dirfd,
                             const char *pathname, int flags, mode_t mode) {
  (void)event, (void)dirfd, (void)flags, (void)mode;
  return opened(call, ud, pathname);
}

lencase_verdict count_openat2(lencase_call *call, lencase_event event, void *ud, int dirfd,
                              const char *pathname, const void *how, size_t size) {
  (void)event, (void)dirfd, (void)how, (void)size;
  return opened(call, ud, pathname);
}

lencase_verdict count_creat(lencase_call *call, lencase_event event, void *ud, const char *pathname,
                            mode_t mode) {
  (void)event, (void)mode;
  return opened(call, ud, pathname);
}

lencase_verdict count_clock_gettime(lencase_call *call, lencase_event event, void *ud, clockid_t id,
                                    uint64_t tp) {
  (void)call, (void)event, (void)ud, (void)id, (void)tp;
  return LENCASE_VERDICT_PASS;
}
]]

  -- What the compiler says of handlers for a policy of write, and its status.
  local function built(dir, copying, text)
    write_file(dir .. "/count.lua", (script:gsub("COPYING", copying)))
    local _, err, status = compile(dir, "--header DIR/count.lua -o DIR/count.h")
    assert.are.equal(0, status, err)
    return build(dir, { BEFORE = text, LOAD = "count_new(st, &counts, NULL)",
      AFTER = 'fprintf(stderr, "%ld bytes, %ld with i, %ld opened\\n", counts.bytes, counts.eyes, counts.opens);' })
  end

  local text = handlers .. "static struct counts counts;"

  it("declares handlers that a grate in C is made of", function()
    support.in_folder(function(dir)
      local err, status = built(dir, "copy", text)
      assert.are.equal("", err)
      assert.are.equal(0, status)
      local out
      out, err, status = run(dir, [[sh -c 'echo hi; echo you; cat /tmp/count-me-not; cat /secret/file' 2>&1]])
      assert.are.equal("hi\nyou\ncat: /tmp/count-me-not: No such file or directory\n"
        .. "cat: /secret/file: Permission denied\n7 bytes, 1 with i, 1 opened\n", out .. err)
      assert.are.equal(1, status)
    end)
  end)

  -- What becomes of the handlers' text, which then must not compile.
  local mistakes = {
    { "a parameter too few", function(t) return t:gsub("const void %*buf,%s*size_t size", "const void *buf", 1) end },
    { "a parameter too many", function(t) return t:gsub("size_t size%)", "size_t size, int more)", 1) end },
    { "a parameter of another type", function(t) return t:gsub("int fd", "long fd", 1) end },
    { "parameters in another order", function(t)
      return t:gsub("int dirfd,%s*(const char %*pathname)", "%1, int dirfd", 1)
    end },
    { "a handler left out", function(t) return t:gsub("lencase_verdict count_creat%b()%s*%b{}", "", 1) end },
  }

  for _, mistake in ipairs(mistakes) do
    it("makes an error of the compiler of " .. mistake[1], function()
      support.in_folder(function(dir)
        local changed, n = mistake[2](text)
        assert.are.equal(1, n)
        local err, status = built(dir, "copy", changed)
        assert.are_not.equal(0, status)
        assert.is_truthy(err:find "conflicting types for 'count_%l+'" or err:find "conflicting types for ‘count_%l+’"
          or err:find "undefined reference to .count_creat'", err)
      end)
    end)
  end

  it("has an address and not a pointer where nothing is copied", function()
    support.in_folder(function(dir)
      assert.is_truthy((built(dir, "pass", text)):find("conflicting types for .-count_write"))
      assert.is_truthy(read_file(dir .. "/count.h"):find("int fd,%s+uint64_t buf,%s+size_t count"))
      local passing =
        text:gsub("const void %*buf", "uint64_t buf"):gsub("memchr%(buf, 'i', size%) != NULL", "buf != 0 && size > 0")
      local err, status = built(dir, "pass", passing)
      assert.are.equal("", err)
      assert.are.equal(0, status)
    end)
  end)

  it("has all calls of a family, of its variants what they have in common, and constants", function()
    support.in_folder(function(dir)
      write_file(dir .. "/x.lua", [[local lencase = require "lencase"
        return lencase.grate { fcntl = { exact = true, lencase.PASS_THROUGH_ALL | lencase.ADDR(3), function() end },
          rename = { "copy oldpath newpath", function() end }, [2001] = function() end, registered = false,
          [2002] = { "copy all", prototype = "int epoll(int event, const char *NAME)", function() end },
          ptrace = lencase.fail "EPERM" }]])
      local out, err, status = compile(dir, "--header -n some DIR/x.lua")
      assert.are.equal(0, status, err)
      for _, part in ipairs {
        "some_fcntl(lencase_call *call, lencase_event event, void *ud, int fd, unsigned int op, uint64_t arg3);",
        "some_renameat2(lencase_call *call, lencase_event event, void *ud, int olddirfd, const char *oldpath, "
          .. "int newdirfd, const char *newpath, unsigned int flags);", "{.callnum = SYS_ptrace, .constant = -EPERM}",
        "uint64_t arg1, uint64_t arg2, uint64_t arg3, uint64_t arg4, uint64_t arg5, uint64_t arg6);",
        ".policy = LENCASE_PASS_THROUGH_ALL | LENCASE_ADDR(3)", ".flags = LENCASE_UNREGISTERED",
        "some_epoll(lencase_call *call, lencase_event event, void *ud, int event_, uint64_t NAME);",
        "Of the family of 'rename'.",
      } do
        assert.is_truthy(out:gsub("%s+", " "):find(part, 1, true), part .. "\n" .. out)
      end
      write_file(dir .. "/some.h", out)
      err, status = select(2,
        sh(("echo '#include \"some.h\"' > %s/x.c; gcc -Wall -Wextra -Wconversion -Werror -I%s/core -c -o /dev/null "
            .. "%s/x.c")
        :format(dir, support.pwd, dir)))
      assert.are.equal(0, status, err)
    end)
  end)

  it("does for every call that lencase knows", function()
    support.in_folder(function(dir)
      for _, set in ipairs { "COPY_ALL_ARGS", "PASS_THROUGH_POINTERS" } do
        write_file(dir .. "/all.lua", ([[local lencase, all = require "lencase", {}
          for _, name in ipairs(require "lencase.core".names()) do
            all[name] = { lencase.%s, exact = true, function() end }
          end
          return lencase.grate(all)]]):format(set))
        local _, err, status = compile(dir, "--header DIR/all.lua -o DIR/all.h")
        assert.are.equal(0, status, err)
        _, err, status = sh(("cd %s; echo '#include \"all.h\"' > x.c; gcc -Wall -Wextra -Wconversion -Werror -I%s/core "
                             .. "-c -o /dev/null x.c")
          :format(dir, support.pwd))
        assert.are.equal(0, status, err)
      end
    end)
  end)

  it("says what cannot be a table", function()
    support.in_folder(function(dir)
      for entries, message in pairs {
        ['provide = { "read" }'] = "a layer (provide) cannot be written as a table",
        ["on_exit = print"] = "it handles nothing",
        ['write = { "copy all", args = { count = "1.." }, function() end }'] =
          "contracts are not checked for C handlers",
      } do
        write_file(dir .. "/x.lua", ('return require "lencase".grate { %s }'):format(entries))
        local _, err, status = compile(dir, "--header DIR/x.lua")
        assert.are.equal(125, status)
        assert.is_truthy(err:find(message, 1, true), err)
      end
    end)
  end)

  it("writes policies as constants that mean the same", function()
    local masks =
      { policy.PASS_THROUGH_POINTERS | policy.COPY(2), policy.PASS_THROUGH_POINTERS | policy.PASS(2) | policy.ONCE(1),
                    policy.PASS(1) | policy.ADDR(2), policy.PASS_THROUGH_ALL & ~policy.PASS(3),
                    policy.PASS(4) & ~0xffffff,
                    policy.PASS(2) & 0xffffff, policy.PASS_THROUGH_ALL | policy.PASS(6), 0,
                    policy.COPY(3) | policy.ONCE(3),
                    policy.PASS_THROUGH_POINTERS & ~policy.PASS(1) }
    local lines = { "#include <lencase.h>" }
    for i, mask in ipairs(masks) do
      table.insert(lines, ('_Static_assert((%s) == UINT64_C(0x%x), "%d");'):format(header.policy(mask), mask, i))
    end
    support.in_folder(function(dir)
      write_file(dir .. "/x.c", table.concat(lines, "\n") .. "\n")
      local _, err, status = sh(("gcc -Wall -Werror -Icore -c -o /dev/null %s/x.c"):format(dir))
      assert.are.equal(0, status, err)
      assert.are.equal("LENCASE_PASS_THROUGH_POINTERS | LENCASE_COPY(2)", header.policy(masks[1]))
    end)
  end)
end)
