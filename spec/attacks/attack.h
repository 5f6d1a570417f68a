/*
** attack.h - what the attacks share
**
** Each is a program that runs under a grate, in a folder with a file "secret", which the grate
** opens for none. It tries as often as its first argument says, and tells how that went: "won ...",
** status 1, or "lost", status 0.
*/

#ifndef ATTACK_H
#define ATTACK_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static void fails(const char *what) __attribute__((noreturn, unused));
static void won(const char *what, int tries) __attribute__((noreturn, unused));
static void lost(int tries) __attribute__((noreturn, unused));

static void fails(const char *what) {
  printf("failed: %s: %s\n", what, strerror(errno));
  exit(2);
}

static void won(const char *what, int tries) {
  printf("won, %s, in %d tries\n", what, tries);
  exit(1);
}

static void lost(int tries) {
  printf("lost %d tries\n", tries);
  exit(0);
}

/* Whether a descriptor is of the secret. */
__attribute__((unused)) static int is_secret(int fd) {
  char text[8] = "";
  return pread(fd, text, sizeof text - 1, 0) > 0 && strcmp(text, "secret\n") == 0;
}

/* Whether some descriptor is. */
__attribute__((unused)) static int has_secret(void) {
  int fd = 3;
  while (fd < 64 && !is_secret(fd)) fd++;
  return fd < 64;
}

__attribute__((unused)) static void pause_us(long us) {
  nanosleep(&(struct timespec){0, us * 1000}, NULL);
}

#endif
