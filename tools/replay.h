/* replay - recordings through pipeline and recorder, the objects that the daemon runs, in one
 * thread: events and clips are handed to the caller, segments are written to a folder.
 * cmd_replay.c prints them; others (backtest, test) may count them. Only --speed 1 reads a clock. */
#ifndef TOOLS_REPLAY_H
#define TOOLS_REPLAY_H
#include "daemon/config.h"
#include "daemon/pipeline.h"
#include "daemon/playback.h"

#define REPLAY_PATH_MAX 4096
#define REPLAY_INPUTS_MAX 64
#define REPLAY_GAP_NS (10 * NS_PER_S) /* nothing on any bus so long: nobody drives */

struct replay_options {
    const char *logs[REPLAY_INPUTS_MAX], *packs[REPLAY_INPUTS_MAX], *dbcs[REPLAY_INPUTS_MAX];
    uint32_t log_count, pack_count, dbc_count;
    const struct ruleset_pack *texts; /* packs from memory, instead of `packs`; borrowed */
    uint32_t text_count;
    const char *config, *out, *codec, *vehicle, *format;
    bool real_time, json, strict;
    bool other_rules; /* a clip may be run with other rules than made it: nothing is compared */
    bool wall_known;
    int64_t wall_start_ns; /* UTC of the first frame */
};

/* A clip that ended: its manifest (of the last segment) and what was written. */
struct replay_clip {
    const struct clip_header *header;
    const struct clip_manifest *manifest;
    const char *path;      /* of the last segment; "" without --out */
    uint64_t frames, bytes; /* of all segments */
};

struct replay_stats {
    struct pipeline_stats pipeline;
    struct recorder_stats recorder;
    struct recording_skips skips;
    uint64_t frames; /* of the recordings */
    uint64_t left_out; /* rows of a clip beyond its end or of a later generation */
    /* A clip: events that its manifest lists, and fires that are among them or are not. */
    uint64_t listed, matched, unexpected;
    double seconds;  /* of the machine, without loading */
    int64_t driven_ns; /* recorded time: between frames no further apart than REPLAY_GAP_NS */
    bool is_clip;      /* the recording is a clip: a moment that some rule chose */
};

/* What the caller wants to hear of; each may be NULL. Pointers hold during the call. */
struct replay_listener {
    void *context;
    void (*loaded)(void *context, const struct generation *generation); /* before the first frame */
    void (*note)(void *context, const struct pipeline_note *note);
    void (*clip)(void *context, const struct replay_clip *clip);
};

/* Runs it all. Returns 0, or a negative errno; errors of packs and databases are in diags, all
 * others in *err. The books of G3 are checked at the end: -EBADMSG if they do not close. */
int replay_run(const struct replay_options *options, const struct replay_listener *listener,
               struct diags *diags, struct replay_stats *ret_stats, struct err *err);

#endif
