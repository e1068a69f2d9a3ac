/* kafka - the only file that includes librdkafka: a producer and a consumer with the settings that
 * docs/KAFKA.md gives reasons for, and nothing of librdkafka's in their interface.
 * Handles; each belongs to one thread, librdkafka's own threads stay inside. Times are milliseconds
 * because librdkafka's are; a timeout of 0 never waits. */
#ifndef UPLOADER_KAFKA_H
#define UPLOADER_KAFKA_H
#include "proto/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KAFKA_SETTINGS_MAX 64
#define KAFKA_PLACES_MAX 256 /* partitions of one consumer */
#define KAFKA_TOPIC_MAX 128
#define KAFKA_HEADERS_MAX 48
#define KAFKA_REASON_MAX 256
#define KAFKA_PARTITION_ANY (-1)
#define KAFKA_OFFSET_BEGIN (-2)
#define KAFKA_OFFSET_END (-1)
#define KAFKA_OFFSET_COMMITTED (-1000) /* the group's; none: KAFKA_RESET */
#define KAFKA_OFFSET_NONE (-1001)

struct kafka_setting {
    const char *key, *value;
};

/* Copied at open. `settings` are librdkafka's own keys (security.protocol, ssl.*, sasl.*, ...), set
 * after ours; the few that the design depends on are refused (docs/KAFKA.md, K30). KEY.file takes the
 * value of KEY from the first line of a file, KEY.env from the environment: so no password stands in
 * a configuration or command line, and none is ever in an error (K31). While there is trouble, a
 * file that changed is read again: the handle is made anew (K32). */
struct kafka_config {
    const char *bootstrap; /* host:port[,host:port...] */
    const char *client_id; /* pseudonym of the vehicle, or "roadloop-sink" */
    const struct kafka_setting *settings;
    uint32_t setting_count;
};

struct kafka_header {
    const char *name;
    const void *value;
    size_t size;
};

/* ---- Producer ---- */
struct kafka_producer;

struct kafka_message {
    const char *topic;
    int32_t partition; /* KAFKA_PARTITION_ANY: by the key, murmur2 */
    const void *key;   /* at least one byte */
    size_t key_size;
    const void *value; /* copied */
    size_t value_size;
    const struct kafka_header *headers; /* copied */
    uint32_t header_count;              /* <= KAFKA_HEADERS_MAX */
    uint64_t opaque;                    /* comes back in the report; not 0 */
};

enum kafka_result {
    KAFKA_DONE,   /* in the log, acks=all: the only "acked" */
    KAFKA_RETRY,  /* not, or not known to be, in the log: send again */
    KAFKA_POISON, /* refused for good (too large, invalid): sending again cannot help */
};

struct kafka_report {
    uint64_t opaque;
    enum kafka_result result;
    int32_t partition;
    int64_t offset;                /* KAFKA_DONE */
    char reason[KAFKA_REASON_MAX]; /* else */
};

struct kafka_producer_stats {
    uint64_t produced, done, retried, poisoned, recreated, log_lines;
    int64_t queued_bytes; /* handed over, no report yet */
    uint32_t queued;
    bool connected; /* no "all brokers down" since the last delivery */
    /* What stands in the way now; "" again when a message of the same topic is in the log. A reason
     * of a known kind (trouble.h) is not overwritten by one of none. */
    char last_error[KAFKA_REASON_MAX];
    char last_poison[KAFKA_REASON_MAX]; /* why the last one was refused for good; never cleared */
};

int kafka_producer_open(const struct kafka_config *config, struct err *err,
                        struct kafka_producer **ret_producer);
/* Waits at most flush_ms for open reports, then purges; reports are lost. Takes NULL. */
void kafka_producer_close(struct kafka_producer *producer, int flush_ms);
/* 0: exactly one report will follow. -EAGAIN: queue full, poll reports first. -EMSGSIZE: larger
 * than any setting allows. -EINVAL: key, topic or headers are not sendable. -ENOTCONN: the handle
 * met a fatal error and is being made anew; open reports come as KAFKA_RETRY. -ENOENT: the topic is
 * not there, or not ours to write, at present: later (looking again may have taken a second). */
int kafka_produce(struct kafka_producer *producer, const struct kafka_message *message);
/* 1 with *ret_report, or 0 after timeout_ms. Also serves errors and recreation: call it regularly. */
int kafka_poll_report(struct kafka_producer *producer, int timeout_ms,
                      struct kafka_report *ret_report);
void kafka_producer_stats(const struct kafka_producer *producer,
                          struct kafka_producer_stats *ret_stats);

/* For tests: as if the library had met a fatal error. */
void kafka_producer_break(struct kafka_producer *producer);

/* ---- Consumer ---- */
struct kafka_consumer;

struct kafka_place {
    char topic[KAFKA_TOPIC_MAX];
    int32_t partition;
    int64_t offset; /* next to read, or KAFKA_OFFSET_* */
};

struct kafka_consumer_config {
    struct kafka_config kafka;
    const char *group;            /* group.id; offsets are committed under it also with assign */
    uint32_t fetch_bytes;         /* fetch.message.max.bytes; 0: 65,536 (the car) */
    uint32_t queued_kbytes;       /* queued.max.messages.kbytes; 0: 512 */
    uint32_t session_timeout_ms;  /* 0: librdkafka's default */
};

enum kafka_event_kind {
    KAFKA_MESSAGE = 1,
    KAFKA_END,      /* place: all that the partition held at this moment is read */
    KAFKA_ASSIGNED, /* group only: answer with kafka_consumer_assign(places with start offsets) */
    KAFKA_REVOKED,  /* group only: finish with the places, then kafka_consumer_unassign */
    KAFKA_RESET,    /* the offset asked for is not in the log (none committed, retention, truncation):
                       nothing of this place is read until the caller assigns anew */
    KAFKA_ERROR,    /* reason; transient, the consumer goes on by itself unless `fatal` */
};

/* Views are valid until the next call with this consumer. */
struct kafka_event {
    enum kafka_event_kind kind;
    struct kafka_place place; /* MESSAGE: of this message; END, RESET, ERROR where known */
    const uint8_t *key, *value;
    size_t key_size, value_size;
    int64_t timestamp_ms;
    uint32_t header_count;
    struct kafka_header headers[KAFKA_HEADERS_MAX]; /* the first; more are counted, not held */
    const struct kafka_place *places;               /* ASSIGNED, REVOKED */
    uint32_t place_count;
    bool fatal;
    char reason[KAFKA_REASON_MAX];
};

int kafka_consumer_open(const struct kafka_consumer_config *config, struct err *err,
                        struct kafka_consumer **ret_consumer);
void kafka_consumer_close(struct kafka_consumer *consumer); /* leaves the group; takes NULL */
/* Replaces what is read. Without kafka_consumer_subscribe no group is ever joined. 0, -EINVAL,
 * -ERANGE (too many), -EIO. count 0 reads nothing. */
int kafka_consumer_assign(struct kafka_consumer *consumer, const struct kafka_place *places,
                          uint32_t count);
int kafka_consumer_unassign(struct kafka_consumer *consumer);
/* Joins the group, strategy range. */
int kafka_consumer_subscribe(struct kafka_consumer *consumer, const char *const *topics,
                             uint32_t count);
/* 1 with *ret_event, or 0 after timeout_ms. */
int kafka_consumer_poll(struct kafka_consumer *consumer, int timeout_ms,
                        struct kafka_event *ret_event);
/* Stops and restarts fetching; what was fetched before a pause may still come once. */
int kafka_consumer_pause(struct kafka_consumer *consumer, const struct kafka_place *places,
                         uint32_t count, bool paused);
/* place.offset is the next to read. With `wait` 0 means the broker has it, else only accepted. */
int kafka_consumer_commit(struct kafka_consumer *consumer, const struct kafka_place *places,
                          uint32_t count, bool wait);
/* Fills place.offset, KAFKA_OFFSET_NONE where nothing was committed. 0, -ETIMEDOUT, -EIO. */
int kafka_consumer_committed(struct kafka_consumer *consumer, struct kafka_place *places,
                             uint32_t count, int timeout_ms);
/* First offset held and the one after the last. 0, -ETIMEDOUT, -ENOENT, -EIO. */
int kafka_consumer_bounds(struct kafka_consumer *consumer, const char *topic, int32_t partition,
                          int timeout_ms, int64_t *ret_first, int64_t *ret_end);
/* Partitions of a topic (>= 1), -ENOENT when there is no such topic, -ETIMEDOUT, -EIO. */
int kafka_consumer_partitions(struct kafka_consumer *consumer, const char *topic, int timeout_ms);
int kafka_producer_partitions(struct kafka_producer *producer, const char *topic, int timeout_ms);
/* As kafka_consumer_bounds, at once: on a consumer that reads already, the question waits behind the
 * fetch that the broker holds open (half a second). */
int kafka_producer_bounds(struct kafka_producer *producer, const char *topic, int32_t partition,
                          int timeout_ms, int64_t *ret_first, int64_t *ret_end);

#endif
