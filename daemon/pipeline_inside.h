/* pipeline_inside - what the files of the pipeline share; nobody else includes it.
 *   pipeline.c        inputs, the engine's turns, queues, stats
 *   pipeline_event.c  records of events: deep copies that outlive a reload; notes
 *   pipeline_clip.c   which events share a clip, when it ends, commands to the recorder */
#ifndef DAEMON_PIPELINE_INSIDE_H
#define DAEMON_PIPELINE_INSIDE_H
#include "daemon/pipeline.h"
#include "triggers/engine.h"
#include "triggers/ruleset.h"

/* A clip takes no more events than half of what a manifest lists: the rest is for those of other
 * clips that fired inside its window. */
#define CLIP_OWN_EVENTS_MAX (CLIP_EVENTS_MAX / 2)
#define RECENT_EVENTS_MAX 1024 /* fires remembered, for clips whose window reaches back to them */
#define RECENT_CLIPS_MAX 64    /* clips remembered, for the overlaps that later ones name */
#define OFFSETS_MAX 256        /* changes of the offset remembered */
#define RECENT_SOURCE_EVENTS_MAX 256 /* of interfaces, remembered for the windows that hold them */
#define LIVE_EVENTS_MAX (2 * RULES_MAX)
#define LOAD_SLOTS 8192        /* row bytes over time, for the limit in bytes ... */
#define LOAD_SLOT_NS (100 * NS_PER_MS) /* ... of a window that begins in the past */
#define CHECKPOINT_NS NS_PER_S /* between two states sent to the recorder */
#define STREAMS_TEXT_MAX 1024
#define REASON_INTERNAL "internal"

/* One firing. Shared by counting references: while its end is open, by each clip that lists it, by
 * the recent ones, by notes. */
struct event_record {
    uint32_t refs;
    uint64_t number;     /* the engine's; 0 for suppressed and manual ones */
    struct clip_event event; /* its texts lie behind the record */
    struct clip_value values[ATTACH_MAX];
    int64_t pre_ns, post_ns, clip_max_bytes;
    uint8_t priority;
    bool merge;
    char streams[STREAMS_TEXT_MAX]; /* "" all */
    uint8_t clip_id[CLIP_ID_BYTES]; /* of the clip that lists it */
    bool in_clip;
    char *texts;
};

struct clip_member {
    struct event_record *record;
    bool own; /* fired in this clip; else the clip goes on with it (`continues`) */
};

struct pipeline_clip {
    bool used, limited; /* limited: the end is final, by clip.max */
    bool crash, merge;
    char streams[STREAMS_TEXT_MAX];
    char rule[RULE_NAME_MAX];
    uint8_t rule_hash[SHA256_BYTES];
    uint8_t priority;
    uint32_t generation;
    uint32_t segments;
    uint64_t ordinal;
    uint8_t id[CLIP_ID_BYTES];
    int64_t start_ns, end_ns; /* INT64_MAX while an event is active */
    int64_t cap_ns;           /* the end by clip.max in time */
    int64_t max_bytes;        /* and in bytes */
    struct clip_member members[CLIP_EVENTS_MAX];
    uint32_t member_count, own_count;
    bool continues;
    uint8_t continues_id[CLIP_ID_BYTES];
};

struct recent_clip {
    uint64_t ordinal;
    uint8_t id[CLIP_ID_BYTES];
    int64_t start_ns, end_ns;
};

struct pipeline_item { /* a queued note with the reference it holds */
    struct pipeline_note note;
    struct event_record *record;
    uint8_t clip_id[CLIP_ID_BYTES];
};

struct pipeline {
    struct session session;
    struct shaping shaping;
    struct source_table sources;
    struct clip_clock clock;
    char clock_source[CLIP_LABEL_MAX], clock_quality[CLIP_LABEL_MAX];
    uint64_t skipped_lines;
    int codec;

    struct generation generation;
    struct engine *engine; /* NULL without rules */
    bool begun;            /* engine_begin ran */
    int64_t generation_ns; /* when the rules came into force */
    struct timeline timeline;
    int64_t first_mono_ns, now_ns; /* of the first row; of the last instant */
    uint64_t last_step;            /* applied: what a timer's event names */

    struct recorder_command *commands;
    size_t command_at, command_count, command_room;
    struct pipeline_item *notes;
    size_t note_at, note_count, note_room;
    struct pipeline_item taken; /* the note that the caller looks at */

    struct pipeline_clip clips[CLIPS_OPEN_MAX];
    uint64_t next_ordinal;
    struct event_record *live[LIVE_EVENTS_MAX]; /* fired and not closed */
    uint32_t live_count;
    struct event_record *recent[RECENT_EVENTS_MAX];
    size_t recent_at, recent_count;
    struct clip_source_event source_events[RECENT_SOURCE_EVENTS_MAX];
    size_t source_event_count; /* ever; the last RECENT_SOURCE_EVENTS_MAX stay */
    struct clip_interface interfaces[SOURCES_MAX];
    uint64_t early_losses[RECORDER_LOSS_KINDS][SOURCES_MAX]; /* told before the first row */
    struct recent_clip recent_clips[RECENT_CLIPS_MAX];
    size_t recent_clip_count; /* ever; the last RECENT_CLIPS_MAX stay */
    struct {
        int64_t from_ns, offset_ns;
    } offsets[OFFSETS_MAX];
    size_t offset_count; /* ever */
    uint64_t row_bytes;  /* of all rows */
    struct {
        int64_t slot;
        uint64_t before; /* row bytes before this slot of time */
    } load[LOAD_SLOTS];
    int64_t limit_slot;  /* of time, at which the limits in bytes were looked at */
    int64_t checkpoint_ns;
    uint8_t *state;
    size_t state_room;
    uint8_t *handover; /* the state with which these rules began, after a reload; else NULL */
    size_t handover_size;
    uint64_t manual_ordinal;
    struct clip_event listed[CLIP_EVENTS_MAX]; /* scratch of a manifest */
    struct pipeline_stats stats;
};

/* pipeline_event.c */
struct event_record *event_fire(const struct pipeline *pipeline, const struct rule_event *fired);
struct event_record *event_manual(struct pipeline *pipeline,
                                  const struct pipeline_trigger *trigger);
void event_hold(struct event_record *record);
void event_drop(struct event_record *record); /* takes NULL */
void event_remember(struct pipeline *pipeline, struct event_record *record);
struct event_record *event_find(struct pipeline *pipeline, uint64_t number);
bool event_live(struct pipeline *pipeline, struct event_record *record);
void event_unlive(struct pipeline *pipeline, struct event_record *record);
void note_put(struct pipeline *pipeline, enum pipeline_note_kind kind,
              struct event_record *record, const char *reason, int64_t t_ns,
              const uint8_t *clip_id);
int64_t offset_at(const struct pipeline *pipeline, int64_t mono_ns);
void offset_put(struct pipeline *pipeline, int64_t from_ns, int64_t offset_ns);

/* pipeline_clip.c */
void clips_fire(struct pipeline *pipeline, struct event_record *record);
/* The end of the event moved: it ended, went on, or closed. */
void clips_update(struct pipeline *pipeline, struct event_record *record);
/* Closes what is over before t_ns, and cuts what is too long at it. */
void clips_due(struct pipeline *pipeline, int64_t t_ns);
void clips_limit(struct pipeline *pipeline);
void clips_finish(struct pipeline *pipeline);
void clips_free(struct pipeline *pipeline);
int64_t clips_next_due(const struct pipeline *pipeline);

/* pipeline_command.c */
/* OPEN: false when the recorder cannot be told. */
bool clip_put_open(struct pipeline *pipeline, const struct pipeline_clip *clip);
/* EXTEND to the window that the clip has now; start_moved: with the states at its new start. */
void clip_put_extend(struct pipeline *pipeline, const struct pipeline_clip *clip,
                     bool start_moved);
/* SEAL or CLOSE, with the manifest. */
void clip_put_close(struct pipeline *pipeline, const struct pipeline_clip *clip,
                    enum recorder_kind kind, int64_t end_ns, enum clip_end end);
/* Keeps the window of a clip for those that follow; to be called whenever it moves. */
void clip_remember(struct pipeline *pipeline, const struct pipeline_clip *clip);
/* Saves into pipeline->state; 0 when there is none or it is too large. */
size_t state_save(struct pipeline *pipeline, int64_t at_ns);
/* The same on the heap, or NULL. */
struct recorder_state *state_copy(struct pipeline *pipeline, int64_t at_ns);

/* pipeline.c */
bool command_put(struct pipeline *pipeline, const struct recorder_command *command);

#endif
