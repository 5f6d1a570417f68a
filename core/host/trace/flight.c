/*
** flight.c - a call in flight: downcalls in place and injected, and the end
**
** The first downcall of a call takes the place of the call itself: at its entry
** number and arguments are changed, at its exit they are put back. The others
** are injected: the thread is sent to the stub in the window, or without one to
** the instruction that made the call, with all signals blocked until it is in.
*/

#include "trace_int.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

void flight_close(struct trace_run *run, struct flight *f, bool dropped) {
  struct call *call = f->call;
  foreign_forget(run, f);
  if (f->own.size != 0) window_give(run, &f->own);
  f->own.size = 0;
  f->call = NULL;
  f->result_at = 0;
  if (dropped) live_lost(run, f->ends);
  f->ends = ENDS_UNHEARD;
  f->changed = f->wants = f->in_place = f->returned = f->by_entry = f->skipped = false;
  if (call == NULL) return;
  if (dropped)
    call_drop(call);
  else
    call_end(call);
}

/* {================================= downcalls ============================= */

static bool same_call(const struct flight *f) {
  uint64_t words[LENCASE_MAXARGS];
  regs_words(&f->regs, words);
  return f->nr == (int32_t)f->regs.orig_rax && memcmp(words, f->words, sizeof words) == 0;
}

static void down_in_place(struct thread *t) {
  struct flight *f = &t->now;
  f->in_place = false;
  if (!same_call(f)) {
    struct user_regs_struct regs = f->regs;
    regs_set_call(&regs, f->nr, f->words);
    regs_set(t, &regs);
    f->changed = true;
  }
  t->state = THREAD_DOWN;
  thread_resume(t, 0);
}

/* Where the instruction is that an injected call is made with: the stub, or that of the call itself. */
static uint64_t injection_site(const struct thread *t) {
  const struct flight *f = &t->now;
  uint64_t stub = t->proc->space->window;
  return stub != 0 && foreign_allows(t, stub, f->nr, f->words) ? stub : f->site;
}

bool flight_bears(const struct thread *t) {
  const struct flight *f = &t->now;
  return foreign_bears(t, f->in_place ? f->site : injection_site(t), f->nr, f->words);
}

static void down_injected(struct thread *t) {
  struct flight *f = &t->now;
  struct user_regs_struct regs = f->regs;
  regs_set_call(&regs, f->nr, f->words);
  regs.rax = regs.orig_rax;
  regs.orig_rax = (unsigned long long)-1;
  regs.rip = injection_site(t);
  thread_mask(t);
  regs_set(t, &regs);
  f->changed = true;
  t->state = THREAD_ENTER;
  thread_resume(t, 0);
}

/*
** It takes registers and mask from the stack and comes back to no caller. After another
** downcall it is made by the program's own instruction once more.
*/
static void down_sigreturn(struct trace_run *run, struct thread *t) {
  struct flight *f = &t->now;
  if (!f->in_place) {
    f->regs.rax = SYS_rt_sigreturn;
    f->regs.orig_rax = (unsigned long long)-1;
    f->regs.rip = f->site;
    thread_mask(t);
    t->masked = false;
    regs_set(t, &f->regs);
    t->state = THREAD_RETURNING;
  }
  live_over(run, t, f->ends, 0);
  f->ends = ENDS_UNHEARD;
  flight_close(run, f, true);
  thread_resume(t, 0);
}

void flight_down(struct trace_run *run, struct thread *t) {
  t->now.wants = false;
  if (t->now.nr == SYS_rt_sigreturn)
    down_sigreturn(run, t);
  else if (t->now.in_place)
    down_in_place(t);
  else
    down_injected(t);
}

/* Without a stub the cage's own code is used, which another thread of it may have changed. */
static bool entered_ours(const struct thread *t) {
  struct __ptrace_syscall_info info;
  long n = ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof info, &info);
  if (n < 0) return true; /* gone: the loop will hear of it */
  return info.op == PTRACE_SYSCALL_INFO_ENTRY && (int32_t)info.entry.nr == t->now.nr &&
         memcmp(info.entry.args, t->now.words, sizeof t->now.words) == 0;
}

void flight_entered(struct trace_run *run, struct thread *t, int status) {
  (void)status;
  if (!entered_ours(t)) {
    state_log(run->st, "cage %d changed its code under a call made for it: ended",
              (int)t->proc->tgid);
    trace_ops.kill(t->proc->cage);
  }
  thread_unmask(t);
  t->state = THREAD_INJECTED;
  thread_resume(t, 0);
}

/* The kernel's result. Segment bases may be what the downcall was there to change. */
static bool down_result(struct thread *t, int64_t *result) {
  struct user_regs_struct regs;
  if (!t->now.changed) {
    errno = 0;
    *result = ptrace(PTRACE_PEEKUSER, t->tid, offsetof(struct user_regs_struct, rax), 0);
    return errno == 0;
  }
  if (!regs_get(t, &regs)) return false;
  t->now.regs.fs_base = regs.fs_base;
  t->now.regs.gs_base = regs.gs_base;
  *result = (int64_t)regs.rax;
  return true;
}

static void carried_out(struct trace_run *run, struct thread *t) {
  struct flight *f = &t->now;
  live_carried(run, t);
  if (f->call == NULL)
    flight_finish(run, t, f->result);
  else
    flight_act(run, t, call_carried_out(f->call, f->result));
}

void flight_exited(struct trace_run *run, struct thread *t, int status) {
  struct flight *f = &t->now;
  (void)status;
  if (!f->skipped && !down_result(t, &f->result)) return;
  foreign_over(t, f->result);
  t->state = THREAD_RUN;
  t->entered = false;
  if (f->skipped) {
    flight_finish(run, t, f->result);
    return;
  }
  f->result = cut_result(t, f->result);
  if (signal_woke(f->result))
    signal_interrupted(run, t, f->result);
  else
    carried_out(run, t);
}

/* }========================================================================= */

/* {================================== result =============================== */

/*
** orig_rax -1 says that no call is under way: it skips one at its entry, and it
** keeps the kernel from taking a result for "restart me".
*/
static void give_in_register(struct thread *t, int64_t result) {
  struct flight *f = &t->now;
  if (!f->in_place && !f->changed && result == f->result) return;
  f->regs.rax = (unsigned long long)result;
  f->regs.orig_rax = (unsigned long long)-1;
  regs_set(t, &f->regs);
}

static void give_in_frame(struct thread *t, int64_t result) {
  struct flight *f = &t->now;
  if (result != -EINTR) thread_write(t, f->result_at, &result, sizeof result);
  f->regs.orig_rax = (unsigned long long)-1;
  if (f->changed) regs_set(t, &f->regs);
}

void flight_skip(const struct thread *t, struct user_regs_struct *regs) {
  regs->orig_rax =
      t->now.by_entry ? (unsigned long long)foreign_harmless(t) : (unsigned long long)-1;
}

/* Stopped at its entry the thread gets its result at the exit of the call that is made instead. */
static void finish_at_exit(struct trace_run *run, struct thread *t, int64_t result) {
  struct flight *f = &t->now;
  struct user_regs_struct regs = f->regs;
  uint8_t ends = f->ends;
  flight_skip(t, &regs);
  flight_close(run, f, false);
  regs_set(t, &regs);
  f->ends = ends;
  f->result = result;
  f->changed = f->skipped = true;
  t->state = THREAD_DOWN;
  thread_resume(t, 0);
}

void flight_finish(struct trace_run *run, struct thread *t, int64_t result) {
  uint8_t ends = t->now.ends;
  if (t->now.in_place && t->now.by_entry) {
    finish_at_exit(run, t, result);
    return;
  }
  if (t->now.result_at != 0)
    give_in_frame(t, result);
  else
    give_in_register(t, result);
  flight_close(run, &t->now, false);
  t->state = THREAD_RUN;
  live_over(run, t, ends, result);
  thread_resume(t, 0);
}

/* Nobody handles it, and somebody waits for its end. */
static void carry_out_bare(struct trace_run *run, struct thread *t) {
  struct flight *f = &t->now;
  uint64_t words[LENCASE_MAXARGS];
  regs_words(&f->regs, words);
  flight_act(run, t, call_unhandled(t->proc->cage, t, (int32_t)f->regs.orig_rax, words, &f->call));
}

void flight_act(struct trace_run *run, struct thread *t, enum verdict verdict) {
  struct flight *f = &t->now;
  if (verdict == VERDICT_DONE)
    flight_finish(run, t, f->call != NULL ? f->call->result : -ENOMEM);
  else if (verdict == VERDICT_PASS && f->in_place && f->ends != ENDS_UNHEARD)
    carry_out_bare(run, t);
  else if (verdict == VERDICT_PASS && f->in_place)
    arrive_pass(run, t);
  else if (verdict == VERDICT_PASS)
    flight_finish(run, t, f->result);
  else if (f->wants)
    flight_down(run, t);
}

/* }========================================================================= */
