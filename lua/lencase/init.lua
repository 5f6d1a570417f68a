-- lencase - a script between a program and its system calls
--
-- In a grate (a script that `lencase run` loads) everything here works; in an ordinary
-- Lua program `lencase.grate` checks what it is given, and calls cannot be made.

local core = require "lencase.core"
local definitions = require "lencase.definition"
local fdtable = require "lencase.fdtable"
local install = require "lencase.install"
local output = require "lencase.output"
local parsing = require "lencase.parsing"
local per_cage = require "lencase.per_cage"
local policy = require "lencase.policy"
local threei = require "lencase.threei"

---@class lencase
---@field sys lencase.sys the calls provided to my cage
---@field cage lencase.cage the cage whose call is being handled (inside handlers only)
---@field errno table<string|integer, integer|string> EPERM -> 1 and 1 -> "EPERM"
---@field NULL lightuserdata the null pointer, as an argument and as a result
---@field is_bad fun(value: any): boolean whether it represents a pointer that cannot be read
---@field VERSION string
---@field COPY_ALL_ARGS integer every argument is copied as its type says
---@field PASS_THROUGH_POINTERS integer pointers are passed through, integers are seen
---@field PASS_THROUGH_ALL integer the handler sees none of the arguments
local lencase = { VERSION = core.version, NULL = core.NULL, is_bad = core.is_bad }

lencase.COPY_ALL_ARGS = policy.COPY_ALL_ARGS
lencase.PASS_THROUGH_POINTERS = policy.PASS_THROUGH_POINTERS
lencase.PASS_THROUGH_ALL = policy.PASS_THROUGH_ALL

--- The policy that copies argument `n`, regardless of the sets.
---@param n integer counted from 1
---@return integer
function lencase.COPY(n) return policy.COPY(n) end

--- The policy that passes argument `n` through: the handler sees nil.
---@param n integer counted from 1
---@return integer
function lencase.PASS(n) return policy.PASS(n) end

--- The policy that shows the address of argument `n` as an integer.
---@param n integer counted from 1
---@return integer
function lencase.ADDR(n) return policy.ADDR(n) end

--- The policy that makes a second use of argument `n` in one call an error.
---@param n integer counted from 1
---@return integer
function lencase.ONCE(n) return policy.ONCE(n) end

-- {================================= errno ==================================

lencase.errno = {}
local errno_names = {}
for name, number in pairs(core.errnos()) do
  lencase.errno[name], lencase.errno[number] = number, name
  table.insert(errno_names, name)
end
table.sort(errno_names)

---@class lencase.failure
---@field errno integer

local failures = {}

local function new_failure(name)
  local number = lencase.errno[name]
  if type(number) ~= "number" then
    error(("unknown errno %q%s"):format(tostring(name), parsing.did_you_mean(tostring(name), errno_names)), 3)
  end
  local failure = setmetatable({ errno = number }, definitions.failure_meta)
  failures[name] = failure
  return failure
end

--- A result that is an error: `return lencase.fail "EPERM"`; as an entry of an interface,
--- the constant answer to a call: `socket = lencase.fail "EPERM"`.
---@param name string an errno's name
---@return lencase.failure
function lencase.fail(name) return failures[name] or new_failure(name) end

--- The message of an errno: 2 -> "No such file or directory".
---@param errno integer
---@return string
function lencase.strerror(errno) return core.strerror(errno) end

-- }==========================================================================

---@class lencase.sys
---@field [string] fun(...): integer, integer?, ...
lencase.sys = install.sys

---@type lencase.branch[]
lencase.branches = install.branches()

---@class lencase.param
---@field name string
---@field ctype string
---@field kind "int"|"address"|"string"|"bytes"|"records"|"strings"|"iovec"
---@field dir "none"|"in"|"out"|"inout"
---@field pointer boolean
---@field count? integer which argument says how many elements there are
---@field filled boolean an out one: as many of them as the result says

--- What is known about a call: { name =, nr =, prototype =, noreturn =, address = (its result is one),
--- variants = { { params = { lencase.param, ... } }, ... } }; nil for a call without a signature.
---@param call string|integer
---@return table?
function lencase.describe(call)
  local nr = math.type(call) == "integer" and call or core.callnum(call)
  return nr and core.describe(nr)
end

--- Declares the interface of a grate: call -> { policy, handler }, and options. The script
--- returns it. Raises an error that names script and line for anything that is wrong with it.
---@param definition lencase.definition
---@return lencase.interface
function lencase.grate(definition) return definitions.new(definition) end

--- A table from descriptor to any value, one per cage: it follows dup, dup2, dup3, F_DUPFD,
--- fork, close, close_range and close-on-exec.
---@return table<integer, any>
function lencase.fdtable() return fdtable.new() end

--- A table for each cage: `init(cage)` makes it when it is first used, a forked child gets a
--- deep copy (or what `fork` makes of its parent's), exec keeps it, the cage's end drops it.
--- In a handler `state.key` is a field of the calling cage's table, `state()` is that table,
--- and `state(cage)`, also in on_cage and on_cage_exit, that of another cage.
---@param init? lencase.per_cage.definition|fun(cage: lencase.cage): table?
---@return lencase.per_cage
function lencase.per_cage(init) return (per_cage.new(init)) end

--- Loads the script again, as SIGHUP does under `lencase run --reload`: handlers are swapped
--- between calls, running ones end as they began, tables that `keep` names are kept. The filter of
--- running programs cannot be widened: a call that the script did not name before is reported and
--- not handled. on_start does not run again.
---@return boolean? ok
---@return string? message why the old script stays
function lencase.reload() return install.reload() end

--- For `merge = lencase.sum` in a definition: brings `b` into `a`, key by key. Numbers are added, what
--- only `b` has is taken over, and what else both have stays as `a` has it.
---@param a table
---@param b table
---@return table a
function lencase.sum(a, b) return require "lencase.merging".sum(a, b) end

-- {=================================== 3i ===================================

--- Given as the call to (de)register: all calls that the grate handles.
---@type integer
lencase.MATCH_ALL = threei.MATCH_ALL

--- Puts this grate's handler for a call, with its family, in force for a cage: those of a grate with
--- `registered = false` handle nothing before. In a handler, and in on_cage. What the cage started
--- before keeps what it has. `flags`: "replace" takes over what another grate handles there, which is
--- EEXIST otherwise.
---@param cage lencase.cage|integer or its id
---@param call string|integer or lencase.MATCH_ALL
---@param flags? "replace"
---@return integer result 0, or -1
---@return integer? errno
function lencase.register_handler(cage, call, flags) return threei.register_handler(cage, call, flags) end

--- The reverse: the cage's calls go directly to the grate or host below this one.
---@param cage lencase.cage|integer
---@param call string|integer or lencase.MATCH_ALL
---@return integer result 0, or -1
---@return integer? errno ENOENT: this grate does not handle it there
function lencase.deregister_handler(cage, call) return threei.deregister_handler(cage, call) end

--- Gives a cage the handlers that another has: for calls without a handler in the first ("merge", the
--- default), also for those with one ("replace"), or exactly those of the other ("overwrite").
---@param target lencase.cage|integer
---@param source lencase.cage|integer
---@param flags? "merge"|"replace"|"overwrite"
---@return integer result 0, or -1
---@return integer? errno
function lencase.copy_handler_table_to_cage(target, source, flags)
  return threei.copy_handler_table_to_cage(target, source, flags)
end

--- Copies bytes from one cage to another: `dest` and `src` as lencase.at gives them. "string": up to
--- and with the NUL, which must be among `len` bytes.
---@param dest lencase.pointer
---@param src lencase.pointer
---@param len integer
---@param type? "bytes"|"string"
---@return integer n the number of bytes, or -1
---@return integer? errno
function lencase.copy_data_between_cages(dest, src, len, type)
  return threei.copy_data_between_cages(dest, src, len, type)
end

---@class lencase.pointer an address in a cage's memory: sys.write(1, lencase.at(cage, addr), n)
---@field cage integer the id
---@field addr integer

--- A pointer into a cage's memory. As an argument of sys.NAME, what it points to is brought over
--- into the memory of the cage that the call acts for, and what the call fills is taken back.
---@param cage lencase.cage|integer
---@param addr integer
---@return lencase.pointer
function lencase.at(cage, addr) return core.at(cage, addr) end

--- Makes a call on behalf of `cage`, which may be another than the calling cage: sys.NAME(...) for it.
--- nil is the calling cage's own argument, copied there. On the trace host a call is carried out
--- for the calling cage only: EOPNOTSUPP for another.
---@param cage lencase.cage|integer
---@param call string|integer
---@param ... any
---@return integer result
---@return integer? errno
function lencase.make_call(cage, call, ...)
  local fn = install.sys[call]
  core.target(cage)
  return fn(...)
end

-- }==========================================================================

--- An output of the script, opened when it is loaded: `out:write(...)`. What cannot be written
--- is reported once, with the file and the errno, and is no error in the handler; lencase run ends with 125 then.
---@param path string? a file; standard error without it
---@return lencase.output.file
function lencase.output(path) return output.open(path) end

--- The name of a callnum: 1 -> "write".
---@param nr integer
---@return string
function lencase.callname(nr) return core.callname(nr) end

--- The number of a call: "write" -> 1; nil for a name that no call has.
---@param name string
---@return integer?
function lencase.callnum(name) return core.callnum(name) end

local function unknown(key)
  local names = { "cage" }
  for name in pairs(lencase) do table.insert(names, name) end
  table.sort(names)
  error(("there is no lencase.%s%s"):format(tostring(key), parsing.did_you_mean(tostring(key), names)), 3)
end

return setmetatable(lencase, {
  -- A policy that is misspelt must not become nil, which would be the default.
  __index = function(_, key)
    if key ~= "cage" then unknown(key) end
    local cage = core.cage and core.cage()
    if not cage then error("lencase.cage can be used in a handler only: it is the calling cage", 2) end
    return cage
  end,
})
