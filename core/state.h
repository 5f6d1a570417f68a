/*
** state.h - what every room stands on: memory, limits, messages
*/

#ifndef STATE_H
#define STATE_H

#include <stdarg.h>
#include <stdbool.h>

#include "lencase.h"

#define LENCASE_PUBLIC __attribute__((visibility("default")))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

enum { STATE_ERROR_MAX = 1024 };

/*
** An event that a host reports to the grates, by its name, and what they answer. A grate is
** known by its place in the state's list, which is the same wherever the same scripts are loaded.
*/
struct state_news {
  const char *event;
  int status;       /* as in waitpid(2) */
  const char *data; /* bytes for the one grate; NULL: it is for all of them */
  size_t size;
  uint32_t grate;
  /* Gets what each answers, if that is a string; NULL: it is dropped. */
  void (*answer)(void *ud, uint32_t grate, const char *data, size_t size);
  void *ud;
};

/* Bytes for the output of a grate that has this number there. */
struct outlet {
  uint32_t grate, number;
  const char *data;
  size_t size;
};

struct lencase_state {
  lencase_config config; /* every default filled in */
  char error[STATE_ERROR_MAX];
  struct cage_table *cages;                     /* cage.c */
  struct route_table *first_routes;             /* route.c: what first cages get */
  struct route_level *level;                    /* route.c: the branches that are open */
  struct route_interface *interfaces;           /* route.c: of all grates */
  uint64_t last_interface;                      /* the id given last */
  struct call_pool *calls;                      /* call.c */
  struct call_mistakes *mistakes;               /* call.c: of the cages' programs, logged so far */
  struct plan_list *cross_plans;                /* call_cross.c */
  struct lencase_grate *grates;                 /* grate.c: a list, newest first */
  struct grate_watch *watch;                    /* grate.h; NULL: none */
  struct call_recorder *recorder;               /* call.h; NULL: none */
  int (*reload_grates)(struct lencase_state *); /* likewise */
  int (*tell_grates)(struct lencase_state *, const struct state_news *);
  void (*close_grates)(struct lencase_state *); /* set by the room that made one */
  /* lencase's modules in Lua, compiled (scripts/gen-bytecode.lua); NULL: they are parsed. */
  const char *modules;
  size_t modules_size;
  /* Where a program runs inline: to its launcher; 0 or an errno. NULL: outputs are written here. */
  int (*outlet)(void *ud, const struct outlet *to);
  void *outlet_ud;
  bool unwritten; /* an output could not be written */
  void *inside;   /* a mark of the thread that is inside the state; NULL: none is */
  void *run;      /* a host's own while it runs cages of this state, else NULL */
};

/* Memory of the state: NULL when there is none left. 'osize' must be right. */
void *state_realloc(struct lencase_state *st, void *ptr, size_t osize, size_t nsize);
void *state_new(struct lencase_state *st, size_t size); /* zeroed */
void state_free(struct lencase_state *st, void *ptr, size_t size);

/* Keeps the message for lencase_error() and returns 'status'. */
int state_fail(struct lencase_state *st, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);

/*
** No other thread is inside of the state from here to state_leave: LENCASE_OK. LENCASE_EPERM: this
** thread is (a handler or callback called back), with a message; or another one, without:
** lencase_error() belongs to it.
*/
int state_enter(struct lencase_state *st);
void state_leave(struct lencase_state *st);
/* LENCASE_OK when no thread is inside; LENCASE_EPERM as for state_enter. */
int state_check_outside(struct lencase_state *st);

/*
** Tells the grates. LENCASE_ESCRIPT: one of them failed, which was logged; LENCASE_ENOENT: there
** is no grate of that number.
*/
int state_tell_grates(struct lencase_state *st, const struct state_news *news);

/* Sends a message to the log function. */
void state_log(struct lencase_state *st, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
** The same for an event, if those of its kind (STOPS, CALLS, WINDOW, ROUTES) are asked for. Nothing
** is evaluated otherwise.
*/
#define state_debug(st, kind, ...)                                                             \
  (((st)->config.debug & LENCASE_DEBUG_##kind) != 0 ? state_debug_line(st, #kind, __VA_ARGS__) \
                                                    : (void)0)
void state_debug_line(struct lencase_state *st, const char *kind, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

#endif
