/*
** grate_reload.c - a grate's interface is replaced while its cages run
**
** Registered entries stay where they are, in the tables of all cages: they get other answers, all
** of them at once. A call that is under way goes on with the answer that it was given.
*/

#include <lauxlib.h>

#include "grate.h"

/* The entries of the interface are those that are registered: not those of grate_aside. */
static struct grate_entry *first_of(const struct lencase_grate *g) {
  return (struct grate_entry *)g->interface.entries;
}

static struct grate_entry *next_of(const struct grate_entry *e) {
  return (struct grate_entry *)e->route.peer;
}

void grate_reload_begin(struct lencase_grate *g) {
  struct grate_entry *e;
  for (e = first_of(g); e != NULL; e = next_of(e)) e->staged = NULL;
  g->reloading = true;
}

/* A filter cannot be widened: it stops for what the entry was registered with. */
static bool host_stops_for(const struct grate_entry *e, const struct grate_decl *d) {
  int i;
  if (e->first->ntests == 0) return true;
  if (e->first->ntests != d->ntests) return false;
  for (i = 0; i < d->ntests; i++)
    if (!sig_test_same(&e->first->tests[i], &d->tests[i])) return false;
  return true;
}

bool grate_stage(lua_State *L, const struct grate_decl *d) {
  struct grate_entry *e = first_of(grate_of(L));
  while (e != NULL &&
         !(e->route.nr == d->nr && e->route.family == d->family && host_stops_for(e, d)))
    e = next_of(e);
  if (e == NULL) return false;
  e->staged = grate_answer(L, d);
  return true;
}

/* A handler of the answer before may still run: its function is on its coroutine's stack. */
static void swap_in(lua_State *L, struct grate_entry *e) {
  struct grate_answer *before = e->route.answer->ud;
  assert(e->staged != before && e->staged->grate == before->grate);
  luaL_unref(L, LUA_REGISTRYINDEX, before->fn);
  before->fn = LUA_NOREF;
  e->route.answer = &e->staged->route;
  e->staged = NULL;
}

static void debug_commit(const struct lencase_grate *g, const struct grate_entry *e) {
  char name[64];
  if (e->staged != NULL)
    state_debug(g->st, ROUTES, "%s: %s is %s", sig_name(e->route.nr, name, sizeof name),
                e->staged->where, e->route.status == ROUTE_ABSENT ? "active again" : "swapped in");
  else if (e->route.status != ROUTE_ABSENT)
    state_debug(g->st, ROUTES, "%s: %s is absent from now on",
                sig_name(e->route.nr, name, sizeof name), e->route.answer->where);
}

void grate_commit(lua_State *L) {
  struct lencase_grate *g = grate_of(L);
  struct grate_entry *e;
  for (e = first_of(g); e != NULL; e = next_of(e)) {
    debug_commit(g, e);
    e->route.status = e->staged != NULL ? ROUTE_ACTIVE : ROUTE_ABSENT;
    if (e->staged != NULL) swap_in(L, e);
  }
  g->reloading = false;
}
