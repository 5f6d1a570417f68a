/*
** exec.c - programs that are executed: whether they can run inline, and their environment
**
** The dynamic linker of the new program is what brings our library in, by LD_PRELOAD. A program
** without one, and one that it does not preload for (set-user-ID), would run as if nobody had named
** anything: it is refused, with EACCES and a message.
**
** Runs in the program's threads, outside of the engine: raw calls alone.
*/

#include "inline_int.h"

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

/* How calls are made: by the gate in a program that runs inline, by libc in one that starts another. */
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
    if (phdrs[i].p_type == PT_INTERP) return NULL;
  return "is linked statically";
}

static const char *mode_refusal(const struct caller *c, int fd) {
  struct stat st;
  char value[64];
  if (ask(c, SYS_fstat, (uint64_t)fd, (uintptr_t)&st, 0, 0) != 0) return NULL;
  if (ask(c, SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0) == 1) return NULL; /* it is as any other */
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

/* An empty path is the descriptor's file. */
static int64_t open_program(const struct caller *c, int dirfd, const char *path) {
  const uint64_t flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  char link[32];
  int64_t fd;
  if (path[0] != '\0') return ask(c, SYS_openat, (uint64_t)dirfd, (uintptr_t)path, flags, 0);
  snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
  fd = ask(c, SYS_openat, (uint64_t)AT_FDCWD, (uintptr_t)link, flags, 0);
  return fd >= 0 ? fd : ask(c, SYS_fcntl, (uint64_t)dirfd, F_DUPFD_CLOEXEC, 0, 0);
}

/* What cannot be opened can be executed all the same, when it may only be executed. */
static const char *unopened_refusal(const struct caller *c, int dirfd, const char *path) {
  return ask(c, SYS_faccessat2, (uint64_t)dirfd, (uintptr_t)path, X_OK, AT_EACCESS) == 0
             ? unreadable
             : NULL;
}

static const char *refusal(const struct caller *c, int dirfd, const char *path, int deep) {
  char head[HEAD + 1];
  const char *why;
  char *next;
  int64_t n, fd = open_program(c, dirfd, path);
  if (fd < 0) return unopened_refusal(c, dirfd, path);
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

static const char preload_name[] = "LD_PRELOAD=";
static const char script_name[] = INLINE_VARIABLE "=";

/* Where the block's memory is given out, and what is left of it. */
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

/* A script that goes on where ours ends: of a lencase that runs inline and starts a program inline. */
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

/* Our library first, the program's own behind it. */
static char *merged_preload(const struct inline_host *h, struct room *r, const char *value) {
  if (strstr(value, h->preload) != NULL) return joined(r, preload_name, value, "", "");
  return joined(r, preload_name, h->preload, *value != '\0' ? ":" : "", value);
}

/* The variables of the program, ours in their place. */
static char **environment(struct inline_host *h, struct room *r, uint64_t envp, int64_t n) {
  const char *value = "";
  char **out = take(r, ((size_t)n + 3) * sizeof *out), *script = NULL;
  int64_t i, k = 0;
  for (i = 0; i < n && out != NULL; i++) {
    uint64_t p = 0;
    if (inline_peek(h, envp + (uint64_t)i * sizeof p, &p, sizeof p) != sizeof p) return NULL;
    if (starts_with(h, p, preload_name))
      value = (const char *)(uintptr_t)p + strlen(preload_name); /* NOLINT */
    else if (!starts_with(h, p, script_name))
      out[k++] = (char *)(uintptr_t)p; /* NOLINT */
    else if (extends_script(h, p + strlen(script_name)))
      script = (char *)(uintptr_t)p; /* NOLINT */
  }
  if (out == NULL) return NULL;
  out[k] = merged_preload(h, r, value);
  out[k + 1] = script != NULL ? script : joined(r, script_name, h->script, "", "");
  if (out[k] == NULL || out[k + 1] == NULL) return NULL;
  out[k + 2] = NULL;
  return out;
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

/* A path of the program's; false: it cannot be read, and the kernel will say so. */
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

/* What a grate has printed would go with the memory, and what it counted. */
static void step_leave(void *arg) {
  struct inline_host *h = arg;
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

/* True: it was refused, and that was said. */
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

/* The new program shall have the channels, what a grate runs shall not. */
static void pass_channels(const struct inline_host *h, uint64_t flags) {
  size_t i;
  for (i = 0; i < h->place.nchannels; i++)
    if (h->place.channels[i].fd != 0)
      inline_raw3(h, SYS_fcntl, (uint64_t)h->place.channels[i].fd, F_SETFD, flags);
}

static int64_t with_environment(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  struct inline_host *h = t->h;
  int where = nr == SYS_execveat ? 3 : 2;
  int64_t n = count_strings(h, words[where]), result = -ENOMEM;
  size_t size = sizeof(struct exec_block) + ((size_t)n + 8) * sizeof(char *) + strlen(h->preload) +
                strlen(h->script) + ((size_t)128 << 10);
  struct exec_block *b;
  uint64_t own[LENCASE_MAXARGS];
  struct room r;
  char **envp;
  if (n < 0) return inline_carry_plain(t, nr, words); /* EFAULT */
  b = block_new(h, size);
  if (b == NULL) return -ENOMEM;
  r = (struct room){(char *)(b + 1) + 8, size - sizeof *b - 8};
  envp = environment(h, &r, words[where], n);
  memcpy(own, words, sizeof own);
  own[where] = (uintptr_t)envp;
  pass_channels(h, 0);
  if (envp != NULL) result = inline_carry_plain(t, nr, own);
  pass_channels(h, FD_CLOEXEC);
  inline_lock(h);
  inline_exec_forget(h, (pid_t)inline_raw3(h, SYS_getpid, 0, 0, 0));
  inline_unlock(h);
  return result;
}

int64_t inline_carry_exec(struct trap *t, int64_t nr, const uint64_t words[LENCASE_MAXARGS]) {
  int64_t result;
  if (t->h->script == NULL)
    return inline_carry_plain(t, nr, words); /* an embedder's: it ends here */
  if (refused(t->h, nr, words)) return -EACCES;
  inline_lock(t->h);
  inline_engine(t->h, step_leave, t->h);
  inline_unlock(t->h);
  result = with_environment(t, nr, words);
  if (inline_reports(t->h)) inline_report_begin(t->h); /* it has failed */
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

int inline_exec(char *const argv[], const char *preload, const char *script) {
  const char *before = getenv("LD_PRELOAD");
  char value[2 * PATH_MAX];
  bool there = before != NULL && strstr(before, preload) != NULL; /* we run inline ourselves */
  int n = snprintf(value, sizeof value, "%s%s%s", there ? "" : preload,
                   before != NULL && !there ? ":" : "", before != NULL ? before : "");
  if (n < 0 || (size_t)n >= sizeof value) return E2BIG;
  if (setenv("LD_PRELOAD", value, 1) != 0 || setenv(INLINE_VARIABLE, script, 1) != 0) return ENOMEM;
  execvp(argv[0], argv);
  return errno;
}

/* }========================================================================= */
