/*
** lind.c - the host for Lind's grates, against a double of Lind's four functions
**
** The double checks every argument it is given, keeps cages' memories behind addresses that cannot
** be dereferenced, and misbehaves when it is told to.
*/

#include "host/lind/lind.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

#include "grate_fixture.h"

enum { SELF = 2, CAGE = 7, CHILD = 8, SIZE = 3 * 4096, REGISTERED = 512 };
#define BASE UINT64_C(0x700000000000) /* where the double says a cage's memory is */

static struct {
  unsigned char memory[SIZE];
  uint64_t readable; /* of the memory */
  uint64_t farthest; /* the last byte that was read */
  int32_t registered[REGISTERED];
  int nregistered, fail_at;
  unsigned fail_with;
  int complaints; /* arguments that no grate may give */
  int32_t nr;     /* of the last call */
  uint64_t self, target, words[6], cages[6];
  char path[64]; /* its first argument, when that is of the grate's memory */
  int answer;
  int translate;
  bool refuse_copies, locked, asked_locked;
  uint64_t killed[4];
  int nkilled, kill_fails;
} d;

static void complain_if(bool bad) {
  if (bad) d.complaints++;
}

/* {================================= double ================================ */

int make_threei_call(unsigned int callnumber, uint64_t callname, uint64_t self_cageid,
                     uint64_t target_cageid, uint64_t arg1, uint64_t arg1cageid, uint64_t arg2,
                     uint64_t arg2cageid, uint64_t arg3, uint64_t arg3cageid, uint64_t arg4,
                     uint64_t arg4cageid, uint64_t arg5, uint64_t arg5cageid, uint64_t arg6,
                     uint64_t arg6cageid, int translate_errno) {
  const uint64_t words[] = {arg1, arg2, arg3, arg4, arg5, arg6};
  const uint64_t cages[] = {arg1cageid, arg2cageid, arg3cageid, arg4cageid, arg5cageid, arg6cageid};
  complain_if(callname != 0 || self_cageid != SELF || translate_errno != TRANSLATE_ERRNO_OFF);
  for (int i = 0; i < 6; i++) {
    uint64_t id = cages[i] & ~GRATE_MEMORY_FLAG;
    complain_if((cages[i] & GRATE_MEMORY_FLAG) != 0 && id != SELF);
    complain_if(id != SELF && id != CAGE && id != CHILD && id != 0);
  }
  if (callnumber == SYS_kill) { /* it waits for nothing: it may be asked with the lock held */
    complain_if(target_cageid != SELF || arg2 != SIGKILL || arg1cageid != SELF);
    d.killed[d.nkilled++ % 4] = arg1;
    return d.kill_fails;
  }
  if (d.locked) d.asked_locked = true;
  d.nr = (int32_t)callnumber;
  d.self = self_cageid;
  d.target = target_cageid;
  memcpy(d.words, words, sizeof words);
  memcpy(d.cages, cages, sizeof cages);
  if (cages[0] & GRATE_MEMORY_FLAG)
    snprintf(d.path, sizeof d.path, "%s", (const char *)(uintptr_t)arg1);
  return d.answer;
}

int register_handler(uint64_t targetcage, uint64_t targetcallnum, uint64_t this_grate_id,
                     uint64_t in_grate_fn_ptr_u64) {
  complain_if(targetcage != CAGE || this_grate_id != SELF || in_grate_fn_ptr_u64 == 0);
  complain_if(in_grate_fn_ptr_u64 != targetcallnum + 1);
  if (d.fail_at == d.nregistered + 1) return (int)d.fail_with;
  d.registered[d.nregistered++] = (int32_t)targetcallnum;
  return 0;
}

static unsigned char *translate(uint64_t addr, uint64_t cage, uint64_t len) {
  if (cage == SELF) return (unsigned char *)(uintptr_t)addr;
  complain_if(cage != CAGE && cage != CHILD);
  if (addr < BASE || addr - BASE > d.readable || len > d.readable - (addr - BASE)) return NULL;
  return d.memory + (addr - BASE);
}

int copy_data_between_cages(uint64_t thiscage, uint64_t targetcage, uint64_t srcaddr,
                            uint64_t srccage, uint64_t destaddr, uint64_t destcage, uint64_t len,
                            uint64_t copytype) {
  complain_if(thiscage != SELF || (targetcage != CAGE && targetcage != CHILD));
  complain_if(copytype > LIND_COPY_STRING || len == 0);
  complain_if(((srccage | destcage) & GRATE_MEMORY_FLAG) != 0);
  unsigned char *to = translate(destaddr, destcage, len);
  const unsigned char *from = translate(srcaddr, srccage, copytype == LIND_COPY_STRING ? 1 : len);
  if (from == NULL || to == NULL || d.refuse_copies) return (int)ELINDAPIABORTED;
  if (copytype == LIND_COPY_STRING) {
    uint64_t room = d.readable - (srcaddr - BASE), max = len < room ? len : room;
    uint64_t n = strnlen((const char *)from, max);
    if (n == max && max < len) return (int)ELINDAPIABORTED;
    len = n < len ? n + 1 : len;
  }
  memcpy(to, from, len);
  if (srccage != SELF && srcaddr - BASE + len > d.farthest) d.farthest = srcaddr - BASE + len;
  return 0;
}

int copy_handler_table_to_cage(uint64_t srccage, uint64_t targetcage) {
  complain_if(true); /* Lind copies the tables at fork itself */
  return (int)(srccage + targetcage);
}

/* }========================================================================= */

static void lock(void *ud) {
  pthread_mutex_lock(ud);
  d.locked = true;
}

static void unlock(void *ud) {
  d.locked = false;
  pthread_mutex_unlock(ud);
}

struct grate {
  struct world w;
  struct lind *l;
  pthread_mutex_t mutex;
};

static void grate_up(struct grate *g, const char *script) {
  memset(&d, 0, sizeof d);
  d.readable = SIZE;
  *g = (struct grate){.mutex = PTHREAD_MUTEX_INITIALIZER};
  need(world_state(&g->w, NULL));
  if (script_load(&g->w, script, NULL) != LENCASE_OK) {
    note("%s", lencase_error(g->w.st));
    need(!"the script loads");
  }
  g->l = lind_open(g->w.st, SELF, lock, unlock, &g->mutex);
  need(g->l != NULL);
}

static void grate_down(struct grate *g) {
  is_int(d.complaints, 0, "Lind was asked nothing that makes no sense");
  ok(!d.asked_locked, "and never with the lock held");
  lind_close(g->l);
  world_close(&g->w);
}

#define call(g, cage, nr, ...) \
  call_words((g), (cage), (nr), (const uint64_t[LENCASE_MAXARGS]){__VA_ARGS__})

static int64_t call_words(struct grate *g, uint64_t cage, int32_t nr,
                          const uint64_t words[LENCASE_MAXARGS]) {
  const uint64_t cages[LENCASE_MAXARGS] = {cage, cage, cage, cage, cage, cage};
  return lind_call(g->l, nr, cage, words, cages);
}

static uint64_t put(uint64_t at, const char *text) {
  memcpy(d.memory + at, text, strlen(text) + 1);
  return BASE + at;
}

static const char script[] = PROLOGUE
    "local n = lencase.per_cage(function() return { n = 0 } end) "
    "local log = {} "
    "return lencase.grate { "
    "open = function(path, flags) "
    "  if path == '/own' then return sys.open('/redirected', flags) end "
    "  return sys.open(path, flags) end, "
    "read = function(fd, buf, count) return 3, nil, 'abc' end, "
    "write = { 'pass buf', function(fd, _, count) n.n = n.n + count return sys.write() end }, "
    "getppid = function() return n.n end, "
    "mmap = { 'pass pointers', function() return sys.mmap() end }, "
    "getuid = function() return #log end, "
    "on_cage = function(c, parent) log[#log + 1] = 'new' end, "
    "on_cage_exit = function(c, how, code) log[#log + 1] = how .. code end }";

static void arguments(void) {
  struct grate g;
  grate_up(&g, script);
  uint64_t path = put(100, "/own"), other = put(4094, "/long/path/over/a/page");
  d.answer = 5;
  is_int(call(&g, CAGE, SYS_open, path, 1, 0), 5, "a call goes through to Lind");
  is_str(d.path, "/redirected", "what replaces is of the grate's memory, and flagged");
  ok(d.target == CAGE && d.cages[1] == CAGE, "the call is on behalf of the cage");
  is_int(call(&g, CAGE, SYS_open, other, 1, 0), 5, "a string over a page");
  is_str(d.path, "/long/path/over/a/page", "is whole");
  d.farthest = 0;
  call(&g, CAGE, SYS_open, path, 1, 0);
  is_int(d.farthest, 105, "a string is read as far as it is long");
  const uint64_t words[LENCASE_MAXARGS] = {1, BASE + 5, 9};
  const uint64_t cages[LENCASE_MAXARGS] = {CAGE, CHILD, CAGE, 0, 0, 0};
  lind_call(g.l, SYS_write, CAGE, words, cages);
  ok(d.words[1] == BASE + 5 && d.cages[1] == CHILD, "an argument keeps the cage it is of");
  is_int(call(&g, CAGE, SYS_getppid), 9, "state follows the cage");
  is_int(call(&g, CAGE, SYS_read, 0, BASE + 200, 10), 3, "what a handler fills");
  is_mem(d.memory + 200, "abc", 3, "is in the cage");
  is_int(call(&g, CAGE, SYS_getgid), 5, "what no grate handles goes to Lind as it is");
  grate_down(&g);
}

static void results(void) {
  struct grate g;
  grate_up(&g, script);
  static const struct {
    int said;
    int64_t meant;
  } all[] = {{-1, -1},       {-EACCES, -EACCES},    {-255, -255},
             {-4095, -4095}, {-4096, 0xfffff000},   {(int)0x80001000u, 0x80001000},
             {0, 0},         {INT32_MAX, INT32_MAX}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    d.answer = all[i].said;
    is_int(call(&g, CAGE, SYS_mmap, 0, 4096, 3, 2, 3, 0), all[i].meant, "result %d", all[i].said);
  }
  grate_down(&g);
}

static void bad_memory(void) {
  struct grate g;
  grate_up(&g, script);
  d.answer = -EFAULT;
  is_int(call(&g, CAGE, SYS_open, BASE + SIZE + 5, 0, 0), -EFAULT, "a pointer to nowhere");
  ok(d.words[0] == BASE + SIZE + 5 && d.cages[0] == CAGE, "is Lind's to judge");
  memset(d.memory + SIZE - 4, 'x', 4);
  is_int(call(&g, CAGE, SYS_open, BASE + SIZE - 4, 0, 0), -EFAULT, "a string without an end");
  ok(d.words[0] == BASE + SIZE - 4 && d.cages[0] == CAGE, "is, too");
  d.refuse_copies = true;
  is_int(call(&g, CAGE, SYS_open, put(100, "/a"), 0, 0), -EFAULT, "a Lind that copies nothing");
  is_int(call(&g, CAGE, SYS_read, 0, BASE, 3), -EFAULT, "in neither direction");
  grate_down(&g);
}

static void lives(void) {
  struct grate g;
  grate_up(&g, script);
  call(&g, CAGE, SYS_write, 1, BASE, 4);
  d.answer = CHILD;
  is_int(call(&g, CAGE, SYS_clone, SIGCHLD, 0, 0, 0, 0), CHILD, "a fork makes a cage");
  is_int(call(&g, CHILD, SYS_getppid), 4, "with its parent's state");
  d.answer = 99;
  call(&g, CAGE, SYS_clone, 0x10000, 0, 0, 0, 0);
  is_int(call(&g, CAGE, SYS_getuid), 2, "a thread is no cage");
  d.answer = -ENOMEM;
  is_int(call(&g, CAGE, SYS_fork), -ENOMEM, "a fork that fails");
  is_int(call(&g, CAGE, SYS_getuid), 2, "makes none");
  d.answer = 0;
  is_int(call(&g, CHILD, SYS_execve, 0, 0, 0), 0, "exec");
  is_int(call(&g, CHILD, SYS_exit_group, 3), 0, "exit");
  is_int(call(&g, CAGE, SYS_getuid), 3, "is told once");
  lind_ended(g.l, CAGE, 9);
  lind_ended(g.l, CAGE, 9);
  is_int(call(&g, CHILD, SYS_getppid), 0, "an id that comes again is another cage");
  is_int(call(&g, CHILD, SYS_getuid), 5, "and a harsh end was told, too");
  grate_down(&g);
}

static const char killer[] =
    PROLOGUE "local log = {} "
             "return lencase.grate { on_error = 'kill', "
             "write = function(fd) if fd == 9 then error 'never' end return 1 end, "
             "getuid = function() return #log end, "
             "on_cage = function(c) log[#log + 1] = 'new' end, "
             "on_cage_exit = function(c, how, code) log[#log + 1] = how .. code end }";

static void killing(int kill_fails) {
  struct grate g;
  grate_up(&g, killer);
  d.kill_fails = kill_fails;
  is_int(call(&g, CHILD, SYS_getuid), 1, "a cage whose handler observes");
  is_int(call(&g, CAGE, SYS_write, 1, BASE, 1), 1, "a cage");
  is_int(d.nkilled, 0, "lives");
  is_int(call(&g, CAGE, SYS_write, 9, BASE, 1), -EIO, "until it does what it may not");
  ok(d.nkilled == 1 && d.killed[0] == CAGE, "Lind is asked to kill it, once");
  is_int(call(&g, CHILD, SYS_getuid), 3, "its end is told at once");
  is_int(call(&g, CAGE, SYS_write, 1, BASE, 1), -ESRCH, "what its threads still do fails");
  is_int(call(&g, CAGE, SYS_getuid), -ESRCH, "again, too");
  is_int(call(&g, CHILD, SYS_getuid), 3, "and makes no other cage of it");
  d.answer = CAGE;
  is_int(call(&g, CHILD, SYS_fork), CAGE, "an id that is given again");
  d.answer = 0;
  is_int(call(&g, CAGE, SYS_getuid), 4, "is another cage");
  call(&g, CAGE, SYS_write, 9, BASE, 1);
  lind_ended(g.l, CAGE, SIGKILL);
  is_int(call(&g, CAGE, SYS_getuid), 6, "as is one that comes after Lind said that it ended");
  grate_down(&g);
}

static void registering(void) {
  struct grate g;
  bool all[REGISTERED] = {false};
  grate_up(&g, script);
  is_int(lind_register(g.l, CAGE), 0, "the calls are registered");
  for (int i = 0; i < d.nregistered; i++) {
    ok(d.registered[i] < REGISTERED && !all[d.registered[i]], "%d once", d.registered[i]);
    all[d.registered[i]] = true;
  }
  ok(all[SYS_open] && all[SYS_openat] && all[SYS_fork] && all[SYS_exit_group] && all[SYS_execve],
     "handlers', their families', and those of cages' lives");
  ok(!all[SYS_getgid] && !all[SYS_close], "and no others");
  d.nregistered = 0;
  d.fail_at = 4;
  d.fail_with = ELINDESRCH;
  is_int(lind_register(g.l, CAGE), ELINDESRCH, "what Lind says keeps its cause");
  grate_down(&g);
}

struct caller {
  struct grate *g;
  uint64_t cage;
  int wrong;
};

static void *calls(void *arg) {
  struct caller *c = arg;
  for (int i = 0; i < 500; i++)
    if (call(c->g, c->cage, SYS_write, 1, BASE, 1) != 1) c->wrong++;
  return NULL;
}

static void threads(void) {
  struct grate g;
  pthread_t t[4];
  grate_up(&g, script);
  struct caller c[4] = {{&g, CAGE, 0}, {&g, CAGE, 0}, {&g, CHILD, 0}, {&g, CHILD, 0}};
  d.answer = 1;
  for (int i = 0; i < 4; i++) need(pthread_create(&t[i], NULL, calls, &c[i]) == 0);
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
  is_int(c[0].wrong + c[1].wrong + c[2].wrong + c[3].wrong, 0, "calls of four threads");
  is_int(call(&g, CAGE, SYS_getppid) + call(&g, CHILD, SYS_getppid), 2000, "are all counted");
  d.asked_locked = false; /* another thread's lock */
  grate_down(&g);
}

static void events(void) {
  struct grate g;
  grate_up(&g, script);
  g.w.st->config.debug = LENCASE_DEBUG_WINDOW;
  call(&g, CAGE, SYS_open, put(100, "/own"), 0);
  is_int(g.w.lines, 2, "memory is lent, and comes back");
  ok(strncmp(g.w.log, "WINDOW: ", 8) == 0 && strstr(g.w.log, " are free again"), "%s", g.w.log);
  g.w.st->config.debug = LENCASE_DEBUG_STOPS;
  call(&g, CAGE, SYS_open, BASE + 100, 0);
  ok(strstr(g.w.log, ": call 2 is carried out") != NULL, "Lind is asked: %s", g.w.log);
  call(&g, CAGE, SYS_exit_group, 3);
  ok(strstr(g.w.log, ": ends, status 0x300") != NULL, "a cage ends: %s", g.w.log);
  g.w.st->config.debug = 0;
  call(&g, CHILD, SYS_exit_group, 0);
  is_int(g.w.lines, 5, "events that are not asked for are not told: %s", g.w.log);
  grate_down(&g);
}

int main(void) {
  arguments();
  results();
  bad_memory();
  lives();
  killing(0);
  killing(-ESRCH);
  registering();
  threads();
  events();
  return test_end();
}
