-- classes.lua - calls by kind, as strace(1) names the kinds: %file, %desc, %network, %process, %signal, %memory

local core = require "lencase.core"
local parsing = require "lencase.parsing"

local classes = {}

local function set_of(text)
  local set = {}
  for word in text:gmatch "%S+" do set[word] = true end
  return set
end

-- Parameters that are paths or descriptors, by their names in the manual.
local path_names = set_of "pathname path oldpath newpath filename linkpath special specialfile"
local fd_names = set_of "fd oldfd newfd sockfd in_fd out_fd fd_in fd_out fdin fdout epfd"

local kinds = {
  ["%network"] = set_of [[socket socketpair connect bind listen accept accept4 sendto recvfrom sendmsg recvmsg sendmmsg
    recvmmsg shutdown getsockname getpeername getsockopt setsockopt]],
  ["%process"] = set_of [[fork vfork clone clone3 execve execveat exit exit_group wait4 waitid kill tkill tgkill
    pidfd_open pidfd_send_signal]],
  ["%signal"] = set_of [[rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigpending rt_sigtimedwait
    rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack signalfd signalfd4 pause kill tkill tgkill]],
  ["%memory"] = set_of [[brk mmap munmap mprotect mremap madvise msync mincore mlock mlock2 munlock mlockall munlockall
    remap_file_pages pkey_mprotect process_madvise mseal]],
}

---@class lencase.places where a call has what
---@field paths { at: integer, dir: integer? }[] its paths, each with the place of its directory descriptor
---@field fds integer[] its descriptors

--- Which arguments of a call are paths and which descriptors, in its first variant.
---@param nr integer
---@return lencase.places
function classes.places(nr)
  local described, places = core.describe(nr), { paths = {}, fds = {} }
  for i, param in ipairs(described and described.variants[1].params or {}) do
    if path_names[param.name] and param.pointer then
      local before = described.variants[1].params[i - 1]
      table.insert(places.paths, { at = i, dir = before and before.name:find "dirfd$" and i - 1 })
    elseif fd_names[param.name] then
      table.insert(places.fds, i)
    end
  end
  return places
end

--- The classes of a call: { "%file", "%desc" }.
---@param nr integer
---@return string[]
function classes.of(nr)
  local places, name, list = classes.places(nr), core.callname(nr), {}
  if #places.paths > 0 then table.insert(list, "%file") end
  if #places.fds > 0 then table.insert(list, "%desc") end
  for class, names in pairs(kinds) do
    if names[name] then table.insert(list, class) end
  end
  return list
end

local function add_class(set, class)
  for _, name in ipairs(core.names()) do
    local nr = core.callnum(name)
    for _, other in ipairs(classes.of(nr)) do
      if other == class then set[nr] = true end
    end
  end
end

-- The first call of a family means all of its members.
local function add_name(set, word)
  local nr = core.callnum(word) or math.tointeger(word)
  if not nr then return nil, ("unknown call '%s'%s"):format(word, parsing.did_you_mean(word, core.names())) end
  set[nr] = true
  for _, member in ipairs((core.members(nr))) do set[member] = true end
  return true
end

--- The numbers that a list means: "write,%file,39"; a family's first call brings its members.
---@param list string
---@return table<integer, boolean>? set
---@return string? message
function classes.expand(list)
  local set = {}
  for word in list:gmatch "[^,]+" do
    if word == "all" then
      for _, name in ipairs(core.names()) do set[core.callnum(name)] = true end
    elseif kinds[word] or word == "%file" or word == "%desc" then
      add_class(set, word)
    else
      local ok, message = add_name(set, word)
      if not ok then return nil, message end
    end
  end
  return set
end

return classes
