/*
** route.h - per cage: which handler a call number goes to
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
  HANDLER_DROP    /* cage or thread is gone: release everything */
};

/*
** A handler: what a grate does with a call. It answers with a verdict, a
** VERDICT_DONE after call->result was set. (HANDLER_DROP: the answer is ignored.)
*/
typedef enum verdict (*handler_fn)(struct call *call, enum handler_event ev);

/* What a grate handles: its entries, whether they are registered with a cage or not. */
struct route_interface {
  uint64_t id; /* of the grate; never used again within the state */
  struct route_entry *entries;
  struct route_interface *next;
  bool inside; /* of a branch: the grate around it chooses the calls that it gets */
};

enum { ROUTE_TESTS = 4 };

/*
** What becomes of the calls that an entry takes. It never changes: a grate that is reloaded gives
** its entries other answers, and a call keeps the one that it was given when it was asked. Owned
** by its grate, which outlives every cage.
*/
struct route_answer {
  handler_fn handler; /* NULL: a constant, the call is answered with 'constant' */
  void *ud;           /* the handler's own */
  int64_t constant;
  const struct plan *plan;
  const char *where; /* "script.lua:12", for messages */
  uint8_t ntests;    /* 0: every such call is taken; else only if one of the tests holds */
  struct sig_test tests[ROUTE_TESTS];
};

/* Whether an entry is asked for the calls that it takes. */
enum route_status {
  ROUTE_ACTIVE,
  ROUTE_DENIED, /* active: a layer's default, for calls that none of its other entries takes */
  ROUTE_UNREGISTERED, /* inactive in this table until register_handler; hosts stop for its calls */
  ROUTE_ABSENT        /* inactive in all tables until a reload brings it; hosts need not stop */
};

/*
** One entry of an interface: which calls go to which grate. From the moment it is in a table its
** grate changes nothing but the answer and the status (ROUTE_UNREGISTERED is never an entry's:
** see route_link). Owned by its grate, which outlives every cage.
*/
struct route_entry {
  const struct route_answer *answer;
  enum route_status status;
  int32_t nr;
  int32_t family; /* callnum in whose prototype the handler sees it, or the call's own */
  const struct route_table *below; /* handles its own calls; NULL: the bottom does */
  struct route_interface *owner;   /* whose interface it is of */
  struct route_entry *peer;        /* the next one of the interface */
};

/*
** One of the entries for a number, in the order in which they are asked: the next is asked for
** calls that this one does not take. Links never change: tables share them.
*/
struct route_link {
  const struct route_entry *entry;
  struct route_link *next;
  uint32_t refs;
  bool registered; /* with the cages of this table */
};

/* The status of an entry in the table that the link is of. */
static inline enum route_status route_status(const struct route_link *link) {
  if (link->entry->status == ROUTE_ABSENT) return ROUTE_ABSENT;
  return link->registered ? link->entry->status : ROUTE_UNREGISTERED;
}

static inline bool route_is_active(const struct route_link *link) {
  return link->registered && link->entry->status != ROUTE_ABSENT;
}

struct route_table *route_table_new(struct lencase_state *st);

/* A copy: the two share what they have until one of them changes. It cannot fail. */
struct route_table *route_table_copy(struct route_table *t);
void route_table_free(struct lencase_state *st, struct route_table *t);

/*
** Adds 'entry' for entry->nr to table *t, before those of other owners: LENCASE_OK, LENCASE_EEXIST
** (its owner handles it already), LENCASE_ENOMEM, LENCASE_EINVAL. Two entries of one owner share a
** number only when each takes it as a member of another family (unlinkat is unlink or rmdir), or
** the first is ROUTE_DENIED. After a failure the table is as it was.
*/
int route_add(struct lencase_state *st, struct route_table **t, const struct route_entry *entry,
              bool registered);

/*
** register_handler: registers with *t the entries of an interface that handle 'nr', or see it in
** their prototype (its family); LENCASE_MATCH_ALL: all of them. LENCASE_ENOENT: it has
** none such; LENCASE_EEXIST: another grate handles one of the calls, and 'replace' is false (else
** that one is not asked any more); LENCASE_ENOMEM. After a failure the table is as it was.
*/
int route_bind(struct lencase_state *st, struct route_table **t, struct route_interface *of,
               int32_t nr, bool replace);

/* deregister; 'of' NULL: the entries of all grates. LENCASE_ENOENT: none did; LENCASE_ENOMEM. */
int route_unbind(struct lencase_state *st, struct route_table **t, const struct route_interface *of,
                 int32_t nr);

/*
** copy_handler_table_to_cage: adds to *t what 'from' has for numbers without a handler in *t, or
** ('replace') for all numbers with a handler in 'from'. LENCASE_ENOMEM: it is as it was.
*/
int route_merge(struct lencase_state *st, struct route_table **t, const struct route_table *from,
                bool replace);

/* The first handler of 'nr'; NULL: none. */
const struct route_entry *route_find(const struct route_table *t, int32_t nr);

/* The same with those that are asked after it, and the unregistered ones. */
const struct route_link *route_links(const struct route_table *t, int32_t nr);

/*
** The next callnum above 'after' (-1 to begin) that has a handler or may get one; -1 at
** the end. For a host that builds its filter.
*/
int32_t route_next(const struct route_table *t, int32_t after);

/* An interface begins: it gets its id. It is in the state until route_interface_close. */
void route_interface_open(struct lencase_state *st, struct route_interface *of);
void route_interface_close(struct lencase_state *st, struct route_interface *of);
struct route_interface *route_interface_by_id(struct lencase_state *st, uint64_t id);

/* Adds a complete entry to the interface of its owner. */
void route_declare(struct route_entry *entry);

/* {================================ branches =============================== */

/* Stacks inside of a grate, which chooses for each call whether it goes there. */
enum { ROUTE_BRANCHES = 8 };

struct route_branches {
  struct route_table *tables[ROUTE_BRANCHES];
  int n;
};

/*
** Between opening and closing, what is added belongs to a branch: it has below it what is
** there now. Branches nest. LENCASE_ENOMEM; closing: LENCASE_EINVAL (none is open), LENCASE_ELIMIT.
*/
int route_branch_open(struct lencase_state *st);
int route_branch_close(struct lencase_state *st);
bool route_branch_is_open(const struct lencase_state *st);

/* The branches closed since the last time: they are the caller's. */
void route_branches_take(struct lencase_state *st, struct route_branches *out);
void route_branches_free(struct lencase_state *st, struct route_branches *b);

/* }========================================================================= */

/* Opens and closes the state's table for first cages. */
int route_open(struct lencase_state *st);
void route_close(struct lencase_state *st);

#endif
