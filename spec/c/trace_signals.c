/*
** trace_signals.c - signals, interrupted calls and job control of traced programs
** Built by `make test`; by hand: gcc -D_GNU_SOURCE -Icore spec/c/trace_signals.c
**   build/liblencase.a -llua5.4 -lseccomp -lpthread
*/

#include "trace_fixture.h"

#include <poll.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <time.h>

/* {============================= cage programs ============================= */

static volatile sig_atomic_t handled;
static int tube[2], inner[2];

/* What is read at TUBE is counted; everybody reads something at other descriptors. */
enum { TUBE = 77 };

static int tube_open(void) {
  if (pipe(tube) != 0) return -1;
  tube[0] = dup2(tube[0], TUBE);
  return tube[0] == TUBE ? 0 : -1;
}

static void catch (int sig, void (*fn)(int), int flags) {
  struct sigaction sa = {.sa_handler = fn, .sa_flags = flags};
  must(sigaction(sig, &sa, NULL) == 0);
}

static void count(int sig) {
  (void)sig;
  handled++;
}

/* Counts, and makes the read that it interrupts possible. */
static void feed(int sig) {
  (void)sig;
  handled++;
  must(write(tube[1], "data", 4) == 4);
}

/* A child that sends us 'sig' once we sleep. */
static pid_t send_asleep(int sig) {
  pid_t us = getpid(), pid = fork();
  if (pid != 0) return pid;
  until_asleep(us);
  must(kill(us, sig) == 0);
  _exit(0);
}

static int reaped(pid_t pid) {
  int status;
  pid_t got;
  do {
    got = waitpid(pid, &status, 0);
  } while (got < 0 && errno == EINTR);
  must(got == pid);
  return status;
}

static int cage_restart(void) {
  char buf[8];
  pid_t pid;
  must(tube_open() == 0);
  catch (SIGUSR1, feed, SA_RESTART);
  pid = send_asleep(SIGUSR1);
  must(read(tube[0], buf, 8) == 4 && memcmp(buf, "data", 4) == 0);
  must(handled == 1);
  must(reaped(pid) == 0);
  return 0;
}

static int cage_eintr(void) {
  char buf[8] = "";
  pid_t pid;
  must(tube_open() == 0);
  catch (SIGUSR1, feed, 0);
  pid = send_asleep(SIGUSR1);
  must(read(tube[0], buf, 8) == -1 && errno == EINTR);
  must(handled == 1 && buf[0] == 0);
  must(read(tube[0], buf, 8) == 4);
  must(reaped(pid) == 0);
  return 0;
}

/* As above, seen by a grate that makes another errno of it. */
static int cage_other_errno(void) {
  char buf[8];
  pid_t pid;
  must(tube_open() == 0);
  catch (SIGUSR1, count, 0);
  pid = send_asleep(SIGUSR1);
  must(read(tube[0], buf, 8) == -1 && errno == EDOM);
  must(handled == 1);
  must(reaped(pid) == 0);
  return 0;
}

static int cage_altstack(void) {
  static char stack[65536];
  stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
  char buf[8];
  pid_t pid;
  must(sigaltstack(&ss, NULL) == 0);
  must(tube_open() == 0);
  catch (SIGUSR1, feed, SA_RESTART | SA_ONSTACK);
  pid = send_asleep(SIGUSR1);
  must(read(tube[0], buf, 8) == 4 && handled == 1);
  must(reaped(pid) == 0);
  return 0;
}

/* What is ignored does not end a sleep, and does not show. */
static int cage_ignored(void) {
  char buf[8];
  struct timespec t = {0, 50000000};
  pid_t pid;
  must(tube_open() == 0);
  must(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
  pid = send_asleep(SIGUSR2);
  must(nanosleep(&t, NULL) == 0);
  must(reaped(pid) == 0);
  pid = fork();
  if (pid == 0) {
    pid_t parent = getppid();
    until_asleep(parent);
    must(kill(parent, SIGUSR2) == 0);
    until_asleep(parent);
    must(kill(parent, SIGWINCH) == 0);
    until_asleep(parent);
    must(write(tube[1], "data", 4) == 4);
    _exit(0);
  }
  must(read(tube[0], buf, 8) == 4);
  must(reaped(pid) == 0);
  return 0;
}

static int cage_sleep_eintr(void) {
  struct timespec t = {100, 0}, rem = {0, 0};
  pid_t pid;
  catch (SIGUSR1, count, SA_RESTART);
  pid = send_asleep(SIGUSR1);
  must(nanosleep(&t, &rem) == -1 && errno == EINTR);
  must(rem.tv_sec > 50 && rem.tv_sec < 100 && handled == 1);
  must(reaped(pid) == 0);
  return 0;
}

/* Other calls that a signal ends. */
static int cage_waits(void) {
  struct pollfd pfd = {.events = POLLIN};
  struct epoll_event ev;
  sigset_t none, usr1;
  int ep = epoll_create1(0);
  pid_t pid;
  must(tube_open() == 0 && ep >= 0);
  pfd.fd = tube[0];
  sigemptyset(&none);
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  catch (SIGUSR1, count, SA_RESTART);
  pid = send_asleep(SIGUSR1);
  must(pause() == -1 && errno == EINTR && handled == 1);
  must(reaped(pid) == 0);
  pid = send_asleep(SIGUSR1);
  must(poll(&pfd, 1, -1) == -1 && errno == EINTR && handled == 2);
  must(reaped(pid) == 0);
  pid = send_asleep(SIGUSR1);
  must(epoll_wait(ep, &ev, 1, -1) == -1 && errno == EINTR && handled == 3);
  must(reaped(pid) == 0);
  must(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0);
  must(raise(SIGUSR1) == 0 && handled == 3);
  must(sigsuspend(&none) == -1 && errno == EINTR && handled == 4);
  must(raise(SIGUSR1) == 0 && handled == 4);
  must(ppoll(&pfd, 1, NULL, &none) == -1 && errno == EINTR && handled == 5);
  must(sigprocmask(SIG_BLOCK, NULL, &none) == 0 && sigismember(&none, SIGUSR1));
  return 0;
}

/* A handler with calls of its own, one of them interrupted as well. */
static void nest(int sig) {
  char c;
  pid_t pid;
  (void)sig;
  handled++;
  must(getppid() > 0);
  pid = send_asleep(SIGUSR2);
  must(read(inner[0], &c, 1) == 1 && c == 'i');
  must(reaped(pid) == 0);
  must(write(tube[1], "data", 4) == 4);
}

static void feed_inner(int sig) {
  (void)sig;
  handled++;
  must(getppid() > 0);
  must(write(inner[1], "i", 1) == 1);
}

static int cage_nested(void) {
  char buf[8];
  pid_t pid;
  must(tube_open() == 0 && pipe(inner) == 0);
  catch (SIGUSR1, nest, SA_RESTART);
  catch (SIGUSR2, feed_inner, SA_RESTART);
  pid = send_asleep(SIGUSR1);
  must(read(tube[0], buf, 8) == 4 && handled == 2);
  must(reaped(pid) == 0);
  return 0;
}

static sigjmp_buf back;

static void leave(int sig) {
  (void)sig;
  handled++;
  siglongjmp(back, 1);
}

/* The handler never returns: the next read is a new one. */
static int cage_longjmp(void) {
  char buf[8];
  int i;
  must(tube_open() == 0);
  catch (SIGUSR1, leave, SA_RESTART);
  for (i = 0; i < 8; i++) {
    pid_t pid = send_asleep(SIGUSR1);
    if (sigsetjmp(back, 1) == 0) {
      must(read(tube[0], buf, 8) == 4);
      must(false);
    }
    must(handled == i + 1);
    must(reaped(pid) == 0);
  }
  must(write(tube[1], "data", 4) == 4);
  must(read(tube[0], buf, 8) == 4);
  return 0;
}

/* Stopped and continued while it reads. */
static int cage_stopped(void) {
  int status, i;
  char buf[8];
  pid_t pid;
  must(tube_open() == 0);
  pid = fork();
  if (pid == 0) _exit((int)read(tube[0], buf, 8));
  for (i = 0; i < 3; i++) {
    until_asleep(pid);
    must(kill(pid, i == 0 ? SIGSTOP : SIGTSTP) == 0);
    must(waitpid(pid, &status, WUNTRACED) == pid);
    must(WIFSTOPPED(status) && WSTOPSIG(status) == (i == 0 ? SIGSTOP : SIGTSTP));
    must(kill(pid, SIGCONT) == 0);
    must(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
  }
  must(write(tube[1], "data", 4) == 4);
  must(reaped(pid) == 4 << 8);
  return 0;
}

static int cage_stopped_at_once(void) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    raise(SIGSTOP);
    _exit(4);
  }
  must(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
  must(kill(pid, SIGCONT) == 0);
  must(reaped(pid) == 4 << 8);
  return 0;
}

static int cage_dies(void) {
  char c;
  pid_t pid;
  must(tube_open() == 0);
  pid = send_asleep(SIGTERM);
  return pid > 0 && read(tube[0], &c, 1) == 1;
}

static int cage_kills_itself(void) {
  return kill(getpid(), SIGKILL);
}

static int cage_aborts(void) {
  signal(SIGABRT, SIG_DFL);
  abort();
}

static void fault(int sig) {
  _exit(sig == SIGSEGV ? 21 : 1);
}

static int cage_faults(void) {
  catch (SIGSEGV, fault, 0);
  __asm__ volatile("movl $1, 8");
  return 0;
}

/* A fast timer through reads and writes of whole blocks: every byte arrives. */
static int cage_storm(void) {
  enum { BLOCK = 512, N = 400 };
  struct itimerval timer = {{0, 500}, {0, 500}};
  unsigned char out[BLOCK], in[BLOCK];
  int i;
  pid_t pid;
  must(tube_open() == 0 && pipe(inner) == 0);
  pid = fork();
  if (pid == 0) {
    for (i = 0; i < N; i++) {
      must(read(tube[0], in, BLOCK) == BLOCK);
      must(write(inner[1], in, BLOCK) == BLOCK);
    }
    _exit(0);
  }
  catch (SIGALRM, count, SA_RESTART);
  must(setitimer(ITIMER_REAL, &timer, NULL) == 0);
  for (i = 0; i < N; i++) {
    memset(out, i, BLOCK);
    must(write(tube[1], out, BLOCK) == BLOCK);
    must(read(inner[0], in, BLOCK) == BLOCK);
    must(memcmp(in, out, BLOCK) == 0);
  }
  timer.it_value.tv_usec = 0;
  must(setitimer(ITIMER_REAL, &timer, NULL) == 0);
  must(reaped(pid) == 0);
  return 0;
}

static int cage_sigmask(void) {
  sigset_t set, got;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  catch (SIGUSR1, count, 0);
  must(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  must(kill(getpid(), SIGUSR1) == 0 && handled == 0);
  must(getppid() > 0 && handled == 0);
  must(sigpending(&got) == 0 && sigismember(&got, SIGUSR1));
  must(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 && handled == 1);
  must(sigprocmask(SIG_BLOCK, NULL, &got) == 0 && sigisemptyset(&got));
  return 0;
}

/* The mask and the dispositions that the caller had are the program's. */
static int cage_inherits(void) {
  struct sigaction sa;
  sigset_t got;
  int sig;
  must(sigprocmask(SIG_BLOCK, NULL, &got) == 0);
  for (sig = 1; sig < 32; sig++) must(sigismember(&got, sig) == (sig == SIGUSR2));
  must(sigaction(SIGHUP, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN);
  must(sigaction(SIGTERM, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
  must(sigaction(SIGCHLD, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN);
  return 0;
}

/* Is sent a signal by way of its supervisor, whose process its parent is. */
static int cage_relayed(void) {
  static const int sigs[] = {SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGINT, SIGQUIT};
  pid_t supervisor = getppid(), pid;
  sigset_t all, old;
  size_t i;
  sigfillset(&all);
  for (i = 0; i < sizeof sigs / sizeof *sigs; i++) {
    catch (sigs[i], count, 0);
    must(sigprocmask(SIG_BLOCK, &all, &old) == 0);
    pid = fork();
    if (pid == 0) _exit(kill(supervisor, sigs[i]) != 0);
    must(reaped(pid) == 0);
    sigdelset(&old, sigs[i]);
    must(sigsuspend(&old) == -1 && handled == (int)i + 1);
    must(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
  }
  return 0;
}

static const struct cage_program cage_programs[] = {
    {"restart", cage_restart},
    {"eintr", cage_eintr},
    {"altstack", cage_altstack},
    {"ignored", cage_ignored},
    {"sleep_eintr", cage_sleep_eintr},
    {"waits", cage_waits},
    {"nested", cage_nested},
    {"longjmp", cage_longjmp},
    {"stopped", cage_stopped},
    {"stopped_at_once", cage_stopped_at_once},
    {"dies", cage_dies},
    {"kills_itself", cage_kills_itself},
    {"aborts", cage_aborts},
    {"faults", cage_faults},
    {"storm", cage_storm},
    {"sigmask", cage_sigmask},
    {"inherits", cage_inherits}, /* from here on: with tests of their own */
    {"other_errno", cage_other_errno},
    {"relayed", cage_relayed},
    {NULL, NULL},
};

/* }========================================================================= */

/* {================================= tests ================================= */

static const int32_t calls[] = {
    SYS_read,   SYS_write,     SYS_pause,          SYS_nanosleep,     SYS_clock_nanosleep,
    SYS_poll,   SYS_ppoll,     SYS_epoll_wait,     SYS_rt_sigsuspend, SYS_getppid,
    SYS_wait4,  SYS_kill,      SYS_rt_sigprocmask, SYS_rt_sigreturn,  SYS_rt_sigaction,
    SYS_tgkill, SYS_setitimer, SYS_clone,
};

static void handle_all(struct lencase_state *st) {
  size_t i;
  for (i = 0; i < sizeof calls / sizeof *calls; i++) handle(st, calls[i], as_asked);
}

static void test_as_native(const char *name) {
  int want = run_native(name), times;
  for (times = 0; times <= 3; times++) {
    struct lencase_state *st = state_fresh();
    seen.times = times;
    handle_all(st);
    is_int(run_cage(st, name) & ~0x80, want & ~0x80, "%s with %d downcalls ends as without us",
           name, times);
    is_str(log_text, "", "without a message");
    lencase_close(st);
  }
}

static enum verdict tube_as_asked(struct call *call, enum handler_event ev) {
  return call->words[0] == TUBE ? as_asked(call, ev) : VERDICT_PASS;
}

/* However often it is interrupted, a handler sees a read once and its end once. */
static void test_once(const char *name, long reads, long drops) {
  struct lencase_state *st = state_fresh();
  seen.times = 1;
  handle(st, SYS_read, tube_as_asked);
  is_int(run_cage(st, name), 0, "%s", name);
  is_int(seen.starts[SYS_read], reads, "%s: each read arrives once", name);
  is_int(seen.results + seen.drops, seen.starts[SYS_read], "and ends once");
  is_int(seen.drops, drops, "and %ld were left by a longjmp", drops);
  lencase_close(st);
}

static int64_t down_seen;

/* Makes of an interrupted read what it likes. */
static enum verdict better_eintr(struct call *call, enum handler_event ev) {
  if (ev == HANDLER_START) return call_down(call, call->nr, call->words);
  if (ev == HANDLER_DROP) return VERDICT_DONE;
  if (call->down_result == -EINTR && call->downcalls == 1) {
    down_seen = call->down_result;
    return call_down(call, SYS_getppid, call->words); /* a call from within the signal's frame */
  }
  call->result = call->downcalls > 1 ? -EDOM : call->down_result;
  return VERDICT_DONE;
}

static void test_in_frame(void) {
  struct lencase_state *st = state_fresh();
  down_seen = 0;
  handle(st, SYS_read, better_eintr);
  is_int(run_cage(st, "other_errno"), 0, "the program sees another errno than EINTR");
  is_int(down_seen, -EINTR, "because its handler made one of it");
  lencase_close(st);
}

static void test_inherits(void) {
  struct lencase_state *st = state_fresh();
  sigset_t set, old, after;
  struct sigaction sa;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  need(sigprocmask(SIG_BLOCK, &set, &old) == 0);
  signal(SIGHUP, SIG_IGN);
  signal(SIGCHLD, SIG_IGN);
  seen.times = 1;
  handle_all(st);
  is_int(run_cage(st, "inherits"), 0, "mask and dispositions are the caller's");
  need(sigprocmask(SIG_BLOCK, NULL, &after) == 0);
  ok(memcmp(&after, &set, 8) == 0, "who has his mask back");
  need(sigaction(SIGCHLD, NULL, &sa) == 0);
  ok(sa.sa_handler == SIG_IGN, "and his SIGCHLD");
  signal(SIGHUP, SIG_DFL);
  signal(SIGCHLD, SIG_DFL);
  need(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
  lencase_close(st);
}

static void test_relayed(void) {
  struct lencase_state *st = state_fresh();
  is_int(run_cage(st, "relayed"), 0, "signals to the supervisor reach the program");
  lencase_close(st);
}

int main(int argc, char **argv) {
  const struct cage_program *p;
  fixture_begin(argc, argv);
  for (p = cage_programs; strcmp(p->name, "inherits") != 0; p++) test_as_native(p->name);
  test_once("restart", 1, 0);
  test_once("eintr", 2, 0);
  test_once("altstack", 1, 0);
  test_once("longjmp", 9, 8);
  test_in_frame();
  test_inherits();
  test_relayed();
  return test_end();
}

/* }========================================================================= */
