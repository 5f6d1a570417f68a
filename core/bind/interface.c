/*
** interface.c - what lencase.grate{...} of a script does to its grate
*/

#include <errno.h>
#include <string.h>

#include "bind.h"

static lua_Integer field(lua_State *L, int table, const char *name) {
  lua_Integer n;
  lua_getfield(L, table, name);
  n = luaL_optinteger(L, -1, 0);
  lua_pop(L, 1);
  return n;
}

/* The tests of an entry: { { op =, arg =, mask =, value = }, ... } */
static int take_tests(lua_State *L, int table, struct sig_test *tests) {
  int i, n;
  if (lua_getfield(L, table, "tests") == LUA_TNIL) {
    lua_pop(L, 1);
    return 0;
  }
  n = (int)lua_rawlen(L, -1);
  if (n > ROUTE_TESTS) return luaL_error(L, "an entry has at most %d tests", ROUTE_TESTS);
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, -1, i + 1);
    tests[i] = (struct sig_test){(uint8_t)field(L, -1, "op"), (uint8_t)field(L, -1, "arg"),
                                 (uint64_t)field(L, -1, "mask"), (uint64_t)field(L, -1, "value")};
    luaL_argcheck(L, tests[i].op <= TEST_NONE && tests[i].arg < LENCASE_MAXARGS, 1, "bad test");
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return n;
}

static const struct signature *declared_signature(lua_State *L, int32_t nr) {
  const struct signature *sig;
  lua_getfield(L, 1, "signature");
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    return bind_signature_of(L, nr);
  }
  sig = bind_signature_at(L, -1);
  luaL_ref(L, LUA_REGISTRYINDEX); /* kept as long as the grate: its plans point there */
  return sig;
}

/* Of an entry; whether it is registered is a matter of each table. */
static const char *const status_names[] = {"active", "denied", "absent", NULL};
static const enum route_status statuses[] = {ROUTE_ACTIVE, ROUTE_DENIED, ROUTE_ABSENT};

/* The declaration in the table at 1, alone on the stack; leaves what answers on the top. */
static void take_decl(lua_State *L, struct grate_decl *d, struct sig_test *tests) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  *d = (struct grate_decl){.tests = tests};
  d->nr = (int32_t)field(L, 1, "nr");
  d->family = (int32_t)field(L, 1, "family");
  d->policy = (lencase_policy)field(L, 1, "policy");
  d->sig = declared_signature(L, d->nr);
  d->ntests = take_tests(L, 1, tests);
  lua_getfield(L, 1, "status");
  d->status = statuses[luaL_checkoption(L, -1, "active", status_names)];
  lua_getfield(L, 1, "registered");
  d->registered = lua_isnil(L, -1) || lua_toboolean(L, -1);
  lua_getfield(L, 1, "where");
  d->where = luaL_checkstring(L, -1);
  if (lua_getfield(L, 1, "constant") == LUA_TNIL) lua_getfield(L, 1, "fn");
}

/* core.aside{ as for core.register } -> an entry for single calls: live:answer */
static int interface_aside(lua_State *L) {
  struct sig_test tests[ROUTE_TESTS];
  struct grate_decl d;
  take_decl(L, &d, tests);
  lua_pushlightuserdata(L, (void *)(uintptr_t)grate_aside(L, &d));
  return 1;
}

/*
** core.register{ nr =, family =, policy =, where =, fn = function | constant = -errno, tests =,
** status = "active" | "denied" | "absent", registered = false }
*/
static int interface_register(lua_State *L) {
  struct sig_test tests[ROUTE_TESTS];
  struct grate_decl d;
  struct lencase_grate *g = grate_of(L);
  if (g->frozen && !g->reloading)
    return luaL_error(L, "the interface cannot change: the grate has started");
  take_decl(L, &d, tests);
  if (!g->reloading) {
    grate_register(L, &d);
    return 0;
  }
  lua_pushboolean(L, grate_stage(L, &d)); /* false: no host stops for it */
  return 1;
}

/*
** core.reload_begin(): from here on core.register stages, and returns whether hosts stop for the
** call
*/
static int interface_reload_begin(lua_State *L) {
  grate_reload_begin(grate_of(L));
  return 0;
}

/* core.reload_end(f): what is staged takes over, and f runs; without f: all stays as it was */
static int interface_reload_end(lua_State *L) {
  struct lencase_grate *g = grate_of(L);
  lua_settop(L, 1);
  if (lua_isnil(L, 1)) {
    g->reloading = false;
    return 0;
  }
  grate_commit(L);
  lua_call(L, 0, 0);
  return 0;
}

/* core.untimed(f) -> two results of f: for what must not be cut short */
static int interface_untimed(lua_State *L) {
  lua_settop(L, 1);
  if (grate_call_untimed(L, 2) != LUA_OK) return lua_error(L);
  return 2;
}

/* core.timed(coroutine): it has the time of a handler */
static int interface_timed(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTHREAD);
  grate_time(grate_of(L), lua_tothread(L, 1));
  return 0;
}

/* core.log(line): logs a message */
static int interface_log(lua_State *L) {
  state_log(grate_of(L)->st, "%s", luaL_checkstring(L, 1));
  return 0;
}

/* core.on_error(errno) or core.on_error("kill" | "pass") */
static int interface_on_error(lua_State *L) {
  static const char *const modes[] = {"errno", "kill", "pass", NULL};
  struct lencase_grate *g = grate_of(L);
  if (lua_isinteger(L, 1)) {
    g->on_error = ON_ERROR_ERRNO;
    g->error = (int)lua_tointeger(L, 1);
    luaL_argcheck(L, strerrorname_np(g->error) != NULL, 1, "no such errno");
  } else {
    g->on_error = (enum on_error)luaL_checkoption(L, 1, NULL, modes);
  }
  return 0;
}

/* core.handler_ms(n): milliseconds of processor time that a handler may take */
static int interface_handler_ms(lua_State *L) {
  lua_Integer ms = luaL_checkinteger(L, 1);
  luaL_argcheck(L, ms >= 1 && ms <= INT32_MAX, 1, "at least 1 millisecond");
  grate_of(L)->handler_ms = (uint32_t)ms;
  return 0;
}

/* core.events(f): f(event, cage, parent, shares_files, wstatus) gets the events */
static int interface_events(lua_State *L) {
  struct lencase_grate *g = grate_of(L);
  luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_unref(L, LUA_REGISTRYINDEX, g->events);
  lua_settop(L, 1);
  g->events = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

/* core.cage() -> the cage whose call this handler is for, or nil outside of a handler */
static int interface_cage(lua_State *L) {
  struct frame *f = grate_frame(L);
  if (f == NULL || f->call == NULL) return 0;
  cage_push(L, f->call->cage);
  return 1;
}

static struct call *call_here(lua_State *L) {
  struct frame *f = grate_frame(L);
  if (f == NULL || f->call == NULL) luaL_error(L, "no cage is calling here");
  return f->call;
}

/* core.word(i) -> argument word i (from 1) of the call, whatever its policy says; downcalls made */
static int interface_word(lua_State *L) {
  const struct call *call = call_here(L);
  lua_Integer i = luaL_checkinteger(L, 1);
  luaL_argcheck(L, i >= 1 && i <= LENCASE_MAXARGS, 1, "argument 1 to 6");
  lua_pushinteger(L, (lua_Integer)call->words[i - 1]);
  lua_pushinteger(L, call->downcalls);
  return 2;
}

/* core.report(message, answer): logs what is wrong with the call */
static int interface_report(lua_State *L) {
  const char *message = luaL_checkstring(L, 1), *answer = luaL_checkstring(L, 2);
  grate_report(call_here(L), message, answer);
  return 0;
}

/* core.below(nr) -> where, denied: the handler of this grate's own calls; nothing: the bottom */
static int interface_below(lua_State *L) {
  const struct route_entry *e = route_find(grate_of(L)->below, (int32_t)luaL_checkinteger(L, 1));
  const struct route_answer *a;
  if (e == NULL) return 0;
  a = e->answer;
  lua_pushstring(L, a->where != NULL ? a->where : "grate");
  lua_pushboolean(L, e->status == ROUTE_DENIED ||
                         (a->handler == NULL && a->ntests == 0 && a->constant < 0));
  return 2;
}

/* core.next_below(nr) -> the next callnum above nr that a grate below handles; -1 at the end */
static int interface_next_below(lua_State *L) {
  lua_pushinteger(L, route_next(grate_of(L)->below, (int32_t)luaL_checkinteger(L, 1)));
  return 1;
}

/* The table of branch 'index' (from 1), NULL for none. */
static const struct route_table *branch_at(lua_State *L, int index) {
  const struct route_branches *b = &grate_of(L)->branches;
  lua_Integer i = luaL_optinteger(L, index, 0);
  luaL_argcheck(L, i >= 0 && i <= b->n, index, "no such branch");
  return i > 0 ? b->tables[i - 1] : NULL;
}

/* core.sys(nr [, signature [, branch]]) -> the function that makes the call */
static int interface_sys(lua_State *L) {
  int32_t nr = (int32_t)luaL_checkinteger(L, 1);
  const struct signature *sig = bind_signature_at(L, lua_isnoneornil(L, 2) ? 1 : 2);
  grate_push_sys(L, grate_of(L), nr, sig != NULL ? sig : &sig_unknown, branch_at(L, 3));
  return 1;
}

/* core.branches() -> how many stacks are inside of the grate */
static int interface_branches(lua_State *L) {
  lua_pushinteger(L, grate_of(L)->branches.n);
  return 1;
}

/* core.branch_calls(branch) -> the numbers that the grates inside handle */
static int interface_branch_calls(lua_State *L) {
  const struct route_table *t = branch_at(L, 1), *below = grate_of(L)->below;
  lua_Integer n = 0;
  int32_t nr;
  luaL_argcheck(L, t != NULL, 1, "a branch has a number from 1");
  lua_newtable(L);
  for (nr = route_next(t, -1); nr >= 0; nr = route_next(t, nr)) {
    if (route_links(t, nr) == route_links(below, nr)) continue;
    lua_pushinteger(L, nr);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* core.enter(branch): the call that is let through next goes there first */
static int interface_enter(lua_State *L) {
  const struct route_table *t = branch_at(L, 1);
  call_here(L)->to = t;
  return 0;
}

/* core.entered() -> the branch that core.enter named in this call; nil: none */
static int interface_entered(lua_State *L) {
  const struct route_branches *b = &grate_of(L)->branches;
  const struct route_table *to = call_here(L)->to;
  int i = 0;
  while (i < b->n && b->tables[i] != to) i++;
  if (i == b->n) return 0;
  lua_pushinteger(L, i + 1);
  return 1;
}

/* core.target(cage): the call that the handler makes next is on behalf of this one */
static int interface_target(lua_State *L) {
  call_here(L);
  grate_frame(L)->target = cage_id_at(L, 1);
  return 0;
}

/* core.cage_id(cage or id) -> id; core.cage_id() -> that of core.cage(), or nil */
static int interface_cage_id(lua_State *L) {
  const struct frame *f = lua_isnone(L, 1) ? grate_frame(L) : NULL;
  if (lua_isnone(L, 1) && (f == NULL || f->call == NULL)) return 0;
  lua_pushinteger(L, (lua_Integer)(f != NULL ? f->call->cage->id : cage_id_at(L, 1)));
  return 1;
}

/* core.grate_id() -> the id of this grate, as register_handler takes it */
static int interface_grate_id(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)grate_of(L)->interface.id);
  return 1;
}

/*
** core.script_text() -> the text of the script that is being loaded, when it lies in memory; "" for
** bytecode, and later; nil for a script of a file
*/
static int interface_script_text(lua_State *L) {
  return grate_push_text(L) ? 1 : 0;
}

static const luaL_Reg functions[] = {{"register", interface_register},
                                     {"aside", interface_aside},
                                     {"reload_begin", interface_reload_begin},
                                     {"reload_end", interface_reload_end},
                                     {"untimed", interface_untimed},
                                     {"timed", interface_timed},
                                     {"log", interface_log},
                                     {"on_error", interface_on_error},
                                     {"handler_ms", interface_handler_ms},
                                     {"events", interface_events},
                                     {"cage", interface_cage},
                                     {"word", interface_word},
                                     {"report", interface_report},
                                     {"below", interface_below},
                                     {"next_below", interface_next_below},
                                     {"sys", interface_sys},
                                     {"branches", interface_branches},
                                     {"branch_calls", interface_branch_calls},
                                     {"enter", interface_enter},
                                     {"entered", interface_entered},
                                     {"target", interface_target},
                                     {"at", cage_at},
                                     {"cage_id", interface_cage_id},
                                     {"grate_id", interface_grate_id},
                                     {"script_text", interface_script_text},
                                     {NULL, NULL}};

void bind_open_interface(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
