/*
** call_flow.c - calls from their arrival to their end: passed, done, parked, dropped
*/

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "sim_fixture.h"

enum { AUTHORS = 2000 }; /* an author's own call */

/* What the bottom was asked last, and how often. */
static struct {
  unsigned calls;
  int32_t nr;
  uint64_t words[LENCASE_MAXARGS];
} bottom;

/* A bottom whose results tell what was asked: 1000 times the first word and the number. */
static int64_t ask_bottom(void *ud, struct lencase_cage *cage, int32_t nr,
                          const uint64_t words[LENCASE_MAXARGS]) {
  (void)ud, (void)cage;
  bottom.calls++;
  bottom.nr = nr;
  memcpy(bottom.words, words, sizeof bottom.words);
  return (int64_t)words[0] * 1000 + nr;
}

static const struct sim_config at_once = {.memory = 1 << 20, .guard = true, .bottom = ask_bottom};
static const struct sim_config parking = {
    .memory = 1 << 20, .guard = true, .bottom = ask_bottom, .park = true};

/* What the handlers were told. */
static struct { unsigned starts, results, drops; } told;

static void count(enum handler_event ev) {
  if (ev == HANDLER_START) told.starts++;
  if (ev == HANDLER_RESULT) told.results++;
  if (ev == HANDLER_DROP) told.drops++;
}

static void begin(struct world *w, const struct sim_config *sim) {
  memset(&bottom, 0, sizeof bottom);
  memset(&told, 0, sizeof told);
  world_open(w, NULL, sim);
}

static void add(struct world *w, int32_t nr, struct route_entry *entry) {
  need(test_route(w->st, &w->cage->routes, nr, entry) == LENCASE_OK);
}

/* {================================ handlers =============================== */

static enum verdict passes(struct call *call, enum handler_event ev) {
  (void)call;
  count(ev);
  return VERDICT_PASS;
}

static enum verdict answers(struct call *call, enum handler_event ev) {
  count(ev);
  call->result = 42;
  return VERDICT_DONE;
}

/* Makes the call 'answer->constant' times downwards, its first word one more each time. */
static enum verdict forwards(struct call *call, enum handler_event ev) {
  uint64_t words[LENCASE_MAXARGS];
  count(ev);
  if (ev == HANDLER_DROP) return VERDICT_DONE;
  while (call->downcalls < call->answer->constant) {
    memcpy(words, call->words, sizeof words);
    words[0] += call->downcalls + 1;
    if (call_down(call, call->nr, words) == VERDICT_PARKED) return VERDICT_PARKED;
  }
  call->result = call->down_result;
  return VERDICT_DONE;
}

/* }========================================================================= */

static void verdicts(void) {
  struct world w;
  begin(&w, &at_once);
  is_int(world_call(&w, AUTHORS, 3), 3000 + AUTHORS,
         "a call that no grate handles goes to the bottom");
  is_int(told.starts, 0, "and no handler is asked");
  add(&w, AUTHORS, &TEST_ENTRY(AUTHORS, .handler = passes));
  is_int(world_call(&w, AUTHORS, 4, 5), 4000 + AUTHORS, "a call that is let through");
  is_int(told.starts, 1, "its handler was asked");
  is_int(bottom.words[1], 5, "its words are unchanged");
  add(&w, AUTHORS + 1, &TEST_ENTRY(AUTHORS + 1, .handler = answers));
  is_int(world_call(&w, AUTHORS + 1, 4), 42, "a call that is answered");
  add(&w, AUTHORS + 2, &TEST_ENTRY(AUTHORS + 2, .constant = -EPERM));
  is_int(world_call(&w, AUTHORS + 2, 4), -EPERM, "a call with a constant");
  is_int(bottom.calls, 2, "neither came to the bottom");
  struct route_entry thrice = TEST_ENTRY(AUTHORS + 3, .handler = forwards, .constant = 3);
  add(&w, AUTHORS + 3, &thrice);
  is_int(world_call(&w, AUTHORS + 3, 4), 7000 + AUTHORS + 3, "a call made three times");
  is_int(bottom.calls, 5, "each came to the bottom");
  is_int(told.results, 0, "what is done at once is told by call_down");
  world_close(&w);
}

/* {=============================== being asked ============================= */

static void conditions(void) {
  struct world w;
  const struct route_link *links;
  struct route_entry some =
      TEST_ENTRY(AUTHORS, .handler = answers,

                 .ntests = 2,
                 .tests = {{.op = TEST_EQ, .arg = 0, .mask = 0xff, .value = 7},
                           {.op = TEST_ANY, .arg = 5, .mask = UINT64_C(1) << 63}});
  begin(&w, &at_once);
  add(&w, AUTHORS, &some);
  is_int(world_call(&w, AUTHORS, 7), 42, "the first test holds");
  is_int(world_call(&w, AUTHORS, 0x107), 42, "in the bits of its mask");
  is_int(world_call(&w, AUTHORS, 0, 0, 0, 0, 0, UINT64_MAX), 42, "the second holds");
  is_int(world_call(&w, AUTHORS, 8, 7), 8000 + AUTHORS, "none holds: no grate's call");
  is_int(told.starts, 3, "the handler is asked in the first cases only");
  ok(call_wanted(w.cage, AUTHORS, (uint64_t[6]){7}), "call_wanted says so");
  ok(!call_wanted(w.cage, AUTHORS, (uint64_t[6]){8}), "in both cases");
  ok(!call_wanted(w.cage, -1, (uint64_t[6]){7}), "no call has such a number");
  is_int(call_next_wanted(w.cage, -1, &links), AUTHORS, "a filter finds it");
  ok(links->entry == &some, "with its entry");
  is_int(call_next_wanted(w.cage, AUTHORS, &links), -1, "and nothing else");
  ok(links == NULL, "which has none");
  world_close(&w);
}

/* A handler of open sees its family; a call that is no member is not its own. */
static void families(void) {
  struct world w;
  struct route_entry open = TEST_ENTRY(SYS_open, .handler = answers), openat = open, close = open;
  struct route_entry unlink = TEST_ENTRY(SYS_unlink, .constant = -EPERM);
  struct route_entry rmdir = TEST_ENTRY(SYS_rmdir, .constant = -EBUSY);
  begin(&w, &at_once);
  add(&w, SYS_open, &open);
  add(&w, SYS_openat, &openat);
  add(&w, SYS_close, &close);
  add(&w, SYS_unlinkat, &unlink);
  add(&w, SYS_unlinkat, &rmdir);
  is_int(world_call(&w, SYS_open, 0), 42, "open");
  is_int(world_call(&w, SYS_openat, 0), 42, "openat is of its family");
  is_int(world_call(&w, SYS_close, 0), SYS_close, "close is not");
  is_int(world_call(&w, SYS_unlinkat, 0, 0, 0), -EPERM, "unlinkat is unlink");
  is_int(world_call(&w, SYS_unlinkat, 0, 0, AT_REMOVEDIR), -EBUSY, "or rmdir");
  world_close(&w);
}

#ifdef LENCASE_HARD
/*
** Nothing of an earlier call's is in what the kernel could read of this one's: between and behind.
*/
static enum verdict looks_at_window(struct call *call, enum handler_event ev) {
  unsigned char *bytes;
  size_t i, left = 0;
  count(ev);
  need(call_window(call, 100) == LENCASE_OK);
  bytes = call->window.data;
  for (i = 0; i < 100; i++) left += bytes[i] != 0xdb;
  memset(bytes, 's', 100);
  call->result = (int64_t)left;
  return VERDICT_DONE;
}

static void poisoned(void) {
  struct world w;
  struct route_entry entry = TEST_ENTRY(SYS_close, .handler = looks_at_window);
  begin(&w, &at_once);
  add(&w, SYS_close, &entry);
  is_int(world_call(&w, SYS_close, 1), 0, "a window has nothing in it");
  is_int(world_call(&w, SYS_close, 1), 0, "nor the next one");
  world_close(&w);
}
#endif

/* What cannot be read, or is too much, comes to the handler all the same. */
static void cut(void) {
  static char bytes[200];
  struct world w;
  struct plan *plan;
  begin(&w, &at_once);
  w.st->config.max_call_bytes = 100;
  need(plan_new(w.st, sig_by_name("write"), LENCASE_COPY_ALL_ARGS, &plan) == LENCASE_OK);
  struct route_entry entry = TEST_ENTRY(SYS_write, .handler = answers, .plan = plan);
  add(&w, SYS_write, &entry);
  uint64_t addr = world_put(&w, bytes, 200);
  is_int(world_call(&w, SYS_write, 1, addr, 100), 42, "what can be copied is");
  is_int(world_call(&w, SYS_write, 1, addr + 150, 51), 42, "what can be read in part");
  is_int(world_call(&w, SYS_write, 1, 8, 51), 42, "what cannot be read");
  is_int(world_call(&w, SYS_write, 1, addr, 101), 42, "what is over the limit");
  is_int(w.lines, 0, "nothing to be told of");
  is_int(told.starts, 4, "the handler was asked each time");
  is_int(bottom.calls, 0, "the bottom never");
  plan_free(w.st, plan);
  world_close(&w);
}

/* }========================================================================= */

/* {================================= parked ================================ */

static int64_t never;

static struct call *park(struct lencase_cage *cage, uint64_t word) {
  struct call *call = NULL;
  int64_t result = 0;
  need(sim_call(cage, AUTHORS, (uint64_t[6]){word}, &result, &call) == LENCASE_OK);
  return call;
}

/* One step of a parked call: its result, or 'never' when it is parked again. */
static int64_t step(struct call **call) {
  int64_t result = never;
  need(sim_step(*call, &result, call) == LENCASE_OK);
  return result;
}

static void parked(void) {
  enum { CALLS = 6 };
  struct world w;
  struct call *calls[CALLS];
  struct route_entry twice = TEST_ENTRY(AUTHORS, .handler = forwards, .constant = 2);
  begin(&w, &parking);
  add(&w, AUTHORS, &twice);
  struct lencase_cage *other = sim_cage_new(w.st, NULL, w.cage);
  need(other != NULL);
  never = -1;
  for (unsigned i = 0; i < CALLS; i++) {
    calls[i] = park(i % 2 ? other : w.cage, 10 * i);
    ok(calls[i] != NULL && calls[i]->parked, "call %u is parked", i);
  }
  is_int(bottom.calls, 0, "nothing was carried out yet");
  for (unsigned i = CALLS; i-- > 0;) is_int(step(&calls[i]), never, "one step of call %u", i);
  for (unsigned i = 0; i < CALLS; i++)
    is_int(step(&calls[i]), (10 * i + 2) * 1000 + AUTHORS, "call %u has its own result", i);
  for (unsigned i = 0; i < CALLS; i++) ok(calls[i] == NULL, "call %u is over", i);
  is_int(told.results, 2 * CALLS, "each handler was told of both");
  is_int(told.drops, 0, "and none was dropped");
  sim_cage_exit(other, 0);
  world_close(&w);
}

static void dropped(void) {
  struct world w;
  struct route_entry twice = TEST_ENTRY(AUTHORS, .handler = forwards, .constant = 2);
  begin(&w, &parking);
  add(&w, AUTHORS, &twice);
  struct call *a = park(w.cage, 1), *b = park(w.cage, 2), *c = park(w.cage, 3);
  sim_drop(b);
  is_int(told.drops, 1, "a call whose thread is gone: its handler is told");
  step(&a);
  sim_drop(a);
  is_int(told.drops, 2, "after a first result as well");
  step(&c);
  is_int(step(&c), 5000 + AUTHORS, "the others go on");
  struct call *d = park(w.cage, 4);
  is_int(d->downcalls, 1, "a recycled call begins anew");
  sim_drop(d);
  world_close(&w);
  is_int(told.drops, 3, "each was told once");
}

/* A cage in the middle of everything. */
static void cage_gone(void) {
  struct world w;
  struct route_entry twice = TEST_ENTRY(AUTHORS, .handler = forwards, .constant = 2);
  begin(&w, &parking);
  add(&w, AUTHORS, &twice);
  struct lencase_cage *other = sim_cage_new(w.st, NULL, w.cage);
  need(other != NULL);
  struct call *kept = park(w.cage, 1);
  park(other, 2);
  struct call *stepped = park(other, 3);
  step(&stepped);
  uint64_t id = other->id;
  sim_cage_exit(other, 0);
  is_int(told.drops, 2, "a cage that ends: the handlers of its calls are told");
  ok(cage_by_id(w.st, id) == NULL, "it is found no more");
  struct lencase_cage *next = sim_cage_new(w.st, NULL, w.cage);
  need(next != NULL);
  ok(next->id > id, "and its id is never given again");
  step(&kept);
  is_int(step(&kept), 3000 + AUTHORS, "another cage's call goes on");
  sim_cage_exit(next, 0);
  world_close(&w);
}

/* The bytes that a handler saw are the bytes it has, whatever the cage does meanwhile. */
static enum verdict remembers(struct call *call, enum handler_event ev) {
  if (ev == HANDLER_START) return call_down(call, call->nr, call->words);
  if (ev == HANDLER_RESULT) call->result = memcmp(call->snaps[1].data, "before", 6) == 0;
  return VERDICT_DONE;
}

static void snapshots(void) {
  struct world w;
  struct plan *plan;
  struct call *call;
  int64_t result = -1;
  begin(&w, &parking);
  need(plan_new(w.st, sig_by_name("write"), LENCASE_COPY_ALL_ARGS, &plan) == LENCASE_OK);
  struct route_entry entry = TEST_ENTRY(SYS_write, .handler = remembers, .plan = plan);
  add(&w, SYS_write, &entry);
  uint64_t addr = world_put(&w, "before", 6);
  need(sim_call(w.cage, SYS_write, (uint64_t[6]){1, addr, 6}, &result, &call) == LENCASE_OK);
  struct mem_seg seg = {addr, (char[]){"after!"}, 6};
  need(w.cage->ops->write(w.cage, &seg) == LENCASE_OK);
  need(sim_step(call, &result, &call) == LENCASE_OK);
  is_int(result, 1, "a snapshot stays what it was");
  plan_free(w.st, plan);
  world_close(&w);
}

/* }========================================================================= */

/* {================================= cages ================================= */

/* Who was told what of cages. */
struct watch {
  struct cage_watcher watcher;
  char events[64];
  int status;
  bool gone;   /* as the last event had it */
  bool leaves; /* after the first event */
};

static void watch_event(struct cage_watcher *watcher, struct lencase_cage *cage, enum cage_event ev,
                        int status) {
  struct watch *watch = (struct watch *)watcher;
  static const char *const names[] = {"new", "exec", "exit"};
  size_t n = strlen(watch->events);
  snprintf(watch->events + n, sizeof watch->events - n, "%s %d;", names[ev], (int)cage->id);
  watch->status = status;
  watch->gone = cage->gone;
  if (watch->leaves) cage_unwatch(cage->st, watcher);
}

static void watched(void) {
  struct world w;
  struct watch all = {.watcher = {.event = watch_event}};
  struct watch once = {.watcher = {.event = watch_event}, .leaves = true}, late = all;
  begin(&w, NULL);
  cage_watch(w.st, &all.watcher);
  cage_watch(w.st, &once.watcher);
  cage_watch(w.st, &late.watcher);
  cage_unwatch(w.st, &late.watcher);
  int64_t child = world_call(&w, SYS_fork, 0);
  ok(child > 0 && child != w.cage->pid, "fork makes a cage");
  uint64_t path = world_string(&w, "/bin/sh");
  is_int(world_call(&w, SYS_execve, path, 0, 0), 0, "execve starts anew");
  char back;
  is_int(world_get(&w, path, &back, 1), 0, "with an empty memory");
  is_int(world_call(&w, SYS_execve, world_string(&w, "/nowhere"), 0, 0), -ENOENT,
         "unless there is no such program");
  is_int(world_call(&w, SYS_exit_group, 0x103), -1000 + LENCASE_EGONE, "exit_group ends the cage");
  is_int(all.status, 3 << 8, "with a status as waitpid has it");
  ok(all.gone, "and is gone when that is told");
  sim_cage_exit(cage_by_id(w.st, (uint64_t)child), SIGTERM);
  is_int(all.status, SIGTERM, "a signal as well");
  is_str(all.events, "new 2;exec 1;exit 1;exit 2;", "a watcher was told of everything");
  is_str(once.events, "new 2;", "one that left of nothing more");
  is_str(late.events, "", "one that was taken off of nothing");
  world_close(&w);
}

/* What is there still when the state closes is let go, the handlers are told. */
static void closed(void) {
  struct world w;
  struct watch all = {.watcher = {.event = watch_event}};
  struct route_entry twice = TEST_ENTRY(AUTHORS, .handler = forwards, .constant = 2);
  begin(&w, &parking);
  add(&w, AUTHORS, &twice);
  cage_watch(w.st, &all.watcher);
  for (unsigned i = 0; i < 2; i++) need(sim_cage_new(w.st, NULL, w.cage) != NULL);
  park(w.cage, 1);
  park(w.cage, 2);
  w.cage = NULL;
  world_close(&w);
  is_int(told.drops, 2, "calls are dropped when the state closes");
  is_int(strlen(all.events), strlen("new 2;new 3;exit 1;exit 2;exit 3;"), "cages end: %s",
         all.events);
}

/* As many as fill any table of them more than once. */
static void many_cages(void) {
  enum { MANY = 70 };
  struct world w;
  struct lencase_cage *cages[MANY];
  bool found = true;
  begin(&w, &(struct sim_config){.memory = 1 << 12, .bottom = ask_bottom});
  for (unsigned i = 0; i < MANY; i++) need((cages[i] = sim_cage_new(w.st, NULL, w.cage)) != NULL);
  for (unsigned i = 0; i < MANY; i++) found = found && cage_by_id(w.st, cages[i]->id) == cages[i];
  ok(found, "each of %d cages is found", MANY);
  ok(cage_by_id(w.st, 0) == NULL && cage_by_id(w.st, MANY + 2) == NULL, "and no other");
  for (unsigned i = 0; i < MANY; i += 2) sim_cage_exit(cages[i], 0);
  for (unsigned i = 1; i < MANY; i += 2)
    found = found && cage_by_id(w.st, cages[i]->id) == cages[i];
  ok(found, "those that stay as well");
  for (unsigned i = 1; i < MANY; i += 2) sim_cage_exit(cages[i], 0);
  world_close(&w);
}

/* A handler that makes its own cage end. */
static enum verdict kills(struct call *call, enum handler_event ev) {
  size_t done = 1;
  char byte;
  count(ev);
  if (ev == HANDLER_DROP) return VERDICT_DONE;
  call->cage->ops->kill(call->cage);
  struct mem_seg seg = {SIM_BASE, &byte, 1};
  is_int(call->cage->ops->read(call->cage, &seg, 1, &done), LENCASE_EGONE, "nothing to read");
  is_int(done, 0, "is read");
  is_int(call->cage->ops->write(call->cage, &seg), LENCASE_EGONE, "nor to be written");
  is_int(call_window(call, 10), LENCASE_EGONE, "nor a window");
  if (call->words[0] == 0) return VERDICT_PASS;
  return call_down(call, call->nr, call->words);
}

static void killed(void) {
  for (unsigned downcall = 0; downcall < 2; downcall++) {
    struct world w;
    struct watch all = {.watcher = {.event = watch_event}};
    begin(&w, &at_once);
    cage_watch(w.st, &all.watcher);
    add(&w, AUTHORS, &TEST_ENTRY(AUTHORS, .handler = kills));
    is_int(world_call(&w, AUTHORS, downcall), -1000 + LENCASE_EGONE, "a cage killed in its call");
    is_str(all.events, "exit 1;", "has ended");
    is_int(all.status, SIGKILL, "by SIGKILL");
    is_int(bottom.calls, 0, "its call never came to the bottom");
    is_int(told.drops, downcall, "a waiting handler is told");
    world_close(&w);
  }
}

/* exit_group through a handler: it waits for a result that never comes. */
static void exits_below(void) {
  struct world w;
  begin(&w, NULL);
  add(&w, SYS_exit_group, &TEST_ENTRY(SYS_exit_group, .handler = forwards, .constant = 1));
  is_int(world_call(&w, SYS_exit_group, 0), -1000 + LENCASE_EGONE, "a handled exit_group");
  is_int(told.drops, 1, "its handler is told that the caller is gone");
  world_close(&w);
}

/* }========================================================================= */

/* {================================ memory ================================= */

/* Replaces an argument from the window, a result in scratch memory. */
static enum verdict replaces(struct call *call, enum handler_event ev) {
  uint64_t words[LENCASE_MAXARGS] = {0};
  (void)ev;
  if (call_window(call, 5000) != LENCASE_OK || call_scratch(call, 5000) != LENCASE_OK) {
    call->result = -ENOMEM;
    return VERDICT_DONE;
  }
  memset(call->window.data, 'r', 5000);
  words[1] = call->window.addr;
  words[2] = call->scratch.addr;
  enum verdict verdict = call_down(call, call->nr, words);
  call->result = call->down_result;
  return verdict;
}

static int64_t checks_memory(void *ud, struct lencase_cage *cage, int32_t nr,
                             const uint64_t words[LENCASE_MAXARGS]) {
  static char bytes[5000];
  struct mem_seg window = {words[1], bytes, sizeof bytes}, scratch = {words[2], bytes, 5000};
  size_t done;
  (void)ud, (void)nr;
  if (cage->ops->read(cage, &window, 1, &done) != LENCASE_OK || done != 5000) return 1;
  if (bytes[0] != 'r' || bytes[4999] != 'r') return 2;
  if (cage->ops->write(cage, &window) != LENCASE_EFAULT) return 3;
  return cage->ops->write(cage, &scratch) != LENCASE_OK ? 4 : 0;
}

/* Room for a few of them only: what is not given back is missed soon. */
static void windows(void) {
  struct world w;
  begin(&w, &(struct sim_config){.memory = 1 << 16, .guard = true, .bottom = checks_memory});
  add(&w, AUTHORS, &TEST_ENTRY(AUTHORS, .handler = replaces));
  for (unsigned i = 0; i < 50; i++)
    if (!is_int(world_call(&w, AUTHORS, 0), 0, "window and scratch memory, time %u", i + 1)) break;
  world_close(&w);
}

/* }========================================================================= */

/* Two states in one process never meet. */
static void two_states(void) {
  struct world a, b;
  begin(&a, &at_once);
  begin(&b, &at_once);
  add(&a, AUTHORS, &TEST_ENTRY(AUTHORS, .handler = answers));
  is_int(a.cage->id, b.cage->id, "each state counts its own cages");
  is_int(world_call(&a, AUTHORS, 1), 42, "a route of one");
  is_int(world_call(&b, AUTHORS, 1), 1000 + AUTHORS, "is none of the other");
  ok(cage_by_id(b.st, 1) == b.cage, "a cage is found in its own state");
  is_int(test_route(a.st, &a.cage->routes, AUTHORS, &TEST_ENTRY(AUTHORS)), LENCASE_EEXIST,
         "an error in one");
  is_str(lencase_error(b.st), "", "is none in the other");
  uint64_t here = world_put(&a, "a", 1);
  char back;
  is_int(world_get(&b, here, &back, 1), 0, "memory of one is none of the other");
  world_close(&a);
  is_int(world_call(&b, AUTHORS, 1), 1000 + AUTHORS, "and one outlives the other");
  world_close(&b);
}

int main(void) {
  verdicts();
  conditions();
  families();
  cut();
#ifdef LENCASE_HARD
  poisoned();
#endif
  parked();
  dropped();
  cage_gone();
  snapshots();
  watched();
  many_cages();
  closed();
  killed();
  exits_below();
  windows();
  two_states();
  return test_end();
}
