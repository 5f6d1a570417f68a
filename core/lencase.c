/*
** lencase.c - a state's beginning and end: the rooms in their order
*/

#include <stdlib.h>

#include "call.h"
#include "cage.h"
#include "route.h"
#include "state.h"

enum {
  DEFAULT_STRING = 128 * 1024, /* one argument of execve(2): MAX_ARG_STRLEN */
  DEFAULT_DEPTH = 64,
  DEFAULT_HANDLER_MS = 10000,
  DEFAULT_STEP_MS = 10000
};
#define DEFAULT_CALL_BYTES (UINT64_C(256) << 20)
#define DEFAULT_GRATE_BYTES (UINT64_C(1) << 30)

static void *default_alloc(void *ud, void *ptr, size_t osize, size_t nsize) {
  (void)ud;
  (void)osize;
  if (nsize == 0) {
    free(ptr);
    return NULL;
  }
  return realloc(ptr, nsize);
}

static lencase_config complete(const lencase_config *given) {
  lencase_config c = given != NULL ? *given : (lencase_config){0};
  if (c.alloc == NULL) c.alloc = default_alloc;
  if (c.max_call_bytes == 0) c.max_call_bytes = DEFAULT_CALL_BYTES;
  if (c.max_grate_bytes == 0) c.max_grate_bytes = DEFAULT_GRATE_BYTES;
  if (c.max_string == 0) c.max_string = DEFAULT_STRING;
  if (c.max_depth == 0) c.max_depth = DEFAULT_DEPTH;
  if (c.handler_ms == 0) c.handler_ms = DEFAULT_HANDLER_MS;
  if (c.step_ms == 0) c.step_ms = DEFAULT_STEP_MS;
  return c;
}

LENCASE_PUBLIC lencase_state *lencase_new(const lencase_config *config) {
  lencase_config c = complete(config);
  lencase_state *st = c.alloc(c.alloc_ud, NULL, 0, sizeof *st);
  if (st == NULL) return NULL;
  *st = (lencase_state){.config = c};
  if (cage_table_open(st) != LENCASE_OK || route_open(st) != LENCASE_OK ||
      call_pool_open(st) != LENCASE_OK) {
    lencase_close(st);
    return NULL;
  }
  return st;
}

LENCASE_PUBLIC void lencase_close(lencase_state *st) {
  if (st == NULL) return;
  if (state_check_outside(st) != LENCASE_OK) {
    state_log(st, "lencase_close: the state is in use and stays open");
    return;
  }
  call_cages_close(st);
  call_tell_mistakes(st);
  call_pool_close(st);
  if (st->close_grates != NULL) st->close_grates(st);
  route_close(st);
  cage_table_close(st);
  st->config.alloc(st->config.alloc_ud, st, sizeof *st, 0);
}
