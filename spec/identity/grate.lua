-- grate.lua - forwards every call that has a signature, unchanged
--
--   lencase run spec/identity/grate.lua STYLE -- PROGRAM
--
--   copy       each kernel call has a handler, all that it points to is copied, and forwarded
--   pass       the same with nothing copied
--   through    all is copied, and the handlers return nothing
--   families   as copy, but a family's first call has the handler for all of its members

local lencase = require "lencase"
local core = require "lencase.core"

local style = ...
local FIRST_THREEI = 1001

-- Calls that another one's handler sees, if that has the whole family.
local function members()
  local set = {}
  for _, name in ipairs(core.names()) do
    local nr = core.callnum(name)
    for _, member in ipairs(core.members(nr)) do
      if member ~= nr then set[member] = true end
    end
  end
  return set
end

local function handing_on(name)
  return function(...) return lencase.sys[name](...) end
end

local function nothing() end

local policy = style == "pass" and lencase.PASS_THROUGH_POINTERS or lencase.COPY_ALL_ARGS
local exact = style ~= "families"
local seen_elsewhere = exact and {} or members()
local interface = {}
for _, name in ipairs(core.names()) do
  local nr = core.callnum(name)
  if core.describe(nr) and nr < FIRST_THREEI and not seen_elsewhere[nr] then
    interface[name] = { policy, style == "through" and nothing or handing_on(name), exact = exact }
  end
end
return lencase.grate(interface)
