-- recording.lua - calls of programs as a file, a line of JSON each
--
-- `lencase run --record FILE` and record "FILE" at the prompt write it, `lencase try` and load "FILE" read
-- it. This is version 1. The first line says what the file is and what was run (scripts: the bottom first;
-- calls: those that a grate handled; arg_bytes: the most that is kept of an argument):
--
--   {"format": "lencase-recording", "version": 1, "lencase": "0.1.0", "arch": "x86_64",
--    "scripts": [{"script": "umask.lua", "args": ["077"], "hash": "0x..."}], "program": ["sh", "-c", "..."],
--    "calls": ["open", ...], "arg_bytes": 16384}
--
-- Then follow the calls, each when it is over, numbered from 1 as they arrived:
--
--   {"n": 7, "cage": 1, "pid": 4242, "tid": 4242, "call": "openat", "nr": 257, "cwd": "/tmp",
--    "args": [...], "bottom": [...], "result": 3, "outs": [...], "error": "umask.lua:3: ..."}
--
-- "cage" counts the processes; "cwd" is present when it has changed. "bottom" are the calls that reached
-- the kernel for it, in their order, each with "call", "nr", "args", "result" and "outs" ("cage", when it was for
-- another one); {"same": true, ...} is the call that the program made, unchanged. "result" is what the
-- program got, a failure is -errno; without one the call did not return (exit, a thread that ended).
-- "outs" are the bytes that it found in the arguments that the call fills; without them, those that the last call at
-- the bottom had filled. "error": a handler failed.
--
-- An argument has "name", "kind" and, if it is a pointer, "at"; "null" is true for a null pointer, "fault"
-- when it could not be read. By kind there are:
--
--   int             "int", its value; for a descriptor "path", what it refers to, false: it is not open
--   string          "bytes"
--   bytes, records  "size", and "bytes" if the call reads them
--   strings         "strings", and "sizes" of each
--   iovec           "runs", their sizes; "size" of all, and "bytes" of all if the call reads them
--   address         nothing more: what it points to is not known
--
-- "size" and "sizes" say how many bytes there were; when fewer are here, they were cut. What is in "outs" has
-- "arg", which argument it is, from 1, "size" and "bytes".
--
-- Between the calls are lines about cages, "after" so many calls had arrived. A cage is born before all other lines
-- about it, also one that was there before the recording began; "parent" is 0 when the recording has none. "fds" are
-- the descriptors below 256 that are open, "status" is that of waitpid(2):
--
--   {"after": 6, "born": 2, "pid": 4243, "parent": 1, "shares_files": true, "comm": "sh", "cwd": "/tmp"}
--   {"after": 8, "exec": 2, "pid": 4243, "comm": "cat", "cwd": "/tmp", "fds": [0, 1, 2]}
--   {"after": 30, "exit": 2, "pid": 4243, "status": 0}
--
-- The last line is {"end": true, "calls": 31}, with "full": "bytes" or "lines" when the recording reached its
-- limit and stopped there. A file without it is truncated.
--
-- In strings a character is a byte, U+0000 to U+00FF: so bytes survive every reader of JSON, paths and
-- texts can be read and searched for, and there is one way to say each; base64 would be shorter for binary data alone.
-- Integers beyond 2^53, which readers of JSON lose, and pointers are strings: "0x7ffd01020304".

local core = require "lencase.core"
local json = require "lencase.tools.json"

local ARCH = "x86_64"

local recording = { VERSION = 1, FORMAT = "lencase-recording", ARG_BYTES = 16 << 10,
                    BYTES = 64 << 20, LINES = 1000000 }

---@class lencase.recording.call as its line has it, with the `line`'s number
---@field n integer
---@field line integer

-- {=============================== composing ===============================

-- What is kept of a cage's events.
local EVENTS = { born = { "pid", "parent", "shares_files", "comm", "cwd" }, exec = { "pid", "comm", "cwd", "fds" },
                 exit = { "pid", "status" } }

local Composer = {}
Composer.__index = Composer

local composing = {}

-- A cage that was there before the recording began is born in it before its first line.
local function know(self, cage, pid, cwd)
  if self.known[cage] then return end
  self.known[cage] = true
  self.take { after = self.arrived, born = cage, pid = pid, parent = 0, cwd = cwd }
end

function composing.asked(self, t)
  know(self, t.cage, t.pid, t.cwd)
  self.arrived = self.arrived + 1
  local call = { n = self.arrived, cage = t.cage, pid = t.pid, tid = t.tid, call = t.call, nr = t.nr, cwd = t.cwd,
                 args = t.args, bottom = {} }
  self.pending[t.id], self.latest = call, call
end

function composing.down(self, t)
  local call = self.pending[t.id]
  local cage = t.cage ~= call.cage and t.cage or nil
  know(self, t.cage, t.pid)
  table.insert(call.bottom, { call = t.call, nr = t.nr, cage = cage, args = t.args, outs = {} })
end

function composing.answered(self, t)
  local bottom = self.pending[t.id].bottom
  bottom[#bottom].result, bottom[#bottom].outs = t.result, t.outs
end

function composing.failed(self, t) self.pending[t.id].error = t.message end

function composing.over(self, t)
  local call = self.pending[t.id]
  call.result, call.outs = t.result, t.outs or {}
  self.pending[t.id] = nil
  self.take(call)
end

-- A cage's event in the form of its line.
local function happened(self, event, t)
  local item = { after = self.arrived, [event] = t.cage }
  for _, field in ipairs(EVENTS[event]) do item[field] = t[field] end
  if event ~= "born" then
    know(self, t.cage, t.pid)
  else
    self.known[t.cage] = true
    item.parent = self.known[t.parent] and t.parent or 0
  end
  self.take(item)
end

--- Makes calls and events of the core's reports: `take` gets each when it is over. For state:record.
---@param take fun(item: table)
---@return table composer
---@return fun(event: string, t: table)
function recording.composer(take)
  local self = setmetatable({ pending = {}, known = {}, arrived = 0, take = take }, Composer)
  return self, function(event, t)
    if composing[event] then
      if event == "asked" or self.pending[t.id] then composing[event](self, t) end
    elseif EVENTS[event] then
      happened(self, event, t)
    end
  end
end

-- }==========================================================================

-- {================================ equality ===============================

local function same_list(a, b)
  if #(a or {}) ~= #(b or {}) then return false end
  for i, item in ipairs(a or {}) do
    if item ~= b[i] then return false end
  end
  return true
end

--- Whether two arguments are the same for their reader: addresses do not matter.
function recording.same_arg(a, b)
  if a.kind ~= b.kind or a.null ~= b.null or a.fault ~= b.fault then return false end
  if a.kind == "int" then return a.int == b.int end
  if a.kind == "address" then return a.word == b.word end
  return a.size == b.size and a.bytes == b.bytes and same_list(a.strings, b.strings) and same_list(a.sizes, b.sizes)
    and same_list(a.runs, b.runs)
end

--- Whether two calls ask for the same.
function recording.same_call(a, b)
  if a.nr ~= b.nr or #a.args ~= #b.args or a.cage ~= b.cage then return false end
  for i, arg in ipairs(a.args) do
    if not recording.same_arg(arg, b.args[i]) then return false end
  end
  return true
end

--- Whether both filled the same.
function recording.same_outs(a, b)
  if #a ~= #b then return false end
  for i, out in ipairs(a) do
    local other = b[i]
    if out.arg ~= other.arg or out.size ~= other.size or out.bytes ~= other.bytes then return false end
  end
  return true
end

--- Whether a call at the bottom is the call that the program made.
function recording.is_own(call, b) return not b.cage and recording.same_call({ nr = call.nr, args = call.args }, b) end

-- }==========================================================================

-- {================================ encoding ===============================

local KEYS = { "end", "format", "version", "lencase", "arch", "scripts", "script", "program", "calls", "arg_bytes",
               "hash", "n", "after", "born", "exec", "exit", "cage", "pid", "tid", "parent", "shares_files", "status",
               "comm", "same", "call", "nr", "arg", "name", "kind", "at", "null", "fault", "int", "path", "cwd", "fds",
               "args", "sizes", "strings", "runs", "size", "bytes", "bottom", "result", "outs", "error", "full" }

--- A line of a recording.
---@param value any
---@return string
recording.json = json.writer { keys = KEYS, string = json.bytes, empty = { outs = true, fds = true } }

local function plain_arg(arg)
  local plain = {}
  for key, value in pairs(arg) do plain[key] = value end
  if arg.kind == "string" and arg.bytes and arg.size == #arg.bytes then plain.size = nil end
  if arg.kind ~= "int" and not arg.null then plain.at = ("0x%x"):format(arg.word) end
  return plain
end

local function plain_args(args)
  local list = {}
  for i, arg in ipairs(args) do list[i] = plain_arg(arg) end
  return list
end

local function plain_bottom(call, b)
  local outs = #b.outs > 0 and b.outs or nil
  if recording.is_own(call, b) then return { same = true, result = b.result, outs = outs } end
  return { call = b.call, nr = b.nr, cage = b.cage, args = plain_args(b.args), result = b.result, outs = outs }
end

-- What the cage found filled, when that is what the last call at the bottom filled for it.
local function inherited(call)
  local last = call.bottom[#call.bottom]
  return last and recording.is_own(call, last) and last.outs or {}
end

local function line_of(item, cwds)
  if not item.n then return recording.json(item) end
  local plain = {}
  for key, value in pairs(item) do plain[key] = value end
  if cwds[item.cage] == item.cwd then plain.cwd = nil end
  cwds[item.cage] = item.cwd or cwds[item.cage]
  plain.args, plain.bottom = plain_args(item.args), {}
  for i, b in ipairs(item.bottom) do plain.bottom[i] = plain_bottom(item, b) end
  if recording.same_outs(item.outs, inherited(item)) then plain.outs = nil end
  return recording.json(plain)
end

-- }==========================================================================

-- {================================= writing ===============================

local FNV_BASIS, FNV_PRIME = 0xcbf29ce484222325, 0x100000001b3
local LAST_ROOM = 128 -- bytes that the last line may need

--- A hash that distinguishes versions of a script: FNV-1a of 64 bits.
---@param path string
---@return string?
function recording.hash(path)
  local file = io.open(path, "rb")
  local text = file and file:read "a"
  if file then file:close() end
  if not text then return nil end
  local sum = FNV_BASIS
  for i = 1, #text do sum = (sum ~ text:byte(i)) * FNV_PRIME end
  return ("0x%x"):format(sum)
end

---@class lencase.recording.options
---@field path string
---@field bytes? integer of the file
---@field lines? integer of the file that are calls
---@field arg_bytes? integer of an argument
---@field header? table scripts, program, calls
---@field say fun(message: string, lost: boolean?) called at the limit, or when the file cannot be written (`lost`)
---@field stop fun() ends the reports to it

local Writer = {}
Writer.__index = Writer

local BUFFER = 64 << 10

local function lose(self, why)
  self.lost, self.file = true, nil
  self.say(("%s: %s: the recording ends here"):format(self.path, why), true)
  self.stop()
end

local function flush(self)
  local ok, why = self.file:put(table.concat(self.waiting))
  self.waiting, self.waiting_size = {}, 0
  if not ok then lose(self, why) end
  return ok
end

local function put(self, text)
  table.insert(self.waiting, text .. "\n")
  self.size, self.waiting_size = self.size + #text + 1, self.waiting_size + #text + 1
  return self.waiting_size < BUFFER or flush(self)
end

local function finish(self, full)
  local line = recording.json { ["end"] = true, calls = self.calls, full = full }
  if not put(self, line) or not flush(self) then return end
  local ok, why = self.file:close()
  self.file = nil
  if not ok then lose(self, why) end
end

local BOUNDS = { bytes = "%d bytes", lines = "%d calls" }

local function hit(self, full)
  finish(self, full)
  self.say(("%s: the recording has reached its limit of %s: it ends after %d calls"):format(self.path,
    BOUNDS[full]:format(self.options[full]), self.calls))
  self.stop()
end

local function write_item(self, item)
  if not self.file then return end
  local line = line_of(item, self.cwds)
  if self.size + #line + 1 + LAST_ROOM > self.options.bytes then return hit(self, "bytes") end
  if item.n and self.calls >= self.options.lines then return hit(self, "lines") end
  if put(self, line) and item.n then self.calls = self.calls + 1 end
end

--- A recording's file. Its `told` is for state:record, its `close` writes the last line; `lost`: it could not be
--- written.
---@param options lencase.recording.options
---@return table? writer
---@return string? why the file cannot be written
function recording.writer(options)
  local file, why = core.output(options.path, true)
  local ok = file and true
  if file then ok, why = file:clear() end
  if not ok then return nil, why end
  local bounds = { bytes = options.bytes or recording.BYTES, lines = options.lines or recording.LINES }
  local self = setmetatable({ file = file, path = options.path, options = bounds, size = 0, calls = 0, cwds = {},
                              waiting = {}, waiting_size = 0, say = options.say, stop = options.stop }, Writer)
  local header = options.header or {}
  put(self, recording.json { format = recording.FORMAT, version = recording.VERSION, arch = ARCH,
                             lencase = core.version, scripts = header.scripts, program = header.program,
                             calls = header.calls, arg_bytes = options.arg_bytes or recording.ARG_BYTES })
  self.composer, self.told = recording.composer(function(item) write_item(self, item) end)
  return self
end

--- Ends the recording. Calls that are not over are not in it.
function Writer:close()
  if self.file then finish(self) end
end

-- }==========================================================================

-- {================================== forms ================================

-- The kinds of arguments that point to something, and those that a call fills.
local POINTERS = { string = true, bytes = true, records = true, strings = true, iovec = true, address = true }
local FILLED = { bytes = true, records = true, iovec = true }

local function to_integer(value)
  if type(value) == "number" and value > -json.EXACT and value < json.EXACT then return math.tointeger(value) end
  if type(value) == "string" and value:find "^0x%x+$" and #value <= 18 then return math.tointeger(tonumber(value)) end
end

-- A character is a byte.
local function to_bytes(value)
  if type(value) ~= "string" then return nil end
  local ok, bytes = pcall(string.gsub, value, "[\x80-\xff]+", function(run)
    local list = {}
    for _, code in utf8.codes(run) do table.insert(list, string.char(code)) end
    return table.concat(list)
  end)
  return ok and bytes or nil
end

local function from(least, most, wanted)
  return { wanted = wanted, read = function(value)
    local n = to_integer(value)
    return n and n >= least and n <= most and n or nil
  end }
end

local function one_of(set, wanted)
  return { wanted = wanted, read = function(value) return set[value] and value or nil end }
end

-- How a field is read, nil for an invalid value; and what is expected, in words.
local VALUES = {
  integer = from(math.mininteger, math.maxinteger, "an integer"),
  number = from(0, (1 << 31) - 1, "a number from 0"),
  status = from(-(1 << 31), (1 << 31) - 1, "a status of waitpid(2)"),
  descriptor = from(0, 255, "a descriptor below 256"),
  count = from(0, json.EXACT - 1, "a number from 0"),
  ordinal = from(1, json.EXACT - 1, "a number from 1"),
  pid = from(1, (1 << 31) - 1, "the number of a process"),
  size = from(0, math.maxinteger, "a number of bytes"),
  bytes = { wanted = "a string", read = to_bytes },
  path = { wanted = "a string or false", read = function(value) return value ~= false and to_bytes(value) end },
  flag = one_of({ [true] = true }, "true"),
  int = one_of({ int = true }, "a kind of argument"),
  pointer = one_of(POINTERS, "a kind of argument"),
  bound = one_of({ bytes = true, lines = true }, "bytes or lines"),
}

-- What a line and the objects in it are: their fields. "?": it may be missing; "*": a list, which is left out when
-- it is empty; "*?": a list that may be missing, which is not the same as an empty one.
local FORMS = {
  header = { format = "bytes", version = "ordinal", lencase = "bytes", arch = "bytes", scripts = "script*?",
             program = "bytes*?", calls = "bytes*?", arg_bytes = "count" },
  script = { script = "bytes", args = "bytes*", hash = "bytes?" },

  ["line.n"] = { n = "ordinal", cage = "ordinal", pid = "pid", tid = "pid", call = "bytes", nr = "number",
                 cwd = "path?", args = "argument*", bottom = "bottom*", result = "integer?", outs = "out*?",
                 error = "bytes?" },
  ["line.born"] = { after = "count", born = "ordinal", pid = "pid", parent = "count", shares_files = "flag?",
                    comm = "bytes?", cwd = "path?" },
  ["line.exec"] = { after = "count", exec = "ordinal", pid = "pid", comm = "bytes?", cwd = "path?",
                    fds = "descriptor*?" },
  ["line.exit"] = { after = "count", exit = "ordinal", pid = "pid", status = "status" },
  ["line.end"] = { ["end"] = "flag", calls = "count", full = "bound?" },

  ["bottom.same"] = { same = "flag", result = "integer?", outs = "out*?" },
  ["bottom.call"] = { call = "bytes", nr = "number", cage = "ordinal?", args = "argument*", result = "integer?",
                      outs = "out*?" },
  out = { arg = "ordinal", size = "size", bytes = "bytes" },

  ["argument.null"] = { name = "bytes", kind = "pointer", null = "flag" },
  ["argument.fault"] = { name = "bytes", kind = "pointer", at = "integer", fault = "flag" },
  ["argument.int"] = { name = "bytes", kind = "int", int = "integer", path = "path?" },
  ["argument.address"] = { name = "bytes", kind = "pointer", at = "integer" },
  ["argument.string"] = { name = "bytes", kind = "pointer", at = "integer", size = "size?", bytes = "bytes" },
  ["argument.bytes"] = { name = "bytes", kind = "pointer", at = "integer", size = "size", bytes = "bytes?" },
  ["argument.strings"] = { name = "bytes", kind = "pointer", at = "integer", strings = "bytes*", sizes = "size*" },
  ["argument.iovec"] = { name = "bytes", kind = "pointer", at = "integer", runs = "size*", size = "size",
                         bytes = "bytes?" },
}
FORMS["argument.records"] = FORMS["argument.bytes"]

-- form -> its fields in a fixed order, parsed from the texts above
local FIELDS = {}
for form, texts in pairs(FORMS) do
  FIELDS[form] = {}
  for key, text in pairs(texts) do
    local name, many, optional = text:match "^(%l+)(%*?)(%??)$"
    table.insert(FIELDS[form], { key = key, name = name, many = many ~= "", optional = optional ~= "" })
  end
  table.sort(FIELDS[form], function(a, b) return a.key < b.key end)
end

-- Objects of several forms: the first of these fields that is present says which, by its name or its value.
local CHOICES = {
  line = { "end", "n", "born", "exec", "exit", wanted = "neither a call nor an event of a cage" },
  bottom = { "same", "call", wanted = "not a call at the bottom" },
  argument = { "null", "fault", "kind", wanted = "not an argument of a known kind" },
}

local function has_its_bytes(object) return object.size == nil or object.size >= #(object.bytes or "") end

local function are_as_many(arg) return #arg.sizes == #arg.strings end

local function have_their_bytes(arg)
  for i, text in ipairs(arg.strings) do
    if arg.sizes[i] < #text then return false end
  end
  return true
end

local function is_sum(arg)
  local left = arg.size
  for _, size in ipairs(arg.runs) do
    if size > left then return arg.size == math.maxinteger end -- more than any number says
    left = left - size
  end
  return left == 0
end

local function is_named_so(call) return (core.callnum(call.call) or call.nr) == call.nr end

local function fills_arguments(args, outs)
  local before = 0
  for _, out in ipairs(outs) do
    local arg = args[out.arg]
    if not arg or out.arg <= before or arg.null or not FILLED[arg.kind] then return false end
    before = out.arg
  end
  return true
end

local function is_filled(object) return fills_arguments(object.args, object.outs or {}) end

local function are_filled(call)
  for _, b in ipairs(call.bottom) do
    if b.same and not fills_arguments(call.args, b.outs or {}) then return false end
  end
  return is_filled(call)
end

local CUT = { "size", "is less than its bytes are", has_its_bytes }
local NAMED = { "call", "is not the name of its 'nr'", is_named_so }
local SIX = { "args", "are more than six", function(call) return #call.args <= 6 end }
local OUTS = "are not of arguments that the call fills, each once and in their order"

-- How the fields of an object must fit together: { field, message, test }.
local RELATIONS = {
  ["line.n"] = { NAMED, SIX, { "outs", OUTS, are_filled } },
  ["bottom.call"] = { NAMED, SIX, { "outs", OUTS, is_filled } },
  out = { CUT },
  ["argument.string"] = { CUT },
  ["argument.bytes"] = { CUT },
  ["argument.records"] = { CUT },
  ["argument.strings"] = { { "sizes", "are not as many as the strings", are_as_many },
                           { "sizes", "are less than the strings are", have_their_bytes } },
  ["argument.iovec"] = { CUT, { "size", "is not that of its runs", is_sum } },
}

local function cage_of(self, line) return self.cages[line.cage or line.exec or line.exit] end

-- A call may end later than its cage.
local function is_there(self, line)
  local cage = cage_of(self, line)
  if not cage then return false end
  if not line.n then return not cage.ended end
  return line.n > cage.after and line.n <= (cage.ended or line.n)
end

local function is_its_pid(self, line) return cage_of(self, line).pid == line.pid end

local function knows_bottoms(self, call)
  for _, b in ipairs(call.bottom) do
    if b.cage and not self.cages[b.cage] then return false end
  end
  return true
end

local function comes_after(self, event) return event.after >= self.after and event.after >= self.last end

local LATER = { "after", "is less than the number of a line before", comes_after }
local function lives(field) return { field, "is not a cage that exists", is_there } end
local PID = { "pid", "is not that of its cage", is_its_pid }

-- How a line must fit those before it: lines are written when calls and events are over.
local HISTORY = {
  ["line.n"] = { { "n", "appears twice", function(self, call) return not self.calls[call.n] end },
                 lives "cage", PID, { "bottom", "has a cage that does not exist", knows_bottoms } },
  ["line.born"] = { { "born", "is a cage already", function(self, event) return not self.cages[event.born] end },
                    { "parent", "is not an earlier cage",
                      function(self, event) return event.parent == 0 or self.cages[event.parent] end }, LATER },
  ["line.exec"] = { lives "exec", PID, LATER },
  ["line.exit"] = { lives "exit", PID, LATER },
  ["line.end"] = { { "calls", "is not their number", function(self, line) return line.calls == self.count end } },
}

-- }==========================================================================

-- {================================= reading ===============================

local function wrong(self, fmt, ...) error(("%s:%d: %s"):format(self.path, self.line, fmt:format(...)), 0) end

local function shown(value)
  if type(value) == "string" then return json.bytes(#value > 40 and value:sub(1, 40) .. "..." or value) end
  if value == json.null then return "null" end
  return type(value) == "table" and "a list or an object" or tostring(math.tointeger(value) or value)
end

-- `place`: which of the line's fields it is, for people; "" for the line itself.
local function misplaced(self, place, value, wanted)
  if value == nil then wrong(self, "'%s' is missing: expected %s", place, wanted) end
  wrong(self, "'%s' is %s: expected %s", place, shown(value), wanted)
end

local function below(place, field) return place == "" and field or place .. "." .. field end

local read_named

local function read_list(self, name, value, place)
  local list, n = {}, 0
  for _ in pairs(type(value) == "table" and value or {}) do n = n + 1 end
  if type(value) ~= "table" or n ~= #value then misplaced(self, place, value, "a list") end
  for i, item in ipairs(value) do list[i] = read_named(self, name, item, ("%s[%d]"):format(place, i)) end
  return list
end

local function read_field(self, field, value, place)
  if value == nil and field.optional then return nil end
  if not field.many then return read_named(self, field.name, value, place) end
  return read_list(self, field.name, value == nil and {} or value, place)
end

local function check_relations(self, form, object, place)
  for _, relation in ipairs(RELATIONS[form] or {}) do
    local field, message, holds = table.unpack(relation)
    if not holds(object) then wrong(self, "'%s' %s", below(place, field), message) end
  end
end

local function read_object(self, form, value, place)
  local object = {}
  if type(value) ~= "table" then misplaced(self, place, value, "an object") end
  for key in pairs(value) do
    if not FORMS[form][key] then wrong(self, "'%s' is not a field here", below(place, tostring(key))) end
  end
  for _, field in ipairs(FIELDS[form]) do
    object[field.key] = read_field(self, field, value[field.key], below(place, field.key))
  end
  check_relations(self, form, object, place)
  return object
end

-- The form of an object that may have several.
local function form_of(self, name, value, place)
  if type(value) ~= "table" then misplaced(self, place, value, "an object") end
  for _, key in ipairs(CHOICES[name]) do
    local form = name .. "." .. (FORMS[name .. "." .. key] and key or tostring(value[key]))
    if value[key] ~= nil and FORMS[form] then return form end
  end
  wrong(self, "%s%s", place ~= "" and ("'%s' is "):format(place) or "", CHOICES[name].wanted)
end

function read_named(self, name, value, place)
  if FORMS[name] then return read_object(self, name, value, place) end
  if CHOICES[name] then return read_object(self, form_of(self, name, value, place), value, place) end
  local read = VALUES[name].read(value)
  if read == nil then misplaced(self, place, value, VALUES[name].wanted) end
  return read
end

-- Restores what was not written because it is repeated, or follows from the rest.
local function expand_args(args)
  for _, arg in ipairs(args) do
    arg.word = arg.int or arg.at or 0
    if arg.kind == "string" and arg.bytes then arg.size = arg.size or #arg.bytes end
  end
end

local function expand(call)
  expand_args(call.args)
  for i, b in ipairs(call.bottom) do
    if b.same then
      call.bottom[i] = { call = call.call, nr = call.nr, args = call.args, result = b.result }
    else
      expand_args(b.args)
    end
    call.bottom[i].outs = b.outs or {}
  end
  call.outs = call.outs or inherited(call)
end

local takers = {}

takers["line.n"] = function(self, call)
  expand(call)
  self.calls[call.n], self.last = call, math.max(self.last, call.n)
  self.count = self.count + 1
  table.insert(self.items, call)
end

local function take_event(self, event)
  self.after = event.after
  table.insert(self.items, event)
end

takers["line.born"] = function(self, event)
  self.cages[event.born] = { pid = event.pid, after = event.after }
  take_event(self, event)
end

takers["line.exec"] = take_event

takers["line.exit"] = function(self, event)
  self.cages[event.exit].ended = event.after
  take_event(self, event)
end

takers["line.end"] = function(self, line) self.ended = line end

local function take_header(self, value)
  local is_one = type(value) == "table" and value.format == recording.FORMAT
  if not is_one then wrong(self, "this is not a recording of lencase's") end
  local version = to_integer(value.version)
  if version and version > recording.VERSION then
    wrong(self, "the recording has version %d, of a newer lencase (%s); this one, %s, reads version %d", version,
      tostring(value.lencase), core.version, recording.VERSION)
  end
  self.header = read_object(self, "header", value, "")
  if self.header.arch ~= ARCH then
    wrong(self, "the recording was made on %s, and this is %s", self.header.arch, ARCH)
  end
end

local function take_line(self, text)
  local ok, value = pcall(json.decode, text)
  if self.line == 1 then return take_header(self, ok and value) end
  if self.ended then wrong(self, "something follows the last line") end
  if not ok or type(value) ~= "table" then wrong(self, "not a line of a recording: it is truncated or damaged") end
  local form = form_of(self, "line", value, "")
  local line = read_object(self, form, value, "")
  line.line = self.line
  for _, rule in ipairs(HISTORY[form]) do
    local field, message, holds = table.unpack(rule)
    if not holds(self, line) then wrong(self, "'%s' (%s) %s", field, shown(line[field]), message) end
  end
  takers[form](self, line)
end

-- In the order in which things happened: events "after" call n follow it.
local function in_order(a, b)
  local n, m = a.n or a.after, b.n or b.after
  if n ~= m then return n < m end
  if (a.n == nil) ~= (b.n == nil) then return a.n ~= nil end
  return a.line < b.line
end

---@class lencase.recording
---@field path string
---@field header table
---@field calls table<integer, lencase.recording.call> by their numbers
---@field last integer the greatest number
---@field count integer how many there are
---@field items table[] calls and events of cages, as they happened
---@field ended table the last line

--- Reads a recording; raises an error with the line when something is wrong.
---@param path string
---@return lencase.recording
function recording.read(path)
  local file <close>, why = io.open(path, "rb")
  if not file then error(why, 0) end
  local self = { path = path, line = 0, calls = {}, items = {}, cages = {}, last = 0, after = 0, count = 0 }
  for text in file:lines "L" do
    self.line = self.line + 1
    if self.line > 1 and text:sub(-1) ~= "\n" then wrong(self, "the line is incomplete: the recording is truncated") end
    take_line(self, text)
  end
  if self.line == 0 then
    self.line = 1
    wrong(self, "this is not a recording of lencase's: it is empty")
  end
  if not self.ended then wrong(self, "the recording is truncated: its last line is missing") end
  table.sort(self.items, in_order)
  return self
end

--- Whether a file begins as a recording does.
---@param path string
---@return boolean
function recording.is_one(path)
  local file = io.open(path, "rb")
  local start = file and file:read(64)
  if file then file:close() end
  return start ~= nil and start:find('^{"format":"' .. recording.FORMAT:gsub("%-", "%%-") .. '"') ~= nil
end

-- }==========================================================================

return recording
