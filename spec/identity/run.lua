-- run.lua - makes odd calls natively and under a grate that forwards them all, and shows what differs
--
--   lua5.4 spec/identity/run.lua [--seed N] [--first N] [--calls N] [--only INDEX] [--call NAME,...]
--                                [--host HOST,...] [--style STYLE,...] [--all] [--rows]
--
-- Hosts are trace and inline, styles copy, pass, through and families (spec/identity/grate.lua); all by
-- default. Calls are made by seed and index: 1000 of seed 1, from index 1. With --all each difference is
-- shown, else one of each kind; with --rows what known.lua would have of them. The status is 1 when
-- something differs that known.lua does not list.

package.path = "lua/?.lua;lua/?/init.lua;./?.lua;./?/init.lua;" .. package.path
package.cpath = (os.getenv "LENCASE_BUILD" or "build") .. "/?.so;" .. package.cpath

local identity = require "spec.identity"
local known = require "spec.identity.known"
local report = require "spec.identity.report"

local words_in = require "spec.words_in"
local parser = require "argparse" "spec/identity/run.lua"
parser:option("--seed"):convert(math.tointeger):default "1"
parser:option("--first"):convert(math.tointeger):default "1"
parser:option("--calls"):convert(math.tointeger):default "1000"
parser:option("--only"):convert(math.tointeger)
parser:option("--call"):convert(words_in)
parser:option("--host"):convert(words_in):default "trace,inline"
parser:option("--style"):convert(words_in):default(table.concat(identity.styles, ","))
parser:flag "--all"
parser:flag "--rows"
local options = parser:parse()

local missing = identity.missing()
if missing then
  io.stderr:write(missing, "\n")
  os.exit(77)
end

local names, seed = options.call, options.seed
local first = options.only or options.first
local runs = {}
for _, host in ipairs(options.host) do
  for _, style in ipairs(options.style) do table.insert(runs, { host = host, style = style }) end
end
local found = identity.compare { seed = seed, first = first,
                                 last = options.only and first or first + options.calls - 1,
                                 names = names, runs = runs, seconds = 3600 }
if options.all then
  for _, d in ipairs(found.differences) do print(report.text(d, seed, names)) end
end
if options.rows then print(report.rows(found.differences)) end
print(report.all(found, seed, names))
for run, messages in pairs(found.said) do
  local _, n = messages:gsub("\n", "")
  print(("messages of lencase, %s: %d lines"):format(run, n))
end
local new = known.sort(found.differences)
print(("%d calls of seed %d from %d on, %d differ in a way that known.lua does not list")
  :format(found.calls, seed, first, #new))
os.exit(#new == 0)
