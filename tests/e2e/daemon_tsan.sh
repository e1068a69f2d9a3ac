#!/usr/bin/env bash
# The daemon with all its threads under ThreadSanitizer: the same bytes, a reload, no report.
cd "$(dirname "$0")/../.."
make -s -j2 V=tsan all >/dev/null 2>&1 || { echo "the tsan variant does not build"; exit 1; }
export B=build/tsan TSAN_OPTIONS="halt_on_error=1 exitcode=66 second_deadlock_stack=1"
tests/e2e/daemon_same_bytes.sh && tests/e2e/daemon_reload.sh && tests/e2e/daemon_live.sh
