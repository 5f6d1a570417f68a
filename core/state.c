/*
** state.c - memory, limits, messages
*/

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

void *state_realloc(struct lencase_state *st, void *ptr, size_t osize, size_t nsize) {
  return st->config.alloc(st->config.alloc_ud, ptr, osize, nsize);
}

void *state_new(struct lencase_state *st, size_t size) {
  void *p = state_realloc(st, NULL, 0, size);
  if (p != NULL) memset(p, 0, size);
  return p;
}

void state_free(struct lencase_state *st, void *ptr, size_t size) {
  if (ptr == NULL) return;
#ifdef LENCASE_HARD
  memset(ptr, 0xdb, size); /* a late reader shall notice */
#endif
  state_realloc(st, ptr, size, 0);
}

int state_fail(struct lencase_state *st, int status, const char *fmt, ...) {
  va_list ap;
  assert(status < LENCASE_OK);
  va_start(ap, fmt);
  vsnprintf(st->error, sizeof st->error, fmt, ap);
  va_end(ap);
  return status;
}

void state_log(struct lencase_state *st, const char *fmt, ...) {
  char line[STATE_ERROR_MAX + 256];
  va_list ap;
  if (st->config.log == NULL) return;
  va_start(ap, fmt);
  vsnprintf(line, sizeof line, fmt, ap);
  va_end(ap);
  st->config.log(st->config.log_ud, line);
}

void state_debug_line(struct lencase_state *st, const char *kind, const char *fmt, ...) {
  char line[STATE_ERROR_MAX];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(line, sizeof line, fmt, ap);
  va_end(ap);
  state_log(st, "%s: %s", kind, line);
}

LENCASE_PUBLIC const char *lencase_error(const lencase_state *st) {
  return st->error;
}

static const char *const status_names[] = {
    "LENCASE_OK",      "LENCASE_ENOMEM", "LENCASE_EINVAL", "LENCASE_ENOENT",
    "LENCASE_EEXIST",  "LENCASE_EFAULT", "LENCASE_ELIMIT", "LENCASE_EGONE",
    "LENCASE_ESCRIPT", "LENCASE_EHOST",  "LENCASE_EEXEC",  "LENCASE_EPERM",
};

LENCASE_PUBLIC const char *lencase_status_name(int status) {
  size_t i = (size_t) - (long)status;
  if (status > 0 || i >= sizeof status_names / sizeof *status_names) return "?";
  return status_names[i];
}

int state_tell_grates(struct lencase_state *st, const struct state_news *news) {
  return st->tell_grates != NULL ? st->tell_grates(st, news) : LENCASE_OK;
}

/* {================================ threads ================================ */

/* Threads are told apart by the address of something of their own. */
static void *this_thread(void) {
  static _Thread_local char mark;
  return &mark;
}

static int refuse(struct lencase_state *st, const void *who) {
  if (who != this_thread()) return LENCASE_EPERM;
  return state_fail(st, LENCASE_EPERM,
                    "a handler or callback called a function that it must not call: park the call, "
                    "and call it when the state is left");
}

int state_enter(struct lencase_state *st) {
  void *who = NULL;
  if (__atomic_compare_exchange_n(&st->inside, &who, this_thread(), false, __ATOMIC_ACQUIRE,
                                  __ATOMIC_RELAXED))
    return LENCASE_OK;
  return refuse(st, who);
}

int state_check_outside(struct lencase_state *st) {
  const void *who = __atomic_load_n(&st->inside, __ATOMIC_RELAXED);
  return who == NULL ? LENCASE_OK : refuse(st, who);
}

void state_leave(struct lencase_state *st) {
  assert(__atomic_load_n(&st->inside, __ATOMIC_RELAXED) == this_thread());
  __atomic_store_n(&st->inside, NULL, __ATOMIC_RELEASE);
}

/* }========================================================================= */
