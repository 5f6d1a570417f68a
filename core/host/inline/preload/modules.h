/*
** modules.h - what state->modules may be in a program that runs inline
*/

#ifndef MODULES_H
#define MODULES_H

#include <stdint.h>

/* modules.S */
extern const char inline_modules[];
extern const uint64_t inline_modules_size;

#endif
