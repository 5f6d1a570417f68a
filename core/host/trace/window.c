/*
** window.c - the sealed window and the scratch memory of each program
**
** A window is a memfd that we have mapped for writing and then sealed: no other
** process can ever write it. Each new program gets one of its own mapped read-only, the first page
** (the stub) executable, before its first instruction has run. The descriptor
** travels by an answer to a system call that only we know how to make, so that
** nothing in the cage can put another in its place. What is mapped then is asked of the kernel:
** the results of injected calls may come from the cage's own filters.
**
** A child that a program forks has the stub and no slots (MADV_DONTFORK): it gets a window of its
** own when it first needs one, before it loads a filter that could keep it from that.
*/

#include "../kernel.h"
#include "trace_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SCRATCH_SIZE ((size_t)1 << 20)

/* No program is known to use this part of the address space; else above it. */
#define WINDOW_BASE UINT64_C(0x7e9000000000)
#define WINDOW_STEP UINT64_C(0x100000000)
enum { WINDOW_TRIES = 8 };

/* The first page of the window: stub.S. Offsets in it. */
extern const unsigned char trace_stub[] __attribute__((visibility("hidden")));
extern const uint32_t trace_stub_size, trace_setup_at, trace_setup_end,
    trace_guards_at __attribute__((visibility("hidden")));

/* {=============================== our own side ============================ */

/*
** Makes the file as long as 'size' bytes of slots need. It grows as it is used: mlockall in the
** tracee must not pin the whole window. Growing it beyond RLIMIT_FSIZE would raise SIGXFSZ.
*/
bool window_grow(struct window *w, size_t size) {
  struct rlimit limit;
  assert(size <= w->size && w->backed <= w->size);
  if (size <= w->backed) return true;
  if (size < 2 * w->backed && 2 * w->backed <= w->size) size = 2 * w->backed;
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
  if (PAGE + size > limit.rlim_cur) {
    errno = EFBIG;
    return false;
  }
  if (ftruncate(w->fd, (off_t)(PAGE + size)) != 0) return false;
  w->backed = size;
  return true;
}

static bool window_try(struct window *w, size_t size) {
  const int seals = F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_SEAL;
  void *data = mmap(NULL, PAGE + size, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
  if (data == MAP_FAILED) return false;
  w->data = data;
  w->size = size;
  if (!window_grow(w, WINDOW_SMALL) || fcntl(w->fd, F_ADD_SEALS, seals) != 0) return false;
  memcpy(data, trace_stub, trace_stub_size);
  edges_write((unsigned char *)data + trace_guards_at);
  return true;
}

void window_free(struct trace_run *run, struct window *w) {
  if (w == NULL) return;
  assert(w->slots.n == 0);
  slots_free(run->st, &w->slots);
  if (w->data != NULL) munmap(w->data, PAGE + w->size);
  if (w->fd >= 0) close(w->fd);
  state_free(run->st, w, sizeof *w);
}

void window_lack(const struct trace_run *run, const struct space *space, char text[WINDOW_LACK]) {
  const struct no_window *w = &run->window;
  const char *why = space->lack != NULL ? space->lack : w->lack;
  if (space->lack == NULL && w->lack_err != 0)
    snprintf(text, WINDOW_LACK, "%s: %s", why, strerror(w->lack_err));
  else
    snprintf(text, WINDOW_LACK, "%s", why != NULL ? why : "it cannot be mapped");
}

static void lacks(struct trace_run *run, const char *why, int err) {
  run->window = (struct no_window){why, err};
}

static struct window *window_new(struct trace_run *run) {
  struct window *w = state_new(run->st, sizeof *w);
  if (w == NULL) {
    lacks(run, "no memory for it", ENOMEM);
    return NULL;
  }
  w->fd = memfd_create("lencase", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (w->fd < 0 && errno == EINVAL)
    w->fd = memfd_create("lencase", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (w->fd >= 0 && window_try(w, WINDOW_BIG)) return w;
  if (w->fd >= 0 && w->data == NULL && window_try(w, WINDOW_SMALL)) return w;
  lacks(run,
        errno == EFBIG ? "files may not be that long here, ulimit -Hf"
                       : "no memory can be shared, memfd_create",
        errno);
  window_free(run, w);
  return NULL;
}

static int window_full(struct trace_run *run, const struct thread *t, size_t size) {
  state_debug(run->st, WINDOW, "%d: no place for %zu bytes", (int)t->proc->tgid, size);
  return state_fail(run->st, LENCASE_ENOMEM, "the window of cage %d has no %zu bytes left",
                    (int)t->proc->tgid, size);
}

int window_take(struct trace_run *run, struct thread *t, struct mem_seg *seg) {
  const struct space *space = t->proc->space;
  struct window *w;
  size_t offset, first = edges_first();
  bool ready = window_ready(run, t);
  w = space->ours;
  if (!ready || space->window_size <= first ||
      !slots_get(run->st, &w->slots, seg->size, edges_last(space->window_size) - first, &offset))
    return window_full(run, t, seg->size);
  if (!window_grow(w, first + offset + seg->size)) {
    slots_put(&w->slots, offset);
    return window_full(run, t, seg->size);
  }
  offset += first;
#ifdef LENCASE_HARD
  memset(w->data + PAGE + offset, 0xdb,
         (seg->size + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN); /* up to the next call's bytes */
#endif
  seg->addr = space->window + PAGE + offset;
  seg->data = w->data + PAGE + offset;
  state_debug(run->st, WINDOW, "%d: %zu bytes at 0x%" PRIx64, (int)t->proc->tgid, seg->size,
              seg->addr);
  return LENCASE_OK;
}

void window_give(struct trace_run *run, const struct space *space, const struct mem_seg *seg) {
  state_debug(run->st, WINDOW, "%d: %zu bytes at 0x%" PRIx64 " are free again", (int)space->pid,
              seg->size, seg->addr);
  assert(space->ours != NULL &&
         (unsigned char *)seg->data - space->ours->data == (ptrdiff_t)(seg->addr - space->window));
  memset(seg->data, 0, seg->size);
  slots_put(&space->ours->slots, seg->addr - space->window - PAGE - edges_first());
}

/* }========================================================================= */

/* {=============================== the descriptor ========================== */

/* The kernel may write more than the headers here know of. */
union notification {
  struct seccomp_notif n;
  unsigned char room[256];
};

static void refuse(int listener, uint64_t id, int err) {
  union {
    struct seccomp_notif_resp r;
    unsigned char room[256];
  } answer;
  memset(answer.room, 0, sizeof answer.room);
  answer.r.id = id;
  answer.r.error = -err;
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

/*
** Answers the call of the thread with the window's descriptor, whose number there is *got; -1: it
** cannot be had. False: it was another's call, a cage's that has found the cookie, which it is not
** meant to know.
*/
static bool hand_over(const struct steps *s, int window_fd, int *got) {
  union notification note;
  struct seccomp_notif_addfd add = {.flags = SECCOMP_ADDFD_FLAG_SEND};
  memset(note.room, 0, sizeof note.room);
  if (ioctl(s->run->listener, SECCOMP_IOCTL_NOTIF_RECV, &note) != 0) return false;
  if ((pid_t)note.n.pid != s->t->tid) {
    state_log(s->run->st, "cage %d made a call that is lencase's own: ended", (int)note.n.pid);
    kill((pid_t)note.n.pid, SIGKILL);
    refuse(s->run->listener, note.n.id, ENOSYS);
    return false;
  }
  add.id = note.n.id;
  add.srcfd = (uint32_t)window_fd;
  add.newfd_flags = O_CLOEXEC;
  *got = ioctl(s->run->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
  if (*got < 0) refuse(s->run->listener, note.n.id, errno);
  return true;
}

/* The call with the cookie: the number of the descriptor that it got, or a negative errno. */
static int64_t fetch_descriptor(struct steps *s, uint64_t site, int window_fd) {
  uint64_t words[LENCASE_MAXARGS] = {0};
  enum steps_news news;
  int status, got = -1;
  int64_t result;
  memcpy(words, s->run->cookie, sizeof s->run->cookie);
  if (!steps_enter(s, site, s->run->window_call, words)) return -ESRCH;
  if (!thread_ptrace(s->t, PTRACE_SYSCALL, 0, 0)) return -ESRCH;
  do news = steps_wait(s, s->run->listener, &status);
  while (news == NEWS_FILE && !hand_over(s, window_fd, &got));
  if (news == NEWS_NONE) return -ESRCH;
  if (news == NEWS_STOP) queue_told(s->run, s->t->tid, status); /* steps_stop takes it */
  if (!steps_stop(s, PTRACE_SYSCALL, STOP_SYSCALL)) return -ESRCH;
  result = steps_result(s);
  return result >= 0 && result != got ? -EPERM : result;
}

/* }========================================================================= */

/* {================================= mapping =============================== */

static uint64_t scratch_of(uint64_t stub, const struct window *w) {
  return stub + PAGE + w->size + WINDOW_SMALL;
}

/* Maps the stub where there is room: its address, or a negative errno. */
static int64_t map_stub(struct steps *s, uint64_t site, int64_t fd) {
  uint64_t words[LENCASE_MAXARGS] = {
      WINDOW_BASE, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, (uint64_t)fd, 0};
  int64_t at = -EEXIST;
  int i;
  for (i = 0; i < WINDOW_TRIES && at == -EEXIST; i++, words[0] += WINDOW_STEP)
    at = steps_call(s, site, SYS_mmap, words);
  return at;
}

/* Lets the thread run the set-up of the stub; its registers are in *regs then. */
static bool run_setup(struct steps *s, const struct window *w, uint64_t stub, int64_t fd,
                      struct user_regs_struct *regs) {
  *regs = s->regs;
  regs->orig_rax = (unsigned long long)-1;
  regs->rip = stub + trace_setup_at;
  regs->rbx = stub;
  regs->r12 = w->size;
  regs->r13 = WINDOW_SMALL;
  regs->r14 = scratch_of(stub, w);
  regs->rbp = SCRATCH_SIZE;
  regs->r15 = (uint64_t)fd;
  if (!regs_set(s->t, regs)) return false;
  do { /* calls of the set-up may be named in an interface, too */
    if (!steps_go(s, PTRACE_CONT, STOP_SECCOMP) || !regs_get(s->t, regs)) return false;
  } while (regs->rip - stub < trace_setup_end);
  return (regs->orig_rax == SYS_sched_getaffinity && regs->rip == stub + trace_setup_end) ||
         steps_refuse(s, "it did not run what was made for it");
}

/* What is looked for in a program's mappings. */
struct sought {
  const struct thread *t;
  struct stat file;
  uint64_t stub;
  int maps;
};

/* The end of the part of the window mapped from 'addr' on, and its kind; 0: something else. */
static uint64_t window_end(const struct sought *s, uint64_t addr, uint32_t *flags) {
  struct mapping m;
  if (!memory_mapping(s->t, s->maps, addr, &m)) return 0;
  *flags = m.flags;
  return m.start == addr && m.offset == addr - s->stub && m.inode == s->file.st_ino &&
                 m.dev_major == major(s->file.st_dev) && m.dev_minor == minor(s->file.st_dev)
             ? m.end
             : 0;
}

/* Guards lie between them, which cannot be read. */
static bool are_slots(const struct sought *s) {
  uint64_t at = s->stub + PAGE, last = at + s->t->proc->space->window_size;
  uint32_t flags = MAPPED_SHARED;
  while (at != 0 && at < last && (flags & ~(uint32_t)MAPPED_READ) == MAPPED_SHARED)
    at = window_end(s, at, &flags);
  return at == last && (flags & ~(uint32_t)MAPPED_READ) == MAPPED_SHARED;
}

static void note_space(struct space *space, const struct window *w, uint64_t stub,
                       const struct user_regs_struct *regs) {
  space->window = stub;
  if (regs->r13 == stub + PAGE) space->window_size = regs->r12;
  if (regs->r14 != scratch_of(stub, w)) return;
  space->scratch = regs->r14;
  space->scratch_size = SCRATCH_SIZE;
}

static const char changed[] = "what it maps is not the window it was given";

/* It reads our slots from now on. The thread stands before the call that ends the set-up. */
static void use_stub(struct steps *s, const struct window *w, const struct sought *sought,
                     int64_t fd) {
  struct user_regs_struct regs;
  if (!run_setup(s, w, sought->stub, fd, &regs)) return;
  note_space(s->t->proc->space, w, sought->stub, &regs);
  if (s->t->proc->space->window_size == 0)
    lacks(s->run, "it cannot be mapped", (int)-(int64_t)regs.r13);
  if (!are_slots(sought))
    steps_refuse(s, changed);
  else if (s->t->proc->space->window_size > 0)
    state_debug(s->run->st, WINDOW, "%d: %zu bytes are mapped at 0x%" PRIx64, (int)s->t->proc->tgid,
                s->t->proc->space->window_size, sought->stub + PAGE);
}

/* Maps the stub, where the program's mappings can be asked for: an address, or a negative errno. */
static int64_t map_checked_stub(struct steps *s, uint64_t site, int64_t fd, struct sought *sought) {
  int64_t stub = sought->maps >= 0 ? map_stub(s, site, fd) : -EACCES;
  uint32_t flags;
  if (stub < 0) return stub;
  sought->stub = (uint64_t)stub;
  if (window_end(sought, sought->stub, &flags) != sought->stub + PAGE ||
      flags != (MAPPED_READ | MAPPED_EXEC | MAPPED_SHARED))
    steps_refuse(s, changed);
  return s->over ? -ESRCH : stub;
}

/*
** The descriptor of the window in the program, or a negative errno: of another description of the
** file, which can only be read.
*/
static int64_t descriptor_of(struct steps *s, const struct window *w, uint64_t site) {
  char path[48];
  int window_fd;
  int64_t fd;
  snprintf(path, sizeof path, "/proc/self/fd/%d", w->fd);
  window_fd = open(path, O_RDONLY | O_CLOEXEC);
  fd = window_fd >= 0 ? fetch_descriptor(s, site, window_fd) : -errno;
  if (window_fd >= 0) close(window_fd);
  if (fd < 0) lacks(s->run, "its descriptor cannot be handed over", (int)-fd);
  return fd;
}

/* 'maps' is the program's file of that name. */
static struct sought sought_in(const struct thread *t, const struct window *w, int maps) {
  struct sought sought = {.t = t, .maps = maps, .stub = t->proc->space->window};
  if (fstat(w->fd, &sought.file) != 0) sought.file.st_ino = 0; /* which is no file's */
  return sought;
}

/* The thread stands at a syscall instruction that is ours until 'old' is put back. */
static void map_all(struct steps *s, const struct window *w, uint64_t site, long old) {
  uint64_t words[LENCASE_MAXARGS] = {0};
  int64_t stub, fd = descriptor_of(s, w, site);
  struct sought sought = sought_in(s->t, w, memory_maps(s->t));
  stub = fd >= 0 ? map_checked_stub(s, site, fd, &sought) : fd;
  if (sought.maps < 0)
    lacks(s->run, "its mappings cannot be asked for", EACCES);
  else if (fd >= 0)
    lacks(s->run, "it cannot be mapped", stub < 0 ? (int)-stub : 0);
  if (fd >= 0 && stub < 0) {
    words[0] = (uint64_t)fd;
    steps_call(s, site, SYS_close, words);
  }
  if (!s->t->queue.told) thread_ptrace(s->t, PTRACE_POKETEXT, site, (uintptr_t)old);
  if (stub > 0) use_stub(s, w, &sought, fd);
  if (sought.maps >= 0) close(sought.maps);
}

enum { SYSCALL_CODE = 0x050f }; /* the bytes 0f 05 */

static void map_window(struct steps *s, struct window *w) {
  struct thread *t = s->t;
  long old;
  errno = 0;
  old = ptrace(PTRACE_PEEKTEXT, t->tid, s->regs.rip, 0);
  if (errno != 0 || !thread_ptrace(t, PTRACE_POKETEXT, s->regs.rip,
                                   ((uintptr_t)old & ~UINT64_C(0xffff)) | SYSCALL_CODE)) {
    t->proc->space->lack = "its program cannot be read";
    return;
  }
  thread_mask(t);
  map_all(s, w, s->regs.rip, old);
  if (t->queue.told) return;
  s->regs.orig_rax = (unsigned long long)-1;
  regs_set(t, &s->regs);
  thread_unmask(t);
  if (s->stopped_by != 0) syscall(SYS_tgkill, t->proc->tgid, t->tid, s->stopped_by);
}

/* The offset of the n-th syscall instruction of the set-up. */
static uint64_t setup_site(size_t n) {
  static const unsigned char instruction[] = {0x0f, 0x05};
  uint64_t at = trace_setup_at;
  while (memcmp(trace_stub + at, instruction, sizeof instruction) != 0 || n-- > 0) at++;
  return at;
}

/* Whether its own filters allow all that maps a window of 'size' bytes at 'stub'. */
static bool filters_allow(const struct trace_run *run, const struct thread *t, uint64_t site,
                          uint64_t stub, uint64_t size) {
  const uint64_t *c = run->cookie, fd = 3;
  const struct {
    int32_t nr;
    uint64_t site, words[LENCASE_MAXARGS];
  } calls[] = {
      {run->window_call, site, {c[0], c[1], c[2], c[3], c[4]}},
      {SYS_mmap,
       site,
       {stub, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0}},
      {SYS_close, site, {fd}},
      {SYS_mmap,
       stub + setup_site(0),
       {stub + PAGE, size, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, PAGE}},
      {SYS_mmap,
       stub + setup_site(1),
       {stub + PAGE, WINDOW_SMALL, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, PAGE}},
      {SYS_mprotect, stub + setup_site(2), {stub + PAGE + edges_first() - PAGE, PAGE, PROT_NONE}},
      {SYS_madvise, stub + setup_site(3), {stub, PAGE + size, MADV_DONTDUMP}},
      {SYS_madvise, stub + setup_site(4), {stub + PAGE, size, MADV_DONTFORK}},
      {SYS_mmap,
       stub + setup_site(5),
       {stub + PAGE + size + WINDOW_SMALL, SCRATCH_SIZE, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, UINT64_MAX, 0}},
      {SYS_close, stub + setup_site(6), {fd}},
      {SYS_sched_getaffinity, stub + setup_site(7), {fd}},
  };
  size_t i = 0, n = sizeof calls / sizeof *calls;
  while (i < n && foreign_allows(t, calls[i].site, calls[i].nr, calls[i].words)) i++;
  if (i < n) t->proc->space->lack = "seccomp filters of its own";
  return i == n;
}

/* False: what was to be mapped is not there. */
static bool keep_mapped(struct trace_run *run, const struct process *proc) {
  struct space *space = proc->space;
  char why[WINDOW_LACK];
  if (space->ours != NULL && space->window_size > 0) return true;
  window_lack(run, space, why);
  state_debug(run->st, WINDOW, "%d: no window: %s", (int)proc->tgid, why);
  window_free(run, space->ours);
  space->ours = NULL;
  return false;
}

void window_map(struct trace_run *run, struct thread *t) {
  struct steps s = {.run = run, .t = t};
  struct space *space = t->proc->space;
  if (!run->wanted || run->listener < 0 || !regs_get(t, &s.regs)) return;
  space->ours = window_new(run);
  if (space->ours != NULL && filters_allow(run, t, s.regs.rip, WINDOW_BASE, space->ours->size))
    map_window(&s, space->ours);
  keep_mapped(run, t->proc);
}

/* The slots of a window alone, where the stub is: 'maps' is the program's file of that name. */
struct slots_map {
  const struct window *w;
  int maps;
};

static int64_t map_slots(struct steps *s, void *ud) {
  const struct slots_map *m = ud;
  const struct sought sought = sought_in(s->t, m->w, m->maps);
  int64_t fd = descriptor_of(s, m->w, sought.stub);
  struct user_regs_struct regs;
  if (fd < 0) return fd;
  use_stub(s, m->w, &sought, fd);
  if (s->over || !regs_get(s->t, &regs)) return -ESRCH;
  regs.orig_rax = (unsigned long long)-1; /* the call that ends the set-up is not made */
  return regs_set(s->t, &regs) && steps_go(s, PTRACE_SYSCALL, STOP_SYSCALL) ? 0 : -ESRCH;
}

/* A file that is opened while the program is dumpable stays good. */
static int unveiled_maps(struct thread *t) {
  int maps = memory_maps(t);
  if (maps >= 0 || memory_unveil(t) != VEIL_LIFTED) return maps;
  maps = memory_maps(t);
  memory_veil(t);
  return maps;
}

static void map_own_slots(struct trace_run *run, struct thread *t) {
  struct space *space = t->proc->space;
  struct slots_map m = {space->ours, -1};
  if (!filters_allow(run, t, space->window, space->window, space->ours->size)) return;
  m.maps = unveiled_maps(t);
  if (m.maps < 0) {
    lacks(run, "its mappings cannot be asked for", EACCES);
    return;
  }
  steps_detour(run, t, map_slots, &m);
  close(m.maps);
}

bool window_ready(struct trace_run *run, struct thread *t) {
  struct space *space = t->proc->space;
  if (!space->forked) return space->window_size > 0;
  space->forked = false;
  space->ours = run->listener >= 0 ? window_new(run) : NULL;
  if (space->ours != NULL) map_own_slots(run, t);
  return keep_mapped(run, t->proc);
}

/* }========================================================================= */
