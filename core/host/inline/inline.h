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

#include <sys/types.h>

enum { INLINE_CHANNELS = 4 };

/* To the launcher of the program, or to one around it: report.c. */
struct inline_channel {
  int fd;          /* 0: the program has closed it */
  uint32_t grates; /* whose state goes there: those loaded first are the outermost's */
};

/* What the host does without, since a seccomp filter would end the program for it: filters.c. */
enum { INLINE_AVOID_VM = 1, INLINE_AVOID_PATCH = 2, INLINE_AVOIDS = 4 };

/* Where the host's own system calls are made, and what its own code runs on. */
struct inline_place {
  uintptr_t begin, size;     /* calls made by code in here are never dispatched */
  uintptr_t gate, fast;      /* 'syscall; ret' in there, and another one, for patch.c */
  uintptr_t restorer;        /* in there: what a signal handler returns to */
  uintptr_t code, code_size; /* the program's C library, to be patched; 0: none */
  uintptr_t fs;              /* the thread pointer of the grates' libc; 0: the caller's */
  uint32_t *tid;             /* that libc's, of the thread with this pointer; NULL: no matter */
  void (*flush)(void);       /* before a fork and at the end; NULL: nothing to flush */
  int kept;       /* a descriptor that the program shall not close, for messages; 0: none */
  uint8_t avoids; /* INLINE_AVOID_...: filters are inherited */
  /* Others, the outermost first: a program that runs inline may start another one so. */
  struct inline_channel channels[INLINE_CHANNELS];
  size_t nchannels;
};

/*
** The channel to the launcher that also loads the grate with this place in the state's list (newest
** first); 'grate' becomes its place there.
*/
size_t inline_channel_of(const struct inline_place *p, uint32_t *grate);

/*
** lencase_inline_start with a place of the caller's own, NULL: that of this library. 'preload' and
** 'script' (NULL: none) are what LD_PRELOAD and LENCASE_INLINE must be in programs that this one
** executes; valid as long as the process.
*/
int inline_start_at(struct lencase_state *st, const struct inline_place *place, const char *preload,
                    const char *script);

/*
** The last two variables in the environment of a program that is to run inline, in this order. Its
** code never sees them: preload.c removes them.
*/
#define INLINE_VARIABLE "LENCASE_INLINE"
#define INLINE_PRELOAD "LD_PRELOAD"

/* What a program runs inline by: INLINE_BY of the library that is preloaded. */
struct inline_by {
  const char *preload, *script;
};
#define INLINE_BY "lencase_inline_by"

/* What this one runs inline by; NULL: it does not. */
const struct inline_by *inline_by(void);

/*
** NULL when the program at 'path' can run inline, otherwise why it cannot: "is linked statically".
** NULL also for a path that leads to no program: the kernel will say so.
*/
const char *inline_refusal(const char *path);

/* A program to be run inline. */
struct inline_program {
  char *const *argv;            /* argv[0] is looked up in PATH */
  const char *preload, *script; /* what LD_PRELOAD and LENCASE_INLINE shall be */
  /* What a process of the program has sent: lua/lencase/gather.lua. It cannot be trusted. */
  void (*message)(void *ud, pid_t pid, const char *data, size_t size);
  void *ud;
};

/* The letter of the word in LENCASE_INLINE that says which descriptor the channel is. */
#define INLINE_CHANNEL "m"

/*
** Runs a program and waits until it and all that it started have ended. As lencase_trace_run:
** *wstatus is the program's, or an errno with LENCASE_EEXEC. LENCASE_EPERM: see inline_refusal.
*/
int inline_run(struct lencase_state *st, const struct inline_program *program, int *wstatus);

/*
** For inline_run, in the child: executes argv[0] with LD_PRELOAD and LENCASE_INLINE set. Returns
** only when that failed, an errno.
*/
int inline_exec(char *const argv[], const char *preload, const char *script);

/* LENCASE_EPERM: the program argv[0] cannot run inline; LENCASE_EHOST: there is no such library. */
int inline_check_program(struct lencase_state *st, const char *name, const char *preload);

#endif
