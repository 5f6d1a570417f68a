/*
** signal.c - what signals do, and the frames of signal handlers
**
** A call in flight that a signal interrupted is the kernel's to make again, or not (restart.c).
** Where it sets up the frame of a signal handler, that says whether the call ended with EINTR or
** will be made again after that; until then the call is held, innermost last.
**
** What a signal will do is asked before it is delivered, and another thread may change that
** meanwhile: so the thread is stepped in a way that stops it at any call and makes none.
*/

#include "trace_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The frame of a signal handler at its start: return address, ucontext up to its registers. */
enum { FRAME_CONTEXT = 8 + 40, CONTEXT_RAX = 13, CONTEXT_RIP = 16, CONTEXT_WORDS = 17 };

/* Stacks do not reach further than this, for telling one from another. */
#define STACK_REACH UINT64_C(0x800000)

/* {============================== dispositions ============================= */

/* A thread's signals as /proc has them, each a set. */
struct signals {
  uint64_t pending, shared, blocked, ignored, caught;
};

static uint64_t signal_set(const char *text, const char *name) {
  const char *line = strstr(text, name);
  return line != NULL ? strtoull(line + strlen(name), NULL, 16) : 0;
}

static bool get_signals(const struct thread *t, struct signals *s) {
  char path[48], text[4096];
  ssize_t n = -1;
  int fd;
  snprintf(path, sizeof path, "/proc/%d/status", (int)t->tid);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    n = read(fd, text, sizeof text - 1);
    close(fd);
  }
  if (n <= 0) return false;
  text[n] = '\0';
  s->pending = signal_set(text, "\nSigPnd:");
  s->shared = signal_set(text, "\nShdPnd:");
  s->blocked = signal_set(text, "\nSigBlk:");
  s->ignored = signal_set(text, "\nSigIgn:");
  s->caught = signal_set(text, "\nSigCgt:");
  return true;
}

static uint64_t bit(int sig) {
  return UINT64_C(1) << (sig - 1);
}

bool signal_stops(int sig) {
  return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

enum signal_action signal_action(const struct thread *t, int sig) {
  const uint64_t unless_caught = bit(SIGCHLD) | bit(SIGCONT) | bit(SIGURG) | bit(SIGWINCH);
  struct signals s;
  if (!get_signals(t, &s)) return SIGNAL_ENDS;
  if (s.caught & bit(sig)) return SIGNAL_CAUGHT;
  if ((s.ignored | unless_caught) & bit(sig)) return SIGNAL_IGNORED;
  return signal_stops(sig) ? SIGNAL_STOPS : SIGNAL_ENDS;
}

int signal_code(const struct thread *t) {
  siginfo_t info;
  return ptrace(PTRACE_GETSIGINFO, t->tid, 0, &info) == 0 ? info.si_code : 0;
}

bool signal_shared(const struct thread *t, int sig) {
  struct signals s;
  return get_signals(t, &s) && (s.shared & bit(sig)) != 0;
}

bool signal_waits(const struct thread *t) {
  struct signals s;
  return get_signals(t, &s) && ((s.pending | s.shared) & ~s.blocked) != 0;
}

/* }========================================================================= */

/* {================================== frames =============================== */

void signal_arrived(struct trace_run *run, struct thread *t, int status) {
  int sig = WSTOPSIG(status);
  enum signal_action action = signal_action(t, sig);
  (void)run;
  assert(t->now.call != NULL);
  if (action == SIGNAL_STOPS) restart_stopped(t);
  if (action == SIGNAL_CAUGHT) {
    restart_over(t);
    t->state = THREAD_FRAME;
    thread_go(t, PTRACE_SYSEMU_SINGLESTEP, sig);
  } else {
    thread_resume(t, sig);
  }
}

/* Sets the call aside while a signal handler runs; the oldest of too many is given up. */
static void hold(struct thread *t, uint64_t frame) {
  if (t->nheld == TRACE_HELD) {
    flight_close(t, &t->held[0], true);
    memmove(&t->held[0], &t->held[1], (TRACE_HELD - 1) * sizeof t->held[0]);
    t->nheld--;
  }
  assert(t->nheld < TRACE_HELD && t->now.call != NULL);
  t->held[t->nheld] = t->now;
  t->held[t->nheld].frame = frame;
  t->held[t->nheld++].at = AT_SIGNAL;
  t->now.call = NULL;
  t->now.own.size = 0;
  t->now.on_end = END_IGNORED;
}

/* The call ended with EINTR: the grate's handler gets it now, the program reads it later. */
static void ended_in_frame(struct trace_run *run, struct thread *t,
                           const struct user_regs_struct *regs) {
  struct flight *f = &t->now;
  f->result_at = regs->rsp + FRAME_CONTEXT + CONTEXT_RAX * sizeof(uint64_t);
  f->regs = *regs;
  f->result = -EINTR;
  flight_act(run, t, call_carried_out(f->call, -EINTR));
}

static void at_frame(struct trace_run *run, struct thread *t) {
  struct flight *f = &t->now;
  struct user_regs_struct regs;
  uint64_t context[CONTEXT_WORDS];
  t->state = THREAD_RUN;
  if (!regs_get(t, &regs)) return;
  if (!thread_read(t, regs.rsp + FRAME_CONTEXT, context, sizeof context))
    memset(context, 0, sizeof context);
  if (context[CONTEXT_RIP] == f->regs.rip && (int64_t)context[CONTEXT_RAX] == -EINTR) {
    ended_in_frame(run, t, &regs);
    return;
  }
  if (context[CONTEXT_RIP] == f->site)
    hold(t, regs.rsp);
  else
    flight_close(t, f, true);
  thread_resume(t, 0);
}

/* Which it is shows in the siginfo (ptrace_notify): a SIGTRAP may be sent, too. */
void signal_frame(struct trace_run *run, struct thread *t, int status) {
  int code = WSTOPSIG(status) == SIGTRAP ? signal_code(t) : 0;
  if (code == SIGTRAP) {
    at_frame(run, t);
  } else if (code == TRAP_TRACE) { /* the instruction of the call is another now */
    flight_close(t, &t->now, true);
    t->state = THREAD_RUN;
    thread_resume(t, 0);
  } else { /* no room for the frame: another signal instead */
    t->state = THREAD_INTERRUPTED;
    signal_arrived(run, t, status);
  }
}

/*
** There is no signal handler any more, and the call came again. It is not made
** (PTRACE_SYSEMU_SINGLESTEP), and comes once more, at its entry.
*/
void signal_no_frame(struct trace_run *run, struct thread *t, int status) {
  struct user_regs_struct regs;
  (void)run;
  (void)status;
  if (!regs_get(t, &regs)) return;
  regs.rax = regs.orig_rax;
  regs.orig_rax = (unsigned long long)-1;
  regs.rip -= 2;
  regs_set(t, &regs);
  t->state = THREAD_INTERRUPTED;
  thread_resume(t, 0);
}

/*
** Whether a call with stack pointer 'sp' shows that the signal handler was left without returning.
*/
static bool frame_left(const struct flight *f, uint64_t sp) {
  bool same_stack = f->frame < f->regs.rsp && f->regs.rsp - f->frame < STACK_REACH;
  if (same_stack) return sp > f->frame && sp - f->frame < STACK_REACH;
  return sp > f->regs.rsp - STACK_REACH && sp < f->regs.rsp + STACK_REACH;
}

/* Whether the entry of a call shows that the innermost call held is over. */
static bool held_over(struct flight *f, const struct __ptrace_syscall_info *info) {
  if (f->at == AT_RESTART)
    return info->entry.nr != f->regs.orig_rax || info->stack_pointer != f->regs.rsp;
  if (info->entry.nr == SYS_rt_sigreturn && info->stack_pointer == f->frame + 8) {
    f->at = AT_RESTART;
    return false;
  }
  return frame_left(f, info->stack_pointer);
}

void signal_watch(struct thread *t, const struct __ptrace_syscall_info *info) {
  while (t->nheld > 0 && held_over(&t->held[t->nheld - 1], info))
    flight_close(t, &t->held[--t->nheld], true);
}

/* }========================================================================= */
