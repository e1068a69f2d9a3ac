#include "daemon/playback.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct part {
    struct recording *recording;
    struct recording_scan scan;
    uint8_t source_map[SOURCES_MAX]; /* its index to the common one */
    struct recording_item head;      /* the next frame, when has_head */
    bool has_head, ended;
};

struct playback {
    struct part parts[PLAYBACK_RECORDINGS_MAX];
    uint32_t count;
    struct source_table sources;
    uint8_t hashes[PLAYBACK_RECORDINGS_MAX][SHA256_BYTES];
};

/* --- opening --- */

static int map_sources(struct playback *playback, struct part *part, struct err *err)
{
    const struct source_table *own = recording_sources(part->recording);

    for (uint32_t i = 0; i < own->count; i++) {
        const struct source *source = &own->items[i];
        int index = recording_source_index(&playback->sources, source->name, strlen(source->name),
                                           source->tick_ns);
        if (index < 0)
            return err_plain(err, -ENOSPC, "more than %d buses in all recordings", SOURCES_MAX);
        struct source *common = &playback->sources.items[index];
        if (source->tick_ns < common->tick_ns)
            common->tick_ns = source->tick_ns; /* the finer one holds the stamps of both */
        common->origin = source->origin;
        part->source_map[i] = (uint8_t)index;
    }
    return 0;
}

static int copy_file(const char *path, FILE *to, struct err *err)
{
    char bytes[65536];
    size_t got;
    FILE *from = fopen(path, "rb");

    if (!from)
        return err_at(err, -errno, path, 0, 0, "cannot be opened: %s", strerror(errno));
    while ((got = fread(bytes, 1, sizeof bytes, from)) > 0)
        if (fwrite(bytes, 1, got, to) != got)
            break;
    int rc = ferror(from) || ferror(to) ? err_at(err, -EIO, path, 0, 0, "cannot be copied") : 0;
    (void)fclose(from);
    return rc;
}

/* Name of segment 1 beside "...-0.rlc", when it is there. */
static bool second_segment(const char *path, char *second, size_t size)
{
    static const char ending[] = "-0.rlc";
    size_t length = strlen(path);

    if (length < sizeof ending || length >= size ||
        strcmp(path + length - (sizeof ending - 1), ending))
        return false;
    memcpy(second, path, length + 1);
    second[length - 5] = '1';
    return access(second, R_OK) == 0;
}

/* Both segments in one unnamed file: a clip of two segments is their concatenation. */
static int open_joined(const struct recording_config *config, const char *second,
                       struct recording **ret_recording, struct err *err)
{
    char path[64];
    FILE *joined = tmpfile();
    struct recording_config both = *config;

    if (!joined)
        return err_at(err, -errno, config->path, 0, 0, "no temporary file: %s", strerror(errno));
    int rc = copy_file(config->path, joined, err);
    if (!rc)
        rc = copy_file(second, joined, err);
    if (!rc && fflush(joined))
        rc = err_at(err, -EIO, config->path, 0, 0, "no room for a temporary file");
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(joined));
    both.path = path;
    both.format = "rlc";
    if (!rc)
        rc = recording_open(&both, ret_recording, err);
    (void)fclose(joined);
    return rc;
}

static int open_part(struct playback *playback, const struct recording_config *config,
                     struct err *err)
{
    struct part *part = &playback->parts[playback->count];
    char second[4096];
    int rc = second_segment(config->path, second, sizeof second)
                 ? open_joined(config, second, &part->recording, err)
                 : recording_open(config, &part->recording, err);

    if (rc)
        return rc;
    playback->count++;
    rc = recording_scan(part->recording, &part->scan, err);
    if (rc)
        return rc;
    memcpy(playback->hashes[playback->count - 1], part->scan.sha256, SHA256_BYTES);
    return map_sources(playback, part, err);
}

int playback_open(const struct playback_config *config, struct playback **ret_playback,
                  struct err *err)
{
    if (config->count < 1 || config->count > PLAYBACK_RECORDINGS_MAX)
        return err_plain(err, -ERANGE, "%u recordings; 1 to %d are possible", config->count,
                         PLAYBACK_RECORDINGS_MAX);
    struct playback *playback = calloc(1, sizeof *playback);
    int rc = 0;

    if (!playback)
        return err_plain(err, -ENOMEM, "no memory for %u recordings", config->count);
    for (uint32_t i = 0; !rc && i < config->count; i++)
        rc = open_part(playback,
                       &(struct recording_config){ config->paths[i], config->format,
                                                   config->strict },
                       err);
    if (rc) {
        playback_close(playback);
        return rc;
    }
    *ret_playback = playback;
    return 0;
}

void playback_close(struct playback *playback)
{
    if (!playback)
        return;
    for (uint32_t i = 0; i < PLAYBACK_RECORDINGS_MAX; i++)
        recording_close(playback->parts[i].recording);
    free(playback);
}

/* --- reading --- */

/* 1 with an item of that part, 0 at its end. */
static int next_of(struct part *part, struct recording_item *ret_item, struct err *err)
{
    int rc = recording_next(part->recording, ret_item, err);

    if (rc == 1 && ret_item->kind == RECORDING_FRAME)
        ret_item->row.frame.source = part->source_map[ret_item->row.frame.source];
    return rc;
}

/* Marks of one recording say nothing about the others, so a merge leaves them out. */
static int fill_head(struct part *part, struct err *err)
{
    while (!part->has_head && !part->ended) {
        int rc = next_of(part, &part->head, err);
        if (rc < 0)
            return rc;
        part->ended = rc == 0;
        part->has_head = rc == 1 && part->head.kind == RECORDING_FRAME;
    }
    return 0;
}

int playback_next(struct playback *playback, struct recording_item *ret_item, struct err *err)
{
    struct part *least = NULL;

    if (playback->count == 1)
        return next_of(&playback->parts[0], ret_item, err);
    for (uint32_t i = 0; i < playback->count; i++) {
        struct part *part = &playback->parts[i];
        int rc = fill_head(part, err);
        if (rc)
            return rc;
        if (part->has_head &&
            (!least || part->head.row.frame.stamp_ns < least->head.row.frame.stamp_ns))
            least = part;
    }
    if (!least)
        return 0;
    *ret_item = least->head;
    least->has_head = false;
    return 1;
}

/* --- asking --- */

const struct source_table *playback_sources(const struct playback *playback)
{
    return &playback->sources;
}

const uint8_t (*playback_hashes(const struct playback *playback, uint32_t *ret_count))[SHA256_BYTES]
{
    *ret_count = playback->count;
    return (const uint8_t(*)[SHA256_BYTES])playback->hashes;
}

uint64_t playback_frames(const struct playback *playback)
{
    uint64_t frames = 0;

    for (uint32_t i = 0; i < playback->count; i++)
        frames += playback->parts[i].scan.frames;
    return frames;
}

int64_t playback_first_stamp(const struct playback *playback)
{
    int64_t first_ns = 0;
    bool any = false;

    for (uint32_t i = 0; i < playback->count; i++) {
        const struct recording_scan *scan = &playback->parts[i].scan;
        if (scan->frames && (!any || scan->stamp_first_ns < first_ns)) {
            first_ns = scan->stamp_first_ns;
            any = true;
        }
    }
    return first_ns;
}

void playback_skips(const struct playback *playback, struct recording_skips *ret_skips)
{
    memset(ret_skips, 0, sizeof *ret_skips);
    for (uint32_t i = 0; i < playback->count; i++) {
        const struct recording_skips *skips = &playback->parts[i].scan.skips;
        for (int k = 0; k < RECORDING_SKIP_COUNT; k++) {
            ret_skips->count[k] += skips->count[k];
            if (!ret_skips->first_line[k])
                ret_skips->first_line[k] = skips->first_line[k];
        }
    }
}

const struct recording_clip *playback_clip(const struct playback *playback)
{
    return playback->count == 1 ? recording_clip(playback->parts[0].recording) : NULL;
}

bool playback_is_merge(const struct playback *playback) { return playback->count > 1; }
