-- report.lua - what differed, as text: by kinds, each with one call that shows it and how to make it again

local outcome = require "spec.identity.outcome"

local report = {}

local function result_kind(o)
  if o.ended ~= "exit0" then return (o.ended:gsub("^exit%d+$", "exit")) end
  local n = math.tointeger(o.result)
  if n and n <= 0 and n >= -4095 then return outcome.result_text(o) end
  return n and "a value" or "no return"
end

--- What a difference is: "EINVAL -> EFAULT", "memory", "effects".
---@param d identity.difference
---@return string
function report.kind(d)
  local a, b = result_kind(d.native), result_kind(d.ours)
  if a ~= b then return a .. " -> " .. b end
  return table.concat(d.ways, ", ")
end

--- One difference with all that is needed to find its cause.
---@param d identity.difference
---@param seed integer
---@param names? string[]
---@return string
function report.text(d, seed, names)
  local list = {
    ("%s(%s)%s"):format(d.call.name, table.concat(d.call.arguments, ", "),
      #d.call.shape > 0 and "  -- " .. table.concat(d.call.shape, "; ") or ""),
    "  native   " .. outcome.text(d.native),
    "  lencase  " .. outcome.text(d.ours),
    ("  differ: %s%s; again: lua5.4 spec/identity/run.lua --seed %d --only %d%s --host %s --style %s"):format(
      table.concat(d.ways, ", "), d.sometimes and " (now and then)" or "", seed, d.call.index,
      names and " --call " .. table.concat(names, ",") or "", d.run.host, d.run.style),
  }
  return table.concat(list, "\n")
end

local function groups_of(differences, key_of)
  local by_key, list = {}, {}
  for _, d in ipairs(differences) do
    local key = key_of(d)
    if not by_key[key] then
      by_key[key] = { key = key }
      table.insert(list, by_key[key])
    end
    table.insert(by_key[key], d)
  end
  table.sort(list, function(a, b)
    if #a ~= #b then return #a > #b end
    return a.key < b.key
  end)
  return list
end

-- The names in a group with how often each is there.
local function counted(group, name_of)
  local list = {}
  for _, sub in ipairs(groups_of(group, name_of)) do
    table.insert(list, #sub > 1 and sub.key .. " " .. #sub or sub.key)
  end
  return table.concat(list, ", ")
end

-- What is odd about a call's arguments, without their names.
local function shape_of(d)
  local list = {}
  for _, odd in ipairs(d.call.shape) do
    if not odd:find "^in a" and not odd:find "^with" and not odd:find "^beside" then
      table.insert(list, (odd:gsub("^%S+ ", "")))
    end
  end
  table.sort(list)
  return #list > 0 and table.concat(list, "+") or "nothing odd"
end

--- All of a comparison's differences, by kind, the most frequent first.
---@param found { differences: identity.difference[], calls: integer }
---@param seed integer
---@param names? string[]
---@return string
function report.all(found, seed, names)
  local steady, list = {}, {}
  for _, d in ipairs(found.differences) do
    if not d.unsteady then table.insert(steady, d) end
  end
  for _, group in ipairs(groups_of(steady, report.kind)) do
    table.insert(list, ("== %s: %d  (%s)\n   %s\n   %s"):format(group.key, #group,
      counted(group, function(d)
        return d.run.host .. " " .. d.run.style
      end), counted(group, function(d) return d.call.name end),
      counted(group, shape_of)))
    table.insert(list, report.text(group[1], seed, names))
  end
  for _, d in ipairs(found.differences) do
    if d.unsteady then table.insert(list, "-- not the same each time natively: " .. report.text(d, seed, names)) end
  end
  table.insert(list, ("%d calls, %d differ, %d more are not the same each time natively"):format(found.calls, #steady,
    #found.differences - #steady))
  return table.concat(list, "\n")
end

local function names_of(group)
  local list = {}
  for _, sub in ipairs(groups_of(group, function(d) return d.call.name end)) do table.insert(list, sub.key) end
  table.sort(list)
  return table.concat(list, " ")
end

--- The rows that known.lua would have for what differs each time: '{ "EINVAL -> EFAULT", "access open" },'.
---@param differences identity.difference[]
---@return string
function report.rows(differences)
  local steady, list = {}, {}
  for _, d in ipairs(differences) do
    if not d.unsteady and not d.sometimes then table.insert(steady, d) end
  end
  for _, on_host in ipairs(groups_of(steady, function(d) return d.run.host end)) do
    table.insert(list, "hosts = " .. on_host.key)
    for _, group in ipairs(groups_of(on_host, report.kind)) do
      table.insert(list, ("    { %q, %q },"):format(group.key, names_of(group)))
    end
  end
  return table.concat(list, "\n")
end

return report
