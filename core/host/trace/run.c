/*
** run.c - a run of the trace host: opening, the loop, closing
*/

#include "trace_int.h"

#include "../supervise.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

/*
** Until all tracees are gone. Children of other threads of this process are left
** alone; other children of this very thread would be reaped.
*/
static void loop(struct trace_run *run) {
  while (run->threads.n > 0) {
    int status, flags = relay_all_stopped(run) ? WNOHANG : 0;
    pid_t tid = waitpid(-1, &status, __WALL | __WNOTHREAD | flags);
    if (atomic_exchange(&run->relay.reload, false) && run->st->reload_grates != NULL)
      run->st->reload_grates(run->st);
    if (tid > 0)
      stop_handle(run, tid, status);
    else if (tid == 0)
      relay_stop(run);
    else if (errno != EINTR)
      break;
  }
}

static int run_program(struct trace_run *run, char *const argv[], int *wstatus) {
  int rc = start_program(run, argv);
  if (rc != LENCASE_OK) return rc;
  run->dumpable = supervise_hide();
  rc = relay_open(run);
  if (rc != LENCASE_OK) kill(run->root, SIGKILL);
  loop(run);
  relay_close(run);
  supervise_show(run->dumpable);
  return rc == LENCASE_OK ? start_outcome(run, wstatus) : rc;
}

static int run_open(struct trace_run *run, char *const argv[], int *wstatus) {
  int rc = thread_table_open(run);
  if (rc != LENCASE_OK) return rc;
  affinity_open(&run->affinity);
  relay_block(run);
  rc = run_program(run, argv, wstatus);
  thread_table_close(run);
  window_close(run);
  start_close(run);
  affinity_close(&run->affinity);
  relay_unblock(run);
  return rc;
}

LENCASE_PUBLIC int lencase_trace_run(lencase_state *st, char *const argv[], int *wstatus) {
  struct trace_run *run;
  int rc;
  if (argv == NULL || argv[0] == NULL || wstatus == NULL)
    return state_fail(st, LENCASE_EINVAL, "lencase_trace_run wants a program and a wstatus");
  rc = state_enter(st);
  if (rc != LENCASE_OK) return rc;
  run = state_new(st, sizeof *run);
  if (run == NULL) {
    state_leave(st);
    return state_fail(st, LENCASE_ENOMEM, "no memory for a run");
  }
  run->st = st;
  run->listener = -1;
  run->window.fd = run->window.grow_fd = -1;
  st->run = run;
  rc = run_open(run, argv, wstatus);
  st->run = NULL;
  state_free(st, run, sizeof *run);
  state_leave(st);
  return rc;
}
