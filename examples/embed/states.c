/*
** states.c - two states in two threads of one process, which never meet
**
**   states
**
** Each thread has a state with a script of its own, and a cage whose memory is a few bytes of the
** thread's. Calls end in a function of the thread's: no kernel is asked.
*/

#include <errno.h>
#include <lencase.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CALLS = 100000, TEXT = 64 };

struct task {
  const char *name, *script;
  char memory[256];
  long stored; /* by the bottom */
  int failed;
};

static void say(void *ud, const char *line) {
  const struct task *task = ud;
  fprintf(stderr, "states: %s: %s\n", task->name, line);
}

/* write(2), as this program understands it. */
static lencase_verdict bottom(void *ud, uint64_t cage, int32_t nr,
                              const uint64_t words[LENCASE_MAXARGS], int64_t *result) {
  struct task *task = ud;
  (void)cage;
  *result = nr == SYS_write ? (int64_t)words[2] : -ENOSYS;
  if (*result > 0) task->stored += *result;
  return LENCASE_VERDICT_DONE;
}

static int run(struct task *task, lencase_state *st) {
  const lencase_cage_config config = {.name = task->name,
                                      .ud = task,
                                      .base = task->memory,
                                      .size = sizeof task->memory,
                                      .room_addr = 128,
                                      .room_size = 128,
                                      .carry_out = bottom};
  const uint64_t words[LENCASE_MAXARGS] = {1, TEXT, 5};
  uint64_t cage;
  int status = lencase_load(st, task->script, 0, NULL, NULL, NULL, NULL);
  if (status == LENCASE_OK) status = lencase_cage_new(st, &config, 0, &cage);
  strcpy(task->memory + TEXT, "hello");
  for (int i = 0; status == LENCASE_OK && i < CALLS; i++) {
    int64_t result;
    lencase_call *parked;
    status = lencase_cage_call(st, cage, SYS_write, words, &result, &parked);
  }
  if (status == LENCASE_OK) status = lencase_cage_exit(st, cage, 0);
  return status;
}

static void *thread(void *arg) {
  struct task *task = arg;
  const lencase_config config = {.log = say, .log_ud = task};
  lencase_state *st = lencase_new(&config);
  task->failed = st == NULL || run(task, st) != LENCASE_OK;
  if (st != NULL && task->failed) say(task, lencase_error(st));
  lencase_close(st);
  return NULL;
}

static const char *script(const char *text) {
  static char names[2][32] = {"lencase-states-XXXXXX", "lencase-states-XXXXXX"};
  static int n;
  char *name = names[n++];
  int fd = mkstemp(name);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) exit(1);
  close(fd);
  return name;
}

int main(void) {
  struct task tasks[] = {
      {.name = "whole",
       .script = script("local l = require 'lencase'\n"
                        "return l.grate { write = { 'pass buf', function() end } }\n")},
      {.name = "double",
       .script = script("local l = require 'lencase'\n"
                        "return l.grate { write = function(fd, buf, count)\n"
                        "  return l.sys.write(fd, tostring(buf) .. tostring(buf))\n"
                        "end }\n")},
  };
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, thread, &tasks[i]);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < 2; i++) {
    printf("%s: %ld bytes\n", tasks[i].name, tasks[i].stored);
    unlink(tasks[i].script);
  }
  return tasks[0].failed || tasks[1].failed;
}
