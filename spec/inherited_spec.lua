-- inherited_spec.lua - the program inherits the dispositions and the mask of signals that lencase was given

local support = require "spec.support"

local quote, sh = support.quote, support.sh

-- Sets dispositions and the mask, then executes: argv is "ignored,...", "blocked,...", command...
local SETTER = [[
import os, signal, sys
number = lambda name: getattr(signal, "SIG" + name)
names = lambda words: [number(name) for name in words.split(",") if name]
for n in range(1, 32):
    if n not in (signal.SIGKILL, signal.SIGSTOP): signal.signal(n, signal.SIG_DFL)
for n in names(sys.argv[1]): signal.signal(n, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, names(sys.argv[2]))
os.execvp(sys.argv[3], sys.argv[3:])
]]

local SEEN = { "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status" }
local SIGNALS =
  { "HUP", "INT", "QUIT", "PIPE", "CHLD", "TERM", "USR1", "USR2", "TSTP", "TTIN", "TTOU", "ALRM", "XFSZ", "WINCH" }

local function words(list)
  local quoted = {}
  for i, word in ipairs(list) do quoted[i] = quote(word) end
  return table.concat(quoted, " ")
end

-- What a program prints that is started with these, natively or with a prefix.
local function with(ignored, blocked, prefix, program)
  return sh(("/usr/bin/python3 -c %s %s %s %s %s")
    :format(quote(SETTER), quote(ignored), quote(blocked), prefix, words(program)))
end

local ways = { traced = support.lencase .. " run umask.lua 077 --" }
if not support.sanitized then ways.inline = support.lencase .. " run --inline umask.lua 077 --" end

for way, prefix in pairs(ways) do
  describe("a program that is run, " .. way .. ",", function()
    local function same(ignored, blocked)
      local native = with(ignored, blocked, "", SEEN)
      assert.truthy(native:find "SigBlk:\t%x+\nSigIgn:\t%x+\n")
      local out, err, status = with(ignored, blocked, prefix, SEEN)
      assert.same({ native, "", 0 }, { out, err, status })
      return native
    end

    it("has the signals ignored that were ignored", function()
      local seen, n = {}, 0
      for _, name in ipairs(SIGNALS) do
        local text = same(name, "")
        n = n + (seen[text] and 0 or 1)
        seen[text] = true
      end
      assert.equal(#SIGNALS, n) -- each was seen, and was another
      same(table.concat(SIGNALS, ","), "")
      same("", "")
    end)

    it("has the signals blocked that were blocked", function()
      for _, name in ipairs(SIGNALS) do same("", name) end
      same("INT", table.concat(SIGNALS, ","))
    end)

    it("survives the signals that it would survive natively", function()
      for _, name in ipairs { "INT", "QUIT", "HUP", "TERM", "USR1", "PIPE" } do
        local program = { "sh", "-c", ("kill -%s $$; echo survived"):format(name) }
        local out, err, status = with(name, "", prefix, program)
        assert.same({ name, "survived\n", "", 0 }, { name, out, err, status })
      end
    end)

    it("has the standard descriptors closed that were closed", function()
      support.in_folder(function(dir)
        local program = ("for fd in 0 1 2; do test -e /proc/self/fd/$fd && echo $fd; done >%s/seen; test -s %s/seen")
          :format(dir, dir)
        for closed, open in pairs { ["0<&-"] = "1\n2\n", ["1>&-"] = "0\n1\n2\n", ["2>&-"] = "0\n1\n",
                                    ["0<&- 2>&-"] = "1\n" } do
          local _, _, status = sh(("exec </dev/null; %s sh -c %s %s"):format(prefix, quote(program), closed))
          assert.same({ closed, 0, open }, { closed, status, support.read_file(dir .. "/seen") })
        end
      end)
    end)

    -- Inline a script's own files are in the program's process.
    if way == "traced" then
      it("has no messages in a file of its script when standard error is closed", function()
        support.in_folder(function(dir)
          support.write_file(dir .. "/g.lua", [[
local file = io.open(..., "w")
return require "lencase".grate { mkdir = function() error "no" end, on_exit = function() file:write "mine" end }]])
          local words_ = prefix:gsub("umask.lua 077", (("%s/g.lua %s/file"):format(dir, dir):gsub("%%", "%%%%")))
          local _, _, status = sh(("%s sh -c 'mkdir %s/a; exit 0' 2>&-"):format(words_, dir))
          assert.equal("mine", support.read_file(dir .. "/file"))
          assert.equal(125, status) -- a message could not be written
        end)
      end)
    end

    it("is ended by the signals that would end it natively", function()
      local out, _, status, how = sh(("sh -c %s"):format(quote(prefix .. " sh -c 'kill -INT $$; echo survived'")))
      assert.same({ "", 130 }, { out, how == "signal" and 128 + status or status })
    end)
  end)
end

describe("scripts/lencase in a checkout", function()
  it("gives SIGINT to the program as it was given", function()
    for _, option in ipairs(support.sanitized and { "" } or { "", "--inline" }) do
      local out, err, status = sh(("(trap '' INT; scripts/lencase run %s umask.lua 077 -- sh -c %s)"):format(option,
        quote "kill -INT $$; echo survived"))
      assert.same({ "survived\n", "", 0 }, { out, err, status })
    end
  end)

  it("is found by a symbolic link, and by PATH", function()
    support.in_folder(function(dir)
      local out =
        sh(("ln -s %s/scripts/lencase %s/mine && cd / && PATH=%s:$PATH mine run umask.lua 077 -- echo yes"):format(
        support.pwd, dir, dir))
      assert.equal("yes\n", out)
    end)
  end)
end)
