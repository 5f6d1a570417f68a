-- try.lua - lencase try: what grates decide about the calls of a recording

local core = require "lencase.core"
local options = require "lencase.cli.options"
local shell = require "lencase.cli.shell"
local stacks = require "lencase.cli.stacks"

local command = { name = "try", misuse = shell.MISUSED,
                  brief = "Show which calls of a recording the grates decide differently." }

function command.declare(c)
  c:usage("Usage: lencase try [options] GRATE.lua [arguments] [GRATE.lua [arguments]]... [--] RECORDING")
  c:flag("--json", "Print a list of objects with file, line, n, cage, call, recorded, now, and note.")
  options.add_bounds(c)
  options.add_debug(c)
  c:argument("words"):args("*"):hidden(true)
  c:epilog([[
RECORDING, the last word, is what lencase run --record wrote, or record "FILE" at the prompt. The
grates are a stack as under lencase run, in simulated cages; no program runs. Each call that is
now decided differently is shown: RECORDING:LINE: call: recorded ..., now .... A call can be let
through, made with other arguments, or answered without a call; other calls can be made, another
result returned, other bytes filled in.

The recording stands in for the kernel: a call that equals one recorded for the same call gets its
answer and its bytes, one that differs only in its arguments gets the recorded answer, and any
other ENOSYS. Differences that follow from an answer that the recording does not have are
reported, but do not count. Only calls that the recorded grates handled are in a recording: with
strace.lua all are. What scripts do to files by io and os, they do; what they print goes to
standard error.

The exit status is 0 when all calls are decided as before, 1 when not, and 2 when nothing could be
tried: a wrong command line, a script that does not load, a file that is not a recording or is
damaged.]])
end

-- The recording is the last word, also when the last grate has arguments.
function command.split(words, c)
  local ours, i = options.split(c, words)
  local before, behind = stacks.split_program(words, i)
  if not behind then behind = { table.remove(before) } end
  return ours, (stacks.split(before, 1)), behind
end

local function try_line(rec, call, now, why)
  local decision, replay = require "lencase.tools.decision", require "lencase.tools.replay"
  local note = now and replay.note(call, now) or ""
  return { file = rec.path, line = call.line, n = call.n, cage = call.cage, call = decision.call(call),
           recorded = decision.text(call), now = now and decision.text(now) or "not tried: " .. why, note = note }
end

local function try_text(line)
  local note = line.note ~= "" and " (" .. line.note .. ")" or ""
  return ("%s:%d: %s: recorded %s, now %s%s"):format(line.file, line.line, line.call, line.recorded, line.now, note)
end

local KEYS = { "file", "line", "n", "cage", "call", "recorded", "now", "note" }

-- Calls that the grates handle, and that no grate handled when the recording was made.
local function warn_of_calls(state, rec)
  local recorded, list = {}, {}
  for _, name in ipairs(rec.header.calls or {}) do recorded[name] = true end
  for _, name in ipairs(stacks.handled_calls(state)) do
    if not recorded[name] then table.insert(list, name) end
  end
  if rec.header.calls and #list > 0 then
    shell.say("not in the recording, since no grate handled them when it was made: %s",
      table.concat(list, ", "))
  end
end

local function same_scripts(stack, rec)
  local now, then_ = stacks.described(stack), rec.header.scripts or {}
  for i, script in ipairs(now) do
    local other = then_[i] or {}
    if script.hash ~= other.hash or table.concat(script.args, "\0") ~= table.concat(other.args or {}, "\0") then
      return false
    end
  end
  return #now == #then_
end

local function tell_counts(counts, stack, rec)
  local scripts = same_scripts(stack, rec) and ", by the same scripts that were recorded" or ""
  local untried = counts.untried > 0 and (", %d not tried"):format(counts.untried) or ""
  local unknown = counts.unknown > 0 and (", %d with an answer that the recording does not have"):format(counts.unknown)
  shell.say("%d calls tried%s: %d decided differently%s%s", counts.tried, scripts, counts.differing, unknown or "",
    untried)
  if rec.ended.full then
    shell.say("the recording reached its limit of %s: it is not the whole run", rec.ended.full)
  end
end

local function show_tried(args, out, lines)
  local texts = {}
  for i, line in ipairs(lines) do texts[i] = try_text(line) .. "\n" end
  local ok, why = out:write(args.json and require "lencase.tools.json".lines(lines, KEYS) or table.concat(texts))
  if ok then ok, why = out:close() end
  if not ok then shell.give_up(shell.MISUSED, "standard output: %s", why) end
end

function command.run(args, stack, behind)
  if #stack == 0 or #behind ~= 1 then
    shell.give_up(shell.MISUSED,
      "expected a script and a recording: lencase try GRATE.lua RECORDING (see lencase try --help)")
  end
  local ok, rec = pcall(require "lencase.tools.recording".read, behind[1])
  if not ok then shell.give_up(shell.MISUSED, "%s", rec) end
  local out, lines = core.stdout_aside(), {}
  local state = stacks.new_state(args)
  stacks.load(state, stack)
  warn_of_calls(state, rec)
  if not state:start() then shell.leave(shell.MISUSED) end -- on_start's error has been reported
  local fine, counts = pcall(require "lencase.tools.replay".run, rec, {
    sim = function(sim) return state:sim(sim) end,
    record = function(f, limit) state:record(f, limit) end,
    each = function(call, now, differs, why)
      if not now or differs then table.insert(lines, try_line(rec, call, now, why)) end
    end,
  })
  if not fine then shell.give_up(shell.MISUSED, "%s: %s", rec.path, counts) end
  state:finish(0)
  state:close()
  show_tried(args, out, lines)
  tell_counts(counts, stack, rec)
  shell.leave(#lines > 0 and shell.FOUND or 0)
end

return command
