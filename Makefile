# lencase: build, tests, checks, installation (GNU make)
#
#   make              all that is installed, into build/
#   make demo         count the bytes that a real program writes (installs what is missing)
#   make test         [JOBS=] [SEED=] every test (installs what is missing); ends in `N passed, N failed`
#   make test-namespace   the same, once, each file in new namespaces of pids (small ones) and mounts
#   make test-fresh   [SUITE=bookworm] README's commands in a fresh Debian with nothing but make and git
#   make check        layers, generated files, style, static analysis, exported symbols
#   make generate     core/signature_data.c anew from lua/lencase/, the states of threads in core/README.md
#   make test-docker  every test under Docker's seccomp profile, with its capabilities
#   make check-hard   every test on a build with the smallest caches and poisoned frees
#   make stress       many processes and threads, a supervisor that is killed, each damage of a recording (make test: less)
#   make attacks      [TRIES=2000] programs that try to get round a grate, for long (make test: a few tries)
#   make asan         tests under the address and undefined-behaviour sanitizers
#   make check-identity  [CALLS=100000] [SEED=1] odd calls natively and in a cage, compared
#   make transparency [JOBS=git,cargo] [HOSTS=trace,inline] [LARGE=1] real programs natively and in a cage, compared
#   make ubsan        those of the inline host under the latter alone
#   make tsan         the test with threads under the thread sanitizer
#   make wasm-objects what a grate of Lind's is made of, compiled for wasm32
#   make fuzz         [SECONDS=60] the C API in any order, by clang's libFuzzer if there is a clang
#   make valgrind     tests that trace no program, under valgrind
#   make format       the C files as make check wants them
#   make bench        what an intercepted call costs, and whether threads share what there is
#   make install      [PREFIX=/usr/local] [DESTDIR=], and make uninstall

SYSTEM := $(shell uname -s) $(shell uname -m)
ifneq ($(SYSTEM),Linux x86_64)
$(error lencase runs on Linux, x86-64; this is $(SYSTEM))
endif

PREFIX = /usr/local
BUILD = build
CC = gcc
LUA = lua5.4
PKG_CONFIG = pkg-config
INSTALL = install

VERSION := $(shell sed -n 's/^\#define LENCASE_VERSION "\(.*\)"/\1/p' core/lencase.h)
ABI = 0
SONAME = liblencase.so.$(ABI)

# Expanded in recipes, not when make starts: install-deps may have to install pkg-config first.
LUA_CFLAGS = $(shell $(PKG_CONFIG) --cflags lua5.4)
LUA_LIBS = $(shell $(PKG_CONFIG) --libs lua5.4)
LIBS = $(shell $(PKG_CONFIG) --libs libseccomp) -lpthread

WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Werror
# _GNU_SOURCE is empty so that a file which defines it too, as the manual says, says the same.
CFLAGS = -std=gnu11 -D_GNU_SOURCE= -DNDEBUG -O2 -g -fPIC $(WARNINGS)
# What a variant of the build adds: check-hard and asan, below. They have assertions, by -UNDEBUG.
VARIANT =
COMPILE = $(CC) $(CFLAGS) $(VARIANT) -MMD -MP

# The host for Lind's grates is linked into those alone: its functions are Lind's.
LIND := $(wildcard core/host/lind/*.c)
# Numbers of C for assembly, below.
OFFSETS := $(wildcard core/host/*/offsets.c)
SOURCES := $(filter-out $(LIND) $(OFFSETS),$(wildcard core/*.c core/bind/*.c core/host/*.c core/host/*/*.c))
ASSEMBLY := $(wildcard core/host/*/*.S)
HEADERS := $(wildcard core/*.h core/bind/*.h core/host/*.h core/host/*/*.h core/host/*/*/*.h)
OBJECTS := $(SOURCES:%.c=$(BUILD)/obj/%.o) $(ASSEMBLY:%.S=$(BUILD)/obj/%.o)
GENERATED = core/signature_data.c

C_TESTS := $(patsubst %.c,$(BUILD)/%,$(filter-out spec/c/helper_%,$(wildcard spec/c/*.c)))
C_HELPERS := $(patsubst spec/c/%.c,$(BUILD)/spec/%,$(wildcard spec/c/helper_*.c))
C_HELPERS += $(patsubst spec/c/helper_%.c,$(BUILD)/spec/dynamic_%,$(wildcard spec/c/helper_*.c))
ATTACKS := $(patsubst %.c,$(BUILD)/%,$(wildcard spec/attacks/*.c))
SPECS := $(wildcard spec/*_spec.lua examples/*_spec.lua)

LIBRARY = $(BUILD)/liblencase.a $(BUILD)/liblencase.so
INLINE = $(BUILD)/liblencase-inline.so $(BUILD)/liblencase-engine.so
INLINE_SOURCES := $(wildcard core/host/inline/preload/*.c)
MODULE = $(BUILD)/lencase/core.so
MANUAL = $(BUILD)/man/lencase.1 $(BUILD)/man/lencase.3 $(BUILD)/man/lencase.7
LUALS = $(BUILD)/luals/lencase.d.lua
COMPLETION = $(BUILD)/completion/lencase
COMMAND = $(BUILD)/bin/lencase

# Before a first build, but not for goals that install what is missing, or build nothing.
ifeq ($(filter demo test test-namespace test-fresh test-docker check check-hard asan ubsan tsan wasm-objects fuzz transparency valgrind uninstall clean,$(MAKECMDGOALS))$(wildcard $(BUILD)/liblencase.so),)
MISSING := $(shell scripts/missing-needs '$(CC)' '$(PKG_CONFIG)' '$(LUA)')
ifneq ($(MISSING),)
$(error a build needs what is not here: $(MISSING); `make demo` installs what is missing)
endif
endif

.DELETE_ON_ERROR:
.PHONY: all demo generate test test-namespace test-fresh test-docker run-tests check-hard stress attacks asan ubsan tsan wasm-objects fuzz fuzz-clang \
        fuzz-seeds valgrind bench check check-layers check-generated check-lua check-style \
        check-static check-symbols format install uninstall clean

all: $(LIBRARY) $(MODULE) $(COMMAND) $(INLINE) $(MANUAL) $(LUALS) $(COMPLETION)

# --- the library and the module ------------------------------------------------------------

$(filter $(BUILD)/obj/core/grate% $(BUILD)/obj/core/bind/%,$(OBJECTS)): CFLAGS += $(LUA_CFLAGS)

$(BUILD)/obj/core/host/trace/stub.o: $(BUILD)/obj/core/host/trace/offsets.h

# Thread pointers and stacks are switched in there.
$(filter $(BUILD)/obj/core/host/inline/%,$(OBJECTS)): CFLAGS += -fno-stack-protector
$(BUILD)/obj/core/host/inline/preload/engine.o: CFLAGS += -fno-stack-protector

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(COMPILE) -fvisibility=hidden -c -o $@ $<

$(BUILD)/obj/%.o: %.S Makefile
	@mkdir -p $(@D)
	$(COMPILE) -I$(@D) -c -o $@ $<

# As the kernel's asm-offsets.h: what the compiler makes of offsets.c has lines .ascii "->NAME $number".
$(BUILD)/obj/%/offsets.h: %/offsets.c Makefile
	@mkdir -p $(@D)
	$(COMPILE) -MF $(@:.h=.d) -MT $@ -S -o $(@:.h=.s) $<
	sed -n 's/.*"->\([A-Z0-9_]*\) \$$*\(.*\)"/#define \1 \2/p' $(@:.h=.s) > $@

$(BUILD)/obj/core/host/inline/entry.o: $(BUILD)/obj/core/host/inline/offsets.h

$(BUILD)/liblencase.a: $(OBJECTS)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/liblencase.so.$(VERSION): $(OBJECTS) $(BUILD)/liblencase.map
	$(CC) $(VARIANT) -shared -Wl,-soname,$(SONAME) -Wl,-z,defs -Wl,--version-script,$(BUILD)/liblencase.map \
	  -o $@ $(filter %.o,$^) $(LUA_LIBS) $(LIBS)

# What lencase.h declares, and nothing else, is there for others.
$(BUILD)/declared: core/lencase.h
	@mkdir -p $(@D)
	@{ echo luaopen_lencase_core; \
	  sed -n '/^typedef/d; s/^[a-z].*[ *]\(lencase_[a-z_]*\)(.*/\1/p' $<; } | sort > $@

$(BUILD)/liblencase.map: $(BUILD)/declared
	@{ echo 'LENCASE_$(ABI) {'; echo 'global:'; sed 's/$$/;/' $<; echo 'local: *;'; echo '};'; } > $@

$(BUILD)/liblencase.so: $(BUILD)/liblencase.so.$(VERSION)
	ln -sf $(<F) $(BUILD)/$(SONAME)
	ln -sf $(SONAME) $@

# Not linked with liblua: the Lua that loads a module brings the symbols, and a second copy of Lua
# in the process would be wrong (/usr/bin/lua5.4 has Lua inside and exports it). Bound at load
# time (-z now) so that a missing symbol is an error of `require`, and to itself (-Bsymbolic) so
# that a program that also links liblencase.so does not mix two builds.
$(MODULE): $(OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(VARIANT) -shared -Wl,-z,now -Wl,-Bsymbolic -o $@ $^ $(LIBS)

# It brings Lua's symbols for the module, as lua5.4 does.
$(COMMAND): scripts/main.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LUA_CFLAGS) -MMD -MP -o $@ $< $(LUA_LIBS)

COMMANDS := $(wildcard lua/lencase/cli/*.lua)

# One source for each page: the command's own parser, the header's comments, the language's page.
$(BUILD)/man/lencase.%: scripts/gen-manual.lua scripts/parser-of.lua $(COMMANDS) core/lencase.h \
    lua/lencase/tools/recording.lua lua/lencase/README.md
	@mkdir -p $(@D)
	$(LUA) $< $* > $@

# What a program that runs inline preloads, and what that loads into a link namespace of its own:
# the library and Lua. Debian's liblua5.4.a is not position-independent, and a namespace needs no
# hidden symbols: liblua5.4.so there is another than the program's.
$(BUILD)/liblencase-inline.so: core/host/inline/preload/preload.c core/host/inline/code.h core/host/inline/inline.h Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -fvisibility=hidden -shared -Wl,-z,defs -o $@ $<

PRELOAD = $(BUILD)/obj/core/host/inline/preload
# Of lencase's modules in Lua those that a grate needs.
GRATE_MODULES := $(wildcard lua/lencase/*.lua lua/lencase/calls/*.lua)

$(BUILD)/modules.bin: scripts/gen-bytecode.lua $(GRATE_MODULES)
	@mkdir -p $(@D)
	$(LUA) $^ > $@

$(PRELOAD)/modules.o: CFLAGS += -DMODULES_FILE='"$(BUILD)/modules.bin"'
$(PRELOAD)/modules.o: $(BUILD)/modules.bin

$(BUILD)/liblencase-engine.so: $(PRELOAD)/engine.o $(PRELOAD)/modules.o $(OBJECTS)
	$(CC) $(VARIANT) -shared -Wl,-z,now -Wl,-z,defs -o $@ $^ $(LUA_LIBS) $(LIBS)

$(LUALS): scripts/gen-luals.lua $(GRATE_MODULES)
	@mkdir -p $(@D)
	$(LUA) $< > $@

$(COMPLETION): scripts/gen-completion.lua scripts/parser-of.lua $(COMMANDS) $(GRATE_MODULES)
	@mkdir -p $(@D)
	$(LUA) $< > $@

generate:
	$(LUA) scripts/gen-signatures.lua > $(GENERATED)
	$(LUA) scripts/gen-states.lua > core/README.md.new && mv core/README.md.new core/README.md

# --- demo ----------------------------------------------------------------------------------

define DEMO_PROGRAM
tar cf "$$1/core.tar" core &&
printf "%s\n" "#include <stdio.h>" "int main(void) { return puts(\"hello\") < 0; }" > "$$1/hello.c" &&
cc -o "$$1/hello" "$$1/hello.c" &&
"$$1/hello"
endef
export DEMO_PROGRAM

demo:
	@scripts/install-deps demo
	@$(MAKE) -s all
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	 scripts/lencase run examples/count_writes.lua -- sh -c "$$DEMO_PROGRAM" sh "$$dir"

# --- tests ---------------------------------------------------------------------------------

$(BUILD)/spec/c/%: spec/c/%.c $(BUILD)/liblencase.a
	@mkdir -p $(@D)
	$(COMPILE) -Icore $(LUA_CFLAGS) -o $@ $(filter %.c %.o,$^) $(BUILD)/liblencase.a $(LUA_LIBS) $(LIBS)

$(BUILD)/spec/c/lind: $(BUILD)/obj/core/host/lind/lind.o

# Programs that specs run in a cage: plain ones, whatever the variant of the library is, and
# static, so that no dynamic linker makes calls of its own.
$(BUILD)/spec/helper_%: spec/c/helper_%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -static -o $@ $< -lpthread -lm -lseccomp

# Linked at fixed addresses, which such a program knows of others.
$(BUILD)/spec/attacks/%: spec/attacks/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -static -no-pie $(ATTACK_LINK) -o $@ $< -lpthread

$(BUILD)/spec/attacks/exec: ATTACK_LINK = -Wl,-e,start -Wl,--no-warn-rwx-segments

# The same with a dynamic linker, for the host that needs one.
$(BUILD)/spec/dynamic_%: spec/c/helper_%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -o $@ $< -lpthread -lm -lseccomp

# JOBS: so many files at a time, instead of one for each CPU. SEED: the order of a run that printed it.
JOBS =
SEED =
TEST_FLAGS =

test:
	@scripts/install-deps test
	@$(MAKE) -s run-tests TEST_FLAGS=--as-user-too

test-namespace:
	@scripts/install-deps test
	@$(MAKE) -s run-tests TEST_FLAGS=--namespace

SUITE = bookworm

test-fresh:
	@scripts/install-deps fresh
	@scripts/test-fresh $(SUITE)

run-tests: all $(C_TESTS) $(C_HELPERS) $(ATTACKS)
	@$(LUA) scripts/run-tests.lua --build $(BUILD) $(if $(JOBS),--jobs $(JOBS)) $(if $(SEED),--seed $(SEED)) \
	  $(TEST_FLAGS) $(C_TESTS) $(SPECS)

# On both hosts, in the four styles of spec/identity/grate.lua.
CALLS = 100000

.PHONY: check-identity
check-identity:
	@scripts/install-deps test
	@$(MAKE) -s all $(C_HELPERS)
	@LENCASE_BUILD=$(BUILD) $(LUA) spec/identity/run.lua --seed $(or $(SEED),1) --calls $$(($(CALLS) / 8))

# Real programs; LARGE=1 has the large ones installed, too, which else are left out where they are not here.
HOSTS = trace,inline
LARGE =

.PHONY: transparency
transparency:
	@scripts/install-deps test transparency
	@$(MAKE) -s all
	@$(if $(LARGE),LENCASE_BUILD=$(BUILD) scripts/install-deps transparency-large)
	@LENCASE_BUILD=$(BUILD) $(LUA) spec/transparency/run.lua $(if $(JOBS),--jobs $(JOBS)) --hosts $(HOSTS)

# As in a container of Docker's: its seccomp profile, and root with the capabilities that it gives.
DOCKER_CAPS = -all,+chown,+dac_override,+fsetid,+fowner,+mknod,+net_raw,+setgid,+setuid,+setfcap,+setpcap,+net_bind_service,+sys_chroot,+kill,+audit_write

$(BUILD)/docker.rules: scripts/docker-rules scripts/seccomp-rules
	@mkdir -p $(@D)
	@scripts/docker-rules $@

test-docker:
	@scripts/install-deps test
	@$(MAKE) -s all $(C_TESTS) $(C_HELPERS) $(ATTACKS) $(BUILD)/docker.rules
	@$(BUILD)/spec/helper_confine -f $(BUILD)/docker.rules -- \
	  setpriv --inh-caps=-all --bounding-set=$(DOCKER_CAPS) $(MAKE) -s run-tests TEST_FLAGS=--as-user-too

check-hard:
	@scripts/install-deps test
	@$(MAKE) -s BUILD=build-hard VARIANT='-DLENCASE_HARD -UNDEBUG' SPECS='$(filter-out $(ORDINARY),$(SPECS))' run-tests

TRIES = 2000

attacks: all $(ATTACKS) $(BUILD)/spec/helper_confine
	@LENCASE_TRIES=$(TRIES) LENCASE_BUILD=$(BUILD) $(LUA) /usr/bin/busted spec/attacks_spec.lua

stress: all $(BUILD)/spec/c/trace_stress
	LENCASE_STRESS=1 $(BUILD)/spec/c/trace_stress
	@LENCASE_STRESS=1 LENCASE_BUILD=$(BUILD) $(LUA) /usr/bin/busted spec/record_spec.lua

# The stock lua5.4 that runs the specs was not built with ASan, so its runtime is preloaded. Leaks
# are looked for in the C tests alone: the programs that specs trace inherit the preload, and
# LeakSanitizer does not work under a tracer. What is installed, and what README's commands build, is
# the ordinary build.
SANITIZE = -UNDEBUG -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
ASAN_SPECS = env LD_PRELOAD=$(shell $(CC) -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0

# What uses the ordinary build; and the host whose link namespace no sanitizer's runtime fits into.
ORDINARY = spec/install_spec.lua spec/embed_spec.lua spec/readme_spec.lua spec/doctor_spec.lua spec/transparency_spec.lua
NOT_ASAN = $(ORDINARY) spec/inline_spec.lua spec/inline_confined_spec.lua spec/debug_inline_spec.lua

asan:
	@scripts/install-deps test
	@$(MAKE) -s BUILD=build-asan VARIANT='$(SANITIZE)' \
	  TEST_FLAGS='--spec-prefix "$(ASAN_SPECS)"' \
	  C_TESTS='$(patsubst $(BUILD)/%,build-asan/%,$(filter-out %/inline,$(C_TESTS)))' \
	  SPECS='$(filter-out $(NOT_ASAN),$(SPECS))' run-tests

INLINE_SPECS = spec/inline_spec.lua spec/inline_confined_spec.lua spec/merge_spec.lua spec/debug_inline_spec.lua

# The inline host, which has no room for AddressSanitizer's runtime.
ubsan:
	@scripts/install-deps test
	@$(MAKE) -s BUILD=build-ubsan VARIANT='-UNDEBUG -fsanitize=undefined -fno-sanitize-recover=all' \
	  C_TESTS=build-ubsan/spec/c/inline SPECS='$(INLINE_SPECS)' run-tests

# With a clang that has libFuzzer the strings are made to reach new code, and those that did are kept
# in build-fuzz/corpus; a string that failed is left in build-fuzz/. Without, they are of seeds.
SECONDS = 60
CLANGS = clang clang-19 clang-16 clang-14
HAS_LIBFUZZER = echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' | \
  $(c) -fsanitize=fuzzer -x c -o /dev/null - 2> /dev/null && echo $(c)
CLANG = $(firstword $(foreach c,$(CLANGS),$(shell $(HAS_LIBFUZZER))))
LIBFUZZER = -max_total_time=$(SECONDS) -max_len=4096 -len_control=0 -timeout=20 -print_final_stats=1 \
  -close_fd_mask=1 -artifact_prefix=build-fuzz/

fuzz:
	@scripts/install-deps test
	@clang='$(CLANG)'; if [ "$$clang" ]; then $(MAKE) -s CLANG=$$clang fuzz-clang; else $(MAKE) -s fuzz-seeds; fi

fuzz-clang:
	@$(MAKE) -s BUILD=build-fuzz CC=$(CLANG) WARNINGS= \
	  VARIANT='$(SANITIZE) -fsanitize=fuzzer-no-link -DLENCASE_LIBFUZZER' \
	  LIBS='$(LIBS) -fsanitize=fuzzer' build-fuzz/spec/c/fuzz_api
	@mkdir -p build-fuzz/corpus
	@for i in 1 2 3 4 5 6 7 8; do head -c 4096 /dev/urandom > build-fuzz/corpus/random-$$i; done
	build-fuzz/spec/c/fuzz_api $(LIBFUZZER) build-fuzz/corpus

fuzz-seeds:
	@$(MAKE) -s BUILD=build-asan VARIANT='$(SANITIZE)' build-asan/spec/c/fuzz_api
	build-asan/spec/c/fuzz_api -s $(SECONDS) $$(date +%s) > build-asan/fuzz.log; tail -n 8 build-asan/fuzz.log; \
	  tail -n 1 build-asan/fuzz.log | grep -q ' 0 failed'

# valgrind cannot follow what ptrace does to a traced program: only what runs on sim.
VALGRIND = valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite
TRACING := $(shell grep -lsE 'lencase_trace_run|lencase_inline_start|trace_fixture|scripts/lencase|support.lencase' $(wildcard spec/c/*.c) $(SPECS))

# What of the library a Lind grate is made of, compiled to wasm32 as far as headers go: Debian's
# libc for wasm32 is not Lind's (core/host/lind/README.md), so nothing is linked.
WASM = clang --target=wasm32-wasi --sysroot=/usr -std=gnu11 -O2 -Wall -Wextra -Wno-format \
       -Wno-implicit-function-declaration -Wno-pointer-integer-compare -Wno-int-conversion -Werror
WASM_SOURCES = $(filter-out core/bind/%,$(wildcard core/*.c)) core/bind/interface.c core/bind/signature.c $(LIND)

wasm-objects:
	@scripts/install-deps wasm
	@mkdir -p build-wasm && : > build-wasm/lua5.4-deb-multiarch.h
	@set -e; for file in $(WASM_SOURCES); do \
	  $(WASM) -Icore -Ibuild-wasm $(LUA_CFLAGS) -c -o build-wasm/$$(basename $$file .c).o $$file; done
	@echo "wasm-objects: $(words $(WASM_SOURCES)) files compiled for wasm32"

tsan:
	@scripts/install-deps test
	@$(MAKE) -s BUILD=build-tsan VARIANT='-UNDEBUG -fsanitize=thread -fno-omit-frame-pointer' SPECS= \
	  C_TESTS=build-tsan/spec/c/threads run-tests

valgrind:
	@scripts/install-deps valgrind
	@$(MAKE) -s TEST_FLAGS='--prefix "$(VALGRIND)" --spec-prefix "$(VALGRIND)"' \
	  C_TESTS='$(filter-out $(TRACING:%.c=$(BUILD)/%),$(C_TESTS))' \
	  SPECS='$(filter-out $(TRACING),$(SPECS))' run-tests

$(BUILD)/bench/bench-inline: scripts/bench-driver.c

$(BUILD)/bench/bench-driver: scripts/bench-driver.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -static -o $@ $< -lpthread

$(BUILD)/bench/%: scripts/%.c $(BUILD)/liblencase.a
	@mkdir -p $(@D)
	$(COMPILE) -Icore $(LUA_CFLAGS) -o $@ $< $(BUILD)/liblencase.a $(LUA_LIBS) $(LIBS)

bench: all $(BUILD)/bench/bench-stack $(BUILD)/bench/bench-inline $(BUILD)/bench/bench-driver
	@LUA_CPATH='$(BUILD)/?.so;;' scripts/bench-stack
	@scripts/bench
	@scripts/bench-fair

# --- checks --------------------------------------------------------------------------------

C_FILES = $(filter-out $(GENERATED),$(SOURCES) $(OFFSETS) $(LIND) $(INLINE_SOURCES) $(HEADERS) $(wildcard spec/c/*.[ch] spec/attacks/*.[ch] scripts/*.c examples/embed/*.c examples/embed/wasm/*.c))
LUA_FILES = $(shell find lua scripts examples spec -name '*.lua'; grep -lsE '^\#!.*lua' scripts/*) scripts/lencase

check:
	@scripts/install-deps check
	@$(MAKE) -sk check-layers check-generated check-lua check-style check-static check-symbols
	@echo "check: all is well"

check-layers:
	$(LUA) scripts/check-layers.lua $(SOURCES) $(OFFSETS) $(INLINE_SOURCES) $(HEADERS) $(wildcard lua/lencase/*.lua lua/lencase/*/*.lua)

check-generated:
	$(LUA) scripts/gen-signatures.lua | diff -u $(GENERATED) -
	$(LUA) scripts/gen-states.lua | diff -u core/README.md -

check-lua:
	luacheck -q $(LUA_FILES)
	$(LUA) scripts/check-columns.lua $(LUA_FILES) $(wildcard *.md core/*.md core/host/*/*.md lua/lencase/*.md)

check-style:
	clang-format --dry-run -Werror $(C_FILES)
	$(LUA) scripts/check-columns.lua $(C_FILES) $(ASSEMBLY)

# Off: variableScope (taste: declarations lead their block), shadowVariable (gcc's -Wshadow is
# exact), unsignedLessThanZero (takes `size == 0` for a comparison with less).
CPPCHECK = cppcheck -q --std=c11 --language=c --enable=warning,style,performance,portability \
  --suppress=variableScope --suppress=shadowVariable --suppress=unsignedLessThanZero \
  --inline-suppr --error-exitcode=1

check-static:
	$(CPPCHECK) $(filter-out $(GENERATED),$(SOURCES)) $(INLINE_SOURCES)

# liblencase.so exports what lencase.h declares, the Lua module's entry, and nothing else.
check-symbols: all
	nm -D --defined-only $(BUILD)/liblencase.so | awk '$$2 != "A" { sub("@.*", "", $$3); print $$3 }' | \
	  sort | diff -u $(BUILD)/declared -

# Rewrites the C files as check-style wants them.
format:
	clang-format -i $(C_FILES)

# --- installation --------------------------------------------------------------------------

# Below DESTDIR.
BINDIR = $(PREFIX)/bin
LIBDIR = $(PREFIX)/lib
INCLUDEDIR = $(PREFIX)/include
LUADIR = $(PREFIX)/share/lua/5.4/lencase
LUALIBDIR = $(PREFIX)/lib/lua/5.4/lencase
DATADIR = $(PREFIX)/share/lencase
EXAMPLEDIR = $(DATADIR)/examples
LUALSDIR = $(DATADIR)/luals
MANDIR = $(PREFIX)/share/man
COMPLETIONDIR = $(PREFIX)/share/bash-completion/completions

define PKGCONFIG_FILE
prefix=$(PREFIX)
libdir=$${prefix}/lib
includedir=$${prefix}/include

Name: lencase
Description: scripts between a program and its system calls
Version: $(VERSION)
Requires.private: lua5.4 libseccomp
Libs: -L$${libdir} -llencase
Libs.private: -lpthread
Cflags: -I$${includedir}
endef
export PKGCONFIG_FILE

# The folders of lua/lencase/.
ROOMS := $(patsubst lua/lencase/%/,%,$(wildcard lua/lencase/*/))

# Which folders were made for it; nothing depends on the umask of who installs.
FOLDERS = $(DATADIR)/folders

install: all
	DESTDIR='$(DESTDIR)' scripts/make-folders $(FOLDERS) $(BINDIR) $(LIBDIR)/pkgconfig $(INCLUDEDIR) $(addprefix $(LUADIR)/,$(ROOMS)) \
	  $(LUALIBDIR) $(EXAMPLEDIR) $(LUALSDIR) $(MANDIR)/man1 $(MANDIR)/man3 $(MANDIR)/man7 $(COMPLETIONDIR)
	$(INSTALL) -m 755 $(COMMAND) $(DESTDIR)$(BINDIR)
	$(INSTALL) -m 644 scripts/lencase $(DESTDIR)$(DATADIR)/lencase.lua
	$(INSTALL) -m 644 $(BUILD)/liblencase.a $(DESTDIR)$(LIBDIR)
	$(INSTALL) -m 755 $(BUILD)/liblencase.so.$(VERSION) $(INLINE) $(DESTDIR)$(LIBDIR)
	ln -sf liblencase.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/liblencase.so
	$(INSTALL) -m 644 core/lencase.h $(DESTDIR)$(INCLUDEDIR)
	$(INSTALL) -m 644 lua/lencase/*.lua $(DESTDIR)$(LUADIR)
	set -e; for room in $(ROOMS); do $(INSTALL) -m 644 lua/lencase/$$room/*.lua $(DESTDIR)$(LUADIR)/$$room; done
	$(INSTALL) -m 755 $(MODULE) $(DESTDIR)$(LUALIBDIR)
	$(INSTALL) -m 644 $(filter-out %_spec.lua,$(wildcard examples/*.lua)) $(DESTDIR)$(EXAMPLEDIR)
	$(INSTALL) -m 644 $(BUILD)/man/lencase.1 $(DESTDIR)$(MANDIR)/man1
	$(INSTALL) -m 644 $(BUILD)/man/lencase.3 $(DESTDIR)$(MANDIR)/man3
	$(INSTALL) -m 644 $(BUILD)/man/lencase.7 $(DESTDIR)$(MANDIR)/man7
	$(INSTALL) -m 644 $(LUALS) $(DESTDIR)$(LUALSDIR)
	$(INSTALL) -m 644 $(COMPLETION) $(DESTDIR)$(COMPLETIONDIR)
	echo "$$PKGCONFIG_FILE" > $(DESTDIR)$(LIBDIR)/pkgconfig/lencase.pc
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/lencase.pc
	$(LDCONFIG)

# The dynamic linker's cache is of this machine, and root's.
LDCONFIG = if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" -eq 0 ]; then ldconfig; fi

uninstall:
	rm -f $(addprefix $(DESTDIR),$(BINDIR)/lencase $(LIBDIR)/liblencase.a $(LIBDIR)/liblencase.so* \
	  $(patsubst $(BUILD)/%,$(LIBDIR)/%,$(INLINE)) $(INCLUDEDIR)/lencase.h $(LIBDIR)/pkgconfig/lencase.pc \
	  $(MANDIR)/man1/lencase.1 $(MANDIR)/man3/lencase.3 $(MANDIR)/man7/lencase.7 \
	  $(COMPLETIONDIR)/lencase)
	DESTDIR='$(DESTDIR)' scripts/make-folders --undo $(FOLDERS) $(LUADIR) $(LUALIBDIR) $(DATADIR)
	$(LDCONFIG)

clean:
	rm -rf build build-hard build-asan build-ubsan build-tsan build-fuzz build-wasm

-include $(OBJECTS:.o=.d) $(OFFSETS:%.c=$(BUILD)/obj/%.d) $(COMMAND).d $(BUILD)/obj/core/host/inline/preload/engine.d $(C_TESTS:=.d) $(C_HELPERS:=.d) $(ATTACKS:=.d)
