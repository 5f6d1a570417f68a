-- recording.lua - calls of programs as a file, a line of JSON each
--
-- `lencase run --record FILE` and record "FILE" at the prompt write it, `lencase try` and load "FILE" read
-- it. This is version 1. The first line says what the file is and what was run (scripts: the bottom first;
-- calls: those that somebody handled; arg_bytes: as many are kept of an argument):
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
-- "cage" counts the processes; "cwd" is there when it has changed. "bottom" are the calls that reached
-- the kernel for it, in their order, each with "call", "nr", "args", "result" and "outs" ("cage", when it was for
-- another one); {"same": true, ...} stands for the very call that the program made. "result" is what the
-- program got, a failure is -errno; without one the call never came back (exit, a thread that ended).
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
--   address         nothing more: nobody described what it points to
--
-- "size" and "sizes" say how many bytes there were; when fewer are here, they were cut. What is in "outs" has
-- "arg", which argument it is, from 1, "size" and "bytes".
--
-- Among the calls stand lines on cages, "after" so many calls had arrived. "fds" are the descriptors below 256
-- that are open, "status" is that of waitpid(2):
--
--   {"after": 6, "born": 2, "pid": 4243, "parent": 1, "shares_files": true, "comm": "sh", "cwd": "/tmp"}
--   {"after": 8, "exec": 2, "pid": 4243, "comm": "cat", "cwd": "/tmp", "fds": [0, 1, 2]}
--   {"after": 30, "exit": 2, "pid": 4243, "status": 0}
--
-- The last line is {"end": true, "calls": 31}, with "full": "bytes" or "lines" when the recording hit its
-- bound and stopped there. A file without it is truncated.
--
-- In strings a character is a byte, U+0000 to U+00FF: so bytes survive every reader of JSON, paths and
-- texts can be read and searched for, and there is one way to say each; base64 would be shorter for binary data alone.
-- Integers beyond 2^53, which readers of JSON lose, and pointers are strings: "0x7ffd01020304".

local cjson = require "cjson"
local core = require "lencase.core"

local ARCH = "x86_64"

local recording = { VERSION = 1, FORMAT = "lencase-recording", ARG_BYTES = 16 << 10,
                    BYTES = 64 << 20, LINES = 1000000 }

---@class lencase.recording.call as its line has it, with the `line`'s number
---@field n integer
---@field line integer

-- {=============================== composing ===============================

-- What is kept of what becomes of a cage.
local EVENTS = { born = { "pid", "parent", "shares_files", "comm", "cwd" }, exec = { "pid", "comm", "cwd", "fds" },
                 exit = { "pid", "status" } }

local Composer = {}
Composer.__index = Composer

local composing = {}

function composing.asked(self, t)
  self.arrived = self.arrived + 1
  local call = { n = self.arrived, cage = t.cage, pid = t.pid, tid = t.tid, call = t.call, nr = t.nr, cwd = t.cwd,
                 args = t.args, bottom = {} }
  self.pending[t.id], self.latest = call, call
end

function composing.down(self, t)
  local call = self.pending[t.id]
  local cage = t.cage ~= call.cage and t.cage or nil
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

--- Makes calls and events of what core tells: `take` gets each when it is over. For state:record.
---@param take fun(item: table)
---@return table composer
---@return fun(event: string, t: table)
function recording.composer(take)
  local self = setmetatable({ pending = {}, arrived = 0, take = take }, Composer)
  return self, function(event, t)
    if composing[event] then
      if event == "asked" or self.pending[t.id] then composing[event](self, t) end
    elseif EVENTS[event] then
      local item = { after = self.arrived, [event] = t.cage }
      for _, field in ipairs(EVENTS[event]) do item[field] = t[field] end
      take(item)
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

--- Whether two arguments are the same to who reads them: where bytes lie does not matter.
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

--- Whether the same was filled.
function recording.same_outs(a, b)
  if #a ~= #b then return false end
  for i, out in ipairs(a) do
    local other = b[i]
    if out.arg ~= other.arg or out.size ~= other.size or out.bytes ~= other.bytes then return false end
  end
  return true
end

--- Whether a call at the bottom is what the program asked for.
function recording.is_own(call, b) return not b.cage and recording.same_call({ nr = call.nr, args = call.args }, b) end

-- }==========================================================================

-- {================================ encoding ===============================

local EXACT = 1 << 53

local function json_integer(n)
  if n > -EXACT and n < EXACT then return ("%d"):format(n) end
  return ('"0x%x"'):format(n)
end

-- How a byte is written that is not written as itself. What a terminal may obey is no raw character.
local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r" }
for code = 0, 255 do
  local byte = string.char(code)
  local plain = code >= 0xa0 and utf8.char(code) or ("\\u%04x"):format(code)
  escapes[byte] = escapes[byte] or plain
end

local function json_bytes(s) return '"' .. s:gsub('[%c"\\\x7f-\xff]', escapes) .. '"' end

local json

local function json_list(list)
  local parts = {}
  for i, item in ipairs(list) do parts[i] = json(item) end
  return "[" .. table.concat(parts, ",") .. "]"
end

-- Keys in this order; a key that is not here is not written.
local KEYS = { "end", "format", "version", "lencase", "arch", "scripts", "script", "program", "calls", "arg_bytes",
               "hash", "n", "after", "born", "exec", "exit", "cage", "pid", "tid", "parent", "shares_files", "status",
               "comm", "same", "call", "nr", "arg", "name", "kind", "at", "null", "fault", "int", "path", "cwd", "fds",
               "args", "sizes", "strings", "runs", "size", "bytes", "bottom", "result", "outs", "error", "full" }

local function json_object(t)
  local parts = {}
  for _, key in ipairs(KEYS) do
    local value = t[key]
    local is_empty = type(value) == "table" and next(value) == nil
    if is_empty and key == "outs" then
      table.insert(parts, '"outs":[]')
    elseif value ~= nil and not is_empty then
      table.insert(parts, ('"%s":%s'):format(key, json(value)))
    end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

function json(value)
  if math.type(value) == "integer" then return json_integer(value) end
  if type(value) == "string" then return json_bytes(value) end
  if type(value) == "table" then return value[1] ~= nil and json_list(value) or json_object(value) end
  return tostring(value)
end

recording.json = json

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
  if not item.n then return json(item) end
  local plain = {}
  for key, value in pairs(item) do plain[key] = value end
  if cwds[item.cage] == item.cwd then plain.cwd = nil end
  cwds[item.cage] = item.cwd or cwds[item.cage]
  plain.args, plain.bottom = plain_args(item.args), {}
  for i, b in ipairs(item.bottom) do plain.bottom[i] = plain_bottom(item, b) end
  if recording.same_outs(item.outs, inherited(item)) then plain.outs = nil end
  return json(plain)
end

-- }==========================================================================

-- {================================= writing ===============================

local FNV_BASIS, FNV_PRIME = 0xcbf29ce484222325, 0x100000001b3
local LAST_ROOM = 128 -- bytes that the last line may need

--- What tells one text of a script from another: FNV-1a of 64 bits.
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
---@field say fun(message: string) told when the bound is hit, or the file cannot be written
---@field stop fun() then nothing more is wanted

local Writer = {}
Writer.__index = Writer

local function fail_writing(self, why)
  self.say(("%s: %s: the recording breaks off"):format(self.path, why))
  self.file:close()
  self.file = nil
  self.stop()
end

local function put(self, text)
  local ok, why = self.file:write(text, "\n")
  if not ok then return fail_writing(self, why) end
  self.size = self.size + #text + 1
  return true
end

local function finish(self, full)
  if not put(self, json { ["end"] = true, calls = self.calls, full = full }) then return end
  local ok, why = self.file:close()
  self.file = nil
  if not ok then self.say(("%s: %s"):format(self.path, why)) end
end

local BOUNDS = { bytes = "%d bytes", lines = "%d calls" }

local function hit(self, full)
  finish(self, full)
  self.say(("%s: the recording has reached its bound of %s: it ends after %d calls"):format(self.path,
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

--- A recording's file. Its `told` is for state:record, its `close` writes the last line.
---@param options lencase.recording.options
---@return table? writer
---@return string? why the file cannot be written
function recording.writer(options)
  local file, why = core.create(options.path)
  if not file then return nil, why end
  local bounds = { bytes = options.bytes or recording.BYTES, lines = options.lines or recording.LINES }
  local self = setmetatable({ file = file, path = options.path, options = bounds, size = 0, calls = 0, cwds = {},
                              say = options.say, stop = options.stop }, Writer)
  local header = options.header or {}
  local written = put(self, json { format = recording.FORMAT, version = recording.VERSION, arch = ARCH,
                                   lencase = core.version, scripts = header.scripts, program = header.program,
                                   calls = header.calls, arg_bytes = options.arg_bytes or recording.ARG_BYTES })
  if not written then return nil, "it cannot be written" end
  self.composer, self.told = recording.composer(function(item) write_item(self, item) end)
  return self
end

--- Nothing is to come any more. The calls that are not over are not in it.
function Writer:close()
  if self.file then finish(self) end
end

-- }==========================================================================

-- {================================= reading ===============================

local function to_integer(value)
  if type(value) == "number" then return math.tointeger(value) end
  if type(value) == "string" and value:find "^0x%x+$" and #value <= 18 then return math.tointeger(tonumber(value)) end
end

-- A character is a byte.
local function to_bytes(text)
  local ok, bytes = pcall(function()
    return (text:gsub("[\x80-\xff]+", function(run)
      local list = {}
      for _, code in utf8.codes(run) do table.insert(list, string.char(code)) end
      return table.concat(list)
    end))
  end)
  return ok and bytes or nil
end

local types = {}

types["integer"] = to_integer

types["natural"] = function(value)
  local n = to_integer(value)
  return n and n >= 0 and n < 1 << 31 and n or nil
end

types["bytes"] = function(value) return type(value) == "string" and to_bytes(value) or nil end

types["flag"] = function(value) return value == true or nil end

types["path"] = function(value)
  if value == false then return false end
  return types.bytes(value)
end

local function list_of(kind)
  return function(value)
    if type(value) ~= "table" then return nil end
    local list = {}
    for i, item in ipairs(value) do
      list[i] = kind(item)
      if list[i] == nil then return nil end
    end
    return list
  end
end

-- Fields of an object; a name with "!" must be there. nil and which one is wrong.
local function object_of(fields)
  return function(value)
    if type(value) ~= "table" then return nil end
    local object = {}
    for name, kind in pairs(fields) do
      local must = name:sub(-1) == "!"
      name = name:gsub("!$", "")
      local given = value[name]
      if given ~= nil then object[name] = kind(given) end
      if object[name] == nil and (given ~= nil or must) then return nil, name end
    end
    return object
  end
end

local integer, natural, bytes, flag = types.integer, types.natural, types.bytes, types.flag
local KINDS = { int = true, string = true, bytes = true, records = true, strings = true, iovec = true, address = true }

local function kind(value) return KINDS[value] and value or nil end

local arg = object_of { ["name!"] = bytes, ["kind!"] = kind, at = integer, null = flag, fault = flag, int = integer,
                        path = types.path, size = integer, bytes = bytes, strings = list_of(bytes),
                        sizes = list_of(integer), runs = list_of(integer) }

-- What its kind needs is there; what is left out is filled in.
local function argument(value)
  local a = arg(value)
  if not a then return nil end
  a.word = a.kind == "int" and a.int or a.at or 0
  if a.kind == "int" then return a.int and a or nil end
  if a.null or a.fault or a.kind == "address" then return a end
  if a.kind == "string" then
    a.size = a.size or a.bytes and #a.bytes
    return a.bytes and a or nil
  end
  if a.kind == "strings" then
    a.strings, a.sizes = a.strings or {}, a.sizes or {}
    return #a.strings == #a.sizes and a or nil
  end
  if a.kind == "iovec" then a.runs = a.runs or {} end
  return a.size and a.size >= #(a.bytes or "") and a or nil
end

local outs = list_of(object_of { ["arg!"] = integer, ["size!"] = integer, ["bytes!"] = bytes })
local bottom_call = object_of { same = flag, call = bytes, nr = natural, cage = integer, args = list_of(argument),
                                result = integer, outs = outs }

local function bottom(value)
  local b = bottom_call(value)
  if not b or not b.same and not (b.call and b.nr) then return nil end
  return b
end

local call_line = object_of { ["n!"] = integer, ["cage!"] = integer, pid = integer, tid = integer, ["call!"] = bytes,
                              ["nr!"] = natural, cwd = types.path, args = list_of(argument), bottom = list_of(bottom),
                              result = integer, outs = outs, error = bytes }
local event_line = object_of { ["after!"] = integer, born = integer, exec = integer, exit = integer, pid = integer,
                               parent = integer, shares_files = flag, status = integer, comm = bytes,
                               cwd = types.path, fds = list_of(integer) }
local script = object_of { ["script!"] = bytes, args = list_of(bytes), hash = bytes }
local header_line = object_of { ["version!"] = integer, lencase = bytes, arch = bytes, scripts = list_of(script),
                                program = list_of(bytes), calls = list_of(bytes), arg_bytes = integer }
local end_line = object_of { ["end!"] = flag, ["calls!"] = integer, full = bytes }

-- What was not written because it is as elsewhere.
local function expand(call)
  call.args, call.bottom = call.args or {}, call.bottom or {}
  for i, b in ipairs(call.bottom) do
    if b.same then
      call.bottom[i] = { call = call.call, nr = call.nr, args = call.args, result = b.result }
    end
    call.bottom[i].args, call.bottom[i].outs = call.bottom[i].args or {}, b.outs or {}
  end
  call.outs = call.outs or inherited(call)
  return call
end

local Reader = {}
Reader.__index = Reader

local function wrong(self, fmt, ...) error(("%s:%d: %s"):format(self.path, self.line, fmt:format(...)), 0) end

local function decoded(self, text)
  local ok, value = pcall(cjson.decode, text)
  if not ok or type(value) ~= "table" then return nil end
  return value, self
end

local function take_header(self, value)
  if not value or value.format ~= recording.FORMAT then wrong(self, "this is no recording of lencase's") end
  local version = to_integer(value.version)
  if version and version > recording.VERSION then
    wrong(self, "the recording has version %d, of a newer lencase (%s); this one, %s, reads version %d", version,
      tostring(value.lencase), core.version, recording.VERSION)
  end
  local header, name = header_line(value)
  if not header or version < 1 then wrong(self, "the first line has no proper '%s'", name or "version") end
  if header.arch ~= ARCH then
    wrong(self, "the recording was made on %s, and this is %s", tostring(header.arch), ARCH)
  end
  self.header = header
end

local function take_call(self, value)
  local call, name = call_line(value)
  if not call then wrong(self, "a call without a proper '%s'", name) end
  if self.calls[call.n] or call.n < 1 then wrong(self, "call %d stands there twice", call.n) end
  call.line = self.line
  self.calls[call.n], self.last = expand(call), math.max(self.last, call.n)
  self.count = self.count + 1
  table.insert(self.items, call)
end

local function take_event(self, value)
  local event, name = event_line(value)
  if not event then wrong(self, "a line about a cage without a proper '%s'", name) end
  if not (event.born or event.exec or event.exit) then wrong(self, "neither a call nor what became of a cage") end
  event.line = self.line
  table.insert(self.items, event)
end

local function take_end(self, value)
  self.ended = end_line(value) or wrong(self, "a last line that is none")
  if self.ended.calls ~= self.count then
    wrong(self, "the recording has %d calls, and its last line says %d", self.count, self.ended.calls)
  end
end

local function take_line(self, text)
  local value = decoded(self, text)
  if self.line == 1 then return take_header(self, value) end
  if self.ended then wrong(self, "something follows the last line") end
  if not value then wrong(self, "no line of a recording: it is truncated or damaged") end
  if value["end"] ~= nil then return take_end(self, value) end
  if value.n ~= nil then return take_call(self, value) end
  take_event(self, value)
end

-- As things happened: what was "after" call n comes behind it.
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
---@field items table[] calls and what became of cages, as they happened
---@field ended table the last line

--- Reads a recording; raises what is wrong with it, with its line.
---@param path string
---@return lencase.recording
function recording.read(path)
  local file, why = io.open(path, "rb")
  if not file then error(why, 0) end
  local self = setmetatable({ path = path, line = 0, calls = {}, items = {}, last = 0, count = 0 }, Reader)
  for text in file:lines "L" do
    self.line = self.line + 1
    if self.line > 1 and text:sub(-1) ~= "\n" then wrong(self, "the line breaks off: the recording is truncated") end
    take_line(self, text)
  end
  file:close()
  if self.line == 0 then
    self.line = 1
    wrong(self, "this is no recording of lencase's: it is empty")
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
