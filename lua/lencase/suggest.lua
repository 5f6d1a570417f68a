-- suggest.lua - "did you mean": the word of a list that is nearest to a misspelt one

--- One row of the edit distance's table from the row above it.
---@param above integer[] row of the previous letter, from index 0
---@param two_above integer[]? the row before that, for swapped letters
local function next_row(above, two_above, a, i, b)
  local row = { [0] = i }
  for j = 1, #b do
    local same = a:byte(i) == b:byte(j)
    row[j] = math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (same and 0 or 1))
    local swapped = two_above and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j)
    if swapped then row[j] = math.min(row[j], two_above[j - 2] + 1) end
  end
  return row
end

--- How many letters must be inserted, left out, replaced or swapped with their neighbour.
local function distance(a, b)
  local two_above, above = nil, {}
  for j = 0, #b do above[j] = j end
  for i = 1, #a do
    two_above, above = above, next_row(above, two_above, a, i, b)
  end
  return above[#b]
end

--- The word of `list` that `word` was probably meant to be; nil when none is near.
--- Of equally near ones the first in the list.
---@param word string
---@param list string[]
---@return string?
local function suggest(word, list)
  local best, least = nil, math.max(1, #word // 3) + 1
  for _, candidate in ipairs(list) do
    local d = distance(word:lower(), candidate:lower())
    if d < least and d < #candidate then best, least = candidate, d end
  end
  return best
end

return suggest
