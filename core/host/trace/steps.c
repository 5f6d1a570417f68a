/*
** steps.c - steps of a stopped thread that are waited for
*/

#include "trace_int.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* {================================= waiting =============================== */

/* Nanoseconds: looked for without a pause, then with pauses, up to the longest. */
enum { LOOK = 200000, PAUSE_FIRST = 50000, PAUSE_MOST = 5000000 };

static int64_t now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static void give_up(struct steps *s) {
  state_log(
      s->run->st,
      "cage %d: thread %d does not come to the end of a call made for it (is it frozen?): ended",
      (int)s->t->proc->tgid, (int)s->t->tid);
  kill(s->t->proc->tgid, SIGKILL);
  s->over = true;
}

/* What is there now. */
static enum steps_news look(struct steps *s, int fd, int *status) {
  struct pollfd pfd = {.fd = fd, .events = POLLIN};
  pid_t tid;
  if (fd >= 0 && poll(&pfd, 1, 0) > 0 && (pfd.revents & POLLIN) != 0) return NEWS_FILE;
  if (queue_take(s->t, status)) return NEWS_STOP;
  tid = waitpid(s->t->tid, status, __WALL | WNOHANG);
  if (tid < 0 && errno != EINTR) s->over = true;
  return tid == s->t->tid ? NEWS_STOP : NEWS_NONE;
}

/*
** Others are held where they stop, but those that have ended are reaped: a thread that executes a
** program waits for the ends of the other threads of its process, and has the leader's number only
** then.
*/
static enum steps_news await(struct steps *s, int fd, int *status) {
  int64_t began = now(), pause = PAUSE_FIRST,
          patience = s->run->st->config.step_ms * INT64_C(1000000);
  enum steps_news news = look(s, fd, status);
  while (news == NEWS_NONE && !s->over) {
    int64_t waited = now() - began;
    if (waited < LOOK) {
      sched_yield();
    } else if (waited < patience) {
      nanosleep(&(struct timespec){0, pause}, NULL);
      if (2 * pause <= PAUSE_MOST) pause *= 2;
      queue_collect(s->run);
    } else {
      give_up(s);
    }
    news = s->over ? NEWS_NONE : look(s, fd, status);
  }
  return news;
}

/* The end of the thread, or another program in its place, is for the loop, as any other stop. */
enum steps_news steps_wait(struct steps *s, int fd, int *status) {
  enum steps_news news = s->over ? NEWS_NONE : await(s, fd, status);
  if (news == NEWS_STOP)
    state_debug(s->run->st, STOPS, "%d/%d: %s: waited for", (int)thread_pid(s->t), (int)s->t->tid,
                stop_text(s->t, *status, (char[STOP_TEXT]){""}));
  if (news != NEWS_STOP || (WIFSTOPPED(*status) && stop_kind(*status) != STOP_EXEC)) return news;
  queue_told(s->run, s->t->tid, *status);
  s->over = true;
  return NEWS_NONE;
}

/* }========================================================================= */

/* {================================= stepping ============================== */

bool steps_refuse(struct steps *s, const char *what) {
  thread_refuse(s->t, what);
  s->over = true;
  return false;
}

/* What the thread's own instructions raise, whatever it blocks: going on would raise it again. */
static bool is_fault(int sig) {
  return sig == SIGSEGV || sig == SIGTRAP || sig == SIGBUS || sig == SIGILL || sig == SIGFPE;
}

/* The call that enters next. */
static void expect(struct steps *s, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
                   uint64_t ip) {
  s->nr = nr;
  s->ip = ip;
  memcpy(s->words, words, sizeof s->words);
}

static bool enters(struct steps *s) {
  return thread_at_call(s->t, s->nr, s->words, s->ip) ||
         steps_refuse(s, "another call came than the one made for it");
}

/*
** A stop on the way: SIGSTOP is kept for later, a stop of job control or of ours passes, a filter
** may trap what is made.
*/
static bool passes(struct steps *s, int status) {
  switch (stop_kind(status)) {
    case STOP_SIGNAL:
      if (is_fault(WSTOPSIG(status))) return false;
      s->stopped_by = WSTOPSIG(status);
      return true;
    case STOP_GROUP: return true;
    case STOP_SECCOMP: return enters(s);
    default: return steps_refuse(s, "another stop came than the call made for it has");
  }
}

bool steps_stop(struct steps *s, enum __ptrace_request request, enum stop_kind want) {
  int status;
  while (steps_wait(s, -1, &status) == NEWS_STOP) {
    if (stop_kind(status) == want) return true;
    if (!passes(s, status)) return false;
    if (!thread_ptrace(s->t, request, 0, 0)) return false;
  }
  return false;
}

bool steps_go(struct steps *s, enum __ptrace_request request, enum stop_kind want) {
  return !s->over && thread_ptrace(s->t, request, 0, 0) && steps_stop(s, request, want);
}

bool steps_enter(struct steps *s, uint64_t site, int32_t nr,
                 const uint64_t words[LENCASE_MAXARGS]) {
  struct user_regs_struct regs = s->regs;
  regs_set_call(&regs, nr, words);
  regs.rax = regs.orig_rax;
  regs.orig_rax = (unsigned long long)-1;
  regs.rip = site;
  expect(s, nr, words, site + 2);
  return regs_set(s->t, &regs) && steps_go(s, PTRACE_SYSCALL, STOP_SYSCALL) && enters(s);
}

int64_t steps_result(struct steps *s) {
  struct user_regs_struct regs;
  return regs_get(s->t, &regs) ? (int64_t)regs.rax : -ESRCH;
}

int64_t steps_call(struct steps *s, uint64_t site, int32_t nr,
                   const uint64_t words[LENCASE_MAXARGS]) {
  if (!steps_enter(s, site, nr, words) || !steps_go(s, PTRACE_SYSCALL, STOP_SYSCALL)) return -ESRCH;
  return steps_result(s);
}

/* }========================================================================= */

/* {================================ injecting ============================== */

static bool at_entry(const struct thread *t) {
  struct __ptrace_syscall_info info;
  return thread_info(t, &info) &&
         (info.op == PTRACE_SYSCALL_INFO_ENTRY || info.op == PTRACE_SYSCALL_INFO_SECCOMP);
}

/* The call at whose entry it stands, which may have been answered already: orig_rax is -1 then. */
static bool stand_again(struct steps *s) {
  const struct flight *f = &s->t->now;
  uint64_t own[LENCASE_MAXARGS];
  if ((int64_t)s->regs.orig_rax < 0) return regs_set(s->t, &s->regs);
  regs_words(&s->regs, own);
  return steps_enter(s, s->regs.rip - 2, (int32_t)s->regs.orig_rax, own) &&
         (f->by_entry || (steps_go(s, PTRACE_CONT, STOP_SECCOMP) && enters(s)));
}

/* The call that the thread is about to make is skipped first: flight_skip. */
static int64_t detour_at_call(struct steps *s, steps_fn body, void *ud) {
  int64_t result;
  uint64_t own[LENCASE_MAXARGS];
  struct user_regs_struct regs = s->regs;
  flight_skip(s->t, &regs);
  regs_words(&regs, own);
  expect(s, (int32_t)regs.orig_rax, own, regs.rip);
  if (!regs_set(s->t, &regs) || !steps_go(s, PTRACE_SYSCALL, STOP_SYSCALL)) return -ESRCH;
  result = body(s, ud);
  if (s->over) return -ESRCH;
  if (stand_again(s)) return result;
  steps_refuse(s, "it does not come back to its own call");
  return -ESRCH;
}

/* What the thread was in goes on as the kernel sees fit, which it does behind a stop. */
static int64_t detour_anywhere(struct steps *s, steps_fn body, void *ud) {
  int64_t result = body(s, ud);
  if (!regs_set(s->t, &s->regs)) return -ESRCH;
  thread_interrupt(s->t);
  return result;
}

/* Filters of its own do not end it for what is made in the place of its call. */
static bool may_skip(const struct steps *s) {
  uint64_t own[LENCASE_MAXARGS];
  struct user_regs_struct regs = s->regs;
  flight_skip(s->t, &regs);
  regs_words(&regs, own);
  return (int64_t)regs.orig_rax < 0 ||
         foreign_allows(s->t, regs.rip - 2, (int32_t)regs.orig_rax, own);
}

int64_t steps_detour(struct trace_run *run, struct thread *t, steps_fn body, void *ud) {
  struct steps s = {.run = run, .t = t};
  bool entry = at_entry(t);
  int64_t result;
  assert(t->proc != NULL && t->request == 0);
  if (!regs_get(t, &s.regs)) return -ESRCH;
  if (entry && !may_skip(&s)) return -EPERM;
  thread_mask(t);
  result = entry ? detour_at_call(&s, body, ud) : detour_anywhere(&s, body, ud);
  if (t->queue.told) return -ESRCH;
  thread_unmask(t);
  if (s.stopped_by != 0) syscall(SYS_tgkill, t->proc->tgid, t->tid, s.stopped_by);
  return result;
}

struct one_call {
  uint64_t site;
  int32_t nr;
  const uint64_t *words;
};

static int64_t make_call(struct steps *s, void *ud) {
  const struct one_call *c = ud;
  return steps_call(s, c->site, c->nr, c->words);
}

int64_t steps_inject(struct trace_run *run, struct thread *t, uint64_t site, int32_t nr,
                     const uint64_t words[LENCASE_MAXARGS]) {
  struct one_call call = {site, nr, words};
  return steps_detour(run, t, make_call, &call);
}

bool steps_possible(const struct thread *t) {
  struct user_regs_struct regs;
  if (!thread_waits(t) || t->state != THREAD_RUN) return false;
  if (thread_waits_at_call(t) || !at_entry(t)) return true;
  return regs_get(t, &regs) && (int64_t)regs.orig_rax < 0;
}

/* }========================================================================= */
