/*
** bytes.c - copies bytes of the program's, which need not be mapped
**
** By process_vm_readv(2) and process_vm_writev(2) on this process. Where a filter refuses them (a
** container's, or the program's own) the bytes go through a pipe: write(2) reads from an address
** and read(2) writes to one, and say EFAULT. Not by /proc/self/mem, which ignores protections.
*/

#include "inline_int.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { PAGE = 4096 };

/* {=============================== the pipe ================================ */

/* Moves 'fd' to a number that programs do not use; negative: an errno. */
static int64_t out_of_the_way(const struct inline_host *h, int fd) {
  static const int wanted[] = {1002, 202, 12};
  int64_t high = -EMFILE;
  size_t i;
  for (i = 0; i < sizeof wanted / sizeof *wanted && high < 0; i++)
    high = inline_raw3(h, SYS_fcntl, (uint64_t)fd, F_DUPFD_CLOEXEC, (uint64_t)wanted[i]);
  inline_raw3(h, SYS_close, (uint64_t)fd, 0, 0);
  return high;
}

static void pipe_close(struct inline_host *h) {
  size_t i;
  for (i = 0; i < 2; i++) {
    if (h->pipe[i] > 0) inline_raw3(h, SYS_close, (uint64_t)h->pipe[i], 0, 0);
    h->pipe[i] = 0;
  }
}

/* Not in a child that shares the memory: its parent would not have the descriptors. */
static bool pipe_open(struct inline_host *h) {
  int ends[2], i;
  if (inline_is_sharing(h) || inline_raw3(h, SYS_pipe2, (uintptr_t)ends, O_CLOEXEC | O_NONBLOCK, 0))
    return false;
  for (i = 0; i < 2; i++) h->pipe[i] = (int)out_of_the_way(h, ends[i]);
  if (h->pipe[0] > 0 && h->pipe[1] > 0) return true;
  pipe_close(h);
  return false;
}

bool inline_bytes_by_pipe(struct inline_host *h) {
  inline_lock_word(h, &h->pipe_lock);
  if (h->pipe[0] != 0 || pipe_open(h)) h->by_pipe = true;
  inline_unlock_word(h, &h->pipe_lock);
  return h->by_pipe;
}

void inline_bytes_forked(struct inline_host *h) {
  h->pipe_lock = 0;
  if (h->pipe[0] == 0) return;
  pipe_close(h); /* it is the parent's, too */
  pipe_open(h);
}

static size_t to_page_end(uint64_t addr) {
  return PAGE - (size_t)(addr % PAGE);
}

/* How many bytes were copied. Of a page all bytes can be read, or written, or none. */
static size_t by_pipe(struct inline_host *h, uint64_t from, uint64_t to, size_t size) {
  size_t done = 0;
  int64_t n;
  char rest[256];
  inline_lock_word(h, &h->pipe_lock);
  if (h->pipe[0] == 0 && !pipe_open(h)) size = 0;
  while (done < size) {
    size_t some = to_page_end(from + done);
    if (to_page_end(to + done) < some) some = to_page_end(to + done);
    if (size - done < some) some = size - done;
    n = inline_raw3(h, SYS_write, (uint64_t)h->pipe[1], from + done, some);
    if (n > 0) n = inline_raw3(h, SYS_read, (uint64_t)h->pipe[0], to + done, (uint64_t)n);
    if (n > 0) done += (size_t)n;
    if (n != (int64_t)some) break;
  }
  if (done < size) /* what was written and could not be read */
    do n = inline_raw3(h, SYS_read, (uint64_t)h->pipe[0], (uintptr_t)rest, sizeof rest);
    while (n > 0);
  inline_unlock_word(h, &h->pipe_lock);
  return done;
}

/* }========================================================================= */

/* {============================== by the kernel ============================ */

/* EFAULT is about the bytes, any other error about the call. */
static bool is_refused(struct inline_host *h, int64_t result) {
  if (result >= 0 || result == -EFAULT) return false;
  h->by_pipe = true;
  return true;
}

/* 'nr' with one piece or with several: the kernel's result. */
static int64_t vm(const struct inline_host *h, int64_t nr, const struct iovec *ours,
                  const struct iovec *theirs, size_t n) {
  uint64_t pid = (uint64_t)inline_raw3(h, SYS_getpid, 0, 0, 0);
  return inline_raw5(h, nr, pid, (uintptr_t)ours, n, (uintptr_t)theirs, n);
}

static struct iovec place(uint64_t addr, size_t size) {
  return (struct iovec){(void *)(uintptr_t)addr, size}; /* NOLINT */
}

size_t inline_peek(struct inline_host *h, uint64_t addr, void *data, size_t size) {
  const struct iovec here = {data, size}, there = place(addr, size);
  int64_t n = h->by_pipe ? 0 : vm(h, SYS_process_vm_readv, &here, &there, 1);
  if (h->by_pipe || is_refused(h, n)) return by_pipe(h, addr, (uintptr_t)data, size);
  return n < 0 ? 0 : (size_t)n;
}

size_t inline_poke(struct inline_host *h, uint64_t addr, const void *data, size_t size) {
  const struct iovec here = place((uintptr_t)data, size), there = place(addr, size);
  int64_t n = h->by_pipe ? 0 : vm(h, SYS_process_vm_writev, &here, &there, 1);
  if (h->by_pipe || is_refused(h, n)) return by_pipe(h, (uintptr_t)data, addr, size);
  return n < 0 ? 0 : (size_t)n;
}

size_t inline_peek_all(struct inline_host *h, const struct mem_seg *segs, size_t n) {
  struct iovec ours[INLINE_SEGMENTS], theirs[INLINE_SEGMENTS];
  size_t i, done = 0, got;
  int64_t result;
  for (i = 0; i < n; i++) {
    ours[i] = place((uintptr_t)segs[i].data, segs[i].size);
    theirs[i] = place(segs[i].addr, segs[i].size);
  }
  result = h->by_pipe ? 0 : vm(h, SYS_process_vm_readv, ours, theirs, n);
  if (!h->by_pipe && !is_refused(h, result)) return result < 0 ? 0 : (size_t)result;
  for (i = 0, got = 0; i < n; i++) {
    got = by_pipe(h, segs[i].addr, (uintptr_t)segs[i].data, segs[i].size);
    done += got;
    if (got < segs[i].size) break;
  }
  return done;
}

/* }========================================================================= */
