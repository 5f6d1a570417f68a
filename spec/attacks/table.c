/*
** table.c - a call by its number in another table
**
** int $0x80 makes calls of 32-bit programs, where 5 is open. Where lencase has no filter, every
** call stops at its entry, and 5 is another.
*/

#include "attack.h"

static char path[] = "secret"; /* in the first 4 GiB: linked at a fixed address */

static void on_fault(int sig) {
  (void)sig;
  lost(1); /* a kernel without such calls */
}

int main(void) {
  long result;
  signal(SIGSEGV, on_fault);
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "a"(5L), "b"((long)(uintptr_t)path), "c"(0L), "d"(0L)
                   : "memory");
  if (result >= 0 && is_secret((int)result)) won("by a number of another table", 1);
  lost(1);
}
