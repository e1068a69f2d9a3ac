#!/usr/bin/env bash
# fuzz.sh SECONDS TARGET...: each target with its corpus for that long, two at a time (a target is one
# thread); new inputs stay in build/. A crash, a leak, an input that takes 5 s or 1 GiB fails and
# leaves the input in build/fuzz/.
set -u
cd "$(dirname "$0")/.."
export seconds=$1; shift

one() {
    local target=$1 found=build/fuzz/$1 log=build/fuzz/$1.log
    mkdir -p "$found"
    build/fuzz/tests/fuzz/"$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="build/fuzz/$target-" "$found" "tests/fuzz/corpus/$target" \
        >"$log" 2>&1 || { tail -n 40 "$log"; echo "FAILED: $target"; return 255; } # 255: xargs starts no more
    echo "$target: $(grep number_of_executed_units "$log" | grep -oE '[0-9]+$') inputs without a finding"
}
export -f one
printf '%s\n' "$@" | xargs -P 2 -I{} bash -c 'one {}' || exit 1
echo "$# fuzz targets, ${seconds}s each, no finding"
