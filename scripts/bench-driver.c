/*
** bench-driver.c - work to be measured, and the clock
**
**   write SIZE N      N writes of SIZE bytes to /dev/null
**   direct N          N writes of 1 byte by a system call instruction of its own: lencase run
**                     --inline patches those of the C library
**   geteuid N         N calls that do next to nothing
**   spawn N           N times fork, exec of /bin/true, wait
**   compute N         two threads that compute, N rounds each, and make no calls, after one of
**                     them has made a hundred in a row
**   run PROGRAM ...   a program, once
**
**   share THREADS MS  THREADS threads make calls, all at once, for MS milliseconds: prints how
**                     many each made
**
** All but the last print the nanoseconds that one of them took. The clock is read without a system
** call.
**
**   filtered PROGRAM ...  runs a program behind a seccomp filter that allows everything: what
**                         a call costs then is the least that it can cost under any filter
*/

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double writes(long size, long n) {
  char *buf = aligned_alloc(4096, ((size_t)size + 4095) / 4096 * 4096);
  int fd = open("/dev/null", O_WRONLY);
  double start;
  long i;
  if (buf == NULL || fd < 0) fail("bench-driver");
  memset(buf, 'x', (size_t)size);
  start = now();
  for (i = 0; i < n; i++)
    if (write(fd, buf, (size_t)size) != size) fail("write");
  return (now() - start) / (double)n;
}

static long direct_write(long fd, const char *buf, size_t size) {
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(SYS_write), "D"(fd), "S"(buf), "d"(size)
                   : "rcx", "r11", "memory");
  return result;
}

static double directs(long n) {
  int fd = open("/dev/null", O_WRONLY);
  double start = now();
  long i;
  for (i = 0; i < n; i++)
    if (direct_write(fd, "x", 1) != 1) fail("write");
  return (now() - start) / (double)n;
}

static double geteuids(long n) {
  double start = now();
  long i;
  for (i = 0; i < n; i++) syscall(SYS_geteuid);
  return (now() - start) / (double)n;
}

static void spawn(char *const argv[]) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    execvp(argv[0], argv);
    _exit(127);
  }
  if (pid < 0 || waitpid(pid, &status, 0) != pid) fail("spawn");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    fprintf(stderr, "bench-driver: %s failed\n", argv[0]);
    exit(1);
  }
}

static double spawns(char *const argv[], long n) {
  double start = now();
  long i;
  for (i = 0; i < n; i++) spawn(argv);
  return (now() - start) / (double)n;
}

static void *compute(void *rounds) {
  volatile uint64_t x = 1;
  long i, n = *(long *)rounds;
  for (i = 0; i < n; i++) x = x * UINT64_C(6364136223846793005) + 1;
  return NULL;
}

static double computes(long n) {
  pthread_t other;
  double start;
  writes(1, 100);
  start = now();
  if (pthread_create(&other, NULL, compute, &n) != 0) fail("pthread_create");
  compute(&n);
  pthread_join(other, NULL);
  return (now() - start) / (double)n;
}

static pthread_barrier_t all_there;
static atomic_bool over;

static void *make_calls(void *made) {
  pthread_barrier_wait(&all_there);
  while (!over) {
    syscall(SYS_getppid);
    ++*(unsigned long *)made;
  }
  return NULL;
}

static void share(unsigned n, long ms) {
  unsigned long *made = calloc(n, sizeof *made);
  pthread_t *threads = calloc(n, sizeof *threads);
  unsigned i;
  if (made == NULL || threads == NULL) fail("bench-driver");
  if (pthread_barrier_init(&all_there, NULL, n + 1) != 0) fail("pthread_barrier_init");
  for (i = 0; i < n; i++)
    if (pthread_create(&threads[i], NULL, make_calls, &made[i]) != 0) fail("pthread_create");
  pthread_barrier_wait(&all_there);
  usleep((useconds_t)ms * 1000);
  over = true;
  for (i = 0; i < n; i++) pthread_join(threads[i], NULL);
  for (i = 0; i < n; i++) printf("%lu\n", made[i]);
}

static void filtered(char *const argv[]) {
  struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  struct sock_fprog program = {1, &allow};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("prctl");
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) fail("prctl");
  execvp(argv[0], argv);
  fail(argv[0]);
}

static double measure(int argc, char **argv) {
  char *no_work[] = {"/bin/true", NULL};
  const char *what = argc > 2 ? argv[1] : "";
  if (strcmp(what, "write") == 0 && argc == 4) return writes(atol(argv[2]), atol(argv[3]));
  if (strcmp(what, "direct") == 0) return directs(atol(argv[2]));
  if (strcmp(what, "geteuid") == 0) return geteuids(atol(argv[2]));
  if (strcmp(what, "spawn") == 0) return spawns(no_work, atol(argv[2]));
  if (strcmp(what, "compute") == 0) return computes(atol(argv[2]));
  if (strcmp(what, "run") == 0) return spawns(argv + 2, 1);
  fprintf(stderr, "bench-driver: what?\n");
  exit(2);
}

int main(int argc, char **argv) {
  if (argc > 2 && strcmp(argv[1], "filtered") == 0) filtered(argv + 2);
  if (argc == 4 && strcmp(argv[1], "share") == 0)
    share((unsigned)atol(argv[2]), atol(argv[3]));
  else
    printf("%.1f\n", measure(argc, argv));
  return 0;
}
