/*
** edge.h - memory of this process that ends at a page which cannot be read
**
** For hosts whose cages are in this process.
*/

#ifndef EDGE_H
#define EDGE_H

#include "host.h"

/*
** 'size' bytes of address space where nothing is mapped, NULL: none. Far below the end of the
** address space, so that no length in a program's call overflows it.
*/
void *edge_reserve(size_t size);

/* LENCASE_OK, LENCASE_ENOMEM. */
int edge_map(struct lencase_state *st, struct mem_seg *seg);
void edge_unmap(const struct mem_seg *seg);

#endif
