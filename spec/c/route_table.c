/*
** route_table.c - who handles which callnum
*/

#include <sys/syscall.h>

#include "sim_fixture.h"

#define put(w, t, nr, entry) test_route((w)->st, (t), (nr), (entry))

static void registering(void) {
  struct world w;
  struct route_entry one = TEST_ENTRY(1), two = TEST_ENTRY(1);
  world_open(&w, NULL, NULL);
  struct route_table *t = route_table_new(w.st);
  need(t != NULL);
  is_int(route_next(t, -1), -1, "a new table has no route");
  ok(route_find(t, 1) == NULL, "no handler for write");
  is_int(put(&w, &t, 1, &one), LENCASE_OK, "register write");
  ok(route_find(t, 1) == &one, "now it is handled");
  is_int(put(&w, &t, 1, &two), LENCASE_EEXIST, "a second handler is refused");
  ok(strstr(lencase_error(w.st), "write") != NULL, "by name: %s", lencase_error(w.st));
  ok(route_find(t, 1) == &one, "and the first one stays");
  is_int(put(&w, &t, -1, &one), LENCASE_EINVAL, "a negative number is an invalid call number");
  is_int(put(&w, &t, INT32_MIN, &one), LENCASE_EINVAL, "nor the least of them");
  ok(route_find(t, -1) == NULL && route_find(t, INT32_MIN) == NULL, "no handler for those");
  route_table_free(w.st, t);
  world_close(&w);
}

/* Around the end of the kernel's numbers, 3i's, an author's own, the last there is. */
static const int32_t numbers[] = {INT32_MAX, 0,    511,  1003, 512,           2000, 1001,
                                  513,       1002, 2001, 334,  INT32_MAX - 1, 424,  1};
enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

static int ascending(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

/* All that route_next gives, compared with 'want' sorted. */
static void is_all(const struct route_table *t, const int32_t *want, int n, const char *what) {
  int32_t sorted[NUMBERS], nr = -1;
  int i;
  memcpy(sorted, want, (size_t)n * sizeof *want);
  qsort(sorted, (size_t)n, sizeof *sorted, ascending);
  for (i = 0; i < n; i++) {
    nr = route_next(t, nr);
    if (!is_int(nr, sorted[i], "%s: route %d", what, i + 1)) return;
  }
  is_int(route_next(t, nr), -1, "%s: and no more", what);
}

static void numbers_of_all_sizes(void) {
  struct world w;
  struct route_entry entries[NUMBERS], more[2] = {TEST_ENTRY(77), TEST_ENTRY(7777)};
  int i;
  world_open(&w, NULL, NULL);
  struct route_table *t = route_table_new(w.st);
  need(t != NULL);
  for (i = 0; i < NUMBERS; i++) {
    entries[i] = (struct route_entry){.family = numbers[i], .answer = more[0].answer};
    struct route_entry other = entries[i];
    is_int(put(&w, &t, numbers[i], &entries[i]), LENCASE_OK, "register %d", numbers[i]);
    is_int(put(&w, &t, numbers[i], &other), LENCASE_EEXIST, "only once");
  }
  for (i = 0; i < NUMBERS; i++) ok(route_find(t, numbers[i]) == &entries[i], "find %d", numbers[i]);
  ok(route_find(t, 514) == NULL && route_find(t, 2) == NULL, "and nothing between");
  is_all(t, numbers, NUMBERS, "in order");
  is_int(route_next(t, INT32_MAX), -1, "nothing is above the last number");
  struct route_table *copy = route_table_copy(t);
  need(put(&w, &t, 77, &more[0]) == LENCASE_OK && put(&w, &t, 7777, &more[1]) == LENCASE_OK);
  is_all(copy, numbers, NUMBERS, "a copy has what there was");
  route_table_free(w.st, t);
  ok(route_find(copy, INT32_MAX) == &entries[0], "and outlives its original");
  route_table_free(w.st, copy);
  world_close(&w);
}

/* unlinkat is unlink to one family and rmdir to the other. */
static void sharing(void) {
  struct world w;
  struct route_entry unlink = TEST_ENTRY(SYS_unlink), rmdir = TEST_ENTRY(SYS_rmdir);
  struct route_entry again = unlink, exact = TEST_ENTRY(SYS_unlinkat),
                     write = TEST_ENTRY(SYS_write);
  world_open(&w, NULL, NULL);
  struct route_table *t = route_table_copy(w.cage->routes);
  is_int(put(&w, &t, SYS_unlinkat, &unlink), LENCASE_OK, "unlinkat for unlink");
  is_int(put(&w, &t, SYS_unlinkat, &rmdir), LENCASE_OK, "and for rmdir");
  is_int(put(&w, &t, SYS_unlinkat, &again), LENCASE_EEXIST, "but once for each");
  is_int(put(&w, &t, SYS_unlinkat, &exact), LENCASE_EEXIST, "nor for itself as well");
  is_int(put(&w, &t, SYS_write, &write), LENCASE_OK, "write for itself");
  is_int(put(&w, &t, SYS_write, &again), LENCASE_EEXIST, "and then for no other");
  const struct route_link *link = route_links(t, SYS_unlinkat);
  ok(link->entry == &rmdir && link->next->entry == &unlink, "both are found");
  is_int(route_next(t, SYS_write), SYS_unlinkat, "under one number");
  route_table_free(w.st, t);
  world_close(&w);
}

/* A cage has its parent's routes as they were at its birth, a first one the state's. */
static void inheritance(void) {
  struct world w;
  struct route_entry one = TEST_ENTRY(1), two = TEST_ENTRY(2), three = TEST_ENTRY(3);
  world_open(&w, NULL, NULL);
  need(put(&w, &w.cage->routes, 1, &one) == LENCASE_OK);
  struct lencase_cage *child = sim_cage_new(w.st, NULL, w.cage);
  need(child != NULL && put(&w, &child->routes, 2, &two) == LENCASE_OK);
  ok(route_find(child->routes, 1) == &one, "a child has its parent's routes");
  ok(route_find(w.cage->routes, 2) == NULL, "a parent has none of its child's");
  need(put(&w, &w.st->first_routes, 3, &three) == LENCASE_OK);
  struct lencase_cage *first = sim_cage_new(w.st, &(struct sim_config){0}, NULL);
  need(first != NULL);
  ok(route_find(first->routes, 3) == &three, "a first cage has the state's");
  ok(route_find(first->routes, 1) == NULL, "and no other's");
  sim_cage_exit(first, 0);
  sim_cage_exit(child, 0);
  world_close(&w);
}

/* A registration that found no memory leaves the table as it was. */
static void no_memory(void) {
  struct world w;
  struct route_entry one = TEST_ENTRY(2000), two = TEST_ENTRY(2001);
  world_open(&w, NULL, NULL);
  struct route_table *t = route_table_new(w.st);
  need(t != NULL && put(&w, &t, 2000, &one) == LENCASE_OK);
  w.mem.fail_at = w.mem.made + 1;
  is_int(put(&w, &t, 2001, &two), LENCASE_ENOMEM, "no memory for a route");
  ok(lencase_error(w.st)[0] != 0, "it says so: %s", lencase_error(w.st));
  ok(route_find(t, 2001) == NULL && route_find(t, 2000) == &one, "the table is as it was");
  struct route_table *copy = route_table_copy(t);
  w.mem.fail_at = w.mem.made + 2;
  is_int(put(&w, &copy, 2001, &two), LENCASE_ENOMEM, "no memory for a table of its own");
  ok(copy == t && route_find(copy, 2001) == NULL, "the two are still one");
  route_table_free(w.st, copy);
  route_table_free(w.st, t);
  world_close(&w);
}

int main(void) {
  registering();
  numbers_of_all_sizes();
  sharing();
  inheritance();
  no_memory();
  return test_end();
}
