/*
** marshal_arena.c - the memory of one call
*/

#include "marshal.h"

#include <assert.h>

struct arena_chunk {
  struct arena_chunk *next;
  size_t size, used; /* of 'bytes' */
  _Alignas(16) unsigned char bytes[];
};

#ifdef LENCASE_HARD
enum { CHUNK_MIN = 16, CHUNK_KEEP = 0 };
#else
enum { CHUNK_MIN = 16 * 1024, CHUNK_KEEP = 8 * 1024 * 1024 };
#endif

/* Of 'size' bytes at least. */
static struct arena_chunk *chunk_new(struct arena *a, size_t size) {
  struct arena_chunk *c;
  if (size < a->hint) size = a->hint;
  if (size < CHUNK_MIN) size = CHUNK_MIN;
  c = state_realloc(a->st, NULL, 0, sizeof *c + size);
  if (c == NULL) return NULL;
  c->next = a->chunks;
  c->size = size;
  c->used = 0;
  a->chunks = c;
  return c;
}

void *arena_new(struct arena *a, size_t size) {
  struct arena_chunk *c = a->chunks;
  void *p;
  if (size > SIZE_MAX / 2) return NULL;
  size = (size + 15) & ~(size_t)15;
  if (c == NULL || c->size - c->used < size) {
    c = chunk_new(a, size);
    if (c == NULL) return NULL;
  }
  assert(c->used % 16 == 0 && size <= c->size - c->used);
  p = c->bytes + c->used;
  c->used += size;
  return p;
}

void arena_free(struct arena *a) {
  while (a->chunks != NULL) {
    struct arena_chunk *c = a->chunks;
    a->chunks = c->next;
    state_free(a->st, c, sizeof *c + c->size);
  }
}

void arena_reset(struct arena *a) {
  const struct arena_chunk *c;
  size_t size = 0;
  for (c = a->chunks; c != NULL; c = c->next) size += c->size;
  if (size == 0) return;
  if (size <= CHUNK_KEEP && a->chunks->next == NULL) {
    a->chunks->used = 0;
    return;
  }
  /* several chunks: the next call gets one that is large enough */
  a->hint = size <= CHUNK_KEEP ? size : 0;
  arena_free(a);
}
