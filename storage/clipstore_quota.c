/* Quota: bytes on disk, and bytes written a day. Rows first, then files. */
#include "storage/clipstore_internal.h"

#include <errno.h>
#include <string.h>

/* Credit grows by the day's budget per day up to one day's budget, so that bursts are smoothed over
 * a day and no clock of the wall is needed. Time that the car is off gives nothing. */
static void refill(struct clipstore *store, int64_t now_ns)
{
    int64_t budget = store->config.flash_bytes_per_day;
    int64_t elapsed_ns = now_ns - store->flash_at_ns;

    if (elapsed_ns <= 0)
        return;
    if (elapsed_ns > CLIPSTORE_DAY_NS)
        elapsed_ns = CLIPSTORE_DAY_NS;
    /* Seconds first: budget * nanoseconds would overflow at 0.1 GB a day. */
    int64_t seconds = elapsed_ns / 1000000000;
    if (seconds == 0)
        return;
    store->flash_credit += budget / 86400 * seconds + budget % 86400 * seconds / 86400;
    store->flash_at_ns += seconds * 1000000000;
    if (now_ns - store->flash_at_ns > CLIPSTORE_DAY_NS)
        store->flash_at_ns = now_ns;
    if (store->flash_credit > budget)
        store->flash_credit = budget;
}

int quota_admit(struct clipstore *store, uint8_t priority, int64_t now_ns)
{
    int64_t budget = store->config.flash_bytes_per_day;

    if (budget == 0)
        return 0;
    refill(store, now_ns);
    /* A crash may borrow half a day, so that wear stays bounded whatever happens. */
    int64_t floor = priority >= PRIORITY_CRASH ? -(budget / 2) : 0;
    return store->flash_credit > floor ? 0 : -EDQUOT;
}

void quota_written(struct clipstore *store, int64_t bytes)
{
    store->stats.written_bytes += (uint64_t)bytes;
    if (store->config.flash_bytes_per_day)
        store->flash_credit -= bytes;
}

static int64_t bytes_of(const struct outbox_clip *clip)
{
    int64_t bytes = 0;

    for (unsigned i = 0; i < clip->sealed; i++)
        bytes += clip->final.segments[i].bytes;
    return bytes;
}

static bool may_evict(struct clipstore *store, const struct outbox_clip *clip, uint8_t priority)
{
    struct handed *handed = store_handed(store, clip->final.about.clip_id);

    if (handed && handed->in_flight)
        return false;
    /* Its next segment is open: without segment 0 that one would be sealed for nothing. */
    if (store_is_open(store, clip->final.about.clip_id))
        return false;
    if (clip->state == OUTBOX_DELETABLE || clip->state == OUTBOX_RECEIPTED ||
        clip->state == OUTBOX_ACKED)
        return true;
    return clip->final.about.priority <= priority;
}

/* The row of one victim; a delivered one needs no reason, its row says deletable already. */
static int mark(struct clipstore *store, const struct outbox_clip *clip, const char *reason)
{
    const uint8_t *clip_id = clip->final.about.clip_id;

    if (clip->state == OUTBOX_DELETABLE)
        return 0;
    if (clip->state == OUTBOX_RECEIPTED)
        return outbox_set(store->outbox, clip_id, OUTBOX_DELETABLE, "");
    int rc = outbox_set(store->outbox, clip_id, OUTBOX_EVICTED, reason);
    if (rc)
        return rc;
    store->stats.evicted_now++;
    store->stats.evicted_bytes += (uint64_t)bytes_of(clip);
    store_cancel(store, clip_id);
    return 0;
}

/* Marks up to a batch of victims, commits, then unlinks. */
int quota_evict(struct clipstore *store, int64_t bytes, uint8_t priority, const char *reason)
{
    struct outbox_clip victims[CLIPSTORE_EVICT_BATCH];
    struct outbox_cursor cursor = { 0 };
    int count = 0;

    int rc = store_begin(store);
    while (!rc && bytes > 0 && count < CLIPSTORE_EVICT_BATCH) {
        rc = outbox_next(store->outbox, OUTBOX_TO_EVICT, &cursor, &victims[count]);
        if (rc <= 0)
            break;
        rc = 0;
        if (!may_evict(store, &victims[count], priority))
            continue;
        bytes -= bytes_of(&victims[count]);
        rc = mark(store, &victims[count], reason);
        count += !rc;
    }
    if (rc < 0) {
        db_rollback(store->db);
        return store_note(store, rc, "evicting");
    }
    rc = store_commit(store);
    for (int i = 0; !rc && i < count; i++)
        rc = store_unlink(store, &victims[i]);
    return rc ? rc : count;
}

int quota_room(struct clipstore *store, int64_t bytes, uint8_t priority)
{
    while (store->used_bytes + bytes > store->config.quota_bytes) {
        if (!store->outbox)
            return -EIO;
        int count = quota_evict(store, store->used_bytes + bytes - store->config.quota_bytes,
                                priority, "quota of bytes");
        if (count <= 0)
            return count ? count : -ENOSPC;
    }
    return 0;
}

int quota_sweep(struct clipstore *store)
{
    struct outbox_cursor cursor = { 0 };
    struct outbox_clip clip;
    int rc = 0;

    store->sweep_due = false;
    while (!store->config.keep_delivered && !rc) {
        rc = outbox_next(store->outbox, OUTBOX_TO_EVICT, &cursor, &clip);
        if (rc <= 0 || clip.state != OUTBOX_DELETABLE)
            return rc < 0 ? store_note(store, rc, "sweeping") : 0;
        rc = store_unlink(store, &clip);
    }
    return rc;
}
