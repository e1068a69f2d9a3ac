#include "tools/sink/cache.h"

#include "storage/db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHE_APPLICATION_ID 0x524c5343 /* "RLSC" */
#define CACHE_NAME_MAX 32
#define CACHE_WAL_BYTES 4194304

static const char schema[] =
    "CREATE TABLE segment (id INTEGER PRIMARY KEY AUTOINCREMENT, partition INTEGER NOT NULL,"
    " vehicle TEXT NOT NULL, clip BLOB NOT NULL, segment INTEGER NOT NULL, sha256 BLOB NOT NULL,"
    " first_offset INTEGER NOT NULL, bytes INTEGER NOT NULL, chunk_bytes INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX segment_key ON segment (partition, vehicle, clip, segment, sha256);"
    "CREATE TABLE chunk (id INTEGER NOT NULL, number INTEGER NOT NULL,"
    " PRIMARY KEY (id, number)) WITHOUT ROWID;";

enum statement { FIND_CLIP, FIND_ONE, ADD_ONE, ADD_CHUNK, CHUNKS, DROP_CHUNKS, DROP_ONE, OF_PARTITION,
                 STATEMENTS };

static const char *const sql[STATEMENTS] = {
    [FIND_CLIP] = ("SELECT id, segment, sha256, bytes, chunk_bytes FROM segment WHERE partition = ?1"
                   " AND vehicle = ?2 AND clip = ?3 ORDER BY id"),
    [FIND_ONE] = ("SELECT id FROM segment WHERE partition = ?1 AND vehicle = ?2 AND clip = ?3"
                  " AND segment = ?4 AND sha256 = ?5"),
    [ADD_ONE] = ("INSERT INTO segment (partition, vehicle, clip, segment, sha256, first_offset,"
                 " bytes, chunk_bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id"),
    [ADD_CHUNK] = "INSERT OR IGNORE INTO chunk (id, number) VALUES (?1, ?2)",
    [CHUNKS] = "SELECT number FROM chunk WHERE id = ?1",
    [DROP_CHUNKS] = "DELETE FROM chunk WHERE id = ?1",
    [DROP_ONE] = "DELETE FROM segment WHERE id = ?1",
    [OF_PARTITION] = "SELECT id FROM segment WHERE partition = ?1 AND first_offset < ?2",
};

struct cache {
    struct db *db;
    struct files *files;
    struct db_statement *statements[STATEMENTS];
    uint32_t dirty_count;
    int64_t dirty[CACHE_DIRTY_MAX]; /* ids */
};

static void file_name(int64_t id, char name[CACHE_NAME_MAX])
{
    (void)snprintf(name, CACHE_NAME_MAX, "%" PRId64 ".seg", id);
}

static int open_database(struct cache *cache, const char *path, struct err *err)
{
    const struct db_config config = { .path = path, .schema = schema,
                                      .application_id = CACHE_APPLICATION_ID, .version = 1 };
    enum db_how how;
    int rc = db_open(&config, err, &cache->db, &how);

    for (int i = 0; !rc && i < STATEMENTS; i++) {
        rc = db_prepare(cache->db, sql[i], &cache->statements[i]);
        if (rc)
            (void)err_at(err, rc, path, 0, 0, "%s", db_reason(cache->db));
    }
    return rc;
}

int cache_open(const char *path, struct err *err, struct cache **ret_cache)
{
    char folder[FILES_ROOT_MAX];
    struct cache *cache = calloc(1, sizeof *cache);

    if (!cache)
        return err_plain(err, -ENOMEM, "no memory");
    int rc = open_database(cache, path, err);
    if (!rc && (size_t)snprintf(folder, sizeof folder, "%s.d", path) >= sizeof folder)
        rc = err_at(err, -ENAMETOOLONG, path, 0, 0, "name of the cache is too long");
    if (!rc) {
        rc = files_open(folder, NULL, &cache->files);
        if (rc)
            (void)err_at(err, rc, folder, 0, 0, "cache cannot be opened: %s", strerror(-rc));
    }
    if (rc) {
        cache_close(cache);
        return rc;
    }
    *ret_cache = cache;
    return 0;
}

void cache_close(struct cache *cache)
{
    if (!cache)
        return;
    if (cache->db && cache->files)
        (void)cache_flush(cache);
    for (int i = 0; i < STATEMENTS; i++)
        db_finalize(cache->statements[i]);
    db_close(cache->db);
    files_close(cache->files);
    free(cache);
}

static int begin(struct cache *cache)
{
    return db_in_transaction(cache->db) ? 0 : db_begin(cache->db);
}

static int drop(struct cache *cache, int64_t id)
{
    char name[CACHE_NAME_MAX];
    int rc = begin(cache);

    db_bind_i64(cache->statements[DROP_CHUNKS], 1, id);
    if (!rc)
        rc = db_run(cache->statements[DROP_CHUNKS]);
    db_bind_i64(cache->statements[DROP_ONE], 1, id);
    if (!rc)
        rc = db_run(cache->statements[DROP_ONE]);
    file_name(id, name);
    int unlinked = files_unlink(cache->files, name);
    return rc ? rc : (unlinked == -ENOENT ? 0 : unlinked);
}

static int load_chunks(struct cache *cache, int64_t id, struct assembler_slot *slot)
{
    struct db_statement *s = cache->statements[CHUNKS];
    int rc;

    db_bind_i64(s, 1, id);
    while ((rc = db_step(s)) == 1) {
        int64_t number = db_column_i64(s, 0);
        if (number < 0 || number >= slot->count)
            continue;
        slot->bitmap[number / 8] |= (uint8_t)(1u << (number % 8));
        slot->held++;
    }
    return rc;
}

/* Rows whose file is gone (a crash between unlink and commit) count for nothing. */
static int load_slot(struct cache *cache, int64_t id, struct assembler_slot *slot)
{
    char name[CACHE_NAME_MAX];

    file_name(id, name);
    slot->count = (slot->bytes + slot->chunk_bytes - 1) / slot->chunk_bytes;
    slot->bitmap = calloc(1, (slot->count + 7) / 8);
    if (!slot->bitmap)
        return -ENOMEM;
    return files_exist(cache->files, name) ? load_chunks(cache, id, slot) : 0;
}

int cache_find(struct cache *cache, int32_t partition, const char *vehicle,
               const uint8_t clip_id[CLIP_ID_BYTES], struct assembler_known *ret_known)
{
    struct db_statement *s = cache->statements[FIND_CLIP];
    int64_t ids[ASSEMBLER_SLOTS_MAX];
    uint32_t count = 0;
    int rc;

    db_bind_i64(s, 1, partition);
    db_bind_text(s, 2, vehicle);
    db_bind_blob(s, 3, clip_id, CLIP_ID_BYTES);
    while ((rc = db_step(s)) == 1 && count < ASSEMBLER_SLOTS_MAX) {
        struct assembler_slot *slot = &ret_known->slots[count];
        memset(slot, 0, sizeof *slot);
        ids[count] = db_column_i64(s, 0);
        slot->segment = (uint8_t)db_column_i64(s, 1);
        slot->bytes = (uint32_t)db_column_i64(s, 3);
        slot->chunk_bytes = (uint32_t)db_column_i64(s, 4);
        if (!db_column_copy(s, 2, slot->sha256, SHA256_BYTES) && slot->chunk_bytes)
            count++;
    }
    db_reset(s);
    for (uint32_t i = 0; rc >= 0 && i < count; i++) {
        rc = load_slot(cache, ids[i], &ret_known->slots[i]);
        ret_known->slot_count = i + (rc >= 0);
    }
    return rc < 0 ? rc : 0;
}

static int find_id(struct cache *cache, const struct assembler_clip *clip,
                   const struct assembler_slot *slot, int64_t *ret_id)
{
    struct db_statement *s = cache->statements[FIND_ONE];

    db_bind_i64(s, 1, clip->partition);
    db_bind_text(s, 2, clip->vehicle);
    db_bind_blob(s, 3, clip->clip_id, CLIP_ID_BYTES);
    db_bind_i64(s, 4, slot->segment);
    db_bind_blob(s, 5, slot->sha256, SHA256_BYTES);
    int rc = db_step(s);
    if (rc == 1)
        *ret_id = db_column_i64(s, 0);
    db_reset(s);
    return rc;
}

static int add_id(struct cache *cache, const struct assembler_clip *clip,
                  const struct assembler_slot *slot, int64_t *ret_id)
{
    struct db_statement *s = cache->statements[ADD_ONE];

    db_bind_i64(s, 1, clip->partition);
    db_bind_text(s, 2, clip->vehicle);
    db_bind_blob(s, 3, clip->clip_id, CLIP_ID_BYTES);
    db_bind_i64(s, 4, slot->segment);
    db_bind_blob(s, 5, slot->sha256, SHA256_BYTES);
    db_bind_i64(s, 6, clip->first_offset);
    db_bind_i64(s, 7, slot->bytes);
    db_bind_i64(s, 8, slot->chunk_bytes);
    int rc = db_step(s);
    if (rc == 1) {
        *ret_id = db_column_i64(s, 0);
        return db_run(s);
    }
    return rc ? rc : -EIO;
}

static int mark_dirty(struct cache *cache, int64_t id)
{
    for (uint32_t i = 0; i < cache->dirty_count; i++)
        if (cache->dirty[i] == id)
            return 0;
    if (cache->dirty_count == CACHE_DIRTY_MAX) {
        int rc = cache_flush(cache);
        if (!rc)
            rc = begin(cache);
        if (rc)
            return rc;
    }
    cache->dirty[cache->dirty_count++] = id;
    return 0;
}

int cache_write(struct cache *cache, const struct assembler_clip *clip,
                const struct assembler_slot *slot, uint32_t index, const uint8_t *bytes,
                uint32_t size)
{
    char name[CACHE_NAME_MAX];
    int64_t id = 0;
    int rc = begin(cache);

    if (!rc)
        rc = find_id(cache, clip, slot, &id);
    if (!rc)
        rc = add_id(cache, clip, slot, &id);
    if (rc >= 0)
        rc = mark_dirty(cache, id);
    if (rc < 0)
        return rc;
    file_name(id, name);
    int fd = files_open_write(cache->files, name, false);
    if (fd < 0)
        return fd;
    rc = files_pwrite(cache->files, fd, name, bytes, size, (int64_t)index * slot->chunk_bytes);
    (void)close(fd);
    if (rc)
        return rc;
    db_bind_i64(cache->statements[ADD_CHUNK], 1, id);
    db_bind_i64(cache->statements[ADD_CHUNK], 2, index);
    return db_run(cache->statements[ADD_CHUNK]);
}

int cache_read(struct cache *cache, const struct assembler_clip *clip,
               const struct assembler_slot *slot)
{
    char name[CACHE_NAME_MAX];
    off_t size;
    int64_t id = 0;
    int rc = find_id(cache, clip, slot, &id);

    if (rc <= 0)
        return rc ? rc : -ENOENT;
    file_name(id, name);
    return files_open_read(cache->files, name, &size);
}

int cache_flush(struct cache *cache)
{
    char name[CACHE_NAME_MAX];

    if (!db_in_transaction(cache->db))
        return 0;
    while (cache->dirty_count) {
        file_name(cache->dirty[cache->dirty_count - 1], name);
        int rc = files_sync(cache->files, name);
        if (rc && rc != -ENOENT) /* forgotten since */
            return rc;
        cache->dirty_count--;
    }
    int rc = db_commit(cache->db);
    if (!rc && db_wal_bytes(cache->db) > CACHE_WAL_BYTES)
        rc = db_checkpoint(cache->db);
    return rc;
}

int cache_forget(struct cache *cache, const struct assembler_clip *clip)
{
    int rc = 0;

    for (uint32_t i = 0; i < clip->slot_count; i++) {
        int64_t id;
        int found = find_id(cache, clip, &clip->slots[i], &id);
        if (found == 1)
            found = drop(cache, id);
        if (found < 0)
            rc = found;
    }
    return rc;
}

int cache_purge(struct cache *cache, int32_t partition, int64_t committed)
{
    struct db_statement *s = cache->statements[OF_PARTITION];
    int count = 0;

    for (;;) { /* one a turn: a statement must not run while its table changes under it */
        db_bind_i64(s, 1, partition);
        db_bind_i64(s, 2, committed);
        int rc = db_step(s);
        int64_t id = rc == 1 ? db_column_i64(s, 0) : 0;
        db_reset(s);
        if (rc == 1)
            rc = drop(cache, id);
        else
            return rc ? rc : count;
        if (rc)
            return rc;
        count++;
    }
}

int cache_revoke(struct cache *cache, int32_t partition)
{
    int rc = cache_purge(cache, partition, INT64_MAX);

    return rc < 0 ? rc : cache_flush(cache);
}

int64_t cache_segments(struct cache *cache)
{
    int64_t count = 0;

    (void)db_query_i64(cache->db, "SELECT count(*) FROM segment", &count);
    return count;
}
