/* pbw - writes protobuf's wire form (varint, fixed, length-delimited) and descriptors of messages
 * that are made at run time. A pbw lives in the caller's storage and appends to a buffer of fixed
 * size; it fails sticky, so that a message is checked once, at its end. Field order is call order:
 * write fields by rising number and the bytes are canonical. Zeros are written as any other value. */
#ifndef PROTO_PBW_H
#define PROTO_PBW_H
#include "proto/bytes.h"

#define PBW_FIELD_MAX 536870911u /* largest field number; 19000..19999 are reserved */
#define PBW_DEPTH_MAX 8          /* nested messages open at a time */

struct pbw {
    uint8_t *bytes;
    size_t used, size;
    bool failed; /* out of room, or out of depth: `used` then means nothing */
    size_t open[PBW_DEPTH_MAX];
    unsigned depth;
};

struct pbw pbw_init(void *bytes, size_t size);

void pbw_uint(struct pbw *w, uint32_t field, uint64_t value);  /* uint32, uint64, bool, enum */
void pbw_int(struct pbw *w, uint32_t field, int64_t value);    /* int32, int64: two's complement */
void pbw_sint(struct pbw *w, uint32_t field, int64_t value);   /* sint32, sint64: zig-zag */
void pbw_fixed32(struct pbw *w, uint32_t field, uint32_t value);
void pbw_fixed64(struct pbw *w, uint32_t field, uint64_t value);
void pbw_double(struct pbw *w, uint32_t field, double value);
void pbw_bytes(struct pbw *w, uint32_t field, const void *bytes, size_t size);
void pbw_text(struct pbw *w, uint32_t field, const char *text);
/* A nested message: what is put between the two belongs to it. Its length takes no more room than
 * it must: the body is moved up by up to four bytes at the end. */
void pbw_begin(struct pbw *w, uint32_t field);
void pbw_end(struct pbw *w);

/* google.protobuf.FieldDescriptorProto.Type */
enum pbw_type {
    PBW_DOUBLE = 1,
    PBW_FLOAT = 2,
    PBW_INT64 = 3,
    PBW_UINT64 = 4,
    PBW_INT32 = 5,
    PBW_FIXED64 = 6,
    PBW_FIXED32 = 7,
    PBW_BOOL = 8,
    PBW_STRING = 9,
    PBW_MESSAGE = 11,
    PBW_BYTES = 12,
    PBW_UINT32 = 13,
    PBW_SINT32 = 17,
    PBW_SINT64 = 18,
};

/* A field of a message. `type_name` (".package.Message") for PBW_MESSAGE only, else NULL. */
struct pbw_field {
    const char *name;
    uint32_t number;
    enum pbw_type type;
    const char *type_name;
    bool repeated;
};
struct pbw_message {
    const char *name;
    const struct pbw_field *fields;
    size_t field_count;
};
struct pbw_file {
    const char *name;    /* "roadloop/CanFrame.proto" */
    const char *package; /* "roadloop" */
    const struct pbw_message *messages;
    size_t message_count;
};

/* A google.protobuf.FileDescriptorSet with that one file: the schema data of an MCAP schema with
 * encoding "protobuf". Syntax proto2: each field that is not repeated is `optional`, so that a
 * reader can tell an absent signal from zero, and names may be as alike as DBCs make them (proto3
 * refuses fields whose JSON names are equal, as SPEED_1 and SPEED1). */
void pbw_descriptor_set(struct pbw *w, const struct pbw_file *file);

/* Makes a protobuf identifier of any name: bytes outside [A-Za-z0-9_] become '_', and '_' is put
 * before a digit in front; an empty name is "_". At most size - 1 bytes. Returns its length. */
size_t pbw_identifier(const char *name, char *ret_text, size_t size);

#endif
