/* wire - every value that travels through Kafka (docs/KAFKA.md): encode, and decode with bounds.
 * A value is a prefix of WIRE_PREFIX_BYTES (magic, version, kind, XXH3-64 of the rest) and a body of
 * little-endian fields in a fixed order. All that reassembly needs stands in the value, because
 * bridges drop headers; the headers repeat it for people and filters.
 * Pure: no clock, no I/O; only wire_artifact_* allocate (zstd's own context). Any thread. */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H
#include "proto/err.h"
#include "proto/hash.h"
#include "proto/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_MAGIC "RLWV"
#define WIRE_VERSION 1
#define WIRE_PREFIX_BYTES 16
#define WIRE_CHUNK_HEADER_BYTES 84 /* prefix and fixed fields before a chunk's payload */
#define WIRE_CHUNK_VALUE_MAX (WIRE_CHUNK_HEADER_BYTES + CHUNK_BYTES_MAX)
#define WIRE_QUESTION_HEADER_BYTES 20 /* prefix and ask; a manifest-final follows */
#define WIRE_FINAL_MAX (ENVELOPE_BYTES_MAX - WIRE_QUESTION_HEADER_BYTES)
#define WIRE_RANGES_MAX 64 /* of one receipt; the sink names the rest when asked again */
#define WIRE_NEEDS_MAX 32  /* artifact hashes of one receipt */
#define WIRE_RECEIPT_MAX 4096
#define WIRE_ARTIFACT_NAME_MAX 128
#define WIRE_ARTIFACT_VALUE_MAX (ARTIFACT_BYTES_MAX + 256)
#define WIRE_CLOCKS_MAX 8
#define WIRE_TEXT_MAX 128 /* version and reason of a status, bytes with NUL */
#define WIRE_STATUS_MAX 2048
#define WIRE_DATASET_PATH_MAX 512
#define WIRE_DATASET_MAX 4096
#define WIRE_SMALL_MAX 4096 /* any value but chunks and artifacts fits */

/* Asks of one clip count from 0, which is manifest-final itself. A receipt that answers no
 * question carries WIRE_ASK_NONE. */
#define WIRE_ASK_NONE UINT32_MAX

enum wire_kind {
    WIRE_OPEN = 1, /* clip.v1: manifest-open */
    WIRE_CHUNK,    /* clip.v1 */
    WIRE_FINAL,    /* clip.v1: manifest-final, which is ask 0 */
    WIRE_QUESTION, /* clip.v1: the same question again, with the manifest-final inside */
    WIRE_GONE,     /* clip.v1: asked for what the car no longer has */
    WIRE_RECEIPT,  /* receipt.v1 */
    WIRE_ARTIFACT, /* artifact.v1 */
    WIRE_STATUS,   /* status.v1 */
    WIRE_KIND_END
};

/* What names a clip and files it in the dataset; in open, final and question. */
struct wire_about {
    uint8_t clip_id[CLIP_ID_BYTES];
    uint8_t session_id[16];
    uint64_t ordinal;  /* of the clip in its session */
    int64_t start_ns;  /* the window on the recording's own clock */
    int64_t end_ns;    /* manifest-open: as planned; final: as closed; start_ns <= end_ns */
    int64_t utc_ns;    /* wall clock at start_ns, since 1970; 0 when unknown */
    uint8_t priority;  /* 0..PRIORITY_MAX */
    uint8_t segments;  /* of the whole clip, 1..SEGMENTS_MAX */
    char pseudonym[PSEUDONYM_MAX]; /* [A-Za-z0-9_.-]+, at least one; equals the message key */
    char rule[RULE_NAME_MAX];      /* of the first event; printable ASCII, may be empty */
};

struct wire_segment {
    uint32_t bytes;       /* 1..SEGMENT_BYTES_MAX */
    uint32_t chunk_bytes; /* S: CHUNK_BYTES_MIN..CHUNK_BYTES_MAX */
    uint8_t sha256[SHA256_BYTES];
};

struct wire_final {
    struct wire_about about;
    struct wire_segment segments[SEGMENTS_MAX]; /* about.segments of them count */
};

struct wire_chunk {
    uint8_t clip_id[CLIP_ID_BYTES];
    uint8_t sha256[SHA256_BYTES]; /* of the segment */
    uint8_t segment;              /* 0..SEGMENTS_MAX - 1 */
    uint32_t index, count;        /* index < count == ceil(segment_bytes / chunk_bytes) */
    uint32_t chunk_bytes, segment_bytes;
    uint32_t size;          /* follows from the fields above; wire_encode checks it */
    const uint8_t *payload; /* decoded: a view into the value */
};

struct wire_question {
    uint32_t ask; /* from 1; ask 0 is the manifest-final */
    struct wire_final final;
    uint8_t final_sha256[SHA256_BYTES]; /* computed by decode: what a receipt must carry */
};

enum wire_gone_reason {
    WIRE_GONE_DELIVERED = 1, /* a receipt (or, by policy, the broker's word) let the car delete it */
    WIRE_GONE_EVICTED,
    WIRE_GONE_EXPIRED,
    WIRE_GONE_ERASED,
    WIRE_GONE_END
};

struct wire_gone {
    uint8_t clip_id[CLIP_ID_BYTES];
    uint32_t ask; /* of the receipt that asked */
    enum wire_gone_reason reason;
    char pseudonym[PSEUDONYM_MAX];
};

struct wire_range {
    uint8_t segment;
    uint32_t first, count; /* chunks; count >= 1, first + count <= WIRE_CHUNKS_MAX */
};
#define WIRE_CHUNKS_MAX (SEGMENT_BYTES_MAX / CHUNK_BYTES_MIN)

enum wire_result {
    WIRE_COMPLETE = 1, /* the dataset holds the clip; no ranges */
    WIRE_MISSING,      /* ranges name what is asked for; at least one */
    WIRE_NEED,         /* all chunks are there, the artifacts `needs` are not; at least one */
    WIRE_RESULT_END
};

struct wire_receipt {
    uint8_t clip_id[CLIP_ID_BYTES];
    uint8_t final_sha256[SHA256_BYTES]; /* of the manifest-final; zero when the sink has none */
    uint32_t ask;                       /* of the question answered, or WIRE_ASK_NONE */
    enum wire_result result;
    char pseudonym[PSEUDONYM_MAX];
    uint8_t range_count, need_count; /* a COMPLETE receipt may carry needs: stored raw-only */
    struct wire_range ranges[WIRE_RANGES_MAX];
    uint8_t needs[WIRE_NEEDS_MAX][SHA256_BYTES];
};

enum wire_artifact_kind { WIRE_ARTIFACT_DBC = 1, WIRE_ARTIFACT_PACK, WIRE_ARTIFACT_CONFIG,
                          WIRE_ARTIFACT_END };

struct wire_artifact {
    uint8_t sha256[SHA256_BYTES]; /* of the inflated bytes; the message key is its hex */
    enum wire_artifact_kind kind;
    char name[WIRE_ARTIFACT_NAME_MAX]; /* base name of the file; printable ASCII without '/' */
    uint32_t raw_bytes;                /* inflated, 1..ARTIFACT_RAW_BYTES_MAX */
    uint32_t size;                     /* of the zstd frame, 1..ARTIFACT_BYTES_MAX */
    const uint8_t *payload;            /* decoded: a view into the value */
};

enum wire_state { WIRE_STATE_OK = 1, WIRE_STATE_DEGRADED, WIRE_STATE_STOPPED, WIRE_STATE_END };

struct wire_clock {
    int64_t mono_ns, utc_ns, uncertainty_ns; /* uncertainty >= 0; INT64_MAX unknown */
    uint8_t origin;                          /* 0 none, 1 rtc, 2 ntp, 3 gnss, 4 ptp */
};

struct wire_status {
    char pseudonym[PSEUDONYM_MAX];
    uint8_t session_id[16];
    enum wire_state state;
    char version[WIRE_TEXT_MAX], reason[WIRE_TEXT_MAX]; /* printable ASCII; reason: why not OK */
    uint32_t generation;
    uint8_t pack_sha256[SHA256_BYTES], dbc_sha256[SHA256_BYTES], config_sha256[SHA256_BYTES];
    uint64_t sealed, delivered, pending, parked, evicted, expired, erased, disk_bytes;
    uint8_t clock_count;
    struct wire_clock clocks[WIRE_CLOCKS_MAX];
};

struct wire_value {
    enum wire_kind kind;
    union {
        struct wire_about open;
        struct wire_chunk chunk;
        struct wire_final final;
        struct wire_question question;
        struct wire_gone gone;
        struct wire_receipt receipt;
        struct wire_artifact artifact;
        struct wire_status status;
    };
};

/* Writes the value. Returns its bytes, -ERANGE with *err (NULL allowed) when a field is outside its
 * limits, -ENOBUFS when `size` is too small. A chunk's payload may already lie at its place in
 * `bytes`. The same value always gives the same bytes. */
int wire_encode(const struct wire_value *value, uint8_t *bytes, size_t size, struct err *err);

/* Reads exactly `size` bytes. Returns 0, or -EBADMSG (torn, foreign, wrong hash), -ERANGE (a field
 * outside its limits) or -ENOTSUP (later version), with *err naming the field, what was found and
 * what was expected; *ret_value is untouched then. Views live as long as `bytes`. */
int wire_decode(const void *bytes, size_t size, struct err *err, struct wire_value *ret_value);

const char *wire_kind_name(enum wire_kind kind); /* "manifest-open", ... or "unknown" */
const char *wire_gone_name(enum wire_gone_reason reason);
const char *wire_result_name(enum wire_result result);

/* ceil(bytes / chunk_bytes), and the payload bytes of one chunk of a segment. */
uint32_t wire_chunk_count(const struct wire_segment *segment);
uint32_t wire_chunk_size(const struct wire_segment *segment, uint32_t index);

/* zstd, one frame with its content size and checksum. Returns the bytes, -EMSGSIZE when it does not
 * fit `size` (an artifact that cannot be sent), -ENOMEM. */
int wire_artifact_deflate(const void *raw, size_t raw_bytes, uint8_t *bytes, size_t size);
/* Inflates into raw[0..artifact->raw_bytes) and checks size and SHA-256. The window is capped, so
 * no frame makes it allocate more than 8 MiB. Returns 0, -EBADMSG with *err, -ENOMEM. */
int wire_artifact_inflate(const struct wire_artifact *artifact, uint8_t *raw, struct err *err);

/* dataset.v1: JSON, because labelling and training read it. */
enum wire_dataset_status { WIRE_DATASET_COMPLETE, WIRE_DATASET_PARTIAL, WIRE_DATASET_RAW_ONLY };
struct wire_dataset {
    struct wire_about about;
    enum wire_dataset_status status;
    uint64_t bytes;                  /* of the .rlc */
    uint8_t sha256[SHA256_BYTES];    /* of the .rlc */
    char path[WIRE_DATASET_PATH_MAX]; /* of the .rlc below DATASET, '/'-separated */
};
/* Returns the length (no NUL counted), or -ENOBUFS. */
int wire_dataset_encode(const struct wire_dataset *dataset, char *json, size_t size);

/* ---- Headers beside the value: rl_* and CloudEvents 1.0 (binary mode) ---- */
#define WIRE_HEADERS_MAX 16
#define WIRE_HEADER_VALUE_MAX 160
struct wire_header {
    const char *name; /* a constant */
    char value[WIRE_HEADER_VALUE_MAX];
};
struct wire_headers {
    uint32_t count;
    struct wire_header items[WIRE_HEADERS_MAX];
};
/* `source` is ce_source: "/vehicle/<pseudonym>" or "/sink/<name>". */
void wire_headers_of(const struct wire_value *value, const char *source,
                     struct wire_headers *ret_headers);
void wire_headers_of_dataset(const struct wire_dataset *dataset, const char *source,
                             struct wire_headers *ret_headers);

/* Headers that the sink adds to a message copied to dlq.v1. */
#define WIRE_DLQ_TOPIC "dlq_topic"
#define WIRE_DLQ_PARTITION "dlq_partition"
#define WIRE_DLQ_OFFSET "dlq_offset"
#define WIRE_DLQ_REASON "dlq_reason" /* UTF-8, at most ERR_TEXT_MAX bytes */
#define WIRE_DLQ_TS "dlq_ts"         /* milliseconds since 1970, decimal */

/* ---- Topics ---- */
enum wire_topic { WIRE_TOPIC_CLIP, WIRE_TOPIC_RECEIPT, WIRE_TOPIC_ARTIFACT, WIRE_TOPIC_STATUS,
                  WIRE_TOPIC_DATASET, WIRE_TOPIC_DLQ, WIRE_TOPIC_COUNT };
#define WIRE_TOPIC_MAX 128
/* "roadloop.<env>.clip.v1". Returns 0, or -EINVAL when env is not [a-z0-9-]{1,32}. */
int wire_topic_name(enum wire_topic topic, const char *env, char ret_name[WIRE_TOPIC_MAX]);

/* The partition that murmur2 (Java's default, librdkafka's murmur2_random) gives a non-empty key. */
uint32_t wire_murmur2(const void *key, size_t size);
int32_t wire_partition(const void *key, size_t size, int32_t partition_count);

#endif
