/* clipstore - takes the pieces of the recorder, seals segments on disk, keeps their states, hands
 * jobs to the uploader and frees space by policy. The only writer under its folder:
 *
 *   DIR/outbox.db          states (storage/outbox.h)
 *   DIR/clips/ID-N.rlc     sealed segments;  ID-N.open while written, ID-N.bad when corrupt
 *   DIR/artifacts/SHA.art  packs and DBCs, as encoded wire values
 *
 * Sealing: write, fdatasync, rename, fsync folder, one commit: at most 4 syncs a segment. Invariants:
 *  1. A row says `sealed` only after its bytes and their name are durable.
 *  2. A file goes only after the row that says why is durable.
 *  3. Files are the truth for bytes, rows for states: opening reconciles them, as often as it takes.
 * A disk that fails, fills or turns read-only costs the clips that are being written (counted by
 * reason) and sets `degraded`; the next write that works clears it.
 *
 * A crash clip's segment 0 waits for segment 1 as long as its session runs; when that cannot come any
 * more (refused, end of the input, another session) it is closed by an empty segment 1 that says
 * `interrupted`. A recording that is played again has its session again: its torn segments are thrown
 * away, the sealed ones stay, and the same bytes put again change nothing. Owner: the store thread. */
#ifndef STORAGE_CLIPSTORE_H
#define STORAGE_CLIPSTORE_H
#include "storage/io.h"
#include "storage/outbox.h"
#include "storage/recorder.h"

#define CLIPSTORE_COMMIT_NS INT64_C(1000000000) /* later states: at most one commit a second */
#define CLIPSTORE_SEND_MAX 64                   /* JOB_CLIPs handed out at a time */
#define CLIPSTORE_ASK_MAX 256                   /* JOB_ASKs likewise */
#define CLIPSTORE_GONE_MAX 64
#define CLIPSTORE_EVICT_BATCH 16                /* clips evicted by one commit */
#define CLIPSTORE_DAY_NS INT64_C(86400000000000)

enum clipstore_delete { CLIPSTORE_DELETE_RECEIPT, CLIPSTORE_DELETE_BROKER_ACK };

struct clipstore_config {
    const char *dir;            /* exists, ours alone */
    struct io io;               /* io_system() */
    const char *db_vfs;         /* NULL */
    uint8_t session_id[SESSION_ID_BYTES]; /* of the pieces that will be put */
    uint32_t chunk_bytes;       /* S: CHUNK_BYTES_MIN..MAX; fixed for a segment when it is sealed */
    int64_t quota_bytes;        /* of sealed and open segments; at least 65,536 */
    int64_t flash_bytes_per_day; /* written; 0: not limited */
    enum clipstore_delete delete_after;
    bool keep_delivered;        /* delivered clips stay until the quota needs their place */
    bool relaxed;               /* no syncs: `replay` and tests of other modules */
};

/* Why a clip that began is not sealed. */
enum clipstore_fail {
    CLIPSTORE_FAIL_DISK,  /* write, sync, rename or commit failed */
    CLIPSTORE_FAIL_QUOTA, /* all that could go is more important, or its own segment 0 had to go */
    CLIPSTORE_FAIL_FLASH, /* the day's writes are used up */
    CLIPSTORE_FAIL_SIZE,  /* larger than SEGMENT_BYTES_MAX */
    CLIPSTORE_FAIL_ORDER, /* pieces out of order: counted, not asserted, since they cross threads */
    CLIPSTORE_FAIL_COUNT
};
const char *clipstore_fail_name(enum clipstore_fail fail);

struct clipstore_stats {
    uint64_t segments_sealed, clips_failed[CLIPSTORE_FAIL_COUNT], clips_open;
    uint64_t adopted;     /* segments found without a row at opening */
    uint64_t interrupted; /* torn or missing segments closed as `interrupted` */
    uint64_t discarded;   /* torn segments thrown away at opening: the recording makes them again */
    uint64_t repeated;    /* segments that were sealed already, put again with the same bytes */
    uint64_t unread;      /* files that the disk did not give at opening: left for the next */
    uint64_t torn_removed; /* torn before their header was whole: nothing to keep */
    uint64_t quarantined; /* files whose bytes are not what their row says */
    uint64_t lost;        /* rows whose file was missing at opening */
    uint64_t foreign;     /* names in clips/ that are not ours */
    uint64_t rebuilt;     /* databases made anew from segments */
    uint64_t syncs, commits, written_bytes, unlinked, evicted_now, evicted_bytes;
    uint64_t outcomes_ignored; /* for clips that were evicted meanwhile, or not an arrow */
    int64_t disk_bytes, flash_credit_bytes, wal_bytes;
    bool degraded;
    char reason[OUTBOX_REASON_MAX]; /* why degraded */
};

struct clipstore;

/* Opens, recovers and reconciles. Returns 0; or a negative errno with *err: the folder is not usable
 * at all (permission, another process, a later version). A disk that fails (EIO, ENOSPC, EROFS) opens
 * `degraded`, and turns try again every 10 s. Idempotent: killed anywhere inside, the next open ends in the same state. */
int clipstore_open(const struct clipstore_config *config, int64_t now_ns, struct err *err,
                   struct clipstore **ret_store);
void clipstore_close(struct clipstore *store); /* commits; open segments stay for recovery */

/* Takes one piece; its bytes may be released on return. 0, or a negative errno: the clip is refused
 * (call recorder_refuse), counted, and its later pieces are ignored with the same return. */
int clipstore_put(struct clipstore *store, const struct recorder_piece *piece, int64_t now_ns);

/* The artifacts that clips sealed from now on need: their files are kept until no clip needs them.
 * `values` are encoded WIRE_ARTIFACT values. 0 or a negative errno. */
struct clipstore_artifact {
    const uint8_t *value;
    size_t size;
};
int clipstore_artifacts(struct clipstore *store, const struct clipstore_artifact *artifacts,
                        uint32_t count);

/* 1 with the next job for the uploader, 0 when there is none now. */
int clipstore_next_job(struct clipstore *store, struct job *ret_job);
void clipstore_outcome(struct clipstore *store, const struct outcome *outcome, int64_t now_ns);
/* The uploader was started anew and holds no job any more. */
void clipstore_forget_jobs(struct clipstore *store);

/* No more pieces come: closes what lacks its end, and commits. 0 or a negative errno. */
int clipstore_end(struct clipstore *store, int64_t now_ns);

/* Commits what waits and is due, removes what may go, checkpoints when idle, reopens a database
 * that broke. Returns when it wants to be called again, on the clock of now_ns. */
int64_t clipstore_turn(struct clipstore *store, int64_t now_ns);
int clipstore_flush(struct clipstore *store, int64_t now_ns); /* commits now */

/* By a person: PARKED -> SEALED, one clip, or with NULL all whose bytes are good. Returns how many;
 * -ENOENT, -EPERM (not parked, or its bytes were set aside), or an error of the disk. */
int clipstore_unpark(struct clipstore *store, const uint8_t *clip_id);
/* By a person or a policy: EXPIRED, ERASED: row first, then files. */
int clipstore_drop(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES],
                   enum outbox_state to, const char *reason);

int clipstore_find(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES],
                   struct outbox_clip *ret_clip); /* 1, 0 */
int clipstore_next(struct clipstore *store, enum outbox_order order, struct outbox_cursor *cursor,
                   struct outbox_clip *ret_clip);
int clipstore_books(struct clipstore *store, struct outbox_books *ret_books);
/* Stored offset of a receipts partition for the uploader's start: 1, or 0 when none. */
int clipstore_offset(struct clipstore *store, int32_t partition, int64_t *ret_offset);
void clipstore_stats(const struct clipstore *store, struct clipstore_stats *ret_stats);

#endif
