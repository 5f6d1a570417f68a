/*
** threads.c - states and threads: one state at a time in one thread, whichever that is; no two
** states meet
**
** What the checks here cannot see, the thread sanitizer does: make tsan.
*/

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "grate_fixture.h"

#define THREADS 8
#define CALLS 400

/* A stack of three: each adds its own to the result of the one below, at the time it comes. */
static const char adding[] =
    PROLOGUE "local seen = lencase.per_cage(function() return { n = 0 } end) "
             "return lencase.grate { lseek = function(fd, offset, whence) "
             "  seen.n = seen.n + 1 "
             "  local n, errno = lencase.sys.lseek(fd, offset, whence) "
             "  return n + 1, errno "
             "end, getppid = function() return seen.n end }";

static lencase_verdict add_in_c(lencase_call *call, lencase_event event, void *ud) {
  atomic_int *drops = ud;
  if (event == LENCASE_EVENT_DROP) {
    atomic_fetch_add(drops, 1);
    return LENCASE_VERDICT_DONE;
  }
  if (event == LENCASE_EVENT_START && lencase_call_forward(call) == LENCASE_VERDICT_PARKED)
    return LENCASE_VERDICT_PARKED;
  lencase_call_answer(call, lencase_call_result(call) + 100);
  return LENCASE_VERDICT_DONE;
}

static int64_t bottom(void *ud, struct lencase_cage *cage, int32_t nr,
                      const uint64_t words[LENCASE_MAXARGS]) {
  (void)ud, (void)cage;
  return nr == SYS_lseek ? (int64_t)words[1] * 1000 : -ENOSYS;
}

static const struct sim_config parking = {.memory = 1 << 16, .park = true, .bottom = bottom};

struct shared {
  struct world w;
  struct lencase_cage *cages[2];
  pthread_mutex_t turn;
  atomic_int drops, wrong, dropped;
};

static void stack_of_three(struct world *w, atomic_int *drops) {
  static const lencase_entry entries[] = {{.callnum = SYS_lseek, .handler = add_in_c}};
  lencase_interface interface = {.name = "adding", .entries = entries, .nentries = 1, .ud = drops};
  need(script_load(w, adding, NULL) == LENCASE_OK);
  need(lencase_grate_new(w->st, &interface, NULL) == LENCASE_OK);
  need(script_load(w, adding, NULL) == LENCASE_OK);
}

/* The call's next step; the lock is given up in between, so that the others' calls come there. */
static bool one_call(struct shared *s, struct lencase_cage *cage, uint64_t offset, bool drop) {
  const uint64_t words[LENCASE_MAXARGS] = {3, offset, 0};
  struct call *parked = NULL;
  int64_t result = -1;
  pthread_mutex_lock(&s->turn);
  int status = sim_call(cage, SYS_lseek, words, &result, &parked);
  if (drop && parked != NULL) {
    sim_drop(parked);
    pthread_mutex_unlock(&s->turn);
    return true;
  }
  while (status == LENCASE_OK && parked != NULL) {
    pthread_mutex_unlock(&s->turn);
    pthread_mutex_lock(&s->turn);
    status = sim_step(parked, &result, &parked);
  }
  pthread_mutex_unlock(&s->turn);
  return status == LENCASE_OK && result == (int64_t)offset * 1000 + 102;
}

static void *hammer(void *arg) {
  struct shared *s = arg;
  for (uint64_t i = 1; i <= CALLS; i++) {
    bool drop = i % 50 == 0;
    if (drop) atomic_fetch_add(&s->dropped, 1);
    if (!one_call(s, s->cages[i % 2], i, drop)) atomic_fetch_add(&s->wrong, 1);
  }
  return NULL;
}

static void in_threads(void *(*f)(void *), void *args, size_t size) {
  pthread_t threads[THREADS];
  for (size_t i = 0; i < THREADS; i++)
    need(pthread_create(&threads[i], NULL, f, (char *)args + i * size) == 0);
  for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

static void many_threads_one_state(void) {
  static struct shared s;
  pthread_mutex_init(&s.turn, NULL);
  need(world_state(&s.w, NULL));
  stack_of_three(&s.w, &s.drops);
  for (int i = 0; i < 2; i++) {
    s.cages[i] = sim_cage_new(s.w.st, &parking, NULL);
    need(s.cages[i] != NULL);
  }
  in_threads(hammer, &s, 0);
  is_int(atomic_load(&s.wrong), 0, "each call got its own result");
  is_int(atomic_load(&s.drops), atomic_load(&s.dropped), "handlers of dropped calls were told");
  int64_t seen = 0;
  for (int i = 0; i < 2; i++) {
    int64_t n = 0;
    need(sim_call(s.cages[i], SYS_getppid, (uint64_t[LENCASE_MAXARGS]){0}, &n, NULL) == LENCASE_OK);
    seen += n;
    sim_cage_exit(s.cages[i], 0);
  }
  is_int(seen, THREADS * CALLS, "the script saw each call once");
  world_close(&s.w);
  pthread_mutex_destroy(&s.turn);
}

struct alone {
  struct world w;
  atomic_int drops;
  int wrong;
};

/* The whole life of a state, beside those of others. */
static void *live(void *arg) {
  struct alone *a = arg;
  struct sim_config config = parking;
  config.park = false;
  need(world_state(&a->w, NULL));
  stack_of_three(&a->w, &a->drops);
  a->w.cage = sim_cage_new(a->w.st, &config, NULL);
  need(a->w.cage != NULL);
  for (int64_t i = 1; i <= CALLS; i++)
    if (world_call(&a->w, SYS_lseek, 3, (uint64_t)i, 0) != i * 1000 + 102) a->wrong++;
  if (world_call(&a->w, SYS_getppid) != CALLS) a->wrong++;
  sim_cage_exit(a->w.cage, 0);
  lencase_close(a->w.st);
  return NULL;
}

static void many_states(void) {
  static struct alone all[THREADS];
  in_threads(live, all, sizeof all[0]);
  for (int i = 0; i < THREADS; i++) {
    is_int(all[i].wrong, 0, "state %d saw its own calls and no others", i);
    is_int(all[i].w.mem.blocks, 0, "and all its memory came back");
  }
}

int main(void) {
  many_threads_one_state();
  many_states();
  return test_end();
}
