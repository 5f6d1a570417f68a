/*
** modules.S - lencase's modules in Lua, compiled: what scripts/gen-bytecode.lua wrote
*/

	.section .rodata

	.globl inline_modules, inline_modules_size
	.hidden inline_modules, inline_modules_size
inline_modules:
	.incbin MODULES_FILE
1:
	.balign 8
inline_modules_size:
	.quad	1b - inline_modules

	.section .note.GNU-stack, "", @progbits
