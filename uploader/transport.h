/* transport - where encoded values go and receipts come from: Kafka, a folder (filedrop), memory
 * (tests), later HTTPS. One table; the uploader knows nothing else. Owner: the upload thread. */
#ifndef UPLOADER_TRANSPORT_H
#define UPLOADER_TRANSPORT_H
#include "proto/wire.h"

#include <stdbool.h>

#define TRANSPORT_REASON_MAX 256

enum transport_result {
    TRANSPORT_DONE,   /* durable at the far end (Kafka: acks=all) */
    TRANSPORT_RETRY,  /* not, or not known to be */
    TRANSPORT_POISON, /* sending it again cannot help */
};

struct transport_message {
    enum wire_topic topic;
    const char *key; /* pseudonym, or hex of an artifact's SHA-256 */
    const uint8_t *value;
    size_t size;
    const struct wire_headers *headers;
    const struct wire_value *decoded; /* what `value` encodes: for transports that file by meaning */
    uint64_t opaque;                  /* not 0; comes back in the report */
};

struct transport_report {
    uint64_t opaque;
    enum transport_result result;
    char reason[TRANSPORT_REASON_MAX];
};

struct transport_receipt {
    struct wire_receipt receipt;
    int32_t partition; /* -1: no offsets to store */
    int64_t next;      /* offset after this one */
};

struct transport_stats {
    int64_t in_flight_bytes; /* handed over, no report yet */
    uint64_t sent, done, retried, poisoned, receipts, receipts_bad, receipts_skipped;
    bool connected;
    char last_error[TRANSPORT_REASON_MAX];  /* what stands in the way now, or "" */
    char last_poison[TRANSPORT_REASON_MAX]; /* why the last value was refused for good */
};

struct transport_ops {
    /* 0: exactly one report follows. -EAGAIN: full, poll reports first. -EMSGSIZE, -EINVAL: poison.
     * Other errors: try later. The value is copied or written before it returns. */
    int (*send)(void *context, const struct transport_message *message);
    int (*poll_report)(void *context, int timeout_ms, struct transport_report *ret_report); /* 1, 0 */
    int (*poll_receipt)(void *context, struct transport_receipt *ret_receipt);              /* 1, 0 */
    /* Receipts of this pseudonym are wanted. `offset` of (partition, offset) pairs stored before is
     * asked for through `stored`, which returns 1 or 0. 0, or a negative errno: try later. */
    int (*listen)(void *context, const char *pseudonym,
                  int (*stored)(void *argument, int32_t partition, int64_t *ret_offset),
                  void *argument);
    void (*stats)(const void *context, struct transport_stats *ret_stats);
    void (*close)(void *context, int flush_ms);
};

struct transport {
    const struct transport_ops *ops;
    void *context;
};

#endif
