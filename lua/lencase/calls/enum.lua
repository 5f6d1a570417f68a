-- enum.lua - the enums of core/signature.h, by the same names
--
-- spec/signature_spec.lua compares the numbers with that header.

return {
  kind = { NONE = 0, INT = 1, ADDR = 2, STRING = 3, BYTES = 4, RECORDS = 5, STRV = 6, IOVEC = 7 },
  dir = { NONE = 0, IN = 1, OUT = 2, INOUT = 3 }, -- NONE: nothing is moved
  size = { FIXED = 0, ARG = 1, DEREF = 2, FIELD = 3 },
  filled = { WHOLE = 0, RESULT = 1 },
  field = { INT = 0, UINT = 1, CHARS = 2, RECORD = 3 },
  test = { ALWAYS = 0, EQ = 1, ANY = 2, NONE = 3 },
  fold = { ABSENT = 0, ARG = 1, CONST = 2, PATH = 3, FIELD = 4 },
  flag = { NORETURN = 1, ADDRESS = 2 },
}
