/*
** main.c - the command lencase: runs the script of that name (scripts/lencase)
**
** As lua5.4 does, with two differences: what becomes of signals stays as it was given to us, since
** it is the program's that we start (lua5.4 takes SIGINT for itself before a script can look); and
** the environment of Lua's own command (LUA_INIT) is not run.
*/

#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { FAILED = 125 };

struct command {
  int argc;
  char **argv;
  char script[PATH_MAX]; /* the file */
  char name[PATH_MAX]; /* arg[0]: the script finds everything else by the folder that this is in */
};

/* Where the script is, from the folder of this program: installed; and in a checkout. */
static const char installed[] = "/../share/lencase/lencase.lua";
static const char checkout[] = "/../../scripts/lencase"; /* from build/bin */

static bool is_there(const char *folder, const char *place, char path[PATH_MAX]) {
  char joined[2 * PATH_MAX];
  snprintf(joined, sizeof joined, "%s%s", folder, place);
  return realpath(joined, path) != NULL;
}

static bool find_script(struct command *c) {
  char folder[PATH_MAX];
  if (realpath((const char *)getauxval(AT_EXECFN), c->name) == NULL) return false;
  strcpy(folder, c->name);
  *strrchr(folder, '/') = '\0';
  return is_there(folder, installed, c->script) ||
         (is_there(folder, checkout, c->script) && is_there(folder, checkout, c->name));
}

static int traceback(lua_State *L) {
  const char *message = luaL_tolstring(L, 1, NULL);
  luaL_traceback(L, L, message, 1);
  return 1;
}

/* Runs protected: the script, with arg as lua5.4 makes it. */
static int run(lua_State *L) {
  struct command *c = lua_touserdata(L, 1);
  int i;
  luaL_openlibs(L);
  lua_createtable(L, c->argc, 1);
  lua_pushstring(L, c->name);
  lua_rawseti(L, -2, 0);
  for (i = 1; i < c->argc; i++) {
    lua_pushstring(L, c->argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_setglobal(L, "arg");
  if (luaL_loadfile(L, c->script) != LUA_OK) return lua_error(L);
  lua_call(L, 0, 0);
  return 0;
}

static int fail(const char *message) {
  fprintf(stderr, "lencase: %s\n", message);
  return FAILED;
}

/*
** A standard descriptor that is closed is kept from becoming one of our files: what is written to
** it would be in there. For the program it is closed as before.
*/
static void keep_standard(void) {
  int fd;
  for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/", O_PATH | O_CLOEXEC) < 0) return;
}

int main(int argc, char **argv) {
  struct command c = {.argc = argc, .argv = argv};
  lua_State *L;
  int status = 0;
  keep_standard();
  if (!find_script(&c)) return fail("its script is not there: build or install lencase again");
  L = luaL_newstate();
  if (L == NULL) return fail("no memory");
  lua_pushcfunction(L, traceback);
  lua_pushcfunction(L, run);
  lua_pushlightuserdata(L, &c);
  if (lua_pcall(L, 1, 0, 1) != LUA_OK) status = fail(lua_tostring(L, -1));
  lua_close(L);
  return status;
}
