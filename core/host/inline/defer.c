/*
** defer.c - signals that come while a thread is inside of us
**
** The program's handlers must not run while its thread has the engine, or is about to. To block
** signals would be two system calls for each call of the program's, as many as it has downcalls
** more, and each costs as much as a handler in Lua. So a thread only says that it is inside, in a
** slot of its own, and the kernel enters the program's handlers by way of inline_signal_entry:
** outside it jumps on to them, and they find what the kernel gave them; inside it blocks all
** signals, queues the one that came once more, and goes back. When the thread leaves it opens the
** mask again, and the kernel delivers it there.
**
** Invariant: a slot's 'inside' is true only between inline_enter_host and inline_leave_host of its
** thread, and no handler of the program's runs meanwhile. So what interrupts a thread finds it as
** it leaves it, also when it never comes back (siglongjmp).
**
** Where a handler is entered, and what becomes of the kernel's frame: stack.c.
*/

#include "entry.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/syscall.h>

#define RESETHAND UINT64_C(0x80000000) /* SA_RESETHAND, which is negative */

enum { TRIES = 1000 };

static inline_mask set_mask(const struct inline_host *h, inline_mask mask) {
  inline_mask old = 0;
  inline_raw5(h, SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&mask, (uintptr_t)&old, sizeof mask,
              0);
  return old;
}

/* {========================= entering and leaving the host ================= */

void inline_enter_host(struct trap *t) {
  assert(!t->slot->inside);
  t->slot->inside = true;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* It was delivered a moment ago: the queue has room, but for what others sent meanwhile. */
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
** Signals that came meanwhile are delivered here: the mask is the program's again. What is kept
** comes by SIGSYS at once, and opens the mask when its handler returns.
*/
static void reopen(const struct inline_host *h, struct inline_slot *s) {
  inline_mask mask = s->mask;
  bool kept = s->keeps;
  assert(!s->inside);
  s->deferred = false; /* all signals are blocked: it is not set before the mask is open */
  if (kept) queue(h, SIGSYS, &s->kept);
  if (!kept || s->keeps) {
    s->keeps = false; /* there was no room in the queue, nor will there be */
    set_mask(h, mask);
  }
  inline_sigsys_comes(h, s);
}

void inline_leave_host(struct trap *t) {
  struct inline_slot *s = t->slot;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  assert(s->inside != t->closed);
  if (!t->closed) {
    s->inside = false;
    if (s->deferred) reopen(t->h, s);
    return;
  }
  t->closed = false;
  s->mask = *t->mask;
  reopen(t->h, s);
}

int64_t inline_await(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct inline_slot *s = t->slot;
  struct trap *outer = s->awaiting;
  uint64_t own[LENCASE_MAXARGS];
  int64_t result;
  words = inline_without_kept(t->h, nr, words, own);
  s->awaiting = t;
  s->at_gate = false;
  inline_leave_host(t);
  result = inline_raw_awaited(t, nr, words);
  s->awaiting = outer; /* which is at its gate: a handler has come into it */
  return result;
}

void inline_sigreturn_opens(struct trap *t) {
  t->slot->inside = t->slot->deferred = false;
  if (t->slot->keeps) reopen(t->h, t->slot);
}

void inline_close(struct trap *t) {
  inline_mask old;
  if (t->closed) return;
  old = set_mask(t->h, MASK_ALL);
  t->closed = true;
  if (t->slot->deferred) old = t->slot->mask;
  t->slot->inside = t->slot->deferred = false;
  *t->mask = old;
}

/* }========================================================================= */

/* {============================= signals that come ========================= */

void inline_signal_opens(struct inline_slot *s) {
  reopen(inline_the_host, s);
}

bool inline_is_fault(int sig, const siginfo_t *info) {
  return info->si_code > 0 &&
         (sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE || sig == SIGTRAP);
}

/*
** Real-time signals come in the order in which they were sent, and there is no way to queue one
** before those that wait already: it is kept in the slot, and delivered by SIGSYS, which is ours.
*/
static bool may_keep(int sig, const siginfo_t *info) {
  return sig >= __SIGRTMIN && info->si_code < 0;
}

/* We block none; as by the kernel's, the first counts. */
static void keep_sigsys(struct inline_slot *s, const siginfo_t *info) {
  if (!s->sigsys_waits) s->sigsys = *info;
  s->sigsys_waits = true;
}

void inline_sigsys_comes(const struct inline_host *h, struct inline_slot *s) {
  if (!s->sigsys_waits || s->blocks_sigsys) return;
  s->sigsys_waits = false;
  queue(h, SIGSYS, &s->sigsys);
}

/* Back to where the thread was, with everything blocked. By our gate: it may be in the engine. */
static void defer(struct inline_host *h, struct inline_slot *s, int sig, const siginfo_t *info,
                  ucontext_t *uc) __attribute__((noreturn));

static void defer(struct inline_host *h, struct inline_slot *s, int sig, const siginfo_t *info,
                  ucontext_t *uc) {
  inline_mask *mask = (inline_mask *)&uc->uc_sigmask;
  set_mask(h, MASK_ALL); /* first: with SA_NODEFER it would come at once */
  inline_debug(h, "signal %d: deferred until the thread leaves the host", sig);
  if (!s->deferred) s->mask = *mask;
  s->deferred = true;
  *mask = MASK_ALL;
  if (sig == SIGSYS)
    keep_sigsys(s, info);
  else if (may_keep(sig, info)) {
    s->kept = *info;
    s->keeps = true;
  } else
    queue(h, sig, info);
  inline_sigreturn(h, (uintptr_t)uc);
}

void inline_set_default(const struct inline_host *h, int sig) {
  const struct kernel_action action = {0};
  inline_raw5(h, SYS_rt_sigaction, (uint64_t)sig, (uintptr_t)&action, 0, sizeof action.mask, 0);
}

static void reset_handler(struct inline_host *h, int sig);

static bool is_fatal_handler(const struct inline_host *h, uintptr_t handler) {
  return handler == inline_fatal_action(h).handler;
}

/* SA_RESETHAND is done here: the kernel would have reset the handler when it entered ours. */
static uintptr_t handler_of(struct inline_host *h, int sig) {
  struct inline_handler *handler = &h->handlers[sig - 1];
  uintptr_t entry = handler->entry;
  if ((handler->flags & RESETHAND) != 0 && !is_fatal_handler(h, entry)) reset_handler(h, sig);
  return entry;
}

/* What was kept in the slot has come by SIGSYS. The mask is now as the kernel would have it. */
static int kept_arrives(struct inline_slot *s, siginfo_t *info, ucontext_t *uc) {
  int sig = s->kept.si_signo;
  assert(may_keep(sig, &s->kept));
  s->keeps = false;
  info->si_signo = sig;
  *(inline_mask *)&uc->uc_sigmask = s->mask;
  return sig;
}

/* A signal that has come by SIGSYS, whose action blocks nothing, and returns to us. */
static void adopt(struct inline_host *h, int sig, ucontext_t *uc) {
  const struct inline_handler *handler = &h->handlers[sig - 1];
  inline_mask mask = *(inline_mask *)&uc->uc_sigmask | handler->mask;
  if (is_fatal_handler(h, handler->entry)) {
    set_mask(h, MASK_ALL);
    return;
  }
  if ((handler->flags & SA_NODEFER) == 0) mask |= MASK_OF(sig);
  *((uintptr_t *)uc - 1) = handler->restorer;
  set_mask(h, mask & MASK_ALL);
}

/*
** pthread_cancel(3) sends this one. Its handler looks where the thread was interrupted (since glibc
** 2.41): only at a call that has done nothing yet the thread ends. So it is shown the program's own
** registers, at the instruction that made the call, as long as that is so.
*/
static bool is_cancel(const struct inline_host *h, const struct inline_slot *s, int sig,
                      const ucontext_t *uc) {
  const struct trap *t = s->awaiting;
  if (sig != __SIGRTMIN || t == NULL || t->uc == NULL) return false;
  return !s->at_gate || inline_not_begun(h, (uint64_t)uc->uc_mcontext.gregs[REG_RIP]);
}

static void show_program(struct inline_slot *s, ucontext_t *uc) {
  struct inline_pause *p = s->paused;
  memcpy(p->here, uc->uc_mcontext.gregs, sizeof p->here);
  memcpy(uc->uc_mcontext.gregs, s->awaiting->uc->uc_mcontext.gregs, sizeof p->here);
  uc->uc_mcontext.gregs[REG_RIP] -= INLINE_SYSCALL;
  p->shown = true;
}

/* The kernel would have no room for the frame, and end the program so. */
static void no_room(struct inline_host *h, ucontext_t *uc) __attribute__((noreturn));

static void no_room(struct inline_host *h, ucontext_t *uc) {
  const struct kernel_action none = {0};
  struct kernel_action old;
  uint64_t pid = (uint64_t)inline_raw3(h, SYS_getpid, 0, 0, 0);
  inline_set_action(h, SIGSEGV, &none, &old);
  inline_raw3(h, SYS_tgkill, pid, (uint64_t)inline_raw3(h, SYS_gettid, 0, 0, 0), SIGSEGV);
  *(inline_mask *)&uc->uc_sigmask &= ~MASK_OF(SIGSEGV);
  inline_sigreturn(h, (uintptr_t)uc);
}

/* What the frame says of things that we have in hand, and what the handler changes of them. */
static void dress(struct inline_slot *s, const struct inline_handler *handler, int sig,
                  ucontext_t *uc) {
  inline_mask *mask = (inline_mask *)&uc->uc_sigmask;
  inline_alternate_show(s, uc);
  if (s->blocks_sigsys) *mask |= MASK_OF(SIGSYS);
  if ((handler->mask & MASK_OF(SIGSYS)) != 0 ||
      (sig == SIGSYS && (handler->flags & SA_NODEFER) == 0))
    s->blocks_sigsys = true;
}

static void undress(struct inline_slot *s, ucontext_t *uc, uint64_t sp) {
  inline_mask *mask = (inline_mask *)&uc->uc_sigmask;
  inline_alternate_take(s, uc, sp);
  s->blocks_sigsys = (*mask & MASK_OF(SIGSYS)) != 0;
  *mask &= MASK_ALL;
}

/* A handler that left by siglongjmp leaves a stale 'awaiting', not at its gate. */
static void enter(struct inline_host *h, struct inline_slot *s, int sig, struct inline_entry *e) {
  const struct inline_handler handler = h->handlers[sig - 1];
  bool cancel = is_cancel(h, s, sig, e->uc), high = (handler.flags & SA_ONSTACK) != 0;
  struct inline_pause *before = s->paused;
  e->sig = sig;
  e->handler = handler_of(h, sig);
  if (is_fatal_handler(h, e->handler)) {
    inline_debug(h, "signal %d: it ends the program", sig);
    inline_to_work(s, e);
    return;
  }
  inline_debug(h, "signal %d: the program's handler at 0x%" PRIx64, sig, (uint64_t)e->handler);
  if (high && !inline_has_room(s, e->uc)) no_room(h, e->uc);
  assert(!s->inside);
  s->inside = true;
  e->opens = s;
  inline_to_program(s, e, high);
  dress(s, &handler, sig, e->uc);
  if (cancel && s->paused != before) show_program(s, e->uc);
  s->at_gate = true;
}

/*
** Not by a dispatched call. False: it is ignored, waits until the program no longer blocks it, or
** ends the program when we return. What the kernel forces is neither ignored nor blocked.
*/
static bool is_handled(const struct inline_host *h, struct inline_slot *s, const siginfo_t *info) {
  bool forced = info->si_code > 0;
  uintptr_t handler = h->sigsys.handler;
  if (!forced && s->blocks_sigsys) {
    keep_sigsys(s, info);
    return false;
  }
  if (forced && (s->blocks_sigsys || handler == 1)) handler = 0;
  if (handler > 1) return true;
  if (handler == 1) return false;
  inline_set_default(h, SIGSYS);
  inline_raw3(h, SYS_tkill, (uint64_t)inline_raw3(h, SYS_gettid, 0, 0, 0), SIGSYS, 0);
  return false;
}

bool inline_signal_arrives(int sig, siginfo_t *info, ucontext_t *uc, struct inline_entry *e) {
  struct inline_host *h = inline_the_host;
  struct inline_slot *s = inline_slot_of(uc);
  uint64_t rsp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
  *e = (struct inline_entry){.sig = sig, .info = info, .uc = uc, .sp = (uintptr_t)uc - 8};
  if (s == NULL) { /* a thread of a grate's library */
    e->handler = handler_of(h, sig);
    return e->handler > 1;
  }
  if (sig == SIGSYS && info->si_code == INLINE_DISPATCHED) {
    if (inline_in_engine(h, rsp)) {
      inline_on_engine_call(uc);
      return false;
    }
    e->handler = (uintptr_t)inline_on_call;
    inline_to_work(s, e);
    return true;
  }
  if (s->inside || inline_on_landing(s, rsp)) {
    if (!inline_is_fault(sig, info)) defer(h, s, sig, info, uc);
    inline_set_default(h, sig);
    inline_sigreturn(h, (uintptr_t)uc);
  }
  if (sig == SIGSYS) {
    if (s->keeps && info->si_code == s->kept.si_code) sig = kept_arrives(s, info, uc);
    if (sig == SIGSYS && !is_handled(h, s, info)) return false;
    adopt(h, sig, uc);
  }
  enter(h, s, sig, e);
  return true;
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
  /* a siginfo is needed to queue it again */
  action.flags = (action.flags & ~RESETHAND) | SA_SIGINFO;
  return action;
}

/* The reverse, for what the kernel had. */
static struct kernel_action theirs(const struct inline_host *h, const struct kernel_action *old,
                                   const struct inline_handler *had) {
  struct kernel_action action = *old;
  if (action.handler != (uintptr_t)inline_signal_entry) return action;
  action.handler = is_fatal_handler(h, had->entry) ? 0 : had->entry;
  action.flags = had->flags;
  action.mask = had->mask;
  action.restorer = had->restorer;
  return action;
}

/* A child has handlers of its own, but the table is its parent's. */
bool inline_is_sharing(const struct inline_host *h) {
  return __atomic_load_n(&h->others, __ATOMIC_RELAXED) > 0 &&
         (pid_t)inline_raw3(h, SYS_getpid, 0, 0, 0) != h->pid;
}

/*
** The entry is written first, since the signal may come when the kernel has it. That a handler was
** there stays written when it is taken away: the kernel may be on its way to it in another thread.
** What a child that shares the memory installs is entered directly.
*/
int64_t inline_set_action(struct inline_host *h, uint64_t sig, const struct kernel_action *new,
                          struct kernel_action *old) {
  struct kernel_action action = {0};
  struct inline_handler none = {0}, *handler = &none, had;
  int64_t result;
  bool sharing = inline_is_sharing(h);
  bool fatal = !sharing && new != NULL &&inline_is_fatal(h, (int)sig, new);
  if (sig - 1 < INLINE_SIGNALS) handler = &h->handlers[sig - 1];
  had = *handler;
  if (new != NULL && fatal) action = inline_fatal_action(h);
  if (new != NULL && !fatal) action = *new;
  if ((fatal || action.handler > 1) && !sharing)
    *handler = (struct inline_handler){action.handler, new->flags, new->restorer, new->mask};
  action = sharing ? masked(&action) : ours(&action);
  result = inline_raw5(h, SYS_rt_sigaction, sig, new != NULL ? (uintptr_t)&action : 0,
                       (uintptr_t)old, sizeof(inline_mask), 0);
  if (result == 0)
    *old = theirs(h, old, &had);
  else if (!sharing)
    *handler = had;
  return result;
}

/* As SA_RESETHAND: only the handler changes. Without the lock, which a nested handler may want. */
static void reset_handler(struct inline_host *h, int sig) {
  const struct inline_handler *had = &h->handlers[sig - 1];
  const struct kernel_action action = {
      .flags = had->flags, .restorer = had->restorer, .mask = had->mask};
  struct kernel_action old;
  if (sig == SIGSYS)
    h->sigsys.handler = 0;
  else
    inline_set_action(h, (uint64_t)sig, &action, &old);
}

void inline_return(struct trap *t) {
  ucontext_t *uc = (ucontext_t *)(uintptr_t)t->sp; /* NOLINT */
  undress(t->slot, uc, t->sp);
  inline_resume(t->slot, uc);
  inline_sigreturn_opens(t);
  inline_sigreturn(t->h, t->sp);
}

void inline_adopt_handlers(struct inline_host *h) {
  struct kernel_action old, same;
  uint64_t sig;
  for (sig = 1; sig <= INLINE_SIGNALS; sig++)
    if (sig != SIGSYS && inline_set_action(h, sig, NULL, &old) == 0 && old.handler > 1)
      inline_set_action(h, sig, &old, &same);
}

/* }========================================================================= */
