/*
** thread.c - threads, cages and address spaces: their table and their lives
*/

#include "trace_int.h"

#include <errno.h>
#include <linux/audit.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

enum { TABLE_FIRST = 64 };

/* {================================== table =============================== */

static size_t bucket_of(const struct thread_table *table, pid_t tid) {
  return (size_t)tid & (table->nbuckets - 1);
}

int thread_table_open(struct trace_run *run) {
  struct thread_table *table = &run->threads;
  table->buckets = state_new(run->st, TABLE_FIRST * sizeof *table->buckets);
  if (table->buckets == NULL) return state_fail(run->st, LENCASE_ENOMEM, "no memory for a run");
  table->nbuckets = TABLE_FIRST;
  return LENCASE_OK;
}

static void table_link(struct thread_table *table, struct thread *t) {
  struct thread **bucket = &table->buckets[bucket_of(table, t->tid)];
  t->chain = *bucket;
  *bucket = t;
}

static void table_unlink(struct thread_table *table, struct thread *t) {
  struct thread **p = &table->buckets[bucket_of(table, t->tid)];
  while (*p != t) {
    assert(*p != NULL);
    p = &(*p)->chain;
  }
  *p = t->chain;
}

/* Twice the buckets; without memory the chains just grow longer. */
static void table_grow(struct lencase_state *st, struct thread_table *table) {
  struct thread_table old = *table;
  struct thread **buckets = state_new(st, 2 * old.nbuckets * sizeof *buckets);
  size_t i;
  if (buckets == NULL) return;
  table->buckets = buckets;
  table->nbuckets = 2 * old.nbuckets;
  for (i = 0; i < old.nbuckets; i++) {
    struct thread *t, *next;
    for (t = old.buckets[i]; t != NULL; t = next) {
      next = t->chain;
      table_link(table, t);
    }
  }
  state_free(st, old.buckets, old.nbuckets * sizeof *old.buckets);
}

struct thread *thread_find(const struct trace_run *run, pid_t tid) {
  struct thread *t = run->threads.buckets[bucket_of(&run->threads, tid)];
  while (t != NULL && t->tid != tid) t = t->chain;
  return t;
}

struct thread *thread_new(struct trace_run *run, pid_t tid) {
  struct thread *t = state_new(run->st, sizeof *t);
  assert(thread_find(run, tid) == NULL);
  if (t == NULL) return NULL;
  t->run = run;
  t->tid = tid;
  if (run->threads.n >= run->threads.nbuckets) table_grow(run->st, &run->threads);
  table_link(&run->threads, t);
  queue_join(&run->queue, t);
  run->threads.n++;
  return t;
}

void thread_rename(struct trace_run *run, struct thread *t, pid_t tid) {
  assert(thread_find(run, tid) == NULL);
  table_unlink(&run->threads, t);
  t->tid = tid;
  table_link(&run->threads, t);
}

/* }========================================================================= */

/* {=============================== processes =============================== */

struct space *space_new(struct trace_run *run, pid_t pid) {
  struct space *space = state_new(run->st, sizeof *space);
  if (space == NULL) return NULL;
  space->refs = 1;
  space->pid = pid;
  space->mem = space->maps = -1;
  return space;
}

void space_unref(struct trace_run *run, struct space *space) {
  if (space == NULL) return;
  assert(space->refs > 0);
  if (--space->refs > 0) return;
  assert(space->scratch_slots.n == 0);
  memory_close(space);
  window_free(run, space->ours);
  slots_free(run->st, &space->scratch_slots);
  state_free(run->st, space, sizeof *space);
}

struct process *process_new(struct trace_run *run, pid_t tgid) {
  struct process *proc = state_new(run->st, sizeof *proc);
  if (proc != NULL) proc->tgid = proc->reader = tgid;
  return proc;
}

void process_free(struct trace_run *run, struct process *proc) {
  space_unref(run, proc->space);
  state_free(run->st, proc, sizeof *proc);
}

void thread_join(struct thread *t, struct process *proc) {
  assert(t->proc == NULL);
  t->proc = proc;
  t->others = proc->threads;
  proc->threads = t;
}

static void thread_leave(struct thread *t) {
  struct thread **p = &t->proc->threads;
  while (*p != t) {
    assert(*p != NULL);
    p = &(*p)->others;
  }
  *p = t->others;
  if (t->proc->reader == t->tid)
    t->proc->reader = t->proc->threads != NULL ? t->proc->threads->tid : t->proc->tgid;
}

int process_first(struct trace_run *run, struct thread *t) {
  struct process *proc = t != NULL ? process_new(run, run->root) : NULL;
  if (proc != NULL) thread_join(t, proc);
  if (proc != NULL) proc->space = space_new(run, proc->tgid);
  if (proc != NULL && proc->space != NULL)
    proc->cage = call_cage_new(run->st, &trace_ops, proc, run->root, NULL, false);
  if (proc != NULL && proc->cage != NULL) return LENCASE_OK;
  return state_fail(run->st, LENCASE_ENOMEM, "no memory for a cage");
}

void process_ended(struct trace_run *run, struct process *proc, int status) {
  while (proc->threads != NULL) thread_drop(run, proc->threads);
  if (WIFSIGNALED(status)) birth_await(run);
  birth_adopt(run, proc);
  if (proc->tgid == run->root) {
    run->wstatus = status;
    atomic_store(&run->relay.root_over, true);
  }
  if (proc->cage != NULL) call_cage_exit(proc->cage, status);
  process_free(run, proc);
}

/* }========================================================================= */

/* {================================= threads =============================== */

void thread_drop_calls(struct thread *t) {
  while (t->nheld > 0) flight_close(t, &t->held[--t->nheld], true);
  flight_close(t, &t->now, true);
}

void thread_drop(struct trace_run *run, struct thread *t) {
  thread_drop_calls(t);
  thread_move(t);
  restart_over(t);
  foreign_gone(t);
  assert(t->nheld == 0 && t->now.call == NULL && t->now.load == NULL);
  assert(t->state != THREAD_BORN || run->held_back > 0);
  if (t->state == THREAD_BORN) run->held_back--;
  if (t->proc != NULL) thread_leave(t);
  table_unlink(&run->threads, t);
  queue_leave(&run->queue, t);
  assert(run->threads.n > 0);
  run->threads.n--;
  state_free(run->st, t, sizeof *t);
}

/* The kernel reports the leader's end when all others have ended. */
void thread_ended(struct trace_run *run, struct thread *t, int status) {
  struct process *proc = t->proc;
  bool last = proc != NULL && t->tid == proc->tgid;
  thread_drop(run, t);
  if (last) process_ended(run, proc, status);
}

/* The end of a run that broke off: every cage was killed or is let go. */
void thread_table_close(struct trace_run *run) {
  struct thread_table *table = &run->threads;
  size_t i;
  for (i = 0; table->buckets != NULL && i < table->nbuckets; i++) {
    while (table->buckets[i] != NULL) {
      struct thread *t = table->buckets[i];
      struct process *proc = t->proc;
      thread_drop(run, t);
      if (proc != NULL && proc->threads == NULL) process_ended(run, proc, SIGKILL);
    }
  }
  state_free(run->st, table->buckets, table->nbuckets * sizeof *table->buckets);
  table->buckets = NULL;
}

int thread_status(pid_t tid, const char *name) {
  char path[48], line[256];
  size_t size = strlen(name);
  int number = 0;
  FILE *f;
  snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
  f = fopen(path, "re");
  if (f == NULL) return 0;
  while (fgets(line, sizeof line, f) != NULL && strncmp(line, name, size) != 0)
    ;
  if (strncmp(line, name, size) == 0) number = atoi(line + size);
  fclose(f);
  return number;
}

bool thread_each(const struct thread *t) {
  return t->run->every || t->seccomp.listened || t->seccomp.strict;
}

/* }========================================================================= */

/* {================================ requests =============================== */

pid_t thread_pid(const struct thread *t) {
  return t->proc != NULL ? t->proc->tgid : t->tid;
}

#define NAMED(request) \
  { request, #request }

static const struct {
  int request;
  const char *name;
} requests[] = {
    NAMED(PTRACE_CONT),       NAMED(PTRACE_SYSCALL),
    NAMED(PTRACE_LISTEN),     NAMED(PTRACE_SYSEMU_SINGLESTEP),
    NAMED(PTRACE_INTERRUPT),  NAMED(PTRACE_DETACH),
    NAMED(PTRACE_GETREGS),    NAMED(PTRACE_SETREGS),
    NAMED(PTRACE_GETSIGMASK), NAMED(PTRACE_SETSIGMASK),
    NAMED(PTRACE_POKETEXT),   NAMED(PTRACE_GET_SYSCALL_INFO),
};

const char *thread_request_name(int request) {
  size_t i = 0;
  while (requests[i].request != request) i++;
  return requests[i].name;
}

/* It has been killed in its stop, most likely. */
static void tell_failed(const struct thread *t, int request) {
  state_debug(t->run->st, STOPS, "%d/%d: %s: %s", (int)thread_pid(t), (int)t->tid,
              thread_request_name(request), strerror(errno));
}

bool thread_ptrace(const struct thread *t, enum __ptrace_request request, uintptr_t addr,
                   uintptr_t data) {
  if (ptrace(request, t->tid, addr, data) == 0) return true;
  tell_failed(t, (int)request);
  return false;
}

bool thread_go(struct thread *t, enum __ptrace_request request, int sig) {
  assert(t->request == 0 && t->state != THREAD_NEW && t->state != THREAD_BORN);
  t->request = (int)request;
  t->passed = sig;
  return thread_ptrace(t, request, 0, (uintptr_t)sig);
}

bool thread_interrupt(struct thread *t) {
  if (!thread_ptrace(t, PTRACE_INTERRUPT, 0, 0)) return false;
  state_debug(t->run->st, STOPS, "%d/%d: asked to stop", (int)thread_pid(t), (int)t->tid);
  t->stop = ASKED_COMING;
  return true;
}

void thread_stopped(struct thread *t) {
  thread_move(t);
  t->stop = t->stop == ASKED_COMING ? ASKED_CAME : ASKED_NOT;
}

void thread_rest(struct thread *t, enum thread_stand how) {
  if (t->stand != STAND_RUNS) {
    thread_refuse(t, "it is to rest where it rests already");
    return;
  }
  t->stand = how;
  t->run->listening += how == STAND_LISTENS;
}

enum thread_stand thread_move(struct thread *t) {
  enum thread_stand stood = t->stand;
  assert(stood != STAND_LISTENS || t->run->listening > 0);
  t->run->listening -= stood == STAND_LISTENS;
  t->stand = STAND_RUNS;
  return stood;
}

bool thread_waits(const struct thread *t) {
  return t->stand >= STAND_WAITS;
}

bool thread_waits_at_call(const struct thread *t) {
  return t->stand >= STAND_ARRIVED;
}

static const bool goes_to_syscall[THREAD_STATES] = {
    [THREAD_PASSING] = true,   [THREAD_DOWN] = true,     [THREAD_SKIPPED] = true,
    [THREAD_ENTER] = true,     [THREAD_INJECTED] = true, [THREAD_INTERRUPTED] = true,
    [THREAD_RETURNING] = true, [THREAD_EXECED] = true,
};

bool thread_resume(struct thread *t, int sig) {
  bool stops =
      goes_to_syscall[t->state] || t->nheld > 0 || thread_each(t) || restart_awaits_stop(t);
  assert(t->stand == STAND_RUNS);
  if (t->queue.told) return false; /* it is in another stop than the one that we think of */
  if (t->run->halted) {
    t->sig = sig;
    thread_rest(t, STAND_WAITS);
    return true;
  }
  if (t->state == THREAD_DOWN || t->state == THREAD_INJECTED) restart_begins(t);
  return thread_go(t, stops ? PTRACE_SYSCALL : PTRACE_CONT, sig);
}

/* }========================================================================= */

/* {=========================== registers and memory ======================== */

bool regs_get(const struct thread *t, struct user_regs_struct *regs) {
  return thread_ptrace(t, PTRACE_GETREGS, 0, (uintptr_t)regs);
}

bool regs_set(const struct thread *t, const struct user_regs_struct *regs) {
  assert(t->request == 0 || t->stand == STAND_BUSY); /* it has not gone on since its stop */
  if (!t->queue.told) return thread_ptrace(t, PTRACE_SETREGS, 0, (uintptr_t)regs);
  state_debug(t->run->st, STOPS, "%d/%d: registers not written: it is in another stop by now",
              (int)thread_pid(t), (int)t->tid);
  return false;
}

void regs_words(const struct user_regs_struct *regs, uint64_t words[LENCASE_MAXARGS]) {
  words[0] = regs->rdi;
  words[1] = regs->rsi;
  words[2] = regs->rdx;
  words[3] = regs->r10;
  words[4] = regs->r8;
  words[5] = regs->r9;
}

void regs_set_call(struct user_regs_struct *regs, int32_t nr,
                   const uint64_t words[LENCASE_MAXARGS]) {
  regs->orig_rax = (unsigned long long)nr;
  regs->rdi = words[0];
  regs->rsi = words[1];
  regs->rdx = words[2];
  regs->r10 = words[3];
  regs->r8 = words[4];
  regs->r9 = words[5];
}

bool regs_same_call(const struct user_regs_struct *a, const struct user_regs_struct *b) {
  uint64_t of_a[LENCASE_MAXARGS], of_b[LENCASE_MAXARGS];
  regs_words(a, of_a);
  regs_words(b, of_b);
  return a->orig_rax == b->orig_rax && a->rip == b->rip && a->rsp == b->rsp &&
         memcmp(of_a, of_b, sizeof of_a) == 0;
}

bool thread_info(const struct thread *t, struct __ptrace_syscall_info *info) {
  if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof *info, info) > 0) return true;
  tell_failed(t, PTRACE_GET_SYSCALL_INFO);
  return false;
}

bool thread_entry(const struct thread *t, struct __ptrace_syscall_info *info) {
  return thread_info(t, info) && info->op == PTRACE_SYSCALL_INFO_ENTRY;
}

/* What an entry and the filter's stop tell lies in the same place. */
_Static_assert(offsetof(struct __ptrace_syscall_info, entry.args) ==
                   offsetof(struct __ptrace_syscall_info, seccomp.args),
               "as linux/ptrace.h has them");

bool thread_at_call(const struct thread *t, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
                    uint64_t ip) {
  struct __ptrace_syscall_info info;
  if (!thread_info(t, &info)) return false;
  if (info.op != PTRACE_SYSCALL_INFO_ENTRY && info.op != PTRACE_SYSCALL_INFO_SECCOMP) return false;
  return info.arch == AUDIT_ARCH_X86_64 && (int64_t)info.entry.nr == nr &&
         info.instruction_pointer == ip &&
         memcmp(info.entry.args, words, LENCASE_MAXARGS * sizeof *words) == 0;
}

bool thread_at_regs(const struct thread *t, const struct user_regs_struct *regs) {
  uint64_t words[LENCASE_MAXARGS];
  regs_words(regs, words);
  return thread_at_call(t, (int32_t)regs->orig_rax, words, regs->rip);
}

void thread_kill(const struct thread *t, const char *what) {
  state_log(t->run->st, "cage %d, thread %d: %s: ended", (int)thread_pid(t), (int)t->tid, what);
  kill(thread_pid(t), SIGKILL);
}

void thread_refuse(const struct thread *t, const char *what) {
  struct user_regs_struct regs;
  if (!t->queue.told && regs_get(t, &regs))
    thread_kill(t, what);
  else
    state_debug(t->run->st, STOPS, "%d/%d: %s: it has ended, or executed a program",
                (int)thread_pid(t), (int)t->tid, what);
}

bool thread_read(struct thread *t, uint64_t addr, void *data, size_t size) {
  struct iovec local = {data, size}, remote = {(void *)addr, size};
  return memory_read(t, &local, &remote, 1) == (ssize_t)size;
}

bool thread_write(struct thread *t, uint64_t addr, const void *data, size_t size) {
  struct iovec local = {(void *)(uintptr_t)data, size}, remote = {(void *)addr, size};
  return memory_write(t, &local, &remote, 1) == (ssize_t)size;
}

void thread_mask(struct thread *t) {
  uint64_t all = UINT64_MAX;
  if (t->masked || !thread_ptrace(t, PTRACE_GETSIGMASK, sizeof t->mask, (uintptr_t)&t->mask))
    return;
  t->masked = thread_ptrace(t, PTRACE_SETSIGMASK, sizeof all, (uintptr_t)&all);
}

void thread_unmask(struct thread *t) {
  if (t->masked) thread_ptrace(t, PTRACE_SETSIGMASK, sizeof t->mask, (uintptr_t)&t->mask);
  t->masked = false;
}

/* }========================================================================= */
