/*
** preload.c - liblencase-inline.so, which LD_PRELOAD brings into a program that runs inline
**
** It is all that the program's own libraries ever see of us. The grates, their Lua and the libc that
** they use are loaded into a namespace of their own (dlmopen(3)): a second libc, with its own malloc,
** stdio, locale and locks. The program may be in the midst of its own when a call arrives.
*/

#include "../code.h"

#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*boot_fn)(const char *preload, const char *script, uintptr_t code, size_t size);

static const char engine_name[] = "liblencase-engine.so";

static void give_up(const char *what, const char *why) __attribute__((noreturn));

static void give_up(const char *what, const char *why) {
  fprintf(stderr, "lencase: inline: %s: %s\n", what, why);
  _exit(125);
}

/* The engine lies beside this library. */
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

__attribute__((constructor)) static void go_inline(void) {
  const char *script = getenv("LENCASE_INLINE");
  struct inline_code code;
  sigset_t all, mask;
  Dl_info self;
  int status;
  if (script == NULL || dladdr(engine_name, &self) == 0) return;
  code = inline_libc_code();
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &mask); /* handlers want the program's thread pointer */
  status = load_engine(self.dli_fname)(self.dli_fname, script, code.begin, code.size);
  if (status != 0) _exit(status);
  sigprocmask(SIG_SETMASK, &mask, NULL);
}
