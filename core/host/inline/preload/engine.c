/*
** engine.c - liblencase-engine.so: the grates of a program that runs inline
**
** Is loaded into a link namespace of its own, with a libc of its own (preload.c), whose calls are
** not dispatched. What runs in here has a thread pointer of its own, too, so that this libc need
** not be set up in the program's threads.
*/

#include "../code.h"
#include "../inline.h"
#include "modules.h"

#include <asm/prctl.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define ENGINE_PUBLIC __attribute__((visibility("default")))

enum { FAILED = 125, WORDS_MAX = 4096, BIG = 16 << 20 };
enum { OUTPUT_HEAD = 9, OUTPUT_CHUNK = 8 << 10 };

extern char **environ;

/*
** Where messages and io.stderr go: the standard error that the program began with. Programs may
** close theirs before they end, and on_exit comes later.
*/
static int messages = STDERR_FILENO;

static int keep_messages(void) {
  static const int wanted[] = {1000, 200, 10};
  size_t i;
  int fd = -1;
  for (i = 0; i < sizeof wanted / sizeof *wanted && fd < 0; i++)
    fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, wanted[i]);
  if (fd < 0) return 0;
  stderr->_fileno = fd; /* of our glibc: the program's stdio is another one */
  messages = fd;
  return fd;
}

static void say(void *ud, const char *line) {
  struct iovec parts[] = {
      {(void *)"lencase: ", 9}, {(void *)(uintptr_t)line, strlen(line)}, {(void *)"\n", 1}};
  (void)ud;
  if (writev(messages, parts, 3) < 0) return;
}

/* {================================== place ================================ */

/* The address of these bytes; 0: they are not there. */
static uintptr_t find_code(uintptr_t begin, size_t size, const void *code, size_t n) {
  const void *at = memmem((const void *)begin, size, code, n); /* NOLINT */
  return (uintptr_t)at;
}

static bool find_place(struct inline_place *place) {
  static const unsigned char gate[] = {0x0f, 0x05, 0xc3}; /* syscall; ret: as in getpid */
  static const unsigned char restorer[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
  const struct inline_code libc = inline_libc_code();
  if (libc.size == 0) return false;
  place->begin = libc.begin;
  place->size = libc.size;
  place->gate = find_code((uintptr_t)getpid, 16, gate, sizeof gate);
  if (place->gate == 0) place->gate = find_code(place->begin, place->size, gate, sizeof gate);
  place->fast = find_code((uintptr_t)getppid, 16, gate, sizeof gate);
  if (place->fast == 0)
    place->fast =
        find_code(place->gate + 2, place->begin + place->size - place->gate - 2, gate, sizeof gate);
  place->restorer = find_code(place->begin, place->size, restorer, sizeof restorer);
  return place->gate != 0 && place->fast != 0 && place->fast != place->gate && place->restorer != 0;
}

static void flush(void) {
  fflush(NULL);
}

/*
** A thread control block as the dynamic linker makes it, with the thread-local data of all that is
** loaded. These words of it, whose places are part of the x86-64 ABI, are copied from the first
** thread's.
*/
enum { TCB = 0, SELF = 2, SYSINFO = 4, STACK_GUARD = 5, POINTER_GUARD = 6, WORDS = 128 };

/*
** Locks have their owner's tid, and 0 when they are free. Where the tid is, libc tells debuggers:
** the number of bits, of elements, and the offset. NULL: it does not.
*/
static uint32_t *tid_of(uintptr_t *own) {
  const uint32_t *said = dlsym(RTLD_DEFAULT, "_thread_db_pthread_tid");
  if (said == NULL || said[0] != 32) return NULL;
  return (uint32_t *)((uintptr_t)own + said[2]); /* NOLINT */
}

/* The list of robust locks, which points to itself, and then has an offset that is less than 0. */
static void robust_list(uintptr_t *own, const uintptr_t *first) {
  size_t i;
  for (i = 1; i < WORDS; i++)
    if (first[i] == (uintptr_t)&first[i] && (intptr_t)first[i + 1] < 0 &&
        first[i - 1] == (uintptr_t)&first[i]) {
      own[i - 1] = own[i] = (uintptr_t)&own[i];
      own[i + 1] = first[i + 1];
    }
}

static uintptr_t thread_pointer(struct inline_place *place) {
  void *(*allocate)(void *) = (void *(*)(void *))dlsym(RTLD_DEFAULT, "_dl_allocate_tls");
  uintptr_t *own = allocate != NULL ? allocate(NULL) : NULL;
  const uintptr_t *first;
  if (own == NULL) return 0;
  __asm__("mov %%fs:0, %0" : "=r"(first));
  own[TCB] = own[SELF] = (uintptr_t)own;
  own[SYSINFO] = first[SYSINFO];
  own[STACK_GUARD] = first[STACK_GUARD];
  own[POINTER_GUARD] = first[POINTER_GUARD];
  robust_list(own, first);
  place->tid = tid_of(own);
  if (place->tid != NULL) *place->tid = (uint32_t)getpid();
  return (uintptr_t)own;
}

/* }========================================================================= */

/* {================================== script =============================== */

/*
** LENCASE_INLINE: words with a letter before them, each ended by a newline; a newline and a percent
** sign inside of one are %0a and %25. 'p' and 'c' are package.path and package.cpath, 't' the
** handler's milliseconds, 'b' max_call_bytes, 'q' 1 for quiet, 'd' debug, 'k' what is avoided,
** 'g' a grate, 'a' an argument of it, '{' and '}' a branch, 'm' the channel to the launcher that
** named the grates before it. A lencase that runs inline and starts a program inline writes its
** own words behind those it runs by: its grates are above the others.
*/
struct script {
  char *text;
  char *words[WORDS_MAX];
  size_t n;
};

static char *decode(char *word) {
  char *in = word, *out = word;
  while (*in != '\0') {
    bool escaped = in[0] == '%' && in[1] != '\0' && in[2] != '\0';
    *out++ = escaped ? (in[1] == '0' ? '\n' : '%') : *in;
    in += escaped ? 3 : 1;
  }
  *out = '\0';
  return word;
}

static bool script_read(struct script *s, const char *text) {
  char *save = NULL, *word;
  s->text = strdup(text);
  if (s->text == NULL) return false;
  for (word = strtok_r(s->text, "\n", &save); word != NULL && s->n < WORDS_MAX;
       word = strtok_r(NULL, "\n", &save))
    s->words[s->n++] = decode(word);
  return word == NULL;
}

static const char *value_of(const struct script *s, char letter) {
  size_t i;
  for (i = 0; i < s->n; i++)
    if (s->words[i][0] == letter) return s->words[i] + 1;
  return NULL;
}

/* The last one before word 'i'. */
static const char *value_before(const struct script *s, size_t i, char letter) {
  while (i-- > 0)
    if (s->words[i][0] == letter) return s->words[i] + 1;
  return NULL;
}

static uint64_t number_of(const struct script *s, char letter) {
  const char *value = value_of(s, letter);
  return value != NULL ? strtoull(value, NULL, 10) : 0;
}

/* The grate at word 'i' with its arguments. */
static int load_grate(lencase_state *st, const struct script *s, size_t i) {
  const char *argv[WORDS_MAX];
  int argc = 0;
  size_t at;
  for (at = i + 1; at < s->n && s->words[at][0] == 'a'; at++) argv[argc++] = s->words[at] + 1;
  return lencase_load(st, s->words[i] + 1, argc, argv, value_before(s, i, 'p'),
                      value_before(s, i, 'c'), NULL);
}

static int load_all(lencase_state *st, const struct script *s) {
  int rc = LENCASE_OK;
  size_t i;
  for (i = 0; i < s->n && rc == LENCASE_OK; i++) {
    if (s->words[i][0] == '{') rc = lencase_branch_open(st);
    if (s->words[i][0] == '}') rc = lencase_branch_close(st);
    if (s->words[i][0] == 'g') rc = load_grate(st, s, i);
  }
  return rc;
}

/* The program that executed this one may have put something else there. */
static int open_channel(const char *word) {
  int fd = (int)strtol(word, NULL, 10), type = 0;
  socklen_t size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
      fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
    return fd;
  say(NULL, "inline: the descriptor for reports is gone: there will be none of this process");
  return 0;
}

/* What programs before this one had to do without. */
static uint8_t avoids_of(const struct script *s) {
  unsigned long avoids = 0;
  size_t i;
  for (i = 0; i < s->n; i++)
    if (s->words[i][0] == 'k') avoids |= strtoul(s->words[i] + 1, NULL, 10);
  return (uint8_t)(avoids & (INLINE_AVOIDS - 1));
}

/* A channel is for the grates before it. False: there are too many. */
static bool open_channels(const struct script *s, struct inline_place *place) {
  uint32_t grates = 0;
  size_t i;
  for (i = 0; i < s->n; i++) {
    if (s->words[i][0] == 'g') grates++;
    if (s->words[i][0] != INLINE_CHANNEL[0]) continue;
    if (place->nchannels == INLINE_CHANNELS) return false;
    place->channels[place->nchannels++] =
        (struct inline_channel){open_channel(s->words[i] + 1), grates};
    grates = 0;
  }
  return true;
}

/* Sends what a grate writes to an output, as lua/lencase/gather.lua has it; 0 or an errno. */
static int send_output(void *ud, const struct outlet *to) {
  const struct inline_place *place = ud;
  uint32_t grate = to->grate;
  int fd = place->channels[inline_channel_of(place, &grate)].fd;
  char message[OUTPUT_HEAD + OUTPUT_CHUNK] = {'O'};
  size_t done = 0;
  if (fd == 0) return ENOTCONN; /* which open_channel has reported */
  memcpy(message + 1, &grate, sizeof grate);
  memcpy(message + 5, &to->number, sizeof to->number);
  while (done < to->size) {
    size_t n = to->size - done < OUTPUT_CHUNK ? to->size - done : OUTPUT_CHUNK;
    memcpy(message + OUTPUT_HEAD, to->data + done, n);
    if (send(fd, message, OUTPUT_HEAD + n, MSG_NOSIGNAL) >= 0)
      done += n;
    else if (errno != EINTR)
      return errno;
  }
  return 0;
}

/* The environment that the program began with; the program may change its own. */
static void own_environment(void) {
  size_t n = 0;
  char **own;
  while (environ[n] != NULL) n++;
  own = calloc(n + 1, sizeof *own);
  if (own == NULL) return;
  memcpy(own, environ, n * sizeof *own);
  environ = own;
}

/* }========================================================================= */

/* 'place' stays: outputs are sent by its channels. */
static int run(struct script *s, struct inline_place *place, const char *preload,
               const char *text) {
  lencase_config config = {.log = say,
                           .handler_ms = (uint32_t)number_of(s, 't'),
                           .max_call_bytes = number_of(s, 'b'),
                           .quiet = (uint32_t)number_of(s, 'q'),
                           .debug = (uint32_t)number_of(s, 'd')};
  lencase_state *st = lencase_new(&config);
  int rc = LENCASE_ENOMEM;
  if (st != NULL) {
    if (place->nchannels > 0) st->outlet = send_output;
    st->outlet_ud = place;
    st->modules = inline_modules;
    st->modules_size = inline_modules_size;
    rc = load_all(st, s);
  }
  if (rc == LENCASE_OK && lencase_start(st) != LENCASE_OK) return FAILED; /* that was logged */
  if (rc == LENCASE_OK) rc = inline_start_at(st, place, preload, text);
  if (rc == LENCASE_OK) return 0;
  say(NULL, st != NULL ? lencase_error(st) : "no memory for a state");
  return FAILED;
}

/* {=================================== boot ================================ */

struct boot {
  struct inline_by *by;
  struct inline_place place;
  int status;
};

static int boot_inside(struct boot *b) {
  void (*ctype_init)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "__ctype_init");
  struct script *s = calloc(1, sizeof *s);
  char *preload = strdup(b->by->preload), *text = strdup(b->by->script);
  struct inline_place *place = malloc(sizeof *place);
  if (ctype_init != NULL) ctype_init();
  mallopt(M_MMAP_THRESHOLD, BIG); /* buffers come and go with each call */
  mallopt(M_TRIM_THRESHOLD, BIG);
  b->place.kept = keep_messages();
  own_environment();
  if (s == NULL || preload == NULL || text == NULL || place == NULL || !script_read(s, text)) {
    say(NULL, "inline: no memory, or too many words");
    return FAILED;
  }
  if (!open_channels(s, &b->place)) {
    say(NULL, "inline: too many lencase inside of one another");
    return FAILED;
  }
  b->place.avoids = avoids_of(s);
  *b->by = (struct inline_by){preload, text};
  *place = b->place;
  return run(s, place, preload, text);
}

static void set_thread_pointer(uintptr_t fs) {
  syscall(SYS_arch_prctl, ARCH_SET_FS, fs);
}

/* 0, or the status that the process shall end with. *by becomes a copy of what it runs by. */
ENGINE_PUBLIC int lencase_engine_boot(struct inline_by *by, uintptr_t code, size_t code_size);

ENGINE_PUBLIC int lencase_engine_boot(struct inline_by *by, uintptr_t code, size_t code_size) {
  struct boot b = {.by = by, .status = FAILED};
  uintptr_t before;
  __asm__("mov %%fs:0, %0" : "=r"(before));
  b.place.fs = thread_pointer(&b.place);
  b.place.flush = flush;
  b.place.code = code;
  b.place.code_size = code_size;
  if (b.place.fs == 0 || !find_place(&b.place)) {
    say(NULL, "inline: this C library is not one that we know; run the program traced instead");
    return FAILED;
  }
  set_thread_pointer(b.place.fs);
  b.status = boot_inside(&b);
  set_thread_pointer(before);
  return b.status;
}

/* }========================================================================= */
