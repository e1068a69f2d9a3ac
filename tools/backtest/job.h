/* job - one drive through one variant of the packs, in a process of its own: `replay_run` whose
 * listener writes records to a pipe. The records hold what tally.h needs and nothing else; both ends
 * are the same program, so they are plain structs.
 * stream = { struct job_record, payload } ... ; the last one is END or ERROR. */
#ifndef TOOLS_BACKTEST_JOB_H
#define TOOLS_BACKTEST_JOB_H
#include "tools/replay.h"


#define JOB_CLIP_RULES_MAX 64

enum job_kind { JOB_RULE, JOB_FIRE, JOB_SUPPRESSED, JOB_CLIP, JOB_END, JOB_ERROR };

struct job_record {
    uint32_t kind, size; /* size of what follows */
};

struct job_rule {
    char id[RULE_NAME_MAX];
    uint8_t priority;
};

struct job_event { /* FIRE and SUPPRESSED */
    char rule[RULE_NAME_MAX];
    char reason[CLIP_LABEL_MAX]; /* of the suppression */
    int64_t start_ns, fire_ns;   /* in the recording's clock */
    uint8_t edge;
    bool has_clip;
};

struct job_clip {
    uint64_t bytes, frames;
    uint32_t rule_count; /* distinct rules with events in it */
    char rules[JOB_CLIP_RULES_MAX][RULE_NAME_MAX];
};

struct job_end {
    int64_t driven_ns;
    uint64_t frames;
    double cpu_seconds; /* of this process: decode, rules, codec */
    bool is_clip;
};

/* Runs it and writes the stream to `fd`; an error is a record too: its text, lines for people. */
void job_run(const struct replay_options *options, int fd);

#endif
