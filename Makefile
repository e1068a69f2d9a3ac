# Roadloop: one Makefile, no generator. `make help` lists the targets.
.SUFFIXES:
SHELL := /bin/bash
V ?= release
B := build/$(V)
CC := gcc
VERSION := 0.1.0

PROTO_SRC = \
	proto/cert.c \
	proto/crc32.c \
	proto/dbc.c \
	proto/dbc_attributes.c \
	proto/dbc_build.c \
	proto/dbc_index.c \
	proto/dbc_lex.c \
	proto/dbc_link.c \
	proto/dbc_mux.c \
	proto/dbc_parse.c \
	proto/dbc_rows.c \
	proto/dbc_store.c \
	proto/dbc_take.c \
	proto/dbc_text.c \
	proto/dbset.c \
	proto/decode.c \
	proto/encode.c \
	proto/err.c \
	proto/hash.c \
	proto/json.c \
	proto/mcap.c \
	proto/mcap_chunk.c \
	proto/mcap_index.c \
	proto/mcap_read.c \
	proto/mcap_write.c \
	proto/mcap_frame.c \
	proto/mcap_meta.c \
	proto/mcap_signals.c \
	proto/export_mcap.c \
	proto/clip_json.c \
	proto/pbw.c \
	proto/timeline.c \
	proto/arena.c \
	proto/yaml.c \
	proto/clip.c \
	proto/clip_pb.c \
	proto/clip_pb_pack.c \
	proto/clip_pb_unpack.c \
	proto/clip_reader.c \
	proto/columnar.c \
	proto/columnar_decode.c \
	proto/columnar_encode.c \
	proto/codec_rows.c \
	proto/group.c \
	proto/group_decode.c \
	proto/group_encode.c \
	proto/order.c \
	proto/recording.c \
	proto/recording_file.c \
	proto/rowbuf.c \
	proto/signals_json.c \
	proto/zpack.c \
	proto/wire.c \
	proto/wire_artifact.c \
	proto/wire_clip.c \
	proto/wire_names.c

FORMATS_SRC = \
	proto/formats/candump.c \
	proto/formats/mcap.c \
	proto/formats/csv.c \
	proto/formats/jsonl.c \
	proto/formats/lines.c \
	proto/formats/rlc.c \
	proto/formats/rlc_read.c \
	proto/formats/rlc_write.c

TRIGGERS_SRC = \
	triggers/bind.c \
	triggers/compile.c \
	triggers/value.c \
	triggers/value_operate.c \
	triggers/compile_call.c \
	triggers/compile_op.c \
	triggers/engine.c \
	triggers/engine_eval.c \
	triggers/engine_open.c \
	triggers/engine_state.c \
	triggers/exact.c \
	triggers/graph.c \
	triggers/lexer.c \
	triggers/life.c \
	triggers/op.c \
	triggers/op_hold.c \
	triggers/op_misc.c \
	triggers/op_ring.c \
	triggers/op_seq.c \
	triggers/op_window.c \
	triggers/pack.c \
	triggers/pack_fields.c \
	triggers/pack_rule.c \
	triggers/parse.c \
	triggers/parse_primary.c \
	triggers/ruleset.c \
	triggers/timers.c \
	triggers/unit.c

STORAGE_SRC = \
	storage/io.c \
	storage/clipstore.c \
	storage/clipstore_artifacts.c \
	storage/clipstore_jobs.c \
	storage/clipstore_lone.c \
	storage/clipstore_quota.c \
	storage/clipstore_recover.c \
	storage/clipstore_seal.c \
	storage/clipstore_torn.c \
	storage/outbox.c \
	storage/db.c \
	storage/block.c \
	storage/recorder.c \
	storage/recorder_clip.c \
	storage/recorder_ring.c \
	storage/recorder_segment.c \
	storage/seeds.c \
	storage/statelog.c

UPLOADER_SRC = \
	uploader/backoff.c \
	uploader/kafka_admin.c \
	uploader/kafka_conf.c \
	uploader/kafka_consumer.c \
	uploader/kafka_producer.c \
	uploader/linkrate.c \
	uploader/rate.c \
	uploader/filedrop.c \
	uploader/scheduler.c \
	uploader/transport_kafka.c \
	uploader/trouble.c \
	uploader/uploader.c

DAEMON_SRC = \
	daemon/feed.c \
	daemon/playback.c \
	daemon/pipeline.c \
	daemon/pipeline_clip.c \
	daemon/pipeline_command.c \
	daemon/pipeline_event.c \
	daemon/session.c \
	daemon/app.c \
	daemon/app_links.c \
	daemon/app_loop.c \
	daemon/app_reload.c \
	daemon/app_status.c \
	daemon/artifacts.c \
	daemon/capture.c \
	daemon/clock.c \
	daemon/config.c \
	daemon/config_reload.c \
	daemon/config_schema.c \
	daemon/config_value.c \
	daemon/control.c \
	daemon/encode.c \
	daemon/flow.c \
	daemon/generation.c \
	daemon/link.c \
	daemon/log.c \
	daemon/memory.c \
	daemon/merge.c \
	daemon/metrics.c \
	daemon/shaping.c \
	daemon/status.c \
	daemon/store.c \
	daemon/transports.c \
	daemon/upload.c \
	daemon/worker.c \
	daemon/source_can.c \
	daemon/source_dgram.c \
	daemon/source_recording.c \
	daemon/source_socket.c \
	daemon/spsc.c

SINK_SRC = \
	tools/sink/artifacts.c \
	tools/sink/assembler.c \
	tools/sink/assembler_table.c \
	tools/sink/cache.c \
	tools/sink/clocks.c \
	tools/sink/dataset.c \
	tools/sink/export.c \
	tools/sink/facts.c \
	tools/sink/files.c \
	tools/sink/outgoing.c \
	tools/sink/publish.c \
	tools/sink/record.c \
	tools/sink/sink.c \
	tools/sink/sink_drop.c \
	tools/sink/sink_effects.c \
	tools/sink/sink_feed.c \
	tools/sink/sink_metrics.c \
	tools/sink/sink_topics.c \
	tools/sink/walk.c

TOOLS_SRC = \
	tools/yaml_map.c \
	tools/cmd_test.c \
	tools/rulestest/expect.c \
	tools/rulestest/mutate.c \
	tools/rulestest/outcome.c \
	tools/rulestest/samples.c \
	tools/rulestest/stimulus.c \
	tools/rulestest/testfile.c \
	tools/sim/cuts.c \
	tools/sim/fleet.c \
	tools/sim/uplink.c \
	tools/sim/vehicle.c \
	tools/cmd_simulate.c \
	tools/cmd_backtest.c \
	tools/backtest/backtest.c \
	tools/backtest/corpus.c \
	tools/backtest/diff.c \
	tools/backtest/job.c \
	tools/backtest/pool.c \
	tools/backtest/report_json.c \
	tools/backtest/report_text.c \
	tools/backtest/statistics.c \
	tools/backtest/tally.c \
	tools/backtest/variants.c \
	tools/backtest/verdict.c \
	tools/cmd_check.c \
	tools/doctor.c \
	tools/cmd_where.c \
	tools/cmd_retry.c \
	tools/cmd_trigger.c \
	tools/cmd_topics.c \
	tools/topics.c \
	tools/kafka_options.c \
	tools/cmd_status.c \
	tools/cmd_doctor.c \
	tools/ask.c \
	tools/cmd_replay.c \
	tools/cmd_replay_to.c \
	tools/replay.c \
	tools/sender.c \
	tools/cmd_catalogue.c \
	tools/cmd_sink.c \
	tools/cmd_sink_reexport.c \
	tools/cmd_sink_status.c \
	tools/cmd.c \
	tools/cmd_convert.c \
	tools/cmd_inspect.c \
	tools/inspect_json.c \
	tools/inspect_table.c \
	tools/cmd_mock_broker.c

PROTO_MSG = \
	proto/clip.proto

# End-to-end tests: tests/e2e/<name>.sh, run from the root with B=build/<variant>; exit 77 = lacks something.
E2E = \
	artifacts.py \
	backtest.py \
	broken.py \
	broken_run.py \
	demo_clips.py \
	kafka_real.py \
	kafka_errors.py \
	kill.py \
	kill_loop.py \
	partial.py \
	poison.py \
	simulate.py \
	group.py \
	docs_rules \
	rules_test \
	replay \
	convert \
	daemon_allocations \
	daemon_live \
	daemon_memory \
	daemon_status \
	daemon_quota \
	daemon_reload \
	daemon_same_bytes \
	doctor \
	never_sends \
	replay_to \
	mcap

# The longer ones, for .ci/run and test-long.
# kafka_gone.py failed in one of eight runs, on a busy machine (docs/DESIGN.md 8): not in .ci/run until that is understood.
E2E_LONG = $(if $(TEST_LONG),kafka_gone.py) \
	group_four.py \
	kill_broker.py \
	load.py \
	kafka_nodes.py \
	sink_kill \
	daemon_tsan \
	daemon_whole_minute

# Small programs that oracles and end-to-end tests drive: tests/<name>.c
ORACLE_TOOLS = \
	dbc_dump \
	kafka_relay \
	mcap_dump

# Checks against independent programs: tests/oracle/<name>, run by build/venv/bin/python or node.
ORACLES = \
	kafka_contract.py \
	rlc_reader.py \
	dbc_cantools.py \
	dbc_j1939.py \
	jsonl_cantools.py \
	mcap_core.mjs \
	mcap_python.py \
	rav4_reference.py \
	metrics.py \
	rules_drives.py \
	rules_rtamt.py

# One binary per module: tests/test_<module>.c. Those that wait for brokers and disks come first.
TESTS = \
	test_sink \
	test_kafka \
	test_uploader \
	test_clipstore \
	test_replay \
	test_dataset \
	test_assembler \
	test_clip \
	test_recording \
	test_engine \
	test_yaml \
	test_life \
	test_rules \
	test_rulestest \
	test_format \
	test_err \
	test_mcap \
	test_mcap_conformance \
	test_wire \
	test_op \
	test_outbox \
	test_scheduler \
	test_store \
	test_pipeline \
	test_recorder \
	test_session \
	test_export_mcap \
	test_pbw \
	test_rate \
	test_backoff \
	test_backtest \
	test_timeline \
	test_spsc \
	test_group \
	test_rowbuf \
	test_merge \
	test_topics \
	test_linkrate \
	test_trouble \
	test_doctor \
	test_metrics \
	test_config \
	test_dbc \
	test_dbset \
	test_decode \
	test_signals_json \
	test_control \
	test_clock \
	test_link \
	test_source_dgram \
	test_simulate

FUZZ = \
	fuzz_yaml \
	fuzz_pack \
	fuzz_dbc \
	fuzz_candump \
	fuzz_clip \
	fuzz_csv \
	fuzz_group \
	fuzz_jsonl \
	fuzz_assembler \
	fuzz_record \
	fuzz_wire \
	fuzz_control \
	fuzz_config \
	fuzz_mcap \
	fuzz_mcap_frames

LIB_SRC = $(PROTO_SRC) $(FORMATS_SRC) $(TRIGGERS_SRC) $(STORAGE_SRC) $(UPLOADER_SRC) $(DAEMON_SRC) \
	$(SINK_SRC) $(TOOLS_SRC)
BINARIES = $(if $(wildcard tools/roadloop.c),$(B)/roadloop) $(if $(wildcard daemon/main.c),$(B)/roadloopd)

DEPS = gcc make pkg-config librdkafka-dev libsqlite3-dev libyaml-dev zlib1g-dev libzstd-dev \
	libprotobuf-c-dev protobuf-c-compiler protobuf-compiler libcmocka-dev \
	libjansson-dev libxxhash-dev libssl-dev zstd python3-minimal
VM_DEPS = qemu-system-x86 busybox-static cpio kmod xz-utils iproute2 e2fsprogs
TEST_DEPS = clang-14 libclang-rt-14-dev clang-tidy-14 cppcheck can-utils python3-venv strace nodejs npm zstd \
	maven openjdk-17-jre-headless openssl

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
# Under TSan: the tests with more than one thread (the daemon as a whole: tests/e2e/daemon_tsan.sh).
# Not those over Kafka: librdkafka starts its threads by thrd_create, of which GCC 12's TSan dies.
TSAN_TESTS = test_spsc test_source_dgram test_clock test_control test_merge test_metrics \
             test_store
TEST_BIN = $(patsubst %,$(B)/tests/%,$(if $(filter tsan,$(V)),$(TSAN_TESTS),$(TESTS)))

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

$(ORACLE_TOOLS:%=$(B)/tests/%): $(B)/tests/%: $(B)/tests/%.o $(LIB)
	$(CC) $(CFLAGS) $^ $(LDLIBS) -o $@

# The engine against the reference evaluator (tests/rules): random rules on random traces.
RULES_SRC = \
	tests/rules/gen.c \
	tests/rules/random_rules.c \
	tests/rules/ref_eval.c \
	tests/rules/ref_life.c \
	tests/rules/ref_time.c \
	tests/rules/ref_type.c

$(B)/tests/random_rules: $(RULES_SRC:%.c=$(B)/%.o) $(LIB)
	$(CC) $(CFLAGS) $^ $(LDLIBS) -o $@

.PHONY: oracle-tools
oracle-tools: $(B)/tests/random_rules $(ORACLE_TOOLS:%=$(B)/tests/%)

$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(LIB)
	$(CC) $(CFLAGS) -fsanitize=fuzzer $^ $(LDLIBS) -o $@

.PHONY: unit
unit: all $(TEST_BIN) ## build and run the unit tests of one variant (V=...)
	@tests/unit.sh $(V) $(TEST_BIN)

.PHONY: deps
deps: ## install what the build needs (Debian packages), or print the command
	@tests/deps.sh $(DEPS)

.PHONY: test-deps
test-deps: deps ## install what the tests need: sanitizers, oracles, brokers, a VM
	@tests/deps.sh $(TEST_DEPS) $(if $(filter x86_64,$(shell uname -m)),$(VM_DEPS))
	@tests/vm/kernel.sh >/dev/null || echo "the tests in a VM will be skipped"
	@if [ -f tests/requirements.txt ] && ! cmp -s tests/requirements.txt build/venv/requirements.txt; then \
		python3 -m venv build/venv && build/venv/bin/pip install -q --disable-pip-version-check \
		-r tests/requirements.txt && cp tests/requirements.txt build/venv/; fi
	@if [ -f tests/oracle/package.json ] && ! cmp -s tests/oracle/package.json build/node/package.json; then \
		mkdir -p build/node && cp tests/oracle/package.json build/node/package.json.new && \
		(cd build/node && mv package.json.new package.json && npm install --silent --no-audit --no-fund \
		|| { rm -f package.json; exit 1; }); fi
	@python3 tests/kafka/broker.py deps

.PHONY: fuzz-build
fuzz-build: ## build the fuzz targets (clang)
	@$(MAKE) --no-print-directory V=fuzz fuzz-targets

.PHONY: fuzz-targets
fuzz-targets: $(FUZZ:%=$(B)/tests/fuzz/%)

.PHONY: check-layers
check-layers: ## includes follow the data, third-party headers in one file each, no banned calls
	@tests/lint/layers.sh && echo "layers hold"
	@tests/lint/contract.sh

HEADERS = $(sort $(wildcard proto/*.h proto/formats/*.h triggers/*.h storage/*.h uploader/*.h daemon/*.h \
	tools/*.h tools/sim/*.h tools/sink/*.h))
.PHONY: check-headers
check-headers: $(GEN_HDR) ## each header compiles alone
	@tests/lint/headers.sh $(B)/gen $(HEADERS) && echo "$(words $(HEADERS)) headers compile alone"

.PHONY: lint
lint: check-layers check-headers tidy ## layers, headers, cppcheck, clang-tidy
	@cppcheck -q --std=c11 --error-exitcode=1 --inline-suppr --enable=warning,portability \
		--suppress=missingIncludeSystem -I. -I$(B)/gen $(LIB_SRC)

# Not bugprone-sizeof-expression: to it, room for an array of pointers is a mistake.
TIDY = clang-analyzer-core*,clang-analyzer-unix*,clang-analyzer-deadcode*,bugprone-sizeof-container,bugprone-suspicious-mem*,bugprone-infinite-loop
TIDY_SRC = $(LIB_SRC) tools/roadloop.c daemon/main.c
.PHONY: tidy
tidy: $(TIDY_SRC:%=tidy-%) ## clang-tidy: the analyzer and a few checks; 2 min with -j2
	@echo "clang-tidy: $(words $(TIDY_SRC)) files without a complaint"

.PHONY: $(TIDY_SRC:%=tidy-%)
$(TIDY_SRC:%=tidy-%): tidy-%: % $(GEN_HDR)
	@out=$$(clang-tidy-14 --quiet --warnings-as-errors='*' --checks='-*,$(TIDY)' $< -- $(CFLAGS_COMMON:-W%=) 2>&1) \
		|| { echo "$$out"; exit 1; }

# Those in Python mostly wait for brokers and for time to pass: tests/run takes several at once.
step_e2e = $(foreach t,$(1),'$(if $(filter %.py,$(t)),+)e2e-$(basename $(t))=B=$(2) $(if $(filter %.py,$(t)),python3 tests/e2e/$(t),tests/e2e/$(t).sh)')
step_oracle = $(foreach t,$(ORACLES),'oracle-$(basename $(t))=$(if $(filter %.mjs,$(t)),NODE_PATH=build/node/node_modules node,build/venv/bin/python) tests/oracle/$(t)')

step_vm = 'vm-can=B=build/release python3 tests/vm/can.py'

.PHONY: vm-test
vm-test: ## roadloopd on SocketCAN in a small VM with Debian's kernel
	@$(MAKE) --no-print-directory test-deps
	@$(MAKE) --no-print-directory -s -j2 all
	@tests/run $(step_vm)

# The cases that were kept, then so many random ones; another seed: RULES_SEED=n.
step_rules = build/release/tests/random_rules --case tests/rules/cases/*.case && \
	CASE_OUT=build/random.case build/release/tests/random_rules $(1) $(RULES_SEED)
RULES_CASES ?= 20000
RULES_CASES_LONG ?= 100000
RULES_SEED ?= 1

.PHONY: test
test: ## everything that a change must pass, under 15 minutes on 2 cores
	@$(MAKE) --no-print-directory test-deps
	@$(MAKE) --no-print-directory -s -j2 all oracle-tools
	@tests/run 'layers=make -s check-layers' 'headers=make -s check-headers' \
		'unit-release=make -s -j2 unit' 'unit-asan=make -s -j2 unit V=asan' \
		'rules-random=$(call step_rules,$(RULES_CASES))' \
		$(call step_oracle) $(call step_e2e,$(E2E),build/release) $(step_vm) \
		$(if $(FUZZ),'fuzz=make -s -j2 fuzz-build && tests/fuzz.sh 5 $(FUZZ)')

.PHONY: test-ci
test-ci: ## what .ci/run adds to make test: TSan, lint, longer fuzzing and longer loops
	@$(MAKE) --no-print-directory -s test-deps
	@tests/run 'lint=make -s -j2 lint' 'unit-tsan=make -s -j2 unit V=tsan' \
		'rules-planted=$(MAKE) -s -j2 oracle-tools && python3 tests/rules/planted.py' \
		'rules-random-long=$(MAKE) -s -j2 oracle-tools && $(call step_rules,$(RULES_CASES_LONG))' \
		$(call step_e2e,$(E2E_LONG),build/release) \
		'group-kafka=B=build/release BROKER=kafka tests/e2e/group.py && B=build/release BROKER=kafka tests/e2e/group_four.py' \
		'kill-loop-long=B=build/release KILL_CYCLES=$(or $(KILL_CYCLES),200) tests/e2e/kill_loop.py' \
		$(if $(FUZZ),'fuzz-longer=make -s -j2 fuzz-build && tests/fuzz.sh $(FUZZ_SECONDS) $(FUZZ)')
FUZZ_SECONDS ?= 60

.PHONY: test-long
test-long: ## the millions: an hour of fuzzing a target, kill loops without end; hours
	@TEST_LONG=1 FUZZ_SECONDS=3600 STEP_TIMEOUT=86400 KILL_CYCLES=1000 REPLAY_SEEDS=1000 RULES_CASES_LONG=1000000 $(MAKE) --no-print-directory test-ci

.PHONY: load-test
load-test: ## 2,000 simulated vehicles through Kafka into two sinks for LOAD_SECONDS (600); what a sink costs
	@$(MAKE) --no-print-directory -s test-deps
	@$(MAKE) --no-print-directory -s -j2 all
	@LOAD_SECONDS=$(or $(LOAD_SECONDS),600) tests/e2e/load.py

.PHONY: demo
demo: ## a real drive through daemon, broker and sink, then a table (BROKER=kafka: Apache Kafka itself)
	@$(MAKE) --no-print-directory deps
	@echo "building" && $(MAKE) --no-print-directory -s -j2 all
	@tools/demo.sh

BENCH_SRC = \
	tests/bench/bench.c \
	tests/bench/bench_capture.c \
	tests/bench/bench_codec.c \
	tests/bench/bench_decode.c \
	tests/bench/bench_replay.c \
	tests/bench/bench_ring.c \
	tests/bench/bench_rules.c

$(B)/bench: $(BENCH_SRC:%.c=$(B)/%.o) $(LIB)
	$(CC) $(CFLAGS) $^ $(LDLIBS) -o $@

.PHONY: bench
bench: ## rates and sizes, each beside a control in the same run
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory -s -j2 all $(B)/bench
	@zstd -dqf tests/data/rav4/can.log.zst -o build/bench.log
	@$(B)/bench build/bench.log config/packs/rav4.yaml can0=tests/data/rav4/toyota_nodsu_pt_generated.dbc \
		can1=tests/data/rav4/toyota_adas.dbc

.PHONY: fmt
fmt: ## clang-format over our C files
	@clang-format-14 -i $$(git ls-files '*.c' '*.h')

PREFIX ?= /usr/local
# The unit names the daemon by its absolute path. Units, users and sysctl of any PREFIX but /usr and
# /usr/local lie where systemd does not look: install such a tree with DESTDIR instead.
.PHONY: install
install: all ## install binaries, unit, user, sysctl and configuration under DESTDIR and PREFIX
	install -D -m 755 $(B)/roadloop $(DESTDIR)$(PREFIX)/bin/roadloop
	install -D -m 755 $(B)/roadloopd $(DESTDIR)$(PREFIX)/sbin/roadloopd
	sed 's|/usr/local/sbin/|$(PREFIX)/sbin/|' config/roadloopd.service > $(B)/roadloopd.service
	install -D -m 644 $(B)/roadloopd.service $(DESTDIR)$(PREFIX)/lib/systemd/system/roadloopd.service
	install -D -m 644 config/sysusers-roadloop.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/roadloop.conf
	install -D -m 644 config/sysctl-roadloop.conf $(DESTDIR)$(PREFIX)/lib/sysctl.d/60-roadloop.conf
	test -e $(DESTDIR)/etc/roadloop/roadloop.yaml || \
		install -D -m 644 config/roadloop.yaml $(DESTDIR)/etc/roadloop/roadloop.yaml

.PHONY: clean
clean: ## remove build/
	rm -rf build

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

-include $(BENCH_SRC:%.c=$(B)/%.d) $(RULES_SRC:%.c=$(B)/%.d) $(LIB_SRC:%.c=$(B)/%.d) $(TESTS:%=$(B)/tests/%.d) $(B)/tools/roadloop.d $(B)/daemon/main.d
-include $(ORACLE_TOOLS:%=$(B)/tests/%.d) $(FUZZ:%=$(B)/tests/fuzz/%.d)
