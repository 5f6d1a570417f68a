/*
** call_cross.c - calls whose arguments belong to other cages than the one they act for
**
** What is pointed to is brought over before any handler is called: handlers and host see an
** ordinary call of the cage that it acts for.
*/

#include "call_cross.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { ERRNO_LAST = 4095 }; /* MAX_ERRNO of linux/err.h */

struct call_cross {
  const struct variant_plan *vp;
  struct lencase_cage *cages[LENCASE_MAXARGS]; /* of foreign arguments; NULL: none of those */
  uint64_t ids[LENCASE_MAXARGS];               /* of these cages, which may end meanwhile */
  uint64_t from[LENCASE_MAXARGS];              /* the words as they were */
  struct snapshot given[LENCASE_MAXARGS];      /* as it is in the foreign cage */
  struct snapshot moved[LENCASE_MAXARGS];      /* and in the call's */
  struct mem_seg window, scratch;
};

static int64_t errno_of(int status) {
  switch (status) {
    case LENCASE_OK: return 0;
    case LENCASE_EFAULT: return -EFAULT;
    case LENCASE_EINVAL: return -EINVAL;
    case LENCASE_EGONE: return -ESRCH;
    default: return -ENOMEM;
  }
}

static size_t aligned(size_t n) {
  return (n + 15) & ~(size_t)15;
}

/* The steps for arguments of cage 'of' and no others. */
static struct variant_plan only(const struct call_cross *x, const struct lencase_cage *of) {
  struct variant_plan vp = *x->vp;
  int i;
  vp.nin = vp.nout = 0;
  for (i = 0; i < x->vp->nin; i++)
    if (x->cages[x->vp->in[i].arg] == of) vp.in[vp.nin++] = x->vp->in[i];
  for (i = 0; i < x->vp->nout; i++)
    if (x->cages[x->vp->out[i].arg] == of) vp.out[vp.nout++] = x->vp->out[i];
  return vp;
}

/* {============================== into the cage ============================ */

/* A status: an argument is brought over whole, or not at all. */
static int whole(const struct snapshot *snap) {
  static const int status_of[] = {[CUT_NONE] = LENCASE_OK,
                                  [CUT_FAULT] = LENCASE_EFAULT,
                                  [CUT_LIMIT] = LENCASE_ELIMIT,
                                  [CUT_COUNT] = LENCASE_EINVAL,
                                  [CUT_PLACE] = LENCASE_ENOMEM};
  uint32_t i;
  uint8_t cut = snap->cut;
  for (i = 0; cut == CUT_NONE && i < snap->nparts; i++) cut = snap->parts[i].cut;
  return status_of[cut];
}

/* Reads what the arguments of cage 'of' point to. */
static int take_from(struct call *call, struct lencase_cage *of) {
  struct call_cross *x = call->cross;
  struct snapshot snaps[LENCASE_MAXARGS] = {0};
  struct marshal_fault fault;
  const struct variant_plan vp = only(x, of);
  int i, status = marshal_in(of, &vp, call->words, NULL, snaps, &call->arena, &fault);
  for (i = 0; status == LENCASE_OK && i < LENCASE_MAXARGS; i++) {
    if (x->cages[i] != of) continue;
    x->given[i] = snaps[i];
    status = whole(&snaps[i]);
  }
  return status;
}

/* The room that a call fills; the argument with its size must be of the same cage. */
static int room_of(const struct call *call, int i, uint64_t *room) {
  const struct call_cross *x = call->cross;
  const struct sig_param *p = &x->vp->variant->params[i];
  int status;
  if (p->size == SIZE_DEREF && x->cages[p->size_arg] != x->cages[i]) return LENCASE_EINVAL;
  status = marshal_room(x->cages[i], x->vp->variant, i, call->words, x->given, room);
  if (status == LENCASE_OK && *room > call->cage->st->config.max_call_bytes) return LENCASE_ELIMIT;
  return status;
}

/* The runs of an iovec, whose sizes are what a cage has written there. */
static int room_of_runs(const struct call *call, const struct snapshot *given, size_t *size) {
  uint64_t left = call->cage->st->config.max_call_bytes;
  uint32_t k;
  for (k = 0; k < given->nparts; k++) {
    uint64_t told = given->parts[k].told;
    if (told > left || told > SIZE_MAX / 4 - *size) return LENCASE_ELIMIT;
    left -= told;
    *size += aligned((size_t)told);
  }
  return LENCASE_OK;
}

/* Bytes of scratch that argument 'i' takes: what the call writes. */
static int scratch_of(const struct call *call, int i, size_t *size) {
  const struct snapshot *given = &call->cross->given[i];
  const struct sig_param *p = &call->cross->vp->variant->params[i];
  uint64_t room = 0;
  int status;
  *size = 0;
  if (call->words[i] == 0 || (p->dir & SIG_OUT) == 0) return LENCASE_OK;
  if (p->kind == SIG_IOVEC) return room_of_runs(call, given, size);
  status = room_of(call, i, &room);
  *size = aligned((size_t)room);
  return status;
}

static int get_memory(struct call *call) {
  struct call_cross *x = call->cross;
  const struct sig_variant *v = x->vp->variant;
  size_t window = 0, scratch = 0, n;
  int i, status = LENCASE_OK;
  for (i = 0; i < v->nparams && status == LENCASE_OK; i++) {
    if (x->cages[i] == NULL) continue;
    if (x->given[i].state == SNAP_HELD) {
      n = marshal_placed_size(&v->params[i], &x->given[i]);
      window += n > 0 ? n : aligned(1); /* empty bytes have an address too */
    }
    status = scratch_of(call, i, &n);
    scratch += n;
  }
  if (status == LENCASE_OK && window > 0) {
    x->window.size = window;
    status = call->cage->ops->window_get(call, &x->window);
    if (status != LENCASE_OK) x->window.size = 0;
  }
  if (status == LENCASE_OK && scratch > 0) {
    x->scratch.size = scratch;
    status = call->cage->ops->scratch_get(call, &x->scratch);
    if (status != LENCASE_OK) x->scratch.size = 0;
  }
  return status;
}

/* The runs of an iovec that the call fills lie in scratch. */
static int move_runs(struct call *call, int i, size_t *used) {
  struct snapshot *moved = &call->cross->moved[i];
  struct snap_part *parts = arena_new(&call->arena, moved->nparts * sizeof *parts);
  uint32_t k;
  if (parts == NULL) return LENCASE_ENOMEM;
  for (k = 0; k < moved->nparts; k++) {
    size_t size = (size_t)moved->parts[k].told;
    parts[k] = (struct snap_part){.addr = call->cross->scratch.addr + *used, .told = size};
    *used += aligned(size);
  }
  moved->parts = parts;
  return LENCASE_OK;
}

/* What the call fills; the bytes of an in-out argument are in there before. */
static int move_to_scratch(struct call *call, int i, uint64_t *word, size_t *used) {
  struct call_cross *x = call->cross;
  const struct snapshot *given = &x->given[i];
  struct mem_seg seg = {x->scratch.addr + *used, given->data, given->size};
  size_t size;
  int status = scratch_of(call, i, &size);
  *word = seg.addr;
  *used += size;
  if (status != LENCASE_OK || given->state != SNAP_HELD || seg.size == 0) return status;
  return call->cage->ops->write(call->cage, &seg);
}

/* Lays all of it out; until the end, sizes come from the original words. */
static int move(struct call *call) {
  struct call_cross *x = call->cross;
  const struct sig_variant *v = x->vp->variant;
  uint64_t words[LENCASE_MAXARGS];
  size_t window = 0, scratch = 0;
  int i, status = LENCASE_OK;
  memcpy(words, call->words, sizeof words);
  for (i = 0; i < v->nparams && status == LENCASE_OK; i++) {
    const struct sig_param *p = &v->params[i];
    if (x->cages[i] == NULL || words[i] == 0 || !sig_is_pointer(p)) continue;
    x->moved[i] = x->given[i];
    if (p->dir == SIG_OUT && p->kind == SIG_IOVEC) status = move_runs(call, i, &scratch);
    if ((p->dir & SIG_OUT) != 0 && p->kind != SIG_IOVEC)
      status = move_to_scratch(call, i, &words[i], &scratch);
    else if (status == LENCASE_OK && x->given[i].state == SNAP_HELD)
      words[i] = marshal_place(p, &x->moved[i], &x->window, &window);
  }
  assert(window <= x->window.size && scratch <= x->scratch.size);
  if (status == LENCASE_OK) memcpy(call->words, words, sizeof words);
  return status;
}

static bool any_foreign(const struct call *call, struct lencase_cage *const *cages) {
  int i;
  for (i = 0; i < LENCASE_MAXARGS; i++)
    if (cages[i] != NULL && cages[i] != call->cage) return true;
  return false;
}

static int cross_new(struct call *call, const struct signature *sig) {
  struct lencase_state *st = call->cage->st;
  const struct plan *plan = plan_list_get(st, &st->cross_plans, sig);
  struct call_cross *x = arena_new(&call->arena, sizeof *x);
  if (plan == NULL || x == NULL) return LENCASE_ENOMEM;
  *x = (struct call_cross){.vp = plan_select(plan, call->words, call->cage->narrow)};
  memcpy(x->from, call->words, sizeof x->from);
  call->cross = x;
  return LENCASE_OK;
}

/* Once for each of the foreign cages. */
static int take_all(struct call *call) {
  const struct call_cross *x = call->cross;
  int i, k, status = LENCASE_OK;
  for (i = 0; i < LENCASE_MAXARGS && status == LENCASE_OK; i++) {
    if (x->cages[i] == NULL) continue;
    for (k = 0; x->cages[k] != x->cages[i];) k++;
    if (k == i) status = take_from(call, x->cages[i]);
  }
  return status;
}

int64_t cross_in(struct call *call, const struct route_entry *entry,
                 struct lencase_cage *const *cages) {
  const struct signature *sig = sig_by_nr(call->nr);
  int i, status;
  if (!any_foreign(call, cages)) return 0;
  if (sig == NULL && entry != NULL && entry->answer->plan != NULL) sig = entry->answer->plan->sig;
  status = cross_new(call, sig != NULL ? sig : &sig_unknown);
  if (status != LENCASE_OK) return errno_of(status);
  for (i = 0; i < call->cross->vp->variant->nparams; i++) {
    if (cages[i] == NULL || cages[i] == call->cage) continue;
    call->cross->cages[i] = cages[i];
    call->cross->ids[i] = cages[i]->id;
  }
  status = take_all(call);
  if (status == LENCASE_OK) status = get_memory(call);
  if (status == LENCASE_OK) status = move(call);
  return errno_of(status);
}

/* }========================================================================= */

/* {============================= and out of it ============================= */

/* A cage that ended meanwhile has no memory to write to: that is not the caller's mistake. */
static int write_back(struct call *call, int i, uint64_t addr, void *data, size_t size) {
  struct lencase_cage *cage = cage_by_id(call->cage->st, call->cross->ids[i]);
  struct mem_seg seg = {addr, data, size};
  assert(cage == NULL || cage == call->cross->cages[i]); /* an id is never given twice */
  if (size == 0 || cage == NULL || cage->gone) return LENCASE_OK;
  return cage->ops->write(cage, &seg);
}

static int give_back(struct call *call, int i, const struct snapshot *out) {
  const struct call_cross *x = call->cross;
  uint32_t k;
  int status = LENCASE_OK;
  if (out->state != SNAP_HELD) return status;
  if (out->kind != SIG_IOVEC) return write_back(call, i, x->from[i], out->data, out->size);
  for (k = 0; k < out->nparts && status == LENCASE_OK; k++)
    status = write_back(call, i, x->given[i].parts[k].addr, out->parts[k].data, out->parts[k].size);
  return status;
}

void cross_out(struct call *call) {
  const struct call_cross *x = call->cross;
  struct snapshot outs[LENCASE_MAXARGS];
  struct marshal_fault fault;
  struct variant_plan vp = *x->vp;
  int i, status;
  if (call->result < 0 && call->result >= -ERRNO_LAST) return;
  for (i = 0, vp.nout = 0; i < x->vp->nout; i++)
    if (x->cages[x->vp->out[i].arg] != NULL) vp.out[vp.nout++] = x->vp->out[i];
  status =
      marshal_out(call->cage, &vp, call->words, call->result, x->moved, outs, &call->arena, &fault);
  for (i = 0; i < vp.nout && status == LENCASE_OK; i++)
    status = give_back(call, vp.out[i].arg, &outs[vp.out[i].arg]);
  if (status != LENCASE_OK) call->result = errno_of(status);
}

void cross_end(struct call *call) {
  struct call_cross *x = call->cross;
  const struct host_ops *ops = call->cage->ops;
  if (x->window.size > 0) ops->window_put(call, &x->window);
  if (x->scratch.size > 0) ops->scratch_put(call, &x->scratch);
  call->cross = NULL;
}

/* }========================================================================= */
