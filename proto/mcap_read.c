/* Invariants:
 * - `position` is the offset of the next byte of the file that was not yet read.
 * - `crc` runs over all bytes of the section so far: the data section from byte 0 up to DataEnd's
 *   opcode, then the summary from after DataEnd.
 * - Until `cursor` is at its end, records come from the inflated chunk, whose CRC was true.
 *
 *   START --(magic, Header)--> DATA --(DataEnd)--> SUMMARY --(Footer, magic, end)--> END
 *   any --(error)--> FAILED, for good */
#include "proto/mcap_read.h"

#include "proto/crc32.h"
#include "proto/hash.h"
#include "proto/mcap_chunk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#define READ_STEP 1048576 /* first allocation for a body whose end the input does not vouch for */
#define FOOTER_BODY 20

enum phase { START, DATA, SUMMARY, END, FAILED };

/* A buffer that grows, never above what its user checked before. */
struct buffer {
    uint8_t *bytes;
    size_t size;
};

struct mcap_reader {
    struct mcap_read_config config;
    struct mcap_input input;
    enum phase phase;
    int failed;
    struct err err; /* of the failure, given again */
    uint64_t position, summary_start;
    uint32_t crc;

    struct buffer body;
    struct mcap_inflater inflater;
    struct mcap_chunk_cursor cursor; /* in the chunk that was entered last */
    /* XXH64 of the record that named each id (0: none yet): a repetition must be the same. */
    uint64_t *schemas, *channels;
};

/* --- inputs --- */

static int64_t stdio_read(void *context, uint64_t offset, void *bytes, size_t size)
{
    FILE *file = context;

    if (offset > INT64_MAX || fseeko(file, (off_t)offset, SEEK_SET))
        return -EIO;
    size_t n = fread(bytes, 1, size, file);
    return n < size && ferror(file) ? -EIO : (int64_t)n;
}

int mcap_input_stdio(FILE *file, struct mcap_input *ret_input)
{
    if (fseeko(file, 0, SEEK_END))
        return -EIO;
    off_t size = ftello(file);
    if (size < 0)
        return -EIO;
    *ret_input = (struct mcap_input){ stdio_read, file, (uint64_t)size };
    return 0;
}

static int64_t memory_read(void *context, uint64_t offset, void *bytes, size_t size)
{
    const struct mcap_bytes *all = context;

    if (offset >= all->size)
        return 0;
    size_t n = all->size - (size_t)offset;
    n = n < size ? n : size;
    if (n)
        memcpy(bytes, all->at + offset, n);
    return (int64_t)n;
}

struct mcap_input mcap_input_bytes(const struct mcap_bytes *bytes)
{
    return (struct mcap_input){ memory_read, (void *)(uintptr_t)bytes, bytes->size };
}

/* --- open and close --- */

int mcap_reader_open(const struct mcap_read_config *config, const struct mcap_input *input,
                     struct mcap_reader **ret_reader)
{
    struct mcap_reader *r = calloc(1, sizeof *r);

    if (!r)
        return -ENOMEM;
    r->config = *config;
    r->input = *input;
    r->schemas = calloc(MCAP_IDS, sizeof *r->schemas);
    r->channels = calloc(MCAP_IDS, sizeof *r->channels);
    if (!r->schemas || !r->channels) {
        mcap_reader_close(r);
        return -ENOMEM;
    }
    *ret_reader = r;
    return 0;
}

void mcap_reader_close(struct mcap_reader *r)
{
    if (!r)
        return;
    mcap_inflater_deinit(&r->inflater);
    free(r->schemas);
    free(r->channels);
    free(r->body.bytes);
    free(r);
}

bool mcap_reader_has_channel(const struct mcap_reader *r, uint16_t id)
{
    return r->channels[id] != 0;
}

uint64_t mcap_reader_position(const struct mcap_reader *r) { return r->position; }

/* --- errors --- */

static int fail(struct mcap_reader *r, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct mcap_reader *r, int code, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->phase = FAILED;
    r->failed = err_at(&r->err, code, r->config.name, 0, 0, "%s", text);
    return code;
}

static int fail_cut(struct mcap_reader *r, const char *where)
{
    return fail(r, -EBADMSG, "the file is cut off at byte %llu, inside %s",
                (unsigned long long)r->position, where);
}

/* --- reading --- */

/* Reads exactly `size` bytes into place and counts them in the CRC. */
static int read_exactly(struct mcap_reader *r, void *bytes, size_t size, const char *where)
{
    uint8_t *to = bytes;

    while (size) {
        int64_t n = r->input.read(r->input.context, r->position, to, size);
        if (n < 0)
            return fail(r, (int)n, "cannot read at byte %llu", (unsigned long long)r->position);
        if (n == 0)
            return fail_cut(r, where);
        r->crc = crc32_ieee(r->crc, to, (size_t)n);
        r->position += (uint64_t)n;
        to += n;
        size -= (size_t)n;
    }
    return 0;
}

static int grow(struct mcap_reader *r, struct buffer *buffer, size_t size)
{
    if (size <= buffer->size)
        return 0;
    uint8_t *bytes = realloc(buffer->bytes, size);
    if (!bytes)
        return fail(r, -ENOMEM, "no memory for %zu bytes", size);
    buffer->bytes = bytes;
    buffer->size = size;
    return 0;
}

/* Whether the input says that it has so many more bytes. */
static bool vouched(const struct mcap_reader *r, uint64_t size)
{
    return r->input.size != UINT64_MAX && r->position <= r->input.size &&
           size <= r->input.size - r->position;
}

/* Takes the body into memory. Without a known size it grows with what really comes, so that a
 * length of 2^40 in ten bytes costs a megabyte. */
static int read_body(struct mcap_reader *r, uint64_t size, const char *where)
{
    uint64_t done = 0;

    if (size > MCAP_RECORD_BYTES_MAX)
        return fail(r, -ERANGE, "%s of %llu bytes at byte %llu: more than the limit of %d", where,
                    (unsigned long long)size, (unsigned long long)r->position - MCAP_RECORD_HEAD,
                    MCAP_RECORD_BYTES_MAX);
    if (r->input.size != UINT64_MAX && !vouched(r, size))
        return fail(r, -EBADMSG,
                    "%s at byte %llu says %llu bytes, but the file ends %llu bytes after it", where,
                    (unsigned long long)r->position - MCAP_RECORD_HEAD, (unsigned long long)size,
                    (unsigned long long)(r->input.size - r->position));
    while (done < size) {
        uint64_t step = vouched(r, size) || size - done < READ_STEP ? size - done : READ_STEP;
        int rc = grow(r, &r->body, (size_t)(done + step));
        if (!rc)
            rc = read_exactly(r, r->body.bytes + done, (size_t)step, where);
        if (rc)
            return rc;
        done += step;
    }
    return grow(r, &r->body, 1); /* an empty body still has a place */
}

/* Reads and drops, counting it in the CRC. */
static int skip_body(struct mcap_reader *r, uint64_t size, const char *where)
{
    uint8_t drop[16384];

    while (size) {
        size_t step = size < sizeof drop ? (size_t)size : sizeof drop;
        int rc = read_exactly(r, drop, step, where);
        if (rc)
            return rc;
        size -= step;
    }
    return 0;
}

/* --- what each record must keep --- */

/* A schema or channel may come again, but not changed. What is behind its last field is not
 * compared: a copy may have other extra bytes. */
static int remember(struct mcap_reader *r, uint64_t *table, const struct mcap_record *record,
                    uint16_t id, struct mcap_bytes last)
{
    uint64_t hash = hash_xxh64(record->body.at, (size_t)(last.at + last.size - record->body.at));

    hash = hash ? hash : 1;
    if (table[id] && table[id] != hash)
        return fail(r, -EBADMSG, "another %s with id %u at byte %llu",
                    mcap_opcode_name(record->opcode), id, (unsigned long long)record->offset);
    table[id] = hash;
    return 0;
}

static int check_schema(struct mcap_reader *r, const struct mcap_record *record)
{
    /* The specification: a schema with id 0 is invalid and should be ignored. */
    return record->schema.id ? remember(r, r->schemas, record, record->schema.id,
                                         record->schema.data)
                              : 0;
}

static int check_channel(struct mcap_reader *r, const struct mcap_record *record)
{
    const struct mcap_channel *channel = &record->channel;

    if (channel->schema_id && !r->schemas[channel->schema_id])
        return fail(r, -EBADMSG, "channel %u names schema %u, which no record before it defines",
                    channel->id, channel->schema_id);
    return remember(r, r->channels, record, channel->id, channel->metadata);
}

static int check_message(struct mcap_reader *r, const struct mcap_record *record)
{
    if (!r->channels[record->message.channel_id])
        return fail(r, -EBADMSG, "a message on channel %u, which no record before it defines",
                    record->message.channel_id);
    return 0;
}

static int check_crc(struct mcap_reader *r, const char *what, uint64_t offset, uint32_t said,
                     uint32_t found)
{
    if (said == 0 || said == found)
        return 0;
    return fail(r, -EBADMSG, "CRC of %s at byte %llu: the file says %08x, its bytes give %08x",
                what, (unsigned long long)offset, said, found);
}

/* The CRC covers the body up to itself; what a later version adds comes after it. */
static int check_attachment(struct mcap_reader *r, const struct mcap_record *record)
{
    const struct mcap_attachment *attachment = &record->attachment;
    size_t covered = (size_t)(attachment->data.at + attachment->data.size - record->body.at);

    return check_crc(r, "Attachment", record->offset, attachment->crc,
                     crc32_ieee(0, record->body.at, covered));
}

static int enter_chunk(struct mcap_reader *r, const struct mcap_record *record)
{
    struct err err;
    int rc = mcap_chunk_inflate(&r->inflater, &record->chunk, record->offset, NULL,
                                &r->cursor.records, &err);

    r->cursor.at = 0;
    return rc ? fail(r, rc, "%s", err.text) : 0;
}

static int parse_here(struct mcap_reader *r, uint8_t opcode, struct mcap_bytes body,
                      uint64_t offset, struct mcap_record *ret_record)
{
    if (mcap_parse(opcode, body, ret_record))
        return fail(r, -EBADMSG, "%s at byte %llu: a field runs beyond its %zu bytes",
                    mcap_opcode_name(opcode), (unsigned long long)offset, body.size);
    ret_record->offset = offset;
    return 0;
}

static int check_definitions(struct mcap_reader *r, const struct mcap_record *record)
{
    switch (record->opcode) {
    case MCAP_SCHEMA: return check_schema(r, record);
    case MCAP_CHANNEL: return check_channel(r, record);
    case MCAP_MESSAGE: return check_message(r, record);
    default: return 0;
    }
}

/* 1 with a record, 0 at the end of the chunk. */
static int next_in_chunk(struct mcap_reader *r, struct mcap_record *ret_record)
{
    struct err err;
    int rc = mcap_chunk_next(&r->cursor, NULL, ret_record, &err);

    if (rc < 0)
        return fail(r, rc, "%s", err.text);
    return rc && check_definitions(r, ret_record) ? r->failed : rc;
}

/* --- records of the file --- */

static bool belongs(enum phase phase, uint8_t opcode)
{
    switch (opcode) {
    case MCAP_SCHEMA:
    case MCAP_CHANNEL: return true;
    case MCAP_MESSAGE:
    case MCAP_CHUNK:
    case MCAP_MESSAGE_INDEX:
    case MCAP_ATTACHMENT:
    case MCAP_METADATA:
    case MCAP_DATA_END: return phase == DATA;
    case MCAP_CHUNK_INDEX:
    case MCAP_ATTACHMENT_INDEX:
    case MCAP_METADATA_INDEX:
    case MCAP_STATISTICS:
    case MCAP_SUMMARY_OFFSET:
    case MCAP_FOOTER: return phase == SUMMARY;
    default: return false;
    }
}

static const char *phase_name(enum phase phase)
{
    return phase == DATA ? "data section" : "summary";
}

static int check_magic(struct mcap_reader *r, const char *where)
{
    uint8_t magic[MCAP_MAGIC_BYTES];

    if (read_exactly(r, magic, sizeof magic, where))
        return r->failed;
    if (memcmp(magic, mcap_magic, sizeof magic))
        return fail(r, -EBADMSG, "%s is not there at byte %llu", where,
                    (unsigned long long)r->position - sizeof magic);
    return 0;
}

static int begin(struct mcap_reader *r, struct mcap_record *ret_record)
{
    uint8_t head[MCAP_RECORD_HEAD];

    if (check_magic(r, "the magic at the start") || read_exactly(r, head, sizeof head, "Header"))
        return r->failed;
    if (head[0] != MCAP_HEADER)
        return fail(r, -EBADMSG, "the first record is %s (0x%02x), not Header",
                    mcap_opcode_name(head[0]), head[0]);
    uint64_t size = load_le64(head + 1);
    if (read_body(r, size, "Header") ||
        parse_here(r, MCAP_HEADER, mcap_view(r->body.bytes, (size_t)size), MCAP_MAGIC_BYTES,
                   ret_record))
        return r->failed;
    r->phase = DATA;
    return 1;
}

static int end_of_data(struct mcap_reader *r, const struct mcap_record *record, uint32_t crc)
{
    if (check_crc(r, "the data section, said by DataEnd", record->offset,
                  record->data_end.data_section_crc, crc))
        return r->failed;
    r->phase = SUMMARY;
    r->crc = 0;
    return 0;
}

/* The footer is always 20 bytes, so that readers find it from the end of the file. */
static int footer(struct mcap_reader *r, const struct mcap_record *record, uint32_t crc_before)
{
    const struct mcap_footer *f = &record->footer;
    uint8_t nothing;

    if (record->body.size != FOOTER_BODY)
        return fail(r, -EBADMSG, "Footer of %zu bytes: it has %d", record->body.size, FOOTER_BODY);
    if (f->summary_start && f->summary_start != r->summary_start)
        return fail(r, -EBADMSG, "Footer says that the summary starts at byte %llu; it is at %llu",
                    (unsigned long long)f->summary_start, (unsigned long long)r->summary_start);
    if (check_crc(r, "the summary, said by Footer", record->offset, f->summary_crc,
                  crc32_ieee(crc_before, record->body.at, FOOTER_BODY - 4)) ||
        check_magic(r, "the magic at the end"))
        return r->failed;
    int64_t n = r->input.read(r->input.context, r->position, &nothing, 1);
    if (n != 0)
        return n < 0 ? fail(r, (int)n, "cannot read at byte %llu", (unsigned long long)r->position)
                     : fail(r, -EBADMSG, "bytes after the magic at the end, at byte %llu",
                            (unsigned long long)r->position);
    r->phase = END;
    return 0;
}

/* What a whole record of the file does to the reader. Returns 1 when the caller gets it, 0 when it
 * is only for the reader, or an error. */
static int take_record(struct mcap_reader *r, const struct mcap_record *record,
                       uint32_t crc_before_record, uint32_t crc_before_body)
{
    int rc;

    switch (record->opcode) {
    case MCAP_CHUNK:
        rc = enter_chunk(r, record);
        return rc ? rc : r->config.show_chunks;
    case MCAP_MESSAGE_INDEX: return r->config.show_chunks;
    case MCAP_ATTACHMENT:
        rc = check_attachment(r, record);
        return rc ? rc : 1;
    case MCAP_DATA_END:
        rc = end_of_data(r, record, crc_before_record);
        r->summary_start = r->position;
        return rc ? rc : 1;
    case MCAP_FOOTER:
        rc = footer(r, record, crc_before_body);
        return rc ? rc : 1;
    default:
        rc = check_definitions(r, record);
        return rc ? rc : 1;
    }
}

/* One record of the file: 1, 0 when there is nothing in it for the caller, or an error. */
static int next_in_file(struct mcap_reader *r, struct mcap_record *ret_record)
{
    uint8_t head[MCAP_RECORD_HEAD];
    uint64_t offset = r->position;
    uint32_t crc_before_record = r->crc;

    if (read_exactly(r, head, sizeof head, "a record, before a Footer was seen"))
        return r->failed;
    uint8_t opcode = head[0];
    uint64_t size = load_le64(head + 1);
    uint32_t crc_before_body = r->crc;
    if (opcode > MCAP_DATA_END)
        return skip_body(r, size, "an unknown record");
    if (!belongs(r->phase, opcode))
        return fail(r, -EBADMSG, "%s (0x%02x) at byte %llu does not belong in the %s",
                    mcap_opcode_name(opcode), opcode, (unsigned long long)offset,
                    phase_name(r->phase));
    if (read_body(r, size, mcap_opcode_name(opcode)) ||
        parse_here(r, opcode, mcap_view(r->body.bytes, (size_t)size), offset, ret_record))
        return r->failed;
    return take_record(r, ret_record, crc_before_record, crc_before_body);
}

static int next_record(struct mcap_reader *r, struct mcap_record *ret_record)
{
    if (r->phase == START)
        return begin(r, ret_record);
    for (;;) {
        if (r->phase == FAILED)
            return r->failed;
        int rc = next_in_chunk(r, ret_record);
        if (rc)
            return rc;
        if (r->phase == END)
            return 0;
        rc = next_in_file(r, ret_record);
        if (rc)
            return rc;
    }
}

int mcap_reader_next(struct mcap_reader *r, struct mcap_record *ret_record, struct err *err)
{
    struct mcap_record record;
    int rc = next_record(r, &record);

    if (rc == 1)
        *ret_record = record;
    if (rc < 0 && err)
        *err = r->err;
    return rc;
}
