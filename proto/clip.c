#include "proto/clip.h"

#include "proto/clip_pb.h"
#include "proto/record.h"
#include "proto/zpack.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEED_PLACE_BYTES 24 /* step, mono, offset before each plain row */
#define SEED_ROW_BYTES_MAX (SEED_PLACE_BYTES + ROWBUF_HEAD_BYTES + FRAME_DATA_MAX)
static_assert(CLIP_RECORD_OVERHEAD == RECORD_HEAD_BYTES + RECORD_TAIL_BYTES, "one frame for all");

const char *clip_end_name(enum clip_end end)
{
    static const char *const names[] = { "complete", "truncated", "interrupted", "input_end",
                                         "limit" };
    return (unsigned)end < sizeof names / sizeof names[0] ? names[end] : "unknown";
}

const char *clip_edge_name(enum clip_edge edge)
{
    static const char *const names[] = { "rise", "fall", "manual" };
    return (unsigned)edge < sizeof names / sizeof names[0] ? names[edge] : "unknown";
}

const char *clip_source_event_name(enum clip_source_event_kind kind)
{
    static const char *const names[CLIP_SOURCE_EVENT_KINDS] = { "down", "up", "stamps",
                                                                "bus_state" };
    return (unsigned)kind < CLIP_SOURCE_EVENT_KINDS ? names[kind] : "unknown";
}

const char *clip_bus_state_name(enum clip_bus_state state)
{
    static const char *const names[] = { "unknown", "error-active", "error-warning",
                                         "error-passive", "bus-off", "stopped", "sleeping" };
    return (unsigned)state < sizeof names / sizeof names[0] ? names[state] : "unknown";
}

const char *clip_source_event_value(const struct clip_source_event *event)
{
    if (event->kind == CLIP_SOURCE_STAMPS)
        return stamp_origin_name((enum stamp_origin)event->value);
    return event->kind == CLIP_SOURCE_BUS_STATE
               ? clip_bus_state_name((enum clip_bus_state)event->value) : "";
}

void clip_id_make(const char *vehicle, const uint8_t session_id[SESSION_ID_BYTES],
                  uint64_t ordinal, uint8_t ret_id[CLIP_ID_BYTES])
{
    uint8_t text[PSEUDONYM_MAX + SESSION_ID_BYTES + 8] = { 0 }, digest[SHA256_BYTES];
    size_t length = strnlen(vehicle, PSEUDONYM_MAX - 1);

    memcpy(text, vehicle, length);
    length++; /* the NUL counts, so that no two vehicles meet */
    memcpy(text + length, session_id, SESSION_ID_BYTES);
    store_le64(text + length + SESSION_ID_BYTES, ordinal);
    sha256_of(text, length + SESSION_ID_BYTES + 8, digest);
    memcpy(ret_id, digest, CLIP_ID_BYTES);
}

/* --- records --- */

int64_t clip_header_encode(const struct clip_header *header, uint8_t *out, size_t size)
{
    int64_t body = clip_pb_header_pack(header, NULL, 0);

    if (body < 0)
        return body;
    if (body > CLIP_HEADER_BYTES_MAX)
        return -ERANGE;
    if (!out)
        return body + CLIP_RECORD_OVERHEAD;
    if (size < (size_t)body + CLIP_RECORD_OVERHEAD)
        return -ENOBUFS;
    body = clip_pb_header_pack(header, out + RECORD_HEAD_BYTES, (size_t)body);
    return body < 0 ? body : (int64_t)record_seal(out, RECORD_HEADER, (size_t)body);
}

int64_t clip_manifest_encode(const struct clip_manifest *manifest, uint8_t *out, size_t size)
{
    int64_t body = clip_pb_manifest_pack(manifest, NULL, 0);

    if (body < 0)
        return body;
    if (body > MANIFEST_BYTES_MAX)
        return -ERANGE;
    if (!out)
        return body + CLIP_RECORD_OVERHEAD;
    if (size < (size_t)body + CLIP_RECORD_OVERHEAD)
        return -ENOBUFS;
    body = clip_pb_manifest_pack(manifest, out + RECORD_HEAD_BYTES, (size_t)body);
    return body < 0 ? body : (int64_t)record_seal(out, RECORD_MANIFEST, (size_t)body);
}

int clip_header_decode(const uint8_t *record, size_t size, struct clip_header *ret_header,
                       struct err *err)
{
    if (!record_holds(record, size, RECORD_HEADER, true))
        return err_plain(err, -EBADMSG, "header: not a whole header record, or its XXH3 differs");
    return clip_pb_header_unpack(record + RECORD_HEAD_BYTES, size - CLIP_RECORD_OVERHEAD,
                                 ret_header, err);
}

int clip_manifest_decode(const uint8_t *record, size_t size, struct clip_manifest *ret_manifest,
                         struct err *err)
{
    if (!record_holds(record, size, RECORD_MANIFEST, true))
        return err_plain(err, -EBADMSG,
                         "manifest: not a whole manifest record, or its XXH3 differs");
    return clip_pb_manifest_unpack(record + RECORD_HEAD_BYTES, size - CLIP_RECORD_OVERHEAD,
                                   ret_manifest, err);
}

/* --- seed --- */

static size_t put_seed_rows(const struct row *rows, uint32_t count, uint8_t *raw)
{
    size_t at = 0;

    for (uint32_t i = 0; i < count; i++) {
        store_le64(raw + at, rows[i].step);
        store_le64(raw + at + 8, (uint64_t)rows[i].mono_ns);
        store_le64(raw + at + 16, (uint64_t)rows[i].offset_ns);
        at += SEED_PLACE_BYTES;
        at += plain_from_frame(&rows[i].frame, raw + at);
    }
    return at;
}

int64_t clip_seed_encode(const struct row *rows, uint32_t count, uint8_t *out, size_t size)
{
    size_t room = (size_t)count * SEED_ROW_BYTES_MAX;
    int64_t body = -ENOMEM;

    if (count > CLIP_SEED_ROWS_MAX)
        return -ERANGE;
    if (!out) /* a bound: the exact size needs the encoding */
        return (int64_t)(zpack_bound(room, 1) + CLIP_RECORD_OVERHEAD);
    if (size < CLIP_RECORD_OVERHEAD)
        return -ENOBUFS;
    struct zpack *pack = zpack_open();
    uint8_t *raw = malloc(room + 1);
    if (pack && raw) {
        struct zpack_part part = { raw, put_seed_rows(rows, count, raw) };
        body = zpack_encode(pack, &part, 1, out + RECORD_HEAD_BYTES, size - CLIP_RECORD_OVERHEAD);
    }
    free(raw);
    zpack_close(pack);
    return body < 0 ? body : (int64_t)record_seal(out, RECORD_SEED, (size_t)body);
}

/* Counts the rows; with `rows` fills them too. -EBADMSG for what is no list of rows. */
static int64_t get_seed_rows(const uint8_t *raw, size_t size, struct row *rows)
{
    struct bytes_reader r = bytes_reader_init(raw, size);
    uint32_t count = 0;

    for (; bytes_left(&r); count++) {
        struct row row = { .step = bytes_u64(&r) };
        row.mono_ns = (int64_t)bytes_u64(&r);
        row.offset_ns = (int64_t)bytes_u64(&r);
        const uint8_t *plain = bytes_take(&r, ROWBUF_HEAD_BYTES);
        if (!plain || !bytes_take(&r, plain_len(plain)) || count == CLIP_SEED_ROWS_MAX)
            return -EBADMSG;
        plain_to_frame(plain, &row.frame);
        if (plain_len(plain) > FRAME_DATA_MAX || frame_check(&row.frame) < 0)
            return -EBADMSG;
        if (rows)
            rows[count] = row;
    }
    return count;
}

static int unpack_seed(struct zpack *pack, const uint8_t *body, size_t size, uint8_t **ret_raw,
                       size_t *ret_size)
{
    int64_t content = zpack_content(body, size);

    if (content < 0 || content > CLIP_SEED_BYTES_MAX)
        return -EBADMSG;
    uint8_t *raw = malloc((size_t)content + 1);
    if (!raw)
        return -ENOMEM;
    int rc = zpack_decode(pack, body, size, raw, (size_t)content);
    if (rc < 0) {
        free(raw);
        return rc;
    }
    *ret_raw = raw;
    *ret_size = (size_t)content;
    return 0;
}

int clip_seed_decode(const uint8_t *record, size_t size, struct row **ret_rows,
                     uint32_t *ret_count, struct err *err)
{
    uint8_t *raw = NULL;
    size_t raw_bytes = 0;
    int64_t count = -EBADMSG;
    struct row *rows = NULL;

    if (!record_holds(record, size, RECORD_SEED, true))
        return err_plain(err, -EBADMSG, "seed: not a whole seed record, or its XXH3 differs");
    struct zpack *pack = zpack_open();
    int rc = pack ? unpack_seed(pack, record + RECORD_HEAD_BYTES, size - CLIP_RECORD_OVERHEAD,
                                &raw, &raw_bytes)
                  : -ENOMEM;
    zpack_close(pack);
    if (rc == 0)
        count = get_seed_rows(raw, raw_bytes, NULL);
    if (count >= 0)
        rows = malloc(sizeof *rows * ((size_t)count + 1));
    if (rows) {
        (void)get_seed_rows(raw, raw_bytes, rows);
        *ret_rows = rows;
        *ret_count = (uint32_t)count;
    }
    free(raw);
    return rows ? 0 : err_plain(err, -EBADMSG, "seed: not a list of rows");
}
