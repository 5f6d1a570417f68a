/*
** prompt.h - what the parts of the prompt share: Ctrl-C and the terminal
*/

#ifndef BIND_PROMPT_H
#define BIND_PROMPT_H

#include <signal.h>
#include <sys/types.h>
#include <termios.h>

#include "bind.h"

/*
** From begin to end the prompt waits for something that is not Lua: SIGINT says so at
** bind_sigint() and raises no error. begin returns the Lua state
** that it interrupts otherwise, for the end.
*/
lua_State *bind_wait_begin(void);
void bind_wait_end(lua_State *L);
const volatile int *bind_sigint(void);

/* The prompt's terminal, while a program that it has started uses it (terminal.c). */
struct bind_terminal {
  bool there;
  pid_t group;                 /* the program's in the foreground */
  struct termios ours, theirs; /* modes */
  sigset_t mask;
};

void bind_terminal_open(struct bind_terminal *t, pid_t program);
void bind_terminal_give(struct bind_terminal *t);
void bind_terminal_take(struct bind_terminal *t);

#endif
