/*
** grate_alloc.c - a call in steady state allocates nothing, Lua's own memory included
**
** The allocator counts what the core and the grate's Lua ask for. Growing and shrinking are
** counted in 'made', freeing shows in 'blocks': when neither moves, nothing was asked for and
** nothing was given back, so that the collector has no work either.
*/

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "grate_fixture.h"

#ifdef LENCASE_HARD
enum { KEEPS = 0 }; /* that build keeps no memory, so that a late reader is noticed */
#else
enum { KEEPS = 1 };
#endif

enum { WARM = 50, CALLS = 500, ROOM = 64 * 1024 };

/* {================================ the bottom ============================= */

static void fill(struct lencase_cage *cage, uint64_t addr, size_t size) {
  static unsigned char bytes[ROOM];
  struct mem_seg seg = {addr, bytes, size};
  need(size <= ROOM);
  memset(bytes, 'x', size);
  need(cage->ops->write(cage, &seg) == LENCASE_OK);
}

static int64_t filled(struct lencase_cage *cage, uint64_t addr, uint64_t size) {
  fill(cage, addr, (size_t)size);
  return (int64_t)size;
}

/* Every call goes well. */
static int64_t ask_bottom(void *ud, struct lencase_cage *cage, int32_t nr,
                          const uint64_t words[LENCASE_MAXARGS]) {
  (void)ud;
  switch (nr) {
    case SYS_write: return (int64_t)words[2];
    case SYS_read: return filled(cage, words[1], words[2]);
    case SYS_fstat: fill(cage, words[1], sizeof(struct stat)); return 0;
    case SYS_open: return 3;
    default: return 7;
  }
}

/* }========================================================================= */

/* {=============================== one handler ============================= */

/* A handler, and the one call that is made again and again. */
struct steady {
  const char *name;
  const char *script;
  int32_t nr;
  const char *path; /* the first argument: a path; NULL: descriptor 1 */
  size_t object;    /* the second: an object of so many bytes; 0: none */
  uint64_t third;
  int64_t result;
};

static const struct steady steadies[] = {
    {"write, its pointer passed through, made by the handler",
     "local n = 0 return lencase.grate { write = { lencase.PASS_THROUGH_POINTERS, "
     "function(fd, buf, count) n = n + count return sys.write(fd, nil, count) end } }",
     SYS_write, NULL, 40000, 40000, 40000},
    {"write, copied, its buffer a view",
     "local n = 0 return lencase.grate { write = { lencase.COPY_ALL_ARGS, "
     "function(fd, buf, count) n = n + #buf + buf[1] + buf:byte(-1) return #buf end } }",
     SYS_write, NULL, 40000, 40000, 40000},
    {"write, copied and handed on",
     "return lencase.grate { write = function(fd, buf, count) return sys.write(fd, buf, count) "
     "end }",
     SYS_write, NULL, 40000, 40000, 40000},
    {"read with what it brought as a view",
     "local n = 0 return lencase.grate { read = function(fd, _, count) "
     "local got, errno, buf = sys.read(fd, nil, count) n = n + #buf + buf[got] "
     "return got, errno, buf end }",
     SYS_read, NULL, 5000, 5000, 5000},
    {"read, changed by the handler in place",
     "return lencase.grate { read = function(fd, _, count) "
     "local got, errno, buf = sys.read(fd, nil, count) buf[1] = 65 return got, errno, buf end }",
     SYS_read, NULL, 5000, 5000, 5000},
    {"a handler that returns nothing", "return lencase.grate { write = function() end }", SYS_write,
     NULL, 40, 40, 40},
    {"fstat with a struct and a struct in it",
     "local n = 0 return lencase.grate { fstat = function(fd) local r, e, st = sys.fstat(fd) "
     "n = n ~ st.st_size ~ st.st_atim.tv_sec return r, e, st end }",
     SYS_fstat, NULL, sizeof(struct stat), 0, 0},
    {"a handler's own call, into scratch memory",
     "local n = 0 return lencase.grate { write = { 'pass all', function() "
     "local r, e, st = sys.fstat(1) n = n ~ st.st_size return sys.write() end } }",
     SYS_write, NULL, 40, 40, 40},
    {"a constant", "return lencase.grate { write = fail 'EPERM' }", SYS_write, NULL, 40, 40, -1},
    {"a failure of the handler's",
     "return lencase.grate { write = function() return fail 'EPERM' "
     "end }",
     SYS_write, NULL, 40, 40, -1},
    {"an fdtable",
     "local t = lencase.fdtable() return lencase.grate { "
     "write = { 'pass buf', function(fd, _, count) t[fd] = (t[fd] or 0) + count "
     "return sys.write(fd, nil, count) end } }",
     SYS_write, NULL, 40, 40, 40},
    {"a path that the script keeps: Lua has that short string already",
     "local seen = {} return lencase.grate { open = function(path, flags, mode) "
     "seen[path] = (seen[path] or 0) + 1 return sys.open(path, flags, mode) end }",
     SYS_open, "/a/short/path", 0, 0, 3},
};

static void words_of(struct world *w, const struct steady *s, uint64_t words[LENCASE_MAXARGS]) {
  static const char zeros[ROOM];
  memset(words, 0, LENCASE_MAXARGS * sizeof *words);
  words[0] = s->path != NULL ? world_string(w, s->path) : 1;
  if (s->object > 0) words[1] = world_put(w, zeros, s->object);
  words[2] = s->third;
}

static bool many(struct world *w, const struct steady *s, const uint64_t words[LENCASE_MAXARGS],
                 unsigned n) {
  bool good = true;
  while (good && n-- > 0) good = world_words(w, s->nr, words) == s->result;
  return good;
}

static void steady(const struct steady *s, bool park) {
  struct sim_config sim = {.memory = 1 << 20, .guard = true, .park = park, .bottom = ask_bottom};
  struct world w;
  uint64_t words[LENCASE_MAXARGS];
  char script[1024];
  snprintf(script, sizeof script, PROLOGUE "%s", s->script);
  grate_world(&w, NULL, &sim, script);
  words_of(&w, s, words);
  ok(many(&w, s, words, WARM), "%s%s", s->name, park ? " (calls park)" : "");
  struct counted before = w.mem;
  ok(many(&w, s, words, CALLS), "%u calls of it", CALLS);
  if (KEEPS) {
    is_int(w.mem.made - before.made, 0, "ask for no memory");
    is_int(w.mem.blocks - before.blocks, 0, "and give none back");
  }
  is_int(w.lines, 0, "nothing went wrong: '%s'", w.log);
  world_close(&w);
}

/* }========================================================================= */

/* {============================ strings Lua must make ====================== */

enum { ROUND = 100000 }; /* calls: several rounds of the collector */

/* Makes ROUND calls; the most blocks that were alive. */
static size_t most_blocks(struct world *w, const struct steady *s,
                          const uint64_t words[LENCASE_MAXARGS]) {
  size_t most = 0;
  for (unsigned i = 0; i < ROUND; i++) {
    need(many(w, s, words, 1));
    if (w->mem.blocks > most) most = w->mem.blocks;
  }
  return most;
}

/*
** A path of up to 40 bytes is found among Lua's short strings, even when it is not kept, until
** the collector takes it, and that runs only when something else is allocated: here nothing is.
** A longer string is made anew in each call: one allocation, taken back by the collector (which
** itself asks for memory a few times, for its lists).
*/
static void path_of_a_call(const char *path, size_t made_a_call) {
  static const char script[] = PROLOGUE
      "local interface = lencase.grate { open = function(path, flags) return sys.open(path, flags) "
      "end } collectgarbage() return interface";
  const struct steady s = {.nr = SYS_open, .path = path, .result = 3};
  struct sim_config sim = {.memory = 1 << 20, .guard = true, .bottom = ask_bottom};
  struct world w;
  uint64_t words[LENCASE_MAXARGS];
  grate_world(&w, NULL, &sim, script);
  words_of(&w, &s, words);
  size_t first = most_blocks(&w, &s, words), made = w.mem.made;
  size_t most = most_blocks(&w, &s, words);
  made = w.mem.made - made;
  note("%zu allocations in %d calls; blocks at the most: %zu, then %zu", made, ROUND, first, most);
  if (KEEPS) {
    ok(made >= made_a_call * ROUND && made <= made_a_call * (ROUND + ROUND / 1000),
       "a path of %zu bytes: %zu allocations a call", strlen(path), made_a_call);
    ok(first < ROUND && most <= first + first / 4, "that do not pile up");
  }
  world_close(&w);
}

/* }========================================================================= */

int main(void) {
  for (size_t i = 0; i < sizeof steadies / sizeof *steadies; i++) {
    steady(&steadies[i], false);
    steady(&steadies[i], true);
  }
  path_of_a_call("/a/short/path", 0);
  path_of_a_call("/a/path/of/more/than/forty/bytes/is/made/each/time", 1);
  return test_end();
}
