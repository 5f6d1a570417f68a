/*
** watch.c - what handlers see, and what was copied for them, for tests of scripts
*/

#include <stddef.h>
#include <string.h>

#include "bind.h"

static struct bind_state *state_of(struct grate_watch *w) {
  return (struct bind_state *)(void *)((char *)w - offsetof(struct bind_state, watch));
}

/* An event for the observer's function. */
struct told {
  struct bind_state *state;
  lua_State *co;
  const struct frame *frame;
  const struct call *call;
  const char *message;
  int n;
};

/* The parts of an array of runs: strings, or sizes where no bytes are held. */
static void runs_push(lua_State *L, const struct view *v) {
  uint32_t i;
  lua_createtable(L, (int)v->nparts, 0);
  for (i = 0; i < v->nparts; i++) {
    if (v->parts[i].data != NULL)
      lua_pushlstring(L, (const char *)v->parts[i].data, v->parts[i].size);
    else
      lua_pushinteger(L, (lua_Integer)v->parts[i].told);
    lua_rawseti(L, -2, i + 1);
  }
}

static void strings_push(lua_State *L, lua_State *co, int index) {
  int i, n = (int)lua_rawlen(co, index);
  lua_createtable(L, n, 0);
  for (i = 0; i < n; i++) {
    size_t size;
    const char *s;
    lua_rawgeti(co, index, i + 1);
    s = luaL_tolstring(co, -1, &size); /* one that cannot be read says so */
    lua_pushlstring(L, s, size);
    lua_pop(co, 2);
    lua_rawseti(L, -2, i + 1);
  }
}

/* A value of the handler's, in the observer's Lua state: views are their bytes. */
static void value_push(lua_State *L, lua_State *co, int index) {
  const struct view *v = lua_type(co, index) == LUA_TUSERDATA ? view_at(co, index) : NULL;
  size_t size;
  const char *s;
  switch (lua_type(co, index)) {
    case LUA_TNUMBER: lua_pushinteger(L, lua_tointeger(co, index)); return;
    case LUA_TLIGHTUSERDATA: lua_pushlightuserdata(L, lua_touserdata(co, index)); return;
    case LUA_TTABLE: strings_push(L, co, index); return;
    case LUA_TSTRING:
      s = lua_tolstring(co, index, &size);
      lua_pushlstring(L, s, size);
      return;
    default: break;
  }
  if (v != NULL && v->kind == VIEW_IOVEC)
    runs_push(L, v);
  else if (v != NULL)
    lua_pushlstring(L, (const char *)v->data, v->size);
  else if (bad_at(co, index) != NULL)
    bad_push(L, bad_at(co, index)->name,
             &(struct snapshot){.addr = bad_at(co, index)->addr, .cut = bad_at(co, index)->cut});
  else
    lua_pushnil(L);
}

/* How many bytes of the cage's a snapshot is; 0: none were copied. */
static size_t bytes_of(const struct snapshot *snap) {
  size_t total = snap->size;
  uint32_t i;
  if (snap->state != SNAP_HELD) return 0;
  if (snap->kind == SIG_STRING) return total + 1;
  if (snap->kind != SIG_STRV && snap->kind != SIG_IOVEC) return total;
  for (i = 0; i < snap->nparts; i++)
    if (snap->parts[i].data != NULL) total += snap->parts[i].size + (snap->kind == SIG_STRV);
  return total;
}

/* { parameter = bytes, ... } */
static void copied_push(lua_State *L, const struct sig_variant *v, const struct snapshot *snaps) {
  int i;
  lua_newtable(L);
  for (i = 0; i < v->nparams; i++) {
    size_t size = bytes_of(&snaps[i]);
    if (size == 0) continue;
    lua_pushinteger(L, (lua_Integer)size);
    lua_setfield(L, -2, v->params[i].name);
  }
}

void bind_push_callname(lua_State *L, int32_t nr, const struct plan *plan) {
  char buf[64];
  bool own = plan != NULL && plan->sig != &sig_unknown && plan->sig->nr == nr;
  lua_pushstring(L, own ? plan->sig->name : sig_name(nr, buf, sizeof buf));
}

/* f("asked", call, parameters, values, depth, copied); runs protected, as those below */
static int tell_asked(lua_State *L) {
  struct told *t = lua_touserdata(L, 1);
  const struct call *call = t->frame->call;
  int i, base = lua_gettop(t->co) - t->n;
  luaL_checkstack(L, LENCASE_MAXARGS + LUA_MINSTACK, "arguments");
  lua_rawgeti(L, LUA_REGISTRYINDEX, t->state->watcher);
  lua_pushstring(L, "asked");
  bind_push_callname(L, call->entry->family, call->answer->plan);
  lua_createtable(L, t->n, 0);
  for (i = 0; i < t->n; i++) {
    bind_push_param(L, &t->frame->shown->params[i], true);
    lua_rawseti(L, -2, i + 1);
  }
  lua_createtable(L, t->n, 0);
  for (i = 0; i < t->n; i++) {
    value_push(L, t->co, base + i + 1);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushinteger(L, (lua_Integer)call->depth);
  copied_push(L, call->vp->variant, call->snaps);
  lua_call(L, 6, 0);
  return 0;
}

/* f("filled", depth, copied): by a call that the handler made as its own */
static int tell_filled(lua_State *L) {
  struct told *t = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, t->state->watcher);
  lua_pushstring(L, "filled");
  lua_pushinteger(L, (lua_Integer)t->frame->call->depth);
  copied_push(L, t->frame->down.vp->variant, t->frame->outs);
  lua_call(L, 3, 0);
  return 0;
}

/* f("failed", call, message) */
static int tell_failed(lua_State *L) {
  struct told *t = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, t->state->watcher);
  lua_pushstring(L, "failed");
  bind_push_callname(L, t->call->nr, t->call->answer->plan);
  lua_pushstring(L, t->message);
  lua_call(L, 3, 0);
  return 0;
}

void bind_tell(struct bind_state *b, lua_CFunction f, void *ud) {
  lua_State *L = b->L;
  if (L == NULL || !lua_checkstack(L, LUA_MINSTACK)) return;
  stack_mark(L, top);
  lua_pushcfunction(L, f);
  lua_pushlightuserdata(L, ud);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
  stack_check(L, top, 0);
}

static void asked(struct grate_watch *w, lua_State *co, const struct frame *f, int n) {
  struct told t = {.state = state_of(w), .co = co, .frame = f, .n = n};
  bind_tell(t.state, tell_asked, &t);
}

static void filled(struct grate_watch *w, const struct frame *f) {
  struct told t = {.state = state_of(w), .frame = f};
  if (f->down.own) bind_tell(t.state, tell_filled, &t);
}

static void failed(struct grate_watch *w, const struct call *call, const char *message) {
  struct told t = {.state = state_of(w), .call = call, .message = message};
  bind_tell(t.state, tell_failed, &t);
}

/* state:watch(f): f gets the arguments of handlers, what was copied, and their errors */
int bind_watch(lua_State *L) {
  struct bind_state *b = bind_state_at(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  luaL_unref(L, LUA_REGISTRYINDEX, b->watcher);
  b->watcher = luaL_ref(L, LUA_REGISTRYINDEX);
  b->watch = (struct grate_watch){asked, filled, failed};
  b->st->watch = &b->watch;
  return 0;
}
