-- knowledge.lua - what the identity test knows of calls beyond their signatures: data, and nothing but data
--
-- left_out   calls that are not made, with the reason
-- varies     what of a call is another at each run, natively too: "result" (its sign is compared), "memory"
--            (where bytes were written is compared, not which)
-- The rest says what arguments there are to choose from: by "call.parameter" or "parameter".

local knowledge = {}

local function set_of(text)
  local set = {}
  for word in text:gmatch "%S+" do set[word] = true end
  return set
end

knowledge.left_out = {
  sync = "writes out what the whole machine has: slow, and nothing to compare",
  exit = "ends one thread, and the process with it only when it has no other: what is seen is the tester's doing",
  rt_sigreturn = "takes its frame from the tester's own stack",
  io_uring_setup = "answered ENOSYS by design (README, Limits)",
}

knowledge.varies = {
  getpid = "result", getppid = "result", gettid = "result", getpgrp = "result", getpgid = "result", getsid = "result",
  setsid = "result", set_tid_address = "result", fork = "result", vfork = "result", clone = "result memory",
  clone3 = "result memory",
  wait4 = "result memory", waitid = "memory", mmap = "result", mremap = "result", brk = "result", shmat = "result",
  shmget = "result", semget = "result", msgget = "result", shmctl = "result memory", semctl = "result memory",
  msgctl = "result memory",
  time = "result memory", times = "result memory", gettimeofday = "memory", clock_gettime = "memory",
  getrandom = "memory", getcpu = "memory", sysinfo = "memory", getrusage = "memory", adjtimex = "memory",
  clock_adjtime = "memory", stat = "memory", fstat = "memory", lstat = "memory", newfstatat = "memory",
  statx = "memory",
  statfs = "memory", fstatfs = "memory", getdents = "memory", getdents64 = "memory", name_to_handle_at = "memory",
  timer_gettime = "memory", timer_settime = "memory", timerfd_gettime = "memory", timerfd_settime = "memory",
  get_robust_list = "memory", getsockname = "memory", select = "memory", pselect6 = "memory", ppoll = "memory",
  nanosleep = "memory", clock_nanosleep = "memory", rt_sigtimedwait = "memory", getitimer = "memory",
  setitimer = "memory",
  arch_prctl = "memory", rt_sigaction = "memory", recvmmsg = "memory", fcntl = "result memory",
  ioctl = "memory", prctl = "memory", kcmp = "result", syslog = "result memory",
  timer_create = "memory", futex = "memory",
}

-- {=============================== descriptors ==============================

-- Kinds of descriptors that helper_identity.c opens, and how many numbers each takes.
knowledge.fd_kinds = {
  rw = 1, ro = 1, wo = 1, append = 1, dir = 1, path = 1, null = 1, zero = 1, exe = 1, ptmx = 1, udp = 1, tcp = 1,
  unix = 1,
  eventfd = 1, pidfd = 1, memfd = 1, timerfd = 1, signalfd = 1, watch = 1,
  pipe = 2, pipe_empty = 2, pipe_nonblock = 2, stream = 2, dgram = 2, listen = 2, epoll = 2,
}
knowledge.tree_kinds = set_of "rw ro wo append dir path exe listen watch"

-- Parameters that are descriptors, and those that are of directories.
knowledge.fds = set_of "fd oldfd newfd sockfd in_fd out_fd fd_in fd_out epfd fanotify_fd mount_fd pidfd src_fd"
knowledge.dirfds = set_of "dirfd olddirfd newdirfd from_dirfd to_dirfd"

local sockets = "stream stream stream dgram dgram listen udp tcp unix rw pipe"
local files = "rw rw ro wo append memfd dir null zero pipe stream"

-- The kinds that are likely to say more than EBADF and ENOTSOCK.
knowledge.kinds_for = {
  ["mmap.fd"] = "rw ro memfd zero dir", ["ftruncate.fd"] = files, ["fallocate.fd"] = "rw wo memfd ro pipe",
  ["getdents.fd"] = "dir dir rw", ["getdents64.fd"] = "dir dir rw", ["fchdir.fd"] = "dir dir path rw",
  ["epoll_wait.epfd"] = "epoll", ["epoll_pwait.epfd"] = "epoll", ["epoll_pwait2.epfd"] = "epoll",
  ["epoll_ctl.epfd"] = "epoll",
  ["epoll_ctl.fd"] = "pipe stream eventfd rw epoll", ["timerfd_settime.fd"] = "timerfd",
  ["timerfd_gettime.fd"] = "timerfd",
  ["signalfd.fd"] = "signalfd", ["signalfd4.fd"] = "signalfd", ["inotify_add_watch.fd"] = "watch",
  ["inotify_rm_watch.fd"] = "watch", ["tee.fd_in"] = "pipe", ["tee.fd_out"] = "pipe_empty pipe",
  ["splice.fd_in"] = "pipe rw",
  ["splice.fd_out"] = "pipe wo stream", ["vmsplice.fd"] = "pipe",
  ["ioctl.fd"] = "pipe stream rw ptmx ptmx epoll timerfd",
  ["fcntl.fd"] = "rw ro pipe stream memfd dir eventfd",
  ["accept.sockfd"] = "listen listen stream tcp", ["accept4.sockfd"] = "listen listen stream tcp",
  pidfd = "pidfd pidfd rw",
 ["setns.fd"] = "pidfd rw", ["fanotify_mark.fanotify_fd"] = "watch rw",
  sockfd = sockets, fd = files .. " eventfd timerfd signalfd watch epoll path", dirfd = "dir", mount_fd = "dir",
  olddirfd = "dir", newdirfd = "dir", from_dirfd = "dir", to_dirfd = "dir",
}

-- }==========================================================================

-- {=============================== other integers ===========================

-- Parameters that are processes; `others` may not be named to calls that would do something to them.
knowledge.pids = set_of "id pid tid tgid pgid pid1 pid2"
knowledge.ask_only = set_of("getpgid getsid sched_getparam sched_getscheduler sched_getaffinity pidfd_open "
                            .. "get_robust_list")
knowledge.group = set_of "kill fcntl ioctl rt_sigqueueinfo setpgid setpriority ioprio_set"
knowledge.pages = set_of "addr shmaddr old_address new_address start"
knowledge.mostly_null = set_of "stack unused"
knowledge.needs_child = set_of "wait4 waitid"
knowledge.needs_ipc = { semid = "$sem", shmid = "$shm", msqid = "$msg" }

-- Parameters that have no other values than those below: what they choose would be others' processes.
knowledge.closed = set_of "setpriority.which ioprio_set.which"

-- One of these values.
knowledge.values = {
  ["epoll_ctl.op"] = { 1, 2, 3, 0, 4 }, ["shutdown.how"] = { 0, 1, 2, 3, -1 }, ["flock.op"] = { 1, 2, 5, 6, 8, 0, 99 },
  ["socket.type"] = { 1, 2, 3, 0x80001, 0x802, 5, 0 }, ["socketpair.type"] = { 1, 2, 5, 0x80001, 0x802, 3, 0 },
  ["socket.domain"] = { 1, 1, 2, 2, 10, 16, 0, 999 }, ["socketpair.domain"] = { 1, 1, 1, 2, 0, 999 },
  ["socket.protocol"] = { 0, 0, 0, 6, 17, 255, -1 }, ["socketpair.protocol"] = { 0, 0, 0, 1, -1 },
  ["lseek.whence"] = { 0, 1, 2, 3, 4, 5 }, ["fallocate.mode"] = { 0, 1, 3, 0x10, 0x20, 0x40, 99 },
  ["madvise.advice"] = { 0, 1, 2, 3, 4, 8, 9, 14, 15, 10, 11, 23, 99 }, ["fadvise64.advice"] = { 0, 1, 2, 3, 4, 5, 6 },
  ["msync.flags"] = { 1, 2, 4, 5, 6, 0, 99 }, ["mremap.flags"] = { 0, 1, 3, 4, 5, 7, 8 },
  ["mlockall.flags"] = { 1, 2, 3, 4, 0 }, ["mlock2.flags"] = { 0, 1, 2 },
  ["semctl.op"] = { 0, 1, 2, 3, 11, 12, 13, 14, 15, 16, 17, 18, 19, 99 },
  ["shmctl.op"] = { 0, 1, 2, 3, 11, 12, 13, 99 },
  ["msgctl.op"] = { 0, 1, 2, 3, 11, 12, 99 }, ["shmget.shmflg"] = { 0, 0600, 01600, 03600, 0777 },
["semget.nsems"] = { 0, 1, 3, 250, 70000, -1 }, ["semget.semflg"] = { 0, 384, 896, 1920 },
  ["msgget.msgflg"] = { 0, 384, 896, 1920 }, ["shmat.shmflg"] = { 0, 4096, 8192, 16384, 99 },
  ["msgsnd.msgflg"] = { 0, 2048, 2048 }, ["msgrcv.msgflg"] = { 0, 2048, 4096, 8192, 16384, 6144 },
  ["msgrcv.msgtyp"] = { 0, 1, 2, -1, -9223372036854775807 - 1 },
  ["semctl.semnum"] = { 0, 1, 2, 3, -1 },
  ["setitimer.which"] = { 0, 1, 2, 3, -1 }, ["getitimer.which"] = { 0, 1, 2, 3, -1 }, who = { 0, 0, -1, 1, 2, 99999 },
  ["getrusage.who"] = { 0, -1, 1, -2, 9 }, ["getpriority.which"] = { 0, 1, 2, 3 }, ["setpriority.which"] = { 0, 1, 3 },
  ["ioprio_get.which"] = { 1, 2, 3, 0 }, ["ioprio_set.which"] = { 1, 0, 9 },
  ["clock_nanosleep.flags"] = { 0, 0, 1, 2 }, ["timer_settime.flags"] = { 0, 1, 2 },
  ["timerfd_settime.flags"] = { 0, 1, 3, 4 },
  timerid = { "$alarm", "$alarm", "$alarm", 99, -1, 0x7fffffff },
  clockid = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99, -1, -6 },
  which_clock = { 0, 1, 2, 3, 7, 99 }, clk_id = { 0, 1, 99 },
  ["timerfd_create.clockid"] = { 0, 1, 7, 8, 9, 2, 99 }, ["timerfd_create.flags"] = { 0, 0x800, 0x80000, 0x80800, 1 },
  ["eventfd2.flags"] = { 0, 1, 0x800, 0x80000, 2 }, ["epoll_create1.flags"] = { 0, 0x80000, 1 },
  ["inotify_init1.flags"] = { 0, 0x800, 0x80000, 1 }, ["signalfd4.flags"] = { 0, 0x800, 0x80000, 1 },
  ["accept4.flags"] = { 0, 0x800, 0x80000, 1 }, ["wait4.options"] = { 0, 1, 2, 3, 0x40000000, 0x80 },
  ["waitid.options"] = { 4, 5, 0x1000004, 2, 6, 0, 8, 0x80 }, ["waitid.idtype"] = { 0, 1, 2, 3, 9 },
  ["sched_setscheduler.policy"] = { 0, 3, 5, 1, 2, 99, -1 }, policy = { 0, 1, 2, 3, 5, 6, 99, -1 },
  ["personality.persona"] = { 0xffffffff, 0xffffffff, 0 },
  ["arch_prctl.op"] = { 0x1003, 0x1004, 0x1011, 0x1021, 0x1022, 0, 99 },
  ["syslog.type"] = { 0, 1, 2, 3, 9, 10, 99, -1 }, level = { 1, 1, 0, 6, 17, 41, -1 },
  optname = { 2, 3, 4, 6, 7, 8, 9, 13, 15, 16, 18, 19, 20, 21, 28, 30, 39, 49, 0, 99, -1 },
  ["renameat2.flags"] = { 0, 1, 2, 3, 4, 99 },
  ["memfd_create.flags"] = { 0, 1, 2, 3, 8, 16, 99 }, ["seccomp.operation"] = { 1, 2, 3, 0, 99 },
  ["seccomp.flags"] = { 0, 0, 1, 2, 4, 8, 99 }, ["getrandom.flags"] = { 0, 1, 2, 4, 3, 8 },
  ["splice.flags"] = { 0, 1, 2, 3, 4, 16 }, ["tee.flags"] = { 0, 2, 16 }, ["vmsplice.flags"] = { 0, 2, 8, 16 },
  ["copy_file_range.flags"] = { 0, 0, 0, 1 }, ["sync_file_range.flags"] = { 0, 1, 2, 4, 7, 8 },
  ["close_range.flags"] = { 0, 0, 2, 4, 6, 1 }, ["close_range.first"] = { 3, 4, 5, 77, 0x7fffffff, 0xffffffff },
  ["close_range.last"] = { 3, 5, 100, 0x7fffffff, 0xffffffff, 2 },
  ["preadv2.flags"] = { 0, 1, 8, 16, 2, 4, 32, 99 }, ["pwritev2.flags"] = { 0, 1, 2, 4, 8, 16, 99 },
  ["kcmp.type"] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 99 }, ["pkey_alloc.flags"] = { 0, 0, 1 },
  ["membarrier.op"] = { 0, 1, 2, 4, 8, 16, 64, 99 },
  ["unshare.flags"] = { 0, 0x200, 0x400, 0x200000, 0x40000, 1, 0x10000 },
  ["setns.nstype"] = { 0, 0x40000000, 99 }, ["bpf.op"] = { 0, 1, 5, 99 },
  ["clone.flags"] = { 17, 17, 0, 0x1000011, 0x1200011, 0x4111, 0x4000, 0x111, 0x100, 0x10000, 0x3d0f00, 0x311, 0x50f00,
                      0x8011,
                      0x80000011, 0x1011, 0x40000011, 0x10000011 },
  ["listen.backlog"] = { 0, 1, 128, -1 },
  ["utimensat.flags"] = { 0, 0, 0x100, 0x1000, 99 }, ["fchownat.flags"] = { 0, 0x100, 0x1000, 99 },
  ["linkat.flags"] = { 0, 0x400, 0x1000, 99 }, ["statx.flags"] = { 0, 0x100, 0x1000, 0x2000, 0x4000, 0x6000, 99 },
  ["statx.mask"] = { 0x7ff, 0xfff, 0, 1, 0x80000000 }, mask = { 0xfff, 0, 2, 0x100, 0xffffffff },
  ["umask.mask"] = { 0, 18, 63, 511, 0xffffffff },
  ["futex.futex_op"] = { 0, 128, 1, 129, 3, 4, 5, 6, 7, 8, 9, 10, 137, 138, 11, 12, 13, 256, 99, -1 },
  ["futex.val"] = { 0, 1, 500000, 0x7fffffff, 0xffffffff }, ["futex.val2"] = { 0, 1, 5, 0xffffffff },
  ["futex.val3"] = { 0, 500000, 0xffffffff, 0xa0000000 },
  ["access.mode"] = { 0, 1, 2, 4, 7, 8, -1 }, ["faccessat.mode"] = { 0, 1, 2, 4, 7, 8, -1 },
  ["faccessat2.mode"] = { 0, 1, 2, 4, 7, 8, -1 },
  ["mmap.flags"] = { 0x22, 0x21, 2, 1, 0x32, 0x12, 3, 0x100022, 0, 0x10022, 0x8022, 0x2022, 0x100032, -1 },
  prot = { 0, 1, 3, 1, 3, 5, 7, 0x1000001, 16, -1 }, ["set_robust_list.size"] = { 24, 24, 0, 8, -1 },
  access_rights = { 0, 1, 2, 3, 4 },
  msgsz = { 0, 1, 8, 20, 8192, 8193, -1 }, nfds = { 0, 4, 8, 64, 10, 1024, 1025, -1 },
  ruid = { -1, -1, 65534, 0, 1 }, euid = { -1, -1, 65534, 0, 1 }, suid = { -1, -1, 65534, 0, 1 },
  rgid = { -1, -1, 65534, 0, 1 }, egid = { -1, -1, 65534, 0, 1 }, sgid = { -1, -1, 65534, 0, 1 },
  pkey = { -1, 0, 1, 15, 16 }, wd = { 1, 1, 2, -1 }, old_size = { 4096, 8192, 0, 1, -1 },
  new_size = { 4096, 8192, 16384, 0, 1, -1 }, len = { 4096, 8192, 1, 16384, 0, 65536, -1, 1 << 46 },
  sigsetsize = { 8, 8, 8, 8, 8, 8, 0, 4, 7, 9, 16, 128, -1 }, sizemask = { 8, 8, 8, 8, 8, 0, 4, 16, -1 },
  timeout = { 0, 0, 1, 20, 20, -1, -2, 0x7fffffff },
  mode = { 384, 448, 493, 511, 0, 4095, 0x81a4, 0x1180, 0x6180, 0xffffffff },
  ["faccessat2.flags"] = { 0, 0x200, 0x100, 0x1000, 99 }, ["fchmodat2.flags"] = { 0, 0x100, 0x1000, 99 },
  owner = { -1, 65534, 0 }, group = { -1, 65534, 0 }, uid = { -1, 65534, 0, 1 }, gid = { -1, 65534, 0, 1 },
  addrlen = { 110, 16, 3, 2, 8, 28, 128, 129, 0, 1, -1, 0x7fffffff },
  sig = { 0, 0, 10, 12, 17, 23, 28, 9, 34, 64, 65, -1, 20, 19 },
  ["alarm.seconds"] = { 0, 1000, 0xffffffff }, ["prctl.op"] = {
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16, 19, 20, 21, 23, 27, 29, 30, 34, 36, 37, 38, 39, 40, 41, 42, 45, 46,
    47, 51, 53, 54,
    57, 58, 65, 66, 67, 68, 0, 99, -1 },
  offset = { 0, 0, 1, 10, 4096, 5000, -1, 0x7fffffffffffffff, 1 << 40 },
  length = { 0, 1, 10, 4096, 5000, 8192, 1 << 20, -1, 1 << 46 },
  offset_high = { 0 }, nbytes = { 0, 4096, -1 },
}

-- Any of these bits.
knowledge.bits = {
  ["mount.mountflags"] = { 1, 2, 4, 8, 32, 4096, 16384 }, ["umount2.flags"] = { 1, 2, 4, 8 },
  ["execveat.flags"] = { 0x100, 0x1000 }, ["open_tree.flags"] = { 1, 0x80000, 0x1000, 0x8000 },
  ["setxattr.flags"] = { 1, 2 }, ["lsetxattr.flags"] = { 1, 2 }, ["fsetxattr.flags"] = { 1, 2 },
  ["fanotify_init.flags"] = { 1, 2, 0x200, 0x10 }, ["fanotify_mark.flags"] = { 1, 2, 4, 0x80 },
}

-- }==========================================================================

-- {================================= bytes ==================================

-- Parameters that are paths in the tree that helper_identity.c makes.
knowledge.paths = set_of("pathname path oldpath newpath filename linkpath target special put_old new_root source "
                         .. "from_pathname to_pathname")
knowledge.path_texts = {
  "f", "f", "f", "d", "d", "d/g", "empty", "l", "dangling", "x", "new", "new", "d/new", ".", "..", "/", "f/", "d/../f",
  "./f", "f/g",
  "no/such", "/proc/self/cwd/f", "/dev/null", "/etc/passwd", "/proc/self/fd/3", "/no/such", "", ("n"):rep(255),
  ("n"):rep(256),
  ("./"):rep(2047) .. "f", ("/"):rep(4095), ("./"):rep(2048), ("a/"):rep(2600),
}
knowledge.strings = {
  name = { "user.x", "user.identity", "trusted.x", "security.x", "", "noprefix", "x", "user." .. ("n"):rep(250),
           ("n"):rep(256) },
  ["memfd_create.name"] = { "memory", "", ("m"):rep(249), ("m"):rep(250) },
  ["prctl.name"] = { "short", "exactly-15-long", "longer than fifteen", "" },
  fsname = { "tmpfs", "nosuchfs", "" }, filesystemtype = { "tmpfs", "proc", "" },
}
-- For those that make something new, or run it; what is watched is the tree's own: others open /dev/null meanwhile.
local own = {
  "f", "f", "d", "d/g", "empty", "l", "dangling", "x", ".", "f/", "f/g", "no/such", "", ("n"):rep(256),
  ("./"):rep(2048),
}
local new = { "new", "new", "d/new", "f", "d", "no/such" }
knowledge.path_texts_for = {
  newpath = new, linkpath = new, ["mkdir.pathname"] = new, ["mkdirat.pathname"] = new, ["mknod.pathname"] = new,
  ["mknodat.pathname"] = new,
  ["inotify_add_watch.pathname"] = own, ["fanotify_mark.pathname"] = own,
  ["execve.pathname"] = { "x", "x", "x", "f", "d/../x" }, ["execveat.pathname"] = { "x", "x", "", "f" },
}
knowledge.argv = { "x", "hello", "", ("a"):rep(300), ("a"):rep(131071), ("a"):rep(131072) }

-- Values of fields, by "struct.field" or "field".
knowledge.fields = {
  tv_sec = { 0, 0, 0, 0, 1, -1, 100000, 0x7fffffffffffffff },
  tv_nsec = { 0, 1, 1000000, 20000000, 999999999, 1000000000, -1, 0x3fffffff, 0x3ffffffe },
  tv_usec = { 0, 1, 1000, 20000, 999999, 1000000, -1 },
  events = { 1, 4, 5, 0, 0xffff, 0x80000001, 0x40000004, 0x10000001 }, revents = { 0, -1 },
  ["struct open_how.flags"] = { 0, 2, 0x42, 0x80000, 0x10000, 0x200000, 0x1000000000, 0x410002 },
  ["struct open_how.mode"] = { 0, 0, 384, 0xffff }, ["struct open_how.resolve"] = { 0, 0, 1, 2, 4, 8, 16, 32, 64 },
  l_type = { 0, 1, 2, 3, -1 }, l_whence = { 0, 1, 2, 9 }, l_start = { 0, 10, -1 }, l_len = { 0, 10, -10 },
  l_pid = { 0, 1, -1 },
  rlim_cur = { 0xffffffffffff, 1024, 64, -1, 0 }, rlim_max = { 0xffffffffffff, 4096, -1, 0 },
  sched_priority = { 0, 0, 1, 99, -1 },
  sem_num = { 0, 1, 2, 3, 65535 }, sem_op = { 0, 1, 2, -1, -32768 }, sem_flg = { 0, 0x800, 0x1000, 0x1800 },
  sa_handler = { 0, 1 }, sa_flags = { 0, 0x10000000, 0x80000000, 0x40000000, 4, 0x14000004 }, sa_restorer = { 0 },
  ss_flags = { 0, 2, 4, 1, 99 }, ss_size = { 0, 2048, 8192, 16384, -1 },
  ["struct clone_args.flags"] = { 0, 0x100, 0x4100, 0x1000000, 0x200000, 0x3d0f00, 0x1000, 0x100000000 },
  ["struct clone_args.exit_signal"] = { 17, 17, 17, 0, 65, -1 }, pidfd = { 0 }, child_tid = { 0 }, parent_tid = { 0 },
  ["struct clone_args.stack"] = { 0, 0, 0x1000 }, ["struct clone_args.stack_size"] = { 0, 0, 4096 }, tls = { 0 },
  set_tid = { 0, 0, 1 },
  set_tid_size = { 0, 0, 1, 33 }, cgroup = { 0 },
  version = { 0x20080522, 0x19980330, 0, 0x20071026 }, ["struct cap_header.pid"] = { 0, 0, -1, 99999 },
  ["struct f_owner_ex.type"] = { 0, 1, 2, 9 }, ["struct f_owner_ex.pid"] = { 0 }, actime = { 0, 1000000000 },
  modtime = { 0, 5 },
  src_fd = { 3, 4, 77, -1 }, src_offset = { 0, 1 }, src_length = { 0, 4096 }, dest_offset = { 0 },
  si_signo = { 10, 0, 99 }, si_code = { -1, 0, -6, 1 },
}

-- }==========================================================================

return knowledge
