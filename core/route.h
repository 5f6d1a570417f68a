/*
** route.h - per cage, callnum -> who handles it
*/

#ifndef ROUTE_H
#define ROUTE_H

#include "host/host.h"
#include "signature.h"

struct plan;
struct call;

enum handler_event {
  HANDLER_START,  /* the call arrived, its in-arguments are there */
  HANDLER_RESULT, /* what it asked for was carried out: call->down_result */
  HANDLER_DROP    /* cage or thread is gone: let go of everything */
};

/*
** A handler: what a grate does with a call. It answers with a verdict, a
** VERDICT_DONE after call->result was set. (HANDLER_DROP: the answer is ignored.)
*/
typedef enum verdict (*handler_fn)(struct call *call, enum handler_event ev);

/*
** One entry of an interface. It is constant from the moment it is registered
** and owned by its grate, which outlives every cage.
*/
struct route_entry {
  handler_fn handler; /* NULL: a constant, the call is answered with 'constant' */
  void *ud;           /* the handler's own */
  int64_t constant;
  const struct plan *plan;
  const char *where;               /* "script.lua:12", for messages */
  const struct route_entry *next;  /* asked for calls of the number that are not this one's */
  const void *owner;               /* whose interface it is of */
  const struct route_table *below; /* who is asked for its own calls; NULL: nobody, the bottom */
  int32_t family; /* callnum in whose prototype the handler sees it, or the call's own */
  bool off;       /* its grate was reloaded and does not handle the call any more */
  bool denied;    /* a layer's default: the call is not there, whoever else takes a part of it */
  uint8_t ntests; /* 0: every such call; else only if one of the tests holds */
  struct sig_test tests[4];
};

struct route_table *route_table_new(struct lencase_state *st);
struct route_table *route_table_copy(struct lencase_state *st, const struct route_table *t);
void route_table_free(struct lencase_state *st, struct route_table *t);

/*
** Registers 'entry' for 'nr', before those of other owners: LENCASE_OK, LENCASE_EEXIST
** (its owner handles it already), LENCASE_ENOMEM. An entry is registered once, for one number:
** it links to the others of that number. Two entries of one owner share a number only when each
** takes it as a member of another family (unlinkat is unlink or rmdir), or the first is 'denied'.
*/
int route_register(struct lencase_state *st, struct route_table *t, int32_t nr,
                   struct route_entry *entry);

/* Who handles 'nr'; NULL: nobody. */
const struct route_entry *route_find(const struct route_table *t, int32_t nr);

/*
** The next callnum that somebody handles, above 'after' (-1 to begin); -1 at the
** end. For a host that builds its filter.
*/
int32_t route_next(const struct route_table *t, int32_t after);

/* {================================ branches =============================== */

/* Stacks inside of a grate, which chooses for each call whether it goes there. */
enum { ROUTE_BRANCHES = 8 };

struct route_branches {
  struct route_table *tables[ROUTE_BRANCHES];
  int n;
};

/*
** Between opening and closing, what is registered belongs to a branch: it has below it what is
** there now. Branches nest. LENCASE_ENOMEM; closing: LENCASE_EINVAL (none is open), LENCASE_ELIMIT.
*/
int route_branch_open(struct lencase_state *st);
int route_branch_close(struct lencase_state *st);

/* The branches closed since the last time: they are the caller's. */
void route_branches_take(struct lencase_state *st, struct route_branches *out);
void route_branches_free(struct lencase_state *st, struct route_branches *b);

/* }========================================================================= */

/* Opens and closes the state's table for first cages. */
int route_open(struct lencase_state *st);
void route_close(struct lencase_state *st);

#endif
