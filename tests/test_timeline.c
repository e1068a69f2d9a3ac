#include "proto/timeline.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct frame frame_at(int64_t stamp_ns)
{
    return (struct frame){ .stamp_ns = stamp_ns, .id = 0x100, .len = 0 };
}

static void test_small_backward_steps_are_clamped_and_large_ones_rebase(void **state)
{
    static const struct {
        int64_t stamp_ns;
        enum timeline_place place;
        int64_t mono_ns, offset_ns;
    } cases[] = {
        { 1000000000, TIMELINE_PLAIN, 1000000000, 0 },
        { 1100000000, TIMELINE_PLAIN, 1100000000, 0 },
        { 1050000000, TIMELINE_CLAMPED, 1100000000, 0 }, /* exactly 50 ms */
        { 1100000000, TIMELINE_PLAIN, 1100000000, 0 },
        { 1049999999, TIMELINE_DISCONTINUITY, 1100000000, 50000001 },
        { 1050000000, TIMELINE_PLAIN, 1100000001, 50000001 },
        { 9000000000, TIMELINE_PLAIN, 9050000001, 50000001 }, /* forward is never a jump here */
        { 0, TIMELINE_DISCONTINUITY, 9050000001, 9050000001 },
    };
    struct timeline timeline;

    (void)state;
    timeline_init(&timeline);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct frame frame = frame_at(cases[i].stamp_ns);
        struct row row;

        assert_int_equal(timeline_put(&timeline, &frame, &row), cases[i].place);
        assert_int_equal(row.step, i);
        assert_int_equal(row.mono_ns, cases[i].mono_ns);
        assert_int_equal(row.offset_ns, cases[i].offset_ns);
        assert_int_equal(row.frame.stamp_ns, cases[i].stamp_ns);
    }
    assert_int_equal(timeline.clamped, 1);
    assert_int_equal(timeline.discontinuities, 2);
}

static void test_a_late_frame_is_never_a_discontinuity(void **state)
{
    struct timeline timeline;
    struct frame frame = frame_at(5 * NS_PER_S);
    struct row row;

    (void)state;
    timeline_init(&timeline);
    assert_int_equal(timeline_put(&timeline, &frame, &row), TIMELINE_PLAIN);
    frame = frame_at(1 * NS_PER_S);
    frame.flags = FRAME_LATE;
    assert_int_equal(timeline_put(&timeline, &frame, &row), TIMELINE_CLAMPED);
    assert_int_equal(row.mono_ns, 5 * NS_PER_S);
    assert_int_equal(timeline.offset_ns, 0);
}

static void test_extreme_stamps_do_not_overflow(void **state)
{
    static const int64_t stamps[] = { INT64_MAX, INT64_MIN, INT64_MAX, 0, INT64_MIN, 7 };
    struct timeline timeline;
    int64_t last_ns = INT64_MIN;

    (void)state;
    timeline_init(&timeline);
    for (size_t i = 0; i < sizeof stamps / sizeof stamps[0]; i++) {
        struct frame frame = frame_at(stamps[i]);
        struct row row;

        (void)timeline_put(&timeline, &frame, &row);
        assert_true(row.mono_ns >= last_ns);
        assert_in_range((uint64_t)row.mono_ns + (uint64_t)TIMELINE_MONO_MAX_NS, 0,
                        2 * (uint64_t)TIMELINE_MONO_MAX_NS);
        last_ns = row.mono_ns;
    }
}

static void test_recorded_places_are_obeyed_and_never_run_back(void **state)
{
    struct timeline timeline;
    struct row row = { .step = 40, .mono_ns = 700, .offset_ns = 5, .frame = frame_at(695) };

    (void)state;
    timeline_init(&timeline);
    assert_int_equal(timeline_obey(&timeline, &row), TIMELINE_PLAIN);
    assert_int_equal(timeline_obey(&timeline, &row), -EINVAL); /* the step again */
    row.step = 50;
    row.mono_ns = 699;
    assert_int_equal(timeline_obey(&timeline, &row), -EINVAL);
    row.mono_ns = 701;
    assert_int_equal(timeline_obey(&timeline, &row), TIMELINE_CLAMPED);
    row.step = 51;
    row.offset_ns = 6;
    assert_int_equal(timeline_obey(&timeline, &row), TIMELINE_DISCONTINUITY);
    assert_int_equal(timeline.next_step, 52);
    row.step = 52;
    row.mono_ns = TIMELINE_MONO_MAX_NS + 1;
    assert_int_equal(timeline_obey(&timeline, &row), -EINVAL);
    row.mono_ns = TIMELINE_MONO_MAX_NS;
    row.frame.stamp_ns = row.offset_ns = INT64_MAX;
    assert_int_equal(timeline_obey(&timeline, &row), TIMELINE_DISCONTINUITY);
    row.step = 53;
    assert_int_equal(timeline_obey(&timeline, &row), TIMELINE_CLAMPED);
}

static void test_a_clock_event_moves_the_offset_not_the_time(void **state)
{
    struct timeline timeline;
    struct frame frame = frame_at(1000);
    struct row row;

    (void)state;
    timeline_init(&timeline);
    assert_false(timeline_clock(&timeline, -900, 100)); /* before the first row: no jump */
    assert_int_equal(timeline_put(&timeline, &frame, &row), TIMELINE_PLAIN);
    assert_int_equal(row.mono_ns, 100);
    assert_false(timeline_clock(&timeline, -900, 50));
    assert_true(timeline_clock(&timeline, -5000, 200));
    frame.stamp_ns = 5300;
    assert_int_equal(timeline_put(&timeline, &frame, &row), TIMELINE_PLAIN);
    assert_int_equal(row.mono_ns, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_backward_steps_are_clamped_and_large_ones_rebase),
        cmocka_unit_test(test_a_late_frame_is_never_a_discontinuity),
        cmocka_unit_test(test_extreme_stamps_do_not_overflow),
        cmocka_unit_test(test_recorded_places_are_obeyed_and_never_run_back),
        cmocka_unit_test(test_a_clock_event_moves_the_offset_not_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
