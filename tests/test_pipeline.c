/* The pipeline against a scripted engine: what is decided about clips depends on events alone, so
 * the script says them, and every case names the clips that must come out. */
#include "daemon/pipeline.h"
#include "triggers/engine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MS NS_PER_MS
#define SCRIPT_MAX 4096

/* --- an engine that says what the test wrote down --- */

struct line {
    int64_t t_ns;
    bool by_timer; /* else at the first step at t_ns */
    struct rule_event event;
    bool said;
};

static struct line script[SCRIPT_MAX];
static size_t script_count;
static struct rule rules[8];
static const struct line *said[64];
static size_t said_count, said_at;
static int64_t engine_ns;
static uint64_t engine_steps;
static int engines_open;
static uint8_t loaded_state[8];
static size_t loaded_size;

struct engine {
    int unused;
};

uint32_t ruleset_count(const struct ruleset *ruleset)
{
    (void)ruleset;
    return 8;
}

const struct rule *ruleset_rule(const struct ruleset *ruleset, uint32_t index)
{
    (void)ruleset;
    return &rules[index];
}

const char *rule_reason_name(enum rule_reason reason)
{
    return reason == REASON_INPUT_END ? "input_end" : reason == REASON_COOLDOWN ? "cooldown" : "ended";
}

int engine_open(const struct engine_config *config, struct engine **ret_engine)
{
    (void)config;
    *ret_engine = calloc(1, sizeof **ret_engine);
    engines_open++;
    return 0;
}

void engine_close(struct engine *engine)
{
    engines_open -= engine != NULL;
    free(engine);
}

void engine_seed(struct engine *engine, const struct row *row)
{
    (void)engine;
    (void)row;
}

void engine_begin(struct engine *engine, int64_t mono_ns)
{
    (void)engine;
    engine_ns = mono_ns;
    engine_steps = 0;
}

static void say(struct line *line)
{
    line->said = true;
    line->event.step = engine_steps ? engine_steps - 1 : 0;
    said[said_count++] = line;
}

bool engine_advance(struct engine *engine, int64_t mono_ns)
{
    (void)engine;
    assert_int_equal(said_at, said_count);
    said_at = said_count = 0;
    for (size_t i = 0; i < script_count; i++)
        if (!script[i].said && script[i].by_timer && script[i].t_ns < mono_ns) {
            say(&script[i]);
            return true;
        }
    return false;
}

void engine_step(struct engine *engine, const struct row *row)
{
    (void)engine;
    engine_ns = row->mono_ns;
    engine_steps = row->step + 1;
    said_at = said_count = 0;
    for (size_t i = 0; i < script_count; i++)
        if (!script[i].said && !script[i].by_timer && script[i].t_ns <= row->mono_ns)
            say(&script[i]);
}

int64_t engine_next_due(const struct engine *engine)
{
    (void)engine;
    return ENGINE_NEVER;
}

void engine_discontinuity(struct engine *engine, int64_t mono_ns)
{
    (void)engine;
    (void)mono_ns;
    said_at = said_count = 0;
}

/* Closes what is open, as the engine does. */
void engine_finish(struct engine *engine, enum rule_reason reason)
{
    static struct line ends[64];
    size_t count = 0;

    (void)engine;
    said_at = said_count = 0;
    for (size_t i = 0; i < script_count && count < 64; i++) {
        bool closed = false;
        if (!script[i].said || script[i].event.kind != EVENT_FIRE)
            continue;
        for (size_t k = 0; k < script_count; k++)
            closed |= script[k].said && script[k].event.kind == EVENT_CLOSED &&
                      script[k].event.number == script[i].event.number;
        if (closed)
            continue;
        ends[count] = script[i];
        ends[count].event.kind = EVENT_CLOSED;
        ends[count].event.reason = reason;
        ends[count].event.t_ns = ends[count].event.end_ns = ends[count].event.closed_ns = engine_ns;
        said[said_count++] = &ends[count++];
    }
}

bool engine_take(struct engine *engine, struct rule_event *ret_event)
{
    (void)engine;
    if (said_at == said_count)
        return false;
    *ret_event = said[said_at++]->event;
    return true;
}

void engine_reload(struct engine *old, struct engine *next, int64_t mono_ns)
{
    (void)old;
    (void)next;
    (void)mono_ns;
}

bool engine_reads(struct engine *engine, const struct frame *frame)
{
    (void)engine;
    return frame->id == 0x100;
}

/* The time stands for the state, so that a test sees for when it was saved. */
size_t engine_state_save(struct engine *engine, int64_t at_ns, uint8_t *bytes, size_t size)
{
    (void)engine;
    if (size >= 8)
        memcpy(bytes, &at_ns, 8);
    return 8;
}

size_t engine_state_handover(struct engine *engine, int64_t now_ns, uint64_t step, uint8_t *bytes,
                             size_t size)
{
    (void)step;
    return engine_state_save(engine, now_ns, bytes, size);
}

uint64_t engine_state_step(const uint8_t *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return UINT64_MAX;
}

int64_t engine_state_time(int64_t at_ns, const uint8_t *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return at_ns;
}

size_t engine_state_max(const struct engine *engine)
{
    (void)engine;
    return 8;
}

int engine_state_load(struct engine *engine, int64_t at_ns, const uint8_t *bytes, size_t size)
{
    (void)engine;
    (void)at_ns;
    memcpy(loaded_state, bytes, size);
    loaded_size = size;
    return 0;
}

/* --- writing a script --- */

static struct rule_event *add_line(enum rule_event_kind kind, uint64_t number, int64_t t_ns)
{
    struct line *line = &script[script_count++];

    assert_true(script_count <= SCRIPT_MAX);
    *line = (struct line){ .t_ns = t_ns };
    line->event = (struct rule_event){ .kind = kind, .number = number, .t_ns = t_ns, .end_ns = -1,
                                       .closed_ns = -1 };
    return &line->event;
}

/* An event of `rule` that is active from fire to end, in milliseconds. */
static void add_event(uint32_t rule, uint64_t number, int64_t fire_ms, int64_t end_ms)
{
    struct rule_event *event = add_line(EVENT_FIRE, number, fire_ms * MS);

    event->rule = rule;
    event->start_ns = event->fire_ns = fire_ms * MS;
    if (end_ms < 0)
        return;
    for (int k = 0; k < 2; k++) {
        event = add_line(k ? EVENT_CLOSED : EVENT_END, number, end_ms * MS);
        event->rule = rule;
        event->reason = REASON_ENDED;
        event->end_ns = end_ms * MS;
        event->closed_ns = k ? end_ms * MS : -1;
    }
}

/* --- running it --- */

struct seen_clip {
    int64_t start_ms, end_ms;
    uint32_t own, elsewhere, segments, overlaps, generation;
    bool continues;
    enum clip_end end;
    uint64_t frames;
    struct clip_completeness completeness;
};

static struct pipeline *pipeline;
static struct recorder *recorder;
static struct shaping shaping;
static struct session session;
static struct source_table sources;
static struct seen_clip clips[256];
static size_t clip_count;
static uint64_t digest;        /* over all pieces */
static uint32_t notes[8];
static uint32_t segments_of[CLIPS_OPEN_MAX], generation_of[CLIPS_OPEN_MAX];
static int64_t state_of[CLIPS_OPEN_MAX];
static uint64_t first_frames[CLIPS_OPEN_MAX]; /* of segment 0 */

static void reset(void)
{
    static const uint8_t random[SESSION_ID_BYTES] = { 1 };

    script_count = 0;
    clip_count = 0;
    digest = 0;
    memset(notes, 0, sizeof notes);
    memset(rules, 0, sizeof rules);
    for (int i = 0; i < 8; i++)
        rules[i] = (struct rule){ .id = "p/r", .pre_ns = 5 * NS_PER_S, .post_ns = 5 * NS_PER_S,
                                  .merge = true, .priority = 3 };
    shaping_init(&shaping);
    session_live(&session, &shaping, random);
    sources.count = 2;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(sources.items[i].name, SOURCE_NAME_MAX, "can%d", i);
        sources.items[i].tick_ns = 1;
    }
}

static void see_clip(const struct recorder_piece *piece)
{
    const struct clip_manifest *manifest = piece->manifest;
    struct seen_clip *clip = &clips[clip_count];

    if (!manifest->last_segment) {
        first_frames[piece->clip] = manifest->frames;
        return;
    }
    clip_count++;
    clip->start_ms = manifest->start_ns / MS;
    clip->end_ms = manifest->end_ns / MS;
    clip->segments = segments_of[piece->clip];
    clip->generation = generation_of[piece->clip];
    clip->overlaps = manifest->overlap_count;
    clip->continues = manifest->continues;
    clip->end = manifest->end;
    clip->completeness = manifest->completeness;
    clip->own = clip->elsewhere = 0;
    clip->frames = manifest->frames + (clip->segments > 1 ? first_frames[piece->clip] : 0);
    for (uint32_t i = 0; i < manifest->event_count; i++)
        *(manifest->events[i].elsewhere ? &clip->elsewhere : &clip->own) += 1;
}

static void drain(void)
{
    struct recorder_command command;
    struct recorder_piece piece;
    struct pipeline_note note;

    while (pipeline_take_note(pipeline, &note))
        notes[note.kind]++;
    while (pipeline_take(pipeline, &command)) {
        int rc = recorder_put(recorder, &command);
        assert_int_equal(rc, 0);
        while (recorder_take(recorder, &piece)) {
            if (piece.kind == RECORDER_BEGIN) {
                segments_of[piece.clip] = piece.segments;
                generation_of[piece.clip] = piece.header->generation;
                if (piece.header->state_bytes == 8)
                    memcpy(&state_of[piece.clip], piece.header->state, 8);
            }
            digest = digest * 31 + hash_xxh3(piece.bytes, piece.size);
            if (piece.kind == RECORDER_END)
                see_clip(&piece);
            recorder_release(recorder, piece.block);
        }
    }
}

static void open_both(void)
{
    static struct generation generation = { .number = 1 };
    struct pipeline_config config = { .session = &session, .shaping = &shaping,
                                      .sources = &sources, .clock_quality = "recording" };
    struct recorder_config store = { .open_bytes = (size_t)shaping.open_bytes,
                                     .ring_bytes = (size_t)shaping.ring_bytes,
                                     .pin_bytes = (size_t)shaping.pin_bytes,
                                     .block_ns = shaping.block_ns,
                                     .codec = CODEC_COLUMNAR, .sources = sources };
    struct err err;

    generation.rules = (struct ruleset *)&generation; /* only handed to the fakes */
    said_at = said_count = 0;
    for (size_t i = 0; i < script_count; i++)
        script[i].said = false;
    assert_int_equal(pipeline_open(&config, &generation, &pipeline, &err), 0);
    assert_int_equal(recorder_open(&store, &recorder), 0);
    drain();
}

static void put_frame(int64_t stamp_ms, uint32_t id)
{
    struct frame frame = { .stamp_ns = stamp_ms * MS, .id = id, .len = 8, .dlc = 8 };

    assert_int_equal(pipeline_frame(pipeline, &frame), 0);
    drain();
}

static void check_books(void)
{
    struct pipeline_stats stats;
    struct recorder_stats stored;
    struct err err = { 0 };

    pipeline_stats(pipeline, &stats);
    recorder_stats(recorder, &stored);
    int rc = pipeline_books(&stats, &stored, &err);
    if (rc)
        print_message("%s\n", err.text);
    assert_int_equal(rc, 0);
}

static void finish(void)
{
    assert_int_equal(pipeline_finish(pipeline), 0);
    drain();
    check_books();
    pipeline_close(pipeline);
    recorder_close(recorder);
    assert_int_equal(engines_open, 0);
}

/* Frames each 10 ms from 0 to last_ms. */
static void run(int64_t last_ms)
{
    open_both();
    for (int64_t t = 0; t <= last_ms; t += 10)
        put_frame(t, 0x100 + (uint32_t)(t / 10 % 3));
    finish();
}

static void expect_clip(size_t index, int64_t start_ms, int64_t end_ms, uint32_t own)
{
    assert_true(index < clip_count);
    assert_int_equal(clips[index].start_ms, start_ms);
    assert_int_equal(clips[index].end_ms, end_ms);
    assert_int_equal(clips[index].own, own);
    if (clips[index].end != CLIP_END_TRUNCATED)
        assert_int_equal(clips[index].frames,
                         (uint64_t)(end_ms / 10 - (start_ms + 9) / 10 + 1));
}

/* --- the cases --- */

/* Both sides of the second: a fire at end + join joins, a nanosecond later it does not. */
static void test_a_fire_within_join_of_the_end_joins(void **state)
{
    static const struct {
        int64_t second_fire_ms;
        size_t clips;
    } cases[] = { { 12000, 1 }, { 17000, 1 }, { 18000, 1 }, { 18001, 2 }, { 18010, 2 } };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        reset();
        add_event(0, 1, 10000, 12000); /* [5, 17] */
        add_event(1, 2, cases[i].second_fire_ms, cases[i].second_fire_ms);
        script[3].by_timer = script[4].by_timer = script[5].by_timer = true;
        run(40000);
        assert_int_equal(clip_count, cases[i].clips);
        if (cases[i].clips == 1) {
            expect_clip(0, 5000, cases[i].second_fire_ms + 5000, 2);
        } else {
            expect_clip(0, 5000, 17000, 1);
            assert_int_equal(clips[1].own, 1);
            assert_int_equal(clips[1].overlaps, 1); /* it reaches back into the first */
        }
    }
}

static void test_the_window_is_cut_at_the_begin_and_end_of_the_input(void **state)
{
    (void)state;
    reset();
    add_event(0, 1, 2000, -1); /* active until the end */
    run(9000);
    assert_int_equal(clip_count, 1);
    expect_clip(0, 0, 9000, 1);
    assert_int_equal(clips[0].end, CLIP_END_INPUT);
    assert_int_equal(notes[PIPELINE_NOTE_END], 1);
    reset();
    add_event(0, 1, 10000, 11000);
    run(16000); /* the window is over, only the second of waiting is not */
    expect_clip(0, 5000, 16000, 1);
    assert_int_equal(clips[0].end, CLIP_END_COMPLETE);
}

static void test_an_earlier_window_appends_what_came_before(void **state)
{
    (void)state;
    reset();
    rules[1].pre_ns = 25 * NS_PER_S;
    add_event(0, 1, 30000, 30000);
    add_event(1, 2, 31000, 31000);
    run(60000);
    assert_int_equal(clip_count, 1);
    expect_clip(0, 6000, 36000, 2);
}

static void test_other_streams_priority_or_merge_get_clips_of_their_own(void **state)
{
    static const char *const ego[] = { "ego" };

    (void)state;
    for (int which = 0; which < 3; which++) {
        reset();
        if (which == 0)
            rules[1].priority = PRIORITY_CRASH;
        if (which == 1) {
            rules[1].streams = ego;
            rules[1].stream_count = 1;
        }
        if (which == 2)
            rules[1].merge = false;
        add_event(0, 1, 10000, 10000);
        add_event(1, 2, 11000, 11000);
        run(30000);
        assert_int_equal(clip_count, 2);
        expect_clip(0, 5000, 15000, 1);
        expect_clip(1, 6000, 16000, 1);
        /* Each names what the other fired inside its window, so that a replay is explained. */
        assert_int_equal(clips[0].elsewhere, 1);
        assert_int_equal(clips[1].elsewhere, 1);
        assert_int_equal(clips[1].overlaps, 1);
        assert_int_equal(clips[1].segments, which == 0 ? 2 : 1);
    }
}

static void test_the_ninth_clip_at_a_time_fails_and_is_counted(void **state)
{
    struct pipeline_stats stats;

    (void)state;
    reset();
    for (int i = 0; i < 8; i++)
        rules[i].merge = false;
    for (int i = 0; i < 9; i++)
        add_event((uint32_t)i % 8, (uint64_t)i + 1, 10000 + 10 * i, 12000);
    open_both();
    for (int64_t t = 0; t <= 30000; t += 10)
        put_frame(t, 0x100 + (uint32_t)(t / 10 % 3));
    pipeline_stats(pipeline, &stats);
    assert_int_equal(stats.failed[PIPELINE_FAIL_CLIPS], 1);
    assert_int_equal(stats.fired, 9);
    assert_int_equal(stats.in_clips, 8);
    finish();
    assert_int_equal(clip_count, 8);
}

static void test_a_long_clip_ends_at_the_limit_and_the_next_continues(void **state)
{
    (void)state;
    reset();
    shaping.clip_max_ns = 20 * NS_PER_S;
    add_event(0, 1, 10000, 50000); /* [5, 55]: [5, 25], (25, 45], (45, 55] */
    run(70000);
    assert_int_equal(clip_count, 3);
    expect_clip(0, 5000, 25000, 1);
    assert_int_equal(clips[0].end, CLIP_END_LIMIT);
    assert_int_equal(clips[1].start_ms, 25000);
    assert_int_equal(clips[1].end_ms, 45000);
    assert_int_equal(clips[1].frames, 2000); /* the frame at 25 s is in the first only */
    assert_true(clips[1].continues && clips[2].continues && !clips[0].continues);
    assert_int_equal(clips[1].own + clips[2].own, 0);
    assert_int_equal(clips[2].end, CLIP_END_COMPLETE);
    assert_int_equal(clips[2].end_ms, 55000);
}

static void test_the_limit_in_bytes_counts_row_bytes_by_the_ratio(void **state)
{
    (void)state;
    reset();
    shaping.clip_max_bytes = 6000; /* 24 B a row, ratio 6, 100 rows a second: 15 s */
    add_event(0, 1, 10000, 40000);
    run(60000);
    assert_true(clip_count >= 3);
    assert_int_equal(clips[0].end, CLIP_END_LIMIT);
    assert_in_range(clips[0].end_ms - clips[0].start_ms, 14900, 15100);
    uint64_t frames = 0;
    for (size_t i = 0; i < clip_count; i++)
        frames += clips[i].frames;
    assert_int_equal(frames, 4001); /* [5, 45] whole, each row once */
}

static void test_suppressed_events_are_counted_not_clipped(void **state)
{
    struct rule_event *event;

    (void)state;
    reset();
    event = add_line(EVENT_SUPPRESSED, 0, 10000 * MS);
    event->reason = REASON_COOLDOWN;
    run(20000);
    assert_int_equal(clip_count, 0);
    assert_int_equal(notes[PIPELINE_NOTE_SUPPRESSED], 1);
}

/* A lingering event that goes on takes its end back. */
static void test_an_event_that_continues_takes_its_end_back(void **state)
{
    struct rule_event *event;

    (void)state;
    reset();
    add_event(0, 1, 10000, -1);
    event = add_line(EVENT_END, 1, 11000 * MS);
    event->end_ns = 11000 * MS;
    event = add_line(EVENT_CONTINUE, 1, 30000 * MS);
    event = add_line(EVENT_END, 1, 31000 * MS);
    event->end_ns = 31000 * MS;
    event = add_line(EVENT_CLOSED, 1, 60000 * MS);
    event->end_ns = 31000 * MS;
    event->closed_ns = 60000 * MS;
    run(70000);
    assert_int_equal(clip_count, 1);
    expect_clip(0, 5000, 36000, 1);
}

static void test_each_clip_names_its_generation_and_none_spans_a_reload(void **state)
{
    static struct generation second = { .number = 2 };
    struct err err;

    (void)state;
    reset();
    add_event(0, 1, 10000, 10000);
    add_event(0, 2, 15500, 15500); /* would join, were it not after the reload */
    second.rules = (struct ruleset *)&second;
    open_both();
    for (int64_t t = 0; t <= 40000; t += 10) {
        put_frame(t, 0x100);
        if (t == 13000) {
            assert_int_equal(pipeline_reload(pipeline, &second, &err), 0);
            drain();
        }
    }
    finish();
    assert_int_equal(clip_count, 2);
    assert_int_equal(clips[0].generation, 1);
    assert_int_equal(clips[1].generation, 2);
    expect_clip(0, 5000, 15000, 1);
    expect_clip(1, 10500, 20500, 1);
    assert_int_equal(clips[1].elsewhere, 0);
    assert_int_equal(notes[PIPELINE_NOTE_RELOADED], 1);
}

static void test_a_clip_by_hand(void **state)
{
    const struct pipeline_trigger trigger = { "look here", 2 * NS_PER_S, 3 * NS_PER_S, 5 };
    struct pipeline_trigger bad = trigger;

    (void)state;
    reset();
    open_both();
    assert_int_equal(pipeline_manual(pipeline, &trigger), -EAGAIN);
    for (int64_t t = 0; t <= 20000; t += 10) {
        put_frame(t, 0x100);
        if (t == 10000) {
            bad.priority = PRIORITY_CRASH;
            assert_int_equal(pipeline_manual(pipeline, &bad), -ERANGE);
            assert_int_equal(pipeline_manual(pipeline, &trigger), 0);
            drain();
        }
    }
    finish();
    assert_int_equal(clip_count, 1);
    expect_clip(0, 8000, 13000, 1);
}

static void test_the_state_is_that_of_the_start(void **state)
{
    (void)state;
    reset();
    add_event(0, 1, 10000, 10000);
    run(20000);
    assert_int_equal(state_of[0], 5000 * MS);
    reset();
    add_event(0, 1, 2000, 2000);
    run(20000);
    assert_int_equal(state_of[0], 0);
}

/* Live: silence after the event must not keep the clip open. */
static void test_time_alone_closes_a_clip(void **state)
{
    (void)state;
    reset();
    add_event(0, 1, 10000, 10000);
    open_both();
    for (int64_t t = 0; t <= 11000; t += 10)
        put_frame(t, 0x100);
    assert_int_equal(pipeline_next_due(pipeline), 16000 * MS);
    assert_int_equal(pipeline_advance(pipeline, 15999 * MS), 0);
    drain();
    assert_int_equal(clip_count, 0);
    assert_int_equal(pipeline_advance(pipeline, 16000 * MS), 0);
    drain();
    assert_int_equal(clip_count, 1);
    check_books();
    finish();
}

static void test_lost_frames_stand_in_the_books_of_the_clip(void **state)
{
    struct pipeline_stats stats;

    (void)state;
    reset();
    add_event(0, 1, 20500, 20500);
    open_both();
    /* A flood may be told before its first frame is through the merge: it has no time of its own. */
    assert_int_equal(pipeline_loss(pipeline, 1, RECORDER_LOSS_KERNEL, 4), 0);
    assert_int_equal(pipeline_loss(pipeline, 1, RECORDER_LOSS_KERNEL, 5), 0);
    for (int64_t t = 20000; t <= 21000; t += 10)
        put_frame(t, 0x100);
    assert_int_equal(pipeline_loss(pipeline, 1, RECORDER_LOSS_QUEUE, 7), 0);
    drain();
    assert_int_equal(pipeline_loss(pipeline, 2, RECORDER_LOSS_QUEUE, 7), -ERANGE);
    pipeline_stats(pipeline, &stats);
    assert_int_equal(stats.lost[RECORDER_LOSS_QUEUE], 7);
    finish();
    assert_int_equal(clip_count, 1);
    assert_int_equal(clips[0].completeness.sources[1].dropped_kernel, 9);
    assert_int_equal(clips[0].completeness.sources[1].dropped_queue, 7);
}

static void source_event(int64_t t_ms, enum clip_source_event_kind kind, uint8_t value)
{
    const struct clip_source_event event = { t_ms * MS, 0, (uint8_t)kind, value };

    assert_int_equal(pipeline_source_event(pipeline, &event), 0);
}

/* The interface goes at 7 s and comes at 8 s; what happens outside of 5..15 s is not the clip's. */
static void test_what_became_of_the_interface_stands_in_the_clip(void **state)
{
    const struct clip_source_event bad = { 0, 2, CLIP_SOURCE_UP, 0 };

    (void)state;
    reset();
    add_event(0, 1, 10000, 10000);
    open_both();
    assert_int_equal(pipeline_source_event(pipeline, &bad), -ERANGE);
    source_event(1000, CLIP_SOURCE_DOWN, 0);
    source_event(2000, CLIP_SOURCE_UP, 0);
    for (int64_t t = 0; t <= 20000; t += 10) {
        put_frame(t, 0x100);
        if (t == 7000)
            source_event(t, CLIP_SOURCE_DOWN, 0);
        if (t == 8000)
            source_event(t, CLIP_SOURCE_UP, 0);
        if (t == 9000)
            source_event(t, CLIP_SOURCE_STAMPS, STAMP_USER);
    }
    finish();
    const struct clip_completeness *c = &clips[0].completeness;
    assert_int_equal(c->source_event_count, 3);
    assert_int_equal(c->source_events[0].mono_ns, 7000 * MS);
    assert_int_equal(c->source_events[0].kind, CLIP_SOURCE_DOWN);
    assert_int_equal(c->source_events[1].kind, CLIP_SOURCE_UP);
    assert_int_equal(c->source_events[2].value, STAMP_USER);
    assert_int_equal(c->gaps, 1);
}

/* An interface that flaps for the whole window: the list is bounded, and says how much it left out. */
static void test_a_list_of_source_events_is_bounded(void **state)
{
    (void)state;
    reset();
    add_event(0, 1, 10000, 10000);
    open_both();
    for (int64_t t = 0; t <= 20000; t += 10) {
        put_frame(t, 0x100);
        if (t > 6000 && t <= 7000)
            source_event(t, t % 20 ? CLIP_SOURCE_UP : CLIP_SOURCE_DOWN, 0);
    }
    finish();
    assert_int_equal(clips[0].completeness.source_event_count, CLIP_SOURCE_EVENTS_MAX);
    assert_int_equal(clips[0].completeness.source_events_left_out, 100 - CLIP_SOURCE_EVENTS_MAX);
    assert_int_equal(clips[0].completeness.gaps, 50);
}

static void test_what_an_interface_dropped_is_a_loss(void **state)
{
    struct clip_interface interface = { .known = true, .up = true, .rx_dropped = 100,
                                        .bus_state = CLIP_BUS_ACTIVE };

    (void)state;
    reset();
    add_event(0, 1, 10000, 10000);
    open_both();
    for (int64_t t = 0; t <= 20000; t += 10) {
        put_frame(t, 0x100);
        if (t == 6000) { /* what it counted before we looked is not ours */
            assert_int_equal(pipeline_interface(pipeline, 0, &interface), 0);
            interface.rx_overruns = 3;
            interface.rx_missed = 4;
        } else if (t == 7000) {
            interface.bus_state = CLIP_BUS_OFF;
            interface.mono_ns = t * MS;
            assert_int_equal(pipeline_interface(pipeline, 0, &interface), 0);
            interface.rx_dropped = 2; /* made again: it counts from zero */
            interface.rx_overruns = interface.rx_missed = 0;
        } else if (t == 8000) {
            assert_int_equal(pipeline_interface(pipeline, 0, &interface), 0);
        }
        drain();
    }
    assert_int_equal(pipeline_interface(pipeline, 2, &interface), -ERANGE);
    finish();
    const struct clip_completeness *c = &clips[0].completeness;
    assert_int_equal(c->sources[0].dropped_driver, 3 + 4 + 2);
    assert_int_equal(c->sources[0].received, c->sources[0].stored + 9);
    assert_int_equal(c->gaps, 2);
    assert_int_equal(c->source_event_count, 1);
    assert_int_equal(c->source_events[0].kind, CLIP_SOURCE_BUS_STATE);
    assert_int_equal(c->source_events[0].value, CLIP_BUS_OFF);
    assert_int_equal(c->interfaces[0].bus_state, CLIP_BUS_OFF);
    assert_int_equal(c->interfaces[0].rx_dropped, 2);
}

static void test_output_that_nobody_takes_is_bounded(void **state)
{
    struct frame frame = { .id = 0x100 };
    int rc = 0, taken = 0;

    (void)state;
    reset();
    open_both();
    while (!rc && taken <= PIPELINE_WAITING_MAX) {
        frame.stamp_ns += MS;
        rc = pipeline_frame(pipeline, &frame);
        taken++;
    }
    assert_int_equal(rc, -EBUSY);
    drain();
    finish();
}

/* Random events: the books close, every window holds, and the same script gives the same bytes. */
static void test_random_scripts_close_the_books_and_repeat(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 25; seed++) {
        uint64_t x = seed * 77777, first = 0;

        for (int round = 0; round < 2; round++) {
            uint64_t s = x;
            reset();
            shaping.clip_max_ns = 30 * NS_PER_S;
            shaping.clips_open = 1 + (uint32_t)seed % 8;
            for (int i = 0; i < 8; i++) {
                s = s * 6364136223846793005u + 1442695040888963407u;
                rules[i].pre_ns = (int64_t)(s >> 33) % 20 * NS_PER_S;
                rules[i].post_ns = (int64_t)(s >> 40) % 10 * NS_PER_S;
                rules[i].priority = (uint8_t)((s >> 50) % 10);
                rules[i].merge = (s >> 55) % 4;
            }
            for (int i = 0; i < 40; i++) {
                s = s * 6364136223846793005u + 1442695040888963407u;
                int64_t fire = (int64_t)((s >> 33) % 60000);
                int64_t end = (s >> 20) % 8 ? fire + (int64_t)((s >> 45) % 20000) : -1;
                add_event((uint32_t)i % 8, (uint64_t)i + 1, fire, end);
            }
            run(70000);
            if (round == 0)
                first = digest;
        }
        assert_int_equal(digest, first);
        assert_true(clip_count > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fire_within_join_of_the_end_joins),
        cmocka_unit_test(test_the_window_is_cut_at_the_begin_and_end_of_the_input),
        cmocka_unit_test(test_an_earlier_window_appends_what_came_before),
        cmocka_unit_test(test_other_streams_priority_or_merge_get_clips_of_their_own),
        cmocka_unit_test(test_the_ninth_clip_at_a_time_fails_and_is_counted),
        cmocka_unit_test(test_a_long_clip_ends_at_the_limit_and_the_next_continues),
        cmocka_unit_test(test_the_limit_in_bytes_counts_row_bytes_by_the_ratio),
        cmocka_unit_test(test_suppressed_events_are_counted_not_clipped),
        cmocka_unit_test(test_an_event_that_continues_takes_its_end_back),
        cmocka_unit_test(test_each_clip_names_its_generation_and_none_spans_a_reload),
        cmocka_unit_test(test_a_clip_by_hand),
        cmocka_unit_test(test_the_state_is_that_of_the_start),
        cmocka_unit_test(test_time_alone_closes_a_clip),
        cmocka_unit_test(test_lost_frames_stand_in_the_books_of_the_clip),
        cmocka_unit_test(test_what_became_of_the_interface_stands_in_the_clip),
        cmocka_unit_test(test_a_list_of_source_events_is_bounded),
        cmocka_unit_test(test_what_an_interface_dropped_is_a_loss),
        cmocka_unit_test(test_output_that_nobody_takes_is_bounded),
        cmocka_unit_test(test_random_scripts_close_the_books_and_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
