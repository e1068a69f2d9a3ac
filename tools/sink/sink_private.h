/* sink_private - the state that sink.c, sink_effects.c, sink_feed.c and sink_topics.c share. */
#ifndef TOOLS_SINK_SINK_PRIVATE_H
#define TOOLS_SINK_SINK_PRIVATE_H
#include "tools/sink/cache.h"
#include "tools/sink/dataset.h"
#include "tools/sink/sink.h"

#define SINK_TURN_NS INT64_C(1000000000)    /* commits, timers, flushes */
#define SINK_STALL_NS INT64_C(2000000000)   /* pause after a disk error before the message again */
#define SINK_TOPICS_NS INT64_C(10000000000) /* between two looks for a topic that is not there */
#define SINK_METADATA_MS 2000
#define SINK_CATCH_UP_MS 20000
#define SINK_BATCH 256                      /* messages of one turn */

struct sink_part {
    int32_t partition;
    int64_t next;      /* offset of the next message to take */
    int64_t committed; /* last offset given to Kafka; -1 none */
};

struct sink {
    struct sink_config config;
    char clip_topic[WIRE_TOPIC_MAX], artifact_topic[WIRE_TOPIC_MAX], status_topic[WIRE_TOPIC_MAX];
    struct dataset *dataset;
    struct cache *cache;
    struct artifacts *artifacts;
    struct publisher *publisher;
    struct assembler *assembler;
    struct outgoing *outgoing;
    struct kafka_consumer *clips, *topics;
    struct sink_stats stats;
    int64_t now_ns, turn_ns;
    /* feed */
    uint32_t part_count;
    struct sink_part parts[SINK_PARTITIONS_MAX];
    bool started;         /* the parts are assigned with their offsets */
    int64_t start_ns;     /* not tried before */
    int64_t stalled_until_ns; /* 0: not stalled */
    /* topics: artifact.v1 and status.v1, read whole */
    uint32_t topic_place_count;
    struct kafka_place topic_places[SINK_PARTITIONS_MAX]; /* offset: next to read */
    int64_t topics_ns;
    /* of the message in hand, for effects that follow one another */
    int64_t offset;
    struct record found, published;
    struct dataset_place found_place;
};

/* sink_effects.c */
extern const struct assembler_ops sink_effects;
void sink_note_error(struct sink *sink, const struct err *err);

/* sink_feed.c */
int feed_open(struct sink *sink, struct err *err);
int feed_poll(struct sink *sink, int timeout_ms, struct err *err);
void feed_commit(struct sink *sink, bool wait);
/* Produces the dead letter and counts it. */
void feed_dead_letter(struct sink *sink, const struct kafka_event *event, unsigned refusal,
                      const char *reason, bool hold);

/* sink_topics.c */
int topics_open(struct sink *sink, struct err *err);
void topics_poll(struct sink *sink);
int topics_catch_up(void *context);

/* sink_drop.c */
void drop_scan(struct sink *sink);

#endif
