/* The life-cycle of rules (rules.md 2, decisions 17 to 23), for the reference evaluator. */
#include "tests/rules/ref.h"

#include <stdlib.h>
#include <string.h>

#define NEVER INT64_MAX
#define HOUR (3600 * NS_PER_S)
#define DAY (86400 * NS_PER_S)

enum phase { IDLE, PENDING, ACTIVE, LINGERING, WAITING };

struct account { /* of a rule: both edges share it */
    uint64_t ordinal;
    uint32_t fire_count;
    int64_t fires[REF_EVENTS_MAX]; /* accepted, also shadow */
};

struct run { /* one edge of a rule */
    const struct ref_rule *rule;
    const struct ref_node *root;
    struct account *account;
    uint32_t index;
    enum rule_edge edge;
    enum phase phase;
    uint8_t now;  /* the condition */
    uint8_t edge_memory;
    enum rule_reason reason;
    int64_t start, fire, end, quiet_until, deadline;
    uint64_t number, ordinal;
};

struct lives {
    const struct timeline *line;
    struct run *runs;
    uint32_t run_count;
    struct ref_events *events;
    uint64_t numbers;
    uint32_t entry;     /* whose values hold */
    int64_t t;
    bool by_timer;
};

static struct ref_event *put(struct lives *l, const struct run *r, enum rule_event_kind kind)
{
    if (l->events->count == REF_EVENTS_MAX)
        abort();
    struct ref_event *e = &l->events->items[l->events->count++];
    memset(e, 0, sizeof *e);
    e->event = (struct rule_event){
        .kind = kind, .edge = r->edge, .rule = r->index, .number = r->number, .ordinal = r->ordinal,
        .t_ns = l->t, .start_ns = r->start, .fire_ns = r->fire, .end_ns = -1, .closed_ns = -1,
        .step = l->line->entries[l->entry].step, .by_timer = l->by_timer };
    return e;
}

static bool is_shadow(const struct run *r)
{
    return r->rule->rule->status == RULE_SHADOW;
}

/* --- what is attached ----------------------------------------------------------------------- */

static struct rule_value attached(const struct lives *l, const struct ref_node *n)
{
    struct rule_value null = { .kind = VALUE_NULL };

    if (n->type == REF_AGE) {
        const struct ref_signal *s = n->bare;
        if (s->last[l->entry] < 0)
            return null;
        return (struct rule_value){ .kind = VALUE_NUM,
                                    .number = (double)(l->t - s->samples[s->last[l->entry]].t) /
                                              1e9 };
    }
    struct ref_value v = n->at[l->entry];
    if (n->type == REF_BOOL)
        return v.v == REF_U ? null : (struct rule_value){ .kind = VALUE_BOOL,
                                                          .integer = v.v == REF_T };
    if (v.v != REF_T)
        return null;
    if (n->type == REF_NUM)
        return (struct rule_value){ .kind = VALUE_NUM, .number = v.d };
    struct rule_value value = { .kind = VALUE_INT, .integer = v.i };
    for (uint32_t i = 0; n->type == REF_ENUM && i < n->table->label_count; i++)
        if (n->table->labels[i].raw == v.i) {
            value.kind = VALUE_LABEL;
            value.label = n->table->labels[i].text;
        }
    return value;
}

/* --- gates ---------------------------------------------------------------------------------- */

static uint32_t fires_since(const struct lives *l, const struct run *r, int64_t span)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < r->account->fire_count; i++)
        count += l->t - r->account->fires[i] < span;
    return count;
}

static enum rule_reason gate(const struct lives *l, const struct run *r, const char **exception)
{
    const struct rule *rule = r->rule->rule;

    for (uint32_t i = 0; i < rule->unless_count; i++)
        if (r->rule->unless[i]->at[l->entry].v == REF_T) {
            *exception = rule->unless[i];
            return REASON_EXCEPTION;
        }
    if (l->t < r->quiet_until)
        return REASON_COOLDOWN;
    if ((rule->per_trip && r->account->fire_count >= rule->per_trip) ||
        (rule->per_hour && fires_since(l, r, HOUR) >= rule->per_hour) ||
        (rule->per_day && fires_since(l, r, DAY) >= rule->per_day))
        return REASON_LIMIT;
    return REASON_NONE;
}

/* --- transitions ---------------------------------------------------------------------------- */

static void suppressed(struct lives *l, const struct run *r, enum rule_reason reason,
                       const char *exception)
{
    struct rule_event *e = &put(l, r, EVENT_SUPPRESSED)->event;

    e->reason = reason;
    e->number = 0;
    e->ordinal = reason == REASON_SHADOW ? r->ordinal : r->account->ordinal;
    e->fire_ns = l->t;
    e->exception = exception;
}

static void fire(struct lives *l, struct run *r, int64_t start)
{
    const char *exception = NULL;
    const struct rule *rule = r->rule->rule;

    r->edge_memory = REF_T; /* an edge is spent, also on a gate */
    r->start = start;
    enum rule_reason reason = gate(l, r, &exception);
    if (reason) {
        suppressed(l, r, reason, exception);
        r->phase = r->edge == EDGE_LEVEL ? WAITING : IDLE;
        r->deadline = r->edge == EDGE_LEVEL ? l->t + rule->cooldown_ns : NEVER;
        return;
    }
    r->phase = ACTIVE;
    r->fire = l->t;
    r->ordinal = r->account->ordinal++;
    r->account->fires[r->account->fire_count++] = l->t;
    r->deadline = l->t + rule->max_active_ns;
    if (is_shadow(r)) {
        suppressed(l, r, REASON_SHADOW, NULL);
        return;
    }
    r->number = ++l->numbers;
    struct ref_event *e = put(l, r, EVENT_FIRE);
    e->attach_count = rule->attach_count;
    for (uint32_t i = 0; i < rule->attach_count; i++)
        e->attach[i] = attached(l, r->rule->attach[i]);
}

static void start_run(struct lives *l, struct run *r)
{
    if (!r->rule->rule->for_ns) {
        fire(l, r, l->t);
        return;
    }
    r->phase = PENDING;
    r->start = l->t;
    r->deadline = l->t + r->rule->rule->for_ns;
}

static void closed(struct lives *l, struct run *r)
{
    if (!is_shadow(r)) {
        struct rule_event *e = &put(l, r, EVENT_CLOSED)->event;
        e->reason = r->reason;
        e->end_ns = r->end;
        e->closed_ns = l->t;
    }
    r->quiet_until = l->t + r->rule->rule->cooldown_ns;
    r->phase = IDLE;
    r->deadline = NEVER;
}

static void ended(struct lives *l, struct run *r, enum rule_reason reason)
{
    r->end = l->t;
    r->reason = reason;
    if (is_shadow(r))
        return;
    struct rule_event *e = &put(l, r, EVENT_END)->event;
    e->reason = reason;
    e->end_ns = l->t;
}

static void becomes_true(struct lives *l, struct run *r)
{
    if (r->phase == LINGERING) { /* the condition again: the event goes on, the edge is its own */
        r->phase = ACTIVE;
        r->edge_memory = REF_T;
        r->deadline = r->fire + r->rule->rule->max_active_ns;
        if (!is_shadow(r))
            (void)put(l, r, EVENT_CONTINUE);
    } else if (r->edge == EDGE_LEVEL && l->t < r->quiet_until) {
        r->phase = WAITING;
        r->deadline = r->quiet_until;
    } else if (r->edge == EDGE_LEVEL || r->edge_memory == REF_F ||
               (r->edge_memory == REF_U && r->rule->rule->initial_fire)) {
        start_run(l, r);
    } else {
        r->edge_memory = REF_T;
    }
}

static void no_longer_true(struct lives *l, struct run *r)
{
    const struct rule *rule = r->rule->rule;

    if (r->phase == PENDING || r->phase == WAITING) {
        r->phase = IDLE;
        r->deadline = NEVER;
    }
    if (r->phase != ACTIVE)
        return;
    ended(l, r, r->now == REF_F ? REASON_ENDED : REASON_INPUT_LOST);
    r->phase = LINGERING;
    r->deadline = l->t + rule->keep_ns;
    if (r->deadline > r->fire + rule->max_active_ns)
        r->deadline = r->fire + rule->max_active_ns;
    if (!rule->keep_ns)
        closed(l, r);
}

static void level_again(struct run *r)
{
    if (r->edge != EDGE_LEVEL || r->now != REF_T)
        return;
    r->phase = WAITING;
    r->deadline = r->quiet_until;
}

static void passes(struct lives *l, struct run *r)
{
    r->deadline = NEVER;
    if (r->phase == PENDING) {
        fire(l, r, r->start);
    } else if (r->phase == ACTIVE) {
        ended(l, r, REASON_MAX_ACTIVE);
        closed(l, r);
        level_again(r);
    } else if (r->phase == LINGERING) {
        closed(l, r);
    } else if (r->phase == WAITING) {
        r->phase = IDLE;
        start_run(l, r);
    }
}

/* A `then not` that is the root and had an unknown operand meanwhile is counted (decision 13). */
static void doubtful(struct lives *l, struct run *r)
{
    int64_t start = r->start;

    r->start = l->t;
    suppressed(l, r, REASON_UNKNOWN, NULL);
    r->start = start;
}

static void consider(struct lives *l, struct run *r)
{
    uint8_t before = r->now;

    r->now = r->root->at[l->entry].v;
    if (r->now == REF_U && before != REF_U && r->edge == EDGE_RISING && r->root->op == X_THEN_NOT)
        doubtful(l, r);
    if (r->now == REF_F)
        r->edge_memory = REF_F;
    if (r->now == REF_T && before != REF_T)
        becomes_true(l, r);
    else if (r->now != REF_T && before == REF_T)
        no_longer_true(l, r);
    if (l->by_timer && r->deadline <= l->t)
        passes(l, r);
}

static void forget(struct run *r)
{
    r->now = r->edge_memory = REF_U;
    r->phase = IDLE;
    r->deadline = NEVER;
}

/* All events close now. */
static void cut(struct lives *l, struct run *r, enum rule_reason reason)
{
    if (r->phase == ACTIVE)
        ended(l, r, reason);
    if (r->phase == ACTIVE || r->phase == LINGERING) {
        r->reason = reason;
        closed(l, r);
    }
    forget(r);
}

/* --- the whole trace ------------------------------------------------------------------------ */

static void run_deadlines(struct lives *l, int64_t limit) /* those before it */
{
    for (;;) {
        int64_t due = NEVER;
        for (uint32_t i = 0; i < l->run_count; i++)
            due = l->runs[i].deadline < due ? l->runs[i].deadline : due;
        if (due >= limit)
            return;
        l->t = due > l->t ? due : l->t;
        l->by_timer = true;
        for (uint32_t i = 0; i < l->run_count; i++)
            consider(l, &l->runs[i]);
    }
}

static void add_run(struct lives *l, const struct ref_pack *p, uint32_t index, enum rule_edge edge,
                    struct account *account)
{
    struct run *r = &l->runs[l->run_count++];
    const struct ref_rule *rule = &p->rules[index];

    memset(r, 0, sizeof *r);
    r->rule = rule;
    r->root = edge == EDGE_FALLING ? rule->not_when : rule->when;
    r->index = index;
    r->edge = edge;
    r->account = account;
    r->quiet_until = INT64_MIN;
    r->end = -1;
    forget(r);
}

static void add_rules(struct lives *l, const struct ref_pack *p, struct account *accounts)
{
    l->runs = calloc(2 * (size_t)p->rule_count + 1, sizeof *l->runs);
    l->run_count = 0;
    if (!l->runs)
        abort();
    for (uint32_t i = 0; i < p->rule_count; i++) {
        enum rule_trigger trigger = p->rules[i].rule->trigger;
        if (!p->rules[i].rule->enabled)
            continue;
        add_run(l, p, i, trigger == TRIGGER_LEVEL ? EDGE_LEVEL
                    : trigger == TRIGGER_FALLING ? EDGE_FALLING : EDGE_RISING, &accounts[i]);
        if (trigger == TRIGGER_BOTH)
            add_run(l, p, i, EDGE_FALLING, &accounts[i]);
    }
}

/* Rules that are alike go on; others close and begin unknown. */
static void reload(struct lives *l, const struct ref_pack *b, const int32_t *kept,
                   const struct account *before, struct account *after)
{
    struct run *old = l->runs;
    uint32_t old_count = l->run_count;

    for (uint32_t i = 0; i < b->rule_count; i++)
        if (kept[i] >= 0)
            after[i] = before[kept[i]];
    add_rules(l, b, after);
    for (uint32_t i = 0; i < l->run_count; i++) {
        struct run *r = &l->runs[i];
        for (uint32_t k = 0; k < old_count; k++)
            if (kept[r->index] == (int32_t)old[k].index && old[k].edge == r->edge) {
                struct run fresh = *r;
                *r = old[k];
                r->rule = fresh.rule;
                r->root = fresh.root;
                r->index = fresh.index;
                r->account = fresh.account;
                forget(&old[k]);
            }
    }
    for (uint32_t k = 0; k < old_count; k++)
        cut(l, &old[k], REASON_RELOAD);
    free(old);
}

void ref_lives(const struct timeline *line, const struct ref_pack *a, const struct ref_pack *b,
               const int32_t *kept, const struct trace *trace, struct ref_events *events)
{
    struct account *accounts = calloc(a->rule_count + 1, sizeof *accounts);
    struct account *after = calloc((b ? b->rule_count : 0) + 1, sizeof *after);
    struct lives l = { .line = line, .events = events };

    (void)trace;
    if (!accounts || !after)
        abort();
    add_rules(&l, a, accounts);
    for (uint32_t i = 0; i < line->count; i++) {
        const struct entry *e = &line->entries[i];
        if (e->sub == 0 && e->kind == ENTRY_BEGIN && i > 0) {
            /* the timer instants of the segment before are done; deadlines up to its last step too */
            run_deadlines(&l, line->entries[i - 1].t + 1);
            for (uint32_t k = 0; k < l.run_count; k++)
                cut(&l, &l.runs[k], REASON_DISCONTINUITY);
        } else if (e->sub == 0) {
            run_deadlines(&l, e->t);
        }
        l.entry = i;
        l.t = e->t;
        l.by_timer = e->kind == ENTRY_TIMER;
        if (e->kind == ENTRY_RELOAD && e->sub == 0 && b)
            reload(&l, b, kept, accounts, after);
        for (uint32_t k = 0; k < l.run_count; k++)
            consider(&l, &l.runs[k]);
    }
    run_deadlines(&l, l.t + 1);
    for (uint32_t k = 0; k < l.run_count; k++)
        cut(&l, &l.runs[k], REASON_INPUT_END);
    free(l.runs);
    free(accounts);
    free(after);
}
