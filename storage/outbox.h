/* outbox - the states of sealed clips in SQLite. A row is a clip; it holds all that sending needs.
 *
 *   captured -> SEALED -> SENT -> ACKED -> RECEIPTED -> DELETABLE
 * Beside them PARKED (and back to SEALED), EVICTED, EXPIRED, ERASED. `captured` has no row: a clip
 * gets one in the commit that seals its first segment. Only the arrows of the table in outbox.c are
 * taken; anything else is -EPERM and changes nothing.
 *
 * The caller (clipstore) owns the transaction: nothing here begins or commits. Owner: the store
 * thread. */
#ifndef STORAGE_OUTBOX_H
#define STORAGE_OUTBOX_H
#include "proto/job.h"
#include "storage/db.h"

#define OUTBOX_APPLICATION_ID 0x524c4f42 /* "RLOB" */
#define OUTBOX_VERSION 1
#define OUTBOX_REASON_MAX 128
#define OUTBOX_ROWS_MAX 20000 /* rows of clips that are no more; older ones are only counted */

enum outbox_state {
    OUTBOX_SEALED = 1,
    OUTBOX_SENT,
    OUTBOX_ACKED,
    OUTBOX_RECEIPTED,
    OUTBOX_DELETABLE,
    OUTBOX_PARKED,
    OUTBOX_EVICTED,
    OUTBOX_EXPIRED,
    OUTBOX_ERASED,
    OUTBOX_STATE_END
};
const char *outbox_state_name(enum outbox_state state); /* "broker-acked", ... */
bool outbox_may(enum outbox_state from, enum outbox_state to);

struct outbox_clip {
    struct wire_final final; /* segments[0..sealed) are valid */
    uint8_t sealed;          /* segments with a row */
    uint64_t age;            /* order of sealing, from 1; never reused */
    enum outbox_state state;
    uint32_t ask;            /* the latest that went out */
    bool on_disk;            /* its files are (or may be) there */
    uint8_t artifact_count;
    uint8_t artifacts[JOB_ARTIFACTS_MAX][SHA256_BYTES];
    char reason[OUTBOX_REASON_MAX]; /* of the last change, or "" */
};

/* G3: sealed = delivered + pending + parked + evicted + expired + erased. */
struct outbox_books {
    uint64_t sealed; /* rows ever made: the sequence of `age`, a witness of its own */
    uint64_t delivered, pending, parked, evicted, expired, erased;
    uint64_t by_state[OUTBOX_STATE_END]; /* rows that are left */
};

struct outbox;

extern const char outbox_schema[];
int outbox_open(struct db *db, struct outbox **ret_outbox);
void outbox_close(struct outbox *outbox); /* takes NULL; before db_close */

/* A segment was sealed: makes the clip's row, or adds segment `index` to it (about of the later one
 * stands: it knows the end). 0, -EEXIST when that segment is there already, or an error of db. */
int outbox_add(struct outbox *outbox, const struct wire_about *about, unsigned index,
               const struct wire_segment *segment,
               const uint8_t artifacts[][SHA256_BYTES], uint32_t artifact_count);
/* 1 with *ret_clip, 0 when there is no such clip. */
int outbox_find(struct outbox *outbox, const uint8_t clip_id[CLIP_ID_BYTES],
                struct outbox_clip *ret_clip);
/* 0; -EPERM: not an arrow; -ENOENT; -EALREADY: it is there already. */
int outbox_set(struct outbox *outbox, const uint8_t clip_id[CLIP_ID_BYTES], enum outbox_state to,
               const char *reason);
int outbox_set_ask(struct outbox *outbox, const uint8_t clip_id[CLIP_ID_BYTES], uint32_t ask);
int outbox_set_gone(struct outbox *outbox, const uint8_t clip_id[CLIP_ID_BYTES]); /* !on_disk */

/* Orders in which clips are walked. Start with *cursor zeroed; 1 with the next, 0 at the end. */
enum outbox_order {
    OUTBOX_TO_SEND,  /* SEALED and SENT: highest priority, then oldest */
    OUTBOX_TO_ASK,   /* ACKED, likewise */
    OUTBOX_TO_EVICT, /* on disk: DELETABLE, then ACKED, then lowest priority, then oldest */
    OUTBOX_ON_DISK,  /* all whose files may be there, by age */
    OUTBOX_ALL       /* by age */
};
struct outbox_cursor {
    int64_t rank;
    uint64_t age;
};
int outbox_next(struct outbox *outbox, enum outbox_order order, struct outbox_cursor *cursor,
                struct outbox_clip *ret_clip);

int outbox_books(struct outbox *outbox, struct outbox_books *ret_books);
bool outbox_books_close(const struct outbox_books *books);
/* Counts and removes the oldest rows of clips that are no more, beyond OUTBOX_ROWS_MAX. */
int outbox_trim(struct outbox *outbox, uint32_t rows_max);

/* Artifacts, and where reading of receipts goes on. */
int outbox_add_artifact(struct outbox *outbox, const uint8_t sha256[SHA256_BYTES]);
int outbox_artifact_sent(struct outbox *outbox, const uint8_t sha256[SHA256_BYTES]);
int outbox_is_artifact_sent(struct outbox *outbox, const uint8_t sha256[SHA256_BYTES]); /* 1, 0 */
int outbox_set_offset(struct outbox *outbox, int32_t partition, int64_t offset);
int outbox_get_offset(struct outbox *outbox, int32_t partition, int64_t *ret_offset); /* 1, 0 */
/* Small numbers that outlive a restart. */
int outbox_set_number(struct outbox *outbox, const char *name, int64_t value);
int outbox_get_number(struct outbox *outbox, const char *name, int64_t *ret_value); /* 1, 0 */

#endif
