/* The conformance set of the MCAP project (tests/data/mcap_conformance), all 416 cases:
 * - the writer gives the 208 files without padding, byte for byte (SHA-256);
 * - a second, naive writer in this file gives all 416, the padded ones too, so that the readers
 *   have real bytes to read, each vouched for by its SHA-256;
 * - the streaming reader gives the records of all 416, as canonical JSON;
 * - the indexed reader gives schemas, channels, messages by log_time and statistics of each case
 *   that has an index. */
#include "proto/crc32.h"
#include "proto/hash.h"
#include "proto/mcap_index.h"
#include "proto/mcap_read.h"
#include "proto/mcap_write.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define CASES "tests/data/mcap_conformance/cases.jsonl"
#define CASES_TOTAL 416
#define FILE_MAX_BYTES 8192 /* the largest file of the set has less */

struct output {
    uint8_t bytes[FILE_MAX_BYTES];
    size_t used;
};

static int output_put(void *context, const void *bytes, size_t size)
{
    struct output *out = context;

    if (size > sizeof out->bytes - out->used)
        return -ENOSPC;
    memcpy(out->bytes + out->used, bytes, size);
    out->used += size;
    return 0;
}

/* --- cases --- */

static json_t *cases[CASES_TOTAL];

static int load_cases(void **state)
{
    FILE *file = fopen(CASES, "r");
    char *line = NULL;
    size_t size = 0, count = 0;

    (void)state;
    assert_non_null(file);
    while (getline(&line, &size, file) > 0) {
        assert_true(count < CASES_TOTAL);
        cases[count] = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(cases[count++]);
    }
    assert_int_equal(count, CASES_TOTAL);
    free(line);
    (void)fclose(file);
    return 0;
}

static int free_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES_TOTAL; i++)
        json_decref(cases[i]);
    return 0;
}

static const char *case_name(const json_t *c) { return json_string_value(json_object_get(c, "name")); }

static bool has_feature(const json_t *c, const char *feature)
{
    const json_t *value;
    size_t i;

    json_array_foreach(json_object_get(c, "features"), i, value) {
        if (!strcmp(json_string_value(value), feature))
            return true;
    }
    return false;
}

static unsigned features_of(const json_t *c)
{
    static const char *const names[] = { "ch", "mx", "st", "rsh", "rch", "ax", "mdx", "chx", "sum" };
    unsigned features = 0;

    for (unsigned i = 0; i < 9; i++)
        if (has_feature(c, names[i]))
            features |= 1u << i;
    return features;
}

static const json_t *field(const json_t *record, const char *name)
{
    const json_t *pair;
    size_t i;

    json_array_foreach(json_object_get(record, "fields"), i, pair) {
        if (!strcmp(json_string_value(json_array_get(pair, 0)), name))
            return json_array_get(pair, 1);
    }
    fail_msg("no field %s", name);
    return NULL;
}

static uint64_t number(const json_t *record, const char *name)
{
    return strtoull(json_string_value(field(record, name)), NULL, 10);
}

static struct mcap_bytes text(const json_t *record, const char *name)
{
    return mcap_text(json_string_value(field(record, name)));
}

static struct mcap_bytes data(const json_t *record, uint8_t out[256])
{
    const json_t *value;
    size_t i, count = 0;

    json_array_foreach(field(record, "data"), i, value) {
        out[count++] = (uint8_t)strtoul(json_string_value(value), NULL, 10);
    }
    return mcap_view(out, count);
}

static struct mcap_bytes metadata(const json_t *record, uint8_t out[256])
{
    struct mcap_map map = { .bytes = out, .size = 256 };
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)field(record, "metadata"), key, value) {
        mcap_map_add(&map, key, mcap_text(json_string_value(value)));
    }
    assert_false(map.failed);
    return mcap_map_view(&map);
}

static const char *type_of(const json_t *record)
{
    return json_string_value(json_object_get(record, "type"));
}

static struct mcap_schema schema_of(const json_t *r, uint8_t buffer[256])
{
    return (struct mcap_schema){ (uint16_t)number(r, "id"), text(r, "name"), text(r, "encoding"),
                                 data(r, buffer) };
}

static struct mcap_channel channel_of(const json_t *r, uint8_t buffer[256])
{
    return (struct mcap_channel){ (uint16_t)number(r, "id"), (uint16_t)number(r, "schema_id"),
                                  text(r, "topic"), text(r, "message_encoding"),
                                  metadata(r, buffer) };
}

static struct mcap_message message_of(const json_t *r, uint8_t buffer[256])
{
    return (struct mcap_message){ (uint16_t)number(r, "channel_id"),
                                  (uint32_t)number(r, "sequence"), number(r, "log_time"),
                                  number(r, "publish_time"), data(r, buffer) };
}

static struct mcap_attachment attachment_of(const json_t *r, uint8_t buffer[256])
{
    return (struct mcap_attachment){ number(r, "log_time"), number(r, "create_time"),
                                     text(r, "name"), text(r, "media_type"), data(r, buffer), 0 };
}

/* --- our writer --- */

static void write_record(struct mcap_writer *w, const json_t *r)
{
    uint8_t buffer[256];
    int rc = 0;

    if (!strcmp(type_of(r), "Schema"))
        rc = mcap_write_schema(w, &(struct mcap_schema[]){ schema_of(r, buffer) }[0]);
    else if (!strcmp(type_of(r), "Channel"))
        rc = mcap_write_channel(w, &(struct mcap_channel[]){ channel_of(r, buffer) }[0]);
    else if (!strcmp(type_of(r), "Message"))
        rc = mcap_write_message(w, &(struct mcap_message[]){ message_of(r, buffer) }[0]);
    else if (!strcmp(type_of(r), "Attachment"))
        rc = mcap_write_attachment(w, &(struct mcap_attachment[]){ attachment_of(r, buffer) }[0]);
    else if (!strcmp(type_of(r), "Metadata"))
        rc = mcap_write_metadata(
            w, &(struct mcap_metadata){ text(r, "name"), metadata(r, buffer) });
    assert_int_equal(rc, 0);
}

static void write_case(const json_t *c, struct output *out)
{
    const struct mcap_write_config config = { .profile = "", .library = "",
                                              .features = features_of(c),
                                              .chunk_bytes = MCAP_WRITE_CHUNK_DEFAULT };
    const struct mcap_sink sink = { output_put, out };
    struct mcap_writer *w;
    const json_t *record;
    size_t i;

    out->used = 0;
    assert_int_equal(mcap_writer_open(&config, &sink, &w), 0);
    json_array_foreach(json_object_get(c, "records"), i, record) {
        if (!strcmp(type_of(record), "DataEnd"))
            break; /* what comes after it is the writer's own work */
        write_record(w, record);
    }
    assert_int_equal(mcap_writer_finish(w), 0);
    assert_int_equal(mcap_writer_position(w), out->used);
    mcap_writer_close(w);
}

/* --- the naive writer: everything in one buffer, from what the case file says --- */

struct naive {
    struct output *out;
    bool pad;
};

static void n_int(struct naive *n, uint64_t value, size_t bytes)
{
    uint8_t le[8];

    store_le64(le, value);
    assert_int_equal(output_put(n->out, le, bytes), 0);
}

static void n_view(struct naive *n, struct mcap_bytes view)
{
    n_int(n, view.size, 4);
    assert_int_equal(output_put(n->out, view.at, view.size), 0);
}

static size_t n_begin(struct naive *n, uint8_t opcode)
{
    n_int(n, opcode, 1);
    n_int(n, 0, 8);
    return n->out->used;
}

static void n_end(struct naive *n, size_t body, bool may_pad)
{
    if (n->pad && may_pad) {
        static const uint8_t padding[3] = { 0x01, 0xff, 0xff };
        assert_int_equal(output_put(n->out, padding, sizeof padding), 0);
    }
    store_le64(n->out->bytes + body - 8, n->out->used - body);
}

static void n_schema(struct naive *n, const json_t *r)
{
    uint8_t buffer[256];
    size_t body = n_begin(n, MCAP_SCHEMA);

    n_int(n, number(r, "id"), 2);
    n_view(n, text(r, "name"));
    n_view(n, text(r, "encoding"));
    n_view(n, data(r, buffer));
    n_end(n, body, true);
}

static void n_channel(struct naive *n, const json_t *r)
{
    uint8_t buffer[256];
    size_t body = n_begin(n, MCAP_CHANNEL);

    n_int(n, number(r, "id"), 2);
    n_int(n, number(r, "schema_id"), 2);
    n_view(n, text(r, "topic"));
    n_view(n, text(r, "message_encoding"));
    n_view(n, metadata(r, buffer));
    n_end(n, body, true);
}

static void n_message(struct naive *n, const json_t *r)
{
    uint8_t buffer[256];
    struct mcap_bytes bytes = data(r, buffer);
    size_t body = n_begin(n, MCAP_MESSAGE);

    n_int(n, number(r, "channel_id"), 2);
    n_int(n, number(r, "sequence"), 4);
    n_int(n, number(r, "log_time"), 8);
    n_int(n, number(r, "publish_time"), 8);
    assert_int_equal(output_put(n->out, bytes.at, bytes.size), 0);
    n_end(n, body, false);
}

static void n_attachment(struct naive *n, const json_t *r)
{
    uint8_t buffer[256];
    struct mcap_bytes bytes = data(r, buffer);
    size_t body = n_begin(n, MCAP_ATTACHMENT);

    n_int(n, number(r, "log_time"), 8);
    n_int(n, number(r, "create_time"), 8);
    n_view(n, text(r, "name"));
    n_view(n, text(r, "media_type"));
    n_int(n, bytes.size, 8);
    assert_int_equal(output_put(n->out, bytes.at, bytes.size), 0);
    n_int(n, crc32_ieee(0, n->out->bytes + body, n->out->used - body), 4);
    n_end(n, body, true);
}

static void n_metadata(struct naive *n, const json_t *r)
{
    uint8_t buffer[256];
    size_t body = n_begin(n, MCAP_METADATA);

    n_view(n, text(r, "name"));
    n_view(n, metadata(r, buffer));
    n_end(n, body, true);
}

/* (key u16, value u64)... of a JSON object. */
static void n_counts(struct naive *n, const json_t *r, const char *name)
{
    json_t *object = (json_t *)(uintptr_t)field(r, name), *value;
    const char *key;

    n_int(n, 10 * json_object_size(object), 4);
    json_object_foreach(object, key, value) {
        n_int(n, strtoul(key, NULL, 10), 2);
        n_int(n, strtoull(json_string_value(value), NULL, 10), 8);
    }
}

static void n_statistics(struct naive *n, const json_t *r)
{
    size_t body = n_begin(n, MCAP_STATISTICS);

    n_int(n, number(r, "message_count"), 8);
    n_int(n, number(r, "schema_count"), 2);
    n_int(n, number(r, "channel_count"), 4);
    n_int(n, number(r, "attachment_count"), 4);
    n_int(n, number(r, "metadata_count"), 4);
    n_int(n, number(r, "chunk_count"), 4);
    n_int(n, number(r, "message_start_time"), 8);
    n_int(n, number(r, "message_end_time"), 8);
    n_counts(n, r, "channel_message_counts");
    n_end(n, body, true);
}

static void n_chunk_index(struct naive *n, const json_t *r)
{
    size_t body = n_begin(n, MCAP_CHUNK_INDEX);

    n_int(n, number(r, "message_start_time"), 8);
    n_int(n, number(r, "message_end_time"), 8);
    n_int(n, number(r, "chunk_start_offset"), 8);
    n_int(n, number(r, "chunk_length"), 8);
    n_counts(n, r, "message_index_offsets");
    n_int(n, number(r, "message_index_length"), 8);
    n_view(n, text(r, "compression"));
    n_int(n, number(r, "compressed_size"), 8);
    n_int(n, number(r, "uncompressed_size"), 8);
    n_end(n, body, true);
}

static void n_indexes(struct naive *n, const json_t *r)
{
    bool attachment = !strcmp(type_of(r), "AttachmentIndex");
    size_t body = n_begin(n, attachment ? MCAP_ATTACHMENT_INDEX : MCAP_METADATA_INDEX);

    n_int(n, number(r, "offset"), 8);
    n_int(n, number(r, "length"), 8);
    if (attachment) {
        n_int(n, number(r, "log_time"), 8);
        n_int(n, number(r, "create_time"), 8);
        n_int(n, number(r, "data_size"), 8);
    }
    n_view(n, text(r, "name"));
    if (attachment)
        n_view(n, text(r, "media_type"));
    n_end(n, body, true);
}

static void n_fixed(struct naive *n, const json_t *r)
{
    size_t body;

    if (!strcmp(type_of(r), "DataEnd")) {
        body = n_begin(n, MCAP_DATA_END);
        n_int(n, number(r, "data_section_crc"), 4);
        n_end(n, body, false);
    } else if (!strcmp(type_of(r), "SummaryOffset")) {
        body = n_begin(n, MCAP_SUMMARY_OFFSET);
        n_int(n, number(r, "group_opcode"), 1);
        n_int(n, number(r, "group_start"), 8);
        n_int(n, number(r, "group_length"), 8);
        n_end(n, body, true);
    } else if (!strcmp(type_of(r), "Footer")) {
        body = n_begin(n, MCAP_FOOTER);
        n_int(n, number(r, "summary_start"), 8);
        n_int(n, number(r, "summary_offset_start"), 8);
        n_int(n, number(r, "summary_crc"), 4);
        n_end(n, body, false);
    } else {
        fail_msg("what is %s?", type_of(r));
    }
}

static void n_record(struct naive *n, const json_t *r)
{
    static const struct {
        const char *type;
        void (*write)(struct naive *n, const json_t *r);
    } writers[] = {
        { "Schema", n_schema },         { "Channel", n_channel },
        { "Message", n_message },       { "Attachment", n_attachment },
        { "Metadata", n_metadata },     { "Statistics", n_statistics },
        { "ChunkIndex", n_chunk_index }, { "AttachmentIndex", n_indexes },
        { "MetadataIndex", n_indexes },
    };

    for (size_t i = 0; i < sizeof writers / sizeof writers[0]; i++)
        if (!strcmp(type_of(r), writers[i].type)) {
            writers[i].write(n, r);
            return;
        }
    n_fixed(n, r);
}

static void n_header(struct naive *n)
{
    assert_int_equal(output_put(n->out, mcap_magic, MCAP_MAGIC_BYTES), 0);
    size_t body = n_begin(n, MCAP_HEADER);
    n_view(n, mcap_text(""));
    n_view(n, mcap_text(""));
    n_end(n, body, true);
}

/* The chunk of a case: its schemas, channels and messages, which upstream does not pad inside. */
static void n_chunk(struct naive *n, const json_t *c)
{
    static struct output inside;
    struct naive in = { &inside, false };
    uint64_t start = UINT64_MAX, end = 0;
    size_t places[16][2], count = 0, i;
    const json_t *r;

    inside.used = 0;
    json_array_foreach(json_object_get(c, "records"), i, r) {
        if (!strcmp(type_of(r), "DataEnd"))
            break;
        if (!strcmp(type_of(r), "Message")) {
            uint64_t time = number(r, "log_time");
            start = time < start ? time : start;
            end = time > end ? time : end;
            places[count][0] = (size_t)time;
            places[count++][1] = inside.used;
        }
        if (strcmp(type_of(r), "Header"))
            n_record(&in, r);
    }
    size_t body = n_begin(n, MCAP_CHUNK);
    n_int(n, start, 8);
    n_int(n, end, 8);
    n_int(n, inside.used, 8);
    n_int(n, crc32_ieee(0, inside.bytes, inside.used), 4);
    n_view(n, mcap_text(""));
    n_int(n, inside.used, 8);
    assert_int_equal(output_put(n->out, inside.bytes, inside.used), 0);
    n_end(n, body, false);
    if (!has_feature(c, "mx"))
        return;
    body = n_begin(n, MCAP_MESSAGE_INDEX);
    n_int(n, 1, 2);
    n_int(n, 16 * count, 4);
    for (i = 0; i < count; i++) {
        n_int(n, places[i][0], 8);
        n_int(n, places[i][1], 8);
    }
    n_end(n, body, true);
}

static void write_naive(const json_t *c, struct output *out)
{
    struct naive n = { out, has_feature(c, "pad") };
    bool in_data = true, chunked = has_feature(c, "ch");
    const json_t *r;
    size_t i;

    out->used = 0;
    n_header(&n);
    json_array_foreach(json_object_get(c, "records"), i, r) {
        if (!strcmp(type_of(r), "Header"))
            continue;
        if (!strcmp(type_of(r), "DataEnd")) {
            if (chunked)
                n_chunk(&n, c);
            in_data = false;
        }
        if (!in_data || !chunked)
            n_record(&n, r);
    }
    assert_int_equal(output_put(out, mcap_magic, MCAP_MAGIC_BYTES), 0);
}

/* --- records back to canonical JSON --- */

static json_t *j_number(uint64_t value) { return json_sprintf("%llu", (unsigned long long)value); }

static json_t *j_text(struct mcap_bytes view)
{
    return json_stringn((const char *)view.at, view.size);
}

static json_t *j_data(struct mcap_bytes view)
{
    json_t *array = json_array();

    for (size_t i = 0; i < view.size; i++)
        json_array_append_new(array, j_number(view.at[i]));
    return array;
}

static json_t *j_map(struct mcap_bytes map)
{
    struct bytes_reader at = bytes_reader_init(map.at, map.size);
    struct mcap_bytes key, value;
    json_t *object = json_object();

    while (mcap_map_next(&at, &key, &value)) {
        char name[64];
        assert_true(key.size < sizeof name);
        memcpy(name, key.at, key.size);
        name[key.size] = '\0';
        json_object_set_new(object, name, j_text(value));
    }
    return object;
}

static json_t *j_counts(struct mcap_bytes entries)
{
    struct bytes_reader at = bytes_reader_init(entries.at, entries.size);
    json_t *object = json_object();
    char name[8];

    while (bytes_left(&at)) {
        (void)snprintf(name, sizeof name, "%u", bytes_u16(&at));
        json_object_set_new(object, name, j_number(bytes_u64(&at)));
    }
    return object;
}

static json_t *j_record(const char *type, json_t *fields)
{
    return json_pack("{s:s,s:o}", "type", type, "fields", fields);
}

/* "[[so]...]" needs the fields by rising name, as the case files have them. */
static json_t *j_schema(const struct mcap_schema *s)
{
    return j_record("Schema", json_pack("[[so][so][so][so]]", "data", j_data(s->data), "encoding",
                                        j_text(s->encoding), "id", j_number(s->id), "name",
                                        j_text(s->name)));
}

static json_t *j_channel(const struct mcap_channel *c)
{
    return j_record("Channel",
                    json_pack("[[so][so][so][so][so]]", "id", j_number(c->id), "message_encoding",
                              j_text(c->message_encoding), "metadata", j_map(c->metadata),
                              "schema_id", j_number(c->schema_id), "topic", j_text(c->topic)));
}

static json_t *j_message(const struct mcap_message *m)
{
    return j_record("Message",
                    json_pack("[[so][so][so][so][so]]", "channel_id", j_number(m->channel_id),
                              "data", j_data(m->data), "log_time", j_number(m->log_time),
                              "publish_time", j_number(m->publish_time), "sequence",
                              j_number(m->sequence)));
}

static json_t *j_statistics(const struct mcap_statistics *s)
{
    return j_record(
        "Statistics",
        json_pack("[[so][so][so][so][so][so][so][so][so]]", "attachment_count",
                  j_number(s->attachment_count), "channel_count", j_number(s->channel_count),
                  "channel_message_counts", j_counts(s->channel_message_counts), "chunk_count",
                  j_number(s->chunk_count), "message_count", j_number(s->message_count),
                  "message_end_time", j_number(s->message_end_time), "message_start_time",
                  j_number(s->message_start_time), "metadata_count", j_number(s->metadata_count),
                  "schema_count", j_number(s->schema_count)));
}

static json_t *j_chunk_index(const struct mcap_chunk_index *i)
{
    return j_record(
        "ChunkIndex",
        json_pack("[[so][so][so][so][so][so][so][so][so]]", "chunk_length",
                  j_number(i->chunk_length), "chunk_start_offset", j_number(i->chunk_start_offset),
                  "compressed_size", j_number(i->compressed_size), "compression",
                  j_text(i->compression), "message_end_time", j_number(i->message_end_time),
                  "message_index_length", j_number(i->message_index_length),
                  "message_index_offsets", j_counts(i->message_index_offsets),
                  "message_start_time", j_number(i->message_start_time), "uncompressed_size",
                  j_number(i->uncompressed_size)));
}

static json_t *j_attachments(const struct mcap_record *r)
{
    const struct mcap_attachment *a = &r->attachment;
    const struct mcap_attachment_index *i = &r->attachment_index;

    if (r->opcode == MCAP_ATTACHMENT)
        return j_record("Attachment",
                        json_pack("[[so][so][so][so][so]]", "create_time",
                                  j_number(a->create_time), "data", j_data(a->data), "log_time",
                                  j_number(a->log_time), "media_type", j_text(a->media_type),
                                  "name", j_text(a->name)));
    return j_record("AttachmentIndex",
                    json_pack("[[so][so][so][so][so][so][so]]", "create_time",
                              j_number(i->create_time), "data_size", j_number(i->data_size),
                              "length", j_number(i->length), "log_time", j_number(i->log_time),
                              "media_type", j_text(i->media_type), "name", j_text(i->name),
                              "offset", j_number(i->offset)));
}

static json_t *j_small(const struct mcap_record *r)
{
    switch (r->opcode) {
    case MCAP_HEADER:
        return j_record("Header", json_pack("[[so][so]]", "library", j_text(r->header.library),
                                            "profile", j_text(r->header.profile)));
    case MCAP_FOOTER:
        return j_record("Footer",
                        json_pack("[[so][so][so]]", "summary_crc",
                                  j_number(r->footer.summary_crc), "summary_offset_start",
                                  j_number(r->footer.summary_offset_start), "summary_start",
                                  j_number(r->footer.summary_start)));
    case MCAP_METADATA:
        return j_record("Metadata", json_pack("[[so][so]]", "metadata", j_map(r->metadata.metadata),
                                              "name", j_text(r->metadata.name)));
    case MCAP_METADATA_INDEX:
        return j_record("MetadataIndex",
                        json_pack("[[so][so][so]]", "length", j_number(r->metadata_index.length),
                                  "name", j_text(r->metadata_index.name), "offset",
                                  j_number(r->metadata_index.offset)));
    case MCAP_SUMMARY_OFFSET:
        return j_record("SummaryOffset",
                        json_pack("[[so][so][so]]", "group_length",
                                  j_number(r->summary_offset.group_length), "group_opcode",
                                  j_number(r->summary_offset.group_opcode), "group_start",
                                  j_number(r->summary_offset.group_start)));
    case MCAP_DATA_END:
        return j_record("DataEnd", json_pack("[[so]]", "data_section_crc",
                                             j_number(r->data_end.data_section_crc)));
    default: fail_msg("opcode %d", r->opcode); return NULL;
    }
}

static json_t *to_json(const struct mcap_record *r)
{
    switch (r->opcode) {
    case MCAP_SCHEMA: return j_schema(&r->schema);
    case MCAP_CHANNEL: return j_channel(&r->channel);
    case MCAP_MESSAGE: return j_message(&r->message);
    case MCAP_STATISTICS: return j_statistics(&r->statistics);
    case MCAP_CHUNK_INDEX: return j_chunk_index(&r->chunk_index);
    case MCAP_ATTACHMENT:
    case MCAP_ATTACHMENT_INDEX: return j_attachments(r);
    default: return j_small(r);
    }
}

static void assert_same_json(const json_t *c, json_t *got, const json_t *want)
{
    if (!json_equal(got, want)) {
        char *a = json_dumps(got, 0), *b = json_dumps(want, 0);
        print_error("%s\ngot  %s\nwant %s\n", case_name(c), a, b);
        free(a);
        free(b);
        fail();
    }
    json_decref(got);
}

static bool hash_is(const struct output *out, const json_t *c)
{
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX];

    sha256_of(out->bytes, out->used, digest);
    hex_from(digest, sizeof digest, hex);
    return (json_int_t)out->used == json_integer_value(json_object_get(c, "size")) &&
           !strcmp(hex, json_string_value(json_object_get(c, "sha256")));
}

/* --- tests --- */

static struct output file;

static void test_writer_is_byte_identical_in_every_case_without_padding(void **state)
{
    size_t passed = 0;

    (void)state;
    for (size_t i = 0; i < CASES_TOTAL; i++) {
        if (has_feature(cases[i], "pad"))
            continue;
        write_case(cases[i], &file);
        if (!hash_is(&file, cases[i]))
            fail_msg("%s: %zu bytes with another hash", case_name(cases[i]), file.used);
        passed++;
    }
    assert_int_equal(passed, CASES_TOTAL / 2);
}

static void test_naive_writer_gives_every_file_of_the_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES_TOTAL; i++) {
        write_naive(cases[i], &file);
        if (!hash_is(&file, cases[i]))
            fail_msg("%s: %zu bytes with another hash", case_name(cases[i]), file.used);
    }
}

static void test_streaming_reader_gives_the_records_of_every_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES_TOTAL; i++) {
        struct mcap_reader *reader;
        struct mcap_record record;
        struct err err;
        json_t *got = json_array();
        int rc;

        write_naive(cases[i], &file);
        struct mcap_bytes all = mcap_view(file.bytes, file.used);
        const struct mcap_input input = mcap_input_bytes(&all);
        assert_int_equal(mcap_reader_open(&(struct mcap_read_config){ 0 }, &input, &reader), 0);
        while ((rc = mcap_reader_next(reader, &record, &err)) == 1)
            json_array_append_new(got, to_json(&record));
        if (rc)
            fail_msg("%s: %s", case_name(cases[i]), err.text);
        assert_int_equal(mcap_reader_position(reader), file.used);
        mcap_reader_close(reader);
        assert_same_json(cases[i], got, json_object_get(cases[i], "records"));
    }
}

/* What the set expects of an indexed reader: first definitions, messages sorted by time (stable). */
static json_t *expect_indexed(const json_t *c, const char *type)
{
    json_t *want = json_array(), *r;
    bool seen[16] = { false };
    size_t i;

    json_array_foreach(json_object_get(c, "records"), i, r) {
        if (strcmp(type_of(r), type))
            continue;
        if (!strcmp(type, "Schema") || !strcmp(type, "Channel")) {
            if (seen[number(r, "id")])
                continue;
            seen[number(r, "id")] = true;
        }
        size_t at = json_array_size(want);
        if (!strcmp(type, "Message"))
            while (at && number(json_array_get(want, at - 1), "log_time") > number(r, "log_time"))
                at--;
        json_array_insert(want, at, r);
    }
    return want;
}

static void check_indexed(const json_t *c, struct mcap_index *index)
{
    const struct mcap_schema *schemas;
    const struct mcap_channel *channels;
    struct mcap_message message;
    struct err err;
    json_t *got = json_array(), *want = expect_indexed(c, "Schema");
    int rc;

    for (size_t i = 0; i < mcap_index_schemas(index, &schemas); i++)
        json_array_append_new(got, j_schema(&schemas[i]));
    assert_same_json(c, got, want);
    json_decref(want);
    got = json_array();
    want = expect_indexed(c, "Channel");
    for (size_t i = 0; i < mcap_index_channels(index, &channels); i++)
        json_array_append_new(got, j_channel(&channels[i]));
    assert_same_json(c, got, want);
    json_decref(want);
    got = json_array();
    want = expect_indexed(c, "Message");
    assert_int_equal(mcap_index_seek(index, 0, UINT64_MAX, &err), 0);
    while ((rc = mcap_index_next(index, &message, &err)) == 1)
        json_array_append_new(got, j_message(&message));
    assert_int_equal(rc, 0);
    assert_same_json(c, got, want);
    json_decref(want);
    got = json_array();
    want = expect_indexed(c, "Statistics");
    if (mcap_index_statistics(index))
        json_array_append_new(got, j_statistics(mcap_index_statistics(index)));
    assert_same_json(c, got, want);
    json_decref(want);
}

static void test_indexed_reader_gives_what_the_summary_promises(void **state)
{
    size_t checked = 0;

    (void)state;
    for (size_t i = 0; i < CASES_TOTAL; i++) {
        const json_t *c = cases[i];
        bool schemas = json_array_size(json_object_get(c, "records")) &&
                       strncmp(case_name(c), "OneSchemaless", 13) != 0;
        struct mcap_index *index;
        struct err err;

        if (!has_feature(c, "chx") || !has_feature(c, "rch") ||
            (schemas && !has_feature(c, "rsh")))
            continue;
        write_naive(c, &file);
        struct mcap_bytes all = mcap_view(file.bytes, file.used);
        const struct mcap_input input = mcap_input_bytes(&all);
        assert_int_equal(mcap_index_open(NULL, &input, &index, &err), 0);
        check_indexed(c, index);
        mcap_index_close(index);
        checked++;
    }
    assert_int_equal(checked, 48);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_is_byte_identical_in_every_case_without_padding),
        cmocka_unit_test(test_naive_writer_gives_every_file_of_the_set),
        cmocka_unit_test(test_streaming_reader_gives_the_records_of_every_case),
        cmocka_unit_test(test_indexed_reader_gives_what_the_summary_promises),
    };
    return cmocka_run_group_tests(tests, load_cases, free_cases);
}
