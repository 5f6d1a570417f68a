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

void flight_pass(struct thread *t) {
  struct flight *f = &t->now;
  f->at = AT_BEHIND;
  t->state = f->by_entry ? THREAD_PASSING : THREAD_RUN;
}

void flight_close(struct thread *t, struct flight *f, bool dropped) {
  struct call *call = f->call;
  foreign_forget(t->run, f);
  if (f->own.size != 0) window_give(t->run, t->proc->space, &f->own);
  f->own.size = 0;
  f->call = NULL;
  f->result_at = 0;
  if (dropped) t->run->observer->lost(t->run, f->on_end);
  f->on_end = END_IGNORED;
  f->at = AT_BEHIND;
  f->changed = f->wants = f->by_entry = false;
  if (call == NULL) return;
  if (dropped)
    call_drop(call);
  else
    call_end(call);
}

/* {================================= downcalls ============================= */

static void down_in_place(struct thread *t) {
  struct flight *f = &t->now;
  uint64_t words[LENCASE_MAXARGS];
  assert(f->at == AT_ENTRY);
  f->at = AT_BEHIND;
  regs_words(&f->regs, words);
  if (f->nr != (int32_t)f->regs.orig_rax || memcmp(words, f->words, sizeof words) != 0) {
    struct user_regs_struct regs = f->regs;
    regs_set_call(&regs, f->nr, f->words);
    regs_set(t, &regs);
    f->changed = true;
  }
  t->state = THREAD_DOWN;
  thread_resume(t, 0);
}

/* The instruction that makes an injected call: in the stub, or that of the call itself. */
static uint64_t injection_site(const struct thread *t) {
  const struct flight *f = &t->now;
  uint64_t stub = t->proc->space->window;
  return stub != 0 && foreign_allows(t, stub, f->nr, f->words) ? stub : f->site;
}

bool flight_bears(const struct thread *t) {
  const struct flight *f = &t->now;
  return foreign_bears(t, f->at == AT_ENTRY ? f->site : injection_site(t), f->nr, f->words);
}

static void down_injected(struct thread *t) {
  struct flight *f = &t->now;
  struct user_regs_struct regs = f->regs;
  assert(f->at == AT_BEHIND && f->call != NULL);
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
  if (f->at == AT_ENTRY) {
    flight_pass(t);
  } else {
    struct user_regs_struct regs = f->regs;
    regs.rax = SYS_rt_sigreturn;
    regs.orig_rax = (unsigned long long)-1;
    regs.rip = f->site;
    thread_mask(t);
    t->masked = false;
    regs_set(t, &regs);
    t->state = THREAD_RETURNING;
  }
  run->observer->over(run, t, f->on_end, 0);
  f->on_end = END_IGNORED;
  flight_close(t, f, true);
  thread_resume(t, 0);
}

void flight_down(struct trace_run *run, struct thread *t) {
  t->now.wants = false;
  if (t->now.nr == SYS_rt_sigreturn)
    down_sigreturn(run, t);
  else if (t->now.at == AT_ENTRY)
    down_in_place(t);
  else
    down_injected(t);
}

void flight_entered(struct trace_run *run, struct thread *t, int status) {
  (void)run;
  (void)status;
  if (!thread_at_call(t, t->now.nr, t->now.words, injection_site(t) + 2)) {
    thread_refuse(t, "another call came than the one made for it");
    return;
  }
  thread_unmask(t);
  t->state = THREAD_INJECTED;
  thread_resume(t, 0);
}

/*
** What is carried out may be trapped, too; or the kernel goes on with it, and its arguments are the
** program's again.
*/
void flight_trapped(struct trace_run *run, struct thread *t, int status) {
  const struct flight *f = &t->now;
  struct user_regs_struct resumed = f->regs;
  uint64_t ip = t->state == THREAD_INJECTED ? injection_site(t) + 2 : f->regs.rip;
  (void)run;
  (void)status;
  resumed.orig_rax = SYS_restart_syscall;
  if (thread_at_call(t, f->nr, f->words, ip) || thread_at_regs(t, &resumed))
    thread_resume(t, 0);
  else
    thread_refuse(t, "another call came than the one carried out for it");
}

/* The kernel's result. Segment bases may be what the downcall was there to change. */
static bool down_result(struct thread *t, int64_t *result) {
  struct __ptrace_syscall_info info;
  struct user_regs_struct regs;
  if (!thread_info(t, &info)) return false;
  if (info.op != PTRACE_SYSCALL_INFO_EXIT) {
    thread_refuse(t, "a call made for it did not end");
    return false;
  }
  *result = info.exit.rval;
  if (!t->now.changed) return true;
  if (!regs_get(t, &regs)) return false;
  t->now.regs.fs_base = regs.fs_base;
  t->now.regs.gs_base = regs.gs_base;
  return true;
}

void flight_exited(struct trace_run *run, struct thread *t, int status) {
  struct flight *f = &t->now;
  (void)status;
  assert(f->at == AT_BEHIND);
  if (!down_result(t, &f->result)) return;
  foreign_over(t, f->result);
  t->state = THREAD_RUN;
  f->result = restart_result(t, f->result);
  if (restart_wanted(f->result)) {
    restart_interrupted(run, t, f->result);
    return;
  }
  run->observer->carried(run, t);
  if (f->call == NULL)
    flight_finish(run, t, f->result);
  else
    flight_act(run, t, call_carried_out(f->call, f->result));
}

/* }========================================================================= */

/* {================================== result =============================== */

/*
** orig_rax -1 says that no call is under way: it skips one at its entry, and it
** keeps the kernel from taking a result for "restart me".
*/
static void give_in_register(struct thread *t, int64_t result) {
  struct flight *f = &t->now;
  if (f->at != AT_ENTRY && !f->changed && result == f->result) return;
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

/* A filter may trap what is made instead. */
void flight_skip_trapped(struct trace_run *run, struct thread *t, int status) {
  struct user_regs_struct regs = t->now.regs;
  (void)run;
  (void)status;
  regs.orig_rax = (unsigned long long)foreign_harmless(t);
  if (thread_at_regs(t, &regs))
    thread_resume(t, 0);
  else
    thread_refuse(t, "another call came than the one in whose place it is skipped");
}

void flight_skipped(struct trace_run *run, struct thread *t, int status) {
  (void)status;
  assert(t->now.call == NULL && t->now.at == AT_BEHIND);
  flight_finish(run, t, t->now.result);
}

/* Stopped at its entry the thread gets its result at the exit of the call that is made instead. */
static void finish_at_exit(struct thread *t, int64_t result) {
  struct flight *f = &t->now;
  struct user_regs_struct regs = f->regs;
  uint8_t on_end = f->on_end;
  flight_skip(t, &regs);
  flight_close(t, f, false);
  regs_set(t, &regs);
  f->on_end = on_end;
  f->result = result;
  f->changed = true;
  t->state = THREAD_SKIPPED;
  thread_resume(t, 0);
}

void flight_finish(struct trace_run *run, struct thread *t, int64_t result) {
  uint8_t on_end = t->now.on_end;
  if (t->now.at == AT_ENTRY && t->now.by_entry) {
    finish_at_exit(t, result);
    return;
  }
  if (t->now.result_at != 0)
    give_in_frame(t, result);
  else
    give_in_register(t, result);
  flight_close(t, &t->now, false);
  t->state = THREAD_RUN;
  run->observer->over(run, t, on_end, result);
  thread_resume(t, 0);
}

/* No grate handles it, and the observer waits for its end. */
static void carry_out_bare(struct trace_run *run, struct thread *t) {
  struct flight *f = &t->now;
  uint64_t words[LENCASE_MAXARGS];
  regs_words(&f->regs, words);
  flight_act(run, t, call_unhandled(t->proc->cage, t, (int32_t)f->regs.orig_rax, words, &f->call));
}

void flight_act(struct trace_run *run, struct thread *t, enum verdict verdict) {
  struct flight *f = &t->now;
  assert(verdict != VERDICT_PARKED || f->call != NULL);
  if (verdict == VERDICT_DONE)
    flight_finish(run, t, f->call != NULL ? f->call->result : -ENOMEM);
  else if (verdict == VERDICT_PASS && f->at == AT_ENTRY && f->on_end != END_IGNORED)
    carry_out_bare(run, t);
  else if (verdict == VERDICT_PASS && f->at == AT_ENTRY)
    arrive_pass(run, t);
  else if (verdict == VERDICT_PASS)
    flight_finish(run, t, f->result);
  else if (f->wants)
    flight_down(run, t);
}

/* }========================================================================= */
