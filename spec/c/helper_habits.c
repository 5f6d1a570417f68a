/*
** helper_habits.c - what programs do with threads, signals and processes, and what they see of it
**
** habits NAME: does one of them and prints what it saw. The same with grates and without.
*/

#include "raw_call.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

extern char **environ;
static int ends[2];

static void say(const char *what, long n) {
  printf("%s %ld\n", what, n);
  fflush(stdout);
}

static void alarm_in(long ms) {
  struct itimerval t = {{0, 0}, {0, ms * 1000}};
  setitimer(ITIMER_REAL, &t, NULL);
}

static void on(int sig, void (*f)(int), int flags) {
  struct sigaction sa = {.sa_handler = f, .sa_flags = flags};
  sigfillset(&sa.sa_mask);
  sigaction(sig, &sa, NULL);
}

/* {================================= signals =============================== */

static volatile sig_atomic_t came;

static void note(int sig) {
  char c = 'h';
  came = sig;
  if (write(ends[1], &c, 1) != 1) came = -1; /* a call of a handler's */
}

static void note_only(int sig) {
  came = sig;
  if (getppid() < 0) came = -1;
}

static void interrupted(void) {
  char c = 0;
  on(SIGALRM, note_only, 0);
  alarm_in(50);
  say("read", read(ends[0], &c, 1));
  say("EINTR", errno == EINTR);
  say("signal", came);
}

static void restarted(void) {
  char c = 0;
  on(SIGALRM, note, SA_RESTART);
  alarm_in(50);
  say("read", read(ends[0], &c, 1));
  say("byte", c);
}

static sigjmp_buf back;

static void leap(int sig) {
  (void)sig;
  siglongjmp(back, 1);
}

static void leaps(void) {
  char c;
  volatile int i;
  on(SIGALRM, leap, 0);
  for (i = 0; i < 20; i++) {
    if (sigsetjmp(back, 1) == 0) {
      alarm_in(5);
      say("never", read(ends[0], &c, 1));
    }
  }
  say("write", write(ends[1], "x", 1));
  say("read", read(ends[0], &c, 1));
}

static void masks(void) {
  sigset_t all, old, pending;
  struct timespec soon = {0, 1000000};
  sigfillset(&all);
  on(SIGUSR1, note_only, 0);
  say("block", sigprocmask(SIG_SETMASK, &all, &old));
  raise(SIGUSR1);
  say("came", came);
  sigpending(&pending);
  say("pending", sigismember(&pending, SIGUSR1));
  say("write", write(ends[1], "x", 1)); /* SIGSYS is blocked, as the program sees it */
  sigdelset(&all, SIGUSR1);
  say("suspend", sigsuspend(&all));
  say("came", came);
  sigprocmask(SIG_SETMASK, NULL, &pending);
  say("still", sigismember(&pending, SIGUSR1));
  say("restore", sigprocmask(SIG_SETMASK, &old, NULL));
  sigfillset(&all);
  say("pselect", pselect(0, NULL, NULL, NULL, &soon, &all));
}

static long on_alternate;
static char alternate[65536];

static void where(int sig) {
  char here;
  (void)sig;
  on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
  if (write(ends[1], "x", 1) != 1) on_alternate = -1;
}

static void stacks(void) {
  stack_t s = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
  say("set", sigaltstack(&s, NULL));
  on(SIGUSR1, where, SA_ONSTACK);
  raise(SIGUSR1);
  say("on it", on_alternate);
  say("get", sigaltstack(NULL, &old));
  say("same", old.ss_sp == alternate && old.ss_size == sizeof alternate && old.ss_flags == 0);
  s.ss_size = 10;
  say("small", sigaltstack(&s, NULL));
  s.ss_flags = SS_DISABLE;
  say("off", sigaltstack(&s, &old));
  say("get", sigaltstack(NULL, &old));
  say("disabled", old.ss_flags);
  say("size", (long)old.ss_size);
}

static void segv(int sig, siginfo_t *info, void *context) {
  (void)context;
  say("fault", sig == SIGSEGV && info->si_addr == (void *)16);
  _exit(4);
}

static void faults(void) {
  struct sigaction sa = {.sa_sigaction = segv, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &sa, NULL);
  volatile uintptr_t nowhere = 16;
  *(volatile char *)nowhere = 1;
}

static void own_sigsys(void) {
  struct sigaction sa = {.sa_handler = note_only}, old;
  say("install", sigaction(SIGSYS, &sa, &old));
  say("was", old.sa_handler == SIG_DFL);
  say("write", write(ends[1], "x", 1));
  raise(SIGSYS);
  say("came", came == SIGSYS);
  say("get", sigaction(SIGSYS, NULL, &old));
  say("is", old.sa_handler == note_only);
}

/* A filter of the program's own that answers getpgid by a signal. */
static void trap_getpgid(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {4, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  say("filter", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
}

static void emulate(int sig, siginfo_t *info, void *context) {
  ucontext_t *uc = context;
  sigset_t now;
  sigprocmask(SIG_SETMASK, NULL, &now);
  say("blocked", sigismember(&now, sig) == 1 && sigismember(&now, SIGUSR2) == 1);
  say("call", info->si_syscall == SYS_getpgid && info->si_code > 0);
  uc->uc_mcontext.gregs[REG_RAX] = 4321;
}

static void block_sigsys(int how, sigset_t *old) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGSYS);
  say("mask", sigprocmask(how, &set, old));
}

static void traps(void) {
  struct sigaction sa = {.sa_sigaction = emulate, .sa_flags = SA_SIGINFO};
  sigset_t old;
  sigaddset(&sa.sa_mask, SIGUSR2);
  sigaction(SIGSYS, &sa, NULL);
  trap_getpgid();
  say("getpgid", getpgid(0));
  sigprocmask(SIG_SETMASK, NULL, &old);
  say("blocked", sigismember(&old, SIGSYS) + sigismember(&old, SIGUSR2));
  block_sigsys(SIG_BLOCK, &old);
  say("was", sigismember(&old, SIGSYS));
  sigprocmask(SIG_SETMASK, NULL, &old);
  say("is", sigismember(&old, SIGSYS));
  say("getppid", getppid() > 0);
  say("never", getpgid(0)); /* what the kernel forces is not blocked: it kills */
}

/* Sent while it is blocked it waits. */
static void waiting(void) {
  sigset_t old;
  on(SIGSYS, note_only, 0);
  block_sigsys(SIG_BLOCK, &old);
  raise(SIGSYS);
  say("came", came);
  block_sigsys(SIG_UNBLOCK, &old);
  say("was", sigismember(&old, SIGSYS));
  say("came", came == SIGSYS);
  on(SIGSYS, note_only, (int)SA_RESETHAND);
  came = 0;
  raise(SIGSYS);
  say("came", came == SIGSYS);
  raise(SIGSYS);
  say("never", 1);
}

static void killed(void) {
  say("before", 1);
  raise(SIGTERM);
}

static volatile sig_atomic_t storm, stormy;

static void next_signal(void) {
  struct itimerval t = {{0, 0}, {0, 300}};
  if (stormy) setitimer(ITIMER_REAL, &t, NULL);
}

/* When one has come: however slow a build or a machine is, the program goes on in between. */
static void another_signal(void) {
  static int seen = -1;
  int now = storm;
  if (__atomic_exchange_n(&seen, now, __ATOMIC_RELAXED) != now) next_signal();
}

static void during(int sig) {
  double before = 1.5, after;
  int err = errno;
  (void)sig;
  storm++;
  if (getppid() < 0 || write(-1, "x", 1) != -1) storm = -1000000;
  after = before * 2;
  if (after > 3.0 || after < 3.0) storm = -1000000;
  errno = err;
}

static void *in_the_storm(void *arg) {
  long i, bad = 0;
  char c;
  int own[2];
  if (pipe(own) != 0) return NULL;
  for (i = 0; i < 1000 || storm < 12; i++) {
    double sum = (double)i * 0.5;
    char *p = malloc((size_t)(i % 100) << 8 | 1);
    another_signal();
    bad += write(own[1], "y", 1) != 1;
    errno = 0;
    bad += read(own[0], &c, 1) != 1 || c != 'y' || errno != 0;
    bad += write(-1, p, 1) != -1 || errno != EBADF;
    bad += sum > (double)i * 0.5 || sum < (double)i * 0.5;
    free(p);
  }
  return bad == 0 ? arg : NULL;
}

static void storms(void) {
  pthread_t other;
  char here;
  void *got;
  stormy = 1;
  on(SIGALRM, during, SA_RESTART);
  say("alone", in_the_storm(&here) != NULL);
  pthread_create(&other, NULL, in_the_storm, &here);
  say("two", in_the_storm(&here) != NULL);
  pthread_join(other, &got);
  stormy = 0;
  say("other", got != NULL);
  say("storm", storm > 10);
}

/* By an instruction of its own: it is always dispatched, and never patched. */
static long direct5(long nr, long a, long b, long c, long d, long e) {
  return raw(nr, (uint64_t)a, (uint64_t)b, (uint64_t)c, (uint64_t)d, (uint64_t)e, 0);
}

static long direct(long nr, long a, const void *b, long c) {
  return direct5(nr, a, (long)b, c, 0, 0);
}

static long up_there(void) {
  long i, bad = 0;
  char c = 0;
  for (i = 0; i < 500 || storm < 12; i++) {
    another_signal();
    bad += direct(SYS_write, ends[1], "y", 1) != 1;
    bad += direct(SYS_read, ends[0], &c, 1) != 1 || c != 'y';
    bad += write(ends[1], "z", 1) != 1 || read(ends[0], &c, 1) != 1 || c != 'z';
  }
  return bad;
}

static void from_above(int sig) {
  (void)sig;
  say("on the stack", up_there());
}

/* Signals, calls and a handler that makes many, all on the alternate stack. */
static void heights(void) {
  stack_t s = {.ss_sp = alternate, .ss_size = sizeof alternate};
  stormy = 1;
  say("set", sigaltstack(&s, NULL));
  on(SIGALRM, during, SA_RESTART | SA_ONSTACK);
  on(SIGUSR1, from_above, SA_RESTART | SA_ONSTACK);
  say("below", up_there());
  raise(SIGUSR1);
  say("below", up_there());
  stormy = 0;
  say("storm", storm > 10);
}

/* {============================ little stacks ============================= */

static char little[8192];
static ucontext_t home, visitor;

static void use_stack(char *stack, size_t size) {
  stack_t s = {.ss_sp = stack, .ss_size = size};
  say("set", sigaltstack(&s, NULL));
}

/* The kernel's frame has 3.4 of the 8 KiB where there is AVX-512: there is no room for another. */
static void on_little(int sig, siginfo_t *info, void *context) {
  const stack_t *saved = &((ucontext_t *)context)->uc_stack;
  char here, path[3072] = "/nonexistent", *argv[] = {path, NULL};
  stack_t s;
  int i;
  (void)sig, (void)info;
  came += &here >= little && &here < little + sizeof little;
  for (i = 0; i < 10; i++) {
    direct(SYS_write, ends[1], "y", 1);
    direct(SYS_read, ends[0], &here, 1);
    if (write(ends[1], "y", 1) != 1 || read(ends[0], &here, 1) != 1) came = -1;
  }
  if (execv(path, argv) == 0 || errno != ENOENT) came = -1;
  if (saved->ss_sp != little || saved->ss_size != sizeof little) came = -1;
  if (sigaltstack(NULL, &s) != 0 || s.ss_flags != SS_ONSTACK || s.ss_sp != little) came = -1;
  s.ss_flags = 0;
  if (sigaltstack(&s, NULL) == 0 || errno != EPERM) came = -1;
}

static void *with_little(void *arg) {
  struct sigaction sa = {.sa_sigaction = on_little, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGUSR1, &sa, NULL);
  use_stack(little, sizeof little);
  came = 0;
  raise(SIGUSR1);
  say("came", came);
  return arg;
}

/* One that comes before the call it is meant for is made up for by the next. */
static void during_a_read(int sig) {
  during(sig);
  if (storm < 50) next_signal();
}

/* Signals that come into a call, too. */
static void littles(void) {
  pthread_t t;
  char c;
  with_little(NULL);
  pthread_create(&t, NULL, with_little, NULL);
  pthread_join(t, NULL);
  stormy = 1;
  on(SIGALRM, during_a_read, SA_ONSTACK);
  next_signal();
  while (storm < 50) {
    if (read(ends[0], &c, 1) != 1 && errno != EINTR) break;
  }
  say("storm", storm >= 50);
}

/* Too small for any handler, and no matter as long as there is none. */
static void least(void) {
  char *path = strdup("/nonexistent"), *argv[] = {path, NULL};
  use_stack(little, 2048);
  say("write", direct(SYS_write, ends[1], "y", 1));
  say("write", write(ends[1], "y", 1));
  say("exec", execv(path, argv));
  on(SIGUSR1, note_only, 0);
  raise(SIGUSR1);
  say("came", came == SIGUSR1);
  on(SIGUSR2, note_only, SA_ONSTACK);
  raise(SIGUSR2);
  say("never", came);
}

static void on_visit(void) {
  char c;
  came = direct(SYS_write, ends[1], "a", 1) == 1;
  came += write(ends[1], "b", 1) == 1 && read(ends[0], &c, 1) == 1;
  came += execl("/nonexistent", "x", (char *)NULL) == -1;
}

/* A stack of the program's own making. */
static void visits(void) {
  static char own[4096];
  getcontext(&visitor);
  visitor.uc_stack.ss_sp = own;
  visitor.uc_stack.ss_size = sizeof own;
  visitor.uc_link = &home;
  makecontext(&visitor, on_visit, 0);
  swapcontext(&home, &visitor);
  say("came", came);
}

static void disarmed(int sig, siginfo_t *info, void *context) {
  const stack_t *saved = &((ucontext_t *)context)->uc_stack;
  stack_t now;
  (void)sig, (void)info;
  say("saved", saved->ss_sp == alternate && saved->ss_size == sizeof alternate);
  say("as", saved->ss_flags);
  say("get", sigaltstack(NULL, &now));
  say("now", now.ss_flags);
}

static void disarms(void) {
  struct sigaction sa = {.sa_sigaction = disarmed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  stack_t s = {.ss_sp = alternate, .ss_size = sizeof alternate, .ss_flags = 1 << 31}, old;
  const stack_t none = {.ss_size = 0};
  sigaction(SIGUSR1, &sa, NULL);
  raise(SIGUSR1);
  say("no change", sigaltstack(&none, NULL));
  say("set", sigaltstack(&s, NULL));
  say("no change", sigaltstack(&s, NULL));
  raise(SIGUSR1);
  raise(SIGUSR1);
  say("get", sigaltstack(NULL, &old));
  say("armed", old.ss_sp == alternate && old.ss_flags == 1 << 31);
  s.ss_flags = 7;
  say("flags", sigaltstack(&s, NULL) == -1 && errno == EINVAL);
}

static int deep(int n) {
  volatile char some[4096];
  some[n % 4096] = (char)n;
  return n > 1 << 20 ? some[0] : deep(n + 1) + some[1];
}

/* Out of an overflow again and again, and out of calls, more often than there is room for. */
static void overflows(void) {
  volatile int i;
  char c;
  use_stack(alternate, sizeof alternate);
  on(SIGSEGV, leap, SA_ONSTACK);
  for (i = 0; i < 3; i++)
    if (sigsetjmp(back, 1) == 0) say("never", deep(0));
  on(SIGALRM, leap, SA_ONSTACK);
  for (i = 0; i < 300; i++)
    if (sigsetjmp(back, 1) == 0) {
      alarm_in(1);
      if (i % 2)
        direct(SYS_read, ends[0], &c, 1);
      else
        say("never", read(ends[0], &c, 1));
    }
  say("leapt", i);
}

static char *beginning;
static uintptr_t secret;

/* As collectors of garbage do, which stop threads by signals. */
static void scan(int sig) {
  uintptr_t here, *p;
  (void)sig;
  for (p = &here; (char *)p < beginning; p++) came += *p == ~secret;
}

static void scanned(void) {
  char first, c;
  long result;
  uintptr_t hidden;
  beginning = &first;
  secret = ~(uintptr_t)&c;
  on(SIGALRM, scan, 0);
  alarm_in(50);
  hidden = secret;
  __asm__ volatile("mov %[hidden], %%r12\n\tnot %%r12\n\tsyscall\n\txor %%r12d, %%r12d"
                   : "=a"(result)
                   : "a"(SYS_pause), [hidden] "r"(hidden)
                   : "rcx", "r11", "r12", "memory");
  say("interrupted", result == -EINTR);
  say("found", came > 0);
}

/* }========================================================================= */

static volatile sig_atomic_t received, in_order, told;

static void in_turn(int sig, siginfo_t *info, void *uc) {
  int err = errno;
  (void)sig, (void)uc;
  in_order += info->si_value.sival_int == ++received;
  told += info->si_code == SI_QUEUE && info->si_pid > 0;
  errno = err;
}

enum { QUEUED = 400, PACED = 3000 };

/* A real-time signal and its value, from another process, then from another thread. */
static void from_process(void) {
  int i;
  pid_t to = getpid();
  if (fork() != 0) return;
  for (i = 1; i <= QUEUED; i++) sigqueue(to, SIGRTMIN + 1, (union sigval){.sival_int = i});
  _exit(0);
}

/* So slowly that the other is at work on a call when the next comes, each time at another place. */
static void slowly_from_process(void) {
  int i;
  volatile int turns;
  pid_t to = getpid();
  if (fork() != 0) return;
  for (i = 1; i <= PACED; i++) {
    sigqueue(to, SIGRTMIN + 1, (union sigval){.sival_int = i});
    for (turns = 100000 + i % 40 * 4000; turns > 0; turns--) continue;
  }
  _exit(0);
}

static void *from_thread(void *main_thread) {
  int i;
  for (i = 1; i <= QUEUED; i++)
    pthread_sigqueue(*(pthread_t *)main_thread, SIGRTMIN + 1, (union sigval){.sival_int = i});
  return NULL;
}

static void until_all_came(int n) {
  char c;
  while (received < n)
    if (write(ends[1], "z", 1) != 1 || (read(ends[0], &c, 1) != 1 && errno != EINTR)) break;
  say("received", received);
  say("in order", in_order);
  say("told", told);
  received = in_order = told = 0;
}

static void queues(void) {
  struct sigaction a = {.sa_sigaction = in_turn, .sa_flags = SA_SIGINFO | SA_RESTART};
  pthread_t self = pthread_self(), other;
  sigaction(SIGRTMIN + 1, &a, NULL);
  from_process();
  until_all_came(QUEUED);
  wait(NULL);
  pthread_create(&other, NULL, from_thread, &self);
  until_all_came(QUEUED);
  pthread_join(other, NULL);
}

static void paced(void) {
  struct sigaction a = {.sa_sigaction = in_turn, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGRTMIN + 1, &a, NULL);
  slowly_from_process();
  until_all_came(PACED);
  wait(NULL);
}

/* What the program has asked for is what it is told. */
static void actions(void) {
  struct sigaction old;
  on(SIGUSR1, note_only, SA_RESTART | SA_NODEFER);
  say("get", sigaction(SIGUSR1, NULL, &old));
  say("is", old.sa_handler == note_only);
  say("flags", (long)(old.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO | SA_ONSTACK)));
  on(SIGUSR1, note_only, (int)SA_RESETHAND);
  say("get", sigaction(SIGUSR1, NULL, &old));
  say("once", (old.sa_flags & (int)SA_RESETHAND) != 0 && old.sa_handler == note_only);
  raise(SIGUSR1);
  say("came", came);
  say("get", sigaction(SIGUSR1, NULL, &old));
  say("gone", old.sa_handler == SIG_DFL);
  say("flags", (long)(old.sa_flags & ((int)SA_RESETHAND | SA_RESTART | SA_SIGINFO)));
  say("mask", sigismember(&old.sa_mask, SIGUSR2));
  old.sa_flags = SA_NODEFER | SA_RESTART;
  say("default", sigaction(SIGTERM, &old, NULL));
  say("get", sigaction(SIGTERM, NULL, &old));
  say("flags", (long)(old.sa_flags & (SA_NODEFER | SA_RESTART | SA_SIGINFO | SA_ONSTACK)));
  say("ignore", signal(SIGUSR1, SIG_IGN) == SIG_DFL);
  say("was", signal(SIGUSR1, note_only) == SIG_IGN);
  say("none", sigaction(99, NULL, &old));
  say("kill", sigaction(SIGKILL, &old, NULL));
}

/* }========================================================================= */

/* {================================= threads =============================== */

enum { THREADS = 8, WRITES = 300 };

static void *writer(void *arg) {
  int i;
  char c = (char)('a' + (long)arg);
  for (i = 0; i < WRITES; i++) {
    char *p = malloc((size_t)i + 1);
    if (write(ends[1], &c, 1) != 1 || p == NULL) return NULL;
    free(p);
  }
  return arg;
}

static void *reader(void *arg) {
  long n = 0;
  char c;
  (void)arg;
  while (n < THREADS * WRITES && read(ends[0], &c, 1) == 1) n++;
  return (void *)n;
}

static void threads(void) {
  pthread_t w[THREADS], r;
  void *got;
  long i, sum = 0;
  pthread_create(&r, NULL, reader, NULL);
  for (i = 0; i < THREADS; i++) pthread_create(&w[i], NULL, writer, (void *)i);
  for (i = 0; i < THREADS; i++) {
    pthread_join(w[i], &got);
    sum += (long)got;
  }
  pthread_join(r, &got);
  say("read", (long)got);
  say("sum", sum);
}

static void *rounding(void *arg) {
  sigset_t set;
  (void)arg;
  pthread_sigmask(SIG_SETMASK, NULL, &set);
  say("rounds up", fegetround() == FE_UPWARD);
  say("blocks", sigismember(&set, SIGUSR2));
  return NULL;
}

static void inherits(void) {
  sigset_t set;
  pthread_t t;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  fesetround(FE_UPWARD);
  pthread_create(&t, NULL, rounding, NULL);
  pthread_join(t, NULL);
}

static void *waits(void *arg) {
  char c;
  (void)arg;
  say("never", read(ends[0], &c, 1));
  return NULL;
}

static void cancelled(void) {
  pthread_t t;
  void *got;
  pthread_create(&t, NULL, waits, NULL);
  usleep(30000);
  say("cancel", pthread_cancel(t));
  pthread_join(t, &got);
  say("cancelled", got == PTHREAD_CANCELED);
  say("write", write(ends[1], "x", 1));
}

static void main_leaves(void) {
  pthread_t t;
  pthread_create(&t, NULL, rounding, NULL);
  pthread_exit(NULL);
}

static void *loops(void *arg) {
  while (arg != NULL)
    if (write(ends[1], "", 0) != 0) break;
  return NULL;
}

/* }========================================================================= */

/* {================================ processes ============================== */

static void wait_for(pid_t pid) {
  int status = -1;
  say("mine", waitpid(pid, &status, 0) == pid);
  say("status", status);
}

static void forks(void) {
  pthread_t t;
  char c = 0;
  int i;
  pthread_create(&t, NULL, loops, &c);
  for (i = 0; i < 20; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      long n = write(STDERR_FILENO, "", 0);
      _exit(n == 0 && getpid() != getppid() ? 3 : 4);
    }
    wait_for(pid);
  }
  fflush(stdout);
  _exit(0); /* with a thread in the midst of a call */
}

static void vforks(void) {
  volatile int here = 1;
  pid_t pid = vfork();
  if (pid == 0) {
    execl("/bin/sh", "sh", "-c", "echo child; exit 5", (char *)NULL);
    _exit(127);
  }
  wait_for(pid);
  say("here", here);
  pid = vfork();
  if (pid == 0) _exit(6);
  wait_for(pid);
}

static void spawns(void) {
  char *good[] = {"sh", "-c", "echo spawned; exit 7", NULL}, *bad[] = {"no such program", NULL};
  char *bare[] = {NULL};
  stack_t s = {.ss_sp = alternate, .ss_size = sizeof alternate};
  pid_t pid = 0;
  int result = posix_spawnp(&pid, "sh", NULL, NULL, good, environ);
  wait_for(pid);
  say("good", result);
  say("ENOENT", posix_spawnp(&pid, bad[0], NULL, NULL, bad, environ) == ENOENT);
  on(SIGUSR1, note_only, 0); /* it is the default in the child, and stays here */
  result = posix_spawn(&pid, "/bin/sh", NULL, NULL, good, bare);
  wait_for(pid);
  raise(SIGUSR1);
  say("came", came);
  say("bare", result);
  say("stack", sigaltstack(&s, NULL)); /* a child that shares the memory is not on it */
  result = posix_spawnp(&pid, "sh", NULL, NULL, good, environ);
  wait_for(pid);
  say("good", result);
}

static void traced(void) {
  char c;
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  if (write(ends[1], "t", 1) != 1 || read(ends[0], &c, 1) != 1) _exit(1);
  raise(SIGUSR1); /* which the tracer keeps */
  if (direct(SYS_write, ends[1], "t", 1) != 1) _exit(2);
  _exit(7);
}

/* A child that is let go on whatever it is stopped by. */
static void traces(void) {
  int status = 0, stops = 0;
  siginfo_t info = {0};
  pid_t pid = fork();
  if (pid == 0) traced();
  while (stops < 10 && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
    say("stopped", WSTOPSIG(status));
    say("continued", ptrace(PTRACE_CONT, pid, 0, 0));
    stops++;
  }
  say("exited", WEXITSTATUS(status));
  pid = fork();
  if (pid == 0) traced();
  for (stops = 0; stops < 10 && waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED) == 0 &&
                  info.si_code == CLD_TRAPPED;
       stops++) {
    say("stopped", info.si_status);
    ptrace(PTRACE_CONT, pid, 0, 0);
  }
  say("exited", info.si_code == CLD_EXITED ? info.si_status : -1);
}

static int on_own_stack(void *arg) {
  say("argument", *(int *)arg);
  *(int *)arg = 2;
  return 9;
}

static void clones(void) {
  static char stack[1 << 18];
  static int shared = 1;
  char *top = stack + sizeof stack;
  wait_for(clone(on_own_stack, top, SIGCHLD, &shared));
  say("apart", shared);
  wait_for(clone(on_own_stack, top, SIGCHLD | CLONE_VM | CLONE_VFORK, &shared));
  say("shared", shared);
  shared = 3;
  wait_for(clone(on_own_stack, top, SIGCHLD | CLONE_VM, &shared));
  say("shared", shared);
}

/* A child or thread that ends at once, and needs no stack for that. */
static long make_brief(uint64_t flags, const void *stack) {
  const uint64_t words[6] = {flags, (uintptr_t)stack};
  return raw_fork(SYS_clone, words);
}

/* Stacks that are given are the program's own, whatever they are. */
static void stackless(void) {
  static char stack[16384];
  const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
  size_t i, same = 0;
  long tid;
  memset(stack, 'a', sizeof stack);
  wait_for((pid_t)make_brief(CLONE_VM | SIGCHLD, stack + sizeof stack / 2));
  for (i = 0; i < sizeof stack; i++) same += stack[i] == 'a';
  say("untouched", (long)same);
  wait_for((pid_t)make_brief(CLONE_VM | SIGCHLD, (const char *)64));
  tid = make_brief(thread, NULL);
  while (tid > 0 && syscall(SYS_tgkill, getpid(), tid, 0) == 0) sched_yield();
  say("thread", tid > 0);
}

static void pipes(void) {
  char line[64] = "";
  FILE *f = popen("echo one; cat /dev/null; echo two | tr a-z A-Z", "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL) printf("line %s", line);
  say("closed", f != NULL ? pclose(f) : -1);
  say("system", system("exit 3"));
}

static void execs(void) {
  char *argv[] = {"no", NULL};
  say("ENOENT", execv("/nonexistent", argv) == -1 && errno == ENOENT);
  say("EACCES", execv("/etc/passwd", argv) == -1 && errno == EACCES);
  say("EFAULT", syscall(SYS_execve, "/bin/sh", 16, 0) == -1 && errno == EFAULT);
  execl("/bin/echo", "echo", "executed", (char *)NULL);
}

/* Descriptors that it has not opened, in every order of checks. */
static void strangers(void) {
  long fd;
  for (fd = 1000; fd < 1004; fd++) {
    say("write", direct5(SYS_write, fd, (long)"x", 1, 0, 0));
    say("getsockname", direct5(SYS_getsockname, fd, 8, 8, 0, 0));
    say("fchdir", direct5(SYS_fchdir, fd, 0, 0, 0, 0));
    say("F_GETFD", direct5(SYS_fcntl, fd, F_GETFD, 0, 0, 0));
    say("sendfile", direct5(SYS_sendfile, 1, fd, 0, 1, 0));
    say("openat", direct5(SYS_openat, fd, (long)"there", O_RDONLY, 0, 0));
    say("openat /", direct5(SYS_openat, fd, (long)"/nowhere", O_RDONLY, 0, 0));
    say("dup2", direct5(SYS_dup2, fd, 5, 0, 0, 0));
    say("dup3", direct5(SYS_dup3, fd, fd, 0, 0, 0));
    say("close", direct5(SYS_close, fd, 0, 0, 0, 0));
    say("anonymous", direct5(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, fd) > 0);
    say("mmap", direct5(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, fd));
  }
}

/* {============================ protection keys =========================== */

static volatile int rights_in_handler;
static int protection_key;

static void note_rights(int sig) {
  (void)sig;
  rights_in_handler = pkey_get(protection_key);
}

static void *reads_page(void *page) {
  return *(char *)page == 'b' ? page : NULL;
}

/* Memory behind a key that this thread, its children and threads may use, its handlers not. */
static void keys(void) {
  char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_t thread;
  void *same = NULL;
  pid_t pid;
  int i;
  memcpy(page, "behind a key\n", 13);
  protection_key = pkey_alloc(0, 0);
  if (protection_key < 0) return; /* this machine has none */
  say("protected", pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, protection_key));
  for (i = 0; i < 3; i++) say("written", write(1, page, 13));
  say("directly", direct5(SYS_write, 1, (long)page, 13, 0, 0));
  pid = fork();
  if (pid == 0) _exit(page[0] == 'b' ? 3 : 4);
  wait_for(pid);
  pid = (pid_t)direct5(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(page[0] == 'b' ? 3 : 4);
  wait_for(pid);
  pthread_create(&thread, NULL, reads_page, page);
  pthread_join(thread, &same);
  say("thread", same == page);
  on(SIGUSR1, note_rights, 0);
  raise(SIGUSR1);
  say("handler", rights_in_handler);
  say("rights", pkey_get(protection_key));
  pkey_set(protection_key, PKEY_DISABLE_ACCESS);
  say("denied", direct5(SYS_write, 1, (long)page, 13, 0, 0));
  say("rights", pkey_get(protection_key));
}

/* }========================================================================= */

/* The auxiliary vector, where the kernel puts it: behind the environment. */
static void vectors(void) {
  char **p = environ;
  const Elf64_auxv_t *v;
  unsigned long random = 0, pages = 0;
  while (*p != NULL) p++;
  for (v = (const Elf64_auxv_t *)(p + 1); v->a_type != AT_NULL; v++) {
    if (v->a_type == AT_PAGESZ) pages = v->a_un.a_val;
    if (v->a_type == AT_RANDOM) random = v->a_un.a_val;
  }
  say("page", (long)pages);
  say("random", random != 0 && random == getauxval(AT_RANDOM));
  say("vdso", getauxval(AT_SYSINFO_EHDR) != 0);
}

/* }========================================================================= */

static const struct {
  const char *name;
  void (*habit)(void);
} habits[] = {
    {"interrupted", interrupted},
    {"restarted", restarted},
    {"leaps", leaps},
    {"masks", masks},
    {"stacks", stacks},
    {"faults", faults},
    {"own_sigsys", own_sigsys},
    {"killed", killed},
    {"threads", threads},
    {"inherits", inherits},
    {"cancelled", cancelled},
    {"main_leaves", main_leaves},
    {"forks", forks},
    {"vforks", vforks},
    {"spawns", spawns},
    {"clones", clones},
    {"stackless", stackless},
    {"pipes", pipes},
    {"execs", execs},
    {"strangers", strangers},
    {"storms", storms},
    {"heights", heights},
    {"queues", queues},
    {"paced", paced},
    {"actions", actions},
    {"littles", littles},
    {"least", least},
    {"visits", visits},
    {"disarms", disarms},
    {"overflows", overflows},
    {"scanned", scanned},
    {"traps", traps},
    {"waiting", waiting},
    {"vectors", vectors},
    {"keys", keys},
    {"traces", traces},
};

int main(int argc, char **argv) {
  size_t i;
  if (argc != 2 || pipe(ends) != 0) return 99;
  for (i = 0; i < sizeof habits / sizeof *habits; i++)
    if (strcmp(argv[1], habits[i].name) == 0) {
      habits[i].habit();
      return 0;
    }
  return 98;
}
