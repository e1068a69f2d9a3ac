/* job - what the store hands the uploader, and what comes back. Values only, so that they can go
 * through a queue between two threads. The uploader never sees the outbox; the store never sees
 * the network. */
#ifndef PROTO_JOB_H
#define PROTO_JOB_H
#include "proto/wire.h"

#include <stdio.h>

#define JOB_ARTIFACTS_MAX 32 /* of one generation: packs, DBCs, configuration */
#define JOB_NAME_MAX 48      /* a segment's or artifact's file name with NUL */
#define JOB_REASON_MAX 128

enum job_kind {
    JOB_CLIP = 1, /* send (or go on sending) a clip; again when its second segment is sealed */
    JOB_ASK,      /* all chunks had delivery reports before: only ask on the schedule */
    JOB_GONE,     /* answer to OUTCOME_UNKNOWN: say gone(reason) */
    JOB_CANCEL,   /* forget the clip: evicted, expired or erased while it was only waiting */
};

struct job {
    enum job_kind kind;
    struct wire_final final; /* segments[0..sealed) are valid; about always is */
    uint8_t sealed;          /* segments on disk; == final.about.segments when the clip is whole */
    uint64_t age;            /* order of sealing: less is older */
    uint32_t next_ask;       /* no answer to an ask below this one counts */
    uint8_t artifact_count;  /* that must have delivery reports before manifest-open */
    uint8_t artifacts[JOB_ARTIFACTS_MAX][SHA256_BYTES];
    enum wire_gone_reason gone; /* JOB_GONE */
    uint32_t gone_ask;          /* JOB_GONE: of the receipt */
};

enum outcome_kind {
    OUTCOME_SENT = 1, /* the first chunk was handed to the transport */
    OUTCOME_ACKED,    /* every chunk and the manifest-final have delivery reports */
    OUTCOME_ASKED,    /* a question went out: `ask` */
    OUTCOME_RECEIPTED, /* complete, with our own manifest-final's SHA-256 */
    OUTCOME_PARKED,    /* this clip cannot be sent: reason */
    OUTCOME_RETRY,     /* given back unsent (shutdown, lost file handle): still sealed */
    OUTCOME_UNKNOWN,   /* a receipt names a clip that the uploader does not hold */
    OUTCOME_ARTIFACT,  /* delivered: sha256 */
    OUTCOME_OFFSET,    /* receipts of `partition` are read up to `offset` (the next to read) */
};

struct outcome {
    enum outcome_kind kind;
    uint8_t clip_id[CLIP_ID_BYTES];
    uint32_t ask;
    uint8_t sha256[SHA256_BYTES]; /* OUTCOME_ARTIFACT; OUTCOME_RECEIPTED: of the manifest-final */
    int32_t partition;            /* OUTCOME_OFFSET */
    int64_t offset;
    char pseudonym[PSEUDONYM_MAX]; /* OUTCOME_UNKNOWN */
    char reason[JOB_REASON_MAX];   /* OUTCOME_PARKED, OUTCOME_RETRY */
};

/* "<32 hex>-<segment>.rlc": the name of a sealed segment in the car and in every example. */
static inline void job_segment_name(const uint8_t clip_id[CLIP_ID_BYTES], unsigned segment,
                                    char ret_name[JOB_NAME_MAX])
{
    char hex[CLIP_ID_HEX];

    hex_from(clip_id, CLIP_ID_BYTES, hex);
    (void)snprintf(ret_name, JOB_NAME_MAX, "%s-%u.rlc", hex, segment & 0xff);
}

#endif
