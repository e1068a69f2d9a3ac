/* The ring under a window (op_window.h). */
#include "triggers/op_window.h"

#include <assert.h>

static bool has_left(const struct engine *e, int64_t end_ns, int64_t d)
{
    return e->by_timer ? end_ns <= e->now_ns - d : end_ns < e->now_ns - d;
}

static void pop(struct window *w)
{
    struct window_entry *entry = window_at(w, 0);

    if (window_is_known(entry))
        w->known_ns -= window_at(w, 1)->t - entry->t;
    w->first = w->first + 1 < w->room ? w->first + 1 : 0;
    w->count--;
    w->popped++;
}

static bool same_slot(int64_t a, int64_t b, int64_t d)
{
    return (__int128)a * WINDOW_SLOTS / d == (__int128)b * WINDOW_SLOTS / d;
}

/* A source above twice its rate keeps one entry a slot: the last one. */
static bool replaces(const struct engine *e, const struct node *n, struct window *w)
{
    uint32_t inside = w->count;

    if (inside && has_left(e, window_at(w, 0)->t, n->k0.i))
        inside--;
    return inside && (inside >= window_shape(n).samples || w->count == w->room) &&
           same_slot(window_at(w, w->count - 1)->t, e->now_ns, n->k0.i);
}

static void put(struct engine *e, const struct node *n, struct window *w,
                const struct window_entry *new)
{
    uint32_t last = w->count - 1;

    if (replaces(e, n, w)) {
        if (last > 0 && window_is_known(window_at(w, last - 1)))
            w->known_ns += new->t - window_at(w, last)->t;
        for (int i = 0; i < 2; i++) {
            w->has_best[i] = w->has_best[i] && w->best[i] != w->popped + last;
            w->seen[i] = w->seen[i] > w->popped + last ? w->popped + last : w->seen[i];
        }
        e->stats.coalesced++;
    } else {
        if (w->count && window_is_known(window_at(w, last)))
            w->known_ns += new->t - window_at(w, last)->t;
        assert(w->count < w->room); /* at most one entry a slot beyond the samples */
        last = w->count++;
    }
    *window_at(w, last) = *new;
}

void window_update(struct engine *e, uint32_t index, struct window *w)
{
    const struct node *n = &e->graph->nodes[index];
    const struct cell *cell = &e->cells[n->child[0]];
    bool sampled = e->is_sampled[index];

    while (w->count > 1 && has_left(e, window_at(w, 1)->t, n->k0.i))
        pop(w);
    if (w->count && !sampled) {
        const struct window_entry *last = window_at(w, w->count - 1);
        bool logical = e->graph->nodes[n->child[0]].type == TYPE_LOGIC;
        if (last->v == cell->v && (logical || cell->v == LOGIC_U || last->i == cell->i))
            return;
    }
    put(e, n, w, &(struct window_entry){ .t = e->now_ns, .i = cell->i, .v = cell->v,
                                         .is_sample = sampled });
}

int64_t window_known(const struct engine *e, const struct node *n, struct window *w)
{
    int64_t from = e->now_ns - n->k0.i, known = w->known_ns;
    const struct window_entry *first = window_at(w, 0), *last = window_at(w, w->count - 1);

    if (window_is_known(last))
        known += e->now_ns - last->t;
    if (window_is_known(first) && first->t < from)
        known -= from - first->t;
    return known;
}

/* The operand is unknown and the window slides away from what was known. */
static int64_t end_of_cover(const struct node *n, struct window *w, int64_t need_ns)
{
    int64_t right = 0; /* known time behind the entry looked at */

    for (uint32_t i = w->count - 1; i > 0; i--) {
        const struct window_entry *entry = window_at(w, i - 1);
        int64_t end = window_at(w, i)->t;
        if (!window_is_known(entry))
            continue;
        if (right + end - entry->t >= need_ns)
            return end - (need_ns - right) + 1 + n->k0.i;
        right += end - entry->t;
    }
    return TIMER_NEVER;
}

/* The operand is known: each ns adds one, and takes one away while t - d lies in known time. */
static int64_t begin_of_cover(const struct engine *e, const struct node *n, struct window *w,
                              int64_t lack_ns)
{
    int64_t from = e->now_ns - n->k0.i, t = e->now_ns;

    if (window_at(w, 0)->t > from) { /* before the first entry nothing is known */
        int64_t free_ns = window_at(w, 0)->t - from;
        if (lack_ns <= free_ns)
            return t + lack_ns;
        t += free_ns;
        lack_ns -= free_ns;
        from = window_at(w, 0)->t;
    }
    for (uint32_t i = 0; i + 1 < w->count; i++) {
        int64_t end = window_at(w, i + 1)->t;
        int64_t len = end > from ? end - from : 0;
        if (!window_is_known(window_at(w, i)) && lack_ns <= len)
            return t + lack_ns;
        lack_ns -= window_is_known(window_at(w, i)) ? 0 : len;
        t += len;
        from = end > from ? end : from;
    }
    return t; /* the whole window is known */
}

int64_t window_turn(const struct engine *e, const struct node *n, struct window *w, int64_t known_ns,
                    int64_t need_ns)
{
    bool is_on = window_is_known(window_at(w, w->count - 1));

    if (is_on && known_ns < need_ns)
        return begin_of_cover(e, n, w, need_ns - known_ns);
    if (!is_on && known_ns >= need_ns)
        return end_of_cover(n, w, need_ns);
    return TIMER_NEVER;
}
