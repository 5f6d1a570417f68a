/*
** files.c - files and streams that lencase writes; the programs that it runs do not inherit them
*/

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
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

/* {================================= outputs =============================== */

/* A file or stream that lencase writes. */
struct output {
  int fd;
  bool ours; /* to close */
};

static const char output_name[] = "lencase.core.output";

static struct output *output_at(lua_State *L, int index) {
  struct output *o = luaL_checkudata(L, index, output_name);
  if (o->fd < 0) luaL_error(L, "the output is closed");
  return o;
}

/* Standard error may be shared with a program that has made it non-blocking: then we wait. */
static int write_some(int fd, const char **at, size_t *left) {
  struct pollfd room = {.fd = fd, .events = POLLOUT};
  ssize_t n = write(fd, *at, *left);
  if (n < 0 && errno == EAGAIN) return poll(&room, 1, -1) >= 0 || errno == EINTR ? 0 : errno;
  if (n < 0) return errno == EINTR ? 0 : errno;
  *at += n;
  *left -= (size_t)n;
  return 0;
}

/*
** 0 or an errno. What a write that fails may bring (a reader is gone, a limit is reached) ends
** neither us nor, with us, the program.
*/
static int write_all(int fd, const char *at, size_t left) {
  static const int brought[] = {SIGPIPE, SIGXFSZ};
  const struct timespec now = {0, 0};
  sigset_t set, before, pending;
  int err = 0;
  size_t i;
  sigpending(&pending);
  sigemptyset(&set);
  for (i = 0; i < sizeof brought / sizeof *brought; i++)
    if (!sigismember(&pending, brought[i])) sigaddset(&set, brought[i]);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  while (left > 0 && err == 0) err = write_some(fd, &at, &left);
  if (err == EPIPE || err == EFBIG) sigtimedwait(&set, NULL, &now);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return err;
}

static int outcome(lua_State *L, int err) {
  errno = err;
  return luaL_fileresult(L, err == 0, NULL);
}

/* output:put(bytes) -> true, or nil, message, errno */
static int output_put(lua_State *L) {
  const struct output *o = output_at(L, 1);
  size_t size;
  const char *bytes = luaL_checklstring(L, 2, &size);
  return outcome(L, write_all(o->fd, bytes, size));
}

/* output:clear(): what was in the file before is gone, if it is one that keeps what is written */
static int output_clear(lua_State *L) {
  const struct output *o = output_at(L, 1);
  int rc = ftruncate(o->fd, 0);
  return outcome(L, rc == 0 || errno == EINVAL ? 0 : errno);
}

/* output:close() -> true, or nil, message, errno: some file systems fail only now */
static int output_close(lua_State *L) {
  struct output *o = luaL_checkudata(L, 1, output_name);
  int rc = o->fd >= 0 && o->ours ? close(o->fd) : 0;
  o->fd = -1;
  return outcome(L, rc == 0 ? 0 : errno);
}

/* core.remove(path): removes a file; what is no file, a device or the like, stays */
static int remove_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct stat st;
  int rc = lstat(path, &st);
  if (rc == 0 && S_ISREG(st.st_mode)) rc = unlink(path);
  return luaL_fileresult(L, rc == 0, path);
}

/* Opens a file at a descriptor above the standard ones, even if some of those are closed. */
static int open_above(const char *path, mode_t mode) {
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, mode);
  int above = fd >= 0 && fd <= STDERR_FILENO ? fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : fd;
  if (above != fd) close(fd);
  return above;
}

/*
** core.output([path [, private]]) -> output, or nil, message, errno: a file that is written to at
** its end, a new one its owner's alone if it is 'private'; without a path, standard error
*/
static int output(lua_State *L) {
  const char *path = luaL_optstring(L, 1, NULL);
  mode_t others = lua_toboolean(L, 2) ? 0 : S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH;
  struct output *o = lua_newuserdatauv(L, sizeof *o, 0);
  *o = (struct output){-1, path != NULL};
  luaL_setmetatable(L, output_name);
  o->fd = path != NULL ? open_above(path, S_IRUSR | S_IWUSR | others) : fileno(stderr);
  if (o->fd < 0) return luaL_fileresult(L, 0, path);
  return 1;
}

/* core.sends() -> whether outputs are written by the process that started this one inline */
static int sends(lua_State *L) {
  lua_pushboolean(L, grate_of(L)->st->outlet != NULL);
  return 1;
}

/* core.send(number, bytes) -> true, or nil, message, errno: there, for the output of that number */
static int send_bytes(lua_State *L) {
  const struct lencase_grate *g = grate_of(L);
  struct outlet to = {.grate = grate_number(g), .number = (uint32_t)luaL_checkinteger(L, 1)};
  to.data = luaL_checklstring(L, 2, &to.size);
  return outcome(L, g->st->outlet(g->st->outlet_ud, &to));
}

/* core.unwritten(message): logs that an output of this grate's could not be written */
static int unwritten(lua_State *L) {
  struct lencase_state *st = grate_of(L)->st;
  st->unwritten = true;
  state_log(st, "%s", luaL_checkstring(L, 1));
  return 0;
}

static const luaL_Reg output_methods[] = {{"put", output_put},       {"clear", output_clear},
                                          {"close", output_close},   {"__gc", output_close},
                                          {"__close", output_close}, {NULL, NULL}};

static const luaL_Reg grate_functions[] = {
    {"sends", sends}, {"send", send_bytes}, {"unwritten", unwritten}, {NULL, NULL}};

/* }========================================================================= */

/* core.flush() -> true, or nil and a message: whether all standard output was written */
static int flush_stdout(lua_State *L) {
  if (fflush(stdout) != 0) return luaL_fileresult(L, 0, NULL);
  if (!ferror(stdout)) return luaL_fileresult(L, 1, NULL);
  lua_pushnil(L);
  lua_pushliteral(L, "not all could be written");
  return 2;
}

/*
** core.stdout_aside() -> file, or nil, message, errno: the standard output that there was; who
** writes to standard output after that writes to standard error
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
    {"output", output}, {"remove", remove_file},        {"flush", flush_stdout},
    {"cwd", cwd},       {"stdout_aside", stdout_aside}, {NULL, NULL}};

void bind_open_files(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  if (grate_of(L) != NULL) luaL_setfuncs(L, grate_functions, 0);
  luaL_newmetatable(L, output_name);
  luaL_setfuncs(L, output_methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
