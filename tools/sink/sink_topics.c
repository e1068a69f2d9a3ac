/* artifact.v1 and status.v1: read whole by assign(), from the start, at each start. */
#include "tools/sink/clocks.h"
#include "tools/sink/sink_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void take_artifact(struct sink *sink, const struct kafka_event *event,
                          const struct wire_value *value)
{
    struct err err = { .text = "" };
    int rc = artifacts_put(sink->artifacts, event->key, event->key_size, &value->artifact, &err);

    if (rc == -EBADMSG)
        feed_dead_letter(sink, event, SINK_ARTIFACT, err.text, false);
    else if (rc)
        sink_note_error(sink, &err);
}

static void take_status(struct sink *sink, const struct kafka_event *event,
                        const struct wire_value *value)
{
    const struct wire_status *status = &value->status;

    if (event->key_size != strlen(status->pseudonym) ||
        memcmp(event->key, status->pseudonym, event->key_size)) {
        feed_dead_letter(sink, event, ASSEMBLER_KEY, "status names another vehicle than its key",
                         false);
        return;
    }
    int rc = clocks_put(dataset_files(sink->dataset), status);
    sink->stats.statuses += rc == 1;
}

static void take(struct sink *sink, const struct kafka_event *event)
{
    struct err err = { .text = "" };
    struct wire_value value;
    bool artifact = !strcmp(event->place.topic, sink->artifact_topic);

    if (!event->value_size)
        return; /* a tombstone of a compacted topic */
    if (wire_decode(event->value, event->value_size, &err, &value))
        feed_dead_letter(sink, event, SINK_WIRE, err.text, false);
    else if (artifact && value.kind == WIRE_ARTIFACT)
        take_artifact(sink, event, &value);
    else if (!artifact && value.kind == WIRE_STATUS)
        take_status(sink, event, &value);
    else
        feed_dead_letter(sink, event, ASSEMBLER_KIND, "does not belong on this topic", false);
}

static struct kafka_place *find_place(struct sink *sink, const struct kafka_place *like)
{
    for (uint32_t i = 0; i < sink->topic_place_count; i++)
        if (sink->topic_places[i].partition == like->partition &&
            !strcmp(sink->topic_places[i].topic, like->topic))
            return &sink->topic_places[i];
    return NULL;
}

static void take_event(struct sink *sink, const struct kafka_event *event)
{
    struct kafka_place *place = find_place(sink, &event->place);

    if (event->kind == KAFKA_MESSAGE && place) {
        take(sink, event);
        place->offset = event->place.offset + 1;
    } else if (event->kind == KAFKA_RESET) {
        if (place)
            place->offset = KAFKA_OFFSET_BEGIN;
        (void)kafka_consumer_assign(sink->topics, sink->topic_places, sink->topic_place_count);
    }
}

/* A topic that is not there yet is none; not to know is an error. */
static int add_places(struct sink *sink, const char *topic)
{
    int count = kafka_producer_partitions(outgoing_producer(sink->outgoing), topic,
                                          SINK_METADATA_MS);

    for (int i = 0; i < count && sink->topic_place_count < SINK_PARTITIONS_MAX; i++) {
        struct kafka_place place = { .partition = i, .offset = KAFKA_OFFSET_BEGIN };
        (void)snprintf(place.topic, sizeof place.topic, "%s", topic);
        if (!find_place(sink, &place))
            sink->topic_places[sink->topic_place_count++] = place;
    }
    return count < 0 && count != -ENOENT ? count : 0;
}

/* A topic may be made later, or get partitions: looked for again now and then. */
static int look_for_topics(struct sink *sink)
{
    uint32_t before = sink->topic_place_count;

    if (sink->now_ns < sink->topics_ns)
        return 0;
    sink->topics_ns = sink->now_ns + SINK_TOPICS_NS;
    int rc = add_places(sink, sink->artifact_topic);
    if (!rc)
        rc = add_places(sink, sink->status_topic);
    if (sink->topic_place_count > before)
        (void)kafka_consumer_assign(sink->topics, sink->topic_places, sink->topic_place_count);
    return rc;
}

int topics_open(struct sink *sink, struct err *err)
{
    const struct sink_config *config = &sink->config;
    const struct kafka_consumer_config consumer = {
        .kafka = { .bootstrap = config->bootstrap, .client_id = "roadloop-sink-topics",
                   .settings = config->settings, .setting_count = config->setting_count },
        .group = config->group, .fetch_bytes = 1048576, .queued_kbytes = 4096 };

    return kafka_consumer_open(&consumer, err, &sink->topics);
}

void topics_poll(struct sink *sink)
{
    struct kafka_event event;

    (void)look_for_topics(sink);
    for (int i = 0; i < SINK_BATCH && outgoing_has_room(sink->outgoing); i++) {
        if (kafka_consumer_poll(sink->topics, 0, &event) != 1)
            return;
        take_event(sink, &event);
    }
}

static bool caught_up(const struct sink *sink, const int64_t *ends)
{
    for (uint32_t i = 0; i < sink->topic_place_count; i++)
        if (ends[i] > 0 && sink->topic_places[i].offset < ends[i])
            return false;
    return true;
}

static bool is_artifact(const struct sink *sink, const struct kafka_place *place)
{
    return !strcmp(place->topic, sink->artifact_topic);
}

static bool has_artifacts(const struct sink *sink)
{
    for (uint32_t i = 0; i < sink->topic_place_count; i++)
        if (is_artifact(sink, &sink->topic_places[i]))
            return true;
    return false;
}

/* Reads on to the end that artifact.v1 has now. Only what is needed is asked of the broker, because
 * each question waits half a second behind a fetch. The wait is bounded by polls that find nothing,
 * not by a clock. */
int topics_catch_up(void *context)
{
    struct sink *sink = context;
    struct kafka_event event;
    int64_t first, ends[SINK_PARTITIONS_MAX] = { 0 };

    if (!has_artifacts(sink))
        sink->topics_ns = 0; /* made a moment ago? */
    int rc = look_for_topics(sink);
    for (uint32_t i = 0; !rc && i < sink->topic_place_count; i++) {
        if (!is_artifact(sink, &sink->topic_places[i]))
            continue;
        rc = kafka_producer_bounds(outgoing_producer(sink->outgoing), sink->topic_places[i].topic,
                                   sink->topic_places[i].partition, SINK_METADATA_MS, &first,
                                   &ends[i]);
        if (!rc && first == ends[i])
            ends[i] = 0; /* empty */
    }
    for (int idle = 0; !rc && !caught_up(sink, ends);) {
        if (kafka_consumer_poll(sink->topics, 100, &event) == 1)
            take_event(sink, &event);
        else if (++idle >= SINK_CATCH_UP_MS / 100)
            rc = -ETIMEDOUT;
    }
    return rc;
}
