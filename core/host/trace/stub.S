/*
** stub.S - the first page of a window
**
** At its start what injected calls use; then the set-up that a new program runs, with
**   rbx window, r12 size of its slots, r13 the smaller size to try then,
**   r14 address and rbp size of the scratch memory, r15 the descriptor;
** it ends with a call that the filter always traps, sched_getaffinity, which is not made; r13 and
** r14 are what the two mmap calls said.
*/

#include <asm/unistd.h>

#include "offsets.h" /* of offsets.c: PAGE_SIZE, GUARDS, ... */

/* From here on a negative result of a call is an error: -4095 to -1. */
#define FIRST_ERROR -4095

	.section .rodata
	.hidden trace_stub, trace_stub_size, trace_setup_at, trace_setup_end, trace_guards_at
	.global trace_stub, trace_stub_size, trace_setup_at, trace_setup_end, trace_guards_at

trace_stub:
	syscall
	int3

	.balign 16
setup:  /* mmap(window + PAGE_SIZE, r12, PROT_READ, ..., r15, PAGE_SIZE) */
	lea     PAGE_SIZE(%rbx), %rdi
	mov     %r12, %rsi
	mov     $SLOTS_PROT, %edx
	mov     $SLOTS_MAP, %r10d
	mov     %r15, %r8
	mov     $PAGE_SIZE, %r9d
	mov     $__NR_mmap, %eax
	syscall
	cmp     $FIRST_ERROR, %rax
	jb      mapped
	mov     %r13, %r12      /* the same with the smaller size */
	mov     %r13, %rsi
	mov     $__NR_mmap, %eax
	syscall
mapped:	mov     %rax, %r13

	/* mprotect(window + PAGE_SIZE + guard, PAGE_SIZE, PROT_NONE) of each guard in it */
	lea     guards(%rip), %r8
guard:	mov     (%r8), %rdi
	lea     PAGE_SIZE(%rdi), %rax
	cmp     %r12, %rax
	ja      next
	lea     PAGE_SIZE(%rbx, %rdi), %rdi
	mov     $PAGE_SIZE, %esi
	mov     $GUARD_PROT, %edx
	mov     $__NR_mprotect, %eax
	syscall
next:	add     $8, %r8
	lea     guards_end(%rip), %rax
	cmp     %rax, %r8
	jb      guard

	/* madvise(window, PAGE_SIZE + r12, MADV_DONTDUMP) */
	mov     %rbx, %rdi
	lea     PAGE_SIZE(%r12), %rsi
	mov     $DONTDUMP, %edx
	mov     $__NR_madvise, %eax
	syscall

	/* madvise(window + PAGE_SIZE, r12, MADV_DONTFORK) */
	lea     PAGE_SIZE(%rbx), %rdi
	mov     %r12, %rsi
	mov     $DONTFORK, %edx
	mov     $__NR_madvise, %eax
	syscall

	/* mmap(r14, rbp, PROT_READ | PROT_WRITE, ..., -1, 0) */
	mov     %r14, %rdi
	mov     %rbp, %rsi
	mov     $SCRATCH_PROT, %edx
	mov     $SCRATCH_MAP, %r10d
	mov     $-1, %r8
	xor     %r9d, %r9d
	mov     $__NR_mmap, %eax
	syscall
	mov     %rax, %r14

	/* close(r15) */
	mov     %r15, %rdi
	mov     $__NR_close, %eax
	syscall

	mov     $__NR_sched_getaffinity, %eax
	syscall
end:	int3

	.balign 8
guards:	.fill   GUARDS, 8, 0      /* their offsets: edges_write */
guards_end:

	.balign 4
trace_stub_size:	.long guards_end - trace_stub
trace_setup_at:	.long setup - trace_stub
trace_setup_end:	.long end - trace_stub
trace_guards_at:	.long guards - trace_stub

	.section .note.GNU-stack, "", @progbits
