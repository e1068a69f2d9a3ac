/* clip_pb - header and manifest between plain C and protobuf; used by proto/clip.c only. What is
 * unpacked may take CLIP_PB_MEMORY_MAX bytes at most, whatever the input says. */
#ifndef PROTO_CLIP_PB_H
#define PROTO_CLIP_PB_H
#include "proto/clip.h"

#define CLIP_PB_MEMORY_MAX 16777216

/* Whether every field is within its limit (clip.h). */
bool clip_pb_header_fits(const struct clip_header *header);
bool clip_pb_manifest_fits(const struct clip_manifest *manifest);

/* The bytes of the packed message; with out NULL only their number. -ERANGE when a field is beyond
 * its limit, -ENOBUFS when out is too small, -ENOMEM. */
int64_t clip_pb_header_pack(const struct clip_header *header, uint8_t *out, size_t size);
int64_t clip_pb_manifest_pack(const struct clip_manifest *manifest, uint8_t *out, size_t size);

/* 0, or -EBADMSG with *err filled. */
int clip_pb_header_unpack(const uint8_t *bytes, size_t size, struct clip_header *ret_header,
                          struct err *err);
int clip_pb_manifest_unpack(const uint8_t *bytes, size_t size, struct clip_manifest *ret_manifest,
                            struct err *err);

#endif
