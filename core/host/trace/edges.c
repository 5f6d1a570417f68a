/*
** edges.c - parts of the window that end at an unreadable page
**
** For bytes that the caller's memory has in part only: they lie right before such a page, and the
** kernel faults where it would have in the caller's memory. The pages are made so by the set-up of
** each program (window.c). One of many bytes is there only in a window that is large.
*/

#include "trace_int.h"

#include <inttypes.h>
#include <string.h>

#define SMALL ((size_t)4 * PAGE)
#define MIDDLE ((size_t)1 << 20)
#define LARGE ((size_t)128 << 20) /* half of the default of max_call_bytes */

/* Small ones before the slots, the others behind them: the file grows as it is used. */
static const struct edge {
  size_t guard, size; /* the guard's offset, and how much room there is before it */
} edges[WINDOW_EDGES] = {
    {SMALL, SMALL},
    {2 * SMALL + PAGE, SMALL},
    {3 * SMALL + 2 * PAGE, SMALL},
    {4 * SMALL + 3 * PAGE, SMALL},
    {WINDOW_BIG - LARGE - 2 * PAGE, MIDDLE},
    {WINDOW_BIG - PAGE, LARGE},
};

enum { FIRST_AT_END = 4 };

size_t edges_first(void) {
  return edges[FIRST_AT_END - 1].guard + PAGE;
}

size_t edges_last(size_t window_size) {
  return window_size < WINDOW_BIG ? window_size : edges[FIRST_AT_END].guard - MIDDLE;
}

void edges_write(unsigned char *guards) {
  size_t i;
  for (i = 0; i < WINDOW_EDGES; i++)
    memcpy(guards + i * sizeof(uint64_t), &edges[i].guard, sizeof(uint64_t));
}

static bool is_for(const struct window *w, size_t i, size_t size, size_t window_size) {
  return !w->edge_taken[i] && edges[i].size >= size && edges[i].guard + PAGE <= window_size;
}

/* Its own bytes end no string: a cage that makes the page readable gains nothing. */
static bool ready(struct window *w, size_t i) {
  if (!window_grow(w, edges[i].guard + PAGE)) return false;
  memset(w->data + PAGE + edges[i].guard, 0xff, PAGE);
  return true;
}

int edges_take(struct trace_run *run, const struct thread *t, struct mem_seg *seg) {
  const struct space *space = t->proc->space;
  struct window *w = space->ours;
  size_t i = 0, offset;
  while (i < WINDOW_EDGES && seg->size > 0 && !is_for(w, i, seg->size, space->window_size)) i++;
  if (i == WINDOW_EDGES || !ready(w, i)) {
    state_debug(run->st, WINDOW, "%d: no place for %zu bytes that end at a page",
                (int)t->proc->tgid, seg->size);
    return state_fail(run->st, LENCASE_ENOMEM,
                      "cage %d has no place for %zu bytes that end at a page", (int)t->proc->tgid,
                      seg->size);
  }
  if (seg->size > 0) w->edge_taken[i] = true; /* without bytes it can be shared */
  offset = PAGE + edges[i].guard - seg->size;
  seg->addr = space->window + offset;
  seg->data = w->data + offset;
  state_debug(run->st, WINDOW, "%d: %zu bytes at 0x%" PRIx64 ", up to the end of a page",
              (int)t->proc->tgid, seg->size, seg->addr);
  return LENCASE_OK;
}

void edges_give(struct trace_run *run, const struct space *space, const struct mem_seg *seg) {
  struct window *w = space->ours;
  size_t end = (size_t)((unsigned char *)seg->data - w->data) + seg->size - PAGE;
  size_t i = 0;
  state_debug(run->st, WINDOW, "%d: %zu bytes at 0x%" PRIx64 " are free again", (int)space->pid,
              seg->size, seg->addr);
  if (seg->size == 0) return;
  while (i < WINDOW_EDGES - 1 && edges[i].guard != end) i++;
  assert(edges[i].guard == end && w->edge_taken[i]);
  w->edge_taken[i] = false;
  memset(seg->data, 0, seg->size);
}
