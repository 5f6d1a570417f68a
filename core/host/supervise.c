/*
** supervise.c - signals to the process that runs a program, and job control
*/

#include "supervise.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <unistd.h>

static const int relayed[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                              SIGUSR2, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU};

void supervise_set(sigset_t *set) {
  size_t i;
  sigemptyset(set);
  for (i = 0; i < sizeof relayed / sizeof *relayed; i++) sigaddset(set, relayed[i]);
}

bool supervise_heard(pid_t root, int sig, int code) {
  switch (sig) {
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU: return getpgid(root) == getpgrp();
    case SIGINT:
    case SIGQUIT: return code == SI_KERNEL;
    default: return false;
  }
}

int supervise_send(pid_t root, int pidfd, int sig) {
  if (pidfd >= 0 && pidfd_send_signal(pidfd, sig, NULL, 0) == 0) return 0;
  return pidfd >= 0 && errno == ESRCH ? -1 : kill(root, sig);
}

void supervise_stop(int sig, pid_t root, int pidfd) {
  struct sigaction sa;
  sigset_t one, old;
  /* the program's own, unless our parent treats that differently */
  if (sigaction(sig, NULL, &sa) != 0 || sa.sa_handler != SIG_DFL) sig = SIGSTOP;
  sigemptyset(&one);
  sigaddset(&one, sig);
  pthread_kill(pthread_self(), sig);
  pthread_sigmask(SIG_UNBLOCK, &one, &old); /* this process stops here */
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  supervise_send(root, pidfd, SIGCONT); /* a second SIGCONT does no harm */
}

void supervise_bear(sigset_t *before) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGXFSZ);
  pthread_sigmask(SIG_BLOCK, &set, before);
}

void supervise_unbear(const sigset_t *before) {
  const struct timespec now = {0, 0};
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGXFSZ);
  if (!sigismember(before, SIGXFSZ)) sigtimedwait(&set, NULL, &now);
  pthread_sigmask(SIG_SETMASK, before, NULL);
}

int supervise_hide(void) {
  int before = prctl(PR_GET_DUMPABLE);
  return prctl(PR_SET_DUMPABLE, 0) == 0 ? before : -1;
}

void supervise_show(int before) {
  if (before == 1) prctl(PR_SET_DUMPABLE, 1);
}
