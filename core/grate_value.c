/*
** grate_value.c - between a call's words and snapshots and a handler's values
**
** Three ways: what the handler sees of its call (args), what it asks for by
** sys.NAME (downcalls), and what it returns (results).
*/

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "grate.h"

enum {
  ERRNO_MAX = 4095,   /* MAX_ERRNO of linux/err.h */
  ADDRESS_ROOM = 128, /* sizeof(struct sockaddr_storage): room for an address nobody sized */
  ALIGN = 16
};

static size_t aligned(size_t n) {
  return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static struct grate_entry *entry_of(const struct frame *f) {
  return f->call->entry->ud;
}

static bool is_null(lua_State *L, int index) {
  return lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL;
}

static void *scoop(lua_State *L, struct frame *f, size_t size) {
  void *p = arena_new(&f->call->arena, size);
  if (p == NULL) luaL_error(L, "no memory for an argument of %d bytes", (int)size);
  return p;
}

/* {================================== args ================================= */

static void strv_push(lua_State *L, const struct snapshot *snap) {
  uint32_t i;
  lua_createtable(L, (int)snap->nparts, 0);
  for (i = 0; i < snap->nparts; i++) {
    lua_pushlstring(L, (const char *)snap->parts[i].data, snap->parts[i].size);
    lua_rawseti(L, -2, i + 1);
  }
}

static void held_push(lua_State *L, struct frame *f, const struct sig_param *p,
                      const struct snapshot *snap) {
  if (p->kind == SIG_STRING)
    lua_pushlstring(L, (const char *)snap->data, snap->size);
  else if (p->kind == SIG_STRV)
    strv_push(L, snap);
  else
    view_push(L, f, p, snap, (p->dir & SIG_OUT) != 0);
}

/* What the handler sees of argument 'arg' of the call itself. */
static void arg_push(lua_State *L, struct frame *f, int arg) {
  const struct call *call = f->call;
  const struct sig_param *p = &call->vp->variant->params[arg];
  unsigned mode = call->vp->mode[arg];
  if (mode & LENCASE_P_PASS)
    lua_pushnil(L);
  else if (p->kind == SIG_INT)
    lua_pushinteger(L, sig_int(p, call->words[arg]));
  else if ((mode & LENCASE_P_ADDR) || p->kind == SIG_ADDR)
    lua_pushinteger(L, (lua_Integer)call->words[arg]);
  else if (call->words[arg] == 0)
    lua_pushlightuserdata(L, NULL);
  else if (call->snaps[arg].state == SNAP_HELD)
    held_push(L, f, p, &call->snaps[arg]);
  else
    lua_pushnil(L); /* it is filled by the call */
}

static uint64_t field_word(const struct call *call, const struct fold_param *p) {
  const struct snapshot *snap = &call->snaps[p->arg];
  uint64_t word = 0;
  if (snap->state == SNAP_HELD && p->value + sizeof word <= snap->size)
    memcpy(&word, snap->data + p->value, sizeof word);
  return word;
}

static uint64_t fold_word(const struct call *call, const struct fold_param *p) {
  if (p->from == FOLD_CONST) return p->value;
  if (p->from == FOLD_FIELD) return field_word(call, p);
  return p->from == FOLD_ABSENT ? 0 : call->words[p->arg];
}

/* The path with its directory in front, in the call's arena; false: it stands for itself. */
static bool resolve(lua_State *L, struct frame *f, const struct fold_param *p,
                    struct snapshot *out) {
  struct call *call = f->call;
  const struct snapshot *path = &call->snaps[p->arg];
  char dir[PATH_MAX];
  int n, fd = (int)call->words[p->dir_arg];
  if (path->state != SNAP_HELD || fd == AT_FDCWD || path->size == 0 || path->data[0] == '/')
    return false;
  n = call->cage->ops->fd_path(call->cage, fd, dir, sizeof dir);
  if (n < 0 || dir[0] != '/') return false;
  out->data = scoop(L, f, (size_t)n + 1 + path->size);
  out->size = (size_t)n + 1 + path->size;
  memcpy(out->data, dir, (size_t)n);
  out->data[n] = '/';
  memcpy(out->data + n + 1, path->data, path->size);
  out->state = SNAP_HELD;
  return true;
}

static void path_push(lua_State *L, struct frame *f, int i) {
  const struct fold_param *p = &f->fold->params[i];
  struct snapshot *path = &f->paths[i];
  bool copied = (f->call->vp->mode[p->arg] & LENCASE_P_COPY) != 0;
  if (copied && (path->state == SNAP_HELD || resolve(L, f, p, path)))
    lua_pushlstring(L, (const char *)path->data, path->size);
  else
    arg_push(L, f, p->arg);
}

/* What the handler sees of parameter 'i' of the family's prototype. */
static void fold_push(lua_State *L, struct frame *f, int i) {
  const struct fold_param *p = &f->fold->params[i];
  switch ((enum fold_from)p->from) {
    case FOLD_ARG: arg_push(L, f, p->arg); break;
    case FOLD_PATH: path_push(L, f, i); break;
    case FOLD_CONST:
    case FOLD_FIELD: lua_pushinteger(L, (lua_Integer)fold_word(f->call, p)); break;
    case FOLD_ABSENT: lua_pushnil(L); break;
  }
}

static const struct sig_variant *folded_variant(const struct call *call,
                                                const struct sig_fold *fold) {
  uint64_t words[LENCASE_MAXARGS] = {0};
  int i;
  for (i = 0; i < fold->nparams; i++) words[i] = fold_word(call, &fold->params[i]);
  return sig_select(sig_by_nr(fold->family), words);
}

int grate_push_args(lua_State *L, struct frame *f) {
  const struct call *call = f->call;
  int i;
  memset(f->paths, 0, sizeof f->paths);
  f->fold = NULL;
  f->shown = call->vp->variant;
  if (call->entry->family != call->nr) {
    f->fold = sig_fold_of(call->nr, call->entry->family, call->words);
    f->shown = folded_variant(call, f->fold);
  }
  luaL_checkstack(L, LENCASE_MAXARGS + LUA_MINSTACK, "arguments of a call");
  for (i = 0; i < f->shown->nparams; i++)
    if (f->fold != NULL)
      fold_push(L, f, i);
    else
      arg_push(L, f, i);
  return i;
}

/* }========================================================================= */

/* {=========================== values into bytes =========================== */

struct bytes_at {
  const struct sig_param *p;
  const char *call; /* whose argument it is, for messages */
};

static int bad_value(lua_State *L, const struct bytes_at *at, int index, const char *wanted) {
  return luaL_error(L, "%s: %s (%s) takes %s, not a %s", at->call, at->p->name, at->p->ctype,
                    wanted, luaL_typename(L, index));
}

/* The bytes of a string or of a view; NULL when the value is neither. */
static const unsigned char *plain_bytes(lua_State *L, int index, size_t *size) {
  struct view *v = view_at(L, index);
  if (v != NULL && v->kind != VIEW_IOVEC) {
    *size = v->size;
    return v->data != NULL ? v->data : (const unsigned char *)"";
  }
  if (v != NULL || lua_type(L, index) != LUA_TSTRING) return NULL;
  return (const unsigned char *)lua_tolstring(L, index, size);
}

/* Copied to the call's arena: a Lua value may be collected or changed before it is used. */
static void keep(lua_State *L, struct frame *f, struct snapshot *out, const void *data,
                 size_t size) {
  out->data = scoop(L, f, size + 1);
  memcpy(out->data, data, size);
  out->data[size] = 0;
  out->size = size;
  out->state = SNAP_HELD;
}

static void string_value(lua_State *L, struct frame *f, int index, const struct bytes_at *at,
                         struct snapshot *out) {
  size_t size;
  const unsigned char *s = plain_bytes(L, index, &size);
  if (s == NULL) bad_value(L, at, index, "a string");
  if (memchr(s, 0, size) != NULL)
    luaL_error(L, "%s: %s has a zero byte in it, and the kernel would stop there", at->call,
               at->p->name);
  keep(L, f, out, s, size);
}

static void bytes_value(lua_State *L, struct frame *f, int index, const struct bytes_at *at,
                        struct snapshot *out) {
  size_t size;
  const unsigned char *s = plain_bytes(L, index, &size);
  if (s == NULL)
    bad_value(L, at, index, "a string or a view");
  else
    keep(L, f, out, s, size);
}

/* A struct from a table of its fields, an array of them from a table of such tables. */
static void table_of_records(lua_State *L, struct frame *f, int index, const struct bytes_at *at,
                             struct snapshot *out) {
  const struct sig_record *r = at->p->record;
  bool scalar = r->fields[0].name[0] == '\0';
  size_t i, n = lua_rawlen(L, index);
  if (n == 0) n = 1; /* fields by name: one struct */
  out->size = n * r->size;
  out->data = scoop(L, f, out->size);
  out->state = SNAP_HELD;
  memset(out->data, 0, out->size);
  if (lua_rawlen(L, index) == 0 || (scalar && n == 1)) {
    view_fill(L, index, r, out->data);
    return;
  }
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, index, (lua_Integer)i + 1);
    if (scalar) {
      lua_Integer word = luaL_checkinteger(L, -1);
      memcpy(out->data + i * r->size, &word, r->size);
    } else {
      view_fill(L, -1, r, out->data + i * r->size);
    }
    lua_pop(L, 1);
  }
}

static void records_value(lua_State *L, struct frame *f, int index, const struct bytes_at *at,
                          struct snapshot *out) {
  size_t size;
  const unsigned char *s = plain_bytes(L, index, &size);
  if (s == NULL && lua_istable(L, index) && at->p->record != NULL)
    table_of_records(L, f, index, at, out);
  else if (s == NULL)
    bad_value(L, at, index, "a table of fields, a string or a view");
  else
    keep(L, f, out, s, size);
  if (out->size % at->p->elem != 0)
    luaL_error(L, "%s: %s is %d bytes long, no multiple of %d", at->call, at->p->name,
               (int)out->size, (int)at->p->elem);
}

/* The strings of a table, or the runs of an iovec: parts whose bytes are kept. */
static void parts_value(lua_State *L, struct frame *f, int index, const struct bytes_at *at,
                        struct snapshot *out) {
  uint32_t i;
  if (!lua_istable(L, index)) bad_value(L, at, index, "a table of strings");
  out->nparts = (uint32_t)lua_rawlen(L, index);
  out->parts = scoop(L, f, out->nparts * sizeof *out->parts);
  out->state = SNAP_HELD;
  for (i = 0; i < out->nparts; i++) {
    struct snapshot one = {0};
    lua_rawgeti(L, index, (lua_Integer)i + 1);
    if (at->p->kind == SIG_STRV)
      string_value(L, f, lua_gettop(L), at, &one);
    else
      bytes_value(L, f, lua_gettop(L), at, &one);
    out->parts[i] = (struct snap_part){.size = one.size, .data = one.data};
    lua_pop(L, 1);
  }
}

static void iovec_value(lua_State *L, struct frame *f, int index, const struct bytes_at *at,
                        struct snapshot *out) {
  struct view *v = view_at(L, index);
  if (v == NULL || v->kind != VIEW_IOVEC) {
    parts_value(L, f, index, at, out);
    return;
  }
  out->nparts = v->nparts;
  out->parts = scoop(L, f, v->nparts * sizeof *v->parts);
  memcpy(out->parts, v->parts, v->nparts * sizeof *v->parts);
  out->state = SNAP_HELD;
}

typedef void (*value_fn)(lua_State *L, struct frame *f, int index, const struct bytes_at *at,
                         struct snapshot *out);

static const value_fn value_of_kind[] = {
    [SIG_STRING] = string_value, [SIG_BYTES] = bytes_value, [SIG_RECORDS] = records_value,
    [SIG_STRV] = parts_value,    [SIG_IOVEC] = iovec_value,
};

/* }========================================================================= */

/* {=============================== downcalls =============================== */

/* Where the bytes of an argument of a downcall are. */
enum put_where {
  PUT_WORD,    /* nowhere: the word says it all */
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
  const struct sig_variant *v;
  bool own; /* the call in flight: nil stands for its arguments */
  uint64_t words[LENCASE_MAXARGS];
  struct snapshot snaps[LENCASE_MAXARGS];
  uint8_t where[LENCASE_MAXARGS];
};

/* The caller has an argument here that nil can stand for. */
static bool caller_has(const struct put *u, int i) {
  const struct sig_variant *v = u->f->call->vp->variant;
  return u->own && i < v->nparams && v->params[i].kind == u->v->params[i].kind;
}

/* The caller's own argument is handed on: copied bytes from the snapshot, so that what was seen
** is what the kernel reads. */
static void put_own(lua_State *L, struct put *u, int i) {
  struct call *call = u->f->call;
  struct snapshot *snap = &call->snaps[i];
  unsigned mode = call->vp->mode[i];
  if ((mode & LENCASE_P_ONCE) && snap->uses > 0)
    luaL_error(L, "%s: %s was used already, and its policy says once", u->name,
               u->v->params[i].name);
  snap->uses = 1;
  u->words[i] = call->words[i];
  if (snap->state != SNAP_HELD || !(mode & LENCASE_P_COPY)) return;
  if ((u->v->params[i].dir & SIG_OUT) && u->v->params[i].kind != SIG_IOVEC) return;
  u->snaps[i] = *snap;
  u->where[i] = PUT_WINDOW;
}

/* An argument that the call fills, and nobody's memory is there for it: scratch. */
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

/* An in-out length that nobody gave: the room that put_room takes. */
static bool is_length(const struct put *u, int i) {
  int k;
  for (k = 0; k < u->v->nparams; k++)
    if (u->v->params[k].size == SIZE_DEREF && u->v->params[k].size_arg == i) return true;
  return false;
}

static void put_length(lua_State *L, struct put *u, int i) {
  uint32_t room = ADDRESS_ROOM;
  keep(L, u->f, &u->snaps[i], &room, sizeof room);
  u->where[i] = PUT_SCRATCH;
}

static void put_nil(lua_State *L, struct put *u, int i) {
  const struct sig_param *p = &u->v->params[i];
  if (caller_has(u, i))
    put_own(L, u, i);
  else if (p->kind == SIG_INT)
    luaL_error(L, "%s: %s is missing", u->name, p->name);
  else if (p->kind == SIG_ADDR || (p->nullable && p->dir == SIG_IN))
    u->words[i] = 0;
  else if (is_length(u, i))
    put_length(L, u, i);
  else if (p->dir == SIG_OUT && p->kind != SIG_IOVEC)
    put_room(L, u, i);
  else
    luaL_error(L, "%s: %s is missing (lencase.NULL is a null pointer)", u->name, p->name);
}

static void put_bytes(lua_State *L, struct put *u, int i) {
  const struct sig_param *p = &u->v->params[i];
  struct bytes_at at = {p, u->name};
  if (p->kind == SIG_INT || p->kind == SIG_ADDR) bad_value(L, &at, i + 1, "an integer");
  if (p->dir == SIG_OUT && p->kind != SIG_IOVEC)
    luaL_error(L, "%s: %s is filled by the call: give nil there", u->name, p->name);
  value_of_kind[p->kind](L, u->f, i + 1, &at, &u->snaps[i]);
  if (p->dir == SIG_INOUT)
    u->where[i] = caller_has(u, i) && u->words[i] != 0 ? PUT_CALLER : PUT_SCRATCH;
  else
    u->where[i] = PUT_WINDOW;
}

static void put_arg(lua_State *L, struct put *u, int i) {
  if (lua_isnoneornil(L, i + 1))
    put_nil(L, u, i);
  else if (is_null(L, i + 1))
    u->words[i] = 0;
  else if (lua_type(L, i + 1) == LUA_TNUMBER)
    u->words[i] = (uint64_t)luaL_checkinteger(L, i + 1);
  else
    put_bytes(L, u, i);
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

/*
** The count that goes with a replaced argument follows it when nobody gave one, and must
** never reach beyond what is there: behind it lie other calls' bytes.
*/
static void fit_count(lua_State *L, struct put *u, int i) {
  const struct sig_param *p = &u->v->params[i];
  const struct call *call = u->f->call;
  bool replaced = !lua_isnoneornil(L, i + 1);
  uint64_t room;
  if (p->size != SIZE_ARG || u->words[i] == 0) {
    if (u->where[i] != PUT_WINDOW || p->size != SIZE_ARG) return;
  }
  if (u->where[i] == PUT_WINDOW) {
    if (replaced && lua_isnoneornil(L, p->size_arg + 1)) u->words[p->size_arg] = put_count(u, i);
    /* bytes that the kernel would refuse to look at are refused by it */
    else if (replaced || u->words[p->size_arg] != call->words[p->size_arg])
      check_count(L, u, i, put_count(u, i));
  } else if (!replaced && caller_has(u, i) && (p->dir & SIG_OUT) &&
             u->words[p->size_arg] != call->words[p->size_arg]) {
    if (marshal_room(call->cage, call->vp->variant, i, call->words, NULL, &room) == LENCASE_OK)
      check_count(L, u, i, room / p->elem);
  }
}

static int down_failed(lua_State *L, const struct put *u, int status) {
  struct lencase_state *st = u->f->call->cage->st;
  if (status == LENCASE_EFAULT) return luaL_error(L, "%s: the caller's memory is gone", u->name);
  return luaL_error(L, "%s: %s: %s", u->name, lencase_status_name(status), lencase_error(st));
}

static void into_window(lua_State *L, struct put *u) {
  struct call *call = u->f->call;
  size_t size = 0, used = 0;
  int i, status;
  for (i = 0; i < u->v->nparams; i++)
    if (u->where[i] == PUT_WINDOW) size += marshal_placed_size(&u->v->params[i], &u->snaps[i]);
  if (size == 0) size = ALIGN; /* empty bytes have an address too */
  status = call_window(call, size);
  if (status != LENCASE_OK) down_failed(L, u, status);
  for (i = 0; i < u->v->nparams; i++)
    if (u->where[i] == PUT_WINDOW)
      u->words[i] = marshal_place(&u->v->params[i], &u->snaps[i], &call->window, &used);
}

static void into_scratch(lua_State *L, struct put *u) {
  struct call *call = u->f->call;
  size_t size = 0;
  int i, status;
  for (i = 0; i < u->v->nparams; i++)
    if (u->where[i] == PUT_SCRATCH) size += aligned(u->snaps[i].size + 1);
  status = call_scratch(call, size);
  if (status != LENCASE_OK) down_failed(L, u, status);
  for (i = 0, size = 0; i < u->v->nparams; i++)
    if (u->where[i] == PUT_SCRATCH) {
      u->words[i] = call->scratch.addr + size;
      size += aligned(u->snaps[i].size + 1);
    }
}

/* What the kernel is to find in memory that the cage can write. */
static void into_cage(lua_State *L, struct put *u) {
  struct call *call = u->f->call;
  int i, status;
  for (i = 0; i < u->v->nparams; i++) {
    struct mem_seg seg = {u->words[i], u->snaps[i].data, u->snaps[i].size};
    if (u->where[i] != PUT_SCRATCH && u->where[i] != PUT_CALLER) continue;
    if (seg.data == NULL || seg.size == 0) continue;
    status = call->cage->ops->write(call->cage, &seg);
    if (status != LENCASE_OK) down_failed(L, u, status);
  }
}

static bool any_put(const struct put *u, enum put_where where) {
  int i;
  for (i = 0; i < u->v->nparams; i++)
    if (u->where[i] == where) return true;
  return false;
}

/* Pushes what a downcall gave: n, nil, outs... or -1, errno. */
static int down_push(lua_State *L, struct frame *f) {
  struct call *call = f->call;
  const struct down *d = &f->down;
  struct marshal_fault fault;
  int i, status;
  if (call->down_result < 0 && call->down_result >= -ERRNO_MAX) {
    call_down_over(call);
    lua_pushinteger(L, -1);
    lua_pushinteger(L, -call->down_result);
    return 2;
  }
  status = marshal_out(call->cage, d->vp, d->words, call->down_result, d->own ? call->snaps : NULL,
                       f->outs, &call->arena, &fault);
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
  return 2 + d->vp->nout;
}

static int down_returned(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  return down_push(L, grate_frame(L));
}

static const struct variant_plan *down_plan(const struct put *u) {
  const struct call *call = u->f->call;
  if (u->own && call->vp->variant == u->v) return call->vp;
  return &u->plan->variants[u->v - u->sig->variants];
}

/* An argument that this variant has no place for (open's mode) is no mistake: any has one. */
static void choose_variant(lua_State *L, struct put *u) {
  int i;
  if (u->own) memcpy(u->words, u->f->call->words, sizeof u->words);
  for (i = 0; i < LENCASE_MAXARGS; i++)
    if (lua_isinteger(L, i + 1)) u->words[i] = (uint64_t)lua_tointeger(L, i + 1);
  u->v = sig_select(u->sig, u->words);
  for (i = sig_widest(u->sig); i < lua_gettop(L); i++)
    if (!lua_isnil(L, i + 1))
      luaL_error(L, "%s takes %d arguments, not %d", u->name, sig_widest(u->sig), i + 1);
}

static int down(lua_State *L, struct put *u) {
  struct frame *f = u->f;
  int i;
  choose_variant(L, u);
  for (i = 0; i < u->v->nparams; i++) put_arg(L, u, i);
  for (i = 0; i < u->v->nparams; i++) fit_count(L, u, i);
  if (any_put(u, PUT_WINDOW)) into_window(L, u);
  if (any_put(u, PUT_SCRATCH)) into_scratch(L, u);
  into_cage(L, u);
  f->down.vp = down_plan(u);
  f->down.own = u->own;
  memcpy(f->down.words, u->words, sizeof u->words);
  if (call_down(f->call, u->nr, u->words) == VERDICT_DONE) return down_push(L, f);
  f->waiting = true;
  return lua_yieldk(L, 0, 0, down_returned);
}

/* }========================================================================= */

/* {================================= folds ================================= */

/* The handler hands on what it was shown. */
static bool unchanged(lua_State *L, struct frame *f, int i) {
  bool same;
  if (lua_isnoneornil(L, i + 1)) return true;
  fold_push(L, f, i);
  same = lua_rawequal(L, i + 1, -1);
  lua_pop(L, 1);
  return same;
}

/* A changed field goes back into a copy of the record it came from. */
static void unfold_field(lua_State *L, struct frame *f, const struct fold_param *p, int value,
                         int slot) {
  const struct snapshot *snap = &f->call->snaps[p->arg];
  lua_Integer word = luaL_checkinteger(L, value);
  size_t size = snap->size;
  const unsigned char *old = snap->data;
  unsigned char *copy = scoop(L, f, size);
  if (lua_type(L, slot) == LUA_TSTRING) old = (const unsigned char *)lua_tostring(L, slot);
  memcpy(copy, old, size);
  if (p->value + sizeof word <= size) memcpy(copy + p->value, &word, sizeof word);
  lua_pushlstring(L, (const char *)copy, size);
  lua_replace(L, slot);
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
      fold_push(L, f, i);
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

int grate_sys(lua_State *L) {
  int32_t nr = (int32_t)lua_tointeger(L, lua_upvalueindex(1));
  struct frame *f = grate_frame(L);
  char buf[64];
  struct put u = {.f = f, .nr = nr, .name = sig_name(nr, buf, sizeof buf)};
  u.sig = lua_touserdata(L, lua_upvalueindex(2));
  u.plan = lua_touserdata(L, lua_upvalueindex(3));
  if (f == NULL)
    return luaL_error(L,
                      "sys.%s: no cage is calling here: sys is for handlers, in their own "
                      "coroutine",
                      u.name);
  call_down_over(f->call); /* an error may have cut short the one before */
  u.own = nr == f->call->nr;
  if (f->fold != NULL && nr == f->call->entry->family) return fold_down(L, &u);
  return down(L, &u);
}

struct grate_plan {
  struct grate_plan *next;
  struct plan *plan;
};

static const struct plan *plan_for(lua_State *L, struct lencase_grate *g,
                                   const struct signature *sig) {
  struct grate_plan *p = g->plans;
  while (p != NULL && p->plan->sig != sig) p = p->next;
  if (p != NULL) return p->plan;
  p = state_new(g->st, sizeof *p);
  if (p == NULL) luaL_error(L, "no memory for a plan");
  if (plan_new(g->st, sig, LENCASE_COPY_ALL_ARGS, &p->plan) != LENCASE_OK) {
    state_free(g->st, p, sizeof *p);
    luaL_error(L, "%s", lencase_error(g->st));
  }
  p->next = g->plans;
  g->plans = p;
  return p->plan;
}

void grate_free_plans(struct lencase_grate *g) {
  while (g->plans != NULL) {
    struct grate_plan *p = g->plans;
    g->plans = p->next;
    plan_free(g->st, p->plan);
    state_free(g->st, p, sizeof *p);
  }
}

void grate_push_sys(lua_State *L, struct lencase_grate *g, int32_t nr,
                    const struct signature *sig) {
  lua_pushinteger(L, nr);
  lua_pushlightuserdata(L, (void *)(uintptr_t)sig);
  lua_pushlightuserdata(L, (void *)(uintptr_t)plan_for(L, g, sig));
  lua_pushcclosure(L, grate_sys, 3);
}

/* }========================================================================= */

/* {================================ results ================================ */

static int errno_value(lua_State *L, int index) {
  lua_Integer e = 0;
  if (lua_isinteger(L, index)) e = lua_tointeger(L, index);
  if (e < 1 || e > ERRNO_MAX)
    luaL_error(L, "the handler returned -1 with the errno %s: return lencase.fail \"NAME\"",
               luaL_tolstring(L, index, NULL));
  return (int)e;
}

/* lencase.fail "NAME" is a table with its errno in it. */
static bool failure_value(lua_State *L, int index, int64_t *result) {
  if (!lua_istable(L, index)) return false;
  lua_getfield(L, index, "errno");
  *result = -errno_value(L, lua_gettop(L));
  lua_pop(L, 1);
  return true;
}

static int64_t result_value(lua_State *L, int index) {
  lua_Integer n;
  int64_t failure;
  if (is_null(L, index)) return 0;
  if (failure_value(L, index, &failure)) return failure;
  if (!lua_isinteger(L, index))
    luaL_error(L, "the handler returned a %s where a result (n, or -1 and an errno) must be",
               luaL_typename(L, index));
  n = lua_tointeger(L, index);
  if (n < -1 && n >= -ERRNO_MAX)
    luaL_error(L, "the handler returned %d: a failure is -1 and an errno", (int)n);
  if (n == -1 && lua_isnoneornil(L, index + 1))
    luaL_error(L, "the handler returned -1 without an errno: return lencase.fail \"NAME\"");
  return n == -1 ? -errno_value(L, index + 1) : n;
}

/* These very bytes lie in the caller's memory already. */
static bool is_there(lua_State *L, struct frame *f, int arg, int index) {
  const struct view *v = view_at(L, index);
  return v != NULL && !v->dirty && f->down.own && f->down.words[arg] == f->call->words[arg] &&
         v->data == f->outs[arg].data && v->parts == f->outs[arg].parts;
}

static void write_out(lua_State *L, struct frame *f, const struct sig_param *p, uint64_t addr,
                      const unsigned char *data, size_t size) {
  struct call *call = f->call;
  struct mem_seg seg = {addr, (void *)(uintptr_t)data, size};
  if (size == 0 || addr == 0) return;
  if (call->cage->ops->write(call->cage, &seg) != LENCASE_OK)
    luaL_error(L, "%s at %p of the caller cannot be written", p->name, (void *)(uintptr_t)addr);
}

static void check_room(lua_State *L, const struct sig_param *p, size_t size, uint64_t room) {
  if (size > room)
    luaL_error(L, "the handler returned %d bytes for %s, where the caller has room for %d",
               (int)size, p->name, (int)room);
}

/* Bytes spread over the caller's iovec, in order. */
static void scatter(lua_State *L, struct frame *f, const struct sig_param *p,
                    const struct snapshot *runs, int index) {
  size_t size, room = 0;
  const unsigned char *data = plain_bytes(L, index, &size);
  uint32_t i;
  if (data == NULL)
    luaL_error(L, "the handler returned a %s for %s, where a string must be",
               luaL_typename(L, index), p->name);
  for (i = 0; i < runs->nparts; i++) room += runs->parts[i].size;
  check_room(L, p, size, room);
  for (i = 0; i < runs->nparts && size > 0; i++) {
    size_t n = runs->parts[i].size < size ? runs->parts[i].size : size;
    write_out(L, f, p, runs->parts[i].addr, data, n);
    data += n;
    size -= n;
  }
}

/* Out-argument 'arg' gets the value at 'index' in place of what the call filled in. */
static void out_value(lua_State *L, struct frame *f, int arg, int index) {
  struct call *call = f->call;
  const struct sig_param *p = &call->vp->variant->params[arg];
  struct bytes_at at = {p, "the handler's result"};
  struct snapshot value = {0};
  uint64_t room;
  if (lua_isnil(L, index) || is_there(L, f, arg, index)) return;
  if (p->kind == SIG_IOVEC) {
    scatter(L, f, p, &call->snaps[arg], index);
    return;
  }
  value_of_kind[p->kind](L, f, index, &at, &value);
  if (marshal_room(call->cage, call->vp->variant, arg, call->words, call->snaps, &room) !=
      LENCASE_OK)
    room = 0;
  check_room(L, p, value.size, room);
  write_out(L, f, p, call->words[arg], value.data, value.size);
}

static void out_values(lua_State *L, struct frame *f, int first) {
  const struct variant_plan *vp = f->call->vp;
  int i, n = lua_gettop(L) - first + 1;
  if (n > vp->nout)
    luaL_error(L,
               "the handler returned %d values after the errno; the call has %d copied "
               "out-arguments",
               n, (int)vp->nout);
  for (i = 0; i < n; i++) out_value(L, f, vp->out[i].arg, first + i);
}

void grate_take_results(lua_State *L, struct frame *f, int first) {
  struct call *call = f->call;
  int64_t result;
  if (lua_isnoneornil(L, first)) {
    if (call->downcalls > 0)
      luaL_error(L, "%s: the handler returned nothing after having made its call",
                 entry_of(f)->where);
    f->verdict = VERDICT_PASS;
    return;
  }
  result = result_value(L, first);
  if (result >= 0 || result < -ERRNO_MAX) {
    luaL_checkstack(L, LUA_MINSTACK, "results of a call");
    out_values(L, f, first + 2);
  }
  call->result = result;
  f->verdict = VERDICT_DONE;
}

/* }========================================================================= */
