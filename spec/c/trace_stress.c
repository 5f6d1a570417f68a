/*
** trace_stress.c - many processes, many threads, and a supervisor that is killed
** Built by `make test`, which runs a short form; `make stress` runs all of it.
**
** LENCASE_STRESS in the environment: all of it. LENCASE_SEED: the moments at which supervisors are
** killed.
*/

#include "trace_fixture.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

/* {============================= cage programs ============================= */

/*
** What tests leave for their cages: pipes and files under numbers of their own, and how many there
** shall be.
*/
enum { MARK = 79, LIFE = 80, CALLS = 5 };

static int number(void) {
  return atoi(getenv("NUMBER"));
}

/* All are there before one of them is let go; each makes calls, and a child of its own. */
static int one_of_many(int gate) {
  char c;
  int i, status;
  pid_t pid;
  must(read(gate, &c, 1) == 0);
  for (i = 0; i < CALLS; i++) must(getppid() > 0);
  pid = fork();
  if (pid == 0) _exit(getppid() > 0 ? 0 : 1);
  must(waitpid(pid, &status, 0) == pid && status == 0);
  return 0;
}

static int cage_processes(void) {
  int gate[2], i, status, n = number();
  must(pipe(gate) == 0);
  for (i = 0; i < n; i++) {
    pid_t pid = fork();
    must(pid >= 0);
    if (pid > 0) continue;
    close(gate[1]);
    _exit(one_of_many(gate[0]));
  }
  close(gate[1]);
  for (i = 0; i < n; i++) must(wait(&status) > 0 && status == 0);
  return 0;
}

static pthread_barrier_t all_there;

static void *make_calls(void *ud) {
  int i;
  (void)ud;
  pthread_barrier_wait(&all_there);
  for (i = 0; i < CALLS; i++) must(syscall(SYS_getppid) > 0);
  return NULL;
}

static int cage_threads(void) {
  int i, n = number();
  pthread_t *threads = calloc((size_t)n, sizeof *threads);
  pthread_attr_t attr;
  must(threads != NULL && pthread_attr_init(&attr) == 0);
  must(pthread_attr_setstacksize(&attr, 65536) == 0);
  must(pthread_barrier_init(&all_there, NULL, (unsigned)n) == 0);
  for (i = 0; i < n; i++) must(pthread_create(&threads[i], &attr, make_calls, NULL) == 0);
  for (i = 0; i < n; i++) must(pthread_join(threads[i], NULL) == 0);
  return 0;
}

/* It makes a call. */
static pid_t forked(void) {
  pid_t pid = fork();
  if (pid == 0) _exit(getppid() > 0 ? 0 : 1);
  return pid;
}

/* It executes a program. */
static pid_t vforked(void) {
  pid_t pid = vfork();
  if (pid != 0) return pid;
  execl("/bin/true", "true", NULL);
  _exit(127);
}

/* One after the other. */
static int cage_short(void) {
  int i, status, n = number();
  for (i = 0; i < n; i++) {
    pid_t pid = i % 2 == 0 ? forked() : vforked();
    must(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
  }
  return 0;
}

static void fork_on(void) {
  int status;
  for (;;) {
    pid_t pid = fork();
    if (pid == 0) _exit(getppid() > 0 ? 0 : 1);
    must(pid > 0 && waitpid(pid, &status, 0) == pid);
  }
}

/* Processes that are killed while they make others, which become ours. */
static int cage_bereft(void) {
  int i, n = number();
  must(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  for (i = 0; i < n; i++) {
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0) fork_on();
    usleep((useconds_t)random() % 3000);
    must(kill(pid, SIGKILL) == 0);
    while (waitpid(-1, NULL, 0) > 0)
      ;
    must(errno == ECHILD);
  }
  return 0;
}

static void *write_on(void *ud) {
  (void)ud;
  for (;;) must(write(MARK, "x", 1) < 0);
}

/* Processes and threads that come and go, and try to write what no handler lets through. */
static int cage_endless(void) {
  pthread_t thread;
  int status;
  must(pthread_create(&thread, NULL, write_on, NULL) == 0);
  for (;;) {
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0) {
      must(write(MARK, "x", 1) < 0 && errno == EPERM);
      must(getppid() > 0);
      must(write(MARK, "x", 1) < 0 && errno == EPERM);
      _exit(0);
    }
    must(waitpid(pid, &status, 0) == pid && status == 0);
  }
}

static const struct cage_program cage_programs[] = {
    {"processes", cage_processes}, {"threads", cage_threads}, {"short", cage_short},
    {"bereft", cage_bereft},       {"endless", cage_endless}, {NULL, NULL},
};

/* }========================================================================= */

/* {================================== counts ============================== */

static size_t in_use;

static void *count_alloc(void *ud, void *ptr, size_t osize, size_t nsize) {
  (void)ud;
  in_use += nsize - (ptr != NULL ? osize : 0);
  if (nsize != 0) return realloc(ptr, nsize);
  free(ptr);
  return NULL;
}

static int count_open(void) {
  DIR *dir = opendir("/proc/self/fd");
  int n = 0;
  need(dir != NULL);
  while (readdir(dir) != NULL) n++;
  closedir(dir);
  return n;
}

static struct lencase_state *state_counted(void) {
  static const lencase_config config = {.log = log_line, .alloc = count_alloc};
  struct lencase_state *st = lencase_new(&config);
  need(st != NULL);
  memset(&seen, 0, sizeof seen);
  memset(routes, 0, sizeof routes);
  log_text[0] = '\0';
  seen.times = 1;
  handle(st, SYS_getppid, as_asked);
  return st;
}

static int run_number(struct lencase_state *st, const char *name, int n) {
  char text[16];
  snprintf(text, sizeof text, "%d", n);
  setenv("NUMBER", text, 1);
  return run_cage(st, name);
}

/* }========================================================================= */

/* {================================= tests ================================= */

static void test_nothing_left(int open_before) {
  is_int(count_open(), open_before, "no descriptor is left");
  ok(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "no process is left");
  is_str(log_text, "", "and there is no message");
}

/* 'calls': handled ones of each process or thread. */
static void test_many(const char *name, int n, int calls) {
  struct lencase_state *st = state_counted();
  int before = count_open();
  is_int(run_number(st, name, n), 0, "%d %s at once", n, name);
  is_int(seen.starts[SYS_getppid], (long)n * calls, "each call of theirs arrives");
  is_int(seen.results, seen.starts[SYS_getppid], "and has a result");
  test_nothing_left(before);
  lencase_close(st);
  is_int(in_use, 0, "no memory is left");
}

/* A second run needs no more than the first, which had few. */
static void test_short(int n) {
  struct lencase_state *st = state_counted();
  int before = count_open();
  size_t after_few;
  is_int(run_number(st, "short", 20), 0, "20 short processes");
  after_few = in_use;
  is_int(run_number(st, "short", n), 0, "and %d more", n);
  is_int(seen.starts[SYS_getppid], (n + 20) / 2, "every other one makes a call that is handled");
  is_int(in_use, after_few, "as much memory is in use after many as after few");
  test_nothing_left(before);
  lencase_close(st);
  is_int(in_use, 0, "no memory is left");
}

static void test_bereft(int n) {
  struct lencase_state *st = state_counted();
  int before = count_open();
  is_int(run_number(st, "bereft", n), 0, "%d processes are killed while they make others", n);
  test_nothing_left(before);
  lencase_close(st);
  is_int(in_use, 0, "no memory is left");
}

static enum verdict refuse(struct call *call, enum handler_event ev) {
  if (ev == HANDLER_DROP) return VERDICT_DONE;
  if (call->words[0] != MARK) return VERDICT_PASS;
  call->result = -EPERM;
  return VERDICT_DONE;
}

/* A supervisor, which ends when it is killed. */
static void supervise(int mark, int life) {
  struct lencase_state *st = state_fresh();
  need(dup2(mark, MARK) == MARK && dup2(life, LIFE) == LIFE);
  seen.times = 1;
  handle(st, SYS_getppid, as_asked);
  handle(st, SYS_write, refuse);
  run_cage(st, "endless");
  _exit(1);
}

/* Until the last process with the pipe's other end is gone; false: one lives on. */
static bool all_gone(int life) {
  struct pollfd pfd = {.fd = life};
  return poll(&pfd, 1, 20000) == 1 && (pfd.revents & POLLHUP);
}

static bool killed_at(unsigned us, int mark) {
  int life[2], status;
  bool gone;
  pid_t pid;
  need(pipe2(life, O_CLOEXEC) == 0);
  pid = fork();
  if (pid == 0) supervise(mark, life[1]);
  close(life[1]);
  usleep(us);
  kill(pid, SIGKILL);
  need(waitpid(pid, &status, 0) == pid);
  gone = all_gone(life[0]) && WIFSIGNALED(status);
  close(life[0]);
  return gone;
}

static void test_killed(int times) {
  const char *text = getenv("LENCASE_SEED");
  unsigned seed = text != NULL ? (unsigned)atol(text) : (unsigned)getpid();
  int mark = memfd_create("mark", 0), gone = 0, i;
  struct stat stat;
  need(mark >= 0);
  note("LENCASE_SEED=%u", seed);
  srandom(seed);
  for (i = 0; i < times; i++) gone += killed_at((unsigned)random() % 60000, mark);
  is_int(gone, times, "%d times a supervisor is killed, and all that it traced is gone", times);
  need(fstat(mark, &stat) == 0);
  is_int(stat.st_size, 0, "and no call ran that it had not let through");
  close(mark);
}

int main(int argc, char **argv) {
  bool all = getenv("LENCASE_STRESS") != NULL;
  fixture_begin(argc, argv);
  test_many("processes", all ? 500 : 50, CALLS + 1);
  test_many("threads", all ? 1000 : 200, CALLS);
  test_short(all ? 10000 : 300);
  test_bereft(all ? 1000 : 100);
  test_killed(all ? 200 : 20);
  return test_end();
}

/* }========================================================================= */
