/* fuzz_pack - any text as a pack: refused with a message, or compiled, hashed and run over frames made
 * from the same bytes. */
#include "triggers/engine.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char database[] =
    "VERSION \"\"\nBU_: A\n"
    "BO_ 256 M: 8 A\n SG_ Count : 0|8@1+ (1,0) [0|0] \"\" A\n"
    " SG_ Speed : 8|16@1+ (0.01,0) [0|0] \"km/h\" A\n SG_ Flag : 24|1@1+ (1,0) [0|0] \"\" A\n"
    " SG_ Gear : 28|4@1+ (1,0) [0|0] \"\" A\n SG_ Accel : 32|16@1- (0.001,0) [0|0] \"m/s^2\" A\n"
    "BO_ 512 Slow: 4 A\n SG_ Temp : 0|8@1+ (0.5,-40) [0|0] \"degC\" A\n"
    "VAL_ 256 Gear 0 \"P\" 1 \"R\" 2 \"N\" 3 \"D\" 15 \"SNA\";\n";

static void run(struct ruleset *rules, const uint8_t *data, size_t size)
{
    struct source_table sources = { .count = 1, .items = { { .name = "can0" } } };
    struct engine_config config = { rules, &sources };
    struct engine *engine;
    struct rule_event event;

    if (ruleset_size(rules).engine_bytes > (64u << 20) || engine_open(&config, &engine))
        return;
    engine_begin(engine, 0);
    for (size_t i = 0; i + 8 < size && i < 4000; i += 8) {
        struct row row = { .step = i, .mono_ns = (int64_t)i * 7000000,
                           .frame = { .id = data[i] & 1 ? 256 : 512, .len = 8 } };
        int instants = 0;
        memcpy(row.frame.data, data + i, 8);
        while (engine_advance(engine, row.mono_ns) && instants++ < 10000)
            while (engine_take(engine, &event))
                continue;
        if (instants >= 10000)
            break;
        engine_step(engine, &row);
        while (engine_take(engine, &event))
            if (event.end_ns >= 0 && event.end_ns < event.start_ns)
                abort();
    }
    uint8_t *state = malloc(engine_state_max(engine));
    if (state && engine_state_save(engine, 3000000, state, engine_state_max(engine)) >
                     engine_state_max(engine))
        abort();
    free(state);
    engine_finish(engine, REASON_INPUT_END);
    engine_close(engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dbset *dbset;
    struct ruleset_pack pack = { "fuzz.yaml", data, size };
    struct diags *diags = calloc(1, sizeof *diags);
    struct ruleset *rules;

    if (!dbset) {
        dbset = dbset_open();
        if (dbset_add(dbset, "", "f.dbc", database, sizeof database - 1, false, NULL, NULL))
            abort();
    }
    struct ruleset_config config = { &pack, 1, dbset, 1 };
    if (!diags)
        return 0;
    if (ruleset_load(&config, diags, &rules)) {
        if (!diags->errors)
            abort();
    } else {
        run(rules, data, size);
        ruleset_close(rules);
    }
    free(diags);
    return 0;
}
