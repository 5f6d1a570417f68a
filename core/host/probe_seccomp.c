/*
** probe_seccomp.c - filters, stops and listeners
*/

#include "descriptor.h"
#include "probe_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* The headers of Linux 5.19 and 6.6 have them. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

/* {================================= filters =============================== */

void probe_try_no_new_privs(struct probe_trial *trial) {
  if (!probe_went(trial, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl(PR_SET_NO_NEW_PRIVS)"))
    return;
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "prctl(PR_SET_NO_NEW_PRIVS) did nothing");
}

/*
** Loads a filter with one action for PROBE_CALL; without privilege, with no_new_privs. By
** seccomp(2); where that is refused by prctl(2), which has no flags.
*/
static int load(unsigned long flags, uint32_t action) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROBE_CALL, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog prog = {sizeof code / sizeof *code, code};
  long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
  if (rc < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
    rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
  if (rc < 0 && flags == 0) rc = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
  return (int)rc;
}

void probe_try_filter(struct probe_trial *trial) {
  if (probe_went(trial, load(0, SECCOMP_RET_ALLOW) == 0, "seccomp, prctl(PR_SET_SECCOMP)"))
    probe_found(trial, "%s", "");
}

void probe_try_seccomp(struct probe_trial *trial) {
  if (probe_went(trial, load(SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_RET_ALLOW) == 0, "seccomp"))
    probe_found(trial, "%s", "");
}

static bool is_answered(void) {
  return syscall(PROBE_CALL) == -1 && errno == PROBE_ANSWER;
}

void probe_try_constant(struct probe_trial *trial) {
  if (!probe_went(trial, load(0, SECCOMP_RET_ERRNO | PROBE_ANSWER) == 0, "seccomp")) return;
  if (is_answered())
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "SECCOMP_RET_ERRNO did not answer a call");
}

static void *thread_main(void *ud) {
  const int *gate = ud;
  char go;
  return read(*gate, &go, 1) == 1 && is_answered() ? ud : NULL;
}

void probe_try_tsync(struct probe_trial *trial) {
  pthread_t thread;
  void *answered = NULL;
  int gate[2];
  if (!probe_went(trial, pipe2(gate, O_CLOEXEC) == 0, "pipe2")) return;
  errno = pthread_create(&thread, NULL, thread_main, gate);
  if (!probe_went(trial, errno == 0, "pthread_create")) return;
  if (!probe_went(trial,
                  load(SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_RET_ERRNO | PROBE_ANSWER) == 0 &&
                      write(gate[1], "", 1) == 1,
                  "SECCOMP_FILTER_FLAG_TSYNC"))
    return;
  pthread_join(thread, &answered);
  if (answered != NULL)
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "SECCOMP_FILTER_FLAG_TSYNC left a thread without the filter");
}

/* }========================================================================= */

/* {================================== stops ================================ */

/* 'ud' not NULL: the call is made twice. */
static int call_under_trace(void *ud) {
  const bool *twice = ud;
  if (load(0, SECCOMP_RET_TRACE) != 0) return 2;
  if (*twice) syscall(PROBE_CALL);
  return syscall(PROBE_CALL) == PROBE_ANSWER ? 0 : 1;
}

/* The partner is stopped at its call. */
static bool stopped_at_call(struct probe_trial *trial, struct probe_partner *p, bool twice) {
  const unsigned long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD;
  struct __ptrace_syscall_info info = {0};
  int wstatus = 0;
  if (!probe_partner(trial, p, call_under_trace, &twice) || !probe_seize(trial, p, options))
    return false;
  probe_partner_go(p);
  if (waitpid(p->pid, &wstatus, __WALL) != p->pid ||
      wstatus >> 8 != (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
    probe_failed(trial, "SECCOMP_RET_TRACE did not stop a call");
    return false;
  }
  if (!probe_went(trial, ptrace(PTRACE_GET_SYSCALL_INFO, p->pid, sizeof info, &info) > 0,
                  "PTRACE_GET_SYSCALL_INFO"))
    return false;
  if (info.op == PTRACE_SYSCALL_INFO_SECCOMP && info.arch == AUDIT_ARCH_X86_64 &&
      info.seccomp.nr == PROBE_CALL)
    return true;
  probe_failed(trial, "PTRACE_GET_SYSCALL_INFO told of another call");
  return false;
}

/* The partner's call is replaced by 'nr', its result by PROBE_ANSWER; then it ends. */
static bool answer(struct probe_trial *trial, const struct probe_partner *p, long long nr) {
  struct user_regs_struct regs;
  int wstatus = -1;
  if (!probe_went(trial, ptrace(PTRACE_GETREGS, p->pid, 0, &regs) == 0, "PTRACE_GETREGS"))
    return false;
  regs.orig_rax = (unsigned long long)nr;
  regs.rax = PROBE_ANSWER;
  if (!probe_went(trial, ptrace(PTRACE_SETREGS, p->pid, 0, &regs) == 0, "PTRACE_SETREGS"))
    return false;
  ptrace(PTRACE_CONT, p->pid, 0, 0);
  return waitpid(p->pid, &wstatus, __WALL) == p->pid && wstatus == 0;
}

/* It runs to the end of its call, or from there to the beginning of the next one. */
static bool next_stop(struct probe_trial *trial, const struct probe_partner *p) {
  int wstatus = 0;
  if (!probe_went(trial, ptrace(PTRACE_SYSCALL, p->pid, 0, 0) == 0, "PTRACE_SYSCALL")) return false;
  if (waitpid(p->pid, &wstatus, __WALL) == p->pid && wstatus >> 8 == (SIGTRAP | 0x80)) return true;
  probe_failed(trial, "PTRACE_SYSCALL did not stop a call");
  return false;
}

void probe_try_stop(struct probe_trial *trial) {
  struct probe_partner p;
  if (!stopped_at_call(trial, &p, false) || !next_stop(trial, &p)) return;
  if (answer(trial, &p, PROBE_CALL))
    probe_found(trial, "%s", "");
  else if (trial->err == 0)
    probe_failed(trial, "a call's result could not be replaced");
}

/* A filter sees the number of a call that was stopped before it: there -1 is as any other. */
void probe_try_skip(struct probe_trial *trial) {
  struct probe_partner p;
  if (!stopped_at_call(trial, &p, true) || !next_stop(trial, &p) || !next_stop(trial, &p)) return;
  if (answer(trial, &p, -1))
    probe_found(trial, "%s", "");
  else if (trial->err == 0)
    probe_failed(trial, "a filter from outside answers a call that is skipped");
}

/* }========================================================================= */

/* {================================ listeners ============================== */

/* Another filter's listener may let calls continue that ours would have stopped. */
void probe_try_unwatched(struct probe_trial *trial) {
  if (load(SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_RET_USER_NOTIF) >= 0 || errno != EBUSY)
    probe_found(trial, "%s", "");
  else
    probe_went(trial, false, "a listener from outside is in force");
}

static int open_listener(struct probe_trial *trial, unsigned long flags) {
  int fd = load(SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, SECCOMP_RET_USER_NOTIF);
  if (fd >= 0) return fd;
  probe_went(trial, false, "seccomp(SECCOMP_FILTER_FLAG_NEW_LISTENER)");
  return fd;
}

void probe_try_listener(struct probe_trial *trial) {
  if (open_listener(trial, 0) >= 0) probe_found(trial, "%s", "");
}

/* The kernel may write more than the headers here declare. */
union notification {
  struct seccomp_notif n;
  unsigned char room[256];
};

union response {
  struct seccomp_notif_resp r;
  unsigned char room[256];
};

/* A partner under our filter makes the call: 'id' is the call's. */
static int receive(struct probe_trial *trial, int (*f)(void *ud), struct probe_partner *p,
                   uint64_t *id) {
  union notification note;
  int listener = open_listener(trial, 0);
  if (listener < 0 || !probe_partner(trial, p, f, NULL)) return -1;
  probe_partner_go(p);
  memset(note.room, 0, sizeof note.room);
  if (!probe_went(trial, ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &note) == 0,
                  "SECCOMP_IOCTL_NOTIF_RECV"))
    return -1;
  *id = note.n.id;
  return listener;
}

static int call_is_answered(void *ud) {
  (void)ud;
  return syscall(PROBE_CALL) != PROBE_ANSWER;
}

void probe_try_notify(struct probe_trial *trial) {
  struct probe_partner p;
  union response reply;
  uint64_t id;
  int listener = receive(trial, call_is_answered, &p, &id);
  if (listener < 0) return;
  memset(reply.room, 0, sizeof reply.room);
  reply.r.id = id;
  reply.r.val = PROBE_ANSWER;
  if (!probe_went(trial, ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply) == 0,
                  "SECCOMP_IOCTL_NOTIF_SEND"))
    return;
  if (probe_partner_ended(&p))
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "a call got another answer than it was sent");
}

/* The answer is a descriptor that is open, close-on-exec. */
static int call_gives_descriptor(void *ud) {
  long fd = syscall(PROBE_CALL);
  (void)ud;
  return fd < 0 || fcntl((int)fd, F_GETFD) != FD_CLOEXEC;
}

void probe_try_addfd(struct probe_trial *trial) {
  struct probe_partner p;
  struct seccomp_notif_addfd add = {.flags = SECCOMP_ADDFD_FLAG_SEND, .newfd_flags = O_CLOEXEC};
  uint64_t id;
  int listener = receive(trial, call_gives_descriptor, &p, &id);
  if (listener < 0) return;
  add.id = id;
  add.srcfd = (uint32_t)p.gate;
  if (!probe_went(trial, ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0,
                  "SECCOMP_IOCTL_NOTIF_ADDFD"))
    return;
  if (probe_partner_ended(&p))
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "no descriptor arrived");
}

void probe_try_sync_wake_up(struct probe_trial *trial) {
  int listener = open_listener(trial, 0);
  if (listener < 0) return;
  if (probe_went(
          trial,
          ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0,
          "SECCOMP_IOCTL_NOTIF_SET_FLAGS"))
    probe_found(trial, "%s", "");
}

void probe_try_wait_killable(struct probe_trial *trial) {
  if (open_listener(trial, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) >= 0)
    probe_found(trial, "%s", "");
}

/* }========================================================================= */

/* {================================ fetching =============================== */

void probe_try_pidfd_getfd(struct probe_trial *trial) {
  struct probe_partner p;
  int pidfd;
  if (!probe_partner(trial, &p, NULL, NULL)) return;
  pidfd = pidfd_open(p.pid, 0);
  if (!probe_went(trial, pidfd >= 0, "pidfd_open")) return;
  if (probe_went(trial, pidfd_getfd(pidfd, p.far, 0) >= 0, "pidfd_getfd"))
    probe_found(trial, "%s", "");
}

/* Sends the socket itself. */
static int send_descriptor(void *ud) {
  const int *fd = ud;
  return descriptor_send(*fd, *fd);
}

void probe_try_scm_rights(struct probe_trial *trial) {
  struct probe_partner p;
  int pair[2], wstatus = 0;
  if (!probe_went(trial, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0,
                  "socketpair"))
    return;
  if (!probe_partner(trial, &p, send_descriptor, &pair[1])) return;
  probe_partner_go(&p);
  waitpid(p.pid, &wstatus, 0);
  errno = WEXITSTATUS(wstatus);
  if (!probe_went(trial, wstatus == 0, "sendmsg")) return;
  if (probe_went(trial, descriptor_receive(pair[0]) >= 0, "recvmsg")) probe_found(trial, "%s", "");
}

/* }========================================================================= */
