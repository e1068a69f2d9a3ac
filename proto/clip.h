/* clip - the segment file (.rlc): header, seed, groups, manifest, each a record with its own
 * XXH3-64. Plain C structs here; protobuf (proto/clip.proto) inside clip.c only, for header and
 * manifest. Bytes: docs/FORMAT.md. No clock, no file, no thread; a reader is fed bytes.
 * A clip of two segments is the concatenation of its segment files, and reads as one.
 *
 * record = tag u32 | body length u32 | body | XXH3-64 of all before it
 * segment = 'H' header, 'S' seed, 'G' group ..., 'M' manifest */
#ifndef PROTO_CLIP_H
#define PROTO_CLIP_H
#include "proto/err.h"
#include "proto/frame.h"
#include "proto/group.h"
#include "proto/hash.h"

#define CLIP_FORMAT_VERSION 1
#define SESSION_ID_BYTES 16
#define CLIP_RECORD_OVERHEAD 16
#define CLIP_LABEL_MAX 64           /* purpose, class, key id, reason, clock source; with NUL */
#define CLIP_TEXT_MAX 256           /* attached text, unit, file names; with NUL */
#define CLIP_DBCS_MAX 64
#define CLIP_OVERLAPS_MAX 64
#define CLIP_SOURCE_EVENTS_MAX 64
#define CLIP_HEADER_BYTES_MAX 1048576
#define CLIP_STATE_BYTES_MAX 524288 /* life-cycle states of every rule at the cut */
#define CLIP_SEED_ROWS_MAX 65536    /* last rows before the cut, one an id that rules read */
#define CLIP_SEED_BYTES_MAX 8388608

/* One known pair of the session's clock and the wall; a label, never arithmetic on rows. */
struct clip_clock {
    bool known;
    int64_t mono_ns, utc_ns, uncertainty_ns;
    const char *source; /* "gnss", "ntp", "operator"; "" when unknown */
};

struct clip_dbc {
    const char *bus;  /* "" serves all buses */
    const char *name; /* file name without folder */
    uint8_t sha256[SHA256_BYTES];
};

/* All that is needed to finish the segment after a crash. Strings are never NULL after decoding;
 * NULL encodes as "". Times are mono; printed = mono - offset_ns. */
struct clip_header {
    uint32_t format_version; /* encode writes CLIP_FORMAT_VERSION */
    uint8_t clip_id[CLIP_ID_BYTES];
    uint8_t session_id[SESSION_ID_BYTES];
    uint64_t ordinal; /* of the clip in its session, from 0 */
    uint32_t segment; /* 0 .. segments-1 */
    uint32_t segments; /* 1, or 2 for a crash-class clip */
    const char *vehicle; /* pseudonym */
    const char *rule;    /* "package/name" of the event that opened it; "" for convert */
    uint8_t rule_hash[SHA256_BYTES];
    const char *purpose, *clip_class, *key_id; /* reserved: "" until the issue on consent lands */
    uint8_t priority;
    uint8_t codec; /* asked for; each block says what it is */
    uint32_t generation;
    uint32_t engine_version; /* semantics of the rule engine; 0 when none ran */
    int64_t start_ns;  /* window start, mono */
    int64_t offset_ns; /* in force at start_ns */
    uint64_t first_step; /* no row of the segment is earlier, except in groups appended later */
    int64_t mono_floor_ns; /* mono of the row before first_step: where a replay starts its clock */
    struct source_table sources;
    uint8_t pack_sha256[SHA256_BYTES];    /* canonical text of all packs; zero when none */
    uint8_t shaping_sha256[SHA256_BYTES]; /* zero when none */
    uint8_t recording_sha256[SHA256_BYTES]; /* decoded recording; zero on live sources */
    const struct clip_dbc *dbcs;
    uint32_t dbc_count;
    const uint8_t *state; /* life-cycle of every rule at the cut: opaque bytes of the engine */
    uint32_t state_bytes;
    struct clip_clock clock; /* as known at OPEN */
    void *owned; /* memory of a decoded header, else NULL */
};

enum clip_value_kind {
    CLIP_VALUE_UNKNOWN,
    CLIP_VALUE_BOOL,   /* integer 0 or 1 */
    CLIP_VALUE_INT,
    CLIP_VALUE_NUMBER, /* number; unit */
    CLIP_VALUE_TEXT,   /* label or string in text; an enum has its raw value in integer too */
    CLIP_VALUE_DURATION, /* integer, ns */
};

struct clip_value {
    const char *name, *text, *unit;
    enum clip_value_kind kind;
    int64_t integer;
    double number;
};

enum clip_edge { CLIP_EDGE_RISE, CLIP_EDGE_FALL, CLIP_EDGE_MANUAL };

struct clip_event {
    const char *rule;
    uint8_t rule_hash[SHA256_BYTES];
    uint64_t ordinal; /* of the event in its rule and session */
    enum clip_edge edge;
    int64_t start_ns, fire_ns, end_ns, closed_ns; /* mono */
    int64_t offset_ns;     /* in force at fire */
    uint64_t fire_step;    /* row that made it fire; a timer's event names the row after which */
    bool ended, closed;    /* end_ns, closed_ns are known */
    bool elsewhere;        /* fired inside the window, but belongs to another clip (or to none): named
                            * so that a replay of this clip fires nothing that is not listed */
    uint32_t generation;
    const char *reason;    /* of the end: "false", "input_end", "max_active", "reload", ... */
    const struct clip_value *values;
    uint32_t value_count;
};

/* Per source, for the span of the clip. */
struct clip_source_counts {
    uint64_t received, dropped_kernel, dropped_queue, dropped_filter, late, error_frames, stored;
    uint64_t dropped_driver; /* by the interface, before any socket: as its counters grew */
};

/* State of a CAN controller: enum can_state of linux/can/netlink.h, plus one. */
enum clip_bus_state {
    CLIP_BUS_UNKNOWN, /* no CAN controller, or it does not say */
    CLIP_BUS_ACTIVE,
    CLIP_BUS_WARNING,
    CLIP_BUS_PASSIVE,
    CLIP_BUS_OFF,
    CLIP_BUS_STOPPED,
    CLIP_BUS_SLEEPING,
};

/* What the kernel said last of a network interface, on live sources. Counters run since it was made. */
struct clip_interface {
    bool known, up;
    uint8_t bus_state; /* enum clip_bus_state */
    int64_t mono_ns;   /* when it was asked */
    uint64_t rx_frames, rx_errors, rx_dropped, rx_overruns, rx_missed;
    uint32_t bitrate, tx_error_count, rx_error_count; /* of a controller: now */
    uint32_t restarts, bus_errors, arbitration_lost, warnings, passives, bus_offs; /* counters */
};

enum clip_source_event_kind {
    CLIP_SOURCE_DOWN,      /* the interface went down or away */
    CLIP_SOURCE_UP,        /* and came back */
    CLIP_SOURCE_STAMPS,    /* value: enum stamp_origin from here on */
    CLIP_SOURCE_BUS_STATE, /* value: enum clip_bus_state */
};
#define CLIP_SOURCE_EVENT_KINDS 4

struct clip_source_event {
    int64_t mono_ns;
    uint8_t source, kind, value;
};

struct clip_completeness {
    struct clip_source_counts sources[SOURCES_MAX];
    uint32_t source_count;    /* that of the source table */
    uint64_t gaps;            /* declared holes: times that an interface went down, runs of drops */
    uint64_t clamped;         /* backward stamps of at most 50 ms */
    uint64_t discontinuities; /* larger steps; each rebased the offset */
    uint64_t skipped_lines;   /* of the recording that it was cut from */
    const char *clock_quality; /* "recording", "kernel", "hardware", "stepped", ... */
    struct clip_interface interfaces[SOURCES_MAX]; /* not known: no network interface */
    struct clip_source_event source_events[CLIP_SOURCE_EVENTS_MAX]; /* inside the window, in order */
    uint32_t source_event_count;
    uint64_t source_events_left_out; /* that found the list full */
};

enum clip_end {
    CLIP_END_COMPLETE,
    CLIP_END_TRUNCATED,   /* memory, disk or row limit: a part is missing */
    CLIP_END_INTERRUPTED, /* the process died; the tail was cut at the last good group */
    CLIP_END_INPUT,       /* the recording ended inside the window */
    CLIP_END_LIMIT,       /* clip.max; the next clip continues it */
};

struct clip_manifest {
    uint8_t clip_id[CLIP_ID_BYTES];
    uint32_t segment;
    bool last_segment;
    const struct clip_event *events;
    uint32_t event_count;
    struct clip_completeness completeness;
    uint64_t frames;      /* rows stored in this segment */
    uint64_t row_bytes;   /* sum of 16 + len */
    uint32_t groups;
    uint64_t body_bytes;  /* bytes of the segment before the manifest record */
    uint8_t body_sha256[SHA256_BYTES]; /* of those bytes */
    int64_t start_ns, end_ns; /* window, mono; end_ns inclusive */
    int64_t start_offset_ns, end_offset_ns;
    uint64_t first_step, last_step; /* of the rows stored; 0,0 when none */
    enum clip_end end;
    const char *end_detail; /* "", or what limit, what error */
    bool continues;         /* the clip continues clip `continues_id` */
    uint8_t continues_id[CLIP_ID_BYTES];
    const uint8_t (*overlaps)[CLIP_ID_BYTES]; /* clips that share rows with this one */
    uint32_t overlap_count;
    struct clip_clock clock; /* as known at CLOSE */
    uint8_t pack_sha256[SHA256_BYTES], shaping_sha256[SHA256_BYTES];
    const struct clip_dbc *dbcs; /* of the generations used after the first too */
    uint32_t dbc_count;
    /* Where the window begins, when a later event moved that before the header's start_ns: header
     * and seed record were written by then. */
    const uint8_t *early_state; /* life-cycles at start_ns */
    uint32_t early_state_bytes;
    const uint8_t *early_seed;  /* a whole seed record: clip_seed_decode; 0 bytes: header and seed hold */
    uint32_t early_seed_bytes;
    void *owned;
};

const char *clip_end_name(enum clip_end end);    /* "complete", ... */
const char *clip_edge_name(enum clip_edge edge); /* "rise", "fall", "manual" */
const char *clip_source_event_name(enum clip_source_event_kind kind); /* "down", "up", ... */
const char *clip_bus_state_name(enum clip_bus_state state); /* "error-active", ... as ip(8) has it */
/* The value of a source event in words; "" when it has none. */
const char *clip_source_event_value(const struct clip_source_event *event);

/* Encode a whole record. With out NULL: only its size. Return the bytes; -ENOBUFS when out is too
 * small; -ERANGE when a field is beyond its limit (text too long, too many events, ...). */
int64_t clip_header_encode(const struct clip_header *header, uint8_t *out, size_t size);
int64_t clip_manifest_encode(const struct clip_manifest *manifest, uint8_t *out, size_t size);
/* Rows in any order of step; at most CLIP_SEED_ROWS_MAX. With out NULL: an upper bound. */
int64_t clip_seed_encode(const struct row *rows, uint32_t count, uint8_t *out, size_t size);

/* Decode a whole record. Return 0, or -EBADMSG with *err filled and the output untouched. What is
 * decoded is released by the deinit, which takes zeroed structs too. */
int clip_header_decode(const uint8_t *record, size_t size, struct clip_header *ret_header,
                       struct err *err);
int clip_manifest_decode(const uint8_t *record, size_t size, struct clip_manifest *ret_manifest,
                         struct err *err);
/* *ret_rows is malloc'ed; the caller frees it. */
int clip_seed_decode(const uint8_t *record, size_t size, struct row **ret_rows,
                     uint32_t *ret_count, struct err *err);
void clip_header_deinit(struct clip_header *header);
void clip_manifest_deinit(struct clip_manifest *manifest);

/* First 16 bytes of SHA-256(vehicle NUL session id, ordinal LE64). */
void clip_id_make(const char *vehicle, const uint8_t session_id[SESSION_ID_BYTES],
                  uint64_t ordinal, uint8_t ret_id[CLIP_ID_BYTES]);

/* --- reading --- */

enum clip_item_kind { CLIP_ITEM_HEADER, CLIP_ITEM_SEED, CLIP_ITEM_GROUP, CLIP_ITEM_MANIFEST };

/* What a reader found; all of it is borrowed until the next call on the reader. */
struct clip_item {
    enum clip_item_kind kind;
    uint64_t offset;  /* of the record, from the first byte that was fed */
    uint32_t bytes;   /* of the record */
    const uint8_t *record;
    const struct clip_header *header;     /* from the first item of a segment on */
    const struct clip_manifest *manifest; /* MANIFEST */
    const struct row *seed;               /* SEED */
    uint32_t seed_count;
    struct group_head group;              /* GROUP */
    const struct rowbuf *rows;            /* GROUP, unless heads_only */
};

struct clip_reader_config {
    const char *name; /* for errors; may be NULL */
    bool heads_only;  /* check record hashes but do not decode the rows of groups */
};

struct clip_reader_stats {
    uint64_t fed_bytes;
    uint64_t good_bytes;  /* end of the last good record: where a torn tail is cut */
    uint32_t segments;    /* headers seen */
    uint32_t sealed;      /* manifests seen and found true */
    uint32_t groups;
    uint64_t rows;
};

struct clip_reader;

struct clip_reader *clip_reader_open(const struct clip_reader_config *config);
void clip_reader_close(struct clip_reader *reader);

/* Takes bytes in; the reader holds at most one record. Returns how many of them it took (fewer
 * than size means: call clip_reader_next until it returns 0, then put the rest), or -ENOMEM. */
int64_t clip_reader_put(struct clip_reader *reader, const void *bytes, size_t size);

/* Returns 1 with the next record; 0 when more bytes are needed; -EBADMSG with *err filled when the
 * bytes are not a segment, and from then on always. Checks the hash of each record, the order of
 * records, that both segments are of one clip, and at a manifest: segment, frames, groups,
 * body_bytes and body_sha256. */
int clip_reader_next(struct clip_reader *reader, struct clip_item *ret_item, struct err *err);

/* The end of the input, after clip_reader_next returned 0: 0 when it ended with a manifest; -EPIPE
 * when the last segment has no manifest or bytes are left over (a torn tail: see good_bytes). */
int clip_reader_finish(struct clip_reader *reader, struct err *err);
void clip_reader_stats(const struct clip_reader *reader, struct clip_reader_stats *ret_stats);

#endif
