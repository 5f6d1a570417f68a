/*
** edge.c - memory of this process that ends at a page which cannot be read
*/

#include "edge.h"

#include <sys/mman.h>

enum { PAGE = 4096 };

/* The pages that hold 'size' bytes. */
static size_t pages_for(size_t size) {
  return (size + PAGE - 1) / PAGE * PAGE;
}

int edge_map(struct lencase_state *st, struct mem_seg *seg) {
  size_t size = pages_for(seg->size);
  char *base = mmap(NULL, size + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base != MAP_FAILED && mprotect(base, size, PROT_READ | PROT_WRITE) == 0) {
    seg->data = base + size - seg->size;
    seg->addr = (uintptr_t)seg->data;
    return LENCASE_OK;
  }
  if (base != MAP_FAILED) munmap(base, size + PAGE);
  return state_fail(st, LENCASE_ENOMEM, "no memory for %zu bytes that are cut", seg->size);
}

void edge_unmap(const struct mem_seg *seg) {
  size_t size = pages_for(seg->size);
  munmap((char *)seg->data + seg->size - size, size + PAGE);
}
