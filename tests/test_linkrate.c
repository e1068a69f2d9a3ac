/* The rate of a link, from reports. */
#include "uploader/linkrate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define S INT64_C(1000000000)

static void nothing_measured_is_zero(void **state)
{
    struct linkrate rate = { 0 };

    (void)state;
    assert_int_equal(linkrate_get(&rate), 0);
    linkrate_put(&rate, 0, 0, S);
    assert_int_equal(linkrate_get(&rate), 0);
}

static void values_under_way_together_share_the_time(void **state)
{
    struct linkrate rate = { 0 };

    (void)state;
    for (int i = 1; i <= 4; i++) /* all handed over at 0, a report a second */
        linkrate_put(&rate, 8000, 0, i * S);
    assert_int_equal(linkrate_get(&rate), 8000);
}

static void idle_time_does_not_count(void **state)
{
    struct linkrate rate = { 0 };

    (void)state;
    linkrate_put(&rate, 8000, 0, S);
    linkrate_put(&rate, 8000, 100 * S, 101 * S);
    assert_int_equal(linkrate_get(&rate), 8000);
}

static void the_past_is_forgotten_by_halves(void **state)
{
    struct linkrate rate = { 0 };

    (void)state;
    for (int i = 0; i < 10; i++)
        linkrate_put(&rate, 1000000, i * S, (i + 1) * S);
    assert_int_equal(linkrate_get(&rate), 1000000);
    for (int i = 10; i < 60; i++)
        linkrate_put(&rate, 1000, i * S, (i + 1) * S);
    assert_in_range(linkrate_get(&rate), 1000, 3000);
}

static void what_failed_takes_time_and_no_bytes(void **state)
{
    struct linkrate rate = { 0 };

    (void)state;
    linkrate_put(&rate, 0, 0, 5 * S);
    linkrate_put(&rate, 8000, 0, 6 * S);
    assert_int_equal(linkrate_get(&rate), 8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_measured_is_zero),
        cmocka_unit_test(values_under_way_together_share_the_time),
        cmocka_unit_test(idle_time_does_not_count),
        cmocka_unit_test(the_past_is_forgotten_by_halves),
        cmocka_unit_test(what_failed_takes_time_and_no_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
