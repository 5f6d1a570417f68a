-- threei.lua - 3i's calls as Lua makes them, the same on every host: the form of spec/stacks.lua

local E = setmetatable({}, {
  __index = function(_, name) return tostring(-require("lencase").errno[name]) end,
})

local OPEN = "open @DIR/f 0x42 0600"
local SLEEPING = [[return lencase.grate { registered = false, getpid = function() return 7 end,
  on_cage = function(cage) %s end }]]

return {
  {
    name = "what is not registered handles nothing",
    stack = { SLEEPING:format "", "return lencase.grate { getpid = function() return sys.getpid() * 0 + 5 end }" },
    calls = { "getpid" },
    report = { "5" },
  },
  {
    name = "a grate registers for the cages that it chooses",
    stack = { SLEEPING:format "assert(lencase.register_handler(cage, 'getpid') == 0)" },
    calls = { "getpid" },
    report = { "7" },
  },
  {
    name = "all that it handles at once, with the family",
    stack = { [[return lencase.grate { registered = false, getpid = function() return 7 end, unlink = fail "EROFS",
      on_cage = function(cage) assert(lencase.register_handler(cage, lencase.MATCH_ALL) == 0) end }]] },
    calls = { "getpid", "unlink @/x", "unlinkat -100 @/x 0" },
    report = { "7", E.EROFS, E.EROFS },
  },
  {
    name = "deregistered in a handler, the next call goes by",
    stack = { "return lencase.grate { getppid = function() return 5 end }",
              [[return lencase.grate { getppid = function()
                  assert(lencase.deregister_handler(lencase.cage, "getppid") == 0)
                  return 6
                end }]] },
    calls = { "getppid", "getppid" },
    report = { "6", "5" },
  },
  {
    name = "another grate's route is replaced when that is asked for",
    stack = { [[local replaced
                return lencase.grate { getppid = function() return 5 end, getpid = function()
                  local n, errno = lencase.register_handler(lencase.cage, "getppid", replaced)
                  replaced = "replace"
                  return n, errno
                end }]],
              "return lencase.grate { getppid = function() return 6 end }" },
    calls = { "getpid", "getppid", "getpid", "getppid" },
    report = { E.EEXIST, "6", "0", "5" },
  },
  {
    name = "a grate below stands in for register_handler, in on_cage too",
    stack = { [[return lencase.grate { register_handler = function(targetcage, callnum, flags, grate)
                  assert(targetcage > 0 and lencase.callname(callnum) == "getpid" and flags == 0 and grate > 0)
                  return fail "EPERM"
                end }]],
              [[local first
                return lencase.grate {
                  on_cage = function(cage) first = table.pack(lencase.register_handler(cage, "getpid")) end,
                  getpid = function() return first[1] == -1 and first[2] end,
                  getppid = function() return lencase.deregister_handler(lencase.cage, "getpid") end }]] },
    calls = { "getpid", "getppid" },
    report = { E.EPERM:sub(2), E.EIO },
    log = { "grate1.lua:%d+: assertion failed" }, -- its flags are others
  },
  {
    name = "a program cannot make 3i's calls",
    unfiltered = true, -- a container's profile says EPERM first
    stack = { "return lencase.grate { getppid = function() return 5 end }" },
    calls = { "register_handler 1 110 2 0", "copy_data_between_cages 0 1 0 1 0 0", "copy_handler_table_to_cage 1 1 0",
              "getppid" },
    report = { E.ENOSYS, E.ENOSYS, E.ENOSYS, "5" },
  },
  {
    name = "unless a grate stands in for them",
    unfiltered = true,
    stack = { [[return lencase.grate { getppid = function() return 5 end,
                  register_handler = function(_, callnum)
                    return lencase.deregister_handler(lencase.cage, callnum) end }]],
              "return lencase.grate { getppid = function() return 6 end }" },
    calls = { "register_handler 1 110 2 0", "getppid" },
    report = { "0", "6" },
  },
  {
    name = "bytes are copied within and between cages",
    stack = { [[local addr
                return lencase.grate {
                  write = { "addr buf", function(fd, buf, count)
                    addr = lencase.at(lencase.cage, buf)
                    return sys.write(fd, nil, count)
                  end },
                  pread64 = { "addr buf", function(_, buf, count)
                    return lencase.copy_data_between_cages(lencase.at(lencase.cage, buf), addr, count, "string")
                  end } }]] },
    calls = { OPEN, "write =1 @hello 5", "pread64 =1 %9 9 0", "pread64 =1 %9 5 0" },
    report = { "3", "5", "6 [hello]", E.EFAULT .. " []" },
  },
  {
    name = "make_call acts for the cage that calls, with pointers into it",
    stack = { [[return lencase.grate { write = { "addr buf", function(fd, buf, count)
                  return lencase.make_call(lencase.cage, "write", fd, lencase.at(lencase.cage, buf), count - 1)
                end } }]] },
    calls = { OPEN, "write =1 @hello 5", "pread64 =1 %9 9 0" },
    report = { "3", "4", "4 [hell]" },
  },
  {
    name = "what is wrong with the arguments is an error with its place",
    script = [[return lencase.grate { getppid = function()
      lencase.register_handler(lencase.cage, "getpit")
    end }]],
    calls = { "getppid" },
    report = { E.EIO },
    log = { "grate.lua:%d+: unknown call 'getpit' .did you mean 'getpid'" },
  },
}
