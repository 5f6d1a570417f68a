/*
** signal.c - calls about signals
**
** SIGSYS is ours, and never blocked: a call that is dispatched while it is would kill the program.
** Whether the program blocks it is known to us alone.
*/

#include "inline_int.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

/* A mask of the program's at 'addr', without SIGSYS, to *mask. */
static bool mask_at(struct trap *t, uint64_t addr, inline_mask *mask) {
  if (inline_peek(t->h, addr, mask, sizeof *mask) != sizeof *mask) return false;
  *mask &= MASK_ALL;
  return true;
}

static int64_t poke(struct trap *t, uint64_t addr, const void *data, size_t size) {
  return inline_poke(t->h, addr, data, size) == size ? 0 : -EFAULT;
}

/* Calls with a mask among their arguments: the kernel gets a copy. */
static const struct {
  int16_t nr, mask, size; /* which arguments they are, from 0 */
} masks[] = {
    {SYS_rt_sigsuspend, 0, 1},
    {SYS_ppoll, 3, 4},
    {SYS_epoll_pwait, 4, 5},
    {SYS_epoll_pwait2, 4, 5},
};

/* What the program has set for SIGSYS, and sees. */
static int64_t change_sigsys(struct trap *t, uint64_t how, const inline_mask *mask, uint64_t old) {
  struct inline_slot *s = t->slot;
  bool names = mask != NULL && (*mask & MASK_OF(SIGSYS)) != 0, did = s->blocks_sigsys;
  inline_mask told;
  if (did && old != 0) {
    if (inline_peek(t->h, old, &told, sizeof told) != sizeof told) return -EFAULT;
    told |= MASK_OF(SIGSYS);
    if (poke(t, old, &told, sizeof told) != 0) return -EFAULT;
  }
  if (mask == NULL) return 0;
  if ((uint32_t)how == SIG_SETMASK) s->blocks_sigsys = names;
  if (names && (uint32_t)how != SIG_SETMASK) s->blocks_sigsys = (uint32_t)how == SIG_BLOCK;
  if (did) inline_sigsys_comes(t->h, s);
  return 0;
}

/* sigreturn sets the mask of the frame that it takes down: what it is now has to be there. */
static int64_t change_mask(struct trap *t, const uint64_t words[LENCASE_MAXARGS]) {
  int64_t result;
  if (t->uc == NULL) return inline_carry_plain(t, SYS_rt_sigprocmask, words);
  inline_leave_host(t);
  result = inline_raw(t->h, SYS_rt_sigprocmask, words);
  inline_close(t);
  return result;
}

static int64_t carry_sigprocmask(struct trap *t, int64_t nr,
                                 const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t own[LENCASE_MAXARGS];
  inline_mask wanted, mask;
  bool given = words[1] != 0 && words[3] == sizeof mask &&
               inline_peek(t->h, words[1], &wanted, sizeof wanted) == sizeof wanted;
  int64_t result;
  (void)nr;
  memcpy(own, words, sizeof own);
  mask = given ? wanted & MASK_ALL : 0;
  if (given) own[1] = (uintptr_t)&mask;
  result = change_mask(t, own);
  return result == 0 ? change_sigsys(t, words[0], given ? &wanted : NULL, words[2]) : result;
}

static int64_t carry_mask(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t own[LENCASE_MAXARGS];
  inline_mask mask;
  size_t i = 0;
  while (masks[i].nr != nr) i++;
  memcpy(own, words, sizeof own);
  if (words[masks[i].mask] != 0 && words[masks[i].size] == sizeof mask &&
      mask_at(t, words[masks[i].mask], &mask))
    own[masks[i].mask] = (uintptr_t)&mask;
  return inline_carry_plain(t, nr, own);
}

/* Its mask is behind a pointer. */
static int64_t carry_pselect(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t own[LENCASE_MAXARGS], pair[2];
  inline_mask mask;
  memcpy(own, words, sizeof own);
  if (words[5] != 0 && inline_peek(t->h, words[5], pair, sizeof pair) == sizeof pair &&
      pair[0] != 0 && pair[1] == sizeof mask && mask_at(t, pair[0], &mask)) {
    pair[0] = (uintptr_t)&mask;
    own[5] = (uintptr_t)pair;
  }
  return inline_carry_plain(t, nr, own);
}

/* The program's action for SIGSYS is only remembered: see foreign() in dispatch.c. */
static int64_t sigsys_action(struct trap *t, const uint64_t words[LENCASE_MAXARGS],
                             const struct kernel_action *new) {
  struct kernel_action old = t->h->sigsys;
  if (words[2] != 0 && poke(t, words[2], &old, sizeof old) != 0) return -EFAULT;
  if (words[1] == 0 || inline_is_sharing(t->h)) return 0;
  t->h->sigsys = *new;
  t->h->handlers[SIGSYS - 1] =
      (struct inline_handler){new->handler, new->flags, new->restorer, new->mask};
  return 0;
}

static int64_t carry_sigaction(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct kernel_action new = {0}, old = {0};
  int64_t result;
  (void)nr;
  if (words[3] != sizeof(inline_mask)) return -EINVAL;
  if (words[1] != 0 && inline_peek(t->h, words[1], &new, sizeof new) != sizeof new) return -EFAULT;
  if ((int32_t)words[0] == SIGSYS) return sigsys_action(t, words, &new);
  inline_lock(t->h);
  result = inline_set_action(t->h, (uint32_t)words[0], words[1] != 0 ? &new : NULL, &old);
  inline_unlock(t->h);
  return result == 0 && words[2] != 0 ? poke(t, words[2], &old, sizeof old) : result;
}

static int64_t carry_sigreturn(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  (void)words;
  if (t->nr != nr || t->uc == NULL)
    return -ENOSYS; /* it takes its registers from the stack it is called on */
  inline_return(t);
}

/* The kernel has one of ours: stack.c. The padding of the answer is zeros. */
static int64_t carry_altstack(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  const stack_t old = inline_alternate(t->slot, t->sp);
  const uint64_t told[] = {(uintptr_t)old.ss_sp, (uint32_t)old.ss_flags, old.ss_size};
  stack_t new;
  int64_t result = 0;
  (void)nr;
  _Static_assert(sizeof told == sizeof old, "an image of it");
  if (words[0] != 0) {
    if (inline_peek(t->h, words[0], &new, sizeof new) != sizeof new) return -EFAULT;
    result = inline_alternate_set(t->slot, &new, t->sp);
  }
  if (result == 0 && words[1] != 0) result = poke(t, words[1], told, sizeof told);
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
