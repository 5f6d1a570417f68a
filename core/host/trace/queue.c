/*
** queue.c - stops that have come, and are not dealt with yet
**
** waitpid(-1) finds the youngest tracee first, each time. If each stop were dealt with as it is
** found, a young thread that makes calls without end would be found again and again, and an old one
** never. So no thread has a second turn while another waits for one: when waitpid tells of a thread
** that has had its turn in this round, all stops that are there are collected before any thread is
** resumed, and the next round begins with them. They are not collected before every turn, since a
** look that finds nothing more goes past every thread. First comes the thread whose last turn is
** longest ago: waitpid does not tell which stopped first.
**
** A thread is in the queue once. A second status says that the stop before is over: it was killed
** in it, or it was the leader and another thread has executed a program, which has its number
** since.
*/

#include "trace_int.h"

#include <errno.h>
#include <sys/wait.h>

/* Stops at once that make it likely that there are as many more. */
enum { MANY = 8 };

void queue_open(struct queue *q) {
  TAILQ_INIT(&q->threads);
}

void queue_join(struct queue *q, struct thread *t) {
  TAILQ_INSERT_HEAD(&q->threads, t, queue.by_turn);
}

void queue_leave(struct queue *q, struct thread *t) {
  assert(!t->queue.told || q->waiting > 0);
  if (q->next == t) q->next = TAILQ_NEXT(t, queue.by_turn);
  TAILQ_REMOVE(&q->threads, t, queue.by_turn);
  q->waiting -= t->queue.told;
}

static void enter(struct queue *q, struct thread *t, int status) {
  q->waiting += !t->queue.told;
  t->queue.told = true;
  t->queue.status = status;
}

/* NULL: it is none of ours. */
static struct thread *told_of(struct trace_run *run, pid_t tid, int status) {
  struct thread *t = thread_find(run, tid);
  if (t != NULL || !WIFSTOPPED(status)) return t;
  t = thread_new(run, tid); /* before its parent's report */
  if (t != NULL) return t;
  state_log(run->st, "no memory for thread %d: killed", (int)tid);
  kill(tid, SIGKILL);
  return NULL;
}

/* The status of 'which' (-1: of the first that waitpid finds); false: there is none. */
static bool look(struct trace_run *run, pid_t which) {
  int status;
  pid_t tid = waitpid(which, &status, __WALL | __WNOTHREAD | WNOHANG);
  struct thread *t = tid > 0 ? told_of(run, tid, status) : NULL;
  if (t != NULL) enter(&run->queue, t, status);
  return tid > 0;
}

/* To ask for one thread costs the same however many there are, to find one goes past many. */
void queue_collect(struct trace_run *run) {
  const struct thread *t;
  unsigned found = 0;
  if (run->threads.n < 2) return; /* none is left that could have stopped */
  while (found < MANY && look(run, -1)) found++;
  for (t = TAILQ_FIRST(&run->queue.threads); found == MANY && t != NULL;
       t = TAILQ_NEXT(t, queue.by_turn))
    if (!t->queue.told) look(run, t->tid);
  while (found == MANY && look(run, -1))
    ; /* those that are not in the table yet */
  run->queue.next = TAILQ_FIRST(&run->queue.threads);
}

void queue_told(struct trace_run *run, pid_t tid, int status) {
  struct thread *t = told_of(run, tid, status);
  if (t == NULL) return;
  enter(&run->queue, t, status);
  run->queue.next = TAILQ_FIRST(&run->queue.threads);
}

void queue_add(struct trace_run *run, pid_t tid, int status) {
  struct queue *q = &run->queue;
  struct thread *t = told_of(run, tid, status);
  if (t == NULL) return;
  enter(q, t, status);
  q->next = t;
  if (t->queue.turn <= q->round) return; /* its first of this round */
  queue_collect(run);
  q->round = q->turn;
}

bool queue_take(struct thread *t, int *status) {
  if (!t->queue.told) return false;
  *status = t->queue.status;
  assert(t->run->queue.waiting > 0);
  t->queue.told = false;
  t->run->queue.waiting--;
  return true;
}

struct thread *queue_next(struct queue *q, int *status) {
  struct thread *t;
  bool renumbered; /* another thread may have its number since */
  int since;
  if (q->waiting == 0) return NULL;
  while (!q->next->queue.told) {
    q->next = TAILQ_NEXT(q->next, queue.by_turn);
    assert(q->next != NULL);
  }
  t = q->next;
  queue_take(t, status);
  queue_leave(q, t);
  TAILQ_INSERT_TAIL(&q->threads, t, queue.by_turn);
  t->queue.turn = ++q->turn;
  renumbered = t->proc != NULL && t->tid == t->proc->tgid && t->proc->threads->others != NULL;
  if (renumbered && waitpid(t->tid, &since, __WALL | WNOHANG) == t->tid) *status = since;
  return t;
}
