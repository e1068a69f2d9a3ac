#include "proto/dbc.h"
#include "proto/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>

static uint32_t seed = 1;

static uint32_t next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static struct decode_plan plan_of(uint32_t start, uint32_t bits, bool big_endian,
                                  enum decode_kind kind)
{
    struct decode_layout layout = { .start = start, .bits = bits, .big_endian = big_endian,
                                    .kind = kind, .factor = 1, .factor_integral = true,
                                    .factor_int = 1, .offset_integral = true };
    struct decode_plan plan;

    assert_int_equal(decode_plan_init(&plan, &layout, FRAME_DATA_MAX), 0);
    return plan;
}

/* The slow, obvious way: bit by bit, most significant last for Intel, first for Motorola. */
static uint64_t bits_one_by_one(uint32_t start, uint32_t bits, bool big_endian,
                                const uint8_t *data)
{
    uint64_t value = 0;
    uint32_t bit = start;

    for (uint32_t i = 0; i < bits; i++) {
        uint64_t one = data[bit / 8] >> bit % 8 & 1;
        if (big_endian) {
            value = value << 1 | one;
            bit = bit % 8 ? bit - 1 : bit + 15; /* bit 0 of a byte wraps to bit 7 of the next */
        } else {
            value |= one << i;
            bit++;
        }
    }
    return value;
}

/* Every start and length in 64 bytes, both orders, on random bytes: 65,000 layouts. */
static void test_every_layout_equals_the_slow_way(void **state)
{
    uint32_t done = 0;

    (void)state;
    for (uint32_t start = 0; start < 8 * FRAME_DATA_MAX; start++) {
        for (uint32_t bits = 1; bits <= 64; bits++) {
            for (int big = 0; big < 2; big++) {
                struct decode_layout layout = { .start = start, .bits = bits, .big_endian = big,
                                                .factor = 1 };
                struct decode_plan plan;
                uint8_t data[FRAME_DATA_MAX];
                bool fits = decode_layout_end(&layout) <= FRAME_DATA_MAX;
                assert_int_equal(decode_plan_init(&plan, &layout, FRAME_DATA_MAX),
                                 fits ? 0 : -ERANGE);
                if (!fits)
                    continue;
                for (size_t i = 0; i < sizeof data; i++)
                    data[i] = (uint8_t)next_random();
                assert_true(decode_raw(&plan, data) == bits_one_by_one(start, bits, big, data));
                done++;
            }
        }
    }
    assert_true(done > 60000);
}

static void test_signs_extend(void **state)
{
    static const struct {
        uint32_t bits;
        uint8_t byte;
        int64_t want;
    } cases[] = { { 8, 0x80, -128 }, { 8, 0x7f, 127 }, { 1, 1, -1 }, { 1, 0, 0 }, { 4, 0x08, -8 } };
    uint8_t ones[FRAME_DATA_MAX];
    struct decoded value;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t data[FRAME_DATA_MAX] = { cases[i].byte };
        struct decode_plan plan = plan_of(0, cases[i].bits, false, DECODE_SIGNED);
        decode_value(&plan, data, 8, &value);
        assert_true(value.raw_signed == cases[i].want);
        assert_true(value.physical == (double)cases[i].want);
    }
    memset(ones, 0xff, sizeof ones);
    struct decode_plan plan = plan_of(0, 64, false, DECODE_SIGNED);
    decode_value(&plan, ones, 8, &value);
    assert_true(value.raw_signed == -1 && value.raw == UINT64_MAX);
}

static void test_floats_in_both_orders(void **state)
{
    static const uint8_t little[FRAME_DATA_MAX] = { 0, 0, 0x20, 0xc1 };             /* -10.0f */
    static const uint8_t big[FRAME_DATA_MAX] = { 0x40, 0x09, 0x21, 0xfb, 0x54, 0x44, 0x2d, 0x18 };
    struct decode_plan f32 = plan_of(0, 32, false, DECODE_FLOAT32);
    struct decode_plan f64 = plan_of(7, 64, true, DECODE_FLOAT64);
    struct decoded value;

    (void)state;
    decode_value(&f32, little, 8, &value);
    assert_true(value.physical == -10.0);
    assert_true(value.raw == 0xc1200000u);
    decode_value(&f64, big, 8, &value);
    assert_true(value.physical == 0x1.921fb54442d18p+1);
}

/* A double has 53 bits: raw stays exact beside it, and integers are scaled before they are
 * rounded, not after. */
static void test_64_bits_stay_exact(void **state)
{
    static const uint8_t data[FRAME_DATA_MAX] = { 1, 0, 0, 0, 0, 0, 0, 0x80 };
    struct decode_layout layout = { .bits = 64, .factor = 3, .factor_integral = true,
                                    .factor_int = 3, .offset = -1, .offset_integral = true,
                                    .offset_int = -1 };
    struct decode_plan plan;
    struct decoded value;

    (void)state;
    assert_int_equal(decode_plan_init(&plan, &layout, 8), 0);
    decode_value(&plan, data, 8, &value);
    assert_true(value.raw == UINT64_C(0x8000000000000001));
    assert_true(value.physical == 0x1.8p+64); /* 3 * (2^63 + 1) - 1, rounded once */
    /* 2^53 + 1 times 3 is 27021597764222979: the nearest double is ...980, but 3 * (double)(2^53 + 1)
     * is ...976. */
    static const uint8_t odd[FRAME_DATA_MAX] = { 1, 0, 0, 0, 0, 0, 0x20, 0 };
    layout.offset = 0;
    layout.offset_int = 0;
    assert_int_equal(decode_plan_init(&plan, &layout, 8), 0);
    decode_value(&plan, odd, 8, &value);
    assert_true(value.physical == 27021597764222980.0);
    assert_true(plan.wide_product);
    /* 2^53 + 1 + 2 lies between two doubles; rounded to 2^53 first it would become 2^53 + 2. */
    layout.factor = layout.offset = 1;
    layout.factor_int = 1;
    layout.offset = 2;
    layout.offset_int = 2;
    assert_int_equal(decode_plan_init(&plan, &layout, 8), 0);
    assert_true(decode_physical(&plan, (UINT64_C(1) << 53) + 1) == 9007199254740996.0);
}

static void test_short_frames_do_not_fit(void **state)
{
    uint8_t data[FRAME_DATA_MAX] = { 0 };
    struct decode_plan intel = plan_of(12, 12, false, DECODE_UNSIGNED); /* bytes 1..2 */
    struct decode_plan motorola = plan_of(11, 12, true, DECODE_UNSIGNED);
    struct decoded value;

    (void)state;
    for (uint8_t len = 0; len <= 4; len++) {
        decode_value(&intel, data, len, &value);
        assert_int_equal(value.fits, len >= 3);
        decode_value(&motorola, data, len, &value);
        assert_int_equal(value.fits, len >= 3);
    }
}

static void test_bad_layouts_are_refused(void **state)
{
    static const struct {
        struct decode_layout layout;
        uint32_t limit;
        int want;
    } cases[] = {
        { { .start = 0, .bits = 0 }, 8, -ERANGE },
        { { .start = 0, .bits = 64 }, 8, 0 },
        { { .start = 1, .bits = 64 }, 8, -ERANGE },
        { { .start = 7, .bits = 64, .big_endian = true }, 8, 0 },
        { { .start = 6, .bits = 64, .big_endian = true }, 8, -ERANGE },
        { { .start = 512, .bits = 1 }, 64, -ERANGE },
        { { .start = UINT32_MAX - 3, .bits = 8 }, 64, -ERANGE },
        { { .start = 0, .bits = UINT32_MAX }, 64, -ERANGE },
        { { .start = 0, .bits = 512 }, 64, 0 },
        { { .start = 0, .bits = 512 }, 1000, 0 },
        { { .start = 0, .bits = 16, .kind = DECODE_FLOAT32 }, 8, -ERANGE },
        { { .start = 0, .bits = 32, .kind = DECODE_FLOAT64 }, 8, -ERANGE },
    };
    struct decode_plan plan;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(decode_plan_init(&plan, &cases[i].layout, cases[i].limit), cases[i].want);
}

static void test_more_than_64_bits_are_bytes(void **state)
{
    uint8_t data[FRAME_DATA_MAX] = { 0 }, bytes[FRAME_DATA_MAX];
    struct decode_layout layout = { .start = 4, .bits = 68, .factor = 1 };
    struct decode_plan plan;
    struct decoded value;

    (void)state;
    for (uint8_t i = 0; i < 9; i++)
        data[i] = (uint8_t)(0x11 * (i + 1)); /* 11 22 .. 99 */
    assert_int_equal(decode_plan_init(&plan, &layout, 64), 0);
    assert_int_equal(plan.kind, DECODE_BYTES);
    decode_value(&plan, data, 9, &value);
    assert_true(value.fits && isnan(value.physical));
    assert_int_equal(decode_bytes(&plan, data, bytes), 9);
    /* Intel, from nibble 1: most significant first that is 0 99 88 .. 22 1. */
    assert_memory_equal(bytes, "\x09\x98\x87\x76\x65\x54\x43\x32\x21", 9);
    layout = (struct decode_layout){ .start = 3, .bits = 68, .big_endian = true, .factor = 1 };
    assert_int_equal(decode_plan_init(&plan, &layout, 64), 0);
    assert_int_equal(decode_bytes(&plan, data, bytes), 9);
    assert_memory_equal(bytes, "\x01\x22\x33\x44\x55\x66\x77\x88\x99", 9);
}

/* --- messages --- */

static struct dbc *load(const char *text)
{
    struct dbc *dbc = NULL;

    assert_int_equal(dbc_load(text, strlen(text), "t.dbc", true, NULL, NULL, &dbc), 0);
    return dbc;
}

/* Names of the signals that a frame carries, in the order of the file. */
static void assert_carried(const struct dbc_message *message, const uint8_t *bytes, uint8_t len,
                           const char *want)
{
    uint8_t data[FRAME_DATA_MAX] = { 0 };
    char found[256] = "";
    size_t used = 0;

    memcpy(data, bytes, len);
    for (uint32_t i = 0; i < message->signal_count; i++) {
        struct decoded value;
        decode_signal(message, &message->signals[i], data, len, &value);
        if (value.present && value.fits)
            used += (size_t)snprintf(found + used, sizeof found - used, "%s%s", used ? " " : "",
                                     message->signals[i].name);
    }
    assert_string_equal(found, want);
}

static void test_multiplexors_cascade_and_stand_side_by_side(void **state)
{
    static const struct {
        uint8_t bytes[4], len;
        const char *want;
    } cases[] = {
        { { 1, 0, 0, 0 }, 4, "A AX B" },            /* A = 1 shows AX, B = 0 nothing */
        { { 2, 0, 0, 0 }, 4, "A AB B" },            /* A = 2 shows the multiplexor AB, which is 0 */
        { { 2, 5, 0, 0 }, 4, "A AB ABY B" },        /* AB = 5 shows ABY below it */
        { { 1, 5, 0, 0 }, 4, "A AX B" },            /* the same bits, but A hides AB */
        { { 0, 0, 9, 0 }, 4, "A B BZ" },            /* a range of B, end included */
        { { 0, 0, 7, 0 }, 4, "A B BZ" },
        { { 0, 0, 6, 0 }, 4, "A B" },
        { { 0, 0, 10, 0 }, 4, "A B" },
        { { 2, 5, 0, 0 }, 2, "A AB" },              /* B is cut off */
        { { 2, 5, 0, 0 }, 0, "" },
    };
    struct dbc *dbc = load("BO_ 1 K: 4 N\n SG_ A M : 0|8@1- (1,0) [0|0] \"\" N\n"
                           " SG_ AX m1 : 24|4@1+ (1,0) [0|0] \"\" N\n"
                           " SG_ AB m2M : 8|8@1+ (1,0) [0|0] \"\" N\n"
                           " SG_ ABY m5 : 24|8@1+ (1,0) [0|0] \"\" N\n"
                           " SG_ B M : 16|8@1+ (1,0) [0|0] \"\" N\n"
                           " SG_ BZ m7 : 24|8@1+ (1,0) [0|0] \"\" N\n"
                           "SG_MUL_VAL_ 1 AX A 1-1;\nSG_MUL_VAL_ 1 AB A 2-2;\n"
                           "SG_MUL_VAL_ 1 ABY AB 5-5;\nSG_MUL_VAL_ 1 BZ B 7-9;\n");

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_carried(&dbc->messages[0], cases[i].bytes, cases[i].len, cases[i].want);
    dbc_close(dbc);
}

static void test_many_ranges_select(void **state)
{
    struct dbc *dbc = load("BO_ 1 K: 4 N\n SG_ A M : 0|8@1+ (1,0) [0|0] \"\" N\n"
                           " SG_ X m1 : 8|8@1+ (1,0) [0|0] \"\" N\n"
                           "SG_MUL_VAL_ 1 X A 20-20, 4-5, 8-8, 12-14, 30-40;\n");

    (void)state;
    for (uint8_t value = 0; value < 60; value++) {
        bool in = value == 1 || value == 4 || value == 5 || value == 8 || value == 20 ||
                  (value >= 12 && value <= 14) || (value >= 30 && value <= 40);
        assert_carried(&dbc->messages[0], (const uint8_t[4]){ value }, 4, in ? "A X" : "A");
    }
    dbc_close(dbc);
}

/* cantools writes a multiplexor below another with the mark M, not m<n>M. */
static void test_a_multiplexor_below_another_may_be_marked_m_only(void **state)
{
    struct dbc *dbc = load("BO_ 1 K: 3 N\n SG_ A M : 0|8@1+ (1,0) [0|0] \"\" N\n"
                           " SG_ B M : 8|8@1+ (1,0) [0|0] \"\" N\n"
                           " SG_ X m3 : 16|8@1+ (1,0) [0|0] \"\" N\n"
                           "SG_MUL_VAL_ 1 B A 2-2;\nSG_MUL_VAL_ 1 X B 3-3;\n");

    (void)state;
    assert_carried(&dbc->messages[0], (const uint8_t[3]){ 2, 3, 0 }, 3, "A B X");
    assert_carried(&dbc->messages[0], (const uint8_t[3]){ 1, 3, 0 }, 3, "A");
    dbc_close(dbc);
}

/* The only multiplexor has nothing above it, whatever its mark says. */
static void test_the_only_multiplexor_is_always_there(void **state)
{
    struct dbc *dbc = load("BO_ 1 K: 2 N\n SG_ A m3M : 0|8@1+ (1,0) [0|0] \"\" N\n"
                           " SG_ X m1 : 8|8@1+ (1,0) [0|0] \"\" N\n");

    (void)state;
    assert_carried(&dbc->messages[0], (const uint8_t[2]){ 1, 0 }, 2, "A X");
    assert_carried(&dbc->messages[0], (const uint8_t[2]){ 3, 0 }, 2, "A");
    dbc_close(dbc);
}

/* Zero beyond the frame's end is no value: what a cut off multiplexor selects is not known. */
static void test_a_cut_off_multiplexor_hides_what_is_below(void **state)
{
    struct dbc *dbc = load("BO_ 1 K: 4 N\n SG_ A M : 24|8@1+ (1,0) [0|0] \"\" N\n"
                           " SG_ X m0 : 0|8@1+ (1,0) [0|0] \"\" N\n");

    (void)state;
    assert_carried(&dbc->messages[0], (const uint8_t[4]){ 1, 0, 0, 0 }, 4, "A X");
    assert_carried(&dbc->messages[0], (const uint8_t[4]){ 1, 0, 0, 0 }, 3, "");
    dbc_close(dbc);
}

/* Exact integers go to 2^62, so that 64 bits times a factor stay within 128. */
static void test_factors_beyond_2_to_62_are_doubles(void **state)
{
    static const struct {
        const char *factor;
        bool integral;
    } cases[] = { { "4611686018427387904", true },  { "4611686018427387905", false },
                  { "-4611686018427387904", true }, { "-4611686018427387905", false },
                  { "99999999999999999999", false }, { "1.0", false }, { "1e3", false } };
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)snprintf(text, sizeof text, "BO_ 1 K: 8 N\n SG_ A : 0|64@1- (%s,0) [0|0] \"\" N\n",
                       cases[i].factor);
        struct dbc *dbc = load(text);
        assert_int_equal(dbc->messages[0].signals[0].layout.factor_integral, cases[i].integral);
        dbc_close(dbc);
    }
}

/* Positions of multiplexors and of same names count without the refused signals. */
static void test_refused_signals_do_not_shift_multiplexors(void **state)
{
    static const char text[] = "BO_ 1 K: 3 N\n SG_ Far : 24|8@1+ (1,0) [0|0] \"\" N\n"
                               " SG_ X m1 : 8|8@1+ (1,0) [0|0] \"\" N\n"
                               " SG_ X m2 : 30|8@1+ (1,0) [0|0] \"\" N\n"
                               " SG_ A M : 0|8@1+ (1,0) [0|0] \"\" N\n"
                               " SG_ X m3 : 16|8@1+ (1,0) [0|0] \"\" N\n";
    struct dbc *dbc = NULL;

    (void)state;
    assert_int_equal(dbc_load(text, strlen(text), "t.dbc", false, NULL, NULL, &dbc), 0);
    const struct dbc_message *k = &dbc->messages[0];
    assert_int_equal(k->signal_count, 3);
    assert_carried(k, (const uint8_t[3]){ 1, 0, 0 }, 3, "X A");
    assert_carried(k, (const uint8_t[3]){ 2, 0, 0 }, 3, "A");
    assert_carried(k, (const uint8_t[3]){ 3, 0, 0 }, 3, "A X");
    assert_int_equal(dbc_signal_by_name(dbc, k, "X")->same_name, 2);
    dbc_close(dbc);
}

/* A signed multiplexor selects by its bits: -1 of four bits is 15. */
static void test_signed_multiplexor_selects_by_its_bits(void **state)
{
    struct dbc *dbc = load("BO_ 1 K: 4 N\n SG_ A M : 0|4@1- (1,0) [0|0] \"\" N\n"
                           " SG_ X m15 : 8|8@1+ (1,0) [0|0] \"\" N\n");

    (void)state;
    assert_carried(&dbc->messages[0], (const uint8_t *)"\x0f\x00\x00\x00", 4, "A X");
    dbc_close(dbc);
}

static void test_j1939_top_codes_are_a_quality(void **state)
{
    static const struct {
        const char *bytes;
        enum decode_quality byte, word;
    } cases[] = {
        { "\xfa\xff\xfa", QUALITY_GOOD, QUALITY_GOOD },
        { "\xfe\x00\xfe", QUALITY_ERROR, QUALITY_ERROR },
        { "\xff\x12\xff", QUALITY_NOT_AVAILABLE, QUALITY_NOT_AVAILABLE },
        { "\xfd\xff\xfd", QUALITY_GOOD, QUALITY_GOOD },
    };
    struct dbc *dbc = load("BO_ 2364540158 K: 8 N\n SG_ S8 : 0|8@1+ (1,0) [0|0] \"\" N\n"
                           " SG_ S16 : 8|16@1+ (0.125,0) [0|0] \"\" N\n"
                           " SG_ S2 : 24|2@1+ (1,0) [0|0] \"\" N\n"
                           "BO_ 1 L: 8 N\n SG_ S8 : 0|8@1+ (1,0) [0|0] \"\" N\n"
                           "BA_DEF_ BO_ \"VFrameFormat\" INT 0 3;\nBA_DEF_DEF_ \"VFrameFormat\" 3;\n");
    const struct dbc_message *k = &dbc->messages[0], *l = &dbc->messages[1];
    struct decoded value;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t data[FRAME_DATA_MAX] = { 0 };
        memcpy(data, cases[i].bytes, 3);
        data[3] = 3;
        decode_signal(k, &k->signals[0], data, 8, &value);
        assert_int_equal(value.quality, cases[i].byte);
        decode_signal(k, &k->signals[1], data, 8, &value);
        assert_int_equal(value.quality, cases[i].word);
        decode_signal(k, &k->signals[2], data, 8, &value);
        assert_int_equal(value.quality, QUALITY_GOOD); /* not whole bytes */
        decode_signal(l, &l->signals[0], data, 8, &value);
        assert_int_equal(value.quality, QUALITY_GOOD); /* 11 bits: not J1939 */
    }
    dbc_close(dbc);
}

static void test_labels_of_floats_go_by_their_integer_part(void **state)
{
    struct dbc *dbc = load("BO_ 1 K: 8 N\n SG_ F : 0|32@1- (1,0) [0|0] \"\" N\n"
                           "SIG_VALTYPE_ 1 F : 1;\nVAL_ 1 F -10 \"ten below\" ;\n");
    const struct dbc_message *k = &dbc->messages[0];
    uint8_t data[FRAME_DATA_MAX] = { 0, 0, 0x24, 0xc1 }; /* -10.25 */
    struct decoded value;

    (void)state;
    decode_signal(k, &k->signals[0], data, 8, &value);
    assert_string_equal(decode_label_of(&k->signals[0], &value), "ten below");
    memcpy(data, "\x00\x00\xc0\x7f", 4); /* NaN */
    decode_signal(k, &k->signals[0], data, 8, &value);
    assert_null(decode_label_of(&k->signals[0], &value));
    dbc_close(dbc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_layout_equals_the_slow_way),
        cmocka_unit_test(test_signs_extend),
        cmocka_unit_test(test_floats_in_both_orders),
        cmocka_unit_test(test_64_bits_stay_exact),
        cmocka_unit_test(test_short_frames_do_not_fit),
        cmocka_unit_test(test_bad_layouts_are_refused),
        cmocka_unit_test(test_more_than_64_bits_are_bytes),
        cmocka_unit_test(test_multiplexors_cascade_and_stand_side_by_side),
        cmocka_unit_test(test_many_ranges_select),
        cmocka_unit_test(test_a_multiplexor_below_another_may_be_marked_m_only),
        cmocka_unit_test(test_the_only_multiplexor_is_always_there),
        cmocka_unit_test(test_a_cut_off_multiplexor_hides_what_is_below),
        cmocka_unit_test(test_factors_beyond_2_to_62_are_doubles),
        cmocka_unit_test(test_refused_signals_do_not_shift_multiplexors),
        cmocka_unit_test(test_signed_multiplexor_selects_by_its_bits),
        cmocka_unit_test(test_j1939_top_codes_are_a_quality),
        cmocka_unit_test(test_labels_of_floats_go_by_their_integer_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
