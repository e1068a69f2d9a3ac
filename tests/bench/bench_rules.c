/* The engine on a pack made up: rules of four leaves over signals in frames of eight, each signal
 * read by five leaves, every fifth leaf a sliding maximum over 1 s. The control decodes the same
 * frames and tests every comparison of every rule at each frame, without time, unknown or windows. */
#include "tests/bench/bench.h"

#include "proto/dbset.h"
#include "triggers/engine.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_SIGNALS 8
#define LEAVES 4
#define FRAMES 50000
#define STEP_NS INT64_C(200000) /* 5000 frames a second */
#define ROUNDS 3

struct car {
    uint32_t rules, messages;
    struct dbset *dbset;
    struct ruleset *set;
    struct engine *engine;
    struct row *rows;
    uint8_t (*thresholds)[LEAVES]; /* of the control: rule r reads signals r * 4 + leaf, mod all */
    int64_t passed_ns;             /* time of the rounds before this one */
    uint64_t step;
};

static uint32_t draw(uint64_t *seed, uint32_t below)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33) % below;
}

static void *need(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static char *make_dbc(uint32_t messages)
{
    char *text = need(malloc(256 + messages * 600u));
    size_t at = (size_t)sprintf(text, "VERSION \"\"\n\nNS_ :\n\nBS_:\n\nBU_: A\n\n");

    for (uint32_t m = 0; m < messages; m++) {
        at += (size_t)sprintf(text + at, "BO_ %u M%u: 8 A\n", 16 + m, m);
        for (uint32_t s = 0; s < FRAME_SIGNALS; s++)
            at += (size_t)sprintf(text + at, " SG_ S%u : %u|8@1+ (1,0) [0|0] \"\" A\n", s, s * 8);
    }
    return text;
}

static char *make_pack(struct car *car)
{
    uint32_t signals = car->messages * FRAME_SIGNALS;
    char *text = need(malloc(256 + signals * 48u + car->rules * 256u));
    size_t at = (size_t)sprintf(text, "format: 1\npackage: bench\nsignals:\n");
    uint64_t seed = 1;

    for (uint32_t s = 0; s < signals; s++)
        at += (size_t)sprintf(text + at, "  s%u: {from: M%u.S%u, max_age: 1s}\n", s,
                              s / FRAME_SIGNALS, s % FRAME_SIGNALS);
    at += (size_t)sprintf(text + at, "rules:\n");
    for (uint32_t r = 0; r < car->rules; r++) {
        char leaf[LEAVES][48];
        for (uint32_t k = 0; k < LEAVES; k++) {
            uint32_t index = r * LEAVES + k, s = index % signals;
            car->thresholds[r][k] = (uint8_t)(20 + draw(&seed, 216));
            (void)snprintf(leaf[k], sizeof leaf[k],
                           index % 5 == 0 ? "max_over(s%u, 1s) > %u" : "s%u > %u", s,
                           car->thresholds[r][k]);
        }
        at += (size_t)sprintf(text + at, "- {name: r%u, when: \"(%s and %s) or (%s and held(%s, "
                              "100ms))\", for: 50ms, cooldown: 1s}\n", r, leaf[0], leaf[1],
                              leaf[2], leaf[3]);
    }
    return text;
}

/* Each signal walks: most samples are near the one before, as on a bus. */
static void make_rows(struct car *car)
{
    uint8_t *values = need(malloc(car->messages * FRAME_SIGNALS));
    uint64_t seed = 2;

    car->rows = need(calloc(FRAMES, sizeof *car->rows));
    for (uint32_t i = 0; i < car->messages * FRAME_SIGNALS; i++)
        values[i] = (uint8_t)draw(&seed, 256);
    for (uint32_t i = 0; i < FRAMES; i++) {
        uint32_t message = i % car->messages;
        struct frame *frame = &car->rows[i].frame;
        for (uint32_t s = 0; s < FRAME_SIGNALS; s++) {
            uint8_t *v = &values[message * FRAME_SIGNALS + s];
            int next = *v + (int)draw(&seed, 5) - 2;
            *v = (uint8_t)(next < 0 ? 0 : next > 255 ? 255 : next);
            frame->data[s] = *v;
        }
        frame->id = 16 + message;
        frame->len = frame->dlc = 8;
    }
    free(values);
}

static uint64_t drain(struct engine *engine)
{
    struct rule_event event;
    uint64_t count = 0;

    while (engine_take(engine, &event))
        count++;
    return count;
}

static void step(struct car *car, uint32_t i)
{
    struct row row = car->rows[i];

    row.mono_ns = row.frame.stamp_ns = car->passed_ns + i * STEP_NS;
    row.step = car->step++;
    while (engine_advance(car->engine, row.mono_ns))
        bench_sink += drain(car->engine);
    engine_step(car->engine, &row);
    bench_sink += drain(car->engine);
}

static uint64_t run_engine(void *context)
{
    struct car *car = context;

    for (uint32_t i = 0; i < FRAMES; i++)
        step(car, i);
    car->passed_ns += FRAMES * STEP_NS;
    return (uint64_t)FRAMES * FRAME_SIGNALS;
}

static uint64_t run_control(void *context)
{
    const struct car *car = context;
    uint32_t signals = car->messages * FRAME_SIGNALS;
    uint8_t *values = need(calloc(signals, 1));

    for (uint32_t i = 0; i < FRAMES; i++) {
        const struct frame *frame = &car->rows[i].frame;
        memcpy(values + (frame->id - 16) * FRAME_SIGNALS, frame->data, FRAME_SIGNALS);
        for (uint32_t r = 0; r < car->rules; r++) {
            bool leaf[LEAVES];
            for (uint32_t k = 0; k < LEAVES; k++)
                leaf[k] = values[(r * LEAVES + k) % signals] > car->thresholds[r][k];
            bench_sink += (leaf[0] && leaf[1]) || (leaf[2] && leaf[3]);
        }
    }
    free(values);
    return (uint64_t)FRAMES * FRAME_SIGNALS;
}

static void open_car(struct car *car, uint32_t rules, uint32_t messages)
{
    struct source_table sources = { .count = 1 };
    struct err err = { 0 };

    *car = (struct car){ .rules = rules, .messages = messages, .dbset = dbset_open() };
    car->thresholds = need(calloc(rules, sizeof *car->thresholds));
    char *dbc = make_dbc(messages), *pack = make_pack(car);
    struct ruleset_pack text = { "bench.yaml", pack, strlen(pack) };
    struct diags diags = { 0 };
    if (dbset_add(car->dbset, "", "bench.dbc", dbc, strlen(dbc), false, NULL, &err))
        abort();
    struct ruleset_config config = { &text, 1, car->dbset, 0 };
    int64_t begin_ns = bench_now_ns();
    if (ruleset_load(&config, &diags, &car->set)) {
        diags_print(&diags, stderr);
        abort();
    }
    double load_ms = (double)(bench_now_ns() - begin_ns) / 1e6;
    (void)snprintf(sources.items[0].name, SOURCE_NAME_MAX, "can0");
    struct engine_config engine = { car->set, &sources };
    if (engine_open(&engine, &car->engine))
        abort();
    struct ruleset_size size = ruleset_size(car->set);
    printf("rules: %u rules, %u signals, %u nodes load in %.1f ms; the engine has %.1f MB\n", rules,
           size.signals, size.nodes, load_ms, (double)size.engine_bytes / 1e6);
    make_rows(car);
    engine_begin(car->engine, 0);
    free(dbc);
    free(pack);
}

static void close_car(struct car *car)
{
    engine_close(car->engine);
    ruleset_close(car->set);
    dbset_close(car->dbset);
    free(car->rows);
    free(car->thresholds);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Each step timed alone: what the slowest ones take, timers before them included. */
static void print_steps(struct car *car)
{
    uint32_t *took = need(calloc(FRAMES, sizeof *took));
    struct engine_stats before = engine_stats(car->engine);
    size_t used = mallinfo2().uordblks;

    for (uint32_t i = 0; i < FRAMES; i++) {
        int64_t begin_ns = bench_now_ns();
        step(car, i);
        took[i] = (uint32_t)(bench_now_ns() - begin_ns);
    }
    car->passed_ns += FRAMES * STEP_NS;
    used = mallinfo2().uordblks - used;
    struct engine_stats after = engine_stats(car->engine);
    qsort(took, FRAMES, sizeof *took, by_value);
    printf("rules: a step of %d signals takes %u ns in the middle, p99 %u ns, at most %u ns; %.2f "
           "flips and %.2f timers a sample, %llu fires, %zu bytes allocated\n",
           FRAME_SIGNALS, took[FRAMES / 2], took[FRAMES / 100 * 99], took[FRAMES - 1],
           (double)(after.flips - before.flips) / (FRAMES * FRAME_SIGNALS),
           (double)(after.instants - before.instants) / (FRAMES * FRAME_SIGNALS),
           (unsigned long long)(after.fires - before.fires), used);
    free(took);
}

void bench_rules(void)
{
    struct car small, large;
    struct bench_pair pair = { .name = "rules: 500 rules, 400 signals", .unit = "samples",
                               .ours = "engine", .control = "every rule at each frame",
                               .run_ours = run_engine, .run_control = run_control,
                               .rounds = ROUNDS };

    open_car(&small, 500, 50);
    pair.context = &small;
    (void)bench_run(&pair);
    print_steps(&small);
    open_car(&large, 2000, 200);
    pair.context = &large;
    pair.name = "rules: 2000 rules, 1600 signals";
    (void)bench_run(&pair);
    print_steps(&large);
    close_car(&small);
    close_car(&large);
}
