/*
** slots.c - who has which bytes of a window
**
** The used parts, by offset: there are as many as calls are held at once, so a
** walk is short, and the lowest free place keeps the touched memory small.
*/

#include "trace_int.h"

#include <string.h>

enum { SLOTS_FIRST = 16 };

static bool slots_grow(struct lencase_state *st, struct slots *s) {
  size_t capacity = s->capacity > 0 ? 2 * s->capacity : SLOTS_FIRST;
  struct slot *used =
      state_realloc(st, s->used, s->capacity * sizeof *used, capacity * sizeof *used);
  if (used == NULL) return false;
  s->used = used;
  s->capacity = capacity;
  return true;
}

/* The place in the list before which 'size' bytes are free, at *offset. */
static size_t slots_gap(const struct slots *s, size_t size, size_t *offset) {
  size_t i;
  *offset = 0;
  for (i = 0; i < s->n && s->used[i].offset - *offset < size; i++)
    *offset = s->used[i].offset + s->used[i].size;
  return i;
}

bool slots_get(struct lencase_state *st, struct slots *s, size_t size, size_t limit,
               size_t *offset) {
  size_t place;
  if (size > limit) return false;
  size = size == 0 ? SLOT_ALIGN : (size + SLOT_ALIGN - 1) & ~(size_t)(SLOT_ALIGN - 1);
  place = slots_gap(s, size, offset);
  if (*offset > limit || size > limit - *offset) return false;
  if (s->n == s->capacity && !slots_grow(st, s)) return false;
  memmove(&s->used[place + 1], &s->used[place], (s->n - place) * sizeof *s->used);
  s->used[place] = (struct slot){*offset, size};
  s->n++;
  assert(place == 0 || s->used[place - 1].offset + s->used[place - 1].size <= *offset);
  assert(place + 1 == s->n || *offset + size <= s->used[place + 1].offset);
  return true;
}

void slots_put(struct slots *s, size_t offset) {
  size_t i;
  for (i = 0; i < s->n && s->used[i].offset != offset; i++)
    ;
  assert(i < s->n);
  s->n--;
  memmove(&s->used[i], &s->used[i + 1], (s->n - i) * sizeof *s->used);
}

void slots_free(struct lencase_state *st, struct slots *s) {
  state_free(st, s->used, s->capacity * sizeof *s->used);
  *s = (struct slots){0};
}
