#include "proto/dbc.h"
#include "proto/dbc_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#define M "BO_ 256 M: 8 N\n SG_ A : 0|8@1+ (1,0) [0|0] \"\" N\n" /* two lines; always intact */

static struct diags diags;
static struct err err;

static struct dbc *load(const char *text, bool strict)
{
    struct dbc *dbc = NULL;

    memset(&diags, 0, sizeof diags);
    int status = dbc_load(text, strlen(text), "t.dbc", strict, &diags, &err, &dbc);
    assert_true((status == 0) == (dbc != NULL));
    return dbc;
}

static struct dbc *load_good(const char *text)
{
    struct dbc *dbc = load(text, true);

    if (!dbc)
        diags_print(&diags, stderr);
    assert_non_null(dbc);
    return dbc;
}

static const struct dbc_signal *find(const struct dbc *dbc, const char *message,
                                     const char *signal)
{
    const struct dbc_message *m = dbc_message_by_name(dbc, message);

    return m ? dbc_signal_by_name(dbc, m, signal) : NULL;
}

static void assert_first(enum diag_severity severity, uint32_t line, uint32_t column,
                         const char *part)
{
    const struct diag *first = &diags.items[0];

    if (first->err.line != line || first->err.column != column || !strstr(first->err.text, part))
        print_error("%u:%u: expected %u:%u '%s', found '%s'\n", first->err.line, first->err.column,
                    line, column, part, first->err.text);
    assert_int_equal(first->severity, severity);
    assert_non_null(strstr(first->err.text, part));
    assert_int_equal(first->err.line, line);
    assert_int_equal(first->err.column, column);
    assert_string_equal(first->err.file, "t.dbc");
}

/* --- leniency (formats.md 2.1) --- */

struct place_case {
    const char *text;
    uint32_t line, column;
    const char *part; /* of the complaint */
};

/* What does not touch decoding: one warning at its place, nothing lost; strict refuses. */
static void test_harmless_damage_warns(void **state)
{
    static const struct place_case cases[] = {
        { M "CM_ SG_ 256 \"names no signal\";\n", 3, 13, "found the string" },
        { M "CM_ 256 \"of no kind\";\n", 3, 5, "SG_, BO_, BU_, EV_" },
        { M "CM_ SG_ 256 A \"no end\"\nVAL_ 256 A 1 \"x\" ;\n", 4, 1, "';'" },
        { M "/* not a DBC's comment */\n", 3, 1, "/* */" },
        { "/* */\n" M, 1, 1, "/* */" },
        { M "VAL_ 256 B 1 \"on\" ;\n", 3, 6, "has no signal 'B'" },
        { M "VAL_ 257 A 1 \"on\" ;\n", 3, 6, "no message with id 0x101" },
        { M "VAL_ 256 A Nowhere ;\n", 3, 6, "no value table 'Nowhere'" },
        { M "VAL_ 256 A 1 ;\n", 3, 14, "the value's text" },
        { M "VAL_TABLE_ T 1 2 ;\n", 3, 16, "the value's text" },
        { "BO_ 257 2017_5: 8 N\n" M, 1, 9, "begins with a letter" },
        { "BO_ 257 K: 8\n" M, 2, 1, "node that sends" },
        { "BO_ 257 K: 8 N junk\n" M, 1, 16, "nothing more" },
        { "BO_ 2048 K: 8 N\n" M, 1, 5, "taken as the 29-bit id 0x00000800" },
        { "BO_ 3758096640 K: 8 N\n" M, 1, 5, "above the 29" },
        { "BO_ 257 K: 8 N\n SG_ S : 0|8@1+ (.25,0) [0|0] \"\" N\n" M, 2, 18, "before the '.'" },
        { "BO_ 257 K: 8 N\n SG_ S : 0|8@1+ (1,0) [0|x] \"\" N\n" M, 2, 26, "without a range" },
        { "BO_ 257 K: 8 N\n SG_ S : 0|8@1+ (1,0) [0|0] N\n" M, 2, 29, "without a unit" },
        { "BO_ 257 K: 8 N\n SG_ S : 0|8@1+ (1,0) [0|0] \"\"\n" M, 3, 1, "nodes that receive" },
        { "BO_ 257 K: 8 N\n SG_ S : 0|8@1+ (1,0) [0|0] \"\" N ?\n" M, 2, 34, "'?'" },
        { M "NEW_SECTION_ 1 2 3;\n", 3, 1, "expected a section" },
        { M "BA_ \"A\" BO_ 256 ;\n", 3, 17, "a number or a string" },
        { M "BO_TX_BU_ 256 N;\n", 3, 15, "':'" },
        { M "SIG_GROUP_ 256 G 1 A;\n", 3, 20, "':'" },
        { M "EV_ V: 0 [0|1] \"\" 0 1;\n", 3, 22, "a name" },
        { "VERSION 1\n" M, 1, 9, "the version" },
        { "NS_\n" M, 2, 1, "':' after NS_" },
        { "\xef\xbb\xbf" M, 1, 1, "byte order mark" },
        { M "BO_ 257 M: 8 N\n", 3, 1, "has the name of the one in line 1" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dbc *dbc = load(cases[i].text, false);
        assert_non_null(dbc);
        assert_int_equal(diags.warnings, 1);
        assert_int_equal(diags.errors, 0);
        assert_first(DIAG_WARNING, cases[i].line, cases[i].column, cases[i].part);
        assert_non_null(find(dbc, "M", "A"));
        assert_int_equal(dbc->refused_count, 0);
        dbc_close(dbc);
        assert_null(load(cases[i].text, true));
        assert_first(DIAG_ERROR, cases[i].line, cases[i].column, cases[i].part);
        assert_int_equal(err.line, cases[i].line);
    }
}

/* What touches decoding: its signal or message is refused with a warning; the rest stands. */
static void test_damage_that_touches_decoding_refuses_its_part(void **state)
{
    static const struct {
        struct place_case place;
        const char *message, *signal; /* refused; signal "" for the message */
    } cases[] = {
        { { "BO_ 257 K: 8 N\n SG_ S : 0|8@1+ (1,0\n" M, 3, 1, "message 'K' is refused" }, "K", "" },
        { { "BO_ 257 K: 8 N\n SG_ S : 0|8@2+ (1,0) [0|0] \"\" N\n" M, 2, 14, "byte order" }, "K", "" },
        { { "BO_ 257 K: 8 N\n SG_ S q1 : 0|8@1+ (1,0) [0|0] \"\" N\n" M, 2, 8, "M, m<number>" }, "K",
          "" },
        { { "BO_ 257 K: 8 N\n SG_ S : 0|8@1 (1,0) [0|0] \"\" N\n" M, 2, 16, "'+' (unsigned)" }, "K",
          "" },
        { { "BO_ 257 K 8 N\n SG_ S : 0|8@1+ (1,0) [0|0] \"\" N\n" M, 1, 11, "':' after the name" },
          "K", "" },
        { { "BO_ 257 K: eight N\n" M, 1, 12, "bytes (0 to 65535)" }, "K", "" },
        { { M "BO_ 256 K: 8 N\n", 3, 1, "id 0x100 is that of message 'M' in line 1" }, "K", "" },
        { { "SG_ S : 0|8@1+ (1,0) [0|0] \"\" N\n" M, 1, 1, "a BO_ row before" }, "", "S" },
        { { "BO_ 257 K: 1 N\n SG_ S : 7|2@1+ (1,0) [0|0] \"\" N\n" M, 2, 2,
            "ends at byte 2 of a message of 1 bytes" }, "K", "S" },
        { { "BO_ 257 K: 1 N\n SG_ S : 0|2@0+ (1,0) [0|0] \"\" N\n" M, 2, 2, "byte 2" }, "K", "S" },
        { { "BO_ 257 K: 100 N\n SG_ S : 512|8@1+ (1,0) [0|0] \"\" N\n" M, 2, 2,
            "beyond the 64 of a frame" }, "K", "S" },
        { { "BO_ 257 K: 1 N\n SG_ S : 0|0@1+ (1,0) [0|0] \"\" N\n" M, 2, 2, "no bits" }, "K", "S" },
        { { "BO_ 257 K: 8 N\n SG_ S m1 : 0|8@1+ (1,0) [0|0] \"\" N\n" M, 2, 2,
            "no multiplexor M" }, "K", "S" },
        { { "BO_ 257 K: 8 N\n SG_ S m1 : 0|8@1+ (1,0) [0|0] \"\" N\n SG_ T M : 8|8@1+ (1,0) [0|0] \"\" N\n"
            M "SG_MUL_VAL_ 257 S U 1-1;\n", 2, 2, "'U', which is not one of" }, "K", "S" },
        { { "BO_ 257 K: 8 N\n SG_ S : 0|16@1+ (1,0) [0|0] \"\" N\n" M "SIG_VALTYPE_ 257 S : 1;\n", 2, 2,
            "float32, but it has 16 bits" }, "K", "S" },
        { { "BO_ 257 K: 16 N\n SG_ S m1 : 0|8@1+ (1,0) [0|0] \"\" N\n SG_ T M : 8|65@1+ (1,0) [0|0] \"\" N\n"
            M, 2, 2, "'T' has more than 64 bits" }, "K", "S" },
        { { "BO_ 257 K: 8 N\n" M "SIG_VALTYPE_ 257 S : x;\n", 4, 22, "float64" }, "K", "" },
        { { "BO_ 257 K: 8 N\n" M "SG_MUL_VAL_ 257 S T 3-1;\n", 4, 24, "not below" }, "K", "" },
        { { "BO_ 257 K: 8 N\n SG_ S : 0|8@1+ (1,0) [0|0] \"\" N\n SG_ S : 8|8@1+ (1,0) [0|0] \"\" N\n"
            M, 3, 2, "of this name in line 2" }, "K", "S" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct place_case *place = &cases[i].place;
        struct dbc *dbc = load(place->text, false);
        assert_non_null(dbc);
        assert_first(DIAG_WARNING, place->line, place->column, place->part);
        assert_non_null(find(dbc, "M", "A"));
        if (dbc->refused_count != 1)
            print_error("%u rows are refused by:\n%s", dbc->refused_count, place->text);
        assert_int_equal(dbc->refused_count, 1);
        assert_string_equal(dbc->refused[0].message, cases[i].message);
        assert_string_equal(dbc->refused[0].signal, cases[i].signal);
        assert_true(strlen(dbc->refused[0].reason) > 0);
        if (!cases[i].signal[0])
            assert_null(dbc_message_by_name(dbc, cases[i].message));
        dbc_close(dbc);
        assert_null(load(place->text, true));
    }
}

/* Rows about the signals of a refused message are no news. */
static void test_one_damage_is_told_once(void **state)
{
    struct dbc *dbc = load("BO_ 257 K: 8 N\n SG_ S : 0|8@1+ (1,0\n SG_ T : 8@1+\nVAL_ 257 S 1 \"on\" ;\n" M,
                           false);
    (void)state;
    assert_int_equal(diags.warnings, 2); /* S and T */
    assert_int_equal(dbc->refused_count, 1);
    dbc_close(dbc);
}

static void test_a_factor_without_its_zero_is_exact(void **state)
{
    struct dbc *dbc = load("BO_ 257 K: 8 N\n SG_ S : 0|8@1+ (-.25,0) [0|0] \"\" N\n", false);

    (void)state;
    assert_true(find(dbc, "K", "S")->layout.factor == -0.25);
    assert_string_equal(find(dbc, "K", "S")->factor_text, "-0.25");
    dbc_close(dbc);
}

static void test_what_is_utf8(void **state)
{
    static const struct {
        const char *text;
        bool want;
    } cases[] = {
        { "", true }, { "plain", true }, { "\xc2\xb0", true }, { "\xe2\x82\xac", true },
        { "\xf0\x9f\x9a\x97", true }, { "\xf4\x8f\xbf\xbf", true }, { "\xef\xbf\xbd", true },
        { "\x80", false }, { "\xc3", false }, { "\xc3x", false }, { "\xe2\x82", false },
        { "\xe2\x82x", false }, { "\xc0\xaf", false },  /* overlong */
        { "\xe0\x80\xaf", false }, { "\xf0\x80\x80\xaf", false },
        { "\xed\xa0\x80", false },                      /* a surrogate */
        { "\xf4\x90\x80\x80", false }, { "\xf5\x80\x80\x80", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(dbc_text_is_utf8(cases[i].text, strlen(cases[i].text)), cases[i].want);
}

/* Damage that makes the whole file doubtful: an error, nothing loaded, not even leniently. */
static void test_doubtful_files_are_refused(void **state)
{
    static const struct place_case cases[] = {
        { M "CM_ \"no end\n", 3, 5, "this string has no end" },
        { M "/* no end\n" M, 3, 1, "this comment has no end" },
        { "", 1, 1, "this is no DBC" },
        { "{\"frames\": []}", 1, 1, "expected a section" },
        { M "SIG_VALTYPE_ x A : 1;\n", 3, 14, "the file is refused" },
        { M "SG_MUL_VAL_ ;\n", 3, 13, "the file is refused" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(load(cases[i].text, false));
        assert_true(diags.errors > 0);
        assert_first(diags.items[0].severity, cases[i].line, cases[i].column, cases[i].part);
        assert_true(err.text[0] != '\0');
    }
}

static void test_limits(void **state)
{
    char *large = calloc(1, DBC_FILE_BYTES_MAX + 1), name[DBC_NAME_MAX + 2] = "", text[512];
    struct dbc *dbc = NULL;

    (void)state;
    assert_non_null(large);
    memset(large, '\n', DBC_FILE_BYTES_MAX + 1);
    memcpy(large, M, strlen(M));
    assert_int_equal(dbc_load(large, DBC_FILE_BYTES_MAX, "l", true, NULL, NULL, &dbc), 0);
    dbc_close(dbc);
    assert_int_equal(dbc_load(large, DBC_FILE_BYTES_MAX + 1, "l", false, NULL, &err, &dbc), -ERANGE);
    assert_non_null(strstr(err.text, "8388608"));
    free(large);

    memset(name, 'n', DBC_NAME_MAX);
    (void)snprintf(text, sizeof text, "BO_ 1 %s: 8 N\n", name);
    dbc_close(load_good(text));
    (void)snprintf(text, sizeof text, "BO_ 1 n%s: 8 N\n" M, name);
    dbc = load(text, false);
    assert_first(DIAG_WARNING, 1, 7, "at most 128 bytes");
    assert_int_equal(dbc->message_count, 1);
    dbc_close(dbc);

    /* 100 bytes of cp1252 are 200 of UTF-8. */
    memset(name, '\xe9', 100);
    name[100] = '\0';
    (void)snprintf(text, sizeof text, "BO_ 1 %s: 8 N\n" M, name);
    dbc = load(text, false);
    assert_first(DIAG_WARNING, 1, 7, "at most 128 bytes");
    dbc_close(dbc);
}

static void test_too_many_signals_of_a_message_refuse_the_file(void **state)
{
    const char *row = " SG_ S : 0|8@1+ (1,0) [0|0] \"\" N\n";
    size_t size = strlen(row);
    char *text = malloc(64 + (DBC_MESSAGE_SIGNALS_MAX + 1) * size + 1);

    (void)state;
    assert_non_null(text);
    char *end = stpcpy(text, "BO_ 1 K: 8 N\n");
    for (int i = 0; i <= DBC_MESSAGE_SIGNALS_MAX; i++)
        end = stpcpy(end, row);
    assert_null(load(text, false));
    assert_non_null(strstr(err.text, "more than 4096 signals in message K"));
    free(text);
}

/* --- grammar --- */

static void test_sections_come_in_any_order(void **state)
{
    struct dbc *dbc = load_good(
        "VAL_ 256 A 1 \"on\" ;\nSIG_VALTYPE_ 257 F : 1;\nSIG_VALTYPE_ 257 D : 2;\nBA_ \"GenMsgCycleTime\" BO_ 256 20;\n"
        "SG_MUL_VAL_ 258 X Y 1-2, 5-5;\n"
        "BO_ 257 K: 8 N\n SG_ F : 0|32@1- (1,0) [0|0] \"\" N\n SG_ D : 0|64@1- (1,0) [0|0] \"\" N\n"
        "BO_ 258 X: 8 N\n SG_ X m1 : 8|8@1+ (1,0) [0|0] \"\" N\n SG_ Y M : 0|8@1+ (1,0) [0|0] \"\" N\n"
        M);
    (void)state;
    assert_string_equal(decode_label(find(dbc, "M", "A"), 1), "on");
    assert_int_equal(find(dbc, "K", "F")->plan.kind, DECODE_FLOAT32);
    assert_int_equal(find(dbc, "K", "D")->plan.kind, DECODE_FLOAT64);
    assert_int_equal(dbc_message_by_name(dbc, "M")->cycle_ms, 20);
    assert_int_equal(find(dbc, "X", "X")->range_count, 2);
    dbc_close(dbc);
}

static void test_forms_of_white_space_and_comments(void **state)
{
    struct dbc *dbc = load_good(
        "\r\n\tVERSION \"a \\\"quoted\\\"\r\nversion\"\r\nNS_ :\r\n\tCM_\r\n\tNEW_ONE_\r\n\tFILTER\r\n"
        "BS_: 500000 : 1,2\r\nBU_: N O\r\n// BO_ 1 not: 8 here\r\n"
        "BO_ 256 M : 8 N SG_ A:0|8@1+(1E-005,-1e+3)[-5|5]\"\xc2\xb0" "C\" N,\r\n O\r\n"
        "CM_ SG_ 256 A \"two\r\nlines; BO_ \\\"x\\\"\";");
    const struct dbc_signal *a = find(dbc, "M", "A");

    (void)state;
    assert_non_null(a);
    assert_true(a->layout.factor == 1E-005);
    assert_true(a->layout.offset == -1e3);
    assert_string_equal(a->factor_text, "1E-005");
    assert_string_equal(a->unit, "\xc2\xb0" "C");
    assert_true(a->has_range);
    assert_true(a->minimum == -5.0 && a->maximum == 5.0);
    dbc_close(dbc);
}

/* "0-5" is a range, not 0 and -5; SG_MUL_VAL_ and the mark both count under an only multiplexor.
 * Ranges come out in order, and those that meet are one. */
static void test_ranges_of_multiplexors(void **state)
{
    struct dbc *dbc = load_good("BO_ 1 K: 8 N\n SG_ Y M : 0|8@1+ (1,0) [0|0] \"\" N\n"
                                " SG_ X m9 : 8|8@1+ (1,0) [0|0] \"\" N\n"
                                "SG_MUL_VAL_ 1 X Y 12 - 13 ,0-5,6-7, 1-2;\n");
    const struct dbc_signal *x = find(dbc, "K", "X");
    static const struct dbc_range want[] = { { 0, 7 }, { 9, 9 }, { 12, 13 } };

    (void)state;
    assert_int_equal(x->multiplexor, 0);
    assert_int_equal(x->range_count, 3);
    assert_memory_equal(x->ranges, want, sizeof want);
    dbc_close(dbc);
}

static void test_labels_sorted_negative_and_last_wins(void **state)
{
    struct dbc *dbc = load_good(
        M "VAL_TABLE_ T 0 \"zero\" 1 \"one\" ;\n"
        "BO_ 2 K: 8 N\n SG_ S : 0|8@1- (1,0) [0|0] \"\" N\n SG_ T : 8|8@1- (1,0) [0|0] \"\" N\n"
        "VAL_ 2 S 3 \"c\" -1 \"minus \\\"one\\\"\" 3 \"C\" 1 \"a\" ;\nVAL_ 2 T T ;\nVAL_ Variable 1 \"x\";\n");
    const struct dbc_signal *s = find(dbc, "K", "S");
    int64_t raw;

    (void)state;
    assert_int_equal(s->label_count, 3);
    assert_string_equal(decode_label(s, -1), "minus \"one\"");
    assert_string_equal(decode_label(s, 3), "C");
    assert_null(decode_label(s, 2));
    assert_int_equal(decode_label_raw(s, "a", &raw), 0);
    assert_int_equal(raw, 1);
    assert_int_equal(decode_label_raw(s, "A", &raw), -ENOENT);
    assert_string_equal(decode_label(find(dbc, "K", "T"), 1), "one");
    dbc_close(dbc);
}

static void test_long_names(void **state)
{
    struct dbc *dbc = load(
        M "BO_ 2 Short_0: 8 N\n SG_ Sig_0 : 0|8@1- (1,0) [0|0] \"\" N\n SG_ Sig_1 : 8|8@1- (1,0) [0|0] \"\" N\n"
        "BA_DEF_ BO_ \"SystemMessageLongSymbol\" STRING ;\n"
        "BA_ \"SystemMessageLongSymbol\" BO_ 2 \"A_long_name\";\n"
        "BA_ \"SystemSignalLongSymbol\" SG_ 2 Sig_0 \"Long_signal\";\n"
        "BA_ \"SystemSignalLongSymbol\" SG_ 2 Sig_1 \"Long_signal\";\n", false);
    (void)state;
    assert_string_equal(dbc_message_by_name(dbc, "A_long_name")->short_name, "Short_0");
    assert_ptr_equal(find(dbc, "Short_0", "Sig_0"), find(dbc, "A_long_name", "Long_signal"));
    /* Two signals cannot share one name: the second keeps its short one, with a warning. */
    assert_int_equal(diags.warnings, 1);
    assert_first(DIAG_WARNING, 5, 2, "taken already");
    assert_string_equal(find(dbc, "A_long_name", "Sig_1")->name, "Sig_1");
    dbc_close(dbc);
}

static void test_cp1252_becomes_utf8(void **state)
{
    struct dbc *dbc = load_good("BO_ 1 K: 8 N\n SG_ S : 0|8@1+ (1,0) [0|0] \"\xb0" "C \x80\" N\n");

    (void)state;
    assert_string_equal(find(dbc, "K", "S")->unit, "\xc2\xb0" "C \xe2\x82\xac");
    dbc_close(dbc);
}

static void test_orphan_signals_are_ignored(void **state)
{
    struct dbc *dbc = load_good("BO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 N\n"
                                " SG_ Lost : 0|8@1+ (1,0) [0|0] \"\" N\n"
                                M "VAL_ 3221225472 Lost 1 \"x\" ;\n");
    (void)state;
    assert_int_equal(dbc->message_count, 1);
    dbc_close(dbc);
}

#define FORMATS "BA_DEF_ BO_ \"VFrameFormat\" ENUM \"StandardCAN\",\"ExtendedCAN\",\"J1939PG\",\"ExtendedCAN_FD\";\n"

/* The enumeration of the file counts by its texts; as an INT the standard numbers hold. */
static void test_frame_formats_and_cycle_times(void **state)
{
    struct dbc *dbc = load_good(
        M "BO_ 2566850302 K: 64 N\nBO_ 2147483649 L: 8 N\n" FORMATS
        "BA_DEF_DEF_ \"VFrameFormat\" \"J1939PG\";\nBA_DEF_DEF_ \"GenMsgCycleTime\" 100;\n"
        "BA_ \"VFrameFormat\" BO_ 2566850302 3;\nBA_ \"GenMsgCycleTime\" BO_ 256 0;\n"
        "BA_ \"GenMsgCycleTime\" SG_ 256 A 5;\nBA_ \"SystemSignalLongSymbol\" SG_ 256 A \"\";\n"
        "BA_ \"SPN\" SG_ 256 A 190;\nBA_ \"GenSigStartValue\" SG_ 256 A 7;\n");
    (void)state;
    assert_true(dbc_message_by_name(dbc, "K")->is_fd);
    assert_false(dbc_message_by_name(dbc, "K")->is_j1939);
    assert_true(dbc_message_by_name(dbc, "L")->is_j1939);
    assert_false(dbc_message_by_name(dbc, "M")->is_j1939); /* 11 bits have no PGN */
    assert_int_equal(dbc_message_by_name(dbc, "M")->cycle_ms, 0);
    assert_int_equal(dbc_message_by_name(dbc, "K")->cycle_ms, 100);
    assert_string_equal(find(dbc, "M", "A")->name, "A"); /* an empty long name is none */
    assert_int_equal(find(dbc, "M", "A")->spn, 190);
    assert_true(find(dbc, "M", "A")->has_start_value);
    assert_true(find(dbc, "M", "A")->start_value == 7.0);
    dbc_close(dbc);
    dbc = load_good(M "BO_ 257 K: 64 N\nBA_DEF_ BO_ \"VFrameFormat\" INT 0 15;\n"
                      "BA_ \"VFrameFormat\" BO_ 257 14;\n");
    assert_true(dbc_message_by_name(dbc, "K")->is_fd);
    assert_false(dbc_message_by_name(dbc, "M")->is_fd);
    dbc_close(dbc);
}

/* --- lookup --- */

static const char *name_of(const struct dbc *dbc, uint32_t id, bool extended)
{
    const struct dbc_message *message = dbc_find(dbc, id, extended);

    return message ? message->name : "-";
}

static void test_ids_of_11_and_29_bits_are_different(void **state)
{
    struct dbc *dbc = load_good(M "BO_ 2147483904 E: 8 N\nBO_ 2047 L: 8 N\n");

    (void)state;
    assert_string_equal(name_of(dbc, 256, false), "M");
    assert_string_equal(name_of(dbc, 256, true), "E");
    assert_string_equal(name_of(dbc, 2047, false), "L");
    assert_string_equal(name_of(dbc, 2047, true), "-");
    assert_string_equal(name_of(dbc, 2048, false), "-");
    dbc_close(dbc);
}

#define PG "BA_DEF_DEF_ \"VFrameFormat\" \"J1939PG\";\n"

static void test_j1939_is_found_by_pgn(void **state)
{
    static const struct {
        uint32_t id;
        const char *want;
    } cases[] = {
        { 0x0CF004FE, "EEC1" },  { 0x18F00421, "EEC1" },   /* any priority, any source */
        { 0x0CF00503, "ETC2_03" }, { 0x0CF00504, "ETC2" }, /* one pins its source, one does not */
        { 0x0C000B27, "TSC1" },  { 0x0C00FF00, "TSC1" },   /* PDU1: any destination */
        { 0x18FEF121, "CCVS" },  { 0x18FEF221, "-" },      /* a bare PGN; PDU2: PS counts */
        { 0x19FEF121, "-" },                               /* data page is part of the PGN */
        { 0x18FF0011, "Plain" }, { 0x18FF0012, "-" },      /* not J1939: its id alone */
    };
    struct dbc *dbc = load_good(
        FORMATS PG
        "BO_ 2364540158 EEC1: 8 N\n"    /* 0x0CF004FE */
        "BO_ 2364540163 ETC2_03: 8 N\n" /* 0x0CF00503 */
        "BO_ 2364540414 ETC2: 8 N\n"    /* 0x0CF005FE */
        "BO_ 2348810494 TSC1: 8 N\n"    /* 0x0C0000FE */
        "BO_ 2164191488 CCVS: 8 N\n"    /* 0x00FEF100 */
        "BO_ 2566848529 Plain: 8 N\n"   /* 0x18FF0011 */
        "BA_ \"VFrameFormat\" BO_ 2566848529 1;\n");

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(name_of(dbc, cases[i].id, true), cases[i].want);
    dbc_close(dbc);
}

static void test_names_of_branches_form_a_chain(void **state)
{
    struct dbc *dbc = load_good("BO_ 1 K: 8 N\n SG_ Y M : 0|8@1+ (1,0) [0|0] \"\" N\n"
                                " SG_ X m1 : 8|8@1+ (1,0) [0|0] \"\" N\n"
                                " SG_ X m2 : 16|8@1+ (1,0) [0|0] \"\" N\n"
                                " SG_ X m3 : 24|8@1+ (1,0) [0|0] \"\" N\n"
                                "VAL_ 1 X 1 \"on\" ;\n");
    const struct dbc_message *k = dbc_message_by_name(dbc, "K");
    const struct dbc_signal *x = dbc_signal_by_name(dbc, k, "X");

    (void)state;
    assert_int_equal(dbc_signal_index(k, x), 1);
    assert_int_equal(x->same_name, 2);
    assert_int_equal(k->signals[2].same_name, 3);
    assert_int_equal(k->signals[3].same_name, DBC_NONE);
    assert_string_equal(decode_label(&k->signals[3], 1), "on");
    dbc_close(dbc);
}

/* One name under two multiplexors: good while one multiplexor higher up tells them apart. */
static void test_same_names_must_exclude_each_other(void **state)
{
    static const char rows[] = "BO_ 1 K: 8 N\n SG_ A M : 0|8@1+ (1,0) [0|0] \"\" N\n"
                               " SG_ B m1M : 8|8@1+ (1,0) [0|0] \"\" N\n"
                               " SG_ C m%dM : 8|8@1+ (1,0) [0|0] \"\" N\n"
                               " SG_ X m5 : 16|8@1+ (1,0) [0|0] \"\" N\n"
                               " SG_ X m6 : 24|8@1+ (1,0) [0|0] \"\" N\n"
                               "SG_MUL_VAL_ 1 B A 1-1;\nSG_MUL_VAL_ 1 C A %d-%d;\n"
                               "SG_MUL_VAL_ 1 X B 5-5;\nSG_MUL_VAL_ 1 X C 6-6;\n";
    char text[1024];

    (void)state;
    for (int value = 1; value <= 2; value++) {
        (void)snprintf(text, sizeof text, rows, value, value, value);
        struct dbc *dbc = load(text, false);
        assert_int_equal(dbc->refused_count, value == 1);
        assert_int_equal(dbc->messages[0].signal_count, value == 1 ? 4 : 5);
        dbc_close(dbc);
    }
}

/* A multiplexor that is refused takes those below it along; rings are refused. */
static void test_what_hangs_below_a_refused_multiplexor_is_refused(void **state)
{
    struct dbc *dbc = load("BO_ 1 K: 1 N\n SG_ Y M : 8|8@1+ (1,0) [0|0] \"\" N\n"
                           " SG_ X m1 : 0|8@1+ (1,0) [0|0] \"\" N\n SG_ Z : 0|8@1+ (1,0) [0|0] \"\" N\n"
                           "BO_ 2 R: 8 N\n SG_ A m1M : 0|8@1+ (1,0) [0|0] \"\" N\n"
                           " SG_ B m1M : 8|8@1+ (1,0) [0|0] \"\" N\n"
                           "SG_MUL_VAL_ 2 A B 1-1;\nSG_MUL_VAL_ 2 B A 1-1;\n", false);
    (void)state;
    assert_int_equal(dbc_message_by_name(dbc, "K")->signal_count, 1);
    assert_non_null(find(dbc, "K", "Z"));
    assert_int_equal(dbc_message_by_name(dbc, "R")->signal_count, 0);
    assert_int_equal(dbc->refused_count, 4);
    dbc_close(dbc);
}

/* Every cut of a file either loads or is refused; it never crashes (ASan watches). */
static void test_every_cut_is_survived(void **state)
{
    const char *text = "VERSION \"\"\nNS_ :\n\tCM_\nBS_:\nBU_: N\n" M
                       "BO_ 2 K: 8 N\n SG_ Y m1M : 0|8@1+ (1,0) [0|0] \"\" N\n/* c */\n"
                       "CM_ SG_ 256 A \"x\";\n" FORMATS "BA_ \"VFrameFormat\" BO_ 256 3;\n"
                       "VAL_ 256 A 1 \"on\" ;\nSIG_VALTYPE_ 256 A : 0;\nSG_MUL_VAL_ 2 Y Y 1-2,3-4;\n";

    (void)state;
    for (size_t size = 0; size <= strlen(text); size++) {
        char *copy = malloc(size + 1); /* on the heap, so that one byte beyond is seen */
        struct dbc *dbc = NULL;
        assert_non_null(copy);
        memcpy(copy, text, size);
        if (dbc_load(copy, size, "cut", false, NULL, NULL, &dbc) == 0)
            dbc_close(dbc);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_harmless_damage_warns),
        cmocka_unit_test(test_damage_that_touches_decoding_refuses_its_part),
        cmocka_unit_test(test_one_damage_is_told_once),
        cmocka_unit_test(test_a_factor_without_its_zero_is_exact),
        cmocka_unit_test(test_what_is_utf8),
        cmocka_unit_test(test_doubtful_files_are_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_too_many_signals_of_a_message_refuse_the_file),
        cmocka_unit_test(test_sections_come_in_any_order),
        cmocka_unit_test(test_forms_of_white_space_and_comments),
        cmocka_unit_test(test_ranges_of_multiplexors),
        cmocka_unit_test(test_labels_sorted_negative_and_last_wins),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_cp1252_becomes_utf8),
        cmocka_unit_test(test_orphan_signals_are_ignored),
        cmocka_unit_test(test_frame_formats_and_cycle_times),
        cmocka_unit_test(test_ids_of_11_and_29_bits_are_different),
        cmocka_unit_test(test_j1939_is_found_by_pgn),
        cmocka_unit_test(test_names_of_branches_form_a_chain),
        cmocka_unit_test(test_same_names_must_exclude_each_other),
        cmocka_unit_test(test_what_hangs_below_a_refused_multiplexor_is_refused),
        cmocka_unit_test(test_every_cut_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
