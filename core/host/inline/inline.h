/*
** inline.h - the host of the program's own process
**
** The public function is lencase_inline_start, in lencase.h. These are for those that start a
** program inline (lencase run --inline) and for the library that is preloaded into it.
*/

#ifndef INLINE_H
#define INLINE_H

#include "../../call.h"
#include "../host.h"

/* Where the host's own system calls are made, and what its own code runs on. */
struct inline_place {
  uintptr_t begin, size;     /* calls made by code in here are never dispatched */
  uintptr_t gate;            /* in there: 'syscall; ret' */
  uintptr_t restorer;        /* in there: what a signal handler returns to */
  uintptr_t code, code_size; /* the program's C library, to be patched; 0: none */
  uintptr_t fs;              /* the thread pointer of the grates' libc; 0: that of whoever calls */
  void (*flush)(void);       /* before a fork and at the end; NULL: nothing to flush */
  int kept;                  /* a descriptor that the program shall not close; 0: none */
};

/*
** lencase_inline_start with a place of the caller's own, NULL: that of this library. 'preload' and
** 'script' (NULL: none) are what LD_PRELOAD and LENCASE_INLINE must be in programs that this one
** executes; valid as long as the process.
*/
int inline_start_at(struct lencase_state *st, const struct inline_place *place, const char *preload,
                    const char *script);

/* What LENCASE_INLINE is called. */
#define INLINE_VARIABLE "LENCASE_INLINE"

/*
** NULL when the program at 'path' can run inline, otherwise why it cannot: "is linked statically".
** A path that leads to no program is none of our business: NULL.
*/
const char *inline_refusal(const char *path);

/*
** Executes argv[0] (looked up in PATH) in this very process, with LD_PRELOAD and LENCASE_INLINE set.
** Returns only when that failed: LENCASE_EEXEC with *err an errno, or LENCASE_EPERM: see inline_refusal.
*/
int inline_exec(struct lencase_state *st, char *const argv[], const char *preload,
                const char *script, int *err);

#endif
