#include "proto/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void test_place_is_printed_as_far_as_it_is_known(void **state)
{
    struct err err;
    char text[128];

    (void)state;
    assert_int_equal(err_at(&err, -EBADMSG, "a.dbc", 3, 7, "found '%s'", "x"), -EBADMSG);
    (void)err_format(&err, text, sizeof text);
    assert_string_equal(text, "a.dbc:3:7: found 'x'");
    (void)err_at(&err, -EBADMSG, "a.dbc", 3, 0, "x");
    (void)err_format(&err, text, sizeof text);
    assert_string_equal(text, "a.dbc:3: x");
    assert_int_equal(err_plain(&err, -EINVAL, "x"), -EINVAL);
    (void)err_format(&err, text, sizeof text);
    assert_string_equal(text, "x");
    assert_int_equal(err_at(NULL, -EINVAL, "a", 1, 1, "x"), -EINVAL);
}

/* A pack that somebody else wrote cannot move the cursor nor turn a line around. */
static void test_what_hides_is_escaped(void **state)
{
    static const struct { const char *found, *want; } cases[] = {
        { "a\x1b[2Jb", "a\\x1b[2Jb" }, { "\r\n\t\x7f", "\\x0d\\x0a\\x09\\x7f" },
        { "t\xe2\x80\xae" "abc", "t\\xe2\\x80\\xaeabc" }, { "\xe2\x81\xa6", "\\xe2\\x81\\xa6" },
        { "\xd8\x9c\xef\xbb\xbf", "\\xd8\\x9c\\xef\\xbb\\xbf" }, { "\xc2\x85", "\\xc2\\x85" },
        { "\xe2\x80\x8b", "\\xe2\\x80\\x8b" }, { "\xff\xc0\x80", "\\xff\\xc0\\x80" },
        { "\xe2\x80", "\\xe2\\x80" }, { "gr\xc3\xbc\xc3\x9f \xe4\xbd\xa0 \xf0\x9f\x9a\x97", "gr\xc3\xbc\xc3\x9f \xe4\xbd\xa0 \xf0\x9f\x9a\x97" },
    };
    static struct diags diags;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)err_at(&err, -EBADMSG, cases[i].found, 1, 1, "%s", cases[i].found);
        assert_string_equal(err.text, cases[i].want);
        assert_string_equal(err.file, cases[i].want);
        (void)err_plain(&err, -EBADMSG, "%s", err.text); /* once more changes nothing */
        assert_string_equal(err.text, cases[i].want);
        memset(&diags, 0, sizeof diags);
        diags_add(&diags, DIAG_ERROR, "E1", "f", 1, 1, "%s", cases[i].found);
        assert_string_equal(diags.items[0].err.text, cases[i].want);
    }
    char longest[2 * ERR_TEXT_MAX];
    memset(longest, '\x1b', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    (void)err_plain(&err, -EBADMSG, "%s", longest);
    assert_true(strlen(err.text) < ERR_TEXT_MAX && strlen(err.text) > ERR_TEXT_MAX - 6);
}

static void test_diags_count_what_they_do_not_hold(void **state)
{
    static struct diags diags;

    (void)state;
    memset(&diags, 0, sizeof diags);
    for (int i = 0; i < DIAGS_MAX + 5; i++)
        diags_add(&diags, i % 2 ? DIAG_WARNING : DIAG_ERROR, "E201", "a", 1, 1, "%d", i);
    assert_int_equal(diags.count, DIAGS_MAX);
    assert_int_equal(diags.errors + diags.warnings, DIAGS_MAX + 5);
    assert_string_equal(diags.items[DIAGS_MAX - 1].err.text, "63");
}

static void test_nearest_name_is_one_that_could_be_meant(void **state)
{
    static const char *const names[] = { "speed", "steer", "brake_pedal" };

    (void)state;
    assert_string_equal(err_nearest("speeed", names, 3), "speed");
    assert_string_equal(err_nearest("BRAKE_pedl", names, 3), "brake_pedal");
    assert_null(err_nearest("ignition", names, 3));
    assert_null(err_nearest("speed", names, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_place_is_printed_as_far_as_it_is_known),
        cmocka_unit_test(test_what_hides_is_escaped),
        cmocka_unit_test(test_diags_count_what_they_do_not_hold),
        cmocka_unit_test(test_nearest_name_is_one_that_could_be_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
