/* The block codecs over the drive in groups of 10 s, beside what else one would send: candump text
 * and rows of 24 bytes, each under zstd -3. */
#include "proto/group.h"
#include "proto/recording.h"
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define GROUP_NS (10 * NS_PER_S)
#define GROUPS_MAX 512
#define ROW24 24

struct codec_run {
    struct rowbuf *groups[GROUPS_MAX];
    size_t group_count;
    uint64_t frames;
    struct source_table sources;
    struct group_coder *coder;
    uint8_t codec;
    uint8_t *packed[GROUPS_MAX];
    size_t packed_bytes[GROUPS_MAX];
    uint64_t bytes;         /* of the last run */
    uint8_t *plain, *scratch; /* rows of one group, and zstd's output */
    size_t plain_size, scratch_size;
};

static void put_row(struct codec_run *run, const struct row *row)
{
    struct rowbuf_info info = { .rows = 0 };
    bool full = run->group_count == 0;

    if (!full) {
        rowbuf_info(run->groups[run->group_count - 1], &info);
        full = info.rows && row->mono_ns - info.mono_first_ns >= GROUP_NS;
    }
    if (full || rowbuf_put(run->groups[run->group_count - 1], row) != 0) {
        if (run->group_count == GROUPS_MAX)
            abort();
        struct rowbuf *next = rowbuf_open(ROWBUF_BYTES_MAX);
        if (!next || rowbuf_put(next, row) != 0)
            abort();
        run->groups[run->group_count++] = next;
    }
}

static void load(const struct bench_log *log, struct codec_run *run)
{
    struct recording_config config = { .path = log->path };
    struct recording_scan scan;
    struct recording_item item;
    struct recording *recording;
    struct err err = { .text = "" };
    int64_t mono_ns = INT64_MIN;

    if (recording_open(&config, &recording, &err) != 0 ||
        recording_scan(recording, &scan, &err) != 0) {
        fprintf(stderr, "bench: %s\n", err.text);
        exit(2);
    }
    run->sources = scan.sources;
    while (recording_next(recording, &item, &err) == 1) {
        if (item.kind != RECORDING_FRAME)
            continue;
        struct row row = { .step = run->frames++, .frame = item.row.frame };
        mono_ns = row.frame.stamp_ns > mono_ns ? row.frame.stamp_ns : mono_ns;
        row.mono_ns = mono_ns;
        put_row(run, &row);
    }
    recording_close(recording);
}

static uint64_t run_encode(void *context)
{
    struct codec_run *run = context;

    run->bytes = 0;
    for (size_t i = 0; i < run->group_count; i++) {
        struct group_config config = { .codec = run->codec, .sources = &run->sources };
        int64_t bytes = group_encode(run->coder, &config, run->groups[i], NULL, 0);
        if (bytes < 0)
            abort();
        run->bytes += (uint64_t)bytes;
    }
    return run->frames;
}

static uint64_t run_rows24(void *context)
{
    struct codec_run *run = context;

    run->bytes = 0;
    for (size_t i = 0; i < run->group_count; i++) {
        struct rowbuf_cursor cursor = rowbuf_begin(run->groups[i]);
        uint8_t *at = run->plain;
        struct row row;

        while (rowbuf_next(run->groups[i], &cursor, &row)) {
            store_le64(at, (uint64_t)(row.frame.stamp_ns / NS_PER_US));
            store_le32(at + 8, row.frame.id | (uint32_t)(row.frame.flags & FRAME_EFF) << 31);
            at[12] = row.frame.len;
            at[13] = row.frame.source;
            at[14] = at[15] = 0;
            memcpy(at + 16, row.frame.data, 8);
            at += ROW24;
        }
        run->bytes += ZSTD_compress(run->scratch, run->scratch_size, run->plain,
                                    (size_t)(at - run->plain), 3);
    }
    return run->frames;
}

static uint64_t run_text(void *context)
{
    struct codec_run *run = context;

    run->bytes = 0;
    for (size_t i = 0; i < run->group_count; i++) {
        struct rowbuf_cursor cursor = rowbuf_begin(run->groups[i]);
        char *at = (char *)run->plain;
        struct row row;

        while (rowbuf_next(run->groups[i], &cursor, &row)) {
            const struct frame *f = &row.frame;
            int64_t us = f->stamp_ns / NS_PER_US;
            at += snprintf(at, 64, "(%lld.%06lld) %s %03X#", (long long)(us / 1000000),
                           (long long)(us % 1000000), run->sources.items[f->source].name, f->id);
            for (int b = 0; b < f->len; b++, at += 2) {
                at[0] = "0123456789ABCDEF"[f->data[b] >> 4];
                at[1] = "0123456789ABCDEF"[f->data[b] & 15];
            }
            *at++ = '\n';
        }
        run->bytes += ZSTD_compress(run->scratch, run->scratch_size, run->plain,
                                    (size_t)(at - (char *)run->plain), 3);
    }
    return run->frames;
}

static uint64_t run_decode(void *context)
{
    struct codec_run *run = context;
    static struct rowbuf *rows;
    struct group_head head;
    struct err err;

    if (!rows)
        rows = rowbuf_open(ROWBUF_BYTES_MAX);
    for (size_t i = 0; i < run->group_count; i++)
        if (group_decode(run->coder, run->packed[i], run->packed_bytes[i], &head, rows, &err) != 0)
            abort();
    return run->frames;
}


static void pack(struct codec_run *run)
{
    for (size_t i = 0; i < run->group_count; i++) {
        struct group_config config = { .codec = run->codec, .sources = &run->sources };
        int64_t bytes = group_encode(run->coder, &config, run->groups[i], NULL, 0);
        run->packed[i] = malloc((size_t)bytes);
        if (!run->packed[i])
            abort();
        memcpy(run->packed[i], group_bytes(run->coder), (size_t)bytes);
        run->packed_bytes[i] = (size_t)bytes;
    }
}

static void print_size(const struct codec_run *run, const char *name, double *ret_bytes)
{
    *ret_bytes = (double)run->bytes / (double)run->frames;
    printf("  %-24s %9llu bytes  %6.3f B/frame\n", name, (unsigned long long)run->bytes, *ret_bytes);
}

void bench_codec(const struct bench_log *log)
{
    static struct codec_run run;
    double text, rows24, rows, columnar;
    struct bench_pair pair = { .name = "codec: columnar, encode", .unit = "frames",
                               .ours = "columnar", .control = "24 B rows + zstd -3",
                               .run_ours = run_encode, .run_control = run_rows24, .context = &run,
                               .rounds = 5 };

    load(log, &run);
    run.coder = group_coder_open();
    run.plain_size = (size_t)BLOCK_ROWS_MAX * 64;
    run.scratch_size = ZSTD_compressBound(run.plain_size);
    run.plain = malloc(run.plain_size);
    run.scratch = malloc(run.scratch_size);
    if (!run.coder || !run.plain || !run.scratch)
        abort();
    run.codec = CODEC_COLUMNAR;
    (void)bench_run(&pair);
    pair.control = "candump text + zstd -3";
    pair.run_control = run_text;
    (void)bench_run(&pair);
    pack(&run);
    pair.name = "codec: columnar, decode";
    pair.run_ours = run_decode;
    pair.control = "its encode";
    pair.run_control = run_encode;
    (void)bench_run(&pair);
    printf("sizes of the whole drive in groups of 10 s:\n");
    (void)run_text(&run);
    print_size(&run, "candump text + zstd -3", &text);
    (void)run_rows24(&run);
    print_size(&run, "24 B rows + zstd -3", &rows24);
    run.codec = CODEC_ROWS;
    (void)run_encode(&run);
    print_size(&run, "rows, plain", &rows);
    run.codec = CODEC_COLUMNAR;
    (void)run_encode(&run);
    print_size(&run, "columnar", &columnar);
    printf("  columnar is %.2f times smaller than text, %.2f than rows under zstd -3\n",
           text / columnar, rows24 / columnar);
    for (size_t i = 0; i < run.group_count; i++) {
        rowbuf_close(run.groups[i]);
        free(run.packed[i]);
    }
    group_coder_close(run.coder);
    free(run.plain);
    free(run.scratch);
}
