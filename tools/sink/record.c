#include "tools/sink/record.h"

#include "proto/clip_json.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RECORD_FORMAT 1
#define RECORD_RANGES_MAX 65536

const char *record_status_name(enum record_status status)
{
    static const char *const names[] = { "complete", "raw_only", "partial", "quarantined" };

    return (unsigned)status < 4 ? names[status] : "unknown";
}

int record_time_read(const char *text, int64_t *ret_ns)
{
    bool minus = *text == '-';
    uint64_t ns = 0;
    int digits = 0, decimals = -1;

    for (text += minus; *text; text++) {
        if (*text == '.' && decimals < 0 && digits) {
            decimals = 0;
            continue;
        }
        if (*text < '0' || *text > '9' || ++digits > 19 || decimals == 9)
            return -EINVAL;
        decimals += decimals >= 0;
        ns = ns * 10 + (uint64_t)(*text - '0');
    }
    if (decimals != 9 || ns > INT64_MAX)
        return -EINVAL;
    *ret_ns = minus ? -(int64_t)ns : (int64_t)ns;
    return 0;
}

/* ---- Writing ---- */

static json_t *hex_json(const uint8_t *bytes, size_t size)
{
    char text[SHA256_HEX];

    hex_from(bytes, size, text);
    return json_string(text);
}

static json_t *time_json(int64_t ns)
{
    char text[32];

    clip_json_time(ns, text);
    return json_string(text);
}

/* ISO 8601 for people; null when the wall clock was not known. */
static json_t *wall_json(int64_t utc_ns)
{
    time_t seconds = (time_t)(utc_ns / 1000000000);
    struct tm tm;
    char day[32], text[64];

    if (utc_ns <= 0 || !gmtime_r(&seconds, &tm) || !strftime(day, sizeof day, "%FT%T", &tm))
        return json_null();
    (void)snprintf(text, sizeof text, "%s.%09dZ", day, (int)(utc_ns % 1000000000));
    return json_string(text);
}

static void put_about(json_t *to, const struct wire_about *about)
{
    (void)json_object_set_new(to, "session", hex_json(about->session_id, 16));
    (void)json_object_set_new(to, "ordinal", json_integer((json_int_t)about->ordinal));
    (void)json_object_set_new(to, "rule", json_string(about->rule));
    (void)json_object_set_new(to, "priority", json_integer(about->priority));
    (void)json_object_set_new(to, "segment_count", json_integer(about->segments));
    (void)json_object_set_new(to, "start", time_json(about->start_ns));
    (void)json_object_set_new(to, "end", time_json(about->end_ns));
    (void)json_object_set_new(to, "wall_start", wall_json(about->utc_ns));
    (void)json_object_set_new(to, "utc_start", time_json(about->utc_ns));
}

static json_t *segment_json(const uint8_t sha256[SHA256_BYTES], unsigned segment, uint32_t bytes,
                            uint32_t chunk_bytes)
{
    json_t *item = json_object();

    (void)json_object_set_new(item, "segment", json_integer(segment));
    (void)json_object_set_new(item, "sha256", hex_json(sha256, SHA256_BYTES));
    (void)json_object_set_new(item, "bytes", json_integer(bytes));
    (void)json_object_set_new(item, "chunk_bytes", json_integer(chunk_bytes));
    return item;
}

static void put_final(json_t *to, const struct record *record)
{
    json_t *segments = json_array();

    for (uint32_t k = 0; k < record->final.about.segments; k++) {
        const struct wire_segment *s = &record->final.segments[k];
        (void)json_array_append_new(segments,
                                    segment_json(s->sha256, k, s->bytes, s->chunk_bytes));
    }
    (void)json_object_set_new(to, "manifest_sha256",
                              hex_json(record->final_sha256, SHA256_BYTES));
    (void)json_object_set_new(to, "segments", segments);
}

static json_t *missing_json(const struct assembler_slot *slot)
{
    json_t *list = json_array();
    struct wire_range range;
    uint32_t first = 0;

    while (assembler_missing(slot, &first, &range, 1))
        (void)json_array_append_new(list, json_pack("[I,I]", (json_int_t)range.first,
                                                    (json_int_t)range.count));
    return list;
}

static void put_slots(json_t *to, const struct record *record)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < record->slot_count; i++) {
        const struct assembler_slot *slot = &record->slots[i];
        json_t *item = segment_json(slot->sha256, slot->segment, slot->bytes, slot->chunk_bytes);
        (void)json_object_set_new(item, "chunks", json_integer(slot->count));
        (void)json_object_set_new(item, "held", json_integer(slot->held));
        (void)json_object_set_new(item, "missing", missing_json(slot));
        (void)json_array_append_new(list, item);
    }
    (void)json_object_set_new(to, "held_segments", list);
    (void)json_object_set_new(to, "has_part", json_boolean(record->has_part));
}

static void put_needs(json_t *to, const struct record *record)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < record->need_count; i++)
        (void)json_array_append_new(list, hex_json(record->needs[i], SHA256_BYTES));
    (void)json_object_set_new(to, "needs", list);
}

static json_t *record_json(const struct record *record)
{
    json_t *to = json_object();

    (void)json_object_set_new(to, "format", json_integer(RECORD_FORMAT));
    (void)json_object_set_new(to, "clip", hex_json(record->clip_id, CLIP_ID_BYTES));
    (void)json_object_set_new(to, "vehicle", json_string(record->vehicle));
    (void)json_object_set_new(to, "status", json_string(record_status_name(record->status)));
    if (record->about_known)
        put_about(to, &record->final.about);
    if (record->final_known)
        put_final(to, record);
    if (record->status == RECORD_PARTIAL) {
        put_slots(to, record);
    } else {
        (void)json_object_set_new(to, "rlc_bytes", json_integer(record->rlc_bytes));
        (void)json_object_set_new(to, "rlc_sha256", hex_json(record->rlc_sha256, SHA256_BYTES));
    }
    if (record->mcap[0])
        (void)json_object_set_new(to, "mcap", json_string(record->mcap));
    if (record->reason[0])
        (void)json_object_set_new(to, "reason", json_stringn_nocheck(record->reason,
                                                                     strlen(record->reason)));
    put_needs(to, record);
    return to;
}

char *record_write(const struct record *record, const struct json_t *content)
{
    json_t *to = record_json(record);

    if (content)
        (void)json_object_update_missing(to, (json_t *)(uintptr_t)content);
    char *text = json_dumps(to, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    json_decref(to);
    return text;
}

/* ---- Reading: a field that is there must be right, one that must be there must be there ---- */

struct reader {
    const json_t *from;
    struct err *err;
    bool failed;
};

static void fail(struct reader *r, const char *key, const char *expected)
{
    if (!r->failed)
        (void)err_plain(r->err, -EBADMSG, "field '%s': expected %s", key, expected);
    r->failed = true;
}

static const char *get_text(struct reader *r, const char *key, size_t max)
{
    const json_t *item = json_object_get(r->from, key);
    const char *text = json_string_value(item);

    if (text && json_string_length(item) < max && strlen(text) == json_string_length(item))
        return text;
    fail(r, key, "a text within its limit");
    return "";
}

static void copy_text(struct reader *r, const char *key, char *to, size_t size, bool must)
{
    if (must || json_object_get(r->from, key))
        (void)snprintf(to, size, "%s", get_text(r, key, size));
}

static int64_t get_number(struct reader *r, const char *key, int64_t min, int64_t max)
{
    const json_t *item = json_object_get(r->from, key);
    int64_t value = json_integer_value(item);

    if (json_is_integer(item) && value >= min && value <= max)
        return value;
    fail(r, key, "a number within its limit");
    return min;
}

static void get_hex(struct reader *r, const char *key, uint8_t *to, size_t size)
{
    const char *text = get_text(r, key, 2 * SHA256_BYTES + 1);

    if (strlen(text) != 2 * size || hex_to(text, size, to))
        fail(r, key, "lower-case hex of the right length");
}

static int64_t get_time(struct reader *r, const char *key)
{
    int64_t ns = 0;

    if (record_time_read(get_text(r, key, 32), &ns))
        fail(r, key, "seconds with nine decimals");
    return ns;
}

static void get_about(struct reader *r, struct record *record)
{
    struct wire_about *about = &record->final.about;

    get_hex(r, "session", about->session_id, 16);
    about->ordinal = (uint64_t)get_number(r, "ordinal", INT64_MIN, INT64_MAX);
    copy_text(r, "rule", about->rule, sizeof about->rule, true);
    about->priority = (uint8_t)get_number(r, "priority", 0, PRIORITY_MAX);
    about->segments = (uint8_t)get_number(r, "segment_count", 1, SEGMENTS_MAX);
    about->start_ns = get_time(r, "start");
    about->end_ns = get_time(r, "end");
    about->utc_ns = get_time(r, "utc_start");
    memcpy(about->clip_id, record->clip_id, CLIP_ID_BYTES);
    memcpy(about->pseudonym, record->vehicle, PSEUDONYM_MAX);
}

static void get_segment(struct reader *r, unsigned *segment, uint32_t *bytes,
                        uint32_t *chunk_bytes, uint8_t sha256[SHA256_BYTES])
{
    *segment = (unsigned)get_number(r, "segment", 0, SEGMENTS_MAX - 1);
    *bytes = (uint32_t)get_number(r, "bytes", 1, SEGMENT_BYTES_MAX);
    *chunk_bytes = (uint32_t)get_number(r, "chunk_bytes", CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
    get_hex(r, "sha256", sha256, SHA256_BYTES);
}

static void get_final(struct reader *r, struct record *record)
{
    const json_t *list = json_object_get(r->from, "segments"), *top = r->from;

    get_hex(r, "manifest_sha256", record->final_sha256, SHA256_BYTES);
    if (json_array_size(list) != record->final.about.segments)
        fail(r, "segments", "as many as segment_count says");
    for (size_t k = 0; !r->failed && k < json_array_size(list); k++) {
        struct wire_segment *s = &record->final.segments[k];
        unsigned segment;
        r->from = json_array_get(list, k);
        get_segment(r, &segment, &s->bytes, &s->chunk_bytes, s->sha256);
        if (segment != k)
            fail(r, "segment", "segments in their order");
    }
    r->from = top;
}

static void clear_bits(struct reader *r, struct assembler_slot *slot)
{
    const json_t *list = json_object_get(r->from, "missing");

    if (!json_is_array(list) || json_array_size(list) > RECORD_RANGES_MAX)
        fail(r, "missing", "a list of ranges");
    for (size_t i = 0; !r->failed && i < json_array_size(list); i++) {
        const json_t *range = json_array_get(list, i);
        json_int_t first = json_integer_value(json_array_get(range, 0));
        json_int_t count = json_integer_value(json_array_get(range, 1));
        if (first < 0 || count < 1 || first > slot->count || count > slot->count - first) {
            fail(r, "missing", "ranges within the chunks");
            return;
        }
        for (json_int_t k = first; k < first + count; k++) {
            slot->held -= (uint32_t)(slot->bitmap[k / 8] >> (k % 8) & 1);
            slot->bitmap[k / 8] &= (uint8_t)~(1u << (k % 8));
        }
    }
}

static void get_slot(struct reader *r, struct record *record)
{
    struct assembler_slot *slot = &record->slots[record->slot_count];
    unsigned segment;

    get_segment(r, &segment, &slot->bytes, &slot->chunk_bytes, slot->sha256);
    slot->segment = (uint8_t)segment;
    if (r->failed)
        return;
    slot->count = (slot->bytes + slot->chunk_bytes - 1) / slot->chunk_bytes;
    slot->held = slot->count;
    slot->bitmap = calloc(1, (slot->count + 7) / 8);
    if (!slot->bitmap) {
        fail(r, "held_segments", "memory");
        return;
    }
    record->slot_count++;
    for (uint32_t k = 0; k < slot->count; k++)
        slot->bitmap[k / 8] |= (uint8_t)(1u << (k % 8));
    clear_bits(r, slot);
}

static void get_slots(struct reader *r, struct record *record)
{
    const json_t *list = json_object_get(r->from, "held_segments"), *top = r->from;

    record->has_part = json_is_true(json_object_get(r->from, "has_part"));
    if (json_array_size(list) > ASSEMBLER_SLOTS_MAX)
        fail(r, "held_segments", "at most 4 segments");
    for (size_t i = 0; !r->failed && i < json_array_size(list); i++) {
        r->from = json_array_get(list, i);
        get_slot(r, record);
    }
    r->from = top;
}

static void get_needs(struct reader *r, struct record *record)
{
    const json_t *list = json_object_get(r->from, "needs");

    if (json_array_size(list) > WIRE_NEEDS_MAX)
        fail(r, "needs", "at most 32 hashes");
    for (size_t i = 0; !r->failed && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || strlen(text) != 2 * SHA256_BYTES ||
            hex_to(text, SHA256_BYTES, record->needs[record->need_count]))
            fail(r, "needs", "SHA-256 in hex");
        else
            record->need_count++;
    }
}

static void get_status(struct reader *r, struct record *record)
{
    const char *text = get_text(r, "status", 32);

    for (unsigned i = RECORD_COMPLETE; i <= RECORD_QUARANTINED; i++)
        if (!strcmp(text, record_status_name(i))) {
            record->status = i;
            return;
        }
    fail(r, "status", "complete, raw_only, partial or quarantined");
}

static void get_all(struct reader *r, struct record *record)
{
    (void)get_number(r, "format", RECORD_FORMAT, RECORD_FORMAT);
    get_hex(r, "clip", record->clip_id, CLIP_ID_BYTES);
    copy_text(r, "vehicle", record->vehicle, sizeof record->vehicle, true);
    if (!assembler_pseudonym_ok(record->vehicle, strlen(record->vehicle)))
        fail(r, "vehicle", "a pseudonym");
    get_status(r, record);
    record->about_known = json_object_get(r->from, "session") != NULL;
    record->final_known = record->about_known && json_object_get(r->from, "manifest_sha256");
    if (record->about_known)
        get_about(r, record);
    if (record->final_known)
        get_final(r, record);
    copy_text(r, "mcap", record->mcap, sizeof record->mcap, false);
    if (strchr(record->mcap, '/')) /* a name beside the JSON: it becomes part of a path */
        fail(r, "mcap", "a file name without '/'");
    copy_text(r, "reason", record->reason, sizeof record->reason, false);
    get_needs(r, record);
    if (record->status == RECORD_PARTIAL) {
        get_slots(r, record);
        return;
    }
    record->rlc_bytes = get_number(r, "rlc_bytes", 0, (int64_t)SEGMENTS_MAX * SEGMENT_BYTES_MAX);
    get_hex(r, "rlc_sha256", record->rlc_sha256, SHA256_BYTES);
    if (!record->final_known)
        fail(r, "manifest_sha256", "the manifest of a whole clip");
}

int record_read(const char *text, size_t size, struct record *ret_record, struct err *err)
{
    struct record record = { 0 };
    json_error_t why;

    if (size > RECORD_BYTES_MAX)
        return err_plain(err, -EBADMSG, "%zu bytes of JSON, at most %d", size, RECORD_BYTES_MAX);
    json_t *top = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(top)) {
        json_decref(top);
        return err_at(err, -EBADMSG, NULL, (uint32_t)why.line, (uint32_t)why.column,
                      "not a JSON object: %s", why.text);
    }
    struct reader reader = { top, err, false };
    get_all(&reader, &record);
    json_decref(top);
    if (reader.failed) {
        record_deinit(&record);
        return -EBADMSG;
    }
    *ret_record = record;
    return 0;
}

void record_deinit(struct record *record)
{
    for (uint32_t i = 0; i < record->slot_count; i++) {
        free(record->slots[i].bitmap);
        record->slots[i].bitmap = NULL;
    }
    record->slot_count = 0;
}
