/*
** steps.c - steps of a stopped thread that are waited for
*/

#include "trace_int.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* It may have been killed, and that told, before it was made to do anything. */
static bool steps_told(struct steps *s, int *status) {
  pid_t tid;
  if (queue_take(s->t, status)) return true;
  do {
    tid = waitpid(s->t->tid, status, __WALL);
  } while (tid < 0 && errno == EINTR);
  return tid > 0;
}

static bool steps_wait(struct steps *s, int *status) {
  if (!steps_told(s, status)) return false;
  if (WIFSTOPPED(*status)) return true;
  s->t->ended = true;
  s->t->status = *status;
  return false;
}

/* What the thread's own instructions raise, whatever it blocks: going on would raise it again. */
static bool is_fault(int sig) {
  return sig == SIGSEGV || sig == SIGTRAP || sig == SIGBUS || sig == SIGILL || sig == SIGFPE;
}

bool steps_stop(struct steps *s, long request, enum stop_kind want) {
  int status;
  while (steps_wait(s, &status)) {
    enum stop_kind kind = stop_kind(status);
    if (kind == want) return true;
    if (kind == STOP_SIGNAL && is_fault(WSTOPSIG(status))) return false;
    if (kind == STOP_SIGNAL) s->stopped_by = WSTOPSIG(status);
    if (ptrace((enum __ptrace_request)request, s->t->tid, 0, 0) != 0) return false;
  }
  return false;
}

bool steps_go(struct steps *s, long request, enum stop_kind want) {
  return ptrace((enum __ptrace_request)request, s->t->tid, 0, 0) == 0 &&
         steps_stop(s, request, want);
}

bool steps_enter(struct steps *s, uint64_t site, int32_t nr,
                 const uint64_t words[LENCASE_MAXARGS]) {
  struct user_regs_struct regs = s->regs;
  regs_set_call(&regs, nr, words);
  regs.rax = regs.orig_rax;
  regs.orig_rax = (unsigned long long)-1;
  regs.rip = site;
  return regs_set(s->t, &regs) && steps_go(s, PTRACE_SYSCALL, STOP_SYSCALL);
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

/* {================================ injecting ============================== */

static bool at_entry(const struct thread *t) {
  struct __ptrace_syscall_info info;
  return ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof info, &info) > 0 &&
         (info.op == PTRACE_SYSCALL_INFO_ENTRY || info.op == PTRACE_SYSCALL_INFO_SECCOMP);
}

/* The call that it was about to make, which may have been answered already: orig_rax is -1 then. */
static bool stand_again(struct steps *s) {
  const struct flight *f = &s->t->now;
  uint64_t own[LENCASE_MAXARGS];
  if ((int64_t)s->regs.orig_rax < 0) return regs_set(s->t, &s->regs);
  regs_words(&s->regs, own);
  return steps_enter(s, s->regs.rip - 2, (int32_t)s->regs.orig_rax, own) &&
         (f->by_entry || steps_go(s, PTRACE_CONT, STOP_SECCOMP));
}

/* The call that the thread is about to make is skipped first: flight_skip. */
static int64_t inject_at_call(struct steps *s, uint64_t site, int32_t nr,
                              const uint64_t words[LENCASE_MAXARGS]) {
  int64_t result;
  struct user_regs_struct regs = s->regs;
  flight_skip(s->t, &regs);
  if (!regs_set(s->t, &regs) || !steps_go(s, PTRACE_SYSCALL, STOP_SYSCALL)) return -ESRCH;
  if (s->t->ended) return -ESRCH;
  result = steps_call(s, site, nr, words);
  return stand_again(s) ? result : -ESRCH;
}

/* What the thread was in goes on as the kernel sees fit, which it does behind a stop. */
static int64_t inject_anywhere(struct steps *s, uint64_t site, int32_t nr,
                               const uint64_t words[LENCASE_MAXARGS]) {
  int64_t result = steps_call(s, site, nr, words);
  if (s->t->ended || !regs_set(s->t, &s->regs)) return -ESRCH;
  if (ptrace(PTRACE_INTERRUPT, s->t->tid, 0, 0) == 0) s->t->interrupted = true;
  return result;
}

int64_t steps_inject(struct trace_run *run, struct thread *t, uint64_t site, int32_t nr,
                     const uint64_t words[LENCASE_MAXARGS]) {
  struct steps s = {.run = run, .t = t};
  int64_t result;
  if (!regs_get(t, &s.regs)) return -ESRCH;
  thread_mask(t);
  result = at_entry(t) ? inject_at_call(&s, site, nr, words) : inject_anywhere(&s, site, nr, words);
  if (t->ended) return result;
  thread_unmask(t);
  if (s.stopped_by != 0) syscall(SYS_tgkill, t->proc->tgid, t->tid, s.stopped_by);
  return result;
}

bool steps_possible(const struct thread *t) {
  struct user_regs_struct regs;
  if (!t->waits || t->state != THREAD_RUN) return false;
  if (t->shown || t->arrived || !at_entry(t)) return true;
  return regs_get(t, &regs) && (int64_t)regs.orig_rax < 0;
}

/* }========================================================================= */
