/*
** test_route.h - routes as the C tests make them
*/

#ifndef TEST_ROUTE_H
#define TEST_ROUTE_H

#include "route.h"

/* An entry of this family; what follows are fields of what answers its calls. */
#define TEST_ENTRY(of, ...) \
  ((struct route_entry){.family = (of), .answer = &(struct route_answer){__VA_ARGS__}})

/* 'entry' becomes one for 'nr' and is in force in *t: a status. */
__attribute__((unused)) static int test_route(struct lencase_state *st, struct route_table **t,
                                              int32_t nr, struct route_entry *entry) {
  entry->nr = nr;
  return route_add(st, t, entry, true);
}

#endif
