/*
** host.h - the one contract of all hosts
**
** A host makes calls arrive (call_arrive) and carries them out. It knows
** call.h and this file, and no grate, plan or Lua. All functions run on the
** thread that is inside the state.
*/

#ifndef HOST_H
#define HOST_H

#include "../state.h"

struct lencase_cage;
struct call;

/*
** What becomes of a call. Decision, value and failure are three things: a
** verdict never carries a value, and a value is the kernel's 64-bit result
** (-4095 .. -1 is an errno).
*/
enum verdict {
  VERDICT_PASS,  /* let it run unchanged, as if it had no handler */
  VERDICT_DONE,  /* it has a result */
  VERDICT_PARKED /* it waits for the host to carry something out */
};

/* A run of bytes: 'addr' in the cage, 'data' ours. */
struct mem_seg {
  uint64_t addr;
  void *data;
  size_t size;
};

struct host_ops {
  const char *name;

  /*
  ** Reads 'n' segments from the cage, in order, stopping at the first byte that
  ** cannot be read. *done is the number of bytes read. LENCASE_OK even when that is
  ** less than asked for; LENCASE_EGONE when the cage is no more.
  */
  int (*read)(struct lencase_cage *cage, const struct mem_seg *segs, size_t n, size_t *done);

  /*
  ** The same for a piece of a string: bytes behind its NUL need not be read, and are zeros then.
  ** NULL: use 'read'.
  */
  int (*read_string)(struct lencase_cage *cage, const struct mem_seg *seg, size_t *done);

  /* Writes one segment, whole: LENCASE_OK, LENCASE_EFAULT, LENCASE_EGONE. */
  int (*write)(struct lencase_cage *cage, const struct mem_seg *seg);

  /*
  ** Memory of ours that the cage can read and not write (the window), for what
  ** replaces arguments. seg->size says how many bytes; fills in addr and data.
  ** The call owns it until window_put(). LENCASE_ENOENT: there is no such memory for this cage; its
  ** own addresses are passed where nothing replaces them. LENCASE_ENOMEM, LENCASE_EGONE.
  */
  int (*window_get)(struct call *call, struct mem_seg *seg);
  void (*window_put)(struct call *call, const struct mem_seg *seg);

  /*
  ** The same for bytes that the caller's memory has in part only: the byte behind the last, at
  ** seg->addr + seg->size, is the first of a page that cannot be read, by the cage or the kernel.
  ** There may be no bytes before it: seg->size 0. NULL, or LENCASE_ENOENT: there is no such memory
  ** for this cage; its own is passed instead. LENCASE_ENOMEM, LENCASE_EGONE.
  */
  int (*edge_get)(struct call *call, struct mem_seg *seg);
  void (*edge_put)(struct call *call, const struct mem_seg *seg);

  /*
  ** Writable memory of the cage's own, for the out-arguments of calls that a
  ** handler makes itself; only 'addr' is filled in, use read and write.
  ** The call owns it until scratch_put().
  */
  int (*scratch_get)(struct call *call, struct mem_seg *seg);
  void (*scratch_put)(struct call *call, const struct mem_seg *seg);

  /*
  ** Carries out a call at the bottom, in the thread that 'call' came from.
  ** VERDICT_DONE with *result, or VERDICT_PARKED: the host will say
  ** call_carried_out(call, result) later, or call_drop(call). Never VERDICT_PASS.
  ** call->thread is NULL for a cage that is held (see there): then it must be done at once.
  */
  enum verdict (*carry_out)(struct call *call, int32_t nr, const uint64_t words[LENCASE_MAXARGS],
                            int64_t *result);

  /*
  ** What descriptor 'fd' of the cage refers to, as /proc/PID/fd says; fd -100
  ** (AT_FDCWD) is the working directory. Length written, or a negative errno (-EBADF: not open).
  ** 'call' says which thread's view; NULL: the cage's first.
  */
  int (*fd_path)(struct lencase_cage *cage, int fd, char *buf, size_t size);

  /* True while the cage has descriptor 'fd' open. */
  bool (*fd_open)(struct lencase_cage *cage, int fd);

  /* The name of the program in the cage (comm): length, or a negative errno. */
  int (*comm)(struct lencase_cage *cage, char *buf, size_t size);

  /* The thread that made a call, as gettid(2) tells it. NULL: the cage has one, of its pid. */
  int64_t (*tid)(const struct call *call);

  /*
  ** A call of another cage's acts on behalf of this one (make_call with a target): from 'on' true
  ** to false the cage is there, if only as one that has ended. NULL: the host carries out calls for
  ** the cage that made them, and for no other.
  */
  void (*hold)(struct lencase_cage *cage, bool on);

  /* Ends the cage as by SIGKILL. */
  void (*kill)(struct lencase_cage *cage);

  /*
  ** The state closes and the cage is there still: ends it at once, with call_cage_exit. NULL for a
  ** host whose cages never outlive the function that runs them.
  */
  void (*let_go)(struct lencase_cage *cage);
};

#endif
