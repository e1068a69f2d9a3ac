#include "proto/rowbuf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static struct row make_row(uint64_t step, int64_t stamp_ns, int64_t mono_ns)
{
    return (struct row){ .step = step, .mono_ns = mono_ns,
                         .frame = { .stamp_ns = stamp_ns, .id = 0x123, .len = 2, .dlc = 2,
                                    .data = { (uint8_t)step, 7 } } };
}

static void expect_next(const struct rowbuf *buf, struct rowbuf_cursor *cursor,
                        const struct row *want)
{
    struct row got;

    memset(&got, 0xa5, sizeof got);
    assert_true(rowbuf_next(buf, cursor, &got));
    assert_int_equal(got.step, want->step);
    assert_int_equal(got.mono_ns, want->mono_ns);
    assert_int_equal(got.offset_ns, want->offset_ns);
    assert_memory_equal(&got.frame, &want->frame, sizeof got.frame);
}

static void test_rows_come_back_with_step_and_mono(void **state)
{
    /* implied; stamp runs back (clamped); a step is left out; mono was raised by a row not held */
    const struct row rows[] = { make_row(5, 100, 150), make_row(6, 160, 160),
                                make_row(7, 130, 160), make_row(9, 170, 170),
                                make_row(10, 171, 500), make_row(11, 172, 500) };
    struct rowbuf *buf = rowbuf_open(4096);
    struct rowbuf_info info;

    (void)state;
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(rowbuf_put(buf, &rows[i]), 0);
    struct rowbuf_cursor cursor = rowbuf_begin(buf);
    for (size_t i = 0; i < 6; i++)
        expect_next(buf, &cursor, &rows[i]);
    struct row none;
    assert_false(rowbuf_next(buf, &cursor, &none));
    rowbuf_info(buf, &info);
    assert_int_equal(info.rows, 6);
    assert_int_equal(info.marks, 2);
    assert_int_equal(info.row_bytes, 6 * 18);
    assert_int_equal(info.bytes, 6 * 18 + 2 * ROWBUF_MARK_BYTES);
    assert_int_equal(info.stamp_min_ns, 100);
    assert_int_equal(info.stamp_max_ns, 172);
    assert_int_equal(info.last_step, 11);
    assert_int_equal(info.source_rows[0], 6);
    rowbuf_clear(buf);
    assert_int_equal(rowbuf_count(buf), 0);
    cursor = rowbuf_begin(buf);
    assert_false(rowbuf_next(buf, &cursor, &none));
    rowbuf_close(buf);
}

static void test_full_and_foreign_rows_are_refused_untouched(void **state)
{
    struct rowbuf *buf = rowbuf_open(64);
    struct row row = make_row(1, 10, 10);

    (void)state;
    assert_int_equal(rowbuf_put(buf, &row), 0);
    assert_int_equal(rowbuf_put(buf, &row), -EINVAL); /* the same step */
    row = make_row(2, 10, 9);
    assert_int_equal(rowbuf_put(buf, &row), -EINVAL); /* mono runs back */
    row = make_row(2, 10, 10);
    row.offset_ns = 1;
    assert_int_equal(rowbuf_put(buf, &row), -EINVAL); /* another offset */
    row = make_row(3, 11, 11); /* a mark and a row: 42 bytes, 18 are used */
    assert_int_equal(rowbuf_put(buf, &row), 0);
    row = make_row(4, 12, 12);
    assert_int_equal(rowbuf_put(buf, &row), -ENOBUFS);
    assert_int_equal(rowbuf_count(buf), 2);
    rowbuf_close(buf);
    assert_null(rowbuf_open(63));
    assert_null(rowbuf_open(ROWBUF_BYTES_MAX + 1));
    rowbuf_close(NULL);
}

static void test_frames_that_cannot_be_are_refused(void **state)
{
    static const struct { struct frame frame; int want; } cases[] = {
        { { .id = 0x7ff, .len = 8, .dlc = 8 }, 0 },
        { { .id = 0x800 }, -EINVAL },
        { { .id = 0x1fffffff, .flags = FRAME_EFF }, 0 },
        { { .id = 0x20000000, .flags = FRAME_EFF }, -EINVAL },
        { { .id = 0x1ff, .flags = FRAME_ERR, .len = 8, .dlc = 8 }, 0 },
        { { .id = 1, .len = 8, .dlc = 15 }, 0 },
        { { .id = 1, .len = 7, .dlc = 15 }, -EINVAL },
        { { .id = 1, .len = 8, .dlc = 16 }, -EINVAL },
        { { .id = 1, .len = 64, .dlc = 15, .flags = FRAME_FD | FRAME_BRS | FRAME_ESI }, 0 },
        { { .id = 1, .len = 9, .dlc = 9, .flags = FRAME_FD }, -EINVAL },
        { { .id = 1, .flags = FRAME_BRS }, -EINVAL },
        { { .id = 1, .flags = FRAME_RTR, .dlc = 5 }, 0 },
        { { .id = 1, .flags = FRAME_RTR, .dlc = 5, .len = 5 }, -EINVAL },
        { { .id = 1, .flags = FRAME_RTR | FRAME_FD }, -EINVAL },
        { { .id = 1, .len = 1, .dlc = 1, .data = { 0, 1 } }, -EINVAL },
        { { .id = 1, .source = SOURCES_MAX }, -EINVAL },
        { { .id = 1, .flags = 0x100 }, -EINVAL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(frame_check(&cases[i].frame), cases[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_come_back_with_step_and_mono),
        cmocka_unit_test(test_full_and_foreign_rows_are_refused_untouched),
        cmocka_unit_test(test_frames_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
