/*
** record.c - what programs ask, what is carried out for them and what they get, as events for Lua
**
** A function gets events in the middle of calls, each a table: lua/lencase/tools/recording.lua
** makes a file of them.
*/

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "bind.h"

enum { PATH_ROOM = 4096, COMM_ROOM = 64, FILES = 256 };

/* A call that a program has made, or that was made for it. */
struct ask {
  struct lencase_cage *cage; /* alive as long as the answer is awaited */
  int32_t nr;
  const struct signature *sig; /* NULL: the call is not described */
  const struct sig_variant *v;
  uint64_t words[LENCASE_MAXARGS];
  uint64_t room[LENCASE_MAXARGS]; /* of each argument, before the call */
};

/* What call->record is. */
struct recorded {
  const struct bind_record *by;
  uint64_t session, id;
  struct ask asked, down;
};

/* An event. */
struct event {
  struct bind_record *r;
  const char *name;
  const struct call *call;
  struct ask *ask;
  const struct snapshot *held;
  struct lencase_cage *cage;
  const char *message;
  int64_t result;
  enum cage_event what;
  int status;
  bool dropped;
};

static struct bind_record *record_of(struct call_recorder *r) {
  return (struct bind_record *)(void *)((char *)r - offsetof(struct bind_record, recorder));
}

/* NULL: this recording does not know the call. */
static struct recorded *recorded_of(const struct bind_record *r, const struct call *call) {
  struct recorded *rec = call->record;
  return rec->by == r && rec->session == r->session ? rec : NULL;
}

/* {================================= values ================================ */

static void set_integer(lua_State *L, const char *name, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, -2, name);
}

/* A number of bytes that a program gives may exceed Lua's integers. */
static lua_Integer bytes_number(uint64_t n) {
  return n <= LUA_MAXINTEGER ? (lua_Integer)n : LUA_MAXINTEGER;
}

static void set_bytes(lua_State *L, const char *name, const void *data, size_t size) {
  lua_pushlstring(L, data != NULL ? data : "", size);
  lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name) {
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, name);
}

/* What a descriptor refers to: a path; false: it is not open. */
static void set_path(lua_State *L, const char *name, struct lencase_cage *cage, int fd) {
  char path[PATH_ROOM];
  int n = cage->ops->fd_path(cage, fd, path, sizeof path);
  if (n >= 0)
    lua_pushlstring(L, path, (size_t)n);
  else if (n == -EBADF)
    lua_pushboolean(L, 0);
  else
    return;
  lua_setfield(L, -2, name);
}

static size_t at_most(size_t size, size_t limit) {
  return size < limit ? size : limit;
}

/* The strings of an array, as many bytes of them as the limit allows, and how long each is. */
static void set_strings(lua_State *L, const struct snapshot *snap, size_t limit) {
  uint32_t i;
  lua_createtable(L, (int)snap->nparts, 0);
  lua_createtable(L, (int)snap->nparts, 0);
  for (i = 0; i < snap->nparts; i++) {
    size_t n = at_most(snap->parts[i].size, limit);
    lua_pushlstring(L, (const char *)snap->parts[i].data, n);
    lua_rawseti(L, -3, i + 1);
    lua_pushinteger(L, bytes_number(snap->parts[i].size));
    lua_rawseti(L, -2, i + 1);
    limit -= n;
  }
  lua_setfield(L, -3, "sizes");
  lua_setfield(L, -2, "strings");
}

static void set_runs(lua_State *L, const struct snapshot *snap) {
  uint32_t i;
  lua_createtable(L, (int)snap->nparts, 0);
  for (i = 0; i < snap->nparts; i++) {
    lua_pushinteger(L, bytes_number(snap->parts[i].told));
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "runs");
}

/* The table on the top gets what was seen of an argument. */
static void set_peek(lua_State *L, const struct sig_param *p, const struct peek *peek,
                     size_t limit) {
  const struct snapshot *snap = &peek->snap;
  if (snap->state == SNAP_NULL) set_flag(L, "null");
  if (peek->fault) set_flag(L, "fault");
  if (snap->state == SNAP_NULL || peek->fault || p->kind == SIG_ADDR) return;
  if (p->kind == SIG_STRV) {
    set_strings(L, snap, limit);
    return;
  }
  set_integer(L, "size", bytes_number(peek->size));
  if (p->kind == SIG_IOVEC) set_runs(L, snap);
  if (snap->state == SNAP_HELD && (p->kind != SIG_IOVEC || snap->data != NULL))
    set_bytes(L, "bytes", snap->data, at_most(snap->size, limit));
}

static bool is_descriptor(const struct sig_param *p) {
  size_t n = strlen(p->name);
  return p->kind == SIG_INT && n >= 2 && strcmp(p->name + n - 2, "fd") == 0;
}

/*
** { name =, kind =, word =, int =, path =, null =, fault =, size =, bytes =, strings =, sizes =,
** runs = }
*/
static void push_arg(lua_State *L, const struct event *ev, int arg) {
  struct ask *ask = ev->ask;
  const struct sig_param *p = &ask->v->params[arg];
  struct peek peek =
      marshal_peek(ask->cage, ask->v, arg, ask->words, ev->held, ev->r->limit, &ev->r->arena);
  ask->room[arg] = peek.size;
  lua_createtable(L, 0, 5);
  lua_pushstring(L, p->name);
  lua_setfield(L, -2, "name");
  lua_pushstring(L, bind_kind_name(p->kind));
  lua_setfield(L, -2, "kind");
  set_integer(L, "word", (lua_Integer)ask->words[arg]);
  if (p->kind == SIG_INT) set_integer(L, "int", sig_int(p, ask->words[arg]));
  if (is_descriptor(p)) set_path(L, "path", ask->cage, (int)ask->words[arg]);
  if (p->kind != SIG_INT) set_peek(L, p, &peek, ev->r->limit);
}

static void set_args(lua_State *L, const struct event *ev) {
  int i;
  lua_createtable(L, ev->ask->v->nparams, 0);
  for (i = 0; i < ev->ask->v->nparams; i++) {
    push_arg(L, ev, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "args");
}

/* { { arg =, size =, bytes = }, ... } */
static void set_outs(lua_State *L, const struct event *ev) {
  const struct ask *ask = ev->ask;
  lua_Integer n = 0;
  int i;
  lua_newtable(L);
  for (i = 0; i < ask->v->nparams && ev->result >= 0; i++) {
    struct peek peek = marshal_peek_out(ask->cage, ask->v, i, ask->words, ask->room[i], ev->result,
                                        ev->r->limit, &ev->r->arena);
    if (peek.snap.state != SNAP_HELD) continue;
    lua_createtable(L, 0, 3);
    set_integer(L, "arg", i + 1);
    set_integer(L, "size", bytes_number(peek.size));
    set_bytes(L, "bytes", peek.snap.data, peek.snap.size);
    lua_rawseti(L, -2, ++n);
  }
  lua_setfield(L, -2, "outs");
}

/* }========================================================================= */

/* {================================= events ================================ */

static void set_call(lua_State *L, const struct event *ev) {
  const struct ask *ask = ev->ask;
  set_integer(L, "nr", ask->nr);
  if (ask->sig != NULL)
    lua_pushstring(L, ask->sig->name);
  else
    bind_push_callname(L, ask->nr, NULL);
  lua_setfield(L, -2, "call");
  set_integer(L, "cage", (lua_Integer)ask->cage->id);
  set_integer(L, "pid", ask->cage->pid);
}

static void set_asked(lua_State *L, const struct event *ev) {
  const struct lencase_cage *cage = ev->ask->cage;
  int64_t tid = cage->ops->tid != NULL ? cage->ops->tid(ev->call) : cage->pid;
  set_call(L, ev);
  set_integer(L, "tid", tid);
  set_path(L, "cwd", ev->ask->cage, AT_FDCWD);
  set_args(L, ev);
}

static void set_down(lua_State *L, const struct event *ev) {
  set_call(L, ev);
  set_args(L, ev);
}

static void set_answered(lua_State *L, const struct event *ev) {
  set_integer(L, "result", ev->result);
  set_outs(L, ev);
}

static void set_over(lua_State *L, const struct event *ev) {
  if (!ev->dropped) set_answered(L, ev);
}

static void set_failed(lua_State *L, const struct event *ev) {
  lua_pushstring(L, ev->message);
  lua_setfield(L, -2, "message");
}

/* What exec left open. */
static void set_files(lua_State *L, struct lencase_cage *cage) {
  lua_Integer n = 0;
  int fd;
  lua_newtable(L);
  for (fd = 0; fd < FILES; fd++) {
    if (!cage->ops->fd_open(cage, fd)) continue;
    lua_pushinteger(L, fd);
    lua_rawseti(L, -2, ++n);
  }
  lua_setfield(L, -2, "fds");
}

static void set_cage(lua_State *L, const struct event *ev) {
  struct lencase_cage *cage = ev->cage;
  char comm[COMM_ROOM];
  int n = cage->gone ? -1 : cage->ops->comm(cage, comm, sizeof comm);
  set_integer(L, "cage", (lua_Integer)cage->id);
  set_integer(L, "pid", cage->pid);
  set_integer(L, "parent", (lua_Integer)cage->parent);
  set_integer(L, "status", ev->status);
  if (cage->shares_files) set_flag(L, "shares_files");
  if (n >= 0) set_bytes(L, "comm", comm, (size_t)n);
  if (cage->gone) return;
  set_path(L, "cwd", cage, AT_FDCWD);
  if (ev->what == CAGE_EXEC) set_files(L, cage);
}

static const struct {
  const char *name;
  void (*set)(lua_State *L, const struct event *ev);
} setters[] = {{"asked", set_asked},   {"down", set_down}, {"answered", set_answered},
               {"failed", set_failed}, {"over", set_over}, {NULL, set_cage}};

/* Runs protected: f(name, { id =, ... }) */
static int tell_event(lua_State *L) {
  const struct event *ev = lua_touserdata(L, 1);
  const struct recorded *rec = ev->call != NULL ? ev->call->record : NULL;
  size_t i = 0;
  luaL_checkstack(L, LUA_MINSTACK, "a recorded call");
  lua_rawgeti(L, LUA_REGISTRYINDEX, ev->r->fn);
  lua_pushstring(L, ev->name);
  lua_createtable(L, 0, 8);
  if (rec != NULL) set_integer(L, "id", (lua_Integer)rec->id);
  while (setters[i].name != NULL && strcmp(setters[i].name, ev->name) != 0) i++;
  setters[i].set(L, ev);
  lua_call(L, 2, 0);
  return 0;
}

static void tell(struct event *ev) {
  bind_tell(ev->r->state, tell_event, ev);
  arena_reset(&ev->r->arena);
}

static void ask_set(struct ask *ask, struct lencase_cage *cage, int32_t nr,
                    const uint64_t words[LENCASE_MAXARGS], const struct signature *sig) {
  *ask = (struct ask){.cage = cage, .nr = nr, .sig = sig};
  memcpy(ask->words, words, sizeof ask->words);
  ask->v = sig_select(sig != NULL ? sig : &sig_unknown, words, cage->narrow);
}

/* An author's own prototype is in the plan that the call was given. */
static const struct signature *signature_of(const struct call *call) {
  const struct plan *plan = call->answer != NULL ? call->answer->plan : NULL;
  if (plan != NULL && plan->sig != &sig_unknown) return plan->sig;
  return sig_by_nr(call->nr);
}

static void asked(struct call_recorder *recorder, struct call *call, const struct snapshot *held) {
  struct bind_record *r = record_of(recorder);
  struct recorded *rec = arena_new(&call->arena, sizeof *rec);
  struct event ev = {.r = r, .name = "asked", .call = call, .held = held};
  if (rec == NULL) return;
  rec->by = r;
  rec->session = r->session;
  rec->id = ++r->last;
  ask_set(&rec->asked, call->cage, call->nr, call->words, signature_of(call));
  call->record = rec;
  ev.ask = &rec->asked;
  tell(&ev);
}

static void down(struct call_recorder *recorder, struct call *call, struct lencase_cage *cage,
                 int32_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct bind_record *r = record_of(recorder);
  struct recorded *rec = recorded_of(r, call);
  struct event ev = {.r = r, .name = "down", .call = call};
  if (rec == NULL) return;
  ask_set(&rec->down, cage, nr, words, nr == rec->asked.nr ? rec->asked.sig : sig_by_nr(nr));
  ev.ask = &rec->down;
  tell(&ev);
}

static void answered(struct call_recorder *recorder, struct call *call, int64_t result) {
  struct bind_record *r = record_of(recorder);
  struct recorded *rec = recorded_of(r, call);
  struct event ev = {.r = r, .name = "answered", .call = call, .result = result};
  if (rec == NULL) return;
  ev.ask = &rec->down;
  tell(&ev);
}

static void failed(struct call_recorder *recorder, struct call *call, const char *message) {
  struct event ev = {.r = record_of(recorder), .name = "failed", .call = call, .message = message};
  if (recorded_of(ev.r, call) != NULL) tell(&ev);
}

static void over(struct call_recorder *recorder, struct call *call, bool dropped) {
  struct bind_record *r = record_of(recorder);
  struct recorded *rec = recorded_of(r, call);
  struct event ev = {
      .r = r, .name = "over", .call = call, .result = call->result, .dropped = dropped};
  if (rec == NULL) return;
  ev.ask = &rec->asked;
  tell(&ev);
}

static const char *const cage_events[] = {
    [CAGE_NEW] = "born", [CAGE_EXEC] = "exec", [CAGE_EXIT] = "exit"};

static void cage_event(struct cage_watcher *w, struct lencase_cage *cage, enum cage_event what,
                       int status) {
  struct event ev = {.name = cage_events[what], .cage = cage, .what = what, .status = status};
  ev.r = (struct bind_record *)(void *)((char *)w - offsetof(struct bind_record, watcher));
  tell(&ev);
}

/* }========================================================================= */

/* {============================== on and off =============================== */

void bind_record_close(lua_State *L, struct bind_state *b) {
  struct bind_record *r = &b->record;
  if (r->fn == LUA_NOREF) return;
  cage_unwatch(b->st, &r->watcher);
  b->st->recorder = NULL;
  luaL_unref(L, LUA_REGISTRYINDEX, r->fn);
  r->fn = LUA_NOREF;
  arena_free(&r->arena);
}

static void record_open(lua_State *L, struct bind_state *b, size_t limit) {
  uint64_t session = b->record.session + 1, last = b->record.last;
  b->record = (struct bind_record){.recorder = {asked, down, answered, failed, over},
                                   .watcher = {.event = cage_event},
                                   .state = b,
                                   .arena = {.st = b->st},
                                   .limit = limit,
                                   .session = session,
                                   .last = last,
                                   .fn = luaL_ref(L, LUA_REGISTRYINDEX)};
  cage_watch(b->st, &b->record.watcher);
  b->st->recorder = &b->record.recorder;
}

int bind_record_in(lua_State *L, struct bind_state *b) {
  lua_Integer limit = luaL_optinteger(L, 3, 0);
  luaL_argcheck(L, limit >= 0, 3, "the number of bytes must not be negative");
  if (lua_toboolean(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
  if (b->st->recorder != NULL && b->st->recorder != &b->record.recorder)
    return luaL_error(L, "the calls of this state are recorded already");
  lua_settop(L, 2);
  bind_record_close(L, b);
  if (lua_toboolean(L, 2)) record_open(L, b, (size_t)limit);
  return 0;
}

/*
** state:record(f, limit): f(event, { ... }) gets the calls of cages, with at most 'limit'
** bytes of each argument, and of the cages' births and exits; state:record(false) ends that
*/
int bind_record(lua_State *L) {
  return bind_record_in(L, bind_state_at(L, 1));
}

/* }========================================================================= */
