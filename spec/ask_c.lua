-- ask_c.lua - what C's own compiler says: facts for specs that hold Lua's against the headers

--- The values of integer expressions.
---@param includes string[] '<fcntl.h>' or '"lencase.h"'
---@param questions string[][] { key, expression }
---@return table<string, integer> answers by key
local function ask_c(includes, questions)
  local base = os.tmpname()
  local f = assert(io.open(base .. ".c", "w"))
  f:write "#define _GNU_SOURCE\n#include <stddef.h>\n#include <stdio.h>\n"
  for _, header in ipairs(includes) do f:write(("#include %s\n"):format(header)) end
  f:write "int main(void) {\n"
  for _, q in ipairs(questions) do
    f:write(('  printf("%%s=%%lld\\n", "%s", (long long)(%s));\n'):format(q[1], q[2]))
  end
  f:write "}\n"
  f:close()
  assert(os.execute(("gcc -Icore -o %s.out %s.c"):format(base, base)))
  local answers = {}
  local out = assert(io.popen(base .. ".out"))
  for line in out:lines() do
    local key, value = line:match "^(.*)=(%-?%d+)$"
    answers[key] = math.tointeger(value)
  end
  assert(out:close())
  for _, ending in ipairs { "", ".c", ".out" } do os.remove(base .. ending) end
  return answers
end

return ask_c
