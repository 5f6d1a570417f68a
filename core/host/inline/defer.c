/*
** defer.c - signals that come while a thread is inside of us
**
** The program's handlers must not run while its thread has the engine, or is about to. To block signals
** would be two system calls for each call of the program's, as many as it has downcalls more, and each
** is as dear as a handler in Lua. So a thread only says that it is inside, in a slot of its own, and the
** kernel enters the program's handlers by way of inline_signal_entry: outside it jumps on to them, and they
** find what the kernel gave them; inside it blocks all signals, queues the one that came once more,
** and goes back. Whoever leaves then opens the mask again, and the kernel delivers it there.
**
** Invariant: a slot's 'inside' is true only between inline_keep_out and inline_let_in of its
** thread, and no handler of the program's runs meanwhile. So what interrupts a thread finds it as
** it leaves it, also when it never comes back (siglongjmp).
**
** The kernel's frame for a handler with SA_ONSTACK lies at the top of the alternate stack, wherever in the engine
** the thread is. So whoever is on the alternate stack himself has signals blocked, too.
**
** Threads are told by their thread pointers. Where that does not do (threads without one of their own,
** a processor that cannot read it without the kernel, more threads than slots) signals are blocked.
*/

#include "inline_int.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#define RESETHAND UINT64_C(0x80000000) /* SA_RESETHAND, which is negative */

enum { PROBES = 8, TRIES = 1000 };

static inline_mask set_mask(const struct inline_host *h, inline_mask mask) {
  inline_mask old = 0;
  inline_raw5(h, SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&mask, (uintptr_t)&old, sizeof mask,
              0);
  return old;
}

/* {================================== slots ================================ */

static struct inline_slot *probe(struct inline_host *h, uintptr_t thread, uintptr_t wanted) {
  size_t first = (size_t)((thread >> 6) * UINT64_C(0x9e3779b97f4a7c15) >> 32), i;
  for (i = 0; i < PROBES; i++) {
    struct inline_slot *s = &h->slots[(first + i) % INLINE_SLOTS];
    if (__atomic_load_n(&s->thread, __ATOMIC_RELAXED) == wanted) return s;
  }
  return NULL;
}

static struct inline_slot *slot_new(struct inline_host *h, uintptr_t thread) {
  struct inline_slot *s;
  uintptr_t none;
  do {
    s = probe(h, thread, 0);
    none = 0;
  } while (s != NULL && !__atomic_compare_exchange_n(&s->thread, &none, thread, false,
                                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return s;
}

/* This thread's, made when there is none yet. */
static struct inline_slot *own_slot(struct inline_host *h) {
  uintptr_t thread;
  struct inline_slot *s;
  /* a child that shares the memory has its parent's thread pointer */
  if (!h->wrfsbase || h->unslotted || __atomic_load_n(&h->others, __ATOMIC_RELAXED) > 0)
    return NULL;
  thread = inline_thread(h);
  s = thread != 0 ? probe(h, thread, thread) : NULL;
  return s != NULL || thread == 0 ? s : slot_new(h, thread);
}

/* The caller's frames lie there. */
static bool is_here(uintptr_t stack, size_t size) {
  return (uintptr_t)__builtin_frame_address(0) - stack < size;
}

struct inline_slot *inline_slot(struct inline_host *h) {
  struct inline_slot *s = own_slot(h);
  return s == NULL || is_here(s->alternate, s->alternate_size) ? NULL : s;
}

bool inline_on_alternate(struct inline_host *h) {
  const struct inline_slot *s = own_slot(h);
  stack_t stack;
  if (s != NULL) return is_here(s->alternate, s->alternate_size);
  inline_raw3(h, SYS_sigaltstack, 0, (uintptr_t)&stack, 0);
  return is_here((uintptr_t)stack.ss_sp, stack.ss_size);
}

void inline_slot_alternate(struct inline_host *h, const stack_t *stack) {
  struct inline_slot *s = own_slot(h);
  if (s == NULL) {
    h->unslotted = true; /* it could not be said later */
    return;
  }
  s->alternate = (uintptr_t)stack->ss_sp;
  s->alternate_size = (stack->ss_flags & SS_DISABLE) ? 0 : stack->ss_size;
}

void inline_slot_free(struct inline_host *h, uintptr_t thread) {
  struct inline_slot *s = h->wrfsbase && thread != 0 ? probe(h, thread, thread) : NULL;
  if (s == NULL) return;
  s->alternate_size = 0;
  __atomic_store_n(&s->thread, 0, __ATOMIC_RELEASE);
}

void inline_slots_keep(struct inline_host *h, uintptr_t thread) {
  size_t i;
  for (i = 0; i < INLINE_SLOTS; i++)
    if (h->slots[i].thread != thread)
      h->slots[i] = (struct inline_slot){0};
    else
      h->slots[i].keeps = false; /* what waits for the parent is not the child's */
}

/* }========================================================================= */

/* {================================== doors ================================ */

void inline_keep_out(struct trap *t) {
  if (t->slot != NULL)
    t->slot->inside = true;
  else
    inline_close(t);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* It was delivered a moment ago, so that there is room in the queue but for what others sent meanwhile. */
static void queue(const struct inline_host *h, int sig, const siginfo_t *info) {
  uint64_t pid = (uint64_t)inline_raw3(h, SYS_getpid, 0, 0, 0);
  uint64_t tid = (uint64_t)inline_raw3(h, SYS_gettid, 0, 0, 0);
  int tries = 0;
  while (inline_raw5(h, SYS_rt_tgsigqueueinfo, pid, tid, (uint64_t)sig, (uintptr_t)info, 0) ==
             -EAGAIN &&
         tries++ < TRIES)
    inline_raw3(h, SYS_sched_yield, 0, 0, 0);
}

/*
** What came meanwhile is let in here: the mask is the program's again. What is kept comes by SIGSYS at
** once, and opens the mask when its handler returns.
*/
static void reopen(const struct inline_host *h, struct inline_slot *s) {
  inline_mask mask = s->mask;
  bool kept = s->keeps;
  s->deferred = false; /* everything is blocked: nobody sets it before the mask is open */
  if (kept) queue(h, SIGSYS, &s->kept);
  if (kept && !s->keeps) return;
  s->keeps = false; /* there was no room in the queue, nor will there be */
  set_mask(h, mask);
}

static bool has_kept(const struct trap *t) {
  return t->slot != NULL && t->slot->keeps;
}

void inline_let_in(struct trap *t) {
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  if (t->closed) {
    t->closed = false;
    if (has_kept(t)) t->slot->mask = *t->mask;
    if (has_kept(t))
      reopen(t->h, t->slot);
    else
      set_mask(t->h, *t->mask);
    return;
  }
  t->slot->inside = false;
  if (t->slot->deferred) reopen(t->h, t->slot);
}

int64_t inline_await(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct inline_slot *s = t->slot;
  struct trap *outer;
  int64_t result;
  if (s == NULL) {
    inline_let_in(t);
    return inline_raw(t->h, nr, words);
  }
  outer = s->awaiting;
  s->awaiting = t;
  s->at_gate = false;
  inline_let_in(t);
  result = inline_raw_awaited(t, nr, words);
  s->awaiting = outer; /* which is at its gate: a handler has come into it */
  return result;
}

void inline_sigreturn_opens(struct trap *t) {
  if (t->slot == NULL) return;
  t->slot->inside = t->slot->deferred = false;
  if (t->slot->keeps) reopen(t->h, t->slot);
}

void inline_close(struct trap *t) {
  inline_mask old;
  if (t->closed) return;
  old = set_mask(t->h, MASK_ALL);
  t->closed = true;
  if (t->slot != NULL) {
    if (t->slot->deferred) old = t->slot->mask;
    t->slot->inside = t->slot->deferred = false;
  }
  *t->mask = old;
}

/* }========================================================================= */

/* {============================= signals that come ========================= */

/*
** The kernel's frame lies on the stack: a program's handler finds it as it would without us. The
** registers are the three of a handler with SA_SIGINFO, which others do not look at.
*/
__asm__(".pushsection .text\n"
        ".balign 16\n"
        ".globl inline_signal_entry\n.hidden inline_signal_entry\n"
        "inline_signal_entry:\n"
        "  .cfi_startproc\n"
        "  push %rdi\n"
        "  .cfi_adjust_cfa_offset 8\n"
        "  push %rsi\n"
        "  .cfi_adjust_cfa_offset 8\n"
        "  push %rdx\n"
        "  .cfi_adjust_cfa_offset 8\n"
        "  call inline_signal_arrives\n"
        "  pop %rdx\n"
        "  .cfi_adjust_cfa_offset -8\n"
        "  pop %rsi\n"
        "  .cfi_adjust_cfa_offset -8\n"
        "  pop %rdi\n"
        "  .cfi_adjust_cfa_offset -8\n"
        "  test %rax, %rax\n"
        "  jz 1f\n"
        "  mov (%rsi), %edi\n" /* si_signo: of what was kept, another than SIGSYS */
        "  jmp *%rax\n"
        "1:\n"
        "  ret\n"
        "  .cfi_endproc\n"
        ".popsection\n");

uintptr_t inline_signal_arrives(int sig, siginfo_t *info, ucontext_t *uc) __attribute__((used));

bool inline_is_fault(int sig, const siginfo_t *info) {
  return info->si_code > 0 &&
         (sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE || sig == SIGTRAP);
}

/*
** Real-time signals come in the order in which they were sent, and there is no way to queue one before those
** that wait already: it is kept in the slot, and delivered by SIGSYS, which is ours. SIGSYS goes
** to the alternate stack; a handler that does not want to be there gets it by the queue.
*/
static bool may_keep(const struct inline_host *h, int sig, const siginfo_t *info,
                     const ucontext_t *uc) {
  return sig >= __SIGRTMIN && info->si_code < 0 &&
         ((h->handlers[sig - 1].flags & SA_ONSTACK) != 0 || uc->uc_stack.ss_size == 0);
}

/* Back to where the thread was, with everything blocked. By our gate: it may be in the engine. */
static void defer(struct inline_host *h, struct inline_slot *s, int sig, const siginfo_t *info,
                  ucontext_t *uc) __attribute__((noreturn));

static void defer(struct inline_host *h, struct inline_slot *s, int sig, const siginfo_t *info,
                  ucontext_t *uc) {
  inline_mask *mask = (inline_mask *)&uc->uc_sigmask;
  set_mask(h, MASK_ALL); /* first: with SA_NODEFER it would come at once */
  if (!s->deferred) s->mask = *mask;
  s->deferred = true;
  *mask = MASK_ALL;
  s->keeps = may_keep(h, sig, info, uc);
  if (s->keeps)
    s->kept = *info;
  else
    queue(h, sig, info);
  inline_sigreturn(h, (uintptr_t)uc);
}

/* The slot of the thread that was interrupted. In the engine the thread pointer is the engine's. */
static struct inline_slot *slot_now(struct inline_host *h) {
  uintptr_t thread = h->wrfsbase ? inline_thread(h) : 0;
  if (thread == 0) return NULL;
  return thread == h->place.fs ? h->visitor : probe(h, thread, thread);
}

void inline_set_default(const struct inline_host *h, int sig) {
  const struct kernel_action action = {0};
  inline_raw5(h, SYS_rt_sigaction, (uint64_t)sig, (uintptr_t)&action, 0, sizeof action.mask, 0);
}

/* SA_RESETHAND is ours to do: the kernel would have forgotten the handler when it entered ours. */
static uintptr_t handler_of(struct inline_host *h, int sig) {
  struct inline_handler *handler = &h->handlers[sig - 1];
  uintptr_t entry = handler->entry;
  if ((__atomic_fetch_and(&handler->flags, ~RESETHAND, __ATOMIC_RELAXED) & RESETHAND) != 0)
    inline_fatal_reset(h, sig);
  return entry;
}

/* What was kept in the slot has come by SIGSYS. The mask is now as the kernel would have it. */
static int kept_arrives(struct inline_host *h, struct inline_slot *s, siginfo_t *info,
                        ucontext_t *uc) {
  int sig = s->kept.si_signo;
  const struct inline_handler *handler = &h->handlers[sig - 1];
  inline_mask mask = s->mask;
  s->keeps = false;
  info->si_signo = sig;
  *(inline_mask *)&uc->uc_sigmask = mask;
  if ((handler->flags & SA_NODEFER) == 0) mask |= MASK_OF(sig);
  set_mask(h, (mask | handler->mask) & MASK_ALL);
  return sig;
}

/*
** pthread_cancel(3) sends this one. Its handler looks where the thread was interrupted (since glibc 2.41): only
** at a call that has done nothing yet the thread ends. So it is shown the program's own registers,
** at the instruction that made the call, as long as that is so.
*/
static bool is_cancel(const struct inline_host *h, const struct inline_slot *s, int sig,
                      const ucontext_t *uc) {
  const struct trap *t = s != NULL ? s->awaiting : NULL;
  if (sig != __SIGRTMIN || t == NULL || t->uc == NULL) return false;
  return !s->at_gate || inline_not_begun(h, (uint64_t)uc->uc_mcontext.gregs[REG_RIP]);
}

static void cancel_there(struct inline_host *h, const struct inline_slot *s, int sig,
                         siginfo_t *info, ucontext_t *uc) {
  typedef void (*cancel_fn)(int, siginfo_t *, void *);
  const struct trap *t = s->awaiting;
  cancel_fn handler = (cancel_fn)handler_of(h, sig); /* NOLINT */
  gregset_t here = {0};
  memcpy(here, uc->uc_mcontext.gregs, sizeof here);
  memcpy(uc->uc_mcontext.gregs, t->uc->uc_mcontext.gregs, sizeof here);
  uc->uc_mcontext.gregs[REG_RIP] -= 2;
  handler(sig, info, uc);
  memcpy(uc->uc_mcontext.gregs, here, sizeof here);
}

/* A handler that leaves by siglongjmp leaves 'awaiting' behind: at its gate, where nobody is. */
static uintptr_t enter(struct inline_host *h, struct inline_slot *s, int sig, siginfo_t *info,
                       ucontext_t *uc) {
  if (is_cancel(h, s, sig, uc)) {
    cancel_there(h, s, sig, info, uc);
    return 0;
  }
  if (s != NULL) s->at_gate = true;
  return handler_of(h, sig);
}

uintptr_t inline_signal_arrives(int sig, siginfo_t *info, ucontext_t *uc) {
  struct inline_host *h = inline_the_host;
  struct inline_slot *s = slot_now(h);
  if (sig == SIGSYS) {
    if (s != NULL && s->keeps && !s->inside && info->si_code == s->kept.si_code)
      return enter(h, s, kept_arrives(h, s, info, uc), info, uc);
    inline_on_sigsys(info, uc);
    return 0;
  }
  if (s == NULL || !s->inside) return enter(h, s, sig, info, uc);
  if (!inline_is_fault(sig, info)) defer(h, s, sig, info, uc);
  inline_set_default(h, sig);
  inline_sigreturn(h, (uintptr_t)uc);
}

/* }========================================================================= */

/* {============================ the program's handlers ===================== */

static struct kernel_action masked(const struct kernel_action *new) {
  struct kernel_action action = *new;
  action.mask &= MASK_ALL;
  return action;
}

/* What the kernel is to have in place of *new. */
static struct kernel_action ours(const struct kernel_action *new) {
  struct kernel_action action = masked(new);
  if (action.handler <= 1) return action;
  action.handler = (uintptr_t)inline_signal_entry;
  action.flags = (action.flags & ~RESETHAND) | SA_SIGINFO; /* what came must be told to be queued */
  return action;
}

/* The reverse, for what the kernel had. */
static struct kernel_action theirs(const struct kernel_action *old,
                                   const struct inline_handler *had) {
  struct kernel_action action = *old;
  if (action.handler != (uintptr_t)inline_signal_entry) return action;
  action.handler = had->entry;
  action.flags = had->flags;
  return action;
}

/* A child has handlers of its own, but the table is its parent's. */
bool inline_is_sharing(const struct inline_host *h) {
  return __atomic_load_n(&h->others, __ATOMIC_RELAXED) > 0 &&
         (pid_t)inline_raw3(h, SYS_getpid, 0, 0, 0) != h->pid;
}

/*
** The entry is written first, since the signal may come when the kernel has it. That a handler was there
** stays written when it is taken away: the kernel may be on its way to it in another thread.
** A child that shares the memory has no slots, so that what it installs may be entered directly.
*/
int64_t inline_set_action(struct inline_host *h, uint64_t sig, const struct kernel_action *new,
                          struct kernel_action *old) {
  struct kernel_action action = {0};
  struct inline_handler none = {0}, *handler = &none, had;
  int64_t result;
  bool sharing = inline_is_sharing(h);
  if (sig - 1 < INLINE_SIGNALS) handler = &h->handlers[sig - 1];
  had = *handler;
  if (new != NULL) action = sharing ? masked(new) : ours(new);
  if (new != NULL &&new->handler > 1 && !sharing)
    *handler = (struct inline_handler){new->handler, new->flags, new->mask};
  result = inline_raw5(h, SYS_rt_sigaction, sig, new != NULL ? (uintptr_t)&action : 0,
                       (uintptr_t)old, sizeof(inline_mask), 0);
  if (result == 0)
    *old = theirs(old, &had);
  else if (!sharing)
    *handler = had;
  return result;
}

void inline_adopt_handlers(struct inline_host *h) {
  struct kernel_action old, same;
  stack_t alternate;
  uint64_t sig;
  if (inline_raw3(h, SYS_sigaltstack, 0, (uintptr_t)&alternate, 0) == 0)
    inline_slot_alternate(h, &alternate);
  for (sig = 1; sig <= INLINE_SIGNALS; sig++)
    if (sig != SIGSYS && inline_set_action(h, sig, NULL, &old) == 0 && old.handler > 1)
      inline_set_action(h, sig, &old, &same);
}

/* }========================================================================= */
