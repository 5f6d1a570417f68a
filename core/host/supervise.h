/*
** supervise.h - what a host does that starts a program and is waited for in its place
*/

#ifndef SUPERVISE_H
#define SUPERVISE_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* Signals that a person sends to us and means for the program. */
void supervise_set(sigset_t *set);

/*
** The program 'root' has had this signal, which came to us with this si_code. The terminal tells its whole
** foreground group, and the program with it. A stop is told to whole groups, too, and a second one
** would come after the program was continued.
*/
bool supervise_heard(pid_t root, int sig, int code);

/*
** The program was stopped by 'sig': this process stops as well, until the shell continues it; then the program
** is to be continued. 'sig' is blocked.
*/
void supervise_stop(int sig);

/* A program of the same user shall not write into us. The value is for supervise_show. */
int supervise_hide(void);
void supervise_show(int before);

#endif
