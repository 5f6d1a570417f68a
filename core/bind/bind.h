/*
** bind.h - the Lua module: userdata over the core, no decisions
*/

#ifndef BIND_H
#define BIND_H

#include <lauxlib.h>
#include <lua.h>

#include "../grate.h"

/* The recorder of the calls of a state's cages, see record.c. */
struct bind_record {
  struct call_recorder recorder;
  struct cage_watcher watcher;
  struct bind_state *state;
  struct arena arena; /* of what is looked at for one event */
  size_t limit;       /* bytes of one argument */
  uint64_t session;   /* tells calls that an earlier recording saw */
  uint64_t last;      /* how many calls were seen */
  int fn;             /* reference of the function that gets events, or LUA_NOREF */
};

/* A state that a Lua program holds. */
struct bind_state {
  struct lencase_state *st;
  lua_State *L; /* the Lua state that is inside a function of the core; NULL: none */
  int log;      /* reference of the log function, or LUA_NOREF */
  struct grate_watch watch;
  int watcher; /* reference of the function that observes handlers, or LUA_NOREF */
  struct bind_record record;
};

struct bind_state *bind_state_at(lua_State *L, int index);

/*
** Around functions of the core that log, or ask a bottom: these call Lua, and there must not
** be any longjmp over the core. bind_enter returns the Lua state that was inside before,
** for bind_leave.
*/
lua_State *bind_enter(struct bind_state *b, lua_State *L);
void bind_leave(struct bind_state *b, lua_State *before);

/* Adds the functions that make states and simulated cages to the module on the top. */
void bind_open_state(lua_State *L);
void bind_open_sim(lua_State *L);
void bind_open_signature(lua_State *L);
void bind_open_interface(lua_State *L);
void bind_open_files(lua_State *L);
void bind_open_prompt(lua_State *L);
void bind_open_readline(lua_State *L);
void bind_open_live(lua_State *L);
void bind_open_probe(lua_State *L);

/* state:sim{...}, a method of states (bind_sim.c). */
int bind_sim_new(lua_State *L);

/* state:watch(f), a method of states (watch.c). */
int bind_watch(lua_State *L);

/* Runs f(ud) protected, in the Lua state that is inside, during a call. An error is dropped. */
void bind_tell(struct bind_state *b, lua_CFunction f, void *ud);

/* Pushes the name of a call, as its plan (may be NULL) or its number has it. */
void bind_push_callname(lua_State *L, int32_t nr, const struct plan *plan);

/* state:record(f, limit), a method of states (record.c); and its end. */
int bind_record(lua_State *L);
void bind_record_close(lua_State *L, struct bind_state *b);

/* The same for the state at index 1 that a grate belongs to: core.record. */
int bind_record_in(lua_State *L, struct bind_state *b);

/* What core.describe calls the kind of a parameter. */
const char *bind_kind_name(uint8_t kind);

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
