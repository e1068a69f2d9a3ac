# Roadloop: one Makefile, no generator. `make help` lists the targets.
.SUFFIXES:
SHELL := /bin/bash
V ?= release
B := build/$(V)
CC := gcc
VERSION := 0.1.0

PROTO_SRC = \
	proto/err.c \
	proto/hash.c

FORMATS_SRC =

TRIGGERS_SRC =

STORAGE_SRC =

UPLOADER_SRC =

DAEMON_SRC =

SINK_SRC =

TOOLS_SRC =

PROTO_MSG =

# One binary per module: tests/test_<module>.c
TESTS = \
	test_err

FUZZ =

LIB_SRC = $(PROTO_SRC) $(FORMATS_SRC) $(TRIGGERS_SRC) $(STORAGE_SRC) $(UPLOADER_SRC) $(DAEMON_SRC) \
	$(SINK_SRC) $(TOOLS_SRC)
BINARIES = $(if $(wildcard tools/roadloop.c),$(B)/roadloop) $(if $(wildcard daemon/main.c),$(B)/roadloopd)

DEPS = gcc make pkg-config librdkafka-dev libsqlite3-dev libyaml-dev zlib1g-dev libzstd-dev \
	libprotobuf-c-dev protobuf-c-compiler protobuf-compiler libcurl4-openssl-dev libcmocka-dev \
	libjansson-dev libxxhash-dev libssl-dev
TEST_DEPS = clang-14 libclang-rt-14-dev clang-tidy-14 cppcheck can-utils python3-venv strace nodejs npm

WARN = -Wall -Wextra -Wconversion -Wshadow -Wmissing-prototypes -Werror
# No contraction: x86 and ARM must compute the same (rules.md 3).
CFLAGS_COMMON = -std=c11 -D_GNU_SOURCE -ffp-contract=off -ffile-prefix-map=$(CURDIR)=. -pthread \
	-I. -I$(B)/gen -DROADLOOP_VERSION='"$(VERSION)"' $(WARN)
CFLAGS_release = -O2 -g
CFLAGS_debug = -O0 -g3
CFLAGS_asan = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan = -O1 -g -fsanitize=thread
CFLAGS_cov = -O0 -g --coverage
CFLAGS_fuzz = -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
CFLAGS = $(CFLAGS_COMMON) $(CFLAGS_$(V))
LDLIBS = -lrdkafka -lsqlite3 -lyaml -lz -lzstd -lprotobuf-c -ljansson -lxxhash -lcrypto -lm
ifeq ($(V),fuzz)
CC := clang-14
endif

LIB = $(B)/libroadloop.a
GEN_SRC = $(PROTO_MSG:proto/%.proto=$(B)/gen/proto/%.pb-c.c)
GEN_HDR = $(GEN_SRC:.c=.h)
OBJ = $(LIB_SRC:%.c=$(B)/%.o) $(GEN_SRC:.c=.o)
TEST_BIN = $(TESTS:%=$(B)/tests/%)

.PHONY: all
all: $(LIB) $(BINARIES) ## build the library, roadloop and roadloopd (V=release|debug|asan|tsan|cov)

$(B)/gen/proto/%.pb-c.c $(B)/gen/proto/%.pb-c.h: proto/%.proto
	@mkdir -p $(@D)
	protoc --c_out=$(B)/gen $<

# Generated code is not ours to warn about.
$(B)/gen/%.o: $(B)/gen/%.c
	$(CC) $(filter-out -W%,$(CFLAGS)) -w -c $< -o $@

$(B)/%.o: %.c | $(GEN_HDR)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$(LIB): $(OBJ)
	@rm -f $@
	ar rcs $@ $^

$(B)/roadloop: $(B)/tools/roadloop.o $(LIB)
	$(CC) $(CFLAGS) $^ $(LDLIBS) -o $@

$(B)/roadloopd: $(B)/daemon/main.o $(LIB)
	$(CC) $(CFLAGS) $^ $(LDLIBS) -o $@

$(B)/tests/test_%: $(B)/tests/test_%.o $(LIB)
	$(CC) $(CFLAGS) $^ -lcmocka $(LDLIBS) -o $@

$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(LIB)
	$(CC) $(CFLAGS) -fsanitize=fuzzer $^ $(LDLIBS) -o $@

.PHONY: unit
unit: all $(TEST_BIN) ## build and run the unit tests of one variant
	@for t in $(TEST_BIN); do ./$$t 2>&1 | tail -n 200 > $$t.out; rc=$${PIPESTATUS[0]}; \
		if [ $$rc != 0 ]; then cat $$t.out; echo "FAILED: $$t"; exit 1; fi; \
		grep -h 'PASSED' $$t.out | tail -n 1 | sed "s|^|$$(basename $$t) |"; done

.PHONY: clean
clean: ## remove build/
	rm -rf build

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

-include $(LIB_SRC:%.c=$(B)/%.d) $(TESTS:%=$(B)/tests/%.d) $(B)/tools/roadloop.d $(B)/daemon/main.d
