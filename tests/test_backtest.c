/* The parts of `roadloop backtest` that need no drive: intervals, days, sweeps, differences. */
#include "tools/backtest/diff.h"
#include "tools/backtest/report.h"
#include "tools/backtest/statistics.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void near(double value, double wanted)
{
    if (fabs(value - wanted) > 1e-9 * (1 + fabs(wanted)))
        fail_msg("%.15g is not %.15g", value, wanted);
}

/* Of SciPy 1.17: chi2.ppf(0.025, 2 n) / 2 and chi2.ppf(0.975, 2 n + 2) / 2. */
static void test_interval(void **state)
{
    static const struct {
        uint64_t events;
        double low, high;
    } rows[] = { { 1, 0.025317807984289876, 5.571643390938898 }, { 2, 0.24220927854396496, 7.22468766772396 }, { 10, 4.7953886961324335, 18.39035604201778 }, { 100, 81.36399125092314, 121.62679379242638 }, { 10000, 9804.952467260184, 10197.951624661473 }, { 1000000, 998040.9833402939, 1001961.9119454322 } };
    double low, high;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        poisson_interval(rows[i].events, &low, &high);
        near(low, rows[i].low);
        near(high, rows[i].high);
    }
    poisson_interval(0, &low, &high);
    near(low, 0);
    near(high, -log(0.05));
}

static void test_days(void **state)
{
    const uint64_t same[] = { 1000 }, two[] = { 0, 1000000 };
    double p50, p99;

    (void)state;
    assert_int_equal(day_percentiles(same, 1, 1600, &p50, &p99), 0);
    /* Poisson of mean 1600: median 1600, the 99th of 100 about 2.33 deviations of 40 above. */
    assert_true(fabs(p50 - 1600e3) < 10e3 && fabs(p99 - 1693e3) < 15e3);
    assert_int_equal(day_percentiles(two, 2, 0.01, &p50, &p99), 0);
    assert_true(p50 == 0 && p99 == 0);
    assert_int_equal(day_percentiles(NULL, 0, 0, &p50, &p99), 0);
    assert_true(p50 == 0 && p99 == 0);
}

static void test_sweep(void **state)
{
    static const char *const wrong[] = { "x", "x=1", "x=1:2", "x=1:2:0", "x=1:2:1e-12",
                                         "x=0:1000:1", "x=1:2:1 m/s", "=1:2:1", "x=nan:2:1",
                                         "x=0:inf:1" };
    struct sweep sweep;
    struct err err;
    char text[SWEEP_TEXT_MAX];

    (void)state;
    assert_int_equal(sweep_parse("g=-4:-8:0.5", &sweep, &err), 0);
    assert_int_equal(sweep.count, 9);
    sweep_value(&sweep, 8, text);
    assert_string_equal(text, "-8.0");
    assert_int_equal(sweep_parse("g=0:0.3:0.1", &sweep, &err), 0);
    assert_int_equal(sweep.count, 4); /* 0.1 + 0.1 + 0.1 is above 0.3 in binary */
    sweep_value(&sweep, 3, text);
    assert_string_equal(text, "0.3");
    assert_int_equal(sweep_parse("g=5:5:1", &sweep, &err), 0);
    assert_int_equal(sweep.count, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(sweep_parse(wrong[i], &sweep, &err), -EINVAL);
}

static void put(uint8_t *bytes, size_t *size, enum job_kind kind, const void *payload, size_t length)
{
    const struct job_record head = { (uint32_t)kind, (uint32_t)length };

    memcpy(bytes + *size, &head, sizeof head);
    memcpy(bytes + *size + sizeof head, payload, length);
    *size += sizeof head + length;
}

/* Fires of two rules, in seconds; 0 ends. */
static void fill(struct tally *tally, const double *first, const double *second)
{
    static uint8_t bytes[65536];
    const double *fires[] = { first, second };
    const struct job_end end = { .driven_ns = NS_PER_S };
    struct job_event event = { .edge = CLIP_EDGE_RISE, .has_clip = true };
    size_t size = 0;

    for (int rule = 0; rule < 2; rule++)
        for (const double *t = fires[rule]; *t > 0; t++) {
            (void)snprintf(event.rule, sizeof event.rule, "p/%c", 'a' + rule);
            event.fire_ns = llround(*t * 1e9);
            put(bytes, &size, JOB_FIRE, &event, sizeof event);
        }
    put(bytes, &size, JOB_END, &end, sizeof end);
    tally_init(tally);
    assert_int_equal(tally_take(tally, 0, bytes, size), 0);
    assert_int_equal(tally_take(tally, 1, bytes, size - 1), -EBADMSG);
    tally_deinit(tally);
    assert_int_equal(tally_take(tally, 0, bytes, size), 0);
}

static void test_diff(void **state)
{
    const double now_a[] = { 1, 5, 9.5, 20, 0 }, old_a[] = { 1, 4, 8.499999999, 30, 0 };
    const double now_b[] = { 7, 0 }, none[] = { 0 };
    struct tally now, old;
    struct diff diff;

    (void)state;
    fill(&now, now_a, now_b);
    fill(&old, old_a, none);
    assert_int_equal(diff_make(&now, &old, &diff), 0);
    assert_int_equal(diff.counts[DIFF_SAME], 1);
    assert_int_equal(diff.counts[DIFF_MOVED], 1); /* by exactly a second; 1 ns more is another */
    assert_int_equal(diff.counts[DIFF_GAINED], 3);
    assert_int_equal(diff.counts[DIFF_LOST], 2);
    assert_int_equal(diff.count, 7);
    assert_string_equal(diff.events[6].rule, "p/b");
    diff_deinit(&diff);
    tally_deinit(&now);
    tally_deinit(&old);
}

static void test_fail_if(void **state)
{
    static const char *const wrong[] = { "", "events", "events >", "events > x", "events > 1 2",
                                         "evnts > 1", "events => 1", "events <> 1", "> 1" };
    struct fail_if condition;
    struct err err;

    (void)state;
    assert_int_equal(fail_if_parse("chassis/brake:events_per_hour<=1.5", &condition, &err), 0);
    assert_string_equal(condition.rule, "chassis/brake");
    assert_string_equal(condition.relation, "<=");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(fail_if_parse(wrong[i], &condition, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval), cmocka_unit_test(test_days),    cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_diff),     cmocka_unit_test(test_fail_if),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
