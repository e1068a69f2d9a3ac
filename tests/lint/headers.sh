#!/usr/bin/env bash
# Each header compiles alone. $1 is the build folder (generated headers), the rest the headers.
set -u
cd "$(dirname "$0")/../.."
gen=$1; shift
bad=0
for header in "$@"; do
    printf '#include "%s"\nextern int x; int x;\n' "$header" |
        gcc -std=c11 -D_GNU_SOURCE -I. -I"$gen" -Wall -Wextra -Werror -fsyntax-only -x c - || { echo "$header: does not compile alone"; bad=1; }
done
exit $bad
