/*
** inline.c - a program that links the library goes inline, with handlers in C and a malloc that is busy
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
    {.callnum = SYS_write, .handler = on_write},
    {.callnum = SYS_mmap, .handler = on_mmap},
    {.callnum = SYS_brk, .handler = on_mmap},
    {.callnum = SYS_geteuid, .constant = 4242},
    {.callnum = SYS_socket, .constant = -EPERM},
};

static void *many_blocks(void *arg) {
  size_t i;
  for (i = 1; i < 200; i++) free(malloc(i << 12));
  return arg;
}

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
  char got[8] = "";
  CHECK(pipe(ends) == 0);
  CHECK(lencase_grate_new(st, &interface, NULL) == LENCASE_OK);
  CHECK(lencase_inline_start(st) == LENCASE_OK);
  CHECK(lencase_inline_start(st) == LENCASE_EPERM);
  CHECK(counts.cages == 1);

  CHECK(geteuid() == 4242);
  CHECK(syscall(SYS_socket, 1, 1, 0) == -1 && errno == EPERM);
  errno = 77;
  CHECK(write(ends[1], "hello", 5) == 5 && errno == 77);
  CHECK(read(ends[0], got, 5) == 5 && strcmp(got, "hello") == 0);
  CHECK(counts.writes == 1 && strcmp(counts.seen, "hello") == 0);
  CHECK(write(-1, "x", 1) == -1 && errno == EBADF);
  CHECK(write(ends[1], (void *)16, 5) == -1 && errno == EFAULT);

  for (i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, many_blocks, NULL) == 0);
  for (i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(counts.maps > 8);

  if (fork() == 0) _exit(geteuid() == 4242 && counts.cages == 2 ? 5 : 6);
  CHECK(wait(&status) > 0 && WEXITSTATUS(status) == 5);
  CHECK(counts.cages == 1); /* the child's copy learnt of it */
  CHECK(WEXITSTATUS(system("exit 9")) == 9);
  return test_done("inline");
}
