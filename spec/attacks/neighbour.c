/*
** neighbour.c - what another cage's calls say
**
** Paths that lencase hands to the kernel lie in memory that the program can read. That of another
** program is not to be found there, nor that of a child or the parent of the same program.
*/

#include "attack.h"

#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { PART = 65536, PARTS = 16 };

/* The first parts of each mapping of the window: with the slots that are used. */
static int finds_in(uint64_t start, uint64_t end, const char *word) {
  static char bytes[PART];
  int i;
  for (i = 0; i < PARTS && start < end; i++, start += PART) {
    size_t size = end - start < PART ? end - start : PART;
    struct iovec local = {bytes, size}, remote = {(void *)start, size};
    ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    if (n > 0 && memmem(bytes, (size_t)n, word, strlen(word)) != NULL) return 1;
  }
  return 0;
}

static int finds(const char *word) {
  char line[512];
  uint64_t start, end;
  int found = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  if (maps == NULL) fails("maps");
  while (!found && fgets(line, sizeof line, maps) != NULL)
    if (strstr(line, "memfd:lencase") != NULL && sscanf(line, "%lx-%lx", &start, &end) == 2)
      found = finds_in(start, end, word);
  fclose(maps);
  return found;
}

/* Opens a pipe, which takes until there is a writer. */
static void wait_for_writer(void) {
  if (open("pipe-of-another", O_RDONLY) < 0) fails("pipe-of-another");
}

static void read_in_another_program(void) {
  execl("/proc/self/exe", "reader", "0", NULL);
}

static pid_t child(void (*run)(void)) {
  pid_t pid = fork();
  if (pid < 0) fails("fork");
  if (pid > 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* who has won waits for no one */
  run();
  _exit(0);
}

static void let_go(void) {
  int fd = -1, i;
  for (i = 0; i < 1000 && fd < 0; i++) {
    pause_us(1000);
    fd = open("pipe-of-another", O_WRONLY | O_NONBLOCK);
  }
  if (fd < 0) fails("pipe-of-another");
  close(fd);
}

/* What our own calls leave would be found, too: the word is put together here. */
static int looks(void) {
  char word[32];
  int i, found = 0;
  snprintf(word, sizeof word, "%s-of-another", "pipe");
  for (i = 0; i < 50 && !found; i++) {
    found = finds(word);
    pause_us(1000);
  }
  return found;
}

/* The parent is in the call; the child has had a call of its own, and so a window. */
static void look_at_parent(void) {
  int found;
  close(open("/dev/null", O_RDONLY));
  found = looks();
  let_go();
  _exit(found);
}

static void beside(void (*reads)(void), const char *what, int i) {
  pid_t pid = child(reads);
  if (looks()) won(what, i);
  let_go();
  waitpid(pid, NULL, 0);
}

static void try(int i) {
  int status;
  pid_t pid;
  beside(read_in_another_program, "with the path of another program", i);
  beside(wait_for_writer, "with the path of a child", i);
  pid = child(look_at_parent);
  wait_for_writer();
  if (waitpid(pid, &status, 0) != pid || status != 0) won("with the path of its parent", i);
  if (looks()) won("with the path of a call that is over", i);
}

int main(int argc, char *argv[]) {
  int tries = argc > 1 ? atoi(argv[1]) : 1, i;
  if (tries == 0) return open("pipe-of-another", O_RDONLY) < 0;
  if (mkfifo("pipe-of-another", 0600) != 0) fails("mkfifo");
  for (i = 1; i <= tries; i++) try(i);
  lost(tries);
}
