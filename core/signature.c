/*
** signature.c - looking things up in the signatures
*/

#include "signature.h"

#ifndef __wasm__
#include <seccomp.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD(n) \
  { .name = "arg" #n, .ctype = "long", .kind = SIG_INT, .dir = SIG_IN, .width = 8, .is_signed = 1 }

static const struct sig_param unknown_params[LENCASE_MAXARGS] = {WORD(1), WORD(2), WORD(3),
                                                                 WORD(4), WORD(5), WORD(6)};
static const struct sig_variant unknown_variant = {.nparams = LENCASE_MAXARGS,
                                                   .params = unknown_params};
const struct signature sig_unknown = {
    .name = "unknown",
    .prototype = "long unknown(long arg1, long arg2, long arg3, long arg4, long arg5, long arg6);",
    .nr = -1,
    .nvariants = 1,
    .variants = &unknown_variant};

static int by_nr(const void *key, const void *elem) {
  int32_t nr = *(const int32_t *)key, other = ((const struct signature *)elem)->nr;
  return (nr > other) - (nr < other);
}

const struct signature *sig_by_nr(int32_t nr) {
  return bsearch(&nr, sig_table, sig_table_size, sizeof *sig_table, by_nr);
}

const struct signature *sig_by_name(const char *name) {
  size_t i;
  for (i = 0; i < sig_table_size; i++)
    if (strcmp(sig_table[i].name, name) == 0) return &sig_table[i];
  return NULL;
}

#ifdef __wasm__
/* A grate of Lind's has no libseccomp: calls without a signature have no names there. */
static int number_of(const char *name) {
  (void)name;
  return -1;
}

static char *new_name_of(int32_t nr) {
  (void)nr;
  return NULL;
}
#else
static int number_of(const char *name) {
  return seccomp_syscall_resolve_name(name);
}

static char *new_name_of(int32_t nr) {
  return seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
}
#endif

int32_t sig_callnum(const char *name) {
  const struct signature *sig = sig_by_name(name);
  int nr;
  if (sig != NULL) return sig->nr;
  nr = number_of(name);
  return nr < 0 ? -1 : nr; /* pseudo numbers: calls this architecture lacks */
}

const char *sig_name(int32_t nr, char *buf, size_t size) {
  const struct signature *sig = sig_by_nr(nr);
  char *name;
  if (sig != NULL) return sig->name;
  name = new_name_of(nr);
  if (name != NULL)
    snprintf(buf, size, "%s", name);
  else
    snprintf(buf, size, "call %d", nr);
  free(name);
  return buf;
}

bool sig_test_holds(const struct sig_test *t, const uint64_t words[LENCASE_MAXARGS]) {
  uint64_t word = words[t->arg] & t->mask;
  switch ((enum test_op)t->op) {
    case TEST_EQ: return word == t->value;
    case TEST_ANY: return word != 0;
    case TEST_NONE: return word == 0;
    case TEST_ALWAYS: break;
  }
  return true;
}

bool sig_test_same(const struct sig_test *a, const struct sig_test *b) {
  return a->op == b->op && a->arg == b->arg && a->mask == b->mask && a->value == b->value;
}

const struct sig_variant *sig_select(const struct signature *sig,
                                     const uint64_t words[LENCASE_MAXARGS], bool narrow) {
  const struct sig_variant *v = narrow && sig->narrow != NULL ? sig->narrow : sig->variants;
  while (!sig_test_holds(&v->when, words)) v++; /* the last one always holds */
  return v;
}

int sig_widest(const struct signature *sig) {
  int i, n = 0;
  for (i = 0; i < sig->nvariants; i++)
    if (sig->variants[i].nparams > n) n = sig->variants[i].nparams;
  return n;
}

const struct sig_fold *sig_fold_of(int32_t member, int32_t family,
                                   const uint64_t words[LENCASE_MAXARGS]) {
  size_t i;
  for (i = 0; i < sig_folds_size; i++) {
    const struct sig_fold *f = &sig_folds[i];
    if (f->member == member && f->family == family && sig_test_holds(&f->when, words)) return f;
  }
  return NULL;
}

int64_t sig_int(const struct sig_param *p, uint64_t word) {
  unsigned shift = 64u - 8u * p->width;
  if (p->is_signed) return (int64_t)(word << shift) >> shift;
  return (int64_t)(word << shift >> shift);
}

bool sig_is_sized(const struct sig_param *p) {
  return p->record != NULL && p->elem < p->record->size;
}

bool sig_is_pointer(const struct sig_param *p) {
  return p->kind != SIG_INT && p->kind != SIG_NONE;
}
