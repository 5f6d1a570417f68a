/*
** vdso.c - the clock without a system call
**
** The vDSO answers a few calls in the program itself, where no handler can. When
** an interface names one, a new program is not told that there is a vDSO (getauxval(3),
** AT_SYSINFO_EHDR), and makes the calls.
*/

#include "trace_int.h"

#include <elf.h>
#include <sys/syscall.h>

enum { STACK_WORDS = 1 << 20 }; /* more than execve(2) takes */

static const uint16_t answered[] = {SYS_clock_gettime, SYS_gettimeofday, SYS_time, SYS_getcpu,
                                    SYS_clock_getres};

static bool any_wanted(const struct trace_run *run) {
  size_t i;
  for (i = 0; i < sizeof answered / sizeof *answered; i++)
    if (run->kinds[answered[i]] & KIND_WANTED) return true;
  return false;
}

/* The address behind the next zero word from 'addr' on; 0: there is none. */
static uint64_t behind_null(struct thread *t, uint64_t addr) {
  uint64_t word = 1;
  int i;
  for (i = 0; word != 0 && i < STACK_WORDS; i++, addr += sizeof word)
    if (!thread_read(t, addr, &word, sizeof word)) return 0;
  return word == 0 ? addr : 0;
}

/* The stack of a new program: argc, argv, NULL, envp, NULL, auxiliary vector. */
static uint64_t auxiliary_vector(struct thread *t) {
  struct user_regs_struct regs;
  uint64_t argc, env;
  if (!regs_get(t, &regs) || !thread_read(t, regs.rsp, &argc, sizeof argc)) return 0;
  env = regs.rsp + (argc + 2) * sizeof argc;
  return behind_null(t, env);
}

/* Said once, and not of a program that has ended. */
static void tell_shown(struct trace_run *run, const struct thread *t) {
  struct user_regs_struct regs;
  if (run->told_clock || !regs_get(t, &regs)) return;
  run->told_clock = true;
  state_log(run->st,
            "cage %d executes a program that cannot be read: what it asks of the clock without a "
            "system call (clock_gettime, gettimeofday, time, getcpu, clock_getres) is not seen",
            (int)t->proc->tgid);
}

void vdso_hide(struct trace_run *run, struct thread *t) {
  const uint64_t ignore = AT_IGNORE;
  Elf64_auxv_t entry = {.a_type = AT_IGNORE};
  uint64_t at;
  if (!any_wanted(run)) return;
  at = auxiliary_vector(t);
  if (at == 0) tell_shown(run, t);
  while (at != 0 && entry.a_type != AT_NULL && thread_read(t, at, &entry, sizeof entry)) {
    if (entry.a_type == AT_SYSINFO_EHDR) thread_write(t, at, &ignore, sizeof ignore);
    at += sizeof entry;
  }
}
