/*
** cage.c - the cages of a state
*/

#include "cage.h"

#include <assert.h>
#include <string.h>

enum { BUCKETS_MIN = 16 };

struct cage_table {
  uint64_t last_id;
  struct cage_watcher *watchers;
  struct lencase_cage **buckets; /* by id; a power of two of them */
  size_t nbuckets, count;
};

int cage_table_open(struct lencase_state *st) {
  st->cages = state_new(st, sizeof *st->cages);
  return st->cages != NULL ? LENCASE_OK : LENCASE_ENOMEM;
}

void cage_table_close(struct lencase_state *st) {
  struct cage_table *t = st->cages;
  if (t == NULL) return;
  assert(t->count == 0);
  state_free(st, t->buckets, t->nbuckets * sizeof *t->buckets);
  state_free(st, t, sizeof *t);
  st->cages = NULL;
}

static struct lencase_cage **bucket(struct cage_table *t, uint64_t id) {
  return &t->buckets[id & (t->nbuckets - 1)];
}

static void rehash(struct cage_table *t, struct lencase_cage **old, size_t n) {
  size_t i;
  for (i = 0; i < n; i++)
    while (old[i] != NULL) {
      struct lencase_cage *cage = old[i], **b = bucket(t, cage->id);
      old[i] = cage->next;
      cage->next = *b;
      *b = cage;
    }
}

/* Room for one more: once there are buckets, a failed growth is harmless. */
static bool grow(struct lencase_state *st, struct cage_table *t) {
  size_t n = t->nbuckets;
  struct lencase_cage **old = t->buckets, **buckets;
  if (t->count < n) return true;
  buckets = state_new(st, (n ? 2 * n : BUCKETS_MIN) * sizeof *buckets);
  if (buckets == NULL) return n > 0;
  t->buckets = buckets;
  t->nbuckets = n ? 2 * n : BUCKETS_MIN;
  rehash(t, old, n);
  state_free(st, old, n * sizeof *old);
  return true;
}

struct lencase_cage *cage_new(struct lencase_state *st, const struct host_ops *ops, void *host,
                              int64_t pid, struct lencase_cage *parent) {
  struct cage_table *t = st->cages;
  struct lencase_cage *cage, **b;
  if (!grow(st, t)) return NULL;
  cage = state_new(st, sizeof *cage);
  if (cage == NULL) return NULL;
  cage->st = st;
  cage->ops = ops;
  cage->host = host;
  cage->id = ++t->last_id;
  assert(cage->id != 0 && cage_by_id(st, cage->id) == NULL);
  cage->pid = pid != 0 ? pid : (int64_t)cage->id;
  cage->parent = parent != NULL ? parent->id : 0;
  b = bucket(t, cage->id);
  cage->next = *b;
  *b = cage;
  t->count++;
  return cage;
}

void cage_free(struct lencase_cage *cage) {
  struct lencase_state *st = cage->st;
  struct lencase_cage **p = bucket(st->cages, cage->id);
  while (*p != cage) {
    assert(*p != NULL); /* it is in the table: cage_free is called once */
    p = &(*p)->next;
  }
  *p = cage->next;
  st->cages->count--;
  state_free(st, cage, sizeof *cage);
}

struct lencase_cage *cage_by_id(struct lencase_state *st, uint64_t id) {
  struct lencase_cage *cage = st->cages->nbuckets ? *bucket(st->cages, id) : NULL;
  while (cage != NULL && cage->id != id) cage = cage->next;
  return cage;
}

struct lencase_cage *cage_any(struct lencase_state *st) {
  struct lencase_cage *cage = NULL;
  size_t i;
  for (i = 0; cage == NULL && i < st->cages->nbuckets; i++) cage = st->cages->buckets[i];
  return cage;
}

void cage_tell(struct lencase_cage *cage, enum cage_event ev, int status) {
  struct cage_watcher *w = cage->st->cages->watchers, *next;
  for (; w != NULL; w = next) {
    next = w->next; /* a watcher may take itself off */
    w->event(w, cage, ev, status);
  }
}

void cage_watch(struct lencase_state *st, struct cage_watcher *w) {
  w->next = st->cages->watchers;
  st->cages->watchers = w;
}

void cage_unwatch(struct lencase_state *st, struct cage_watcher *w) {
  struct cage_watcher **p = &st->cages->watchers;
  while (*p != NULL && *p != w) p = &(*p)->next;
  if (*p == w) *p = w->next;
}
