/*
** probe_memory.c - the memory of the window, and what the inline host needs
*/

#include "kernel.h"
#include "probe_int.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* {============================= memory in common ========================== */

void probe_try_memfd(struct probe_trial *trial) {
  int fd = memfd_create("lencase", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (probe_went(trial, fd >= 0, "memfd_create")) probe_found(trial, "%s", "");
}

/* mov $PROBE_ANSWER, %eax; ret */
static const unsigned char code[] = {0xb8, PROBE_ANSWER, 0, 0, 0, 0xc3};

/* A page with the code; older kernels know no MFD_EXEC, and need none. */
static int code_file(struct probe_trial *trial) {
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  int fd = memfd_create("lencase", flags | MFD_EXEC);
  if (fd < 0 && errno == EINVAL) fd = memfd_create("lencase", flags);
  if (!probe_went(trial, fd >= 0, "memfd_create(MFD_EXEC)")) return -1;
  if (!probe_went(trial, ftruncate(fd, PAGE) == 0 && pwrite(fd, code, sizeof code, 0) > 0,
                  "writing to a memfd"))
    return -1;
  return fd;
}

/* Where the code is mapped; NULL: it cannot be. */
static void *run_code(struct probe_trial *trial, int fd) {
  void *at = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
  int (*f)(void);
  if (!probe_went(trial, at != MAP_FAILED, "mmap(PROT_EXEC) of a memfd")) return NULL;
  memcpy(&f, &at, sizeof f);
  if (f() == PROBE_ANSWER) return at;
  probe_failed(trial, "what a memfd has was not what ran");
  return NULL;
}

void probe_try_memfd_exec(struct probe_trial *trial) {
  int fd = code_file(trial);
  if (fd >= 0 && run_code(trial, fd) != NULL) probe_found(trial, "%s", "");
}

static bool seal(struct probe_trial *trial, int fd) {
  return probe_went(trial,
                    fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_SEAL) == 0,
                    "fcntl(F_ADD_SEALS, F_SEAL_FUTURE_WRITE)");
}

/* The mapping that was there before the seal can be written, and no new one can. */
void probe_try_seal(struct probe_trial *trial) {
  const int prot = PROT_READ | PROT_WRITE;
  int fd = memfd_create("lencase", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  volatile char *at;
  if (!probe_went(trial, fd >= 0 && ftruncate(fd, PAGE) == 0, "memfd_create")) return;
  at = mmap(NULL, PAGE, prot, MAP_SHARED, fd, 0);
  if (!probe_went(trial, at != MAP_FAILED, "mmap") || !seal(trial, fd)) return;
  *at = 1;
  if (mmap(NULL, PAGE, prot, MAP_SHARED, fd, 0) == MAP_FAILED && write(fd, "", 1) < 0)
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "a memfd can be written to in spite of its seals");
}

/* As the trace host maps it in a program: sealed, opened again for reading, executable. */
void probe_try_window(struct probe_trial *trial) {
  int sealed = code_file(trial), fd;
  char path[48];
  void *at;
  if (sealed < 0 || !seal(trial, sealed)) return;
  snprintf(path, sizeof path, "/proc/self/fd/%d", sealed);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (!probe_went(trial, fd >= 0, "open /proc/self/fd/N")) return;
  at = run_code(trial, fd);
  if (at == NULL) return;
  if (mprotect(at, PAGE, PROT_READ | PROT_WRITE) != 0)
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "a window can be made writable");
}

void probe_try_mseal(struct probe_trial *trial) {
  void *at = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (!probe_went(trial, at != MAP_FAILED, "mmap")) return;
  if (!probe_went(trial, syscall(SYS_mseal, at, (size_t)PAGE, 0UL) == 0, "mseal")) return;
  if (munmap(at, PAGE) != 0)
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "mseal did not keep a mapping");
}

/* }========================================================================= */

/* {================================== inline =============================== */

enum { LET = 0, TAKE = 1 }; /* of the selector: the kernel's */

/* The call has the selector for its first argument. */
static void on_sigsys(int sig, siginfo_t *info, void *context) {
  greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
  volatile char *selector = (volatile char *)(uintptr_t)regs[REG_RDI]; /* NOLINT */
  (void)sig;
  (void)info;
  *selector = LET;
  regs[REG_RAX] = PROBE_ANSWER;
}

void probe_try_dispatch(struct probe_trial *trial) {
  const struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
  volatile char selector = LET;
  long result;
  sigaction(SIGSYS, &action, NULL);
  if (!probe_went(trial,
                  prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0UL, 0UL, &selector) == 0,
                  "prctl(PR_SET_SYSCALL_USER_DISPATCH)"))
    return;
  selector = TAKE;
  result = syscall(PROBE_CALL, &selector);
  selector = LET;
  if (result == PROBE_ANSWER)
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "a call was not dispatched");
}

void probe_try_namespace(struct probe_trial *trial) {
  if (trial->engine == NULL)
    probe_failed(trial, "liblencase-engine.so is not there");
  else if (dlmopen(LM_ID_NEWLM, trial->engine, RTLD_NOW | RTLD_LOCAL) == NULL)
    probe_failed(trial, "%s", dlerror());
  else
    probe_found(trial, "%s", "");
}

/* rdfsbase: a kernel that does not allow it ends the process. */
void probe_try_fsgsbase(struct probe_trial *trial) {
  uint64_t base;
  __asm__ volatile("rdfsbase %0" : "=r"(base));
  if (base != 0)
    probe_found(trial, "%s", "");
  else
    probe_failed(trial, "rdfsbase found no thread pointer");
}

/* }========================================================================= */
