/*
** counter.c - a grate in C: no Lua state, no script
**
**   counter PROGRAM [ARGS...]
**
** Runs a program and counts the bytes that it and its children write.
*/

#include <lencase.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct count {
  unsigned long calls, bytes;
};

/* START makes the program's call; RESULT comes when the kernel has answered, in START itself when
** it could at once. */
static lencase_verdict counted(lencase_call *call, lencase_event event, void *ud) {
  struct count *count = ud;
  if (event == LENCASE_EVENT_DROP) return LENCASE_VERDICT_DONE;
  if (event == LENCASE_EVENT_START && lencase_call_forward(call) == LENCASE_VERDICT_PARKED)
    return LENCASE_VERDICT_PARKED;
  count->calls++;
  if (lencase_call_result(call) > 0) count->bytes += (unsigned long)lencase_call_result(call);
  lencase_call_answer(call, lencase_call_result(call));
  return LENCASE_VERDICT_DONE;
}

static const lencase_entry entries[] = {
    {.callnum = SYS_write, .policy = LENCASE_PASS_THROUGH_POINTERS, .handler = counted},
    {.callnum = SYS_writev, .policy = LENCASE_PASS_THROUGH_POINTERS, .handler = counted},
    {.callnum = SYS_pwrite64, .policy = LENCASE_PASS_THROUGH_POINTERS, .handler = counted},
    {.callnum = SYS_ptrace, .constant = -1 /* EPERM */},
};

static void say(void *ud, const char *line) {
  (void)ud;
  fprintf(stderr, "counter: %s\n", line);
}

int main(int argc, char **argv) {
  const lencase_config config = {.log = say};
  struct count count = {0};
  const lencase_interface interface = {.name = "counter",
                                       .entries = entries,
                                       .nentries = sizeof entries / sizeof *entries,
                                       .ud = &count};
  lencase_state *st = lencase_new(&config);
  int wstatus = 0;
  if (argc < 2 || st == NULL) {
    fprintf(stderr, "usage: counter PROGRAM [ARGS...]\n");
    return 2;
  }
  if (lencase_grate_new(st, &interface, NULL) != LENCASE_OK ||
      lencase_trace_run(st, argv + 1, &wstatus) != LENCASE_OK) {
    say(NULL, lencase_error(st));
    return 1;
  }
  lencase_close(st);
  printf("%lu bytes in %lu calls\n", count.bytes, count.calls);
  return WIFSIGNALED(wstatus) ? 128 + WTERMSIG(wstatus) : WEXITSTATUS(wstatus);
}
