/* Pipeline, recorder and the rule engine together: random drives and packs give clips, and every clip
 * replays to exactly the events that it lists, over reloads too. */
#include "daemon/feed.h"
#include "daemon/generation.h"
#include "daemon/playback.h"
#include "proto/dbset.h"
#include "triggers/engine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define CLIPS_MAX 512
#define FIRES_MAX 8192

/* --- counting allocations: the sanitizers bring allocators of their own --- */

static uint64_t allocations;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 1
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    allocations++;
    return __libc_realloc(old, size);
}
#else
#define COUNTS_ALLOCATIONS 0
#endif

/* --- a drive --- */

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return below ? (uint32_t)(seed >> 33) % below : 0;
}

static const char dbc_text[] = "VERSION \"\"\nNS_ :\nBS_:\nBU_: X\n"
                               "BO_ 256 M: 8 X\n SG_ A : 0|8@1+ (1,0) [0|255] \"\" X\n"
                               " SG_ B : 8|8@1+ (1,0) [0|255] \"\" X\n"
                               " SG_ E : 16|8@1+ (1,0) [0|255] \"\" X\n"
                               "BO_ 257 N: 8 X\n SG_ C : 0|8@1+ (1,0) [0|255] \"\" X\n"
                               "BO_ 258 O: 8 X\n SG_ D : 0|8@1+ (1,0) [0|255] \"\" X\n";

/* Packs differ in one threshold, so that a reload changes a rule and keeps the others. Rules may be
 * put behind. */
static const char pack_text[] =
    "format: 1\npackage: p\nversion: 1.0.0\nsignals:\n"
    "  a: {from: M.A, max_age: 500ms}\n  b: {from: M.B, max_age: 500ms}\n"
    "  c: {from: N.C, max_age: 300ms}\nrules:\n"
    "  - {name: one, when: \"a > %u\", for: 50ms, keep: 300ms, cooldown: 1s,"
    " clip: {pre: 3s, post: 1s}}\n"
    "  - {name: two, when: \"b < 20 and c > 100\", trigger: both, attach: {b: b},"
    " clip: {pre: 6s, post: 500ms}}\n"
    "  - {name: crash, when: \"c > 250\", priority: 9, owner: t, cooldown: 2s,"
    " clip: {pre: 4s, post: 2s}}\n"
    "  - {name: lost, when: \"c is stale\", clip: {pre: 2s, post: 2s, merge: false}}\n";

/* For a reload: `e` and `d` are new (of a message that rules read, and of one that none read), and
 * `jump` reads two samples. */
static const char jump_rule[] =
    "  - {name: jump, when: \"c - prev(c) > -100 and a > 128\", clip: {pre: 3s, post: 1s}}\n";
static const char new_rules[] =
    "  - {name: jump, when: \"c - prev(c) > -100 and a > 128\", clip: {pre: 3s, post: 1s}}\n"
    "  - {name: fresh, when: \"M.E > 128\", for: 20ms, clip: {pre: 3s, post: 1s}}\n"
    "  - {name: other, when: \"O.D > 100\", keep: 1s, clip: {pre: 5s, post: 1s}}\n";

static struct generation *load_with(unsigned threshold, const char *more, uint32_t number)
{
    static struct diags diags;
    char text[2048];
    struct err err;
    struct generation *generation = NULL;
    struct ruleset_pack pack = { "p.yaml", text, 0 };
    struct generation_config config = { .texts = &pack, .text_count = 1, .dbset = dbset_open() };

    memset(&diags, 0, sizeof diags);
    pack.size = (size_t)snprintf(text, sizeof text, pack_text, threshold);
    pack.size += (size_t)snprintf(text + pack.size, sizeof text - pack.size, "%s", more);
    assert_true(pack.size < sizeof text);
    assert_int_equal(dbset_add(config.dbset, "", "x.dbc", dbc_text, sizeof dbc_text - 1, false,
                               &diags, &err),
                     0);
    int rc = generation_load(&config, &diags, &generation);
    if (rc)
        diags_print(&diags, stderr);
    assert_int_equal(rc, 0);
    generation->number = number;
    return generation;
}

static struct generation *load(unsigned threshold, uint32_t number)
{
    return load_with(threshold, "", number);
}

static int64_t now_ns;
static uint32_t jump_odds = 3000; /* one frame in so many stands behind a discontinuity */
static bool jump_at_reload;       /* and the first one after it */

static struct frame draw_frame(void)
{
    struct frame frame = { .source = (uint8_t)draw(2), .len = 8, .dlc = 8 };

    now_ns += (int64_t)(1 + draw(20)) * NS_PER_MS;
    if (!draw(400))
        now_ns += (int64_t)draw(900) * NS_PER_MS;
    if (!draw(jump_odds))
        now_ns -= 2 * NS_PER_S; /* a discontinuity */
    frame.stamp_ns = now_ns - (draw(5) ? 0 : (int64_t)draw(30) * NS_PER_MS);
    frame.id = 256 + draw(4); /* half of them nobody reads */
    frame.data[0] = (uint8_t)draw(256);
    frame.data[1] = (uint8_t)draw(256);
    frame.data[2] = frame.data[0] ^ frame.data[1];
    return frame;
}

/* --- recording it --- */

struct fire {
    uint64_t step;
    int64_t fire_ns;
    char rule[32];
    enum clip_edge edge;
};

struct kept {
    uint8_t *bytes;
    size_t size;
    uint32_t generation;
    bool ended;
};

static struct kept kept[CLIPS_MAX];
static size_t kept_count;
static size_t slot_clip[CLIPS_OPEN_MAX];
static struct fire fires[FIRES_MAX];
static size_t fire_count;
static struct pipeline *pipeline;
static struct recorder *recorder;
static struct source_table sources;
static struct session session;
static struct shaping shaping;

static void keep_piece(const struct recorder_piece *piece)
{
    if (piece->kind == RECORDER_BEGIN && piece->segment == 0) {
        assert_true(kept_count < CLIPS_MAX);
        slot_clip[piece->clip] = kept_count++;
        kept[slot_clip[piece->clip]] =
            (struct kept){ .generation = piece->header->generation };
    }
    struct kept *clip = &kept[slot_clip[piece->clip]];
    clip->bytes = realloc(clip->bytes, clip->size + piece->size);
    memcpy(clip->bytes + clip->size, piece->bytes, piece->size);
    clip->size += piece->size;
    clip->ended = piece->kind == RECORDER_END;
}

static void take_notes(void)
{
    struct pipeline_note note;

    while (pipeline_take_note(pipeline, &note)) {
        if (note.kind != PIPELINE_NOTE_FIRE)
            continue;
        assert_true(fire_count < FIRES_MAX);
        struct fire *fire = &fires[fire_count++];
        *fire = (struct fire){ note.event->fire_step, note.event->fire_ns, "", note.event->edge };
        (void)snprintf(fire->rule, sizeof fire->rule, "%s", note.event->rule);
    }
}

static void drain(bool keep)
{
    struct recorder_command command;
    struct recorder_piece piece;

    take_notes();
    while (pipeline_take(pipeline, &command)) {
        assert_int_equal(recorder_put(recorder, &command), 0);
        while (recorder_take(recorder, &piece)) {
            if (keep)
                keep_piece(&piece);
            recorder_release(recorder, piece.block);
        }
    }
}

static void open_both(const struct generation *generation)
{
    static const uint8_t random[SESSION_ID_BYTES] = { 7 };
    struct pipeline_config config = { .session = &session, .shaping = &shaping,
                                      .sources = &sources, .clock_quality = "recording" };
    struct recorder_config store = { .open_bytes = 1 << 20, .ring_bytes = 4 << 20,
                                     .pin_bytes = 4 << 20, .block_ns = 10 * NS_PER_S,
                                     .codec = CODEC_COLUMNAR };
    struct err err;

    sources.count = 2;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(sources.items[i].name, SOURCE_NAME_MAX, "can%d", i);
        sources.items[i].tick_ns = 1000;
    }
    store.sources = sources;
    shaping_init(&shaping);
    session_live(&session, &shaping, random);
    assert_int_equal(pipeline_open(&config, generation, &pipeline, &err), 0);
    assert_int_equal(recorder_open(&store, &recorder), 0);
    fire_count = 0;
    drain(false);
}

static void close_both(void)
{
    pipeline_close(pipeline);
    recorder_close(recorder);
}

static void forget_clips(void)
{
    for (size_t i = 0; i < kept_count; i++)
        free(kept[i].bytes);
    kept_count = 0;
}

/* A drive of `frames` frames; at reload_at the second generation takes over. */
static void drive(uint64_t of_seed, size_t frames, const struct generation *first,
                  size_t reload_at, const struct generation *second)
{
    struct pipeline_stats stats;
    struct recorder_stats stored;
    struct err err = { 0 };

    seed = of_seed;
    now_ns = 100 * NS_PER_S;
    forget_clips();
    open_both(first);
    for (size_t i = 0; i < frames; i++) {
        struct frame frame = draw_frame();
        assert_int_equal(pipeline_frame(pipeline, &frame), 0);
        drain(true);
        if (second && i == reload_at) {
            assert_int_equal(pipeline_reload(pipeline, second, &err), 0);
            drain(true);
            now_ns -= jump_at_reload ? 2 * NS_PER_S : 0;
        }
    }
    assert_int_equal(pipeline_finish(pipeline), 0);
    drain(true);
    pipeline_stats(pipeline, &stats);
    recorder_stats(recorder, &stored);
    int rc = pipeline_books(&stats, &stored, &err);
    if (rc)
        print_message("seed %llu: %s\n", (unsigned long long)of_seed, err.text);
    assert_int_equal(rc, 0);
    close_both();
}

/* --- replaying a clip --- */

static size_t is_listed(const struct clip_manifest *manifest, const struct fire *fire)
{
    for (uint32_t i = 0; i < manifest->event_count; i++) {
        const struct clip_event *event = &manifest->events[i];
        if (event->fire_step == fire->step && event->fire_ns == fire->fire_ns &&
            event->edge == fire->edge && !strcmp(event->rule, fire->rule))
            return 1;
    }
    return 0;
}

/* Whether a clip begins before the reload that brought its rules. */
static bool begins_before_reload(const struct recording_clip *clip)
{
    const struct clip_manifest *manifest = clip->manifest;
    bool early = manifest->early_seed_bytes > 0;

    return engine_state_step(early ? manifest->early_state : clip->header->state,
                             early ? manifest->early_state_bytes : clip->header->state_bytes) !=
           UINT64_MAX;
}

static bool only_over_reloads; /* prev() of a clip that begins elsewhere lacks its older sample */
static uint64_t over_reloads;

static void replay(const struct kept *clip, const struct generation *generation, uint64_t of_seed)
{
    char path[] = "/tmp/test_replay_XXXXXX";
    int fd = mkstemp(path);
    const char *paths[] = { path };
    struct playback_config config = { .paths = paths, .count = 1, .format = "rlc" };
    struct playback *playback;
    struct recording_item item;
    struct feed feed;
    struct err err = { 0 };
    size_t matched = 0;
    int rc;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, clip->bytes, clip->size), (ssize_t)clip->size);
    (void)close(fd);
    assert_int_equal(playback_open(&config, &playback, &err), 0);
    (void)unlink(path);
    if (begins_before_reload(playback_clip(playback))) {
        over_reloads++;
    } else if (only_over_reloads) {
        playback_close(playback);
        return;
    }
    open_both(generation);
    feed_init(&feed, playback_clip(playback), true);
    while ((rc = playback_next(playback, &item, &err)) == 1) {
        assert_int_equal(feed_item(&feed, pipeline, &item), 0);
        drain(false);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(feed_finish(&feed, pipeline), 0);
    drain(false);
    const struct clip_manifest *manifest = playback_clip(playback)->manifest;
    for (size_t i = 0; i < fire_count; i++)
        matched += is_listed(manifest, &fires[i]);
    if (matched != fire_count || matched != manifest->event_count)
        print_message("seed %llu: %u listed, %zu fired, %zu of them listed\n",
                      (unsigned long long)of_seed, manifest->event_count, fire_count, matched);
    assert_int_equal(matched, fire_count);
    assert_int_equal(matched, manifest->event_count);
    close_both();
    feed_deinit(&feed);
    playback_close(playback);
}

/* REPLAY_SEEDS: more drives than the few of every day. */
static uint64_t seeds_or(uint64_t few)
{
    const char *text = getenv("REPLAY_SEEDS");
    uint64_t many = text ? strtoull(text, NULL, 10) : 0;

    return many > few ? many : few;
}

static void test_every_clip_of_random_drives_fires_what_it_lists(void **state)
{
    struct generation *generation = load(200, 1);

    (void)state;
    for (uint64_t of_seed = 1; of_seed <= seeds_or(6); of_seed++) {
        drive(of_seed, 8000, generation, 0, NULL);
        assert_true(kept_count > 5 && fire_count > 20);
        size_t count = kept_count;
        for (size_t i = 0; i < count; i++) {
            assert_true(kept[i].ended);
            replay(&kept[i], generation, of_seed);
        }
    }
    forget_clips();
    generation_close(generation);
}

static void test_over_a_reload_each_clip_names_and_obeys_its_generation(void **state)
{
    struct generation *first = load(200, 1), *second = load(120, 2);
    size_t of_second = 0;

    (void)state;
    /* In 58 and 67 a rule that the reload keeps fires at the very step of the reload. */
    for (uint64_t of_seed = 55; of_seed < 55 + seeds_or(15); of_seed++) {
        drive(of_seed, 6000, first, 2500, second);
        size_t count = kept_count;
        for (size_t i = 0; i < count; i++) {
            assert_in_range(kept[i].generation, 1, 2);
            of_second += kept[i].generation == 2;
            replay(&kept[i], kept[i].generation == 2 ? second : first, of_seed);
        }
    }
    assert_true(of_second > 10);
    forget_clips();
    generation_close(first);
    generation_close(second);
}

/* What the new rules know at a reload is what the old ones knew: not a signal that these did not read,
 * none from before a discontinuity, and both samples of prev(). */
static void test_a_reload_hands_over_what_was_known(void **state)
{
    struct generation *first = load_with(200, jump_rule, 1);
    struct generation *second = load_with(200, new_rules, 2);

    (void)state;
    over_reloads = 0;
    only_over_reloads = true;
    jump_odds = 60;
    for (uint64_t of_seed = 1; of_seed <= seeds_or(60); of_seed++) {
        jump_at_reload = of_seed % 4 == 0;
        drive(of_seed, 700, first, 300 + of_seed % 200, second);
        size_t count = kept_count;
        for (size_t i = 0; i < count; i++)
            replay(&kept[i], kept[i].generation == 2 ? second : first, of_seed);
    }
    assert_true(over_reloads > 50);
    only_over_reloads = false;
    jump_odds = 3000;
    jump_at_reload = false;
    forget_clips();
    generation_close(first);
    generation_close(second);
}

/* A generation that does not open changes nothing: the same fires, the same bytes. */
static void test_a_bad_reload_changes_no_event(void **state)
{
    static struct diags diags;
    struct generation *generation = load(200, 1), *bad = NULL;
    const struct ruleset_pack pack = { "bad.yaml", "format: 1\nrules: [", 18 };
    const struct generation_config config = { .texts = &pack, .text_count = 1,
                                              .dbset = dbset_open() };
    uint64_t digest[2] = { 0 };

    (void)state;
    for (int round = 0; round < 2; round++) {
        drive(21, 4000, generation, 0, NULL);
        if (round == 0) {
            assert_int_equal(generation_load(&config, &diags, &bad), -EBADMSG);
            assert_null(bad);
            assert_true(diags.errors > 0);
        }
        for (size_t i = 0; i < kept_count; i++)
            digest[round] = digest[round] * 31 + hash_xxh3(kept[i].bytes, kept[i].size);
    }
    assert_int_equal(digest[0], digest[1]);
    forget_clips();
    generation_close(generation);
}

/* No frame allocates; a checkpoint a second does, and a group that closes. */
static void test_frames_do_not_allocate(void **state)
{
    struct generation *generation;
    uint64_t dear = 0;
    size_t frames = 0;

    (void)state;
    if (!COUNTS_ALLOCATIONS)
        return; /* a sanitizer has an allocator of its own; the release build counts */
    generation = load(255, 1); /* rule one never fires */
    seed = 31;
    open_both(generation);
    for (int64_t t = 0; t < 60 * 1000; t += 2) {
        struct frame frame = { .stamp_ns = t * NS_PER_MS, .id = 256 + (uint32_t)(t / 2 % 3),
                               .len = 8, .dlc = 8 };
        frame.data[0] = frame.data[1] = (uint8_t)(100 + draw(100));
        uint64_t before = allocations;
        assert_int_equal(pipeline_frame(pipeline, &frame), 0);
        drain(false);
        dear += allocations != before;
        frames++;
    }
    assert_int_equal(frames, 30000);
    assert_int_equal(fire_count, 0);
    assert_true(dear <= 60 + 6 + 8); /* seconds, groups, and queues that grow at the start */
    close_both();
    generation_close(generation);
}

static void test_an_empty_pack_is_refused_not_taken_for_none(void **state)
{
    static struct diags diags;
    struct generation *generation = NULL;
    const struct ruleset_pack pack = { "empty.yaml", "", 0 };
    const struct generation_config empty = { .texts = &pack, .text_count = 1 }, none = { 0 };

    (void)state;
    memset(&diags, 0, sizeof diags);
    assert_int_equal(generation_load(&empty, &diags, &generation), -EBADMSG);
    assert_null(generation);
    assert_string_equal(diags.items[0].err.file, "empty.yaml");
    assert_int_equal(generation_load(&none, &diags, &generation), 0);
    assert_null(generation->rules);
    generation_close(generation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_clip_of_random_drives_fires_what_it_lists),
        cmocka_unit_test(test_over_a_reload_each_clip_names_and_obeys_its_generation),
        cmocka_unit_test(test_a_reload_hands_over_what_was_known),
        cmocka_unit_test(test_a_bad_reload_changes_no_event),
        cmocka_unit_test(test_frames_do_not_allocate),
        cmocka_unit_test(test_an_empty_pack_is_refused_not_taken_for_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
