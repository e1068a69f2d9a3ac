#include "proto/signals_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

static const char database[] =
    "BO_ 1 Plain: 8 N\n SG_ A : 0|8@1- (0.1,0) [0|0] \"km/h\" N\n SG_ B : 8|16@1+ (1,0) [0|0] \"\" N\n"
    "BO_ 2 Wide: 8 N\n SG_ Raw : 0|64@1+ (1,0) [0|0] \"\" N\n SG_ Scaled : 0|64@1+ (2,0) [0|0] \"\" N\n"
    "BO_ 3 Float: 8 N\n SG_ F : 0|32@1- (2,0) [0|0] \"\" N\n"
    "BO_ 4 Mux: 2 N\n SG_ S M : 0|8@1+ (1,0) [0|0] \"\" N\n SG_ X m1 : 8|8@1+ (1,0) [0|0] \"\" N\n"
    "BO_ 5 Blob: 64 N\n SG_ Blob : 0|72@1+ (1,0) [0|0] \"\" N\n"
    "BO_ 2364540158 Engine: 8 N\n SG_ T : 0|8@1+ (1,-40) [0|0] \"C\" N\n"
    "BO_ 6 Odd: 1 N\n SG_ O : 0|8@1+ (1,0) [0|0] \"a\\\"b\\c\t\xb0\" N\n"
    "VAL_ 1 B 7 \"on \\\"it\\\"\" ;\nSIG_VALTYPE_ 3 F : 1;\n"
    "BA_DEF_ BO_ \"VFrameFormat\" INT 0 3;\nBA_ \"VFrameFormat\" BO_ 2364540158 3;\n";

static const struct source_table sources = { .items = { { .name = "can0" }, { .name = "can1" } },
                                             .count = 2 };

static struct dbset *make_set(void)
{
    struct dbset *set = dbset_open();

    assert_non_null(set);
    assert_int_equal(dbset_add(set, "can0", "t.dbc", database, strlen(database), true, NULL, NULL),
                     0);
    return set;
}

static void assert_json(const struct signals_json *json, const struct frame *frame,
                        const char *want)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    assert_non_null(to);
    signals_json_put(json, frame, to);
    assert_int_equal(fclose(to), 0);
    assert_string_equal(text, want);
    free(text);
}

#define NUMBER(raw, value) "{\"raw\":" raw ",\"value\":" value ",\"label\":null,\"unit\":\"\"}"

static void test_frames_as_json(void **state)
{
    static const struct {
        struct frame frame;
        const char *want;
    } cases[] = {
        { { .id = 1, .len = 3, .data = { 0xff, 7, 0 } },
          ",\"message\":\"Plain\",\"signals\":{\"A\":{\"raw\":-1,\"value\":-0.1,\"label\":null,"
          "\"unit\":\"km/h\"},\"B\":{\"raw\":7,\"value\":7,\"label\":\"on \\\"it\\\"\",\"unit\":\"\"}}" },
        { { .id = 1, .len = 2, .data = { 3, 7 } }, /* too short for B */
          ",\"message\":\"Plain\",\"signals\":{\"A\":{\"raw\":3,\"value\":0.30000000000000004,"
          "\"label\":null,\"unit\":\"km/h\"}}" },
        { { .id = 1, .len = 0 }, ",\"message\":\"Plain\",\"signals\":{}" },
        { { .id = 2, .len = 8, .data = { 1, 0, 0, 0, 0, 0, 0, 0x80 } }, /* all 64 bits */
          ",\"message\":\"Wide\",\"signals\":{\"Raw\":"
          NUMBER("9223372036854775809", "9223372036854775809") ",\"Scaled\":"
          NUMBER("9223372036854775809", "1.8446744073709552e+19") "}" },
        { { .id = 3, .len = 4, .data = { 0, 0, 0x20, 0x41 } },
          ",\"message\":\"Float\",\"signals\":{\"F\":" NUMBER("10", "20") "}" },
        { { .id = 3, .len = 4, .data = { 0, 0, 0xc0, 0x7f } },
          ",\"message\":\"Float\",\"signals\":{\"F\":" NUMBER("null", "null") "}" },
        { { .id = 4, .len = 2, .data = { 1, 5 } },
          ",\"message\":\"Mux\",\"signals\":{\"S\":" NUMBER("1", "1") ",\"X\":" NUMBER("5", "5") "}" },
        { { .id = 4, .len = 2, .data = { 2, 5 } },
          ",\"message\":\"Mux\",\"signals\":{\"S\":" NUMBER("2", "2") "}" },
        { { .id = 5, .len = 9, .flags = FRAME_FD, .data = { 1, 2, 3, 4, 5, 6, 7, 8, 9 } },
          ",\"message\":\"Blob\",\"signals\":{\"Blob\":" NUMBER("\"090807060504030201\"", "null") "}" },
        { { .id = 0x0CF00421, .flags = FRAME_EFF, .len = 1, .data = { 0xff } },
          ",\"message\":\"Engine\",\"signals\":{\"T\":{\"raw\":255,\"value\":null,"
          "\"quality\":\"not_available\",\"label\":null,\"unit\":\"C\"}}" },
        { { .id = 0x0CF00421, .flags = FRAME_EFF, .len = 1, .data = { 0xfe } },
          ",\"message\":\"Engine\",\"signals\":{\"T\":{\"raw\":254,\"value\":null,"
          "\"quality\":\"error\",\"label\":null,\"unit\":\"C\"}}" },
        { { .id = 6, .len = 1, .data = { 1 } },
          ",\"message\":\"Odd\",\"signals\":{\"O\":{\"raw\":1,\"value\":1,\"label\":null,"
          "\"unit\":\"a\\\"b\\\\c\\u0009\xc2\xb0\"}}" },
        { { .id = 1, .flags = FRAME_EFF, .len = 8 }, "" }, /* unknown */
        { { .id = 1, .flags = FRAME_RTR }, "" },
        { { .id = 1, .source = 1, .len = 8 }, "" }, /* a bus without a database */
    };
    struct dbset *set = make_set();
    struct signals_json json;

    (void)state;
    signals_json_init(&json, set, &sources);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_json(&json, &cases[i].frame, cases[i].want);
    dbset_close(set);
}

static void test_without_databases_nothing_is_said(void **state)
{
    struct signals_json json;

    (void)state;
    signals_json_init(&json, NULL, &sources);
    assert_json(&json, &(struct frame){ .id = 1, .len = 8 }, "");
}

static void test_numbers_are_short_and_come_back(void **state)
{
    static const struct {
        double value;
        const char *want;
    } cases[] = {
        { 0.1, "0.1" },     { 1.0 / 3, "0.3333333333333333" }, { 100, "100" },  { -40, "-40" },
        { -0.0, "-0" },     { 9007199254740991.0, "9007199254740991" },         { 1e300, "1e+300" },
        { 5e-324, "4.94065645841247e-324" }, { (double)NAN, "null" }, { HUGE_VAL, "null" },
    };
    char text[SIGNALS_JSON_NUMBER_MAX];
    uint64_t bits = 1;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        signals_json_number(cases[i].value, text);
        assert_string_equal(text, cases[i].want);
    }
    for (int i = 0; i < 20000; i++) {
        double value;
        bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memcpy(&value, &bits, sizeof value);
        signals_json_number(value, text);
        if (isfinite(value))
            assert_true(strtod(text, NULL) == value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_as_json),
        cmocka_unit_test(test_without_databases_nothing_is_said),
        cmocka_unit_test(test_numbers_are_short_and_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
