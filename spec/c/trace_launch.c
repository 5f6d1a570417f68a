/*
** trace_launch.c - how traced programs begin and end, and what a run does to its caller
** Built by `make test`; by hand: gcc -D_GNU_SOURCE -Icore spec/c/trace_launch.c
**   build/liblencase.a -llua5.4 -lseccomp -lpthread
*/

#include "trace_fixture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* {============================= cage programs ============================= */

/* How many descriptors a program begins with. */
static int cage_descriptors(void) {
  int fd, n = 0;
  for (fd = 0; fd < 256; fd++)
    if (fcntl(fd, F_GETFD) != -1) n++;
  return n;
}

static int affinity_count(void) {
  cpu_set_t set;
  must(sched_getaffinity(0, sizeof set, &set) == 0);
  return CPU_COUNT(&set);
}

/* The same answer before and in the middle of many calls, and for a child. */
static int cage_affinity(void) {
  int i, want = affinity_count(), status;
  pid_t pid;
  for (i = 0; i < 100; i++) must(getppid() > 0);
  must(affinity_count() == want);
  for (i = 0; i < 100; i++) must(getppid() > 0);
  pid = fork();
  if (pid == 0) {
    for (i = 0; i < 100; i++) must(getppid() > 0);
    _exit(affinity_count());
  }
  must(waitpid(pid, &status, 0) == pid);
  must(WEXITSTATUS(status) == want);
  return want;
}

/* Forks from now on; what children are told of CPUs, and their parents after that. */
static void fork_many(int want) {
  int i, n, status;
  for (i = 0; i < 100; i++) {
    pid_t pid;
    for (n = 0; n < 10; n++) must(getppid() > 0);
    pid = fork();
    if (pid == 0) _exit(affinity_count());
    must(waitpid(pid, &status, 0) == pid);
    must(WEXITSTATUS(status) == want);
  }
}

/*
** Each is bound now and then when it begins to fork; others stop before the fork is reported, which
** ends it.
*/
static int cage_affinity_children(void) {
  int i, want = affinity_count(), status;
  for (i = 0; i < 6; i++) {
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0) {
      fork_many(want);
      _exit(0);
    }
  }
  while (wait(&status) > 0) must(status == 0);
  return 0;
}

static void *execute_after_many(void *argv) {
  int i;
  for (i = 0; i < 100; i++) must(getppid() > 0);
  execv("/proc/self/exe", argv);
  _exit(98);
}

/* A thread that is bound executes a program, and with that is another thread by number. */
static int cage_affinity_exec(void) {
  static char name[] = "trace_launch", word[] = "cage", what[] = "affinity_count";
  static char *argv[] = {name, word, what, NULL};
  pthread_t thread;
  must(pthread_create(&thread, NULL, execute_after_many, argv) == 0);
  for (;;) pause();
}

static int cage_own_affinity(void) {
  cpu_set_t set, one, got;
  int i;
  must(sched_getaffinity(0, sizeof set, &set) == 0);
  CPU_ZERO(&one);
  for (i = 0; !CPU_ISSET((size_t)i, &set); i++)
    ;
  CPU_SET((size_t)i, &one);
  for (i = 0; i < 100; i++) must(getppid() > 0);
  must(sched_setaffinity(0, sizeof one, &one) == 0);
  for (i = 0; i < 100; i++) must(getppid() > 0);
  must(sched_getaffinity(0, sizeof got, &got) == 0 && CPU_EQUAL(&got, &one));
  must(sched_setaffinity(0, sizeof set, &set) == 0);
  for (i = 0; i < 100; i++) must(getppid() > 0);
  must(sched_getaffinity(0, sizeof got, &got) == 0 && CPU_EQUAL(&got, &set));
  return 0;
}

static int cage_many(void) {
  int i;
  for (i = 0; i < 100; i++) must(getppid() > 0);
  return 0;
}

/* Executes a program with a limit; the new program must run though there is less room for us. */
static int limited(int resource, rlim_t value) {
  struct rlimit limit = {value, value};
  must(setrlimit(resource, &limit) == 0);
  execl("/bin/sh", "sh", "-c", "exit 0", NULL); /* it asks for its parent at the start */
  return 98;
}

static int cage_little_space(void) {
  return limited(RLIMIT_AS, 64 << 20);
}

/* A sandbox of its own, which kills who makes a call that no kernel has. */
static int cage_sandboxed(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x10000, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog prog = {4, code};
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) == 0);
  must(cage_many() == 0);
  execl(self, self, "cage", "many", NULL);
  return 98;
}

/* A filter of its own that stops calls which no interface names: there is no handler to ask. */
static int cage_traps(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog prog = {4, code};
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0);
  errno = 0;
  must(syscall(SYS_getuid) == -1 && errno == ENOSYS);
  return cage_many();
}

/* Its last process outlives it. */
static int cage_orphan(void) {
  int fds[2];
  char c;
  must(pipe(fds) == 0);
  if (fork() == 0) {
    if (fork() == 0) {
      close(fds[1]);
      must(read(fds[0], &c, 1) == 0); /* until our parents are gone */
      must(getppid() > 0);
      _exit(0);
    }
    _exit(0);
  }
  return 5;
}

/* Where a cage tells that it is ready: its process. */
enum { READY = 77 };

static void tell_ready(void) {
  pid_t pid = getpid();
  must(write(READY, &pid, sizeof pid) == sizeof pid);
}

/* A socket of the test's, by which it lets a cage go on. */
enum { GO = 78 };

/* What a thread that is bound forks when it is told to; it is killed before that is told of. */
static void fork_bound(void) {
  char c;
  int i, n;
  for (i = 0; i < 100; i++) must(getppid() > 0);
  tell_ready();
  must(read(GO, &c, 1) == 1);
  if (fork() != 0) pause();
  n = affinity_count();
  must(write(GO, &n, sizeof n) == sizeof n);
}

static int cage_bereft(void) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    fork_bound();
    _exit(0);
  }
  must(waitpid(pid, &status, 0) == pid);
  return WTERMSIG(status);
}

static int cage_sleeps(void) {
  tell_ready();
  pause();
  return 1;
}

/* Leaves a process behind that only a signal ends. */
static int cage_leaves(void) {
  pid_t us = getpid();
  if (fork() != 0) return 5;
  while (getppid() == us) usleep(1000);
  tell_ready();
  pause();
  return 1;
}

static const struct cage_program cage_programs[] = {
    {"descriptors", cage_descriptors},
    {"affinity", cage_affinity},
    {"affinity_children", cage_affinity_children},
    {"affinity_exec", cage_affinity_exec},
    {"affinity_count", affinity_count},
    {"own_affinity", cage_own_affinity},
    {"many", cage_many},
    {"little_space", cage_little_space},
    {"sandboxed", cage_sandboxed},
    {"traps", cage_traps},
    {"orphan", cage_orphan},
    {"bereft", cage_bereft},
    {"sleeps", cage_sleeps},
    {"leaves", cage_leaves},
    {NULL, NULL},
};

/* }========================================================================= */

/* {================================= tests ================================= */

static void test_program(const char *name, int want) {
  int times;
  for (times = 0; times <= 2; times++) {
    struct lencase_state *st = state_fresh();
    seen.times = times;
    handle(st, SYS_getppid, as_asked);
    is_int(run_cage(st, name), want, "%s, with %d downcalls", name, times);
    is_str(log_text, "", "without a message");
    lencase_close(st);
  }
}

static void test_no_program(const char *path, int err) {
  struct lencase_state *st = state_fresh();
  char copy[64];
  char *argv[] = {copy, NULL};
  int wstatus = 0;
  snprintf(copy, sizeof copy, "%s", path);
  handle(st, SYS_execve, as_asked);
  is_int(lencase_trace_run(st, argv, &wstatus), LENCASE_EEXEC, "%s cannot be executed", path);
  is_int(wstatus, err, "and the reason is there");
  is_int(seen.starts[SYS_execve], 0, "what we do to begin is no call of the cage's");
  is_int(waitpid(-1, NULL, WNOHANG), -1, "no child is left");
  is_int(run_cage(st, "many"), 0, "the state can run another program");
  lencase_close(st);
}

static void test_bad_arguments(void) {
  struct lencase_state *st = state_fresh();
  char *none[] = {NULL};
  int wstatus;
  is_int(lencase_trace_run(st, NULL, &wstatus), LENCASE_EINVAL, "no argv");
  is_int(lencase_trace_run(st, none, &wstatus), LENCASE_EINVAL, "an empty argv");
  lencase_close(st);
}

static int inner_status;

/* A run within a run of the same state. */
static enum verdict runs(struct call *call, enum handler_event ev) {
  char *argv[] = {self, NULL};
  int wstatus;
  if (ev == HANDLER_START) inner_status = lencase_trace_run(call->cage->st, argv, &wstatus);
  return VERDICT_PASS;
}

static void test_run_in_run(void) {
  struct lencase_state *st = state_fresh();
  inner_status = 0;
  handle(st, SYS_getppid, runs);
  is_int(run_cage(st, "many"), 0, "a handler starts a run: the first goes on");
  is_int(inner_status, LENCASE_EPERM, "the second is refused");
  lencase_close(st);
}

static enum verdict ends(struct call *call, enum handler_event ev) {
  if (ev == HANDLER_START) {
    call->cage->ops->kill(call->cage);
    return call_down(call, call->nr, call->words);
  }
  if (ev == HANDLER_DROP) seen.drops++;
  return VERDICT_DONE;
}

static void test_kill(void) {
  struct lencase_state *st = state_fresh();
  handle(st, SYS_getppid, ends);
  is_int(run_cage(st, "many"), SIGKILL, "a handler ends the cage");
  is_int(seen.drops, 1, "and its call is dropped");
  lencase_close(st);
}

static char tool_dir[TEST_PATH], program32[TEST_PATH + 8];

static bool make_32bit(void) {
  char command[TEST_PATH + 256];
  snprintf(program32, sizeof program32, "%s/p32", tool_dir);
  snprintf(command, sizeof command,
           "printf '.globl _start\\n_start: mov $1,%%%%eax; mov $7,%%%%ebx; int $0x80\\n' | "
           "gcc -m32 -x assembler -nostdlib -static -o %s - >/dev/null 2>&1",
           program32);
  return system(command) == 0;
}

static void test_32bit(void) {
  struct lencase_state *st;
  char *argv[] = {program32, NULL};
  need(mkdtemp(test_path(tool_dir, "launch-XXXXXX")) != NULL);
  if (!make_32bit()) {
    note("no 32-bit program can be made here: its refusal is not tested");
  } else {
    st = state_fresh();
    handle(st, SYS_getppid, as_asked);
    is_int(run_argv(st, argv), SIGKILL, "a 32-bit program does not run");
    ok(strstr(log_text, "32-bit programs cannot run under lencase") != NULL, "and is told why");
    lencase_close(st);
    unlink(program32);
  }
  rmdir(tool_dir);
}

static void test_scarce(const char *name) {
  struct lencase_state *st = state_fresh();
  seen.times = 2;
  handle(st, SYS_getppid, as_asked);
  handle(st, SYS_mmap, as_asked);
  is_int(run_cage(st, name), 0, "%s: the program runs all the same", name);
  is_str(log_text, "", "without a message");
  lencase_close(st);
}

static void test_caller(void) {
  struct lencase_state *st = state_fresh();
  cpu_set_t before, after;
  int dumpable = prctl(PR_GET_DUMPABLE), fd, fd_after;
  need(sched_getaffinity(0, sizeof before, &before) == 0);
  fd = dup(0);
  seen.times = 1;
  handle(st, SYS_getppid, as_asked);
  is_int(run_cage(st, "many"), 0, "a run");
  fd_after = dup(0);
  need(sched_getaffinity(0, sizeof after, &after) == 0);
  ok(CPU_EQUAL(&before, &after), "leaves its caller's CPUs");
  is_int(prctl(PR_GET_DUMPABLE), dumpable, "and dumpability as they were");
  is_int(fd_after, fd + 1, "and no descriptor open");
  close(fd);
  close(fd_after);
  lencase_close(st);
}

/* A process of its own that runs a cage; its job is its process group. */
static pid_t run_as_job(const char *name, pid_t *ready) {
  int fds[2];
  pid_t pid;
  need(pipe2(fds, O_CLOEXEC) == 0);
  pid = fork();
  if (pid == 0) {
    struct lencase_state *st = state_fresh();
    int status;
    setpgid(0, 0);
    dup2(fds[1], READY);
    seen.times = 1;
    handle(st, SYS_pause, as_asked);
    handle(st, SYS_getppid, as_asked);
    status = run_cage(st, name);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status));
  }
  close(fds[1]);
  need(read(fds[0], ready, sizeof *ready) == sizeof *ready);
  close(fds[0]);
  until_asleep(*ready);
  return pid;
}

/* Ctrl-Z and fg, twice, then the end by a signal to the supervisor alone. */
static void test_job(void) {
  int i, status;
  pid_t root, pid = run_as_job("sleeps", &root);
  for (i = 0; i < 2; i++) {
    need(kill(-pid, SIGTSTP) == 0);
    need(waitpid(pid, &status, WUNTRACED) == pid);
    ok(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP, "a stopped job is seen to stop");
    need(kill(-pid, SIGCONT) == 0);
    need(waitpid(pid, &status, WCONTINUED) == pid);
    ok(WIFCONTINUED(status), "and to go on");
    until_asleep(root);
  }
  need(kill(pid, SIGTERM) == 0);
  need(waitpid(pid, &status, 0) == pid);
  is_int(status, (100 + SIGTERM) << 8, "a signal to the supervisor ends the program");
}

static void until_state(pid_t pid, const char *state) {
  char path[64], text[256] = "";
  while (strstr(text, state) == NULL) {
    FILE *f;
    usleep(1000);
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    need(f != NULL && fgets(text, sizeof text, f) != NULL);
    fclose(f);
  }
}

/* The supervisor is stopped while a thread that it has bound forks and is killed. */
static void test_bereft(void) {
  int ends[2], n = 0, status;
  pid_t pid, parent;
  need(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && dup2(ends[1], GO) == GO);
  pid = run_as_job("bereft", &parent);
  need(kill(pid, SIGSTOP) == 0);
  until_state(pid, ") T ");
  need(write(ends[0], "", 1) == 1);
  until_state(parent, ") t ");
  need(kill(parent, SIGKILL) == 0);
  until_state(parent, ") Z ");
  need(kill(pid, SIGCONT) == 0);
  need(read(ends[0], &n, sizeof n) == sizeof n);
  is_int(n, affinity_count(), "a child that is not reported has the CPUs that its parent had");
  need(waitpid(pid, &status, 0) == pid);
  is_int(status, SIGKILL << 8, "and the run ends");
  close(ends[0]);
  close(ends[1]);
  close(GO);
}

static void test_supervisor_killed(void) {
  int status;
  pid_t root, pid = run_as_job("sleeps", &root);
  need(kill(pid, SIGKILL) == 0);
  need(waitpid(pid, &status, 0) == pid);
  while (kill(root, 0) == 0) usleep(1000);
  ok(errno == ESRCH, "a cage does not outlive its supervisor");
}

static void test_left_behind(void) {
  int status;
  pid_t left, pid = run_as_job("leaves", &left);
  need(kill(pid, SIGTERM) == 0);
  need(waitpid(pid, &status, 0) == pid);
  is_int(status, 5 << 8, "a signal to the supervisor ends what the program left behind");
}

int main(int argc, char **argv) {
  fixture_begin(argc, argv);
  test_program("descriptors", run_native("descriptors"));
  test_program("affinity", run_native("affinity"));
  test_program("affinity_children", 0);
  test_program("affinity_exec", run_native("affinity"));
  test_program("own_affinity", 0);
  test_program("sandboxed", 0);
  test_program("traps", 0);
  test_program("orphan", 5 << 8);
  need(setenv("PATH", "/usr/bin:/bin", 1) == 0);
  test_no_program("/no/such/program", ENOENT);
  test_no_program("no-such-program-in-path", ENOENT);
  test_no_program("/etc/passwd", EACCES);
  test_no_program("/tmp", EACCES);
  test_bad_arguments();
  test_run_in_run();
  test_kill();
  test_32bit();
  test_scarce("little_space");
  test_caller();
  test_job();
  test_left_behind();
  test_bereft();
  test_supervisor_killed();
  return test_end();
}

/* }========================================================================= */
