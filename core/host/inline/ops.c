/*
** ops.c - host_ops of the program's own process
**
** Runs in the engine.
*/

#include "../edge.h"
#include "inline_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct process *process_of(const struct lencase_cage *cage) {
  return cage->host;
}

static bool is_gone(const struct lencase_cage *cage) {
  return cage->gone || !process_of(cage)->here;
}

/* {================================== memory =============================== */

static int ops_read(struct lencase_cage *cage, const struct mem_seg *segs, size_t n, size_t *done) {
  struct inline_host *h = inline_the_host;
  *done = 0;
  if (is_gone(cage)) return LENCASE_EGONE;
  while (n > 0) {
    size_t count = 0, size = 0, got;
    while (count < n && count < INLINE_SEGMENTS) size += segs[count++].size;
    got = inline_peek_all(h, segs, count);
    *done += got;
    if (got < size) return LENCASE_OK;
    segs += count;
    n -= count;
  }
  return LENCASE_OK;
}

static int ops_write(struct lencase_cage *cage, const struct mem_seg *seg) {
  if (is_gone(cage)) return LENCASE_EGONE;
  return inline_poke(inline_the_host, seg->addr, seg->data, seg->size) == seg->size
             ? LENCASE_OK
             : LENCASE_EFAULT;
}

/* One address space: any memory of ours is a window, and the program can write to it. */
static int ops_ours_get(struct call *call, struct mem_seg *seg) {
  struct lencase_state *st = call->cage->st;
  if (is_gone(call->cage)) return LENCASE_EGONE;
  seg->data = state_new(st, seg->size);
  seg->addr = (uintptr_t)seg->data;
  if (seg->data == NULL)
    return state_fail(st, LENCASE_ENOMEM, "no memory for a window of %zu bytes", seg->size);
  state_debug(st, WINDOW, "%d: %zu bytes at 0x%" PRIx64, (int)call->cage->pid, seg->size,
              seg->addr);
  return LENCASE_OK;
}

static void ops_ours_put(struct call *call, const struct mem_seg *seg) {
  struct lencase_state *st = call->cage->st;
  state_debug(st, WINDOW, "%d: %zu bytes at 0x%" PRIx64 " are free again", (int)call->cage->pid,
              seg->size, seg->addr);
  state_free(st, (void *)(uintptr_t)seg->addr, seg->size); /* NOLINT */
}

static int ops_edge_get(struct call *call, struct mem_seg *seg) {
  int status = is_gone(call->cage) ? LENCASE_EGONE : edge_map(call->cage->st, seg);
  if (status == LENCASE_OK)
    state_debug(call->cage->st, WINDOW, "%d: %zu bytes at 0x%" PRIx64 ", up to the end of a page",
                (int)call->cage->pid, seg->size, seg->addr);
  return status;
}

static void ops_edge_put(struct call *call, const struct mem_seg *seg) {
  state_debug(call->cage->st, WINDOW, "%d: %zu bytes at 0x%" PRIx64 " are free again",
              (int)call->cage->pid, seg->size, seg->addr);
  edge_unmap(seg);
}

/* }========================================================================= */

/* {================================== calls ================================ */

/* The thread that made the call carries it out when it has left the engine: ask() in dispatch.c. */
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

/* {=============================== descriptors ============================= */

struct look {
  int fd;
  char *buf;
  size_t size;
  int result; /* the length of the path, or an errno, negative */
};

static int look_there(void *arg) {
  struct look *l = arg;
  long n = l->fd == AT_FDCWD || fchdir(l->fd) == 0 ? syscall(SYS_getcwd, l->buf, l->size) : -1;
  l->result = n > 0 ? (int)n - 1 : -errno;
  return 0;
}

/*
** Where there is no /proc: a child with our memory and a working directory of its own changes to
** the folder. The program cannot wait for it, and it gets no signal.
*/
static int folder_path(int fd, char *buf, size_t size) {
  static const size_t room = 16 << 10;
  struct look l = {fd, buf, size, -EIO};
  char *stack = malloc(room);
  sigset_t all, mask;
  pid_t pid;
  if (stack == NULL) return -ENOMEM;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &mask);
  pid = clone(look_there, stack + room, CLONE_VM | CLONE_VFORK, &l);
  if (pid > 0) waitpid(pid, NULL, (int)__WCLONE);
  sigprocmask(SIG_SETMASK, &mask, NULL);
  free(stack);
  return pid > 0 ? l.result : -errno;
}

static int ops_fd_path(struct lencase_cage *cage, int fd, char *buf, size_t size) {
  char path[64];
  ssize_t n;
  if (is_gone(cage)) return -ESRCH;
  if (fd == AT_FDCWD)
    snprintf(path, sizeof path, "/proc/self/cwd");
  else
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  n = readlink(path, buf, size);
  if (n < 0 && errno == ENOENT)
    return access("/proc/self/fd", F_OK) == 0 ? -EBADF : folder_path(fd, buf, size);
  if (n < 0) return -errno;
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
