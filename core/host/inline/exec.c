/*
** exec.c - programs that are executed: whether they can run inline, and their environment
**
** The new program's dynamic linker loads our library, by LD_PRELOAD. A program without one, and one
** for which it does not preload (set-user-ID), would run without its grates: it is refused, with
** EACCES and a message.
**
** Runs in the program's threads, outside of the engine: raw calls alone.
*/

#include "inline_int.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SCRIPTS_DEEP = 4, HEAD = 256, PHDRS = 64 };

/* {============================ what is refused? ========================== */

/* In a program that runs inline: calls are made by the gate. In its launcher, h NULL: by libc. */
struct caller {
  const struct inline_host *h;
};

static int64_t ask(const struct caller *c, long nr, uint64_t a, uint64_t b, uint64_t d,
                   uint64_t e) {
  long n;
  if (c->h != NULL) return inline_raw5(c->h, nr, a, b, d, e, 0);
  n = syscall(nr, a, b, d, e);
  return n < 0 ? -errno : n;
}

/*
** It must be glibc's dynamic linker, since our library is linked to glibc, and must find the
** library. When one cannot preload it (musl's, or in another root folder) it goes on without a
** word.
*/
static const char *linker_refusal(const struct caller *c, int fd, const Elf64_Phdr *interp) {
  char path[HEAD + 1], *name;
  int64_t n = ask(c, SYS_pread64, (uint64_t)fd, (uintptr_t)path,
                  interp->p_filesz < HEAD ? interp->p_filesz : HEAD, interp->p_offset);
  path[n > 0 ? n : 0] = '\0';
  name = strrchr(path, '/');
  if (strcmp(name != NULL ? name + 1 : path, "ld-linux-x86-64.so.2") != 0)
    return "is linked for another C library";
  if (c->h == NULL) return NULL;
  /* faccessat: as the real user, without the capabilities that exec drops */
  if (ask(c, SYS_faccessat, (uint64_t)AT_FDCWD, (uintptr_t)c->h->preload, R_OK, 0) != 0)
    return "would not find lencase's library (in another root folder or mount namespace, or as "
           "another user)";
  return NULL;
}

static const char *elf_refusal(const struct caller *c, int fd, const unsigned char *head) {
  Elf64_Ehdr ehdr;
  Elf64_Phdr phdrs[PHDRS];
  size_t i, size;
  memcpy(&ehdr, head, sizeof ehdr);
  if (ehdr.e_ident[EI_CLASS] != ELFCLASS64 || ehdr.e_machine != EM_X86_64)
    return "is of another architecture";
  if (ehdr.e_phnum > PHDRS || ehdr.e_phentsize != sizeof *phdrs) return NULL;
  size = ehdr.e_phnum * sizeof *phdrs;
  if (ask(c, SYS_pread64, (uint64_t)fd, (uintptr_t)phdrs, size, ehdr.e_phoff) != (int64_t)size)
    return NULL; /* the kernel will say what is wrong with it */
  for (i = 0; i < ehdr.e_phnum; i++)
    if (phdrs[i].p_type == PT_INTERP) return linker_refusal(c, fd, &phdrs[i]);
  return "is linked statically";
}

static const char *mode_refusal(const struct caller *c, int fd) {
  struct stat st;
  char value[64];
  if (ask(c, SYS_fstat, (uint64_t)fd, (uintptr_t)&st, 0, 0) != 0) return NULL;
  if (ask(c, SYS_getuid, 0, 0, 0, 0) != ask(c, SYS_geteuid, 0, 0, 0, 0) ||
      ask(c, SYS_getgid, 0, 0, 0, 0) != ask(c, SYS_getegid, 0, 0, 0, 0))
    return "would run with an effective user or group ID that is not the real one";
  if (ask(c, SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0) == 1)
    return NULL; /* set-user-ID is ignored */
  if ((st.st_mode & S_ISUID) && (int64_t)st.st_uid != ask(c, SYS_getuid, 0, 0, 0, 0))
    return "is set-user-ID";
  if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) &&
      (int64_t)st.st_gid != ask(c, SYS_getgid, 0, 0, 0, 0))
    return "is set-group-ID";
  if (ask(c, SYS_getuid, 0, 0, 0, 0) != 0 &&
      ask(c, SYS_fgetxattr, (uint64_t)fd, (uintptr_t) "security.capability", (uintptr_t)value,
          sizeof value) > 0)
    return "has capabilities of its own";
  return NULL;
}

/* The interpreter that "#! /bin/sh -e" names, in place; NULL: none. */
static char *interpreter(char *head, int64_t n) {
  char *p = head + 2, *end;
  head[n] = '\0';
  if (head[0] != '#' || head[1] != '!') return NULL;
  p += strspn(p, " \t");
  end = p + strcspn(p, " \t\n");
  *end = '\0';
  return *p != '\0' ? p : NULL;
}

static const char unreadable[] = "cannot be read, so that it cannot be told how it is linked";

/* An empty path means the file of the descriptor. */
static int64_t open_program(const struct caller *c, int dirfd, const char *path) {
  const uint64_t flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  char link[32];
  int64_t fd;
  if (path[0] != '\0') return ask(c, SYS_openat, (uint64_t)dirfd, (uintptr_t)path, flags, 0);
  snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
  fd = ask(c, SYS_openat, (uint64_t)AT_FDCWD, (uintptr_t)link, flags, 0);
  return fd >= 0 ? fd : ask(c, SYS_fcntl, (uint64_t)dirfd, F_DUPFD_CLOEXEC, 0, 0);
}

static const char *refusal(const struct caller *c, int dirfd, const char *path, int deep) {
  char head[HEAD + 1];
  const char *why;
  char *next;
  int64_t n, fd = open_program(c, dirfd, path);
  if (fd < 0) { /* it may be executable, though not readable */
    n = ask(c, SYS_faccessat2, (uint64_t)dirfd, (uintptr_t)path, X_OK, AT_EACCESS);
    return n == 0 ? unreadable : NULL;
  }
  n = ask(c, SYS_pread64, (uint64_t)fd, (uintptr_t)head, HEAD, 0);
  why = n == -EBADF ? unreadable : mode_refusal(c, (int)fd); /* it was opened with O_PATH */
  if (why == NULL && n >= (int64_t)sizeof(Elf64_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0)
    why = elf_refusal(c, (int)fd, (const unsigned char *)head);
  ask(c, SYS_close, (uint64_t)fd, 0, 0, 0);
  next = why == NULL && n > 2 ? interpreter(head, n) : NULL;
  if (next == NULL || deep == SCRIPTS_DEEP) return why;
  return refusal(c, AT_FDCWD, next, deep + 1);
}

const char *inline_refusal(const char *path) {
  struct caller c = {NULL};
  return refusal(&c, AT_FDCWD, path, 0);
}

/* }========================================================================= */

/* {============================== environments ============================= */

static const char preload_name[] = INLINE_PRELOAD "=";
static const char script_name[] = INLINE_VARIABLE "=";

/* Memory of the block that is not used yet. */
struct room {
  char *at;
  size_t left;
};

static void *take(struct room *r, size_t size) {
  char *p = r->at;
  size = (size + 15) & ~(size_t)15;
  if (size > r->left) return NULL;
  r->at += size;
  r->left -= size;
  return p;
}

static char *joined(struct room *r, const char *a, const char *b, const char *c, const char *d) {
  size_t na = strlen(a), nb = strlen(b), nc = strlen(c), nd = strlen(d);
  char *s = take(r, na + nb + nc + nd + 1);
  if (s == NULL) return NULL;
  memcpy(s, a, na);
  memcpy(s + na, b, nb);
  memcpy(s + na + nb, c, nc);
  memcpy(s + na + nb + nc, d, nd + 1);
  return s;
}

/* How many pointers there are before the NULL; -1: they cannot be read. */
static int64_t count_strings(struct inline_host *h, uint64_t envp) {
  uint64_t p = 1;
  int64_t n = 0;
  if (envp == 0) return 0;
  while (inline_peek(h, envp + (uint64_t)n * sizeof p, &p, sizeof p) == sizeof p) {
    if (p == 0) return n;
    n++;
  }
  return -1;
}

static bool starts_with(struct inline_host *h, uint64_t addr, const char *prefix) {
  char head[32];
  size_t n = strlen(prefix);
  return inline_peek(h, addr, head, n) == n && memcmp(head, prefix, n) == 0;
}

/* True for a script that begins with ours: of a lencase that itself runs inline. */
static bool extends_script(struct inline_host *h, uint64_t value) {
  size_t size = strlen(h->script), at, n;
  char some[256];
  for (at = 0; at < size; at += n) {
    n = size - at < sizeof some ? size - at : sizeof some;
    if (inline_peek(h, value + at, some, n) != n || memcmp(some, h->script + at, n) != 0)
      return false;
  }
  return true;
}

static uint64_t variable_at(struct inline_host *h, uint64_t envp, int64_t i) {
  uint64_t p = 0;
  inline_peek(h, envp + (uint64_t)i * sizeof p, &p, sizeof p);
  return p;
}

/* The script of such a lencase, which puts the same two variables at the end as we do. 0: none. */
static uint64_t nested_script(struct inline_host *h, uint64_t envp, int64_t n) {
  uint64_t script = n > 1 ? variable_at(h, envp, n - 2) : 0;
  if (script == 0 || !starts_with(h, variable_at(h, envp, n - 1), preload_name)) return 0;
  if (!starts_with(h, script, script_name)) return 0;
  return extends_script(h, script + strlen(script_name)) ? script : 0;
}

/* The program's own LD_PRELOAD: the last one counts, as for the dynamic linker. */
static const char *own_preload(struct inline_host *h, uint64_t envp, int64_t n) {
  while (n-- > 0) {
    uint64_t p = variable_at(h, envp, n);
    if (starts_with(h, p, preload_name))
      return (const char *)(uintptr_t)p + strlen(preload_name); /* NOLINT */
  }
  return "";
}

/*
** The program's variables, and behind them our two, which preload.c removes in the new program.
*/
static char **environment(struct inline_host *h, struct room *r, uint64_t envp, int64_t n) {
  /* by INLINE_AVOID_...: the word to be added to the new program's script */
  static const char *const avoided[INLINE_AVOIDS] = {"", "k1\n", "k2\n", "k3\n"};
  uint64_t script = nested_script(h, envp, n);
  const char *value;
  char **out = take(r, ((size_t)n + 3) * sizeof *out);
  assert(h->avoids < INLINE_AVOIDS);
  if (out == NULL) return NULL;
  if (script != 0) n -= 2;
  if (inline_peek(h, envp, out, (size_t)n * sizeof *out) != (size_t)n * sizeof *out) return NULL;
  value = own_preload(h, envp, n);
  out[n] = script != 0
               ? (char *)(uintptr_t)script /* NOLINT */
               : joined(r, script_name, h->script, avoided[h->avoids & ~h->place.avoids], "");
  out[n + 1] = joined(r, preload_name, h->preload, *value != '\0' ? ":" : "", value);
  out[n + 2] = NULL;
  return out[n] != NULL && out[n + 1] != NULL ? out : NULL;
}

/* }========================================================================= */

/* {================================== blocks =============================== */

static struct exec_block *block_new(struct inline_host *h, size_t size) {
  const uint64_t words[LENCASE_MAXARGS] = {
      0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0};
  int64_t at = inline_raw(h, SYS_mmap, words);
  struct exec_block *b = at < 0 ? NULL : (struct exec_block *)(uintptr_t)at; /* NOLINT */
  if (b == NULL) return NULL;
  b->size = size;
  b->pid = (pid_t)inline_raw3(h, SYS_getpid, 0, 0, 0);
  inline_lock(h);
  b->next = h->exec_blocks;
  h->exec_blocks = b;
  inline_unlock(h);
  return b;
}

void inline_exec_forget(struct inline_host *h, pid_t pid) {
  struct exec_block **p = &h->exec_blocks;
  while (*p != NULL) {
    struct exec_block *b = *p;
    if (b->pid != pid) {
      p = &b->next;
      continue;
    }
    *p = b->next;
    inline_raw3(h, SYS_munmap, (uintptr_t)b, b->size, 0);
  }
}

/* }========================================================================= */

/* {=================================== calls =============================== */

/* Copies a path of the program; false: it cannot be read, and the kernel will say so. */
static bool path_at(struct inline_host *h, uint64_t addr, char *buf, size_t size) {
  size_t n = 0;
  while (n < size) {
    size_t some = 256 - (addr + n) % 256;
    if (some > size - n) some = size - n;
    if (inline_peek(h, addr + n, buf + n, some) != some) return false;
    if (memchr(buf + n, 0, some) != NULL) return true;
    n += some;
  }
  return false;
}

struct notice {
  struct inline_host *h;
  const char *path, *why;
};

/* Before the memory goes: flushes what grates have printed, and reports what they have counted. */
static void step_leave(void *arg) {
  struct inline_host *h = arg;
  state_debug(h->st, STOPS, "%d: executes a program", (int)h->pid);
  if (inline_reports(h)) inline_report_end(h);
  if (h->place.flush != NULL) h->place.flush();
}

static void step_tell(void *arg) {
  const struct notice *n = arg;
  state_log(
      n->h->st,
      "%s %s: it cannot run inline, the caller gets EACCES; without --inline it is traced and runs",
      n->path[0] != '\0' ? n->path : "a program that is executed by its descriptor", n->why);
}

/* True: it was refused, and that was logged. */
static bool refused(struct inline_host *h, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct caller c = {h};
  char path[PATH_MAX];
  struct notice n = {h, path, NULL};
  bool at = nr == SYS_execveat;
  int dirfd = at ? (int)words[0] : AT_FDCWD;
  if (!path_at(h, words[at ? 1 : 0], path, sizeof path)) return false;
  if (path[0] == '\0' && !(at && (words[4] & AT_EMPTY_PATH) != 0)) return false; /* ENOENT */
  n.why = refusal(&c, dirfd, path, 0);
  if (n.why == NULL) return false;
  inline_lock(h);
  inline_engine(h, step_tell, &n);
  inline_unlock(h);
  return true;
}

/* The new program gets the channels; programs that a grate runs do not. */
static void pass_channels(const struct inline_host *h, uint64_t flags) {
  size_t i;
  for (i = 0; i < h->place.nchannels; i++)
    if (h->place.channels[i].fd != 0)
      inline_raw3(h, SYS_fcntl, (uint64_t)h->place.channels[i].fd, F_SETFD, flags);
}

static int64_t with_environment(struct arrival *a, int64_t nr,
                                const uint64_t words[LENCASE_MAXARGS]) {
  struct inline_host *h = a->h;
  int where = nr == SYS_execveat ? 3 : 2;
  int64_t n = count_strings(h, words[where]), result = -ENOMEM;
  size_t size = sizeof(struct exec_block) + ((size_t)n + 8) * sizeof(char *) + strlen(h->preload) +
                strlen(h->script) + ((size_t)128 << 10);
  struct exec_block *b;
  uint64_t own[LENCASE_MAXARGS];
  struct room r;
  char **envp;
  if (n < 0) return inline_carry_plain(a, nr, words); /* EFAULT */
  b = block_new(h, size);
  if (b == NULL) return -ENOMEM;
  r = (struct room){(char *)(b + 1) + 8, size - sizeof *b - 8};
  envp = environment(h, &r, words[where], n);
  memcpy(own, words, sizeof own);
  own[where] = (uintptr_t)envp;
  pass_channels(h, 0);
  if (envp != NULL) result = inline_carry_plain(a, nr, own);
  pass_channels(h, FD_CLOEXEC);
  inline_lock(h);
  inline_exec_forget(h, (pid_t)inline_raw3(h, SYS_getpid, 0, 0, 0));
  inline_unlock(h);
  return result;
}

int64_t inline_carry_exec(struct arrival *a, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  int64_t result;
  if (a->h->script == NULL)
    return inline_carry_plain(a, nr, words); /* an embedder's grates end here */
  if (refused(a->h, nr, words)) return -EACCES;
  inline_lock(a->h);
  inline_engine(a->h, step_leave, a->h);
  inline_unlock(a->h);
  result = with_environment(a, nr, words);
  inline_debug(a->h, "no program is executed: errno %d", (int)-result);
  if (inline_reports(a->h)) inline_report_begin(a->h); /* it has failed */
  return result;
}

/* }========================================================================= */

/* {================================ the start ============================== */

/* As execvp(3) finds it; false: it does not. */
static bool find_program(const char *name, char *path, size_t size) {
  const char *folders = getenv("PATH");
  if (strchr(name, '/') != NULL) return (size_t)snprintf(path, size, "%s", name) < size;
  if (folders == NULL) folders = "/bin:/usr/bin";
  for (; folders != NULL; folders = strchr(folders, ':') ? strchr(folders, ':') + 1 : NULL) {
    int n = (int)strcspn(folders, ":");
    snprintf(path, size, "%.*s%s%s", n, folders, n > 0 ? "/" : "", name);
    if (access(path, X_OK) == 0) return true;
  }
  return false;
}

int inline_check_program(struct lencase_state *st, const char *name, const char *preload) {
  char path[PATH_MAX];
  const char *why = find_program(name, path, sizeof path) ? inline_refusal(path) : NULL;
  if (why != NULL)
    return state_fail(st, LENCASE_EPERM,
                      "%s %s: it cannot run inline; run it traced, without --inline", path, why);
  if (access(preload, R_OK) != 0)
    return state_fail(st, LENCASE_EHOST, "%s: %s", preload, strerror(errno));
  if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) != 0)
    return inline_no_dispatch(st, errno);
  return LENCASE_OK;
}

/* 'name' and the values, in one string; NULL: no memory. */
static char *variable(const char *name, const char *a, const char *b, const char *c) {
  char *s = NULL;
  return asprintf(&s, "%s%s%s%s", name, a, b, c) < 0 ? NULL : s;
}

int inline_exec(char *const argv[], const char *preload, const char *script) {
  const char *before = "";
  size_t n = 0;
  char **envp;
  for (; environ[n] != NULL; n++)
    if (strncmp(environ[n], preload_name, strlen(preload_name)) == 0)
      before = environ[n] + strlen(preload_name);
  envp = calloc(n + 3, sizeof *envp);
  if (envp == NULL) return ENOMEM;
  memcpy(envp, environ, n * sizeof *envp);
  envp[n] = variable(script_name, script, "", "");
  envp[n + 1] = variable(preload_name, preload, *before != '\0' ? ":" : "", before);
  if (envp[n] == NULL || envp[n + 1] == NULL) return ENOMEM;
  execvpe(argv[0], argv, envp);
  return errno;
}

/* }========================================================================= */
