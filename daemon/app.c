/* Opening and closing all of the daemon. Each step says in the log why it cannot. */
#include "daemon/app.h"

#include "daemon/memory.h"
#include "daemon/transports.h"
#include "proto/codec.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int64_t mono_now(void)
{
    struct clock_reading now;

    clock_read(&now);
    return now.mono_ns;
}

static int refused(struct app *app, const struct err *err)
{
    char text[ERR_FILE_MAX + ERR_TEXT_MAX + 32];

    (void)err_format(err, text, sizeof text);
    log_line(&app->log, LOG_ERROR, mono_now(), "%s", text);
    return 1;
}

/* --- what the run is made of --- */

static int open_recording(struct app *app)
{
    const char *paths[1] = { app->config.recording.path };
    const struct playback_config config = { .paths = paths, .count = 1,
        .format = app->config.recording.format[0] ? app->config.recording.format : NULL };
    struct err err;

    if (!paths[0][0])
        return 0;
    if (playback_open(&config, &app->playback, &err) < 0)
        return refused(app, &err);
    app->sources = *playback_sources(app->playback);
    /* A recording has its own buses: the shaping text names none, as in replay. */
    app->config.shaping.source_count = 0;
    return 0;
}

static void take_live_sources(struct app *app)
{
    if (app->playback)
        return;
    app->sources.count = app->config.source_count;
    for (uint32_t i = 0; i < app->config.source_count; i++) {
        struct source *source = &app->sources.items[i];
        memcpy(source->name, app->config.sources[i].name, sizeof source->name);
        source->tick_ns = 1;
        source->origin = STAMP_KERNEL; /* what they turn out to be, the source tells */
    }
}

static int load_generation(struct app *app)
{
    const char *packs[CONFIG_PACKS_MAX], *dbcs[CONFIG_DBCS_MAX];
    struct clock_reading now;

    clock_read(&now);
    for (uint32_t i = 0; i < app->config.pack_count; i++)
        packs[i] = app->config.packs[i];
    for (uint32_t i = 0; i < app->config.dbc_count; i++)
        dbcs[i] = app->config.dbcs[i];
    const struct generation_config config = { .packs = packs, .pack_count = app->config.pack_count,
        .dbcs = dbcs, .dbc_count = app->config.dbc_count,
        .today_utc_ns = app->playback ? 0 : now.wall_ns };
    int code = generation_load(&config, &app->diags, &app->generation);
    log_diags(&app->log, &app->diags, now.mono_ns);
    return code < 0 ? 1 : 0;
}

static int make_session(struct app *app)
{
    uint8_t random[SESSION_ID_BYTES];
    uint32_t count;

    if (app->playback) {
        const uint8_t (*hashes)[SHA256_BYTES] = playback_hashes(app->playback, &count);
        generation_session(app->generation, &app->config.shaping, hashes, count, &app->session);
    } else {
        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
            return refused(app, &(struct err){ .text = "the kernel gives no random numbers" });
        session_live(&app->session, &app->config.shaping, random);
    }
    hex_from(app->session.id, SESSION_ID_BYTES, app->snapshot.session);
    return 0;
}

/* --- queues --- */

static int open_queue(struct app *app, struct spsc **ret_queue, uint32_t slots, size_t bytes,
                      uint32_t reserved)
{
    const struct spsc_config config = { .slot_count = slots, .slot_bytes = (uint32_t)bytes,
                                        .reserved = reserved };
    int code = spsc_open(ret_queue, &config);

    if (code < 0)
        log_line(&app->log, LOG_ERROR, mono_now(), "queue of %u slots: %s", slots, strerror(-code));
    return code < 0 ? 1 : 0;
}

static int open_queues(struct app *app)
{
    int bad = open_queue(app, &app->capture_flow, CAPTURE_SLOTS, sizeof(struct source_item),
                         RESERVED_SLOTS);

    if (!bad)
        bad = open_queue(app, &app->flow_encode, FLOW_SLOTS, sizeof(struct flow_item),
                         RESERVED_SLOTS);
    if (!bad)
        bad = open_queue(app, &app->encode_store, PIECE_SLOTS, sizeof(struct piece_item), 1);
    if (!bad)
        bad = open_queue(app, &app->back, BACK_SLOTS, sizeof(struct back_item), 0);
    if (!bad)
        bad = open_queue(app, &app->jobs, JOB_SLOTS, sizeof(struct job), 0);
    if (!bad)
        bad = open_queue(app, &app->outcomes, OUTCOME_SLOTS, sizeof(struct outcome), 0);
    return bad;
}

/* --- the objects of the threads --- */

static int open_capture(struct app *app)
{
    struct capture *capture = &app->capture;
    struct err err;

    capture->out = app->capture_flow;
    capture->live = !app->playback;
    capture->reorder_ns = app->config.reorder_ns;
    capture->opened_ns = mono_now();
    if (app->playback) {
        bool real_time = app->config.recording.speed == CONFIG_SPEED_REAL;
        if (source_open_recording(app->playback, real_time, &capture->sources[0]) < 0)
            return refused(app, &(struct err){ .text = "out of memory" });
        capture->source_count = 1;
        return 0;
    }
    for (uint32_t i = 0; i < app->config.source_count; i++) {
        if (source_open_socket(&app->config.sources[i], (uint8_t)i, &capture->sources[i], &err) < 0)
            return refused(app, &err);
        capture->source_count = i + 1;
    }
    return 0;
}

/* A bus that is not there now is no reason to stop, but worth a line; so is a small buffer. */
static void warn_of_sources(struct app *app)
{
    struct source_stats stats;

    for (uint32_t i = 0; !app->playback && i < app->capture.source_count; i++) {
        const struct source_config *config = &app->config.sources[i];
        (void)app->capture.sources[i].ops->stats(app->capture.sources[i].context, &stats);
        if (stats.state != SOURCE_UP)
            log_line(&app->log, LOG_WARNING, app->started_ns, "source %s (%s) is not there: %s",
                     config->name, config->address, strerror(stats.last_errno));
        else if (stats.rcvbuf_bytes < config->rcvbuf_bytes)
            log_line(&app->log, LOG_WARNING, app->started_ns,
                     "source %s: receive buffer %u of %u bytes: raise net.core.rmem_max "
                     "(config/sysctl-roadloop.conf)",
                     config->name, stats.rcvbuf_bytes, config->rcvbuf_bytes);
    }
}

static int open_flow(struct app *app)
{
    struct pipeline_config config = { .session = &app->session, .shaping = &app->config.shaping,
        .sources = &app->sources, .clock_quality = app->playback ? "recording" : "kernel" };
    struct recording_skips skips;
    struct clock_reading now;
    struct err err;

    clock_read(&now);
    if (app->playback) {
        playback_skips(app->playback, &skips);
        for (int i = 0; i < RECORDING_NOTE_UNSORTED; i++)
            config.skipped_lines += skips.count[i];
        if (app->config.recording.wall_known)
            config.clock = (struct clip_clock){ .known = true, .source = "operator",
                .mono_ns = playback_first_stamp(app->playback),
                .utc_ns = app->config.recording.wall_start_ns };
        feed_init(&app->flow.feed, playback_clip(app->playback), true);
    } else if (clock_is_set(now.wall_ns)) {
        config.clock = (struct clip_clock){ .known = true, .source = "system",
            .mono_ns = now.mono_ns, .utc_ns = now.wall_ns, .uncertainty_ns = NS_PER_S };
    }
    if (pipeline_open(&config, app->generation, &app->flow.pipeline, &err) < 0)
        return refused(app, &err);
    if (!app->playback && merge_open(&app->flow.merge, MERGE_FRAMES) < 0)
        return refused(app, &(struct err){ .text = "out of memory" });
    app->flow.in = app->capture_flow;
    app->flow.out = app->flow_encode;
    app->flow.live = !app->playback;
    app->flow.sources = &app->sources;
    app->flow.generation = app->generation->number;
    return 0;
}

static int open_encode(struct app *app)
{
    const struct shaping *shaping = &app->config.shaping;
    const struct recorder_config config = {
        .open_bytes = (size_t)shaping->open_bytes, .ring_bytes = (size_t)shaping->ring_bytes,
        .pin_bytes = (size_t)shaping->pin_bytes, .block_ns = shaping->block_ns,
        .codec = (uint8_t)codec_from_name(shaping->codec), .live = !app->playback,
        .sources = app->sources,
    };
    int code = recorder_open(&config, &app->encode.recorder);
    struct err err;

    if (code < 0) {
        (void)err_plain(&err, code, "recorder: %s (ring.bytes, ring.open, ring.pins)",
                        strerror(-code));
        return refused(app, &err);
    }
    app->encode.in = app->flow_encode;
    app->encode.out = app->encode_store;
    app->encode.back = app->back;
    app->encode.live = !app->playback;
    return 0;
}

static int open_artifacts(struct app *app)
{
    struct err err;

    if (!app->config.upload.artifacts)
        return 0;
    return artifact_set_open(app->generation, &app->store.artifacts, &err) < 0 ? refused(app, &err)
                                                                               : 0;
}

static int open_store(struct app *app)
{
    struct clipstore_config config = {
        .dir = app->config.store.path, .io = io_system(),
        .chunk_bytes = (uint32_t)app->config.store.chunk_bytes,
        .quota_bytes = app->config.store.quota_bytes,
        .flash_bytes_per_day = app->config.store.writes_per_day_bytes,
        .delete_after = app->config.store.delete_after == CONFIG_DELETE_BROKER_ACK
                            ? CLIPSTORE_DELETE_BROKER_ACK : CLIPSTORE_DELETE_RECEIPT,
    };
    struct err err;

    memcpy(config.session_id, app->session.id, sizeof config.session_id);
    if (clipstore_open(&config, mono_now(), &err, &app->store.clipstore) < 0)
        return refused(app, &err);
    app->store.in = app->encode_store;
    app->store.back = app->back;
    app->store.outcomes = app->outcomes;
    app->store.jobs = app->config.upload.transport == CONFIG_TRANSPORT_NONE ? NULL : app->jobs;
    return open_artifacts(app);
}

/* --- upload --- */

/* Called inside uploader_turn, on the upload thread: the offsets were read before it started. */
static int stored_offset(void *argument, int32_t partition, int64_t *ret_offset)
{
    const struct app *app = argument;

    if (partition < 0 || partition >= APP_OFFSETS_MAX || app->offsets[partition] < 0)
        return 0;
    *ret_offset = app->offsets[partition];
    return 1;
}

static int open_upload(struct app *app)
{
    const struct config *config = &app->config;
    struct transport transport = { NULL, NULL };
    char clips[CONFIG_PATH_MAX + 16], artifacts[CONFIG_PATH_MAX + 16];
    uint64_t seed = 1;
    struct err err;

    app->upload.jobs = app->jobs;
    app->upload.outcomes = app->outcomes;
    if (config->upload.transport == CONFIG_TRANSPORT_NONE)
        return 0;
    for (int32_t i = 0; i < APP_OFFSETS_MAX; i++)
        if (clipstore_offset(app->store.clipstore, i, &app->offsets[i]) != 1)
            app->offsets[i] = -1;
    if (!app->playback && getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        return refused(app, &(struct err){ .text = "the kernel gives no random numbers" });
    if (transports_open(config, &transport, &err) < 0)
        return refused(app, &err);
    (void)snprintf(clips, sizeof clips, "%s/clips", config->store.path);
    (void)snprintf(artifacts, sizeof artifacts, "%s/artifacts", config->store.path);
    const struct uploader_config uploader = {
        .clips_dir = clips, .artifacts_dir = artifacts,
        .rate = { .bytes_per_s = config->upload.rate_bytes,
                  .burst_bytes = config->upload.burst_bytes + WIRE_CHUNK_HEADER_BYTES },
        .seed = seed, .ship_artifacts = config->upload.artifacts,
        .receipts = config->store.delete_after == CONFIG_DELETE_RECEIPT,
        .stored_offset = stored_offset, .argument = app,
    };
    if (uploader_open(&uploader, transport, mono_now(), &err, &app->upload.uploader) < 0)
        return refused(app, &err);
    return 0;
}

/* --- main's own --- */

static int watch(struct app *app, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    return fd < 0 || epoll_ctl(app->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -1 : 0;
}

static int open_loop(struct app *app)
{
    const struct itimerspec tick = { .it_interval = { .tv_nsec = 250000000 },
                                     .it_value = { .tv_nsec = 1000000 } };
    sigset_t signals;
    struct err err;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is EFBIG, as a full disk is ENOSPC */
    if (control_open(&(struct control_config){ app->config.control.socket,
                     app->config.control.group }, &app->control, &err) < 0)
        return refused(app, &err);
    app->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    app->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    app->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int bad = watch(app, app->signal_fd) < 0 || watch(app, app->timer_fd) < 0 ||
              watch(app, control_fd(app->control)) < 0 ||
              timerfd_settime(app->timer_fd, 0, &tick, NULL) < 0;
    for (int i = 0; i < WORKER_COUNT && !bad; i++)
        bad = watch(app, spsc_fd(app->workers[i]->reports)) < 0;
    if (bad)
        log_line(&app->log, LOG_ERROR, mono_now(), "event loop: %s", strerror(errno));
    return bad;
}

static int open_workers(struct app *app)
{
    struct worker *const workers[WORKER_COUNT] = { &app->capture.worker, &app->flow.worker,
        &app->encode.worker, &app->store.worker, &app->upload.worker };

    for (int i = 0; i < WORKER_COUNT; i++) {
        app->workers[i] = workers[i];
        if (worker_open(workers[i], (enum worker_id)i) < 0)
            return refused(app, &(struct err){ .text = "out of memory" });
    }
    return 0;
}

static void describe(struct app *app)
{
    static const char *const transports[] = { "none", "kafka", "file" };
    struct snapshot *snapshot = &app->snapshot;
    struct memory_row rows[MEMORY_ROWS];
    uint8_t digest[SHA256_BYTES];

    memcpy(snapshot->vehicle, app->config.shaping.vehicle, sizeof snapshot->vehicle);
    (void)snprintf(snapshot->config, sizeof snapshot->config, "%.255s", app->config.file);
    (void)snprintf(snapshot->transport, sizeof snapshot->transport, "%s",
                   transports[app->config.upload.transport]);
    snapshot->sources = app->sources;
    generation_digest(app->generation, digest);
    hex_from(digest, SHA256_BYTES, snapshot->digest);
    snapshot->memory_bytes = memory_table(&app->config, rows);
}

static int load_config(struct app *app)
{
    int code = config_load(app->options.config, &app->diags, &app->config);

    log_diags(&app->log, &app->diags, app->started_ns);
    memset(&app->diags, 0, sizeof app->diags);
    return code < 0 ? 2 : 0;
}

int app_open(struct app *app, const struct app_options *options)
{
    int (*const steps[])(struct app *) = { load_config, open_recording, load_generation,
        make_session, open_workers, open_queues, open_capture, open_flow, open_encode, open_store,
        open_upload, open_loop };
    int status = 0;

    memset(app, 0, sizeof *app);
    app->options = *options;
    app->started_ns = mono_now();
    app->epoll_fd = app->signal_fd = app->timer_fd = app->link_fd = -1;
    log_init(&app->log, !isatty(STDERR_FILENO), app->started_ns);
    for (size_t i = 0; status == 0 && i < sizeof steps / sizeof steps[0]; i++) {
        status = steps[i](app);
        if (status == 0 && steps[i] == open_recording)
            take_live_sources(app);
    }
    if (status == 0) {
        describe(app);
        warn_of_sources(app);
    }
    return status;
}

void app_close(struct app *app)
{
    control_close(app->control);
    for (uint32_t i = 0; i < app->capture.source_count; i++)
        app->capture.sources[i].ops->close(app->capture.sources[i].context);
    uploader_close(app->upload.uploader, 0);
    artifact_set_close(app->store.artifacts);
    clipstore_close(app->store.clipstore);
    recorder_close(app->encode.recorder);
    merge_close(app->flow.merge);
    feed_deinit(&app->flow.feed);
    pipeline_close(app->flow.pipeline);
    for (int i = 0; i < WORKER_COUNT; i++)
        if (app->workers[i])
            worker_close(app->workers[i]);
    struct spsc *const queues[] = { app->capture_flow, app->flow_encode, app->encode_store,
                                    app->back, app->jobs, app->outcomes };
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++)
        spsc_close(queues[i]);
    generation_close(app->generation);
    generation_close(app->next);
    playback_close(app->playback);
    const int fds[] = { app->epoll_fd, app->signal_fd, app->timer_fd, app->link_fd };
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}
