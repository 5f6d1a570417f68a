-- data.lua - what lencase knows of the kernel's calls: data, and nothing but data
--
-- types      typedefs and structs as the x86-64 kernel lays them out, in C; where long and pointers have
--            4 bytes, what is long long here has 8 (files and times, as wasm32's C libraries have them)
-- constants  the values that the variants and families below test
-- list       one row a call: { callnum, prototype, variants... }
-- families   which calls do the same thing for an author
--
-- Prototypes are written as calls/prototype.lua describes, with the manual's names and the
-- kernel's types: where the C library's function differs from the kernel's call (getcwd, select,
-- readlink, ...) the kernel's is meant. Fields whose names begin with "__" are padding.
-- spec/signature_spec.lua compares all of it with the kernel's headers.

local calls = {}

calls.types = [[
typedef long ssize_t;            typedef unsigned long size_t;
typedef long long off_t;         typedef long long loff_t;
typedef long long time_t;        typedef long suseconds_t;      typedef long clock_t;
typedef int clockid_t;           typedef int timer_t;
typedef unsigned int mode_t;     typedef unsigned int uid_t;    typedef unsigned int gid_t;
typedef int pid_t;               typedef unsigned int id_t;     typedef int key_t;
typedef unsigned long long dev_t; typedef unsigned long long ino_t; typedef unsigned long nlink_t;
typedef long blksize_t;          typedef long long blkcnt_t;    typedef unsigned int socklen_t;
typedef unsigned char uint8_t;   typedef unsigned short uint16_t;
typedef unsigned int uint32_t;   typedef unsigned long uint64_t;
typedef signed char int8_t;      typedef short int16_t;
typedef int int32_t;             typedef long int64_t;
typedef unsigned long kernel_sigset_t;
typedef unsigned int tcflag_t;   typedef unsigned char cc_t;
typedef uint64_t rlim_t;

typedef void fd_set; /* as many bits as nfds says, which no size can: an address */
struct sockaddr;     /* as many bytes as an addrlen says */
struct rseq;
struct robust_list_head;

struct iovec { void *iov_base; size_t iov_len; };
struct timespec { time_t tv_sec; long tv_nsec; };
struct timeval { time_t tv_sec; suseconds_t tv_usec; };
struct timezone { int tz_minuteswest; int tz_dsttime; };
struct itimerval { struct timeval it_interval; struct timeval it_value; };
struct itimerspec { struct timespec it_interval; struct timespec it_value; };
struct utimbuf { time_t actime; time_t modtime; };
struct tms { clock_t tms_utime; clock_t tms_stime; clock_t tms_cutime; clock_t tms_cstime; };

struct stat {
  dev_t st_dev; ino_t st_ino; nlink_t st_nlink;
  mode_t st_mode; uid_t st_uid; gid_t st_gid; int __pad0;
  dev_t st_rdev; off_t st_size; blksize_t st_blksize; blkcnt_t st_blocks;
  struct timespec st_atim; struct timespec st_mtim; struct timespec st_ctim;
  long __unused[3];
};
struct statx_timestamp { int64_t tv_sec; uint32_t tv_nsec; int32_t __reserved; };
struct statx {
  uint32_t stx_mask; uint32_t stx_blksize; uint64_t stx_attributes;
  uint32_t stx_nlink; uint32_t stx_uid; uint32_t stx_gid; uint16_t stx_mode; uint16_t __spare0;
  uint64_t stx_ino; uint64_t stx_size; uint64_t stx_blocks; uint64_t stx_attributes_mask;
  struct statx_timestamp stx_atime; struct statx_timestamp stx_btime;
  struct statx_timestamp stx_ctime; struct statx_timestamp stx_mtime;
  uint32_t stx_rdev_major; uint32_t stx_rdev_minor; uint32_t stx_dev_major; uint32_t stx_dev_minor;
  uint64_t stx_mnt_id; uint32_t stx_dio_mem_align; uint32_t stx_dio_offset_align; uint64_t __spare3[12];
};
typedef struct { int val[2]; } fsid_t;
struct statfs {
  long f_type; long f_bsize;
  unsigned long f_blocks; unsigned long f_bfree; unsigned long f_bavail;
  unsigned long f_files; unsigned long f_ffree; fsid_t f_fsid;
  long f_namelen; long f_frsize; long f_flags; long __spare[4];
};
struct open_how { uint64_t flags; uint64_t mode; uint64_t resolve; };
struct flock { short l_type; short l_whence; off_t l_start; off_t l_len; pid_t l_pid; };
struct f_owner_ex { int type; pid_t pid; };
struct file_clone_range { int64_t src_fd; uint64_t src_offset; uint64_t src_length; uint64_t dest_offset; };

struct pollfd { int fd; short events; short revents; };
struct epoll_event { uint32_t events; union { uint32_t fd; uint64_t u64; } data; } __attribute__((packed));
struct sigset_argpack { const kernel_sigset_t *ss; size_t ss_len; };

struct msghdr {
  void *msg_name; int msg_namelen; struct iovec *msg_iov; size_t msg_iovlen;
  void *msg_control; size_t msg_controllen; unsigned int msg_flags;
};
struct mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; };

struct rusage {
  struct timeval ru_utime; struct timeval ru_stime;
  long ru_maxrss, ru_ixrss, ru_idrss, ru_isrss, ru_minflt, ru_majflt, ru_nswap, ru_inblock, ru_oublock;
  long ru_msgsnd, ru_msgrcv, ru_nsignals, ru_nvcsw, ru_nivcsw;
};
struct rlimit { rlim_t rlim_cur; rlim_t rlim_max; };
struct sysinfo {
  long uptime; unsigned long loads[3];
  unsigned long totalram, freeram, sharedram, bufferram, totalswap, freeswap;
  uint16_t procs; uint16_t __pad; unsigned long totalhigh; unsigned long freehigh; uint32_t mem_unit;
};
struct utsname {
  char sysname[65]; char nodename[65]; char release[65]; char version[65]; char machine[65]; char domainname[65];
};
struct sched_param { int sched_priority; };

/* The form it has for SIGCHLD, which is what waitid fills in. */
typedef struct {
  int si_signo; int si_errno; int si_code; int __pad;
  pid_t si_pid; uid_t si_uid; int si_status; int __rest[25];
} siginfo_t;
struct sigaction {
  void *sa_handler; unsigned long sa_flags; void *sa_restorer; kernel_sigset_t sa_mask;
};
typedef struct { void *ss_sp; int ss_flags; size_t ss_size; } stack_t;
struct clone_args {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
  uint64_t set_tid, set_tid_size, cgroup;
};

struct sched_attr {
  uint32_t size, sched_policy; uint64_t sched_flags; int32_t sched_nice; uint32_t sched_priority;
  uint64_t sched_runtime, sched_deadline, sched_period; uint32_t sched_util_min, sched_util_max;
};
/* Of these the first fields alone: the kernel's grow with it. */
struct perf_event_attr {
  uint32_t type, size; uint64_t config, sample_period, sample_type, read_format;
};
struct landlock_ruleset_attr { uint64_t handled_access_fs; };
struct mount_attr { uint64_t attr_set, attr_clr, propagation, userns_fd; };
struct mnt_id_req { uint32_t size, mnt_ns_fd; uint64_t mnt_id, param; };

struct termios { tcflag_t c_iflag, c_oflag, c_cflag, c_lflag; cc_t c_line; cc_t c_cc[19]; };
struct winsize { unsigned short ws_row, ws_col, ws_xpixel, ws_ypixel; };

struct sembuf { unsigned short sem_num; short sem_op; short sem_flg; };
struct cap_header { uint32_t version; int pid; };
struct getcpu_cache;
]]

calls.constants = {
  O_WRONLY = 01, O_CREAT = 0x40, O_TRUNC = 0x200,
  __O_TMPFILE = 0x400000, -- the kernel's bit; the C library's O_TMPFILE has O_DIRECTORY in it too
  AT_SYMLINK_NOFOLLOW = 0x100, AT_REMOVEDIR = 0x200, AT_EMPTY_PATH = 0x1000,

  F_DUPFD = 0, F_GETFD = 1, F_SETFD = 2, F_GETFL = 3, F_SETFL = 4, F_GETLK = 5, F_SETLK = 6, F_SETLKW = 7,
  F_SETOWN = 8, F_GETOWN = 9, F_SETSIG = 10, F_GETSIG = 11, F_SETOWN_EX = 15, F_GETOWN_EX = 16,
  F_OFD_GETLK = 36, F_OFD_SETLK = 37, F_OFD_SETLKW = 38, F_SETLEASE = 1024, F_GETLEASE = 1025, F_NOTIFY = 1026,
  F_DUPFD_CLOEXEC = 1030, F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032, F_ADD_SEALS = 1033, F_GET_SEALS = 1034,
  F_GET_RW_HINT = 1035, F_SET_RW_HINT = 1036, F_GET_FILE_RW_HINT = 1037, F_SET_FILE_RW_HINT = 1038,

  TCGETS = 0x5401, TCSETS = 0x5402, TCSETSW = 0x5403, TCSETSF = 0x5404, TCSBRK = 0x5409, TCXONC = 0x540a,
  TCFLSH = 0x540b, TIOCSCTTY = 0x540e, TIOCGPGRP = 0x540f, TIOCSPGRP = 0x5410, TIOCOUTQ = 0x5411,
  TIOCGWINSZ = 0x5413, TIOCSWINSZ = 0x5414, FIONREAD = 0x541b, FIONBIO = 0x5421, TIOCNOTTY = 0x5422,
  TCSBRKP = 0x5425, TIOCGSID = 0x5429, TIOCGPTN = 0x80045430, TIOCSPTLCK = 0x40045431, TIOCGPTPEER = 0x5441,
  FIONCLEX = 0x5450, FIOCLEX = 0x5451, FIOASYNC = 0x5452, FICLONE = 0x40049409, FICLONERANGE = 0x4020940d,
  FS_IOC_GETFLAGS = 0x80086601, FS_IOC_SETFLAGS = 0x40086602, FIGETBSZ = 2, BLKGETSIZE64 = 0x80081272,

  PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4, PR_GET_KEEPCAPS = 7,
  PR_SET_KEEPCAPS = 8, PR_SET_NAME = 15, PR_GET_NAME = 16, PR_GET_SECCOMP = 21, PR_SET_SECCOMP = 22,
  PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24, PR_GET_SECUREBITS = 27, PR_SET_SECUREBITS = 28,
  PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30, PR_SET_CHILD_SUBREAPER = 36, PR_GET_CHILD_SUBREAPER = 37,
  PR_SET_NO_NEW_PRIVS = 38, PR_GET_NO_NEW_PRIVS = 39, PR_GET_TID_ADDRESS = 40, PR_CAP_AMBIENT = 47,
  PR_SET_PTRACER = 0x59616d61, PR_SET_VMA = 0x53564d41,

  FUTEX_CMD_MASK = ~0x180,
  FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_REQUEUE = 3, FUTEX_CMP_REQUEUE = 4, FUTEX_WAKE_OP = 5, FUTEX_LOCK_PI = 6,
  FUTEX_UNLOCK_PI = 7, FUTEX_TRYLOCK_PI = 8, FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET = 10,
  FUTEX_WAIT_REQUEUE_PI = 11, FUTEX_CMP_REQUEUE_PI = 12, FUTEX_LOCK_PI2 = 13,

  ARCH_SET_GS = 0x1001, ARCH_SET_FS = 0x1002, ARCH_GET_FS = 0x1003, ARCH_GET_GS = 0x1004,
  ARCH_GET_CPUID = 0x1011, ARCH_SET_CPUID = 0x1012,
  MREMAP_FIXED = 2, MREMAP_DONTUNMAP = 4,
  IPC_RMID = 0, IPC_SET = 1, IPC_STAT = 2, GETALL = 13, SETVAL = 16, SETALL = 17,
}

-- A row's variants say what takes the place of "..." and when; the first that holds is the
-- call's, and the last holds always:
--   by = "op"          the argument that decides ('mask': only these bits of it)
--   { eq = "F_SETFL F_SETFD", "int arg" }   it is one of these
--   { any = "O_CREAT", "mode_t mode" }      one of these bits is set
--   { "" }                                  in all other cases
--   { unknown = true, "void *arg" }         likewise, but what the rest is is not known
calls.list = {
  { 0, "ssize_t read(int fd, void buf[.count], size_t count);" },
  { 1, "ssize_t write(int fd, const void buf[.count], size_t count);" },
  { 2, "int open(const char *pathname, int flags, ... /* mode_t mode */);", by = "flags",
    { any = "O_CREAT __O_TMPFILE", "mode_t mode" },
    { "" } },
  { 3, "int close(int fd);" },
  { 4, "int stat(const char *restrict pathname, struct stat *restrict statbuf);" },
  { 5, "int fstat(int fd, struct stat *statbuf);" },
  { 6, "int lstat(const char *restrict pathname, struct stat *restrict statbuf);" },
  { 7, "int poll(/* inout whole */ struct pollfd fds[.nfds], unsigned int nfds, int timeout);" },
  { 8, "off_t lseek(int fd, off_t offset, unsigned int whence);" },
  { 9, "void *mmap(void *_Nullable addr, size_t length, unsigned long prot, unsigned long flags, int fd, "
     .. "off_t offset);" },
  { 10, "int mprotect(void *addr, size_t len, unsigned long prot);" },
  { 11, "int munmap(void *addr, size_t length);" },
  { 12, "void *brk(void *_Nullable addr);" },
  { 13, "int rt_sigaction(int signum, const struct sigaction *_Nullable act, struct sigaction *_Nullable oldact, "
     .. "size_t sigsetsize);" },
  { 14, "int rt_sigprocmask(int how, const kernel_sigset_t *_Nullable set, kernel_sigset_t *_Nullable oldset, "
     .. "size_t sigsetsize);" },
  { 15, "int rt_sigreturn(void);" },
  { 16, "int ioctl(int fd, unsigned int op, ... /* arg */);", by = "op",
    { eq = "TCGETS", "struct termios *argp" },
    { eq = "TCSETS TCSETSW TCSETSF", "const struct termios *argp" },
    { eq = "TIOCGWINSZ", "struct winsize *argp" },
    { eq = "TIOCSWINSZ", "const struct winsize *argp" },
    { eq = "FIONREAD TIOCOUTQ TIOCGPGRP TIOCGSID TIOCGPTN FIGETBSZ FS_IOC_GETFLAGS", "int *argp" },
    { eq = "FIONBIO FIOASYNC TIOCSPGRP TIOCSPTLCK FS_IOC_SETFLAGS", "const int *argp" },
    { eq = "BLKGETSIZE64", "uint64_t *argp" },
    { eq = "TCSBRK TCSBRKP TCXONC TCFLSH TIOCSCTTY TIOCGPTPEER", "int arg" },
    { eq = "FICLONE", "int src_fd" },
    { eq = "FICLONERANGE", "const struct file_clone_range *arg" },
    { eq = "FIOCLEX FIONCLEX TIOCNOTTY", "" },
    { unknown = true, "void *_Nullable argp" } },
  { 17, "ssize_t pread64(int fd, void buf[.count], size_t count, off_t offset);" },
  { 18, "ssize_t pwrite64(int fd, const void buf[.count], size_t count, off_t offset);" },
  { 19, "ssize_t readv(int fd, /* out */ const struct iovec iov[.iovcnt], unsigned long iovcnt);" },
  { 20, "ssize_t writev(int fd, const struct iovec iov[.iovcnt], unsigned long iovcnt);" },
  { 21, "int access(const char *pathname, int mode);" },
  { 22, "int pipe(int pipefd[2]);" },
  { 23, "int select(int nfds, fd_set *_Nullable readfds, fd_set *_Nullable writefds, "
     .. "fd_set *_Nullable exceptfds, /* inout */ struct timeval *_Nullable timeout);" },
  { 24, "int sched_yield(void);" },
  { 25, "void *mremap(void *old_address, size_t old_size, size_t new_size, unsigned long flags, "
     .. "... /* void *new_address */);", by = "flags",
    { any = "MREMAP_FIXED MREMAP_DONTUNMAP", "void *_Nullable new_address" },
    { "" } },
  { 26, "int msync(void *addr, size_t length, int flags);" },
  { 27, "int mincore(void *addr, size_t length, /* addr */ unsigned char *vec);" },
  { 28, "int madvise(void *addr, size_t length, int advice);" },
  { 29, "int shmget(key_t key, size_t size, int shmflg);" },
  { 30, "void *shmat(int shmid, const void *_Nullable shmaddr, int shmflg);" },
  { 31, "int shmctl(int shmid, int op, void *_Nullable buf);" },
  { 32, "int dup(int oldfd);" },
  { 33, "int dup2(int oldfd, int newfd);" },
  { 34, "int pause(void);" },
  { 35, "int nanosleep(const struct timespec *duration, struct timespec *_Nullable rem);" },
  { 36, "int getitimer(int which, struct itimerval *curr_value);" },
  { 37, "unsigned int alarm(unsigned int seconds);" },
  { 38, "int setitimer(int which, const struct itimerval *_Nullable new_value, "
     .. "struct itimerval *_Nullable old_value);" },
  { 39, "pid_t getpid(void);" },
  { 40, "ssize_t sendfile(int out_fd, int in_fd, /* inout */ off_t *_Nullable offset, size_t count);" },
  { 41, "int socket(int domain, int type, int protocol);" },
  { 42, "int connect(int sockfd, const struct sockaddr addr[.addrlen], int addrlen);" },
  { 43, "int accept(int sockfd, struct sockaddr addr[_Nullable *addrlen], socklen_t *_Nullable addrlen);" },
  { 44, "ssize_t sendto(int sockfd, const void buf[.size], size_t size, unsigned int flags, "
     .. "const struct sockaddr dest_addr[_Nullable .addrlen], int addrlen);" },
  { 45, "ssize_t recvfrom(int sockfd, void buf[.size], size_t size, unsigned int flags, "
     .. "struct sockaddr src_addr[_Nullable *addrlen], socklen_t *_Nullable addrlen);" },
  { 46, "ssize_t sendmsg(int sockfd, const struct msghdr *msg, unsigned int flags);" },
  { 47, "ssize_t recvmsg(int sockfd, /* inout */ struct msghdr *msg, unsigned int flags);" },
  { 48, "int shutdown(int sockfd, int how);" },
  { 49, "int bind(int sockfd, const struct sockaddr addr[.addrlen], int addrlen);" },
  { 50, "int listen(int sockfd, int backlog);" },
  { 51, "int getsockname(int sockfd, struct sockaddr addr[*addrlen], socklen_t *addrlen);" },
  { 52, "int getpeername(int sockfd, struct sockaddr addr[*addrlen], socklen_t *addrlen);" },
  { 53, "int socketpair(int domain, int type, int protocol, int sv[2]);" },
  { 54, "int setsockopt(int sockfd, int level, int optname, const void optval[_Nullable .optlen], int optlen);" },
  { 55, "int getsockopt(int sockfd, int level, int optname, void optval[_Nullable *optlen], socklen_t *optlen);" },
  { 56, "pid_t clone(unsigned long flags, void *_Nullable stack, /* addr */ int *_Nullable parent_tid, "
     .. "/* addr */ int *_Nullable child_tid, unsigned long tls);" },
  { 57, "pid_t fork(void);" },
  { 58, "pid_t vfork(void);" },
  { 59, "int execve(const char *pathname, char *const _Nullable argv[], char *const _Nullable envp[]);" },
  { 60, "[[noreturn]] void exit(int status);" },
  { 61, "pid_t wait4(pid_t pid, int *_Nullable wstatus, int options, struct rusage *_Nullable rusage);" },
  { 62, "int kill(pid_t pid, int sig);" },
  { 63, "int uname(struct utsname *buf);" },
  { 64, "int semget(key_t key, int nsems, int semflg);" },
  { 65, "int semop(int semid, /* in */ struct sembuf sops[.nsops], unsigned int nsops);" },
  { 66, "int semctl(int semid, int semnum, int op, ... /* arg */);", by = "op",
    { eq = "SETVAL", "int val" },
    { eq = "IPC_RMID", "" },
    { eq = "IPC_STAT IPC_SET GETALL SETALL", "void *arg" },
    { unknown = true, "void *_Nullable arg" } },
  { 67, "int shmdt(const void *shmaddr);" },
  { 68, "int msgget(key_t key, int msgflg);" },
  { 69, "int msgsnd(int msqid, const void *msgp, size_t msgsz, int msgflg);" },
  { 70, "ssize_t msgrcv(int msqid, void *msgp, size_t msgsz, long msgtyp, int msgflg);" },
  { 71, "int msgctl(int msqid, int op, void *_Nullable buf);" },
  { 72, "int fcntl(int fd, unsigned int op, ... /* arg */);", by = "op",
    { eq = "F_DUPFD F_DUPFD_CLOEXEC", "int minfd" },
    { eq = "F_GETFD F_GETFL F_GETOWN F_GETSIG F_GETLEASE F_GETPIPE_SZ F_GET_SEALS", "" },
    { eq = "F_SETFD F_SETFL", "int flags" },
    { eq = "F_GETLK F_OFD_GETLK", "/* inout */ struct flock *lock" },
    { eq = "F_SETLK F_SETLKW F_OFD_SETLK F_OFD_SETLKW", "const struct flock *lock" },
    { eq = "F_GETOWN_EX", "struct f_owner_ex *owner" },
    { eq = "F_SETOWN_EX", "const struct f_owner_ex *owner" },
    { eq = "F_SETOWN F_SETSIG F_SETLEASE F_NOTIFY F_SETPIPE_SZ F_ADD_SEALS", "int arg" },
    { eq = "F_GET_RW_HINT F_GET_FILE_RW_HINT", "uint64_t *hint" },
    { eq = "F_SET_RW_HINT F_SET_FILE_RW_HINT", "const uint64_t *hint" },
    { unknown = true, "void *_Nullable arg" } },
  { 73, "int flock(int fd, unsigned int op);" },
  { 74, "int fsync(int fd);" },
  { 75, "int fdatasync(int fd);" },
  { 76, "int truncate(const char *path, off_t length);" },
  { 77, "int ftruncate(int fd, off_t length);" },
  { 78, "ssize_t getdents(int fd, void dirp[.count], unsigned int count);" },
  { 79, "long getcwd(char buf[.size], unsigned long size);" },
  { 80, "int chdir(const char *path);" },
  { 81, "int fchdir(int fd);" },
  { 82, "int rename(const char *oldpath, const char *newpath);" },
  { 83, "int mkdir(const char *pathname, mode_t mode);" },
  { 84, "int rmdir(const char *pathname);" },
  { 85, "int creat(const char *pathname, mode_t mode);" },
  { 86, "int link(const char *oldpath, const char *newpath);" },
  { 87, "int unlink(const char *pathname);" },
  { 88, "int symlink(const char *target, const char *linkpath);" },
  { 89, "ssize_t readlink(const char *restrict pathname, char buf[restrict .bufsiz], int bufsiz);" },
  { 90, "int chmod(const char *pathname, mode_t mode);" },
  { 91, "int fchmod(int fd, mode_t mode);" },
  { 92, "int chown(const char *pathname, uid_t owner, gid_t group);" },
  { 93, "int fchown(int fd, uid_t owner, gid_t group);" },
  { 94, "int lchown(const char *pathname, uid_t owner, gid_t group);" },
  { 95, "mode_t umask(mode_t mask);" },
  { 96, "int gettimeofday(struct timeval *_Nullable tv, struct timezone *_Nullable tz);" },
  { 97, "int getrlimit(unsigned int resource, struct rlimit *rlim);" },
  { 98, "int getrusage(int who, struct rusage *usage);" },
  { 99, "int sysinfo(struct sysinfo *info);" },
  { 100, "clock_t times(struct tms *_Nullable buf);" },
  { 101, "long ptrace(long op, pid_t pid, void *addr, void *data);" },
  { 102, "uid_t getuid(void);" },
  { 103, "int syslog(int type, char bufp[_Nullable .size], int size);" },
  { 104, "gid_t getgid(void);" },
  { 105, "int setuid(uid_t uid);" },
  { 106, "int setgid(gid_t gid);" },
  { 107, "uid_t geteuid(void);" },
  { 108, "gid_t getegid(void);" },
  { 109, "int setpgid(pid_t pid, pid_t pgid);" },
  { 110, "pid_t getppid(void);" },
  { 111, "pid_t getpgrp(void);" },
  { 112, "pid_t setsid(void);" },
  { 113, "int setreuid(uid_t ruid, uid_t euid);" },
  { 114, "int setregid(gid_t rgid, gid_t egid);" },
  { 115, "int getgroups(int size, gid_t list[_Nullable .size]);" },
  { 116, "int setgroups(int size, const gid_t list[_Nullable .size]);" },
  { 117, "int setresuid(uid_t ruid, uid_t euid, uid_t suid);" },
  { 118, "int getresuid(uid_t *ruid, uid_t *euid, uid_t *suid);" },
  { 119, "int setresgid(gid_t rgid, gid_t egid, gid_t sgid);" },
  { 120, "int getresgid(gid_t *rgid, gid_t *egid, gid_t *sgid);" },
  { 121, "pid_t getpgid(pid_t pid);" },
  { 122, "int setfsuid(uid_t fsuid);" },
  { 123, "int setfsgid(gid_t fsgid);" },
  { 124, "pid_t getsid(pid_t pid);" },
  { 125, "int capget(/* inout */ struct cap_header *hdrp, void *_Nullable datap);" },
  { 126, "int capset(/* inout */ struct cap_header *hdrp, const void *datap);" },
  { 127, "int rt_sigpending(/* whole */ void set[.sigsetsize], size_t sigsetsize);" },
  { 128, "int rt_sigtimedwait(const kernel_sigset_t *set, siginfo_t *_Nullable info, "
      .. "const struct timespec *_Nullable timeout, size_t sigsetsize);" },
  { 129, "int rt_sigqueueinfo(pid_t tgid, int sig, const siginfo_t *info);" },
  { 130, "int rt_sigsuspend(const kernel_sigset_t *mask, size_t sigsetsize);" },
  { 131, "int sigaltstack(const stack_t *_Nullable ss, stack_t *_Nullable old_ss);" },
  { 132, "int utime(const char *filename, const struct utimbuf *_Nullable times);" },
  { 133, "int mknod(const char *pathname, mode_t mode, unsigned int dev);" },
  { 135, "int personality(unsigned int persona);" },
  { 137, "int statfs(const char *path, struct statfs *buf);" },
  { 138, "int fstatfs(int fd, struct statfs *buf);" },
  { 140, "int getpriority(int which, int who);" },
  { 141, "int setpriority(int which, int who, int prio);" },
  { 142, "int sched_setparam(pid_t pid, const struct sched_param *param);" },
  { 143, "int sched_getparam(pid_t pid, struct sched_param *param);" },
  { 144, "int sched_setscheduler(pid_t pid, int policy, const struct sched_param *param);" },
  { 145, "int sched_getscheduler(pid_t pid);" },
  { 146, "int sched_get_priority_max(int policy);" },
  { 147, "int sched_get_priority_min(int policy);" },
  { 148, "int sched_rr_get_interval(pid_t pid, struct timespec *tp);" },
  { 149, "int mlock(const void *addr, size_t len);" },
  { 150, "int munlock(const void *addr, size_t len);" },
  { 151, "int mlockall(int flags);" },
  { 152, "int munlockall(void);" },
  { 153, "int vhangup(void);" },
  { 155, "int pivot_root(const char *new_root, const char *put_old);" },
  { 157, "int prctl(int op, ... /* unsigned long arg2, arg3, arg4, arg5 */);", by = "op",
    { eq = "PR_SET_PDEATHSIG PR_SET_DUMPABLE PR_SET_KEEPCAPS PR_CAPBSET_READ PR_CAPBSET_DROP PR_SET_SECUREBITS "
        .. "PR_SET_TIMERSLACK PR_SET_CHILD_SUBREAPER PR_SET_PTRACER", "unsigned long arg2" },
    { eq = "PR_GET_DUMPABLE PR_GET_KEEPCAPS PR_GET_SECCOMP PR_GET_SECUREBITS PR_GET_TIMERSLACK", "" },
    { eq = "PR_GET_PDEATHSIG PR_GET_CHILD_SUBREAPER", "int *arg2" },
    { eq = "PR_SET_NAME", "/* nul */ const char name[16]" },
    { eq = "PR_GET_NAME", "char name[16]" },
    { eq = "PR_SET_SECCOMP", "unsigned long mode, void *_Nullable filter" },
    { eq = "PR_SET_NO_NEW_PRIVS PR_GET_NO_NEW_PRIVS PR_CAP_AMBIENT",
      "unsigned long arg2, unsigned long arg3, unsigned long arg4, unsigned long arg5" },
    { eq = "PR_GET_TID_ADDRESS", "uint64_t *addrp" },
    { eq = "PR_SET_VMA", "long attr, void *addr, size_t size, const char *_Nullable val" },
    { unknown = true, "void *_Nullable arg2, void *_Nullable arg3, void *_Nullable arg4, void *_Nullable arg5" } },
  { 158, "int arch_prctl(int op, ... /* unsigned long addr */);", by = "op",
    { eq = "ARCH_GET_FS ARCH_GET_GS", "unsigned long *addr" },
    { eq = "ARCH_SET_FS ARCH_SET_GS ARCH_SET_CPUID", "unsigned long addr" },
    { eq = "ARCH_GET_CPUID", "" },
    { unknown = true, "void *_Nullable addr" } },
  { 159, "int adjtimex(void *buf);" },
  { 160, "int setrlimit(unsigned int resource, const struct rlimit *rlim);" },
  { 161, "int chroot(const char *path);" },
  { 162, "void sync(void);" },
  { 163, "int acct(const char *_Nullable filename);" },
  { 164, "int settimeofday(const struct timeval *_Nullable tv, const struct timezone *_Nullable tz);" },
  { 165, "int mount(const char *_Nullable source, const char *target, const char *_Nullable filesystemtype, "
      .. "unsigned long mountflags, const void *_Nullable data);" },
  { 166, "int umount2(const char *target, int flags);" },
  { 167, "int swapon(const char *path, int swapflags);" },
  { 168, "int swapoff(const char *path);" },
  { 170, "int sethostname(const char name[.len], int len);" },
  { 171, "int setdomainname(const char name[.len], int len);" },
  { 179, "int quotactl(unsigned int op, const char *_Nullable special, int id, void *_Nullable addr);" },
  { 186, "pid_t gettid(void);" },
  { 187, "ssize_t readahead(int fd, loff_t offset, size_t count);" },
  { 188, "int setxattr(const char *path, const char *name, const void value[.size], size_t size, int flags);" },
  { 189, "int lsetxattr(const char *path, const char *name, const void value[.size], size_t size, int flags);" },
  { 190, "int fsetxattr(int fd, const char *name, const void value[.size], size_t size, int flags);" },
  { 191, "ssize_t getxattr(const char *path, const char *name, void value[_Nullable .size], size_t size);" },
  { 192, "ssize_t lgetxattr(const char *path, const char *name, void value[_Nullable .size], size_t size);" },
  { 193, "ssize_t fgetxattr(int fd, const char *name, void value[_Nullable .size], size_t size);" },
  { 194, "ssize_t listxattr(const char *path, char list[_Nullable .size], size_t size);" },
  { 195, "ssize_t llistxattr(const char *path, char list[_Nullable .size], size_t size);" },
  { 196, "ssize_t flistxattr(int fd, char list[_Nullable .size], size_t size);" },
  { 197, "int removexattr(const char *path, const char *name);" },
  { 198, "int lremovexattr(const char *path, const char *name);" },
  { 199, "int fremovexattr(int fd, const char *name);" },
  { 200, "int tkill(pid_t tid, int sig);" },
  { 201, "time_t time(time_t *_Nullable tloc);" },
  -- The kernel waits on this address: a copy of the word would be another futex.
  { 202, "long futex(/* addr */ uint32_t *uaddr, int futex_op, uint32_t val, ...);",
    by = "futex_op", mask = "FUTEX_CMD_MASK",
    { eq = "FUTEX_WAIT FUTEX_LOCK_PI FUTEX_LOCK_PI2", "const struct timespec *_Nullable timeout" },
    { eq = "FUTEX_WAKE FUTEX_UNLOCK_PI FUTEX_TRYLOCK_PI", "" },
    { eq = "FUTEX_WAIT_BITSET FUTEX_WAIT_REQUEUE_PI",
      "const struct timespec *_Nullable timeout, void *_Nullable uaddr2, uint32_t val3" },
    { eq = "FUTEX_WAKE_BITSET", "void *_Nullable timeout, void *_Nullable uaddr2, uint32_t val3" },
    { eq = "FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_CMP_REQUEUE_PI FUTEX_WAKE_OP",
      "uint32_t val2, void *uaddr2, uint32_t val3" },
    { unknown = true, "void *_Nullable timeout, void *_Nullable uaddr2, void *_Nullable val3" } },
  { 203, "int sched_setaffinity(pid_t pid, unsigned int cpusetsize, const void mask[.cpusetsize]);" },
  { 204, "int sched_getaffinity(pid_t pid, unsigned int cpusetsize, void mask[.cpusetsize]);" },
  { 213, "int epoll_create(int size);" },
  { 217, "ssize_t getdents64(int fd, void dirp[.count], unsigned int count);" },
  { 218, "pid_t set_tid_address(/* addr */ int *tidptr);" },
  { 219, "long restart_syscall(void);" },
  { 220, "int semtimedop(int semid, /* in */ struct sembuf sops[.nsops], unsigned int nsops, "
      .. "const struct timespec *_Nullable timeout);" },
  { 221, "int fadvise64(int fd, off_t offset, size_t size, int advice);" },
  { 222, "int timer_create(clockid_t clockid, const void *_Nullable sevp, timer_t *timerid);" },
  { 223, "int timer_settime(timer_t timerid, int flags, const struct itimerspec *new_value, "
      .. "struct itimerspec *_Nullable old_value);" },
  { 224, "int timer_gettime(timer_t timerid, struct itimerspec *curr_value);" },
  { 225, "int timer_getoverrun(timer_t timerid);" },
  { 226, "int timer_delete(timer_t timerid);" },
  { 227, "int clock_settime(clockid_t clockid, const struct timespec *tp);" },
  { 228, "int clock_gettime(clockid_t clockid, struct timespec *tp);" },
  { 229, "int clock_getres(clockid_t clockid, struct timespec *_Nullable res);" },
  { 230, "int clock_nanosleep(clockid_t clockid, int flags, const struct timespec *t, "
      .. "struct timespec *_Nullable remain);" },
  { 231, "[[noreturn]] void exit_group(int status);" },
  { 232, "int epoll_wait(int epfd, struct epoll_event events[.maxevents], int maxevents, int timeout);" },
  { 233, "int epoll_ctl(int epfd, int op, int fd, /* in */ struct epoll_event *_Nullable event);" },
  { 234, "int tgkill(pid_t tgid, pid_t tid, int sig);" },
  { 235, "int utimes(const char *filename, const struct timeval times[_Nullable 2]);" },
  { 247, "int waitid(int idtype, id_t id, siginfo_t *_Nullable infop, int options, struct rusage *_Nullable rusage);" },
  { 251, "int ioprio_set(int which, int who, int ioprio);" },
  { 252, "int ioprio_get(int which, int who);" },
  { 253, "int inotify_init(void);" },
  { 254, "int inotify_add_watch(int fd, const char *pathname, uint32_t mask);" },
  { 255, "int inotify_rm_watch(int fd, int wd);" },
  { 257, "int openat(int dirfd, const char *pathname, int flags, ... /* mode_t mode */);", by = "flags",
    { any = "O_CREAT __O_TMPFILE", "mode_t mode" },
    { "" } },
  { 258, "int mkdirat(int dirfd, const char *pathname, mode_t mode);" },
  { 259, "int mknodat(int dirfd, const char *pathname, mode_t mode, unsigned int dev);" },
  { 260, "int fchownat(int dirfd, const char *pathname, uid_t owner, gid_t group, int flags);" },
  { 261, "int futimesat(int dirfd, const char *_Nullable pathname, const struct timeval times[_Nullable 2]);" },
  { 262, "int newfstatat(int dirfd, const char *restrict pathname, struct stat *restrict statbuf, int flags);" },
  { 263, "int unlinkat(int dirfd, const char *pathname, int flags);" },
  { 264, "int renameat(int olddirfd, const char *oldpath, int newdirfd, const char *newpath);" },
  { 265, "int linkat(int olddirfd, const char *oldpath, int newdirfd, const char *newpath, int flags);" },
  { 266, "int symlinkat(const char *target, int newdirfd, const char *linkpath);" },
  { 267, "ssize_t readlinkat(int dirfd, const char *restrict pathname, char buf[restrict .bufsiz], int bufsiz);" },
  { 268, "int fchmodat(int dirfd, const char *pathname, mode_t mode);" },
  { 269, "int faccessat(int dirfd, const char *pathname, int mode);" },
  { 270, "int pselect6(int nfds, fd_set *_Nullable readfds, fd_set *_Nullable writefds, "
      .. "fd_set *_Nullable exceptfds, /* inout */ struct timespec *_Nullable timeout, "
      .. "const struct sigset_argpack *_Nullable sigmask);" },
  { 271, "int ppoll(/* inout whole */ struct pollfd fds[.nfds], unsigned int nfds, "
      .. "/* inout */ struct timespec *_Nullable tmo_p, const kernel_sigset_t *_Nullable sigmask, "
      .. "size_t sigsetsize);" },
  { 272, "int unshare(unsigned long flags);" },
  { 273, "long set_robust_list(struct robust_list_head *head, size_t size);" },
  { 274, "long get_robust_list(int pid, struct robust_list_head **head_ptr, size_t *sizep);" },
  { 275, "ssize_t splice(int fd_in, /* inout */ loff_t *_Nullable off_in, int fd_out, "
      .. "/* inout */ loff_t *_Nullable off_out, size_t size, unsigned int flags);" },
  { 276, "ssize_t tee(int fd_in, int fd_out, size_t size, unsigned int flags);" },
  { 277, "int sync_file_range(int fd, loff_t offset, loff_t nbytes, unsigned int flags);" },
  -- The pipe refers to the pages themselves from then on: a copy would not do.
  { 278, "ssize_t vmsplice(int fd, /* addr */ const struct iovec *iov, size_t nr_segs, unsigned int flags);" },
  { 280, "int utimensat(int dirfd, const char *_Nullable pathname, const struct timespec times[_Nullable 2], "
      .. "int flags);" },
  { 281, "int epoll_pwait(int epfd, struct epoll_event events[.maxevents], int maxevents, int timeout, "
      .. "const kernel_sigset_t *_Nullable sigmask, size_t sigsetsize);" },
  { 282, "int signalfd(int fd, const kernel_sigset_t *mask, size_t sizemask);" },
  { 283, "int timerfd_create(int clockid, int flags);" },
  { 284, "int eventfd(unsigned int initval);" },
  { 285, "int fallocate(int fd, int mode, off_t offset, off_t size);" },
  { 286, "int timerfd_settime(int fd, int flags, const struct itimerspec *new_value, "
      .. "struct itimerspec *_Nullable old_value);" },
  { 287, "int timerfd_gettime(int fd, struct itimerspec *curr_value);" },
  { 288, "int accept4(int sockfd, struct sockaddr addr[_Nullable *addrlen], socklen_t *_Nullable addrlen, "
      .. "int flags);" },
  { 289, "int signalfd4(int fd, const kernel_sigset_t *mask, size_t sizemask, int flags);" },
  { 290, "int eventfd2(unsigned int initval, int flags);" },
  { 291, "int epoll_create1(int flags);" },
  { 292, "int dup3(int oldfd, int newfd, int flags);" },
  { 293, "int pipe2(int pipefd[2], int flags);" },
  { 294, "int inotify_init1(int flags);" },
  -- The offset is handed over in two halves; on 64 bits the first is all of it.
  { 295, "ssize_t preadv(int fd, /* out */ const struct iovec iov[.iovcnt], unsigned long iovcnt, off_t offset, "
      .. "unsigned long offset_high);" },
  { 296, "ssize_t pwritev(int fd, const struct iovec iov[.iovcnt], unsigned long iovcnt, off_t offset, "
      .. "unsigned long offset_high);" },
  { 297, "int rt_tgsigqueueinfo(pid_t tgid, pid_t tid, int sig, const siginfo_t *info);" },
  { 298, "int perf_event_open(/* inout */ struct perf_event_attr attr[->size], pid_t pid, int cpu, int group_fd, "
      .. "unsigned long flags);" },
  { 299, "int recvmmsg(int sockfd, /* inout */ struct mmsghdr msgvec[.vlen], unsigned int vlen, unsigned int flags, "
      .. "/* inout */ struct timespec *_Nullable timeout);" },
  { 300, "int fanotify_init(unsigned int flags, unsigned int event_f_flags);" },
  { 301, "int fanotify_mark(int fanotify_fd, unsigned int flags, uint64_t mask, int dirfd, "
      .. "const char *_Nullable pathname);" },
  { 302, "int prlimit64(pid_t pid, unsigned int resource, const struct rlimit *_Nullable new_limit, "
      .. "struct rlimit *_Nullable old_limit);" },
  { 303, "int name_to_handle_at(int dirfd, const char *pathname, void *handle, int *mount_id, int flags);" },
  { 304, "int open_by_handle_at(int mount_fd, void *handle, int flags);" },
  { 305, "int clock_adjtime(clockid_t clk_id, void *buf);" },
  { 306, "int syncfs(int fd);" },
  { 307, "int sendmmsg(int sockfd, /* inout */ struct mmsghdr msgvec[.vlen], unsigned int vlen, "
      .. "unsigned int flags);" },
  { 308, "int setns(int fd, int nstype);" },
  { 309, "int getcpu(unsigned int *_Nullable cpu, unsigned int *_Nullable node, "
      .. "struct getcpu_cache *_Nullable unused);" },
  { 310, "ssize_t process_vm_readv(pid_t pid, /* out */ const struct iovec local_iov[.liovcnt], "
      .. "unsigned long liovcnt, /* addr */ const struct iovec *remote_iov, unsigned long riovcnt, "
      .. "unsigned long flags);" },
  { 311, "ssize_t process_vm_writev(pid_t pid, const struct iovec local_iov[.liovcnt], "
      .. "unsigned long liovcnt, /* addr */ const struct iovec *remote_iov, unsigned long riovcnt, "
      .. "unsigned long flags);" },
  { 312, "int kcmp(pid_t pid1, pid_t pid2, int type, unsigned long idx1, unsigned long idx2);" },
  { 314, "int sched_setattr(pid_t pid, /* inout */ struct sched_attr attr[->size], unsigned int flags);" },
  { 315, "int sched_getattr(pid_t pid, /* sized */ struct sched_attr attr[.size], unsigned int size, "
      .. "unsigned int flags);" },
  { 316, "int renameat2(int olddirfd, const char *oldpath, int newdirfd, const char *newpath, unsigned int flags);" },
  { 317, "int seccomp(unsigned int operation, unsigned int flags, void *_Nullable args);" },
  { 318, "ssize_t getrandom(void buf[.size], size_t size, unsigned int flags);" },
  { 319, "int memfd_create(const char *name, unsigned int flags);" },
  { 321, "int bpf(int op, /* inout */ void attr[.size], unsigned int size);" },
  { 322, "int execveat(int dirfd, const char *pathname, char *const _Nullable argv[], "
      .. "char *const _Nullable envp[], int flags);" },
  { 323, "int userfaultfd(int flags);" },
  { 324, "int membarrier(int op, unsigned int flags, int cpu_id);" },
  { 325, "int mlock2(const void *addr, size_t size, int flags);" },
  { 326, "ssize_t copy_file_range(int fd_in, /* inout */ loff_t *_Nullable off_in, int fd_out, "
      .. "/* inout */ loff_t *_Nullable off_out, size_t size, unsigned int flags);" },
  { 327, "ssize_t preadv2(int fd, /* out */ const struct iovec iov[.iovcnt], unsigned long iovcnt, off_t offset, "
      .. "unsigned long offset_high, int flags);" },
  { 328, "ssize_t pwritev2(int fd, const struct iovec iov[.iovcnt], unsigned long iovcnt, off_t offset, "
      .. "unsigned long offset_high, int flags);" },
  { 329, "int pkey_mprotect(void *addr, size_t size, unsigned long prot, int pkey);" },
  { 330, "int pkey_alloc(unsigned long flags, unsigned long access_rights);" },
  { 331, "int pkey_free(int pkey);" },
  { 332, "int statx(int dirfd, const char *restrict pathname, int flags, unsigned int mask, "
      .. "struct statx *restrict statxbuf);" },
  { 334, "int rseq(struct rseq *rseq, uint32_t rseq_len, int flags, uint32_t sig);" },
  { 424, "int pidfd_send_signal(int pidfd, int sig, const siginfo_t *_Nullable info, unsigned int flags);" },
  { 425, "int io_uring_setup(uint32_t entries, void *p);" },
  { 426, "int io_uring_enter(unsigned int fd, unsigned int to_submit, unsigned int min_complete, unsigned int flags, "
      .. "const void *_Nullable sig, size_t sz);" },
  { 427, "int io_uring_register(unsigned int fd, unsigned int opcode, void *_Nullable arg, unsigned int nr_args);" },
  { 428, "int open_tree(int dirfd, const char *pathname, unsigned int flags);" },
  { 429, "int move_mount(int from_dirfd, const char *from_pathname, int to_dirfd, const char *to_pathname, "
      .. "unsigned int flags);" },
  { 430, "int fsopen(const char *fsname, unsigned int flags);" },
  { 432, "int fsmount(int fd, unsigned int flags, unsigned int attr_flags);" },
  { 433, "int fspick(int dirfd, const char *pathname, unsigned int flags);" },
  { 434, "int pidfd_open(pid_t pid, unsigned int flags);" },
  { 435, "pid_t clone3(/* in sized */ struct clone_args cl_args[.size], size_t size);" },
  { 436, "int close_range(unsigned int first, unsigned int last, unsigned int flags);" },
  { 437, "int openat2(int dirfd, const char *pathname, /* sized */ const struct open_how how[.size], size_t size);" },
  { 438, "int pidfd_getfd(int pidfd, int targetfd, unsigned int flags);" },
  { 439, "int faccessat2(int dirfd, const char *pathname, int mode, int flags);" },
  { 440, "ssize_t process_madvise(int pidfd, /* addr */ const struct iovec *iov, size_t n, int advice, "
      .. "unsigned int flags);" },
  { 441, "int epoll_pwait2(int epfd, struct epoll_event events[.maxevents], int maxevents, "
      .. "const struct timespec *_Nullable timeout, const kernel_sigset_t *_Nullable sigmask, size_t sigsetsize);" },
  { 442, "int mount_setattr(int dirfd, const char *pathname, unsigned int flags, "
      .. "/* sized */ const struct mount_attr attr[.size], size_t size);" },
  { 444, "int landlock_create_ruleset(/* sized */ const struct landlock_ruleset_attr attr[.size], size_t size, "
      .. "uint32_t flags);" },
  { 447, "int memfd_secret(unsigned int flags);" },
  { 452, "int fchmodat2(int dirfd, const char *pathname, mode_t mode, unsigned int flags);" },
  { 457, "int statmount(const struct mnt_id_req req[->size], /* whole */ void buf[.bufsize], size_t bufsize, "
      .. "unsigned int flags);" },
  { 458, "ssize_t listmount(const struct mnt_id_req req[->size], uint64_t mnt_ids[.nr_mnt_ids], size_t nr_mnt_ids, "
      .. "unsigned int flags);" },

  -- 3i's own (lencase.h); cages and grates by their ids
  { 1001, "int register_handler(uint64_t targetcage, int callnum, unsigned int flags, uint64_t grate);" },
  { 1002, "ssize_t copy_data_between_cages(uint64_t dest, uint64_t destcage, uint64_t src, uint64_t srccage, "
    .. "size_t len, unsigned int type);" },
  { 1003, "int copy_handler_table_to_cage(uint64_t targetcage, uint64_t sourcecage, unsigned int flags);" },
}

-- A member is seen in the prototype of its family's first call. For each parameter there:
--   "flags"            the member's parameter of that name
--   "dirfd/pathname"   a path, relative to that directory descriptor
--   "=O_CREAT|O_TRUNC" a constant
--   "how.flags"        8 bytes of a record
--   "-"                nothing: nil
-- 'by' with eq, any or none (of 'mask'): it is a member only then.
--
-- Not members, since they do something else: statx (another struct); newfstatat with AT_EMPTY_PATH (it
-- is fstat, or stat, by its path); other calls with AT_EMPTY_PATH (a descriptor, not a path);
-- utimensat (other units than utimes).
calls.families = {
  { "creat", "open", "pathname", "=O_CREAT|O_WRONLY|O_TRUNC", "mode" },
  { "openat", "open", "dirfd/pathname", "flags", "mode" },
  { "openat2", "open", "dirfd/pathname", "how.flags", "how.mode" },
  { "newfstatat", "stat", "dirfd/pathname", "statbuf",
    by = "flags", none = "AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH" },
  { "newfstatat", "lstat", "dirfd/pathname", "statbuf",
    by = "flags", eq = "AT_SYMLINK_NOFOLLOW", mask = "AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH" },
  { "faccessat", "access", "dirfd/pathname", "mode" },
  { "faccessat2", "access", "dirfd/pathname", "mode", by = "flags", none = "AT_EMPTY_PATH" },
  { "renameat", "rename", "olddirfd/oldpath", "newdirfd/newpath" },
  { "renameat2", "rename", "olddirfd/oldpath", "newdirfd/newpath" },
  { "mkdirat", "mkdir", "dirfd/pathname", "mode" },
  { "unlinkat", "rmdir", "dirfd/pathname", by = "flags", any = "AT_REMOVEDIR" },
  { "unlinkat", "unlink", "dirfd/pathname", by = "flags", none = "AT_REMOVEDIR" },
  { "linkat", "link", "olddirfd/oldpath", "newdirfd/newpath", by = "flags", none = "AT_EMPTY_PATH" },
  { "symlinkat", "symlink", "target", "newdirfd/linkpath" },
  { "readlinkat", "readlink", "dirfd/pathname", "buf", "bufsiz" },
  { "fchmodat", "chmod", "dirfd/pathname", "mode" },
  { "fchmodat2", "chmod", "dirfd/pathname", "mode", by = "flags", none = "AT_EMPTY_PATH" },
  { "fchownat", "chown", "dirfd/pathname", "owner", "group",
    by = "flags", none = "AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH" },
  { "fchownat", "lchown", "dirfd/pathname", "owner", "group",
    by = "flags", eq = "AT_SYMLINK_NOFOLLOW", mask = "AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH" },
  { "mknodat", "mknod", "dirfd/pathname", "mode", "dev" },
  { "execveat", "execve", "dirfd/pathname", "argv", "envp", by = "flags", none = "AT_EMPTY_PATH" },
  { "futimesat", "utimes", "dirfd/pathname", "times" },
  { "pipe2", "pipe", "pipefd" },
  { "dup3", "dup2", "oldfd", "newfd" },
  { "accept4", "accept", "sockfd", "addr", "addrlen" },
}

return calls
