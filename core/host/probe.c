/*
** probe.c - running probes, each in a process of its own
*/

#include "probe_int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS = 10 };

/* {================================ for probes ============================= */

bool probe_went(struct probe_trial *trial, bool ok, const char *what) {
  if (ok) return true;
  trial->err = errno;
  snprintf(trial->text, sizeof trial->text, "%s", what);
  return false;
}

void probe_found(struct probe_trial *trial, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(trial->text, sizeof trial->text, fmt, ap);
  va_end(ap);
  trial->state = PROBE_OK;
}

void probe_failed(struct probe_trial *trial, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(trial->text, sizeof trial->text, fmt, ap);
  va_end(ap);
}

bool probe_partner(struct probe_trial *trial, struct probe_partner *p, int (*f)(void *ud),
                   void *ud) {
  int gate[2];
  char go;
  if (!probe_went(trial, pipe2(gate, O_CLOEXEC) == 0, "pipe2")) return false;
  p->pid = fork();
  if (p->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a probe that took too long answers no calls any more */
    close(gate[1]);
    if (read(gate[0], &go, 1) != 1) _exit(1);
    _exit(f != NULL ? f(ud) : 0);
  }
  p->gate = gate[1];
  p->far = gate[0];
  close(gate[0]);
  return probe_went(trial, p->pid > 0, "fork");
}

void probe_partner_go(const struct probe_partner *p) {
  if (write(p->gate, "", 1) != 1) kill(p->pid, SIGKILL);
}

bool probe_partner_ended(const struct probe_partner *p) {
  int wstatus = -1;
  while (waitpid(p->pid, &wstatus, __WALL) < 0 && errno == EINTR)
    ;
  return wstatus == 0;
}

long probe_status(pid_t pid, const char *name) {
  char path[64] = "/proc/self/status", line[256];
  size_t n = strlen(name);
  long value = -1;
  FILE *file;
  if (pid != 0) snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  file = fopen(path, "re");
  if (file == NULL) return -1;
  while (value < 0 && fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, name, n) == 0 && line[n] == ':') value = strtol(line + n + 1, NULL, 10);
  fclose(file);
  return value;
}

/* }========================================================================= */

/* {================================= running =============================== */

/* The parent may have left SIGALRM blocked or ignored. */
static void child_main(const struct probe *probe, struct probe_trial *trial)
    __attribute__((noreturn));

static void child_main(const struct probe *probe, struct probe_trial *trial) {
  sigset_t none;
  setpgid(0, 0);
  signal(SIGALRM, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  alarm(SECONDS);
  probe->run(trial);
  _exit(0);
}

/* A partner that is left in an unanswered call is in its process group. */
static void await_child(pid_t pid, struct probe_trial *trial) {
  int wstatus = 0;
  while (waitpid(pid, &wstatus, 0) < 0 && errno == EINTR)
    ;
  kill(-pid, SIGKILL);
  if (!WIFSIGNALED(wstatus)) return;
  trial->state = PROBE_MISSING;
  trial->err = 0;
  trial->signal = WTERMSIG(wstatus);
  trial->text[0] = '\0';
  if (trial->signal == SIGALRM) probe_failed(trial, "did not end within %d s", SECONDS);
}

/* Were SIGCHLD ignored there would be no status to wait for. */
void probe_run(const struct probe *probe, struct probe_trial *trial) {
  const struct sigaction heard = {.sa_handler = SIG_DFL};
  struct sigaction before;
  struct probe_trial *shared =
      mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t pid;
  if (!probe_went(trial, shared != MAP_FAILED, "mmap")) return;
  *shared = *trial;
  sigaction(SIGCHLD, &heard, &before);
  pid = fork();
  if (pid == 0) child_main(probe, shared);
  if (probe_went(shared, pid > 0, "fork")) await_child(pid, shared);
  sigaction(SIGCHLD, &before, NULL);
  *trial = *shared;
  munmap(shared, sizeof *shared);
}

/* }========================================================================= */

/* {================================= the list ============================== */

const struct probe probe_list[PROBE_COUNT] = {
    {"fork", "starting a program, and every probe below", NULL, {0}, probe_try_fork},
    {"kernel", "Linux on x86-64", NULL, {0}, probe_try_kernel},
    {"proc", "a program's descriptors and folders, from /proc", NULL, {0}, probe_try_proc},
    {"pids", "/proc/PID of the processes that are traced", NULL, {"proc"}, probe_try_pids},
    {"hidepid", "/proc/PID of other users' processes", NULL, {"pids"}, probe_try_hidepid},
    {"outer-filter",
     "seccomp filters from outside, which may refuse calls",
     NULL,
     {0},
     probe_try_outer_filter},
    {"sys-ptrace",
     "CAP_SYS_PTRACE: tracing other users' processes",
     NULL,
     {0},
     probe_try_sys_ptrace},
    {"clone3", "threads of programs, as newer C libraries make them", "5.3", {0}, probe_try_clone3},
    {"threads", "lencase's own thread, which forwards signals", NULL, {0}, probe_try_threads},
    {"pidfd", "sending signals to the right process", "5.3", {0}, probe_try_pidfd},
    {"ptrace", "stopping a program at its calls", NULL, {0}, probe_try_ptrace},
    {"attach",
     "attaching to a running process (lencase repl -p)",
     NULL,
     {"ptrace"},
     probe_try_attach},
    {"vm-read", "reading what arguments point to: process_vm_readv", NULL, {0}, probe_try_vm_read},
    {"vm-write",
     "filling in what arguments point to: process_vm_writev",
     NULL,
     {0},
     probe_try_vm_write},
    {"proc-mem",
     "a program's memory where these are refused: /proc/PID/mem",
     NULL,
     {"pids"},
     probe_try_proc_mem},
    {"peek",
     "reading a program's memory where those are refused: PTRACE_PEEKDATA",
     NULL,
     {"ptrace"},
     probe_try_peek},
    {"procmap-query",
     "finding a mapping of a program's quickly",
     "6.11",
     {"proc"},
     probe_try_procmap_query},
    {"no-new-privs", "loading filters without root", NULL, {0}, probe_try_no_new_privs},
    {"filter", "only calls that a script names stop", NULL, {0}, probe_try_filter},
    {"seccomp",
     "filters by seccomp(2), for the window and reloading",
     NULL,
     {0},
     probe_try_seccomp},
    {"unwatched", "no call runs before it could be stopped", NULL, {0}, probe_try_unwatched},
    {"constant", "constant answers, given by the filter", NULL, {"filter"}, probe_try_constant},
    {"tsync",
     "a further filter for all threads of a process",
     NULL,
     {"seccomp", "threads"},
     probe_try_tsync},
    {"stop",
     "a named call stops for its handler, and gets its result",
     NULL,
     {"filter", "ptrace"},
     probe_try_stop},
    {"skip", "answering a call that no filter has seen yet", NULL, {"stop"}, probe_try_skip},
    {"listener",
     "being told of calls by the filter (user notification)",
     "5.0",
     {"seccomp", "unwatched"},
     probe_try_listener},
    {"notify", "answering calls by the listener", "5.0", {"listener"}, probe_try_notify},
    {"addfd",
     "putting a descriptor into a program, by the listener",
     "5.14",
     {"notify"},
     probe_try_addfd},
    {"sync-wake-up",
     "quicker answers by the listener",
     "6.6",
     {"listener"},
     probe_try_sync_wake_up},
    {"wait-killable",
     "answers by the listener that signals do not interrupt",
     "5.19",
     {"listener"},
     probe_try_wait_killable},
    {"pidfd-getfd",
     "taking another process's descriptor; no host needs it",
     "5.6",
     {"pidfd"},
     probe_try_pidfd_getfd},
    {"scm-rights",
     "fetching the listener from the program, by a socket",
     NULL,
     {0},
     probe_try_scm_rights},
    {"memfd", "memory that lencase shares with a program", NULL, {0}, probe_try_memfd},
    {"seal",
     "sealing shared memory, so that only lencase writes to it",
     "5.1",
     {"memfd"},
     probe_try_seal},
    {"memfd-exec", "running code in shared memory", NULL, {"memfd"}, probe_try_memfd_exec},
    {"window",
     "replaced arguments, where a program cannot change them",
     NULL,
     {"seal", "memfd-exec", "proc"},
     probe_try_window},
    {"mseal", "keeping the window where it is mapped", "6.10", {0}, probe_try_mseal},
    {"dispatch",
     "calls that come to the program's own process: syscall user dispatch (--inline)",
     "5.11",
     {0},
     probe_try_dispatch},
    {"namespace",
     "libraries of grates apart from the program's: dlmopen (--inline)",
     NULL,
     {0},
     probe_try_namespace},
    {"fsgsbase",
     "changing to the grates' thread pointer quickly (--inline)",
     "5.9",
     {0},
     probe_try_fsgsbase},
    {"vdso", "clocks without a call", NULL, {0}, probe_try_vdso},
    {"landlock", "keeping a program to folders; no host needs it", "5.13", {0}, probe_try_landlock},
    {"userns", "root in a namespace of one's own; no host needs it", NULL, {0}, probe_try_userns},
};

/* The first missing one of those that the probe needs, or NULL. All need the first of the list. */
static const char *missing_need(const struct probe *probe, const struct probe_trial *trials) {
  size_t i, need;
  if (probe != probe_list && trials->state != PROBE_OK) return probe_list->name;
  for (need = 0; need < PROBE_NEEDS && probe->needs[need] != NULL; need++)
    for (i = 0; probe_list + i < probe; i++)
      if (strcmp(probe_list[i].name, probe->needs[need]) == 0 && trials[i].state != PROBE_OK)
        return probe_list[i].name;
  return NULL;
}

void probe_run_all(const char *engine, struct probe_trial trials[PROBE_COUNT]) {
  size_t i;
  for (i = 0; i < PROBE_COUNT; i++) {
    const char *need = missing_need(probe_list + i, trials);
    trials[i] = (struct probe_trial){.engine = engine};
    if (need == NULL) {
      probe_run(probe_list + i, trials + i);
      continue;
    }
    trials[i].state = PROBE_UNTRIED;
    snprintf(trials[i].text, sizeof trials[i].text, "%s", need);
  }
}

/* }========================================================================= */
