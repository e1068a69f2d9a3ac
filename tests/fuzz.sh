#!/usr/bin/env bash
# fuzz.sh SECONDS TARGET...: each target with its corpus for that long; new inputs stay in build/.
# A crash, a leak, an input over 2 s or over 256 MiB fails and leaves the input in build/fuzz/.
set -u
cd "$(dirname "$0")/.."
seconds=$1; shift
count=0
for target in "$@"; do
    found=build/fuzz/$target; mkdir -p "$found"
    build/fuzz/tests/fuzz/"$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="build/fuzz/$target-" "$found" "tests/fuzz/corpus/$target" \
        >"build/fuzz/$target.log" 2>&1 || { tail -n 40 "build/fuzz/$target.log"; echo "FAILED: $target"; exit 1; }
    runs=$(grep -E 'number_of_executed_units' "build/fuzz/$target.log" | grep -oE '[0-9]+$')
    echo "$target: $runs inputs without a finding"
    count=$((count + 1))
done
echo "$count fuzz targets, ${seconds}s each, no finding"
