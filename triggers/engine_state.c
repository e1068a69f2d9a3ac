/* Saving, loading and handing over what an engine remembers. Bytes of a state (docs/FORMAT.md keeps
 * them opaque): version, number of lives, lives, number of memories, memories; varints and
 * zig-zagged times relative to the cut. Lives that look as if fresh are left out. A handover has its
 * own version, its time and step behind it, and at its end what the old rules knew: a signal that they
 * did not read is not known to the new ones, whatever frames went by. */
#include "triggers/engine_private.h"

#include "proto/bytes.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define STATE_VERSION 1
#define HANDOVER_VERSION 3
#define HANDOVER_HEAD 17 /* version, time, step */
#define RULE_HASH_BYTES 8
#define LIFE_BYTES_MAX (RULE_HASH_BYTES + 6 + 9 * VARINT_MAX)
#define MEMORY_BYTES_MAX (8 + 1 + 8)
#define SIGNAL_BYTES_MAX (8 + 1 + 8 + VARINT_MAX)
#define SAMPLES_BYTES_MAX (8 + 2 + 8 + 8)
#define NO_SAMPLE 0xff /* in place of NUMBER_KNOWN, LOGIC_T, ... */

enum time_bit { HAS_START = 1, HAS_END = 2, HAS_COOLDOWN = 4, HAS_TIMER = 8, HAS_RUN = 16 };

/* --- writing -------------------------------------------------------------------------------- */

struct writer {
    uint8_t *bytes;
    size_t size, len; /* len counts also what did not fit */
};

static void put_bytes(struct writer *w, const void *bytes, size_t size)
{
    if (w->len + size <= w->size)
        memcpy(w->bytes + w->len, bytes, size);
    w->len += size;
}

static void put_varint(struct writer *w, uint64_t v)
{
    uint8_t bytes[VARINT_MAX];

    put_bytes(w, bytes, store_varint(bytes, v));
}

static void put_time(struct writer *w, int64_t t, int64_t at_ns)
{
    put_varint(w, zigzag(t - at_ns));
}

/* --- the past ------------------------------------------------------------------------------- */

struct past {
    int64_t before_ns; /* what instants before this one left behind */
    int64_t at_ns;     /* times are relative to this one */
};

/* The state behind the last instant before at_ns; false when the journal does not reach so far. */
static bool state_before(const struct life *l, int64_t at_ns, struct life_state *ret_state)
{
    uint64_t oldest = l->journal_count > ENGINE_JOURNAL ? l->journal_count - ENGINE_JOURNAL : 0;

    *ret_state = (struct life_state){ .root = LOGIC_U, .armed = LOGIC_U, .end_ns = -1,
                                      .cooldown_until_ns = INT64_MIN, .timer_ns = TIMER_NEVER };
    for (uint64_t i = l->journal_count; i > oldest; i--) {
        const struct journal_entry *entry = &l->journal[(i - 1) % ENGINE_JOURNAL];
        if (entry->at_ns < at_ns) {
            *ret_state = entry->state;
            return true;
        }
    }
    return oldest == 0;
}

static uint64_t fires_since(const struct rule_run *run, int64_t at_ns)
{
    uint64_t count = 0;

    while (count < run->fires_count && count < run->fires_room &&
           run->fires[(run->fires_count - 1 - count) % run->fires_room] >= at_ns)
        count++;
    return count;
}

static bool looks_fresh(const struct engine *e, const struct life *l, const struct life_state *s,
                        const struct past *past)
{
    return s->phase == LIFE_IDLE && s->cooldown_until_ns <= past->at_ns &&
           (s->armed == LOGIC_U || s->armed == s->root) &&
           (s->armed == LOGIC_U || !e->ruleset->rules[l->rule].initial_fire) &&
           e->runs[l->rule].ordinal == fires_since(&e->runs[l->rule], past->before_ns);
}

static void put_run(struct writer *w, const struct rule *rule, const struct rule_run *run,
                    const struct past *past)
{
    uint64_t later = fires_since(run, past->before_ns), end = run->fires_count - later;
    uint64_t begin = run->fires_count > run->fires_room ? run->fires_count - run->fires_room : 0;

    if (!rule->per_hour && !rule->per_day)
        begin = end;
    put_varint(w, run->ordinal - later);
    put_varint(w, run->trip_count > later ? run->trip_count - later : 0);
    put_varint(w, end - begin);
    for (uint64_t i = begin; i < end; i++)
        put_time(w, run->fires[i % run->fires_room], past->at_ns);
}

static void put_life(struct writer *w, const struct engine *e, const struct life *l,
                     const struct life_state *s, const struct past *past)
{
    int64_t at_ns = past->at_ns;
    const struct rule *rule = &e->ruleset->rules[l->rule];
    bool is_first = &e->lives[e->runs[l->rule].life] == l;
    bool is_open = s->phase != LIFE_IDLE && s->phase != LIFE_WAITING;
    uint8_t times = (uint8_t)((is_open ? HAS_START : 0) |
                              (s->phase == LIFE_LINGERING ? HAS_END : 0) |
                              (s->cooldown_until_ns > at_ns ? HAS_COOLDOWN : 0) |
                              (s->timer_ns != TIMER_NEVER ? HAS_TIMER : 0) |
                              (is_first ? HAS_RUN : 0));
    const uint8_t head[] = { l->edge, s->phase, s->root, s->armed, s->reason, times };

    put_bytes(w, rule->hash, RULE_HASH_BYTES);
    put_bytes(w, head, sizeof head);
    if (times & HAS_START) {
        put_time(w, s->start_ns, at_ns);
        put_time(w, s->phase == LIFE_PENDING ? at_ns : s->fire_ns, at_ns);
        put_varint(w, s->ordinal);
    }
    if (times & HAS_END)
        put_time(w, s->end_ns, at_ns);
    if (times & HAS_COOLDOWN)
        put_time(w, s->cooldown_until_ns, at_ns);
    if (times & HAS_TIMER)
        put_time(w, s->timer_ns, at_ns);
    if (times & HAS_RUN)
        put_run(w, rule, &e->runs[l->rule], past);
}

/* What a memory held when its operand was lost for the last time before the cut. If the operand
 * was known again at the cut, engine_begin sees it and puts this right. */
static const struct cell *lost_before(const struct memory *m, int64_t at_ns)
{
    for (uint8_t i = m->lost_count; i > 0; i--)
        if (m->lost[i - 1].at_ns < at_ns)
            return &m->lost[i - 1].value;
    return NULL;
}

static void put_memories(struct writer *w, const struct engine *e, int64_t at_ns)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < e->memory_count; i++)
        count += lost_before(&e->memories[i], at_ns) != NULL;
    put_varint(w, count);
    for (uint32_t i = 0; count && i < e->graph->node_count; i++) {
        const struct cell *value = e->memory_of[i] < 0
            ? NULL : lost_before(&e->memories[e->memory_of[i]], at_ns);
        uint8_t bytes[MEMORY_BYTES_MAX];
        if (!value)
            continue;
        store_le64(bytes, e->graph->node_hash[i]);
        bytes[8] = value->v;
        store_le64(bytes + 9, (uint64_t)value->i);
        put_bytes(w, bytes, sizeof bytes);
    }
}

static void put_signals(struct writer *w, const struct engine *e, int64_t at_ns)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < e->graph->signal_count; i++)
        count += e->slots[i].has_sample;
    put_varint(w, count);
    for (uint32_t i = 0; i < e->graph->signal_count; i++) {
        const struct signal_slot *slot = &e->slots[i];
        uint8_t bytes[8 + 1 + 8];
        if (!slot->has_sample)
            continue;
        store_le64(bytes, e->graph->signal_hash[i]);
        bytes[8] = slot->state;
        store_le64(bytes + 9, slot->raw);
        put_bytes(w, bytes, sizeof bytes);
        put_time(w, slot->sampled_ns, at_ns);
    }
}

/* Memories as they are, where put_memories keeps what those of the past had lost. */
static void put_samples(struct writer *w, const struct engine *e)
{
    put_varint(w, e->memory_count);
    for (uint32_t i = 0; i < e->graph->node_count; i++) {
        uint8_t bytes[SAMPLES_BYTES_MAX];
        if (e->memory_of[i] < 0)
            continue;
        const struct memory *m = &e->memories[e->memory_of[i]];
        store_le64(bytes, e->graph->node_hash[i]);
        bytes[8] = m->has_last ? m->last.v : NO_SAMPLE;
        store_le64(bytes + 9, (uint64_t)m->last.i);
        bytes[17] = m->has_before ? m->before.v : NO_SAMPLE;
        store_le64(bytes + 18, (uint64_t)m->before.i);
        put_bytes(w, bytes, sizeof bytes);
    }
}

static void put_state(struct writer *w, struct engine *e, const struct past *past)
{
    uint32_t count = 0;
    struct life_state s;

    for (uint32_t i = 0; i < e->life_count; i++) {
        e->stats.journal_short += !state_before(&e->lives[i], past->before_ns, &s);
        count += !looks_fresh(e, &e->lives[i], &s, past);
    }
    put_varint(w, count);
    for (uint32_t i = 0; i < e->life_count; i++) {
        (void)state_before(&e->lives[i], past->before_ns, &s);
        if (!looks_fresh(e, &e->lives[i], &s, past))
            put_life(w, e, &e->lives[i], &s, past);
    }
    put_memories(w, e, past->before_ns);
}

size_t engine_state_save(struct engine *e, int64_t at_ns, uint8_t *bytes, size_t size)
{
    const struct past past = { at_ns, at_ns };
    const uint8_t version = STATE_VERSION;
    struct writer w = { bytes, size, 0 };

    put_bytes(&w, &version, 1);
    put_state(&w, e, &past);
    return w.len;
}

size_t engine_state_handover(struct engine *e, int64_t now_ns, uint64_t step, uint8_t *bytes,
                             size_t size)
{
    const struct past past = { INT64_MAX, now_ns }; /* this instant's transitions included */
    struct writer w = { bytes, size, 0 };
    uint8_t head[HANDOVER_HEAD] = { HANDOVER_VERSION };

    store_le64(head + 1, (uint64_t)now_ns);
    store_le64(head + 9, step);
    put_bytes(&w, head, sizeof head);
    put_state(&w, e, &past);
    put_signals(&w, e, now_ns);
    put_samples(&w, e);
    return w.len;
}

int64_t engine_state_time(int64_t at_ns, const uint8_t *bytes, size_t size)
{
    if (size < HANDOVER_HEAD || bytes[0] != HANDOVER_VERSION)
        return at_ns;
    struct bytes_reader r = bytes_reader_init(bytes + 1, HANDOVER_HEAD - 1);
    return (int64_t)bytes_u64(&r);
}

uint64_t engine_state_step(const uint8_t *bytes, size_t size)
{
    if (size < HANDOVER_HEAD || bytes[0] != HANDOVER_VERSION)
        return UINT64_MAX;
    return load_le64(bytes + 9);
}

size_t engine_state_max(const struct engine *e)
{
    size_t bytes = HANDOVER_HEAD + 4 * VARINT_MAX + (size_t)e->life_count * LIFE_BYTES_MAX +
                   (size_t)e->memory_count * (MEMORY_BYTES_MAX + SAMPLES_BYTES_MAX) +
                   (size_t)e->graph->signal_count * SIGNAL_BYTES_MAX;

    for (uint32_t i = 0; i < e->ruleset->count; i++)
        bytes += (3 + (size_t)e->runs[i].fires_room) * VARINT_MAX;
    return bytes;
}

/* --- reading -------------------------------------------------------------------------------- */

static int32_t find_rule(const struct ruleset *set, const uint8_t *hash, size_t size)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (memcmp(set->rules[i].hash, hash, size) == 0)
            return (int32_t)i;
    return -1;
}

static int64_t take_time(struct bytes_reader *r, int64_t at_ns)
{
    int64_t t;

    if (__builtin_add_overflow(unzigzag(bytes_varint(r)), at_ns, &t))
        r->failed = true;
    return r->failed ? 0 : t;
}

static void take_run(struct bytes_reader *r, struct rule_run *run, int64_t at_ns)
{
    uint64_t ordinal = bytes_varint(r), trip = bytes_varint(r), count = bytes_varint(r);

    if (trip > UINT32_MAX || count > bytes_left(r))
        r->failed = true;
    if (run && !r->failed) {
        run->ordinal = ordinal;
        run->trip_count = (uint32_t)trip;
        run->fires_count = 0;
    }
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        int64_t fire = take_time(r, at_ns);
        if (run && !r->failed)
            run->fires[run->fires_count++ % run->fires_room] = fire;
    }
}

static int32_t life_of(const struct engine *e, int32_t rule, uint8_t edge)
{
    const int32_t lives[] = { e->runs[rule].life, e->runs[rule].falling };

    for (size_t i = 0; i < 2; i++)
        if (lives[i] >= 0 && e->lives[lives[i]].edge == edge)
            return lives[i];
    return -1;
}

static void take_life(struct bytes_reader *r, struct engine *e, int64_t at_ns, bool apply)
{
    const uint8_t *hash = bytes_take(r, RULE_HASH_BYTES), *head = bytes_take(r, 6);
    struct life_state s = { .end_ns = -1, .cooldown_until_ns = INT64_MIN,
                            .timer_ns = TIMER_NEVER };

    if (!hash || !head || head[0] > EDGE_LEVEL || head[1] > LIFE_WAITING || head[2] > LOGIC_T ||
        head[3] > LOGIC_T || head[4] >= REASON_COUNT) {
        r->failed = true;
        return;
    }
    s.phase = head[1];
    s.root = head[2];
    s.armed = head[3];
    s.reason = head[4];
    if (head[5] & HAS_START) {
        s.start_ns = take_time(r, at_ns);
        s.fire_ns = take_time(r, at_ns);
        s.ordinal = bytes_varint(r);
    }
    if (head[5] & HAS_END)
        s.end_ns = take_time(r, at_ns);
    if (head[5] & HAS_COOLDOWN)
        s.cooldown_until_ns = take_time(r, at_ns);
    if (head[5] & HAS_TIMER)
        s.timer_ns = take_time(r, at_ns);
    if (s.phase != LIFE_IDLE && s.timer_ns == TIMER_NEVER)
        r->failed = true;
    int32_t rule = find_rule(e->ruleset, hash, RULE_HASH_BYTES);
    if (head[5] & HAS_RUN)
        take_run(r, apply && rule >= 0 ? &e->runs[rule] : NULL, at_ns);
    int32_t life = rule < 0 ? -1 : life_of(e, rule, head[0]);
    if (!apply || r->failed || life < 0)
        return;
    if (s.phase == LIFE_ACTIVE || s.phase == LIFE_LINGERING)
        s.number = ++e->numbers;
    e->lives[life].state = s;
    if (s.timer_ns != TIMER_NEVER)
        life_arm(e, (uint32_t)life, s.timer_ns > at_ns ? s.timer_ns : at_ns);
}

static void take_memory(struct bytes_reader *r, struct engine *e, bool apply)
{
    uint64_t hash = bytes_u64(r);
    uint8_t v = bytes_u8(r);
    uint64_t bits = bytes_u64(r);

    if (v > LOGIC_T)
        r->failed = true;
    for (uint32_t i = 0; apply && !r->failed && i < e->graph->node_count; i++) {
        if (e->graph->node_hash[i] != hash || e->memory_of[i] < 0)
            continue;
        struct memory *m = &e->memories[e->memory_of[i]];
        m->last = (struct cell){ .i = (int64_t)bits, .v = v };
        m->has_last = true;
    }
}

static void take_signal(struct bytes_reader *r, struct engine *e, int64_t at_ns, bool apply)
{
    uint64_t hash = bytes_u64(r);
    struct signal_slot slot = { .has_sample = true };

    slot.state = bytes_u8(r);
    slot.raw = bytes_u64(r);
    slot.sampled_ns = take_time(r, at_ns);
    if (slot.state > SIGNAL_INVALID)
        r->failed = true;
    for (uint32_t i = 0; apply && !r->failed && i < e->graph->signal_count; i++)
        if (e->graph->signal_hash[i] == hash)
            e->slots[i] = slot;
}

static void take_samples(struct bytes_reader *r, struct engine *e, bool apply)
{
    uint64_t hash = bytes_u64(r);
    uint8_t last = bytes_u8(r);
    uint64_t last_bits = bytes_u64(r);
    uint8_t before = bytes_u8(r);
    uint64_t before_bits = bytes_u64(r);

    if ((last > LOGIC_T && last != NO_SAMPLE) || (before > LOGIC_T && before != NO_SAMPLE))
        r->failed = true;
    for (uint32_t i = 0; apply && !r->failed && i < e->graph->node_count; i++) {
        if (e->graph->node_hash[i] != hash || e->memory_of[i] < 0)
            continue;
        struct memory *m = &e->memories[e->memory_of[i]];
        m->has_last = last != NO_SAMPLE;
        m->last = (struct cell){ .i = (int64_t)last_bits, .v = m->has_last ? last : 0 };
        m->has_before = before != NO_SAMPLE;
        m->before = (struct cell){ .i = (int64_t)before_bits, .v = m->has_before ? before : 0 };
    }
}

/* What the old rules knew takes the place of all that the seeds told. */
static void take_knowledge(struct bytes_reader *r, struct engine *e, int64_t at_ns, bool apply)
{
    for (uint32_t i = 0; apply && i < e->graph->signal_count; i++)
        e->slots[i] = (struct signal_slot){ .state = SIGNAL_MISSING };
    uint64_t signals = bytes_varint(r);
    for (uint64_t i = 0; i < signals && !r->failed; i++)
        take_signal(r, e, at_ns, apply);
    uint64_t memories = bytes_varint(r);
    for (uint64_t i = 0; i < memories && !r->failed; i++)
        take_samples(r, e, apply);
}

static int read_state(struct engine *e, int64_t at_ns, const uint8_t *bytes, size_t size,
                      bool apply)
{
    struct bytes_reader r = bytes_reader_init(bytes, size);

    uint8_t version = bytes_u8(&r);

    if (version != STATE_VERSION && version != HANDOVER_VERSION)
        return -EBADMSG;
    if (version == HANDOVER_VERSION) {
        at_ns = (int64_t)bytes_u64(&r);
        (void)bytes_u64(&r); /* its step: engine_state_step */
    }
    uint64_t lives = bytes_varint(&r);
    for (uint64_t i = 0; i < lives && !r.failed; i++)
        take_life(&r, e, at_ns, apply);
    uint64_t memories = bytes_varint(&r);
    for (uint64_t i = 0; i < memories && !r.failed; i++)
        take_memory(&r, e, apply);
    if (version == HANDOVER_VERSION)
        take_knowledge(&r, e, at_ns, apply);
    return r.failed || bytes_left(&r) ? -EBADMSG : 0;
}

int engine_state_load(struct engine *e, int64_t at_ns, const uint8_t *bytes, size_t size)
{
    assert(!e->has_begun);
    int rc = read_state(e, at_ns, bytes, size, false);

    return rc ? rc : read_state(e, at_ns, bytes, size, true);
}

/* --- reload --------------------------------------------------------------------------------- */

static void move_signals(const struct engine *old, struct engine *next)
{
    for (uint32_t i = 0; i < next->graph->signal_count; i++)
        for (uint32_t k = 0; k < old->graph->signal_count; k++)
            if (old->graph->signal_hash[k] == next->graph->signal_hash[i]) {
                next->slots[i] = old->slots[k];
                break;
            }
}

/* The node of equal structure, or -1. Both graphs mostly have the same order, so the search goes on
 * behind the last one found. */
static int32_t find_twin(const struct graph *old, uint64_t hash, uint32_t *at)
{
    for (uint32_t i = 0; i < old->node_count; i++) {
        uint32_t k = *at + i < old->node_count ? *at + i : *at + i - old->node_count;
        if (old->node_hash[k] != hash)
            continue;
        *at = k + 1 < old->node_count ? k + 1 : 0;
        return (int32_t)k;
    }
    return -1;
}

/* Nodes of equal structure go on with the value that they had and what they remember: a reload is no
 * evaluation of theirs, which would swallow an edge whose timer is due at this very instant. The others are
 * marked. */
static void move_nodes(const struct engine *old, struct engine *next)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < next->graph->node_count; i++) {
        int32_t k = find_twin(old->graph, next->graph->node_hash[i], &at);
        if (k < 0) {
            engine_mark(next, i);
            continue;
        }
        next->cells[i] = old->cells[k];
        if (next->memory_of[i] >= 0)
            next->memories[next->memory_of[i]] = old->memories[old->memory_of[k]];
        if (next->op_states[i])
            memcpy(next->op_states[i], old->op_states[k], op_size(&next->graph->nodes[i]));
    }
}

static void move_life(struct engine *old, struct engine *next, int32_t from, int32_t to)
{
    struct life *a = &old->lives[from], *b = &next->lives[to];

    b->state = a->state;
    b->journal_count = a->journal_count;
    memcpy(b->journal, a->journal, ENGINE_JOURNAL * sizeof *b->journal);
    life_arm(next, (uint32_t)to, b->state.timer_ns);
    a->state.phase = LIFE_IDLE; /* moved: nothing to close */
}

static void move_rules(struct engine *old, struct engine *next)
{
    for (uint32_t i = 0; i < next->ruleset->count; i++) {
        int32_t k = find_rule(old->ruleset, next->ruleset->rules[i].hash, SHA256_BYTES);
        if (k < 0)
            continue;
        struct rule_run *a = &old->runs[k], *b = &next->runs[i];
        b->ordinal = a->ordinal;
        b->trip_count = a->trip_count;
        b->fires_count = a->fires_count;
        memcpy(b->fires, a->fires, b->fires_room * sizeof *b->fires);
        b->stats = a->stats;
        if (a->life >= 0 && b->life >= 0)
            move_life(old, next, a->life, b->life);
        if (a->falling >= 0 && b->falling >= 0)
            move_life(old, next, a->falling, b->falling);
    }
}

void engine_reload(struct engine *old, struct engine *next, int64_t mono_ns)
{
    assert(old->has_begun && !next->has_begun);
    old->now_ns = mono_ns > old->now_ns ? mono_ns : old->now_ns;
    old->by_timer = false;
    move_signals(old, next);
    next->now_ns = old->now_ns;
    next->instant = old->instant;
    for (uint32_t i = 0; i < next->op_count; i++)
        op_reset(next, next->op_nodes[i]);
    move_nodes(old, next);
    move_rules(old, next);
    for (uint32_t i = 0; i < old->life_count; i++)
        life_close(old, i, REASON_RELOAD);
    next->step = old->step;
    next->numbers = old->numbers;
    next->stats = old->stats;
    next->has_begun = true;
    engine_rearm(next);
    engine_evaluate_marked(next);
    engine_settle(next);
}
