/* rules_kit - a small car for tests of the rule language: one database, one bus, events as text.
 * Events read "fire r@120<100" (at ms, start), "end r@500:ended", "closed r@600-500:ended" (end),
 * "cont r@540", "supp r@700:cooldown"; edges other than rising as "r.falling". */
#ifndef TESTS_RULES_KIT_H
#define TESTS_RULES_KIT_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "proto/bytes.h"
#include "triggers/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS NS_PER_MS

static const char kit_dbc[] =
    "VERSION \"\"\n\nNS_ :\n\nBS_:\n\nBU_: A\n\n"
    "BO_ 256 M: 8 A\n"
    " SG_ Count : 0|8@1+ (1,0) [0|0] \"\" A\n"
    " SG_ Speed : 8|16@1+ (0.01,0) [0|0] \"km/h\" A\n"
    " SG_ Flag : 24|1@1+ (1,0) [0|0] \"\" A\n"
    " SG_ Gear : 28|4@1+ (1,0) [0|0] \"\" A\n"
    " SG_ Accel : 32|16@1- (0.001,0) [0|0] \"m/s^2\" A\n"
    " SG_ Odd : 48|8@1+ (2,-7) [0|0] \"foos\" A\n"
    "BO_ 512 Slow: 4 A\n"
    " SG_ Temp : 0|8@1+ (0.5,-40) [0|0] \"degC\" A\n"
    " SG_ Other : 8|8@1+ (1,0) [0|0] \"\" A\n"
    "BO_ 768 Mux: 8 A\n"
    " SG_ Which M : 0|8@1+ (1,0) [0|0] \"\" A\n"
    " SG_ One m1 : 8|8@1+ (1,0) [0|0] \"\" A\n"
    " SG_ Two m2 : 8|8@1+ (1,0) [0|0] \"\" A\n"
    "BO_ 1024 Wide: 8 A\n"
    " SG_ Big : 0|64@1+ (1,0) [0|0] \"\" A\n"
    "BO_ 1025 Real: 4 A\n"
    " SG_ Float : 0|32@1- (1,0) [0|0] \"m\" A\n"
    "BO_ 2364540158 EEC1: 8 A\n" /* 0x0CF004FE: J1939, any source */
    " SG_ Rpm : 0|8@1+ (1,0) [0|0] \"\" A\n"
    "BA_DEF_ BO_ \"VFrameFormat\" INT 0 3;\n"
    "BA_ \"VFrameFormat\" BO_ 2364540158 3;\n"
    "BA_DEF_ BO_ \"GenMsgCycleTime\" INT 0 65535;\n"
    "BA_DEF_DEF_ \"GenMsgCycleTime\" 0;\n"
    "BA_ \"GenMsgCycleTime\" BO_ 256 100;\n"
    "VAL_ 256 Gear 0 \"P\" 1 \"R\" 2 \"N\" 3 \"D\" 14 \"X\" 15 \"SNA\" 13 \"X\";\n"
    "SIG_VALTYPE_ 1025 Float : 1;\n";

struct kit {
    struct dbset *dbset;
    struct ruleset *rules;
    struct engine *engine;
    struct source_table sources;
    struct diags diags;
    uint64_t step;
    int64_t last_ns;
    char log[8192];
    size_t len;
};

static inline int kit_load(struct kit *kit, const char *pack)
{
    struct err err = { 0 };
    struct ruleset_pack text = { "pack.yaml", pack, strlen(pack) };

    memset(kit, 0, sizeof *kit);
    kit->dbset = dbset_open();
    if (dbset_add(kit->dbset, "", "kit.dbc", kit_dbc, sizeof kit_dbc - 1, false, NULL, &err))
        fail_msg("kit.dbc: %s", err.text);
    struct ruleset_config config = { &text, 1, kit->dbset, 0 };
    return ruleset_load(&config, &kit->diags, &kit->rules);
}

static inline void kit_engine(struct kit *kit)
{
    kit->sources.count = 2;
    (void)snprintf(kit->sources.items[0].name, SOURCE_NAME_MAX, "can0");
    (void)snprintf(kit->sources.items[1].name, SOURCE_NAME_MAX, "can1");
    struct engine_config config = { kit->rules, &kit->sources };
    assert_int_equal(engine_open(&config, &kit->engine), 0);
}

static inline void kit_open(struct kit *kit, const char *pack)
{
    if (kit_load(kit, pack)) {
        diags_print(&kit->diags, stderr);
        fail_msg("the pack does not load");
    }
    kit_engine(kit);
}

static inline void kit_close(struct kit *kit)
{
    engine_close(kit->engine);
    ruleset_close(kit->rules);
    dbset_close(kit->dbset);
}

static inline void kit_put(struct kit *kit, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline void kit_put(struct kit *kit, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    kit->len += (size_t)vsnprintf(kit->log + kit->len, sizeof kit->log - kit->len, format, args);
    va_end(args);
    assert_true(kit->len < sizeof kit->log);
}

static inline void kit_time(struct kit *kit, const char *before, int64_t ns)
{
    kit_put(kit, "%s%lld", before, (long long)(ns / MS));
    if (ns % MS)
        kit_put(kit, ".%06lld", (long long)(ns % MS));
}

static inline void kit_drain(struct kit *kit, struct engine *engine, const struct ruleset *rules)
{
    static const char *const names[] = { "fire", "end", "cont", "closed", "supp" };
    struct rule_event event;

    while (engine_take(engine, &event)) {
        kit_put(kit, "%s%s %s%s%s", kit->len ? " " : "", names[event.kind],
                ruleset_rule(rules, event.rule)->name, event.edge == EDGE_RISING ? "" : ".",
                event.edge == EDGE_RISING ? "" : rule_edge_name(event.edge));
        kit_time(kit, "@", event.t_ns);
        if (event.kind == EVENT_FIRE)
            kit_time(kit, "<", event.start_ns);
        if (event.kind == EVENT_CLOSED)
            kit_time(kit, "-", event.end_ns);
        if (event.reason)
            kit_put(kit, ":%s", event.exception ? event.exception
                                                : rule_reason_name(event.reason));
    }
}

static inline void kit_begin(struct kit *kit, int64_t at_ns)
{
    engine_begin(kit->engine, at_ns);
    kit->last_ns = at_ns;
    kit_drain(kit, kit->engine, kit->rules);
}

static inline void kit_until(struct kit *kit, int64_t at_ns)
{
    while (engine_advance(kit->engine, at_ns))
        kit_drain(kit, kit->engine, kit->rules);
}

static inline struct row kit_row(struct kit *kit, int64_t at_ns, uint32_t id, const uint8_t *data,
                                 uint8_t len)
{
    struct row row = { .step = kit->step, .mono_ns = at_ns,
                       .frame = { .stamp_ns = at_ns, .id = id, .len = len, .dlc = len } };

    memcpy(row.frame.data, data, len);
    return row;
}

static inline void kit_frame(struct kit *kit, int64_t at_ns, uint32_t id, const uint8_t *data,
                             uint8_t len)
{
    struct row row = kit_row(kit, at_ns, id, data, len);

    kit->step++;
    kit_until(kit, at_ns);
    engine_step(kit->engine, &row);
    kit->last_ns = at_ns;
    kit_drain(kit, kit->engine, kit->rules);
}

/* Message M with its Count and, from 256 on, its other bytes zero. */
static inline void kit_count(struct kit *kit, int64_t at_ms, uint8_t count)
{
    kit_frame(kit, at_ms * MS, 256, (uint8_t[8]){ count }, 8);
}

static inline void kit_end(struct kit *kit)
{
    kit_until(kit, kit->last_ns);
    engine_finish(kit->engine, REASON_INPUT_END);
    kit_drain(kit, kit->engine, kit->rules);
}

#endif
