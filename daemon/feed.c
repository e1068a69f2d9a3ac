#include "daemon/feed.h"

#include "triggers/engine.h"

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

static const uint8_t *state_of(const struct feed *feed, size_t *ret_size)
{
    const struct clip_header *header = feed->clip->header;
    const struct clip_manifest *manifest = feed->clip->manifest;

    *ret_size = feed->early ? manifest->early_state_bytes : header->state_bytes;
    return feed->early ? manifest->early_state : header->state;
}

static int restore(struct feed *feed, struct pipeline *pipeline)
{
    size_t size;
    const uint8_t *state = state_of(feed, &size);
    int rc = 0;

    feed->restored = true;
    /* The offset before the reload: a discontinuity behind it befell the rules that it brought. */
    if (feed->reloaded && feed->obey)
        rc = pipeline_clock(pipeline, feed->offset_ns, feed->restore_ns);
    return rc ? rc : pipeline_restore(pipeline, feed->restore_ns, state, size);
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
                          const struct recording_item *item, uint64_t up_to_step)
{
    int rc = 0;

    while (!rc && item->placed && feed->obey && feed->seed_at < feed->seed_count &&
           feed->seed[feed->seed_at].step < item->row.step &&
           feed->seed[feed->seed_at].step <= up_to_step) {
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
    if (feed->generation == feed->clip->header->generation || !item->placed)
        return;
    feed->reloaded = true;
    feed->offset_ns = item->row.offset_ns;
    if (item->row.mono_ns > feed->restore_ns)
        feed->restore_ns = item->row.mono_ns;
}

/* Before the first row that the rules see: of the stragglers, those up to the reload are seeds. */
static int begin(struct feed *feed, struct pipeline *pipeline, const struct recording_item *item)
{
    size_t size;
    const uint8_t *state = state_of(feed, &size);
    int rc = put_stragglers(feed, pipeline, item, engine_state_step(state, size));

    return rc ? rc : restore(feed, pipeline);
}

/* Rows of another generation come before the reload that the clip's rules began with. */
static int feed_clip_frame(struct feed *feed, struct pipeline *pipeline,
                           const struct recording_item *item)
{
    int rc = feed->seeds_put ? 0 : put_seeds(feed, pipeline, item);
    bool before = !feed->restored && is_before(feed, item);

    if (!rc && !feed->restored && !before && !is_beyond(feed, item))
        rc = begin(feed, pipeline, item);
    if (!rc)
        rc = put_stragglers(feed, pipeline, item, UINT64_MAX);
    if (rc)
        return rc;
    if (before) {
        seed_with(feed, pipeline, item);
        return 0;
    }
    feed->over = feed->over || is_beyond(feed, item);
    if (feed->over) {
        feed->left_out++;
        return 0;
    }
    return feed_frame(feed, pipeline, item);
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
