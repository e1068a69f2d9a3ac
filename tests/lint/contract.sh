#!/usr/bin/env bash
# Every numbered statement of docs/KAFKA.md is named by a test, and every number that a test names is a statement: with K
# and number, one by one (`K20 to K30` names two). Prints the statements that nothing holds; exit status 1 then.
set -eu
cd "$(dirname "$0")/../.."
stated=$(grep -oE '^- \*\*K[0-9]+\*\*' docs/KAFKA.md | grep -oE 'K[0-9]+' | sort -V)
[ "$(uniq <<<"$stated")" = "$stated" ] || { echo "docs/KAFKA.md: a number stands twice: $(uniq -d <<<"$stated")"; exit 1; }
named=$(git ls-files 'tests/*.c' 'tests/*.h' 'tests/*.py' 'tests/*.sh' | grep -v '^tests/lint/' \
    | xargs grep -ohwE 'K[1-9][0-9]?' | sort -uV)
bad=0
for k in $(comm -23 <(sort <<<"$stated") <(sort <<<"$named")); do
    echo "docs/KAFKA.md: no test names $k: $(grep -F "**$k**" docs/KAFKA.md | cut -c1-100)"; bad=1
done
for k in $(comm -13 <(sort <<<"$stated") <(sort <<<"$named")); do
    echo "tests name $k, which docs/KAFKA.md does not state: $(git grep -lw "$k" -- tests | head -n 3 | tr '\n' ' ')"; bad=1
done
[ $bad = 0 ] && echo "$(wc -l <<<"$stated") statements of docs/KAFKA.md, each named by a test"
exit $bad
