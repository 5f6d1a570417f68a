/*
** grate.c - a grate's life: its Lua state, the events it gets, its end
*/

#include "grate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

/* {=============================== Lua states ============================== */

static void *grate_alloc(void *ud, void *ptr, size_t osize, size_t nsize) {
  struct lencase_grate *g = ud;
  if (ptr == NULL) osize = 0; /* it encodes a type then: lua_Alloc */
  if (nsize > osize && nsize - osize > g->st->config.max_grate_bytes - g->bytes) return NULL;
  if (nsize == 0) {
    state_free(g->st, ptr, osize);
    assert(osize <= g->bytes);
    g->bytes -= osize;
    return NULL;
  }
  ptr = state_realloc(g->st, ptr, osize, nsize);
  if (ptr != NULL) g->bytes += nsize - osize;
  return ptr;
}

struct lencase_grate *grate_of(lua_State *L) {
  void *ud;
  return lua_getallocf(L, &ud) == grate_alloc ? ud : NULL;
}

/* }========================================================================= */

/* {================================= events ================================ */

static const char *const event_names[] = {
    [CAGE_NEW] = "new", [CAGE_EXEC] = "exec", [CAGE_EXIT] = "exit"};

struct event {
  struct lencase_grate *g;
  struct lencase_cage *cage;
  const char *name;
  int status;
  const struct state_news *news; /* of a host's event; NULL: it is the core's */
  uint32_t number;               /* of the grate, for news */
};

/* Runs protected: events(name, cage, parent, shares_files, status, data) -> answer */
static int tell_script(lua_State *L) {
  const struct event *ev = lua_touserdata(L, 1);
  struct lencase_cage *parent = NULL;
  lua_rawgeti(L, LUA_REGISTRYINDEX, ev->g->events);
  lua_pushstring(L, ev->name);
  if (ev->cage != NULL) {
    parent = cage_by_id(ev->g->st, ev->cage->parent);
    cage_push(L, ev->cage);
  } else {
    lua_pushnil(L);
  }
  if (parent != NULL)
    cage_push(L, parent);
  else
    lua_pushnil(L);
  lua_pushboolean(L, ev->cage != NULL && ev->cage->shares_files);
  lua_pushinteger(L, ev->status);
  if (ev->news != NULL && ev->news->data != NULL)
    lua_pushlstring(L, ev->news->data, ev->news->size);
  else
    lua_pushnil(L);
  lua_call(L, 6, 1);
  if (ev->cage != NULL && ev->cage->gone) cage_forget(L, ev->cage);
  return 1;
}

/* The answer is on the top of the stack. */
static void hand_answer(const struct event *ev, lua_State *L) {
  const struct state_news *news = ev->news;
  size_t size;
  const char *data;
  if (news == NULL || news->answer == NULL || lua_type(L, -1) != LUA_TSTRING) return;
  data = lua_tolstring(L, -1, &size);
  news->answer(news->ud, ev->number, data, size);
}

static int tell(struct event *ev) {
  lua_State *L = ev->g->L;
  if (ev->g->events == LUA_NOREF) return LENCASE_OK;
  stack_mark(L, top);
  grate_time(ev->g, L);
  lua_pushcfunction(L, tell_script);
  lua_pushlightuserdata(L, ev);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
    hand_answer(ev, L);
    lua_pop(L, 1);
    stack_check(L, top, 0);
    return LENCASE_OK;
  }
  state_fail(ev->g->st, LENCASE_ESCRIPT, "%s", grate_message(L));
  state_log(ev->g->st, "%s", lencase_error(ev->g->st));
  lua_pop(L, 1);
  stack_check(L, top, 0);
  return LENCASE_ESCRIPT;
}

static void cage_event(struct cage_watcher *w, struct lencase_cage *cage, enum cage_event what,
                       int status) {
  struct lencase_grate *g =
      (struct lencase_grate *)((char *)w - offsetof(struct lencase_grate, watcher));
  struct event ev = {g, cage, event_names[what], status, NULL, 0};
  grate_start(g);
  tell(&ev);
}

int grate_start(struct lencase_grate *g) {
  struct event ev = {g, NULL, "start", 0, NULL, 0};
  if (g->frozen) return LENCASE_OK;
  g->frozen = true;
  return tell(&ev);
}

static int reload_all(struct lencase_state *st) {
  struct lencase_grate *g;
  int status = LENCASE_OK;
  for (g = st->grates; g != NULL; g = g->next) {
    struct event ev = {g, NULL, "reload", 0, NULL, 0};
    if (tell(&ev) != LENCASE_OK) status = LENCASE_ESCRIPT;
  }
  return status;
}

static int tell_all(struct lencase_state *st, const struct state_news *news) {
  struct lencase_grate *g;
  int status = LENCASE_OK;
  uint32_t n = 0;
  for (g = st->grates; g != NULL; g = g->next, n++) {
    struct event ev = {g, NULL, news->event, news->status, news, n};
    if (news->data != NULL && n != news->grate) continue;
    if (tell(&ev) != LENCASE_OK) status = LENCASE_ESCRIPT;
  }
  if (news->data != NULL && news->grate >= n)
    return state_fail(st, LENCASE_ENOENT, "there is no grate number %" PRIu32, news->grate);
  return status;
}

uint32_t grate_number(const struct lencase_grate *g) {
  const struct lencase_grate *at;
  uint32_t n = 0;
  for (at = g->st->grates; at != g; at = at->next) n++;
  return n;
}

int grate_finish(struct lencase_grate *g, int wstatus) {
  struct event ev = {g, NULL, "finish", wstatus, NULL, 0};
  return tell(&ev);
}

/* }========================================================================= */

/* {================================== life ================================= */

struct opening {
  lua_CFunction open;
  const char *path, *cpath;
};

/* ";;" stands for what Lua has there itself, as in LUA_PATH. */
static void set_package(lua_State *L, const char *field, const char *value) {
  if (value == NULL) return;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, field);
  lua_pushfstring(L, ";%s;", lua_tostring(L, -1));
  luaL_gsub(L, value, ";;", lua_tostring(L, -1));
  lua_setfield(L, -4, field);
  lua_pop(L, 3);
}

/* os.exit would end the process that runs the grate, and its programs. */
static int no_exit(lua_State *L) {
  return luaL_error(L, "os.exit is not for grates: raise an error, or use on_error = \"kill\"");
}

/* upvalue 1: one of io's functions. What it opens is the grate's and not the program's. */
static int opened_here(lua_State *L) {
  const luaL_Stream *stream;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  stream = lua_gettop(L) > 0 ? luaL_testudata(L, 1, LUA_FILEHANDLE) : NULL;
  if (stream != NULL && stream->f != NULL) fcntl(fileno(stream->f), F_SETFD, FD_CLOEXEC);
  return lua_gettop(L);
}

static void keep_files(lua_State *L) {
  static const char *const names[] = {"open", "tmpfile", "popen"};
  size_t i;
  lua_getglobal(L, "io");
  for (i = 0; i < sizeof names / sizeof *names; i++) {
    lua_getfield(L, -1, names[i]);
    lua_pushcclosure(L, opened_here, 1);
    lua_setfield(L, -2, names[i]);
  }
  lua_pop(L, 1);
}

/* Runs protected. */
static int build(lua_State *L) {
  const struct opening *o = lua_touserdata(L, 1);
  luaL_openlibs(L);
  keep_files(L);
  lua_getglobal(L, "os");
  lua_pushcfunction(L, no_exit);
  lua_setfield(L, -2, "exit");
  set_package(L, "path", o->path);
  set_package(L, "cpath", o->cpath);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, o->open);
  lua_setfield(L, -2, "lencase.core");
  grate_know_modules(L);
  return 0;
}

static void grate_free(struct lencase_grate *g) {
  cage_unwatch(g->st, &g->watcher);
  route_interface_close(g->st, &g->interface);
  if (g->L != NULL) lua_close(g->L);
  assert(g->bytes == 0);
  grate_interface_free(g);
  grate_frames_free(g);
  plan_list_free(g->st, &g->plans);
  native_free(g);
  route_table_free(g->st, g->below);
  route_branches_free(g->st, &g->branches);
  state_free(g->st, g, sizeof *g);
}

static void close_all(struct lencase_state *st) {
  while (st->grates != NULL) {
    struct lencase_grate *g = st->grates;
    st->grates = g->next;
    grate_free(g);
  }
}

int grate_script_failed(struct lencase_grate *g, const char *filename) {
  bool named = lua_type(g->L, -1) == LUA_TSTRING;
  int status = state_fail(g->st, LENCASE_ESCRIPT, "%s%s%s", named ? "" : filename,
                          named ? "" : ": ", grate_message(g->L));
  lua_pop(g->L, 1);
  return status;
}

struct lencase_grate *grate_bare(struct lencase_state *st) {
  struct lencase_grate *g = state_new(st, sizeof *g);
  if (g == NULL) return NULL;
  g->st = st;
  g->error = EIO;
  g->events = LUA_NOREF;
  g->handler_ms = st->config.handler_ms;
  g->watcher.event = cage_event;
  g->below = route_table_copy(st->first_routes);
  route_branches_take(st, &g->branches);
  cage_watch(st, &g->watcher);
  route_interface_open(st, &g->interface);
  g->next = st->grates;
  st->grates = g;
  st->close_grates = close_all;
  st->reload_grates = reload_all;
  st->tell_grates = tell_all;
  return g;
}

int grate_new(struct lencase_state *st, lua_CFunction open, const char *path, const char *cpath,
              struct lencase_grate **out) {
  struct opening o = {open, path, cpath};
  struct lencase_grate *g = grate_bare(st);
  if (g != NULL) g->L = lua_newstate(grate_alloc, g);
  if (g == NULL || g->L == NULL) return state_fail(st, LENCASE_ENOMEM, "no memory for a grate");
  grate_set_frame(g->L, NULL);
  lua_pushcfunction(g->L, build);
  lua_pushlightuserdata(g->L, &o);
  if (lua_pcall(g->L, 1, 0, 0) != LUA_OK) return grate_script_failed(g, "lencase");
  assert(lua_gettop(g->L) == 0);
  *out = g;
  return LENCASE_OK;
}

/* }========================================================================= */
