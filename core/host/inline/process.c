/*
** process.c - threads, forks and ends of processes
**
** The child of a fork has a copy of everything, also of the grates, and each copy sees the calls of
** its own process from then on. A child that shares the memory (posix_spawn) is a second cage of
** the same grates, until it executes a program or ends.
*/

#include "inline_int.h"

#include <assert.h>
#include <asm/prctl.h>
#include <errno.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t own_pid(const struct inline_host *h) {
  return (pid_t)inline_raw3(h, SYS_getpid, 0, 0, 0);
}

/* {================================ processes ============================== */

static struct process *find(const struct inline_host *h, pid_t pid) {
  struct process *proc = h->processes;
  while (proc != NULL && !(proc->here && proc->pid == pid)) proc = proc->next;
  return proc;
}

static struct process *process_new(struct inline_host *h, pid_t pid, struct process *parent,
                                   bool shares_files) {
  struct process *proc = state_new(h->st, sizeof *proc);
  if (proc == NULL) return NULL;
  *proc = (struct process){.pid = pid, .here = true, .next = h->processes};
  proc->cage = call_cage_new(h->st, &inline_ops, proc, pid, parent != NULL ? parent->cage : NULL,
                             shares_files);
  if (proc->cage == NULL) {
    state_free(h->st, proc, sizeof *proc);
    return NULL;
  }
  h->processes = proc;
  return proc;
}

struct process *inline_self(struct inline_host *h) {
  pid_t pid = __atomic_load_n(&h->others, __ATOMIC_RELAXED) > 0 ? own_pid(h) : h->pid;
  struct process *proc = find(h, pid), *parent = NULL;
  if (proc != NULL) return proc;
  if (h->processes != NULL) { /* the first one does not ask: a filter might end it for that */
    parent = find(h, (pid_t)inline_raw3(h, SYS_getppid, 0, 0, 0));
    if (parent == NULL) parent = find(h, h->pid);
  }
  return process_new(h, pid, parent, false);
}

static void flights_drop(struct inline_host *h, const struct process *proc,
                         const struct inline_thread *thread) {
  struct flight *f, *next;
  for (f = h->flights; f != NULL; f = next) {
    next = f->next;
    if ((proc == NULL || f->proc == proc) && (thread == NULL || f->thread == thread))
      inline_flight_drop(h, f);
  }
}

static void process_forget(struct inline_host *h, struct process *proc, int wstatus) {
  struct process **p = &h->processes;
  flights_drop(h, proc, NULL);
  call_cage_exit(proc->cage, wstatus);
  while (*p != proc) p = &(*p)->next;
  *p = proc->next;
  state_free(h->st, proc, sizeof *proc);
}

/* }========================================================================= */

/* {=================================== ends ================================ */

struct ending {
  struct inline_host *h;
  pid_t pid;
  int wstatus;
};

static void step_end(void *arg) {
  const struct ending *e = arg;
  struct inline_host *h = e->h;
  struct process *proc = find(h, e->pid);
  state_debug(h->st, STOPS, "%d: ends, status 0x%x", (int)e->pid, (unsigned)e->wstatus);
  if (proc != NULL) process_forget(h, proc, e->wstatus);
  if (e->pid != h->pid) return; /* it has shared the memory of one that goes on */
  h->off = true;
  if (inline_reports(h)) inline_report_end(h);
  lencase_finish(h->st, e->wstatus);
  if (h->place.flush != NULL) h->place.flush();
}

void inline_process_end(struct inline_host *h, int wstatus) {
  struct ending e = {h, own_pid(h), wstatus};
  inline_engine(h, step_end, &e);
}

/* Delivers what was deferred, and would be lost with the thread: it may be the process's signal. */
static void settle_signals(struct arrival *a) {
  inline_leave_host(a);
  inline_close(a);
}

/* The lock is held to the end, so that no other thread finds a grate that has finished. */
static int64_t carry_exit_group(struct arrival *a, int64_t nr,
                                const uint64_t words[LENCASE_MAXARGS]) {
  struct inline_host *h = a->h;
  settle_signals(a);
  inline_lock(h);
  if (!h->off) inline_process_end(h, (int)(words[0] & 0xff) << 8);
  if (own_pid(h) == h->pid || a->thread->lent) {
    if (own_pid(h) != h->pid) inline_unlock(h);
    return inline_raw(h, nr, words);
  }
  inline_unlock(h); /* the processes that it shares the memory with go on */
  inline_raw_leave(h, nr, words[0], a->thread);
}

static void step_thread_end(void *arg) {
  const struct arrival *a = arg;
  flights_drop(a->h, NULL, a->thread);
}

static int64_t carry_exit(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct inline_host *h = a->h;
  settle_signals(a);
  if (own_pid(h) != h->pid) return carry_exit_group(a, nr, words);
  assert(__atomic_load_n(&h->threads, __ATOMIC_RELAXED) > 0);
  if (__atomic_sub_fetch(&h->threads, 1, __ATOMIC_RELAXED) == 0)
    return carry_exit_group(a, nr, words);
  inline_debug(h, "the thread ends");
  inline_lock(h);
  if (!h->off) inline_engine(h, step_thread_end, a);
  inline_unlock(h);
  inline_thread_lose(h, a->thread);
  /* with signals blocked: no signal handler may run without an area */
  inline_raw_leave(h, nr, words[0], a->thread);
}

/* }========================================================================= */

/* {=================================== fork ================================ */

struct birth {
  struct inline_host *h;
  bool shares_files;
};

/*
** In the child: the parent and the calls of its other threads are not here. What was counted so far
** is the parent's to report.
*/
static void step_born(void *arg) {
  static const struct state_news forked = {.event = "fork"};
  const struct birth *b = arg;
  struct inline_host *h = b->h;
  struct process *parent = find(h, h->pid), *proc;
  flights_drop(h, NULL, NULL);
  for (proc = h->processes; proc != NULL; proc = proc->next) proc->here = false;
  h->pid = own_pid(h);
  state_debug(h->st, STOPS, "%d: a new process of %d", (int)h->pid,
              parent != NULL ? (int)parent->pid : 0);
  if (h->place.tid != NULL) *h->place.tid = (uint32_t)h->pid;
  call_forget_mistakes(h->st);
  if (inline_reports(h)) state_tell_grates(h->st, &forked);
  process_new(h, h->pid, parent, b->shares_files);
}

static void step_flush(void *arg) {
  ((struct inline_host *)arg)->place.flush();
}

/* No thread is inside of the engine while the memory is copied. */
static int64_t carry_fork(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct inline_host *h = a->h;
  struct birth b = {h, nr == SYS_clone && (words[0] & CLONE_FILES) != 0};
  int64_t result;
  inline_lock(h);
  if (h->place.flush != NULL) inline_engine(h, step_flush, h);
  result = inline_raw(h, nr, words);
  if (result == 0) {
    inline_dispatch_on(h);
    h->others = 0;
    h->threads = 1;
    h->exec_blocks = NULL;
    inline_bytes_forked(h);
    inline_threads_keep(h, a->thread);
    inline_engine(h, step_born, &b);
    if (inline_reports(h)) inline_report_begin(h);
  }
  inline_unlock(h);
  return result;
}

/*
** A fork: a child with this thread's stack would write over the host's frames, and one with this
** memory into the grates. The parent waits as for vfork, unless it has other threads, which would
** wait for the lock as long.
*/
static int64_t carry_vfork(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t own[LENCASE_MAXARGS] = {SIGCHLD};
  (void)nr;
  (void)words;
  if (__atomic_load_n(&a->h->threads, __ATOMIC_RELAXED) == 1) own[0] |= CLONE_VFORK;
  return carry_fork(a, SYS_clone, own);
}

/* }========================================================================= */

/* {================================== clone ================================ */

/* For a thread or a child with this one's memory, on a stack of its own. */
static int64_t clone_here(struct arrival *a, const uint64_t words[LENCASE_MAXARGS], bool lent) {
  struct inline_thread *thread = inline_thread_new(a->h);
  int64_t result;
  if (thread == NULL) return -EAGAIN;
  thread->blocks_sigsys = a->thread->blocks_sigsys;
  thread->lent = lent;
  if (lent) thread->alternate = a->thread->alternate;
  result = inline_raw_clone(a, words, thread);
  if (result < 0 || lent) __atomic_store_n(&thread->busy, 0, __ATOMIC_RELEASE);
  return result;
}

static int64_t clone_thread(struct arrival *a, const uint64_t words[LENCASE_MAXARGS]) {
  uint32_t *threads = &a->h->threads;
  int64_t result;
  inline_patch_all(a->h);
  if ((words[0] & CLONE_SETTLS) == 0) a->h->shared_pointers = true;
  __atomic_add_fetch(threads, 1, __ATOMIC_RELAXED);
  result = clone_here(a, words, false);
  if (result < 0) __atomic_sub_fetch(threads, 1, __ATOMIC_RELAXED);
  if (result > 0) inline_debug(a->h, "a new thread, %d", (int)result);
  return result;
}

/* The child that shared the memory has executed a program, or was killed. */
static void step_left(void *arg) {
  const struct ending *e = arg;
  struct process *proc = find(e->h, e->pid);
  state_debug(e->h->st, STOPS, "%d: has left its parent's memory", (int)e->pid);
  if (proc != NULL) process_forget(e->h, proc, 0);
}

static int64_t clone_sharing(struct arrival *a, const uint64_t words[LENCASE_MAXARGS]) {
  struct inline_host *h = a->h;
  struct ending e = {h, 0, 0};
  int64_t result;
  __atomic_add_fetch(&h->others, 1, __ATOMIC_SEQ_CST);
  result = clone_here(a, words, (words[0] & CLONE_VFORK) != 0);
  if (result >= 0 && (words[0] & CLONE_VFORK) == 0) return result;
  inline_lock(h);
  e.pid = (pid_t)result;
  if (result > 0) {
    inline_engine(h, step_left, &e);
    inline_exec_forget(h, e.pid);
  }
  assert(__atomic_load_n(&h->others, __ATOMIC_RELAXED) > 0);
  __atomic_sub_fetch(&h->others, 1, __ATOMIC_SEQ_CST);
  inline_unlock(h);
  return result;
}

/* A child with memory of its own: a fork, which then goes on with the stack that it was given. */
static int64_t clone_apart(struct arrival *a, const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t own[LENCASE_MAXARGS];
  int64_t result;
  memcpy(own, words, sizeof own);
  own[0] &= ~(uint64_t)CLONE_VM;
  own[1] = 0;
  if (__atomic_load_n(&a->h->threads, __ATOMIC_RELAXED) > 1) own[0] &= ~(uint64_t)CLONE_VFORK;
  result = carry_fork(a, SYS_clone, own);
  if (result == 0 && words[1] != 0) a->uc->uc_mcontext.gregs[REG_RSP] = (greg_t)words[1];
  return result;
}

static int64_t carry_clone(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  if (a->uc == NULL) return -ENOSYS; /* a grate makes it in place of another call */
  (void)nr;
  if ((words[0] & CLONE_VM) == 0) return clone_apart(a, words);
  if ((words[0] & CLONE_THREAD) != 0) return clone_thread(a, words);
  return words[1] != 0 ? clone_sharing(a, words) : clone_apart(a, words);
}

/* From now on two threads may have the same thread pointer, so that none is found by it. */
static int64_t carry_arch_prctl(struct arrival *a, int64_t nr,
                                const uint64_t words[LENCASE_MAXARGS]) {
  if ((uint32_t)words[0] == ARCH_SET_FS) a->h->shared_pointers = true;
  return inline_carry_plain(a, nr, words);
}

/* Callers fall back to clone, as on a kernel that lacks it. */
static int64_t carry_clone3(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  (void)a;
  (void)nr;
  (void)words;
  return -ENOSYS;
}

/* }========================================================================= */

inline_carrier inline_process_carrier(int64_t nr) {
  switch (nr) {
    case SYS_fork: return carry_fork;
    case SYS_vfork: return carry_vfork;
    case SYS_clone: return carry_clone;
    case SYS_clone3: return carry_clone3;
    case SYS_arch_prctl: return carry_arch_prctl;
    case SYS_exit: return carry_exit;
    case SYS_exit_group: return carry_exit_group;
    default: return NULL;
  }
}
