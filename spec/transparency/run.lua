-- run.lua - runs real programs natively and under a grate that forwards every call, and prints what differs
--
--   lua5.4 spec/transparency/run.lua [--jobs NAME,...] [--hosts trace,inline] [--verbose] [--show]
--   lua5.4 spec/transparency/run.lua --packages     those of the jobs whose programs are not here
--
-- A line for each job and host: same, differs, skipped; the last one is `N passed, N failed[, N skipped]`. With
-- --verbose all lines that differ are shown, "<" natively and ">" under lencase, else the first one; with --show all
-- that is compared.

package.path = "lua/?.lua;lua/?/init.lua;./?.lua;./?/init.lua;" .. package.path
package.cpath = (os.getenv "LENCASE_BUILD" or "build") .. "/?.so;" .. package.cpath
io.stdout:setvbuf "line"

local jobs = require "spec.transparency.jobs"
local namespace = require "spec.namespace"
local transparency = require "spec.transparency"

local words_in = require "spec.words_in"
local parser = require "argparse" "spec/transparency/run.lua"
parser:option("--jobs"):convert(words_in)
parser:option("--hosts"):convert(words_in):default(table.concat(transparency.hosts, ","))
parser:flag "--verbose"
parser:flag "--show"
parser:flag "--packages"
local options = parser:parse()

if options.packages then
  for _, job in ipairs(jobs) do
    if transparency.missing(job) then print(job.package or job.needs) end
  end
  os.exit(true)
end

local chosen = jobs
if options.jobs then
  local by_name = {}
  for _, job in ipairs(jobs) do by_name[job.name] = job end
  chosen = {}
  for _, name in ipairs(options.jobs) do table.insert(chosen, by_name[name] or error("no such job: " .. name)) end
end

-- How a job went on a host, in a word and what there is to say of it.
local function verdict(result)
  if result.unusable then return "failed", result.unusable end
  if #result.new > 0 then
    return "differs", options.verbose and "\n  " .. table.concat(result.new, "\n  ") or result.new[1]
  end
  if #result.left_over > 0 then
    return "differs", "no longer, as jobs.lua has it: " .. table.concat(result.left_over, "; ")
  end
  if result.again then return "same", "(at the second attempt; before: " .. result.again[1] .. ")" end
  if #result.known > 0 then return "same", "(but for: " .. table.concat(result.known, "; ") .. ")" end
  return "same", ""
end

local passed, failed, skipped = 0, 0, {}
local nowhere = namespace.missing()
for _, job in ipairs(chosen) do
  local missing = nowhere or transparency.missing(job)
  if missing then
    print(("skipped  %s: %s"):format(job.name, missing))
    table.insert(skipped, ("%s (%s)"):format(job.name, missing))
  else
    local results = transparency.try(job, options.hosts)
    if options.show then print(results[1].native) end
    for _, result in ipairs(results) do
      local word, text = verdict(result)
      if word == "same" then passed = passed + 1 else failed = failed + 1 end
      print(("%-8s %s, %s %s"):format(word, job.name, result.host or "not run", text))
    end
  end
end
if #skipped > 0 then print("left out: " .. table.concat(skipped, "; ")) end
print(("%d passed, %d failed%s"):format(passed, failed, #skipped > 0 and (", %d skipped"):format(#skipped) or ""))
os.exit(failed == 0)
