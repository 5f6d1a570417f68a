-- check-columns.lua - no line is too long: 100 columns in C, 120 in Lua and Markdown, comments included
--
--   lua5.4 scripts/check-columns.lua FILE...
--
-- *.c, *.h and *.S are C, *.md are Markdown, all other files are Lua. A column is a character of UTF-8. What cannot be
-- broken may be longer:
--
--   C          tables between "clang-format off" and "clang-format on"
--   Lua        lines inside a [[...]] text: they are a program or output in another language
--   Markdown   rows of tables, code blocks, and a line without spaces but those before it: an address
--
-- Each violation is a line "file:line: columns"; the exit status is 1 when there are any.

-- Each gets a line and what it returned for the line before, and returns true, or a mark of its own, while lines may
-- be long.
local may_be_long = {}

function may_be_long.c(line, before)
  if line:find("clang-format off", 1, true) then return true end
  return before and not line:find("clang-format on", 1, true)
end

-- The mark is what ends the text, as in "]=]"; `long` is whether this line began in it.
function may_be_long.lua(line, before)
  local at, mark, long = 1, before and before.mark, before and before.mark ~= nil
  while true do
    local _, stop, level = line:find(mark or "%[(=*)%[", at)
    if not stop then return { mark = mark, long = long } end
    mark = not mark and "%]" .. level .. "%]" or nil
    at = stop + 1
  end
end

function may_be_long.md(line, before)
  local fenced = before and before.fenced
  if line:find "^%s*```" then return { fenced = not fenced, long = true } end
  return { fenced = fenced, long = fenced or line:find "^%s*|" or not line:find "%S%s+%S" }
end

local LIMITS = { c = 100, md = 120, lua = 120 }

local ok = true
for _, file in ipairs(arg) do
  local kind = file:match "%.(%w+)$"
  kind = (kind == "h" or kind == "S") and "c" or LIMITS[kind] and kind or "lua"
  local n, long = 0, nil
  for line in io.lines(file) do
    n = n + 1
    long = may_be_long[kind](line, long)
    local is_long = type(long) == "table" and long.long or long == true
    local columns = utf8.len(line) or #line
    if columns > LIMITS[kind] and not is_long then
      print(("%s:%d: %d columns"):format(file, n, columns))
      ok = false
    end
  end
end
os.exit(ok)
