-- The file "secret" cannot be opened, by any call.

local lencase = require "lencase"
local sys = lencase.sys

return lencase.grate {
  openat = { "copy pathname", exact = true, function(dirfd, pathname, flags, mode)
    if pathname == "secret" then return lencase.fail "EACCES" end
    return sys.openat(dirfd, pathname, flags, mode)
  end },
  open = { "copy pathname", exact = true, function(pathname, flags, mode)
    if pathname == "secret" then return lencase.fail "EACCES" end
    return sys.open(pathname, flags, mode)
  end },
  rt_sigreturn = function()
    sys.getpid()
    return sys.rt_sigreturn()
  end,
}
