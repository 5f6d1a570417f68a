/*
** grate_frame.c - the frames of calls, and how a handler is run and resumed
*/

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "grate.h"

/* {================================= frames ================================ */

struct frame *grate_frame(lua_State *L) {
  struct frame *f;
  memcpy(&f, lua_getextraspace(L), sizeof f);
  return f != NULL && f->co == L ? f : NULL;
}

void grate_set_frame(lua_State *L, struct frame *f) {
  memcpy(lua_getextraspace(L), &f, sizeof f);
}

/* Runs protected: makes the coroutine and the views of a frame. */
static int frame_build(lua_State *L) {
  struct frame *f = lua_touserdata(L, 1);
  f->co = lua_newthread(L);
  f->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  f->views = luaL_ref(L, LUA_REGISTRYINDEX);
  grate_set_frame(f->co, f);
  return 0;
}

static struct frame *frame_new(struct lencase_grate *g) {
  struct frame *f = state_new(g->st, sizeof *f);
  stack_mark(g->L, top);
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
  stack_check(g->L, top, 0);
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
  assert(f->call == NULL && !f->waiting && f->nviews == 0);
  assert(lua_status(f->co) == LUA_OK && lua_gettop(f->co) == 0);
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
  assert(f->call != NULL && f->call->frame == f);
  frame_end(f);
  f->next = f->grate->frames;
  f->grate->frames = f;
}

/* The handler is cut short, wherever it waits: what it left to be closed is closed. */
static void frame_cut(struct frame *f) {
  grate_time(f->grate, f->co);
  lua_resetthread(f->co);
  lua_settop(f->co, 0);
  frame_put(f);
}

void grate_frames_free(struct lencase_grate *g) {
  while (g->all_frames != NULL) {
    struct frame *f = g->all_frames;
    g->all_frames = f->all;
    state_free(g->st, f, sizeof *f);
  }
}

/* }========================================================================= */

/* {================================ handlers =============================== */

static struct grate_answer *answer_of(const struct call *call) {
  return call->answer->ud;
}

/* Lua puts the place before most messages, but not before those that C raises. */
static bool names_script(const char *message, const char *where) {
  const char *colon = strrchr(where, ':');
  size_t n = colon != NULL ? (size_t)(colon - where) + 1 : strlen(where);
  return strncmp(message, where, n) == 0;
}

void grate_report(struct call *call, const char *message, const char *answer) {
  struct grate_answer *a = answer_of(call);
  char where[160];
  bool named = names_script(message, a->where);
  a->messages++;
  if (a->messages > GRATE_MESSAGES) return;
  state_log(call->cage->st, "%s%s%s: in %s; %s%s", named ? "" : a->where, named ? "" : ": ",
            message, call_where(call, where, sizeof where), answer,
            a->messages == GRATE_MESSAGES ? " (no more messages of this handler)" : "");
}

/* A script that fails: on_error says what becomes of caller and cage, which is logged. */
static enum verdict fail_closed(struct call *call, const char *message) {
  struct lencase_grate *g = answer_of(call)->grate;
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

const char *grate_message(lua_State *L) {
  const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  return s != NULL ? s : "the script raised an error that is no string";
}

/* The script's function has returned, or failed: then its message stays on the stack. */
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
  lua_rawgeti(co, LUA_REGISTRYINDEX, answer_of(f->call)->fn);
  n = grate_push_args(co, f);
  watch = f->grate->st->watch;
  if (watch != NULL) watch->asked(watch, co, f, n);
  return handler_over(co, lua_pcallk(co, n, LUA_MULTRET, 0, 0, handler_over), 0);
}

static enum verdict handler_failed(struct frame *f) {
  if (bad_ends(f->co, f->call)) return VERDICT_DONE;
  return fail_closed(f->call, grate_message(f->co));
}

static enum verdict resume(struct frame *f, int nargs) {
  struct lencase_grate *g = f->grate;
  enum verdict verdict;
  int nres, status;
  stack_mark(g->L, top);
  assert(f->call != NULL && f->call->answer->ud != NULL && !f->waiting);
#ifdef LENCASE_HARD
  lua_gc(g->L, LUA_GCCOLLECT);
#endif
  grate_time(g, f->co);
  status = lua_resume(f->co, g->L, nargs, &nres);
  stack_check(g->L, top, 0);
  if (status == LUA_OK) {
    verdict = f->failed ? handler_failed(f) : f->verdict;
    lua_settop(f->co, 0);
    frame_put(f);
    return verdict;
  }
  assert(!f->waiting || f->call->parked);
  if (f->waiting) return VERDICT_PARKED;
  if (status == LUA_YIELD)
    verdict = fail_closed(f->call, "a handler may not yield: it is a coroutine of lencase's own");
  else
    verdict = handler_failed(f);
  frame_cut(f);
  return verdict;
}

/* Whether the handler sees anything of the arguments. */
static bool sees_any(const struct variant_plan *vp) {
  int i = 0;
  while (i < vp->variant->nparams && (vp->mode[i] & LENCASE_P_PASS)) i++;
  return i < vp->variant->nparams;
}

/* Arguments that no variant describes are shown as addresses: that is logged, once. */
static void tell_unknown(struct call *call) {
  struct grate_answer *a = answer_of(call);
  char where[160];
  if (!call->vp->variant->unknown || a->told_unknown || !sees_any(call->vp)) return;
  a->told_unknown = true;
  state_log(call->cage->st,
            "%s: %s: no variant describes these arguments; they are passed as addresses", a->where,
            call_where(call, where, sizeof where));
}

static enum verdict start(struct call *call) {
  struct frame *f;
  f = frame_get(answer_of(call)->grate, call);
  tell_unknown(call);
  if (f == NULL) return fail_closed(call, "no memory for a coroutine");
  lua_pushcfunction(f->co, handler_body);
  return resume(f, 0);
}

enum verdict grate_handle(struct call *call, enum handler_event ev) {
  struct frame *f = call->frame;
  switch (ev) {
    case HANDLER_START: return start(call);
    case HANDLER_RESULT:
      assert(f->call == call && f->waiting && lua_status(f->co) == LUA_YIELD);
      f->waiting = false;
      return resume(f, 0);
    case HANDLER_DROP: break;
  }
  if (f != NULL && f->call == call) frame_cut(f); /* else its handler has ended */
  return VERDICT_DONE;
}

/* }========================================================================= */
