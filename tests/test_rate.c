#include "uploader/rate.h"

#include "proto/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void test_limits(void **state) /* cmocka; includes and main() left out here */
{
    static const struct { struct rate_config config; int want; } cases[] = {
        { { 1, 1 }, 0 },       { { RATE_BYTES_PER_S_MAX, RATE_BURST_BYTES_MAX }, 0 },
        { { 0, 1 }, -ERANGE }, { { RATE_BYTES_PER_S_MAX + 1, 1 }, -ERANGE },
        { { 1, 0 }, -ERANGE }, { { 1, RATE_BURST_BYTES_MAX + 1 }, -ERANGE },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(rate_init(&(struct rate){ 0 }, &cases[i].config, 0), cases[i].want);
}

/* A wait is exact to the nanosecond, and no window carries more than burst + rate * time. */
static void test_wait_is_exact_and_rate_holds(void **state)
{
    const struct rate_config config = { .bytes_per_s = 12347, .burst_bytes = 4096 };
    int64_t now_ns = 0, extra_bytes = 0; /* paid beyond the first burst */
    uint32_t seed = 1;                   /* fixed, so that a failure repeats */
    struct rate rate;

    (void)state;
    assert_int_equal(rate_init(&rate, &config, now_ns), 0);
    assert_int_equal(rate_pay(&rate, config.burst_bytes, now_ns), 0); /* starts full */
    while (now_ns < 7200 * NS_PER_S) { /* two hours of arithmetic, no sleep */
        seed = seed * 1664525u + 1013904223u;
        int64_t bytes = 1 + seed % config.burst_bytes, wait_ns = rate_pay(&rate, bytes, now_ns);
        if (wait_ns > 0) {
            assert_int_equal(rate_pay(&rate, bytes, now_ns + wait_ns - 1), 1);
            now_ns += wait_ns;
            assert_int_equal(rate_pay(&rate, bytes, now_ns), 0);
        }
        extra_bytes += bytes;
        assert_true(extra_bytes * NS_PER_S <= now_ns * config.bytes_per_s);
    }
    assert_int_equal(rate_pay(&rate, config.burst_bytes + 1, now_ns), -EMSGSIZE);
    assert_int_equal(rate_pay(&rate, config.burst_bytes, INT64_MAX), 0); /* idle 292 years */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_wait_is_exact_and_rate_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
