/*
** run.c - a run of the trace host: opening, the loop, closing
*/

#include "trace_int.h"

#include "../supervise.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Each program's window is a file of ours. The programs keep the limit that they inherited. */
static const enum __rlimit_resource limits[] = {RLIMIT_NOFILE, RLIMIT_FSIZE};
enum { LIMITS = sizeof limits / sizeof *limits };

_Static_assert(LIMITS == sizeof((struct trace_run *)0)->raised / sizeof(struct raised), "one each");

static void raise_limits(struct trace_run *run) {
  size_t i;
  for (i = 0; i < LIMITS; i++) {
    struct raised *r = &run->raised[i];
    struct rlimit limit;
    if (getrlimit(limits[i], &r->before) != 0) continue;
    limit = r->before;
    limit.rlim_cur = limit.rlim_max;
    r->done = setrlimit(limits[i], &limit) == 0;
  }
}

void run_hide(struct trace_run *run) {
  raise_limits(run);
  run->dumpable = supervise_hide();
  if (run->dumpable < 0)
    state_log(run->st,
              "prctl is refused here (%s): a program of the same user can write into lencase",
              strerror(errno));
}

/* {=========================== a run left to itself ======================== */

/*
** Children of other threads of this process are left alone; other children of this very thread
** would be reaped. 0: there is nothing to wait for but that we are continued.
*/
static pid_t wait_stop(struct trace_run *run, int *status) {
  int flags = relay_all_stopped(run) ? WNOHANG : 0;
  pid_t tid;
  restart_wake(run);
  if (run->ndue > 0) relay_ticks(SIG_UNBLOCK);
  tid = waitpid(-1, status, __WALL | __WNOTHREAD | flags);
  if (run->ndue > 0) relay_ticks(SIG_BLOCK);
  if (atomic_exchange(&run->relay.reload, false) && run->st->reload_grates != NULL)
    run->st->reload_grates(run->st);
  if (tid == 0) relay_stop(run);
  return tid;
}

static void child_as_it_is(const struct trace_run *run) {
  (void)run;
}

static bool never_still(const struct trace_run *run) {
  (void)run;
  return false;
}

static bool shows_nothing(struct trace_run *run, struct thread *t) {
  (void)run;
  (void)t;
  return false;
}

static void notes_nothing(struct thread *t, int32_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  (void)t;
  (void)nr;
  (void)words;
}

/* No handler comes while a call is cut short. */
static bool had_always_asked(const struct thread *t, const struct user_regs_struct *regs) {
  (void)t;
  (void)regs;
  return true;
}

static void carried_unheard(struct trace_run *run, const struct thread *t) {
  (void)run;
  (void)t;
}

static void over_unheard(struct trace_run *run, struct thread *t, uint8_t on_end, int64_t result) {
  (void)run;
  (void)t;
  (void)on_end;
  (void)result;
}

static void lost_unheard(struct trace_run *run, uint8_t on_end) {
  (void)run;
  (void)on_end;
}

static void execed_unheard(struct trace_run *run, struct thread *t) {
  (void)run;
  (void)t;
}

static bool takes_no_signal(struct trace_run *run, struct thread *t, int sig) {
  (void)run;
  (void)t;
  (void)sig;
  return false;
}

const struct observer run_unobserved = {
    .handles_any = false,
    .child = child_as_it_is,
    .is_still = never_still,
    .wait = wait_stop,
    .shows = shows_nothing,
    .asks = notes_nothing,
    .had_asked = had_always_asked,
    .carried = carried_unheard,
    .over = over_unheard,
    .lost = lost_unheard,
    .execed = execed_unheard,
    .takes = takes_no_signal,
};

/* }========================================================================= */

void run_loop(struct trace_run *run) {
  while (run->threads.n > 0) {
    int status;
    struct thread *t = queue_next(&run->queue, &status);
    pid_t tid;
    if (t != NULL) {
      stop_handle(run, t, status);
      continue;
    }
    if (run->observer->is_still(run)) return;
    tid = run->observer->wait(run, &status);
    if (tid > 0)
      queue_add(run, tid, status);
    else if (tid < 0 && errno != EINTR)
      return; /* nothing is there, and nothing will come */
  }
}

static int run_program(struct trace_run *run, char *const argv[], int *wstatus) {
  int rc = start_program(run, argv);
  if (rc != LENCASE_OK) return rc;
  run_hide(run);
  rc = relay_open(run);
  if (rc != LENCASE_OK) kill(run->root, SIGKILL);
  run_loop(run);
  relay_close(run);
  return rc == LENCASE_OK ? start_outcome(run, wstatus) : rc;
}

int run_begin(struct lencase_state *st, struct trace_run **out) {
  struct trace_run *run;
  int rc = state_enter(st);
  if (rc != LENCASE_OK) return rc;
  run = st->run == NULL ? state_new(st, sizeof *run) : NULL;
  if (run == NULL) {
    rc = st->run != NULL ? LENCASE_EPERM : LENCASE_ENOMEM;
    state_leave(st);
    return state_fail(st, rc,
                      rc == LENCASE_EPERM ? "the state has a run already" : "no memory for a run");
  }
  run->st = st;
  run->observer = &run_unobserved;
  run->listener = -1;
  st->run = *out = run;
  queue_open(&run->queue);
  rc = thread_table_open(run);
  affinity_open(&run->affinity);
  restart_open(run);
  return rc;
}

void run_end(struct trace_run *run) {
  struct lencase_state *st = run->st;
  size_t i;
  thread_table_close(run);
  assert(run->threads.n == 0 && run->queue.waiting == 0 && run->listening == 0);
  assert(run->held_back == 0 && run->ndue == 0);
  start_close(run);
  filter_close(run);
  affinity_close(&run->affinity);
  restart_close(run);
  supervise_show(run->dumpable);
  for (i = 0; i < LIMITS; i++)
    if (run->raised[i].done) setrlimit(limits[i], &run->raised[i].before);
  st->run = NULL;
  state_free(st, run, sizeof *run);
  state_leave(st);
}

LENCASE_PUBLIC int lencase_trace_run(lencase_state *st, char *const argv[], int *wstatus) {
  struct trace_run *run = NULL;
  int rc;
  if (argv == NULL || argv[0] == NULL || wstatus == NULL)
    return state_fail(st, LENCASE_EINVAL, "lencase_trace_run needs a program and a wstatus");
  rc = run_begin(st, &run);
  if (run == NULL) return rc;
  relay_block(run);
  if (rc == LENCASE_OK) rc = run_program(run, argv, wstatus);
  relay_unblock(run);
  run_end(run);
  return rc;
}
