/* The life-cycle of a rule (rules.md 2, decisions 17 to 23). Each arrow names its function:
 *
 *   IDLE --condition_true--> PENDING --timer--> attempt --gates--> ACTIVE --condition_lost-->
 *   LINGERING --timer--> close_event --> IDLE; LINGERING --condition_true--> ACTIVE (continue);
 *   ACTIVE --timer (max_active)--> close_event. A level rule goes to WAITING where it may not fire
 *   yet, and from there by its timer.
 *
 * `armed` is the edge memory: what "the condition has held for `for`" was when last known. An edge
 * is F before and T now; a stretch of unknown in between changes nothing, so F,U,T is one edge and
 * T,U,T is none. A fire that a gate holds back has spent its edge. */
#include "triggers/engine_private.h"

#include <assert.h>
#include <math.h>

#define HOUR_NS (INT64_C(3600) * NS_PER_S)
#define DAY_NS (INT64_C(86400) * NS_PER_S)

static const struct rule *rule_of(const struct engine *e, const struct life *l)
{
    return &e->ruleset->rules[l->rule];
}

void life_arm(struct engine *e, uint32_t life, int64_t due_ns)
{
    e->lives[life].state.timer_ns = due_ns;
    timers_set(&e->timers, engine_life_slot(e, life), due_ns);
}

static struct rule_event *emit(struct engine *e, const struct life *l, enum rule_event_kind kind)
{
    assert(e->event_count < e->event_room);
    struct rule_event *event = &e->events[e->event_count++];
    *event = (struct rule_event){
        .kind = kind, .edge = (enum rule_edge)l->edge, .rule = l->rule, .number = l->state.number,
        .ordinal = l->state.ordinal, .t_ns = e->now_ns, .start_ns = l->state.start_ns,
        .fire_ns = l->state.fire_ns, .end_ns = -1, .closed_ns = -1, .step = e->step,
        .by_timer = e->by_timer };
    return event;
}

static bool is_shadow(const struct rule *rule)
{
    return rule->status == RULE_SHADOW;
}

/* --- attached values ------------------------------------------------------------------------ */

static struct rule_value attach_age(const struct engine *e, int32_t node)
{
    const struct signal_slot *slot = &e->slots[e->graph->nodes[node].signal];

    if (!slot->has_sample)
        return (struct rule_value){ .kind = VALUE_NULL };
    return (struct rule_value){ .kind = VALUE_NUM,
                                .number = (double)(e->now_ns - slot->sampled_ns) / 1e9 };
}

static struct rule_value attach_value(const struct engine *e, const struct program_attach *a)
{
    const struct cell *cell = &e->cells[a->node];

    if (a->kind == ATTACH_AGE)
        return attach_age(e, a->node);
    if (a->kind == ATTACH_BOOL && cell->v != LOGIC_U)
        return (struct rule_value){ .kind = VALUE_BOOL, .integer = cell->v == LOGIC_T };
    if (a->kind == ATTACH_BOOL || cell->v != NUMBER_KNOWN)
        return (struct rule_value){ .kind = VALUE_NULL };
    if (a->kind == ATTACH_NUM)
        return (struct rule_value){ .kind = VALUE_NUM, .number = cell->d };
    struct rule_value value = { .kind = VALUE_INT, .integer = cell->i };
    if (a->kind == ATTACH_LABEL)
        value.label = decode_label(a->table, cell->i);
    if (value.label)
        value.kind = VALUE_LABEL;
    return value;
}

/* --- gates ---------------------------------------------------------------------------------- */

static uint32_t fires_within(const struct rule_run *run, int64_t now_ns, int64_t span_ns,
                             uint32_t limit)
{
    uint32_t count = 0;

    /* A fire exactly one span old no longer counts. */
    while (count < limit && count < run->fires_count &&
           now_ns - run->fires[(run->fires_count - 1 - count) % run->fires_room] < span_ns)
        count++;
    return count;
}

static bool is_over_limit(const struct engine *e, const struct life *l)
{
    const struct rule *rule = rule_of(e, l);
    const struct rule_run *run = &e->runs[l->rule];

    return (rule->per_trip && run->trip_count >= rule->per_trip) ||
           (rule->per_hour &&
            fires_within(run, e->now_ns, HOUR_NS, rule->per_hour) >= rule->per_hour) ||
           (rule->per_day && fires_within(run, e->now_ns, DAY_NS, rule->per_day) >= rule->per_day);
}

/* The first gate that holds a fire back is its reason. */
static enum rule_reason gate(const struct engine *e, const struct life *l, const char **exception)
{
    const struct rule *rule = rule_of(e, l);
    const struct program_rule *p = &e->ruleset->program[l->rule];

    for (uint32_t i = 0; i < rule->unless_count; i++)
        if (e->cells[p->unless[i]].v == LOGIC_T) {
            *exception = rule->unless[i];
            return REASON_EXCEPTION;
        }
    if (e->now_ns < l->state.cooldown_until_ns)
        return REASON_COOLDOWN;
    return is_over_limit(e, l) ? REASON_LIMIT : REASON_NONE;
}

/* --- transitions ---------------------------------------------------------------------------- */

static struct rule_event *suppress(struct engine *e, struct life *l, enum rule_reason reason,
                                   const char *exception)
{
    struct rule_event *event = emit(e, l, EVENT_SUPPRESSED);

    event->reason = reason;
    event->number = 0;
    if (reason != REASON_SHADOW)
        event->ordinal = e->runs[l->rule].ordinal;
    event->fire_ns = e->now_ns;
    event->exception = exception;
    e->stats.suppressed[reason]++;
    e->runs[l->rule].stats.suppressed[reason]++;
    return event;
}

/* What would have fired had its second operand not been unknown meanwhile (decision 13). */
static void suppress_doubtful(struct engine *e, struct life *l)
{
    suppress(e, l, REASON_UNKNOWN, NULL)->start_ns = e->now_ns;
}

static void open_event(struct engine *e, uint32_t life)
{
    struct life *l = &e->lives[life];
    const struct rule *rule = rule_of(e, l);
    struct rule_run *run = &e->runs[l->rule];

    l->state.phase = LIFE_ACTIVE;
    l->state.fire_ns = e->now_ns;
    l->state.end_ns = -1;
    l->state.ordinal = run->ordinal++;
    run->trip_count++;
    run->fires[run->fires_count++ % run->fires_room] = e->now_ns;
    life_arm(e, life, e->now_ns + rule->max_active_ns);
    if (is_shadow(rule)) {
        (void)suppress(e, l, REASON_SHADOW, NULL);
        return;
    }
    l->state.number = ++e->numbers;
    const struct program_rule *p = &e->ruleset->program[l->rule];
    struct rule_value *attach =
        run->attach + run->attach_next++ % engine_attach_sets(e->graph) * rule->attach_count;
    for (uint32_t i = 0; i < rule->attach_count; i++)
        attach[i] = attach_value(e, &p->attach[i]);
    emit(e, l, EVENT_FIRE)->attach = attach;
    e->stats.fires++;
    run->stats.fires++;
}

static void attempt(struct engine *e, uint32_t life, int64_t start_ns)
{
    struct life *l = &e->lives[life];
    const char *exception = NULL;

    l->state.armed = LOGIC_T;
    l->state.start_ns = start_ns;
    enum rule_reason reason = gate(e, l, &exception);
    if (reason == REASON_NONE) {
        open_event(e, life);
        return;
    }
    (void)suppress(e, l, reason, exception);
    l->state.phase = LIFE_IDLE;
    life_arm(e, life, TIMER_NEVER);
    if (l->edge == EDGE_LEVEL) { /* tries again one cooldown later */
        l->state.phase = LIFE_WAITING;
        life_arm(e, life, e->now_ns + rule_of(e, l)->cooldown_ns);
    }
}

static void begin_run(struct engine *e, uint32_t life)
{
    struct life *l = &e->lives[life];
    int64_t for_ns = rule_of(e, l)->for_ns;

    if (for_ns == 0) {
        attempt(e, life, e->now_ns);
        return;
    }
    l->state.phase = LIFE_PENDING;
    l->state.start_ns = e->now_ns;
    life_arm(e, life, e->now_ns + for_ns);
}

static void close_event(struct engine *e, uint32_t life)
{
    struct life *l = &e->lives[life];
    const struct rule *rule = rule_of(e, l);

    if (!is_shadow(rule)) {
        struct rule_event *event = emit(e, l, EVENT_CLOSED);
        event->reason = (enum rule_reason)l->state.reason;
        event->end_ns = l->state.end_ns;
        event->closed_ns = e->now_ns;
    }
    l->state.cooldown_until_ns = e->now_ns + rule->cooldown_ns;
    l->state.phase = LIFE_IDLE;
    life_arm(e, life, TIMER_NEVER);
    if (l->edge == EDGE_LEVEL && l->state.root == LOGIC_T) {
        l->state.phase = LIFE_WAITING;
        life_arm(e, life, l->state.cooldown_until_ns);
    }
}

static void end_event(struct engine *e, uint32_t life, enum rule_reason reason)
{
    struct life *l = &e->lives[life];

    l->state.end_ns = e->now_ns;
    l->state.reason = (uint8_t)reason;
    if (is_shadow(rule_of(e, l)))
        return;
    struct rule_event *event = emit(e, l, EVENT_END);
    event->reason = reason;
    event->end_ns = e->now_ns;
}

static void continue_event(struct engine *e, uint32_t life)
{
    struct life *l = &e->lives[life];
    const struct rule *rule = rule_of(e, l);

    l->state.phase = LIFE_ACTIVE;
    l->state.armed = LOGIC_T; /* its edge is part of the event: T,U,T behind it is none */
    l->state.end_ns = -1;
    life_arm(e, life, l->state.fire_ns + rule->max_active_ns);
    if (!is_shadow(rule))
        (void)emit(e, l, EVENT_CONTINUE);
}

static void condition_true(struct engine *e, uint32_t life)
{
    struct life *l = &e->lives[life];
    const struct rule *rule = rule_of(e, l);

    if (l->state.phase == LIFE_LINGERING) {
        continue_event(e, life);
    } else if (l->edge == EDGE_LEVEL) {
        if (e->now_ns >= l->state.cooldown_until_ns) {
            begin_run(e, life);
            return;
        }
        l->state.phase = LIFE_WAITING;
        life_arm(e, life, l->state.cooldown_until_ns);
    } else if (l->state.armed == LOGIC_F || (l->state.armed == LOGIC_U && rule->initial_fire)) {
        begin_run(e, life);
    } else {
        l->state.armed = LOGIC_T; /* known true for the first time, or true again: no edge */
    }
}

/* Also at the end of `max_active`, which cuts a lingering event too: none is longer. */
static void condition_lost(struct engine *e, uint32_t life)
{
    struct life *l = &e->lives[life];
    const struct rule *rule = rule_of(e, l);

    if (l->state.phase == LIFE_PENDING || l->state.phase == LIFE_WAITING) {
        l->state.phase = LIFE_IDLE;
        life_arm(e, life, TIMER_NEVER);
    } else if (l->state.phase == LIFE_ACTIVE) {
        end_event(e, life, l->state.root == LOGIC_F ? REASON_ENDED : REASON_INPUT_LOST);
        if (rule->keep_ns == 0) {
            close_event(e, life);
            return;
        }
        int64_t kept = e->now_ns + rule->keep_ns, cut = l->state.fire_ns + rule->max_active_ns;
        l->state.phase = LIFE_LINGERING;
        life_arm(e, life, kept < cut ? kept : cut);
    }
}

static void timer_due(struct engine *e, uint32_t life)
{
    struct life *l = &e->lives[life];

    l->state.timer_ns = TIMER_NEVER;
    switch (l->state.phase) {
    case LIFE_PENDING:
        attempt(e, life, l->state.start_ns);
        break;
    case LIFE_ACTIVE:
        end_event(e, life, REASON_MAX_ACTIVE);
        close_event(e, life);
        break;
    case LIFE_LINGERING:
        close_event(e, life);
        break;
    case LIFE_WAITING:
        l->state.phase = LIFE_IDLE;
        if (l->state.root == LOGIC_T)
            begin_run(e, life);
        break;
    default:
        break;
    }
}

void life_run(struct engine *e, uint32_t life)
{
    struct life *l = &e->lives[life];
    uint8_t before = l->state.root, now = e->cells[l->root].v;

    l->state.root = now;
    if (now == LOGIC_U && before != LOGIC_U && l->edge == EDGE_RISING &&
        e->graph->nodes[l->root].op == NODE_THEN_NOT)
        suppress_doubtful(e, l);
    if (now == LOGIC_F)
        l->state.armed = LOGIC_F;
    if (now == LOGIC_T && before != LOGIC_T)
        condition_true(e, life);
    else if (now != LOGIC_T && before == LOGIC_T)
        condition_lost(e, life);
    /* After the condition: what it cancelled or moved is due no more. At a step nothing is due: its
     * timers run behind it. */
    if (e->by_timer && l->state.timer_ns <= e->now_ns)
        timer_due(e, life);
    life_note(e, life);
}

void life_close(struct engine *e, uint32_t life, enum rule_reason reason)
{
    struct life *l = &e->lives[life];

    if (l->state.phase == LIFE_ACTIVE)
        end_event(e, life, reason);
    if (l->state.phase == LIFE_ACTIVE || l->state.phase == LIFE_LINGERING) {
        l->state.reason = (uint8_t)reason;
        l->state.root = LOGIC_U;
        close_event(e, life);
    }
}

void life_reset(struct engine *e, uint32_t life)
{
    struct life *l = &e->lives[life];

    l->state.root = LOGIC_U;
    l->state.armed = LOGIC_U;
    l->state.phase = LIFE_IDLE;
    life_arm(e, life, TIMER_NEVER);
}

void life_note(struct engine *e, uint32_t life)
{
    struct life *l = &e->lives[life];
    struct journal_entry *last = &l->journal[(l->journal_count - 1) % ENGINE_JOURNAL];

    if (!l->journal_count || last->at_ns != e->now_ns)
        last = &l->journal[l->journal_count++ % ENGINE_JOURNAL];
    *last = (struct journal_entry){ e->now_ns, l->state };
}
