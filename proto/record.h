/* record - the frame around every part of a segment: tag, length, body, XXH3-64 of all of it. */
#ifndef PROTO_RECORD_H
#define PROTO_RECORD_H
#include "proto/bytes.h"
#include "proto/hash.h"

#define RECORD_HEAD_BYTES 8
#define RECORD_TAIL_BYTES 8
#define RECORD_TAG(letter) (UINT32_C(0x00434c52) | (uint32_t)(letter) << 24) /* "RLC" letter */
#define RECORD_HEADER RECORD_TAG('H')
#define RECORD_SEED RECORD_TAG('S')
#define RECORD_GROUP RECORD_TAG('G')
#define RECORD_MANIFEST RECORD_TAG('M')

/* Puts head and tail around the body that stands at record + RECORD_HEAD_BYTES. Returns the size of
 * the whole. */
static inline size_t record_seal(uint8_t *record, uint32_t tag, size_t body)
{
    store_le32(record, tag);
    store_le32(record + 4, (uint32_t)body);
    store_le64(record + RECORD_HEAD_BYTES + body, hash_xxh3(record, RECORD_HEAD_BYTES + body));
    return RECORD_HEAD_BYTES + body + RECORD_TAIL_BYTES;
}

/* Whether `size` bytes are exactly one record of that tag; with `verify` its hash too. */
static inline bool record_holds(const uint8_t *record, size_t size, uint32_t tag, bool verify)
{
    if (size < RECORD_HEAD_BYTES + RECORD_TAIL_BYTES || load_le32(record) != tag ||
        load_le32(record + 4) != size - RECORD_HEAD_BYTES - RECORD_TAIL_BYTES)
        return false;
    return !verify || load_le64(record + size - RECORD_TAIL_BYTES) ==
                          hash_xxh3(record, size - RECORD_TAIL_BYTES);
}

#endif
