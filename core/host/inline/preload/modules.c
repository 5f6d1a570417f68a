/*
** modules.c - lencase's modules in Lua, compiled: what scripts/gen-bytecode.lua wrote
*/

#include "modules.h"

#include <stdint.h>

__asm__(".pushsection .rodata\n"
        ".globl inline_modules\n.hidden inline_modules\n"
        "inline_modules:\n"
        "  .incbin \"" MODULES_FILE "\"\n"
        ".globl inline_modules_end\n.hidden inline_modules_end\n"
        "inline_modules_end:\n"
        ".popsection\n");

size_t inline_modules_size(void) {
  return (size_t)((uintptr_t)inline_modules_end - (uintptr_t)inline_modules);
}
