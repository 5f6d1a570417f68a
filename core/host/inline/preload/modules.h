/*
** modules.h - what state->modules may be in a program that runs inline
*/

#ifndef MODULES_H
#define MODULES_H

#include <stddef.h>

extern const char inline_modules[], inline_modules_end[];

size_t inline_modules_size(void);

#endif
