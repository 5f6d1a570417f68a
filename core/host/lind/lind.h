/*
** lind.h - the host for a grate of Lind's
**
** A Lind grate is a cage binary: Lind calls it with a cage's id and six pairs of a value and the
** cage whose memory the value refers to. lind_call makes these thirteen words a call; what grates
** do goes back by Lind's four functions alone (lind_api.h).
*/

#ifndef LIND_H
#define LIND_H

#include "../../call.h"
#include "../host.h"
#include "lind_api.h"

struct lind;

/*
** A host for the grates of 'st', whose cage id is 'self' (getpid(2) in Lind). 'lock' and 'unlock'
** see to it that one thread at a time uses the state; calls that Lind carries out are made without
** the lock. NULL: no memory. The caller closes it by lind_close, before lencase_close.
*/
struct lind *lind_open(struct lencase_state *st, uint64_t self, void (*lock)(void *ud),
                       void (*unlock)(void *ud), void *ud);
void lind_close(struct lind *l);

/*
** Has all calls sent here that the grates handle, and those by which cages come and go. Called by
** the cage itself, before it executes its program (the table outlives exec), or on its behalf. 0,
** or what register_handler() returned for the first that failed.
*/
unsigned lind_register(struct lind *l, uint64_t cage);

/* A cage makes a call: its result, -errno as the kernel has it. On any thread. */
int64_t lind_call(struct lind *l, int32_t nr, uint64_t cage, const uint64_t words[LENCASE_MAXARGS],
                  const uint64_t cages[LENCASE_MAXARGS]);

/* The cage has ended without a call of its own (a signal, a trap): 'wstatus' as in waitpid(2). */
void lind_ended(struct lind *l, uint64_t cage, int wstatus);

#endif
