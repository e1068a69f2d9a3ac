#include "tools/backtest/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const diff_names[DIFF_KINDS] = { "same", "moved", "gained", "lost" };

struct item {
    const char *rule;
    uint32_t drive;
    uint8_t edge;
    int64_t fire_ns;
};

static int by_place(const struct item *a, const struct item *b)
{
    int rule = strcmp(a->rule, b->rule);

    if (rule)
        return rule;
    if (a->drive != b->drive)
        return a->drive < b->drive ? -1 : 1;
    return (int)a->edge - (int)b->edge;
}

static int by_time(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    int place = by_place(a, b);

    return place ? place : a->fire_ns < b->fire_ns ? -1 : a->fire_ns > b->fire_ns;
}

static struct item *sorted(const struct tally *tally)
{
    struct item *items = calloc(tally->event_count + 1, sizeof *items);

    for (size_t i = 0; items && i < tally->event_count; i++) {
        const struct tally_event *e = &tally->events[i];
        items[i] = (struct item){ tally->rules[e->rule].id, e->drive, e->edge, e->fire_ns };
    }
    if (items)
        qsort(items, tally->event_count, sizeof *items, by_time);
    return items;
}

static void add(struct diff *diff, enum diff_kind kind, const struct item *now,
                const struct item *old)
{
    const struct item *item = now ? now : old;

    diff->events[diff->count++] = (struct diff_event){ .kind = kind,
                                                       .rule = item->rule,
                                                       .drive = item->drive,
                                                       .edge = item->edge,
                                                       .fire_ns = now ? now->fire_ns : 0,
                                                       .old_fire_ns = old ? old->fire_ns : 0 };
    diff->counts[kind]++;
}

/* < 0: only `now` has it; > 0: only `old`; 0: one event. */
static int pairing(const struct item *now, const struct item *old)
{
    int place = by_place(now, old);

    if (place)
        return place;
    if (now->fire_ns + DIFF_MOVED_NS < old->fire_ns)
        return -1;
    return old->fire_ns + DIFF_MOVED_NS < now->fire_ns;
}

static void merge(struct diff *diff, const struct item *now, size_t now_count,
                  const struct item *old, size_t old_count)
{
    size_t i = 0, j = 0;

    while (i < now_count || j < old_count) {
        int side = i == now_count ? 1 : j == old_count ? -1 : pairing(&now[i], &old[j]);

        if (side < 0) {
            add(diff, DIFF_GAINED, &now[i++], NULL);
        } else if (side > 0) {
            add(diff, DIFF_LOST, NULL, &old[j++]);
        } else {
            add(diff, now[i].fire_ns == old[j].fire_ns ? DIFF_SAME : DIFF_MOVED, &now[i], &old[j]);
            i++;
            j++;
        }
    }
}

int diff_make(const struct tally *now, const struct tally *old, struct diff *ret_diff)
{
    struct item *new_items = sorted(now), *old_items = sorted(old);
    struct diff diff = { .events = calloc(now->event_count + old->event_count + 1,
                                          sizeof *diff.events) };
    int rc = new_items && old_items && diff.events ? 0 : -ENOMEM;

    if (!rc)
        merge(&diff, new_items, now->event_count, old_items, old->event_count);
    free(new_items);
    free(old_items);
    if (rc)
        diff_deinit(&diff);
    else
        *ret_diff = diff;
    return rc;
}

void diff_deinit(struct diff *diff)
{
    free(diff->events);
    memset(diff, 0, sizeof *diff);
}
