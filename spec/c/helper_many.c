/*
** helper_many.c - more calls at once than there are places for arguments that end early
**
** Eight threads wait in sendto for room in a socket, with five bytes of nine. Writes the errnos of
** those that could not wait, when there are two.
*/

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS = 8, PLACES = 6, PAGE = 4096 };

static int ends[2];

/* A socket that has no room. */
static int full_socket(void) {
  static char bytes[4096];
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return -1;
  while (send(pair[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
  return pair[0];
}

static void *sends(void *five) {
  ssize_t n = sendto(full_socket(), five, 9, 0, NULL, 0);
  int err = n < 0 ? errno : 0;
  return write(ends[1], &err, sizeof err) == sizeof err ? five : NULL;
}

int main(void) {
  pthread_t threads[THREADS];
  int i, err;
  char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED || mprotect(at + PAGE, PAGE, PROT_NONE) != 0 || pipe(ends) != 0) return 99;
  for (i = 0; i < THREADS; i++)
    if (pthread_create(&threads[i], NULL, sends, at + PAGE - 5) != 0) return 99;
  for (i = 0; i < THREADS - PLACES; i++) {
    if (read(ends[0], &err, sizeof err) != sizeof err) return 99;
    printf("%s\n", strerrorname_np(err));
  }
  return 0;
}
