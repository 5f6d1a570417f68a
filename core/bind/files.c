/*
** files.c - files that the programs which are run do not get
*/

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bind.h"

static int close_file(lua_State *L) {
  luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  return luaL_fileresult(L, fclose(s->f) == 0, NULL);
}

/* A file of Lua's that is not open yet. */
static luaL_Stream *push_file(lua_State *L) {
  luaL_Stream *s = lua_newuserdatauv(L, sizeof *s, 0);
  s->closef = NULL;
  luaL_setmetatable(L, LUA_FILEHANDLE);
  return s;
}

static int opened(lua_State *L, luaL_Stream *s, const char *name) {
  if (s->f == NULL) return luaL_fileresult(L, 0, name);
  s->closef = close_file;
  return 1;
}

/*
** core.create(path) -> file, or nil, message, errno: empty, for writing; a new one is its owner's
** alone, as what is recorded may be
*/
static int create(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  luaL_Stream *s = push_file(L);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
  s->f = fd >= 0 ? fdopen(fd, "w") : NULL;
  return opened(L, s, path);
}

/*
** core.stdout_aside() -> file, or nil, message, errno: the standard output that there was; who writes to
** standard output after that writes to standard error
*/
static int stdout_aside(lua_State *L) {
  luaL_Stream *s = push_file(L);
  int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  fflush(stdout);
  s->f = fd >= 0 ? fdopen(fd, "w") : NULL;
  if (s->f != NULL) dup2(STDERR_FILENO, STDOUT_FILENO);
  return opened(L, s, "standard output");
}

/* core.cwd() -> the working directory, or nil, message, errno */
static int cwd(lua_State *L) {
  char *path = getcwd(NULL, 0);
  if (path == NULL) return luaL_fileresult(L, 0, "the working directory");
  lua_pushstring(L, path);
  free(path);
  return 1;
}

static const luaL_Reg functions[] = {
    {"create", create}, {"cwd", cwd}, {"stdout_aside", stdout_aside}, {NULL, NULL}};

void bind_open_files(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
