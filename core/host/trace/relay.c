/*
** relay.c - signals to the supervisor, and job control
**
** What a person sends to us is meant for the program: a thread waits for it and
** hands it on. What the terminal sends reaches the program by itself. When everything in
** the run is stopped we stop, too, as the one whom the shell waits for.
*/

#include "trace_int.h"

#include <errno.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <unistd.h>

static const int relayed[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                              SIGUSR2, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU};

void relay_block(struct trace_run *run) {
  struct sigaction sa = {.sa_handler = SIG_DFL};
  size_t i;
  sigemptyset(&run->relay.set);
  for (i = 0; i < sizeof relayed / sizeof *relayed; i++) sigaddset(&run->relay.set, relayed[i]);
  pthread_sigmask(SIG_BLOCK, &run->relay.set, &run->mask);
  sigaction(SIGCHLD, &sa, &run->old_sigchld); /* ignored, it would eat statuses */
}

void relay_unblock(struct trace_run *run) {
  sigaction(SIGCHLD, &run->old_sigchld, NULL);
  pthread_sigmask(SIG_SETMASK, &run->mask, NULL);
}

/* {================================ handing on ============================= */

/* The terminal tells its whole foreground group, and the program with it. */
static bool from_terminal(const siginfo_t *info) {
  return info->si_code == SI_KERNEL && info->si_signo != SIGHUP && info->si_signo != SIGALRM;
}

static void hand_on(const struct relay *r, const siginfo_t *info) {
  if (from_terminal(info) || info->si_pid == r->root) return;
  pidfd_send_signal(r->pidfd, info->si_signo, NULL, 0);
}

static void *relay_main(void *ud) {
  struct relay *r = ud;
  siginfo_t info;
  for (;;) {
    int sig = sigwaitinfo(&r->set, &info);
    if (atomic_load(&r->over)) return NULL;
    if (sig > 0) hand_on(r, &info);
  }
}

/* The thread is started with all signals blocked: it takes only what it waits for. */
int relay_open(struct trace_run *run) {
  struct relay *r = &run->relay;
  sigset_t all, old;
  int rc;
  r->root = run->root;
  r->pidfd = pidfd_open(run->root, 0);
  if (r->pidfd < 0) return state_fail(run->st, LENCASE_EHOST, "pidfd_open: %s", strerror(errno));
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  rc = pthread_create(&r->thread, NULL, relay_main, r);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  r->running = rc == 0;
  if (rc == 0) return LENCASE_OK;
  close(r->pidfd);
  return state_fail(run->st, LENCASE_EHOST, "pthread_create: %s", strerror(rc));
}

void relay_close(struct trace_run *run) {
  struct relay *r = &run->relay;
  if (!r->running) return;
  atomic_store(&r->over, true);
  pthread_kill(r->thread, SIGTERM);
  pthread_join(r->thread, NULL);
  close(r->pidfd);
  r->running = false;
}

/* }========================================================================= */

/* {================================ job control ============================ */

/* The signal that stops us: the program's own, unless whoever runs us takes that otherwise. */
static int stop_signal(int sig) {
  struct sigaction sa;
  return sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL ? sig : SIGSTOP;
}

/* Stops this process until the shell continues it. */
static void stop_ourselves(struct trace_run *run, int sig) {
  sigset_t one, old;
  sigemptyset(&one);
  sigaddset(&one, sig);
  pthread_kill(pthread_self(), sig);
  pthread_sigmask(SIG_UNBLOCK, &one, &old); /* here we stop */
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pidfd_send_signal(run->relay.pidfd, SIGCONT, NULL, 0); /* one that came before counts once */
}

void relay_listen(struct trace_run *run, struct thread *t, int sig) {
  if (ptrace(PTRACE_LISTEN, t->tid, 0, 0) != 0) return;
  t->listening = true;
  run->listening++;
  if (run->listening == run->threads.n && run->relay.running) stop_ourselves(run, stop_signal(sig));
}

void relay_awake(struct trace_run *run, struct thread *t) {
  if (!t->listening) return;
  t->listening = false;
  run->listening--;
}

/* }========================================================================= */
