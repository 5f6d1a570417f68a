/*
** sim_fixture.h - a state with a counting allocator and a sim cage, for C tests
*/

#ifndef SIM_FIXTURE_H
#define SIM_FIXTURE_H

#include "call.h"
#include "host/sim/sim.h"
#include "test.h"
#include "test_route.h"

/* What an allocator saw, and where it is to fail. */
struct counted {
  size_t blocks;   /* alive */
  size_t made;     /* allocations and growths asked for, ever */
  size_t fail_at;  /* the one of 'made' that fails, 0: none */
  size_t fail_to;  /* all from there to this one fail; 0: it alone */
  size_t mistakes; /* frees and growths that told a wrong old size */
};

struct world {
  struct counted mem;
  lencase_state *st;
  struct lencase_cage *cage;
  char log[2048]; /* the last line */
  unsigned lines;
};

/* A block has its size before it. */
union block {
  size_t size;
  max_align_t align;
};

static bool fails(const struct counted *c) {
  return c->made == c->fail_at || (c->made > c->fail_at && c->made <= c->fail_to);
}

static void *counting_alloc(void *ud, void *ptr, size_t osize, size_t nsize) {
  struct counted *c = ud;
  union block *b = ptr != NULL ? (union block *)ptr - 1 : NULL;
  if (b != NULL && b->size != osize) c->mistakes++;
  if (nsize == 0) {
    if (b != NULL) c->blocks--;
    free(b);
    return NULL;
  }
  c->made++;
  if (fails(c) || nsize > (size_t)1 << 32) return NULL; /* more is never there */
  union block *moved = malloc(sizeof *moved + nsize);
  if (moved == NULL) return NULL;
  moved->size = nsize;
  if (b != NULL) {
    memcpy(moved + 1, ptr, osize < nsize ? osize : nsize);
    free(b);
  } else {
    c->blocks++;
  }
  return moved + 1;
}

static void keep_line(void *ud, const char *line) {
  struct world *w = ud;
  snprintf(w->log, sizeof w->log, "%s", line);
  w->lines++;
}

/* A state with the limits of 'config' (may be NULL) and no cage: false when memory was short. */
__attribute__((unused)) static bool world_state(struct world *w, const lencase_config *config) {
  lencase_config c = config != NULL ? *config : (lencase_config){0};
  c.alloc = counting_alloc;
  c.alloc_ud = &w->mem;
  c.log = keep_line;
  c.log_ud = w;
  w->st = lencase_new(&c);
  return w->st != NULL;
}

/* The whole of it. 'sim' NULL: guarded, with the kernel at the bottom. */
__attribute__((unused)) static void world_open(struct world *w, const lencase_config *config,
                                               const struct sim_config *sim) {
  static const struct sim_config guarded = {.memory = 1 << 20, .guard = true};
  *w = (struct world){0};
  need(world_state(w, config));
  w->cage = sim_cage_new(w->st, sim != NULL ? sim : &guarded, NULL);
  need(w->cage != NULL);
}

/* Ends 'cage' unless it is NULL, and the state; all memory must have come back. */
__attribute__((unused)) static void world_close(struct world *w) {
  if (w->cage != NULL) sim_cage_exit(w->cage, 0);
  lencase_close(w->st);
  is_int(w->mem.blocks, 0, "no block is left");
  is_int(w->mem.mistakes, 0, "each free told the right size");
}

/* Puts 'size' bytes into the cage as an object of its own. */
__attribute__((unused)) static uint64_t world_put(struct world *w, const void *data, size_t size) {
  uint64_t addr = sim_alloc(w->cage, size);
  need(addr != 0);
  struct mem_seg seg = {.addr = addr, .data = (void *)(uintptr_t)data, .size = size};
  need(w->cage->ops->write(w->cage, &seg) == LENCASE_OK);
  return addr;
}

__attribute__((unused)) static uint64_t world_string(struct world *w, const char *s) {
  return world_put(w, s, strlen(s) + 1);
}

/* Reads 'size' bytes of the cage to 'data': how many there were. */
__attribute__((unused)) static size_t world_get(struct world *w, uint64_t addr, void *data,
                                                size_t size) {
  struct mem_seg seg = {.addr = addr, .data = data, .size = size};
  size_t done = 0;
  need(w->cage->ops->read(w->cage, &seg, 1, &done) == LENCASE_OK);
  return done;
}

/* The cage's program makes a call that is over at once; -1000 - n: the status was -n. */
#define world_call(w, nr, ...) \
  world_words((w), (nr), (const uint64_t[LENCASE_MAXARGS]){__VA_ARGS__})

__attribute__((unused)) static int64_t world_words(struct world *w, int32_t nr,
                                                   const uint64_t words[LENCASE_MAXARGS]) {
  int64_t result = 0;
  int status = sim_call(w->cage, nr, words, &result, NULL);
  if (status == LENCASE_EGONE) w->cage = NULL;
  return status == LENCASE_OK ? result : -1000 + status;
}

#endif
