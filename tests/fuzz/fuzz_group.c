/* A group record: as it comes, with its hashes made good (a fuzzer cannot guess XXH3), or as the
 * unpacked body of a columnar block, so that mutations reach what lies behind zstd. What decodes is
 * encoded with both codecs and must come back the same. */
#include "proto/codec.h"
#include "proto/group.h"
#include "proto/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct group_coder *coder;
static struct zpack *pack;
static struct columnar *columnar;
static struct rowbuf *rows, *again;

static void reseal(uint8_t *record, size_t size)
{
    size_t at = RECORD_HEAD_BYTES + 64;

    while (at + 40 <= size - RECORD_TAIL_BYTES) {
        size_t payload = load_le32(record + at + 12);
        if (payload > size - RECORD_TAIL_BYTES - at - 40)
            break;
        store_le64(record + at + 32 + payload, hash_xxh3(record + at, 32 + payload));
        at += payload + 40;
    }
    (void)record_seal(record, RECORD_GROUP, size - RECORD_HEAD_BYTES - RECORD_TAIL_BYTES);
}

static void expect_same(void)
{
    struct source_table sources = { .count = SOURCES_MAX };
    struct group_head head;

    for (uint8_t codec = 0; codec < CODEC_COUNT; codec++) {
        const struct group_config config = { codec, 1, &sources };
        int64_t size = group_encode(coder, &config, rows, NULL, 0);
        if (size < 0)
            abort();
        uint8_t *record = malloc((size_t)size);
        memcpy(record, group_bytes(coder), (size_t)size);
        if (group_decode(coder, record, (size_t)size, &head, again, NULL) < 0)
            abort();
        free(record);
        struct rowbuf_cursor a = rowbuf_begin(rows), b = rowbuf_begin(again);
        struct row want = { 0 }, got = { 0 };
        while (rowbuf_next(rows, &a, &want))
            if (!rowbuf_next(again, &b, &got) || want.step != got.step ||
                want.mono_ns != got.mono_ns ||
                memcmp(&want.frame, &got.frame, sizeof want.frame) != 0)
                abort();
    }
}

static void decode_record(const uint8_t *data, size_t size)
{
    struct group_head head;
    struct err err;
    uint8_t *record = malloc(size);

    memcpy(record, data, size);
    reseal(record, size);
    if (group_decode(coder, record, size, &head, rows, &err) == 0)
        expect_same();
    free(record);
}

static void decode_body(const uint8_t *data, size_t size)
{
    static uint8_t plain[1 << 20];
    static uint32_t offsets[BLOCK_ROWS_MAX];
    uint32_t count = load_le16(data);
    struct zpack_part part = { data + 2, size - 2 };
    size_t bound = zpack_bound(part.size, 1);
    uint8_t *packed = malloc(bound);
    int64_t bytes = zpack_encode(pack, &part, 1, packed, bound);
    struct err err;

    if (bytes > 0 && count) {
        const struct codec_block block = { count, 0, 0, packed, (size_t)bytes };
        (void)codec_columnar.decode(columnar, &block, plain, sizeof plain, offsets, &err);
    }
    free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!coder) {
        coder = group_coder_open();
        pack = zpack_open();
        columnar = columnar_open(pack);
        rows = rowbuf_open(1 << 20);
        again = rowbuf_open(1 << 21);
    }
    if (size > 3 && data[0] == 'b')
        decode_body(data + 1, size - 1);
    else if (size > RECORD_HEAD_BYTES + RECORD_TAIL_BYTES)
        decode_record(data, size);
    return 0;
}
