/*
** compiled.c - a program with a grate inside: no script is read or parsed when it runs
**
**   compiled PROGRAM [ARGS...]
**
** ../count_writes.lua, written as C by lencase compile, tells what a program writes, file by file.
*/

#include <lencase.h>
#include <stdio.h>
#include <sys/wait.h>

/* In count_writes.c, which lencase compile writes. */
int count_writes_load(lencase_state *st, int argc, const char *const argv[], lencase_grate **out);

static void say(void *ud, const char *line) {
  (void)ud;
  fprintf(stderr, "compiled: %s\n", line);
}

int main(int argc, char **argv) {
  const lencase_config config = {.log = say};
  lencase_state *st = lencase_new(&config);
  int wstatus = 0;
  if (argc < 2 || st == NULL) {
    fprintf(stderr, "usage: compiled PROGRAM [ARGS...]\n");
    return 2;
  }
  if (count_writes_load(st, 0, NULL, NULL) != LENCASE_OK ||
      lencase_trace_run(st, argv + 1, &wstatus) != LENCASE_OK ||
      lencase_finish(st, wstatus) != LENCASE_OK) {
    say(NULL, lencase_error(st));
    return 1;
  }
  lencase_close(st);
  return WIFSIGNALED(wstatus) ? 128 + WTERMSIG(wstatus) : WEXITSTATUS(wstatus);
}
