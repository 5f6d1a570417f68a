/*
** patch.c - call sites of the program's C library that jump to us, instead of raising SIGSYS
**
** Most call sites of a C library are 'mov $nr, %eax; syscall'; that of syscall(3) has 'mov 8(%rsp),
** %r9' there. The five bytes of the mov become a jump to a stub nearby, which executes the mov and
** jumps to inline_patched_entry. The syscall instruction stays where it is, for calls that the
** kernel restarts, and for those that need a signal frame or do not return: they are sent there and
** raise SIGSYS. A call that neither a grate nor the host handles is made at once; the others arrive
** as by SIGSYS, without the kernel's signal frame.
**
** The bytes are written only while there is one thread, so that no other thread executes them
** meanwhile: one site, when it has raised SIGSYS a few times; all of the library's, when the second
** thread is about to be made. No other code is patched. In the C library only xmm registers can be
** live at a call (it is compiled for every x86-64), so that xsavec, which takes as long as a whole
** handler in Lua, is not needed.
*/

#include "entry.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum {
  MOV = 5, /* bytes: mov $nr, %eax; mov 8(%rsp), %r9; jmp */
  SITE = MOV + INLINE_SYSCALL,
  STUBS = 640,
  HOT = 4,
  PAGE = 4096
};

#define REACH ((uintptr_t)1 << 30)

const uint8_t *inline_slow, *inline_aside;
uintptr_t inline_gate_now;

uintptr_t inline_patched_stack(uint64_t sp) {
  struct inline_host *h = inline_the_host;
  const struct inline_thread *t;
  if (inline_in_engine(h, sp)) return PATCHED_AT_ONCE;
  t = inline_thread_found(h);
  return t == NULL || inline_work_is_scarce(t) ? PATCHED_BY_SIGSYS : inline_work(t);
}

int64_t inline_patched(const struct patched *p, uint64_t sp) {
  struct inline_host *h = inline_the_host;
  inline_mask mask = 0;
  struct arrival a = {
      .h = h, .thread = inline_thread_here(), .nr = (int64_t)p->nr, .mask = &mask, .sp = sp};
  int64_t result;
  memcpy(a.words, p->words, sizeof a.words);
  inline_enter_host(&a);
  result = inline_arrive(&a);
  if (!a.done) inline_leave_host(&a);
  return result;
}

/* {================================== stubs ================================ */

/* The site's mov; movabs $after, %rcx; jmp *entry(%rip) */
struct __attribute__((packed, aligned(8))) stub {
  uint8_t mov[MOV];
  uint8_t movabs[2];
  uint64_t after;
  uint8_t jmp[2];
  int32_t entry; /* from behind this to the area's */
};

#define STUB_CODE (offsetof(struct stub, entry) + sizeof(int32_t))

struct stub_area {
  uintptr_t entry; /* inline_patched_entry */
  struct stub stubs[STUBS];
};

/* Pages below the library, within the reach of a jump; 0: there is no room. */
static uintptr_t stubs_new(const struct inline_host *h) {
  uintptr_t code = h->place.code, at;
  for (at = (code & ~(uintptr_t)(PAGE - 1)) - REACH / 64; at > code - REACH; at -= REACH / 64) {
    const uint64_t words[LENCASE_MAXARGS] = {at,
                                             sizeof(struct stub_area),
                                             PROT_READ | PROT_WRITE | PROT_EXEC,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                                             (uint64_t)-1,
                                             0};
    if (inline_raw(h, SYS_mmap, words) != (int64_t)at) continue;
    ((struct stub_area *)at)->entry = (uintptr_t)inline_patched_entry; /* NOLINT */
    return at;
  }
  return 0;
}

static uintptr_t stub_new(struct inline_host *h, const unsigned char *site) {
  struct stub_area *area = (struct stub_area *)h->stubs; /* NOLINT */
  struct stub *s = &area->stubs[h->nstubs++];
  *s = (struct stub){.movabs = {0x48, 0xb9}, .after = (uintptr_t)site + SITE, .jmp = {0xff, 0x25}};
  s->entry = (int32_t)((intptr_t)area - (intptr_t)s - (intptr_t)STUB_CODE);
  assert((uintptr_t)site - (uintptr_t)s < 2 * REACH);
  memcpy(s->mov, site, MOV);
  return (uintptr_t)s;
}

/* }========================================================================= */

/* {================================== sites ================================ */

static bool is_set(const uint8_t *bits, uint32_t nr) {
  return bits[nr / 8] >> nr % 8 & 1;
}

static const unsigned char syscall_code[INLINE_SYSCALL] = {0x0f, 0x05};

/* A REX prefix before it would make it a mov to another register. */
static bool is_site(const struct inline_host *h, const unsigned char *p) {
  static const unsigned char by_register[MOV] = {0x4c, 0x8b, 0x4c, 0x24, 0x08};
  uint32_t nr;
  if (memcmp(p + MOV, syscall_code, sizeof syscall_code) != 0) return false;
  if (memcmp(p, by_register, sizeof by_register) == 0) return true;
  if (p[0] != 0xb8 || (p[-1] & 0xf0) == 0x40) return false;
  memcpy(&nr, p + 1, sizeof nr);
  return nr < INLINE_NRS && !is_set(h->aside, nr);
}

static bool make_writable(const struct inline_host *h, uintptr_t at, size_t size, bool writable) {
  uintptr_t begin = at & ~(uintptr_t)(PAGE - 1);
  int prot = PROT_READ | PROT_EXEC | (writable ? PROT_WRITE : 0);
  return inline_raw3(h, SYS_mprotect, begin, at + size - begin, (uint64_t)prot) == 0;
}

static void patch(struct inline_host *h, unsigned char *site) {
  int32_t to;
  assert(h->threads == 1 && h->others == 0); /* no other thread executes the bytes meanwhile */
  if (h->nstubs == STUBS) return;
  to = (int32_t)(stub_new(h, site) - ((uintptr_t)site + MOV));
  site[0] = 0xe9;
  memcpy(site + 1, &to, sizeof to);
}

static bool may_patch(struct inline_host *h) {
  if (h->unpatchable || h->place.code == 0 || h->threads != 1 || h->others != 0) return false;
  if (h->stubs == 0) h->stubs = stubs_new(h);
  if (h->stubs == 0) {
    h->unpatchable = true;
    inline_debug(h, "no call site is patched: no address near the C library is free");
  }
  return !h->unpatchable;
}

static void patch_one(struct inline_host *h, unsigned char *site) {
  if (!may_patch(h) || !is_site(h, site)) return;
  h->unpatchable = !make_writable(h, (uintptr_t)site, SITE, true);
  inline_debug(h, "the call site at 0x%" PRIx64 "%s", (uint64_t)(uintptr_t)site,
               h->unpatchable ? ": its code cannot be made writable" : " is patched");
  if (h->unpatchable) return;
  patch(h, site);
  make_writable(h, (uintptr_t)site, SITE, false);
}

/* With signals blocked: the call is over, and they may be unblocked already. */
static void patch_signals_blocked(struct inline_host *h, unsigned char *site) {
  const inline_mask all = MASK_ALL;
  inline_mask mask;
  inline_raw5(h, SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&all, (uintptr_t)&mask, sizeof all, 0);
  patch_one(h, site);
  inline_raw5(h, SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&mask, 0, sizeof all, 0);
}

void inline_patch_hot(struct inline_host *h, uintptr_t after) {
  unsigned char *site = (unsigned char *)after - SITE; /* NOLINT */
  uint32_t i = (uint32_t)(after >> 1) % INLINE_SITES;
  if (after - h->place.code < SITE + 1 || after - h->place.code > h->place.code_size) return;
  if (h->sites[i].after != (uint32_t)after) h->sites[i].count = 0;
  h->sites[i].after = (uint32_t)after;
  if (++h->sites[i].count == HOT) patch_signals_blocked(h, site);
}

void inline_patch_all(struct inline_host *h) {
  unsigned char *p = (unsigned char *)h->place.code, *end = p + h->place.code_size; /* NOLINT */
  if (h->patched_all || !may_patch(h)) return;
  h->patched_all = true;
  if (!make_writable(h, h->place.code, h->place.code_size, true)) return;
  for (p += SITE; p < end; p++) {
    p = memmem(p, (size_t)(end - p), syscall_code, sizeof syscall_code);
    if (p == NULL) break;
    if (is_site(h, p - MOV)) patch(h, p - MOV);
  }
  make_writable(h, h->place.code, h->place.code_size, false);
  inline_debug(h, "%d call sites of the C library are patched", (int)h->nstubs);
}

static void set(uint8_t *bits, int64_t nr) {
  bits[nr / 8] |= (uint8_t)(1 << nr % 8);
}

void inline_patch_open(struct inline_host *h) {
  static const int16_t aside[] = {SYS_clone, SYS_clone3,     SYS_fork,
                                  SYS_vfork, SYS_execve,     SYS_execveat,
                                  SYS_exit,  SYS_exit_group, SYS_rt_sigreturn};
  int64_t nr;
  size_t i;
  for (i = 0; i < sizeof aside / sizeof *aside; i++) set(h->aside, aside[i]);
  for (nr = 0; nr < INLINE_NRS; nr++)
    if (inline_is_tamed(nr) || is_set(h->wanted, (uint32_t)nr)) set(h->slow, nr);
  inline_slow = h->slow;
  inline_aside = h->aside;
  inline_gate_now = h->place.fast;
}

/* }========================================================================= */
