/* One valid value of each kind, for test_wire and for making the fuzz corpus. */
#ifndef TESTS_WIRE_SAMPLES_H
#define TESTS_WIRE_SAMPLES_H
#include "proto/wire.h"

#include <string.h>

#define SAMPLE_CHUNK_BYTES 4096
#define SAMPLE_SEGMENT_BYTES 10000 /* three chunks, the last of 1,808 bytes */

static inline struct wire_about sample_about(void)
{
    struct wire_about about = { .ordinal = 7, .start_ns = 10550000000, .end_ns = 20550000000,
                                .utc_ns = 1535570000000000001, .priority = 9, .segments = 2,
                                .pseudonym = "car-0001", .rule = "demo/hard_brake" };
    for (unsigned i = 0; i < CLIP_ID_BYTES; i++) {
        about.clip_id[i] = (uint8_t)(0x10 + i);
        about.session_id[i] = (uint8_t)(0xa0 + i);
    }
    return about;
}

static inline struct wire_final sample_final(void)
{
    struct wire_final final = { .about = sample_about() };

    for (unsigned s = 0; s < 2; s++) {
        final.segments[s].bytes = SAMPLE_SEGMENT_BYTES + s;
        final.segments[s].chunk_bytes = SAMPLE_CHUNK_BYTES;
        memset(final.segments[s].sha256, (int)(0xc0 + s), SHA256_BYTES);
    }
    return final;
}

/* `kind` from WIRE_OPEN to WIRE_STATUS. Payloads are views of static bytes. */
static inline struct wire_value sample_value(enum wire_kind kind)
{
    static const uint8_t payload[SAMPLE_CHUNK_BYTES] = { 1, 2, 3 };
    struct wire_value value;

    memset(&value, 0, sizeof value);
    value.kind = kind;
    switch (kind) {
    case WIRE_OPEN: value.open = sample_about(); break;
    case WIRE_CHUNK:
        value.chunk = (struct wire_chunk){ .segment = 1, .index = 2, .count = 3,
                                           .chunk_bytes = SAMPLE_CHUNK_BYTES,
                                           .segment_bytes = SAMPLE_SEGMENT_BYTES, .size = 1808,
                                           .payload = payload };
        memset(value.chunk.clip_id, 0x11, CLIP_ID_BYTES);
        memset(value.chunk.sha256, 0x22, SHA256_BYTES);
        break;
    case WIRE_FINAL: value.final = sample_final(); break;
    case WIRE_QUESTION:
        value.question.ask = 3;
        value.question.final = sample_final();
        break;
    case WIRE_GONE:
        value.gone = (struct wire_gone){ .ask = 4, .reason = WIRE_GONE_EVICTED,
                                         .pseudonym = "car-0001" };
        break;
    case WIRE_RECEIPT:
        value.receipt = (struct wire_receipt){ .ask = 1, .result = WIRE_MISSING,
                                               .pseudonym = "car-0001", .range_count = 2,
                                               .need_count = 1,
                                               .ranges = { { 0, 1, 2 }, { 1, 0, 1 } } };
        memset(value.receipt.needs[0], 0x77, SHA256_BYTES);
        break;
    case WIRE_ARTIFACT:
        value.artifact = (struct wire_artifact){ .kind = WIRE_ARTIFACT_DBC, .name = "toyota.dbc",
                                                 .raw_bytes = 100, .size = 50,
                                                 .payload = payload };
        break;
    default:
        value.status = (struct wire_status){ .pseudonym = "car-0001", .state = WIRE_STATE_OK,
                                             .version = "0.1.0", .generation = 2, .sealed = 9,
                                             .pending = 9, .clock_count = 1,
                                             .clocks = { { 1, 2, 3, 2 } } };
        break;
    }
    return value;
}

#endif
