/*
** probe_process.c - processes, /proc, and what the process may do
*/

#include "probe_int.h"

#include <elf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each probe is a process that was forked. */
void probe_try_fork(struct probe_trial *trial) {
  probe_found(trial, "%s", "");
}

void probe_try_kernel(struct probe_trial *trial) {
  struct utsname name;
  if (!probe_went(trial, uname(&name) == 0, "uname")) return;
  if (strcmp(name.sysname, "Linux") == 0 && strcmp(name.machine, "x86_64") == 0)
    probe_found(trial, "%.60s", name.release);
  else
    probe_failed(trial, "this is %.40s on %.40s", name.sysname, name.machine);
}

/* {================================== /proc ================================ */

void probe_try_proc(struct probe_trial *trial) {
  struct statfs fs;
  if (!probe_went(trial, statfs("/proc", &fs) == 0, "/proc")) return;
  if (fs.f_type == PROC_SUPER_MAGIC)
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "it is not mounted");
}

/* In a new pid namespace /proc may be that of the outer one, with other numbers. */
void probe_try_pids(struct probe_trial *trial) {
  char self[32];
  ssize_t n = readlink("/proc/self", self, sizeof self - 1);
  if (!probe_went(trial, n > 0, "/proc/self")) return;
  self[n] = '\0';
  if (atoi(self) == getpid())
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "/proc belongs to another pid namespace");
}

void probe_try_hidepid(struct probe_trial *trial) {
  struct stat st;
  if (stat("/proc/1", &st) == 0)
    probe_found(trial, "no process is hidden");
  else
    probe_went(trial, false, "/proc/1 (hidepid)");
}

/* Without /proc they cannot be counted. */
void probe_try_outer_filter(struct probe_trial *trial) {
  long mode = probe_status(0, "Seccomp"), filters = probe_status(0, "Seccomp_filters");
  if (mode < 0) mode = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
  if (!probe_went(trial, mode >= 0, "prctl(PR_GET_SECCOMP)")) return;
  if (mode == 0)
    probe_found(trial, "none");
  else if (filters <= 1)
    probe_found(trial, "a seccomp filter from outside is in force");
  else
    probe_found(trial, "%ld seccomp filters from outside are in force", filters);
}

/* }========================================================================= */

/* {================================ processes ============================== */

static void *thread_main(void *ud) {
  return ud;
}

void probe_try_threads(struct probe_trial *trial) {
  pthread_t thread;
  errno = pthread_create(&thread, NULL, thread_main, NULL);
  if (!probe_went(trial, errno == 0, "pthread_create")) return;
  pthread_join(thread, NULL);
  probe_found(trial, "%s", "");
}

void probe_try_clone3(struct probe_trial *trial) {
  struct clone_args args = {.exit_signal = SIGCHLD};
  long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) _exit(0);
  if (!probe_went(trial, pid > 0, "clone3")) return;
  waitpid((pid_t)pid, NULL, 0);
  probe_found(trial, "%s", "");
}

void probe_try_pidfd(struct probe_trial *trial) {
  int pidfd = pidfd_open(getpid(), 0);
  if (!probe_went(trial, pidfd >= 0, "pidfd_open")) return;
  if (probe_went(trial, pidfd_send_signal(pidfd, 0, NULL, 0) == 0, "pidfd_send_signal"))
    probe_found(trial, "%s", "");
}

/* }========================================================================= */

/* {============================ what it may do ============================= */

void probe_try_sys_ptrace(struct probe_trial *trial) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  if (!probe_went(trial, syscall(SYS_capget, &header, data) == 0, "capget")) return;
  if (data[0].effective & (1U << CAP_SYS_PTRACE))
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "this process does not have it");
}

void probe_try_userns(struct probe_trial *trial) {
  if (probe_went(trial, unshare(CLONE_NEWUSER) == 0, "unshare")) probe_found(trial, "%s", "");
}

void probe_try_landlock(struct probe_trial *trial) {
  const struct landlock_ruleset_attr attr = {.handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE};
  long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (!probe_went(trial, abi > 0, "landlock_create_ruleset")) return;
  if (probe_went(trial, syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0) >= 0,
                 "landlock_create_ruleset"))
    probe_found(trial, "ABI %ld", abi);
}

void probe_try_vdso(struct probe_trial *trial) {
  const void *vdso = (const void *)getauxval(AT_SYSINFO_EHDR); /* NOLINT */
  if (vdso != NULL && memcmp(vdso, ELFMAG, SELFMAG) == 0)
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "there is none");
}

/* }========================================================================= */
