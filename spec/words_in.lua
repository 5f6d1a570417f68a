-- "a,b" -> { "a", "b" }

return function(text)
  local list = {}
  for word in text:gmatch "[^,]+" do table.insert(list, word) end
  return list
end
