/* A segment file in portions of odd sizes. The hashes of its records are made good first, so that
 * mutations reach protobuf, seed and groups; manifests then rarely hold, which is fine. */
#include "proto/clip.h"
#include "proto/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void reseal(uint8_t *file, size_t size)
{
    size_t at = 0;

    while (size - at >= RECORD_HEAD_BYTES + RECORD_TAIL_BYTES) {
        size_t body = load_le32(file + at + 4);
        if (body > size - at - RECORD_HEAD_BYTES - RECORD_TAIL_BYTES)
            break;
        at += record_seal(file + at, load_le32(file + at), body);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct clip_reader *reader;
    struct clip_item item;
    struct err err;
    size_t at = 0, step = 1 + (size ? data[size - 1] : 0);
    /* Rows are fuzz_group's subject and cost the most: one input in eight decodes them. */
    const struct clip_reader_config config = { .name = "fuzz", .heads_only = step % 8 != 0 };
    int rc = 0;
    uint8_t *file = malloc(size + 1);

    reader = clip_reader_open(&config);
    memcpy(file, data, size);
    reseal(file, size);
    while (at < size && rc >= 0) {
        int64_t taken = clip_reader_put(reader, file + at, step < size - at ? step : size - at);
        if (taken < 0)
            break;
        at += (size_t)taken;
        while ((rc = clip_reader_next(reader, &item, &err)) == 1)
            ;
    }
    if (rc == 0)
        (void)clip_reader_finish(reader, &err);
    clip_reader_close(reader);
    free(file);
    return 0;
}
