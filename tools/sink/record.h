/* record - CLIP.json: what the dataset says of one clip. With the .rlc it is the truth; everything
 * else can be made again from the two. Written last, so a clip with its JSON is whole.
 * Times are text in seconds on the recording's own clock ("10.550000000"), because JSON numbers
 * lose nanoseconds; 64-bit counts below 2^53 are numbers. Pure; one thread. */
#ifndef TOOLS_SINK_RECORD_H
#define TOOLS_SINK_RECORD_H
#include "proto/err.h"
#include "proto/wire.h"
#include "tools/sink/assembler.h"

#include <stdbool.h>

#define RECORD_BYTES_MAX 16777216
#define RECORD_NAME_MAX 96

enum record_status { RECORD_COMPLETE, RECORD_RAW_ONLY, RECORD_PARTIAL, RECORD_QUARANTINED };
const char *record_status_name(enum record_status status);

struct json_t;

struct record {
    enum record_status status;
    bool about_known, final_known;
    char vehicle[PSEUDONYM_MAX];
    uint8_t clip_id[CLIP_ID_BYTES];
    struct wire_final final;
    uint8_t final_sha256[SHA256_BYTES];
    int64_t rlc_bytes;             /* of all segments joined */
    uint8_t rlc_sha256[SHA256_BYTES];
    char mcap[RECORD_NAME_MAX];    /* newest export, a name beside the JSON; "" for none */
    char reason[ERR_TEXT_MAX];     /* why quarantined; "evicted" etc. when the car said gone */
    uint32_t need_count;
    uint8_t needs[WIRE_NEEDS_MAX][SHA256_BYTES];
    /* PARTIAL: what is here. Bitmaps are the caller's to free after record_read. */
    bool has_part; /* CLIP.part holds slot k at k * SEGMENT_BYTES_MAX */
    uint32_t slot_count;
    struct assembler_slot slots[ASSEMBLER_SLOTS_MAX];
};

/* `content` (NULL or an object, borrowed) is what the .rlc says: sources, events, databases. Its
 * members follow ours. malloc'ed text, NULL when memory is short. Same input, same bytes. */
char *record_write(const struct record *record, const struct json_t *content);
/* Returns 0, or -EBADMSG with *err. Checks every field: a dataset is a place where others write. */
int record_read(const char *text, size_t size, struct record *ret_record, struct err *err);
void record_deinit(struct record *record); /* frees bitmaps; takes a zeroed one */

/* What clip_json_time writes, "-1.500000000". Returns 0 or -EINVAL. */
int record_time_read(const char *text, int64_t *ret_ns);

#endif
