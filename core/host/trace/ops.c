/*
** ops.c - host_ops of traced cages
*/

#include "trace_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { IOV_BATCH = 64 };

struct trace_run *trace_run_of(const struct lencase_cage *cage) {
  return cage->st->run;
}

static struct process *process_of(const struct lencase_cage *cage) {
  return cage->host;
}

/* {================================== memory =============================== */

/* A run of segments that stays within IOV_BATCH; its bytes in *size. */
static size_t batch(const struct mem_seg *segs, size_t n, struct iovec *local, struct iovec *remote,
                    size_t *size) {
  size_t i;
  *size = 0;
  for (i = 0; i < n && i < IOV_BATCH; i++) {
    local[i] = (struct iovec){segs[i].data, segs[i].size};
    remote[i] = (struct iovec){(void *)segs[i].addr, segs[i].size};
    *size += segs[i].size;
  }
  return i;
}

/* A thread of the cage that was alive a moment ago; NULL: there is none. */
static struct thread *reader_of(const struct lencase_cage *cage) {
  const struct process *proc = process_of(cage);
  struct thread *t = thread_find(trace_run_of(cage), proc->reader);
  return t != NULL ? t : proc->threads;
}

static int unreachable(const struct lencase_cage *cage, ssize_t err) {
  if (err == -ESRCH) {
    state_debug(cage->st, STOPS, "%d: its memory is gone", (int)cage->pid);
    return LENCASE_EGONE;
  }
  return state_fail(cage->st, LENCASE_EHOST,
                    "the memory of cage %d cannot be reached here (%s): `lencase doctor` tells why",
                    (int)cage->pid, strerror((int)-err));
}

static int ops_read(struct lencase_cage *cage, const struct mem_seg *segs, size_t n, size_t *done) {
  struct iovec local[IOV_BATCH], remote[IOV_BATCH];
  struct thread *reader = reader_of(cage);
  *done = 0;
  while (n > 0) {
    size_t size, count = batch(segs, n, local, remote, &size);
    ssize_t got = reader != NULL ? memory_read(reader, local, remote, count) : -ESRCH;
    if (got == -EFAULT) return LENCASE_OK;
    if (got < 0) return unreachable(cage, got);
    *done += (size_t)got;
    if ((size_t)got < size) return LENCASE_OK;
    segs += count;
    n -= count;
  }
  return LENCASE_OK;
}

static int ops_write(struct lencase_cage *cage, const struct mem_seg *seg) {
  struct iovec local = {seg->data, seg->size}, remote = {(void *)seg->addr, seg->size};
  struct thread *reader = reader_of(cage);
  ssize_t put = reader != NULL ? memory_write(reader, &local, &remote, 1) : -ESRCH;
  if (put < 0 && put != -EFAULT) return unreachable(cage, put);
  return put >= 0 && (size_t)put == seg->size ? LENCASE_OK : LENCASE_EFAULT;
}

static struct space *space_of(const struct call *call) {
  return process_of(call->cage)->space;
}

static bool window_missing(const struct space *space) {
  return space->window_size == 0;
}

static int ops_window_get(struct call *call, struct mem_seg *seg) {
  struct trace_run *run = trace_run_of(call->cage);
  if (!window_ready(run, call->thread)) return lend_take(run, call->thread, seg);
  return window_take(run, call->thread, seg);
}

static void ops_window_put(struct call *call, const struct mem_seg *seg) {
  if (window_missing(space_of(call)))
    lend_give(trace_run_of(call->cage), space_of(call), seg);
  else
    window_give(trace_run_of(call->cage), space_of(call), seg);
}

/* Without a window nothing is safe from the program's threads, so its own memory is passed. */
static int ops_edge_get(struct call *call, struct mem_seg *seg) {
  struct trace_run *run = trace_run_of(call->cage);
  if (!window_ready(run, call->thread)) return LENCASE_ENOENT;
  return edges_take(run, call->thread, seg);
}

static void ops_edge_put(struct call *call, const struct mem_seg *seg) {
  edges_give(trace_run_of(call->cage), space_of(call), seg);
}

static int ops_scratch_get(struct call *call, struct mem_seg *seg) {
  struct space *space = space_of(call);
  struct lencase_state *st = call->cage->st;
  size_t offset;
  int rc = LENCASE_OK;
  if (space->scratch == 0) rc = lend_memory(trace_run_of(call->cage), call->thread);
  if (rc != LENCASE_OK) return rc == LENCASE_ENOENT ? LENCASE_ENOMEM : rc;
  if (!slots_get(st, &space->scratch_slots, seg->size, space->scratch_size, &offset))
    return state_fail(st, LENCASE_ENOMEM, "the scratch memory of cage %d has no %zu bytes left",
                      (int)call->cage->pid, seg->size);
  seg->addr = space->scratch + offset;
  return LENCASE_OK;
}

static void ops_scratch_put(struct call *call, const struct mem_seg *seg) {
  slots_put(&space_of(call)->scratch_slots, seg->addr - space_of(call)->scratch);
}

/* }========================================================================= */

/* {================================== calls ================================ */

static enum verdict ops_carry_out(struct call *call, int32_t nr,
                                  const uint64_t words[LENCASE_MAXARGS], int64_t *result) {
  struct trace_run *run = trace_run_of(call->cage);
  struct thread *t = call->thread;
  *result = -ENOSYS;
  if (nr < 0 || nr >= 0x40000000) return VERDICT_DONE;
  if (t->state == THREAD_EXECED) {
    *result = -ESRCH; /* the caller is gone */
    return VERDICT_DONE;
  }
  t->now.nr = nr;
  memcpy(t->now.words, words, sizeof t->now.words);
  if (!tame(run, t, result)) return VERDICT_DONE;
  *result = -EPERM; /* only a handler asks for that */
  if (!flight_bears(t)) return VERDICT_DONE;
  *result = -EFAULT;
  if (window_missing(space_of(call)) && !lend_flush(call)) return VERDICT_DONE;
  t->now.wants = true;
  return VERDICT_PARKED;
}

static void ops_kill(struct lencase_cage *cage) {
  kill(process_of(cage)->tgid, SIGKILL);
}

/* }========================================================================= */

/* {============================= what /proc tells ========================== */

/*
** As readlink(2), with -errno. Where /proc hides the process (hidepid) its answer says nothing of
** the descriptor.
*/
static ssize_t read_link(struct lencase_cage *cage, int fd, char *buf, size_t size) {
  struct thread *reader = reader_of(cage);
  int tid = (int)process_of(cage)->reader;
  char folder[32], path[64];
  bool hidden;
  ssize_t n;
  snprintf(folder, sizeof folder, "/proc/%d", tid);
  if (fd == AT_FDCWD)
    snprintf(path, sizeof path, "%s/cwd", folder);
  else
    snprintf(path, sizeof path, "%s/fd/%d", folder, fd);
  n = readlink(path, buf, size);
  if (n >= 0) return n;
  n = -errno;
  hidden = n == -EACCES || n == -EPERM || (n == -ENOENT && access(folder, F_OK) != 0);
  if (reader == NULL || !hidden || memory_unveil(reader) != VEIL_LIFTED) return n;
  n = readlink(path, buf, size);
  if (n < 0) n = -errno;
  memory_veil(reader);
  return n;
}

static int ops_fd_path(struct lencase_cage *cage, int fd, char *buf, size_t size) {
  ssize_t n = read_link(cage, fd, buf, size);
  if (n < 0) return n == -ENOENT ? -EBADF : (int)n;
  return (size_t)n < size ? (int)n : -ENAMETOOLONG;
}

static bool ops_fd_open(struct lencase_cage *cage, int fd) {
  char byte;
  return read_link(cage, fd, &byte, sizeof byte) >= 0;
}

static int ops_comm(struct lencase_cage *cage, char *buf, size_t size) {
  char path[64];
  ssize_t n;
  int fd;
  snprintf(path, sizeof path, "/proc/%d/comm", (int)process_of(cage)->tgid);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  n = read(fd, buf, size);
  close(fd);
  if (n > 0 && buf[n - 1] == '\n') n--;
  return n < 0 ? -EIO : (int)n;
}

static int64_t ops_tid(const struct call *call) {
  const struct thread *t = call->thread;
  return t->tid;
}

/* }========================================================================= */

const struct host_ops trace_ops = {
    .name = "trace",
    .read = ops_read,
    .write = ops_write,
    .window_get = ops_window_get,
    .window_put = ops_window_put,
    .edge_get = ops_edge_get,
    .edge_put = ops_edge_put,
    .scratch_get = ops_scratch_get,
    .scratch_put = ops_scratch_put,
    .carry_out = ops_carry_out,
    .fd_path = ops_fd_path,
    .fd_open = ops_fd_open,
    .comm = ops_comm,
    .tid = ops_tid,
    .kill = ops_kill,
};
