#include "proto/zpack.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#define FRAME_OVERHEAD 64u /* frame head, checksum */
#define BLOCK_OVERHEAD 16u /* a flushed block that does not shrink */

struct zpack {
    ZSTD_CCtx *encoder;
    ZSTD_DCtx *decoder;
};

struct zpack *zpack_open(void)
{
    struct zpack *pack = calloc(1, sizeof *pack);

    if (!pack)
        return NULL;
    pack->encoder = ZSTD_createCCtx();
    pack->decoder = ZSTD_createDCtx();
    if (!pack->encoder || !pack->decoder ||
        ZSTD_isError(ZSTD_DCtx_setParameter(pack->decoder, ZSTD_d_windowLogMax,
                                            ZPACK_WINDOW_LOG))) {
        zpack_close(pack);
        return NULL;
    }
    return pack;
}

void zpack_close(struct zpack *pack)
{
    if (!pack)
        return;
    (void)ZSTD_freeCCtx(pack->encoder);
    (void)ZSTD_freeDCtx(pack->decoder);
    free(pack);
}

size_t zpack_bound(size_t size, size_t parts)
{
    return ZSTD_compressBound(size) + parts * BLOCK_OVERHEAD + FRAME_OVERHEAD;
}

static int begin(struct zpack *pack, size_t content)
{
    ZSTD_CCtx *encoder = pack->encoder;

    if (ZSTD_isError(ZSTD_CCtx_reset(encoder, ZSTD_reset_session_and_parameters)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(encoder, ZSTD_c_compressionLevel, ZPACK_LEVEL)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(encoder, ZSTD_c_checksumFlag, 1)) ||
        ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(encoder, content)))
        return -ENOMEM;
    return 0;
}

int64_t zpack_encode(struct zpack *pack, const struct zpack_part *parts, size_t count,
                     uint8_t *out, size_t size)
{
    ZSTD_outBuffer to = { out, size, 0 };
    size_t content = 0;

    for (size_t i = 0; i < count; i++)
        content += parts[i].size;
    if (begin(pack, content) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        ZSTD_inBuffer from = { parts[i].bytes, parts[i].size, 0 };
        ZSTD_EndDirective how = i + 1 == count ? ZSTD_e_end : ZSTD_e_flush;
        size_t left = ZSTD_compressStream2(pack->encoder, &to, &from, how);
        /* With room for the bound one call suffices; without it the frame does not fit. */
        if (ZSTD_isError(left) || left || from.pos != from.size)
            return -ENOBUFS;
    }
    return (int64_t)to.pos;
}

int64_t zpack_content(const void *bytes, size_t size)
{
    unsigned long long content = ZSTD_getFrameContentSize(bytes, size);

    if (content == ZSTD_CONTENTSIZE_UNKNOWN || content == ZSTD_CONTENTSIZE_ERROR ||
        content > INT64_MAX)
        return -EBADMSG;
    return (int64_t)content;
}

int zpack_decode(struct zpack *pack, const void *bytes, size_t size, uint8_t *out, size_t content)
{
    size_t frame = ZSTD_findFrameCompressedSize(bytes, size);

    if (ZSTD_isError(frame) || frame != size || zpack_content(bytes, size) != (int64_t)content)
        return -EBADMSG;
    size_t got = ZSTD_decompressDCtx(pack->decoder, out, content, bytes, size);
    if (ZSTD_isError(got) || got != content)
        return -EBADMSG;
    return 0;
}
