# Acquit - `make help` names the targets
#
# One set of rules for four kinds of build, told apart by VARIANT: plain in build/, asan, coverage and fuzz in a folder
# of that name below it. Sources are found by folder, so a new file needs no line here.

VARIANT ?= plain
PREFIX ?= /usr
BINDIR ?= $(PREFIX)/bin
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
DATADIR ?= $(PREFIX)/share/acquit
DOCDIR ?= $(PREFIX)/share/doc/acquit
FUZZ_SECONDS ?= 30          # per fuzz target
COVERAGE_LEAST ?= 80        # per cent of the lines
CFLAGS ?= -O2 -g

PYTHON := /usr/bin/python3# Debian's own: the modules it needs are Debian packages

# As many jobs as processors, unless the caller says otherwise.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += --no-print-directory
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
endif

Q := $(if $(V),,@)

# --- how to compile ---------------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla \
    -Wfloat-equal $(if $(filter 1,$(WERROR)),-Werror)

BUILD_plain := build
FLAGS_plain := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fcf-protection=full

# no warnings here: the plain build gave them, and less or instrumented optimising adds false ones
BUILD_asan := build/asan
FLAGS_asan := -w -U_FORTIFY_SOURCE -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

BUILD_coverage := build/coverage
FLAGS_coverage := -w -U_FORTIFY_SOURCE -O0 --coverage

BUILD_fuzz := build/fuzz
FLAGS_fuzz := -U_FORTIFY_SOURCE -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
    -fno-sanitize-recover=all

BUILD_fuzzcoverage := build/fuzzcoverage
FLAGS_fuzzcoverage := -w -U_FORTIFY_SOURCE -O0 -fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping

# rules of the saga that can be taken out while it runs (common/mutant.h); only its simulate is meant to be used
BUILD_mutants := build/mutants
FLAGS_mutants := $(FLAGS_plain) -DACQUIT_MUTANTS

B := $(or $(BUILD_$(VARIANT)),$(error VARIANT is plain, asan, coverage, fuzz, fuzzcoverage or mutants))
ifneq ($(filter fuzz fuzzcoverage,$(VARIANT)),)
CC := clang
endif

COMPILE = $(CC) -std=gnu17 -D_GNU_SOURCE -I. -isystem /usr/include/postgresql $(CPPFLAGS) $(CFLAGS) $(WARNINGS) -fPIE \
    $(FLAGS_$(VARIANT))
LINK = $(CC) $(CFLAGS) $(FLAGS_$(VARIANT)) -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)
LIBRARIES := -lrabbitmq -lpq -lcurl -ljansson -lconfig -lmicrohttpd -lsystemd -lcrypto -lm -pthread

# --- what there is ----------------------------------------------------------------------------------------------------

objects = $(patsubst %.c,$(B)/obj/%.o,$(1))
archives = $(patsubst %,$(B)/lib/lib%.a,$(1))

COMMON := $(wildcard common/*.c)
CONFIG := $(wildcard config/*.c)
QUEUES := $(wildcard queues/*.c)
LEDGER := $(wildcard ledger/*.c)
WORKERS := $(filter-out workers/main.c,$(wildcard workers/*.c)) $(wildcard workers/providers/*.c)
INGRESS := $(filter-out %/main.c,$(wildcard workers/ingress/*.c))
KEEPER := $(filter-out %/main.c,$(wildcard workers/keeper/*.c))
OPERATOR := $(filter-out %/main.c,$(wildcard workers/operator/*.c))
MAINS := $(wildcard workers/main.c workers/ingress/main.c workers/keeper/main.c workers/operator/main.c)
TWINS := $(wildcard tests/twins/*.c)
UNIT_TESTS := $(wildcard tests/unit/test_*.c)
UNIT_FILTERS := $(wildcard tests/unit/*_cli.c)# programs that the check_*.py compare with something independent
UNIT_HELPERS := $(filter-out $(UNIT_TESTS) $(UNIT_FILTERS),$(wildcard tests/unit/*.c))
PROBE_SOURCES := $(wildcard tests/system/*_probe.c)# programs that system tests drive
BENCH_SOURCES := $(wildcard tests/bench/*.c)# programs that measurements use
SIMULATION := $(wildcard tests/simulate/*.c)# in the place of broker, database, clock and what is behind providers
FUZZ_TESTS := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_HELPERS := $(filter-out $(FUZZ_TESTS),$(wildcard tests/fuzz/*.c))

SQL := $(wildcard ledger/schema/*.sql)
SCHEMAS := $(wildcard queues/schema/*.json)

# what a program of workers/ may use, in the order in which one library uses the next
LIBS := $(call archives,workers ledger queues config common)
ALL_LIBS := $(call archives,operator ingress keeper) $(LIBS)

PROGRAMS := $(if $(filter workers/operator/main.c,$(MAINS)),$(B)/acquit) \
    $(if $(filter workers/main.c,$(MAINS)),$(B)/acquit-worker) \
    $(if $(filter workers/ingress/main.c,$(MAINS)),$(B)/acquit-ingress) \
    $(if $(filter workers/keeper/main.c,$(MAINS)),$(B)/acquit-keeper)
UNITS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_TESTS) $(UNIT_FILTERS))
PROBES := $(patsubst tests/system/%.c,$(B)/system/%,$(PROBE_SOURCES))
BENCHES := $(patsubst tests/bench/%.c,$(B)/bench/%,$(BENCH_SOURCES))
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/%,$(FUZZ_TESTS))

.DELETE_ON_ERROR:
.SECONDARY:

.PHONY: all
all: $(PROGRAMS) $(if $(TWINS),$(B)/acquit-twins)   ## the programs and the providers' twins

.PHONY: help
help:                                               ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo '  WERROR=1 makes warnings errors, V=1 shows the commands, T=name picks tests'

# --- the farm ---------------------------------------------------------------------------------------------------------

.PHONY: run
run:                                                ## set up, build, start the farm, send it a sample day of payments
	@tests/farm/install-packages
	@$(MAKE) all
	@$(PYTHON) tests/farm/run.py

.PHONY: stop
stop:                                               ## end the farm, its broker and its database
	@$(PYTHON) tests/farm/run.py --stop

# --- tests ------------------------------------------------------------------------------------------------------------

.PHONY: test
test:                                               ## unit tests and system tests, both with sanitizers too; T=name
	@tests/farm/install-packages
	@$(MAKE) all units
	@$(MAKE) VARIANT=asan all units
	@$(PYTHON) tests/run.py $(if $(T),-k '$(T)')

.PHONY: chaos
chaos:                                              ## every fault at every call, at scale; EACH=payments of each kind (30)
	@tests/farm/install-packages
	@$(MAKE) all units
	@ACQUIT_CHAOS=$(or $(EACH),30) ACQUIT_TEST_SECONDS=7200 $(PYTHON) tests/run.py --build build -k 'test_matrix'

.PHONY: units
units: $(UNITS) $(PROBES) $(BENCHES) $(if $(filter plain,$(VARIANT)),$(B)/simulate)

.PHONY: asan
asan:                                               ## the same tests with all programs under the sanitizers; T=name
	@tests/farm/install-packages
	@$(MAKE) VARIANT=asan all units
	@$(PYTHON) tests/run.py --build build/asan $(if $(T),-k '$(T)')

.PHONY: coverage
coverage:                                           ## which lines the tests reach; fails under COVERAGE_LEAST per cent
	@tests/farm/install-packages
	@$(MAKE) VARIANT=coverage all units
	@find build/coverage -name '*.gcda' -delete
	@$(PYTHON) tests/run.py --build build/coverage
	@$(PYTHON) tests/coverage.py build/coverage $(COVERAGE_LEAST)

.PHONY: fuzz
fuzz:                                               ## each fuzz target for FUZZ_SECONDS; T=name
	@tests/farm/install-packages
	@$(MAKE) VARIANT=fuzz fuzzers
	@for program in $(FUZZERS:build/%=build/fuzz/%); do \
	    name=$${program##*/}; corpus=tests/fuzz/corpus/$${name#fuzz_}; \
	    case $$name in *$(T)*) ;; *) continue ;; esac; \
	    echo "  FUZZ    $$name"; \
	    mkdir -p var/fuzz/$$name; \
	    $$program -max_total_time=$(strip $(FUZZ_SECONDS)) -timeout=10 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 \
	        -artifact_prefix=var/fuzz/$$name- var/fuzz/$$name $$([ ! -d $$corpus ] || echo $$corpus) || exit 1; \
	done

.PHONY: fuzzers
fuzzers: $(FUZZERS)

.PHONY: fuzzcoverage
fuzzcoverage:                                       ## which lines the fuzz targets' seeds and finds reach; T=name
	@tests/farm/install-packages
	@$(MAKE) VARIANT=fuzzcoverage fuzzers
	@$(PYTHON) tests/fuzz/coverage.py build/fuzzcoverage $(if $(T),'$(T)')

.PHONY: simulate
simulate:                                           ## a million payments with all that can go wrong, from one seed; SEED=n, PAYMENTS=n
	@tests/farm/install-packages
	@$(MAKE) build/simulate
	@$(PYTHON) tests/simulate/check_link.py build/simulate.map
	@build/simulate --seed $(or $(SEED),1) --payments $(or $(PAYMENTS),1000000) --tables --shrink

.PHONY: mutants
mutants:                                            ## each rule of the saga taken out: does the simulation notice?
	@tests/farm/install-packages
	@$(MAKE) VARIANT=mutants build/mutants/simulate
	@build/mutants/simulate --mutants --seed $(or $(SEED),1)

.PHONY: bench
bench:                                              ## payments a second, and what broker, database and ledger can do; T=flows|ledger
	@tests/farm/install-packages
	@$(MAKE) all benches
	@for name in $(or $(T),flows ledger); do \
	    case $$name in flows) program=bench.py ;; *) program=$${name}_bench.py ;; esac; \
	    $(PYTHON) tests/bench/$$program || exit 1; \
	done

.PHONY: benches
benches: $(BENCHES)

.PHONY: lint
lint:                                               ## format, static analysis, and what we agreed on
	@tests/farm/install-packages
	@$(PYTHON) tests/lint/lint.py

.PHONY: format
format:                                             ## lay out the C files as `make lint` wants them
	@find common config queues ledger workers tests -name '*.[ch]' -exec clang-format -i {} +

# --- installing -------------------------------------------------------------------------------------------------------

INSTALL = install -D -m 644
SYSTEMD := $(wildcard systemd/*.service systemd/*.target systemd/*.socket systemd/*.slice systemd/*.timer)

.PHONY: install
install: all                                        ## into DESTDIR, PREFIX (/usr); keeps an /etc/acquit/acquit.conf
	install -D -m 755 -t $(DESTDIR)$(BINDIR) $(PROGRAMS)
	$(if $(SQL),$(INSTALL) -t $(DESTDIR)$(DATADIR)/sql $(SQL))
	$(if $(SCHEMAS),$(INSTALL) -t $(DESTDIR)$(DATADIR)/schema $(SCHEMAS))
	for file in $(SYSTEMD); do \
	    $(INSTALL) /dev/null $(DESTDIR)$(UNITDIR)/$${file##*/} && \
	    sed 's|@BINDIR@|$(BINDIR)|g; s|@SYSCONFDIR@|$(SYSCONFDIR)|g' $$file > $(DESTDIR)$(UNITDIR)/$${file##*/} || exit 1; \
	done
	[ -e $(DESTDIR)$(SYSCONFDIR)/acquit/acquit.conf ] || [ ! -e config/acquit.conf ] || \
	    install -D -m 644 config/acquit.conf $(DESTDIR)$(SYSCONFDIR)/acquit/acquit.conf
	for file in $(wildcard README.md CHANGELOG.md LICENSE docs/*.md docs/*.py docs/*/*); do \
	    $(INSTALL) $$file $(DESTDIR)$(DOCDIR)/$${file#docs/} || exit 1; \
	done

.PHONY: clean
clean:                                              ## forget what was built; var/ (the farm's data) stays
	rm -rf build

# --- rules ------------------------------------------------------------------------------------------------------------

.PHONY: FORCE
FORCE:

# other flags, other objects
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(COMPILE)' | cmp -s - $@ || echo '$(COMPILE)' > $@

$(B)/obj/%.o: %.c $(B)/flags
	@echo '  CC      $<'
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

$(B)/gen/%.o: $(B)/gen/%.c $(B)/flags
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

# a folder stands among the prerequisites because it changes when a file comes or goes
$(B)/gen/embedded_sql.c: $(SQL) $(sort $(dir $(SQL))) common/embed.sh
	@echo '  EMBED   ledger/schema'
	@mkdir -p $(@D)
	$(Q)common/embed.sh embedded_sql $(SQL) > $@

$(B)/gen/embedded_schema.c: $(SCHEMAS) $(sort $(dir $(SCHEMAS))) common/embed.sh
	@echo '  EMBED   queues/schema'
	@mkdir -p $(@D)
	$(Q)common/embed.sh embedded_schema $(SCHEMAS) > $@

of = $(call objects,$(1)) $(sort $(dir $(1)))
$(B)/lib/libcommon.a: $(call of,$(COMMON))
$(B)/lib/libconfig.a: $(call of,$(CONFIG))
$(B)/lib/libqueues.a: $(call of,$(QUEUES)) $(B)/gen/embedded_schema.o
$(B)/lib/libledger.a: $(call of,$(LEDGER)) $(B)/gen/embedded_sql.o
$(B)/lib/libworkers.a: $(call of,$(WORKERS))
$(B)/lib/libingress.a: $(call of,$(INGRESS))
$(B)/lib/libkeeper.a: $(call of,$(KEEPER))
$(B)/lib/liboperator.a: $(call of,$(OPERATOR))
$(B)/lib/lib%.a:
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

define link
@echo '  LD      $@'
@mkdir -p $(@D)
$(Q)$(LINK) -o $@ $(filter %.o %.a,$^)
endef

$(B)/acquit: $(call objects,workers/operator/main.c) $(call archives,operator) $(LIBS)
	$(link) $(LIBRARIES)

$(B)/acquit-worker: $(call objects,workers/main.c) $(LIBS)
	$(link) $(LIBRARIES)

$(B)/acquit-ingress: $(call objects,workers/ingress/main.c) $(call archives,ingress) $(LIBS)
	$(link) $(LIBRARIES)

$(B)/acquit-keeper: $(call objects,workers/keeper/main.c) $(call archives,keeper) $(LIBS)
	$(link) $(LIBRARIES)

# shares no code with what it tests
$(B)/acquit-twins: $(call of,$(TWINS))
	$(link) -lmicrohttpd -ljansson -lcurl -lcrypto -pthread

$(B)/unit/%: $(B)/obj/tests/unit/%.o $(call objects,$(UNIT_HELPERS)) $(ALL_LIBS)
	$(link) -lcmocka $(LIBRARIES)

$(B)/unit/%_cli: $(B)/obj/tests/unit/%_cli.o $(ALL_LIBS)
	$(link) $(LIBRARIES)

$(B)/system/%: $(B)/obj/tests/system/%.o $(ALL_LIBS)
	$(link) $(LIBRARIES)

$(B)/bench/%: $(B)/obj/tests/bench/%.o $(ALL_LIBS)
	$(link) $(LIBRARIES)

# its own objects come first: what they define is not taken from the libraries (ADR 3, 25)
$(B)/simulate: $(call objects,$(SIMULATION)) $(call archives,keeper) $(LIBS)
	$(link) -Wl,-Map=$@.map $(LIBRARIES)

$(B)/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(call objects,$(FUZZ_HELPERS)) $(ALL_LIBS)
	$(link) -fsanitize=fuzzer $(LIBRARIES)

SOURCES := $(COMMON) $(CONFIG) $(QUEUES) $(LEDGER) $(WORKERS) $(INGRESS) $(KEEPER) $(OPERATOR) $(MAINS) $(TWINS) \
    $(UNIT_TESTS) $(UNIT_FILTERS) $(UNIT_HELPERS) $(PROBE_SOURCES) $(BENCH_SOURCES) $(FUZZ_TESTS) $(FUZZ_HELPERS) \
    $(SIMULATION)
-include $(patsubst %.o,%.d,$(call objects,$(SOURCES)) $(B)/gen/embedded_sql.o $(B)/gen/embedded_schema.o)
