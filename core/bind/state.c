/*
** state.c - states for Lua programs: the launcher, the specs, the prompt
*/

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "../host/inline/inline.h"
#include "bind.h"

static const char state_name[] = "lencase.state";

struct bind_state *bind_state_at(lua_State *L, int index) {
  struct bind_state *b = luaL_checkudata(L, index, state_name);
  if (b->st == NULL) luaL_error(L, "the state is closed");
  return b;
}

lua_State *bind_enter(struct bind_state *b, lua_State *L) {
  lua_State *before = b->L;
  b->L = L;
  return before;
}

void bind_leave(struct bind_state *b, lua_State *before) {
  b->L = before;
}

/* Runs protected. */
static int log_line(lua_State *L) {
  const struct bind_state *b = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, b->log);
  lua_pushstring(L, lua_touserdata(L, 2));
  lua_call(L, 1, 0);
  return 0;
}

/* An error of the log function is dropped. */
static void to_lua(void *ud, const char *line) {
  struct bind_state *b = ud;
  assert(b->L != NULL); /* the state logs inside of bind_enter alone */
  if (b->log == LUA_NOREF || !lua_checkstack(b->L, LUA_MINSTACK)) return;
  stack_mark(b->L, top);
  lua_pushcfunction(b->L, log_line);
  lua_pushlightuserdata(b->L, b);
  lua_pushlightuserdata(b->L, (void *)(uintptr_t)line);
  if (lua_pcall(b->L, 2, 0, 0) != LUA_OK) lua_pop(b->L, 1);
  stack_check(b->L, top, 0);
}

static lua_Integer option(lua_State *L, const char *name, lua_Integer max) {
  lua_Integer n;
  lua_getfield(L, 1, name);
  n = luaL_optinteger(L, -1, 0);
  if (n < 0 || n > max) luaL_error(L, "option %s must be 0 to %I", name, max);
  lua_pop(L, 1);
  return n;
}

/* core.state{ log = function(line), max_call_bytes =, max_grate_bytes =, max_string =,
** handler_ms =, reload_on_hup =, quiet =, debug = } */
static int state_new_lua(lua_State *L) {
  lencase_config c = {.log = to_lua};
  struct bind_state *b;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  c.max_call_bytes = (uint64_t)option(L, "max_call_bytes", INT64_MAX);
  c.max_grate_bytes = (uint64_t)option(L, "max_grate_bytes", INT64_MAX);
  c.max_string = (uint32_t)option(L, "max_string", UINT32_MAX);
  c.reload_on_hup = (uint32_t)option(L, "reload_on_hup", 1);
  c.quiet = (uint32_t)option(L, "quiet", 1);
  c.debug = (uint32_t)option(L, "debug", UINT32_MAX);
  c.handler_ms = (uint32_t)option(L, "handler_ms", INT32_MAX);
  b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (struct bind_state){.log = LUA_NOREF, .watcher = LUA_NOREF, .record = {.fn = LUA_NOREF}};
  luaL_setmetatable(L, state_name);
  c.log_ud = b;
  if (lua_getfield(L, 1, "log") == LUA_TFUNCTION)
    b->log = luaL_ref(L, LUA_REGISTRYINDEX);
  else
    lua_pop(L, 1);
  b->st = lencase_new(&c);
  if (b->st == NULL) return luaL_error(L, "no memory for a state");
  return 1;
}

/* nil, status name, message */
static int failed(lua_State *L, struct bind_state *b, int status) {
  lua_pushnil(L);
  lua_pushstring(L, lencase_status_name(status));
  lua_pushstring(L, lencase_error(b->st));
  return 3;
}

/* state:load(filename, { arguments }) -> true, or nil, status, message */
static int state_load(lua_State *L) {
  struct bind_state *b = bind_state_at(L, 1);
  const char *filename = luaL_checkstring(L, 2), *path, *cpath;
  const char **argv;
  lua_State *before;
  int i, n, status;
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  n = (int)lua_rawlen(L, 3);
  argv = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *argv, 0);
  luaL_checkstack(L, n + 4, "too many arguments");
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, 3, i + 1);
    argv[i] = luaL_checkstring(L, -1);
  }
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "path");
  path = lua_tostring(L, -1);
  lua_getfield(L, -2, "cpath");
  cpath = lua_tostring(L, -1);
  before = bind_enter(b, L);
  status = lencase_load(b->st, filename, n, argv, path, cpath, NULL);
  bind_leave(b, before);
  if (status != LENCASE_OK) return failed(L, b, status);
  lua_pushboolean(L, 1);
  return 1;
}

/* "exit", code or "signal", number; then wstatus */
static int push_wstatus(lua_State *L, int wstatus) {
  lua_pushstring(L, WIFSIGNALED(wstatus) ? "signal" : "exit");
  lua_pushinteger(L, WIFSIGNALED(wstatus) ? WTERMSIG(wstatus) : WEXITSTATUS(wstatus));
  lua_pushinteger(L, wstatus);
  return 3;
}

/* Of a program that was run with this status. */
static int run_result(lua_State *L, struct bind_state *b, int status, int wstatus) {
  if (status == LENCASE_OK) return push_wstatus(L, wstatus);
  failed(L, b, status);
  if (status != LENCASE_EEXEC) return 3;
  lua_pushinteger(L, wstatus);
  return 4;
}

/*
** state:run{ program, arguments... } -> "exit", code, wstatus or "signal", number, wstatus;
** nil, status, message [, errno] when it did not run
*/
static int state_run(lua_State *L) {
  struct bind_state *b = bind_state_at(L, 1);
  char **argv;
  lua_State *before;
  int i, n, status, wstatus = 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  n = (int)lua_rawlen(L, 2);
  luaL_argcheck(L, n >= 1, 2, "a program must be named");
  argv = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *argv, 0);
  luaL_checkstack(L, n + 4, "too many arguments");
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, 2, i + 1);
    argv[i] = (char *)(uintptr_t)luaL_checkstring(L, -1);
  }
  argv[n] = NULL;
  before = bind_enter(b, L);
  status = lencase_trace_run(b->st, argv, &wstatus);
  bind_leave(b, before);
  return run_result(L, b, status, wstatus);
}

/* Runs protected: the function with the number of the process and its message. */
static int message_come(lua_State *L) {
  const struct mem_seg *message = lua_touserdata(L, 2);
  lua_pushinteger(L, (lua_Integer)message->addr);
  lua_pushlstring(L, message->data, message->size);
  lua_remove(L, 2);
  lua_call(L, 2, 0);
  return 0;
}

/* The function is at index 3 of the caller of state:inline. */
static void message_to_lua(void *ud, pid_t pid, const char *data, size_t size) {
  struct bind_state *b = ud;
  struct mem_seg message = {(uint64_t)pid, (void *)(uintptr_t)data, size};
  lua_State *L = b->L;
  stack_mark(L, top);
  lua_pushcfunction(L, message_come);
  lua_pushvalue(L, 3);
  lua_pushlightuserdata(L, &message);
  if (lua_pcall(L, 2, 0, 0) == LUA_OK) {
    stack_check(L, top, 0);
    return;
  }
  state_log(b->st, "what process %d sent is left out: %s", (int)pid, lua_tostring(L, -1));
  lua_pop(L, 1);
}

/*
** state:inline({ program, arguments... , preload =, script = }, function(pid, message)): runs a
** program inline, see inline.h. As state:run
*/
static int state_inline(lua_State *L) {
  struct bind_state *b = bind_state_at(L, 1);
  struct inline_program program = {.message = message_to_lua, .ud = b};
  char **argv;
  lua_State *before;
  int i, n, status, wstatus = 0;
  luaL_checktype(L, 3, LUA_TFUNCTION);
  lua_settop(L, 3);
  luaL_checktype(L, 2, LUA_TTABLE);
  n = (int)lua_rawlen(L, 2);
  luaL_argcheck(L, n >= 1, 2, "a program must be named");
  argv = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *argv, 0);
  luaL_checkstack(L, n + LUA_MINSTACK, "too many arguments");
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, 2, i + 1);
    argv[i] = (char *)(uintptr_t)luaL_checkstring(L, -1);
  }
  argv[n] = NULL;
  lua_getfield(L, 2, "preload");
  lua_getfield(L, 2, "script");
  program.argv = argv;
  program.preload = luaL_checkstring(L, -2);
  program.script = luaL_checkstring(L, -1);
  before = bind_enter(b, L);
  status = inline_run(b->st, &program, &wstatus);
  bind_leave(b, before);
  return run_result(L, b, status, wstatus);
}

static void take_answer(void *ud, uint32_t grate, const char *data, size_t size) {
  (void)grate;
  (void)data;
  (void)size;
  *(bool *)ud = true;
}

/*
** state:tell(event [, wstatus [, grate, data]]) -> whether any grate answered; or nil, status,
** message: a host's news, see state_tell_grates
*/
static int state_tell(lua_State *L) {
  struct bind_state *b = bind_state_at(L, 1);
  bool answered = false;
  struct state_news news = {.event = luaL_checkstring(L, 2),
                            .status = (int)luaL_optinteger(L, 3, 0),
                            .grate = (uint32_t)luaL_optinteger(L, 4, 0),
                            .answer = take_answer,
                            .ud = &answered};
  lua_State *before;
  int status;
  news.data = luaL_optlstring(L, 5, NULL, &news.size);
  before = bind_enter(b, L);
  status = state_tell_grates(b->st, &news);
  bind_leave(b, before);
  if (status != LENCASE_OK) return failed(L, b, status);
  lua_pushboolean(L, answered);
  return 1;
}

/* state:unwritten() -> whether an output of a grate's could not be written */
static int state_unwritten(lua_State *L) {
  lua_pushboolean(L, bind_state_at(L, 1)->st->unwritten);
  return 1;
}

/* state:start() -> true, or nil, status, message */
static int state_start(lua_State *L) {
  struct bind_state *b = bind_state_at(L, 1);
  lua_State *before = bind_enter(b, L);
  int status = lencase_start(b->st);
  bind_leave(b, before);
  if (status != LENCASE_OK) return failed(L, b, status);
  lua_pushboolean(L, 1);
  return 1;
}

/* state:reload() -> true, or nil, status, message */
static int state_reload(lua_State *L) {
  struct bind_state *b = bind_state_at(L, 1);
  lua_State *before = bind_enter(b, L);
  int status = lencase_reload(b->st);
  bind_leave(b, before);
  if (status != LENCASE_OK) return failed(L, b, status);
  lua_pushboolean(L, 1);
  return 1;
}

/* state:finish(wstatus) -> true, or nil, status, message */
static int state_finish(lua_State *L) {
  struct bind_state *b = bind_state_at(L, 1);
  int status, wstatus = (int)luaL_optinteger(L, 2, 0);
  lua_State *before = bind_enter(b, L);
  status = lencase_finish(b->st, wstatus);
  bind_leave(b, before);
  if (status != LENCASE_OK) return failed(L, b, status);
  lua_pushboolean(L, 1);
  return 1;
}

/* state:branch(true) opens a branch, state:branch(false) closes it -> true, or nil, ... */
static int state_branch(lua_State *L) {
  struct bind_state *b = bind_state_at(L, 1);
  int status = lua_toboolean(L, 2) ? lencase_branch_open(b->st) : lencase_branch_close(b->st);
  if (status != LENCASE_OK) return failed(L, b, status);
  lua_pushboolean(L, 1);
  return 1;
}

static void chain_push(lua_State *L, const struct route_table *t, int32_t nr) {
  const struct route_link *link = route_links(t, nr);
  lua_Integer n = 0;
  lua_newtable(L);
  lua_pushinteger(L, nr);
  lua_setfield(L, -2, "nr");
  lua_pushboolean(L, route_find(t, nr)->status == ROUTE_DENIED);
  lua_setfield(L, -2, "denied");
  while (link != NULL) {
    const struct route_entry *entry = link->entry;
    if (link->registered) {
      lua_pushstring(L, entry->answer->where != NULL ? entry->answer->where : "?");
      lua_rawseti(L, -2, ++n);
      if (entry->status == ROUTE_DENIED) break; /* no entry is asked after it */
    }
    link = link->next != NULL || entry->below == NULL ? link->next : route_links(entry->below, nr);
  }
}

/*
** state:routes() -> { { nr =, denied =, "top.lua:3", "bottom.lua:5" }, ... }: the handlers, in
** order; denied: a layer does not provide the call
*/
static int state_routes(lua_State *L) {
  const struct route_table *t = bind_state_at(L, 1)->st->first_routes;
  lua_Integer n = 0;
  int32_t nr;
  lua_newtable(L);
  for (nr = route_next(t, -1); nr >= 0; nr = route_next(t, nr)) {
    if (route_find(t, nr) == NULL) continue; /* it may come to be handled */
    chain_push(L, t, nr);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* state:close(); also __gc and __close */
static int state_close(lua_State *L) {
  struct bind_state *b = luaL_checkudata(L, 1, state_name);
  if (b->L != NULL)
    return luaL_error(L, "the state is in use: handlers and callbacks cannot close it");
  b->L = L;
  bind_record_close(L, b);
  if (b->st != NULL) lencase_close(b->st);
  b->L = NULL;
  b->st = NULL;
  luaL_unref(L, LUA_REGISTRYINDEX, b->log);
  luaL_unref(L, LUA_REGISTRYINDEX, b->watcher);
  b->log = b->watcher = LUA_NOREF;
  return 0;
}

static const luaL_Reg methods[] = {{"load", state_load},
                                   {"start", state_start},
                                   {"reload", state_reload},
                                   {"run", state_run},
                                   {"finish", state_finish},
                                   {"close", state_close},
                                   {"inline", state_inline},
                                   {"watch", bind_watch},
                                   {"record", bind_record},
                                   {"sim", bind_sim_new},
                                   {"routes", state_routes},
                                   {"branch", state_branch},
                                   {"tell", state_tell},
                                   {"unwritten", state_unwritten},
                                   {"__gc", state_close},
                                   {"__close", state_close},
                                   {NULL, NULL}};

static const luaL_Reg functions[] = {{"state", state_new_lua}, {NULL, NULL}};

void bind_open_state(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  luaL_newmetatable(L, state_name);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
