/* The scheduler's rules, on a clock of numbers: hours of a link pass without a sleep. Statement
 * numbers (K..) are those of docs/KAFKA.md. */
#include "uploader/scheduler.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define S NS_PER_S
#define H (3600 * S)
#define CHUNK 4096

static const struct scheduler_config fast = { .bytes_per_s = 1000000, .receipts = true,
                                              .ship_artifacts = true };

static struct job make_job(uint8_t id, uint8_t priority, uint64_t age, uint32_t chunks)
{
    struct job job = { .kind = JOB_CLIP, .sealed = 1, .age = age };
    struct wire_about *about = &job.final.about;

    memset(about->clip_id, id, CLIP_ID_BYTES);
    (void)snprintf(about->pseudonym, PSEUDONYM_MAX, "car-1");
    about->priority = priority;
    about->segments = 1;
    job.final.segments[0] = (struct wire_segment){ chunks * CHUNK, CHUNK, { id } };
    return job;
}

static void final_hash(const struct job *job, uint8_t digest[SHA256_BYTES])
{
    struct wire_value value = { .kind = WIRE_FINAL };
    uint8_t bytes[ENVELOPE_BYTES_MAX];

    value.final = job->final;
    int size = wire_encode(&value, bytes, sizeof bytes, NULL);
    assert_true(size > 0);
    sha256_of(bytes, (size_t)size, digest);
}

static struct wire_receipt receipt_of(const struct job *job, enum wire_result result, uint32_t ask)
{
    struct wire_receipt receipt = { .ask = ask, .result = result, .pseudonym = "car-1" };

    memcpy(receipt.clip_id, job->final.about.clip_id, CLIP_ID_BYTES);
    final_hash(job, receipt.final_sha256);
    return receipt;
}

static struct scheduler *open_with(const struct scheduler_config *config)
{
    struct scheduler *s = scheduler_open(config);
    assert_non_null(s);
    scheduler_connected(s, true, 0);
    return s;
}

/* Sends the next action, which must be `what`. */
static struct scheduler_action send_one(struct scheduler *s, enum scheduler_what what,
                                        int64_t now_ns)
{
    struct scheduler_action action;

    assert_int_equal(scheduler_next(s, now_ns, &action), 1);
    assert_int_equal(action.what, what);
    scheduler_sent(s, &action, now_ns);
    return action;
}

static void send_done(struct scheduler *s, enum scheduler_what what, int64_t now_ns)
{
    struct scheduler_action action = send_one(s, what, now_ns);
    scheduler_report(s, action.token, SCHEDULER_DONE, "", now_ns);
}

static void expect_nothing(struct scheduler *s, int64_t now_ns)
{
    struct scheduler_action action;
    assert_int_equal(scheduler_next(s, now_ns, &action), 0);
}

static void expect_outcome(struct scheduler *s, enum outcome_kind kind, uint8_t id)
{
    struct outcome outcome;

    assert_int_equal(scheduler_take(s, &outcome), 1);
    assert_int_equal(outcome.kind, kind);
    assert_int_equal(outcome.clip_id[0], id);
}

/* A clip that is with the broker, its manifest-final (ask 0) reported at now_ns. */
static void send_clip(struct scheduler *s, const struct job *job, int64_t now_ns)
{
    assert_int_equal(scheduler_put(s, job, now_ns), 0);
    send_done(s, SCHEDULER_OPEN, now_ns);
    for (uint32_t i = 0; i < wire_chunk_count(&job->final.segments[0]); i++)
        send_done(s, SCHEDULER_CHUNK, now_ns);
    send_done(s, SCHEDULER_FINAL, now_ns);
    expect_outcome(s, OUTCOME_SENT, job->final.about.clip_id[0]);
    expect_outcome(s, OUTCOME_ACKED, job->final.about.clip_id[0]);
}

/* K40: (priority, age), whatever the order of arrival. */
static void test_order_is_priority_then_age(void **state)
{
    static const uint8_t want[] = { 3, 2, 4, 1 };
    struct scheduler *s = open_with(&fast);
    struct job jobs[] = { make_job(1, 2, 9, 1), make_job(2, 5, 7, 1), make_job(3, 5, 3, 1),
                          make_job(4, 2, 8, 1) };
    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(scheduler_put(s, &jobs[i], 0), 0);
    for (size_t i = 0; i < 4; i++) {
        struct scheduler_action action;
        assert_int_equal(scheduler_next(s, 0, &action), 1);
        assert_int_equal(action.final->about.clip_id[0], want[i]);
        send_done(s, SCHEDULER_OPEN, 0);
        send_done(s, SCHEDULER_CHUNK, 0);
        send_done(s, SCHEDULER_FINAL, 0);
    }
    scheduler_close(s);
}

/* K41: at most four clips are open, and one place is kept for a crash. */
static void test_open_clips_are_bounded(void **state)
{
    struct scheduler *s = open_with(&fast);
    struct scheduler_stats stats;

    (void)state;
    for (uint8_t id = 1; id <= 6; id++) {
        struct job job = make_job(id, 3, id, 1);
        assert_int_equal(scheduler_put(s, &job, 0), 0);
    }
    for (unsigned i = 0; i < 3; i++) /* open and chunk in flight: the clip can do no more */
        for (unsigned k = 0; k < 2; k++) {
            struct scheduler_action action = send_one(s, k ? SCHEDULER_CHUNK : SCHEDULER_OPEN, 0);
            if (!k)
                scheduler_report(s, action.token, SCHEDULER_DONE, "", 0);
        }
    expect_nothing(s, 0);
    struct job crash = make_job(9, PRIORITY_CRASH, 99, 1), second = make_job(10, 9, 100, 1);
    assert_int_equal(scheduler_put(s, &crash, 0), 0);
    assert_int_equal(scheduler_put(s, &second, 0), 0);
    struct scheduler_action action = send_one(s, SCHEDULER_OPEN, 0);
    assert_int_equal(action.final->about.clip_id[0], 9);
    scheduler_report(s, action.token, SCHEDULER_DONE, "", 0);
    (void)send_one(s, SCHEDULER_CHUNK, 0);
    expect_nothing(s, 0);
    scheduler_stats(s, &stats);
    assert_int_equal(stats.open, 4);
    scheduler_close(s);
}

/* K42: in flight at most max(one chunk, 5 s of the rate). */
static void test_bytes_in_flight_are_bounded(void **state)
{
    const struct scheduler_config slow = { .bytes_per_s = 100, .receipts = true };
    const struct scheduler_config middle = { .bytes_per_s = 4000, .receipts = true };
    struct job job = make_job(1, 3, 1, 50);
    struct scheduler_stats stats;
    struct scheduler_action action;

    (void)state;
    struct scheduler *s = open_with(&slow);
    assert_int_equal(scheduler_put(s, &job, 0), 0);
    send_done(s, SCHEDULER_OPEN, 0);
    (void)send_one(s, SCHEDULER_CHUNK, 0); /* one chunk, though 5 s are 500 bytes */
    expect_nothing(s, 0);
    scheduler_close(s);

    s = open_with(&middle);
    assert_int_equal(scheduler_put(s, &job, 0), 0);
    send_done(s, SCHEDULER_OPEN, 0);
    while (scheduler_next(s, 0, &action) == 1)
        scheduler_sent(s, &action, 0);
    scheduler_stats(s, &stats);
    assert_in_range(stats.in_flight_bytes, 20000 - CHUNK - 1024, 20000);
    scheduler_close(s);
}

/* K42: the rate is what reports show, not what is allowed; so a crash overtakes within one chunk. */
static void test_a_slow_link_holds_one_chunk(void **state)
{
    struct scheduler *s = open_with(&fast);
    struct job job = make_job(1, 3, 1, 50), crash = make_job(9, PRIORITY_CRASH, 99, 1);
    int64_t now_ns = 0;

    (void)state;
    assert_int_equal(scheduler_put(s, &job, 0), 0);
    send_done(s, SCHEDULER_OPEN, 0);
    for (int i = 0; i < 3; i++) { /* 20 s a chunk */
        struct scheduler_action action = send_one(s, SCHEDULER_CHUNK, now_ns);
        now_ns += 20 * NS_PER_S;
        scheduler_report(s, action.token, SCHEDULER_DONE, "", now_ns);
    }
    struct scheduler_action last = send_one(s, SCHEDULER_CHUNK, now_ns);
    expect_nothing(s, now_ns);
    assert_int_equal(scheduler_put(s, &crash, now_ns), 0);
    expect_nothing(s, now_ns);
    scheduler_report(s, last.token, SCHEDULER_DONE, "", now_ns + 20 * NS_PER_S);
    struct scheduler_action action = send_one(s, SCHEDULER_OPEN, now_ns + 20 * NS_PER_S);
    assert_int_equal(action.final->about.clip_id[0], 9);
    scheduler_close(s);
}

/* K43: artifacts have their reports before manifest-open, all chunks before manifest-final. */
static void test_nothing_overtakes(void **state)
{
    struct scheduler *s = open_with(&fast);
    struct job job = make_job(1, 3, 1, 2), other = make_job(2, 3, 2, 1);

    (void)state;
    job.artifact_count = 2;
    job.artifacts[0][0] = 0xa0;
    job.artifacts[1][0] = 0xa1;
    assert_int_equal(scheduler_put(s, &job, 0), 0);
    struct scheduler_action a = send_one(s, SCHEDULER_ARTIFACT, 0);
    struct scheduler_action b = send_one(s, SCHEDULER_ARTIFACT, 0);
    expect_nothing(s, 0);
    scheduler_report(s, a.token, SCHEDULER_DONE, "", 0);
    expect_nothing(s, 0);
    scheduler_report(s, b.token, SCHEDULER_RETRY, "", 0);
    send_done(s, SCHEDULER_ARTIFACT, 0); /* only the one that failed */
    struct scheduler_action open = send_one(s, SCHEDULER_OPEN, 0);
    a = send_one(s, SCHEDULER_CHUNK, 0);
    b = send_one(s, SCHEDULER_CHUNK, 0);
    scheduler_report(s, b.token, SCHEDULER_DONE, "", 0);
    scheduler_report(s, a.token, SCHEDULER_DONE, "", 0);
    expect_nothing(s, 0); /* manifest-open has no report yet */
    scheduler_report(s, open.token, SCHEDULER_DONE, "", 0);
    send_done(s, SCHEDULER_FINAL, 0);
    other.artifact_count = 1;
    other.artifacts[0][0] = 0xa0; /* delivered in this run */
    assert_int_equal(scheduler_put(s, &other, 0), 0);
    send_done(s, SCHEDULER_OPEN, 0);
    scheduler_close(s);
}

/* K44: after 1, 2, 4, 8, 16, 24, 24 h of connection, each question with the next number. */
static void test_question_schedule(void **state)
{
    static const int64_t wait_h[] = { 1, 2, 4, 8, 16, 24, 24 };
    struct scheduler *s = open_with(&fast);
    struct job job = make_job(1, 3, 1, 1);
    int64_t now_ns = 0;

    (void)state;
    send_clip(s, &job, now_ns);
    for (uint32_t i = 0; i < sizeof wait_h / sizeof wait_h[0]; i++) {
        assert_int_equal(scheduler_wake(s, now_ns), now_ns + wait_h[i] * H);
        now_ns += wait_h[i] * H - 1;
        expect_nothing(s, now_ns);
        /* A week without connection does not count. */
        scheduler_connected(s, false, now_ns);
        now_ns += 168 * H;
        expect_nothing(s, now_ns);
        scheduler_connected(s, true, now_ns);
        expect_nothing(s, now_ns);
        now_ns += 1;
        struct scheduler_action action = send_one(s, SCHEDULER_QUESTION, now_ns);
        assert_int_equal(action.ask, i + 1);
        scheduler_report(s, action.token, SCHEDULER_DONE, "", now_ns);
        expect_outcome(s, OUTCOME_ASKED, 1);
    }
    scheduler_close(s);
}

/* K45: at most 100 questions an hour, the most important first. */
static void test_questions_per_hour(void **state)
{
    struct scheduler *s = open_with(&fast);
    struct scheduler_action action;
    struct outcome outcome;
    unsigned asked = 0;

    (void)state;
    for (unsigned i = 1; i <= 250; i++) {
        struct job job = make_job((uint8_t)i, (uint8_t)(i % 3), i, 1);
        job.kind = JOB_ASK;
        job.next_ask = 5;
        assert_int_equal(scheduler_put(s, &job, 0), 0);
    }
    for (int64_t now_ns = 0; now_ns < 2 * H; now_ns += H / 2) {
        for (asked = 0; scheduler_next(s, now_ns, &action) == 1; asked++) {
            assert_int_equal(action.what, SCHEDULER_QUESTION);
            if (now_ns == 0) {
                assert_int_equal(action.ask, 5);
                assert_int_equal(action.final->about.priority, asked < 83 ? 2 : 1);
            }
            scheduler_sent(s, &action, now_ns);
            scheduler_report(s, action.token, SCHEDULER_DONE, "", now_ns);
            while (scheduler_take(s, &outcome) == 1) {
            }
        }
        assert_int_equal(asked, now_ns % H == 0 ? SCHEDULER_ASKS_PER_HOUR : 0);
    }
    scheduler_close(s);
}

/* K46: only the answer to the latest ask makes it send; without an ask it makes it ask. */
static void test_only_the_latest_answer_counts(void **state)
{
    struct scheduler *s = open_with(&fast);
    struct job job = make_job(1, 3, 1, 10);
    struct wire_receipt missing = receipt_of(&job, WIRE_MISSING, 7);
    struct scheduler_stats stats;

    (void)state;
    missing.range_count = 2;
    missing.ranges[0] = (struct wire_range){ 0, 3, 2 };
    missing.ranges[1] = (struct wire_range){ 0, 9, 5 }; /* beyond the end: cut */
    send_clip(s, &job, 0);
    scheduler_receipt(s, &missing, 1);
    expect_nothing(s, 1);
    missing.ask = WIRE_ASK_NONE;
    scheduler_receipt(s, &missing, 1);
    struct scheduler_action action = send_one(s, SCHEDULER_QUESTION, 1);
    scheduler_report(s, action.token, SCHEDULER_DONE, "", 1);
    missing.ask = 0; /* answers manifest-final, but a question went out since */
    scheduler_receipt(s, &missing, 2);
    expect_nothing(s, 2);
    missing.ask = 1;
    scheduler_receipt(s, &missing, 2);
    scheduler_receipt(s, &missing, 2); /* Kafka may repeat it */
    static const uint32_t want[] = { 3, 4, 9 };
    for (unsigned i = 0; i < 3; i++) {
        action = send_one(s, SCHEDULER_CHUNK, 3);
        assert_int_equal(action.index, want[i]);
        assert_true(action.again);
        scheduler_report(s, action.token, SCHEDULER_DONE, "", 3);
    }
    action = send_one(s, SCHEDULER_QUESTION, 3); /* at once: all that was missing is there */
    assert_int_equal(action.ask, 2);
    scheduler_stats(s, &stats);
    assert_int_equal(stats.chunks_again, 3);
    assert_int_equal(stats.receipts_stale, 3);
    scheduler_close(s);
}

/* K47: a clip ends only with the SHA-256 of our own manifest-final. */
static void test_own_hash_ends_a_clip(void **state)
{
    struct scheduler *s = open_with(&fast);
    struct job job = make_job(1, 3, 1, 1);
    struct wire_receipt complete = receipt_of(&job, WIRE_COMPLETE, 0);
    struct scheduler_stats stats;

    (void)state;
    send_clip(s, &job, 0);
    complete.final_sha256[5] ^= 1;
    scheduler_receipt(s, &complete, 0);
    scheduler_stats(s, &stats);
    assert_int_equal(stats.receipts_wrong_hash, 1);
    assert_int_equal(stats.clips, 1);
    complete.final_sha256[5] ^= 1;
    scheduler_receipt(s, &complete, 0);
    expect_outcome(s, OUTCOME_RECEIPTED, 1);
    scheduler_stats(s, &stats);
    assert_int_equal(stats.clips, 0);
    scheduler_close(s);
}

/* K48: `need` sends exactly the artifacts named, then asks at once. */
static void test_need_sends_artifacts(void **state)
{
    struct scheduler *s = open_with(&fast);
    struct job job = make_job(1, 3, 1, 1);
    struct wire_receipt need = receipt_of(&job, WIRE_NEED, 0);

    (void)state;
    need.need_count = 1;
    need.needs[0][0] = 0xdb;
    send_clip(s, &job, 0);
    scheduler_receipt(s, &need, 0);
    struct scheduler_action action = send_one(s, SCHEDULER_ARTIFACT, 0);
    assert_int_equal(action.sha256[0], 0xdb);
    expect_nothing(s, 0);
    scheduler_report(s, action.token, SCHEDULER_DONE, "", 0);
    action = send_one(s, SCHEDULER_QUESTION, 0);
    assert_int_equal(action.ask, 1);
    scheduler_close(s);
}

/* K49: what the car does not hold is passed on to the store, and `gone` goes out. */
static void test_gone(void **state)
{
    struct scheduler *s = open_with(&fast);
    struct job job = make_job(1, 3, 1, 1);
    struct wire_receipt missing = receipt_of(&job, WIRE_MISSING, WIRE_ASK_NONE);
    struct job gone = { .kind = JOB_GONE, .gone = WIRE_GONE_EVICTED, .gone_ask = WIRE_ASK_NONE };

    (void)state;
    missing.range_count = 1;
    missing.ranges[0].count = 1;
    scheduler_receipt(s, &missing, 0);
    expect_outcome(s, OUTCOME_UNKNOWN, 1);
    gone.final = job.final;
    assert_int_equal(scheduler_put(s, &gone, 0), 0);
    struct scheduler_action action = send_one(s, SCHEDULER_GONE, 0);
    assert_int_equal(action.gone.reason, WIRE_GONE_EVICTED);
    assert_int_equal(action.gone.clip_id[0], 1);
    scheduler_report(s, action.token, SCHEDULER_DONE, "", 0);
    expect_nothing(s, 0);
    scheduler_close(s);
}

/* A failed chunk alone is sent again; a poisoned one parks its clip and nothing waits behind it. */
static void test_retry_and_poison(void **state)
{
    struct scheduler *s = open_with(&fast);
    struct job job = make_job(1, 3, 1, 3), behind = make_job(2, 3, 2, 1);

    (void)state;
    assert_int_equal(scheduler_put(s, &job, 0), 0);
    assert_int_equal(scheduler_put(s, &behind, 0), 0);
    send_done(s, SCHEDULER_OPEN, 0);
    expect_outcome(s, OUTCOME_SENT, 1);
    struct scheduler_action first = send_one(s, SCHEDULER_CHUNK, 0);
    struct scheduler_action second = send_one(s, SCHEDULER_CHUNK, 0);
    scheduler_report(s, first.token, SCHEDULER_RETRY, "", 0);
    struct scheduler_action again = send_one(s, SCHEDULER_CHUNK, 0);
    assert_int_equal(again.index, 0);
    scheduler_report(s, second.token, SCHEDULER_POISON, "too large", 0);
    expect_outcome(s, OUTCOME_PARKED, 1);
    scheduler_report(s, again.token, SCHEDULER_DONE, "", 0); /* its clip has ended: no effect */
    struct scheduler_action action = send_one(s, SCHEDULER_OPEN, 0);
    assert_int_equal(action.final->about.clip_id[0], 2);
    scheduler_close(s);
}

/* A crash: segment 0 goes out while segment 1 is still open; manifest-final waits for both. */
static void test_second_segment_follows(void **state)
{
    struct scheduler *s = open_with(&fast);
    struct job job = make_job(1, 9, 1, 2);

    (void)state;
    job.final.about.segments = 2;
    assert_int_equal(scheduler_put(s, &job, 0), 0);
    send_done(s, SCHEDULER_OPEN, 0);
    send_done(s, SCHEDULER_CHUNK, 0);
    send_done(s, SCHEDULER_CHUNK, 0);
    expect_nothing(s, 0);
    job.sealed = 2;
    job.final.segments[1] = (struct wire_segment){ 100, CHUNK, { 7 } };
    assert_int_equal(scheduler_put(s, &job, 0), 0);
    struct scheduler_action action = send_one(s, SCHEDULER_CHUNK, 0);
    assert_int_equal(action.segment, 1);
    scheduler_report(s, action.token, SCHEDULER_DONE, "", 0);
    send_done(s, SCHEDULER_FINAL, 0);
    scheduler_close(s);
}

/* By policy broker_ack a clip ends with the report of its manifest-final. */
static void test_broker_ack_ends_a_clip(void **state)
{
    const struct scheduler_config config = { .bytes_per_s = 1000000 };
    struct scheduler *s = open_with(&config);
    struct job job = make_job(1, 3, 1, 1);
    struct scheduler_stats stats;

    (void)state;
    send_clip(s, &job, 0);
    scheduler_stats(s, &stats);
    assert_int_equal(stats.clips, 0);
    assert_int_equal(scheduler_wake(s, 0), INT64_MAX);
    scheduler_close(s);
}

static void test_jobs_out_of_shape_are_refused(void **state)
{
    struct scheduler *s = open_with(&fast);
    struct job job = make_job(1, 3, 1, 1);

    (void)state;
    job.sealed = 0;
    assert_int_equal(scheduler_put(s, &job, 0), -EINVAL);
    job.sealed = 2;
    assert_int_equal(scheduler_put(s, &job, 0), -EINVAL);
    job.sealed = 1;
    for (unsigned i = 0; i < SCHEDULER_CLIPS_MAX; i++) {
        job.final.about.clip_id[0] = (uint8_t)i;
        job.final.about.clip_id[1] = (uint8_t)(i >> 8);
        assert_int_equal(scheduler_put(s, &job, 0), 0);
    }
    job.final.about.clip_id[2] = 2;
    assert_int_equal(scheduler_put(s, &job, 0), -ENOBUFS);
    job.kind = JOB_CANCEL;
    job.final.about.clip_id[2] = job.final.about.clip_id[1] = job.final.about.clip_id[0] = 1;
    assert_int_equal(scheduler_put(s, &job, 0), 0);
    scheduler_close(s);
}

/* A sink in a few lines: counts chunks, loses one of five, answers questions. */
struct far_end {
    bool have[8][40], done[8];
    uint32_t chunks;
};

static void answer(struct scheduler *s, struct far_end *far, const struct job *job, uint32_t ask,
                   int64_t now_ns)
{
    unsigned id = job->final.about.clip_id[0];
    struct wire_receipt receipt = receipt_of(job, WIRE_COMPLETE, ask);

    for (uint32_t i = 0; i < wire_chunk_count(&job->final.segments[0]); i++)
        if (!far->have[id][i] && receipt.range_count < WIRE_RANGES_MAX)
            receipt.ranges[receipt.range_count++] = (struct wire_range){ 0, i, 1 };
    receipt.result = receipt.range_count ? WIRE_MISSING : WIRE_COMPLETE;
    far->done[id] = receipt.range_count == 0;
    scheduler_receipt(s, &receipt, now_ns);
}

/* K50: eight clips over a link that flaps, loses reports and values: all end up whole, with what is
 * in flight bounded all the time. The seed is printed, the run repeats. */
static void test_hours_on_a_bad_link(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        struct scheduler *s = open_with(&fast);
        struct far_end far = { 0 };
        struct job jobs[8];
        uint32_t random = seed;
        unsigned left = 8;
        int64_t now_ns = 0;
        for (uint8_t i = 0; i < 8; i++) {
            jobs[i] = make_job(i, i % 4, i, 5u + i * 4u);
            assert_int_equal(scheduler_put(s, &jobs[i], 0), 0);
        }
        for (unsigned step = 0; left && step < 200000; step++, now_ns += 10 * S) {
            struct scheduler_action action;
            struct outcome outcome;
            random = random * 1664525u + 1013904223u;
            bool up = (random >> 8) % 5 == 0; /* 1 of 5 */
            scheduler_connected(s, up, now_ns);
            while (scheduler_next(s, now_ns, &action) == 1) {
                unsigned id = action.final->about.clip_id[0];
                scheduler_sent(s, &action, now_ns);
                random = random * 1664525u + 1013904223u;
                bool reported = up && (random >> 8) % 7, stored = up && (random >> 12) % 5;
                if (action.what == SCHEDULER_CHUNK && stored)
                    far.have[id][action.index] = true;
                scheduler_report(s, action.token, reported ? SCHEDULER_DONE : SCHEDULER_RETRY, "",
                                 now_ns);
                if ((action.what == SCHEDULER_FINAL || action.what == SCHEDULER_QUESTION) && stored)
                    answer(s, &far, &jobs[id], action.ask, now_ns);
                if (!reported)
                    break; /* the uploader backs off */
            }
            while (scheduler_take(s, &outcome) == 1)
                left -= outcome.kind == OUTCOME_RECEIPTED;
        }
        if (left)
            fail_msg("seed %u: %u clips left after %lld h", seed, left, (long long)(now_ns / H));
        for (unsigned i = 0; i < 8; i++)
            assert_true(far.done[i]);
        scheduler_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_priority_then_age),
        cmocka_unit_test(test_open_clips_are_bounded),
        cmocka_unit_test(test_bytes_in_flight_are_bounded),
        cmocka_unit_test(test_a_slow_link_holds_one_chunk),
        cmocka_unit_test(test_nothing_overtakes),
        cmocka_unit_test(test_question_schedule),
        cmocka_unit_test(test_questions_per_hour),
        cmocka_unit_test(test_only_the_latest_answer_counts),
        cmocka_unit_test(test_own_hash_ends_a_clip),
        cmocka_unit_test(test_need_sends_artifacts),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_retry_and_poison),
        cmocka_unit_test(test_second_segment_follows),
        cmocka_unit_test(test_broker_ack_ends_a_clip),
        cmocka_unit_test(test_jobs_out_of_shape_are_refused),
        cmocka_unit_test(test_hours_on_a_bad_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
