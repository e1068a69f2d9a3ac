/* db - the only file that includes SQLite: outbox in the car, cache and catalogue at the sink.
 * One connection, one thread, one process a file (SQLite's WAL-reset race up to 3.51.2 needs two).
 * WAL, synchronous=FULL, locking_mode=EXCLUSIVE: a commit that returned is durable.
 * First creation is safe against power loss: built under a temporary name, closed, synced, renamed.
 * A file that is corrupt or foreign is moved aside ("<path>.quarantine-<n>") and made anew, so the
 * caller must be able to rebuild what it held. Handle; the caller is its only thread. */
#ifndef STORAGE_DB_H
#define STORAGE_DB_H
#include "proto/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DB_PATH_MAX 512
#define DB_QUARANTINE_MAX 8 /* files kept aside; beyond, the last one is replaced */

struct db;
struct db_statement;

struct db_config {
    const char *path;
    const char *schema;      /* SQL that makes version `version` in an empty file */
    uint32_t application_id; /* PRAGMA application_id: a foreign database is refused */
    uint32_t version;        /* PRAGMA user_version, from 1 */
    uint32_t page_bytes;     /* of a new file; 0: 4096. Small pages cost less flash a commit */
    const char *vfs;         /* NULL: the system's; tests give one with faults */
    bool relaxed; /* synchronous=OFF and no quarantine: only for files that are made anew each time */
};

enum db_how { DB_FOUND, DB_CREATED, DB_QUARANTINED };

/* Opens or makes the file. Returns 0 with *ret_how; -ENOTSUP (a later version, untouched), -ENOSPC,
 * -EROFS, -EACCES, -EBUSY (another process has it), -EIO, -ENOMEM; *err says which file and why. */
int db_open(const struct db_config *config, struct err *err, struct db **ret_db,
            enum db_how *ret_how);
void db_close(struct db *db); /* checkpoints; takes NULL; statements must be closed before */

/* All operations: 0, or -EBADMSG (corrupt), -ENOSPC, -EIO, -EROFS, -EEXIST (constraint), -EBUSY,
 * -ENOMEM, -EINVAL (our SQL is wrong). db_reason gives SQLite's words for the last failure. */
int db_exec(struct db *db, const char *sql); /* one or more statements without results */
int db_begin(struct db *db);                 /* BEGIN IMMEDIATE */
int db_commit(struct db *db);                /* on failure the transaction is rolled back */
void db_rollback(struct db *db);             /* harmless outside a transaction */
bool db_in_transaction(const struct db *db);
int db_checkpoint(struct db *db);     /* WAL back into the file, WAL emptied: call when idle */
int64_t db_wal_bytes(const struct db *db); /* since the last checkpoint */
int64_t db_changes(const struct db *db);   /* rows changed by the last statement */
const char *db_reason(const struct db *db);
int db_check(struct db *db, struct err *err); /* PRAGMA quick_check: 0 or -EBADMSG */

/* A statement is prepared once and used many times: bind 1..n, step, read columns 0.., reset. */
int db_prepare(struct db *db, const char *sql, struct db_statement **ret_statement);
void db_finalize(struct db_statement *statement); /* takes NULL */
void db_bind_i64(struct db_statement *statement, int index, int64_t value);
void db_bind_text(struct db_statement *statement, int index, const char *text); /* copied; NULL ok */
void db_bind_blob(struct db_statement *statement, int index, const void *bytes, size_t size);
void db_bind_null(struct db_statement *statement, int index);
/* 1: a row; 0: done; or an error. After 0 or an error it is reset, bindings cleared. */
int db_step(struct db_statement *statement);
/* Steps to the end, ignoring rows, and resets. */
int db_run(struct db_statement *statement);
void db_reset(struct db_statement *statement); /* when the caller stops before the last row */

bool db_column_is_null(struct db_statement *statement, int column);
int64_t db_column_i64(struct db_statement *statement, int column);
/* Views until the next step or reset; "" and NULL/0 for null. */
const char *db_column_text(struct db_statement *statement, int column);
const void *db_column_blob(struct db_statement *statement, int column, size_t *ret_size);
/* Copies a blob of exactly `size` bytes; returns 0 or -EBADMSG. */
int db_column_copy(struct db_statement *statement, int column, void *to, size_t size);

/* One value of one row, 0 when there is none. For counts and pragmas, not for loops. */
int db_query_i64(struct db *db, const char *sql, int64_t *ret_value);

#endif
