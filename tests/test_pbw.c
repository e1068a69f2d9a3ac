/* Bytes worked out by hand from the encoding guide (protobuf.dev, "Encoding").
 * tests/oracle/mcap_python.py loads descriptors made by pbw with the official library. */
#include "proto/pbw.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static uint8_t buffer[4096];

#define assert_bytes(w, ...) \
    do { \
        const uint8_t want_[] = { __VA_ARGS__ }; \
        assert_false((w).failed); \
        assert_int_equal((w).used, sizeof want_); \
        assert_memory_equal((w).bytes, want_, sizeof want_); \
    } while (0)

static void test_each_wire_type(void **state)
{
    struct pbw w = pbw_init(buffer, sizeof buffer);

    (void)state;
    pbw_uint(&w, 1, 150);
    assert_bytes(w, 0x08, 0x96, 0x01);
    w = pbw_init(buffer, sizeof buffer);
    pbw_int(&w, 1, -1);
    assert_bytes(w, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
    w = pbw_init(buffer, sizeof buffer);
    pbw_sint(&w, 2, -2);
    assert_bytes(w, 0x10, 0x03);
    w = pbw_init(buffer, sizeof buffer);
    pbw_fixed32(&w, 3, 0x01020304);
    assert_bytes(w, 0x1d, 4, 3, 2, 1);
    w = pbw_init(buffer, sizeof buffer);
    pbw_double(&w, 4, 1.0);
    assert_bytes(w, 0x21, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f);
    w = pbw_init(buffer, sizeof buffer);
    pbw_text(&w, 2, "testing");
    assert_bytes(w, 0x12, 7, 't', 'e', 's', 't', 'i', 'n', 'g');
    w = pbw_init(buffer, sizeof buffer);
    pbw_uint(&w, PBW_FIELD_MAX, 0);
    assert_bytes(w, 0xf8, 0xff, 0xff, 0xff, 0x0f, 0);
}

static void test_nested_message_moves_up_when_its_length_needs_more_bytes(void **state)
{
    static const uint8_t long_text[200];
    struct pbw w = pbw_init(buffer, sizeof buffer);

    (void)state;
    pbw_begin(&w, 3);
    pbw_uint(&w, 1, 150);
    pbw_end(&w);
    assert_bytes(w, 0x1a, 3, 0x08, 0x96, 0x01);

    w = pbw_init(buffer, sizeof buffer);
    pbw_begin(&w, 1);
    pbw_begin(&w, 1);
    pbw_bytes(&w, 1, long_text, sizeof long_text); /* 203 bytes in 2-byte lengths */
    pbw_end(&w);
    pbw_uint(&w, 2, 7);
    pbw_end(&w);
    assert_false(w.failed);
    assert_int_equal(w.used, 3 + 3 + 203 + 2);
    const uint8_t head[] = { 0x0a, 0xd0, 0x01, 0x0a, 0xcb, 0x01, 0x0a, 0xc8, 0x01 };
    assert_memory_equal(buffer, head, sizeof head);
    assert_int_equal(buffer[w.used - 1], 7);
    assert_int_equal(buffer[w.used - 2], 0x10);
}

/* At every size below the one needed it fails, sticky, and writes nothing beyond. */
static void test_a_buffer_too_small_fails_at_every_size(void **state)
{
    static uint8_t text[130];
    uint8_t small[160];

    (void)state;
    for (size_t size = 0; size < 140; size++) {
        memset(small, 0xa5, sizeof small);
        struct pbw w = pbw_init(small, size);
        pbw_begin(&w, 1);
        pbw_bytes(&w, 1, text, sizeof text);
        pbw_end(&w);
        pbw_uint(&w, 2, 1);
        assert_int_equal(w.failed, size < 138);
        for (size_t i = size; i < sizeof small; i++)
            assert_int_equal(small[i], 0xa5);
    }
}

static void test_depth_is_bounded(void **state)
{
    struct pbw w = pbw_init(buffer, sizeof buffer);

    (void)state;
    for (int i = 0; i < PBW_DEPTH_MAX; i++)
        pbw_begin(&w, 1);
    assert_false(w.failed);
    pbw_begin(&w, 1);
    assert_true(w.failed);
}

static void test_descriptor_set_of_one_message(void **state)
{
    static const struct pbw_field fields[] = {
        { "a", 1, PBW_DOUBLE, NULL, false },
        { "v", 2, PBW_MESSAGE, ".p.V", true },
    };
    static const struct pbw_message message = { "M", fields, 2 };
    struct pbw w = pbw_init(buffer, sizeof buffer);

    (void)state;
    pbw_descriptor_set(&w, &(struct pbw_file){ "f", "p", &message, 1 });
    assert_bytes(w, 0x0a, 39,          /* file */
                 0x0a, 1, 'f',         /* name */
                 0x12, 1, 'p',         /* package */
                 0x22, 31,             /* message */
                 0x0a, 1, 'M',         /* its name */
                 0x12, 9, 0x0a, 1, 'a', 0x18, 1, 0x20, 1, 0x28, 1,
                 0x12, 15, 0x0a, 1, 'v', 0x18, 2, 0x20, 3, 0x28, 11, 0x32, 4, '.', 'p',
                 '.', 'V');
}

static void test_any_name_becomes_an_identifier(void **state)
{
    static const struct {
        const char *name, *want;
    } cases[] = {
        { "Speed", "Speed" },   { "1st", "_1st" },          { "", "_" },
        { "a-b c", "a_b_c" },   { "\xc3\xa4", "__" },       { "_x", "_x" },
        { ".a", "_a" },         { "abcdefghijkl", "abcdefg" }, { "1234567890", "_123456" },
    };
    char text[8];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(pbw_identifier(cases[i].name, text, sizeof text), strlen(cases[i].want));
        assert_string_equal(text, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_wire_type),
        cmocka_unit_test(test_nested_message_moves_up_when_its_length_needs_more_bytes),
        cmocka_unit_test(test_a_buffer_too_small_fails_at_every_size),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_descriptor_set_of_one_message),
        cmocka_unit_test(test_any_name_becomes_an_identifier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
