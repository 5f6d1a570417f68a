/*
** grate_result.c - what a handler returned, and what the caller gets of it
*/

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

#include "grate_value.h"

static int errno_value(lua_State *L, int index) {
  lua_Integer e = 0;
  if (lua_isinteger(L, index)) e = lua_tointeger(L, index);
  if (e < 1 || e > ERRNO_MAX)
    luaL_error(L, "the handler returned -1 with the errno %s: return lencase.fail \"NAME\"",
               luaL_tolstring(L, index, NULL));
  return (int)e;
}

/* lencase.fail "NAME" is a table with its errno in it. */
static bool failure_value(lua_State *L, int index, int64_t *result) {
  if (!lua_istable(L, index)) return false;
  lua_getfield(L, index, "errno");
  *result = -errno_value(L, lua_gettop(L));
  lua_pop(L, 1);
  return true;
}

static int64_t result_value(lua_State *L, int index) {
  lua_Integer n;
  int64_t failure;
  if (value_is_null(L, index)) return 0;
  if (bad_at(L, index) != NULL) bad_raise_again(L, index);
  if (failure_value(L, index, &failure)) return failure;
  if (!lua_isinteger(L, index))
    luaL_error(L, "the handler returned a %s where a result (n, or -1 and an errno) is needed",
               luaL_typename(L, index));
  n = lua_tointeger(L, index);
  if (n < -1 && n >= -ERRNO_MAX)
    luaL_error(L, "the handler returned %d: a failure is -1 and an errno", (int)n);
  if (n == -1 && lua_isnoneornil(L, index + 1))
    luaL_error(L, "the handler returned -1 without an errno: return lencase.fail \"NAME\"");
  return n == -1 ? -errno_value(L, index + 1) : n;
}

/* The runs that the downcall filled are the caller's, though their array was ours. */
static bool same_runs(const struct snapshot *outs, const struct snapshot *callers) {
  uint32_t i;
  for (i = 0; i < outs->nparts && i < callers->nparts; i++)
    if (outs->parts[i].addr != callers->parts[i].addr) return false;
  return outs->nparts <= callers->nparts;
}

/* The downcall filled the caller's own memory with argument 'arg'. */
static bool filled_callers(const struct frame *f, int arg) {
  const struct call *call = f->call;
  if (!f->down.own) return false;
  if (f->down.words[arg] == call->words[arg]) return true;
  return call->vp->variant->params[arg].kind == SIG_IOVEC &&
         same_runs(&f->outs[arg], &call->snaps[arg]);
}

/* These bytes are in the caller's memory already. */
static bool is_there(lua_State *L, struct frame *f, int arg, int index) {
  const struct view *v = view_at(L, index);
  return v != NULL && !v->dirty && v->data == f->outs[arg].data && v->parts == f->outs[arg].parts &&
         filled_callers(f, arg);
}

/* The first place named by the caller that cannot be written: the caller's mistake. */
static void note_fault(struct marshal_fault *fault, int arg, uint64_t addr, uint64_t size) {
  if (fault->size == 0) *fault = (struct marshal_fault){arg, addr, size};
}

static void write_out(struct frame *f, int arg, uint64_t addr, const unsigned char *data,
                      size_t size, struct marshal_fault *fault) {
  struct call *call = f->call;
  struct mem_seg seg = {addr, (void *)(uintptr_t)data, size};
  if (size == 0 || (addr == 0 && call->vp->variant->params[arg].nullable)) return;
  if (addr == 0 || call->cage->ops->write(call->cage, &seg) == LENCASE_EFAULT)
    note_fault(fault, arg, addr, size);
}

static void check_room(lua_State *L, const struct sig_param *p, size_t size, uint64_t room) {
  if (size > room)
    luaL_error(L, "the handler returned %d bytes for %s, where the caller has room for %d",
               (int)size, p->name, (int)room);
}

/* Bytes spread over the caller's iovec, in order. */
static void scatter(lua_State *L, struct frame *f, int arg, int index,
                    struct marshal_fault *fault) {
  const struct sig_param *p = &f->call->vp->variant->params[arg];
  const struct snapshot *runs = &f->call->snaps[arg];
  size_t size;
  uint64_t room = 0;
  const unsigned char *data = value_plain(L, index, &size);
  uint32_t i;
  if (data == NULL && bad_at(L, index) != NULL) bad_raise_again(L, index);
  if (data == NULL)
    luaL_error(L, "the handler returned a %s for %s, where a string is needed",
               luaL_typename(L, index), p->name);
  if (f->call->words[arg] == 0) {
    write_out(f, arg, 0, data, size, fault);
    return;
  }
  for (i = 0; i < runs->nparts; i++) room += runs->parts[i].told;
  check_room(L, p, size, room);
  for (i = 0; i < runs->nparts && size > 0; i++) {
    size_t n = runs->parts[i].told < size ? (size_t)runs->parts[i].told : size;
    write_out(f, arg, runs->parts[i].addr, data, n, fault);
    data += n;
    size -= n;
  }
}

/* How many bytes the caller has room for; false: unknown, the pointer to their number is bad. */
static bool room_told(const struct frame *f, int arg, uint64_t *room, struct marshal_fault *fault) {
  const struct call *call = f->call;
  const struct sig_variant *v = call->vp->variant;
  const struct sig_param *p = &v->params[arg];
  int status = marshal_room(call->cage, v, arg, call->words, call->snaps, room);
  if (p->size != SIZE_DEREF || (status == LENCASE_OK && call->words[p->size_arg] != 0)) return true;
  note_fault(fault, p->size_arg, call->words[p->size_arg], sizeof(uint32_t));
  return false;
}

/* Memory that is readable in part is written as far as it was read, whatever its type. */
static bool put_cut(lua_State *L, struct frame *f, int arg, int index,
                    struct marshal_fault *fault) {
  const struct snapshot *seen = &f->outs[arg];
  size_t size;
  bool cut = f->call->downcalls > 0 && f->down.own && seen->cut != CUT_NONE;
  const unsigned char *data = cut ? value_plain(L, index, &size) : NULL;
  if (data == NULL || size != seen->size) return false;
  write_out(f, arg, f->call->words[arg], data, size, fault);
  return true;
}

/* Out-argument 'arg' gets the value at 'index' in place of what the call filled in. */
static void out_value(lua_State *L, struct frame *f, int arg, int index,
                      struct marshal_fault *fault) {
  struct call *call = f->call;
  const struct sig_param *p = &call->vp->variant->params[arg];
  struct value_of of = {p, "the handler's result"};
  struct snapshot value = {0};
  uint64_t room;
  if (lua_isnil(L, index) || is_there(L, f, arg, index)) return;
  if (p->kind == SIG_IOVEC) {
    scatter(L, f, arg, index, fault);
    return;
  }
  if (put_cut(L, f, arg, index, fault)) return;
  value_take(L, f, index, &of, &value);
  if (call->words[arg] != 0) {
    if (!room_told(f, arg, &room, fault)) return;
    check_room(L, p, value.size, room);
  }
  write_out(f, arg, call->words[arg], value.data, value.size, fault);
}

static void out_values(lua_State *L, struct frame *f, int first, struct marshal_fault *fault) {
  const struct variant_plan *vp = f->call->vp;
  int i, n = lua_gettop(L) - first + 1;
  if (n > vp->nout)
    luaL_error(L,
               "the handler returned %d values after the errno; the call has %d copied "
               "out-arguments",
               n, (int)vp->nout);
  for (i = 0; i < n; i++) out_value(L, f, vp->out[i].arg, first + i, fault);
}

void grate_take_results(lua_State *L, struct frame *f, int first) {
  struct call *call = f->call;
  struct marshal_fault fault = {0};
  int64_t result;
  if (lua_isnoneornil(L, first)) {
    if (call->downcalls > 0)
      luaL_error(L, "%s: the handler returned nothing after having made its call",
                 call->answer->where);
    f->verdict = VERDICT_PASS;
    return;
  }
  result = result_value(L, first);
  if (result >= 0 || result < -ERRNO_MAX) {
    luaL_checkstack(L, LUA_MINSTACK, "results of a call");
    out_values(L, f, first + 2, &fault);
  }
  if (fault.size > 0) { /* the kernel, too, reports that of a call that it has carried out */
    call_mistake(call, call->vp->variant->params[fault.arg].name, fault.addr, fault.size,
                 "cannot be written", "the caller gets EFAULT");
    result = -EFAULT;
  }
  call->result = result;
  f->verdict = VERDICT_DONE;
}
