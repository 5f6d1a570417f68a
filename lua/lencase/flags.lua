-- flags.lua - the names of integer arguments' values: data, and functions from names to values and back
--
-- spec/flags_spec.lua compares the values with the kernel's headers.

local flags = {}

-- Bits; a set's `mask` is a field of several bits with names for its values.
local sets = {
  open = { mask = 3, values = { O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2 },
           O_CREAT = 0x40, O_EXCL = 0x80, O_NOCTTY = 0x100, O_TRUNC = 0x200, O_APPEND = 0x400, O_NONBLOCK = 0x800,
           O_DSYNC = 0x1000, O_DIRECT = 0x4000, O_DIRECTORY = 0x10000, O_NOFOLLOW = 0x20000, O_NOATIME = 0x40000,
           O_CLOEXEC = 0x80000, O_PATH = 0x200000 },
  prot = { PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, empty = "PROT_NONE" },
  map = { mask = 3, values = { MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_SHARED_VALIDATE = 3 },
          MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20, MAP_DENYWRITE = 0x800, MAP_LOCKED = 0x2000, MAP_NORESERVE = 0x4000,
          MAP_POPULATE = 0x8000, MAP_STACK = 0x20000, MAP_FIXED_NOREPLACE = 0x100000 },
  access = { R_OK = 4, W_OK = 2, X_OK = 1, empty = "F_OK" },
  at = { AT_SYMLINK_NOFOLLOW = 0x100, AT_SYMLINK_FOLLOW = 0x400, AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000 },
  unlinkat = { AT_REMOVEDIR = 0x200 },
  faccessat2 = { AT_EACCESS = 0x200, AT_SYMLINK_NOFOLLOW = 0x100, AT_EMPTY_PATH = 0x1000 },
  cloexec = { O_CLOEXEC = 0x80000, O_NONBLOCK = 0x800, O_DIRECT = 0x4000 },
  msg = { MSG_OOB = 1, MSG_PEEK = 2, MSG_TRUNC = 0x20, MSG_DONTWAIT = 0x40, MSG_WAITALL = 0x100, MSG_NOSIGNAL = 0x4000,
          MSG_CMSG_CLOEXEC = 0x40000000 },
}

-- One of several.
local values = {
  whence = { SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4 },
  dirfd = { AT_FDCWD = -100 },
  signal = { SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGBUS = 7, SIGFPE = 8,
             SIGKILL = 9, SIGUSR1 = 10, SIGSEGV = 11, SIGUSR2 = 12, SIGPIPE = 13, SIGALRM = 14, SIGTERM = 15,
             SIGSTKFLT = 16, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20, SIGTTIN = 21, SIGTTOU = 22,
             SIGURG = 23, SIGXCPU = 24, SIGXFSZ = 25, SIGVTALRM = 26, SIGPROF = 27, SIGWINCH = 28, SIGIO = 29,
             SIGPWR = 30, SIGSYS = 31 },
  fcntl = { F_DUPFD = 0, F_GETFD = 1, F_SETFD = 2, F_GETFL = 3, F_SETFL = 4, F_GETLK = 5, F_SETLK = 6, F_SETLKW = 7,
            F_SETOWN = 8, F_GETOWN = 9, F_DUPFD_CLOEXEC = 1030, F_ADD_SEALS = 1033, F_GET_SEALS = 1034 },
  family = { AF_UNSPEC = 0, AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, AF_NETLINK = 16, AF_PACKET = 17 },
  how = { SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2 },
  resource = { RLIMIT_CPU = 0, RLIMIT_FSIZE = 1, RLIMIT_DATA = 2, RLIMIT_STACK = 3, RLIMIT_CORE = 4, RLIMIT_RSS = 5,
               RLIMIT_NPROC = 6, RLIMIT_NOFILE = 7, RLIMIT_MEMLOCK = 8, RLIMIT_AS = 9 },
  clock = { CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1, CLOCK_PROCESS_CPUTIME_ID = 2, CLOCK_THREAD_CPUTIME_ID = 3,
            CLOCK_BOOTTIME = 7 },
}

-- "call.parameter" or "parameter" -> the name of a set, or of values.
local of_parameter = {
  ["open.flags"] = "open", ["openat.flags"] = "open", ["open_by_handle_at.flags"] = "open", ["fcntl.cmd"] = "fcntl",
  ["fcntl.op"] = "fcntl", prot = "prot", ["mmap.flags"] = "map",
  ["access.mode"] = "access", ["faccessat.mode"] = "access",
  ["faccessat2.mode"] = "access", ["faccessat2.flags"] = "faccessat2",
  ["newfstatat.flags"] = "at", ["statx.flags"] = "at",
  ["fchownat.flags"] = "at", ["linkat.flags"] = "at", ["utimensat.flags"] = "at", ["execveat.flags"] = "at",
  ["unlinkat.flags"] = "unlinkat", ["pipe2.flags"] = "cloexec", ["dup3.flags"] = "cloexec",
  ["sendto.flags"] = "msg", ["recvfrom.flags"] = "msg", ["sendmsg.flags"] = "msg", ["recvmsg.flags"] = "msg",
  ["lseek.whence"] = "whence", dirfd = "dirfd", olddirfd = "dirfd", newdirfd = "dirfd",
  sig = "signal", signum = "signal",
  ["socket.domain"] = "family", ["socketpair.domain"] = "family", ["rt_sigprocmask.how"] = "how", resource = "resource",
  clockid = "clock", clk_id = "clock", which_clock = "clock",
}

local function tables_of(call, parameter)
  local name = of_parameter[call .. "." .. parameter] or of_parameter[parameter]
  return sets[name], values[name]
end

local function name_of(list, number)
  for name, value in pairs(list) do
    if value == number then return name end
  end
end

local function bits_of(set, number)
  local names = {}
  local rest = number
  if set.mask then
    names[1] = name_of(set.values, number & set.mask)
    rest = names[1] and number & ~set.mask or number
  end
  local bits = {}
  for name, bit in pairs(set) do
    if math.type(bit) == "integer" and name ~= "mask" and bit ~= 0 and rest & bit == bit then
      table.insert(bits, name)
    end
  end
  table.sort(bits, function(a, b) return set[a] < set[b] end)
  for _, name in ipairs(bits) do
    table.insert(names, name)
    rest = rest & ~set[name]
  end
  if rest ~= 0 then table.insert(names, ("0x%x"):format(rest)) end
  return #names > 0 and table.concat(names, "|") or set.empty or "0"
end

--- The value of an integer argument by name: "O_WRONLY|O_CREAT"; nil when there are no names.
---@param call string
---@param parameter string
---@param number integer
---@return string?
function flags.name(call, parameter, number)
  local set, list = tables_of(call, parameter)
  if set then return bits_of(set, number) end
  return list and name_of(list, number)
end

local function number_in(set, word)
  if not set then return nil end
  return set.values and set.values[word] or word ~= "mask" and math.type(set[word]) and set[word]
         or word == set.empty and 0 or nil
end

--- The value of a name: of this call's if it has it, else of any call's.
---@param word string
---@param call? string
---@param parameter? string
---@return integer?
function flags.value(word, call, parameter)
  if call and parameter then
    local set, list = tables_of(call, parameter)
    local value = number_in(set, word) or list and list[word]
    if value then return value end
  end
  for _, set in pairs(sets) do
    if number_in(set, word) then return number_in(set, word) end
  end
  for _, list in pairs(values) do
    if list[word] then return list[word] end
  end
end

--- The values that have names for an argument, sorted; nil when none has.
---@param call string
---@param parameter string
---@return integer[]?
function flags.values(call, parameter)
  local set, list = tables_of(call, parameter)
  if not (set or list) then return nil end
  local found = {}
  local function collect(names)
    for name, value in pairs(names or {}) do
      if name ~= "mask" and math.type(value) then table.insert(found, value) end
    end
  end
  collect(set or list)
  collect(set and set.values)
  table.sort(found)
  return found
end

--- All names there are, sorted.
---@return string[]
function flags.names()
  local seen, list = {}, {}
  local function add(name) if not seen[name] then seen[name] = table.insert(list, name) or true end end
  for _, set in pairs(sets) do
    for name, value in pairs(set) do
      if name ~= "mask" and math.type(value) then add(name) end
    end
    for name in pairs(set.values or {}) do add(name) end
    if set.empty then add(set.empty) end
  end
  for _, list_of in pairs(values) do
    for name in pairs(list_of) do add(name) end
  end
  table.sort(list)
  return list
end

return flags
