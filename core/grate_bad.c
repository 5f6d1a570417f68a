/*
** grate_bad.c - bad values: what a handler sees of a pointer that cannot be read
**
** A bad value can be printed, tested (lencase.is_bad) and forwarded. Any other use raises an error
** whose value it is itself, or whose message names it: that ends the call, as the caller's mistake.
*/

#include <errno.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "grate.h"

/* Its type name in the messages of Lua's own functions; no other type has it. */
static const char bad_name[] = "pointer that cannot be read";

struct mistake {
  int err;
  const char *what, *answer;
};

static const struct mistake mistakes[] = {
    [CUT_NONE] = {EFAULT, "cannot be read", "the caller gets EFAULT"},
    [CUT_FAULT] = {EFAULT, "cannot be read", "the caller gets EFAULT"},
    [CUT_LIMIT] = {ENOMEM, "is more than the limits of lencase allow", "the caller gets ENOMEM"},
    [CUT_PLACE] = {ENOMEM, "ends early, and no place is left where it could",
                   "the caller gets ENOMEM"},
    [CUT_COUNT] = {EINVAL, "has more runs than an iovec may have", "the caller gets EINVAL"},
};

void bad_push(lua_State *L, const char *name, const struct snapshot *snap) {
  struct bad *bad = lua_newuserdatauv(L, sizeof *bad, 0);
  *bad = (struct bad){.name = name, .addr = snap->addr, .told = snap->told, .cut = snap->cut};
  luaL_setmetatable(L, bad_name);
}

const struct bad *bad_at(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TUSERDATA ? luaL_testudata(L, index, bad_name) : NULL;
}

int bad_raise(lua_State *L, const char *name, const struct snapshot *snap) {
  bad_push(L, name, snap);
  return lua_error(L);
}

int bad_raise_again(lua_State *L, int index) {
  lua_pushvalue(L, index);
  return lua_error(L);
}

/* The first argument of the call that is bad. */
static struct bad bad_of(const struct call *call) {
  const struct sig_variant *v = call->vp->variant;
  int i = 0;
  while (i < v->nparams - 1 && call->snaps[i].state != SNAP_BAD) i++;
  return (struct bad){v->params[i].name, call->snaps[i].addr, call->snaps[i].told,
                      call->snaps[i].cut};
}

bool bad_ends(lua_State *L, struct call *call) {
  const struct bad *at = bad_at(L, -1);
  const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  const struct mistake *m;
  struct bad bad;
  if (at == NULL && strstr(message, bad_name) == NULL) return false;
  bad = at != NULL ? *at : bad_of(call);
  m = &mistakes[bad.cut];
  (bad.cut == CUT_LIMIT || bad.cut == CUT_PLACE ? call_refused : call_mistake)(
      call, bad.name, bad.addr, bad.told, m->what, m->answer);
  call->result = -m->err;
  return true;
}

static int bad_tostring(lua_State *L) {
  const struct bad *bad = luaL_checkudata(L, 1, bad_name);
  char text[64];
  snprintf(text, sizeof text, "bad pointer 0x%" PRIx64, bad->addr);
  lua_pushstring(L, text);
  return 1;
}

/* Of two operands either may be the bad one. */
static int bad_use(lua_State *L) {
  return bad_raise_again(L, bad_at(L, 1) != NULL ? 1 : 2);
}

void bad_open(lua_State *L) {
  static const char *const uses[] = {
      "__index", "__newindex", "__len",  "__concat", "__call", "__eq",  "__lt",   "__le",
      "__add",   "__sub",      "__mul",  "__div",    "__mod",  "__pow", "__idiv", "__unm",
      "__band",  "__bor",      "__bxor", "__bnot",   "__shl",  "__shr", "__pairs"};
  size_t i;
  luaL_newmetatable(L, bad_name);
  for (i = 0; i < sizeof uses / sizeof *uses; i++) {
    lua_pushcfunction(L, bad_use);
    lua_setfield(L, -2, uses[i]);
  }
  lua_pushcfunction(L, bad_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
}
