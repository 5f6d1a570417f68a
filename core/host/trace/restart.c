/*
** restart.c - calls that are made again, or go on, after what cut them short
**
** A downcall that a signal wakes ends with a result that only the kernel may
** see (-ERESTARTSYS and its like). The thread gets its own arguments back and the
** kernel decides: it restarts the call (the restart is silent, and the downcall
** is made again), continues it (restart_syscall), or sets up the frame of a
** signal handler (signal.c); when that comes back the call held is made again.
**
** A signal that is ignored wakes nothing natively; a traced thread it wakes, so that the tracer is
** told. So do our own stops. The kernel restarts most calls after them. Others end with a plain
** EINTR, as they would for a signal handler of the program's: these get -ERESTARTNOHAND for a
** result instead, by which the kernel makes them again unless such a handler runs.
**
** A stop signal ends those calls with EINTR natively: there that stays.
**
** A time-out that cannot be learned (a socket's, where pidfd_getfd is refused) leaves EINTR what it
** is: the call made again might never end.
**
** A call that is made again has its whole time-out anew. So it is cut short when its own is over,
** and gets the result that says so. The time-out of a call that was stopped at its entry begins
** when that is resumed. When another call began is not known: its time-out counts from when it was
** cut short first.
*/

#include "trace_int.h"

#include <errno.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

bool restart_wanted(int64_t result) {
  return result == -512 || result == -513 || result == RESTART_UNSEEN || result == RESTART_BLOCK;
}

/* {================================= the table ============================= */

/* Where the time-out is: in an argument, or with the socket that the first is. */
enum limit { LIMIT_NONE, LIMIT_MS, LIMIT_TIMESPEC, LIMIT_RECEIVE, LIMIT_SEND };

/* Calls that end with a plain EINTR, and their result when the time is over. */
struct wait {
  int32_t nr;
  uint8_t limit, arg;
  int16_t result;
};

static const struct wait waits[] = {
    {SYS_epoll_wait, LIMIT_MS, 3, 0},
    {SYS_epoll_pwait, LIMIT_MS, 3, 0},
    {SYS_epoll_pwait2, LIMIT_TIMESPEC, 3, 0},
    {SYS_rt_sigtimedwait, LIMIT_TIMESPEC, 2, -EAGAIN},
    {SYS_semop, LIMIT_NONE, 0, 0},
    {SYS_semtimedop, LIMIT_TIMESPEC, 3, -EAGAIN},
    {SYS_io_getevents, LIMIT_TIMESPEC, 4, 0},
    {SYS_io_pgetevents, LIMIT_TIMESPEC, 4, 0},
    {SYS_ppoll, LIMIT_TIMESPEC, 2, 0}, /* when it cannot write what is left of the time */
    {SYS_pselect6, LIMIT_TIMESPEC, 4, 0},
    {SYS_read, LIMIT_RECEIVE, 0, -EAGAIN}, /* from here on: sockets with a time-out */
    {SYS_readv, LIMIT_RECEIVE, 0, -EAGAIN},
    {SYS_recvfrom, LIMIT_RECEIVE, 0, -EAGAIN},
    {SYS_recvmsg, LIMIT_RECEIVE, 0, -EAGAIN},
    {SYS_recvmmsg, LIMIT_RECEIVE, 0, -EAGAIN},
    {SYS_accept, LIMIT_RECEIVE, 0, -EAGAIN},
    {SYS_accept4, LIMIT_RECEIVE, 0, -EAGAIN},
    {SYS_write, LIMIT_SEND, 0, -EAGAIN},
    {SYS_writev, LIMIT_SEND, 0, -EAGAIN},
    {SYS_sendto, LIMIT_SEND, 0, -EAGAIN},
    {SYS_sendmsg, LIMIT_SEND, 0, -EAGAIN},
    {SYS_sendmmsg, LIMIT_SEND, 0, -EAGAIN},
    {SYS_connect, LIMIT_SEND, 0, -EINPROGRESS},
};

/* What may not be made again: it closes the descriptor, or the kernel has used up its memory. */
static const int32_t once[] = {SYS_close, SYS_restart_syscall};

static const struct wait *wait_of(int32_t nr) {
  size_t i;
  for (i = 0; i < sizeof waits / sizeof *waits; i++)
    if (waits[i].nr == nr) return &waits[i];
  return NULL;
}

static bool is_once(int32_t nr) {
  size_t i;
  for (i = 0; i < sizeof once / sizeof *once; i++)
    if (once[i] == nr) return true;
  return false;
}

/* }========================================================================= */

/* {================================ time-outs ============================== */

#define SECOND INT64_C(1000000000)

/* In seconds: a time-out above it is none. */
#define FOR_EVER (INT64_MAX / 4 / SECOND)

#define UNKNOWN INT64_MIN

static int64_t now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * SECOND + ts.tv_nsec;
}

static int64_t length(int64_t s, int64_t ns) {
  return s < 0 || s > FOR_EVER || ns < 0 || ns >= SECOND ? -1 : s * SECOND + ns;
}

/* Of a socket, by the descriptor of a thread; an errno: EBADF, ENOTSOCK, or a refusal. */
static int socket_option(const struct thread *t, int fd, int option, void *value, socklen_t size) {
  int pidfd = pidfd_open(t->proc->tgid, 0), own = -1, err = 0;
  if (pidfd >= 0) own = pidfd_getfd(pidfd, fd, 0);
  if (own < 0 || getsockopt(own, SOL_SOCKET, option, value, &size) != 0) err = errno;
  if (pidfd >= 0) close(pidfd);
  if (own >= 0) close(own);
  return err;
}

static int64_t socket_length(const struct thread *t, int fd, int option) {
  struct timeval tv;
  int err = socket_option(t, fd, option, &tv, sizeof tv);
  if (err != 0) return err == EPERM || err == ENOSYS ? UNKNOWN : -1;
  return tv.tv_sec == 0 && tv.tv_usec == 0 ? -1 : length(tv.tv_sec, tv.tv_usec * 1000);
}

/* A connection that is not there in time may come about yet, but for those within the machine. */
static int64_t over_result(const struct thread *t, const struct wait *w, const uint64_t *words) {
  int domain;
  if (w->nr != SYS_connect ||
      socket_option(t, (int)words[0], SO_DOMAIN, &domain, sizeof domain) != 0)
    return w->result;
  return domain == AF_UNIX ? -EAGAIN : w->result;
}

/* In nanoseconds; -1: it has none; or UNKNOWN. */
static int64_t time_out(struct thread *t, const struct wait *w, const uint64_t *words) {
  int64_t ts[2];
  switch (w->limit) {
    case LIMIT_MS:
      return (int32_t)words[w->arg] < 0 ? -1 : (int32_t)words[w->arg] * (SECOND / 1000);
    case LIMIT_TIMESPEC:
      if (words[w->arg] == 0 || !thread_read(t, words[w->arg], ts, sizeof ts)) return -1;
      return length(ts[0], ts[1]);
    case LIMIT_RECEIVE: return socket_length(t, (int)words[0], SO_RCVTIMEO);
    case LIMIT_SEND: return socket_length(t, (int)words[0], SO_SNDTIMEO);
    default: return -1;
  }
}

static void set_due(struct thread *t, int64_t at) {
  assert(t->cut.due == 0 || t->run->ndue > 0);
  if (at != 0 && t->cut.due == 0) t->run->ndue++;
  if (at == 0 && t->cut.due != 0) t->run->ndue--;
  t->cut.due = at;
}

void restart_over(struct thread *t) {
  set_due(t, 0);
  t->cut.began = 0;
  t->cut.how = CUT_NOT;
}

void restart_stopped(struct thread *t) {
  if (t->cut.how == CUT_EINTR) t->cut.how = CUT_STOPPED;
}

void restart_begins(struct thread *t) {
  if (t->cut.began == 0 && wait_of(t->now.nr) != NULL) t->cut.began = now();
}

void restart_passes(struct thread *t) {
  restart_over(t);
  t->cut.regs = t->now.regs;
  restart_begins(t);
}

/* A call ended with EINTR: its result instead. 'began' 0: that was not seen. */
static int64_t instead(struct thread *t, int32_t nr, const uint64_t *words, int64_t began) {
  const struct wait *w = wait_of(nr);
  int64_t length_ns;
  if (w == NULL) return RESTART_UNSEEN;
  if (t->cut.due == 0) {
    length_ns = time_out(t, w, words);
    if (length_ns == UNKNOWN) return -EINTR;
    if (length_ns >= 0) set_due(t, (began != 0 ? began : now()) + length_ns);
  }
  return t->cut.due != 0 && now() >= t->cut.due ? over_result(t, w, words) : RESTART_UNSEEN;
}

/* }========================================================================= */

/* {============================== calls unseen ============================= */

/* A thread that stands behind a call, and what has cut it short does not show. */
void restart_short(struct thread *t) {
  struct cut *cut = &t->cut;
  struct user_regs_struct regs;
  uint64_t words[LENCASE_MAXARGS];
  bool eintr;
  if (!regs_get(t, &regs) || (int64_t)regs.orig_rax < 0) return;
  if (t->state == THREAD_RUN && !regs_same_call(&cut->regs, &regs)) restart_over(t);
  eintr = (int64_t)regs.rax == -EINTR && !is_once((int32_t)regs.orig_rax);
  if (eintr) {
    regs_words(&regs, words);
    regs.rax = (unsigned long long)instead(t, (int32_t)regs.orig_rax, words, cut->began);
    regs_set(t, &regs);
  }
  if (t->state != THREAD_RUN) return;
  if (!restart_wanted((int64_t)regs.rax) || (int64_t)regs.rax == RESTART_BLOCK) {
    restart_over(t);
    return;
  }
  if (eintr)
    cut->how = CUT_EINTR;
  else if (cut->how == CUT_NOT)
    cut->how = CUT_RESTARTED;
  cut->regs = regs;
  cut->asked = t->run->observer->had_asked(t, &regs);
}

/* EINTR is what the call ends with, whatever comes until the thread goes on. */
static void ends(struct thread *t) {
  struct user_regs_struct regs;
  if (t->state == THREAD_INTERRUPTED) restart_stopped(t);
  if (t->state != THREAD_RUN || !regs_get(t, &regs) || (int64_t)regs.orig_rax < 0) return;
  if ((int64_t)regs.rax != -EINTR && t->cut.how != CUT_EINTR) return;
  regs.rax = (unsigned long long)-EINTR;
  regs.orig_rax = (unsigned long long)-1;
  regs_set(t, &regs);
  restart_over(t);
}

/* Whether a call has just been cut short: else it does not matter what the signal does. */
static bool is_cut(const struct thread *t) {
  struct user_regs_struct regs;
  return regs_get(t, &regs) && (int64_t)regs.orig_rax >= 0 &&
         ((int64_t)regs.rax == -EINTR || restart_wanted((int64_t)regs.rax));
}

void restart_signal(struct thread *t, int sig) {
  enum signal_action action = is_cut(t) ? signal_action(t, sig) : SIGNAL_ENDS;
  if (action == SIGNAL_IGNORED)
    restart_short(t);
  else if (action == SIGNAL_STOPS)
    ends(t);
  else
    restart_over(t);
}

void restart_group(struct thread *t, int sig) {
  if (signal_stops(sig))
    ends(t);
  else if (t->stop == ASKED_CAME || is_cut(t))
    restart_short(t);
}

bool restart_made_again(struct thread *t) {
  const struct user_regs_struct *regs = &t->now.regs;
  uint64_t words[LENCASE_MAXARGS];
  if (t->cut.how == CUT_NOT) return false;
  t->cut.how = CUT_NOT;
  regs_words(regs, words);
  return regs_same_call(regs, &t->cut.regs) &&
         (t->cut.asked || !call_wanted(t->proc->cage, (int32_t)regs->orig_rax, words));
}

bool restart_awaits_stop(const struct thread *t) {
  return t->cut.how != CUT_NOT || t->cut.due != 0;
}

void restart_entry(struct thread *t, const struct __ptrace_syscall_info *info) {
  const struct user_regs_struct *regs = &t->cut.regs;
  if (!restart_awaits_stop(t)) return;
  if (info->entry.nr != regs->orig_rax || info->stack_pointer != regs->rsp) restart_over(t);
}

/*
** A stop that we asked for while the thread stood in another comes at the end of the call, and
** shows in nothing but that there is no signal to have ended it.
*/
void restart_exit(struct thread *t) {
  if (t->stop == ASKED_CAME || (is_cut(t) && !signal_waits(t)))
    restart_short(t);
  else if (restart_awaits_stop(t) && !is_cut(t))
    restart_over(t);
}

/* }========================================================================= */

/* {============================ calls in flight ============================ */

/* It waited, which only a stop or a signal ends so; or one is there. */
static bool was_woken(struct thread *t) {
  const struct flight *f = &t->now;
  const struct wait *w = wait_of(f->nr);
  if (w != NULL && (w->limit < LIMIT_RECEIVE || time_out(t, w, f->words) >= 0)) return true;
  return t->stop == ASKED_CAME || signal_waits(t);
}

int64_t restart_result(struct thread *t, int64_t result) {
  struct flight *f = &t->now;
  bool eintr = result == -EINTR && f->result_at == 0 && !is_once(f->nr) && was_woken(t);
  t->cut.how = eintr ? CUT_EINTR : CUT_NOT;
  if (eintr) {
    result = instead(t, f->nr, f->words, t->cut.began);
    f->changed = true; /* which rax does not show */
  }
  if (!restart_wanted(result)) restart_over(t);
  return result;
}

static void put_back(struct thread *t, int64_t result) {
  struct flight *f = &t->now;
  struct user_regs_struct regs = f->regs;
  regs.rax = (unsigned long long)result;
  if (f->changed || result == RESTART_UNSEEN) regs_set(t, &regs);
  f->changed = false;
}

/* A call made at the start of a signal handler is not restarted from there: it ends with EINTR. */
void restart_interrupted(struct trace_run *run, struct thread *t, int64_t result) {
  if (t->now.result_at != 0) {
    t->now.result = -EINTR;
    flight_act(run, t, call_carried_out(t->now.call, -EINTR));
    return;
  }
  put_back(t, result);
  if (t->now.call != NULL) {
    t->state = THREAD_INTERRUPTED;
  } else { /* the host's own change is made anew */
    flight_close(t, &t->now, false);
    restart_over(t);
  }
  thread_resume(t, 0);
}

/* Whether the thread stands at the entry of a call that is now.regs, or 'nr' in its place. */
static bool at_entry_of(const struct thread *t, const struct __ptrace_syscall_info *info,
                        uint64_t nr) {
  struct user_regs_struct regs = t->now.regs;
  regs.orig_rax = nr;
  return info->stack_pointer == regs.rsp && thread_at_regs(t, &regs);
}

/*
** restart_syscall goes on with the downcall where it was; else the call comes again, and the filter
** stops it; or the thread does something else. What is no entry is the end of a restart that a
** filter of its own has answered.
*/
void restart_entered(struct trace_run *run, struct thread *t, int status) {
  struct __ptrace_syscall_info info;
  bool entry = thread_entry(t, &info);
  bool again = entry && at_entry_of(t, &info, t->now.regs.orig_rax);
  if (again && t->now.by_entry) {
    restart_trapped(run, t, status);
  } else if (entry && !again && !at_entry_of(t, &info, SYS_restart_syscall)) {
    flight_close(t, &t->now, true);
    restart_over(t);
    t->state = THREAD_RUN;
    stop_syscall(run, t, status);
  } else {
    if (entry && !again) t->state = THREAD_DOWN;
    thread_resume(t, 0);
  }
}

static void down_again(struct trace_run *run, struct thread *t) {
  t->now.at = AT_ENTRY;
  flight_down(run, t);
}

/* Natively it is not made again: its program was stopped meanwhile. */
static void ended_stopped(struct trace_run *run, struct thread *t) {
  restart_over(t);
  t->state = THREAD_RUN;
  t->now.at = AT_ENTRY;
  t->now.result = -EINTR;
  flight_act(run, t, call_carried_out(t->now.call, -EINTR));
}

void restart_trapped(struct trace_run *run, struct thread *t, int status) {
  struct user_regs_struct regs;
  (void)status;
  assert(t->now.call != NULL);
  if (!regs_get(t, &regs)) return;
  if (regs_same_call(&t->now.regs, &regs)) {
    (t->cut.how == CUT_STOPPED ? ended_stopped : down_again)(run, t);
    return;
  }
  flight_close(t, &t->now, true);
  t->state = THREAD_RUN;
  t->now.regs = regs;
  arrive(run, t);
}

/* }========================================================================= */

/* {=============================== calls held ============================== */

bool restart_awaits_entry(const struct thread *t) {
  return t->nheld > 0 && t->held[t->nheld - 1].at == AT_RESTART && t->held[t->nheld - 1].by_entry;
}

bool restart_resumes_held(struct trace_run *run, struct thread *t) {
  struct flight *f = &t->held[t->nheld - 1];
  bool by_entry = t->now.by_entry;
  assert(t->now.call == NULL);
  if (f->at != AT_RESTART || !regs_same_call(&f->regs, &t->now.regs)) return false;
  t->now = *f;
  t->now.by_entry = by_entry;
  t->nheld--;
  down_again(run, t);
  return true;
}

/* }========================================================================= */

/* {================================= waking ================================ */

/* A tick that comes before waitpid is called ends no wait: there is another soon. */
enum { TICK = 5000000 };

void restart_open(struct trace_run *run) {
  struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGCHLD};
  ev._sigev_un._tid = gettid();
  run->next_due = INT64_MAX;
  run->ticks = timer_create(CLOCK_MONOTONIC, &ev, &run->ticker) == 0;
}

void restart_close(struct trace_run *run) {
  if (run->ticks) timer_delete(run->ticker);
  run->ticks = false;
}

/* When the time-out of a thread's call is over; when it is, the call is cut short. */
static int64_t expire(struct thread *t, int64_t at) {
  bool runs = t->stand == STAND_RUNS && !t->queue.told && t->stop != ASKED_COMING;
  if (!runs || t->cut.due == 0) return INT64_MAX;
  if (t->cut.due > at) return t->cut.due;
  thread_interrupt(t);
  return INT64_MAX;
}

static void tick(struct trace_run *run, int64_t at) {
  struct itimerspec when = {.it_interval = {0, TICK}};
  if (at == run->next_due) return;
  run->next_due = at;
  if (at != INT64_MAX) when.it_value = (struct timespec){at / SECOND, at % SECOND};
  timer_settime(run->ticker, TIMER_ABSTIME, &when, NULL);
}

void restart_wake(struct trace_run *run) {
  struct thread *t;
  int64_t next = INT64_MAX, at;
  if (!run->ticks || (run->ndue == 0 && run->next_due == INT64_MAX)) return;
  at = now();
  for (t = TAILQ_FIRST(&run->queue.threads); t != NULL; t = TAILQ_NEXT(t, queue.by_turn)) {
    int64_t due = expire(t, at);
    if (due < next) next = due;
  }
  tick(run, next);
}

/* }========================================================================= */
