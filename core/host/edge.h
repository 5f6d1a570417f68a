/*
** edge.h - memory of this process that ends at a page which cannot be read
**
** What hosts share whose cages live in this very process.
*/

#ifndef EDGE_H
#define EDGE_H

#include "host.h"

/*
** 'size' bytes of address space where nothing is, NULL: none. Far below the end of all addresses: a length that a
** program makes up is none that cannot be, wherever its bytes lie.
*/
void *edge_reserve(size_t size);

/* LENCASE_OK, LENCASE_ENOMEM. */
int edge_map(struct lencase_state *st, struct mem_seg *seg);
void edge_unmap(const struct mem_seg *seg);

#endif
