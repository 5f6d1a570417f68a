/*
** launch.c - the launcher: starts a program that runs inline, and waits for it
**
** The program is a child of ours. Its processes report by a pair of sockets (report.c); when no
** process has the other end any more all of them have ended. A message raises SIGCHLD, too
** (O_ASYNC), so that we wait for signals alone.
*/

#include "inline.h"

#include "../supervise.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGE_MAX = 64 << 10, AT_ONCE = 16 };

const struct inline_by *inline_by(void) {
  const struct inline_by *by = dlsym(RTLD_DEFAULT, INLINE_BY);
  return by != NULL && by->script != NULL ? by : NULL;
}

struct launch {
  struct lencase_state *st;
  const struct inline_program *program;
  int channel, far; /* ours, closed at the end; the program's, a high number */
  ino_t far_inode;
  pid_t root;
  bool ended; /* the first process; until it is reaped no other process can have its number */
  int wstatus;
  bool listening;     /* signals are blocked, and come by 'set' */
  sigset_t set, mask; /* mask: to be put back */
  struct sigaction sigchld;
  char *script, *buffer;
};

/* {================================== opening ============================== */

static int host_error(const struct launch *l, const char *what) {
  return state_fail(l->st, LENCASE_EHOST, "%s: %s", what, strerror(errno));
}

/* Moves 'fd' to a number that programs do not use. */
static int out_of_the_way(int fd) {
  static const int wanted[] = {1001, 201, 11};
  int high = -1;
  size_t i;
  for (i = 0; i < sizeof wanted / sizeof *wanted && high < 0; i++)
    high = fcntl(fd, F_DUPFD_CLOEXEC, wanted[i]);
  close(fd);
  return high;
}

static int open_channel(struct launch *l) {
  int pair[2], yes = 1;
  struct stat st;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return host_error(l, "socketpair");
  l->channel = pair[0];
  l->far = out_of_the_way(pair[1]);
  if (l->far < 0 || fstat(l->far, &st) != 0 ||
      setsockopt(l->channel, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0)
    return host_error(l, "a channel for reports");
  l->far_inode = st.st_ino;
  return LENCASE_OK;
}

/* The program's script, and where the channel is. */
static int open_script(struct launch *l) {
  size_t size = strlen(l->program->script) + 32;
  l->script = malloc(size);
  l->buffer = malloc(MESSAGE_MAX);
  if (l->script == NULL || l->buffer == NULL)
    return state_fail(l->st, LENCASE_ENOMEM, "no memory for a run");
  snprintf(l->script, size, "%s" INLINE_CHANNEL "%d\n", l->program->script, l->far);
  return LENCASE_OK;
}

static int open_signals(struct launch *l) {
  struct sigaction sa = {.sa_handler = SIG_DFL};
  supervise_set(&l->set);
  sigaddset(&l->set, SIGCHLD);
  pthread_sigmask(SIG_BLOCK, &l->set, &l->mask);
  sigaction(SIGCHLD, &sa, &l->sigchld); /* were it ignored, there would be no statuses */
  l->listening = true;
  if (fcntl(l->channel, F_SETOWN, getpid()) != 0 || fcntl(l->channel, F_SETSIG, SIGCHLD) != 0 ||
      fcntl(l->channel, F_SETFL, O_ASYNC | O_NONBLOCK) != 0)
    return host_error(l, "signals of the channel for reports");
  return LENCASE_OK;
}

static void put_back_signals(const struct launch *l) {
  sigaction(SIGCHLD, &l->sigchld, NULL);
  pthread_sigmask(SIG_SETMASK, &l->mask, NULL);
}

static void launch_close(struct launch *l) {
  if (l->channel >= 0) close(l->channel);
  if (l->far >= 0) close(l->far);
  if (l->listening) put_back_signals(l);
  free(l->script);
  free(l->buffer);
}

/* }========================================================================= */

/* {================================= the child ============================= */

static void child_main(const struct launch *l, int failure) __attribute__((noreturn));

static void child_main(const struct launch *l, int failure) {
  const struct inline_program *p = l->program;
  int err;
  put_back_signals(l);
  err = fcntl(l->far, F_SETFD, 0) == 0 ? inline_exec(p->argv, p->preload, l->script) : errno;
  if (write(failure, &err, sizeof err) < 0) _exit(126);
  _exit(127);
}

/* The child is executing the program, or is gone: LENCASE_EEXEC with an errno. */
static int await_exec(struct launch *l, int failure) {
  int err = 0;
  ssize_t n;
  do n = read(failure, &err, sizeof err);
  while (n < 0 && errno == EINTR);
  if (n != (ssize_t)sizeof err) return LENCASE_OK;
  waitpid(l->root, &l->wstatus, 0);
  l->wstatus = err;
  return state_fail(l->st, LENCASE_EEXEC, "%s", strerror(err));
}

static int start_child(struct launch *l) {
  int failure[2], rc;
  if (pipe2(failure, O_CLOEXEC) != 0) return host_error(l, "pipe");
  l->root = fork();
  if (l->root == 0) child_main(l, failure[1]);
  rc = l->root > 0 ? LENCASE_OK : host_error(l, "fork");
  close(failure[1]);
  if (rc == LENCASE_OK) rc = await_exec(l, failure[0]);
  close(failure[0]);
  close(l->far);
  l->far = -1;
  return rc;
}

/* }========================================================================= */

/* {================================== signals ============================== */

/* The process that /proc/'name' is about, when it has the far end of our channel; else 0. */
static pid_t has_channel(const struct launch *l, const char *name, int fd) {
  char path[64], link[64], wanted[64];
  ssize_t n;
  snprintf(path, sizeof path, "/proc/%.20s/fd/%d", name, fd);
  snprintf(wanted, sizeof wanted, "socket:[%lu]", (unsigned long)l->far_inode);
  n = readlink(path, link, sizeof link - 1);
  link[n > 0 ? n : 0] = '\0';
  return strcmp(link, wanted) == 0 ? (pid_t)strtol(name, NULL, 10) : 0;
}

/* To the processes that the program has left behind, so that a run can be ended by a signal. */
static void hand_to_rest(const struct launch *l, int sig) {
  const char *channel = strrchr(l->script, INLINE_CHANNEL[0]) + 1;
  int fd = (int)strtol(channel, NULL, 10);
  DIR *dir = opendir("/proc");
  const struct dirent *entry;
  if (dir == NULL) return;
  while ((entry = readdir(dir)) != NULL) {
    pid_t pid = has_channel(l, entry->d_name, fd);
    if (pid > 0) kill(pid, sig);
  }
  closedir(dir);
}

static void hand_on(const struct launch *l, const siginfo_t *info) {
  int sig = info->si_signo;
  if (!l->ended && info->si_pid == l->root) return;
  if (l->ended)
    hand_to_rest(l, sig);
  else if (!supervise_heard(l->root, sig, info->si_code))
    supervise_send(l->root, -1, sig);
}

static void on_child(struct launch *l) {
  int wstatus;
  while (!l->ended && waitpid(l->root, &wstatus, WNOHANG | WUNTRACED) == l->root) {
    if (WIFSTOPPED(wstatus)) {
      supervise_stop(WSTOPSIG(wstatus), l->root, -1);
      continue;
    }
    l->wstatus = wstatus;
    l->ended = true;
  }
}

/* }========================================================================= */

/* {================================= messages ============================== */

/* Who has sent it, as the kernel says; descriptors that came along are closed. */
static pid_t sender_of(struct msghdr *m) {
  struct cmsghdr *c;
  pid_t pid = 0;
  for (c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
    struct ucred who;
    int fd;
    size_t at;
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len >= CMSG_LEN(sizeof who)) {
      memcpy(&who, CMSG_DATA(c), sizeof who);
      pid = who.pid;
    }
    for (at = 0; c->cmsg_type == SCM_RIGHTS && CMSG_LEN(at + sizeof fd) <= c->cmsg_len;
         at += sizeof fd) {
      memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
      close(fd);
    }
  }
  return pid;
}

/* False: there is none now. One that is too long is reported as an empty one. */
static bool take_message(struct launch *l) {
  union {
    char bytes[256];
    struct cmsghdr align;
  } control;
  struct iovec part = {l->buffer, MESSAGE_MAX};
  struct msghdr m = {.msg_iov = &part,
                     .msg_iovlen = 1,
                     .msg_control = control.bytes,
                     .msg_controllen = sizeof control.bytes};
  ssize_t n = recvmsg(l->channel, &m, MSG_CMSG_CLOEXEC);
  pid_t pid;
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  pid = n < 0 ? 0 : sender_of(&m);
  if (n < 0 || (n == 0 && pid == 0)) { /* no process is left that could send one */
    close(l->channel);
    l->channel = -1;
    return false;
  }
  l->program->message(l->program->ud, pid, l->buffer, (m.msg_flags & MSG_TRUNC) ? 0 : (size_t)n);
  return true;
}

/* }========================================================================= */

static void loop(struct launch *l) {
  static const struct timespec at_once = {0, 0};
  siginfo_t info;
  on_child(l);
  for (;;) {
    int sig, n = 0;
    while (n < AT_ONCE && l->channel >= 0 && take_message(l)) n++;
    if (l->ended && l->channel < 0) return;
    /* a program that sends without end does not delay signals */
    sig = sigtimedwait(&l->set, &info, n == AT_ONCE ? &at_once : NULL);
    if (sig == SIGCHLD) on_child(l);
    if (sig > 0 && sig != SIGCHLD) hand_on(l, &info);
  }
}

static int run_program(struct launch *l) {
  int before, rc = start_child(l);
  if (rc != LENCASE_OK) return rc;
  before = supervise_hide();
  loop(l);
  supervise_show(before);
  return rc;
}

int inline_run(struct lencase_state *st, const struct inline_program *program, int *wstatus) {
  struct launch l = {.st = st, .program = program, .channel = -1, .far = -1};
  int rc = inline_check_program(st, program->argv[0], program->preload);
  if (rc == LENCASE_OK) rc = open_channel(&l);
  if (rc == LENCASE_OK) rc = open_script(&l);
  if (rc == LENCASE_OK) rc = open_signals(&l);
  if (rc == LENCASE_OK) rc = run_program(&l);
  launch_close(&l);
  *wstatus = l.wstatus;
  return rc;
}
