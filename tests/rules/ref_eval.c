/* Instants and values, for the reference evaluator. */
#include "tests/rules/ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- the timeline --------------------------------------------------------------------------- */

static void put_entry(struct timeline *line, struct entry entry, uint32_t pulse_depth)
{
    for (uint32_t sub = 0; sub <= pulse_depth; sub++) {
        if (line->count == line->room) {
            line->room = line->room ? 2 * line->room : 256;
            line->entries = realloc(line->entries, line->room * sizeof *line->entries);
            if (!line->entries)
                abort();
        }
        entry.sub = sub;
        line->entries[line->count++] = entry;
    }
}

/* Something can change at `t` by time alone. */
bool timeline_due(struct timeline *line, int64_t t)
{
    uint32_t at = 0;

    while (at < line->due_count && line->dues[at] < t)
        at++;
    if (at < line->due_count && line->dues[at] == t)
        return false;
    if (line->due_count == line->due_room) {
        line->due_room = line->due_room ? 2 * line->due_room : 256;
        line->dues = realloc(line->dues, line->due_room * sizeof *line->dues);
        if (!line->dues)
            abort();
    }
    memmove(line->dues + at + 1, line->dues + at, (line->due_count - at) * sizeof *line->dues);
    line->dues[at] = t;
    line->due_count++;
    return true;
}

static bool is_late(const struct trace_item *item)
{
    return item->kind == HAPPENS_ROW && (item->row.frame.flags & FRAME_LATE);
}

/* Before a step at t every timer with due < t; behind the last step all timers up to its time. */
static void lay_out(struct timeline *line, const struct trace *trace, uint32_t depth)
{
    struct entry e = { .kind = ENTRY_BEGIN };
    uint32_t due = 0;
    bool begun = false;

    line->count = 0;
    for (uint32_t i = 0; i < trace->count; i++) {
        const struct trace_item *item = &trace->items[i];
        int64_t t = item->row.mono_ns;
        bool breaks = item->kind == HAPPENS_DISCONTINUITY;
        if (is_late(item))
            continue;
        for (; due < line->due_count && line->dues[due] < t; due++)
            if (begun && line->dues[due] >= e.t && (!breaks || line->dues[due] == e.t)) {
                e.t = line->dues[due];
                e.kind = ENTRY_TIMER;
                put_entry(line, e, depth);
            }
        if (breaks && due < line->due_count && line->dues[due] == t && e.t == t) {
            e.kind = ENTRY_TIMER; /* the step before has this very time */
            put_entry(line, e, depth);
        }
        e.t = t;
        if (!begun || breaks) {
            e.segment = line->count;
            e.kind = ENTRY_BEGIN;
            put_entry(line, e, depth);
        }
        begun = true;
        if (item->kind == HAPPENS_ROW) {
            e.kind = ENTRY_STEP;
            e.item = i;
            e.step = item->row.step;
            put_entry(line, e, depth);
        } else if (item->kind == HAPPENS_RELOAD) {
            e.kind = ENTRY_RELOAD;
            put_entry(line, e, depth);
        }
    }
    if (begun && due < line->due_count && line->dues[due] == e.t) {
        e.kind = ENTRY_TIMER;
        put_entry(line, e, depth);
    }
}

void timeline_free(struct timeline *line)
{
    free(line->entries);
    free(line->dues);
    *line = (struct timeline){ 0 };
}

/* Is what left exactly `d` ago still seen? At a step yes, at the timer no longer (decision 1). */
static bool is_past(const struct entry *e, int64_t since, int64_t d)
{
    return e->kind == ENTRY_TIMER ? e->t - since >= d : e->t - since > d;
}

/* --- signals -------------------------------------------------------------------------------- */

static bool carries(const struct ref_signal *s, const struct frame *frame,
                    const struct source_table *sources, struct decoded *d)
{
    const struct dbc_message *m = s->dbc.message;

    if ((frame->flags & (FRAME_RTR | FRAME_ERR | FRAME_LATE)) || frame->id != m->id ||
        ((frame->flags & FRAME_EFF) != 0) != m->is_extended ||
        (s->bus[0] && strcmp(s->bus, sources->items[frame->source].name) != 0))
        return false;
    for (const struct dbc_signal *branch = s->dbc.signal;;) {
        decode_signal(m, branch, frame->data, frame->len, d);
        if (d->present || branch->same_name == DBC_NONE)
            return d->present;
        branch = &m->signals[branch->same_name];
    }
}

/* Decision 25: the whole label, letters only, case-blind; never one that the pack names. */
static bool says_invalid(const struct ref_pack *p, const char *label)
{
    static const char *const words[] = { "sna", "init", "error", "fault", "notavailable" };
    char letters[64] = "";
    size_t n = 0;

    for (uint32_t i = 0; i < p->pack->label_count; i++)
        if (strcmp(p->pack->labels[i], label) == 0)
            return false;
    for (; *label && n < sizeof letters - 1; label++)
        if ((*label >= 'a' && *label <= 'z') || (*label >= 'A' && *label <= 'Z'))
            letters[n++] = (char)(*label | 32);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(letters, words[i]) == 0)
            return true;
    return false;
}

static bool is_invalid_code(const struct ref_pack *p, const struct ref_signal *s, int64_t raw)
{
    const struct dbc_signal *dbc = s->dbc.signal;

    for (uint32_t i = 0; i < dbc->label_count; i++) {
        if (dbc->labels[i].raw != raw)
            continue;
        if (says_invalid(p, dbc->labels[i].text))
            return true;
        for (const struct yaml_node *n = s->invalid ? s->invalid->first : NULL; n; n = n->next)
            if (strcmp(n->text, dbc->labels[i].text) == 0)
                return true;
    }
    return false;
}

/* -1, 0, 1: the value against an end of `valid:`. */
static int beside(const struct ref_signal *s, const struct decoded *d, const struct ref_value *end,
                  bool is_int, const struct unit *unit)
{
    struct ref_node n = { .type = is_int ? REF_INT : REF_NUM, .unit = *unit, .value = *end };

    if (!s->is_float)
        return ref_exact(s, d, false, &n);
    double mul, div, add, x = is_int ? (double)end->i : end->d;
    unit_conversion(unit, &s->db_unit, &mul, &div, &add);
    if (!unit_equal(unit, &s->db_unit))
        x = x * mul / div + add;
    return (d->physical > x) - (d->physical < x);
}

static bool is_valid(const struct ref_pack *p, const struct ref_signal *s, const struct decoded *d)
{
    if (!d->fits || d->quality != QUALITY_GOOD || (s->is_float && !isfinite(d->physical)) ||
        (!s->is_float && is_invalid_code(p, s, d->raw_signed)))
        return false;
    if (!s->has_valid)
        return true;
    int low = beside(s, d, &s->low, s->low_is_int, &s->low_unit);
    int high = beside(s, d, &s->high, s->high_is_int, &s->high_unit);
    return (s->open_low ? low > 0 : low >= 0) && (s->open_high ? high < 0 : high <= 0);
}

static void gather(struct ref_pack *p, struct ref_signal *s, const struct timeline *line,
                   const struct trace *trace, const struct source_table *sources)
{
    s->samples = arena_array(&p->arena, trace->count + 1, sizeof *s->samples);
    s->last = arena_array(&p->arena, line->count + 1, sizeof *s->last);
    s->state = arena_array(&p->arena, line->count + 1, sizeof *s->state);
    if (!s->samples || !s->last || !s->state)
        abort();
    s->sample_count = 0;
    for (uint32_t i = 0; i < line->count; i++) {
        const struct entry *e = &line->entries[i];
        struct ref_sample *next = &s->samples[s->sample_count];
        if (e->kind == ENTRY_STEP && e->sub == 0 &&
            carries(s, &trace->items[e->item].row.frame, sources, &next->decoded)) {
            next->entry = i;
            next->t = e->t;
            next->valid = is_valid(p, s, &next->decoded);
            s->sample_count++;
        }
        s->last[i] = (int32_t)s->sample_count - 1;
        if (s->last[i] >= 0 && s->samples[s->last[i]].entry < e->segment)
            s->last[i] = -1; /* before a discontinuity */
        if (s->last[i] < 0)
            s->state[i] = REF_MISSING;
        else if (s->max_age && is_past(e, s->samples[s->last[i]].t, s->max_age))
            s->state[i] = REF_STALE;
        else
            s->state[i] = s->samples[s->last[i]].valid ? REF_KNOWN : REF_INVALID;
    }
}

/* The sample that holds at an entry, or NULL when the signal is unknown there. */
static const struct decoded *held_sample(const struct ref_signal *s, uint32_t entry)
{
    return s->state[entry] == REF_KNOWN ? &s->samples[s->last[entry]].decoded : NULL;
}

/* --- values --------------------------------------------------------------------------------- */

static struct ref_value truth(bool yes)
{
    return (struct ref_value){ .v = yes ? REF_T : REF_F };
}

static struct ref_value unknown(void)
{
    return (struct ref_value){ .v = REF_U };
}

static struct ref_value num(double d)
{
    return isfinite(d) ? (struct ref_value){ .v = REF_T, .d = d } : unknown();
}

static struct ref_value whole(int64_t i)
{
    return (struct ref_value){ .v = REF_T, .i = i };
}

bool ref_is_known(const struct ref_node *n, struct ref_value v)
{
    return n->type == REF_BOOL ? v.v != REF_U : v.v == REF_T;
}

static struct ref_value related(enum ast_op op, int order)
{
    switch (op) {
    case OP_LT: return truth(order < 0);
    case OP_LE: return truth(order <= 0);
    case OP_GT: return truth(order > 0);
    case OP_GE: return truth(order >= 0);
    case OP_EQ: return truth(order == 0);
    default: return truth(order != 0);
    }
}

static struct ref_value signal_value(const struct ref_node *n, uint32_t i)
{
    const struct decoded *d = held_sample(n->bare, i);
    double mul, div, add;

    if (!d)
        return unknown();
    if (n->type == REF_BOOL)
        return truth(d->raw == 1);
    if (n->type != REF_NUM)
        return whole(d->raw_signed);
    if (unit_equal(&n->bare->db_unit, &n->unit))
        return num(d->physical);
    unit_conversion(&n->bare->db_unit, &n->unit, &mul, &div, &add);
    return num(d->physical * mul / div + add);
}

static struct ref_value exact_value(const struct ref_node *n, uint32_t i)
{
    const struct ref_node *signal = n->kids[0];
    const struct decoded *d = held_sample(signal->bare, i);

    return d ? related(n->relation, ref_exact(signal->bare, d, signal->is_raw ||
                                              signal->type == REF_ENUM, n->kids[1]))
             : unknown();
}

static struct ref_value integer_value(const struct ref_node *n, int64_t a, int64_t b)
{
    int64_t r = 0;
    bool lost = false;

    switch (n->op) {
    case X_ADD: lost = __builtin_add_overflow(a, b, &r); break;
    case X_SUB: lost = __builtin_sub_overflow(a, b, &r); break;
    case X_MUL: lost = __builtin_mul_overflow(a, b, &r); break;
    case X_NEG: lost = __builtin_sub_overflow(INT64_C(0), a, &r); break;
    case X_ABS: r = a; lost = a < 0 && __builtin_sub_overflow(INT64_C(0), a, &r); break;
    case X_SIGN: r = (a > 0) - (a < 0); break;
    case X_MOD: lost = b == 0; r = lost || b == -1 ? 0 : a % b; break;
    case X_MIN: r = a < b ? a : b; break;
    case X_MAX: r = a > b ? a : b; break;
    default: abort();
    }
    return lost ? unknown() : whole(r);
}

static struct ref_value number_value(const struct ref_node *n, double a, double b)
{
    switch (n->op) {
    case X_ADD: return num(a + b);
    case X_SUB: return num(a - b);
    case X_MUL: return num(a * b);
    case X_DIV: return num(a / b);
    case X_NEG: return num(-a);
    case X_ABS: return num(fabs(a));
    case X_SIGN: return num((a > 0) - (a < 0));
    case X_SQRT: return a < 0 ? unknown() : num(sqrt(a));
    case X_MOD: return num(fmod(a, b));
    case X_MIN: return num(a < b ? a : b);
    case X_MAX: return num(a > b ? a : b);
    case X_CONVERT: return num(a * n->mul / n->div + n->add);
    default: abort();
    }
}

/* Operations on numbers, all of whose operands must be known. */
static struct ref_value strict_value(const struct ref_node *n, uint32_t i)
{
    struct ref_value a = n->kids[0]->at[i], b = n->kid_count > 1 ? n->kids[1]->at[i] : a;

    if (a.v != REF_T || b.v != REF_T)
        return unknown();
    bool ints = n->kids[0]->type != REF_NUM;
    if (n->op == X_COMPARE)
        return related(n->relation, ints ? (a.i > b.i) - (a.i < b.i) : (a.d > b.d) - (a.d < b.d));
    if (n->op == X_TO_NUM)
        return num((double)a.i);
    if (n->op == X_BIT)
        return truth((a.i >> n->d & 1) != 0);
    return ints ? integer_value(n, a.i, b.i) : number_value(n, a.d, b.d);
}

bool ref_same(const struct ref_node *n, struct ref_value a, struct ref_value b)
{
    if (n->type == REF_BOOL)
        return a.v == b.v;
    return n->type == REF_NUM ? !(a.d < b.d) && !(a.d > b.d) : a.i == b.i;
}

/* The newest entry before i, of its segment, at which the operand was known; -1: none. */
int64_t ref_known_before(const struct ref_node *operand, const struct timeline *line, uint32_t i)
{
    for (int64_t k = (int64_t)i - 1; k >= (int64_t)line->entries[i].segment; k--)
        if (ref_is_known(operand, operand->at[k]))
            return k;
    return -1;
}

/* Decision 9: T at the entry at which a known value differs so from the last known one. */
static struct ref_value pulse_value(const struct ref_node *n, const struct timeline *line,
                                    uint32_t i)
{
    const struct ref_node *operand = n->kids[0];
    struct ref_value now = operand->at[i];

    if (!ref_is_known(operand, now))
        return unknown();
    int64_t k = ref_known_before(operand, line, i);
    if (k < 0)
        return truth(false);
    struct ref_value before = operand->at[k];
    if (n->op == X_RISE)
        return truth(before.v == REF_F && now.v == REF_T);
    if (n->op == X_FALL)
        return truth(before.v == REF_T && now.v == REF_F);
    return truth(!ref_same(operand, before, now) &&
                 (!n->has_from || n->kids[1]->at[k].v == REF_T) &&
                 (!n->has_to || n->kids[2]->at[i].v == REF_T));
}

static bool is_sampled_by(const struct ref_node *n, uint32_t entry)
{
    if (n->bare)
        for (uint32_t i = 0; i < n->bare->sample_count; i++)
            if (n->bare->samples[i].entry == entry)
                return true;
    for (uint32_t i = 0; i < n->kid_count; i++)
        if (is_sampled_by(n->kids[i], entry))
            return true;
    return false;
}

bool ref_is_sampled(const struct ref_node *n, const struct timeline *line, uint32_t entry)
{
    return line->entries[entry].kind == ENTRY_STEP && line->entries[entry].sub == 0 &&
           is_sampled_by(n, entry);
}

/* Decision 15: the value at the step before the last one that carried a signal it reads. */
static struct ref_value prev_value(const struct ref_node *n, const struct timeline *line, uint32_t i)
{
    uint32_t found = 0;

    for (int64_t k = i; k >= (int64_t)line->entries[i].segment; k--)
        if (ref_is_sampled(n->kids[0], line, (uint32_t)k) && ++found == 2)
            return n->kids[0]->at[k];
    return unknown();
}

static struct ref_value logic_value(const struct ref_node *n, uint32_t i)
{
    struct ref_value a = n->kids[0]->at[i], b = n->kid_count > 1 ? n->kids[1]->at[i] : a;

    switch (n->op) {
    case X_AND: return a.v < b.v ? a : b;
    case X_OR: return a.v > b.v ? a : b;
    case X_NOT: return (struct ref_value){ .v = (uint8_t)(REF_T - a.v) };
    case X_MUST: return truth(a.v == REF_T);
    case X_MAYBE: return truth(a.v != REF_F);
    case X_KNOWN: return truth(ref_is_known(n->kids[0], a));
    case X_SAME_BOOL: return a.v == REF_U || b.v == REF_U ? unknown() : truth(a.v == b.v);
    case X_COAL: return ref_is_known(n->kids[0], a) ? a : b;
    case X_IF: return a.v == REF_U ? unknown() : n->kids[a.v == REF_T ? 1 : 2]->at[i];
    default: return strict_value(n, i);
    }
}

static struct ref_value age_over(const struct ref_node *n, const struct timeline *line, uint32_t i)
{
    const struct ref_signal *s = n->bare;

    return s->last[i] < 0 ? unknown()
                          : truth(is_past(&line->entries[i], s->samples[s->last[i]].t, n->d));
}

static struct ref_value value_at(const struct ref_node *n, const struct timeline *line, uint32_t i)
{
    /* A reload is no evaluation of what goes on over it: coverage that is reached at its very instant
     * is reached by the timer, after it. */
    if (line->entries[i].kind == ENTRY_RELOAD && i > 0 && ref_looks_back(n->op))
        return n->at[i - 1];
    switch (n->op) {
    case X_CONST: return n->value;
    case X_AGE: return unknown(); /* asked for when it is attached */
    case X_SIGNAL: return signal_value(n, i);
    case X_AGE_OVER: return age_over(n, line, i);
    case X_STATE: return truth((n->d >> n->bare->state[i] & 1) != 0);
    case X_EXACT: return exact_value(n, i);
    case X_RISE:
    case X_FALL:
    case X_CHANGED: return pulse_value(n, line, i);
    case X_PREV: return prev_value(n, line, i);
    default: return ref_looks_back(n->op) ? ref_back_value(n, line, i) : logic_value(n, i);
    }
}

/* --- a pack over the trace ------------------------------------------------------------------ */

static void evaluate(struct ref_pack *p, const struct timeline *line, const struct trace *trace,
                     const struct source_table *sources)
{
    for (uint32_t i = 0; i < p->signal_count; i++)
        gather(p, &p->signals[i], line, trace, sources);
    for (struct ref_node *n = p->first; n; n = n->next) {
        n->at = arena_array(&p->arena, line->count + 1, sizeof *n->at);
        if (!n->at)
            abort();
        for (uint32_t i = 0; i < line->count; i++)
            n->at[i] = value_at(n, line, i);
    }
}

/* Instants at which a node can change by time alone. Returns whether one is new. */
static bool node_dues(struct timeline *line, const struct ref_node *n)
{
    bool more = false;

    for (uint32_t i = 0; n->op == X_AGE_OVER && i < n->bare->sample_count; i++)
        more = timeline_due(line, n->bare->samples[i].t + n->d) || more;
    return ref_looks_back(n->op) ? ref_back_dues(line, n) : more;
}

static bool more_dues(struct timeline *line, const struct ref_pack *p)
{
    bool more = false;

    for (uint32_t s = 0; s < p->signal_count; s++)
        for (uint32_t i = 0; p->signals[s].max_age && i < p->signals[s].sample_count; i++)
            more = timeline_due(line, p->signals[s].samples[i].t + p->signals[s].max_age) || more;
    for (const struct ref_node *n = p->first; n; n = n->next)
        more = node_dues(line, n) || more;
    return more;
}

void ref_values(struct timeline *line, struct ref_pack *a, struct ref_pack *b,
                const struct trace *trace, const struct source_table *sources)
{
    uint32_t depth = b && b->pulse_depth > a->pulse_depth ? b->pulse_depth : a->pulse_depth;
    bool more = true;

    while (more) { /* an instant more may make another node change, which has dues of its own */
        lay_out(line, trace, depth);
        evaluate(a, line, trace, sources);
        if (b)
            evaluate(b, line, trace, sources);
        more = more_dues(line, a);
        if (b)
            more = more_dues(line, b) || more;
    }
}
