#include "uploader/scheduler.h"

#include "uploader/linkrate.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_NS (3600 * NS_PER_S)
#define ENVELOPE_COST 1024 /* what a small message takes of the link, headers included */
#define CHUNK_COST 1024    /* header of the value and Kafka's own, per chunk */
#define NO_ENTRY UINT32_MAX
#define OUTCOME_ROOM 8 /* free places that an action may need in the end */

enum phase { PHASE_QUEUED, PHASE_OPEN, PHASE_WAITING };

struct entry {
    bool used;
    enum phase phase;
    struct job job;
    bool open_acked, open_in_flight, final_in_flight, question_in_flight;
    uint8_t next_segment; /* first pass over the chunks */
    uint32_t next_index;
    uint32_t chunks_in_flight;
    struct wire_range again[SCHEDULER_AGAIN_MAX]; /* chunks to send once more */
    uint32_t again_count;
    uint8_t final_sha256[SHA256_BYTES]; /* valid once the clip is whole */
    uint32_t ask;                       /* latest that went out */
    bool asked;                         /* `ask` waits for its answer */
    bool needs;                         /* answered `need`: ask when the artifacts are there */
    bool unheard;                       /* its first answer may have been missed: ask at once */
    int64_t due_ns;                     /* next question, on the clock of connection */
    int64_t interval_ns;
};

struct flight {
    bool used;
    enum scheduler_what what;
    uint32_t entry; /* NO_ENTRY: the clip has ended meanwhile */
    uint8_t segment;
    uint32_t index, ask, bytes;
    int64_t sent_ns;
    uint8_t sha256[SHA256_BYTES];
};

struct scheduler {
    struct scheduler_config config;
    struct linkrate link;
    struct entry entries[SCHEDULER_CLIPS_MAX];
    struct flight flights[SCHEDULER_FLIGHT_MAX];
    uint8_t known[SCHEDULER_KNOWN_MAX][SHA256_BYTES]; /* artifacts delivered in this run */
    uint32_t known_next;
    uint8_t wants[SCHEDULER_WANTS_MAX][SHA256_BYTES];
    uint32_t want_count;
    struct wire_gone gone[SCHEDULER_GONE_MAX];
    uint32_t gone_count;
    struct outcome outcomes[SCHEDULER_OUTCOMES];
    uint32_t outcome_first, outcome_count;
    int64_t asked_at[SCHEDULER_ASKS_PER_HOUR]; /* ring of the last questions */
    uint64_t asked_total;
    bool connected;
    int64_t connected_ns, connected_at_ns; /* time of connection up to connected_at_ns */
    struct scheduler_stats stats;
};

/* ---- Small helpers ---- */

struct scheduler *scheduler_open(const struct scheduler_config *config)
{
    struct scheduler *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->config = *config;
    if (s->config.ask_first_ns == 0)
        s->config.ask_first_ns = SCHEDULER_ASK_FIRST_NS;
    return s;
}

void scheduler_close(struct scheduler *s) { free(s); }

/* Connection time at now_ns. */
static int64_t clock_of(const struct scheduler *s, int64_t now_ns)
{
    return s->connected_ns + (s->connected ? now_ns - s->connected_at_ns : 0);
}

void scheduler_connected(struct scheduler *s, bool connected, int64_t now_ns)
{
    s->connected_ns = clock_of(s, now_ns);
    s->connected_at_ns = now_ns;
    s->connected = connected;
}

int scheduler_tell(struct scheduler *s, const struct outcome *outcome)
{
    if (s->outcome_count >= SCHEDULER_OUTCOMES)
        return -ENOBUFS;
    s->outcomes[(s->outcome_first + s->outcome_count++) % SCHEDULER_OUTCOMES] = *outcome;
    return 0;
}

int scheduler_take(struct scheduler *s, struct outcome *ret_outcome)
{
    if (s->outcome_count == 0)
        return 0;
    *ret_outcome = s->outcomes[s->outcome_first];
    s->outcome_first = (s->outcome_first + 1) % SCHEDULER_OUTCOMES;
    s->outcome_count--;
    return 1;
}

static void tell(struct scheduler *s, enum outcome_kind kind, const struct entry *e,
                 const char *reason)
{
    struct outcome outcome = { .kind = kind, .ask = e->ask };

    memcpy(outcome.clip_id, e->job.final.about.clip_id, CLIP_ID_BYTES);
    memcpy(outcome.sha256, e->final_sha256, SHA256_BYTES);
    (void)snprintf(outcome.reason, sizeof outcome.reason, "%s", reason ? reason : "");
    (void)scheduler_tell(s, &outcome); /* scheduler_next keeps room */
}

static struct entry *find(struct scheduler *s, const uint8_t clip_id[CLIP_ID_BYTES])
{
    for (unsigned i = 0; i < SCHEDULER_CLIPS_MAX; i++)
        if (s->entries[i].used &&
            !memcmp(s->entries[i].job.final.about.clip_id, clip_id, CLIP_ID_BYTES))
            return &s->entries[i];
    return NULL;
}

static void end_entry(struct scheduler *s, struct entry *e)
{
    uint32_t index = (uint32_t)(e - s->entries);

    for (unsigned i = 0; i < SCHEDULER_FLIGHT_MAX; i++)
        if (s->flights[i].used && s->flights[i].entry == index)
            s->flights[i].entry = NO_ENTRY;
    e->used = false;
}

static bool is_whole(const struct entry *e) { return e->job.sealed == e->job.final.about.segments; }

static bool is_known(const struct scheduler *s, const uint8_t sha256[SHA256_BYTES])
{
    for (unsigned i = 0; i < SCHEDULER_KNOWN_MAX; i++)
        if (!memcmp(s->known[i], sha256, SHA256_BYTES))
            return true;
    return false;
}

static void know(struct scheduler *s, const uint8_t sha256[SHA256_BYTES])
{
    if (!is_known(s, sha256))
        memcpy(s->known[s->known_next++ % SCHEDULER_KNOWN_MAX], sha256, SHA256_BYTES);
}

static bool artifact_in_flight(const struct scheduler *s, const uint8_t sha256[SHA256_BYTES])
{
    for (unsigned i = 0; i < SCHEDULER_FLIGHT_MAX; i++)
        if (s->flights[i].used && s->flights[i].what == SCHEDULER_ARTIFACT &&
            !memcmp(s->flights[i].sha256, sha256, SHA256_BYTES))
            return true;
    return false;
}

/* ---- Jobs ---- */

static int hash_final(struct entry *e)
{
    struct wire_value value = { .kind = WIRE_FINAL };
    uint8_t bytes[ENVELOPE_BYTES_MAX];

    if (!is_whole(e))
        return 0;
    value.final = e->job.final;
    int size = wire_encode(&value, bytes, sizeof bytes, NULL);
    if (size < 0)
        return -EINVAL;
    sha256_of(bytes, (size_t)size, e->final_sha256);
    return 0;
}

static int put_gone(struct scheduler *s, const struct job *job)
{
    if (s->gone_count >= SCHEDULER_GONE_MAX)
        return -ENOBUFS;
    struct wire_gone *gone = &s->gone[s->gone_count++];
    *gone = (struct wire_gone){ .ask = job->gone_ask, .reason = job->gone };
    memcpy(gone->clip_id, job->final.about.clip_id, CLIP_ID_BYTES);
    memcpy(gone->pseudonym, job->final.about.pseudonym, PSEUDONYM_MAX);
    return 0;
}

static int put_new(struct scheduler *s, const struct job *job, int64_t now_ns)
{
    struct entry *e = NULL;

    for (unsigned i = 0; i < SCHEDULER_CLIPS_MAX && !e; i++)
        if (!s->entries[i].used)
            e = &s->entries[i];
    if (!e)
        return -ENOBUFS;
    memset(e, 0, sizeof *e);
    e->job = *job;
    e->interval_ns = s->config.ask_first_ns;
    if (hash_final(e) != 0)
        return -EINVAL;
    if (job->kind == JOB_ASK) {
        if (!is_whole(e))
            return -EINVAL;
        e->phase = PHASE_WAITING;
        e->next_segment = job->sealed; /* all was sent before */
        e->ask = job->next_ask ? job->next_ask - 1 : 0;
        e->asked = true;
        e->due_ns = clock_of(s, now_ns); /* away for weeks, or a restart: ask when connected */
    }
    e->used = true;
    return 0;
}

int scheduler_put(struct scheduler *s, const struct job *job, int64_t now_ns)
{
    if (job->kind == JOB_GONE)
        return put_gone(s, job);
    struct entry *e = find(s, job->final.about.clip_id);
    if (job->kind == JOB_CANCEL) {
        if (e)
            end_entry(s, e);
        return 0;
    }
    if (job->sealed < 1 || job->sealed > job->final.about.segments ||
        job->final.about.segments > SEGMENTS_MAX || job->artifact_count > JOB_ARTIFACTS_MAX)
        return -EINVAL;
    if (!e)
        return put_new(s, job, now_ns);
    if (job->sealed < e->job.sealed)
        return -EINVAL;
    e->job.final = job->final; /* the second segment is sealed now */
    e->job.sealed = job->sealed;
    return hash_final(e);
}

/* ---- What is next ---- */

static bool comes_before(const struct entry *a, const struct entry *b)
{
    if (a->job.final.about.priority != b->job.final.about.priority)
        return a->job.final.about.priority > b->job.final.about.priority;
    return a->job.age < b->job.age;
}

static bool may_open(const struct scheduler *s, const struct entry *e)
{
    unsigned open = 0, ordinary = 0;

    for (unsigned i = 0; i < SCHEDULER_CLIPS_MAX; i++) {
        const struct entry *other = &s->entries[i];
        if (!other->used || other->phase != PHASE_OPEN)
            continue;
        open++;
        ordinary += other->job.final.about.priority < PRIORITY_CRASH;
    }
    if (e->job.final.about.priority >= PRIORITY_CRASH)
        return open < SCHEDULER_OPEN_MAX;
    return open < SCHEDULER_OPEN_MAX && ordinary < SCHEDULER_OPEN_MAX - 1;
}

static bool want_artifact(const struct scheduler *s, const uint8_t sha256[SHA256_BYTES],
                          struct scheduler_action *action)
{
    if (artifact_in_flight(s, sha256))
        return false;
    *action = (struct scheduler_action){ .what = SCHEDULER_ARTIFACT, .bytes = ENVELOPE_COST };
    memcpy(action->sha256, sha256, SHA256_BYTES);
    return true;
}

/* Artifacts first, then manifest-open; the clip waits while an artifact has no report. */
static bool next_opening(const struct scheduler *s, const struct entry *e,
                         struct scheduler_action *action)
{
    bool waits = false;

    if (e->open_in_flight)
        return false;
    if (e->phase == PHASE_QUEUED && !may_open(s, e))
        return false;
    for (unsigned i = 0; s->config.ship_artifacts && i < e->job.artifact_count; i++) {
        if (is_known(s, e->job.artifacts[i]))
            continue;
        waits = true;
        if (want_artifact(s, e->job.artifacts[i], action))
            return true;
    }
    if (waits)
        return false;
    *action = (struct scheduler_action){ .what = SCHEDULER_OPEN, .final = &e->job.final,
                                         .bytes = ENVELOPE_COST };
    return true;
}

static bool chunk_of(const struct entry *e, uint8_t segment, uint32_t index, bool again,
                     struct scheduler_action *action)
{
    uint32_t size = wire_chunk_size(&e->job.final.segments[segment], index);

    *action = (struct scheduler_action){ .what = SCHEDULER_CHUNK, .final = &e->job.final,
                                         .segment = segment, .index = index, .again = again,
                                         .bytes = size + CHUNK_COST };
    return true;
}

static bool next_chunk(const struct entry *e, struct scheduler_action *action)
{
    if (e->again_count)
        return chunk_of(e, e->again[0].segment, e->again[0].first, true, action);
    uint8_t segment = e->next_segment;
    if (segment >= e->job.sealed)
        return false;
    return chunk_of(e, segment, e->next_index, false, action);
}

static bool next_final(const struct entry *e, struct scheduler_action *action)
{
    if (!is_whole(e) || !e->open_acked || e->chunks_in_flight || e->final_in_flight)
        return false;
    *action = (struct scheduler_action){ .what = SCHEDULER_FINAL, .final = &e->job.final,
                                         .bytes = ENVELOPE_COST };
    return true;
}

static bool may_ask(const struct scheduler *s, int64_t now_ns)
{
    if (s->asked_total < SCHEDULER_ASKS_PER_HOUR)
        return true;
    return now_ns - s->asked_at[s->asked_total % SCHEDULER_ASKS_PER_HOUR] >= HOUR_NS;
}

static bool next_question(const struct scheduler *s, const struct entry *e, int64_t now_ns,
                          struct scheduler_action *action)
{
    if (!s->config.receipts || e->question_in_flight || e->chunks_in_flight || !s->connected ||
        clock_of(s, now_ns) < e->due_ns || !may_ask(s, now_ns))
        return false;
    *action = (struct scheduler_action){ .what = SCHEDULER_QUESTION, .final = &e->job.final,
                                         .ask = e->ask + 1, .bytes = ENVELOPE_COST };
    return true;
}

static bool next_of(const struct scheduler *s, const struct entry *e, int64_t now_ns,
                    struct scheduler_action *action)
{
    switch (e->phase) {
    case PHASE_QUEUED: return next_opening(s, e, action);
    case PHASE_OPEN:
        if (!e->open_acked && !e->open_in_flight)
            return next_opening(s, e, action); /* its report said: again */
        return next_chunk(e, action) || next_final(e, action);
    default: return next_chunk(e, action) || next_question(s, e, now_ns, action);
    }
}

/* The best of all clips that have something to send. */
static bool next_of_clips(const struct scheduler *s, int64_t now_ns,
                          struct scheduler_action *action)
{
    const struct entry *best = NULL;
    struct scheduler_action candidate;

    for (unsigned i = 0; i < SCHEDULER_CLIPS_MAX; i++) {
        const struct entry *e = &s->entries[i];
        if (!e->used || (best && !comes_before(e, best)))
            continue;
        if (!next_of(s, e, now_ns, &candidate))
            continue;
        best = e;
        *action = candidate;
        action->token = i + 1; /* scheduler_sent makes it a flight */
    }
    return best != NULL;
}

static bool next_small(const struct scheduler *s, struct scheduler_action *action)
{
    if (s->gone_count) {
        *action = (struct scheduler_action){ .what = SCHEDULER_GONE, .bytes = ENVELOPE_COST,
                                             .gone = s->gone[0] };
        return true;
    }
    for (uint32_t i = 0; i < s->want_count; i++)
        if (want_artifact(s, s->wants[i], action))
            return true;
    return false;
}

static struct flight *free_flight(struct scheduler *s)
{
    for (unsigned i = 0; i < SCHEDULER_FLIGHT_MAX; i++)
        if (!s->flights[i].used)
            return &s->flights[i];
    return NULL;
}

/* Rule 2: by the rate that reports show. Before there are any, little: the link may be slow. */
static int64_t most_in_flight(const struct scheduler *s)
{
    int64_t measured = linkrate_get(&s->link), rate = s->config.bytes_per_s;

    if (measured && measured < rate)
        rate = measured;
    int64_t most = rate * (SCHEDULER_FLIGHT_NS / NS_PER_S);
    return !measured && most > SCHEDULER_FIRST_BYTES ? SCHEDULER_FIRST_BYTES : most;
}

int scheduler_next(struct scheduler *s, int64_t now_ns, struct scheduler_action *ret_action)
{
    struct scheduler_action action;
    struct flight *flight = free_flight(s);

    if (!flight || s->outcome_count + SCHEDULER_FLIGHT_MAX + OUTCOME_ROOM > SCHEDULER_OUTCOMES)
        return 0;
    if (!next_small(s, &action) && !next_of_clips(s, now_ns, &action))
        return 0;
    int64_t most = most_in_flight(s);
    if (s->stats.in_flight_bytes > 0 && s->stats.in_flight_bytes + action.bytes > most)
        return 0;
    /* The token names the flight in its low bits and the clip above: both fit. */
    action.token = (uint32_t)(flight - s->flights) + 1 + action.token * SCHEDULER_FLIGHT_MAX * 2;
    *ret_action = action;
    return 1;
}

static uint32_t flight_of(uint32_t token) { return token % (SCHEDULER_FLIGHT_MAX * 2) - 1; }

static uint32_t entry_of(uint32_t token) { return token / (SCHEDULER_FLIGHT_MAX * 2) - 1; }

/* ---- It was sent ---- */

static void drop_want(struct scheduler *s, const uint8_t sha256[SHA256_BYTES])
{
    for (uint32_t i = 0; i < s->want_count; i++)
        if (!memcmp(s->wants[i], sha256, SHA256_BYTES))
            memcpy(s->wants[i--], s->wants[--s->want_count], SHA256_BYTES);
}

static void advance(struct entry *e, bool again)
{
    if (again) {
        struct wire_range *range = &e->again[0];
        range->first++;
        if (--range->count == 0)
            memmove(&e->again[0], &e->again[1], --e->again_count * sizeof e->again[0]);
        return;
    }
    if (++e->next_index >= wire_chunk_count(&e->job.final.segments[e->next_segment])) {
        e->next_segment++;
        e->next_index = 0;
    }
}

static void sent_of_entry(struct scheduler *s, struct entry *e,
                          const struct scheduler_action *action, int64_t now_ns)
{
    switch (action->what) {
    case SCHEDULER_OPEN:
        if (e->phase == PHASE_QUEUED)
            tell(s, OUTCOME_SENT, e, NULL);
        e->phase = PHASE_OPEN;
        e->open_in_flight = true;
        break;
    case SCHEDULER_CHUNK:
        s->stats.chunks_again += action->again;
        advance(e, action->again);
        e->chunks_in_flight++;
        break;
    case SCHEDULER_FINAL: e->final_in_flight = true; break;
    case SCHEDULER_QUESTION:
        e->ask = action->ask;
        e->asked = true;
        e->question_in_flight = true;
        e->due_ns = clock_of(s, now_ns) + e->interval_ns;
        if ((e->interval_ns *= 2) > SCHEDULER_ASK_LAST_NS)
            e->interval_ns = SCHEDULER_ASK_LAST_NS;
        s->asked_at[s->asked_total++ % SCHEDULER_ASKS_PER_HOUR] = now_ns;
        s->stats.questions++;
        tell(s, OUTCOME_ASKED, e, NULL);
        break;
    default: break;
    }
}

void scheduler_sent(struct scheduler *s, const struct scheduler_action *action, int64_t now_ns)
{
    struct flight *flight = &s->flights[flight_of(action->token)];
    uint32_t index = entry_of(action->token);

    assert(!flight->used);
    *flight = (struct flight){ .used = true, .what = action->what, .entry = NO_ENTRY,
                               .segment = action->segment, .index = action->index,
                               .ask = action->ask, .bytes = action->bytes,
                               .sent_ns = now_ns };
    memcpy(flight->sha256, action->sha256, SHA256_BYTES);
    s->stats.in_flight++;
    s->stats.in_flight_bytes += action->bytes;
    if (action->what == SCHEDULER_GONE) {
        memmove(&s->gone[0], &s->gone[1], --s->gone_count * sizeof s->gone[0]);
    } else if (action->what != SCHEDULER_ARTIFACT) {
        assert(index < SCHEDULER_CLIPS_MAX && s->entries[index].used);
        flight->entry = index;
        sent_of_entry(s, &s->entries[index], action, now_ns);
    }
}

void scheduler_refuse(struct scheduler *s, const struct scheduler_action *action,
                      const char *reason)
{
    if (action->what == SCHEDULER_GONE) {
        memmove(&s->gone[0], &s->gone[1], --s->gone_count * sizeof s->gone[0]);
        return;
    }
    if (action->what == SCHEDULER_ARTIFACT) {
        s->stats.artifacts_lost++;
        know(s, action->sha256); /* the sink stores such clips raw-only and asks with `need` */
        drop_want(s, action->sha256);
        return;
    }
    struct entry *e = &s->entries[entry_of(action->token)];
    tell(s, OUTCOME_PARKED, e, reason);
    end_entry(s, e);
}

/* ---- Reports ---- */

/* The clip is with the broker: by policy that is the end, else the questions begin. */
static void now_waiting(struct scheduler *s, struct entry *e, int64_t now_ns)
{
    tell(s, OUTCOME_ACKED, e, NULL);
    if (!s->config.receipts) {
        end_entry(s, e);
        return;
    }
    e->phase = PHASE_WAITING;
    e->ask = 0;
    e->asked = true;
    e->due_ns = clock_of(s, now_ns) + (e->unheard ? 0 : e->interval_ns);
    if ((e->interval_ns *= 2) > SCHEDULER_ASK_LAST_NS)
        e->interval_ns = SCHEDULER_ASK_LAST_NS;
}

void scheduler_hears(struct scheduler *s, int64_t now_ns)
{
    for (unsigned i = 0; i < SCHEDULER_CLIPS_MAX; i++) {
        struct entry *e = &s->entries[i];
        if (!e->used)
            continue;
        e->unheard |= e->final_in_flight;
        if (e->phase == PHASE_WAITING && clock_of(s, now_ns) < e->due_ns)
            e->due_ns = clock_of(s, now_ns);
    }
}

static void add_again(struct entry *e, uint8_t segment, uint32_t first, uint32_t count)
{
    if (e->again_count < SCHEDULER_AGAIN_MAX)
        e->again[e->again_count++] = (struct wire_range){ segment, first, count };
}

static void report_of_entry(struct scheduler *s, struct entry *e, const struct flight *flight,
                            bool done, int64_t now_ns)
{
    switch (flight->what) {
    case SCHEDULER_OPEN:
        e->open_in_flight = false;
        e->open_acked = done;
        break;
    case SCHEDULER_CHUNK:
        e->chunks_in_flight--;
        if (!done)
            add_again(e, flight->segment, flight->index, 1);
        else if (e->phase == PHASE_WAITING && e->chunks_in_flight == 0 && e->again_count == 0)
            e->due_ns = clock_of(s, now_ns); /* all that was missing is there: ask at once */
        break;
    case SCHEDULER_FINAL:
        e->final_in_flight = false;
        if (done)
            now_waiting(s, e, now_ns);
        break;
    case SCHEDULER_QUESTION:
        e->question_in_flight = false;
        if (!done)
            e->due_ns = clock_of(s, now_ns);
        break;
    default: break;
    }
}

static void report_of_artifact(struct scheduler *s, const struct flight *flight,
                               enum scheduler_result result, int64_t now_ns)
{
    struct outcome outcome = { .kind = OUTCOME_ARTIFACT };

    if (result == SCHEDULER_RETRY)
        return;
    drop_want(s, flight->sha256);
    know(s, flight->sha256);
    if (result == SCHEDULER_POISON) {
        s->stats.artifacts_lost++;
        return;
    }
    memcpy(outcome.sha256, flight->sha256, SHA256_BYTES);
    (void)scheduler_tell(s, &outcome);
    for (unsigned i = 0; s->want_count == 0 && i < SCHEDULER_CLIPS_MAX; i++)
        if (s->entries[i].used && s->entries[i].needs) {
            s->entries[i].needs = false;
            s->entries[i].due_ns = clock_of(s, now_ns);
        }
}

void scheduler_report(struct scheduler *s, uint32_t token, enum scheduler_result result,
                      const char *reason, int64_t now_ns)
{
    struct flight *slot = &s->flights[flight_of(token)];
    struct flight flight = *slot;

    assert(flight.used);
    slot->used = false;
    s->stats.in_flight--;
    s->stats.in_flight_bytes -= flight.bytes;
    /* What an artifact takes of the link is not known here. */
    bool counts = result == SCHEDULER_DONE && flight.what != SCHEDULER_ARTIFACT;
    linkrate_put(&s->link, counts ? flight.bytes : 0, flight.sent_ns, now_ns);
    if (flight.what == SCHEDULER_ARTIFACT) {
        report_of_artifact(s, &flight, result, now_ns);
        return;
    }
    if (flight.entry == NO_ENTRY)
        return;
    struct entry *e = &s->entries[flight.entry];
    if (result == SCHEDULER_POISON) {
        tell(s, OUTCOME_PARKED, e, reason);
        end_entry(s, e);
        return;
    }
    report_of_entry(s, e, &flight, result == SCHEDULER_DONE, now_ns);
}

/* ---- Receipts ---- */

static void add_wants(struct scheduler *s, const struct wire_receipt *receipt)
{
    for (unsigned i = 0; s->config.ship_artifacts && i < receipt->need_count; i++) {
        drop_want(s, receipt->needs[i]);
        if (s->want_count < SCHEDULER_WANTS_MAX)
            memcpy(s->wants[s->want_count++], receipt->needs[i], SHA256_BYTES);
    }
}

static void tell_unknown(struct scheduler *s, const struct wire_receipt *receipt)
{
    struct outcome outcome = { .kind = receipt->result == WIRE_COMPLETE ? OUTCOME_RECEIPTED
                                                                        : OUTCOME_UNKNOWN,
                               .ask = receipt->ask };

    s->stats.receipts_unknown++;
    memcpy(outcome.clip_id, receipt->clip_id, CLIP_ID_BYTES);
    memcpy(outcome.sha256, receipt->final_sha256, SHA256_BYTES);
    memcpy(outcome.pseudonym, receipt->pseudonym, PSEUDONYM_MAX);
    (void)scheduler_tell(s, &outcome); /* full: the sink asks again */
}

/* Only what the clip has is sent; a range beyond its end is the sink's error and is cut. */
static void take_ranges(struct entry *e, const struct wire_receipt *receipt)
{
    for (unsigned i = 0; i < receipt->range_count; i++) {
        const struct wire_range *range = &receipt->ranges[i];
        if (range->segment >= e->job.sealed)
            continue;
        uint32_t count = wire_chunk_count(&e->job.final.segments[range->segment]);
        if (range->first >= count)
            continue;
        uint32_t left = count - range->first;
        add_again(e, range->segment, range->first, range->count < left ? range->count : left);
    }
}

void scheduler_receipt(struct scheduler *s, const struct wire_receipt *receipt, int64_t now_ns)
{
    struct entry *e = find(s, receipt->clip_id);
    bool own;

    if (!e) {
        tell_unknown(s, receipt);
        add_wants(s, receipt);
        return;
    }
    own = is_whole(e) && !memcmp(receipt->final_sha256, e->final_sha256, SHA256_BYTES);
    if (receipt->result == WIRE_COMPLETE) {
        if (!own) {
            s->stats.receipts_wrong_hash++;
            return;
        }
        add_wants(s, receipt);
        tell(s, OUTCOME_RECEIPTED, e, NULL);
        end_entry(s, e);
        return;
    }
    if (e->phase != PHASE_WAITING)
        return; /* it is still being sent, manifest-final will ask */
    if (receipt->ask == WIRE_ASK_NONE) {
        if (clock_of(s, now_ns) < e->due_ns)
            e->due_ns = clock_of(s, now_ns);
        return;
    }
    if (!e->asked || receipt->ask != e->ask) {
        s->stats.receipts_stale++;
        return;
    }
    e->asked = false; /* answered: a repeated answer does not make it send twice */
    take_ranges(e, receipt);
    add_wants(s, receipt);
    e->needs = s->config.ship_artifacts && receipt->need_count > 0;
}

/* ---- Outside view ---- */

int64_t scheduler_wake(const struct scheduler *s, int64_t now_ns)
{
    int64_t wake_ns = INT64_MAX;

    for (unsigned i = 0; i < SCHEDULER_CLIPS_MAX; i++) {
        const struct entry *e = &s->entries[i];
        if (!e->used || e->phase != PHASE_WAITING || e->question_in_flight)
            continue;
        int64_t wait_ns = e->due_ns - clock_of(s, now_ns);
        int64_t at_ns = now_ns + (wait_ns > 0 ? wait_ns : 0);
        if (at_ns < wake_ns)
            wake_ns = at_ns;
    }
    return wake_ns;
}

void scheduler_stats(const struct scheduler *s, struct scheduler_stats *ret_stats)
{
    *ret_stats = s->stats;
    ret_stats->clips = ret_stats->open = ret_stats->waiting = 0;
    for (unsigned i = 0; i < SCHEDULER_CLIPS_MAX; i++) {
        if (!s->entries[i].used)
            continue;
        ret_stats->clips++;
        ret_stats->open += s->entries[i].phase == PHASE_OPEN;
        ret_stats->waiting += s->entries[i].phase == PHASE_WAITING;
    }
}
