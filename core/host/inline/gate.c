/*
** gate.c - the machine's side in C: calls by the gate, locks, the engine's stack, new threads
**
** Compiled without stack protectors (Makefile): thread pointers are switched in here.
*/

#include "entry.h"

#include <assert.h>
#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>

/* {================================ raw calls ============================== */

struct inline_place inline_own_place(void) {
  uintptr_t begin = (uintptr_t)inline_gate_begin;
  return (struct inline_place){.begin = begin,
                               .size = (uintptr_t)inline_gate_end - begin,
                               .gate = begin,
                               .fast = (uintptr_t)inline_gate_fast,
                               .restorer = (uintptr_t)inline_gate_restorer};
}

int64_t inline_raw(const struct inline_host *h, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  return inline_gate_call(nr, words, h->place.gate);
}

int64_t inline_raw_awaited(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  return inline_gate_carry(nr, words, a->h->place.gate, &a->thread->at_gate);
}

bool inline_not_begun(const struct inline_host *h, uint64_t rip) {
  uintptr_t begin = (uintptr_t)inline_gate_carry;
  return rip == h->place.gate || rip - begin <= (uintptr_t)inline_gate_carry_end - begin;
}

int64_t inline_raw5(const struct inline_host *h, int64_t nr, uint64_t a, uint64_t b, uint64_t c,
                    uint64_t d, uint64_t e) {
  const uint64_t words[LENCASE_MAXARGS] = {a, b, c, d, e, 0};
  return inline_raw(h, nr, words);
}

int64_t inline_raw3(const struct inline_host *h, int64_t nr, uint64_t a, uint64_t b, uint64_t c) {
  return inline_raw5(h, nr, a, b, c, 0, 0);
}

void inline_raw_leave(const struct inline_host *h, int64_t nr, uint64_t word,
                      struct inline_thread *thread) {
  inline_gate_leave(nr, word, h->place.gate, &thread->busy);
}

void inline_sigreturn(const struct inline_host *h, uint64_t sp) {
  inline_gate_sigreturn(sp, h->place.gate);
}

int64_t inline_dispatch_on(const struct inline_host *h) {
  return inline_raw5(h, SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, h->place.begin,
                     h->place.size, 0);
}

/* }========================================================================= */

/* {================================== locks ================================ */

enum { FREE, TAKEN, AWAITED };

void inline_lock_word(const struct inline_host *h, uint32_t *word) {
  uint32_t seen = FREE;
  if (__atomic_compare_exchange_n(word, &seen, TAKEN, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
    return;
  while (__atomic_exchange_n(word, AWAITED, __ATOMIC_ACQUIRE) != FREE)
    inline_raw5(h, SYS_futex, (uintptr_t)word, FUTEX_WAIT_PRIVATE, AWAITED, 0, 0);
}

void inline_unlock_word(const struct inline_host *h, uint32_t *word) {
  uint32_t seen = __atomic_exchange_n(word, FREE, __ATOMIC_RELEASE);
  assert(seen != FREE);
  if (seen == AWAITED) inline_raw5(h, SYS_futex, (uintptr_t)word, FUTEX_WAKE_PRIVATE, 1, 0, 0);
}

void inline_lock(struct inline_host *h) {
  assert(!inline_in_engine(h, (uintptr_t)__builtin_frame_address(0)));
  inline_lock_word(h, &h->lock);
}

void inline_unlock(struct inline_host *h) {
  inline_unlock_word(h, &h->lock);
}

/* }========================================================================= */

/* {================================ the engine ============================= */

GENERAL_REGS static uintptr_t fs_get(const struct inline_host *h) {
  uintptr_t fs = 0;
  if (h->wrfsbase)
    __asm__ volatile("rdfsbase %0" : "=r"(fs));
  else
    inline_raw3(h, SYS_arch_prctl, ARCH_GET_FS, (uintptr_t)&fs, 0);
  return fs;
}

static void fs_set(const struct inline_host *h, uintptr_t fs) {
  if (h->wrfsbase)
    __asm__ volatile("wrfsbase %0" : : "r"(fs) : "memory");
  else
    inline_raw3(h, SYS_arch_prctl, ARCH_SET_FS, fs, 0);
}

bool inline_in_engine(const struct inline_host *h, uint64_t sp) {
  return sp - h->stack <= INLINE_STACK;
}

uintptr_t inline_thread_pointer(const struct inline_host *h) {
  return fs_get(h);
}

void inline_engine(struct inline_host *h, void (*fn)(void *), void *arg) {
  uintptr_t fs;
  assert(__atomic_load_n(&h->lock, __ATOMIC_RELAXED) != FREE);
  assert(!inline_in_engine(h, (uintptr_t)__builtin_frame_address(0)));
  if (h->place.fs == 0) { /* the program's own libc: errno is the program's, too */
    int before = errno;
    inline_gate_on_stack(fn, arg, h->stack + INLINE_STACK);
    errno = before;
    return;
  }
  fs = fs_get(h);
  fs_set(h, h->place.fs);
  inline_gate_on_stack(fn, arg, h->stack + INLINE_STACK);
  fs_set(h, fs);
}

/* }========================================================================= */

/* {================================= threads =============================== */

/* The thread begins in the host, as its parent is: it gets what its parent had in the program. */
void inline_newborn_start(const struct newborn *n) {
  __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(n->mxcsr), "m"(n->fcw));
  inline_thread_land(n->h, n->thread);
  inline_dispatch_on(n->h);
  inline_raw5(n->h, SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&n->mask, 0, sizeof n->mask, 0);
}

int64_t inline_raw_clone(const struct arrival *a, const uint64_t words[LENCASE_MAXARGS],
                         struct inline_thread *thread) {
  const greg_t *g = a->uc->uc_mcontext.gregs;
  const struct _libc_fpstate *fpu = a->uc->uc_mcontext.fpregs;
  uint64_t own[LENCASE_MAXARGS];
  uint64_t sp = words[1] != 0 ? words[1] : (uint64_t)g[REG_RSP];
  uint64_t *top = (uint64_t *)inline_work(thread); /* NOLINT */
  struct newborn *n;
  uintptr_t at = (uintptr_t)(top - 1) - sizeof *n;
  n = (struct newborn *)((at & ~(uintptr_t)15) - 8); /* NOLINT */
  assert(thread->busy != 0 && (uintptr_t)top % 16 == 0);
  top[-1] = sp;
  *n = (struct newborn){.entry = (uintptr_t)inline_newborn,
                        .h = a->h,
                        .thread = thread,
                        .mask = *a->mask,
                        .mxcsr = fpu != NULL ? fpu->mxcsr : INLINE_MXCSR,
                        .fcw = fpu != NULL ? fpu->cwd : INLINE_FCW,
                        .rdi = (uint64_t)g[REG_RDI],
                        .rsi = (uint64_t)g[REG_RSI],
                        .rdx = (uint64_t)g[REG_RDX],
                        .r8 = (uint64_t)g[REG_R8],
                        .r9 = (uint64_t)g[REG_R9],
                        .r10 = (uint64_t)g[REG_R10],
                        .rbx = (uint64_t)g[REG_RBX],
                        .rbp = (uint64_t)g[REG_RBP],
                        .r12 = (uint64_t)g[REG_R12],
                        .r13 = (uint64_t)g[REG_R13],
                        .r14 = (uint64_t)g[REG_R14],
                        .r15 = (uint64_t)g[REG_R15],
                        .rip = (uint64_t)g[REG_RIP],
                        .rsp = sp};
  memcpy(own, words, sizeof own);
  own[1] = (uintptr_t)n;
  return inline_raw(a->h, SYS_clone, own);
}

/* }========================================================================= */
