/*
** tracer.c - a program that traces others, which run inline as it does
**
** A call of the tracee raises SIGSYS, which stops it: the tracer would see a SIGSYS for each call,
** and if it did not pass the signal on the tracee would make the same call for ever. Such a stop is
** hidden from the program: the tracee is resumed with its signal by the request that resumed it
** last, and the program goes on waiting.
*/

#include "inline_int.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* How a tracee was resumed, in one word: its number above, the request below. */
static uint64_t *going(struct inline_host *h, pid_t pid) {
  return &h->going[(uint32_t)pid % INLINE_TRACEES];
}

static int64_t carry_ptrace(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t pid = (uint32_t)words[1];
  switch (words[0]) {
    case PTRACE_CONT:
    case PTRACE_SYSCALL:
    case PTRACE_SINGLESTEP:
    case PTRACE_SINGLEBLOCK:
    case PTRACE_SYSEMU:
    case PTRACE_SYSEMU_SINGLESTEP:
      __atomic_store_n(going(a->h, (pid_t)pid), pid << 32 | words[0], __ATOMIC_RELAXED);
      break;
    default: break;
  }
  return inline_carry_plain(a, nr, words);
}

/* True: it was stopped by a call, and was resumed. */
static bool goes_on(struct inline_host *h, pid_t pid) {
  uint64_t how = __atomic_load_n(going(h, pid), __ATOMIC_RELAXED);
  uint64_t request = how >> 32 == (uint32_t)pid ? (uint32_t)how : PTRACE_CONT;
  siginfo_t info;
  if (inline_raw5(h, SYS_ptrace, PTRACE_GETSIGINFO, (uint64_t)pid, 0, (uintptr_t)&info, 0) != 0)
    return false;
  if (info.si_signo != SIGSYS || info.si_code != INLINE_DISPATCHED) return false;
  return inline_raw5(h, SYS_ptrace, request, (uint64_t)pid, 0, SIGSYS, 0) == 0;
}

static int64_t carry_wait4(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t own[LENCASE_MAXARGS];
  int64_t result;
  int status = 0, mine;
  memcpy(own, words, sizeof own);
  if (own[1] == 0) own[1] = (uintptr_t)&mine;
  do result = inline_carry_plain(a, nr, own);
  while (result > 0 && inline_peek(a->h, own[1], &status, sizeof status) == sizeof status &&
         WIFSTOPPED(status) && status >> 8 == SIGSYS && goes_on(a->h, (pid_t)result));
  return result;
}

static int64_t carry_waitid(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t own[LENCASE_MAXARGS];
  siginfo_t info = {0}, mine = {0};
  int64_t result;
  memcpy(own, words, sizeof own);
  if (own[2] == 0) own[2] = (uintptr_t)&mine;
  do result = inline_carry_plain(a, nr, own);
  while (result == 0 && inline_peek(a->h, own[2], &info, sizeof info) == sizeof info &&
         info.si_signo == SIGCHLD && info.si_code == CLD_TRAPPED && info.si_status == SIGSYS &&
         goes_on(a->h, info.si_pid));
  return result;
}

inline_carrier inline_tracer_carrier(int64_t nr) {
  switch (nr) {
    case SYS_ptrace: return carry_ptrace;
    case SYS_wait4: return carry_wait4;
    case SYS_waitid: return carry_waitid;
    default: return NULL;
  }
}
