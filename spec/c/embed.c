/*
** embed.c - cages of an embedder's own: memory and bottom are this test's
*/

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "grate_fixture.h"

#define AT_FD ((uint64_t)-100)

/* The program's world: a memory, and what its bottom was asked. */
struct program {
  struct world w;
  uint64_t cage;
  unsigned char memory[8192];
  uint64_t size; /* of the memory that there is */
  uint64_t lie;  /* the callbacks say so many bytes more than they moved */
  int32_t asked; /* the last call that came to the bottom */
  uint64_t words[LENCASE_MAXARGS];
  char seen[256]; /* what its second argument pointed to, as far as it is text */
  int64_t answer;
  bool park, kills, reenters, forks, exits;
  int status; /* of what it did inside */
  uint64_t child;
  unsigned killed;
};

static size_t moved(struct program *p, uint64_t addr, size_t size) {
  if (addr == 0 || addr >= p->size) return 0;
  return size < p->size - addr ? size : (size_t)(p->size - addr);
}

static size_t read_memory(void *ud, uint64_t addr, void *data, size_t size) {
  struct program *p = ud;
  size_t n = moved(p, addr, size);
  if (n > 0) memcpy(data, p->memory + addr, n);
  return n + p->lie;
}

static size_t write_memory(void *ud, uint64_t addr, const void *data, size_t size) {
  struct program *p = ud;
  size_t n = moved(p, addr, size);
  if (n > 0) memcpy(p->memory + addr, data, n);
  return n + p->lie;
}

static void killed(void *ud) {
  ((struct program *)ud)->killed++;
}

static const lencase_cage_config plain;

static lencase_verdict bottom(void *ud, uint64_t cage, int32_t nr,
                              const uint64_t words[LENCASE_MAXARGS], int64_t *result) {
  struct program *p = ud;
  int64_t ignored;
  lencase_call *parked;
  p->asked = nr;
  memcpy(p->words, words, sizeof p->words);
  if (words[1] != 0 && words[1] < p->size)
    snprintf(p->seen, sizeof p->seen, "%s", (char *)p->memory + words[1]);
  if (p->reenters) p->status = lencase_cage_call(p->w.st, cage, nr, words, &ignored, &parked);
  if (p->forks) p->status = lencase_cage_new(p->w.st, &plain, cage, &p->child);
  if (p->exits) p->status = lencase_cage_exit(p->w.st, cage, 3 << 8);
  if (p->kills) lencase_cage_kill(lencase_cage_by_id(p->w.st, cage));
  *result = p->answer;
  return p->park ? LENCASE_VERDICT_PARKED : LENCASE_VERDICT_DONE;
}

static lencase_cage_config config_of(struct program *p, unsigned flags) {
  return (lencase_cage_config){.name = "prog",
                               .flags = flags,
                               .ud = p,
                               .base = p->memory,
                               .size = p->size,
                               .room_addr = 4096,
                               .room_size = 2048,
                               .carry_out = bottom,
                               .kill = killed};
}

static struct program *program_open(const char *script, unsigned flags, bool callbacks) {
  static struct program p;
  lencase_cage_config config;
  p = (struct program){.size = sizeof p.memory};
  need(world_state(&p.w, NULL));
  if (script != NULL && script_load(&p.w, script, NULL) != LENCASE_OK) {
    note("%s", lencase_error(p.w.st));
    need(!"the script loads");
  }
  config = config_of(&p, flags);
  if (callbacks) {
    config.base = NULL;
    config.size = 0;
    config.read = read_memory;
    config.write = write_memory;
  }
  need(lencase_cage_new(p.w.st, &config, 0, &p.cage) == LENCASE_OK);
  return &p;
}

static void program_close(struct program *p) {
  world_close(&p->w);
}

static uint64_t put(struct program *p, uint64_t addr, const void *data, size_t size) {
  memcpy(p->memory + addr, data, size);
  return addr;
}

/* A call that is over at once; -1000 - n: the status was -n. */
#define call(p, nr, ...) call_words((p), (nr), (const uint64_t[LENCASE_MAXARGS]){__VA_ARGS__})

static int64_t call_words(struct program *p, int32_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  int64_t result = 0;
  lencase_call *parked;
  int status = lencase_cage_call(p->w.st, p->cage, nr, words, &result, &parked);
  return status == LENCASE_OK ? result : -1000 + status;
}

static const char upper[] = PROLOGUE
    "return lencase.grate { open = function(path, flags, mode) "
    "  if path:find 'secret' then return fail 'EACCES' end "
    "  return sys.open(path:upper(), flags, mode) end, "
    "write = { 'copy buf', function(fd, buf, n) return sys.write(fd, tostring(buf):rep(2)) end }, "
    "getppid = function() return lencase.cage.pid end }";

static void base_and_callbacks(bool callbacks) {
  struct program *p = program_open(upper, 0, callbacks);
  uint64_t path = put(p, 100, "/a/file", 8);
  p->answer = 7;
  is_int(call(p, SYS_open, path, O_RDONLY), 7, "a call goes through the grate to the bottom");
  is_int(p->asked, SYS_open, "which is told which it is");
  ok(p->words[0] >= 4096 && p->words[0] < 4096 + 2048, "what replaces lies in the room");
  is_str((char *)p->memory + p->words[0], "/A/FILE", "and is what the handler said");
  put(p, 200, "abc", 3);
  is_int(call(p, SYS_write, 1, 200, 3), 7, "bytes, too");
  ok(strncmp(p->seen, "abcabc", 6) == 0 && p->words[2] == 6, "as many as they are");
  is_int(call(p, SYS_open, put(p, 300, "/secret", 8), 0), -EACCES, "a handler answers itself");
  is_int(call(p, SYS_getpid), 7, "what no grate handles goes to the bottom");
  is_int(call(p, SYS_getppid), (int64_t)p->cage, "pid 0 is the cage's id");
  is_int(call(p, SYS_open, p->size + 5, 0), -EFAULT, "outside of the memory there is nothing");
  is_int(call(p, SYS_write, 1, p->size + 2, 3), 7, "but the bottom is asked what it makes of that");
  is_int(call(p, SYS_chdir, 0), 7, "null is the bottom's to refuse");
  memset(p->memory + p->size - 3, 'x', 3);
  is_int(call(p, SYS_open, p->size - 3, 0), -EFAULT, "a string must end in the memory");
  program_close(p);
}

static const char filling[] =
    PROLOGUE "return lencase.grate { on_error = 'EPERM', "
             "readv = function(fd, iov, n) return 6, nil, 'abcdef' end, "
             "read = function(fd, buf, n) return 5, nil, 'hello' end, "
             "getsockname = function(fd, addr, len) return 0, nil, '\\1\\0', '\\2\\0\\0\\0' end }";

/* What the caller named is the caller's mistake, what a script returned the script's. */
static void bad_buffers(bool callbacks) {
  struct program *p = program_open(filling, 0, callbacks);
  const uint64_t runs[] = {600, 4, p->size, 4}, wild[] = {0, 4, 600, 4};
  is_int(call(p, SYS_readv, 0, put(p, 100, runs, sizeof runs), 2), -EFAULT, "a run is nowhere");
  is_mem(p->memory + 600, "abcd", 4, "those before it are filled");
  is_int(call(p, SYS_readv, 0, put(p, 100, wild, sizeof wild), 2), -EFAULT, "a run is null");
  is_int(call(p, SYS_readv, 0, 0, 2), -EFAULT, "no runs at all");
  is_int(call(p, SYS_readv, 0, put(p, 100, runs, sizeof runs), 1), -EPERM,
         "too few for the script");
  is_int(call(p, SYS_read, 0, p->size - 2, 5), -EFAULT, "a buffer ends too early");
  ok(strstr(p->w.log, "(5 bytes) cannot be written") != NULL, "that is logged: %s", p->w.log);
  is_int(call(p, SYS_read, 0, p->size - 2, 2), -EPERM, "too small for the script");
  is_int(call(p, SYS_read, 0, 0, 5), -EFAULT, "a null pointer");
  is_int(call(p, SYS_getsockname, 0, 700, 0), -EFAULT, "a size that is nowhere");
  put(p, 800, &(uint32_t){16}, 4);
  is_int(call(p, SYS_getsockname, 0, 700, 800), 0, "a size that is there");
  is_int(p->memory[800], 2, "and learns how much it was");
  program_close(p);
}

static void liars(void) {
  struct program *p = program_open(upper, 0, true);
  p->lie = 1;
  is_int(call(p, SYS_open, put(p, 100, "/a", 3), 0), -EIO,
         "a callback that moved too much is not believed");
  ok(strstr(p->w.log, "could not be copied") != NULL, "and that is logged: %s", p->w.log);
  p->lie = 0;
  p->size = 0;
  is_int(call(p, SYS_open, 100, 0), -EFAULT, "a memory that fails is no memory");
  program_close(p);
}

static void mistakes(void) {
  static const struct {
    lencase_cage_config config;
    const char *what;
  } bad[] = {
      {{.flags = 64}, "an unknown flag"},
      {{.size = 10}, "a size without a base"},
      {{.read = read_memory}, "half of the callbacks"},
      {{.flags = LENCASE_OWN_MEMORY | LENCASE_ILP32}, "two sizes of pointers"},
      {{.flags = LENCASE_OWN_MEMORY, .read = read_memory, .write = write_memory}, "two memories"},
      {{.base = (void *)upper, .size = 10, .room_addr = 5, .room_size = 6}, "a room too far"},
      {{.base = (void *)upper, .size = 10, .room_addr = UINT64_MAX, .room_size = 6},
       "a room that wraps"},
  };
  struct program *p = program_open(NULL, 0, false);
  uint64_t id;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    is_int(lencase_cage_new(p->w.st, &bad[i].config, 0, &id), LENCASE_EINVAL, "%s", bad[i].what);
  is_int(lencase_cage_new(p->w.st, &plain, 999, &id), LENCASE_EGONE, "no such parent");
  is_int(lencase_cage_memory(p->w.st, 999, p->memory, 5), LENCASE_EGONE, "no such cage");
  is_int(lencase_cage_memory(p->w.st, p->cage, p->memory, 5), LENCASE_EINVAL,
         "smaller than its room");
  is_int(lencase_cage_exit(p->w.st, 999, 0), LENCASE_EGONE, "no such cage");
  ok(strstr(lencase_error(p->w.st), "cage 999") != NULL, "with a message");
  program_close(p);
}

/* Everything with a pointer in it, in a cage whose pointers have 4 bytes. */
static const char narrow[] =
    PROLOGUE "return lencase.grate { "
             "writev = function(fd, iov, n) return sys.writev(fd, { iov[2], '+', iov[1] }, 3) end, "
             "execve = function(path, argv, envp) "
             "  return sys.execve(path, { argv[2], argv[1] }, envp) end, "
             "clock_gettime = { 'pass pointers', function() return 0, nil, nil end }, "
             "nanosleep = function(t) return t.tv_sec * 1000 + t.tv_nsec end, "
             "fstat = function(fd, st) return 0, nil, { st_size = 4096, st_mode = 5, st_ino = 77, "
             "  st_mtim = { tv_sec = 9, tv_nsec = 8 } } end, "
             "read = function(fd, buf, n) return 2, nil, 'ok' end, "
             "[2000] = { prototype = 'struct p { long a; void *b; long long c; }; int frob(const "
             "struct p *x);', "
             "  nil, function(x) return x.a + x.b + x.c end } }";

static uint32_t word32(const struct program *p, uint64_t addr) {
  uint32_t n;
  memcpy(&n, p->memory + addr, sizeof n);
  return n;
}

static void four_byte_pointers(void) {
  struct program *p = program_open(narrow, LENCASE_ILP32, false);
  const uint32_t iov[] = {200, 3, 300, 2};
  const uint32_t argv[] = {400, 410, 0}, envp[] = {0};
  put(p, 200, "abc", 3);
  put(p, 300, "xy", 2);
  p->answer = 6;
  is_int(call(p, SYS_writev, 1, put(p, 100, iov, sizeof iov), 2), 6, "an iovec of 8 bytes");
  uint64_t at = p->words[1];
  ok(word32(p, at + 4) == 2 && word32(p, at + 12) == 1 && word32(p, at + 20) == 3, "comes out so");
  is_mem(p->memory + word32(p, at), "xy", 2, "with the bytes");
  is_mem(p->memory + word32(p, at + 16), "abc", 3, "that were taken");
  put(p, 400, "one", 4);
  put(p, 410, "two", 4);
  is_int(call(p, SYS_execve, put(p, 420, "/bin/x", 7), put(p, 500, argv, sizeof argv),
              put(p, 520, envp, sizeof envp)),
         6, "argv");
  at = p->words[1];
  is_str((char *)p->memory + word32(p, at), "two", "of pointers of 4 bytes");
  is_str((char *)p->memory + word32(p, at + 4), "one", "goes both ways");
  is_int(word32(p, at + 8), 0, "and ends");
  struct {
    int64_t sec;
    int32_t nsec, pad;
  } t = {5, 21, -1};
  is_int(call(p, SYS_nanosleep, put(p, 600, &t, sizeof t), 0), 5021,
         "a long is 4 bytes, a time_t 8");
  memset(p->memory + 700, 0xee, 200);
  is_int(call(p, SYS_fstat, 3, 700), 0, "a struct that a handler fills");
  uint64_t ino, size;
  memcpy(&ino, p->memory + 708, 8);
  ok(ino == 77 && word32(p, 700 + 20) == 5, "has wasm32's layout");
  memcpy(&size, p->memory + 700 + 48, 8);
  is_int(size, 4096, "everywhere");
  is_int(call(p, SYS_read, 0, 1000, 9), 2, "read");
  is_mem(p->memory + 1000, "ok", 2, "is filled");
  const uint32_t own[] = {1, 20, 300, 0};
  is_int(call(p, 2000, put(p, 1100, own, sizeof own)), 321, "an author's own struct");
  program_close(p);
}

static void parking(void) {
  struct program *p = program_open(upper, 0, false);
  lencase_call *parked[2], *still;
  int64_t result = 0;
  const uint64_t words[LENCASE_MAXARGS] = {put(p, 100, "/a", 3), 0};
  p->park = true;
  for (int i = 0; i < 2; i++) {
    is_int(lencase_cage_call(p->w.st, p->cage, i == 0 ? SYS_open : SYS_getpid, words, &result,
                             &parked[i]),
           LENCASE_OK, "a call is parked");
    ok(parked[i] != NULL, "by the bottom");
  }
  p->park = false;
  is_int(lencase_call_complete(p->w.st, parked[1], 5, &result, &still), LENCASE_OK, "one goes on");
  ok(result == 5 && still == NULL, "that no grate handled");
  is_int(lencase_call_complete(p->w.st, parked[1], 5, &result, &still), LENCASE_EINVAL, "once");
  is_int(lencase_call_complete(p->w.st, parked[0], -ENOENT, &result, &still), LENCASE_OK,
         "the other");
  is_int(result, -ENOENT, "through its handler");
  p->park = true;
  is_int(lencase_cage_call(p->w.st, p->cage, SYS_open, words, &result, &parked[0]), LENCASE_OK,
         "again");
  is_int(lencase_call_drop(p->w.st, parked[0]), LENCASE_OK, "its thread is gone");
  is_int(lencase_call_drop(p->w.st, parked[0]), LENCASE_EINVAL, "once");
  is_int(lencase_cage_call(p->w.st, p->cage, SYS_open, words, &result, &parked[0]), LENCASE_OK,
         "again");
  is_int(lencase_cage_exit(p->w.st, p->cage, 0), LENCASE_OK, "a cage may end with a call parked");
  program_close(p);
}

static const char watching[] = PROLOGUE
    "local log = {} "
    "local n = lencase.per_cage(function() return { n = 0 } end) "
    "return lencase.grate { "
    "getuid = function() n.n = n.n + 1 return n.n end, getgid = function() return #log end, "
    "on_cage = function(c) log[#log + 1] = c.pid end, "
    "on_cage_exit = function(c, how, code) log[#log + 1] = how .. code "
    "  io.stderr:write('') if how == 'exit' then lencase.errno.LAST = code end end, "
    "getegid = { 'pass pointers', function() return lencase.errno.LAST end } }";

static void births_and_deaths(void) {
  struct program *p = program_open(watching, 0, false);
  uint64_t first = p->cage;
  is_int(call(p, SYS_getuid), 1, "state of a cage");
  p->forks = true;
  is_int(call(p, SYS_fork), 0, "a fork that the bottom carries out");
  is_int(p->status, LENCASE_OK, "makes a cage");
  p->forks = false;
  p->cage = p->child;
  is_int(call(p, SYS_getuid), 2, "that goes on with its parent's state");
  is_int(lencase_cage_exec(p->w.st, p->cage, "other"), LENCASE_OK, "executes");
  is_int(lencase_cage_exit(p->w.st, p->cage, 4 << 8), LENCASE_OK, "and exits");
  is_int(call(p, SYS_getuid), -1000 + LENCASE_EGONE, "a dead cage makes no calls");
  p->cage = first;
  is_int(call(p, SYS_getuid), 2, "its parent does");
  is_int(call(p, SYS_getgid), 3, "each event was told once");
  is_int(call(p, SYS_getegid), 4, "with the status");
  p->exits = true;
  is_int(call(p, SYS_exit_group, 3), -1000 + LENCASE_EGONE, "one may end in its own call");
  is_int(p->status, LENCASE_OK, "that is fine");
  is_int(call(p, SYS_getuid), -1000 + LENCASE_EGONE, "and is gone");
  program_close(p);
}

static void killing(void) {
  struct program *p = program_open(NULL, 0, false);
  p->kills = true;
  is_int(call(p, SYS_getuid), -1000 + LENCASE_EGONE, "killed in its call");
  is_int(p->killed, 1, "the embedder is told");
  program_close(p);
  p = program_open(NULL, 0, false);
  lencase_cage_kill(lencase_cage_by_id(p->w.st, p->cage));
  is_int(call(p, SYS_getuid), -1000 + LENCASE_EGONE, "killed between its calls");
  is_int(lencase_cage_exit(p->w.st, p->cage, 0), LENCASE_EGONE, "it is gone");
  program_close(p);
}

static void reentry(void) {
  struct program *p = program_open(NULL, 0, false);
  p->reenters = true;
  p->answer = 3;
  is_int(call(p, SYS_getuid), 3, "a callback that calls back");
  is_int(p->status, LENCASE_EPERM, "is refused");
  ok(strstr(lencase_error(p->w.st), "callback") != NULL, "with a message: %s",
     lencase_error(p->w.st));
  program_close(p);
}

static void no_room(void) {
  struct program *p = program_open(NULL, 0, false);
  lencase_cage_config config = config_of(p, 0);
  uint64_t path = put(p, 100, "/a", 3);
  need(script_load(&p->w, upper, NULL) == LENCASE_OK);
  config.room_size = 0;
  need(lencase_cage_new(p->w.st, &config, 0, &p->cage) == LENCASE_OK);
  is_int(call(p, SYS_open, path, 0), -EIO, "nothing can be put into a cage without room");
  ok(strstr(p->w.log, "room") != NULL, "and it is said why: %s", p->w.log);
  config.room_size = 16;
  config.size = 4096 + 16;
  need(lencase_cage_new(p->w.st, &config, 0, &p->cage) == LENCASE_OK);
  is_int(call(p, SYS_open, path, 0), 0, "a little is enough for a little");
  is_int(lencase_cage_memory(p->w.st, p->cage, p->memory, sizeof p->memory), LENCASE_OK,
         "it grows");
  is_int(call(p, SYS_open, put(p, 8000, "/b", 3), 0), 0, "and what is there is there");
  program_close(p);
}

static void own_memory(void) {
  struct program *p = program_open(NULL, 0, false);
  const lencase_cage_config own = {.flags = LENCASE_OWN_MEMORY};
  char back[8] = "";
  int fds[2];
  need(pipe(fds) == 0);
  need(script_load(&p->w, upper, NULL) == LENCASE_OK);
  need(lencase_cage_new(p->w.st, &own, 0, &p->cage) == LENCASE_OK);
  is_int(call(p, SYS_write, (uint64_t)fds[1], (uint64_t)(uintptr_t) "abc", 3), 6,
         "the kernel is the bottom");
  is_int(read(fds[0], back, sizeof back), 6, "of one's own operations");
  is_str(back, "abcabc", "which a script stands in for");
  is_int(call(p, SYS_open, 16, O_RDONLY), -EFAULT, "a bad pointer of one's own is no crash");
  is_int(call(p, SYS_open, (uint64_t)(uintptr_t) "/dev/null", O_RDONLY), -ENOENT,
         "/DEV/NULL is not there");
  close(fds[0]);
  close(fds[1]);
  program_close(p);
}

static const char hands_on[] = PROLOGUE
    "return lencase.grate { open = function(path, flags) return sys.open(path, flags) end, "
    "write = function(fd, buf, n) assert(#buf < n) return sys.write(fd, buf, n) end }";

/* A cage's memory cannot be made to end earlier than it does: its own is handed on. */
static void early_ends(bool callbacks) {
  struct program *p = program_open(hands_on, 0, callbacks);
  p->answer = 7;
  is_int(call(p, SYS_write, 1, p->size - 2, 3), 7, "bytes that end with the memory");
  ok(p->words[1] == p->size - 2 && p->words[2] == 3, "are the bottom's to judge");
  is_int(call(p, SYS_open, p->size + 5, 0), 7, "a path outside of it");
  is_int((int64_t)p->words[0], (int64_t)p->size + 5, "is, too");
  program_close(p);
}

static void own_early_ends(void) {
  enum { PAGE = 4096 };
  struct program *p = program_open(NULL, 0, false);
  const lencase_cage_config own = {.flags = LENCASE_OWN_MEMORY};
  char back[8] = "",
       *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int fd = memfd_create("out", MFD_CLOEXEC);
  need(fd >= 0 && at != MAP_FAILED && mprotect(at + PAGE, PAGE, PROT_NONE) == 0);
  need(script_load(&p->w, hands_on, NULL) == LENCASE_OK);
  need(lencase_cage_new(p->w.st, &own, 0, &p->cage) == LENCASE_OK);
  memcpy(at + PAGE - 5, "hello", 5);
  is_int(call(p, SYS_write, (uint64_t)fd, (uintptr_t)at + PAGE - 5, 9), 5, "five bytes of nine");
  is_int(pread(fd, back, sizeof back, 0), 5, "are written");
  is_str(back, "hello", "as they are");
  is_int(call(p, SYS_write, (uint64_t)-1, (uintptr_t)at + PAGE - 5, 9), -EBADF,
         "the kernel has its own order of checks");
  memset(at, 'x', PAGE);
  is_int(call(p, SYS_open, (uintptr_t)at, 0), -ENAMETOOLONG, "4096 letters without an end");
  is_int(call(p, SYS_open, (uintptr_t)at + 1, 0), -EFAULT, "and one less");
  close(fd);
  munmap(at, 2 * PAGE);
  program_close(p);
}

struct other {
  struct program *p;
  int status;
};

static void *from_another_thread(void *arg) {
  struct other *o = arg;
  const uint64_t words[LENCASE_MAXARGS] = {0};
  int64_t result;
  lencase_call *parked;
  o->status = lencase_cage_call(o->p->w.st, o->p->cage, SYS_getuid, words, &result, &parked);
  return NULL;
}

static lencase_verdict ask_another_thread(void *ud, uint64_t cage, int32_t nr,
                                          const uint64_t words[LENCASE_MAXARGS], int64_t *result) {
  struct other *o = ud;
  pthread_t thread;
  (void)cage, (void)nr, (void)words;
  need(pthread_create(&thread, NULL, from_another_thread, o) == 0);
  pthread_join(thread, NULL);
  *result = 1;
  return LENCASE_VERDICT_DONE;
}

static void two_threads_at_once(void) {
  struct program *p = program_open(NULL, 0, false);
  struct other o = {p, 0};
  lencase_cage_config config = config_of(p, 0);
  config.ud = &o;
  config.carry_out = ask_another_thread;
  config.kill = NULL;
  need(lencase_cage_new(p->w.st, &config, 0, &p->cage) == LENCASE_OK);
  is_int(call(p, SYS_getuid), 1, "while one thread is inside");
  is_int(o.status, LENCASE_EPERM, "another one is refused");
  o.status = 0;
  program_close(p);
}

static void events(void) {
  struct program *p = program_open(upper, 0, true);
  unsigned before = p->w.lines;
  call(p, SYS_open, put(p, 100, "/a", 3), O_RDONLY);
  is_int(p->w.lines - before, 0, "events that are not asked for are not told");
  p->w.st->config.debug = LENCASE_DEBUG_WINDOW;
  call(p, SYS_open, 100, O_RDONLY);
  is_int(p->w.lines - before, 2, "memory is lent, and comes back");
  ok(strncmp(p->w.log, "WINDOW: 1: ", 11) == 0 && strstr(p->w.log, " are free again"), "%s",
     p->w.log);
  p->w.st->config.debug = LENCASE_DEBUG_STOPS;
  lencase_cage_exec(p->w.st, p->cage, "other");
  is_str(p->w.log, "STOPS: 1: executes other", "a program is executed");
  p->park = true;
  call(p, SYS_getpid);
  is_str(p->w.log, "STOPS: 1: call 39 is parked", "a call is parked");
  lencase_cage_exit(p->w.st, p->cage, 3 << 8);
  is_str(p->w.log, "STOPS: 1: ends, status 0x300", "a cage ends");
  program_close(p);
}

int main(void) {
  base_and_callbacks(false);
  base_and_callbacks(true);
  bad_buffers(false);
  bad_buffers(true);
  liars();
  mistakes();
  four_byte_pointers();
  parking();
  births_and_deaths();
  killing();
  reentry();
  no_room();
  own_memory();
  early_ends(false);
  early_ends(true);
  own_early_ends();
  two_threads_at_once();
  events();
  return test_end();
}
