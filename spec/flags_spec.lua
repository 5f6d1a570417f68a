-- The names of lua/lencase/flags.lua are the kernel's, and map to values and back.

local ask_c = require "spec.ask_c"
local flags = require "lencase.flags"

describe("flags", function()
  it("have the values of the headers", function()
    local questions = {}
    for _, name in ipairs(flags.names()) do table.insert(questions, { name, name }) end
    local answers = ask_c({ "<fcntl.h>", "<unistd.h>", "<signal.h>", "<sys/mman.h>", "<sys/socket.h>", "<time.h>",
                            "<sys/resource.h>" }, questions)
    assert.is_true(#questions > 100)
    for _, name in ipairs(flags.names()) do assert.are.equal(answers[name], flags.value(name), name) end
  end)

  it("name values, what is left over in hexadecimal", function()
    for _, case in ipairs {
      { "openat", "flags", 0x80241, "O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC" }, { "open", "flags", 0, "O_RDONLY" },
      { "open", "flags", 0x40000002, "O_RDWR|0x40000000" }, { "mmap", "prot", 0, "PROT_NONE" },
      { "mmap", "flags", 0x22, "MAP_PRIVATE|MAP_ANONYMOUS" }, { "openat", "dirfd", -100, "AT_FDCWD" },
      { "kill", "sig", 9, "SIGKILL" }, { "newfstatat", "flags", 0, "0" }, { "access", "mode", 6, "R_OK|W_OK" },
    } do
      local call, parameter, number, text = table.unpack(case)
      local named = flags.name(call, parameter, number)
      if parameter == "mode" then named = named == "W_OK|R_OK" and text or named end
      assert.are.equal(text, named)
    end
    assert.is_nil(flags.name("openat", "dirfd", 3))
    assert.is_nil(flags.name("write", "fd", 1))
  end)

  it("are found by the call's own names first", function()
    assert.are.equal(0x200, flags.value("AT_EACCESS", "faccessat2", "flags"))
    assert.are.equal(0x200, flags.value("AT_REMOVEDIR"))
    assert.are.equal(1, flags.value("O_WRONLY", "open", "flags"))
    assert.is_nil(flags.value "O_NOTHING")
  end)
end)
