/*
** marshal.c - moving the bytes that a plan says
**
** Reading goes in rounds. A round is a list of wants, all fetched by one
** vectored read; what was read may lead to more (a string goes on, an
** iovec points to bytes): those are the wants of the next round.
*/

#include "marshal.h"

#include <assert.h>
#include <string.h>

#include "cage.h"

enum {
  PAGE = 4096,
  PIECE = 1024,          /* of a string, at the first try */
  PIECE_MANY = 128,      /* the same, of an array of strings */
  BATCH = 64,            /* segments in one vectored read */
  POINTERS = 64,         /* of an array of strings, at the first try */
  STRING_LIMIT = 131072, /* no call reads more of a string: MAX_ARG_STRLEN of linux/binfmts.h */
  STRUCT_LIMIT = PAGE,   /* nor of a struct that has its own size in it */
  IOVEC_MAX = 1024       /* UIO_MAXIOV of linux/uio.h */
};

/* A pointer or a size of the cage's, of 'width' bytes. */
static uint64_t load_word(const unsigned char *at, size_t width) {
  uint64_t word = 0;
  memcpy(&word, at, width);
  return word;
}

static void store_word(unsigned char *at, size_t width, uint64_t word) {
  memcpy(at, &word, width);
}

enum want_op { WANT_BYTES, WANT_STRING, WANT_POINTERS, WANT_IOVEC };

struct want {
  struct want *next;
  uint8_t op, arg;
  struct mem_seg seg;
  size_t got;             /* bytes of it that could be read */
  size_t before;          /* bytes held from earlier rounds, right before seg.data */
  size_t room;            /* bytes there is room for, with those */
  struct snap_part *part; /* where it ends up; NULL: the argument itself */
};

struct marshal {
  struct lencase_cage *cage;
  const struct sig_variant *variant;
  struct snapshot *snaps;
  struct arena *arena;
  struct marshal_fault *fault;
  struct want *wants, **last;
  uint64_t budget; /* bytes that may still be copied */
};

static int no_memory(struct marshal *m, int arg, uint64_t addr, uint64_t size) {
  *m->fault = (struct marshal_fault){arg, addr, size};
  return LENCASE_ENOMEM;
}

static void *take(struct marshal *m, int arg, uint64_t addr, uint64_t size, int *status) {
  void *p;
  *status = LENCASE_ELIMIT;
  if (size > m->budget) return NULL;
  m->budget -= size;
  p = arena_new(m->arena, (size_t)size);
  *status = p != NULL ? LENCASE_OK : no_memory(m, arg, addr, size);
  return p;
}

static int want(struct marshal *m, enum want_op op, int arg, uint64_t addr, void *data, size_t size,
                struct want **out) {
  struct want *w = arena_new(m->arena, sizeof *w);
  if (w == NULL) return no_memory(m, arg, addr, size);
  *w = (struct want){.op = (uint8_t)op, .arg = (uint8_t)arg, .seg = {addr, data, size}};
  *m->last = w;
  m->last = &w->next;
  *out = w;
  return LENCASE_OK;
}

/* Nothing of the argument can be shown. */
static void give_up(struct marshal *m, int arg, enum snap_cut cut) {
  struct snapshot *s = &m->snaps[arg];
  *s = (struct snapshot){
      .state = SNAP_BAD, .kind = s->kind, .cut = (uint8_t)cut, .addr = s->addr, .told = s->told};
}

/* {================================= bytes ================================= */

/*
** Wants the 'told' bytes of an argument, or of a part of it. When they are more than the budget
** has, half of that: other arguments need some too.
*/
static int want_bytes(struct marshal *m, int arg, struct snap_part *part, uint64_t addr,
                      uint64_t told) {
  const struct sig_param *p = &m->variant->params[arg];
  struct snapshot *s = &m->snaps[arg];
  size_t size = (size_t)(told > m->budget ? m->budget / 2 : told);
  size_t known = sig_is_sized(p) && size < p->record->size ? p->record->size : size;
  uint8_t cut = size < told ? CUT_LIMIT : CUT_NONE;
  struct want *w;
  int status;
  unsigned char *data = take(m, arg, addr, known, &status);
  if (status != LENCASE_OK) return status;
  memset(data + size, 0, known - size);
  if (part != NULL) {
    part->data = data;
    part->size = size;
    part->cut = cut;
  } else {
    s->data = data;
    s->size = size;
    s->told = told;
    s->cut = cut;
    if (size == 0 && told > 0) give_up(m, arg, CUT_LIMIT);
  }
  if (size == 0) return LENCASE_OK;
  status = want(m, WANT_BYTES, arg, addr, data, size, &w);
  if (status == LENCASE_OK) w->part = part;
  return status;
}

/* The size in a struct may have grown since it was read: the struct ends where its bytes do. */
static bool outgrown(const struct sig_param *p, const struct snapshot *s) {
  return p->size == SIZE_FIELD && s->size >= p->count + sizeof(uint32_t) &&
         load_word(s->data + p->count, sizeof(uint32_t)) > s->size;
}

static int bytes_read(struct marshal *m, const struct want *w) {
  struct snapshot *s = &m->snaps[w->arg];
  if (w->got < w->seg.size && w->part != NULL) {
    w->part->size = w->got;
    w->part->cut = CUT_FAULT;
    if (w->got == 0) w->part->data = NULL;
  } else if (w->got == 0) {
    give_up(m, w->arg, CUT_FAULT);
  } else if (w->part == NULL) {
    s->size = w->got;
    if (w->got < w->seg.size || outgrown(&m->variant->params[w->arg], s)) s->cut = CUT_FAULT;
  }
  return LENCASE_OK;
}

/* }========================================================================= */

/* {================================ strings ================================ */

/* A piece never reaches over the end of a page: what lies behind may not be there. */
static size_t piece_at(uint64_t addr, size_t max) {
  size_t left = PAGE - (size_t)(addr % PAGE);
  return left < max ? left : max;
}

/*
** Room behind 'have' bytes at 'old', which has *room: doubled when it is full, so that what
** is long is not copied time and again. 'old' NULL: none yet.
*/
static unsigned char *more_room(struct marshal *m, int arg, uint64_t addr, unsigned char *old,
                                size_t have, size_t *room, int *status) {
  unsigned char *data;
  *status = LENCASE_OK;
  if (old != NULL && have < *room) return old;
  if (old != NULL) *room *= 2;
  data = take(m, arg, addr, *room, status);
  if (data != NULL && have > 0) memcpy(data, old, have);
  return data;
}

static void string_held(struct marshal *m, int arg, struct snap_part *part, unsigned char *data,
                        size_t size) {
  if (part != NULL) {
    part->data = data;
    part->size = size;
  } else {
    m->snaps[arg].data = data;
    m->snaps[arg].size = size;
  }
}

/* The next piece, after 'have' bytes at 'old', which has 'room'; no more than a call reads. */
static int want_string(struct marshal *m, int arg, uint64_t addr, struct snap_part *part,
                       unsigned char *old, size_t have, size_t room) {
  size_t end, limit = m->variant->params[arg].count;
  struct want *w;
  unsigned char *data;
  int status;
  if (limit == 0) limit = STRING_LIMIT;
  if (have < limit && have >= m->cage->st->config.max_string) return LENCASE_ELIMIT;
  data = more_room(m, arg, addr, old, have, &room, &status);
  if (status != LENCASE_OK) return status;
  if (have == limit) {
    data[have] = 0;
    string_held(m, arg, part, data, have);
    return LENCASE_OK;
  }
  end = room < limit ? room : limit;
  status =
      want(m, WANT_STRING, arg, addr + have, data + have, piece_at(addr + have, end - have), &w);
  if (status != LENCASE_OK) return status;
  w->before = have;
  w->room = room;
  w->part = part;
  return LENCASE_OK;
}

static int string_read(struct marshal *m, const struct want *w) {
  unsigned char *start = (unsigned char *)w->seg.data - w->before;
  uint64_t addr = w->seg.addr - w->before;
  const unsigned char *nul = memchr(w->seg.data, 0, w->got);
  size_t size = nul != NULL ? (size_t)(nul - start) : w->before + w->got;
  if (nul != NULL && size >= m->cage->st->config.max_string) return LENCASE_ELIMIT;
  if (nul == NULL && w->got == w->seg.size)
    return want_string(m, w->arg, addr, w->part, start, size, w->room);
  /* a string without an end is bad; what there is of it is kept, for the kernel to judge */
  if (nul == NULL && w->part == NULL) give_up(m, w->arg, CUT_FAULT);
  if (nul == NULL && w->part != NULL) w->part->cut = CUT_FAULT;
  string_held(m, w->arg, w->part, start, size);
  return LENCASE_OK;
}

/* }========================================================================= */

/* {============================ arrays of strings ========================== */

/*
** The next pointers, after 'have' bytes of them at 'old', which has 'room'. The last one
** may be there in part only: an array need not be aligned to its pages.
*/
static int want_pointers(struct marshal *m, int arg, uint64_t addr, unsigned char *old, size_t have,
                         size_t room) {
  uint64_t at = addr + have;
  struct want *w;
  int status;
  unsigned char *data = more_room(m, arg, addr, old, have, &room, &status);
  if (status != LENCASE_OK) return status;
  status = want(m, WANT_POINTERS, arg, at, data + have, piece_at(at, room - have), &w);
  if (status != LENCASE_OK) return status;
  w->before = have;
  w->room = room;
  return LENCASE_OK;
}

static int want_strings(struct marshal *m, int arg, const unsigned char *pointers, size_t n) {
  struct snapshot *s = &m->snaps[arg];
  size_t i, width = m->variant->params[arg].elem;
  int status;
  s->parts = take(m, arg, s->addr, n * sizeof *s->parts, &status);
  s->nparts = (uint32_t)n;
  for (i = 0; status == LENCASE_OK && i < n; i++) {
    s->parts[i] = (struct snap_part){.addr = load_word(pointers + i * width, width)};
    status = want_string(m, arg, s->parts[i].addr, &s->parts[i], NULL, 0, PIECE_MANY);
  }
  return status;
}

static int pointers_read(struct marshal *m, const struct want *w) {
  unsigned char *start = (unsigned char *)w->seg.data - w->before;
  size_t width = m->variant->params[w->arg].elem;
  size_t i, have = w->before + w->got;
  for (i = w->before / width; i < have / width; i++)
    if (load_word(start + i * width, width) == 0) return want_strings(m, w->arg, start, i);
  if (w->got == w->seg.size)
    return want_pointers(m, w->arg, m->snaps[w->arg].addr, start, have, w->room);
  give_up(m, w->arg, CUT_FAULT);
  return LENCASE_OK;
}

/* }========================================================================= */

/* {================================= iovecs ================================ */

/*
** A run of negative length has the kernel refuse all of them: none is read then. No call reads on
** behind a truncated one.
*/
static int want_runs(struct marshal *m, int arg) {
  struct snapshot *s = &m->snaps[arg];
  uint32_t i;
  int status = LENCASE_OK;
  for (i = 0; i < s->nparts; i++)
    if (s->parts[i].told > INT64_MAX) return LENCASE_OK;
  for (i = 0; status == LENCASE_OK && i < s->nparts; i++) {
    struct snap_part *part = &s->parts[i];
    status = want_bytes(m, arg, part, part->addr, part->told);
    if (part->cut != CUT_NONE) break;
  }
  return status;
}

static int iovec_read(struct marshal *m, const struct want *w) {
  const unsigned char *iov = w->seg.data;
  size_t width = m->variant->params[w->arg].elem / 2;
  struct snapshot *s = &m->snaps[w->arg];
  uint32_t i;
  int status;
  if (w->got < w->seg.size) {
    give_up(m, w->arg, CUT_FAULT);
    return LENCASE_OK;
  }
  s->parts = take(m, w->arg, s->addr, s->nparts * sizeof *s->parts, &status);
  for (i = 0; status == LENCASE_OK && i < s->nparts; i++, iov += 2 * width)
    s->parts[i] =
        (struct snap_part){.addr = load_word(iov, width), .told = load_word(iov + width, width)};
  if (status == LENCASE_OK && (m->variant->params[w->arg].dir & SIG_IN))
    status = want_runs(m, w->arg);
  return status;
}

/* }========================================================================= */

/* {================================= rounds ================================ */

static int (*const follow[])(struct marshal *, const struct want *) = {
    [WANT_BYTES] = bytes_read,
    [WANT_STRING] = string_read,
    [WANT_POINTERS] = pointers_read,
    [WANT_IOVEC] = iovec_read,
};

static bool is_string_apart(const struct marshal *m, const struct want *w) {
  return w->op == WANT_STRING && m->cage->ops->read_string != NULL;
}

/*
** Fetches the wants from *w on, at most a batch and up to the first that cannot be read whole; *w
** is the first one left over.
*/
static int fetch_batch(struct marshal *m, struct want **w) {
  const struct host_ops *ops = m->cage->ops;
  struct mem_seg segs[BATCH];
  struct want *first = *w, *p = first;
  bool apart = is_string_apart(m, first);
  size_t n = 0, done = 0;
  int status;
  do {
    segs[n++] = p->seg;
    p = p->next;
  } while (!apart && p != NULL && n < BATCH && !is_string_apart(m, p));
  status = apart ? ops->read_string(m->cage, segs, &done) : ops->read(m->cage, segs, n, &done);
  if (status != LENCASE_OK) {
    *m->fault = (struct marshal_fault){first->arg, first->seg.addr, first->seg.size};
    return status;
  }
  for (; first != p; first = first->next) {
    first->got = done < first->seg.size ? done : first->seg.size;
    done -= first->got;
    if (first->got == first->seg.size) continue;
    p = first->next;
    break;
  }
  *w = p;
  return LENCASE_OK;
}

static void no_wants(struct marshal *m) {
  m->wants = NULL;
  m->last = &m->wants;
}

/* Exceeding a limit does not fail the call. */
static int settle(struct marshal *m, int arg, int status) {
  if (status != LENCASE_ELIMIT) return status;
  give_up(m, arg, CUT_LIMIT);
  return LENCASE_OK;
}

static int run_rounds(struct marshal *m) {
  int status = LENCASE_OK;
  while (status == LENCASE_OK && m->wants != NULL) {
    struct want *all = m->wants, *w = all;
    no_wants(m);
    while (status == LENCASE_OK && w != NULL) status = fetch_batch(m, &w);
    for (w = all; status == LENCASE_OK && w != NULL; w = w->next)
      if (m->snaps[w->arg].state == SNAP_HELD) status = settle(m, w->arg, follow[w->op](m, w));
  }
  return status;
}

/* }========================================================================= */

/* {================================= sizes ================================= */

/* A negative count is the kernel's to refuse: it has no room at all. */
static uint64_t count_in_word(const struct sig_param *p, uint64_t word) {
  int64_t n;
  if (p->kind != SIG_INT) return 0;
  n = sig_int(p, word);
  return p->is_signed && n < 0 ? 0 : (uint64_t)n;
}

static int read_length(struct lencase_cage *cage, uint64_t addr, const struct snapshot *snap,
                       uint64_t *length) {
  uint32_t n = 0;
  struct mem_seg seg = {addr, &n, sizeof n};
  size_t done = 0;
  *length = 0;
  if (addr == 0) return LENCASE_OK;
  if (snap != NULL && snap->state == SNAP_HELD && snap->size >= sizeof n) {
    memcpy(&n, snap->data, sizeof n);
  } else {
    int status = cage->ops->read(cage, &seg, 1, &done);
    if (status != LENCASE_OK) return status;
    if (done < sizeof n) return LENCASE_EFAULT;
  }
  *length = n > INT32_MAX ? 0 : n; /* a socklen_t is an int to the kernel */
  return LENCASE_OK;
}

/* A struct with its size in it: as much as that says, and never more than a page. */
static int read_own_length(struct lencase_cage *cage, const struct sig_param *p, uint64_t addr,
                           uint64_t *length) {
  uint64_t least = p->count + sizeof(uint32_t);
  int status = read_length(cage, addr + p->count, NULL, length);
  if (*length == 0) *length = p->record->size;
  if (*length < least) *length = least;
  if (*length > STRUCT_LIMIT) *length = STRUCT_LIMIT;
  return status == LENCASE_EFAULT ? LENCASE_OK : status;
}

int marshal_room(struct lencase_cage *cage, const struct sig_variant *v, int arg,
                 const uint64_t words[LENCASE_MAXARGS], const struct snapshot *snaps,
                 uint64_t *room) {
  const struct sig_param *p = &v->params[arg];
  uint64_t n = p->count;
  int status = LENCASE_OK;
  assert(arg >= 0 && arg < v->nparams);
  *room = 0;
  switch ((enum sig_size)p->size) {
    case SIZE_FIXED: break;
    case SIZE_ARG: n = count_in_word(&v->params[p->size_arg], words[p->size_arg]); break;
    case SIZE_FIELD: status = read_own_length(cage, p, words[arg], &n); break;
    case SIZE_DEREF:
      status =
          read_length(cage, words[p->size_arg], snaps != NULL ? &snaps[p->size_arg] : NULL, &n);
      break;
  }
  if (status == LENCASE_OK && __builtin_mul_overflow(n, p->elem, room)) *room = UINT64_MAX;
  return status;
}

/* }========================================================================= */

/* {=============================== in and out ============================== */

static int start_string(struct marshal *m, int arg, uint64_t addr, uint64_t room) {
  (void)room;
  return want_string(m, arg, addr, NULL, NULL, 0, PIECE);
}

static int start_bytes(struct marshal *m, int arg, uint64_t addr, uint64_t room) {
  return want_bytes(m, arg, NULL, addr, room);
}

static int start_strv(struct marshal *m, int arg, uint64_t addr, uint64_t room) {
  (void)room;
  return want_pointers(m, arg, addr, NULL, 0, POINTERS * m->variant->params[arg].elem);
}

/* The kernel reads none of an array that has too many runs. */
static int start_iovec(struct marshal *m, int arg, uint64_t addr, uint64_t room) {
  struct snapshot *s = &m->snaps[arg];
  uint64_t n = room / m->variant->params[arg].elem;
  unsigned char *data;
  struct want *w;
  int status;
  if (n == 0) return LENCASE_OK;
  if (n > IOVEC_MAX) {
    give_up(m, arg, CUT_COUNT);
    return LENCASE_OK;
  }
  s->nparts = (uint32_t)n;
  data = take(m, arg, addr, room, &status);
  return status != LENCASE_OK ? status : want(m, WANT_IOVEC, arg, addr, data, (size_t)room, &w);
}

static int (*const start[])(struct marshal *, int arg, uint64_t addr, uint64_t room) = {
    [STEP_STRING] = start_string,
    [STEP_BYTES] = start_bytes,
    [STEP_STRV] = start_strv,
    [STEP_IOVEC] = start_iovec,
};

/* What a snapshot is before its bytes are there. */
static struct snapshot empty(const struct marshal *m, int arg, uint64_t addr) {
  return (struct snapshot){.state = addr != 0 ? SNAP_HELD : SNAP_NULL,
                           .kind = m->variant->params[arg].kind,
                           .addr = addr};
}

/* Whether a step would read the same bytes: only in-arguments, which no call has changed. */
static bool serves(const struct sig_param *p, const struct snapshot *have, uint64_t addr,
                   uint64_t room) {
  if (p->dir != SIG_IN || have->state != SNAP_HELD || have->kind != p->kind || have->addr != addr)
    return false;
  if (p->kind == SIG_IOVEC) return (uint64_t)have->nparts * p->elem == room;
  return p->kind == SIG_STRING || p->kind == SIG_STRV || have->size == room;
}

static int start_step(struct marshal *m, const struct step *step,
                      const uint64_t words[LENCASE_MAXARGS], const struct snapshot *have) {
  uint64_t room = 0, addr = words[step->arg];
  int status;
  assert(step->arg < m->variant->nparams && step->op < sizeof start / sizeof *start);
  m->snaps[step->arg] = empty(m, step->arg, addr);
  if (addr == 0) return LENCASE_OK;
  status = marshal_room(m->cage, m->variant, step->arg, words, NULL, &room);
  if (status == LENCASE_EFAULT) { /* its length cannot be read */
    give_up(m, step->arg, CUT_FAULT);
    return LENCASE_OK;
  }
  if (status != LENCASE_OK) return status;
  if (!serves(&m->variant->params[step->arg], have, addr, room))
    return settle(m, step->arg, start[step->op](m, step->arg, addr, room));
  m->snaps[step->arg] = *have;
  m->snaps[step->arg].uses = 0;
  return LENCASE_OK;
}

static struct marshal marshal_begin(struct lencase_cage *cage, const struct variant_plan *vp,
                                    struct snapshot *snaps, struct arena *arena,
                                    struct marshal_fault *fault) {
  return (struct marshal){.cage = cage,
                          .variant = vp->variant,
                          .snaps = snaps,
                          .arena = arena,
                          .fault = fault,
                          .budget = cage->st->config.max_call_bytes};
}

int marshal_in(struct lencase_cage *cage, const struct variant_plan *vp,
               const uint64_t words[LENCASE_MAXARGS], const struct snapshot *have,
               struct snapshot snaps[LENCASE_MAXARGS], struct arena *arena,
               struct marshal_fault *fault) {
  struct marshal m;
  struct snapshot held[LENCASE_MAXARGS];
  int i, status = LENCASE_OK;
  if (vp->nin == 0) {
    snapshots_clear(snaps);
    return LENCASE_OK;
  }
  m = marshal_begin(cage, vp, snaps, arena, fault);
  if (have != NULL)
    memcpy(held, have, sizeof held);
  else
    memset(held, 0, sizeof held);
  memset(snaps, 0, LENCASE_MAXARGS * sizeof *snaps);
  no_wants(&m);
  for (i = 0; status == LENCASE_OK && i < vp->nin; i++)
    status = start_step(&m, &vp->in[i], words, &held[vp->in[i].arg]);
  return status == LENCASE_OK ? run_rounds(&m) : status;
}

int marshal_filled(struct lencase_cage *cage, const struct sig_variant *v, int arg,
                   const uint64_t words[LENCASE_MAXARGS], uint64_t room, int64_t result,
                   uint64_t *size) {
  const struct sig_param *p = &v->params[arg];
  uint64_t told = room;
  int status = LENCASE_OK;
  if (p->filled == FILLED_RESULT) {
    if (result < 0 || __builtin_mul_overflow((uint64_t)result, p->elem, &told)) told = 0;
  } else if (p->size == SIZE_DEREF) {
    status = read_length(cage, words[p->size_arg], NULL, &told);
  }
  *size = told < room ? told : room;
  return status;
}

/* How many of the bytes in the room were filled, by the result. */
static int filled(struct marshal *m, int arg, const uint64_t words[LENCASE_MAXARGS],
                  const struct snapshot *before, int64_t result, uint64_t *size) {
  uint64_t room;
  int status = marshal_room(m->cage, m->variant, arg, words, before, &room);
  *size = room;
  if (status != LENCASE_OK) return status;
  return marshal_filled(m->cage, m->variant, arg, words, room, result, size);
}

/* The bytes that came into the runs of an iovec, in order. */
static int out_iovec(struct marshal *m, int arg, const struct snapshot *before, uint64_t size) {
  struct snapshot *s = &m->snaps[arg];
  uint32_t i;
  int status = LENCASE_OK;
  if (before == NULL || before[arg].state != SNAP_HELD) return LENCASE_OK;
  s->nparts = before[arg].nparts;
  s->parts = take(m, arg, s->addr, s->nparts * sizeof *s->parts, &status);
  for (i = 0; status == LENCASE_OK && i < s->nparts; i++) {
    uint64_t addr = before[arg].parts[i].addr, told = before[arg].parts[i].told;
    if (told > size) told = size;
    size -= told;
    s->parts[i] = (struct snap_part){.addr = addr, .told = told};
    status = want_bytes(m, arg, &s->parts[i], addr, told);
  }
  return status;
}

static int start_out(struct marshal *m, const struct step *step,
                     const uint64_t words[LENCASE_MAXARGS], const struct snapshot *before,
                     int64_t result) {
  struct snapshot *s = &m->snaps[step->arg];
  uint64_t addr = words[step->arg], size;
  int status;
  assert(step->arg < m->variant->nparams && (m->variant->params[step->arg].dir & SIG_OUT) != 0);
  *s = empty(m, step->arg, addr);
  if (addr == 0) return LENCASE_OK;
  if (step->op == STEP_IOVEC)
    return settle(m, step->arg, out_iovec(m, step->arg, before, (uint64_t)result));
  status = filled(m, step->arg, words, before, result, &size);
  if (status == LENCASE_OK) return settle(m, step->arg, want_bytes(m, step->arg, NULL, addr, size));
  give_up(m, step->arg, CUT_FAULT);
  return status == LENCASE_EFAULT ? LENCASE_OK : status;
}

int marshal_out(struct lencase_cage *cage, const struct variant_plan *vp,
                const uint64_t words[LENCASE_MAXARGS], int64_t result,
                const struct snapshot *before, struct snapshot outs[LENCASE_MAXARGS],
                struct arena *arena, struct marshal_fault *fault) {
  struct marshal m = marshal_begin(cage, vp, outs, arena, fault);
  int i, status = LENCASE_OK;
  memset(outs, 0, LENCASE_MAXARGS * sizeof *outs);
  no_wants(&m);
  for (i = 0; status == LENCASE_OK && i < vp->nout; i++)
    status = start_out(&m, &vp->out[i], words, before, result);
  return status == LENCASE_OK ? run_rounds(&m) : status;
}

/* }========================================================================= */

/* {================================= placing =============================== */

static size_t aligned(size_t n) {
  return (n + 15) & ~(size_t)15;
}

static uint64_t put(const struct mem_seg *seg, size_t *used, const void *data, size_t size) {
  uint64_t addr = seg->addr + *used;
  assert(*used <= seg->size && size <= seg->size - *used);
  if (size > 0) memcpy((unsigned char *)seg->data + *used, data, size);
  *used += aligned(size);
  return addr;
}

static size_t parts_size(const struct snapshot *s, size_t extra) {
  size_t n = 0;
  uint32_t i;
  for (i = 0; i < s->nparts; i++)
    if (s->parts[i].data != NULL) n += aligned(s->parts[i].size + extra);
  return n;
}

size_t marshal_placed_size(const struct sig_param *p, const struct snapshot *snap) {
  switch ((enum sig_kind)p->kind) {
    case SIG_STRING: return aligned(snap->size + 1);
    case SIG_STRV: return aligned((snap->nparts + (size_t)1) * p->elem) + parts_size(snap, 1);
    case SIG_IOVEC: return aligned((size_t)snap->nparts * p->elem) + parts_size(snap, 0);
    default: return aligned(snap->size);
  }
}

static uint64_t place_strv(const struct snapshot *s, size_t width, const struct mem_seg *seg,
                           size_t *used) {
  uint64_t addr = seg->addr + *used;
  unsigned char *pointers = (unsigned char *)seg->data + *used;
  uint32_t i;
  *used += aligned((s->nparts + (size_t)1) * width);
  assert(*used <= seg->size);
  for (i = 0; i < s->nparts; i++)
    store_word(pointers + i * width, width,
               s->parts[i].data != NULL ? put(seg, used, s->parts[i].data, s->parts[i].size + 1)
                                        : s->parts[i].addr);
  store_word(pointers + i * width, width, 0);
  return addr;
}

/* A run whose bytes are not held stays the caller's own. */
static uint64_t place_iovec(const struct snapshot *s, size_t width, const struct mem_seg *seg,
                            size_t *used) {
  uint64_t addr = seg->addr + *used;
  unsigned char *iov = (unsigned char *)seg->data + *used;
  uint32_t i;
  *used += aligned(s->nparts * 2 * width);
  assert(*used <= seg->size);
  for (i = 0; i < s->nparts; i++, iov += 2 * width) {
    const struct snap_part *part = &s->parts[i];
    store_word(iov, width,
               part->data != NULL ? put(seg, used, part->data, part->size) : part->addr);
    store_word(iov + width, width, part->told);
  }
  return addr;
}

uint64_t marshal_place(const struct sig_param *p, const struct snapshot *snap,
                       const struct mem_seg *seg, size_t *used) {
  switch ((enum sig_kind)p->kind) {
    case SIG_STRING: return put(seg, used, snap->data, snap->size + 1);
    case SIG_STRV: return place_strv(snap, p->elem, seg, used);
    case SIG_IOVEC: return place_iovec(snap, p->elem / 2, seg, used);
    default: return put(seg, used, snap->data, snap->size);
  }
}

/* }========================================================================= */
