/*
** stack.c - the stack that the host runs on in the program's threads, and where signal frames go
**
** Every thread has an area of ours. A part of it, the landing, is the thread's alternate stack for
** the kernel: the frame of a SIGSYS lands there, whatever stack the program is on and however
** little is left of that. From there it is moved to the work stack, where the host runs, so that
** the landing is free for the next frame. The program's own alternate stack is known to us alone:
** the frame of a signal handler of the program is moved to where the kernel would have put it, on
** that stack or on the one that the program is on.
**
** A thread's area is found by what the kernel writes into every frame (uc_stack), and by any
** address in it: also in threads that share a thread pointer, and in children that share the
** memory.
**
**   [struct inline_thread][guard][work stack, downwards][landing, downwards]
*/

#include "inline_int.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { PAGE = 4096, SCARCE = 64 << 10, PROBES = 16, SMALLEST = 2048 };

#define AUTODISARM ((int)(1u << 31)) /* SS_AUTODISARM */

/* {================================== areas =============================== */

GENERAL_REGS static uintptr_t work_end(const struct inline_thread *t) {
  return (uintptr_t)t + 2 * PAGE;
}

GENERAL_REGS static uintptr_t work_top(const struct inline_thread *t) {
  return (uintptr_t)t + INLINE_AREA - INLINE_LANDING;
}

static bool is_between(uint64_t sp, uintptr_t low, uintptr_t high) {
  return sp > low && sp <= high;
}

bool inline_on_landing(const struct inline_thread *t, uint64_t sp) {
  return is_between(sp, work_top(t), (uintptr_t)t + INLINE_AREA);
}

static bool on_work(const struct inline_thread *t, uint64_t sp) {
  return is_between(sp, work_end(t), work_top(t));
}

static stack_t landing(const struct inline_thread *t) {
  return (stack_t){.ss_sp = (void *)work_top(t), .ss_size = INLINE_LANDING}; /* NOLINT */
}

struct inline_thread *inline_thread_of(const ucontext_t *uc) {
  const stack_t *stack = &uc->uc_stack;
  uintptr_t top = (uintptr_t)stack->ss_sp + INLINE_LANDING;
  if (stack->ss_size != INLINE_LANDING || top % INLINE_AREA != 0) return NULL;
  return (struct inline_thread *)(top - INLINE_AREA); /* NOLINT */
}

struct inline_thread *inline_thread_here(void) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  struct inline_thread *t = (struct inline_thread *)(here - here % INLINE_AREA); /* NOLINT */
  assert(t->busy != 0 && on_work(t, here));
  return t;
}

/* An aligned area with its guard; NULL: no memory. */
static struct inline_thread *area_new(const struct inline_host *h) {
  const uint64_t words[LENCASE_MAXARGS] = {0, 2 * INLINE_AREA, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                           (uint64_t)-1};
  int64_t at = inline_raw(h, SYS_mmap, words);
  uintptr_t base;
  if (at < 0) return NULL;
  base = ((uintptr_t)at + INLINE_AREA - 1) / INLINE_AREA * INLINE_AREA;
  assert(base + INLINE_AREA <= (uintptr_t)at + 2 * INLINE_AREA);
  if (base > (uintptr_t)at) inline_raw3(h, SYS_munmap, (uint64_t)at, base - (uintptr_t)at, 0);
  inline_raw3(h, SYS_munmap, base + INLINE_AREA, (uintptr_t)at + INLINE_AREA - base, 0);
  inline_raw3(h, SYS_mprotect, base + PAGE, PAGE, PROT_NONE);
  return (struct inline_thread *)base; /* NOLINT */
}

static struct inline_thread *idle_thread(struct inline_host *h) {
  struct inline_thread *t = __atomic_load_n(&h->areas, __ATOMIC_ACQUIRE);
  for (; t != NULL; t = t->next) {
    uint32_t idle = 0;
    if (__atomic_compare_exchange_n(&t->busy, &idle, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
      return t;
  }
  return NULL;
}

struct inline_thread *inline_thread_new(struct inline_host *h) {
  struct inline_thread *t = idle_thread(h), *next;
  if (t != NULL) {
    next = t->next;
    *t = (struct inline_thread){.busy = 1, .next = next};
  } else {
    t = area_new(h);
    if (t == NULL) return NULL;
    t->busy = 1;
    do t->next = __atomic_load_n(&h->areas, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&h->areas, &t->next, t, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED));
  }
  t->alternate.ss_flags = SS_DISABLE;
  return t;
}

void inline_thread_land(const struct inline_host *h, const struct inline_thread *t) {
  const stack_t stack = landing(t);
  inline_raw3(h, SYS_sigaltstack, (uintptr_t)&stack, 0, 0);
}

/* }========================================================================= */

/* {============================ by thread pointers ========================= */

GENERAL_REGS static struct inline_found *probe(struct inline_host *h, uintptr_t pointer,
                                               uintptr_t wanted) {
  size_t first = (size_t)((pointer >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 32), i;
  for (i = 0; i < PROBES; i++) {
    struct inline_found *f = &h->found[(first + i) % INLINE_FOUND];
    if (__atomic_load_n(&f->pointer, __ATOMIC_RELAXED) == wanted) return f;
  }
  return NULL;
}

/* Whether a thread pointer is one thread's: a child that shares the memory has its parent's. */
GENERAL_REGS static bool tells_threads(const struct inline_host *h) {
  return h->wrfsbase && !h->shared_pointers && __atomic_load_n(&h->others, __ATOMIC_RELAXED) == 0;
}

struct inline_thread *inline_thread_found(struct inline_host *h) {
  uintptr_t pointer;
  const struct inline_found *f;
  if (!tells_threads(h)) return NULL;
  pointer = inline_thread_pointer(h);
  f = pointer != 0 ? probe(h, pointer, pointer) : NULL;
  return f != NULL ? f->thread : NULL;
}

void inline_thread_lose(struct inline_host *h, struct inline_thread *t) {
  struct inline_found *f = t->pointer != 0 ? probe(h, t->pointer, t->pointer) : NULL;
  t->pointer = 0;
  if (f == NULL || f->thread != t) return;
  f->thread = NULL;
  __atomic_store_n(&f->pointer, 0, __ATOMIC_RELEASE);
}

void inline_thread_find(struct inline_host *h, struct inline_thread *t) {
  uintptr_t pointer = tells_threads(h) ? inline_thread_pointer(h) : 0, none;
  struct inline_found *f;
  if (pointer == 0 || pointer == t->pointer) return;
  inline_thread_lose(h, t);
  do {
    f = probe(h, pointer, 0);
    none = 0;
  } while (f != NULL && !__atomic_compare_exchange_n(&f->pointer, &none, pointer, false,
                                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  if (f == NULL) return; /* its calls go by SIGSYS */
  f->thread = t;
  t->pointer = pointer;
}

void inline_threads_keep(struct inline_host *h, struct inline_thread *own) {
  struct inline_thread *t;
  size_t i;
  for (i = 0; i < INLINE_FOUND; i++)
    if (h->found[i].thread != own) h->found[i] = (struct inline_found){0, NULL};
  for (t = h->areas; t != NULL; t = t->next) t->busy = t == own;
  own->has_pending = own->sigsys_waits = false; /* signals that are pending are the parent's */
}

/* }========================================================================= */

/* {============================== the work stack =========================== */

uintptr_t inline_work(const struct inline_thread *t) {
  return t->paused != NULL ? (uintptr_t)t->paused : work_top(t);
}

bool inline_work_is_scarce(const struct inline_thread *t) {
  return inline_work(t) - work_end(t) < SCARCE;
}

/*
** The program's stack pointer when it entered the host; from a patched site, a red zone above what
** inline_patched_entry has put on the program's stack. It is the first word of each level of the
** work stack, and in rax while inline_patched_entry is about to write it.
*/
static uint64_t program_sp(const struct inline_thread *t, const ucontext_t *uc) {
  uint64_t sp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
  if (!on_work(t, sp)) return sp;
  if (sp == inline_work(t)) return (uint64_t)uc->uc_mcontext.gregs[REG_RAX];
  return *(uint64_t *)(inline_work(t) - sizeof sp); /* NOLINT */
}

/* }========================================================================= */

/* {================================== frames ============================== */

/* From the return address, right below 'uc', to the end of the processor's state. */
static size_t frame_size(const ucontext_t *uc) {
  const char *fpu = (const char *)uc->uc_mcontext.fpregs;
  struct _fpx_sw_bytes more; /* the last of the bytes that are reserved in the older state */
  size_t size = sizeof(struct _libc_fpstate);
  if (fpu == NULL) return sizeof(uintptr_t) + sizeof *uc + sizeof(siginfo_t);
  memcpy(&more, fpu + size - sizeof more, sizeof more);
  if (more.magic1 == FP_XSTATE_MAGIC1) size = more.extended_size;
  return (size_t)(fpu - (const char *)uc) + size + sizeof(uintptr_t);
}

/* Moves the frame below 'top', with the alignment that it has. */
static void move(struct inline_entry *e, uintptr_t top) {
  uintptr_t from = (uintptr_t)e->uc - sizeof(uintptr_t), to;
  size_t size = frame_size(e->uc);
  to = top - size;
  to -= (to - from) % 64;
  memmove((void *)to, (void *)from, size); /* NOLINT */
  e->sp = to;
  e->uc = (ucontext_t *)(to + sizeof(uintptr_t));            /* NOLINT */
  e->info = (siginfo_t *)((uintptr_t)e->info + (to - from)); /* NOLINT */
  if (e->uc->uc_mcontext.fpregs != NULL)
    e->uc->uc_mcontext.fpregs =
        (fpregset_t)((uintptr_t)e->uc->uc_mcontext.fpregs + (to - from)); /* NOLINT */
}

void inline_to_work(struct inline_thread *t, struct inline_entry *e) {
  uint64_t rsp = (uint64_t)e->uc->uc_mcontext.gregs[REG_RSP], sp = program_sp(t, e->uc);
  uintptr_t top;
  assert(t->busy != 0 && inline_on_landing(t, e->sp));
  if (on_work(t, rsp))
    top = (rsp - INLINE_RED_ZONE) & ~(uintptr_t)15;
  else {
    /* what signal handlers have left by longjmp: the program is further up its stack now */
    while (t->paused != NULL && inline_work_is_scarce(t) &&
           t->paused->high == inline_is_high(t, sp) && t->paused->sp <= sp)
      t->paused = t->paused->outer;
    top = inline_work(t);
  }
  *(uint64_t *)(top - sizeof sp) = sp; /* NOLINT */
  move(e, top - 2 * sizeof sp);
}

/* Puts the program's registers, when it made the call that is interrupted, above the frame of the
** signal handler: garbage collectors look there for pointers. */
static uintptr_t keep_registers(const struct inline_thread *t, uintptr_t top) {
  const struct arrival *a = t->awaiting;
  if (a == NULL || a->uc == NULL) return top;
  top = (top - sizeof(gregset_t)) & ~(uintptr_t)15;
  memcpy((void *)top, a->uc->uc_mcontext.gregs, sizeof(gregset_t)); /* NOLINT */
  return top;
}

static bool goes_up(const struct inline_thread *t, uint64_t sp) {
  return t->alternate.ss_size != 0 && !inline_is_high(t, sp);
}

bool inline_has_room(const struct inline_thread *t, const ucontext_t *uc) {
  return !goes_up(t, program_sp(t, uc)) || frame_size(uc) + 64 <= t->alternate.ss_size;
}

void inline_to_program(struct inline_thread *t, struct inline_entry *e, bool high) {
  uint64_t rsp = (uint64_t)e->uc->uc_mcontext.gregs[REG_RSP], sp = program_sp(t, e->uc);
  bool ours = on_work(t, rsp);
  struct inline_pause *p;
  if (high && goes_up(t, sp))
    move(e, (uintptr_t)t->alternate.ss_sp + t->alternate.ss_size);
  else if (ours || inline_on_landing(t, e->sp))
    move(e, ours ? keep_registers(t, sp - INLINE_RED_ZONE) : sp - INLINE_RED_ZONE);
  if (!ours) return;
  p = (struct inline_pause *)((rsp - INLINE_RED_ZONE - sizeof *p) & ~(uint64_t)15); /* NOLINT */
  *p = (struct inline_pause){t->paused, (uintptr_t)e->uc, sp, inline_is_high(t, sp), false, {0}};
  t->paused = p; /* calls of the signal handler use the work stack below */
}

void inline_resume(struct inline_thread *t, ucontext_t *uc) {
  struct inline_pause *p = t->paused;
  while (p != NULL && p->frame != (uintptr_t)uc) p = p->outer;
  if (p == NULL) return; /* the signal did not interrupt a call */
  if (p->shown) memcpy(uc->uc_mcontext.gregs, p->here, sizeof p->here);
  assert(on_work(t, (uintptr_t)p));
  t->paused = p->outer;
}

/* }========================================================================= */

/* {======================= the program's alternate stack =================== */

bool inline_is_high(const struct inline_thread *t, uint64_t sp) {
  return (t->alternate.ss_flags & AUTODISARM) == 0 &&
         sp - (uintptr_t)t->alternate.ss_sp - 1 < t->alternate.ss_size;
}

stack_t inline_alternate(const struct inline_thread *t, uint64_t sp) {
  stack_t stack = t->alternate;
  stack.ss_flags &= AUTODISARM;
  if (stack.ss_size == 0)
    stack.ss_flags |= SS_DISABLE;
  else if (inline_is_high(t, sp))
    stack.ss_flags |= SS_ONSTACK;
  return stack;
}

int inline_alternate_set(struct inline_thread *t, const stack_t *stack, uint64_t sp) {
  int mode = stack->ss_flags & ~AUTODISARM;
  const stack_t *had = &t->alternate;
  if (inline_is_high(t, sp)) return -EPERM;
  if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) return -EINVAL;
  if (stack->ss_sp == had->ss_sp && stack->ss_size == had->ss_size &&
      stack->ss_flags == had->ss_flags)
    return 0;
  if (mode != SS_DISABLE && stack->ss_size < SMALLEST) return -ENOMEM;
  t->alternate = *stack;
  if (mode == SS_DISABLE) {
    t->alternate.ss_sp = NULL;
    t->alternate.ss_size = 0;
  }
  return 0;
}

void inline_alternate_show(struct inline_thread *t, ucontext_t *uc) {
  uc->uc_stack = t->alternate;
  if ((t->alternate.ss_flags & AUTODISARM) == 0) return;
  t->alternate = (stack_t){.ss_flags = SS_DISABLE};
}

void inline_alternate_take(struct inline_thread *t, ucontext_t *uc, uint64_t sp) {
  if (inline_thread_of(uc) == t) return;      /* not shown: a child that shares the memory */
  inline_alternate_set(t, &uc->uc_stack, sp); /* refused: nothing changes, as in the kernel */
  uc->uc_stack = landing(t);
}

/* }========================================================================= */
