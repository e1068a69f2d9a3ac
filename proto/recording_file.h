/* recording_file - files under the formats: pipes are spooled, `.zst` is unpacked and packed on the
 * way. Used by proto/recording.c and inspect. */
#ifndef PROTO_RECORDING_FILE_H
#define PROTO_RECORDING_FILE_H
#include "proto/err.h"

#include <stdio.h>

/* A seekable stream of what `path` holds ("-": standard input), unpacked when it begins with a zstd
 * frame; such a stream can be read and rewound, not sought elsewhere. A first segment "X-0.rlc" is
 * followed by its second, "X-1.rlc", where that lies beside it: a clip means all its segments.
 * NULL with *err filled. The caller fcloses it. */
FILE *recording_file_read(const char *path, struct err *err);

/* A stream that packs what is written into one zstd frame on `to`, which stays the caller's. */
FILE *recording_file_pack(FILE *to, struct err *err);

#endif
