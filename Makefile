# libpipemaze
#
#   make deps demo     see it at work        make            the library
#   make deps check    pass its tests        make install    DESTDIR, prefix, ...
#
# CC, CFLAGS, CPPFLAGS and LDFLAGS are yours; what the build needs stands apart.

VERSION := $(shell sed -n 's/^.define PMZ_VERSION "\(.*\)"/\1/p' \
	include/pipemaze/version.h)
SONAME := libpipemaze.so.$(firstword $(subst ., ,$(VERSION)))

PREFIX ?= /usr/local
prefix ?= $(PREFIX)
exec_prefix ?= $(prefix)
bindir ?= $(exec_prefix)/bin
libdir ?= $(exec_prefix)/lib
includedir ?= $(prefix)/include
datarootdir ?= $(prefix)/share
mandir ?= $(datarootdir)/man
INSTALL ?= install

CFLAGS ?= -O2 -g
WARN ?= -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wcast-qual -Wvla
# 0: without lib/redis, and without libhiredis
REDIS ?= 1
# 0: without the ring layouts that need MD5, and without libmd
KETAMA ?= 1

# A variant (debug, asan, tsan, ...) is the same build in another folder.
B ?= build
EXTRA ?=

SOURCES := $(wildcard lib/base/*.c lib/core/*.c lib/edge/*.c lib/sim/*.c \
	lib/lock/*.c)
ifeq (0,$(strip $(REDIS)))
SOURCES += lib/redis/door.c lib/redis/absent.c
else
SOURCES += $(filter-out lib/redis/absent.c,$(wildcard lib/redis/*.c))
endif
OBJECTS := $(SOURCES:%.c=$B/%.o)
HEADERS := include/pipemaze.h $(wildcard include/pipemaze/*.h)
LIBRARY := $B/libpipemaze.so.$(VERSION)
TOOL := $B/pipemaze
TOOL_OBJECTS := $(patsubst %.c,$B/%.o,$(wildcard lib/tool/*.c))

LIBS := $(strip $(if $(filter 0,$(REDIS)),,-lhiredis) \
	$(if $(filter 0,$(KETAMA)),,-lmd))

OWN_CPPFLAGS = -Iinclude -Ilib -D_GNU_SOURCE -DPMZ_KETAMA=$(strip $(KETAMA))
OWN_CFLAGS = -std=c11 -fPIC -fvisibility=hidden -pthread $(WARN) $(EXTRA)
COMPILE = $(CC) $(OWN_CPPFLAGS) $(CPPFLAGS) $(OWN_CFLAGS) $(CFLAGS) -MMD -MP

# V=1 shows the commands.
say = $(if $(filter 1,$(V)),,@printf '  %-5s %s\n' '$1' '$@'; )

.PHONY: all install uninstall deps deps-all demo check check-all wider asan tsan \
	hiredis relacy bench instructions dist clean FORCE
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

all: $B/libpipemaze.a $B/libpipemaze.so $B/pipemaze.pc $(TOOL)

# -------------------------------------------------------------- the library

$B/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -c -o $@ $<

$B/libpipemaze.a: $(OBJECTS) $B/versions-agree
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $(OBJECTS)

$(LIBRARY): $(OBJECTS) lib/pipemaze.map $B/versions-agree
	$(call say,LD)$(CC) -shared -Wl,-soname,$(SONAME) -Wl,--version-script,lib/pipemaze.map \
		-Wl,-z,defs -Wl,-Bsymbolic-functions $(EXTRA) $(CFLAGS) $(LDFLAGS) -o $@ $(OBJECTS) $(LIBS) -pthread

$B/libpipemaze.so: $(LIBRARY)
	@ln -sf $(notdir $(LIBRARY)) $B/$(SONAME)
	@ln -sf $(SONAME) $@

# With the library inside, so that it runs from any place.
$(TOOL): $(TOOL_OBJECTS) $B/libpipemaze.a
	$(call say,LD)$(CC) $(EXTRA) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -pthread

# Always made anew: prefix may be another one now.
$B/pipemaze.pc: pkgconfig/pipemaze.pc.in $B/versions-agree FORCE
	@sed -e 's|@prefix@|$(prefix)|' -e 's|@exec_prefix@|$(exec_prefix)|' \
	    -e 's|@libdir@|$(libdir)|' -e 's|@includedir@|$(includedir)|' \
	    -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(LIBS)|' $< > $@

$B/versions-agree: include/pipemaze/version.h lib/pipemaze.map \
		pkgconfig/pipemaze.pc.in CHANGELOG.md tests/abi/versions.sh
	@mkdir -p $(@D)
	@sh tests/abi/versions.sh
	@touch $@

install: all
	$(INSTALL) -d $(DESTDIR)$(libdir)/pkgconfig \
		$(DESTDIR)$(includedir)/pipemaze $(DESTDIR)$(bindir) \
		$(DESTDIR)$(mandir)/man1
	$(INSTALL) -m 644 include/pipemaze.h $(DESTDIR)$(includedir)
	$(INSTALL) -m 644 include/pipemaze/*.h $(DESTDIR)$(includedir)/pipemaze
	$(INSTALL) -m 644 $B/libpipemaze.a $(DESTDIR)$(libdir)
	$(INSTALL) -m 755 $(LIBRARY) $(DESTDIR)$(libdir)
	ln -sf $(notdir $(LIBRARY)) $(DESTDIR)$(libdir)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(libdir)/libpipemaze.so
	$(INSTALL) -m 644 $B/pipemaze.pc $(DESTDIR)$(libdir)/pkgconfig
	$(INSTALL) -m 755 $(TOOL) $(DESTDIR)$(bindir)
	$(INSTALL) -m 644 lib/tool/pipemaze.1 $(DESTDIR)$(mandir)/man1

uninstall:
	rm -f $(DESTDIR)$(includedir)/pipemaze.h \
		$(HEADERS:include/%=$(DESTDIR)$(includedir)/%)
	rm -f $(DESTDIR)$(libdir)/libpipemaze.* \
		$(DESTDIR)$(libdir)/pkgconfig/pipemaze.pc
	rm -f $(DESTDIR)$(bindir)/pipemaze $(DESTDIR)$(mandir)/man1/pipemaze.1
	-rmdir $(DESTDIR)$(includedir)/pipemaze

# -------------------------------------------------------------- what it needs

deps:
	@sh tests/kit/deps.sh build

deps-all:
	@sh tests/kit/deps.sh all

# So that `make -j deps check` installs first.
ifneq (,$(filter deps deps-all,$(MAKECMDGOALS)))
$(OBJECTS) $B/versions-agree: | $(filter deps deps-all,$(MAKECMDGOALS))
check check-all wider demo asan tsan hiredis relacy coverage replay fuzz bench \
		bench-peers instructions: | \
	$(filter deps deps-all,$(MAKECMDGOALS))
endif

clean:
	rm -rf build

FORCE:

# They share folders, and processors.
ifneq (,$(filter check-all wider,$(MAKECMDGOALS)))
.NOTPARALLEL:
endif

# -------------------------------------------------------------- the tests
#
# A test is one file with its own main(): tests/unit and tests/prop by what they
# show, tests/race on threads, tests/oom with failing allocations, tests/wire
# with servers that they start themselves. They are
# linked to the .a of a debug build, so that they also reach what is hidden.

TESTS := $(patsubst %.c,$B/%,$(sort $(wildcard tests/unit/*.c tests/prop/*.c \
	tests/race/*.c tests/oom/*.c) \
	$(if $(filter 0,$(REDIS)),,$(wildcard tests/wire/*.c))))
KIT_OBJECTS := $(patsubst %.c,$B/%.o,$(wildcard tests/kit/*.c))
KIT := $B/tests/kit.a
EXAMPLES := $(patsubst %.c,$B/%,$(wildcard examples/*.c))
EXAMPLE_FOLDERS := $(sort $(notdir $(patsubst %/,%,$(dir \
	$(wildcard examples/*/*.c)))))

# What an example needs besides, without which it is left out.
NEEDS_libevent := libevent_core hiredis
left_out = $(and $(NEEDS_$1),$(shell pkg-config --exists $(NEEDS_$1) || echo 1))

# An archive, so that a test gets no more of it than it uses.
$(KIT_OBJECTS): OWN_CPPFLAGS += -Itests/kit
$(KIT): $(KIT_OBJECTS)
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $(KIT_OBJECTS)

$(TESTS): $B/%: %.c $(KIT) $B/libpipemaze.a
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -Itests/kit -o $@ $< $(KIT) $B/libpipemaze.a $(LDFLAGS) \
		-lcmocka $$(pkg-config --libs check) $(LIBS) -pthread -lm

# Examples see what a user sees: the public headers and the .so. One is a file,
# or a folder whose files make one program of its name, with those of common.
EXAMPLE_COMPILE = $(CC) -Iinclude $(CPPFLAGS) -D_GNU_SOURCE -std=c11 -pthread \
	$(WARN) $(EXTRA) $(CFLAGS) -MMD -MP
EXAMPLE_LINK = $(LDFLAGS) -L$B -Wl,-rpath,$(abspath $B) -lpipemaze -lm

$(EXAMPLES): $B/%: %.c $B/libpipemaze.so
	@mkdir -p $(@D)
	$(call say,CC)$(EXAMPLE_COMPILE) -o $@ $< $(EXAMPLE_LINK)

# Its .d is not read: the next build would miss a file that has moved on.
define EXAMPLE_FOLDER
run-examples: $B/examples/$1/$1
$B/examples/$1/$1: $(wildcard examples/$1/*.[ch] examples/common/*.[ch]) \
		$B/libpipemaze.so
	@mkdir -p $$(@D)
	$$(call say,CC)$$(EXAMPLE_COMPILE) -Iexamples/common -o $$@ \
		$$(filter %.c,$$^) $$(EXAMPLE_LINK) \
		$(and $(NEEDS_$1),$$$$(pkg-config --libs $(NEEDS_$1)))
endef
$(foreach name,$(filter-out common,$(EXAMPLE_FOLDERS)),\
	$(if $(call left_out,$(name)),,$(eval $(call EXAMPLE_FOLDER,$(name)))))

.PHONY: run-tests run-wire run-abi run-examples
run-tests: $(TESTS)
	@sh tests/kit/run.sh $(TESTS)

run-wire: $(filter $B/tests/wire/%,$(TESTS))
	@sh tests/kit/run.sh $^

run-abi: all
	@B=$B CC='$(CC)' sh tests/kit/run.sh $(sort $(wildcard tests/abi/*.sh))

run-examples: all $(EXAMPLES)
	@B=$B sh tests/kit/run.sh $(sort $(wildcard tests/ffi/*.sh))

BENCH := $B/tests/bench/bench
COUNTED := $B/tests/bench/instructions
BENCH_PARTS := $(addprefix tests/bench/,calls.c lanes.c rows.c nodes.c locks.c \
	allocations.c) \
	$(wildcard tests/bench/*.h) tests/kit/redis.c
$(BENCH) $(COUNTED): $B/%: %.c $(BENCH_PARTS) $B/libpipemaze.so
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -Iinclude -Itests/kit $(CPPFLAGS) -D_GNU_SOURCE -std=c11 \
		-pthread $(WARN) $(CFLAGS) -o $@ $(filter %.c,$^) $(LDFLAGS) \
		-L$B -Wl,-rpath,$(abspath $B) -lpipemaze -lhiredis

bench: $(BENCH)
	@$(BENCH) $(ROW)

# Ours beside other libraries, which it installs; build/bench-peers.html.
.PHONY: bench-peers
bench-peers: $B/libpipemaze.so
	@B=$B CC='$(CC)' CFLAGS='$(CFLAGS)' ROW='$(ROW)' \
		sh tests/bench/peers/run.sh

# Counted by callgrind, and held against tests/bench/instructions.txt.
instructions: $(COUNTED)
	@B=$B CC='$(CC)' CFLAGS='$(CFLAGS)' sh tests/bench/instructions.sh $(ARGS)

demo: $B/examples/outage/outage $B/examples/workers
	@$B/examples/outage/outage
	@echo
	@$B/examples/workers

check: all
	@$(MAKE) --no-print-directory B=build/debug EXTRA=-DPMZ_DEBUG \
		CFLAGS='-O1 -g' run-tests
	@$(MAKE) --no-print-directory run-abi run-examples

asan:
	@$(MAKE) --no-print-directory B=build/asan CFLAGS='-O1 -g' EXTRA='-DPMZ_DEBUG \
		-fsanitize=address,undefined -fno-sanitize-recover=all' run-tests

tsan:
	@$(MAKE) --no-print-directory B=build/tsan CFLAGS='-O1 -g' EXTRA='-DPMZ_DEBUG \
		-fsanitize=thread' run-tests

# Locks by Debian 13's hiredis, where its source can be had.
NEXT := $(abspath build/hiredis)
hiredis:
	@sh tests/kit/hiredis.sh $(NEXT)
	@[ ! -e $(NEXT)/hiredis/libhiredis.so ] || $(MAKE) --no-print-directory \
		B=build/next EXTRA=-DPMZ_DEBUG CFLAGS='-O1 -g' \
		CPPFLAGS='-isystem $(NEXT)' WARN='$(WARN) -Werror' \
		LDFLAGS='-L$(NEXT)/hiredis -Wl,-rpath,$(NEXT)/hiredis' run-wire

# Interleavings of a few operations on the core's own source, and mutants of it
# that the search must catch.
relacy: all
	@B=$B CC='$(CC)' CXX='$(CXX)' sh tests/relacy/run.sh

# `wider` is the same tests under the sanitizers and by clang, a build with fewer
# parts and one with a newer hiredis, longer histories of threads
# (tests/kit/linear.h) and of locks under faults (tests/wire/history.c), what
# strangers' bytes do, and what a call costs.
check-all: check wider
wider: asan tsan hiredis relacy replay fuzz
	@$(MAKE) --no-print-directory B=build/debug EXTRA=-DPMZ_DEBUG CFLAGS='-O1 -g' \
		$(addprefix build/debug/tests/,race/linear race/linear_breaker \
		wire/history)
	@PIPEMAZE_LINEAR=100000 build/debug/tests/race/linear
	@PIPEMAZE_LINEAR=100000 build/debug/tests/race/linear_breaker
	@PIPEMAZE_HISTORY=10000,7 build/debug/tests/wire/history
	@$(MAKE) --no-print-directory B=build/clang CC=clang EXTRA=-DPMZ_DEBUG \
		CFLAGS='-O1 -g' WARN='$(WARN) -Werror' run-tests
	@$(MAKE) --no-print-directory B=build/werror WARN='$(WARN) -Werror' all
	@$(MAKE) --no-print-directory B=build/small REDIS=0 KETAMA=0 all
	@$(MAKE) --no-print-directory instructions bench

# -------------------------------------------------------------- coverage
#
# Of lib/, by gcc and gcovr, with the worst files and a report to look at in
# build/coverage/report. Without PMZ_DEBUG: the branch of an assert that fails is
# one that no test may take. Without -std=c11: as GNU C gcc keeps the counts of
# who forks or becomes another program.

COVERED_LINES := 95
COVERED_BRANCHES := 85
GCOVR = gcovr -r . --object-directory $B -f lib/ $B/lib --sort-percentage

.PHONY: coverage run-coverage
run-coverage: $(TESTS) $(TOOL)
	@find $B -name '*.gcda' -delete
	@mkdir -p $B/report
	@B=$B sh tests/kit/run.sh $(TESTS) tests/ffi/tool.sh
	@$(GCOVR) --txt $B/lines.txt --html-details $B/report/index.html
	@$(GCOVR) --branches --txt $B/branches.txt
	@grep -v -e '--%' $B/branches.txt | tail -n 18
	@tail -n 18 $B/lines.txt
	@$(GCOVR) --txt /dev/null --print-summary --fail-under-line $(COVERED_LINES) \
		--fail-under-branch $(COVERED_BRANCHES)

coverage:
	@$(MAKE) --no-print-directory B=build/coverage CC=gcc CFLAGS='-O0 -g' \
		EXTRA='--coverage -fprofile-update=atomic -std=gnu11 -DPMZ_COVERAGE' \
		run-coverage

# -------------------------------------------------------------- fuzzing
#
# A target is a file of tests/fuzz with LLVMFuzzerTestOneInput(). `fuzz` looks
# for new input with clang's libFuzzer, FUZZ_SECONDS for each; `replay` runs what
# is in tests/fuzz/corpus, with any compiler.

FUZZ_SECONDS ?= 60
FUZZ_AT_ONCE ?= 2
FUZZ_TARGETS := $(filter-out replay $(if $(filter 0,$(REDIS)),address resp \
	cluster user),\
	$(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c)))
FUZZERS := $(FUZZ_TARGETS:%=$B/tests/fuzz/%)
# Linked to each target: its main().
FUZZ_MAIN := $B/tests/fuzz/replay.o

$(FUZZERS): $B/%: %.c $(filter %.o,$(FUZZ_MAIN)) $B/libpipemaze.a
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -o $@ $< $(FUZZ_MAIN) $B/libpipemaze.a \
		$(LDFLAGS) $(LIBS) -pthread

.PHONY: fuzz replay run-fuzz run-replay
run-replay: $(FUZZERS)
	@for t in $(FUZZ_TARGETS); do \
		$B/tests/fuzz/$$t tests/fuzz/corpus/$$t || exit 1; done

# What it finds that is new stays in $B, as does an input that fails: $B/bad-*.
run-fuzz: $(FUZZERS)
	@printf '%s\n' $(FUZZ_TARGETS) | xargs -n 1 -P $(FUZZ_AT_ONCE) \
		sh tests/fuzz/run.sh $B $(FUZZ_SECONDS)

replay:
	@$(MAKE) --no-print-directory B=build/asan CFLAGS='-O1 -g' EXTRA='-DPMZ_DEBUG \
		-fsanitize=address,undefined -fno-sanitize-recover=all' run-replay

fuzz:
	@$(MAKE) --no-print-directory B=build/fuzz CC=clang CFLAGS='-O1 -g' \
		FUZZ_MAIN=-fsanitize=fuzzer EXTRA='-DPMZ_DEBUG -fsanitize=fuzzer-no-link \
		-fsanitize=address,undefined -fno-sanitize-recover=all' run-fuzz

dist:
	@mkdir -p build
	git archive --prefix=libpipemaze-$(VERSION)/ HEAD | \
		gzip -9n > build/libpipemaze-$(VERSION).tar.gz

-include $(FUZZERS:=.d) $B/tests/fuzz/replay.d
-include $(OBJECTS:.o=.d) $(TOOL_OBJECTS:.o=.d) $(KIT_OBJECTS:.o=.d) $(TESTS:=.d) $(EXAMPLES:=.d)
