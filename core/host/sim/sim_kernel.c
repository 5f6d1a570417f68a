/*
** sim_kernel.c - the kernel as the bottom of a sim cage
*/

#include "sim_kernel.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sim.h"

/* {============================ who answers a call ========================= */

/*
** Calls that go to the kernel: on files, descriptors and clocks, whose signatures tell of every
** pointer. All others act on this process or on the whole machine, or have pointers behind their
** pointers, and are refused.
*/
static const uint8_t answers[] = {
    [SYS_getpid] = ANSWER_PID,
    [SYS_gettid] = ANSWER_PID,
    [SYS_set_tid_address] = ANSWER_PID,
    [SYS_getppid] = ANSWER_PPID,
    [SYS_fork] = ANSWER_FORK,
    [SYS_vfork] = ANSWER_FORK,
    [SYS_clone] = ANSWER_CLONE,
    [SYS_execve] = ANSWER_EXEC,
    [SYS_exit] = ANSWER_EXIT,
    [SYS_exit_group] = ANSWER_EXIT,
    [SYS_read] = ANSWER_KERNEL,
    [SYS_write] = ANSWER_KERNEL,
    [SYS_open] = ANSWER_KERNEL,
    [SYS_close] = ANSWER_KERNEL,
    [SYS_stat] = ANSWER_KERNEL,
    [SYS_fstat] = ANSWER_KERNEL,
    [SYS_lstat] = ANSWER_KERNEL,
    [SYS_poll] = ANSWER_KERNEL,
    [SYS_lseek] = ANSWER_KERNEL,
    [SYS_pread64] = ANSWER_KERNEL,
    [SYS_pwrite64] = ANSWER_KERNEL,
    [SYS_readv] = ANSWER_KERNEL,
    [SYS_writev] = ANSWER_KERNEL,
    [SYS_access] = ANSWER_KERNEL,
    [SYS_pipe] = ANSWER_KERNEL,
    [SYS_sched_yield] = ANSWER_KERNEL,
    [SYS_dup] = ANSWER_KERNEL,
    [SYS_dup2] = ANSWER_KERNEL,
    [SYS_nanosleep] = ANSWER_KERNEL,
    [SYS_sendfile] = ANSWER_KERNEL,
    [SYS_socket] = ANSWER_KERNEL,
    [SYS_connect] = ANSWER_KERNEL,
    [SYS_accept] = ANSWER_KERNEL,
    [SYS_sendto] = ANSWER_KERNEL,
    [SYS_recvfrom] = ANSWER_KERNEL,
    [SYS_shutdown] = ANSWER_KERNEL,
    [SYS_bind] = ANSWER_KERNEL,
    [SYS_listen] = ANSWER_KERNEL,
    [SYS_getsockname] = ANSWER_KERNEL,
    [SYS_getpeername] = ANSWER_KERNEL,
    [SYS_socketpair] = ANSWER_KERNEL,
    [SYS_setsockopt] = ANSWER_KERNEL,
    [SYS_getsockopt] = ANSWER_KERNEL,
    [SYS_uname] = ANSWER_KERNEL,
    [SYS_fcntl] = ANSWER_KERNEL,
    [SYS_flock] = ANSWER_KERNEL,
    [SYS_fsync] = ANSWER_KERNEL,
    [SYS_fdatasync] = ANSWER_KERNEL,
    [SYS_truncate] = ANSWER_KERNEL,
    [SYS_ftruncate] = ANSWER_KERNEL,
    [SYS_getdents] = ANSWER_KERNEL,
    [SYS_getcwd] = ANSWER_KERNEL,
    [SYS_chdir] = ANSWER_KERNEL,
    [SYS_fchdir] = ANSWER_KERNEL,
    [SYS_rename] = ANSWER_KERNEL,
    [SYS_mkdir] = ANSWER_KERNEL,
    [SYS_rmdir] = ANSWER_KERNEL,
    [SYS_creat] = ANSWER_KERNEL,
    [SYS_link] = ANSWER_KERNEL,
    [SYS_unlink] = ANSWER_KERNEL,
    [SYS_symlink] = ANSWER_KERNEL,
    [SYS_readlink] = ANSWER_KERNEL,
    [SYS_chmod] = ANSWER_KERNEL,
    [SYS_fchmod] = ANSWER_KERNEL,
    [SYS_chown] = ANSWER_KERNEL,
    [SYS_fchown] = ANSWER_KERNEL,
    [SYS_lchown] = ANSWER_KERNEL,
    [SYS_umask] = ANSWER_KERNEL,
    [SYS_gettimeofday] = ANSWER_KERNEL,
    [SYS_getrlimit] = ANSWER_KERNEL,
    [SYS_getrusage] = ANSWER_KERNEL,
    [SYS_sysinfo] = ANSWER_KERNEL,
    [SYS_times] = ANSWER_KERNEL,
    [SYS_getuid] = ANSWER_KERNEL,
    [SYS_getgid] = ANSWER_KERNEL,
    [SYS_geteuid] = ANSWER_KERNEL,
    [SYS_getegid] = ANSWER_KERNEL,
    [SYS_getgroups] = ANSWER_KERNEL,
    [SYS_getresuid] = ANSWER_KERNEL,
    [SYS_getresgid] = ANSWER_KERNEL,
    [SYS_utime] = ANSWER_KERNEL,
    [SYS_mknod] = ANSWER_KERNEL,
    [SYS_statfs] = ANSWER_KERNEL,
    [SYS_fstatfs] = ANSWER_KERNEL,
    [SYS_sync] = ANSWER_KERNEL,
    [SYS_readahead] = ANSWER_KERNEL,
    [SYS_setxattr] = ANSWER_KERNEL,
    [SYS_lsetxattr] = ANSWER_KERNEL,
    [SYS_fsetxattr] = ANSWER_KERNEL,
    [SYS_getxattr] = ANSWER_KERNEL,
    [SYS_lgetxattr] = ANSWER_KERNEL,
    [SYS_fgetxattr] = ANSWER_KERNEL,
    [SYS_listxattr] = ANSWER_KERNEL,
    [SYS_llistxattr] = ANSWER_KERNEL,
    [SYS_flistxattr] = ANSWER_KERNEL,
    [SYS_removexattr] = ANSWER_KERNEL,
    [SYS_lremovexattr] = ANSWER_KERNEL,
    [SYS_fremovexattr] = ANSWER_KERNEL,
    [SYS_time] = ANSWER_KERNEL,
    [SYS_epoll_create] = ANSWER_KERNEL,
    [SYS_getdents64] = ANSWER_KERNEL,
    [SYS_fadvise64] = ANSWER_KERNEL,
    [SYS_clock_gettime] = ANSWER_KERNEL,
    [SYS_clock_getres] = ANSWER_KERNEL,
    [SYS_clock_nanosleep] = ANSWER_KERNEL,
    [SYS_epoll_wait] = ANSWER_KERNEL,
    [SYS_epoll_ctl] = ANSWER_KERNEL,
    [SYS_utimes] = ANSWER_KERNEL,
    [SYS_inotify_init] = ANSWER_KERNEL,
    [SYS_inotify_add_watch] = ANSWER_KERNEL,
    [SYS_inotify_rm_watch] = ANSWER_KERNEL,
    [SYS_openat] = ANSWER_KERNEL,
    [SYS_mkdirat] = ANSWER_KERNEL,
    [SYS_mknodat] = ANSWER_KERNEL,
    [SYS_fchownat] = ANSWER_KERNEL,
    [SYS_futimesat] = ANSWER_KERNEL,
    [SYS_newfstatat] = ANSWER_KERNEL,
    [SYS_unlinkat] = ANSWER_KERNEL,
    [SYS_renameat] = ANSWER_KERNEL,
    [SYS_linkat] = ANSWER_KERNEL,
    [SYS_symlinkat] = ANSWER_KERNEL,
    [SYS_readlinkat] = ANSWER_KERNEL,
    [SYS_fchmodat] = ANSWER_KERNEL,
    [SYS_faccessat] = ANSWER_KERNEL,
    [SYS_ppoll] = ANSWER_KERNEL,
    [SYS_splice] = ANSWER_KERNEL,
    [SYS_tee] = ANSWER_KERNEL,
    [SYS_sync_file_range] = ANSWER_KERNEL,
    [SYS_utimensat] = ANSWER_KERNEL,
    [SYS_epoll_pwait] = ANSWER_KERNEL,
    [SYS_timerfd_create] = ANSWER_KERNEL,
    [SYS_eventfd] = ANSWER_KERNEL,
    [SYS_fallocate] = ANSWER_KERNEL,
    [SYS_timerfd_settime] = ANSWER_KERNEL,
    [SYS_timerfd_gettime] = ANSWER_KERNEL,
    [SYS_accept4] = ANSWER_KERNEL,
    [SYS_eventfd2] = ANSWER_KERNEL,
    [SYS_epoll_create1] = ANSWER_KERNEL,
    [SYS_dup3] = ANSWER_KERNEL,
    [SYS_pipe2] = ANSWER_KERNEL,
    [SYS_inotify_init1] = ANSWER_KERNEL,
    [SYS_preadv] = ANSWER_KERNEL,
    [SYS_pwritev] = ANSWER_KERNEL,
    [SYS_syncfs] = ANSWER_KERNEL,
    [SYS_getcpu] = ANSWER_KERNEL,
    [SYS_renameat2] = ANSWER_KERNEL,
    [SYS_getrandom] = ANSWER_KERNEL,
    [SYS_memfd_create] = ANSWER_KERNEL,
    [SYS_copy_file_range] = ANSWER_KERNEL,
    [SYS_preadv2] = ANSWER_KERNEL,
    [SYS_pwritev2] = ANSWER_KERNEL,
    [SYS_statx] = ANSWER_KERNEL,
    [SYS_close_range] = ANSWER_KERNEL,
    [SYS_openat2] = ANSWER_KERNEL,
    [SYS_faccessat2] = ANSWER_KERNEL,
};

enum sim_answer sim_answer_of(int32_t nr) {
  if (nr < 0 || (size_t)nr >= sizeof answers) return ANSWER_REFUSE;
  return answers[nr];
}

/* }========================================================================= */

/* {=============================== translation ============================= */

enum { RUNS_MAX = 1024 }; /* UIO_MAXIOV of linux/uio.h */

/* A call on its way to the kernel. */
struct passage {
  const struct sim_memory *m;
  struct sim_temp *temp;
  const struct sig_variant *v;
  const uint64_t *words;
};

static uint64_t here(const struct passage *p, uint64_t addr) {
  return (uint64_t)(uintptr_t)sim_memory_at(p->m, addr);
}

/* 'addr' as an address of this process; the kernel itself finds out where the memory ends. */
static uint64_t translate_pointer(const struct passage *p, const struct sig_param *param,
                                  uint64_t addr) {
  enum sim_page page = param->dir & SIG_OUT ? SIM_WRITE : SIM_READ;
  if (sim_memory_extent(p->m, addr, 1, page) == 1) return here(p, addr);
  return sim_memory_nowhere(p->m, addr);
}

/* Room for 'n' elements of 'size' bytes in the temporary memory, or NULL. */
static void *temp_new(struct sim_temp *temp, size_t n, size_t size) {
  size_t room = sizeof temp->bytes - temp->used;
  if (n > room / size) return NULL;
  void *p = temp->bytes + temp->used;
  temp->used += n * size;
  return p;
}

/* Whether all of 'size' bytes at 'addr' can be read. */
static bool is_there(const struct passage *p, uint64_t addr, size_t size) {
  return sim_memory_extent(p->m, addr, size, SIM_READ) == size;
}

/* An array that the kernel will refuse, for its count or its address, is passed as it is. */
static int64_t translate_iovec(const struct passage *p, int arg, uint64_t addr, uint64_t *out) {
  const struct sig_param *param = &p->v->params[arg];
  uint64_t n = (uint64_t)sig_int(&p->v->params[param->size_arg], p->words[param->size_arg]);
  *out = translate_pointer(p, &(struct sig_param){.dir = SIG_IN}, addr);
  if (n > RUNS_MAX || !is_there(p, addr, n * sizeof(struct iovec))) return 0;
  struct iovec *iov = temp_new(p->temp, n, sizeof *iov);
  if (iov == NULL) return -ENOMEM;
  if (n > 0) memcpy(iov, sim_memory_at(p->m, addr), n * sizeof *iov);
  for (size_t i = 0; i < n; i++)
    iov[i].iov_base = (void *)(uintptr_t)translate_pointer(p, param, (uintptr_t)iov[i].iov_base);
  *out = (uintptr_t)iov;
  return 0;
}

static bool is_string(const struct passage *p, uint64_t addr) {
  size_t room = sim_memory_extent(p->m, addr, SIZE_MAX, SIM_READ);
  return room > 0 && memchr(sim_memory_at(p->m, addr), 0, room) != NULL;
}

static int64_t translate_strv(const struct passage *p, uint64_t addr, uint64_t *out) {
  uint64_t *strv = NULL, string;
  do {
    uint64_t *next = temp_new(p->temp, 1, sizeof *next);
    if (next == NULL) return -E2BIG;
    if (strv == NULL) strv = next;
    if (!is_there(p, addr, sizeof string)) return -EFAULT;
    memcpy(&string, sim_memory_at(p->m, addr), sizeof string);
    if (string != 0 && !is_string(p, string)) return -EFAULT;
    *next = string != 0 ? here(p, string) : 0;
    addr += sizeof string;
  } while (string != 0);
  *out = (uintptr_t)strv;
  return 0;
}

static int64_t translate_arg(const struct passage *p, int arg, uint64_t *out) {
  const struct sig_param *param = &p->v->params[arg];
  uint64_t word = p->words[arg];
  *out = word;
  if (word == 0) return 0; /* a null pointer stays one */
  switch ((enum sig_kind)param->kind) {
    case SIG_NONE:
    case SIG_INT: return 0;
    case SIG_ADDR: return -ENOSYS;
    case SIG_STRING:
    case SIG_BYTES:
    case SIG_RECORDS: *out = translate_pointer(p, param, word); return 0;
    case SIG_STRV: return translate_strv(p, word, out);
    case SIG_IOVEC: return translate_iovec(p, arg, word, out);
  }
  return -ENOSYS;
}

int64_t sim_translate(const struct sim_memory *m, struct sim_temp *temp, int32_t nr,
                      const uint64_t words[LENCASE_MAXARGS], uint64_t out[LENCASE_MAXARGS]) {
  const struct signature *sig = sig_by_nr(nr);
  if (sig == NULL) return -ENOSYS;
  struct passage p = {.m = m, .temp = temp, .v = sig_select(sig, words, false), .words = words};
  temp->used = 0;
  memset(out, 0, LENCASE_MAXARGS * sizeof *out);
  int64_t first = 0;
  for (int i = 0; i < p.v->nparams; i++) {
    int64_t error = translate_arg(&p, i, &out[i]);
    if (first == 0) first = error;
  }
  return first;
}

int64_t sim_syscall(int32_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  long result = syscall(nr, words[0], words[1], words[2], words[3], words[4], words[5]);
  return result == -1 ? -errno : result;
}

/* }========================================================================= */
