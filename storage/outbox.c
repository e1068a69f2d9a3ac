#include "storage/outbox.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* `age` is AUTOINCREMENT on purpose: its sequence never goes back, so it counts the clips ever
 * sealed independently of the states that the books add up.
 * `rank` is -priority, so that (rank, age) is the order of sending as the indexes hold it. Indexes
 * are few: each costs a page of flash a clip. */
const char outbox_schema[] =
    "CREATE TABLE clip (age INTEGER PRIMARY KEY AUTOINCREMENT, clip_id BLOB NOT NULL UNIQUE,"
    " state INTEGER NOT NULL, rank INTEGER NOT NULL, segments INTEGER NOT NULL,"
    " sealed INTEGER NOT NULL, on_disk INTEGER NOT NULL, ask INTEGER NOT NULL DEFAULT 0,"
    " session_id BLOB NOT NULL, ordinal INTEGER NOT NULL, start_ns INTEGER NOT NULL,"
    " end_ns INTEGER NOT NULL, utc_ns INTEGER NOT NULL, pseudonym TEXT NOT NULL,"
    " rule TEXT NOT NULL, files BLOB NOT NULL, artifacts BLOB NOT NULL,"
    " reason TEXT NOT NULL DEFAULT '');"
    "CREATE INDEX clip_send ON clip (rank, age) WHERE state IN (1, 2);"
    "CREATE INDEX clip_ask ON clip (rank, age) WHERE state = 3;"
    "CREATE TABLE gone (state INTEGER PRIMARY KEY, count INTEGER NOT NULL);"
    "CREATE TABLE artifact (sha256 BLOB PRIMARY KEY, sent INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE receipts (partition INTEGER PRIMARY KEY, next INTEGER NOT NULL);"
    "CREATE TABLE number (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;";

#define FILE_RECORD_BYTES (4 + 4 + SHA256_BYTES) /* in column `files`: bytes, chunk_bytes, SHA-256 */
#define STATE_BIT(state) (1u << (state))

enum sql { SQL_INSERT, SQL_ADD_SEGMENT, SQL_FIND, SQL_SET, SQL_SET_ASK, SQL_SET_GONE, SQL_COUNT,
           SQL_SEQUENCE, SQL_GONE_COUNT, SQL_SEND, SQL_ASK, SQL_EVICT, SQL_DISK, SQL_ALL,
           SQL_ADD_ARTIFACT, SQL_SENT_ARTIFACT, SQL_IS_SENT, SQL_SET_OFFSET, SQL_GET_OFFSET,
           SQL_SET_NUMBER, SQL_GET_NUMBER, SQL_TRIM_COUNT, SQL_TRIM, SQL_ROWS_GONE, SQL_END };

#define COLUMNS "clip_id, state, rank, segments, sealed, on_disk, ask, session_id, ordinal, " \
                "start_ns, end_ns, utc_ns, pseudonym, rule, files, artifacts, reason, age"
/* What is on disk and may go: delivered first, then what the broker has, then the rest; within,
 * the lowest priority, then the oldest. One number, so that a cursor can go on from it. */
#define EVICT_RANK "(CASE state WHEN 5 THEN 0 WHEN 4 THEN 0 WHEN 3 THEN 100 ELSE 200 END - rank)"
#define NO_MORE "(5, 7, 8, 9)" /* DELETABLE, EVICTED, EXPIRED, ERASED: rows that only remember */

static const char *const sqls[SQL_END] = {
    [SQL_INSERT] = "INSERT INTO clip (clip_id, state, rank, segments, sealed, on_disk, "
                   "session_id, ordinal, start_ns, end_ns, utc_ns, pseudonym, rule, files, "
                   "artifacts) VALUES (?1, 1, ?2, ?3, 1, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [SQL_ADD_SEGMENT] = "UPDATE clip SET sealed = sealed + 1, end_ns = ?2, files = ?3 "
                        "WHERE clip_id = ?1",
    [SQL_FIND] = "SELECT " COLUMNS " FROM clip WHERE clip_id = ?1",
    [SQL_SET] = "UPDATE clip SET state = ?2, reason = ?3 WHERE clip_id = ?1",
    [SQL_SET_ASK] = "UPDATE clip SET ask = ?2 WHERE clip_id = ?1",
    [SQL_SET_GONE] = "UPDATE clip SET on_disk = 0 WHERE clip_id = ?1",
    [SQL_COUNT] = "SELECT state, count(*) FROM clip GROUP BY state",
    [SQL_SEQUENCE] = "SELECT seq FROM sqlite_sequence WHERE name = 'clip'",
    [SQL_GONE_COUNT] = "SELECT state, count FROM gone",
    [SQL_SEND] = "SELECT " COLUMNS " FROM clip WHERE state IN (1, 2) AND (rank, age) > (?1, ?2)"
                 " ORDER BY rank, age LIMIT 1",
    [SQL_ASK] = "SELECT " COLUMNS " FROM clip WHERE state = 3 AND (rank, age) > (?1, ?2) "
                "ORDER BY rank, age LIMIT 1",
    [SQL_EVICT] = "SELECT " COLUMNS ", " EVICT_RANK " AS worth FROM clip WHERE on_disk = 1 AND "
                  "state < 7 AND (" EVICT_RANK ", age) > (?1, ?2) ORDER BY worth, age LIMIT 1",
    [SQL_DISK] = "SELECT " COLUMNS " FROM clip WHERE on_disk = 1 AND age > ?2 ORDER BY age LIMIT 1",
    [SQL_ALL] = "SELECT " COLUMNS " FROM clip WHERE age > ?2 ORDER BY age LIMIT 1",
    [SQL_ADD_ARTIFACT] = "INSERT OR IGNORE INTO artifact VALUES (?1, 0)",
    [SQL_SENT_ARTIFACT] = "INSERT OR REPLACE INTO artifact VALUES (?1, 1)",
    [SQL_IS_SENT] = "SELECT sent FROM artifact WHERE sha256 = ?1",
    [SQL_SET_OFFSET] = "INSERT OR REPLACE INTO receipts VALUES (?1, ?2)",
    [SQL_GET_OFFSET] = "SELECT next FROM receipts WHERE partition = ?1",
    [SQL_SET_NUMBER] = "INSERT OR REPLACE INTO number VALUES (?1, ?2)",
    [SQL_GET_NUMBER] = "SELECT value FROM number WHERE name = ?1",
    [SQL_ROWS_GONE] = "SELECT count(*) FROM clip WHERE on_disk = 0 AND state IN " NO_MORE,
    [SQL_TRIM_COUNT] = "INSERT INTO gone SELECT state, count(*) FROM (SELECT state FROM clip WHERE "
                       "on_disk = 0 AND state IN " NO_MORE " ORDER BY age LIMIT ?1) WHERE true "
                       "GROUP BY state ON CONFLICT (state) DO UPDATE SET count = count + "
                       "excluded.count",
    [SQL_TRIM] = "DELETE FROM clip WHERE age IN (SELECT age FROM clip WHERE on_disk = 0 AND state "
                 "IN " NO_MORE " ORDER BY age LIMIT ?1)",
};

struct outbox {
    struct db *db;
    struct db_statement *statements[SQL_END];
};

/* ---- States ---- */

static const uint16_t arrows[OUTBOX_STATE_END] = {
#define OUT (STATE_BIT(OUTBOX_PARKED) | STATE_BIT(OUTBOX_EVICTED) | STATE_BIT(OUTBOX_EXPIRED) | \
             STATE_BIT(OUTBOX_ERASED))
    /* A receipt may come before the report was written down: a crash lost that commit. */
    [OUTBOX_SEALED] = STATE_BIT(OUTBOX_SENT) | STATE_BIT(OUTBOX_RECEIPTED) | OUT,
    [OUTBOX_SENT] = STATE_BIT(OUTBOX_ACKED) | STATE_BIT(OUTBOX_RECEIPTED) | OUT,
    /* DELETABLE without a receipt is the policy broker_ack. */
    [OUTBOX_ACKED] = STATE_BIT(OUTBOX_RECEIPTED) | STATE_BIT(OUTBOX_DELETABLE) | OUT,
    [OUTBOX_RECEIPTED] = STATE_BIT(OUTBOX_DELETABLE),
    [OUTBOX_DELETABLE] = 0,
    [OUTBOX_PARKED] = STATE_BIT(OUTBOX_SEALED) | STATE_BIT(OUTBOX_EVICTED) |
                      STATE_BIT(OUTBOX_EXPIRED) | STATE_BIT(OUTBOX_ERASED),
#undef OUT
};

const char *outbox_state_name(enum outbox_state state)
{
    static const char *const names[OUTBOX_STATE_END] = {
        "",       "sealed",  "sent",    "broker-acked", "receipted",
        "deletable", "parked", "evicted", "expired",      "erased"
    };
    return state >= OUTBOX_SEALED && state < OUTBOX_STATE_END ? names[state] : "unknown";
}

bool outbox_may(enum outbox_state from, enum outbox_state to)
{
    return from < OUTBOX_STATE_END && to < OUTBOX_STATE_END && (arrows[from] & STATE_BIT(to));
}

/* ---- Life cycle ---- */

int outbox_open(struct db *db, struct outbox **ret_outbox)
{
    struct outbox *outbox = calloc(1, sizeof *outbox);
    if (!outbox)
        return -ENOMEM;
    outbox->db = db;
    int rc = 0;
    for (int i = 0; !rc && i < SQL_END; i++)
        rc = db_prepare(db, sqls[i], &outbox->statements[i]);
    if (rc) {
        outbox_close(outbox);
        return rc;
    }
    *ret_outbox = outbox;
    return 0;
}

void outbox_close(struct outbox *outbox)
{
    if (!outbox)
        return;
    for (int i = 0; i < SQL_END; i++)
        db_finalize(outbox->statements[i]);
    free(outbox);
}

/* ---- Rows ---- */

static void store_file(uint8_t *p, const struct wire_segment *segment)
{
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (uint8_t)(segment->bytes >> 8 * i);
        p[4 + i] = (uint8_t)(segment->chunk_bytes >> 8 * i);
    }
    memcpy(p + 8, segment->sha256, SHA256_BYTES);
}

static void load_file(const uint8_t *p, struct wire_segment *segment)
{
    segment->bytes = segment->chunk_bytes = 0;
    for (unsigned i = 0; i < 4; i++) {
        segment->bytes |= (uint32_t)p[i] << 8 * i;
        segment->chunk_bytes |= (uint32_t)p[4 + i] << 8 * i;
    }
    memcpy(segment->sha256, p + 8, SHA256_BYTES);
}

static void copy_text(struct db_statement *row, int column, char *to, size_t size)
{
    (void)snprintf(to, size, "%s", db_column_text(row, column));
}

/* A row that this build did not write as it stands is corrupt, whatever SQLite says. */
static int load_row(struct db_statement *row, struct outbox_clip *clip)
{
    struct wire_about *about = &clip->final.about;
    size_t size;

    memset(clip, 0, sizeof *clip);
    if (db_column_copy(row, 0, about->clip_id, CLIP_ID_BYTES) ||
        db_column_copy(row, 7, about->session_id, sizeof about->session_id))
        return -EBADMSG;
    clip->state = (enum outbox_state)db_column_i64(row, 1);
    about->priority = (uint8_t)-db_column_i64(row, 2);
    about->segments = (uint8_t)db_column_i64(row, 3);
    clip->sealed = (uint8_t)db_column_i64(row, 4);
    clip->on_disk = db_column_i64(row, 5) != 0;
    clip->ask = (uint32_t)db_column_i64(row, 6);
    about->ordinal = (uint64_t)db_column_i64(row, 8);
    about->start_ns = db_column_i64(row, 9);
    about->end_ns = db_column_i64(row, 10);
    about->utc_ns = db_column_i64(row, 11);
    copy_text(row, 12, about->pseudonym, sizeof about->pseudonym);
    copy_text(row, 13, about->rule, sizeof about->rule);
    const uint8_t *files = db_column_blob(row, 14, &size);
    if (clip->sealed < 1 || clip->sealed > SEGMENTS_MAX || about->segments > SEGMENTS_MAX ||
        size != (size_t)clip->sealed * FILE_RECORD_BYTES)
        return -EBADMSG;
    for (unsigned i = 0; i < clip->sealed; i++)
        load_file(files + i * FILE_RECORD_BYTES, &clip->final.segments[i]);
    const uint8_t *artifacts = db_column_blob(row, 15, &size);
    if (size % SHA256_BYTES || size / SHA256_BYTES > JOB_ARTIFACTS_MAX)
        return -EBADMSG;
    clip->artifact_count = (uint8_t)(size / SHA256_BYTES);
    if (size)
        memcpy(clip->artifacts, artifacts, size);
    copy_text(row, 16, clip->reason, sizeof clip->reason);
    clip->age = (uint64_t)db_column_i64(row, 17);
    return clip->state >= OUTBOX_SEALED && clip->state < OUTBOX_STATE_END ? 0 : -EBADMSG;
}

/* Steps once, loads, resets: 1, 0 or an error. */
static int one_row(struct db_statement *row, struct outbox_clip *ret_clip)
{
    int rc = db_step(row);
    if (rc != 1)
        return rc;
    struct outbox_clip clip;
    rc = load_row(row, &clip);
    db_reset(row);
    if (rc)
        return rc;
    *ret_clip = clip;
    return 1;
}

int outbox_find(struct outbox *outbox, const uint8_t clip_id[CLIP_ID_BYTES],
                struct outbox_clip *ret_clip)
{
    struct db_statement *find = outbox->statements[SQL_FIND];

    db_bind_blob(find, 1, clip_id, CLIP_ID_BYTES);
    return one_row(find, ret_clip);
}

static int insert(struct outbox *outbox, const struct wire_about *about,
                  const struct wire_segment *segment, const uint8_t artifacts[][SHA256_BYTES],
                  uint32_t artifact_count)
{
    struct db_statement *s = outbox->statements[SQL_INSERT];
    uint8_t file[FILE_RECORD_BYTES];

    store_file(file, segment);
    db_bind_blob(s, 1, about->clip_id, CLIP_ID_BYTES);
    db_bind_i64(s, 2, -(int64_t)about->priority);
    db_bind_i64(s, 3, about->segments);
    db_bind_blob(s, 4, about->session_id, sizeof about->session_id);
    db_bind_i64(s, 5, (int64_t)about->ordinal);
    db_bind_i64(s, 6, about->start_ns);
    db_bind_i64(s, 7, about->end_ns);
    db_bind_i64(s, 8, about->utc_ns);
    db_bind_text(s, 9, about->pseudonym);
    db_bind_text(s, 10, about->rule);
    db_bind_blob(s, 11, file, sizeof file);
    db_bind_blob(s, 12, artifacts, (size_t)artifact_count * SHA256_BYTES);
    return db_run(s);
}

static int add_segment(struct outbox *outbox, const struct outbox_clip *clip,
                       const struct wire_about *about, const struct wire_segment *segment)
{
    struct db_statement *s = outbox->statements[SQL_ADD_SEGMENT];
    uint8_t files[SEGMENTS_MAX * FILE_RECORD_BYTES];

    for (unsigned i = 0; i < clip->sealed; i++)
        store_file(files + i * FILE_RECORD_BYTES, &clip->final.segments[i]);
    store_file(files + clip->sealed * FILE_RECORD_BYTES, segment);
    db_bind_blob(s, 1, about->clip_id, CLIP_ID_BYTES);
    db_bind_i64(s, 2, about->end_ns);
    db_bind_blob(s, 3, files, (clip->sealed + 1u) * FILE_RECORD_BYTES);
    return db_run(s);
}

int outbox_add(struct outbox *outbox, const struct wire_about *about, unsigned index,
               const struct wire_segment *segment,
               const uint8_t artifacts[][SHA256_BYTES], uint32_t artifact_count)
{
    struct outbox_clip clip = { 0 };

    if (artifact_count > JOB_ARTIFACTS_MAX)
        return -ERANGE;
    int rc = outbox_find(outbox, about->clip_id, &clip);
    if (rc < 0)
        return rc;
    unsigned have = rc == 1 ? clip.sealed : 0;
    if (index < have)
        return -EEXIST;
    if (index != have || index >= about->segments)
        return -EINVAL; /* segments are sealed in order */
    return have ? add_segment(outbox, &clip, about, segment)
                : insert(outbox, about, segment, artifacts, artifact_count);
}

int outbox_set(struct outbox *outbox, const uint8_t clip_id[CLIP_ID_BYTES], enum outbox_state to,
               const char *reason)
{
    struct db_statement *s = outbox->statements[SQL_SET];
    struct outbox_clip clip = { 0 };
    char text[OUTBOX_REASON_MAX];

    int rc = outbox_find(outbox, clip_id, &clip);
    if (rc <= 0)
        return rc ? rc : -ENOENT;
    if (clip.state == to)
        return -EALREADY;
    if (!outbox_may(clip.state, to))
        return -EPERM;
    (void)snprintf(text, sizeof text, "%s", reason ? reason : "");
    db_bind_blob(s, 1, clip_id, CLIP_ID_BYTES);
    db_bind_i64(s, 2, to);
    db_bind_text(s, 3, text);
    return db_run(s);
}

int outbox_set_ask(struct outbox *outbox, const uint8_t clip_id[CLIP_ID_BYTES], uint32_t ask)
{
    struct db_statement *s = outbox->statements[SQL_SET_ASK];

    db_bind_blob(s, 1, clip_id, CLIP_ID_BYTES);
    db_bind_i64(s, 2, ask);
    return db_run(s);
}

int outbox_set_gone(struct outbox *outbox, const uint8_t clip_id[CLIP_ID_BYTES])
{
    struct db_statement *s = outbox->statements[SQL_SET_GONE];

    db_bind_blob(s, 1, clip_id, CLIP_ID_BYTES);
    return db_run(s);
}

/* ---- Walking ---- */

int outbox_next(struct outbox *outbox, enum outbox_order order, struct outbox_cursor *cursor,
                struct outbox_clip *ret_clip)
{
    static const enum sql walks[] = { [OUTBOX_TO_SEND] = SQL_SEND, [OUTBOX_TO_ASK] = SQL_ASK,
                                      [OUTBOX_TO_EVICT] = SQL_EVICT, [OUTBOX_ON_DISK] = SQL_DISK,
                                      [OUTBOX_ALL] = SQL_ALL };
    struct db_statement *walk = outbox->statements[walks[order]];
    bool first = cursor->age == 0;

    if (order != OUTBOX_ON_DISK && order != OUTBOX_ALL)
        db_bind_i64(walk, 1, first ? INT64_MIN : cursor->rank);
    db_bind_i64(walk, 2, (int64_t)cursor->age);
    int rc = one_row(walk, ret_clip);
    if (rc != 1)
        return rc;
    int priority = ret_clip->final.about.priority;
    cursor->age = ret_clip->age;
    cursor->rank = -priority;
    if (order == OUTBOX_TO_EVICT) /* the same number as EVICT_RANK */
        cursor->rank = priority + (ret_clip->state == OUTBOX_DELETABLE ||
                                           ret_clip->state == OUTBOX_RECEIPTED
                                       ? 0
                                   : ret_clip->state == OUTBOX_ACKED ? 100
                                                                     : 200);
    return 1;
}

/* ---- Books ---- */

static int add_counts(struct db_statement *s, uint64_t counts[OUTBOX_STATE_END])
{
    int rc;

    while ((rc = db_step(s)) == 1) {
        int64_t state = db_column_i64(s, 0);
        if (state < OUTBOX_SEALED || state >= OUTBOX_STATE_END) {
            db_reset(s);
            return -EBADMSG;
        }
        counts[state] += (uint64_t)db_column_i64(s, 1);
    }
    return rc;
}

static int one_number(struct db_statement *s, int64_t *ret_value)
{
    int rc = db_step(s);
    if (rc != 1)
        return rc;
    *ret_value = db_column_i64(s, 0);
    db_reset(s);
    return 1;
}

int outbox_books(struct outbox *outbox, struct outbox_books *ret_books)
{
    struct outbox_books books = { 0 };
    uint64_t all[OUTBOX_STATE_END];
    int64_t sequence = 0;

    int rc = add_counts(outbox->statements[SQL_COUNT], books.by_state);
    memcpy(all, books.by_state, sizeof all);
    if (!rc)
        rc = add_counts(outbox->statements[SQL_GONE_COUNT], all);
    if (!rc)
        rc = one_number(outbox->statements[SQL_SEQUENCE], &sequence);
    if (rc < 0)
        return rc;
    books.sealed = (uint64_t)sequence;
    books.delivered = all[OUTBOX_RECEIPTED] + all[OUTBOX_DELETABLE];
    books.pending = all[OUTBOX_SEALED] + all[OUTBOX_SENT] + all[OUTBOX_ACKED];
    books.parked = all[OUTBOX_PARKED];
    books.evicted = all[OUTBOX_EVICTED];
    books.expired = all[OUTBOX_EXPIRED];
    books.erased = all[OUTBOX_ERASED];
    *ret_books = books;
    return 0;
}

bool outbox_books_close(const struct outbox_books *books)
{
    return books->sealed == books->delivered + books->pending + books->parked + books->evicted +
                                books->expired + books->erased;
}

int outbox_trim(struct outbox *outbox, uint32_t rows_max)
{
    int64_t rows = 0;

    int rc = one_number(outbox->statements[SQL_ROWS_GONE], &rows);
    if (rc < 0 || rows <= rows_max)
        return rc < 0 ? rc : 0;
    db_bind_i64(outbox->statements[SQL_TRIM_COUNT], 1, rows - rows_max);
    rc = db_run(outbox->statements[SQL_TRIM_COUNT]);
    if (rc)
        return rc;
    db_bind_i64(outbox->statements[SQL_TRIM], 1, rows - rows_max);
    return db_run(outbox->statements[SQL_TRIM]);
}

/* ---- Artifacts, offsets, numbers ---- */

int outbox_add_artifact(struct outbox *outbox, const uint8_t sha256[SHA256_BYTES])
{
    db_bind_blob(outbox->statements[SQL_ADD_ARTIFACT], 1, sha256, SHA256_BYTES);
    return db_run(outbox->statements[SQL_ADD_ARTIFACT]);
}

int outbox_artifact_sent(struct outbox *outbox, const uint8_t sha256[SHA256_BYTES])
{
    db_bind_blob(outbox->statements[SQL_SENT_ARTIFACT], 1, sha256, SHA256_BYTES);
    return db_run(outbox->statements[SQL_SENT_ARTIFACT]);
}

int outbox_is_artifact_sent(struct outbox *outbox, const uint8_t sha256[SHA256_BYTES])
{
    int64_t sent = 0;

    db_bind_blob(outbox->statements[SQL_IS_SENT], 1, sha256, SHA256_BYTES);
    int rc = one_number(outbox->statements[SQL_IS_SENT], &sent);
    return rc < 0 ? rc : sent == 1;
}

int outbox_set_offset(struct outbox *outbox, int32_t partition, int64_t offset)
{
    db_bind_i64(outbox->statements[SQL_SET_OFFSET], 1, partition);
    db_bind_i64(outbox->statements[SQL_SET_OFFSET], 2, offset);
    return db_run(outbox->statements[SQL_SET_OFFSET]);
}

int outbox_get_offset(struct outbox *outbox, int32_t partition, int64_t *ret_offset)
{
    db_bind_i64(outbox->statements[SQL_GET_OFFSET], 1, partition);
    return one_number(outbox->statements[SQL_GET_OFFSET], ret_offset);
}

int outbox_set_number(struct outbox *outbox, const char *name, int64_t value)
{
    db_bind_text(outbox->statements[SQL_SET_NUMBER], 1, name);
    db_bind_i64(outbox->statements[SQL_SET_NUMBER], 2, value);
    return db_run(outbox->statements[SQL_SET_NUMBER]);
}

int outbox_get_number(struct outbox *outbox, const char *name, int64_t *ret_value)
{
    db_bind_text(outbox->statements[SQL_GET_NUMBER], 1, name);
    return one_number(outbox->statements[SQL_GET_NUMBER], ret_value);
}
