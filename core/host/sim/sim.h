/*
** sim.h - the host of simulated cages: memories of their own in this process
*/

#ifndef SIM_H
#define SIM_H

#include "../../call.h"
#include "../host.h"

/* Addresses of a sim cage: its memory begins here, everything below is unmapped. */
#define SIM_BASE UINT64_C(0x10000)

/*
** What is below the last grate. Returns the kernel's kind of result. May read and write the cage's
** memory with cage->ops.
*/
typedef int64_t (*sim_bottom)(void *ud, struct call *call, int32_t nr,
                              const uint64_t words[LENCASE_MAXARGS]);

struct sim_config {
  size_t memory;     /* bytes, rounded up to pages; 0: 16 MiB */
  bool guard;        /* every object of sim_alloc ends at a page that cannot be read */
  bool park;         /* carry_out parks; sim_step carries out (tests of parked calls) */
  sim_bottom bottom; /* NULL: the kernel, on translated pointers */
  void *ud;
};

/* A new cage; with a parent it is its child (a copy of its memory). NULL: no memory. */
struct lencase_cage *sim_cage_new(struct lencase_state *st, const struct sim_config *config,
                                  struct lencase_cage *parent);
void sim_cage_exit(struct lencase_cage *cage, int status);

/* 'size' bytes of the cage's memory, readable and writable; 0 when it is full. */
uint64_t sim_alloc(struct lencase_cage *cage, size_t size);
void sim_reset(struct lencase_cage *cage); /* frees all that sim_alloc gave */

/*
** The program of the cage makes a call: LENCASE_OK and *result, or LENCASE_EGONE.
** With 'park' set a call may stay parked: then *parked is set and sim_step(cage) carries out the
** oldest parked downcall, until the result is there.
*/
int sim_call(struct lencase_cage *cage, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
             int64_t *result, struct call **parked);
int sim_step(struct call *parked, int64_t *result, struct call **still);

#endif
