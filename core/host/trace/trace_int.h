/*
** trace_int.h - what the files of the trace host share
**
** run.c      the run: opening, the loop, closing
** queue.c    stops that have come, and are not dealt with yet
** start.c    the program: fork, filter, exec
** filter.c   what the seccomp filter traps
** thread.c   threads, cages and address spaces: their table and their lives
** stop.c     a thread stopped: what kind of stop, and who deals with it
** arrive.c   a call arrives
** tame.c     calls that would let a tracee escape
** flight.c   a call in flight: downcalls in place and injected, the end
** signal.c   what signals do, and the frames of signal handlers
** restart.c  calls that are made again, or go on, after what cut them short
** birth.c    fork, vfork, clone and exec
** steps.c    steps of a stopped thread that are waited for
** window.c   the sealed window and the scratch memory of each program
** stub.S     code in the first page of each window, with numbers of offsets.c
** memory.c   reading and writing a tracee
** lend.c     memory that a program lends us where there is no window
** slots.c    who has which bytes of a window
** foreign.c  seccomp filters that a program loads itself
** edges.c    parts of a window that end at an unreadable page
** vdso.c     the clock without a system call
** ops.c      host_ops
** affinity.c which CPU
** relay.c    signals to the supervisor, job control
** live.c     the observer of a run under control: stopping all of it, and one call at a time
** attach.c   programs that run already
** extend.c   calls that are handled from now on
*/

#ifndef TRACE_INT_H
#define TRACE_INT_H

#include <assert.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <time.h>

#include "trace.h"

/* Calls of one thread that are held while signal handlers run, one in the other. */
#define TRACE_HELD 4

/* Words of the cookie by which the call is known that fetches the window's descriptor. */
#define TRACE_COOKIE 5

/* {================================== slots ================================ */

struct slot {
  size_t offset, size;
};

enum { SLOT_ALIGN = 64 };

/* The used parts of a window, by offset. */
struct slots {
  struct slot *used;
  size_t n, capacity;
};

/*
** 'size' bytes of a window of 'limit' bytes: the lowest free place. False when
** there is none, or no memory to write it down.
*/
bool slots_get(struct lencase_state *st, struct slots *s, size_t size, size_t limit,
               size_t *offset);
void slots_put(struct slots *s, size_t offset);
void slots_free(struct lencase_state *st, struct slots *s);

/* }========================================================================= */

/* {============================ cages and threads =========================== */

#define WINDOW_SMALL ((size_t)1 << 20) /* where address space is scarce */
#define WINDOW_BIG ((size_t)512 << 20) /* sparse */
#define PAGE ((size_t)4096)
enum { WINDOW_EDGES = 6 };

/*
** Memory of ours that a program can read. Each has a file of its own; the children that it forks go
** on with it until they execute programs.
*/
struct window {
  int fd; /* writable, to make the file longer; -1: there is none */
  unsigned char *data;
  size_t size;   /* of all slots */
  size_t backed; /* as much of it the file holds */
  struct slots slots;
  bool edge_taken[WINDOW_EDGES];
};

/* An address space with what we mapped in it. vfork's child shares its parent's. */
struct space {
  unsigned refs;
  pid_t pid;                /* of the process that it was made for: in messages */
  struct window *ours;      /* what is mapped at 'window' */
  uint64_t window, scratch; /* where; 0: not there */
  size_t window_size, scratch_size;
  struct slots scratch_slots;
  uint64_t site;    /* a syscall instruction of its program's, where no window is */
  int mem, maps;    /* its files in /proc, once they are needed; -1: not open */
  uint8_t way;      /* how its memory is reached: memory.c */
  bool forked;      /* it has the stub of its parent, and no slots yet: window_ready */
  bool told_own;    /* it was logged that nothing can be replaced in it */
  const char *lack; /* why it has no window, where that is of its own */
};

/* A process: the host's part of a cage. */
struct process {
  pid_t tgid;
  pid_t reader; /* a thread of it that was alive a moment ago */
  struct lencase_cage *cage;
  struct space *space;
  struct thread *threads;
  bool keeps_mask;  /* the program chose its CPUs: they are not changed */
  bool own_filters; /* some thread of it has, or had, seccomp filters of its own */
  bool owes_sigint; /* a SIGINT of the terminal's, which others of its group got, is to come */
};

/* What a thread is at, which says what its next stop means: the table in stop.c. */
enum thread_state {
  THREAD_NEW,         /* its first stop is yet to come */
  THREAD_BORN,        /* that came, and its parent's report of it did not */
  THREAD_LAUNCH,      /* our own child, before its first exec */
  THREAD_RUN,         /* runs, without a call of lencase's */
  THREAD_PASSING,     /* its call arrived at its entry and goes on as it stands */
  THREAD_DOWN,        /* a downcall in place: the next syscall stop is its exit */
  THREAD_SKIPPED,     /* it has its result, and a harmless call is made in the place of its own */
  THREAD_ENTER,       /* an injected downcall: the next syscall stop is its entry */
  THREAD_INJECTED,    /* the next syscall stop is its exit */
  THREAD_INTERRUPTED, /* a signal woke the downcall: restart, frame or death comes next */
  THREAD_FRAME,       /* stepping onto the first instruction of a signal handler */
  THREAD_RETURNING,   /* rt_sigreturn made anew: the next syscall stop is its entry */
  THREAD_EXECED,      /* the next syscall stop is the exit of a successful execve */
  THREAD_STATES
};

/* Whether a thread runs, as far as the run is concerned: thread_rest and thread_move. */
enum thread_stand {
  STAND_RUNS,    /* it was resumed, or its stop is being handled */
  STAND_LISTENS, /* it is in a group-stop */
  STAND_BUSY,    /* the run is being halted, and the kernel holds it: it cannot stop now */
  STAND_WAITS,   /* from here on: in a halted run. It would go on, with signal 'sig' */
  STAND_ARRIVED, /* from here on: at a call. The observer has not seen it yet */
  STAND_SHOWN    /* it was */
};

/* A stop of a thread that we ask for: thread_interrupt. */
enum stop_asked {
  ASKED_NOT,
  ASKED_COMING, /* it is on its way */
  ASKED_CAME    /* the stop that has come is that one, or has taken its place */
};

/* Where a thread is with a call that we hold. */
enum flight_at {
  AT_BEHIND, /* past its entry: what is made for it is injected */
  AT_ENTRY,  /* stopped at the entry of the call: the next downcall is put there */
  AT_SIGNAL, /* the call is set aside while a signal handler of the program's runs */
  AT_RESTART /* that came back: the next call is the restart */
};

/* What the end of a call does: nothing, it is reported to the observer, or it halts the run. */
enum flight_end { END_IGNORED, END_REPORTED, END_HALTS };

/* A call that we hold, or a change of the host's own to a call (call NULL). */
struct flight {
  struct call *call;
  struct user_regs_struct regs; /* the thread's own, put back at the end */
  uint64_t site;                /* the syscall instruction that made the call */
  int32_t nr;                   /* the downcall under way */
  uint64_t words[LENCASE_MAXARGS];
  int64_t result;            /* what the thread will see if nothing is written */
  uint64_t result_at;        /* the result's place in a signal frame; 0: it is in rax */
  uint64_t frame;            /* rsp at the start of the signal handler, AT_SIGNAL */
  struct mem_seg own;        /* a part of the window of the host's own; size 0: none */
  struct foreign_load *load; /* it loads a seccomp filter: foreign.c; NULL: it does not */
  bool changed;              /* the thread's registers are not 'regs' now */
  bool wants;                /* carry_out asked for nr and words */
  bool by_entry;  /* it arrived at its entry, and not by the filter: so does its restart */
  bool asked;     /* a handler wanted it when it arrived: noted by live.c */
  uint8_t at;     /* enum flight_at */
  uint8_t on_end; /* enum flight_end */
};

/* How a call was cut short by what the program does not see. */
enum cut_how {
  CUT_NOT,
  CUT_RESTARTED, /* the kernel makes it again */
  CUT_EINTR,     /* it had ended with EINTR, and we have the kernel make it again */
  CUT_STOPPED /* the same, in flight; but a stop signal has come since, so EINTR is how it ends */
};

/* Such a call, which is about to be made again: restart.c. */
struct cut {
  uint8_t how;   /* enum cut_how */
  bool asked;    /* it was handled, or there is no handler that has come since */
  int64_t began; /* nanoseconds; 0: that is not known */
  int64_t due;   /* when its time-out is over; 0: it has none */
  struct user_regs_struct regs;
};

/* A thread's own seccomp filters and mode: foreign.c. */
struct own_seccomp {
  struct foreign *filters; /* the newest first */
  bool unjudged;           /* it has some that are not known */
  bool unread;             /* of a program that was attached to: it may have others by now */
  bool listened;           /* one has a listener: its calls arrive at their entry */
  bool strict;             /* it is in strict mode: the same */
};

/* A thread in the queue: queue.c. */
struct queued {
  TAILQ_ENTRY(thread) by_turn;
  uint64_t turn; /* its last */
  bool told;     /* waitpid told 'status', which is not dealt with yet: it is in no other stop */
  int status;
};

struct thread {
  struct trace_run *run;
  struct process *proc;
  struct thread *chain;  /* of the hash table */
  struct thread *others; /* of the process */
  pid_t tid;
  uint8_t state; /* enum thread_state */
  uint8_t stand; /* enum thread_stand */
  uint8_t stop;  /* enum stop_asked */
  uint8_t nheld;
  bool masked; /* all signals are blocked, 'mask' is the thread's own */
  uint64_t mask;
  int sig;             /* STAND_WAITS: what it goes on with */
  int request, passed; /* since its stop: the ptrace request that it goes on by, and the signal */
  int status;          /* of its first stop */
  struct queued queue;
  struct own_seccomp seccomp;
  struct cut cut;
  struct flight now;
  struct flight held[TRACE_HELD]; /* while signal handlers run, innermost last */
};

/* All threads, the one whose last turn is longest ago first, and those that wait for a turn. */
struct queue {
  TAILQ_HEAD(thread_list, thread) threads;
  struct thread *next; /* none before it waits */
  size_t waiting;
  uint64_t turn, round; /* the last that was given; the last of the round before */
};

struct thread_table {
  struct thread **buckets;
  size_t nbuckets; /* a power of two */
  size_t n;
};

/* }========================================================================= */

/* {=================================== run ================================= */

/* Why a program has no window. */
struct no_window {
  const char *lack;
  int lack_err;
};

/* Which thread shares a CPU with us: one that alone has been stopping for a while. */
struct affinity {
  cpu_set_t home, theirs; /* masks to put back */
  pid_t tid;              /* whose stops make the streak */
  pid_t tgid;             /* of the thread that is pinned */
  unsigned streak;
  int cpu;
  bool usable, pinned;
  bool used; /* some thread was pinned */
};

/* The thread that hands on signals. Constant while it runs but for 'over'. */
struct relay {
  pthread_t thread;
  sigset_t set;
  pid_t root, tracer;
  int pidfd;
  atomic_bool over, reload; /* reload: asked for, and not done yet */
  atomic_bool root_over;    /* its number may be another's soon */
  bool reload_on_hup;
  bool running;
};

/* What a filter of the run's traps: calls of a number for which a test holds. */
struct trap {
  int32_t nr;
  struct sig_test test;
};

struct traps {
  struct trap *list;
  size_t n, capacity;
};

enum { KIND_WANTED = 1, KIND_HOST = 2, TRACE_KINDS = 1024 };

/*
** Controls a run and observes what happens in it: run_unobserved, which does nothing, or that of
** live.c, which halts it.
*/
struct observer {
  bool handles_any; /* it may come to handle any call */
  /* In the child that is to become the program. */
  void (*child)(const struct trace_run *run);
  /* Whether all threads of the run are at rest. */
  bool (*is_still)(const struct trace_run *run);
  /* As waitpid; 0: something else happened. */
  pid_t (*wait)(struct trace_run *run, int *status);
  /* True when a call that arrived waits. */
  bool (*shows)(struct trace_run *run, struct thread *t);
  /* The handlers of a call are asked; whether the same call in 'regs' was seen by all handlers. */
  void (*asks)(struct thread *t, int32_t nr, const uint64_t words[LENCASE_MAXARGS]);
  bool (*had_asked)(const struct thread *t, const struct user_regs_struct *regs);
  /* The kernel has carried something out for a call. */
  void (*carried)(struct trace_run *run, const struct thread *t);
  /* A call is over; it will have no end: its thread is gone, or a signal handler left it. */
  void (*over)(struct trace_run *run, struct thread *t, uint8_t on_end, int64_t result);
  void (*lost)(struct trace_run *run, uint8_t on_end);
  /* A program is stopped before its first instruction. */
  void (*execed)(struct trace_run *run, struct thread *t);
  /* True when a signal stop is for the observer and not for the program. */
  bool (*takes)(struct trace_run *run, struct thread *t, int sig);
};

/* A limit as it was before a run, when it has been raised. */
struct raised {
  struct rlimit before;
  bool done;
};

struct live; /* live.c */

struct trace_run {
  struct lencase_state *st;
  const struct observer *observer;
  struct live *live; /* the observer's own */
  struct thread_table threads;
  struct queue queue;
  pid_t root;
  int wstatus; /* of the root program */
  int listener;
  size_t listening;              /* threads in a group-stop */
  int stopped_by;                /* the signal of the last; 0: we have stopped for it */
  size_t held_back;              /* THREAD_NEW threads whose parent has not reported */
  bool launched;                 /* the program runs */
  bool wanted;                   /* there is an interface */
  bool every;                    /* every call arrives, at its entry */
  bool halted;                   /* no thread is resumed */
  bool leaving;                  /* what stops is detached */
  bool attached;                 /* its programs were attached to: they outlive us */
  int32_t window_call;           /* the call that fetches the window's descriptor, with ... */
  uint64_t cookie[TRACE_COOKIE]; /* ... these words */
  uint8_t kinds[TRACE_KINDS];    /* by callnum: why the filter traps it; KIND_... */
  bool far_wanted;               /* an interface names a callnum beyond them */
  bool own_wanted;               /* an interface names a callnum of its author's */
  struct traps traps;
  bool filters_short; /* some process has not all of the filters */
  bool told_lent;     /* it was logged that there is a program without a window */
  bool told_clock;    /* that the clock of one is not seen */
  bool told_unread;   /* that the filters of one cannot be read */
  struct launch *launch;
  struct no_window window;
  struct affinity affinity;
  struct relay relay;
  size_t ndue;      /* threads in a call with a time-out that we watch over */
  timer_t ticker;   /* ends our wait when the next is over */
  int64_t next_due; /* INT64_MAX: there is none */
  bool ticks;
  sigset_t mask;                /* of the calling thread */
  struct sigaction old_sigchld; /* of the process */
  int dumpable;
  struct raised raised[2]; /* limits of the process: run.c */
};

/* }========================================================================= */

/* {================================== run.c ================================ */

extern const struct observer run_unobserved;

/* A run that is not of anything yet; the state is entered. A status. */
int run_begin(struct lencase_state *st, struct trace_run **out);
void run_end(struct trace_run *run);

/*
** Keeps a cage of the same user from writing into us, and raises the limit of open files. After the
** fork: the program would inherit both.
*/
void run_hide(struct trace_run *run);

/* Until all tracees are gone, or the run is halted. */
void run_loop(struct trace_run *run);

/* }========================================================================= */

/* {================================= queue.c =============================== */

void queue_open(struct queue *q);

/* A thread is created; it is gone. */
void queue_join(struct queue *q, struct thread *t);
void queue_leave(struct queue *q, struct thread *t);

/* waitpid reported a thread, and none is waiting. */
void queue_add(struct trace_run *run, pid_t tid, int status);

/* The same at any time; its turn comes behind those that wait already, or before. */
void queue_told(struct trace_run *run, pid_t tid, int status);

/* The thread whose turn it is, and its wait status; NULL: none is waiting. */
struct thread *queue_next(struct queue *q, int *status);

/* Collects the stops that are there, without handling them. */
void queue_collect(struct trace_run *run);

/* The pending stop of one thread, out of turn. False: there is none. */
bool queue_take(struct thread *t, int *status);

/* }========================================================================= */

/* {================================= start.c =============================== */

/* The ptrace options of all tracees. */
#define TRACE_OPTIONS                                                                         \
  (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | \
   PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)

/* Starts the program; it is in the table afterwards. A status. */
int start_program(struct trace_run *run, char *const argv[]);

/* Our child says that its filter is there: fetches the listener. */
void start_ready(struct trace_run *run);

/* How the launch ended, for lencase_trace_run: a status. */
int start_outcome(struct trace_run *run, int *wstatus);
void start_close(struct trace_run *run);

/* }========================================================================= */

/* {================================ filter.c =============================== */

/*
** Builds the filter for a cage: up to 'capacity' instructions of 8 bytes.
** A status. Fills in run->kinds too.
*/
int filter_build(struct trace_run *run, const struct lencase_cage *cage, void *code,
                 size_t capacity, size_t *n);

/* A filter for what handlers want and no filter of the run's traps yet; *n 0: there is nothing. */
int filter_build_more(struct trace_run *run, void *code, size_t capacity, size_t *n);
void filter_close(struct trace_run *run);

/* Whether a handler of the cage's is in force. */
bool filter_any_wanted(const struct lencase_cage *cage);

/* }========================================================================= */

/* {================================ thread.c =============================== */

int thread_table_open(struct trace_run *run);
void thread_table_close(struct trace_run *run); /* releases every cage */

struct thread *thread_find(const struct trace_run *run, pid_t tid);
struct thread *thread_new(struct trace_run *run, pid_t tid);
void thread_join(struct thread *t, struct process *proc);
void thread_rename(struct trace_run *run, struct thread *t, pid_t tid);

/* The thread is gone; with the last of its process the cage is gone. */
void thread_ended(struct trace_run *run, struct thread *t, int status);

/* Frees a thread and what it held, without a word about its process. */
void thread_drop(struct trace_run *run, struct thread *t);

/* Drops the calls of a thread that is gone. */
void thread_drop_calls(struct thread *t);

struct process *process_new(struct trace_run *run, pid_t tgid);
void process_free(struct trace_run *run, struct process *proc);

/* It has ended, or is not traced any more. Its threads are dropped. */
void process_ended(struct trace_run *run, struct process *proc, int status);

/* The first cage of a run. A status. */
int process_first(struct trace_run *run, struct thread *t);
struct space *space_new(struct trace_run *run, pid_t pid);
void space_unref(struct trace_run *run, struct space *space);

/* Resumes a stopped thread, with a signal or 0. False when it is gone. */
bool thread_resume(struct thread *t, int sig);

/* The same by any request that has a thread go on. */
bool thread_go(struct thread *t, enum __ptrace_request request, int sig);

/* A request of ptrace's about a stopped thread. False when it is gone. */
bool thread_ptrace(const struct thread *t, enum __ptrace_request request, uintptr_t addr,
                   uintptr_t data);

/* The name of a request, as ptrace(2) has it. */
const char *thread_request_name(int request);

/* Asks a thread to stop. False when it is gone. */
bool thread_interrupt(struct thread *t);

/* A stop of it is dealt with from now on. */
void thread_stopped(struct thread *t);

/*
** A thread that runs rests from now on, or does not any more: how it stood. There is no way from
** one rest to another: one that takes it ends the cage.
*/
void thread_rest(struct thread *t, enum thread_stand how);
enum thread_stand thread_move(struct thread *t);

/* Whether it waits for a halted run to go on; and that at a call. */
bool thread_waits(const struct thread *t);
bool thread_waits_at_call(const struct thread *t);

bool regs_get(const struct thread *t, struct user_regs_struct *regs);
bool regs_set(const struct thread *t, const struct user_regs_struct *regs);
void regs_words(const struct user_regs_struct *regs, uint64_t words[LENCASE_MAXARGS]);
void regs_set_call(struct user_regs_struct *regs, int32_t nr,
                   const uint64_t words[LENCASE_MAXARGS]);

/* Whether two calls are the same: number, arguments, place and stack. */
bool regs_same_call(const struct user_regs_struct *a, const struct user_regs_struct *b);

/* The number behind 'name' in /proc/TID/status, like "PPid:"; 0: there is none. */
int thread_status(pid_t tid, const char *name);

/* Whether each of its calls arrives, at its entry. */
bool thread_each(const struct thread *t);

/* What the kernel tells of the syscall stop that a thread is in. False when it is gone. */
bool thread_info(const struct thread *t, struct __ptrace_syscall_info *info);

/* True at the entry of a call. */
bool thread_entry(const struct thread *t, struct __ptrace_syscall_info *info);

/*
** Whether the thread stands before this very call: number, arguments, 'ip' behind its instruction,
** 64-bit. What we make it do and what is waved through is compared so: the program's other threads,
** and processes that may write into it, can change instructions that are not in the window.
*/
bool thread_at_call(const struct thread *t, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
                    uint64_t ip);

/* The same of the call in 'regs', as they are at its entry. */
bool thread_at_regs(const struct thread *t, const struct user_regs_struct *regs);

/*
** Kills the cage of a thread, and says why. thread_refuse: of one that did what cannot be, which
** it did not if it is gone.
*/
void thread_kill(const struct thread *t, const char *what);
void thread_refuse(const struct thread *t, const char *what);

/* The process of a thread; before it is known, its own number. */
pid_t thread_pid(const struct thread *t);

/* The thread's own memory: whole or false. */
bool thread_read(struct thread *t, uint64_t addr, void *data, size_t size);
bool thread_write(struct thread *t, uint64_t addr, const void *data, size_t size);

/* Blocks all signals of a stopped thread; gives it its own mask back. */
void thread_mask(struct thread *t);
void thread_unmask(struct thread *t);

/* }========================================================================= */

/* {================================= stop.c ================================ */

/* Handles what waitpid reported. */
void stop_handle(struct trace_run *run, struct thread *t, int status);

/* A syscall stop of a thread without a call of lencase's. */
void stop_syscall(struct trace_run *run, struct thread *t, int status);

enum stop_kind {
  STOP_SYSCALL,
  STOP_SECCOMP,
  STOP_SIGNAL,
  STOP_GROUP,
  STOP_BIRTH,
  STOP_EXEC,
  STOP_KINDS
};

enum stop_kind stop_kind(int status);

/* A wait status in words, with what the kernel tells of the stop: "seccomp openat". */
enum { STOP_TEXT = 64 };
const char *stop_text(const struct thread *t, int status, char text[STOP_TEXT]);

/* }========================================================================= */

/* {======================= arrive.c, tame.c, flight.c ====================== */

/* A trapped call arrived, its registers in t->now.regs; now.by_entry says where. */
void arrive(struct trace_run *run, struct thread *t);

/* Its handlers are asked. */
void arrive_ask(struct trace_run *run, struct thread *t);

/* A call that its handler lets through, or that the host alone trapped. */
void arrive_pass(struct trace_run *run, struct thread *t);

/*
** Changes t->now.words where the call as it stands would let the tracee escape, and keeps track of
** what it does. False: it cannot be carried out, *result is what the caller gets.
*/
bool tame(struct trace_run *run, struct thread *t, int64_t *result);

/* Acts on a verdict about t->now. */
void flight_act(struct trace_run *run, struct thread *t, enum verdict verdict);

/* The call that a thread stands at goes on as it is. */
void flight_pass(struct thread *t);

/* Whether the program's own filters let it live when t->now.nr and words are carried out. */
bool flight_bears(const struct thread *t);

/* Carries out t->now.nr and words: in place or injected. */
void flight_down(struct trace_run *run, struct thread *t);

/* Stops of a downcall: entry, seccomp, exit; and of what is made instead of a skipped call. */
void flight_entered(struct trace_run *run, struct thread *t, int status);
void flight_trapped(struct trace_run *run, struct thread *t, int status);
void flight_exited(struct trace_run *run, struct thread *t, int status);
void flight_skip_trapped(struct trace_run *run, struct thread *t, int status);
void flight_skipped(struct trace_run *run, struct thread *t, int status);

/*
** Changes registers so that the call a thread stands at is not made. Behind the filter there is
** then none (-1). At its entry the filters are still to come, and an outer one that is a list of
** what is allowed would answer -1 in our place, or kill: a call that all allow is made instead.
*/
void flight_skip(const struct thread *t, struct user_regs_struct *regs);

/* Gives the thread its result and resumes it. */
void flight_finish(struct trace_run *run, struct thread *t, int64_t result);

/* The call is over: recycled, or (dropped) its thread is gone. */
void flight_close(struct thread *t, struct flight *f, bool dropped);

/* }========================================================================= */

/* {================================ signal.c =============================== */

/* What becomes of a signal that is delivered to a thread. */
enum signal_action { SIGNAL_ENDS, SIGNAL_IGNORED, SIGNAL_STOPS, SIGNAL_CAUGHT };
enum signal_action signal_action(const struct thread *t, int sig);

/* SIGSTOP and its kind. */
bool signal_stops(int sig);

/* Whether a signal that it does not block is on its way to a thread; 'sig' to its process. */
bool signal_waits(const struct thread *t);
bool signal_shared(const struct thread *t, int sig);

/* The si_code of the signal whose stop a thread is in; 0: that of kill(2), or it is gone. */
int signal_code(const struct thread *t);

/* A signal's stop in THREAD_INTERRUPTED; the stops of THREAD_FRAME. */
void signal_arrived(struct trace_run *run, struct thread *t, int status);
void signal_frame(struct trace_run *run, struct thread *t, int status);
void signal_no_frame(struct trace_run *run, struct thread *t, int status);

/* The entry of a call of a thread that runs with calls held. */
void signal_watch(struct thread *t, const struct __ptrace_syscall_info *info);

/* }========================================================================= */

/* {================================ restart.c ============================== */

/* -ERESTARTNOHAND: the call is made again, unless a signal handler runs. */
enum { RESTART_UNSEEN = -514 };

/* -ERESTART_RESTARTBLOCK: the kernel goes on with it by restart_syscall. */
enum { RESTART_BLOCK = -516 };

/* A result that says "restart me" (ERESTARTSYS ...), which the caller must not see. */
bool restart_wanted(int64_t result);

void restart_open(struct trace_run *run);
void restart_close(struct trace_run *run);

/* Cuts short the calls whose time-out is over; our wait ends when the next is. */
void restart_wake(struct trace_run *run);

/* The thread's call, t->now, is carried out from now on; it is let through. */
void restart_begins(struct thread *t);
void restart_passes(struct thread *t);

/* The end of a call in flight: a result, or one of restart_wanted, for the kernel. */
int64_t restart_result(struct thread *t, int64_t result);
void restart_interrupted(struct trace_run *run, struct thread *t, int64_t result);

/* What comes after: the stops of calls in THREAD_INTERRUPTED. */
void restart_entered(struct trace_run *run, struct thread *t, int status);
void restart_trapped(struct trace_run *run, struct thread *t, int status);

/* Whether the innermost call held has its restart at its entry, and the next entry may be it. */
bool restart_awaits_entry(const struct thread *t);

/* True when t->now.regs are the restart of a call held: it goes on then. */
bool restart_resumes_held(struct trace_run *run, struct thread *t);

/* The cause of a stop is unknown: it may have cut short a call that is made again. */
void restart_short(struct thread *t);

/* The same for the stops of signals, of job control, and behind a call. */
void restart_signal(struct thread *t, int sig);
void restart_group(struct thread *t, int sig);
void restart_exit(struct thread *t);

/* A call is made, or the thread does something else: whether it is that one. */
void restart_entry(struct thread *t, const struct __ptrace_syscall_info *info);

/* The next call and its end have to be seen. */
bool restart_awaits_stop(const struct thread *t);

/* True when the call that arrived, t->now.regs, is that one, and goes on as it was let through. */
bool restart_made_again(struct thread *t);
void restart_over(struct thread *t);

/* A stop signal has come while the call in flight was to be made again. */
void restart_stopped(struct thread *t);

/* }========================================================================= */

/* {================================= birth.c =============================== */

void birth_reported(struct trace_run *run, struct thread *parent, int status);
void birth_stopped(struct trace_run *run, struct thread *t, int status);

/* Cages for the children of a process that will not report them any more. */
void birth_adopt(struct trace_run *run, struct process *parent);
void birth_await(struct trace_run *run);

void birth_execed(struct trace_run *run, struct thread *t, int status);
void birth_exec_exit(struct trace_run *run, struct thread *t, int status);

/* }========================================================================= */

/* {================================= vdso.c ================================ */

/* Hides the vDSO from a new program, before its first instruction, where handlers want it. */
void vdso_hide(struct trace_run *run, struct thread *t);

/* }========================================================================= */

/* {================================= steps.c =============================== */

/*
** What a thread is made to do while the tracer waits for it; none of it blocks. Signals are blocked
** (thread_mask); a SIGSTOP is kept for later. 'over': the thread has ended or executed another
** program, which is in the queue; or it has done something else than it was made to, or nothing for
** too long, and its cage is ended. Everything fails then.
*/
struct steps {
  struct trace_run *run;
  struct thread *t;
  struct user_regs_struct regs; /* to be put back */
  int32_t nr;                   /* the call that is made ... */
  uint64_t words[LENCASE_MAXARGS], ip;
  int stopped_by;
  bool over;
};

/* Waits for what comes next: a stop, or that 'fd' (-1: none) can be read. NEWS_NONE: it is over. */
enum steps_news { NEWS_NONE, NEWS_STOP, NEWS_FILE };
enum steps_news steps_wait(struct steps *s, int fd, int *status);

/* An impossible stop: the cage is killed. False. */
bool steps_refuse(struct steps *s, const char *what);

/* Waits for a stop of kind 'want', going on by 'request' after others. */
bool steps_stop(struct steps *s, enum __ptrace_request request, enum stop_kind want);

/* Goes on by 'request' up to there. */
bool steps_go(struct steps *s, enum __ptrace_request request, enum stop_kind want);

/* Stands the thread at the entry of a call, made with the syscall instruction at 'site'. */
bool steps_enter(struct steps *s, uint64_t site, int32_t nr, const uint64_t words[LENCASE_MAXARGS]);
int64_t steps_result(struct steps *s);

/*
** 'body' has a stopped thread make calls: wherever it is, it is there again afterwards. What body
** says; -ESRCH: it is over. A body begins and ends with a thread that stands behind a call.
** steps_inject: one call, by the syscall instruction at 'site': its result. steps_possible: whether
** a thread of a halted run is where that can be done.
*/
typedef int64_t (*steps_fn)(struct steps *s, void *ud);
int64_t steps_detour(struct trace_run *run, struct thread *t, steps_fn body, void *ud);
bool steps_possible(const struct thread *t);
int64_t steps_inject(struct trace_run *run, struct thread *t, uint64_t site, int32_t nr,
                     const uint64_t words[LENCASE_MAXARGS]);

/* The whole call: its result, or -ESRCH. */
int64_t steps_call(struct steps *s, uint64_t site, int32_t nr,
                   const uint64_t words[LENCASE_MAXARGS]);

/* }========================================================================= */

/* {================================= lend.c ================================ */

/*
** Memory of the program's own, which it has from the first time that it is needed until it executes
** another or we leave: statuses as of window_take. What lend_take gives as data is in our own
** memory, and lend_flush brings it over, with that of the calls above.
*/
int lend_memory(struct trace_run *run, struct thread *t);
int lend_take(struct trace_run *run, struct thread *t, struct mem_seg *seg);
void lend_give(struct trace_run *run, struct space *space, const struct mem_seg *seg);
bool lend_flush(const struct call *call);

/* }========================================================================= */

/* {================================ foreign.c ============================== */

/*
** Whether a thread's own filters let it make a call, with the syscall instruction at 'site'.
** foreign_bears: whether a call that a handler makes on its behalf leaves it alive, if only with an
** errno; the program's own unchanged call is not judged.
*/
bool foreign_allows(const struct thread *t, uint64_t site, int32_t nr,
                    const uint64_t words[LENCASE_MAXARGS]);
bool foreign_bears(const struct thread *t, uint64_t site, int32_t nr,
                   const uint64_t words[LENCASE_MAXARGS]);

/* A call that does nothing, and that they let be made in the place of t->now. */
int32_t foreign_harmless(const struct thread *t);

/* For tame(): a call of seccomp(2), and of prctl(2) with PR_SET_SECCOMP. */
bool foreign_seccomp(struct thread *t, int64_t *result);
bool foreign_prctl(struct thread *t, int64_t *result);

/* The result of PR_GET_SECCOMP without lencase's filter; -1: unknown. */
int foreign_mode(const struct thread *t);

/* What is carried out for t->now has that result; it will have none. */
void foreign_over(struct thread *t, int64_t result);
void foreign_forget(struct trace_run *run, struct flight *f);

/* A thread gets the filters of another, as of its parent; or of a process that is gone. It ends. */
void foreign_inherit(struct thread *t, const struct thread *parent);
void foreign_orphan(struct thread *t, const struct process *parent);
void foreign_gone(struct thread *t);

/*
** A program that was attached to loads filters without us, and had some before: reads those of a
** stopped thread. The kernel lets only root do that, and only in a process without a filter.
*/
void foreign_read(struct thread *t);

/* True when a call that arrived ends the thread: it is in strict mode. */
bool foreign_strict(struct trace_run *run, struct thread *t);

/* }========================================================================= */

/* {================================ memory.c =============================== */

/*
** Moves bytes between us and the memory of a thread's process, place by place up to the first byte
** that the program could not touch itself: their number; -EFAULT: not even the first, -ESRCH: it is
** gone, another errno: its memory cannot be reached here.
*/
ssize_t memory_read(struct thread *t, const struct iovec *local, const struct iovec *remote,
                    size_t n);
ssize_t memory_write(struct thread *t, const struct iovec *local, const struct iovec *remote,
                     size_t n);
void memory_close(struct space *space);

/* A mapping, as the kernel has it. */
struct mapping {
  uint64_t start, end, offset, inode;
  uint32_t dev_major, dev_minor, flags; /* MAPPED_... */
};
enum { MAPPED_READ = 1, MAPPED_WRITE = 2, MAPPED_EXEC = 4, MAPPED_SHARED = 8 };

/* The file of a thread's mappings, or -1; what is at an address there. False: nothing. */
int memory_maps(const struct thread *t);
bool memory_mapping(const struct thread *t, int maps, uint64_t addr, struct mapping *m);

/*
** Makes a process that is not dumpable dumpable for the moment, by injected calls: a thread of it
** is stopped at a call of its own. memory_veil undoes it.
*/
enum veil { VEIL_NONE, VEIL_LIFTED, VEIL_STAYS };
enum veil memory_unveil(struct thread *t);
void memory_veil(struct thread *t);

/* }========================================================================= */

/* {================================ window.c =============================== */

/* Maps a window and scratch memory in a new program, stopped at the exit of its execve. */
void window_map(struct trace_run *run, struct thread *t);
void window_free(struct trace_run *run, struct window *w);

/* Why a program has none, in words. */
enum { WINDOW_LACK = 160 };
void window_lack(const struct trace_run *run, const struct space *space, char text[WINDOW_LACK]);

/* Whether a stopped thread's program has a window; a forked one gets its own now. */
bool window_ready(struct trace_run *run, struct thread *t);

/* A part of the window for a thread: a status. window_give takes seg->data and hides the bytes. */
int window_take(struct trace_run *run, struct thread *t, struct mem_seg *seg);
void window_give(struct trace_run *run, const struct space *space, const struct mem_seg *seg);

/* Makes the file as long as 'size' bytes of slots need. */
bool window_grow(struct window *w, size_t size);

/* }========================================================================= */

/* {================================ edges.c ================================ */

/* Where the slots begin that are for anything, and where they end in a window of that size. */
size_t edges_first(void);
size_t edges_last(size_t window_size);

/* The offsets of the pages that the set-up makes unreadable: WINDOW_EDGES of 8 bytes each. */
void edges_write(unsigned char *guards);

/* As window_take and window_give, for host_ops.edge_get and edge_put. */
int edges_take(struct trace_run *run, const struct thread *t, struct mem_seg *seg);
void edges_give(struct trace_run *run, const struct space *space, const struct mem_seg *seg);

/* }========================================================================= */

/* {=================================== ops ================================= */

extern const struct host_ops trace_ops;

struct trace_run *trace_run_of(const struct lencase_cage *cage);

/* }========================================================================= */

/* {=============================== affinity.c ============================== */

void affinity_open(struct affinity *a);
void affinity_close(struct affinity *a);

/* A thread stopped. */
void affinity_stop(struct affinity *a, const struct thread *t);

/* CPU masks as they would be without lencase. */
void affinity_release(struct affinity *a);

/* A child of a thread gets the mask that it would have. */
void affinity_child(const struct affinity *a, pid_t parent, pid_t child);

/* The same, where no thread of its parent is left. */
void affinity_orphan(const struct affinity *a, const struct process *parent, pid_t child);

/* }========================================================================= */

/* {================================= relay.c =============================== */

/* Blocks in this thread what is handed on; before the fork. */
void relay_block(struct trace_run *run);
void relay_unblock(struct trace_run *run);

/* SIGCHLD, by which restart.c ends a wait: only while we wait (SIG_UNBLOCK, SIG_BLOCK). */
void relay_ticks(int how);

/* Its handler: that it comes ends a wait. */
void relay_child(int sig);

int relay_open(struct trace_run *run);
void relay_close(struct trace_run *run);

/* The process that /proc/'name' is about, when it is one that 'tracer' traces; else 0. */
pid_t relay_traced(pid_t tracer, const char *name);

/* A thread is in a group-stop by 'sig'. */
void relay_listen(struct trace_run *run, struct thread *t, int sig);

/* All threads are in a group-stop: stops us, too, until we are continued. */
bool relay_all_stopped(const struct trace_run *run);
void relay_stop(struct trace_run *run);

/* }========================================================================= */

/* {================================= live.c ================================ */

/* Whether a thread may be in a call that makes another: looks again at a running one. */
bool live_may_fork(pid_t tid);

/* }========================================================================= */

/* {================================ extend.c =============================== */

/* Every process gets filters for what is handled by now. False: not all of it is trapped so. */
bool extend_filters(struct trace_run *run);

/* }========================================================================= */

/* {================================ attach.c =============================== */

/* Seizes every thread of a process. A status. */
int attach_to(struct trace_run *run, pid_t pid);

/* LENCASE_EHOST: a program that cannot be traced (32-bit). */
int attach_check(const struct trace_run *run);

/* Detaches a halted process, with all that was changed in it undone. It is no cage any more. */
void attach_leave(struct trace_run *run, struct process *proc);
void attach_leave_all(struct trace_run *run);

/* }========================================================================= */

#endif
