/*
** sim.c - simulated cages for Lua programs
*/

#include <errno.h>
#include <string.h>

#include "../host/sim/sim.h"
#include "bind.h"

static const char sim_name[] = "lencase.sim";

/* The cages that one sim{...} and its forks are: they share the bottom. */
struct bind_sim {
  struct bind_state *state;
  uint64_t id;
  int bottom; /* reference of the Lua function below the last grate */
  int paths;  /* reference of the Lua function that knows descriptors */
  bool root;  /* the Lua state that these are references in */
};

static struct bind_sim *self(lua_State *L) {
  return luaL_checkudata(L, 1, sim_name);
}

/* The cage itself; raises an error once it is gone. */
static struct lencase_cage *alive(lua_State *L) {
  struct bind_sim *s = self(L);
  struct lencase_cage *cage = s->state->st != NULL ? cage_by_id(s->state->st, s->id) : NULL;
  if (cage == NULL || cage->gone) luaL_error(L, "the cage is gone");
  return cage;
}

/* A call that a bottom in Lua carries out. */
struct asked {
  const struct bind_sim *sim;
  uint64_t cage;
  int32_t nr;
  const uint64_t *words;
  int64_t result;
};

/* Runs protected: f(callnum, a1, ..., a6, id of the cage) -> result (negative: -errno) */
static int ask_script(lua_State *L) {
  struct asked *a = lua_touserdata(L, 1);
  int i;
  lua_rawgeti(L, LUA_REGISTRYINDEX, a->sim->bottom);
  lua_pushinteger(L, a->nr);
  for (i = 0; i < LENCASE_MAXARGS; i++) lua_pushinteger(L, (lua_Integer)a->words[i]);
  lua_pushinteger(L, (lua_Integer)a->cage);
  lua_call(L, 2 + LENCASE_MAXARGS, 1);
  if (!lua_isinteger(L, -1)) return luaL_error(L, "it returned a %s", luaL_typename(L, -1));
  a->result = lua_tointeger(L, -1);
  return 0;
}

static int64_t lua_bottom(void *ud, struct lencase_cage *cage, int32_t nr,
                          const uint64_t words[LENCASE_MAXARGS]) {
  struct asked a = {ud, cage->id, nr, words, -ENOSYS}; /* -ENOSYS: the result if the bottom fails */
  lua_State *L = a.sim->state->L;
  const char *message;
  if (!lua_checkstack(L, LUA_MINSTACK)) return a.result;
  lua_pushcfunction(L, ask_script);
  lua_pushlightuserdata(L, &a);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return a.result;
  message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error that is no string";
  state_log(cage->st, "the bottom of a sim failed: %s", message);
  lua_pop(L, 1);
  return a.result;
}

/* A question about a descriptor. */
struct fd_asked {
  const struct bind_sim *sim;
  uint64_t cage;
  int fd;
  char *buf;
  size_t size;
  int result;
};

/* Runs protected: f(fd, id of the cage) -> path, or false: not open; nil: it has none */
static int ask_path(lua_State *L) {
  struct fd_asked *a = lua_touserdata(L, 1);
  const char *path;
  size_t size;
  lua_rawgeti(L, LUA_REGISTRYINDEX, a->sim->paths);
  lua_pushinteger(L, a->fd);
  lua_pushinteger(L, (lua_Integer)a->cage);
  lua_call(L, 2, 1);
  if (lua_isboolean(L, -1)) a->result = -EBADF;
  if (lua_type(L, -1) != LUA_TSTRING) return 0;
  path = lua_tolstring(L, -1, &size);
  a->result = size < a->size ? (int)size : -ENAMETOOLONG;
  if (size < a->size) memcpy(a->buf, path, size);
  return 0;
}

static int lua_fd_path(void *ud, struct lencase_cage *cage, int fd, char *buf, size_t size) {
  struct fd_asked a = {ud, cage->id, fd, buf, size, -ENOSYS};
  lua_State *L = a.sim->state->L;
  if (!lua_checkstack(L, LUA_MINSTACK)) return a.result;
  lua_pushcfunction(L, ask_path);
  lua_pushlightuserdata(L, &a);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
  return a.result;
}

static struct bind_sim *push_sim(lua_State *L, struct bind_state *state, int state_index) {
  struct bind_sim *s = lua_newuserdatauv(L, sizeof *s, 2);
  *s = (struct bind_sim){.state = state, .bottom = LUA_NOREF, .paths = LUA_NOREF};
  luaL_setmetatable(L, sim_name);
  lua_pushvalue(L, state_index); /* the state outlives its cages */
  lua_setiuservalue(L, -2, 1);
  return s;
}

/* Field 'name' of the options, a function: its reference, or LUA_NOREF. */
static int function_ref(lua_State *L, const char *name) {
  if (lua_getfield(L, 2, name) == LUA_TFUNCTION) return luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pop(L, 1);
  return LUA_NOREF;
}

/*
** The state is at index 1, { memory =, guard =, bottom =, paths =, files =, pid =, comm = } at 2.
*/
static int new_sim(lua_State *L, struct bind_state *state) {
  struct sim_config c = {0};
  struct lencase_cage *cage;
  struct bind_sim *s;
  lua_State *before;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_getfield(L, 2, "memory");
  c.memory = (size_t)luaL_optinteger(L, -1, 0);
  lua_getfield(L, 2, "guard");
  c.guard = lua_toboolean(L, -1);
  lua_getfield(L, 2, "files");
  c.files = lua_toboolean(L, -1);
  lua_getfield(L, 2, "pid");
  c.pid = luaL_optinteger(L, -1, 0);
  lua_getfield(L, 2, "comm");
  c.comm = luaL_optstring(L, -1, NULL);
  s = push_sim(L, state, 1);
  s->bottom = function_ref(L, "bottom");
  s->paths = function_ref(L, "paths");
  s->root = true;
  if (s->bottom != LUA_NOREF) c.bottom = lua_bottom;
  if (s->paths != LUA_NOREF) c.fd_path = lua_fd_path;
  c.ud = s;
  before = bind_enter(state, L);
  cage = sim_cage_new(state->st, &c, NULL);
  bind_leave(state, before);
  if (cage == NULL) return luaL_error(L, "no memory for a cage");
  s->id = cage->id;
  return 1;
}

/* state:sim{ memory =, guard =, bottom =, paths =, files =, pid =, comm = } -> cage */
int bind_sim_new(lua_State *L) {
  return new_sim(L, bind_state_at(L, 1));
}

static const char inner_name[] = "lencase.inner_state";

/* Pushes the userdata of the grate's own state, which the grate cannot close. */
static struct bind_state *inner_state(lua_State *L) {
  struct bind_state *state;
  if (lua_getfield(L, LUA_REGISTRYINDEX, "lencase.inner") == LUA_TUSERDATA)
    return lua_touserdata(L, -1);
  lua_pop(L, 1);
  state = lua_newuserdatauv(L, sizeof *state, 0);
  *state = (struct bind_state){
      .st = grate_of(L)->st, .log = LUA_NOREF, .watcher = LUA_NOREF, .record = {.fn = LUA_NOREF}};
  luaL_setmetatable(L, inner_name);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, "lencase.inner");
  return state;
}

static int inner_gc(lua_State *L) {
  bind_record_close(L, luaL_checkudata(L, 1, inner_name));
  return 0;
}

/* core.sim{...} -> cage: in a grate, which is at work for the prompt then. */
static int sim_in_grate(lua_State *L) {
  struct bind_state *state = inner_state(L);
  lua_insert(L, 1);
  return new_sim(L, state);
}

/* core.record(f, limit): as state:record */
static int record_in_grate(lua_State *L) {
  struct bind_state *state = inner_state(L);
  lua_insert(L, 1);
  return bind_record_in(L, state);
}

static void open_in_grate(lua_State *L) {
  lua_pushcfunction(L, sim_in_grate);
  lua_setfield(L, -2, "sim");
  lua_pushcfunction(L, record_in_grate);
  lua_setfield(L, -2, "record");
  luaL_newmetatable(L, inner_name);
  lua_pushcfunction(L, inner_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

/* A string becomes bytes of the cage's, with a NUL behind them. */
static uint64_t put_string(lua_State *L, struct lencase_cage *cage, int index) {
  size_t size;
  const char *s = luaL_checklstring(L, index, &size);
  uint64_t addr = sim_alloc(cage, size + 1);
  struct mem_seg seg = {addr, (void *)(uintptr_t)s, size + 1};
  if (addr == 0 || cage->ops->write(cage, &seg) != LENCASE_OK)
    luaL_error(L, "the cage has no room for %d bytes", (int)size);
  return addr;
}

/* cage:call(name | nr, ...) -> the kernel's result; strings are put into the cage */
static int sim_call_lua(lua_State *L) {
  struct lencase_cage *cage = alive(L);
  struct bind_state *state = self(L)->state;
  uint64_t words[LENCASE_MAXARGS] = {0};
  lua_State *before;
  int64_t result = 0;
  int i, status, nr;
  nr = lua_isinteger(L, 2) ? (int)lua_tointeger(L, 2) : sig_callnum(luaL_checkstring(L, 2));
  luaL_argcheck(L, nr >= 0, 2, "no such call");
  for (i = 0; i < LENCASE_MAXARGS && !lua_isnoneornil(L, i + 3); i++)
    words[i] = lua_type(L, i + 3) == LUA_TSTRING ? put_string(L, cage, i + 3)
                                                 : (uint64_t)luaL_checkinteger(L, i + 3);
  before = bind_enter(state, L);
  status = sim_call(cage, nr, words, &result, NULL);
  bind_leave(state, before);
  if (status != LENCASE_OK) {
    lua_pushnil(L);
    lua_pushstring(L, lencase_status_name(status));
    return 2;
  }
  lua_pushinteger(L, result);
  return 1;
}

/*
** cage:kernel(id, nr, a1, ..., a6) -> the kernel's result: for a bottom in Lua that forwards what
** cage 'id', this one or a fork of it, asked
*/
static int sim_kernel_lua(lua_State *L) {
  struct bind_state *state = self(L)->state;
  struct lencase_cage *cage;
  uint64_t words[LENCASE_MAXARGS];
  int i, nr = (int)luaL_checkinteger(L, 3);
  cage = state->st != NULL ? cage_by_id(state->st, (uint64_t)luaL_checkinteger(L, 2)) : NULL;
  if (cage == NULL || cage->gone) return luaL_error(L, "the cage is gone");
  for (i = 0; i < LENCASE_MAXARGS; i++) words[i] = (uint64_t)luaL_optinteger(L, i + 4, 0);
  lua_pushinteger(L, sim_kernel_bottom(cage, nr, words));
  return 1;
}

/* cage:alloc(n) -> address */
static int sim_alloc_lua(lua_State *L) {
  uint64_t addr = sim_alloc(alive(L), (size_t)luaL_checkinteger(L, 2));
  if (addr == 0) return luaL_error(L, "the cage has no room");
  lua_pushinteger(L, (lua_Integer)addr);
  return 1;
}

/* cage:put(string) -> address */
static int sim_put(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)put_string(L, alive(L), 2));
  return 1;
}

/* cage:read(addr, n) -> string, or nil when it cannot be read */
static int sim_read(lua_State *L) {
  struct lencase_cage *cage = alive(L);
  struct mem_seg seg = {.addr = (uint64_t)luaL_checkinteger(L, 2),
                        .size = (size_t)luaL_checkinteger(L, 3)};
  size_t done = 0;
  luaL_Buffer b;
  seg.data = luaL_buffinitsize(L, &b, seg.size);
  if (cage->ops->read(cage, &seg, 1, &done) != LENCASE_OK || done < seg.size) return 0;
  luaL_pushresultsize(&b, seg.size);
  return 1;
}

/* cage:write(addr, string) -> true, or nil when it cannot be written */
static int sim_write(lua_State *L) {
  struct lencase_cage *cage = alive(L);
  struct mem_seg seg = {.addr = (uint64_t)luaL_checkinteger(L, 2)};
  seg.data = (void *)(uintptr_t)luaL_checklstring(L, 3, &seg.size);
  if (cage->ops->write(cage, &seg) != LENCASE_OK) return 0;
  lua_pushboolean(L, 1);
  return 1;
}

/* cage:reset(): frees all that alloc, put and call gave */
static int sim_reset_lua(lua_State *L) {
  sim_reset(alive(L));
  return 0;
}

static void exit_cage(lua_State *L, struct lencase_cage *cage, int wstatus) {
  struct bind_state *state = self(L)->state;
  lua_State *before = bind_enter(state, L);
  sim_cage_exit(cage, wstatus);
  bind_leave(state, before);
}

/* cage:exit([wstatus]) */
static int sim_exit(lua_State *L) {
  exit_cage(L, alive(L), (int)luaL_optinteger(L, 2, 0));
  return 0;
}

/* Pushes a cage that descends from the one at index 1. */
static int push_child(lua_State *L, const struct lencase_cage *cage) {
  struct bind_state *state = self(L)->state;
  struct bind_sim *s;
  lua_getiuservalue(L, 1, 1);
  s = push_sim(L, state, lua_gettop(L));
  s->id = cage->id;
  lua_pushvalue(L, 1); /* the parent has the bottom */
  lua_setiuservalue(L, -2, 2);
  return 1;
}

/* cage:child(pid) -> the cage that a fork made */
static int sim_child(lua_State *L) {
  struct lencase_cage *cage = alive(L);
  cage = cage_by_id(cage->st, (uint64_t)luaL_checkinteger(L, 2));
  return cage != NULL ? push_child(L, cage) : 0;
}

/*
** cage:fork([pid [, shares_files]]) -> another cage, as its fork makes it; a bottom that stands in
** for fork calls this
*/
static int sim_fork(lua_State *L) {
  struct bind_state *state = self(L)->state;
  struct lencase_cage *cage = alive(L);
  struct sim_config c = {.pid = luaL_optinteger(L, 2, 0), .shares_files = lua_toboolean(L, 3)};
  lua_State *before = bind_enter(state, L);
  cage = sim_cage_new(state->st, &c, cage);
  bind_leave(state, before);
  if (cage == NULL) return luaL_error(L, "no memory for a cage");
  return push_child(L, cage);
}

/* cage:exec([comm]): it runs another program from now on, with an empty memory */
static int sim_exec(lua_State *L) {
  struct bind_state *state = self(L)->state;
  struct lencase_cage *cage = alive(L);
  const char *comm = luaL_optstring(L, 2, NULL);
  lua_State *before = bind_enter(state, L);
  sim_reset(cage);
  if (comm != NULL) sim_set_comm(cage, comm);
  call_cage_exec(cage);
  bind_leave(state, before);
  return 0;
}

/* cage:id(): as bottoms are told it */
static int sim_id(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)alive(L)->id);
  return 1;
}

/* cage:pid() */
static int sim_pid(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)alive(L)->pid);
  return 1;
}

static int sim_gc(lua_State *L) {
  struct bind_sim *s = self(L);
  struct lencase_cage *cage = s->state->st != NULL ? cage_by_id(s->state->st, s->id) : NULL;
  if (cage != NULL && !cage->gone) exit_cage(L, cage, 0);
  if (s->root) {
    luaL_unref(L, LUA_REGISTRYINDEX, s->bottom);
    luaL_unref(L, LUA_REGISTRYINDEX, s->paths);
  }
  s->root = false;
  return 0;
}

static const luaL_Reg methods[] = {{"call", sim_call_lua}, {"alloc", sim_alloc_lua},
                                   {"put", sim_put},       {"read", sim_read},
                                   {"write", sim_write},   {"reset", sim_reset_lua},
                                   {"exit", sim_exit},     {"child", sim_child},
                                   {"fork", sim_fork},     {"exec", sim_exec},
                                   {"pid", sim_pid},       {"kernel", sim_kernel_lua},
                                   {"id", sim_id},         {"__gc", sim_gc},
                                   {"__close", sim_gc},    {NULL, NULL}};

void bind_open_sim(lua_State *L) {
  if (grate_of(L) != NULL) open_in_grate(L);
  luaL_newmetatable(L, sim_name);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
