/* Segments as the recorder makes them, for tests of storage/ and uploader/: real headers, groups of
 * random frames, true manifests. */
#ifndef TESTS_SEGMENTS_H
#define TESTS_SEGMENTS_H
#include "proto/clip.h"
#include "proto/codec.h"
#include "storage/recorder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MADE_GROUPS_MAX 64
#define MADE_ROWS 300 /* of one group: about 7 KiB */

struct made {
    struct clip_header header;
    struct clip_manifest manifest;
    uint8_t *bytes;
    size_t size, head_size;
    size_t group_end[MADE_GROUPS_MAX];
    unsigned groups;
    uint8_t sha256[SHA256_BYTES];
};

struct made_config {
    uint64_t ordinal;
    uint8_t priority;
    uint32_t segment, segments;
    unsigned groups;
    uint32_t seed;
};

static inline void made_group(struct made *m, unsigned n, uint32_t *seed)
{
    struct rowbuf *rows = rowbuf_open(65536);
    struct group_coder *coder = group_coder_open();
    const struct group_config config = { .codec = 0, .sources = &m->header.sources };
    struct rowbuf_info info;

    assert(rows && coder);
    for (unsigned i = 0; i < MADE_ROWS; i++) {
        uint64_t step = (m->header.segment * 100000u) + n * MADE_ROWS + i;
        struct row row = { .step = step, .mono_ns = (int64_t)step * NS_PER_MS };
        row.frame = (struct frame){ .stamp_ns = row.mono_ns, .id = 0x100 + i % 7, .len = 8,
                                    .dlc = 8 };
        for (unsigned b = 0; b < 8; b++)
            row.frame.data[b] = (uint8_t)((*seed = *seed * 1664525u + 1013904223u) >> 24);
        int rc = rowbuf_put(rows, &row);
        assert(rc == 0);
        (void)rc;
    }
    rowbuf_info(rows, &info);
    int64_t size = group_encode(coder, &config, rows, NULL, 0);
    assert(size > 0);
    m->bytes = realloc(m->bytes, m->size + (size_t)size + 65536);
    assert(m->bytes);
    memcpy(m->bytes + m->size, group_bytes(coder), (size_t)size);
    m->size += (size_t)size;
    m->group_end[n] = m->size;
    m->manifest.frames += MADE_ROWS;
    m->manifest.row_bytes += info.row_bytes;
    m->manifest.last_step = info.last_step;
    m->manifest.end_ns = info.mono_last_ns;
    group_coder_close(coder);
    rowbuf_close(rows);
}

static inline void made_open(struct made *m, const struct made_config *config)
{
    static const struct clip_dbc dbc = { "", "a.dbc", { 0xdb } };
    uint32_t seed = config->seed + (uint32_t)config->ordinal * 77;

    memset(m, 0, sizeof *m);
    m->groups = config->groups;
    m->header = (struct clip_header){ .format_version = CLIP_FORMAT_VERSION,
                                      .session_id = { 1, 2, 3 }, .ordinal = config->ordinal,
                                      .segment = config->segment, .segments = config->segments,
                                      .vehicle = "car-1", .rule = "demo/rule", .purpose = "",
                                      .clip_class = "", .key_id = "",
                                      .priority = config->priority, .dbcs = &dbc, .dbc_count = 1,
                                      .clock = { true, 0, 1500000000 * NS_PER_S, 1, "ntp" } };
    m->header.pack_sha256[0] = 0xac;
    m->header.sources.count = 1;
    m->header.sources.items[0] = (struct source){ "can0", 1, STAMP_KERNEL };
    clip_id_make("car-1", m->header.session_id, config->ordinal, m->header.clip_id);
    m->bytes = malloc(131072);
    assert(m->bytes);
    m->size = (size_t)clip_header_encode(&m->header, m->bytes, 65536);
    m->size += (size_t)clip_seed_encode(NULL, 0, m->bytes + m->size, 65536);
    m->head_size = m->size;
    memcpy(m->manifest.clip_id, m->header.clip_id, CLIP_ID_BYTES);
    m->manifest.segment = config->segment;
    m->manifest.last_segment = config->segment + 1 == config->segments;
    m->manifest.clock = m->header.clock;
    m->manifest.completeness.clock_quality = "kernel";
    m->manifest.end_detail = "";
    for (unsigned n = 0; n < config->groups; n++)
        made_group(m, n, &seed);
    m->manifest.groups = config->groups;
    m->manifest.body_bytes = m->size;
    sha256_of(m->bytes, m->size, m->manifest.body_sha256);
    int64_t size = clip_manifest_encode(&m->manifest, m->bytes + m->size, 65536);
    assert(size > 0);
    m->size += (size_t)size;
    sha256_of(m->bytes, m->size, m->sha256);
}

static inline void made_close(struct made *m) { free(m->bytes); }

/* Piece n of groups + 2: BEGIN, one DATA a group, END. */
static inline struct recorder_piece made_piece(const struct made *m, unsigned n)
{
    struct recorder_piece piece = { .kind = n == 0             ? RECORDER_BEGIN
                                            : n == m->groups + 1 ? RECORDER_END
                                                                 : RECORDER_DATA,
                                    .segment = m->header.segment,
                                    .segments = m->header.segments };
    size_t from = n == 0 ? 0 : n == 1 ? m->head_size : m->group_end[n - 2];
    size_t to = n == 0 ? m->head_size : n == m->groups + 1 ? m->size : m->group_end[n - 1];

    memcpy(piece.clip_id, m->header.clip_id, CLIP_ID_BYTES);
    piece.bytes = m->bytes + from;
    piece.size = to - from;
    piece.header = piece.kind == RECORDER_DATA ? NULL : &m->header;
    piece.manifest = piece.kind == RECORDER_END ? &m->manifest : NULL;
    return piece;
}

#endif
