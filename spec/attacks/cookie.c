/*
** cookie.c - the call that fetches the window's descriptor, made by another process
**
** Its words can be read in /proc/PID/syscall while a new program makes it. Made at the same time by
** its parent, it shall neither hand anything over nor hang the supervisor. (It is lost when the run
** comes to its end.)
*/

#include "attack.h"

#include <sys/wait.h>

/* What the process is in of whose file that is. */
static int read_words(int fd, long *nr, unsigned long words[6]) {
  char text[256];
  ssize_t n = pread(fd, text, sizeof text - 1, 0);
  if (n <= 0) return 0;
  text[n] = '\0';
  return sscanf(text, "%ld %lx %lx %lx %lx %lx %lx", nr, &words[0], &words[1], &words[2], &words[3],
                &words[4], &words[5]) == 7;
}

/* Five random words, which are no arguments of such a call. */
static int is_cookie(long nr, const unsigned long words[6]) {
  return (nr == SYS_getpgrp || nr == SYS_getppid) && words[0] >> 32 != 0 && words[1] >> 32 != 0 &&
         words[2] >> 32 != 0 && words[3] >> 32 != 0;
}

/*
** In a process of its own: that one is ended, or waits for an answer that comes with the next new
** program.
*/
static void use(long nr, const unsigned long words[6]) {
  char name[48], link[64] = "";
  long fd;
  if (fork() != 0) return;
  alarm(2);
  fd = syscall(nr, words[0], words[1], words[2], words[3], words[4], words[5]);
  snprintf(name, sizeof name, "/proc/self/fd/%ld", fd);
  if (readlink(name, link, sizeof link - 1) > 0 && strstr(link, "memfd:lencase") != NULL) _exit(1);
  _exit(0);
}

/* Whether a child was seen with the words. */
static int try(void) {
  unsigned long words[6];
  char name[48];
  int status, fd, used = 0;
  long nr;
  pid_t child = fork();
  if (child < 0) fails("fork");
  if (child == 0) {
    execl("/proc/self/exe", "cookie", "0", NULL);
    _exit(3);
  }
  snprintf(name, sizeof name, "/proc/%d/syscall", (int)child);
  fd = open(name, O_RDONLY);
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (used > 0 || !read_words(fd, &nr, words) || !is_cookie(nr, words)) continue;
    used = 1;
    use(nr, words);
  }
  close(fd);
  return used;
}

int main(int argc, char *argv[]) {
  int tries = argc > 1 ? atoi(argv[1]) : 100, i, status, used = 0;
  if (tries == 0) return 0;
  for (i = 1; i <= tries; i++) used += try();
  while (waitpid(-1, &status, 0) > 0)
    if (WIFEXITED(status) && WEXITSTATUS(status) == 1) won("with another's descriptor", used);
  if (used == 0) fails("no words were seen");
  lost(tries);
}
