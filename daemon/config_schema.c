/* The schema of roadloop.yaml. A new key is a row here, its default in config_init, and its line
 * with a comment in config/roadloop.yaml. */
#include "daemon/config_schema.h"

#include <stddef.h>

#define MIB INT64_C(1048576)
#define GIB (1024 * MIB)
#define SECOND INT64_C(1000000000)
#define AT(field) offsetof(struct config, field)
#define NUM(field, low, high) AT(field), low, high, NULL
#define TEXT(field) AT(field), 0, sizeof(((struct config *)0)->field), NULL

static const char *const codecs[] = { "columnar", "rows", NULL };
static const char *const speeds[] = { "max", "1", NULL };
static const char *const transports[] = { "none", "kafka", "file", NULL };
static const char *const deletes[] = { "receipt", "broker_ack", NULL };

const struct config_row config_rows[] = {
    { "", "vehicle", CONFIG_NAME, TEXT(shaping.vehicle), true },
    { "", "codec", CONFIG_CODEC, AT(shaping.codec), 0, SHAPING_CODEC_MAX, codecs, true },
    { "", "reorder", CONFIG_DURATION, NUM(reorder_ns, 0, SECOND), true },
    { "recording", "path", CONFIG_FILE, TEXT(recording.path), true },
    { "recording", "format", CONFIG_WORDS, TEXT(recording.format), true },
    { "recording", "wall_start", CONFIG_WORDS, TEXT(recording.wall_start), true },
    { "recording", "speed", CONFIG_CHOICE, AT(recording.speed), 0, 0, speeds, true },
    { "ring", "bytes", CONFIG_SIZE,
      NUM(shaping.ring_bytes, 65536, SHAPING_RING_BYTES_MAX), true },
    { "ring", "open", CONFIG_SIZE,
      NUM(shaping.open_bytes, 65536, SHAPING_OPEN_BYTES_MAX), true },
    { "ring", "pins", CONFIG_SIZE,
      NUM(shaping.pin_bytes, 65536, SHAPING_PIN_BYTES_MAX), true },
    { "ring", "block", CONFIG_DURATION,
      NUM(shaping.block_ns, SECOND / 10, SHAPING_BLOCK_NS_MAX), true },
    { "clips", "max", CONFIG_DURATION,
      NUM(shaping.clip_max_ns, SECOND, SHAPING_CLIP_NS_MAX), true },
    { "clips", "max_bytes", CONFIG_SIZE,
      NUM(shaping.clip_max_bytes, 65536, SEGMENT_BYTES_MAX / 2), true },
    { "clips", "join", CONFIG_DURATION,
      NUM(shaping.join_ns, 0, 60 * SECOND), true },
    { "clips", "open", CONFIG_COUNT,
      NUM(shaping.clips_open, 1, CLIPS_OPEN_MAX), true },
    { "clips", "size_ratio", CONFIG_COUNT,
      NUM(shaping.size_ratio, 1, SHAPING_SIZE_RATIO_MAX), true },
    { "store", "path", CONFIG_FILE, TEXT(store.path), true },
    { "store", "quota", CONFIG_SIZE, NUM(store.quota_bytes, MIB, 1024 * GIB), true },
    { "store", "writes_per_day", CONFIG_SIZE,
      NUM(store.writes_per_day_bytes, MIB, 1024 * GIB), true },
    { "store", "chunk", CONFIG_SIZE, NUM(store.chunk_bytes, CHUNK_BYTES_MIN, CHUNK_BYTES_MAX), true },
    { "store", "delete_after", CONFIG_CHOICE, AT(store.delete_after), 0, 0, deletes, true },
    { "upload", "transport", CONFIG_CHOICE, AT(upload.transport), 0, 0, transports, true },
    { "upload", "brokers", CONFIG_WORDS, TEXT(upload.brokers), true },
    { "upload", "environment", CONFIG_NAME, TEXT(upload.environment), true },
    { "upload", "drop", CONFIG_FILE, TEXT(upload.drop), true },
    { "upload", "rate", CONFIG_SIZE, NUM(upload.rate_bytes, 1, 1000 * MIB), true },
    { "upload", "burst", CONFIG_SIZE, NUM(upload.burst_bytes, CHUNK_BYTES_MIN, 4 * GIB), true },
    { "upload", "artifacts", CONFIG_SWITCH, AT(upload.artifacts), 0, 0, NULL, true },
    { "control", "socket", CONFIG_FILE, TEXT(control.socket), true },
    { "control", "group", CONFIG_WORDS, TEXT(control.group), true },
    { "metrics", "file", CONFIG_FILE, TEXT(metrics.file), false },
    { "metrics", "every", CONFIG_DURATION, NUM(metrics.every_ns, SECOND, 3600 * SECOND), false },
};

const uint32_t config_row_count = sizeof config_rows / sizeof config_rows[0];
