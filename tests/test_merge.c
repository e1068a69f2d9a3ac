#include "daemon/merge.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct frame frame_at(uint8_t source, int64_t stamp_ns, uint32_t id)
{
    return (struct frame){ .stamp_ns = stamp_ns, .id = id, .source = source };
}

static void put(struct merge *merge, uint8_t source, int64_t stamp_ns, uint32_t id)
{
    struct frame frame = frame_at(source, stamp_ns, id);

    assert_int_equal(merge_put(merge, &frame), 0);
}

/* What leaves, as "id" or "id*" when late, separated by spaces. */
static const char *taken(struct merge *merge)
{
    static char text[512];
    size_t length = 0;
    struct frame frame;

    text[0] = 0;
    while (merge_take(merge, &frame) == 1)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%u%s", length ? " " : "",
                                   frame.id, frame.flags & FRAME_LATE ? "*" : "");
    return text;
}

static struct merge *open_merge(uint32_t frames)
{
    struct merge *merge = NULL;

    assert_int_equal(merge_open(&merge, frames), 0);
    return merge;
}

static void test_order_is_stamp_then_source_and_a_source_keeps_its_own(void **state)
{
    struct merge *merge = open_merge(64);

    (void)state;
    put(merge, 1, 100, 1);
    put(merge, 0, 100, 2);
    put(merge, 0, 90, 3); /* behind 2 in its own source, whatever its stamp */
    put(merge, 2, 95, 4);
    assert_string_equal(taken(merge), ""); /* nothing is closed yet */
    merge_advance(merge, 99);
    assert_string_equal(taken(merge), "4");
    merge_advance(merge, 100);
    assert_string_equal(taken(merge), "2 3 1");
    merge_close(merge);
    merge_close(NULL);
}

static void test_late_is_what_was_stamped_in_closed_time(void **state)
{
    struct merge *merge = open_merge(64);
    struct merge_stats stats;

    (void)state;
    put(merge, 0, 10, 1);
    merge_advance(merge, 20);
    put(merge, 1, 20, 2);
    put(merge, 1, 21, 3);
    merge_advance(merge, 15); /* never goes back */
    put(merge, 0, 16, 4);
    assert_string_equal(taken(merge), "1 4* 2*");
    merge_advance(merge, 21);
    assert_string_equal(taken(merge), "3");
    merge_stats(merge, &stats);
    assert_int_equal(stats.late, 2);
    assert_int_equal(stats.forced, 0);
    assert_int_equal(stats.held, 0);
    merge_close(merge);
}

static void test_a_clock_step_lets_all_go_and_starts_anew(void **state)
{
    struct merge *merge = open_merge(64);
    struct merge_stats stats;

    (void)state;
    merge_advance(merge, 1000);
    put(merge, 0, 1010, 1);
    put(merge, 1, 1005, 2);
    merge_flush(merge);
    assert_string_equal(taken(merge), "2 1");
    put(merge, 0, 10, 3); /* the wall clock went back: not late */
    assert_string_equal(taken(merge), "");
    merge_advance(merge, 10);
    assert_string_equal(taken(merge), "3");
    merge_stats(merge, &stats);
    assert_int_equal(stats.late + stats.forced, 0);
    merge_close(merge);
}

static void test_full_forces_the_earliest_out_and_counts(void **state)
{
    struct merge *merge = open_merge(2);
    struct frame frame = frame_at(0, 30, 3), out;
    struct merge_stats stats;

    (void)state;
    put(merge, 0, 20, 1);
    put(merge, 1, 10, 2);
    assert_int_equal(merge_put(merge, &frame), -EAGAIN);
    assert_int_equal(merge_take(merge, &out), 1);
    assert_int_equal(out.id, 2);
    assert_int_equal(merge_take(merge, &out), 0); /* one, not all */
    assert_int_equal(merge_put(merge, &frame), 0);
    merge_stats(merge, &stats);
    assert_int_equal(stats.forced, 1);
    assert_int_equal(stats.held, 2);
    merge_close(merge);
}

/* Random arrivals with jitter below the reorder time: nothing is late, nothing lost, the order is
 * the sorted one. Jitter beyond it: late exactly when the stamp lies in closed time. */
static void test_property_jitter(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        struct merge *merge = open_merge(4096);
        struct merge_stats stats;
        uint32_t random = seed, out_count = 0, late_wanted = 0;
        int64_t jitter = seed % 2 ? 4 : 12, closed = INT64_MIN, last = INT64_MIN;
        struct frame out;

        for (int64_t now = 0; now < 2000; now++) {
            random = random * 1664525u + 1013904223u;
            int64_t stamp = now - (int64_t)(random >> 16) % (jitter + 1);
            late_wanted += stamp <= closed;
            put(merge, (uint8_t)(random >> 8 & 3), stamp, (uint32_t)now);
            closed = now - 5;
            merge_advance(merge, closed);
            while (merge_take(merge, &out) == 1) {
                out_count++;
                /* A source keeps its own order, so only the late and their followers go back. */
                if (jitter <= 4)
                    assert_true(out.stamp_ns + jitter >= last && !(out.flags & FRAME_LATE));
                last = out.stamp_ns > last ? out.stamp_ns : last;
            }
        }
        merge_stats(merge, &stats);
        assert_int_equal(out_count + stats.held, 2000);
        assert_int_equal(stats.late, late_wanted);
        assert_int_equal(late_wanted == 0, jitter <= 4);
        merge_close(merge);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_stamp_then_source_and_a_source_keeps_its_own),
        cmocka_unit_test(test_late_is_what_was_stamped_in_closed_time),
        cmocka_unit_test(test_a_clock_step_lets_all_go_and_starts_anew),
        cmocka_unit_test(test_full_forces_the_earliest_out_and_counts),
        cmocka_unit_test(test_property_jitter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
