/* A recording as a source. It gives every item of the recording, in its order, and then one END; it
 * has nothing to wait for but, at its own speed, the time at which the next frame is due. */
#include "daemon/source.h"

#include <errno.h>
#include <stdlib.h>

struct player {
    struct playback *playback;
    bool real_time;
    bool started;      /* first_* are known */
    bool pending;      /* `next` was read and is not yet due */
    bool ended;
    int64_t first_stamp_ns, first_mono_ns;
    struct recording_item next;
    uint32_t source_count;
    struct source_stats stats[SOURCES_MAX];
};

static int player_fd(void *context)
{
    (void)context;
    return -1;
}

static int64_t due_of(struct player *player, int64_t mono_ns)
{
    if (!player->real_time || player->next.kind != RECORDING_FRAME)
        return 0;
    if (!player->started) {
        player->first_stamp_ns = player->next.row.frame.stamp_ns;
        player->first_mono_ns = mono_ns;
        player->started = true;
    }
    return player->first_mono_ns + (player->next.row.frame.stamp_ns - player->first_stamp_ns);
}

static int read_next(struct player *player, struct err *err)
{
    if (player->pending)
        return 1;
    int got = playback_next(player->playback, &player->next, err);
    player->pending = got > 0;
    return got;
}

static void give(struct player *player, struct source_item *item)
{
    *item = (struct source_item){ .kind = SOURCE_RECORDED, .recorded = player->next };
    player->pending = false;
    if (player->next.kind != RECORDING_FRAME)
        return;
    item->source = player->next.row.frame.source;
    struct source_stats *stats = &player->stats[item->source];
    stats->frames++;
    stats->bytes += frame_row_bytes(&player->next.row.frame);
    stats->error_frames += (player->next.row.frame.flags & FRAME_ERR) != 0;
    stats->tx_frames += (player->next.row.frame.flags & FRAME_TX) != 0;
}

static int player_read(void *context, int64_t wall_ns, int64_t mono_ns, struct source_item *items,
                       uint32_t room, bool *ret_more, struct err *err)
{
    struct player *player = context;
    uint32_t n = 0;

    (void)wall_ns;
    *ret_more = false;
    while (n < room && !player->ended) {
        int got = read_next(player, err);
        if (got < 0)
            return got;
        if (got == 0) {
            player->ended = true;
            items[n++] = (struct source_item){ .kind = SOURCE_END };
        } else if (due_of(player, mono_ns) > mono_ns) {
            return (int)n;
        } else {
            give(player, &items[n++]);
        }
    }
    *ret_more = !player->ended;
    return (int)n;
}

static void player_tick(void *context)
{
    (void)context;
}

static int64_t player_due_ns(void *context)
{
    struct player *player = context;

    if (player->ended)
        return INT64_MAX;
    return player->pending ? due_of(player, 0) : 0;
}

static uint32_t player_stats(void *context, struct source_stats *ret_stats)
{
    const struct player *player = context;

    for (uint32_t i = 0; i < player->source_count; i++)
        ret_stats[i] = player->stats[i];
    return player->source_count;
}

static void player_close(void *context)
{
    free(context);
}

static const struct source_ops player_ops = {
    .name = "recording", .fd = player_fd, .read = player_read, .tick = player_tick,
    .due_ns = player_due_ns, .stats = player_stats, .close = player_close,
};

int source_open_recording(struct playback *playback, bool real_time,
                          struct source_handle *ret_source)
{
    struct player *player = calloc(1, sizeof *player);

    if (!player)
        return -ENOMEM;
    player->playback = playback;
    player->real_time = real_time;
    player->source_count = playback_sources(playback)->count; /* each state is SOURCE_UP, 0 */
    ret_source->ops = &player_ops;
    ret_source->context = player;
    return 0;
}
