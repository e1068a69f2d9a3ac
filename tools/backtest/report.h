/* report - what a backtest found, as a table for people or as JSON lines, and --fail-if. */
#ifndef TOOLS_BACKTEST_REPORT_H
#define TOOLS_BACKTEST_REPORT_H
#include "tools/backtest/backtest.h"

#define FAIL_IFS_MAX 32

/* "mb_per_day > 300", or of one rule: "chassis/brake:events_per_hour < 1". */
struct fail_if {
    char rule[RULE_NAME_MAX]; /* "" all */
    int metric;
    char relation[3];
    double bound;
    const char *text;
};

/* Returns 0, or -EINVAL with *err: form, no such metric (nearest named), no such relation. */
int fail_if_parse(const char *text, struct fail_if *ret_condition, struct err *err);

struct report {
    const struct backtest *backtest;
    double hours_a_day;  /* that a vehicle drives */
    bool events;         /* list every event */
    const struct fail_if *conditions;
    uint32_t condition_count;
};

/* Prints on standard output. Returns 0; 1 when a condition of --fail-if holds (said on standard
 * error); -ENOMEM; -EINVAL with *err for a condition on a rule that no pack has. */
int report_text(const struct report *report, struct err *err);
int report_json(const struct report *report, struct err *err);

/* The figures of one rule, or of all with rule NULL. */
struct figures {
    double hours;
    uint64_t events, suppressed, clips, bytes;
    double a_hour, low_a_hour, high_a_hour; /* events, with the 95 % interval */
    double mb_a_day;                        /* MB of 10^6 bytes, after the codec */
};
void figures_of(const struct report *report, const struct tally *tally,
                const struct tally_rule *rule, struct figures *ret_figures);
/* After the output; see report_text. */
int report_verdict(const struct report *report, struct err *err);

#endif
