/*
** call_debug.h - what becomes of calls, a line for each event: LENCASE_DEBUG=calls
**
** The functions are called when call_is_debugged() says so, and not otherwise.
*/

#ifndef CALL_DEBUG_H
#define CALL_DEBUG_H

#include "call.h"

static inline bool call_is_debugged(const struct lencase_cage *cage) {
  return __builtin_expect((cage->st->config.debug & LENCASE_DEBUG_CALLS) != 0, false);
}

/* A program has made a call. */
void debug_arrived(const struct lencase_cage *cage, int32_t nr,
                   const uint64_t words[LENCASE_MAXARGS]);

/* Its handlers are done with it; 'result' counts for VERDICT_DONE. */
void debug_outcome(const struct lencase_cage *cage, int32_t nr, enum verdict verdict,
                   int64_t result);

/* Its thread or cage is gone. */
void debug_dropped(const struct call *call);

/* The handler of the call that call->answer is of is entered, goes on or is dropped. */
void debug_handler(const struct call *call, enum handler_event ev);
void debug_verdict(const struct call *call, enum verdict verdict);

/* The handler makes a call; it has call->down_result of it. */
void debug_down(const struct call *call, const struct lencase_cage *target, int32_t nr,
                const uint64_t words[LENCASE_MAXARGS]);
void debug_down_result(const struct call *call);

#endif
