/* Windows of a ring. Two kinds (rules.md 2, instant 4): at, delta, min, max, range, sum and samples
 * change at the exact instant, by timer; mean, std, integral, deriv and duty move all the time and
 * are computed only when the operand has a sample or changes, and when its coverage ends. All are
 * computed anew from the ring, so that a value depends on nothing but what the window holds. */
#include "triggers/op_window.h"

#include <math.h>

static size_t window_size(const struct node *node)
{
    return sizeof(struct window) +
           (window_shape(node).samples + WINDOW_SLOTS_ROOM) * sizeof(struct window_entry);
}

static struct cell number(double d)
{
    if (!isfinite(d))
        return op_logic(NUMBER_UNKNOWN);
    return (struct cell){ .d = d, .v = NUMBER_KNOWN };
}

static void sooner(int64_t *due_ns, int64_t other_ns)
{
    if (other_ns < *due_ns)
        *due_ns = other_ns;
}

/* --- what held: at, delta, min, max, range ---------------------------------------------------- */

static struct cell value_at(const struct engine *e, const struct node *n, struct window *w,
                            int64_t *due_ns)
{
    int64_t from = e->now_ns - n->k0.i;
    uint32_t i = 0;

    while (i < w->count && window_at(w, i)->t <= from)
        i++;
    if (i < w->count)
        sooner(due_ns, window_at(w, i)->t + n->k0.i);
    if (i == 0)
        return op_logic(LOGIC_U);
    const struct window_entry *entry = window_at(w, i - 1);
    return (struct cell){ .i = entry->i, .v = entry->v };
}

static bool is_better(const struct window_entry *entry, const struct window_entry *best, int most)
{
    return most ? entry->d >= best->d : entry->d <= best->d;
}

/* The newest entry with the least or the greatest value; NULL when none is known. Looks at all of
 * them only when the best one has left. */
static struct window_entry *find_best(struct window *w, int most)
{
    bool is_kept = w->has_best[most] && w->best[most] >= w->popped;
    struct window_entry *best =
        is_kept ? window_at(w, (uint32_t)(w->best[most] - w->popped)) : NULL;
    uint32_t from = is_kept && w->seen[most] > w->popped ? (uint32_t)(w->seen[most] - w->popped) : 0;
    for (uint32_t i = from; i < w->count; i++) {
        struct window_entry *entry = window_at(w, i);
        if (!window_is_known(entry) || (best && !is_better(entry, best, most)))
            continue;
        best = entry;
        w->best[most] = w->popped + i;
    }
    w->has_best[most] = best != NULL;
    w->seen[most] = w->popped + w->count;
    return best;
}

static double best_value(const struct node *n, struct window *w, int most, int64_t *due_ns)
{
    const struct window_entry *best = find_best(w, most);

    if (!best)
        return NAN;
    uint32_t next = (uint32_t)(w->best[most] - w->popped) + 1;
    if (next < w->count)
        sooner(due_ns, window_at(w, next)->t + n->k0.i);
    return best->d;
}

/* --- samples: sum, samples, deriv ------------------------------------------------------------- */

static struct cell sum_or_count(const struct engine *e, const struct node *n, struct window *w,
                                int64_t *due_ns)
{
    int64_t count = 0;
    double sum = 0;

    for (uint32_t i = 0; i < w->count; i++) {
        const struct window_entry *entry = window_at(w, i);
        if (!entry->is_sample || !engine_sees(e, entry->t, n->k0.i))
            continue;
        if (!count++)
            sooner(due_ns, entry->t + n->k0.i);
        sum += window_is_known(entry) ? entry->d : 0;
    }
    if (n->op == NODE_SAMPLES)
        return (struct cell){ .i = count, .v = NUMBER_KNOWN };
    return number(sum);
}

/* Least squares over the known samples, seconds relative to now, both centred for precision. Samples
 * of one stamp have no slope: told by the stamps, since their mean may differ from them by a bit. */
static struct cell slope(const struct engine *e, const struct node *n, struct window *w)
{
    double mean_t = 0, mean_y = 0, over = 0, under = 0;
    int64_t first_ns = INT64_MAX, last_ns = INT64_MIN;
    uint32_t count = 0;

    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < w->count; i++) {
            const struct window_entry *entry = window_at(w, i);
            if (!entry->is_sample || !window_is_known(entry) || !engine_sees(e, entry->t, n->k0.i))
                continue;
            double t = (double)(entry->t - e->now_ns) / 1e9;
            first_ns = entry->t < first_ns ? entry->t : first_ns;
            last_ns = entry->t > last_ns ? entry->t : last_ns;
            count += pass == 0;
            mean_t += pass == 0 ? t : 0;
            mean_y += pass == 0 ? entry->d : 0;
            over += pass == 0 ? 0 : (t - mean_t) * (entry->d - mean_y);
            under += pass == 0 ? 0 : (t - mean_t) * (t - mean_t);
        }
        if (count < 3 || first_ns == last_ns)
            return op_logic(NUMBER_UNKNOWN);
        mean_t /= pass == 0 ? count : 1;
        mean_y /= pass == 0 ? count : 1;
    }
    return number(over / under);
}

/* --- what is weighed by the time it was held: mean, std, integral, duty ----------------------- */

/* Sum over the known time of f(value) * ns: value (power 1) or (value - centre)^2. */
static double weighed(const struct engine *e, const struct node *n, struct window *w, int power,
                      double centre)
{
    int64_t from = e->now_ns - n->k0.i;
    double sum = 0;

    for (uint32_t i = 0; i < w->count; i++) {
        const struct window_entry *entry = window_at(w, i);
        int64_t begin = entry->t > from ? entry->t : from;
        int64_t end = i + 1 < w->count ? window_at(w, i + 1)->t : e->now_ns;
        if (!window_is_known(entry) || end <= begin)
            continue;
        double x = n->op == NODE_DUTY ? entry->v == LOGIC_T : entry->d;
        sum += (power == 1 ? x : (x - centre) * (x - centre)) * (double)(end - begin);
    }
    return sum;
}

static struct cell held_over(const struct engine *e, const struct node *n, struct window *w,
                             int64_t known_ns)
{
    double sum = weighed(e, n, w, 1, 0), mean = sum / (double)known_ns;

    if (known_ns == 0)
        return op_logic(NUMBER_UNKNOWN);
    if (n->op == NODE_INTEGRAL)
        return number(sum / 1e9);
    if (n->op == NODE_STD_OVER)
        return number(sqrt(weighed(e, n, w, 2, mean) / (double)known_ns));
    return number(mean);
}

/* --- one of them ------------------------------------------------------------------------------ */

static int64_t need_ns(const struct node *n)
{
    __int128 need = (__int128)n->k0.i * window_shape(n).cover_ppm;

    return need ? (int64_t)((need + 999999) / 1000000) : 1;
}

static struct cell exact_value(const struct engine *e, const struct node *n, struct window *w,
                               int64_t *due_ns)
{
    const struct cell *x = &e->cells[n->child[0]];

    switch (n->op) {
    case NODE_MIN_OVER: return number(best_value(n, w, 0, due_ns));
    case NODE_MAX_OVER: return number(best_value(n, w, 1, due_ns));
    case NODE_RANGE_OVER: return number(best_value(n, w, 1, due_ns) - best_value(n, w, 0, due_ns));
    case NODE_DELTA: {
        struct cell before = value_at(e, n, w, due_ns);
        if (x->v == NUMBER_UNKNOWN || before.v == NUMBER_UNKNOWN)
            return op_logic(NUMBER_UNKNOWN);
        return number(x->d - before.d);
    }
    default: return sum_or_count(e, n, w, due_ns);
    }
}

static struct cell window_eval(struct engine *e, uint32_t index, struct op_state *state)
{
    const struct node *n = &e->graph->nodes[index];
    struct window *w = (struct window *)state;
    int64_t due_ns = TIMER_NEVER;
    bool is_exact = n->op <= NODE_SAMPLES;
    struct cell cell;

    w->room = window_shape(n).samples + WINDOW_SLOTS_ROOM;
    window_update(e, index, w);
    if (n->op == NODE_AT) {
        cell = value_at(e, n, w, &due_ns);
    } else if (n->op == NODE_SAMPLES) {
        cell = sum_or_count(e, n, w, &due_ns);
    } else {
        int64_t known = window_known(e, n, w), need = need_ns(n);
        int64_t turn = window_turn(e, n, w, known, need);
        if (is_exact || known >= need)
            sooner(&due_ns, turn);
        cell = known < need ? op_logic(NUMBER_UNKNOWN) : is_exact ? exact_value(e, n, w, &due_ns)
            : n->op == NODE_DERIV ? slope(e, n, w) : held_over(e, n, w, known);
    }
    state->due_ns = TIMER_NEVER;
    if (due_ns != TIMER_NEVER)
        op_arm(e, index, due_ns);
    return cell;
}

const struct op_row op_window = { window_size, NULL, window_eval, false, true };
