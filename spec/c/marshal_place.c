/*
** marshal_place.c - snapshots laid out where the kernel can read them
*/

#include "marshal_fixture.h"

/* Memory of ours as a window has it, all of it dirty. */
struct place {
  _Alignas(16) unsigned char bytes[PAGE];
  struct mem_seg seg;
  size_t used;
};

static void place_open(struct place *p) {
  memset(p->bytes, 0xee, sizeof p->bytes);
  p->seg = (struct mem_seg){UINT64_C(0x7e9000000000), p->bytes, sizeof p->bytes};
  p->used = 0;
}

/* What lies at address 'addr' of the cage. */
static const void *at(const struct place *p, uint64_t addr) {
  need(addr >= p->seg.addr && addr < p->seg.addr + p->used);
  return p->bytes + (addr - p->seg.addr);
}

/* Places argument 'arg' of the run and checks that it kept to the room it said it needs. */
static uint64_t place(struct place *p, const struct run *r, int arg) {
  const struct sig_param *param = &r->vp->variant->params[arg];
  size_t before = p->used, room = marshal_placed_size(param, &r->snaps[arg]);
  uint64_t addr = marshal_place(param, &r->snaps[arg], &p->seg, &p->used);
  ok(p->used - before <= room, "%s keeps to its room", param->name);
  ok(p->bytes[before + room] == 0xee, "and writes nothing behind");
  is_int(addr % 16, 0, "its address is aligned");
  return addr;
}

static void strings(void) {
  struct world w;
  struct run r;
  struct place p;
  world_open(&w, NULL, NULL);
  place_open(&p);
  run_open(&r, &w, "rename", LENCASE_COPY_ALL_ARGS);
  need(run_in(&r, world_string(&w, "sixteen letters."), world_string(&w, "")) == LENCASE_OK);
  uint64_t a = place(&p, &r, 0), b = place(&p, &r, 1);
  is_str(at(&p, a), "sixteen letters.", "a string");
  is_str(at(&p, b), "", "an empty one behind it");
  run_close(&r);
  world_close(&w);
}

static void buffers(void) {
  struct world w;
  struct run r;
  struct place p;
  world_open(&w, NULL, NULL);
  place_open(&p);
  run_open(&r, &w, "write", LENCASE_COPY_ALL_ARGS);
  need(run_in(&r, 1, world_put(&w, "0123456789", 10), 10) == LENCASE_OK);
  is_mem(at(&p, place(&p, &r, 1)), "0123456789", 10, "a buffer");
  need(run_in(&r, 1, 8, 0) == LENCASE_OK);
  size_t used = p.used;
  ok(marshal_place(&r.vp->variant->params[1], &r.snaps[1], &p.seg, &p.used) != 0,
     "no bytes have an address");
  is_int(p.used, used, "and take no room");
  run_close(&r);
  world_close(&w);
}

static void arrays_of_strings(void) {
  struct world w;
  struct run r;
  struct place p;
  world_open(&w, NULL, NULL);
  place_open(&p);
  run_open(&r, &w, "execve", LENCASE_COPY_ALL_ARGS);
  uint64_t argv[] = {world_string(&w, "tar"), world_string(&w, ""), 0}, none = 0;
  need(run_in(&r, world_string(&w, "/bin/tar"), put_words(&w, argv, 3), put_words(&w, &none, 1)) ==
       LENCASE_OK);
  const uint64_t *placed = at(&p, place(&p, &r, 1));
  is_str(at(&p, placed[0]), "tar", "the first string");
  is_str(at(&p, placed[1]), "", "the second");
  is_int(placed[2], 0, "the end");
  placed = at(&p, place(&p, &r, 2));
  is_int(placed[0], 0, "an empty array is its end");
  run_close(&r);
  world_close(&w);
}

static void iovecs(void) {
  struct world w;
  struct run r;
  struct place p;
  world_open(&w, NULL, NULL);
  place_open(&p);
  run_open(&r, &w, "writev", LENCASE_COPY_ALL_ARGS);
  uint64_t iov[] = {world_put(&w, "abc", 3), 3, 8, 0, world_put(&w, "d", 1), 1};
  need(run_in(&r, 1, put_words(&w, iov, 6), 3) == LENCASE_OK);
  const uint64_t *placed = at(&p, place(&p, &r, 1));
  is_mem(at(&p, placed[0]), "abc", 3, "the first run");
  is_int(placed[1], 3, "its length");
  is_int(placed[3], 0, "an empty run");
  is_mem(at(&p, placed[4]), "d", 1, "the third");
  is_int(placed[5], 1, "its length");
  run_close(&r);
  run_open(&r, &w, "readv", LENCASE_COPY_ALL_ARGS);
  need(run_in(&r, 0, put_words(&w, iov, 6), 3) == LENCASE_OK);
  placed = at(&p, place(&p, &r, 1));
  is_mem(placed, iov, sizeof iov, "runs to be filled stay the caller's own");
  run_close(&r);
  world_close(&w);
}

int main(void) {
  strings();
  buffers();
  arrays_of_strings();
  iovecs();
  return test_end();
}
