/*
** offsets.c - numbers of C for entry.S
**
** Is compiled to assembly, and not linked: the Makefile makes offsets.h of the texts "->NAME $1",
** which clang's assembler would refuse if they were no .ascii.
*/

#include "entry.h"

#include <stddef.h>

#define NUMBER(name, n) __asm__ volatile("\n.ascii \"->" #name " %0\"" : : "i"(n))
#define OFFSET(name, type, member) NUMBER(name, offsetof(struct type, member))

void inline_offsets(void);

void inline_offsets(void) {
  NUMBER(NRS, INLINE_NRS);
  NUMBER(RED_ZONE, INLINE_RED_ZONE);
  NUMBER(SYSCALL_SIZE, INLINE_SYSCALL);
  NUMBER(MXCSR, INLINE_MXCSR);
  NUMBER(BY_SIGSYS, PATCHED_BY_SIGSYS);
  NUMBER(AT_ONCE, PATCHED_AT_ONCE);

  OFFSET(NEWBORN_H, newborn, h);
  OFFSET(NEWBORN_RDI, newborn, rdi);
  OFFSET(NEWBORN_RSI, newborn, rsi);
  OFFSET(NEWBORN_RDX, newborn, rdx);
  OFFSET(NEWBORN_R8, newborn, r8);
  OFFSET(NEWBORN_R9, newborn, r9);
  OFFSET(NEWBORN_R10, newborn, r10);
  OFFSET(NEWBORN_RBX, newborn, rbx);
  OFFSET(NEWBORN_RBP, newborn, rbp);
  OFFSET(NEWBORN_R12, newborn, r12);
  OFFSET(NEWBORN_R13, newborn, r13);
  OFFSET(NEWBORN_R14, newborn, r14);
  OFFSET(NEWBORN_R15, newborn, r15);
  OFFSET(NEWBORN_RIP, newborn, rip);
  OFFSET(NEWBORN_RSP, newborn, rsp);

  NUMBER(ENTRY_SIZE, sizeof(struct inline_entry));
  OFFSET(ENTRY_HANDLER, inline_entry, handler);
  OFFSET(ENTRY_SIG, inline_entry, sig);
  OFFSET(ENTRY_INFO, inline_entry, info);
  OFFSET(ENTRY_UC, inline_entry, uc);
  OFFSET(ENTRY_SP, inline_entry, sp);
  OFFSET(ENTRY_OPENS, inline_entry, opens);
  OFFSET(THREAD_INSIDE, inline_thread, inside);
  OFFSET(THREAD_DEFERRED, inline_thread, deferred);

  NUMBER(PATCHED_SIZE, sizeof(struct patched));
  OFFSET(PATCHED_R15, patched, r15);
  OFFSET(PATCHED_R14, patched, r14);
  OFFSET(PATCHED_R13, patched, r13);
  OFFSET(PATCHED_R12, patched, r12);
  OFFSET(PATCHED_RBX, patched, rbx);
  OFFSET(PATCHED_NR, patched, nr);
  OFFSET(PATCHED_RDI, patched, words[0]);
  OFFSET(PATCHED_RSI, patched, words[1]);
  OFFSET(PATCHED_RDX, patched, words[2]);
  OFFSET(PATCHED_R10, patched, words[3]);
  OFFSET(PATCHED_R8, patched, words[4]);
  OFFSET(PATCHED_R9, patched, words[5]);
  OFFSET(PATCHED_RBP, patched, rbp);
  OFFSET(PATCHED_AFTER, patched, after);

  OFFSET(LEVEL_XMM, patched_level, xmm);
  OFFSET(LEVEL_MXCSR, patched_level, mxcsr);
  OFFSET(LEVEL_OWN_MXCSR, patched_level, own_mxcsr);
  OFFSET(LEVEL_SP, patched_level, sp);
  NUMBER(XMM_SIZE, INLINE_XMM);
}
