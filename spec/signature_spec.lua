-- What lua/lencase/calls/data.lua says, compared with the kernel's and the C library's headers, and the
-- generated tables, compared with their source.

local ask_c = require "spec.ask_c"
local calls = require "lencase.calls.data"
local enum = require "lencase.calls.enum"
local prototype = require "lencase.calls.prototype"
local signatures = require "lencase.calls.signatures"

local function read_all(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read "a"
  f:close()
  return text
end

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  assert(pipe:close(), command)
  return text
end

-- {================================== types =================================

local types = prototype.env().parent.types

-- Where each struct is declared, and what it is called there.
local headers = {
  { includes = { "<fcntl.h>", "<poll.h>", "<signal.h>", "<time.h>", "<utime.h>", "<sched.h>", "<sys/epoll.h>",
                 "<sys/ioctl.h>", "<sys/resource.h>", "<sys/sem.h>", "<sys/socket.h>", "<sys/stat.h>",
                 "<sys/statfs.h>", "<sys/sysinfo.h>", "<sys/time.h>", "<sys/times.h>", "<sys/uio.h>",
                 "<sys/utsname.h>" },
    "struct iovec", "struct timespec", "struct timeval", "struct timezone", "struct itimerval", "struct itimerspec",
    "struct utimbuf", "struct tms", "struct stat", "struct statfs", "struct flock", "struct f_owner_ex",
    "struct pollfd", "struct epoll_event", "struct msghdr", "struct mmsghdr", "struct rusage", "struct rlimit",
    "struct sysinfo", "struct utsname", "struct sched_param", "struct winsize", "struct sembuf",
    "siginfo_t", "stack_t", "fsid_t" },
  { includes = { "<linux/stat.h>", "<linux/openat2.h>", "<linux/fs.h>", "<linux/capability.h>", "<linux/sched.h>",
                 "<linux/types.h>", "<asm/signal.h>", "<asm/termbits.h>", "<linux/sched/types.h>", "<linux/mount.h>",
                 "<linux/landlock.h>" },
    "struct statx", "struct statx_timestamp", "struct open_how", "struct file_clone_range", "struct clone_args",
    "struct sigaction", "struct termios", "struct cap_header", "struct sched_attr", "struct mount_attr",
    "struct landlock_ruleset_attr" },
}
local c_name = { ["struct cap_header"] = "struct __user_cap_header_struct" }
local c_field = { ["fsid_t.val"] = "__val" }

-- Declared by no header, or by newer ones than are here, or longer there: the manual describes them
-- (pselect(2), "C library/kernel differences"; perf_event_open(2); statmount(2)).
local undeclared = {
  ["struct sigset_argpack"] = { size = 16, ss = 0, ss_len = 8 },
  ["struct perf_event_attr"] = { size = 40, type = 0, config = 8, sample_period = 16, sample_type = 24,
                                 read_format = 32 },
  ["struct mnt_id_req"] = { size = 24, mnt_ns_fd = 4, mnt_id = 8, param = 16 },
}

-- Their calls are told how long they are: newer headers have more fields.
local grows = { ["struct open_how"] = true, ["struct clone_args"] = true, ["struct sched_attr"] = true,
                ["struct mount_attr"] = true, ["struct landlock_ruleset_attr"] = true }

local function field_questions(name, record)
  local cn = c_name[name] or name
  local questions = { { name, ("sizeof(%s)"):format(cn) } }
  for _, f in ipairs(record.fields) do
    local cf = c_field[name .. "." .. f.name] or f.name
    table.insert(questions, { name .. "." .. f.name, ("offsetof(%s, %s)"):format(cn, cf) })
    table.insert(questions, { name .. "." .. f.name .. ":", ("sizeof(((%s *)0)->%s)"):format(cn, cf) })
  end
  return questions
end

local function expect_layout(name, record, answers)
  if grows[name] and answers[name] > record.size then answers[name] = record.size end
  assert.equal(answers[name], record.size, name)
  for _, f in ipairs(record.fields) do
    local key = name .. "." .. f.name
    assert.equal(answers[key], f.offset, key)
    assert.equal(answers[key .. ":"], f.width * f.count, key .. " in bytes")
  end
end

describe("structs", function()
  it("lie as the headers say", function()
    for _, unit in ipairs(headers) do
      local questions = {}
      for _, name in ipairs(unit) do
        local qs = field_questions(name, types[name].record)
        table.move(qs, 1, #qs, #questions + 1, questions)
      end
      local answers = ask_c(unit.includes, questions)
      for _, name in ipairs(unit) do expect_layout(name, types[name].record, answers) end
    end
  end)

  it("are all checked", function()
    local checked = {}
    for _, unit in ipairs(headers) do
      for _, name in ipairs(unit) do checked[name] = true end
    end
    for name, type in pairs(types) do
      if type.record then assert.is_true(checked[name] or undeclared[name] ~= nil, name) end
    end
  end)

  it("that no header has are what the manual says", function()
    for name, expected in pairs(undeclared) do
      local record = types[name].record
      assert.equal(expected.size, record.size)
      for _, f in ipairs(record.fields) do
        if f.name ~= "size" then assert.equal(expected[f.name], f.offset) end
      end
    end
  end)
end)

describe("typedefs", function()
  -- The kernel's own, which the C library has in another form or not at all.
  local kernels = { timer_t = "__kernel_timer_t", kernel_sigset_t = "unsigned long", rlim_t = "rlim_t" }

  it("have the headers' size and sign", function()
    local bare, questions = prototype.bare_env().types, {}
    for name, type in pairs(types) do
      if not bare[name] and type.kind == "int" and name ~= "id_t" then
        local cn = kernels[name] or name
        table.insert(questions, { name, ("sizeof(%s)"):format(cn) })
        table.insert(questions, { name .. "<0", ("(%s)-1 < 0"):format(cn) })
      end
    end
    local answers = ask_c({ "<sys/types.h>", "<sys/socket.h>", "<sys/resource.h>", "<sys/times.h>", "<stdint.h>",
                            "<termios.h>", "<linux/types.h>" }, questions)
    assert.is_true(#questions > 60)
    for i = 1, #questions, 2 do
      local name = questions[i][1]
      assert.equal(answers[name], types[name].size, name)
      assert.equal(answers[name .. "<0"] == 1, types[name].signed, name)
    end
  end)
end)

-- }==========================================================================

-- {=========================== numbers and constants ========================

describe("callnums", function()
  local function kernels_numbers()
    local numbers = {}
    for name, nr in output_of("echo '#include <sys/syscall.h>' | gcc -E -dM -"):gmatch "#define __NR_([%w_]+) (%d+)" do
      numbers[name] = math.tointeger(nr)
    end
    return numbers
  end

  it("are the kernel's", function()
    local kernels, known = kernels_numbers(), 0
    for _, sig in ipairs(signatures.list()) do
      if kernels[sig.name] then
        known = known + 1
        assert.equal(kernels[sig.name], sig.nr, sig.name)
      else
        assert.is_true(sig.nr > 450, sig.name) -- newer than Debian 12's headers
      end
    end
    assert.is_true(known > 250)
  end)

  it("ascend, and no name comes twice", function()
    local last, seen = -1, {}
    for _, sig in ipairs(signatures.list()) do
      assert.is_true(sig.nr > last, sig.name)
      assert.is_nil(seen[sig.name], sig.name)
      last, seen[sig.name] = sig.nr, true
    end
  end)

  it("are there for what a file-handling program calls", function()
    local wanted = [[
      open creat openat openat2 close read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2
      stat lstat fstat newfstatat statx statfs fstatfs link linkat rename renameat renameat2 unlink unlinkat rmdir
      symlink symlinkat readlink readlinkat dup dup2 dup3 pipe pipe2 fcntl ioctl getdents64 mmap munmap mprotect
      mremap brk madvise sendfile copy_file_range splice tee execve execveat fork vfork clone clone3 exit exit_group
      wait4 waitid kill tgkill chdir fchdir mkdir mkdirat chmod fchmod fchmodat chown fchown lchown fchownat umask
      access faccessat faccessat2 utimensat truncate ftruncate fallocate fsync fdatasync flock lseek getcwd socket
      connect bind listen accept accept4 sendto recvfrom sendmsg recvmsg getsockopt setsockopt poll ppoll select
      pselect6 epoll_wait epoll_ctl getpid getuid geteuid getgid getegid getrandom clock_gettime nanosleep
      clock_nanosleep futex prctl rt_sigaction rt_sigprocmask close_range memfd_create]]
    for name in wanted:gmatch "%S+" do assert.is_table(signatures.by_name(name), name) end
  end)
end)

describe("constants", function()
  -- What a header has in another form.
  local expressions = {
    __O_TMPFILE = "O_TMPFILE & ~O_DIRECTORY",
    FUTEX_CMD_MASK = "(long long)(int)FUTEX_CMD_MASK",
  }

  it("are the headers'", function()
    local questions = {}
    for name in pairs(calls.constants) do table.insert(questions, { name, expressions[name] or name }) end
    local answers = ask_c({ "<fcntl.h>", "<sys/ioctl.h>", "<sys/mman.h>", "<sys/prctl.h>", "<sys/sem.h>",
                            "<linux/fs.h>", "<linux/futex.h>", "<asm/prctl.h>" }, questions)
    for name, value in pairs(calls.constants) do assert.equal(answers[name], value, name) end
  end)
end)

describe("the enums", function()
  local prefixes = { kind = "SIG_", dir = "SIG_", size = "SIZE_", filled = "FILLED_", field = "FIELD_", test = "TEST_",
                     fold = "FOLD_", flag = "SIGF_" }

  it("are those of core/signature.h", function()
    local questions = {}
    for kind, values in pairs(enum) do
      for name in pairs(values) do
        local no_direction = kind == "dir" and name == "NONE"
        table.insert(questions, { kind .. name, no_direction and "0" or prefixes[kind] .. name })
      end
    end
    local answers = ask_c({ '"signature.h"' }, questions)
    for kind, values in pairs(enum) do
      for name, value in pairs(values) do assert.equal(answers[kind .. name], value, kind .. name) end
    end
  end)
end)

-- }==========================================================================

-- {================================ variants ================================

--- The parameters that a call with these words has, as C declares them.
local function chosen(name, words)
  local sig = assert(signatures.by_name(name), name)
  for _, v in ipairs(sig.variants) do
    local word = (words[v.when.arg + 1] or 0) & v.when.mask
    local holds = { [enum.test.ALWAYS] = true, [enum.test.EQ] = word == v.when.value,
                    [enum.test.ANY] = word ~= 0, [enum.test.NONE] = word == 0 }
    if holds[v.when.op] then return prototype.format(v), v.unknown end
  end
end

describe("variants", function()
  local golden = {
    { "open", { 0, 0 }, "const char *pathname, int flags" },
    { "open", { 0, 0x40 }, "const char *pathname, int flags, mode_t mode" },
    { "openat", { 0, 0, 0x410002 }, "int dirfd, const char *pathname, int flags, mode_t mode" },
    { "openat", { 0, 0, 0x10000 }, "int dirfd, const char *pathname, int flags" }, -- O_DIRECTORY is not O_TMPFILE
    { "open", { 0, 0x4000000000 }, "const char *pathname, int flags" }, -- the kernel sees 32 bits
    { "fcntl", { 3, 0, 10 }, "int fd, unsigned int op, int minfd" },
    { "fcntl", { 3, 1030, 10 }, "int fd, unsigned int op, int minfd" },
    { "fcntl", { 3, 0x100000000 | 1030, 10 }, "int fd, unsigned int op, int minfd" },
    { "fcntl", { 3, 1 }, "int fd, unsigned int op" },
    { "fcntl", { 3, 38 }, "int fd, unsigned int op, const struct flock *lock" },
    { "fcntl", { 3, 36 }, "int fd, unsigned int op, /* inout */ struct flock *lock" },
    { "ioctl", { 0, 0x5413 }, "int fd, unsigned int op, struct winsize *argp" },
    { "prctl", { 15 }, "int op, /* nul */ const char name[16]" },
    { "futex", { 0, 0x81 }, "/* addr */ uint32_t *uaddr, int futex_op, uint32_t val" }, -- FUTEX_PRIVATE_FLAG
    { "futex", { 0, 0x189 }, "/* addr */ uint32_t *uaddr, int futex_op, uint32_t val, "
      .. "const struct timespec *_Nullable timeout, void *_Nullable uaddr2, uint32_t val3" },
    { "mremap", { 0, 0, 0, 1 }, "void *old_address, size_t old_size, size_t new_size, unsigned long flags" },
    { "mremap", { 0, 0, 0, 3 }, "void *old_address, size_t old_size, size_t new_size, unsigned long flags, "
      .. "void *_Nullable new_address" },
  }
  for _, case in ipairs(golden) do
    it(("of %s are chosen by its arguments: %s"):format(case[1], case[3]), function()
      local text, unknown = chosen(case[1], case[2])
      assert.equal(case[3], text)
      assert.equal(0, unknown)
    end)
  end

  it("for commands that are not described are addresses, and say so", function()
    for name, op in pairs { fcntl = 2, ioctl = 2, prctl = 1, futex = 2, semctl = 3, arch_prctl = 1 } do
      local words = {}
      for i = 1, op do words[i] = 0x7abcde7f end
      local _, unknown = chosen(name, words)
      assert.equal(1, unknown, name)
    end
  end)

  it("end with one that always holds, and share their first parameters", function()
    for _, sig in ipairs(signatures.list()) do
      assert.equal(enum.test.ALWAYS, sig.variants[#sig.variants].when.op, sig.name)
      for i, v in ipairs(sig.variants) do
        assert.is_true(i == #sig.variants or v.when.op ~= enum.test.ALWAYS, sig.name)
        assert.equal(sig.variants[1].params[1] and sig.variants[1].params[1].name, v.params[1] and v.params[1].name)
      end
    end
  end)
end)

-- }==========================================================================

-- {================================ families ================================

describe("families", function()
  local function source(member, p)
    local names = {}
    for i, param in ipairs(signatures.params(member)) do names[i - 1] = param.name end
    return ({ [enum.fold.ABSENT] = "-", [enum.fold.ARG] = names[p.arg], [enum.fold.CONST] = ("=0x%x"):format(p.value),
              [enum.fold.PATH] = names[p.dir_arg] .. "/" .. names[p.arg],
              [enum.fold.FIELD] = ("%s+%d"):format(names[p.arg], p.value) })[p.from]
  end

  local function printed()
    local by_name = {}
    for _, sig in ipairs(signatures.list()) do by_name[sig.nr] = sig end
    local lines = {}
    for _, f in ipairs(signatures.folds()) do
      local member, family, sources = by_name[f.member], by_name[f.family], {}
      for i, p in ipairs(f.params) do sources[i] = source(member, p) end
      table.insert(lines, ("%s as %s(%s)"):format(member.name, family.name, table.concat(sources, ", ")))
    end
    return lines
  end

  it("are these", function()
    assert.same({
      "creat as open(pathname, =0x241, mode)",
      "openat as open(dirfd/pathname, flags, mode)",
      "mkdirat as mkdir(dirfd/pathname, mode)",
      "mknodat as mknod(dirfd/pathname, mode, dev)",
      "fchownat as chown(dirfd/pathname, owner, group)",
      "fchownat as lchown(dirfd/pathname, owner, group)",
      "futimesat as utimes(dirfd/pathname, times)",
      "newfstatat as stat(dirfd/pathname, statbuf)",
      "newfstatat as lstat(dirfd/pathname, statbuf)",
      "unlinkat as rmdir(dirfd/pathname)",
      "unlinkat as unlink(dirfd/pathname)",
      "renameat as rename(olddirfd/oldpath, newdirfd/newpath)",
      "linkat as link(olddirfd/oldpath, newdirfd/newpath)",
      "symlinkat as symlink(target, newdirfd/linkpath)",
      "readlinkat as readlink(dirfd/pathname, buf, bufsiz)",
      "fchmodat as chmod(dirfd/pathname, mode)",
      "faccessat as access(dirfd/pathname, mode)",
      "accept4 as accept(sockfd, addr, addrlen)",
      "dup3 as dup2(oldfd, newfd)",
      "pipe2 as pipe(pipefd)",
      "renameat2 as rename(olddirfd/oldpath, newdirfd/newpath)",
      "execveat as execve(dirfd/pathname, argv, envp)",
      "openat2 as open(dirfd/pathname, how+0, how+8)",
      "faccessat2 as access(dirfd/pathname, mode)",
      "fchmodat2 as chmod(dirfd/pathname, mode)",
    }, printed())
  end)

  it("have at most one place for a call: no flags belong to two", function()
    local flag_values = { 0, 0x100, 0x200, 0x400, 0x1000, 0x1100, 0x1300, 0x800 }
    local function holds(t, word)
      word = word & t.mask
      return t.op == enum.test.ALWAYS or t.op == enum.test.EQ and word == t.value
             or t.op == enum.test.ANY and word ~= 0 or t.op == enum.test.NONE and word == 0
    end
    for _, flags in ipairs(flag_values) do
      local seen = {}
      for _, f in ipairs(signatures.folds()) do
        if holds(f.when, flags) then
          assert.is_nil(seen[f.member], f.member)
          seen[f.member] = true
        end
      end
    end
  end)

  it("see each parameter as the family's call does", function()
    for _, row in ipairs(calls.families) do
      local member, family = signatures.by_name(row[1]), signatures.by_name(row[2])
      for i, p in ipairs(signatures.params(family)) do
        local name = row[i + 2]:match "([%w_]+)$"
        for _, q in ipairs(signatures.params(member)) do
          if q.name == name then assert.equal(p.kind, q.kind, row[1] .. ": " .. name) end
        end
        assert.is_true(row[i + 2]:find "/" == nil or p.kind == enum.kind.STRING, row[1])
      end
    end
  end)
end)

-- }==========================================================================

describe("core/signature_data.c", function()
  it("is what the generator makes of lua/lencase/calls/data.lua", function()
    local same = output_of "lua5.4 scripts/gen-signatures.lua" == read_all "core/signature_data.c"
    assert.is_true(same, "run 'make generate'")
  end)
end)
