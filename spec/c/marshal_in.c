/*
** marshal_in.c - the in-steps: exactly the bytes that an argument has, once, bounded
*/

#include <fcntl.h>

#include "marshal_fixture.h"

static void is_bad(const struct run *r, int arg, enum snap_cut cut, const char *what) {
  is_int(r->snaps[arg].state, SNAP_BAD, "%s", what);
  is_int(r->snaps[arg].cut, cut, "for the right reason");
}

/* So much is there of a buffer, and 'told' was asked for. */
static void is_cut(const struct run *r, size_t size, uint64_t told, enum snap_cut cut) {
  is_int(r->snaps[1].state, SNAP_HELD, "is seen");
  is_int(r->snaps[1].size, size, "as far as it goes");
  is_int(r->snaps[1].told, told, "with what was asked for");
  is_int(r->snaps[1].cut, cut, "and why it ends");
}

/* {================================ strings ================================ */

static const size_t lengths[] = {0,    1,    2,    1022, 1023, 1024,  1025,
                                 4094, 4095, 4096, 4097, 8191, 12288, 100000};

static void strings(void) {
  struct world w;
  struct run r;
  char *copy;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "unlink", LENCASE_COPY_ALL_ARGS);
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    uint64_t addr = put_letters(&w, lengths[i], &copy);
    is_int(run_in(&r, addr), LENCASE_OK, "a string of %zu at a page's end", lengths[i]);
    is_int(r.snaps[0].size, lengths[i], "its size");
    is_mem(r.snaps[0].data, copy, lengths[i] + 1, "its bytes and its NUL");
    if (lengths[i] < 1024)
      is_int(r.reads, (addr + lengths[i]) / PAGE == addr / PAGE ? 1 : 2,
             "by one read, or one for each page");
    free(copy);
  }
  run_close(&r);
  world_close(&w);
}

static void bad_strings(void) {
  static const uint64_t nowhere[] = {1, SIM_BASE - 1, UINT64_MAX, UINT64_MAX - PAGE,
                                     UINT64_C(1) << 63};
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "unlink", LENCASE_COPY_ALL_ARGS);
  uint64_t addr = world_put(&w, "abc", 3);
  is_int(run_in(&r, addr), LENCASE_OK, "a string without an end is no failure");
  is_bad(&r, 0, CUT_FAULT, "but bad");
  is_int(r.snaps[0].size, 3, "what there is of it is held");
  is_int(r.snaps[0].addr, addr, "and has an address");
  for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++) {
    is_int(run_in(&r, nowhere[i]), LENCASE_OK, "a string at 0x%" PRIx64, nowhere[i]);
    is_bad(&r, 0, CUT_FAULT, "is bad");
  }
  is_int(run_in(&r, 0), LENCASE_OK, "NULL is no error of ours");
  is_int(r.snaps[0].state, SNAP_NULL, "it is seen as NULL");
  is_int(r.reads, 0, "and nothing is read");
  run_close(&r);
  world_close(&w);
}

static void long_strings(uint32_t max) {
  struct world w;
  struct run r;
  char *copy;
  world_open(&w, &(lencase_config){.max_string = max}, NULL);
  run_open(&r, &w, "unlink", LENCASE_COPY_ALL_ARGS);
  is_int(run_in(&r, put_letters(&w, max - 1, &copy)), LENCASE_OK, "a string of max_string %u", max);
  free(copy);
  is_int(run_in(&r, put_letters(&w, max, &copy)), LENCASE_OK, "a longer one");
  is_bad(&r, 0, CUT_LIMIT, "is bad");
  free(copy);
  is_int(run_in(&r, put_letters(&w, 4 * max + 20 * PAGE, &copy)), LENCASE_OK, "a much longer one");
  is_bad(&r, 0, CUT_LIMIT, "is bad");
  ok(r.reads <= 8, "of which no more is read than need be: %u reads", r.reads);
  free(copy);
  run_close(&r);
  world_close(&w);
}

/* No call reads more of a string than execve(2) of an argument: that is all of it. */
static void longest_string(void) {
  enum { MOST = 131072 };
  struct world w;
  struct run r;
  char *copy;
  world_open(&w, NULL, &(struct sim_config){.memory = 8 << 20, .guard = true});
  run_open(&r, &w, "unlink", LENCASE_COPY_ALL_ARGS);
  is_int(run_in(&r, put_letters(&w, MOST + 10, &copy)), LENCASE_OK, "a string that nothing takes");
  is_int(r.snaps[0].state, SNAP_HELD, "is seen");
  is_int(r.snaps[0].size, MOST, "as far as a call reads");
  is_mem(r.snaps[0].data, copy, MOST, "its bytes");
  is_int(r.snaps[0].data[MOST], 0, "and a NUL");
  free(copy);
  run_close(&r);
  run_open(&r, &w, "prctl", LENCASE_COPY_ALL_ARGS);
  is_int(run_in(&r, 15, world_put(&w, "sixteen letters!", 16)), LENCASE_OK, "PR_SET_NAME, no NUL");
  is_int(r.snaps[1].size, 16, "16 bytes are all of a name");
  run_close(&r);
  world_close(&w);
}

/* }========================================================================= */

/* {================================ buffers ================================ */

static void buffers(void) {
  static char bytes[2 * PAGE + 5];
  struct world w;
  struct run r;
  world_open(&w, &(lencase_config){.max_call_bytes = 3 * PAGE}, NULL);
  run_open(&r, &w, "write", LENCASE_COPY_ALL_ARGS);
  memset(bytes, 'b', sizeof bytes);
  uint64_t addr = world_put(&w, bytes, sizeof bytes);
  is_int(run_in(&r, 1, addr, sizeof bytes), LENCASE_OK, "a buffer that ends at a guard page");
  is_int(r.snaps[1].size, sizeof bytes, "its size");
  is_mem(r.snaps[1].data, bytes, sizeof bytes, "its bytes");
  is_int(r.reads, 1, "by one read");
  is_int(r.snaps[0].state, SNAP_NONE, "an integer has no snapshot");
  is_int(run_in(&r, 1, addr, sizeof bytes + 1), LENCASE_OK, "one byte more than there is");
  is_cut(&r, sizeof bytes, sizeof bytes + 1, CUT_FAULT);
  is_int(run_in(&r, 1, addr, 3 * PAGE + 1), LENCASE_OK, "more than max_call_bytes");
  is_cut(&r, 3 * PAGE / 2, 3 * PAGE + 1, CUT_LIMIT);
  is_int(run_in(&r, 1, addr, SIZE_MAX), LENCASE_OK, "as much as can be said");
  is_cut(&r, 3 * PAGE / 2, SIZE_MAX, CUT_LIMIT);
  is_int(run_in(&r, 1, 1, 0), LENCASE_OK, "no bytes from nowhere");
  is_int(r.snaps[1].size, 0, "are none");
  is_int(run_in(&r, 1, 0, 5), LENCASE_OK, "NULL with a count");
  is_int(r.snaps[1].state, SNAP_NULL, "is NULL");
  is_int(run_in(&r, 1, UINT64_MAX, 2), LENCASE_OK, "over the end of all addresses");
  is_bad(&r, 1, CUT_FAULT, "is bad");
  run_close(&r);
  world_close(&w);
}

static void counts_with_signs(void) {
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "connect", LENCASE_COPY_ALL_ARGS);
  uint64_t addr = world_put(&w, "0123456789abcdef", 16);
  is_int(run_in(&r, 3, addr, 16), LENCASE_OK, "an address of 16 bytes");
  is_mem(r.snaps[1].data, "0123456789abcdef", 16, "its bytes");
  is_int(run_in(&r, 3, addr, UINT64_C(0xdead00000010)), LENCASE_OK, "an int is 32 bits");
  is_int(r.snaps[1].size, 16, "whatever stands above them");
  is_int(run_in(&r, 3, addr, UINT32_MAX), LENCASE_OK,
         "a negative length is the kernel's to refuse");
  is_int(r.snaps[1].size, 0, "and has no bytes");
  run_close(&r);
  world_close(&w);
}

/* }========================================================================= */

/* {================================= iovecs ================================ */

struct run_of {
  uint64_t base, len;
};

static uint64_t put_iov(struct world *w, const struct run_of *iov, size_t n) {
  return world_put(w, iov, n * sizeof *iov);
}

static void iovecs(void) {
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "writev", LENCASE_COPY_ALL_ARGS);
  uint64_t a = world_put(&w, "first", 5), b = world_put(&w, "second", 6);
  struct run_of iov[] = {{a, 5}, {b, 6}, {1, 0}, {b + 3, 3}, {0, 0}};
  uint64_t addr = put_iov(&w, iov, 5);
  is_int(run_in(&r, 1, addr, 5), LENCASE_OK, "five runs, two empty, two overlapping");
  is_int(r.reads, 2, "by two reads: the array, all that it points to");
  is_int(r.snaps[1].nparts, 5, "five parts");
  const struct snap_part *p = r.snaps[1].parts;
  is_mem(p[0].data, "first", 5, "the first");
  is_mem(p[1].data, "second", 6, "the second");
  is_mem(p[3].data, "ond", 3, "the fourth");
  is_int(p[2].size + p[4].size, 0, "the empty ones");
  is_int(p[3].addr, b + 3, "a part knows its address");
  is_int(run_in(&r, 1, addr, 6), LENCASE_OK, "an array that ends too early");
  is_bad(&r, 1, CUT_FAULT, "is bad");
  is_int(run_in(&r, 1, addr, 0), LENCASE_OK, "no runs");
  is_int(r.snaps[1].nparts, 0, "no parts");
  is_int(run_in(&r, 1, 1, 0), LENCASE_OK, "no runs at nowhere");
  is_int(run_in(&r, 1, addr, 1025), LENCASE_OK, "more runs than Linux has");
  is_bad(&r, 1, CUT_COUNT, "are bad");
  is_int(run_in(&r, 1, addr, UINT64_C(0x100000001)), LENCASE_OK, "a count of 64 bits");
  is_bad(&r, 1, CUT_COUNT, "is bad");
  is_int(run_in(&r, 1, addr, UINT64_MAX), LENCASE_OK, "a negative one");
  is_bad(&r, 1, CUT_COUNT, "is bad");
  is_int(r.reads, 0, "and nothing is read");
  is_int(run_in(&r, 1, 0, 3), LENCASE_OK, "NULL with a count");
  is_int(r.snaps[1].state, SNAP_NULL, "is NULL");
  run_close(&r);
  world_close(&w);
}

static void many_runs(void) {
  static struct run_of iov[1024];
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "writev", LENCASE_COPY_ALL_ARGS);
  uint64_t a = world_put(&w, "0123456789", 10);
  for (size_t i = 0; i < 1024; i++) iov[i] = (struct run_of){a + i % 10, 1};
  is_int(run_in(&r, 1, put_iov(&w, iov, 1024), 1024), LENCASE_OK, "1024 runs");
  ok(r.reads <= 1 + 1024 / 64, "in batches: %u reads", r.reads);
  bool all = true;
  for (size_t i = 0; i < 1024; i++) all = all && *r.snaps[1].parts[i].data == '0' + i % 10;
  ok(all, "each has its byte");
  run_close(&r);
  world_close(&w);
}

static void bad_iovecs(void) {
  static char bytes[3000];
  struct world w;
  struct run r;
  world_open(&w, &(lencase_config){.max_call_bytes = 8192}, NULL);
  run_open(&r, &w, "writev", LENCASE_COPY_ALL_ARGS);
  uint64_t a = world_put(&w, bytes, sizeof bytes);
  const struct snap_part *p;
  struct run_of bad[] = {{a, 8}, {a, 3001}, {a, 8}},
                wild[] = {{a, 8}, {UINT64_C(0xffff800000000000), 8}};
  struct run_of negative[] = {{a, 8}, {a, SIZE_MAX}}, sum[] = {{a, 3000}, {a, 3000}, {a, 3000}};
  is_int(run_in(&r, 1, put_iov(&w, bad, 3), 3), LENCASE_OK, "a run over a guard page");
  p = r.snaps[1].parts;
  is_int(p[0].cut, CUT_NONE, "the one before it is whole");
  is_int(p[1].size, 3000, "it is seen as far as it goes");
  is_int(p[1].told, 3001, "with its own length");
  is_int(p[1].cut, CUT_FAULT, "and why it ends");
  is_int(run_in(&r, 1, put_iov(&w, wild, 2), 2), LENCASE_OK, "a run in the kernel's half");
  ok(r.snaps[1].parts[1].data == NULL, "has no bytes");
  is_int(run_in(&r, 1, put_iov(&w, negative, 2), 2), LENCASE_OK, "a negative length");
  ok(r.snaps[1].parts[0].data == NULL, "has none of the runs read");
  is_int(r.snaps[1].parts[1].told, SIZE_MAX, "and is kept");
  is_int(run_in(&r, 1, put_iov(&w, sum, 3), 3), LENCASE_OK, "over the limit in all");
  p = r.snaps[1].parts;
  is_int(p[1].size, 3000, "as long as there is room");
  is_int(p[2].cut, CUT_LIMIT, "runs are seen");
  is_int(run_in(&r, 1, put_iov(&w, sum, 2), 2), LENCASE_OK, "and below it");
  is_int(r.snaps[1].parts[1].cut, CUT_NONE, "whole");
  run_close(&r);
  world_close(&w);
}

static void iovecs_to_fill(void) {
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "readv", LENCASE_COPY_ALL_ARGS);
  struct run_of iov[] = {{1, 1 << 20}, {2, 0}};
  is_int(run_in(&r, 0, put_iov(&w, iov, 2), 2), LENCASE_OK, "an iovec to be filled");
  is_int(r.reads, 1, "its array is read");
  is_int(r.snaps[1].nparts, 2, "its parts are there");
  ok(r.snaps[1].parts[0].data == NULL, "and none of their bytes");
  is_int(r.snaps[1].parts[0].told, 1 << 20, "their size is");
  run_close(&r);
  world_close(&w);
}

/* }========================================================================= */

/* {============================ arrays of strings ========================== */

/*
** An array of 'n' strings "s0", "s1", ..., the last one and the array's NULL at guard pages;
** 'skew' moves the array off its alignment.
*/
static uint64_t put_strv(struct world *w, size_t n, size_t skew) {
  enum { EACH = 24 };
  char *strings = calloc(n + 1, EACH);
  uint64_t *array = calloc(n + 1, sizeof *array);
  need(strings != NULL && array != NULL);
  for (size_t i = 0; i < n; i++) snprintf(strings + EACH * i, EACH, "s%zu", i);
  uint64_t first = world_put(w, strings, EACH * (n + 1));
  for (size_t i = 0; i < n; i++) array[i] = first + EACH * i;
  uint64_t at = sim_alloc(w->cage, 8 * (n + 1) + skew);
  struct mem_seg seg = {at, array, 8 * (n + 1)};
  need(at != 0 && w->cage->ops->write(w->cage, &seg) == LENCASE_OK);
  free(strings);
  free(array);
  return at;
}

static bool strv_is_there(const struct snapshot *s, size_t n) {
  bool all = s->nparts == n;
  for (size_t i = 0; all && i < n; i++) {
    char want[16];
    int size = snprintf(want, sizeof want, "s%zu", i);
    all = s->parts[i].size == (size_t)size && strcmp((char *)s->parts[i].data, want) == 0;
  }
  return all;
}

static void strvs(void) {
  static const size_t counts[] = {0, 1, 2, 63, 64, 65, 127, 128, 511, 512, 513, 1500};
  struct world w;
  struct run r;
  world_open(&w, NULL, &(struct sim_config){.memory = 8 << 20, .guard = true});
  run_open(&r, &w, "execve", LENCASE_COPY_ALL_ARGS);
  uint64_t path = world_string(&w, "/bin/true");
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
    for (size_t skew = 0; skew < 8; skew += 3) {
      is_int(run_in(&r, path, put_strv(&w, counts[i], skew), 0), LENCASE_OK,
             "%zu strings, skew %zu", counts[i], skew);
      ok(strv_is_there(&r.snaps[1], counts[i]), "are all there");
    }
  is_int(r.snaps[2].state, SNAP_NULL, "no environment is NULL");
  is_int(run_in(&r, path, put_strv(&w, 3, 0), put_strv(&w, 4, 0)), LENCASE_OK, "three arguments");
  is_int(r.reads, 2, "by two reads: path and both arrays, all strings");
  ok(strv_is_there(&r.snaps[2], 4), "and four of an environment");
  run_close(&r);
  world_close(&w);
}

static void bad_strvs(void) {
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "execve", LENCASE_COPY_ALL_ARGS);
  uint64_t path = world_string(&w, "/bin/true"), s = world_string(&w, "s");
  uint64_t endless[] = {s, s, s}, wild[] = {s, 8, 0}, open[] = {s, world_put(&w, "x", 1), 0};
  is_int(run_in(&r, path, put_words(&w, endless, 3), 0), LENCASE_OK, "an array without its end");
  is_bad(&r, 1, CUT_FAULT, "is bad");
  is_int(run_in(&r, path, put_words(&w, wild, 3), 0), LENCASE_OK, "a string at nowhere");
  is_str((char *)r.snaps[1].parts[0].data, "s", "beside one that is there");
  is_int(r.snaps[1].parts[1].cut, CUT_FAULT, "is cut");
  is_int(r.snaps[1].parts[1].addr, 8, "and an address");
  is_int(run_in(&r, path, put_words(&w, open, 3), 0), LENCASE_OK, "a string without its end");
  is_int(r.snaps[1].parts[1].cut, CUT_FAULT, "is cut");
  is_int(r.snaps[1].parts[1].size, 1, "after its one byte");
  is_int(run_in(&r, path, UINT64_MAX - 6, 0), LENCASE_OK, "an array over the last address");
  is_bad(&r, 1, CUT_FAULT, "is bad");
  run_close(&r);
  world_close(&w);
}

/* As many short arguments as execve(2) takes (xargs fills 2 MiB); one string for all of them. */
static void many_strings(void) {
  enum { MANY = 150000 };
  struct world w;
  struct run r;
  uint64_t *array = calloc(MANY + 1, sizeof *array);
  need(array != NULL);
  world_open(&w, NULL, &(struct sim_config){.memory = 8 << 20, .guard = true});
  run_open(&r, &w, "execve", LENCASE_COPY_ALL_ARGS);
  uint64_t path = world_string(&w, "/bin/true"), s = world_string(&w, "s");
  for (size_t i = 0; i < MANY; i++) array[i] = s;
  is_int(run_in(&r, path, put_words(&w, array, MANY + 1), 0), LENCASE_OK, "%d strings", MANY);
  is_int(r.snaps[1].nparts, MANY, "all of them");
  is_str((char *)r.snaps[1].parts[MANY - 1].data, "s", "and the last one");
  run_close(&r);
  world_close(&w);
  free(array);
}

/* }========================================================================= */

/* {================================ in all ================================= */

static void one_read(void) {
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "rename", LENCASE_COPY_ALL_ARGS);
  is_int(run_in(&r, world_string(&w, "old"), world_string(&w, "new")), LENCASE_OK, "two strings");
  is_int(r.reads, 1, "by one read");
  is_str((char *)r.snaps[0].data, "old", "the first");
  is_str((char *)r.snaps[1].data, "new", "the second");
  is_int(run_in(&r, world_string(&w, "old"), 8), LENCASE_OK, "one good, one bad");
  is_str((char *)r.snaps[0].data, "old", "the good one is there");
  is_bad(&r, 1, CUT_FAULT, "the other is bad");
  is_int(run_in(&r, 8, world_string(&w, "new")), LENCASE_OK, "the other way round");
  is_bad(&r, 0, CUT_FAULT, "the first is bad");
  is_str((char *)r.snaps[1].data, "new", "and the second is there");
  run_close(&r);
  run_open(&r, &w, "rename", LENCASE_PASS(1));
  is_int(run_in(&r, 8, world_string(&w, "new")), LENCASE_OK, "a bad string that is passed through");
  is_int(r.snaps[0].state, SNAP_NONE, "is not looked at");
  run_close(&r);
  run_open(&r, &w, "rename", LENCASE_PASS_THROUGH_POINTERS);
  is_int(run_in(&r, 8, 8), LENCASE_OK, "both passed through");
  is_int(r.reads, 0, "no read at all");
  run_close(&r);
  run_open(&r, &w, "rename", LENCASE_ADDR(1) | LENCASE_ADDR(2));
  is_int(run_in(&r, 8, 8), LENCASE_OK, "both as addresses");
  is_int(r.reads, 0, "no read at all");
  run_close(&r);
  world_close(&w);
}

/* The words choose the variant: open's mode is there with O_CREAT. */
static void variants(void) {
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "open", LENCASE_COPY_ALL_ARGS);
  uint64_t path = world_string(&w, "/etc/passwd");
  is_int(run_in(&r, path, O_RDONLY, 0xdead), LENCASE_OK, "open without O_CREAT");
  is_int(r.vp->variant->nparams, 2, "has two arguments");
  is_int(run_in(&r, path, O_CREAT | O_WRONLY, 0644), LENCASE_OK, "open with O_CREAT");
  is_int(r.vp->variant->nparams, 3, "has three");
  is_int(run_in(&r, path, O_TMPFILE | O_RDWR, 0600), LENCASE_OK, "open with O_TMPFILE");
  is_int(r.vp->variant->nparams, 3, "has three as well");
  run_close(&r);
  world_close(&w);
}

/* }========================================================================= */

int main(void) {
  strings();
  bad_strings();
  long_strings(16);
  long_strings(1024);
  long_strings(PAGE);
  long_strings(5000);
  longest_string();
  buffers();
  counts_with_signs();
  iovecs();
  many_runs();
  bad_iovecs();
  iovecs_to_fill();
  strvs();
  bad_strvs();
  many_strings();
  one_read();
  variants();
  return test_end();
}
