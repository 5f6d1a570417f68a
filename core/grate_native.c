/*
** grate_native.c - grates whose handlers are C functions: no Lua state
*/

#include <errno.h>
#include <string.h>

#include "grate.h"

struct native_entry {
  struct route_entry route;
  struct route_answer answer; /* of that entry, for good */
  struct lencase_grate *grate;
  lencase_handler handler;
  struct plan *plan; /* owned */
};

struct native {
  lencase_interface interface;
  size_t n; /* of the entries that are complete */
  struct native_entry entries[];
};

static const char unnamed[] = "C grate";

static struct call *call_of(lencase_call *call) {
  return (struct call *)call;
}

static const struct call *const_call_of(const lencase_call *call) {
  return (const struct call *)call;
}

/* {================================== life ================================= */

static size_t native_size(const lencase_interface *i) {
  return sizeof(struct native) + i->nentries * sizeof(struct native_entry);
}

void native_free(struct lencase_grate *g) {
  struct native *n = g->native;
  if (n == NULL) return;
  while (n->n > 0) plan_free(g->st, n->entries[--n->n].plan);
  state_free(g->st, n, native_size(&n->interface));
  g->native = NULL;
}

static enum verdict bad_verdict(struct call *call, const char *what) {
  char where[160];
  state_log(call->cage->st, "%s: %s: %s; the caller gets EIO", call->answer->where,
            call_where(call, where, sizeof where), what);
  call->result = -EIO;
  return VERDICT_DONE;
}

/* The host or a grate below works on the call: it waits, whatever its handler returns. */
static enum verdict still_parked(struct call *call, lencase_verdict verdict) {
  char where[160];
  if (verdict != LENCASE_VERDICT_PARKED)
    state_log(call->cage->st, "%s: %s: the call is parked and goes on waiting", call->answer->where,
              call_where(call, where, sizeof where));
  return VERDICT_PARKED;
}

/* Verdicts that the host could not act on are not passed to it. */
static enum verdict native_handler(struct call *call, enum handler_event ev) {
  static const lencase_event events[] = {[HANDLER_START] = LENCASE_EVENT_START,
                                         [HANDLER_RESULT] = LENCASE_EVENT_RESULT,
                                         [HANDLER_DROP] = LENCASE_EVENT_DROP};
  const struct native_entry *e = call->answer->ud;
  lencase_verdict verdict =
      e->handler((lencase_call *)call, events[ev], e->grate->native->interface.ud);
  if (ev == HANDLER_DROP) return VERDICT_DONE;
  if (call->parked) return still_parked(call, verdict);
  if (verdict == LENCASE_VERDICT_DONE) return VERDICT_DONE;
  if (verdict == LENCASE_VERDICT_PARKED) return bad_verdict(call, "nothing was parked");
  if (call->downcalls > 0) return bad_verdict(call, "passing it would make it a second time");
  return VERDICT_PASS;
}

static int entry_complete(struct lencase_grate *g, struct native_entry *e,
                          const lencase_entry *given) {
  const struct signature *sig = sig_by_nr(given->callnum);
  int status = LENCASE_OK;
  if (given->handler != NULL)
    status = plan_new(g->st, sig != NULL ? sig : &sig_unknown, given->policy, &e->plan);
  e->grate = g;
  e->handler = given->handler;
  e->answer = (struct route_answer){.handler = given->handler != NULL ? native_handler : NULL,
                                    .ud = e,
                                    .constant = given->constant,
                                    .plan = e->plan,
                                    .where = g->native->interface.name};
  e->route = (struct route_entry){.answer = &e->answer,
                                  .nr = given->callnum,
                                  .family = given->callnum,
                                  .below = g->below,
                                  .owner = &g->interface};
  return status;
}

static int add_entries(struct lencase_grate *g) {
  struct native *n = g->native;
  bool registered = (n->interface.flags & LENCASE_UNREGISTERED) == 0;
  int status = LENCASE_OK;
  while (status == LENCASE_OK && n->n < n->interface.nentries) {
    struct native_entry *e = &n->entries[n->n];
    status = entry_complete(g, e, &n->interface.entries[n->n]);
    if (status != LENCASE_OK) break;
    n->n++; /* it is freed from here on */
    status = route_add(g->st, &g->st->first_routes, &e->route, registered);
    if (status == LENCASE_OK) route_declare(&e->route);
  }
  return status == LENCASE_EEXIST ? LENCASE_EINVAL : status;
}

static void native_event(struct cage_watcher *w, struct lencase_cage *cage, enum cage_event ev,
                         int status) {
  const struct lencase_grate *g =
      (struct lencase_grate *)((char *)w - offsetof(struct lencase_grate, watcher));
  const lencase_interface *i = &g->native->interface;
  if (ev == CAGE_NEW && i->on_cage != NULL)
    i->on_cage(i->ud, cage, cage_by_id(cage->st, cage->parent));
  if (ev == CAGE_EXIT && i->on_cage_exit != NULL) i->on_cage_exit(i->ud, cage, status);
}

static int native_build(struct lencase_grate *g, const lencase_interface *interface) {
  struct route_table *before = route_table_copy(g->st->first_routes);
  int status;
  g->native->interface = *interface;
  if (interface->name == NULL) g->native->interface.name = unnamed;
  g->watcher.event = native_event;
  status = add_entries(g);
  if (status != LENCASE_OK) { /* the table is what it was before */
    struct route_table *half = g->st->first_routes;
    g->st->first_routes = before;
    before = half;
  }
  route_table_free(g->st, before);
  return status;
}

/* LENCASE_EINVAL: no grate can be made of it. */
static int check_interface(lencase_state *st, const lencase_interface *i) {
  const char *name = i->name != NULL ? i->name : unnamed;
  unsigned unknown = i->flags & ~LENCASE_UNREGISTERED;
  if (unknown != 0)
    return state_fail(st, LENCASE_EINVAL, "%s: invalid flags 0x%x: use 0 or LENCASE_UNREGISTERED",
                      name, unknown);
  if (i->entries == NULL && i->nentries > 0)
    return state_fail(st, LENCASE_EINVAL, "%s: no entries are given, but their number is %zu", name,
                      i->nentries);
  return LENCASE_OK;
}

LENCASE_PUBLIC int lencase_grate_new(lencase_state *st, const lencase_interface *interface,
                                     lencase_grate **out) {
  struct native *n;
  struct lencase_grate *g;
  int status;
  status = state_check_outside(st);
  if (status == LENCASE_OK) status = check_interface(st, interface);
  if (status != LENCASE_OK) return status;
  n = state_new(st, native_size(interface));
  g = n != NULL ? grate_bare(st) : NULL;
  if (g == NULL) {
    state_free(st, n, native_size(interface));
    return state_fail(st, LENCASE_ENOMEM, "no memory for a grate");
  }
  g->native = n;
  status = native_build(g, interface);
  if (status == LENCASE_OK && out != NULL) *out = g;
  return status;
}

LENCASE_PUBLIC uint64_t lencase_grate_id(const lencase_grate *grate) {
  return grate->interface.id;
}

/* }========================================================================= */

/* {================================= calls ================================= */

LENCASE_PUBLIC int32_t lencase_call_number(const lencase_call *call) {
  return const_call_of(call)->nr;
}

LENCASE_PUBLIC lencase_cage *lencase_call_cage(const lencase_call *call) {
  return const_call_of(call)->cage;
}

LENCASE_PUBLIC uint64_t lencase_call_word(const lencase_call *call, int n) {
  return n >= 1 && n <= LENCASE_MAXARGS ? const_call_of(call)->words[n - 1] : 0;
}

static const struct snapshot *held(const lencase_call *call, int n) {
  const struct snapshot *snap;
  if (n < 1 || n > LENCASE_MAXARGS) return NULL;
  snap = &const_call_of(call)->snaps[n - 1];
  return snap->state == SNAP_HELD ? snap : NULL;
}

LENCASE_PUBLIC const void *lencase_call_bytes(const lencase_call *call, int n, size_t *size) {
  const struct snapshot *snap = held(call, n);
  *size = snap != NULL && snap->parts == NULL ? snap->size : 0;
  return snap != NULL ? snap->data : NULL;
}

LENCASE_PUBLIC const void *lencase_call_part(const lencase_call *call, int n, size_t i,
                                             size_t *size) {
  const struct snapshot *snap = held(call, n);
  *size = 0;
  if (snap == NULL || i >= snap->nparts) return NULL;
  *size = snap->parts[i].data != NULL ? snap->parts[i].size : snap->parts[i].told;
  return snap->parts[i].data;
}

LENCASE_PUBLIC int lencase_call_is_bad(const lencase_call *call, int n) {
  return n >= 1 && n <= LENCASE_MAXARGS && const_call_of(call)->snaps[n - 1].state == SNAP_BAD;
}

LENCASE_PUBLIC void *lencase_call_memory(lencase_call *call, size_t size) {
  struct call *c = call_of(call);
  if (c->frame == NULL) {
    c->frame = arena_new(&c->arena, size);
    if (c->frame != NULL) memset(c->frame, 0, size);
  }
  return c->frame;
}

LENCASE_PUBLIC void lencase_call_answer(lencase_call *call, int64_t result) {
  call_of(call)->result = result;
}

LENCASE_PUBLIC int64_t lencase_call_result(const lencase_call *call) {
  return const_call_of(call)->down_result;
}

static lencase_verdict verdict_of(enum verdict verdict) {
  return verdict == VERDICT_DONE ? LENCASE_VERDICT_DONE : LENCASE_VERDICT_PARKED;
}

LENCASE_PUBLIC lencase_verdict lencase_call_down(lencase_call *call, int32_t callnum,
                                                 const uint64_t words[LENCASE_MAXARGS]) {
  struct call *c = call_of(call);
  return c->parked ? LENCASE_VERDICT_PARKED : verdict_of(call_down(c, callnum, words));
}

/* What was copied and the call does not fill is read from the window. */
static bool goes_to_window(const struct call *c, int i) {
  const struct sig_variant *v = c->vp->variant;
  bool reads = i < v->nparams && (v->params[i].dir == SIG_IN || v->params[i].kind == SIG_IOVEC);
  return reads && (c->snaps[i].state == SNAP_HELD ||
                   (c->snaps[i].state == SNAP_BAD && c->snaps[i].cut == CUT_FAULT));
}

/* 0, or the errno that the call has as its result. */
static int64_t forward_window(struct call *c, uint64_t words[LENCASE_MAXARGS]) {
  unsigned which = 0;
  int i, status;
  for (i = 0; i < LENCASE_MAXARGS; i++) {
    if (goes_to_window(c, i)) which |= 1U << i;
    if (c->snaps[i].state == SNAP_BAD && c->snaps[i].cut == CUT_LIMIT) return -ENOMEM;
  }
  if (which == 0) return 0;
  call_down_over(c);
  status = call_place(c, c->vp->variant, which, c->snaps, words);
  return status == LENCASE_OK ? 0 : status == LENCASE_EGONE ? -ESRCH : -ENOMEM;
}

LENCASE_PUBLIC lencase_verdict lencase_call_forward(lencase_call *call) {
  struct call *c = call_of(call);
  uint64_t words[LENCASE_MAXARGS];
  if (c->parked) return LENCASE_VERDICT_PARKED;
  memcpy(words, c->words, sizeof words);
  c->down_result = forward_window(c, words);
  if (c->down_result == 0) return verdict_of(call_down_with(c, c->nr, words, NULL, NULL));
  return LENCASE_VERDICT_DONE;
}

static int twice(const struct call *c, const char *what) {
  return state_fail(c->cage->st, LENCASE_EEXIST, "the call has a %s: release it first", what);
}

LENCASE_PUBLIC int lencase_call_window(lencase_call *call, size_t size, void **data,
                                       uint64_t *addr) {
  struct call *c = call_of(call);
  int status = c->window.size > 0 ? twice(c, "window") : call_window(c, size);
  if (status != LENCASE_OK) return status == LENCASE_ENOENT ? LENCASE_ENOMEM : status;
  *data = c->window.data;
  *addr = c->window.addr;
  return LENCASE_OK;
}

LENCASE_PUBLIC int lencase_call_scratch(lencase_call *call, size_t size, uint64_t *addr) {
  struct call *c = call_of(call);
  int status = c->scratch.size > 0 ? twice(c, "scratch") : call_scratch(c, size);
  if (status == LENCASE_OK) *addr = c->scratch.addr;
  return status;
}

LENCASE_PUBLIC void lencase_call_release(lencase_call *call) {
  call_down_over(call_of(call));
}

static struct lencase_cage *named(struct call *c, uint64_t id, struct lencase_cage *otherwise) {
  struct lencase_cage *cage = id != 0 ? cage_by_id(c->cage->st, id) : otherwise;
  return cage != NULL && !cage->gone ? cage : NULL;
}

LENCASE_PUBLIC lencase_verdict lencase_make_call(lencase_call *call, int32_t callnum,
                                                 const uint64_t words[LENCASE_MAXARGS],
                                                 uint64_t target,
                                                 const uint64_t cages[LENCASE_MAXARGS]) {
  struct call *c = call_of(call);
  struct lencase_cage *to = named(c, target, c->cage), *of[LENCASE_MAXARGS];
  bool all = to != NULL;
  int i;
  if (c->parked) return LENCASE_VERDICT_PARKED;
  for (i = 0; i < LENCASE_MAXARGS && all; i++) {
    of[i] = named(c, cages != NULL ? cages[i] : 0, to);
    all = of[i] != NULL;
  }
  if (all) return verdict_of(call_down_for(c, callnum, words, NULL, to, of));
  c->down_result = -ESRCH;
  return LENCASE_VERDICT_DONE;
}

/* }========================================================================= */
