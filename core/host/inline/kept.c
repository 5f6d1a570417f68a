/*
** kept.c - descriptors that are ours: to the program they are not there
**
** A call that names one is made with a number that no process can have open, so that the kernel
** says EBADF in its own order of checks. Descriptors that are named in memory (poll, select,
** SCM_RIGHTS) are not looked at, nor are calls from patched sites that neither a grate nor the host
** handles.
*/

#include "inline_int.h"

#include <string.h>
#include <sys/syscall.h>

#define NEVER_OPEN ((uint64_t)INT32_MAX)

/* The lowest of ours from 'first' to 'last'; 'last' + 1: none. */
static uint64_t kept_from(const struct inline_host *h, uint64_t first, uint64_t last) {
  const struct inline_place *p = &h->place;
  int ours[INLINE_CHANNELS + 3] = {p->kept, h->pipe[0], h->pipe[1]};
  uint64_t next = last + 1;
  size_t i;
  for (i = 0; i < p->nchannels; i++) ours[3 + i] = p->channels[i].fd;
  for (i = 0; i < sizeof ours / sizeof *ours; i++)
    if (ours[i] > 0 && (uint64_t)ours[i] >= first && (uint64_t)ours[i] < next)
      next = (uint64_t)ours[i];
  return next;
}

/* Told by the parameter's name in the prototype. */
static bool is_descriptor(const struct sig_param *p) {
  static const char *const names[] = {
      "fd",       "oldfd",       "newfd",    "sockfd",   "fd_in",      "fd_out",   "in_fd",
      "out_fd",   "dirfd",       "olddirfd", "newdirfd", "from_dirfd", "to_dirfd", "epfd",
      "mount_fd", "fanotify_fd", "pidfd",    "src_fd",   "group_fd"};
  size_t i = 0, n = sizeof names / sizeof *names;
  if (p->kind != SIG_INT) return false;
  while (i < n && strcmp(p->name, names[i]) != 0) i++;
  return i < n;
}

static uint8_t descriptors_of(const struct sig_variant *v) {
  unsigned args = 0, i;
  for (i = 0; i < v->nparams; i++)
    if (is_descriptor(&v->params[i])) args |= 1u << i;
  return (uint8_t)args;
}

void inline_kept_open(struct inline_host *h) {
  const struct signature *sig;
  int32_t nr;
  uint8_t i;
  for (nr = 0; nr < INLINE_NRS; nr++)
    if ((sig = sig_by_nr(nr)) != NULL)
      for (i = 0; i < sig->nvariants; i++) h->descriptors[nr] |= descriptors_of(&sig->variants[i]);
}

/* Which of the arguments in 'args' are descriptors of ours. */
static unsigned kept_among(const struct inline_host *h, unsigned args,
                           const uint64_t words[LENCASE_MAXARGS]) {
  unsigned i, kept = 0;
  for (i = 0; args >> i != 0; i++)
    if (args >> i & 1 && kept_from(h, (uint32_t)words[i], (uint32_t)words[i]) == (uint32_t)words[i])
      kept |= 1u << i;
  return kept;
}

const uint64_t *inline_without_kept(const struct inline_host *h, int64_t nr,
                                    const uint64_t words[LENCASE_MAXARGS],
                                    uint64_t own[LENCASE_MAXARGS]) {
  unsigned kept, i;
  if (nr < 0 || nr >= INLINE_NRS || h->descriptors[nr] == 0) return words;
  kept = kept_among(h, h->descriptors[nr], words);
  if (kept != 0) kept &= descriptors_of(sig_select(sig_by_nr((int32_t)nr), words, false));
  if (kept == 0) return words;
  for (i = 0; i < LENCASE_MAXARGS; i++) own[i] = kept >> i & 1 ? NEVER_OPEN : words[i];
  return own;
}

/* Our descriptors are left out of the range. */
static int64_t carry_close_range(struct arrival *a, int64_t nr,
                                 const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t first = (uint32_t)words[0], last = (uint32_t)words[1], kept;
  int64_t result = 0;
  if (kept_from(a->h, first, last) > last) return inline_carry_plain(a, nr, words);
  for (; first <= last && result == 0; first = kept + 1) {
    uint64_t own[LENCASE_MAXARGS] = {first, 0, words[2]};
    kept = kept_from(a->h, first, last);
    own[1] = kept - 1;
    if (first < kept) result = inline_carry_plain(a, nr, own);
  }
  return result;
}

/* What could close or replace our descriptors is handled also from patched sites. */
inline_carrier inline_kept_carrier(int64_t nr) {
  switch (nr) {
    case SYS_close:
    case SYS_dup2:
    case SYS_dup3: return inline_carry_plain;
    case SYS_close_range: return carry_close_range;
    default: return NULL;
  }
}
