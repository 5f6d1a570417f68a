/*
** sim.c - the host of simulated cages
*/

#include "sim.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sim_kernel.h"
#include "sim_memory.h"

enum { DEFAULT_MEMORY = 16 << 20, COMM_SIZE = 16 /* TASK_COMM_LEN */ };

/* A call of the cage's program from sim_call to its result; it is call->thread. */
struct sim_thread {
  int32_t nr; /* the parked downcall */
  uint64_t words[LENCASE_MAXARGS];
  struct call *call; /* the parked call; NULL: none */
  struct sim_thread *next;
};

/* The host's part of a cage. */
struct sim {
  struct lencase_cage *cage;
  struct sim_config config;
  struct sim_memory memory;
  struct sim_thread *parked; /* the oldest last */
  struct sim_thread *idle;
  struct sim_temp temp;
  unsigned busy; /* how many calls of the cage, and on its behalf, are at work */
  bool ending;   /* it ends, with 'status', as soon as it is not busy */
  int status;
  char comm[COMM_SIZE];
};

static struct sim *sim_of(const struct lencase_cage *cage) {
  return cage->host;
}

static bool is_gone(const struct lencase_cage *cage) {
  return cage->gone || sim_of(cage)->ending;
}

/* {================================= threads =============================== */

static void thread_put(struct sim *s, struct sim_thread *t) {
  t->next = s->idle;
  s->idle = t;
}

static void thread_unpark(struct sim *s, struct sim_thread *t) {
  struct sim_thread **p = &s->parked;
  assert(t->call != NULL && t->call->thread == t);
  state_debug(s->cage->st, STOPS, "%" PRId64 ": call %d is not parked any more", s->cage->pid,
              (int)t->call->nr);
  while (*p != t) p = &(*p)->next;
  *p = t->next;
}

static void thread_drop(struct sim *s, struct sim_thread *t) {
  thread_unpark(s, t);
  call_drop(t->call);
  thread_put(s, t);
}

static void free_threads(struct sim *s) {
  while (s->idle != NULL) {
    struct sim_thread *t = s->idle;
    s->idle = t->next;
    state_free(s->cage->st, t, sizeof *t);
  }
}

/* }========================================================================= */

/* {============================ memory of a cage =========================== */

static int sim_read(struct lencase_cage *cage, const struct mem_seg *segs, size_t n, size_t *done) {
  const struct sim_memory *m = &sim_of(cage)->memory;
  *done = 0;
  if (is_gone(cage)) return LENCASE_EGONE;
  for (size_t i = 0; i < n; i++) {
    size_t size = sim_memory_extent(m, segs[i].addr, segs[i].size, SIM_READ);
    if (size > 0) memcpy(segs[i].data, sim_memory_at(m, segs[i].addr), size);
    *done += size;
    if (size < segs[i].size) break;
  }
  return LENCASE_OK;
}

static int sim_write(struct lencase_cage *cage, const struct mem_seg *seg) {
  const struct sim_memory *m = &sim_of(cage)->memory;
  if (is_gone(cage)) return LENCASE_EGONE;
  if (sim_memory_extent(m, seg->addr, seg->size, SIM_WRITE) < seg->size) return LENCASE_EFAULT;
  if (seg->size > 0) memcpy(sim_memory_at(m, seg->addr), seg->data, seg->size);
  return LENCASE_OK;
}

static int lent(const struct call *call, const struct mem_seg *seg) {
  state_debug(call->cage->st, WINDOW, "%" PRId64 ": %zu bytes at 0x%" PRIx64, call->cage->pid,
              seg->size, seg->addr);
  return LENCASE_OK;
}

static void returned(const struct call *call, const struct mem_seg *seg) {
  state_debug(call->cage->st, WINDOW, "%" PRId64 ": %zu bytes at 0x%" PRIx64 " are free again",
              call->cage->pid, seg->size, seg->addr);
}

/* Memory of ours in the cage for 'seg'. */
static int ours_get(struct call *call, struct mem_seg *seg, enum sim_page page) {
  struct lencase_state *st = call->cage->st;
  if (is_gone(call->cage)) return state_fail(st, LENCASE_EGONE, "the cage has ended");
  seg->addr = sim_memory_get(&sim_of(call->cage)->memory, seg->size, page);
  if (seg->addr != 0) return lent(call, seg);
  return state_fail(st, LENCASE_ENOMEM, "a sim cage has no room for %zu more bytes", seg->size);
}

static void ours_put(struct call *call, const struct mem_seg *seg) {
  returned(call, seg);
  sim_memory_put(&sim_of(call->cage)->memory, seg->addr, seg->size);
}

static int sim_window_get(struct call *call, struct mem_seg *seg) {
  int status = ours_get(call, seg, SIM_READ);
  if (status == LENCASE_OK) seg->data = sim_memory_at(&sim_of(call->cage)->memory, seg->addr);
  return status;
}

static int sim_scratch_get(struct call *call, struct mem_seg *seg) {
  return ours_get(call, seg, SIM_WRITE);
}

static int sim_edge_get(struct call *call, struct mem_seg *seg) {
  struct sim_memory *m = &sim_of(call->cage)->memory;
  if (is_gone(call->cage)) return LENCASE_EGONE;
  seg->addr = sim_memory_edge_get(m, seg->size);
  if (seg->addr == 0) return LENCASE_ENOMEM;
  seg->data = sim_memory_at(m, seg->addr);
  return lent(call, seg);
}

static void sim_edge_put(struct call *call, const struct mem_seg *seg) {
  returned(call, seg);
  sim_memory_edge_put(&sim_of(call->cage)->memory, seg->addr, seg->size);
}

uint64_t sim_alloc(struct lencase_cage *cage, size_t size) {
  return sim_memory_alloc(&sim_of(cage)->memory, size);
}

void sim_reset(struct lencase_cage *cage) {
  sim_memory_reset(&sim_of(cage)->memory);
}

/* }========================================================================= */

/* {================================ the bottom ============================= */

static void mark_ending(struct lencase_cage *cage, int status) {
  struct sim *s = sim_of(cage);
  if (s->ending) return;
  state_debug(cage->st, STOPS, "%" PRId64 ": ends, status 0x%x%s", cage->pid, (unsigned)status,
              s->busy > 0 ? ", when its calls are over" : "");
  s->ending = cage->ending = true;
  s->status = status;
}

static int64_t answer_fork(struct lencase_cage *cage) {
  struct lencase_cage *child = sim_cage_new(cage->st, NULL, cage);
  return child != NULL ? child->pid : -ENOMEM;
}

/* The new program begins with an empty memory. */
static int64_t answer_exec(struct lencase_cage *cage, const uint64_t words[LENCASE_MAXARGS]) {
  struct sim *s = sim_of(cage);
  uint64_t here[LENCASE_MAXARGS];
  int64_t bad = sim_translate(&s->memory, &s->temp, SYS_execve, words, here);
  uint64_t access_words[LENCASE_MAXARGS] = {here[0], X_OK};
  int64_t error = sim_syscall(SYS_access, access_words);
  if (error != 0 || bad != 0) return error != 0 ? error : bad;
  state_debug(cage->st, STOPS, "%" PRId64 ": executes a program", cage->pid);
  sim_reset(cage);
  call_cage_exec(cage);
  return 0;
}

int64_t sim_kernel_bottom(struct lencase_cage *cage, int32_t nr,
                          const uint64_t words[LENCASE_MAXARGS]) {
  struct sim *s = sim_of(cage);
  const struct lencase_cage *parent;
  uint64_t here[LENCASE_MAXARGS];
  int64_t error;
  switch (sim_answer_of(nr)) {
    case ANSWER_REFUSE: return -ENOSYS;
    case ANSWER_EXIT: mark_ending(cage, (int)(words[0] & 0xff) << 8); return 0;
    case ANSWER_FORK: return answer_fork(cage);
    case ANSWER_CLONE: /* of what a child may share with its parent only a thread is refused */
      return (words[0] & CLONE_THREAD) != 0 ? -ENOSYS : answer_fork(cage);
    case ANSWER_EXEC: return answer_exec(cage, words);
    case ANSWER_PID: return cage->pid;
    case ANSWER_PPID:
      parent = cage_by_id(cage->st, cage->parent);
      return parent != NULL ? parent->pid : 0;
    case ANSWER_KERNEL: break;
  }
  error = sim_translate(&s->memory, &s->temp, nr, words, here);
  return error != 0 ? error : sim_syscall(nr, here);
}

static int64_t ask_bottom(struct lencase_cage *cage, int32_t nr,
                          const uint64_t words[LENCASE_MAXARGS]) {
  const struct sim_config *config = &sim_of(cage)->config;
  if (config->bottom != NULL) return config->bottom(config->ud, cage, nr, words);
  return sim_kernel_bottom(cage, nr, words);
}

/* A cage that ends by its own call never sees a result: the call stays parked and is dropped. */
static enum verdict sim_carry_out(struct call *call, int32_t nr,
                                  const uint64_t words[LENCASE_MAXARGS], int64_t *result) {
  struct sim *s = sim_of(call->cage);
  struct sim_thread *t = call->thread;
  if (t == NULL) {
    *result = s->ending ? -ESRCH : ask_bottom(call->cage, nr, words);
    return VERDICT_DONE;
  }
  if (s->ending) return VERDICT_PARKED;
  if (s->config.park) {
    t->nr = nr;
    memcpy(t->words, words, sizeof t->words);
    return VERDICT_PARKED;
  }
  *result = ask_bottom(call->cage, nr, words);
  return s->ending ? VERDICT_PARKED : VERDICT_DONE;
}

/* }========================================================================= */

/* {============================ facts about a cage ========================= */

/* True if its descriptors are those of this process. */
static bool has_files(const struct sim *s) {
  return s->config.bottom == NULL || s->config.files;
}

static int fd_path(struct lencase_cage *cage, int fd, char *buf, size_t size) {
  const struct sim_config *config = &sim_of(cage)->config;
  char link[32] = "/proc/self/cwd";
  if (!has_files(sim_of(cage)))
    return config->fd_path != NULL ? config->fd_path(config->ud, cage, fd, buf, size) : -ENOSYS;
  if (fd != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, buf, size);
  if (length < 0) return errno == ENOENT ? -EBADF : -errno;
  return (size_t)length < size ? (int)length : -ENAMETOOLONG;
}

/* Without a callback the bottom is asked; where that has no fcntl all descriptors count as open. */
static bool fd_open(struct lencase_cage *cage, int fd) {
  uint64_t words[LENCASE_MAXARGS] = {(uint64_t)(int64_t)fd, F_GETFD};
  char buf[1];
  if (sim_of(cage)->config.fd_path != NULL) return fd_path(cage, fd, buf, sizeof buf) != -EBADF;
  return ask_bottom(cage, SYS_fcntl, words) != -EBADF;
}

static int sim_comm(struct lencase_cage *cage, char *buf, size_t size) {
  return snprintf(buf, size, "%s", sim_of(cage)->comm);
}

void sim_set_comm(struct lencase_cage *cage, const char *comm) {
  struct sim *s = sim_of(cage);
  snprintf(s->comm, sizeof s->comm, "%s", comm);
}

static void sim_kill(struct lencase_cage *cage) {
  mark_ending(cage, SIGKILL);
}

static void sim_let_go(struct lencase_cage *cage);
static void sim_hold(struct lencase_cage *cage, bool on);

static const struct host_ops sim_ops = {
    .name = "sim",
    .read = sim_read,
    .write = sim_write,
    .window_get = sim_window_get,
    .window_put = ours_put,
    .edge_get = sim_edge_get,
    .edge_put = sim_edge_put,
    .scratch_get = sim_scratch_get,
    .scratch_put = ours_put,
    .carry_out = sim_carry_out,
    .fd_path = fd_path,
    .fd_open = fd_open,
    .comm = sim_comm,
    .hold = sim_hold,
    .kill = sim_kill,
    .let_go = sim_let_go,
};

/* }========================================================================= */

/* {================================== cages ================================ */

/* Its memory, a copy of the parent's if there is one. */
static int open_memory(struct lencase_state *st, struct sim *s, const struct sim *parent) {
  size_t size = s->config.memory != 0 ? s->config.memory : DEFAULT_MEMORY;
  int status = sim_memory_open(st, &s->memory, size, s->config.guard);
  if (status != LENCASE_OK || parent == NULL) return status;
  return sim_memory_copy(&s->memory, &parent->memory);
}

static void sim_free(struct lencase_state *st, struct sim *s) {
  sim_memory_close(st, &s->memory);
  state_free(st, s, sizeof *s);
}

static struct lencase_cage *no_cage(struct lencase_state *st) {
  state_fail(st, LENCASE_ENOMEM, "no memory for a sim cage");
  return NULL;
}

struct lencase_cage *sim_cage_new(struct lencase_state *st, const struct sim_config *config,
                                  struct lencase_cage *parent) {
  struct sim *of_parent = parent != NULL ? sim_of(parent) : NULL;
  struct sim *s = state_new(st, sizeof *s);
  int64_t pid = config != NULL ? config->pid : 0;
  const char *comm;
  bool shares = config != NULL && config->shares_files;
  if (s == NULL) return no_cage(st);
  s->config = of_parent != NULL ? of_parent->config : *config;
  comm = of_parent != NULL ? of_parent->comm : s->config.comm;
  snprintf(s->comm, sizeof s->comm, "%s", comm != NULL ? comm : "sim");
  s->config.comm = NULL; /* the caller's, and not ours to keep */
  if (open_memory(st, s, of_parent) == LENCASE_OK) {
    /* the kernel's descriptors are this process's, and so shared by all cages */
    bool shares_files = parent != NULL && (shares || has_files(s));
    s->cage = call_cage_new(st, &sim_ops, s, pid, parent, shares_files);
  }
  if (s->cage != NULL) {
    state_debug(st, STOPS, "%" PRId64 ": a new cage%s", s->cage->pid,
                parent != NULL ? " with a parent" : "");
    return s->cage;
  }
  sim_free(st, s);
  return no_cage(st);
}

static void end_cage(struct sim *s) {
  struct lencase_state *st = s->cage->st;
  s->ending = true;
  while (s->parked != NULL) thread_drop(s, s->parked);
  free_threads(s);
  call_cage_exit(s->cage, s->status);
  sim_free(st, s);
}

static void sim_let_go(struct lencase_cage *cage) {
  mark_ending(cage, SIGKILL);
  end_cage(sim_of(cage));
}

void sim_cage_exit(struct lencase_cage *cage, int status) {
  mark_ending(cage, status);
  if (sim_of(cage)->busy == 0) end_cage(sim_of(cage));
}

/* }========================================================================= */

/* {================================== calls ================================ */

/* A call is over: LENCASE_EGONE if the cage has ended in it. */
static int leave(struct sim *s) {
  assert(s->busy > 0);
  s->busy--;
  if (!s->ending) return LENCASE_OK;
  if (s->busy == 0) end_cage(s);
  return LENCASE_EGONE;
}

static void sim_hold(struct lencase_cage *cage, bool on) {
  if (on)
    sim_of(cage)->busy++;
  else
    leave(sim_of(cage));
}

/* Acts on the verdict on a call. */
static void settle(struct sim *s, struct sim_thread *t, enum verdict verdict, struct call *call,
                   int64_t *result, struct call **still) {
  *still = NULL;
  if (verdict == VERDICT_PARKED) {
    state_debug(s->cage->st, STOPS, "%" PRId64 ": call %d is parked", s->cage->pid, (int)call->nr);
    t->call = call;
    t->next = s->parked;
    s->parked = t;
    *still = call;
    return;
  }
  if (call != NULL) {
    *result = call->result;
    call_end(call);
  }
  thread_put(s, t);
}

int sim_step(struct call *parked, int64_t *result, struct call **still) {
  struct sim *s = sim_of(parked->cage);
  struct sim_thread *t = parked->thread;
  s->busy++;
  if (!s->ending) {
    int64_t down_result = ask_bottom(s->cage, t->nr, t->words);
    if (!s->ending) {
      thread_unpark(s, t);
      settle(s, t, call_carried_out(parked, down_result), parked, result, still);
    }
  }
  return leave(s);
}

void sim_drop(struct call *parked) {
  thread_drop(sim_of(parked->cage), parked->thread);
}

static void arrive(struct sim *s, struct sim_thread *t, int32_t nr,
                   const uint64_t words[LENCASE_MAXARGS], int64_t *result, struct call **still) {
  struct call *call = NULL;
  enum verdict verdict = call_arrive(s->cage, t, nr, words, &call);
  if (verdict == VERDICT_DONE && call == NULL) *result = -ENOMEM; /* as call.h has it */
  if (verdict == VERDICT_PASS && !s->ending) *result = ask_bottom(s->cage, nr, words);
  settle(s, t, verdict, call, result, still);
}

int sim_call(struct lencase_cage *cage, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
             int64_t *result, struct call **parked) {
  struct sim *s = sim_of(cage);
  struct call *call = NULL;
  struct sim_thread *t = s->idle;
  if (t != NULL)
    s->idle = t->next;
  else
    t = state_new(cage->st, sizeof *t);
  if (t == NULL) return state_fail(cage->st, LENCASE_ENOMEM, "no memory for a call");
  s->busy++;
  if (s->ending)
    thread_put(s, t);
  else
    arrive(s, t, nr, words, result, &call);
  int status = leave(s);
  if (parked != NULL) *parked = status == LENCASE_OK ? call : NULL;
  while (parked == NULL && status == LENCASE_OK && call != NULL)
    status = sim_step(call, result, &call);
  return status;
}

/* }========================================================================= */
