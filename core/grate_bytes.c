/*
** grate_bytes.c - Lua values into the bytes that a parameter's type asks for
*/

#include <lauxlib.h>
#include <string.h>

#include "grate_value.h"

bool value_is_null(lua_State *L, int index) {
  return lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL;
}

void *value_room(lua_State *L, struct frame *f, size_t size) {
  void *p = arena_new(&f->call->arena, size);
  if (p == NULL) luaL_error(L, "no memory for an argument of %d bytes", (int)size);
  return p;
}

int value_bad(lua_State *L, const struct value_of *at, int index, const char *wanted) {
  if (bad_at(L, index) != NULL) bad_raise_again(L, index);
  return luaL_error(L, "%s: %s (%s) takes %s, not a %s", at->call, at->p->name, at->p->ctype,
                    wanted, luaL_typename(L, index));
}

const unsigned char *value_plain(lua_State *L, int index, size_t *size) {
  struct view *v = view_at(L, index);
  if (v != NULL && v->kind != VIEW_IOVEC) {
    *size = v->size;
    return v->data != NULL ? v->data : (const unsigned char *)"";
  }
  if (v != NULL || lua_type(L, index) != LUA_TSTRING) return NULL;
  return (const unsigned char *)lua_tolstring(L, index, size);
}

void value_keep(lua_State *L, struct frame *f, struct snapshot *out, const void *data,
                size_t size) {
  out->data = value_room(L, f, size + 1);
  memcpy(out->data, data, size);
  out->data[size] = 0;
  out->size = size;
  out->state = SNAP_HELD;
}

static void string_value(lua_State *L, struct frame *f, int index, const struct value_of *at,
                         struct snapshot *out) {
  size_t size;
  const unsigned char *s = value_plain(L, index, &size);
  if (s == NULL)
    value_bad(L, at, index, "a string");
  else if (memchr(s, 0, size) != NULL)
    luaL_error(L, "%s: %s contains a zero byte, where the kernel would stop", at->call,
               at->p->name);
  else
    value_keep(L, f, out, s, size);
}

static void bytes_value(lua_State *L, struct frame *f, int index, const struct value_of *at,
                        struct snapshot *out) {
  size_t size;
  const unsigned char *s = value_plain(L, index, &size);
  if (s == NULL)
    value_bad(L, at, index, "a string or a view");
  else
    value_keep(L, f, out, s, size);
}

/* A struct with its size in it: what is behind the known fields is 'rest'. */
static void sized_record(lua_State *L, struct frame *f, int index, const struct value_of *at,
                         struct snapshot *out) {
  const struct sig_record *r = at->p->record;
  const char *rest = "";
  size_t size = 0;
  if (lua_getfield(L, index, "rest") == LUA_TSTRING) rest = lua_tolstring(L, -1, &size);
  out->size = r->size + size;
  out->data = value_room(L, f, out->size);
  out->state = SNAP_HELD;
  memset(out->data, 0, r->size);
  view_fill(L, index, r, out->data, "rest");
  memcpy(out->data + r->size, rest, size);
  lua_pop(L, 1);
}

/* A struct from a table of its fields, an array of them from a table of such tables. */
static void table_of_records(lua_State *L, struct frame *f, int index, const struct value_of *at,
                             struct snapshot *out) {
  const struct sig_record *r = at->p->record;
  bool scalar = r->fields[0].name[0] == '\0';
  size_t i, n = lua_rawlen(L, index);
  if (n == 0) n = 1; /* fields by name: one struct */
  out->size = n * r->size;
  out->data = value_room(L, f, out->size);
  out->state = SNAP_HELD;
  memset(out->data, 0, out->size);
  if (lua_rawlen(L, index) == 0 || (scalar && n == 1)) {
    view_fill(L, index, r, out->data, NULL);
    return;
  }
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, index, (lua_Integer)i + 1);
    if (scalar) {
      lua_Integer word = luaL_checkinteger(L, -1);
      memcpy(out->data + i * r->size, &word, r->size);
    } else {
      view_fill(L, -1, r, out->data + i * r->size, NULL);
    }
    lua_pop(L, 1);
  }
}

static void records_value(lua_State *L, struct frame *f, int index, const struct value_of *at,
                          struct snapshot *out) {
  size_t size;
  const unsigned char *s = value_plain(L, index, &size);
  if (s == NULL && lua_istable(L, index) && at->p->record != NULL && sig_is_sized(at->p))
    sized_record(L, f, index, at, out);
  else if (s == NULL && lua_istable(L, index) && at->p->record != NULL)
    table_of_records(L, f, index, at, out);
  else if (s == NULL)
    value_bad(L, at, index, "a table of fields, a string or a view");
  else
    value_keep(L, f, out, s, size);
  if (out->size % at->p->elem != 0)
    luaL_error(L, "%s: %s is %d bytes long, not a multiple of %d", at->call, at->p->name,
               (int)out->size, (int)at->p->elem);
}

/* The strings of a table, or the runs of an iovec: parts whose bytes are kept. */
static void parts_value(lua_State *L, struct frame *f, int index, const struct value_of *at,
                        struct snapshot *out) {
  uint32_t i;
  if (!lua_istable(L, index)) value_bad(L, at, index, "a table of strings");
  out->nparts = (uint32_t)lua_rawlen(L, index);
  out->parts = value_room(L, f, out->nparts * sizeof *out->parts);
  out->state = SNAP_HELD;
  for (i = 0; i < out->nparts; i++) {
    struct snapshot one = {0};
    const struct bad *bad;
    lua_rawgeti(L, index, (lua_Integer)i + 1);
    bad = bad_at(L, -1);
    if (bad != NULL && bad->cut == CUT_FAULT && at->p->kind == SIG_STRV)
      one = (struct snapshot){.addr = bad->addr, .cut = CUT_FAULT};
    else if (at->p->kind == SIG_STRV)
      string_value(L, f, lua_gettop(L), at, &one);
    else
      bytes_value(L, f, lua_gettop(L), at, &one);
    out->parts[i] = (struct snap_part){
        .addr = one.addr, .told = one.size, .size = one.size, .data = one.data, .cut = one.cut};
    lua_pop(L, 1);
  }
}

static void iovec_value(lua_State *L, struct frame *f, int index, const struct value_of *at,
                        struct snapshot *out) {
  struct view *v = view_at(L, index);
  if (v == NULL || v->kind != VIEW_IOVEC) {
    parts_value(L, f, index, at, out);
    return;
  }
  out->nparts = v->nparts;
  out->parts = value_room(L, f, v->nparts * sizeof *v->parts);
  memcpy(out->parts, v->parts, v->nparts * sizeof *v->parts);
  out->state = SNAP_HELD;
}

typedef void (*value_fn)(lua_State *L, struct frame *f, int index, const struct value_of *at,
                         struct snapshot *out);

static const value_fn value_of_kind[] = {
    [SIG_STRING] = string_value, [SIG_BYTES] = bytes_value, [SIG_RECORDS] = records_value,
    [SIG_STRV] = parts_value,    [SIG_IOVEC] = iovec_value,
};

void value_take(lua_State *L, struct frame *f, int index, const struct value_of *of,
                struct snapshot *out) {
  value_of_kind[of->p->kind](L, f, index, of, out);
}
