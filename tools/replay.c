#include "tools/replay.h"

#include "daemon/feed.h"
#include "daemon/generation.h"
#include "proto/bytes.h"
#include "proto/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct clip_file {
    bool used;
    FILE *file;
    struct clip_header header; /* owned copy: BEGIN's is gone by the time of END */
    uint64_t frames, bytes;
    char path[REPLAY_PATH_MAX], part[REPLAY_PATH_MAX + 8];
};

struct replay {
    const struct replay_options *options;
    const struct replay_listener *listener;
    struct diags *diags;
    struct err *err;
    struct shaping shaping;
    struct playback *playback;
    struct generation *generation;
    struct session session;
    struct pipeline *pipeline;
    struct recorder *recorder;
    struct feed feed;
    struct clip_file clips[CLIPS_OPEN_MAX];
    int64_t first_stamp_ns, began_ns; /* for --speed 1 */
    uint64_t matched, unexpected;     /* fires of a clip, against its manifest */
    int64_t last_stamp_ns, driven_ns;
    bool has_stamp;
};

/* --- what the run is made of --- */

static int load_shaping(struct replay *replay, struct config *config)
{
    const struct replay_options *options = replay->options;

    config_init(config);
    if (options->config && config_load(options->config, replay->diags, config))
        return -EBADMSG;
    replay->shaping = config->shaping;
    /* Live buses are no part of what shapes a recording: it has its own. */
    replay->shaping.source_count = 0;
    memset(replay->shaping.sources, 0, sizeof replay->shaping.sources);
    if (options->codec)
        (void)snprintf(replay->shaping.codec, sizeof replay->shaping.codec, "%s", options->codec);
    if (options->vehicle)
        (void)snprintf(replay->shaping.vehicle, sizeof replay->shaping.vehicle, "%s",
                       options->vehicle);
    if (options->codec && codec_from_name(options->codec) < 0)
        return err_plain(replay->err, -EINVAL, "no codec '%s'; there are rows and columnar",
                         options->codec);
    return 0;
}

static bool is_attached(const struct recording_clip *clip)
{
    return clip && clip->header && clip->attachment_count > 0;
}

/* Packs and databases: of the command line, else of the configuration, else those that an .mcap
 * brings with it. */
static int load_generation(struct replay *replay, const struct config *config)
{
    const struct replay_options *options = replay->options;
    const struct recording_clip *clip = playback_clip(replay->playback);
    const char *packs[CONFIG_PACKS_MAX], *dbcs[CONFIG_DBCS_MAX];
    struct generation_config from = { .packs = options->packs,
                                      .pack_count = options->pack_count,
                                      .texts = options->texts,
                                      .text_count = options->text_count,
                                      .dbcs = options->dbcs,
                                      .dbc_count = options->dbc_count };

    if (is_attached(clip))
        return generation_load_attached(&from, clip->attachments, clip->attachment_count,
                                        clip->header->pack_sha256, replay->diags,
                                        &replay->generation);
    for (uint32_t i = 0; i < config->pack_count; i++)
        packs[i] = config->packs[i];
    for (uint32_t i = 0; i < config->dbc_count; i++)
        dbcs[i] = config->dbcs[i];
    if (!from.pack_count && !from.text_count) {
        from.packs = packs;
        from.pack_count = config->pack_count;
    }
    if (!from.dbc_count) {
        from.dbcs = dbcs;
        from.dbc_count = config->dbc_count;
    }
    return generation_load(&from, replay->diags, &replay->generation);
}

static int hash_differs(struct replay *replay, const char *what, const uint8_t *in_clip,
                        const uint8_t *given)
{
    char want[SHA256_HEX], have[SHA256_HEX];

    hex_from(in_clip, SHA256_BYTES, want);
    hex_from(given, SHA256_BYTES, have);
    return err_at(replay->err, -EBADMSG, replay->options->logs[0], 0, 0,
                  "the clip was made with %s %s, but %s is given", what, want, have);
}

static const struct clip_dbc *dbc_of_bus(const struct clip_dbc *dbcs, uint32_t count,
                                         const struct clip_dbc *wanted)
{
    const struct clip_dbc *found = NULL;

    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(dbcs[i].bus, wanted->bus))
            continue;
        if (!memcmp(dbcs[i].sha256, wanted->sha256, SHA256_BYTES))
            return &dbcs[i];
        found = &dbcs[i];
    }
    return found;
}

static int check_databases(struct replay *replay, const struct clip_header *header)
{
    const struct generation *generation = replay->generation;
    char want[SHA256_HEX], what[128];

    for (uint32_t i = 0; i < header->dbc_count; i++) {
        const struct clip_dbc *wanted = &header->dbcs[i];
        const struct clip_dbc *given =
            dbc_of_bus(generation->dbcs, generation->dbc_count, wanted);

        hex_from(wanted->sha256, SHA256_BYTES, want);
        if (!given)
            return err_at(replay->err, -EBADMSG, replay->options->logs[0], 0, 0,
                          "the clip was made with database %s (%s) for %s; give it with --dbc",
                          wanted->name, want, wanted->bus[0] ? wanted->bus : "every bus");
        (void)snprintf(what, sizeof what, "database %s", wanted->name);
        if (memcmp(given->sha256, wanted->sha256, SHA256_BYTES))
            return hash_differs(replay, what, wanted->sha256, given->sha256);
    }
    return 0;
}

/* A clip is replayed with what it was made with, or not at all: else its events mean nothing. */
static int check_clip(struct replay *replay)
{
    const struct recording_clip *clip = playback_clip(replay->playback);

    if (!clip || !clip->header || !clip->header->rule || !clip->header->rule[0] ||
        replay->options->other_rules)
        return 0;
    if (!replay->generation->rules)
        return err_at(replay->err, -EINVAL, replay->options->logs[0], 0, 0,
                      "is a clip of rule %s; give its pack with --rules", clip->header->rule);
    int rc = check_databases(replay, clip->header);
    if (rc)
        return rc;
    if (memcmp(clip->header->pack_sha256, replay->generation->pack_sha256, SHA256_BYTES))
        return hash_differs(replay, "rules", clip->header->pack_sha256,
                            replay->generation->pack_sha256);
    replay->generation->number = clip->header->generation;
    return 0;
}

static int open_recorder(struct replay *replay)
{
    const struct shaping *shaping = &replay->shaping;
    int codec = codec_from_name(shaping->codec);
    struct recorder_config config = { .open_bytes = (size_t)shaping->open_bytes,
                                      .ring_bytes = (size_t)shaping->ring_bytes,
                                      .pin_bytes = (size_t)shaping->pin_bytes,
                                      .block_ns = shaping->block_ns,
                                      .codec = (uint8_t)(codec < 0 ? 0 : codec),
                                      .sources = *playback_sources(replay->playback) };

    int rc = recorder_open(&config, &replay->recorder);
    return rc ? err_plain(replay->err, rc, "the recorder cannot be opened: %s", strerror(-rc)) : 0;
}

static int open_pipeline(struct replay *replay)
{
    uint64_t skipped = 0;
    struct recording_skips skips;
    struct pipeline_config config = { .session = &replay->session,
                                      .shaping = &replay->shaping,
                                      .sources = playback_sources(replay->playback),
                                      .clock_quality = "recording" };

    playback_skips(replay->playback, &skips);
    for (int i = 0; i < RECORDING_NOTE_UNSORTED; i++)
        skipped += skips.count[i];
    config.skipped_lines = skipped;
    if (replay->options->wall_known)
        config.clock = (struct clip_clock){ .known = true,
                                            .mono_ns = playback_first_stamp(replay->playback),
                                            .utc_ns = replay->options->wall_start_ns,
                                            .source = "operator" };
    return pipeline_open(&config, replay->generation, &replay->pipeline, replay->err);
}

static int open_all(struct replay *replay)
{
    const struct replay_options *options = replay->options;
    const struct playback_config playback = { options->logs, options->log_count, options->format,
                                              options->strict };
    struct config config;
    uint32_t count;

    int rc = load_shaping(replay, &config);
    if (!rc)
        rc = playback_open(&playback, &replay->playback, replay->err);
    if (!rc)
        rc = load_generation(replay, &config);
    if (!rc)
        rc = check_clip(replay);
    if (rc)
        return rc;
    const uint8_t (*hashes)[SHA256_BYTES] = playback_hashes(replay->playback, &count);
    generation_session(replay->generation, &replay->shaping, hashes, count, &replay->session);
    if (options->out && mkdir(options->out, 0777) && errno != EEXIST)
        return err_at(replay->err, -errno, options->out, 0, 0, "cannot be made: %s",
                      strerror(errno));
    rc = open_recorder(replay);
    return rc ? rc : open_pipeline(replay);
}

/* --- segments --- */

static int begin_segment(struct replay *replay, struct clip_file *clip,
                         const struct recorder_piece *piece)
{
    char name[JOB_NAME_MAX];
    struct err err;

    if (piece->segment == 0) {
        clip_header_deinit(&clip->header);
        clip->frames = clip->bytes = 0;
    }
    if (!clip->header.owned && clip_header_decode(piece->bytes, load_le32(piece->bytes + 4) + 16u,
                                                  &clip->header, &err))
        return err_plain(replay->err, -EBADMSG, "our own header does not read: %s", err.text);
    clip->used = true;
    clip->path[0] = '\0';
    if (!replay->options->out)
        return 0;
    job_segment_name(piece->clip_id, piece->segment, name);
    (void)snprintf(clip->path, sizeof clip->path, "%s/%s", replay->options->out, name);
    (void)snprintf(clip->part, sizeof clip->part, "%s.part", clip->path);
    clip->file = fopen(clip->part, "wb");
    if (!clip->file)
        return err_at(replay->err, -errno, clip->part, 0, 0, "cannot be written: %s",
                      strerror(errno));
    return 0;
}

static int end_segment(struct replay *replay, struct clip_file *clip,
                       const struct recorder_piece *piece)
{
    const struct clip_manifest *manifest = piece->manifest;

    clip->frames += manifest->frames;
    if (clip->file) {
        int bad = fclose(clip->file);
        clip->file = NULL;
        if (bad || rename(clip->part, clip->path))
            return err_at(replay->err, -EIO, clip->path, 0, 0, "cannot be finished: %s",
                          strerror(errno));
    }
    if (!manifest->last_segment)
        return 0;
    clip->used = false;
    if (replay->listener->clip) {
        const struct replay_clip ended = { &clip->header, manifest, clip->path, clip->frames,
                                           clip->bytes };
        replay->listener->clip(replay->listener->context, &ended);
    }
    return 0;
}

static int write_piece(struct replay *replay, const struct recorder_piece *piece)
{
    struct clip_file *clip = &replay->clips[piece->clip];
    int rc = 0;

    if (piece->kind == RECORDER_FAILED) {
        if (clip->file)
            (void)fclose(clip->file);
        clip->file = NULL;
        clip->used = false;
        return 0;
    }
    if (piece->kind == RECORDER_BEGIN)
        rc = begin_segment(replay, clip, piece);
    if (rc)
        return rc;
    clip->bytes += piece->size;
    if (clip->file && fwrite(piece->bytes, 1, piece->size, clip->file) != piece->size)
        return err_at(replay->err, -EIO, clip->part, 0, 0, "cannot be written: %s",
                      strerror(errno));
    return piece->kind == RECORDER_END ? end_segment(replay, clip, piece) : 0;
}

/* --- the loop --- */

static int take_pieces(struct replay *replay)
{
    struct recorder_piece piece;
    int rc = 0;

    while (!rc && recorder_take(replay->recorder, &piece)) {
        rc = write_piece(replay, &piece);
        recorder_release(replay->recorder, piece.block);
    }
    return rc;
}

/* Events by hand do not fire by themselves. */
static bool is_listed(const struct clip_event *event)
{
    return event->edge != CLIP_EDGE_MANUAL;
}

static void compare_fire(struct replay *replay, const struct clip_event *fired)
{
    const struct clip_manifest *manifest = replay->feed.clip->manifest;

    for (uint32_t i = 0; manifest && i < manifest->event_count; i++) {
        const struct clip_event *event = &manifest->events[i];
        if (is_listed(event) && event->fire_step == fired->fire_step &&
            event->fire_ns == fired->fire_ns && event->edge == fired->edge &&
            !strcmp(event->rule, fired->rule)) {
            replay->matched++;
            return;
        }
    }
    replay->unexpected++;
}

static void take_notes(struct replay *replay)
{
    struct pipeline_note note;

    while (pipeline_take_note(replay->pipeline, &note)) {
        if (replay->feed.clip && !replay->options->other_rules && note.kind == PIPELINE_NOTE_FIRE)
            compare_fire(replay, note.event);
        if (replay->listener->note)
            replay->listener->note(replay->listener->context, &note);
    }
}

static int take_output(struct replay *replay)
{
    struct recorder_command command;
    int rc = 0;

    take_notes(replay);
    while (!rc && pipeline_take(replay->pipeline, &command)) {
        while ((rc = recorder_put(replay->recorder, &command)) == -EAGAIN) {
            rc = take_pieces(replay);
            if (rc)
                recorder_command_deinit(&command);
            if (rc)
                return rc;
        }
        if (rc)
            return err_plain(replay->err, rc, "the recorder refused a command: %s", strerror(-rc));
        if (command.kind != RECORDER_ROW)
            rc = take_pieces(replay);
    }
    return rc ? rc : take_pieces(replay);
}

static int64_t clock_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void wait_for(struct replay *replay, int64_t stamp_ns)
{
    if (!replay->began_ns) {
        replay->began_ns = clock_ns();
        replay->first_stamp_ns = stamp_ns;
    }
    int64_t wait_ns = stamp_ns - replay->first_stamp_ns - (clock_ns() - replay->began_ns);
    if (wait_ns <= 0)
        return;
    const struct timespec wait = { wait_ns / NS_PER_S, wait_ns % NS_PER_S };
    (void)nanosleep(&wait, NULL);
}

static void count_time(struct replay *replay, int64_t stamp_ns)
{
    int64_t step_ns = stamp_ns - replay->last_stamp_ns;

    if (replay->has_stamp && step_ns > 0 && step_ns <= REPLAY_GAP_NS)
        replay->driven_ns += step_ns;
    replay->last_stamp_ns = stamp_ns;
    replay->has_stamp = true;
}

static int run(struct replay *replay)
{
    struct recording_item item;
    int rc, fed;

    feed_init(&replay->feed, playback_clip(replay->playback),
              !playback_is_merge(replay->playback));
    rc = take_output(replay);
    while (!rc && (rc = playback_next(replay->playback, &item, replay->err)) == 1) {
        if (replay->options->real_time && item.kind == RECORDING_FRAME)
            wait_for(replay, item.row.frame.stamp_ns);
        if (item.kind == RECORDING_FRAME)
            count_time(replay, item.row.frame.stamp_ns);
        fed = feed_item(&replay->feed, replay->pipeline, &item);
        rc = fed ? err_plain(replay->err, fed, "a row does not go on from the one before it: %s",
                             strerror(-fed))
                 : take_output(replay);
    }
    if (!rc && (fed = feed_finish(&replay->feed, replay->pipeline)))
        rc = err_plain(replay->err, fed, "the end cannot be taken: %s", strerror(-fed));
    return rc ? rc : take_output(replay);
}

static int count_up(struct replay *replay, struct replay_stats *ret_stats)
{
    pipeline_stats(replay->pipeline, &ret_stats->pipeline);
    recorder_stats(replay->recorder, &ret_stats->recorder);
    playback_skips(replay->playback, &ret_stats->skips);
    ret_stats->frames = playback_frames(replay->playback);
    ret_stats->left_out = replay->feed.left_out;
    ret_stats->matched = replay->matched;
    ret_stats->unexpected = replay->unexpected;
    ret_stats->driven_ns = replay->driven_ns;
    ret_stats->is_clip = replay->feed.clip && replay->feed.clip->header &&
                         replay->feed.clip->header->rule && replay->feed.clip->header->rule[0];
    if (replay->feed.clip && replay->feed.clip->manifest)
        for (uint32_t i = 0; i < replay->feed.clip->manifest->event_count; i++)
            ret_stats->listed += is_listed(&replay->feed.clip->manifest->events[i]);
    return pipeline_books(&ret_stats->pipeline, &ret_stats->recorder, replay->err);
}

static void close_all(struct replay *replay)
{
    for (unsigned i = 0; i < CLIPS_OPEN_MAX; i++) {
        if (replay->clips[i].file)
            (void)fclose(replay->clips[i].file);
        clip_header_deinit(&replay->clips[i].header);
    }
    feed_deinit(&replay->feed);
    pipeline_close(replay->pipeline);
    recorder_close(replay->recorder);
    generation_close(replay->generation);
    playback_close(replay->playback);
    free(replay);
}

int replay_run(const struct replay_options *options, const struct replay_listener *listener,
               struct diags *diags, struct replay_stats *ret_stats, struct err *err)
{
    struct replay *replay = calloc(1, sizeof *replay);

    memset(ret_stats, 0, sizeof *ret_stats);
    if (!replay)
        return err_plain(err, -ENOMEM, "no memory");
    *replay = (struct replay){ .options = options, .listener = listener, .diags = diags,
                               .err = err };
    int rc = open_all(replay);
    int64_t from_ns = clock_ns();
    if (!rc && listener->loaded)
        listener->loaded(listener->context, replay->generation);
    if (!rc)
        rc = run(replay);
    ret_stats->seconds = (double)(clock_ns() - from_ns) / 1e9;
    if (!rc)
        rc = count_up(replay, ret_stats);
    close_all(replay);
    return rc;
}
