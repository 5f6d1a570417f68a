/*
** patch.c - call sites of the program's C library that jump to us, instead of raising SIGSYS
**
** 'mov $nr, %eax; syscall' is most of a C library's sites; syscall(3) itself has 'mov 8(%rsp), %r9'
** there. The five bytes of the mov become a jump to a stub nearby, which does the mov and goes on
** to inline_patched_entry; the syscall stays where it is, for a call that the kernel restarts, and
** for calls that need a signal frame or do not come back: these go there and raise SIGSYS. A call
** that no grate names is then made at once; the others are dispatched as by SIGSYS, without the
** kernel's signal frame.
**
** The bytes are written only while there is one thread, so that no other executes them meanwhile: a
** site that is hot, when it has raised SIGSYS a few times; all of the library, when the second
** thread is about to be made. No other code is patched: in the C library nothing but xmm registers
** can be alive at a call (it is compiled for every x86-64), so that xsavec, which takes as long as
** a whole handler in Lua, is not needed.
*/

#include "inline_int.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum {
  SITE = 7,      /* mov $nr, %eax: 5; syscall: 2 */
  STUB = 24,     /* bytes from one stub to the next */
  STUBS_AT = 16, /* before them: where they all go on */
  STUBS = 640,
  HOT = 4,
  PAGE = 4096
};

#define REACH ((uintptr_t)1 << 30)

/* What inline_patched_entry goes by. */
const uint8_t *inline_slow __attribute__((visibility("hidden")));
const uint8_t *inline_aside __attribute__((visibility("hidden")));
uintptr_t inline_gate_now __attribute__((visibility("hidden")));
void inline_patched_entry(void);

/* What inline_patched_entry has put on the stack. */
struct patched {
  uint64_t nr, words[LENCASE_MAXARGS];
};
int64_t inline_patched(const struct patched *p, uint64_t sp) __attribute__((used));

/* The work stack of a thread that has made this call; 0: it goes by SIGSYS; 1: it is the engine's.
** Vector registers are the program's still. */
GENERAL_REGS uintptr_t inline_patched_stack(uint64_t sp) __attribute__((used));

/*
** At entry: rax the number, rcx where the site goes on, the stack the program's with its red zone.
** All that a system call keeps is kept.
*/
__asm__(
    /* What the call is; then the site, and the red zone. */
    ".macro pop_words\n"
    "  pop %rdi\n"
    "  pop %rsi\n"
    "  pop %rdx\n"
    "  pop %r10\n"
    "  pop %r8\n"
    "  pop %r9\n"
    "  pop %rbp\n"
    "  .cfi_def_cfa %rsp, 136\n"
    "  .cfi_restore %rbp\n"
    ".endm\n"
    ".macro pop_site\n"
    "  pop %rcx\n"
    "  .cfi_adjust_cfa_offset -8\n"
    "  .cfi_register %rip, %rcx\n"
    "  lea 128(%rsp), %rsp\n"
    "  .cfi_adjust_cfa_offset -128\n"
    ".endm\n"
    ".pushsection .text\n"
    ".balign 64\n"
    ".globl inline_patched_entry\n.hidden inline_patched_entry\n"
    "inline_patched_entry:\n"
    "  .cfi_startproc\n"
    "  .cfi_def_cfa %rsp, 0\n"
    "  .cfi_register %rip, %rcx\n"
    "  cmp $1024, %rax\n" /* INLINE_NRS */
    "  jae 2f\n"
    "  mov inline_aside(%rip), %r11\n"
    "  bt %rax, (%r11)\n"
    "  jc 2f\n"
    "  lea -128(%rsp), %rsp\n"
    "  .cfi_adjust_cfa_offset 128\n"
    "  push %rcx\n"
    "  .cfi_adjust_cfa_offset 8\n"
    "  .cfi_offset %rip, -136\n"
    "  mov inline_slow(%rip), %r11\n"
    "  bt %rax, (%r11)\n"
    "  jc 1f\n"
    "  call *inline_gate_now(%rip)\n"
    "  .cfi_remember_state\n"
    "  pop_site\n"
    "  jmp *%rcx\n"
    "1:\n"
    "  .cfi_restore_state\n"
    "  push %rbp\n"
    "  .cfi_adjust_cfa_offset 8\n"
    "  .cfi_offset %rbp, -144\n"
    "  mov %rsp, %rbp\n"
    "  .cfi_remember_state\n"
    "  .cfi_def_cfa_register %rbp\n"
    "  push %r9\n"
    "  push %r8\n"
    "  push %r10\n"
    "  push %rdx\n"
    "  push %rsi\n"
    "  push %rdi\n"
    "  push %rax\n"
    "  push %rbx\n" /* for those who look for pointers on the program's stack */
    "  push %r12\n"
    "  push %r13\n"
    "  push %r14\n"
    "  push %r15\n"
    "  lea 144(%rbp), %rdi\n"
    "  and $-16, %rsp\n"
    "  call inline_patched_stack\n"
    "  cmp $1, %rax\n"
    "  jbe 3f\n"
    "  mov %rax, %r11\n"
    "  lea 32(%rbp), %rax\n" /* stack.c: what a handler may have is known at every instruction */
    "  mov %r11, %rsp\n"
    "  push %rax\n"
    "  sub $280, %rsp\n"
    "  movaps %xmm0, 0(%rsp)\n"
    "  movaps %xmm1, 16(%rsp)\n"
    "  movaps %xmm2, 32(%rsp)\n"
    "  movaps %xmm3, 48(%rsp)\n"
    "  movaps %xmm4, 64(%rsp)\n"
    "  movaps %xmm5, 80(%rsp)\n"
    "  movaps %xmm6, 96(%rsp)\n"
    "  movaps %xmm7, 112(%rsp)\n"
    "  movaps %xmm8, 128(%rsp)\n"
    "  movaps %xmm9, 144(%rsp)\n"
    "  movaps %xmm10, 160(%rsp)\n"
    "  movaps %xmm11, 176(%rsp)\n"
    "  movaps %xmm12, 192(%rsp)\n"
    "  movaps %xmm13, 208(%rsp)\n"
    "  movaps %xmm14, 224(%rsp)\n"
    "  movaps %xmm15, 240(%rsp)\n"
    "  stmxcsr 256(%rsp)\n"
    "  movl $0x1f80, 260(%rsp)\n" /* as a process begins with */
    "  ldmxcsr 260(%rsp)\n"
    "  lea -56(%rbp), %rdi\n"
    "  lea 144(%rbp), %rsi\n"
    "  call inline_patched\n"
    "  ldmxcsr 256(%rsp)\n"
    "  movaps 0(%rsp), %xmm0\n"
    "  movaps 16(%rsp), %xmm1\n"
    "  movaps 32(%rsp), %xmm2\n"
    "  movaps 48(%rsp), %xmm3\n"
    "  movaps 64(%rsp), %xmm4\n"
    "  movaps 80(%rsp), %xmm5\n"
    "  movaps 96(%rsp), %xmm6\n"
    "  movaps 112(%rsp), %xmm7\n"
    "  movaps 128(%rsp), %xmm8\n"
    "  movaps 144(%rsp), %xmm9\n"
    "  movaps 160(%rsp), %xmm10\n"
    "  movaps 176(%rsp), %xmm11\n"
    "  movaps 192(%rsp), %xmm12\n"
    "  movaps 208(%rsp), %xmm13\n"
    "  movaps 224(%rsp), %xmm14\n"
    "  movaps 240(%rsp), %xmm15\n"
    "  lea -48(%rbp), %rsp\n"
    "  pop_words\n"
    "  pop_site\n"
    "  jmp *%rcx\n"
    "3:\n" /* 0: by SIGSYS; 1: at once */
    "  .cfi_restore_state\n"
    "  .cfi_def_cfa_register %rbp\n"
    "  mov %rax, %r11\n"
    "  lea -56(%rbp), %rsp\n"
    "  pop %rax\n"
    "  pop_words\n"
    "  test %r11, %r11\n"
    "  jz 4f\n"
    "  call *inline_gate_now(%rip)\n"
    "  .cfi_remember_state\n"
    "  pop_site\n"
    "  jmp *%rcx\n"
    "4:\n"
    "  .cfi_restore_state\n"
    "  pop_site\n"
    "2:\n"
    "  sub $2, %rcx\n" /* the syscall itself */
    "  jmp *%rcx\n"
    "  .cfi_endproc\n"
    ".popsection\n");

uintptr_t inline_patched_stack(uint64_t sp) {
  struct inline_host *h = inline_the_host;
  const struct inline_slot *s;
  if (inline_in_engine(h, sp)) return 1;
  s = inline_slot_found(h);
  return s == NULL || inline_work_is_scarce(s) ? 0 : inline_work(s);
}

int64_t inline_patched(const struct patched *p, uint64_t sp) {
  struct inline_host *h = inline_the_host;
  inline_mask mask = 0;
  struct trap t = {
      .h = h, .slot = inline_slot_here(), .nr = (int64_t)p->nr, .mask = &mask, .sp = sp};
  int64_t result;
  memcpy(t.words, p->words, sizeof t.words);
  inline_enter_host(&t);
  result = inline_arrive(&t);
  if (!t.done) inline_leave_host(&t);
  return result;
}

/* {================================== stubs ================================ */

/* Pages as near to the library as a jump reaches, below it; 0: there is no room. */
static uintptr_t stubs_new(const struct inline_host *h) {
  uintptr_t code = h->place.code, at;
  size_t size = STUBS_AT + (size_t)STUBS * STUB;
  for (at = (code & ~(uintptr_t)(PAGE - 1)) - REACH / 64; at > code - REACH; at -= REACH / 64) {
    const uint64_t words[LENCASE_MAXARGS] = {at,
                                             size,
                                             PROT_READ | PROT_WRITE | PROT_EXEC,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                                             (uint64_t)-1,
                                             0};
    if (inline_raw(h, SYS_mmap, words) != (int64_t)at) continue;
    *(uintptr_t *)at = (uintptr_t)inline_patched_entry; /* NOLINT */
    return at;
  }
  return 0;
}

static void put32(unsigned char *at, uint32_t n) {
  memcpy(at, &n, sizeof n);
}

/* The site's mov; movabs $after, %rcx; jmp *(where they all go on) */
static uintptr_t stub_new(struct inline_host *h, const unsigned char *site) {
  uintptr_t after = (uintptr_t)site + SITE;
  uintptr_t at = h->stubs + STUBS_AT + (uintptr_t)h->nstubs * STUB;
  unsigned char *p = (unsigned char *)at; /* NOLINT */
  h->nstubs++;
  memcpy(p, site, SITE - 2);
  p[5] = 0x48;
  p[6] = 0xb9;
  memcpy(p + 7, &after, sizeof after);
  p[15] = 0xff;
  p[16] = 0x25;
  put32(p + 17, (uint32_t)(h->stubs - (at + 21)));
  return at;
}

/* }========================================================================= */

/* {================================== sites ================================ */

static bool is_set(const uint8_t *bits, uint32_t nr) {
  return bits[nr / 8] >> nr % 8 & 1;
}

/* A REX prefix before it would make it a mov to another register. */
static bool is_site(const struct inline_host *h, const unsigned char *p) {
  static const unsigned char by_register[] = {0x4c, 0x8b, 0x4c, 0x24, 0x08};
  uint32_t nr;
  if (p[5] != 0x0f || p[6] != 0x05) return false;
  if (memcmp(p, by_register, sizeof by_register) == 0) return true;
  if (p[0] != 0xb8 || (p[-1] & 0xf0) == 0x40) return false;
  memcpy(&nr, p + 1, sizeof nr);
  return nr < INLINE_NRS && !is_set(h->aside, nr);
}

static bool make_writable(const struct inline_host *h, uintptr_t at, size_t size, bool writable) {
  uintptr_t begin = at & ~(uintptr_t)(PAGE - 1);
  int prot = PROT_READ | PROT_EXEC | (writable ? PROT_WRITE : 0);
  return inline_raw3(h, SYS_mprotect, begin, at + size - begin, (uint64_t)prot) == 0;
}

static void patch(struct inline_host *h, unsigned char *site) {
  uintptr_t at = (uintptr_t)site, stub;
  if (h->nstubs == STUBS) return;
  stub = stub_new(h, site);
  site[0] = 0xe9;
  put32(site + 1, (uint32_t)(stub - (at + 5)));
}

static bool may_patch(struct inline_host *h) {
  if (h->unpatchable || h->place.code == 0 || h->threads != 1 || h->others != 0) return false;
  if (h->stubs == 0) h->stubs = stubs_new(h);
  if (h->stubs == 0) h->unpatchable = true;
  return !h->unpatchable;
}

static void patch_one(struct inline_host *h, unsigned char *site) {
  if (!may_patch(h) || !is_site(h, site)) return;
  h->unpatchable = !make_writable(h, (uintptr_t)site, SITE, true);
  if (h->unpatchable) return;
  patch(h, site);
  make_writable(h, (uintptr_t)site, SITE, false);
}

/* The call is over, and the program's signals may be unblocked already. */
static void patch_signals_blocked(struct inline_host *h, unsigned char *site) {
  const inline_mask all = MASK_ALL;
  inline_mask mask;
  inline_raw5(h, SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&all, (uintptr_t)&mask, sizeof all, 0);
  patch_one(h, site);
  inline_raw5(h, SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&mask, 0, sizeof all, 0);
}

void inline_patch_hot(struct inline_host *h, uintptr_t after) {
  unsigned char *site = (unsigned char *)after - SITE; /* NOLINT */
  uint32_t slot = (uint32_t)(after >> 1) % INLINE_SITES;
  if (after - h->place.code < SITE + 1 || after - h->place.code > h->place.code_size) return;
  if (h->sites[slot].after != (uint32_t)after) h->sites[slot].count = 0;
  h->sites[slot].after = (uint32_t)after;
  if (++h->sites[slot].count == HOT) patch_signals_blocked(h, site);
}

void inline_patch_all(struct inline_host *h) {
  const unsigned char syscall_code[] = {0x0f, 0x05};
  unsigned char *p = (unsigned char *)h->place.code, *end = p + h->place.code_size; /* NOLINT */
  if (h->patched_all || !may_patch(h)) return;
  h->patched_all = true;
  if (!make_writable(h, h->place.code, h->place.code_size, true)) return;
  for (p += SITE; p < end; p++) {
    p = memmem(p, (size_t)(end - p), syscall_code, sizeof syscall_code);
    if (p == NULL) break;
    if (is_site(h, p - (SITE - 2))) patch(h, p - (SITE - 2));
  }
  make_writable(h, h->place.code, h->place.code_size, false);
}

static void set(uint8_t *bits, int64_t nr) {
  bits[nr / 8] |= (uint8_t)(1 << nr % 8);
}

void inline_patch_open(struct inline_host *h) {
  static const int16_t aside[] = {SYS_clone, SYS_clone3,     SYS_fork,
                                  SYS_vfork, SYS_execve,     SYS_execveat,
                                  SYS_exit,  SYS_exit_group, SYS_rt_sigreturn};
  int64_t nr;
  size_t i;
  for (i = 0; i < sizeof aside / sizeof *aside; i++) set(h->aside, aside[i]);
  for (nr = 0; nr < INLINE_NRS; nr++)
    if (inline_is_tamed(nr) || is_set(h->wanted, (uint32_t)nr)) set(h->slow, nr);
  inline_slow = h->slow;
  inline_aside = h->aside;
  inline_gate_now = h->place.fast;
}

/* }========================================================================= */
