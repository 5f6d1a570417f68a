/*
** bind.h - the Lua module: userdata over the core, no decisions
*/

#ifndef BIND_H
#define BIND_H

#include <lauxlib.h>
#include <lua.h>

#include "../grate.h"

/* A state that a Lua program holds. */
struct bind_state {
  struct lencase_state *st;
  lua_State *L; /* whoever is inside a function of the core; NULL: nobody */
  int log;      /* reference of the log function, or LUA_NOREF */
  struct grate_watch watch;
  int watcher; /* reference of the function that is told of what handlers do, or LUA_NOREF */
};

struct bind_state *bind_state_at(lua_State *L, int index);

/*
** Around functions of the core that log, or ask a bottom: these call Lua, and there must not
** be any longjmp over the core. bind_enter returns who was inside before, for bind_leave.
*/
lua_State *bind_enter(struct bind_state *b, lua_State *L);
void bind_leave(struct bind_state *b, lua_State *before);

/* Adds the functions that make states and simulated cages to the module on the top. */
void bind_open_state(lua_State *L);
void bind_open_sim(lua_State *L);
void bind_open_signature(lua_State *L);
void bind_open_interface(lua_State *L);
void bind_open_prompt(lua_State *L);
void bind_open_readline(lua_State *L);
void bind_open_live(lua_State *L);

/* state:sim{...}, a method of states (bind_sim.c). */
int bind_sim_new(lua_State *L);

/* state:watch(f), a method of states (watch.c). */
int bind_watch(lua_State *L);

/* Pushes what core.describe says of a parameter; 'layout': with what lies in memory, too. */
void bind_push_param(lua_State *L, const struct sig_param *p, bool layout);

/*
** The signature of a callnum, in a grate also one that a grate below declares by a prototype;
** NULL: none.
*/
const struct signature *bind_signature_of(lua_State *L, int32_t nr);

/* The signature at 'index': a userdata made by core.signature, or a callnum; NULL: none. */
const struct signature *bind_signature_at(lua_State *L, int index);

/* The Lua module lencase.core. */
int luaopen_lencase_core(lua_State *L);

#endif
