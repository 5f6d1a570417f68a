/*
** lind_api.h - the four functions of Lind that a grate calls, and the one it must have
**
** Declared after lind-wasm's lind_syscall.h and its "Grate API Reference": names, arguments and
** values are theirs. In Lind's tree they come with its C library; elsewhere the program that links
** this host has them (spec/c/lind.c has a double).
*/

#ifndef LIND_API_H
#define LIND_API_H

#include <stdint.h>

/* In the cage of an argument: the value is an address in the calling grate's own linear memory. */
#define GRATE_MEMORY_FLAG ((uint64_t)1 << 63)

#define TRANSLATE_ERRNO_OFF 0 /* the result is the handler's own: -errno stays what it is */

/* What the others return that is not 0. */
#define ELINDAPIABORTED 0xE0010001u /* arguments, tables or memory are not as they must be */
#define ELINDESRCH 0xE0010002u      /* the cage is exiting */

#define LIND_COPY_BYTES 0  /* exactly so many bytes */
#define LIND_COPY_STRING 1 /* up to the first NUL, and so many at most */

int make_threei_call(unsigned int callnumber, uint64_t callname, uint64_t self_cageid,
                     uint64_t target_cageid, uint64_t arg1, uint64_t arg1cageid, uint64_t arg2,
                     uint64_t arg2cageid, uint64_t arg3, uint64_t arg3cageid, uint64_t arg4,
                     uint64_t arg4cageid, uint64_t arg5, uint64_t arg5cageid, uint64_t arg6,
                     uint64_t arg6cageid, int translate_errno);

int register_handler(uint64_t targetcage, uint64_t targetcallnum, uint64_t this_grate_id,
                     uint64_t in_grate_fn_ptr_u64);

int copy_data_between_cages(uint64_t thiscage, uint64_t targetcage, uint64_t srcaddr,
                            uint64_t srccage, uint64_t destaddr, uint64_t destcage, uint64_t len,
                            uint64_t copytype);

int copy_handler_table_to_cage(uint64_t srccage, uint64_t targetcage);

/*
** Lind calls this one when a cage makes a call that was registered: the "function pointer" is what
** register_handler() was told, here the callnum and one.
*/
int pass_fptr_to_wt(uint64_t fn_ptr_uint, uint64_t cageid, uint64_t arg1, uint64_t arg1cage,
                    uint64_t arg2, uint64_t arg2cage, uint64_t arg3, uint64_t arg3cage,
                    uint64_t arg4, uint64_t arg4cage, uint64_t arg5, uint64_t arg5cage,
                    uint64_t arg6, uint64_t arg6cage);

#endif
