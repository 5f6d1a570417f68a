/*
** bpf.h - what a seccomp filter of a program answers to a call: an interpreter of classic BPF
*/

#ifndef HOST_BPF_H
#define HOST_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the kernel would accept it. */
bool bpf_is_sound(const struct sock_filter *code, size_t n);
uint32_t bpf_answer(const struct sock_filter *code, const struct seccomp_data *data);

/* Whether that answer ends the thread or process that makes the call. */
bool bpf_ends_program(uint32_t answer);

#endif
