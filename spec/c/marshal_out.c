/*
** marshal_out.c - the out-steps: what a call filled, as far as its result tells
*/

#include "marshal_fixture.h"

static void by_result(void) {
  static const struct {
    int64_t result;
    size_t size;
  } cases[] = {{0, 0}, {1, 1}, {5, 5}, {10, 10}, {11, 10}, {INT64_MAX, 10}};
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "read", LENCASE_COPY_ALL_ARGS);
  uint64_t addr = world_put(&w, "0123456789", 10);
  is_int(run_in(&r, 0, addr, 10), LENCASE_OK, "a buffer to be filled");
  is_int(r.reads, 0, "is not read before the call");
  is_int(r.snaps[1].state, SNAP_NONE, "and has no snapshot");
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    is_int(run_out(&r, cases[i].result), LENCASE_OK, "result %" PRId64, cases[i].result);
    is_int(r.outs[1].size, cases[i].size, "tells of so many bytes");
    is_mem(r.outs[1].data, "0123456789", cases[i].size, "and they are there");
    ok(r.reads <= 1, "by one read at the most");
  }
  is_int(run_in(&r, 0, addr, 11), LENCASE_OK, "more room than there is");
  is_int(run_out(&r, 10), LENCASE_OK, "does no harm if it is not filled");
  is_int(run_out(&r, 11), LENCASE_OK, "nor if it is said to be");
  is_int(r.outs[1].size, 10, "it is seen as far as it goes");
  is_int(r.outs[1].cut, CUT_FAULT, "and why it ends");
  is_int(run_in(&r, 0, 0, 10), LENCASE_OK, "NULL");
  is_int(run_out(&r, 10), LENCASE_OK, "is nothing to read");
  is_int(r.outs[1].state, SNAP_NULL, "and is seen as NULL");
  sim_reset(w.cage);
  need(run_in(&r, 0, addr, 10) == LENCASE_OK);
  is_int(run_out(&r, 10), LENCASE_OK, "memory that went away meanwhile");
  is_int(r.outs[1].state, SNAP_BAD, "is bad");
  run_close(&r);
  world_close(&w);
}

static void elements_by_result(void) {
  static const struct {
    int64_t result;
    size_t size;
  } cases[] = {{0, 0}, {1, 4}, {3, 12}, {4, 12}, {INT64_MAX, 0}, {INT64_MAX / 4 + 2, 12}};
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "getgroups", LENCASE_COPY_ALL_ARGS);
  need(run_in(&r, 3, world_put(&w, "000011112222", 12)) == LENCASE_OK);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    is_int(run_out(&r, cases[i].result), LENCASE_OK, "%" PRId64 " groups", cases[i].result);
    is_int(r.outs[1].size, cases[i].size, "have so many bytes");
  }
  run_close(&r);
  world_close(&w);
}

static void whole(void) {
  static char bytes[144];
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "fstat", LENCASE_COPY_ALL_ARGS);
  memset(bytes, 's', sizeof bytes);
  uint64_t addr = world_put(&w, bytes, sizeof bytes);
  need(run_in(&r, 0, addr) == LENCASE_OK);
  is_int(run_out(&r, 0), LENCASE_OK, "a struct");
  is_int(r.outs[1].size, 144, "is there as a whole");
  is_mem(r.outs[1].data, bytes, 144, "its bytes");
  is_int((uintptr_t)r.outs[1].data % 16, 0, "aligned for any field");
  run_close(&r);
  run_open(&r, &w, "pipe2", LENCASE_COPY_ALL_ARGS);
  int fds[2] = {3, 4};
  addr = world_put(&w, fds, sizeof fds);
  need(run_in(&r, addr, 0) == LENCASE_OK);
  is_int(run_out(&r, 0), LENCASE_OK, "an array of a fixed size");
  is_int(r.outs[0].size, sizeof fds, "is there as a whole");
  is_mem(r.outs[0].data, fds, sizeof fds, "its elements");
  run_close(&r);
  world_close(&w);
}

/* {================================= lengths =============================== */

/* Sets the length that 'addr' points to. */
static void set_length(struct world *w, uint64_t addr, uint32_t n) {
  struct mem_seg seg = {addr, &n, sizeof n};
  need(w->cage->ops->write(w->cage, &seg) == LENCASE_OK);
}

static void by_length(void) {
  static const struct {
    uint32_t room, length;
    size_t size;
  } cases[] = {{16, 16, 16}, {16, 4, 4},          {16, 0, 0},          {16, 110, 16},
               {8, 16, 8},   {0, 16, 0},          {16, UINT32_MAX, 0}, {UINT32_MAX, 16, 0},
               {12, 8, 8},   {16, 0x7fffffff, 16}};
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "getsockname", LENCASE_COPY_ALL_ARGS);
  uint64_t addr = world_put(&w, "0123456789abcdef", 16), len = world_put(&w, "    ", 4);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    set_length(&w, len, cases[i].room);
    is_int(run_in(&r, 3, addr, len), LENCASE_OK, "room for %u", cases[i].room);
    is_int(r.snaps[1].state, SNAP_NONE, "an address to be filled is not read before");
    is_mem(r.snaps[2].data, &cases[i].room, 4, "its length is");
    set_length(&w, len, cases[i].length);
    is_int(run_out(&r, 0), LENCASE_OK, "the length becomes %u", cases[i].length);
    is_int(r.outs[1].size, cases[i].size, "so many bytes are there");
    is_mem(r.outs[1].data, "0123456789abcdef", cases[i].size, "and read");
    is_mem(r.outs[2].data, &cases[i].length, 4, "with the new length");
  }
  run_close(&r);
  world_close(&w);
}

static void bad_lengths(void) {
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "getsockname", LENCASE_COPY_ALL_ARGS);
  uint64_t addr = world_put(&w, "0123456789abcdef", 16);
  is_int(run_in(&r, 3, addr, 8), LENCASE_OK, "a length at nowhere");
  is_int(r.snaps[2].state, SNAP_BAD, "is bad");
  is_int(run_out(&r, 0), LENCASE_OK, "tells of nothing");
  is_int(r.outs[1].state, SNAP_BAD, "that is to be seen");
  is_int(run_in(&r, 3, addr, world_put(&w, "abc", 3)), LENCASE_OK, "three bytes of a length");
  is_int(r.snaps[2].size, 3, "are three bytes");
  is_int(run_in(&r, 3, addr, 0), LENCASE_OK, "no length");
  is_int(run_out(&r, 0), LENCASE_OK, "is no error");
  is_int(r.outs[1].size, 0, "and no bytes");
  run_close(&r);
  run_open(&r, &w, "accept4", LENCASE_COPY_ALL_ARGS);
  is_int(run_in(&r, 3, 0, 0, 0), LENCASE_OK, "nothing asked for");
  is_int(run_out(&r, 4), LENCASE_OK, "nothing told");
  is_int(r.outs[1].state, SNAP_NULL, "no address");
  is_int(r.outs[2].state, SNAP_NULL, "no length");
  run_close(&r);
  /* the length tells the room of a copied address even if it is passed through itself */
  run_open(&r, &w, "getsockname", LENCASE_PASS(3));
  uint64_t len = world_put(&w, "    ", 4);
  set_length(&w, len, 6);
  need(run_in(&r, 3, addr, len) == LENCASE_OK);
  set_length(&w, len, 16);
  is_int(run_out(&r, 0), LENCASE_OK, "a length that is passed through");
  is_int(r.outs[1].size, 6, "still bounds the address");
  sim_reset(w.cage);
  is_int(run_out(&r, 0), LENCASE_OK, "a length that went away meanwhile");
  is_int(r.outs[1].state, SNAP_BAD, "tells of nothing");
  run_close(&r);
  world_close(&w);
}

/* }========================================================================= */

static void runs(void) {
  static const struct {
    int64_t result;
    size_t sizes[3];
  } cases[] = {{0, {0, 0, 0}}, {3, {3, 0, 0}}, {4, {4, 0, 0}},        {7, {4, 3, 0}},
               {8, {4, 4, 0}}, {9, {4, 4, 1}}, {INT64_MAX, {4, 4, 4}}};
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "readv", LENCASE_COPY_ALL_ARGS);
  uint64_t a = world_put(&w, "aaaa", 4), b = world_put(&w, "bbbb", 4), c = world_put(&w, "cccc", 4);
  uint64_t iov[] = {a, 4, b, 4, c, 4};
  uint64_t addr = put_words(&w, iov, 6);
  need(run_in(&r, 0, addr, 3) == LENCASE_OK);
  /* what the cage does to its array after the call began makes no difference */
  struct mem_seg seg = {addr, &(uint64_t[]){1, 1, 1, 1, 1, 1}, sizeof iov};
  need(w.cage->ops->write(w.cage, &seg) == LENCASE_OK);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    is_int(run_out(&r, cases[i].result), LENCASE_OK, "result %" PRId64, cases[i].result);
    is_int(r.outs[1].nparts, 3, "three parts");
    for (size_t j = 0; j < 3; j++) {
      const struct snap_part *p = &r.outs[1].parts[j];
      is_int(p->size, cases[i].sizes[j], "part %zu", j + 1);
      is_mem(p->data, &"aaaabbbbcccc"[4 * j], p -> size, "its bytes");
    }
    ok(r.reads <= 1, "by one read at the most");
  }
  run_close(&r);
  world_close(&w);
}

static void limits(void) {
  static char bytes[2 * PAGE];
  struct world w;
  struct run r;
  world_open(&w, &(lencase_config){.max_call_bytes = PAGE}, NULL);
  run_open(&r, &w, "read", LENCASE_COPY_ALL_ARGS);
  uint64_t addr = world_put(&w, bytes, sizeof bytes);
  need(run_in(&r, 0, addr, 2 * PAGE) == LENCASE_OK);
  is_int(run_out(&r, PAGE), LENCASE_OK, "as much as max_call_bytes");
  is_int(run_out(&r, PAGE + 1), LENCASE_OK, "more than that");
  is_int(r.outs[1].cut, CUT_LIMIT, "is seen in part");
  is_int(r.outs[1].size, PAGE / 2, "half of what may be copied");
  run_close(&r);
  run_open(&r, &w, "read", LENCASE_PASS_THROUGH_POINTERS);
  need(run_in(&r, 0, addr, 2 * PAGE) == LENCASE_OK);
  is_int(run_out(&r, 2 * PAGE), LENCASE_OK, "what is passed through has no limit");
  is_int(r.reads, 0, "and is not read");
  run_close(&r);
  world_close(&w);
}

int main(void) {
  by_result();
  elements_by_result();
  whole();
  by_length();
  bad_lengths();
  runs();
  limits();
  return test_end();
}
