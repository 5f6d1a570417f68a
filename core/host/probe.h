/*
** probe.h - which features of the kernel and the system work, found out by using them
**
** A probe does what hosts do, in a child process: a refusal, a kill or a hang there does no harm.
** Nothing is concluded from version numbers. A probe is not tried where one that it needs fails, so
** that what is reported missing is the cause.
*/

#ifndef PROBE_H
#define PROBE_H

#include <stddef.h>

enum probe_state {
  PROBE_MISSING,
  PROBE_OK,
  PROBE_UNTRIED /* a probe that it needs fails: 'text' is its name */
};

struct probe_trial {
  const char *engine; /* of the inline host: the path of liblencase-engine.so, or NULL */
  enum probe_state state;
  int err;        /* PROBE_MISSING: what the kernel said; 0: see 'text' */
  int signal;     /* PROBE_MISSING: what ended the child; 0: nothing */
  char text[192]; /* what was found, or what was refused; may be empty */
};

enum { PROBE_NEEDS = 3, PROBE_COUNT = 43 };

struct probe {
  const char *name;
  const char *purpose; /* what it is for */
  const char
      *since; /* the Linux that brought it, for messages; NULL: all that lencase runs on have it */
  const char *needs[PROBE_NEEDS]; /* names, of probes before it in the list; NULL: no more */
  void (*run)(struct probe_trial *trial);
};

/* A probe stands behind those that it needs. */
extern const struct probe probe_list[PROBE_COUNT];

/* One probe, whatever it needs; 'trial' has nothing but 'engine' set. */
void probe_run(const struct probe *probe, struct probe_trial *trial);

/* All of them. */
void probe_run_all(const char *engine, struct probe_trial trials[PROBE_COUNT]);

#endif
