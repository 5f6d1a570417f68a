/*
** bpf.h - what a program's seccomp filter says of a call: classic BPF, which a filter is written in
*/

#ifndef HOST_BPF_H
#define HOST_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether it is one that this can be asked of: its instructions, and where they reach. */
bool bpf_is_sound(const struct sock_filter *code, size_t n);
uint32_t bpf_answer(const struct sock_filter *code, const struct seccomp_data *data);

/* Whether that does more to who makes the call than let it fail. */
bool bpf_ends_program(uint32_t answer);

#endif
