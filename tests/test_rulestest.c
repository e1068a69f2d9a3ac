/* The parts of `roadloop test` that need no drive: encoding of signals, notation of samples, mutants. */
#include "proto/encode.h"
#include "tools/rulestest/mutate.h"
#include "tools/rulestest/samples.h"
#include "tools/rulestest/stimulus.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static uint64_t seed = 1;

static uint64_t draw(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return seed ^ seed >> 29;
}

/* Random layouts: what is written is read, and no other bit changes. */
static void test_encode(void **state)
{
    uint32_t tried = 0;

    (void)state;
    for (uint32_t i = 0; i < 200000; i++) {
        struct decode_layout layout = { .start = (uint32_t)(draw() % 512),
                                        .bits = 1 + (uint32_t)(draw() % 64),
                                        .big_endian = draw() % 2,
                                        .kind = draw() % 2 ? DECODE_SIGNED : DECODE_UNSIGNED,
                                        .factor = 1 };
        struct decode_plan plan;
        uint8_t before[FRAME_DATA_MAX], after[FRAME_DATA_MAX];
        uint64_t raw = draw(), old;

        if (decode_plan_init(&plan, &layout, FRAME_DATA_MAX))
            continue;
        tried++;
        for (size_t k = 0; k < sizeof before; k++)
            before[k] = (uint8_t)draw();
        memcpy(after, before, sizeof after);
        encode_raw(&plan, raw, after);
        assert_true(decode_raw(&plan, after) == (raw & plan.mask));
        old = decode_raw(&plan, before);
        encode_raw(&plan, old, after);
        assert_memory_equal(before, after, sizeof before);
    }
    assert_true(tried > 100000);
}

static void test_encode_physical(void **state)
{
    struct decode_layout layout = { .start = 0, .bits = 12, .kind = DECODE_SIGNED, .factor = 0.025 };
    struct decode_plan plan;
    uint64_t raw;

    (void)state;
    assert_int_equal(decode_plan_init(&plan, &layout, 8), 0);
    assert_int_equal(encode_physical(&plan, -1.05, &raw), 0);
    assert_int_equal(raw, 4096 - 42);
    assert_int_equal(encode_physical(&plan, 51.175, &raw), 0);
    assert_int_equal(encode_physical(&plan, 51.2, &raw), -ERANGE);
    assert_int_equal(encode_physical(&plan, -51.2, &raw), 0);
    assert_int_equal(encode_physical(&plan, -51.225, &raw), -ERANGE);
    assert_int_equal(encode_physical(&plan, NAN, &raw), -EINVAL);
}

static void parts(const char *text, int wanted, struct samples_part *ret_last)
{
    struct samples_part part;
    const char *why;
    uint32_t at = 0;
    int rc, count = 0;

    while ((rc = samples_next(text, &at, &part, &why)) == 1) {
        count++;
        *ret_last = part;
    }
    if ((rc ? rc : count) != wanted)
        fail_msg("'%s' gives %d, not %d", text, rc ? rc : count, wanted);
}

static void test_samples(void **state)
{
    static const char *const wrong[] = { "abc", "80x", "80x-1", "80x100000", "'OPEN", "''", "1 2y", "nan",
                                         "inf", "0x1p3", "1+-", "--1", "stalest", "1e999", "_x0", "x5" };
    struct samples_part part;

    (void)state;
    parts("80x50 80-1.2x40 _x5 stale", 4, &part);
    assert_int_equal(part.kind, SAMPLE_STALE);
    parts("80-1.2x40", 1, &part);
    assert_true(part.number == 80 && part.step == -1.2 && part.count == 41);
    parts("0x5", 1, &part);
    assert_true(part.number == 0 && part.count == 6);
    parts("-0.5e1+0x3", 1, &part);
    assert_true(part.number == -5 && part.step == 0 && part.count == 4);
    parts("_x5", 1, &part);
    assert_true(part.kind == SAMPLE_NONE && part.count == 5);
    parts("'N/A x2'x2", 1, &part);
    assert_string_equal(part.label, "N/A x2");
    assert_int_equal(part.count, 3);
    parts("true false unk", 3, &part);
    parts("", 0, &part);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        parts(wrong[i], -EINVAL, &part);
}

static void test_durations(void **state)
{
    int64_t ns;

    (void)state;
    assert_int_equal(duration_parse("1500ms", &ns), 0);
    assert_true(ns == 1500 * NS_PER_MS);
    assert_int_equal(duration_parse("-2s", &ns), 0);
    assert_true(ns == -2 * NS_PER_S);
    assert_int_equal(duration_parse("0", &ns), 0);
    assert_int_equal(duration_parse("0.1ms", &ns), 0);
    assert_true(ns == 100000);
    assert_int_equal(duration_parse("1", &ns), -EINVAL);
    assert_int_equal(duration_parse("1 s", &ns), -EINVAL);
    assert_int_equal(duration_parse("1e300h", &ns), -EINVAL);
}

/* All of them, in order, and the pack around the change as it was. */
static void test_mutants(void **state)
{
    static const char pack[] = "params:\n  p: {value: -2 m/s^2, min: -9 m/s^2}\n"
                               "macros: {m: \"a > 5\"}\n"
                               "rules:\n"
                               "  - {name: r, when: 'b == ''X 1'' and not c9 or $p2 < d', for: 100ms}\n"
                               "  - {name: s, when: e, unless: [{name: u, if: f >= 0}]}\n";
    static const char *const wanted[] = { "value: \"-2.2 m/s^2\"", "value: \"-1.8 m/s^2\"",
                                          "\"a < 5\"", "\"a > 5.5\"", "\"a > 4.5\"",
                                          "\"b == 'X 1' or not c9 or $p2 < d\"",
                                          "\"b == 'X 1' and not c9 and $p2 < d\"",
                                          "\"b == 'X 1' and not c9 or $p2 > d\"", "for: \"0\"",
                                          "\"f <= 0\"" };
    struct yaml_tree *tree;
    struct mutant mutant = { .bytes = NULL };
    struct err err;
    uint32_t count = 0;

    (void)state;
    assert_int_equal(yaml_open(pack, sizeof pack - 1, "p.yaml", &err, &tree), 0);
    while (mutant_make(tree, pack, sizeof pack - 1, count, &mutant) == 1) {
        assert_true(count < sizeof wanted / sizeof *wanted);
        if (!memmem(mutant.bytes, mutant.size, wanted[count], strlen(wanted[count])))
            fail_msg("mutant %u is\n%.*s", count, (int)mutant.size, mutant.bytes);
        mutant_deinit(&mutant);
        count++;
    }
    assert_int_equal(count, sizeof wanted / sizeof *wanted);
    yaml_close(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),    cmocka_unit_test(test_encode_physical),
        cmocka_unit_test(test_samples),   cmocka_unit_test(test_durations),
        cmocka_unit_test(test_mutants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
