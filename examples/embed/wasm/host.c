/*
** host.c - a WebAssembly module as a cage: its imports are calls, its memory is the cage's
**
**   host GRATE.lua [ARGS...]
**
** The module was made C by wabt's wasm2c and is linked in. What it imports of WASI becomes the
** system call that does the same, in an ILP32 cage; grates see what they see of any program. The
** bottom hands the calls on to the kernel, with each address of the module checked and made one of
** ours. The module's current directory is the only one it can reach.
*/

#include <errno.h>
#include <fcntl.h>
#include <lencase.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "program.h"

enum { PREOPENED = 3, PATH_ROOM = 4096, ROOM = 64 * 1024, MOST_RUNS = 64 };

struct Z_wasi_snapshot_preview1_instance_t {
  Z_program_instance_t module;
  lencase_state *st;
  uint64_t cage;
  uint32_t room; /* PATH_ROOM bytes for paths; the rest is liblencase's */
  jmp_buf end;
  int status;
};
typedef struct Z_wasi_snapshot_preview1_instance_t wasi;

static void say(void *ud, const char *line) {
  (void)ud;
  fprintf(stderr, "host: %s\n", line);
}

/* {================================= memory ================================ */

/* The module's bytes from 'addr' on; NULL when they are not all there. */
static void *at(wasi *w, uint64_t addr, uint64_t size) {
  const wasm_rt_memory_t *m = &w->module.w2c_memory;
  return addr != 0 && addr <= m->size && size <= m->size - addr ? m->data + addr : NULL;
}

static int put32(wasi *w, uint32_t addr, uint32_t value) {
  void *p = at(w, addr, sizeof value);
  if (p != NULL) memcpy(p, &value, sizeof value);
  return p != NULL;
}

/* The path at 'addr', which must end in the module's memory. */
static const char *path_at(wasi *w, uint64_t addr) {
  const char *path = at(w, addr, 1);
  return path != NULL && memchr(path, 0, w->module.w2c_memory.size - addr) != NULL ? path : NULL;
}

/* }========================================================================= */

/* {================================ the bottom ============================= */

static int64_t answer(int64_t n) {
  return n < 0 ? -errno : n;
}

static int64_t vectored(wasi *w, int32_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct iovec runs[MOST_RUNS];
  uint64_t count = words[2];
  const uint32_t *narrow = count <= MOST_RUNS ? at(w, words[1], count * 8) : NULL;
  if (narrow == NULL) return count > MOST_RUNS ? -EINVAL : -EFAULT;
  for (uint64_t i = 0; i < count; i++) {
    runs[i].iov_base = at(w, narrow[2 * i], narrow[2 * i + 1]);
    runs[i].iov_len = narrow[2 * i + 1];
    if (runs[i].iov_base == NULL && runs[i].iov_len > 0) return -EFAULT;
  }
  return answer(nr == SYS_writev ? writev((int)words[0], runs, (int)count)
                                 : readv((int)words[0], runs, (int)count));
}

static int64_t do_openat(wasi *w, const uint64_t words[LENCASE_MAXARGS]) {
  const char *path = path_at(w, words[1]);
  if (path == NULL) return -EFAULT;
  if (path[0] == '/' || strstr(path, "..") != NULL)
    return -EPERM; /* the way WASI keeps programs in */
  return answer(openat((int)words[0], path, (int)words[2] | O_CLOEXEC, (mode_t)words[3]));
}

static lencase_verdict bottom(void *ud, uint64_t cage, int32_t nr,
                              const uint64_t words[LENCASE_MAXARGS], int64_t *result) {
  wasi *w = ud;
  (void)cage;
  switch (nr) {
    case SYS_openat: *result = do_openat(w, words); break;
    case SYS_readv:
    case SYS_writev: *result = vectored(w, nr, words); break;
    case SYS_lseek: *result = answer(lseek((int)words[0], (off_t)words[1], (int)words[2])); break;
    case SYS_close: *result = answer(close((int)words[0])); break;
    case SYS_fcntl: *result = answer(fcntl((int)words[0], (int)words[1], words[2])); break;
    case SYS_exit_group: lencase_cage_exit(w->st, cage, (int)(words[0] & 0xff) << 8); break;
    default: *result = -ENOSYS;
  }
  return LENCASE_VERDICT_DONE;
}

static int fd_path(void *ud, int fd, char *buf, size_t size) {
  char link[32] = "/proc/self/cwd";
  ssize_t n;
  (void)ud;
  if (fd >= 0) snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  n = readlink(link, buf, size);
  if (n < 0) return -EBADF;
  return (size_t)n < size ? (int)n : -ENAMETOOLONG;
}

/* }========================================================================= */

/* {================================ its calls ============================== */

static _Noreturn void leave(wasi *w, int status) {
  w->status = status;
  longjmp(w->end, 1);
}

static int64_t call(wasi *w, int32_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  const uint64_t words[LENCASE_MAXARGS] = {a, b, c, d};
  const wasm_rt_memory_t *m = &w->module.w2c_memory;
  int64_t result = -EIO;
  lencase_call *parked;
  int status = lencase_cage_memory(w->st, w->cage, m->data, m->size); /* it may have grown */
  if (status == LENCASE_OK) status = lencase_cage_call(w->st, w->cage, nr, words, &result, &parked);
  if (status == LENCASE_EGONE) leave(w, nr == SYS_exit_group ? (int)a : 137);
  if (status != LENCASE_OK) say(NULL, lencase_error(w->st));
  return result;
}

/* errno's values of WASI: snapshot_preview1's typenames. */
static uint32_t wasi_errno(int64_t result) {
  static const struct {
    int here;
    uint8_t there;
  } names[] = {{EACCES, 2},  {EBADF, 8},   {EEXIST, 20}, {EFAULT, 21}, {EINVAL, 28},
               {EISDIR, 31}, {ENOENT, 44}, {ENOSPC, 51}, {ENOSYS, 52}, {ENOTDIR, 54},
               {EPERM, 63},  {EROFS, 69},  {ESPIPE, 70}};
  if (result >= 0) return 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].here == -result) return names[i].there;
  return 29; /* io */
}

static uint32_t counted(wasi *w, int64_t n, uint32_t where) {
  if (n >= 0 && !put32(w, where, (uint32_t)n)) return wasi_errno(-EFAULT);
  return wasi_errno(n);
}

uint32_t Z_wasi_snapshot_preview1Z_fd_write(wasi *w, uint32_t fd, uint32_t iov, uint32_t n,
                                            uint32_t written) {
  return counted(w, call(w, SYS_writev, fd, iov, n, 0), written);
}

uint32_t Z_wasi_snapshot_preview1Z_fd_read(wasi *w, uint32_t fd, uint32_t iov, uint32_t n,
                                           uint32_t got) {
  return counted(w, call(w, SYS_readv, fd, iov, n, 0), got);
}

uint32_t Z_wasi_snapshot_preview1Z_fd_close(wasi *w, uint32_t fd) {
  return wasi_errno(call(w, SYS_close, fd, 0, 0, 0));
}

uint32_t Z_wasi_snapshot_preview1Z_fd_seek(wasi *w, uint32_t fd, uint64_t offset, uint32_t whence,
                                           uint32_t at_now) {
  int64_t n = call(w, SYS_lseek, fd, offset, whence, 0);
  void *p = at(w, at_now, sizeof n);
  if (n >= 0 && p == NULL) return wasi_errno(-EFAULT);
  if (n >= 0) memcpy(p, &n, sizeof n);
  return wasi_errno(n);
}

enum { OFLAG_CREAT = 1, OFLAG_DIRECTORY = 2, OFLAG_EXCL = 4, OFLAG_TRUNC = 8, FDFLAG_APPEND = 1 };
enum { RIGHT_READ = 2, RIGHT_WRITE = 64 };

static uint64_t open_flags(uint32_t oflags, uint64_t rights, uint32_t fdflags) {
  uint64_t flags = (rights & RIGHT_WRITE) == 0 ? O_RDONLY
                   : (rights & RIGHT_READ)     ? O_RDWR
                                               : O_WRONLY;
  if (oflags & OFLAG_CREAT) flags |= O_CREAT;
  if (oflags & OFLAG_DIRECTORY) flags = (flags & ~(uint64_t)O_ACCMODE) | O_DIRECTORY;
  if (oflags & OFLAG_EXCL) flags |= O_EXCL;
  if (oflags & OFLAG_TRUNC) flags |= O_TRUNC;
  if (fdflags & FDFLAG_APPEND) flags |= O_APPEND;
  return flags;
}

/* WASI's paths have a length and no NUL: a call's path is made in the room. */
uint32_t Z_wasi_snapshot_preview1Z_path_open(wasi *w, uint32_t dirfd, uint32_t dirflags,
                                             uint32_t path, uint32_t length, uint32_t oflags,
                                             uint64_t rights, uint64_t inherited, uint32_t fdflags,
                                             uint32_t fd) {
  const char *text = at(w, path, length);
  char *copy = at(w, w->room, PATH_ROOM);
  (void)dirflags, (void)inherited;
  if (text == NULL || copy == NULL || length >= PATH_ROOM) return wasi_errno(-EFAULT);
  memcpy(copy, text, length);
  copy[length] = 0;
  return counted(w, call(w, SYS_openat, dirfd, w->room, open_flags(oflags, rights, fdflags), 0666),
                 fd);
}

void Z_wasi_snapshot_preview1Z_proc_exit(wasi *w, uint32_t status) {
  call(w, SYS_exit_group, status, 0, 0, 0);
  leave(w, (int)status);
}

/* }========================================================================= */

/* {=================== what is the runtime's and no call ==================== */

uint32_t Z_wasi_snapshot_preview1Z_args_sizes_get(wasi *w, uint32_t count, uint32_t size) {
  return put32(w, count, 1) && put32(w, size, sizeof "program") ? 0 : wasi_errno(-EFAULT);
}

uint32_t Z_wasi_snapshot_preview1Z_args_get(wasi *w, uint32_t argv, uint32_t buf) {
  char *name = at(w, buf, sizeof "program");
  if (name == NULL || !put32(w, argv, buf)) return wasi_errno(-EFAULT);
  memcpy(name, "program", sizeof "program");
  return 0;
}

uint32_t Z_wasi_snapshot_preview1Z_fd_prestat_get(wasi *w, uint32_t fd, uint32_t buf) {
  if (fd != PREOPENED) return wasi_errno(-EBADF);
  return put32(w, buf, 0) && put32(w, buf + 4, 1) ? 0 : wasi_errno(-EFAULT);
}

uint32_t Z_wasi_snapshot_preview1Z_fd_prestat_dir_name(wasi *w, uint32_t fd, uint32_t path,
                                                       uint32_t length) {
  char *name = at(w, path, 1);
  if (fd != PREOPENED || length < 1 || name == NULL) return wasi_errno(-EINVAL);
  *name = '.';
  return 0;
}

/* Filetype, flags, all rights: of a directory, a terminal, or a file. */
uint32_t Z_wasi_snapshot_preview1Z_fd_fdstat_get(wasi *w, uint32_t fd, uint32_t buf) {
  unsigned char *stat = at(w, buf, 24);
  int flags = (int)call(w, SYS_fcntl, fd, F_GETFL, 0, 0);
  if (stat == NULL) return wasi_errno(-EFAULT);
  if (flags < 0) return wasi_errno(flags);
  memset(stat, 0, 8);
  memset(stat + 8, 0xff, 16);
  stat[0] = fd == PREOPENED ? 3 : isatty((int)fd) ? 2 : 4;
  stat[2] = (flags & O_APPEND) != 0 ? FDFLAG_APPEND : 0;
  return 0;
}

uint32_t Z_wasi_snapshot_preview1Z_fd_fdstat_set_flags(wasi *w, uint32_t fd, uint32_t flags) {
  return wasi_errno(call(w, SYS_fcntl, fd, F_SETFL, flags & FDFLAG_APPEND ? O_APPEND : 0, 0));
}

/* }========================================================================= */

static int open_cage(wasi *w) {
  wasm_rt_memory_t *m = &w->module.w2c_memory;
  const lencase_cage_config config = {.name = "program",
                                      .flags = LENCASE_ILP32,
                                      .ud = w,
                                      .base = m->data,
                                      .size = m->size,
                                      .room_addr = w->room + PATH_ROOM,
                                      .room_size = ROOM - PATH_ROOM,
                                      .carry_out = bottom,
                                      .fd_path = fd_path};
  return lencase_cage_new(w->st, &config, 0, &w->cage);
}

static int run(wasi *w) {
  int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (here != PREOPENED && (here < 0 || dup2(here, PREOPENED) < 0)) return 1;
  wasm_rt_init();
  Z_program_init_module();
  Z_program_instantiate(&w->module, w);
  w->room = Z_programZ_room(&w->module);
  if (open_cage(w) != LENCASE_OK) {
    say(NULL, lencase_error(w->st));
    return 1;
  }
  if (setjmp(w->end) == 0) {
    Z_programZ__start(&w->module);
    lencase_cage_exit(w->st, w->cage, 0);
  }
  lencase_finish(w->st, (w->status & 0xff) << 8);
  Z_program_free(&w->module);
  return w->status;
}

int main(int argc, char **argv) {
  static wasi w;
  const lencase_config config = {.log = say};
  int status;
  if (argc < 2) {
    fprintf(stderr, "usage: host GRATE.lua [ARGS...]\n");
    return 2;
  }
  w.st = lencase_new(&config);
  if (w.st == NULL) return 1;
  if (lencase_load(w.st, argv[1], argc - 2, (const char *const *)argv + 2, NULL, NULL, NULL) !=
      LENCASE_OK) {
    say(NULL, lencase_error(w.st));
    return 1;
  }
  status = run(&w);
  lencase_close(w.st);
  return status;
}
