-- namespace.lua - starts programs that must not affect the machine: in new namespaces of all kinds, as an ordinary user
--
--   timeout 60 NAMESPACES COMMAND...           root of them
--   timeout 60 NAMESPACES sh -c '... USER COMMAND...'
--
-- The user that starts it owns the ordinary user's files: nothing has to be made readable for it. Processes that
-- are left when COMMAND ends are ended with it.

local support = require "spec.support"

local namespace = {}

local NEW = "--mount --uts --ipc --net --pid --fork --kill-child --mount-proc "

--- Whether root starts them: only then are there other users inside.
namespace.of_root = (support.sh "id -u"):find "^0" ~= nil

-- Descriptors that the session left open would be the program's; a number of two digits needs bash.
local CLEAN =
  [[bash -c 'for fd in /proc/self/fd/*; do fd=${fd##*/}; [ $fd -le 2 ] || eval "exec $fd>&-"; done; exec "$@"' bash ]]

--- Before a command that is to be root of new namespaces.
namespace.start = CLEAN .. "unshare " .. (namespace.of_root and "" or "--user --map-root-user ") .. NEW

--- Before a command that is to be the ordinary user `id` there.
---@param id integer
---@return string
function namespace.as_user(id) return ("unshare --user --map-user=%d --map-group=%d "):format(id, id) end

--- Why there are none here; nil: there are.
---@return string?
function namespace.missing()
  local _, err, status = support.sh(namespace.start .. namespace.as_user(1000) .. "true")
  if status ~= 0 then return "no namespaces here: " .. err end
end

return namespace
