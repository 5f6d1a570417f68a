-- check-columns.lua - no line of C, comments included, is longer than 100 columns
--
--   lua5.4 scripts/check-columns.lua FILE...
--
-- clang-format limits code and leaves comments as they are. Tables between its "off" and "on"
-- may be wider. Each violation is a line "file:line: columns"; the exit status is 1 when there
-- are any.

local COLUMNS = 100

local ok = true
for _, file in ipairs(arg) do
  local n, wide = 0, false
  for line in io.lines(file) do
    n = n + 1
    if line:find("clang-format off", 1, true) then wide = true end
    if line:find("clang-format on", 1, true) then wide = false end
    local columns = utf8.len(line) or #line
    if columns > COLUMNS and not wide then
      print(("%s:%d: %d columns"):format(file, n, columns))
      ok = false
    end
  end
end
os.exit(ok)
