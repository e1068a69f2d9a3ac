#include "proto/clip.h"

#include "proto/record.h"
#include "proto/recording.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define FILE_MAX 262144

static struct group_coder *coder;
static struct rowbuf *rows;

static int setup(void **state)
{
    (void)state;
    coder = group_coder_open();
    rows = rowbuf_open(1 << 20);
    return !coder || !rows;
}

static int teardown(void **state)
{
    (void)state;
    group_coder_close(coder);
    rowbuf_close(rows);
    return 0;
}

static const struct clip_dbc dbcs[2] = { { "can0", "a.dbc", { 1, 2 } }, { "", "b.dbc", { 3 } } };
static const uint8_t state_bytes[] = { 9, 8, 7 };

static struct clip_header make_header(uint32_t segment, uint32_t segments)
{
    return (struct clip_header){
        .clip_id = { 1, 2, 3 }, .session_id = { 4, 5 }, .ordinal = 3, .segment = segment,
        .segments = segments, .vehicle = "car", .rule = "demo/brake", .rule_hash = { 6 },
        .priority = 4, .codec = CODEC_COLUMNAR, .generation = 2, .engine_version = 1,
        .start_ns = -5, .offset_ns = 17, .first_step = 100, .mono_floor_ns = -6,
        .sources = { { { "can0", 1000, STAMP_KERNEL }, { "can1", 1, STAMP_UNKNOWN } }, 2 },
        .pack_sha256 = { 1 }, .shaping_sha256 = { 2 }, .dbcs = dbcs, .dbc_count = 2,
        .state = state_bytes, .state_bytes = 3,
        .clock = { true, 1, 2, 3, "gnss" },
    };
}

static void put_rows(uint64_t first, uint32_t count)
{
    rowbuf_clear(rows);
    for (uint32_t i = 0; i < count; i++) {
        struct row row = { .step = first + i, .mono_ns = (int64_t)(first + i) * 1000,
                           .frame = { .stamp_ns = (int64_t)(first + i) * 1000, .id = 0x100 + i % 5,
                                      .source = (uint8_t)(i % 2), .len = 8, .dlc = 8,
                                      .data = { (uint8_t)i, (uint8_t)(i * 7) } } };
        assert_int_equal(rowbuf_put(rows, &row), 0);
    }
}

/* A whole segment of `groups` groups of 50 rows. Returns its bytes. */
static size_t make_segment(uint32_t segment, uint32_t segments, uint32_t groups, uint8_t *out,
                           size_t *ret_last_group)
{
    struct clip_header header = make_header(segment, segments);
    struct group_config config = { CODEC_COLUMNAR, 2, &header.sources };
    struct row seed = { .step = 90, .mono_ns = 90, .offset_ns = 17,
                        .frame = { .id = 1, .len = 1, .dlc = 1, .data = { 5 } } };
    struct clip_manifest manifest = { .segment = segment, .last_segment = segment + 1 == segments,
                                      .frames = groups * 50, .groups = groups };
    int64_t at = clip_header_encode(&header, out, FILE_MAX);

    assert_true(at > 0);
    assert_int_equal(at, clip_header_encode(&header, NULL, 0));
    at += clip_seed_encode(&seed, 1, out + at, FILE_MAX - (size_t)at);
    for (uint32_t g = 0; g < groups; g++) {
        put_rows(100 + 1000 * segment + 50 * g, 50);
        *ret_last_group = (size_t)at;
        int64_t bytes = group_encode(coder, &config, rows, out + at, FILE_MAX - (size_t)at);
        assert_true(bytes > 0);
        at += bytes;
    }
    memcpy(manifest.clip_id, header.clip_id, CLIP_ID_BYTES);
    manifest.body_bytes = (uint64_t)at;
    sha256_of(out, (size_t)at, manifest.body_sha256);
    at += clip_manifest_encode(&manifest, out + at, FILE_MAX - (size_t)at);
    return (size_t)at;
}

struct outcome {
    int rc; /* of the last next, then of finish */
    struct clip_reader_stats stats;
    struct err err;
};

static struct outcome read_all(const uint8_t *bytes, size_t size, size_t step)
{
    struct clip_reader *reader = clip_reader_open(&(struct clip_reader_config){ .name = "x.rlc" });
    struct outcome out = { 0 };
    struct clip_item item;
    size_t at = 0;

    for (;;) {
        while ((out.rc = clip_reader_next(reader, &item, &out.err)) == 1)
            ;
        if (out.rc < 0 || at == size)
            break;
        size_t chunk = step < size - at ? step : size - at;
        int64_t taken = clip_reader_put(reader, bytes + at, chunk);
        assert_true(taken > 0);
        at += (size_t)taken;
    }
    if (out.rc == 0)
        out.rc = clip_reader_finish(reader, &out.err);
    clip_reader_stats(reader, &out.stats);
    clip_reader_close(reader);
    return out;
}

static void test_header_comes_back(void **state)
{
    struct clip_header header = make_header(1, 2), got;
    uint8_t record[4096];
    struct err err;
    int64_t size = clip_header_encode(&header, record, sizeof record);

    (void)state;
    assert_true(size > 0);
    assert_int_equal(clip_header_decode(record, (size_t)size, &got, &err), 0);
    assert_int_equal(got.format_version, CLIP_FORMAT_VERSION);
    assert_memory_equal(got.clip_id, header.clip_id, CLIP_ID_BYTES);
    assert_memory_equal(got.session_id, header.session_id, SESSION_ID_BYTES);
    assert_int_equal(got.ordinal, 3);
    assert_int_equal(got.segment, 1);
    assert_string_equal(got.vehicle, "car");
    assert_string_equal(got.rule, "demo/brake");
    assert_string_equal(got.purpose, "");
    assert_memory_equal(got.rule_hash, header.rule_hash, SHA256_BYTES);
    assert_int_equal(got.priority, 4);
    assert_int_equal(got.generation, 2);
    assert_int_equal(got.start_ns, -5);
    assert_int_equal(got.offset_ns, 17);
    assert_int_equal(got.first_step, 100);
    assert_int_equal(got.mono_floor_ns, -6);
    assert_int_equal(got.sources.count, 2);
    assert_string_equal(got.sources.items[1].name, "can1");
    assert_int_equal(got.sources.items[0].origin, STAMP_KERNEL);
    assert_int_equal(got.dbc_count, 2);
    assert_string_equal(got.dbcs[0].bus, "can0");
    assert_memory_equal(got.dbcs[1].sha256, dbcs[1].sha256, SHA256_BYTES);
    assert_int_equal(got.state_bytes, 3);
    assert_memory_equal(got.state, state_bytes, 3);
    assert_true(got.clock.known);
    assert_string_equal(got.clock.source, "gnss");
    clip_header_deinit(&got);
    clip_header_deinit(&got);
}

static void test_manifest_comes_back(void **state)
{
    const struct clip_value values[3] = { { "speed", NULL, "km/h", CLIP_VALUE_NUMBER, 0, 12.5 },
                                          { "gear", "DRIVE", NULL, CLIP_VALUE_TEXT, 4, 0 },
                                          { "on", NULL, NULL, CLIP_VALUE_BOOL, 1, 0 } };
    const struct clip_event events[2] = {
        { .rule = "demo/a", .ordinal = 1, .start_ns = 1, .fire_ns = 2, .end_ns = 3,
          .ended = true, .fire_step = 9, .reason = "false", .values = values, .value_count = 3 },
        { .rule = "demo/b", .edge = CLIP_EDGE_MANUAL, .closed = true, .closed_ns = 8,
          .reason = "input_end" },
    };
    const uint8_t overlaps[1][CLIP_ID_BYTES] = { { 7, 7 } };
    struct clip_manifest manifest = {
        .clip_id = { 1 }, .events = events, .event_count = 2,
        .completeness = { .sources = { { 10, 1, 2, 3, 4, 5, 6, 7 } }, .source_count = 2,
                          .gaps = 1, .clock_quality = "recording",
                          .interfaces = { { .known = true, .up = true, .bus_state = CLIP_BUS_OFF,
                                            .mono_ns = -3, .rx_frames = 11, .rx_errors = 12,
                                            .rx_dropped = 13, .rx_overruns = 14, .rx_missed = 15,
                                            .bitrate = 500000, .tx_error_count = 16,
                                            .rx_error_count = 17, .restarts = 18,
                                            .bus_errors = 19, .arbitration_lost = 20,
                                            .warnings = 21, .passives = 22, .bus_offs = 23 } },
                          .source_events = { { 5, 0, CLIP_SOURCE_DOWN, 0 },
                                             { 6, 1, CLIP_SOURCE_STAMPS, STAMP_HARDWARE } },
                          .source_event_count = 2, .source_events_left_out = 24 },
        .frames = 5, .end = CLIP_END_INPUT, .end_detail = "the recording ended",
        .continues = true, .continues_id = { 8 }, .overlaps = overlaps, .overlap_count = 1,
    }, got;
    uint8_t record[4096];
    struct err err;
    int64_t size = clip_manifest_encode(&manifest, record, sizeof record);

    (void)state;
    assert_true(size > 0);
    assert_int_equal(clip_manifest_decode(record, (size_t)size, &got, &err), 0);
    assert_int_equal(got.event_count, 2);
    assert_string_equal(got.events[0].rule, "demo/a");
    assert_int_equal(got.events[0].value_count, 3);
    assert_true(got.events[0].values[0].number == 12.5);
    assert_string_equal(got.events[0].values[0].unit, "km/h");
    assert_string_equal(got.events[0].values[1].text, "DRIVE");
    assert_int_equal(got.events[0].values[1].integer, 4);
    assert_true(got.events[0].ended && !got.events[0].closed);
    assert_int_equal(got.events[1].closed_ns, 8);
    assert_int_equal(got.events[1].edge, CLIP_EDGE_MANUAL);
    assert_int_equal(got.completeness.sources[0].received, 10);
    assert_int_equal(got.completeness.sources[0].stored, 6);
    assert_int_equal(got.completeness.source_count, 2);
    assert_int_equal(got.completeness.sources[0].dropped_driver, 7);
    assert_string_equal(got.completeness.clock_quality, "recording");
    assert_memory_equal(&got.completeness.interfaces[0], &manifest.completeness.interfaces[0],
                        sizeof got.completeness.interfaces[0]);
    assert_false(got.completeness.interfaces[1].known);
    assert_int_equal(got.completeness.source_event_count, 2);
    assert_int_equal(got.completeness.source_events[0].mono_ns, 5);
    assert_string_equal(clip_source_event_name(got.completeness.source_events[0].kind), "down");
    assert_int_equal(got.completeness.source_events[1].source, 1);
    assert_string_equal(clip_source_event_value(&got.completeness.source_events[1]), "hardware");
    assert_int_equal(got.completeness.source_events_left_out, 24);
    assert_string_equal(clip_end_name(got.end), "input_end");
    assert_true(got.continues);
    assert_int_equal(got.overlap_count, 1);
    assert_memory_equal(got.overlaps[0], overlaps[0], CLIP_ID_BYTES);
    clip_manifest_deinit(&got);
}

static void test_limits_hold_on_both_sides(void **state)
{
    char long_text[CLIP_TEXT_MAX + 1];
    struct clip_header header = make_header(0, 1);
    struct clip_manifest manifest = { .event_count = CLIP_EVENTS_MAX + 1 };

    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    header.vehicle = long_text;
    assert_int_equal(clip_header_encode(&header, NULL, 0), -ERANGE);
    header = make_header(2, 2);
    assert_int_equal(clip_header_encode(&header, NULL, 0), -ERANGE);
    assert_int_equal(clip_manifest_encode(&manifest, NULL, 0), -ERANGE);
    manifest = (struct clip_manifest){ .end_detail = long_text };
    assert_int_equal(clip_manifest_encode(&manifest, NULL, 0), -ERANGE);
    header = make_header(0, 1);
    uint8_t small[20];
    assert_int_equal(clip_header_encode(&header, small, sizeof small), -ENOBUFS);
    /* a million empty events of two bytes each must not become a gigabyte */
    uint8_t *bomb = malloc(CLIP_RECORD_OVERHEAD + MANIFEST_BYTES_MAX);
    for (size_t i = 0; i + 1 < MANIFEST_BYTES_MAX; i += 2) {
        bomb[RECORD_HEAD_BYTES + i] = 4 << 3 | 2;
        bomb[RECORD_HEAD_BYTES + i + 1] = 0;
    }
    size_t size = record_seal(bomb, RECORD_MANIFEST, MANIFEST_BYTES_MAX);
    struct clip_manifest got;
    struct err err;
    assert_int_equal(clip_manifest_decode(bomb, size, &got, &err), -EBADMSG);
    free(bomb);
}

static void test_seed_comes_back(void **state)
{
    struct row seed[3] = { { .step = 1, .mono_ns = 2, .offset_ns = -3,
                             .frame = { .id = 5, .len = 8, .dlc = 8, .data = { 1 } } },
                           { .step = UINT64_MAX, .frame = { .flags = FRAME_FD, .len = 64,
                                                            .dlc = 15 } },
                           { .step = 0, .frame = { .source = 31 } } };
    uint8_t record[4096];
    struct row *got;
    uint32_t count;
    struct err err;

    (void)state;
    for (uint32_t n = 0; n <= 3; n++) {
        int64_t size = clip_seed_encode(seed, n, record, sizeof record);
        assert_true(size > 0 && size <= clip_seed_encode(seed, n, NULL, 0));
        assert_int_equal(clip_seed_decode(record, (size_t)size, &got, &count, &err), 0);
        assert_int_equal(count, n);
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(got[i].step, seed[i].step);
            assert_int_equal(got[i].offset_ns, seed[i].offset_ns);
            assert_memory_equal(&got[i].frame, &seed[i].frame, sizeof got[i].frame);
        }
        free(got);
    }
}

static void test_segments_read_as_one_clip_in_any_portion(void **state)
{
    static const size_t steps[] = { 1, 7, 4096, FILE_MAX };
    uint8_t *file = malloc(2 * FILE_MAX);
    size_t group, first = make_segment(0, 2, 2, file, &group);
    size_t size = first + make_segment(1, 2, 1, file + first, &group);

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct outcome got = read_all(file, size, steps[i]);
        assert_int_equal(got.rc, 0);
        assert_int_equal(got.stats.segments, 2);
        assert_int_equal(got.stats.sealed, 2);
        assert_int_equal(got.stats.groups, 3);
        assert_int_equal(got.stats.rows, 150);
        assert_int_equal(got.stats.good_bytes, size);
    }
    assert_int_equal(read_all(file + first, size - first, 100).rc, 0); /* the second alone */
    memmove(file + first, file, first); /* the first twice */
    assert_int_equal(read_all(file, 2 * first, 100).rc, -EBADMSG);
    free(file);
}

static void write_file(const char *folder, const char *name, const uint8_t *bytes, size_t size)
{
    char path[128];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    (void)fclose(file);
}

/* Rows of the file, which must be in step order, or -1 when it cannot be read to its end. */
static int rows_of(const char *folder, const char *name, bool *ret_complete)
{
    char path[128];
    struct recording *r;
    struct recording_item item;
    struct err err;
    int count = 0, rc;
    uint64_t step = 0;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    if (recording_open(&(struct recording_config){ path, "", false }, &r, &err) < 0)
        return -1;
    while ((rc = recording_next(r, &item, &err)) == 1) {
        assert_true(item.kind == RECORDING_FRAME && item.placed && item.row.step > step);
        step = item.row.step;
        count++;
    }
    *ret_complete = recording_clip(r)->manifest && recording_clip(r)->manifest->last_segment;
    assert_int_equal(recording_clip(r)->seed_count, 1);
    recording_close(r);
    return rc < 0 ? -1 : count;
}

static void test_a_clip_means_all_segments_that_lie_together(void **state)
{
    char folder[] = "/tmp/test_clip.XXXXXX", path[128];
    uint8_t *file = malloc(2 * FILE_MAX);
    size_t group, first = make_segment(0, 2, 2, file, &group);
    size_t size = first + make_segment(1, 2, 1, file + first, &group);
    static const char *const names[] = { "x-0.rlc", "x-1.rlc", "y-0.rlc", "z.rlc" };
    bool complete;

    (void)state;
    assert_non_null(mkdtemp(folder));
    write_file(folder, "x-0.rlc", file, first);
    write_file(folder, "x-1.rlc", file + first, size - first);
    write_file(folder, "y-0.rlc", file, first);
    write_file(folder, "z.rlc", file, size);
    assert_int_equal(rows_of(folder, "x-0.rlc", &complete), 150);
    assert_true(complete);
    assert_int_equal(rows_of(folder, "x-1.rlc", &complete), 50);
    assert_int_equal(rows_of(folder, "y-0.rlc", &complete), 100);
    assert_false(complete);
    assert_int_equal(rows_of(folder, "z.rlc", &complete), 150);
    assert_true(complete);
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
    free(file);
}

/* Cut at every byte: never good, and the good bytes end where the last whole record ends. */
static void test_a_torn_tail_is_cut_at_the_last_good_record(void **state)
{
    uint8_t *file = malloc(FILE_MAX);
    size_t group, size = make_segment(0, 1, 2, file, &group);

    (void)state;
    for (size_t cut = 0; cut < size; cut++) {
        struct outcome got = read_all(file, cut, FILE_MAX);
        assert_int_equal(got.rc, -EPIPE);
        assert_true(got.stats.good_bytes <= cut);
        if (cut >= group && cut < group + RECORD_HEAD_BYTES + load_le32(file + group + 4))
            assert_int_equal(got.stats.good_bytes, group);
        assert_int_equal(got.stats.sealed, 0);
    }
    free(file);
}

static void test_every_flipped_byte_is_found(void **state)
{
    uint8_t *file = malloc(FILE_MAX);
    size_t group, size = make_segment(0, 1, 2, file, &group);

    (void)state;
    for (size_t i = 0; i < size; i++) {
        file[i] ^= 0x01;
        assert_true(read_all(file, size, FILE_MAX).rc < 0);
        file[i] ^= 0x01;
    }
    assert_int_equal(read_all(file, size, FILE_MAX).rc, 0);
    free(file);
}

/* Records that are whole but in the wrong place, or missing. */
static void test_records_out_of_place_are_found(void **state)
{
    uint8_t *file = malloc(FILE_MAX), *bad = malloc(FILE_MAX);
    size_t group, size = make_segment(0, 1, 2, file, &group);
    size_t group_end = group + CLIP_RECORD_OVERHEAD + load_le32(file + group + 4);
    size_t header = CLIP_RECORD_OVERHEAD + load_le32(file + 4);

    (void)state;
    memcpy(bad, file, group); /* the last group left out */
    memcpy(bad + group, file + group_end, size - group_end);
    struct outcome got = read_all(bad, group + size - group_end, FILE_MAX);
    assert_int_equal(got.rc, -EBADMSG);
    assert_non_null(strstr(got.err.text, "a part is missing"));
    assert_int_equal(read_all(file + header, size - header, FILE_MAX).rc, -EBADMSG);
    memcpy(bad, file, header); /* two headers */
    memcpy(bad + header, file, size);
    assert_int_equal(read_all(bad, header + size, FILE_MAX).rc, -EBADMSG);
    got = read_all((const uint8_t *)"(1.0) can0 123#00\n", 18, 3);
    assert_int_equal(got.rc, -EBADMSG);
    assert_non_null(strstr(got.err.text, "not a record"));
    assert_string_equal(got.err.file, "x.rlc");
    /* a length beyond all limits is refused at once */
    store_le32(bad, RECORD_GROUP);
    store_le32(bad + 4, UINT32_MAX);
    assert_int_equal(read_all(bad, 100, 100).rc, -EBADMSG);
    free(file);
    free(bad);
}

static void test_clip_ids_differ_by_all_that_goes_in(void **state)
{
    const uint8_t session[SESSION_ID_BYTES] = { 1 }, other[SESSION_ID_BYTES] = { 2 };
    uint8_t a[CLIP_ID_BYTES], b[CLIP_ID_BYTES];

    (void)state;
    clip_id_make("car", session, 0, a);
    clip_id_make("car", session, 0, b);
    assert_memory_equal(a, b, sizeof a);
    clip_id_make("car", session, 1, b);
    assert_memory_not_equal(a, b, sizeof a);
    clip_id_make("car", other, 0, b);
    assert_memory_not_equal(a, b, sizeof a);
    clip_id_make("cat", session, 0, b);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_comes_back),
        cmocka_unit_test(test_manifest_comes_back),
        cmocka_unit_test(test_limits_hold_on_both_sides),
        cmocka_unit_test(test_seed_comes_back),
        cmocka_unit_test(test_segments_read_as_one_clip_in_any_portion),
        cmocka_unit_test(test_a_clip_means_all_segments_that_lie_together),
        cmocka_unit_test(test_a_torn_tail_is_cut_at_the_last_good_record),
        cmocka_unit_test(test_every_flipped_byte_is_found),
        cmocka_unit_test(test_records_out_of_place_are_found),
        cmocka_unit_test(test_clip_ids_differ_by_all_that_goes_in),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
