#include "tools/backtest/tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void tally_init(struct tally *tally)
{
    memset(tally, 0, sizeof *tally);
}

void tally_deinit(struct tally *tally)
{
    free(tally->rules);
    free(tally->events);
    free(tally->clip_bytes);
    free(tally->together);
    memset(tally, 0, sizeof *tally);
}

int32_t tally_find(const struct tally *tally, const char *id)
{
    for (uint32_t i = 0; i < tally->rule_count; i++)
        if (!strcmp(tally->rules[i].id, id))
            return (int32_t)i;
    return -1;
}

uint64_t tally_together(const struct tally *tally, uint32_t a, uint32_t b)
{
    if (a >= tally->together_side || b >= tally->together_side)
        return 0;
    return tally->together[(size_t)a * tally->together_side + b];
}

uint64_t tally_suppressed(const struct tally_rule *rule)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < rule->reason_count; i++)
        sum += rule->suppressed[i].count;
    return sum;
}

/* --- growing --- */

static void *grown(void *items, size_t item_bytes, size_t count, size_t *room)
{
    size_t wanted = *room ? *room * 2 : 64;

    if (count < *room)
        return items;
    void *more = realloc(items, wanted * item_bytes);
    if (more)
        *room = wanted;
    return more;
}

static int rule_index(struct tally *tally, const char *id, uint32_t *ret_index)
{
    int32_t found = tally_find(tally, id);
    size_t room = tally->rule_room;

    if (found < 0) {
        struct tally_rule *rules =
            grown(tally->rules, sizeof *tally->rules, tally->rule_count, &room);
        if (!rules)
            return -ENOMEM;
        tally->rules = rules;
        tally->rule_room = (uint32_t)room;
        found = (int32_t)tally->rule_count++;
        memset(&rules[found], 0, sizeof rules[found]);
        (void)snprintf(rules[found].id, RULE_NAME_MAX, "%s", id);
    }
    *ret_index = (uint32_t)found;
    return 0;
}

static int widen_together(struct tally *tally)
{
    uint32_t side = tally->rule_room, old = tally->together_side;
    uint64_t *wide;

    if (old >= tally->rule_count)
        return 0;
    wide = calloc((size_t)side * side, sizeof *wide);
    if (!wide)
        return -ENOMEM;
    for (uint32_t i = 0; i < old; i++)
        memcpy(wide + (size_t)i * side, tally->together + (size_t)i * old, old * sizeof *wide);
    free(tally->together);
    tally->together = wide;
    tally->together_side = side;
    return 0;
}

/* --- records --- */

static int take_rule(struct tally *tally, uint32_t drive, const struct job_rule *record)
{
    uint32_t at = 0;
    int rc = rule_index(tally, record->id, &at);

    if (rc)
        return rc;
    tally->rules[at].priority = record->priority;
    tally->rules[at].last_drive = drive + 1;
    return widen_together(tally);
}

static int take_fire(struct tally *tally, uint32_t drive, const struct job_event *record)
{
    uint32_t at = 0;
    int rc = rule_index(tally, record->rule, &at);
    struct tally_event *events = grown(tally->events, sizeof *events, tally->event_count,
                                       &tally->event_room);

    if (events)
        tally->events = events;
    if (rc || !events)
        return -ENOMEM;
    tally->rules[at].events++;
    tally->rules[at].without_clip += !record->has_clip;
    events[tally->event_count++] = (struct tally_event){ .rule = at,
                                                         .drive = drive,
                                                         .edge = record->edge,
                                                         .start_ns = record->start_ns,
                                                         .fire_ns = record->fire_ns };
    return 0;
}

static int take_suppressed(struct tally *tally, const struct job_event *record)
{
    uint32_t at = 0, i = 0;
    int rc = rule_index(tally, record->rule, &at);

    if (rc)
        return rc;
    struct tally_rule *rule = &tally->rules[at];
    while (i < rule->reason_count && strcmp(rule->suppressed[i].name, record->reason) != 0)
        i++;
    if (i == TALLY_REASONS_MAX)
        i--; /* the engine has fewer reasons; the sum stays right whatever comes */
    if (i == rule->reason_count) {
        (void)snprintf(rule->suppressed[i].name, CLIP_LABEL_MAX, "%s", record->reason);
        rule->reason_count++;
    }
    rule->suppressed[i].count++;
    return 0;
}

/* Charged to the rule of the highest priority; of equals to the one that opened it. */
static void charge(struct tally *tally, const uint32_t *at, const struct job_clip *record)
{
    uint32_t payer = at[0];

    for (uint32_t i = 1; i < record->rule_count; i++)
        if (tally->rules[at[i]].priority > tally->rules[payer].priority)
            payer = at[i];
    tally->rules[payer].clips++;
    tally->rules[payer].bytes += record->bytes;
}

static int take_clip(struct tally *tally, const struct job_clip *record)
{
    uint32_t at[JOB_CLIP_RULES_MAX] = { 0 };
    uint64_t *clips = grown(tally->clip_bytes, sizeof *clips, tally->clip_count,
                            &tally->clip_room);
    int rc = clips ? 0 : -ENOMEM;

    if (clips)
        tally->clip_bytes = clips;
    for (uint32_t i = 0; !rc && i < record->rule_count; i++)
        rc = rule_index(tally, record->rules[i], &at[i]);
    if (!rc)
        rc = widen_together(tally);
    if (rc)
        return rc;
    clips[tally->clip_count++] = record->bytes;
    tally->bytes += record->bytes;
    charge(tally, at, record);
    for (uint32_t i = 0; i < record->rule_count; i++)
        for (uint32_t j = 0; j < record->rule_count; j++)
            tally->together[(size_t)at[i] * tally->together_side + at[j]]++;
    return 0;
}

static int take_end(struct tally *tally, uint32_t drive, const struct job_end *record)
{
    for (uint32_t i = 0; i < tally->rule_count; i++)
        if (tally->rules[i].last_drive == drive + 1)
            tally->rules[i].driven_ns += record->driven_ns;
    tally->driven_ns += record->driven_ns;
    tally->frames += record->frames;
    tally->cpu_seconds += record->cpu_seconds;
    tally->clip_drives += record->is_clip;
    tally->drives++;
    return 0;
}

static int take_record(struct tally *tally, uint32_t drive, const struct job_record *head,
                       const uint8_t *payload)
{
    static union { /* aligned; one thread */
        struct job_rule rule;
        struct job_event event;
        struct job_clip clip;
        struct job_end end;
    } record;

    if (head->size > sizeof record)
        return -EBADMSG;
    memcpy(&record, payload, head->size);
    switch (head->kind) {
    case JOB_RULE: return take_rule(tally, drive, &record.rule);
    case JOB_FIRE: return take_fire(tally, drive, &record.event);
    case JOB_SUPPRESSED: return take_suppressed(tally, &record.event);
    case JOB_CLIP: return take_clip(tally, &record.clip);
    case JOB_END: return take_end(tally, drive, &record.end);
    default: return -EBADMSG;
    }
}

int tally_take(struct tally *tally, uint32_t drive, const uint8_t *bytes, size_t size)
{
    struct job_record head;
    int rc = 0;

    for (size_t at = 0; !rc && at < size; at += sizeof head + head.size) {
        if (size - at < sizeof head)
            return -EBADMSG;
        memcpy(&head, bytes + at, sizeof head);
        if (size - at - sizeof head < head.size)
            return -EBADMSG;
        rc = take_record(tally, drive, &head, bytes + at + sizeof head);
    }
    return rc;
}
