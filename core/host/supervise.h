/*
** supervise.h - for hosts that start a program: signals and job control, as if this process were it
*/

#ifndef SUPERVISE_H
#define SUPERVISE_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* The signals that are passed on to the program. */
void supervise_set(sigset_t *set);

/*
** True if the program 'root' has got this signal as well, which came to us with this si_code: the
** terminal sends it to the whole foreground group. So are stops sent to groups, and a second one
** might come when the program was continued already.
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
** Until supervise_unbear a write of this thread beyond RLIMIT_FSIZE fails, and SIGXFSZ does not end
** the process. *before are the signals that were blocked.
*/
void supervise_bear(sigset_t *before);
void supervise_unbear(const sigset_t *before);

/* Keeps programs of the same user from writing into this process (PR_SET_DUMPABLE). Returns what
** supervise_show takes. */
int supervise_hide(void);
void supervise_show(int before);

#endif
