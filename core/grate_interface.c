/*
** grate_interface.c - what a grate handles: its entries and what answers them
*/

#include <lauxlib.h>
#include <string.h>

#include "grate.h"

/* {================================ policies =============================== */

/* The member's arguments get what the family's policy says of the parameters they show. */
static lencase_policy folded_policy(const struct sig_fold *fold, const struct signature *family,
                                    lencase_policy policy) {
  const struct sig_variant *v = &family->variants[0];
  lencase_policy out = LENCASE_PASS_THROUGH_POINTERS;
  int i;
  for (i = 0; i < fold->nparams && i < v->nparams; i++) {
    const struct fold_param *p = &fold->params[i];
    unsigned mode = policy_of(policy, i, sig_is_pointer(&v->params[i]));
    if (p->from == FOLD_FIELD) mode = LENCASE_P_COPY;
    if (p->from == FOLD_ABSENT || p->from == FOLD_CONST) continue;
    out &= ~LENCASE_P_AT(15u, p->arg + 1);
    out |= LENCASE_P_AT(mode, p->arg + 1);
  }
  return out;
}

static const struct sig_fold *any_fold(int32_t member, int32_t family) {
  size_t i;
  for (i = 0; i < sig_folds_size; i++)
    if (sig_folds[i].member == member && sig_folds[i].family == family) return &sig_folds[i];
  return NULL;
}

int grate_member_policy(struct lencase_state *st, int32_t member, int32_t family,
                        lencase_policy policy, lencase_policy *out) {
  const struct sig_fold *fold = member != family ? any_fold(member, family) : NULL;
  const struct signature *sig = sig_by_nr(family);
  int status;
  *out = policy;
  if (fold == NULL) return LENCASE_OK;
  status = policy_check(st, policy, sig->name, fold->nparams);
  if (status == LENCASE_OK) *out = folded_policy(fold, sig, policy);
  return status;
}

/* }========================================================================= */

/* {================================ answers ================================ */

/* The grate owns it from here on, whatever fails later. */
static struct grate_answer *answer_new(struct lencase_grate *g, const char *where) {
  struct grate_answer *a = state_new(g->st, sizeof *a);
  if (a == NULL) return NULL;
  a->grate = g;
  a->fn = LUA_NOREF;
  a->next = g->answers;
  g->answers = a;
  a->where = state_new(g->st, strlen(where) + 1);
  if (a->where == NULL) return NULL;
  strcpy(a->where, where);
  a->route = (struct route_answer){.handler = grate_handle, .ud = a, .where = a->where};
  return a;
}

/* A layer denies hundreds of calls: such constants have no plan. */
static int answer_plan(struct grate_answer *a, const struct grate_decl *d) {
  struct lencase_state *st = a->grate->st;
  lencase_policy policy;
  int status;
  if (d->status == ROUTE_DENIED && a->route.handler == NULL) return LENCASE_OK;
  status = grate_member_policy(st, d->nr, d->family, d->policy, &policy);
  if (status == LENCASE_OK)
    status = plan_new(st, d->sig != NULL ? d->sig : &sig_unknown, policy, &a->plan);
  a->route.plan = a->plan;
  return status;
}

struct grate_answer *grate_answer(lua_State *L, const struct grate_decl *d) {
  struct lencase_grate *g = grate_of(L);
  struct grate_answer *a = answer_new(g, d->where);
  if (a == NULL) luaL_error(L, "no memory for a handler");
  if (lua_isinteger(L, -1)) {
    a->route.constant = lua_tointeger(L, -1);
    a->route.handler = NULL;
    lua_pop(L, 1);
  } else {
    a->fn = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  a->route.ntests = (uint8_t)d->ntests;
  if (d->ntests > 0) memcpy(a->route.tests, d->tests, (size_t)d->ntests * sizeof *d->tests);
  if (answer_plan(a, d) != LENCASE_OK) luaL_error(L, "%s: %s", d->where, lencase_error(g->st));
  return a;
}

/* }========================================================================= */

/* {================================ entries ================================ */

/* An entry as it is declared, with what is on top of the stack; it is in no table yet. */
static struct grate_entry *entry_declare(lua_State *L, const struct grate_decl *d) {
  struct lencase_grate *g = grate_of(L);
  struct grate_answer *a = grate_answer(L, d);
  struct grate_entry *e = state_new(g->st, sizeof *e);
  if (e == NULL) luaL_error(L, "no memory for a handler");
  e->route = (struct route_entry){.answer = &a->route,
                                  .status = d->status,
                                  .nr = d->nr,
                                  .family = d->family,
                                  .below = g->below,
                                  .owner = &g->interface};
  e->first = &a->route;
  e->next = g->entries;
  g->entries = e;
  return e;
}

const struct route_entry *grate_aside(lua_State *L, const struct grate_decl *d) {
  return &entry_declare(L, d)->route;
}

void grate_register(lua_State *L, const struct grate_decl *d) {
  struct lencase_grate *g = grate_of(L);
  struct grate_entry *e = entry_declare(L, d);
  if (route_add(g->st, &g->st->first_routes, &e->route, d->registered) != LENCASE_OK)
    luaL_error(L, "%s: %s", d->where, lencase_error(g->st));
  route_declare(&e->route);
}

void grate_interface_free(struct lencase_grate *g) {
  while (g->entries != NULL) {
    struct grate_entry *e = g->entries;
    g->entries = e->next;
    state_free(g->st, e, sizeof *e);
  }
  while (g->answers != NULL) {
    struct grate_answer *a = g->answers;
    g->answers = a->next;
    if (a->where != NULL) state_free(g->st, a->where, strlen(a->where) + 1);
    plan_free(g->st, a->plan);
    state_free(g->st, a, sizeof *a);
  }
}

/* }========================================================================= */
