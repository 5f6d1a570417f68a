-- plan.lua - lencase plan: what a policy means

local core = require "lencase.core"
local parsing = require "lencase.parsing"
local policy = require "lencase.policy"
local shell = require "lencase.cli.shell"

local command = { name = "plan", brief = "Show the steps that a policy means for a call." }

function command.declare(c)
  c:argument("call", "The call's name or number.")
  c:option("-p --policy", "COPY_ALL_ARGS, PASS_THROUGH_POINTERS, 'PASS(2)|ONCE(1)', 'pass buf', ...")
      :default "COPY_ALL_ARGS"
end

local constants = { COPY_ALL_ARGS = policy.COPY_ALL_ARGS, PASS_THROUGH_POINTERS = policy.PASS_THROUGH_POINTERS,
                    PASS_THROUGH_ALL = policy.PASS_THROUGH_ALL, COPY = policy.COPY, PASS = policy.PASS,
                    ADDR = policy.ADDR, ONCE = policy.ONCE }

-- A policy as a script writes it: an expression of the constants, or by name.
local function read_policy(text, described)
  local chunk = text:find("^[%u_%d%s|&~()]+$") and load("return " .. text, "policy", "t", constants)
  local ok, value = pcall(chunk or error)
  if chunk and ok and math.type(value) == "integer" then return value end
  if chunk and not ok then shell.give_up(shell.FAILED, "policy '%s': %s", text, value) end
  local mask, message = policy.parse(text, described)
  return mask or shell.give_up(shell.FAILED, "policy '%s': %s", text, message)
end

function command.run(args)
  local nr = math.tointeger(tonumber(args.call)) or core.callnum(args.call)
  local described = nr and core.describe(nr)
  if not nr then
    shell.give_up(shell.FAILED, "unknown call '%s'%s", args.call, parsing.did_you_mean(args.call, core.names()))
  end
  if not described then
    shell.give_up(shell.FAILED, "%s has no signature: its handler sees six integers", core.callname(nr))
  end
  local mask = read_policy(args.policy, described)
  local text, message = core.plan(nr, mask)
  if not text then shell.give_up(shell.FAILED, "%s", message) end
  shell.put(described.prototype, "\n", text)
end

return command
