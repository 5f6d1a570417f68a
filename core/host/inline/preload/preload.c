/*
** preload.c - liblencase-inline.so, which LD_PRELOAD brings into a program that runs inline
**
** It is all of us that the program's own libraries see. The grates, their Lua and the libc that
** they use are loaded into a link namespace of their own (dlmopen(3)): a second libc, with its own
** malloc, stdio, locale and locks, since the program may be inside its own when a call arrives.
*/

#include "../code.h"
#include "../inline.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/prctl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

typedef int (*boot_fn)(struct inline_by *by, uintptr_t code, size_t size);

static const char engine_name[] = "liblencase-engine.so";

/* Read by a lencase that itself runs inline. */
__attribute__((visibility("default"))) struct inline_by lencase_inline_by;

static void give_up(const char *what, const char *why) __attribute__((noreturn));

static void give_up(const char *what, const char *why) {
  fprintf(stderr, "lencase: inline: %s: %s\n", what, why);
  _exit(125);
}

/* {================================ the engine ============================= */

/* It lies beside this library. */
static void engine_path(const char *self, char *path, size_t size) {
  const char *slash = strrchr(self, '/');
  snprintf(path, size, "%.*s%s", slash != NULL ? (int)(slash - self) + 1 : 0, self, engine_name);
}

static boot_fn load_engine(const char *self) {
  char path[PATH_MAX];
  void *engine, *boot;
  engine_path(self, path, sizeof path);
  engine = dlmopen(LM_ID_NEWLM, path, RTLD_NOW | RTLD_LOCAL);
  if (engine == NULL) give_up(path, dlerror());
  boot = dlsym(engine, "lencase_engine_boot");
  if (boot == NULL) give_up(path, dlerror());
  return (boot_fn)boot;
}

/* }========================================================================= */

/* {=============================== environment ============================= */

/* What exec.c has put behind the program's own variables. */
struct ours {
  char *script, *preload;
};

static const char *value_of(const char *variable, const char *name) {
  size_t n = strlen(name);
  return strncmp(variable, name, n) == 0 && variable[n] == '=' ? variable + n + 1 : NULL;
}

static void drop(char **list, const struct ours *o) {
  char **out = list;
  for (; *list != NULL; list++)
    if (*list != o->script && *list != o->preload) *out++ = *list;
  *out = NULL;
}

/*
** 'envp' is the kernel's list. Behind its NULL is the auxiliary vector, which Go's runtime looks
** for there: its first entry is copied to behind the new NULL. 'environ' may be another list by
** now.
*/
static bool take_ours(char **envp, struct ours *o) {
  size_t n = 0;
  while (envp[n] != NULL) n++;
  if (n < 2 || value_of(envp[n - 2], INLINE_VARIABLE) == NULL ||
      value_of(envp[n - 1], INLINE_PRELOAD) == NULL)
    return false;
  *o = (struct ours){envp[n - 2], envp[n - 1]};
  if (environ != NULL && environ != envp) drop(environ, o);
  envp[n - 2] = NULL;
  memcpy(&envp[n - 1], &envp[n + 1], 2 * sizeof *envp);
  return true;
}

/* The numbers of /proc/self/stat from the 26th on: how many there are. */
static size_t read_stat(uint64_t *numbers, size_t max) {
  char text[1024], *p;
  size_t i;
  int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  p = strrchr(text, ')'); /* behind the second, which may be anything */
  for (i = 2; i < 26 && p != NULL; i++) p = strchr(p + 1, ' ');
  for (i = 0; i < max && p != NULL && *p != '\0'; i++) numbers[i] = strtoull(p + 1, &p, 10);
  return p != NULL ? i : 0;
}

enum { START_CODE = 0, END_CODE = 1, START_STACK = 2, START_DATA = 19, NUMBERS = 26 };

/* Makes /proc/self/environ end before our variables; where that is refused they become zeros. */
static void hide(const struct ours *o) {
  uint64_t s[NUMBERS];
  struct prctl_mm_map map;
  if (read_stat(s, NUMBERS) != NUMBERS) return;
  map = (struct prctl_mm_map){.start_code = s[START_CODE],
                              .end_code = s[END_CODE],
                              .start_stack = s[START_STACK],
                              .start_data = s[START_DATA],
                              .end_data = s[START_DATA + 1],
                              .start_brk = s[START_DATA + 2],
                              .arg_start = s[START_DATA + 3],
                              .arg_end = s[START_DATA + 4],
                              .env_start = s[START_DATA + 5],
                              .env_end = (uintptr_t)o->script,
                              .brk = (uintptr_t)sbrk(0),
                              .exe_fd = (uint32_t)-1};
  prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

/* }========================================================================= */

__attribute__((constructor)) static void go_inline(int argc, char **argv, char **envp) {
  struct inline_code code;
  struct ours ours;
  sigset_t all, mask;
  Dl_info self;
  int status;
  (void)argc, (void)argv;
  if (dladdr(engine_name, &self) == 0 || !take_ours(envp, &ours)) return;
  hide(&ours); /* before calls are dispatched */
  code = inline_libc_code();
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &mask); /* signal handlers need the program's thread pointer */
  lencase_inline_by = (struct inline_by){self.dli_fname, value_of(ours.script, INLINE_VARIABLE)};
  status = load_engine(self.dli_fname)(&lencase_inline_by, code.begin, code.size);
  if (status != 0) _exit(status);
  memset(ours.script, 0, (size_t)(ours.preload - ours.script) + strlen(ours.preload));
  sigprocmask(SIG_SETMASK, &mask, NULL);
}
