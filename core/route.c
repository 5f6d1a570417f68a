/*
** route.c - per cage: which handler a call number goes to
**
** The kernel's numbers are an array; the few above it (3i's, an author's own)
** a sorted list, found by halving. Cages that were forked share a table until it changes, and
** tables share their links, so that thousands of cages cost little more than one.
*/

#include "route.h"

#include <assert.h>
#include <string.h>

enum { ROUTE_DIRECT = 512 };

struct route_far {
  int32_t nr;
  struct route_link *link;
};

struct route_table {
  struct route_link *direct[ROUTE_DIRECT];
  struct route_far *far;
  size_t nfar;
  uint32_t refs; /* how many copies are this very table */
};

/* {================================= links ================================= */

static struct route_link *link_keep(struct route_link *link) {
  if (link != NULL) link->refs++;
  return link;
}

static void link_drop(struct lencase_state *st, struct route_link *link) {
  assert(link == NULL || link->refs > 0);
  while (link != NULL && --link->refs == 0) {
    struct route_link *next = link->next;
    state_free(st, link, sizeof *link);
    link = next;
  }
}

/* Takes 'next' over, also when there is no memory: then it is NULL. */
static struct route_link *link_new(struct lencase_state *st, const struct route_entry *entry,
                                   bool registered, struct route_link *next) {
  struct route_link *link = state_new(st, sizeof *link);
  if (link == NULL) {
    link_drop(st, next);
    return NULL;
  }
  *link = (struct route_link){entry, next, 1, registered};
  return link;
}

static const struct route_link *first_registered(const struct route_link *link) {
  while (link != NULL && !link->registered) link = link->next;
  return link;
}

/* }========================================================================= */

/* {================================= tables ================================ */

struct route_table *route_table_new(struct lencase_state *st) {
  struct route_table *t = state_new(st, sizeof *t);
  if (t != NULL) t->refs = 1;
  return t;
}

struct route_table *route_table_copy(struct route_table *t) {
  t->refs++;
  return t;
}

void route_table_free(struct lencase_state *st, struct route_table *t) {
  size_t i;
  assert(t == NULL || t->refs > 0);
  if (t == NULL || --t->refs > 0) return;
  for (i = 0; i < ROUTE_DIRECT; i++) link_drop(st, t->direct[i]);
  for (i = 0; i < t->nfar; i++) link_drop(st, t->far[i].link);
  state_free(st, t->far, t->nfar * sizeof *t->far);
  state_free(st, t, sizeof *t);
}

static struct route_table *table_duplicate(struct lencase_state *st, const struct route_table *t) {
  struct route_table *copy = route_table_new(st);
  size_t i;
  if (copy == NULL) return NULL;
  if (t->nfar > 0) copy->far = state_new(st, t->nfar * sizeof *t->far);
  if (t->nfar > 0 && copy->far == NULL) {
    route_table_free(st, copy);
    return NULL;
  }
  for (i = 0; i < ROUTE_DIRECT; i++) copy->direct[i] = link_keep(t->direct[i]);
  for (i = 0; i < t->nfar; i++)
    copy->far[i] = (struct route_far){t->far[i].nr, link_keep(t->far[i].link)};
  copy->nfar = t->nfar;
  return copy;
}

/* *t becomes a table that no other cage shares. */
static int table_own(struct lencase_state *st, struct route_table **t) {
  struct route_table *copy;
  if ((*t)->refs == 1) return LENCASE_OK;
  copy = table_duplicate(st, *t);
  if (copy == NULL) return state_fail(st, LENCASE_ENOMEM, "no memory for a table of routes");
  route_table_free(st, *t);
  *t = copy;
  return LENCASE_OK;
}

/* The place of the first far number that is not below 'nr'. */
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
                      struct route_link *link) {
  size_t place = far_place(t, nr), size = t->nfar * sizeof *t->far;
  struct route_far *far = state_realloc(st, t->far, size, size + sizeof *far);
  if (far == NULL) return LENCASE_ENOMEM;
  assert(place == t->nfar || far[place].nr > nr); /* sorted, and each number once */
  memmove(&far[place + 1], &far[place], (t->nfar - place) * sizeof *far);
  far[place] = (struct route_far){nr, link};
  t->far = far;
  t->nfar++;
  return LENCASE_OK;
}

static struct route_link *links_of(const struct route_table *t, int32_t nr) {
  size_t place;
  if (nr < 0) return NULL;
  if (nr < ROUTE_DIRECT) return t->direct[nr];
  place = far_place(t, nr);
  return place < t->nfar && t->far[place].nr == nr ? t->far[place].link : NULL;
}

/* The place of the links of 'nr'; NULL for a far number that was never handled. */
static struct route_link **links_at(struct route_table *t, int32_t nr) {
  size_t place;
  if (nr < ROUTE_DIRECT) return &t->direct[nr];
  place = far_place(t, nr);
  return place < t->nfar && t->far[place].nr == nr ? &t->far[place].link : NULL;
}

/* Replaces the links of 'nr' and takes these over. The table must be unshared. */
static int set_links(struct lencase_state *st, struct route_table *t, int32_t nr,
                     struct route_link *links) {
  struct route_link **at = links_at(t, nr), *old;
  assert(t->refs == 1);
  if (at == NULL) {
    if (far_insert(st, t, nr, links) == LENCASE_OK) return LENCASE_OK;
    link_drop(st, links);
    return state_fail(st, LENCASE_ENOMEM, "no memory for a route");
  }
  old = *at;
  *at = links;
  link_drop(st, old);
  return LENCASE_OK;
}

const struct route_link *route_links(const struct route_table *t, int32_t nr) {
  return links_of(t, nr);
}

const struct route_entry *route_find(const struct route_table *t, int32_t nr) {
  const struct route_link *link = first_registered(route_links(t, nr));
  return link != NULL ? link->entry : NULL;
}

int32_t route_next(const struct route_table *t, int32_t after) {
  int32_t nr;
  size_t place;
  if (after == INT32_MAX) return -1;
  for (nr = after + 1; nr < ROUTE_DIRECT; nr++)
    if (t->direct[nr] != NULL) return nr;
  for (place = far_place(t, nr); place < t->nfar; place++)
    if (t->far[place].link != NULL) return t->far[place].nr;
  return -1;
}

/* }========================================================================= */

/* {================================ adding ================================= */

/* Two entries of one owner and number must not take the same calls. */
static bool may_add(const struct route_link *have, const struct route_entry *entry) {
  for (; have != NULL && have->entry->owner == entry->owner; have = have->next) {
    const struct route_entry *e = have->entry;
    if (e->status == ROUTE_DENIED) return true;
    if (e->status == ROUTE_ABSENT || entry->status == ROUTE_ABSENT) continue;
    if (e->family == e->nr || entry->family == entry->nr || e->family == entry->family)
      return false;
  }
  return true;
}

static const char *const status_names[] = {[ROUTE_ACTIVE] = "active",
                                           [ROUTE_DENIED] = "denied",
                                           [ROUTE_UNREGISTERED] = "unregistered",
                                           [ROUTE_ABSENT] = "absent"};

int route_add(struct lencase_state *st, struct route_table **t, const struct route_entry *entry,
              bool registered) {
  struct route_link *link;
  char buf[64];
  int status;
  assert(entry->answer != NULL && entry->status != ROUTE_UNREGISTERED);
  if (entry->nr < 0) return state_fail(st, LENCASE_EINVAL, "invalid call number %d", entry->nr);
  link = links_of(*t, entry->nr);
  if (!may_add(link, entry))
    return state_fail(st, LENCASE_EEXIST, "%s has a handler already",
                      sig_name(entry->nr, buf, sizeof buf));
  status = table_own(st, t);
  if (status != LENCASE_OK) return status;
  link = link_new(st, entry, registered, link_keep(link));
  if (link == NULL) return state_fail(st, LENCASE_ENOMEM, "no memory for a route");
  state_debug(st, ROUTES, "%s: %s is added (%s)", sig_name(entry->nr, buf, sizeof buf),
              entry->answer->where != NULL ? entry->answer->where : "grate",
              status_names[route_status(link)]);
  return set_links(st, *t, entry->nr, link);
}

/* }========================================================================= */

/* {============================ register_handler =========================== */

static bool named(const struct route_entry *entry, int32_t nr) {
  return nr == LENCASE_MATCH_ALL || entry->nr == nr || entry->family == nr;
}

static const struct route_link *link_to(const struct route_link *link,
                                        const struct route_entry *entry) {
  while (link != NULL && link->entry != entry) link = link->next;
  return link;
}

/* A change to the links of one number. */
struct change {
  const struct route_entry *activate; /* this entry is registered, and */
  bool replace;                       /* those of other interfaces are not any more; */
  const struct route_interface *of;
  int32_t nr; /* or ('activate' NULL) what 'of' (NULL: any) has for 'nr' is not */
};

static bool registered_after(const struct route_link *link, const struct change *c) {
  const struct route_entry *e = link->entry;
  if (e == c->activate) return true;
  if (!link->registered) return false;
  if (c->activate != NULL) return !c->replace || e->owner == c->activate->owner;
  return (c->of != NULL && e->owner != c->of) || !named(e, c->nr);
}

/*
** Copies the links, each registered or not as the change says: *copy is NULL when memory is short
** or there are no links. Recursion is as deep as grates handle one number.
*/
static int links_again(struct lencase_state *st, const struct route_link *link,
                       const struct change *c, struct route_link **copy) {
  struct route_link *rest;
  int status;
  *copy = NULL;
  if (link == NULL) return LENCASE_OK;
  status = links_again(st, link->next, c, &rest);
  if (status != LENCASE_OK) return status;
  *copy = link_new(st, link->entry, registered_after(link, c), rest);
  return *copy != NULL ? LENCASE_OK : state_fail(st, LENCASE_ENOMEM, "no memory for a route");
}

static int bind_entry(struct lencase_state *st, struct route_table *t,
                      const struct route_entry *entry, bool replace) {
  const struct route_link *links = route_links(t, entry->nr);
  const struct route_link *first = first_registered(links), *own = link_to(links, entry);
  const struct change c = {.activate = entry, .replace = replace};
  struct route_link *again;
  char buf[64];
  int status;
  if (!replace && first != NULL && first->entry->owner != entry->owner)
    return state_fail(st, LENCASE_EEXIST, "another grate handles %s: ask for replacing it",
                      sig_name(entry->nr, buf, sizeof buf));
  if (own != NULL && own->registered && first->entry->owner == entry->owner) return LENCASE_OK;
  status = links_again(st, links, &c, &again);
  if (status == LENCASE_OK && own == NULL) {
    again = link_new(st, entry, true, again);
    if (again == NULL) status = state_fail(st, LENCASE_ENOMEM, "no memory for a route");
  }
  return status == LENCASE_OK ? set_links(st, t, entry->nr, again) : status;
}

/* Changes are made to a copy, which replaces *t when all of them worked. */
static int settle(struct lencase_state *st, struct route_table **t, struct route_table *changed,
                  int status) {
  struct route_table *loser = status == LENCASE_OK ? *t : changed;
  assert(changed != *t && changed->refs == 1);
  if (status == LENCASE_OK) *t = changed;
  route_table_free(st, loser);
  return status;
}

static struct route_table *changeable(struct lencase_state *st, const struct route_table *t) {
  struct route_table *copy = table_duplicate(st, t);
  if (copy == NULL) state_fail(st, LENCASE_ENOMEM, "no memory for a table of routes");
  return copy;
}

static int nothing_for(struct lencase_state *st, int32_t nr, const char *who) {
  char buf[64];
  return state_fail(st, LENCASE_ENOENT, "%s %s", who,
                    nr == LENCASE_MATCH_ALL ? "any call" : sig_name(nr, buf, sizeof buf));
}

int route_bind(struct lencase_state *st, struct route_table **t, struct route_interface *of,
               int32_t nr, bool replace) {
  struct route_table *copy = changeable(st, *t);
  const struct route_entry *e;
  int status = LENCASE_OK;
  bool any = false;
  if (copy == NULL) return LENCASE_ENOMEM;
  for (e = of->entries; e != NULL && status == LENCASE_OK; e = e->peer) {
    if (!named(e, nr)) continue;
    any = true;
    status = bind_entry(st, copy, e, replace);
  }
  if (!any) status = nothing_for(st, nr, "the grate does not handle");
  return settle(st, t, copy, status);
}

static bool changes(const struct route_link *link, const struct change *c) {
  while (link != NULL && link->registered == registered_after(link, c)) link = link->next;
  return link != NULL;
}

int route_unbind(struct lencase_state *st, struct route_table **t, const struct route_interface *of,
                 int32_t nr) {
  struct route_table *copy = changeable(st, *t);
  const struct change c = {.of = of, .nr = nr};
  struct route_link *again;
  int status = LENCASE_OK;
  int32_t at;
  bool any = false;
  if (copy == NULL) return LENCASE_ENOMEM;
  for (at = route_next(copy, -1); at >= 0 && status == LENCASE_OK; at = route_next(copy, at)) {
    const struct route_link *links = route_links(copy, at);
    if (!changes(links, &c)) continue;
    any = true;
    status = links_again(st, links, &c, &again);
    if (status == LENCASE_OK) status = set_links(st, copy, at, again);
  }
  if (!any) status = nothing_for(st, nr, "no handler for");
  return settle(st, t, copy, status);
}

/* }========================================================================= */

/* {======================= copy_handler_table_to_cage ====================== */

int route_merge(struct lencase_state *st, struct route_table **t, const struct route_table *from,
                bool replace) {
  struct route_table *copy = changeable(st, *t);
  int status = LENCASE_OK;
  int32_t nr;
  if (copy == NULL) return LENCASE_ENOMEM;
  for (nr = route_next(from, -1); nr >= 0 && status == LENCASE_OK; nr = route_next(from, nr)) {
    struct route_link *links = links_of(from, nr);
    if (first_registered(links) == NULL || (!replace && route_find(copy, nr) != NULL)) continue;
    status = set_links(st, copy, nr, link_keep(links));
  }
  return settle(st, t, copy, status);
}

/* }========================================================================= */

/* {=============================== interfaces ============================== */

void route_interface_open(struct lencase_state *st, struct route_interface *of) {
  of->id = ++st->last_interface;
  of->inside = route_branch_is_open(st);
  of->next = st->interfaces;
  st->interfaces = of;
}

void route_interface_close(struct lencase_state *st, struct route_interface *of) {
  struct route_interface **p = &st->interfaces;
  while (*p != NULL && *p != of) p = &(*p)->next;
  if (*p == of) *p = of->next;
}

struct route_interface *route_interface_by_id(struct lencase_state *st, uint64_t id) {
  struct route_interface *of = st->interfaces;
  while (of != NULL && of->id != id) of = of->next;
  return of;
}

void route_declare(struct route_entry *entry) {
  assert(entry->peer == NULL && entry->owner->entries != entry);
  entry->peer = entry->owner->entries;
  entry->owner->entries = entry;
}

/* }========================================================================= */

/* {================================ branches =============================== */

/* One of the nested branches that are being filled; the outermost is no branch. */
struct route_level {
  struct route_level *outer;
  struct route_table *routes;   /* of the outer level, while this one is filled */
  struct route_branches closed; /* inside of this level, and no grate's yet */
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
  assert(level != NULL);
  st->level = level->outer;
  route_branches_free(st, &level->closed);
  state_free(st, level, sizeof *level);
}

bool route_branch_is_open(const struct lencase_state *st) {
  return st->level->outer != NULL;
}

int route_branch_open(struct lencase_state *st) {
  if (level_new(st, st->first_routes) == NULL)
    return state_fail(st, LENCASE_ENOMEM, "no memory for a branch");
  st->first_routes = route_table_copy(st->first_routes);
  return LENCASE_OK;
}

int route_branch_close(struct lencase_state *st) {
  struct route_branches *closed;
  struct route_table *branch = st->first_routes;
  if (!route_branch_is_open(st)) return state_fail(st, LENCASE_EINVAL, "no branch is open");
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
