/*
** helper_values.c - calls with arguments that no sensible program gives, raw, and what came of each
**
** Writes a line a call to standard output: what it is, its result, a sum of what lies in its
** buffers then. Two runs of it print the same, whatever stands between it and the kernel. Nothing
** of the machine is changed, by root either.
*/

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#define SYS_landlock_create_ruleset 444
#endif
#ifndef SYS_statmount
#define SYS_statmount 457
#define SYS_listmount 458
#endif

enum { PAGE = 4096, EDGES = 400 };

static char *bad = (char *)16, *kernel = (char *)UINT64_C(0xffff800000000010);

/* What lies right before a page that cannot be read, since the last call: for the sum. */
static struct {
  char *at;
  size_t size;
} edges[EDGES];
static int nedges;

/* 'size' bytes of 'data' (NULL: zeros), and nothing behind them. */
static char *edge(const void *data, size_t size) {
  size_t whole = (size + PAGE - 1) / PAGE * PAGE;
  char *at = mmap(NULL, whole + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED || mprotect(at + whole, PAGE, PROT_NONE) != 0) exit(98);
  at += whole - size;
  if (data != NULL) memcpy(at, data, size);
  edges[nedges].at = at;
  edges[nedges++].size = size;
  return at;
}

/* So many letters, and nothing behind them. */
static char *letters(size_t n) {
  return memset(edge(NULL, n), 'x', n);
}

/* The same with a NUL behind them. */
static char *word(size_t n) {
  char *at = edge(NULL, n + 1);
  memset(at, 'x', n);
  return at;
}

/* The same of these words, which are no part of the sum: there are addresses among them. */
static char *words(const uint64_t *list, size_t n) {
  char *at = edge(list, 8 * n);
  nedges--;
  return at;
}

#define W(...) words((uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / 8)
#define SUMMED(...) edge((uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}))
#define P(p) ((uint64_t)(uintptr_t)(p))

static unsigned sum(void) {
  unsigned n = 0;
  int i;
  size_t k;
  for (i = 0; i < nedges; i++)
    for (k = 0; k < edges[i].size; k++) n = n * 31 + (unsigned char)edges[i].at[k];
  return n;
}

static void tell(const char *what, long result) {
  static char line[512];
  int n = snprintf(line, sizeof line, "%s = %s%ld [%x]\n", what, result < 0 ? "-" : "",
                   result < 0 ? (long)errno : result, sum());
  syscall(SYS_write, 1, line, (size_t)n);
  nedges = 0;
}

#define call(name, ...) tell(#name "(" #__VA_ARGS__ ")", syscall(SYS_##name, __VA_ARGS__))

static int mem, null, sock, pair[2], pipes[2], ep;

static void bytes(void) {
  call(write, -1, bad, 5);
  call(write, mem, bad, 5);
  call(write, mem, kernel, 5);
  call(write, mem, NULL, 5);
  call(write, mem, bad, 0);
  call(write, mem, letters(5), 9);
  call(write, mem, letters(5), 5);
  call(write, mem, letters(5000), 5001);
  call(write, mem, letters(100000), 1UL << 34);
  call(write, null, letters(5), 1UL << 30);
  call(write, -1, letters(5), 1UL << 30);
  call(write, -1, letters(5), -1L);
  call(write, mem, letters(5), -1L);
  call(write, pipes[1], letters(5), 9);
  call(write, pair[0], letters(5), 9);
  call(write, pair[0], letters(9000), 9001);
  call(pwrite64, mem, letters(5), 9, -1L);
  call(pwrite64, mem, bad, 9, 0);
  call(lseek, mem, 0, 0);
  call(read, mem, edge(NULL, 4), 9);
  call(read, mem, bad, 9);
  call(read, -1, bad, 9);
  call(read, mem, edge(NULL, 4), -1L);
  call(read, mem, edge(NULL, 4), 1UL << 30);
  call(pread64, mem, edge(NULL, 4), 9, -1L);
  call(getrandom, bad, 5, 0);
  call(getrandom, bad, 5, 77);
  call(getdents64, mem, bad, 100);
  call(getcwd, bad, 100);
  call(getcwd, edge(NULL, 1), 100);
  call(getcwd, edge(NULL, 1), 1);
  call(sethostname, bad, 5);
  call(sethostname, bad, -1);
  call(setdomainname, bad, 500);
  call(syslog, 3, edge(NULL, 4), -1);
  call(add_key, bad, bad, bad, 5, 0);
}

static void vectors(void) {
  char *five = letters(5);
  call(writev, mem, W(P(five), 5, 16, 3), 2);
  call(writev, mem, W(16, 3, P(five), 5), 2);
  call(writev, mem, W(P(letters(5)), 3, P(letters(5)), 9, P(letters(5)), 2), 3);
  call(writev, mem, W(P(letters(5)), 5, P(kernel), 3), 2);
  call(writev, mem, W(P(letters(5)), -1UL), 1);
  call(writev, mem, W(P(letters(5)), 5, P(letters(5)), -1UL), 2);
  call(writev, -1, W(P(letters(5)), -1UL), 1);
  call(writev, mem, W(P(letters(5)), 1UL << 34), 1);
  call(writev, null, W(P(letters(5)), 1UL << 30, P(letters(5)), 1UL << 30), 2);
  call(writev, mem, W(P(letters(5)), 5), 2);
  call(writev, mem, bad, 2);
  call(writev, -1, bad, 2);
  call(writev, mem, bad, 0);
  call(writev, mem, bad, -1L);
  call(writev, -1, bad, 1025);
  call(writev, mem, bad, 1025);
  call(pwritev, mem, W(P(letters(5)), 9), 1, 3, 0);
  call(readv, mem, W(P(edge(NULL, 4)), 9), 1);
  call(preadv, mem, W(P(edge(NULL, 4)), 4, P(edge(NULL, 4)), 9), 2, 0, 0);
  call(preadv, mem, W(P(edge(NULL, 4)), 4, 16, 9), 2, 0, 0);
  call(preadv, mem, W(P(edge(NULL, 4)), -1UL), 1, 0, 0);
  call(readv, mem, bad, 1);
  call(vmsplice, pipes[1], W(P(letters(5)), 9), 1, 0);
  call(process_vm_readv, getpid(), W(16, 9), 1, W(P(five), 5), 1, 0);
  call(process_vm_readv, getpid(), W(P(edge(NULL, 4)), 9), 1, W(P(five), 5), 1, 0);
}

static void paths(void) {
  call(open, bad, 0);
  call(open, NULL, 0);
  call(open, letters(5), 0);
  call(open, letters(4095), 0);
  call(open, letters(4096), 0);
  call(open, letters(5000), 0);
  call(open, word(4095), 0);
  call(open, word(4096), 0);
  call(open, word(200000), 0);
  call(open, "", 0);
  call(openat, -1, bad, 0);
  call(openat, -1, "x", 0);
  call(stat, bad, bad);
  call(stat, "/no/such", bad);
  call(stat, "/", bad);
  call(fstat, -1, bad);
  call(newfstatat, -1, bad, bad, 0x8000000);
  call(newfstatat, mem, "", bad, AT_EMPTY_PATH);
  call(statx, -100, "/", 0, 0, bad);
  call(statx, -100, bad, 0, 0, bad);
  call(statfs, "/", edge(NULL, 4));
  call(access, letters(4096), 0);
  call(chdir, bad);
  call(mkdir, letters(3), 0700);
  call(unlink, bad);
  call(rename, "/no/such", bad);
  call(rename, bad, "/no/such");
  call(link, "/no/such", bad);
  call(symlink, bad, "/no/such/x");
  call(symlink, "", "/no/such/x");
  call(symlink, letters(5), "/no/such/x");
  call(readlink, "/", edge(NULL, 4), -1);
  call(readlink, "/", edge(NULL, 4), 0);
  call(readlink, "/no/such", bad, 5);
  call(readlink, "/proc/self", bad, 50);
  call(utimensat, -100, "/no/such", bad, 0);
  call(utimensat, -1, NULL, W(1), 0);
  call(utime, "/no/such", bad);
  call(setxattr, "/no/such", bad, bad, 5, 0);
  call(setxattr, "/", letters(5), bad, 5, 0);
  call(setxattr, "/", word(256), bad, 5, 0);
  call(setxattr, "/no/such", "user.x", letters(5), 1UL << 30, 0);
  call(fsetxattr, mem, "user.x", letters(5), 9, 0);
  call(fsetxattr, mem, "user.x", letters(5), -1L, 0);
  call(getxattr, "/", bad, NULL, 0);
  call(memfd_create, bad, 0);
  call(memfd_create, letters(300), 0);
  call(memfd_create, word(300), 0);
  call(inotify_add_watch, -1, bad, 1);
  call(mount, bad, bad, bad, 0, bad);
  call(umount2, bad, 0);
  call(statmount, bad, bad, 100, 0);
  call(statmount, W(24, -1UL, 0), bad, 100, 0);
  call(listmount, W(24, -1UL, 0), bad, 10, 0);
  call(listmount, W(8), bad, 10, 0);
  call(listmount, W(5000), bad, 10, 0);
}

static void programs(void) {
  char *big = word(131071), *bigger = word(131072), *x = word(1);
  call(execve, bad, bad, bad);
  call(execve, "/no/such", bad, bad);
  call(execve, "/bin/sh", bad, NULL);
  call(execve, "/bin/sh", W(P(x), P(x)), NULL);
  call(execve, "/bin/sh", W(P(x), 16, 0), NULL);
  call(execve, "/bin/sh", W(P(x), P(letters(5)), 0), NULL);
  call(execve, "/bin/sh", W(P(x), P(bigger), 0), NULL);
  call(execve, "/no/such", W(P(x), P(big), 0), NULL);
  call(execve, "/bin/sh", W(P(x), 0), bad);
  call(execve, "/bin/sh", W(P(x), 0), W(16, 0));
  call(execveat, -1, bad, bad, bad, 0);
  call(execveat, -1, "", bad, bad, AT_EMPTY_PATH);
  call(prctl, PR_SET_NAME, letters(16));
  call(prctl, PR_GET_NAME, edge(NULL, 16));
  call(prctl, PR_SET_NAME, letters(5));
  call(prctl, PR_SET_NAME, bad);
  call(prctl, PR_GET_NAME, edge(NULL, 8));
  call(prctl, PR_GET_NAME, edge(NULL, 16));
  call(prctl, PR_SET_NAME, word(100));
  call(prctl, PR_GET_NAME, edge(NULL, 16));
  call(wait4, -1, bad, 0, bad);
  call(waitid, P_ALL, 0, bad, WEXITED, bad);
}

static void sockets(void) {
  call(sendto, pair[0], letters(5), 9, 0, NULL, 0);
  call(sendto, -1, bad, -1L, 0, bad, -1);
  call(sendto, sock, bad, 5, 0, bad, 16);
  call(sendto, sock, "x", 1, 0, letters(1), 16);
  call(sendto, sock, "x", 1, 0, letters(1), -1);
  call(sendto, sock, "x", 1, 0, letters(1), 200);
  call(recvfrom, sock, bad, 5, MSG_DONTWAIT, bad, bad);
  call(recvfrom, pair[1], edge(NULL, 3), 5, MSG_DONTWAIT, NULL, NULL);
  call(bind, sock, bad, 16);
  call(bind, sock, bad, -1);
  call(bind, sock, W(1), 16);
  call(bind, sock, bad, 0x7fffffff);
  call(bind, 0, bad, 16);
  call(connect, sock, W(1), 110);
  call(connect, -1, bad, -1);
  call(accept, 0, bad, bad);
  call(accept, sock, bad, bad);
  call(getsockname, sock, bad, SUMMED(16));
  call(getsockname, sock, edge(NULL, 8), bad);
  call(getsockname, sock, edge(NULL, 8), SUMMED(-1UL));
  call(getsockname, sock, edge(NULL, 2), SUMMED(100));
  call(getsockname, -1, bad, bad);
  call(getpeername, sock, bad, bad);
  call(setsockopt, sock, 1, 2, edge(NULL, 4), 8);
  call(setsockopt, sock, 1, 2, edge(NULL, 4), 0x7fffffff);
  call(setsockopt, sock, 1, 2, edge(NULL, 4), -1);
  call(setsockopt, sock, 1, 2, edge(NULL, 3), 4);
  call(setsockopt, sock, 1, 13, edge(NULL, 4), 8);
  call(setsockopt, sock, 1, 13, edge(NULL, 8), 4096);
  call(setsockopt, sock, 1, 2, bad, 0);
  call(setsockopt, -1, 1, 2, bad, 4);
  call(getsockopt, sock, 1, 3, edge(NULL, 4), SUMMED(8));
  call(getsockopt, sock, 1, 3, edge(NULL, 2), SUMMED(8));
  call(getsockopt, sock, 1, 3, edge(NULL, 4), bad);
  call(getsockopt, sock, 1, 3, edge(NULL, 4), SUMMED(-1UL));
  call(sendmsg, sock, bad, 0);
  call(sendmsg, sock, W(0, 0, 0), 0);
  call(sendmsg, sock, W(0, 0, 16, 1, 0, 0, 0), 0);
  call(sendmsg, -1, bad, 0);
  call(recvmsg, sock, bad, MSG_DONTWAIT);
  call(sendmmsg, sock, bad, -1, 0);
  call(recvmmsg, sock, bad, -1, MSG_DONTWAIT, NULL);
  call(socketpair, 1, 1, 0, bad);
  call(socketpair, 1, 1, 0, edge(NULL, 4));
  call(pipe2, bad, 0);
  call(pipe2, edge(NULL, 4), 0);
}

static void counts(void) {
  call(epoll_wait, ep, bad, 5, 0);
  call(epoll_wait, ep, bad, -1, 0);
  call(epoll_wait, ep, bad, 0, 0);
  call(epoll_wait, ep, bad, 0x7fffffff, 0);
  call(epoll_wait, -1, bad, 5, 0);
  call(epoll_pwait, ep, edge(NULL, 12), 5, 0, bad, 8);
  call(epoll_pwait, ep, edge(NULL, 12), 5, 0, bad, 9);
  call(epoll_ctl, ep, EPOLL_CTL_ADD, pipes[0], bad);
  call(epoll_ctl, ep, EPOLL_CTL_DEL, pipes[0], bad);
  call(epoll_ctl, ep, EPOLL_CTL_ADD, pipes[0], letters(4));
  call(poll, bad, 0, 0);
  call(poll, bad, 1, 0);
  call(poll, bad, -1, 0);
  call(poll, W(-1UL), 1, 0);
  call(poll, W(-1UL), 2, 0);
  call(ppoll, W(-1UL), 1, bad, NULL, 8);
  call(ppoll, W(-1UL), 1, W(0, 0), bad, 8);
  call(ppoll, W(-1UL), 1, W(0, -1UL), NULL, 9);
  call(getgroups, -1, bad);
  call(getgroups, 0, bad);
  call(setgroups, -1, bad);
  call(setgroups, 70000, bad);
  call(setgroups, 70000, letters(5));
  call(semop, -1, bad, -1);
  call(semop, 0x7fffffff, letters(6), -1);
  call(semop, 0x7fffffff, bad, 1);
  call(semtimedop, 0x7fffffff, letters(6), 1, bad);
  call(msgsnd, -1, bad, -1L, 0);
  call(msgrcv, -1, bad, 5, 0, 04000);
  call(sched_setaffinity, 0, 8, bad);
  call(sched_getaffinity, 0, 1, edge(NULL, 1));
  call(sched_getaffinity, 0, 8, bad);
  call(mincore, bad, -1L, bad);
}

static void structs(void) {
  call(openat2, -100, "/", W(0, 0, 0), 24);
  call(openat2, -100, "/", W(0, 0, 0), 0);
  call(openat2, -100, "/", W(0, 0, 0), 8);
  call(openat2, -100, "/", W(0, 0, 0), 23);
  call(openat2, -100, "/", W(0, 0, 0), 32);
  call(openat2, -100, "/", W(0, 0, 0, 0), 32);
  call(openat2, -100, "/", W(0, 0, 0, 1), 32);
  call(openat2, -100, "/", W(0, 0, 0, 0), 31);
  call(openat2, -100, "/", edge(NULL, 5000), 4096);
  call(openat2, -100, "/", edge(NULL, 5000), 5000);
  call(openat2, -100, "/", bad, 24);
  call(openat2, -100, bad, bad, 24);
  call(openat2, -100, "/", W(0, 0, 0), -1L);
  call(clone3, bad, 88);
  call(clone3, edge(NULL, 63), 63);
  call(clone3, W(0, 0, 0, 0, 999, 0, 0, 0), 64);
  call(clone3, W(0, 0, 0, 0, 999, 0, 0, 0), 88);
  call(clone3, W(0, 0, 0, 0, 999, 0, 0, 0, 0, 0, 0, 1), 96);
  call(clone3, edge(NULL, 5000), 5000);
  call(sched_setattr, 0, bad, 0);
  call(sched_setattr, 0, SUMMED(0, 0, 0, 0, 0, 0), 9);
  call(sched_setattr, 0, SUMMED(48, 0, 0, 0, 0, 0), 0);
  call(sched_setattr, 0, SUMMED(47, 0, 0, 0, 0, 0), 0);
  call(sched_setattr, 0, SUMMED(64, 0, 0, 0, 0, 0, 0, 1), 0);
  call(sched_setattr, 0, SUMMED(5000, 0, 0, 0, 0, 0), 0);
  call(sched_setattr, 0, SUMMED(56, 0, 0), 0);
  call(sched_getattr, 0, edge(NULL, 48), 48, 0);
  call(sched_getattr, 0, edge(NULL, 56), 56, 0);
  call(sched_getattr, 0, edge(NULL, 40), 56, 0);
  call(sched_getattr, 0, edge(NULL, 64), 64, 0);
  call(sched_getattr, 0, edge(NULL, 40), 40, 0);
  call(sched_getattr, 0, bad, -1, 0);
  call(mount_setattr, -1, bad, 0, bad, 32);
  call(mount_setattr, -1, "", 0, W(0, 0, 0, 0), 32);
  call(mount_setattr, -1, "", 0, W(0, 0, 0, 0, 1), 40);
  call(mount_setattr, -1, "", 0, W(0, 0), 8);
  call(landlock_create_ruleset, NULL, 0, 1);
  call(landlock_create_ruleset, W(1), 7, 0);
  call(landlock_create_ruleset, W(0), 8, 0);
  call(landlock_create_ruleset, W(1, 0), 24, 0);
  call(landlock_create_ruleset, W(1, 0, 0, 0, 0, 1), 48, 0);
  call(landlock_create_ruleset, bad, 5000, 0);
  call(perf_event_open, bad, 0, -1, -1, 0);
  call(perf_event_open, SUMMED(UINT64_C(8) << 32, 0, 0, 0, 0), 0, -1, -1, 0);
  call(perf_event_open, SUMMED(UINT64_C(5000) << 32, 0, 0, 0, 0), 0, -1, -1, 0);
  call(bpf, 999, bad, 8);
  call(bpf, 0, bad, -1);
}

static void times_and_signals(void) {
  call(nanosleep, bad, NULL);
  call(nanosleep, W(0), NULL);
  call(nanosleep, W(0, -1UL), NULL);
  call(nanosleep, W(0, 1), bad);
  call(clock_nanosleep, 99, 0, bad, NULL);
  call(clock_gettime, 99, bad);
  call(clock_gettime, 1, bad);
  call(clock_settime, 99, bad);
  call(gettimeofday, bad, bad);
  call(time, bad);
  call(times, bad);
  call(getrusage, 99, bad);
  call(getrusage, 0, bad);
  call(getrlimit, 99, bad);
  call(prlimit64, 0, 99, bad, bad);
  call(setrlimit, 99, bad);
  call(setrlimit, 7, W(1));
  call(sysinfo, bad);
  call(uname, bad);
  call(getcpu, bad, bad, NULL);
  call(rt_sigaction, 99, bad, bad, 8);
  call(rt_sigaction, 10, bad, NULL, 8);
  call(rt_sigaction, 10, W(0, 0), NULL, 8);
  call(rt_sigaction, 10, bad, NULL, 9);
  call(rt_sigprocmask, 99, W(0), NULL, 8);
  call(rt_sigprocmask, 0, bad, NULL, 8);
  call(rt_sigprocmask, 0, letters(4), NULL, 8);
  call(rt_sigprocmask, 0, bad, NULL, 4);
  call(rt_sigpending, bad, 8);
  call(rt_sigtimedwait, bad, bad, W(0, 0), 8);
  call(rt_sigtimedwait, W(0), bad, bad, 8);
  call(rt_sigqueueinfo, 0, 99, bad);
  call(sigaltstack, bad, NULL);
  call(sigaltstack, NULL, bad);
  call(signalfd4, -1, bad, 8, 0);
  call(signalfd4, -1, bad, 9, 0);
  call(timer_create, 99, bad, bad);
  call(timer_create, 1, NULL, bad);
  call(timerfd_settime, -1, 0, bad, NULL);
  call(timerfd_settime, mem, 0, W(0, 0), NULL);
  call(setitimer, 99, bad, NULL);
  call(setitimer, 0, W(0, 0, 0), NULL);
  call(getitimer, 0, bad);
  call(fcntl, mem, F_GETLK, bad);
  call(fcntl, mem, F_SETLK, letters(4));
  call(fcntl, -1, F_SETLK, bad);
  call(ioctl, mem, 0x5413, bad);
  call(ioctl, pipes[0], 0x541b, bad);
  call(sendfile, null, mem, bad, 5);
  call(sendfile, -1, mem, bad, 5);
  call(copy_file_range, mem, bad, mem, bad, 5, 0);
  call(splice, mem, bad, pipes[1], NULL, 5, 0);
  call(sched_setscheduler, 0, -1, bad);
  call(sched_setparam, 0, bad);
  call(sched_rr_get_interval, 0, bad);
  call(capget, bad, bad);
  call(arch_prctl, 0x1003, bad);
}

/* The 64 bytes that were once all of struct clone_args. */
static void a_child(void) {
  int status = -1;
  long pid = syscall(SYS_clone3, W(0, 0, 0, 0, SIGCHLD, 0, 0, 0), 64);
  if (pid == 0) _exit(7);
  nedges = 0;
  tell("a child by the short form of clone3", pid > 0);
  waitpid((pid_t)pid, &status, 0);
  tell("its status", WEXITSTATUS(status));
}

int main(void) {
  mem = (int)syscall(SYS_memfd_create, "values", 0);
  null = open("/dev/null", O_RDWR);
  sock = socket(AF_UNIX, SOCK_DGRAM, 0);
  ep = epoll_create1(0);
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) != 0) return 99;
  if (pipe2(pipes, O_NONBLOCK) != 0) return 99;
  bytes();
  vectors();
  paths();
  programs();
  sockets();
  counts();
  structs();
  times_and_signals();
  a_child();
  return 0;
}
