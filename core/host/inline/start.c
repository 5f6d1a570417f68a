/*
** start.c - lencase_inline_start: from then on this process's calls go to a state's grates
*/

#include "code.h"
#include "inline_int.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { GUARD = 4096, HWCAP2_FSGSBASE_BIT = 2 };

/* Each thread has to turn dispatch on for itself: calls of other threads would escape. */
static bool has_threads(void) {
  DIR *dir = opendir("/proc/self/task");
  const struct dirent *entry;
  int n = 0;
  if (dir == NULL) return false;
  while ((entry = readdir(dir)) != NULL) n += entry->d_name[0] != '.';
  closedir(dir);
  return n > 1;
}

static void note_wanted(struct inline_host *h, const struct lencase_cage *cage) {
  const struct route_link *links;
  int32_t nr;
  for (nr = call_next_wanted(cage, -1, &links); nr >= 0; nr = call_next_wanted(cage, nr, &links)) {
    h->wants = true;
    if (nr < INLINE_NRS)
      h->wanted[nr / 8] |= (uint8_t)(1 << nr % 8);
    else
      h->far_wanted = true;
  }
}

/*
** The first thread keeps its alternate stack, as far as the program sees; the kernel gets ours.
** Where it has none, the flags that sigaltstack(2) tells are not those which the kernel has:
** setting it makes them known.
*/
static bool host_land(struct inline_host *h) {
  struct inline_thread *s = inline_thread_new(h);
  const stack_t none = {0};
  if (s == NULL) return false;
  inline_raw3(h, SYS_sigaltstack, 0, (uintptr_t)&s->alternate, 0);
  if (s->alternate.ss_size == 0 && inline_raw3(h, SYS_sigaltstack, (uintptr_t)&none, 0, 0) == 0)
    s->alternate = none;
  inline_thread_land(h, s);
  return true;
}

static int host_open(struct inline_host *h) {
  struct process *proc = NULL;
  char *stack = mmap(NULL, INLINE_STACK + GUARD, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (stack != MAP_FAILED && mprotect(stack, GUARD, PROT_NONE) == 0)
    h->stack = (uintptr_t)stack + GUARD;
  h->wrfsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT;
  h->pid = getpid();
  h->threads = 1;
  if (h->stack != 0) proc = inline_self(h);
  if (proc == NULL) return state_fail(h->st, LENCASE_ENOMEM, "no memory for a cage");
  note_wanted(h, proc->cage);
  inline_the_host = h;
  if (!host_land(h)) return state_fail(h->st, LENCASE_ENOMEM, "no memory for a thread's stack");
  inline_kept_open(h);
  inline_patch_open(h);
  inline_adopt_handlers(h);
  return inline_install(h);
}

/* From here on the program may be inside its malloc when the state needs memory. */
static int memory_of_our_own(struct lencase_state *st) {
  struct inline_memory *m = inline_memory_open();
  if (m == NULL) return state_fail(st, LENCASE_ENOMEM, "no memory for grates");
  st->config.alloc = inline_memory_alloc;
  st->config.alloc_ud = m;
  return LENCASE_OK;
}

static int start(struct lencase_state *st, const struct inline_place *place, const char *preload,
                 const char *script) {
  struct inline_host *h = state_new(st, sizeof *h);
  int rc;
  if (h == NULL) return state_fail(st, LENCASE_ENOMEM, "no memory for a host");
  h->st = st;
  h->place = place != NULL ? *place : inline_own_place();
  if (place == NULL) {
    const struct inline_code libc = inline_libc_code();
    h->place.code = libc.begin;
    h->place.code_size = libc.size;
  }
  h->avoids = h->place.avoids;
  h->by_pipe = (h->avoids & INLINE_AVOID_VM) != 0;
  h->unpatchable = (h->avoids & INLINE_AVOID_PATCH) != 0;
  h->preload = preload;
  h->script = script;
  st->run = h;
  rc = host_open(h);
  if (rc != LENCASE_OK || !inline_reports(h)) return rc;
  inline_fatal_open(h);
  inline_report_begin(h);
  return LENCASE_OK;
}

int inline_start_at(struct lencase_state *st, const struct inline_place *place, const char *preload,
                    const char *script) {
  int rc;
  if (inline_the_host != NULL)
    return state_fail(st, LENCASE_EPERM, "a state is inline in this process already");
  if (has_threads())
    return state_fail(st, LENCASE_EPERM,
                      "this process has other threads: go inline before they are made");
  rc = state_enter(st); /* and is never left: only calls use the state from now on */
  if (rc == LENCASE_OK && place == NULL) rc = memory_of_our_own(st);
  return rc == LENCASE_OK ? start(st, place, preload, script) : rc;
}

LENCASE_PUBLIC int lencase_inline_start(lencase_state *st) {
  return inline_start_at(st, NULL, NULL, NULL);
}
