/*
** foreign.c - seccomp filters that a program loads itself
**
** They add up, are inherited through fork and exec, and answer injected calls as they answer the
** program's own: with an errno, or by killing it. So each is kept as it was loaded (the kernel is
** given our copy), and is run here on a call before that is injected. Where the filters refuse it,
** the host falls back: to memory that the program lends instead of a window, or to its own
** arguments.
**
** A filter may have a listener, which can let a call go on that ours would have stopped for: the
** kernel lets one filter in a chain have one, and we give ours up for the program's. The calls of
** its threads then stop at their entry, before all filters.
**
** Those of a program that was attached to are read when needed, where the kernel allows it. A
** thread whose filters are unknown makes no calls but its own.
**
** Strict mode, which the kernel refuses once there is a filter, is emulated here, at the same
** stops.
*/

#include "trace_int.h"

#include "../bpf.h"

#include <errno.h>
#include <linux/audit.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One filter, with those that its thread had before it. */
struct foreign {
  unsigned refs;
  struct foreign *before;
  size_t n;
  struct sock_filter code[];
};

#define NOWHERE UINT64_C(0xfffffffffffff000) /* no program has anything there */

/* A call that loads one, under way. */
struct foreign_load {
  struct foreign *filter; /* NULL: strict mode, or none that the kernel will take */
  bool strict, all_threads, listened;
  struct mem_seg seg; /* what the kernel reads */
  struct space *space;
};

/* {================================= judging =============================== */

/* As the kernel has it: the lower comes first. */
static int32_t rank(uint32_t answer) {
  return (int32_t)(answer & SECCOMP_RET_ACTION_FULL);
}

/* What all of a thread's filters say of a call that is made by the instruction at 'site'. */
static uint32_t judge(const struct thread *t, uint64_t site, int32_t nr,
                      const uint64_t words[LENCASE_MAXARGS]) {
  struct seccomp_data data = {.nr = nr, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = site + 2};
  uint32_t answer = SECCOMP_RET_ALLOW;
  const struct foreign *f;
  memcpy(data.args, words, sizeof data.args);
  for (f = t->seccomp.filters; f != NULL; f = f->before) {
    uint32_t one = bpf_answer(f->code, &data);
    if (rank(one) < rank(answer)) answer = one;
  }
  return answer & SECCOMP_RET_ACTION_FULL;
}

bool foreign_allows(const struct thread *t, uint64_t site, int32_t nr,
                    const uint64_t words[LENCASE_MAXARGS]) {
  uint32_t answer;
  if (t->seccomp.unjudged) return false;
  answer = judge(t, site, nr, words);
  return answer == SECCOMP_RET_ALLOW || answer == SECCOMP_RET_LOG;
}

bool foreign_bears(const struct thread *t, uint64_t site, int32_t nr,
                   const uint64_t words[LENCASE_MAXARGS]) {
  const struct user_regs_struct *regs = &t->now.regs;
  uint64_t own[LENCASE_MAXARGS];
  if (t->seccomp.filters == NULL && !t->seccomp.unjudged) return true;
  regs_words(regs, own);
  if (nr == (int32_t)regs->orig_rax && memcmp(own, words, sizeof own) == 0) return true;
  return !t->seccomp.unjudged && !bpf_ends_program(judge(t, site, nr, words));
}

int32_t foreign_harmless(const struct thread *t) {
  static const int32_t calls[] = {SYS_getpid, SYS_gettid,  SYS_getuid,  SYS_geteuid,
                                  SYS_getgid, SYS_getppid, SYS_getpgrp, SYS_sched_yield};
  uint64_t words[LENCASE_MAXARGS];
  size_t i;
  regs_words(&t->now.regs, words);
  for (i = 0; i < sizeof calls / sizeof *calls; i++)
    if (foreign_allows(t, t->now.regs.rip - 2, calls[i], words)) return calls[i];
  return calls[0];
}

/* }========================================================================= */

/* {================================== chains =============================== */

static void filters_unref(struct trace_run *run, struct foreign *f) {
  assert(f == NULL || f->refs > 0);
  while (f != NULL && --f->refs == 0) {
    struct foreign *before = f->before;
    state_free(run->st, f, sizeof *f + f->n * sizeof *f->code);
    f = before;
  }
}

static void filters_set(struct thread *t, struct foreign *f) {
  if (f != NULL) f->refs++;
  filters_unref(t->run, t->seccomp.filters);
  t->seccomp.filters = f;
}

void foreign_inherit(struct thread *t, const struct thread *parent) {
  filters_set(t, parent->seccomp.filters);
  t->seccomp = parent->seccomp;
  t->seccomp.unread = true;
}

void foreign_orphan(struct thread *t, const struct process *parent) {
  t->seccomp.unjudged = parent->own_filters;
  t->seccomp.listened = parent->own_filters && t->run->wanted && t->run->listener < 0;
}

void foreign_gone(struct thread *t) {
  filters_set(t, NULL);
}

static void filters_push(struct thread *t, struct foreign *f) {
  assert(f->before == NULL);
  f->before = t->seccomp.filters; /* with the reference that was the thread's */
  t->seccomp.filters = f;
}

/* The filter that so many came before, or NULL: errno is ENOENT when there is none. */
static struct foreign *filter_of_kernel(const struct thread *t, size_t nth) {
  long n = ptrace(PTRACE_SECCOMP_GET_FILTER, t->tid, nth, NULL);
  struct foreign *f = n > 0 ? state_new(t->run->st, sizeof *f + (size_t)n * sizeof *f->code) : NULL;
  if (n > 0 && f == NULL) errno = ENOMEM;
  if (f == NULL) return NULL;
  f->refs = 1;
  f->n = (size_t)n;
  if (ptrace(PTRACE_SECCOMP_GET_FILTER, t->tid, nth, f->code) == n && bpf_is_sound(f->code, f->n))
    return f;
  filters_unref(t->run, f);
  errno = EIO;
  return NULL;
}

static void tell_unread(struct trace_run *run, const struct thread *t) {
  if (!run->told_unread)
    state_log(
        run->st,
        "process %d has seccomp filters that cannot be read here (root may, where lencase has none "
        "itself): no call is made on its behalf, and they see a call that is answered as getpid, "
        "which "
        "they may end it for",
        (int)t->proc->tgid);
  run->told_unread = true;
}

/* Whether it may have filters of its own; no more than we have are those of our container. */
static bool has_own_filters(pid_t tid) {
  int mode = thread_status(tid, "Seccomp:");
  if (mode != SECCOMP_MODE_FILTER) return mode != SECCOMP_MODE_DISABLED;
  return thread_status(tid, "Seccomp_filters:") > thread_status(gettid(), "Seccomp_filters:");
}

void foreign_read(struct thread *t) {
  struct foreign *f;
  size_t n = 0;
  for (f = t->seccomp.filters; f != NULL; f = f->before) n++;
  while ((f = filter_of_kernel(t, n)) != NULL) {
    filters_push(t, f);
    n++;
  }
  t->seccomp.unjudged = errno != ENOENT && has_own_filters(t->tid);
  t->seccomp.unread = false;
  if (n > 0 || t->seccomp.unjudged) t->proc->own_filters = true;
  if (t->seccomp.unjudged) tell_unread(t->run, t);
}

/* }========================================================================= */

/* {================================= loading =============================== */

static struct foreign_load *load_new(struct thread *t) {
  struct foreign_load *load = state_new(t->run->st, sizeof *load);
  if (load == NULL) return NULL;
  foreign_forget(t->run, &t->now);
  load->space = t->proc->space;
  load->space->refs++;
  t->now.load = load;
  return load;
}

void foreign_forget(struct trace_run *run, struct flight *f) {
  struct foreign_load *load = f->load;
  if (load == NULL) return;
  if (load->seg.size > 0 && load->space->window_size > 0)
    window_give(run, load->space, &load->seg);
  else if (load->seg.size > 0)
    lend_give(run, load->space, &load->seg);
  if (load->filter != NULL) filters_unref(run, load->filter);
  space_unref(run, load->space);
  state_free(run->st, load, sizeof *load);
  f->load = NULL;
}

/* The program's filter, copied once; NULL: *err, or (0) it is invalid or cannot be read. */
static struct foreign *copy_filter(struct thread *t, const struct sock_fprog *prog, int *err) {
  size_t bytes = prog->len * sizeof *prog->filter;
  struct foreign *f = NULL;
  *err = 0;
  if (prog->len == 0 || prog->len > BPF_MAXINSNS) return NULL;
  f = state_new(t->run->st, sizeof *f + bytes);
  if (f == NULL) {
    *err = ENOMEM;
    return NULL;
  }
  f->refs = 1;
  f->n = prog->len;
  if (thread_read(t, (uintptr_t)prog->filter, f->code, bytes)) return f;
  filters_unref(t->run, f);
  return NULL;
}

/*
** Lays the copy where the kernel is to read it: the address of its head, 0: there is no place.
** Without one, a head for the kernel to refuse: it finds nothing behind it, whatever has come there
** since.
*/
static uint64_t place_filter(struct thread *t, struct foreign_load *load,
                             const struct sock_fprog *prog) {
  const struct foreign *f = load->filter;
  size_t bytes = f != NULL ? f->n * sizeof *f->code : 0;
  struct mem_seg seg = {.size = sizeof *prog + bytes};
  struct sock_fprog head = {.len = prog->len};
  bool lent = !window_ready(t->run, t);
  uint64_t code = prog->filter != NULL ? NOWHERE : 0;
  assert(f == NULL || f->n == prog->len);
  if ((lent ? lend_take(t->run, t, &seg) : window_take(t->run, t, &seg)) != LENCASE_OK) return 0;
  if (f != NULL) code = seg.addr + sizeof head;
  head.filter = (struct sock_filter *)(uintptr_t)code;
  memcpy(seg.data, &head, sizeof head);
  if (f != NULL) memcpy((char *)seg.data + sizeof head, f->code, bytes);
  load->seg = seg;
  return !lent || thread_write(t, seg.addr, seg.data, seg.size) ? seg.addr : 0;
}

/* The kernel lets one filter of a chain have a listener. */
static void give_up_listener(const struct thread *t) {
  struct trace_run *run = t->run;
  close(run->listener);
  run->listener = -1;
  run->window.lack = "a program has a seccomp listener of its own";
  run->window.lack_err = EBUSY;
  if (!run->wanted) return;
  state_log(run->st,
            "cage %d loads a seccomp filter with a listener, which could let calls go on: every "
            "call of that program "
            "stops from now on, which is slow",
            (int)t->proc->tgid);
}

/* 'flags' as of seccomp(2). */
static bool load_copy(struct thread *t, const struct sock_fprog *prog, uint32_t flags,
                      int64_t *result) {
  struct foreign_load *load = load_new(t);
  uint64_t at;
  int err = ENOMEM;
  if (load != NULL) load->filter = copy_filter(t, prog, &err);
  *result = -err;
  if (err != 0) return false;
  load->all_threads = (flags & SECCOMP_FILTER_FLAG_TSYNC) != 0;
  load->listened = (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0;
  at = place_filter(t, load, prog);
  if (at != 0) {
    t->now.words[2] = at;
    if (load->filter != NULL && load->listened && t->run->listener >= 0) give_up_listener(t);
  } else { /* the kernel reads what may not be what we have */
    t->seccomp.unjudged = t->proc->own_filters = true;
    foreign_forget(t->run, &t->now);
  }
  return true;
}

static bool load_filter(struct thread *t, uint32_t flags, int64_t *result) {
  const uint32_t listened = SECCOMP_FILTER_FLAG_NEW_LISTENER;
  const uint32_t listened_all = SECCOMP_FILTER_FLAG_TSYNC | listened;
  struct sock_fprog prog = {0};
  *result = -EBUSY; /* threads that run would get a filter that could let their calls go on */
  if ((flags & listened_all) == listened_all && t->proc->threads->others != NULL && t->run->wanted)
    return false;
  if (!thread_read(t, t->now.words[2], &prog, sizeof prog)) {
    t->now.words[2] = NOWHERE;
    return true;
  }
  return load_copy(t, &prog, flags, result);
}

/*
** With a filter in force the kernel says EINVAL. Else strict mode is emulated: it also disables
** rdtsc, for which prctl(PR_SET_TSC) is made instead.
*/
static bool set_strict(struct thread *t, int64_t *result) {
  static const uint64_t words[LENCASE_MAXARGS] = {PR_SET_TSC, PR_TSC_SIGSEGV};
  if (foreign_mode(t) != 0) return true;
  window_ready(t->run, t); /* nothing can be mapped afterwards */
  *result = -ENOMEM;
  if (load_new(t) == NULL) return false;
  t->now.load->strict = true;
  t->now.nr = SYS_prctl;
  memcpy(t->now.words, words, sizeof words);
  return true;
}

bool foreign_seccomp(struct thread *t, int64_t *result) {
  const uint64_t *words = t->now.words;
  switch ((uint32_t)words[0]) {
    case SECCOMP_SET_MODE_FILTER: return load_filter(t, (uint32_t)words[1], result);
    case SECCOMP_SET_MODE_STRICT:
      return (uint32_t)words[1] != 0 || words[2] != 0 || set_strict(t, result);
    default: return true;
  }
}

bool foreign_prctl(struct thread *t, int64_t *result) {
  switch (t->now.words[1]) {
    case SECCOMP_MODE_FILTER: return load_filter(t, 0, result);
    case SECCOMP_MODE_STRICT: return set_strict(t, result);
    default: return true;
  }
}

int foreign_mode(const struct thread *t) {
  return t->seccomp.filters != NULL || t->seccomp.unjudged ? SECCOMP_MODE_FILTER
                                                           : prctl(PR_GET_SECCOMP);
}

/*
** It is in force. One with instructions that bpf.c does not know cannot be judged. By TSYNC the
** other threads have what this one has; where one is in strict mode the kernel refuses that.
*/
static void has_filter(struct thread *t, struct foreign_load *load) {
  struct foreign *f = load->filter;
  struct thread *other;
  t->proc->own_filters = true;
  t->seccomp.listened = t->seccomp.listened || (load->listened && t->run->wanted);
  if (bpf_is_sound(f->code, f->n)) {
    load->filter = NULL;
    filters_push(t, f);
  } else {
    t->seccomp.unjudged = true;
  }
  for (other = t->proc->threads; load->all_threads && other != NULL; other = other->others)
    if (other != t) foreign_inherit(other, t);
}

void foreign_over(struct thread *t, int64_t result) {
  struct foreign_load *load = t->now.load;
  bool loaded;
  if (load == NULL) return;
  loaded = load->listened ? result >= 0 : result == 0; /* the listener's descriptor is the result */
  if (loaded && load->filter != NULL) has_filter(t, load);
  if (load->strict && result == 0) t->seccomp.strict = true;
  foreign_forget(t->run, &t->now);
}

/* }========================================================================= */

/* {=============================== strict mode ============================= */

bool foreign_strict(struct trace_run *run, struct thread *t) {
  struct flight *f = &t->now;
  switch ((int32_t)f->regs.orig_rax) {
    case SYS_read:
    case SYS_write:
    case SYS_exit:
    case SYS_rt_sigreturn: return false;
    default: break;
  }
  if (t->proc->threads->others == NULL) {
    kill(t->proc->tgid, SIGKILL);
    return true;
  }
  f->nr = SYS_exit; /* the thread alone ends */
  memset(f->words, 0, sizeof f->words);
  f->words[0] = SIGKILL;
  flight_down(run, t);
  return true;
}

/* }========================================================================= */
