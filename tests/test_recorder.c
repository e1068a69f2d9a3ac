#include "proto/timeline.h"
#include "storage/recorder.h"
#include "storage/statelog.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define ROWS_MAX 20000
#define CLIPS_MAX 64
#define FILE_MAX (4 << 20)

/* --- a trace and what the recorder makes of it --- */

struct file {
    uint8_t *bytes;
    size_t size;
    bool ended;
    struct clip_manifest manifest; /* without its pointers */
};

struct clip {
    int64_t start_ns, end_ns; /* as asked for at last */
    uint64_t seal_step;       /* last step of segment 0; UINT64_MAX: one segment */
    struct file files[2];
    uint32_t events;
    bool failed;
};

static struct row trace[ROWS_MAX];
static size_t trace_count;
static struct clip clips[CLIPS_MAX];
static size_t clip_count;
static struct recorder *recorder;
static uint64_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return below ? (uint32_t)(seed >> 33) % below : 0;
}

/* Three buses, stamps that cross each other by up to 40 ms, now and then a jump. */
static void make_trace(uint64_t of_seed, size_t count)
{
    struct timeline timeline;
    int64_t now_ns = 1000 * NS_PER_S;

    seed = of_seed;
    timeline_init(&timeline);
    trace_count = count;
    for (size_t i = 0; i < count; i++) {
        struct frame frame = { .source = (uint8_t)draw(3), .id = 0x100 + draw(6) };

        now_ns += (int64_t)draw(8) * NS_PER_MS;
        if (!draw(2500))
            now_ns += draw(2) ? -(int64_t)draw(20) * NS_PER_S : 15 * NS_PER_S;
        frame.stamp_ns = now_ns - (draw(4) ? 0 : (int64_t)draw(40) * NS_PER_MS);
        frame.stamp_ns -= frame.stamp_ns % 1000;
        frame.len = frame.dlc = (uint8_t)draw(9);
        for (int k = 0; k < frame.len; k++)
            frame.data[k] = (uint8_t)(draw(8) ? 0 : draw(256));
        if (!draw(50))
            frame.flags = FRAME_LATE;
        (void)timeline_put(&timeline, &frame, &trace[i]);
    }
}

static int64_t mapped(const struct row *row) { return row->frame.stamp_ns + row->offset_ns; }

static struct recorder_config small_config(void)
{
    struct recorder_config config = { .open_bytes = 1 << 20,
                                      .ring_bytes = 16 << 20,
                                      .pin_bytes = 8 << 20,
                                      .block_ns = 10 * NS_PER_S,
                                      .codec = CODEC_COLUMNAR };

    config.sources.count = 3;
    for (int i = 0; i < 3; i++) {
        (void)snprintf(config.sources.items[i].name, SOURCE_NAME_MAX, "can%d", i);
        config.sources.items[i].tick_ns = 1000;
    }
    return config;
}

static void open_recorder(const struct recorder_config *config)
{
    for (size_t i = 0; i < clip_count; i++)
        for (int k = 0; k < 2; k++)
            free(clips[i].files[k].bytes);
    memset(clips, 0, sizeof clips);
    clip_count = 0;
    assert_int_equal(recorder_open(config, &recorder), 0);
}

/* --- taking pieces --- */

static void take_one(const struct recorder_piece *piece)
{
    size_t ordinal = piece->clip_id[0];
    assert_true(ordinal < clip_count);
    struct clip *clip = &clips[ordinal];
    struct file *file = &clip->files[piece->segment];

    if (piece->kind == RECORDER_FAILED) {
        clip->failed = true;
        return;
    }
    assert_false(file->ended);
    assert_int_equal(piece->kind == RECORDER_BEGIN, file->size == 0);
    if (!file->bytes)
        file->bytes = malloc(FILE_MAX);
    assert_true(file->size + piece->size <= FILE_MAX);
    memcpy(file->bytes + file->size, piece->bytes, piece->size);
    file->size += piece->size;
    if (piece->kind != RECORDER_END)
        return;
    file->ended = true;
    file->manifest = *piece->manifest;
}

static size_t take_all(size_t most)
{
    struct recorder_piece piece;
    size_t taken = 0;

    while (taken < most && recorder_take(recorder, &piece)) {
        take_one(&piece);
        recorder_release(recorder, piece.block);
        taken++;
    }
    return taken;
}

static void put(struct recorder_command *command)
{
    int rc;

    while ((rc = recorder_put(recorder, command)) == -EAGAIN)
        assert_true(take_all(1) > 0);
    assert_int_equal(rc, 0);
}

static void put_row(const struct row *row)
{
    put(&(struct recorder_command){ .kind = RECORDER_ROW, .row = *row, .read = true });
}

static size_t put_open(uint8_t slot, int64_t start_ns, int64_t end_ns, bool two)
{
    struct recorder_open *open = calloc(1, sizeof *open);

    open->header.clip_id[0] = (uint8_t)clip_count;
    open->header.segments = two ? 2 : 1;
    open->header.start_ns = start_ns;
    open->header.vehicle = open->header.rule = "x";
    open->header.sources = small_config().sources;
    open->end_ns = end_ns;
    clips[clip_count] = (struct clip){ start_ns, end_ns, UINT64_MAX, { { 0 } }, 0, false };
    put(&(struct recorder_command){ .kind = RECORDER_OPEN, .clip = slot, .open = open });
    return clip_count++;
}

static void put_manifest(uint8_t slot, enum recorder_kind kind, const struct clip *clip)
{
    struct recorder_close *close = calloc(1, sizeof *close);

    close->manifest.start_ns = clip->start_ns;
    close->manifest.end_ns = clip->end_ns;
    put(&(struct recorder_command){ .kind = kind, .clip = slot, .close = close });
}

static void put_extend(uint8_t slot, struct clip *clip, int64_t start_ns, int64_t end_ns)
{
    struct recorder_command command = { .kind = RECORDER_EXTEND, .clip = slot };

    command.extend.start_ns = start_ns;
    command.extend.end_ns = end_ns;
    clip->start_ns = start_ns;
    clip->end_ns = end_ns;
    put(&command);
}

/* --- checking --- */

/* Every row of the segment is found and verified by the reader; marks those of the trace. */
static uint64_t read_segment(const struct file *file, uint8_t *seen, uint8_t mark)
{
    struct clip_reader *reader = clip_reader_open(&(struct clip_reader_config){ "clip", false });
    struct clip_item item;
    struct err err = { 0 };
    size_t at = 0;
    uint64_t rows = 0;
    int rc;

    assert_non_null(reader);
    do {
        at += (size_t)clip_reader_put(reader, file->bytes + at, file->size - at);
        while ((rc = clip_reader_next(reader, &item, &err)) == 1) {
            struct row row;
            if (item.kind != CLIP_ITEM_GROUP)
                continue;
            struct rowbuf_cursor cursor = rowbuf_begin(item.rows);
            memset(&row, 0, sizeof row);
            while (rowbuf_next(item.rows, &cursor, &row)) {
                assert_true(row.step < trace_count);
                assert_memory_equal(&row, &trace[row.step], sizeof row);
                assert_int_equal(seen[row.step], 0);
                seen[row.step] = mark;
                rows++;
            }
        }
        if (rc < 0)
            print_message("seed %llu: %s\n", (unsigned long long)seed, err.text);
        assert_int_equal(rc, 0);
    } while (at < file->size);
    assert_int_equal(clip_reader_finish(reader, &err), 0);
    clip_reader_close(reader);
    return rows;
}

static void check_clip(const struct clip *clip, uint64_t closed_step)
{
    static uint8_t seen[ROWS_MAX];
    bool two = clip->seal_step != UINT64_MAX;
    int64_t start_ns = clip->files[two].manifest.start_ns, end_ns = clip->end_ns;
    uint64_t rows = 0;

    memset(seen, 0, sizeof seen);
    for (int k = 0; k <= two; k++) {
        assert_true(clip->files[k].ended);
        uint64_t in_file = read_segment(&clip->files[k], seen, (uint8_t)(k + 1));
        assert_int_equal(clip->files[k].manifest.frames, in_file);
        rows += in_file;
    }
    assert_true(start_ns >= clip->start_ns);
    for (size_t i = 0; i < closed_step; i++) {
        bool want = mapped(&trace[i]) >= start_ns && mapped(&trace[i]) <= end_ns;
        if (want != !!seen[i])
            print_message("seed %llu: step %zu\n", (unsigned long long)seed, i);
        assert_int_equal(!!seen[i], want);
        if (want && two && trace[i].step > clip->seal_step)
            assert_int_equal(seen[i], 2);
        rows -= want;
    }
    assert_int_equal(rows, 0);
}

/* --- the naive selection against the recorder, on random traces and windows --- */

struct open_clip {
    bool used, final;
    size_t clip;
};

static uint64_t closed_at[CLIPS_MAX];

/* The same commands for one seed, whatever the taking of pieces does. */
static void run(uint64_t of_seed, const struct recorder_config *config, size_t rows,
                uint32_t take_every)
{
    struct open_clip slots[CLIPS_OPEN_MAX] = { 0 };
    uint64_t decisions;

    make_trace(of_seed, rows);
    decisions = of_seed ^ 77;
    open_recorder(config);
    for (size_t i = 0; i < trace_count; i++) {
        const struct row *row = &trace[i];

        for (uint8_t s = 0; s < CLIPS_OPEN_MAX; s++) {
            struct clip *clip = &clips[slots[s].clip];
            if (slots[s].used && slots[s].final && clip->end_ns + NS_PER_S < row->mono_ns) {
                put_manifest(s, RECORDER_CLOSE, clip);
                closed_at[slots[s].clip] = i;
                slots[s].used = false;
            }
        }
        if (i == rows / 2)
            put(&(struct recorder_command){ .kind = RECORDER_GENERATION, .generation = 2 });
        put_row(row);
        seed = decisions;
        uint8_t s = (uint8_t)draw(CLIPS_OPEN_MAX);
        if (!slots[s].used && clip_count < CLIPS_MAX && !draw(300)) {
            bool two = draw(2), open_end = draw(2);
            int64_t start_ns = row->mono_ns - (int64_t)draw(25000) * NS_PER_MS;
            slots[s].clip = put_open(s, start_ns, open_end ? INT64_MAX
                                                           : row->mono_ns +
                                                                 (int64_t)draw(9000) * NS_PER_MS,
                                     two);
            slots[s].used = true;
            slots[s].final = !open_end;
            if (two) {
                clips[slots[s].clip].seal_step = row->step;
                put_manifest(s, RECORDER_SEAL, &clips[slots[s].clip]);
            }
        } else if (slots[s].used && !draw(400)) {
            struct clip *clip = &clips[slots[s].clip];
            int64_t earlier_ns = draw(2) ? 0 : (int64_t)draw(9000) * NS_PER_MS;
            slots[s].final = true;
            put_extend(s, clip, clip->start_ns - earlier_ns,
                       row->mono_ns + (int64_t)draw(5000) * NS_PER_MS);
        }
        decisions = seed;
        if (take_every && i % take_every == 0)
            (void)take_all(take_every == 1 ? SIZE_MAX : i % 5);
    }
    for (uint8_t s = 0; s < CLIPS_OPEN_MAX; s++) {
        struct clip *clip = &clips[slots[s].clip];
        if (!slots[s].used)
            continue;
        if (clip->end_ns > trace[trace_count - 1].mono_ns)
            clip->end_ns = trace[trace_count - 1].mono_ns;
        put_manifest(s, RECORDER_CLOSE, clip);
        closed_at[slots[s].clip] = trace_count;
    }
    (void)take_all(SIZE_MAX);
}

static void check_run(void)
{
    struct recorder_stats stats;

    for (size_t i = 0; i < clip_count; i++)
        check_clip(&clips[i], closed_at[i]);
    recorder_stats(recorder, &stats);
    assert_int_equal(stats.rows, trace_count);
    assert_int_equal(stats.rows_stored + stats.rows_dropped, trace_count);
    assert_int_equal(stats.rows_dropped, 0);
    assert_int_equal(stats.clips_opened, clip_count);
    assert_int_equal(stats.clips_sealed, clip_count);
    assert_int_equal(stats.clips_open, 0);
    assert_int_equal(stats.pinned_bytes, 0);
}

static void test_a_clip_holds_exactly_the_rows_of_its_window(void **state)
{
    (void)state;
    for (uint64_t of_seed = 1; of_seed <= 12; of_seed++) {
        struct recorder_config config = small_config();

        config.codec = of_seed % 2 ? CODEC_COLUMNAR : CODEC_ROWS;
        if (of_seed % 3 == 0)
            config.open_bytes = 8192; /* groups of a few hundred rows */
        if (of_seed % 4 == 0)
            config.ring_bytes = 40000; /* the pre-roll is cut short */
        run(of_seed, &config, 6000, 1);
        assert_true(clip_count > 3);
        check_run();
        recorder_close(recorder);
    }
}

/* How the pieces are taken (each at once, now and then, only when asked to wait) changes no byte. */
static void test_batches_and_waiting_change_no_byte(void **state)
{
    static struct clip first[CLIPS_MAX];
    size_t count = 0;

    (void)state;
    for (uint32_t round = 0; round < 3; round++) {
        static const uint32_t take_every[] = { 1, 37, 0 };
        struct recorder_config config = small_config();

        config.pin_bytes = round == 2 ? 4096 : 8 << 20;
        run(5, &config, 6000, take_every[round]);
        check_run();
        if (round == 0) {
            memcpy(first, clips, sizeof first);
            count = clip_count;
            memset(clips, 0, sizeof clips); /* the files stay with `first` */
        } else {
            assert_int_equal(clip_count, count);
            for (size_t i = 0; i < count; i++)
                for (int k = 0; k < 2; k++) {
                    assert_int_equal(clips[i].files[k].size, first[i].files[k].size);
                    if (first[i].files[k].size)
                        assert_memory_equal(clips[i].files[k].bytes, first[i].files[k].bytes,
                                            first[i].files[k].size);
                }
        }
        recorder_close(recorder);
    }
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < 2; k++)
            free(first[i].files[k].bytes);
}

/* --- limits --- */

static void test_a_live_clip_beyond_the_pins_ends_truncated(void **state)
{
    struct recorder_config config = small_config();
    struct recorder_stats stats;

    (void)state;
    config.live = true;
    config.pin_bytes = 8192;
    config.codec = CODEC_ROWS;
    config.open_bytes = 8192;
    make_trace(3, 8000);
    open_recorder(&config);
    put_row(&trace[0]);
    size_t clip = put_open(0, trace[0].mono_ns, INT64_MAX, false);
    for (size_t i = 1; i < 4000; i++)
        put_row(&trace[i]); /* nobody takes anything, and nobody waits */
    clips[clip].end_ns = trace[3999].mono_ns;
    recorder_stats(recorder, &stats);
    assert_true(stats.pinned_bytes <= config.pin_bytes);
    put_manifest(0, RECORDER_CLOSE, &clips[clip]);
    (void)take_all(SIZE_MAX);
    assert_true(clips[clip].files[0].ended);
    assert_int_equal(clips[clip].files[0].manifest.end, CLIP_END_TRUNCATED);
    recorder_stats(recorder, &stats);
    assert_int_equal(stats.clips_truncated, 1);
    assert_int_equal(stats.clips_sealed, 1);
    recorder_close(recorder);
}

/* More reports of loss than are remembered, of two sources in turn: the clip states them all. */
static void test_no_loss_is_forgotten(void **state)
{
    struct recorder_config config = small_config();

    (void)state;
    make_trace(4, 200);
    open_recorder(&config);
    put_row(&trace[0]);
    size_t clip = put_open(0, trace[0].mono_ns, INT64_MAX, false);
    for (size_t i = 1; i < 200; i++)
        put_row(&trace[i]);
    for (int64_t i = 0; i < 6000; i++) /* oldest first, as they come */
        put(&(struct recorder_command){ .kind = RECORDER_LOSS,
            .loss = { .kind = RECORDER_LOSS_KERNEL, .source = (uint8_t)(i % 2), .count = 2,
                      .mono_ns = trace[0].mono_ns + i * 20 * NS_PER_MS } });
    clips[clip].end_ns = trace[0].mono_ns + 120 * NS_PER_S;
    put_manifest(0, RECORDER_CLOSE, &clips[clip]);
    (void)take_all(SIZE_MAX);
    const struct clip_completeness *c = &clips[clip].files[0].manifest.completeness;
    assert_int_equal(c->sources[0].dropped_kernel, 6000);
    assert_int_equal(c->sources[1].dropped_kernel, 6000);
    recorder_close(recorder);
}

static void test_a_refused_clip_is_failed_and_its_neighbour_whole(void **state)
{
    struct recorder_config config = small_config();
    struct recorder_stats stats;
    uint8_t id[CLIP_ID_BYTES] = { 0 };

    (void)state;
    make_trace(4, 5000);
    open_recorder(&config);
    for (size_t i = 0; i < 5000; i++) {
        put_row(&trace[i]);
        if (i == 1000) {
            (void)put_open(0, trace[500].mono_ns, INT64_MAX, false);
            (void)put_open(1, trace[500].mono_ns, INT64_MAX, false);
        }
        if (i == 2000)
            recorder_refuse(recorder, id);
    }
    clips[0].end_ns = clips[1].end_ns = trace[4999].mono_ns;
    put_manifest(0, RECORDER_CLOSE, &clips[0]);
    put_manifest(1, RECORDER_CLOSE, &clips[1]);
    (void)take_all(SIZE_MAX);
    assert_false(clips[0].files[0].ended);
    check_clip(&clips[1], 5000);
    recorder_stats(recorder, &stats);
    assert_int_equal(stats.clips_failed[RECORDER_FAIL_REFUSED], 1);
    assert_int_equal(stats.clips_sealed, 1);
    assert_int_equal(stats.clips_opened, 2);
    assert_int_equal(stats.pinned_bytes, 0);
    recorder_close(recorder);
}

static void test_commands_out_of_order_are_refused(void **state)
{
    struct recorder_config config = small_config();
    struct recorder_command command = { .kind = RECORDER_CLOSE, .clip = 3 };

    (void)state;
    make_trace(6, 10);
    open_recorder(&config);
    put_row(&trace[3]);
    command = (struct recorder_command){ .kind = RECORDER_ROW, .row = trace[3] };
    assert_int_equal(recorder_put(recorder, &command), -EINVAL);
    command = (struct recorder_command){ .kind = RECORDER_CLOSE, .clip = 3 };
    assert_int_equal(recorder_put(recorder, &command), -EINVAL);
    command = (struct recorder_command){ .kind = RECORDER_EXTEND, .clip = 200 };
    assert_int_equal(recorder_put(recorder, &command), -EINVAL);
    command = (struct recorder_command){ .kind = RECORDER_ROW, .row = trace[4] };
    command.row.frame.source = 3; /* not in the table */
    assert_int_equal(recorder_put(recorder, &command), -EINVAL);
    recorder_close(recorder);
    config.open_bytes = 1;
    assert_int_equal(recorder_open(&config, &recorder), -ERANGE);
}

/* --- seeds and states --- */

/* The seed record of a file, with the header before it. */
static void first_items(const struct file *file, struct clip_reader *reader,
                        struct clip_item *ret_seed)
{
    struct err err;
    size_t at = 0;

    do {
        while (!clip_reader_next(reader, ret_seed, &err))
            at += (size_t)clip_reader_put(reader, file->bytes + at, file->size - at);
    } while (ret_seed->kind != CLIP_ITEM_SEED);
}

/* The seed is the last row of each id before the first one inside, and the stragglers after it. */
static void test_seeds_are_the_last_rows_before_the_start(void **state)
{
    (void)state;
    for (size_t at = 700; at < 3600; at += 531) {
        struct recorder_config config = small_config();
        struct row last[3][6];
        bool has[3][6] = { { false } };

        config.open_bytes = at % 2 ? 1 << 20 : 8192;
        make_trace(9, 4000);
        open_recorder(&config);
        for (size_t i = 0; i < 4000; i++)
            put_row(&trace[i]);
        int64_t start_ns = trace[at].mono_ns;
        size_t clip = put_open(0, start_ns, trace[3999].mono_ns, false);
        clips[clip].end_ns = trace[3999].mono_ns;
        put_manifest(0, RECORDER_CLOSE, &clips[clip]);
        (void)take_all(SIZE_MAX);
        uint64_t first = UINT64_MAX, count = 0;
        for (size_t i = 0; i < 4000 && first == UINT64_MAX; i++)
            if (mapped(&trace[i]) >= start_ns)
                first = i;
        for (size_t i = 0; i < 4000; i++) {
            const struct frame *frame = &trace[i].frame;
            if (i < first && !(frame->flags & FRAME_LATE)) {
                last[frame->source][frame->id - 0x100] = trace[i];
                has[frame->source][frame->id - 0x100] = true;
            }
            count += i > first && mapped(&trace[i]) < start_ns; /* stragglers: each of them */
        }
        struct clip_reader *reader =
            clip_reader_open(&(struct clip_reader_config){ "clip", false });
        struct clip_item item;
        first_items(&clips[clip].files[0], reader, &item);
        assert_int_equal(item.header->first_step, first);
        assert_int_equal(item.header->mono_floor_ns, trace[first ? first - 1 : 0].mono_ns);
        for (uint32_t i = 0; i < item.seed_count; i++) {
            const struct row *row = &item.seed[i];
            if (row->step < first)
                assert_int_equal(row->step, last[row->frame.source][row->frame.id - 0x100].step);
            else
                assert_true(mapped(row) < start_ns);
            assert_memory_equal(&row->frame, &trace[row->step].frame, sizeof row->frame);
        }
        for (int s = 0; s < 3; s++)
            for (int k = 0; k < 6; k++)
                count += has[s][k];
        assert_int_equal(item.seed_count, count);
        clip_reader_close(reader);
        recorder_close(recorder);
    }
}

static void test_a_short_ring_begins_the_clip_at_a_checkpoint(void **state)
{
    struct recorder_config config = small_config();
    struct recorder_stats stats;
    struct clip_item item;

    (void)state;
    config.open_bytes = 8192;
    config.ring_bytes = 30000;
    make_trace(12, 8000);
    open_recorder(&config);
    for (size_t i = 0; i < 8000; i++) {
        put_row(&trace[i]);
        if (i % 20 == 0) {
            struct recorder_state *saved = malloc(sizeof *saved + 8);
            saved->at_ns = trace[i].mono_ns;
            saved->size = 8;
            memcpy(saved->bytes, &saved->at_ns, 8);
            put(&(struct recorder_command){ .kind = RECORDER_STATE, .state = saved });
        }
    }
    size_t clip = put_open(0, trace[10].mono_ns, trace[7999].mono_ns, false);
    clips[clip].end_ns = trace[7999].mono_ns;
    put_manifest(0, RECORDER_CLOSE, &clips[clip]);
    (void)take_all(SIZE_MAX);
    check_clip(&clips[clip], 8000);
    struct clip_reader *reader = clip_reader_open(&(struct clip_reader_config){ "clip", false });
    first_items(&clips[clip].files[0], reader, &item);
    assert_true(item.header->start_ns > trace[10].mono_ns);
    assert_int_equal(item.header->state_bytes, 8);
    assert_memory_equal(item.header->state, &item.header->start_ns, 8);
    assert_int_equal(clips[clip].files[0].manifest.start_ns, item.header->start_ns);
    clip_reader_close(reader);
    recorder_stats(recorder, &stats);
    assert_int_equal(stats.clips_pre_truncated, 1);
    assert_true(stats.ring_bytes <= config.ring_bytes);
    recorder_close(recorder);
}

static void test_a_statelog_gives_back_every_checkpoint(void **state)
{
    struct statelog log;
    uint8_t want[64][40], got[64];
    size_t sizes[64], size;
    int64_t at_ns;

    (void)state;
    seed = 5;
    statelog_init(&log);
    for (int i = 0; i < 64; i++) {
        sizes[i] = draw(40);
        for (size_t k = 0; k < sizes[i]; k++)
            want[i][k] = (uint8_t)draw(2);
        assert_int_equal(statelog_put(&log, 10 * i, want[i], sizes[i]), 0);
    }
    for (int i = 0; i < 64; i++) {
        assert_int_equal(statelog_find(log.bytes, log.size, 10 * i - 3, &at_ns, got, 64, &size), 1);
        assert_int_equal(at_ns, 10 * i);
        assert_int_equal(size, sizes[i]);
        assert_memory_equal(got, want[i], size);
    }
    assert_int_equal(statelog_find(log.bytes, log.size, 631, &at_ns, got, 64, &size), 0);
    assert_int_equal(statelog_find(log.bytes, log.size, 630, &at_ns, got, 1, &size), -ENOBUFS);
    assert_int_equal(statelog_find(log.bytes, log.size - 1, 631, &at_ns, got, 64, &size), -EBADMSG);
    statelog_deinit(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_clip_holds_exactly_the_rows_of_its_window),
        cmocka_unit_test(test_batches_and_waiting_change_no_byte),
        cmocka_unit_test(test_a_live_clip_beyond_the_pins_ends_truncated),
        cmocka_unit_test(test_a_refused_clip_is_failed_and_its_neighbour_whole),
        cmocka_unit_test(test_no_loss_is_forgotten),
        cmocka_unit_test(test_commands_out_of_order_are_refused),
        cmocka_unit_test(test_seeds_are_the_last_rows_before_the_start),
        cmocka_unit_test(test_a_short_ring_begins_the_clip_at_a_checkpoint),
        cmocka_unit_test(test_a_statelog_gives_back_every_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
