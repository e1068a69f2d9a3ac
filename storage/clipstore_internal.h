/* clipstore_internal - what clipstore*.c share: the struct and the steps that several of them take.
 * Nobody else includes it. */
#ifndef STORAGE_CLIPSTORE_INTERNAL_H
#define STORAGE_CLIPSTORE_INTERNAL_H
#include "storage/clipstore.h"

#define OPEN_SEGMENTS (2 * CLIPS_OPEN_MAX) /* segment 0 may end while segment 1 begins */
#define REFUSED_MAX 32                     /* clips whose later pieces are ignored */
#define HANDED_MAX (CLIPSTORE_SEND_MAX + CLIPSTORE_ASK_MAX)
#define REOPEN_NS (10 * CLIPSTORE_COMMIT_NS) /* between two tries of what a broken disk keeps from us */
#define WAL_ROOM_BYTES 8192 /* a commit's share of the flash budget: about two pages */

struct open_segment {
    bool used;
    uint8_t clip_id[CLIP_ID_BYTES];
    uint32_t segment;
    bool again; /* it is sealed already: the bytes are only compared */
    int fd;     /* -1 when `again` */
    int64_t bytes;
    struct sha256 *sha;
    struct wire_about about;
    uint8_t artifact_count;
    uint8_t artifacts[JOB_ARTIFACTS_MAX][SHA256_BYTES];
    struct clip_header header; /* a copy: that of the BEGIN piece is gone by the time of END */
};

/* A job that the uploader holds. */
struct handed {
    bool used, ask; /* ask: broker-acked, only questions are left */
    bool in_flight; /* sending began: pinned against eviction */
    uint8_t sealed; /* segments that the uploader knows of */
    uint8_t clip_id[CLIP_ID_BYTES];
};

struct gone_answer {
    uint8_t clip_id[CLIP_ID_BYTES];
    uint32_t ask;
    enum wire_gone_reason reason;
    char pseudonym[PSEUDONYM_MAX];
};

struct clipstore {
    struct clipstore_config config;
    char dir[IO_PATH_MAX], clips_dir[IO_PATH_MAX], artifacts_dir[IO_PATH_MAX];
    char db_path[IO_PATH_MAX];
    struct db *db;
    struct outbox *outbox; /* NULL while the database is broken */
    struct open_segment segments[OPEN_SEGMENTS];
    uint8_t refused[REFUSED_MAX][CLIP_ID_BYTES];
    uint32_t refused_next;
    struct handed handed[HANDED_MAX];
    struct gone_answer gone[CLIPSTORE_GONE_MAX];
    uint32_t gone_count;
    /* No job is handed out while one waits, and each frees its slot: they cannot outnumber the slots. */
    uint8_t cancels[HANDED_MAX][CLIP_ID_BYTES];
    uint32_t cancel_count;
    int64_t used_bytes;      /* sealed and open files */
    int64_t flash_credit;    /* bytes that may be written */
    int64_t flash_at_ns;     /* credit is reckoned up to here */
    int64_t dirty_since_ns;  /* of the first later state that is not committed */
    int64_t reopen_at_ns, lone_at_ns; /* not before */
    bool dirty, sweep_due, broken;
    bool lone_due;   /* a clip may have lost its last segment: recover_lone */
    bool input_over; /* clipstore_end was called */
    struct clipstore_stats stats;
};

/* ---- clipstore.c ---- */
/* DIR/clips/ID-N<extension> */
void store_path(const struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES],
                unsigned segment, const char *extension, char ret_path[IO_PATH_MAX]);
int store_begin(struct clipstore *store);  /* a transaction, unless one is open */
int store_commit(struct clipstore *store); /* what is open; notes breakage */
/* Notes the outcome of disk work: sets and clears `degraded`. Returns rc. */
int store_note(struct clipstore *store, int rc, const char *what);
void store_dirty(struct clipstore *store, int64_t now_ns);
/* The uploader is to forget the clip, when it holds it. */
void store_cancel(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES]);
/* The rows say that its files may go, or are gone. */
bool store_is_over(enum outbox_state state);
/* It belongs to the session whose pieces come now: what it lacks may still come. */
bool store_is_ours(const struct clipstore *store, const struct wire_about *about);
/* A segment of it is open. */
bool store_is_open(const struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES]);
/* Errors of the disk, that another try may not meet. */
bool store_is_disk(int rc);
struct handed *store_handed(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES]);
/* Unlinks the files of a clip whose row already says why, and notes that. */
int store_unlink(struct clipstore *store, const struct outbox_clip *clip);
int store_sync(struct clipstore *store, int fd);
int store_sync_dir(struct clipstore *store, const char *dir);

/* ---- clipstore_quota.c ---- */
/* Makes room for `bytes` of a clip of that priority: 0, -ENOSPC (all that could go is more
 * important or in flight) or an error of the disk. */
int quota_room(struct clipstore *store, int64_t bytes, uint8_t priority);
/* Frees at least `bytes` where it can, whatever the quota says: how many clips went, or an error. */
int quota_evict(struct clipstore *store, int64_t bytes, uint8_t priority, const char *reason);
int quota_admit(struct clipstore *store, uint8_t priority, int64_t now_ns); /* 0, -EDQUOT: flash */
void quota_written(struct clipstore *store, int64_t bytes);
int quota_sweep(struct clipstore *store); /* unlinks what is deletable */

/* ---- clipstore_seal.c ---- */
void seal_describe(const struct clip_header *header, const struct clip_manifest *manifest,
                   struct wire_about *ret_about);
/* Packs and databases that a segment names, each once: at most JOB_ARTIFACTS_MAX. */
uint8_t seal_artifacts(const struct clip_header *header, const struct clip_manifest *manifest,
                       uint8_t ret_artifacts[JOB_ARTIFACTS_MAX][SHA256_BYTES]);
void seal_abandon_all(struct clipstore *store, enum clipstore_fail why);

/* Pieces of that clip are ignored: it was given up. */
bool seal_is_refused(const struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES]);

/* ---- clipstore_torn.c ---- */
/* What reading a whole segment file tells. */
struct examined {
    bool has_header, complete;
    uint64_t size, good_bytes;
    struct wire_about about;
    uint32_t segment;
    uint8_t artifact_count;
    uint8_t artifacts[JOB_ARTIFACTS_MAX][SHA256_BYTES];
    uint8_t sha256[SHA256_BYTES]; /* of all bytes */
    struct clip_manifest closing; /* how an interrupted segment is closed; views of the reader */
};
/* The reader stays open where one is returned: found->closing looks into it. */
int torn_examine(struct clipstore *store, int fd, struct clip_reader **ret_reader,
                 struct examined *found);
enum torn_policy {
    TORN_CLOSE,  /* cut at the last good record, closed `interrupted` */
    TORN_DISCARD /* removed where the session that runs makes the segment again, else closed */
};
/* ID-N.open -> ID-N.rlc; or nothing: not even its header is whole, or discarded. */
int torn_finish(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES], unsigned segment,
                enum torn_policy policy);

/* ---- clipstore_lone.c ---- */
/* Writes ID-1.open: the header of segment 0 and no groups. -EBADMSG: segment 0 has no header. */
int lone_write(struct clipstore *store, const uint8_t clip_id[CLIP_ID_BYTES]);
/* Segment 0 is sealed and the rest will not come any more. */
bool lone_is_over(const struct clipstore *store, const struct outbox_clip *clip);

/* ---- clipstore_recover.c ---- */
int recover(struct clipstore *store, struct err *err);
/* Closes the crash clips that are over without their last segment. */
int recover_lone(struct clipstore *store);

#endif
