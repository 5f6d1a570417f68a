/*
** kernel.h - what the hosts use of the kernel and the headers of Debian 12 may lack
*/

#ifndef LENCASE_HOST_KERNEL_H
#define LENCASE_HOST_KERNEL_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U /* memfd_create(2), Linux 6.3 */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10 /* F_GET_SEALS(2const), Linux 5.1 */
#endif
#ifndef SYS_mseal
#define SYS_mseal 462 /* Linux 6.10 */
#endif
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59 /* Linux 5.11 */
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_ON 1
#endif

/* struct procmap_query and PROCMAP_QUERY of linux/fs.h, Linux 6.11. */
struct map_query {
  /* cppcheck-suppress unusedStructMember */
  uint64_t size, flags, addr;
  /* cppcheck-suppress unusedStructMember */
  uint64_t start, end, vma_flags, page_size, offset, inode;
  /* cppcheck-suppress unusedStructMember */
  uint32_t dev_major, dev_minor, name_size, build_id_size;
  /* cppcheck-suppress unusedStructMember */
  uint64_t name_addr, build_id_addr;
};

#define MAP_QUERY _IOWR('f', 17, struct map_query)

#endif
