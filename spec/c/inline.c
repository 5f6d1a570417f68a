/*
** inline.c - a program that links the library goes inline, with handlers in C and a malloc that is
** busy
*/

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lencase.h"
#include "test.h"

struct counts {
  int writes, maps, cages;
  char seen[32];
};

static lencase_verdict on_write(lencase_call *call, lencase_event event, void *ud) {
  struct counts *c = ud;
  size_t size;
  const char *bytes;
  if (event == LENCASE_EVENT_DROP) return LENCASE_VERDICT_DONE;
  if (event == LENCASE_EVENT_RESULT) {
    c->writes++;
    lencase_call_answer(call, lencase_call_result(call));
    return LENCASE_VERDICT_DONE;
  }
  bytes = lencase_call_bytes(call, 2, &size);
  memset(c->seen, 0, sizeof c->seen);
  if (bytes != NULL && size < sizeof c->seen) memcpy(c->seen, bytes, size);
  return lencase_call_forward(call);
}

/* malloc's own calls arrive in the midst of malloc. */
static lencase_verdict on_mmap(lencase_call *call, lencase_event event, void *ud) {
  struct counts *c = ud;
  (void)event;
  c->maps++;
  if (event != LENCASE_EVENT_START) {
    lencase_call_answer(call, lencase_call_result(call));
    return LENCASE_VERDICT_DONE;
  }
  return lencase_call_forward(call);
}

static void on_cage(void *ud, lencase_cage *cage, lencase_cage *parent) {
  struct counts *c = ud;
  (void)cage;
  (void)parent;
  c->cages++;
}

static const lencase_entry entries[] = {
    {.callnum = SYS_write, .handler = on_write},   {.callnum = SYS_mmap, .handler = on_mmap},
    {.callnum = SYS_mprotect, .handler = on_mmap}, {.callnum = SYS_brk, .handler = on_mmap},
    {.callnum = SYS_geteuid, .constant = 4242},    {.callnum = SYS_socket, .constant = -EPERM},
};

static void *many_blocks(void *arg) {
  size_t i;
  for (i = 1; i < 200; i++) free(malloc(i << 12));
  return arg;
}

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

int main(void) {
  static struct counts counts;
  lencase_interface interface = {.name = "inline",
                                 .entries = entries,
                                 .nentries = sizeof entries / sizeof *entries,
                                 .ud = &counts,
                                 .on_cage = on_cage};
  lencase_state *st = lencase_new(NULL);
  pthread_t threads[4];
  int ends[2], status, i;
  char got[8] = "", seen[sizeof counts.seen];
  const unsigned char *code;
  ssize_t n;
  int err;
  if (SANITIZED) { /* its runtime waits for its own locks when it is called from inside of itself */
    note("not under the address sanitizer");
    lencase_close(st);
    return test_end();
  }
  need(st != NULL && pipe(ends) == 0);
  need(lencase_grate_new(st, &interface, NULL) == LENCASE_OK);
  if (!is_int(lencase_inline_start(st), LENCASE_OK, "goes inline")) return test_end();
  is_int(lencase_inline_start(st), LENCASE_EPERM, "once");
  is_int(counts.cages, 1, "the process is a cage");

  is_int(geteuid(), 4242, "a constant");
  ok(syscall(SYS_socket, 1, 1, 0) == -1 && errno == EPERM, "an errno");
  errno = 77;
  n = write(ends[1], "hello", 5);
  err = errno;
  memcpy(seen, counts.seen, sizeof seen); /* what this test prints is seen, too */
  is_int(n, 5, "a call that is handed on");
  is_int(err, 77, "errno stays the program's");
  is_int(read(ends[0], got, 5), 5, "a call that no grate handles");
  is_str(got, "hello", "what was written");
  is_str(seen, "hello", "what the handler saw");
  ok(write(-1, "x", 1) == -1 && errno == EBADF, "the kernel's errno");
  ok(syscall(SYS_write, ends[1], 16, 5) == -1 && errno == EFAULT, "a pointer that leads nowhere");

  for (i = 0; i < 10; i++) need(getppid() >= 0); /* 0: of another pid namespace */
  /* mov $nr, %eax has become a jump; another C library may have no such site */
  code = (const unsigned char *)(uintptr_t)getppid;
  ok(code[0] == 0xe9 || code[5] != 0x0f, "a hot call site is patched");
  for (i = 0; i < 10; i++) need(geteuid() == 4242); /* some of them patched */
  is_int(getppid(), syscall(SYS_getppid), "and works");

  for (i = 0; i < 4; i++) need(pthread_create(&threads[i], NULL, many_blocks, NULL) == 0);
  for (i = 0; i < 4; i++) need(pthread_join(threads[i], NULL) == 0);
  ok(counts.maps > 8, "malloc's calls, of four threads");

  if (fork() == 0) _exit(geteuid() == 4242 && counts.cages == 2 ? 5 : 6);
  ok(wait(&status) > 0 && WEXITSTATUS(status) == 5, "a fork is a cage");
  is_int(counts.cages, 1, "its copy of the grate learnt of it");
  is_int(WEXITSTATUS(system("exit 9")), 9, "a program is executed");
  return test_end();
}
