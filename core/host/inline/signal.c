/*
** signal.c - calls about signals
**
** SIGSYS is never blocked in the kernel, since a dispatched call would kill the program then.
** Whether the program blocks it is known to us alone.
*/

#include "inline_int.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

/* Copies the program's mask at 'addr' to *mask, without SIGSYS. */
static bool mask_at(struct arrival *a, uint64_t addr, inline_mask *mask) {
  if (inline_peek(a->h, addr, mask, sizeof *mask) != sizeof *mask) return false;
  *mask &= MASK_ALL;
  return true;
}

static int64_t poke(struct arrival *a, uint64_t addr, const void *data, size_t size) {
  return inline_poke(a->h, addr, data, size) == size ? 0 : -EFAULT;
}

/* Calls with a mask among their arguments: the kernel gets a copy without SIGSYS. */
static const struct {
  int16_t nr, mask, size; /* which arguments they are, from 0 */
} masks[] = {
    {SYS_rt_sigsuspend, 0, 1},
    {SYS_ppoll, 3, 4},
    {SYS_epoll_pwait, 4, 5},
    {SYS_epoll_pwait2, 4, 5},
};

/* rt_sigprocmask, as far as SIGSYS is concerned. */
static int64_t change_sigsys(struct arrival *a, uint64_t how, const inline_mask *mask,
                             uint64_t old) {
  struct inline_thread *t = a->thread;
  bool names = mask != NULL && (*mask & MASK_OF(SIGSYS)) != 0, did = t->blocks_sigsys;
  inline_mask told;
  if (did && old != 0) {
    if (inline_peek(a->h, old, &told, sizeof told) != sizeof told) return -EFAULT;
    told |= MASK_OF(SIGSYS);
    if (poke(a, old, &told, sizeof told) != 0) return -EFAULT;
  }
  if (mask == NULL) return 0;
  if ((uint32_t)how == SIG_SETMASK) t->blocks_sigsys = names;
  if (names && (uint32_t)how != SIG_SETMASK) t->blocks_sigsys = (uint32_t)how == SIG_BLOCK;
  if (did) inline_sigsys_comes(a->h, t);
  return 0;
}

/* By SIGSYS: rt_sigreturn will restore the mask in the frame, so the new one is put there. */
static int64_t change_mask(struct arrival *a, const uint64_t words[LENCASE_MAXARGS]) {
  int64_t result;
  if (a->uc == NULL) return inline_carry_plain(a, SYS_rt_sigprocmask, words);
  inline_leave_host(a);
  result = inline_raw(a->h, SYS_rt_sigprocmask, words);
  inline_close(a);
  return result;
}

static int64_t carry_sigprocmask(struct arrival *a, int64_t nr,
                                 const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t own[LENCASE_MAXARGS];
  inline_mask wanted, mask;
  bool given = words[1] != 0 && words[3] == sizeof mask &&
               inline_peek(a->h, words[1], &wanted, sizeof wanted) == sizeof wanted;
  int64_t result;
  (void)nr;
  memcpy(own, words, sizeof own);
  mask = given ? wanted & MASK_ALL : 0;
  if (given) own[1] = (uintptr_t)&mask;
  result = change_mask(a, own);
  return result == 0 ? change_sigsys(a, words[0], given ? &wanted : NULL, words[2]) : result;
}

static int64_t carry_mask(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t own[LENCASE_MAXARGS];
  inline_mask mask;
  size_t i = 0;
  while (masks[i].nr != nr) i++;
  memcpy(own, words, sizeof own);
  if (words[masks[i].mask] != 0 && words[masks[i].size] == sizeof mask &&
      mask_at(a, words[masks[i].mask], &mask))
    own[masks[i].mask] = (uintptr_t)&mask;
  return inline_carry_plain(a, nr, own);
}

/* Its mask is behind a pointer. */
static int64_t carry_pselect(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t own[LENCASE_MAXARGS], pair[2];
  inline_mask mask;
  memcpy(own, words, sizeof own);
  if (words[5] != 0 && inline_peek(a->h, words[5], pair, sizeof pair) == sizeof pair &&
      pair[0] != 0 && pair[1] == sizeof mask && mask_at(a, pair[0], &mask)) {
    pair[0] = (uintptr_t)&mask;
    own[5] = (uintptr_t)pair;
  }
  return inline_carry_plain(a, nr, own);
}

/* The program's action for SIGSYS is only stored: is_handled() in defer.c goes by it. */
static int64_t sigsys_action(struct arrival *a, const uint64_t words[LENCASE_MAXARGS],
                             const struct kernel_action *new) {
  struct kernel_action old = a->h->sigsys;
  if (words[2] != 0 && poke(a, words[2], &old, sizeof old) != 0) return -EFAULT;
  if (words[1] == 0 || inline_is_sharing(a->h)) return 0;
  a->h->sigsys = *new;
  a->h->actions[SIGSYS - 1] = *new;
  return 0;
}

static int64_t carry_sigaction(struct arrival *a, int64_t nr,
                               const uint64_t words[LENCASE_MAXARGS]) {
  struct kernel_action new = {0}, old = {0};
  int64_t result;
  (void)nr;
  if (words[3] != sizeof(inline_mask)) return -EINVAL;
  if (words[1] != 0 && inline_peek(a->h, words[1], &new, sizeof new) != sizeof new) return -EFAULT;
  if ((int32_t)words[0] == SIGSYS) return sigsys_action(a, words, &new);
  inline_lock(a->h);
  result = inline_set_action(a->h, (uint32_t)words[0], words[1] != 0 ? &new : NULL, &old);
  inline_unlock(a->h);
  return result == 0 && words[2] != 0 ? poke(a, words[2], &old, sizeof old) : result;
}

static int64_t carry_sigreturn(struct arrival *a, int64_t nr,
                               const uint64_t words[LENCASE_MAXARGS]) {
  (void)words;
  if (a->nr != nr || a->uc == NULL)
    return -ENOSYS; /* it takes its registers from the stack it is called on */
  inline_return(a);
}

/* The kernel has a stack of ours: stack.c. The padding of the answer is zeros. */
static int64_t carry_altstack(struct arrival *a, int64_t nr,
                              const uint64_t words[LENCASE_MAXARGS]) {
  const stack_t old = inline_alternate(a->thread, a->sp);
  const uint64_t told[] = {(uintptr_t)old.ss_sp, (uint32_t)old.ss_flags, old.ss_size};
  stack_t new;
  int64_t result = 0;
  (void)nr;
  _Static_assert(sizeof told == sizeof old, "it is a stack_t");
  if (words[0] != 0) {
    if (inline_peek(a->h, words[0], &new, sizeof new) != sizeof new) return -EFAULT;
    result = inline_alternate_set(a->thread, &new, a->sp);
  }
  if (result == 0 && words[1] != 0) result = poke(a, words[1], told, sizeof told);
  return result;
}

inline_carrier inline_signal_carrier(int64_t nr) {
  switch (nr) {
    case SYS_rt_sigaction: return carry_sigaction;
    case SYS_rt_sigreturn: return carry_sigreturn;
    case SYS_sigaltstack: return carry_altstack;
    case SYS_pselect6: return carry_pselect;
    case SYS_rt_sigprocmask: return carry_sigprocmask;
    case SYS_rt_sigsuspend:
    case SYS_ppoll:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2: return carry_mask;
    default: return NULL;
  }
}
