/*
** trace_debug.c - what the trace host says of a thread that is not where it should be
** Built by `make test`; by hand: gcc -D_GNU_SOURCE -Icore spec/c/trace_debug.c
**   build/liblencase.a -llua5.4 -lseccomp -lpthread
**
** A run is made by hand, of a process that only waits and is not traced: no kernel brings about
** what is impossible.
*/

#include "trace_fixture.h"

#include "host/trace/trace_int.h"

static const struct cage_program cage_programs[] = {{NULL, NULL}};

enum { STATUS_USR1 = SIGUSR1 << 8 | 0x7f }; /* a signal's stop, as waitpid(2) has it */

/* A run of one process, which waits. */
static struct trace_run *run_by_hand(struct lencase_state *st) {
  struct trace_run *run = NULL;
  need(run_begin(st, &run) == LENCASE_OK);
  run->root = fork();
  if (run->root == 0) pause();
  need(run->root > 0);
  need(process_first(run, thread_new(run, run->root)) == LENCASE_OK);
  return run;
}

/* Ends the process if it has not ended: its wait status. */
static int end_by_hand(struct trace_run *run, bool killed) {
  int status;
  if (!killed) kill(run->root, SIGTERM);
  need(waitpid(run->root, &status, 0) == run->root);
  thread_ended(run, thread_find(run, run->root), status);
  run_end(run);
  return status;
}

static void test_impossible(void) {
  struct lencase_state *st = state_fresh();
  struct trace_run *run = run_by_hand(st);
  struct thread *t = thread_find(run, run->root);
  char want[128];
  snprintf(
      want, sizeof want,
      "cage %d, thread %d: a stop that cannot be (signal, 0xa7f, in state \"execed\"): ended\n",
      (int)run->root, (int)run->root);
  t->state = THREAD_EXECED;
  stop_handle(run, t, STATUS_USR1);
  is_str(log_text, want, "a stop that is impossible in a state is logged without being asked for");
  is_int(WTERMSIG(end_by_hand(run, true)), SIGKILL, "and the cage is ended");
  lencase_close(st);
}

static void test_gone(uint32_t debug, const char *want) {
  struct lencase_state *st = state_fresh();
  struct trace_run *run = run_by_hand(st);
  struct thread *t = thread_find(run, run->root);
  struct user_regs_struct regs = {0};
  char line[256];
  snprintf(line, sizeof line, want, (int)run->root, (int)run->root);
  st->config.debug = debug;
  ok(!regs_set(t, &regs), "registers of a thread that is not stopped cannot be written");
  is_str(log_text, line, "which is %s", debug != 0 ? "told" : "not told unless it is asked for");
  st->config.debug = 0;
  is_int(WTERMSIG(end_by_hand(run, false)), SIGTERM, "and ends no cage");
  lencase_close(st);
}

int main(int argc, char **argv) {
  fixture_begin(argc, argv);
  test_impossible();
  test_gone(0, "");
  test_gone(LENCASE_DEBUG_STOPS, "STOPS: %d/%d: PTRACE_SETREGS: No such process\n");
  return test_end();
}
