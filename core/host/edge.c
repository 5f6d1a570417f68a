/*
** edge.c - memory of this process that ends at a page which cannot be read
*/

#include "edge.h"

#include <assert.h>
#include <sys/mman.h>

enum { PAGE = 4096, TRIES = 64 };

/* Programs do not use these addresses, and ThreadSanitizer allows them. */
#define RESERVE_BASE ((uintptr_t)0x7ea000000000)
#define RESERVE_STEP ((uintptr_t)1 << 32)

/* The pages that hold 'size' bytes. */
static size_t pages_for(size_t size) {
  return (size + PAGE - 1) / PAGE * PAGE;
}

void *edge_reserve(size_t size) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  uintptr_t at = RESERVE_BASE;
  void *found = MAP_FAILED;
  int i;
  for (i = 0; i < TRIES && found == MAP_FAILED; i++, at += RESERVE_STEP)
    found = mmap((void *)at, size, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0); /* NOLINT */
  if (found == MAP_FAILED) found = mmap(NULL, size, PROT_NONE, flags, -1, 0);
  return found != MAP_FAILED ? found : NULL;
}

int edge_map(struct lencase_state *st, struct mem_seg *seg) {
  size_t size = pages_for(seg->size);
  char *base = edge_reserve(size + PAGE);
  if (base != NULL && mprotect(base, size, PROT_READ | PROT_WRITE) == 0) {
    seg->data = base + size - seg->size;
    seg->addr = (uintptr_t)seg->data;
    return LENCASE_OK;
  }
  if (base != NULL) munmap(base, size + PAGE);
  return state_fail(st, LENCASE_ENOMEM, "no memory for %zu bytes that end at a page", seg->size);
}

void edge_unmap(const struct mem_seg *seg) {
  size_t size = pages_for(seg->size);
  assert(((uintptr_t)seg->data + seg->size) % PAGE == 0);
  munmap((char *)seg->data + seg->size - size, size + PAGE);
}
