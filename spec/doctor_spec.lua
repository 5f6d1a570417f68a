-- lencase doctor: each probe says what is missing, and no other does; what can be used is what runs.

local cjson = require "cjson"
local support = require "spec.support"

local confine = support.build .. "/spec/helper_confine "

-- What it says under a launcher, which itself says 'said' (a pattern): the decoded report, and its exit status.
local function examine(launcher, said)
  local out, err, status = support.sh(("%s %s doctor --json"):format(launcher, support.lencase))
  assert.is_truthy(err:find("^" .. (said or "") .. "$"), err)
  return cjson.decode(out), status
end

-- name -> probe, of those that are missing.
local function missing_of(report)
  local missing = {}
  for _, p in ipairs(report.probes) do
    if p.state == "missing" then missing[p.name] = p end
  end
  return missing
end

local function sorted(set)
  local list = {}
  for name in pairs(set) do table.insert(list, name) end
  table.sort(list)
  return list
end

local function host_of(report, name)
  for _, host in ipairs(report.hosts) do
    if host.name == name then return host end
  end
end

local function entry_of(report, host, name)
  for _, entry in ipairs(host_of(report, host).entries) do
    if entry.name == name then return entry end
  end
end

local function filter_of(report)
  for _, p in ipairs(report.probes) do
    if p.name == "outer-filter" then return p.text end
  end
end

-- A filter by arguments; what it does not name is allowed.
local function in_file(rules)
  return function(dir) return "-f " .. support.write_file(dir .. "/rules", "default allow\n" .. rules .. "\n") end
end

-- As containers have it: what is not on the list is refused, and so is a call without a number.
local function allow_list(dir)
  local rules = { "default ENOSYS" }
  for nr = 0, 600 do table.insert(rules, "allow " .. nr) end
  return "-f " .. support.write_file(dir .. "/rules", table.concat(rules, "\n") .. "\n")
end

-- What a filter refuses, with which errno, and the probes that are missing then.
local refusals = {
  { "-e clone=EPERM -e fork=EPERM", "EPERM", "fork" },
  { "-e uname=EPERM", "EPERM", "kernel" },
  { "-e statfs=EACCES", "EACCES", "proc" },
  { "-e capget=EPERM", "EPERM", "sys-ptrace" },
  { "-e clone3=EPERM", "EPERM", "clone3", "threads" },
  { "-e clone3=ENOSYS", "ENOSYS", "clone3" },
  { "-e pidfd_open=ENOSYS", "ENOSYS", "pidfd" },
  { "-e pidfd_send_signal=EPERM", "EPERM", "pidfd" },
  { "-e pidfd_getfd=EPERM", "EPERM", "pidfd-getfd" },
  { "-e ptrace=EPERM", "EPERM", "ptrace" },
  { in_file "EIO ptrace 0,eq,2", "EIO", "peek" },
  { in_file "EIO ptrace 0,eq,0x420e", "EIO", "stop" },
  { "-e process_vm_readv=ENOSYS", "ENOSYS", "vm-read" },
  { "-e process_vm_writev=EPERM", "EPERM", "vm-write" },
  { "-e pwrite64=EPERM", "EPERM", "proc-mem", "memfd-exec" },
  { in_file "ENOTTY ioctl 1,eq,0xc0686611", "ENOTTY", "procmap-query" },
  { "-e prctl=EPERM", "EPERM", "dispatch", "no-new-privs" },
  { in_file "EINVAL prctl 0,eq,59", "EINVAL", "dispatch" },
  { in_file "EPERM prctl 0,eq,38", "EPERM", "no-new-privs" },
  { "-e seccomp=EPERM", "EPERM", "seccomp" },
  { "-e seccomp=ENOSYS", "ENOSYS", "seccomp" },
  { in_file "EPERM seccomp\nEPERM prctl 0,eq,22", "EPERM", "filter", "seccomp" },
  { in_file "EINVAL seccomp 1,masked,1,1", "EINVAL", "tsync" },
  { in_file "EINVAL seccomp 1,masked,8,8", "EINVAL", "listener" },
  { in_file "EINVAL seccomp 1,masked,32,32", "EINVAL", "wait-killable" },
  { "-n uname", "EBUSY", "unwatched" },
  { in_file "ENOTTY ioctl 1,eq,0xc0502100", "ENOTTY", "notify" },
  { in_file "ENOTTY ioctl 1,eq,0x40182103", "ENOTTY", "addfd" },
  { in_file "ENOTTY ioctl 1,eq,0x40082104", "ENOTTY", "sync-wake-up" },
  { "-e sendmsg=EPERM", "EPERM", "scm-rights" },
  { "-e memfd_create=EPERM", "EPERM", "memfd" },
  { in_file "EACCES memfd_create 1,masked,0x10,0x10", "EACCES", "memfd-exec" },
  { in_file "EINVAL fcntl 1,eq,1033 2,masked,0x10,0x10", "EINVAL", "seal" },
  { "-e 462=ENOSYS", "ENOSYS", "mseal" },
  { "-e landlock_create_ruleset=EOPNOTSUPP", "EOPNOTSUPP", "landlock" },
  { "-e unshare=EPERM", "EPERM", "userns" },
  { allow_list, nil, "skip" },
}

-- Probes that no filter can make fail, and those of the tests below.
local others = { "attach", "constant", "fsgsbase", "hidepid", "namespace", "outer-filter", "pids", "vdso", "window" }

describe("lencase doctor", function()
  local here -- what is missing on this machine and for this user, without a filter
  local all = {}
  local confined -- a filter is in force here already: some places cannot be made then

  setup(function()
    local report = examine ""
    confined = filter_of(report) ~= "none"
    here = missing_of(report)
    for _, p in ipairs(report.probes) do all[p.name] = p end
  end)

  -- The probes that are missing besides those which are missing here.
  local function newly_missing(report)
    local missing = missing_of(report)
    for name in pairs(here) do missing[name] = nil end
    return missing
  end

  for _, row in ipairs(refusals) do
    local how, errno = row[1], row[2]
    local expected = table.move(row, 3, #row, 1, {})
    it(("finds %s missing (%s)")
      :format(table.concat(expected, ", "), type(how) == "string" and how or errno or "allow-list"), function()
      if confined and how == "-n uname" then return pending "a filter is in force here" end
      support.in_folder(function(dir)
        local report = examine(confine .. (type(how) == "string" and how or how(dir)))
        local missing, wanted = newly_missing(report), {}
        for _, name in ipairs(expected) do wanted[name] = not here[name] or nil end
        assert.are.same(sorted(wanted), sorted(missing))
        for name, p in pairs(missing) do assert.are.equal(errno, p.errno, name) end
      end)
    end)
  end

  it("has a test for each probe", function()
    local tested = {}
    for _, row in ipairs(refusals) do
      for i = 3, #row do tested[row[i]] = true end
    end
    for _, name in ipairs(others) do tested[name] = true end
    assert.are.same(sorted(all), sorted(tested))
  end)

  it("leaves no process whose call it cannot answer", function()
    local line = ("timeout 60 sh -c '%s -e prctl=EPERM -e ioctl=EPERM -- %s doctor --json | tail -c 1'"):format(
      confine:match "^%S+", support.lencase)
    local out, err, status = support.sh(line) -- tail waits for the last that has the pipe
    assert.are.same({ "\n", "", 0 }, { out, err, status })
  end)

  it("survives a filter that kills a process", function()
    local p = newly_missing(examine(confine .. "-k ptrace")).ptrace
    assert.are.equal("SYS", p.signal)
    assert.are.equal("in a container: --cap-add SYS_PTRACE, or --security-opt seccomp=unconfined, or a profile that "
                     .. "allows it", p.cure)
  end)

  it("does not try what depends on something missing, and says on what", function()
    local needs = {}
    for _, p in ipairs(examine(confine .. "-e seccomp=EPERM").probes) do needs[p.name] = p.needs end
    for _, name in ipairs { "tsync", "listener" } do assert.are.equal("seccomp", needs[name]) end
    assert.are.equal("listener", needs.notify)
    assert.is_nil(needs.memfd)
  end)

  it("says whether a filter from outside is in force", function()
    local one = confine .. "-e 462=ENOSYS "
    if confined then return pending "a filter is in force here" end
    assert.are.equal("a seccomp filter from outside is in force", filter_of(examine(one)))
    assert.are.equal("2 seccomp filters from outside are in force", filter_of(examine(one .. one)))
  end)

  it("names a tracer", function()
    if confined then return pending "a filter is in force here" end
    local report = examine(support.lencase .. " run examples/umask.lua 022 -- ",
      "lencase: cage %d+ loads a seccomp filter with a listener[^\n]+\n"
        .. "lencase: cage %d+ has no window [^\n]+\n")
    local p = newly_missing(report).ptrace
    assert.is_truthy(p.text:find "^process %d+ traces what is started here", p.text)
    assert.are.equal("run it without that tracer", p.cure)
    assert.is_false(host_of(report, "trace").usable)
    assert.are.equal("lencase run --inline", host_of(report, "trace").instead)
  end)

  it("misses the inline host's library where it is not", function()
    support.in_folder(function(dir)
      os.execute(("mkdir %s/lencase && ln -s $(realpath %s/lencase/core.so) %s/lencase && cp -r scripts lua %s"):format(
        dir, support.build, dir, dir))
      local out = support.sh(("LENCASE_BUILD=. lua5.4 %s/scripts/lencase doctor --json"):format(dir))
      local report = cjson.decode(out)
      assert.are.equal("liblencase-engine.so is not there", newly_missing(report).namespace.text)
      assert.is_false(host_of(report, "inline").usable)
    end)
  end)

  -- In namespaces of its own, where this user may make them.
  describe("in a place of its own", function()
    local function in_namespaces(name, flags, commands, f)
      it(name, function()
        if here.userns then return pending "no user namespaces here" end
        support.in_folder(function(dir)
          local script =
            support.write_file(dir .. "/enter", ("#!/bin/sh\nexec unshare %s sh -ec %s sh \"$@\"\n"):format(
            flags, support.quote(commands .. '\nexec "$@"')))
          f("sh " .. script)
        end)
      end)
    end

    in_namespaces("without /proc", "-rm", "mount -t tmpfs none /proc", function(launcher)
      local report, status = examine(launcher)
      assert.is_truthy(missing_of(report).proc)
      assert.are.same({ "proc" }, host_of(report, "trace").without)
      assert.are.equal("mount -t proc proc /proc", host_of(report, "trace").cure)
      assert.are.same({ "proc" }, entry_of(report, "trace", "handlers").without)
      assert.are.equal("a seccomp filter from outside is in force",
                       filter_of(examine(launcher .. " " .. confine .. "-e 462=ENOSYS")))
      assert.are.equal(0, status)
    end)

    in_namespaces("with another pid namespace's /proc", "-rpf", "", function(launcher)
      local report = examine(launcher)
      assert.are.equal("/proc belongs to another pid namespace", missing_of(report).pids.text)
      assert.are.same({ "pids" }, entry_of(report, "trace", "paths below descriptors").without)
    end)

    in_namespaces("as root of a user namespace", "-r", "", function(launcher)
      local report, status = examine(launcher)
      assert.is_nil(missing_of(report)["sys-ptrace"])
      assert.is_true(host_of(report, "trace").usable)
      assert.are.equal(0, status)
    end)
  end)

  -- Findings of probes that no test can cause here, and what to do about them.
  local findings = {
    { "ptrace", { errno = "EPERM", text = "PTRACE_SEIZE, kernel.yama.ptrace_scope is 3" },
      "sysctl kernel.yama.ptrace_scope=1 (from 3: after a restart)" },
    { "attach", { errno = "EPERM", text = "PTRACE_SEIZE, kernel.yama.ptrace_scope is 1" },
      "sysctl kernel.yama.ptrace_scope=0, or CAP_SYS_PTRACE" },
    { "memfd-exec", { errno = "EACCES", text = "memfd_create(MFD_EXEC)" }, "sysctl vm.memfd_noexec=1" },
    { "unwatched", { errno = "EBUSY", text = "a listener from outside is in force" }, "run lencase outside of it" },
    { "mseal", { errno = "ENOSYS", text = "mseal" }, "Linux 6.10 has it" },
    { "sync-wake-up", { errno = "ENOTTY", text = "SECCOMP_IOCTL_NOTIF_SET_FLAGS" }, "Linux 6.6 has it" },
    { "hidepid", { errno = "ENOENT", text = "/proc/1 (hidepid)" },
      "mount -o remount,hidepid=0 /proc, if you want that" },
    { "userns", { errno = "ENOSPC", text = "unshare" } },
  }
  for _, row in ipairs(findings) do
    local name, finding, cure = row[1], row[2], row[3]
    it(("knows what to do about %s: %s"):format(name, finding.text), function()
      if confined then return pending "a filter is in force here" end
      local probes = examine("").probes
      for _, p in ipairs(probes) do
        if p.name == name then p.state, p.errno, p.text = "missing", finding.errno, finding.text end
      end
      assert.are.equal(cure, missing_of(require "lencase.tools.doctor".examine(probes))[name].cure)
    end)
  end

  -- What it says can be used runs, and what cannot does not.
  local grate = [[
    local lencase = require "lencase"
    return lencase.grate { write = { "copy buf", function(fd, buf, count)
      return lencase.sys.write(fd, tostring(buf):upper(), count)
    end } }]]
  for _, how in ipairs { "", "-e ptrace=EPERM", "-e seccomp=EPERM", "-e prctl=EPERM", "-n uname", "-e pidfd_open=EPERM",
                         "-e pidfd_getfd=EPERM", "-e process_vm_readv=ENOSYS", "-e memfd_create=EPERM",
                         "-e sendmsg=EPERM",
                         "-e clone3=EPERM", "-e seccomp=EPERM -e prctl=EPERM" } do
    it("says what runs" .. (how ~= "" and ": " .. how or ""), function()
      if confined and how == "-n uname" then return pending "a filter is in force here" end
      support.in_folder(function(dir)
        local launcher = how ~= "" and confine .. how or ""
        local script, report = support.write_file(dir .. "/upper.lua", grate), examine(launcher)
        for name, flag in pairs { trace = "", inline = "--inline" } do
          local out, err, status =
            support.sh(("%s %s run %s %s -- echo hello"):format(launcher, support.lencase, flag, script))
          local runs = out == "HELLO\n" and status == 0
          assert.are.equal(entry_of(report, name, "replaced arguments").usable, runs, name .. ": " .. err)
          if runs and name == "trace" then
            assert.are.equal(entry_of(report, name, "replaced arguments out of the program's reach").usable,
              not err:find "has no window", err)
            assert.are.equal(entry_of(report, name, "other calls at full speed").usable,
              not err:find "every call of the program stops", err)
          end
        end
      end)
    end)
  end

  it("shows a line for each probe and host", function()
    if confined then return pending "a filter is in force here" end
    local out, err, status = support.sh(("%s -e ptrace=EPERM %s doctor"):format(confine, support.lencase))
    assert.are.equal("", err)
    assert.are.equal(0, status)
    local cure =
      "in a container: --cap-add SYS_PTRACE, or --security-opt seccomp=unconfined, or a profile that allows it"
    local function has(line)
      assert.is_truthy(("\n" .. out):find("\n" .. line .. "\n", 1, true), line .. " in\n" .. out)
    end
    has("missing  ptrace        stopping a program at its calls: PTRACE_SEIZE: EPERM (" .. cure .. ")")
    has "untried  stop          a named call stops for its handler, and gets its result: not tried without ptrace"
    has "ok       filter        only calls that a script names stop"
    has("no       trace         lencase run: without ptrace; " .. cure .. "; or lencase run --inline")
    has "usable   inline        lencase run --inline: handlers, replaced arguments, constants"
    local _, lines = out:gsub("\n", "")
    assert.are.equal(#sorted(all) + 1 + 3, lines)
  end)

  it("has an exit status for whether programs can be run", function()
    assert.are.equal(0, (select(2, examine(confine .. "-e prctl=EPERM"))))
    assert.are.equal(1, (select(2, examine(confine .. "-e prctl=EPERM -e ptrace=EPERM"))))
    local _, err, status = support.sh(support.lencase .. " doctor --no-such-option")
    assert.is_truthy(err:find "^lencase: unknown option")
    assert.are.equal(2, status)
  end)
end)
