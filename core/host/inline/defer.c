/*
** defer.c - signals that come while a thread is inside the host
**
** The program's signal handlers must not run while its thread has the engine, or is about to have
** it. To block signals would take two system calls for each call of the program, and two more for
** each downcall, and each of them costs as much as a grate's handler in Lua. So a thread only marks
** itself as inside, and the kernel enters all signal handlers by way of inline_signal_entry.
** Outside the host that jumps on to the program's handler, which finds what the kernel has prepared
** for it; inside it blocks all signals, queues the one that came once more, and returns. When the
** thread leaves the host it unblocks them, and the kernel delivers it there.
**
** Invariant: a thread's 'inside' is true only between inline_enter_host and inline_leave_host, and
** no signal handler of the program runs meanwhile. A signal handler therefore always finds the
** thread in a state that it may leave for good, by siglongjmp.
**
** Where a signal handler is entered, and where the kernel's frame goes: stack.c.
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

void inline_enter_host(struct arrival *a) {
  assert(!a->thread->inside);
  a->thread->inside = true;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* The signal was delivered just now, so the queue has room, unless others have filled it. */
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
** Restores the program's mask, so that the signals which came meanwhile are delivered. One that is
** pending here comes first, by SIGSYS, and the mask is restored when its handler returns.
*/
static void reopen(const struct inline_host *h, struct inline_thread *t) {
  inline_mask mask = t->mask;
  bool pending = t->has_pending;
  assert(!t->inside);
  t->deferred = false; /* all signals are blocked: none sets it again before the mask is restored */
  if (pending) queue(h, SIGSYS, &t->pending);
  if (!pending || t->has_pending) {
    t->has_pending = false; /* the queue is full */
    set_mask(h, mask);
  }
  inline_sigsys_comes(h, t);
}

void inline_leave_host(struct arrival *a) {
  struct inline_thread *t = a->thread;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  assert(t->inside != a->closed);
  if (!a->closed) {
    t->inside = false;
    if (t->deferred) reopen(a->h, t);
    return;
  }
  a->closed = false;
  t->mask = *a->mask;
  reopen(a->h, t);
}

int64_t inline_await(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct inline_thread *t = a->thread;
  struct arrival *outer = t->awaiting;
  uint64_t own[LENCASE_MAXARGS];
  int64_t result;
  words = inline_without_kept(a->h, nr, words, own);
  t->awaiting = a;
  t->at_gate = false;
  inline_leave_host(a);
  result = inline_raw_awaited(a, nr, words);
  t->awaiting = outer; /* the call that the signal handler which made this one has come into */
  return result;
}

void inline_sigreturn_opens(struct arrival *a) {
  a->thread->inside = a->thread->deferred = false;
  if (a->thread->has_pending) reopen(a->h, a->thread);
}

void inline_close(struct arrival *a) {
  inline_mask old;
  if (a->closed) return;
  old = set_mask(a->h, MASK_ALL);
  a->closed = true;
  if (a->thread->deferred) old = a->thread->mask;
  a->thread->inside = a->thread->deferred = false;
  *a->mask = old;
}

/* }========================================================================= */

/* {============================= signals that come ========================= */

void inline_signal_opens(struct inline_thread *t) {
  reopen(inline_the_host, t);
}

bool inline_is_fault(int sig, const siginfo_t *info) {
  return info->si_code > 0 &&
         (sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE || sig == SIGTRAP);
}

/* The program blocks SIGSYS. Of several the first counts, as in the kernel. */
static void keep_sigsys(struct inline_thread *t, const siginfo_t *info) {
  if (!t->sigsys_waits) t->sigsys = *info;
  t->sigsys_waits = true;
}

void inline_sigsys_comes(const struct inline_host *h, struct inline_thread *t) {
  if (!t->sigsys_waits || t->blocks_sigsys) return;
  t->sigsys_waits = false;
  queue(h, SIGSYS, &t->sigsys);
}

/*
** Returns to where the thread was, with everything blocked; by the gate, since that may be in the
** engine. Real-time signals come in the order in which they were sent, and there is no way to queue
** one before others: it is pending here, and delivered by SIGSYS.
*/
static void defer(struct inline_host *h, struct inline_thread *t, int sig, const siginfo_t *info,
                  ucontext_t *uc) __attribute__((noreturn));

static void defer(struct inline_host *h, struct inline_thread *t, int sig, const siginfo_t *info,
                  ucontext_t *uc) {
  inline_mask *mask = (inline_mask *)&uc->uc_sigmask;
  set_mask(h, MASK_ALL); /* first: with SA_NODEFER it would come at once */
  inline_debug(h, "signal %d: deferred until the thread leaves the host", sig);
  if (!t->deferred) t->mask = *mask;
  t->deferred = true;
  *mask = MASK_ALL;
  if (sig == SIGSYS)
    keep_sigsys(t, info);
  else if (sig >= __SIGRTMIN && info->si_code < 0) {
    t->pending = *info;
    t->has_pending = true;
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
  const struct kernel_action *action = &h->actions[sig - 1];
  uintptr_t handler = action->handler;
  if ((action->flags & RESETHAND) != 0 && !is_fatal_handler(h, handler)) reset_handler(h, sig);
  return handler;
}

/* The signal that is pending here has come by SIGSYS. The frame's mask becomes the program's. */
static int pending_arrives(struct inline_thread *t, siginfo_t *info, ucontext_t *uc) {
  int sig = t->pending.si_signo;
  assert(sig >= __SIGRTMIN && t->pending.si_code < 0);
  t->has_pending = false;
  info->si_signo = sig;
  *(inline_mask *)&uc->uc_sigmask = t->mask;
  return sig;
}

/* For a signal that has come by SIGSYS: does what the kernel does with a signal's own action. */
static void adopt(struct inline_host *h, int sig, ucontext_t *uc) {
  const struct kernel_action *action = &h->actions[sig - 1];
  inline_mask mask = *(inline_mask *)&uc->uc_sigmask | action->mask;
  if (is_fatal_handler(h, action->handler)) {
    set_mask(h, MASK_ALL);
    return;
  }
  if ((action->flags & SA_NODEFER) == 0) mask |= MASK_OF(sig);
  *((uintptr_t *)uc - 1) = action->restorer;
  set_mask(h, mask & MASK_ALL);
}

/*
** pthread_cancel(3) sends this one. Since glibc 2.41 its handler looks at the instruction pointer,
** and ends the thread only at a call that has not begun. As long as that is so it is shown the
** program's own registers, at the instruction that made the call.
*/
static bool is_cancel(const struct inline_host *h, const struct inline_thread *t, int sig,
                      const ucontext_t *uc) {
  const struct arrival *a = t->awaiting;
  if (sig != __SIGRTMIN || a == NULL || a->uc == NULL) return false;
  return !t->at_gate || inline_not_begun(h, (uint64_t)uc->uc_mcontext.gregs[REG_RIP]);
}

static void show_program(struct inline_thread *t, ucontext_t *uc) {
  struct inline_pause *p = t->paused;
  memcpy(p->here, uc->uc_mcontext.gregs, sizeof p->here);
  memcpy(uc->uc_mcontext.gregs, t->awaiting->uc->uc_mcontext.gregs, sizeof p->here);
  uc->uc_mcontext.gregs[REG_RIP] -= INLINE_SYSCALL;
  p->shown = true;
}

/* There is no room for the frame: the program is killed by SIGSEGV, as the kernel would do it. */
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

/* Puts into the frame what only we know: the program's alternate stack, and whether SIGSYS is
** blocked. The latter may change with the signal handler's mask. */
static void show_ours(struct inline_thread *t, const struct kernel_action *action, int sig,
                      ucontext_t *uc) {
  inline_mask *mask = (inline_mask *)&uc->uc_sigmask;
  inline_alternate_show(t, uc);
  if (t->blocks_sigsys) *mask |= MASK_OF(SIGSYS);
  if ((action->mask & MASK_OF(SIGSYS)) != 0 || (sig == SIGSYS && (action->flags & SA_NODEFER) == 0))
    t->blocks_sigsys = true;
}

/* The program's handler. After one that left by siglongjmp 'awaiting' is stale, not at its gate. */
static void enter(struct inline_host *h, struct inline_thread *t, int sig, struct inline_entry *e) {
  const struct kernel_action action = h->actions[sig - 1];
  bool cancel = is_cancel(h, t, sig, e->uc), high = (action.flags & SA_ONSTACK) != 0;
  struct inline_pause *before = t->paused;
  e->sig = sig;
  e->handler = handler_of(h, sig);
  if (is_fatal_handler(h, e->handler)) {
    inline_debug(h, "signal %d: it ends the program", sig);
    inline_to_work(t, e);
    return;
  }
  inline_debug(h, "signal %d: the program's handler at 0x%" PRIx64, sig, (uint64_t)e->handler);
  if (high && !inline_has_room(t, e->uc)) no_room(h, e->uc);
  assert(!t->inside);
  t->inside = true;
  e->opens = t;
  inline_to_program(t, e, high);
  show_ours(t, &action, sig, e->uc);
  if (cancel && t->paused != before) show_program(t, e->uc);
  t->at_gate = true;
}

/*
** SIGSYS that is no dispatched call. False: it is ignored, is pending until the program unblocks
** it, or ends the program when we return. What the kernel forces is neither ignored nor blocked.
*/
static bool is_handled(const struct inline_host *h, struct inline_thread *t,
                       const siginfo_t *info) {
  bool forced = info->si_code > 0;
  uintptr_t handler = h->sigsys.handler;
  if (!forced && t->blocks_sigsys) {
    keep_sigsys(t, info);
    return false;
  }
  if (forced && (t->blocks_sigsys || handler == 1)) handler = 0;
  if (handler > 1) return true;
  if (handler == 1) return false;
  inline_set_default(h, SIGSYS);
  inline_raw3(h, SYS_tkill, (uint64_t)inline_raw3(h, SYS_gettid, 0, 0, 0), SIGSYS, 0);
  return false;
}

/* What was deferred while the frame of a SIGSYS landed that comes to nothing. */
static void deliver_deferred(int sig, siginfo_t *info, ucontext_t *uc) {
  (void)sig;
  (void)info;
  (void)uc;
  reopen(inline_the_host, inline_thread_here());
}

bool inline_signal_arrives(int sig, siginfo_t *info, ucontext_t *uc, struct inline_entry *e) {
  struct inline_host *h = inline_the_host;
  struct inline_thread *t = inline_thread_of(uc);
  uint64_t rsp = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
  *e = (struct inline_entry){.sig = sig, .info = info, .uc = uc, .sp = (uintptr_t)uc - 8};
  if (t == NULL) { /* a thread that a library of a grate's has made */
    e->handler = handler_of(h, sig);
    return e->handler > 1;
  }
  if (sig == SIGSYS && info->si_code == INLINE_DISPATCHED) {
    if (inline_in_engine(h, rsp)) {
      inline_on_engine_call(uc);
      /* One that was deferred while this frame landed: the frame's mask is that of before. */
      if (t->deferred) *(inline_mask *)&uc->uc_sigmask = MASK_ALL;
      return false;
    }
    e->handler = (uintptr_t)inline_on_call;
    inline_to_work(t, e);
    return true;
  }
  if (t->inside || inline_on_landing(t, rsp)) {
    if (!inline_is_fault(sig, info)) defer(h, t, sig, info, uc);
    inline_set_default(h, sig);
    inline_sigreturn(h, (uintptr_t)uc);
  }
  if (sig == SIGSYS) {
    if (t->has_pending && info->si_code == t->pending.si_code) sig = pending_arrives(t, info, uc);
    if (sig == SIGSYS && !is_handled(h, t, info)) {
      if (!t->deferred) return false;
      e->handler = (uintptr_t)deliver_deferred;
      inline_to_work(t, e);
      return true;
    }
    adopt(h, sig, uc);
  }
  enter(h, t, sig, e);
  return true;
}

/* }========================================================================= */

/* {============================ the program's handlers ===================== */

static struct kernel_action masked(const struct kernel_action *new) {
  struct kernel_action action = *new;
  action.mask &= MASK_ALL;
  return action;
}

/* What the kernel gets in place of *new. */
static struct kernel_action ours(const struct kernel_action *new) {
  struct kernel_action action = masked(new);
  if (action.handler <= 1) return action;
  action.handler = (uintptr_t)inline_signal_entry;
  /* SA_SIGINFO: a signal is queued again with its siginfo */
  action.flags = (action.flags & ~RESETHAND) | SA_SIGINFO;
  return action;
}

/* The reverse: what the program is told of the kernel's *old. */
static struct kernel_action theirs(const struct inline_host *h, const struct kernel_action *old,
                                   const struct kernel_action *had) {
  struct kernel_action action = *old;
  if (action.handler != (uintptr_t)inline_signal_entry) return action;
  action = *had;
  if (is_fatal_handler(h, had->handler)) action.handler = 0;
  return action;
}

/* A child that shares the memory has actions of its own, but h->actions are its parent's. */
bool inline_is_sharing(const struct inline_host *h) {
  return __atomic_load_n(&h->others, __ATOMIC_RELAXED) > 0 &&
         (pid_t)inline_raw3(h, SYS_getpid, 0, 0, 0) != h->pid;
}

/*
** h->actions is written first, since the signal may come as soon as the kernel has the action. An
** entry stays when the handler is removed: the kernel may be entering it in another thread. The
** handlers of a child that shares the memory are entered directly.
*/
int64_t inline_set_action(struct inline_host *h, uint64_t sig, const struct kernel_action *given,
                          struct kernel_action *old) {
  struct kernel_action action = {0}, none = {0}, *known = &none, had;
  int64_t result;
  bool sharing = inline_is_sharing(h);
  bool fatal = !sharing && given != NULL && inline_is_fatal(h, (int)sig, given);
  if (sig - 1 < INLINE_SIGNALS) known = &h->actions[sig - 1];
  had = *known;
  if (given != NULL && fatal) action = inline_fatal_action(h);
  if (given != NULL && !fatal) action = *given;
  if ((fatal || action.handler > 1) && !sharing)
    *known = (struct kernel_action){action.handler, given->flags, given->restorer, given->mask};
  action = sharing ? masked(&action) : ours(&action);
  result = inline_raw5(h, SYS_rt_sigaction, sig, given != NULL ? (uintptr_t)&action : 0,
                       (uintptr_t)old, sizeof(inline_mask), 0);
  if (result == 0)
    *old = theirs(h, old, &had);
  else if (!sharing)
    *known = had;
  return result;
}

/* As SA_RESETHAND: only the handler changes. Without the lock: the thread may hold it. */
static void reset_handler(struct inline_host *h, int sig) {
  struct kernel_action action = h->actions[sig - 1], old;
  action.handler = 0;
  if (sig == SIGSYS)
    h->sigsys.handler = 0;
  else
    inline_set_action(h, (uint64_t)sig, &action, &old);
}

void inline_return(struct arrival *a) {
  ucontext_t *uc = (ucontext_t *)(uintptr_t)a->sp; /* NOLINT */
  inline_mask *mask = (inline_mask *)&uc->uc_sigmask;
  inline_alternate_take(a->thread, uc, a->sp);
  a->thread->blocks_sigsys = (*mask & MASK_OF(SIGSYS)) != 0;
  *mask &= MASK_ALL;
  inline_resume(a->thread, uc);
  inline_sigreturn_opens(a);
  inline_sigreturn(a->h, a->sp);
}

void inline_adopt_handlers(struct inline_host *h) {
  struct kernel_action old, same;
  uint64_t sig;
  for (sig = 1; sig <= INLINE_SIGNALS; sig++)
    if (sig != SIGSYS && inline_set_action(h, sig, NULL, &old) == 0 && old.handler > 1)
      inline_set_action(h, sig, &old, &same);
}

/* }========================================================================= */
