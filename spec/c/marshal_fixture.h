/*
** marshal_fixture.h - running the steps of a plan by hand, counting the reads
*/

#ifndef MARSHAL_FIXTURE_H
#define MARSHAL_FIXTURE_H

#include "sim_fixture.h"

enum { PAGE = 4096 };

/* One call's marshalling. */
struct run {
  struct world *w;
  struct plan *plan;
  const struct variant_plan *vp;
  uint64_t words[LENCASE_MAXARGS];
  struct snapshot snaps[LENCASE_MAXARGS], outs[LENCASE_MAXARGS];
  struct arena arena;
  struct marshal_fault fault;
  unsigned reads; /* of the last step */
};

/* The cage's operations with 'read' counted; a cage has one set of them, so have the tests. */
static struct {
  const struct host_ops *real;
  struct host_ops ops;
  unsigned reads;
} counter;

static int counted_read(struct lencase_cage *cage, const struct mem_seg *segs, size_t n,
                        size_t *done) {
  counter.reads++;
  return counter.real->read(cage, segs, n, done);
}

static void count_reads(struct lencase_cage *cage) {
  if (cage->ops == &counter.ops) return;
  counter.real = cage->ops;
  counter.ops = *cage->ops;
  counter.ops.read = counted_read;
  cage->ops = &counter.ops;
}

/* A run of the call 'name'; run_close when done. */
__attribute__((unused)) static void run_open(struct run *r, struct world *w, const char *name,
                                             lencase_policy policy) {
  const struct signature *sig = sig_by_name(name);
  *r = (struct run){.w = w, .arena = {.st = w->st}};
  need(sig != NULL);
  need(plan_new(w->st, sig, policy, &r->plan) == LENCASE_OK);
  count_reads(w->cage);
}

__attribute__((unused)) static void run_close(struct run *r) {
  plan_free(r->w->st, r->plan);
  arena_free(&r->arena);
}

/* Runs the in-steps with these words. */
#define run_in(r, ...) run_in_words((r), (const uint64_t[LENCASE_MAXARGS]){__VA_ARGS__})

__attribute__((unused)) static int run_in_words(struct run *r,
                                                const uint64_t words[LENCASE_MAXARGS]) {
  memcpy(r->words, words, sizeof r->words);
  arena_reset(&r->arena);
  counter.reads = 0;
  r->fault = (struct marshal_fault){-1, 0, 0};
  r->vp = plan_select(r->plan, r->words, r->w->cage->narrow);
  int status = marshal_in(r->w->cage, r->vp, r->words, NULL, r->snaps, &r->arena, &r->fault);
  r->reads = counter.reads;
  return status;
}

/* And then the out-steps of a call that gave 'result'. */
__attribute__((unused)) static int run_out(struct run *r, int64_t result) {
  counter.reads = 0;
  int status =
      marshal_out(r->w->cage, r->vp, r->words, result, r->snaps, r->outs, &r->arena, &r->fault);
  r->reads = counter.reads;
  return status;
}

/* An array of 'n' words in the cage. */
__attribute__((unused)) static uint64_t put_words(struct world *w, const uint64_t *words,
                                                  size_t n) {
  return world_put(w, words, n * sizeof *words);
}

/* A string of 'length' letters in the cage, and its copy here (freed by the caller). */
__attribute__((unused)) static uint64_t put_letters(struct world *w, size_t length, char **copy) {
  char *s = malloc(length + 1);
  need(s != NULL);
  for (size_t i = 0; i < length; i++) s[i] = (char)('a' + i % 26);
  s[length] = 0;
  *copy = s;
  return world_put(w, s, length + 1);
}

#endif
