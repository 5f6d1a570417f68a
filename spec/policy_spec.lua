-- Policies as numbers and by name.

local ask_c = require "spec.ask_c"
local policy = require "lencase.policy"
local prototype = require "lencase.calls.prototype"

local write = assert(prototype.parse "ssize_t write(int fd, const void buf[.count], size_t count);")
local fork = assert(prototype.parse "pid_t fork(void);")
local fcntl = assert(prototype.parse("int fcntl(int fd, int op, ...);", nil, {
  { tail = "int minfd", when = { op = 1, arg = 1, mask = 0xffffffff, value = 0 } },
  { tail = "struct flock *lock", when = { op = 1, arg = 1, mask = 0xffffffff, value = 5 } },
  { tail = "" },
}))

local COPY, PASS, ADDR, ONCE = policy.COPY, policy.PASS, policy.ADDR, policy.ONCE

describe("the numbers", function()
  it("are those of lencase.h", function()
    local questions, expected = {}, {}
    local function expect(expression, value)
      table.insert(questions, { expression, expression })
      expected[expression] = value
    end
    for _, set in ipairs { "COPY_ALL_ARGS", "PASS_THROUGH_POINTERS", "PASS_THROUGH_ALL" } do
      expect("LENCASE_" .. set, policy[set])
    end
    for _, verb in ipairs { "COPY", "PASS", "ADDR", "ONCE" } do
      for n = 1, 6 do expect(("LENCASE_%s(%d)"):format(verb, n), policy[verb](n)) end
    end
    assert.same(expected, ask_c({ '"lencase.h"' }, questions))
  end)

  it("are for arguments 1 to 6", function()
    for _, n in ipairs { 0, 7, -1, 1.5, "buf" } do
      assert.error_matches(function() PASS(n) end, "expected the number of an argument, from 1 to 6, not ")
    end
  end)
end)

describe("a policy by name", function()
  local golden = {
    ["pass buf"] = PASS(2),
    ["pass 2"] = PASS(2),
    [" copy\tfd ,pass buf  count\n"] = COPY(1) | PASS(2) | PASS(3),
    ["copy all"] = policy.COPY_ALL_ARGS,
    ["pass all"] = policy.PASS_THROUGH_ALL,
    ["pass pointers"] = policy.PASS_THROUGH_POINTERS,
    ["pass all, copy fd"] = policy.PASS_THROUGH_ALL | COPY(1),
    ["copy fd, pass all"] = policy.PASS_THROUGH_ALL | COPY(1),
    ["copy pointers"] = COPY(2),
    ["addr all"] = ADDR(2),
    ["addr pointers, once buf"] = ADDR(2) | ONCE(2),
    ["once all"] = ONCE(1) | ONCE(2) | ONCE(3),
    ["pass buf, once buf"] = PASS(2) | ONCE(2),
  }
  for text, mask in pairs(golden) do
    it("is a number: " .. text, function() assert.equal(mask, (policy.parse(text, write))) end)
  end

  it("knows the parameters of all variants", function()
    assert.equal(PASS(3), (policy.parse("pass minfd", fcntl)))
    assert.equal(ADDR(3), (policy.parse("addr lock", fcntl)))
    assert.equal(ADDR(3), (policy.parse("addr pointers", fcntl)))
  end)

  local messages = {
    [""] = "line 1, column 1: expected copy, pass, addr or once, found the end",
    ["pass"] = "line 1, column 5: expected a parameter's name or number, pointers or all, found the end",
    ["pass buf,"] = "line 1, column 10: expected copy, pass, addr or once, found the end",
    ["pass buf; copy fd"] =
      "line 1, column 9: expected a parameter's name or number, pointers or all, ',' or the end, found ';'",
    ["cpoy buf"] = "line 1, column 1: expected copy, pass, addr or once, found 'cpoy' (did you mean 'copy'?)",
    ["pass buf, count"] = "line 1, column 11: expected copy, pass, addr or once, found 'count'"
                          .. "; the names after a verb have spaces between them",
    ["pass buf once count"] = "line 1, column 10: a ',' is missing before 'once'",
    ["pass bfu"] = "line 1, column 6: write has no parameter 'bfu' (did you mean 'buf'?)",
    ["copy fd,\npass pathname"] = "line 2, column 6: write has no parameter 'pathname'",
    ["pass 4"] = "line 1, column 6: write has no argument 4: it has 3",
    ["pass 0"] = "line 1, column 6: write has no argument 0: it has 3",
    ["pass 99999999999999999999"] = "line 1, column 6: write has no argument 99999999999999999999: it has 3",
    ["addr fd"] = "line 1, column 6: argument 1 (fd) is an integer: it has no address",
    ["pass buf, copy 2"] = "line 1, column 16: the policy of argument 2 contradicts itself",
  }
  for text, expected in pairs(messages) do
    it("is refused: " .. text:gsub("\n", " "), function()
      local mask, message = policy.parse(text, write)
      assert.is_nil(mask)
      assert.equal(expected, message)
    end)
  end

  it("is refused for a call that has no arguments", function()
    local _, message = policy.parse("pass 1", fork)
    assert.equal("line 1, column 6: fork has no argument 1: it has 0", message)
  end)
end)

describe("a policy as text", function()
  local golden = {
    { 0, "copy all" },
    { PASS(2), "pass buf" },
    { COPY(2), "copy buf" },
    { PASS(2) | ONCE(3), "pass buf, once count" },
    { policy.PASS_THROUGH_POINTERS, "pass pointers" },
    { policy.PASS_THROUGH_POINTERS | COPY(2), "pass pointers, copy buf" },
    { policy.PASS_THROUGH_POINTERS & ~PASS(2), "copy all" },
    { policy.PASS_THROUGH_POINTERS | PASS(3), "pass pointers, pass count" },
    { policy.PASS_THROUGH_ALL, "pass all" },
    { policy.PASS_THROUGH_ALL | COPY(1) | ADDR(2), "pass all, copy fd, addr buf" },
    { policy.PASS_THROUGH_ALL & ~PASS(2), "pass fd count" },
    { PASS(1) | PASS(2) | COPY(3), "copy count, pass fd buf" },
    { PASS(6), "copy all" },
  }
  for _, case in ipairs(golden) do
    it("is: " .. case[2] .. (" (0x%x)"):format(case[1]), function()
      assert.equal(case[2], policy.format(case[1], write))
    end)
  end

  -- What a mask means for a place: the decision of core/policy.c.
  local function meaning(mask, i, is_pointer)
    local own, set = mask >> 4 * (i - 1) & 15, mask >> 24 + 4 * (i - 1) & 15
    if own & 7 ~= 0 then return own end
    local passes = set & 2 ~= 0 or is_pointer and set & 1 ~= 0
    return (passes and 2 or 1) | own & 8
  end

  it("means the same when it is read again", function()
    local choices = { 0, 1, 2, 4, 8, 9, 10, 12 }
    for sets = 0, 2 * 64 + 63 do -- and argument 1 has no choice of its own, COPY or PASS
      for _, choice in ipairs(choices) do
        local mask = choice << 4 | (sets & 3) << 24 | (sets >> 2 & 3) << 28 | (sets >> 4 & 3) << 32 | (sets >> 6 & 3)
        local again = assert(policy.parse(policy.format(mask, write), write))
        for i = 1, 3 do assert.equal(meaning(mask, i, i == 2), meaning(again, i, i == 2)) end
      end
    end
  end)

  it("is 'copy all' for a call that has no arguments", function()
    assert.equal("copy all", policy.format(policy.PASS_THROUGH_ALL, fork))
  end)
end)
