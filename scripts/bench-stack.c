/*
** bench-stack.c - what a call costs inside of liblencase: levels of a stack, and many cages, on sim
**
**   bench-stack                 all of it, a table
**   bench-stack count WAY N     N calls of one way, for callgrind (scripts/bench-stack)
**   bench-stack ways            the names of the ways
**
** All ways are measured in turn, several rounds long, in one process; medians are shown.
*/

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "host/sim/sim.h"

#define NR SYS_lseek /* three integers, and nothing to copy */
#define ROUNDS 9
#define LEVELS 8
#define OWN_CALLS 2000 /* numbers without a signature */

static double now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void give_up(const char *what, const char *why) {
  fprintf(stderr, "bench-stack: %s: %s\n", what, why);
  exit(1);
}

/* {================================ handlers =============================== */

static int64_t work(uint64_t a, uint64_t b, uint64_t c) {
  return (int64_t)(a + b + c);
}
static int64_t (*volatile work_pointer)(uint64_t, uint64_t, uint64_t) = work;

static lencase_verdict answering(lencase_call *call, lencase_event event, void *ud) {
  (void)event, (void)ud;
  lencase_call_answer(call, work_pointer(lencase_call_word(call, 1), lencase_call_word(call, 2),
                                         lencase_call_word(call, 3)));
  return LENCASE_VERDICT_DONE;
}

static lencase_verdict letting(lencase_call *call, lencase_event event, void *ud) {
  (void)call, (void)event, (void)ud;
  return LENCASE_VERDICT_PASS;
}

static lencase_verdict calling(lencase_call *call, lencase_event event, void *ud) {
  (void)ud;
  if (event == LENCASE_EVENT_START && lencase_call_forward(call) == LENCASE_VERDICT_PARKED)
    return LENCASE_VERDICT_PARKED;
  lencase_call_answer(call, lencase_call_result(call));
  return LENCASE_VERDICT_DONE;
}

static const char lua_answering[] = "function(fd, offset, whence) return fd + offset + whence end";
static const char lua_letting[] = "function(fd, offset, whence) end";
static const char lua_calling[] =
    "function(fd, offset, whence) return lencase.sys.lseek(fd, offset, whence) end";

/* }========================================================================= */

/* {================================= worlds ================================ */

struct world {
  lencase_state *st;
  struct lencase_cage *cage;
  uint64_t embedded; /* the id of an embedder's cage */
};

static int64_t bottom(void *ud, struct lencase_cage *cage, int32_t nr,
                      const uint64_t words[LENCASE_MAXARGS]) {
  (void)ud, (void)cage, (void)nr;
  return work_pointer(words[0], words[1], words[2]);
}

static lencase_verdict embedded_bottom(void *ud, uint64_t cage, int32_t nr,
                                       const uint64_t words[LENCASE_MAXARGS], int64_t *result) {
  *result = bottom(ud, NULL, nr, words);
  (void)cage;
  return LENCASE_VERDICT_DONE;
}

static void say(void *ud, const char *line) {
  (void)ud;
  fprintf(stderr, "%s\n", line);
}

static void must(lencase_state *st, int status, const char *what) {
  if (status != LENCASE_OK) give_up(what, lencase_error(st));
}

static lencase_state *new_state(void) {
  lencase_config config = {.log = say};
  lencase_state *st = lencase_new(&config);
  if (st == NULL) give_up("lencase_new", "no memory");
  return st;
}

static struct lencase_cage *new_cage(lencase_state *st, struct lencase_cage *parent) {
  static const struct sim_config config = {.memory = 4096, .bottom = bottom};
  struct lencase_cage *cage = sim_cage_new(st, &config, parent);
  if (cage == NULL) give_up("sim_cage_new", lencase_error(st));
  return cage;
}

static void add_c(lencase_state *st, lencase_handler handler) {
  static lencase_entry entries[3];
  lencase_entry *e = &entries[handler == answering ? 0 : handler == letting ? 1 : 2];
  *e = (lencase_entry){.callnum = NR, .handler = handler};
  lencase_interface interface = {.name = "bench", .entries = e, .nentries = 1};
  must(st, lencase_grate_new(st, &interface, NULL), "lencase_grate_new");
}

static void add_lua(lencase_state *st, const char *handler) {
  char path[] = "/tmp/bench-stackXXXXXX", text[512];
  int fd = mkstemp(path);
  int n =
      snprintf(text, sizeof text,
               "local lencase = require 'lencase'\nreturn lencase.grate { lseek = %s }\n", handler);
  if (fd < 0 || write(fd, text, (size_t)n) != n || close(fd) != 0) give_up(path, "not written");
  int status = lencase_load(st, path, 0, NULL, "lua/?.lua;lua/?/init.lua", NULL, NULL);
  unlink(path);
  must(st, status, "lencase_load");
}

/* 'levels' grates of one kind, the topmost one asked first. */
static struct world stack(int levels, lencase_handler c, const char *lua) {
  struct world w = {.st = new_state()};
  for (int i = 0; i < levels; i++)
    if (c != NULL)
      add_c(w.st, c);
    else
      add_lua(w.st, lua);
  w.cage = new_cage(w.st, NULL);
  return w;
}

/* The same, with a cage of an embedder's. */
static struct world embedded(int levels, lencase_handler c, const char *lua) {
  static const lencase_cage_config config = {.carry_out = embedded_bottom};
  struct world w = stack(levels, c, lua);
  must(w.st, lencase_cage_new(w.st, &config, 0, &w.embedded), "lencase_cage_new");
  return w;
}

static void close_world(struct world *w) {
  if (w->cage != NULL) sim_cage_exit(w->cage, 0);
  lencase_close(w->st);
}

/* }========================================================================= */

/* {================================== ways ================================= */

static void calls(void *ud, long n) {
  struct world *w = ud;
  while (n-- > 0) {
    const uint64_t words[LENCASE_MAXARGS] = {3, (uint64_t)n, 1};
    int64_t result;
    if (sim_call(w->cage, NR, words, &result, NULL) != LENCASE_OK || result != 4 + n)
      give_up("a call", lencase_error(w->st));
  }
}

static void embedded_calls(void *ud, long n) {
  struct world *w = ud;
  while (n-- > 0) {
    const uint64_t words[LENCASE_MAXARGS] = {3, (uint64_t)n, 1};
    int64_t result;
    lencase_call *parked;
    if (lencase_cage_call(w->st, w->embedded, NR, words, &result, &parked) != LENCASE_OK ||
        result != 4 + n)
      give_up("a call", lencase_error(w->st));
  }
}

static void pointers(void *ud, long n) {
  (void)ud;
  while (n-- > 0)
    if (work_pointer(3, (uint64_t)n, 1) != 4 + n) give_up("work", "wrong");
}

static void pcalls(void *ud, long n) {
  lua_State *L = ud;
  while (n-- > 0) {
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 3);
    lua_pushinteger(L, n);
    lua_pushinteger(L, 1);
    if (lua_pcall(L, 3, 1, 0) != LUA_OK || lua_tointeger(L, -1) != 4 + n)
      give_up("lua_pcall", "wrong");
    lua_pop(L, 1);
  }
}

/* What any handler takes that may be parked and whose errors are caught: Lua's own part. */
static int body_over(lua_State *co, int status, lua_KContext ctx) {
  (void)co, (void)status, (void)ctx;
  return 1;
}

static int body(lua_State *co) {
  lua_rawgeti(co, LUA_REGISTRYINDEX, 1 + LUA_RIDX_LAST);
  lua_insert(co, 1);
  return body_over(co, lua_pcallk(co, 3, 1, 0, 0, body_over), 0);
}

static void resumes(void *ud, long n) {
  lua_State *L = ud, *co = lua_tothread(L, 2);
  int nres;
  while (n-- > 0) {
    lua_pushcfunction(co, body);
    lua_pushinteger(co, 3);
    lua_pushinteger(co, n);
    lua_pushinteger(co, 1);
    if (lua_resume(co, L, 3, &nres) != LUA_OK || lua_tointeger(co, -1) != 4 + n)
      give_up("lua_resume", "wrong");
    lua_settop(co, 0);
  }
}

static const struct way {
  const char *name;
  int levels;
  lencase_handler c;
  const char *lua;
  bool embedded;
} ways[] = {
    {"a bare function pointer", 0, NULL, NULL, false},
    {"a bare lua_pcall", 0, NULL, lua_answering, false},
    {"a bare lua_resume of a lua_pcallk", 0, answering, lua_answering, false},
    {"sim, no grate", 0, letting, NULL, false},
    {"C, answers", 1, answering, NULL, false},
    {"C, lets through", 1, letting, NULL, false},
    {"C, lets through, 8 levels", LEVELS, letting, NULL, false},
    {"C, makes the call", 1, calling, NULL, false},
    {"C, makes the call, 8 levels", LEVELS, calling, NULL, false},
    {"Lua, answers", 1, NULL, lua_answering, false},
    {"Lua, lets through", 1, NULL, lua_letting, false},
    {"Lua, lets through, 8 levels", LEVELS, NULL, lua_letting, false},
    {"Lua, makes the call", 1, NULL, lua_calling, false},
    {"Lua, makes the call, 8 levels", LEVELS, NULL, lua_calling, false},
    {"an embedder's cage, no grate", 0, letting, NULL, true},
    {"an embedder's cage, C answers", 1, answering, NULL, true},
    {"an embedder's cage, Lua answers", 1, NULL, lua_answering, true},
};
enum {
  POINTER,
  PCALL,
  RESUME,
  SIM,
  C_ANSWERS,
  C_LETS,
  C_LETS_8,
  C_CALLS,
  C_CALLS_8,
  L_ANSWERS,
  L_LETS,
  L_LETS_8,
  L_CALLS,
  L_CALLS_8,
  EMBEDDED,
  EMBEDDED_C,
  EMBEDDED_LUA,
  NWAYS
};

struct running {
  void (*run)(void *ud, long n);
  void *ud;
  struct world w;
};

static lua_State *bare_lua(const char *handler) {
  char text[256];
  snprintf(text, sizeof text, "return %s", handler);
  lua_State *L = luaL_newstate();
  if (L == NULL || luaL_dostring(L, text) != LUA_OK) give_up("Lua", "no function");
  lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_rawseti(L, LUA_REGISTRYINDEX, 1 + LUA_RIDX_LAST);
  return L;
}

static void way_open(const struct way *way, struct running *r) {
  if (way->levels == 0 && way->c != letting) {
    r->run = way->lua == NULL ? pointers : way->c == NULL ? pcalls : resumes;
    r->ud = way->lua != NULL ? bare_lua(way->lua) : NULL;
    return;
  }
  r->run = way->embedded ? embedded_calls : calls;
  r->w = (way->embedded ? embedded : stack)(way->levels, way->c, way->lua);
  r->ud = &r->w;
}

static void way_close(struct running *r) {
  if (r->run == calls || r->run == embedded_calls) close_world(&r->w);
  if (r->run == pcalls || r->run == resumes) lua_close(r->ud);
}

/* }========================================================================= */

/* {=============================== measurement ============================= */

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *figures) {
  qsort(figures, ROUNDS, sizeof *figures, by_size);
  return figures[ROUNDS / 2];
}

/* How many calls take about 20 ms. */
static long enough(struct running *r) {
  long n = 1000;
  for (;;) {
    double start = now();
    r->run(r->ud, n);
    double took = now() - start;
    if (took > 5e6) return (long)((double)n * 2e7 / took) + 1;
    n *= 4;
  }
}

static void measure(struct running *all, size_t n, double *medians) {
  static double figures[32][ROUNDS];
  long count[32];
  for (size_t i = 0; i < n; i++) count[i] = enough(&all[i]);
  for (int round = 0; round < ROUNDS; round++)
    for (size_t i = 0; i < n; i++) {
      double start = now();
      all[i].run(all[i].ud, count[i]);
      figures[i][round] = (now() - start) / (double)count[i];
    }
  for (size_t i = 0; i < n; i++) medians[i] = median(figures[i]);
}

static void show(const char *what, double ns) {
  printf("  %-44s %8.1f ns\n", what, ns);
}

static void show_level(const char *what, double one, double eight) {
  show(what, (eight - one) / (LEVELS - 1));
}

static void stacks(void) {
  struct running r[NWAYS] = {0};
  double m[NWAYS];
  for (int i = 0; i < NWAYS; i++) way_open(&ways[i], &r[i]);
  measure(r, NWAYS, m);
  printf("One call of a simulated cage:\n");
  for (int i = 0; i < NWAYS; i++) show(ways[i].name, m[i]);
  printf("\nEach further level of a stack:\n");
  show_level("C, lets through", m[C_LETS], m[C_LETS_8]);
  show_level("C, makes the call", m[C_CALLS], m[C_CALLS_8]);
  show_level("Lua, lets through", m[L_LETS], m[L_LETS_8]);
  show_level("Lua, makes the call", m[L_CALLS], m[L_CALLS_8]);
  printf("\nA handler through the core, without what sim takes:\n");
  show("C: more than the pointer", m[C_ANSWERS] - m[SIM]);
  printf("  %-44s %8.2f\n", "Lua: times the lua_pcall", (m[L_ANSWERS] - m[SIM]) / m[PCALL]);
  printf("  %-44s %8.2f\n", "Lua: times the lua_resume", (m[L_ANSWERS] - m[SIM]) / m[RESUME]);
  for (int i = 0; i < NWAYS; i++) way_close(&r[i]);
}

/* }========================================================================= */

/* {=============================== many cages ============================== */

#define MANY 10000
#define ROUTES 400

struct many {
  lencase_state *st;
  int ncages, nroutes;
  struct lencase_cage *cages[MANY];
};

static void many_open(struct many *m, int ncages, int nroutes, bool each_its_own) {
  static lencase_entry entries[ROUTES];
  for (int i = 0; i < ROUTES; i++)
    entries[i] = (lencase_entry){.callnum = OWN_CALLS + i, .handler = answering};
  lencase_interface interface = {.name = "many",
                                 .entries = entries,
                                 .nentries = (size_t)nroutes,
                                 .flags = each_its_own ? LENCASE_UNREGISTERED : 0};
  lencase_grate *g;
  m->st = new_state();
  m->ncages = ncages;
  m->nroutes = nroutes;
  must(m->st, lencase_grate_new(m->st, &interface, &g), "lencase_grate_new");
  for (int i = 0; i < ncages; i++) {
    m->cages[i] = new_cage(m->st, each_its_own || i == 0 ? NULL : m->cages[0]);
    if (!each_its_own) continue;
    must(m->st,
         lencase_register_handler(m->st, lencase_cage_id(m->cages[i]), LENCASE_MATCH_ALL,
                                  lencase_grate_id(g), 0),
         "lencase_register_handler");
  }
}

static void many_close(struct many *m) {
  for (int i = 0; i < m->ncages; i++) sim_cage_exit(m->cages[i], 0);
  lencase_close(m->st);
}

/* Cages and routes in an order that no cache guesses; the same one each time. */
static void many_calls(void *ud, long n) {
  struct many *m = ud;
  uint32_t at = 12345;
  while (n-- > 0) {
    const uint64_t words[LENCASE_MAXARGS] = {3, (uint64_t)n, 1};
    int64_t result;
    at = at * 1664525u + 1013904223u;
    struct lencase_cage *cage = m->cages[(at >> 8) % (uint32_t)m->ncages];
    int32_t nr = OWN_CALLS + (int32_t)((at >> 12) % (uint32_t)m->nroutes);
    if (sim_call(cage, nr, words, &result, NULL) != LENCASE_OK || result != 4 + n)
      give_up("a call", lencase_error(m->st));
  }
}

static void many_cages(void) {
  static const struct {
    const char *name;
    int ncages, nroutes;
    bool each_its_own;
  } kinds[] = {
      {"one cage, one route", 1, 1, false},
      {"one cage, 400 routes", 1, ROUTES, false},
      {"10,000 cages, one route each", MANY, 1, false},
      {"10,000 cages, 400 routes each, inherited", MANY, ROUTES, false},
      {"10,000 cages, 400 routes each, registered", MANY, ROUTES, true},
  };
  enum { NKINDS = sizeof kinds / sizeof kinds[0] };
  static struct many many[NKINDS];
  struct running r[NKINDS];
  double m[NKINDS];
  for (int i = 0; i < NKINDS; i++) {
    many_open(&many[i], kinds[i].ncages, kinds[i].nroutes, kinds[i].each_its_own);
    r[i] = (struct running){.run = many_calls, .ud = &many[i]};
  }
  measure(r, NKINDS, m);
  printf("\nA call that a C handler answers, of cages in random order:\n");
  for (int i = 0; i < NKINDS; i++) show(kinds[i].name, m[i]);
  for (int i = 0; i < NKINDS; i++) many_close(&many[i]);
}

/* }========================================================================= */

static int count(const char *name, long n) {
  for (int i = 0; i < NWAYS; i++) {
    struct running r = {0};
    if (strcmp(name, ways[i].name) != 0) continue;
    way_open(&ways[i], &r);
    r.run(r.ud, n);
    way_close(&r);
    return 0;
  }
  give_up(name, "no such way");
  return 1;
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "count") == 0) return count(argv[2], atol(argv[3]));
  if (argc == 2 && strcmp(argv[1], "ways") == 0) {
    for (int i = 0; i < NWAYS; i++) puts(ways[i].name);
    return 0;
  }
  stacks();
  many_cages();
  return 0;
}
