/* config - roadloop.yaml, read by a schema: every key has a type, bounds and a default, and a key
 * that the schema does not know is refused with the nearest one that it does. config/roadloop.yaml
 * documents each key with its default; test_config holds the two together.
 * A value: plain struct, no ownership, no thread. Relative paths are relative to the file's folder. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H
#include "daemon/shaping.h"
#include "daemon/source.h"
#include "proto/err.h"
#include "proto/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_PATH_MAX 256
#define CONFIG_PACKS_MAX 16 /* as the ruleset */
#define CONFIG_DBCS_MAX 32  /* as the database set */
#define CONFIG_SETTINGS_MAX 32
#define CONFIG_TEXT_MAX 256

enum config_transport { CONFIG_TRANSPORT_NONE, CONFIG_TRANSPORT_KAFKA, CONFIG_TRANSPORT_FILE };
enum config_delete { CONFIG_DELETE_RECEIPT, CONFIG_DELETE_BROKER_ACK };
enum config_speed { CONFIG_SPEED_MAX, CONFIG_SPEED_REAL };

struct config_setting {
    char key[64], value[CONFIG_TEXT_MAX];
};

struct config {
    char file[CONFIG_PATH_MAX]; /* as it was given */
    struct shaping shaping;     /* vehicle, codec, ring, clips, names of live sources */

    struct source_config sources[SOURCES_MAX];
    uint32_t source_count;
    struct {
        char path[CONFIG_PATH_MAX]; /* "": live */
        char format[16];            /* "": found */
        uint32_t speed;             /* enum config_speed */
        char wall_start[40];        /* UTC of the first frame, for people; "": unknown */
        bool wall_known;
        int64_t wall_start_ns;      /* wall_start since 1970 */
    } recording;

    char packs[CONFIG_PACKS_MAX][CONFIG_PATH_MAX];
    uint32_t pack_count;
    char dbcs[CONFIG_DBCS_MAX][CONFIG_PATH_MAX]; /* [BUS=]FILE */
    uint32_t dbc_count;

    int64_t reorder_ns;
    struct {
        char path[CONFIG_PATH_MAX];
        int64_t quota_bytes, writes_per_day_bytes;
        int64_t chunk_bytes;
        uint32_t delete_after; /* enum config_delete */
    } store;
    struct {
        uint32_t transport; /* enum config_transport */
        char brokers[CONFIG_TEXT_MAX], environment[32];
        char drop[CONFIG_PATH_MAX];
        int64_t rate_bytes, burst_bytes; /* a second; at once */
        bool artifacts;                  /* send DBCs and packs to artifact.v1 */
        struct config_setting settings[CONFIG_SETTINGS_MAX]; /* librdkafka's own */
        uint32_t setting_count;
    } upload;
    struct {
        char socket[CONFIG_PATH_MAX], group[32];
    } control;
    struct {
        char file[CONFIG_PATH_MAX]; /* "": none */
        int64_t every_ns;
    } metrics;
};

/* All defaults. */
void config_init(struct config *config);

/* Reads a file into *ret_config, defaults filled in. Returns 0; -EBADMSG with at least one error in
 * diags (all of them, each with its place); a negative errno of reading, also in diags. On failure
 * *ret_config is untouched. */
int config_load(const char *path, struct diags *diags, struct config *ret_config);
/* The same from memory; `path` names it in messages and anchors relative paths. */
int config_parse(const void *bytes, size_t size, const char *path, struct diags *diags,
                 struct config *ret_config);

/* What a reload may not change: it needs a restart. Returns NULL when the two agree on all of it,
 * else the name of the first key that differs. */
const char *config_restart_key(const struct config *running, const struct config *next);

/* The schema, for the test that every key is documented: "ring.bytes" of row i, or NULL. */
const char *config_key_name(uint32_t i);

/* "16MiB", "128KiB", "1MB", "4096": 0 and the bytes, or -EINVAL, -ERANGE. */
int config_size(const char *text, int64_t *ret_bytes);
/* "10s", "5ms", "2min", "1h", "250us", "7ns": 0 and ns, or -EINVAL, -ERANGE. */
int config_duration(const char *text, int64_t *ret_ns);
/* "2018-08-02T08:34:47Z", fractions to nine digits: 0 and ns since 1970, or -EINVAL. */
int config_wall(const char *text, int64_t *ret_utc_ns);

#endif
