/* States of clips and the database beneath: only the arrows of the table, books that close through
 * every change, and what db_open does with files that are not what they should be. */
#include "storage/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
    char dir[64], path[96];
    struct db *db;
    struct outbox *outbox;
};

static struct db_config config_of(const struct fixture *f)
{
    return (struct db_config){ .path = f->path, .schema = outbox_schema,
                               .application_id = OUTBOX_APPLICATION_ID,
                               .version = OUTBOX_VERSION };
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = { 0 };
    enum db_how how;

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/roadloop-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/outbox.db", f->dir);
    const struct db_config config = config_of(f);
    assert_int_equal(db_open(&config, &err, &f->db, &how), 0);
    assert_int_equal(how, DB_CREATED);
    assert_int_equal(outbox_open(f->db, &f->outbox), 0);
    *state = f;
    return 0;
}

static void close_all(struct fixture *f)
{
    outbox_close(f->outbox);
    db_close(f->db);
    f->outbox = NULL;
    f->db = NULL;
}

static int teardown(void **state)
{
    static const char *const leftovers[] = { "", "-wal", ".quarantine-1", ".quarantine-2",
                                             ".quarantine-1-wal", ".new" };
    struct fixture *f = *state;
    char path[128];

    close_all(f);
    for (size_t i = 0; i < sizeof leftovers / sizeof leftovers[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", f->path, leftovers[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0); /* nothing else was left behind */
    free(f);
    return 0;
}

static void add(struct fixture *f, uint8_t id, uint8_t priority)
{
    struct wire_about about = { .priority = priority, .segments = 1, .pseudonym = "car-1",
                                .rule = "a/b" };
    const struct wire_segment segment = { 1000, 4096, { id } };
    const uint8_t artifacts[1][SHA256_BYTES] = { { 0xaa, id } };

    memset(about.clip_id, id, CLIP_ID_BYTES);
    assert_int_equal(outbox_add(f->outbox, &about, 0, &segment, artifacts, 1), 0);
}

static int set(struct fixture *f, uint8_t id, enum outbox_state to)
{
    uint8_t clip_id[CLIP_ID_BYTES];

    memset(clip_id, id, CLIP_ID_BYTES);
    return outbox_set(f->outbox, clip_id, to, "why");
}

static void expect_books(struct fixture *f, uint64_t sealed)
{
    struct outbox_books books;

    assert_int_equal(outbox_books(f->outbox, &books), 0);
    assert_int_equal(books.sealed, sealed);
    assert_true(outbox_books_close(&books));
}

/* Every pair of states: exactly these arrows, and what is refused changes nothing. */
static void test_only_legal_arrows(void **state)
{
    static const char *const arrows[OUTBOX_STATE_END] = {
        [OUTBOX_SEALED] = "sent receipted parked evicted expired erased",
        [OUTBOX_SENT] = "broker-acked receipted parked evicted expired erased",
        [OUTBOX_ACKED] = "receipted deletable parked evicted expired erased",
        [OUTBOX_RECEIPTED] = "deletable",
        [OUTBOX_DELETABLE] = "",
        [OUTBOX_PARKED] = "sealed evicted expired erased",
        [OUTBOX_EVICTED] = "",
        [OUTBOX_EXPIRED] = "",
        [OUTBOX_ERASED] = "",
    };
    (void)state;
    for (int from = OUTBOX_SEALED; from < OUTBOX_STATE_END; from++)
        for (int to = OUTBOX_SEALED; to < OUTBOX_STATE_END; to++) {
            bool want = strstr(arrows[from], outbox_state_name((enum outbox_state)to)) != NULL;
            if (outbox_may((enum outbox_state)from, (enum outbox_state)to) != want)
                fail_msg("%s -> %s", outbox_state_name((enum outbox_state)from),
                         outbox_state_name((enum outbox_state)to));
        }
}

static void test_a_life_and_its_books(void **state)
{
    struct fixture *f = *state;
    struct outbox_clip clip;
    uint8_t clip_id[CLIP_ID_BYTES];

    memset(clip_id, 1, CLIP_ID_BYTES);
    expect_books(f, 0);
    add(f, 1, 5);
    assert_int_equal(set(f, 1, OUTBOX_ACKED), -EPERM);
    assert_int_equal(set(f, 1, OUTBOX_SEALED), -EALREADY);
    assert_int_equal(set(f, 9, OUTBOX_SENT), -ENOENT);
    static const enum outbox_state life[] = { OUTBOX_SENT, OUTBOX_ACKED, OUTBOX_RECEIPTED,
                                              OUTBOX_DELETABLE };
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(set(f, 1, life[i]), 0);
        expect_books(f, 1);
    }
    assert_int_equal(set(f, 1, OUTBOX_EVICTED), -EPERM);
    assert_int_equal(outbox_set_ask(f->outbox, clip_id, 7), 0);
    assert_int_equal(outbox_find(f->outbox, clip_id, &clip), 1);
    assert_int_equal(clip.state, OUTBOX_DELETABLE);
    assert_int_equal(clip.ask, 7);
    assert_string_equal(clip.reason, "why");
    assert_int_equal(clip.final.segments[0].bytes, 1000);
    assert_int_equal(clip.artifact_count, 1);
    assert_int_equal(clip.artifacts[0][1], 1);
}

static void expect_walk(struct fixture *f, enum outbox_order order, const char *want)
{
    struct outbox_cursor cursor = { 0 };
    struct outbox_clip clip;
    int rc;

    for (; (rc = outbox_next(f->outbox, order, &cursor, &clip)) == 1; want++)
        assert_int_equal(clip.final.about.clip_id[0], *want - '0');
    assert_int_equal(rc, 0);
    assert_int_equal(*want, '\0');
}

static void test_walks(void **state)
{
    struct fixture *f = *state;
    static const uint8_t priorities[] = { 3, 7, 3, 9, 1, 2, 2 };

    for (uint8_t id = 1; id <= 7; id++)
        add(f, id, priorities[id - 1]);
    expect_walk(f, OUTBOX_TO_SEND, "4213675");
    expect_walk(f, OUTBOX_TO_EVICT, "5671324");
    assert_int_equal(set(f, 4, OUTBOX_SENT), 0);
    assert_int_equal(set(f, 4, OUTBOX_ACKED), 0); /* priority 9, but the broker has it */
    assert_int_equal(set(f, 2, OUTBOX_RECEIPTED), 0);
    assert_int_equal(set(f, 2, OUTBOX_DELETABLE), 0);
    assert_int_equal(set(f, 5, OUTBOX_EVICTED), 0);
    assert_int_equal(set(f, 6, OUTBOX_PARKED), 0);
    expect_walk(f, OUTBOX_TO_SEND, "137");
    expect_walk(f, OUTBOX_TO_ASK, "4");
    expect_walk(f, OUTBOX_TO_EVICT, "246713");
    expect_walk(f, OUTBOX_ALL, "1234567");
    expect_books(f, 7);
}

/* Rows of clips that are no more are counted when they are removed: the books stay closed. */
static void test_trimmed_rows_stay_in_the_books(void **state)
{
    struct fixture *f = *state;
    struct outbox_books books;
    uint8_t clip_id[CLIP_ID_BYTES];

    for (uint8_t id = 1; id <= 20; id++) {
        add(f, id, 3);
        if (id > 15)
            continue;
        assert_int_equal(set(f, id, id % 2 ? OUTBOX_EVICTED : OUTBOX_ERASED), 0);
        memset(clip_id, id, CLIP_ID_BYTES);
        assert_int_equal(outbox_set_gone(f->outbox, clip_id), 0);
    }
    assert_int_equal(outbox_trim(f->outbox, 4), 0);
    assert_int_equal(outbox_trim(f->outbox, 2), 0);
    assert_int_equal(outbox_books(f->outbox, &books), 0);
    assert_true(outbox_books_close(&books));
    assert_int_equal(books.sealed, 20);
    assert_int_equal(books.evicted, 8);
    assert_int_equal(books.erased, 7);
    assert_int_equal(books.by_state[OUTBOX_EVICTED] + books.by_state[OUTBOX_ERASED], 2);
}

static void test_segments_come_in_order(void **state)
{
    struct fixture *f = *state;
    struct wire_about about = { .priority = 9, .segments = 2, .pseudonym = "car-1" };
    const struct wire_segment segment = { 1000, 4096, { 1 } };

    assert_int_equal(outbox_add(f->outbox, &about, 1, &segment, NULL, 0), -EINVAL);
    assert_int_equal(outbox_add(f->outbox, &about, 0, &segment, NULL, 0), 0);
    assert_int_equal(outbox_add(f->outbox, &about, 0, &segment, NULL, 0), -EEXIST);
    assert_int_equal(outbox_add(f->outbox, &about, 1, &segment, NULL, 0), 0);
    assert_int_equal(outbox_add(f->outbox, &about, 2, &segment, NULL, 0), -EINVAL);
    expect_books(f, 1);
}

static void test_small_tables(void **state)
{
    struct fixture *f = *state;
    const uint8_t sha256[SHA256_BYTES] = { 1 };
    int64_t value = 0;

    assert_int_equal(outbox_is_artifact_sent(f->outbox, sha256), 0);
    assert_int_equal(outbox_add_artifact(f->outbox, sha256), 0);
    assert_int_equal(outbox_is_artifact_sent(f->outbox, sha256), 0);
    assert_int_equal(outbox_artifact_sent(f->outbox, sha256), 0);
    assert_int_equal(outbox_is_artifact_sent(f->outbox, sha256), 1);
    assert_int_equal(outbox_get_offset(f->outbox, 3, &value), 0);
    assert_int_equal(outbox_set_offset(f->outbox, 3, 77), 0);
    assert_int_equal(outbox_get_offset(f->outbox, 3, &value), 1);
    assert_int_equal(value, 77);
}

/* ---- The file ---- */

static int reopen(struct fixture *f, const struct db_config *config, struct err *err,
                  enum db_how *how)
{
    close_all(f);
    int rc = db_open(config, err, &f->db, how);
    if (rc == 0)
        assert_int_equal(outbox_open(f->db, &f->outbox), 0);
    return rc;
}

static void test_rows_survive_a_restart(void **state)
{
    struct fixture *f = *state;
    struct db_config config = config_of(f);
    struct err err = { 0 };
    enum db_how how;

    add(f, 1, 3);
    assert_int_equal(reopen(f, &config, &err, &how), 0);
    assert_int_equal(how, DB_FOUND);
    expect_books(f, 1);
    /* A rolled back clip leaves no gap: the sequence is a witness of what was committed. */
    assert_int_equal(db_begin(f->db), 0);
    add(f, 2, 3);
    db_rollback(f->db);
    expect_books(f, 1);
}

static void test_later_version_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct db_config config = config_of(f);
    struct err err = { 0 };
    enum db_how how;

    add(f, 1, 3);
    assert_int_equal(db_exec(f->db, "PRAGMA user_version=99"), 0);
    assert_int_equal(reopen(f, &config, &err, &how), -ENOTSUP);
    assert_non_null(strstr(err.text, "schema version: found 99, this build knows 1"));
    config.version = 99;
    assert_int_equal(reopen(f, &config, &err, &how), 0);
    expect_books(f, 1);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

/* Foreign and broken files are moved aside, never written into, and all of them are kept. */
static void test_foreign_files_are_set_aside(void **state)
{
    struct fixture *f = *state;
    struct db_config config = config_of(f);
    struct err err = { 0 };
    enum db_how how;
    char path[128];

    close_all(f);
    write_file(f->path, "this is not a database, but it is long enough to be mistaken for one");
    assert_int_equal(reopen(f, &config, &err, &how), 0);
    assert_int_equal(how, DB_QUARANTINED);
    (void)snprintf(path, sizeof path, "%s.quarantine-1", f->path);
    assert_int_equal(access(path, F_OK), 0);
    add(f, 1, 3);
    config.application_id++;
    assert_int_equal(reopen(f, &config, &err, &how), 0);
    assert_int_equal(how, DB_QUARANTINED);
    (void)snprintf(path, sizeof path, "%s.quarantine-2", f->path);
    assert_int_equal(access(path, F_OK), 0);
    expect_books(f, 0);
}

/* The power went while the first file was made: what is left of it is removed. */
static void test_half_made_file_is_replaced(void **state)
{
    struct fixture *f = *state;
    const struct db_config config = config_of(f);
    struct err err = { 0 };
    enum db_how how;
    char path[128];

    close_all(f);
    assert_int_equal(unlink(f->path), 0);
    (void)snprintf(path, sizeof path, "%s.new", f->path);
    write_file(path, "half");
    (void)snprintf(path, sizeof path, "%s-wal", f->path);
    write_file(path, "a journal of a file that is no more");
    assert_int_equal(reopen(f, &config, &err, &how), 0);
    assert_int_equal(how, DB_CREATED);
    expect_books(f, 0);
}

/* One connection owns the file: a second is refused instead of waiting or reading old rows. */
static void test_one_owner(void **state)
{
    struct fixture *f = *state;
    const struct db_config config = config_of(f);
    struct err err = { 0 };
    struct db *second = NULL;
    enum db_how how;

    add(f, 1, 3);
    assert_int_equal(db_open(&config, &err, &second, &how), -EBUSY);
    assert_null(second);
    expect_books(f, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_legal_arrows),
        cmocka_unit_test_setup_teardown(test_a_life_and_its_books, setup, teardown),
        cmocka_unit_test_setup_teardown(test_walks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trimmed_rows_stay_in_the_books, setup, teardown),
        cmocka_unit_test_setup_teardown(test_segments_come_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows_survive_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_later_version_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_files_are_set_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_made_file_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_owner, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
