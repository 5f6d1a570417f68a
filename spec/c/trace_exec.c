/*
** trace_exec.c - a thread executes a program in the middle of what other threads of its process are
** in; and a call made for a thread that does not end
** Built by `make test`; by hand: gcc -D_GNU_SOURCE -Icore spec/c/trace_exec.c
**   build/liblencase.a -llua5.4 -lseccomp -lpthread
*/

#include "trace_fixture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* Where a cage is told to go on: a pipe of the test's. */
enum { GO = 81 };

/* {============================= cage programs ============================= */

static void after(void) __attribute__((noreturn));

static void after(void) {
  execl(self, self, "cage", "after", NULL);
  _exit(98);
}

/* Its calls are handled as those of any program. */
static int cage_after(void) {
  must(getppid() == 4242);
  return 7;
}

static int never[2]; /* a pipe that nothing is written to */
static atomic_int about[3];

/* `ud` is where to say that this thread is about to. */
static void *reads(void *ud) {
  char c;
  atomic_store((atomic_int *)ud, gettid());
  read(never[0], &c, 1);
  return ud;
}

static void *reads_parts(void *ud) {
  char c;
  struct iovec part = {&c, 1};
  atomic_store((atomic_int *)ud, gettid());
  readv(never[0], &part, 1);
  return ud;
}

static void *executes_amid(void *ud) {
  (void)ud;
  for (size_t i = 0; i < 3; i++) {
    while (atomic_load(&about[i]) == 0) sched_yield();
    until_asleep(atomic_load(&about[i]));
  }
  after();
}

static void start(void *(*f)(void *), void *ud) {
  pthread_t thread;
  must(pthread_create(&thread, NULL, f, ud) == 0);
}

/*
** Each of the others is in a call: the one of a thread in the place of its own, the others made for
** them.
*/
static int cage_amid(void) {
  must(pipe(never) == 0);
  start(reads, &about[0]);
  start(reads_parts, &about[1]);
  start(executes_amid, NULL);
  reads(&about[2]);
  return 1;
}

static atomic_int executing;

static void *executes_when_told(void *ud) {
  char c;
  (void)ud;
  atomic_store(&executing, gettid());
  must(read(GO, &c, 1) == 1);
  after();
}

static void *asks(void *ud) {
  getppid();
  return ud;
}

/* While the other thread is in a call: in a stop it would wait for the tracer, as we do. */
static void *asks_late(void *ud) {
  while (atomic_load(&executing) == 0) sched_yield();
  until_asleep(atomic_load(&executing));
  return asks(ud);
}

static int cage_other_asks(void) {
  start(executes_when_told, NULL);
  start(asks_late, NULL);
  for (;;) must(pause() == -1);
}

static int cage_leader_asks(void) {
  start(executes_when_told, NULL);
  asks_late(NULL);
  for (;;) must(pause() == -1);
}

static void *executes(void *ud) {
  (void)ud;
  atomic_store(&executing, gettid());
  after();
}

/* The thread that executes is in an execve that is not let go on yet. */
static int cage_other_asks_late(void) {
  start(executes, NULL);
  start(asks_late, NULL);
  for (;;) must(pause() == -1);
}

static int cage_leader_asks_late(void) {
  start(executes, NULL);
  asks_late(NULL);
  return 1;
}

static int cage_asks(void) {
  asks(NULL);
  return 1;
}

static const struct cage_program cage_programs[] = {
    {"after", cage_after},
    {"amid", cage_amid},
    {"other_asks", cage_other_asks},
    {"leader_asks", cage_leader_asks},
    {"other_asks_late", cage_other_asks_late},
    {"leader_asks_late", cage_leader_asks_late},
    {"asks", cage_asks},
    {NULL, NULL},
};

/* }========================================================================= */

/* {=============================== handlers ================================ */

static enum verdict invent(struct call *call, enum handler_event ev) {
  if (ev == HANDLER_START) seen.starts[call->nr]++;
  call->result = 4242;
  return VERDICT_DONE;
}

/* The call itself, after another one: it is made for its thread. */
static enum verdict made_for_it(struct call *call, enum handler_event ev) {
  if (ev == HANDLER_DROP) seen.drops++;
  if (ev == HANDLER_DROP) return VERDICT_DONE;
  while (call->downcalls < 2) {
    int32_t nr = call->downcalls == 0 ? SYS_getpid : call->nr;
    if (call_down(call, nr, call->words) == VERDICT_PARKED) return VERDICT_PARKED;
  }
  call->result = call->down_result;
  return VERDICT_DONE;
}

static int go; /* the pipe's end of ours */
static enum { DOES_ANSWER, DOES_PASS, DOES_HAND_ON, DOES_REPLACE, DOES_READ, DOES } does;

static const char *const done_by[DOES] = {
    [DOES_ANSWER] = "answers it",   [DOES_PASS] = "lets it through",
    [DOES_HAND_ON] = "hands it on", [DOES_REPLACE] = "replaces an argument",
    [DOES_READ] = "reads memory",
};

/*
** Whether a thread has been killed; of a leader, whether another thread stands under its number
** before the new program.
*/
static bool is_over(pid_t pid, pid_t tid) {
  char path[64], text[256] = "";
  struct stat st;
  FILE *f;
  snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  need(stat(path, &st) == 0);
  snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
  f = fopen(path, "r");
  need(f != NULL && fgets(text, sizeof text, f) != NULL);
  fclose(f);
  if (tid != pid) return strstr(text, ") Z ") != NULL;
  return st.st_nlink == 3 && strstr(text, ") t ") != NULL;
}

static enum verdict too_late(struct call *call) {
  uint64_t words[LENCASE_MAXARGS] = {0};
  char bytes[8];
  struct mem_seg seg = {(uintptr_t)&cage_programs, bytes, sizeof bytes};
  size_t n;
  switch (does) {
    case DOES_ANSWER: call->result = 1; return VERDICT_DONE;
    case DOES_PASS: return VERDICT_PASS;
    case DOES_HAND_ON: return call_down(call, call->nr, call->words);
    case DOES_READ:
      call->cage->ops->read(call->cage, &seg, 1, &n);
      return call_down(call, call->nr, call->words);
    default:
      if (call_window(call, 8) == LENCASE_OK) words[0] = call->window.addr;
      return call_down(call, SYS_getpid, words);
  }
}

/* While it is at work on the first call another thread executes a program. */
static enum verdict during(struct call *call, enum handler_event ev) {
  if (ev == HANDLER_DROP) seen.drops++;
  if (ev == HANDLER_RESULT) seen.results++;
  if (ev == HANDLER_START && seen.starts[call->nr]++ == 0) {
    pid_t tid = (pid_t)call->cage->ops->tid(call);
    need(write(go, "", 1) == 1);
    while (!is_over((pid_t)call->cage->pid, tid)) usleep(1000);
    return too_late(call);
  }
  call->result = 4242;
  return VERDICT_DONE;
}

/* }========================================================================= */

/* {================================= tests ================================= */

static void test_amid(void) {
  struct lencase_state *st = state_fresh();
  seen.times = 1;
  handle(st, SYS_read, made_for_it);
  handle(st, SYS_readv, as_asked);
  handle(st, SYS_getppid, invent);
  is_int(run_cage(st, "amid"), 7 << 8, "a thread executes a program while others are in calls");
  is_int(seen.starts[SYS_getppid], 1, "whose calls are handled");
  is_int(seen.drops, 3, "the calls of the others are dropped");
  is_str(log_text, "", "without a message");
  lencase_close(st);
}

static void test_handled(const char *name) {
  for (does = 0; does < DOES; does++) {
    struct lencase_state *st = state_fresh();
    int ends[2];
    need(pipe2(ends, O_CLOEXEC) == 0 && dup2(ends[0], GO) == GO);
    go = ends[1];
    handle(st, SYS_getppid, during);
    is_int(run_cage(st, name), 7 << 8,
           "%s, and while it is handled a thread executes a program: the handler %s", name,
           done_by[does]);
    is_int(seen.starts[SYS_getppid], 2, "whose calls are handled");
    is_str(log_text, "", "without a message");
    lencase_close(st);
    close(ends[0]);
    close(ends[1]);
    close(GO);
  }
}

/* {============================ an outer filter =========================== */

/*
** Without a window memory is mapped in the name of the first thread that needs some. By a filter
** that was there before us that call waits for an answer, which it does not get.
*/
enum { LENT = 64 << 20 };

static atomic_int listener;
static atomic_int
    let_executes; /* how many are still let go on at once; the next when memory is mapped */

static void let_go_on(uint64_t id) {
  struct seccomp_notif_resp answer = {.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  need(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 || errno == ENOENT);
}

static void *serve(void *ud) {
  uint64_t held = 0;
  (void)ud;
  while (atomic_load(&listener) == 0) usleep(1000);
  for (;;) {
    struct seccomp_notif note = {0};
    struct pollfd pfd = {.fd = listener, .events = POLLIN};
    need(poll(&pfd, 1, -1) == 1 || errno == EINTR);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &note) != 0) continue; /* it was killed */
    if (note.data.nr == SYS_mmap)
      let_go_on(held);
    else if (atomic_fetch_sub(&let_executes, 1) > 0)
      let_go_on(note.id);
    else
      held = note.id;
  }
}

/* For this thread, for good. */
static void load_filter(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LENT, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog prog = {sizeof code / sizeof *code, code};
  pthread_t thread;
  int fd;
  need(pthread_create(&thread, NULL, serve, NULL) == 0);
  need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
  need(fd >= 0);
  atomic_store(&listener, fd);
}

/* The first call's argument is to be replaced. */
static enum verdict replaces(struct call *call, enum handler_event ev) {
  if (ev == HANDLER_START && seen.starts[call->nr]++ == 0) call_window(call, 8);
  call->result = 4242;
  return VERDICT_DONE;
}

static void test_mapping(const char *name) {
  struct lencase_state *st = state_fresh();
  atomic_store(&let_executes, 1);
  handle(st, SYS_getppid, replaces);
  is_int(run_cage(st, name), 7 << 8,
         "%s, and while memory is mapped for it a thread executes a program", name);
  is_int(seen.starts[SYS_getppid], 2, "whose calls are handled");
  if (!ok(strstr(log_text, "ended") == NULL, "and which is not ended")) note("%s", log_text);
  lencase_close(st);
}

static void test_endless(void) {
  struct lencase_state *st = state_fresh();
  st->config.step_ms = 50;
  atomic_store(&let_executes, 1);
  handle(st, SYS_getppid, replaces);
  is_int(run_cage(st, "asks"), SIGKILL, "a program in whose name a call is made that does not end");
  is_int(seen.starts[SYS_getppid], 1, "has no time without end");
  ok(strstr(log_text, "does not come to the end of a call made for it") != NULL, "which is said");
  lencase_close(st);
}

/* }========================================================================= */

int main(int argc, char **argv) {
  fixture_begin(argc, argv);
  test_amid();
  test_handled("other_asks");
  test_handled("leader_asks");
  load_filter();
  test_mapping("other_asks_late");
  test_mapping("leader_asks_late");
  test_endless();
  return test_end();
}

/* }========================================================================= */
