/* Any bytes: no crash, no read outside; what decodes encodes to the same bytes again. The hash of
 * the prefix (and of the final inside a question) is repaired first, else no mutation would get
 * past it. */
#include "proto/bytes.h"
#include "proto/wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void repair(uint8_t *bytes, size_t size)
{
    if (size >= WIRE_PREFIX_BYTES)
        store_le64(bytes + 8, hash_xxh3(bytes + WIRE_PREFIX_BYTES, size - WIRE_PREFIX_BYTES));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_value value;
    struct err err;

    if (size > WIRE_ARTIFACT_VALUE_MAX)
        return 0;
    uint8_t *bytes = malloc(size ? size : 1), *again = malloc(size + 1);
    memcpy(bytes, data, size);
    if (size > 5 && bytes[5] == WIRE_QUESTION && size > WIRE_QUESTION_HEADER_BYTES)
        repair(bytes + WIRE_QUESTION_HEADER_BYTES, size - WIRE_QUESTION_HEADER_BYTES);
    repair(bytes, size);
    if (wire_decode(bytes, size, &err, &value) == 0) {
        struct wire_headers headers;
        int back = wire_encode(&value, again, size, &err);
        if (back != (int)size || memcmp(again, bytes, size) != 0)
            abort();
        wire_headers_of(&value, "/vehicle/x", &headers);
        static uint8_t raw[1 << 16];
        if (value.kind == WIRE_ARTIFACT && value.artifact.raw_bytes <= sizeof raw)
            (void)wire_artifact_inflate(&value.artifact, raw, &err);
    } else if (!err.text[0]) {
        abort();
    }
    free(bytes);
    free(again);
    return 0;
}
