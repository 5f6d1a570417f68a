/*
** stop.c - a thread stopped: what kind of stop, and who deals with it
*/

#include "trace_int.h"

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

static void arrives(struct trace_run *run, struct thread *t) {
  if (!regs_get(t, &t->now.regs)) return;
  if (t->nheld > 0 && signal_resumes_held(run, t)) return;
  if (cut_made_again(t))
    thread_resume(t, 0);
  else
    arrive(run, t);
}

static void on_seccomp_run(struct trace_run *run, struct thread *t, int status) {
  if (t->entered)
    go_on(run, t, status); /* it arrived at its entry */
  else
    arrives(run, t);
}

/* restart_syscall goes on with a call that arrived before. */
static bool arrives_here(const struct thread *t, const struct __ptrace_syscall_info *info) {
  return (thread_each(t) || signal_awaits_entry(t)) && info->entry.nr != SYS_restart_syscall;
}

static void on_syscall_run(struct trace_run *run, struct thread *t, int status) {
  struct __ptrace_syscall_info info;
  t->entered = thread_entry(t, &info);
  if (t->entered) {
    signal_watch(run, t, &info);
    cut_entry(t, &info);
    t->entered = arrives_here(t, &info);
  } else {
    cut_exit(t);
  }
  if (t->entered)
    arrives(run, t);
  else
    go_on(run, t, status);
}

/* rt_sigreturn made anew. */
static void on_syscall_returning(struct trace_run *run, struct thread *t, int status) {
  struct __ptrace_syscall_info info;
  if (thread_entry(t, &info)) {
    signal_watch(run, t, &info);
    t->entered = thread_each(t);
    if (t->entered) t->state = THREAD_RUN;
  }
  go_on(run, t, status);
}

static void on_seccomp_returning(struct trace_run *run, struct thread *t, int status) {
  t->state = THREAD_RUN;
  go_on(run, t, status);
}

static void on_signal_any(struct trace_run *run, struct thread *t, int status) {
  (void)run;
  cut_signal(t, WSTOPSIG(status));
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
  cut_group(t, sig);
  if (signal_stops(sig) && !run->leaving)
    relay_listen(run, t, sig);
  else
    thread_resume(t, 0);
}

static const stop_fn on_stop[STOP_KINDS][THREAD_STATES] = {
    [STOP_SYSCALL] =
        {
            [THREAD_RUN] = on_syscall_run,
            [THREAD_DOWN] = flight_exited,
            [THREAD_ENTER] = flight_entered,
            [THREAD_INJECTED] = flight_exited,
            [THREAD_INTERRUPTED] = signal_entry,
            [THREAD_RETURNING] = on_syscall_returning,
            [THREAD_EXECED] = birth_exec_exit,
        },
    [STOP_SECCOMP] =
        {
            [THREAD_RUN] = on_seccomp_run,
            [THREAD_INTERRUPTED] = signal_restart,
            [THREAD_RETURNING] = on_seccomp_returning,
        },
    [STOP_SIGNAL] =
        {
            [THREAD_LAUNCH] = on_signal_launch,
            [THREAD_RUN] = on_signal_any,
            [THREAD_DOWN] = on_signal_any,
            [THREAD_ENTER] = on_signal_any,
            [THREAD_INJECTED] = on_signal_any,
            [THREAD_INTERRUPTED] = signal_arrived,
            [THREAD_FRAME] = signal_frame,
            [THREAD_RETURNING] = on_signal_any,
            [THREAD_EXECED] = on_signal_any,
        },
    [STOP_GROUP] =
        {
            [THREAD_NEW] = birth_stopped,
            [THREAD_LAUNCH] = on_group_any,
            [THREAD_RUN] = on_group_any,
            [THREAD_DOWN] = on_group_any,
            [THREAD_ENTER] = on_group_any,
            [THREAD_INJECTED] = on_group_any,
            [THREAD_INTERRUPTED] = on_group_any,
            [THREAD_RETURNING] = on_group_any,
            [THREAD_EXECED] = on_group_any,
        },
    [STOP_BIRTH] =
        {
            [THREAD_RUN] = birth_reported,
            [THREAD_DOWN] = birth_reported,
            [THREAD_INJECTED] = birth_reported,
        },
    [STOP_EXEC] =
        {
            [THREAD_LAUNCH] = birth_execed,
            [THREAD_RUN] = birth_execed,
            [THREAD_DOWN] = birth_execed,
            [THREAD_ENTER] = birth_execed,
            [THREAD_INJECTED] = birth_execed,
            [THREAD_INTERRUPTED] = birth_execed,
            [THREAD_FRAME] = birth_execed,
            [THREAD_EXECED] = birth_execed,
        },
};

static void dispatch(struct trace_run *run, struct thread *t, int status) {
  enum stop_kind kind = stop_kind(status);
  stop_fn fn = on_stop[kind][t->state];
  affinity_stop(&run->affinity, t);
  relay_awake(run, t);
  t->disturbed = t->interrupted; /* any stop takes the place of one that was asked for */
  t->interrupted = false;
  if (kind == STOP_SIGNAL && live_takes(run, t, WSTOPSIG(status))) fn = go_on;
  (fn != NULL ? fn : go_on)(run, t, status);
}

void stop_handle(struct trace_run *run, struct thread *t, int status) {
  if (WIFSTOPPED(status))
    dispatch(run, t, status);
  else
    thread_ended(run, t, status);
}
