/*
** signature.h - what the arguments of a call are
**
** Signatures are data: generated from lua/lencase/calls/data.lua when lencase is
** built, or made at run time from a prototype that an author gives (by the same
** grammar, lua/lencase/calls/prototype.lua). Argument indexes count from 0 here.
*/

#ifndef SIGNATURE_H
#define SIGNATURE_H

#include "state.h"

enum sig_kind {
  SIG_NONE,    /* no such argument */
  SIG_INT,     /* an integer in the register: 'width' bytes, 'is_signed' */
  SIG_ADDR,    /* a pointer of which no more is known, seen as an address */
  SIG_STRING,  /* a NUL-terminated string; always in */
  SIG_BYTES,   /* bytes, as many as 'size' says */
  SIG_RECORDS, /* structs or scalars of 'elem' bytes each, as many as 'size' says */
  SIG_STRV,    /* a NULL-terminated array of strings; always in */
  SIG_IOVEC    /* an array of struct iovec; 'dir' is that of the bytes they point to */
};

enum sig_dir { SIG_IN = 1, SIG_OUT = 2, SIG_INOUT = 3 };

/* Where the number of elements of a SIG_BYTES, SIG_RECORDS or SIG_IOVEC comes from. */
enum sig_size {
  SIZE_FIXED, /* 'count' */
  SIZE_ARG,   /* the value of argument 'size_arg' */
  SIZE_DEREF, /* the 32-bit integer that argument 'size_arg' points to (addrlen) */
  SIZE_FIELD  /* of one struct: the 32-bit integer at 'count' bytes in itself */
};

/* For an out-argument: how much of it is there, by the result. */
enum sig_filled {
  FILLED_WHOLE, /* all of its size (for SIZE_DEREF: the new value, at most the old) */
  FILLED_RESULT /* 'result' elements, at most its size */
};

struct sig_field {
  const char *name;
  uint16_t offset;
  uint16_t count;                  /* elements of an array, else 1 */
  uint8_t width;                   /* of one element, bytes; for FIELD_RECORD its record's size */
  uint8_t kind;                    /* enum field_kind */
  const struct sig_record *record; /* of a FIELD_RECORD */
};

enum field_kind { FIELD_INT, FIELD_UINT, FIELD_CHARS, FIELD_RECORD };

struct sig_record {
  const char *name; /* "struct stat"; for a scalar its C type ("off_t") */
  uint16_t size;
  uint16_t nfields; /* 1 and the field's name "" for a scalar */
  const struct sig_field *fields;
};

struct sig_param {
  const char *name;
  const char *ctype; /* as the prototype has it, for messages */
  uint8_t kind, dir;
  uint8_t width, is_signed; /* of a SIG_INT */
  uint8_t nullable;         /* the prototype says that NULL is fine */
  uint8_t size, size_arg;   /* enum sig_size */
  uint8_t filled;           /* enum sig_filled */
  uint32_t elem;            /* bytes of one element; 1 for one struct with a size in bytes */
  uint32_t count; /* for SIZE_FIXED, SIZE_FIELD; of a string: the most that is read, 0: any */
  const struct sig_record *record; /* of a SIG_RECORDS */
};

/* A test on one argument word. */
enum test_op {
  TEST_ALWAYS,
  TEST_EQ,  /* (word & mask) == value */
  TEST_ANY, /* (word & mask) != 0 */
  TEST_NONE /* (word & mask) == 0 */
};

struct sig_test {
  uint8_t op, arg;
  uint64_t mask, value;
};

/* The first variant whose test holds is the call's; the last one is TEST_ALWAYS. */
struct sig_variant {
  struct sig_test when;
  uint8_t nparams;
  uint8_t unknown; /* stands for arguments without a description: all addresses */
  const struct sig_param *params;
};

/*
** Where a parameter of a family's prototype is found in a member call.
*/
enum fold_from {
  FOLD_ABSENT, /* not there: nil */
  FOLD_ARG,    /* argument 'arg' */
  FOLD_CONST,  /* 'value' */
  FOLD_PATH,   /* string 'arg', relative to the directory descriptor 'dir_arg' */
  FOLD_FIELD   /* the 8 bytes at 'value' of record 'arg' */
};

struct fold_param {
  uint8_t from, arg, dir_arg;
  uint64_t value;
};

/* How a member call is seen in the prototype of its family's first call. */
struct sig_fold {
  int32_t member, family; /* callnums */
  struct sig_test when;   /* it belongs to the family only then */
  uint8_t nparams;
  struct fold_param params[LENCASE_MAXARGS];
};

enum sig_flag {
  SIGF_NORETURN = 1, /* exit, exit_group */
  SIGF_ADDRESS = 2   /* the result is an address (mmap, brk) */
};

struct signature {
  const char *name;
  const char *prototype; /* as the manual has it, of the widest variant */
  int32_t nr;
  uint8_t flags;
  uint8_t nvariants;
  const struct sig_variant *variants;
  const struct sig_variant *narrow; /* in a cage whose pointers have 4 bytes; NULL: the same */
};

/* The generated tables (signature_data.c): by ascending callnum; by member. */
extern const struct signature sig_table[];
extern const size_t sig_table_size;
extern const struct sig_fold sig_folds[];
extern const size_t sig_folds_size;

/* The signature of a callnum; NULL when there is none. */
const struct signature *sig_by_nr(int32_t nr);

/* The signature of a call's name; NULL when there is none. */
const struct signature *sig_by_name(const char *name);

/* The callnum of any kernel call, with a signature or without; -1 if unknown. */
int32_t sig_callnum(const char *name);

/*
** The name of a callnum, "call 335" when it has none: written to 'buf' when no
** constant string will do; at least 24 bytes.
*/
const char *sig_name(int32_t nr, char *buf, size_t size);

/* The signature of a call that is not described: six integers. */
extern const struct signature sig_unknown;

/* The variant of a call with these words, in a cage with pointers of 4 bytes or not; never NULL. */
const struct sig_variant *sig_select(const struct signature *sig,
                                     const uint64_t words[LENCASE_MAXARGS], bool narrow);

/* How many arguments the variant with the most of them has. */
int sig_widest(const struct signature *sig);

/* How a fold sees 'member' in the prototype of 'family'; NULL: not a member. */
const struct sig_fold *sig_fold_of(int32_t member, int32_t family,
                                   const uint64_t words[LENCASE_MAXARGS]);

bool sig_test_holds(const struct sig_test *t, const uint64_t words[LENCASE_MAXARGS]);
bool sig_test_same(const struct sig_test *a, const struct sig_test *b);

/* The value of a SIG_INT parameter in its word: C's conversion to its type. */
int64_t sig_int(const struct sig_param *p, uint64_t word);

bool sig_is_pointer(const struct sig_param *p);

/* One struct, as many bytes of it as the caller says: what it leaves out is zeros to the kernel. */
bool sig_is_sized(const struct sig_param *p);

#endif
