/*
** terminal.c - one terminal for the prompt and for the program that it has started
**
** While the program goes on, the terminal is its own: its process group is in the foreground, with
** the modes that it had set. What it is at when it stops, a shell among them with jobs of its own,
** is put back when it goes on.
*/

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "prompt.h"

/* A process in the background may change a terminal only while it blocks SIGTTOU. */
static void block_refusal(sigset_t *before) {
  sigset_t refusal;
  sigemptyset(&refusal);
  sigaddset(&refusal, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &refusal, before);
}

void bind_terminal_open(struct bind_terminal *t, pid_t program) {
  t->there = isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp() &&
             tcgetattr(STDIN_FILENO, &t->theirs) == 0;
  t->group = program;
}

void bind_terminal_give(struct bind_terminal *t) {
  if (!t->there) return;
  tcgetattr(STDIN_FILENO, &t->ours);
  block_refusal(&t->mask); /* messages meanwhile are written from the background */
  tcsetattr(STDIN_FILENO, TCSADRAIN, &t->theirs);
  tcsetpgrp(STDIN_FILENO, t->group);
}

void bind_terminal_take(struct bind_terminal *t) {
  pid_t group;
  if (!t->there) return;
  group = tcgetpgrp(STDIN_FILENO);
  if (group > 0 && group != getpgrp()) t->group = group;
  tcgetattr(STDIN_FILENO, &t->theirs);
  tcsetpgrp(STDIN_FILENO, getpgrp());
  tcsetattr(STDIN_FILENO, TCSADRAIN, &t->ours);
  pthread_sigmask(SIG_SETMASK, &t->mask, NULL);
}
