/* Decode: every signal of every known frame of the drive, raw to physical; the control takes the
 * same signals bit by bit, as the DBC describes them. Both give the same sum. */
#include "proto/dbset.h"
#include "proto/recording.h"
#include "tests/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSES 10

struct drive {
    struct frame *frames;
    const struct dbc_message **messages; /* NULL: unknown frame */
    size_t count;
    double sum[2];
};

static void load(const struct bench_log *log, struct dbset *set, struct drive *drive)
{
    struct recording_config config = { .path = log->path };
    struct dbset_route routes[SOURCES_MAX];
    struct recording_scan scan;
    struct recording_item item;
    struct recording *recording;
    struct err err = { .text = "" };

    for (int i = 0; log->dbc[i]; i++)
        if (dbset_add_file(set, log->dbc[i], false, NULL, &err) != 0) {
            fprintf(stderr, "bench: %s\n", err.text);
            exit(2);
        }
    if (recording_open(&config, &recording, &err) != 0 ||
        recording_scan(recording, &scan, &err) != 0) {
        fprintf(stderr, "bench: %s\n", err.text);
        exit(2);
    }
    for (uint32_t i = 0; i < scan.sources.count; i++)
        dbset_route_init(&routes[i], set, scan.sources.items[i].name);
    drive->frames = calloc(scan.frames, sizeof *drive->frames);
    drive->messages = calloc(scan.frames, sizeof *drive->messages);
    if (!drive->frames || !drive->messages)
        abort();
    while (recording_next(recording, &item, &err) == 1) {
        struct dbset_match match;

        if (item.kind != RECORDING_FRAME)
            continue;
        const struct frame *frame = &item.row.frame;
        drive->frames[drive->count] = *frame;
        if (dbset_find(&routes[frame->source], frame->id, frame->flags, &match))
            drive->messages[drive->count] = match.message;
        drive->count++;
    }
    recording_close(recording);
}

static uint64_t run_plan(void *context)
{
    struct drive *drive = context;
    uint64_t signals = 0;
    double sum = 0;

    for (int pass = 0; pass < PASSES; pass++) {
        sum = 0;
        for (size_t i = 0; i < drive->count; i++) {
            const struct dbc_message *message = drive->messages[i];
            const struct frame *frame = &drive->frames[i];
            for (uint32_t s = 0; message && s < message->signal_count; s++) {
                const struct decode_plan *plan = &message->signals[s].plan;
                if (plan->kind == DECODE_BYTES || plan->end_byte > frame->len)
                    continue;
                sum += decode_physical(plan, decode_raw(plan, frame->data));
                signals++;
            }
        }
    }
    drive->sum[0] = sum;
    return signals;
}

/* One bit after the other in the DBC's own numbering. */
static double naive(const struct decode_layout *layout, const uint8_t *data)
{
    uint64_t raw = 0;

    if (layout->big_endian) {
        uint32_t at = layout->start;
        for (uint32_t i = 0; i < layout->bits; i++) {
            raw = raw << 1 | (data[at / 8] >> (at % 8) & 1);
            at = at % 8 ? at - 1 : at + 15;
        }
    } else {
        for (uint32_t i = layout->bits; i-- > 0;)
            raw = raw << 1 | (data[(layout->start + i) / 8] >> ((layout->start + i) % 8) & 1);
    }
    if (layout->kind == DECODE_SIGNED && layout->bits < 64 && raw >> (layout->bits - 1))
        raw |= ~UINT64_C(0) << layout->bits;
    double value = layout->kind == DECODE_SIGNED ? (double)(int64_t)raw : (double)raw;
    return value * layout->factor + layout->offset;
}

static uint64_t run_naive(void *context)
{
    struct drive *drive = context;
    uint64_t signals = 0;
    double sum = 0;

    for (size_t i = 0; i < drive->count; i++) {
        const struct dbc_message *message = drive->messages[i];
        const struct frame *frame = &drive->frames[i];
        for (uint32_t s = 0; message && s < message->signal_count; s++) {
            const struct dbc_signal *signal = &message->signals[s];
            if (signal->plan.kind == DECODE_BYTES || signal->plan.end_byte > frame->len)
                continue;
            sum += naive(&signal->layout, frame->data);
            signals++;
        }
    }
    drive->sum[1] = sum;
    return signals;
}

void bench_decode(const struct bench_log *log)
{
    struct dbset *set = dbset_open();
    struct drive drive = { 0 };
    struct bench_pair pair = { .name = "decode: all signals of the drive", .unit = "signals",
                               .ours = "plan", .control = "bit by bit", .run_ours = run_plan,
                               .run_control = run_naive, .context = &drive, .rounds = 5 };

    load(log, set, &drive);
    (void)bench_run(&pair);
    if (fabs(drive.sum[0] - drive.sum[1]) > 1e-6 * fabs(drive.sum[0])) {
        fprintf(stderr, "bench: the two decoders differ: %.9g, %.9g\n", drive.sum[0], drive.sum[1]);
        exit(1);
    }
    free(drive.frames);
    free(drive.messages);
    dbset_close(set);
}
