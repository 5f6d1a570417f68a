/*
** call_cross.h - calls whose arguments belong to other cages than the one they act for
*/

#ifndef CALL_CROSS_H
#define CALL_CROSS_H

#include "call.h"

/*
** Brings what the arguments of a call point to into its cage: cages[i] says whose memory words[i]
** is of (NULL: the call's own cage). call->words become addresses in there. 'entry' handles the
** call; NULL: no grate does. 0, or a negative errno.
*/
int64_t cross_in(struct call *call, const struct route_entry *entry,
                 struct lencase_cage *const *cages);

/* The call has its result: what it filled goes where the arguments pointed to. */
void cross_out(struct call *call);

/* Gives back the memory. */
void cross_end(struct call *call);

#endif
