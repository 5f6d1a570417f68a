/*
** signature.c - signatures for Lua: the generated ones, and those made from a
** prototype at run time (the tables of lua/lencase/calls/prototype.lua)
*/

#include "../signature.h"

#include <string.h>

#include "bind.h"

static const char signature_name[] = "lencase.signature";

/* {============================ tables to structs ========================== */

/*
** The structs of a signature live in userdata that the table 'anchor' keeps;
** so do the strings. The signature's own userdata has that table as its value.
*/
struct builder {
  lua_State *L;
  int anchor;
};

static void *box(struct builder *b, size_t count, size_t size) {
  void *p = lua_newuserdatauv(b->L, count * size + 1, 0);
  memset(p, 0, count * size);
  lua_rawseti(b->L, b->anchor, (lua_Integer)lua_rawlen(b->L, b->anchor) + 1);
  return p;
}

static lua_Integer integer_of(struct builder *b, const char *name, lua_Integer max) {
  lua_Integer n;
  lua_getfield(b->L, -1, name);
  n = luaL_optinteger(b->L, -1, 0);
  if (max > 0 && (n < 0 || n > max)) luaL_error(b->L, "bad signature: %s is %I", name, n);
  lua_pop(b->L, 1);
  return n;
}

static const char *string_of(struct builder *b, const char *name) {
  const char *s;
  lua_getfield(b->L, -1, name);
  s = luaL_checkstring(b->L, -1);
  lua_rawseti(b->L, b->anchor, (lua_Integer)lua_rawlen(b->L, b->anchor) + 1);
  return s;
}

/* Pushes the array in field 'name' and returns its length. */
static size_t array_of(struct builder *b, const char *name, size_t max) {
  size_t n;
  luaL_checkstack(b->L, 8, "a signature");
  lua_getfield(b->L, -1, name);
  luaL_checktype(b->L, -1, LUA_TTABLE);
  n = lua_rawlen(b->L, -1);
  if (n > max) luaL_error(b->L, "bad signature: too many %s", name);
  return n;
}

static const struct sig_record *record_of(struct builder *b);

static struct sig_field field_of(struct builder *b) {
  struct sig_field f = {.name = string_of(b, "name"),
                        .offset = (uint16_t)integer_of(b, "offset", UINT16_MAX),
                        .count = (uint16_t)integer_of(b, "count", UINT16_MAX),
                        .width = (uint8_t)integer_of(b, "width", UINT8_MAX),
                        .kind = (uint8_t)integer_of(b, "kind", FIELD_RECORD)};
  f.record = record_of(b);
  return f;
}

/* The record in field "record" of the table on top, NULL when there is none. */
static const struct sig_record *record_of(struct builder *b) {
  struct sig_record *r;
  struct sig_field *fields;
  size_t i, n;
  luaL_checkstack(b->L, 8, "a record");
  if (lua_getfield(b->L, -1, "record") == LUA_TNIL) {
    lua_pop(b->L, 1);
    return NULL;
  }
  r = box(b, 1, sizeof *r);
  r->name = string_of(b, "name");
  r->size = (uint16_t)integer_of(b, "size", UINT16_MAX);
  n = array_of(b, "fields", UINT16_MAX);
  fields = box(b, n, sizeof *fields);
  for (i = 0; i < n; i++) {
    lua_rawgeti(b->L, -1, (lua_Integer)i + 1);
    fields[i] = field_of(b);
    lua_pop(b->L, 1);
  }
  r->nfields = (uint16_t)n;
  r->fields = fields;
  lua_pop(b->L, 2);
  return r;
}

static struct sig_param param_of(struct builder *b) {
  struct sig_param p = {.name = string_of(b, "name"),
                        .ctype = string_of(b, "ctype"),
                        .kind = (uint8_t)integer_of(b, "kind", SIG_IOVEC),
                        .dir = (uint8_t)integer_of(b, "dir", SIG_INOUT),
                        .width = (uint8_t)integer_of(b, "width", 8),
                        .is_signed = (uint8_t)integer_of(b, "is_signed", 1),
                        .nullable = (uint8_t)integer_of(b, "nullable", 1),
                        .size = (uint8_t)integer_of(b, "size", SIZE_FIELD),
                        .size_arg = (uint8_t)integer_of(b, "size_arg", LENCASE_MAXARGS - 1),
                        .filled = (uint8_t)integer_of(b, "filled", FILLED_RESULT),
                        .elem = (uint32_t)integer_of(b, "elem", UINT32_MAX),
                        .count = (uint32_t)integer_of(b, "count", UINT32_MAX)};
  p.record = record_of(b);
  return p;
}

static struct sig_test test_of(struct builder *b) {
  struct sig_test t;
  lua_getfield(b->L, -1, "when");
  luaL_checktype(b->L, -1, LUA_TTABLE);
  t = (struct sig_test){(uint8_t)integer_of(b, "op", TEST_NONE),
                        (uint8_t)integer_of(b, "arg", LENCASE_MAXARGS - 1),
                        (uint64_t)integer_of(b, "mask", 0), (uint64_t)integer_of(b, "value", 0)};
  lua_pop(b->L, 1);
  return t;
}

static struct sig_variant variant_of(struct builder *b) {
  struct sig_variant v = {.when = test_of(b), .unknown = (uint8_t)integer_of(b, "unknown", 1)};
  size_t i, n = array_of(b, "params", LENCASE_MAXARGS);
  struct sig_param *params = box(b, n, sizeof *params);
  for (i = 0; i < n; i++) {
    lua_rawgeti(b->L, -1, (lua_Integer)i + 1);
    params[i] = param_of(b);
    lua_pop(b->L, 1);
  }
  lua_pop(b->L, 1);
  v.nparams = (uint8_t)n;
  v.params = params;
  return v;
}

/* The variants of the table on top, and how many they are. */
static const struct sig_variant *variants_of(struct builder *b, size_t *count) {
  struct sig_variant *variants;
  size_t i, n = array_of(b, "variants", UINT8_MAX);
  if (n == 0) luaL_error(b->L, "bad signature: it has no variants");
  variants = box(b, n, sizeof *variants);
  for (i = 0; i < n; i++) {
    lua_rawgeti(b->L, -1, (lua_Integer)i + 1);
    variants[i] = variant_of(b);
    lua_pop(b->L, 1);
  }
  if (variants[n - 1].when.op != TEST_ALWAYS)
    luaL_error(b->L, "bad signature: the last variant has a condition");
  lua_pop(b->L, 1);
  *count = n;
  return variants;
}

static void build(struct builder *b, struct signature *sig, int table, int narrow) {
  size_t n, others;
  lua_pushvalue(b->L, table);
  sig->name = string_of(b, "name");
  sig->prototype = string_of(b, "prototype");
  sig->flags = (uint8_t)integer_of(b, "flags", UINT8_MAX);
  sig->variants = variants_of(b, &n);
  sig->nvariants = (uint8_t)n;
  lua_pushvalue(b->L, narrow);
  sig->narrow = variants_of(b, &others);
  lua_pop(b->L, 2);
  if (others != n) luaL_error(b->L, "bad signature: its narrow form has other variants");
}

/* core.signature(nr, table, narrow) -> userdata; 'narrow': the same for pointers of 4 bytes */
static int signature_new(lua_State *L) {
  struct builder b = {L, 4};
  struct signature *sig;
  int32_t nr = (int32_t)luaL_checkinteger(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  lua_newtable(L);
  sig = lua_newuserdatauv(L, sizeof *sig, 1);
  memset(sig, 0, sizeof *sig);
  lua_pushvalue(L, b.anchor);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, signature_name);
  sig->nr = nr;
  build(&b, sig, 2, 3);
  return 1;
}

/* What a layer denies is not known above it. */
static const struct signature *declared_below(const struct lencase_grate *g, int32_t nr) {
  const struct route_entry *e = route_find(g->below, nr);
  const struct plan *plan = e != NULL && e->status != ROUTE_DENIED ? e->answer->plan : NULL;
  return plan != NULL && plan->sig != &sig_unknown ? plan->sig : NULL;
}

const struct signature *bind_signature_of(lua_State *L, int32_t nr) {
  const struct signature *sig = sig_by_nr(nr);
  const struct lencase_grate *g = grate_of(L);
  return sig == NULL && g != NULL ? declared_below(g, nr) : sig;
}

const struct signature *bind_signature_at(lua_State *L, int index) {
  if (lua_isinteger(L, index)) return bind_signature_of(L, (int32_t)lua_tointeger(L, index));
  return luaL_checkudata(L, index, signature_name);
}

/* }========================================================================= */

/* {================================ questions ============================== */

/* The number of a call that a grate below declares under this name; -1: there is none. */
static int32_t callnum_below(const struct lencase_grate *g, const char *name) {
  const struct signature *sig;
  int32_t nr = g != NULL ? route_next(g->below, -1) : -1;
  for (; nr >= 0; nr = route_next(g->below, nr)) {
    sig = sig_by_nr(nr) == NULL ? declared_below(g, nr) : NULL;
    if (sig != NULL && strcmp(sig->name, name) == 0) break;
  }
  return nr;
}

/* core.callnum(name) -> number, or nil for a name that is no call's */
static int callnum(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  int32_t nr = sig_callnum(name);
  if (nr < 0) nr = callnum_below(grate_of(L), name);
  if (nr < 0) return 0;
  lua_pushinteger(L, nr);
  return 1;
}

/* core.callname(nr) -> name */
static int callname(lua_State *L) {
  char buf[64];
  int32_t nr = (int32_t)luaL_checkinteger(L, 1);
  const struct signature *sig = bind_signature_of(L, nr);
  lua_pushstring(L, sig != NULL ? sig->name : sig_name(nr, buf, sizeof buf));
  return 1;
}

static const char *const kind_names[] = {
    [SIG_NONE] = "none",     [SIG_INT] = "int",     [SIG_ADDR] = "address",
    [SIG_STRING] = "string", [SIG_BYTES] = "bytes", [SIG_RECORDS] = "records",
    [SIG_STRV] = "strings",  [SIG_IOVEC] = "iovec"};
const char *bind_kind_name(uint8_t kind) {
  return kind_names[kind];
}

static const char *const dir_names[] = {
    "none", [SIG_IN] = "in", [SIG_OUT] = "out", [SIG_INOUT] = "inout"};

static void set_string(lua_State *L, const char *name, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, lua_Integer value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, name);
}

static const char *const field_kinds[] = {
    [FIELD_INT] = "int", [FIELD_UINT] = "uint", [FIELD_CHARS] = "chars", [FIELD_RECORD] = "record"};

/* { name =, size =, fields = { { name =, offset =, count =, width =, kind =, record = }, ... } } */
static void record_push(lua_State *L, const struct sig_record *r) {
  int i;
  luaL_checkstack(L, 8, "a record");
  lua_createtable(L, 0, 3);
  set_string(L, "name", r->name);
  set_integer(L, "size", r->size);
  lua_createtable(L, r->nfields, 0);
  for (i = 0; i < r->nfields; i++) {
    const struct sig_field *f = &r->fields[i];
    lua_createtable(L, 0, 6);
    set_string(L, "name", f->name);
    set_integer(L, "offset", f->offset);
    set_integer(L, "count", f->count);
    set_integer(L, "width", f->width);
    set_string(L, "kind", field_kinds[f->kind]);
    if (f->record != NULL) {
      record_push(L, f->record);
      lua_setfield(L, -2, "record");
    }
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "fields");
}

static void layout_push(lua_State *L, const struct sig_param *p) {
  set_integer(L, "elem", p->elem);
  lua_pushboolean(L, p->nullable);
  lua_setfield(L, -2, "nullable");
  if (p->size == SIZE_FIXED) set_integer(L, "fixed", p->count);
  if (p->size == SIZE_FIELD) set_integer(L, "fixed", p->record->size);
  if (p->size == SIZE_DEREF) set_integer(L, "deref", p->size_arg + 1);
  if (p->record == NULL) return;
  record_push(L, p->record);
  lua_setfield(L, -2, "record");
}

void bind_push_param(lua_State *L, const struct sig_param *p, bool layout) {
  lua_createtable(L, 0, 8);
  set_string(L, "name", p->name);
  set_string(L, "ctype", p->ctype);
  set_string(L, "kind", kind_names[p->kind]);
  set_string(L, "dir", dir_names[p->dir]);
  lua_pushboolean(L, sig_is_pointer(p));
  lua_setfield(L, -2, "pointer");
  lua_pushboolean(L, p->kind == SIG_ADDR);
  lua_setfield(L, -2, "address");
  lua_pushboolean(L, p->filled == FILLED_RESULT);
  lua_setfield(L, -2, "filled");
  set_integer(L, "width", p->width);
  lua_pushboolean(L, p->is_signed);
  lua_setfield(L, -2, "signed");
  if (p->size == SIZE_ARG && sig_is_pointer(p)) set_integer(L, "count", p->size_arg + 1);
  if (layout) layout_push(L, p);
}

/*
** { params = { { name =, ctype =, kind =, dir =, pointer =, address =, filled = (by the result),
** width =, signed = (of an integer),
** count = (which argument has the number of its elements) }, ... } }; 'layout' adds nullable,
** elem (bytes), fixed (elements), deref (which argument points to their number), record
*/
static void variant_push(lua_State *L, const struct sig_variant *v, bool layout) {
  int i;
  lua_createtable(L, 0, 1);
  lua_createtable(L, v->nparams, 0);
  for (i = 0; i < v->nparams; i++) {
    bind_push_param(L, &v->params[i], layout);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "params");
}

/*
** core.describe(nr | signature [, layout]) -> { name =, nr =, prototype =, noreturn =, address =
** (the result is one), variants = { { params = ... }, ... } }, or nil when the call is not
** described
*/
static int describe(lua_State *L) {
  const struct signature *sig = bind_signature_at(L, 1);
  bool layout = lua_toboolean(L, 2);
  int i;
  if (sig == NULL) return 0;
  lua_createtable(L, 0, 4);
  lua_pushstring(L, sig->name);
  lua_setfield(L, -2, "name");
  lua_pushinteger(L, sig->nr);
  lua_setfield(L, -2, "nr");
  lua_pushstring(L, sig->prototype);
  lua_setfield(L, -2, "prototype");
  lua_pushboolean(L, (sig->flags & SIGF_NORETURN) != 0);
  lua_setfield(L, -2, "noreturn");
  lua_pushboolean(L, (sig->flags & SIGF_ADDRESS) != 0);
  lua_setfield(L, -2, "address");
  lua_createtable(L, sig->nvariants, 0);
  for (i = 0; i < sig->nvariants; i++) {
    variant_push(L, &sig->variants[i], layout);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "variants");
  return 1;
}

/* core.variant(nr, word1, ..., word6) -> which variant these words choose, from 1 */
static int variant(lua_State *L) {
  const struct signature *sig = bind_signature_at(L, 1);
  uint64_t words[LENCASE_MAXARGS] = {0};
  int i;
  if (sig == NULL) return 0;
  for (i = 0; i < LENCASE_MAXARGS; i++) words[i] = (uint64_t)luaL_optinteger(L, i + 2, 0);
  lua_pushinteger(L, sig_select(sig, words, false) - sig->variants + 1);
  return 1;
}

/* core.names() -> the names of all calls with a signature, by their numbers */
static int names(lua_State *L) {
  size_t i;
  lua_createtable(L, (int)sig_table_size, 0);
  for (i = 0; i < sig_table_size; i++) {
    lua_pushstring(L, sig_table[i].name);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* Whether a variant has this name for parameter 'i'. */
static bool has_name(const struct signature *sig, int i, const char *name) {
  int k;
  for (k = 0; k < sig->nvariants; k++) {
    const struct sig_variant *v = &sig->variants[k];
    if (i < v->nparams && strcmp(v->params[i].name, name) == 0) return true;
  }
  return false;
}

/* Whether the parameters have the names in the table at 1, and no others. */
static bool is_named_so(lua_State *L, const struct signature *sig, int n) {
  bool same = sig_widest(sig) == n;
  int i;
  for (i = 0; i < n && same; i++) {
    lua_rawgeti(L, 1, i + 1);
    same = has_name(sig, i, lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  return same;
}

/* core.look_alike(names) -> the first call, by its name, whose parameters are called so, or nil */
static int look_alike(lua_State *L) {
  const struct signature *found = NULL;
  size_t i;
  int n;
  luaL_checktype(L, 1, LUA_TTABLE);
  n = (int)lua_rawlen(L, 1);
  for (i = 0; i < sig_table_size; i++) {
    const struct signature *sig = &sig_table[i];
    if ((found == NULL || strcmp(sig->name, found->name) < 0) && is_named_so(L, sig, n))
      found = sig;
  }
  if (found == NULL) return 0;
  lua_pushstring(L, found->name);
  return 1;
}

/*
** core.members(nr) -> the numbers of the calls that are seen in the prototype of call nr, and a
** table that is true at those of which only some calls are
*/
static int members(lua_State *L) {
  int32_t nr = (int32_t)luaL_checkinteger(L, 1), last = -1;
  lua_Integer n = 0;
  size_t i;
  lua_newtable(L);
  lua_newtable(L);
  for (i = 0; i < sig_folds_size; i++) {
    if (sig_folds[i].family != nr || sig_folds[i].member == last) continue;
    last = sig_folds[i].member;
    lua_pushinteger(L, last);
    lua_rawseti(L, -3, ++n);
    lua_pushboolean(L, sig_folds[i].when.op != TEST_ALWAYS);
    lua_rawseti(L, -2, last);
  }
  return 2;
}

/* core.member_policy(member, family, policy) -> the family's policy for the member's arguments */
static int member_policy(lua_State *L) {
  int32_t member = (int32_t)luaL_checkinteger(L, 1), family = (int32_t)luaL_checkinteger(L, 2);
  lencase_policy policy = (lencase_policy)luaL_checkinteger(L, 3);
  lencase_state *st = lencase_new(NULL);
  int status;
  if (st == NULL) return luaL_error(L, "no memory for a policy");
  status = grate_member_policy(st, member, family, policy, &policy);
  lua_pushinteger(L, (lua_Integer)policy);
  if (status != LENCASE_OK) lua_pushstring(L, lencase_error(st));
  lencase_close(st);
  return status == LENCASE_OK ? 1 : lua_error(L);
}

/* core.plan(nr | signature, policy) -> the plan's steps as text, or nil, message */
static int plan_text(lua_State *L) {
  const struct signature *sig = bind_signature_at(L, 1);
  lencase_policy policy = (lencase_policy)luaL_checkinteger(L, 2);
  lencase_state *st = lencase_new(NULL);
  struct plan *plan = NULL;
  char text[8192];
  int status, n = 0;
  if (st == NULL) return luaL_error(L, "no memory for a plan");
  status = plan_new(st, sig != NULL ? sig : &sig_unknown, policy, &plan);
  if (status == LENCASE_OK)
    n = plan_dump(plan, text, sizeof text);
  else
    strcpy(text, lencase_error(st));
  plan_free(st, plan);
  lencase_close(st);
  if (status != LENCASE_OK) lua_pushnil(L);
  lua_pushlstring(L, text,
                  status != LENCASE_OK || n >= (int)sizeof text ? strlen(text) : (size_t)n);
  return status != LENCASE_OK ? 2 : 1;
}

/* }========================================================================= */

static const luaL_Reg functions[] = {{"signature", signature_new},
                                     {"callnum", callnum},
                                     {"callname", callname},
                                     {"describe", describe},
                                     {"names", names},
                                     {"look_alike", look_alike},
                                     {"members", members},
                                     {"variant", variant},
                                     {"plan", plan_text},
                                     {"member_policy", member_policy},
                                     {NULL, NULL}};

void bind_open_signature(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  luaL_newmetatable(L, signature_name);
  lua_pop(L, 1);
}
