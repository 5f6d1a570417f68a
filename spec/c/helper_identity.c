/*
** helper_identity.c - makes the calls of a plan and writes down what came of each
**
** helper_identity PLAN OUT DIR WORKERS UID
**
** spec/identity/generate.lua writes plans; the same plan is run natively and in a cage, and what
** was written down is compared. A line of a plan is one call, of words that blanks separate:
**
**   INDEX NR W0 .. W5 HOW SLOTS [.KIND ...] [ADDRESS=BYTES ...]
**
** all in hexadecimal, a word also one of $self, $tid, $parent, $child, $sem, $shm, $msg,
** $alarm; HOW is of enum
** how, SLOTS a mask of the arena's parts that the call may touch, .KIND a descriptor to open first,
** ADDRESS=BYTES what lies in the arena. A line of what came of it:
**
**   INDEX RESULT END AFTER [SLOT:RUNS:HASH:BYTES ...]
**
** RESULT: what the call returned, '-' if it did not; END: how the process ended; AFTER: a hash of
** what else can be seen of its effects; then the parts of the arena that have changed: where, in
** steps of 8 bytes, a hash of the bytes, and the first of them.
**
** DIR/bin/x is this program, where it cannot be written. Each call is made in a process of its own,
** so that one costs the others nothing; the arena and the record are shared with the worker that
** forks it. The folder t/in in a worker's folder is new for each call that needs one (t, so that a
** call on ".." does nothing to the worker).
*/

#include "raw_call.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
** The arena: of each slot 4 pages to read and write, and 2 to read; nothing lies between them. The
** last slot is a big one, all to read and write.
*/
#define ARENA 0x200000000000u
#define SLOTS 17
#define BIG (SLOTS - 1)
#define SLOT_SIZE 0x10000u
#define WRITABLE 0x4000u
#define READONLY_AT 0x8000u
#define READONLY 0x2000u
#define USED (READONLY_AT + READONLY)
#define BIG_SIZE 0x200000u
#define ARENA_SIZE ((size_t)BIG * SLOT_SIZE + BIG_SIZE)

enum how {
  HOW_TREE = 1,      /* a folder with files to work in */
  HOW_THREAD = 2,    /* by another thread than the first */
  HOW_IGNORED = 4,   /* signals come that the process ignores */
  HOW_BUSY = 8,      /* another thread makes calls all the while */
  HOW_CHILD = 16,    /* there is a child that has ended */
  HOW_FORKS = 32,    /* the call may return twice */
  HOW_GROUP = 64,    /* in a process group of its own */
  HOW_IPC = 128,     /* there are a semaphore set, a shared memory and a message queue */
  HOW_HANDLED = 512, /* signals come that have a handler, after which calls are made again */
  HOW_FORKING = 256  /* another thread forks all the while */
};

enum {
  WAIT_MS = 5000, /* a call that does not end until then is stuck */
  ALARM_MS = 100, /* what waits is interrupted after so long */
  SIGNAL_MS = 5,
  MAXFDS = 8,
  FLUSH = 32,
  NOT_MADE = 99 /* the status of a process that came to no call */
};

struct call {
  uint64_t index;
  long nr;
  const char *words[6];
  unsigned long how, slots;
  const char *kinds[MAXFDS];
  int nkinds;
  char *memory; /* the words ADDRESS=BYTES, as they stand */
};

/* What a call's process says of it. */
struct record {
  _Atomic int returned;
  int nfds, fds[MAXFDS * 2];
  long result, after;
  int sem, shm, msg;
  pid_t pid;
  _Atomic long line; /* that the worker is at */
};

static struct record *record; /* one a worker */
static timer_t alarm_timer;   /* that interrupts the call */
static struct call call;
static char *writable; /* the arena once more, all of it writable */
static char *before;   /* as it was before the call */
static char *out;
static size_t out_size;
static const char *out_path;
static int worker;

static void fail(const char *what) {
  dprintf(2, "helper_identity: %s: %s\n", what, strerror(errno));
  _exit(NOT_MADE);
}

/* {================================= the plan ============================== */

static char **lines;
static long nlines;

static void read_plan(const char *path) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st) != 0) fail(path);
  char *text = calloc(1, (size_t)st.st_size + 1);
  for (ssize_t at = 0, n; text != NULL && at < st.st_size; at += n)
    if ((n = read(fd, text + at, (size_t)(st.st_size - at))) <= 0) fail(path);
  if (text == NULL) fail("memory");
  close(fd);
  long room = 0;
  for (char *p = text, *end; (end = strchr(p, '\n')) != NULL; p = end + 1) {
    if (nlines == room) lines = realloc(lines, (size_t)(room = room * 2 + 64) * sizeof *lines);
    if (lines == NULL) fail("memory");
    *end = '\0';
    lines[nlines++] = p;
  }
}

static void read_call(const char *line) {
  static char *copy;
  char *rest, *word;
  free(copy);
  copy = strdup(line);
  memset(&call, 0, sizeof call);
  call.index = strtoull(strtok_r(copy, " ", &rest), NULL, 16);
  call.nr = (long)strtoull(strtok_r(NULL, " ", &rest), NULL, 16);
  for (int i = 0; i < 6; i++) call.words[i] = strtok_r(NULL, " ", &rest);
  call.how = strtoul(strtok_r(NULL, " ", &rest), NULL, 16);
  call.slots = strtoul(strtok_r(NULL, " ", &rest), NULL, 16);
  while (*rest == '.' && call.nkinds < MAXFDS && (word = strtok_r(NULL, " ", &rest)) != NULL)
    call.kinds[call.nkinds++] = word + 1;
  call.memory = rest;
}

static int hex_digit(char c) {
  return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Puts the bytes of the plan into the arena. */
static void place_memory(void) {
  for (char *p = call.memory; *p;) {
    uint64_t at = strtoull(p, &p, 16) - ARENA;
    for (p++; p[0] && p[0] != ' '; p += 2)
      if (at < ARENA_SIZE) writable[at++] = (char)(hex_digit(p[0]) * 16 + hex_digit(p[1]));
    while (*p == ' ') p++;
  }
}

/* The bytes of a slot that there are. */
static size_t used(size_t slot) {
  return slot == BIG ? BIG_SIZE : USED;
}

static bool slot_used(size_t slot) {
  return call.slots >> slot & 1;
}

/* Fills the slots with bytes that no call is likely to write, and places the plan's. */
static void fill_arena(void) {
  uint64_t x = call.index * 0x9e3779b97f4a7c15u + 1;
  for (size_t slot = 0; slot < SLOTS; slot++) {
    if (!slot_used(slot)) continue;
    uint64_t *words = (uint64_t *)(writable + slot * SLOT_SIZE);
    for (size_t i = 0; i < used(slot) / 8; i++) {
      x = x * 6364136223846793005u + 1442695040888963407u;
      words[i] = x | 0x8080808080808080u;
    }
  }
  place_memory();
  for (size_t slot = 0; slot < SLOTS; slot++)
    if (slot_used(slot)) memcpy(before + slot * SLOT_SIZE, writable + slot * SLOT_SIZE, used(slot));
}

/* }========================================================================== */

/* {============================== before a call ============================ */

static int make_pipe(int fds[2]) {
  return pipe(fds) != 0 || write(fds[1], "0123456789", 10) != 10 ? -1 : 0;
}

static int make_pipe_empty(int fds[2]) {
  return pipe(fds);
}
static int make_pipe_nonblock(int fds[2]) {
  return pipe2(fds, O_NONBLOCK);
}

static int make_stream(int fds[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) return -1;
  return write(fds[1], "stream", 6) == 6 ? 0 : -1;
}

static int make_dgram(int fds[2]) {
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) != 0) return -1;
  return write(fds[1], "first", 5) == 5 && write(fds[1], "second", 6) == 6 ? 0 : -1;
}

static int open_listening(void) {
  struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "listen"};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = -1;
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 5) != 0)
    fail("listen");
  other = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(other, (struct sockaddr *)&a, sizeof a) != 0) fail("connect");
  return fd;
}

static int open_epoll(void) {
  struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0x1122334455667788u};
  int fd = epoll_create1(0), event = eventfd(1, 0);
  if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, event, &e) != 0) fail("epoll");
  return fd;
}

static int open_timerfd(void) {
  struct itimerspec t = {.it_value = {0, 1}};
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  if (fd < 0 || timerfd_settime(fd, 0, &t, NULL) != 0) fail("timerfd");
  return fd;
}

static int open_signalfd(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  return signalfd(-1, &set, SFD_NONBLOCK);
}

static int open_watch(void) {
  int fd = inotify_init1(IN_NONBLOCK);
  if (fd < 0 || inotify_add_watch(fd, ".", IN_CREATE) < 0) fail("inotify");
  return fd;
}

static int open_memfd(void) {
  int fd = memfd_create("identity", MFD_ALLOW_SEALING);
  if (fd < 0 || write(fd, "memfd", 5) != 5 || lseek(fd, 0, SEEK_SET) != 0) fail("memfd");
  return fd;
}

static int open_udp(void) {
  return socket(AF_INET, SOCK_DGRAM, 0);
}
static int open_tcp(void) {
  return socket(AF_INET, SOCK_STREAM, 0);
}
static int open_unix(void) {
  return socket(AF_UNIX, SOCK_STREAM, 0);
}
static int open_eventfd(void) {
  return eventfd(3, 0);
}
static int open_pidfd(void) {
  return (int)syscall(SYS_pidfd_open, getpid(), 0);
}

/* A kind is a path, a pair, or made by a function; what a terminal echoes comes when it likes. */
static const struct kind {
  const char *name, *path;
  int flags;
  int (*pair)(int fds[2]);
  int (*open)(void);
  bool unsettled;
} kinds[] = {
    {"rw", "f", .flags = O_RDWR},
    {"ro", "f", .flags = O_RDONLY},
    {"wo", "f", .flags = O_WRONLY},
    {"append", "f", .flags = O_WRONLY | O_APPEND},
    {"dir", ".", .flags = O_RDONLY},
    {"path", "f", .flags = O_PATH},
    {"null", "/dev/null", .flags = O_RDWR},
    {"zero", "/dev/zero", .flags = O_RDWR},
    {"exe", "x", .flags = O_RDONLY},
    {"ptmx", "/dev/ptmx", .flags = O_RDWR | O_NOCTTY, .unsettled = true},
    {"pipe", .pair = make_pipe},
    {"pipe_empty", .pair = make_pipe_empty},
    {"pipe_nonblock", .pair = make_pipe_nonblock},
    {"stream", .pair = make_stream},
    {"dgram", .pair = make_dgram},
    {"listen", .open = open_listening},
    {"epoll", .open = open_epoll},
    {"timerfd", .open = open_timerfd},
    {"signalfd", .open = open_signalfd},
    {"watch", .open = open_watch},
    {"memfd", .open = open_memfd},
    {"udp", .open = open_udp},
    {"tcp", .open = open_tcp},
    {"unix", .open = open_unix},
    {"eventfd", .open = open_eventfd},
    {"pidfd", .open = open_pidfd},
};

static void note_fd(const struct kind *k, int fd) {
  if (fd < 0) fail(k->name);
  if (!k->unsettled) record->fds[record->nfds++] = fd;
}

/* Opens a descriptor of a kind; a pair's other end has the next number. */
static void open_kind(const char *name) {
  int fds[2];
  for (const struct kind *k = kinds; k < kinds + sizeof kinds / sizeof *kinds; k++) {
    if (strcmp(k->name, name) != 0) continue;
    if (k->pair == NULL) {
      note_fd(k, k->path != NULL ? open(k->path, k->flags) : k->open());
      return;
    }
    if (k->pair(fds) != 0) fail(name);
    note_fd(k, fds[0]);
    note_fd(k, fds[1]);
    return;
  }
  errno = EINVAL;
  fail(name);
}

static void make_file(const char *name, size_t size, mode_t mode) {
  char text[5000];
  int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, mode);
  for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i % 23);
  if (fd < 0 || write(fd, text, size) != (ssize_t)size) fail(name);
  close(fd);
}

static void make_tree(void) {
  if (mkdir("t", 0700) != 0 || mkdir("t/in", 0700) != 0 || chdir("t/in") != 0) fail("t/in");
  make_file("f", 5000, 0600);
  make_file("empty", 0, 0644);
  if (mkdir("d", 0755) != 0) fail("d");
  make_file("d/g", 10, 0400);
  if (symlink("f", "l") != 0 || symlink("nowhere", "dangling") != 0 ||
      symlink("../../../bin/x", "x") != 0)
    fail("links");
  if (chdir("../..") != 0) fail("../..");
}

/* What a parameter's word stands for; a number unless it begins with '$'. */
static uint64_t word_value(const char *word) {
  if (*word != '$') return strtoull(word, NULL, 16);
  switch (word[1]) {
    case 't': return (uint64_t)syscall(SYS_gettid);
    case 'p': return (uint64_t)getppid();
    case 'c': return (uint64_t)record->pid;
    case 'a': return (uint64_t)(uintptr_t)alarm_timer;
    case 'm': return (uint64_t)record->msg;
    default: break;
  }
  if (strcmp(word, "$sem") == 0) return (uint64_t)record->sem;
  if (strcmp(word, "$shm") == 0) return (uint64_t)record->shm;
  return (uint64_t)getpid();
}

static void have_child(void) {
  siginfo_t info;
  pid_t pid = fork();
  if (pid == 0) _exit(7);
  record->pid = pid;
  if (waitid(P_PID, (id_t)record->pid, &info, WEXITED | WNOWAIT) != 0) fail("waitid");
}

static void have_ipc(void) {
  record->sem = semget(IPC_PRIVATE, 3, 0600);
  record->shm = shmget(IPC_PRIVATE, 8192, 0600);
  record->msg = msgget(IPC_PRIVATE, 0600);
  if (record->sem < 0 || record->shm < 0 || record->msg < 0) fail("System V");
  struct {
    long type;
    char text[8];
  } m = {1, "message"};
  if (msgsnd(record->msg, &m, 8, 0) != 0) fail("msgsnd");
}

/* A signal to this thread after 'ms', again and again. */
static timer_t timer_in(int sig, long ms) {
  struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = sig};
  struct itimerspec t = {{0, ms * 1000000}, {0, ms * 1000000}};
  timer_t id;
  e._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  if (timer_create(CLOCK_MONOTONIC, &e, &id) != 0 || timer_settime(id, 0, &t, NULL) != 0)
    fail("timer");
  return id;
}

static void *busy(void *unused) {
  (void)unused;
  for (;;) raw(SYS_getppid, 0, 0, 0, 0, 0, 0);
  return NULL;
}

static void *forking(void *unused) {
  uint64_t none[6] = {0};
  (void)unused;
  for (;;) {
    long pid = raw_fork(SYS_fork, none);
    if (pid > 0) raw(SYS_wait4, (uint64_t)pid, 0, 0, 0, 0, 0);
    sched_yield();
  }
  return NULL;
}

/* }========================================================================== */

/* {=============================== the call ================================ */

static uint64_t mixed(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
  return hash ^ hash >> 29;
}

/* What there is to be read, which is read, so that bytes that were written are seen. */
static uint64_t look_at_waiting(uint64_t fd, uint64_t hash) {
  static char text[65536];
  int waiting = 0;
  long n = raw(SYS_ioctl, fd, FIONREAD, (uint64_t)&waiting, 0, 0, 0);
  hash = mixed(mixed(hash, (uint64_t)n), (uint64_t)waiting);
  if (n == 0 && waiting > 0) n = raw(SYS_read, fd, (uint64_t)text, sizeof text, 0, 0, 0);
  for (long i = 0; i < n; i++) hash = mixed(hash, (uint64_t)text[i]);
  return mixed(hash, (uint64_t)n);
}

/* Effects on what the call was given, and on the process. By raw calls: errno may be gone. */
static long look_at_effects(void) {
  static char cwd[4096];
  uint64_t mask = 0, hash = 0;
  for (int i = 0; i < record->nfds; i++) {
    uint64_t fd = (uint64_t)record->fds[i];
    hash = mixed(hash, (uint64_t)raw(SYS_lseek, fd, 0, SEEK_CUR, 0, 0, 0));
    hash = mixed(hash, (uint64_t)raw(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0));
    hash = look_at_waiting(fd, hash);
  }
  long n = raw(SYS_getcwd, (uint64_t)cwd, sizeof cwd, 0, 0, 0, 0);
  for (long i = 0; i < n; i++) hash = mixed(hash, (uint64_t)cwd[i]);
  raw(SYS_rt_sigprocmask, SIG_BLOCK, 0, (uint64_t)&mask, sizeof mask, 0, 0);
  return (long)mixed(mixed(hash, mask), (uint64_t)raw(SYS_umask, 0, 0, 0, 0, 0, 0));
}

/* Waits for what a call has made: it may have words to write into the arena when it ends. */
static void wait_for_new(long id) {
  long ended;
  do ended = raw(SYS_wait4, (uint64_t)id, 0, __WALL, 0, 0, 0);
  while (ended == -EINTR);
  if (ended == id) return;
  while (raw(SYS_tkill, (uint64_t)id, 0, 0, 0, 0, 0) == 0) raw(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

static void make_call(void) {
  uint64_t w[6];
  alarm_timer = timer_in(SIGALRM, ALARM_MS);
  for (int i = 0; i < 6; i++) w[i] = word_value(call.words[i]);
  if (call.how & HOW_IGNORED) timer_in(SIGWINCH, SIGNAL_MS);
  if (call.how & HOW_HANDLED) timer_in(SIGUSR1, SIGNAL_MS);
  record->result = call.how & HOW_FORKS ? raw_fork(call.nr, w)
                                        : raw(call.nr, w[0], w[1], w[2], w[3], w[4], w[5]);
  record->returned = 1;
  if (call.how & HOW_FORKS && record->result > 0) wait_for_new(record->result);
  record->after = look_at_effects();
  raw(SYS_exit_group, 0, 0, 0, 0, 0, 0);
}

static void *make_call_in_thread(void *unused) {
  sigset_t none;
  (void)unused;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, NULL);
  make_call();
  return NULL;
}

static void start_thread(void *(*f)(void *)) {
  pthread_t t;
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  if (pthread_create(&t, NULL, f, NULL) != 0) fail("a thread");
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void in_process(void) {
  if (call.how & HOW_GROUP) setpgid(0, 0);
  if (call.how & HOW_TREE && chdir("t/in") != 0) fail("t/in");
  for (int i = 0; i < call.nkinds; i++) open_kind(call.kinds[i]);
  if (call.how & HOW_CHILD) have_child();
  if (call.how & HOW_IPC) have_ipc();
  if (call.how & HOW_BUSY) start_thread(busy);
  if (call.how & HOW_FORKING) start_thread(forking);
  if (!(call.how & HOW_THREAD)) make_call();
  start_thread(make_call_in_thread);
  sigset_t all;
  sigfillset(&all);
  for (;;) ppoll(NULL, 0, NULL, &all);
}

/* }========================================================================== */

/* {============================== after a call ============================= */

static uint64_t look_at_bytes(int dir, const char *name, uint64_t hash) {
  char text[8192];
  int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  ssize_t n = fd < 0 ? -errno : read(fd, text, sizeof text);
  if (fd >= 0) close(fd);
  hash = mixed(hash, (uint64_t)n);
  for (ssize_t i = 0; i < n; i++) hash = mixed(hash, (uint64_t)text[i]);
  return hash;
}

/* A sum over a folder's entries, whatever their order, and their end: the folder is empty then. */
static uint64_t take_tree(int parent, const char *name) {
  uint64_t sum = 0;
  if (fchmodat(parent, name, 0700, 0) != 0) return 1;
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  if (dir == NULL) return 2;
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    struct stat st;
    uint64_t hash = 3;
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    for (const char *p = e->d_name; *p; p++) hash = mixed(hash, (uint64_t)*p);
    if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    hash = mixed(mixed(mixed(hash, st.st_mode), st.st_nlink),
                 S_ISDIR(st.st_mode) ? 0 : (uint64_t)st.st_size);
    hash = mixed(mixed(hash, st.st_uid), st.st_gid);
    if (S_ISREG(st.st_mode)) hash = look_at_bytes(dirfd(dir), e->d_name, hash);
    if (S_ISDIR(st.st_mode)) hash = mixed(hash, take_tree(dirfd(dir), e->d_name));
    unlinkat(dirfd(dir), e->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
    sum += hash;
  }
  closedir(dir);
  return sum;
}

static uint64_t look_at_tree(void) {
  struct stat st;
  uint64_t hash = 0;
  if (lstat("t", &st) != 0) return 1;
  if (S_ISDIR(st.st_mode)) hash = mixed(take_tree(AT_FDCWD, "t"), st.st_mode);
  if (unlinkat(AT_FDCWD, "t", S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) != 0) {
    char aside[32];
    snprintf(aside, sizeof aside, "left-%" PRIx64, call.index);
    if (rename("t", aside) != 0) fail("t");
  }
  return hash;
}

static void put(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void put(const char *fmt, ...) {
  va_list ap;
  char text[256];
  va_start(ap, fmt);
  int n = vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  out = realloc(out, out_size + (size_t)n);
  if (out == NULL) fail("memory");
  memcpy(out + out_size, text, (size_t)n);
  out_size += (size_t)n;
}

static void flush(void) {
  int fd = open(out_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, out, out_size) != (ssize_t)out_size) fail(out_path);
  close(fd);
  out_size = 0;
}

/* Where a slot has changed; at most 12 places are listed, the hash is over all. */
static void put_slot(size_t slot) {
  const uint64_t *new = (uint64_t *)(writable + slot * SLOT_SIZE);
  const uint64_t *old = (uint64_t *)(before + slot * SLOT_SIZE);
  uint64_t hash = 0;
  size_t first = SIZE_MAX;
  int listed = 0;
  if (memcmp(new, old, used(slot)) == 0) return;
  put(" %zx:", slot);
  for (size_t i = 0, end = used(slot) / 8; i < end; i++) {
    size_t from = i;
    for (; i < end && new[i] != old[i]; i++) hash = mixed(mixed(hash, i), new[i]);
    if (i == from) continue;
    if (first == SIZE_MAX) first = from;
    if (listed++ < 12) put("%s%zx+%zx", listed == 1 ? "" : ",", from * 8, (i - from) * 8);
  }
  put(":%016" PRIx64 ":", hash);
  for (size_t i = 0; i < 24; i++) put("%02x", ((const unsigned char *)(new + first))[i]);
}

static void put_end(int wstatus, bool stuck) {
  if (stuck)
    put(" stuck");
  else if (WIFSIGNALED(wstatus))
    put(" signal%d", WTERMSIG(wstatus));
  else
    put(" exit%d", WEXITSTATUS(wstatus));
}

/* Waits for the process of a call; whether it had to be ended. */
static bool wait_for(pid_t pid, int *wstatus) {
  struct timespec limit = {WAIT_MS / 1000, WAIT_MS % 1000 * 1000000};
  struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
  bool stuck = false;
  if (p.fd < 0) fail("pidfd_open");
  if (ppoll(&p, 1, &limit, NULL) == 0) {
    stuck = true;
    kill(pid, SIGKILL);
  }
  close(p.fd);
  for (;;) { /* other children: what a call had made ours, threads that it had us trace */
    pid_t ended = waitpid(-1, wstatus, __WALL);
    if (ended < 0 && errno != EINTR) fail("waitpid");
    if (ended == pid && !WIFSTOPPED(*wstatus)) break;
  }
  return stuck;
}

static void end_ipc(void) {
  if (record->sem >= 0) semctl(record->sem, 0, IPC_RMID);
  if (record->shm >= 0) shmctl(record->shm, IPC_RMID, NULL);
  if (record->msg >= 0) msgctl(record->msg, IPC_RMID, NULL);
}

static void one_call(const char *line) {
  int wstatus = 0;
  uint64_t after = 0;
  read_call(line);
  fill_arena();
  record->returned = record->nfds = 0;
  record->sem = record->shm = record->msg = -1;
  record->after = 0;
  if (call.how & HOW_TREE) make_tree();
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) in_process();
  bool stuck = wait_for(pid, &wstatus);
  if (call.how & HOW_TREE) after = look_at_tree();
  if (call.how & HOW_IPC) end_ipc();
  put("%" PRIx64, call.index);
  if (record->returned)
    put(" %ld", record->result);
  else
    put(" -");
  put_end(wstatus, stuck);
  put(" %016" PRIx64, mixed(after, (uint64_t)record->after));
  for (size_t slot = 0; slot < SLOTS; slot++)
    if (slot_used(slot)) put_slot(slot);
  put("\n");
}

/* }========================================================================== */

static void map_part(int fd, uint64_t at, size_t size, int prot) {
  if (mmap((void *)(ARENA + at), size, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, (off_t)at) ==
      MAP_FAILED)
    fail("the arena");
}

static void map_arena(void) {
  int fd = memfd_create("arena", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, (off_t)ARENA_SIZE) != 0) fail("the arena's file");
  writable = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (writable == MAP_FAILED) fail("mmap");
  const struct {
    uint64_t at;
    size_t size;
    int prot;
  } parts[] = {{0, WRITABLE, PROT_READ | PROT_WRITE}, {READONLY_AT, READONLY, PROT_READ}};
  for (size_t slot = 0; slot < BIG; slot++)
    for (size_t i = 0; i < 2; i++)
      map_part(fd, slot * SLOT_SIZE + parts[i].at, parts[i].size, parts[i].prot);
  map_part(fd, (uint64_t)BIG * SLOT_SIZE, BIG_SIZE, PROT_READ | PROT_WRITE);
  close(fd);
  before = malloc(ARENA_SIZE);
  if (before == NULL) fail("memory");
}

/*
** All calls that are this worker's, from a line on: by index, so that a call is always in the same
** folder.
*/
static void work(long line, int workers) {
  char name[32];
  snprintf(name, sizeof name, "w%d", worker);
  if ((mkdir(name, 0700) != 0 && errno != EEXIST) || chdir(name) != 0) fail(name);
  map_arena();
  if (access("t", F_OK) == 0) look_at_tree(); /* what a worker before this one left */
  for (int made = 0; line < nlines; line++) {
    if (strtol(lines[line], NULL, 16) % workers != worker) continue;
    record->line = line;
    one_call(lines[line]);
    if (++made % FLUSH == 0) flush();
  }
  record->line = nlines;
  flush();
  exit(0);
}

static void note(int sig) {
  (void)sig;
}

static void become(uid_t uid) {
  struct sigaction interrupt = {.sa_handler = note},
                   handled = {.sa_handler = note, .sa_flags = SA_RESTART};
  const struct rlimit none = {0, 0};
  if (geteuid() == 0 && uid != 0)
    if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)
      fail("setresuid");
  setrlimit(RLIMIT_CORE, &none);
  sigaction(SIGALRM, &interrupt, NULL);
  sigaction(SIGUSR1, &handled, NULL);
}

static pid_t start_worker(struct record *records, int number, long line, int workers) {
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid > 0) return pid;
  worker = number;
  record = &records[number];
  record->line = line;
  work(line, workers);
  return 0;
}

/* A worker that ended before its last line: said of the line, and the next one goes on. */
static bool go_on_after(struct record *records, pid_t *pids, int number, int workers) {
  long line = records[number].line;
  if (line >= nlines) return false;
  read_call(lines[line]);
  put("%" PRIx64 " - worker 0\n", call.index);
  flush();
  pids[number] = start_worker(records, number, line + 1, workers);
  return true;
}

/* The program x in each tree: its status tells what it was given. */
static int was_executed(char **argv) {
  uint64_t hash = 0;
  for (char **p = argv; *p != NULL; p++)
    for (char *c = *p; *c; c++) hash = mixed(hash, (uint64_t)*c);
  for (char **p = environ; *p != NULL; p++)
    for (char *c = *p; *c; c++) hash = mixed(hash, (uint64_t)*c);
  return (int)(hash & 63) + 128;
}

int main(int argc, char **argv) {
  if (argc != 6) return was_executed(argv);
  int workers = atoi(argv[4]), wstatus = 0, null = open("/dev/null", O_RDWR | O_CLOEXEC);
  pid_t pids[64];
  if (workers < 1 || workers > 64) return 2;
  read_plan(argv[1]);
  out_path = argv[2];
  become((uid_t)strtoul(argv[5], NULL, 10));
  if (chdir(argv[3]) != 0) fail(argv[3]);
  struct record *records = mmap(NULL, (size_t)workers * sizeof *records, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (records == MAP_FAILED || null < 0) fail("records");
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  close(null);
  for (int i = 0; i < workers; i++) pids[i] = start_worker(records, i, 0, workers);
  for (int left = workers; left > 0;) {
    pid_t pid = wait(&wstatus);
    if (pid < 0) break;
    for (int i = 0; i < workers; i++)
      if (pids[i] == pid && (pids[i] = 0, !go_on_after(records, pids, i, workers))) left--;
  }
  return 0;
}
