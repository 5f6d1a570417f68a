/*
** tame.c - calls that would let a tracee escape, or that the host must know of
*/

#include "trace_int.h"

#include <errno.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

typedef bool (*tame_fn)(struct trace_run *run, struct thread *t, int64_t *result);

/* A child that is not traced would run without any handler. */
static bool tame_clone(struct trace_run *run, struct thread *t, int64_t *result) {
  (void)run;
  (void)result;
  t->now.words[0] &= ~(uint64_t)CLONE_UNTRACED;
  return true;
}

/*
** The flags lie in memory that other threads can write: the kernel reads a copy
** of ours. An invalid size is left to the kernel, which refuses it.
*/
static bool tame_clone3(struct trace_run *run, struct thread *t, int64_t *result) {
  struct flight *f = &t->now;
  uint64_t flags;
  if (f->words[1] < CLONE_ARGS_SIZE_VER0 || f->words[1] > 4096) return true;
  if (f->own.size != 0) window_give(t->run, t->proc->space, &f->own);
  f->own.size = f->words[1];
  *result = -ENOSYS;
  if (window_take(run, t, &f->own) != LENCASE_OK) {
    f->own.size = 0;
    return false;
  }
  *result = -EFAULT;
  if (!thread_read(t, f->words[0], f->own.data, f->own.size)) return false;
  memcpy(&flags, f->own.data, sizeof flags);
  flags &= ~(uint64_t)CLONE_UNTRACED;
  memcpy(f->own.data, &flags, sizeof flags);
  f->words[0] = f->own.addr;
  return true;
}

static bool tame_getaffinity(struct trace_run *run, struct thread *t, int64_t *result) {
  (void)t;
  (void)result;
  affinity_release(&run->affinity);
  return true;
}

static bool tame_setaffinity(struct trace_run *run, struct thread *t, int64_t *result) {
  const struct thread *target = thread_find(run, (pid_t)t->now.words[0]);
  t->proc->keeps_mask = true;
  if (target != NULL && target->proc != NULL) target->proc->keeps_mask = true;
  return tame_getaffinity(run, t, result);
}

/* From now on a filter of its own answers what we inject. */
static bool tame_seccomp(struct trace_run *run, struct thread *t, int64_t *result) {
  (void)run;
  return foreign_seccomp(t, result);
}

static bool tame_prctl(struct trace_run *run, struct thread *t, int64_t *result) {
  (void)run;
  switch ((uint32_t)t->now.words[0]) {
    case PR_SET_SECCOMP: return foreign_prctl(t, result);
    case PR_GET_SECCOMP: /* it does not see our filter; its own may answer */
      *result = foreign_mode(t);
      return *result < 0 || !foreign_allows(t, t->now.site, SYS_prctl, t->now.words);
    default: return true;
  }
}

/* Opens files without a system call that could be seen: never forwarded. */
static bool tame_io_uring(struct trace_run *run, struct thread *t, int64_t *result) {
  (void)run;
  (void)t;
  *result = -ENOSYS;
  return false;
}

/* It takes its registers from the stack it is called on: from nowhere else. */
static bool tame_sigreturn(struct trace_run *run, struct thread *t, int64_t *result) {
  (void)run;
  *result = -ENOSYS;
  return (int32_t)t->now.regs.orig_rax == SYS_rt_sigreturn;
}

static const struct {
  int32_t nr;
  tame_fn fn;
} tamers[] = {
    {SYS_rt_sigreturn, tame_sigreturn},
    {SYS_clone, tame_clone},
    {SYS_clone3, tame_clone3},
    {SYS_sched_getaffinity, tame_getaffinity},
    {SYS_sched_setaffinity, tame_setaffinity},
    {SYS_prctl, tame_prctl},
    {SYS_seccomp, tame_seccomp},
    {SYS_io_uring_setup, tame_io_uring},
};

bool tame(struct trace_run *run, struct thread *t, int64_t *result) {
  size_t i;
  if (run->attached && (t->now.nr == SYS_seccomp || t->now.nr == SYS_prctl))
    t->proc->own_filters = true;                                   /* or it is about to have some */
  if (run->attached && t->now.nr != SYS_rt_sigreturn) return true; /* it is as free as it was */
  for (i = 0; i < sizeof tamers / sizeof *tamers; i++)
    if (tamers[i].nr == t->now.nr) return tamers[i].fn(run, t, result);
  return true;
}
