/*
** trace_cut.c - calls that wait, and signals and stops that the program does not see
** Built by `make test`; by hand: gcc -D_GNU_SOURCE -Icore spec/c/trace_cut.c
**   build/liblencase.a -llua5.4 -lseccomp -lpthread
**
** Each program makes every call of the table below, each in a process of its own, and writes down
** what came of it: what it writes down natively is what it has to write down in a cage.
*/

#include "trace_fixture.h"

#include "host/trace/trace.h"

#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

/* {================================ the calls ============================== */

/* What a process waits at; made before the fork, so that it can be let go. */
struct site {
  int ours, theirs, epoll, sem, listener;
  pid_t pid;
};

static struct timespec span(int ms) {
  return (struct timespec){ms / 1000, ms % 1000 * 1000000};
}

/* NULL: for ever. */
static struct timespec *limit_of(int ms, struct timespec *ts) {
  *ts = span(ms);
  return ms < 0 ? NULL : ts;
}

static long wait_epoll(const struct site *s, int ms) {
  struct epoll_event ev;
  return syscall(SYS_epoll_wait, s->epoll, &ev, 1, ms);
}

static long wait_epoll_pwait(const struct site *s, int ms) {
  struct epoll_event ev;
  return syscall(SYS_epoll_pwait, s->epoll, &ev, 1, ms, NULL, 8);
}

static long wait_epoll_pwait2(const struct site *s, int ms) {
  struct epoll_event ev;
  struct timespec ts;
  return syscall(SYS_epoll_pwait2, s->epoll, &ev, 1, limit_of(ms, &ts), NULL, 8);
}

static long wait_sigtimedwait(const struct site *s, int ms) {
  struct timespec ts;
  sigset_t set;
  (void)s;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  return syscall(SYS_rt_sigtimedwait, &set, NULL, limit_of(ms, &ts), 8);
}

static long wait_semtimedop(const struct site *s, int ms) {
  struct sembuf down = {0, -1, 0};
  struct timespec ts;
  return syscall(SYS_semtimedop, s->sem, &down, 1, limit_of(ms, &ts));
}

static long wait_io_getevents(const struct site *s, int ms) {
  aio_context_t ctx = 0;
  struct io_event ev;
  struct timespec ts;
  (void)s;
  must(syscall(SYS_io_setup, 1, &ctx) == 0);
  return syscall(SYS_io_getevents, ctx, 1, 1, &ev, limit_of(ms, &ts));
}

static void limit_socket(const struct site *s, int option, int ms) {
  struct timeval tv = {ms / 1000, ms % 1000 * 1000};
  if (ms >= 0) must(setsockopt(s->ours, SOL_SOCKET, option, &tv, sizeof tv) == 0);
}

static long wait_read(const struct site *s, int ms) {
  char c;
  limit_socket(s, SO_RCVTIMEO, ms);
  return syscall(SYS_read, s->ours, &c, 1);
}

static long wait_recvfrom(const struct site *s, int ms) {
  char c;
  limit_socket(s, SO_RCVTIMEO, ms);
  return syscall(SYS_recvfrom, s->ours, &c, 1, 0, NULL, NULL);
}

static long wait_recvmsg(const struct site *s, int ms) {
  char c;
  struct iovec iov = {&c, 1};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
  limit_socket(s, SO_RCVTIMEO, ms);
  return syscall(SYS_recvmsg, s->ours, &msg, 0);
}

/* The socket is full first. */
static long wait_sendto(const struct site *s, int ms) {
  char block[4096] = "";
  while (send(s->ours, block, sizeof block, MSG_DONTWAIT) > 0)
    ;
  while (send(s->ours, block, 1, MSG_DONTWAIT) > 0)
    ;
  limit_socket(s, SO_SNDTIMEO, ms);
  return syscall(SYS_sendto, s->ours, block, 1, 0, NULL, 0);
}

static long wait_accept(const struct site *s, int ms) {
  struct site listener = {.ours = s->listener};
  limit_socket(&listener, SO_RCVTIMEO, ms);
  return syscall(SYS_accept, s->listener, NULL, NULL) >= 0 ? 0 : -1;
}

/* -1: the queue of those that wait is full. */
static int connect_at_once(const struct site *s, int flags) {
  struct sockaddr_un addr;
  socklen_t size = sizeof addr;
  int fd = socket(AF_UNIX, SOCK_STREAM | flags, 0);
  must(fd >= 0 && getsockname(s->listener, (struct sockaddr *)&addr, &size) == 0);
  return connect(fd, (struct sockaddr *)&addr, size);
}

static long wait_connect(const struct site *s, int ms) {
  struct sockaddr_un addr;
  socklen_t size = sizeof addr;
  struct site caller = {.ours = socket(AF_UNIX, SOCK_STREAM, 0)};
  while (connect_at_once(s, SOCK_NONBLOCK) == 0)
    ;
  must(getsockname(s->listener, (struct sockaddr *)&addr, &size) == 0);
  limit_socket(&caller, SO_SNDTIMEO, ms);
  return syscall(SYS_connect, caller.ours, &addr, size);
}

/* A limit that the kernel cannot write what is left of to. */
static long wait_ppoll(const struct site *s, int ms) {
  struct timespec *ts =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct pollfd pfd = {.fd = s->ours, .events = POLLIN};
  must(ts != MAP_FAILED);
  *ts = span(ms);
  must(mprotect(ts, 4096, PROT_READ) == 0);
  return syscall(SYS_ppoll, &pfd, 1, ms < 0 ? NULL : ts, NULL, 8);
}

static long wait_pselect(const struct site *s, int ms) {
  struct timespec *ts =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fd_set set;
  must(ts != MAP_FAILED);
  *ts = span(ms);
  must(mprotect(ts, 4096, PROT_READ) == 0);
  FD_ZERO(&set);
  FD_SET(s->ours, &set);
  return syscall(SYS_pselect6, s->ours + 1, &set, NULL, NULL, ms < 0 ? NULL : ts, NULL);
}

/* Those that the kernel restarts by itself. */
static long wait_poll(const struct site *s, int ms) {
  struct pollfd pfd = {.fd = s->ours, .events = POLLIN};
  return syscall(SYS_poll, &pfd, 1, ms);
}

static long wait_select(const struct site *s, int ms) {
  struct timeval tv = {ms / 1000, ms % 1000 * 1000};
  fd_set set;
  FD_ZERO(&set);
  FD_SET(s->ours, &set);
  return syscall(SYS_select, s->ours + 1, &set, NULL, NULL, ms < 0 ? NULL : &tv);
}

static long wait_futex(const struct site *s, int ms) {
  static int word;
  struct timespec ts;
  (void)s;
  return syscall(SYS_futex, &word, FUTEX_WAIT, 0, limit_of(ms, &ts), NULL, 0);
}

static long wait_nanosleep(const struct site *s, int ms) {
  struct timespec ts = span(ms);
  (void)s;
  return syscall(SYS_nanosleep, &ts, NULL);
}

static void let_by_byte(const struct site *s) {
  must(write(s->theirs, "x", 1) == 1);
}

static void let_by_room(const struct site *s) {
  char block[4096];
  while (recv(s->theirs, block, sizeof block, MSG_DONTWAIT) > 0)
    ;
}

static void let_by_caller(const struct site *s) {
  must(connect_at_once(s, 0) == 0);
}

static void let_by_listener(const struct site *s) {
  must(accept(s->listener, NULL, NULL) >= 0);
}

static void let_by_sem(const struct site *s) {
  struct sembuf up = {0, 1, 0};
  must(semop(s->sem, &up, 1) == 0);
}

static void let_by_signal(const struct site *s) {
  must(kill(s->pid, SIGUSR2) == 0);
}

/* How each waits, and what it waits for; 'let' NULL: for its time-out alone. */
static const struct waiter {
  const char *name;
  long (*call)(const struct site *s, int ms);
  void (*let)(const struct site *s);
  bool socket; /* the time-out is the socket's */
} waiters[] = {
    {"epoll_wait", wait_epoll, let_by_byte, false},
    {"epoll_pwait", wait_epoll_pwait, let_by_byte, false},
    {"epoll_pwait2", wait_epoll_pwait2, let_by_byte, false},
    {"rt_sigtimedwait", wait_sigtimedwait, let_by_signal, false},
    {"semtimedop", wait_semtimedop, let_by_sem, false},
    {"io_getevents", wait_io_getevents, NULL, false},
    {"read", wait_read, let_by_byte, true},
    {"recvfrom", wait_recvfrom, let_by_byte, true},
    {"recvmsg", wait_recvmsg, let_by_byte, true},
    {"sendto", wait_sendto, let_by_room, true},
    {"accept", wait_accept, let_by_caller, true},
    {"connect", wait_connect, let_by_listener, true},
    {"ppoll", wait_ppoll, let_by_byte, false},
    {"pselect6", wait_pselect, let_by_byte, false},
    {"poll", wait_poll, let_by_byte, false},
    {"select", wait_select, let_by_byte, false},
    {"futex", wait_futex, NULL, false},
    {"nanosleep", wait_nanosleep, NULL, false},
};

enum { WAITERS = sizeof waiters / sizeof *waiters };

/* }========================================================================= */

/* {============================= cage programs ============================= */

/* What is written down: a line of one length for each call. */
enum { REPORT = 78, LINE = 64, STORM = 60000, TOO_SLOW = 2 };

/* Time-outs in ms, also those of cages: more where one was over before what was to happen in it. */
static int time_out(void) {
  const char *ms = getenv("TIME_OUT");
  return ms != NULL ? atoi(ms) : 200;
}

static void more_time(void) {
  char ms[16];
  snprintf(ms, sizeof ms, "%d", 2 * time_out());
  setenv("TIME_OUT", ms, 1);
}

static struct site sites[WAITERS];

static void site_open(struct site *s) {
  struct epoll_event ev = {.events = EPOLLIN};
  struct sockaddr_un any = {.sun_family = AF_UNIX};
  int pair[2];
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  s->ours = pair[0];
  s->theirs = pair[1];
  s->epoll = epoll_create1(0);
  must(s->epoll >= 0 && epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->ours, &ev) == 0);
  s->listener = socket(AF_UNIX, SOCK_STREAM, 0);
  must(bind(s->listener, (struct sockaddr *)&any, sizeof(sa_family_t)) == 0);
  must(listen(s->listener, 0) == 0);
  s->sem = semget(IPC_PRIVATE, 1, 0600);
  must(s->sem >= 0);
}

static void write_down(int i, long result, bool early) {
  char line[LINE + 1];
  int err = result < 0 ? errno : 0, used;
  used = snprintf(line, sizeof line, "%-16s result %ld errno %d%s", waiters[i].name, result, err,
                  early ? " too early" : "");
  memset(line + used, ' ', sizeof line - (size_t)used);
  line[LINE - 1] = '\n';
  must(pwrite(REPORT, line, LINE, (long)i * LINE) == LINE);
}

static int64_t now_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void wait_there(int i, int ms) {
  const struct site *s = &sites[i];
  int64_t start = now_ms();
  long result = waiters[i].call(s, ms);
  write_down(i, result, result <= 0 && errno != EINTR && now_ms() - start < ms);
  _exit(0);
}

static void nothing(int sig) {
  (void)sig;
}

/* Signals that are ignored: by default, and because the program says so. */
static const int unseen[] = {SIGCHLD, SIGWINCH, SIGURG, SIGCONT, SIGALRM, SIGHUP};

/*
** A process for each call; those that wait for nothing but their time-out alone when there is one.
*/
/*
** Whether the time-out of another process's socket can be asked for: a container's profile forbids
** it.
*/
static bool sockets_tell(void) {
  int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
  long fd = syscall(SYS_pidfd_getfd, pidfd, 0, 0);
  bool tell = fd >= 0 || (errno != EPERM && errno != ENOSYS);
  if (fd >= 0) close((int)fd);
  if (pidfd >= 0) close(pidfd);
  return tell;
}

static void begin(int ms) {
  sigset_t usr2;
  int i;
  must(signal(SIGALRM, SIG_IGN) != SIG_ERR && signal(SIGHUP, SIG_IGN) != SIG_ERR);
  must(signal(SIGUSR1, nothing) != SIG_ERR);
  sigemptyset(&usr2);
  sigaddset(&usr2, SIGUSR2);
  must(sigprocmask(SIG_BLOCK, &usr2, NULL) == 0);
  for (i = 0; i < WAITERS; i++) {
    if (ms < 0 && waiters[i].let == NULL) continue;
    if (waiters[i].socket && !sockets_tell()) continue;
    site_open(&sites[i]);
    sites[i].pid = fork();
    if (sites[i].pid == 0) wait_there(i, ms);
  }
}

static void end(int i) {
  int status;
  if (sites[i].pid == 0) return;
  must(waitpid(sites[i].pid, &status, 0) == sites[i].pid && status == 0);
  must(semctl(sites[i].sem, 0, IPC_RMID) == 0);
  sites[i].pid = 0;
}

/* They all end at their time, long before a storm of 'nsignals' kinds of signals does. */
static int ends_in_time(size_t nsignals) {
  int64_t start = now_ms();
  int i, n, left = 0;
  begin(time_out());
  for (i = 0; i < WAITERS; i++) left += sites[i].pid != 0;
  for (n = 0; left > 0; n++) {
    for (i = 0; i < WAITERS; i++) {
      siginfo_t info = {0};
      if (sites[i].pid == 0) continue;
      if (nsignals > 0) must(kill(sites[i].pid, unseen[(size_t)n % nsignals]) == 0);
      must(waitid(P_PID, (id_t)sites[i].pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0);
      if (info.si_pid == 0) continue;
      end(i);
      left--;
    }
    if (now_ms() - start > STORM) break;
    usleep(5000);
  }
  for (i = 0; i < WAITERS; i++)
    if (sites[i].pid != 0) dprintf(2, "# cage: %s goes on and on\n", waiters[i].name);
  return left;
}

static int cage_storm(void) {
  return ends_in_time(sizeof unseen / sizeof *unseen);
}

/* The same with nothing sent by us: it is the run that is halted all the time. */
static int cage_halted(void) {
  return ends_in_time(0);
}

/* Each signal once they sleep; they sleep on until they are let go. */
static int cage_let(void) {
  size_t n;
  int i;
  begin(-1);
  for (i = 0; i < WAITERS; i++) {
    if (sites[i].pid == 0) continue;
    for (n = 0; n < sizeof unseen / sizeof *unseen; n++) {
      until_asleep(sites[i].pid);
      must(kill(sites[i].pid, unseen[n]) == 0);
    }
    until_asleep(sites[i].pid);
    waiters[i].let(&sites[i]);
    end(i);
  }
  return 0;
}

/* A signal that is handled, beside one that is not. */
static int cage_caught(void) {
  int i;
  begin(10 * STORM);
  for (i = 0; i < WAITERS; i++) {
    if (sites[i].pid == 0) continue;
    until_asleep(sites[i].pid);
    must(kill(sites[i].pid, SIGWINCH) == 0);
    must(kill(sites[i].pid, SIGUSR1) == 0);
    end(i);
  }
  return 0;
}

/* Stopped and continued, while they wait. */
static int cage_stopped(void) {
  int i, result = 0;
  begin(time_out());
  for (i = 0; i < WAITERS; i++) {
    siginfo_t info;
    if (sites[i].pid == 0) continue;
    until_asleep(sites[i].pid);
    must(kill(sites[i].pid, SIGSTOP) == 0);
    must(waitid(P_PID, (id_t)sites[i].pid, &info, WSTOPPED | WEXITED | WNOWAIT) == 0);
    if (info.si_code != CLD_STOPPED) result = TOO_SLOW;
    must(kill(sites[i].pid, SIGCONT) == 0);
  }
  for (i = 0; i < WAITERS; i++) end(i);
  return result;
}

static const struct cage_program cage_programs[] = {
    {"storm", cage_storm},
    {"let", cage_let},
    {"caught", cage_caught},
    {"stopped", cage_stopped},
    {"halted", cage_halted}, /* with a test of its own */
    {NULL, NULL},
};

/* }========================================================================= */

/* {================================= tests ================================= */

static const int32_t calls[] = {
    SYS_epoll_wait,   SYS_epoll_pwait, SYS_epoll_pwait2, SYS_rt_sigtimedwait, SYS_semtimedop,
    SYS_io_getevents, SYS_read,        SYS_recvfrom,     SYS_recvmsg,         SYS_sendto,
    SYS_ppoll,        SYS_pselect6,    SYS_poll,         SYS_select,          SYS_futex,
    SYS_nanosleep,    SYS_accept,      SYS_connect,      SYS_getppid,
};

static char report[WAITERS * LINE + 1];

static const char *taken(void) {
  memset(report, 0, sizeof report);
  need(pread(REPORT, report, sizeof report - 1, 0) >= 0);
  need(ftruncate(REPORT, 0) == 0);
  return report;
}

/* 'how': how often its handler makes a call; -1: it has none. */
static struct lencase_state *state_handling(int how) {
  struct lencase_state *st = state_fresh();
  size_t i;
  seen.times = how;
  for (i = how < 0 ? sizeof calls / sizeof *calls - 1 : 0; i < sizeof calls / sizeof *calls; i++)
    handle(st, calls[i], as_asked);
  return st;
}

static bool was_too_slow(int status) {
  if (!WIFEXITED(status) || WEXITSTATUS(status) != TOO_SLOW) return false;
  more_time();
  return true;
}

static void test_as_native(const char *name, const char *want, int how) {
  struct lencase_state *st = state_handling(how);
  int status = run_cage(st, name);
  if (was_too_slow(status)) {
    lencase_close(st);
    test_as_native(name, want, how);
    return;
  }
  is_int(status, 0, "%s, %d downcalls", name, how);
  is_str(taken(), want, "each call ends as natively");
  is_str(log_text, "", "without a message");
  is_int(seen.drops, 0, "and none is dropped");
  is_int(seen.starts[SYS_epoll_wait] + seen.starts[SYS_rt_sigtimedwait], how < 0 ? 0 : 2,
         "and arrives once");
  lencase_close(st);
}

static void test_program(const char *name) {
  char want[sizeof report];
  int how, status;
  do status = run_native(name);
  while (was_too_slow(status));
  is_int(status, 0, "%s, natively", name);
  strcpy(want, taken());
  for (how = -1; how <= 2; how++) test_as_native(name, want, how);
}

static volatile int interrupted;

static void interrupt(int sig) {
  (void)sig;
  interrupted = 1;
}

static void interrupt_every(int us) {
  struct itimerval timer = {{0, us}, {0, us}};
  struct sigaction sa = {.sa_handler = interrupt, .sa_flags = SA_RESTART};
  need(sigaction(SIGALRM, &sa, NULL) == 0 && setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

/* Halted as by a person at the prompt, all the time. */
static void test_halted(const char *want, int how) {
  static const struct trace_observer observer = {.interrupt = &interrupted};
  struct lencase_state *st = state_handling(how);
  struct trace_event event = {.told = TOLD_INTERRUPT};
  struct trace_run *run;
  char *argv[] = {self, "cage", "halted", NULL};
  size_t killed;
  int err, halts = 0;
  interrupted = 0;
  need(trace_live_start(st, &observer, argv, &run, &err) == LENCASE_OK);
  interrupt_every(20000);
  for (; event.told == TOLD_INTERRUPT; halts++) {
    interrupted = 0;
    need(trace_live_go(run, false, &event) == LENCASE_OK);
  }
  interrupt_every(0);
  is_int(event.told, TOLD_END, "halted %d times, %d downcalls", halts, how);
  is_int(event.wstatus, 0, "and at its end");
  ok(halts > 3, "which was often enough");
  is_str(taken(), want, "each call ends as natively");
  is_str(log_text, "", "without a message");
  trace_live_close(run, &killed);
  lencase_close(st);
}

static void test_live(void) {
  char want[sizeof report];
  int how;
  is_int(run_native("halted"), 0, "natively");
  strcpy(want, taken());
  for (how = -1; how <= 2; how++) test_halted(want, how);
}

int main(int argc, char **argv) {
  const struct cage_program *p;
  int fd;
  fixture_begin(argc, argv);
  fd = memfd_create("report", 0);
  need(fd >= 0 && dup2(fd, REPORT) == REPORT);
  if (!sockets_tell()) ok(true, "time-outs of sockets # SKIP pidfd_getfd is refused here");
  for (p = cage_programs; strcmp(p->name, "halted") != 0; p++) test_program(p->name);
  test_live();
  return test_end();
}

/* }========================================================================= */
