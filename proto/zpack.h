/* zpack - zstd frames as our formats use them: content size always present, checksum on, window at
 * most ZPACK_WINDOW_LOG, so that a reader knows and bounds everything before it allocates.
 * A zpack holds one compression and one decompression context, for one thread at a time. */
#ifndef PROTO_ZPACK_H
#define PROTO_ZPACK_H
#include <stddef.h>
#include <stdint.h>

#define ZPACK_LEVEL 3
#define ZPACK_WINDOW_LOG 23 /* 8 MiB: BLOCK_BYTES_MAX needs no more */

struct zpack_part {
    const void *bytes;
    size_t size;
};

struct zpack;

struct zpack *zpack_open(void); /* NULL when memory is short */
void zpack_close(struct zpack *pack);

/* Upper bound of zpack_encode for `size` bytes in `parts` parts. */
size_t zpack_bound(size_t size, size_t parts);

/* One zstd frame of all parts in turn; each part begins a zstd block of its own, so that bytes of
 * another kind get another entropy table. Returns its size; -ENOBUFS when out is too small. */
int64_t zpack_encode(struct zpack *pack, const struct zpack_part *parts, size_t count,
                     uint8_t *out, size_t size);

/* The content size that the frame declares; -EBADMSG when it has none or is no zstd frame. */
int64_t zpack_content(const void *bytes, size_t size);

/* Exactly one frame of exactly `content` bytes: anything else is -EBADMSG (and -ENOMEM). */
int zpack_decode(struct zpack *pack, const void *bytes, size_t size, uint8_t *out,
                 size_t content);

#endif
