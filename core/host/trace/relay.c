/*
** relay.c - signals to the supervisor, and job control
**
** Signals sent to us are meant for the program: a thread waits for them and
** forwards them. What the terminal sends reaches the program by itself. When everything in
** the run is stopped we stop, too, since the shell waits for us.
*/

#include "trace_int.h"

#include "../supervise.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <unistd.h>

void relay_child(int sig) {
  (void)sig;
}

void relay_ticks(int how) {
  sigset_t set;
  int err = errno;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  pthread_sigmask(how, &set, NULL);
  errno = err;
}

void relay_block(struct trace_run *run) {
  struct sigaction sa = {.sa_handler = relay_child, .sa_flags = SA_NOCLDSTOP};
  supervise_set(&run->relay.set);
  supervise_bear(&run->mask);
  pthread_sigmask(SIG_BLOCK, &run->relay.set, NULL);
  relay_ticks(SIG_BLOCK);
  sigaction(SIGCHLD, &sa, &run->old_sigchld); /* ignored, there would be no statuses to wait for */
}

void relay_unblock(struct trace_run *run) {
  sigaction(SIGCHLD, &run->old_sigchld, NULL);
  supervise_unbear(&run->mask);
}

/* {================================ handing on ============================= */

pid_t relay_traced(pid_t tracer, const char *name) {
  pid_t pid = atoi(name);
  return pid > 0 && thread_status(pid, "TracerPid:") == tracer ? pid : 0;
}

/* To what the program left behind: without it a run could not be ended by hand. */
static void hand_to_rest(const struct relay *r, int sig) {
  DIR *dir = opendir("/proc");
  const struct dirent *entry;
  if (dir == NULL) return;
  while ((entry = readdir(dir)) != NULL) {
    pid_t pid = relay_traced(r->tracer, entry->d_name);
    if (pid > 0) kill(pid, sig);
  }
  closedir(dir);
}

static void hand_on(const struct relay *r, const siginfo_t *info) {
  if (info->si_pid == r->root) return;
  if (atomic_load(&r->root_over) || supervise_send(r->root, r->pidfd, 0) != 0)
    hand_to_rest(r, info->si_signo);
  else if (!supervise_heard(r->root, info->si_signo, info->si_code))
    supervise_send(r->root, r->pidfd, info->si_signo);
}

/* It looks up now and then: a seccomp filter may refuse the signal that ends it (relay_close). */
static void *relay_main(void *ud) {
  const struct timespec look = {1, 0};
  struct relay *r = ud;
  siginfo_t info;
  for (;;) {
    int sig = sigtimedwait(&r->set, &info, &look);
    if (atomic_load(&r->over)) return NULL;
    if (sig == SIGHUP && r->reload_on_hup)
      atomic_store(&r->reload, true); /* the supervisor does it between two stops */
    else if (sig > 0)
      hand_on(r, &info);
  }
}

/* The thread is started with all signals blocked: it takes only what it waits for. */
int relay_open(struct trace_run *run) {
  struct relay *r = &run->relay;
  sigset_t all, old;
  int rc;
  r->root = run->root;
  r->reload_on_hup = run->st->config.reload_on_hup != 0;
  r->tracer = gettid();
  r->pidfd = pidfd_open(run->root, 0);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  rc = pthread_create(&r->thread, NULL, relay_main, r);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  r->running = rc == 0;
  if (rc == 0) return LENCASE_OK;
  if (r->pidfd >= 0) close(r->pidfd);
  return state_fail(
      run->st, LENCASE_EHOST,
      "no thread can be made here (%s): a container's seccomp profile that answers clone3 "
      "with another error than ENOSYS does that; `--security-opt seccomp=...`",
      strerror(rc));
}

void relay_close(struct trace_run *run) {
  struct relay *r = &run->relay;
  if (!r->running) return;
  atomic_store(&r->over, true);
  pthread_kill(r->thread, SIGTERM);
  pthread_join(r->thread, NULL);
  if (r->pidfd >= 0) close(r->pidfd);
  r->running = false;
}

/* }========================================================================= */

/* {================================ job control ============================ */

void relay_listen(struct trace_run *run, struct thread *t, int sig) {
  if (!thread_go(t, PTRACE_LISTEN, 0)) return;
  thread_rest(t, STAND_LISTENS);
  run->stopped_by = sig;
}

bool relay_all_stopped(const struct trace_run *run) {
  return run->stopped_by != 0 && run->listening == run->threads.n && run->relay.running;
}

void relay_stop(struct trace_run *run) {
  int sig = run->stopped_by;
  run->stopped_by = 0;
  supervise_stop(sig, run->root, run->relay.pidfd);
}

/* }========================================================================= */
