/*
** cage.h - the cages of a state, and the watchers of their births and exits
*/

#ifndef CAGE_H
#define CAGE_H

#include "host/host.h"

struct route_table;

struct lencase_cage {
  struct lencase_state *st;
  const struct host_ops *ops;
  void *host;                 /* the host's own, freed by the host after cage_exit */
  uint64_t id;                /* never used again within the state: the cage's generation */
  int64_t pid;                /* shown to users: the process, or a number that the host chooses */
  uint64_t parent;            /* id, 0 for the first of a run */
  bool shares_files;          /* descriptors shared with the parent (CLONE_FILES) */
  struct route_table *routes; /* route.c */
  struct lencase_cage *next;
  bool narrow; /* its pointers and longs have 4 bytes (ILP32, as on wasm32) */
  bool ending; /* its host is about to end it: no new route */
  bool gone;   /* it ended: no route, no read, no write any more */
};

enum cage_event {
  CAGE_NEW,  /* it is there and has not run yet; 'parent' is alive */
  CAGE_EXEC, /* it runs a new program from now on */
  CAGE_EXIT  /* it has ended, 'status' as in waitpid(2); its memory is gone */
};

/* Gets the events of all cages, as a grate does. Linked in by cage_watch, owned by the caller. */
struct cage_watcher {
  void (*event)(struct cage_watcher *w, struct lencase_cage *cage, enum cage_event ev, int status);
  struct cage_watcher *next;
};

/*
** A new cage of host 'ops', the watchers not yet notified (see cage_tell) and without
** routes. The state owns it until cage_free. 'pid' 0: its id. NULL when memory is short.
** Hosts use call_cage_new, which gives it routes and tells the watchers.
*/
struct lencase_cage *cage_new(struct lencase_state *st, const struct host_ops *ops, void *host,
                              int64_t pid, struct lencase_cage *parent);

/* Tells the watchers. */
void cage_tell(struct lencase_cage *cage, enum cage_event ev, int status);

/* Takes the cage out of its state and frees the struct. */
void cage_free(struct lencase_cage *cage);

struct lencase_cage *cage_by_id(struct lencase_state *st, uint64_t id);

/* One of the state's cages; NULL when there is none. */
struct lencase_cage *cage_any(struct lencase_state *st);

void cage_watch(struct lencase_state *st, struct cage_watcher *w);
void cage_unwatch(struct lencase_state *st, struct cage_watcher *w);

int cage_table_open(struct lencase_state *st);
void cage_table_close(struct lencase_state *st);

#endif
