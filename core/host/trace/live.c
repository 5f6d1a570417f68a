/*
** live.c - the observer of a run under control: stopping all of it, and one call at a time
**
** To halt the run is to resume no thread: thread_resume notes what it would do, and those
** that run are asked to stop. All else stays as in any run, so that calls in flight, signals and
** births are dealt with while the threads come to rest.
**
** What our own stops do to a call in the kernel is undone: restart.c.
*/

#include "trace_int.h"

#include "../supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct live {
  struct trace_observer observer;
  struct trace_event event; /* why it is halted, not fetched yet */
  bool asked;               /* every thread was asked to stop */
  unsigned looks;           /* since then, for those that did not */
  bool started;             /* the first program is before its first instruction, or behind it */
  bool inside;              /* of trace_live_go: not for handlers */
  bool closing;
};

typedef void (*thread_fn)(struct trace_run *run, struct thread *t);

static void for_each(struct trace_run *run, thread_fn f) {
  struct thread *t, *next;
  for (t = TAILQ_FIRST(&run->queue.threads); t != NULL; t = next) {
    next = TAILQ_NEXT(t, queue.by_turn);
    f(run, t);
  }
}

/* Something happened that the observer is told of: the run is halted. 't' may be NULL. */
static void tell(struct trace_run *run, enum trace_told told, struct thread *t, int64_t result) {
  struct live *live = run->live;
  if (live->closing) return;
  run->halted = true;
  if (live->event.told != TOLD_NOTHING) return;
  live->event = (struct trace_event){.told = told, .tid = t != NULL ? t->tid : 0, .result = result};
}

/* {================================ stopping =============================== */

static bool is_still(const struct thread *t) {
  return t->stand != STAND_RUNS || t->state == THREAD_BORN;
}

static void ask(struct trace_run *run, struct thread *t) {
  (void)run;
  if (!is_still(t)) thread_interrupt(t);
}

static bool halted_and_still(const struct trace_run *run) {
  const struct thread *t;
  size_t i;
  if (!run->halted) return false;
  for (i = 0; i < run->threads.nbuckets; i++)
    for (t = run->threads.buckets[i]; t != NULL; t = t->chain)
      if (!is_still(t)) return false;
  return true;
}

/* The text of a file in /proc about a thread, "" when there is none. */
static void about(pid_t tid, const char *file, char *text, size_t size) {
  char path[48];
  ssize_t n = 0;
  int fd;
  snprintf(path, sizeof path, "/proc/%d/%s", (int)tid, file);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    n = read(fd, text, size - 1);
    close(fd);
  }
  text[n > 0 ? n : 0] = '\0';
}

/* D: it waits where no stop reaches it; Z, X: it has ended, or is a leader without threads. */
static char state_of(pid_t tid) {
  char text[512];
  const char *comm_end;
  about(tid, "stat", text, sizeof text);
  comm_end = strrchr(text, ')');
  return comm_end != NULL && comm_end[1] != '\0' ? comm_end[2] : 'X';
}

static bool in_vfork(pid_t tid) {
  char text[128];
  int nr;
  about(tid, "syscall", text, sizeof text);
  if (text[0] < '0' || text[0] > '9') return false;
  nr = atoi(text);
  return nr == SYS_vfork || nr == SYS_clone || nr == SYS_clone3;
}

bool live_may_fork(pid_t tid) {
  const struct timespec soon = {0, 1000000};
  char text[128];
  int looks;
  for (looks = 0; looks < 20; looks++) {
    about(tid, "syscall", text, sizeof text);
    if (strncmp(text, "running", 7) != 0) return in_vfork(tid);
    nanosleep(&soon, NULL);
  }
  return true;
}

/* Looks at a thread that was to stop, each millisecond: a disk is waited for longer than that. */
enum { PATIENCE = 1000 };

static void note_busy(struct trace_run *run, struct thread *t) {
  char state;
  if (is_still(t)) return;
  state = state_of(t->tid);
  if (state == 'Z' || state == 'X' ||
      (state == 'D' && (in_vfork(t->tid) || run->live->looks > PATIENCE)))
    thread_rest(t, STAND_BUSY);
}

static bool all_listen(const struct trace_run *run) {
  return run->listening > 0 && run->listening == run->threads.n;
}

static void kill_process(struct trace_run *run, struct thread *t) {
  (void)run;
  if (t->proc != NULL) kill(t->proc->tgid, SIGKILL);
}

/* No stop is there to be fetched. True: something else has happened. */
static bool nothing_stopped(struct trace_run *run) {
  struct live *live = run->live;
  if (run->halted) {
    live->looks++;
    for_each(run, note_busy);
    return halted_and_still(run);
  }
  if (live->closing) return false;
  if (live->observer.interrupt != NULL && *live->observer.interrupt)
    tell(run, TOLD_INTERRUPT, NULL, 0);
  else if (run->stopped_by != 0 && all_listen(run))
    tell(run, TOLD_STOPPED, NULL, run->stopped_by);
  return run->halted;
}

/* Before asking threads to stop: nothing shows later that one of them never will. */
static void begin_wait(struct trace_run *run) {
  struct live *live = run->live;
  if (live->closing) for_each(run, kill_process);
  if (!run->halted || live->asked) return;
  live->asked = true;
  live->looks = 0;
  for_each(run, ask);
}

static pid_t wait_or_halt(struct trace_run *run, int *status) {
  const struct timespec soon = {0, 1000000};
  sigset_t ours, before, waiting;
  pid_t tid;
  begin_wait(run);
  sigemptyset(&ours);
  sigaddset(&ours, SIGCHLD);
  sigaddset(&ours, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ours, &before);
  waiting = before;
  sigdelset(&waiting, SIGCHLD);
  sigdelset(&waiting, SIGINT);
  while ((tid = waitpid(-1, status, __WALL | __WNOTHREAD | WNOHANG)) == 0 &&
         !nothing_stopped(run)) {
    restart_wake(run);
    ppoll(NULL, 0, run->halted ? &soon : NULL, &waiting);
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return tid;
}

/* }========================================================================= */

/* {================================ signals ================================ */

/* Ctrl-C in the program's terminal is for the observer, once for all threads that got it. */
static bool takes_sigint(struct trace_run *run, struct thread *t, int sig) {
  if (run->attached || sig != SIGINT || t->proc == NULL || signal_code(t) != SI_KERNEL)
    return false;
  restart_short(t);
  if (!t->proc->owes_sigint) tell(run, TOLD_INTERRUPT, t, 0);
  t->proc->owes_sigint = false;
  return true;
}

/* }========================================================================= */

/* {================================= calls ================================= */

static void describe(const struct thread *t, struct trace_thread *out) {
  *out = (struct trace_thread){.tid = t->tid};
  if (thread_waits_at_call(t))
    out->place = PLACE_CALL;
  else if (t->stand == STAND_BUSY)
    out->place = PLACE_KERNEL;
  else if (t->stand == STAND_LISTENS)
    out->place = PLACE_STOPPED;
  else
    out->place = t->now.call != NULL ? PLACE_DOWN : PLACE_ANYWHERE;
  if (t->proc != NULL) {
    out->pid = t->proc->tgid;
    out->cage = t->proc->cage->id;
  }
  out->nr = (int32_t)t->now.regs.orig_rax;
  regs_words(&t->now.regs, out->words);
}

/* While the run is being halted nothing is shown: that is done when it goes on. */
static bool shows_call(struct trace_run *run, struct thread *t) {
  const struct trace_observer *observer = &run->live->observer;
  enum trace_notice notice = NOTICE_NONE;
  struct trace_thread at;
  if (run->halted) {
    thread_rest(t, STAND_ARRIVED);
    return true;
  }
  describe(t, &at);
  if (observer->arrived != NULL) notice = observer->arrived(observer->ud, &at);
  t->now.on_end = notice == NOTICE_END ? END_REPORTED : END_IGNORED;
  if (notice != NOTICE_HALT) return false;
  thread_rest(t, STAND_SHOWN);
  tell(run, TOLD_CALL, t, 0);
  return true;
}

/* The handlers of now are asked: those that come while the run is halted are not. */
static void note_asked(struct thread *t, int32_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  t->now.asked = call_wanted(t->proc->cage, nr, words);
}

static bool had_asked(const struct thread *t, const struct user_regs_struct *regs) {
  return t->now.asked && regs_same_call(&t->now.regs, regs);
}

static void tell_over(struct trace_run *run, struct thread *t, uint8_t on_end, int64_t result) {
  if (on_end == END_IGNORED) return;
  if (run->live->observer.over != NULL)
    run->live->observer.over(run->live->observer.ud, t->tid, result);
  if (on_end == END_HALTS) tell(run, TOLD_RESULT, t, result);
}

static void tell_carried(struct trace_run *run, const struct thread *t) {
  const struct flight *f = &t->now;
  if (f->on_end == END_IGNORED || run->live->observer.carried == NULL) return;
  run->live->observer.carried(run->live->observer.ud, t->tid, f->nr, f->result);
}

static void tell_lost(struct trace_run *run, uint8_t on_end) {
  if (on_end == END_HALTS) tell(run, TOLD_LOST, NULL, 0);
}

static void tell_execed(struct trace_run *run, struct thread *t) {
  uint8_t on_end = t->now.on_end;
  t->now.on_end = END_IGNORED;
  if (run->live->started)
    tell_over(run, t, on_end, 0);
  else
    tell(run, TOLD_START, t, 0);
  run->live->started = true;
}

/* }========================================================================= */

/* {=============================== going on ================================ */

static void let_go(struct trace_run *run, struct thread *t) {
  if (!thread_waits(t) || run->halted) return;
  switch (thread_move(t)) {
    case STAND_ARRIVED: arrive(run, t); break;
    case STAND_SHOWN: arrive_ask(run, t); break;
    default: thread_resume(t, t->sig);
  }
}

/* Calls that the observer has not seen come first: one may halt the run again. */
static void let_go_arrived(struct trace_run *run, struct thread *t) {
  if (t->stand == STAND_ARRIVED) let_go(run, t);
}

static void go(struct trace_run *run, bool every) {
  struct thread *t;
  run->every = every;
  run->halted = run->live->asked = false;
  for (t = TAILQ_FIRST(&run->queue.threads); t != NULL; t = TAILQ_NEXT(t, queue.by_turn)) {
    if (t->stand == STAND_BUSY) thread_move(t);
    t->seccomp.unread = t->seccomp.unread || !every;
  }
  for_each(run, let_go_arrived);
  for_each(run, let_go);
  run->stopped_by = 0; /* until the next is */
  if (!all_listen(run)) return;
  for (t = TAILQ_FIRST(&run->queue.threads); t != NULL; t = TAILQ_NEXT(t, queue.by_turn))
    if (t->proc != NULL) kill(t->proc->tgid, SIGCONT);
}

/* Halts the run, and says why. */
static void come_to_rest(struct trace_run *run, struct trace_event *event) {
  struct live *live = run->live;
  const struct thread *t;
  run_loop(run);
  affinity_release(&run->affinity);
  if (live->event.told == TOLD_INTERRUPT)
    for (t = TAILQ_FIRST(&run->queue.threads); t != NULL; t = TAILQ_NEXT(t, queue.by_turn))
      if (t->proc != NULL && t->tid == t->proc->tgid)
        t->proc->owes_sigint = signal_shared(t, SIGINT);
  *event = live->event;
  if (run->threads.n == 0) *event = (struct trace_event){.told = TOLD_END, .wstatus = run->wstatus};
  live->event.told = TOLD_NOTHING;
  run->halted = true;
}

int trace_live_go(struct trace_run *run, bool every, struct trace_event *event) {
  struct live *live = run->live;
  if (live->inside)
    return state_fail(run->st, LENCASE_EPERM, "the program is running: handlers cannot resume it");
  live->inside = true;
  if (live->event.told == TOLD_NOTHING) go(run, !extend_filters(run) || every);
  come_to_rest(run, event);
  live->inside = false;
  return LENCASE_OK;
}

int trace_live_answer(struct trace_run *run, pid_t tid, const struct route_entry *first) {
  struct thread *t = thread_find(run, tid);
  struct flight *f;
  uint64_t words[LENCASE_MAXARGS];
  if (run->live->inside)
    return state_fail(run->st, LENCASE_EPERM, "the program is running: handlers cannot do this");
  if (t == NULL || !thread_waits_at_call(t))
    return state_fail(run->st, LENCASE_EINVAL, "thread %d is not at a call", (int)tid);
  f = &t->now;
  thread_move(t);
  f->on_end = END_HALTS;
  regs_words(&f->regs, words);
  run->live->inside = true;
  if (first == NULL)
    arrive_ask(run, t);
  else
    flight_act(run, t,
               call_ask(t->proc->cage, t, (int32_t)f->regs.orig_rax, words, first, &f->call));
  run->live->inside = false;
  return LENCASE_OK;
}

/* }========================================================================= */

/* {============================ opening, closing =========================== */

/* Its process group and its input are not the prompt's. */
static void own_group(const struct trace_run *run) {
  int fd;
  setpgid(0, 0);
  if (!run->live->observer.no_input) return;
  fd = open("/dev/null", O_RDONLY);
  if (fd > 0) dup2(fd, STDIN_FILENO);
  if (fd > 0) close(fd);
}

static const struct observer run_observed = {
    .handles_any = true,
    .child = own_group,
    .is_still = halted_and_still,
    .wait = wait_or_halt,
    .shows = shows_call,
    .asks = note_asked,
    .had_asked = had_asked,
    .carried = tell_carried,
    .over = tell_over,
    .lost = tell_lost,
    .execed = tell_execed,
    .takes = takes_sigint,
};

static int live_begin(struct lencase_state *st, const struct trace_observer *observer,
                      struct trace_run **out) {
  struct sigaction sa = {.sa_handler = relay_child, .sa_flags = SA_RESTART};
  int rc = run_begin(st, out);
  struct trace_run *run = *out;
  if (run == NULL) return rc;
  supervise_bear(&run->mask);
  sigaction(SIGCHLD, &sa, &run->old_sigchld);
  run->live = state_new(st, sizeof *run->live);
  if (run->live == NULL) return state_fail(st, LENCASE_ENOMEM, "no memory for a run");
  run->live->observer = *observer;
  run->observer = &run_observed;
  return rc;
}

static void live_end(struct trace_run *run) {
  supervise_unbear(&run->mask);
  sigaction(SIGCHLD, &run->old_sigchld, NULL);
  state_free(run->st, run->live, sizeof *run->live);
  run->live = NULL;
  run->observer = &run_unobserved;
  run_end(run);
}

/* What a run that could not begin leaves. */
static int live_failed(struct trace_run **run, int rc) {
  if (*run != NULL) live_end(*run);
  *run = NULL;
  return rc;
}

static int check_there(const struct trace_run *run, const struct trace_event *event) {
  if (event->told != TOLD_END) return LENCASE_OK;
  return state_fail(run->st, LENCASE_EHOST, "the program ended before it could be stopped");
}

int trace_live_start(struct lencase_state *st, const struct trace_observer *observer,
                     char *const argv[], struct trace_run **run, int *err) {
  struct trace_event event;
  int rc;
  *run = NULL;
  rc = live_begin(st, observer, run);
  if (rc == LENCASE_OK) rc = start_program(*run, argv);
  if (rc != LENCASE_OK) return live_failed(run, rc);
  run_hide(*run);
  come_to_rest(*run, &event);
  rc = start_outcome(*run, err);
  if (rc == LENCASE_OK) rc = check_there(*run, &event);
  return rc == LENCASE_OK ? rc : live_failed(run, rc);
}

int trace_live_attach(struct lencase_state *st, const struct trace_observer *observer, pid_t pid,
                      struct trace_run **run) {
  struct trace_event event;
  int rc;
  *run = NULL;
  rc = live_begin(st, observer, run);
  if (rc == LENCASE_OK) rc = attach_to(*run, pid);
  if (*run == NULL || (*run)->threads.n == 0) return live_failed(run, rc);
  (*run)->live->started = true;
  run_hide(*run);
  tell(*run, TOLD_START, NULL, 0);
  come_to_rest(*run, &event);
  if (rc == LENCASE_OK) rc = attach_check(*run);
  if (rc == LENCASE_OK) rc = check_there(*run, &event);
  if (rc == LENCASE_OK) return rc;
  attach_leave_all(*run);
  return live_failed(run, rc);
}

void trace_live_close(struct trace_run *run, size_t *killed) {
  const struct thread *t;
  *killed = 0;
  if (run->attached) {
    attach_leave_all(run);
  } else {
    for (t = TAILQ_FIRST(&run->queue.threads); t != NULL; t = TAILQ_NEXT(t, queue.by_turn))
      *killed += t->proc != NULL && t->tid == t->proc->tgid;
    run->live->closing = true;
    run->halted = false;
    run_loop(run);
  }
  live_end(run);
}

/* }========================================================================= */

/* {================================ looking ================================ */

void trace_live_each(const struct trace_run *run, void *ud,
                     void (*f)(void *ud, const struct trace_thread *t)) {
  const struct thread *t;
  struct trace_thread out;
  size_t i;
  for (i = 0; i < run->threads.nbuckets; i++)
    for (t = run->threads.buckets[i]; t != NULL; t = t->chain) {
      if (t->proc == NULL) continue;
      describe(t, &out);
      f(ud, &out);
    }
}

bool trace_live_regs(const struct trace_run *run, pid_t tid, struct user_regs_struct *regs) {
  const struct thread *t = thread_find(run, tid);
  return t != NULL && thread_waits(t) && regs_get(t, regs);
}

pid_t trace_live_pid(const struct trace_run *run) {
  return run->root;
}

/* }========================================================================= */
