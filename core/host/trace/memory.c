/*
** memory.c - the memory of a tracee
**
** process_vm_readv(2) is the cheapest way to several places at once. An outer seccomp filter may
** refuse it (Docker's default profile does, without CAP_SYS_PTRACE), and so does the kernel for a
** process that is not dumpable or has another user id (ptrace(2), "Ptrace access mode checking").
** /proc/PID/mem is checked when it is opened, and PTRACE_PEEKDATA asks for dumpable alone. These
** two reach pages that the program itself may not touch, so its mappings are asked first.
*/

#include "../kernel.h"
#include "trace_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MAPS_FIRST = 1 << 16, MAPS_MAX = 64 << 20 };

/* It is refused, or there are no descriptors left: that says nothing of the pointer. */
static bool is_refusal(ssize_t moved) {
  return moved == -EPERM || moved == -ENOSYS || moved == -EACCES || moved == -EMFILE ||
         moved == -ENFILE;
}

static int open_proc(pid_t tid, const char *name, int flags) {
  char path[48];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)tid, name);
  return open(path, flags | O_CLOEXEC);
}

/* {================================ mappings =============================== */

/* The kernel's answer; *known false: it has none, this kernel cannot be asked. */
static bool query_mapping(int fd, uint64_t addr, struct mapping *m, bool *known) {
  struct map_query q = {.size = sizeof q, .addr = addr};
  bool there = ioctl(fd, MAP_QUERY, &q) == 0;
  *known = there || errno == ENOENT;
  *m = (struct mapping){
      q.start, q.end, q.offset, q.inode, q.dev_major, q.dev_minor, (uint32_t)q.vma_flags};
  return there;
}

/* All of a file in /proc, whose size is not known before; NULL: it cannot be read. */
static char *read_all(struct lencase_state *st, int fd, size_t *capacity) {
  char *text = NULL;
  size_t used = 0;
  ssize_t n = 1;
  for (*capacity = 0; n > 0; used += (size_t)n) {
    if (used + 1 >= *capacity) {
      size_t grown = *capacity == 0 ? MAPS_FIRST : 2 * *capacity;
      char *more = grown <= MAPS_MAX ? state_realloc(st, text, *capacity, grown) : NULL;
      if (more == NULL) break;
      text = more;
      *capacity = grown;
    }
    n = pread(fd, text + used, *capacity - used - 1, (off_t)used);
    if (n < 0) n = 0;
  }
  if (text != NULL) text[used] = '\0';
  return text;
}

/* A line of the text: "start-end rwxp offset major:minor inode ...". */
static bool read_mapping(const char *line, struct mapping *m) {
  char perms[5] = "";
  if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &m->start, &m->end, perms, &m->offset,
             &m->dev_major, &m->dev_minor, &m->inode) != 7)
    return false;
  m->flags = (perms[0] == 'r' ? MAPPED_READ : 0U) | (perms[1] == 'w' ? MAPPED_WRITE : 0U) |
             (perms[2] == 'x' ? MAPPED_EXEC : 0U) | (perms[3] == 's' ? MAPPED_SHARED : 0U);
  return true;
}

static bool text_mapping(struct lencase_state *st, int fd, uint64_t addr, struct mapping *m) {
  size_t capacity;
  char *text = read_all(st, fd, &capacity), *line;
  bool there = false;
  for (line = text; line != NULL && *line != '\0'; line = line != NULL ? line + 1 : NULL) {
    if (read_mapping(line, m) && addr < m->end) {
      there = addr >= m->start;
      break;
    }
    line = strchr(line, '\n');
  }
  state_free(st, text, capacity);
  return there;
}

bool memory_mapping(const struct thread *t, int maps, uint64_t addr, struct mapping *m) {
  bool known, there = query_mapping(maps, addr, m, &known);
  return known ? there : text_mapping(t->run->st, maps, addr, m);
}

int memory_maps(const struct thread *t) {
  return open_proc(t->tid, "maps", O_RDONLY);
}

/* How many of 'size' bytes at 'addr' the program may touch itself. All, if that is unknown. */
static size_t touchable(const struct thread *t, uint64_t addr, size_t size, uint32_t want) {
  struct space *space = t->proc->space;
  struct mapping m;
  uint64_t at = addr;
  if (space->maps < 0) space->maps = memory_maps(t);
  if (space->maps < 0) return size;
  while (at - addr < size && memory_mapping(t, space->maps, at, &m) && (m.flags & want) != 0)
    at = m.end;
  return at - addr < size ? at - addr : size;
}

/* }========================================================================= */

/* {================================== ways ================================= */

/* Of one way: bytes moved from the first on, or a negative errno when there is not one. */
typedef ssize_t (*move_fn)(const struct thread *t, const struct iovec *local,
                           const struct iovec *remote, size_t n, bool write);

static ssize_t by_vm(const struct thread *t, const struct iovec *local, const struct iovec *remote,
                     size_t n, bool write) {
  ssize_t moved = write ? process_vm_writev(t->tid, local, n, remote, n, 0)
                        : process_vm_readv(t->tid, local, n, remote, n, 0);
  return moved < 0 ? -errno : moved;
}

/* The file stays open: what is checked is who opens it. */
static ssize_t file_move(const struct thread *t, uint64_t addr, const struct iovec *local,
                         size_t size, bool write) {
  struct space *space = t->proc->space;
  ssize_t moved;
  if (space->mem < 0) space->mem = open_proc(t->tid, "mem", O_RDWR);
  if (space->mem < 0) /* with hidepid a missing file does not mean that the process is gone */
    return errno == ENOENT && kill(t->tid, 0) != 0 && errno == ESRCH ? -ESRCH : -EACCES;
  if (addr > INT64_MAX) return -EFAULT;
  moved = write ? pwrite(space->mem, local->iov_base, size, (off_t)addr)
                : pread(space->mem, local->iov_base, size, (off_t)addr);
  if (moved < 0) return errno == EIO ? -EFAULT : -errno;
  return moved > 0 ? moved : -EFAULT;
}

/*
** A word at a time, of a thread that is stopped. EIO stands for a page that is not there and for a
** process that is not dumpable.
*/
static ssize_t peek_move(const struct thread *t, uint64_t addr, const struct iovec *local,
                         size_t size, bool write) {
  size_t done = 0;
  while (done < size) {
    uint64_t at = (addr + done) & ~UINT64_C(7), skip = (addr + done) & 7;
    size_t part = 8 - skip < size - done ? 8 - skip : size - done;
    char *mine = (char *)local->iov_base + done;
    long word;
    errno = 0;
    word = ptrace(PTRACE_PEEKDATA, t->tid, at, 0);
    if (errno != 0) break;
    if (write) {
      memcpy((char *)&word + skip, mine, part);
      if (ptrace(PTRACE_POKEDATA, t->tid, at, word) != 0) break;
    } else {
      memcpy(mine, (const char *)&word + skip, part);
    }
    done += part;
  }
  if (done > 0 || size == 0) return (ssize_t)done;
  return errno == EIO ? -EPERM : -errno;
}

/* A way that moves one place at a time, and reaches too far. */
static ssize_t each_place(ssize_t (*move)(const struct thread *t, uint64_t addr,
                                          const struct iovec *local, size_t size, bool write),
                          const struct thread *t, const struct iovec *local,
                          const struct iovec *remote, size_t n, bool write) {
  ssize_t done = 0;
  size_t i;
  for (i = 0; i < n; i++) {
    uint64_t addr = (uintptr_t)remote[i].iov_base;
    size_t size = touchable(t, addr, remote[i].iov_len, write ? MAPPED_WRITE : MAPPED_READ);
    ssize_t moved =
        size > 0 || remote[i].iov_len == 0 ? move(t, addr, &local[i], size, write) : -EFAULT;
    assert(moved <= (ssize_t)size);
    if (moved < 0) return done > 0 ? done : moved;
    done += moved;
    if ((size_t)moved < remote[i].iov_len) break;
  }
  return done;
}

static ssize_t by_file(const struct thread *t, const struct iovec *local,
                       const struct iovec *remote, size_t n, bool write) {
  return each_place(file_move, t, local, remote, n, write);
}

static ssize_t by_peek(const struct thread *t, const struct iovec *local,
                       const struct iovec *remote, size_t n, bool write) {
  return each_place(peek_move, t, local, remote, n, write);
}

enum { WAY_VM, WAY_FILE, WAY_PEEK, WAYS };

static const move_fn ways[WAYS] = {[WAY_VM] = by_vm, [WAY_FILE] = by_file, [WAY_PEEK] = by_peek};

/* }========================================================================= */

/* A refusal makes the next way that of the address space, until another program is in it. */
static ssize_t move(const struct thread *t, const struct iovec *local, const struct iovec *remote,
                    size_t n, bool write) {
  struct space *space = t->proc->space;
  ssize_t moved = ways[space->way](t, local, remote, n, write);
  while (is_refusal(moved) && space->way + 1 < WAYS)
    moved = ways[++space->way](t, local, remote, n, write);
  return moved;
}

static uint64_t prctl_site(const struct thread *t) {
  return t->proc->space->window != 0 ? t->proc->space->window : t->now.site;
}

static int64_t inject_prctl(struct thread *t, int option, uint64_t value) {
  const uint64_t words[LENCASE_MAXARGS] = {(uint64_t)option, value};
  return steps_inject(t->run, t, prctl_site(t), SYS_prctl, words);
}

/* All that is injected for it, to its end. */
static bool may_unveil(const struct thread *t) {
  static const uint64_t words[][LENCASE_MAXARGS] = {
      {PR_GET_DUMPABLE}, {PR_SET_DUMPABLE, 1}, {PR_SET_DUMPABLE, 0}};
  size_t i = 0;
  while (i < sizeof words / sizeof *words && foreign_allows(t, prctl_site(t), SYS_prctl, words[i]))
    i++;
  return t->now.at == AT_ENTRY && i == sizeof words / sizeof *words;
}

enum veil memory_unveil(struct thread *t) {
  int64_t was = may_unveil(t) ? inject_prctl(t, PR_GET_DUMPABLE, 0) : -EPERM;
  if (was == 1) return VEIL_NONE;
  return was >= 0 && inject_prctl(t, PR_SET_DUMPABLE, 1) == 0 ? VEIL_LIFTED : VEIL_STAYS;
}

void memory_veil(struct thread *t) {
  inject_prctl(t, PR_SET_DUMPABLE, 0);
}

/* The opened file stays good. If the process was dumpable all the time the page is missing. */
static ssize_t move_unveiled(struct thread *t, const struct iovec *local,
                             const struct iovec *remote, size_t n, bool write) {
  enum veil veil = memory_unveil(t);
  ssize_t moved;
  if (veil != VEIL_LIFTED) return veil == VEIL_NONE ? -EFAULT : -EPERM;
  t->proc->space->way = WAY_FILE;
  moved = move(t, local, remote, n, write);
  memory_veil(t);
  return t->proc->space->way == WAY_PEEK && is_refusal(moved) ? -EFAULT : moved;
}

static ssize_t move_somehow(struct thread *t, const struct iovec *local, const struct iovec *remote,
                            size_t n, bool write) {
  ssize_t moved = move(t, local, remote, n, write);
  return is_refusal(moved) ? move_unveiled(t, local, remote, n, write) : moved;
}

ssize_t memory_read(struct thread *t, const struct iovec *local, const struct iovec *remote,
                    size_t n) {
  return move_somehow(t, local, remote, n, false);
}

ssize_t memory_write(struct thread *t, const struct iovec *local, const struct iovec *remote,
                     size_t n) {
  return move_somehow(t, local, remote, n, true);
}

void memory_close(struct space *space) {
  if (space->mem >= 0) close(space->mem);
  if (space->maps >= 0) close(space->maps);
  space->mem = space->maps = -1;
  space->way = WAY_VM;
}

/* }========================================================================= */
