/*
** grate_value.h - between words, snapshots and Lua values: what the files of the grate share
*/

#ifndef GRATE_VALUE_H
#define GRATE_VALUE_H

#include "grate.h"

enum { ERRNO_MAX = 4095 }; /* MAX_ERRNO of linux/err.h */

/* Which parameter a value is for, and in which call: messages name them. */
struct value_of {
  const struct sig_param *p;
  const char *call;
};

/* Pushes what the handler sees of parameter 'i' of the family's prototype. */
void value_push_folded(lua_State *L, struct frame *f, int i);

/* Whether the value is lencase.NULL. */
bool value_is_null(lua_State *L, int index);

/* Memory of the call's; raises an error when there is none. */
void *value_room(lua_State *L, struct frame *f, size_t size);

/* Raises the error that another type is expected; 'return' it. */
int value_bad(lua_State *L, const struct value_of *of, int index, const char *wanted);

/* The bytes of a string or of a view; NULL when the value is neither. */
const unsigned char *value_plain(lua_State *L, int index, size_t *size);

/* Copies bytes to the call's memory, with a NUL: a Lua value may be collected or changed. */
void value_keep(lua_State *L, struct frame *f, struct snapshot *out, const void *data, size_t size);

/* The bytes, or parts, that the value at 'index' means for a pointer parameter. Raises errors. */
void value_take(lua_State *L, struct frame *f, int index, const struct value_of *of,
                struct snapshot *out);

#endif
