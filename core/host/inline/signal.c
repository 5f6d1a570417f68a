/*
** signal.c - calls about signals
**
** SIGSYS is ours, and never blocked: a call that is dispatched while it is would kill the program.
** The program's alternate stack is what its saved context says: we may be running on it.
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

/* Calls with a mask among their arguments: the kernel gets a copy. */
static const struct {
  int16_t nr, mask, size; /* which arguments they are, from 0 */
} masks[] = {
    {SYS_rt_sigprocmask, 1, 3}, {SYS_rt_sigsuspend, 0, 1}, {SYS_ppoll, 3, 4},
    {SYS_epoll_pwait, 4, 5},    {SYS_epoll_pwait2, 4, 5},
};

/* sigreturn sets the mask of the frame that it takes down: what it is now has to be there. */
static int64_t change_mask(struct trap *t, const uint64_t words[LENCASE_MAXARGS]) {
  int64_t result;
  if (t->uc == NULL) return inline_carry_plain(t, SYS_rt_sigprocmask, words);
  inline_let_in(t);
  result = inline_raw(t->h, SYS_rt_sigprocmask, words);
  inline_close(t);
  return result;
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
  return nr == SYS_rt_sigprocmask ? change_mask(t, own) : inline_carry_plain(t, nr, own);
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

static int64_t poke(struct trap *t, uint64_t addr, const void *data, size_t size) {
  return inline_poke(t->h, addr, data, size) == size ? 0 : -EFAULT;
}

/* What the program installs for SIGSYS is remembered, and nothing else: see foreign() in dispatch.c. */
static int64_t sigsys_action(struct trap *t, const uint64_t words[LENCASE_MAXARGS],
                             const struct kernel_action *new) {
  struct kernel_action old = t->h->sigsys;
  if (words[2] != 0 && poke(t, words[2], &old, sizeof old) != 0) return -EFAULT;
  if (words[1] != 0 && !inline_is_sharing(t->h)) t->h->sigsys = *new;
  return 0;
}

static int64_t carry_sigaction(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct kernel_action new = {0}, old = {0};
  int64_t result;
  (void)nr;
  if (words[3] != sizeof(inline_mask)) return -EINVAL;
  if (words[1] != 0 && inline_peek(t->h, words[1], &new, sizeof new) != sizeof new) return -EFAULT;
  if ((int32_t)words[0] == SIGSYS) return sigsys_action(t, words, &new);
  inline_fatal_swap(t->h, (int)words[0], &new);
  inline_lock(t->h);
  result = inline_set_action(t->h, (uint32_t)words[0], words[1] != 0 ? &new : NULL, &old);
  inline_unlock(t->h);
  inline_fatal_hide(&old);
  return result == 0 && words[2] != 0 ? poke(t, words[2], &old, sizeof old) : result;
}

static int64_t carry_sigreturn(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  (void)words;
  if (t->nr != nr || t->uc == NULL)
    return -ENOSYS; /* it takes its registers from the stack it is called on */
  inline_sigreturn_opens(t);
  inline_sigreturn(t->h, t->sp);
}

/* {============================ alternate stacks =========================== */

static bool is_on(const stack_t *s, uint64_t sp) {
  return sp - (uintptr_t)s->ss_sp - 1 < s->ss_size;
}

/*
** Our handler may be on the stack that is to be changed, while the program is not: then the kernel would
** refuse, and sigreturn (since Linux 6.12) would not do it either. So the call is made on the
** program's stack, where nothing of ours lies.
*/
static int64_t new_stack(struct trap *t, const stack_t *s) {
  const stack_t *current = &t->uc->uc_stack;
  bool move = is_on(current, (uintptr_t)__builtin_frame_address(0)) && !is_on(current, t->sp);
  int64_t result = move ? inline_raw_on_stack(t->h, SYS_sigaltstack, (uintptr_t)s, t->sp)
                        : inline_raw3(t->h, SYS_sigaltstack, (uintptr_t)s, 0, 0);
  if (result != 0) return result;
  inline_raw3(t->h, SYS_sigaltstack, 0, (uintptr_t)&t->uc->uc_stack,
              0); /* sigreturn sets it once more */
  inline_slot_alternate(t->h, &t->uc->uc_stack);
  return 0;
}

static int64_t carry_altstack(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  stack_t old, new;
  int64_t result = 0;
  (void)nr;
  if (t->uc == NULL) return -ENOSYS; /* a grate makes it in place of a call of another kind */
  old = t->uc->uc_stack;
  old.ss_flags &= (int)(1u << 31); /* SS_AUTODISARM; whether it is in use is ours to say */
  if (old.ss_size == 0)
    old.ss_flags = SS_DISABLE;
  else if (is_on(&old, t->sp))
    old.ss_flags |= SS_ONSTACK;
  if (words[0] != 0) {
    if (inline_peek(t->h, words[0], &new, sizeof new) != sizeof new) return -EFAULT;
    result = new_stack(t, &new);
  }
  if (result == 0 && words[1] != 0) result = poke(t, words[1], &old, sizeof old);
  return result;
}

/* }========================================================================= */

inline_carrier inline_signal_carrier(int64_t nr) {
  switch (nr) {
    case SYS_rt_sigaction: return carry_sigaction;
    case SYS_rt_sigreturn: return carry_sigreturn;
    case SYS_sigaltstack: return carry_altstack;
    case SYS_pselect6: return carry_pselect;
    case SYS_rt_sigprocmask:
    case SYS_rt_sigsuspend:
    case SYS_ppoll:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2: return carry_mask;
    default: return NULL;
  }
}
