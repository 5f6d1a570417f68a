/*
** call_debug.c - what becomes of calls, a line for each event: LENCASE_DEBUG=calls
*/

#include "call_debug.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ERRNO_LAST = 4095 }; /* MAX_ERRNO of linux/err.h */

/* "write(0x1, 0x7ffd3008, 0x5)": as many words as the call has arguments at most. */
static const char *call_text(int32_t nr, const uint64_t words[LENCASE_MAXARGS], char *buf,
                             size_t size) {
  const struct signature *sig = sig_by_nr(nr);
  int i, n = sig != NULL ? sig_widest(sig) : LENCASE_MAXARGS;
  char name[64];
  size_t used = (size_t)snprintf(buf, size, "%s(", sig_name(nr, name, sizeof name));
  for (i = 0; i < n && used < size; i++)
    used += (size_t)snprintf(buf + used, size - used, "%s0x%" PRIx64, i > 0 ? ", " : "", words[i]);
  if (used < size) snprintf(buf + used, size - used, ")");
  return buf;
}

/* "5", or "-EPERM". */
static const char *result_text(int64_t result, char *buf, size_t size) {
  const char *name = NULL;
  if (result < 0 && result >= -ERRNO_LAST) name = strerrorname_np((int)-result);
  if (name != NULL)
    snprintf(buf, size, "-%s", name);
  else
    snprintf(buf, size, "%" PRId64, result);
  return buf;
}

void debug_arrived(const struct lencase_cage *cage, int32_t nr,
                   const uint64_t words[LENCASE_MAXARGS]) {
  char text[256];
  state_debug(cage->st, CALLS, "cage %" PRId64 ": %s arrived", cage->pid,
              call_text(nr, words, text, sizeof text));
}

void debug_outcome(const struct lencase_cage *cage, int32_t nr, enum verdict verdict,
                   int64_t result) {
  char name[64], text[32];
  const char *call = sig_name(nr, name, sizeof name);
  if (verdict == VERDICT_PASS)
    state_debug(cage->st, CALLS, "cage %" PRId64 ": %s passed", cage->pid, call);
  else if (verdict == VERDICT_DONE)
    state_debug(cage->st, CALLS, "cage %" PRId64 ": %s answered with %s", cage->pid, call,
                result_text(result, text, sizeof text));
}

void debug_dropped(const struct call *call) {
  char name[64];
  state_debug(call->cage->st, CALLS, "cage %" PRId64 ": %s dropped: its thread is gone",
              call->cage->pid, sig_name(call->nr, name, sizeof name));
}

static void handler_line(const struct call *call, const char *what, const char *more) {
  const char *where = call->answer->where;
  char name[64];
  state_debug(call->cage->st, CALLS, "cage %" PRId64 ": %s: %s %s%s", call->cage->pid,
              sig_name(call->nr, name, sizeof name), where != NULL ? where : "grate", what, more);
}

void debug_handler(const struct call *call, enum handler_event ev) {
  static const char *const what[] = {
      [HANDLER_START] = "entered", [HANDLER_RESULT] = "resumed", [HANDLER_DROP] = "dropped"};
  handler_line(call, what[ev], "");
}

void debug_verdict(const struct call *call, enum verdict verdict) {
  static const char *const what[] = {
      [VERDICT_PASS] = "lets it through", [VERDICT_DONE] = "answers ", [VERDICT_PARKED] = "parked"};
  char text[32] = "";
  if (verdict == VERDICT_DONE) result_text(call->result, text, sizeof text);
  handler_line(call, what[verdict], text);
}

void debug_down(const struct call *call, const struct lencase_cage *target, int32_t nr,
                const uint64_t words[LENCASE_MAXARGS]) {
  char text[256], cage[48] = "";
  call_text(nr, words, text, sizeof text);
  if (target != call->cage) snprintf(cage, sizeof cage, " for cage %" PRId64, target->pid);
  strncat(text, cage, sizeof text - strlen(text) - 1);
  handler_line(call, "makes ", text);
}

void debug_down_result(const struct call *call) {
  char text[32];
  handler_line(call, "has the result ", result_text(call->down_result, text, sizeof text));
}
