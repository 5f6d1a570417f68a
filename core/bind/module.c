/*
** module.c - lencase.core, as Lua programs and grates require it
*/

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "../host/inline/inline.h"
#include "bind.h"

/* core.errnos() -> { EPERM = 1, ... } */
static int errnos(lua_State *L) {
  int e;
  lua_newtable(L);
  for (e = 1; e < 256; e++) {
    const char *name = strerrorname_np(e);
    if (name == NULL) continue;
    lua_pushinteger(L, e);
    lua_setfield(L, -2, name);
  }
  return 1;
}

/* core.strerror(errno) -> its text */
static int strerror_of(lua_State *L) {
  const char *text = strerrordesc_np((int)luaL_checkinteger(L, 1));
  lua_pushstring(L, text != NULL ? text : "Unknown error");
  return 1;
}

/* core.inline_by() -> the library and the script by which this process runs inline, or nothing */
static int runs_inline_by(lua_State *L) {
  const struct inline_by *by = inline_by();
  if (by == NULL) return 0;
  lua_pushstring(L, by->preload);
  lua_pushstring(L, by->script);
  return 2;
}

/*
** core.raise(signal): ends this process as the signal does, without a core file. A launcher
** whose program was killed has its own parents see the same. Returns if it did not work.
*/
static int raise_signal(lua_State *L) {
  int sig = (int)luaL_checkinteger(L, 1);
  struct rlimit none = {0, 0};
  sigset_t set;
  setrlimit(RLIMIT_CORE, &none);
  signal(sig, SIG_DFL);
  sigemptyset(&set);
  sigaddset(&set, sig);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  raise(sig);
  return 0;
}

/* is_bad(value) -> boolean: it stands for a pointer that cannot be read */
static int is_bad(lua_State *L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, bad_at(L, 1) != NULL);
  return 1;
}

static const luaL_Reg functions[] = {
    {"errnos", errnos},        {"is_bad", is_bad},      {"inline_by", runs_inline_by},
    {"strerror", strerror_of}, {"raise", raise_signal}, {NULL, NULL}};

LENCASE_PUBLIC int luaopen_lencase_core(lua_State *L) {
  char lua[GRATE_LUA_NAME];
  luaL_newlib(L, functions);
  lua_pushstring(L, LENCASE_VERSION);
  lua_setfield(L, -2, "version");
  lua_pushinteger(L, LENCASE_COMPILED);
  lua_setfield(L, -2, "compiled");
  lua_pushstring(L, grate_lua_name(lua));
  lua_setfield(L, -2, "lua");
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "NULL");
  bind_open_signature(L);
  bad_open(L);
  if (grate_of(L) != NULL) {
    view_open(L);
    cage_open(L);
    bind_open_interface(L);
    bind_open_live(L);
  } else {
    bind_open_state(L);
    bind_open_probe(L);
  }
  bind_open_sim(L);
  bind_open_files(L);
  bind_open_prompt(L);
  bind_open_readline(L);
  return 1;
}

static int load(lencase_state *st, const struct grate_script *script,
                const lencase_compiled *compiled, const char *path, const char *cpath,
                lencase_grate **out) {
  lencase_grate *g;
  int status = state_check_outside(st);
  if (status == LENCASE_OK) status = grate_new(st, luaopen_lencase_core, path, cpath, &g);
  if (status == LENCASE_OK && compiled != NULL) status = grate_preload(g, compiled);
  if (status == LENCASE_OK) status = grate_run(g, script);
  if (status == LENCASE_OK && out != NULL) *out = g;
  return status;
}

LENCASE_PUBLIC int lencase_load(lencase_state *st, const char *filename, int argc,
                                const char *const argv[], const char *path, const char *cpath,
                                lencase_grate **out) {
  const struct grate_script script = {.name = filename, .argc = argc, .argv = argv};
  return load(st, &script, NULL, path, cpath, out);
}

LENCASE_PUBLIC int lencase_load_buffer(lencase_state *st, const char *name, const void *data,
                                       size_t size, int argc, const char *const argv[],
                                       const char *path, const char *cpath, lencase_grate **out) {
  const struct grate_script script = {name, size > 0 ? data : "", size, argc, argv};
  return load(st, &script, NULL, path, cpath, out);
}

LENCASE_PUBLIC int lencase_load_compiled(lencase_state *st, const lencase_compiled *compiled,
                                         int argc, const char *const argv[], const char *path,
                                         const char *cpath, lencase_grate **out) {
  struct grate_script script = {.argc = argc, .argv = argv};
  int status = state_check_outside(st);
  if (status == LENCASE_OK) status = grate_check_compiled(st, compiled);
  if (status != LENCASE_OK) return status;
  script.name = compiled->chunks->name;
  script.data = (const char *)compiled->chunks->data;
  script.size = compiled->chunks->size;
  return load(st, &script, compiled, path, cpath, out);
}

LENCASE_PUBLIC int lencase_branch_open(lencase_state *st) {
  return route_branch_open(st);
}

LENCASE_PUBLIC int lencase_branch_close(lencase_state *st) {
  return route_branch_close(st);
}

LENCASE_PUBLIC int lencase_start(lencase_state *st) {
  lencase_grate *g;
  int status = LENCASE_OK;
  for (g = st->grates; g != NULL && status == LENCASE_OK; g = g->next) status = grate_start(g);
  return status;
}

LENCASE_PUBLIC int lencase_reload(lencase_state *st) {
  return st->reload_grates != NULL ? st->reload_grates(st) : LENCASE_OK;
}

LENCASE_PUBLIC int lencase_finish(lencase_state *st, int wstatus) {
  lencase_grate *g;
  int status = LENCASE_OK;
  call_tell_mistakes(st);
  for (g = st->grates; g != NULL; g = g->next)
    if (grate_finish(g, wstatus) != LENCASE_OK) status = LENCASE_ESCRIPT;
  return status;
}
