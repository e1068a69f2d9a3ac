/* bytes - little-endian loads and stores, zig-zag, and varints: the only way to and from disk and
 * wire. Nothing here allocates; readers carry their own end and fail sticky. */
#ifndef PROTO_BYTES_H
#define PROTO_BYTES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t load_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)p[1] << 8);
}

static inline uint32_t load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t load_le64(const uint8_t *p)
{
    return (uint64_t)load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

static inline void store_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void store_le32(uint8_t *p, uint32_t v)
{
    store_le16(p, (uint16_t)v);
    store_le16(p + 2, (uint16_t)(v >> 16));
}

static inline void store_le64(uint8_t *p, uint64_t v)
{
    store_le32(p, (uint32_t)v);
    store_le32(p + 4, (uint32_t)(v >> 32));
}

static inline uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

static inline int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

#define VARINT_MAX 10

/* LEB128, as protobuf has it. Returns the bytes written, 1..VARINT_MAX. */
static inline size_t store_varint(uint8_t *p, uint64_t v)
{
    size_t n = 0;

    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

/* Reads bytes[at..end). After the first read beyond the end `failed` stays set and every value
 * is 0, so that a parser checks once, at its end. */
struct bytes_reader {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct bytes_reader bytes_reader_init(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;

    return (struct bytes_reader){ p, p + size, false };
}

static inline size_t bytes_left(const struct bytes_reader *r)
{
    return (size_t)(r->end - r->at);
}

/* A view of the next `size` bytes, or NULL and failed. */
static inline const uint8_t *bytes_take(struct bytes_reader *r, size_t size)
{
    if (r->failed || bytes_left(r) < size) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += size;
    return p;
}

static inline uint8_t bytes_u8(struct bytes_reader *r)
{
    const uint8_t *p = bytes_take(r, 1);
    return p ? *p : 0;
}

static inline uint16_t bytes_u16(struct bytes_reader *r)
{
    const uint8_t *p = bytes_take(r, 2);
    return p ? load_le16(p) : 0;
}

static inline uint32_t bytes_u32(struct bytes_reader *r)
{
    const uint8_t *p = bytes_take(r, 4);
    return p ? load_le32(p) : 0;
}

static inline uint64_t bytes_u64(struct bytes_reader *r)
{
    const uint8_t *p = bytes_take(r, 8);
    return p ? load_le64(p) : 0;
}

/* A varint of more than 64 bits or more than VARINT_MAX bytes fails. */
static inline uint64_t bytes_varint(struct bytes_reader *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = bytes_u8(r);
        if (shift == 63 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return r->failed ? 0 : v;
    }
    r->failed = true;
    return 0;
}

#endif
