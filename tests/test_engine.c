/* test_engine - values, unknown, ages, pulses; and the RAV4 minute. */
#include "tests/rules_kit.h"

#include "proto/recording.h"
#include "proto/timeline.h"

#define HEAD "format: 1\npackage: t\nrules:\n"
#define SIGNALS                                                                               \
    "format: 1\npackage: t\nsignals:\n"                                                       \
    "  count: {from: M.Count, max_age: 1s}\n"                                                 \
    "  speed: {from: M.Speed, max_age: 1s}\n"                                                 \
    "  mps: {from: M.Speed, unit: m/s, max_age: 1s}\n"                                        \
    "  flag: {from: M.Flag, max_age: 1s}\n"                                                   \
    "  gear: {from: M.Gear, max_age: 1s}\n"                                                   \
    "  accel: {from: M.Accel, max_age: 1s}\n"                                                 \
    "  odd: {from: M.Odd, max_age: 1s}\n"                                                     \
    "  temp: {from: Slow.Temp, max_age: 1s}\n"                                                \
    "  other: {from: Slow.Other, max_age: none}\n"                                            \
    "  ok: {from: M.Count, max_age: 1s, valid: \"[0..9]\"}\n"                                 \
    "  big: {from: Wide.Big, max_age: 1s}\n"                                                  \
    "  real: {from: Real.Float, max_age: 1s}\n"                                               \
    "rules:\n"

/* M: count, raw speed, flag, gear, raw accel, odd */
static void pack_m(uint8_t data[8], uint8_t count, uint16_t speed, uint8_t flag, uint8_t gear,
                   int16_t accel, uint8_t odd)
{
    data[0] = count;
    data[1] = (uint8_t)speed;
    data[2] = (uint8_t)(speed >> 8);
    data[3] = (uint8_t)(flag | gear << 4);
    data[4] = (uint8_t)accel;
    data[5] = (uint8_t)((uint16_t)accel >> 8);
    data[6] = odd;
    data[7] = 0;
}

/* Each expression is attached to a rule that fires with the second frame: `c != 0`. The frame has
 * count 5, speed 72 km/h, flag 1, gear D, accel -2.5 m/s^2, odd raw 10 (13 foos). */
static void value_of(const char *expression, char *ret, size_t size)
{
    char text[2048];
    uint8_t data[8];
    struct rule_event event;
    struct kit kit;

    (void)snprintf(text, sizeof text,
                   SIGNALS "- {name: r, when: \"M.Count == 5\", attach: {v: \"%s\"}}\n", expression);
    kit_open(&kit, text);
    engine_begin(kit.engine, 0);
    pack_m(data, 3, 3600, 0, 1, 100, 3);
    struct row row = kit_row(&kit, 0, 256, data, 8);
    engine_step(kit.engine, &row);
    pack_m(data, 5, 7200, 1, 3, -2500, 10);
    row = kit_row(&kit, 100 * MS, 256, data, 8);
    engine_step(kit.engine, &row);
    assert_true(engine_take(kit.engine, &event));
    assert_int_equal(event.kind, EVENT_FIRE);
    const struct rule_value *v = event.attach;
    const char *unit = ruleset_rule(kit.rules, 0)->attach[0].unit;
    switch (v->kind) {
    case VALUE_NULL: (void)snprintf(ret, size, "null"); break;
    case VALUE_BOOL: (void)snprintf(ret, size, "%s", v->integer ? "true" : "false"); break;
    case VALUE_INT: (void)snprintf(ret, size, "int %lld%s%s", (long long)v->integer,
                                   *unit ? " " : "", unit); break;
    case VALUE_NUM: (void)snprintf(ret, size, "%.10g%s%s", v->number, *unit ? " " : "", unit);
        break;
    case VALUE_LABEL: (void)snprintf(ret, size, "'%s'", v->label); break;
    }
    kit_close(&kit);
}

static void test_values(void **state)
{
    static const struct { const char *expression, *want; } cases[] = {
        { "count", "int 5" }, { "speed", "72 km/h" }, { "mps", "20 m/s" }, { "flag", "true" },
        { "gear", "'D'" }, { "accel", "-2.5 m/s^2" }, { "odd", "13 foos" }, { "temp", "null" },
        { "speed@raw", "int 7200" }, { "gear@raw", "int 3" },
        /* exact integers, doubles, units of the first operand, products in SI */
        { "count + 2", "int 7" }, { "count - 2 * 3", "int -1" }, { "count / 2", "2.5" },
        { "-count", "int -5" }, { "speed + mps", "144 km/h" }, { "mps + speed", "40 m/s" },
        { "speed * 1.5 s", "30 m" }, { "2 * speed", "40 m/s" }, { "mps / 4 s", "5 m/s^2" },
        { "9 km/h / 1 s", "2.5 m/s^2" }, { "speed / speed", "1" }, { "count / 0", "null" },
        { "odd + 1", "14 foos" }, { "odd * 2", "26 foos" },
        { "abs(accel)", "2.5 m/s^2" }, { "min(speed, mps)", "72 km/h" },
        { "max(count, 7)", "int 7" }, { "clamp(count, 0, 4)", "int 4" },
        { "sqrt(mps * mps)", "20 m/s" }, { "sqrt(accel * 1 m)", "null" },
        { "sign(accel)", "-1" }, { "mod(count, 3)", "int 2" }, { "mod(-count, 3)", "int -2" },
        { "mod(count, count - 5)", "null" },
        { "if(flag, 'P', gear)", "'P'" }, { "if(flag, 1 km/h, mps)", "1 km/h" },
        { "if(temp > 1 degC, 1, 2)", "null" }, { "if(flag, count, other)", "int 5" },
        { "bit(count, 2)", "true" }, { "bit(count, 1)", "false" }, { "bit(gear, 0)", "true" },
        { "other ?? 7", "int 7" }, { "other ?? count ?? 1", "int 5" }, { "gear ?? 'P'", "'D'" },
        { "prev(count)", "int 3" }, { "prev(gear)", "'R'" }, { "prev(speed) - speed", "-36 km/h" },
        { "age(speed)", "0 s" }, { "age(temp)", "null" },
        { "near(speed, 71.5 km/h, tol: 0.5 km/h)", "true" },
        { "near(mps, 19 m/s, tol: 0.9 m/s)", "false" },
        /* Kleene */
        { "other > 1 and flag", "null" }, { "other > 1 and not flag", "false" },
        { "other > 1 or flag", "true" }, { "not (other > 1)", "null" },
        { "must(other > 1)", "false" }, { "maybe(other > 1)", "true" },
        { "other is missing", "true" }, { "other is not known", "true" },
        { "(other + 1) is unknown", "true" }, { "(count + 1) is known", "true" },
        /* comparisons */
        { "speed > 72 km/h", "false" }, { "speed >= 20 m/s", "true" },
        { "19 m/s < speed < 21 m/s", "true" }, { "speed == 72 km/h", "true" },
        { "speed != 20 m/s", "false" }, { "speed in (70 km/h .. 20 m/s]", "true" },
        { "speed not in [0 km/h..20 m/s)", "true" }, { "count in {1, 5}", "true" },
        { "gear in {'P', 'D'}", "true" }, { "gear != 'R'", "true" },
        { "gear == prev(gear)", "false" }, { "flag == 1", "true" }, { "flag == false", "false" },
        { "changed(count)", "true" }, { "changed(gear, from: 'R', to: 'D')", "true" },
        { "changed(gear, from: 'N')", "false" }, { "changed(speed, from: 36 km/h)", "true" },
        { "rise(flag)", "true" }, { "fall(flag)", "false" },
        { "odd > 12", "true" }, { "odd == 13", "true" },
        { "speed > speed@raw * 1 km/h", "false" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char got[128];
        value_of(cases[i].expression, got, sizeof got);
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s: got %s, want %s", cases[i].expression, got, cases[i].want);
    }
}

static void expect_log(struct kit *kit, const char *want)
{
    if (strcmp(kit->log, want) != 0)
        fail_msg("\n got: %s\nwant: %s", kit->log, want);
    kit_close(kit);
}

/* A sample exactly max_age old refreshes at its step; the timer runs behind the steps of its
 * instant. Default max_age of M is three cycles of 100 ms. */
static void test_stale_at_exactly_max_age(void **state)
{
    struct kit kit;

    (void)state;
    kit_open(&kit, HEAD "- {name: gone, when: \"M.Count is stale\"}\n"
                        "- {name: lost, when: \"not (M.Count == 0)\"}\n");
    kit_begin(&kit, 0);
    kit_count(&kit, 0, 0);
    kit_count(&kit, 300, 1);
    kit_until(&kit, 600 * MS);
    assert_string_equal(kit.log, "fire lost@300<300");
    kit_until(&kit, 600 * MS + 1);
    kit_count(&kit, 900, 1);
    kit_end(&kit);
    expect_log(&kit, "fire lost@300<300 fire gone@600<600 end lost@600:input_lost "
                     "closed lost@600-600:input_lost end gone@900:ended closed gone@900-900:ended");
}

/* F,U,T is one edge; T,U,T is none; the first known value is none, but for `initial: fire`. */
static void test_edges_and_unknown(void **state)
{
    static const struct { const char *keys, *want; uint8_t counts[8]; } cases[] = {
        /* 255 is outside `valid`: unknown */
        { "", "fire r@200<200 end r@300:ended closed r@300-300:ended", { 0, 255, 1, 0, 0 } },
        { "", "fire r@100<100 end r@200:input_lost closed r@200-200:input_lost",
          { 0, 1, 255, 1, 1 } },
        { "", "fire r@200<200 end r@400:input_end closed r@400-400:input_end", { 1, 0, 1, 1, 1 } },
        { ", initial: fire", "fire r@0<0 end r@100:ended closed r@100-100:ended", { 1, 0, 0, 0, 0 } },
        { ", initial: fire, for: 150ms",
          "fire r@150<0 end r@400:input_end closed r@400-400:input_end", { 1, 1, 1, 1, 1 } },
        { ", for: 100ms", "fire r@300<200 end r@400:ended closed r@400-400:ended",
          { 0, 1, 255 /* replaced below */, 1, 0 } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[2048];
        struct kit kit;
        uint8_t counts[5];
        (void)snprintf(text, sizeof text, SIGNALS "- {name: r, when: \"ok == 1\"%s}\n",
                       cases[i].keys);
        kit_open(&kit, text);
        kit_begin(&kit, 0);
        memcpy(counts, cases[i].counts, sizeof counts);
        if (i == 5) { /* U breaks the wait: the run starts anew */
            kit_count(&kit, 0, 0);
            kit_count(&kit, 100, 1);
            kit_count(&kit, 150, 255);
            kit_count(&kit, 200, 1);
            kit_count(&kit, 400, 0);
        }
        for (uint8_t k = 0; k < 5 && i != 5; k++)
            kit_count(&kit, k * 100, counts[k]);
        kit_end(&kit);
        expect_log(&kit, cases[i].want);
    }
}

/* A pulse has no duration; prev counts samples, changed values; an unknown stretch is no change. */
static void test_pulses(void **state)
{
    struct kit kit;

    (void)state;
    kit_open(&kit, SIGNALS "- {name: up, when: \"rise(ok > 3)\"}\n"
                           "- {name: ch, when: \"changed(ok)\"}\n"
                           "- {name: twice, when: \"fall(rise(ok > 3))\"}\n"
                           "- {name: same, when: \"ok == prev(ok)\"}\n");
    kit_begin(&kit, 0);
    kit_count(&kit, 0, 1);
    kit_count(&kit, 10, 255);
    kit_count(&kit, 20, 1); /* the last known value again; but prev is unknown */
    kit_count(&kit, 30, 4);
    kit_count(&kit, 40, 4);
    kit_end(&kit);
    expect_log(&kit,
               "fire up@30<30 fire ch@30<30 end up@30:ended closed up@30-30:ended "
               "end ch@30:ended closed ch@30-30:ended fire twice@30<30 end twice@30:ended "
               "closed twice@30-30:ended fire same@40<40 end same@40:input_end "
               "closed same@40-40:input_end");
}

/* age() runs by timer: at exactly the bound a step still counts as younger. */
static void test_age(void **state)
{
    struct kit kit;

    (void)state;
    kit_open(&kit, HEAD "- {name: old, when: \"age(M.Count) > 150ms\"}\n"
                        "- {name: young, when: \"age(M.Count) <= 150 ms\"}\n");
    kit_begin(&kit, 0);
    kit_count(&kit, 0, 1);
    kit_count(&kit, 150, 1);
    kit_until(&kit, 300 * MS);
    assert_string_equal(kit.log, "");
    kit_until(&kit, 301 * MS);
    kit_count(&kit, 400, 1);
    kit_end(&kit);
    expect_log(&kit, "fire old@300<300 end old@400:ended closed old@400-400:ended "
                     "fire young@400<400 end young@400:input_end closed young@400-400:input_end");
}

/* A frame of another branch leaves a multiplexed signal alone; short frames make it invalid. */
static void test_mux_and_short_frames(void **state)
{
    struct kit kit;

    (void)state;
    kit_open(&kit, HEAD "- {name: one, when: \"Mux.One == 7\"}\n"
                        "- {name: bad, when: \"Mux.One is invalid\"}\n"
                        "- {name: which, when: \"Mux.Which is invalid\"}\n");
    kit_begin(&kit, 0);
    kit_frame(&kit, 0, 768, (uint8_t[]){ 1, 0 }, 2);
    kit_frame(&kit, 10 * MS, 768, (uint8_t[]){ 2, 7 }, 2);
    kit_frame(&kit, 20 * MS, 768, (uint8_t[]){ 1, 7 }, 2);
    kit_frame(&kit, 30 * MS, 768, (uint8_t[]){ 9, 1 }, 2);
    kit_frame(&kit, 40 * MS, 768, (uint8_t[]){ 1 }, 1);
    kit_frame(&kit, 50 * MS, 768, (uint8_t[]){ 0 }, 0);
    assert_int_equal(engine_stats(kit.engine).misfits, 2);
    kit_end(&kit);
    expect_log(&kit, "fire one@20<20 end one@40:input_lost closed one@40-40:input_lost "
                     "fire bad@40<40 fire which@50<50 end bad@50:input_end "
                     "closed bad@50-50:input_end end which@50:input_end "
                     "closed which@50-50:input_end");
}

/* Labels that mean "no value" are invalid, unless the pack names them. */
static void test_invalid_labels(void **state)
{
    struct kit kit;
    uint8_t data[8];

    (void)state;
    kit_open(&kit, HEAD "- {name: r, when: \"M.Gear is invalid\"}\n");
    kit_begin(&kit, 0);
    pack_m(data, 0, 0, 0, 3, 0, 0);
    kit_frame(&kit, 0, 256, data, 8);
    pack_m(data, 0, 0, 0, 15, 0, 0);
    kit_frame(&kit, MS, 256, data, 8);
    assert_string_equal(kit.log, "fire r@1<1");
    kit_close(&kit);
    kit_open(&kit, HEAD "- {name: r, when: \"M.Gear == 'SNA'\"}\n");
    kit_begin(&kit, 0);
    pack_m(data, 0, 0, 0, 3, 0, 0);
    kit_frame(&kit, 0, 256, data, 8);
    pack_m(data, 0, 0, 0, 15, 0, 0);
    kit_frame(&kit, MS, 256, data, 8);
    expect_log(&kit, "fire r@1<1");
}

/* Raw 64-bit values are exact where doubles are not; floats compare as doubles, NaN is invalid. */
static void test_wide_and_float(void **state)
{
    struct kit kit;
    uint8_t data[8];

    (void)state;
    kit_open(&kit, SIGNALS "- {name: big, when: \"big == 9007199254740993\"}\n"
                           "- {name: real, when: \"real > 1.5 m\"}\n"
                           "- {name: nan, when: \"real is invalid\"}\n");
    kit_begin(&kit, 0);
    store_le64(data, 9007199254740992u);
    kit_frame(&kit, 0, 1024, data, 8);
    store_le64(data, 9007199254740993u);
    kit_frame(&kit, MS, 1024, data, 8);
    kit_frame(&kit, 2 * MS, 1025, (uint8_t[]){ 0, 0, 0xc0, 0x3f }, 4); /* 1.5 */
    kit_frame(&kit, 3 * MS, 1025, (uint8_t[]){ 1, 0, 0xc0, 0x3f }, 4);
    kit_frame(&kit, 4 * MS, 1025, (uint8_t[]){ 0, 0, 0xc0, 0x7f }, 4); /* NaN */
    expect_log(&kit, "fire big@1<1 fire real@3<3 end real@4:input_lost "
                     "closed real@4-4:input_lost fire nan@4<4");
}

static void test_discontinuity(void **state)
{
    struct kit kit;

    (void)state;
    kit_open(&kit, HEAD "- {name: r, when: \"M.Count == 1\", keep: 50ms, cooldown: 1s}\n"
                        "- {name: m, when: \"M.Count is missing\", initial: fire}\n");
    kit_begin(&kit, 0);
    kit_count(&kit, 0, 0);
    kit_count(&kit, 10, 1);
    kit_count(&kit, 20, 0); /* lingers */
    engine_discontinuity(kit.engine, 20 * MS);
    kit_drain(&kit, kit.engine, kit.rules);
    kit_count(&kit, 30, 1); /* first known value */
    kit_count(&kit, 40, 0);
    kit_count(&kit, 50, 1); /* in the cooldown, which began at 20 */
    kit_end(&kit);
    expect_log(&kit,
               "fire m@0<0 end m@0:ended closed m@0-0:ended fire r@10<10 end r@20:ended "
               "closed r@20-20:discontinuity fire m@20<20 end m@30:ended closed m@30-30:ended "
               "supp r@50:cooldown");
}

/* Two buses under a database without a bus feed one signal; a bus in the path takes one. */
static void test_buses(void **state)
{
    struct kit kit;

    (void)state;
    kit_open(&kit, HEAD "- {name: any, when: \"M.Count == 1\"}\n"
                        "- {name: one, when: \"can1:M.Count == 1\"}\n");
    kit_begin(&kit, 0);
    kit_count(&kit, 0, 0);
    kit_count(&kit, 1, 1);
    assert_string_equal(kit.log, "fire any@1<1");
    struct row row = kit_row(&kit, 2 * MS, 256, (uint8_t[8]){ 0 }, 8);
    row.frame.source = 1;
    engine_step(kit.engine, &row);
    row = kit_row(&kit, 3 * MS, 256, (uint8_t[8]){ 1 }, 8);
    row.frame.source = 1;
    engine_step(kit.engine, &row);
    kit_drain(&kit, kit.engine, kit.rules);
    assert_true(engine_reads(kit.engine, &row.frame));
    row.frame.id = 257;
    assert_false(engine_reads(kit.engine, &row.frame));
    row.frame.id = 256;
    row.frame.flags = FRAME_EFF;
    assert_false(engine_reads(kit.engine, &row.frame));
    expect_log(&kit, "fire any@1<1 end any@2:ended closed any@2-2:ended fire any@3<3 "
                     "fire one@3<3");
}

/* One J1939 message from two sources: signals that name an address have a state each, so that one
 * engine never makes the other's value jump; without an address every source feeds the signal. The
 * reserved codes are no value. */
static void test_j1939_has_a_state_for_each_source(void **state)
{
    static const struct { int64_t ms; uint8_t source, value; } frames[] = {
        { 0, 0x00, 10 }, { 1, 0x21, 20 }, { 2, 0x21, 90 }, { 3, 0x00, 10 }, { 4, 0x00, 60 },
        { 5, 0x21, 0xff },
    };
    struct kit kit;

    (void)state;
    kit_open(&kit, "format: 1\npackage: t\nsignals:\n"
                   "  front: {from: EEC1@0x00.Rpm, max_age: 1s}\n"
                   "  rear: {from: EEC1@33.Rpm, max_age: 1s}\n"
                   "rules:\n"
                   "- {name: f, when: \"front > 50\"}\n- {name: r, when: \"rear > 50\"}\n"
                   "- {name: p, when: \"`EEC1@0`.Rpm > 50\"}\n"
                   "- {name: no, when: \"rear is invalid\"}\n- {name: all, when: \"EEC1.Rpm > 50\"}\n");
    kit_begin(&kit, 0);
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        uint8_t data[8] = { frames[i].value };
        struct row row = kit_row(&kit, frames[i].ms * MS, 0x0CF00400u | frames[i].source, data, 8);
        row.frame.flags = FRAME_EFF;
        engine_step(kit.engine, &row);
        kit_drain(&kit, kit.engine, kit.rules);
    }
    expect_log(&kit, "fire r@2<2 fire all@2<2 end all@3:ended closed all@3-3:ended fire f@4<4 "
                     "fire p@4<4 fire all@4<4 end r@5:input_lost closed r@5-5:input_lost "
                     "fire no@5<5 end all@5:input_lost closed all@5-5:input_lost");
}

/* Late rows are not for rules. */
static void test_late(void **state)
{
    struct kit kit;

    (void)state;
    kit_open(&kit, HEAD "- {name: r, when: \"M.Count == 1\"}\n");
    kit_begin(&kit, 0);
    kit_count(&kit, 0, 0);
    struct row row = kit_row(&kit, 0, 256, (uint8_t[8]){ 1 }, 8);
    row.frame.flags = FRAME_LATE;
    engine_step(kit.engine, &row);
    assert_false(engine_take(kit.engine, &(struct rule_event){ 0 }));
    assert_int_equal(engine_stats(kit.engine).late, 1);
    kit_close(&kit);
}

/* Every event of a pack on the RAV4 minute, in seconds after its first frame. */
static void run_rav4(struct kit *kit, const char *name, const void *pack, size_t size)
{
    struct ruleset_pack text = { name, pack, size };
    struct recording_config input = { .path = "tests/data/rav4/can.log.zst" };
    struct recording *recording;
    struct recording_scan scan;
    struct recording_item item;
    struct timeline timeline;
    struct err err;

    memset(kit, 0, sizeof *kit);
    kit->dbset = dbset_open();
    assert_int_equal(dbset_add_file(kit->dbset,
                                    "can0=tests/data/rav4/toyota_nodsu_pt_generated.dbc", false,
                                    NULL, &err), 0);
    assert_int_equal(dbset_add_file(kit->dbset, "can1=tests/data/rav4/toyota_adas.dbc", false, NULL,
                                    &err), 0);
    struct ruleset_config config = { &text, 1, kit->dbset, 0 };
    int rc = ruleset_load(&config, &kit->diags, &kit->rules);
    diags_print(&kit->diags, stderr);
    assert_int_equal(rc, 0);
    assert_int_equal(recording_open(&input, &recording, &err), 0);
    assert_int_equal(recording_scan(recording, &scan, &err), 0);
    assert_int_equal(engine_open(&(struct engine_config){ kit->rules, &scan.sources },
                                 &kit->engine), 0);
    timeline_init(&timeline);
    engine_begin(kit->engine, 0);
    while (recording_next(recording, &item, &err) == 1) {
        struct row row;
        item.row.frame.stamp_ns -= scan.stamp_first_ns;
        (void)timeline_put(&timeline, &item.row.frame, &row);
        kit_until(kit, row.mono_ns);
        engine_step(kit->engine, &row);
        kit_drain(kit, kit->engine, kit->rules);
    }
    engine_finish(kit->engine, REASON_INPUT_END);
    kit_drain(kit, kit->engine, kit->rules);
    assert_int_equal(engine_stats(kit->engine).steps, scan.frames);
    recording_close(recording);
}

static void test_rav4(void **state)
{
    static const char pack[] = HEAD "- {name: brake, when: \"VSC1S07.BRKON == 1\"}\n";
    struct kit kit;

    (void)state;
    run_rav4(&kit, "brake.yaml", pack, sizeof pack - 1);
    expect_log(&kit,
               "fire brake@10549.591000<10549.591000 end brake@18026.732000:ended "
               "closed brake@18026.732000-18026.732000:ended "
               "fire brake@22182.336000<22182.336000 end brake@24781.945000:ended "
               "closed brake@24781.945000-24781.945000:ended "
               "fire brake@29800.533000<29800.533000 end brake@32453.015000:ended "
               "closed brake@32453.015000-32453.015000:ended "
               "fire brake@56242.900000<56242.900000 end brake@59992.700000:input_end "
               "closed brake@59992.700000-59992.700000:input_end");
}

/* The pack of the demo: no warnings, and what its comments promise. */
static void test_rav4_pack(void **state)
{
    static const struct { const char *rule; uint64_t fires; } want[] = {
        { "brake", 4 }, { "hard_brake", 1 }, { "cruise_takes_over", 1 },
        { "lane_keeping_lost", 2 }, { "quick_steering", 2 }, { "closing_in", 1 },
    };
    static char text[65536];
    FILE *file = fopen("config/packs/rav4.yaml", "rb");
    struct kit kit;

    (void)state;
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof text, file);
    (void)fclose(file);
    run_rav4(&kit, "config/packs/rav4.yaml", text, size);
    assert_int_equal(kit.diags.warnings, 0);
    assert_int_equal(ruleset_count(kit.rules), sizeof want / sizeof want[0]);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        int32_t rule = ruleset_find(kit.rules, want[i].rule);
        assert_true(rule >= 0);
        assert_int_equal(engine_rule_stats(kit.engine, (uint32_t)rule).fires, want[i].fires);
    }
    kit_close(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_stale_at_exactly_max_age),
        cmocka_unit_test(test_edges_and_unknown),
        cmocka_unit_test(test_pulses),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_mux_and_short_frames),
        cmocka_unit_test(test_invalid_labels),
        cmocka_unit_test(test_wide_and_float),
        cmocka_unit_test(test_discontinuity),
        cmocka_unit_test(test_buses),
        cmocka_unit_test(test_j1939_has_a_state_for_each_source),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_rav4),
        cmocka_unit_test(test_rav4_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
