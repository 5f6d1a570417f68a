/*
** entry.h - what entry.S and C share: the functions, and the structs that it builds on stacks
**
** entry.S knows the members by the numbers in offsets.h, which the compiler makes of offsets.c.
*/

#ifndef INLINE_ENTRY_H
#define INLINE_ENTRY_H

#include "inline_int.h"

/* {=============================== raw calls =============================== */

/* The place of programs that link the library. */
extern const char inline_gate_begin[], inline_gate_fast[], inline_gate_restorer[],
    inline_gate_end[];

/* Makes a call, and returns by the 'ret' behind the gate's syscall. */
int64_t inline_gate_call(int64_t nr, const uint64_t *words, uintptr_t gate);

/* The same, and sets *at_gate before. Up to inline_gate_carry_end the call has not begun. */
int64_t inline_gate_carry(int64_t nr, const uint64_t *words, uintptr_t gate,
                          volatile bool *at_gate);
extern const char inline_gate_carry_end[];

void inline_gate_sigreturn(uint64_t sp, uintptr_t gate) __attribute__((noreturn));

/* Ends this thread; *busy becomes 0 when nothing of ours is on its stack any more. */
void inline_gate_leave(int64_t nr, uint64_t word, uintptr_t gate, uint32_t *busy)
    __attribute__((noreturn));

/* Calls fn(arg) on the stack that begins at 'top'. */
void inline_gate_on_stack(void (*fn)(void *), void *arg, uintptr_t top);

/* }========================================================================= */

/* {============================== new threads ============================== */

enum { INLINE_MXCSR = 0x1f80, INLINE_FCW = 0x37f }; /* what a process begins with */

/* On the work stack of a thread that is about to be made. */
struct newborn {
  uint64_t entry; /* inline_newborn: the gate's 'ret' takes it */
  const struct inline_host *h;
  const struct inline_thread *thread;
  inline_mask mask;
  uint32_t mxcsr;
  uint16_t fcw, pad;
  uint64_t rdi, rsi, rdx, r8, r9, r10, rbx, rbp, r12, r13, r14, r15, rip, rsp;
};

/* Where it begins, with its stack at the second word: calls the next, then loads its registers. */
void inline_newborn(void);
void inline_newborn_start(const struct newborn *n);

/* }========================================================================= */

/* {================================ signals ================================ */

/* What the kernel enters for all signals that are handled. */
void inline_signal_entry(void);

/* True: e->handler is entered. False: the thread goes on where the signal came. */
bool inline_signal_arrives(int sig, siginfo_t *info, ucontext_t *uc, struct inline_entry *e);

/* The host is left, on the stack of a signal handler that is about to begin. */
void inline_signal_opens(struct inline_thread *s);

/* }========================================================================= */

/* {============================= patched sites ============================= */

/* What inline_patched_entry puts on the program's stack. */
struct patched {
  uint64_t r15, r14, r13, r12, rbx; /* garbage collectors look for pointers here */
  uint64_t nr, words[LENCASE_MAXARGS];
  uint64_t rbp, after; /* where the site goes on */
  uint8_t red_zone[INLINE_RED_ZONE];
};

enum { INLINE_XMM = 16 }; /* bytes of a register */

/* And at the beginning of a level of the work stack. */
struct patched_level {
  uint8_t xmm[16][INLINE_XMM];
  uint32_t mxcsr, own_mxcsr;
  uint64_t sp; /* stack.c: a red zone above what is on the program's stack */
};

/* Stubs jump here: rax is the number, rcx where the site goes on. */
void inline_patched_entry(void);

/* Bits for the numbers of calls that we handle, and of those that always go by SIGSYS. */
extern const uint8_t *inline_slow, *inline_aside;

/* The second gate, for the other calls. */
extern uintptr_t inline_gate_now;

enum { PATCHED_BY_SIGSYS = 0, PATCHED_AT_ONCE = 1 };

/*
** The work stack of the thread that has made this call, or one of these. Vector registers are the
** program's still.
*/
GENERAL_REGS uintptr_t inline_patched_stack(uint64_t sp);

/* The result of such a call. 'sp' is the program's. */
int64_t inline_patched(const struct patched *p, uint64_t sp);

/* }========================================================================= */

#endif
