/*
** trace_fixture.h - what the C tests of the trace host are written with
**
** A test program is its own cage: run_cage(st, "x") executes the program again, and there
** the function of that name in 'cage_programs' runs and gives the exit status.
*/

#ifndef TRACE_FIXTURE_H
#define TRACE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "call.h"
#include "test.h"
#include "test_route.h"

struct cage_program {
  const char *name;
  int (*main)(void);
};

/* Every test program has one; it ends with a NULL name. */
static const struct cage_program cage_programs[];

enum { ROUTES = 512, LOG_MAX = 4096 };

static struct route_entry routes[ROUTES];
static struct route_answer answers[ROUTES];
static char log_text[LOG_MAX], self[1024];

/* What the handlers of a test saw. */
static struct {
  long starts[ROUTES], results, drops;
  int times;
} seen;

static void log_line(void *ud, const char *line) {
  size_t used = strlen(log_text);
  (void)ud;
  snprintf(log_text + used, LOG_MAX - used, "%s\n", line);
}

/* A fresh state; nothing seen. */
static struct lencase_state *state_fresh(void) {
  static const lencase_config config = {.log = log_line};
  struct lencase_state *st = lencase_new(&config);
  need(st != NULL);
  memset(&seen, 0, sizeof seen);
  memset(routes, 0, sizeof routes);
  log_text[0] = '\0';
  return st;
}

__attribute__((unused)) static void handle(struct lencase_state *st, int32_t nr, handler_fn fn) {
  answers[nr] = (struct route_answer){.handler = fn};
  routes[nr] = (struct route_entry){.family = nr, .answer = &answers[nr]};
  need(test_route(st, &st->first_routes, nr, &routes[nr]) == LENCASE_OK);
}

/*
** Makes the call 'seen.times' times over, all but the last as getpid; 0: lets it through.
*/
__attribute__((unused)) static enum verdict as_asked(struct call *call, enum handler_event ev) {
  if (ev == HANDLER_DROP) seen.drops++;
  if (ev == HANDLER_START) seen.starts[call->nr]++;
  if (ev == HANDLER_RESULT) seen.results++;
  if (ev == HANDLER_DROP || seen.times == 0) return VERDICT_PASS;
  while ((int)call->downcalls < seen.times) {
    bool last = (int)call->downcalls == seen.times - 1;
    if (call_down(call, last ? call->nr : SYS_getpid, call->words) == VERDICT_PARKED)
      return VERDICT_PARKED;
  }
  call->result = call->down_result;
  return VERDICT_DONE;
}

static int run_argv(struct lencase_state *st, char *const argv[]) {
  int wstatus = -1, rc = lencase_trace_run(st, argv, &wstatus);
  if (rc != LENCASE_OK) note("%s: %s", lencase_status_name(rc), lencase_error(st));
  return rc == LENCASE_OK ? wstatus : -1;
}

/* The status of the program 'name', run under 'st'; -1 when it did not run. */
__attribute__((unused)) static int run_cage(struct lencase_state *st, const char *name) {
  char word[] = "cage", copy[64];
  char *argv[] = {self, word, copy, NULL};
  snprintf(copy, sizeof copy, "%s", name);
  return run_argv(st, argv);
}

/* The same natively. */
__attribute__((unused)) static int run_native(const char *name) {
  int status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    execl(self, self, "cage", name, NULL);
    _exit(126);
  }
  need(waitpid(pid, &status, 0) == pid);
  return status;
}

/* In a cage: the program asked for. */
static void fixture_begin(int argc, char **argv) {
  const struct cage_program *p;
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  need(n > 0);
  self[n] = '\0';
  if (argc < 3 || strcmp(argv[1], "cage") != 0) {
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* in cages: no tracer but us */
    return;
  }
  for (p = cage_programs; p->name != NULL; p++)
    if (strcmp(p->name, argv[2]) == 0) exit(p->main());
  exit(99);
}

/* Fails a cage program with its line as a reason. */
#define must(cond)                                                                    \
  do {                                                                                \
    if (!(cond)) {                                                                    \
      dprintf(2, "# cage: %s:%d: %s (errno %d)\n", __FILE__, __LINE__, #cond, errno); \
      _exit(1);                                                                       \
    }                                                                                 \
  } while (0)

/* In a cage: waits until a thread sleeps in the kernel, or has ended and is a zombie. */
__attribute__((unused)) static void until_asleep(pid_t tid) {
  char path[64], text[256], state;
  do {
    FILE *f;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)tid);
    f = fopen(path, "r");
    must(f != NULL);
    must(fgets(text, sizeof text, f) != NULL);
    fclose(f);
    must(sscanf(strrchr(text, ')'), ") %c", &state) == 1);
    usleep(1000);
  } while (state != 'S' && state != 'Z');
}

#endif
