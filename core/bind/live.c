/*
** live.c - a live program at the prompt: the trace host's run, halted and resumed
*/

#include <sys/wait.h>

#include "../host/trace/trace.h"
#include "prompt.h"

static const char live_name[] = "lencase.live";

struct bind_live {
  struct trace_run *run;      /* NULL: it is closed */
  lua_State *L;               /* the Lua state that waits for it; NULL: none */
  int arrived, carried, over; /* references of the observer's functions, or LUA_NOREF */
  bool looks;                 /* they are called */
  bool ended;
  bool failed; /* one of them raised an error: 'message' is its reference */
  int message;
  struct bind_terminal terminal;
};

static struct bind_live *self(lua_State *L) {
  struct bind_live *b = luaL_checkudata(L, 1, live_name);
  if (b->run == NULL) luaL_error(L, "the program is gone");
  return b;
}

static int failed(lua_State *L, int status, int err) {
  lua_pushnil(L);
  lua_pushstring(L, lencase_status_name(status));
  lua_pushstring(L, lencase_error(grate_of(L)->st));
  if (status != LENCASE_EEXEC) return 3;
  lua_pushinteger(L, err);
  return 4;
}

/* {================================ looking on ============================= */

struct arrival {
  const struct bind_live *b;
  const struct trace_thread *at;
  enum trace_notice notice;
};

/*
** Runs protected: f(tid, pid, id of the cage, callnum, a1, ..., a6) -> true: halt there; "end": its
** end is reported
*/
static int ask_arrived(lua_State *L) {
  struct arrival *a = lua_touserdata(L, 1);
  int i;
  lua_rawgeti(L, LUA_REGISTRYINDEX, a->b->arrived);
  lua_pushinteger(L, a->at->tid);
  lua_pushinteger(L, a->at->pid);
  lua_pushinteger(L, (lua_Integer)a->at->cage);
  lua_pushinteger(L, a->at->nr);
  for (i = 0; i < LENCASE_MAXARGS; i++) lua_pushinteger(L, (lua_Integer)a->at->words[i]);
  lua_call(L, 4 + LENCASE_MAXARGS, 1);
  if (lua_type(L, -1) == LUA_TSTRING)
    a->notice = NOTICE_END;
  else if (lua_toboolean(L, -1))
    a->notice = NOTICE_HALT;
  return 0;
}

/* A function of the prompt's runs while the program waits: Ctrl-C is for it then. */
static bool call_back(struct bind_live *b, lua_CFunction f, void *ud) {
  lua_State *L = b->L;
  bool fine;
  if (L == NULL || !lua_checkstack(L, LUA_MINSTACK)) return true;
  bind_wait_end(L);
  lua_pushcfunction(L, f);
  lua_pushlightuserdata(L, ud);
  fine = lua_pcall(L, 1, 0, 0) == LUA_OK;
  bind_wait_begin();
  if (fine) return true;
  luaL_unref(L, LUA_REGISTRYINDEX, b->message);
  b->message = luaL_ref(L, LUA_REGISTRYINDEX);
  b->failed = true;
  return false;
}

/* When the function fails the program is halted there: its error tells at which call. */
static enum trace_notice on_arrived(void *ud, const struct trace_thread *at) {
  struct arrival a = {.b = ud, .at = at, .notice = NOTICE_NONE};
  if (!a.b->looks) return NOTICE_NONE;
  return call_back(ud, ask_arrived, &a) ? a.notice : NOTICE_HALT;
}

struct ending {
  int function; /* reference */
  pid_t tid;
  int32_t nr;
  int64_t result;
};

/* Runs protected: f(tid, result, callnum) */
static int tell_result(lua_State *L) {
  const struct ending *e = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, e->function);
  lua_pushinteger(L, e->tid);
  lua_pushinteger(L, e->result);
  lua_pushinteger(L, e->nr);
  lua_call(L, 3, 0);
  return 0;
}

static void on_over(void *ud, pid_t tid, int64_t result) {
  struct bind_live *b = ud;
  struct ending e = {b->over, tid, -1, result};
  call_back(b, tell_result, &e);
}

static void on_carried(void *ud, pid_t tid, int32_t nr, int64_t result) {
  struct bind_live *b = ud;
  struct ending e = {b->carried, tid, nr, result};
  call_back(b, tell_result, &e);
}

/* }========================================================================= */

/* {================================= opening =============================== */

static int function_ref(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  luaL_checktype(L, -1, LUA_TFUNCTION);
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* The words of the table on the top, as execve(2) takes them; they live as long as the table. */
static char **words_of(lua_State *L) {
  int i, n = (int)lua_rawlen(L, -1), table = lua_gettop(L);
  char **argv = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *argv, 0);
  luaL_argcheck(L, n >= 1, 1, "a program must be named");
  luaL_checkstack(L, n + LUA_MINSTACK, "too many arguments");
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, table, i + 1);
    argv[i] = (char *)(uintptr_t)luaL_checkstring(L, -1);
  }
  argv[n] = NULL;
  return argv;
}

/* Attaches to 'pid', or starts the 'program', of the table at 1. A status. */
static int open_run(lua_State *L, struct bind_live *b, const struct trace_observer *observer,
                    int *err) {
  struct lencase_state *st = grate_of(L)->st;
  int status;
  lua_getfield(L, 1, "pid");
  if (lua_isinteger(L, -1))
    return trace_live_attach(st, observer, (pid_t)lua_tointeger(L, -1), &b->run);
  lua_getfield(L, 1, "program");
  luaL_checktype(L, -1, LUA_TTABLE);
  status = trace_live_start(st, observer, words_of(L), &b->run, err);
  if (status == LENCASE_OK && !observer->no_input)
    bind_terminal_open(&b->terminal, trace_live_pid(b->run));
  return status;
}

/*
** core.live{ program = { name, arguments... }, pid =, no_input =, arrived =, carried =,
** over = functions } -> live, which is halted; nil, status, message [, errno]
*/
static int live_new(lua_State *L) {
  struct trace_observer observer = {
      .arrived = on_arrived, .carried = on_carried, .over = on_over, .interrupt = bind_sigint()};
  struct bind_live *b;
  int status, err = 0, at;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (struct bind_live){
      .arrived = LUA_NOREF, .carried = LUA_NOREF, .over = LUA_NOREF, .message = LUA_NOREF};
  luaL_setmetatable(L, live_name);
  at = lua_gettop(L);
  b->arrived = function_ref(L, "arrived");
  b->carried = function_ref(L, "carried");
  b->over = function_ref(L, "over");
  observer.ud = b;
  lua_getfield(L, 1, "no_input");
  observer.no_input = lua_toboolean(L, -1);
  status = open_run(L, b, &observer, &err);
  if (status != LENCASE_OK) return failed(L, status, err);
  lua_settop(L, at);
  return 1;
}

/* The grates are told that the program has ended, once. */
static void finish(lua_State *L, struct bind_live *b, int wstatus) {
  if (!b->ended) lencase_finish(grate_of(L)->st, wstatus);
  b->ended = true;
}

/* live:close() -> how many processes were ended */
static int live_close(lua_State *L) {
  struct bind_live *b = luaL_checkudata(L, 1, live_name);
  struct trace_run *run = b->run;
  size_t killed = 0;
  if (b->L != NULL) return luaL_error(L, "the program is running");
  b->run = NULL;
  b->looks = false;
  if (run != NULL) trace_live_close(run, &killed);
  if (killed > 0) finish(L, b, SIGKILL);
  luaL_unref(L, LUA_REGISTRYINDEX, b->arrived);
  luaL_unref(L, LUA_REGISTRYINDEX, b->carried);
  luaL_unref(L, LUA_REGISTRYINDEX, b->over);
  luaL_unref(L, LUA_REGISTRYINDEX, b->message);
  b->arrived = b->carried = b->over = b->message = LUA_NOREF;
  lua_pushinteger(L, (lua_Integer)killed);
  return 1;
}

/* }========================================================================= */

/* {================================ going on =============================== */

static int event_push(lua_State *L, const struct trace_event *e) {
  static const char *const names[] = {
      [TOLD_NOTHING] = "nothing", [TOLD_START] = "start", [TOLD_CALL] = "call",
      [TOLD_RESULT] = "result",   [TOLD_LOST] = "lost",   [TOLD_INTERRUPT] = "interrupt",
      [TOLD_STOPPED] = "stopped", [TOLD_END] = "end"};
  bool killed = WIFSIGNALED(e->wstatus);
  lua_pushstring(L, names[e->told]);
  if (e->told == TOLD_END) {
    lua_pushstring(L, killed ? "signal" : "exit");
    lua_pushinteger(L, killed ? WTERMSIG(e->wstatus) : WEXITSTATUS(e->wstatus));
    return 3;
  }
  lua_pushinteger(L, e->tid);
  lua_pushinteger(L, e->result);
  return 3;
}

/*
** live:go(every, looks) -> "call", tid; "result", tid, result; "interrupt", tid or 0; "stopped", 0,
** signal; "lost"; "end", "exit" or "signal", number. every: all calls arrive, also those without a
** handler; looks: the functions are asked. The error of one of them is raised here.
*/
static int live_go(lua_State *L) {
  struct bind_live *b = self(L);
  struct trace_event event;
  lua_State *before;
  int status;
  if (b->L != NULL) return luaL_error(L, "the program is running: handlers cannot do this");
  b->looks = lua_toboolean(L, 3);
  b->failed = false;
  b->L = L;
  bind_terminal_give(&b->terminal);
  before = bind_wait_begin();
  status = trace_live_go(b->run, lua_toboolean(L, 2), &event);
  bind_wait_end(before);
  bind_terminal_take(&b->terminal);
  b->L = NULL;
  b->looks = false;
  if (status != LENCASE_OK) return failed(L, status, 0);
  if (event.told == TOLD_END) finish(L, b, event.wstatus);
  if (!b->failed) return event_push(L, &event);
  lua_rawgeti(L, LUA_REGISTRYINDEX, b->message);
  return lua_error(L);
}

/* live:answer(tid [, entry]) -> true: its call goes to the entry of core.aside, or its handlers */
static int live_answer(lua_State *L) {
  struct bind_live *b = self(L);
  pid_t tid = (pid_t)luaL_checkinteger(L, 2);
  lua_State *before;
  int status;
  if (b->L != NULL) return luaL_error(L, "the program is running: handlers cannot do this");
  b->L = L;
  before = bind_wait_begin();
  status = trace_live_answer(b->run, tid, lua_touserdata(L, 3));
  bind_wait_end(before);
  b->L = NULL;
  if (status != LENCASE_OK) return failed(L, status, 0);
  lua_pushboolean(L, 1);
  return 1;
}

/* }========================================================================= */

/* {================================ looking ================================ */

/* A list that is being filled on the top of a stack. */
struct list {
  lua_State *L;
  lua_Integer n;
};

static void integer_field(lua_State *L, const char *name, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, -2, name);
}

static void thread_push(void *ud, const struct trace_thread *t) {
  static const char *const places[] = {[PLACE_ANYWHERE] = "anywhere",
                                       [PLACE_CALL] = "call",
                                       [PLACE_DOWN] = "down",
                                       [PLACE_STOPPED] = "stopped",
                                       [PLACE_KERNEL] = "kernel"};
  struct list *list = ud;
  lua_State *L = list->L;
  int i;
  lua_newtable(L);
  integer_field(L, "tid", t->tid);
  integer_field(L, "pid", t->pid);
  integer_field(L, "cage", (lua_Integer)t->cage);
  integer_field(L, "nr", t->nr);
  lua_pushstring(L, places[t->place]);
  lua_setfield(L, -2, "place");
  lua_createtable(L, LENCASE_MAXARGS, 0);
  for (i = 0; i < LENCASE_MAXARGS; i++) {
    lua_pushinteger(L, (lua_Integer)t->words[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "words");
  lua_rawseti(L, -2, ++list->n);
}

/* live:threads() -> { { tid =, pid =, cage = its id, place =, nr =, words = { ... } }, ... } */
static int live_threads(lua_State *L) {
  const struct bind_live *b = self(L);
  struct list list = {L, 0};
  lua_newtable(L);
  trace_live_each(b->run, &list, thread_push);
  return 1;
}

/*
** live:regs(tid) -> { rip =, rsp =, rbp =, rbx =, r12 =, r13 =, r14 =, r15 =, rax = }; nil: it
** runs, or is gone
*/
static int live_regs(lua_State *L) {
  const struct bind_live *b = self(L);
  struct user_regs_struct regs;
  if (!trace_live_regs(b->run, (pid_t)luaL_checkinteger(L, 2), &regs)) return 0;
  lua_newtable(L);
  integer_field(L, "rip", (lua_Integer)regs.rip);
  integer_field(L, "rsp", (lua_Integer)regs.rsp);
  integer_field(L, "rbp", (lua_Integer)regs.rbp);
  integer_field(L, "rbx", (lua_Integer)regs.rbx);
  integer_field(L, "r12", (lua_Integer)regs.r12);
  integer_field(L, "r13", (lua_Integer)regs.r13);
  integer_field(L, "r14", (lua_Integer)regs.r14);
  integer_field(L, "r15", (lua_Integer)regs.r15);
  integer_field(L, "rax", (lua_Integer)regs.rax);
  return 1;
}

/* live:cage(id) -> the cage, or nil: it is gone */
static int live_cage(lua_State *L) {
  struct lencase_cage *cage;
  self(L);
  cage = cage_by_id(grate_of(L)->st, (uint64_t)luaL_checkinteger(L, 2));
  if (cage == NULL || cage->gone) return 0;
  cage_push(L, cage);
  return 1;
}

/* live:pid() -> of the first program */
static int live_pid(lua_State *L) {
  lua_pushinteger(L, trace_live_pid(self(L)->run));
  return 1;
}

/* }========================================================================= */

static const luaL_Reg methods[] = {{"go", live_go},           {"answer", live_answer},
                                   {"threads", live_threads}, {"regs", live_regs},
                                   {"cage", live_cage},       {"pid", live_pid},
                                   {"close", live_close},     {"__gc", live_close},
                                   {"__close", live_close},   {NULL, NULL}};

static const luaL_Reg functions[] = {{"live", live_new}, {NULL, NULL}};

void bind_open_live(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  luaL_newmetatable(L, live_name);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
