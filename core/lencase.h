/*
** lencase.h - the public interface of liblencase
**
** A state owns everything: cages, grates, plans, calls in flight. Two states
** in one process never meet. A state belongs to one thread at a time: no two
** threads may be inside functions of the same state at once.
**
** Functions that can fail return a status: LENCASE_OK or a negative
** LENCASE_E...; lencase_error() then tells what, where and what to do.
** Whatever takes flags refuses those that it does not know, with LENCASE_EINVAL.
*/

#ifndef LENCASE_H
#define LENCASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LENCASE_VERSION "0.1.0"
#define LENCASE_VERSION_NUM 100

/* A system call takes at most this many arguments (syscall(2)). */
#define LENCASE_MAXARGS 6

/* {================================ policies =============================== */

/*
** A policy says for each argument what may happen to it: 4 bits an argument,
** argument 1 in the lowest. No bit set means the default of the set the policy
** was built from, and that is COPY where no set says otherwise.
** The nibbles from bit 24 on hold what the sets say, so that an explicit
** COPY(n) wins over a set and '& ~PASS(n)' takes an argument out of one.
*/
typedef uint64_t lencase_policy;

#define LENCASE_P_COPY 1u /* bytes are moved as the signature says */
#define LENCASE_P_PASS 2u /* the handler sees nil */
#define LENCASE_P_ADDR 4u /* the handler sees the address as an integer */
#define LENCASE_P_ONCE 8u /* a second use in one call is an error */

#define LENCASE_P_SHIFT(n) (4 * ((n)-1))
#define LENCASE_P_SETS 24         /* first bit of the sets' nibbles */
#define LENCASE_P_SET_POINTERS 1u /* pass it if it is a pointer */
#define LENCASE_P_SET_ALL 2u      /* pass it whatever it is */
#define LENCASE_P_AT(bits, n) ((lencase_policy)(bits) << LENCASE_P_SHIFT(n))
#define LENCASE_P_SET_AT(bits, n) (LENCASE_P_AT(bits, n) << LENCASE_P_SETS)

/* 'n' counts arguments from 1, as the manual page lists them. */
#define LENCASE_COPY(n) LENCASE_P_AT(LENCASE_P_COPY, n)
#define LENCASE_PASS(n)              \
  (LENCASE_P_AT(LENCASE_P_PASS, n) | \
   LENCASE_P_SET_AT(LENCASE_P_SET_POINTERS | LENCASE_P_SET_ALL, n))
#define LENCASE_ADDR(n) LENCASE_P_AT(LENCASE_P_ADDR, n)
#define LENCASE_ONCE(n) LENCASE_P_AT(LENCASE_P_ONCE, n)

#define LENCASE_COPY_ALL_ARGS ((lencase_policy)0)
#define LENCASE_PASS_THROUGH_POINTERS ((lencase_policy)0x111111 << LENCASE_P_SETS)
#define LENCASE_PASS_THROUGH_ALL ((lencase_policy)0x333333 << LENCASE_P_SETS)

/* }========================================================================= */

/* {================================= states ================================ */

typedef struct lencase_state lencase_state;
typedef struct lencase_grate lencase_grate;
typedef struct lencase_cage lencase_cage;

typedef enum lencase_status {
  LENCASE_OK = 0,
  LENCASE_ENOMEM = -1,  /* the allocator returned NULL */
  LENCASE_EINVAL = -2,  /* an argument of the function is invalid */
  LENCASE_ENOENT = -3,  /* no such call, file, grate or cage */
  LENCASE_EEXIST = -4,  /* it is there already (a second route for a call) */
  LENCASE_EFAULT = -5,  /* a cage's memory cannot be read or written there */
  LENCASE_ELIMIT = -6,  /* a limit of the state was reached */
  LENCASE_EGONE = -7,   /* the cage is gone */
  LENCASE_ESCRIPT = -8, /* the script of a grate failed */
  LENCASE_EHOST = -9,   /* a system call of the host's own failed */
  LENCASE_EEXEC = -10,  /* the program could not be executed */
  LENCASE_EPERM = -11   /* not allowed in this state of things */
} lencase_status;

/*
** An allocator in the manner of lua_Alloc: 'nsize' 0 frees 'ptr' (and returns
** NULL); else it (re)allocates to 'nsize' bytes, keeping what fits, and
** returns NULL when it cannot. 'osize' is the old size, 0 for a new block.
*/
typedef void *(*lencase_alloc)(void *ud, void *ptr, size_t osize, size_t nsize);

/*
** Receives messages for the user: a line without its newline, valid during the
** call only. Called on the thread that is inside the state; it must not call
** back into the state.
*/
typedef void (*lencase_log)(void *ud, const char *line);

/* Every member may be 0, which asks for the default written beside it. */
typedef struct lencase_config {
  lencase_alloc alloc; /* the C library's */
  void *alloc_ud;
  lencase_log log; /* messages are dropped */
  void *log_ud;
  uint64_t max_call_bytes;  /* bytes copied for one call; 256 MiB */
  uint64_t max_grate_bytes; /* memory of one grate's Lua state; 1 GiB */
  uint32_t max_string;      /* bytes of one string with its NUL; 128 KiB */
  uint32_t max_depth;       /* grates that call one another for one call; 64 */
  uint32_t handler_ms;      /* processor time of one handler run; 10000 ms */
  uint32_t reload_on_hup;   /* not 0: SIGHUP reloads the grates and is not forwarded */
  uint32_t quiet;           /* not 0: what programs do wrong with their calls is not logged */
  uint32_t step_ms; /* after it a program is killed in a call made on its behalf; 10000 ms */
  uint32_t debug;   /* LENCASE_DEBUG_*: events of these kinds are logged, a line each */
} lencase_config;

#define LENCASE_DEBUG_STOPS 1u  /* what a host hears of a thread, and what it does about it */
#define LENCASE_DEBUG_CALLS 2u  /* a call: its arguments, its handlers, what became of it */
#define LENCASE_DEBUG_WINDOW 4u /* memory in a cage: mapped, lent, filled, given back */
#define LENCASE_DEBUG_ROUTES 8u /* which handler a call goes to: registered, replaced, inherited */

/*
** A new state. 'config' may be NULL and is copied. NULL when memory is short.
** The caller owns the state until lencase_close().
*/
lencase_state *lencase_new(const lencase_config *config);

/* Frees a state and all that belongs to it; its cages are released. NULL is fine. */
void lencase_close(lencase_state *st);

/*
** What the last failing function of this state had to say: never NULL, owned
** by the state, valid until the next function of the state is called.
*/
const char *lencase_error(const lencase_state *st);

/* The name of a status ("LENCASE_EGONE"); "?" for a number that is none. */
const char *lencase_status_name(int status);

/* }========================================================================= */

/* {================================= grates ================================ */

/*
** Loads a Lua script as a grate: one Lua state running one script. The script
** gets 'argc' strings 'argv' as its arguments and returns lencase.grate{...}.
** 'path' and 'cpath' are the package paths for it (NULL: Lua's own, which ";;" stands for).
** The state owns the grate. LENCASE_ESCRIPT: the script did not load;
** LENCASE_ENOENT: no such file; LENCASE_ENOMEM.
*/
int lencase_load(lencase_state *st, const char *filename, int argc, const char *const argv[],
                 const char *path, const char *cpath, lencase_grate **out);

/*
** Loads a grate from memory: 'size' bytes of a script's text, or of bytecode of this very Lua.
** 'name' is for messages and the script's arg[0]; no file of that name is looked at, and
** lencase_reload leaves the grate as it is, with a message. The bytes are copied. Bytecode can do
** anything to this process: give none that is not your own. Errors as for lencase_load.
*/
int lencase_load_buffer(lencase_state *st, const char *name, const void *data, size_t size,
                        int argc, const char *const argv[], const char *path, const char *cpath,
                        lencase_grate **out);

#define LENCASE_COMPILED 1 /* the form of what lencase compile writes */

/* Bytecode, and what lencase compile found its checksum to be (FNV-1a, 64 bits). */
typedef struct lencase_chunk {
  const char *name; /* of the script; of a module */
  const unsigned char *data;
  size_t size;
  uint64_t checksum;
} lencase_chunk;

typedef struct lencase_compiled {
  int form;                    /* LENCASE_COMPILED */
  const char *version;         /* LENCASE_VERSION */
  const char *lua;             /* the release of Lua that wrote the bytecode */
  const lencase_chunk *chunks; /* the script, then the modules that it requires */
  size_t nchunks;
} lencase_compiled;

/*
** Loads what lencase compile wrote: the function NAME_load of its file calls this. Nothing is read
** or parsed, and the tables must outlive the state. LENCASE_ESCRIPT: it was compiled by another
** lencase or for another Lua, its bytes have changed, or as for lencase_load.
*/
int lencase_load_compiled(lencase_state *st, const lencase_compiled *compiled, int argc,
                          const char *const argv[], const char *path, const char *cpath,
                          lencase_grate **out);

/*
** Between opening and closing, the grates that are loaded are a branch: a stack inside of the
** grate that is loaded next, which says for each call whether it goes there. Branches nest; a grate
** has at most 8. LENCASE_ENOMEM, LENCASE_EINVAL (none is open), LENCASE_ELIMIT.
*/
int lencase_branch_open(lencase_state *st);
int lencase_branch_close(lencase_state *st);

/*
** Freezes the interfaces and runs the on_start of every grate; the first cage does it otherwise.
** LENCASE_ESCRIPT when one of them failed: nothing should be run then.
*/
int lencase_start(lencase_state *st);

/*
** Reloads the script of every grate, between two calls: one that does not load leaves what runs,
** with a message and LENCASE_ESCRIPT. A trace run does it on SIGHUP when the state's
** config says reload_on_hup.
*/
int lencase_reload(lencase_state *st);

/*
** The program has ended with 'wstatus' (waitpid(2)): the on_exit of every grate
** runs. LENCASE_ESCRIPT when one of them failed; the others ran all the same.
*/
int lencase_finish(lencase_state *st, int wstatus);

/* }========================================================================= */

/* {============================== C handlers =============================== */

/* A call in flight. It belongs to the state and is there until its handler's last event. */
typedef struct lencase_call lencase_call;

/* What becomes of a call: never a value. */
typedef enum lencase_verdict {
  LENCASE_VERDICT_PASS,  /* it goes to the next grate, or to the kernel, unchanged */
  LENCASE_VERDICT_DONE,  /* its result was set by lencase_call_answer() */
  LENCASE_VERDICT_PARKED /* it waits for what lencase_call_down() or its like asked for */
} lencase_verdict;

typedef enum lencase_event {
  LENCASE_EVENT_START,  /* the call is there, with what its policy has copied */
  LENCASE_EVENT_RESULT, /* what was parked is done: lencase_call_result() */
  LENCASE_EVENT_DROP    /* cage or thread is gone: the last event, the verdict is ignored */
} lencase_event;

/*
** A handler in C. It never blocks: whatever waits is parked and comes back as an event. It must
** not close the state, and makes calls by the functions below only. 'ud' is the grate's.
*/
typedef lencase_verdict (*lencase_handler)(lencase_call *call, lencase_event event, void *ud);

/*
** One call that a grate handles; for static tables. Members of a family are entries of their own.
*/
typedef struct lencase_entry {
  int32_t callnum; /* SYS_write, ... */
  lencase_policy policy;
  lencase_handler handler; /* NULL: the call is answered with 'constant' */
  int64_t constant;        /* a result as the kernel gives it: -EPERM */
} lencase_entry;

#define LENCASE_UNREGISTERED 1u /* handles nothing before lencase_register_handler() */

/* Every member but 'entries' and 'nentries' may be 0. The struct is copied, the table is not. */
typedef struct lencase_interface {
  const char *name; /* for messages; valid as long as the grate */
  const lencase_entry *entries;
  size_t nentries;
  unsigned flags; /* 0 or LENCASE_UNREGISTERED */
  void *ud;
  /* A cage came to be and has not run yet ('parent' NULL: the first), or has ended ('wstatus' as
  ** in waitpid(2): WIFSIGNALED for a harsh exit). Called between calls. */
  void (*on_cage)(void *ud, lencase_cage *cage, lencase_cage *parent);
  void (*on_cage_exit)(void *ud, lencase_cage *cage, int wstatus);
} lencase_interface;

/*
** A grate of C handlers, above those that are there: asked before them, and its own calls go to
** them. The table must outlive the state, which owns the grate. LENCASE_EINVAL: a policy does not
** fit its call, two entries have the same, or a flag is unknown; LENCASE_EPERM: cages run already;
** LENCASE_ENOMEM.
*/
int lencase_grate_new(lencase_state *st, const lencase_interface *interface, lencase_grate **out);

/* What call it is, whose, and its argument 'n' (from 1) as the register had it. */
int32_t lencase_call_number(const lencase_call *call);
lencase_cage *lencase_call_cage(const lencase_call *call);
uint64_t lencase_call_word(const lencase_call *call, int n);

/*
** The bytes of argument 'n' as they were copied for this call: *size of them (of a string without
** its NUL, which is there). NULL: nothing was copied, or the pointer is null. Valid until the call
** is over.
*/
const void *lencase_call_bytes(const lencase_call *call, int n, size_t *size);

/* The same for part 'i' (from 0) of an array of strings or of an iovec; NULL after the last. */
const void *lencase_call_part(const lencase_call *call, int n, size_t i, size_t *size);

/*
** Not 0: argument 'n' was to be copied, and not even its first byte can be read (or it is a string
** or an array without an end, or is more than the limits allow). lencase_call_forward forwards it
** for the kernel to judge. What can be read in part is as long as that part, and ends there for the
** kernel too.
*/
int lencase_call_is_bad(const lencase_call *call, int n);

/* Zeroed memory that lives as long as the call, for what the next event must know; the same at each
** call of the function ('size' counts the first time). NULL: none left. */
void *lencase_call_memory(lencase_call *call, size_t size);

/* Makes 'result' (-4095 to -1: an errno) that of the call, for LENCASE_VERDICT_DONE. */
void lencase_call_answer(lencase_call *call, int64_t result);

/*
** Makes a call on behalf of the cage, to the grates below or the kernel. LENCASE_VERDICT_DONE:
** lencase_call_result() has its result; LENCASE_VERDICT_PARKED: return it, and the event will come.
** A call that is parked makes no other: these return LENCASE_VERDICT_PARKED at once.
** lencase_call_forward makes the very call in flight; copied in-arguments are read by the kernel
** from memory that the cage cannot change any more.
*/
lencase_verdict lencase_call_down(lencase_call *call, int32_t callnum,
                                  const uint64_t words[LENCASE_MAXARGS]);
lencase_verdict lencase_call_forward(lencase_call *call);
int64_t lencase_call_result(const lencase_call *call);

/*
** Memory for arguments of the next call down: a window, which the cage can only read ('data' is
** where to write, 'addr' what to pass), and scratch, which the call may fill. One of each; both are
** given back by lencase_call_release, or when the call is over. LENCASE_ENOMEM, LENCASE_EGONE,
** LENCASE_EEXIST: there is one.
*/
int lencase_call_window(lencase_call *call, size_t size, void **data, uint64_t *addr);
int lencase_call_scratch(lencase_call *call, size_t size, uint64_t *addr);
void lencase_call_release(lencase_call *call);

/*
** make_call of 3i: as lencase_call_down, on behalf of cage 'target' (0: the one that calls), and
** words[i] points into the memory of cages[i] (0: the target's). What these point to is brought
** over and what the call fills is taken back. No grate can stand in for this function. The result
** is -ESRCH when one of them is gone, -EOPNOTSUPP when the host cannot act for another cage
** (trace).
*/
lencase_verdict lencase_make_call(lencase_call *call, int32_t callnum,
                                  const uint64_t words[LENCASE_MAXARGS], uint64_t target,
                                  const uint64_t cages[LENCASE_MAXARGS]);

/* }========================================================================= */

/* {==================================== 3i ================================= */

/*
** Lind's 3i: which grate handles a call of a cage can change while cages run. What is called a
** handler's grate there is a grate of the state's here, cages and grates are named by their ids.
** The three below are calls themselves, with Lind's numbers, when a grate makes them: the grates
** below it may handle them as any other. These functions are for the owner of the state, and call
** no handler. A program cannot make the calls: they end in the kernel, which does not know them,
** unless a grate stands in for them.
*/
#define LENCASE_REGISTER_HANDLER 1001
#define LENCASE_COPY_DATA_BETWEEN_CAGES 1002
#define LENCASE_COPY_HANDLER_TABLE_TO_CAGE 1003

#define LENCASE_MATCH_ALL (-1) /* as a callnum: all calls that the grate handles */

#define LENCASE_REPLACE 1u    /* what another grate handled is from now on this one's */
#define LENCASE_DEREGISTER 2u /* the reverse; grate 0: any that handles it */
#define LENCASE_OVERWRITE 4u  /* the whole table, and not only what is missing in it */

#define LENCASE_COPY_BYTES 0u  /* so many bytes */
#define LENCASE_COPY_STRING 1u /* up to and with the NUL, that must be among so many bytes */

/* Ends a cage harshly, as by SIGKILL; its grates are told when it has ended. */
void lencase_cage_kill(lencase_cage *cage);

/* Never 0, never used again within the state. */
uint64_t lencase_grate_id(const lencase_grate *grate);
uint64_t lencase_cage_id(const lencase_cage *cage);

/* The cage of this id, owned by the state; NULL: there is none, or it is gone. */
lencase_cage *lencase_cage_by_id(lencase_state *st, uint64_t id);

/*
** Registers the grate's handler for 'callnum' with a cage: 'callnum' with its family, as the
** grate declared it (a call that the cage's other grates pass through to is not changed: they
** have tables of their own). 'flags': 0, LENCASE_REPLACE or LENCASE_DEREGISTER.
** Registering what is registered is no error. Calls under way end as they began; children that
** the cage has already keep what they have. LENCASE_EGONE: the cage is ending, or does not exist;
** LENCASE_ENOENT: no such grate, or it does not handle the call, or (deregistering) no grate did;
** LENCASE_EEXIST: another grate handles it; LENCASE_EPERM: the grate is inside of a branch;
** LENCASE_EINVAL: invalid call number or flags; LENCASE_ENOMEM. After an error nothing is changed.
*/
int lencase_register_handler(lencase_state *st, uint64_t cage, int32_t callnum, uint64_t grate,
                             unsigned flags);

/*
** Gives 'target' the handlers of 'source' for calls that no grate handles there; LENCASE_REPLACE:
** also for those that one does; LENCASE_OVERWRITE: all, and nothing else. Errors as for
** lencase_register_handler.
*/
int lencase_copy_handler_table_to_cage(lencase_state *st, uint64_t target, uint64_t source,
                                       unsigned flags);

/*
** Copies 'len' bytes from address 'src' of one cage to 'dest' of another, or the same; they may
** overlap. *copied (may be NULL) is how many they were: with LENCASE_COPY_STRING as 'type' those of
** the string, its NUL included. LENCASE_EFAULT: they cannot be read (then nothing is written),
** written, or there is no NUL among them; LENCASE_ELIMIT: more than max_call_bytes;
** LENCASE_EGONE: no such cage, or it is ending; LENCASE_EINVAL; LENCASE_ENOMEM.
*/
int lencase_copy_data_between_cages(lencase_state *st, uint64_t dest_cage, uint64_t dest,
                                    uint64_t src_cage, uint64_t src, uint64_t len, unsigned type,
                                    uint64_t *copied);

/*
** Reads or writes 'size' bytes at 'addr' of a cage: all of them or LENCASE_EFAULT. LENCASE_EGONE.
*/
int lencase_cage_read(lencase_cage *cage, uint64_t addr, void *data, size_t size);
int lencase_cage_write(lencase_cage *cage, uint64_t addr, const void *data, size_t size);

/* }========================================================================= */

/* {========================= cages of an embedder's own ==================== */

/*
** A program that holds cages itself (a runtime, an interpreter, a program that runs a policy over
** its own operations) tells where their memory is and how calls are carried out, and says when a
** cage makes a call. Cages are named by their ids: a function gets LENCASE_EGONE for one that is
** gone.
*/
#define LENCASE_ILP32 1u      /* pointers, long and size_t have 4 bytes, as on wasm32; else LP64 */
#define LENCASE_OWN_MEMORY 2u /* its addresses are this process's own */

/* The struct is copied. Every member may be 0. */
typedef struct lencase_cage_config {
  const char *name; /* of the program: for messages and as comm; up to 31 bytes are copied */
  int64_t pid;      /* shown to users and scripts; 0: the cage's id */
  unsigned flags;   /* LENCASE_ILP32, LENCASE_OWN_MEMORY */
  void *ud;         /* for the callbacks below */

  /*
  ** The memory: 'size' bytes at 'base', which is the cage's address 0 (no object is there: 0 is the
  ** null pointer); or callbacks that move as many of 'size' bytes as there are, from the first on,
  ** and return how many that was; or LENCASE_OWN_MEMORY. 'base' must stay valid as long as the
  ** cage, or until lencase_cage_memory().
  */
  void *base;
  uint64_t size;
  size_t (*read)(void *ud, uint64_t addr, void *data, size_t size);
  size_t (*write)(void *ud, uint64_t addr, const void *data, size_t size);

  /*
  ** 'room_size' bytes of the cage's memory that the program leaves to lencase: what handlers put in
  ** the place of arguments lies there during the call, and what calls of theirs fill. Without room
  ** such calls fail with ENOMEM. Not looked at with LENCASE_OWN_MEMORY.
  */
  uint64_t room_addr, room_size;

  /*
  ** Carries out a call that no grate answers: the kernel's kind of result to *result and
  ** LENCASE_VERDICT_DONE, or LENCASE_VERDICT_PARKED when it will take its time: then
  ** lencase_cage_call() returns with a parked call. It runs inside of the state: of the functions
  ** for cages only lencase_cage_new (fork), _exec, _exit, _memory, _read, _write and _kill are for
  ** it. NULL: -ENOSYS; with LENCASE_OWN_MEMORY: syscall(2).
  */
  lencase_verdict (*carry_out)(void *ud, uint64_t cage, int32_t callnum,
                               const uint64_t words[LENCASE_MAXARGS], int64_t *result);

  /* What a descriptor (-100: the working directory) refers to: its path to 'buf', the length; or a
  ** negative errno. NULL: -ENOSYS; with LENCASE_OWN_MEMORY: /proc/self/fd. */
  int (*fd_path)(void *ud, int fd, char *buf, size_t size);

  /* A grate has ended the cage: it makes no calls any more. */
  void (*kill)(void *ud);
} lencase_cage_config;

/*
** A new cage; *id names it. With a parent (not 0) it is its fork: it inherits routes and the
** grates' state, its memory is its own. The grates' on_start and on_cage run in here.
** LENCASE_EINVAL: the config is invalid; LENCASE_EGONE: no such parent; LENCASE_ENOMEM.
*/
int lencase_cage_new(lencase_state *st, const lencase_cage_config *config, uint64_t parent,
                     uint64_t *id);

/* The memory has moved or grown (memory.grow). LENCASE_EINVAL: it was not given by 'base'. */
int lencase_cage_memory(lencase_state *st, uint64_t cage, void *base, uint64_t size);

/* The cage runs another program from now on, of this name (NULL: the same). */
int lencase_cage_exec(lencase_state *st, uint64_t cage, const char *name);

/*
** The cage has ended, 'wstatus' as in waitpid(2): its grates are told, parked calls are dropped.
** Inside of a call of its own it ends when that is over: lencase_cage_call() returns LENCASE_EGONE
** then.
*/
int lencase_cage_exit(lencase_state *st, uint64_t cage, int wstatus);

/*
** The cage's program makes a call: the grates are asked, then 'carry_out'. LENCASE_OK: *result is
** what the program gets, or *parked (never NULL as a pointer) is the call that waits for
** lencase_call_complete() or lencase_call_drop(); meanwhile the state is free for other calls and
** other threads. In an ILP32 cage words are zero-extended. LENCASE_EGONE: the cage is gone, or
** ended in this call; LENCASE_EPERM: the state is in use, by another thread, or by a handler or
** callback that calls this; LENCASE_ENOMEM: it could not be parked.
*/
int lencase_cage_call(lencase_state *st, uint64_t cage, int32_t callnum,
                      const uint64_t words[LENCASE_MAXARGS], int64_t *result,
                      lencase_call **parked);

/*
** What was parked has been carried out, with result 'done'. As lencase_cage_call() from there on:
** *result is there, or the call is parked again. LENCASE_EINVAL: the call is not parked.
*/
int lencase_call_complete(lencase_state *st, lencase_call *parked, int64_t done, int64_t *result,
                          lencase_call **still);

/* The thread that made the call is gone: the call's handlers are told, and there is no result. */
int lencase_call_drop(lencase_state *st, lencase_call *parked);

/* }========================================================================= */

/* {================================== trace ================================ */

/*
** Runs a program as a traced cage under the grates of the state and waits until
** it and all it started have ended. 'argv' is NULL-terminated, argv[0] is looked
** up in PATH as execvp(3) does. 'wstatus' gets the program's status in the
** form of waitpid(2).
** Signals sent to the calling process (HUP, TERM, USR1, ...) are forwarded to
** the program; the signal mask of the calling thread is put back at the end.
** LENCASE_EEXEC: the program was not executed, *wstatus is the errno;
** LENCASE_EHOST: tracing is not possible here; LENCASE_EPERM: the state has a run already.
*/
int lencase_trace_run(lencase_state *st, char *const argv[], int *wstatus);

/* }========================================================================= */

/* {================================= inline =============================== */

/*
** From now on the grates of the state stand in for the calls of this very process, which is their
** cage, and of its forks, each with a copy of the grates. The same address space: a convenience and
** no boundary, a program that wants to gets around it. Call it before there are other threads; then
** the state belongs to the process until that ends: no function of it but what handlers call, and
** no lencase_close. Its memory is its own from here on, and no malloc is called for it; what a
** handler in C calls, and the io library of one in Lua, is its own affair: the thread may be in the
** midst of malloc or stdio (lencase run --inline gives its grates a C library of their own).
** Programs that the process executes run without grates.
** on_exit is run when the process calls exit_group; not when a signal ends it, nor before an exec.
** LENCASE_EPERM: there are threads, or a state is inline already; LENCASE_EHOST: the kernel has no
** syscall user dispatch (before 5.11); LENCASE_ENOMEM.
*/
int lencase_inline_start(lencase_state *st);

/* }========================================================================= */

#ifdef __cplusplus
}
#endif

#endif
