/*
** mem.c - memory of the grates' own in a program that links the library
**
** The program may be inside its malloc when a call arrives. What the state has got from malloc
** before is told by its address, and never freed.
*/

#include "inline_int.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

enum { CLASSES = 48, SMALLEST = 4, QUARTERS = 2 };

#define RESERVED ((size_t)64 << 30)
#define CHUNK ((size_t)1 << 20)

struct piece {
  struct piece *next;
};

/* Address space, given out from the front; freed pieces are in a list for their size. */
struct inline_memory {
  char *base;
  size_t used, ready; /* ready: readable and writable so far */
  struct piece *idle[CLASSES << QUARTERS];
};

/* Four classes from each power of two to the next: *size is rounded up to that of its class. */
static unsigned class_of(size_t *size) {
  unsigned shift = SMALLEST, part;
  size_t n = *size < 16 ? 16 : *size, step;
  while (n > (size_t)2 << shift) shift++;
  step = (size_t)1 << shift >> QUARTERS;
  if (step < 16) step = 16;
  part = (unsigned)((n - ((size_t)1 << shift) + step - 1) / step);
  *size = ((size_t)1 << shift) + part * step;
  return (shift << QUARTERS) + part;
}

static bool make_ready(struct inline_memory *m, size_t end) {
  size_t ready = (end + CHUNK - 1) / CHUNK * CHUNK;
  if (end <= m->ready) return true;
  if (ready > RESERVED) return false;
  if (mprotect(m->base + m->ready, ready - m->ready, PROT_READ | PROT_WRITE) != 0) return false;
  m->ready = ready;
  return true;
}

static void *piece_new(struct inline_memory *m, size_t size) {
  unsigned class = class_of(&size);
  struct piece *p = m->idle[class];
  if (p != NULL) {
    m->idle[class] = p->next;
    return p;
  }
  if (!make_ready(m, m->used + size)) return NULL;
  assert(m->used % 16 == 0 && m->used + size <= m->ready);
  p = (struct piece *)(m->base + m->used);
  m->used += size;
  return p;
}

static void piece_free(struct inline_memory *m, void *ptr, size_t size) {
  struct piece *p = ptr;
  unsigned class;
  if ((size_t)((char *)ptr - m->base) >= RESERVED) return;
  class = class_of(&size);
  assert((uintptr_t)ptr % 16 == 0 && (size_t)((char *)ptr - m->base) + size <= m->used);
  if (size >= CHUNK) madvise((char *)ptr + 4096, size - 4096, MADV_DONTNEED);
  p->next = m->idle[class];
  m->idle[class] = p;
}

/* Far from the libraries: patch.c needs addresses near them. */
struct inline_memory *inline_memory_open(void) {
  char *far_away = (char *)((uintptr_t)mmap & ~(uintptr_t)0xfff) - 4 * RESERVED; /* NOLINT */
  void *at =
      mmap(far_away, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  struct inline_memory *m = at;
  if (at == MAP_FAILED) return NULL;
  if (mprotect(at, CHUNK, PROT_READ | PROT_WRITE) != 0) return NULL;
  m->base = at;
  m->ready = CHUNK;
  m->used = (sizeof *m + 15) & ~(size_t)15;
  return m;
}

void *inline_memory_alloc(void *ud, void *ptr, size_t osize, size_t nsize) {
  struct inline_memory *m = ud;
  size_t had = osize, wants = nsize;
  void *new;
  if (nsize == 0) {
    if (ptr != NULL) piece_free(m, ptr, osize);
    return NULL;
  }
  if (ptr != NULL && (size_t)((char *)ptr - m->base) < RESERVED &&
      class_of(&had) == class_of(&wants))
    return ptr;
  new = piece_new(m, nsize);
  if (new == NULL || ptr == NULL) return new;
  memcpy(new, ptr, osize < nsize ? osize : nsize);
  piece_free(m, ptr, osize);
  return new;
}
