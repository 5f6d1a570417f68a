/*
** offsets.c - numbers of C for stub.S
**
** Is compiled to assembly, and not linked: the Makefile makes offsets.h of the texts "->NAME $1",
** which clang's assembler would refuse if they were no .ascii.
*/

#include "trace_int.h"

#include <sys/mman.h>

#define NUMBER(name, n) __asm__ volatile("\n.ascii \"->" #name " %0\"" : : "i"(n))

void trace_offsets(void);

void trace_offsets(void) {
  NUMBER(PAGE_SIZE, PAGE);
  NUMBER(GUARDS, WINDOW_EDGES);
  NUMBER(GUARD_PROT, PROT_NONE);
  NUMBER(SLOTS_PROT, PROT_READ);
  NUMBER(SLOTS_MAP, MAP_SHARED | MAP_FIXED_NOREPLACE);
  NUMBER(SCRATCH_PROT, PROT_READ | PROT_WRITE);
  NUMBER(SCRATCH_MAP, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE);
  NUMBER(DONTDUMP, MADV_DONTDUMP);
  NUMBER(DONTFORK, MADV_DONTFORK);
}
