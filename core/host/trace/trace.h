/*
** trace.h - the host of unmodified programs: ptrace and a seccomp filter
**
** lencase_trace_run, in lencase.h, runs a program to its end. Here is a run under interactive
** control: it is halted as a whole, or at one call of one thread, and resumed. While it is halted
** no thread of it runs but those that the kernel holds (vfork), which stop as soon as they can.
*/

#ifndef TRACE_H
#define TRACE_H

#include <signal.h>
#include <sys/types.h>
#include <sys/user.h>

#include "../../call.h"
#include "../host.h"

struct trace_run;

/* Why a run is halted. */
enum trace_told {
  TOLD_NOTHING,
  TOLD_START,     /* before its first instruction; of a process that was there: where it was */
  TOLD_CALL,      /* a thread is about to make a call, and no handler was asked yet */
  TOLD_RESULT,    /* the call that was waited for has a result */
  TOLD_LOST,      /* it will have none: its thread has ended, or left it */
  TOLD_INTERRUPT, /* Ctrl-C was pressed */
  TOLD_STOPPED,   /* a signal of job control stopped all of it */
  TOLD_END        /* all of it has ended */
};

struct trace_event {
  enum trace_told told;
  pid_t tid;      /* the thread; 0: none */
  int64_t result; /* TOLD_RESULT; TOLD_STOPPED: the signal */
  int wstatus;    /* TOLD_END: of the first program, as in waitpid(2) */
};

/* What a thread is doing while the run is halted. */
enum trace_place {
  PLACE_ANYWHERE, /* it was stopped where it was */
  PLACE_CALL,     /* at a call: to be answered, or resumed */
  PLACE_DOWN,     /* in a call that a handler was asked for */
  PLACE_STOPPED,  /* stopped by job control */
  PLACE_KERNEL    /* the kernel holds it */
};

struct trace_thread {
  pid_t tid, pid;
  uint64_t cage; /* id */
  enum trace_place place;
  int32_t nr; /* of PLACE_CALL and PLACE_DOWN */
  uint64_t words[LENCASE_MAXARGS];
};

/* What becomes of a call that arrived. */
enum trace_notice {
  NOTICE_NONE, /* it goes its way */
  NOTICE_END,  /* and its end is reported */
  NOTICE_HALT  /* the run is halted there */
};

/* The observer of a run. The struct is copied. */
struct trace_observer {
  void *ud;
  const volatile int *interrupt; /* not 0: halt as soon as possible */
  bool no_input;                 /* the program's standard input is /dev/null */
  enum trace_notice (*arrived)(void *ud, const struct trace_thread *at);
  /* Of a call whose end is reported: what the kernel was asked for it; what its caller gets. */
  void (*carried)(void *ud, pid_t tid, int32_t nr, int64_t result);
  void (*over)(void *ud, pid_t tid, int64_t result);
};

/*
** Starts a program, which gets a process group of its own, or attaches to a process with all its
** threads; the run is halted, and the state's until trace_live_close. A started program dies with
** this process, another is detached. LENCASE_EEXEC: *err is the errno; LENCASE_EHOST: it may not be
** traced; LENCASE_EPERM: there is a run.
*/
int trace_live_start(struct lencase_state *st, const struct trace_observer *observer,
                     char *const argv[], struct trace_run **run, int *err);
int trace_live_attach(struct lencase_state *st, const struct trace_observer *observer, pid_t pid,
                      struct trace_run **run);

/* Resumes all of it until there is something to tell. 'every': each call of each thread arrives. */
int trace_live_go(struct trace_run *run, bool every, struct trace_event *event);

/*
** Of a thread at a call: its handlers are asked, 'first' before them (NULL: they alone), and the
** end of the call halts the run. LENCASE_EINVAL: it is not at a call; LENCASE_EPERM: the state is
** in use.
*/
int trace_live_answer(struct trace_run *run, pid_t tid, const struct route_entry *first);

/* Every thread of the run, in no order. */
void trace_live_each(const struct trace_run *run, void *ud,
                     void (*f)(void *ud, const struct trace_thread *t));

/* False: there is no such thread, or it is not stopped. */
bool trace_live_regs(const struct trace_run *run, pid_t tid, struct user_regs_struct *regs);

/* Of the first program. */
pid_t trace_live_pid(const struct trace_run *run);

/* Ends what was started, leaves what was attached to; *killed is how many processes were ended. */
void trace_live_close(struct trace_run *run, size_t *killed);

#endif
