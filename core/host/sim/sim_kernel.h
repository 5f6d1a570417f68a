/*
** sim_kernel.h - the kernel as the bottom of a sim cage
*/

#ifndef SIM_KERNEL_H
#define SIM_KERNEL_H

#include "../../call.h"
#include "sim_memory.h"

/* Who answers a call at the bottom. */
enum sim_answer {
  ANSWER_REFUSE, /* none */
  ANSWER_KERNEL,
  ANSWER_EXIT,
  ANSWER_FORK,
  ANSWER_CLONE,
  ANSWER_EXEC,
  ANSWER_PID,
  ANSWER_PPID
};

enum sim_answer sim_answer_of(int32_t nr);

/* Room for the arrays of pointers that are rebuilt for one call. */
struct sim_temp {
  size_t used;
  _Alignas(16) unsigned char bytes[1 << 16];
};

/*
** The words of a call for the kernel, its pointers as addresses of this process; those at which the
** cage has nothing become unmapped ones. 0, or a negative errno: they cannot be translated.
*/
int64_t sim_translate(const struct sim_memory *m, struct sim_temp *temp, int32_t nr,
                      const uint64_t words[LENCASE_MAXARGS], uint64_t out[LENCASE_MAXARGS]);

/* Makes the call with translated words. The kernel's result. */
int64_t sim_syscall(int32_t nr, const uint64_t words[LENCASE_MAXARGS]);

#endif
