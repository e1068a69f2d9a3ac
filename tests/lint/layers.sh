#!/usr/bin/env bash
# Includes follow the data (docs/ARCHITECTURE.md): fails on an #include that points upstream, and on
# a third-party header outside the one file that may hold it.
set -u
cd "$(dirname "$0")/../.."
bad=0
complain() { echo "$1"; bad=1; }

# folder -> folders that it may include
allowed() {
    case $1 in
        proto) echo "proto" ;;
        triggers) echo "proto triggers" ;;
        storage) echo "proto storage" ;;
        uploader) echo "proto uploader" ;;
        daemon) echo "proto triggers storage uploader daemon" ;;
        tools) echo "proto triggers storage uploader daemon tools" ;;
    esac
}
for folder in proto triggers storage uploader daemon tools; do
    while IFS=: read -r file line text; do
        target=$(sed -E 's/.*"([a-z_]+)\/.*/\1/' <<<"$text")
        grep -qw -- "$target" <<<"$(allowed "$folder")" ||
            complain "$file:$line: $folder/ may not include $target/ (tests/lint/layers.sh has the table)"
    done < <(grep -rnE '^#include "[a-z_]+/' --include='*.[ch]' "$folder")
done

# header pattern -> files that may include it
only() {
    local pattern=$1; shift
    while IFS=: read -r file line _; do
        for may in "$@"; do [[ $file == $may ]] && continue 2; done
        complain "$file:$line: <$pattern> belongs in $*"
    done < <(grep -rnE "^#include <($pattern)" --include='*.[ch]' proto triggers storage uploader daemon tools)
}
only 'librdkafka/' uploader/kafka.c 'uploader/kafka_*.c' tools/cmd_mock_broker.c
only 'sqlite3' storage/db.c
only 'yaml\.h' proto/yaml.c
only 'openssl/' proto/hash.c proto/cert.c
only 'xxhash' proto/hash.c
only 'jansson' proto/json.c 'tools/*'
only 'stdatomic' daemon/spsc.c daemon/spsc.h
only 'zlib' 'proto/mcap_*.c' proto/crc32.c

# Code that never belongs here.
while IFS=: read -r file line text; do
    complain "$file:$line: banned call: $text"
done < <(grep -rnE '(^|[^a-z_])(strcpy|strcat|sprintf|vsprintf|atoi|atol|atof|alloca|gets|strtok)\(' \
    --include='*.[ch]' proto triggers storage uploader daemon tools)
while IFS=: read -r file line text; do
    complain "$file:$line: open mark: $text"
done < <(grep -rnE '\b(TODO|FIXME|XXX|HACK)\b' --include='*.[ch]' proto triggers storage uploader daemon tools tests)
exit $bad
