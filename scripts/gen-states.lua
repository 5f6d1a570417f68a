#!/usr/bin/env lua5.4
-- gen-states.lua - the states of a traced thread, and which stop may come in each, for core/README.md
--
--   lua5.4 scripts/gen-states.lua            prints the page with the list as the sources have it now
--
-- What a state is is told by enum thread_state in core/host/trace/trace_int.h, what a stop means in it by the table
-- on_stop in core/host/trace/stop.c. The list stands between two marks in the page; all else of it stays.

local lpeg = require "lpeg"

local P, R, S, C, Ct = lpeg.P, lpeg.R, lpeg.S, lpeg.C, lpeg.Ct

local here = arg[0]:match "^(.*)/[^/]*$" or "."
local WIDTH = 118

local function contents(path)
  local file <close> = assert(io.open(here .. "/../" .. path, "rb"))
  return file:read "a"
end

-- {================================ the sources =============================

local space = S " \n" ^ 0
local name = (R("az", "AZ", "09") + "_") ^ 1

-- { { "NEW", "its first stop is yet to come" }, ... } in the order of the enum.
local function states_of(text)
  local body = assert(text:match "enum thread_state {(.-)\n};")
  local comment = P "/* " * C((1 - P " */") ^ 1) * " */"
  local state = Ct(space * "THREAD_" * C(name) * "," * space * comment)
  return assert((Ct(state ^ 1) * space * "THREAD_STATES" * -1):match(body), "enum thread_state: not as it was")
end

-- The kinds of stops, in the order of a row, and for each state the functions of its row.
local function table_of(text)
  local kinds = Ct((C(R "az" ^ 1) * S ", " ^ 0) ^ 1):match((assert(text:match "#define ROW%((.-)%)")))
  local entry = P "ROW(" * Ct((space * C(name) * S "," ^ -1) ^ 1) * ")"
  local row = Ct(space * "[THREAD_" * C(name) * "]" * space * "=" * space * entry * ",")
  local rows = {}
  local body = assert(text:match "on_stop%[THREAD_STATES%]%[STOP_KINDS%] = {\n[^\n]*\n(.-)};")
  for _, r in ipairs(assert((Ct(row ^ 1) * space * -1):match(body), "on_stop: not as it was")) do rows[r[1]] = r[2] end
  return kinds, rows
end

-- }==========================================================================

-- A line of a list, and the lines that it goes on in.
local function wrapped(text)
  local lines, line = {}, "-"
  for word in text:gmatch "%S+" do
    if #line + 1 + #word > WIDTH then
      table.insert(lines, line)
      line = " "
    end
    line = line .. " " .. word
  end
  table.insert(lines, line)
  return table.concat(lines, "\n")
end

local function list()
  local kinds, rows = table_of(contents "core/host/trace/stop.c")
  local items = {}
  for i, state in ipairs(states_of(contents "core/host/trace/trace_int.h")) do
    local may = {}
    for k, fn in ipairs(assert(rows[state[1]], state[1])) do
      if fn ~= "cannot" then table.insert(may, ("%s `%s`"):format(kinds[k], fn)) end
    end
    items[i] = wrapped(("**%s** (%s): %s"):format(state[1], state[2],
      #may > 0 and table.concat(may, ", ") or "no stop"))
  end
  return table.concat(items, "\n")
end

local before, after = contents("core/README.md"):match "^(.-<!%-%- states %-%->\n).-(\n<!%-%- end of states %-%->.*)$"
io.write(assert(before, "core/README.md has no marks"), "\n", list(), "\n", after)
