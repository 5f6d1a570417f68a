/*
** threei.c - 3i from C: grates of C handlers, register_handler and its like, make_call
*/

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim_fixture.h"

enum { AUTHORS = 2000 };

static const struct sim_config parking = {.memory = 1 << 20, .guard = true, .park = true};

/* {================================= grates ================================ */

/* What a grate of a test saw, and what it is to do. */
struct seen {
  unsigned starts, results, drops, births, exits;
  int wstatus;
  char bytes[64];
  size_t size;
  int64_t answer;
  uint64_t target, cages[LENCASE_MAXARGS]; /* of make_call */
  int32_t nr;
  uint64_t words[LENCASE_MAXARGS];
  lencase_state *st;
  uint64_t self;
  int registered; /* what registering in on_cage_exit gave */
};

static void see(struct seen *s, lencase_event ev) {
  if (ev == LENCASE_EVENT_START) s->starts++;
  if (ev == LENCASE_EVENT_RESULT) s->results++;
  if (ev == LENCASE_EVENT_DROP) s->drops++;
}

static lencase_verdict answers(lencase_call *call, lencase_event ev, void *ud) {
  struct seen *s = ud;
  see(s, ev);
  lencase_call_answer(call, s->answer);
  return LENCASE_VERDICT_DONE;
}

static lencase_verdict passes(lencase_call *call, lencase_event ev, void *ud) {
  (void)call;
  see(ud, ev);
  return LENCASE_VERDICT_PASS;
}

/* Hands the call on and adds 'answer' to its result. */
static lencase_verdict forwards(lencase_call *call, lencase_event ev, void *ud) {
  struct seen *s = ud;
  size_t size;
  see(s, ev);
  if (ev == LENCASE_EVENT_DROP) return LENCASE_VERDICT_DONE;
  if (ev == LENCASE_EVENT_START) {
    const void *bytes = lencase_call_bytes(call, 2, &size);
    if (bytes != NULL && size <= sizeof s->bytes) memcpy(s->bytes, bytes, s->size = size);
    *(int *)lencase_call_memory(call, sizeof(int)) = 7;
    if (lencase_call_forward(call) == LENCASE_VERDICT_PARKED) return LENCASE_VERDICT_PARKED;
  }
  ok(*(int *)lencase_call_memory(call, sizeof(int)) == 7, "memory of a call stays");
  lencase_call_answer(call, lencase_call_result(call) + s->answer);
  return LENCASE_VERDICT_DONE;
}

/* Answers with the result of make_call. */
static lencase_verdict makes_call(lencase_call *call, lencase_event ev, void *ud) {
  struct seen *s = ud;
  see(s, ev);
  if (ev == LENCASE_EVENT_START &&
      lencase_make_call(call, s->nr, s->words, s->target, s->cages) == LENCASE_VERDICT_PARKED)
    return LENCASE_VERDICT_PARKED;
  lencase_call_answer(call, lencase_call_result(call));
  return LENCASE_VERDICT_DONE;
}

static lencase_verdict says(lencase_call *call, lencase_event ev, void *ud) {
  (void)call, (void)ev;
  return *(lencase_verdict *)ud;
}

static void born(void *ud, lencase_cage *cage, lencase_cage *parent) {
  (void)cage, (void)parent;
  ((struct seen *)ud)->births++;
}

static void ended(void *ud, lencase_cage *cage, int wstatus) {
  struct seen *s = ud;
  s->exits++;
  s->wstatus = wstatus;
  s->registered = lencase_register_handler(s->st, lencase_cage_id(cage), AUTHORS, s->self, 0);
}

/* A grate with one entry: its id. */
static uint64_t one_handler(struct world *w, const lencase_entry *entry, void *ud, unsigned flags) {
  const lencase_interface i = {
      .name = "spec", .entries = entry, .nentries = 1, .ud = ud, .flags = flags};
  lencase_grate *g = NULL;
  need(lencase_grate_new(w->st, &i, &g) == LENCASE_OK);
  return lencase_grate_id(g);
}

/* }========================================================================= */

/* A state whose cages begin after its grates. */
static void open_state(struct world *w) {
  *w = (struct world){0};
  need(world_state(w, NULL));
}

static struct lencase_cage *cage(struct world *w) {
  static const struct sim_config plain = {.memory = 1 << 20, .guard = true};
  struct lencase_cage *c = sim_cage_new(w->st, &plain, NULL);
  need(c != NULL);
  return c;
}

static int64_t call_as(struct world *w, struct lencase_cage *c, int32_t nr, uint64_t a, uint64_t b,
                       uint64_t d) {
  struct world other = *w;
  other.cage = c;
  return world_call(&other, nr, a, b, d);
}

static void handlers(void) {
  static const lencase_entry write_entry = {SYS_write, LENCASE_COPY_ALL_ARGS, forwards, 0};
  static const lencase_entry constant = {SYS_getppid, 0, NULL, -EPERM};
  struct seen s = {.answer = 100};
  struct world w;
  int fds[2];
  char got[8] = "";
  open_state(&w);
  one_handler(&w, &write_entry, &s, 0);
  one_handler(&w, &constant, NULL, 0);
  w.cage = cage(&w);
  need(pipe(fds) == 0);
  is_int(world_call(&w, SYS_write, (uint64_t)fds[1], world_put(&w, "hello", 5), 5), 105,
         "a C handler hands on and changes the result");
  is_int(read(fds[0], got, sizeof got), 5, "it was made once");
  is_mem(got, "hello", 5, "with the caller's bytes");
  is_int(s.size, 5, "that the handler saw");
  is_mem(s.bytes, "hello", 5, "as they are");
  is_int(world_call(&w, SYS_getppid), -EPERM, "a constant is answered");
  close(fds[0]), close(fds[1]);
  world_close(&w);
}

static void parked(void) {
  static const lencase_entry entry = {SYS_getppid, 0, forwards, 0};
  struct seen s = {.answer = 0};
  struct world w;
  struct call *still = NULL;
  int64_t result = 0;
  open_state(&w);
  one_handler(&w, &entry, &s, 0);
  w.cage = sim_cage_new(w.st, &parking, NULL);
  need(w.cage != NULL);
  need(sim_call(w.cage, SYS_getppid, (uint64_t[6]){0}, &result, &still) == LENCASE_OK);
  ok(still != NULL && s.results == 0, "a call that waits is parked");
  need(sim_step(still, &result, &still) == LENCASE_OK);
  ok(still == NULL && s.results == 1, "its event comes");
  need(sim_call(w.cage, SYS_getppid, (uint64_t[6]){0}, &result, &still) == LENCASE_OK);
  sim_drop(still);
  is_int(s.drops, 1, "or the last one");
  world_close(&w);
}

static void verdicts(void) {
  static const lencase_entry entry = {SYS_getppid, 0, says, 0};
  lencase_verdict verdict = LENCASE_VERDICT_PARKED;
  struct world w;
  open_state(&w);
  one_handler(&w, &entry, &verdict, 0);
  w.cage = cage(&w);
  is_int(world_call(&w, SYS_getppid), -EIO, "a handler that parks nothing fails");
  ok(strstr(w.log, "nothing was parked") != NULL && strstr(w.log, "getppid") != NULL, "%s", w.log);
  verdict = LENCASE_VERDICT_PASS;
  ok(world_call(&w, SYS_getppid) == 0, "one that passes does not");
  world_close(&w);
}

static void misuse(void) {
  static const lencase_entry bad = {SYS_write, LENCASE_COPY(5), passes, 0};
  static const lencase_entry twice[] = {{AUTHORS, 0, passes, 0}, {AUTHORS, 0, passes, 0}};
  static const lencase_entry odd[] = {{SYS_write, LENCASE_P_SET_AT(4u, 1), passes, 0},
                                      {SYS_write, (lencase_policy)1 << 48, passes, 0}};
  lencase_interface i = {.name = "spec", .entries = &bad, .nentries = 1};
  struct world w;
  open_state(&w);
  is_int(lencase_grate_new(w.st, &i, NULL), LENCASE_EINVAL, "a policy for no argument");
  for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
    i.entries = &odd[k];
    is_int(lencase_grate_new(w.st, &i, NULL), LENCASE_EINVAL, "unknown bits of a policy");
    ok(strstr(lencase_error(w.st), "unknown bits") != NULL, "%s", lencase_error(w.st));
  }
  i.entries = twice;
  i.nentries = 2;
  is_int(lencase_grate_new(w.st, &i, NULL), LENCASE_EINVAL, "a call handled twice");
  i = (lencase_interface){.name = "spec", .flags = LENCASE_UNREGISTERED | 0x40u};
  is_int(lencase_grate_new(w.st, &i, NULL), LENCASE_EINVAL, "an unknown flag");
  is_str(lencase_error(w.st), "spec: invalid flags 0x40: use 0 or LENCASE_UNREGISTERED", "by name");
  i = (lencase_interface){.nentries = 1};
  is_int(lencase_grate_new(w.st, &i, NULL), LENCASE_EINVAL, "a number of no entries");
  w.cage = cage(&w);
  is_int(world_call(&w, AUTHORS), -ENOSYS, "nothing of it is in force");
  world_close(&w);
}

/* {============================ register_handler =========================== */

static void registering(void) {
  static const lencase_entry entry = {AUTHORS, 0, answers, 0};
  struct seen below = {.answer = 1}, above = {.answer = 2}, late = {.answer = 3};
  struct world w;
  open_state(&w);
  uint64_t b = one_handler(&w, &entry, &below, 0), a = one_handler(&w, &entry, &above, 0),
           l = one_handler(&w, &entry, &late, LENCASE_UNREGISTERED);
  struct lencase_cage *one = cage(&w), *two = cage(&w);
  uint64_t id = lencase_cage_id(one), other = lencase_cage_id(two);
  is_int(call_as(&w, one, AUTHORS, 0, 0, 0), 2, "the upper grate is asked first");
  is_int(lencase_register_handler(w.st, id, AUTHORS, a, 0), LENCASE_OK, "what is there already");
  is_int(lencase_register_handler(w.st, id, AUTHORS, l, 0), LENCASE_EEXIST, "another's route");
  ok(strstr(lencase_error(w.st), "replac") != NULL, "%s", lencase_error(w.st));
  is_int(lencase_register_handler(w.st, id, AUTHORS, l, LENCASE_REPLACE), LENCASE_OK, "asked for");
  is_int(call_as(&w, one, AUTHORS, 0, 0, 0), 3, "from now on it is asked");
  is_int(call_as(&w, two, AUTHORS, 0, 0, 0), 2, "by this cage alone");
  struct lencase_cage *child = sim_cage_new(w.st, NULL, one);
  need(child != NULL);
  is_int(lencase_register_handler(w.st, id, AUTHORS, l, LENCASE_DEREGISTER), LENCASE_OK, "off");
  is_int(call_as(&w, one, AUTHORS, 0, 0, 0), -ENOSYS, "no handler is left");
  is_int(call_as(&w, child, AUTHORS, 0, 0, 0), 3, "a child keeps what it was born with");
  is_int(lencase_register_handler(w.st, id, AUTHORS, l, LENCASE_DEREGISTER), LENCASE_ENOENT,
         "twice is an error");
  is_int(lencase_register_handler(w.st, id, LENCASE_MATCH_ALL, b, 0), LENCASE_OK, "all it has");
  is_int(call_as(&w, one, AUTHORS, 0, 0, 0), 1, "the lower one");
  is_int(lencase_register_handler(w.st, other, AUTHORS, a, LENCASE_DEREGISTER), LENCASE_OK, "off");
  is_int(call_as(&w, two, AUTHORS, 0, 0, 0), 1, "who is below takes over");
  is_int(lencase_register_handler(w.st, other, LENCASE_MATCH_ALL, 0, LENCASE_DEREGISTER),
         LENCASE_OK, "everybody off");
  is_int(call_as(&w, two, AUTHORS, 0, 0, 0), -ENOSYS, "no handler is left");
  is_int(lencase_register_handler(w.st, other, AUTHORS + 1, a, 0), LENCASE_ENOENT, "not handled");
  is_int(lencase_register_handler(w.st, other, AUTHORS, 77, 0), LENCASE_ENOENT, "no such grate");
  is_int(lencase_register_handler(w.st, 77, AUTHORS, a, 0), LENCASE_EGONE, "no such cage");
  is_int(lencase_register_handler(w.st, other, -7, a, 0), LENCASE_EINVAL, "no such callnum");
  is_int(lencase_register_handler(w.st, other, AUTHORS, a, 64), LENCASE_EINVAL, "no such flag");
  is_str(lencase_error(w.st),
         "register_handler: invalid flags 0x40: use 0 or LENCASE_REPLACE, or "
         "LENCASE_DEREGISTER alone",
         "it says which there are");
  is_int(lencase_register_handler(w.st, other, AUTHORS, a, LENCASE_REPLACE | LENCASE_DEREGISTER),
         LENCASE_EINVAL, "not both");
  sim_cage_exit(child, 0), sim_cage_exit(one, 0), sim_cage_exit(two, 0);
  world_close(&w);
}

static void copying_tables(void) {
  static const lencase_entry one_call = {AUTHORS, 0, answers, 0},
                             other_call = {AUTHORS + 1, 0, answers, 0};
  struct seen one = {.answer = 1}, two = {.answer = 2}, three = {.answer = 3};
  struct world w;
  open_state(&w);
  uint64_t g1 = one_handler(&w, &one_call, &one, LENCASE_UNREGISTERED),
           g2 = one_handler(&w, &one_call, &two, LENCASE_UNREGISTERED),
           g3 = one_handler(&w, &other_call, &three, LENCASE_UNREGISTERED);
  struct lencase_cage *from = cage(&w), *to = cage(&w);
  uint64_t f = lencase_cage_id(from), t = lencase_cage_id(to);
  need(lencase_register_handler(w.st, f, AUTHORS, g1, 0) == LENCASE_OK);
  need(lencase_register_handler(w.st, f, AUTHORS + 1, g3, 0) == LENCASE_OK);
  need(lencase_register_handler(w.st, t, AUTHORS, g2, 0) == LENCASE_OK);
  is_int(lencase_copy_handler_table_to_cage(w.st, t, f, 0), LENCASE_OK, "merge");
  is_int(call_as(&w, to, AUTHORS, 0, 0, 0), 2, "what it had it has");
  is_int(call_as(&w, to, AUTHORS + 1, 0, 0, 0), 3, "what was missing is there");
  is_int(lencase_copy_handler_table_to_cage(w.st, t, f, LENCASE_REPLACE), LENCASE_OK, "replace");
  is_int(call_as(&w, to, AUTHORS, 0, 0, 0), 1, "the source wins");
  need(lencase_register_handler(w.st, f, AUTHORS, 0, LENCASE_DEREGISTER) == LENCASE_OK);
  is_int(call_as(&w, to, AUTHORS, 0, 0, 0), 1, "a copy is a copy");
  is_int(lencase_copy_handler_table_to_cage(w.st, t, f, LENCASE_OVERWRITE), LENCASE_OK,
         "all of it");
  is_int(call_as(&w, to, AUTHORS, 0, 0, 0), -ENOSYS, "and nothing else");
  is_int(lencase_copy_handler_table_to_cage(w.st, t, t, 0), LENCASE_OK, "onto itself");
  is_int(lencase_copy_handler_table_to_cage(w.st, t, 77, 0), LENCASE_EGONE, "no such cage");
  is_int(lencase_copy_handler_table_to_cage(w.st, t, f, 64), LENCASE_EINVAL, "no such flag");
  ok(strstr(lencase_error(w.st), "flags 0x40") != NULL, "it says which: %s", lencase_error(w.st));
  sim_cage_exit(from, 0), sim_cage_exit(to, 0);
  world_close(&w);
}

static void no_memory(void) {
  static const lencase_entry entries[] = {{AUTHORS, 0, answers, 0}, {AUTHORS + 1, 0, answers, 0}};
  struct seen s = {.answer = 1};
  const lencase_interface i = {
      .entries = entries, .nentries = 2, .ud = &s, .flags = LENCASE_UNREGISTERED};
  struct world w;
  lencase_grate *g;
  size_t at;
  int status = LENCASE_ENOMEM;
  open_state(&w);
  need(lencase_grate_new(w.st, &i, &g) == LENCASE_OK);
  w.cage = cage(&w);
  for (at = 1; status == LENCASE_ENOMEM; at++) {
    w.mem.fail_at = w.mem.made + at;
    status = lencase_register_handler(w.st, w.cage->id, LENCASE_MATCH_ALL, lencase_grate_id(g), 0);
    w.mem.fail_at = 0;
    is_int(world_call(&w, AUTHORS + 1), status == LENCASE_OK ? 1 : -ENOSYS, "all or nothing");
  }
  is_int(status, LENCASE_OK, "with memory it works");
  ok(at > 3, "it failed at %zu places before", at - 2);
  world_close(&w);
}

/* }========================================================================= */

/* {================================== data ================================= */

static void copying_data(void) {
  lencase_config config = {.max_call_bytes = 4096};
  struct world w = {0};
  char got[16] = "";
  uint64_t n = 99;
  need(world_state(&w, &config));
  struct lencase_cage *one = cage(&w), *two = cage(&w);
  uint64_t src = sim_alloc(one, 8), dest = sim_alloc(two, 16), from = one->id, to = two->id;
  need(lencase_cage_write(one, src, "abc\0defg", 8) == LENCASE_OK);
  is_int(lencase_copy_data_between_cages(w.st, to, dest, from, src, 8, LENCASE_COPY_BYTES, &n),
         LENCASE_OK, "bytes");
  is_int(n, 8, "all of them");
  need(lencase_cage_read(two, dest, got, 8) == LENCASE_OK);
  is_mem(got, "abc\0defg", 8, "as they were");
  is_int(
      lencase_copy_data_between_cages(w.st, to, dest + 8, from, src, 16, LENCASE_COPY_STRING, &n),
      LENCASE_OK, "a string, though the bytes behind it are not there");
  is_int(n, 4, "with its NUL");
  is_int(lencase_copy_data_between_cages(w.st, to, dest, from, src + 4, 4, LENCASE_COPY_STRING, &n),
         LENCASE_EFAULT, "no NUL within its bounds");
  is_int(lencase_copy_data_between_cages(w.st, to, dest, from, src, 9, 0, NULL), LENCASE_EFAULT,
         "one byte too many");
  is_int(lencase_copy_data_between_cages(w.st, to, dest + 12, from, src, 8, 0, NULL),
         LENCASE_EFAULT, "no room for them");
  is_int(lencase_copy_data_between_cages(w.st, to, dest, from, src, 4097, 0, NULL), LENCASE_ELIMIT,
         "more than a call may copy");
  is_int(lencase_copy_data_between_cages(w.st, to, dest, 77, src, 8, 0, NULL), LENCASE_EGONE,
         "no such cage");
  is_int(lencase_copy_data_between_cages(w.st, to, dest, from, src, 8, 2, NULL), LENCASE_EINVAL,
         "no such type");
  is_int(lencase_copy_data_between_cages(w.st, to, dest, from, 0, 0, 0, &n), LENCASE_OK, "nothing");
  is_int(n, 0, "at all");
  is_int(lencase_copy_data_between_cages(w.st, to, dest + 2, to, dest, 8, 0, NULL), LENCASE_OK,
         "what overlaps");
  need(lencase_cage_read(two, dest, got, 10) == LENCASE_OK);
  is_mem(got, "ababc\0defg", 10, "is moved");
  sim_cage_exit(one, 0), sim_cage_exit(two, 0);
  world_close(&w);
}

/* }========================================================================= */

/* {============================ calls themselves =========================== */

static void interposing(void) {
  static const lencase_entry guard = {LENCASE_REGISTER_HANDLER, 0, answers, 0},
                             asks = {AUTHORS, 0, makes_call, 0},
                             plain = {AUTHORS + 1, 0, answers, 0};
  struct seen no = {.answer = -EPERM}, g = {.nr = LENCASE_REGISTER_HANDLER}, p = {.answer = 5};
  struct world w;
  open_state(&w);
  uint64_t target = one_handler(&w, &plain, &p, LENCASE_UNREGISTERED);
  uint64_t guardian = one_handler(&w, &guard, &no, 0);
  one_handler(&w, &asks, &g, 0);
  w.cage = cage(&w);
  uint64_t words[] = {w.cage->id, AUTHORS + 1, 0, target, 0, 0};
  memcpy(g.words, words, sizeof words);
  is_int(world_call(&w, AUTHORS), -EPERM, "a grate below stands in for register_handler");
  is_int(no.starts, 1, "it was asked");
  is_int(world_call(&w, AUTHORS + 1), -ENOSYS, "nothing was registered");
  is_int(world_call(&w, LENCASE_REGISTER_HANDLER, w.cage->id, AUTHORS + 1, 0, target), -EPERM,
         "it is asked for the program's too");
  need(lencase_register_handler(w.st, w.cage->id, LENCASE_REGISTER_HANDLER, guardian,
                                LENCASE_DEREGISTER) == LENCASE_OK);
  is_int(world_call(&w, LENCASE_REGISTER_HANDLER, w.cage->id, AUTHORS + 1, 0, target), -ENOSYS,
         "a program alone cannot make it");
  is_int(world_call(&w, AUTHORS), -EPERM, "a grate's table does not change with its cage's");
  is_int(w.log[0], 0, "nothing is logged");
  world_close(&w);
}

static void results_of_calls(void) {
  static const lencase_entry asks = {AUTHORS, 0, makes_call, 0};
  struct seen g = {0};
  struct world w;
  open_state(&w);
  uint64_t self = one_handler(&w, &asks, &g, 0);
  struct lencase_cage *other = cage(&w);
  w.cage = cage(&w);
  const struct {
    int32_t nr;
    uint64_t words[LENCASE_MAXARGS];
    int64_t want;
  } cases[] = {
      {1001, {w.cage->id, AUTHORS, 0, self}, 0},
      {1001, {other->id, AUTHORS, LENCASE_DEREGISTER, self}, 0},
      {1001, {other->id, AUTHORS, LENCASE_DEREGISTER, self}, -ENOENT},
      {1001, {77, AUTHORS, 0, self}, -ESRCH},
      {1001, {w.cage->id, AUTHORS, 64, self}, -EINVAL},
      {1003, {other->id, w.cage->id, LENCASE_OVERWRITE}, 0},
      {1002, {sim_alloc(other, 4), other->id, world_put(&w, "abc", 4), w.cage->id, 9, 1}, 4},
      {1002, {SIM_BASE - 1, other->id, world_put(&w, "abc", 4), w.cage->id, 4, 0}, -EFAULT},
      {1002, {0, other->id, 0, w.cage->id, UINT64_MAX, 0}, -E2BIG},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    g.nr = cases[i].nr;
    memcpy(g.words, cases[i].words, sizeof g.words);
    is_int(world_call(&w, AUTHORS), cases[i].want, "case %zu of call %d", i, g.nr);
  }
  sim_cage_exit(other, 0);
  world_close(&w);
}

/* }========================================================================= */

/* {================================ make_call ============================== */

/* The call that the handler of AUTHORS makes. */
static int64_t make(struct world *w, struct seen *s, uint64_t target, int32_t nr,
                    const uint64_t words[LENCASE_MAXARGS], uint64_t pointers_of) {
  s->nr = nr;
  s->target = target;
  memcpy(s->words, words, sizeof s->words);
  for (int i = 0; i < LENCASE_MAXARGS; i++) s->cages[i] = pointers_of;
  return world_call(w, AUTHORS);
}

static void bytes_of_others(void) {
  static const lencase_entry asks = {AUTHORS, 0, makes_call, 0};
  struct seen g = {0};
  struct world w;
  int fds[2];
  char got[16] = "";
  open_state(&w);
  one_handler(&w, &asks, &g, 0);
  struct lencase_cage *other = cage(&w);
  w.cage = cage(&w);
  need(pipe(fds) == 0);
  uint64_t in = (uint64_t)fds[0], out = (uint64_t)fds[1], id = other->id;
  uint64_t there = sim_alloc(other, 16);
  need(lencase_cage_write(other, there, "from the other", 15) == LENCASE_OK);
  is_int(make(&w, &g, 0, SYS_write, (uint64_t[6]){out, there, 15}, id), 15, "another's bytes");
  is_int(read(fds[0], got, sizeof got), 15, "are written");
  is_str(got, "from the other", "as they are");
  is_int(make(&w, &g, 0, SYS_write, (uint64_t[6]){out, SIM_BASE - 1, 15}, id), -EFAULT, "or not");
  need(write(fds[1], "answer", 7) == 7);
  is_int(make(&w, &g, 0, SYS_read, (uint64_t[6]){in, there, 16}, id), 7, "bytes for another");
  need(lencase_cage_read(other, there, got, 7) == LENCASE_OK);
  is_str(got, "answer", "arrive there");
  struct iovec iov[2] = {{(void *)(uintptr_t)there, 3}, {(void *)(uintptr_t)(there + 8), 8}};
  uint64_t runs = sim_alloc(other, sizeof iov);
  need(lencase_cage_write(other, runs, iov, sizeof iov) == LENCASE_OK);
  need(write(fds[1], "scatter", 8) == 8);
  is_int(make(&w, &g, 0, SYS_readv, (uint64_t[6]){in, runs, 2}, id), 8, "in runs");
  need(lencase_cage_read(other, there, got, 16) == LENCASE_OK);
  ok(memcmp(got, "sca", 3) == 0 && memcmp(got + 8, "tter", 5) == 0, "each where it belongs");
  is_int(make(&w, &g, 0, SYS_writev, (uint64_t[6]){out, runs, 2}, id), 11, "and out again");
  is_int(read(fds[0], got, sizeof got), 11, "all of it");
  ok(memcmp(got, "scatter", 8) == 0, "in order");
  is_int(make(&w, &g, 0, SYS_writev, (uint64_t[6]){out, runs, 0}, id), 0, "no runs at all");
  struct iovec huge[4]; /* their sum is 0 again */
  for (int i = 0; i < 4; i++) huge[i] = (struct iovec){(void *)(uintptr_t)there, (size_t)1 << 62};
  uint64_t all = sim_alloc(other, sizeof huge);
  need(lencase_cage_write(other, all, huge, sizeof huge) == LENCASE_OK);
  need(write(fds[1], "x", 1) == 1);
  is_int(make(&w, &g, 0, SYS_readv, (uint64_t[6]){in, all, 4}, id), -ENOMEM, "more than there is");
  is_int(read(fds[0], got, sizeof got), 1, "nothing was read");
  sim_cage_exit(other, 0);
  is_int(make(&w, &g, 0, SYS_write, (uint64_t[6]){out, there, 15}, id), -ESRCH, "it is gone");
  is_int(make(&w, &g, id, SYS_getppid, (uint64_t[6]){0}, 0), -ESRCH, "so nothing is done for it");
  close(fds[0]), close(fds[1]);
  world_close(&w);
}

/* An address whose room and size are told by memory of the same cage. */
static void addresses_of_others(void) {
  static const lencase_entry asks = {AUTHORS, 0, makes_call, 0};
  struct seen g = {0};
  struct world w;
  struct sockaddr_un un;
  socklen_t size = sizeof un;
  open_state(&w);
  one_handler(&w, &asks, &g, 0);
  struct lencase_cage *other = cage(&w);
  w.cage = cage(&w);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  need(fd >= 0);
  uint64_t addr = sim_alloc(other, sizeof un), len = sim_alloc(other, sizeof size);
  need(lencase_cage_write(other, len, &size, sizeof size) == LENCASE_OK);
  is_int(make(&w, &g, 0, SYS_getsockname, (uint64_t[6]){(uint64_t)fd, addr, len}, other->id), 0,
         "getsockname for another");
  need(lencase_cage_read(other, len, &size, sizeof size) == LENCASE_OK);
  is_int(size, sizeof(sa_family_t), "its size");
  need(lencase_cage_read(other, addr, &un, sizeof un.sun_family) == LENCASE_OK);
  is_int(un.sun_family, AF_UNIX, "and the address");
  close(fd);
  sim_cage_exit(other, 0);
  world_close(&w);
}

static void fork_of_another(void) {
  static const lencase_entry asks = {AUTHORS, 0, makes_call, 0}, forks = {SYS_fork, 0, forwards, 0};
  struct seen g = {0}, f = {0};
  struct world w;
  open_state(&w);
  one_handler(&w, &forks, &f, 0);
  one_handler(&w, &asks, &g, 0);
  struct lencase_cage *other = cage(&w);
  w.cage = cage(&w);
  int64_t mine = world_call(&w, SYS_fork);
  ok(mine > 0, "a fork that is handed on");
  is_int(cage_by_id(w.st, (uint64_t)mine)->parent, w.cage->id,
         "makes a child of the cage that forks");
  int64_t its = make(&w, &g, other->id, SYS_fork, (uint64_t[6]){0}, 0);
  ok(its > 0, "a fork for another cage");
  is_int(cage_by_id(w.st, (uint64_t)its)->parent, other->id, "makes a child of that one");
  is_int(f.starts, 2, "the grate below was asked for both");
  is_int(make(&w, &g, other->id, SYS_exit_group, (uint64_t[6]){3}, 0), 0, "it can be ended");
  ok(lencase_cage_by_id(w.st, (uint64_t)g.target) == NULL, "and is gone");
  sim_cage_exit(cage_by_id(w.st, (uint64_t)mine), 0);
  sim_cage_exit(cage_by_id(w.st, (uint64_t)its), 0);
  world_close(&w);
}

/* }========================================================================= */

/* {================================= exits ================================= */

static void exits(void) {
  static const lencase_entry entry = {AUTHORS, 0, passes, 0};
  struct seen s = {0};
  lencase_interface i = {.name = "spec",
                         .entries = &entry,
                         .nentries = 1,
                         .flags = LENCASE_UNREGISTERED,
                         .ud = &s,
                         .on_cage = born,
                         .on_cage_exit = ended};
  struct world w;
  lencase_grate *g = NULL;
  open_state(&w);
  s.st = w.st;
  need(lencase_grate_new(w.st, &i, &g) == LENCASE_OK);
  s.self = lencase_grate_id(g);
  w.cage = cage(&w);
  is_int(s.births, 1, "a cage is told of");
  is_int(world_call(&w, SYS_exit_group, 3), -1000 + LENCASE_EGONE, "it ends");
  ok(s.exits == 1 && WIFEXITED(s.wstatus) && WEXITSTATUS(s.wstatus) == 3,
     "a clean exit is told of");
  is_int(s.registered, LENCASE_EGONE, "an ending cage takes no route");
  w.cage = cage(&w);
  lencase_cage_kill(w.cage);
  is_int(lencase_register_handler(w.st, w.cage->id, AUTHORS, s.self, 0), LENCASE_EGONE,
         "nor one that was killed and is there still");
  is_int(world_call(&w, SYS_getppid), -1000 + LENCASE_EGONE, "it is gone");
  ok(s.exits == 2 && WIFSIGNALED(s.wstatus), "a harsh exit is told of");
  world_close(&w);
}

/* }========================================================================= */

int main(void) {
  handlers();
  parked();
  verdicts();
  misuse();
  registering();
  copying_tables();
  no_memory();
  copying_data();
  interposing();
  results_of_calls();
  bytes_of_others();
  addresses_of_others();
  fork_of_another();
  exits();
  return test_end();
}
