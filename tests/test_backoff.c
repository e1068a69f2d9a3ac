#include "uploader/backoff.h"

#include "proto/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct backoff_config config = { NS_PER_S, 60 * NS_PER_S };

static void test_limits(void **state)
{
    static const struct {
        struct backoff_config config;
        int want;
    } cases[] = { { { 1, 1 }, 0 },
                  { { 0, 1 }, -ERANGE },
                  { { 2, 1 }, -ERANGE },
                  { { 1, BACKOFF_CAP_NS_MAX }, 0 },
                  { { 1, BACKOFF_CAP_NS_MAX + 1 }, -ERANGE } };
    struct backoff backoff;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(backoff_init(&backoff, &cases[i].config), cases[i].want);
}

/* The longest wait doubles from base to cap and stays there; the shortest is a nanosecond. */
static void test_longest_wait_doubles_up_to_the_cap(void **state)
{
    static const int64_t most_s[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
    struct backoff low, high;

    (void)state;
    (void)backoff_init(&low, &config);
    (void)backoff_init(&high, &config);
    for (size_t i = 0; i < sizeof most_s / sizeof most_s[0]; i++) {
        assert_int_equal(backoff_next(&low, 0), 1);
        assert_int_equal(backoff_next(&high, (uint64_t)(most_s[i] * NS_PER_S) - 1),
                         most_s[i] * NS_PER_S);
        assert_int_equal(backoff_next(&(struct backoff){ config, (uint32_t)i },
                                      (uint64_t)(most_s[i] * NS_PER_S)),
                         1); /* wraps: never above */
    }
    backoff_reset(&high);
    assert_int_equal(backoff_next(&high, (uint64_t)NS_PER_S - 1), NS_PER_S);
    high.failures = UINT32_MAX;
    assert_true(backoff_next(&high, UINT64_MAX) <= config.cap_ns);
    assert_int_equal(high.failures, UINT32_MAX);
}

/* Full jitter: a thousand cars that fail together spread over the whole interval. */
static void test_cars_spread_out(void **state)
{
    unsigned tenths[10] = { 0 };
    uint64_t random = 1;

    (void)state;
    for (unsigned car = 0; car < 1000; car++) {
        struct backoff backoff = { config, 4 };
        random = random * 6364136223846793005u + 1442695040888963407u;
        tenths[(backoff_next(&backoff, random >> 1) - 1) * 10 / (16 * NS_PER_S)]++;
    }
    for (unsigned i = 0; i < 10; i++)
        assert_in_range(tenths[i], 60, 140);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_longest_wait_doubles_up_to_the_cap),
        cmocka_unit_test(test_cars_spread_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
