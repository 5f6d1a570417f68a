/*
** fatal.c - signals that end the program: its grates are notified before
**
** Where the program leaves such a signal to its default action the kernel gets a signal handler of
** ours, and the program is told that the action is the default. When the signal comes the grates
** are told of the end; then the default action is restored and the same signal is queued again: the
** kernel ends the process where it was, and the parent sees the same status. Not for SIGKILL.
*/

#include "inline_int.h"

#include <sys/syscall.h>
#include <unistd.h>

static const inline_mask harmless =
    MASK_OF(SIGKILL) | MASK_OF(SIGSTOP) | MASK_OF(SIGSYS) | MASK_OF(SIGCHLD) | MASK_OF(SIGCONT) |
    MASK_OF(SIGTSTP) | MASK_OF(SIGTTIN) | MASK_OF(SIGTTOU) | MASK_OF(SIGURG) | MASK_OF(SIGWINCH);

static void on_fatal(int sig, siginfo_t *info, void *data);

struct kernel_action inline_fatal_action(const struct inline_host *h) {
  return (struct kernel_action){.handler = (uintptr_t)on_fatal,
                                .flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | KERNEL_SA_RESTORER,
                                .restorer = h->place.restorer,
                                .mask = MASK_ALL};
}

static void on_fatal(int sig, siginfo_t *info, void *data) {
  struct inline_host *h = inline_the_host;
  uint64_t pid = (uint64_t)inline_raw3(h, SYS_getpid, 0, 0, 0);
  (void)data;
  if (pid == 1) { /* in a namespace's process 1 the default action is to ignore, but for faults */
    if (inline_is_fault(sig, info)) inline_set_default(h, sig);
    return;
  }
  inline_lock(h);
  if (!h->off) inline_process_end(h, sig);
  if ((pid_t)pid != h->pid) inline_unlock(h); /* it shares the memory with one that goes on */
  inline_set_default(h, sig);
  inline_raw5(h, SYS_rt_tgsigqueueinfo, pid, (uint64_t)inline_raw3(h, SYS_gettid, 0, 0, 0),
              (uint64_t)sig, (uintptr_t)info, 0); /* blocked until we return */
}

static bool would_end(int sig) {
  return sig >= 1 && sig <= INLINE_SIGNALS && (MASK_OF(sig) & harmless) == 0;
}

bool inline_is_fatal(const struct inline_host *h, int sig, const struct kernel_action *given) {
  return h->place.nchannels != 0 && given->handler == 0 && would_end(sig);
}

void inline_fatal_open(struct inline_host *h) {
  struct kernel_action action, same;
  int sig;
  for (sig = 1; sig <= INLINE_SIGNALS; sig++)
    if (would_end(sig) && inline_set_action(h, (uint64_t)sig, NULL, &action) == 0 &&
        action.handler == 0)
      inline_set_action(h, (uint64_t)sig, &action, &same);
}
