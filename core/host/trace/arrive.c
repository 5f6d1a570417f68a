/*
** arrive.c - a call arrives
*/

#include "trace_int.h"

#include <errno.h>
#include <string.h>

void arrive_pass(struct trace_run *run, struct thread *t) {
  struct flight *f = &t->now;
  int64_t result;
  uint64_t words[LENCASE_MAXARGS];
  f->nr = (int32_t)f->regs.orig_rax;
  regs_words(&f->regs, words);
  memcpy(f->words, words, sizeof words);
  if (!tame(run, t, &result)) {
    flight_finish(run, t, result);
  } else if (f->load != NULL || memcmp(f->words, words, sizeof words) != 0) {
    flight_down(run, t);
  } else {
    flight_pass(t);
    restart_passes(t);
    thread_resume(t, 0);
  }
}

void arrive_ask(struct trace_run *run, struct thread *t) {
  struct flight *f = &t->now;
  int32_t nr = (int32_t)f->regs.orig_rax;
  uint8_t kind = f->by_entry || run->far_wanted ? KIND_WANTED : 0;
  uint64_t words[LENCASE_MAXARGS];
  if (!f->by_entry && nr >= 0 && nr < TRACE_KINDS) kind = run->kinds[nr];
  if (kind == 0) { /* a filter of the cage's own has stopped it, which has no tracer */
    flight_finish(run, t, -ENOSYS);
  } else if (kind & KIND_WANTED) {
    regs_words(&f->regs, words);
    run->observer->asks(t, nr, words);
    flight_act(run, t, call_arrive(t->proc->cage, t, nr, words, &f->call));
  } else {
    arrive_pass(run, t);
  }
}

void arrive(struct trace_run *run, struct thread *t) {
  struct flight *f = &t->now;
  assert(f->call == NULL && f->load == NULL);
  restart_over(t); /* whatever was cut short before */
  f->site = f->regs.rip - 2;
  f->at = AT_ENTRY;
  t->proc->reader = t->tid;
  if (run->attached && (t->seccomp.unread || t->proc->own_filters)) foreign_read(t);
  if (t->seccomp.strict && foreign_strict(run, t)) return;
  if (!run->observer->shows(run, t)) arrive_ask(run, t);
}
