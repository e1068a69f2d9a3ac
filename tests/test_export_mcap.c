/* From rows to MCAP and back: frames and marks as protobuf, types made of DBC messages, the export
 * of a clip, and the recording reader that gets everything back. */
#include "proto/dbset.h"
#include "proto/export_mcap.h"
#include "proto/mcap_frame.h"
#include "proto/mcap_index.h"
#include "proto/mcap_meta.h"
#include "proto/mcap_signals.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define OUTPUT_BYTES (4u << 20)

static const char dbc_text[] =
    "VERSION \"\"\n\nBU_: A\n\n"
    "BO_ 256 Mixed: 8 A\n"
    " SG_ Mode M : 0|4@1+ (1,0) [0|0] \"\" A\n"
    " SG_ Speed m0 : 8|16@1+ (0.5,-10) [0|0] \"km/h\" A\n"
    " SG_ Count m1 : 8|8@1- (1,0) [0|0] \"\" A\n"
    " SG_ Wide : 24|40@1+ (1,0) [0|0] \"\" A\n"
    "\nBO_ 257 Mixed_too: 2 A\n"
    " SG_ SPEED_1 : 0|8@1+ (1,0) [0|0] \"\" A\n"
    " SG_ SPEED1 : 8|8@1+ (1,0) [0|0] \"\" A\n"
    "\nVAL_ 256 Mode 0 \"still\" 1 \"moving\" ;\n";

static struct {
    uint8_t bytes[OUTPUT_BYTES];
    size_t used;
} out;

static int out_put(void *context, const void *bytes, size_t size)
{
    (void)context;
    if (size > OUTPUT_BYTES - out.used)
        return -ENOSPC;
    memcpy(out.bytes + out.used, bytes, size);
    out.used += size;
    return 0;
}

static const struct mcap_sink sink = { out_put, NULL };

static struct dbset *open_dbset(void)
{
    struct dbset *set = dbset_open();
    struct err err;

    assert_non_null(set);
    assert_int_equal(dbset_add(set, "can0", "a.dbc", dbc_text, sizeof dbc_text - 1, true, NULL,
                               &err), 0);
    return set;
}

/* --- frames and marks --- */

static struct recording_item encode_decode(const struct recording_item *item)
{
    uint8_t bytes[MCAP_FRAME_BYTES_MAX];
    struct pbw w = pbw_init(bytes, sizeof bytes);
    struct recording_item back;

    mcap_frame_encode(&w, item);
    assert_false(w.failed);
    memset(&back, 0xa5, sizeof back);
    assert_int_equal(mcap_frame_decode(bytes, w.used, &back), 0);
    return back;
}

static void assert_same_frame(const struct recording_item *a, const struct recording_item *b)
{
    assert_int_equal(a->placed, b->placed);
    assert_int_equal(a->row.frame.stamp_ns, b->row.frame.stamp_ns);
    assert_int_equal(a->row.frame.id, b->row.frame.id);
    assert_int_equal(a->row.frame.flags, b->row.frame.flags);
    assert_int_equal(a->row.frame.len, b->row.frame.len);
    assert_int_equal(a->row.frame.dlc, b->row.frame.dlc);
    assert_memory_equal(a->row.frame.data, b->row.frame.data, FRAME_DATA_MAX);
    if (!a->placed)
        return;
    assert_int_equal(a->row.step, b->row.step);
    assert_int_equal(a->row.mono_ns, b->row.mono_ns);
    assert_int_equal(a->row.offset_ns, b->row.offset_ns);
}

static void test_every_kind_of_frame_survives(void **state)
{
    static const struct frame frames[] = {
        { .stamp_ns = 0, .id = 0 },
        { .stamp_ns = INT64_MAX, .id = 0x7ff, .len = 8, .dlc = 8, .data = { 1, 2, 3, 4, 5, 6, 7, 8 } },
        { .stamp_ns = INT64_MIN, .id = 0x1fffffff, .flags = FRAME_EFF, .len = 1, .dlc = 1 },
        { .stamp_ns = -1, .id = 1, .flags = FRAME_RTR | FRAME_TX, .dlc = 15 },
        { .stamp_ns = 1, .id = 4, .flags = FRAME_ERR | FRAME_EFF, .len = 8, .dlc = 8 },
        { .stamp_ns = 1, .id = 4, .len = 8, .dlc = 12, .data = { [7] = 9 } },
        { .stamp_ns = 1, .id = 5, .flags = FRAME_FD | FRAME_BRS | FRAME_ESI | FRAME_LATE,
          .len = 64, .dlc = 15, .data = { [63] = 255 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        for (int placed = 0; placed <= 1; placed++) {
            struct recording_item item = { .kind = RECORDING_FRAME, .placed = placed };
            item.row = (struct row){ placed ? UINT64_MAX : 0, placed ? INT64_MIN : 0,
                                     placed ? INT64_MAX : 0, frames[i] };
            struct recording_item back = encode_decode(&item);
            assert_same_frame(&item, &back);
        }
}

static void test_marks_survive(void **state)
{
    const struct recording_item marks[] = {
        { .kind = RECORDING_CLOCK, .offset_ns = INT64_MIN, .mono_ns = INT64_MAX },
        { .kind = RECORDING_GENERATION, .generation = UINT32_MAX },
    };
    uint8_t bytes[64];
    struct recording_item back;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pbw w = pbw_init(bytes, sizeof bytes);
        mcap_mark_encode(&w, &marks[i]);
        assert_int_equal(mcap_mark_decode(bytes, w.used, &back), 0);
        assert_int_equal(back.kind, marks[i].kind);
        assert_int_equal(back.offset_ns, marks[i].offset_ns);
        assert_int_equal(back.mono_ns, marks[i].mono_ns);
        assert_int_equal(back.generation, marks[i].generation);
    }
    assert_int_equal(mcap_mark_decode(bytes, 0, &back), -EBADMSG);
}

static void test_bytes_that_are_no_frame_are_refused(void **state)
{
    static const struct {
        size_t size;
        uint8_t bytes[12];
        const char *why;
    } cases[] = {
        { 1, { 0x08 }, "tag without value" },
        { 3, { 0x22, 9, 1 }, "data longer than the message" },
        { 2, { 0x22, 0x80 }, "length cut short" },
        { 5, { 0x0d, 1, 0, 0, 0 }, "id as fixed32" },
        { 3, { 0x08, 0x80, 0x10 }, "standard id of 12 bits" },
        { 2, { 0x18, 16 }, "dlc of 16" },
        { 2, { 0x18, 3 }, "dlc 3 without data" },
        { 4, { 0x10, 0x80, 0x80, 0x04 }, "flags of 17 bits" },
        { 2, { 0x0b, 0x0c }, "a group" },
        { 11, { 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02 }, "65 bits" },
    };
    static const uint8_t extra[] = { 0xf8, 0x06, 1, 0x08, 5, 0x92, 0x07, 2, 7, 7, 0x18, 0 };
    struct recording_item item;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (mcap_frame_decode(cases[i].bytes, cases[i].size, &item) != -EBADMSG)
            fail_msg("%s", cases[i].why);
    /* Fields of a later version are passed over. */
    assert_int_equal(mcap_frame_decode(extra, sizeof extra, &item), 0);
    assert_int_equal(item.row.frame.id, 5);
    assert_false(item.placed);
}

/* --- types made of DBC messages --- */

static void test_a_hidden_signal_is_absent_and_others_keep_their_type(void **state)
{
    struct dbset *set = open_dbset();
    const struct dbc_message *message = dbc_message_by_name(set->entries[0].dbc, "Mixed");
    struct mcap_signals *signals;
    struct mcap_signals_count count;
    uint8_t data[FRAME_DATA_MAX] = { 0x00, 0x1e, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff };
    uint8_t bytes[128];

    (void)state;
    assert_int_equal(mcap_signals_make(message, &signals), 0);
    struct pbw w = pbw_init(bytes, sizeof bytes);
    mcap_signals_encode(signals, data, 8, &w, &count);
    const uint8_t branch0[] = { 0x08, 0,                           /* Mode */
                                0x12, 5, 's', 't', 'i', 'l', 'l',  /* its label */
                                0x19, 0, 0, 0, 0, 0, 0, 0x14, 0x40, /* Speed: 30 / 2 - 10 = 5 */
                                0x38, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f };
    assert_int_equal(w.used, sizeof branch0);
    assert_memory_equal(bytes, branch0, sizeof branch0);
    assert_int_equal(count.values, 3);
    assert_int_equal(count.absent, 1);

    data[0] = 1;
    data[1] = 0xff; /* Count: -1, zig-zag 1 */
    w = pbw_init(bytes, sizeof bytes);
    mcap_signals_encode(signals, data, 2, &w, &count); /* Wide does not fit any more */
    const uint8_t branch1[] = { 0x08, 1, 0x12, 6, 'm', 'o', 'v', 'i', 'n', 'g', 0x28, 1 };
    assert_int_equal(w.used, sizeof branch1);
    assert_memory_equal(bytes, branch1, sizeof branch1);
    assert_int_equal(count.absent, 2);
    mcap_signals_free(signals);
    dbset_close(set);
}

static void test_names_are_identifiers_and_differ(void **state)
{
    static const char names[] = "VERSION \"\"\nBU_: A\nBO_ 1 M: 8 A\n"
                                " SG_ A_label : 0|8@1+ (1,0) [0|0] \"\" A\n"
                                " SG_ A : 8|8@1+ (1,0) [0|0] \"\" A\n"
                                " SG_ A_label_2 : 16|8@1+ (1,0) [0|0] \"\" A\n"
                                "VAL_ 1 A 0 \"x\" ;\n";
    struct mcap_signals *signals;
    struct dbc *dbc;
    struct err err;
    uint8_t bytes[1024];

    (void)state;
    assert_int_equal(dbc_load(names, sizeof names - 1, "n.dbc", false, NULL, &err, &dbc), 0);
    assert_int_equal(mcap_signals_make(&dbc->messages[0], &signals), 0);
    assert_string_equal(mcap_signals_field(signals, 0), "A_label");
    assert_string_equal(mcap_signals_field(signals, 1), "A");
    struct pbw w = pbw_init(bytes, sizeof bytes - 1);
    mcap_signals_descriptor(signals, "can-0", &w);
    assert_false(w.failed);
    assert_non_null(memmem(bytes, w.used, "A_label_3", 9));
    assert_non_null(memmem(bytes, w.used, "roadloop.can_0", 14));
    mcap_signals_free(signals);
    dbc_close(dbc);
}

/* --- a clip --- */

static struct source_table sources = { .items = { { "can0", 1000, STAMP_KERNEL },
                                                  { "can1", 1, STAMP_HARDWARE } },
                                       .count = 2 };

static const struct clip_value values[] = {
    { .name = "speed", .text = "", .unit = "km/h", .kind = CLIP_VALUE_NUMBER, .number = 5 },
    { .name = "mode", .text = "moving", .unit = "", .kind = CLIP_VALUE_TEXT, .integer = 1 },
};
static const struct clip_event events[] = {
    { .rule = "p/late", .edge = CLIP_EDGE_FALL, .start_ns = 2000, .fire_ns = 3000,
      .fire_step = 13, .reason = "" },
    { .rule = "p/first", .rule_hash = { 7 }, .edge = CLIP_EDGE_RISE, .start_ns = 1000,
      .fire_ns = 1000, .end_ns = 4000, .ended = true, .fire_step = 11, .reason = "false",
      .values = values, .value_count = 2 },
};

/* Steps 10..14 at mono 0, 1000, ..., the last on generation 5. */
static struct recording_item row_item(uint32_t i)
{
    struct recording_item item = { .kind = RECORDING_FRAME, .placed = true };

    item.row = (struct row){ 10 + i, 1000 * (int64_t)i, 500,
                             { .stamp_ns = 1000 * (int64_t)i - 500, .id = 256 + i % 2,
                               .source = (uint8_t)(i == 4), .len = 8, .dlc = 8,
                               .data = { 1, (uint8_t)i } } };
    return item;
}

static struct clip_header clip_header;
static struct clip_manifest clip_manifest;
static struct recording_clip clip;

static void make_clip(void)
{
    static struct row seed;

    seed = row_item(0).row;
    clip_header = (struct clip_header){
        .format_version = CLIP_FORMAT_VERSION, .clip_id = { 0xab }, .session_id = { 1 },
        .segments = 1, .vehicle = "veh1", .rule = "p/first", .priority = 3, .generation = 4,
        .sources = sources, .pack_sha256 = { 9 },
    };
    clip_manifest = (struct clip_manifest){
        .clip_id = { 0xab }, .last_segment = true, .events = events, .event_count = 2,
        .completeness = { .sources = { { .received = 5, .stored = 4, .dropped_kernel = 1 } },
                          .source_count = 2, .gaps = 1, .clock_quality = "kernel" },
        .frames = 5, .end_ns = 4000, .end = CLIP_END_COMPLETE,
    };
    clip = (struct recording_clip){ .header = &clip_header, .manifest = &clip_manifest,
                                    .seed = &seed, .seed_count = 1 };
}

static void put(struct export_mcap *e, struct recording_item item)
{
    struct err err;

    assert_int_equal(export_mcap_put(e, &item, &err), 0);
}

/* Clock mark, rows 0..3, generation 5, row 4. */
static void export_clip(const struct export_mcap_config *config, struct export_mcap_stats *stats)
{
    struct export_mcap *e;
    struct err err;

    out.used = 0;
    assert_int_equal(export_mcap_open(config, &sink, &e, &err), 0);
    put(e, (struct recording_item){ .kind = RECORDING_CLOCK, .offset_ns = 500, .mono_ns = 0 });
    for (uint32_t i = 0; i < 5; i++) {
        if (i == 4)
            put(e, (struct recording_item){ .kind = RECORDING_GENERATION, .generation = 5 });
        put(e, row_item(i));
    }
    assert_int_equal(export_mcap_finish(e, &err), 0);
    export_mcap_stats(e, stats);
    assert_int_equal(stats->bytes, out.used);
    export_mcap_close(e);
}

static const struct recording_attachment pack = { "pack.yaml", MCAP_META_PACK_TYPE,
                                                  (const uint8_t *)"rules", 5 };

static struct export_mcap_config whole_config(const struct export_mcap_generation *generations)
{
    make_clip();
    return (struct export_mcap_config){
        .sources = &sources, .generations = generations, .generation_count = generations ? 2 : 0,
        .clip = &clip, .attachments = &pack, .attachment_count = 1, .wall_known = true,
        .wall_offset_ns = INT64_C(1700000000000000000),
    };
}

static void test_values_of_an_event(void **state)
{
    static const uint8_t want[] = {
        0x62, 22, 0x0a, 5, 's', 'p', 'e', 'e', 'd', 0x19, 0, 0, 0, 0, 0, 0, 0x14, 0x40,
        0x2a, 4, 'k', 'm', '/', 'h',
        0x62, 16, 0x0a, 4, 'm', 'o', 'd', 'e', 0x12, 6, 'm', 'o', 'v', 'i', 'n', 'g', 0x20, 1,
    };
    uint8_t bytes[512];
    struct pbw w = pbw_init(bytes, sizeof bytes);

    (void)state;
    mcap_event_encode(&w, &events[1], 0);
    assert_false(w.failed);
    assert_true(w.used > sizeof want);
    assert_memory_equal(bytes + w.used - sizeof want, want, sizeof want);
}

static void test_the_clip_s_own_clock_gives_the_wall(void **state)
{
    struct export_mcap_config config = whole_config(NULL);
    struct export_mcap_stats stats;
    struct mcap_index *index;
    struct err err;

    (void)state;
    config.wall_known = false;
    clip_header.clock = (struct clip_clock){ .known = true, .mono_ns = 1000, .utc_ns = 8000 };
    export_clip(&config, &stats);
    struct mcap_bytes all = mcap_view(out.bytes, out.used);
    const struct mcap_input input = mcap_input_bytes(&all);
    assert_int_equal(mcap_index_open("x", &input, &index, &err), 0);
    assert_int_equal(mcap_index_statistics(index)->message_start_time, 7000);
    assert_int_equal(mcap_index_statistics(index)->message_end_time, 11000);
    mcap_index_close(index);
}

static void test_counts_of_an_export(void **state)
{
    struct dbset *set = open_dbset();
    const struct export_mcap_generation generations[] = { { 4, set }, { 5, NULL } };
    const struct export_mcap_config config = whole_config(generations);
    struct export_mcap_stats stats;
    static uint8_t first[OUTPUT_BYTES];

    (void)state;
    export_clip(&config, &stats);
    assert_int_equal(stats.frames, 5);
    assert_int_equal(stats.marks, 2);
    assert_int_equal(stats.events, 2);
    assert_int_equal(stats.decoded, 4); /* can1 has no database */
    assert_int_equal(stats.signals, 2 * 3 + 2 * 2); /* Mode Count Wide; SPEED_1 SPEED1 */
    assert_int_equal(stats.absent, 2);
    assert_int_equal(stats.times_clamped, 0);
    size_t used = out.used;
    memcpy(first, out.bytes, used);
    export_clip(&config, &stats);
    assert_int_equal(out.used, used);
    assert_memory_equal(first, out.bytes, used); /* same input, same bytes */
    dbset_close(set);
}

static void assert_topics(const struct mcap_index *index)
{
    static const struct {
        const char *topic, *schema;
    } want[] = {
        { "/can/can0/raw", MCAP_FRAME_SCHEMA }, { "/can/can1/raw", MCAP_FRAME_SCHEMA },
        { "/roadloop/mark", MCAP_MARK_SCHEMA }, { "/event", MCAP_EVENT_SCHEMA },
        { "/can/can0/Mixed", "roadloop.can0.Mixed" },
        { "/can/can0/Mixed_too", "roadloop.can0.Mixed_too" },
    };
    const struct mcap_channel *channels;
    const struct mcap_schema *schemas;

    assert_int_equal(mcap_index_channels(index, &channels), 6);
    size_t schema_count = mcap_index_schemas(index, &schemas);
    for (size_t i = 0; i < 6; i++) {
        size_t k = 0;
        assert_true(mcap_is(channels[i].topic, want[i].topic));
        assert_true(mcap_is(channels[i].message_encoding, "protobuf"));
        while (k < schema_count && schemas[k].id != channels[i].schema_id)
            k++;
        assert_true(k < schema_count);
        assert_true(mcap_is(schemas[k].name, want[i].schema));
        assert_true(mcap_is(schemas[k].encoding, "protobuf"));
    }
    assert_true(mcap_is(mcap_map_find(channels[4].metadata, "unit.Speed"), "km/h"));
    assert_true(mcap_is(mcap_map_find(channels[0].metadata, "tick_ns"), "1000"));
}

static void assert_metadata(struct mcap_index *index)
{
    static const struct {
        const char *name, *key, *value;
    } want[] = {
        { "vehicle", "pseudonym", "veh1" },   { "clip", "id", "ab000000000000000000000000000000" },
        { "trigger", "rule", "p/first" },     { "clock", "wall_offset_ns", "1700000000000000000" },
        { "loss", "can0.dropped_kernel", "1" }, { "versions", "clip_format", "1" },
    };
    const struct mcap_metadata_index *entries;
    struct mcap_metadata metadata;
    struct err err;

    assert_int_equal(mcap_index_metadata(index, &entries), 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(mcap_index_read_metadata(index, &entries[i], &metadata, &err), 0);
        assert_true(mcap_is(metadata.name, want[i].name));
        if (!mcap_is(mcap_map_find(metadata.metadata, want[i].key), want[i].value))
            fail_msg("%s.%s", want[i].name, want[i].key);
    }
}

static void assert_attachments(struct mcap_index *index)
{
    static const char *const want[] = { "dbc/can0/a.dbc", "pack.yaml", MCAP_META_CLIP,
                                        MCAP_META_MANIFEST };
    const struct mcap_attachment_index *entries;

    assert_int_equal(mcap_index_attachments(index, &entries), 4);
    for (size_t i = 0; i < 4; i++)
        assert_true(mcap_is(entries[i].name, want[i]));
}

static void test_what_a_labeller_finds(void **state)
{
    /* Channel of each message in file order, and its time after the wall offset. */
    static const struct {
        uint16_t channel;
        uint64_t time;
    } want[] = {
        { 33, 0 }, { 1, 0 }, { 35, 0 }, { 1, 1000 }, { 36, 1000 }, { 34, 1000 }, { 1, 2000 },
        { 35, 2000 }, { 1, 3000 }, { 36, 3000 }, { 33, 3000 }, { 34, 3000 }, { 2, 4000 },
    };
    struct dbset *set = open_dbset();
    const struct export_mcap_generation generations[] = { { 4, set }, { 5, NULL } };
    const struct export_mcap_config config = whole_config(generations);
    struct export_mcap_stats stats;
    struct mcap_index *index;
    struct mcap_message m;
    struct err err;
    size_t count = 0;

    (void)state;
    export_clip(&config, &stats);
    struct mcap_bytes all = mcap_view(out.bytes, out.used);
    const struct mcap_input input = mcap_input_bytes(&all);
    assert_int_equal(mcap_index_open("x", &input, &index, &err), 0);
    assert_topics(index);
    assert_metadata(index);
    assert_attachments(index);
    assert_int_equal(mcap_index_seek(index, 0, UINT64_MAX, &err), 0);
    while (mcap_index_next(index, &m, &err) == 1) {
        assert_true(count < 13);
        assert_int_equal(m.channel_id, want[count].channel);
        assert_int_equal(m.log_time, UINT64_C(1700000000000000000) + want[count].time);
        count++;
    }
    assert_int_equal(count, 13);
    mcap_index_close(index);
    dbset_close(set);
}

static void test_times_below_zero_are_zero_and_counted(void **state)
{
    struct export_mcap_config config = whole_config(NULL);
    struct export_mcap_stats stats;

    (void)state;
    config.wall_offset_ns = -1500;
    export_clip(&config, &stats);
    assert_int_equal(stats.decoded, 0); /* no database, raw only */
    assert_true(stats.times_clamped >= 4);
}

/* --- back through the recording reader --- */

static char path[] = "/tmp/test_export_mcap.XXXXXX";

static struct recording *open_output(int want, const char *text)
{
    struct recording *recording = NULL;
    struct err err = { 0 };
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(out.bytes, 1, out.used, file), out.used);
    assert_int_equal(fclose(file), 0);
    const struct recording_config config = { path, NULL, false };
    int rc = recording_open(&config, &recording, &err);
    if (rc != want || (text && !strstr(err.text, text)))
        fail_msg("%d '%s', want %d '%s'", rc, err.text, want, text);
    return recording;
}

static void test_a_clip_comes_back_whole(void **state)
{
    struct dbset *set = open_dbset();
    const struct export_mcap_generation generations[] = { { 4, set }, { 5, NULL } };
    const struct export_mcap_config config = whole_config(generations);
    struct export_mcap_stats stats;
    struct recording_item item;
    struct err err;
    char bus[SOURCE_NAME_MAX];
    const char *file;

    (void)state;
    export_clip(&config, &stats);
    struct recording *r = open_output(0, NULL);
    assert_string_equal(recording_format_name(r), "mcap");
    assert_int_equal(recording_sources(r)->count, 2);
    assert_string_equal(recording_sources(r)->items[1].name, "can1");
    assert_int_equal(recording_sources(r)->items[0].tick_ns, 1000);
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(recording_next(r, &item, &err), 1);
        assert_int_equal(item.kind, RECORDING_CLOCK);
        assert_int_equal(item.offset_ns, 500);
        for (uint32_t i = 0; i < 5; i++) {
            struct recording_item want = row_item(i);
            assert_int_equal(recording_next(r, &item, &err), 1);
            if (i == 4) {
                assert_int_equal(item.kind, RECORDING_GENERATION);
                assert_int_equal(item.generation, 5);
                assert_int_equal(recording_next(r, &item, &err), 1);
            }
            assert_same_frame(&item, &want);
            assert_int_equal(item.row.frame.source, want.row.frame.source);
        }
        assert_int_equal(recording_next(r, &item, &err), 0);
        assert_int_equal(recording_rewind(r, &err), 0);
    }
    const struct recording_clip *got = recording_clip(r);
    assert_non_null(got);
    assert_memory_equal(got->header->clip_id, clip_header.clip_id, CLIP_ID_BYTES);
    assert_string_equal(got->header->vehicle, "veh1");
    assert_int_equal(got->manifest->event_count, 2);
    assert_string_equal(got->manifest->events[1].values[1].text, "moving");
    assert_int_equal(got->seed_count, 1);
    assert_int_equal(got->seed[0].step, 10);
    assert_int_equal(got->attachment_count, 3);
    assert_true(mcap_meta_dbc_name(got->attachments[0].name, bus, &file));
    assert_string_equal(bus, "can0");
    assert_string_equal(file, "a.dbc");
    assert_memory_equal(got->attachments[0].bytes, dbc_text, sizeof dbc_text - 1);
    assert_string_equal(got->attachments[1].media_type, MCAP_META_PACK_TYPE);
    recording_close(r);
    dbset_close(set);
}

static void test_names_of_attached_databases(void **state)
{
    static const struct {
        const char *name, *bus, *file; /* bus NULL: not one of ours */
    } cases[] = {
        { "dbc/can0/a.dbc", "can0", "a.dbc" },
        { "dbc//a.dbc", "", "a.dbc" },
        { "dbc/a.dbc", NULL, NULL },
        { "dbc/can0/x/a.dbc", NULL, NULL },
        { "dbc/can0/", NULL, NULL },
        { "dbc/a234567890123456789012345678901b/a.dbc", NULL, NULL },
        { "generation/5/dbc/can0/a.dbc", NULL, NULL },
    };
    char bus[SOURCE_NAME_MAX];
    const char *file;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(mcap_meta_dbc_name(cases[i].name, bus, &file), cases[i].bus != NULL);
        if (!cases[i].bus)
            continue;
        assert_string_equal(bus, cases[i].bus);
        assert_string_equal(file, cases[i].file);
    }
}

/* A file of someone else: no summary, one topic with our schema, another without. */
static void write_foreign(bool with_frames, const char *topic, bool bad_message)
{
    const struct mcap_write_config config = { .profile = "", .library = "", .chunk_bytes = 1 };
    static const uint8_t frame[] = { 0x08, 5, 0x18, 1, 0x22, 1, 9, 0x28, 7 };
    struct mcap_writer *w;

    out.used = 0;
    assert_int_equal(mcap_writer_open(&config, &sink, &w), 0);
    const struct mcap_schema schema = { 9, mcap_text(MCAP_FRAME_SCHEMA), mcap_text("protobuf"),
                                        mcap_text("") };
    const struct mcap_channel channels[] = {
        { 2, 9, mcap_text(topic), mcap_text("protobuf"), { NULL, 0 } },
        { 3, 0, mcap_text("/x"), mcap_text("json"), { NULL, 0 } },
    };
    assert_int_equal(mcap_write_schema(w, &schema), 0);
    for (size_t i = with_frames ? 0 : 1; i < 2; i++)
        assert_int_equal(mcap_write_channel(w, &channels[i]), 0);
    const struct mcap_message other = { 3, 0, 1, 1, mcap_text("{}") };
    const struct mcap_message good = { 2, 0, 1, 1, mcap_view(frame, sizeof frame) };
    const struct mcap_message bad = { 2, 1, 1, 1, mcap_view(frame, sizeof frame - 1) };
    assert_int_equal(mcap_write_message(w, &other), 0);
    if (bad_message)
        assert_int_equal(mcap_write_message(w, &bad), 0);
    if (with_frames)
        assert_int_equal(mcap_write_message(w, &good), 0);
    assert_int_equal(mcap_writer_finish(w), 0);
    mcap_writer_close(w);
}

static void test_frames_of_other_writers_are_read(void **state)
{
    static const struct {
        const char *topic, *bus;
    } cases[] = { { "/can/vcan1/raw", "vcan1" }, { "/body can", "_body_can" }, { "", "_" } };
    struct recording_item item;
    struct err err;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        write_foreign(true, cases[i].topic, true);
        struct recording *r = open_output(0, NULL);
        assert_int_equal(recording_next(r, &item, &err), 1);
        assert_int_equal(item.row.frame.id, 5);
        assert_int_equal(item.row.frame.stamp_ns, 7);
        assert_false(item.placed);
        assert_int_equal(recording_next(r, &item, &err), 0);
        assert_string_equal(recording_sources(r)->items[0].name, cases[i].bus);
        assert_int_equal(recording_skips(r)->count[RECORDING_SKIP_FOREIGN], 1);
        assert_int_equal(recording_skips(r)->first_line[RECORDING_SKIP_FOREIGN], 2);
        assert_null(recording_clip(r));
        recording_close(r);
    }
}

static void test_a_file_without_frames_says_so(void **state)
{
    struct recording_item item;
    struct err err;

    (void)state;
    write_foreign(false, "", false);
    struct recording *r = open_output(0, NULL);
    assert_int_equal(recording_next(r, &item, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "a channel with schema roadloop.CanFrame"));
    recording_close(r);
}

static void write_attached(struct mcap_bytes bytes)
{
    const struct mcap_write_config config = { .profile = "", .library = "", .chunk_bytes = 1,
                                              .features = MCAP_USE_ALL };
    const struct mcap_attachment a = { .name = mcap_text(MCAP_META_CLIP),
                                       .media_type = mcap_text(""), .data = bytes };
    struct mcap_writer *w;

    out.used = 0;
    assert_int_equal(mcap_writer_open(&config, &sink, &w), 0);
    assert_int_equal(mcap_write_attachment(w, &a), 0);
    assert_int_equal(mcap_writer_finish(w), 0);
    mcap_writer_close(w);
}

static void test_an_attached_clip_that_is_none_is_refused(void **state)
{
    static uint8_t record[65536];

    (void)state;
    make_clip();
    int64_t size = clip_header_encode(&clip_header, record, sizeof record);
    assert_true(size > 0);
    write_attached(mcap_view(record, 0));
    assert_null(open_output(-EBADMSG, "attachment roadloop/clip: it has no header"));
    write_attached(mcap_view(record, (size_t)size - 1));
    assert_null(open_output(-EBADMSG, "attachment roadloop/clip: its records do not fit"));
    record[20] ^= 1;
    write_attached(mcap_view(record, (size_t)size));
    assert_null(open_output(-EBADMSG, "attachment roadloop/clip: "));
    record[20] ^= 1;
    memcpy(record + size, record, (size_t)size);
    write_attached(mcap_view(record, 2 * (size_t)size));
    assert_null(open_output(-EBADMSG, "attachment roadloop/clip: its records do not fit"));
}

static int setup(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_frame_survives),
        cmocka_unit_test(test_marks_survive),
        cmocka_unit_test(test_bytes_that_are_no_frame_are_refused),
        cmocka_unit_test(test_a_hidden_signal_is_absent_and_others_keep_their_type),
        cmocka_unit_test(test_names_are_identifiers_and_differ),
        cmocka_unit_test(test_values_of_an_event),
        cmocka_unit_test(test_the_clip_s_own_clock_gives_the_wall),
        cmocka_unit_test(test_counts_of_an_export),
        cmocka_unit_test(test_what_a_labeller_finds),
        cmocka_unit_test(test_times_below_zero_are_zero_and_counted),
        cmocka_unit_test(test_a_clip_comes_back_whole),
        cmocka_unit_test(test_names_of_attached_databases),
        cmocka_unit_test(test_frames_of_other_writers_are_read),
        cmocka_unit_test(test_a_file_without_frames_says_so),
        cmocka_unit_test(test_an_attached_clip_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
