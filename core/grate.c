/*
** grate.c - a grate's life, its frames, and the resuming of handlers
*/

#include "grate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { HOOK_COUNT = 100000 }; /* VM instructions between two looks at the clock */

/* {=============================== Lua states ============================== */

static void *grate_alloc(void *ud, void *ptr, size_t osize, size_t nsize) {
  struct lencase_grate *g = ud;
  if (ptr == NULL) osize = 0; /* it encodes a type then: lua_Alloc */
  if (nsize > osize && nsize - osize > g->st->config.max_grate_bytes - g->bytes) return NULL;
  if (nsize == 0) {
    state_free(g->st, ptr, osize);
    g->bytes -= osize;
    return NULL;
  }
  ptr = state_realloc(g->st, ptr, osize, nsize);
  if (ptr != NULL) g->bytes += nsize - osize;
  return ptr;
}

struct lencase_grate *grate_of(lua_State *L) {
  void *ud;
  return lua_getallocf(L, &ud) == grate_alloc ? ud : NULL;
}

struct frame *grate_frame(lua_State *L) {
  struct frame *f;
  memcpy(&f, lua_getextraspace(L), sizeof f);
  return f != NULL && f->co == L ? f : NULL;
}

static void set_frame(lua_State *L, struct frame *f) {
  memcpy(lua_getextraspace(L), &f, sizeof f);
}

static int64_t processor_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void watch_time(lua_State *L, lua_Debug *ar);

/* Values of 'interrupted': by Ctrl-C; one period of the hook later; the error was raised. */
enum { INTERRUPT_REQUESTED = 1, INTERRUPT_PENDING = 2, INTERRUPT_RAISED = 3 };

/* A handler that ends soon is left alone; later every instruction is an error. */
static void cut_short(struct lencase_grate *g, lua_State *L) {
  if (g->interrupted == INTERRUPT_REQUESTED) {
    g->interrupted = INTERRUPT_PENDING;
    return;
  }
  g->interrupted = INTERRUPT_RAISED;
  lua_sethook(L, watch_time, LUA_MASKCOUNT, 1);
  luaL_error(L, "interrupted");
}

/*
** A handler that does not end: from the moment its time is over the hook comes
** with every instruction, so that a pcall around the loop does not save it.
*/
static void watch_time(lua_State *L, lua_Debug *ar) {
  struct lencase_grate *g = grate_of(L);
  int64_t now = processor_ns();
  if (g->interrupted != 0) cut_short(g, L);
  if (g->ticks++ == 0) {
    g->started = now;
    return;
  }
  if (now - g->started < (int64_t)g->handler_ms * 1000000) return;
  lua_sethook(L, watch_time, LUA_MASKCOUNT, 1);
  lua_getinfo(L, "Sl", ar);
  luaL_error(L, "%s:%d: the handler did not end within %d ms of processor time", ar->short_src,
             ar->currentline, (int)g->handler_ms);
}

static void begin_time(struct lencase_grate *g, lua_State *L) {
  g->ticks = 0;
  if (g->interrupted != INTERRUPT_REQUESTED) g->interrupted = 0;
  if (lua_gethookcount(L) != HOOK_COUNT) lua_sethook(L, watch_time, LUA_MASKCOUNT, HOOK_COUNT);
}

/* }========================================================================= */

/* {================================= frames ================================ */

/* Runs protected: makes the coroutine and the views of a frame. */
static int frame_build(lua_State *L) {
  struct frame *f = lua_touserdata(L, 1);
  f->co = lua_newthread(L);
  f->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  f->views = luaL_ref(L, LUA_REGISTRYINDEX);
  set_frame(f->co, f);
  return 0;
}

static struct frame *frame_new(struct lencase_grate *g) {
  struct frame *f = state_new(g->st, sizeof *f);
  if (f == NULL) return NULL;
  f->grate = g;
  f->ref = f->views = LUA_NOREF;
  lua_pushcfunction(g->L, frame_build);
  lua_pushlightuserdata(g->L, f);
  if (lua_pcall(g->L, 1, 0, 0) != LUA_OK) {
    lua_pop(g->L, 1);
    luaL_unref(g->L, LUA_REGISTRYINDEX, f->ref);
    state_free(g->st, f, sizeof *f);
    return NULL;
  }
  f->all = g->all_frames;
  g->all_frames = f;
  return f;
}

static struct frame *frame_get(struct lencase_grate *g, struct call *call) {
  struct frame *f = g->frames;
  if (f != NULL)
    g->frames = f->next;
  else
    f = frame_new(g);
  if (f == NULL) return NULL;
  f->call = call;
  call->frame = f;
  return f;
}

/* The call is over: what was given to its handler is not valid any more. */
static void frame_end(struct frame *f) {
  f->call = NULL;
  f->fold = NULL;
  f->stamp++;
  f->nviews = 0;
  f->target = 0;
  f->waiting = false;
}

static void frame_put(struct frame *f) {
  frame_end(f);
  f->next = f->grate->frames;
  f->grate->frames = f;
}

/* The handler is cut short, wherever it waits: what it left to be closed is closed. */
static void frame_cut(struct frame *f) {
  begin_time(f->grate, f->co);
  lua_resetthread(f->co);
  lua_settop(f->co, 0);
  frame_put(f);
}

/* }========================================================================= */

/* {================================ handlers =============================== */

static struct grate_entry *entry_of(const struct call *call) {
  return call->entry->ud;
}

/* Lua puts the place before most messages, but not before those that C raises. */
static bool names_script(const char *message, const char *where) {
  const char *colon = strrchr(where, ':');
  size_t n = colon != NULL ? (size_t)(colon - where) + 1 : strlen(where);
  return strncmp(message, where, n) == 0;
}

void grate_report(struct call *call, const char *message, const char *answer) {
  struct grate_entry *e = entry_of(call);
  char where[160];
  bool named = names_script(message, e->where);
  e->messages++;
  if (e->messages > GRATE_MESSAGES) return;
  state_log(call->cage->st, "%s%s%s: in %s; %s%s", named ? "" : e->where, named ? "" : ": ",
            message, call_where(call, where, sizeof where), answer,
            e->messages == GRATE_MESSAGES ? " (no more messages of this handler)" : "");
}

/* A script that fails: on_error says what becomes of caller and cage, which is logged. */
static enum verdict fail_closed(struct call *call, const char *message) {
  struct lencase_grate *g = entry_of(call)->grate;
  struct grate_watch *watch = g->st->watch;
  char answer[80];
  if (watch != NULL) watch->failed(watch, call, message);
  call_failed(call, message);
  if (g->on_error == ON_ERROR_PASS) {
    grate_report(call, message, "the call goes on as if it had no handler");
    call->result = call->down_result;
    return call->downcalls == 0 ? VERDICT_PASS : VERDICT_DONE;
  }
  call->result = -g->error;
  if (g->on_error == ON_ERROR_KILL) {
    grate_report(call, message, "the cage is ended");
    call->cage->ops->kill(call->cage);
  } else {
    snprintf(answer, sizeof answer, "the caller gets %s", strerrorname_np(g->error));
    grate_report(call, message, answer);
  }
  return VERDICT_DONE;
}

static const char *message_of(lua_State *L) {
  const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  return s != NULL ? s : "the script raised an error that is no string";
}

/* Returns whether it worked; an error leaves its message. */
static int handler_over(lua_State *co, int status, lua_KContext ctx) {
  struct frame *f = grate_frame(co);
  (void)ctx;
  f->failed = status != LUA_OK && status != LUA_YIELD;
  if (f->failed) return 1;
  grate_take_results(co, f, 1);
  return 0;
}

/*
** The body of a frame's coroutine: asks the script's function, with the arguments of the call. Its
** errors are caught in here and not by lua_resume: the coroutine can be used again, and what the
** handler left to be closed may make calls yet.
*/
static int handler_body(lua_State *co) {
  struct frame *f = grate_frame(co);
  struct grate_watch *watch;
  int n;
  lua_rawgeti(co, LUA_REGISTRYINDEX, entry_of(f->call)->fn);
  n = grate_push_args(co, f);
  watch = f->grate->st->watch;
  if (watch != NULL) watch->asked(watch, co, f, n);
  return handler_over(co, lua_pcallk(co, n, LUA_MULTRET, 0, 0, handler_over), 0);
}

static enum verdict handler_failed(struct frame *f) {
  if (bad_ends(f->co, f->call)) return VERDICT_DONE;
  return fail_closed(f->call, message_of(f->co));
}

static enum verdict handler_ended(struct frame *f) {
  enum verdict verdict = f->failed ? handler_failed(f) : f->verdict;
  lua_settop(f->co, 0);
  frame_put(f);
  return verdict;
}

static enum verdict handler_cut(struct frame *f, enum verdict verdict) {
  frame_cut(f);
  return verdict;
}

static enum verdict resume(struct frame *f, int nargs) {
  struct lencase_grate *g = f->grate;
  int nres, status;
#ifdef LENCASE_HARD
  lua_gc(g->L, LUA_GCCOLLECT);
#endif
  begin_time(g, f->co);
  status = lua_resume(f->co, g->L, nargs, &nres);
  if (status == LUA_OK) return handler_ended(f);
  if (status != LUA_YIELD) return handler_cut(f, handler_failed(f));
  if (f->waiting) return VERDICT_PARKED;
  return handler_cut(
      f, fail_closed(f->call, "a handler may not yield: it is a coroutine of lencase's own"));
}

/* Whether the handler sees anything of the arguments. */
static bool sees_any(const struct variant_plan *vp) {
  int i = 0;
  while (i < vp->variant->nparams && (vp->mode[i] & LENCASE_P_PASS)) i++;
  return i < vp->variant->nparams;
}

/* Arguments that no variant describes are shown as addresses: that is logged, once. */
static void tell_unknown(struct call *call) {
  struct grate_entry *e = entry_of(call);
  char where[160];
  if (!call->vp->variant->unknown || e->told_unknown || !sees_any(call->vp)) return;
  e->told_unknown = true;
  state_log(call->cage->st,
            "%s: %s: no variant describes these arguments; they are passed as addresses", e->where,
            call_where(call, where, sizeof where));
}

static enum verdict answer_constant(struct call *call) {
  call->result = call->entry->constant;
  return VERDICT_DONE;
}

static enum verdict start(struct call *call) {
  struct frame *f;
  if (entry_of(call)->fn == LUA_NOREF) return answer_constant(call);
  f = frame_get(entry_of(call)->grate, call);
  tell_unknown(call);
  if (f == NULL) return fail_closed(call, "no memory for a coroutine");
  lua_pushcfunction(f->co, handler_body);
  return resume(f, 0);
}

static enum verdict go_on(struct call *call) {
  struct frame *f = call->frame;
  f->waiting = false;
  return resume(f, 0);
}

static enum verdict drop(struct call *call) {
  struct frame *f = call->frame;
  if (f == NULL || f->call != call) return VERDICT_DONE; /* its handler has ended */
  frame_cut(f);
  return VERDICT_DONE;
}

static enum verdict handler(struct call *call, enum handler_event ev) {
  switch (ev) {
    case HANDLER_START: return start(call);
    case HANDLER_RESULT: return go_on(call);
    case HANDLER_DROP: break;
  }
  return drop(call);
}

/* }========================================================================= */

/* {=============================== interface =============================== */

static void entry_free(struct lencase_grate *g, struct grate_entry *e) {
  if (e->where != NULL) state_free(g->st, e->where, strlen(e->where) + 1);
  plan_free(g->st, e->plan);
  state_free(g->st, e, sizeof *e);
}

static struct grate_entry *entry_new(struct lencase_grate *g, const char *where) {
  struct grate_entry *e = state_new(g->st, sizeof *e);
  if (e == NULL) return NULL;
  e->where = state_new(g->st, strlen(where) + 1);
  if (e->where == NULL) {
    entry_free(g, e);
    return NULL;
  }
  strcpy(e->where, where);
  e->grate = g;
  e->fn = LUA_NOREF;
  e->route = (struct route_entry){
      .handler = handler, .ud = e, .where = e->where, .owner = &g->interface, .below = g->below};
  e->next = g->entries; /* owned by the grate from here on, whatever fails */
  g->entries = e;
  return e;
}

/* The member's arguments get what the family's policy says of the parameters they show. */
static lencase_policy folded_policy(const struct sig_fold *fold, const struct signature *family,
                                    lencase_policy policy) {
  const struct sig_variant *v = &family->variants[0];
  lencase_policy out = LENCASE_PASS_THROUGH_POINTERS;
  int i;
  for (i = 0; i < fold->nparams && i < v->nparams; i++) {
    const struct fold_param *p = &fold->params[i];
    unsigned mode = policy_of(policy, i, sig_is_pointer(&v->params[i]));
    if (p->from == FOLD_FIELD) mode = LENCASE_P_COPY;
    if (p->from == FOLD_ABSENT || p->from == FOLD_CONST) continue;
    out &= ~LENCASE_P_AT(15u, p->arg + 1);
    out |= LENCASE_P_AT(mode, p->arg + 1);
  }
  return out;
}

static const struct sig_fold *any_fold(int32_t member, int32_t family) {
  size_t i;
  for (i = 0; i < sig_folds_size; i++)
    if (sig_folds[i].member == member && sig_folds[i].family == family) return &sig_folds[i];
  return NULL;
}

int grate_member_policy(struct lencase_state *st, int32_t member, int32_t family,
                        lencase_policy policy, lencase_policy *out) {
  const struct sig_fold *fold = member != family ? any_fold(member, family) : NULL;
  const struct signature *sig = sig_by_nr(family);
  int status;
  *out = policy;
  if (fold == NULL) return LENCASE_OK;
  status = policy_check(st, policy, sig->name, fold->nparams);
  if (status == LENCASE_OK) *out = folded_policy(fold, sig, policy);
  return status;
}

static int entry_plan(struct lencase_grate *g, struct grate_entry *e, const struct grate_decl *d) {
  lencase_policy policy;
  int status;
  e->route.family = d->family;
  e->route.denied = d->denied;
  if (d->denied && e->route.handler == NULL) return LENCASE_OK; /* hundreds of them */
  status = grate_member_policy(g->st, d->nr, d->family, d->policy, &policy);
  if (status != LENCASE_OK) return status;
  status = plan_new(g->st, d->sig != NULL ? d->sig : &sig_unknown, policy, &e->plan);
  e->route.plan = e->plan;
  return status;
}

/* What answers the calls: the function or the number on top of the stack. */
static void entry_answer(lua_State *L, struct grate_entry *e) {
  if (lua_isinteger(L, -1)) {
    e->route.constant = lua_tointeger(L, -1);
    e->route.handler = NULL;
    lua_pop(L, 1);
  } else {
    e->fn = luaL_ref(L, LUA_REGISTRYINDEX);
  }
}

/* An entry as it is declared, with what is on top of the stack; it is in no table yet. */
static struct grate_entry *entry_declare(lua_State *L, const struct grate_decl *d) {
  struct lencase_grate *g = grate_of(L);
  struct grate_entry *e = entry_new(g, d->where);
  if (e == NULL) luaL_error(L, "no memory for a handler");
  e->route.nr = d->nr;
  e->route.off = d->off;
  entry_answer(L, e);
  e->route.ntests = (uint8_t)d->ntests;
  if (d->ntests > 0) memcpy(e->route.tests, d->tests, (size_t)d->ntests * sizeof *d->tests);
  if (entry_plan(g, e, d) != LENCASE_OK) luaL_error(L, "%s: %s", d->where, lencase_error(g->st));
  return e;
}

const struct route_entry *grate_aside(lua_State *L, const struct grate_decl *d) {
  return &entry_declare(L, d)->route;
}

void grate_register(lua_State *L, const struct grate_decl *d) {
  struct lencase_grate *g = grate_of(L);
  struct grate_entry *e = entry_declare(L, d);
  if (route_add(g->st, &g->st->first_routes, &e->route, d->dormant) != LENCASE_OK)
    luaL_error(L, "%s: %s", d->where, lencase_error(g->st));
  route_declare(&e->route);
  e->routed = true;
  e->ntrapped = e->route.ntests;
  memcpy(e->trapped, e->route.tests, sizeof e->trapped);
}

/* }========================================================================= */

/* {================================ reloading ============================== */

static bool same_test(const struct sig_test *a, const struct sig_test *b) {
  return a->op == b->op && a->arg == b->arg && a->mask == b->mask && a->value == b->value;
}

static bool host_stops_for(const struct grate_entry *e, const struct grate_decl *d) {
  int i;
  if (e->ntrapped == 0) return true;
  if (e->ntrapped != d->ntests) return false;
  for (i = 0; i < d->ntests; i++)
    if (!same_test(&e->trapped[i], &d->tests[i])) return false;
  return true;
}

/* The registered entry that the new one replaces. The family stays: running calls look at it. */
static struct grate_entry *place_for(struct lencase_grate *g, const struct grate_decl *d) {
  struct grate_entry *e = g->entries;
  while (e != NULL && !(e->routed && e->route.nr == d->nr && e->route.family == d->family &&
                        host_stops_for(e, d)))
    e = e->next;
  return e;
}

void grate_reload_begin(struct lencase_grate *g) {
  struct grate_entry *e;
  for (e = g->entries; e != NULL; e = e->next) e->staged = NULL;
  g->reloading = true;
}

bool grate_stage(lua_State *L, const struct grate_decl *d) {
  struct lencase_grate *g = grate_of(L);
  struct grate_entry *place = place_for(g, d);
  if (place == NULL) return false;
  place->staged = entry_declare(L, d);
  return true;
}

/*
** Swaps the plans, places and functions: 'staged' keeps the old ones for running calls. A constant
** has no plan but keeps the handler function: calls of the Lua function before it may be parked.
*/
static void swap_in(struct grate_entry *e, struct grate_entry *staged) {
  struct plan *plan = e->plan;
  char *where = e->where;
  int fn = e->fn;
  e->plan = staged->plan;
  e->where = staged->where;
  e->fn = staged->fn;
  staged->plan = plan;
  staged->where = where;
  staged->fn = fn;
  e->route.plan = e->fn != LUA_NOREF ? e->plan : NULL;
  e->route.where = e->where;
  e->route.constant = staged->route.constant;
  e->route.handler = handler;
  e->route.ntests = staged->route.ntests;
  memcpy(e->route.tests, staged->route.tests, sizeof e->route.tests);
  e->messages = 0;
}

void grate_commit(lua_State *L) {
  struct lencase_grate *g = grate_of(L);
  struct grate_entry *e;
  for (e = g->entries; e != NULL; e = e->next) {
    if (!e->routed) continue;
    e->route.off = e->staged == NULL;
    if (e->staged == NULL) continue;
    swap_in(e, e->staged);
    luaL_unref(L, LUA_REGISTRYINDEX,
               e->staged->fn); /* a running handler is still on its coroutine's stack */
    e->staged->fn = LUA_NOREF;
    e->staged = NULL;
  }
  g->reloading = false;
}

void grate_time(lua_State *L) {
  begin_time(grate_of(L), L);
}

int grate_call_untimed(lua_State *L, int nresults) {
  int status;
  lua_sethook(L, NULL, 0, 0);
  status = lua_pcall(L, 0, nresults, 0);
  lua_sethook(L, watch_time, LUA_MASKCOUNT, HOOK_COUNT);
  return status;
}

/* }========================================================================= */

/* {================================= events ================================ */

static const char *const event_names[] = {
    [CAGE_NEW] = "new", [CAGE_EXEC] = "exec", [CAGE_EXIT] = "exit"};

struct event {
  struct lencase_grate *g;
  struct lencase_cage *cage;
  const char *name;
  int status;
  const struct state_news *news; /* of a host's event; NULL: it is the core's */
  uint32_t number;               /* of the grate, for news */
};

/* Runs protected: events(name, cage, parent, shares_files, status, data) -> answer */
static int tell_script(lua_State *L) {
  const struct event *ev = lua_touserdata(L, 1);
  struct lencase_cage *parent = NULL;
  lua_rawgeti(L, LUA_REGISTRYINDEX, ev->g->events);
  lua_pushstring(L, ev->name);
  if (ev->cage != NULL) {
    parent = cage_by_id(ev->g->st, ev->cage->parent);
    cage_push(L, ev->cage);
  } else {
    lua_pushnil(L);
  }
  if (parent != NULL)
    cage_push(L, parent);
  else
    lua_pushnil(L);
  lua_pushboolean(L, ev->cage != NULL && ev->cage->shares_files);
  lua_pushinteger(L, ev->status);
  if (ev->news != NULL && ev->news->data != NULL)
    lua_pushlstring(L, ev->news->data, ev->news->size);
  else
    lua_pushnil(L);
  lua_call(L, 6, 1);
  if (ev->cage != NULL && ev->cage->gone) cage_forget(L, ev->cage);
  return 1;
}

/* The answer is on the top of the stack. */
static void hand_answer(const struct event *ev, lua_State *L) {
  const struct state_news *news = ev->news;
  size_t size;
  const char *data;
  if (news == NULL || news->answer == NULL || lua_type(L, -1) != LUA_TSTRING) return;
  data = lua_tolstring(L, -1, &size);
  news->answer(news->ud, ev->number, data, size);
}

static int tell(struct event *ev) {
  lua_State *L = ev->g->L;
  if (ev->g->events == LUA_NOREF) return LENCASE_OK;
  begin_time(ev->g, L);
  lua_pushcfunction(L, tell_script);
  lua_pushlightuserdata(L, ev);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
    hand_answer(ev, L);
    lua_pop(L, 1);
    return LENCASE_OK;
  }
  state_fail(ev->g->st, LENCASE_ESCRIPT, "%s", message_of(L));
  state_log(ev->g->st, "%s", lencase_error(ev->g->st));
  lua_pop(L, 1);
  return LENCASE_ESCRIPT;
}

static void cage_event(struct cage_watcher *w, struct lencase_cage *cage, enum cage_event what,
                       int status) {
  struct lencase_grate *g =
      (struct lencase_grate *)((char *)w - offsetof(struct lencase_grate, watcher));
  struct event ev = {g, cage, event_names[what], status, NULL, 0};
  grate_start(g);
  tell(&ev);
}

int grate_start(struct lencase_grate *g) {
  struct event ev = {g, NULL, "start", 0, NULL, 0};
  if (g->frozen) return LENCASE_OK;
  g->frozen = true;
  return tell(&ev);
}

static int reload_all(struct lencase_state *st) {
  struct lencase_grate *g;
  int status = LENCASE_OK;
  for (g = st->grates; g != NULL; g = g->next) {
    struct event ev = {g, NULL, "reload", 0, NULL, 0};
    if (tell(&ev) != LENCASE_OK) status = LENCASE_ESCRIPT;
  }
  return status;
}

static int tell_all(struct lencase_state *st, const struct state_news *news) {
  struct lencase_grate *g;
  int status = LENCASE_OK;
  uint32_t n = 0;
  for (g = st->grates; g != NULL; g = g->next, n++) {
    struct event ev = {g, NULL, news->event, news->status, news, n};
    if (news->data != NULL && n != news->grate) continue;
    if (tell(&ev) != LENCASE_OK) status = LENCASE_ESCRIPT;
  }
  if (news->data != NULL && news->grate >= n)
    return state_fail(st, LENCASE_ENOENT, "there is no grate number %" PRIu32, news->grate);
  return status;
}

uint32_t grate_number(const struct lencase_grate *g) {
  const struct lencase_grate *at;
  uint32_t n = 0;
  for (at = g->st->grates; at != g; at = at->next) n++;
  return n;
}

int grate_finish(struct lencase_grate *g, int wstatus) {
  struct event ev = {g, NULL, "finish", wstatus, NULL, 0};
  return tell(&ev);
}

/* }========================================================================= */

/* {================================== life ================================= */

struct opening {
  lua_CFunction open;
  const char *path, *cpath;
};

/* ";;" stands for what Lua has there itself, as in LUA_PATH. */
static void set_package(lua_State *L, const char *field, const char *value) {
  if (value == NULL) return;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, field);
  lua_pushfstring(L, ";%s;", lua_tostring(L, -1));
  luaL_gsub(L, value, ";;", lua_tostring(L, -1));
  lua_setfield(L, -4, field);
  lua_pop(L, 3);
}

/* os.exit would end the process that runs the grate, and its programs. */
static int no_exit(lua_State *L) {
  return luaL_error(L, "os.exit is not for grates: raise an error, or use on_error = \"kill\"");
}

/* upvalue 1: one of io's functions. What it opens is the grate's and not the program's. */
static int opened_here(lua_State *L) {
  const luaL_Stream *stream;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  stream = lua_gettop(L) > 0 ? luaL_testudata(L, 1, LUA_FILEHANDLE) : NULL;
  if (stream != NULL && stream->f != NULL) fcntl(fileno(stream->f), F_SETFD, FD_CLOEXEC);
  return lua_gettop(L);
}

static void keep_files(lua_State *L) {
  static const char *const names[] = {"open", "tmpfile", "popen"};
  size_t i;
  lua_getglobal(L, "io");
  for (i = 0; i < sizeof names / sizeof *names; i++) {
    lua_getfield(L, -1, names[i]);
    lua_pushcclosure(L, opened_here, 1);
    lua_setfield(L, -2, names[i]);
  }
  lua_pop(L, 1);
}

/* Runs protected. */
static int build(lua_State *L) {
  const struct opening *o = lua_touserdata(L, 1);
  luaL_openlibs(L);
  keep_files(L);
  lua_getglobal(L, "os");
  lua_pushcfunction(L, no_exit);
  lua_setfield(L, -2, "exit");
  set_package(L, "path", o->path);
  set_package(L, "cpath", o->cpath);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, o->open);
  lua_setfield(L, -2, "lencase.core");
  grate_know_modules(L);
  return 0;
}

static void grate_free(struct lencase_grate *g) {
  cage_unwatch(g->st, &g->watcher);
  route_interface_close(g->st, &g->interface);
  if (g->L != NULL) lua_close(g->L);
  while (g->entries != NULL) {
    struct grate_entry *e = g->entries;
    g->entries = e->next;
    entry_free(g, e);
  }
  while (g->all_frames != NULL) {
    struct frame *f = g->all_frames;
    g->all_frames = f->all;
    state_free(g->st, f, sizeof *f);
  }
  plan_list_free(g->st, &g->plans);
  native_free(g);
  route_table_free(g->st, g->below);
  route_branches_free(g->st, &g->branches);
  state_free(g->st, g, sizeof *g);
}

static void close_all(struct lencase_state *st) {
  while (st->grates != NULL) {
    struct lencase_grate *g = st->grates;
    st->grates = g->next;
    grate_free(g);
  }
}

int grate_script_failed(struct lencase_grate *g, const char *filename) {
  bool named = lua_type(g->L, -1) == LUA_TSTRING;
  int status = state_fail(g->st, LENCASE_ESCRIPT, "%s%s%s", named ? "" : filename,
                          named ? "" : ": ", message_of(g->L));
  lua_pop(g->L, 1);
  return status;
}

struct lencase_grate *grate_bare(struct lencase_state *st) {
  struct lencase_grate *g = state_new(st, sizeof *g);
  if (g == NULL) return NULL;
  g->st = st;
  g->error = EIO;
  g->events = LUA_NOREF;
  g->handler_ms = st->config.handler_ms;
  g->watcher.event = cage_event;
  g->below = route_table_copy(st->first_routes);
  route_branches_take(st, &g->branches);
  cage_watch(st, &g->watcher);
  route_interface_open(st, &g->interface);
  g->next = st->grates;
  st->grates = g;
  st->close_grates = close_all;
  st->reload_grates = reload_all;
  st->tell_grates = tell_all;
  return g;
}

int grate_new(struct lencase_state *st, lua_CFunction open, const char *path, const char *cpath,
              struct lencase_grate **out) {
  struct opening o = {open, path, cpath};
  struct lencase_grate *g = grate_bare(st);
  if (g != NULL) g->L = lua_newstate(grate_alloc, g);
  if (g == NULL || g->L == NULL) return state_fail(st, LENCASE_ENOMEM, "no memory for a grate");
  set_frame(g->L, NULL);
  lua_pushcfunction(g->L, build);
  lua_pushlightuserdata(g->L, &o);
  if (lua_pcall(g->L, 1, 0, 0) != LUA_OK) return grate_script_failed(g, "lencase");
  *out = g;
  return LENCASE_OK;
}

/* }========================================================================= */
