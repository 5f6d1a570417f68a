/*
** stop.c - a thread stopped: what kind of stop, and who deals with it
*/

#include "trace_int.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

typedef void (*stop_fn)(struct trace_run *run, struct thread *t, int status);

enum stop_kind stop_kind(int status) {
  switch (status >> 16) {
    case 0: return WSTOPSIG(status) == (SIGTRAP | 0x80) ? STOP_SYSCALL : STOP_SIGNAL;
    case PTRACE_EVENT_SECCOMP: return STOP_SECCOMP;
    case PTRACE_EVENT_EXEC: return STOP_EXEC;
    case PTRACE_EVENT_STOP: return STOP_GROUP;
    default: return STOP_BIRTH;
  }
}

static void go_on(struct trace_run *run, struct thread *t, int status) {
  (void)run;
  (void)status;
  thread_resume(t, 0);
}

/* {================================= calls ================================= */

static void arrives(struct trace_run *run, struct thread *t, bool by_entry) {
  if (!regs_get(t, &t->now.regs)) return;
  t->now.by_entry = by_entry;
  if (t->nheld > 0 && restart_resumes_held(run, t)) return;
  if (restart_made_again(t)) {
    flight_pass(t);
    thread_resume(t, 0);
  } else {
    arrive(run, t);
  }
}

static void on_seccomp_run(struct trace_run *run, struct thread *t, int status) {
  (void)status;
  arrives(run, t, false);
}

/* The filter stops a call that arrived at its entry. */
static void on_seccomp_passing(struct trace_run *run, struct thread *t, int status) {
  (void)run;
  (void)status;
  if (thread_at_regs(t, &t->now.regs))
    thread_resume(t, 0);
  else
    thread_refuse(t, "another call came than the one that was let through");
}

/* Calls of other tables do not exist; one that all filters allow is made instead: flight_skip. */
static void refuse_foreign(struct thread *t, const struct __ptrace_syscall_info *info) {
  enum { GETPID_32 = 20 };
  struct user_regs_struct regs;
  if (!regs_get(t, &t->now.regs)) return;
  regs = t->now.regs;
  regs.orig_rax = info->arch == AUDIT_ARCH_X86_64 ? SYS_getpid : GETPID_32;
  regs_set(t, &regs);
  t->now.result = -ENOSYS;
  t->now.changed = true;
  t->state = THREAD_SKIPPED;
  thread_resume(t, 0);
}

/*
** restart_syscall goes on with a call that arrived before. Numbers of other tables are refused by
** the filter, where there is one; a program that was attached to is as free as it was.
*/
void stop_syscall(struct trace_run *run, struct thread *t, int status) {
  struct __ptrace_syscall_info info;
  bool entry = thread_entry(t, &info);
  t->state = THREAD_RUN;
  if (entry) {
    signal_watch(t, &info);
    restart_entry(t, &info);
  } else {
    restart_exit(t);
  }
  if (!entry || info.entry.nr == SYS_restart_syscall ||
      !(thread_each(t) || restart_awaits_entry(t)))
    go_on(run, t, status);
  else if (info.arch == AUDIT_ARCH_X86_64 && (info.entry.nr & 0x40000000) == 0)
    arrives(run, t, true);
  else if (run->attached)
    go_on(run, t, status);
  else
    refuse_foreign(t, &info);
}

/* rt_sigreturn made anew: whatever it does, that was asked. */
static void on_syscall_returning(struct trace_run *run, struct thread *t, int status) {
  struct __ptrace_syscall_info info;
  (void)run;
  (void)status;
  if (!thread_entry(t, &info) || !thread_at_regs(t, &t->now.regs)) {
    thread_refuse(t, "another call came than its rt_sigreturn");
    return;
  }
  signal_watch(t, &info);
  t->state = THREAD_PASSING;
  thread_resume(t, 0);
}

/* }========================================================================= */

/* {============================ signals, job control ======================= */

static void on_signal_any(struct trace_run *run, struct thread *t, int status) {
  (void)run;
  restart_signal(t, WSTOPSIG(status));
  thread_resume(t, WSTOPSIG(status));
}

/* Our child stops itself when its filter is there; other signals are the program's. */
static void on_signal_launch(struct trace_run *run, struct thread *t, int status) {
  int sig = WSTOPSIG(status);
  if (sig == SIGSTOP) start_ready(run);
  thread_resume(t, sig == SIGSTOP ? 0 : sig);
}

static void on_group_any(struct trace_run *run, struct thread *t, int status) {
  int sig = WSTOPSIG(status);
  restart_group(t, sig);
  if (signal_stops(sig) && !run->leaving)
    relay_listen(run, t, sig);
  else
    thread_resume(t, 0);
}

/* The signal came to nothing: it is ignored by now. */
static void on_group_frame(struct trace_run *run, struct thread *t, int status) {
  t->state = THREAD_INTERRUPTED;
  on_group_any(run, t, status);
}

/* A signal that is for us; where it comes in place of a frame, there is none. */
static void on_taken(struct trace_run *run, struct thread *t, int status) {
  if (t->state == THREAD_FRAME) t->state = THREAD_INTERRUPTED;
  go_on(run, t, status);
}

/* }========================================================================= */

/* {================================ the table ============================== */

static const char *const state_names[THREAD_STATES] = {
    [THREAD_NEW] = "new",           [THREAD_BORN] = "born",
    [THREAD_LAUNCH] = "launch",     [THREAD_RUN] = "run",
    [THREAD_PASSING] = "passing",   [THREAD_DOWN] = "down",
    [THREAD_SKIPPED] = "skipped",   [THREAD_ENTER] = "enter",
    [THREAD_INJECTED] = "injected", [THREAD_INTERRUPTED] = "interrupted",
    [THREAD_FRAME] = "frame",       [THREAD_RETURNING] = "returning",
    [THREAD_EXECED] = "execed",
};

static const char *const kind_names[STOP_KINDS] = {
    [STOP_SYSCALL] = "syscall", [STOP_SECCOMP] = "seccomp", [STOP_SIGNAL] = "signal",
    [STOP_GROUP] = "group",     [STOP_BIRTH] = "birth",     [STOP_EXEC] = "exec",
};

/* The state of the thread is unknown: its cage must not go on. That is said in any case. */
static void cannot(struct trace_run *run, struct thread *t, int status) {
  char what[96];
  (void)run;
  snprintf(what, sizeof what, "a stop that cannot be (%s, 0x%x, in state \"%s\")",
           kind_names[stop_kind(status)], (unsigned)status, state_names[t->state]);
  thread_kill(t, what);
}

/*
** What each stop means in each state: complete, and cannot() where there is none.
**
** Between its entry and its exit a call has no other stop than the filter's and those of births and
** exec: signals come behind the exit. A stop of exec is reported for the leader, whatever that was
** in when another thread of its process executed a program. Before its first exec our child runs
** our own code. Injected calls run with all signals blocked, but SIGSTOP, and faults of their
** instruction.
*/
#define ROW(syscall, seccomp, signal, group, birth, exec)                             \
  {                                                                                   \
    [STOP_SYSCALL] = (syscall), [STOP_SECCOMP] = (seccomp), [STOP_SIGNAL] = (signal), \
    [STOP_GROUP] = (group), [STOP_BIRTH] = (birth), [STOP_EXEC] = (exec)              \
  }

/* clang-format off */
static const stop_fn on_stop[THREAD_STATES][STOP_KINDS] = {
    /*                         syscall               seccomp              signal            group           birth           exec */
    [THREAD_NEW]         = ROW(cannot,               cannot,              cannot,           birth_stopped,  cannot,         cannot),
    [THREAD_BORN]        = ROW(cannot,               cannot,              cannot,           cannot,         cannot,         cannot),
    [THREAD_LAUNCH]      = ROW(go_on,                go_on,               on_signal_launch, on_group_any,   cannot,         birth_execed),
    [THREAD_RUN]         = ROW(stop_syscall,         on_seccomp_run,      on_signal_any,    on_group_any,   birth_reported, birth_execed),
    [THREAD_PASSING]     = ROW(stop_syscall,         on_seccomp_passing,  cannot,           cannot,         birth_reported, birth_execed),
    [THREAD_DOWN]        = ROW(flight_exited,        flight_trapped,      cannot,           cannot,         birth_reported, birth_execed),
    [THREAD_SKIPPED]     = ROW(flight_skipped,       flight_skip_trapped, cannot,           cannot,         cannot,         birth_execed),
    [THREAD_ENTER]       = ROW(flight_entered,       cannot,              on_signal_any,    on_group_any,   cannot,         birth_execed),
    [THREAD_INJECTED]    = ROW(flight_exited,        flight_trapped,      cannot,           cannot,         birth_reported, birth_execed),
    [THREAD_INTERRUPTED] = ROW(restart_entered,      restart_trapped,     signal_arrived,   on_group_any,   cannot,         birth_execed),
    [THREAD_FRAME]       = ROW(signal_no_frame,      cannot,              signal_frame,     on_group_frame, cannot,         birth_execed),
    [THREAD_RETURNING]   = ROW(on_syscall_returning, cannot,              on_signal_any,    on_group_any,   cannot,         birth_execed),
    [THREAD_EXECED]      = ROW(birth_exec_exit,      cannot,              cannot,           cannot,         cannot,         cannot),
};
/* clang-format on */

/* }========================================================================= */

/* {================================= events ================================ */

enum { SIGNAL_TEXT = 16 };

static const char *signal_text(int sig, char text[SIGNAL_TEXT]) {
  const char *name = sigabbrev_np(sig);
  if (name != NULL)
    snprintf(text, SIGNAL_TEXT, "SIG%s", name);
  else
    snprintf(text, SIGNAL_TEXT, "signal %d", sig);
  return text;
}

static const char *syscall_text(const struct thread *t, char text[STOP_TEXT]) {
  struct __ptrace_syscall_info info;
  char name[24];
  if (!thread_info(t, &info)) info.op = PTRACE_SYSCALL_INFO_NONE;
  switch (info.op) {
    case PTRACE_SYSCALL_INFO_ENTRY:
    case PTRACE_SYSCALL_INFO_SECCOMP: /* the number lies in the same place */
      snprintf(text, STOP_TEXT, "%s %s",
               info.op == PTRACE_SYSCALL_INFO_ENTRY ? "syscall entry" : "seccomp",
               sig_name((int32_t)info.entry.nr, name, sizeof name));
      break;
    case PTRACE_SYSCALL_INFO_EXIT:
      snprintf(text, STOP_TEXT, "syscall exit %" PRId64, (int64_t)info.exit.rval);
      break;
    default: snprintf(text, STOP_TEXT, "syscall"); /* it is gone */
  }
  return text;
}

const char *stop_text(const struct thread *t, int status, char text[STOP_TEXT]) {
  enum stop_kind kind = stop_kind(status);
  unsigned long message = 0;
  char sig[SIGNAL_TEXT];
  if (WIFEXITED(status)) {
    snprintf(text, STOP_TEXT, "exited with %d", WEXITSTATUS(status));
  } else if (WIFSIGNALED(status)) {
    snprintf(text, STOP_TEXT, "killed by %s", signal_text(WTERMSIG(status), sig));
  } else if (kind == STOP_SYSCALL || kind == STOP_SECCOMP) {
    syscall_text(t, text);
  } else if (kind == STOP_BIRTH || kind == STOP_EXEC) {
    ptrace(PTRACE_GETEVENTMSG, t->tid, 0, &message);
    snprintf(text, STOP_TEXT, "%s %lu", kind_names[kind], message);
  } else {
    snprintf(text, STOP_TEXT, "%s %s", kind_names[kind], signal_text(WSTOPSIG(status), sig));
  }
  return text;
}

/* A line for a stop that has been handled: the thread may be gone. */
static void tell(const struct trace_run *run, pid_t pid, pid_t tid, const char *what,
                 const char *before) {
  const struct thread *t = thread_find(run, tid);
  const char *now = t != NULL ? state_names[t->state] : "gone", *how = "not resumed", *with = "";
  char sig[SIGNAL_TEXT] = "";
  if (t != NULL && t->request != 0) how = thread_request_name(t->request);
  if (t != NULL && t->passed != 0) {
    with = " with ";
    signal_text(t->passed, sig);
  }
  state_debug(run->st, STOPS, "%d/%d: %s: %s -> %s, %s%s%s", (int)pid, (int)tid, what, before, now,
              how, with, sig);
}

/* }========================================================================= */

void stop_handle(struct trace_run *run, struct thread *t, int status) {
  bool told = (run->st->config.debug & LENCASE_DEBUG_STOPS) != 0;
  const char *before = state_names[t->state];
  pid_t pid = thread_pid(t), tid = t->tid;
  char what[STOP_TEXT];
  stop_fn fn = thread_ended;
  assert(t->run == run && !t->queue.told && t->state < THREAD_STATES);
  t->request = t->passed = 0;
  if (told) stop_text(t, status, what);
  if (WIFSTOPPED(status)) {
    fn = on_stop[t->state][stop_kind(status)];
    affinity_stop(&run->affinity, t);
    thread_stopped(t);
    if (stop_kind(status) == STOP_SIGNAL && run->observer->takes(run, t, WSTOPSIG(status)))
      fn = on_taken;
  }
  fn(run, t, status);
  if (told) tell(run, pid, tid, what, before);
}
