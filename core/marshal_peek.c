/*
** marshal_peek.c - arguments as a recorder or the prompt shows them: bounded, and never refused
*/

#include <string.h>

#include "cage.h"
#include "marshal.h"

/* {================================ one step =============================== */

static const uint8_t step_ops[] = {
    [SIG_STRING] = STEP_STRING, [SIG_STRV] = STEP_STRV, [SIG_IOVEC] = STEP_IOVEC};

/* What a plan with this step alone reads; not SNAP_HELD: it cannot be read. */
static struct snapshot read_whole(struct lencase_cage *cage, const struct sig_variant *v, int arg,
                                  const uint64_t words[LENCASE_MAXARGS],
                                  const struct snapshot *held, struct arena *arena) {
  struct variant_plan plan = {.variant = v, .nin = 1};
  struct snapshot snaps[LENCASE_MAXARGS];
  struct marshal_fault fault;
  plan.in[0] = (struct step){step_ops[v->params[arg].kind], (uint8_t)arg};
  if (marshal_in(cage, &plan, words, held, snaps, arena, &fault) != LENCASE_OK)
    return (struct snapshot){.addr = words[arg]};
  return snaps[arg];
}

/* The runs of an iovec without their bytes: as of one that the call fills. */
static struct snapshot read_runs(struct lencase_cage *cage, const struct sig_variant *v, int arg,
                                 const uint64_t words[LENCASE_MAXARGS], struct arena *arena) {
  struct sig_param params[LENCASE_MAXARGS];
  struct sig_variant filled = *v;
  memcpy(params, v->params, v->nparams * sizeof *params);
  params[arg].dir = SIG_OUT;
  filled.params = params;
  return read_whole(cage, &filled, arg, words, NULL, arena);
}

/* }========================================================================= */

/* {================================= bytes ================================= */

static size_t at_most(uint64_t size, size_t limit) {
  return size < limit ? (size_t)size : limit;
}

static void cannot_be_read(struct peek *p) {
  p->snap = (struct snapshot){.kind = p->snap.kind, .addr = p->snap.addr};
  p->fault = true;
}

/* How many of the bytes are there. */
static size_t read_bytes(struct lencase_cage *cage, uint64_t addr, unsigned char *data,
                         size_t size) {
  struct mem_seg seg = {addr, data, size};
  size_t done = 0;
  if (size > 0 && cage->ops->read(cage, &seg, 1, &done) != LENCASE_OK) return 0;
  return done;
}

static void peek_bytes(struct lencase_cage *cage, struct peek *p, size_t limit,
                       struct arena *arena) {
  size_t n = at_most(p->size, limit);
  p->snap.data = arena_new(arena, n + 1);
  p->snap.state = SNAP_HELD;
  if (p->snap.data != NULL) p->snap.size = read_bytes(cage, p->snap.addr, p->snap.data, n);
  if (p->snap.size < n || p->snap.data == NULL) cannot_be_read(p);
}

/* 'held': the same runs with their bytes, or NULL. 'size' is how many bytes of all there are. */
static void peek_runs(struct lencase_cage *cage, struct peek *p, const struct snapshot *held,
                      size_t limit, struct arena *arena) {
  size_t left = at_most(p->size, limit);
  unsigned char *at = arena_new(arena, left + 1);
  uint32_t i;
  p->snap.data = at;
  p->snap.size = left;
  for (i = 0; at != NULL && i < p->snap.nparts && left > 0; i++) {
    const struct snap_part *part = &p->snap.parts[i];
    size_t n = at_most(part->told, left);
    if (held != NULL && i < held->nparts && held->parts[i].data != NULL && held->parts[i].size >= n)
      memcpy(at, held->parts[i].data, n);
    else if (read_bytes(cage, part->addr, at, n) < n)
      at = NULL;
    left -= n;
    if (at != NULL) at += n;
  }
  if (at == NULL) cannot_be_read(p);
}

/* }========================================================================= */

/* {================================ arguments ============================== */

static const struct snapshot *held_at(const struct snapshot *held, int arg) {
  return held != NULL && held[arg].state == SNAP_HELD ? &held[arg] : NULL;
}

static uint64_t runs_size(const struct snapshot *runs) {
  uint64_t total = 0;
  uint32_t i;
  for (i = 0; i < runs->nparts; i++)
    if (__builtin_add_overflow(total, runs->parts[i].told, &total)) return UINT64_MAX;
  return total;
}

static void peek_iovec(struct lencase_cage *cage, const struct sig_variant *v, int arg,
                       const uint64_t words[LENCASE_MAXARGS], const struct snapshot *held,
                       size_t limit, struct arena *arena, struct peek *p) {
  p->snap = read_runs(cage, v, arg, words, arena);
  p->fault = p->snap.state != SNAP_HELD;
  if (p->fault) return;
  p->size = runs_size(&p->snap);
  p->snap.size = 0;
  if (v->params[arg].dir & SIG_IN) peek_runs(cage, p, held_at(held, arg), limit, arena);
}

static void peek_sized(struct lencase_cage *cage, const struct sig_variant *v, int arg,
                       const uint64_t words[LENCASE_MAXARGS], const struct snapshot *held,
                       size_t limit, struct arena *arena, struct peek *p) {
  const struct snapshot *mine = held_at(held, arg);
  bool reads = (v->params[arg].dir & SIG_IN) != 0;
  if (reads && mine != NULL) {
    p->snap = *mine;
    p->size = mine->told;
    p->snap.size = at_most(mine->size, limit);
  } else if (marshal_room(cage, v, arg, words, held, &p->size) != LENCASE_OK) {
    p->fault = true;
  } else if (reads) {
    peek_bytes(cage, p, limit, arena);
  }
}

struct peek marshal_peek(struct lencase_cage *cage, const struct sig_variant *v, int arg,
                         const uint64_t words[LENCASE_MAXARGS], const struct snapshot *held,
                         size_t limit, struct arena *arena) {
  struct peek p = {.snap = {.addr = words[arg], .kind = v->params[arg].kind}};
  if (!sig_is_pointer(&v->params[arg])) return p;
  if (words[arg] == 0) {
    p.snap.state = SNAP_NULL;
    return p;
  }
  switch ((enum sig_kind)v->params[arg].kind) {
    case SIG_STRING:
    case SIG_STRV:
      p.snap = read_whole(cage, v, arg, words, held, arena);
      p.fault = p.snap.state != SNAP_HELD;
      p.size = p.snap.size;
      break;
    case SIG_IOVEC: peek_iovec(cage, v, arg, words, held, limit, arena, &p); break;
    case SIG_BYTES:
    case SIG_RECORDS: peek_sized(cage, v, arg, words, held, limit, arena, &p); break;
    default: break;
  }
  return p;
}

struct peek marshal_peek_out(struct lencase_cage *cage, const struct sig_variant *v, int arg,
                             const uint64_t words[LENCASE_MAXARGS], uint64_t room, int64_t result,
                             size_t limit, struct arena *arena) {
  const struct sig_param *param = &v->params[arg];
  struct peek p = {.snap = {.addr = words[arg], .kind = param->kind}};
  if (!(param->dir & SIG_OUT) || words[arg] == 0 || !sig_is_pointer(param)) return p;
  if (param->kind == SIG_IOVEC) {
    p.snap = read_runs(cage, v, arg, words, arena);
    p.size = at_most(room, result > 0 ? (size_t)result : 0);
    if (p.snap.state == SNAP_HELD) peek_runs(cage, &p, NULL, limit, arena);
  } else if (param->kind == SIG_BYTES || param->kind == SIG_RECORDS) {
    p.fault = marshal_filled(cage, v, arg, words, room, result, &p.size) != LENCASE_OK;
    if (!p.fault) peek_bytes(cage, &p, limit, arena);
  }
  return p;
}

/* }========================================================================= */
