/*
** filter.c - what the seccomp filter traps
**
** The calls that an interface names, those that the host must see to keep hold of
** the cage, and nothing else. What it cannot be trapped for is refused here: calls of
** other architectures, and ways to open files without calls. One filter is
** for the whole run; what a trapped call is to a cage is asked when it arrives.
*/

#include "trace_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Calls that the host traps for its own sake; tame.c says what it does about them. */
static const struct {
  int32_t nr;
  struct sig_test test;
} host_traps[] = {
    {SYS_clone, {TEST_ANY, 0, CLONE_UNTRACED, 0}},
    {SYS_clone3, {TEST_ALWAYS, 0, 0, 0}},
    {SYS_sched_getaffinity, {TEST_ALWAYS, 0, 0, 0}},
    {SYS_sched_setaffinity, {TEST_ALWAYS, 0, 0, 0}},
    {SYS_seccomp, {TEST_ALWAYS, 0, 0, 0}},
    {SYS_prctl, {TEST_EQ, 0, 0xffffffff, PR_SET_SECCOMP}},
    {SYS_prctl, {TEST_EQ, 0, 0xffffffff, PR_GET_SECCOMP}},
};

/* The first callnum of an author's own. */
enum { OWN_NRS = 2000 };

enum { API_NOTIFY = 5 }; /* seccomp_api_get(3) */

/*
** Calls without arguments that every container's profile allows: made with the cookie as arguments,
** which the kernel does not look at, one of them fetches the window's descriptor. The first that no
** handler wants, so that the filter need not tell the two apart.
*/
static const int32_t window_calls[] = {SYS_getpgrp, SYS_getppid, SYS_getegid,
                                       SYS_getgid,  SYS_geteuid, SYS_getuid};

static int trap_if(scmp_filter_ctx ctx, int32_t nr, const struct sig_test *t, uint64_t mask,
                   uint64_t value) {
  const struct scmp_arg_cmp cmp = {t->arg, SCMP_CMP_MASKED_EQ, mask, value};
  int rc = seccomp_rule_add_array(ctx, SCMP_ACT_TRACE(0), nr, 1, &cmp);
  return rc == -EEXIST ? 0 : rc;
}

/* Words equal to those of the cookie up to the n-th, which is as 'last' says. */
static unsigned cookie_test(const struct trace_run *run, unsigned n, enum scmp_compare last,
                            struct scmp_arg_cmp cmp[TRACE_COOKIE]) {
  unsigned i;
  for (i = 0; i <= n; i++)
    cmp[i] = (struct scmp_arg_cmp){i, i < n ? SCMP_CMP_EQ : last, run->cookie[i], 0};
  return n + 1;
}

/* The same call as the program makes it: one word of the cookie is another. */
static int trap_window_call(const struct trace_run *run, scmp_filter_ctx ctx) {
  struct scmp_arg_cmp cmp[TRACE_COOKIE];
  unsigned i;
  int rc = 0;
  for (i = 0; i < TRACE_COOKIE && rc == 0; i++)
    rc = seccomp_rule_add_array(ctx, SCMP_ACT_TRACE(0), run->window_call,
                                cookie_test(run, i, SCMP_CMP_NE, cmp), cmp);
  return rc;
}

static int trap(const struct trace_run *run, scmp_filter_ctx ctx, int32_t nr) {
  int rc = nr == run->window_call ? trap_window_call(run, ctx)
                                  : seccomp_rule_add_array(ctx, SCMP_ACT_TRACE(0), nr, 0, NULL);
  return rc == -EEXIST ? 0 : rc;
}

/* Any bit of the mask: a rule for each. */
static int trap_any(scmp_filter_ctx ctx, int32_t nr, const struct sig_test *t) {
  uint64_t bit;
  int rc = 0;
  for (bit = 1; bit != 0 && rc == 0; bit <<= 1)
    if (t->mask & bit) rc = trap_if(ctx, nr, t, bit, bit);
  return rc;
}

static int trap_test(const struct trace_run *run, scmp_filter_ctx ctx, int32_t nr,
                     const struct sig_test *t) {
  switch (t->op) {
    case TEST_EQ: return trap_if(ctx, nr, t, t->mask, t->value);
    case TEST_ANY: return trap_any(ctx, nr, t);
    case TEST_NONE: return trap_if(ctx, nr, t, t->mask, 0);
    default: return trap(run, ctx, nr);
  }
}

static void note_kind(struct trace_run *run, int32_t nr, uint8_t kind) {
  if (nr < TRACE_KINDS)
    run->kinds[nr] |= kind;
  else if (kind == KIND_WANTED)
    run->far_wanted = true;
  if (kind == KIND_WANTED && nr >= OWN_NRS) run->own_wanted = true;
}

/* {================================= traps ================================= */

static const struct sig_test test_any_args = {.op = TEST_ALWAYS};

static bool is_trapped(const struct traps *traps, int32_t nr, const struct sig_test *test) {
  size_t i;
  for (i = 0; i < traps->n; i++)
    if (traps->list[i].nr == nr &&
        (traps->list[i].test.op == TEST_ALWAYS || sig_test_same(&traps->list[i].test, test)))
      return true;
  return false;
}

static int note_trap(struct trace_run *run, int32_t nr, const struct sig_test *test) {
  struct traps *traps = &run->traps;
  size_t capacity = traps->capacity > 0 ? 2 * traps->capacity : 64;
  struct trap *list;
  if (traps->n == traps->capacity) {
    list = state_realloc(run->st, traps->list, traps->capacity * sizeof *list,
                         capacity * sizeof *list);
    if (list == NULL) return -ENOMEM;
    traps->list = list;
    traps->capacity = capacity;
  }
  traps->list[traps->n++] = (struct trap){nr, *test};
  return 0;
}

void filter_close(struct trace_run *run) {
  state_free(run->st, run->traps.list, run->traps.capacity * sizeof *run->traps.list);
  run->traps = (struct traps){0};
}

/* }========================================================================= */

/* An absent entry takes no call until its grate says so, which extends the filter. */
static const struct route_link *next_wanting(const struct route_link *link) {
  while (link != NULL && route_status(link) == ROUTE_ABSENT) link = link->next;
  return link;
}

static bool any_takes_all(const struct route_link *link) {
  while (link != NULL && link->entry->answer->ntests > 0) link = next_wanting(link->next);
  return link != NULL;
}

/* What is trapped already needs no rule in a further filter. */
static int trap_new(struct trace_run *run, scmp_filter_ctx ctx, int32_t nr,
                    const struct sig_test *test) {
  int rc;
  if (is_trapped(&run->traps, nr, test)) return 0;
  rc = trap_test(run, ctx, nr, test);
  return rc == 0 ? note_trap(run, nr, test) : rc;
}

/* What one of them wants, or may come to want: each has tests, or one takes every call. */
static int trap_entries(struct trace_run *run, scmp_filter_ctx ctx, int32_t nr,
                        const struct route_link *link) {
  int i, rc = 0;
  if (any_takes_all(link)) return trap_new(run, ctx, nr, &test_any_args);
  for (; link != NULL; link = next_wanting(link->next))
    for (i = 0; i < link->entry->answer->ntests && rc == 0; i++)
      rc = trap_new(run, ctx, nr, &link->entry->answer->tests[i]);
  return rc;
}

static int trap_wanted(struct trace_run *run, scmp_filter_ctx ctx,
                       const struct lencase_cage *cage) {
  const struct route_link *links;
  int rc = 0;
  int32_t nr;
  for (nr = call_next_wanted(cage, -1, &links); nr >= 0 && rc == 0;
       nr = call_next_wanted(cage, nr, &links)) {
    links = next_wanting(links);
    if (links == NULL) continue;
    run->wanted = true;
    note_kind(run, nr, KIND_WANTED);
    rc = trap_entries(run, ctx, nr, links);
  }
  return rc;
}

bool filter_any_wanted(const struct lencase_cage *cage) {
  const struct route_link *links;
  int32_t nr = call_next_wanted(cage, -1, &links);
  while (nr >= 0 && next_wanting(links) == NULL) nr = call_next_wanted(cage, nr, &links);
  return nr >= 0;
}

static int trap_host(struct trace_run *run, scmp_filter_ctx ctx) {
  size_t i;
  int rc = 0;
  for (i = 0; i < sizeof host_traps / sizeof *host_traps && rc == 0; i++) {
    note_kind(run, host_traps[i].nr, KIND_HOST);
    rc = trap_test(run, ctx, host_traps[i].nr, &host_traps[i].test);
  }
  return rc;
}

static int choose_window_call(struct trace_run *run, const struct lencase_cage *cage) {
  const struct route_link *links;
  size_t i = 0, last = sizeof window_calls / sizeof *window_calls - 1;
  while (i < last && call_next_wanted(cage, window_calls[i] - 1, &links) == window_calls[i]) i++;
  run->window_call = window_calls[i];
  return getrandom(run->cookie, sizeof run->cookie, 0) == sizeof run->cookie ? 0 : -errno;
}

/* The call with the cookie, which fetches the window's descriptor. Old kernels cannot notify. */
static int notify_window(struct trace_run *run, scmp_filter_ctx ctx) {
  struct scmp_arg_cmp cmp[TRACE_COOKIE];
  unsigned n = cookie_test(run, TRACE_COOKIE - 1, SCMP_CMP_EQ, cmp);
  if (seccomp_api_get() < API_NOTIFY) return 0;
  return seccomp_rule_add_array(ctx, SCMP_ACT_NOTIFY, run->window_call, n, cmp);
}

static int add_rules(struct trace_run *run, scmp_filter_ctx ctx, const struct lencase_cage *cage) {
  int rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
  if (rc == 0) rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  run->wanted = run->observer->handles_any;
  if (rc == 0) rc = choose_window_call(run, cage);
  if (rc == 0) rc = trap_wanted(run, ctx, cage);
  if (rc == 0) rc = trap_host(run, ctx);
  if (rc == 0) rc = notify_window(run, ctx);
  if (rc == 0 && run->wanted && (run->kinds[SYS_io_uring_setup] & KIND_WANTED) == 0)
    rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SYS_io_uring_setup, 0);
  return rc;
}

/* The program that libseccomp made of the rules, by a pipe, which holds more than a filter. */
static int export_code(scmp_filter_ctx ctx, void *code, size_t capacity, size_t *n) {
  ssize_t size = -1;
  int rc, ends[2];
  char more;
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -errno;
  rc = seccomp_export_bpf(ctx, ends[1]);
  close(ends[1]);
  if (rc == 0) size = read(ends[0], code, capacity * 8);
  if (rc == -EAGAIN || (rc == 0 && (size <= 0 || read(ends[0], &more, 1) != 0))) rc = -E2BIG;
  close(ends[0]);
  *n = size > 0 ? (size_t)size / 8 : 0;
  assert(*n <= capacity);
  return rc;
}

static int built(struct trace_run *run, scmp_filter_ctx ctx, int rc) {
  if (ctx != NULL) seccomp_release(ctx);
  if (rc == 0) return LENCASE_OK;
  return state_fail(run->st, LENCASE_EHOST, "the seccomp filter could not be built: %s",
                    strerror(-rc));
}

int filter_build(struct trace_run *run, const struct lencase_cage *cage, void *code,
                 size_t capacity, size_t *n) {
  scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
  int rc = ctx != NULL ? add_rules(run, ctx, cage) : -ENOMEM;
  if (rc == 0) rc = export_code(ctx, code, capacity, n);
  return built(run, ctx, rc);
}

/* Other architectures are refused by the first filter. */
int filter_build_more(struct trace_run *run, void *code, size_t capacity, size_t *n) {
  scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
  size_t before = run->traps.n, i;
  const struct thread *t;
  int rc = ctx != NULL ? seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW) : -ENOMEM;
  if (rc == 0) rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (i = 0; i < run->threads.nbuckets; i++)
    for (t = run->threads.buckets[i]; t != NULL && rc == 0; t = t->chain)
      if (t->proc != NULL && t->tid == t->proc->tgid) rc = trap_wanted(run, ctx, t->proc->cage);
  *n = 0;
  if (rc == 0 && run->traps.n > before) rc = export_code(ctx, code, capacity, n);
  return built(run, ctx, rc);
}
