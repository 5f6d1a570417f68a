/*
** grate_down.c - sys.NAME: the calls that a handler makes
*/

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <string.h>

#include "grate_value.h"

enum {
  ADDRESS_ROOM = 128, /* sizeof(struct sockaddr_storage): room for an address without a size */
  ALIGN = 16
};

static size_t aligned(size_t n) {
  return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* {=============================== downcalls =============================== */

/* Where the bytes of an argument of a downcall are. */
enum put_where {
  PUT_WORD,    /* nowhere: the word is the argument */
  PUT_WINDOW,  /* ours, the cage can only read them */
  PUT_SCRATCH, /* room for what the call fills */
  PUT_CALLER   /* the caller's own memory, written before the call */
};

struct put {
  struct frame *f;
  const char *name;
  int32_t nr;
  const struct signature *sig;
  const struct plan *plan;
  const struct route_table *to; /* a branch; NULL: the grate's own table */
  const struct sig_variant *v;
  bool own;                    /* the call in flight: nil stands for its arguments */
  struct lencase_cage *target; /* on whose behalf */
  struct lencase_cage *cages[LENCASE_MAXARGS]; /* whose memory the words are of */
  uint64_t words[LENCASE_MAXARGS];
  uint8_t given;                          /* a bit for each argument that is an integer */
  uint8_t callers;                        /* the same, that is the caller's own */
  bool foreign;                           /* some of it is not the calling cage's */
  bool placed;                            /* some argument has bytes: see 'where' */
  uint8_t where[LENCASE_MAXARGS];         /* enum put_where */
  struct snapshot snaps[LENCASE_MAXARGS]; /* of those that are not PUT_WORD; others are not set */
};

/* The caller has an argument here that nil can stand for. */
static bool caller_has(const struct put *u, int i) {
  const struct sig_variant *v = u->f->call->vp->variant;
  return u->own && i < v->nparams && v->params[i].kind == u->v->params[i].kind;
}

/* Forwards the caller's argument: copied bytes come from the snapshot, so that the kernel reads
** what the handler saw. */
static void put_own(lua_State *L, struct put *u, int i) {
  struct call *call = u->f->call;
  struct snapshot *snap = &call->snaps[i];
  unsigned mode = call->vp->mode[i];
  if ((mode & LENCASE_P_ONCE) && snap->uses > 0)
    luaL_error(L, "%s: %s was used already, and its policy is once", u->name, u->v->params[i].name);
  if (snap->state == SNAP_BAD && snap->cut == CUT_LIMIT) bad_raise(L, u->v->params[i].name, snap);
  snap->uses = 1;
  u->words[i] = call->words[i];
  u->callers |= (uint8_t)(1 << i);
  if ((snap->state != SNAP_HELD && snap->state != SNAP_BAD) || !(mode & LENCASE_P_COPY)) return;
  if (snap->cut == CUT_COUNT) return;
  if ((u->v->params[i].dir & SIG_OUT) && u->v->params[i].kind != SIG_IOVEC) return;
  u->snaps[i] = *snap;
  u->where[i] = PUT_WINDOW;
}

/* An argument that the call fills, for which the caller has no memory: scratch. */
static void put_room(lua_State *L, struct put *u, int i) {
  const struct sig_param *p = &u->v->params[i];
  uint64_t room = ADDRESS_ROOM;
  int status = LENCASE_OK;
  if (p->size != SIZE_DEREF)
    status = marshal_room(u->f->call->cage, u->v, i, u->words, NULL, &room);
  if (status != LENCASE_OK || room > INT32_MAX)
    luaL_error(L, "%s: %s cannot be that large", u->name, p->name);
  u->snaps[i].size = (size_t)room;
  u->where[i] = PUT_SCRATCH;
}

/* An in-out length that the handler left out: the room that put_room takes. */
static bool is_length(const struct put *u, int i) {
  int k;
  for (k = 0; k < u->v->nparams; k++)
    if (u->v->params[k].size == SIZE_DEREF && u->v->params[k].size_arg == i) return true;
  return false;
}

static void put_nil(lua_State *L, struct put *u, int i) {
  static const uint32_t length = ADDRESS_ROOM;
  const struct sig_param *p = &u->v->params[i];
  if (caller_has(u, i)) {
    put_own(L, u, i);
  } else if (p->kind == SIG_INT) {
    luaL_error(L, "%s: %s is missing", u->name, p->name);
  } else if (p->kind == SIG_ADDR || (p->nullable && p->dir == SIG_IN)) {
    u->words[i] = 0;
  } else if (is_length(u, i)) {
    value_keep(L, u->f, &u->snaps[i], &length, sizeof length);
    u->where[i] = PUT_SCRATCH;
  } else if (p->dir == SIG_OUT && p->kind != SIG_IOVEC) {
    put_room(L, u, i);
  } else {
    luaL_error(L, "%s: %s is missing (lencase.NULL is a null pointer)", u->name, p->name);
  }
}

/* The caller's bytes are not replaced: where there is no room, its own argument is forwarded. */
static bool is_unchanged(const struct put *u, int i) {
  const struct snapshot *own = &u->f->call->snaps[i], *now = &u->snaps[i];
  return caller_has(u, i) && own->size > 0 && own->state == SNAP_HELD && own->cut == CUT_NONE &&
         own->nparts == 0 && now->nparts == 0 && now->size == own->size &&
         memcmp(now->data, own->data, own->size) == 0;
}

static void put_bytes(lua_State *L, struct put *u, int i) {
  const struct sig_param *p = &u->v->params[i];
  struct value_of of = {p, u->name};
  if (p->kind == SIG_INT || p->kind == SIG_ADDR) value_bad(L, &of, i + 1, "an integer");
  if (p->dir == SIG_OUT && p->kind != SIG_IOVEC)
    luaL_error(L, "%s: %s is filled by the call: give nil there", u->name, p->name);
  value_take(L, u->f, i + 1, &of, &u->snaps[i]);
  if (p->dir == SIG_INOUT)
    u->where[i] = caller_has(u, i) && u->words[i] != 0 ? PUT_CALLER : PUT_SCRATCH;
  else
    u->where[i] = PUT_WINDOW;
  if (is_unchanged(u, i)) u->snaps[i].addr = u->f->call->words[i];
}

/* The argument is the view that the handler was shown, unchanged. */
static bool is_own_view(lua_State *L, const struct put *u, int i) {
  const struct view *v = lua_isuserdata(L, i + 1) && u->own ? view_at(L, i + 1) : NULL;
  const struct snapshot *snap = &u->f->call->snaps[i];
  return v != NULL && !v->dirty && v->data == snap->data && v->parts == snap->parts &&
         v->size == snap->size && v->nparts == snap->nparts;
}

/* An unreadable pointer is forwarded as unreadable, even if memory was mapped there since. */
static void put_bad(lua_State *L, struct put *u, int i, const struct bad *bad) {
  const struct sig_param *p = &u->v->params[i];
  u->words[i] = bad->addr;
  if (caller_has(u, i) && bad->addr == u->f->call->words[i]) {
    put_own(L, u, i);
  } else if (bad->cut == CUT_LIMIT || p->kind == SIG_INT) {
    bad_raise_again(L, i + 1);
  } else if (p->dir == SIG_IN && p->kind != SIG_ADDR) {
    u->snaps[i] = (struct snapshot){.state = SNAP_BAD, .cut = CUT_FAULT, .addr = bad->addr};
    u->where[i] = PUT_WINDOW;
    u->callers |= (uint8_t)(1 << i);
  }
}

static void put_value(lua_State *L, struct put *u, int i) {
  const struct bad *bad = bad_at(L, i + 1);
  if (cage_pointer(L, i + 1, &u->cages[i], &u->words[i])) {
    u->foreign |= u->cages[i] != u->f->call->cage;
    return;
  }
  if (bad != NULL)
    put_bad(L, u, i, bad);
  else if (caller_has(u, i) && is_own_view(L, u, i))
    put_own(L, u, i);
  else if (value_is_null(L, i + 1))
    u->words[i] = 0;
  else
    put_bytes(L, u, i);
}

static void put_arg(lua_State *L, struct put *u, int i) {
  int type;
  u->where[i] = PUT_WORD;
  if (u->given >> i & 1) return;
  type = lua_type(L, i + 1);
  if (type == LUA_TNUMBER) {
    u->words[i] = (uint64_t)luaL_checkinteger(L, i + 1);
    return;
  }
  if (u->v->params[i].kind != SIG_INT) u->snaps[i] = (struct snapshot){0};
  if (type == LUA_TNIL || type == LUA_TNONE)
    put_nil(L, u, i);
  else
    put_value(L, u, i);
  u->placed |= u->where[i] != PUT_WORD;
}

/* How many elements an argument in the window has. */
static uint64_t put_count(const struct put *u, int i) {
  if (u->v->params[i].kind == SIG_IOVEC) return u->snaps[i].nparts;
  return u->snaps[i].size / u->v->params[i].elem;
}

static void check_count(lua_State *L, const struct put *u, int i, uint64_t have) {
  const struct sig_param *p = &u->v->params[i], *count = &u->v->params[p->size_arg];
  int64_t n = sig_int(count, u->words[p->size_arg]);
  if (n < 0 || (uint64_t)n > have)
    luaL_error(L, "%s: %s is %d, but %s has %d", u->name, count->name, (int)n, p->name, (int)have);
}

/* A count that replaces the caller's must not exceed the memory that the caller has there. */
static void fit_own_count(lua_State *L, struct put *u, int i) {
  const struct sig_param *p = &u->v->params[i], *count = &u->v->params[p->size_arg];
  const struct call *call = u->f->call;
  uint64_t room;
  if (sig_int(count, u->words[p->size_arg]) == sig_int(count, call->words[p->size_arg]))
    u->words[p->size_arg] = call->words[p->size_arg];
  else if (u->where[i] == PUT_WINDOW && u->snaps[i].cut == CUT_NONE)
    check_count(L, u, i, put_count(u, i));
  else if (u->where[i] != PUT_WINDOW && (p->dir & SIG_OUT) &&
           marshal_room(call->cage, call->vp->variant, i, call->words, NULL, &room) == LENCASE_OK)
    check_count(L, u, i, room / p->elem);
}

/*
** The count that goes with a replaced argument is its size unless the handler gave one, and must
** never exceed what is there: behind it lie other calls' bytes.
*/
static void fit_count(lua_State *L, struct put *u, int i) {
  const struct sig_param *p = &u->v->params[i];
  if (p->size != SIZE_ARG) return;
  if (u->callers >> i & 1)
    fit_own_count(L, u, i);
  else if (u->where[i] == PUT_WINDOW && lua_isnoneornil(L, p->size_arg + 1))
    u->words[p->size_arg] = put_count(u, i);
  else if (u->where[i] == PUT_WINDOW)
    check_count(L, u, i, put_count(u, i));
}

/* The same for a struct with its size in it. */
static void check_field(lua_State *L, const struct put *u, int i) {
  const struct sig_param *p = &u->v->params[i];
  const struct snapshot *s = &u->snaps[i];
  uint32_t told = 0;
  if (p->size != SIZE_FIELD || u->where[i] == PUT_WORD || (u->callers >> i & 1)) return;
  if (s->size >= p->count + sizeof told) memcpy(&told, s->data + p->count, sizeof told);
  if (told > s->size)
    luaL_error(L, "%s: %s claims to have %d bytes, but has %d", u->name, p->name, (int)told,
               (int)s->size);
}

/* Returns the errno that the call ends with before it is made, or raises an error. */
static int64_t down_failed(lua_State *L, const struct put *u, int status) {
  struct lencase_state *st = u->f->call->cage->st;
  if (status == LENCASE_EFAULT) return -EFAULT;
  if (status == LENCASE_EGONE) return -ESRCH; /* no caller is left to get it */
  return luaL_error(L, "%s: %s: %s", u->name, lencase_status_name(status), lencase_error(st));
}

/* An argument is shorter than asked for, and no memory is left that ends where it does. */
static int no_place(lua_State *L, const struct put *u) {
  int i = 0;
  struct snapshot s;
  while (i < u->v->nparams - 1 && (u->where[i] != PUT_WINDOW || u->snaps[i].cut == CUT_NONE)) i++;
  s = u->snaps[i];
  if (s.cut != CUT_LIMIT) s.cut = CUT_PLACE;
  return bad_raise(L, u->v->params[i].name, &s);
}

static int64_t into_window(lua_State *L, struct put *u) {
  unsigned which = 0;
  int i, status;
  for (i = 0; i < u->v->nparams; i++)
    if (u->where[i] == PUT_WINDOW) which |= 1U << i;
  status = call_place(u->f->call, u->v, which, u->snaps, u->words);
  if (status == LENCASE_ELIMIT) return no_place(L, u);
  return status == LENCASE_OK ? 0 : down_failed(L, u, status);
}

static int64_t into_scratch(lua_State *L, struct put *u) {
  struct call *call = u->f->call;
  size_t size = 0;
  int i, status;
  for (i = 0; i < u->v->nparams; i++)
    if (u->where[i] == PUT_SCRATCH) size += aligned(u->snaps[i].size + 1);
  status = call_scratch(call, size);
  if (status != LENCASE_OK) return down_failed(L, u, status);
  for (i = 0, size = 0; i < u->v->nparams; i++)
    if (u->where[i] == PUT_SCRATCH) {
      u->words[i] = call->scratch.addr + size;
      size += aligned(u->snaps[i].size + 1);
    }
  return 0;
}

/* What the kernel is to find in memory that the cage can write. */
static int64_t into_cage(lua_State *L, struct put *u) {
  struct call *call = u->f->call;
  int i, status;
  for (i = 0; i < u->v->nparams; i++) {
    struct mem_seg seg;
    if (u->where[i] != PUT_SCRATCH && u->where[i] != PUT_CALLER) continue;
    seg = (struct mem_seg){u->words[i], u->snaps[i].data, u->snaps[i].size};
    if (seg.data == NULL || seg.size == 0) continue;
    status = call->cage->ops->write(call->cage, &seg);
    if (status != LENCASE_OK) return down_failed(L, u, status);
  }
  return 0;
}

static bool any_put(const struct put *u, enum put_where where) {
  int i;
  for (i = 0; i < u->v->nparams; i++)
    if (u->where[i] == where) return true;
  return false;
}

/* 0; or -errno: there is no call to be made. */
static int64_t place(lua_State *L, struct put *u) {
  int64_t error = any_put(u, PUT_WINDOW) ? into_window(L, u) : 0;
  if (error == 0 && any_put(u, PUT_SCRATCH)) error = into_scratch(L, u);
  return error == 0 ? into_cage(L, u) : error;
}

/* Pushes what a downcall gave: n, nil, outs... or -1, errno. */
static int down_push(lua_State *L, struct frame *f) {
  struct call *call = f->call;
  const struct down *d = &f->down;
  struct grate_watch *watch = f->grate->st->watch;
  struct marshal_fault fault;
  int i, status;
  stack_mark(L, top);
  assert(call->frame == f && !call->parked && !f->waiting);
  if (call->down_result < 0 && call->down_result >= -ERRNO_MAX) {
    call_down_over(call);
    lua_pushinteger(L, -1);
    lua_pushinteger(L, -call->down_result);
    return 2;
  }
  status = d->vp->nout == 0
               ? LENCASE_OK
               : marshal_out(call->cage, d->vp, d->words, call->down_result,
                             d->own ? call->snaps : NULL, f->outs, &call->arena, &fault);
  if (watch != NULL && status == LENCASE_OK && d->vp->nout > 0) watch->filled(watch, f);
  call_down_over(call);
  luaL_checkstack(L, LENCASE_MAXARGS + LUA_MINSTACK, "results of a call");
  lua_pushinteger(L, call->down_result);
  lua_pushnil(L);
  for (i = 0; i < d->vp->nout; i++) {
    int arg = d->vp->out[i].arg;
    if (status == LENCASE_OK && f->outs[arg].state == SNAP_HELD)
      view_push(L, f, &d->vp->variant->params[arg], &f->outs[arg], true);
    else
      lua_pushnil(L); /* a null pointer, or memory that is gone: there is nothing to see */
  }
  stack_check(L, top, 2 + d->vp->nout);
  return 2 + d->vp->nout;
}

static int down_returned(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  return down_push(L, grate_frame(L));
}

/* An argument that this variant has no place for (open's mode) is no mistake: any has one. */
static void choose_variant(lua_State *L, struct put *u) {
  int i, top = lua_gettop(L);
  if (u->own)
    memcpy(u->words, u->f->call->words, sizeof u->words);
  else
    memset(u->words, 0, sizeof u->words);
  u->given = 0;
  for (i = 0; i < LENCASE_MAXARGS && i < top; i++) {
    if (!lua_isinteger(L, i + 1)) continue;
    u->words[i] = (uint64_t)lua_tointeger(L, i + 1);
    u->given |= (uint8_t)(1 << i);
  }
  u->v = sig_select(u->sig, u->words, u->f->call->cage->narrow);
  for (i = sig_widest(u->sig); i < top; i++)
    if (!lua_isnil(L, i + 1))
      luaL_error(L, "%s takes %d arguments, not %d", u->name, sig_widest(u->sig), i + 1);
}

/* What this grate has of the arguments, so that the one below need not read them again. */
static void held_for_below(const struct put *u, struct snapshot have[LENCASE_MAXARGS]) {
  const struct call *call = u->f->call;
  int i;
  memset(have, 0, LENCASE_MAXARGS * sizeof *have);
  for (i = 0; i < LENCASE_MAXARGS; i++) {
    if (i < u->v->nparams && u->where[i] == PUT_WINDOW) {
      have[i] = u->snaps[i];
      have[i].kind = u->v->params[i].kind;
      have[i].addr = u->words[i];
    } else if (u->own && u->words[i] == call->words[i]) {
      have[i] = call->snaps[i];
    }
  }
}

static enum verdict make_call(struct put *u) {
  struct snapshot have[LENCASE_MAXARGS];
  struct call *call = u->f->call;
  int i;
  if (!u->foreign) {
    if (!call_is_asked(call, u->nr, u->to))
      return call_down_with(call, u->nr, u->words, NULL, u->to);
    held_for_below(u, have);
    return call_down_with(call, u->nr, u->words, have, u->to);
  }
  for (i = 0; i < LENCASE_MAXARGS; i++)
    if (u->cages[i] != call->cage) u->f->down.words[i] = 0; /* nothing of the caller's to look at */
  return call_down_for(call, u->nr, u->words, u->to, u->target, u->cages);
}

static int down(lua_State *L, struct put *u) {
  struct frame *f = u->f;
  int i;
  choose_variant(L, u);
  u->callers = 0;
  u->foreign = u->target != f->call->cage;
  for (i = 0; i < LENCASE_MAXARGS; i++) u->cages[i] = f->call->cage;
  for (i = 0; i < u->v->nparams; i++) put_arg(L, u, i);
  for (i = 0; i < u->v->nparams; i++) fit_count(L, u, i);
  if (u->placed) {
    for (i = 0; i < u->v->nparams; i++) check_field(L, u, i);
    f->call->down_result = place(L, u);
    if (f->call->down_result != 0) return down_push(L, f);
  }
  if (u->own && f->call->vp->variant == u->v)
    f->down.vp = f->call->vp;
  else
    f->down.vp = plan_select(u->plan, u->words, f->call->cage->narrow);
  f->down.own = u->own;
  memcpy(f->down.words, u->words, sizeof u->words);
  if (make_call(u) == VERDICT_DONE) return down_push(L, f);
  f->waiting = true;
  return lua_yieldk(L, 0, 0, down_returned);
}

/* }========================================================================= */

/* {================================= folds ================================= */

/* The handler forwards what it was shown. */
static bool unchanged(lua_State *L, struct frame *f, int i) {
  const struct bad *bad;
  bool same;
  if (lua_isnoneornil(L, i + 1)) return true;
  value_push_folded(L, f, i);
  bad = bad_at(L, -1);
  same = lua_rawequal(L, i + 1, -1) ||
         (bad != NULL && bad_at(L, i + 1) != NULL && bad_at(L, i + 1)->addr == bad->addr);
  lua_pop(L, 1);
  return same;
}

/* A changed field goes back into a copy of its record, unless that is too short for any call. */
static void unfold_field(lua_State *L, struct frame *f, const struct fold_param *p, int value,
                         int place) {
  const struct snapshot *snap = &f->call->snaps[p->arg];
  lua_Integer word = luaL_checkinteger(L, value);
  size_t size = snap->size;
  const unsigned char *old = snap->data;
  unsigned char *copy = value_room(L, f, size);
  if (snap->state != SNAP_HELD || snap->cut != CUT_NONE)
    bad_raise(L, f->shown->params[value - 1].name, snap);
  if (p->value + sizeof word > size) return;
  if (lua_type(L, place) == LUA_TSTRING) old = (const unsigned char *)lua_tostring(L, place);
  memcpy(copy, old, size);
  memcpy(copy + p->value, &word, sizeof word);
  lua_pushlstring(L, (const char *)copy, size);
  lua_replace(L, place);
}

/* Puts the family's arguments (1..) into the member's places (base+1..). */
static void unfold(lua_State *L, struct frame *f, int base) {
  int i;
  for (i = 0; i < f->fold->nparams; i++) {
    const struct fold_param *p = &f->fold->params[i];
    if (unchanged(L, f, i)) continue;
    if (p->from == FOLD_FIELD) {
      unfold_field(L, f, p, i + 1, base + 1 + p->arg);
      continue;
    }
    lua_pushvalue(L, i + 1);
    lua_replace(L, base + 1 + p->arg);
    if (p->from != FOLD_PATH) continue;
    lua_pushinteger(L, AT_FDCWD); /* what replaces a path does not lie in the old directory */
    lua_replace(L, base + 1 + p->dir_arg);
  }
}

/* The member has no place for what was changed: the family's own call is made. */
static bool must_widen(lua_State *L, struct frame *f) {
  int i;
  for (i = 0; i < f->fold->nparams; i++) {
    uint8_t from = f->fold->params[i].from;
    if ((from == FOLD_CONST || from == FOLD_ABSENT) && !unchanged(L, f, i)) return true;
  }
  return false;
}

static void widen(lua_State *L, struct frame *f) {
  int i;
  for (i = 0; i < f->fold->nparams; i++)
    if (lua_isnil(L, i + 1)) {
      value_push_folded(L, f, i);
      lua_replace(L, i + 1);
    }
}

static int fold_down(lua_State *L, struct put *u) {
  struct frame *f = u->f;
  int i;
  lua_settop(L, LENCASE_MAXARGS);
  if (must_widen(L, f)) {
    widen(L, f);
    lua_settop(L, f->fold->nparams);
    return down(L, u);
  }
  luaL_checkstack(L, LENCASE_MAXARGS + LUA_MINSTACK, "arguments of a call");
  lua_settop(L, 2 * LENCASE_MAXARGS);
  unfold(L, f, LENCASE_MAXARGS);
  for (i = 0; i < LENCASE_MAXARGS; i++) lua_remove(L, 1);
  u->nr = f->call->nr;
  u->sig = sig_by_nr(u->nr);
  u->own = true;
  return down(L, u);
}

/* 3i's calls are for on_cage too, where no cage calls: they act on the cage they name. */
static int detached(lua_State *L, int32_t nr) {
  struct lencase_grate *g = grate_of(L);
  uint64_t words[LENCASE_MAXARGS] = {0};
  struct lencase_cage *cage;
  int64_t result = -ESRCH;
  int i;
  for (i = 0; i < LENCASE_MAXARGS && i < lua_gettop(L); i++)
    words[i] = (uint64_t)luaL_checkinteger(L, i + 1);
  cage = cage_by_id(g->st, words[nr == LENCASE_COPY_DATA_BETWEEN_CAGES ? 1 : 0]);
  if (cage != NULL && !cage->gone) result = call_detached(cage, g->below, nr, words);
  lua_pushinteger(L, result < 0 ? -1 : result);
  if (result < 0)
    lua_pushinteger(L, -result);
  else
    lua_pushnil(L);
  return 2;
}

/* The cage that lencase.make_call named is for the next call only. */
static struct lencase_cage *take_target(lua_State *L, struct frame *f) {
  uint64_t id = f->target;
  struct lencase_cage *cage = f->call->cage;
  if (id == 0) return cage;
  f->target = 0;
  cage = cage_by_id(cage->st, id);
  if (cage == NULL || cage->gone) luaL_error(L, "make_call: the cage is gone");
  return cage;
}

int grate_sys(lua_State *L) {
  int32_t nr = (int32_t)lua_tointeger(L, lua_upvalueindex(1));
  struct frame *f = grate_frame(L);
  char buf[64];
  struct put u; /* large, and in most calls little of it is used */
  u.f = f;
  u.nr = nr;
  u.placed = false;
  u.sig = lua_touserdata(L, lua_upvalueindex(2));
  u.name = u.sig != &sig_unknown ? u.sig->name : sig_name(nr, buf, sizeof buf);
  u.plan = lua_touserdata(L, lua_upvalueindex(3));
  u.to = lua_touserdata(L, lua_upvalueindex(4));
  if (f == NULL && call_is_threei(nr)) return detached(L, nr);
  if (f == NULL)
    return luaL_error(L,
                      "sys.%s: no cage is calling here: sys is for handlers, in their own "
                      "coroutine",
                      u.name);
  u.target = take_target(L, f);
  call_down_over(f->call); /* an error may have cut short the one before */
  u.own = nr == f->call->nr;
  if (f->fold != NULL && nr == f->call->entry->family) return fold_down(L, &u);
  return down(L, &u);
}

void grate_push_sys(lua_State *L, struct lencase_grate *g, int32_t nr, const struct signature *sig,
                    const struct route_table *to) {
  const struct plan *plan = plan_list_get(g->st, &g->plans, sig);
  if (plan == NULL) luaL_error(L, "no memory for a plan");
  lua_pushinteger(L, nr);
  lua_pushlightuserdata(L, (void *)(uintptr_t)sig);
  lua_pushlightuserdata(L, (void *)(uintptr_t)plan);
  lua_pushlightuserdata(L, (void *)(uintptr_t)to);
  lua_pushcclosure(L, grate_sys, 4);
}

/* }========================================================================= */
