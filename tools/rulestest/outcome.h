/* outcome - what a case did: its events, suppressed fires and clips, times counted from time 0 of the
 * case; and the two ways to run it, which must agree: as `replay` does, and as the car does, with a
 * clock that a test moves. */
#ifndef TOOLS_RULESTEST_OUTCOME_H
#define TOOLS_RULESTEST_OUTCOME_H
#include "tools/replay.h"
#include "tools/rulestest/stimulus.h"

#define OUTCOME_EVENTS_MAX 4096

struct outcome_value {
    char name[64], text[CLIP_TEXT_MAX], unit[32];
    enum clip_value_kind kind;
    int64_t integer;
    double number;
};

struct outcome_event {
    bool suppressed, ended, has_clip;
    char rule[RULE_NAME_MAX], reason[CLIP_LABEL_MAX]; /* of the suppression or the end */
    uint8_t edge;
    int64_t start_ns, fire_ns, end_ns, closed_ns, clip_start_ns, clip_end_ns;
    struct outcome_value values[ATTACH_MAX];
    uint32_t value_count;
};

struct outcome {
    struct outcome_event *events; /* OUTCOME_EVENTS_MAX */
    uint32_t count;
    bool too_many;
    int64_t base_ns;
};

/* What a case runs with. */
struct outcome_setup {
    const struct ruleset_pack *packs;
    uint32_t pack_count;
    const char *const *dbcs;
    uint32_t dbc_count;
    const char *const *logs; /* or the stimulus */
    uint32_t log_count;
    const struct stimulus *stimulus;
};

int outcome_init(struct outcome *outcome); /* 0 or -ENOMEM */
void outcome_deinit(struct outcome *outcome);

/* Through `replay_run`: the frames as a log file, or the logs. Returns 0, or a negative errno with
 * errors in diags or *err. */
int outcome_replay(const struct outcome_setup *setup, struct diags *diags, struct outcome *outcome,
                   struct err *err);
/* Through the pipeline as the daemon drives it: time moves between frames, whenever a timer is due.
 * Only of a stimulus; no clips. */
int outcome_live(const struct outcome_setup *setup, struct diags *diags, struct outcome *outcome,
                 struct err *err);
/* NULL when both have the same events; else what differs first. */
const char *outcome_differs(const struct outcome *a, const struct outcome *b);

#endif
