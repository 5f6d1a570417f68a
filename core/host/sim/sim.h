/*
** sim.h - the host of simulated cages: memories of their own in this process
**
** A sim cage has a memory and no program: the embedder is the program, puts objects
** into the memory and makes calls. At the bottom are a function of the embedder's, or
** the kernel. There the calls run in this process, so its descriptors, its working
** directory and its umask are those of all sim cages; what would change the process itself
** (its memory, signals, credentials, children) sim answers alone or refuses with ENOSYS.
*/

#ifndef SIM_H
#define SIM_H

#include "../../call.h"
#include "../host.h"

/* Addresses of a sim cage: its memory begins here, everything below is unmapped. */
#define SIM_BASE UINT64_C(0x10000)

/*
** What is below the last grate. Returns the kernel's kind of result. May read and write the cage's
** memory with cage->ops, and may end the cage with sim_cage_exit.
*/
typedef int64_t (*sim_bottom)(void *ud, struct lencase_cage *cage, int32_t nr,
                              const uint64_t words[LENCASE_MAXARGS]);

/* What a descriptor refers to above a bottom that is a function. */
typedef int (*sim_fd_path)(void *ud, struct lencase_cage *cage, int fd, char *buf, size_t size);

struct sim_config {
  size_t memory;       /* bytes, rounded up to pages; 0: 16 MiB */
  bool guard;          /* every object ends at a page that cannot be read */
  bool files;          /* its descriptors are this process's, also when 'bottom' is asked */
  bool park;           /* carry_out parks; sim_step carries out (tests of parked calls) */
  sim_bottom bottom;   /* NULL: the kernel, on translated pointers */
  sim_fd_path fd_path; /* with a bottom: as host.h has it; -EBADF: not open. NULL: -ENOSYS */
  void *ud;            /* of both */
  int64_t pid;         /* shown to users; 0: its id */
  const char *comm;    /* likewise; NULL: "sim" */
  bool shares_files;   /* of a child: its descriptors are its parent's, too (CLONE_FILES) */
};

/*
** A new cage. With a parent it is its child: of 'config' (may be NULL) pid and shares_files alone
** are looked at, the rest is the parent's, the memory is a copy of what sim_alloc gave. NULL: no
** memory. It is there until sim_cage_exit or lencase_close.
*/
struct lencase_cage *sim_cage_new(struct lencase_state *st, const struct sim_config *config,
                                  struct lencase_cage *parent);

/*
** Ends a cage and frees it; its parked calls are dropped. Inside of a call of the cage it
** ends when that call returns.
*/
void sim_cage_exit(struct lencase_cage *cage, int status);

/* The name of the program in it, from now on; it is copied, and cut as the kernel does. */
void sim_set_comm(struct lencase_cage *cage, const char *comm);

/* 'size' bytes of the cage's memory, readable and writable; 0 when it is full. */
uint64_t sim_alloc(struct lencase_cage *cage, size_t size);
void sim_reset(struct lencase_cage *cage); /* frees all that sim_alloc gave */

/*
** The program of the cage makes a call: LENCASE_OK and *result, LENCASE_ENOMEM, or LENCASE_EGONE:
** the cage has ended (exit, kill) and 'cage' points nowhere any more.
** With config.park a call may stay parked: then *parked is set (else it is NULL) and
** sim_step(*parked) carries out its downcall, and so on until the result is there. With 'parked'
** NULL nothing stays parked.
*/
int sim_call(struct lencase_cage *cage, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
             int64_t *result, struct call **parked);
int sim_step(struct call *parked, int64_t *result, struct call **still);

/* The kernel's result of a call: for an embedder's bottom that forwards calls. */
int64_t sim_kernel_bottom(struct lencase_cage *cage, int32_t nr,
                          const uint64_t words[LENCASE_MAXARGS]);

/* The thread that made a parked call is gone: the call is dropped. */
void sim_drop(struct call *parked);

#endif
