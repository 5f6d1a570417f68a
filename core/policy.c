/*
** policy.c - reading the packed masks
*/

#include "policy.h"

#define NIBBLE(p, arg) ((unsigned)((p) >> (4 * (arg))) & 15u)

enum { CHOICES = LENCASE_P_COPY | LENCASE_P_PASS | LENCASE_P_ADDR };

static unsigned from_sets(unsigned sets, bool is_pointer) {
  if (sets & LENCASE_P_SET_ALL) return LENCASE_P_PASS;
  if (is_pointer && (sets & LENCASE_P_SET_POINTERS)) return LENCASE_P_PASS;
  return LENCASE_P_COPY;
}

unsigned policy_of(lencase_policy p, int arg, bool is_pointer) {
  unsigned own = NIBBLE(p, arg), once = own & LENCASE_P_ONCE;
  if (own & CHOICES) return own;
  return from_sets(NIBBLE(p >> LENCASE_P_SETS, arg), is_pointer) | once;
}

int policy_check(struct lencase_state *st, lencase_policy p, const char *name, int nparams) {
  const lencase_policy known =
      LENCASE_PASS_THROUGH_ALL | (((lencase_policy)1 << LENCASE_P_SETS) - 1);
  int arg;
  for (arg = 0; arg < LENCASE_MAXARGS; arg++) {
    unsigned own = NIBBLE(p, arg), choice = own & CHOICES;
    if (arg >= nparams && own != 0)
      return state_fail(st, LENCASE_EINVAL, "the policy names argument %d, but %s has %d", arg + 1,
                        name, nparams);
    if ((choice & (choice - 1)) != 0) /* more than one bit */
      return state_fail(st, LENCASE_EINVAL,
                        "the policy gives argument %d of %s more than one thing to do; use "
                        "one of copy, pass, addr",
                        arg + 1, name);
  }
  if ((p & ~known) != 0)
    return state_fail(st, LENCASE_EINVAL, "invalid policy 0x%llx: unknown bits 0x%llx",
                      (unsigned long long)p, (unsigned long long)(p & ~known));
  return LENCASE_OK;
}
