/*
** grate_memory.c - memory runs out at each place in turn, Lua's included
**
** A scenario loads a script and makes calls that use all of a grate. It is run with an allocator
** that fails once, at its n-th allocation, for n = 1, 2, ...; then with one that fails from there
** on. What must hold: no crash and no panic of Lua's, a status or an errno with a reason, and at
** the end each block is given back.
*/

#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "grate_fixture.h"

/* Without lencase's Lua modules, that each allocation can have its turn in good time. */
static const char lean[] =
    "local core = require 'lencase.core' "
    "local open, write, fstat, read = core.sys(2), core.sys(1), core.sys(5), core.sys(0) "
    "local writev, execve = core.sys(20), core.sys(59) "
    "local seen, calls = {}, {} "
    "calls[2] = function(path, flags, mode) "
    "  local fd, errno = open(path .. '/.', flags, mode) "
    "  seen[fd] = core.cage() "
    "  return fd, errno "
    "end "
    "calls[1] = function(fd, buf, count) "
    "  local n, errno = write(fd, tostring(buf) .. '!') "
    "  if n == 4 then error('four bytes for ' .. tostring(seen[fd])) end "
    "  local _, _, st = fstat(fd) "
    "  return st.st_size + st.st_atim.tv_sec * 0 + n - 1, errno "
    "end "
    "calls[0] = function(fd, _, count) "
    "  local n, errno, buf = read(fd, nil, count) "
    "  return n, errno, tostring(buf):upper() "
    "end "
    "calls[20] = function(fd, iov) return writev(fd, { iov[1], 'between', iov[2] }) end "
    "calls[59] = function(path, argv) return execve(path, { argv[1], argv[2] .. 'x' }) end "
    "calls[32] = function() return 0, nil, {} end "
    "calls[33] = function() coroutine.yield() end "
    "local function install() "
    "  for nr, fn in pairs(calls) do "
    "    core.register { nr = nr, family = nr, policy = 0, where = 'lean:1', fn = fn } "
    "  end "
    "  core.register { nr = 257, family = 2, policy = 0, where = 'lean:2', fn = calls[2] } "
    "  core.register { nr = 2000, family = 2000, policy = 0, where = 'lean:3', constant = -1 } "
    "  core.events(function(event, cage) "
    "    if cage then seen[event] = { cage.pid, cage.comm, cage.string and cage:fd_path(0) } end "
    "  end) "
    "end "
    "return setmetatable({}, { __install = install })";

/* The same with them. */
static const char full[] = PROLOGUE
    "local seen, mark = {}, lencase.fdtable() "
    "return lencase.grate { "
    "open = function(path, flags, mode) "
    "  local fd, errno = sys.open(path .. '/.', flags, mode) "
    "  mark[fd] = path "
    "  return fd, errno "
    "end, "
    "write = function(fd, buf, count) "
    "  local n, errno = sys.write(fd, tostring(buf) .. '!') "
    "  if n == 4 then error('four bytes for ' .. tostring(mark[fd])) end "
    "  local _, _, st = sys.fstat(fd) "
    "  return st.st_size + st.st_atim.tv_sec * 0 + n - 1, errno "
    "end, "
    "read = function(fd, _, count) "
    "  local n, errno, buf = sys.read(fd, nil, count) "
    "  return n, errno, tostring(buf):upper() "
    "end, "
    "writev = function(fd, iov) return sys.writev(fd, { iov[1], 'between', iov[2] }) end, "
    "execve = function(path, argv) return sys.execve(path, { argv[1], argv[2] .. 'x' }) end, "
    "dup = function() return 0, nil, {} end, "
    "dup2 = function() coroutine.yield() end, "
    "[2000] = fail 'EPERM', "
    "[2001] = { prototype = 'int shout(const char *text, char out[8]);', nil, function() end }, "
    "on_cage = function(cage) seen[cage.id] = { cage.pid, cage.comm } end, "
    "on_cage_exit = function(cage) seen[cage.id] = nil end, "
    "on_exit = function() seen = { #seen } end }";

enum { SIZE = 3 };

static int64_t ask_bottom(void *ud, struct lencase_cage *cage, int32_t nr,
                          const uint64_t words[LENCASE_MAXARGS]) {
  static char zeros[144];
  struct mem_seg seg = {words[1], zeros, nr == SYS_read ? SIZE : sizeof zeros};
  (void)ud;
  if (nr == SYS_read || nr == SYS_fstat) need(cage->ops->write(cage, &seg) == LENCASE_OK);
  switch (nr) {
    case SYS_open: return 3;
    case SYS_write: return (int64_t)words[2];
    case SYS_fstat: return 0;
    default: return SIZE;
  }
}

/* {================================ scenario =============================== */

/* What a run came to. */
struct outcome {
  bool clear; /* whatever failed said so */
  bool whole; /* nothing failed */
};

static bool step(struct world *w, struct outcome *o, int status) {
  bool known = status == LENCASE_ENOMEM || status == LENCASE_ESCRIPT;
  if (status == LENCASE_OK) return true;
  o->whole = false;
  o->clear = o->clear && known && lencase_error(w->st)[0] != '\0';
  return false;
}

/* A call gives its result, or an errno: there was no memory for it, or for its handler. */
static void call(struct world *w, struct outcome *o, int64_t want, int32_t nr,
                 const uint64_t words[LENCASE_MAXARGS]) {
  int64_t got = -1;
  unsigned lines = w->lines;
  if (!step(w, o, sim_call(w->cage, nr, words, &got, NULL))) return;
  if (got == want) return;
  o->whole = false;
  o->clear = o->clear && (got == -ENOMEM || (got == -EIO && w->lines > lines));
}

static void calls(struct world *w, struct outcome *o) {
  uint64_t path = world_string(w, "/tmp/some"), buf = world_put(w, "abc", SIZE);
  uint64_t iov[] = {buf, SIZE, buf, SIZE}, argv[] = {path, path, 0};
  uint64_t iov_at = world_put(w, iov, sizeof iov), argv_at = world_put(w, argv, sizeof argv);
  uint64_t out = sim_alloc(w->cage, 64);
  for (unsigned i = 0; i < 2; i++) {
    call(w, o, 3, SYS_open, (uint64_t[LENCASE_MAXARGS]){path});
    call(w, o, -EIO, SYS_write, (uint64_t[LENCASE_MAXARGS]){3, buf, SIZE});
    call(w, o, 2, SYS_write, (uint64_t[LENCASE_MAXARGS]){3, buf, SIZE - 1});
    call(w, o, SIZE, SYS_read, (uint64_t[LENCASE_MAXARGS]){3, out, SIZE});
    call(w, o, SIZE, SYS_writev, (uint64_t[LENCASE_MAXARGS]){3, iov_at, 2});
    call(w, o, SIZE, SYS_execve, (uint64_t[LENCASE_MAXARGS]){path, argv_at, argv_at});
    call(w, o, 3, SYS_openat, (uint64_t[LENCASE_MAXARGS]){0, path});
    call(w, o, -EIO, SYS_dup, (uint64_t[LENCASE_MAXARGS]){3});
    call(w, o, -EIO, SYS_dup2, (uint64_t[LENCASE_MAXARGS]){3, 4});
    call(w, o, -EPERM, 2000, (uint64_t[LENCASE_MAXARGS]){0});
  }
}

static struct outcome scenario(struct world *w, const char *script) {
  static const struct sim_config sim = {.memory = 1 << 18, .bottom = ask_bottom};
  struct outcome o = {true, true};
  struct lencase_cage *child = NULL;
  if (!world_state(w, NULL)) return (struct outcome){true, false};
  if (!step(w, &o, script_load(w, script, NULL))) return o;
  w->cage = sim_cage_new(w->st, &sim, NULL);
  if (w->cage == NULL) return (struct outcome){lencase_error(w->st)[0] != '\0', false};
  calls(w, &o);
  child = sim_cage_new(w->st, NULL, w->cage);
  if (child != NULL) sim_cage_exit(child, 0);
  step(w, &o, lencase_finish(w->st, 0));
  return o;
}

/* }========================================================================= */

/* {================================= failing =============================== */

/* One run whose allocations from the n-th on fail, 'span' of them. True: it went as it must. */
static bool run(const char *script, size_t n, size_t span, size_t *made) {
  struct world w = {.mem.fail_at = n, .mem.fail_to = n + span - 1};
  if (n == 0) w.mem.fail_to = 0;
  struct outcome o = scenario(&w, script);
  if (!o.clear) note("%zu: '%s', '%s'", n, w.log, w.st != NULL ? lencase_error(w.st) : "no state");
  *made = w.mem.made;
  lencase_close(w.st);
  if (w.mem.blocks > 0) note("%zu: %zu blocks are left", n, w.mem.blocks);
  if (n == 0) o.clear = o.clear && o.whole;
  return o.clear && w.mem.blocks == 0 && w.mem.mistakes == 0;
}

/* Lua collects and tries again when an allocation fails: one alone is not felt, two are. */
static void sweep(const char *name, const char *script, size_t stride) {
  static const size_t spans[] = {1, 2, 4, SIZE_MAX / 2};
  size_t made, last, n;
  ok(run(script, 0, 0, &last), "%s: all goes well when there is memory", name);
  for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
    bool good = true;
    for (n = 1; good && n <= last; n += stride) good = run(script, n, spans[i], &made);
    ok(good, "%s: memory runs out at 1 + %zu * n of %zu allocations, for %zu", name, stride, last,
       spans[i]);
  }
}

/* }========================================================================= */

int main(void) {
#ifdef __SANITIZE_ADDRESS__
  sweep("lean", lean, 3); /* it takes four times as long */
#else
  sweep("lean", lean, 1);
#endif
  sweep("full", full, 197);
  return test_end();
}
