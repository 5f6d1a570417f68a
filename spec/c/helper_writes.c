/*
** helper_writes.c - fills fresh files in each way that Linux has
**
** helper_writes MODE FOLDER: MODE is one of the table at the end. No file gets a hole and no byte
** of it is written twice, so that its size is what was written. Exits with 1, and says what
** failed, when anything does.
*/

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 500 };

static char data[8192];
static const char *folder, *self;

/* {================================= helpers ============================== */

static void check(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "helper_writes: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int open_as(const char *name, int flags) {
  char path[4096];
  int fd;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  fd = open(path, flags, 0644);
  check(fd >= 0, path);
  return fd;
}

static int fresh(const char *name) {
  return open_as(name, O_RDWR | O_CREAT | O_EXCL);
}

/* A call that shall have moved exactly 'n' bytes. */
static void moved(ssize_t done, size_t n, const char *call) {
  check(done == (ssize_t)n, call);
}

static void put(int fd, size_t n) {
  moved(write(fd, data, n), n, "write");
}

/* A file of 'n' bytes to take from, at its start. */
static int source(size_t n) {
  int fd = fresh("source");
  put(fd, n);
  check(lseek(fd, 0, SEEK_SET) == 0, "lseek");
  return fd;
}

static void await(pid_t pid) {
  int status;
  check(pid > 0, "fork");
  check(waitpid(pid, &status, 0) == pid, "waitpid");
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child");
}

/* }========================================================================= */

/* {============================ the calls that write ====================== */

static void by_write(void) {
  void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int fd = fresh("a");
  put(fd, 1);
  put(fd, 5000);
  put(fd, 0);
  check(write(fd, nowhere, 1) < 0 && errno == EFAULT, "a write from nowhere");
  check(write(1000, data, 1) < 0 && errno == EBADF, "a write to nowhere");
}

static void by_pwrite64(void) {
  int fd = fresh("a");
  moved(pwrite(fd, data, 3000, 100), 3000, "pwrite64");
  moved(pwrite(fd, data, 100, 0), 100, "pwrite64");
}

static const struct iovec pieces[] = {{data, 7}, {data + 100, 0}, {data + 200, 4096}};

static void by_writev(void) {
  moved(writev(fresh("a"), pieces, 3), 4103, "writev");
}

static void by_pwritev(void) {
  int fd = fresh("a");
  put(fd, 11);
  moved(pwritev(fd, pieces, 3, 11), 4103, "pwritev");
}

static void by_pwritev2(void) {
  int fd = fresh("a");
  put(fd, 11);
  moved(pwritev2(fd, pieces, 3, 11, 0), 4103, "pwritev2");
  moved(pwritev2(fd, pieces, 1, -1, RWF_APPEND), 7, "pwritev2 RWF_APPEND");
}

static void by_sendfile(void) {
  off_t from = 10;
  int in = source(6000), out = fresh("a");
  moved(sendfile(out, in, NULL, 4000), 4000, "sendfile");
  moved(sendfile(out, in, &from, 9000), 5990, "sendfile with an offset");
}

static void by_copy_file_range(void) {
  off_t to = 2000;
  int in = source(6000), out = fresh("a");
  moved(copy_file_range(in, NULL, out, NULL, 2000, 0), 2000, "copy_file_range");
  moved(copy_file_range(in, NULL, out, &to, 9000, 0), 4000, "copy_file_range with an offset");
}

static void by_splice(void) {
  int in = source(6000), out = fresh("a"), ends[2];
  check(pipe(ends) == 0, "pipe");
  moved(splice(in, NULL, ends[1], NULL, 3000, 0), 3000, "splice to a pipe");
  moved(splice(ends[0], NULL, out, NULL, 9000, 0), 3000, "splice from a pipe");
}

static void by_vmsplice(void) {
  const struct iovec piece = {data, 3000};
  int out = fresh("a"), ends[2];
  check(pipe(ends) == 0, "pipe");
  moved(vmsplice(ends[1], &piece, 1, 0), 3000, "vmsplice");
  moved(splice(ends[0], NULL, out, NULL, 9000, 0), 3000, "splice from a pipe");
}

/* }========================================================================= */

/* {=================== descriptors that come to mean others =============== */

static void after_dup(void) {
  int fd = fresh("a");
  put(fd, 1);
  put(dup(fd), 20);
  check(close(fd) == 0, "close");
  put(fd + 1, 300);
}

/* A descriptor that another took the place of, and one that was put on itself. */
static void after_dup2(void) {
  int a = fresh("a"), b = fresh("b");
  put(a, 1);
  put(b, 20);
  check(dup2(a, b) == b, "dup2");
  put(b, 300);
  check(dup2(a, a) == a, "dup2 on itself");
  put(a, 4000);
}

static void after_dup3(void) {
  int a = fresh("a"), b = fresh("b");
  put(a, 1);
  put(b, 20);
  check(dup3(a, b, O_CLOEXEC) == b, "dup3");
  put(b, 300);
}

static void after_fcntl(void) {
  int a = fresh("a"), b = fresh("b"), c;
  put(a, 1);
  put(b, 20);
  c = fcntl(a, F_DUPFD, 50);
  check(c == 50, "F_DUPFD");
  put(c, 300);
  check(close(c) == 0, "close");
  c = fcntl(b, F_DUPFD_CLOEXEC, 50);
  check(c == 50, "F_DUPFD_CLOEXEC");
  put(c, 4000);
}

static void after_close(void) {
  int fd = fresh("a");
  put(fd, 1);
  check(close(fd) == 0, "close");
  check(fresh("b") == fd, "the number that was closed");
  put(fd, 20);
}

static void after_close_range(void) {
  int a = fresh("a"), b = fresh("b");
  put(a, 1);
  put(b, 20);
  check(syscall(SYS_close_range, a, b, 0) == 0, "close_range");
  check(fresh("c") == a && fresh("d") == b, "the numbers that were closed");
  put(a, 300);
  put(b, 4000);
}

/* A parent opens, its child writes; what the child does with the number is its own affair. */
static void after_fork(void) {
  int fd = fresh("a");
  pid_t pid;
  put(fd, 1);
  pid = fork();
  if (pid == 0) {
    put(fd, 20);
    check(close(fd) == 0 && fresh("b") == fd, "the number that was closed");
    put(fd, 300);
    _exit(0);
  }
  await(pid);
  put(fd, 4000);
}

static pid_t clone_files(void) {
  return (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
}

/* A child that has its descriptors in common with its parent. */
static void after_clone_files(void) {
  int fd = fresh("a");
  pid_t pid;
  put(fd, 1);
  pid = clone_files();
  if (pid == 0) {
    check(close(fd) == 0 && fresh("b") == fd, "the number that was closed");
    _exit(0);
  }
  await(pid);
  put(fd, 300);
}

/* The same, and nothing was written when they came to be two. */
static void after_clone_early(void) {
  int fd = fresh("a"), go[2];
  pid_t pid;
  char byte;
  check(pipe(go) == 0, "pipe");
  pid = clone_files();
  if (pid == 0) {
    moved(read(go[0], &byte, 1), 1, "read");
    check(close(fd) == 0 && fresh("b") == fd, "the number that was closed");
    _exit(0);
  }
  put(fd, 1);
  put(go[1], 1);
  await(pid);
  put(fd, 300);
}

/* The same, until the child takes descriptors of its own. */
static void after_unshare(void) {
  int fd = fresh("a");
  pid_t pid;
  put(fd, 1);
  pid = clone_files();
  if (pid == 0) {
    check(unshare(CLONE_FILES) == 0, "unshare");
    check(close(fd) == 0 && fresh("b") == fd, "the number that was closed");
    put(fd, 20);
    _exit(0);
  }
  await(pid);
  put(fd, 300);
}

/* Begins again as MODE 'mode', which finds its descriptors as they are. */
static void exec_as(const char *mode) {
  execl(self, self, mode, folder, (char *)NULL);
  check(false, self);
}

static void after_exec_2(void) {
  int fd = fresh("b");
  check(fd == 3, "the number that exec closed");
  put(fd, 20);
  put(4, 300);
}

static void after_exec(void) {
  int closed = open_as("a", O_WRONLY | O_CREAT | O_CLOEXEC), kept = fresh("c");
  check(closed == 3 && kept == 4, "the first numbers");
  put(closed, 1);
  put(kept, 20);
  exec_as("exec-2");
}

/* }========================================================================= */

/* {=============================== many at once =========================== */

static int shared;

/* To a file of its own, and to one that all append to. */
static void *write_much(void *name) {
  int i, own = fresh(name);
  for (i = 1; i <= ROUNDS; i++) {
    put(own, (size_t)i);
    put(shared, 3);
  }
  check(close(own) == 0, "close");
  return NULL;
}

static void in_threads(void) {
  static char names[THREADS][2] = {"a", "b", "c", "d"};
  pthread_t threads[THREADS];
  int i;
  shared = open_as("shared", O_WRONLY | O_CREAT | O_APPEND);
  for (i = 0; i < THREADS; i++)
    check(pthread_create(&threads[i], NULL, write_much, names[i]) == 0, "pthread_create");
  for (i = 0; i < THREADS; i++) check(pthread_join(threads[i], NULL) == 0, "pthread_join");
}

/*
** A write that waits in the kernel while its descriptor comes to mean another file: the bytes
** went where the descriptor led when the call was made.
*/
static int ends[2];

static void *fill_pipe(void *unused) {
  static char page[1 << 17]; /* twice what a pipe holds */
  moved(write(ends[1], page, sizeof page), sizeof page, "write to a pipe");
  return unused;
}

static void in_wait(void) {
  static char page[1 << 17];
  pthread_t thread;
  size_t n;
  check(pipe(ends) == 0, "pipe");
  check(pthread_create(&thread, NULL, fill_pipe, NULL) == 0, "pthread_create");
  n = (size_t)read(ends[0], page, 1); /* the call is under way */
  check(dup2(fresh("a"), ends[1]) == ends[1], "dup2");
  while (n < sizeof page) {
    ssize_t got = read(ends[0], page, sizeof page);
    check(got > 0, "read");
    n += (size_t)got;
  }
  check(pthread_join(thread, NULL) == 0, "pthread_join");
  put(ends[1], 300);
}

/* {================================== AIO ================================= */

static struct iocb to_write(int fd, int opcode, const void *buf, size_t n, long long at) {
  return (struct iocb){.aio_lio_opcode = (uint16_t)opcode,
                       .aio_fildes = (uint32_t)fd,
                       .aio_buf = (uintptr_t)buf,
                       .aio_nbytes = n,
                       .aio_offset = at};
}

static aio_context_t new_context(void) {
  aio_context_t context = 0;
  check(syscall(SYS_io_setup, 16, &context) == 0, "io_setup");
  return context;
}

static void submit(aio_context_t context, struct iocb **list, long n, long taken) {
  check(syscall(SYS_io_submit, context, n, list) == taken, "io_submit");
}

/* The results are those wanted, in any order. */
static void get(aio_context_t context, long call, int n, long long sum) {
  struct io_event events[16];
  int i;
  check(syscall(call, context, n, 16, events, NULL, NULL) == n, "io_getevents");
  for (i = 0; i < n; i++) sum -= events[i].res;
  check(sum == 0, "what was written");
}

/* What is read counts for nothing, what fails neither, and what the kernel does not take on. */
static void by_io_submit(void) {
  aio_context_t context = new_context();
  int a = fresh("a"), b = fresh("b"), unwritable = open_as("a", O_RDONLY);
  struct iocb iocbs[] = {to_write(a, IOCB_CMD_PWRITE, data, 3000, 0),
                         to_write(b, IOCB_CMD_PWRITEV, pieces, 3, 0),
                         to_write(a, IOCB_CMD_PWRITE, data, 0, 0)};
  struct iocb more = to_write(a, IOCB_CMD_PWRITE, data, 100, 3000);
  struct iocb refused = to_write(unwritable, IOCB_CMD_PWRITE, data, 50, 0);
  struct iocb from = to_write(b, IOCB_CMD_PREAD, data, 4103, 0);
  submit(context, (struct iocb *[]){&iocbs[0], &iocbs[1], &iocbs[2]}, 3, 3);
  get(context, SYS_io_getevents, 3, 3000 + 4103);
  submit(context, (struct iocb *[]){&more, &refused, &from}, 3, 1);
  submit(context, (struct iocb *[]){&from}, 1, 1);
  get(context, SYS_io_pgetevents, 2, 100 + 4103);
  submit(context, (struct iocb *[]){&refused}, 1, -1);
  check(errno == EBADF, "io_submit to what cannot be written");
  submit(context, NULL, 0, 0);
}

/* Less is written than was asked for. */
static void by_io_submit_in_part(void) {
  aio_context_t context = new_context();
  struct iocb iocb;
  int fd;
  struct rlimit limit = {5000, 5000};
  check(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
  fd = fresh("a");
  iocb = to_write(fd, IOCB_CMD_PWRITE, data, 8000, 0);
  submit(context, (struct iocb *[]){&iocb}, 1, 1);
  get(context, SYS_io_getevents, 1, 5000);
}

/* }========================================================================= */

/* For the spec that looks whether what is written is read. */
static void much(void) {
  enum { MIB = 1 << 20 };
  char *block = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int i, fd = open("/dev/null", O_WRONLY);
  check(block != MAP_FAILED && fd >= 0, "a block and /dev/null");
  for (i = 0; i < 64; i++) moved(write(fd, block, MIB), MIB, "write");
}

/* }========================================================================= */

static const struct {
  const char *name;
  void (*run)(void);
} modes[] = {
    {"write", by_write},
    {"pwrite64", by_pwrite64},
    {"writev", by_writev},
    {"pwritev", by_pwritev},
    {"pwritev2", by_pwritev2},
    {"sendfile", by_sendfile},
    {"copy_file_range", by_copy_file_range},
    {"splice", by_splice},
    {"vmsplice", by_vmsplice},
    {"io_submit", by_io_submit},
    {"io_submit-in-part", by_io_submit_in_part},
    {"dup", after_dup},
    {"dup2", after_dup2},
    {"dup3", after_dup3},
    {"fcntl", after_fcntl},
    {"close", after_close},
    {"close_range", after_close_range},
    {"fork", after_fork},
    {"clone_files", after_clone_files},
    {"clone_early", after_clone_early},
    {"unshare", after_unshare},
    {"exec", after_exec},
    {"exec-2", after_exec_2},
    {"threads", in_threads},
    {"wait", in_wait},
    {"much", much},
};

int main(int argc, char **argv) {
  size_t i;
  check(argc == 3, "usage: helper_writes MODE FOLDER");
  self = argv[0];
  folder = argv[2];
  memset(data, 'x', sizeof data);
  for (i = 0; i < sizeof modes / sizeof *modes; i++) {
    if (strcmp(modes[i].name, argv[1]) != 0) continue;
    modes[i].run();
    return 0;
  }
  fprintf(stderr, "helper_writes: no mode %s\n", argv[1]);
  return 2;
}
