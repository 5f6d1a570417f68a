/*
** entry.S - the gate, and where the kernel and patched call sites enter the host
**
** What each is for, and what C has to do with it: entry.h. offsets.h is made of offsets.c.
*/

#include <asm/unistd.h>

#include "offsets.h"

	.text

.macro function name
	.globl \name
	.hidden \name
	.type \name, @function
\name:
	.cfi_startproc
.endm

.macro end name
	.cfi_endproc
	.size \name, . - \name
.endm

.macro label name
	.globl \name
	.hidden \name
\name:
.endm

/* {================================ the gate =============================== */

/*
** The restorer is what unwinders know a signal frame by, so that a thread can be cancelled inside
** of a call: it is to be these very bytes, without any .cfi. The nops keep what follows a 'syscall'
** inside of the range: the kernel looks at the address behind it.
*/
	.balign 64
label inline_gate_begin
	syscall
	ret
	.balign 16, 0x90
label inline_gate_fast
	syscall
	ret
	.balign 16, 0x90
label inline_gate_restorer
	movq	$__NR_rt_sigreturn, %rax
	syscall
	nop
	.balign 64, 0x90
label inline_gate_end

/* }========================================================================= */

/* {=============================== raw calls =============================== */

/* inline_gate_carry(nr, words, gate, at_gate), and without the last inline_gate_call */
	.balign 16
function inline_gate_carry
	movb	$1, (%rcx)
label inline_gate_call
	mov	%rdi, %rax
	mov	%rdx, %r11
	mov	8*0(%rsi), %rdi
	mov	8*2(%rsi), %rdx
	mov	8*3(%rsi), %r10
	mov	8*4(%rsi), %r8
	mov	8*5(%rsi), %r9
	mov	8*1(%rsi), %rsi
label inline_gate_carry_end
	jmp	*%r11
end inline_gate_carry

/* inline_gate_sigreturn(sp, gate) */
	.balign 16
function inline_gate_sigreturn
	.cfi_undefined %rip
	mov	%rdi, %rsp
	mov	$__NR_rt_sigreturn, %eax
	jmp	*%rsi
end inline_gate_sigreturn

/* inline_gate_leave(nr, word, gate, busy) */
	.balign 16
function inline_gate_leave
	mov	%rdi, %rax
	mov	%rsi, %rdi
	movl	$0, (%rcx)		/* nothing of ours is on the stack from here on */
	jmp	*%rdx
end inline_gate_leave

/* inline_gate_on_stack(fn, arg, top) */
	.balign 16
function inline_gate_on_stack
	push	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	mov	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	mov	%rdx, %rsp
	mov	%rdi, %rax
	mov	%rsi, %rdi
	call	*%rax
	leave
	.cfi_def_cfa %rsp, 8
	ret
end inline_gate_on_stack

/* }========================================================================= */

/* {============================== new threads ============================== */

/* The next register of struct newborn: 'at' is where the stack is in there. */
.macro take reg, offset
	.if at != \offset
	.error "struct newborn has another order"
	.endif
	pop	\reg
	.set at, at + 8
.endm

	.balign 16
function inline_newborn
	.cfi_undefined %rip
	lea	-NEWBORN_H(%rsp), %rdi	/* the word before was taken by the gate's 'ret' */
	call	inline_newborn_start
	add	$NEWBORN_RDI - NEWBORN_H, %rsp
	.set at, NEWBORN_RDI
	take	%rdi, NEWBORN_RDI
	take	%rsi, NEWBORN_RSI
	take	%rdx, NEWBORN_RDX
	take	%r8, NEWBORN_R8
	take	%r9, NEWBORN_R9
	take	%r10, NEWBORN_R10
	take	%rbx, NEWBORN_RBX
	take	%rbp, NEWBORN_RBP
	take	%r12, NEWBORN_R12
	take	%r13, NEWBORN_R13
	take	%r14, NEWBORN_R14
	take	%r15, NEWBORN_R15
	take	%rcx, NEWBORN_RIP	/* as the kernel leaves it: where the thread goes on */
	xor	%eax, %eax
	take	%rsp, NEWBORN_RSP
	jmp	*%rcx
end inline_newborn

/* }========================================================================= */

/* {================================ signals ================================ */

/* A struct inline_entry, and 8 bytes so that the stack is aligned in what is called. */
#define ENTRY_FRAME (ENTRY_SIZE + 8)

.macro save reg
	push	\reg
	.cfi_adjust_cfa_offset 8
.endm

.macro restore reg
	pop	\reg
	.cfi_adjust_cfa_offset -8
.endm

/*
** Goes on where the frame was moved to. When that is the program's own stack the host is left
** there, so that a signal which was deferred comes into a signal handler that has begun. The
** registers are the three arguments of a signal handler with SA_SIGINFO; others ignore two of them.
*/
	.balign 16
function inline_signal_entry
	sub	$ENTRY_FRAME, %rsp
	.cfi_adjust_cfa_offset ENTRY_FRAME
	mov	%rsp, %rcx
	call	inline_signal_arrives
	test	%al, %al
	jz	1f
	mov	ENTRY_HANDLER(%rsp), %r11
	mov	ENTRY_SIG(%rsp), %rdi
	mov	ENTRY_INFO(%rsp), %rsi
	mov	ENTRY_UC(%rsp), %rdx
	mov	ENTRY_OPENS(%rsp), %rcx
	mov	ENTRY_SP(%rsp), %rsp
	.cfi_remember_state
	.cfi_adjust_cfa_offset -ENTRY_FRAME
	test	%rcx, %rcx
	jz	2f
	movb	$0, THREAD_INSIDE(%rcx)
	cmpb	$0, THREAD_DEFERRED(%rcx)
	je	2f
	save	%rdi
	save	%rsi
	save	%rdx
	save	%r11
	sub	$8, %rsp
	.cfi_adjust_cfa_offset 8
	mov	%rcx, %rdi
	call	inline_signal_opens
	add	$8, %rsp
	.cfi_adjust_cfa_offset -8
	restore	%r11
	restore	%rdx
	restore	%rsi
	restore	%rdi
2:	xor	%eax, %eax
	jmp	*%r11
1:	.cfi_restore_state
	add	$ENTRY_FRAME, %rsp
	.cfi_adjust_cfa_offset -ENTRY_FRAME
	ret
end inline_signal_entry

/* }========================================================================= */

/* {============================= patched sites ============================= */

/* The frame pointer is at struct patched's rbp, and the call frame above its red zone. */
#define AT(member) (PATCHED_##member - PATCHED_RBP)
#define PATCHED_END (PATCHED_SIZE - PATCHED_RBP)

/* The next member of struct patched, downwards: 'at' is where the stack is in there. */
.macro put reg, offset
	.set at, at - 8
	.if at != \offset
	.error "struct patched has another order"
	.endif
	push	\reg
.endm

/* Of what was put there: the words of the call; then the site, and the red zone. */
.macro pop_words
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%r10
	pop	%r8
	pop	%r9
	pop	%rbp
	.cfi_def_cfa %rsp, PATCHED_SIZE - PATCHED_AFTER
	.cfi_restore %rbp
.endm

.macro pop_site
	pop	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rcx
	lea	RED_ZONE(%rsp), %rsp
	.cfi_adjust_cfa_offset -RED_ZONE
.endm

#define EACH_XMM 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15

/*
** At entry: rax the number, rcx where the site goes on, the stack the program's with its red zone.
** All that a system call keeps is kept.
*/
	.balign 64
function inline_patched_entry
	.cfi_def_cfa %rsp, 0
	.cfi_register %rip, %rcx
	cmp	$NRS, %rax
	jae	2f
	mov	inline_aside(%rip), %r11
	bt	%rax, (%r11)
	jc	2f
	.set at, PATCHED_SIZE
	lea	-RED_ZONE(%rsp), %rsp
	.cfi_adjust_cfa_offset RED_ZONE
	.set at, at - RED_ZONE
	put	%rcx, PATCHED_AFTER
	.cfi_adjust_cfa_offset 8
	.cfi_offset %rip, PATCHED_AFTER - PATCHED_SIZE
	mov	inline_slow(%rip), %r11
	bt	%rax, (%r11)
	jc	1f
	call	*inline_gate_now(%rip)
	.cfi_remember_state
	pop_site
	jmp	*%rcx
1:	.cfi_restore_state
	put	%rbp, PATCHED_RBP
	.cfi_adjust_cfa_offset 8
	.cfi_offset %rbp, -PATCHED_END
	mov	%rsp, %rbp
	.cfi_remember_state
	.cfi_def_cfa_register %rbp
	put	%r9, PATCHED_R9
	put	%r8, PATCHED_R8
	put	%r10, PATCHED_R10
	put	%rdx, PATCHED_RDX
	put	%rsi, PATCHED_RSI
	put	%rdi, PATCHED_RDI
	put	%rax, PATCHED_NR
	put	%rbx, PATCHED_RBX
	put	%r12, PATCHED_R12
	put	%r13, PATCHED_R13
	put	%r14, PATCHED_R14
	put	%r15, PATCHED_R15
	lea	PATCHED_END(%rbp), %rdi
	and	$-16, %rsp
	call	inline_patched_stack
	cmp	$AT_ONCE, %rax
	jbe	3f
	/* program_sp() in stack.c is right at every instruction. */
	mov	%rax, %r11
	lea	-PATCHED_RBP + RED_ZONE(%rbp), %rax
	mov	%r11, %rsp
	push	%rax
	sub	$LEVEL_SP, %rsp
	.irp n, EACH_XMM
	movaps	%xmm\n, LEVEL_XMM + XMM_SIZE * \n(%rsp)
	.endr
	stmxcsr	LEVEL_MXCSR(%rsp)
	movl	$MXCSR, LEVEL_OWN_MXCSR(%rsp)
	ldmxcsr	LEVEL_OWN_MXCSR(%rsp)
	lea	-PATCHED_RBP(%rbp), %rdi
	lea	PATCHED_END(%rbp), %rsi
	call	inline_patched
	ldmxcsr	LEVEL_MXCSR(%rsp)
	.irp n, EACH_XMM
	movaps	LEVEL_XMM + XMM_SIZE * \n(%rsp), %xmm\n
	.endr
	lea	AT(RDI)(%rbp), %rsp
	pop_words
	pop_site
	jmp	*%rcx
3:	.cfi_restore_state		/* by SIGSYS, or at once */
	.cfi_def_cfa_register %rbp
	mov	%rax, %r11
	lea	AT(NR)(%rbp), %rsp
	pop	%rax
	pop_words
	cmp	$BY_SIGSYS, %r11
	je	4f
	call	*inline_gate_now(%rip)
	.cfi_remember_state
	pop_site
	jmp	*%rcx
4:	.cfi_restore_state
	pop_site
2:	sub	$SYSCALL_SIZE, %rcx	/* to the syscall itself */
	jmp	*%rcx
end inline_patched_entry

/* }========================================================================= */

	.section .note.GNU-stack, "", @progbits
