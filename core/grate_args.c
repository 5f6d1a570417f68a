/*
** grate_args.c - what a handler sees of its call
*/

#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "grate_value.h"

static void strv_push(lua_State *L, const struct sig_param *p, const struct snapshot *snap) {
  uint32_t i;
  lua_createtable(L, (int)snap->nparts, 0);
  for (i = 0; i < snap->nparts; i++) {
    const struct snap_part *part = &snap->parts[i];
    if (part->cut == CUT_NONE)
      lua_pushlstring(L, (const char *)part->data, part->size);
    else
      bad_push(L, p->name, &(struct snapshot){.addr = part->addr, .cut = part->cut});
    lua_rawseti(L, -2, i + 1);
  }
}

static void held_push(lua_State *L, struct frame *f, const struct sig_param *p,
                      const struct snapshot *snap) {
  if (p->kind == SIG_STRING)
    lua_pushlstring(L, (const char *)snap->data, snap->size);
  else if (p->kind == SIG_STRV)
    strv_push(L, p, snap);
  else
    view_push(L, f, p, snap, (p->dir & SIG_OUT) != 0);
}

/* What the handler sees of argument 'arg' of the call itself. */
static void arg_push(lua_State *L, struct frame *f, int arg) {
  const struct call *call = f->call;
  const struct sig_param *p = &call->vp->variant->params[arg];
  unsigned mode = call->vp->mode[arg];
  if (mode & LENCASE_P_PASS)
    lua_pushnil(L);
  else if (p->kind == SIG_INT)
    lua_pushinteger(L, sig_int(p, call->words[arg]));
  else if ((mode & LENCASE_P_ADDR) || p->kind == SIG_ADDR)
    lua_pushinteger(L, (lua_Integer)call->words[arg]);
  else if (call->words[arg] == 0)
    lua_pushlightuserdata(L, NULL);
  else if (call->snaps[arg].state == SNAP_HELD)
    held_push(L, f, p, &call->snaps[arg]);
  else if (call->snaps[arg].state == SNAP_BAD)
    bad_push(L, p->name, &call->snaps[arg]);
  else
    lua_pushnil(L); /* it is filled by the call */
}

/* Whether field 'p' of a record is among what could be read of it. */
static bool has_field(const struct call *call, const struct fold_param *p) {
  const struct snapshot *snap = &call->snaps[p->arg];
  return snap->state == SNAP_HELD &&
         (snap->cut == CUT_NONE || p->value + sizeof(uint64_t) <= snap->size);
}

static uint64_t field_word(const struct call *call, const struct fold_param *p) {
  uint64_t word = 0;
  if (has_field(call, p)) memcpy(&word, call->snaps[p->arg].data + p->value, sizeof word);
  return word;
}

static uint64_t fold_word(const struct call *call, const struct fold_param *p) {
  if (p->from == FOLD_CONST) return p->value;
  if (p->from == FOLD_FIELD) return field_word(call, p);
  return p->from == FOLD_ABSENT ? 0 : call->words[p->arg];
}

/* The path with its directory in front, in the call's arena; false: it stands for itself. */
static bool resolve(lua_State *L, struct frame *f, const struct fold_param *p,
                    struct snapshot *out) {
  struct call *call = f->call;
  const struct snapshot *path = &call->snaps[p->arg];
  char dir[PATH_MAX];
  int n, fd = (int)call->words[p->dir_arg];
  if (path->state != SNAP_HELD || fd == AT_FDCWD || path->size == 0 || path->data[0] == '/')
    return false;
  n = call->cage->ops->fd_path(call->cage, fd, dir, sizeof dir);
  if (n < 0 || dir[0] != '/') return false;
  out->data = value_room(L, f, (size_t)n + 1 + path->size);
  out->size = (size_t)n + 1 + path->size;
  memcpy(out->data, dir, (size_t)n);
  out->data[n] = '/';
  memcpy(out->data + n + 1, path->data, path->size);
  out->state = SNAP_HELD;
  return true;
}

static void path_push(lua_State *L, struct frame *f, int i) {
  const struct fold_param *p = &f->fold->params[i];
  struct snapshot *path = &f->paths[i];
  bool copied = (f->call->vp->mode[p->arg] & LENCASE_P_COPY) != 0;
  if (copied && (path->state == SNAP_HELD || resolve(L, f, p, path)))
    lua_pushlstring(L, (const char *)path->data, path->size);
  else
    arg_push(L, f, p->arg);
}

void value_push_folded(lua_State *L, struct frame *f, int i) {
  const struct fold_param *p = &f->fold->params[i];
  const struct call *call = f->call;
  switch ((enum fold_from)p->from) {
    case FOLD_ARG: arg_push(L, f, p->arg); break;
    case FOLD_PATH: path_push(L, f, i); break;
    case FOLD_CONST: lua_pushinteger(L, (lua_Integer)p->value); break;
    case FOLD_FIELD:
      if (has_field(call, p))
        lua_pushinteger(L, (lua_Integer)field_word(call, p));
      else
        bad_push(L, call->vp->variant->params[p->arg].name, &call->snaps[p->arg]);
      break;
    case FOLD_ABSENT: lua_pushnil(L); break;
  }
}

static const struct sig_variant *folded_variant(const struct call *call,
                                                const struct sig_fold *fold) {
  uint64_t words[LENCASE_MAXARGS] = {0};
  int i;
  for (i = 0; i < fold->nparams; i++) words[i] = fold_word(call, &fold->params[i]);
  return sig_select(sig_by_nr(fold->family), words, call->cage->narrow);
}

int grate_push_args(lua_State *L, struct frame *f) {
  const struct call *call = f->call;
  int i;
  stack_mark(L, top);
  f->fold = NULL;
  f->shown = call->vp->variant;
  if (call->entry->family != call->nr) {
    snapshots_clear(f->paths);
    f->fold = sig_fold_of(call->nr, call->entry->family, call->words);
    f->shown = folded_variant(call, f->fold);
  }
  luaL_checkstack(L, LENCASE_MAXARGS + LUA_MINSTACK, "arguments of a call");
  for (i = 0; i < f->shown->nparams; i++)
    if (f->fold != NULL)
      value_push_folded(L, f, i);
    else
      arg_push(L, f, i);
  stack_check(L, top, i);
  return i;
}
