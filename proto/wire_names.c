/* Topic names, message headers, the partitioner and the JSON of dataset.v1. */
#include "proto/wire.h"

#include "proto/bytes.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#define NS_IN_S INT64_C(1000000000)
#define ENV_MAX 32

int wire_topic_name(enum wire_topic topic, const char *env, char ret_name[WIRE_TOPIC_MAX])
{
    static const char *const stems[WIRE_TOPIC_COUNT] = { "clip",   "receipt", "artifact",
                                                         "status", "dataset", "dlq" };
    size_t size = strlen(env);

    if (size < 1 || size > ENV_MAX ||
        strspn(env, "abcdefghijklmnopqrstuvwxyz0123456789-") != size || topic >= WIRE_TOPIC_COUNT)
        return -EINVAL;
    (void)snprintf(ret_name, WIRE_TOPIC_MAX, "roadloop.%s.%s.v1", env, stems[topic]);
    return 0;
}

/* Austin Appleby's MurmurHash2 with the seed that Kafka's Java client uses. */
uint32_t wire_murmur2(const void *key, size_t size)
{
    const uint32_t m = 0x5bd1e995;
    const uint8_t *p = key;
    uint32_t h = 0x9747b28c ^ (uint32_t)size;

    for (; size >= 4; p += 4, size -= 4) {
        uint32_t k = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                     (uint32_t)p[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
    }
    if (size == 3)
        h ^= (uint32_t)p[2] << 16;
    if (size >= 2)
        h ^= (uint32_t)p[1] << 8;
    if (size >= 1) {
        h ^= p[0];
        h *= m;
    }
    h ^= h >> 13;
    h *= m;
    return h ^ h >> 15;
}

int32_t wire_partition(const void *key, size_t size, int32_t partition_count)
{
    return (int32_t)((wire_murmur2(key, size) & 0x7fffffff) % (uint32_t)partition_count);
}

static void add(struct wire_headers *headers, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void add(struct wire_headers *headers, const char *name, const char *format, ...)
{
    struct wire_header *item = &headers->items[headers->count++];
    va_list args;

    item->name = name;
    va_start(args, format);
    (void)vsnprintf(item->value, sizeof item->value, format, args);
    va_end(args);
}

/* "2026-11-23T19:48:32.000000001Z" of a wall clock in nanoseconds since 1970. */
static void format_utc(int64_t utc_ns, char *text, size_t size)
{
    time_t seconds = (time_t)(utc_ns / NS_IN_S);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm))
        memset(&tm, 0, sizeof tm);
    (void)snprintf(text, size, "%04d-%02d-%02dT%02d:%02d:%02d.%09" PRId64 "Z", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, utc_ns % NS_IN_S);
}

/* `what` ends ce_type, `subject` is the clip or artifact, `seq` tells messages of it apart. */
static void add_cloudevents(struct wire_headers *headers, const char *what, const char *type,
                            const char *source, const char *subject, const char *seq)
{
    add(headers, "ce_specversion", "1.0");
    add(headers, "ce_type", "roadloop.%s.v1", what);
    add(headers, "ce_source", "%s", source);
    add(headers, "ce_id", "%s/%s", subject, seq);
    add(headers, "ce_subject", "%s", subject);
    add(headers, "content-type", "%s", type);
    add(headers, "rl_kind", "%s", what);
}

static void add_about(struct wire_headers *headers, const struct wire_about *about)
{
    char text[64];

    add(headers, "ce_partitionkey", "%s", about->pseudonym);
    add(headers, "rl_priority", "%u", about->priority);
    add(headers, "rl_rule", "%s", about->rule);
    if (!about->utc_ns)
        return;
    format_utc(about->utc_ns, text, sizeof text);
    add(headers, "ce_time", "%s", text);
}

static void headers_of_chunk(const struct wire_chunk *chunk, struct wire_headers *headers)
{
    char hex[SHA256_HEX];

    add(headers, "rl_segment", "%u", chunk->segment);
    add(headers, "rl_seq", "%" PRIu32, chunk->index);
    add(headers, "rl_total", "%" PRIu32, chunk->count);
    hex_from(chunk->sha256, SHA256_BYTES, hex);
    add(headers, "rl_hash", "%s", hex);
}

struct naming {
    const uint8_t *id;
    size_t id_size;
    char seq[48];
};

/* Of what is said more than once with other words: two events must not have one ce_id. */
static uint64_t hash_of(const struct wire_value *value)
{
    uint8_t bytes[WIRE_RECEIPT_MAX];

    static_assert(WIRE_STATUS_MAX <= WIRE_RECEIPT_MAX, "either fits");
    if (wire_encode(value, bytes, sizeof bytes, NULL) < 0)
        return 0; /* it is not sent then */
    return load_le64(bytes + 8);
}

static struct naming naming_of(const struct wire_value *value)
{
    struct naming n = { NULL, CLIP_ID_BYTES, "" };

    switch (value->kind) {
    case WIRE_OPEN:
        n.id = value->open.clip_id;
        (void)snprintf(n.seq, sizeof n.seq, "open");
        break;
    case WIRE_CHUNK:
        n.id = value->chunk.clip_id;
        (void)snprintf(n.seq, sizeof n.seq, "%u.%" PRIu32, value->chunk.segment,
                       value->chunk.index);
        break;
    case WIRE_FINAL:
        n.id = value->final.about.clip_id;
        (void)snprintf(n.seq, sizeof n.seq, "final");
        break;
    case WIRE_QUESTION:
        n.id = value->question.final.about.clip_id;
        (void)snprintf(n.seq, sizeof n.seq, "ask.%" PRIu32, value->question.ask);
        break;
    case WIRE_GONE:
        n.id = value->gone.clip_id;
        (void)snprintf(n.seq, sizeof n.seq, "gone");
        break;
    case WIRE_RECEIPT:
        n.id = value->receipt.clip_id;
        (void)snprintf(n.seq, sizeof n.seq, "receipt.%" PRIu32 ".%016" PRIx64, value->receipt.ask,
                       hash_of(value));
        break;
    case WIRE_ARTIFACT:
        n.id = value->artifact.sha256;
        n.id_size = SHA256_BYTES;
        (void)snprintf(n.seq, sizeof n.seq, "artifact");
        break;
    default:
        n.id = value->status.session_id;
        (void)snprintf(n.seq, sizeof n.seq, "status.%016" PRIx64, hash_of(value));
        break;
    }
    return n;
}

void wire_headers_of(const struct wire_value *value, const char *source,
                     struct wire_headers *ret_headers)
{
    struct naming n = naming_of(value);
    char subject[SHA256_HEX], type[64];

    ret_headers->count = 0;
    hex_from(n.id, n.id_size, subject);
    (void)snprintf(type, sizeof type, "application/vnd.roadloop.%s.v1",
                   wire_kind_name(value->kind));
    add_cloudevents(ret_headers, wire_kind_name(value->kind), type, source, subject, n.seq);
    if (value->kind == WIRE_CHUNK)
        headers_of_chunk(&value->chunk, ret_headers);
    else if (value->kind == WIRE_OPEN)
        add_about(ret_headers, &value->open);
    else if (value->kind == WIRE_FINAL)
        add_about(ret_headers, &value->final.about);
    else if (value->kind == WIRE_QUESTION)
        add_about(ret_headers, &value->question.final.about);
}

static const char *const dataset_statuses[] = { "complete", "partial", "raw_only" };

void wire_headers_of_dataset(const struct wire_dataset *dataset, const char *source,
                             struct wire_headers *ret_headers)
{
    char subject[CLIP_ID_HEX], seq[32];

    ret_headers->count = 0;
    hex_from(dataset->about.clip_id, CLIP_ID_BYTES, subject);
    (void)snprintf(seq, sizeof seq, "dataset.%s", dataset_statuses[dataset->status]);
    add_cloudevents(ret_headers, "dataset", "application/json", source, subject, seq);
    add_about(ret_headers, &dataset->about);
}

/* Text that is printable ASCII by contract; only the quote and the backslash need care. */
static void json_escape(const char *text, char *to, size_t size)
{
    size_t n = 0;

    for (; *text && n + 3 < size; text++) {
        if (*text == '"' || *text == '\\')
            to[n++] = '\\';
        to[n++] = *text;
    }
    to[n] = '\0';
}

int wire_dataset_encode(const struct wire_dataset *dataset, char *json, size_t size)
{
    char clip[CLIP_ID_HEX], session[33], sha[SHA256_HEX], utc[48] = "";
    char rule[2 * RULE_NAME_MAX], path[2 * WIRE_DATASET_PATH_MAX];

    hex_from(dataset->about.clip_id, CLIP_ID_BYTES, clip);
    hex_from(dataset->about.session_id, sizeof dataset->about.session_id, session);
    hex_from(dataset->sha256, SHA256_BYTES, sha);
    json_escape(dataset->about.rule, rule, sizeof rule);
    json_escape(dataset->path, path, sizeof path);
    if (dataset->about.utc_ns)
        format_utc(dataset->about.utc_ns, utc, sizeof utc);
    int n = snprintf(json, size,
                     "{\"clip\":\"%s\",\"status\":\"%s\",\"vehicle\":\"%s\",\"session\":\"%s\","
                     "\"ordinal\":%" PRIu64 ",\"rule\":\"%s\",\"priority\":%u,"
                     "\"start_ns\":%" PRId64 ",\"end_ns\":%" PRId64 ",\"utc\":%s%s%s,"
                     "\"path\":\"%s\",\"bytes\":%" PRIu64 ",\"sha256\":\"%s\"}",
                     clip, dataset_statuses[dataset->status], dataset->about.pseudonym, session,
                     dataset->about.ordinal, rule, dataset->about.priority,
                     dataset->about.start_ns, dataset->about.end_ns, utc[0] ? "\"" : "",
                     utc[0] ? utc : "null", utc[0] ? "\"" : "", path, dataset->bytes, sha);
    return n < 0 || (size_t)n >= size ? -ENOBUFS : n;
}
