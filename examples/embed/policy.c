/*
** policy.c - a program that asks a Lua policy about its own file operations
**
**   policy GRATE.lua [ARGS...]
**
** The program is its own cage: its operations are calls, and what no grate answers the kernel does.
** Any grate works that works under `lencase run`: try ../write_filter.lua, ../readonly.lua.
*/

#include <errno.h>
#include <fcntl.h>
#include <lencase.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

static lencase_state *st;
static uint64_t cage;

static void say(void *ud, const char *line) {
  (void)ud;
  fprintf(stderr, "policy: %s\n", line);
}

/* What open(2), write(2) and the others do here: through the grate. -1 and errno when it fails. */
static long call(int nr, uint64_t a, uint64_t b, uint64_t c) {
  const uint64_t words[LENCASE_MAXARGS] = {a, b, c};
  int64_t result = -EIO;
  lencase_call *parked; /* nothing parks: the kernel is asked at once */
  int status = lencase_cage_call(st, cage, nr, words, &result, &parked);
  if (status != LENCASE_OK) say(NULL, lencase_error(st));
  if (result >= 0 || result < -4095) return (long)result;
  errno = (int)-result;
  return -1;
}

static uint64_t address(const void *p) {
  return (uint64_t)(uintptr_t)p;
}

static void save(const char *path, const char *text) {
  long fd = call(SYS_open, address(path), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || call(SYS_write, (uint64_t)fd, address(text), strlen(text)) < 0) {
    printf("%s: %s\n", path, strerror(errno));
  } else {
    printf("%s: saved\n", path);
  }
  if (fd >= 0) call(SYS_close, (uint64_t)fd, 0, 0);
}

int main(int argc, char **argv) {
  const lencase_config config = {.log = say};
  const lencase_cage_config own = {.name = "policy", .flags = LENCASE_OWN_MEMORY};
  if (argc < 2) {
    fprintf(stderr, "usage: policy GRATE.lua [ARGS...]\n");
    return 2;
  }
  st = lencase_new(&config);
  if (st == NULL) return 1;
  if (lencase_load(st, argv[1], argc - 2, (const char *const *)argv + 2, NULL, NULL, NULL) !=
          LENCASE_OK ||
      lencase_cage_new(st, &own, 0, &cage) != LENCASE_OK) {
    say(NULL, lencase_error(st));
    return 1;
  }
  save("lencase-policy.log", "this may be written\n");
  save("lencase-policy.txt", "may this?\n");
  call(SYS_unlink, address("lencase-policy.log"), 0, 0);
  lencase_cage_exit(st, cage, 0);
  lencase_finish(st, 0);
  lencase_close(st);
  return 0;
}
