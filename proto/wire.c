#include "proto/wire.h"

#include "proto/wire_fields.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>

/* Prefix: magic 4, version u8, kind u8, zero u16, XXH3-64 of all that follows the prefix. */
static void put_prefix(uint8_t *bytes, enum wire_kind kind, size_t size)
{
    memcpy(bytes, WIRE_MAGIC, 4);
    bytes[4] = WIRE_VERSION;
    bytes[5] = (uint8_t)kind;
    store_le16(bytes + 6, 0);
    store_le64(bytes + 8, hash_xxh3(bytes + WIRE_PREFIX_BYTES, size - WIRE_PREFIX_BYTES));
}

static int check_prefix(const uint8_t *bytes, size_t size, struct err *err)
{
    if (size < WIRE_PREFIX_BYTES)
        return err_plain(err, -EBADMSG, "value: %zu bytes, expected at least %d", size,
                         WIRE_PREFIX_BYTES);
    if (memcmp(bytes, WIRE_MAGIC, 4) != 0)
        return err_plain(err, -EBADMSG, "magic: found %02x%02x%02x%02x, expected \"%s\"", bytes[0],
                         bytes[1], bytes[2], bytes[3], WIRE_MAGIC);
    if (bytes[4] != WIRE_VERSION)
        return err_plain(err, -ENOTSUP, "version: found %u, expected %d", bytes[4], WIRE_VERSION);
    if (bytes[5] < WIRE_OPEN || bytes[5] >= WIRE_KIND_END)
        return err_plain(err, -ENOTSUP, "kind: found %u, expected %d to %d", bytes[5], WIRE_OPEN,
                         WIRE_KIND_END - 1);
    if (load_le16(bytes + 6) != 0)
        return err_plain(err, -ERANGE, "reserved: found %u, expected 0", load_le16(bytes + 6));
    uint64_t found = hash_xxh3(bytes + WIRE_PREFIX_BYTES, size - WIRE_PREFIX_BYTES);
    if (found != load_le64(bytes + 8))
        return err_plain(err, -EBADMSG, "hash: the body of %s gives %016llx, its prefix says %016llx",
                         wire_kind_name((enum wire_kind)bytes[5]), (unsigned long long)found,
                         (unsigned long long)load_le64(bytes + 8));
    return 0;
}

/* Largest value of each kind: what is longer is refused before anything in it is read. */
static size_t size_max(enum wire_kind kind)
{
    switch (kind) {
    case WIRE_FINAL: return WIRE_FINAL_MAX;
    case WIRE_CHUNK: return WIRE_CHUNK_VALUE_MAX;
    case WIRE_RECEIPT: return WIRE_RECEIPT_MAX;
    case WIRE_ARTIFACT: return WIRE_ARTIFACT_VALUE_MAX;
    case WIRE_STATUS: return WIRE_STATUS_MAX;
    default: return ENVELOPE_BYTES_MAX;
    }
}

int wire_check_range(const char *field, uint64_t found, uint64_t least, uint64_t most,
                     struct err *err)
{
    if (found >= least && found <= most)
        return 0;
    return err_plain(err, -ERANGE, "%s: found %llu, expected %llu to %llu", field,
                     (unsigned long long)found, (unsigned long long)least,
                     (unsigned long long)most);
}

int wire_check_pseudonym(const char *text, struct err *err)
{
    if (!text[0] || text[0] == '.' || strlen(text) >= PSEUDONYM_MAX)
        return err_plain(err, -ERANGE, "pseudonym: found '%.64s', expected 1 to %d of "
                         "[A-Za-z0-9_.-], not a dot first", text, PSEUDONYM_MAX - 1);
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_.-", *p))
            return err_plain(err, -ERANGE, "pseudonym: byte 0x%02x at %zu, expected [A-Za-z0-9_.-]",
                             (unsigned char)*p, (size_t)(p - text));
    return 0;
}

int wire_check_printable(const char *field, const char *text, struct err *err)
{
    for (const char *p = text; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            return err_plain(err, -ERANGE, "%s: byte 0x%02x at %zu, expected printable ASCII",
                             field, (unsigned char)*p, (size_t)(p - text));
    return 0;
}

int wire_get_text(struct bytes_reader *r, const char *field, size_t max, struct err *err,
                  char *ret_text)
{
    size_t size = bytes_u8(r);
    if (size >= max)
        return err_plain(err, -ERANGE, "%s: %zu bytes, at most %zu", field, size, max - 1);
    const uint8_t *p = bytes_take(r, size);
    if (!p)
        return 0; /* the reader says so at the end */
    if (memchr(p, '\0', size))
        return err_plain(err, -ERANGE, "%s: holds a NUL byte", field);
    memcpy(ret_text, p, size);
    ret_text[size] = '\0';
    return 0;
}

static int check_question(const struct wire_question *question, struct err *err)
{
    int rc = wire_check_range("ask", question->ask, 1, WIRE_ASK_NONE - 1, err);
    return rc ? rc : wire_check_final(&question->final, err);
}

static int check_body(const struct wire_value *value, struct err *err)
{
    switch (value->kind) {
    case WIRE_OPEN: return wire_check_about(&value->open, err);
    case WIRE_CHUNK: return wire_check_chunk(&value->chunk, err);
    case WIRE_FINAL: return wire_check_final(&value->final, err);
    case WIRE_QUESTION: return check_question(&value->question, err);
    case WIRE_GONE: return wire_check_gone(&value->gone, err);
    case WIRE_RECEIPT: return wire_check_receipt(&value->receipt, err);
    case WIRE_ARTIFACT: return wire_check_artifact(&value->artifact, err);
    case WIRE_STATUS: return wire_check_status(&value->status, err);
    default: return err_plain(err, -ERANGE, "kind: found %d", (int)value->kind);
    }
}

/* A question carries the very bytes of its manifest-final, so that the hash which a receipt must
 * repeat does not depend on who asks. */
static void put_question(struct wire_writer *w, const struct wire_question *question)
{
    wire_put_u32(w, question->ask);
    uint8_t *start = wire_room(w, WIRE_PREFIX_BYTES);
    wire_put_final(w, &question->final);
    if (!w->full)
        put_prefix(start, WIRE_FINAL, (size_t)(w->at - start));
}

static int get_question(struct bytes_reader *r, struct err *err, struct wire_question *question)
{
    question->ask = bytes_u32(r);
    size_t size = bytes_left(r);
    const uint8_t *start = r->at;
    if (r->failed)
        return 0; /* said at the end */
    int rc = check_prefix(start, size, err);
    if (rc)
        return rc;
    if (start[5] != WIRE_FINAL)
        return err_plain(err, -ERANGE, "question: holds a %s, expected a manifest-final",
                         wire_kind_name((enum wire_kind)start[5]));
    (void)bytes_take(r, WIRE_PREFIX_BYTES);
    sha256_of(start, size, question->final_sha256);
    return wire_get_final(r, err, &question->final);
}

static void put_body(struct wire_writer *w, const struct wire_value *value)
{
    switch (value->kind) {
    case WIRE_OPEN: wire_put_about(w, &value->open); break;
    case WIRE_CHUNK: wire_put_chunk(w, &value->chunk); break;
    case WIRE_FINAL: wire_put_final(w, &value->final); break;
    case WIRE_QUESTION: put_question(w, &value->question); break;
    case WIRE_GONE: wire_put_gone(w, &value->gone); break;
    case WIRE_RECEIPT: wire_put_receipt(w, &value->receipt); break;
    case WIRE_ARTIFACT: wire_put_artifact(w, &value->artifact); break;
    case WIRE_STATUS: wire_put_status(w, &value->status); break;
    default: break; /* check_body has refused it */
    }
}

static int get_body(struct bytes_reader *r, struct err *err, struct wire_value *value)
{
    switch (value->kind) {
    case WIRE_OPEN: return wire_get_about(r, err, &value->open);
    case WIRE_CHUNK: return wire_get_chunk(r, err, &value->chunk);
    case WIRE_FINAL: return wire_get_final(r, err, &value->final);
    case WIRE_QUESTION: return get_question(r, err, &value->question);
    case WIRE_GONE: return wire_get_gone(r, err, &value->gone);
    case WIRE_RECEIPT: return wire_get_receipt(r, err, &value->receipt);
    case WIRE_ARTIFACT: return wire_get_artifact(r, err, &value->artifact);
    case WIRE_STATUS: return wire_get_status(r, err, &value->status);
    default: return err_plain(err, -ERANGE, "kind: found %d", (int)value->kind);
    }
}

int wire_encode(const struct wire_value *value, uint8_t *bytes, size_t size, struct err *err)
{
    struct wire_writer w = { bytes, bytes + size, false };
    int rc = check_body(value, err);

    if (rc)
        return rc;
    (void)wire_room(&w, WIRE_PREFIX_BYTES);
    put_body(&w, value);
    if (w.full)
        return err_plain(err, -ENOBUFS, "%s: does not fit %zu bytes", wire_kind_name(value->kind),
                         size);
    size_t used = (size_t)(w.at - bytes);
    assert(used <= size_max(value->kind)); /* follows from the limits of the fields */
    put_prefix(bytes, value->kind, used);
    return (int)used;
}

int wire_decode(const void *bytes, size_t size, struct err *err, struct wire_value *ret_value)
{
    const uint8_t *p = bytes;
    struct wire_value value;

    int rc = check_prefix(p, size, err);
    if (rc)
        return rc;
    memset(&value, 0, sizeof value);
    value.kind = (enum wire_kind)p[5];
    if (size > size_max(value.kind))
        return err_plain(err, -ERANGE, "%s: %zu bytes, at most %zu", wire_kind_name(value.kind),
                         size, size_max(value.kind));
    struct bytes_reader r = bytes_reader_init(p + WIRE_PREFIX_BYTES, size - WIRE_PREFIX_BYTES);
    rc = get_body(&r, err, &value);
    if (rc)
        return rc;
    if (r.failed)
        return err_plain(err, -EBADMSG, "%s: ends after %zu bytes, in the middle of a field",
                         wire_kind_name(value.kind), size);
    if (bytes_left(&r))
        return err_plain(err, -EBADMSG, "%s: %zu bytes beyond its last field",
                         wire_kind_name(value.kind), bytes_left(&r));
    rc = check_body(&value, err);
    if (rc)
        return rc;
    *ret_value = value;
    return 0;
}

const char *wire_kind_name(enum wire_kind kind)
{
    static const char *const names[WIRE_KIND_END] = {
        [WIRE_OPEN] = "manifest-open", [WIRE_CHUNK] = "chunk",
        [WIRE_FINAL] = "manifest-final", [WIRE_QUESTION] = "question",
        [WIRE_GONE] = "gone",          [WIRE_RECEIPT] = "receipt",
        [WIRE_ARTIFACT] = "artifact",  [WIRE_STATUS] = "status",
    };
    return kind >= WIRE_OPEN && kind < WIRE_KIND_END ? names[kind] : "unknown";
}

const char *wire_gone_name(enum wire_gone_reason reason)
{
    static const char *const names[WIRE_GONE_END] = { "", "delivered", "evicted", "expired",
                                                      "erased" };
    return reason >= WIRE_GONE_DELIVERED && reason < WIRE_GONE_END ? names[reason] : "unknown";
}

const char *wire_result_name(enum wire_result result)
{
    static const char *const names[WIRE_RESULT_END] = { "", "complete", "missing", "need" };
    return result >= WIRE_COMPLETE && result < WIRE_RESULT_END ? names[result] : "unknown";
}

uint32_t wire_chunk_count(const struct wire_segment *segment)
{
    return segment->bytes / segment->chunk_bytes + (segment->bytes % segment->chunk_bytes != 0);
}

uint32_t wire_chunk_size(const struct wire_segment *segment, uint32_t index)
{
    uint32_t from = index * segment->chunk_bytes; /* index < count keeps it below bytes */
    uint32_t left = segment->bytes - from;

    assert(index < wire_chunk_count(segment));
    return left < segment->chunk_bytes ? left : segment->chunk_bytes;
}
