/*
** start.c - the program: fork, filter, exec
**
** The child waits until it is traced and its filter is built, loads it, hands us the filter's
** listener through the gate, a pair of sockets, stops, and executes the program. What else the two
** tell each other lies in a page both can see.
**
** Where the filter cannot be had as it should be, every call of every thread stops at its entry,
** before all filters: that is slow and sees as much.
*/

#include "../descriptor.h"
#include "trace_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CODE_MAX = 4096 }; /* the kernel's own limit */

/* What the child has of our filter. */
enum filtered {
  FILTER_NONE,     /* it may not load one */
  FILTER_UNHEARD,  /* without a listener: seccomp(2) is refused, prctl(2) is not */
  FILTER_WATCHED,  /* an outer filter has a listener, which may let calls go on that we trap */
  FILTER_LISTENED, /* all of it */
};

struct launch {
  int err; /* why the program could not be executed */
  int filtered;
  int refused; /* why it has not all of the filter */
  int gate;    /* our end */
  size_t n;
  struct sock_filter code[CODE_MAX];
};

/* {================================ the child ============================== */

static int load_by_seccomp(struct sock_fprog *prog, unsigned flags) {
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, prog);
}

static int load_by_prctl(struct sock_fprog *prog, unsigned flags) {
  (void)flags;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, prog, 0, 0);
}

/* Without privilege the kernel requires no_new_privs. */
static int load_filter(struct launch *l, int (*load)(struct sock_fprog *prog, unsigned flags),
                       unsigned flags) {
  struct sock_fprog prog = {(unsigned short)l->n, l->code};
  int fd = load(&prog, flags);
  if (fd >= 0 || errno != EACCES) return fd;
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return load(&prog, flags);
}

/* The descriptor of the filter's listener, or -1. */
static int child_filter(struct launch *l) {
  const unsigned flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  int fd = load_filter(l, load_by_seccomp, flags | SECCOMP_FILTER_FLAG_NEW_LISTENER);
  l->refused = fd < 0 ? errno : 0;
  if (fd >= 0)
    l->filtered = FILTER_LISTENED;
  else if (l->refused == EBUSY && load_filter(l, load_by_seccomp, flags) == 0)
    l->filtered = FILTER_WATCHED;
  else if (load_filter(l, load_by_prctl, 0) == 0)
    l->filtered = FILTER_UNHEARD;
  return fd;
}

static void child_main(const struct trace_run *run, char *const argv[], int gate)
    __attribute__((noreturn));

static void child_main(const struct trace_run *run, char *const argv[], int gate) {
  struct launch *l = run->launch;
  char go;
  int listener;
  run->observer->child(run);
  if (read(gate, &go, 1) != 1) _exit(127);
  listener = child_filter(l);
  if (listener >= 0) descriptor_send(gate, listener); /* else we hear of no listener */
  kill(getpid(), SIGSTOP);                            /* start_ready */
  sigaction(SIGCHLD, &run->old_sigchld, NULL);
  sigprocmask(SIG_SETMASK, &run->mask, NULL);
  execvp(argv[0], argv);
  l->err = errno;
  _exit(127);
}

/* }========================================================================= */

/* {================================ our side =============================== */

static int seize(struct trace_run *run) {
  if (ptrace(PTRACE_SEIZE, run->root, 0, (long)(TRACE_OPTIONS | PTRACE_O_EXITKILL)) == 0)
    return LENCASE_OK;
  return state_fail(
      run->st, LENCASE_EHOST,
      "programs cannot be traced here (ptrace: %s): is lencase itself being traced, or "
      "ptrace forbidden (kernel.yama.ptrace_scope, a container without `--cap-add "
      "SYS_PTRACE`)? `run --inline` needs no ptrace; `lencase doctor` tells more",
      strerror(errno));
}

static int first_cage(struct trace_run *run) {
  struct thread *t = thread_new(run, run->root);
  int rc = process_first(run, t);
  if (rc != LENCASE_OK) return rc;
  t->state = THREAD_LAUNCH;
  return filter_build(run, t->proc->cage, run->launch->code, CODE_MAX, &run->launch->n);
}

static int prepare(struct trace_run *run) {
  int rc = seize(run);
  if (rc == LENCASE_OK) rc = first_cage(run);
  if (rc == LENCASE_OK && write(run->launch->gate, "", 1) != 1)
    rc = state_fail(run->st, LENCASE_EHOST, "the program's process is gone before it began");
  return rc;
}

/* Both ends of the gate are closed at exec, and ours when we are done. */
static int fork_child(struct trace_run *run, char *const argv[], const int gate[2]) {
  run->root = fork();
  if (run->root < 0) return state_fail(run->st, LENCASE_EHOST, "fork: %s", strerror(errno));
  if (run->root > 0) return LENCASE_OK;
  close(gate[1]);
  child_main(run, argv, gate[0]);
}

/* The states, descriptors and signals of threads are found in /proc only. */
int start_program(struct trace_run *run, char *const argv[]) {
  void *page;
  int gate[2], rc;
  if (access("/proc/self/status", R_OK) != 0)
    return state_fail(run->st, LENCASE_EHOST,
                      "/proc is not there (%s): mount it, `mount -t proc proc /proc`",
                      strerror(errno));
  page = mmap(NULL, sizeof *run->launch, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return state_fail(run->st, LENCASE_ENOMEM, "no memory for a launch");
  run->launch = page;
  run->launch->gate = -1;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate) != 0)
    return state_fail(
        run->st, LENCASE_EHOST,
        "no channel to the program can be made (socketpair: %s): `lencase doctor` tells more",
        strerror(errno));
  run->launch->gate = gate[1];
  rc = fork_child(run, argv, gate);
  close(gate[0]);
  if (rc == LENCASE_OK) rc = prepare(run);
  if (rc == LENCASE_OK || run->root < 0) return rc;
  kill(run->root, SIGKILL);
  while (waitpid(run->root, &run->wstatus, __WALL) == run->root && WIFSTOPPED(run->wstatus))
    ;
  return rc;
}

/* Why the filter would not stop every call that a grate handles; NULL: it would. */
static const char *shortcoming(const struct launch *l) {
  switch (l->filtered) {
    case FILTER_NONE: return "seccomp filters are refused here";
    case FILTER_WATCHED: return "an outer seccomp filter has a listener, which may let calls go on";
    default: return NULL;
  }
}

/* A list of what is allowed has no callnum of the author's own: an outer filter answers those. */
void start_ready(struct trace_run *run) {
  const struct launch *l = run->launch;
  const char *why = shortcoming(l);
  if (l->filtered == FILTER_LISTENED) run->listener = descriptor_receive(l->gate);
  if (run->listener < 0 && run->window.lack == NULL) {
    run->window.lack = "seccomp gives no listener";
    run->window.lack_err = l->refused;
  }
  run->every = run->filters_short =
      why != NULL || (run->own_wanted && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER);
  if (why == NULL) return;
  state_log(run->st,
            "%s (seccomp: %s): every call of the program stops, which is slow; `lencase doctor` "
            "tells more",
            why, strerror(l->refused));
}

int start_outcome(struct trace_run *run, int *wstatus) {
  const struct launch *l = run->launch;
  *wstatus = run->wstatus;
  if (run->launched || l->err == 0) return LENCASE_OK;
  *wstatus = l->err;
  return state_fail(run->st, LENCASE_EEXEC, "%s", strerror(l->err));
}

void start_close(struct trace_run *run) {
  if (run->listener >= 0) close(run->listener);
  if (run->launch != NULL && run->launch->gate >= 0) close(run->launch->gate);
  if (run->launch != NULL) munmap(run->launch, sizeof *run->launch);
  run->listener = -1;
  run->launch = NULL;
}

/* }========================================================================= */
