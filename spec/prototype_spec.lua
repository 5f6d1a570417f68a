-- The grammar of prototypes and structs: what is understood, and what the messages say.

local enum = require "lencase.calls.enum"
local prototype = require "lencase.calls.prototype"
local suggest = require "lencase.suggest"

local function parse(text, ...) return assert(prototype.parse(text, ...)) end

--- The parameters of a prototype that has one variant.
local function params(text)
  local sig = parse(text)
  assert.equal(1, #sig.variants)
  return sig.variants[1].params
end

local function name_of(kind, value)
  for name, number in pairs(enum[kind]) do
    if number == value then return name end
  end
end

local function type_print(p)
  local out = { p.name, name_of("kind", p.kind) }
  if p.kind == enum.kind.INT then
    table.insert(out, (p.is_signed == 1 and "i" or "u") .. p.width)
  elseif p.kind ~= enum.kind.ADDR then
    table.insert(out, name_of("dir", p.dir))
  end
  return out
end

local function size_print(p, all)
  local size = ({ [0] = "[" .. p.count .. "]", "[." .. all[p.size_arg + 1].name .. "]",
                  "[*" .. all[p.size_arg + 1].name .. "]", "[->" .. p.count .. "]" })[p.size]
  local filled = p.dir & enum.dir.OUT ~= 0 and name_of("filled", p.filled) or ""
  return size .. "x" .. p.elem .. (p.record and " " .. p.record.name or "") .. (filled ~= "" and " " .. filled or "")
end

--- "buf BYTES IN [.count]x1" for each parameter: all that the core gets to know.
local function printed(text)
  local all, lines = params(text), {}
  for i, p in ipairs(all) do
    local out = type_print(p)
    if p.elem > 0 and p.kind ~= enum.kind.STRV then table.insert(out, size_print(p, all)) end
    if p.kind == enum.kind.STRING and p.count > 0 then table.insert(out, "[" .. p.count .. "]") end
    if p.nullable == 1 then table.insert(out, "NULLABLE") end
    lines[i] = table.concat(out, " ")
  end
  return lines
end

describe("a prototype", function()
  local golden = {
    ["ssize_t write(int fd, const void buf[.count], size_t count);"] =
      { "fd INT i4", "buf BYTES IN [.count]x1", "count INT u8" },
    ["ssize_t read(int fd, void buf[.count], size_t count);"] =
      { "fd INT i4", "buf BYTES OUT [.count]x1 RESULT", "count INT u8" },
    ["int open(const char *pathname, int flags, ... /* mode_t mode */);"] =
      { "pathname STRING IN", "flags INT i4", "mode INT u4" },
    ["int execve(const char *pathname, char *const _Nullable argv[], char *const _Nullable envp[]);"] =
      { "pathname STRING IN", "argv STRV IN NULLABLE", "envp STRV IN NULLABLE" },
    ["int pipe(int pipefd[2]);"] = { "pipefd RECORDS OUT [2]x4 int WHOLE" },
    ["int stat(const char *restrict pathname, struct stat *restrict statbuf);"] =
      { "pathname STRING IN", "statbuf RECORDS OUT [1]x144 struct stat WHOLE" },
    ["int utimensat(int dirfd, const char *_Nullable p, const struct timespec times[_Nullable 2], int flags);"] =
      { "dirfd INT i4", "p STRING IN NULLABLE", "times RECORDS IN [2]x16 struct timespec NULLABLE", "flags INT i4" },
    ["ssize_t writev(int fd, const struct iovec iov[.iovcnt], int iovcnt);"] =
      { "fd INT i4", "iov IOVEC IN [.iovcnt]x16", "iovcnt INT i4" },
    ["ssize_t readv(int fd, /* out */ const struct iovec iov[.iovcnt], int iovcnt);"] =
      { "fd INT i4", "iov IOVEC OUT [.iovcnt]x16 RESULT", "iovcnt INT i4" },
    ["int accept(int fd, struct sockaddr addr[_Nullable *addrlen], socklen_t *_Nullable restrict addrlen);"] =
      { "fd INT i4", "addr BYTES OUT [*addrlen]x1 WHOLE NULLABLE",
        "addrlen RECORDS INOUT [1]x4 socklen_t WHOLE NULLABLE" },
    ["int bind(int fd, const struct sockaddr addr[.addrlen], socklen_t addrlen);"] =
      { "fd INT i4", "addr BYTES IN [.addrlen]x1", "addrlen INT u4" },
    ["int poll(/* inout, whole */ struct pollfd fds[.nfds], unsigned nfds, int timeout);"] =
      { "fds RECORDS INOUT [.nfds]x8 struct pollfd WHOLE", "nfds INT u4", "timeout INT i4" },
    ["ssize_t sendfile(int out, int in, /* inout */ off_t *_Nullable offset, size_t count);"] =
      { "out INT i4", "in INT i4", "offset RECORDS INOUT [1]x8 off_t WHOLE NULLABLE", "count INT u8" },
    ["void *mmap(void *addr, unsigned long length);"] = { "addr ADDR", "length INT u8" },
    ["int f(char *x, const void *y, fd_set *z, /* addr */ int *w);"] = { "x ADDR", "y ADDR", "z ADDR", "w ADDR" },
    ["int f(uint8_t b[.n], unsigned long long int n, short s, bool t, long unsigned u);"] =
      { "b BYTES OUT [.n]x1 RESULT", "n INT u8", "s INT i2", "t INT u1", "u INT u8" },
    ["int f(const char name[.n], int n);"] = { "name BYTES IN [.n]x1", "n INT i4" },
    ["int f(struct robust_list_head **head, void *list[.n], int n);"] =
      { "head RECORDS OUT [1]x8 struct robust_list_head * WHOLE", "list RECORDS OUT [.n]x8 void * RESULT", "n INT i4" },
    ["int f(const char *const *strings, char ** out);"] = { "strings STRV IN", "out RECORDS OUT [1]x8 char * WHOLE" },
    ["int openat2(/* sized */ const struct open_how how[.size], size_t size);"] =
      { "how RECORDS IN [.size]x1 struct open_how", "size INT u8" },
    ["int f(/* sized */ struct sched_attr attr[.size], unsigned int size);"] =
      { "attr RECORDS OUT [.size]x1 struct sched_attr WHOLE", "size INT u4" },
    ["int f(/* inout */ struct perf_event_attr attr[->size]);"] =
      { "attr RECORDS INOUT [->4]x1 struct perf_event_attr WHOLE" },
    ["int f(/* nul */ const char name[16]);"] = { "name STRING IN [16]" },
    ["pid_t fork(void)"] = {},
  }
  for text, expected in pairs(golden) do
    it("is understood: " .. text, function() assert.same(expected, printed(text)) end)
  end

  it("may have several lines, with comments without meaning", function()
    local text = "ssize_t write(int fd,  \n   const void buf[.count],\n size_t count /* bytes */ );\n"
    assert.same({ "fd INT i4", "buf BYTES IN [.count]x1", "count INT u8" }, printed(text))
    assert.equal("ssize_t write(int fd, const void buf[.count], size_t count /* bytes */ );", parse(text).prototype)
  end)

  it("says that a call does not return, or that it returns an address", function()
    assert.equal(enum.flag.NORETURN, parse("[[noreturn]] void exit(int status);").flags)
    assert.equal(enum.flag.NORETURN, parse("_Noreturn void exit(int status);").flags)
    assert.equal(enum.flag.ADDRESS, parse("void *brk(void *addr);").flags)
    assert.equal(0, parse("extern int f(int x);").flags)
  end)

  it("may be that of syscall(2)", function()
    local sig = parse "int syscall(SYS_tgkill, pid_t tgid, pid_t tid, int sig);"
    assert.equal("tgkill", sig.name)
    assert.equal("pid_t tgid, pid_t tid, int sig", prototype.format(sig.variants[1]))
    assert.equal("gettid", parse("pid_t syscall(SYS_gettid);").name)
  end)

  it("with an empty '...' has addresses in all places that are left", function()
    local sig = parse "int fcntl(int fd, int op, ... /* arg */ );"
    assert.equal(1, sig.variants[1].unknown)
    assert.equal("int fd, int op, void *arg3, void *arg4, void *arg5, void *arg6", prototype.format(sig.variants[1]))
  end)

  it("may bring the structs that it needs", function()
    local sig = parse "struct point { int x, y; }; int plot(const struct point points[.n], int n);"
    assert.equal("int plot(const struct point points[.n], int n);", sig.prototype)
    assert.equal(8, sig.variants[1].params[1].elem)
    assert.is_nil(prototype.parse "int plot(const struct point *p);")
  end)

  it("is printed again as it was written", function()
    local inner = "int fd, /* inout whole */ struct pollfd fds[_Nullable .n], unsigned int n, const char *name, "
                  .. "char *const _Nullable argv[], socklen_t *x"
    assert.equal(inner, prototype.format(parse("int f(" .. inner .. ");").variants[1]))
    assert.equal("void", prototype.format(parse("pid_t fork(void);").variants[1]))
  end)

  it("has variants in the place of '...'", function()
    local when = { op = enum.test.ANY, arg = 1, mask = 64, value = 0 }
    local sig = parse("int open(const char *path, int flags, ... /* mode_t mode */);", nil,
                      { { when = when, tail = "mode_t mode" }, { tail = "" } })
    assert.same(when, sig.variants[1].when)
    assert.equal(3, sig.variants[1].nparams)
    assert.equal(enum.test.ALWAYS, sig.variants[2].when.op)
    assert.equal("const char *path, int flags", prototype.format(sig.variants[2]))
  end)
end)

describe("a message", function()
  local golden = {
    ["int f(/* sized */ const void how[.size], int size);"] =
      "line 1, column 34: sized is for a struct of known form: struct foo how[.size]",
    ["int f(/* sized */ const struct open_how *how);"] =
      "line 1, column 42: sized is for a struct of known form: struct foo how[.size]",
    ["int f(struct sched_attr attr[->length]);"] =
      "line 1, column 30: [->length]: struct sched_attr has no 32-bit integer 'length'",
    ["int f(int fd"] = "line 1, column 13: expected ',' or ')', found the end",
    ["int f(int fd  int x);"] = "line 1, column 15: expected ',' or ')', found 'int'",
    ["int f(int fd, int);"] = "line 1, column 18: expected the parameter's name, found ')'",
    ["int f(int fd); x"] = "line 1, column 16: expected the end, found 'x'",
    ["f(int fd);"] = "line 1, column 2: expected the call's name, found '('",
    [""] = "line 1, column 1: expected a type, found the end",
    ["int f(int n, ..., int m)"] = "line 1, column 17: expected ',' or ')', found ','",
    ["ssize_t write(int fd,\n  const void buf[.cuont], size_t count);"] =
      "line 2, column 18: there is no parameter 'cuont' (did you mean 'count'?)",
    ["int f(const void buf[count], int count);"] =
      "line 1, column 22: a size that is a parameter has a dot: [.count]",
    ["int f(void b[.n * 2], int n);"] =
      "line 1, column 17: expected ']', found '*'; a size is a number, .name or *name, without arithmetic",
    ["int f(int b[], int n);"] = "line 1, column 13: say how many: int b[.count], [*count] or [8]",
    ["int f(int b[0]);"] = "line 1, column 13: the size must be from 1 to 1073741823",
    ["int f(int b[99999999999999999999]);"] = "line 1, column 13: the size must be from 1 to 1073741823",
    ["int f(int b[2][3]);"] = "line 1, column 16: 'b' has more than one dimension",
    ["int f(const struct iovec *iov, int n);"] =
      "line 1, column 27: say how many: struct iovec iov[.iovcnt]",
    ["int f(void b[.p], int *p);"] =
      "line 1, column 14: 'p' is not an integer; if it points to the size, write [*p]",
    ["int f(void b[*n], int n);"] = "line 1, column 14: [*n]: 'n' must point to one 32-bit integer",
    ["int f(void b[*n], size_t *n);"] = "line 1, column 14: [*n]: 'n' must point to one 32-bit integer",
    ["int f(sizet n);"] = "line 1, column 7: unknown type 'sizet' (did you mean 'size_t'?)",
    ["int f(double x);"] = "line 1, column 7: unknown type 'double'",
    ["int f(unsigned void x);"] = "line 1, column 7: unknown type 'unsigned void' (did you mean 'unsigned long'?)",
    ["int f(struct statt *s);"] =
      "line 1, column 7: unknown type 'struct statt' (did you mean 'struct stat'?); declare it first, or write void *",
    ["int f(struct stat s);"] = "line 1, column 7: a struct is passed by a pointer: struct stat *s",
    ["struct stat f(int x);"] = "line 1, column 1: a call's result is an integer or an address",
    ["int f(void x);"] = "line 1, column 7: 'x' needs a type; bytes are void *x",
    ["int f(int x, int x);"] = "line 1, column 18: there are two parameters 'x'",
    ["int f(int a, int b, int c, int d, int e, int g, int h);"] = "line 1, column 49: a call has at most 6 arguments",
    ["int f(/* out */ int x);"] = "line 1, column 7: 'x' is an integer: it has no direction",
    ["int f(/* inuot */ void *x);"] =
      "line 1, column 7: a note before a parameter is one of in, out, inout, whole, addr, sized, nul (did you mean "
      .. "'inout'?)",
    ["int f(void *x /* out */);"] =
      "line 1, column 15: expected ',' or ')', found '/'; a note like /* out */ comes before its parameter",
    ["int f(int (*fn)(void *));"] =
      "line 1, column 11: expected the parameter's name, found '('; a pointer to a function is written as void *name",
    ["int f(enum x y);"] = "line 1, column 7: expected a type, found 'enum'; write int for an enum",
    ["#include <fcntl.h>\nint f(int x);"] =
      "line 1, column 1: expected a type, found '#'; leave out the #include lines",
  }
  for text, expected in pairs(golden) do
    it("for " .. (text:gsub("\n", " ")), function()
      local sig, message = prototype.parse(text)
      assert.is_nil(sig)
      assert.equal(expected, message)
    end)
  end

  it("comes for a variant, with the variant's text", function()
    local _, message = prototype.parse("int f(int op, ...);", nil, { { tail = "int" } })
    assert.equal("line 1, column 15: in the variant 'int': line 1, column 4: expected the parameter's name, "
                 .. "found the end", message)
    _, message = prototype.parse("int f(int op);", nil, { { tail = "int x" } })
    assert.equal("line 1, column 1: there is no '...' for the variant 'int x'", message)
  end)

  it("comes for every text cut short, never an error", function()
    local text = "[[noreturn]] int f(const char *const a[], /* out whole */ void b[_Nullable *c], int *c, "
                 .. "... /* int d */);"
    for n = 0, #text - 2 do
      local sig, message = prototype.parse(text:sub(1, n))
      assert.is_nil(sig)
      assert.matches("^line 1, column %d+: ", message)
    end
    parse(text)
  end)
end)

describe("a struct", function()
  local function layout(text, name, model)
    local env = assert(prototype.declare(text, prototype.bare_env(model)))
    local type, lines = env.types[name], {}
    for _, f in ipairs(type.record.fields) do
      table.insert(lines, ("%s %s %d+%dx%d"):format(f.name, name_of("field", f.kind), f.offset, f.width, f.count))
    end
    return type.size, lines
  end

  it("is laid out as C does", function()
    local size, lines = layout("struct s { char c; long l; short a[3]; char name[5]; void *p; unsigned int u; };",
                               "struct s")
    assert.equal(48, size)
    assert.same({ "c INT 0+1x1", "l INT 8+8x1", "a INT 16+2x3", "name CHARS 22+1x5", "p UINT 32+8x1",
                  "u UINT 40+4x1" }, lines)
  end)

  it("is smaller where pointers are", function()
    local text = "struct s { char c; long long l; void *p; long n; };"
    assert.equal(32, (layout(text, "struct s", "lp64")))
    assert.equal(24, (layout(text, "struct s", "ilp32")))
  end)

  it("holds structs, with a name or without, unions and padding", function()
    local size, lines = layout([[
      typedef unsigned char byte;
      struct in { int a; byte b; };
      struct s { short n; struct in i; struct { int x, y; } p; union { long u; int v[2]; }; int __pad; byte last; };]],
      "struct s")
    assert.equal(40, size)
    assert.same({ "n INT 0+2x1", "i RECORD 4+8x1", "p RECORD 12+8x1", "u INT 24+8x1", "v INT 24+4x2",
                  "last UINT 36+1x1" }, lines)
  end)

  it("is packed when it says so", function()
    local size, lines = layout("struct s { int a; long b; } __attribute__((packed));", "struct s")
    assert.equal(12, size)
    assert.same({ "a INT 0+4x1", "b INT 4+8x1" }, lines)
  end)

  it("may have a name by typedef alone", function()
    local size = layout("typedef struct { int a; } t; typedef t u; typedef u *v; struct s { v p; u q; };", "struct s")
    assert.equal(16, size)
  end)

  local golden = {
    ["struct s { int a };"] = "line 1, column 18: expected ',' or ';', found '}'",
    ["struct s { int; };"] = "line 1, column 15: expected the field's name, found ';'",
    ["struct s { foo a; };"] = "line 1, column 12: unknown type 'foo'",
    ["struct s { void a; };"] = "line 1, column 17: field 'a' has a type of unknown size",
    ["struct s { int a[.n]; };"] = "line 1, column 18: the size of field 'a' must be a number",
    ["struct s { int a[0]; };"] = "line 1, column 18: the size of field 'a' must be from 1 to 65535",
    ["struct s { int a[60000]; };"] = "line 1, column 1: a struct may have at most 65535 bytes, not 240000",
    ["struct s { struct { char c[256]; } a; };"] = "line 1, column 36: field 'a' is a struct of more than 255 bytes",
    ["struct { int a; };"] = "line 1, column 1: a struct without a name cannot be used here",
    ["typedef int;"] = "line 1, column 12: expected the type's name, found ';'",
    ["int f(int x);"] = "line 1, column 1: expected 'typedef' or 'struct', found 'int'",
  }
  for text, expected in pairs(golden) do
    it("is refused: " .. text, function()
      local env, message = prototype.declare(text, prototype.bare_env())
      assert.is_nil(env)
      assert.equal(expected, message)
    end)
  end
end)

describe("suggest", function()
  local names = { "write", "writev", "read", "pread64", "openat", "open" }
  it("finds the nearest word", function()
    assert.equal("write", suggest("wirte", names))
    assert.equal("writev", suggest("writeev", names))
    assert.equal("open", suggest("OPEN", names))
    assert.equal("openat", suggest("open_at", names))
  end)
  it("says nothing when none is near", function()
    assert.is_nil(suggest("socket", names))
    assert.is_nil(suggest("", names))
    assert.is_nil(suggest("x", {}))
  end)
end)
