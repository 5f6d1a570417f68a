/*
** inline_int.h - what the files of the inline host share
**
** Syscall user dispatch and not a seccomp filter with SECCOMP_RET_TRAP: a filter survives exec, and
** the first named call of the new program's dynamic linker would kill it, before any code could
** install a handler for SIGSYS. Dispatch ends with exec, and the preloaded library turns it on
** again. Its price is that every call of the program is dispatched, also those that no grate names.
**
** This is no boundary: program and grate are in one address space, and the program can jump to the
** gate, or write into the grate.
**
** Three kinds of code run in a thread of the program:
** - the program's own: its calls raise SIGSYS;
** - the host's (dispatch.c and what it calls), on a work stack that every thread has of us:
** stack.c.
**   It uses no TLS and no libc, and makes its calls by the gate. No signal handler of the program
**   runs in the thread meanwhile: defer.c;
** - the engine's: the rooms above host.h, Lua, and their libc. One thread at a time is in there, on
**   the engine's one stack and with its one thread pointer, so that a thread of the program needs
**   nothing that we would have to set up in it, however it was made. Calls that the engine makes
**   without the gate raise SIGSYS as well, and are let through.
** No thread waits for the kernel inside of the engine, nor with the lock held.
**
** A handler is a grate's; those of signals are called signal handlers.
*/

#ifndef INLINE_INT_H
#define INLINE_INT_H

#include "../kernel.h"
#include "inline.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/ucontext.h>

enum {
  INLINE_STACK = 1 << 20,
  INLINE_AREA = 512 << 10,
  INLINE_LANDING = 64 << 10, /* of an area */
  INLINE_NRS = 1024,
  INLINE_SITES = 64,
  INLINE_FOUND = 4096,
  INLINE_SEGMENTS = 64,
  INLINE_TRACEES = 64,
  INLINE_SIGNALS = 64,
  INLINE_RED_ZONE = 128, /* below the stack pointer, of the x86-64 ABI */
  INLINE_SYSCALL = 2     /* bytes of the instruction */
};

/* For what a patched site calls while the vector registers are the program's. */
#define GENERAL_REGS __attribute__((target("general-regs-only")))

/* The kernel's sigset_t. */
typedef uint64_t inline_mask;
#define MASK_OF(sig) (UINT64_C(1) << ((sig)-1))
#define MASK_ALL (~MASK_OF(SIGSYS)) /* while SIGSYS is blocked a dispatched call kills */

/* The kernel's struct sigaction, and the flag that says that it has a restorer. */
#define KERNEL_SA_RESTORER UINT64_C(0x04000000)

struct kernel_action {
  uintptr_t handler;
  uint64_t flags;
  uintptr_t restorer;
  inline_mask mask;
};

/* A process of this address space: the host's part of a cage. */
struct process {
  struct lencase_cage *cage;
  pid_t pid;
  bool here;   /* false: we are its child by fork, and have a copy of its memory */
  bool killed; /* by a grate: it ends when its call leaves the engine */
  struct process *next;
};

/* A call of the program's that a grate has: the call's 'thread'. */
struct flight {
  struct process *proc;
  struct call *call;
  uint64_t id; /* never used again; 0: the call was dropped while its thread was in the kernel */
  const struct inline_thread *thread; /* that made it */
  uintptr_t sp;                       /* of the code that made the call */
  int32_t nr;                         /* the call to be carried out, with its words */
  uint64_t words[LENCASE_MAXARGS];
  struct flight *next;
};

/*
** A signal handler of the program has come into a call that we carry out: what is on the work stack
** above this stays until that signal handler returns.
*/
struct inline_pause {
  struct inline_pause *outer;
  uintptr_t frame; /* its ucontext_t */
  uint64_t sp;     /* the program's, where it made the call */
  bool high;       /* that is on its alternate stack */
  bool shown; /* the frame has the program's registers: the thread goes on with those in 'here' */
  gregset_t here;
};

/* A thread: the beginning of its area (stack.c), and how signals are deferred (defer.c). */
struct inline_thread {
  volatile bool inside;      /* the host: no signal handler of the program may run */
  volatile bool deferred;    /* a signal has come meanwhile, and all are blocked */
  volatile bool has_pending; /* one of them is 'pending' here, and not in the kernel's queue */
  volatile bool at_gate;     /* its call is past inline_leave_host */
  bool blocks_sigsys;        /* as far as the program knows */
  bool sigsys_waits;         /* one that was sent to the program, 'sigsys', until it is unblocked */
  bool lent;                 /* to a child that shares the memory, until it executes or ends */
  uint32_t busy;             /* 0: this is no thread's, and may become a new one's */
  volatile inline_mask mask; /* deferred: the program's */
  struct arrival *volatile awaiting; /* its call is being carried out, or about to; NULL: none */
  struct inline_thread *next;        /* of all that there are */
  struct inline_pause *paused;       /* the innermost; NULL: none */
  uintptr_t pointer;                 /* the thread pointer that it is found by; 0: it is not */
  stack_t alternate;                 /* the program's: the kernel has one of ours */
  siginfo_t pending, sigsys;
};

/* A thread by its thread pointer. */
struct inline_found {
  uintptr_t pointer;
  struct inline_thread *thread;
};

/* A signal handler that is about to be entered. */
struct inline_entry {
  uintptr_t handler;
  int64_t sig;
  siginfo_t *info;
  ucontext_t *uc;
  uintptr_t sp;                /* at the frame's return address */
  struct inline_thread *opens; /* it leaves the host then; NULL: it was not inside */
};

/* A call of the program's that has arrived, by SIGSYS or from a patched site. */
struct arrival {
  struct inline_host *h;
  struct inline_thread *thread;
  bool closed; /* the kernel blocks all signals, and *mask is the program's mask */
  int64_t nr;
  uint64_t words[LENCASE_MAXARGS];
  inline_mask *mask;
  uint64_t sp;    /* of the code that made the call */
  bool done;      /* the host was left for good: the kernel's result is the call's */
  ucontext_t *uc; /* the program's registers; NULL: it came from a patched site */
};

/* Memory for the environment of a program that is executed; its maker may live on, by CLONE_VM. */
struct exec_block {
  size_t size;
  pid_t pid;
  struct exec_block *next;
};

struct inline_host {
  struct lencase_state *st;
  struct inline_place place;
  const char *preload, *script;
  uint32_t lock;   /* of the engine */
  uint32_t others; /* processes that share the memory, besides the first */
  uint32_t threads;
  bool wrfsbase;    /* the kernel lets programs use the instruction */
  uint32_t pkru_at; /* in the XSAVE area of a signal frame; 0: there are no protection keys */
  bool off;         /* the state is closed: everything is let through */
  bool wants;       /* some grate handles something */
  uint8_t wanted[INLINE_NRS / 8];
  bool far_wanted;
  pid_t pid;
  uintptr_t stack;           /* the engine's: INLINE_STACK bytes from here */
  struct process *processes; /* the first one last */
  struct flight *flights, *idle;
  uint64_t last_id;
  struct exec_block *exec_blocks;
  uint8_t avoids; /* INLINE_AVOID_... */
  bool by_pipe;   /* bytes.c: process_vm_readv is refused */
  int pipe[2];    /* 0: none */
  uint32_t pipe_lock;
  uint64_t going[INLINE_TRACEES]; /* tracer.c */
  uintptr_t stubs;                /* patch.c */
  uint32_t nstubs;
  bool unpatchable, patched_all;
  struct {
    uint32_t after, count;
  } sites[INLINE_SITES];           /* how often they have raised SIGSYS */
  uint8_t slow[INLINE_NRS / 8];    /* a bit each: calls that a grate or the host handles */
  uint8_t aside[INLINE_NRS / 8];   /* calls that always go by SIGSYS */
  uint8_t descriptors[INLINE_NRS]; /* kept.c: of each call, which arguments may be one */
  struct kernel_action sigsys;     /* the program's; the kernel has ours */
  bool shared_pointers;            /* some threads have, or may have, the same thread pointer */
  struct inline_thread *areas;     /* all, also idle ones */
  struct inline_found found[INLINE_FOUND];
  struct kernel_action actions[INLINE_SIGNALS]; /* the program's; the kernel has our entry */
};

/* {================================== gate ================================= */

/* A system call by the gate: the kernel's result. */
int64_t inline_raw(const struct inline_host *h, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);
int64_t inline_raw3(const struct inline_host *h, int64_t nr, uint64_t a, uint64_t b, uint64_t c);
int64_t inline_raw5(const struct inline_host *h, int64_t nr, uint64_t a, uint64_t b, uint64_t c,
                    uint64_t d, uint64_t e);

/* The same for a->thread, whose 'awaiting' is 'a'. */
int64_t inline_raw_awaited(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);

/* Of a thread at its gate whose instruction pointer is here: the kernel has not begun the call, or
** will begin it anew. */
bool inline_not_begun(const struct inline_host *h, uint64_t rip);

/* clone(2) with these words: the new thread goes on with a's registers. The stack that the program
** gives it is not touched. */
int64_t inline_raw_clone(const struct arrival *a, const uint64_t words[LENCASE_MAXARGS],
                         struct inline_thread *thread);

/* A call that ends this thread; its area may be another thread's from then on. */
void inline_raw_leave(const struct inline_host *h, int64_t nr, uint64_t word,
                      struct inline_thread *thread) __attribute__((noreturn));

/* rt_sigreturn with the frame that lies at 'sp'. */
void inline_sigreturn(const struct inline_host *h, uint64_t sp) __attribute__((noreturn));

/* This library's own place, for programs that link it. */
struct inline_place inline_own_place(void);

/* The kernel dispatches this thread's calls from now on: 0 or -errno. */
int64_t inline_dispatch_on(const struct inline_host *h);

/* Runs fn(arg) in the engine. The lock is held. */
void inline_engine(struct inline_host *h, void (*fn)(void *), void *arg);

/* True when 'sp' is the engine's. */
bool inline_in_engine(const struct inline_host *h, uint64_t sp);

void inline_lock(struct inline_host *h);
void inline_unlock(struct inline_host *h);

/* The same for other locks than the engine's. */
void inline_lock_word(const struct inline_host *h, uint32_t *word);
void inline_unlock_word(const struct inline_host *h, uint32_t *word);

/* bytes.c: copies bytes of the program's, which need not be mapped: how many were copied. */
size_t inline_peek(struct inline_host *h, uint64_t addr, void *data, size_t size);
size_t inline_poke(struct inline_host *h, uint64_t addr, const void *data, size_t size);

/* At most INLINE_SEGMENTS, up to the first byte that cannot be read. */
size_t inline_peek_all(struct inline_host *h, const struct mem_seg *segs, size_t n);

/* Copies go through a pipe from now on. False: there can be none. */
bool inline_bytes_by_pipe(struct inline_host *h);

/* This is the child of a fork. */
void inline_bytes_forked(struct inline_host *h);

/*
** debug.c: a line about an event, if STOPS are asked for. From anywhere but the engine, where
** state_debug does the same. In 'fmt' there may be %s, %d of what is not negative, and PRIx64.
*/
#define inline_debug(h, ...) \
  (((h)->st->config.debug & LENCASE_DEBUG_STOPS) != 0 ? inline_debug_line(h, __VA_ARGS__) : (void)0)
void inline_debug_line(const struct inline_host *h, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* }========================================================================= */

/* {================================== stacks =============================== */

/* An area for a thread that is about to be made; NULL: no memory. */
struct inline_thread *inline_thread_new(struct inline_host *h);

/* It is this thread's area from now on. */
void inline_thread_land(const struct inline_host *h, const struct inline_thread *t);

/* The thread that the signal came to; NULL: it is none of the program's. */
struct inline_thread *inline_thread_of(const ucontext_t *uc);

/* This thread, while it is on its work stack. */
struct inline_thread *inline_thread_here(void);

/* This thread, by its thread pointer; NULL: it cannot be found so. */
GENERAL_REGS struct inline_thread *inline_thread_found(struct inline_host *h);

/* It can be found so from now on; no longer. */
void inline_thread_find(struct inline_host *h, struct inline_thread *t);
void inline_thread_lose(struct inline_host *h, struct inline_thread *t);

/* In the child of a fork: there are no other threads. */
void inline_threads_keep(struct inline_host *h, struct inline_thread *own);

/* What lies on the landing is about to be moved: the host counts as entered. */
bool inline_on_landing(const struct inline_thread *t, uint64_t sp);

/* Where the next level of the work stack begins; little is left of it. */
GENERAL_REGS uintptr_t inline_work(const struct inline_thread *t);
GENERAL_REGS bool inline_work_is_scarce(const struct inline_thread *t);

/* Moves the frame to the work stack, for a signal handler of ours. */
void inline_to_work(struct inline_thread *t, struct inline_entry *e);

/* Moves it to where the program's signal handler has it ('high': SA_ONSTACK), if there is room. */
void inline_to_program(struct inline_thread *t, struct inline_entry *e, bool high);
bool inline_has_room(const struct inline_thread *t, const ucontext_t *uc);

/* Such a signal handler returns by this frame. */
void inline_resume(struct inline_thread *t, ucontext_t *uc);

/* The program's alternate stack: whether 'sp' is on it; sigaltstack(2) on it: 0 or -errno. */
bool inline_is_high(const struct inline_thread *t, uint64_t sp);
stack_t inline_alternate(const struct inline_thread *t, uint64_t sp);
int inline_alternate_set(struct inline_thread *t, const stack_t *stack, uint64_t sp);

/* In a frame: a signal handler is about to be entered, or has returned. */
void inline_alternate_show(struct inline_thread *t, ucontext_t *uc);
void inline_alternate_take(struct inline_thread *t, ucontext_t *uc, uint64_t sp);

/* }========================================================================= */

/* {========================= entering and leaving the host ================= */

/* Between the two no signal handler of the program runs in this thread. */
void inline_enter_host(struct arrival *a);
void inline_leave_host(struct arrival *a);

/* Leaves the host and makes the call, which signals interrupt as the program's own. */
int64_t inline_await(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);

/* Leaves the host when rt_sigreturn comes next, which restores the program's mask. */
void inline_sigreturn_opens(struct arrival *a);

/* The program's signal handler whose frame lies at a->sp returns. */
void inline_return(struct arrival *a) __attribute__((noreturn));

/* Sends a SIGSYS that is pending for the program, if that does not block it any more. */
void inline_sigsys_comes(const struct inline_host *h, struct inline_thread *t);

/* Leaves the host with all signals blocked by the kernel: for calls that make or end a thread. */
void inline_close(struct arrival *a);

/* rt_sigaction, as the program means it: *old is what it had. 'given' may be NULL. Lock held. */
int64_t inline_set_action(struct inline_host *h, uint64_t sig, const struct kernel_action *given,
                          struct kernel_action *old);

/* The kernel's own action for a signal, whatever the program wants. */
void inline_set_default(const struct inline_host *h, int sig);

/* This is a child that shares the memory of its parent. */
bool inline_is_sharing(const struct inline_host *h);

/* Takes over the signal handlers that the program has installed before. */
void inline_adopt_handlers(struct inline_host *h);

/* }========================================================================= */

/* {================================ the calls ============================== */

extern const struct host_ops inline_ops;

/* This process's: a signal handler is given no argument of ours. */
extern struct inline_host *inline_the_host;

int inline_install(struct inline_host *h);

/* LENCASE_EHOST, with the errno of such a call in the message. */
int inline_no_dispatch(struct lencase_state *st, int err);

/* The kernel raised it for the instruction just executed, which would raise it again. */
bool inline_is_fault(int sig, const siginfo_t *info);

/* SIGSYS of a dispatched call: of the engine's, on the landing; of the program's, as a signal
** handler on the work stack. */
#define INLINE_DISPATCHED 2 /* si_code: SYS_USER_DISPATCH */
void inline_on_engine_call(ucontext_t *uc);
void inline_on_call(int sig, siginfo_t *info, ucontext_t *uc);

/* A call of the program's: asks its grates, or carries it out. The result. */
int64_t inline_arrive(struct arrival *a);

/* Of the thread that calls it. */
GENERAL_REGS uintptr_t inline_thread_pointer(const struct inline_host *h);

/* True when the host does more about a call than to make it. */
bool inline_is_tamed(int64_t nr);

/* patch.c: a site has raised SIGSYS, 'after' is the address behind it; a second thread is about to
** be made; the host starts. */
void inline_patch_hot(struct inline_host *h, uintptr_t after);
void inline_patch_all(struct inline_host *h);
void inline_patch_open(struct inline_host *h);

/* Carries out a call of the program's, or its grate's on its behalf, with the effect that it has
** without us. */
int64_t inline_carry(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);

/* The same for calls that are only made. */
int64_t inline_carry_plain(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);

/* The words for the kernel: 'own' if they name descriptors of ours, else 'words'. */
void inline_kept_open(struct inline_host *h);
const uint64_t *inline_without_kept(const struct inline_host *h, int64_t nr,
                                    const uint64_t words[LENCASE_MAXARGS],
                                    uint64_t own[LENCASE_MAXARGS]);

typedef int64_t (*inline_carrier)(struct arrival *a, int64_t nr,
                                  const uint64_t words[LENCASE_MAXARGS]);

inline_carrier inline_signal_carrier(int64_t nr);  /* signal.c; NULL: none */
inline_carrier inline_process_carrier(int64_t nr); /* process.c */
inline_carrier inline_tracer_carrier(int64_t nr);  /* tracer.c */
inline_carrier inline_kept_carrier(int64_t nr);    /* kept.c */
int64_t inline_carry_exec(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);

/* filters.c: loads a seccomp filter */
int64_t inline_carry_filter(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);

/* In the engine: the process that makes this call; NULL: no memory. */
struct process *inline_self(struct inline_host *h);

/* In the engine: the call has ended; it is dropped, since no thread waits for it any more. */
void inline_flight_put(struct inline_host *h, struct flight *f);
void inline_flight_drop(struct inline_host *h, struct flight *f);

/* Tells the grates that the process ends. Lock held, outside of the engine. */
void inline_process_end(struct inline_host *h, int wstatus);

/*
** report.c: this process has something to tell the launcher of the program. Not a child that shares
** the memory: what it does is counted in its parent's grates.
*/
bool inline_reports(const struct inline_host *h);

/* The launcher expects a report of it from now on. */
void inline_report_begin(const struct inline_host *h);

/* Names of calls for which a filter of the program may end it. False: there is no launcher. */
bool inline_report_filter(const struct inline_host *h, const char *names);

/* In the engine: hands over the state of the grates. */
void inline_report_end(struct inline_host *h);

/*
** fatal.c, when there is a channel to report to: whether *given is the default and would end the
** process; what the kernel gets in its place.
*/
bool inline_is_fatal(const struct inline_host *h, int sig, const struct kernel_action *given);
struct kernel_action inline_fatal_action(const struct inline_host *h);
void inline_fatal_open(struct inline_host *h);

/* Unmaps what the child with this pid has had its program's environment in. Lock held. */
void inline_exec_forget(struct inline_host *h, pid_t pid);

/* mem.c: a lencase_alloc with memory of its own. NULL: there is none. */
struct inline_memory *inline_memory_open(void);
void *inline_memory_alloc(void *ud, void *ptr, size_t osize, size_t nsize);

/* }========================================================================= */

#endif
