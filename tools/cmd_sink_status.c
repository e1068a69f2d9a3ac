/* roadloop sink status: how far the group is, from the offsets that it committed. */
#include "tools/cmd.h"
#include "tools/cmd_sink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS 5000

struct line {
    int32_t partition;
    int64_t committed, first, end, lag; /* committed -1: none */
};

static int look(const struct cmd_sink_options *o, struct kafka_consumer *consumer,
                const char *topic, struct line *lines, uint32_t *ret_count, struct err *err)
{
    struct kafka_place places[SINK_PARTITIONS_MAX];
    int count = kafka_consumer_partitions(consumer, topic, WAIT_MS);

    if (count < 1)
        return err_plain(err, count ? count : -ENOENT, "topic %s at %s: %s", topic, o->bootstrap,
                         count == -ENOENT ? "there is no such topic" : strerror(-count));
    if (count > SINK_PARTITIONS_MAX)
        count = SINK_PARTITIONS_MAX;
    for (int i = 0; i < count; i++) {
        (void)snprintf(places[i].topic, sizeof places[i].topic, "%s", topic);
        places[i].partition = i;
    }
    int rc = kafka_consumer_committed(consumer, places, (uint32_t)count, WAIT_MS);
    for (int i = 0; !rc && i < count; i++) {
        struct line *line = &lines[i];
        *line = (struct line){ .partition = i, .committed = places[i].offset };
        rc = kafka_consumer_bounds(consumer, topic, i, WAIT_MS, &line->first, &line->end);
        if (line->committed < 0)
            line->committed = -1;
        int64_t from = line->committed < line->first ? line->first : line->committed;
        line->lag = from > line->end ? line->end - line->first : line->end - from;
    }
    *ret_count = (uint32_t)count;
    return rc ? err_plain(err, rc, "group '%s' at %s: %s", o->group, o->bootstrap,
                          strerror(-rc)) : 0;
}

static void print_json(const struct cmd_sink_options *o, const char *topic,
                       const struct line *lines, uint32_t count, int64_t lag)
{
    (void)printf("{\"topic\": \"%s\", \"group\": \"%s\", \"lag\": %" PRId64 ", \"partitions\": [",
                 topic, o->group, lag);
    for (uint32_t i = 0; i < count; i++) {
        char committed[32] = "null";
        if (lines[i].committed >= 0)
            (void)snprintf(committed, sizeof committed, "%" PRId64, lines[i].committed);
        (void)printf("%s{\"partition\": %" PRId32 ", \"committed\": %s, \"first\": %" PRId64
                     ", \"end\": %" PRId64 ", \"lag\": %" PRId64 "}", i ? ", " : "",
                     lines[i].partition, committed, lines[i].first, lines[i].end, lines[i].lag);
    }
    (void)printf("]}\n");
}

static void print_table(const struct cmd_sink_options *o, const char *topic,
                        const struct line *lines, uint32_t count, int64_t lag)
{
    (void)printf("%s, group %s\n%9s %12s %12s %12s %9s\n", topic, o->group, "partition",
                 "committed", "first", "end", "lag");
    for (uint32_t i = 0; i < count; i++) {
        char committed[32] = "none";
        if (lines[i].committed >= 0)
            (void)snprintf(committed, sizeof committed, "%" PRId64, lines[i].committed);
        (void)printf("%9" PRId32 " %12s %12" PRId64 " %12" PRId64 " %9" PRId64 "\n",
                     lines[i].partition, committed, lines[i].first, lines[i].end, lines[i].lag);
    }
    (void)printf("%" PRId64 " messages behind (an open clip holds its own messages)\n", lag);
}

int cmd_sink_status(const struct cmd_sink_options *o)
{
    const struct kafka_consumer_config config = {
        .kafka = { .bootstrap = o->bootstrap, .client_id = "roadloop-sink-status",
                   .settings = o->kafka.items, .setting_count = o->kafka.count },
        .group = o->group };
    struct line lines[SINK_PARTITIONS_MAX] = { 0 };
    struct kafka_consumer *consumer;
    char topic[WIRE_TOPIC_MAX];
    uint32_t count = 0;
    int64_t lag = 0;
    struct err err;

    if (wire_topic_name(WIRE_TOPIC_CLIP, o->env, topic)) {
        (void)err_plain(&err, -EINVAL, "environment '%s': expected 1 to 32 of [a-z0-9-]", o->env);
        return cmd_fail("sink status", &err);
    }
    if (kafka_consumer_open(&config, &err, &consumer))
        return cmd_fail("sink status", &err);
    int rc = look(o, consumer, topic, lines, &count, &err);
    kafka_consumer_close(consumer);
    if (rc)
        return cmd_fail("sink status", &err);
    for (uint32_t i = 0; i < count; i++)
        lag += lines[i].lag;
    (o->json ? print_json : print_table)(o, topic, lines, count, lag);
    return lag ? CMD_NO : CMD_GOOD;
}
