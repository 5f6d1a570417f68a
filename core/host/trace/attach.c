/*
** attach.c - programs that run already
**
** Such a program gets no filter: that could never be removed again, and without a tracer what the
** filter traps would fail with ENOSYS. Its calls stop by PTRACE_SYSCALL instead, all of them while
** a grate handles any, which changes nothing in the program. Nor does it get a window: what
** replaces arguments lies in memory of its own, where its threads could change it.
** PTRACE_O_EXITKILL is not set: when lencase is killed the kernel detaches it.
*/

#include "trace_int.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* {================================ seizing ================================ */

/* 1: it is traced from now on; 0: it was before, or is gone; or a status. */
static int take(struct trace_run *run, pid_t tid) {
  struct thread *t;
  if (thread_find(run, tid) != NULL) return 0;
  if (ptrace(PTRACE_SEIZE, tid, 0, (long)TRACE_OPTIONS) != 0) return 0;
  t = thread_new(run, tid);
  if (t == NULL) return state_fail(run->st, LENCASE_ENOMEM, "no memory for thread %d", (int)tid);
  t->state = THREAD_RUN;
  t->seccomp.unread = true;
  state_debug(run->st, STOPS, "%d/%d: seized", (int)run->root, (int)tid);
  if (tid == run->root) return process_first(run, t) == LENCASE_OK ? 1 : LENCASE_ENOMEM;
  thread_join(t, thread_find(run, run->root)->proc);
  return 1;
}

/* Threads made by a traced thread are traced; those that others make meanwhile are not yet. */
static int take_others(struct trace_run *run) {
  char path[48];
  const struct dirent *entry;
  DIR *dir;
  int taken = 0, rc = 0;
  snprintf(path, sizeof path, "/proc/%d/task", (int)run->root);
  dir = opendir(path);
  if (dir == NULL) return 0;
  while (rc >= 0 && (entry = readdir(dir)) != NULL) {
    int tid = atoi(entry->d_name);
    if (tid <= 0) continue;
    rc = take(run, tid);
    taken += rc == 1;
  }
  closedir(dir);
  return rc < 0 ? rc : taken;
}

static int refused(struct trace_run *run, pid_t pid, int err) {
  if (err == ESRCH) return state_fail(run->st, LENCASE_ENOENT, "there is no process %d", (int)pid);
  return state_fail(run->st, LENCASE_EHOST,
                    "process %d cannot be traced (%s): is it another user's, traced already, or "
                    "does kernel.yama.ptrace_scope forbid it?",
                    (int)pid, strerror(err));
}

int attach_to(struct trace_run *run, pid_t pid) {
  int rc;
  run->root = pid;
  run->attached = true;
  errno = 0;
  rc = pid > 0 ? take(run, pid) : 0;
  if (rc == 0) return refused(run, pid, pid > 0 ? errno : ESRCH);
  while (rc > 0) rc = take_others(run);
  return rc;
}

int attach_check(const struct trace_run *run) {
  const struct thread *t = thread_find(run, run->root);
  struct user_regs_struct regs;
  if (t == NULL || !thread_waits(t) || !regs_get(t, &regs) || regs.cs == 0x33) return LENCASE_OK;
  return state_fail(run->st, LENCASE_EHOST, "process %d is a 32-bit program", (int)run->root);
}

/* }========================================================================= */

/* {================================ leaving ================================ */

/* Frees what it has lent, if its filters allow it. A vfork's child has lent its parent's. */
static void give_back(struct trace_run *run, struct process *proc) {
  const struct space *space = proc->space;
  uint64_t words[LENCASE_MAXARGS] = {space->scratch, space->scratch_size};
  struct thread *t = proc->threads;
  if (space->scratch == 0 || space->refs > 1) return;
  while (t != NULL && !steps_possible(t)) t = t->others;
  if (t == NULL) return;
  foreign_read(t);
  if (foreign_allows(t, space->site, SYS_munmap, words))
    steps_inject(run, t, space->site, SYS_munmap, words);
}

/*
** With the registers of its own, whatever it was in. Where what a handler asked for has not begun,
** its call is over with what it has.
*/
static void leave(struct thread *t) {
  struct user_regs_struct regs = t->now.regs;
  bool down = t->state == THREAD_ENTER || t->state == THREAD_INJECTED || t->state == THREAD_SKIPPED;
  if (down) {
    regs.rax = (unsigned long long)t->now.result;
    regs.orig_rax = (unsigned long long)-1;
  }
  if (down || t->now.changed) regs_set(t, &regs);
  thread_unmask(t);
  if (thread_ptrace(t, PTRACE_DETACH, 0, t->stand == STAND_WAITS ? (uintptr_t)t->sig : 0))
    state_debug(t->run->st, STOPS, "%d/%d: left", (int)thread_pid(t), (int)t->tid);
}

void attach_leave(struct trace_run *run, struct process *proc) {
  struct thread *t;
  give_back(run, proc);
  for (t = proc->threads; t != NULL; t = t->others) leave(t);
  process_ended(run, proc, 0);
}

/* Threads that listen do not take any other request: they are stopped for it. */
static void stop_listening(struct trace_run *run) {
  struct thread *t;
  size_t i;
  run->leaving = true;
  for (i = 0; i < run->threads.nbuckets; i++)
    for (t = run->threads.buckets[i]; t != NULL; t = t->chain)
      if (t->stand == STAND_LISTENS && thread_interrupt(t)) thread_move(t);
  run_loop(run);
}

static struct process *any_process(const struct trace_run *run) {
  const struct thread *t;
  size_t i;
  for (i = 0; i < run->threads.nbuckets; i++)
    for (t = run->threads.buckets[i]; t != NULL; t = t->chain)
      if (t->proc != NULL) return t->proc;
  return NULL;
}

void attach_leave_all(struct trace_run *run) {
  struct process *proc;
  stop_listening(run);
  while ((proc = any_process(run)) != NULL) attach_leave(run, proc);
}

/* }========================================================================= */
