/* test_life - the instants of a rule's life-cycle (docs/RULES.md), each in a table: the condition is
 * `ok == 1`, fed by samples; 255 is unknown. Times in ms. */
#include "tests/rules_kit.h"

struct sample {
    int64_t at_ms;
    uint8_t value;
};

struct life_case {
    const char *keys;
    struct sample samples[12];
    const char *want;
};

static void run_case(const struct life_case *c)
{
    char pack[1024];
    struct kit kit;

    (void)snprintf(pack, sizeof pack,
                   "format: 1\npackage: t\nsignals:\n"
                   "  ok: {from: M.Count, max_age: 1h, valid: \"[0..9]\"}\n"
                   "  flag: {from: Slow.Other, max_age: none}\nrules:\n"
                   "- {name: r, when: \"ok == 1\"%s}\n", c->keys);
    kit_open(&kit, pack);
    kit_begin(&kit, 0);
    for (size_t i = 0; i < 12 && (i == 0 || c->samples[i].at_ms); i++)
        kit_count(&kit, c->samples[i].at_ms, c->samples[i].value);
    kit_end(&kit);
    if (strcmp(kit.log, c->want) != 0)
        fail_msg("%s\n got: %s\nwant: %s", c->keys, kit.log, c->want);
    kit_close(&kit);
}

static void run_cases(const struct life_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        run_case(&cases[i]);
}
#define RUN(cases) run_cases(cases, sizeof(cases) / sizeof(cases)[0])

static void test_for(void **state)
{
    static const struct life_case cases[] = {
        /* fires by timer at start + for, behind the steps of that instant */
        { ", for: 50ms", { { 0, 0 }, { 10, 1 }, { 60, 1 }, { 70, 0 } },
          "fire r@60<10 end r@70:ended closed r@70-70:ended" },
        /* must still be true at the deadline */
        { ", for: 50ms", { { 0, 0 }, { 10, 1 }, { 60, 0 }, { 70, 0 } }, "" },
        { ", for: 50ms", { { 0, 0 }, { 10, 1 }, { 60, 255 }, { 70, 0 } }, "" },
        /* a wait that is broken begins anew */
        { ", for: 50ms", { { 0, 0 }, { 10, 1 }, { 40, 0 }, { 41, 1 }, { 100, 0 } },
          "fire r@91<41 end r@100:ended closed r@100-100:ended" },
        /* timers due when the recording ends still run */
        { ", for: 50ms", { { 0, 0 }, { 10, 1 }, { 60, 1 } },
          "fire r@60<10 end r@60:input_end closed r@60-60:input_end" },
        { ", for: 50ms", { { 0, 0 }, { 10, 1 }, { 59, 1 } }, "" },
    };
    (void)state;
    RUN(cases);
}

static void test_keep(void **state)
{
    static const struct life_case cases[] = {
        { ", keep: 20ms", { { 0, 0 }, { 10, 1 }, { 20, 0 }, { 50, 0 } },
          "fire r@10<10 end r@20:ended closed r@40-20:ended" },
        /* true again at exactly end + keep goes on with the event; one nanosecond later fires */
        { ", keep: 20ms", { { 0, 0 }, { 10, 1 }, { 20, 0 }, { 40, 1 }, { 50, 0 }, { 90, 0 } },
          "fire r@10<10 end r@20:ended cont r@40 end r@50:ended closed r@70-50:ended" },
        { ", keep: 20ms", { { 0, 0 }, { 10, 1 }, { 20, 0 }, { 41, 1 }, { 50, 0 }, { 90, 0 } },
          "fire r@10<10 end r@20:ended closed r@40-20:ended fire r@41<41 end r@50:ended "
          "closed r@70-50:ended" },
        /* unknown ends an event too, and T,U,T within keep goes on */
        { ", keep: 20ms", { { 0, 0 }, { 10, 1 }, { 20, 255 }, { 30, 1 }, { 50, 255 }, { 90, 1 } },
          "fire r@10<10 end r@20:input_lost cont r@30 end r@50:input_lost "
          "closed r@70-50:input_lost" },
        /* an event that lingers at the end keeps its end */
        { ", keep: 1s", { { 0, 0 }, { 10, 1 }, { 20, 0 }, { 90, 0 } },
          "fire r@10<10 end r@20:ended closed r@90-20:input_end" },
    };
    (void)state;
    RUN(cases);
}

static void test_max_active(void **state)
{
    static const struct life_case cases[] = {
        /* counts from the fire; then end = closed, no keep; no new edge while it stays true */
        { ", max_active: 30ms, for: 10ms, keep: 50ms",
          { { 0, 0 }, { 10, 1 }, { 90, 1 }, { 95, 0 }, { 96, 1 }, { 110, 1 } },
          "fire r@20<10 end r@50:max_active closed r@50-50:max_active fire r@106<96 "
          "end r@110:input_end closed r@110-110:input_end" },
        /* a lingering event is not longer either */
        { ", max_active: 30ms, keep: 50ms", { { 0, 0 }, { 10, 1 }, { 20, 0 }, { 90, 0 } },
          "fire r@10<10 end r@20:ended closed r@40-20:ended" },
    };
    (void)state;
    RUN(cases);
}

static void test_cooldown(void **state)
{
    static const struct life_case cases[] = {
        /* runs from closed; a fire at exactly closed + cooldown is allowed */
        { ", keep: 10ms, cooldown: 30ms",
          { { 0, 0 }, { 10, 1 }, { 20, 0 }, { 59, 1 }, { 60, 0 }, { 61, 0 } },
          "fire r@10<10 end r@20:ended closed r@30-20:ended supp r@59:cooldown" },
        { ", keep: 10ms, cooldown: 30ms",
          { { 0, 0 }, { 10, 1 }, { 20, 0 }, { 60, 1 }, { 61, 0 }, { 80, 0 } },
          "fire r@10<10 end r@20:ended closed r@30-20:ended fire r@60<60 end r@61:ended "
          "closed r@71-61:ended" },
        /* only the instant of the fire is tested; a suppressed edge is spent */
        { ", for: 20ms, cooldown: 30ms",
          { { 0, 0 }, { 10, 1 }, { 35, 0 }, { 50, 1 }, { 71, 0 }, { 72, 0 } },
          "fire r@30<10 end r@35:ended closed r@35-35:ended fire r@70<50 end r@71:ended "
          "closed r@71-71:ended" },
        { ", cooldown: 30ms", { { 0, 0 }, { 10, 1 }, { 11, 0 }, { 40, 1 }, { 90, 1 } },
          "fire r@10<10 end r@11:ended closed r@11-11:ended supp r@40:cooldown" },
    };
    (void)state;
    RUN(cases);
}

static void test_triggers(void **state)
{
    static const struct life_case cases[] = {
        { ", trigger: falling", { { 0, 1 }, { 10, 0 }, { 20, 1 }, { 30, 255 }, { 40, 0 } },
          "fire r.falling@10<10 end r.falling@20:ended closed r.falling@20-20:ended "
          "fire r.falling@40<40 end r.falling@40:input_end closed r.falling@40-40:input_end" },
        /* two edges, each with its own keep and cooldown */
        { ", trigger: both, cooldown: 15ms", { { 0, 0 }, { 10, 1 }, { 20, 0 }, { 30, 1 } },
          "fire r@10<10 end r@20:ended closed r@20-20:ended fire r.falling@20<20 "
          "supp r@30:cooldown end r.falling@30:ended closed r.falling@30-30:ended" },
        /* ... and one budget */
        { ", trigger: both, limits: {per_hour: 1}", { { 0, 0 }, { 10, 1 }, { 20, 0 } },
          "fire r@10<10 end r@20:ended closed r@20-20:ended supp r.falling@20:limit" },
        /* level needs no edge, and fires again when the cooldown is over */
        { ", trigger: level, max_active: 20ms, cooldown: 30ms, limits: {per_trip: 9}",
          { { 0, 1 }, { 60, 1 }, { 71, 0 }, { 72, 1 }, { 120, 1 } },
          "fire r.level@0<0 end r.level@20:max_active closed r.level@20-20:max_active "
          "fire r.level@50<50 end r.level@70:max_active closed r.level@70-70:max_active "
          "fire r.level@100<100 end r.level@120:max_active closed r.level@120-120:max_active" },
        { ", trigger: level, for: 5ms, cooldown: 30ms, limits: {per_trip: 9}",
          { { 0, 1 }, { 10, 0 }, { 40, 1 }, { 46, 0 }, { 60, 1 }, { 90, 1 } },
          "fire r.level@5<0 end r.level@10:ended closed r.level@10-10:ended "
          "fire r.level@45<40 end r.level@46:ended closed r.level@46-46:ended "
          "fire r.level@81<76 end r.level@90:input_end closed r.level@90-90:input_end" },
        /* a suppressed attempt waits one cooldown */
        { ", trigger: level, cooldown: 30ms, limits: {per_trip: 1}, max_active: 10ms",
          { { 0, 1 }, { 75, 1 } },
          "fire r.level@0<0 end r.level@10:max_active closed r.level@10-10:max_active "
          "supp r.level@40:limit supp r.level@70:limit" },
    };
    (void)state;
    RUN(cases);
}

static void test_gates(void **state)
{
    static const struct life_case cases[] = {
        /* unknown does not suppress; the first gate is the reason */
        { ", unless: [{name: shop, if: \"flag > 0\"}]", { { 0, 0 }, { 10, 1 } },
          "fire r@10<10 end r@10:input_end closed r@10-10:input_end" },
        { ", unless: [{name: a, if: \"flag > 0\"}, {name: b, if: \"ok == 1\"}]",
          { { 0, 0 }, { 10, 1 }, { 20, 0 }, { 30, 1 } }, "supp r@10:b supp r@30:b" },
        { ", limits: {per_trip: 2}",
          { { 0, 0 }, { 1, 1 }, { 2, 0 }, { 3, 1 }, { 4, 0 }, { 5, 1 } },
          "fire r@1<1 end r@2:ended closed r@2-2:ended fire r@3<3 end r@4:ended "
          "closed r@4-4:ended supp r@5:limit" },
        /* a fire exactly an hour old no longer counts */
        { ", limits: {per_hour: 1}",
          { { 0, 0 }, { 10, 1 }, { 11, 0 }, { 3600009, 1 }, { 3600009, 0 }, { 3600010, 1 } },
          "fire r@10<10 end r@11:ended closed r@11-11:ended supp r@3600009:limit "
          "fire r@3600010<3600010 end r@3600010:input_end closed r@3600010-3600010:input_end" },
        /* shadow lives the whole life and is counted at its fires, cooldown and all */
        { ", status: shadow, cooldown: 20ms",
          { { 0, 0 }, { 10, 1 }, { 20, 0 }, { 30, 1 }, { 31, 0 }, { 40, 1 } },
          "supp r@10:shadow supp r@30:cooldown supp r@40:shadow" },
        { ", enabled: false", { { 0, 0 }, { 10, 1 } }, "" },
    };
    (void)state;
    RUN(cases);
}

#define PACK "format: 1\npackage: t\nrules:\n"                                          \
             "- {name: a, when: \"M.Count == 1\", keep: 50ms, cooldown: 100ms, for: 5ms}\n"  \
             "- {name: b, when: \"M.Flag == 1 or changed(M.Count)\"}\n"

/* Seed, states and rows from a cut on give the events that the whole run gave from there on. */
static void test_a_cut_goes_on_as_the_whole(void **state)
{
    static const struct sample samples[] = {
        { 0, 0 }, { 10, 1 }, { 30, 0 }, { 60, 1 }, { 70, 0 }, { 150, 1 }, { 170, 0 }, { 230, 1 },
        { 260, 0 }, { 400, 1 }, { 450, 1 }, { 451, 0 }, { 600, 0 }, { 900, 1 },
    };
    const size_t count = sizeof samples / sizeof samples[0];
    struct kit whole;

    (void)state;
    kit_open(&whole, PACK);
    kit_begin(&whole, 0);
    for (size_t i = 0; i < count; i++)
        kit_count(&whole, samples[i].at_ms, samples[i].value);
    kit_end(&whole);
    for (size_t cut = 1; cut < count; cut++) {
        uint8_t bytes[4096];
        struct kit part;
        int64_t at_ns = samples[cut].at_ms * MS;
        size_t size = engine_state_save(whole.engine, at_ns, bytes, sizeof bytes);
        assert_true(size <= engine_state_max(whole.engine) && size <= sizeof bytes);
        kit_open(&part, PACK);
        struct row seed = kit_row(&part, samples[cut - 1].at_ms * MS, 256,
                                  (uint8_t[8]){ samples[cut - 1].value }, 8);
        engine_seed(part.engine, &seed);
        assert_int_equal(engine_state_load(part.engine, at_ns, bytes, size), 0);
        kit_begin(&part, at_ns);
        for (size_t i = cut; i < count; i++)
            kit_count(&part, samples[i].at_ms, samples[i].value);
        kit_end(&part);
        const char *tail = whole.log + whole.len - part.len;
        if (part.len > whole.len || strcmp(tail, part.log) != 0)
            fail_msg("cut at %lld ms\nwhole: %s\n part: %s", (long long)samples[cut].at_ms,
                     whole.log, part.log);
        kit_close(&part);
    }
    kit_close(&whole);
}

/* Every cut-off or broken state is refused whole. */
static void test_broken_states(void **state)
{
    uint8_t bytes[4096];
    struct kit kit, fresh;

    (void)state;
    kit_open(&kit, PACK);
    kit_begin(&kit, 0);
    kit_count(&kit, 0, 0);
    kit_count(&kit, 10, 1);
    kit_count(&kit, 20, 1);
    size_t size = engine_state_save(kit.engine, 20 * MS, bytes, sizeof bytes);
    assert_true(size > 20);
    kit_open(&fresh, PACK);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(engine_state_load(fresh.engine, 0, bytes, cut), -EBADMSG);
    bytes[size] = 0;
    assert_int_equal(engine_state_load(fresh.engine, 0, bytes, size + 1), -EBADMSG);
    bytes[0] = 9;
    assert_int_equal(engine_state_load(fresh.engine, 0, bytes, size), -EBADMSG);
    kit_close(&fresh);
    kit_close(&kit);
}

/* A rule with equal hash goes on; a changed one closes its event and starts unknown. */
static void test_reload(void **state)
{
    static const char before[] =
        "format: 1\npackage: t\nrules:\n- {name: same, when: \"M.Count == 1\"}\n"
        "- {name: other, when: \"M.Count >= 1\"}\n- {name: gone, when: \"M.Count in {1}\"}\n";
    static const char after[] =
        "format: 1\npackage: t\nrules:\n- {name: other, when: \"M.Count >= 1\", keep: 1s}\n"
        "- {name: same, when: \"M.Count == 1\"}\n";
    struct kit old, next;

    (void)state;
    kit_open(&old, before);
    kit_open(&next, after);
    kit_begin(&old, 0);
    kit_count(&old, 0, 0);
    kit_count(&old, 10, 1);
    engine_reload(old.engine, next.engine, 20 * MS);
    kit_drain(&old, old.engine, old.rules);
    assert_string_equal(old.log,
                        "fire same@10<10 fire other@10<10 fire gone@10<10 end other@20:reload "
                        "closed other@20-20:reload end gone@20:reload closed gone@20-20:reload");
    next.step = old.step;
    next.last_ns = 20 * MS;
    kit_drain(&next, next.engine, next.rules);
    kit_count(&next, 30, 1);
    kit_count(&next, 40, 0);
    kit_count(&next, 50, 1);
    assert_string_equal(next.log, "end same@40:ended closed same@40-40:ended fire other@50<50 "
                                  "fire same@50<50");
    kit_close(&old);
    kit_close(&next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_for),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_max_active),
        cmocka_unit_test(test_cooldown),
        cmocka_unit_test(test_triggers),
        cmocka_unit_test(test_gates),
        cmocka_unit_test(test_a_cut_goes_on_as_the_whole),
        cmocka_unit_test(test_broken_states),
        cmocka_unit_test(test_reload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
