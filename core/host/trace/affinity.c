/*
** affinity.c - which CPU
**
** Waking a thread on another CPU costs ten times as much as on this one. A thread
** that alone has been stopping for a while is therefore bound to the CPU that
** we run on, and the two take turns there. All other threads stay free, so
** that no thread loses a CPU that it could compute on; the first stop of another
** thread ends it. The cage does not notice: its own questions about CPUs are
** trapped and answered with its own mask.
*/

#include "trace_int.h"

/* Stops in a row that begin it; and after which another CPU may be the better one. */
enum { PIN_AFTER = 4, PIN_UNTIL = 8192 };

static int set_mask(pid_t tid, const cpu_set_t *mask) {
  return sched_setaffinity(tid, sizeof *mask, mask);
}

static int get_mask(pid_t tid, cpu_set_t *mask) {
  return sched_getaffinity(tid, sizeof *mask, mask);
}

static void set_one(pid_t tid, int cpu) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  CPU_SET((size_t)cpu, &mask);
  set_mask(tid, &mask);
}

void affinity_open(struct affinity *a) {
  a->usable = get_mask(0, &a->home) == 0 && CPU_COUNT(&a->home) > 1;
}

void affinity_close(struct affinity *a) {
  affinity_release(a);
  a->usable = false;
}

/* The thread that is bound: one that executes a program is its process's first from then on. */
static pid_t bound(const struct affinity *a) {
  cpu_set_t mask;
  return get_mask(a->tid, &mask) == 0 ? a->tid : a->tgid;
}

/* Where another CPU has been chosen for the thread meanwhile, that holds. */
void affinity_release(struct affinity *a) {
  cpu_set_t mask;
  a->streak = 0;
  if (!a->pinned) return;
  if (get_mask(bound(a), &mask) == 0 && CPU_COUNT(&mask) == 1 && CPU_ISSET((size_t)a->cpu, &mask))
    set_mask(bound(a), &a->theirs);
  set_mask(0, &a->home);
  a->pinned = false;
}

static void affinity_pin(struct affinity *a, pid_t tgid) {
  int cpu = sched_getcpu();
  cpu_set_t theirs;
  if (cpu < 0 || get_mask(a->tid, &theirs) != 0) return;
  if (CPU_COUNT(&theirs) < 2 || !CPU_ISSET((size_t)cpu, &theirs)) return;
  a->theirs = theirs;
  a->cpu = cpu;
  a->tgid = tgid;
  set_one(0, a->cpu);
  set_one(a->tid, a->cpu);
  a->pinned = a->used = true;
}

void affinity_stop(struct affinity *a, const struct thread *t) {
  if (!a->usable) return;
  if (t->tid != a->tid || a->streak >= PIN_UNTIL) affinity_release(a);
  a->tid = t->tid;
  a->streak++;
  if (a->streak == PIN_AFTER && t->proc != NULL && !t->proc->keeps_mask)
    affinity_pin(a, t->proc->tgid);
}

/* Whether it may have been made by a thread that was bound then. */
static bool may_be_bound(const struct affinity *a, pid_t child) {
  cpu_set_t now;
  return a->used && get_mask(child, &now) == 0 && CPU_COUNT(&now) == 1;
}

/* The parent was bound when it began to make the child, and is perhaps no more. */
void affinity_child(const struct affinity *a, pid_t parent, pid_t child) {
  cpu_set_t theirs;
  if (!may_be_bound(a, child)) return;
  if (a->pinned && bound(a) == parent)
    theirs = a->theirs;
  else if (get_mask(parent, &theirs) != 0)
    return;
  set_mask(child, &theirs);
}

/* The bound thread's mask is known; a process that chose no CPUs has those that we have. */
void affinity_orphan(const struct affinity *a, const struct process *parent, pid_t child) {
  if (parent->keeps_mask || !may_be_bound(a, child)) return;
  set_mask(child, a->tgid == parent->tgid ? &a->theirs : &a->home);
}
