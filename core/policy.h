/*
** policy.h - what may happen to each argument
*/

#ifndef POLICY_H
#define POLICY_H

#include "signature.h"

/*
** What policy 'p' says of argument 'arg' (from 0): exactly one of LENCASE_P_COPY,
** LENCASE_P_PASS, LENCASE_P_ADDR, with LENCASE_P_ONCE or not.
*/
unsigned policy_of(lencase_policy p, int arg, bool is_pointer);

/*
** Whether 'p' is valid for calls of 'nparams' arguments: LENCASE_OK, or
** LENCASE_EINVAL with the message in 'st'. 'name' is the call's.
*/
int policy_check(struct lencase_state *st, lencase_policy p, const char *name, int nparams);

#endif
