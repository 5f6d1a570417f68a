/*
** marshal_peek.c - arguments as those see them who look on
*/

#include <fcntl.h>
#include <sys/uio.h>

#include "marshal_fixture.h"

/* Argument 'arg' of the run's call, at most 'limit' bytes of it. */
static struct peek look(struct run *r, int arg, const struct snapshot *held, size_t limit) {
  return marshal_peek(r->w->cage, r->vp->variant, arg, r->words, held, limit, &r->arena);
}

static struct peek look_after(struct run *r, int arg, uint64_t room, int64_t result, size_t limit) {
  return marshal_peek_out(r->w->cage, r->vp->variant, arg, r->words, room, result, limit,
                          &r->arena);
}

static void buffers(void) {
  struct world w;
  struct run r;
  struct peek p;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "write", LENCASE_PASS_THROUGH_ALL);
  need(run_in(&r, 1, world_put(&w, "0123456789", 10), 10) == LENCASE_OK);
  p = look(&r, 1, NULL, 100);
  is_int(p.snap.size, 10, "a buffer is seen whole, though it was passed");
  is_mem(p.snap.data, "0123456789", 10, "with its bytes");
  p = look(&r, 1, NULL, 4);
  is_int(p.snap.size, 4, "or as much as is asked for");
  is_int(p.size, 10, "and how much there is");
  is_int(look(&r, 0, NULL, 100).snap.state, SNAP_NONE, "an integer has no bytes");
  r.words[2] = 11;
  ok(look(&r, 1, NULL, 100).fault, "what cannot be read whole is a fault");
  is_int(look(&r, 1, NULL, 100).snap.state, SNAP_NONE, "and nothing to see");
  ok(!look(&r, 1, NULL, 10).fault, "unless no more than what can be read is asked for");
  r.words[1] = 0;
  is_int(look(&r, 1, NULL, 100).snap.state, SNAP_NULL, "NULL is NULL");
  run_close(&r);
  world_close(&w);
}

static void held(void) {
  struct world w;
  struct run r;
  struct peek p;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "write", LENCASE_COPY_ALL_ARGS);
  uint64_t addr = world_put(&w, "before", 6);
  need(run_in(&r, 1, addr, 6) == LENCASE_OK);
  need(w.cage->ops->write(w.cage, &(struct mem_seg){addr, "later!", 6}) == LENCASE_OK);
  p = look(&r, 1, r.snaps, 100);
  is_mem(p.snap.data, "before", 6, "what the handler sees is what those see who look on");
  is_int(look(&r, 1, r.snaps, 2).snap.size, 2, "in bounds");
  is_mem(look(&r, 1, NULL, 100).snap.data, "later!", 6, "whatever lies there now");
  run_close(&r);
  world_close(&w);
}

static void texts(void) {
  struct world w;
  struct run r;
  struct peek p;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "open", LENCASE_PASS_THROUGH_ALL);
  need(run_in(&r, world_string(&w, "/etc/hosts"), O_RDONLY) == LENCASE_OK);
  p = look(&r, 0, NULL, 3);
  is_str((const char *)p.snap.data, "/etc/hosts", "a string is seen whole");
  r.words[0] = world_put(&w, "no end", 6);
  ok(look(&r, 0, NULL, 3).fault, "one without an end is a fault");
  run_close(&r);
  world_close(&w);
}

static void runs(void) {
  struct world w;
  struct run r;
  struct peek p;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "writev", LENCASE_PASS_THROUGH_ALL);
  uint64_t iov[4] = {world_put(&w, "abc", 3), 3, world_put(&w, "defgh", 5), 5};
  need(run_in(&r, 1, world_put(&w, iov, sizeof iov), 2) == LENCASE_OK);
  p = look(&r, 1, NULL, 100);
  is_int(p.size, 8, "runs have so many bytes");
  is_int(p.snap.nparts, 2, "in so many parts");
  is_mem(p.snap.data, "abcdefgh", 8, "seen in one piece");
  p = look(&r, 1, NULL, 4);
  is_int(p.snap.size, 4, "cut");
  is_mem(p.snap.data, "abcd", 4, "in the middle of one");
  iov[3] = UINT64_MAX - 1;
  r.words[1] = world_put(&w, iov, sizeof iov);
  p = look(&r, 1, NULL, 100);
  ok(p.fault, "sizes beyond all memory are a fault");
  r.words[2] = 1025;
  ok(look(&r, 1, NULL, 100).fault, "and more parts than there may be");
  run_close(&r);
  world_close(&w);
}

static void filled(void) {
  struct world w;
  struct run r;
  struct peek p;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "read", LENCASE_PASS_THROUGH_ALL);
  need(run_in(&r, 0, world_put(&w, "0123456789", 10), 10) == LENCASE_OK);
  p = look(&r, 1, NULL, 100);
  is_int(p.size, 10, "before the call there is room");
  is_int(p.snap.state, SNAP_NONE, "and nothing to see");
  p = look_after(&r, 1, 10, 4, 100);
  is_int(p.size, 4, "its result tells how much it filled");
  is_mem(p.snap.data, "0123", 4, "and that is seen");
  is_int(look_after(&r, 1, 10, 9, 2).snap.size, 2, "in bounds");
  is_int(look_after(&r, 1, 10, INT64_MAX, 100).size, 10, "never more than there was room");
  is_int(look_after(&r, 0, 0, 4, 100).snap.state, SNAP_NONE, "an integer is not filled");
  run_close(&r);
  world_close(&w);
}

static void addresses(void) {
  struct world w;
  struct run r;
  uint32_t room = 16, told = 2;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "getsockname", LENCASE_PASS_THROUGH_ALL);
  uint64_t len = world_put(&w, &room, sizeof room);
  need(run_in(&r, 3, world_put(&w, "0123456789abcdef", 16), len) == LENCASE_OK);
  is_int(look(&r, 1, NULL, 100).size, 16, "a length that is pointed to is the room");
  need(w.cage->ops->write(w.cage, &(struct mem_seg){len, &told, sizeof told}) == LENCASE_OK);
  is_int(look_after(&r, 1, 16, 0, 100).size, 2, "after the call it says how much is there");
  told = 4000;
  need(w.cage->ops->write(w.cage, &(struct mem_seg){len, &told, sizeof told}) == LENCASE_OK);
  is_int(look_after(&r, 1, 16, 0, 100).size, 16, "or how much there would have been");
  r.words[2] = 0xbad;
  ok(look(&r, 1, NULL, 100).fault, "one that cannot be read is a fault before");
  ok(look_after(&r, 1, 16, 0, 100).fault, "and after");
  run_close(&r);
  world_close(&w);
}

static void no_memory(void) {
  struct world w;
  struct run r;
  world_open(&w, NULL, NULL);
  run_open(&r, &w, "write", LENCASE_PASS_THROUGH_ALL);
  need(run_in(&r, 1, world_put(&w, "0123456789", 10), 10) == LENCASE_OK);
  w.mem.fail_at = w.mem.made + 1;
  w.mem.fail_to = SIZE_MAX;
  ok(look(&r, 1, NULL, 100).fault, "without memory there is nothing to see");
  w.mem.fail_at = w.mem.fail_to = 0;
  run_close(&r);
  world_close(&w);
}

int main(void) {
  buffers();
  held();
  texts();
  runs();
  filled();
  addresses();
  no_memory();
  return test_end();
}
