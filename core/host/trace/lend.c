/*
** lend.c - memory that a program lends us, where no window could be mapped
**
** A program that was attached to gets no window, nor does one where the window's descriptor cannot
** be passed (no memfd, an outer listener), or that cannot be read, or whose own filters refuse what
** maps one. What replaces arguments then lies in memory of its own, mapped by an injected call when
** it is first needed: the program's threads could change it.
*/

#include "trace_int.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Untouched it costs address space alone; where that is scarce the second. */
static const uint64_t sizes[] = {64 << 20, 1 << 20};

/* Said once, and not of programs that are attached to: those never have a window. */
static void tell_lent(struct trace_run *run, const struct process *proc) {
  char why[WINDOW_LACK];
  if (run->attached || run->told_lent) return;
  run->told_lent = true;
  window_lack(run, proc->space, why);
  state_log(run->st,
            "cage %d has no window (%s): what replaces its arguments lies in memory of its "
            "own, which its threads could change",
            (int)proc->tgid, why);
}

/* Logged once a program, at each call in which something is replaced: LENCASE_ENOENT. */
static int not_lent(struct trace_run *run, const struct process *proc) {
  if (!proc->space->told_own)
    state_log(
        run->st,
        "cage %d lets no memory be mapped for its arguments (seccomp filters of its own): what "
        "is copied is passed where it lies, which its threads could change, and nothing can "
        "be replaced",
        (int)proc->tgid);
  proc->space->told_own = true;
  return state_fail(run->st, LENCASE_ENOENT,
                    "nothing can be replaced in cage %d: it has no window (seccomp filters of its "
                    "own leave no room for one)",
                    (int)proc->tgid);
}

int lend_memory(struct trace_run *run, struct thread *t) {
  uint64_t words[LENCASE_MAXARGS] = {
      0, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, UINT64_MAX, 0};
  struct space *space = t->proc->space;
  int64_t at = -ENOMEM;
  size_t i;
  if (space->scratch != 0) return LENCASE_OK;
  words[1] = sizes[0];
  if (!foreign_allows(t, t->now.site, SYS_mmap, words)) return not_lent(run, t->proc);
  tell_lent(run, t->proc);
  for (i = 0; i < sizeof sizes / sizeof *sizes && at == -ENOMEM; i++) {
    words[1] = sizes[i];
    at = steps_inject(run, t, t->now.site, SYS_mmap, words);
  }
  if (at < 0 && at >= -4095)
    return state_fail(run->st, LENCASE_ENOMEM, "process %d has no memory to lend: %s",
                      (int)t->proc->tgid, strerror((int)-at));
  space->scratch = (uint64_t)at;
  space->scratch_size = words[1];
  space->site = t->now.site;
  state_debug(run->st, WINDOW, "%d: %zu bytes are lent at 0x%" PRIx64, (int)t->proc->tgid,
              space->scratch_size, space->scratch);
  return LENCASE_OK;
}

int lend_take(struct trace_run *run, struct thread *t, struct mem_seg *seg) {
  struct space *space = t->proc->space;
  size_t offset;
  int rc = lend_memory(run, t);
  if (rc != LENCASE_OK) return rc;
  tell_lent(run, t->proc); /* where it had the memory already */
  if (!slots_get(run->st, &space->scratch_slots, seg->size, space->scratch_size, &offset))
    return state_fail(run->st, LENCASE_ENOMEM,
                      "the memory lent by process %d has no %zu bytes left", (int)t->proc->tgid,
                      seg->size);
  seg->addr = space->scratch + offset;
  seg->data = state_new(run->st, seg->size + 1); /* never nothing */
  state_debug(run->st, WINDOW, "%d: %zu bytes at 0x%" PRIx64 ", lent", (int)t->proc->tgid,
              seg->size, seg->addr);
  if (seg->data != NULL) return LENCASE_OK;
  slots_put(&space->scratch_slots, offset);
  return state_fail(run->st, LENCASE_ENOMEM, "no memory for an argument");
}

void lend_give(struct trace_run *run, struct space *space, const struct mem_seg *seg) {
  state_debug(run->st, WINDOW, "%d: %zu bytes at 0x%" PRIx64 " are free again", (int)space->pid,
              seg->size, seg->addr);
  slots_put(&space->scratch_slots, seg->addr - space->scratch);
  state_free(run->st, seg->data, seg->size + 1);
}

bool lend_flush(const struct call *call) {
  for (; call != NULL; call = call->parent)
    if (call->window.size > 0 && trace_ops.write(call->cage, &call->window) != LENCASE_OK)
      return false;
  return true;
}
