/*
** supervise.h - what a host does that starts a program and is waited for in its place
*/

#ifndef SUPERVISE_H
#define SUPERVISE_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* Signals that are sent to us and meant for the program. */
void supervise_set(sigset_t *set);

/*
** The program 'root' has had this signal, which came to us with this si_code. The terminal tells
** its whole foreground group, and the program with it. A stop is told to whole groups, too, and a
** second one would come after the program was continued.
*/
bool supervise_heard(pid_t root, int sig, int code);

/*
** The program was stopped by 'sig': this process stops as well, until the shell continues it; then
** the program 'root' goes on. 'sig' is blocked.
*/
void supervise_stop(int sig, pid_t root, int pidfd);

/* Sends it a signal: by 'pidfd', or without one (-1) by its number, before it is reaped. */
int supervise_send(pid_t root, int pidfd, int sig);

/*
** A write of this thread's beyond the limit on sizes of files fails, and SIGXFSZ does not end us:
** until supervise_unbear, which takes the signals that were blocked before.
*/
void supervise_bear(sigset_t *before);
void supervise_unbear(const sigset_t *before);

/* Keeps programs of the same user from writing into us. The value is for supervise_show, or -1. */
int supervise_hide(void);
void supervise_show(int before);

#endif
