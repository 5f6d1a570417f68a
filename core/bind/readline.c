/*
** readline.c - reading lines, by GNU readline where the system has it
**
** The library is opened when a prompt asks for it, so that nothing else needs it: neither the build
** nor a grate. It keeps one line, one history and one completion for the whole process.
*/

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bind.h"

typedef char *generator(const char *text, int state);
typedef char **completer(const char *text, int start, int end);

/* What is used of the library, by its names. */
static struct {
  void (*rl_callback_handler_install)(const char *prompt, void (*handler)(char *));
  void (*rl_callback_read_char)(void);
  void (*rl_callback_sigcleanup)(void);
  void (*rl_callback_handler_remove)(void);
  char **(*rl_completion_matches)(const char *text, generator *next);
  void (*add_history)(const char *line);
  int (*read_history)(const char *path);
  int (*write_history)(const char *path);
  void (*stifle_history)(int max);
  completer **rl_attempted_completion_function;
  const char **rl_basic_quote_characters;
  char **rl_line_buffer;
  int *rl_attempted_completion_over;
  int *rl_completion_append_character;
  int *rl_catch_signals;
} lib;

/* The line that is being read, and the Lua state that reads it. */
static struct {
  lua_State *L;
  int complete; /* reference of f(line, from, to) -> { word, ... } or nil: file names */
  char *line;
  bool over;
} reader = {.complete = LUA_NOREF};

static volatile sig_atomic_t sigint_seen;

#define SYMBOL(name) \
  { #name, (void **)(void *)&lib.name }

static bool open_library(void) {
  static const struct {
    const char *name;
    void **to;
  } symbols[] = {SYMBOL(rl_callback_handler_install),
                 SYMBOL(rl_callback_read_char),
                 SYMBOL(rl_callback_sigcleanup),
                 SYMBOL(rl_callback_handler_remove),
                 SYMBOL(rl_completion_matches),
                 SYMBOL(add_history),
                 SYMBOL(read_history),
                 SYMBOL(write_history),
                 SYMBOL(stifle_history),
                 SYMBOL(rl_attempted_completion_function),
                 SYMBOL(rl_basic_quote_characters),
                 SYMBOL(rl_line_buffer),
                 SYMBOL(rl_attempted_completion_over),
                 SYMBOL(rl_completion_append_character),
                 SYMBOL(rl_catch_signals)};
  void *handle = dlopen("libreadline.so.8", RTLD_NOW | RTLD_LOCAL);
  size_t i;
  if (handle == NULL) return false;
  for (i = 0; i < sizeof symbols / sizeof *symbols; i++) {
    *symbols[i].to = dlsym(handle, symbols[i].name);
    if (*symbols[i].to == NULL) return false;
  }
  return true;
}

/* {=============================== completion ============================== */

/* The words that Lua has found lie in a table on the top of the stack while this is asked. */
static char *next_word(const char *text, int state) {
  static lua_Integer next;
  lua_State *L = reader.L;
  char *word;
  (void)text;
  if (state == 0) next = 1;
  lua_rawgeti(L, -1, next++);
  word = lua_type(L, -1) == LUA_TSTRING ? strdup(lua_tostring(L, -1)) : NULL;
  lua_pop(L, 1);
  return word;
}

/* Runs protected: complete(line, from, to) */
static int ask_words(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, reader.complete);
  lua_insert(L, 1);
  lua_call(L, 3, 1);
  return 1;
}

static char **complete(const char *text, int start, int end) {
  lua_State *L = reader.L;
  char **words = NULL;
  *lib.rl_completion_append_character = 0;
  if (!lua_checkstack(L, LUA_MINSTACK)) return NULL;
  lua_pushcfunction(L, ask_words);
  lua_pushstring(L, *lib.rl_line_buffer);
  lua_pushinteger(L, start + 1);
  lua_pushinteger(L, end);
  if (lua_pcall(L, 3, 1, 0) == LUA_OK && lua_istable(L, -1)) {
    *lib.rl_attempted_completion_over = 1; /* no file names when there are no words */
    words = lib.rl_completion_matches(text, next_word);
  }
  lua_pop(L, 1);
  return words;
}

/* }========================================================================= */

/* core.readline(complete) -> true, or false when there is no such library here */
static int readline_open(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  if (lib.rl_catch_signals == NULL && !open_library()) {
    lua_pushboolean(L, 0);
    return 1;
  }
  reader.complete = luaL_ref(L, LUA_REGISTRYINDEX);
  *lib.rl_attempted_completion_function = complete;
  *lib.rl_basic_quote_characters = ""; /* a flag that is completed does not end the string */
  *lib.rl_catch_signals = 0;           /* Ctrl-C is for the reader of the line */
  lua_pushboolean(L, 1);
  return 1;
}

/* The library calls it with a line that is complete; NULL: the input has ended. */
static void take_line(char *line) {
  lib.rl_callback_handler_remove();
  reader.line = line;
  reader.over = true;
}

static void on_interrupt(int sig) {
  (void)sig;
  sigint_seen = 1;
}

static void read_until_over(const char *prompt) {
  struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
  lib.rl_callback_handler_install(prompt, take_line);
  while (!reader.over && !sigint_seen)
    if (poll(&in, 1, -1) > 0) lib.rl_callback_read_char();
  if (reader.over) return;
  lib.rl_callback_sigcleanup();
  lib.rl_callback_handler_remove();
}

/* core.readline_read(prompt) -> line; or nil, "end" or "interrupted" */
static int readline_read(lua_State *L) {
  struct sigaction action = {.sa_handler = on_interrupt}, before;
  const char *prompt = luaL_checkstring(L, 1);
  sigemptyset(&action.sa_mask);
  reader.L = L;
  reader.line = NULL;
  reader.over = false;
  sigint_seen = 0;
  sigaction(SIGINT, &action, &before);
  read_until_over(prompt);
  sigaction(SIGINT, &before, NULL);
  lua_pushstring(L, reader.line); /* NULL: nil */
  free(reader.line);
  if (!lua_isnil(L, -1)) return 1;
  lua_pushstring(L, reader.over ? "end" : "interrupted");
  return 2;
}

/* core.history_add(line) */
static int history_add(lua_State *L) {
  lib.add_history(luaL_checkstring(L, 1));
  return 0;
}

/* core.history_read(path, max): at most so many lines are kept */
static int history_read(lua_State *L) {
  lib.stifle_history((int)luaL_checkinteger(L, 2));
  lib.read_history(luaL_checkstring(L, 1));
  return 0;
}

/* core.history_write(path) */
static int history_write(lua_State *L) {
  lib.write_history(luaL_checkstring(L, 1));
  return 0;
}

static const luaL_Reg functions[] = {
    {"readline", readline_open},    {"readline_read", readline_read}, {"history_add", history_add},
    {"history_read", history_read}, {"history_write", history_write}, {NULL, NULL}};

void bind_open_readline(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
