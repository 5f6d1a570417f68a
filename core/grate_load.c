/*
** grate_load.c - where a grate's script comes from: a file, memory, what was compiled
*/

#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "grate.h"

/* {================================ bytecode =============================== */

/* What all bytecode of a Lua begins with: signature, version, format and number formats. */
enum {
  HEADER_VERSION = 4,
  HEADER_NUMBERS = HEADER_VERSION + 2,
  HEADER_SIZE = HEADER_NUMBERS + 6 + 3 + sizeof(lua_Integer) + sizeof(lua_Number)
};

struct header {
  size_t size;
  char bytes[HEADER_SIZE];
};

static int keep_header(lua_State *L, const void *p, size_t size, void *ud) {
  struct header *h = ud;
  size_t n = HEADER_SIZE - h->size;
  (void)L;
  if (n > size) n = size;
  memcpy(h->bytes + h->size, p, n);
  h->size += n;
  return 0;
}

static bool is_bytecode(const char *data, size_t size) {
  return size > 0 && data[0] == LUA_SIGNATURE[0];
}

/* Raises an error that says why the bytecode is not for this Lua. */
static void check_header(lua_State *L, const char *name, const char *data, size_t size) {
  struct header own = {0};
  char lua[GRATE_LUA_NAME];
  if (luaL_loadstring(L, "") != LUA_OK) lua_error(L);
  lua_dump(L, keep_header, &own, 1);
  lua_pop(L, 1);
  if (size >= HEADER_SIZE && memcmp(data, own.bytes, HEADER_SIZE) == 0) return;
  if (size < HEADER_SIZE || memcmp(data, LUA_SIGNATURE, HEADER_VERSION) != 0)
    luaL_error(L, "%s: it is not bytecode, or is truncated: compile it again", name);
  if (memcmp(data, own.bytes, HEADER_NUMBERS) != 0)
    luaL_error(L, "%s: it is bytecode for Lua %d.%d, format %d; this is %s: compile it again", name,
               data[HEADER_VERSION] >> 4, data[HEADER_VERSION] & 15, data[HEADER_VERSION + 1],
               grate_lua_name(lua));
  luaL_error(L, "%s: it is bytecode of a Lua with other number formats: compile it again", name);
}

/* lua_ident is "$LuaVersion: Lua 5.4.4  Copyright (C) ...". */
const char *grate_lua_name(char buf[GRATE_LUA_NAME]) {
  const char *start = strstr(lua_ident, ": ");
  size_t n;
  start = start != NULL ? start + 2 : lua_ident;
  n = strcspn(start, " ");
  n += strspn(start + n, " ");
  n += strcspn(start + n, " ");
  if (n >= GRATE_LUA_NAME) n = GRATE_LUA_NAME - 1;
  memcpy(buf, start, n);
  buf[n] = '\0';
  return buf;
}

/* }========================================================================= */

/* {================================= script ================================ */

/* The table 'arg' of a script, as lua(1) makes it. */
static void set_arg(lua_State *L, const struct grate_script *s) {
  int i;
  lua_createtable(L, s->argc, 1);
  lua_pushstring(L, s->name);
  lua_rawseti(L, -2, 0);
  for (i = 0; i < s->argc; i++) {
    lua_pushstring(L, s->argv[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setglobal(L, "arg");
}

static void load_chunk(lua_State *L, const struct grate_script *s) {
  int status;
  if (s->data == NULL) {
    status = luaL_loadfile(L, s->name);
  } else {
    if (is_bytecode(s->data, s->size)) check_header(L, s->name, s->data, s->size);
    lua_pushfstring(L, "@%s", s->name);
    status = luaL_loadbuffer(L, s->data, s->size, lua_tostring(L, -1));
    lua_remove(L, -2);
  }
  if (status != LUA_OK) lua_error(L);
}

/* Runs protected: loads and runs the script, installs what it returns. */
static int run_script(lua_State *L) {
  const struct grate_script *s = lua_touserdata(L, 1);
  int i;
  set_arg(L, s);
  load_chunk(L, s);
  luaL_checkstack(L, s->argc, "too many arguments for the script");
  for (i = 0; i < s->argc; i++) lua_pushstring(L, s->argv[i]);
  lua_call(L, s->argc, 1);
  if (luaL_getmetafield(L, -1, "__install") == LUA_TNIL)
    return luaL_error(L, "%s: the script must end with 'return lencase.grate { ... }'", s->name);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 0);
  return 0;
}

int grate_run(struct lencase_grate *g, const struct grate_script *script) {
  int status;
  g->script = script;
  g->in_memory = script->data != NULL;
  grate_time(g, g->L);
  lua_pushcfunction(g->L, run_script);
  lua_pushlightuserdata(g->L, (void *)(uintptr_t)script);
  status = lua_pcall(g->L, 1, 0, 0);
  g->script = NULL;
  assert(lua_gettop(g->L) == (status == LUA_OK ? 0 : 1));
  return status == LUA_OK ? LENCASE_OK : grate_script_failed(g, script->name);
}

bool grate_push_text(lua_State *L) {
  const struct lencase_grate *g = grate_of(L);
  const struct grate_script *s = g->script;
  if (!g->in_memory) return false;
  if (s != NULL && !is_bytecode(s->data, s->size))
    lua_pushlstring(L, s->data, s->size);
  else
    lua_pushliteral(L, "");
  return true;
}

/* }========================================================================= */

/* {================================ compiled =============================== */

static uint64_t checksum(const unsigned char *data, size_t size) {
  uint64_t sum = UINT64_C(0xcbf29ce484222325);
  size_t i;
  for (i = 0; i < size; i++) sum = (sum ^ data[i]) * UINT64_C(0x100000001b3);
  return sum;
}

static int check_chunk(struct lencase_state *st, const char *script, const lencase_chunk *chunk) {
  uint64_t sum = checksum(chunk->data, chunk->size);
  if (sum == chunk->checksum) return LENCASE_OK;
  return state_fail(st, LENCASE_ESCRIPT,
                    "%s: the bytes of '%s' are not those that were compiled (checksum %016" PRIx64
                    ", not %016" PRIx64 "): compile it again",
                    script, chunk->name, sum, chunk->checksum);
}

static int foreign(struct lencase_state *st, const lencase_compiled *c, const char *by,
                   const char *here) {
  return state_fail(st, LENCASE_ESCRIPT, "%s: it was compiled by %s, this is %s: compile it again",
                    c->chunks->name, by, here);
}

int grate_check_compiled(struct lencase_state *st, const lencase_compiled *c) {
  char lua[GRATE_LUA_NAME], by[80];
  int status = LENCASE_OK;
  size_t i;
  if (c->form != LENCASE_COMPILED)
    return state_fail(
        st, LENCASE_ESCRIPT,
        "a script was compiled in form %d, this lencase (%s) has form %d: compile it again",
        c->form, LENCASE_VERSION, LENCASE_COMPILED);
  if (c->nchunks == 0) return state_fail(st, LENCASE_EINVAL, "the compiled grate has no script");
  snprintf(by, sizeof by, "lencase %s", c->version);
  if (strcmp(c->version, LENCASE_VERSION) != 0)
    return foreign(st, c, by, "lencase " LENCASE_VERSION);
  if (strcmp(c->lua, grate_lua_name(lua)) != 0) return foreign(st, c, c->lua, lua);
  for (i = 0; i < c->nchunks && status == LENCASE_OK; i++)
    status = check_chunk(st, c->chunks->name, &c->chunks[i]);
  return status;
}

/* The loader of a compiled module, which is upvalue 1: called as any other, with its name. */
static int load_module(lua_State *L) {
  const lencase_chunk *chunk = lua_touserdata(L, lua_upvalueindex(1));
  const char *data = (const char *)chunk->data;
  check_header(L, chunk->name, data, chunk->size);
  if (luaL_loadbufferx(L, data, chunk->size, chunk->name, "b") != LUA_OK) return lua_error(L);
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

/* Runs protected. */
static int preload(lua_State *L) {
  const lencase_compiled *c = lua_touserdata(L, 1);
  size_t i;
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (i = 1; i < c->nchunks; i++) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)&c->chunks[i]);
    lua_pushcclosure(L, load_module, 1);
    lua_setfield(L, -2, c->chunks[i].name);
  }
  return 0;
}

int grate_preload(struct lencase_grate *g, const lencase_compiled *compiled) {
  lua_pushcfunction(g->L, preload);
  lua_pushlightuserdata(g->L, (void *)(uintptr_t)compiled);
  if (lua_pcall(g->L, 1, 0, 0) == LUA_OK) return LENCASE_OK;
  return grate_script_failed(g, compiled->chunks->name);
}

/* }========================================================================= */

/* {============================ lencase's modules ========================== */

/* A module as scripts/gen-bytecode.lua writes it. */
struct known_module {
  const char *name, *text, *code;
  size_t name_size, text_size, code_size;
};

/* The string at *at: its size, then its bytes. NULL: there is none. */
static const char *next_string(const char **at, const char *end, size_t *size) {
  uint32_t n;
  const char *bytes;
  if ((size_t)(end - *at) < sizeof n) return NULL;
  memcpy(&n, *at, sizeof n);
  bytes = *at + sizeof n;
  if ((size_t)(end - bytes) < n) return NULL;
  *size = n;
  *at = bytes + n;
  return bytes;
}

/* Compiled by this release of Lua? Then *at is behind its name. */
static bool is_our_release(const char **at, const char *end) {
  char lua[GRATE_LUA_NAME];
  size_t size;
  const char *by = next_string(at, end, &size);
  return by != NULL && size == strlen(grate_lua_name(lua)) && memcmp(by, lua, size) == 0;
}

static bool find_module(const struct lencase_state *st, const char *name, struct known_module *m) {
  const char *at = st->modules, *end = at + st->modules_size;
  if (!is_our_release(&at, end)) return false;
  for (;;) {
    m->name = next_string(&at, end, &m->name_size);
    m->text = m->name != NULL ? next_string(&at, end, &m->text_size) : NULL;
    m->code = m->text != NULL ? next_string(&at, end, &m->code_size) : NULL;
    if (m->code == NULL) return false;
    if (m->name_size == strlen(name) && memcmp(m->name, name, m->name_size) == 0) return true;
  }
}

/* Pushes the path of the file that 'require' would load, nil if there is none. */
static void push_path(lua_State *L, const char *name) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchpath");
  lua_pushstring(L, name);
  lua_getfield(L, -3, "path");
  lua_call(L, 2, 1);
  lua_remove(L, -2);
}

/* Whether a file is just this text. */
static bool has_text(lua_State *L, const char *path, const struct known_module *m) {
  FILE *file = fopen(path, "rb");
  char *text = lua_newuserdatauv(L, m->text_size + 1, 0);
  size_t n = 0;
  if (file == NULL) return false;
  n = fread(text, 1, m->text_size + 1, file);
  fclose(file);
  return n == m->text_size && memcmp(text, m->text, n) == 0;
}

/* Of package.searchers. Works without a file, when the program has changed its root. */
static int search_module(lua_State *L) {
  const char *name = luaL_checkstring(L, 1), *path;
  struct known_module m;
  if (!find_module(grate_of(L)->st, name, &m)) return 0;
  push_path(L, name);
  path = lua_tostring(L, -1);
  if (path != NULL && !has_text(L, path, &m)) return 0;
  if (luaL_loadbufferx(L, m.code, m.code_size, name, "b") != LUA_OK) return lua_error(L);
  lua_pushstring(L, path != NULL ? path : name);
  return 2;
}

void grate_know_modules(lua_State *L) {
  lua_Integer i;
  if (grate_of(L)->st->modules == NULL) return;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  for (i = (lua_Integer)lua_rawlen(L, -1); i >= 2; i--) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushcfunction(L, search_module);
  lua_rawseti(L, -2, 2); /* behind package.preload */
  lua_pop(L, 2);
}

/* }========================================================================= */
