/* The store thread: what it answers to orders, and what it reports when the disk is broken. */
#include "daemon/threads.h"

#include "tests/memfs.h"
#include "tests/segments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define PATIENCE_MS 10000

struct bench {
    struct memfs fs; /* only the thread touches it while it runs */
    struct store store;
};

static void open_queue(struct spsc **ret_queue, uint32_t slots, size_t bytes)
{
    const struct spsc_config config = { .slot_count = slots, .slot_bytes = (uint32_t)bytes };

    assert_int_equal(spsc_open(ret_queue, &config), 0);
}

static struct bench *bench_open(bool dead)
{
    struct bench *b = calloc(1, sizeof *b);
    struct err err;

    memfs_init(&b->fs);
    const struct clipstore_config config = { .dir = "/s", .io = { &memfs_ops, &b->fs },
                                             .db_vfs = "memfs", .chunk_bytes = 4096,
                                             .quota_bytes = 1 << 20 };
    b->fs.dead = dead;
    assert_int_equal(worker_open(&b->store.worker, WORKER_STORE), 0);
    open_queue(&b->store.in, 8, sizeof(struct piece_item));
    open_queue(&b->store.back, 8, sizeof(struct back_item));
    open_queue(&b->store.jobs, JOB_SLOTS, sizeof(struct job));
    open_queue(&b->store.outcomes, 8, sizeof(struct outcome));
    assert_int_equal(clipstore_open(&config, 0, &err, &b->store.clipstore), 0);
    return b;
}

static void start(struct bench *b)
{
    assert_int_equal(worker_start(&b->store.worker, store_run, &b->store), 0);
}

static void bench_close(struct bench *b)
{
    assert_true(worker_send(&b->store.worker, &(struct order){ .kind = ORDER_STOP }));
    worker_join(&b->store.worker);
    clipstore_close(b->store.clipstore);
    worker_close(&b->store.worker);
    spsc_close(b->store.in);
    spsc_close(b->store.back);
    spsc_close(b->store.jobs);
    spsc_close(b->store.outcomes);
    memfs_deinit(&b->fs);
    free(b);
}

static void ask(struct bench *b, const struct order *order, enum report_kind kind,
                struct report *ret_report)
{
    assert_true(worker_send(&b->store.worker, order));
    do {
        assert_non_null(spsc_wait(b->store.worker.reports, PATIENCE_MS));
        assert_int_equal(worker_hear(&b->store.worker, ret_report), 1);
    } while (ret_report->kind != kind);
}

/* With figures that nobody could read a recording would be taken for delivered. */
static void test_unread_books_say_so(void **state)
{
    static struct report report;

    (void)state;
    for (unsigned dead = 0; dead < 2; dead++) {
        struct bench *b = bench_open(dead);
        start(b);
        ask(b, &(struct order){ .kind = ORDER_STATS }, REPORT_STATS, &report);
        assert_int_equal(report.store.books_stale, dead);
        assert_int_equal(report.store.clipstore.degraded, dead);
        bench_close(b);
    }
}

static void test_retry_hands_a_parked_clip_out_again(void **state)
{
    static struct report report;
    const struct made_config config = { .ordinal = 1, .priority = 3, .segments = 1, .groups = 1 };
    struct order order = { .kind = ORDER_RETRY, .ticket = 7, .has_clip = true };
    struct outcome outcome = { .kind = OUTCOME_PARKED, .reason = "too large" };
    struct bench *b = bench_open(false);
    struct made made;

    (void)state;
    made_open(&made, &config);
    for (unsigned n = 0; n < made.groups + 2; n++) {
        struct recorder_piece piece = made_piece(&made, n);
        assert_int_equal(clipstore_put(b->store.clipstore, &piece, 0), 0);
    }
    memcpy(outcome.clip_id, made.header.clip_id, CLIP_ID_BYTES);
    clipstore_outcome(b->store.clipstore, &outcome, 0);
    start(b);
    ask(b, &order, REPORT_DONE, &report); /* the id of no clip */
    assert_int_equal(report.to, ORDER_RETRY);
    assert_int_equal(report.ticket, 7);
    assert_int_equal(report.code, -ENOENT);
    assert_non_null(strstr(report.text, "no such clip"));
    assert_int_equal(spsc_count(b->store.jobs), 0);
    memcpy(order.clip_id, made.header.clip_id, CLIP_ID_BYTES);
    ask(b, &order, REPORT_DONE, &report);
    assert_int_equal(report.code, 1);
    const struct job *job = spsc_wait(b->store.jobs, PATIENCE_MS);
    assert_non_null(job);
    assert_memory_equal(job->final.about.clip_id, made.header.clip_id, CLIP_ID_BYTES);
    ask(b, &order, REPORT_DONE, &report);
    assert_int_equal(report.code, -EPERM);
    order.has_clip = false;
    ask(b, &order, REPORT_DONE, &report);
    assert_int_equal(report.code, 0);
    made_close(&made);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unread_books_say_so),
        cmocka_unit_test(test_retry_hands_a_parked_clip_out_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
