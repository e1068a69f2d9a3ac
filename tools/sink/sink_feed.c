/* The clip topic: partitions, where they begin, what is committed, what is refused.
 *
 *   (parts known) --start()--> started --KAFKA_REVOKED--> no parts
 *   started --effect failed: stall()--> stalled --SINK_STALL_NS: assign anew at `next`--> started */
#include "tools/sink/sink_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct sink_part *find_part(struct sink *sink, int32_t partition)
{
    for (uint32_t i = 0; i < sink->part_count; i++)
        if (sink->parts[i].partition == partition)
            return &sink->parts[i];
    return NULL;
}

static void fill_place(const struct sink *sink, int32_t partition, int64_t offset,
                       struct kafka_place *place)
{
    (void)snprintf(place->topic, sizeof place->topic, "%s", sink->clip_topic);
    place->partition = partition;
    place->offset = offset;
}

static int assign(struct sink *sink)
{
    struct kafka_place places[SINK_PARTITIONS_MAX];

    for (uint32_t i = 0; i < sink->part_count; i++)
        fill_place(sink, sink->parts[i].partition, sink->parts[i].next, &places[i]);
    return kafka_consumer_assign(sink->clips, places, sink->part_count);
}

/* ---- Where a partition begins ---- */

static int begin_part(struct sink *sink, struct sink_part *part, int64_t committed)
{
    int64_t first, end;
    int rc = kafka_consumer_bounds(sink->clips, sink->clip_topic, part->partition,
                                   SINK_METADATA_MS, &first, &end);

    if (rc)
        return rc;
    part->committed = committed == KAFKA_OFFSET_NONE ? -1 : committed;
    part->next = committed;
    if (committed == KAFKA_OFFSET_NONE)
        sink->stats.offsets_none++;
    else if (committed > end)
        sink->stats.offsets_beyond++;
    else if (committed < first)
        sink->stats.offsets_lost++;
    if (committed == KAFKA_OFFSET_NONE || committed > end || committed < first)
        part->next = first;
    rc = cache_purge(sink->cache, part->partition, part->committed);
    sink->stats.purged += rc > 0 ? (uint64_t)rc : 0;
    return rc < 0 ? rc : 0;
}

static int start(struct sink *sink)
{
    struct kafka_place places[SINK_PARTITIONS_MAX];

    for (uint32_t i = 0; i < sink->part_count; i++)
        fill_place(sink, sink->parts[i].partition, KAFKA_OFFSET_NONE, &places[i]);
    int rc = kafka_consumer_committed(sink->clips, places, sink->part_count, SINK_METADATA_MS);
    for (uint32_t i = 0; !rc && i < sink->part_count; i++)
        rc = begin_part(sink, &sink->parts[i], places[i].offset);
    if (!rc)
        rc = assign(sink);
    sink->started = !rc;
    sink->stalled_until_ns = 0;
    sink->start_ns = sink->now_ns + SINK_TURN_NS;
    return rc;
}

/* A start that fails for the topic's sake; of the connection the handles tell by themselves. */
static void say_why(struct sink *sink)
{
    int count = kafka_producer_partitions(outgoing_producer(sink->outgoing), sink->clip_topic,
                                          SINK_METADATA_MS);
    struct err err;

    sink->start_ns = sink->now_ns + SINK_TURN_NS;
    if (count != -ENOENT && count != -EACCES)
        return;
    (void)err_plain(&err, count, "%s: %s", sink->clip_topic,
                    count == -ENOENT ? "there is no such topic" : "Topic authorization failed");
    sink_note_error(sink, &err);
}

static void set_parts(struct sink *sink, const int32_t *partitions, uint32_t count)
{
    sink->part_count = count;
    sink->started = false;
    sink->start_ns = 0;
    for (uint32_t i = 0; i < count; i++)
        sink->parts[i] = (struct sink_part){ .partition = partitions[i], .committed = -1 };
}

int feed_open(struct sink *sink, struct err *err)
{
    const struct sink_config *config = &sink->config;
    const struct kafka_consumer_config consumer = {
        .kafka = { .bootstrap = config->bootstrap, .client_id = "roadloop-sink",
                   .settings = config->settings, .setting_count = config->setting_count },
        .group = config->group, .fetch_bytes = 4194304, .queued_kbytes = 16384 };
    const char *topics[] = { sink->clip_topic };
    int rc = kafka_consumer_open(&consumer, err, &sink->clips);

    if (rc)
        return rc;
    if (config->partitions) {
        set_parts(sink, config->partitions, config->partition_count);
        return 0;
    }
    rc = kafka_consumer_subscribe(sink->clips, topics, 1);
    return rc ? err_plain(err, rc, "group '%s' cannot be joined: %s", config->group,
                          strerror(-rc)) : 0;
}

/* ---- Committing ---- */

static int64_t part_needed(const struct sink *sink, const struct sink_part *part)
{
    int64_t needed = part->next;
    int64_t clip = assembler_needed(sink->assembler, part->partition);
    int64_t word = outgoing_needed(sink->outgoing, part->partition);

    if (clip >= 0 && clip < needed)
        needed = clip;
    return word >= 0 && word < needed ? word : needed;
}

void feed_commit(struct sink *sink, bool wait)
{
    struct kafka_place places[SINK_PARTITIONS_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; sink->started && i < sink->part_count; i++) {
        struct sink_part *part = &sink->parts[i];
        int64_t needed = part_needed(sink, part);
        if (needed == part->committed)
            continue;
        fill_place(sink, part->partition, needed, &places[count++]);
        part->committed = needed;
    }
    if (!count)
        return;
    if (!kafka_consumer_commit(sink->clips, places, count, wait)) {
        sink->stats.commits++;
        return;
    }
    /* Repeated on the next turn: -1 differs from every offset. */
    for (uint32_t i = 0; i < count; i++)
        find_part(sink, places[i].partition)->committed = -1;
}

/* ---- Rebalances ---- */

static void take_assigned(struct sink *sink, const struct kafka_event *event)
{
    int32_t partitions[SINK_PARTITIONS_MAX];

    for (uint32_t i = 0; i < event->place_count; i++)
        partitions[i] = event->places[i].partition;
    sink->stats.rebalances++;
    set_parts(sink, partitions, event->place_count);
    if (!event->place_count)
        (void)kafka_consumer_assign(sink->clips, NULL, 0);
}

static void take_revoked(struct sink *sink)
{
    outgoing_pump(sink->outgoing, sink->now_ns, 0);
    feed_commit(sink, true);
    for (uint32_t i = 0; i < sink->part_count; i++) {
        assembler_revoke(sink->assembler, sink->parts[i].partition);
        outgoing_revoke(sink->outgoing, sink->parts[i].partition);
        (void)cache_revoke(sink->cache, sink->parts[i].partition);
    }
    set_parts(sink, NULL, 0);
    (void)kafka_consumer_unassign(sink->clips);
}

/* The offset left the log while we were reading (retention, truncation): from its start again. */
static void take_reset(struct sink *sink, const struct kafka_event *event)
{
    struct sink_part *part = find_part(sink, event->place.partition);
    int64_t first, end;

    if (!part || kafka_consumer_bounds(sink->clips, sink->clip_topic, part->partition,
                                       SINK_METADATA_MS, &first, &end)) {
        sink->started = false; /* look up everything anew */
        return;
    }
    if (part->next > end)
        sink->stats.offsets_beyond++;
    else
        sink->stats.offsets_lost++;
    part->next = first;
    (void)assign(sink);
}

/* ---- Messages ---- */

void feed_dead_letter(struct sink *sink, const struct kafka_event *event, unsigned refusal,
                      const char *reason, bool hold)
{
    sink->stats.refused[refusal]++;
    if (outgoing_dead_letter(sink->outgoing, event, reason, hold))
        sink->stats.dropped_words++;
}

static void stall(struct sink *sink)
{
    struct kafka_place places[SINK_PARTITIONS_MAX];

    for (uint32_t i = 0; i < sink->part_count; i++)
        fill_place(sink, sink->parts[i].partition, sink->parts[i].next, &places[i]);
    (void)kafka_consumer_pause(sink->clips, places, sink->part_count, true);
    sink->stalled_until_ns = sink->now_ns + SINK_STALL_NS;
    sink->stats.stalls++;
}

static void end_stall(struct sink *sink)
{
    struct kafka_place places[SINK_PARTITIONS_MAX];

    if (!sink->stalled_until_ns || sink->now_ns < sink->stalled_until_ns ||
        !outgoing_has_room(sink->outgoing))
        return;
    for (uint32_t i = 0; i < sink->part_count; i++)
        fill_place(sink, sink->parts[i].partition, sink->parts[i].next, &places[i]);
    (void)kafka_consumer_pause(sink->clips, places, sink->part_count, false);
    if (!assign(sink))
        sink->stalled_until_ns = 0;
}

/* 0 taken, refused or stored; -EAGAIN: this very message again, later. */
static int take_value(struct sink *sink, const struct kafka_event *event)
{
    const struct assembler_place place = { event->place.partition, event->place.offset,
                                           event->key, event->key_size };
    enum assembler_refusal refusal;
    struct wire_value value;
    struct err err = { .text = "" };
    char reason[ERR_TEXT_MAX];

    if (!event->value_size) {
        feed_dead_letter(sink, event, SINK_EMPTY, "message has no value", true);
        return 0;
    }
    if (event->value_size > WIRE_CHUNK_VALUE_MAX) {
        (void)snprintf(reason, sizeof reason, "value of %zu bytes, at most %d", event->value_size,
                       WIRE_CHUNK_VALUE_MAX);
        feed_dead_letter(sink, event, SINK_OVERSIZE, reason, true);
        return 0;
    }
    if (wire_decode(event->value, event->value_size, &err, &value)) {
        feed_dead_letter(sink, event, SINK_WIRE, err.text, true);
        return 0;
    }
    sink->offset = event->place.offset;
    int rc = assembler_put(sink->assembler, &place, &value, sink->now_ns, &err, &refusal);
    if (rc == -EAGAIN)
        return rc;
    if (rc)
        feed_dead_letter(sink, event, refusal, err.text, true);
    return 0;
}

static void take_message(struct sink *sink, const struct kafka_event *event)
{
    struct sink_part *part = find_part(sink, event->place.partition);

    /* What was fetched before an assignment changed still comes: only the expected offset, or one
     * above it (a compacted or transactional log has holes), is taken. */
    if (!part || !sink->started || sink->stalled_until_ns || event->place.offset < part->next)
        return;
    if (!outgoing_has_room(sink->outgoing) || take_value(sink, event)) {
        part->next = event->place.offset;
        stall(sink);
        return;
    }
    part->next = event->place.offset + 1;
    sink->stats.messages++;
    sink->stats.message_bytes += event->value_size;
}

static int take_event(struct sink *sink, const struct kafka_event *event, struct err *err)
{
    switch (event->kind) {
    case KAFKA_MESSAGE:
        take_message(sink, event);
        return 0;
    case KAFKA_ASSIGNED:
        take_assigned(sink, event);
        return 0;
    case KAFKA_REVOKED:
        take_revoked(sink);
        return 0;
    case KAFKA_RESET:
        take_reset(sink, event);
        return 0;
    case KAFKA_ERROR:
        sink->stats.errors++;
        (void)snprintf(sink->stats.last_error, sizeof sink->stats.last_error, "%s", event->reason);
        return event->fatal ? err_plain(err, -EIO, "kafka: %s", event->reason) : 0;
    default:
        return 0;
    }
}

int feed_poll(struct sink *sink, int timeout_ms, struct err *err)
{
    struct kafka_event event;
    int rc = 0;

    if (!sink->started && sink->part_count && sink->now_ns >= sink->start_ns && start(sink))
        say_why(sink);
    end_stall(sink);
    for (int i = 0; !rc && i < SINK_BATCH; i++) {
        if (kafka_consumer_poll(sink->clips, i ? 0 : timeout_ms, &event) != 1)
            break;
        rc = take_event(sink, &event, err);
    }
    return rc;
}
