/*
** sim_memory.c - the memory of a sim cage
*/

#include "sim_memory.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "../edge.h"
#include "sim.h"

/* The mapping is only reserved: a page costs memory when it is written. */
enum { OBJECT_ALIGN = 16, MEMORY_MAX_SHIFT = 40 };

static size_t pages_of(size_t size) {
  return size / SIM_PAGE + (size % SIM_PAGE != 0);
}

/* An object of no bytes has a page too: its address is its own. */
static size_t object_pages(size_t size) {
  return size == 0 ? 1 : pages_of(size);
}

/* With one page more, which this process cannot access either. */
static size_t mapped(const struct sim_memory *m) {
  return (m->npages + 1) * SIM_PAGE;
}

static bool protect(const struct sim_memory *m, size_t first, size_t n, int prot) {
  return mprotect(m->base + first * SIM_PAGE, n * SIM_PAGE, prot) == 0;
}

int sim_memory_open(struct lencase_state *st, struct sim_memory *m, size_t size, bool guard) {
  *m = (struct sim_memory){.guard = guard};
  if (size > (size_t)1 << MEMORY_MAX_SHIFT) return LENCASE_ENOMEM;
  m->nprogram = pages_of(size) + 1; /* the last one stays a hole */
  m->npages = 2 * m->nprogram;
  m->pages = state_new(st, m->npages);
  if (m->pages == NULL) return LENCASE_ENOMEM;
  m->base = edge_reserve(mapped(m));
  if (m->base != NULL &&
      (guard || protect(m, m->nprogram, m->npages - m->nprogram, PROT_READ | PROT_WRITE)))
    return LENCASE_OK;
  sim_memory_close(st, m);
  return LENCASE_ENOMEM;
}

void sim_memory_close(struct lencase_state *st, struct sim_memory *m) {
  if (m->base != NULL) munmap(m->base, mapped(m));
  state_free(st, m->pages, m->npages);
  *m = (struct sim_memory){0};
}

/* Makes 'n' pages 'page' for the cage. This process can access those of ours at all times, unless
** there are guards. */
static bool pages_set(struct sim_memory *m, size_t first, size_t n, enum sim_page page) {
  int prot = page >= SIM_READ ? PROT_READ | PROT_WRITE : PROT_NONE;
  if ((m->guard || first < m->nprogram) && n > 0 && !protect(m, first, n, prot)) return false;
  memset(m->pages + first, page, n);
  return true;
}

int sim_memory_copy(struct sim_memory *m, const struct sim_memory *from) {
  for (size_t i = 0; i < from->nprogram; i++) {
    if (from->pages[i] < SIM_READ) continue;
    if (!pages_set(m, i, 1, from->pages[i])) return LENCASE_ENOMEM;
    memcpy(m->base + i * SIM_PAGE, from->base + i * SIM_PAGE, SIM_PAGE);
  }
  m->used = from->used;
  return LENCASE_OK;
}

static uint64_t address_of(size_t offset) {
  return SIM_BASE + offset;
}

/* Where an object of 'size' bytes begins whose first page is 'first'. */
static size_t object_offset(const struct sim_memory *m, size_t first, size_t size) {
  size_t begin = first * SIM_PAGE;
  return m->guard ? begin + object_pages(size) * SIM_PAGE - size : begin;
}

/* An object with pages of its own and a guard page after it. */
static uint64_t alloc_guarded(struct sim_memory *m, size_t size) {
  size_t first = m->used / SIM_PAGE, n = object_pages(size);
  if (n >= m->nprogram - first || !pages_set(m, first, n, SIM_WRITE)) return 0;
  m->pages[first + n] = SIM_GUARD;
  m->used += (n + 1) * SIM_PAGE;
  return address_of(object_offset(m, first, size));
}

static uint64_t alloc_packed(struct sim_memory *m, size_t size) {
  size_t begin = (m->used + OBJECT_ALIGN - 1) / OBJECT_ALIGN * OBJECT_ALIGN;
  size_t room = (m->nprogram - 1) * SIM_PAGE, have = pages_of(m->used);
  if (begin >= room || size > room - begin) return 0;
  size_t used = begin + (size == 0 ? 1 : size);
  if (!pages_set(m, have, pages_of(used) - have, SIM_WRITE)) return 0;
  m->used = used;
  return address_of(begin);
}

uint64_t sim_memory_alloc(struct sim_memory *m, size_t size) {
  return m->guard ? alloc_guarded(m, size) : alloc_packed(m, size);
}

void sim_memory_reset(struct sim_memory *m) {
  madvise(m->base, m->nprogram * SIM_PAGE, MADV_DONTNEED);
  pages_set(m, 0, m->nprogram, SIM_HOLE);
  m->used = 0;
}

/* The first of 'n' holes in a row among our pages; m->npages: there are none. */
static size_t find_holes(const struct sim_memory *m, size_t n) {
  size_t found = 0;
  for (size_t i = m->nprogram; i < m->npages; i++) {
    found = m->pages[i] == SIM_HOLE ? found + 1 : 0;
    if (found == n) return i + 1 - n;
  }
  return m->npages;
}

uint64_t sim_memory_get(struct sim_memory *m, size_t size, enum sim_page page) {
  size_t n = object_pages(size);
  size_t first = find_holes(m, n + 1);
  if (first == m->npages || !pages_set(m, first, n, page)) return 0;
  m->pages[first + n] = SIM_GUARD;
  return address_of(object_offset(m, first, size));
}

void sim_memory_put(struct sim_memory *m, uint64_t addr, size_t size) {
  size_t n = object_pages(size);
  size_t begin = addr - SIM_BASE;
  size_t first = m->guard ? (begin + size) / SIM_PAGE - n : begin / SIM_PAGE;
  assert(first >= m->nprogram && m->pages[first + n] == SIM_GUARD);
  pages_set(m, first, n, SIM_HOLE);
  m->pages[first + n] = SIM_HOLE;
}

uint64_t sim_memory_edge_get(struct sim_memory *m, size_t size) {
  size_t n = object_pages(size);
  uint64_t addr = sim_memory_get(m, n * SIM_PAGE, SIM_READ);
  uint64_t end = addr + n * SIM_PAGE;
  if (addr == 0) return 0;
  if (protect(m, (end - SIM_BASE) / SIM_PAGE, 1, PROT_NONE)) return end - size;
  sim_memory_put(m, addr, n * SIM_PAGE);
  return 0;
}

void sim_memory_edge_put(struct sim_memory *m, uint64_t addr, size_t size) {
  size_t whole = object_pages(size) * SIM_PAGE;
  uint64_t end = addr + size;
  if (!m->guard) protect(m, (end - SIM_BASE) / SIM_PAGE, 1, PROT_READ | PROT_WRITE);
  sim_memory_put(m, end - whole, whole);
}

uint64_t sim_memory_nowhere(const struct sim_memory *m, uint64_t addr) {
  const uint64_t last = UINT64_C(0x7ffffffff000); /* no program has an address from here on */
  if (addr >= last) return addr;
  return (uint64_t)(uintptr_t)m->base + m->npages * SIM_PAGE + addr % SIM_PAGE;
}

size_t sim_memory_extent(const struct sim_memory *m, uint64_t addr, size_t size,
                         enum sim_page page) {
  size_t whole = m->npages * SIM_PAGE;
  if (addr < SIM_BASE || addr - SIM_BASE >= whole) return 0;
  size_t begin = addr - SIM_BASE;
  size_t end = size > whole - begin ? whole : begin + size;
  size_t at = begin;
  while (at < end && m->pages[at / SIM_PAGE] >= page) at = (at / SIM_PAGE + 1) * SIM_PAGE;
  return (at < end ? at : end) - begin;
}

void *sim_memory_at(const struct sim_memory *m, uint64_t addr) {
  assert(addr >= SIM_BASE && addr - SIM_BASE <= m->npages * SIM_PAGE);
  return m->base + (addr - SIM_BASE);
}
