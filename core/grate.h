/*
** grate.h - one Lua state running one script, handling calls
**
** All Lua that may raise an error runs inside a protected call: a handler in its
** coroutine, everything else under lua_pcall. A call in flight has a frame: a pooled coroutine,
** the views given to it, and the downcall it waits for.
*/

#ifndef GRATE_H
#define GRATE_H

#include <assert.h>
#include <lua.h>

#include "call.h"

/*
** At the borders between C and Lua: what lies between the two has left 'n' values more on the
** stack of L, and no others.
*/
#ifdef NDEBUG
#define stack_mark(L, mark) ((void)0)
#define stack_check(L, mark, n) ((void)0)
#else
#define stack_mark(L, mark) int mark = lua_gettop(L)
#define stack_check(L, mark, n) assert(lua_gettop(L) == (mark) + (n))
#endif

enum { GRATE_MESSAGES = 10 }; /* of one entry, until it is silenced */

enum on_error { ON_ERROR_ERRNO, ON_ERROR_KILL, ON_ERROR_PASS };

/* What answers calls: a function of Lua's, or a constant. */
struct grate_answer {
  struct route_answer route;
  struct lencase_grate *grate;
  struct grate_answer *next;
  char *where;       /* "script.lua:12" */
  struct plan *plan; /* owned */
  int fn;            /* reference in the registry; LUA_NOREF: a constant, or replaced */
  unsigned messages; /* logged so far */
  bool told_unknown; /* it was logged that the arguments of a call are not described */
};

struct grate_entry {
  struct route_entry route; /* it comes first: 'peer' leads from entry to entry */
  struct grate_entry *next;
  struct grate_answer *staged; /* the next answer, swapped in by grate_commit */
  const struct route_answer
      *first; /* of the entry: hosts stop for its tests, whatever comes later */
};

struct lencase_grate {
  struct lencase_state *st;
  struct lencase_grate *next;
  lua_State *L;          /* NULL: its handlers are C functions */
  struct native *native; /* these, else NULL */
  struct cage_watcher watcher;
  struct route_interface interface;
  struct route_branches branches; /* stacks inside of it */
  struct route_table *below;      /* its own table: where the calls that it makes go */
  struct grate_entry *entries;    /* every one ever made */
  struct grate_answer *answers;   /* the same: a call may have been given an old one */
  struct plan_list *plans;        /* for its own calls */
  struct frame *frames, *all_frames;
  int events;          /* reference of the Lua function that gets events */
  uint64_t bytes;      /* that its Lua state holds */
  unsigned ticks;      /* of the count hook since the last resume */
  volatile int sigint; /* Ctrl-C was pressed: a signal handler sets 1; see grate_time.c */
  int64_t started;     /* ns of processor time at the first tick */
  enum on_error on_error;
  int error; /* ON_ERROR_ERRNO: the errno */
  uint32_t handler_ms;
  const struct grate_script *script; /* while it runs */
  bool in_memory;                    /* its script was not read from a file */
  bool frozen;                       /* it has started: no more registering */
  bool reloading;                    /* grate_register stages */
};

/* What a handler asked the host for and now waits for. */
struct down {
  const struct variant_plan *vp;
  uint64_t words[LENCASE_MAXARGS];
  bool own; /* the very call in flight: nil stood for the caller's arguments */
};

struct frame {
  struct frame *next, *all;
  struct lencase_grate *grate;
  struct call *call;
  const struct sig_fold *fold;            /* the handler sees another prototype */
  const struct sig_variant *shown;        /* the variant whose parameters the handler sees */
  struct snapshot paths[LENCASE_MAXARGS]; /* FOLD_PATH: the resolved path that was shown */
  lua_State *co;
  int ref;              /* of co */
  int views;            /* reference of a table: the views made so far */
  int nviews, allviews; /* of them in use; made */
  uint32_t stamp;       /* changes when the call ends: views made before are dead */
  struct down down;
  struct snapshot outs[LENCASE_MAXARGS]; /* of the downcall made last */
  enum verdict verdict;
  uint64_t target; /* of the downcall to be made next: id of the cage it is for; 0: the caller's */
  bool waiting;    /* it has yielded and waits for a downcall */
  bool failed;     /* its handler raised an error */
};

/*
** An observer of handlers: tests of scripts. Called in the middle of a call; may neither raise
** errors nor make calls. 'co' has the 'n' values that the handler is asked with on its
** top, as f->shown names them.
*/
struct grate_watch {
  void (*asked)(struct grate_watch *w, lua_State *co, const struct frame *f, int n);
  void (*filled)(struct grate_watch *w, const struct frame *f); /* f->outs were copied */
  void (*failed)(struct grate_watch *w, const struct call *call, const char *message);
};

/* {================================= life ================================== */

/* A grate of the state's that handles nothing and has no Lua state; NULL: no memory. */
struct lencase_grate *grate_bare(struct lencase_state *st);

/* Frees the C handlers of a grate, if it has any. */
void native_free(struct lencase_grate *g);

/*
** A grate with an empty interface: a Lua state with the standard libraries,
** 'open' preloaded as module 'lencase.core'. 'path' and 'cpath' as in
** lencase_load. A status.
*/
int grate_new(struct lencase_state *st, lua_CFunction open, const char *path, const char *cpath,
              struct lencase_grate **out);

/* The script of a grate and its arguments. */
struct grate_script {
  const char *name; /* for messages; that of its file */
  const char *data; /* its text or bytecode; NULL: it is read from the file */
  size_t size;
  int argc;
  const char *const *argv;
};

/* Runs the script of a grate and takes what it returned as its interface. A status. */
int grate_run(struct lencase_grate *g, const struct grate_script *script);

/*
** Runs protected: modules of the state's that are compiled already are found before files, unless
** their file has changed since.
*/
void grate_know_modules(lua_State *L);

/*
** Pushes the text of the script that is running, "" for bytecode or when it has run; false, and
** pushes nothing, when it is one of a file.
*/
bool grate_push_text(lua_State *L);

/* Takes the message on top of the grate's stack into its state: LENCASE_ESCRIPT. */
int grate_script_failed(struct lencase_grate *g, const char *name);

/* LENCASE_OK when this liblencase, and this Lua, can run what was compiled; LENCASE_ESCRIPT. */
int grate_check_compiled(struct lencase_state *st, const lencase_compiled *compiled);

/* What was compiled beside the script is there for 'require', and loaded when it is asked for. */
int grate_preload(struct lencase_grate *g, const lencase_compiled *compiled);

/* The release of the Lua that runs here: "Lua 5.4.4". */
enum { GRATE_LUA_NAME = 32 };
const char *grate_lua_name(char buf[GRATE_LUA_NAME]);

/* The grate that 'L' belongs to; NULL when it is an ordinary Lua state. */
struct lencase_grate *grate_of(lua_State *L);

/* One entry of an interface, as a script declares it. */
struct grate_decl {
  int32_t nr, family;          /* handled call; in whose prototype the handler sees it */
  const struct signature *sig; /* NULL: the call is not described, it has six integers */
  lencase_policy policy;
  const char *where;            /* "script.lua:12" */
  const struct sig_test *tests; /* one of them must hold; none: always */
  int ntests;
  enum route_status status; /* of the entry */
  bool registered;          /* with every cage from its beginning; else by register_handler */
};

/* A family's policy for the arguments of a member. LENCASE_EINVAL: it does not fit the family. */
int grate_member_policy(struct lencase_state *st, int32_t member, int32_t family,
                        lencase_policy policy, lencase_policy *out);

/*
** Adds a handler: the function on top of the stack, which is popped; or a constant, when a
** negative integer (-errno) lies there. Raises Lua errors.
*/
void grate_register(lua_State *L, const struct grate_decl *decl);

/*
** An entry that no table has: for one call that is given to it, again and again. The function is on
** top of the stack, and popped. Raises Lua errors.
*/
const struct route_entry *grate_aside(lua_State *L, const struct grate_decl *decl);

/* What a declaration says that answers calls; it takes the value on the top. Raises Lua errors. */
struct grate_answer *grate_answer(lua_State *L, const struct grate_decl *decl);

void grate_interface_free(struct lencase_grate *g);

/*
** Reloading (grate_reload.c): between begin and commit, grate_stage prepares the next answer of the
** registered entry that is declared so; false: there is none, no host stops for such a call. The
** commit swaps all of them in; entries without one become ROUTE_ABSENT.
*/
void grate_reload_begin(struct lencase_grate *g);
bool grate_stage(lua_State *L, const struct grate_decl *decl);
void grate_commit(lua_State *L);

/* Calls the function on top of the stack, without a time limit: it must not stop half-way. */
int grate_call_untimed(lua_State *L, int nresults);

/* From now on 'L' has the time that a handler has. */
void grate_time(struct lencase_grate *g, lua_State *L);

/*
** Logs what the handler of a call found wrong with it: "script.lua:12: message: in write:
** cage 42 (tar); answer". After GRATE_MESSAGES of them the handler is silent.
*/
void grate_report(struct call *call, const char *message, const char *answer);

/* Runs the script's on_start, once; else the first cage does. LENCASE_ESCRIPT: it failed. */
int grate_start(struct lencase_grate *g);

/* Its place in the state's list, as in struct state_news. */
uint32_t grate_number(const struct lencase_grate *g);

/* The program has ended: the script's on_exit gets 'wstatus'. LENCASE_ESCRIPT if it fails. */
int grate_finish(struct lencase_grate *g, int wstatus);

/* }========================================================================= */

/* {================================= frames ================================ */

/* The frame whose coroutine 'L' is; NULL outside of a handler. */
struct frame *grate_frame(lua_State *L);
void grate_set_frame(lua_State *L, struct frame *f);

void grate_frames_free(struct lencase_grate *g);

/* The handler of every answer that is a function of Lua's: makes a frame, runs and resumes it. */
enum verdict grate_handle(struct call *call, enum handler_event ev);

/* The error on top of the stack, as a string. */
const char *grate_message(lua_State *L);

/* }========================================================================= */

/* {================================ values ================================= */

/* Pushes what the handler of 'f' sees of its call; returns how many values. Raises errors. */
int grate_push_args(lua_State *L, struct frame *f);

/* Turns the values at first..top into call->result and the frame's verdict. Raises errors. */
void grate_take_results(lua_State *L, struct frame *f, int first);

/* sys.NAME: a C closure over a signature (light userdata) and its plan. */
int grate_sys(lua_State *L);

/* Pushes the closure for callnum 'nr' with signature 'sig'. */
void grate_push_sys(lua_State *L, struct lencase_grate *g, int32_t nr, const struct signature *sig,
                    const struct route_table *to);

/* }========================================================================= */

/* {================================= views ================================= */

enum view_kind { VIEW_BYTES, VIEW_RECORDS, VIEW_IOVEC };

struct view {
  struct frame *frame;
  uint32_t stamp;
  uint8_t kind;
  bool single; /* VIEW_RECORDS: one struct, its fields are the view's */
  bool sized;  /* the same, with its size in it */
  bool writable;
  bool dirty;       /* VIEW: written to since it was made */
  uint8_t cut;      /* enum snap_cut: why it ends early */
  const char *name; /* of the argument */
  uint64_t addr, told;
  unsigned char *data;
  size_t size; /* bytes */
  const struct sig_record *record;
  const struct snap_part *parts; /* VIEW_IOVEC */
  uint32_t nparts;
  struct view *whole; /* the view that this one is a part of */
};

/* Pushes a view of a snapshot that holds bytes of parameter 'p'. */
void view_push(lua_State *L, struct frame *f, const struct sig_param *p,
               const struct snapshot *snap, bool writable);

/* The view at 'index', alive; NULL if the value is no view. Raises an error for a dead one. */
struct view *view_at(lua_State *L, int index);

/* Writes the table at 'index' into a record, without field 'but' (may be NULL). Raises errors. */
void view_fill(lua_State *L, int index, const struct sig_record *record, unsigned char *data,
               const char *but);

void view_open(lua_State *L); /* makes the metatable */

/* }========================================================================= */

/* {=============================== bad values ============================== */

/* A pointer that cannot be read, as a value. */
struct bad {
  const char *name; /* of the argument */
  uint64_t addr, told;
  uint8_t cut; /* enum snap_cut */
};

void bad_push(lua_State *L, const char *name, const struct snapshot *snap);
const struct bad *bad_at(lua_State *L, int index); /* NULL: another value */

/* Raises an error that is the caller's mistake; 'return' it. */
int bad_raise(lua_State *L, const char *name, const struct snapshot *snap);
int bad_raise_again(lua_State *L, int index);

/*
** Whether the error on top of the stack comes from the use of a bad value: then the call has
** its result, and it was logged.
*/
bool bad_ends(lua_State *L, struct call *call);

void bad_open(lua_State *L); /* makes the metatable */

/* }========================================================================= */

/* {================================= cages ================================= */

/* Pushes the userdata of a cage: the same one each time while it lives. */
void cage_push(lua_State *L, struct lencase_cage *cage);
void cage_forget(lua_State *L, struct lencase_cage *cage);
void cage_open(lua_State *L);

/* The id of the cage at 'index': a userdata, or the integer itself. Raises errors. */
uint64_t cage_id_at(lua_State *L, int index);

/*
** A pointer into a cage's memory, as a value. cage_pointer: false when there is none at 'index';
** raises an error when its cage is gone.
*/
int cage_at(lua_State *L); /* at(cage, addr) -> pointer */
bool cage_pointer(lua_State *L, int index, struct lencase_cage **cage, uint64_t *addr);

/* }========================================================================= */

#endif
