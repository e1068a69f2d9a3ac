#include "daemon/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void feed_init(struct feed *feed, const struct recording_clip *clip, bool obey)
{
    memset(feed, 0, sizeof *feed);
    feed->obey = obey;
    if (!clip || !clip->header || !clip->header->rule || !clip->header->rule[0])
        return;
    feed->clip = clip;
    feed->generation = clip->header->generation;
    feed->early = clip->manifest && clip->manifest->early_seed_bytes > 0;
    feed->restore_ns = feed->early ? clip->manifest->start_ns : clip->header->start_ns;
}

void feed_deinit(struct feed *feed)
{
    free(feed->seed_owned);
    memset(feed, 0, sizeof *feed);
}

static int restore(struct feed *feed, struct pipeline *pipeline)
{
    const struct clip_header *header = feed->clip->header;

    const struct clip_manifest *manifest = feed->clip->manifest;

    feed->restored = true;
    if (feed->early)
        return pipeline_restore(pipeline, feed->restore_ns, manifest->early_state,
                                manifest->early_state_bytes);
    return pipeline_restore(pipeline, feed->restore_ns, header->state, header->state_bytes);
}

static bool is_before(const struct feed *feed, const struct recording_item *item)
{
    const struct clip_header *header = feed->clip->header;

    return feed->generation != header->generation ||
           (!feed->early && item->placed && item->row.step < header->first_step);
}

static bool is_beyond(const struct feed *feed, const struct recording_item *item)
{
    const struct clip_manifest *manifest = feed->clip->manifest;

    return feed->generation != feed->clip->header->generation ||
           (item->placed && manifest && item->row.mono_ns > manifest->end_ns);
}

static int find_seeds(struct feed *feed)
{
    const struct clip_manifest *manifest = feed->clip->manifest;
    struct err err;

    feed->seed = feed->clip->seed;
    feed->seed_count = feed->clip->seed_count;
    if (!feed->early)
        return 0;
    int rc = clip_seed_decode(manifest->early_seed, manifest->early_seed_bytes, &feed->seed_owned,
                              &feed->seed_count, &err);
    feed->seed = feed->seed_owned;
    return rc;
}

/* What lies before the first row is known to the rules; the rest waits for its step. */
static int put_seeds(struct feed *feed, struct pipeline *pipeline,
                     const struct recording_item *first)
{
    uint64_t first_step = !first->placed ? UINT64_MAX
                          : feed->early  ? first->row.step
                                         : feed->clip->header->first_step;

    feed->seeds_put = true;
    int rc = find_seeds(feed);
    while (!rc && feed->seed_at < feed->seed_count &&
           feed->seed[feed->seed_at].step < first_step) {
        const struct row *row = &feed->seed[feed->seed_at++];
        /* Another offset: a discontinuity lies between, after which every signal was missing. */
        if (!first->placed || row->offset_ns == first->row.offset_ns)
            pipeline_seed(pipeline, row);
    }
    feed->seeded += feed->seed_at;
    return rc;
}

static int feed_frame(struct feed *feed, struct pipeline *pipeline,
                      const struct recording_item *item)
{
    if (item->placed && feed->obey)
        return pipeline_row(pipeline, &item->row);
    return pipeline_frame(pipeline, &item->row.frame);
}

/* Rows that were stamped before the start and came after the first row: the rules saw them there. */
static int put_stragglers(struct feed *feed, struct pipeline *pipeline,
                          const struct recording_item *item)
{
    int rc = 0;

    while (!rc && item->placed && feed->obey && feed->seed_at < feed->seed_count &&
           feed->seed[feed->seed_at].step < item->row.step) {
        const struct row *row = &feed->seed[feed->seed_at++];
        if (feed->restored)
            rc = pipeline_row(pipeline, row);
        else
            pipeline_seed(pipeline, row);
    }
    return rc;
}

static void seed_with(struct feed *feed, struct pipeline *pipeline,
                      const struct recording_item *item)
{
    pipeline_seed(pipeline, &item->row);
    feed->seeded++;
    if (feed->generation != feed->clip->header->generation && item->placed &&
        item->row.mono_ns > feed->restore_ns)
        feed->restore_ns = item->row.mono_ns;
}

/* Rows of another generation come before the reload that the clip's rules began with. */
static int feed_clip_frame(struct feed *feed, struct pipeline *pipeline,
                           const struct recording_item *item)
{
    int rc = feed->seeds_put ? 0 : put_seeds(feed, pipeline, item);

    if (!rc)
        rc = put_stragglers(feed, pipeline, item);
    if (rc)
        return rc;
    if (!feed->restored && is_before(feed, item)) {
        seed_with(feed, pipeline, item);
        return 0;
    }
    feed->over = feed->over || is_beyond(feed, item);
    if (feed->over) {
        feed->left_out++;
        return 0;
    }
    if (!feed->restored)
        rc = restore(feed, pipeline);
    return rc ? rc : feed_frame(feed, pipeline, item);
}

int feed_item(struct feed *feed, struct pipeline *pipeline, const struct recording_item *item)
{
    switch (item->kind) {
    case RECORDING_FRAME:
        return feed->clip ? feed_clip_frame(feed, pipeline, item)
                          : feed_frame(feed, pipeline, item);
    case RECORDING_GENERATION:
        feed->generation = item->generation;
        return 0;
    case RECORDING_CLOCK:
        return feed->obey ? pipeline_clock(pipeline, item->offset_ns, item->mono_ns) : 0;
    }
    return -EINVAL;
}

int feed_finish(struct feed *feed, struct pipeline *pipeline)
{
    const struct clip_manifest *manifest = feed->clip ? feed->clip->manifest : NULL;

    /* The drive went on beyond the clip: timers up to its end ran there, so they run here. */
    if (manifest && feed->restored && feed->generation == feed->clip->header->generation &&
        manifest->end != CLIP_END_INPUT) {
        int rc = pipeline_advance(pipeline, manifest->end_ns);
        if (rc)
            return rc;
    }
    return pipeline_finish(pipeline);
}
