/*
** inline_int.h - what the files of the inline host share
**
** Why syscall user dispatch and not a seccomp filter with SECCOMP_RET_TRAP: a filter survives exec,
** and the new program's dynamic linker would die of its first named call, before any code could
** install a handler. Dispatch ends with exec; the preloaded library begins it anew. Its price is
** that every call of the program is dispatched, also one that no grate names.
**
** It is no boundary: program and grate are in one address space, and a program that wants to can
** jump to the gate, or write into the grate.
**
** Three kinds of code run in a thread of the program:
** - the program's own: its calls raise SIGSYS;
** - the handler's (dispatch.c and its like), on a stack of ours that every thread has: stack.c. It
**   uses no TLS and no libc, and makes its calls by the gate. The program's handlers do not run
**   meanwhile: defer.c;
** - the engine's: the rooms above host.h, Lua, and their libc. One thread at a time is in there, on
**   one stack and with one thread pointer of the engine's own, so that no thread of the program
**   needs anything of ours, however it was made. What it does without the gate raises SIGSYS, too,
**   and is let through.
** No thread waits for the kernel inside of the engine, nor with the lock held.
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

/* What a patched site comes to while vector registers are the program's. */
#define GENERAL_REGS __attribute__((target("general-regs-only")))

/* The kernel's sigset_t. */
typedef uint64_t inline_mask;
#define MASK_OF(sig) (UINT64_C(1) << ((sig)-1))
#define MASK_ALL (~MASK_OF(SIGSYS)) /* SIGSYS is never blocked: a dispatched call would kill */

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
  bool here;   /* false: it is a process of its own, we are its child by fork */
  bool killed; /* it ends when the call that is at work lets go of the engine */
  struct process *next;
};

/* A call of the program's that a grate has: the call's 'thread'. */
struct flight {
  struct process *proc;
  struct call *call;
  uint64_t id; /* never used again: a thread that waited for the kernel looks for it */
  const struct inline_thread *thread; /* which one made it */
  uintptr_t sp;                       /* of the code that made the call */
  int32_t nr;                         /* what it has the kernel do */
  uint64_t words[LENCASE_MAXARGS];
  struct flight *next;
};

/*
** A handler of the program's has come into a call that we carry out: what is on the work stack
** above this is to stay until that handler returns.
*/
struct inline_pause {
  struct inline_pause *outer;
  uintptr_t frame; /* the handler's ucontext_t */
  uint64_t sp;     /* the program's own, where it made the call */
  bool high;       /* that is on its alternate stack */
  bool shown; /* the handler was shown the program's registers: it is 'here' that it returns to */
  gregset_t here;
};

/* A thread: the beginning of its area (stack.c), and how signals are deferred (defer.c). */
struct inline_thread {
  volatile bool inside, deferred; /* in this order: inline_signal_entry */
  volatile bool keeps;            /* 'kept' has come, and is not in the kernel's queue */
  volatile bool at_gate;          /* it is past inline_leave_host */
  bool blocks_sigsys;             /* as far as the program knows */
  bool sigsys_waits;         /* one that the program sent to itself, 'sigsys', until it may come */
  bool lent;                 /* to a child, until it executes a program or ends */
  uint32_t busy;             /* 0: no thread's */
  volatile inline_mask mask; /* deferred: the program's */
  struct arrival
      *volatile awaiting;      /* whose call is being carried out, or about to be; NULL: none */
  struct inline_thread *next;  /* of all that there are */
  struct inline_pause *paused; /* the innermost; NULL: none */
  uintptr_t pointer;           /* the thread pointer that it is found by; 0: it is not */
  stack_t alternate;           /* the program's own, as the kernel would have it */
  siginfo_t kept, sigsys;
};

struct inline_found {
  uintptr_t pointer;
  struct inline_thread *thread;
};

/* A handler that is about to be entered, in the order of inline_signal_entry. */
struct inline_entry {
  uintptr_t handler;
  int64_t sig;
  siginfo_t *info;
  ucontext_t *uc;
  uintptr_t sp;                /* at the frame's return address */
  struct inline_thread *opens; /* signals may come in; NULL: they were not kept out */
};

/* What was dispatched. */
struct arrival {
  struct inline_host *h;
  struct inline_thread *thread;
  bool closed; /* all signals are blocked, and *mask is what the program has blocked */
  int64_t nr;
  uint64_t words[LENCASE_MAXARGS];
  inline_mask *mask;
  uint64_t sp;    /* of the code that made the call */
  bool done;      /* signals may come in, and nothing of ours is left to do */
  ucontext_t *uc; /* the program's registers; NULL: it came from a patched site */
};

/* Memory for a program's environment, given back when a child that shares memory executed it. */
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
  bool wrfsbase; /* the processor's instruction may be used */
  bool off;      /* the state is closed: everything is let through */
  bool wants;    /* some grate handles something */
  uint8_t wanted[INLINE_NRS / 8];
  bool far_wanted;
  pid_t pid;
  uintptr_t stack;           /* the engine's: INLINE_STACK bytes from here */
  struct process *processes; /* the first one last */
  struct flight *flights, *idle;
  uint64_t last_id;
  struct exec_block *exec_blocks;
  uint8_t avoids; /* INLINE_AVOID_... */
  bool by_pipe;   /* bytes.c: nothing else is allowed */
  int pipe[2];    /* 0: none */
  uint32_t pipe_lock;
  uint64_t going[INLINE_TRACEES]; /* tracer.c */
  uintptr_t stubs;                /* patch.c */
  uint32_t nstubs;
  bool unpatchable, patched_all;
  struct {
    uint32_t after, count;
  } sites[INLINE_SITES];           /* how often they have raised SIGSYS */
  uint8_t slow[INLINE_NRS / 8];    /* calls that a grate or the host itself handles */
  uint8_t aside[INLINE_NRS / 8];   /* calls that go by SIGSYS, always */
  uint8_t descriptors[INLINE_NRS]; /* kept.c: of each call, which arguments may be one */
  struct kernel_action sigsys;     /* what the program believes to have installed */
  bool shared_pointers;            /* there are threads that share a thread pointer */
  struct inline_thread *areas;     /* all of them */
  struct inline_found found[INLINE_FOUND];
  struct kernel_action actions[INLINE_SIGNALS]; /* the program's: the kernel has our entry */
};

/* {================================== gate ================================= */

/* A system call by the gate: the kernel's result. */
int64_t inline_raw(const struct inline_host *h, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);
int64_t inline_raw3(const struct inline_host *h, int64_t nr, uint64_t a, uint64_t b, uint64_t c);
int64_t inline_raw5(const struct inline_host *h, int64_t nr, uint64_t a, uint64_t b, uint64_t c,
                    uint64_t d, uint64_t e);

/* The same for a trap that has a slot, whose 'awaiting' it is. */
int64_t inline_raw_awaited(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);

/* A thread whose trap is at its gate, with its instruction pointer here: the kernel has done
** nothing of the call, or will begin it anew. */
bool inline_not_begun(const struct inline_host *h, uint64_t rip);

/* The same for words that make a thread: there it goes on with the trap's registers, in an area of
** its own. The stack that it is given is not touched, and may be none. */
int64_t inline_raw_clone(const struct arrival *a, const uint64_t words[LENCASE_MAXARGS],
                         struct inline_thread *thread);

/* The same for one that ends this thread, whose slot may be another's from then on. */
void inline_raw_leave(const struct inline_host *h, int64_t nr, uint64_t word,
                      struct inline_thread *thread) __attribute__((noreturn));

/* rt_sigreturn with the frame that lies at 'sp'. */
void inline_sigreturn(const struct inline_host *h, uint64_t sp) __attribute__((noreturn));

/* This library's own place, for programs that link it. */
struct inline_place inline_own_place(void);

/* Calls of this thread are dispatched from now on. 0 or -errno. */
int64_t inline_dispatch_on(const struct inline_host *h);

/* Runs fn(arg) in the engine. The lock is held. */
void inline_engine(struct inline_host *h, void (*fn)(void *), void *arg);

/* True when 'sp' is the engine's. */
bool inline_in_engine(const struct inline_host *h, uint64_t sp);

void inline_lock(struct inline_host *h);
void inline_unlock(struct inline_host *h);

/* The same for other words than the engine's. */
void inline_lock_word(const struct inline_host *h, uint32_t *word);
void inline_unlock_word(const struct inline_host *h, uint32_t *word);

/* bytes.c: bytes of the program's that may not be there: how many were copied. */
size_t inline_peek(struct inline_host *h, uint64_t addr, void *data, size_t size);
size_t inline_poke(struct inline_host *h, uint64_t addr, const void *data, size_t size);

/* At most INLINE_SEGMENTS, up to the first byte that cannot be read. */
size_t inline_peek_all(struct inline_host *h, const struct mem_seg *segs, size_t n);

/* They go through a pipe from now on. False: there can be none. */
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

/* A slot with its area, for a thread to be made; NULL: no memory. */
struct inline_thread *inline_thread_new(struct inline_host *h);

/* This thread's from now on. */
void inline_thread_land(const struct inline_host *h, const struct inline_thread *t);

/* The thread's that was interrupted; NULL: it is none of the program's. */
struct inline_thread *inline_thread_of(const ucontext_t *uc);

/* This thread's, whose stack is in its area. */
struct inline_thread *inline_thread_here(void);

/* This thread's by its thread pointer; NULL: it is not found so. */
GENERAL_REGS struct inline_thread *inline_thread_found(struct inline_host *h);

/* It will be found so; it no longer is. */
void inline_thread_find(struct inline_host *h, struct inline_thread *t);
void inline_thread_lose(struct inline_host *h, struct inline_thread *t);

/* There are no others (in the child of a fork). */
void inline_threads_keep(struct inline_host *h, struct inline_thread *own);

/* What lies there is about to be moved: no handler may come in. */
bool inline_on_landing(const struct inline_thread *t, uint64_t sp);

/* Where the next level of the work stack begins; there is not much left of it. */
GENERAL_REGS uintptr_t inline_work(const struct inline_thread *t);
GENERAL_REGS bool inline_work_is_scarce(const struct inline_thread *t);

/* The frame goes to the work stack, for code of ours. */
void inline_to_work(struct inline_thread *t, struct inline_entry *e);

/* It goes where a handler's frame of the program's goes ('high': SA_ONSTACK), if there is room. */
void inline_to_program(struct inline_thread *t, struct inline_entry *e, bool high);
bool inline_has_room(const struct inline_thread *t, const ucontext_t *uc);

/* Such a handler returns by this frame. */
void inline_resume(struct inline_thread *t, ucontext_t *uc);

/* The program's alternate stack: whether 'sp' is on it; sigaltstack(2) on it: 0 or -errno. */
bool inline_is_high(const struct inline_thread *t, uint64_t sp);
stack_t inline_alternate(const struct inline_thread *t, uint64_t sp);
int inline_alternate_set(struct inline_thread *t, const stack_t *stack, uint64_t sp);

/* As a frame has it: on a handler's way in, and on its way out. */
void inline_alternate_show(struct inline_thread *t, ucontext_t *uc);
void inline_alternate_take(struct inline_thread *t, ucontext_t *uc, uint64_t sp);

/* }========================================================================= */

/* {========================= entering and leaving the host ================= */

/* Between the two no signal handler of the program's runs in this thread. */
void inline_enter_host(struct arrival *a);
void inline_leave_host(struct arrival *a);

/* Leaves the host and makes the call: its signals come as to a program that waits for it. */
int64_t inline_await(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);

/* The same as inline_leave_host when a frame with the program's mask is taken down next. */
void inline_sigreturn_opens(struct arrival *a);

/* The program's handler whose frame lies at a->sp returns. */
void inline_return(struct arrival *a) __attribute__((noreturn));

/* A SIGSYS that has waited for this comes, when the program no longer blocks it. */
void inline_sigsys_comes(const struct inline_host *h, struct inline_thread *t);

/* Blocks them by the kernel's mask: for what makes or ends a thread. */
void inline_close(struct arrival *a);

/* rt_sigaction, as the program means it: *old is what it had. 'new' may be NULL. Lock held. */
int64_t inline_set_action(struct inline_host *h, uint64_t sig, const struct kernel_action *new,
                          struct kernel_action *old);

/* The kernel's own action for a signal, whatever the program wants. */
void inline_set_default(const struct inline_host *h, int sig);

/* This is a child that shares the memory of its parent. */
bool inline_is_sharing(const struct inline_host *h);

/* The handlers that were there before us. */
void inline_adopt_handlers(struct inline_host *h);

/* }========================================================================= */

/* {================================ the calls ============================== */

extern const struct host_ops inline_ops;

/* The one of this process: signal handlers have no argument of ours. */
extern struct inline_host *inline_the_host;

int inline_install(struct inline_host *h);

/* LENCASE_EHOST, with the errno of such a call in the message. */
int inline_no_dispatch(struct lencase_state *st, int err);

/* The kernel raised it for what the thread did just now: to go back would raise it again. */
bool inline_is_fault(int sig, const siginfo_t *info);

/* SIGSYS: a call was dispatched. On the landing, for one of the engine's; and on the work stack. */
#define INLINE_DISPATCHED 2 /* si_code: SYS_USER_DISPATCH */
void inline_on_engine_call(ucontext_t *uc);
void inline_on_call(int sig, siginfo_t *info, ucontext_t *uc);

/* A call of the program's: asks its grates, or carries it out. The result. */
int64_t inline_arrive(struct arrival *a);

/* The processor may be asked for it. */
GENERAL_REGS uintptr_t inline_thread_pointer(const struct inline_host *h);

/* True when more is to be done about a call than to make it. */
bool inline_is_tamed(int64_t nr);

/* patch.c: a site raised SIGSYS, 'after' is the address behind it; a thread is about to be made. */
void inline_patch_hot(struct inline_host *h, uintptr_t after);
void inline_patch_all(struct inline_host *h);
void inline_patch_open(struct inline_host *h);

/* Carries out a call of the program's, or of its grate's for it, as the kernel would without us. */
int64_t inline_carry(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);

/* The same for calls that need nothing done about them. */
int64_t inline_carry_plain(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);

/* The words for the kernel: 'own' where they name descriptors of ours, else the words. */
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

/* filters.c: for a call that loads a seccomp filter */
int64_t inline_carry_filter(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]);

/* In the engine: the process that makes this call; NULL: no memory. */
struct process *inline_self(struct inline_host *h);

/* In the engine: the call is over, or no thread waits for it any more. */
void inline_flight_put(struct inline_host *h, struct flight *f);
void inline_flight_drop(struct inline_host *h, struct flight *f);

/* Tells the grates that the process ends. Lock held, outside of the engine. */
void inline_process_end(struct inline_host *h, int wstatus);

/*
** report.c: this process has something to tell the launcher of the program. Not a child that shares
** the memory: what it does is counted in its parent's grates.
*/
bool inline_reports(const struct inline_host *h);

/* It counts from now on. */
void inline_report_begin(const struct inline_host *h);

/* Names of calls that a filter of the program's may end it for. False: there is no launcher. */
bool inline_report_filter(const struct inline_host *h, const char *names);

/* In the engine: it counts no more, and hands over what it has. */
void inline_report_end(struct inline_host *h);

/*
** fatal.c, when there is a channel to report to: *new is the default, and would end the process;
** what the kernel gets in its place.
*/
bool inline_is_fatal(const struct inline_host *h, int sig, const struct kernel_action *new);
struct kernel_action inline_fatal_action(const struct inline_host *h);
void inline_fatal_open(struct inline_host *h);

/* Gives back what the child with this pid had its program's environment in. Lock held. */
void inline_exec_forget(struct inline_host *h, pid_t pid);

/* mem.c: an allocator in the manner of lencase_alloc, with memory of its own. NULL: none left. */
struct inline_memory *inline_memory_open(void);
void *inline_memory_alloc(void *ud, void *ptr, size_t osize, size_t nsize);

/* }========================================================================= */

#endif
