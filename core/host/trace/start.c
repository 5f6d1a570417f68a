/*
** start.c - the program: fork, filter, exec
**
** The child waits until it is traced and its filter is built, loads it, stops so
** that we can fetch the listener, and executes the program. What the two tell each
** other lies in a page both can see.
*/

#include "trace_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CODE_MAX = 4096 }; /* the kernel's own limit */

enum launch_stage { STAGE_FILTER, STAGE_EXEC };

struct launch {
  int stage; /* what the child is about to do */
  int err;   /* why it could not */
  int listener;
  size_t n;
  struct sock_filter code[CODE_MAX];
};

/* {================================ the child ============================== */

static int load_filter(struct launch *l, unsigned flags) {
  struct sock_fprog prog = {(unsigned short)l->n, l->code};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

/* Without privilege the kernel wants set-user-ID programs to lose theirs first. */
static int load_filter_somehow(struct launch *l, unsigned flags) {
  int fd = load_filter(l, flags);
  if (fd >= 0 || errno != EACCES) return fd;
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return load_filter(l, flags);
}

/* Where another listener watches over us there is none for us, and so no window. */
static bool child_filter(struct launch *l) {
  const unsigned flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  l->listener = load_filter_somehow(l, flags | SECCOMP_FILTER_FLAG_NEW_LISTENER);
  if (l->listener >= 0) return true;
  return errno == EBUSY && load_filter_somehow(l, flags) == 0;
}

static void child_main(const struct trace_run *run, char *const argv[], int gate)
    __attribute__((noreturn));

static void child_main(const struct trace_run *run, char *const argv[], int gate) {
  struct launch *l = run->launch;
  char go;
  if (run->live != NULL) live_child(run);
  if (read(gate, &go, 1) != 1) _exit(127);
  if (child_filter(l)) {
    kill(getpid(), SIGSTOP); /* start_ready */
    l->stage = STAGE_EXEC;
    sigaction(SIGCHLD, &run->old_sigchld, NULL);
    sigprocmask(SIG_SETMASK, &run->mask, NULL);
    execvp(argv[0], argv);
  }
  l->err = errno;
  _exit(127);
}

/* }========================================================================= */

/* {================================ our side =============================== */

static int seize(struct trace_run *run) {
  if (ptrace(PTRACE_SEIZE, run->root, 0, (long)(TRACE_OPTIONS | PTRACE_O_EXITKILL)) == 0)
    return LENCASE_OK;
  return state_fail(run->st, LENCASE_EHOST,
                    "programs cannot be traced here (ptrace: %s): is lencase itself being traced, "
                    "or ptrace forbidden (kernel.yama.ptrace_scope, a container's seccomp "
                    "profile)?",
                    strerror(errno));
}

static int first_cage(struct trace_run *run) {
  struct thread *t = thread_new(run, run->root);
  int rc = process_first(run, t);
  if (rc != LENCASE_OK) return rc;
  t->state = THREAD_LAUNCH;
  return filter_build(run, t->proc->cage, run->launch->code, CODE_MAX, &run->launch->n);
}

static int prepare(struct trace_run *run, int gate) {
  int rc = seize(run);
  if (rc == LENCASE_OK) rc = first_cage(run);
  if (rc == LENCASE_OK) window_open(run);
  if (rc == LENCASE_OK && write(gate, "", 1) != 1)
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

int start_program(struct trace_run *run, char *const argv[]) {
  void *page =
      mmap(NULL, sizeof *run->launch, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int gate[2], rc;
  if (page == MAP_FAILED) return state_fail(run->st, LENCASE_ENOMEM, "no memory for a launch");
  run->launch = page;
  if (pipe2(gate, O_CLOEXEC) != 0)
    return state_fail(run->st, LENCASE_EHOST, "pipe: %s", strerror(errno));
  rc = fork_child(run, argv, gate);
  close(gate[0]);
  if (rc == LENCASE_OK) rc = prepare(run, gate[1]);
  close(gate[1]);
  if (rc == LENCASE_OK || run->root < 0) return rc;
  kill(run->root, SIGKILL);
  while (waitpid(run->root, &run->wstatus, __WALL) == run->root && WIFSTOPPED(run->wstatus))
    ;
  return rc;
}

void start_ready(struct trace_run *run) {
  int pidfd = pidfd_open(run->root, 0);
  if (pidfd >= 0 && run->launch->listener >= 0)
    run->listener = pidfd_getfd(pidfd, run->launch->listener, 0);
  if (pidfd >= 0) close(pidfd);
}

int start_outcome(struct trace_run *run, int *wstatus) {
  const struct launch *l = run->launch;
  *wstatus = run->wstatus;
  if (run->launched || l->err == 0) return LENCASE_OK;
  *wstatus = l->err;
  if (l->stage == STAGE_EXEC) return state_fail(run->st, LENCASE_EEXEC, "%s", strerror(l->err));
  return state_fail(run->st, LENCASE_EHOST, "the seccomp filter could not be loaded: %s",
                    strerror(l->err));
}

void start_close(struct trace_run *run) {
  if (run->listener >= 0) close(run->listener);
  if (run->launch != NULL) munmap(run->launch, sizeof *run->launch);
  run->listener = -1;
  run->launch = NULL;
}

/* }========================================================================= */
