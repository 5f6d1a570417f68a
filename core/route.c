/*
** route.c - per cage, callnum -> who handles it
**
** The kernel's numbers are an array; the few above it (3i's, an author's own)
** a sorted list, found by halving.
*/

#include "route.h"

#include <string.h>

enum { ROUTE_DIRECT = 512 };

struct route_far {
  int32_t nr;
  const struct route_entry *entry;
};

struct route_table {
  const struct route_entry *direct[ROUTE_DIRECT];
  struct route_far *far;
  size_t nfar;
};

struct route_table *route_table_new(struct lencase_state *st) {
  return state_new(st, sizeof(struct route_table));
}

void route_table_free(struct lencase_state *st, struct route_table *t) {
  if (t == NULL) return;
  state_free(st, t->far, t->nfar * sizeof *t->far);
  state_free(st, t, sizeof *t);
}

struct route_table *route_table_copy(struct lencase_state *st, const struct route_table *t) {
  struct route_table *copy = route_table_new(st);
  if (copy == NULL) return NULL;
  memcpy(copy->direct, t->direct, sizeof copy->direct);
  if (t->nfar == 0) return copy;
  copy->far = state_new(st, t->nfar * sizeof *t->far);
  if (copy->far == NULL) {
    route_table_free(st, copy);
    return NULL;
  }
  memcpy(copy->far, t->far, t->nfar * sizeof *t->far);
  copy->nfar = t->nfar;
  return copy;
}

/* The place of the first far entry that is not below 'nr'. */
static size_t far_place(const struct route_table *t, int32_t nr) {
  size_t low = 0, high = t->nfar;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (t->far[mid].nr < nr)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static int far_insert(struct lencase_state *st, struct route_table *t, int32_t nr,
                      const struct route_entry *entry) {
  size_t place = far_place(t, nr), size = t->nfar * sizeof *t->far;
  struct route_far *far = state_realloc(st, t->far, size, size + sizeof *far);
  if (far == NULL) return state_fail(st, LENCASE_ENOMEM, "no memory for a route");
  memmove(&far[place + 1], &far[place], (t->nfar - place) * sizeof *far);
  far[place] = (struct route_far){nr, entry};
  t->far = far;
  t->nfar++;
  return LENCASE_OK;
}

static bool may_share(const struct route_entry *have, int32_t nr, const struct route_entry *entry) {
  for (; have != NULL && have->owner == entry->owner && !have->denied; have = have->next)
    if (have->family == nr || entry->family == nr || have->family == entry->family) return false;
  return true;
}

static int put(struct lencase_state *st, struct route_table *t, int32_t nr,
               const struct route_entry *entry) {
  size_t place;
  if (nr < ROUTE_DIRECT) {
    t->direct[nr] = entry;
    return LENCASE_OK;
  }
  place = far_place(t, nr);
  if (place == t->nfar || t->far[place].nr != nr) return far_insert(st, t, nr, entry);
  t->far[place].entry = entry;
  return LENCASE_OK;
}

int route_register(struct lencase_state *st, struct route_table *t, int32_t nr,
                   struct route_entry *entry) {
  char buf[64];
  if (nr < 0) return state_fail(st, LENCASE_EINVAL, "%d is no callnum", nr);
  entry->next = route_find(t, nr);
  if (!may_share(entry->next, nr, entry))
    return state_fail(st, LENCASE_EEXIST, "%s has a handler already",
                      sig_name(nr, buf, sizeof buf));
  return put(st, t, nr, entry);
}

const struct route_entry *route_find(const struct route_table *t, int32_t nr) {
  size_t place;
  if (nr < 0) return NULL;
  if (nr < ROUTE_DIRECT) return t->direct[nr];
  place = far_place(t, nr);
  return place < t->nfar && t->far[place].nr == nr ? t->far[place].entry : NULL;
}

int32_t route_next(const struct route_table *t, int32_t after) {
  int32_t nr;
  size_t place;
  if (after == INT32_MAX) return -1;
  for (nr = after + 1; nr < ROUTE_DIRECT; nr++)
    if (t->direct[nr] != NULL) return nr;
  place = far_place(t, nr);
  return place < t->nfar ? t->far[place].nr : -1;
}

/* {================================ branches =============================== */

/* One of the nested branches that are being filled; the outermost is no branch. */
struct route_level {
  struct route_level *outer;
  struct route_table *routes;   /* of the outer level, while this one is filled */
  struct route_branches closed; /* inside of this level, and nobody's yet */
};

static struct route_level *level_new(struct lencase_state *st, struct route_table *routes) {
  struct route_level *level = state_new(st, sizeof *level);
  if (level == NULL) return NULL;
  level->outer = st->level;
  level->routes = routes;
  st->level = level;
  return level;
}

static void level_free(struct lencase_state *st) {
  struct route_level *level = st->level;
  st->level = level->outer;
  route_branches_free(st, &level->closed);
  state_free(st, level, sizeof *level);
}

int route_branch_open(struct lencase_state *st) {
  struct route_table *copy = route_table_copy(st, st->first_routes);
  if (copy == NULL || level_new(st, st->first_routes) == NULL) {
    route_table_free(st, copy);
    return state_fail(st, LENCASE_ENOMEM, "no memory for a branch");
  }
  st->first_routes = copy;
  return LENCASE_OK;
}

int route_branch_close(struct lencase_state *st) {
  struct route_branches *closed;
  struct route_table *branch = st->first_routes;
  if (st->level->outer == NULL) return state_fail(st, LENCASE_EINVAL, "no branch is open");
  closed = &st->level->outer->closed;
  st->first_routes = st->level->routes;
  level_free(st);
  if (closed->n == ROUTE_BRANCHES) {
    route_table_free(st, branch);
    return state_fail(st, LENCASE_ELIMIT, "a grate has at most %d branches", (int)ROUTE_BRANCHES);
  }
  closed->tables[closed->n++] = branch;
  return LENCASE_OK;
}

void route_branches_take(struct lencase_state *st, struct route_branches *out) {
  *out = st->level->closed;
  st->level->closed.n = 0;
}

void route_branches_free(struct lencase_state *st, struct route_branches *b) {
  while (b->n > 0) route_table_free(st, b->tables[--b->n]);
}

/* }========================================================================= */

int route_open(struct lencase_state *st) {
  if (level_new(st, NULL) == NULL) return LENCASE_ENOMEM;
  st->first_routes = route_table_new(st);
  return st->first_routes != NULL ? LENCASE_OK : LENCASE_ENOMEM;
}

void route_close(struct lencase_state *st) {
  route_table_free(st, st->first_routes);
  st->first_routes = NULL;
  while (st->level != NULL) {
    route_table_free(st, st->level->routes);
    level_free(st);
  }
}
