/*
** gate.c - the machine's side: the gate, the engine's stack, threads on stacks of their own
**
** Compiled without stack protectors (Makefile): thread pointers are switched in here.
*/

#include "inline_int.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>

/* {================================= assembly ============================== */

/*
** lencase_gate: the place of programs that link the library. The restorer is what unwinders
** know a signal frame by, so that a thread can be cancelled inside of a call. The nops keep what
** follows a 'syscall' inside of the range: the kernel looks at the address behind it.
*/
__asm__(".pushsection .text\n"
        ".balign 64\n"
        ".globl inline_gate_begin\n.hidden inline_gate_begin\n"
        ".globl inline_gate_restorer\n.hidden inline_gate_restorer\n"
        ".globl inline_gate_fast\n.hidden inline_gate_fast\n"
        ".globl inline_gate_end\n.hidden inline_gate_end\n"
        "inline_gate_begin:\n"
        "  syscall\n"
        "  ret\n"
        "  .balign 16, 0x90\n"
        "inline_gate_fast:\n"
        "  syscall\n"
        "  ret\n"
        "  .balign 16, 0x90\n"
        "inline_gate_restorer:\n"
        "  .byte 0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00\n" /* mov $15, %rax */
        "  syscall\n"
        "  nop\n"
        "  .balign 64, 0x90\n"
        "inline_gate_end:\n"

        /* gate_call(nr, words, gate) returns by the gate's 'ret'. gate_carry sets *at_gate, too. */
        ".balign 16\n"
        "gate_carry:\n"
        "  .cfi_startproc\n"
        "  movb $1, (%rcx)\n"
        "gate_call:\n"
        "  mov %rdi, %rax\n"
        "  mov %rdx, %r11\n"
        "  mov 0(%rsi), %rdi\n"
        "  mov 16(%rsi), %rdx\n"
        "  mov 24(%rsi), %r10\n"
        "  mov 32(%rsi), %r8\n"
        "  mov 40(%rsi), %r9\n"
        "  mov 8(%rsi), %rsi\n"
        "gate_carry_end:\n"
        "  jmp *%r11\n"
        "  .cfi_endproc\n"

        /* gate_sigreturn(sp, gate) */
        ".balign 16\n"
        "gate_sigreturn:\n"
        "  mov %rdi, %rsp\n"
        "  mov $15, %eax\n"
        "  jmp *%rsi\n"

        /* gate_leave(nr, word, gate, busy) */
        ".balign 16\n"
        "gate_leave:\n"
        "  mov %rdi, %rax\n"
        "  mov %rsi, %rdi\n"
        "  movl $0, (%rcx)\n" /* nothing of ours is on the stack from here on */
        "  jmp *%rdx\n"

        /* gate_on_stack(fn, arg, top) */
        ".balign 16\n"
        "gate_on_stack:\n"
        "  .cfi_startproc\n"
        "  push %rbp\n"
        "  .cfi_adjust_cfa_offset 8\n"
        "  .cfi_rel_offset %rbp, 0\n"
        "  mov %rsp, %rbp\n"
        "  .cfi_def_cfa_register %rbp\n"
        "  mov %rdx, %rsp\n"
        "  mov %rdi, %rax\n"
        "  mov %rsi, %rdi\n"
        "  call *%rax\n"
        "  leave\n"
        "  .cfi_def_cfa %rsp, 8\n"
        "  ret\n"
        "  .cfi_endproc\n"

        /* A new thread, at a struct newborn: its registers, then on. */
        ".balign 16\n"
        "gate_newborn:\n"
        "  .cfi_startproc\n"
        "  .cfi_undefined %rip\n"
        "  mov %rsp, %rdi\n"
        "  call gate_newborn_start\n"
        "  add $32, %rsp\n" /* host, slot, mask, fpu */
        "  pop %rdi\n"
        "  pop %rsi\n"
        "  pop %rdx\n"
        "  pop %r8\n"
        "  pop %r9\n"
        "  pop %r10\n"
        "  pop %rbx\n"
        "  pop %rbp\n"
        "  pop %r12\n"
        "  pop %r13\n"
        "  pop %r14\n"
        "  pop %r15\n"
        "  pop %rcx\n" /* as the kernel leaves it: where it goes on */
        "  xor %eax, %eax\n"
        "  pop %rsp\n"
        "  jmp *%rcx\n"
        "  .cfi_endproc\n"
        ".popsection\n");

extern const char inline_gate_begin[], inline_gate_fast[], inline_gate_restorer[],
    inline_gate_end[];
extern const char gate_carry_end[];
int64_t gate_call(int64_t nr, const uint64_t *words, uintptr_t gate);
int64_t gate_carry(int64_t nr, const uint64_t *words, uintptr_t gate, volatile bool *at_gate);
void gate_sigreturn(uint64_t sp, uintptr_t gate) __attribute__((noreturn));
void gate_leave(int64_t nr, uint64_t word, uintptr_t gate, uint32_t *busy)
    __attribute__((noreturn));
void gate_on_stack(void (*fn)(void *), void *arg, uintptr_t top);
void gate_newborn(void);

struct inline_place inline_own_place(void) {
  uintptr_t begin = (uintptr_t)inline_gate_begin;
  return (struct inline_place){.begin = begin,
                               .size = (uintptr_t)inline_gate_end - begin,
                               .gate = begin,
                               .fast = (uintptr_t)inline_gate_fast,
                               .restorer = (uintptr_t)inline_gate_restorer};
}

/* }========================================================================= */

/* {================================ raw calls ============================== */

int64_t inline_raw(const struct inline_host *h, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  return gate_call(nr, words, h->place.gate);
}

int64_t inline_raw_awaited(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  return gate_carry(nr, words, t->h->place.gate, &t->slot->at_gate);
}

bool inline_not_begun(const struct inline_host *h, uint64_t rip) {
  uintptr_t begin = (uintptr_t)gate_carry;
  return rip == h->place.gate || rip - begin <= (uintptr_t)gate_carry_end - begin;
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
                      struct inline_slot *slot) {
  gate_leave(nr, word, h->place.gate, &slot->busy);
}

void inline_sigreturn(const struct inline_host *h, uint64_t sp) {
  gate_sigreturn(sp, h->place.gate);
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
  if (__atomic_exchange_n(word, FREE, __ATOMIC_RELEASE) == AWAITED)
    inline_raw5(h, SYS_futex, (uintptr_t)word, FUTEX_WAKE_PRIVATE, 1, 0, 0);
}

void inline_lock(struct inline_host *h) {
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
  if (h->place.fs == 0) { /* the program's own libc: errno is the program's, too */
    int before = errno;
    gate_on_stack(fn, arg, h->stack + INLINE_STACK);
    errno = before;
    return;
  }
  fs = fs_get(h);
  fs_set(h, h->place.fs);
  gate_on_stack(fn, arg, h->stack + INLINE_STACK);
  fs_set(h, fs);
}

/* }========================================================================= */

/* {================================= threads =============================== */

/* What a new thread begins at, on its work stack (stack.c), in the order of gate_newborn. */
struct newborn {
  uint64_t entry; /* the gate's 'ret' takes it */
  const struct inline_host *h;
  const struct inline_slot *slot;
  inline_mask mask;
  uint32_t mxcsr;
  uint16_t fcw, pad;
  uint64_t rdi, rsi, rdx, r8, r9, r10, rbx, rbp, r12, r13, r14, r15, rip, rsp;
};

void gate_newborn_start(struct newborn *n) __attribute__((used));

/* The thread has the state that its parent had, instead of a signal handler's. */
void gate_newborn_start(struct newborn *n) {
  n = (struct newborn *)((uint64_t *)n - 1); /* the entry was taken */
  __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(n->mxcsr), "m"(n->fcw));
  inline_slot_land(n->h, n->slot);
  inline_dispatch_on(n->h);
  inline_raw5(n->h, SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&n->mask, 0, sizeof n->mask, 0);
}

int64_t inline_raw_clone(const struct trap *t, const uint64_t words[LENCASE_MAXARGS],
                         struct inline_slot *slot) {
  const greg_t *g = t->uc->uc_mcontext.gregs;
  const struct _libc_fpstate *fpu = t->uc->uc_mcontext.fpregs;
  uint64_t own[LENCASE_MAXARGS];
  uint64_t sp = words[1] != 0 ? words[1] : (uint64_t)g[REG_RSP];
  uint64_t *top = (uint64_t *)inline_work(slot); /* NOLINT */
  struct newborn *n;
  uintptr_t at = (uintptr_t)(top - 1) - sizeof *n;
  n = (struct newborn *)((at & ~(uintptr_t)15) - 8); /* NOLINT */
  top[-1] = sp;
  *n = (struct newborn){.entry = (uintptr_t)gate_newborn,
                        .h = t->h,
                        .slot = slot,
                        .mask = *t->mask,
                        .mxcsr = fpu != NULL ? fpu->mxcsr : 0x1f80,
                        .fcw = fpu != NULL ? fpu->cwd : 0x37f,
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
  return inline_raw(t->h, SYS_clone, own);
}

/* }========================================================================= */
