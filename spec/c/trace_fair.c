/*
** trace_fair.c - turns: no thread of a traced program is served twice while another waits
** Built by `make test`; by hand: gcc -D_GNU_SOURCE -Icore spec/c/trace_fair.c
**   build/liblencase.a -llua5.4 -lseccomp -lpthread
**
** Each handler waits until all threads of the program stand stopped. Whose turn is next is then up
** to the host alone, and turns can be counted.
*/

#include "trace_fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ptrace.h>

enum { THREADS = 9, CALLS = 100 };

/* {============================= cage programs ============================= */

static pthread_barrier_t start;
static atomic_bool over;

/* getppid takes no argument: which thread it is, for the handler. */
static void *call_on(void *ud) {
  pthread_barrier_wait(&start);
  while (!over) syscall(SYS_getppid, (long)(intptr_t)ud);
  return NULL;
}

static void *call_some(void *ud) {
  int i;
  (void)ud;
  pthread_barrier_wait(&start);
  for (i = 0; i < CALLS; i++) syscall(SYS_getpgid, 0);
  over = true;
  return NULL;
}

/* The thread number 0, the oldest, makes some calls while the others make calls without end. */
static int cage_threads(void) {
  pthread_t threads[THREADS];
  intptr_t i;
  must(pthread_barrier_init(&start, NULL, THREADS) == 0);
  for (i = 0; i < THREADS; i++)
    must(pthread_create(&threads[i], NULL, i == 0 ? call_some : call_on, (void *)i) == 0);
  for (i = 0; i < THREADS; i++) must(pthread_join(threads[i], NULL) == 0);
  return 0;
}

static const struct cage_program cage_programs[] = {{"threads", cage_threads}, {NULL, NULL}};

/* }========================================================================= */

/* {================================= tests ================================= */

static struct {
  bool waits[THREADS];
  int meanwhile[THREADS][THREADS]; /* turns of others while a thread waits */
  int most, calls;
} served;

/*
** The tracer, whose thread this is, may ask that only of a thread that stands in a stop (ptrace(2),
** ESRCH).
*/
static bool is_stopped(pid_t tid) {
  unsigned long message;
  return ptrace(PTRACE_GETEVENTMSG, tid, NULL, &message) == 0;
}

/*
** Of the threads that make calls: the first one, which made them, may stand in the report of the
** last.
*/
static int count_stopped(pid_t pid) {
  const struct dirent *entry;
  char path[64];
  DIR *dir;
  int n = 0;
  snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  dir = opendir(path);
  need(dir != NULL);
  while ((entry = readdir(dir)) != NULL)
    n += atoi(entry->d_name) != pid && is_stopped(atoi(entry->d_name));
  closedir(dir);
  return n;
}

/* Every thread waits by now, also those that ran when this turn was given to 'thread'. */
static void count_turn(int thread) {
  int i;
  for (i = 0; i < THREADS; i++) {
    if (i == thread) continue;
    if (served.waits[i] && ++served.meanwhile[i][thread] > served.most)
      served.most = served.meanwhile[i][thread];
    served.waits[i] = true;
  }
  memset(served.meanwhile[thread], 0, sizeof served.meanwhile[thread]);
  served.waits[thread] = false;
}

/*
** Entry and exit of a call are a turn each. Once the oldest thread has made its calls they do not
** count.
*/
static enum verdict take_turns(struct call *call, enum handler_event ev) {
  bool oldest = call->nr == SYS_getpgid;
  if (served.calls < CALLS && served.most < 100) {
    while (count_stopped((pid_t)call->cage->pid) < THREADS) usleep(100);
    count_turn(oldest ? 0 : (int)call->words[0]);
  }
  if (oldest && ev == HANDLER_RESULT) served.calls++;
  return as_asked(call, ev);
}

static void test_turns(void) {
  struct lencase_state *st = state_fresh();
  seen.times = 1;
  handle(st, SYS_getpgid, take_turns);
  handle(st, SYS_getppid, take_turns);
  is_int(run_cage(st, "threads"), 0, "%d threads make calls", THREADS);
  is_int(served.calls, CALLS, "the oldest has made all of its own");
  is_int(served.most, 1, "and no thread had more than one turn while another waited");
  is_str(log_text, "", "without a message");
  lencase_close(st);
}

int main(int argc, char **argv) {
  fixture_begin(argc, argv);
  test_turns();
  return test_end();
}

/* }========================================================================= */
