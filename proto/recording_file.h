/* recording_file - files under the formats: pipes are spooled, `.zst` is unpacked and packed on the
 * way. Used by proto/recording*.c only. */
#ifndef PROTO_RECORDING_FILE_H
#define PROTO_RECORDING_FILE_H
#include "proto/err.h"

#include <stdint.h>
#include <stdio.h>

/* A seekable stream of what `path` holds ("-": standard input), unpacked when it begins with a zstd
 * frame. Such a stream can be read and rewound, not sought elsewhere. *ret_size is that of the file
 * as it lies on disk, 0 when unknown. NULL with *err filled. The caller fcloses it. */
FILE *recording_file_read(const char *path, uint64_t *ret_size, struct err *err);

/* A stream that packs what is written into one zstd frame on `to`, which stays the caller's. */
FILE *recording_file_pack(FILE *to, struct err *err);

#endif
