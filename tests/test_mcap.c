/* Writer and readers beyond the conformance set: many chunks, compression, limits, errors of the
 * sink, and what broken files are told. */
#include "proto/crc32.h"
#include "proto/mcap_index.h"
#include "proto/mcap_read.h"
#include "proto/mcap_write.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <zstd.h>
#include <cmocka.h>

#define OUTPUT_BYTES (8u << 20)

static struct {
    uint8_t *bytes;
    size_t used;
    size_t fail_at; /* bytes after which the sink fails; 0: never */
} out;

static int out_put(void *context, const void *bytes, size_t size)
{
    (void)context;
    if (out.fail_at && out.used + size > out.fail_at)
        return -ENOSPC;
    assert_true(size <= OUTPUT_BYTES - out.used);
    memcpy(out.bytes + out.used, bytes, size);
    out.used += size;
    return 0;
}

static const struct mcap_sink sink = { out_put, NULL };

static int open_output(void **state)
{
    (void)state;
    out.bytes = malloc(OUTPUT_BYTES);
    return out.bytes ? 0 : -1;
}

static int close_output(void **state)
{
    (void)state;
    free(out.bytes);
    return 0;
}

static const struct mcap_write_config small_chunks = {
    .profile = "", .library = "test", .features = MCAP_USE_ALL, .compress = true, .level = 3,
    .chunk_bytes = 4096, .chunk_ns = 1000000000,
};

static struct mcap_writer *writer_open(const struct mcap_write_config *config)
{
    struct mcap_writer *w;

    out.used = 0;
    out.fail_at = 0;
    assert_int_equal(mcap_writer_open(config, &sink, &w), 0);
    return w;
}

/* Schema 1, channels 1 and 2. */
static void define(struct mcap_writer *w)
{
    const struct mcap_schema schema = { 1, mcap_text("S"), mcap_text("x"), mcap_text("data") };

    assert_int_equal(mcap_write_schema(w, &schema), 0);
    for (uint16_t id = 1; id <= 2; id++) {
        const struct mcap_channel channel = { id, 1, mcap_text("/t"), mcap_text("m"), { NULL, 0 } };
        assert_int_equal(mcap_write_channel(w, &channel), 0);
    }
}

static int message(struct mcap_writer *w, uint16_t channel, uint32_t sequence, uint64_t time)
{
    uint8_t data[64];

    memset(data, (int)sequence, sizeof data);
    return mcap_write_message(w, &(struct mcap_message){ channel, sequence, time, time,
                                                         mcap_view(data, sizeof data) });
}

static uint32_t seed;
static uint32_t next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

/* 5,000 messages with times that jump back by up to 3 s, an attachment and metadata between. */
static void write_many(const struct mcap_write_config *config)
{
    struct mcap_writer *w = writer_open(config);
    const struct mcap_attachment attachment = { 5, 6, mcap_text("a"), mcap_text("t/p"),
                                                mcap_text("attached"), 0 };

    seed = 1;
    define(w);
    for (uint32_t i = 0; i < 5000; i++) {
        uint64_t time = UINT64_C(10000000000) + i * UINT64_C(10000000);
        time -= next_random() % 3 ? 0 : next_random() % 300 * UINT64_C(10000000);
        assert_int_equal(message(w, (uint16_t)(1 + i % 2), i, time), 0);
        if (i == 2500) {
            assert_int_equal(mcap_write_attachment(w, &attachment), 0);
            uint8_t bytes[32];
            struct mcap_map map = { .bytes = bytes, .size = sizeof bytes };
            mcap_map_add(&map, "k", mcap_text("v"));
            assert_int_equal(mcap_write_metadata(
                                 w, &(struct mcap_metadata){ mcap_text("m"), mcap_map_view(&map) }),
                             0);
        }
    }
    assert_int_equal(mcap_writer_finish(w), 0);
    assert_int_equal(mcap_writer_messages(w), 5000);
    mcap_writer_close(w);
}

static void test_streaming_reader_gives_what_was_written_in_order(void **state)
{
    struct mcap_bytes all;
    struct mcap_reader *reader;
    struct mcap_record record;
    struct err err;
    uint32_t next = 0, chunks = 0;
    int rc;

    (void)state;
    write_many(&small_chunks);
    all = mcap_view(out.bytes, out.used);
    const struct mcap_input input = mcap_input_bytes(&all);
    const struct mcap_read_config config = { .show_chunks = true };
    assert_int_equal(mcap_reader_open(&config, &input, &reader), 0);
    while ((rc = mcap_reader_next(reader, &record, &err)) == 1) {
        chunks += record.opcode == MCAP_CHUNK;
        if (record.opcode != MCAP_MESSAGE)
            continue;
        assert_true(record.in_chunk);
        assert_int_equal(record.message.sequence, next);
        assert_int_equal(record.message.channel_id, 1 + next % 2);
        assert_int_equal(record.message.data.size, 64);
        assert_int_equal(record.message.data.at[63], (uint8_t)next);
        next++;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(next, 5000);
    assert_true(mcap_reader_has_channel(reader, 2));
    assert_false(mcap_reader_has_channel(reader, 3));
    /* 95 bytes a message, 4096 a chunk: at most 44 each; a step back in time makes some spans long. */
    assert_in_range(chunks, 5000 / 44, 5000 / 30);
    mcap_reader_close(reader);
}

static void test_a_chunk_ends_after_its_span(void **state)
{
    struct mcap_writer *w;
    const struct mcap_chunk_index *chunks;
    struct mcap_index *index;
    struct err err;

    (void)state;
    struct mcap_write_config config = small_chunks;
    config.chunk_ns = 100;
    w = writer_open(&config);
    define(w);
    for (uint32_t i = 0; i < 10; i++) /* 50, 100, ...: two a chunk, and one that goes back */
        assert_int_equal(message(w, 1, i, i == 9 ? 1 : 50 * (i + 1)), 0);
    assert_int_equal(mcap_writer_finish(w), 0);
    mcap_writer_close(w);
    struct mcap_bytes all = mcap_view(out.bytes, out.used);
    const struct mcap_input input = mcap_input_bytes(&all);
    assert_int_equal(mcap_index_open("x", &input, &index, &err), 0);
    assert_int_equal(mcap_index_chunks(index, &chunks), 5);
    assert_int_equal(chunks[0].message_start_time, 50);
    assert_int_equal(chunks[0].message_end_time, 100);
    assert_int_equal(chunks[4].message_start_time, 1);
    assert_int_equal(chunks[4].message_end_time, 450);
    mcap_index_close(index);
}

static void test_indexed_reader_sorts_by_time_across_overlapping_chunks(void **state)
{
    const struct mcap_attachment_index *attachments;
    const struct mcap_metadata_index *metadata;
    struct mcap_attachment attachment;
    struct mcap_metadata meta;
    struct mcap_index *index;
    struct mcap_message m;
    struct err err;
    uint64_t last = 0, last_sequence = 0;
    uint32_t count = 0;
    int rc;

    (void)state;
    write_many(&small_chunks);
    struct mcap_bytes all = mcap_view(out.bytes, out.used);
    const struct mcap_input input = mcap_input_bytes(&all);
    assert_int_equal(mcap_index_open("x", &input, &index, &err), 0);
    assert_int_equal(mcap_index_next(index, &m, &err), 0); /* nothing before a seek */
    assert_int_equal(mcap_index_seek(index, 0, UINT64_MAX, &err), 0);
    while ((rc = mcap_index_next(index, &m, &err)) == 1) {
        assert_true(m.log_time >= last);
        assert_true(m.log_time > last || m.sequence > last_sequence);
        last = m.log_time;
        last_sequence = m.sequence;
        assert_int_equal(m.data.at[0], (uint8_t)m.sequence);
        count++;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(count, 5000);
    assert_int_equal(mcap_index_seek(index, UINT64_C(20000000000), UINT64_C(20500000000), &err), 0);
    for (count = 0; (rc = mcap_index_next(index, &m, &err)) == 1; count++)
        assert_in_range(m.log_time, UINT64_C(20000000000), UINT64_C(20500000000));
    assert_int_equal(rc, 0);
    assert_in_range(count, 30, 80);

    assert_int_equal(mcap_index_attachments(index, &attachments), 1);
    assert_int_equal(mcap_index_read_attachment(index, &attachments[0], &attachment, &err), 0);
    assert_true(mcap_is(attachment.data, "attached"));
    assert_int_equal(mcap_index_metadata(index, &metadata), 1);
    assert_int_equal(mcap_index_read_metadata(index, &metadata[0], &meta, &err), 0);
    assert_true(mcap_is(mcap_map_find(meta.metadata, "k"), "v"));
    assert_null(mcap_map_find(meta.metadata, "none").at);
    mcap_index_close(index);
}

static void test_too_many_overlapping_chunks_are_refused(void **state)
{
    struct mcap_index *index;
    struct mcap_message m;
    struct err err;

    (void)state;
    struct mcap_write_config config = small_chunks;
    config.chunk_bytes = 1;
    config.chunk_ns = 0;
    struct mcap_writer *w = writer_open(&config);
    define(w);
    for (uint32_t i = 0; i < MCAP_INDEX_OPEN_CHUNKS + 4; i++)
        assert_int_equal(message(w, 1, i, 7), 0);
    assert_int_equal(mcap_writer_finish(w), 0);
    mcap_writer_close(w);
    struct mcap_bytes all = mcap_view(out.bytes, out.used);
    const struct mcap_input input = mcap_input_bytes(&all);
    assert_int_equal(mcap_index_open("x", &input, &index, &err), 0);
    assert_int_equal(mcap_index_seek(index, 0, 100, &err), 0);
    assert_int_equal(mcap_index_next(index, &m, &err), -ENOBUFS);
    assert_non_null(strstr(err.text, "too many chunks overlap"));
    mcap_index_close(index);
}

static void test_same_calls_give_the_same_bytes(void **state)
{
    uint8_t *first;
    size_t used;

    (void)state;
    write_many(&small_chunks);
    used = out.used;
    first = malloc(used);
    assert_non_null(first);
    memcpy(first, out.bytes, used);
    write_many(&small_chunks);
    assert_int_equal(out.used, used);
    assert_memory_equal(first, out.bytes, used);
    free(first);
}

static void test_writer_refuses_what_would_make_a_bad_file(void **state)
{
    struct mcap_write_config config = small_chunks;
    struct mcap_writer *w;
    static const uint8_t big[MCAP_WRITE_RECORD_MAX];

    (void)state;
    config.features = MCAP_USE_CHUNK_INDEX;
    assert_int_equal(mcap_writer_open(&config, &sink, &w), -EINVAL);
    config = small_chunks;
    config.chunk_bytes = MCAP_WRITE_CHUNK_MAX + 1;
    assert_int_equal(mcap_writer_open(&config, &sink, &w), -ERANGE);
    config = small_chunks;
    config.level = 13;
    assert_int_equal(mcap_writer_open(&config, &sink, &w), -ERANGE);

    w = writer_open(&small_chunks);
    define(w);
    const struct mcap_schema zero = { .id = 0 }, again = { .id = 1 };
    const struct mcap_channel lost = { .id = 9, .schema_id = 7 }, twice = { .id = 1 };
    assert_int_equal(mcap_write_schema(w, &zero), -EINVAL);
    assert_int_equal(mcap_write_schema(w, &again), -EEXIST);
    assert_int_equal(mcap_write_channel(w, &lost), -EINVAL);
    assert_int_equal(mcap_write_channel(w, &twice), -EEXIST);
    assert_int_equal(message(w, 3, 0, 0), -EINVAL);
    const struct mcap_message long_one = { .channel_id = 1, .data = mcap_view(big, sizeof big) };
    assert_int_equal(mcap_write_message(w, &long_one), -EMSGSIZE);
    assert_int_equal(mcap_writer_finish(w), 0);
    assert_int_equal(mcap_writer_finish(w), -EINVAL);
    assert_int_equal(message(w, 1, 0, 0), -EINVAL);
    mcap_writer_close(w);
}

/* The n-th byte cannot be written, for n up to the whole file: the error stays. */
static void test_an_error_of_the_sink_is_kept(void **state)
{
    struct mcap_writer *w;
    size_t whole, failed = 0;

    (void)state;
    w = writer_open(&small_chunks);
    define(w);
    assert_int_equal(message(w, 1, 0, 0), 0);
    assert_int_equal(mcap_writer_finish(w), 0);
    mcap_writer_close(w);
    whole = out.used;
    for (size_t n = 40; n < whole; n += 7) {
        w = writer_open(&small_chunks);
        out.fail_at = n;
        define(w);
        assert_int_equal(message(w, 1, 0, 0), 0);
        assert_int_equal(mcap_writer_finish(w), -ENOSPC);
        assert_int_equal(message(w, 1, 0, 0), -ENOSPC);
        mcap_writer_close(w);
        failed++;
    }
    assert_true(failed > 50);
}

/* --- broken files --- */

static void clean_file(unsigned features, bool compress)
{
    struct mcap_write_config config = small_chunks;
    const struct mcap_attachment attachment = { 5, 6, mcap_text("a"), mcap_text("t/p"),
                                                mcap_text("attached"), 0 };

    config.features = features;
    config.compress = compress;
    struct mcap_writer *w = writer_open(&config);
    define(w);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(message(w, 1, i, i), 0);
    assert_int_equal(mcap_write_attachment(w, &attachment), 0);
    assert_int_equal(mcap_writer_finish(w), 0);
    mcap_writer_close(w);
}

static int read_all(struct err *err)
{
    struct mcap_bytes all = mcap_view(out.bytes, out.used);
    const struct mcap_input input = mcap_input_bytes(&all);
    const struct mcap_read_config config = { .name = "x.mcap" };
    struct mcap_reader *reader;
    struct mcap_record record;
    int rc;

    assert_int_equal(mcap_reader_open(&config, &input, &reader), 0);
    while ((rc = mcap_reader_next(reader, &record, err)) == 1)
        continue;
    if (rc < 0) /* and so for good */
        assert_int_equal(mcap_reader_next(reader, &record, err), rc);
    mcap_reader_close(reader);
    return rc;
}

/* Offset of the n-th outer record with that opcode. */
static size_t find_record(uint8_t opcode, unsigned n)
{
    for (size_t at = MCAP_MAGIC_BYTES; at + MCAP_RECORD_HEAD < out.used;
         at += MCAP_RECORD_HEAD + (size_t)load_le64(out.bytes + at + 1))
        if (out.bytes[at] == opcode && n-- == 0)
            return at;
    fail_msg("no %s", mcap_opcode_name(opcode));
    return 0;
}

/* The CRCs of data section and summary are made "not available", so that what they cover can be
 * changed and the check behind them is reached. */
static void drop_outer_crcs(void)
{
    store_le32(out.bytes + find_record(MCAP_DATA_END, 0) + MCAP_RECORD_HEAD, 0);
    store_le32(out.bytes + find_record(MCAP_FOOTER, 0) + MCAP_RECORD_HEAD + 16, 0);
}

static void replace(size_t at, size_t cut, const void *bytes, size_t size)
{
    memmove(out.bytes + at + size, out.bytes + at + cut, out.used - at - cut);
    memcpy(out.bytes + at, bytes, size);
    out.used = out.used - cut + size;
}

static void set_u64(size_t at, uint64_t value) { store_le64(out.bytes + at, value); }

static void break_magic(void) { out.bytes[3] ^= 1; }
static void break_version(void) { out.bytes[5] = '1'; }
static void break_end_magic(void) { out.bytes[out.used - 1] ^= 1; }
static void add_trailing(void) { out.bytes[out.used++] = 0; }
static void cut_footer(void) { out.used = find_record(MCAP_FOOTER, 0); }
static void cut_chunk(void) { out.used = find_record(MCAP_CHUNK, 0) + 100; }
static void empty(void) { out.used = 0; }
static void flip_data(void) { out.bytes[find_record(MCAP_MESSAGE_INDEX, 0) + 20] ^= 1; }
static void flip_summary(void) { out.bytes[find_record(MCAP_STATISTICS, 0) + 12] ^= 1; }
static void flip_footer(void) { out.bytes[find_record(MCAP_FOOTER, 0) + MCAP_RECORD_HEAD + 16] ^= 1; }
static void flip_attachment(void)
{
    drop_outer_crcs();
    out.bytes[find_record(MCAP_ATTACHMENT, 0) + 48] ^= 1;
}
static void flip_chunk(void)
{
    drop_outer_crcs();
    out.bytes[find_record(MCAP_CHUNK, 0) + 200] ^= 1;
}
static void flip_chunk_crc(void)
{
    drop_outer_crcs();
    out.bytes[find_record(MCAP_CHUNK, 0) + MCAP_RECORD_HEAD + 24] ^= 1;
}
static void header_last(void) { out.bytes[8] = MCAP_METADATA; }
static void opcode_zero(void) { out.bytes[find_record(MCAP_ATTACHMENT, 0)] = 0; }
static void message_in_summary(void) { out.bytes[find_record(MCAP_STATISTICS, 0)] = MCAP_MESSAGE; }
static void footer_in_data(void) { out.bytes[find_record(MCAP_ATTACHMENT, 0)] = MCAP_FOOTER; }
static void huge_record(void) { set_u64(find_record(MCAP_ATTACHMENT, 0) + 1, UINT64_C(1) << 40); }
static void record_beyond_end(void) { set_u64(find_record(MCAP_ATTACHMENT, 0) + 1, 100000); }
static void chunk_bomb(void)
{
    drop_outer_crcs();
    set_u64(find_record(MCAP_CHUNK, 0) + MCAP_RECORD_HEAD + 16, UINT64_C(1) << 32);
}
static void chunk_wrong_size(void)
{
    drop_outer_crcs();
    set_u64(find_record(MCAP_CHUNK, 0) + MCAP_RECORD_HEAD + 16, 1000);
}
/* 32 MiB of zeros in a kilobyte; the chunk says 4,000 bytes. */
static void zstd_bomb(void)
{
    static uint8_t packed[8192];
    size_t chunk = find_record(MCAP_CHUNK, 0), body = chunk + MCAP_RECORD_HEAD;
    uint8_t *zeros = calloc(1, 32u << 20);

    assert_non_null(zeros);
    drop_outer_crcs();
    size_t size = ZSTD_compress(packed, sizeof packed, zeros, 32u << 20, 3);
    free(zeros);
    assert_false(ZSTD_isError(size));
    size_t old = (size_t)load_le64(out.bytes + body + 36);
    replace(body + 44, old, packed, size);
    set_u64(body + 36, size);
    set_u64(chunk + 1, 44 + size);
    set_u64(body + 16, 4000);
}
static void lz4_chunk(void)
{
    size_t chunk = find_record(MCAP_CHUNK, 0);

    drop_outer_crcs();
    replace(chunk + MCAP_RECORD_HEAD + 28, 8, "\3\0\0\0lz4", 7);
    set_u64(chunk + 1, load_le64(out.bytes + chunk + 1) - 1);
}
static void chunk_string_runs_over(void)
{
    drop_outer_crcs();
    store_le32(out.bytes + find_record(MCAP_CHUNK, 0) + MCAP_RECORD_HEAD + 28, 0xffffffff);
}
static void torn_map(void)
{
    size_t at = find_record(MCAP_CHUNK_INDEX, 0);

    drop_outer_crcs();
    store_le32(out.bytes + at + MCAP_RECORD_HEAD + 32, 9); /* 10 bytes an entry */
}
static void wrong_summary_start(void)
{
    size_t at = find_record(MCAP_FOOTER, 0);

    drop_outer_crcs();
    set_u64(at + MCAP_RECORD_HEAD, load_le64(out.bytes + at + MCAP_RECORD_HEAD) + 1);
}
static void long_footer(void)
{
    size_t at = find_record(MCAP_FOOTER, 0);

    drop_outer_crcs();
    set_u64(at + 1, 21);
    replace(at + MCAP_RECORD_HEAD + 20, 0, "x", 1);
}
/* Inside a chunk that is stored as it is and has no CRC. */
static size_t open_chunk(void)
{
    size_t at = find_record(MCAP_CHUNK, 0) + MCAP_RECORD_HEAD;

    drop_outer_crcs();
    store_le32(out.bytes + at + 24, 0);
    return at + 40;
}
static void nested_chunk(void) { out.bytes[open_chunk()] = MCAP_CHUNK; }
static void chunk_record_runs_over(void) { set_u64(open_chunk() + 1, 1u << 20); }
static void schema_runs_over(void)
{
    size_t at = open_chunk();

    store_le32(out.bytes + at + MCAP_RECORD_HEAD + 2, 1000);
}
static void unknown_schema(void)
{
    size_t channel = open_chunk() + MCAP_RECORD_HEAD + 2 + 5 + 5 + 8;

    assert_int_equal(out.bytes[channel], MCAP_CHANNEL);
    out.bytes[channel + MCAP_RECORD_HEAD + 2] = 5;
}
static void unknown_channel(void)
{
    size_t at = open_chunk();

    while (out.bytes[at] != MCAP_MESSAGE)
        at += MCAP_RECORD_HEAD + (size_t)load_le64(out.bytes + at + 1);
    out.bytes[at + MCAP_RECORD_HEAD] = 77;
}
static void changed_channel(void)
{
    size_t at = find_record(MCAP_CHANNEL, 0); /* its copy in the summary */

    drop_outer_crcs();
    out.bytes[at + MCAP_RECORD_HEAD + 8] = 'u';
}

static void test_broken_files_are_refused_in_words(void **state)
{
    static const struct {
        void (*damage)(void);
        bool compress;
        int want;
        const char *text;
    } cases[] = {
        { empty, true, -EBADMSG, "cut off at byte 0, inside the magic at the start" },
        { break_magic, true, -EBADMSG, "the magic at the start is not there at byte 0" },
        { break_version, true, -EBADMSG, "the magic at the start is not there at byte 0" },
        { break_end_magic, true, -EBADMSG, "the magic at the end is not there" },
        { add_trailing, true, -EBADMSG, "bytes after the magic at the end" },
        { cut_footer, true, -EBADMSG, "inside a record, before a Footer was seen" },
        { cut_chunk, true, -EBADMSG, "Chunk at byte 29 says" },
        { flip_data, true, -EBADMSG, "CRC of the data section, said by DataEnd" },
        { flip_summary, true, -EBADMSG, "CRC of the summary, said by Footer" },
        { flip_footer, true, -EBADMSG, "CRC of the summary, said by Footer" },
        { flip_attachment, true, -EBADMSG, "CRC of Attachment at byte" },
        { flip_chunk, false, -EBADMSG, "CRC of Chunk at byte 29" },
        { flip_chunk, true, -EBADMSG, "Chunk at byte 29" },
        { flip_chunk_crc, true, -EBADMSG, "CRC of Chunk at byte 29: the file says" },
        { header_last, true, -EBADMSG, "the first record is Metadata (0x0c), not Header" },
        { opcode_zero, true, -EBADMSG, "unknown record (0x00) at byte" },
        { message_in_summary, true, -EBADMSG, "Message (0x05) at byte" },
        { footer_in_data, true, -EBADMSG, "does not belong in the data section" },
        { huge_record, true, -ERANGE, "more than the limit of 134217728" },
        { record_beyond_end, true, -EBADMSG, "says 100000 bytes, but the file ends" },
        { chunk_bomb, true, -ERANGE, "inflates to 4294967296 bytes: the limit is 67108864" },
        { chunk_wrong_size, true, -EBADMSG, "Chunk at byte 29: zstd: Destination buffer" },
        { chunk_wrong_size, false, -EBADMSG, "Chunk at byte 29 says 1000 bytes, it has" },
        { zstd_bomb, true, -EBADMSG, "zstd: Destination buffer is too small" },
        { lz4_chunk, true, -ENOTSUP, "compressed with 'lz4'; read here: zstd and none" },
        { chunk_string_runs_over, true, -EBADMSG, "Chunk at byte 29: a field runs beyond its" },
        { torn_map, true, -EBADMSG, "ChunkIndex at byte" },
        { wrong_summary_start, true, -EBADMSG, "Footer says that the summary starts at byte" },
        { long_footer, true, -EBADMSG, "Footer of 21 bytes: it has 20" },
        { nested_chunk, false, -EBADMSG, "Chunk (0x06) inside a chunk" },
        { chunk_record_runs_over, false, -EBADMSG, "a record at byte 0 of an inflated chunk runs" },
        { schema_runs_over, false, -EBADMSG, "Schema at byte 0 of an inflated chunk: a field" },
        { unknown_schema, false, -EBADMSG, "channel 1 names schema 5, which no record before" },
        { unknown_channel, false, -EBADMSG, "a message on channel 77, which no record before" },
        { changed_channel, true, -EBADMSG, "another Channel with id 1 at byte" },
    };
    struct err err;
    char text[ERR_FILE_MAX + ERR_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clean_file(MCAP_USE_ALL, cases[i].compress);
        assert_int_equal(read_all(&err), 0);
        cases[i].damage();
        int rc = read_all(&err);
        (void)err_format(&err, text, sizeof text);
        if (rc != cases[i].want || !strstr(text, cases[i].text) || strncmp(text, "x.mcap: ", 8))
            fail_msg("case %zu: %d '%s', want %d '%s'", i, rc, text, cases[i].want, cases[i].text);
    }
}

/* Every file cut short is an error, whatever the place; and nothing reads beyond. */
static void test_a_file_cut_at_any_byte_is_an_error(void **state)
{
    struct err err;

    (void)state;
    clean_file(MCAP_USE_ALL, true);
    size_t whole = out.used;
    for (size_t n = 0; n < whole; n++) {
        out.used = n;
        assert_int_equal(read_all(&err), -EBADMSG);
    }
    out.used = whole;
    assert_int_equal(read_all(&err), 0);
}

/* With CRCs of data and summary every single bit counts. */
static void test_any_flipped_bit_is_found(void **state)
{
    struct err err;

    (void)state;
    clean_file(MCAP_USE_ALL, true);
    for (size_t n = 0; n < out.used; n++) {
        out.bytes[n] ^= (uint8_t)(1 << n % 8);
        assert_true(read_all(&err) < 0);
        out.bytes[n] ^= (uint8_t)(1 << n % 8);
    }
    assert_int_equal(read_all(&err), 0);
}

/* Opcodes that this version does not know are passed over, wherever they stand. */
static void test_unknown_records_are_skipped(void **state)
{
    static const uint8_t private_record[] = { 0x80, 3, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c' };
    struct err err;

    (void)state;
    clean_file(MCAP_USE_ALL & ~(unsigned)(MCAP_USE_SUMMARY_OFFSETS), true);
    drop_outer_crcs();
    size_t footer = find_record(MCAP_FOOTER, 0) + MCAP_RECORD_HEAD;
    set_u64(footer, load_le64(out.bytes + footer) + sizeof private_record);
    replace(find_record(MCAP_ATTACHMENT, 0), 0, private_record, sizeof private_record);
    assert_int_equal(read_all(&err), 0);
    replace(find_record(MCAP_STATISTICS, 0), 0, private_record, sizeof private_record);
    assert_int_equal(read_all(&err), 0);
}

static int index_all(struct err *err)
{
    struct mcap_bytes all = mcap_view(out.bytes, out.used);
    const struct mcap_input input = mcap_input_bytes(&all);
    const struct mcap_attachment_index *attachments;
    struct mcap_attachment attachment;
    struct mcap_index *index;
    struct mcap_message m;
    int rc = mcap_index_open("x.mcap", &input, &index, err);

    if (rc)
        return rc;
    if (mcap_index_attachments(index, &attachments))
        rc = mcap_index_read_attachment(index, &attachments[0], &attachment, err);
    if (!rc)
        rc = mcap_index_seek(index, 0, UINT64_MAX, err);
    if (!rc)
        while ((rc = mcap_index_next(index, &m, err)) == 1)
            continue;
    mcap_index_close(index);
    return rc;
}

static void no_summary(void)
{
    clean_file(MCAP_USE_CHUNKS, true);
}
static void no_chunk_index(void)
{
    clean_file(MCAP_USE_ALL & ~(unsigned)MCAP_USE_CHUNK_INDEX, true);
}
static void summary_outside(void)
{
    size_t at = find_record(MCAP_FOOTER, 0) + MCAP_RECORD_HEAD;

    set_u64(at, out.used);
}
static size_t attachment_index(void) { return find_record(MCAP_ATTACHMENT_INDEX, 0) + 9; }
static void attachment_elsewhere(void)
{
    drop_outer_crcs();
    set_u64(attachment_index(), 40);
}
static void attachment_outside(void)
{
    drop_outer_crcs();
    set_u64(attachment_index(), UINT64_MAX - 3);
}
static void attachment_flipped(void) { out.bytes[find_record(MCAP_ATTACHMENT, 0) + 48] ^= 1; }
static void time_outside(void)
{
    drop_outer_crcs();
    set_u64(find_record(MCAP_CHUNK_INDEX, 0) + MCAP_RECORD_HEAD, 3); /* messages start at 0 */
}
static void other_size(void)
{
    size_t at = find_record(MCAP_CHUNK_INDEX, 0);

    drop_outer_crcs();
    set_u64(at + MCAP_RECORD_HEAD + (size_t)load_le64(out.bytes + at + 1) - 8, 17);
}
static void summary_record_runs_over(void)
{
    drop_outer_crcs();
    set_u64(find_record(MCAP_STATISTICS, 0) + 1, 1u << 20);
}

static void test_the_index_trusts_nothing(void **state)
{
    static const struct {
        void (*damage)(void);
        int want;
        const char *text;
    } cases[] = {
        { empty, -EBADMSG, "0 bytes are no MCAP file" },
        { break_magic, -EBADMSG, "the magic at the start is not there" },
        { break_end_magic, -EBADMSG, "no Footer at the end" },
        { cut_footer, -EBADMSG, "no Footer at the end" },
        { no_summary, -ENOENT, "the file has no summary" },
        { no_chunk_index, -ENOENT, "the file has no chunk indexes" },
        { flip_summary, -EBADMSG, "CRC of the summary: the file says" },
        { summary_outside, -EBADMSG, "outside the file" },
        { summary_record_runs_over, -EBADMSG, "of the summary runs beyond it" },
        { attachment_elsewhere, -EBADMSG, "the index points to Attachment at byte 40, which is" },
        { attachment_outside, -EBADMSG, "outside the file" },
        { attachment_flipped, -EBADMSG, "CRC of Attachment at byte" },
        { time_outside, -EBADMSG, "outside the times of its index" },
        { other_size, -EBADMSG, "its index says 17" },
        { flip_chunk, -EBADMSG, "Chunk at byte 29" },
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clean_file(MCAP_USE_ALL, true);
        assert_int_equal(index_all(&err), 0);
        cases[i].damage();
        int rc = index_all(&err);
        if (rc != cases[i].want || !strstr(err.text, cases[i].text))
            fail_msg("case %zu: %d '%s', want %d '%s'", i, rc, err.text, cases[i].want,
                     cases[i].text);
    }
}

static int64_t dribble(void *context, uint64_t offset, void *bytes, size_t size)
{
    (void)context;
    if (offset >= out.used)
        return 0;
    (void)size;
    *(uint8_t *)bytes = out.bytes[offset]; /* one byte at a time, as a slow pipe may */
    return 1;
}

static int64_t broken_disk(void *context, uint64_t offset, void *bytes, size_t size)
{
    return offset > 300 ? -EIO : dribble(context, offset, bytes, size);
}

static int read_pipe(int64_t (*read)(void *, uint64_t, void *, size_t), struct err *err)
{
    const struct mcap_input input = { read, NULL, UINT64_MAX };
    struct mcap_reader *reader;
    struct mcap_record record;
    int rc;

    assert_int_equal(mcap_reader_open(&(struct mcap_read_config){ 0 }, &input, &reader), 0);
    while ((rc = mcap_reader_next(reader, &record, err)) == 1)
        continue;
    mcap_reader_close(reader);
    return rc;
}

static void test_a_pipe_of_unknown_length_reads_as_a_file(void **state)
{
    struct err err;

    (void)state;
    clean_file(MCAP_USE_ALL, true);
    assert_int_equal(read_pipe(dribble, &err), 0);
    assert_int_equal(read_pipe(broken_disk, &err), -EIO);
    record_beyond_end();
    assert_int_equal(read_pipe(dribble, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "cut off at byte"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streaming_reader_gives_what_was_written_in_order),
        cmocka_unit_test(test_a_chunk_ends_after_its_span),
        cmocka_unit_test(test_indexed_reader_sorts_by_time_across_overlapping_chunks),
        cmocka_unit_test(test_too_many_overlapping_chunks_are_refused),
        cmocka_unit_test(test_same_calls_give_the_same_bytes),
        cmocka_unit_test(test_writer_refuses_what_would_make_a_bad_file),
        cmocka_unit_test(test_an_error_of_the_sink_is_kept),
        cmocka_unit_test(test_broken_files_are_refused_in_words),
        cmocka_unit_test(test_a_file_cut_at_any_byte_is_an_error),
        cmocka_unit_test(test_any_flipped_bit_is_found),
        cmocka_unit_test(test_unknown_records_are_skipped),
        cmocka_unit_test(test_the_index_trusts_nothing),
        cmocka_unit_test(test_a_pipe_of_unknown_length_reads_as_a_file),
    };
    return cmocka_run_group_tests(tests, open_output, close_output);
}
