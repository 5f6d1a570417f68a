/*
** marshal_arena.c - the memory of one call
*/

#include "sim_fixture.h"

static void blocks(void) {
  struct world w;
  world_open(&w, NULL, NULL);
  struct arena a = {.st = w.st};
  unsigned char *old[200];
  bool aligned = true, kept = true;
  for (size_t i = 0; i < 200; i++) {
    old[i] = arena_new(&a, i * 7);
    need(old[i] != NULL);
    aligned = aligned && (uintptr_t)old[i] % 16 == 0;
    memset(old[i], (int)i, i * 7);
  }
  for (size_t i = 0; i < 200; i++)
    for (size_t j = 0; j < i * 7; j++) kept = kept && old[i][j] == i;
  ok(aligned, "every block is aligned to 16");
  ok(kept, "and no other's");
  arena_free(&a);
  world_close(&w);
}

/* Sizes at which careless sums wrap round. */
static void too_big(void) {
  static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 14, SIZE_MAX - 15, SIZE_MAX - 31,
                                 SIZE_MAX - 64};
  struct world w;
  world_open(&w, NULL, NULL);
  struct arena a = {.st = w.st};
  need(arena_new(&a, 1) != NULL);
  size_t before = w.mem.blocks;
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    ok(arena_new(&a, sizes[i]) == NULL, "SIZE_MAX - %zu bytes", SIZE_MAX - sizes[i]);
  is_int(w.mem.blocks, before, "nothing was taken for them");
  ok(arena_new(&a, 1) != NULL, "a small one is there still");
  arena_free(&a);
  world_close(&w);
}

/* Blocks of a call, 'sizes' bytes each, and the end of the call. */
static void use(struct arena *a, const size_t *sizes, size_t n) {
  for (size_t i = 0; i < n; i++) need(arena_new(a, sizes[i]) != NULL);
  arena_reset(a);
}

static void reuse(void) {
  static const size_t small[] = {10, 1000, 5}, grows[] = {9000, 9000, 9000, 50000},
                      huge[] = {32 << 20};
  struct world w;
  world_open(&w, NULL, NULL);
  struct arena a = {.st = w.st};
  size_t empty = w.mem.blocks;
  use(&a, small, 3);
#ifndef LENCASE_HARD
  size_t made = w.mem.made;
  for (int i = 0; i < 100; i++) use(&a, small, 3);
  is_int(w.mem.made, made, "a reset arena serves the next call");
  use(&a, grows, 4);
  use(&a, grows, 4);
  made = w.mem.made;
  for (int i = 0; i < 100; i++) use(&a, grows, 4);
  is_int(w.mem.made, made, "one that had to grow does after two of them");
#endif
  use(&a, grows, 4);
  use(&a, huge, 1);
  is_int(w.mem.blocks, empty, "what was huge is not kept");
  arena_free(&a);
  world_close(&w);
}

int main(void) {
  blocks();
  too_big();
  reuse();
  return test_end();
}
