/*
** birth.c - fork, vfork, clone and exec
**
** A child's first stop and its parent's report of it come in either order; the
** child waits for both. What is shared between the two is asked of the kernel, not
** read from flags in memory that the cage can write.
*/

#include "trace_int.h"

#include <dirent.h>
#include <errno.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* {================================= children ============================== */

static bool in_process(pid_t tgid, pid_t tid) {
  return syscall(SYS_tgkill, tgid, tid, 0) == 0 || errno == EPERM;
}

/*
** The flags of the call that a parent is stopped in, as the kernel had them: those of clone lie in
** a register, those of clone3 in the copy that it was given (tame_clone3).
*/
static uint64_t flags_of(const struct thread *parent) {
  struct user_regs_struct regs;
  uint64_t flags = 0;
  if (!regs_get(parent, &regs)) return 0;
  switch ((int32_t)regs.orig_rax) { /* the kernel looks at no more of it */
    case SYS_vfork: return CLONE_VM | CLONE_VFORK;
    case SYS_clone: return regs.rdi;
    case SYS_clone3:
      if (parent->now.own.size >= sizeof flags) memcpy(&flags, parent->now.own.data, sizeof flags);
      return flags;
    default: return 0;
  }
}

/* Whether parent and child share 'what'; by the flags, where kcmp is refused. */
static bool shares(int what, const struct thread *parent, pid_t child, uint64_t flag) {
  long order = syscall(SYS_kcmp, parent->tid, child, what, 0, 0);
  return order < 0 ? (flags_of(parent) & flag) != 0 : order == 0;
}

/* The same mappings in memory of its own, but for the window's slots. */
static struct space *space_copy(struct trace_run *run, const struct space *space, pid_t pid) {
  struct space *copy = space_new(run, pid);
  if (copy == NULL) return NULL;
  copy->lack = space->lack;
  copy->told_own = space->told_own;
  copy->window = space->window;
  copy->forked = space->forked || space->window_size > 0;
  copy->scratch = space->scratch;
  copy->scratch_size = space->scratch_size;
  return copy;
}

/* How a child is related to its parent. */
struct kinship {
  bool memory, files;
};

static struct process *process_child(struct trace_run *run, pid_t tid, const struct process *parent,
                                     struct kinship kin) {
  struct process *proc = process_new(run, tid);
  if (proc == NULL) return NULL;
  proc->keeps_mask = parent->keeps_mask;
  proc->own_filters = parent->own_filters;
  if (kin.memory) parent->space->refs++;
  proc->space = kin.memory ? parent->space : space_copy(run, parent->space, tid);
  if (proc->space != NULL)
    proc->cage = call_cage_new(run->st, &trace_ops, proc, tid, parent->cage, kin.files);
  if (proc->cage != NULL) return proc;
  process_free(run, proc);
  return NULL;
}

/* The registers it begins with, where its parent's were ours when it was made. */
static void take_regs(struct thread *t) {
  struct user_regs_struct now, *regs = &t->now.regs;
  if (!t->now.changed || !regs_get(t, &now)) return;
  regs->rsp = now.rsp;
  regs->fs_base = now.fs_base;
  regs->gs_base = now.gs_base;
  regs->rax = 0;
  regs->orig_rax = (unsigned long long)-1;
  regs_set(t, regs);
  t->now.changed = false;
}

static void let_run(struct trace_run *run, struct thread *t) {
  take_regs(t);
  t->state = THREAD_RUN;
  if (WSTOPSIG(t->status) == SIGTRAP)
    thread_resume(t, 0);
  else
    relay_listen(run, t, WSTOPSIG(t->status));
}

/* 'proc' NULL: there is no memory for one. A cage that the tracer cannot follow must not run. */
static void belongs(struct trace_run *run, struct thread *t, struct process *proc) {
  if (proc == NULL) {
    state_log(run->st, "no memory for cage %d: ended", (int)t->tid);
    kill(t->tid, SIGKILL);
    return;
  }
  thread_join(t, proc);
  if (t->state != THREAD_BORN) return;
  assert(run->held_back > 0);
  run->held_back--;
  let_run(run, t);
}

static void birth(struct trace_run *run, struct thread *parent, struct thread *t) {
  struct kinship kin;
  if (parent->now.changed) {
    t->now.regs = parent->now.regs;
    t->now.changed = true;
  }
  affinity_child(&run->affinity, parent->tid, t->tid);
  foreign_inherit(t, parent);
  if (in_process(parent->proc->tgid, t->tid)) {
    state_debug(run->st, STOPS, "%d/%d: a new thread", (int)parent->proc->tgid, (int)t->tid);
    belongs(run, t, parent->proc);
    return;
  }
  kin.memory = shares(KCMP_VM, parent, t->tid, CLONE_VM);
  kin.files = shares(KCMP_FILES, parent, t->tid, CLONE_FILES);
  state_debug(run->st, STOPS, "%d/%d: a new process of %d%s%s", (int)t->tid, (int)t->tid,
              (int)parent->proc->tgid, kin.memory ? ", shared memory" : "",
              kin.files ? ", shared descriptors" : "");
  belongs(run, t, process_child(run, t->tid, parent->proc, kin));
}

/* The child that a parent's stop reports; NULL: it is gone already. */
static struct thread *reported_child(struct trace_run *run, const struct thread *parent) {
  unsigned long tid;
  struct thread *t;
  if (ptrace(PTRACE_GETEVENTMSG, parent->tid, 0, &tid) != 0) return NULL;
  t = thread_find(run, (pid_t)tid);
  if (t == NULL && kill((pid_t)tid, 0) != 0 && errno == ESRCH) return NULL;
  return t != NULL ? t : thread_new(run, (pid_t)tid);
}

static bool awaits_report(const struct thread *t) {
  return t->state == THREAD_BORN || (t->state == THREAD_NEW && t->proc == NULL);
}

void birth_reported(struct trace_run *run, struct thread *parent, int status) {
  struct thread *t = reported_child(run, parent);
  (void)status;
  if (t != NULL && awaits_report(t)) birth(run, parent, t);
  thread_resume(parent, 0);
}

void birth_stopped(struct trace_run *run, struct thread *t, int status) {
  t->status = status;
  if (t->proc != NULL) {
    let_run(run, t);
  } else {
    t->state = THREAD_BORN;
    run->held_back++;
  }
}

/* }========================================================================= */

/* {================================= orphans =============================== */

/* Whether a thread of it may be about to report a child. */
static bool may_report(const struct process *proc) {
  const struct thread *t;
  for (t = proc->threads; t != NULL; t = t->others)
    if (live_may_fork(t->tid)) return true;
  return false;
}

/* The PPid of an orphan is the process that adopts orphans. */
static bool is_orphan_of(const struct trace_run *run, const struct thread *t,
                         const struct process *parent) {
  const struct thread *other;
  if (!awaits_report(t) || !in_process(t->tid, t->tid))
    return false; /* a process reports its threads */
  other = thread_find(run, thread_status(t->tid, "PPid:"));
  return other == NULL || other->proc == NULL || other->proc == parent || !may_report(other->proc);
}

/*
** Children of a process that was killed while it made them, and that have not come to their first
** stop yet: they are about to, whatever their program does, and can be waited for.
*/
void birth_await(struct trace_run *run) {
  const struct dirent *entry;
  DIR *dir = opendir("/proc");
  int status;
  if (dir == NULL) return;
  while ((entry = readdir(dir)) != NULL) {
    pid_t pid = relay_traced(gettid(), entry->d_name);
    if (pid > 0 && thread_find(run, pid) == NULL && waitpid(pid, &status, __WALL) == pid)
      queue_told(run, pid, status);
  }
  closedir(dir);
}

void birth_adopt(struct trace_run *run, struct process *parent) {
  static const struct kinship none = {false, false};
  struct thread *t;
  size_t i;
  for (i = 0; i < run->threads.nbuckets; i++)
    for (t = run->threads.buckets[i]; t != NULL; t = t->chain)
      if (is_orphan_of(run, t, parent)) {
        state_debug(run->st, STOPS, "%d/%d: a new process of %d, which ended before it told",
                    (int)t->tid, (int)t->tid, (int)parent->tgid);
        affinity_orphan(&run->affinity, parent, t->tid);
        foreign_orphan(t, parent);
        belongs(run, t, process_child(run, t->tid, parent, none));
      }
}

/* }========================================================================= */

/* {=================================== exec ================================ */

/* The thread that called execve has the leader's number now; the leader is no more. */
static struct thread *exec_leader(struct trace_run *run, struct thread *leader) {
  unsigned long old;
  struct thread *t;
  if (ptrace(PTRACE_GETEVENTMSG, leader->tid, 0, &old) != 0) return leader;
  t = thread_find(run, (pid_t)old);
  if (t == NULL || t == leader || t->proc != leader->proc) return leader;
  thread_drop(run, leader);
  thread_rename(run, t, t->proc->tgid);
  thread_move(t); /* the kernel may have held it until the others had ended */
  t->request = t->passed = 0;
  return t;
}

/* The handler gets the result 0; nothing more can be done for the old program. */
static void exec_call_over(struct thread *t) {
  struct call *call = t->now.call;
  bool done = call != NULL && call_carried_out(call, 0) == VERDICT_DONE;
  uint8_t on_end = t->now.on_end;
  t->now.on_end = END_IGNORED;
  flight_close(t, &t->now, !done);
  t->now.on_end = on_end; /* the observer hears of it when the new program is ready */
  while (t->nheld > 0) flight_close(t, &t->held[--t->nheld], true);
}

static bool exec_new_space(struct trace_run *run, struct process *proc) {
  struct space *space = space_new(run, proc->tgid);
  if (space == NULL) return false;
  space_unref(run, proc->space);
  proc->space = space;
  return true;
}

/* Its system calls are another table's: numbers would mean other calls. */
static bool is_64bit(const struct thread *t) {
  struct user_regs_struct regs;
  return !regs_get(t, &regs) || regs.cs == 0x33;
}

static void exec_refused(struct trace_run *run, struct thread *t, const char *why) {
  char comm[32];
  int n = trace_ops.comm(t->proc->cage, comm, sizeof comm);
  state_log(run->st, "cage %d (%.*s): %s: ended", (int)t->tid, n > 0 ? n : 1, n > 0 ? comm : "?",
            why);
  kill(t->tid, SIGKILL);
}

void birth_execed(struct trace_run *run, struct thread *t, int status) {
  struct thread *other;
  (void)status;
  t = exec_leader(run, t);
  if (t->state == THREAD_LAUNCH) run->launched = true;
  t->state = THREAD_EXECED;
  t->masked = false;
  t->proc->reader = t->tid;
  for (other = t->proc->threads; other != NULL; other = other->others)
    if (other != t) thread_drop_calls(other);
  exec_call_over(t);
  birth_adopt(run, t->proc);
  if (!is_64bit(t) && run->attached) {
    state_log(run->st, "cage %d executes a 32-bit program: left alone", (int)t->tid);
    t->now.on_end = END_IGNORED;
    attach_leave(run, t->proc);
    return;
  }
  if (!is_64bit(t))
    exec_refused(run, t, "32-bit programs cannot run under lencase");
  else if (!exec_new_space(run, t->proc))
    exec_refused(run, t, "no memory for its new program");
  thread_resume(t, 0);
}

void birth_exec_exit(struct trace_run *run, struct thread *t, int status) {
  (void)status;
  window_map(run, t);
  if (t->queue.told) return; /* it has ended meanwhile */
  vdso_hide(run, t);
  t->state = THREAD_RUN;
  call_cage_exec(t->proc->cage);
  run->observer->execed(run, t);
  thread_resume(t, 0);
}

/* }========================================================================= */
