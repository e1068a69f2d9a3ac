/* Jobs out to the uploader, its outcomes in. */
#include "storage/clipstore_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Jobs ---- */

static void fill_job(const struct outbox_clip *clip, enum job_kind kind, struct job *job)
{
    memset(job, 0, sizeof *job);
    job->kind = kind;
    job->final = clip->final;
    job->sealed = clip->sealed;
    job->age = clip->age;
    job->next_ask = clip->ask ? clip->ask + 1 : 0;
}

/* Only artifacts that no delivery report has come for: the others are in the topic. */
static void fill_artifacts(struct clipstore *store, const struct outbox_clip *clip, struct job *job)
{
    for (unsigned i = 0; i < clip->artifact_count; i++)
        if (outbox_is_artifact_sent(store->outbox, clip->artifacts[i]) != 1)
            memcpy(job->artifacts[job->artifact_count++], clip->artifacts[i], SHA256_BYTES);
}

static struct handed *free_handed(struct clipstore *store, bool ask)
{
    unsigned count = 0;
    struct handed *slot = NULL;

    for (unsigned i = 0; i < HANDED_MAX; i++) {
        if (!store->handed[i].used)
            slot = &store->handed[i];
        else if (store->handed[i].ask == ask)
            count++;
    }
    return count < (ask ? CLIPSTORE_ASK_MAX : CLIPSTORE_SEND_MAX) ? slot : NULL;
}

/* The first clip of that order which the uploader does not hold as it is now: 1, 0 or an error. */
static int next_clip(struct clipstore *store, enum outbox_order order, struct outbox_clip *clip,
                     struct handed **ret_slot)
{
    struct outbox_cursor cursor = { 0 };
    struct handed *room = free_handed(store, order == OUTBOX_TO_ASK);
    int rc;

    while ((rc = outbox_next(store->outbox, order, &cursor, clip)) == 1) {
        struct handed *handed = store_handed(store, clip->final.about.clip_id);
        if (handed && handed->sealed == clip->sealed)
            continue;
        if (!handed && !room)
            return 0;
        *ret_slot = handed ? handed : room;
        return 1;
    }
    return rc;
}

static bool take_cancel(struct clipstore *store, struct job *job)
{
    if (store->cancel_count == 0)
        return false;
    memset(job, 0, sizeof *job);
    job->kind = JOB_CANCEL;
    memcpy(job->final.about.clip_id, store->cancels[--store->cancel_count], CLIP_ID_BYTES);
    return true;
}

static bool take_gone(struct clipstore *store, struct job *job)
{
    if (store->gone_count == 0)
        return false;
    const struct gone_answer *gone = &store->gone[--store->gone_count];
    memset(job, 0, sizeof *job);
    job->kind = JOB_GONE;
    job->gone = gone->reason;
    job->gone_ask = gone->ask;
    memcpy(job->final.about.clip_id, gone->clip_id, CLIP_ID_BYTES);
    (void)snprintf(job->final.about.pseudonym, PSEUDONYM_MAX, "%s", gone->pseudonym);
    return true;
}

int clipstore_next_job(struct clipstore *store, struct job *ret_job)
{
    struct outbox_clip clip;
    struct handed *slot = NULL;

    if (take_cancel(store, ret_job) || take_gone(store, ret_job))
        return 1;
    if (!store->outbox)
        return 0;
    bool ask = false;
    int rc = next_clip(store, OUTBOX_TO_SEND, &clip, &slot);
    if (rc == 0 && store->config.delete_after == CLIPSTORE_DELETE_RECEIPT) {
        ask = true;
        rc = next_clip(store, OUTBOX_TO_ASK, &clip, &slot);
    }
    if (rc != 1)
        return rc ? (void)store_note(store, rc, "reading the outbox"), 0 : 0;
    bool in_flight = slot->used && slot->in_flight;
    *slot = (struct handed){ .used = true, .ask = ask, .in_flight = in_flight,
                             .sealed = clip.sealed };
    memcpy(slot->clip_id, clip.final.about.clip_id, CLIP_ID_BYTES);
    fill_job(&clip, ask ? JOB_ASK : JOB_CLIP, ret_job);
    fill_artifacts(store, &clip, ret_job);
    return 1;
}

void clipstore_forget_jobs(struct clipstore *store)
{
    memset(store->handed, 0, sizeof store->handed);
    store->cancel_count = 0;
}

/* ---- Outcomes ---- */

/* A receipt deletes only if it names the very manifest-final that these rows give. */
static bool is_own_receipt(struct clipstore *store, const struct outcome *outcome)
{
    struct outbox_clip clip;
    struct wire_value value = { .kind = WIRE_FINAL };
    uint8_t bytes[ENVELOPE_BYTES_MAX], digest[SHA256_BYTES];

    if (outbox_find(store->outbox, outcome->clip_id, &clip) != 1 ||
        clip.sealed != clip.final.about.segments)
        return false;
    value.final = clip.final;
    int size = wire_encode(&value, bytes, sizeof bytes, NULL);
    if (size < 0)
        return false;
    sha256_of(bytes, (size_t)size, digest);
    return memcmp(digest, outcome->sha256, SHA256_BYTES) == 0;
}

static int deliver(struct clipstore *store, const struct outcome *outcome)
{
    if (!is_own_receipt(store, outcome))
        return -EPERM;
    int rc = outbox_set(store->outbox, outcome->clip_id, OUTBOX_RECEIPTED, "");
    if (!rc)
        rc = outbox_set(store->outbox, outcome->clip_id, OUTBOX_DELETABLE, "");
    if (!rc)
        store->sweep_due = true;
    return rc;
}

static int acked(struct clipstore *store, const struct outcome *outcome)
{
    struct handed *handed = store_handed(store, outcome->clip_id);
    int rc = outbox_set(store->outbox, outcome->clip_id, OUTBOX_ACKED, "");

    if (store->config.delete_after == CLIPSTORE_DELETE_BROKER_ACK) {
        if (!rc)
            rc = outbox_set(store->outbox, outcome->clip_id, OUTBOX_DELETABLE, "");
        store->sweep_due = true;
    } else if (handed) {
        handed->ask = true;
        handed->in_flight = false;
    }
    return rc;
}

static enum wire_gone_reason gone_reason(enum outbox_state state)
{
    switch (state) {
    case OUTBOX_RECEIPTED: case OUTBOX_DELETABLE: return WIRE_GONE_DELIVERED;
    case OUTBOX_EVICTED: return WIRE_GONE_EVICTED;
    case OUTBOX_ERASED: return WIRE_GONE_ERASED;
    default: return WIRE_GONE_EXPIRED; /* also when the row itself is trimmed by now */
    }
}

/* The sink asks for a clip that the uploader does not hold. What is still pending will be sent or
 * asked about in its turn; what is no more is said to be gone. */
static int unknown(struct clipstore *store, const struct outcome *outcome)
{
    struct outbox_clip clip = { 0 };

    int rc = outbox_find(store->outbox, outcome->clip_id, &clip);
    if (rc < 0 || (rc == 1 && clip.state <= OUTBOX_ACKED) ||
        (rc == 1 && clip.state == OUTBOX_PARKED))
        return rc < 0 ? rc : 0;
    if (store->gone_count >= CLIPSTORE_GONE_MAX)
        return -ENOBUFS; /* the sink asks again */
    struct gone_answer *gone = &store->gone[store->gone_count++];
    *gone = (struct gone_answer){ .ask = outcome->ask, .reason = gone_reason(clip.state) };
    memcpy(gone->clip_id, outcome->clip_id, CLIP_ID_BYTES);
    (void)snprintf(gone->pseudonym, sizeof gone->pseudonym, "%s", outcome->pseudonym);
    return 0;
}

/* The uploader does not hold the clip any more, whatever becomes of the row. */
static void take_back(struct clipstore *store, const struct outcome *outcome)
{
    struct handed *handed = store_handed(store, outcome->clip_id);
    bool acked_is_all = store->config.delete_after == CLIPSTORE_DELETE_BROKER_ACK;

    if (handed && (outcome->kind == OUTCOME_RECEIPTED || outcome->kind == OUTCOME_PARKED ||
                   outcome->kind == OUTCOME_RETRY ||
                   (outcome->kind == OUTCOME_ACKED && acked_is_all)))
        handed->used = false;
}

static int apply(struct clipstore *store, const struct outcome *outcome)
{
    struct handed *handed = store_handed(store, outcome->clip_id);
    int rc;

    switch (outcome->kind) {
    case OUTCOME_SENT:
        if (handed)
            handed->in_flight = true;
        rc = outbox_set(store->outbox, outcome->clip_id, OUTBOX_SENT, "");
        return rc == -EALREADY ? 0 : rc;
    case OUTCOME_ACKED: return acked(store, outcome);
    case OUTCOME_ASKED: return outbox_set_ask(store->outbox, outcome->clip_id, outcome->ask);
    case OUTCOME_RECEIPTED: return deliver(store, outcome);
    case OUTCOME_PARKED:
        return outbox_set(store->outbox, outcome->clip_id, OUTBOX_PARKED, outcome->reason);
    case OUTCOME_RETRY: return 0;
    case OUTCOME_UNKNOWN: return unknown(store, outcome);
    case OUTCOME_ARTIFACT: return outbox_artifact_sent(store->outbox, outcome->sha256);
    case OUTCOME_OFFSET:
        return outbox_set_offset(store->outbox, outcome->partition, outcome->offset);
    default: return -EINVAL;
    }
}

void clipstore_outcome(struct clipstore *store, const struct outcome *outcome, int64_t now_ns)
{
    if (store_begin(store) != 0) {
        take_back(store, outcome); /* handed out again when the database works: a repetition is harmless */
        store->stats.outcomes_ignored++;
        return;
    }
    int rc = apply(store, outcome);
    take_back(store, outcome);
    if (rc == -EPERM || rc == -ENOENT || rc == -EALREADY || rc == -EINVAL || rc == -ENOBUFS)
        store->stats.outcomes_ignored++;
    else if (rc)
        (void)store_note(store, rc, "an outcome");
    store_dirty(store, now_ns);
}
