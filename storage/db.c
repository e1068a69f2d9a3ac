#include "storage/db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Invariants: 1. One connection a file. 2. The file under `path` was complete and in WAL mode
 * before it got that name, so no rollback journal can ever come back as a hot one. */
struct db {
    sqlite3 *sqlite;
    char path[DB_PATH_MAX], vfs[32];
    char reason[256];
    int64_t wal_bytes, page_bytes;
};

struct db_statement {
    sqlite3_stmt *sqlite;
    struct db *db;
};

#define PAGE_BYTES 4096u
#define SUFFIX_ROOM 32 /* for "-wal", ".new", ".quarantine-8" */

/* Primary result code to errno; what a caller can act on is told apart, the rest is our bug. */
static int errno_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK: case SQLITE_ROW: case SQLITE_DONE: return 0;
    case SQLITE_CORRUPT: case SQLITE_NOTADB: case SQLITE_FORMAT: return -EBADMSG;
    case SQLITE_FULL: return -ENOSPC;
    case SQLITE_READONLY: return -EROFS;
    case SQLITE_PERM: case SQLITE_AUTH: return -EACCES;
    case SQLITE_BUSY: case SQLITE_LOCKED: return -EBUSY;
    case SQLITE_CONSTRAINT: return -EEXIST;
    case SQLITE_NOMEM: return -ENOMEM;
    case SQLITE_IOERR: case SQLITE_CANTOPEN: case SQLITE_PROTOCOL: return -EIO;
    default: return -EINVAL;
    }
}

static int fail(struct db *db, int rc)
{
    if (errno_of(rc))
        (void)snprintf(db->reason, sizeof db->reason, "%s",
                       db->sqlite ? sqlite3_errmsg(db->sqlite) : sqlite3_errstr(rc));
    return errno_of(rc);
}

const char *db_reason(const struct db *db) { return db->reason; }

int db_exec(struct db *db, const char *sql)
{
    return fail(db, sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL));
}

int db_query_i64(struct db *db, const char *sql, int64_t *ret_value)
{
    struct db_statement *statement;
    int rc = db_prepare(db, sql, &statement);
    if (rc)
        return rc;
    int64_t value = 0;
    rc = db_step(statement);
    if (rc == 1) {
        value = db_column_i64(statement, 0);
        db_reset(statement);
        rc = 0;
    }
    db_finalize(statement);
    if (!rc)
        *ret_value = value;
    return rc;
}

static int note_wal(void *context, sqlite3 *sqlite, const char *name, int pages)
{
    struct db *db = context;

    (void)sqlite;
    (void)name;
    db->wal_bytes = (int64_t)pages * db->page_bytes;
    return SQLITE_OK;
}

/* ---- Files beside SQLite: through its VFS, so that tests can break these steps too ---- */

static sqlite3_vfs *vfs_of(const struct db_config *config)
{
    return sqlite3_vfs_find(config->vfs);
}

static bool exists(sqlite3_vfs *vfs, const char *path)
{
    int found = 0;
    return vfs->xAccess(vfs, path, SQLITE_ACCESS_EXISTS, &found) == SQLITE_OK && found;
}

/* SQLite's VFS has no rename; tests with a VFS of their own give one as "rename" of xDlSym. */
static int rename_file(sqlite3_vfs *vfs, const char *from, const char *to)
{
    if (vfs == sqlite3_vfs_find(NULL))
        return rename(from, to) == 0 ? 0 : -errno;
    void (*symbol)(void) = vfs->xDlSym(vfs, vfs, "rename");
    assert(symbol);
    return ((int (*)(sqlite3_vfs *, const char *, const char *))(void *)symbol)(vfs, from, to);
}

static int sync_dir_of(sqlite3_vfs *vfs, const char *path)
{
    if (vfs != sqlite3_vfs_find(NULL)) {
        void (*symbol)(void) = vfs->xDlSym(vfs, vfs, "sync_dir");
        assert(symbol);
        return ((int (*)(sqlite3_vfs *, const char *))(void *)symbol)(vfs, path);
    }
    char copy[DB_PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) == 0 ? 0 : -errno;
    (void)close(fd);
    return rc;
}

static void remove_with_journals(sqlite3_vfs *vfs, const char *path)
{
    static const char *const suffixes[] = { "-wal", "-journal", "-shm", "" };
    char name[DB_PATH_MAX + SUFFIX_ROOM];

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        if (exists(vfs, name))
            (void)vfs->xDelete(vfs, name, 0);
    }
}

/* ---- Opening ---- */

static int open_sqlite(struct db *db, const struct db_config *config, const char *path, int flags)
{
    int rc = sqlite3_open_v2(path, &db->sqlite, flags, config->vfs);
    if (rc) {
        rc = fail(db, rc);
        (void)sqlite3_close(db->sqlite);
        db->sqlite = NULL;
        return rc;
    }
    (void)sqlite3_extended_result_codes(db->sqlite, 1);
    /* Exclusive before the first read: then WAL keeps its index on the heap, without -shm. */
    return db_exec(db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA temp_store=MEMORY;"
                       "PRAGMA mmap_size=0; PRAGMA foreign_keys=ON; PRAGMA cache_size=-1024;"
                       "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;");
}

static void close_sqlite(struct db *db)
{
    (void)sqlite3_close(db->sqlite);
    db->sqlite = NULL;
}

static int set_durability(struct db *db, const struct db_config *config)
{
    int rc = db_exec(db, "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
                         "PRAGMA journal_size_limit=0;");
    if (!rc)
        rc = db_exec(db, config->relaxed ? "PRAGMA synchronous=OFF" : "PRAGMA synchronous=FULL");
    (void)sqlite3_wal_hook(db->sqlite, note_wal, db);
    return rc;
}

static int build(struct db *db, const struct db_config *config, const char *path)
{
    char sql[128];

    (void)snprintf(sql, sizeof sql, "PRAGMA page_size=%u; PRAGMA auto_vacuum=INCREMENTAL",
                   config->page_bytes ? config->page_bytes : PAGE_BYTES);
    int rc = open_sqlite(db, config, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (!rc)
        rc = db_exec(db, sql);
    if (!rc)
        rc = set_durability(db, config);
    if (!rc)
        rc = db_begin(db);
    if (!rc)
        rc = db_exec(db, config->schema);
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%u",
                   (int)config->application_id, config->version);
    if (!rc)
        rc = db_exec(db, sql);
    if (!rc)
        rc = db_commit(db);
    if (!rc)
        rc = db_checkpoint(db);
    if (db->sqlite)
        close_sqlite(db); /* the last connection empties and removes the WAL */
    return rc;
}

/* A new file gets its name only when it is whole, synced and in WAL mode: power lost before leaves
 * a ".new" file that the next start removes (reliability.md, M5). */
static int create(struct db *db, const struct db_config *config, struct err *err)
{
    sqlite3_vfs *vfs = vfs_of(config);
    char path[DB_PATH_MAX + SUFFIX_ROOM];

    (void)snprintf(path, sizeof path, "%s.new", config->path);
    remove_with_journals(vfs, path);
    int rc = build(db, config, path);
    remove_with_journals(vfs, config->path); /* else SQLite would replay a stray WAL into it */
    if (!rc)
        rc = rename_file(vfs, path, config->path);
    if (!rc)
        rc = sync_dir_of(vfs, config->path);
    if (rc)
        return err_at(err, rc, config->path, 0, 0, "cannot make the database: %s",
                      db->reason[0] ? db->reason : strerror(-rc));
    return 0;
}

/* The file first, then its journal, which is evidence too: without its WAL a file may look whole and
 * be old. A journal left behind by a crash in between is removed by create(). */
static int quarantine(struct db *db, const struct db_config *config, struct err *err)
{
    static const char *const suffixes[] = { "", "-wal" };
    sqlite3_vfs *vfs = vfs_of(config);
    char from[DB_PATH_MAX + SUFFIX_ROOM], to[DB_PATH_MAX + SUFFIX_ROOM];
    unsigned n = 1;

    for (; n < DB_QUARANTINE_MAX; n++) {
        (void)snprintf(to, sizeof to, "%s.quarantine-%u", config->path, n);
        if (!exists(vfs, to))
            break;
    }
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        (void)snprintf(from, sizeof from, "%s%s", config->path, suffixes[i]);
        (void)snprintf(to, sizeof to, "%s.quarantine-%u%s", config->path, n, suffixes[i]);
        int rc = exists(vfs, from) ? rename_file(vfs, from, to) : 0;
        if (rc)
            return err_at(err, rc, config->path, 0, 0, "cannot move the broken database aside: %s",
                          strerror(-rc));
    }
    db->reason[0] = '\0';
    return sync_dir_of(vfs, config->path);
}

/* 0; -EBADMSG when the file is broken or not ours; -ENOTSUP when it is of a later version. */
static int judge(struct db *db, const struct db_config *config, struct err *err)
{
    int64_t id = 0, version = 0;

    int rc = db_query_i64(db, "PRAGMA application_id", &id);
    if (!rc)
        rc = db_query_i64(db, "PRAGMA page_size", &db->page_bytes);
    if (!rc)
        rc = db_query_i64(db, "PRAGMA user_version", &version);
    if (!rc)
        rc = set_durability(db, config);
    if (rc)
        return err_at(err, rc, config->path, 0, 0, "cannot open the database: %s", db->reason);
    if ((uint32_t)id != config->application_id)
        return err_at(err, -EBADMSG, config->path, 0, 0,
                      "application id: found %u, expected %u", (unsigned)id,
                      config->application_id);
    if (version > config->version)
        return err_at(err, -ENOTSUP, config->path, 0, 0,
                      "schema version: found %lld, this build knows %u; start the later build, or "
                      "move the file away to rebuild it", (long long)version, config->version);
    if (version != config->version)
        return err_at(err, -EBADMSG, config->path, 0, 0, "schema version: found %lld, expected %u",
                      (long long)version, config->version);
    return db_check(db, err);
}

static int open_existing(struct db *db, const struct db_config *config, struct err *err)
{
    int rc = open_sqlite(db, config, config->path, SQLITE_OPEN_READWRITE);
    if (rc)
        (void)err_at(err, rc, config->path, 0, 0, "cannot open the database: %s", db->reason);
    else
        rc = judge(db, config, err);
    if (rc && db->sqlite)
        close_sqlite(db);
    return rc;
}

static int open_or_make(struct db *db, const struct db_config *config, struct err *err,
                        enum db_how *how)
{
    *how = DB_FOUND;
    if (exists(vfs_of(config), config->path)) {
        int rc = open_existing(db, config, err);
        if (rc != -EBADMSG || config->relaxed)
            return rc;
        rc = quarantine(db, config, err);
        if (rc)
            return rc;
        *how = DB_QUARANTINED;
    } else {
        *how = DB_CREATED;
    }
    int rc = create(db, config, err);
    return rc ? rc : open_existing(db, config, err);
}

int db_open(const struct db_config *config, struct err *err, struct db **ret_db,
            enum db_how *ret_how)
{
    if (strlen(config->path) >= DB_PATH_MAX)
        return err_plain(err, -EINVAL, "database path: longer than %d bytes", DB_PATH_MAX - 1);
    struct db *db = calloc(1, sizeof *db);
    if (!db)
        return err_plain(err, -ENOMEM, "no memory for a database");
    (void)snprintf(db->path, sizeof db->path, "%s", config->path);
    enum db_how how;
    int rc = open_or_make(db, config, err, &how);
    if (rc) {
        db_close(db);
        return rc;
    }
    *ret_db = db;
    *ret_how = how;
    return 0;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    if (db->sqlite) {
        (void)db_checkpoint(db);
        close_sqlite(db);
    }
    free(db);
}

int db_check(struct db *db, struct err *err)
{
    struct db_statement *statement;
    int rc = db_prepare(db, "PRAGMA quick_check(1)", &statement);
    if (rc)
        return err_at(err, rc, db->path, 0, 0, "cannot check the database: %s", db->reason);
    rc = db_step(statement);
    if (rc == 1) {
        const char *text = db_column_text(statement, 0);
        rc = strcmp(text, "ok") == 0 ? 0 : err_at(err, -EBADMSG, db->path, 0, 0, "%s", text);
        db_reset(statement);
    } else if (rc) {
        rc = err_at(err, rc, db->path, 0, 0, "cannot check the database: %s", db->reason);
    }
    db_finalize(statement);
    return rc;
}

int db_begin(struct db *db) { return db_exec(db, "BEGIN IMMEDIATE"); }

int db_commit(struct db *db)
{
    int rc = db_exec(db, "COMMIT");
    if (rc)
        db_rollback(db);
    return rc;
}

void db_rollback(struct db *db)
{
    if (db_in_transaction(db))
        (void)sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL); /* the reason is kept */
}

bool db_in_transaction(const struct db *db) { return !sqlite3_get_autocommit(db->sqlite); }

int db_checkpoint(struct db *db)
{
    int rc = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (!rc)
        db->wal_bytes = 0;
    return fail(db, rc);
}

int64_t db_wal_bytes(const struct db *db) { return db->wal_bytes; }

int64_t db_changes(const struct db *db) { return sqlite3_changes64(db->sqlite); }

/* ---- Statements ---- */

int db_prepare(struct db *db, const char *sql, struct db_statement **ret_statement)
{
    struct db_statement *statement = calloc(1, sizeof *statement);
    if (!statement)
        return -ENOMEM;
    statement->db = db;
    int rc = sqlite3_prepare_v3(db->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement->sqlite,
                                NULL);
    if (rc) {
        free(statement);
        return fail(db, rc);
    }
    *ret_statement = statement;
    return 0;
}

void db_finalize(struct db_statement *statement)
{
    if (!statement)
        return;
    (void)sqlite3_finalize(statement->sqlite);
    free(statement);
}

/* Binding fails only for an index that the SQL does not have or for want of memory; a missing
 * value becomes NULL, which the NOT NULL columns then refuse. */
static void bound(struct db_statement *statement, int rc)
{
    assert(rc != SQLITE_RANGE && rc != SQLITE_MISUSE);
    (void)fail(statement->db, rc);
}

void db_bind_i64(struct db_statement *statement, int index, int64_t value)
{
    bound(statement, sqlite3_bind_int64(statement->sqlite, index, value));
}

void db_bind_text(struct db_statement *statement, int index, const char *text)
{
    bound(statement, sqlite3_bind_text(statement->sqlite, index, text, -1, SQLITE_TRANSIENT));
}

void db_bind_blob(struct db_statement *statement, int index, const void *bytes, size_t size)
{
    if (size == 0)
        bound(statement, sqlite3_bind_zeroblob(statement->sqlite, index, 0));
    else
        bound(statement, sqlite3_bind_blob64(statement->sqlite, index, bytes, size,
                                             SQLITE_TRANSIENT));
}

void db_bind_null(struct db_statement *statement, int index)
{
    bound(statement, sqlite3_bind_null(statement->sqlite, index));
}

int db_step(struct db_statement *statement)
{
    int rc = sqlite3_step(statement->sqlite);
    if (rc == SQLITE_ROW)
        return 1;
    int failure = fail(statement->db, rc);
    db_reset(statement);
    return failure;
}

int db_run(struct db_statement *statement)
{
    int rc;

    while ((rc = db_step(statement)) == 1) {
    }
    return rc;
}

void db_reset(struct db_statement *statement)
{
    (void)sqlite3_reset(statement->sqlite); /* repeats the error of step, which was reported */
    (void)sqlite3_clear_bindings(statement->sqlite);
}

bool db_column_is_null(struct db_statement *statement, int column)
{
    return sqlite3_column_type(statement->sqlite, column) == SQLITE_NULL;
}

int64_t db_column_i64(struct db_statement *statement, int column)
{
    return sqlite3_column_int64(statement->sqlite, column);
}

const char *db_column_text(struct db_statement *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement->sqlite, column);
    return text ? (const char *)text : "";
}

const void *db_column_blob(struct db_statement *statement, int column, size_t *ret_size)
{
    const void *bytes = sqlite3_column_blob(statement->sqlite, column);
    *ret_size = (size_t)sqlite3_column_bytes(statement->sqlite, column);
    return bytes;
}

int db_column_copy(struct db_statement *statement, int column, void *to, size_t size)
{
    size_t found;
    const void *bytes = db_column_blob(statement, column, &found);

    if (found != size)
        return -EBADMSG;
    if (size)
        memcpy(to, bytes, size);
    return 0;
}
