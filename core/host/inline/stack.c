/*
** stack.c - where our own code runs in the program's threads, and where its signal frames go
**
** Every thread has an area of ours, and the kernel has a part of it, the landing, as the thread's
** alternate stack. What comes by SIGSYS lands there, whatever stack the program is on and however
** little is left of that. From there its frame is moved to the work stack, where we run: what lands
** next may have the landing. The program's own alternate stack is known to us alone: a frame of a
** handler of the program's is moved there, or to the program's stack, where the kernel would have
** put it.
**
** A thread's area is found by what the kernel writes into every frame (uc_stack), or by any address
** in it. That holds for all threads, also for those that share a thread pointer, and for children
** that share the memory.
**
**   [the slot][guard][work stack, downwards][landing, downwards]
*/

#include "inline_int.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { PAGE = 4096, SCARCE = 64 << 10, PROBES = 16, SMALLEST = 2048 };

#define AUTODISARM ((int)(1u << 31)) /* SS_AUTODISARM, which is a flag beside the mode */

/* {================================== areas =============================== */

GENERAL_REGS static uintptr_t work_end(const struct inline_slot *s) {
  return (uintptr_t)s + 2 * PAGE;
}

GENERAL_REGS static uintptr_t work_top(const struct inline_slot *s) {
  return (uintptr_t)s + INLINE_AREA - INLINE_LANDING;
}

static bool is_between(uint64_t sp, uintptr_t low, uintptr_t high) {
  return sp > low && sp <= high;
}

bool inline_on_landing(const struct inline_slot *s, uint64_t sp) {
  return is_between(sp, work_top(s), (uintptr_t)s + INLINE_AREA);
}

static bool on_work(const struct inline_slot *s, uint64_t sp) {
  return is_between(sp, work_end(s), work_top(s));
}

static stack_t landing(const struct inline_slot *s) {
  return (stack_t){.ss_sp = (void *)work_top(s), .ss_size = INLINE_LANDING}; /* NOLINT */
}

struct inline_slot *inline_slot_of(const ucontext_t *uc) {
  const stack_t *s = &uc->uc_stack;
  uintptr_t top = (uintptr_t)s->ss_sp + INLINE_LANDING;
  if (s->ss_size != INLINE_LANDING || top % INLINE_AREA != 0) return NULL;
  return (struct inline_slot *)(top - INLINE_AREA); /* NOLINT */
}

struct inline_slot *inline_slot_here(void) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  struct inline_slot *s = (struct inline_slot *)(here - here % INLINE_AREA); /* NOLINT */
  assert(s->busy != 0 && on_work(s, here));
  return s;
}

/* An aligned area with its guard; NULL: no memory. */
static struct inline_slot *area_new(const struct inline_host *h) {
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
  return (struct inline_slot *)base; /* NOLINT */
}

static struct inline_slot *idle_slot(struct inline_host *h) {
  struct inline_slot *s = __atomic_load_n(&h->areas, __ATOMIC_ACQUIRE);
  for (; s != NULL; s = s->next) {
    uint32_t idle = 0;
    if (__atomic_compare_exchange_n(&s->busy, &idle, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
      return s;
  }
  return NULL;
}

struct inline_slot *inline_slot_new(struct inline_host *h) {
  struct inline_slot *s = idle_slot(h), *next;
  if (s != NULL) {
    next = s->next;
    *s = (struct inline_slot){.busy = 1, .next = next};
  } else {
    s = area_new(h);
    if (s == NULL) return NULL;
    s->busy = 1;
    do s->next = __atomic_load_n(&h->areas, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&h->areas, &s->next, s, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED));
  }
  s->alternate.ss_flags = SS_DISABLE;
  return s;
}

void inline_slot_land(const struct inline_host *h, const struct inline_slot *s) {
  const stack_t stack = landing(s);
  inline_raw3(h, SYS_sigaltstack, (uintptr_t)&stack, 0, 0);
}

/* }========================================================================= */

/* {============================ by thread pointers ========================= */

GENERAL_REGS static struct inline_found *probe(struct inline_host *h, uintptr_t thread,
                                               uintptr_t wanted) {
  size_t first = (size_t)((thread >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 32), i;
  for (i = 0; i < PROBES; i++) {
    struct inline_found *f = &h->found[(first + i) % INLINE_FOUND];
    if (__atomic_load_n(&f->thread, __ATOMIC_RELAXED) == wanted) return f;
  }
  return NULL;
}

/* A child that shares the memory has its parent's thread pointer. */
GENERAL_REGS static bool tells_threads(const struct inline_host *h) {
  return h->wrfsbase && !h->unslotted && __atomic_load_n(&h->others, __ATOMIC_RELAXED) == 0;
}

struct inline_slot *inline_slot_found(struct inline_host *h) {
  uintptr_t thread;
  const struct inline_found *f;
  if (!tells_threads(h)) return NULL;
  thread = inline_thread_pointer(h);
  f = thread != 0 ? probe(h, thread, thread) : NULL;
  return f != NULL ? f->slot : NULL;
}

void inline_slot_lose(struct inline_host *h, struct inline_slot *s) {
  struct inline_found *f = s->thread != 0 ? probe(h, s->thread, s->thread) : NULL;
  s->thread = 0;
  if (f == NULL || f->slot != s) return;
  f->slot = NULL;
  __atomic_store_n(&f->thread, 0, __ATOMIC_RELEASE);
}

void inline_slot_find(struct inline_host *h, struct inline_slot *s) {
  uintptr_t thread = tells_threads(h) ? inline_thread_pointer(h) : 0, none;
  struct inline_found *f;
  if (thread == 0 || thread == s->thread) return;
  inline_slot_lose(h, s);
  do {
    f = probe(h, thread, 0);
    none = 0;
  } while (f != NULL && !__atomic_compare_exchange_n(&f->thread, &none, thread, false,
                                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  if (f == NULL) return; /* its calls go by SIGSYS */
  f->slot = s;
  s->thread = thread;
}

void inline_slots_keep(struct inline_host *h, struct inline_slot *own) {
  struct inline_slot *s;
  size_t i;
  for (i = 0; i < INLINE_FOUND; i++)
    if (h->found[i].slot != own) h->found[i] = (struct inline_found){0, NULL};
  for (s = h->areas; s != NULL; s = s->next) s->busy = s == own;
  own->keeps = own->sigsys_waits = false; /* what waits for the parent is not the child's */
}

/* }========================================================================= */

/* {============================== the work stack =========================== */

/* The program's handler that came into a call of ours has left by longjmp. */
static bool is_abandoned(const struct inline_slot *s, const struct inline_pause *p, uint64_t sp) {
  return p->high == inline_is_high(s, sp) && p->sp <= sp;
}

uintptr_t inline_work(const struct inline_slot *s) {
  return s->paused != NULL ? (uintptr_t)s->paused : work_top(s);
}

bool inline_work_is_scarce(const struct inline_slot *s) {
  return inline_work(s) - work_end(s) < SCARCE;
}

/*
** Where the program stood when it came to us, or a red zone above what patch.c has put there: the
** word above which a level of the work stack begins; patch.c is about to write it when nothing is
** there yet.
*/
static uint64_t program_sp(const struct inline_slot *s, const ucontext_t *uc) {
  uint64_t sp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
  if (!on_work(s, sp)) return sp;
  if (sp == inline_work(s)) return (uint64_t)uc->uc_mcontext.gregs[REG_RAX];
  return *(uint64_t *)(inline_work(s) - sizeof sp); /* NOLINT */
}

/* }========================================================================= */

/* {================================== frames ============================== */

/* From the handler's return address, right below 'uc', to the end of the processor's state. */
static size_t frame_size(const ucontext_t *uc) {
  const char *fpu = (const char *)uc->uc_mcontext.fpregs;
  struct _fpx_sw_bytes more; /* in the last of the bytes that are reserved there */
  size_t size = sizeof(struct _libc_fpstate);
  if (fpu == NULL) return sizeof(uintptr_t) + sizeof *uc + sizeof(siginfo_t);
  memcpy(&more, fpu + size - sizeof more, sizeof more);
  if (more.magic1 == FP_XSTATE_MAGIC1) size = more.extended_size;
  return (size_t)(fpu - (const char *)uc) + size + sizeof(uintptr_t);
}

/* To the same alignment, below 'top'. */
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

void inline_to_work(struct inline_slot *s, struct inline_entry *e) {
  uint64_t rsp = (uint64_t)e->uc->uc_mcontext.gregs[REG_RSP], sp = program_sp(s, e->uc);
  uintptr_t top;
  assert(s->busy != 0 && inline_on_landing(s, e->sp));
  if (on_work(s, rsp))
    top = (rsp - INLINE_RED_ZONE) & ~(uintptr_t)15;
  else {
    while (s->paused != NULL && inline_work_is_scarce(s) && is_abandoned(s, s->paused, sp))
      s->paused = s->paused->outer;
    top = inline_work(s);
  }
  *(uint64_t *)(top - sizeof sp) = sp; /* NOLINT */
  move(e, top - 2 * sizeof sp);
}

/* What the program's registers were when it made the call that the handler comes into: collectors
** of garbage look for pointers between the handler's frame and the beginning of the stack. */
static uintptr_t keep_registers(const struct inline_slot *s, uintptr_t top) {
  const struct trap *t = s->awaiting;
  if (t == NULL || t->uc == NULL) return top;
  top = (top - sizeof(gregset_t)) & ~(uintptr_t)15;
  memcpy((void *)top, t->uc->uc_mcontext.gregs, sizeof(gregset_t)); /* NOLINT */
  return top;
}

static bool goes_up(const struct inline_slot *s, uint64_t sp) {
  return s->alternate.ss_size != 0 && !inline_is_high(s, sp);
}

bool inline_has_room(const struct inline_slot *s, const ucontext_t *uc) {
  return !goes_up(s, program_sp(s, uc)) || frame_size(uc) + 64 <= s->alternate.ss_size;
}

void inline_to_program(struct inline_slot *s, struct inline_entry *e, bool high) {
  uint64_t rsp = (uint64_t)e->uc->uc_mcontext.gregs[REG_RSP], sp = program_sp(s, e->uc);
  bool ours = on_work(s, rsp);
  struct inline_pause *p;
  if (high && goes_up(s, sp))
    move(e, (uintptr_t)s->alternate.ss_sp + s->alternate.ss_size);
  else if (ours || inline_on_landing(s, e->sp))
    move(e, ours ? keep_registers(s, sp - INLINE_RED_ZONE) : sp - INLINE_RED_ZONE);
  if (!ours) return;
  p = (struct inline_pause *)((rsp - INLINE_RED_ZONE - sizeof *p) & ~(uint64_t)15); /* NOLINT */
  *p = (struct inline_pause){s->paused, (uintptr_t)e->uc, sp, inline_is_high(s, sp), false, {0}};
  s->paused = p; /* the handler's calls have what is below */
}

void inline_resume(struct inline_slot *s, ucontext_t *uc) {
  struct inline_pause *p = s->paused;
  while (p != NULL && p->frame != (uintptr_t)uc) p = p->outer;
  if (p == NULL) return; /* the program's own code goes on */
  if (p->shown) memcpy(uc->uc_mcontext.gregs, p->here, sizeof p->here);
  assert(on_work(s, (uintptr_t)p));
  s->paused = p->outer;
}

/* }========================================================================= */

/* {======================= the program's alternate stack =================== */

bool inline_is_high(const struct inline_slot *s, uint64_t sp) {
  return (s->alternate.ss_flags & AUTODISARM) == 0 &&
         sp - (uintptr_t)s->alternate.ss_sp - 1 < s->alternate.ss_size;
}

stack_t inline_alternate(const struct inline_slot *s, uint64_t sp) {
  stack_t stack = s->alternate;
  stack.ss_flags &= AUTODISARM;
  if (stack.ss_size == 0)
    stack.ss_flags |= SS_DISABLE;
  else if (inline_is_high(s, sp))
    stack.ss_flags |= SS_ONSTACK;
  return stack;
}

static bool is_same(const stack_t *a, const stack_t *b) {
  return a->ss_sp == b->ss_sp && a->ss_size == b->ss_size && a->ss_flags == b->ss_flags;
}

int inline_alternate_set(struct inline_slot *s, const stack_t *stack, uint64_t sp) {
  int mode = stack->ss_flags & ~AUTODISARM;
  if (inline_is_high(s, sp)) return -EPERM;
  if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) return -EINVAL;
  if (is_same(stack, &s->alternate)) return 0;
  if (mode != SS_DISABLE && stack->ss_size < SMALLEST) return -ENOMEM;
  s->alternate = *stack;
  if (mode == SS_DISABLE) {
    s->alternate.ss_sp = NULL;
    s->alternate.ss_size = 0;
  }
  return 0;
}

void inline_alternate_show(struct inline_slot *s, ucontext_t *uc) {
  uc->uc_stack = s->alternate;
  if ((s->alternate.ss_flags & AUTODISARM) == 0) return;
  s->alternate = (stack_t){.ss_flags = SS_DISABLE};
}

void inline_alternate_take(struct inline_slot *s, ucontext_t *uc, uint64_t sp) {
  if (inline_slot_of(uc) == s) return; /* a child's that shares the memory: it was not shown */
  inline_alternate_set(s, &uc->uc_stack,
                       sp); /* what it does not like stays as it is, as in the kernel */
  uc->uc_stack = landing(s);
}

/* }========================================================================= */
