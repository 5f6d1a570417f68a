/*
** helper_many.c - more calls at once than there are places for arguments that end early
**
** Eight children wait in sendto for room in a socket, with five bytes of nine. Writes how many of them could not
** wait and what errno they got, when there are two; the others are killed.
*/

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 8, PLACES = 6, PAGE = 4096 };

/* A socket that has no room. */
static int full_socket(void) {
  static char bytes[4096];
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return -1;
  while (send(pair[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
  return pair[0];
}

static int child(const char *five) {
  ssize_t n = sendto(full_socket(), five, 9, 0, NULL, 0);
  return n < 0 ? errno : 0;
}

int main(void) {
  pid_t pids[CHILDREN];
  int i, status, out = 0;
  char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED || mprotect(at + PAGE, PAGE, PROT_NONE) != 0) return 99;
  for (i = 0; i < CHILDREN; i++) {
    pids[i] = fork();
    if (pids[i] == 0) _exit(child(at + PAGE - 5));
  }
  while (out < CHILDREN - PLACES && wait(&status) > 0) {
    out++;
    printf("%s\n", strerrorname_np(WEXITSTATUS(status)));
  }
  for (i = 0; i < CHILDREN; i++) kill(pids[i], SIGKILL);
  while (wait(NULL) > 0) continue;
  return 0;
}
