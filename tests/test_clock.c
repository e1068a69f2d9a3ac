#include "daemon/clock.h"

#include "proto/frame.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define WALL INT64_C(1700000000000000000)

static struct clock_reading at(int64_t mono_ns, int64_t wall_ns)
{
    return (struct clock_reading){ mono_ns, wall_ns, mono_ns + 5 };
}

static void test_offset_holds_until_an_event(void **state)
{
    struct clock clock;
    struct clock_reading now = at(1000, WALL + 1000);

    (void)state;
    clock_open(&clock, &now);
    assert_int_equal(clock.offset_ns, -WALL);
    now = at(2000, WALL + 2000 + 900); /* within a microsecond: the same clock */
    assert_false(clock_event(&clock, &now));
    assert_int_equal(clock.offset_ns, -WALL);
    now = at(3000, WALL + 3000 - NS_PER_S); /* set back by a second */
    assert_true(clock_event(&clock, &now));
    assert_int_equal(clock.offset_ns, -WALL + NS_PER_S);
    assert_int_equal(clock.events, 1);
    assert_int_equal(clock.suspends, 0);
    now.boot_ns += 20 * NS_PER_MS;
    assert_true(clock_event(&clock, &now));
    assert_int_equal(clock.suspends, 1);
    assert_false(clock_event(&clock, &now));
    clock_close(&clock);
}

static void test_a_stamp_disagrees_at_the_documented_bounds(void **state)
{
    struct clock clock;
    struct clock_reading now = at(100 * NS_PER_S, WALL);
    static const struct { int64_t after_ns; bool want; } cases[] = {
        { 0, false }, { NS_PER_MS, false }, { NS_PER_MS + 1, true },
        { -60 * NS_PER_S, false }, { -60 * NS_PER_S - 1, true },
        { -WALL, true }, { INT64_MAX - WALL, true },
    };

    (void)state;
    clock_open(&clock, &now);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(clock_disagrees(&clock, WALL + cases[i].after_ns, &now), cases[i].want);
    assert_true(clock_disagrees(&clock, INT64_MIN, &now)); /* no overflow */
    clock_close(&clock);
}

static void test_the_timer_rests_while_nobody_sets_the_clock(void **state)
{
    struct clock_reading now;
    struct clock clock;

    (void)state;
    clock_read(&now);
    assert_true(now.boot_ns >= now.mono_ns);
    clock_open(&clock, &now);
    assert_false(clock_was_set(&clock));
    struct pollfd timer = { .fd = clock.fd, .events = POLLIN };
    assert_int_equal(poll(&timer, 1, 0), 0);
    clock_close(&clock);
    assert_false(clock_was_set(&clock));
    assert_true(clock_is_set(INT64_C(1900000000) * NS_PER_S));
    assert_false(clock_is_set(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offset_holds_until_an_event),
        cmocka_unit_test(test_a_stamp_disagrees_at_the_documented_bounds),
        cmocka_unit_test(test_the_timer_rests_while_nobody_sets_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
