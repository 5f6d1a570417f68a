/*
** grate_time.c - how long Lua may run: a hook that looks at the clock
*/

#include <lauxlib.h>
#include <time.h>

#include "grate.h"

enum { HOOK_COUNT = 100000 }; /* VM instructions between two looks at the clock */

static int64_t processor_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void watch_time(lua_State *L, lua_Debug *ar);

/* Values of 'sigint': by a signal handler; one period of the hook later; the error was raised. */
enum { SIGINT_SEEN = 1, SIGINT_PENDING = 2, SIGINT_RAISED = 3 };

/* A handler that ends soon is left alone; later every instruction is an error. */
static void cut_short(struct lencase_grate *g, lua_State *L) {
  if (g->sigint == SIGINT_SEEN) {
    g->sigint = SIGINT_PENDING;
    return;
  }
  g->sigint = SIGINT_RAISED;
  lua_sethook(L, watch_time, LUA_MASKCOUNT, 1);
  luaL_error(L, "interrupted");
}

/*
** A handler that does not end: from the moment its time is over the hook comes
** with every instruction, so that a pcall around the loop does not save it.
*/
static void watch_time(lua_State *L, lua_Debug *ar) {
  struct lencase_grate *g = grate_of(L);
  int64_t now = processor_ns();
  if (g->sigint != 0) cut_short(g, L);
  if (g->ticks++ == 0) {
    g->started = now;
    return;
  }
  if (now - g->started < (int64_t)g->handler_ms * 1000000) return;
  lua_sethook(L, watch_time, LUA_MASKCOUNT, 1);
  lua_getinfo(L, "Sl", ar);
  luaL_error(L, "%s:%d: the handler did not end within %d ms of processor time", ar->short_src,
             ar->currentline, (int)g->handler_ms);
}

void grate_time(struct lencase_grate *g, lua_State *L) {
  g->ticks = 0;
  if (g->sigint != SIGINT_SEEN) g->sigint = 0;
  if (lua_gethookcount(L) != HOOK_COUNT) lua_sethook(L, watch_time, LUA_MASKCOUNT, HOOK_COUNT);
}

int grate_call_untimed(lua_State *L, int nresults) {
  int status;
  lua_sethook(L, NULL, 0, 0);
  status = lua_pcall(L, 0, nresults, 0);
  lua_sethook(L, watch_time, LUA_MASKCOUNT, HOOK_COUNT);
  return status;
}
