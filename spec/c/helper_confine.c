/*
** helper_confine.c - runs a program under a seccomp filter, as a container's runtime would
**
**   helper_confine [-e CALL=ERRNO]... [-k CALL]... [-n CALL]... [-f FILE] [--] PROGRAM ARGS...
**
** -e answers a call with an errno, by name or number; -k kills the process that makes it; -n hands
** it to a listener of ours, which lets it go on (SECCOMP_USER_NOTIF_FLAG_CONTINUE). -f reads rules,
** a line each, as scripts/seccomp-rules writes them from a profile of Docker's or Podman's:
**
**   default ACTION               before any other: what becomes of calls that no rule names
**   arch NAME                    the rules hold for this architecture, too
**   ACTION CALL [TEST]...        a rule; TEST is arg,op,value[,value2], all of a rule must hold
**
** ACTION is allow, kill or an errno; op one of eq ne lt le ge gt masked. A call that this
** libseccomp does not know is left out. no_new_privs is set only where no filter can be loaded
** without.
*/

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 6, NOTIFIED_MAX = 64 };

static void fail(const char *what, const char *why) __attribute__((noreturn));

static void fail(const char *what, const char *why) {
  fprintf(stderr, "helper_confine: %s: %s\n", what, why);
  exit(125);
}

static int errno_of(const char *text) {
  char *end;
  long n = strtol(text, &end, 10);
  int i;
  if (end != text && *end == '\0' && n >= 0 && n < 4096) return (int)n;
  for (i = 1; i < 134; i++) {
    const char *name = strerrorname_np(i);
    if (name != NULL && strcmp(name, text) == 0) return i;
  }
  fail(text, "no errno");
}

static uint32_t action_of(const char *text) {
  if (strcmp(text, "allow") == 0) return SCMP_ACT_ALLOW;
  if (strcmp(text, "kill") == 0) return SCMP_ACT_KILL_PROCESS;
  return SCMP_ACT_ERRNO((uint16_t)errno_of(text));
}

static enum scmp_compare compare_of(const char *text) {
  static const struct {
    const char *name;
    enum scmp_compare op;
  } ops[] = {{"eq", SCMP_CMP_EQ},           {"ne", SCMP_CMP_NE}, {"lt", SCMP_CMP_LT},
             {"le", SCMP_CMP_LE},           {"ge", SCMP_CMP_GE}, {"gt", SCMP_CMP_GT},
             {"masked", SCMP_CMP_MASKED_EQ}};
  size_t i;
  for (i = 0; i < sizeof ops / sizeof *ops; i++)
    if (strcmp(ops[i].name, text) == 0) return ops[i].op;
  fail(text, "no comparison");
}

static struct scmp_arg_cmp test_of(char *text) {
  struct scmp_arg_cmp cmp = {0};
  char *save = NULL, *arg = strtok_r(text, ",", &save), *op = strtok_r(NULL, ",", &save);
  char *a = strtok_r(NULL, ",", &save), *b = strtok_r(NULL, ",", &save);
  if (arg == NULL || op == NULL || a == NULL) fail("-f", "a test is arg,op,value[,value2]");
  cmp.arg = (unsigned)strtoul(arg, NULL, 0);
  cmp.op = compare_of(op);
  cmp.datum_a = strtoull(a, NULL, 0);
  cmp.datum_b = b != NULL ? strtoull(b, NULL, 0) : 0;
  return cmp;
}

static void add(scmp_filter_ctx ctx, uint32_t action, const char *call, unsigned n,
                const struct scmp_arg_cmp *tests) {
  int rc, nr = seccomp_syscall_resolve_name(call);
  if (nr < 0) nr = strspn(call, "0123456789") == strlen(call) ? atoi(call) : nr;
  if (nr < 0) return;
  rc = seccomp_rule_add_array(ctx, action, nr, n, tests);
  if (rc != 0 && rc != -EEXIST && rc != -EACCES)
    fail(call, strerror(-rc)); /* EACCES: the default */
}

static void rule(scmp_filter_ctx ctx, char *line) {
  struct scmp_arg_cmp tests[ARGS_MAX];
  unsigned n = 0;
  char *save = NULL, *action = strtok_r(line, " \n", &save), *call = strtok_r(NULL, " \n", &save);
  char *text;
  if (action == NULL || call == NULL) fail("-f", "a rule is ACTION CALL [TEST]...");
  if (strcmp(action, "arch") == 0) {
    seccomp_arch_add(ctx, seccomp_arch_resolve_name(call));
    return;
  }
  while (n < ARGS_MAX && (text = strtok_r(NULL, " \n", &save)) != NULL) tests[n++] = test_of(text);
  add(ctx, action_of(action), call, n, tests);
}

/* The filter with its default action, from FILE if there is one. */
static scmp_filter_ctx filter_of(const char *path) {
  char line[512], word[64];
  FILE *file = path != NULL ? fopen(path, "r") : NULL;
  scmp_filter_ctx ctx;
  if (path == NULL) return seccomp_init(SCMP_ACT_ALLOW);
  if (file == NULL) fail(path, strerror(errno));
  if (fgets(line, sizeof line, file) == NULL || sscanf(line, "default %63s", word) != 1)
    fail(path, "the first line is to be: default ACTION");
  ctx = seccomp_init(action_of(word));
  while (ctx != NULL && fgets(line, sizeof line, file) != NULL) rule(ctx, line);
  fclose(file);
  return ctx;
}

/* Lets every call that the listener is told of go on, until the program has ended. */
static void let_go_on(int listener) {
  struct seccomp_notif *note;
  struct seccomp_notif_resp *answer;
  struct pollfd pfd = {.fd = listener, .events = POLLIN};
  if (seccomp_notify_alloc(&note, &answer) != 0) fail("listener", "no memory");
  while (poll(&pfd, 1, -1) > 0 && (pfd.revents & POLLIN) != 0) {
    memset(note, 0, sizeof *note);
    if (seccomp_notify_receive(listener, note) != 0) continue;
    memset(answer, 0, sizeof *answer);
    answer->id = note->id;
    answer->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    seccomp_notify_respond(listener, answer);
  }
}

/*
** An orphan that serves the listener and is not under the filter itself: made before it, it shares
** our descriptors, and is told the listener's number through 'gate'. Its answer there says that it
** has it.
*/
static void start_server(int gate) {
  int listener;
  long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
  if (pid != 0) {
    waitpid((pid_t)pid, NULL, 0);
    return;
  }
  if (syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0) != 0) _exit(0);
  setsid();
  if (read(gate, &listener, sizeof listener) != (ssize_t)sizeof listener) _exit(0);
  listener = fcntl(listener, F_DUPFD_CLOEXEC, 0); /* the other is closed in what we share */
  if (write(gate, "", 1) == 1) let_go_on(listener);
  _exit(0);
}

static void hand_listener(scmp_filter_ctx ctx, int gate) {
  int listener = seccomp_notify_fd(ctx);
  char byte;
  if (write(gate, &listener, sizeof listener) < 0 || read(gate, &byte, 1) != 1)
    fail("listener", "its server is gone");
  close(listener);
}

int main(int argc, char **argv) {
  const char *path = NULL, *answered[NOTIFIED_MAX], *killed[NOTIFIED_MAX], *notified[NOTIFIED_MAX];
  unsigned na = 0, nk = 0, nn = 0, i;
  scmp_filter_ctx ctx;
  int opt, rc, gate[2];
  while ((opt = getopt(argc, argv, "+e:k:n:f:")) != -1) {
    if (opt == 'e' && na < NOTIFIED_MAX) answered[na++] = optarg;
    if (opt == 'k' && nk < NOTIFIED_MAX) killed[nk++] = optarg;
    if (opt == 'n' && nn < NOTIFIED_MAX) notified[nn++] = optarg;
    if (opt == 'f') path = optarg;
    if (opt == '?') return 125;
  }
  if (optind == argc)
    fail("usage", "[-e CALL=ERRNO] [-k CALL] [-n CALL] [-f FILE] PROGRAM ARGS...");
  ctx = filter_of(path);
  if (ctx == NULL) fail("seccomp_init", "no memory");
  for (i = 0; i < na; i++) {
    char *is = strchr(answered[i], '=');
    if (is == NULL) fail(answered[i], "expected CALL=ERRNO");
    *is = '\0';
    add(ctx, action_of(is + 1), answered[i], 0, NULL);
  }
  for (i = 0; i < nk; i++) add(ctx, SCMP_ACT_KILL_PROCESS, killed[i], 0, NULL);
  for (i = 0; i < nn; i++) add(ctx, SCMP_ACT_NOTIFY, notified[i], 0, NULL);
  if (nn > 0) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate) != 0)
      fail("socketpair", strerror(errno));
    start_server(gate[1]);
  }
  rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
  if (rc == 0) rc = seccomp_load(ctx);
  if (rc != 0 && seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 1) == 0) rc = seccomp_load(ctx);
  if (rc != 0) fail("the filter could not be loaded", strerror(-rc));
  if (nn > 0) hand_listener(ctx, gate[0]);
  execvp(argv[optind], argv + optind);
  fail(argv[optind], strerror(errno));
}
