/* feed - items of a recording into the pipeline, the same in `replay` and in the daemon.
 * A plain recording goes in row by row. A clip begins with its seeds and the life-cycles at its
 * start, so that it fires what its manifest lists and nothing else:
 *   seeds, and rows before the place where its rules began -> pipeline_seed
 *   stragglers: seeds that came after the first row        -> pipeline_row, at their own steps
 *   a reload: the state of the handover says what the rules knew, whatever was seeded
 *   first row of the clip's generation                     -> pipeline_restore, then rows
 *   rows beyond its end, or of a later generation          -> left out, counted
 * Value; no thread of its own; the clip is borrowed. feed_deinit frees what a clip whose window moved
 * back needs. */
#ifndef DAEMON_FEED_H
#define DAEMON_FEED_H
#include "daemon/pipeline.h"
#include "proto/recording.h"

struct feed {
    const struct recording_clip *clip; /* NULL: a plain recording */
    bool obey;       /* places that were recorded hold */
    bool restored;   /* the rules run */
    bool over;       /* the rest is left out */
    bool seeds_put;
    const struct row *seed; /* in order of step */
    uint32_t seed_count, seed_at;
    struct row *seed_owned;
    bool early;      /* the window began before the header's start: the manifest says how */
    uint32_t generation; /* of the next row */
    int64_t restore_ns;
    int64_t offset_ns; /* of the last row before the reload; where `reloaded` */
    bool reloaded;
    uint64_t seeded, left_out;
};

/* `clip` may be NULL, or what recording_clip gave: one without a rule (a converted log) is a plain
 * recording. `obey` is false when several recordings are merged. */
void feed_init(struct feed *feed, const struct recording_clip *clip, bool obey);

void feed_deinit(struct feed *feed);

/* What pipeline_frame, _row and _clock return; take the pipeline's output before the next item. */
int feed_item(struct feed *feed, struct pipeline *pipeline, const struct recording_item *item);
/* The end: what pipeline_finish returns. */
int feed_finish(struct feed *feed, struct pipeline *pipeline);

#endif
