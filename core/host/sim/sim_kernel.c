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
** What the kernel is not asked: calls that act on this process itself, and calls with pointers
** inside of what they point to, which no signature translates.
*/
static const uint8_t answers[] = {
    [SYS_mmap] = ANSWER_REFUSE,
    [SYS_mprotect] = ANSWER_REFUSE,
    [SYS_munmap] = ANSWER_REFUSE,
    [SYS_brk] = ANSWER_REFUSE,
    [SYS_rt_sigaction] = ANSWER_REFUSE,
    [SYS_rt_sigprocmask] = ANSWER_REFUSE,
    [SYS_rt_sigreturn] = ANSWER_REFUSE,
    [SYS_ioctl] = ANSWER_REFUSE,
    [SYS_mremap] = ANSWER_REFUSE,
    [SYS_msync] = ANSWER_REFUSE,
    [SYS_mincore] = ANSWER_REFUSE,
    [SYS_madvise] = ANSWER_REFUSE,
    [SYS_shmat] = ANSWER_REFUSE,
    [SYS_pause] = ANSWER_REFUSE,
    [SYS_setitimer] = ANSWER_REFUSE,
    [SYS_alarm] = ANSWER_REFUSE,
    [SYS_getpid] = ANSWER_PID,
    [SYS_sendmsg] = ANSWER_REFUSE,
    [SYS_recvmsg] = ANSWER_REFUSE,
    [SYS_clone] = ANSWER_FORK,
    [SYS_fork] = ANSWER_FORK,
    [SYS_vfork] = ANSWER_FORK,
    [SYS_execve] = ANSWER_EXEC,
    [SYS_exit] = ANSWER_EXIT,
    [SYS_wait4] = ANSWER_REFUSE,
    [SYS_kill] = ANSWER_REFUSE,
    [SYS_shmdt] = ANSWER_REFUSE,
    [SYS_ptrace] = ANSWER_REFUSE,
    [SYS_setuid] = ANSWER_REFUSE,
    [SYS_setgid] = ANSWER_REFUSE,
    [SYS_setpgid] = ANSWER_REFUSE,
    [SYS_getppid] = ANSWER_PPID,
    [SYS_setsid] = ANSWER_REFUSE,
    [SYS_setreuid] = ANSWER_REFUSE,
    [SYS_setregid] = ANSWER_REFUSE,
    [SYS_setgroups] = ANSWER_REFUSE,
    [SYS_setresuid] = ANSWER_REFUSE,
    [SYS_setresgid] = ANSWER_REFUSE,
    [SYS_setfsuid] = ANSWER_REFUSE,
    [SYS_setfsgid] = ANSWER_REFUSE,
    [SYS_capset] = ANSWER_REFUSE,
    [SYS_rt_sigpending] = ANSWER_REFUSE,
    [SYS_rt_sigtimedwait] = ANSWER_REFUSE,
    [SYS_rt_sigqueueinfo] = ANSWER_REFUSE,
    [SYS_rt_sigsuspend] = ANSWER_REFUSE,
    [SYS_sigaltstack] = ANSWER_REFUSE,
    [SYS_personality] = ANSWER_REFUSE,
    [SYS_setpriority] = ANSWER_REFUSE,
    [SYS_sched_setparam] = ANSWER_REFUSE,
    [SYS_sched_setscheduler] = ANSWER_REFUSE,
    [SYS_mlock] = ANSWER_REFUSE,
    [SYS_munlock] = ANSWER_REFUSE,
    [SYS_mlockall] = ANSWER_REFUSE,
    [SYS_munlockall] = ANSWER_REFUSE,
    [SYS_modify_ldt] = ANSWER_REFUSE,
    [SYS_pivot_root] = ANSWER_REFUSE,
    [SYS_prctl] = ANSWER_REFUSE,
    [SYS_arch_prctl] = ANSWER_REFUSE,
    [SYS_setrlimit] = ANSWER_REFUSE,
    [SYS_chroot] = ANSWER_REFUSE,
    [SYS_acct] = ANSWER_REFUSE,
    [SYS_reboot] = ANSWER_REFUSE,
    [SYS_iopl] = ANSWER_REFUSE,
    [SYS_ioperm] = ANSWER_REFUSE,
    [SYS_gettid] = ANSWER_PID,
    [SYS_tkill] = ANSWER_REFUSE,
    [SYS_futex] = ANSWER_REFUSE,
    [SYS_sched_setaffinity] = ANSWER_REFUSE,
    [SYS_io_setup] = ANSWER_REFUSE,
    [SYS_io_submit] = ANSWER_REFUSE,
    [SYS_remap_file_pages] = ANSWER_REFUSE,
    [SYS_set_tid_address] = ANSWER_PID,
    [SYS_restart_syscall] = ANSWER_REFUSE,
    [SYS_timer_create] = ANSWER_REFUSE,
    [SYS_exit_group] = ANSWER_EXIT,
    [SYS_tgkill] = ANSWER_REFUSE,
    [SYS_mbind] = ANSWER_REFUSE,
    [SYS_set_mempolicy] = ANSWER_REFUSE,
    [SYS_mq_notify] = ANSWER_REFUSE,
    [SYS_waitid] = ANSWER_REFUSE,
    [SYS_pselect6] = ANSWER_REFUSE,
    [SYS_unshare] = ANSWER_REFUSE,
    [SYS_set_robust_list] = ANSWER_REFUSE,
    [SYS_get_robust_list] = ANSWER_REFUSE,
    [SYS_vmsplice] = ANSWER_REFUSE,
    [SYS_move_pages] = ANSWER_REFUSE,
    [SYS_rt_tgsigqueueinfo] = ANSWER_REFUSE,
    [SYS_recvmmsg] = ANSWER_REFUSE,
    [SYS_prlimit64] = ANSWER_REFUSE,
    [SYS_sendmmsg] = ANSWER_REFUSE,
    [SYS_setns] = ANSWER_REFUSE,
    [SYS_process_vm_readv] = ANSWER_REFUSE,
    [SYS_process_vm_writev] = ANSWER_REFUSE,
    [SYS_sched_setattr] = ANSWER_REFUSE,
    [SYS_seccomp] = ANSWER_REFUSE,
    [SYS_bpf] = ANSWER_REFUSE,
    [SYS_execveat] = ANSWER_REFUSE,
    [SYS_userfaultfd] = ANSWER_REFUSE,
    [SYS_mlock2] = ANSWER_REFUSE,
    [SYS_pkey_mprotect] = ANSWER_REFUSE,
    [SYS_rseq] = ANSWER_REFUSE,
    [SYS_pidfd_send_signal] = ANSWER_REFUSE,
    [SYS_io_uring_setup] = ANSWER_REFUSE,
    [SYS_io_uring_enter] = ANSWER_REFUSE,
    [SYS_io_uring_register] = ANSWER_REFUSE,
    [SYS_clone3] = ANSWER_REFUSE,
    [SYS_process_madvise] = ANSWER_REFUSE,
    [SYS_landlock_restrict_self] = ANSWER_REFUSE,
};

enum sim_answer sim_answer_of(int32_t nr) {
  if (nr < 0 || (size_t)nr >= sizeof answers) return ANSWER_KERNEL;
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

/* 0 when all of 'size' bytes at 'addr' are 'page' at least. */
static int64_t check(const struct passage *p, uint64_t addr, size_t size, enum sim_page page) {
  return sim_memory_extent(p->m, addr, size, page) == size ? 0 : -EFAULT;
}

static enum sim_page page_for(const struct sig_param *param) {
  return param->dir & SIG_OUT ? SIM_WRITE : SIM_READ;
}

static uint64_t here(const struct passage *p, uint64_t addr) {
  return (uint64_t)(uintptr_t)sim_memory_at(p->m, addr);
}

/* Where 'addr', checked for 'size' bytes, lies; an address without bytes is never looked at. */
static uint64_t here_or_base(const struct passage *p, uint64_t addr, size_t size) {
  return here(p, size == 0 ? SIM_BASE : addr);
}

/* Room for 'n' elements of 'size' bytes in the temporary memory, or NULL. */
static void *temp_new(struct sim_temp *temp, size_t n, size_t size) {
  size_t room = sizeof temp->bytes - temp->used;
  if (n > room / size) return NULL;
  void *p = temp->bytes + temp->used;
  temp->used += n * size;
  return p;
}

/* The number of elements at argument 'arg', or a negative errno. */
static int64_t elements(const struct passage *p, int arg) {
  const struct sig_param *param = &p->v->params[arg];
  uint64_t told = p->words[param->size_arg];
  uint32_t value;
  switch ((enum sig_size)param->size) {
    case SIZE_FIXED: return param->count;
    case SIZE_ARG: {
      int64_t n = sig_int(&p->v->params[param->size_arg], told);
      return n < 0 ? -EINVAL : n;
    }
    case SIZE_DEREF:
      if (check(p, told, sizeof value, SIM_READ) != 0) return -EFAULT;
      memcpy(&value, sim_memory_at(p->m, told), sizeof value);
      return value;
  }
  return -ENOSYS;
}

static int64_t translate_string(const struct passage *p, uint64_t addr, uint64_t *out) {
  size_t room = sim_memory_extent(p->m, addr, SIZE_MAX, SIM_READ);
  if (room == 0 || memchr(sim_memory_at(p->m, addr), 0, room) == NULL) return -EFAULT;
  *out = here(p, addr);
  return 0;
}

static int64_t translate_bytes(const struct passage *p, int arg, uint64_t addr, uint64_t *out) {
  const struct sig_param *param = &p->v->params[arg];
  int64_t n = elements(p, arg);
  size_t size;
  if (n < 0) return n;
  if (__builtin_mul_overflow((size_t)n, param->elem, &size)) return -EFAULT;
  if (check(p, addr, size, page_for(param)) != 0) return -EFAULT;
  *out = here_or_base(p, addr, size);
  return 0;
}

static int64_t translate_iovec(const struct passage *p, int arg, uint64_t addr, uint64_t *out) {
  int64_t n = elements(p, arg);
  if (n < 0 || n > RUNS_MAX) return -EINVAL;
  size_t count = (size_t)n;
  if (check(p, addr, count * sizeof(struct iovec), SIM_READ) != 0) return -EFAULT;
  struct iovec *iov = temp_new(p->temp, count, sizeof *iov);
  if (iov == NULL) return -ENOMEM;
  if (count > 0) memcpy(iov, sim_memory_at(p->m, addr), count * sizeof *iov);
  for (size_t i = 0; i < count; i++) {
    uint64_t base = (uintptr_t)iov[i].iov_base;
    if (check(p, base, iov[i].iov_len, page_for(&p->v->params[arg])) != 0) return -EFAULT;
    iov[i].iov_base = sim_memory_at(p->m, iov[i].iov_len == 0 ? SIM_BASE : base);
  }
  *out = (uintptr_t)iov;
  return 0;
}

static int64_t translate_strv(const struct passage *p, uint64_t addr, uint64_t *out) {
  uint64_t *strv = NULL, string;
  do {
    uint64_t *slot = temp_new(p->temp, 1, sizeof *slot);
    if (slot == NULL) return -E2BIG;
    if (strv == NULL) strv = slot;
    if (check(p, addr, sizeof string, SIM_READ) != 0) return -EFAULT;
    memcpy(&string, sim_memory_at(p->m, addr), sizeof string);
    *slot = 0;
    if (string != 0 && translate_string(p, string, slot) != 0) return -EFAULT;
    addr += sizeof string;
  } while (string != 0);
  *out = (uintptr_t)strv;
  return 0;
}

static int64_t translate_arg(const struct passage *p, int arg, uint64_t *out) {
  const struct sig_param *param = &p->v->params[arg];
  uint64_t word = p->words[arg];
  *out = word;
  if (word == 0) return 0; /* a null pointer is one here too */
  switch ((enum sig_kind)param->kind) {
    case SIG_NONE:
    case SIG_INT: return 0;
    case SIG_ADDR: return -ENOSYS;
    case SIG_STRING: return translate_string(p, word, out);
    case SIG_BYTES:
    case SIG_RECORDS: return translate_bytes(p, arg, word, out);
    case SIG_STRV: return translate_strv(p, word, out);
    case SIG_IOVEC: return translate_iovec(p, arg, word, out);
  }
  return -ENOSYS;
}

int64_t sim_translate(const struct sim_memory *m, struct sim_temp *temp, int32_t nr,
                      const uint64_t words[LENCASE_MAXARGS], uint64_t out[LENCASE_MAXARGS]) {
  const struct signature *sig = sig_by_nr(nr);
  if (sig == NULL) return -ENOSYS;
  struct passage p = {.m = m, .temp = temp, .v = sig_select(sig, words), .words = words};
  if (p.v->unknown) return -ENOSYS;
  temp->used = 0;
  memset(out, 0, LENCASE_MAXARGS * sizeof *out);
  for (int i = 0; i < p.v->nparams; i++) {
    int64_t error = translate_arg(&p, i, &out[i]);
    if (error != 0) return error;
  }
  return 0;
}

int64_t sim_syscall(int32_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  long result = syscall(nr, words[0], words[1], words[2], words[3], words[4], words[5]);
  return result == -1 ? -errno : result;
}

/* }========================================================================= */
