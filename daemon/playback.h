/* playback - recordings as one: several are merged by (stamp, place in the list), each in its own
 * order; buses of one name are one source. A first pass gives sources, hashes and skipped lines.
 * A clip may be named by its segment 0: its segment 1 beside it is read with it.
 * Handle; no thread: who reads it owns it. */
#ifndef DAEMON_PLAYBACK_H
#define DAEMON_PLAYBACK_H
#include "proto/recording.h"

#define PLAYBACK_RECORDINGS_MAX 64

struct playback_config {
    const char *const *paths;
    uint32_t count; /* 1..PLAYBACK_RECORDINGS_MAX */
    const char *format;
    bool strict;
};

struct playback;

/* Opens and scans all. Returns 0, or a negative errno with *err filled. */
int playback_open(const struct playback_config *config, struct playback **ret_playback,
                  struct err *err);
void playback_close(struct playback *playback); /* takes NULL */

/* 1 with the next item, its source numbered by playback_sources; 0 at the end; a negative errno. */
int playback_next(struct playback *playback, struct recording_item *ret_item, struct err *err);

const struct source_table *playback_sources(const struct playback *playback);
/* Of the decoded recordings, in the order of the list. */
const uint8_t (*playback_hashes(const struct playback *playback, uint32_t *ret_count))[SHA256_BYTES];
uint64_t playback_frames(const struct playback *playback);
/* Stamp of the first frame in the order of the merge. */
int64_t playback_first_stamp(const struct playback *playback);
/* By reason, over all recordings; the first line is that of the first recording with one. */
void playback_skips(const struct playback *playback, struct recording_skips *ret_skips);
/* When there is one recording and it is a clip; else NULL. */
const struct recording_clip *playback_clip(const struct playback *playback);
bool playback_is_merge(const struct playback *playback);

#endif
