/* Operators that look back, by their definitions (rules.md 2), for the reference evaluator: each
 * looks at every entry that its window reaches, at every entry. */
#include "tests/rules/ref.h"

#include <math.h>
#include <stdlib.h>

__extension__ typedef __int128 wide;

static struct ref_value truth(bool yes)
{
    return (struct ref_value){ .v = yes ? REF_T : REF_F };
}

static struct ref_value unknown(void)
{
    return (struct ref_value){ .v = REF_U };
}

static struct ref_value number(long double d)
{
    return isfinite((double)d) ? (struct ref_value){ .v = REF_T, .d = (double)d } : unknown();
}

/* Does what ended (or happened) at `t` still count at entry i, d later? (decision 1) */
static bool is_inside(const struct timeline *line, uint32_t i, int64_t t, int64_t d)
{
    const struct entry *e = &line->entries[i];

    return e->kind == ENTRY_TIMER ? t > e->t - d : t >= e->t - d;
}

static uint32_t first_of(const struct timeline *line, uint32_t i)
{
    return line->entries[i].segment;
}

static int64_t start_of(const struct timeline *line, uint32_t i)
{
    return line->entries[first_of(line, i)].t;
}

/* The value of entry k holds until the next one; does the window at i reach it? */
static bool reaches(const struct timeline *line, uint32_t i, uint32_t k, int64_t d)
{
    return k == i || is_inside(line, i, line->entries[k + 1].t, d);
}

/* Before the load everything was unknown. */
static bool reaches_load(const struct timeline *line, uint32_t i, int64_t d)
{
    return is_inside(line, i, start_of(line, i), d);
}

/* The entry of the instant that i belongs to. */
static uint32_t instant(const struct timeline *line, uint32_t i)
{
    return i - line->entries[i].sub;
}

static bool is_rising(const struct ref_node *p, const struct timeline *line, uint32_t i)
{
    int64_t k = p->at[i].v == REF_T ? ref_known_before(p, line, i) : -1;

    return k >= 0 && p->at[k].v == REF_F;
}

/* --- conditions ----------------------------------------------------------------------------- */

/* held: the least, once: the greatest value over [t - d, t]. */
static struct ref_value extreme_logic(const struct ref_node *n, const struct timeline *line,
                                      uint32_t i)
{
    const struct ref_node *p = n->kids[0];
    uint8_t v = p->at[i].v;

    for (uint32_t k = first_of(line, i); k < i; k++)
        if (reaches(line, i, k, n->d) && (n->op == X_HELD ? p->at[k].v < v : p->at[k].v > v))
            v = p->at[k].v;
    if (reaches_load(line, i, n->d) && (n->op == X_HELD ? REF_U < v : REF_U > v))
        v = REF_U;
    return (struct ref_value){ .v = v };
}

/* q was T (within d) and p ever after: the best over all moments of q. */
static struct ref_value since_value(const struct ref_node *n, const struct timeline *line,
                                    uint32_t i)
{
    const struct ref_node *p = n->kids[0], *q = n->kids[1];
    uint8_t best = REF_F, after = REF_T; /* after: the least of p behind entry k */

    for (int64_t k = i; k >= (int64_t)first_of(line, i); k--) {
        uint8_t v = q->at[k].v < after ? q->at[k].v : after;
        if ((!n->d || reaches(line, i, (uint32_t)k, n->d)) && v > best)
            best = v;
        after = p->at[k].v < after ? p->at[k].v : after;
    }
    uint8_t load = REF_U < after ? REF_U : after;
    if ((!n->d || reaches_load(line, i, n->d)) && load > best)
        best = load;
    return (struct ref_value){ .v = best };
}

static struct ref_value hyst_value(const struct ref_node *n, const struct timeline *line, uint32_t i)
{
    const struct ref_node *on = n->kids[0], *off = n->kids[1];

    for (int64_t k = i; k >= (int64_t)first_of(line, i); k--) {
        bool known = on->at[k].v != REF_U && off->at[k].v != REF_U;
        if (!known && k == (int64_t)i)
            return unknown();
        if (known && (on->at[k].v == REF_T || off->at[k].v == REF_T))
            return truth(on->at[k].v == REF_T);
    }
    return truth(false);
}

static struct ref_value latch_value(const struct ref_node *n, const struct timeline *line,
                                    uint32_t i)
{
    for (int64_t k = i; k >= (int64_t)first_of(line, i); k--) {
        if (n->kids[1]->at[k].v == REF_T)
            return truth(false);
        if (n->kids[0]->at[k].v == REF_T)
            return truth(true);
    }
    return truth(false);
}

/* Was p this value all over [t - d, t]? */
static bool was_ever(const struct ref_node *p, const struct timeline *line, uint32_t i, uint8_t v,
                     int64_t d)
{
    for (int64_t k = i; k >= (int64_t)first_of(line, i) && reaches(line, i, (uint32_t)k, d); k--)
        if (p->at[k].v != v)
            return false;
    return !reaches_load(line, i, d);
}

static struct ref_value debounce_value(const struct ref_node *n, const struct timeline *line,
                                       uint32_t i)
{
    const struct ref_node *p = n->kids[0];

    if (p->at[i].v == REF_U)
        return unknown();
    for (int64_t k = i; k >= (int64_t)first_of(line, i); k--) {
        if (was_ever(p, line, (uint32_t)k, REF_T, n->d))
            return truth(true);
        if (was_ever(p, line, (uint32_t)k, REF_F, n->d2))
            return truth(false);
    }
    return truth(false);
}

/* --- samples -------------------------------------------------------------------------------- */

/* Fresh samples kept coming and their bits never changed for d. Walks the run of samples back to its
 * first: a change, a gap or the load is before that. */
static struct ref_value frozen_value(const struct ref_node *n, const struct timeline *line,
                                     uint32_t i)
{
    const struct ref_node *x = n->kids[0];
    uint32_t samples = 0;
    int64_t first = -1;
    bool changed = false;

    if (!ref_is_known(x, x->at[i]))
        return unknown();
    for (int64_t k = i; k >= (int64_t)first_of(line, i); k--) {
        if (!ref_is_known(x, x->at[k]))
            break;
        if (!ref_same(x, x->at[k], x->at[i])) {
            changed = true;
            break;
        }
        if (ref_is_sampled(x, line, (uint32_t)k)) {
            samples++;
            first = line->entries[k].t;
        }
    }
    bool passed = first >= 0 && !is_inside(line, i, first, n->d);
    if (passed)
        return truth(samples >= 2);
    return changed ? truth(false) : unknown();
}

static struct ref_value period_value(const struct ref_node *n, const struct timeline *line,
                                     uint32_t i)
{
    int64_t last = -1;

    for (int64_t k = i; k >= (int64_t)first_of(line, i); k--) {
        if (!ref_is_sampled(n->kids[0], line, (uint32_t)k))
            continue;
        if (last >= 0)
            return number((long double)(double)(last - line->entries[k].t) / 1e9L);
        last = line->entries[k].t;
    }
    return unknown();
}

static struct ref_value count_value(const struct ref_node *n, const struct timeline *line,
                                    uint32_t i)
{
    struct ref_value value = { .v = REF_T, .i = 0 };

    for (uint32_t k = first_of(line, i); k <= i; k++)
        value.i += is_inside(line, i, line->entries[k].t, n->d) &&
                   (n->op == X_SAMPLES ? ref_is_sampled(n->kids[0], line, k)
                                       : is_rising(n->kids[0], line, k));
    return value;
}

/* --- sequences ------------------------------------------------------------------------------ */

/* The newest start of steps 0..step of the chain that a rising edge at entry i completes; -1: none.
 * Each step comes strictly later than the one before it, in a later instant. */
static int64_t chain_start(const struct ref_node *n, const struct timeline *line, uint32_t step,
                           uint32_t i, int64_t *memo)
{
    int64_t *known = &memo[step * line->count + i];

    if (*known != INT64_MIN)
        return *known;
    *known = -1;
    if (!is_rising(n->kids[step], line, i))
        return -1;
    if (step == 0)
        return *known = line->entries[i].t;
    for (uint32_t k = first_of(line, i); k < instant(line, i); k++) {
        int64_t start = chain_start(n, line, step - 1, k, memo);
        if (start < 0 || (!n->total && !is_inside(line, i, line->entries[k].t, n->within[step])) ||
            (n->total && !is_inside(line, i, start, n->total)))
            continue;
        *known = start > *known ? start : *known;
    }
    return *known;
}

static int64_t *chain_memo(const struct ref_node *n, const struct timeline *line)
{
    size_t count = (size_t)n->kid_count * line->count;
    int64_t *memo = malloc((count + 1) * sizeof *memo);

    if (!memo)
        abort();
    for (size_t i = 0; i < count; i++)
        memo[i] = INT64_MIN;
    return memo;
}

static struct ref_value then_value(const struct ref_node *n, const struct timeline *line, uint32_t i)
{
    uint32_t last = n->kid_count - 1;

    if (n->kids[last]->at[i].v == REF_U)
        return unknown();
    if (!is_rising(n->kids[last], line, i))
        return truth(false);
    int64_t *memo = chain_memo(n, line);
    int64_t start = chain_start(n, line, last, i, memo);
    free(memo);
    return truth(start >= 0);
}

/* The first `a` waits until an edge of b in a later instant or the timer d after it; an unknown b
 * meanwhile makes the outcome unknown. */
static struct ref_value then_not_value(const struct ref_node *n, const struct timeline *line,
                                       uint32_t i)
{
    uint32_t last = n->kid_count - 1;
    const struct ref_node *b = n->kids[last];
    int64_t *memo = chain_memo(n, line), since = -1;
    uint32_t from = 0;
    bool doubt = false;
    struct ref_value value = truth(false);

    for (uint32_t k = first_of(line, i); k <= i; k++) {
        const struct entry *e = &line->entries[k];
        value = truth(false);
        if (since >= 0) {
            doubt = doubt || b->at[k].v == REF_U;
            if (is_rising(b, line, k) && instant(line, k) > from) {
                since = -1;
            } else if (e->kind == ENTRY_TIMER && e->t >= since + n->within[last]) {
                value = doubt ? unknown() : truth(true);
                since = -1;
            }
        }
        if (since < 0 && chain_start(n, line, last - 1, k, memo) >= 0) {
            since = e->t;
            from = instant(line, k);
            doubt = b->at[k].v == REF_U;
        }
    }
    free(memo);
    return value;
}

/* --- windows -------------------------------------------------------------------------------- */

/* The part of entry k's time that lies in [t - d, t]. */
static int64_t weight(const struct timeline *line, uint32_t i, uint32_t k, int64_t d)
{
    int64_t t = line->entries[i].t, from = line->entries[k].t;
    int64_t to = k == i ? t : line->entries[k + 1].t;

    from = from < t - d ? t - d : from;
    return to > from ? to - from : 0;
}

static int64_t known_time(const struct ref_node *n, const struct timeline *line, uint32_t i)
{
    int64_t sum = 0;

    for (uint32_t k = first_of(line, i); k <= i; k++)
        if (ref_is_known(n->kids[0], n->kids[0]->at[k]))
            sum += weight(line, i, k, n->d);
    return sum;
}

static bool is_covered(const struct ref_node *n, int64_t known)
{
    return (wide)known * 1000000 >= (wide)n->cover_ppm * n->d;
}

static struct ref_value at_value(const struct ref_node *n, const struct timeline *line, uint32_t i)
{
    int64_t t = line->entries[i].t - n->d;

    for (int64_t k = i; k >= (int64_t)first_of(line, i); k--)
        if (line->entries[k].t <= t)
            return n->kids[0]->at[k];
    return unknown();
}

static struct ref_value delta_value(const struct ref_node *n, const struct timeline *line,
                                    uint32_t i)
{
    struct ref_value before = at_value(n, line, i), now = n->kids[0]->at[i];

    return before.v == REF_T && now.v == REF_T ? number(now.d - before.d) : unknown();
}

static struct ref_value range_value(const struct ref_node *n, const struct timeline *line,
                                    uint32_t i)
{
    const struct ref_node *x = n->kids[0];
    bool any = false;
    double low = 0, high = 0;

    for (uint32_t k = first_of(line, i); k <= i; k++) {
        if (!reaches(line, i, k, n->d) || x->at[k].v != REF_T)
            continue;
        low = !any || x->at[k].d < low ? x->at[k].d : low;
        high = !any || x->at[k].d > high ? x->at[k].d : high;
        any = true;
    }
    if (!any)
        return unknown();
    return number(n->op == X_MIN_OVER ? low : n->op == X_MAX_OVER ? high : high - low);
}

static struct ref_value sum_value(const struct ref_node *n, const struct timeline *line, uint32_t i)
{
    long double sum = 0;

    for (uint32_t k = first_of(line, i); k <= i; k++)
        if (is_inside(line, i, line->entries[k].t, n->d) && n->kids[0]->at[k].v == REF_T &&
            ref_is_sampled(n->kids[0], line, k))
            sum += n->kids[0]->at[k].d;
    return number(sum);
}

static struct ref_value weighted_value(const struct ref_node *n, const struct timeline *line,
                                       uint32_t i)
{
    const struct ref_node *x = n->kids[0];
    long double sum = 0, squares = 0, total = (long double)known_time(n, line, i);

    for (uint32_t k = first_of(line, i); k <= i; k++)
        if (ref_is_known(x, x->at[k]))
            sum += (long double)weight(line, i, k, n->d) *
                   (x->type == REF_BOOL ? x->at[k].v == REF_T : (long double)x->at[k].d);
    if (n->op == X_INTEGRAL)
        return number(sum / 1e9L);
    if (!(total > 0))
        return unknown();
    long double mean = sum / total;
    if (n->op != X_STD_OVER)
        return number(mean);
    for (uint32_t k = first_of(line, i); k <= i; k++)
        if (ref_is_known(x, x->at[k]))
            squares += (long double)weight(line, i, k, n->d) * (x->at[k].d - mean) *
                       (x->at[k].d - mean);
    return number(sqrtl(squares / total));
}

static bool is_point(const struct ref_node *n, const struct timeline *line, uint32_t i, uint32_t k)
{
    return is_inside(line, i, line->entries[k].t, n->d) && n->kids[0]->at[k].v == REF_T &&
           ref_is_sampled(n->kids[0], line, k);
}

/* Least squares over the known samples, seconds relative to now; all stamps equal: unknown. */
static struct ref_value deriv_value(const struct ref_node *n, const struct timeline *line,
                                    uint32_t i)
{
    const struct ref_node *x = n->kids[0];
    long double mean_t = 0, mean_x = 0, over = 0, under = 0, count = 0;
    int64_t first = -1, now = line->entries[i].t;
    bool apart = false;

    for (uint32_t k = first_of(line, i); k <= i; k++) {
        if (!is_point(n, line, i, k))
            continue;
        apart = apart || (first >= 0 && line->entries[k].t != first);
        first = first < 0 ? line->entries[k].t : first;
        mean_t += (long double)(line->entries[k].t - now) / 1e9L;
        mean_x += x->at[k].d;
        count += 1;
    }
    if (count < 3 || !apart)
        return unknown();
    mean_t /= count;
    mean_x /= count;
    for (uint32_t k = first_of(line, i); k <= i; k++) {
        if (!is_point(n, line, i, k))
            continue;
        long double t = (long double)(line->entries[k].t - now) / 1e9L - mean_t;
        over += t * (x->at[k].d - mean_x);
        under += t * t;
    }
    return number(over / under);
}

static struct ref_value window_value(const struct ref_node *n, const struct timeline *line,
                                     uint32_t i)
{
    if (!is_covered(n, known_time(n, line, i)))
        return unknown();
    switch (n->op) {
    case X_DELTA: return delta_value(n, line, i);
    case X_MIN_OVER:
    case X_MAX_OVER:
    case X_RANGE_OVER: return range_value(n, line, i);
    case X_SUM_OVER: return sum_value(n, line, i);
    case X_DERIV: return deriv_value(n, line, i);
    default: return weighted_value(n, line, i);
    }
}

/* mean std integral duty deriv stand still between samples and changes of the operand, and end with
 * their coverage (decision 4). */
static struct ref_value still_value(const struct ref_node *n, const struct timeline *line,
                                    uint32_t i)
{
    const struct ref_node *x = n->kids[0];
    bool moves = i == first_of(line, i) || ref_is_sampled(x, line, i) ||
                 ref_is_known(x, x->at[i]) != ref_is_known(x, x->at[i - 1]) ||
                 (ref_is_known(x, x->at[i]) && !ref_same(x, x->at[i], x->at[i - 1]));

    if (moves || !is_covered(n, known_time(n, line, i)))
        return window_value(n, line, i);
    return n->at[i - 1];
}

/* --- the interface -------------------------------------------------------------------------- */

bool ref_looks_back(enum ref_op op)
{
    return op >= X_HELD;
}

struct ref_value ref_back_value(const struct ref_node *n, const struct timeline *line, uint32_t i)
{
    switch (n->op) {
    case X_HELD:
    case X_ONCE: return extreme_logic(n, line, i);
    case X_SINCE: return since_value(n, line, i);
    case X_HYST: return hyst_value(n, line, i);
    case X_LATCH: return latch_value(n, line, i);
    case X_DEBOUNCE: return debounce_value(n, line, i);
    case X_FROZEN: return frozen_value(n, line, i);
    case X_PERIOD: return period_value(n, line, i);
    case X_THEN: return then_value(n, line, i);
    case X_THEN_NOT: return then_not_value(n, line, i);
    case X_COUNT:
    case X_SAMPLES: return count_value(n, line, i);
    case X_AT: return at_value(n, line, i);
    case X_MEAN_OVER:
    case X_STD_OVER:
    case X_INTEGRAL:
    case X_DERIV:
    case X_DUTY: return still_value(n, line, i);
    default: return window_value(n, line, i);
    }
}

/* Is x known at the left end of the window, from there on? */
static bool enters_known(const struct ref_node *n, const struct timeline *line, uint32_t i)
{
    int64_t t = line->entries[i].t - n->d;

    for (int64_t k = i; k >= (int64_t)first_of(line, i); k--)
        if (line->entries[k].t <= t)
            return ref_is_known(n->kids[0], n->kids[0]->at[k]);
    return false;
}

/* Where coverage is reached or lost between two entries: known time grows and shrinks by a ns a ns. */
static bool cover_dues(struct timeline *line, const struct ref_node *n)
{
    int64_t need = (int64_t)(((wide)n->cover_ppm * n->d + 999999) / 1000000);
    bool more = false;

    for (uint32_t i = 0; i < line->count; i++) {
        int64_t known = known_time(n, line, i), t = line->entries[i].t;
        int slope = ref_is_known(n->kids[0], n->kids[0]->at[i]) - enters_known(n, line, i);
        if (known < need && slope > 0)
            more = timeline_due(line, t + need - known) || more;
        if (known >= need && slope < 0)
            more = timeline_due(line, t + known - need + 1) || more;
    }
    return more;
}

/* d behind every change of an operand, every sample and every load. */
bool ref_back_dues(struct timeline *line, const struct ref_node *n)
{
    bool more = false, windowed = n->op >= X_DELTA;

    for (uint32_t i = 0; i < line->count; i++) {
        int64_t t = line->entries[i].t;
        bool matters = i == first_of(line, i) || line->entries[i].kind == ENTRY_STEP;
        for (uint32_t k = 0; !matters && k < n->kid_count; k++)
            matters = n->kids[k]->at[i].v != n->kids[k]->at[i - 1].v ||
                      !ref_same(n->kids[k], n->kids[k]->at[i], n->kids[k]->at[i - 1]);
        if (!matters)
            continue;
        if (n->d)
            more = timeline_due(line, t + n->d) || more;
        if (n->d2)
            more = timeline_due(line, t + n->d2) || more;
        if (n->op == X_THEN_NOT)
            more = timeline_due(line, t + n->within[n->kid_count - 1]) || more;
    }
    return windowed ? cover_dues(line, n) || more : more;
}
