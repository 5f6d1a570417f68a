/*
** grate_result.c - what a handler returned, and what the caller gets of it
*/

#include <lauxlib.h>
#include <string.h>

#include "grate_value.h"

static struct grate_entry *entry_of(const struct frame *f) {
  return f->call->entry->ud;
}

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
  if (value_is_null(L, index)) return 0;
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

/* The runs that the downcall filled are the caller's, though their array was ours. */
static bool same_runs(const struct snapshot *outs, const struct snapshot *callers) {
  uint32_t i;
  for (i = 0; i < outs->nparts && i < callers->nparts; i++)
    if (outs->parts[i].addr != callers->parts[i].addr) return false;
  return outs->nparts <= callers->nparts;
}

/* The downcall filled the caller's own memory with argument 'arg'. */
static bool filled_callers(const struct frame *f, int arg) {
  const struct call *call = f->call;
  if (!f->down.own) return false;
  if (f->down.words[arg] == call->words[arg]) return true;
  return call->vp->variant->params[arg].kind == SIG_IOVEC &&
         same_runs(&f->outs[arg], &call->snaps[arg]);
}

/* These very bytes lie in the caller's memory already. */
static bool is_there(lua_State *L, struct frame *f, int arg, int index) {
  const struct view *v = view_at(L, index);
  return v != NULL && !v->dirty && v->data == f->outs[arg].data && v->parts == f->outs[arg].parts &&
         filled_callers(f, arg);
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
  const unsigned char *data = value_plain(L, index, &size);
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
  struct value_of of = {p, "the handler's result"};
  struct snapshot value = {0};
  uint64_t room;
  if (lua_isnil(L, index) || is_there(L, f, arg, index)) return;
  if (p->kind == SIG_IOVEC) {
    scatter(L, f, p, &call->snaps[arg], index);
    return;
  }
  value_take(L, f, index, &of, &value);
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
