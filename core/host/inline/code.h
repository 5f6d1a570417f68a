/*
** code.h - where the code of the including object's C library is
**
** In a header, since preload.c, engine.c and start.c are in three objects, and each means the
** getpid that its object was linked with.
*/

#ifndef INLINE_CODE_H
#define INLINE_CODE_H

#include <link.h>
#include <stdint.h>
#include <unistd.h>

struct inline_code {
  uintptr_t begin, size; /* 0: not found */
};

/* For dl_iterate_phdr(3). */
static inline int inline_code_in(struct dl_phdr_info *info, size_t size, void *arg) {
  struct inline_code *code = arg;
  uintptr_t wanted = (uintptr_t)getpid;
  int i;
  (void)size;
  for (i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *p = &info->dlpi_phdr[i];
    uintptr_t begin = info->dlpi_addr + p->p_vaddr;
    if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || wanted - begin >= p->p_memsz) continue;
    *code = (struct inline_code){begin, p->p_memsz};
    return 1;
  }
  return 0;
}

static inline struct inline_code inline_libc_code(void) {
  struct inline_code code = {0, 0};
  dl_iterate_phdr(inline_code_in, &code);
  return code;
}

#endif
