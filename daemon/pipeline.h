/* pipeline - frames in, rows and clip commands out: the timeline, the rule engine and the decisions
 * which events share a clip and when it ends. Pure: no thread, socket, clock or disk; output is
 * polled. Daemon, `replay` and tests link this very object.
 *
 * Rules of clips (rules.md 2, DESIGN.md 4):
 *  1. An event opens [start - pre, end + post]; while it is active the end is open.
 *  2. A later event joins when it fires no later than join_ns after the clip's end, with equal class,
 *     streams, purpose and redaction; else it opens its own clip, which names the overlap.
 *  3. The clip closes at the first step beyond end + join_ns, all its events being closed.
 *  4. At clip.max (time, row bytes / size_ratio, or a list full of events) it closes and the next clip `continues` it.
 *  5. At most clips_open at a time; the next one is failed(clips).
 *  6. Priority 9 at OPEN makes two segments: SEAL follows OPEN at once.
 *
 * Take commands and notes after every input: with PIPELINE_WAITING_MAX waiting, inputs say -EBUSY.
 * Owner: the pipeline thread. */
#ifndef DAEMON_PIPELINE_H
#define DAEMON_PIPELINE_H
#include "daemon/session.h"
#include "daemon/shaping.h"
#include "proto/clip.h"
#include "proto/timeline.h"
#include "storage/recorder.h"

#define PIPELINE_WAITING_MAX 4096

struct ruleset;
struct dbset;

/* A pack with its databases, compiled; immutable. The caller keeps it until pipeline_close, or until
 * PIPELINE_NOTE_RELOADED came for a later one. */
struct generation {
    uint32_t number;
    struct ruleset *rules; /* NULL: no rules, only manual clips */
    struct dbset *dbset;
    uint8_t pack_sha256[SHA256_BYTES];
    struct clip_dbc dbcs[CLIP_DBCS_MAX];
    uint32_t dbc_count;
};

struct pipeline_config {
    const struct session *session;
    const struct shaping *shaping;
    const struct source_table *sources; /* complete; fixed for the session */
    struct clip_clock clock;            /* wall label as known at start */
    const char *clock_quality;          /* for manifests: "recording", "kernel", ... */
    uint64_t skipped_lines;             /* of the recording, for manifests */
};

/* What went on, for `replay --json`, logs and status. Borrowed until the next call. */
enum pipeline_note_kind {
    PIPELINE_NOTE_FIRE,
    PIPELINE_NOTE_END,        /* the event closed: end, closed and reason are known */
    PIPELINE_NOTE_SUPPRESSED, /* reason: cooldown, quota, ... */
    PIPELINE_NOTE_FAILED,     /* the event has no clip: reason */
    PIPELINE_NOTE_OPENED,     /* a clip */
    PIPELINE_NOTE_RELOADED,
};

struct pipeline_note {
    enum pipeline_note_kind kind;
    const struct clip_event *event; /* NULL for OPENED and RELOADED */
    const char *reason;             /* "" when none */
    int64_t t_ns, offset_ns;        /* printed time = t_ns - offset_ns */
    const uint8_t *clip_id;         /* FIRE, END, OPENED; else NULL */
    uint32_t generation;
};

enum pipeline_fail { PIPELINE_FAIL_CLIPS, PIPELINE_FAIL_MEMORY };
#define PIPELINE_FAIL_COUNT 2
const char *pipeline_fail_name(enum pipeline_fail fail);

#define PIPELINE_SUPPRESS_MAX 16 /* kinds of suppression that the engine counts */

struct pipeline_stats {
    uint64_t frames, rows, late, clamped, discontinuities; /* frames = received here */
    uint64_t lost[RECORDER_LOSS_KINDS]; /* by recorder_loss_kind, as told by pipeline_loss */
    uint64_t events;                 /* fires, suppressed ones included */
    uint64_t fired, ended;           /* not suppressed */
    uint64_t in_clips;               /* events listed by a clip, open or closed */
    uint64_t in_open_clips;          /* of those, now in an open one */
    uint64_t failed[PIPELINE_FAIL_COUNT];
    uint64_t suppressed[PIPELINE_SUPPRESS_MAX];
    uint64_t clips_opened, clips_closed, clips_continued, joins, reloads, manual;
    uint32_t clips_open;             /* now */
};

/* A clip by hand, or one that a test asks for. */
struct pipeline_trigger {
    const char *note;        /* listed as a value of the event; may be NULL */
    int64_t pre_ns, post_ns; /* 0 .. SHAPING_CLIP_NS_MAX */
    uint8_t priority;        /* below PRIORITY_CRASH */
};

struct pipeline;

/* Copies *config; session, shaping and sources are copied too. Returns 0, -ENOMEM, or what the
 * engine says with *err filled. */
int pipeline_open(const struct pipeline_config *config, const struct generation *generation,
                  struct pipeline **ret_pipeline, struct err *err);
void pipeline_close(struct pipeline *pipeline); /* takes NULL */

/* Before the first row, for a replay that begins in mid-drive: a row from before it, whose values and
 * ages the rules know ... */
void pipeline_seed(struct pipeline *pipeline, const struct row *row);
/* ... and their life-cycles as saved for at_ns (header.state; size 0: none), where they begin to
 * run. Returns 0, or -EBADMSG: then they begin there without. */
int pipeline_restore(struct pipeline *pipeline, int64_t at_ns, const uint8_t *state, size_t size);

/* The next frame in the order of the merge. Returns 0, -EBUSY, -ENOMEM. */
int pipeline_frame(struct pipeline *pipeline, const struct frame *frame);
/* A row whose place was recorded (.rlc). -EINVAL when step or mono run back. */
int pipeline_row(struct pipeline *pipeline, const struct row *row);
/* Live: from the next frame on this offset holds; a changed one is a discontinuity. mono_ns is what
 * the clock says now, at which the session goes on. */
int pipeline_clock(struct pipeline *pipeline, int64_t offset_ns, int64_t mono_ns);
/* Live: no frame at or before mono_ns will come any more, but late ones; timers up to it run. */
int pipeline_advance(struct pipeline *pipeline, int64_t mono_ns);
/* When pipeline_advance is needed at the latest: a timer or a clip's end; INT64_MAX: never. */
int64_t pipeline_next_due(const struct pipeline *pipeline);
/* Frames of a source that were lost before they came here, at about mono_ns. */
int pipeline_loss(struct pipeline *pipeline, uint8_t source, enum recorder_loss_kind kind,
                  uint64_t count);
/* The interface of a source went or came, its stamps or its bus changed, at mono_ns: manifests of clips
 * that hold the instant say so. Returns 0, or -ERANGE. */
int pipeline_source_event(struct pipeline *pipeline, const struct clip_source_event *event);
/* What the kernel says of the interface of a source; manifests carry the latest. What its drop
 * counters grew by is a loss, another bus state an event. Returns 0, -ERANGE, -EBUSY, -ENOMEM. */
int pipeline_interface(struct pipeline *pipeline, uint8_t source,
                       const struct clip_interface *interface);
/* Another wall label is known; clips opened or closed from now on carry it. */
void pipeline_wall(struct pipeline *pipeline, const struct clip_clock *clock);
/* Swaps the rules before the next step. Returns 0, or what engine_reload says; nothing changed. */
int pipeline_reload(struct pipeline *pipeline, const struct generation *generation,
                    struct err *err);
/* An event by hand after the last step. Returns 0; -ERANGE; -EAGAIN before the first frame. */
int pipeline_manual(struct pipeline *pipeline, const struct pipeline_trigger *trigger);
/* The input ended: timers due by the last step run, events close with `input_end`, then clips. */
int pipeline_finish(struct pipeline *pipeline);

/* Polled output: 1 and the next one, or 0. Commands own their payload: put them or deinit them. */
int pipeline_take(struct pipeline *pipeline, struct recorder_command *ret_command);
int pipeline_take_note(struct pipeline *pipeline, struct pipeline_note *ret_note);

void pipeline_stats(const struct pipeline *pipeline, struct pipeline_stats *ret_stats);

/* The books of G3 at a moment when nothing is between the two objects. Returns 0, or -EBADMSG with
 * *err saying which equation does not hold and both sides. */
int pipeline_books(const struct pipeline_stats *pipeline, const struct recorder_stats *recorder,
                   struct err *err);

#endif
