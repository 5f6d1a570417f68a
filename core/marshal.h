/*
** marshal.h - plans, and the moving of bytes that they say
**
** A plan is a signature with a policy, compiled. Its in-steps fill the snapshots
** of a call: everything is read from the cage once, bounded, in one vectored
** read as far as no address must be read first.
*/

#ifndef MARSHAL_H
#define MARSHAL_H

#include "host/host.h"
#include "policy.h"

/* {================================= arenas ================================ */

/* Memory of one call: bump-allocated, reset at its end, kept for the next. */
struct arena {
  struct lencase_state *st;
  struct arena_chunk *chunks; /* the newest first */
  size_t hint;                /* what one chunk would have to hold */
};

void *arena_new(struct arena *a, size_t size); /* aligned to 16; NULL: none left */
void arena_reset(struct arena *a);             /* keeps one chunk of moderate size */
void arena_free(struct arena *a);

/* }========================================================================= */

/* {================================= plans ================================= */

enum step_op {
  STEP_STRING, /* a string, as long as it is */
  STEP_BYTES,  /* so many bytes */
  STEP_STRV,   /* the pointers, then the strings */
  STEP_IOVEC,  /* the array, then (SIG_IN) the bytes it points to */
};

struct step {
  uint8_t op, arg;
};

struct variant_plan {
  const struct sig_variant *variant;
  uint8_t mode[LENCASE_MAXARGS]; /* LENCASE_P_COPY, _PASS or _ADDR, with _ONCE */
  uint8_t nin, nout;
  struct step in[LENCASE_MAXARGS];  /* before the handler */
  struct step out[LENCASE_MAXARGS]; /* after a downcall, in the prototype's order */
};

struct plan {
  const struct signature *sig;
  lencase_policy policy;
  uint16_t nvariants; /* those of sig->narrow behind the others */
  struct variant_plan *variants;
};

/* LENCASE_OK, LENCASE_EINVAL (the policy does not fit), LENCASE_ENOMEM. */
int plan_new(struct lencase_state *st, const struct signature *sig, lencase_policy policy,
             struct plan **out);
void plan_free(struct lencase_state *st, struct plan *plan);

/* Plans that copy all, one a signature, which must outlive them: made when first asked for. */
struct plan_list {
  struct plan_list *next;
  struct plan *plan;
};

/* NULL: no memory. */
const struct plan *plan_list_get(struct lencase_state *st, struct plan_list **list,
                                 const struct signature *sig);
void plan_list_free(struct lencase_state *st, struct plan_list **list);

const struct variant_plan *plan_select(const struct plan *plan,
                                       const uint64_t words[LENCASE_MAXARGS], bool narrow);

/* Prints a plan, a step a line. Returns the length as snprintf(3) does. */
int plan_dump(const struct plan *plan, char *buf, size_t size);

/* }========================================================================= */

/* {=============================== snapshots =============================== */

/* Why fewer bytes are held than the caller's own words ask for. */
enum snap_cut {
  CUT_NONE,
  CUT_FAULT, /* the next one cannot be read */
  CUT_LIMIT, /* the limits of lencase allow no more */
  CUT_COUNT, /* the kernel will read none of it: its count is invalid */
  CUT_PLACE  /* forwarded: no memory is left that ends where it does */
};

/* One of the parts of a STRV (a string) or an IOVEC (a run of bytes). */
struct snap_part {
  uint64_t addr;
  uint64_t told; /* of a run: its iov_len, whatever that is */
  size_t size;   /* bytes held; of a string without its NUL */
  unsigned char
      *data; /* NULL: not held (the bytes of an out iovec, a string that cannot be read) */
  uint8_t cut;
};

enum snap_state {
  SNAP_NONE, /* nothing was copied */
  SNAP_NULL, /* the pointer is NULL */
  SNAP_BAD,  /* it cannot be read, or has no end: 'cut' says why; a string's beginning is held */
  SNAP_HELD
};

/* The bytes of one argument as the core read them, once, for this call. */
struct snapshot {
  uint8_t state;
  uint8_t kind; /* enum sig_kind of the argument */
  uint8_t uses; /* how often a downcall used it, for ONCE */
  uint8_t cut;  /* enum snap_cut */
  uint32_t nparts;
  uint64_t addr;
  uint64_t told; /* of bytes: how many the caller's words ask for */
  size_t size;   /* bytes held; of a string without its NUL */
  unsigned char *
      data; /* a string has its NUL here; a sized struct zeros for all that is known and not held */
  struct snap_part *parts;
};

/* Empties the snapshots of a call, most of which are empty most of the time. */
static inline void snapshots_clear(struct snapshot snaps[LENCASE_MAXARGS]) {
  int i;
  for (i = 0; i < LENCASE_MAXARGS; i++)
    if (snaps[i].state != SNAP_NONE || snaps[i].uses != 0) snaps[i] = (struct snapshot){0};
}

/* Where an argument's bytes are, and how many were asked for: for messages. */
struct marshal_fault {
  int arg;
  uint64_t addr, size;
};

/*
** Runs the in-steps. What 'have' (may be NULL) holds of an in-argument, at the same address and of
** the same size, is taken from there and not read again; it may be 'snaps' itself. What cannot be
** read, or is more than the limits allow, is no failure: its snapshot is cut, or bad. LENCASE_OK;
** LENCASE_ENOMEM ('fault' says for what), LENCASE_EGONE.
*/
int marshal_in(struct lencase_cage *cage, const struct variant_plan *vp,
               const uint64_t words[LENCASE_MAXARGS], const struct snapshot *have,
               struct snapshot snaps[LENCASE_MAXARGS], struct arena *arena,
               struct marshal_fault *fault);

/*
** Runs the out-steps of variant plan 'vp' after a call with 'words' gave 'result' (not an
** error): fills the snapshots of the out-arguments. 'before' are the snapshots of the
** in-arguments as the call had them (the room that a socklen_t gave), may be NULL.
*/
int marshal_out(struct lencase_cage *cage, const struct variant_plan *vp,
                const uint64_t words[LENCASE_MAXARGS], int64_t result,
                const struct snapshot *before, struct snapshot outs[LENCASE_MAXARGS],
                struct arena *arena, struct marshal_fault *fault);

/*
** How many bytes argument 'p' has room for with these words: none when its count is negative,
** UINT64_MAX when the product overflows. SIZE_DEREF needs the snapshot of the argument that holds
** the size. LENCASE_OK; LENCASE_EFAULT: the size cannot be read; LENCASE_EGONE.
*/
int marshal_room(struct lencase_cage *cage, const struct sig_variant *v, int arg,
                 const uint64_t words[LENCASE_MAXARGS], const struct snapshot *snaps,
                 uint64_t *room);

/*
** How many bytes of the 'room' of an out-argument a call that gave 'result' has filled. A status.
*/
int marshal_filled(struct lencase_cage *cage, const struct sig_variant *v, int arg,
                   const uint64_t words[LENCASE_MAXARGS], uint64_t room, int64_t result,
                   uint64_t *size);

/*
** What a recorder or the prompt shows of an argument: 'snap' has what was read of its 'size' bytes.
** The bytes of an iovec are one piece, its parts have addresses and sizes alone.
*/
struct peek {
  struct snapshot snap;
  uint64_t size; /* of a string without its NUL; of what a call is to fill: the room */
  bool fault;    /* it cannot be read, or its size is invalid */
};

/*
** Argument 'arg' before a call, at most 'limit' bytes of it. 'held' are snapshots to be served
** from, may be NULL. A string, and an array of strings, is read whole.
*/
struct peek marshal_peek(struct lencase_cage *cage, const struct sig_variant *v, int arg,
                         const uint64_t words[LENCASE_MAXARGS], const struct snapshot *held,
                         size_t limit, struct arena *arena);

/* The same after a call, of an out-argument; 'room' is what its size was before. */
struct peek marshal_peek_out(struct lencase_cage *cage, const struct sig_variant *v, int arg,
                             const uint64_t words[LENCASE_MAXARGS], uint64_t room, int64_t result,
                             size_t limit, struct arena *arena);

/*
** The way down: a snapshot (the caller's bytes, or what a handler gave instead) laid out where the
** kernel can read it. marshal_placed_size is the room it needs at the most, marshal_place lays it
** out in 'seg' from *used on and returns its address in the cage. Parts that are not held stay
** where they are.
*/
size_t marshal_placed_size(const struct sig_param *p, const struct snapshot *snap);
uint64_t marshal_place(const struct sig_param *p, const struct snapshot *snap,
                       const struct mem_seg *seg, size_t *used);

/* }========================================================================= */

#endif
