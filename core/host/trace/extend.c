/*
** extend.c - calls that are handled from now on
**
** While a run is halted, handlers come and go. A program that we have started gets another filter
** for what is new, by an injected call, with TSYNC for all threads of a process; filters add
** up, and children and new programs inherit them. What is not handled any more is still trapped,
** and let through without asking a handler.
**
** Where that is not possible every call stops instead (PTRACE_SYSCALL), which is slow and as
** correct: for programs that are not ours (attach.c), those whose own filters refuse what we would
** inject, those that the kernel holds, and those that may not load a filter. The
** last have given up a privilege: prctl(PR_SET_NO_NEW_PRIVS) would help and change what they are.
*/

#include "trace_int.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>

enum { CODE_MAX = 4096 }; /* the kernel's own limit */

/* What seccomp(2) takes, as it lies in the window. */
struct program {
  struct sock_fprog head;
  struct sock_filter code[CODE_MAX];
};

/* {================================ extending ============================== */

/* The filter lies where the program's threads can read and not write. */
static bool load(struct trace_run *run, struct thread *t, const struct program *p, size_t n) {
  struct mem_seg seg = {.size = sizeof p->head + n * sizeof *p->code};
  struct sock_fprog head = {.len = (unsigned short)n};
  uint64_t words[LENCASE_MAXARGS] = {SECCOMP_SET_MODE_FILTER,
                                     SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW};
  int64_t result = -EPERM;
  if (window_take(run, t, &seg) != LENCASE_OK) return false;
  words[2] = seg.addr;
  head.filter = (struct sock_filter *)(uintptr_t)(seg.addr + sizeof head);
  memcpy(seg.data, &head, sizeof head);
  memcpy((char *)seg.data + sizeof head, p->code, n * sizeof *p->code);
  if (foreign_allows(t, t->proc->space->window, SYS_seccomp, words))
    result = steps_inject(run, t, t->proc->space->window, SYS_seccomp, words);
  window_give(t->run, t->proc->space, &seg);
  return result == 0;
}

static bool extend_process(struct trace_run *run, const struct process *proc,
                           const struct program *p, size_t n) {
  struct thread *t = proc->threads;
  if (proc->space->window == 0) return false;
  while (t != NULL && !steps_possible(t)) t = t->others;
  return t != NULL && load(run, t, p, n);
}

/* A process whose birth is not reported yet lacks filters that it does not inherit. */
static bool extend_all(struct trace_run *run, const struct program *p, size_t n) {
  struct thread *t;
  bool all = true;
  for (t = TAILQ_FIRST(&run->queue.threads); t != NULL; t = TAILQ_NEXT(t, queue.by_turn))
    if (t->proc == NULL)
      all = false;
    else if (t->tid == t->proc->tgid)
      all = extend_process(run, t->proc, p, n) && all;
  return all;
}

static bool any_wanted(const struct trace_run *run) {
  const struct thread *t;
  size_t i;
  for (i = 0; i < run->threads.nbuckets; i++)
    for (t = run->threads.buckets[i]; t != NULL; t = t->chain)
      if (t->proc != NULL && filter_any_wanted(t->proc->cage)) return true;
  return false;
}

bool extend_filters(struct trace_run *run) {
  struct program *p;
  size_t n = 0;
  if (run->attached || run->filters_short) return !any_wanted(run);
  p = state_new(run->st, sizeof *p);
  if (p == NULL || filter_build_more(run, p->code, CODE_MAX, &n) != LENCASE_OK)
    run->filters_short = true;
  else if (n > 0)
    run->filters_short = !extend_all(run, p, n);
  state_free(run->st, p, sizeof *p);
  return !run->filters_short || !any_wanted(run);
}

/* }========================================================================= */
