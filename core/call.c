/*
** call.c - the way of one call: route, marshal, handler, and down again
*/

#include "call.h"

#include "call_cross.h"
#include "call_debug.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ALIGNMENT = 16, PAGE = 4096 };

/* No program has memory from here on: TASK_SIZE_MAX of asm/page_64_types.h. */
#define USER_END UINT64_C(0x7ffffffff000)

struct call_pool {
  struct call *free, *all;
  size_t used; /* calls that are neither free nor freed */
};

/* Memory that ends at a page which cannot be read. */
struct call_edge {
  struct mem_seg seg;
  struct call_edge *next;
};

/* How often the calls of one handler had arguments that could not be copied. */
struct call_mistakes {
  const struct route_entry *entry;
  int32_t nr;
  uint64_t untold;
  struct call_mistakes *next;
};

/* {================================== pool ================================= */

int call_pool_open(struct lencase_state *st) {
  st->calls = state_new(st, sizeof *st->calls);
  return st->calls != NULL ? LENCASE_OK : LENCASE_ENOMEM;
}

void call_pool_close(struct lencase_state *st) {
  struct call_pool *pool = st->calls;
  if (pool == NULL) return;
  assert(pool->used == 0); /* the cages are gone, and took their calls with them */
  call_forget_mistakes(st);
  plan_list_free(st, &st->cross_plans);
  while (pool->all != NULL) {
    struct call *call = pool->all;
    pool->all = call->all;
    arena_free(&call->arena);
    state_free(st, call, sizeof *call);
  }
  state_free(st, pool, sizeof *pool);
  st->calls = NULL;
}

static struct call *pool_new(struct lencase_state *st) {
  struct call *call = state_new(st, sizeof *call);
  if (call == NULL) return NULL;
  call->arena.st = st;
  call->all = st->calls->all;
  st->calls->all = call;
  return call;
}

static struct call *pool_get(struct lencase_state *st) {
  struct call *call = st->calls->free;
  if (call == NULL) return pool_new(st);
  st->calls->free = call->next;
  assert(call->cage == NULL); /* see pool_put */
  return call;
}

static void pool_put(struct call *call) {
  struct call_pool *pool = call->cage->st->calls;
  assert(pool->used > 0);
  assert(call->window.size == 0 && call->scratch.size == 0 && call->edges == NULL);
  assert(call->cross == NULL && call->record == NULL);
  arena_reset(&call->arena);
  snapshots_clear(call->snaps);
  call->cage = NULL;
  call->next = pool->free;
  pool->free = call;
  pool->used--;
}

/* }========================================================================= */

/* {================================ messages =============================== */

const char *call_where(const struct call *call, char *buf, size_t size) {
  const struct plan *plan = call->answer != NULL ? call->answer->plan : NULL;
  char comm[64], number[64];
  const char *name = plan != NULL && plan->sig != &sig_unknown /* a prototype of an author's? */
                         ? plan->sig->name
                         : sig_name(call->nr, number, sizeof number);
  int n = call->cage->ops->comm(call->cage, comm, sizeof comm);
  snprintf(buf, size, "%s: cage %" PRId64 " (%.*s)", name, call->cage->pid, n > 0 ? n : 1,
           n > 0 ? comm : "?");
  return buf;
}

static const char *place_of(const struct route_answer *answer) {
  return answer->where != NULL ? answer->where : "grate";
}

/* The mistakes of the handler's calls; *first: there were none. NULL: no memory to count them. */
static struct call_mistakes *mistakes_of(const struct call *call, bool *first) {
  struct lencase_state *st = call->cage->st;
  struct call_mistakes *m = st->mistakes;
  while (m != NULL && (m->entry != call->entry || m->nr != call->nr)) m = m->next;
  *first = m == NULL;
  if (m == NULL) m = state_new(st, sizeof *m);
  if (!*first || m == NULL) return m;
  *m = (struct call_mistakes){.entry = call->entry, .nr = call->nr, .next = st->mistakes};
  st->mistakes = m;
  return m;
}

void call_mistake(const struct call *call, const char *name, uint64_t addr, uint64_t size,
                  const char *what, const char *answer) {
  if (call->cage->st->config.quiet == 0) call_refused(call, name, addr, size, what, answer);
}

void call_refused(const struct call *call, const char *name, uint64_t addr, uint64_t size,
                  const char *what, const char *answer) {
  bool first;
  struct call_mistakes *m = mistakes_of(call, &first);
  char where[160], bytes[40] = "";
  if (!first) {
    m->untold++;
    return;
  }
  if (size > 0) snprintf(bytes, sizeof bytes, " (%" PRIu64 " bytes)", size);
  state_log(call->cage->st, "%s: %s at 0x%" PRIx64 "%s %s: in %s; %s", place_of(call->answer), name,
            addr, bytes, what, call_where(call, where, sizeof where), answer);
}

void call_forget_mistakes(struct lencase_state *st) {
  while (st->mistakes != NULL) {
    struct call_mistakes *m = st->mistakes;
    st->mistakes = m->next;
    state_free(st, m, sizeof *m);
  }
}

void call_tell_mistakes(struct lencase_state *st) {
  struct call_mistakes *m;
  for (m = st->mistakes; m != NULL; m = m->next) {
    char name[64];
    if (m->untold > 0)
      state_log(st, "%s: %s: %" PRIu64 " more such calls were not reported",
                place_of(m->entry->answer), sig_name(m->nr, name, sizeof name), m->untold);
    m->untold = 0;
  }
}

/* The arguments could not be copied by lencase or the host: no handler is called. */
static enum verdict refuse(struct call *call, int status, const struct marshal_fault *fault) {
  bool full = status == LENCASE_ENOMEM;
  char what[STATE_ERROR_MAX + 32] = "could not be copied for lack of memory";
  call->result = full ? -ENOMEM : -EIO;
  if (status == LENCASE_EGONE) return VERDICT_DONE; /* no thread gets it */
  if (!full) snprintf(what, sizeof what, "could not be copied (%s)", lencase_error(call->cage->st));
  call_refused(call, call->vp->variant->params[fault->arg].name, call->words[fault->arg],
               fault->size, what, full ? "the caller gets ENOMEM" : "the caller gets EIO");
  return VERDICT_DONE;
}

/* }========================================================================= */

static struct call *root_of(struct call *call) {
  while (call->parent != NULL) call = call->parent;
  return call;
}

/* {================================ recording ============================== */

#define COLD __attribute__((noinline, cold)) /* without a recorder it costs nothing */

static inline bool is_watched(const struct call *call) {
  return __builtin_expect(call->cage->st->recorder != NULL, false);
}

static COLD void tell_asked(struct call *call, const struct snapshot *held) {
  struct call_recorder *r = call->cage->st->recorder;
  if (call->parent == NULL && !call->detached && call->record == NULL) r->asked(r, call, held);
}

/* A recording may have begun while the call was under way. */
static COLD void tell_down(struct call *call, int32_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct call *root = root_of(call);
  struct call_recorder *r = call->cage->st->recorder;
  if (root->record != NULL) r->down(r, root, call->cage, nr, words);
}

static COLD void tell_answered(struct call *call, int64_t result) {
  struct call *root = root_of(call);
  struct call_recorder *r = call->cage->st->recorder;
  if (root->record != NULL) r->answered(r, root, result);
}

static COLD void tell_over(struct call *root, bool dropped) {
  struct call_recorder *r = root->cage->st->recorder;
  if (r != NULL) r->over(r, root, dropped);
  root->record = NULL;
}

static inline void note_asked(struct call *call, const struct snapshot *held) {
  if (is_watched(call)) tell_asked(call, held);
}

static inline void note_down(struct call *call, int32_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  if (is_watched(call)) tell_down(call, nr, words);
}

static inline void note_answered(struct call *call, int64_t result) {
  if (is_watched(call)) tell_answered(call, result);
}

static inline void note_over(struct call *root, bool dropped) {
  if (__builtin_expect(root->record != NULL, false)) tell_over(root, dropped);
}

void call_failed(struct call *call, const char *message) {
  struct call *root = root_of(call);
  struct call_recorder *r = call->cage->st->recorder;
  if (r != NULL && root->record != NULL) r->failed(r, root, message);
}

/* }========================================================================= */

/* {=============================== for hosts =============================== */

static bool entry_takes(const struct route_entry *entry, int32_t nr,
                        const uint64_t words[LENCASE_MAXARGS]) {
  const struct route_answer *answer = entry->answer;
  int i;
  if (entry->family != nr && sig_fold_of(nr, entry->family, words) == NULL) return false;
  for (i = 0; i < answer->ntests; i++)
    if (sig_test_holds(&answer->tests[i], words)) return true;
  return answer->ntests == 0;
}

static const struct route_entry *wanted(const struct route_table *t, int32_t nr,
                                        const uint64_t words[LENCASE_MAXARGS]) {
  const struct route_link *link = t != NULL ? route_links(t, nr) : NULL;
  while (link != NULL && !(route_is_active(link) && entry_takes(link->entry, nr, words)))
    link = link->next;
  assert(link == NULL || link->entry->nr == nr);
  return link != NULL ? link->entry : NULL;
}

bool call_wanted(const struct lencase_cage *cage, int32_t nr,
                 const uint64_t words[LENCASE_MAXARGS]) {
  return wanted(cage->routes, nr, words) != NULL;
}

int32_t call_next_wanted(const struct lencase_cage *cage, int32_t after,
                         const struct route_link **links) {
  int32_t nr = route_next(cage->routes, after);
  *links = route_links(cage->routes, nr);
  return nr;
}

static COLD enum verdict enter_debugged(struct call *call, enum handler_event ev) {
  enum verdict verdict;
  debug_handler(call, ev);
  verdict = call->answer->handler(call, ev);
  if (ev != HANDLER_DROP) debug_verdict(call, verdict);
  return verdict;
}

static inline enum verdict enter_handler(struct call *call, enum handler_event ev) {
  assert(ev == HANDLER_DROP || !call->parked);
  assert(ev == HANDLER_DROP || root_of(call)->leaf == call);
  if (call_is_debugged(call->cage)) return enter_debugged(call, ev);
  return call->answer->handler(call, ev);
}

static enum verdict ask(struct call *call, const struct route_entry *entry) {
  const struct route_answer *answer = entry->answer;
  struct marshal_fault fault = {0};
  int status = LENCASE_OK;
  assert(!call->parked && call->downcalls == 0);
  call->entry = entry;
  call->answer = answer;
  call->frame = NULL;
  if (answer->handler == NULL) {
    note_asked(call, NULL);
    call->result = answer->constant;
    if (call_is_debugged(call->cage)) debug_verdict(call, VERDICT_DONE);
    return VERDICT_DONE;
  }
  if (answer->plan != NULL) {
    call->vp = plan_select(answer->plan, call->words, call->cage->narrow);
    status = marshal_in(call->cage, call->vp, call->words, call->snaps, call->snaps, &call->arena,
                        &fault);
  }
  note_asked(call, status == LENCASE_OK ? call->snaps : NULL);
  return status == LENCASE_OK ? enter_handler(call, HANDLER_START) : refuse(call, status, &fault);
}

/* Calls the handlers from 'entry' downwards until one does not let the call through. */
static enum verdict ask_downwards(struct call *call, const struct route_entry *entry) {
  enum verdict verdict = VERDICT_PASS;
  while (entry != NULL && verdict == VERDICT_PASS) {
    call->to = NULL;
    verdict = ask(call, entry);
    if (verdict == VERDICT_PASS)
      entry = wanted(call->to != NULL ? call->to : entry->below, call->nr, call->words);
  }
  return verdict;
}

/* Member by member: that takes a third of the time of a memset. */
static struct call *call_new(struct lencase_cage *cage, void *thread, int32_t nr,
                             const uint64_t words[LENCASE_MAXARGS]) {
  struct call *call = pool_get(cage->st);
  if (call == NULL) return NULL;
  assert(!cage->gone);
  cage->st->calls->used++;
  call->cage = cage;
  call->thread = thread;
  call->nr = nr;
  memcpy(call->words, words, sizeof call->words);
  call->entry = NULL;
  call->answer = NULL;
  call->vp = NULL;
  call->downcalls = call->depth = 0;
  call->result = call->down_result = 0;
  call->frame = NULL;
  call->window.size = call->scratch.size = 0;
  call->edges = NULL;
  call->limited.size = 0;
  call->cross = NULL;
  call->to = NULL;
  call->record = NULL;
  call->parked = call->detached = call->bare = false;
  call->parent = NULL;
  call->leaf = call;
  return call;
}

/* No grate is left: the program's call is carried out as it is. */
static enum verdict bare(struct call *call) {
  enum verdict verdict;
  call->bare = call->parked = true;
  note_down(call, call->nr, call->words);
  verdict = call->cage->ops->carry_out(call, call->nr, call->words, &call->result);
  if (verdict != VERDICT_DONE) return verdict;
  call->parked = false;
  note_answered(call, call->result);
  return verdict;
}

/* What the handlers of a program's call, from 'entry' (NULL: there is none) on, make of it. */
static inline enum verdict arrive(struct lencase_cage *cage, void *thread, int32_t nr,
                                  const uint64_t words[LENCASE_MAXARGS],
                                  const struct route_entry *entry, struct call **out) {
  enum verdict verdict;
  struct call *call;
  *out = NULL;
  if (entry == NULL)
    return cage->st->recorder != NULL ? call_unhandled(cage, thread, nr, words, out) : VERDICT_PASS;
  call = call_new(cage, thread, nr, words);
  if (call == NULL) return VERDICT_DONE; /* call.h: that is -ENOMEM */
  verdict = ask_downwards(call, entry);
  if (verdict == VERDICT_PASS && call->record != NULL) verdict = bare(call);
  if (verdict == VERDICT_PASS)
    call_end(call);
  else
    *out = call;
  return verdict;
}

enum verdict call_ask(struct lencase_cage *cage, void *thread, int32_t nr,
                      const uint64_t words[LENCASE_MAXARGS], const struct route_entry *entry,
                      struct call **out) {
  enum verdict verdict;
  if (call_is_debugged(cage)) debug_arrived(cage, nr, words);
  verdict = arrive(cage, thread, nr, words, entry, out);
  if (call_is_debugged(cage))
    debug_outcome(cage, nr, verdict, *out != NULL ? (*out)->result : -ENOMEM);
  return verdict;
}

enum verdict call_arrive(struct lencase_cage *cage, void *thread, int32_t nr,
                         const uint64_t words[LENCASE_MAXARGS], struct call **out) {
  const struct route_entry *entry = wanted(cage->routes, nr, words);
  if (call_is_debugged(cage)) return call_ask(cage, thread, nr, words, entry, out);
  return arrive(cage, thread, nr, words, entry, out);
}

/*
** The kernel was given as much of an argument as the limits allowed to copy, and used all of it. A
** short result is something that programs expect; no result at all is lencase's fault.
*/
static COLD void limit_reached(struct call *call) {
  const struct marshal_fault *at = &call->limited;
  assert(at->arg < call->vp->variant->nparams && call->copied < at->size);
  bool failed = call->down_result == -EFAULT;
  if (failed || (uint64_t)call->down_result == call->copied)
    call_refused(call, call->vp->variant->params[at->arg].name, at->addr, at->size,
                 "is more than the limits of lencase allow",
                 failed ? "the caller gets ENOMEM" : "the kernel has read as much as was copied");
  if (failed) call->down_result = -ENOMEM;
}

/* What the handler asked for has been carried out. */
static inline void take_down_result(struct call *call, int64_t result) {
  call->down_result = result;
  if (__builtin_expect(call->limited.size > 0, false)) limit_reached(call);
  if (call_is_debugged(call->cage) && !call->bare) debug_down_result(call);
}

/* A call that a handler made is over: its result is the handler's. */
static struct call *hand_up(struct call *call) {
  struct call *parent = call->parent;
  assert(parent != NULL && parent->parked && call->depth == parent->depth + 1);
  if (call->cross != NULL) cross_out(call);
  take_down_result(parent, call->result);
  parent->parked = false;
  root_of(parent)->leaf = parent;
  call_end(call);
  return parent;
}

enum verdict call_carried_out(struct call *call, int64_t result) {
  struct call *at = call->leaf;
  enum verdict verdict = VERDICT_DONE;
  assert(call->parent == NULL && at->parked); /* a host knows the program's calls alone */
  at->parked = false;
  take_down_result(at, result);
  at->result = at->down_result;
  note_answered(call, result);
  if (!at->bare) verdict = enter_handler(at, HANDLER_RESULT);
  while (verdict == VERDICT_DONE && at != call) {
    at = hand_up(at);
    verdict = enter_handler(at, HANDLER_RESULT);
  }
  if (call_is_debugged(call->cage)) debug_outcome(call->cage, call->nr, verdict, call->result);
  return verdict;
}

void call_end(struct call *call) {
  struct lencase_cage *held =
      call->parent != NULL && call->parent->cage != call->cage ? call->cage : NULL;
  note_over(call, false);
  call_down_over(call);
  if (call->cross != NULL) cross_end(call);
  pool_put(call);
  if (held != NULL) held->ops->hold(held, false);
}

void call_drop(struct call *call) {
  struct call *at = call->leaf, *parent;
  note_over(call, true);
  if (call_is_debugged(call->cage)) debug_dropped(call);
  for (; at != NULL; at = parent) {
    parent = at->parent;
    if (!at->bare && at->answer->handler != NULL) enter_handler(at, HANDLER_DROP);
    call_end(at);
  }
}

/* }========================================================================= */

/* {================================= cages ================================= */

struct lencase_cage *call_cage_new(struct lencase_state *st, const struct host_ops *ops, void *host,
                                   int64_t pid, struct lencase_cage *parent, bool shares_files) {
  struct lencase_cage *cage = cage_new(st, ops, host, pid, parent);
  if (cage == NULL) return NULL;
  cage->shares_files = shares_files;
  cage->routes = route_table_copy(parent != NULL ? parent->routes : st->first_routes);
  if (parent != NULL)
    state_debug(st, ROUTES, "cage %" PRId64 ": inherited the routes of cage %" PRId64, cage->pid,
                parent->pid);
  else
    state_debug(st, ROUTES, "cage %" PRId64 ": has the routes of first cages", cage->pid);
  cage_tell(cage, CAGE_NEW, 0);
  return cage;
}

void call_cage_exec(struct lencase_cage *cage) {
  cage_tell(cage, CAGE_EXEC, 0);
}

void call_cage_exit(struct lencase_cage *cage, int status) {
  assert(!cage->gone && cage_by_id(cage->st, cage->id) == cage);
  cage->gone = true;
  cage_tell(cage, CAGE_EXIT, status);
  route_table_free(cage->st, cage->routes);
  cage_free(cage);
}

void call_cages_close(struct lencase_state *st) {
  struct lencase_cage *cage;
  if (st->cages == NULL) return;
  while ((cage = cage_any(st)) != NULL) cage->ops->let_go(cage);
}

/* }========================================================================= */

/* {============================== for handlers ============================= */

static enum verdict carry_out(struct call *call, int32_t nr,
                              const uint64_t words[LENCASE_MAXARGS]) {
  enum verdict verdict = VERDICT_DONE;
  note_down(call, nr, words);
  if (call_is_threei(nr) || root_of(call)->detached) {
    call->down_result = call_is_threei(nr) ? call_threei(call->cage->st, nr, words) : -EOPNOTSUPP;
  } else {
    call->parked = true;
    verdict = call->cage->ops->carry_out(call, nr, words, &call->down_result);
    if (verdict == VERDICT_DONE) call->parked = false;
  }
  if (verdict == VERDICT_DONE) {
    note_answered(call, call->down_result);
    take_down_result(call, call->down_result);
  }
  return verdict;
}

static void too_deep(struct call *call) {
  char where[160];
  state_log(call->cage->st, "%s: %s: more than %d grates call one another; the caller gets ELOOP",
            place_of(call->answer), call_where(call, where, sizeof where),
            (int)call->cage->st->config.max_depth);
  call->down_result = -ELOOP;
}

/* The grates below have been asked: what the child's verdict is for its parent. */
static enum verdict child_verdict(struct call *child, enum verdict verdict) {
  if (verdict == VERDICT_PASS) {
    child->bare = true;
    verdict = carry_out(child, child->nr, child->words);
    child->result = child->down_result;
  }
  if (verdict == VERDICT_DONE) hand_up(child);
  return verdict;
}

/* NULL: call->down_result says why. */
static struct call *child_new(struct call *call, struct lencase_cage *cage, int32_t nr,
                              const uint64_t words[LENCASE_MAXARGS]) {
  struct call *child;
  if (call->depth + 1 >= call->cage->st->config.max_depth) {
    too_deep(call);
    return NULL;
  }
  child = call_new(cage, cage == call->cage ? call->thread : NULL, nr, words);
  if (child == NULL) {
    call->down_result = -ENOMEM;
    return NULL;
  }
  if (cage != call->cage) cage->ops->hold(cage, true);
  child->parent = call;
  child->depth = call->depth + 1;
  return child;
}

static enum verdict descend(struct call *child, const struct route_entry *entry) {
  assert(!child->parent->parked && root_of(child)->leaf == child->parent);
  child->parent->parked = true;
  root_of(child)->leaf = child;
  return child_verdict(child, ask_downwards(child, entry));
}

bool call_is_asked(const struct call *call, int32_t nr, const struct route_table *to) {
  return route_links(to != NULL ? to : call->entry->below, nr) != NULL;
}

enum verdict call_down_with(struct call *call, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
                            const struct snapshot *have, const struct route_table *to) {
  const struct route_entry *entry = wanted(to != NULL ? to : call->entry->below, nr, words);
  struct call *child;
  call->downcalls++;
  if (call_is_debugged(call->cage)) debug_down(call, call->cage, nr, words);
  if (entry == NULL) return carry_out(call, nr, words);
  child = child_new(call, call->cage, nr, words);
  if (child == NULL) return VERDICT_DONE;
  if (have != NULL) memcpy(child->snaps, have, sizeof child->snaps);
  return descend(child, entry);
}

enum verdict call_down_for(struct call *call, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
                           const struct route_table *to, struct lencase_cage *target,
                           struct lencase_cage *const *cages) {
  const struct route_entry *entry = wanted(to != NULL ? to : call->entry->below, nr, words);
  struct call *child;
  int64_t error;
  call->downcalls++;
  if (call_is_debugged(call->cage)) debug_down(call, target, nr, words);
  if (target != call->cage && target->ops->hold == NULL) {
    call->down_result = -EOPNOTSUPP;
    return VERDICT_DONE;
  }
  child = child_new(call, target, nr, words);
  if (child == NULL) return VERDICT_DONE;
  error = cross_in(child, entry, cages);
  if (error == 0) return descend(child, entry);
  call_end(child);
  take_down_result(call, error);
  return VERDICT_DONE;
}

enum verdict call_down(struct call *call, int32_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  return call_down_with(call, nr, words, NULL, NULL);
}

enum verdict call_unhandled(struct lencase_cage *cage, void *thread, int32_t nr,
                            const uint64_t words[LENCASE_MAXARGS], struct call **out) {
  struct call *call = call_new(cage, thread, nr, words);
  *out = call;
  if (call == NULL) return VERDICT_DONE;
  note_asked(call, NULL);
  return bare(call);
}

int64_t call_detached(struct lencase_cage *cage, const struct route_table *to, int32_t nr,
                      const uint64_t words[LENCASE_MAXARGS]) {
  const struct route_entry *entry = wanted(to, nr, words);
  struct call *call = entry != NULL ? call_new(cage, NULL, nr, words) : NULL;
  int64_t result = -ENOMEM;
  if (entry == NULL) return call_threei(cage->st, nr, words);
  if (call == NULL) return result;
  call->detached = true;
  if (ask_downwards(call, entry) == VERDICT_DONE)
    result = call->result;
  else
    result = call_threei(cage->st, nr, words);
  call_end(call);
  return result;
}

int call_window(struct call *call, size_t size) {
  struct mem_seg seg = {.size = size > 0 ? size : 1}; /* no bytes have an address, too */
  int status;
  assert(call->window.size == 0);
  status = call->cage->ops->window_get(call, &seg);
  if (status != LENCASE_OK) return status;
  assert(seg.size >= size);
#ifdef LENCASE_HARD
  memset(seg.data, 0xdb, seg.size); /* reading what was not put there shall be noticed */
#endif
  call->window = seg;
  return LENCASE_OK;
}

/* Memory for 'size' bytes that end where no access gets further. */
static int call_edge(struct call *call, size_t size, struct mem_seg *seg) {
  const struct host_ops *ops = call->cage->ops;
  struct call_edge *edge;
  int status;
  *seg = (struct mem_seg){.size = size};
  if (ops->edge_get == NULL) return LENCASE_ENOENT;
  edge = arena_new(&call->arena, sizeof *edge);
  if (edge == NULL) return state_fail(call->cage->st, LENCASE_ENOMEM, "no memory for a call");
  status = ops->edge_get(call, seg);
  if (status != LENCASE_OK) return status;
  *edge = (struct call_edge){*seg, call->edges};
  call->edges = edge;
  return LENCASE_OK;
}

/* Places bytes of an argument that is longer than what is held: *addr. LENCASE_ELIMIT: no room. */
static int place_cut(struct call *call, int arg, const struct snap_part *part, uint64_t *addr) {
  struct mem_seg seg;
  int status;
  *addr = part->addr;
  if (part->size == 0 && (part->addr == 0 || part->addr >= USER_END)) return LENCASE_OK;
  status = call_edge(call, part->size, &seg);
  if (status == LENCASE_ENOENT && part->cut == CUT_FAULT) return LENCASE_OK;
  if (status == LENCASE_EGONE) return status;
  if (status != LENCASE_OK) return LENCASE_ELIMIT;
  *addr = part->size > 0 ? seg.addr : seg.addr + part->addr % PAGE;
  if (part->size > 0) memcpy(seg.data, part->data, part->size);
  if (part->cut != CUT_LIMIT) return LENCASE_OK;
  call->limited = (struct marshal_fault){arg, part->addr, part->told};
  call->copied = part->size;
  return LENCASE_OK;
}

/* Truncated or unreadable parts are placed apart: 'moved' is the array without their bytes. */
static int place_cut_parts(struct call *call, int arg, const struct snapshot *snap,
                           struct snapshot *moved) {
  uint32_t i;
  int status = LENCASE_OK;
  *moved = *snap;
  moved->parts = arena_new(&call->arena, snap->nparts * sizeof *snap->parts);
  if (moved->parts == NULL)
    return state_fail(call->cage->st, LENCASE_ENOMEM, "no memory for an array");
  for (i = 0; i < snap->nparts && status == LENCASE_OK; i++) {
    const struct snap_part *part = &snap->parts[i];
    moved->parts[i] = *part;
    if (part->cut == CUT_NONE) continue;
    status = place_cut(call, arg, part, &moved->parts[i].addr);
    moved->parts[i].data = NULL;
  }
  return status;
}

static bool any_cut(const struct snapshot *snap) {
  uint32_t i;
  for (i = 0; i < snap->nparts; i++)
    if (snap->parts[i].cut != CUT_NONE) return true;
  return false;
}

/* Whether all that is to be laid out is in the caller's memory, at the very addresses. */
static bool all_callers(const struct sig_variant *v, const struct snapshot *const *laid,
                        const uint64_t words[LENCASE_MAXARGS]) {
  int i;
  for (i = 0; i < v->nparams; i++)
    if (laid[i] != NULL && (laid[i]->addr == 0 || laid[i]->addr != words[i])) return false;
  return true;
}

int call_place(struct call *call, const struct sig_variant *v, unsigned which,
               const struct snapshot snaps[LENCASE_MAXARGS], uint64_t words[LENCASE_MAXARGS]) {
  const struct snapshot *laid[LENCASE_MAXARGS];
  struct snapshot moved[LENCASE_MAXARGS];
  size_t size = 0, used = 0;
  bool any = false;
  int i, status = LENCASE_OK;
  for (i = 0; i < v->nparams && status == LENCASE_OK; i++) {
    const struct snapshot *s = &snaps[i];
    laid[i] = NULL;
    if (!(which >> i & 1)) continue;
    if (s->cut != CUT_NONE) {
      const struct snap_part whole = {s->addr, s->told, s->size, s->data, s->cut};
      status = place_cut(call, i, &whole, &words[i]);
      continue;
    }
    laid[i] = s;
    if (any_cut(s)) {
      laid[i] = &moved[i];
      status = place_cut_parts(call, i, s, &moved[i]);
    }
    any = true;
    size += marshal_placed_size(&v->params[i], laid[i]);
  }
  if (size == 0) size = ALIGNMENT; /* empty bytes have an address too */
  if (status == LENCASE_OK && any) status = call_window(call, size);
  if (status == LENCASE_ENOENT) return all_callers(v, laid, words) ? LENCASE_OK : LENCASE_ENOMEM;
  for (i = 0; i < v->nparams && status == LENCASE_OK; i++)
    if (laid[i] != NULL) words[i] = marshal_place(&v->params[i], laid[i], &call->window, &used);
  assert(status != LENCASE_OK || used <= size);
  return status;
}

int call_scratch(struct call *call, size_t size) {
  struct mem_seg seg = {.size = size > 0 ? size : 1};
  int status;
  assert(call->scratch.size == 0);
  status = call->cage->ops->scratch_get(call, &seg);
  if (status == LENCASE_OK) call->scratch = seg;
  return status;
}

void call_down_over(struct call *call) {
  if (call->window.size > 0) call->cage->ops->window_put(call, &call->window);
  if (call->scratch.size > 0) call->cage->ops->scratch_put(call, &call->scratch);
  while (call->edges != NULL) {
    call->cage->ops->edge_put(call, &call->edges->seg);
    call->edges = call->edges->next;
  }
  call->window.size = call->scratch.size = call->limited.size = 0;
}

/* }========================================================================= */
