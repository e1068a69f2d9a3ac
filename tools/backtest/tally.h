/* tally - what happened on all drives, rule by rule: filled from the records of job.h, read by
 * report.h. One tally a variant (a pack, the old pack of --diff, a value of --sweep).
 * Rules are known by "package/name". Grows by malloc; tally_deinit frees. */
#ifndef TOOLS_BACKTEST_TALLY_H
#define TOOLS_BACKTEST_TALLY_H
#include "tools/backtest/job.h"

#define TALLY_REASONS_MAX 8 /* exception, cooldown, quota, sampling, shadow */

struct tally_reason {
    char name[CLIP_LABEL_MAX];
    uint64_t count;
};

struct tally_rule {
    char id[RULE_NAME_MAX];
    uint8_t priority;
    int64_t driven_ns;   /* of the drives that had the rule */
    uint64_t events;     /* fires that no gate held back */
    uint64_t without_clip;
    uint64_t clips;      /* charged to it: its event has the highest priority in them */
    uint64_t bytes;      /* of those */
    struct tally_reason suppressed[TALLY_REASONS_MAX];
    uint32_t reason_count;
    uint32_t last_drive; /* private: 1 + the last drive that named it */
};

struct tally_event {
    uint32_t rule, drive;
    uint8_t edge;
    int64_t start_ns, fire_ns; /* in the clock of the recording */
};

struct tally {
    struct tally_rule *rules;
    uint32_t rule_count, rule_room;
    struct tally_event *events; /* in the order of drives and time */
    size_t event_count, event_room;
    uint64_t *clip_bytes;       /* one each clip */
    size_t clip_count, clip_room;
    uint64_t *together;         /* [rule * together_side + rule]: clips with events of both */
    uint32_t together_side;
    uint64_t bytes, frames;
    int64_t driven_ns;
    double cpu_seconds;
    uint32_t drives, clip_drives; /* that are clips */
};

void tally_init(struct tally *tally);
void tally_deinit(struct tally *tally);

/* Takes the records of one drive that ran to its end. Returns 0, -ENOMEM, -EBADMSG (no record). */
int tally_take(struct tally *tally, uint32_t drive, const uint8_t *bytes, size_t size);

int32_t tally_find(const struct tally *tally, const char *id); /* -1 when unknown */
/* Clips that hold events of both rules; of one rule: clips with its events. */
uint64_t tally_together(const struct tally *tally, uint32_t a, uint32_t b);
uint64_t tally_suppressed(const struct tally_rule *rule);

#endif
