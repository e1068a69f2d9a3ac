/* test_op - operators with memory, from their definitions (rules.md 2): each exact instant has a case.
 * A case is a rule `r` with trigger `rising` over signals of one frame: a script "ms=count ..." gives M.Count,
 * bit 0 of it is `p`, bit 1 `q`; "ms=-" is a frame of another id, "ms!" a discontinuity. */
#include "tests/rules_kit.h"

static const char head[] =
    "format: 1\npackage: t\nsignals:\n"
    "  x: {from: M.Count, max_age: 10s}\n"
    "  n: {from: M.Count, max_age: 10s, valid: \"[0..99]\"}\n"
    "  s: {from: M.Count, max_age: 100ms}\n"
    "  z: {from: Slow.Other, max_age: 10s, valid: \"[0..99]\"}\n"
    "macros: {p: \"bit(n, 0)\", q: \"bit(n, 1)\", zp: \"bit(z, 0)\"}\n"
    "rules:\n";

static void play(struct kit *kit, const char *script)
{
    char *end;

    while (*script) {
        int64_t ms = strtoll(script, &end, 10);
        if (*end == '!') {
            kit_until(kit, ms * MS);
            engine_discontinuity(kit->engine, ms * MS);
            kit_drain(kit, kit->engine, kit->rules);
            end++;
        } else if (end[1] == '-') {
            kit_frame(kit, ms * MS, 1500, (uint8_t[1]){ 0 }, 1);
            end += 2;
        } else if (end[1] == 'z') {
            kit_frame(kit, ms * MS, 512, (uint8_t[4]){ 0, (uint8_t)strtoul(end + 2, &end, 10) }, 4);
        } else {
            kit_count(kit, ms, (uint8_t)strtoul(end + 1, &end, 10));
        }
        script = end + strspn(end, " ");
    }
}

static void open_case(struct kit *kit, const char *when, const char *more)
{
    char pack[2048];

    (void)snprintf(pack, sizeof pack, "%s- {name: r, when: \"%s\"%s}\n", head, when, more);
    kit_open(kit, pack);
    kit_begin(kit, 0);
}

struct case_of {
    const char *when, *script, *want;
};

static void check_cases(const struct case_of *cases, size_t count)
{
    bool bad = false;

    for (size_t i = 0; i < count; i++) {
        struct kit kit;
        open_case(&kit, cases[i].when, "");
        play(&kit, cases[i].script);
        kit_end(&kit);
        if (strcmp(kit.log, cases[i].want) != 0) {
            print_error("%s\n  over %s\n  want %s\n  got  %s\n", cases[i].when, cases[i].script,
                        cases[i].want, kit.log);
            bad = true;
        }
        kit_close(&kit);
    }
    assert_false(bad);
}
#define CHECK(cases) check_cases(cases, sizeof(cases) / sizeof((cases)[0]))

static void test_held_and_once(void **state)
{
    static const struct case_of cases[] = {
        /* T at s + d, by timer, if it is still T then; F at once */
        { "held(p, 100ms)", "0=0 50=1 300=0 400=-",
          "fire r@150<150 end r@300:ended closed r@300-300:ended" },
        { "held(p, 100ms)", "0=0 50=1 150=0 400=-", "" },
        { "held(p, 100ms)", "0=0 50=1 150=1 151=-", "fire r@150<150 end r@151:input_end "
          "closed r@151-151:input_end" },
        /* F until d after the last F, also where unknown lies between; U where no F is left */
        { "held(p, 100ms)", "0=0 50=1 80=100 90=1 160=-  300=-", "fire r@190<190 end r@300:input_end "
          "closed r@300-300:input_end" },
        { "held(p, 100ms) is unknown", "0=0 50=1 80=100 90=1 160=- 300=-",
          "fire r@150<150 end r@190:ended closed r@190-190:ended" },
        /* before the load all was unknown: T only after d, and the first known value is no edge */
        { "held(p, 100ms)", "0=1 500=-", "" },
        { "held(p, 100ms) is known", "0=1 500=-", "fire r@100<100 end r@500:input_end "
          "closed r@500-500:input_end" },
        /* once: up to and with d after its end at steps, no longer at the timer */
        { "once(p, 100ms)", "0=0 200=1 250=0 350=0 500=-",
          "fire r@200<200 end r@350:ended closed r@350-350:ended" },
        { "once(p, 100ms) and q", "0=0 200=1 250=0 350=2 500=-",
          "fire r@350<350 end r@350:ended closed r@350-350:ended" },
        { "once(p, 100ms) and q", "0=0 200=1 250=0 351=2 500=-", "" },
        /* a pulse is T for its step and inside a window for d */
        { "once(rise(p), 100ms)", "0=0 200=1 250=1 500=-",
          "fire r@200<200 end r@300:ended closed r@300-300:ended" },
        /* held(p, d) is not once(not p, d) */
        { "held(p, 100ms) != (not once(not p, 100ms))", "0=0 50=1 80=0 90=1 200=0 201=1 330=100 331=1 800=-",
          "" },
        /* a discontinuity forgets all of it */
        { "once(p, 100ms)", "0=0 110=1 120=0 130! 140=0 180=0",
          "fire r@110<110 end r@120:discontinuity closed r@120-120:discontinuity" },
    };
    (void)state;
    CHECK(cases);
}

static void test_since(void **state)
{
    static const struct case_of cases[] = {
        { "since(p, q)", "0=0 10=2 20=1 500=1 600=0",
          "fire r@10<10 end r@600:ended closed r@600-600:ended" },
        { "since(p, q)", "0=0 10=2 20=0 30=1 600=0", "fire r@10<10 end r@20:ended closed r@20-20:ended" },
        { "since(p, q, 100ms)", "0=0 10=2 20=1 500=1 600=0",
          "fire r@10<10 end r@120:ended closed r@120-120:ended" },
        /* unknown before the load, and while p was unknown in between */
        { "since(p, q) is unknown", "0=1 100=1 200=0",
          "" },
        { "since(p, q) is unknown", "0=0 10=2 20=1 30=100 40=1 200=0",
          "fire r@30<30 end r@200:ended closed r@200-200:ended" },
    };
    (void)state;
    CHECK(cases);
}

static void test_hyst_latch_debounce(void **state)
{
    static const struct case_of cases[] = {
        { "hyst(n, on: >8, off: <6)", "0=0 10=8 20=9 30=7 40=6 50=5 60=7 70=9 80=0",
          "fire r@20<20 end r@50:ended closed r@50-50:ended "
          "fire r@70<70 end r@80:ended closed r@80-80:ended" },
        /* F at the first known value that does not say T; the memory outlives unknown */
        { "hyst(n, on: >8, off: <6)", "0=7 10=9 20=100 30=7 40=0",
          "fire r@10<10 end r@20:input_lost closed r@20-20:input_lost" },
        { "hyst(n, on: >8, off: <6) is unknown", "0=7 20=100 30=7",
          "fire r@20<20 end r@30:ended closed r@30-30:ended" },
        { "latch(set: p, reset: q)", "0=0 10=1 20=0 30=100 40=3 50=0",
          "fire r@10<10 end r@40:ended closed r@40-40:ended" },
        { "debounce(p, on: 100ms, off: 50ms)", "0=0 10=1 50=0 60=1 200=0 240=1 250=0 400=-",
          "fire r@160<160 end r@300:ended closed r@300-300:ended" },
        /* F at its first known input, even if that is T */
        { "debounce(p, on: 100ms, off: 50ms)", "0=1 300=-",
          "fire r@100<100 end r@300:input_end closed r@300-300:input_end" },
    };
    (void)state;
    CHECK(cases);
}

static void test_sequences(void **state)
{
    static const struct case_of cases[] = {
        /* strictly later, at most d, the bound included; T for one step */
        { "p then q within 100ms", "0=0 10=1 60=2", "fire r@60<60 end r@60:ended closed r@60-60:ended" },
        { "p then q within 100ms", "0=0 10=1 110=2", "fire r@110<110 end r@110:ended "
          "closed r@110-110:ended" },
        { "p then q within 100ms", "0=0 10=1 111=2", "" },
        { "p then q within 100ms", "0=0 10=3 60=3", "" },
        { "p then q within 100ms", "0=0 10=1 10=2", "fire r@10<10 end r@10:ended closed r@10-10:ended" },
        /* the latest a wins; an a is not used up; one edge is not both */
        { "p then q within 100ms", "0=0 10=1 20=0 100=1 150=3 160=1 170=3",
          "fire r@150<150 end r@150:ended closed r@150-150:ended "
          "fire r@170<170 end r@170:ended closed r@170-170:ended" },
        { "p then p within 100ms", "0=0 10=1 20=0 30=1", "fire r@30<30 end r@30:ended closed r@30-30:ended" },
        /* a at the same step as b serves the next b only */
        { "p then q within 100ms", "0=0 10=1 20=0 30=3", "fire r@30<30 end r@30:ended closed r@30-30:ended" },
        /* chains: from step to step, and in all */
        { "p then q within 50ms then p within 50ms", "0=0 10=1 50=2 90=1",
          "fire r@90<90 end r@90:ended closed r@90-90:ended" },
        { "p then q then p total 60ms", "0=0 10=1 50=2 70=1",
          "fire r@70<70 end r@70:ended closed r@70-70:ended" },
        { "p then q then p total 60ms", "0=0 10=1 50=2 71=1", "" },
        /* prefixes: last to first within a step */
        { "p then q then p total 60ms", "0=0 10=1 20=2 21=0 30=3 31=0 40=1",
          "fire r@30<30 end r@30:ended closed r@30-30:ended "
          "fire r@40<40 end r@40:ended closed r@40-40:ended" },
        /* unknown freezes the edge memory, and is unknown itself while b is */
        { "p then q within 100ms", "0=0 10=1 20=100 60=2", "fire r@60<60 end r@60:ended "
          "closed r@60-60:ended" },
        { "(p then zp within 100ms) is unknown", "0=0 10=z0 20=z100 30=z0",
          "fire r@20<20 end r@30:ended closed r@30-30:ended" },
        { "p then q within 100ms", "0=0 10=1 20! 30=0 40=2", "" },
    };
    (void)state;
    CHECK(cases);
}

static void test_absence(void **state)
{
    static const struct case_of cases[] = {
        { "p then not q within 100ms", "0=0 10=1 300=-", "fire r@110<110 end r@110:ended "
          "closed r@110-110:ended" },
        { "p then not q within 100ms", "0=0 10=1 60=3 300=-", "" },
        /* up to and with its end; an edge at a's own step is none after it */
        { "p then not q within 100ms", "0=0 10=1 110=3 300=-", "" },
        { "p then not q within 100ms", "0=0 10=3 300=-", "fire r@110<110 end r@110:ended "
          "closed r@110-110:ended" },
        /* a b that is true already cancels nothing */
        { "p then not q within 100ms", "0=2 10=3 300=-", "fire r@110<110 end r@110:ended "
          "closed r@110-110:ended" },
        /* the first a wins until it is resolved */
        { "p then not q within 100ms", "0=0 10=1 50=0 60=1 300=-", "fire r@110<110 end r@110:ended "
          "closed r@110-110:ended" },
        /* b unknown meanwhile: no fire, counted; an edge of b after it cancels without a count */
        { "p then not zp within 100ms", "0=z0 0=0 10=1 50=z100 60=z0 300=-", "supp r@110:unknown" },
        { "p then not zp within 100ms", "0=z0 0=0 10=1 50=z100 60=z0 70=z1 300=-", "" },
        { "p then not zp within 100ms", "0=0 10=1 300=-", "supp r@110:unknown" },
    };
    (void)state;
    CHECK(cases);
}

static void test_counts_and_samples(void **state)
{
    static const struct case_of cases[] = {
        { "count_over(p, 100ms) >= 2", "0=0 10=1 20=0 30=1 40=0 200=-",
          "fire r@30<30 end r@110:ended closed r@110-110:ended" },
        /* an edge exactly d old counts at a step */
        { "count_over(p, 100ms) >= 2", "0=0 10=1 20=0 110=1 120=0 200=-",
          "fire r@110<110 end r@110:ended closed r@110-110:ended" },
        { "samples(n, 100ms) >= 2", "0=0 10=1 110=1 200=0 400=-",
          "fire r@10<10 end r@100:ended closed r@100-100:ended "
          "fire r@110<110 end r@110:ended closed r@110-110:ended "
          "fire r@200<200 end r@210:ended closed r@210-210:ended" },
        { "frozen(n, 100ms)", "0=5 50=5 150=5 160=6 200=6 400=-",
          "fire r@260<260 end r@400:input_end closed r@400-400:input_end" },
        /* one sample alone is not frozen */
        { "frozen(n, 100ms)", "0=5 400=5 410=6",
          "fire r@400<400 end r@410:ended closed r@410-410:ended" },
        { "frozen(n, 100ms) is unknown", "0=5 10=6 20=100 30=6 400=-",
          "fire r@20<20 end r@130:ended closed r@130-130:ended" },
        { "period(n) > 40 ms", "0=0 10=0 60=0 70=0",
          "fire r@60<60 end r@70:ended closed r@70-70:ended" },
    };
    (void)state;
    CHECK(cases);
}

static void test_windows(void **state)
{
    static const struct case_of cases[] = {
        /* the value held at t - d counts: what left exactly then does at a step, not at the timer */
        { "max_over(n, 100ms) > 8", "0=0 55=9 60=0 160=0 300=-",
          "fire r@55<55 end r@160:ended closed r@160-160:ended" },
        { "max_over(n, 100ms) > 8 and q", "0=0 50=9 60=0 160=2 300=-",
          "fire r@160<160 end r@160:ended closed r@160-160:ended" },
        { "max_over(n, 100ms) > 8 and q", "0=0 50=9 60=0 161=2 300=-", "" },
        { "min_over(n, 100ms) > 8", "0=0 50=9 300=-", "fire r@150<150 end r@300:input_end "
          "closed r@300-300:input_end" },
        { "range_over(n, 100ms) > 8", "0=0 60=9 300=-", "fire r@60<60 end r@160:ended closed r@160-160:ended" },
        /* known for half of d: at the exact instant */
        { "max_over(n, 100ms) is known", "10=0 300=-", "fire r@60<60 end r@300:input_end "
          "closed r@300-300:input_end" },
        { "max_over(n, 100ms, cover: 100 %) is known", "10=0 300=-",
          "fire r@110<110 end r@300:input_end closed r@300-300:input_end" },
        /* unknown from 110 on: known time in the window falls under 50 ms one ns after 160 */
        { "max_over(n, 100ms) is known", "10=0 110=100 300=-",
          "fire r@60<60 end r@160.000001:ended closed r@160.000001-160.000001:ended" },
        { "mean_over(n, 100ms) is known", "10=0 110=100 300=-", /* computed at 110, not before */
          "fire r@110<110 end r@160.000001:ended closed r@160.000001-160.000001:ended" },
        /* delta and at */
        { "delta(n, 100ms) > 8", "0=0 100=0 150=9 300=-",
          "fire r@150<150 end r@250:ended closed r@250-250:ended" },
        { "at(n, 100ms) > 8", "0=0 100=0 150=9 200=0 400=-",
          "fire r@250<250 end r@300:ended closed r@300-300:ended" },
        { "at(n, 100ms) > 8", "0=0 150=9 250=9 400=-", /* at a step exactly d later too */
          "fire r@250<250 end r@400:input_end closed r@400-400:input_end" },
        { "sum_over(n, 100ms) > 8", "0=0 60=5 90=5 150=1 160=0 400=-",
          "fire r@90<90 end r@160:ended closed r@160-160:ended" },
        /* two thirds of 90 ms at 0, one at 9: weighed by time, not by samples */
        { "mean_over(n, 90ms) > 2.9", "0=0 60=9 90=9 91=0",
          "fire r@90<90" " end r@91:input_end closed r@91-91:input_end" },
        { "mean_over(n, 90ms) > 3.01", "0=0 60=9 90=9", "" },
        { "std_over(n, 100ms) > 4.9", "0=0 50=10 100=10", "fire r@100<100 end r@100:input_end "
          "closed r@100-100:input_end" },
        { "integral(n, 100ms) > 0.49 s", "0=0 50=10 100=10", "fire r@100<100 end r@100:input_end "
          "closed r@100-100:input_end" },
        { "deriv(n, 100ms) > 99.9 / 1 s", "0=0 10=0 40=3 50=4 60=5 70=6 110=10 120=11",
          "fire r@110<110 end r@120:input_end closed r@120-120:input_end" },
        { "duty(p, 100ms) > 0.49", "0=0 50=1 100=1", "fire r@100<100 end r@100:input_end "
          "closed r@100-100:input_end" },
        /* two samples are no slope */
        { "deriv(n, 100ms) is known", "0=0 90=0 95=1",
          "fire r@95<95 end r@95:input_end closed r@95-95:input_end" },
    };
    (void)state;
    CHECK(cases);
}

static void test_bounds_are_checked(void **state)
{
    static const struct { const char *when, *code; } cases[] = {
        { "p then q", "E510" }, { "p then q within 1s total 2s", "E511" },
        { "p then not q within 1s then p within 1s", "E512" },
        { "p then not q total 1s", "E512" }, { "held(p, 0s)", "E501" }, { "held(p, 5 km/h)", "E501" },
        { "once(p, n)", "E501" }, { "hyst(n, on: 8, off: <6)", "E101" },
        { "hyst(n, on: >5, off: <6)", "E505" }, { "hyst(n, on: >5, off: >3)", "E505" },
        { "debounce(p, on: 1s)", "E203" }, { "max_over(p, 1s) > 1", "E303" },
        { "max_over(s, 100s) > 1", "E520" }, { "max_over(n, 1s, cover: 2) > 1", "E501" },
        { "frozen(n + 1, 1s)", "E304" }, { "true then q within 1s", "E304" },
        { "max_over(n, 1s, cover: >5) > 1", "E101" }, { "quantile_over(n, 1s) > 1", "E290" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kit kit;
        char pack[2048];
        (void)snprintf(pack, sizeof pack, "%s- {name: r, when: \"%s\"}\n", head, cases[i].when);
        if (kit_load(&kit, pack) != -EBADMSG || strcmp(kit.diags.items[0].err.code, cases[i].code) != 0)
            fail_msg("%s: %s", cases[i].when, kit.diags.count ? kit.diags.items[0].err.text : "loads");
        ruleset_close(kit.rules);
        dbset_close(kit.dbset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held_and_once),
        cmocka_unit_test(test_since),
        cmocka_unit_test(test_hyst_latch_debounce),
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_absence),
        cmocka_unit_test(test_counts_and_samples),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_bounds_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
