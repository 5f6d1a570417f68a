/*
** sim_memory.c - the memory of a sim cage: what can be read and written where
*/

#include "sim_fixture.h"

enum { PAGE = 4096 };

static int write_at(struct world *w, uint64_t addr, const void *data, size_t size) {
  struct mem_seg seg = {.addr = addr, .data = (void *)(uintptr_t)data, .size = size};
  return w->cage->ops->write(w->cage, &seg);
}

static void objects(void) {
  struct world w;
  char back[16];
  world_open(&w, NULL, NULL);
  uint64_t a = world_put(&w, "0123456789", 10);
  is_int((a + 10) % PAGE, 0, "a guarded object ends with its page");
  is_int(world_get(&w, a, back, 10), 10, "all of it can be read");
  is_mem(back, "0123456789", 10, "and is what was written");
  is_int(world_get(&w, a, back, 11), 10, "reading over its end stops there");
  is_int(world_get(&w, a + 10, back, 1), 0, "the byte behind it cannot be read");
  is_int(write_at(&w, a + 5, "xxxxxx", 6), LENCASE_EFAULT, "nor written");
  is_int(world_get(&w, a + 5, back, 1), 1, "the bytes before it can");
  is_mem(back, "5", 1, "and a refused write left them alone");
  ok(sim_alloc(w.cage, 0) != 0, "an object of no bytes has an address");
  ok(sim_alloc(w.cage, 3 * PAGE) != 0, "an object may have several pages");
  sim_reset(w.cage);
  is_int(world_get(&w, a, back, 10), 0, "after sim_reset it is gone");
  world_close(&w);
}

static void fills_up(bool guard) {
  struct world w;
  unsigned n = 0;
  world_open(&w, NULL, &(struct sim_config){.memory = 16 * PAGE, .guard = guard});
  is_int(sim_alloc(w.cage, 17 * PAGE), 0, "more than there is (guard %d)", guard);
  is_int(sim_alloc(w.cage, SIZE_MAX), 0, "more than can be");
  while (sim_alloc(w.cage, PAGE) != 0) n++;
  is_int(n, guard ? 8 : 16, "so many pages fit");
  sim_reset(w.cage);
  uint64_t all = sim_alloc(w.cage, 16 * PAGE);
  ok(all != 0, "one object may take all");
  is_int(write_at(&w, all + 16 * PAGE - 1, "x", 1), LENCASE_OK, "its last byte is there");
  is_int(write_at(&w, all + 16 * PAGE, "x", 1), LENCASE_EFAULT, "and nothing behind");
  world_close(&w);
}

static const struct {
  uint64_t addr;
  size_t size;
  const char *what;
} nowhere[] = {
    {0, 1, "NULL"},
    {1, SIZE_MAX, "from 1 to the end and round"},
    {SIM_BASE - 1, 2, "one before the memory"},
    {SIM_BASE, SIZE_MAX, "the memory and all behind"},
    {SIM_BASE + (3 << 20), 1, "behind the memory"},
    {UINT64_MAX, 1, "the last byte"},
    {UINT64_MAX, 2, "over the last byte"},
    {UINT64_MAX - SIM_BASE, SIM_BASE, "just below the last byte"},
    {UINT64_C(1) << 63, 8, "the kernel's half"},
};

static void holes(void) {
  struct world w;
  static char data[16];
  size_t i;
  world_open(&w, NULL, NULL);
  for (i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++) {
    is_int(write_at(&w, nowhere[i].addr, data, nowhere[i].size), LENCASE_EFAULT, "write: %s",
           nowhere[i].what);
    is_int(world_get(&w, nowhere[i].addr, data, nowhere[i].size), 0, "read: %s", nowhere[i].what);
  }
  is_int(write_at(&w, 0, data, 0), LENCASE_OK, "no bytes can be written anywhere");
  world_close(&w);
}

static void segments(void) {
  struct world w;
  char a[4] = "", b[8] = "", c[4] = "";
  size_t done = 0;
  world_open(&w, NULL, NULL);
  uint64_t x = world_put(&w, "aaaa", 4), y = world_put(&w, "bbbb", 4), z = world_put(&w, "cccc", 4);
  struct mem_seg segs[] = {{x, a, 4}, {y, b, 8}, {z, c, 4}};
  is_int(w.cage->ops->read(w.cage, segs, 3, &done), LENCASE_OK, "a read of three segments");
  is_int(done, 8, "stops in the second");
  is_mem(b, "bbbb\0\0\0\0", 8, "of which there is the beginning");
  is_mem(c, "\0\0\0\0", 4, "and does not begin the third");
  world_close(&w);
}

/* What a handler asks the core for. */
static enum verdict takes_memory(struct call *call, enum handler_event ev) {
  struct world *w = call->answer->ud;
  struct mem_seg window = {.size = 100}, scratch = {.size = PAGE + 1}, big = {.size = 1 << 30};
  const struct host_ops *ops = call->cage->ops;
  char back[100];
  if (ev == HANDLER_DROP) return VERDICT_DONE;
  is_int(ops->window_get(call, &window), LENCASE_OK, "window_get");
  is_int(ops->scratch_get(call, &scratch), LENCASE_OK, "scratch_get");
  is_int(ops->window_get(call, &big), LENCASE_ENOMEM, "no window of 1 GiB");
  memset(window.data, 'w', 100);
  is_int(world_get(w, window.addr, back, 100), 100, "the cage reads its window");
  is_mem(back, window.data, 100, "and sees what we wrote");
  is_int(write_at(w, window.addr, "x", 1), LENCASE_EFAULT, "but never writes it");
  is_int(write_at(w, window.addr - 1, "xx", 2), LENCASE_EFAULT, "nor over its edge");
  is_int(world_get(w, window.addr + 100, back, 1), 0, "it ends at a guard page");
  static char data[PAGE + 2];
  is_int(write_at(w, scratch.addr, data, PAGE + 1), LENCASE_OK, "the cage writes scratch memory");
  is_int(write_at(w, scratch.addr, data, PAGE + 2), LENCASE_EFAULT, "up to its end");
  ops->window_put(call, &window);
  is_int(world_get(w, window.addr, back, 1), 0, "what was put back cannot be read");
  struct mem_seg again = {.size = 100};
  is_int(ops->window_get(call, &again), LENCASE_OK, "window_get again");
  is_int(again.addr, window.addr, "takes the same place");
  struct mem_seg next = {.size = 100}, wide = {.size = PAGE + 1};
  is_int(ops->window_get(call, &next), LENCASE_OK, "one behind it");
  ops->window_put(call, &again);
  is_int(ops->window_get(call, &wide), LENCASE_OK, "a wider one than the hole before that");
  is_int(world_get(w, next.addr, back, 100), 100, "takes nothing of it");
  is_int(world_get(w, wide.addr + PAGE + 1, back, 1), 0, "and has its own guard page");
  ops->window_put(call, &wide);
  ops->window_put(call, &next);
  ops->scratch_put(call, &scratch);
  call->result = 7;
  return VERDICT_DONE;
}

static void ours(void) {
  struct world w;
  struct route_entry entry = TEST_ENTRY(2000, .handler = takes_memory, .ud = &w);
  world_open(&w, NULL, NULL);
  need(test_route(w.st, &w.cage->routes, 2000, &entry) == LENCASE_OK);
  is_int(world_call(&w, 2000, 0), 7, "the handler's result arrives");
  world_close(&w);
}

static void children(bool guard) {
  struct world w;
  char back[8];
  size_t done;
  world_open(&w, NULL, &(struct sim_config){.memory = 1 << 16, .guard = guard});
  uint64_t addr = world_put(&w, "parent", 7);
  struct lencase_cage *child = sim_cage_new(w.st, NULL, w.cage);
  need(child != NULL);
  struct mem_seg seg = {addr, back, 7};
  is_int(child->ops->read(child, &seg, 1, &done), LENCASE_OK, "a child has the memory");
  is_str(back, "parent", "of its parent (guard %d)", guard);
  need(write_at(&w, addr, "older!", 7) == LENCASE_OK);
  child->ops->read(child, &seg, 1, &done);
  is_str(back, "parent", "as it was then");
  ok(sim_alloc(child, 1) != addr, "and goes on allocating behind it");
  ok(child->id != w.cage->id && child->parent == w.cage->id, "its id is its own");
  sim_cage_exit(child, 0);
  world_close(&w);
}

int main(void) {
  objects();
  fills_up(true);
  fills_up(false);
  holes();
  segments();
  ours();
  children(true);
  children(false);
  return test_end();
}
