/*
** sim_kernel.c - the kernel at the bottom of a sim cage, on translated pointers
*/

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sim_fixture.h"

/* {================================= files ================================= */

static char dir[TEST_PATH];

/* The path of 'name' in the test's own folder, as a string of the cage. */
static uint64_t path_in(struct world *w, const char *name) {
  char path[TEST_PATH + 32];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  return world_string(w, path);
}

static void files(void) {
  struct world w;
  char back[16];
  world_open(&w, NULL, NULL);
  int64_t fd = world_call(&w, SYS_open, path_in(&w, "file"), O_CREAT | O_RDWR, 0600);
  if (!ok(fd >= 0, "open a new file: %" PRId64, fd)) return;
  is_int(world_call(&w, SYS_write, (uint64_t)fd, world_put(&w, "hello, ", 7), 7), 7, "write");
  uint64_t iov[] = {world_put(&w, "wor", 3), 3, 8, 0, world_put(&w, "ld", 2), 2};
  is_int(world_call(&w, SYS_writev, (uint64_t)fd, world_put(&w, iov, 48), 3), 5, "writev");
  is_int(world_call(&w, SYS_lseek, (uint64_t)fd, 0, SEEK_CUR), 12, "lseek sees all");
  uint64_t buf = sim_alloc(w.cage, 16);
  is_int(world_call(&w, SYS_pread64, (uint64_t)fd, buf, 16, 0), 12, "pread64");
  world_get(&w, buf, back, 16);
  is_mem(back, "hello, world", 12, "reads what was written");
  uint64_t a = sim_alloc(w.cage, 4), b = sim_alloc(w.cage, 20);
  is_int(
      world_call(&w, SYS_preadv, (uint64_t)fd, world_put(&w, (uint64_t[]){a, 4, b, 20}, 32), 2, 3),
      9, "preadv");
  world_get(&w, a, back, 4);
  is_mem(back, "lo, ", 4, "fills the first run");
  world_get(&w, b, back, 5);
  is_mem(back, "world", 5, "and the second");
  uint64_t st = sim_alloc(w.cage, sizeof(struct stat));
  struct stat stat;
  is_int(world_call(&w, SYS_fstat, (uint64_t)fd, st), 0, "fstat");
  world_get(&w, st, &stat, sizeof stat);
  is_int(stat.st_size, 12, "tells the size");
  is_int(world_call(&w, SYS_fstat, (uint64_t)fd, st + 1), -EFAULT, "no room for a whole struct");
  is_int(world_call(&w, SYS_close, (uint64_t)fd), 0, "close");
  is_int(world_call(&w, SYS_close, (uint64_t)fd), -EBADF, "errors are the kernel's");
  is_int(world_call(&w, SYS_unlink, path_in(&w, "file")), 0, "unlink");
  is_int(world_call(&w, SYS_unlink, path_in(&w, "file")), -ENOENT, "and again");
  world_close(&w);
}

static void lengths(void) {
  struct world w;
  uint32_t length = 110;
  world_open(&w, NULL, NULL);
  int64_t fd = world_call(&w, SYS_socket, 1, 1, 0);
  if (!ok(fd >= 0, "a socket")) return;
  uint64_t addr = sim_alloc(w.cage, 110), len = world_put(&w, &length, 4);
  is_int(world_call(&w, SYS_getsockname, (uint64_t)fd, addr, len), 0, "getsockname");
  world_get(&w, len, &length, 4);
  is_int(length, 2, "tells how long the address is");
  uint32_t more = 111;
  uint64_t long_len = world_put(&w, &more, 4);
  is_int(world_call(&w, SYS_getsockname, (uint64_t)fd, addr, long_len), 0,
         "a length that promises more room than there is, and than is filled");
  is_int(world_call(&w, SYS_getsockname, (uint64_t)fd, addr, 8), -EFAULT, "a length at nowhere");
  is_int(world_call(&w, SYS_close, (uint64_t)fd), 0, "close");
  world_close(&w);
}

/* }========================================================================= */

/* {============================= hostile words ============================= */

static bool has_pointers(const struct sig_variant *v) {
  for (int i = 0; i < v->nparams; i++)
    if (sig_is_pointer(&v->params[i])) return true;
  return false;
}

/* All pointers of a call at 'where', all integers 1: the kernel finds nothing there. */
static bool is_refused(struct world *w, const struct signature *sig, const struct sig_variant *v,
                       uint64_t where) {
  uint64_t words[LENCASE_MAXARGS] = {1, 1, 1, 1, 1, 1};
  for (int i = 0; i < v->nparams; i++)
    if (sig_is_pointer(&v->params[i])) words[i] = where;
  int64_t result = world_words(w, sig->nr, words);
  return result <= 0; /* 0: there were none to be written */
}

static void every_pointer(void) {
  struct world w;
  char ours[64] = "of this process, not of the cage";
  const uint64_t wheres[] = {1, SIM_BASE - 8, UINT64_MAX, UINT64_C(1) << 63, (uintptr_t)ours};
  world_open(&w, NULL, NULL);
  for (size_t i = 0; i < sig_table_size; i++) {
    const struct signature *sig = &sig_table[i];
    const struct sig_variant *v = sig_select(sig, (uint64_t[6]){1, 1, 1, 1, 1, 1}, false);
    if (!has_pointers(v) || sig->nr == SYS_clone || sig->nr == SYS_set_tid_address)
      continue; /* sim answers those and looks at no pointer */
    bool all = true;
    for (size_t j = 0; j < sizeof wheres / sizeof wheres[0]; j++)
      all = all && is_refused(&w, sig, v, wheres[j]);
    ok(all, "%s with pointers to nowhere", sig->name);
  }
  is_str(ours, "of this process, not of the cage", "nothing of ours was written");
  world_close(&w);
}

static void bad_iovecs(void) {
  static char bytes[100];
  struct world w;
  world_open(&w, NULL, NULL);
  int fd = memfd_create("out", MFD_CLOEXEC);
  need(fd >= 0);
  uint64_t out = (uint64_t)fd, a = world_put(&w, bytes, 100);
  uint64_t good = world_put(&w, (uint64_t[]){a, 100}, 16);
  is_int(world_call(&w, SYS_writev, out, good, 1), 100, "a run as long as its object");
  is_int(world_call(&w, SYS_writev, out, good, 2), -EFAULT, "an array over its end");
  is_int(world_call(&w, SYS_writev, out, good, (uint64_t)-1), -EINVAL, "a negative count");
  is_int(world_call(&w, SYS_writev, out, good, 1025), -EINVAL, "too many runs");
  is_int(world_call(&w, SYS_writev, out, 8, 0), 0, "no runs");
  is_int(world_call(&w, SYS_writev, out, world_put(&w, (uint64_t[]){a, 101}, 16), 1), 100,
         "a run over its object");
  is_int(world_call(&w, SYS_writev, out, world_put(&w, (uint64_t[]){a, UINT64_MAX}, 16), 1),
         -EINVAL, "a run round all addresses");
  is_int(world_call(&w, SYS_writev, out, world_put(&w, (uint64_t[]){(uintptr_t)bytes, 8}, 16), 1),
         -EFAULT, "a run in this process");
  close(fd);
  world_close(&w);
}

/* No byte of this process behind what the cage has is looked at, guard page or not. */
static void open_end(void) {
  struct world w;
  char name[4096];
  memset(name, 'n', sizeof name);
  world_open(&w, NULL, &(struct sim_config){.memory = 1 << 16});
  is_int(world_call(&w, SYS_unlink, world_put(&w, name, sizeof name)), -ENAMETOOLONG,
         "a string of a page that ends with the memory");
  is_int(world_call(&w, SYS_unlink, SIM_BASE + 1), -EFAULT, "and one that is shorter");
  world_close(&w);
}

/* Rebuilt arrays take no more room in the end than one of them. */
static void many_iovecs(void) {
  static uint64_t iov[2 * 1024];
  struct world w;
  int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  need(fd >= 0);
  world_open(&w, NULL, NULL);
  uint64_t a = world_put(&w, "a", 1);
  for (size_t i = 0; i < 1024; i++) iov[2 * i] = a, iov[2 * i + 1] = 1;
  uint64_t addr = world_put(&w, iov, sizeof iov);
  for (unsigned i = 0; i < 10; i++)
    is_int(world_call(&w, SYS_writev, (uint64_t)fd, addr, 1024), 1024, "1024 runs, time %u", i + 1);
  close(fd);
  world_close(&w);
}

/* A call that reads into the window is refused as the kernel would. */
static enum verdict reads_into_window(struct call *call, enum handler_event ev) {
  uint64_t words[LENCASE_MAXARGS] = {call->words[0], 0, 8};
  (void)ev;
  need(call_window(call, 8) == LENCASE_OK);
  words[1] = call->window.addr;
  need(call_down(call, SYS_read, words) == VERDICT_DONE);
  call->result = call->down_result;
  return VERDICT_DONE;
}

static void window(void) {
  struct world w;
  struct route_entry entry = TEST_ENTRY(2000, .handler = reads_into_window);
  world_open(&w, NULL, NULL);
  need(test_route(w.st, &w.cage->routes, 2000, &entry) == LENCASE_OK);
  int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  need(fd >= 0);
  is_int(world_call(&w, 2000, (uint64_t)fd), -EFAULT,
         "the kernel does not write the window either");
  close(fd);
  world_close(&w);
}

/* }========================================================================= */

/* {============================ the process itself ========================= */

static void unknown_commands(void) {
  struct world w;
  world_open(&w, NULL, NULL);
  is_int(world_call(&w, SYS_fcntl, 0, 9999, 8), -ENOSYS, "what may be a pointer is not handed on");
  is_int(world_call(&w, SYS_fcntl, 0, 9999, 0), -EINVAL, "what is none is the kernel's to refuse");
  world_close(&w);
}

static const char *const refused[] = {
    "mmap",           "munmap",          "mprotect",   "mremap", "brk",
    "kill",           "tgkill",          "tkill",      "ptrace", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn",    "arch_prctl", "prctl",  "seccomp",
    "setuid",         "setresgid",       "wait4",      "clone3", "execveat",
    "chroot",         "sendmsg",         "recvmsg",    "ioctl",  "process_vm_writev",
    "io_uring_setup", "set_robust_list", "rseq",       "reboot", "unshare"};

static void refusals(void) {
  struct world w;
  world_open(&w, NULL, NULL);
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    int32_t nr = sig_callnum(refused[i]);
    need(nr >= 0);
    is_int(world_call(&w, nr, 0), -ENOSYS, "%s is refused", refused[i]);
  }
  static const int32_t unknown[] = {-1, INT32_MIN, 2000, 0x40000001, INT32_MAX};
  for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
    is_int(world_call(&w, unknown[i], 0), -ENOSYS, "call %d is refused", unknown[i]);
  world_close(&w);
}

static void identities(void) {
  struct world w;
  world_open(&w, NULL, NULL);
  int64_t pid = world_call(&w, SYS_getpid, 0);
  is_int(pid, w.cage->pid, "getpid is the cage's");
  is_int(world_call(&w, SYS_gettid, 0), pid, "gettid too");
  is_int(world_call(&w, SYS_getppid, 0), 0, "a first cage has no parent");
  struct lencase_cage *child = cage_by_id(w.st, (uint64_t)world_call(&w, SYS_vfork, 0));
  if (!ok(child != NULL, "a forked cage is found by its pid")) return;
  int64_t result = -1;
  is_int(sim_call(child, SYS_getppid, (uint64_t[6]){0}, &result, NULL), LENCASE_OK, "its getppid");
  is_int(result, pid, "is its parent's pid");
  ok(child->shares_files, "the kernel's descriptors are shared");
  is_int(sim_call(child, SYS_exit, (uint64_t[6]){7}, &result, NULL), LENCASE_EGONE, "it exits");
  is_int(world_call(&w, SYS_getpid, 0), pid, "its parent stays");
  is_int(world_call(&w, SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD), -ENOSYS, "no threads");
  child = cage_by_id(w.st, (uint64_t)world_call(&w, SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD));
  if (ok(child != NULL, "clone makes a cage too")) sim_cage_exit(child, 0);
  world_close(&w);
}

static void descriptors(void) {
  struct world w;
  char path[256], name[16];
  world_open(&w, NULL, NULL);
  const struct host_ops *ops = w.cage->ops;
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  need(fd >= 0);
  int n = ops->fd_path(w.cage, fd, path, sizeof path);
  if (is_int(n, 9, "fd_path")) is_mem(path, "/dev/null", 9, "of a descriptor");
  is_int(ops->fd_path(w.cage, fd, path, 5), -ENAMETOOLONG, "a path is never cut off");
  ok(ops->fd_open(w.cage, fd), "it is open");
  close(fd);
  ok(!ops->fd_open(w.cage, fd), "and then closed");
  is_int(ops->fd_path(w.cage, fd, path, sizeof path), -EBADF, "and has no path");
  n = ops->fd_path(w.cage, AT_FDCWD, path, sizeof path - 1);
  need(n > 0);
  path[n] = 0;
  char *cwd = getcwd(NULL, 0);
  is_str(path, cwd, "AT_FDCWD is the working directory");
  free(cwd);
  is_int(ops->comm(w.cage, name, sizeof name), 3, "its program");
  is_str(name, "sim", "is sim");
  world_close(&w);
}

static void events(void) {
  struct world w;
  int64_t result;
  world_open(&w, NULL, NULL);
  struct lencase_cage *child = cage_by_id(w.st, (uint64_t)world_call(&w, SYS_fork, 0));
  is_int(w.lines, 0, "events that are not asked for are not told: %s", w.log);
  w.st->config.debug = LENCASE_DEBUG_STOPS;
  sim_call(child, SYS_exit, (uint64_t[LENCASE_MAXARGS]){7}, &result, NULL);
  is_str(w.log, "STOPS: 2: ends, status 0x700, when its calls are over", "a cage exits");
  world_call(&w, SYS_fork, 0);
  is_str(w.log, "STOPS: 3: a new cage with a parent", "a cage forks");
  world_close(&w);
}

/* }========================================================================= */

int main(void) {
  need(mkdtemp(test_path(dir, "sim-XXXXXX")) != NULL);
  files();
  lengths();
  every_pointer();
  bad_iovecs();
  open_end();
  many_iovecs();
  window();
  unknown_commands();
  refusals();
  identities();
  descriptors();
  events();
  ok(rmdir(dir) == 0, "nothing is left behind");
  return test_end();
}
