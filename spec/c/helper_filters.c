/*
** helper_filters.c - what programs do with seccomp, what others see of them and what they see
**
**   helper_filters NAME [ARGS...]   does one of them and prints what it saw, which is the same in a
**                                   cage and without
*/

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define say(...) (printf(__VA_ARGS__), fflush(stdout))

/* A result, as an errno below 0. */
static long made(long result) {
  return result < 0 ? -errno : result;
}

static long load(struct sock_filter *code, size_t n, unsigned flags) {
  struct sock_fprog prog = {(unsigned short)n, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return made(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog));
}

/* Answers getppid with an errno, and allows all else. */
static long load_errno(int err, unsigned flags) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)err),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  return load(code, sizeof code / sizeof *code, flags);
}

static long load_allow(unsigned flags) {
  struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  return load(&code, 1, flags);
}

/* What a child did: its exit status, or the signal below 0. */
static int child(void (*body)(void)) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(0);
  }
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void open_and_say(const char *path) {
  char text[64];
  int fd = open(path, O_RDONLY);
  long n = fd >= 0 ? read(fd, text, sizeof text) : made(fd);
  if (n > 0) say("%.*s", (int)n, text);
  if (n <= 0) say("%s: %ld\n", path, n);
  if (fd >= 0) close(fd);
}

/* {================================== modes ================================ */

static long mode_of(unsigned long option) {
  return made(syscall(SYS_prctl, option, 0, 0, 0, 0));
}

static void say_mode(void) {
  _exit((int)mode_of(PR_GET_SECCOMP));
}

static void *thread_mode(void *got) {
  *(long *)got = mode_of(PR_GET_SECCOMP);
  return NULL;
}

static void do_mode(char **args) {
  pthread_t thread;
  long in_thread = -1;
  (void)args;
  say("%ld %ld\n", mode_of(PR_GET_SECCOMP), mode_of(PR_GET_SECCOMP | UINT64_C(1) << 32));
  say("load %ld\n", load_allow(1U << 31)); /* no such flag */
  say("%ld in a child %d\n", mode_of(PR_GET_SECCOMP), child(say_mode));
  say("load %ld\n", load_allow(0));
  pthread_create(&thread, NULL, thread_mode, &in_thread);
  pthread_join(thread, NULL);
  say("%ld in a child %d in a thread %ld\n", mode_of(PR_GET_SECCOMP), child(say_mode), in_thread);
}

/* }========================================================================= */

/* {================================== strict =============================== */

static void strict_writes(void) {
  long result = made(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0));
  if (result == 0 && write(1, "strict\n", 7) == 7) syscall(SYS_exit, 7);
  _exit(100);
}

static void strict_reads(void) {
  char byte = 'x';
  int ends[2];
  if (pipe(ends) != 0 || write(ends[1], &byte, 1) != 1) _exit(100);
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL) != 0) _exit(101);
  syscall(SYS_exit, read(ends[0], &byte, 1) == 1 ? 8 : 102);
}

static void strict_asks(void) {
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == 0) syscall(SYS_getpid);
  _exit(103);
}

static void strict_opens(void) {
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == 0) open("/dev/null", O_RDONLY);
  _exit(104);
}

static void strict_clock(void) {
  uint32_t low;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == 0)
    __asm__ volatile("rdtsc" : "=a"(low) : : "edx");
  syscall(SYS_exit, 105);
}

static volatile int handled;

static void on_signal(int sig) {
  handled = sig;
}

/* Its handler comes back by rt_sigreturn. */
static void strict_handles(void) {
  signal(SIGALRM, on_signal);
  ualarm(20000, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) != 0) _exit(100);
  while (!handled)
    ;
  syscall(SYS_exit, handled == SIGALRM ? 9 : 106);
}

static void strict_filtered(void) {
  if (load_allow(0) != 0) _exit(107);
  _exit(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == 0 ? 0 : errno);
}

static void *strict_thread(void *gate) {
  int *ends = gate;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) == 0 && write(ends[1], "t", 1) == 1)
    syscall(SYS_getpid);
  syscall(SYS_exit_group, 108);
  return NULL;
}

/* It ends alone. */
static void strict_in_thread(void) {
  int ends[2];
  char byte;
  pthread_t thread;
  if (pipe(ends) != 0 || pthread_create(&thread, NULL, strict_thread, ends) != 0) _exit(100);
  if (read(ends[0], &byte, 1) != 1) _exit(101);
  pthread_join(thread, NULL);
  _exit(10);
}

static void do_strict(char **args) {
  (void)args;
  say("writes %d\n", child(strict_writes));
  say("reads %d\n", child(strict_reads));
  say("asks %d\n", child(strict_asks));
  say("opens %d\n", child(strict_opens));
  say("looks at the clock %d\n", child(strict_clock));
  say("handles %d\n", child(strict_handles));
  say("with a filter %d\n", child(strict_filtered));
  say("in a thread %d\n", child(strict_in_thread));
  say("seccomp %ld\n", made(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL)));
  say("seccomp %ld\n", made(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, "")));
}

/* }========================================================================= */

/* {================================= loading =============================== */

static void do_bad(char **args) {
  struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_IMM, 1),
                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog prog = {0, code};
  char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct sock_fprog *cut = (struct sock_fprog *)(void *)(page + 4096 - 8);
  (void)args;
  munmap(page + 4096, 4096);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  say("nothing %ld\n", made(prctl(PR_SET_SECCOMP, 2, &prog, 0, 0)));
  prog.len = 4097;
  say("too many %ld\n", made(prctl(PR_SET_SECCOMP, 2, &prog, 0, 0)));
  prog.len = 1;
  say("no end %ld\n", made(prctl(PR_SET_SECCOMP, 2, &prog, 0, 0)));
  prog.filter = NULL;
  say("no code %ld\n", made(prctl(PR_SET_SECCOMP, 2, &prog, 0, 0)));
  prog.filter = (struct sock_filter *)(void *)(page + 4096 - 8);
  prog.len = 2;
  say("half of the code %ld\n", made(prctl(PR_SET_SECCOMP, 2, &prog, 0, 0)));
  say("a cut head %ld\n", made(prctl(PR_SET_SECCOMP, 2, cut, 0, 0)));
  say("no head %ld\n", made(syscall(SYS_seccomp, 1, 0, NULL)));
  say("no head, no flag %ld\n", made(syscall(SYS_seccomp, 1, 1U << 31, NULL)));
  say("no mode %ld\n", made(prctl(PR_SET_SECCOMP, 3, &prog, 0, 0)));
  say("no mode %ld\n", made(prctl(PR_SET_SECCOMP, 2 | UINT64_C(1) << 32, &prog, 0, 0)));
  say("no operation %ld\n", made(syscall(SYS_seccomp, 77, 0, NULL)));
  say("mode %ld\n", mode_of(PR_GET_SECCOMP));
  prog.len = 2;
  prog.filter = code;
  say("by 64 bits %ld\n", made(prctl((int)(PR_SET_SECCOMP), 2, &prog, 0, 0)));
  say("by more %ld\n",
      made(syscall(SYS_prctl, PR_SET_SECCOMP | UINT64_C(1) << 32, 2, &prog, 0, 0)));
  say("mode %ld\n", mode_of(PR_GET_SECCOMP));
}

static struct { int to[2], from[2]; } gates;

static void *thread_asks(void *unused) {
  long answer;
  char byte;
  while (read(gates.to[0], &byte, 1) == 1 && byte != 'q') {
    answer = made(syscall(SYS_getppid));
    answer = answer > 0 ? 1 : answer;
    if (write(gates.from[1], &answer, sizeof answer) < 0) break;
  }
  return unused;
}

static long thread_answer(void) {
  long answer = 0;
  if (write(gates.to[1], "a", 1) != 1) return 0;
  return read(gates.from[0], &answer, sizeof answer) == (ssize_t)sizeof answer ? answer : 0;
}

static long own_answer(void) {
  long answer = made(syscall(SYS_getppid));
  return answer > 0 ? 1 : answer;
}

static void do_threads(char **args) {
  pthread_t thread;
  if (pipe(gates.to) != 0 || pipe(gates.from) != 0) exit(1);
  pthread_create(&thread, NULL, thread_asks, NULL);
  say("before %ld %ld\n", own_answer(), thread_answer());
  say("for all %ld\n", load_errno(EPERM, SECCOMP_FILTER_FLAG_TSYNC));
  say("then %ld %ld\n", own_answer(), thread_answer());
  say("for one %ld\n", load_errno(EXDEV, 0));
  say("then %ld %ld\n", own_answer(), thread_answer());
  if (write(gates.to[1], "q", 1) != 1) exit(1);
  pthread_join(thread, NULL);
  if (args[0] != NULL) execv(args[0], args);
}

static void *open_in_thread(void *path) {
  char byte;
  if (read(gates.to[0], &byte, 1) == 1) open_and_say(path);
  return NULL;
}

static void open_in_child(void) {
  open_and_say("word");
}

/*
** A filter that ends who asks for its user, which the program does not: there for each thread, and
** each child.
*/
static void do_everyone(char **args) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  pthread_t before, after;
  if (pipe(gates.to) != 0) exit(1);
  pthread_create(&before, NULL, open_in_thread, args[0]);
  say("load %ld\n", load(code, sizeof code / sizeof *code, SECCOMP_FILTER_FLAG_TSYNC));
  if (write(gates.to[1], "oo", 2) != 2) exit(1);
  pthread_join(before, NULL);
  pthread_create(&after, NULL, open_in_thread, args[0]);
  pthread_join(after, NULL);
  say("in a child %d\n", child(open_in_child));
}

static struct sock_filter *shared_code;

static void load_shared(void) {
  int fd;
  if (load(shared_code, 4, 0) != 0) _exit(1);
  fd = open("word", O_RDONLY);
  _exit(fd >= 0 ? 0 : 2);
}

/* The same or one that allows all: another process changes it while it is loaded. */
static void do_changing(char **args) {
  const struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  int i, good = 0;
  pid_t changer;
  (void)args;
  shared_code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  memcpy(shared_code, code, sizeof code);
  changer = fork();
  while (changer == 0) {
    volatile uint32_t *k = &shared_code[2].k;
    *k = SECCOMP_RET_ALLOW;
    *k = SECCOMP_RET_KILL_PROCESS;
  }
  for (i = 0; i < 100; i++) good += child(load_shared) == 0;
  kill(changer, SIGKILL);
  waitpid(changer, NULL, 0);
  say("%d\n", good);
}

/* Allows calls alone that are made by instructions of this program. */
static void do_origin(char **args) {
  extern char __executable_start[], etext[];
  uint64_t from = (uintptr_t)__executable_start, to = (uintptr_t)etext;
  const uint32_t high = offsetof(struct seccomp_data, instruction_pointer) + 4;
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, high),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(from >> 32), 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, high - 4),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)from, 0, 2),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)to, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  say("load %ld\n", load(code, sizeof code / sizeof *code, 0));
  open_and_say(args[0]);
}

/* }========================================================================= */

/* {================================= dumpable ============================== */

static const char *opened;

static void dumpable_again(void) {
  open_and_say(opened);
  _exit(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
}

static void *dumpable_thread(void *got) {
  open_and_say(opened);
  *(int *)got = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
  return NULL;
}

static void do_undumpable(char **args) {
  pthread_t thread;
  int got = -1;
  opened = args[0];
  say("%d\n", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  say("%d\n", prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
  open_and_say(opened);
  say("%d\n", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  say("in a child %d\n", child(dumpable_again));
  pthread_create(&thread, NULL, dumpable_thread, &got);
  pthread_join(thread, NULL);
  say("in a thread %d\n", got);
  say("nowhere %ld\n", made(open((const char *)16, O_RDONLY)));
  say("%d\n", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
  open_and_say(opened);
  say("%d\n", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
}

/* As another user; what is executed then begins anew. */
static void do_user(char **args) {
  if (setgid(65534) != 0 || setuid(65534) != 0) say("stays\n");
  say("%d\n", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  opened = args[0];
  open_and_say(opened);
  say("in a child %d\n", child(dumpable_again));
  if (args[1] != NULL) execv(args[1], args + 1);
}

/* A directory, and a path in it. */
static void do_beneath(char **args) {
  char text[64];
  int dir = open(args[0], O_RDONLY | O_DIRECTORY), fd;
  long n;
  open_and_say(args[1]);
  say("%d ", prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
  say("%d\n", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  fd = openat(dir, args[1], O_RDONLY);
  n = fd >= 0 ? read(fd, text, sizeof text) : made(fd);
  if (n > 0) say("%.*s", (int)n, text);
}

static void do_cat(char **args) {
  open_and_say(args[0]);
}

/* }========================================================================= */

static const struct {
  const char *name;
  void (*run)(char **args);
} habits[] = {
    {"mode", do_mode},       {"strict", do_strict},     {"bad", do_bad},
    {"threads", do_threads}, {"origin", do_origin},     {"undumpable", do_undumpable},
    {"user", do_user},       {"everyone", do_everyone}, {"changing", do_changing},
    {"beneath", do_beneath}, {"cat", do_cat},
};

int main(int argc, char **argv) {
  size_t i;
  if (argc < 2) return 125;
  for (i = 0; i < sizeof habits / sizeof *habits; i++) {
    if (strcmp(habits[i].name, argv[1]) != 0) continue;
    habits[i].run(argv + 2);
    return 0;
  }
  return 125;
}
