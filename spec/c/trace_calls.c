/*
** trace_calls.c - calls of a traced program: none, one and several downcalls, the window
** Built by `make test`; by hand: gcc -D_GNU_SOURCE -Icore spec/c/trace_calls.c
**   build/liblencase.a -llua5.4 -lseccomp -lpthread
*/

#include "trace_fixture.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>

/* {============================= cage programs ============================= */

static int cage_seven(void) {
  return 7;
}

/* getppid is answered by the grate; no such call reaches the kernel. */
static int cage_invented(void) {
  must(syscall(SYS_getppid) == 4242);
  must(syscall(SYS_getppid) == 4242);
  return 0;
}

static int cage_invented_errno(void) {
  errno = 0;
  must(syscall(SYS_getppid) == -1 && errno == EXDEV);
  return 0;
}

/* A result that looks like the kernel's "restart me" is only a number. */
static int cage_restart_number(void) {
  int64_t got = SYS_getppid;
  __asm__ volatile("syscall" : "+a"(got) : : "rcx", "r11", "memory");
  must(got == -512);
  return 0;
}

/* Whatever is done for a call, only rax, rcx and r11 change. */
static int cage_registers(void) {
  uint64_t in[9], out[9], rcx;
  int i;
  for (i = 0; i < 9; i++) in[i] = UINT64_C(0x1111111111111111) * (uint64_t)(i + 1);
  __asm__ volatile("push %%rbx\n push %%rbp\n"
                   "mov %[in], %%rax\n"
                   "push %[out]\n"
                   "mov 0(%%rax), %%rdi\n mov 8(%%rax), %%rsi\n mov 16(%%rax), %%rdx\n"
                   "mov 24(%%rax), %%r10\n mov 32(%%rax), %%r8\n mov 40(%%rax), %%r9\n"
                   "mov 48(%%rax), %%rbx\n mov 56(%%rax), %%rbp\n mov 64(%%rax), %%r12\n"
                   "mov %[nr], %%eax\n"
                   "syscall\n"
                   "1: pop %%rax\n"
                   "mov %%rdi, 0(%%rax)\n mov %%rsi, 8(%%rax)\n mov %%rdx, 16(%%rax)\n"
                   "mov %%r10, 24(%%rax)\n mov %%r8, 32(%%rax)\n mov %%r9, 40(%%rax)\n"
                   "mov %%rbx, 48(%%rax)\n mov %%rbp, 56(%%rax)\n mov %%r12, 64(%%rax)\n"
                   "pop %%rbp\n pop %%rbx\n"
                   "lea 1b(%%rip), %%rdx\n"
                   "sub %%rdx, %%rcx\n"
                   : "=c"(rcx)
                   : [in] "r"(in), [out] "r"(out), [nr] "i"(SYS_getppid)
                   : "rax", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                     "r15", "memory");
  must(memcmp(in, out, sizeof in) == 0);
  must(rcx == 0);
  return 0;
}

static int cage_three(void) {
  char buf[8];
  int fds[2];
  must(pipe(fds) == 0);
  must(write(fds[1], "abc", 3) == 3);
  must(read(fds[0], buf, 3) == 3 && memcmp(buf, "abc", 3) == 0);
  must(write(-1, "abc", 3) == -1 && errno == EBADF);
  return 0;
}

/* Opens "/short", which the grate makes another path of. */
static int cage_opens(void) {
  char buf[8] = "";
  int fd = open("/short", O_RDONLY);
  must(fd >= 0);
  must(read(fd, buf, 3) == 3 && memcmp(buf, "yes", 3) == 0);
  close(fd);
  return 0;
}

/* Writes one byte, of which the grate makes LARGE. */
enum { LARGE = 3 << 20 };

static int cage_writes_large(void) {
  static char buf[4096];
  char path[TEST_PATH];
  int i, fd = mkstemp(test_path(path, "large-XXXXXX"));
  must(fd >= 0 && unlink(path) == 0);
  must(syscall(SYS_write, fd, "\1", 1) == LARGE); /* ASan would check what write(2) says */
  must(lseek(fd, 0, SEEK_SET) == 0);
  for (i = 0; i < LARGE / 4096; i++) {
    must(read(fd, buf, 4096) == 4096);
    must(buf[0] == (char)i && memcmp(buf, buf + 1, 4095) == 0);
  }
  must(read(fd, buf, 1) == 0);
  return 0;
}

/* The window is there for calls, not for the program to write. */
static int cage_window(void) {
  struct stat st;
  char line[512];
  bool found = false;
  FILE *maps = fopen("/proc/self/maps", "r");
  must(maps != NULL);
  while (fgets(line, sizeof line, maps)) {
    unsigned long from;
    if (strstr(line, "memfd:lencase") == NULL) continue;
    must(sscanf(line, "%lx", &from) == 1);
    must(strstr(line, "rw") == NULL);
    must(mprotect((void *)from, 4096, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
    found = true;
  }
  must(found);
  must(fstat(3, &st) == 0 && S_ISREG(st.st_mode)); /* maps: no other descriptor before it */
  return 0;
}

static int cage_slow_ways(void) {
  long got;
  __asm__ volatile("int $0x80" : "=a"(got) : "a"(20) : "memory"); /* getpid there */
  must(got == -ENOSYS);
  errno = 0;
  must(syscall(0x40000000 | SYS_getpid) == -1 && errno == ENOSYS);
  errno = 0;
  must(syscall(SYS_io_uring_setup, 4, NULL) == -1 && errno == ENOSYS);
  must(syscall(SYS_getpgrp, 1, 2, 3, 4, 5) ==
       getpgrp()); /* what fetches the window, without its cookie */
  return 0;
}

static int cage_flags(void) {
  must(syscall(SYS_getpriority, 0, 0) == 77); /* trapped: the test holds */
  must(syscall(SYS_getpriority, 1, 0) != 77);
  must(syscall(SYS_getpriority, 2, 0) != 77);
  return 0;
}

static const struct cage_program cage_programs[] = {
    {"seven", cage_seven},
    {"invented", cage_invented},
    {"invented_errno", cage_invented_errno},
    {"restart_number", cage_restart_number},
    {"registers", cage_registers},
    {"three", cage_three},
    {"opens", cage_opens},
    {"writes_large", cage_writes_large},
    {"window", cage_window},
    {"slow_ways", cage_slow_ways},
    {"flags", cage_flags},
    {NULL, NULL},
};

/* }========================================================================= */

/* {=============================== handlers ================================ */

static int64_t invented;
static char new_dir[TEST_PATH], new_path[600];

static enum verdict invent(struct call *call, enum handler_event ev) {
  if (ev == HANDLER_START) seen.starts[call->nr]++;
  call->result = invented;
  return VERDICT_DONE;
}

/* Hands "/short" on as new_path; everything else as it is. */
static enum verdict replace_path(struct call *call, enum handler_event ev) {
  char path[7] = "";
  struct mem_seg seg = {call->words[1], path, sizeof path};
  uint64_t words[LENCASE_MAXARGS];
  size_t done = 0;
  if (ev == HANDLER_RESULT) call->result = call->down_result;
  if (ev != HANDLER_START) return VERDICT_DONE;
  need(call->cage->ops->read(call->cage, &seg, 1, &done) == LENCASE_OK);
  if (done < 7 || memcmp(path, "/short", 7) != 0) return VERDICT_PASS;
  seen.starts[call->nr]++;
  need(call_window(call, strlen(new_path) + 1) == LENCASE_OK);
  memcpy(call->window.data, new_path, strlen(new_path) + 1);
  memcpy(words, call->words, sizeof words);
  words[1] = call->window.addr;
  return call_down(call, call->nr, words);
}

static enum verdict write_large(struct call *call, enum handler_event ev) {
  uint64_t words[LENCASE_MAXARGS];
  unsigned char *data;
  size_t i;
  if (ev == HANDLER_RESULT) call->result = call->down_result;
  if (ev != HANDLER_START) return VERDICT_DONE;
  need(call_window(call, LARGE) == LENCASE_OK);
  data = call->window.data;
  for (i = 0; i < LARGE; i += 4096) memset(data + i, (int)(i / 4096), 4096);
  memcpy(words, call->words, sizeof words);
  words[1] = call->window.addr;
  words[2] = LARGE;
  return call_down(call, call->nr, words);
}

static enum verdict too_large(struct call *call, enum handler_event ev) {
  if (ev == HANDLER_START) {
    is_int(call_window(call, (size_t)1 << 40), LENCASE_ENOMEM, "the window has an end");
    is_int(call_scratch(call, (size_t)1 << 40), LENCASE_ENOMEM, "and the scratch memory");
    is_int(call_window(call, 0), LENCASE_OK, "a string of no bytes is fine");
  }
  call->result = 4242;
  return VERDICT_DONE;
}

/* Answers getppid with the length of what uname, made by the grate, wrote to our scratch. */
static enum verdict with_scratch(struct call *call, enum handler_event ev) {
  struct utsname name;
  struct mem_seg seg = {0, &name, sizeof name};
  size_t done = 0;
  if (ev == HANDLER_DROP) return VERDICT_DONE;
  if (ev == HANDLER_START) {
    uint64_t words[LENCASE_MAXARGS] = {0};
    need(call_scratch(call, sizeof name) == LENCASE_OK);
    words[0] = call->scratch.addr;
    return call_down(call, SYS_uname, words);
  }
  seg.addr = call->scratch.addr;
  need(call->down_result == 0);
  need(call->cage->ops->read(call->cage, &seg, 1, &done) == LENCASE_OK && done == sizeof name);
  call->result = strcmp(name.sysname, "Linux") == 0 ? 4242 : 1;
  return VERDICT_DONE;
}

/* }========================================================================= */

/* {================================= tests ================================= */

static void test_nothing(void) {
  struct lencase_state *st = state_fresh();
  is_int(run_cage(st, "seven"), 7 << 8, "a program runs with nothing named");
  lencase_close(st);
}

static void test_invented(const char *name, int64_t result, const char *text) {
  struct lencase_state *st = state_fresh();
  invented = result;
  handle(st, SYS_getppid, invent);
  is_int(run_cage(st, name), 0, "%s", text);
  ok(seen.starts[SYS_getppid] > 0, "and its handler was asked");
  lencase_close(st);
}

static void test_times(const char *name, int times) {
  static const int32_t nrs[] = {SYS_getppid, SYS_read, SYS_write};
  struct lencase_state *st = state_fresh();
  size_t i;
  seen.times = times;
  for (i = 0; i < 3; i++) handle(st, nrs[i], as_asked);
  is_int(run_cage(st, name), 0, "%s: with %d downcalls for each call", name, times);
  ok(seen.starts[SYS_getppid] + seen.starts[SYS_write] > 0, "and its handler was asked");
  lencase_close(st);
}

/* A file that says "yes", at a path of at least 'length' bytes. */
static void write_yes(size_t length) {
  FILE *f;
  need(mkdtemp(test_path(new_dir, "trace-XXXXXX")) != NULL);
  snprintf(new_path, sizeof new_path, "%s", new_dir);
  while (strlen(new_path) < length) strcat(new_path, "/.");
  strcat(new_path, "/yes");
  f = fopen(new_path, "w");
  need(f != NULL && fputs("yes", f) >= 0 && fclose(f) == 0);
}

static void remove_yes(void) {
  need(unlink(new_path) == 0);
  need(rmdir(new_dir) == 0);
}

static void test_replaced(size_t length) {
  struct lencase_state *st = state_fresh();
  write_yes(length);
  handle(st, SYS_openat, replace_path);
  is_int(run_cage(st, "opens"), 0, "a path is replaced by one of %zu bytes", strlen(new_path));
  is_int(seen.starts[SYS_openat], 1, "once");
  is_str(log_text, "", "without a message");
  remove_yes();
  lencase_close(st);
}

static void test_scratch(void) {
  struct lencase_state *st = state_fresh();
  handle(st, SYS_getppid, with_scratch);
  is_int(run_cage(st, "invented"), 0, "a handler makes a call with an out-argument of its own");
  lencase_close(st);
}

static void test_with(int32_t nr, handler_fn fn, const char *name, const char *text) {
  struct lencase_state *st = state_fresh();
  seen.times = 1;
  handle(st, nr, fn);
  is_int(run_cage(st, name), 0, "%s", text);
  lencase_close(st);
}

static void test_flags(uint8_t op, uint64_t mask, uint64_t value, const char *text) {
  struct lencase_state *st = state_fresh();
  invented = 77;
  routes[SYS_getpriority] =
      TEST_ENTRY(SYS_getpriority, .handler = invent, .ntests = 1, .tests = {{op, 0, mask, value}});
  need(test_route(st, &st->first_routes, SYS_getpriority, &routes[SYS_getpriority]) == 0);
  is_int(run_cage(st, "flags"), 0, "a test on an argument: %s", text);
  is_int(seen.starts[SYS_getpriority], 1, "only that call arrives");
  lencase_close(st);
}

int main(int argc, char **argv) {
  int times;
  fixture_begin(argc, argv);
  test_nothing();
  test_invented("invented", 4242, "a result is invented");
  test_invented("invented_errno", -EXDEV, "an errno is invented");
  test_invented("restart_number", -512, "an invented -512 does not restart the call");
  for (times = 0; times <= 3; times++) {
    test_times("registers", times);
    test_times("three", times);
  }
  test_replaced(20);
  test_replaced(500);
  test_scratch();
  test_with(SYS_write, write_large, "writes_large", "a buffer is replaced by a large one");
  test_with(SYS_getppid, too_large, "invented", "a handler asks for too much");
  test_with(SYS_getppid, as_asked, "window", "the window cannot be written");
  test_with(SYS_mmap, as_asked, "window", "the window is there when mmap is named");
  test_with(SYS_close, as_asked, "window", "the window is there when close is named");
  test_with(SYS_getppid, as_asked, "slow_ways", "other ways into the kernel are shut");
  test_flags(TEST_EQ, 3, 0, "equal");
  test_flags(TEST_NONE, 3, 0, "none of the bits");
  return test_end();
}

/* }========================================================================= */
