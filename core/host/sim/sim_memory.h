/*
** sim_memory.h - the memory of a sim cage
**
** One mapping of this process holds the cage's whole address space, from SIM_BASE: the
** program's pages first, then ours (window and scratch). A map with a byte for each page
** says what the cage may do there; every access of ours is checked against it, and the kernel finds
** nothing in this process where the cage has nothing.
*/

#ifndef SIM_MEMORY_H
#define SIM_MEMORY_H

#include "../../state.h"

enum { SIM_PAGE = 4096 };

/* What a page is. Each allows what the ones before it allow. */
enum sim_page {
  SIM_HOLE,  /* nothing, and free */
  SIM_GUARD, /* nothing, and kept so */
  SIM_READ,  /* the cage may read it: the window */
  SIM_WRITE  /* and write it */
};

struct sim_memory {
  unsigned char *base; /* where SIM_BASE lies in this process */
  uint8_t *pages;      /* enum sim_page of each page */
  size_t npages;
  size_t nprogram; /* how many of them are the program's; the rest is ours */
  size_t used;     /* bytes of the program's pages that were given out */
  bool guard;      /* each object ends at an unreadable page */
};

/* A memory with room for 'size' bytes of the program's. LENCASE_OK, LENCASE_ENOMEM. */
int sim_memory_open(struct lencase_state *st, struct sim_memory *m, size_t size, bool guard);
void sim_memory_close(struct lencase_state *st, struct sim_memory *m);

/* Gives 'm', empty and as big as 'from', what the program has there. LENCASE_OK or _ENOMEM. */
int sim_memory_copy(struct sim_memory *m, const struct sim_memory *from);

/* An object of the program's: its address, or 0. */
uint64_t sim_memory_alloc(struct sim_memory *m, size_t size);

/* Takes back all objects of the program. */
void sim_memory_reset(struct sim_memory *m);

/* Pages of ours for 'size' bytes that are 'page' to the cage: their address, or 0. */
uint64_t sim_memory_get(struct sim_memory *m, size_t size, enum sim_page page);
void sim_memory_put(struct sim_memory *m, uint64_t addr, size_t size);

/* The same for bytes whose last one is followed by an unreadable page. */
uint64_t sim_memory_edge_get(struct sim_memory *m, size_t size);
void sim_memory_edge_put(struct sim_memory *m, uint64_t addr, size_t size);

/* An unmapped address of this process, for cage address 'addr' where nothing is. */
uint64_t sim_memory_nowhere(const struct sim_memory *m, uint64_t addr);

/* How many of the 'size' bytes at 'addr' come before the first that is less than 'page'. */
size_t sim_memory_extent(const struct sim_memory *m, uint64_t addr, size_t size,
                         enum sim_page page);

/* Where byte 'addr' lies in this process. It must be one of the memory's, or its end. */
void *sim_memory_at(const struct sim_memory *m, uint64_t addr);

#endif
