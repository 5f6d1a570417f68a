/*
** ops.c - host_ops of the program's own process
**
** Runs in the engine.
*/

#include "../edge.h"
#include "inline_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { IOV_BATCH = 64 };

static struct process *process_of(const struct lencase_cage *cage) {
  return cage->host;
}

static bool is_gone(const struct lencase_cage *cage) {
  return cage->gone || !process_of(cage)->here;
}

/* {================================== memory =============================== */

/* A run of segments that stays within IOV_BATCH; its bytes in *size. */
static size_t batch(const struct mem_seg *segs, size_t n, struct iovec *local, struct iovec *remote,
                    size_t *size) {
  size_t i;
  *size = 0;
  for (i = 0; i < n && i < IOV_BATCH; i++) {
    local[i] = (struct iovec){segs[i].data, segs[i].size};
    remote[i] = (struct iovec){(void *)(uintptr_t)segs[i].addr, segs[i].size}; /* NOLINT */
    *size += segs[i].size;
  }
  return i;
}

/* By the kernel, which does not mind when it is not there. */
static int ops_read(struct lencase_cage *cage, const struct mem_seg *segs, size_t n, size_t *done) {
  struct iovec local[IOV_BATCH], remote[IOV_BATCH];
  *done = 0;
  if (is_gone(cage)) return LENCASE_EGONE;
  while (n > 0) {
    size_t size, count = batch(segs, n, local, remote, &size);
    ssize_t got = process_vm_readv(process_of(cage)->pid, local, count, remote, count, 0);
    if (got < 0) return LENCASE_OK;
    *done += (size_t)got;
    if ((size_t)got < size) return LENCASE_OK;
    segs += count;
    n -= count;
  }
  return LENCASE_OK;
}

static int ops_write(struct lencase_cage *cage, const struct mem_seg *seg) {
  struct iovec local = {seg->data, seg->size};
  struct iovec remote = {(void *)(uintptr_t)seg->addr, seg->size}; /* NOLINT */
  ssize_t put;
  if (is_gone(cage)) return LENCASE_EGONE;
  put = process_vm_writev(process_of(cage)->pid, &local, 1, &remote, 1, 0);
  return put >= 0 && (size_t)put == seg->size ? LENCASE_OK : LENCASE_EFAULT;
}

/* One address space: the window is any memory of ours, and nothing keeps the program from it. */
static int ops_ours_get(struct call *call, struct mem_seg *seg) {
  struct lencase_state *st = call->cage->st;
  if (is_gone(call->cage)) return LENCASE_EGONE;
  seg->data = state_new(st, seg->size);
  seg->addr = (uintptr_t)seg->data;
  if (seg->data != NULL) return LENCASE_OK;
  return state_fail(st, LENCASE_ENOMEM, "no memory for a window of %zu bytes", seg->size);
}

static void ops_ours_put(struct call *call, const struct mem_seg *seg) {
  state_free(call->cage->st, (void *)(uintptr_t)seg->addr, seg->size); /* NOLINT */
}

static int ops_edge_get(struct call *call, struct mem_seg *seg) {
  return is_gone(call->cage) ? LENCASE_EGONE : edge_map(call->cage->st, seg);
}

static void ops_edge_put(struct call *call, const struct mem_seg *seg) {
  (void)call;
  edge_unmap(seg);
}

/* }========================================================================= */

/* {================================== calls ================================ */

/* The thread that made the call does it when it is outside of the engine: ask() in dispatch.c. */
static enum verdict ops_carry_out(struct call *call, int32_t nr,
                                  const uint64_t words[LENCASE_MAXARGS], int64_t *result) {
  struct flight *f = call->thread;
  *result = -ENOSYS;
  if (nr < 0 || f == NULL) return VERDICT_DONE;
  f->nr = nr;
  memcpy(f->words, words, sizeof f->words);
  return VERDICT_PARKED;
}

static void ops_kill(struct lencase_cage *cage) {
  if (!is_gone(cage)) process_of(cage)->killed = true;
}

static void ops_let_go(struct lencase_cage *cage) {
  struct inline_host *h = inline_the_host;
  h->off = true;
  call_cage_exit(cage, 0);
}

/* }========================================================================= */

/* {============================= what /proc tells ========================== */

static void fd_link(int fd, char *path, size_t size) {
  if (fd == AT_FDCWD)
    snprintf(path, size, "/proc/self/cwd");
  else
    snprintf(path, size, "/proc/self/fd/%d", fd);
}

static int ops_fd_path(struct lencase_cage *cage, int fd, char *buf, size_t size) {
  char path[64];
  ssize_t n;
  if (is_gone(cage)) return -ESRCH;
  fd_link(fd, path, sizeof path);
  n = readlink(path, buf, size);
  if (n < 0) return errno == ENOENT ? -EBADF : -errno;
  return (size_t)n < size ? (int)n : -ENAMETOOLONG;
}

static bool ops_fd_open(struct lencase_cage *cage, int fd) {
  return !is_gone(cage) && fcntl(fd, F_GETFD) >= 0;
}

static int ops_comm(struct lencase_cage *cage, char *buf, size_t size) {
  ssize_t n;
  int fd;
  if (is_gone(cage)) return -ESRCH;
  fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  n = read(fd, buf, size);
  close(fd);
  if (n > 0 && buf[n - 1] == '\n') n--;
  return n < 0 ? -EIO : (int)n;
}

/* }========================================================================= */

const struct host_ops inline_ops = {
    .name = "inline",
    .read = ops_read,
    .write = ops_write,
    .window_get = ops_ours_get,
    .window_put = ops_ours_put,
    .edge_get = ops_edge_get,
    .edge_put = ops_edge_put,
    .scratch_get = ops_ours_get,
    .scratch_put = ops_ours_put,
    .carry_out = ops_carry_out,
    .fd_path = ops_fd_path,
    .fd_open = ops_fd_open,
    .comm = ops_comm,
    .kill = ops_kill,
    .let_go = ops_let_go,
};
