/*
** edge.h - memory of this process that ends at a page which cannot be read
**
** What hosts share whose cages live in this very process: host_ops.edge_get and edge_put.
*/

#ifndef EDGE_H
#define EDGE_H

#include "host.h"

/* LENCASE_OK, LENCASE_ENOMEM. */
int edge_map(struct lencase_state *st, struct mem_seg *seg);
void edge_unmap(const struct mem_seg *seg);

#endif
