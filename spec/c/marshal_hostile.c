/*
** marshal_hostile.c - every signature with words and memory that mean no good
**
** The cage's memory is full of words that are addresses in it, at its edges and outside of it,
** lengths and zeros; so are the arguments. Whatever comes of it: no byte is touched that is not
** there (the guard pages and the sanitizers tell), no limit is passed, a failure says where.
*/

#include "marshal_fixture.h"

enum { BYTES = 3 * PAGE + 24, LIMIT = 1 << 16, STRING_MAX = 3000, ROUNDS = 60, PEEK = 100 };

/* {================================= chance ================================ */

/* The same numbers in each run (Marsaglia's xorshift). */
static uint64_t chance(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

/* A word that may stand for anything: 'object' is BYTES of the cage. */
static uint64_t any_word(uint64_t *seed, uint64_t object) {
  uint64_t r = chance(seed), small = r >> 8 & 63, within = (r >> 8) % BYTES;
  switch (r & 15) {
    case 0: return 0;
    case 1: return UINT64_MAX - small;
    case 2: return (UINT64_C(1) << 63) + small;
    case 3: return INT32_MAX - small;
    case 4: return (uint64_t)INT64_MAX - small;
    case 5: return object + BYTES - small;
    case 6: return object - small;
    case 7: return UINT32_MAX - small;
    case 8: return 1024 - 8 + (small & 15);
    case 9: return LIMIT - 8 + (small & 15);
    case 10: return small;
    default: return object + within;
  }
}

/* An object full of such words, some of its bytes zero. */
static uint64_t hostile_object(struct world *w, uint64_t *seed) {
  static uint64_t words[BYTES / 8];
  uint64_t object = sim_alloc(w->cage, BYTES);
  need(object != 0);
  for (size_t i = 0; i < BYTES / 8; i++) words[i] = any_word(seed, object);
  struct mem_seg seg = {object, words, BYTES};
  need(w->cage->ops->write(w->cage, &seg) == LENCASE_OK);
  return object;
}

/* }========================================================================= */

/* {================================= checks ================================ */

/* Touches all bytes; their number. */
static size_t touch(const unsigned char *data, size_t size) {
  volatile unsigned char sum = 0;
  if (data == NULL) return 0;
  for (size_t i = 0; i < size; i++) sum = (unsigned char)(sum + data[i]);
  return size;
}

static bool is_string(const unsigned char *data, size_t size) {
  return data != NULL && size < STRING_MAX && strlen((const char *)data) == size;
}

/* Whether what a snapshot says is there is there, its bytes added to *size. */
static bool holds(const struct sig_param *p, const struct snapshot *s, size_t *size) {
  bool good = s->state != SNAP_HELD || p->kind != SIG_STRING || is_string(s->data, s->size);
  if (s->state != SNAP_HELD) return touch(s->data, s->size) == s->size && s->parts == NULL;
  *size += touch(s->data, s->size);
  for (uint32_t i = 0; i < s->nparts; i++) {
    const struct snap_part *part = &s->parts[i];
    *size += touch(part->data, part->size);
    if (p->kind == SIG_STRV && part->cut == CUT_NONE)
      good = good && is_string(part->data, part->size);
  }
  return good;
}

/* Lays a snapshot out in as much room as it asks for, and not a byte more. */
static bool fits(const struct sig_param *p, const struct snapshot *s) {
  size_t room = marshal_placed_size(p, s), used = 0;
  void *data = malloc(room);
  struct mem_seg seg = {SIM_BASE, data, room};
  need(data != NULL || room == 0);
  if (s->state == SNAP_HELD) marshal_place(p, s, &seg, &used);
  free(data);
  return used <= room;
}

static bool all_hold(const struct run *r, const struct step *steps, int n,
                     const struct snapshot *snaps) {
  size_t size = 0;
  bool good = true;
  for (int i = 0; i < n; i++) {
    const struct sig_param *p = &r->vp->variant->params[steps[i].arg];
    good = good && holds(p, &snaps[steps[i].arg], &size) && fits(p, &snaps[steps[i].arg]);
  }
  return good && size <= LIMIT;
}

/* A failure is one of the cage's making and names an argument. */
static bool is_clear(const struct run *r, int status) {
  bool known = status == LENCASE_EFAULT || status == LENCASE_ELIMIT || status == LENCASE_EINVAL;
  return known && r->fault.arg >= 0 && r->fault.arg < r->vp->variant->nparams;
}

/* What those see who look on: no more than they asked for, unless it is text. */
static bool is_bounded(const struct sig_param *p, const struct peek *peek) {
  bool is_text = p->kind == SIG_STRING || p->kind == SIG_STRV;
  size_t size = 0;
  if (p->kind == SIG_IOVEC) return touch(peek->snap.data, peek->snap.size) <= PEEK;
  return holds(p, &peek->snap, &size) && (is_text || size <= PEEK) &&
         (peek->snap.state != SNAP_HELD || is_text || peek->snap.size <= peek->size);
}

static bool peeks_hold(struct run *r, const struct snapshot *held, int64_t result) {
  bool good = true;
  for (int i = 0; good && i < r->vp->variant->nparams; i++) {
    const struct sig_param *p = &r->vp->variant->params[i];
    struct peek in = marshal_peek(r->w->cage, r->vp->variant, i, r->words, held, PEEK, &r->arena);
    struct peek out =
        marshal_peek_out(r->w->cage, r->vp->variant, i, r->words, in.size, result, PEEK, &r->arena);
    good = is_bounded(p, &in) && is_bounded(p, &out);
  }
  return good;
}

static bool one(struct run *r, uint64_t *seed, uint64_t object, unsigned *went) {
  static const int64_t results[] = {0, 1, 7, 4096, INT32_MAX, INT64_MAX};
  uint64_t words[LENCASE_MAXARGS];
  for (int i = 0; i < LENCASE_MAXARGS; i++) words[i] = any_word(seed, object);
  int64_t result = results[chance(seed) % (sizeof results / sizeof results[0])];
  int status = run_in_words(r, words);
  if (!peeks_hold(r, status == LENCASE_OK ? r->snaps : NULL, result)) return false;
  if (status != LENCASE_OK) return is_clear(r, status);
  if (!all_hold(r, r->vp->in, r->vp->nin, r->snaps)) return false;
  status = run_out(r, result);
  if (status != LENCASE_OK) return is_clear(r, status);
  ++*went;
  return all_hold(r, r->vp->out, r->vp->nout, r->outs);
}

/* }========================================================================= */

int main(void) {
  struct world w;
  struct run r;
  uint64_t seed = 2026;
  unsigned went = 0;
  world_open(&w, &(lencase_config){.max_call_bytes = LIMIT, .max_string = STRING_MAX}, NULL);
  for (size_t i = 0; i < sig_table_size; i++) {
    bool good = true;
    run_open(&r, &w, sig_table[i].name, LENCASE_COPY_ALL_ARGS);
    for (unsigned j = 0; good && j < ROUNDS; j++) {
      sim_reset(w.cage);
      good = one(&r, &seed, hostile_object(&w, &seed), &went);
    }
    ok(good, "%s(0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ", ...)", sig_table[i].name, r.words[0],
       r.words[1], r.words[2]);
    run_close(&r);
  }
  ok(went > sig_table_size, "%u calls went well all the same", went);
  world_close(&w);
  return test_end();
}
