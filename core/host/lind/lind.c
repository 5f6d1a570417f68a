/*
** lind.c - the host for a grate of Lind's
*/

#include "lind.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { PAGE = 4096, ERRNO_MAX = 4095, SIGNAL_KILL = 9 };

/* Calls by which cages come and go: x86-64's numbers, which are Lind's. */
enum {
  NR_CLONE = 56,
  NR_FORK = 57,
  NR_VFORK = 58,
  NR_EXECVE = 59,
  NR_EXIT = 60,
  NR_KILL = 62,
  NR_EXIT_GROUP = 231
};
static const int32_t life[] = {NR_CLONE, NR_FORK, NR_VFORK, NR_EXECVE, NR_EXIT, NR_EXIT_GROUP};
enum { NLIFE = sizeof life / sizeof *life };

struct lind {
  struct lencase_state *st;
  uint64_t self;
  void (*lock)(void *ud), (*unlock)(void *ud);
  void *ud;
  struct member *members;
};

/*
** The host's part of a cage. After a grate has killed the cage it stays, without a cage, until Lind
** says that the cage has ended, or gives its id to another one: calls of its threads may still
** come.
*/
struct member {
  struct lind *l;
  struct lencase_cage *cage; /* NULL: it was killed, and its calls are over */
  uint64_t lind_id;
  unsigned busy; /* how many of its calls are here */
  bool ending, killed;
  int status;
  struct member *next;
};

/* A call of a cage's program that has arrived: what Lind said, and what is to be carried out. */
struct arrival {
  const uint64_t *words, *cages;
  int32_t nr;
  uint64_t down[LENCASE_MAXARGS], down_cages[LENCASE_MAXARGS];
};

static struct member *member_of(const struct lencase_cage *cage) {
  return cage->host;
}

/* {================================= memory ================================ */

static bool copied(const struct member *m, uint64_t addr, void *data, size_t size, uint64_t type) {
  const struct lind *l = m->l;
  return copy_data_between_cages(l->self, m->lind_id, addr, m->lind_id, (uint64_t)(uintptr_t)data,
                                 l->self, size, type) == 0;
}

/* Lind copies all or nothing: how much is readable is found page by page. */
static size_t read_pages(const struct member *m, uint64_t addr, unsigned char *data, size_t size) {
  size_t done = 0;
  if (copied(m, addr, data, size, LIND_COPY_BYTES)) return size;
  while (done < size) {
    size_t n = PAGE - (size_t)((addr + done) % PAGE);
    if (n > size - done) n = size - done;
    if (n == size || !copied(m, addr + done, data + done, n, LIND_COPY_BYTES)) break;
    done += n;
  }
  return done;
}

static int lind_read(struct lencase_cage *cage, const struct mem_seg *segs, size_t n,
                     size_t *done) {
  size_t i;
  *done = 0;
  if (cage->gone) return LENCASE_EGONE;
  for (i = 0; i < n; i++) {
    size_t got = segs[i].size > 0
                     ? read_pages(member_of(cage), segs[i].addr, segs[i].data, segs[i].size)
                     : 0;
    *done += got;
    if (got < segs[i].size) break;
  }
  return LENCASE_OK;
}

/* Lind stops at the string's NUL. */
static int lind_read_string(struct lencase_cage *cage, const struct mem_seg *seg, size_t *done) {
  *done = 0;
  if (cage->gone) return LENCASE_EGONE;
  memset(seg->data, 0, seg->size);
  if (copied(member_of(cage), seg->addr, seg->data, seg->size, LIND_COPY_STRING)) *done = seg->size;
  return LENCASE_OK;
}

static int lind_write(struct lencase_cage *cage, const struct mem_seg *seg) {
  const struct member *m = member_of(cage);
  if (cage->gone) return LENCASE_EGONE;
  if (seg->size == 0) return LENCASE_OK;
  return copy_data_between_cages(m->l->self, m->lind_id, (uint64_t)(uintptr_t)seg->data, m->l->self,
                                 seg->addr, m->lind_id, seg->size, LIND_COPY_BYTES) == 0
             ? LENCASE_OK
             : LENCASE_EFAULT;
}

/* Windows and scratch are this grate's own memory: GRATE_MEMORY_FLAG tells Lind so. */
static int own_get(struct call *call, struct mem_seg *seg) {
  seg->data = state_new(call->cage->st, seg->size);
  seg->addr = (uint64_t)(uintptr_t)seg->data;
  if (seg->data == NULL) return LENCASE_ENOMEM;
  state_debug(call->cage->st, WINDOW, "%" PRId64 ": %zu bytes at 0x%" PRIx64, call->cage->pid,
              seg->size, seg->addr);
  return LENCASE_OK;
}

static void own_put(struct call *call, const struct mem_seg *seg) {
  state_debug(call->cage->st, WINDOW, "%" PRId64 ": %zu bytes at 0x%" PRIx64 " are free again",
              call->cage->pid, seg->size, seg->addr);
  state_free(call->cage->st, (void *)(uintptr_t)seg->addr, seg->size);
}

static bool is_in(const struct mem_seg *seg, uint64_t addr) {
  return seg->size > 0 && addr >= seg->addr && addr - seg->addr < seg->size;
}

/* }========================================================================= */

/* {============================== carrying out ============================= */

/* The cage whose memory an argument is of, with the flag for ours. */
static uint64_t cage_of_argument(const struct call *call, const struct arrival *a, int i,
                                 uint64_t word) {
  const struct member *m = member_of(call->cage);
  const struct call *c;
  for (c = call; c != NULL; c = c->parent)
    if (is_in(&c->window, word) || is_in(&c->scratch, word)) return m->l->self | GRATE_MEMORY_FLAG;
  return word == a->words[i] ? a->cages[i] : m->lind_id;
}

/* The call is parked, and lind_call makes it without the lock. */
static enum verdict lind_carry_out(struct call *call, int32_t nr,
                                   const uint64_t words[LENCASE_MAXARGS], int64_t *result) {
  struct arrival *a = call->thread;
  int i;
  *result = -EOPNOTSUPP;
  if (a == NULL) return VERDICT_DONE;
  a->nr = nr;
  for (i = 0; i < LENCASE_MAXARGS; i++) {
    a->down[i] = words[i];
    a->down_cages[i] = cage_of_argument(call, a, i, words[i]);
  }
  return VERDICT_PARKED;
}

/*
** Results have 32 bits: the errnos keep their sign, anything else (mmap's addresses reach over
** 2 GiB) is what it is without one.
*/
static int64_t ask_lind(const struct lind *l, uint64_t target, int32_t nr, const uint64_t w[],
                        const uint64_t c[]) {
  int n = make_threei_call((unsigned)nr, 0, l->self, target, w[0], c[0], w[1], c[1], w[2], c[2],
                           w[3], c[3], w[4], c[4], w[5], c[5], TRANSLATE_ERRNO_OFF);
  return n < 0 && n >= -ERRNO_MAX ? n : (int64_t)(uint32_t)n;
}

/* }========================================================================= */

/* {================================== cages ================================ */

static int unknown_fd_path(struct lencase_cage *cage, int fd, char *buf, size_t size) {
  (void)cage, (void)fd, (void)buf, (void)size;
  return -ENOSYS; /* Lind has no function for it */
}

/* By fcntl(2) with F_GETFD, which goes to Lind past all grates. */
static bool lind_fd_open(struct lencase_cage *cage, int fd) {
  enum { NR_FCNTL = 72, F_GETFD_LIND = 1 };
  const struct member *m = member_of(cage);
  const uint64_t words[LENCASE_MAXARGS] = {(uint64_t)fd, F_GETFD_LIND};
  uint64_t cages[LENCASE_MAXARGS];
  int i;
  for (i = 0; i < LENCASE_MAXARGS; i++) cages[i] = m->lind_id;
  return ask_lind(m->l, m->lind_id, NR_FCNTL, words, cages) != -EBADF;
}

static int lind_comm(struct lencase_cage *cage, char *buf, size_t size) {
  static const char name[] = "lind";
  (void)cage;
  if (size < sizeof name) return 0;
  memcpy(buf, name, sizeof name);
  return (int)sizeof name - 1;
}

static void mark_ending(struct member *m, int status) {
  if (m->ending) return;
  state_debug(m->l->st, STOPS, "%" PRIu64 ": ends, status 0x%x%s", m->lind_id, (unsigned)status,
              m->busy > 0 ? ", when its calls are over" : "");
  m->ending = m->cage->ending = true;
  m->status = status;
}

/*
** By a kill(2) of the grate itself, past all grates above it: Lind marks the cage's threads, which
** end at their next check. Not by an exit on behalf of the cage: Lind would end the thread that
** asks.
*/
static void lind_kill(struct lencase_cage *cage) {
  struct member *m = member_of(cage);
  const uint64_t self = m->l->self;
  const uint64_t words[LENCASE_MAXARGS] = {m->lind_id, SIGNAL_KILL};
  const uint64_t cages[LENCASE_MAXARGS] = {self, self};
  if (m->ending) return;
  mark_ending(m, SIGNAL_KILL);
  m->killed = true;
  ask_lind(m->l, self, NR_KILL, words, cages); /* if it fails, so do the cage's calls from now on */
}

static void member_exit(struct member *m) {
  if (m->cage != NULL) call_cage_exit(m->cage, m->status);
  m->cage = NULL;
}

static void member_free(struct member *m) {
  struct lencase_state *st = m->l->st;
  struct member **p = &m->l->members;
  assert(m->busy == 0);
  while (*p != m) p = &(*p)->next;
  *p = m->next;
  member_exit(m);
  state_free(st, m, sizeof *m);
}

static void lind_let_go(struct lencase_cage *cage) {
  mark_ending(member_of(cage), SIGNAL_KILL);
  member_free(member_of(cage));
}

static const struct host_ops lind_ops = {
    .name = "lind",
    .read = lind_read,
    .read_string = lind_read_string,
    .write = lind_write,
    .window_get = own_get,
    .window_put = own_put,
    .scratch_get = own_get,
    .scratch_put = own_put,
    .carry_out = lind_carry_out,
    .fd_path = unknown_fd_path,
    .fd_open = lind_fd_open,
    .comm = lind_comm,
    .kill = lind_kill,
    .let_go = lind_let_go,
};

static struct member *find(const struct lind *l, uint64_t id) {
  struct member *m = l->members;
  while (m != NULL && m->lind_id != id) m = m->next;
  return m;
}

static struct member *member_new(struct lind *l, uint64_t id, struct member *parent) {
  struct member *m = state_new(l->st, sizeof *m);
  if (m == NULL) return NULL;
  m->l = l;
  m->lind_id = id;
  m->cage =
      call_cage_new(l->st, &lind_ops, m, (int64_t)id, parent != NULL ? parent->cage : NULL, false);
  if (m->cage == NULL) {
    state_free(l->st, m, sizeof *m);
    return NULL;
  }
  m->cage->narrow =
      sizeof(void *) == 4; /* a wasm32 grate's cages are wasm32, too; iovecs: README.md */
  m->next = l->members;
  l->members = m;
  state_debug(l->st, STOPS, "%" PRIu64 ": a new cage%s", id,
              parent != NULL ? " with a parent" : "");
  return m;
}

/* The id of a killed cage that comes again belongs to a new one. */
static void born(struct member *parent, uint64_t id) {
  struct member *m = find(parent->l, id);
  if (m != NULL && m->killed && m->busy == 0) {
    member_free(m);
    m = NULL;
  }
  if (m == NULL) member_new(parent->l, id, parent);
}

/* A call was carried out by which cages may come or go. */
static void lived(struct member *m, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
                  int64_t result) {
  enum { CLONE_THREAD_FLAG = 0x10000 };
  bool forks =
      nr == NR_FORK || nr == NR_VFORK || (nr == NR_CLONE && (words[0] & CLONE_THREAD_FLAG) == 0);
  if (forks && result > 0) born(m, (uint64_t)result);
  if (nr == NR_EXECVE && result == 0) {
    state_debug(m->l->st, STOPS, "%" PRIu64 ": executes a program", m->lind_id);
    call_cage_exec(m->cage);
  }
  if (nr == NR_EXIT || nr == NR_EXIT_GROUP) mark_ending(m, (int)(words[0] & 0xff) << 8);
}

/* }========================================================================= */

/* {================================== calls ================================ */

/* Carries out a call without the lock; the cage may have ended when it returns. */
static int64_t carried_out(struct member *m, const struct arrival *a) {
  struct lind *l = m->l;
  int64_t result;
  state_debug(l->st, STOPS, "%" PRIu64 ": call %d is carried out", m->lind_id, (int)a->nr);
  l->unlock(l->ud);
  result = ask_lind(l, m->lind_id, a->nr, a->down, a->down_cages);
  l->lock(l->ud);
  lived(m, a->nr, a->down, result);
  return result;
}

static int64_t handled(struct member *m, int32_t nr, struct arrival *a) {
  struct call *call = NULL;
  enum verdict verdict = call_arrive(m->cage, a, nr, a->words, &call);
  int64_t result;
  if (verdict == VERDICT_PASS) {
    a->nr = nr;
    memcpy(a->down, a->words, sizeof a->down);
    memcpy(a->down_cages, a->cages, sizeof a->down_cages);
    return carried_out(m, a);
  }
  while (verdict == VERDICT_PARKED) verdict = call_carried_out(call, carried_out(m, a));
  if (call == NULL) return -ENOMEM;
  result = call->result;
  call_end(call);
  return result;
}

int64_t lind_call(struct lind *l, int32_t nr, uint64_t cage, const uint64_t words[LENCASE_MAXARGS],
                  const uint64_t cages[LENCASE_MAXARGS]) {
  struct arrival a = {.words = words, .cages = cages};
  struct member *m;
  int64_t result = -ENOMEM;
  l->lock(l->ud);
  m = find(l, cage);
  if (m == NULL) m = member_new(l, cage, NULL); /* else it was seen at its parent's fork */
  if (m != NULL) {
    m->busy++;
    result = m->ending ? -ESRCH : handled(m, nr, &a);
    m->busy--;
    if (m->ending && m->busy == 0) {
      if (m->killed)
        member_exit(m);
      else
        member_free(m);
    }
  }
  l->unlock(l->ud);
  return result;
}

unsigned lind_register(struct lind *l, uint64_t cage) {
  const struct route_table *t = l->st->first_routes;
  int32_t nr;
  int failed = 0;
  size_t i;
  for (i = 0; i < NLIFE && failed == 0; i++)
    if (route_links(t, life[i]) == NULL)
      failed = register_handler(cage, (uint64_t)life[i], l->self, (uint64_t)life[i] + 1);
  for (nr = route_next(t, -1); nr >= 0 && failed == 0; nr = route_next(t, nr))
    failed = register_handler(cage, (uint64_t)nr, l->self, (uint64_t)nr + 1);
  return (unsigned)failed;
}

void lind_ended(struct lind *l, uint64_t cage, int wstatus) {
  struct member *m;
  l->lock(l->ud);
  m = find(l, cage);
  if (m != NULL) {
    if (m->cage != NULL) mark_ending(m, wstatus);
    m->killed = false;
    if (m->busy == 0) member_free(m);
  }
  l->unlock(l->ud);
}

struct lind *lind_open(struct lencase_state *st, uint64_t self, void (*lock)(void *ud),
                       void (*unlock)(void *ud), void *ud) {
  struct lind *l = state_new(st, sizeof *l);
  if (l == NULL) return NULL;
  *l = (struct lind){.st = st, .self = self, .lock = lock, .unlock = unlock, .ud = ud};
  return l;
}

void lind_close(struct lind *l) {
  while (l->members != NULL) {
    if (l->members->cage != NULL) mark_ending(l->members, SIGNAL_KILL);
    member_free(l->members);
  }
  state_free(l->st, l, sizeof *l);
}

/* }========================================================================= */
