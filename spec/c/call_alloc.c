/*
** call_alloc.c - memory: none is asked for in steady state, and none that is missing does harm
*/

#include <errno.h>
#include <sys/syscall.h>

#include "sim_fixture.h"

enum { AUTHORS = 2000 };

#ifdef LENCASE_HARD
enum { KEEPS = 0 }; /* that build keeps no memory, so that a late reader is noticed */
#else
enum { KEEPS = 1 };
#endif

/* Lets the call be done downwards, with its second word in the window and scratch memory. */
static enum verdict forwards(struct call *call, enum handler_event ev) {
  if (ev == HANDLER_DROP) return VERDICT_DONE;
  if (ev == HANDLER_START) {
    call->result = -ENOBUFS;
    if (call_window(call, 100) != LENCASE_OK) return VERDICT_DONE;
    if (call_scratch(call, 100) != LENCASE_OK) return VERDICT_DONE;
    if (call_down(call, call->nr, call->words) == VERDICT_PARKED) return VERDICT_PARKED;
  }
  call->result = call->down_result;
  return VERDICT_DONE;
}

static int64_t ask_bottom(void *ud, struct lencase_cage *cage, int32_t nr,
                          const uint64_t words[LENCASE_MAXARGS]) {
  (void)ud, (void)cage, (void)words;
  return nr;
}

/* {============================== steady state ============================= */

/* A plan that copies all of call 'name', and its route. */
struct copied {
  struct plan *plan;
  struct route_answer answer;
  struct route_entry entry;
};

static void copy_call(struct world *w, struct copied *c, const char *name) {
  const struct signature *sig = sig_by_name(name);
  need(sig != NULL);
  need(plan_new(w->st, sig, LENCASE_COPY_ALL_ARGS, &c->plan) == LENCASE_OK);
  c->answer = (struct route_answer){.handler = forwards, .plan = c->plan};
  c->entry = (struct route_entry){.family = sig->nr, .answer = &c->answer};
  need(test_route(w->st, &w->cage->routes, sig->nr, &c->entry) == LENCASE_OK);
}

enum { CALLS = 5 };
static const char *const names[CALLS] = {"open", "write", "writev", "execve", "getsockname"};

/* Big and small calls of each kind, as a cage's memory has them. */
static void arguments(struct world *w, uint64_t words[CALLS][LENCASE_MAXARGS]) {
  static char bytes[200000];
  uint64_t path = world_string(w, "/etc/passwd"), buf = world_put(w, bytes, sizeof bytes);
  uint64_t iov[] = {buf, 1000, buf, 100000}, argv[] = {path, path, 0};
  uint32_t length = 16;
  uint64_t all[CALLS][LENCASE_MAXARGS] = {
      {path},
      {1, buf, sizeof bytes},
      {1, world_put(w, iov, sizeof iov), 2},
      {path, world_put(w, argv, sizeof argv), world_put(w, argv, sizeof argv)},
      {3, buf, world_put(w, &length, sizeof length)},
  };
  memcpy(words, all, sizeof all);
}

static void call_all(struct world *w, uint64_t words[CALLS][LENCASE_MAXARGS]) {
  for (unsigned i = 0; i < CALLS; i++) {
    int32_t nr = sig_callnum(names[i]);
    need(world_words(w, nr, words[i]) == nr);
  }
}

static void steady(bool park) {
  struct world w;
  struct copied copied[CALLS];
  uint64_t words[CALLS][LENCASE_MAXARGS];
  world_open(
      &w, NULL,
      &(struct sim_config){.memory = 1 << 20, .guard = true, .park = park, .bottom = ask_bottom});
  for (unsigned i = 0; i < CALLS; i++) copy_call(&w, &copied[i], names[i]);
  arguments(&w, words);
  for (unsigned i = 0; i < 5; i++) call_all(&w, words);
  size_t before = w.mem.made;
  for (unsigned i = 0; i < 200; i++) call_all(&w, words);
  if (KEEPS)
    is_int(w.mem.made - before, 0, "%d calls in steady state ask for no memory (park %d)",
           200 * CALLS, park);
  for (unsigned i = 0; i < CALLS; i++) plan_free(w.st, copied[i].plan);
  world_close(&w);
}

/* Many calls in flight at once, dropped and made again. */
static void steady_in_flight(void) {
  enum { FLIGHT = 30 };
  struct world w;
  struct copied write;
  struct call *calls[FLIGHT];
  int64_t result;
  size_t before = 0;
  world_open(
      &w, NULL,
      &(struct sim_config){.memory = 1 << 20, .guard = true, .park = true, .bottom = ask_bottom});
  copy_call(&w, &write, "write");
  uint64_t words[LENCASE_MAXARGS] = {1, world_string(&w, "some bytes"), 10};
  for (unsigned round = 0; round < 20; round++) {
    if (round == 3) before = w.mem.made;
    for (unsigned i = 0; i < FLIGHT; i++)
      need(sim_call(w.cage, SYS_write, words, &result, &calls[i]) == LENCASE_OK);
    for (unsigned i = 0; i < FLIGHT; i += 2) sim_drop(calls[i]);
    for (unsigned i = 1; i < FLIGHT; i += 2)
      need(sim_step(calls[i], &result, &calls[i]) == LENCASE_OK);
  }
  if (KEEPS) is_int(w.mem.made - before, 0, "%d calls at once ask for no memory", FLIGHT);
  plan_free(w.st, write.plan);
  world_close(&w);
}

/* }========================================================================= */

/* {=============================== short memory ============================ */

/* A failed step has said why; it ends the scenario. */
static bool went(struct world *w, int status, bool *clear) {
  if (status == LENCASE_OK) return true;
  *clear = *clear && status == LENCASE_ENOMEM && lencase_error(w->st)[0] != 0;
  return false;
}

/* A call gives its number or -ENOMEM; its cage goes on. */
static bool made(struct world *w, int32_t nr, const uint64_t words[LENCASE_MAXARGS], bool *clear) {
  int64_t result = -1;
  int status = sim_call(w->cage, nr, words, &result, NULL);
  if (status != LENCASE_OK) return went(w, status, clear);
  *clear = *clear && (result == nr || result == -ENOMEM);
  return result == nr;
}

/* All that asks for memory, in a row: true when all of it went well. */
static bool scenario(struct world *w, bool *clear) {
  static const struct sim_config sim = {.memory = 1 << 20, .bottom = ask_bottom};
  struct route_entry constants[2] = {TEST_ENTRY(AUTHORS), TEST_ENTRY(AUTHORS + 1)};
  struct plan *plan = NULL;
  struct route_answer answer = {.handler = forwards};
  struct route_entry entry = {.family = SYS_execve, .answer = &answer};
  struct lencase_cage *child = NULL;
  bool good = false;
  if (!world_state(w, NULL)) return false;
  w->cage = sim_cage_new(w->st, &sim, NULL);
  if (w->cage == NULL) return false;
  uint64_t path = world_string(w, "/bin/true"), argv[] = {path, path, 0};
  uint64_t words[LENCASE_MAXARGS] = {path, world_put(w, argv, sizeof argv)};
  if (!went(w, plan_new(w->st, sig_by_nr(SYS_execve), 0, &plan), clear)) return false;
  answer.plan = plan;
  if (went(w, test_route(w->st, &w->cage->routes, SYS_execve, &entry), clear) &&
      went(w, test_route(w->st, &w->cage->routes, AUTHORS, &constants[0]), clear) &&
      went(w, test_route(w->st, &w->cage->routes, AUTHORS + 1, &constants[1]), clear) &&
      (child = sim_cage_new(w->st, NULL, w->cage)) != NULL)
    good = made(w, SYS_execve, words, clear);
  if (child != NULL) sim_cage_exit(child, 0);
  sim_cage_exit(w->cage, 0);
  w->cage = NULL;
  plan_free(w->st, plan);
  return good;
}

static void short_memory(void) {
  size_t n = 0;
  bool good = false;
  while (!good && ++n < 1000) {
    struct world w = {.mem.fail_at = n};
    bool clear = true;
    good = scenario(&w, &clear);
    if (w.cage != NULL) sim_cage_exit(w.cage, 0);
    lencase_close(w.st);
    ok(clear, "allocation %zu fails: what fails says so", n);
    is_int(w.mem.blocks, 0, "nothing is lost");
    is_int(w.mem.mistakes, 0, "and no size is wrong");
  }
  ok(good && n > 10, "%zu allocations in all", n - 1);
}

/* A call that finds no memory is the caller's ENOMEM, and the next one goes well. */
static void short_for_one_call(void) {
  struct world w;
  struct copied write;
  static char bytes[100000];
  world_open(&w, NULL,
             &(struct sim_config){.memory = 1 << 20, .guard = true, .bottom = ask_bottom});
  copy_call(&w, &write, "write");
  uint64_t words[LENCASE_MAXARGS] = {1, world_put(&w, bytes, sizeof bytes), sizeof bytes};
  for (unsigned n = 1; n < 4; n++) {
    w.mem.fail_at = w.mem.made + n;
    int64_t result = world_words(&w, SYS_write, words);
    ok(result == -ENOMEM || result == -1000 + LENCASE_ENOMEM, "no memory for part %u of a call", n);
  }
  w.mem.fail_at = 0;
  is_int(world_words(&w, SYS_write, words), SYS_write, "the next call goes well");
  plan_free(w.st, write.plan);
  world_close(&w);
}

/* }========================================================================= */

int main(void) {
  steady(false);
  steady(true);
  steady_in_flight();
  short_memory();
  short_for_one_call();
  return test_end();
}
