/* shaping - the part of the configuration that may change the bytes of a clip.
 * Its canonical text is an input of the session id of a recording and its hash stands in every
 * manifest, so replay and the daemon agree on what made a clip. Paths, speed, transport and whatever
 * else only says where things are do not belong here. A value: no ownership, no thread. */
#ifndef DAEMON_SHAPING_H
#define DAEMON_SHAPING_H
#include "proto/hash.h"
#include "proto/limits.h"

#include <stddef.h>
#include <stdint.h>

#define SHAPING_CODEC_MAX 16
#define SHAPING_TEXT_MAX 4096
#define SHAPING_RING_BYTES_MAX (256 * INT64_C(1048576))
#define SHAPING_OPEN_BYTES_MAX (64 * INT64_C(1048576))
#define SHAPING_PIN_BYTES_MAX (64 * INT64_C(1048576))
#define SHAPING_BLOCK_NS_MAX INT64_C(60000000000)
#define SHAPING_CLIP_NS_MAX INT64_C(3600000000000)
#define SHAPING_SIZE_RATIO_MAX 64

struct shaping {
    char vehicle[PSEUDONYM_MAX]; /* pseudonym: [A-Za-z0-9_.-]+ */
    char codec[SHAPING_CODEC_MAX]; /* name of a block codec: "columnar", "rows" */
    int64_t ring_bytes;     /* encoded blocks kept for pre-roll */
    int64_t open_bytes;     /* open rows, all sources */
    int64_t pin_bytes;      /* blocks of open clips that the store has not taken yet */
    int64_t block_ns;       /* event time after which a block closes */
    int64_t clip_max_ns;    /* a longer clip goes on in a next one that says `continues` */
    int64_t clip_max_bytes; /* the same in row bytes / size_ratio */
    int64_t join_ns;        /* a later event joins a clip within this time after its end */
    uint32_t size_ratio;    /* row bytes that one stored byte stands for in limits */
    uint32_t clips_open;    /* 1..CLIPS_OPEN_MAX clips at a time */
    struct {                /* live buses in configured order; none for a recording */
        char name[SOURCE_NAME_MAX];
    } sources[SOURCES_MAX];
    uint32_t source_count;
};

/* The defaults that config/roadloop.yaml documents; vehicle "vehicle", no sources. */
void shaping_init(struct shaping *shaping);

/* Writes the canonical text ("key=value" lines in fixed order, NUL-terminated) and returns its
 * length; it always fits in SHAPING_TEXT_MAX. */
size_t shaping_text(const struct shaping *shaping, char text[SHAPING_TEXT_MAX]);

/* SHA-256 of the canonical text. */
void shaping_hash(const struct shaping *shaping, uint8_t ret_digest[SHA256_BYTES]);

#endif
