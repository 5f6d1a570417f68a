/*
** probe.c - which features of the system work, as Lua sees it
*/

#include <string.h>

#include "../host/probe.h"
#include "bind.h"

static const char *const state_names[] = {
    [PROBE_MISSING] = "missing", [PROBE_OK] = "ok", [PROBE_UNTRIED] = "untried"};

static void set(lua_State *L, const char *field, const char *text) {
  if (text == NULL || *text == '\0') return;
  lua_pushstring(L, text);
  lua_setfield(L, -2, field);
}

static void push_trial(lua_State *L, const struct probe *p, const struct probe_trial *t) {
  lua_newtable(L);
  set(L, "name", p->name);
  set(L, "purpose", p->purpose);
  set(L, "since", p->since);
  set(L, "state", state_names[t->state]);
  set(L, t->state == PROBE_UNTRIED ? "needs" : "text", t->text);
  if (t->err != 0) set(L, "errno", strerrorname_np(t->err));
  if (t->signal != 0) set(L, "signal", sigabbrev_np(t->signal));
}

/*
** core.probe(engine) -> a list of { name =, purpose =, since =, state = "ok", "missing" or
** "untried", errno =, signal =, text =, needs = }, in the order of the probes; engine is the path
** of liblencase-engine.so, or nil
*/
static int probe(lua_State *L) {
  const char *engine = luaL_optstring(L, 1, NULL);
  struct probe_trial trials[PROBE_COUNT];
  int i;
  probe_run_all(engine, trials);
  lua_createtable(L, PROBE_COUNT, 0);
  for (i = 0; i < PROBE_COUNT; i++) {
    push_trial(L, probe_list + i, trials + i);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static const luaL_Reg functions[] = {{"probe", probe}, {NULL, NULL}};

void bind_open_probe(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
