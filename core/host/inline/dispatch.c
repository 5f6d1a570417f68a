/*
** dispatch.c - a call of the program arrives by SIGSYS, passes the grates, and is carried out
*/

#include "entry.h"

#include <assert.h>
#include <cpuid.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct inline_host *inline_the_host;

/* What a call has in hand while it enters and leaves the engine. */
struct visit {
  struct arrival *a;
  struct process *proc;
  struct flight *f;
  uint64_t id;
  int64_t result; /* of the downcall that was carried out; at the end the call's */
  enum verdict verdict;
};

/* {================================= flights =============================== */

void inline_flight_put(struct inline_host *h, struct flight *f) {
  struct flight **p = &h->flights;
  while (*p != f) p = &(*p)->next;
  assert(f->id != 0);
  *p = f->next;
  f->id = 0;
  f->next = h->idle;
  h->idle = f;
}

void inline_flight_drop(struct inline_host *h, struct flight *f) {
  call_drop(f->call);
  inline_flight_put(h, f);
}

/*
** A signal handler that came into a call has left by longjmp, and so the call has, too: the thread
** is further up the same stack now.
*/
static void drop_abandoned(struct inline_host *h, const struct visit *v) {
  struct flight *f = h->flights, *next;
  const struct inline_thread *t = v->a->thread;
  for (; f != NULL; f = next) {
    next = f->next;
    if (f->thread == t && f->proc == v->proc && f->sp < v->a->sp &&
        inline_is_high(t, f->sp) == inline_is_high(t, v->a->sp))
      inline_flight_drop(h, f);
  }
}

static struct flight *flight_new(const struct visit *v) {
  struct inline_host *h = v->a->h;
  struct flight *f;
  drop_abandoned(h, v);
  f = h->idle;
  if (f != NULL)
    h->idle = f->next;
  else
    f = state_new(h->st, sizeof *f);
  if (f == NULL) return NULL;
  *f = (struct flight){.proc = v->proc,
                       .id = ++h->last_id,
                       .thread = v->a->thread,
                       .sp = v->a->sp,
                       .next = h->flights};
  h->flights = f;
  return f;
}

/* }========================================================================= */

/* {================================ one call =============================== */

static void settle(struct visit *s) {
  struct flight *f = s->f;
  assert(f->id == s->id);
  assert(s->verdict != VERDICT_PARKED || f->call != NULL);
  if (s->verdict == VERDICT_PARKED) return;
  if (s->verdict == VERDICT_DONE) s->result = f->call != NULL ? f->call->result : -ENOMEM;
  if (f->call != NULL) call_end(f->call);
  inline_flight_put(s->a->h, f);
}

static void step_arrive(void *arg) {
  struct visit *s = arg;
  s->proc = inline_self(s->a->h);
  s->f = s->proc != NULL ? flight_new(s) : NULL;
  s->verdict = VERDICT_DONE;
  s->result = -ENOMEM;
  if (s->f == NULL) return;
  s->id = s->f->id;
  s->verdict = call_arrive(s->proc->cage, s->f, (int32_t)s->a->nr, s->a->words, &s->f->call);
  settle(s);
}

static void step_carried(void *arg) {
  struct visit *s = arg;
  s->verdict = call_carried_out(s->f->call, s->result);
  settle(s);
}

/* For rt_sigreturn, which does not return: nothing would end its flight. */
static void step_leave(void *arg) {
  struct visit *s = arg;
  inline_flight_drop(s->a->h, s->f);
}

/* With the lock held. A process that its grate has killed ends here, outside of the engine. */
static void take_step(struct visit *s, void (*fn)(void *)) {
  struct inline_host *h = s->a->h;
  const struct process *proc;
  inline_engine(h, fn, s);
  for (proc = h->processes; proc != NULL; proc = proc->next)
    if (proc->killed && proc->pid == (pid_t)inline_raw3(h, SYS_getpid, 0, 0, 0)) {
      uint64_t pid = (uint64_t)proc->pid;
      inline_process_end(h, SIGKILL);
      inline_raw3(h, SYS_kill, pid, SIGKILL, 0);
      return;
    }
}

/* The host is left for good: signals may be delivered from here on. */
static int64_t carry_last(struct arrival *a) {
  if (inline_is_tamed(a->nr)) return inline_carry(a, a->nr, a->words);
  a->done = true;
  return inline_await(a, a->nr, a->words);
}

static int64_t ask(struct arrival *a) {
  struct visit s = {.a = a};
  inline_lock(a->h);
  take_step(&s, step_arrive);
  while (s.verdict == VERDICT_PARKED) {
    uint64_t words[LENCASE_MAXARGS];
    int32_t nr = s.f->nr;
    memcpy(words, s.f->words, sizeof words);
    if (nr == SYS_rt_sigreturn) take_step(&s, step_leave);
    inline_unlock(a->h);
    s.result = inline_carry(a, nr, words);
    inline_lock(a->h);
    if (s.f->id != s.id)
      s.verdict = VERDICT_DONE; /* it was dropped meanwhile; in the child of a fork all are */
    if (s.verdict == VERDICT_PARKED) take_step(&s, step_carried);
  }
  inline_unlock(a->h);
  return s.verdict == VERDICT_PASS ? carry_last(a) : s.result;
}

int64_t inline_arrive(struct arrival *a) {
  const struct inline_host *h = a->h;
  bool wanted = a->nr >= INLINE_NRS ? h->far_wanted && a->nr <= INT32_MAX
                                    : a->nr >= 0 && (h->wanted[a->nr / 8] >> a->nr % 8 & 1);
  return wanted && !h->off ? ask(a) : carry_last(a);
}

/* }========================================================================= */

/* {================================= SIGSYS ================================ */

static struct arrival arrival_of(struct inline_host *h, ucontext_t *uc) {
  const greg_t *g = uc->uc_mcontext.gregs;
  return (struct arrival){.h = h,
                          .nr = (int32_t)g[REG_RAX],
                          .words = {(uint64_t)g[REG_RDI], (uint64_t)g[REG_RSI],
                                    (uint64_t)g[REG_RDX], (uint64_t)g[REG_R10], (uint64_t)g[REG_R8],
                                    (uint64_t)g[REG_R9]},
                          .mask = (inline_mask *)&uc->uc_sigmask,
                          .sp = (uint64_t)g[REG_RSP],
                          .uc = uc};
}

static const char *name_of(int64_t nr) {
  const struct signature *sig = sig_by_nr((int32_t)nr);
  return sig != NULL ? sig->name : "a call without a name";
}

/* A signal that comes before the host is entered came before the call. */
static int64_t arrive_dispatched(struct arrival *a) {
  int64_t result;
  a->thread = inline_thread_here();
  inline_thread_find(a->h, a->thread);
  inline_enter_host(a);
  inline_debug(a->h, "SIGSYS: %s at 0x%" PRIx64, name_of(a->nr),
               (uint64_t)a->uc->uc_mcontext.gregs[REG_RIP] - INLINE_SYSCALL);
  result = inline_arrive(a);
  if (!a->done) inline_sigreturn_opens(a);
  return result;
}

static void put_result(struct inline_host *h, ucontext_t *uc, int64_t result) {
  uc->uc_mcontext.gregs[REG_RAX] = result;
  if (h->place.code != 0) inline_patch_hot(h, (uintptr_t)uc->uc_mcontext.gregs[REG_RIP]);
}

/* The hard build patches none of the engine's call sites: each call raises SIGSYS. */
void inline_on_engine_call(ucontext_t *uc) {
  const struct arrival a = arrival_of(inline_the_host, uc);
  int64_t result = inline_raw(a.h, a.nr, a.words);
#ifdef LENCASE_HARD
  uc->uc_mcontext.gregs[REG_RAX] = result;
#else
  put_result(a.h, uc, result);
#endif
}

/* {------------------------------ protection keys -------------------------- */

/*
** The PKRU register (pkeys(7)) says which memory the thread may use. The kernel enters a signal
** handler with that of a new program, in which what a call points to may be out of reach; threads
** and processes that the call makes go on with it, and pkey_alloc changes it. XSAVE has put the
** thread's own into the signal frame, from which the end of the handler takes it.
*/
enum { XSAVE_SW_RESERVED = 464, XSAVE_PKRU = 1 << 9 }; /* asm/sigcontext.h; a component's bit */

static uint32_t read_pkru(void) {
  uint32_t pkru, zero;
  __asm__ volatile("rdpkru" : "=a"(pkru), "=d"(zero) : "c"(0));
  return pkru;
}

/* The frame's XSAVE area; NULL: there is none, or no protection keys. */
static struct _xstate *saved_state(const struct inline_host *h, const ucontext_t *uc) {
  uint8_t *frame = (uint8_t *)uc->uc_mcontext.fpregs;
  uint32_t magic;
  if (h->pkru_at == 0 || frame == NULL) return NULL;
  memcpy(&magic, frame + XSAVE_SW_RESERVED, sizeof magic);
  return magic == FP_XSTATE_MAGIC1 ? (struct _xstate *)frame : NULL; /* NOLINT */
}

static void take_pkru(const struct inline_host *h, const ucontext_t *uc) {
  const struct _xstate *x = saved_state(h, uc);
  uint32_t pkru = 0;
  if (x == NULL) return;
  if (x->xstate_hdr.xstate_bv & XSAVE_PKRU)
    memcpy(&pkru, (const uint8_t *)x + h->pkru_at, sizeof pkru);
  if (pkru != read_pkru()) __asm__ volatile("wrpkru" : : "a"(pkru), "c"(0), "d"(0) : "memory");
}

static void give_pkru(const struct inline_host *h, const ucontext_t *uc) {
  struct _xstate *x = saved_state(h, uc);
  uint32_t pkru;
  if (x == NULL) return;
  pkru = read_pkru();
  memcpy((uint8_t *)x + h->pkru_at, &pkru, sizeof pkru);
  x->xstate_hdr.xstate_bv |= XSAVE_PKRU;
}

/* Where a frame's XSAVE area has it; 0: the system has no protection keys. */
static uint32_t find_pkru(void) {
  enum { FEATURES = 7, OSPKE = 1 << 4, XSTATE = 0xd, PKRU = 9 };
  unsigned a, b, c, d;
  if (!__get_cpuid_count(FEATURES, 0, &a, &b, &c, &d) || (c & OSPKE) == 0) return 0;
  return __get_cpuid_count(XSTATE, PKRU, &a, &b, &c, &d) ? b : 0;
}

/* }-------------------------------------------------------------------------- */

void inline_on_call(int sig, siginfo_t *info, ucontext_t *uc) {
  struct arrival a = arrival_of(inline_the_host, uc);
  (void)sig;
  (void)info;
  take_pkru(a.h, uc);
  put_result(a.h, uc, arrive_dispatched(&a));
  give_pkru(a.h, uc);
}

int inline_install(struct inline_host *h) {
  struct kernel_action action = {.handler = (uintptr_t)inline_signal_entry,
                                 .flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | KERNEL_SA_RESTORER,
                                 .restorer = h->place.restorer};
  inline_mask sigsys = MASK_OF(SIGSYS);
  int64_t rc;
  h->pkru_at = find_pkru();
  rc = inline_raw5(h, SYS_rt_sigaction, SIGSYS, (uintptr_t)&action, (uintptr_t)&h->sigsys,
                   sizeof sigsys, 0);
  inline_raw5(h, SYS_rt_sigprocmask, SIG_UNBLOCK, (uintptr_t)&sigsys, 0, sizeof sigsys, 0);
  if (rc == 0) rc = inline_dispatch_on(h);
  if (rc == 0) return LENCASE_OK;
  return inline_no_dispatch(h->st, (int)-rc);
}

int inline_no_dispatch(struct lencase_state *st, int err) {
  return state_fail(
      st, LENCASE_EHOST,
      "prctl(PR_SET_SYSCALL_USER_DISPATCH): %s: nothing can run inline here, on a kernel before "
      "5.11 "
      "or behind a filter that refuses prctl; run the program traced, without --inline "
      "(lencase doctor says what can be used)",
      strerror(err));
}

/* }========================================================================= */

/* {============================ carrying out calls ========================= */

/*
** Outside of the host, so that signals interrupt the call as they would without us, and signal
** handlers that come into it can make calls.
*/
int64_t inline_carry_plain(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  int64_t result;
  result = inline_await(a, nr, words);
  inline_enter_host(a);
  return result;
}

/*
** To the program syscall user dispatch is off, and cannot be turned on. A lencase that starts a
** program inline asks whether it can be turned off.
*/
static int64_t carry_prctl(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  if ((uint32_t)words[0] == PR_SET_SYSCALL_USER_DISPATCH)
    return (words[1] | words[2] | words[3] | words[4]) == 0 ? 0 : -EINVAL;
  if ((uint32_t)words[0] == PR_SET_SECCOMP && words[1] == SECCOMP_MODE_FILTER)
    return inline_carry_filter(a, nr, words);
  return inline_carry_plain(a, nr, words);
}

static int64_t carry_seccomp(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  bool loads = (uint32_t)words[0] == SECCOMP_SET_MODE_FILTER;
  return (loads ? inline_carry_filter : inline_carry_plain)(a, nr, words);
}

/* It opens files without system calls that a grate could handle. */
static int64_t carry_io_uring(struct arrival *a, int64_t nr,
                              const uint64_t words[LENCASE_MAXARGS]) {
  return a->h->wants ? -ENOSYS : inline_carry_plain(a, nr, words);
}

static const struct {
  int16_t nr;
  inline_carrier carrier;
} carriers[] = {
    {SYS_prctl, carry_prctl},
    {SYS_seccomp, carry_seccomp},
    {SYS_io_uring_setup, carry_io_uring},
    {SYS_execve, inline_carry_exec},
    {SYS_execveat, inline_carry_exec},
};

static inline_carrier carrier_of(int64_t nr) {
  inline_carrier carrier;
  size_t i;
  for (i = 0; i < sizeof carriers / sizeof *carriers; i++)
    if (carriers[i].nr == nr) return carriers[i].carrier;
  carrier = inline_kept_carrier(nr);
  if (carrier == NULL) carrier = inline_tracer_carrier(nr);
  if (carrier == NULL) carrier = inline_signal_carrier(nr);
  return carrier != NULL ? carrier : inline_process_carrier(nr);
}

bool inline_is_tamed(int64_t nr) {
  return carrier_of(nr) != NULL;
}

int64_t inline_carry(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  inline_carrier carrier = carrier_of(nr);
  if (carrier == inline_carry_exec || inline_process_carrier(nr) != NULL) inline_close(a);
  return (carrier != NULL ? carrier : inline_carry_plain)(a, nr, words);
}

/* }========================================================================= */
