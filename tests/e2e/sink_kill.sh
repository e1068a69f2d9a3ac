#!/usr/bin/env bash
# kill -9 of the sink at seeded moments, KILL_CYCLES times: every clip in the dataset, once, byte for
# byte (tests/test_sink.c has the details).
set -eu
cd "$(dirname "$0")/../.."
B=${B:-build/release}
make -s -j2 "V=$(basename "$B")" "$B/roadloop" "$B/tests/test_sink"
SINK_KILLS=${KILL_CYCLES:-25} SINK_SEED=${SINK_SEED:-7} "$B/tests/test_sink"
