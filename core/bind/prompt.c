/*
** prompt.c - what a prompt needs of the system: terminals, time and Ctrl-C
*/

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "prompt.h"

/*
** A signal handler gets no pointer of ours: here it finds what Ctrl-C is to interrupt. Only a
** prompt sets it, and only while it reads a line or runs one.
*/
static lua_State *volatile running;
static volatile int sigint_seen;
static volatile int *volatile in_grate; /* the same of the prompt's grate, for its handlers */

static void stop(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  luaL_error(L, "interrupted");
}

/* As lua(1) does it: a hook may be set from a signal handler. */
static void on_interrupt(int sig) {
  (void)sig;
  sigint_seen = 1;
  if (in_grate != NULL) *in_grate = 1;
  if (running != NULL)
    lua_sethook(running, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* Without SA_RESTART: a call that waits for the kernel gets EINTR. */
static void catch_interrupts(struct sigaction *before) {
  struct sigaction action = {.sa_handler = on_interrupt};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, before);
}

/* core.interruptible(f, handler) -> as xpcall, without a time limit; SIGINT raises an error */
static int interruptible(lua_State *L) {
  struct sigaction before;
  lua_State *outer = running;
  struct lencase_grate *g = grate_of(L);
  int status;
  lua_settop(L, 2);
  lua_insert(L, 1); /* the message handler, f */
  lua_sethook(L, NULL, 0, 0);
  in_grate = g != NULL ? &g->sigint : NULL;
  catch_interrupts(&before);
  running = L;
  status = lua_pcall(L, 0, LUA_MULTRET, 1);
  running = outer;
  sigaction(SIGINT, &before, NULL);
  lua_sethook(L, NULL, 0, 0);
  sigint_seen = 0;
  if (g != NULL) g->sigint = 0;
  lua_pushboolean(L, status == LUA_OK);
  lua_replace(L, 1);
  return lua_gettop(L);
}

lua_State *bind_wait_begin(void) {
  lua_State *L = running;
  running = NULL;
  return L;
}

/* A Ctrl-C that ended the wait does not interrupt what follows. */
void bind_wait_end(lua_State *L) {
  running = L;
  sigint_seen = 0;
  if (in_grate != NULL) *in_grate = 0;
}

const volatile int *bind_sigint(void) {
  return &sigint_seen;
}

/* core.isatty(fd) */
static int is_terminal(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* core.clock() -> seconds since some time */
static int clock_now(lua_State *L) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  lua_pushnumber(L, (lua_Number)ts.tv_sec + (lua_Number)ts.tv_nsec / 1e9);
  return 1;
}

static const luaL_Reg functions[] = {
    {"interruptible", interruptible}, {"isatty", is_terminal}, {"clock", clock_now}, {NULL, NULL}};

void bind_open_prompt(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
