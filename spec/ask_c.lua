-- ask_c.lua - what C's own compiler says: facts for specs that compare Lua's data with the headers

local support = require "spec.support"

--- The values of integer expressions.
---@param includes string[] '<fcntl.h>' or '"lencase.h"'
---@param questions string[][] { key, expression }
---@return table<string, integer> answers by key
local function ask_c(includes, questions)
  local text = { "#define _GNU_SOURCE\n#include <stddef.h>\n#include <stdio.h>" }
  for _, header in ipairs(includes) do table.insert(text, "#include " .. header) end
  table.insert(text, "int main(void) {")
  for _, q in ipairs(questions) do
    table.insert(text, ('  printf("%%s=%%lld\\n", "%s", (long long)(%s));'):format(q[1], q[2]))
  end
  table.insert(text, "}\n")
  local answers = {}
  support.in_folder(function(dir)
    support.write_file(dir .. "/ask.c", table.concat(text, "\n"))
    local out, err, status = support.sh(("gcc -Icore -o %s/ask %s/ask.c && %s/ask"):format(dir, dir, dir))
    assert(status == 0, err)
    for key, value in out:gmatch "([^\n]*)=(%-?%d+)\n" do answers[key] = math.tointeger(value) end
  end)
  return answers
end

return ask_c
