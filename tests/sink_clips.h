/* sink_clips - real clips made in memory: header, groups, manifest, with a database to decode them.
 * What test_dataset and test_sink store. */
#ifndef TESTS_SINK_CLIPS_H
#define TESTS_SINK_CLIPS_H
#include "proto/clip.h"
#include "proto/wire.h"

#include <stdlib.h>
#include <string.h>

#define MADE_ROWS 50
#define MADE_MAX 1048576

static const char made_dbc[] = "VERSION \"\"\n\nBU_: ECU\n\nBO_ 256 SPEED: 8 ECU\n"
                               " SG_ V : 0|16@1+ (0.5,0) [0|0] \"m/s\" ECU\n";

struct made_clip {
    struct wire_final final;
    uint8_t *bytes[SEGMENTS_MAX];
    uint8_t final_sha256[SHA256_BYTES];
};

struct made_config {
    const char *vehicle;
    uint64_t ordinal;
    uint8_t segments;
    uint32_t groups, chunk_bytes;
    int64_t utc_ns;
    bool with_dbc;
    uint8_t fill; /* other bytes, same clip id */
};

static inline void made_segment(struct made_clip *clip, const struct made_config *config, uint32_t k)
{
    struct group_coder *coder = group_coder_open();
    struct rowbuf *rows = rowbuf_open(1 << 20);
    struct clip_dbc dbc = { "can0", "demo.dbc", { 0 } };
    struct clip_event event = { .rule = "demo/fast", .start_ns = 1000, .fire_ns = 2000,
                                .reason = "false", .ended = true, .end_ns = 3000 };
    struct clip_header header = { .segment = k, .segments = config->segments,
                                  .ordinal = config->ordinal, .vehicle = config->vehicle,
                                  .rule = "demo/fast", .codec = CODEC_ROWS,
                                  .sources = { { { "can0", 1000, STAMP_KERNEL } }, 1 } };
    uint8_t *out = malloc(MADE_MAX);

    sha256_of(made_dbc, sizeof made_dbc - 1, dbc.sha256);
    header.dbcs = &dbc;
    header.dbc_count = config->with_dbc;
    memcpy(header.clip_id, clip->final.about.clip_id, CLIP_ID_BYTES);
    struct group_config group = { CODEC_ROWS, 0, &header.sources };
    int64_t at = clip_header_encode(&header, out, MADE_MAX);
    at += clip_seed_encode(NULL, 0, out + at, (size_t)(MADE_MAX - at));
    for (uint32_t g = 0; g < config->groups; g++) {
        rowbuf_clear(rows);
        for (uint32_t i = 0; i < MADE_ROWS; i++) {
            uint64_t step = (k * config->groups + g) * MADE_ROWS + i;
            struct row row = { .step = step, .mono_ns = (int64_t)step * 1000000,
                               .frame = { .stamp_ns = (int64_t)step * 1000000, .id = 256 + i % 2,
                                          .len = 8, .dlc = 8,
                                          .data = { (uint8_t)i, config->fill, (uint8_t)g,
                                                    (uint8_t)(config->ordinal * 31 + i * 7) } } };
            (void)rowbuf_put(rows, &row);
        }
        at += group_encode(coder, &group, rows, out + at, (size_t)(MADE_MAX - at));
    }
    struct clip_manifest manifest = { .segment = k, .last_segment = k + 1 == config->segments,
                                      .frames = config->groups * MADE_ROWS,
                                      .row_bytes = config->groups * MADE_ROWS * 24,
                                      .groups = config->groups, .body_bytes = (uint64_t)at,
                                      .events = &event, .event_count = k == 0,
                                      .end_ns = 1000000000, .dbcs = &dbc,
                                      .dbc_count = config->with_dbc };
    memcpy(manifest.clip_id, header.clip_id, CLIP_ID_BYTES);
    sha256_of(out, (size_t)at, manifest.body_sha256);
    at += clip_manifest_encode(&manifest, out + at, (size_t)(MADE_MAX - at));
    struct wire_segment *segment = &clip->final.segments[k];
    segment->bytes = (uint32_t)at;
    segment->chunk_bytes = config->chunk_bytes;
    sha256_of(out, (size_t)at, segment->sha256);
    clip->bytes[k] = out;
    group_coder_close(coder);
    rowbuf_close(rows);
}

static inline void made_clip(struct made_clip *clip, const struct made_config *config)
{
    struct wire_about *about = &clip->final.about;
    uint8_t bytes[WIRE_FINAL_MAX];

    memset(clip, 0, sizeof *clip);
    about->ordinal = config->ordinal;
    about->segments = config->segments;
    about->utc_ns = config->utc_ns;
    about->end_ns = 1000000000;
    about->priority = config->segments == 2 ? 9 : 4;
    strncpy(about->pseudonym, config->vehicle, sizeof about->pseudonym - 1);
    strncpy(about->rule, "demo/fast", sizeof about->rule - 1);
    clip_id_make(config->vehicle, about->session_id, config->ordinal, about->clip_id);
    for (uint32_t k = 0; k < config->segments; k++)
        made_segment(clip, config, k);
    struct wire_value value = { .kind = WIRE_FINAL, .final = clip->final };
    int size = wire_encode(&value, bytes, sizeof bytes, NULL);
    sha256_of(bytes, size > 0 ? (size_t)size : 0, clip->final_sha256);
}

static inline void made_free(struct made_clip *clip)
{
    for (int k = 0; k < SEGMENTS_MAX; k++)
        free(clip->bytes[k]);
}

static inline struct wire_value made_chunk(const struct made_clip *clip, uint8_t k, uint32_t index)
{
    const struct wire_segment *segment = &clip->final.segments[k];
    struct wire_value v = { .kind = WIRE_CHUNK };

    memcpy(v.chunk.clip_id, clip->final.about.clip_id, CLIP_ID_BYTES);
    memcpy(v.chunk.sha256, segment->sha256, SHA256_BYTES);
    v.chunk.segment = k;
    v.chunk.index = index;
    v.chunk.count = wire_chunk_count(segment);
    v.chunk.chunk_bytes = segment->chunk_bytes;
    v.chunk.segment_bytes = segment->bytes;
    v.chunk.size = wire_chunk_size(segment, index);
    v.chunk.payload = clip->bytes[k] + (size_t)index * segment->chunk_bytes;
    return v;
}
#endif
