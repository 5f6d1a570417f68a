/*
** steps.c - steps of a stopped thread that are waited for
*/

#include "trace_int.h"

#include <errno.h>
#include <sys/wait.h>

static bool steps_wait(struct steps *s, int *status) {
  pid_t tid;
  do {
    tid = waitpid(s->t->tid, status, __WALL);
  } while (tid < 0 && errno == EINTR);
  if (tid < 0) return false;
  if (WIFSTOPPED(*status)) return true;
  s->t->ended = true;
  s->t->status = *status;
  return false;
}

bool steps_stop(struct steps *s, long request, enum stop_kind want) {
  int status;
  while (steps_wait(s, &status)) {
    enum stop_kind kind = stop_kind(status);
    if (kind == want) return true;
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
