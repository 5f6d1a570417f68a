/*
** filters.c - seccomp filters that the program loads itself
**
** A filter sees the host's calls as the program's own, and may end the process for one that the
** program itself never makes. So it is evaluated on the host's calls before the kernel gets it.
** Some of them are not made from then on, here and in programs that this one executes; the others
** are reported by name.
*/

#include "../bpf.h"
#include "inline_int.h"

#include <linux/audit.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* What the host calls while the program runs. */
static const struct {
  int32_t nr;
  uint8_t avoid; /* INLINE_AVOID_...; 0: it cannot be avoided */
  uint64_t words[LENCASE_MAXARGS];
} ours[] = {
    {SYS_process_vm_readv, INLINE_AVOID_VM, {0}},
    {SYS_process_vm_writev, INLINE_AVOID_VM, {0}},
    {SYS_mprotect, INLINE_AVOID_PATCH, {0, 0, PROT_READ | PROT_WRITE | PROT_EXEC}},
    {SYS_mprotect, INLINE_AVOID_PATCH, {0, 0, PROT_READ | PROT_EXEC}},
    {SYS_rt_sigreturn, 0, {0}},
    {SYS_rt_sigprocmask, 0, {SIG_SETMASK}},
    {SYS_futex, 0, {0, FUTEX_WAIT_PRIVATE}},
    {SYS_futex, 0, {0, FUTEX_WAKE_PRIVATE}},
    {SYS_getpid, 0, {0}},
    {SYS_mmap, 0, {0, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, UINT64_MAX}},
    {SYS_munmap, 0, {0}},
    {SYS_sendto, 0, {0}}, /* reports */
};

/* What copies through a pipe need. */
static const int32_t by_pipe[] = {SYS_read, SYS_write, SYS_pipe2, SYS_fcntl, SYS_close};

/* A filter that is about to be loaded. */
struct loading {
  struct inline_host *h;
  uint64_t fprog; /* where the program has it */
  const struct sock_filter *code;
};

static bool ends(const struct loading *l, int32_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct seccomp_data data = {.nr = nr,
                              .arch = AUDIT_ARCH_X86_64,
                              .instruction_pointer = l->h->place.gate + INLINE_SYSCALL};
  memcpy(data.args, words, sizeof data.args);
  return bpf_ends_program(bpf_answer(l->code, &data));
}

/* True: the host does without from now on. */
static bool avoid(const struct loading *l, uint8_t what) {
  static const uint64_t none[LENCASE_MAXARGS] = {0};
  struct inline_host *h = l->h;
  size_t i;
  if (what == 0) return false;
  if (what == INLINE_AVOID_VM) {
    for (i = 0; i < sizeof by_pipe / sizeof *by_pipe; i++)
      if (ends(l, by_pipe[i], none)) return false;
    if (!inline_bytes_by_pipe(h)) return false;
  }
  if (what == INLINE_AVOID_PATCH) h->unpatchable = true;
  h->avoids |= what;
  state_debug(h->st, STOPS, "%d: a seccomp filter is loaded: %s", (int)h->pid,
              what == INLINE_AVOID_VM ? "the program's memory is read and written through a pipe"
                                      : "no call site is patched");
  return true;
}

/* Reported by the launcher, if there is one: this process's standard error may be anything. */
static void judge(const struct loading *l) {
  char names[256] = "";
  const char *last = "";
  size_t i;
  for (i = 0; i < sizeof ours / sizeof *ours; i++) {
    const char *name = sig_by_nr(ours[i].nr)->name;
    if (ours[i].nr == SYS_sendto && l->h->place.nchannels == 0) continue;
    if (!ends(l, ours[i].nr, ours[i].words)) continue;
    if (name == last || avoid(l, ours[i].avoid)) continue;
    snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
             names[0] != '\0' ? ", " : "", name);
    last = name;
  }
  if (names[0] == '\0' || inline_report_filter(l->h, names)) return;
  state_log(
      l->h->st,
      "process %d loads a seccomp filter that may end it for calls that lencase makes in it (%s): "
      "run the program traced, without --inline",
      (int)l->h->pid, names);
}

static void step_judge(void *arg) {
  struct loading *l = arg;
  struct inline_host *h = l->h;
  struct sock_fprog prog = {0};
  struct sock_filter *code;
  size_t size;
  if (inline_peek(h, l->fprog, &prog, sizeof prog) != sizeof prog || prog.len > BPF_MAXINSNS)
    return;
  size = prog.len * sizeof *code;
  code = size > 0 ? state_new(h->st, size) : NULL;
  if (code == NULL) return;
  l->code = code;
  if (inline_peek(h, (uintptr_t)prog.filter, code, size) == size && bpf_is_sound(code, prog.len))
    judge(l);
  state_free(h->st, code, size);
}

int64_t inline_carry_filter(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct loading l = {a->h, words[2], NULL};
  inline_lock(a->h);
  if (!a->h->off) inline_engine(a->h, step_judge, &l);
  inline_unlock(a->h);
  return inline_carry_plain(a, nr, words);
}
