/*
** raw_call.h - system calls by instructions of the program's own: no libc in between, and no site
** that can be patched
*/

#ifndef RAW_CALL_H
#define RAW_CALL_H

#include <stdint.h>
#include <sys/syscall.h>

__attribute__((unused)) static long raw(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                        uint64_t e, uint64_t f) {
  register uint64_t r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

/* A call that makes a process or thread: the new one, whose stack may be anywhere, ends at once. */
__attribute__((unused)) static long raw_fork(long nr, const uint64_t w[6]) {
  register uint64_t r10 __asm__("r10") = w[3], r8 __asm__("r8") = w[4], r9 __asm__("r9") = w[5];
  long result;
  __asm__ volatile("syscall\n\t"
                   "test %%rax, %%rax\n\t"
                   "jnz 1f\n\t"
                   "mov %[exit], %%eax\n\t"
                   "xor %%edi, %%edi\n\t"
                   "syscall\n"
                   "1:"
                   : "=a"(result)
                   : "a"(nr), "D"(w[0]), "S"(w[1]), "d"(w[2]), "r"(r10), "r"(r8),
                     "r"(r9), [exit] "i"(SYS_exit)
                   : "rcx", "r11", "memory");
  return result;
}

#endif
