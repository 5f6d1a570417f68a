/*
** call.h - one call in flight, from the cage's request to its result
**
** The whole of what a host needs: it calls call_arrive when a call arrives, acts
** on the verdict, calls call_carried_out when something it parked is done, and
** call_end when the verdict was delivered (or call_drop when the caller is gone).
*/

#ifndef CALL_H
#define CALL_H

#include "cage.h"
#include "marshal.h"
#include "route.h"

struct call {
  struct arena arena; /* this and what follows up to 'all' are kept for the next call */
  struct snapshot snaps[LENCASE_MAXARGS]; /* of the in-arguments that are copied */
  struct call *all;                       /* every call the pool ever made */
  struct lencase_cage *cage;
  void *thread; /* the host's: which thread of the cage made it */
  int32_t nr;
  uint64_t words[LENCASE_MAXARGS];
  const struct route_entry *entry;
  const struct route_answer *answer; /* of the entry, when it was asked */
  const struct variant_plan *vp;
  int64_t result;                 /* VERDICT_DONE: what the caller gets */
  int64_t down_result;            /* of the last downcall */
  unsigned downcalls;             /* made so far */
  void *frame;                    /* the handler's own (a coroutine) */
  struct mem_seg window, scratch; /* of the downcall under way; size 0: none */
  struct call_edge *edges;        /* the same, of bytes that end early */
  struct marshal_fault
      limited;     /* the argument that exceeded a limit and is copied in part; size 0: none */
  uint64_t copied; /* how many bytes of it were */
  struct call_cross *cross;     /* arguments that belong to other cages; NULL: none */
  const struct route_table *to; /* where its handler lets it through to; NULL: to the next */
  void *record;                 /* the recorder's own; NULL: the call is not recorded */
  bool parked;
  bool detached;       /* a grate made it outside of a handler: no host can carry it out */
  bool bare;           /* a grate above let it through, no grate below handles it */
  unsigned depth;      /* how many grates are above */
  struct call *parent; /* the call whose handler made this one; NULL: the cage's program did */
  struct call *leaf;   /* of the program's call: the one whose handler or host is at work */
  struct call *next;   /* in the pool */
};

/* {=============================== for hosts =============================== */

/*
** A call arrived. VERDICT_PASS: no grate handles it, or its handler lets it
** through; *out is NULL. Otherwise *out is the call; VERDICT_DONE: its result is
** call->result, or -ENOMEM when *out is NULL (no memory for a call);
** VERDICT_PARKED: host->carry_out has taken something over.
** 'words' are the argument words as the registers had them.
*/
enum verdict call_arrive(struct lencase_cage *cage, void *thread, int32_t nr,
                         const uint64_t words[LENCASE_MAXARGS], struct call **out);

/*
** The same when 'entry' is asked first, whether it is in the cage's table or not: the prompt
** decides this one call. It must live as long as the state.
*/
enum verdict call_ask(struct lencase_cage *cage, void *thread, int32_t nr,
                      const uint64_t words[LENCASE_MAXARGS], const struct route_entry *entry,
                      struct call **out);

/*
** No grate handles a call that arrived: it is carried out as it is, and may be parked as any other.
** DONE or PARKED; *out as for call_arrive.
*/
enum verdict call_unhandled(struct lencase_cage *cage, void *thread, int32_t nr,
                            const uint64_t words[LENCASE_MAXARGS], struct call **out);

/*
** What carry_out parked is done, with the kernel's result. The verdict is
** DONE or PARKED again.
*/
enum verdict call_carried_out(struct call *call, int64_t result);

/* The result was delivered: the call is over and its struct recycled. */
void call_end(struct call *call);

/* The thread or the cage is gone: its handler is told, the struct recycled. */
void call_drop(struct call *call);

/*
** A cage came to be and has not run yet: it gets the routes of 'parent', or (NULL) those of
** the state, and the watchers are told. NULL when memory is short.
** 'shares_files': it shares its descriptors with its parent (CLONE_FILES).
*/
struct lencase_cage *call_cage_new(struct lencase_state *st, const struct host_ops *ops, void *host,
                                   int64_t pid, struct lencase_cage *parent, bool shares_files);

/* The cage runs a new program, stopped before its first instruction. */
void call_cage_exec(struct lencase_cage *cage);

/*
** The cage has ended, 'status' as in waitpid(2). Every call of it was dropped or ended before.
** The struct is freed; the host frees its own part after.
*/
void call_cage_exit(struct lencase_cage *cage, int status);

/* The state closes: its cages are released. */
void call_cages_close(struct lencase_state *st);

/* The program has ended: logs how often mistakes were repeated that were logged once. */
void call_tell_mistakes(struct lencase_state *st);

/* In the child of a fork, which has a copy of the state: it has made none of these mistakes. */
void call_forget_mistakes(struct lencase_state *st);

/* True when some grate handles a call of this number and these words in this cage. */
bool call_wanted(const struct lencase_cage *cage, int32_t nr,
                 const uint64_t words[LENCASE_MAXARGS]);

/* For a host that builds its filter: see route_next; *links are the entries that may handle it. */
int32_t call_next_wanted(const struct lencase_cage *cage, int32_t after,
                         const struct route_link **links);

/* }========================================================================= */

/* {============================== for handlers ============================= */

/* Whether some grate below, or in branch 'to', may be asked when the handler makes call 'nr'. */
bool call_is_asked(const struct call *call, int32_t nr, const struct route_table *to);

/*
** make_call: carries out a call on behalf of the calling cage, one step further
** down: by the next grate in the table of the handler's own, or at the bottom. VERDICT_DONE:
** call->down_result is there; VERDICT_PARKED: the handler's HANDLER_RESULT will come.
*/
enum verdict call_down(struct call *call, int32_t nr, const uint64_t words[LENCASE_MAXARGS]);

/*
** The same, with what the handler has of the arguments: the next grate is served from there
** ('have' by argument, valid until the downcall is over; see marshal_in). From table 'to' instead
** of the grate's own table when that is not NULL.
*/
enum verdict call_down_with(struct call *call, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
                            const struct snapshot *have, const struct route_table *to);

/*
** The same on behalf of cage 'target', which may be another than the calling one, with arguments
** that point into the memory of others: cages[i] (NULL: the target). What these point to is brought
** over, and what the call fills is taken back, before the result is there.
*/
enum verdict call_down_for(struct call *call, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
                           const struct route_table *to, struct lencase_cage *target,
                           struct lencase_cage *const *cages);

/*
** Memory for the next downcall: what replaces arguments goes to call->window, room for
** out-arguments is call->scratch (host.h). One of each; call_down_over gives them back.
** A status; LENCASE_EGONE or LENCASE_ENOMEM with the reason in lencase_error().
*/
int call_window(struct call *call, size_t size);
int call_scratch(struct call *call, size_t size);

/*
** Puts what snapshots hold of arguments of variant 'v' into memory for the next downcall, and their
** addresses into 'words': of the arguments whose bit is set in 'which'. What is truncated ends at
** an unreadable page, as in the caller's memory, and a bad snapshot's address is unreadable when
** the kernel looks. A status as for call_down_room; LENCASE_ELIMIT: there is no such memory left.
*/
int call_place(struct call *call, const struct sig_variant *v, unsigned which,
               const struct snapshot snaps[LENCASE_MAXARGS], uint64_t words[LENCASE_MAXARGS]);

/* The handler has taken all it wants from the downcall. */
void call_down_over(struct call *call);

/* "write: cage 4242 (tar)": for messages. Returns 'buf'. */
const char *call_where(const struct call *call, char *buf, size_t size);

/*
** Logs what a program has done wrong with an argument of the call: "script.lua:12: buf at 0x10 (5
** bytes) cannot be read: in write: cage 42 (tar); the caller gets EFAULT". Once for each handler;
** call_tell_mistakes logs how often it happened since. call_refused is the same for a valid
** argument that exceeds a limit of lencase's: it is logged even if the config is 'quiet'.
*/
void call_mistake(const struct call *call, const char *name, uint64_t addr, uint64_t size,
                  const char *what, const char *answer);
void call_refused(const struct call *call, const char *name, uint64_t addr, uint64_t size,
                  const char *what, const char *answer);

/* }========================================================================= */

/* {================================ recording ============================== */

/*
** A recorder of what the programs of cages ask, what is carried out for that at the bottom, and
** what they get. While there is one, a call that no grate handles, or that a handler lets through,
** is carried out like a call of the handler's own, so that its result is known. 'call' is always
** the program's; what the recorder keeps of it is call->record, in the call's arena. Called in the
** middle of calls; may neither raise errors nor make calls.
*/
struct call_recorder {
  /* It is about to be handled. 'held': the snapshots of its first handler, or NULL. */
  void (*asked)(struct call_recorder *r, struct call *call, const struct snapshot *held);
  /* Something is carried out on behalf of 'cage'; the answer to it, unless the call is dropped. */
  void (*down)(struct call_recorder *r, struct call *call, struct lencase_cage *cage, int32_t nr,
               const uint64_t words[LENCASE_MAXARGS]);
  void (*answered)(struct call_recorder *r, struct call *call, int64_t result);
  /* A handler failed; the rules of its grate say what becomes of the call. */
  void (*failed)(struct call_recorder *r, struct call *call, const char *message);
  /* The program has call->result, or (dropped) will never have one. */
  void (*over)(struct call_recorder *r, struct call *call, bool dropped);
};

/* For grates: a handler of this call failed. */
void call_failed(struct call *call, const char *message);

/* }========================================================================= */

/* {=================================== 3i ================================== */

/* True for the numbers of register_handler, copy_data_between_cages, copy_handler_table_to_cage. */
bool call_is_threei(int32_t nr);

/* The bottom of these calls: the kernel's kind of result. */
int64_t call_threei(struct lencase_state *st, int32_t nr, const uint64_t words[LENCASE_MAXARGS]);

/* One of them, made by a grate outside of calls for 'cage': asks the grates in 'to'. The result. */
int64_t call_detached(struct lencase_cage *cage, const struct route_table *to, int32_t nr,
                      const uint64_t words[LENCASE_MAXARGS]);

/* }========================================================================= */

int call_pool_open(struct lencase_state *st);
void call_pool_close(struct lencase_state *st);

#endif
