/* export_mcap - makes an MCAP of a recording or clip: what labelling and plotting tools open, and
 * nothing lost: the raw topics give back every frame with its stamp, place and flags
 * (proto/formats/mcap.c reads them).
 *
 * /can/<bus>/raw        roadloop.CanFrame, every frame (proto/mcap_frame.h)
 * /can/<bus>/<Message>  roadloop.<bus>.<Message>, made from the DBC (proto/mcap_signals.h)
 * /event                roadloop.Event, each event that the manifest lists, at its fire time
 * /roadloop/mark        roadloop.Mark, clock events and generations in their place
 * metadata              vehicle clip trigger clock loss versions
 * attachments           dbc/<bus>/<file>, what the caller gives, roadloop/clip (header, seed and
 *                       manifest records of the .rlc), manifest.json
 *
 * log_time = mono_ns + wall offset, publish_time = stamp_ns + offset_ns + wall offset; below zero
 * they are zero, counted. Same input, same bytes. No clock, no path. One thread at a time. */
#ifndef PROTO_EXPORT_MCAP_H
#define PROTO_EXPORT_MCAP_H
#include "proto/mcap_write.h"
#include "proto/recording.h"

#define EXPORT_MCAP_CHANNELS_MAX 8192    /* decoded channels; later messages stay raw, counted */
#define EXPORT_MCAP_GENERATIONS_MAX 64

struct dbset;

/* Databases of one generation. */
struct export_mcap_generation {
    uint32_t generation;
    const struct dbset *dbset; /* NULL: its frames stay raw */
};

struct export_mcap_config {
    const struct source_table *sources; /* complete */
    /* Rising generations; each holds until the next. None: raw only. */
    const struct export_mcap_generation *generations;
    uint32_t generation_count;
    const struct recording_clip *clip; /* or NULL; its manifest is read at finish */
    const struct recording_attachment *attachments; /* pack and the like; may be none */
    uint32_t attachment_count;
    /* Unix time minus mono; when not known, the clip's own clock pair is taken, else none. */
    bool wall_known;
    int64_t wall_offset_ns;
    const uint8_t *recording_sha256;     /* or NULL */
    const struct recording_skips *skips; /* read at finish; or NULL */
};

struct export_mcap_stats {
    uint64_t frames, marks, events;
    uint64_t decoded;       /* frames that a DBC message was found for */
    uint64_t signals;       /* values written */
    uint64_t absent;        /* signals without one: hidden by a multiplexor, cut off, no number */
    uint64_t not_numbers;   /* of them: J1939 codes for error and not available */
    uint64_t channels_full; /* frames left raw because of EXPORT_MCAP_CHANNELS_MAX */
    uint64_t too_large;     /* frames left raw because message or schema passed a limit */
    uint64_t times_clamped; /* log or publish times that would be below zero */
    uint64_t bytes;         /* written */
};

struct export_mcap;

/* Everything in *config is borrowed until close. Returns 0 or a negative errno, *err filled. */
int export_mcap_open(const struct export_mcap_config *config, const struct mcap_sink *sink,
                     struct export_mcap **ret_export, struct err *err);
/* Takes an item as recording_next gives it. A frame that is not placed is placed as the pipeline
 * would (proto/timeline.h). */
int export_mcap_put(struct export_mcap *export, const struct recording_item *item,
                    struct err *err);
/* Writes what is left of the events, the rest of metadata and attachments, and the summary. */
int export_mcap_finish(struct export_mcap *export, struct err *err);
void export_mcap_close(struct export_mcap *export); /* takes NULL */
void export_mcap_stats(const struct export_mcap *export, struct export_mcap_stats *ret_stats);

/* All of it: scans `recording`, rewinds it and reads it to its end; sources, clip, skips and
 * recording_sha256 of *config are taken from it. Returns 0 or a negative errno, *err filled. */
int export_mcap_recording(struct recording *recording, const struct export_mcap_config *config,
                          const struct mcap_sink *sink, struct export_mcap_stats *ret_stats,
                          struct err *err);

#endif
