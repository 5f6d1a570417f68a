/*
** embed.c - the host of an embedder's own cages (lencase.h): memory and bottom are the embedder's
**
** Results and counts of its callbacks are checked here, once: a callback that returns a wrong size
** harms its own call only.
*/

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../call.h"
#include "../edge.h"

/* Memory of the cage that a call uses. */
struct block {
  uint64_t addr;
  size_t size;
  unsigned char *data; /* bytes that are still to be written there; NULL: they are there */
  struct block *next;  /* by ascending address */
};

/* A call whose carrying out the embedder has taken over. */
struct parked {
  struct call *call;
  struct parked *next;
};

/* The host's part of a cage. */
struct embed {
  struct lencase_cage *cage;
  lencase_cage_config config;
  char name[32];
  struct block *blocks; /* inside of config.room */
  struct parked *parked;
  unsigned busy; /* how many calls of the cage, and on its behalf, are at work */
  bool ending;   /* it ends, with 'status', when they are over */
  int status;
};

enum { ALIGNMENT = 16, PAGE = 4096 };

static struct embed *embed_of(const struct lencase_cage *cage) {
  return cage->host;
}

static bool is_gone(const struct lencase_cage *cage) {
  return cage->gone || embed_of(cage)->ending;
}

/* {================================= memory ================================ */

/* How many of the 'size' bytes at 'addr' there are; no object has address 0. */
static size_t extent(const lencase_cage_config *c, uint64_t addr, size_t size) {
  if (addr == 0 || addr >= c->size) return 0;
  return size < c->size - addr ? size : (size_t)(c->size - addr);
}

static unsigned char *at(const lencase_cage_config *c, uint64_t addr) {
  return (unsigned char *)c->base + addr;
}

/* Through a pipe, a page at a time: the kernel copies whatever is there, or says EFAULT. */
static size_t by_pipe(const char *from, char *to, size_t size, uint64_t addr) {
  size_t done = 0;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return 0;
  while (done < size) {
    size_t part = PAGE - (addr + done) % PAGE;
    ssize_t put = write(ends[1], from + done, part < size - done ? part : size - done);
    ssize_t got = put > 0 ? read(ends[0], to + done, (size_t)put) : -1;
    if (got > 0) done += (size_t)got;
    if (got <= 0 || got < put) break;
  }
  close(ends[0]);
  close(ends[1]);
  return done;
}

/*
** This process's own memory, without a fault when it is not mapped: by process_vm_readv(2), which a
** container's seccomp profile may refuse.
*/
static size_t own_memory(uint64_t addr, void *data, size_t size, bool write) {
  struct iovec here = {data, size}, there = {(void *)(uintptr_t)addr, size}; /* NOLINT */
  ssize_t n = write ? process_vm_writev(getpid(), &here, 1, &there, 1, 0)
                    : process_vm_readv(getpid(), &here, 1, &there, 1, 0);
  if (n >= 0) return (size_t)n;
  if (errno != EPERM && errno != ENOSYS) return 0;
  return write ? by_pipe(data, there.iov_base, size, addr)
               : by_pipe(there.iov_base, data, size, addr);
}

static size_t read_raw(const struct embed *e, uint64_t addr, void *data, size_t size) {
  const lencase_cage_config *c = &e->config;
  if (c->flags & LENCASE_OWN_MEMORY) return own_memory(addr, data, size, false);
  if (c->read != NULL) return c->read(c->ud, addr, data, size);
  size = extent(c, addr, size);
  if (size > 0) memcpy(data, at(c, addr), size);
  return size;
}

static size_t write_raw(const struct embed *e, uint64_t addr, const void *data, size_t size) {
  const lencase_cage_config *c = &e->config;
  if (c->flags & LENCASE_OWN_MEMORY) return own_memory(addr, (void *)(uintptr_t)data, size, true);
  if (c->write != NULL) return c->write(c->ud, addr, data, size);
  if (c->base == NULL || extent(c, addr, size) < size) return 0;
  memcpy(at(c, addr), data, size);
  return size;
}

/* The window with all of these bytes that is still to be written to the cage; NULL: none. */
static const struct block *staged(const struct embed *e, uint64_t addr, size_t size) {
  const struct block *b = e->blocks;
  while (b != NULL && (b->data == NULL || addr < b->addr || addr - b->addr > b->size ||
                       size > b->size - (addr - b->addr)))
    b = b->next;
  return b;
}

static int told_too_much(struct lencase_cage *cage, size_t told, size_t size) {
  return state_fail(cage->st, LENCASE_EHOST,
                    "cage %" PRId64
                    ": its memory callback moved %zu bytes where %zu were asked for",
                    cage->pid, told, size);
}

static int embed_read(struct lencase_cage *cage, const struct mem_seg *segs, size_t n,
                      size_t *done) {
  const struct embed *e = embed_of(cage);
  size_t i;
  *done = 0;
  if (is_gone(cage)) return LENCASE_EGONE;
  for (i = 0; i < n; i++) {
    const struct block *b = staged(e, segs[i].addr, segs[i].size);
    size_t got = segs[i].size;
    if (b != NULL)
      memcpy(segs[i].data, b->data + (segs[i].addr - b->addr), got);
    else
      got = read_raw(e, segs[i].addr, segs[i].data, segs[i].size);
    if (got > segs[i].size) return told_too_much(cage, got, segs[i].size);
    *done += got;
    if (got < segs[i].size) break;
  }
  return LENCASE_OK;
}

static int embed_write(struct lencase_cage *cage, const struct mem_seg *seg) {
  size_t done;
  if (is_gone(cage)) return LENCASE_EGONE;
  done = write_raw(embed_of(cage), seg->addr, seg->data, seg->size);
  if (done > seg->size) return told_too_much(cage, done, seg->size);
  return done == seg->size ? LENCASE_OK : LENCASE_EFAULT;
}

/* }========================================================================= */

/* {============================ room in the memory ========================= */

static uint64_t aligned(uint64_t n) {
  return (n + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
}

/* Where in the list a block of 'size' bytes fits first; *addr is where it begins. NULL: nowhere. */
static struct block **fit(struct embed *e, size_t size, uint64_t *addr) {
  const lencase_cage_config *c = &e->config;
  struct block **p = &e->blocks;
  uint64_t end = c->room_addr + c->room_size;
  *addr = aligned(c->room_addr);
  while (*addr <= end) {
    uint64_t stop = *p != NULL ? (*p)->addr : end;
    if (stop >= *addr && stop - *addr >= size) return p;
    if (*p == NULL) break;
    *addr = aligned((*p)->addr + (*p)->size);
    p = &(*p)->next;
  }
  return NULL;
}

static int block_get(struct embed *e, struct mem_seg *seg, bool window) {
  struct lencase_state *st = e->cage->st;
  bool staged_window = window && e->config.read != NULL;
  struct block **place = fit(e, seg->size, &seg->addr), *b;
  if (place == NULL)
    return state_fail(st, LENCASE_ENOMEM,
                      "cage %" PRId64
                      " has no room for %zu bytes of lencase's: room_size is %" PRIu64,
                      e->cage->pid, seg->size, e->config.room_size);
  b = state_new(st, sizeof *b);
  if (b == NULL) return state_fail(st, LENCASE_ENOMEM, "no memory for a window");
  *b = (struct block){.addr = seg->addr, .size = seg->size, .next = *place};
  if (staged_window) b->data = state_new(st, seg->size);
  if (staged_window && b->data == NULL) {
    state_free(st, b, sizeof *b);
    return state_fail(st, LENCASE_ENOMEM, "no memory for a window");
  }
  seg->data = staged_window ? b->data : e->config.base != NULL ? at(&e->config, seg->addr) : NULL;
  *place = b;
  assert(b->next == NULL || b->addr + b->size <= b->next->addr);
  return LENCASE_OK;
}

static void debug_lent(const struct call *call, const struct mem_seg *seg) {
  state_debug(call->cage->st, WINDOW, "%" PRId64 ": %zu bytes at 0x%" PRIx64, call->cage->pid,
              seg->size, seg->addr);
}

static void debug_returned(const struct call *call, const struct mem_seg *seg) {
  state_debug(call->cage->st, WINDOW, "%" PRId64 ": %zu bytes at 0x%" PRIx64 " are free again",
              call->cage->pid, seg->size, seg->addr);
}

static int ours_get(struct call *call, struct mem_seg *seg, bool window) {
  struct embed *e = embed_of(call->cage);
  int status = LENCASE_OK;
  if (is_gone(call->cage)) return LENCASE_EGONE;
  if (e->config.flags & LENCASE_OWN_MEMORY) { /* any memory of this process will do */
    seg->data = state_new(call->cage->st, seg->size);
    seg->addr = (uint64_t)(uintptr_t)seg->data;
    if (seg->data == NULL) status = LENCASE_ENOMEM;
  } else {
    status = block_get(e, seg, window);
  }
  if (status == LENCASE_OK) debug_lent(call, seg);
  return status;
}

static int embed_window_get(struct call *call, struct mem_seg *seg) {
  return ours_get(call, seg, true);
}

static int embed_scratch_get(struct call *call, struct mem_seg *seg) {
  return ours_get(call, seg, false);
}

static void embed_put(struct call *call, const struct mem_seg *seg) {
  struct embed *e = embed_of(call->cage);
  struct lencase_state *st = call->cage->st;
  struct block **p = &e->blocks, *b;
  debug_returned(call, seg);
  if (e->config.flags & LENCASE_OWN_MEMORY) {
    state_free(st, (void *)(uintptr_t)seg->addr, seg->size);
    return;
  }
  while (*p != NULL && (*p)->addr != seg->addr) p = &(*p)->next;
  b = *p;
  if (b == NULL) return;
  *p = b->next;
  if (b->data != NULL) state_free(st, b->data, b->size);
  state_free(st, b, sizeof *b);
}

/* Only this process's memory has pages that cannot be read. */
static int embed_edge_get(struct call *call, struct mem_seg *seg) {
  const struct embed *e = embed_of(call->cage);
  if (is_gone(call->cage)) return LENCASE_EGONE;
  if (!(e->config.flags & LENCASE_OWN_MEMORY)) return LENCASE_ENOENT;
  if (edge_map(call->cage->st, seg) != LENCASE_OK) return LENCASE_ENOMEM;
  debug_lent(call, seg);
  return LENCASE_OK;
}

static void embed_edge_put(struct call *call, const struct mem_seg *seg) {
  debug_returned(call, seg);
  edge_unmap(seg);
}

/* }========================================================================= */

/* {================================ the bottom ============================= */

static lencase_verdict ask_bottom(struct embed *e, int32_t nr, const uint64_t w[LENCASE_MAXARGS],
                                  int64_t *result) {
  const lencase_cage_config *c = &e->config;
  lencase_verdict verdict = LENCASE_VERDICT_DONE;
  const struct block *b = e->blocks;
  *result = -ENOSYS;
  /* the bottom will read the windows in the cage's memory */
  while (b != NULL && (b->data == NULL || write_raw(e, b->addr, b->data, b->size) == b->size))
    b = b->next;
  if (b != NULL)
    *result = -EFAULT;
  else if (c->carry_out != NULL)
    verdict = c->carry_out(c->ud, e->cage->id, nr, w, result);
  else if (c->flags & LENCASE_OWN_MEMORY) {
    long n = syscall(nr, w[0], w[1], w[2], w[3], w[4], w[5]);
    *result = n == -1 ? -errno : n;
  }
  if (verdict == LENCASE_VERDICT_PASS) *result = -ENOSYS;
  return verdict;
}

/*
** A call whose cage has ended meanwhile stays parked, and is dropped when the cage is freed. A call
** on behalf of a cage that did not make it (thread NULL) cannot wait.
*/
static enum verdict embed_carry_out(struct call *call, int32_t nr,
                                    const uint64_t words[LENCASE_MAXARGS], int64_t *result) {
  struct embed *e = embed_of(call->cage);
  lencase_verdict verdict;
  *result = -ESRCH;
  if (e->ending) return call->thread != NULL ? VERDICT_PARKED : VERDICT_DONE;
  verdict = ask_bottom(e, nr, words, result);
  if (call->thread == NULL) {
    if (verdict == LENCASE_VERDICT_PARKED) *result = -EOPNOTSUPP;
    return VERDICT_DONE;
  }
  return verdict == LENCASE_VERDICT_PARKED || e->ending ? VERDICT_PARKED : VERDICT_DONE;
}

/* }========================================================================= */

/* {============================ facts about a cage ========================= */

static int embed_fd_path(struct lencase_cage *cage, int fd, char *buf, size_t size) {
  const lencase_cage_config *c = &embed_of(cage)->config;
  char link[32] = "/proc/self/cwd";
  ssize_t n;
  if (c->fd_path != NULL) {
    int length = c->fd_path(c->ud, fd, buf, size);
    return length < (int)size ? length : -ENAMETOOLONG;
  }
  if (!(c->flags & LENCASE_OWN_MEMORY)) return -ENOSYS;
  if (fd != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  n = readlink(link, buf, size);
  if (n < 0) return errno == ENOENT ? -EBADF : -errno;
  return (size_t)n < size ? (int)n : -ENAMETOOLONG;
}

/* Without a callback a descriptor counts as open: grates keep what they know of it. */
static bool embed_fd_open(struct lencase_cage *cage, int fd) {
  char path[4096];
  return embed_fd_path(cage, fd, path, sizeof path) != -EBADF;
}

static int embed_comm(struct lencase_cage *cage, char *buf, size_t size) {
  return snprintf(buf, size, "%s", embed_of(cage)->name);
}

static void mark_ending(struct embed *e, int status) {
  if (e->ending) return;
  state_debug(e->cage->st, STOPS, "%" PRId64 ": ends, status 0x%x%s", e->cage->pid,
              (unsigned)status, e->busy > 0 ? ", when its calls are over" : "");
  e->ending = e->cage->ending = true;
  e->status = status;
}

static void embed_kill(struct lencase_cage *cage) {
  const lencase_cage_config *c = &embed_of(cage)->config;
  mark_ending(embed_of(cage), SIGKILL);
  if (c->kill != NULL) c->kill(c->ud);
}

static void embed_let_go(struct lencase_cage *cage);
static void embed_hold(struct lencase_cage *cage, bool on);

static const struct host_ops embed_ops = {
    .name = "embed",
    .read = embed_read,
    .write = embed_write,
    .window_get = embed_window_get,
    .window_put = embed_put,
    .edge_get = embed_edge_get,
    .edge_put = embed_edge_put,
    .scratch_get = embed_scratch_get,
    .scratch_put = embed_put,
    .carry_out = embed_carry_out,
    .fd_path = embed_fd_path,
    .fd_open = embed_fd_open,
    .comm = embed_comm,
    .hold = embed_hold,
    .kill = embed_kill,
    .let_go = embed_let_go,
};

/* }========================================================================= */

/* {================================== cages ================================ */

static void drop_parked(struct embed *e) {
  while (e->parked != NULL) {
    struct parked *p = e->parked;
    e->parked = p->next;
    call_drop(p->call);
    state_free(e->cage->st, p, sizeof *p);
  }
}

static void end_cage(struct embed *e) {
  struct lencase_state *st = e->cage->st;
  e->ending = true;
  drop_parked(e);
  call_cage_exit(e->cage, e->status);
  while (e->blocks != NULL) {
    struct block *b = e->blocks;
    e->blocks = b->next;
    if (b->data != NULL) state_free(st, b->data, b->size);
    state_free(st, b, sizeof *b);
  }
  state_free(st, e, sizeof *e);
}

static void embed_hold(struct lencase_cage *cage, bool on) {
  struct embed *e = embed_of(cage);
  if (on) {
    e->busy++;
  } else {
    assert(e->busy > 0);
    e->busy--;
    if (e->ending && e->busy == 0) end_cage(e);
  }
}

static void embed_let_go(struct lencase_cage *cage) {
  mark_ending(embed_of(cage), SIGKILL);
  end_cage(embed_of(cage));
}

/* What is wrong with a config; NULL: nothing. */
static const char *mistake(const lencase_cage_config *c) {
  bool own = (c->flags & LENCASE_OWN_MEMORY) != 0, callbacks = c->read != NULL || c->write != NULL;
  uint64_t end;
  if (c->flags & ~(LENCASE_OWN_MEMORY | LENCASE_ILP32))
    return "the flags are LENCASE_ILP32 and LENCASE_OWN_MEMORY";
  if (own + callbacks + (c->base != NULL) > 1)
    return "a cage's memory is one of base, callbacks and LENCASE_OWN_MEMORY";
  if (callbacks && (c->read == NULL || c->write == NULL)) return "read and write come together";
  if (own && (c->flags & LENCASE_ILP32)) return "this process's pointers have 8 bytes";
  if (c->base == NULL && c->size != 0) return "a size without a base";
  if (__builtin_add_overflow(c->room_addr, c->room_size, &end) ||
      (c->base != NULL && end > c->size))
    return "the room lies outside of the memory";
  return NULL;
}

static int cage_open(struct embed *e, lencase_state *st, lencase_cage *parent) {
  const char *name = e->config.name != NULL ? e->config.name : "cage";
  snprintf(e->name, sizeof e->name, "%s", name);
  e->config.name = NULL;
  e->cage = call_cage_new(st, &embed_ops, e, e->config.pid, parent, false);
  if (e->cage == NULL) return LENCASE_ENOMEM;
  e->cage->narrow = (e->config.flags & LENCASE_ILP32) != 0;
  return LENCASE_OK;
}

static int no_cage(lencase_state *st, uint64_t id) {
  return state_fail(st, LENCASE_EGONE, "cage %" PRIu64 " is not the embedder's, or has ended", id);
}

/* The host's part of a cage by its id; NULL, with an error: there is none. A cage that was killed
** between its calls ends here. */
static struct embed *find(lencase_state *st, uint64_t id) {
  struct lencase_cage *cage = cage_by_id(st, id);
  if (cage == NULL || cage->ops != &embed_ops) {
    no_cage(st, id);
    return NULL;
  }
  if (!is_gone(cage)) return embed_of(cage);
  if (embed_of(cage)->busy == 0) end_cage(embed_of(cage));
  no_cage(st, id);
  return NULL;
}

LENCASE_PUBLIC int lencase_cage_new(lencase_state *st, const lencase_cage_config *config,
                                    uint64_t parent, uint64_t *id) {
  const char *wrong = mistake(config);
  struct embed *of_parent = NULL, *e;
  if (wrong != NULL) return state_fail(st, LENCASE_EINVAL, "a cage: %s", wrong);
  if (parent != 0 && (of_parent = find(st, parent)) == NULL) return LENCASE_EGONE;
  e = state_new(st, sizeof *e);
  if (e == NULL) return state_fail(st, LENCASE_ENOMEM, "no memory for a cage");
  e->config = *config;
  if (cage_open(e, st, of_parent != NULL ? of_parent->cage : NULL) != LENCASE_OK) {
    state_free(st, e, sizeof *e);
    return state_fail(st, LENCASE_ENOMEM, "no memory for a cage");
  }
  *id = e->cage->id;
  state_debug(st, STOPS, "%" PRId64 ": a new cage%s", e->cage->pid,
              parent != 0 ? " with a parent" : "");
  return LENCASE_OK;
}

LENCASE_PUBLIC int lencase_cage_memory(lencase_state *st, uint64_t cage, void *base,
                                       uint64_t size) {
  struct embed *e = find(st, cage);
  lencase_cage_config changed;
  if (e == NULL) return LENCASE_EGONE;
  changed = e->config;
  changed.base = base;
  changed.size = size;
  if (e->config.base == NULL || base == NULL || mistake(&changed) != NULL)
    return state_fail(st, LENCASE_EINVAL, "cage %" PRIu64 ": it cannot have this memory", cage);
  e->config = changed;
  return LENCASE_OK;
}

LENCASE_PUBLIC int lencase_cage_exec(lencase_state *st, uint64_t cage, const char *name) {
  struct embed *e = find(st, cage);
  if (e == NULL) return LENCASE_EGONE;
  if (name != NULL) snprintf(e->name, sizeof e->name, "%s", name);
  state_debug(st, STOPS, "%" PRId64 ": executes %s", e->cage->pid, e->name);
  call_cage_exec(e->cage);
  return LENCASE_OK;
}

LENCASE_PUBLIC int lencase_cage_exit(lencase_state *st, uint64_t id, int wstatus) {
  struct lencase_cage *cage = cage_by_id(st, id);
  struct embed *e;
  if (cage == NULL || cage->ops != &embed_ops) return no_cage(st, id);
  e = embed_of(cage);
  mark_ending(e, wstatus);
  if (e->busy == 0) end_cage(e);
  return LENCASE_OK;
}

/* }========================================================================= */

/* {================================== calls ================================ */

static int park(struct embed *e, struct call *call, lencase_call **parked) {
  struct parked *p = state_new(e->cage->st, sizeof *p);
  if (p == NULL) {
    call_drop(call);
    return state_fail(e->cage->st, LENCASE_ENOMEM, "no memory for a parked call");
  }
  state_debug(e->cage->st, STOPS, "%" PRId64 ": call %d is parked", e->cage->pid, (int)call->nr);
  *p = (struct parked){.call = call, .next = e->parked};
  e->parked = p;
  *parked = (lencase_call *)call;
  return LENCASE_OK;
}

/* Takes a call out of the list; false: it is not there. */
static bool unpark(struct embed *e, const struct call *call) {
  struct parked **p = &e->parked, *found;
  while (*p != NULL && (*p)->call != call) p = &(*p)->next;
  found = *p;
  if (found == NULL) return false;
  *p = found->next;
  state_debug(e->cage->st, STOPS, "%" PRId64 ": call %d is not parked any more", e->cage->pid,
              (int)call->nr);
  state_free(e->cage->st, found, sizeof *found);
  return true;
}

/* The cage has ended in its call. */
static int ended(struct embed *e, enum verdict verdict, struct call *call) {
  if (call != NULL && verdict == VERDICT_PARKED) call_drop(call);
  if (call != NULL && verdict == VERDICT_DONE) call_end(call);
  if (e->busy == 0) end_cage(e);
  return LENCASE_EGONE;
}

static int settle(struct embed *e, enum verdict verdict, struct call *call, int64_t *result,
                  lencase_call **parked) {
  *parked = NULL;
  assert(e->busy > 0);
  e->busy--;
  if (e->ending) return ended(e, verdict, call);
  if (verdict == VERDICT_PARKED) return park(e, call, parked);
  *result = call != NULL ? call->result : -ENOMEM; /* as call.h has it */
  if (call != NULL) call_end(call);
  return LENCASE_OK;
}

static int arrive(struct embed *e, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
                  int64_t *result, lencase_call **parked) {
  struct call *call = NULL;
  enum verdict verdict;
  e->busy++;
  verdict = call_arrive(e->cage, e, nr, words, &call);
  if (verdict == VERDICT_PASS && !e->ending) verdict = call_unhandled(e->cage, e, nr, words, &call);
  return settle(e, verdict, call, result, parked);
}

LENCASE_PUBLIC int lencase_cage_call(lencase_state *st, uint64_t cage, int32_t callnum,
                                     const uint64_t words[LENCASE_MAXARGS], int64_t *result,
                                     lencase_call **parked) {
  int status = state_enter(st);
  struct embed *e;
  *parked = NULL;
  if (status != LENCASE_OK) return status;
  e = find(st, cage);
  status = e != NULL ? arrive(e, callnum, words, result, parked) : LENCASE_EGONE;
  state_leave(st);
  return status;
}

/* Unparks a call, and returns its cage; NULL, with an error: it is not parked here. */
static struct embed *unparked(lencase_state *st, struct call *call) {
  struct embed *e =
      call->cage != NULL && call->cage->ops == &embed_ops ? embed_of(call->cage) : NULL;
  if (e != NULL && unpark(e, call)) return e;
  state_fail(st, LENCASE_EINVAL, "this call is not parked");
  return NULL;
}

LENCASE_PUBLIC int lencase_call_complete(lencase_state *st, lencase_call *parked, int64_t done,
                                         int64_t *result, lencase_call **still) {
  struct call *call = (struct call *)parked;
  int status = state_enter(st);
  struct embed *e;
  *still = NULL;
  if (status != LENCASE_OK) return status;
  e = unparked(st, call);
  if (e != NULL) {
    e->busy++;
    status = settle(e, call_carried_out(call, done), call, result, still);
  }
  state_leave(st);
  return e != NULL ? status : LENCASE_EINVAL;
}

LENCASE_PUBLIC int lencase_call_drop(lencase_state *st, lencase_call *parked) {
  int status = state_enter(st);
  struct embed *e;
  if (status != LENCASE_OK) return status;
  e = unparked(st, (struct call *)parked);
  if (e != NULL) call_drop((struct call *)parked);
  state_leave(st);
  return e != NULL ? LENCASE_OK : LENCASE_EINVAL;
}

/* }========================================================================= */
