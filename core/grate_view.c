/*
** grate_view.c - views: what a handler sees of bytes, structs and iovecs
**
** A view lives as long as its call. Its userdata is used again by later calls
** of the same coroutine; the stamp tells a view whose call has ended.
*/

#include <lauxlib.h>
#include <string.h>

#include "grate.h"

static const char view_name[] = "lencase.view";

/* {================================= making ================================ */

#ifdef LENCASE_HARD
enum { RECYCLE = 0 }; /* a view kept too long shall be noticed */
#else
enum { RECYCLE = 1 };
#endif

static struct view *view_new(lua_State *L, struct frame *f) {
  struct view *v;
  stack_mark(L, top);
  assert(f->call != NULL && f->nviews <= f->allviews);
  lua_rawgeti(L, LUA_REGISTRYINDEX, f->views);
  if (RECYCLE && f->nviews < f->allviews) {
    lua_rawgeti(L, -1, ++f->nviews);
    v = lua_touserdata(L, -1);
  } else {
    v = lua_newuserdatauv(L, sizeof *v, 0);
    luaL_setmetatable(L, view_name);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, f->allviews + 1); /* counted only when that went well */
    f->nviews = ++f->allviews;
  }
  lua_remove(L, -2);
  stack_check(L, top, 1);
  memset(v, 0, sizeof *v);
  v->frame = f;
  v->stamp = f->stamp;
  return v;
}

void view_push(lua_State *L, struct frame *f, const struct sig_param *p,
               const struct snapshot *snap, bool writable) {
  struct view *v = view_new(L, f);
  v->kind = p->kind == SIG_IOVEC ? VIEW_IOVEC : p->kind == SIG_RECORDS ? VIEW_RECORDS : VIEW_BYTES;
  v->sized = sig_is_sized(p);
  v->single = v->sized || (p->size == SIZE_FIXED && p->count == 1 && p->record != NULL &&
                           p->record->fields[0].name[0] != '\0');
  v->cut = snap->cut;
  v->name = p->name;
  v->addr = snap->addr;
  v->told = snap->told;
  v->writable = writable;
  v->data = snap->data;
  v->size = snap->size;
  v->record = p->record;
  v->parts = snap->parts;
  v->nparts = snap->nparts;
}

/* A view of a part of 'whole', which must be on the stack somewhere. */
static struct view *part_push(lua_State *L, struct view *whole, enum view_kind kind,
                              unsigned char *data, size_t size) {
  struct view *v = view_new(L, whole->frame);
  v->kind = (uint8_t)kind;
  v->writable = whole->writable;
  v->whole = whole;
  v->data = data;
  v->size = size;
  return v;
}

struct view *view_at(lua_State *L, int index) {
  struct view *v = luaL_testudata(L, index, view_name);
  if (v != NULL && v->stamp != v->frame->stamp)
    luaL_error(L, "a view was used after its call had ended: keep tostring(view) instead");
  return v;
}

static struct view *view_self(lua_State *L) {
  luaL_checkudata(L, 1, view_name);
  return view_at(L, 1);
}

/* }========================================================================= */

/* {================================= fields ================================ */

static const struct sig_field *field_named(const struct sig_record *record, const char *name) {
  int i;
  for (i = 0; i < record->nfields; i++)
    if (strcmp(record->fields[i].name, name) == 0) return &record->fields[i];
  return NULL;
}

static lua_Integer int_get(const unsigned char *data, unsigned width, bool is_signed) {
  uint64_t n = 0;
  unsigned shift = 64u - 8u * width;
  memcpy(&n, data, width); /* little-endian, as all hosts are */
  return is_signed ? (lua_Integer)(int64_t)(n << shift) >> shift : (lua_Integer)n;
}

/* Element 'i' of a field, from 0. */
static void element_push(lua_State *L, struct view *v, const struct sig_field *f,
                         unsigned char *data, size_t i) {
  data += i * f->width;
  if (f->kind == FIELD_RECORD) {
    struct view *part = part_push(L, v, VIEW_RECORDS, data, f->width);
    part->record = f->record;
    part->single = true;
  } else {
    lua_pushinteger(L, int_get(data, f->width, f->kind == FIELD_INT));
  }
}

/* An array inside a struct, copied to a table: these are few and small. */
static void array_push(lua_State *L, struct view *v, const struct sig_field *f) {
  uint16_t i;
  lua_createtable(L, f->count, 0);
  for (i = 0; i < f->count; i++) {
    element_push(L, v, f, v->data + f->offset, i);
    lua_rawseti(L, -2, i + 1);
  }
}

/* A record may have been read in part only: what was not read is no field. */
static const struct sig_field *field_held(const struct view *v, const char *name) {
  const struct sig_field *f = field_named(v->record, name);
  size_t size = v->sized && v->cut == CUT_NONE ? v->record->size : v->size;
  return f != NULL && f->offset + (size_t)f->width * f->count <= size ? f : NULL;
}

static int field_get(lua_State *L, struct view *v, const char *name) {
  const struct sig_field *f = field_held(v, name);
  if (f == NULL && v->cut != CUT_NONE && field_named(v->record, name) != NULL)
    return bad_raise(L, v->name,
                     &(struct snapshot){.addr = v->addr, .told = v->told, .cut = v->cut});
  if (f == NULL && v->sized && strcmp(name, "rest") == 0 && v->record->size < v->size)
    lua_pushlstring(L, (const char *)v->data + v->record->size, v->size - v->record->size);
  else if (f == NULL)
    lua_pushnil(L);
  else if (f->kind == FIELD_CHARS)
    lua_pushlstring(L, (const char *)v->data + f->offset,
                    strnlen((const char *)v->data + f->offset, f->count));
  else if (f->count == 1)
    element_push(L, v, f, v->data + f->offset, 0);
  else
    array_push(L, v, f);
  return 1;
}

static void field_fill(lua_State *L, int value, const struct sig_field *f, unsigned char *data) {
  value = lua_absindex(L, value);
  if (f->kind == FIELD_CHARS) {
    size_t n;
    const char *s = luaL_checklstring(L, value, &n);
    if (n > f->count) luaL_error(L, "field %s has room for %d bytes", f->name, (int)f->count);
    memset(data, 0, f->count);
    memcpy(data, s, n);
  } else if (f->kind == FIELD_RECORD) {
    view_fill(L, value, f->record, data, NULL);
  } else if (f->count == 1) {
    lua_Integer n = luaL_checkinteger(L, value);
    memcpy(data, &n, f->width); /* little-endian, as all hosts are */
  } else {
    luaL_error(L, "field %s is an array: set its bytes by a string", f->name);
  }
}

void view_fill(lua_State *L, int index, const struct sig_record *record, unsigned char *data,
               const char *but) {
  index = lua_absindex(L, index);
  luaL_checktype(L, index, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    const struct sig_field *f = NULL;
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
    if (name != NULL && but != NULL && strcmp(name, but) == 0) {
      lua_pop(L, 1);
      continue;
    }
    if (name != NULL) f = field_named(record, name);
    if (lua_isinteger(L, -2) && lua_tointeger(L, -2) == 1) f = field_named(record, "");
    if (f == NULL)
      luaL_error(L, "%s has no field %s", record->name, luaL_tolstring(L, -2, NULL));
    else
      field_fill(L, -1, f, data + f->offset);
    lua_pop(L, 1);
  }
}

/* }========================================================================= */

/* {================================= arrays ================================ */

static size_t count_of(const struct view *v) {
  if (v->kind == VIEW_IOVEC) return v->nparts;
  if (v->kind == VIEW_BYTES || v->record == NULL) return v->size;
  return v->size / v->record->size;
}

/* Element i (from 1) of an array of structs or scalars. */
static void record_push(lua_State *L, struct view *v, size_t i) {
  unsigned char *data = v->data + (i - 1) * v->record->size;
  const struct sig_field *f = &v->record->fields[0];
  if (f->name[0] == '\0') {
    element_push(L, v, f, data, 0);
  } else {
    struct view *part = part_push(L, v, VIEW_RECORDS, data, v->record->size);
    part->record = v->record;
    part->single = true;
  }
}

static void run_push(lua_State *L, struct view *v, size_t i) {
  const struct snap_part *run = &v->parts[i - 1];
  struct view *part = part_push(L, v, VIEW_BYTES, run->data, run->data != NULL ? run->size : 0);
  part->parts = run; /* for iov_base and iov_len */
  part->nparts = 1;
  part->writable = false;
}

static int item_get(lua_State *L, struct view *v, lua_Integer i) {
  if (i < 1 || (lua_Unsigned)i > count_of(v))
    lua_pushnil(L);
  else if (v->kind == VIEW_IOVEC)
    run_push(L, v, (size_t)i);
  else if (v->kind == VIEW_BYTES || v->record == NULL)
    lua_pushinteger(L, v->data[i - 1]);
  else
    record_push(L, v, (size_t)i);
  return 1;
}

/* }========================================================================= */

/* {================================ methods ================================ */

static const char *bytes_of(lua_State *L, const struct view *v, size_t *size) {
  if (v->kind == VIEW_IOVEC)
    luaL_error(L, "an iovec is not a string of bytes: use its elements, iov[1] to iov[#iov]");
  *size = v->size;
  return v->data != NULL ? (const char *)v->data : "";
}

static size_t position(lua_Integer pos, size_t size) {
  if (pos >= 0) return (size_t)pos;
  return (lua_Unsigned)-pos > size ? 0 : size + 1 - (size_t)-pos;
}

/* v:sub(i [, j]), as string.sub */
static int view_sub(lua_State *L) {
  size_t size, from, to;
  const char *s = bytes_of(L, view_self(L), &size);
  from = position(luaL_checkinteger(L, 2), size);
  to = position(luaL_optinteger(L, 3, -1), size);
  if (from < 1) from = 1;
  if (to > size) to = size;
  lua_pushlstring(L, s + (from <= to ? from - 1 : 0), from <= to ? to - from + 1 : 0);
  return 1;
}

/* v:byte([i]), as string.byte for one byte */
static int view_byte(lua_State *L) {
  size_t size, at;
  const char *s = bytes_of(L, view_self(L), &size);
  at = position(luaL_optinteger(L, 2, 1), size);
  if (at < 1 || at > size) return 0;
  lua_pushinteger(L, (unsigned char)s[at - 1]);
  return 1;
}

static int view_tostring(lua_State *L) {
  size_t size;
  const char *s = bytes_of(L, view_self(L), &size);
  lua_pushlstring(L, s, size);
  return 1;
}

static int view_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)count_of(view_self(L)));
  return 1;
}

static int run_field(lua_State *L, const struct view *v, const char *name) {
  if (strcmp(name, "iov_base") == 0)
    lua_pushinteger(L, (lua_Integer)v->parts->addr);
  else if (strcmp(name, "iov_len") == 0)
    lua_pushinteger(L, (lua_Integer)v->parts->told);
  else
    return 0;
  return 1;
}

/* upvalue 1: the methods */
static int view_index(lua_State *L) {
  struct view *v = view_self(L);
  const char *name;
  if (lua_isinteger(L, 2)) return item_get(L, v, lua_tointeger(L, 2));
  name = luaL_checkstring(L, 2);
  if (v->kind == VIEW_RECORDS && v->single) return field_get(L, v, name);
  if (v->kind == VIEW_BYTES && v->nparts == 1 && run_field(L, v, name)) return 1;
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));
  return 1;
}

static int item_set(lua_State *L, struct view *v) {
  lua_Integer i = luaL_checkinteger(L, 2);
  luaL_argcheck(L, i >= 1 && (lua_Unsigned)i <= count_of(v), 2, "no such element");
  if (v->kind == VIEW_BYTES)
    v->data[i - 1] = (unsigned char)luaL_checkinteger(L, 3);
  else
    field_fill(L, 3, &v->record->fields[0], v->data + (size_t)(i - 1) * v->record->size);
  return 0;
}

static int view_newindex(lua_State *L) {
  struct view *v = view_self(L), *whole;
  const struct sig_field *f;
  if (!v->writable || v->kind == VIEW_IOVEC)
    return luaL_error(L, "this view is read-only: the call only reads the argument");
  for (whole = v; whole != NULL; whole = whole->whole) whole->dirty = true;
  if (!v->single || v->record == NULL) return item_set(L, v);
  f = field_held(v, luaL_checkstring(L, 2));
  if (f == NULL) return luaL_error(L, "%s has no field %s", v->record->name, lua_tostring(L, 2));
  field_fill(L, 3, f, v->data + f->offset);
  return 0;
}

/* Iterates over the fields of a struct, or the elements of an array, by their names. */
static int view_next(lua_State *L) {
  struct view *v = view_self(L);
  lua_Integer i = lua_tointeger(L, lua_upvalueindex(1)) + 1;
  lua_pushinteger(L, i);
  lua_replace(L, lua_upvalueindex(1));
  if (!v->single || v->record == NULL) {
    if ((lua_Unsigned)i > count_of(v)) return 0;
    lua_pushinteger(L, i);
    item_get(L, v, i);
  } else {
    const char *name = i > v->record->nfields ? "rest" : v->record->fields[i - 1].name;
    if (v->cut != CUT_NONE && field_held(v, name) == NULL) return 0; /* no more of it can be read */
    lua_pushstring(L, name);
    field_get(L, v, name);
    if (i > v->record->nfields) return lua_isnil(L, -1) ? 0 : 2;
  }
  return 2;
}

static int view_pairs(lua_State *L) {
  view_self(L);
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, view_next, 1);
  lua_pushvalue(L, 1);
  return 2;
}

static const luaL_Reg methods[] = {{"sub", view_sub}, {"byte", view_byte}, {NULL, NULL}};

static const luaL_Reg metamethods[] = {{"__len", view_len},
                                       {"__tostring", view_tostring},
                                       {"__newindex", view_newindex},
                                       {"__pairs", view_pairs},
                                       {NULL, NULL}};

void view_open(lua_State *L) {
  luaL_newmetatable(L, view_name);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_pushcclosure(L, view_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

/* }========================================================================= */
