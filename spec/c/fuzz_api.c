/*
** fuzz_api.c - the public functions in any order, with any arguments that a caller may give
**
** A string of bytes says what happens: states with allocators that fail, grates in C and Lua,
** cages of the sim host that come, call and end, routes and bytes between them, from outside
** and from inside of handlers. As a test it runs the strings of some fixed seeds; built with
** clang's -fsanitize=fuzzer ('make fuzz') it is LLVMFuzzerTestOneInput.
**
**   build/spec/c/fuzz_api                     the test
**   build/spec/c/fuzz_api SEED                one string, and tells what happens
**   build/spec/c/fuzz_api SEED HOW-MANY
**   build/spec/c/fuzz_api -s SECONDS [SEED]   from the seed on until the time is over
**
** What must hold: functions return the statuses that lencase.h documents; an error has a message; a
** failed register_handler changes nothing; a handler that parked a call hears of it again; the
** memory of a state comes back whole.
*/

#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "grate_fixture.h"

enum {
  CAGES = 10,
  GRATES = 8,
  ENTRIES = 4,
  OBJECTS = 24,
  PARKED = 8,
  STEPS = 80,
  NESTED = 3,
  EMBEDDED = 4
};

struct fuzz;

/* A grate of C handlers, and what it was told. */
struct native {
  struct fuzz *f;
  lencase_entry entries[ENTRIES];
  unsigned births, exits;
};

/* A call of a sim cage's program that waits. */
struct waiting {
  uint64_t cage;
  struct call *call;
};

/* A cage of an embedder's own, and its calls that wait. */
struct embedded {
  struct fuzz *f;
  uint64_t id;
  unsigned char memory[4096];
  lencase_call *parked[PARKED];
};

struct fuzz {
  struct world w;
  const uint8_t *data; /* what is to happen */
  size_t left;
  struct native natives[GRATES];
  unsigned nnatives, ngrates, nscripts;
  uint64_t grates[2 * GRATES]; /* ids */
  uint64_t cages[CAGES];       /* ids; some of cages that are gone */
  uint64_t last_cage;
  uint64_t objects[OBJECTS]; /* addresses that are objects in some cage */
  struct waiting waiting[PARKED];
  struct embedded embedded[EMBEDDED];
  unsigned outstanding; /* handlers that parked and were not called again */
  unsigned depth;       /* of handlers inside of one another */
  unsigned steps;
  uint64_t seen; /* of the arguments: so that they are read */
  bool open;     /* the state's cages are not being ended */
  char wrong[256];
};

static bool verbose;

/* {================================= chance ================================ */

static uint8_t byte(struct fuzz *f) {
  if (f->left == 0) return 0;
  f->left--;
  return *f->data++;
}

/* Below 'n'. */
static unsigned below(struct fuzz *f, unsigned n) {
  unsigned number = byte(f);
  if (n > 256) number = number << 8 | byte(f);
  return number % n;
}

static uint64_t word(struct fuzz *f) {
  uint64_t w = 0;
  for (int i = 0; i < 8; i++) w = w << 8 | byte(f);
  return w;
}

/* A cage that is there, or NULL. */
static struct lencase_cage *any_cage(struct fuzz *f) {
  struct lencase_cage *cage = NULL;
  unsigned at = below(f, CAGES);
  for (unsigned i = 0; cage == NULL && i < CAGES; i++)
    cage = lencase_cage_by_id(f->w.st, f->cages[(at + i) % CAGES]);
  return cage;
}

static uint64_t any_cage_id(struct fuzz *f) {
  const struct lencase_cage *cage = any_cage(f);
  unsigned kind = below(f, 16);
  if (kind == 0) return word(f);
  return kind > 2 && cage != NULL ? lencase_cage_id(cage) : f->cages[below(f, CAGES)];
}

static uint64_t any_grate_id(struct fuzz *f) {
  unsigned kind = below(f, 16);
  if (kind < 2 || f->ngrates == 0) return kind == 0 ? word(f) : 0;
  return f->grates[below(f, f->ngrates)];
}

static uint64_t any_address(struct fuzz *f) {
  uint64_t object = f->objects[below(f, OBJECTS)];
  switch (below(f, 8)) {
    case 0: return 0;
    case 1: return SIM_BASE - 1;
    case 2: return word(f);
    case 3: return object + below(f, 64);
    case 4: return UINT64_MAX - below(f, 64);
    default: return object;
  }
}

static uint64_t any_size(struct fuzz *f) {
  switch (below(f, 8)) {
    case 0: return 0;
    case 1: return word(f);
    case 2: return UINT64_MAX - below(f, 64);
    case 3: return below(f, 65536);
    default: return below(f, 64);
  }
}

/* Most often one of the first, and seldom one of the last, which are no numbers of calls. */
static const int32_t callnums[] = {
    SYS_write, SYS_read,     SYS_open,   SYS_writev,  SYS_stat,       2000,
    SYS_fork,  SYS_unlinkat, SYS_openat, SYS_close,   SYS_fstat,      SYS_readv,
    SYS_fcntl, SYS_socket,   SYS_execve, SYS_recvmsg, SYS_rename,     SYS_getppid,
    SYS_ioctl, SYS_poll,     SYS_select, SYS_futex,   SYS_getdents64, SYS_exit_group,
    1001,      1002,         1003,       2001,        77777,          LENCASE_MATCH_ALL,
    -7,        INT32_MAX,
};
enum { CALLNUMS = sizeof callnums / sizeof *callnums, HOT = 5, COLD = 3 };

static int32_t any_callnum(struct fuzz *f) {
  unsigned kind = below(f, 64);
  if (kind == 0) return callnums[CALLNUMS - 1 - below(f, COLD)];
  return callnums[below(f, kind < 48 ? HOT : CALLNUMS - COLD)];
}

/* One that some grate of C handlers has, or any. */
static int32_t handled_callnum(struct fuzz *f) {
  const struct native *n = f->nnatives > 0 ? &f->natives[below(f, f->nnatives)] : NULL;
  unsigned e = below(f, ENTRIES);
  if (n == NULL || n->entries[e].callnum == 0 || below(f, 8) == 0) return any_callnum(f);
  return n->entries[e].callnum;
}

static uint64_t any_word(struct fuzz *f) {
  switch (below(f, 6)) {
    case 0: return any_size(f);
    case 1: return any_cage_id(f);
    case 2: return (uint64_t)(int64_t)any_callnum(f);
    case 3: return below(f, 16);
    default: return any_address(f);
  }
}

/* Most often such that a write, an open or a writev could be well. */
static void any_words(struct fuzz *f, uint64_t words[LENCASE_MAXARGS]) {
  for (int i = 0; i < LENCASE_MAXARGS; i++)
    if (below(f, 4) == 0)
      words[i] = any_word(f);
    else
      words[i] = i == 2 ? below(f, 8) : f->objects[below(f, OBJECTS)];
}

static lencase_policy any_policy(struct fuzz *f) {
  static const lencase_policy sets[] = {LENCASE_COPY_ALL_ARGS, LENCASE_PASS_THROUGH_POINTERS,
                                        LENCASE_PASS_THROUGH_ALL};
  lencase_policy p = sets[below(f, 3)];
  int n = (int)below(f, below(f, 16) == 0 ? LENCASE_MAXARGS : 3) + 1;
  switch (below(f, 16)) {
    case 0: return p | LENCASE_PASS(n);
    case 1: return p | LENCASE_COPY(n);
    case 2: return p | LENCASE_ADDR(n);
    case 3: return p | LENCASE_ONCE(n);
    case 4: return below(f, 4) == 0 ? word(f) : p;
    default: return p;
  }
}

/* }========================================================================= */

/* {=============================== what must hold =========================== */

__attribute__((format(printf, 2, 3))) static void wrong(struct fuzz *f, const char *fmt, ...) {
  va_list ap;
  if (f->wrong[0] != '\0') return;
  va_start(ap, fmt);
  vsnprintf(f->wrong, sizeof f->wrong, fmt, ap);
  va_end(ap);
}

#define CAN(status) (1u << -(status))

/* 'can': the statuses that 'what' is documented to return besides LENCASE_OK. */
static int among(struct fuzz *f, const char *what, int status, unsigned can) {
  if (verbose) note("  %s: %s", what, lencase_status_name(status));
  if (status > 0 || status < LENCASE_EPERM || ((can | CAN(LENCASE_OK)) >> -status & 1) == 0)
    wrong(f, "%s returned %s: %s", what, lencase_status_name(status), lencase_error(f->w.st));
  return status;
}

/* The same of a public function: lencase_error() tells more. */
static int check(struct fuzz *f, const char *what, int status, unsigned can) {
  if (status != LENCASE_OK && lencase_error(f->w.st)[0] == '\0')
    wrong(f, "%s failed (%s) and lencase_error() is empty", what, lencase_status_name(status));
  return among(f, what, status, can);
}

struct table {
  const struct route_entry *first[CALLNUMS];
};

static void table_of(const struct lencase_cage *cage, struct table *t) {
  for (int i = 0; i < CALLNUMS; i++)
    t->first[i] = callnums[i] >= 0 ? route_find(cage->routes, callnums[i]) : NULL;
}

/* }========================================================================= */

/* {============================== 3i and memory ============================ */

static void do_register(struct fuzz *f) {
  static const unsigned flags[] = {0, LENCASE_REPLACE, LENCASE_DEREGISTER, LENCASE_OVERWRITE, 64};
  uint64_t id = any_cage_id(f), grate = any_grate_id(f);
  int32_t nr = below(f, 4) == 0 ? LENCASE_MATCH_ALL : handled_callnum(f);
  struct lencase_cage *cage = lencase_cage_by_id(f->w.st, id);
  struct table before, after;
  if (cage != NULL) table_of(cage, &before);
  int status = check(
      f, "register_handler",
      lencase_register_handler(f->w.st, id, nr, grate, flags[below(f, below(f, 8) == 0 ? 5 : 3)]),
      CAN(LENCASE_EGONE) | CAN(LENCASE_ENOENT) | CAN(LENCASE_EEXIST) | CAN(LENCASE_EPERM) |
          CAN(LENCASE_EINVAL) | CAN(LENCASE_ENOMEM));
  if (status == LENCASE_OK || cage == NULL) return;
  table_of(cage, &after);
  if (memcmp(&before, &after, sizeof before) != 0)
    wrong(f, "register_handler failed (%s) and changed the table", lencase_status_name(status));
}

static void do_copy_table(struct fuzz *f) {
  static const unsigned flags[] = {0, LENCASE_REPLACE, LENCASE_OVERWRITE, LENCASE_DEREGISTER};
  uint64_t target = any_cage_id(f), source = any_cage_id(f);
  check(f, "copy_handler_table",
        lencase_copy_handler_table_to_cage(f->w.st, target, source,
                                           flags[below(f, below(f, 8) == 0 ? 4 : 3)]),
        CAN(LENCASE_EGONE) | CAN(LENCASE_EINVAL) | CAN(LENCASE_ENOMEM));
}

static void do_copy_data(struct fuzz *f) {
  uint64_t to = any_cage_id(f), dest = any_address(f), from = any_cage_id(f), src = any_address(f);
  uint64_t len = any_size(f), copied = 0;
  unsigned type = below(f, 16) == 0 ? 2 : below(f, 2);
  int status = check(f, "copy_data",
                     lencase_copy_data_between_cages(f->w.st, to, dest, from, src, len, type,
                                                     below(f, 2) ? &copied : NULL),
                     CAN(LENCASE_EFAULT) | CAN(LENCASE_ELIMIT) | CAN(LENCASE_EGONE) |
                         CAN(LENCASE_EINVAL) | CAN(LENCASE_ENOMEM));
  if (copied > len || (status != LENCASE_OK && copied != 0)) wrong(f, "copy_data: copied too much");
}

static void do_memory(struct fuzz *f) {
  unsigned char data[128] = "";
  struct lencase_cage *cage = any_cage(f);
  uint64_t addr = any_address(f);
  size_t size = below(f, sizeof data);
  if (cage == NULL) return;
  for (size_t i = 0; i < 16 && i < size; i++) data[i] = byte(f);
  check(f, "cage_write", lencase_cage_write(cage, addr, data, size),
        CAN(LENCASE_EFAULT) | CAN(LENCASE_EGONE));
  check(f, "cage_read", lencase_cage_read(cage, addr, data, size),
        CAN(LENCASE_EFAULT) | CAN(LENCASE_EGONE));
}

static void do_kill(struct fuzz *f) {
  struct lencase_cage *cage = below(f, 4) == 0 ? any_cage(f) : NULL;
  if (cage != NULL) lencase_cage_kill(cage);
}

/* What may be done from inside of handlers, too. */
static void (*const anywhere[])(struct fuzz *) = {do_register, do_copy_table, do_copy_data,
                                                  do_memory, do_kill};
enum { ANYWHERE = sizeof anywhere / sizeof *anywhere };

/* }========================================================================= */

/* {================================ handlers =============================== */

static void look_at(struct fuzz *f, lencase_call *call) {
  size_t size = 0, sum = 0;
  int n = (int)below(f, 9) - 1;
  const unsigned char *bytes = lencase_call_bytes(call, n, &size);
  for (size_t i = 0; bytes != NULL && i < size; i++) sum += bytes[i];
  for (size_t part = 0; (bytes = lencase_call_part(call, n, part, &size)) != NULL; part++)
    for (size_t i = 0; i < size; i++) sum += bytes[i];
  if (lencase_call_cage(call) == NULL) wrong(f, "a call of no cage");
  f->seen += sum + lencase_call_word(call, n);
}

static void use_memory(struct fuzz *f, lencase_call *call) {
  size_t size = (size_t)any_size(f);
  unsigned char *mine = lencase_call_memory(call, size < 8 ? 8 : size);
  if (mine != NULL) mine[0]++;
}

static void use_window(struct fuzz *f, lencase_call *call) {
  static const unsigned can = CAN(LENCASE_ENOMEM) | CAN(LENCASE_EGONE) | CAN(LENCASE_EEXIST);
  size_t size = (size_t)any_size(f);
  void *data = NULL;
  uint64_t addr = 0;
  int status = check(f, "call_window", lencase_call_window(call, size, &data, &addr), can);
  if (status == LENCASE_OK && size > 0) memset(data, 'w', size < 100 ? size : 100);
  if (status == LENCASE_OK) f->objects[below(f, OBJECTS)] = addr;
  check(f, "call_scratch", lencase_call_scratch(call, (size_t)any_size(f), &addr), can);
  if (below(f, 2)) lencase_call_release(call);
}

static lencase_verdict call_down_somehow(struct fuzz *f, lencase_call *call) {
  uint64_t words[LENCASE_MAXARGS], cages[LENCASE_MAXARGS];
  any_words(f, words);
  switch (below(f, 4)) {
    case 0: return lencase_call_down(call, lencase_call_number(call), words);
    case 1: return lencase_call_down(call, handled_callnum(f), words);
    case 2: return lencase_call_forward(call);
    default:
      for (int i = 0; i < LENCASE_MAXARGS; i++) cages[i] = any_cage_id(f);
      return lencase_make_call(call, handled_callnum(f), words, any_cage_id(f),
                               below(f, 2) ? cages : NULL);
  }
}

/* The event will come, also to a handler that then says and does what makes no sense. */
static lencase_verdict parked(struct fuzz *f, lencase_call *call) {
  f->outstanding++;
  switch (below(f, 16)) {
    case 0: return LENCASE_VERDICT_DONE;
    case 1: return LENCASE_VERDICT_PASS;
    case 2:
      if (call_down_somehow(f, call) != LENCASE_VERDICT_PARKED) wrong(f, "a second call at once");
      return LENCASE_VERDICT_PARKED;
    default: return LENCASE_VERDICT_PARKED;
  }
}

/* What a handler does until it has said what becomes of the call. */
static lencase_verdict handle(struct fuzz *f, lencase_call *call, bool fresh) {
  for (;;) switch (below(f, 8)) {
      case 0: return fresh ? LENCASE_VERDICT_PASS : LENCASE_VERDICT_DONE;
      case 1: lencase_call_answer(call, (int64_t)word(f)); return LENCASE_VERDICT_DONE;
      case 2: anywhere[below(f, ANYWHERE)](f); break;
      case 3: look_at(f, call); break;
      case 4: use_memory(f, call); break;
      case 5: use_window(f, call); break;
      case 6: /* a verdict that cannot be meant */
        if (below(f, 8) == 0) return fresh ? LENCASE_VERDICT_PARKED : LENCASE_VERDICT_PASS;
        break;
      default:
        fresh = false;
        if (f->depth > NESTED) return LENCASE_VERDICT_DONE;
        if (call_down_somehow(f, call) == LENCASE_VERDICT_PARKED) return parked(f, call);
        lencase_call_answer(call, lencase_call_result(call));
    }
}

static lencase_verdict handler(lencase_call *call, lencase_event event, void *ud) {
  struct fuzz *f = ((struct native *)ud)->f;
  lencase_verdict verdict = LENCASE_VERDICT_DONE;
  if (event != LENCASE_EVENT_START && f->outstanding-- == 0) wrong(f, "an event for no call");
  if (verbose) note("  event %d of call %d", (int)event, lencase_call_number(call));
  f->depth++;
  if (event == LENCASE_EVENT_DROP)
    look_at(f, call);
  else
    verdict = handle(f, call, event == LENCASE_EVENT_START);
  f->depth--;
  return verdict;
}

static void born(void *ud, lencase_cage *cage, lencase_cage *parent) {
  struct native *n = ud;
  n->births++;
  if (cage == parent) wrong(n->f, "a cage is its own parent");
  if (n->f->open && below(n->f, 8) == 0) anywhere[below(n->f, ANYWHERE)](n->f);
}

static void ended(void *ud, lencase_cage *cage, int wstatus) {
  struct native *n = ud;
  (void)wstatus;
  n->exits++;
  if (lencase_cage_by_id(n->f->w.st, lencase_cage_id(cage)) != NULL)
    wrong(n->f, "a cage that has ended is found");
  if (n->f->open && below(n->f, 8) == 0) anywhere[below(n->f, ANYWHERE)](n->f);
}

/* }========================================================================= */

/* {================================= grates ================================ */

static void keep_grate(struct fuzz *f, const lencase_grate *g) {
  if (f->ngrates < 2 * GRATES) f->grates[f->ngrates++] = lencase_grate_id(g);
}

static void do_grate(struct fuzz *f) {
  if (f->nnatives == GRATES) return;
  struct native *n = &f->natives[f->nnatives++];
  lencase_interface i = {.entries = n->entries, .ud = n, .on_cage = born, .on_cage_exit = ended};
  lencase_grate *g = NULL;
  n->f = f;
  i.nentries = below(f, ENTRIES + 1);
  i.flags = below(f, 4) == 0 ? LENCASE_UNREGISTERED : below(f, 16) == 0 ? (unsigned)word(f) : 0;
  i.name = below(f, 4) == 0 ? NULL : "fuzz";
  for (size_t e = 0; e < i.nentries; e++) {
    bool constant = below(f, 8) == 0;
    n->entries[e] = (lencase_entry){any_callnum(f), any_policy(f), constant ? NULL : handler,
                                    constant ? (int64_t)word(f) : 0};
  }
  if (check(f, "grate_new", lencase_grate_new(f->w.st, &i, below(f, 8) == 0 ? NULL : &g),
            CAN(LENCASE_EINVAL) | CAN(LENCASE_EPERM) | CAN(LENCASE_ENOMEM)) == LENCASE_OK &&
      g != NULL)
    keep_grate(f, g);
}

static const char *const scripts[] = {
    "return lencase.grate { write = { 'pass buf', function(fd, buf, n) return sys.write(fd, nil, "
    "n) "
    "end }, open = function(path, flags) return sys.open(path .. '/x', flags) end, "
    "socket = fail 'EPERM' }",
    "local t = lencase.fdtable() local s = lencase.per_cage(function() return { n = 0 } end) "
    "return lencase.grate { read = function(fd) s.n = s.n + 1 t[fd] = s.n "
    "local n, errno, buf = sys.read(fd) return n, errno, buf end, "
    "stat = function(path) local r, e, st = sys.stat(path) return r, e, st end, "
    "on_exit = function() error 'on purpose' end }",
    "return lencase.grate { registered = false, [2000] = { prototype = 'int f(int a, const char "
    "*b);', "
    "function(a, b) return #tostring(b) end }, writev = function(fd, iov, n) return sys.writev(fd, "
    "iov, n) "
    "end, getppid = function() error 'on purpose' end, on_error = 'kill' }",
    "return lencase.grate { ope = function() end }",
    "return 1",
    "error 'on purpose'",
    "return lencase.grate { write = { 'pass nothing', function() end } }",
    "return (",
};
enum { SCRIPTS = sizeof scripts / sizeof *scripts };

static char script_paths[SCRIPTS][TEST_PATH];

static void remove_scripts(void) {
  for (int i = 0; i < SCRIPTS; i++) unlink(script_paths[i]);
}

/* Files are written once: the same for all strings. */
static void write_scripts(void) {
  char text[2048];
  if (script_paths[0][0] != '\0') return;
  for (int i = 0; i < SCRIPTS; i++) {
    snprintf(text, sizeof text, PROLOGUE "%s", scripts[i]);
    script_file(script_paths[i], text);
  }
  atexit(remove_scripts);
}

/* From a file, from memory, or from there as something that lencase compile did not write. */
static int load_somehow(struct fuzz *f, unsigned which, lencase_grate **g) {
  static const char *const argv[] = {"a", "--b"};
  unsigned how = below(f, 8);
  int argc = (int)below(f, 3);
  char text[2048];
  int n = snprintf(text, sizeof text, PROLOGUE "%s", which < SCRIPTS ? scripts[which] : "\x1bLua");
  const lencase_chunk chunk = {"chunk", (const unsigned char *)text, (size_t)n, word(f)};
  const lencase_compiled c = {(int)below(f, 2), how == 0 ? "0" : LENCASE_VERSION, "Lua 5", &chunk,
                              below(f, 2)};
  if (how < 2) return lencase_load_compiled(f->w.st, &c, argc, argv, lua_path, NULL, g);
  if (how < 5)
    return lencase_load_buffer(f->w.st, "fuzz", which < SCRIPTS ? text : "\x1bLua\x54",
                               which < SCRIPTS ? (size_t)n : 5, argc, argv, lua_path, NULL, g);
  return lencase_load(f->w.st, which < SCRIPTS ? script_paths[which] : "/nonexistent/x.lua", argc,
                      argv, lua_path, NULL, g);
}

static void do_load(struct fuzz *f) {
  lencase_grate *g = NULL;
  unsigned which = below(f, SCRIPTS + 1);
  if (f->nscripts == 3) return; /* they take their time */
  f->nscripts++;
  if (check(f, "load", load_somehow(f, which, &g),
            CAN(LENCASE_ESCRIPT) | CAN(LENCASE_ENOENT) | CAN(LENCASE_ENOMEM) |
                CAN(LENCASE_EINVAL)) == LENCASE_OK)
    keep_grate(f, g);
}

static void do_branch(struct fuzz *f) {
  if (below(f, 2))
    check(f, "branch_open", lencase_branch_open(f->w.st),
          CAN(LENCASE_ENOMEM) | CAN(LENCASE_ELIMIT));
  else
    check(f, "branch_close", lencase_branch_close(f->w.st),
          CAN(LENCASE_ENOMEM) | CAN(LENCASE_EINVAL) | CAN(LENCASE_ELIMIT));
}

static void do_start(struct fuzz *f) {
  check(f, "start", lencase_start(f->w.st), CAN(LENCASE_ESCRIPT));
}

static void do_reload(struct fuzz *f) {
  check(f, "reload", lencase_reload(f->w.st), CAN(LENCASE_ESCRIPT));
}

static void do_finish(struct fuzz *f) {
  if (below(f, 8) == 0)
    check(f, "finish", lencase_finish(f->w.st, (int)word(f)), CAN(LENCASE_ESCRIPT));
}

/* }========================================================================= */

/* {================================== cages ================================ */

static void keep_cage(struct fuzz *f, const struct lencase_cage *cage) {
  uint64_t id = lencase_cage_id(cage);
  if (id <= f->last_cage) wrong(f, "an id is given twice");
  f->last_cage = id;
  f->cages[id % CAGES] = id;
}

/* The tenth before it makes place. */
static bool cage_fits(struct fuzz *f) {
  return lencase_cage_by_id(f->w.st, f->cages[(f->last_cage + 1) % CAGES]) == NULL;
}

static int64_t bottom(void *ud, struct lencase_cage *cage, int32_t nr,
                      const uint64_t words[LENCASE_MAXARGS]) {
  struct fuzz *f = ud;
  struct lencase_cage *child;
  if (!f->open) return 0;
  (void)nr;
  switch (below(f, 8)) {
    case 0: return -(int64_t)below(f, 4096);
    case 1: lencase_cage_write(cage, words[1], "what the kernel fills in", 1 + below(f, 24)); break;
    case 2: return (int64_t)words[2];
    case 3:
      if (below(f, 4) == 0) sim_cage_exit(cage, (int)below(f, 65536));
      break;
    case 4:
      child = below(f, 4) == 0 && cage_fits(f) ? sim_cage_new(f->w.st, NULL, cage) : NULL;
      if (child != NULL) keep_cage(f, child);
      break;
    case 5:
      if (below(f, 8) == 0) call_cage_exec(cage);
      break;
    case 6: return (int64_t)word(f);
    default: break;
  }
  return below(f, 64);
}

static void do_cage(struct fuzz *f) {
  struct sim_config sim = {.memory = 1 << 16, .bottom = bottom, .ud = f};
  sim.guard = below(f, 2);
  sim.park = below(f, 2);
  if (!cage_fits(f)) return;
  struct lencase_cage *cage = sim_cage_new(f->w.st, &sim, below(f, 4) == 0 ? any_cage(f) : NULL);
  if (cage != NULL) keep_cage(f, cage);
}

static void do_cage_exit(struct fuzz *f) {
  struct lencase_cage *cage = below(f, 4) == 0 ? any_cage(f) : NULL;
  if (cage != NULL) sim_cage_exit(cage, (int)below(f, 65536));
}

union object {
  unsigned char bytes[256];
  struct iovec iov[4];
  uint64_t words[8];
};

/* A string, an iovec, pointers, or bytes: how many. */
static size_t make_object(struct fuzz *f, union object *o) {
  memset(o, 'a', sizeof *o);
  switch (below(f, 4)) {
    case 0: o->bytes[below(f, 200)] = '\0'; return 200;
    case 1:
      for (int i = 0; i < 4; i++)
        o->iov[i] = (struct iovec){(void *)(uintptr_t)any_address(f), (size_t)any_size(f)};
      return sizeof o->iov;
    case 2:
      for (int i = 0; i < 8; i++) o->words[i] = any_word(f);
      return sizeof o->words;
    default: return 1 + below(f, 255);
  }
}

static void do_object(struct fuzz *f) {
  struct lencase_cage *cage = any_cage(f);
  union object o;
  if (cage == NULL) return;
  size_t size = make_object(f, &o);
  uint64_t addr = sim_alloc(cage, size);
  if (addr == 0)
    sim_reset(cage);
  else if (lencase_cage_write(cage, addr, &o, size) == LENCASE_OK)
    f->objects[below(f, OBJECTS)] = addr;
}

/* The program of a cage makes a call. */
static void do_call(struct fuzz *f) {
  uint64_t words[LENCASE_MAXARGS];
  int64_t result = 0;
  struct call *parked = NULL;
  struct waiting *w = &f->waiting[below(f, PARKED)];
  struct lencase_cage *cage = any_cage(f);
  if (cage == NULL) return;
  uint64_t id = lencase_cage_id(cage);
  bool may_wait = w->call == NULL || lencase_cage_by_id(f->w.st, w->cage) == NULL;
  any_words(f, words);
  int32_t nr = handled_callnum(f);
  among(f, "sim_call", sim_call(cage, nr, words, &result, may_wait ? &parked : NULL),
        CAN(LENCASE_EGONE) | CAN(LENCASE_ENOMEM));
  if (verbose) note("  call %d: result %" PRId64 ", waits: %d", nr, result, parked != NULL);
  if (may_wait) *w = (struct waiting){id, parked};
}

/* One of the calls that wait goes on, or its thread is gone. */
static void do_step(struct fuzz *f) {
  struct waiting *w = &f->waiting[below(f, PARKED)];
  struct call *still = NULL;
  int64_t result;
  if (w->call == NULL || lencase_cage_by_id(f->w.st, w->cage) == NULL) return;
  if (below(f, 4) == 0) {
    sim_drop(w->call);
    w->call = NULL;
  } else if (among(f, "sim_step", sim_step(w->call, &result, &still), CAN(LENCASE_EGONE)) ==
             LENCASE_OK) {
    w->call = still;
  }
}

/* }========================================================================= */

/* {============================ embedders' cages =========================== */

static size_t lying(struct embedded *e, uint64_t addr, size_t size) {
  size_t there = addr < sizeof e->memory ? sizeof e->memory - (size_t)addr : 0;
  if (size > there) size = there;
  return below(e->f, 64) == 0 ? size + below(e->f, 9) : size;
}

static size_t embedded_read(void *ud, uint64_t addr, void *data, size_t size) {
  struct embedded *e = ud;
  size_t told = lying(e, addr, size), n = told < size ? told : size;
  if (n > 0 && addr + n <= sizeof e->memory) memcpy(data, e->memory + addr, n);
  return told;
}

static size_t embedded_write(void *ud, uint64_t addr, const void *data, size_t size) {
  struct embedded *e = ud;
  size_t told = lying(e, addr, size), n = told < size ? told : size;
  if (n > 0 && addr + n <= sizeof e->memory) memcpy(e->memory + addr, data, n);
  return told;
}

static lencase_verdict embedded_bottom(void *ud, uint64_t cage, int32_t nr,
                                       const uint64_t words[LENCASE_MAXARGS], int64_t *result) {
  struct embedded *e = ud;
  struct fuzz *f = e->f;
  lencase_call *parked;
  int64_t other;
  *result = (int64_t)word(f);
  if (!f->open) return LENCASE_VERDICT_DONE;
  switch (below(f, 12)) {
    case 0:
      if (lencase_cage_call(f->w.st, cage, nr, words, &other, &parked) != LENCASE_EPERM)
        wrong(f, "a callback could make a call");
      break;
    case 1:
      if (below(f, 4) == 0) lencase_cage_exit(f->w.st, cage, (int)below(f, 65536));
      break;
    case 2:
      if (below(f, 4) == 0) lencase_cage_kill(lencase_cage_by_id(f->w.st, cage));
      break;
    case 3: lencase_cage_exec(f->w.st, cage, "other"); break;
    case 4:
    case 5:
    case 6: return LENCASE_VERDICT_PARKED;
    case 7: return (lencase_verdict)below(f, 3);
    default: break;
  }
  return LENCASE_VERDICT_DONE;
}

static bool is_there(struct fuzz *f, const struct embedded *e) {
  return e->id != 0 && lencase_cage_by_id(f->w.st, e->id) != NULL;
}

static void do_embed(struct fuzz *f) {
  struct embedded *e = &f->embedded[below(f, EMBEDDED)];
  uint64_t parent = below(f, 4) == 0 ? f->embedded[below(f, EMBEDDED)].id : 0, id = 0;
  lencase_cage_config config = {.ud = e, .room_addr = 2048, .room_size = below(f, 2049)};
  if (is_there(f, e)) return;
  config.flags = below(f, 2) ? LENCASE_ILP32 : below(f, 16) == 0 ? (unsigned)word(f) & 1021u : 0;
  if (below(f, 2)) {
    config.base = e->memory;
    config.size = below(f, 8) == 0 ? word(f) % sizeof e->memory : sizeof e->memory;
  } else {
    config.read = below(f, 16) == 0 ? NULL : embedded_read;
    config.write = embedded_write;
  }
  if (below(f, 8) != 0) config.carry_out = embedded_bottom;
  *e = (struct embedded){.f = f};
  memset(e->memory, 'a', sizeof e->memory / 2);
  if (check(f, "cage_new", lencase_cage_new(f->w.st, &config, parent, &id),
            CAN(LENCASE_EINVAL) | CAN(LENCASE_EGONE) | CAN(LENCASE_ENOMEM)) != LENCASE_OK)
    return;
  e->id = id;
  if (id <= f->last_cage) wrong(f, "an id is given twice");
  f->last_cage = id;
}

static void do_embedded_call(struct fuzz *f) {
  struct embedded *e = &f->embedded[below(f, EMBEDDED)];
  lencase_call **parked = &e->parked[below(f, PARKED)];
  uint64_t words[LENCASE_MAXARGS];
  int64_t result = 0;
  lencase_call *still = NULL;
  bool there = is_there(f, e);
  if (there && *parked != NULL) return;
  any_words(f, words);
  for (int i = 0; i < LENCASE_MAXARGS; i++)
    if (below(f, 2)) words[i] = below(f, sizeof e->memory + 16);
  int status = among(f, "cage_call",
                     lencase_cage_call(f->w.st, e->id, handled_callnum(f), words, &result, &still),
                     CAN(LENCASE_EGONE) | CAN(LENCASE_ENOMEM));
  if (!there && status != LENCASE_EGONE) wrong(f, "a dead cage made a call");
  if (there && status == LENCASE_OK) *parked = still;
}

static void do_embedded_step(struct fuzz *f) {
  struct embedded *e = &f->embedded[below(f, EMBEDDED)];
  lencase_call **parked = &e->parked[below(f, PARKED)], *still = NULL;
  int64_t result;
  if (!is_there(f, e) || *parked == NULL) return;
  if (below(f, 4) == 0) {
    if (lencase_call_drop(f->w.st, *parked) != LENCASE_OK) wrong(f, "a parked call is not dropped");
  } else {
    among(f, "call_complete",
          lencase_call_complete(f->w.st, *parked, (int64_t)word(f), &result, &still),
          CAN(LENCASE_EGONE) | CAN(LENCASE_ENOMEM));
  }
  *parked = is_there(f, e) ? still : NULL;
}

static void do_embedded_change(struct fuzz *f) {
  struct embedded *e = &f->embedded[below(f, EMBEDDED)];
  unsigned can = CAN(LENCASE_EGONE) | CAN(LENCASE_EINVAL);
  switch (below(f, 6)) {
    case 0: check(f, "cage_exit", lencase_cage_exit(f->w.st, e->id, (int)word(f)), can); break;
    case 1: check(f, "cage_exec", lencase_cage_exec(f->w.st, e->id, NULL), can); break;
    case 2:
      if (is_there(f, e)) lencase_cage_kill(lencase_cage_by_id(f->w.st, e->id));
      break;
    default:
      check(f, "cage_memory",
            lencase_cage_memory(f->w.st, e->id, e->memory, below(f, sizeof e->memory + 1)), can);
  }
}

/* }========================================================================= */

/* {================================== runs ================================= */

static const struct kind {
  const char *name;
  void (*run)(struct fuzz *);
  unsigned often;
} kinds[] = {
    {"call", do_call, 16},          {"step", do_step, 8},
    {"object", do_object, 5},       {"cage", do_cage, 3},
    {"grate", do_grate, 3},         {"register", do_register, 4},
    {"table", do_copy_table, 2},    {"data", do_copy_data, 4},
    {"memory", do_memory, 2},       {"kill", do_kill, 1},
    {"exit", do_cage_exit, 2},      {"load", do_load, 1},
    {"branch", do_branch, 1},       {"start", do_start, 1},
    {"reload", do_reload, 1},       {"finish", do_finish, 1},
    {"embed", do_embed, 3},         {"ecall", do_embedded_call, 12},
    {"estep", do_embedded_step, 6}, {"echange", do_embedded_change, 1},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Most strings begin with some grates and then some cages. */
static void begin(struct fuzz *f) {
  for (unsigned n = 1 + below(f, 4); n > 0; n--) below(f, 8) == 0 ? do_load(f) : do_grate(f);
  for (unsigned n = below(f, 4); n > 0; n--) do_cage(f);
  for (unsigned n = below(f, 8); n > 0; n--) do_object(f);
}

static const struct kind *any_kind(struct fuzz *f) {
  unsigned sum = 0, at;
  for (int i = 0; i < KINDS; i++) sum += kinds[i].often;
  at = below(f, sum);
  const struct kind *s = kinds;
  while (at >= s->often) at -= s++->often;
  return s;
}

/* One allocation in eight steps fails, or some in a row. */
static void fail_somewhere(struct fuzz *f) {
  struct counted *mem = &f->w.mem;
  mem->fail_at = mem->fail_to = 0;
  if (below(f, 8) != 0) return;
  mem->fail_at = mem->made + 1 + below(f, below(f, 4) == 0 ? 1000 : 8);
  mem->fail_to = mem->fail_at + below(f, 8);
}

static bool open_world(struct fuzz *f) {
  lencase_config config = {.handler_ms = 1000};
  if (below(f, 2)) config.max_call_bytes = 1 + below(f, 65536);
  if (below(f, 4) == 0) config.max_string = 1 + below(f, 64);
  if (below(f, 4) == 0) config.max_depth = 1 + below(f, 4);
  if (below(f, 8) == 0) config.max_grate_bytes = 1 + below(f, 65536) * 64u;
  fail_somewhere(f);
  f->open = world_state(&f->w, &config);
  for (int i = 0; i < OBJECTS; i++) f->objects[i] = SIM_BASE;
  return f->open;
}

static void close_world(struct fuzz *f) {
  f->w.mem.fail_at = f->w.mem.fail_to = 0;
  f->open = false;
  lencase_close(f->w.st);
  if (f->w.mem.blocks != 0) wrong(f, "%zu blocks are left", f->w.mem.blocks);
  if (f->w.mem.mistakes != 0) wrong(f, "%zu frees told a wrong size", f->w.mem.mistakes);
  if (f->outstanding != 0) wrong(f, "%u parked handlers were forgotten", f->outstanding);
  for (unsigned i = 0; i < f->nnatives; i++)
    if (f->natives[i].births > f->natives[i].exits) wrong(f, "an exit was not told of");
}

/* What was wrong, in 'f'. */
static void fuzz_run(struct fuzz *f, const uint8_t *data, size_t size) {
  *f = (struct fuzz){.data = data, .left = size};
  write_scripts();
  if (open_world(f)) begin(f);
  if (f->open)
    while (f->left > 0 && f->steps < STEPS && f->wrong[0] == '\0') {
      const struct kind *s = any_kind(f);
      fail_somewhere(f);
      if (verbose) note("%u: %s", f->steps, s->name);
      f->steps++;
      s->run(f);
    }
  close_world(f);
}

/* }========================================================================= */

#ifdef LENCASE_LIBFUZZER

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct fuzz f;
  fuzz_run(&f, data, size);
  if (f.wrong[0] == '\0') return 0;
  fprintf(stderr, "fuzz_api: %s\n", f.wrong);
  abort();
}

#else

enum { SEEDS = 200, LENGTH = 4096 };

/* The string of a seed (splitmix64). */
static void string_of(uint64_t seed, uint8_t data[LENGTH]) {
  for (int i = 0; i < LENGTH; i++) {
    uint64_t z = (seed * LENGTH + (uint64_t)i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    data[i] = (uint8_t)(z >> 56);
  }
}

/* Seeds from 'seed' on: the steps that were made. */
static unsigned some(uint64_t seed, unsigned n) {
  static struct fuzz f;
  static uint8_t data[LENGTH];
  unsigned made = 0;
  bool good = true;
  for (uint64_t s = seed; good && s < seed + n; s++) {
    if (verbose) note("seed %" PRIu64, s);
    string_of(s, data);
    fuzz_run(&f, data, sizeof data);
    made += f.steps;
    good = is_str(f.wrong, "", "seed %" PRIu64, s);
  }
  return made;
}

int main(int argc, char **argv) {
  bool timed = argc > 2 && strcmp(argv[1], "-s") == 0;
  time_t end = time(NULL) + (timed ? atoi(argv[2]) : 0);
  const char *from = timed ? argv[3] : argv[1], *many = from != NULL && !timed ? argv[2] : NULL;
  uint64_t seed = from != NULL ? strtoull(from, NULL, 10) : 1;
  unsigned n = many != NULL ? (unsigned)atoi(many) : argc == 2 ? 1 : SEEDS, made = 0;
  verbose = argc == 2;
  do {
    made += some(seed, n);
    seed += n;
  } while (test_failed == 0 && time(NULL) < end);
  note("%u steps", made);
  return test_end();
}

#endif
