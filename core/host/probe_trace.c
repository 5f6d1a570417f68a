/*
** probe_trace.c - stopping another process, and reading and writing its memory
*/

#include "kernel.h"
#include "probe_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* {================================= stopping ============================== */

/* kernel.yama.ptrace_scope; -1: there is no Yama. */
static int yama_scope(void) {
  FILE *file = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
  int scope = -1;
  if (file == NULL) return -1;
  if (fscanf(file, "%d", &scope) != 1) scope = -1;
  fclose(file);
  return scope;
}

/* Why it was refused, as far as that can be found out. */
static void note_refusal(struct probe_trial *trial, pid_t pid) {
  long tracer;
  int scope;
  probe_went(trial, false, "PTRACE_SEIZE");
  tracer = probe_status(pid, "TracerPid");
  scope = yama_scope();
  if (tracer > 0)
    probe_failed(trial, "process %ld traces what is started here (strace, gdb, lencase)", tracer);
  else if (scope > 0)
    probe_failed(trial, "PTRACE_SEIZE, kernel.yama.ptrace_scope is %d", scope);
}

bool probe_seize(struct probe_trial *trial, const struct probe_partner *p, unsigned long options) {
  if (ptrace(PTRACE_SEIZE, p->pid, 0, options) == 0) return true;
  note_refusal(trial, p->pid);
  return false;
}

static bool stop(struct probe_trial *trial, const struct probe_partner *p) {
  struct user_regs_struct regs;
  int wstatus;
  return probe_seize(trial, p, PTRACE_O_EXITKILL) &&
         probe_went(trial, ptrace(PTRACE_INTERRUPT, p->pid, 0, 0) == 0, "PTRACE_INTERRUPT") &&
         probe_went(trial, waitpid(p->pid, &wstatus, __WALL) == p->pid, "waitpid") &&
         probe_went(trial, ptrace(PTRACE_GETREGS, p->pid, 0, &regs) == 0, "PTRACE_GETREGS");
}

void probe_try_ptrace(struct probe_trial *trial) {
  struct probe_partner p;
  if (!probe_partner(trial, &p, NULL, NULL) || !stop(trial, &p)) return;
  if (!probe_went(trial, ptrace(PTRACE_DETACH, p.pid, 0, 0) == 0, "PTRACE_DETACH")) return;
  probe_partner_go(&p);
  if (probe_partner_ended(&p))
    probe_found(trial, "a child was stopped and let go");
  else
    probe_failed(trial, "a child that was let go did not go on");
}

struct sibling {
  struct probe_trial *trial;
  const struct probe_partner *other;
};

static int seize_sibling(void *ud) {
  const struct sibling *s = ud;
  return !(stop(s->trial, s->other) && ptrace(PTRACE_DETACH, s->other->pid, 0, 0) == 0);
}

/* By a process that did not start it. */
void probe_try_attach(struct probe_trial *trial) {
  struct probe_partner target, tracer;
  struct sibling s = {trial, &target};
  if (!probe_partner(trial, &target, NULL, NULL)) return;
  if (!probe_partner(trial, &tracer, seize_sibling, &s)) return;
  probe_partner_go(&tracer);
  if (probe_partner_ended(&tracer)) probe_found(trial, "%s", "");
}

/* }========================================================================= */

/* {================================== memory =============================== */

enum { OURS = 1, THEIRS = 2, WRITTEN = 3 };

/* A word that is THEIRS in the partner, and OURS here. */
static int is_written(void *ud) {
  const volatile long *word = ud;
  return *word != WRITTEN;
}

static bool partner_with(struct probe_trial *trial, struct probe_partner *p, volatile long *word) {
  *word = THEIRS;
  if (!probe_partner(trial, p, is_written, (void *)(uintptr_t)word)) return false;
  *word = OURS;
  return true;
}

static void judge_read(struct probe_trial *trial, bool ok, const char *what, const long *word) {
  if (!probe_went(trial, ok, what)) return;
  if (*word == THEIRS)
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "%s read other bytes than were there", what);
}

static void judge_written(struct probe_trial *trial, const struct probe_partner *p, bool ok,
                          const char *what) {
  if (!probe_went(trial, ok, what)) return;
  probe_partner_go(p);
  if (probe_partner_ended(p))
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "%s wrote nothing", what);
}

void probe_try_vm_read(struct probe_trial *trial) {
  volatile long word;
  long copy = 0;
  struct iovec local = {&copy, sizeof copy}, remote = {(void *)(uintptr_t)&word, sizeof word};
  struct probe_partner p;
  if (!partner_with(trial, &p, &word)) return;
  judge_read(trial, process_vm_readv(p.pid, &local, 1, &remote, 1, 0) == (ssize_t)sizeof copy,
             "process_vm_readv", &copy);
}

void probe_try_vm_write(struct probe_trial *trial) {
  volatile long word;
  long copy = WRITTEN;
  struct iovec local = {&copy, sizeof copy}, remote = {(void *)(uintptr_t)&word, sizeof word};
  struct probe_partner p;
  if (!partner_with(trial, &p, &word)) return;
  judge_written(trial, &p,
                process_vm_writev(p.pid, &local, 1, &remote, 1, 0) == (ssize_t)sizeof copy,
                "process_vm_writev");
}

void probe_try_proc_mem(struct probe_trial *trial) {
  volatile long word;
  long copy = 0;
  off_t at = (off_t)(uintptr_t)&word;
  struct probe_partner p;
  char path[64];
  int fd;
  if (!partner_with(trial, &p, &word)) return;
  snprintf(path, sizeof path, "/proc/%d/mem", (int)p.pid);
  fd = open(path, O_RDWR | O_CLOEXEC);
  if (!probe_went(trial, fd >= 0, "open /proc/PID/mem")) return;
  judge_read(trial, pread(fd, &copy, sizeof copy, at) == (ssize_t)sizeof copy, "/proc/PID/mem",
             &copy);
  if (trial->state != PROBE_OK) return;
  trial->state = PROBE_MISSING;
  copy = WRITTEN;
  judge_written(trial, &p, pwrite(fd, &copy, sizeof copy, at) == (ssize_t)sizeof copy,
                "/proc/PID/mem");
}

void probe_try_peek(struct probe_trial *trial) {
  volatile long word;
  long copy;
  struct probe_partner p;
  if (!partner_with(trial, &p, &word) || !stop(trial, &p)) return;
  errno = 0;
  copy = ptrace(PTRACE_PEEKDATA, p.pid, &word, 0);
  judge_read(trial, errno == 0, "PTRACE_PEEKDATA", &copy);
}

void probe_try_procmap_query(struct probe_trial *trial) {
  struct map_query q = {.size = sizeof q, .addr = (uintptr_t)&q};
  int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (!probe_went(trial, fd >= 0, "open /proc/self/maps")) return;
  if (!probe_went(trial, ioctl(fd, MAP_QUERY, &q) == 0, "PROCMAP_QUERY")) return;
  if (q.start <= q.addr && q.addr < q.end)
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "PROCMAP_QUERY found another mapping");
}

/* }========================================================================= */
