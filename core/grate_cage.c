/*
** grate_cage.c - cages as userdata: pid, comm, descriptors, memory
*/

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "grate.h"

static const char cage_name[] = "lencase.cage";
static const char cages_key = 0; /* registry: cage id -> its userdata */

struct cage_ud {
  uint64_t id;
  int64_t pid;
  uint64_t parent;
  int ncomm;
  char comm[32]; /* as it was read last: what is left of a cage that is gone */
};

void cage_push(lua_State *L, struct lencase_cage *cage) {
  struct cage_ud *ud;
  stack_mark(L, top);
  assert(cage->id != 0);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &cages_key);
  if (lua_rawgeti(L, -1, (lua_Integer)cage->id) == LUA_TNIL) {
    lua_pop(L, 1);
    ud = lua_newuserdatauv(L, sizeof *ud, 0);
    *ud = (struct cage_ud){.id = cage->id, .pid = cage->pid, .parent = cage->parent};
    luaL_setmetatable(L, cage_name);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, (lua_Integer)cage->id);
  }
  lua_remove(L, -2);
  stack_check(L, top, 1);
}

void cage_forget(lua_State *L, struct lencase_cage *cage) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &cages_key);
  lua_pushnil(L);
  lua_rawseti(L, -2, (lua_Integer)cage->id);
  lua_pop(L, 1);
}

static struct cage_ud *self(lua_State *L) {
  return luaL_checkudata(L, 1, cage_name);
}

/* The cage itself; raises an error once it is gone. */
static struct lencase_cage *alive(lua_State *L) {
  struct cage_ud *ud = self(L);
  struct lencase_cage *cage = cage_by_id(grate_of(L)->st, ud->id);
  if (cage == NULL || cage->gone) luaL_error(L, "cage %d is gone", (int)ud->pid);
  return cage;
}

static int failed(lua_State *L, int err) {
  lua_pushnil(L);
  lua_pushinteger(L, err);
  return 2;
}

static int link_push(lua_State *L, struct lencase_cage *cage, int fd) {
  char buf[PATH_MAX];
  int n = cage->ops->fd_path(cage, fd, buf, sizeof buf);
  if (n < 0) return failed(L, -n);
  lua_pushlstring(L, buf, (size_t)n);
  return 1;
}

/* cage:fd_path(fd) -> what the descriptor refers to, or nil, errno */
static int cage_fd_path(lua_State *L) {
  struct lencase_cage *cage = alive(L);
  return link_push(L, cage, (int)luaL_checkinteger(L, 2));
}

/* cage:fd_open(fd) -> whether the descriptor is open */
static int cage_fd_open(lua_State *L) {
  struct lencase_cage *cage = alive(L);
  lua_pushboolean(L, cage->ops->fd_open(cage, (int)luaL_checkinteger(L, 2)));
  return 1;
}

/* cage:read(addr, n) -> string, or nil, errno */
static int cage_read(lua_State *L) {
  struct lencase_cage *cage = alive(L);
  struct mem_seg seg = {.addr = (uint64_t)luaL_checkinteger(L, 2)};
  lua_Integer n = luaL_checkinteger(L, 3);
  luaL_Buffer b;
  size_t done = 0;
  if (n < 0 || (lua_Unsigned)n > cage->st->config.max_call_bytes) return failed(L, ENOMEM);
  seg.size = (size_t)n;
  seg.data = luaL_buffinitsize(L, &b, seg.size);
  if (cage->ops->read(cage, &seg, 1, &done) != LENCASE_OK || done < seg.size)
    return failed(L, EFAULT);
  luaL_pushresultsize(&b, seg.size);
  return 1;
}

enum { PAGE = 4096 };

/* cage:string(addr) -> the string that ends with a NUL, or nil, errno */
static int cage_string(lua_State *L) {
  struct lencase_cage *cage = alive(L);
  uint64_t addr = (uint64_t)luaL_checkinteger(L, 2);
  size_t total = 0;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  while (total < cage->st->config.max_string) {
    struct mem_seg seg = {addr, luaL_prepbuffsize(&b, PAGE), PAGE - addr % PAGE};
    const char *nul;
    size_t done = 0;
    if (cage->ops->read(cage, &seg, 1, &done) != LENCASE_OK || done < seg.size)
      return failed(L, EFAULT);
    nul = memchr(seg.data, 0, done);
    luaL_addsize(&b, nul != NULL ? (size_t)(nul - (char *)seg.data) : done);
    if (nul != NULL) {
      luaL_pushresult(&b);
      return 1;
    }
    total += done;
    addr += done;
  }
  return failed(L, ENAMETOOLONG);
}

static int comm_push(lua_State *L) {
  struct cage_ud *ud = self(L);
  struct lencase_cage *cage = cage_by_id(grate_of(L)->st, ud->id);
  char buf[sizeof ud->comm];
  int n = cage != NULL && !cage->gone ? cage->ops->comm(cage, buf, sizeof buf) : -ESRCH;
  if (n >= 0) {
    ud->ncomm = n < (int)sizeof buf ? n : (int)sizeof buf;
    memcpy(ud->comm, buf, (size_t)ud->ncomm);
  }
  if (n < 0 && ud->ncomm == 0) return failed(L, -n);
  lua_pushlstring(L, ud->comm, (size_t)ud->ncomm);
  return 1;
}

/* upvalue 1: the methods */
static int cage_index(lua_State *L) {
  const struct cage_ud *ud = self(L);
  const char *name = luaL_checkstring(L, 2);
  if (strcmp(name, "comm") == 0) return comm_push(L);
  if (strcmp(name, "cwd") == 0) return link_push(L, alive(L), AT_FDCWD);
  if (strcmp(name, "pid") == 0)
    lua_pushinteger(L, ud->pid);
  else if (strcmp(name, "id") == 0)
    lua_pushinteger(L, (lua_Integer)ud->id);
  else if (strcmp(name, "parent") == 0)
    lua_pushinteger(L, (lua_Integer)ud->parent);
  else if (strcmp(name, "gone") == 0)
    lua_pushboolean(L, cage_by_id(grate_of(L)->st, ud->id) == NULL);
  else
    lua_getfield(L, lua_upvalueindex(1), name);
  return 1;
}

static int cage_tostring(lua_State *L) {
  lua_pushfstring(L, "cage %d", (int)self(L)->pid);
  return 1;
}

uint64_t cage_id_at(lua_State *L, int index) {
  const struct cage_ud *ud = luaL_testudata(L, index, cage_name);
  if (ud != NULL) return ud->id;
  return (uint64_t)luaL_checkinteger(L, index);
}

/* {================================ pointers =============================== */

static const char pointer_name[] = "lencase.pointer";

struct pointer {
  uint64_t cage, addr;
};

int cage_at(lua_State *L) {
  struct pointer p = {cage_id_at(L, 1), (uint64_t)luaL_checkinteger(L, 2)};
  *(struct pointer *)lua_newuserdatauv(L, sizeof p, 0) = p;
  luaL_setmetatable(L, pointer_name);
  return 1;
}

/* pointer.cage, pointer.addr */
static int pointer_index(lua_State *L) {
  const struct pointer *p = luaL_checkudata(L, 1, pointer_name);
  const char *name = luaL_checkstring(L, 2);
  if (strcmp(name, "cage") != 0 && strcmp(name, "addr") != 0) return 0;
  lua_pushinteger(L, (lua_Integer)(name[0] == 'c' ? p->cage : p->addr));
  return 1;
}

bool cage_pointer(lua_State *L, int index, struct lencase_cage **cage, uint64_t *addr) {
  const struct pointer *p =
      lua_isuserdata(L, index) ? luaL_testudata(L, index, pointer_name) : NULL;
  if (p == NULL) return false;
  *cage = cage_by_id(grate_of(L)->st, p->cage);
  *addr = p->addr;
  if (*cage == NULL || (*cage)->gone) luaL_error(L, "the cage of the pointer is gone");
  return true;
}

/* }========================================================================= */

/* cage:kill(): ends it as by SIGKILL */
static int cage_kill(lua_State *L) {
  struct lencase_cage *cage = alive(L);
  cage->ops->kill(cage);
  return 0;
}

static const luaL_Reg methods[] = {{"fd_path", cage_fd_path}, {"kill", cage_kill},
                                   {"fd_open", cage_fd_open}, {"read", cage_read},
                                   {"string", cage_string},   {NULL, NULL}};

void cage_open(lua_State *L) {
  luaL_newmetatable(L, pointer_name);
  lua_pushcfunction(L, pointer_index);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newmetatable(L, cage_name);
  luaL_newlib(L, methods);
  lua_pushcclosure(L, cage_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, cage_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &cages_key);
}
