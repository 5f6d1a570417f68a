-- grate.lua - the prompt as a grate: it runs in on_start, and its handlers are the grate's

local core = require "lencase.core"
local install = require "lencase.install"
local repl = require "lencase.repl"

local HANDLER_SECONDS = 5

local words = { ... }

return install.open {
  timeout = HANDLER_SECONDS,
  on_start = function()
    local ok, failed = core.untimed(function() return true, repl.run(words) end)
    if not ok or failed then error("lencase.repl: failed", 0) end
  end,
}
