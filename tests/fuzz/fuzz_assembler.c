/* Any sequence of messages, times, restarts and failing effects; then the car sends all of it again.
 * Nothing crashes, no limit breaks, no needed offset lies above an open clip's first message, and
 * at the end every clip that the car knows is stored with its own bytes, once. */
#include "tests/sink_fake.h"

#define CLIPS 3
#define SEGMENT_SIZE (3 * FAKE_CHUNK + 100)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct car {
    struct wire_final final;
    uint8_t bytes[SEGMENTS_MAX][SEGMENT_SIZE];
};

static struct fake fake;
static struct car cars[CLIPS];
static int64_t now_ns, offset;

static void make_car(struct car *car, uint64_t ordinal)
{
    struct wire_about *a = &car->final.about;

    memset(car, 0, sizeof *car);
    a->ordinal = ordinal;
    a->segments = (uint8_t)(1 + ordinal % 2);
    snprintf(a->pseudonym, sizeof a->pseudonym, "car-%u", (unsigned)(ordinal % 2));
    clip_id_make(a->pseudonym, a->session_id, ordinal, a->clip_id);
    for (unsigned k = 0; k < a->segments; k++) {
        for (unsigned i = 0; i < SEGMENT_SIZE; i++)
            car->bytes[k][i] = (uint8_t)(ordinal * 91 + k * 13 + i + i / 256);
        car->final.segments[k].bytes = SEGMENT_SIZE;
        car->final.segments[k].chunk_bytes = FAKE_CHUNK;
        sha256_of(car->bytes[k], SEGMENT_SIZE, car->final.segments[k].sha256);
    }
}

static int put(const struct wire_value *value, const char *key)
{
    struct assembler_place place = { 0, offset++, key, strlen(key) };
    static uint8_t bytes[WIRE_CHUNK_VALUE_MAX];
    enum assembler_refusal refusal;
    struct err err;

    /* What wire_decode would refuse never comes this far. */
    if (value->kind < WIRE_RECEIPT && wire_encode(value, bytes, sizeof bytes, &err) < 0)
        return -EBADMSG;
    int rc = assembler_put(fake.assembler, &place, value, now_ns, &err, &refusal);
    int64_t needed = assembler_needed(fake.assembler, 0);
    struct assembler_stats stats;

    assembler_stats(fake.assembler, &stats);
    if ((needed < 0) != (stats.open_clips == 0) || needed >= offset)
        abort();
    return rc;
}

static void chunk_of(const struct car *car, uint8_t k, uint32_t index, struct wire_value *v)
{
    const struct wire_segment *segment = &car->final.segments[k];

    memset(v, 0, sizeof *v);
    v->kind = WIRE_CHUNK;
    memcpy(v->chunk.clip_id, car->final.about.clip_id, CLIP_ID_BYTES);
    memcpy(v->chunk.sha256, segment->sha256, SHA256_BYTES);
    v->chunk.segment = k;
    v->chunk.index = index;
    v->chunk.count = wire_chunk_count(segment);
    v->chunk.chunk_bytes = segment->chunk_bytes;
    v->chunk.segment_bytes = segment->bytes;
    v->chunk.size = wire_chunk_size(segment, index);
    v->chunk.payload = car->bytes[k] + (size_t)index * FAKE_CHUNK;
}

static void question_of(const struct car *car, uint32_t ask, struct wire_value *v)
{
    uint8_t bytes[WIRE_FINAL_MAX];

    memset(v, 0, sizeof *v);
    v->kind = WIRE_FINAL;
    v->final = car->final;
    int size = wire_encode(v, bytes, sizeof bytes, NULL);
    if (!ask || size < 0)
        return;
    memset(v, 0, sizeof *v);
    v->kind = WIRE_QUESTION;
    v->question.ask = ask;
    v->question.final = car->final;
    sha256_of(bytes, (size_t)size, v->question.final_sha256);
}

/* One operation of 3 bytes. */
static void operate(uint8_t what, uint8_t which, uint8_t arg)
{
    const struct car *car = &cars[which % CLIPS];
    const char *key = which & 0x80 ? "car-9" : car->final.about.pseudonym;
    struct wire_value v;

    memset(&v, 0, sizeof v);
    switch (what % 10) {
    case 0: case 1: case 2:
        chunk_of(car, (uint8_t)((arg >> 4) % car->final.about.segments), arg % 4, &v);
        if (what & 0x40)
            v.chunk.sha256[0] ^= (uint8_t)(what >> 7 | 1); /* another content */
        if (what & 0x20) { /* another S for the same segment */
            v.chunk.chunk_bytes *= 2;
            v.chunk.count = (SEGMENT_SIZE + v.chunk.chunk_bytes - 1) / v.chunk.chunk_bytes;
            v.chunk.index %= v.chunk.count;
            v.chunk.payload = car->bytes[v.chunk.segment] + v.chunk.index * v.chunk.chunk_bytes;
            v.chunk.size = v.chunk.index + 1 < v.chunk.count
                               ? v.chunk.chunk_bytes
                               : SEGMENT_SIZE - v.chunk.index * v.chunk.chunk_bytes;
        }
        (void)put(&v, key);
        break;
    case 3:
        v.kind = WIRE_OPEN;
        v.open = car->final.about;
        (void)put(&v, key);
        break;
    case 4:
        question_of(car, arg, &v);
        (void)put(&v, key);
        break;
    case 5:
        v.kind = WIRE_GONE;
        memcpy(v.gone.clip_id, car->final.about.clip_id, CLIP_ID_BYTES);
        v.gone.reason = WIRE_GONE_EVICTED;
        memcpy(v.gone.pseudonym, car->final.about.pseudonym, PSEUDONYM_MAX);
        (void)put(&v, key);
        break;
    case 6:
        now_ns += (int64_t)arg * 30 * NS_PER_S;
        assembler_tick(fake.assembler, now_ns);
        break;
    case 7:
        if (arg & 1)
            assembler_revoke(fake.assembler, 0);
        else
            fake_restart(&fake);
        break;
    case 8:
        fake.fail_write = arg & 1 ? -ENOSPC : 0;
        fake.fail_find = arg & 2 ? -EIO : 0;
        fake.fail_publish = arg & 4 ? -ENOSPC : 0;
        fake.fail_partial = arg & 8 ? -EIO : 0;
        break;
    default:
        v.kind = (enum wire_kind)(arg % (WIRE_KIND_END + 1));
        if (v.kind == WIRE_RECEIPT || v.kind >= WIRE_ARTIFACT)
            (void)put(&v, key);
        break;
    }
}

/* The car sends all of it, until it has its receipt. */
static void deliver(const struct car *car, uint32_t ask)
{
    struct wire_value v;

    for (uint8_t k = 0; k < car->final.about.segments; k++)
        for (uint32_t i = 0; i < 4; i++) {
            chunk_of(car, k, i, &v);
            (void)put(&v, car->final.about.pseudonym);
        }
    question_of(car, ask, &v);
    (void)put(&v, car->final.about.pseudonym);
}

static void check(const struct car *car)
{
    struct fake_clip *clip = fake_clip(&fake, car->final.about.pseudonym, car->final.about.clip_id,
                                       false);

    if (!clip || !clip->stored ||
        memcmp(clip->final.segments, car->final.segments, sizeof car->final.segments))
        abort();
}

static void raw_value(const uint8_t *data, size_t size)
{
    struct wire_value value;
    struct err err;

    if (!wire_decode(data, size, &err, &value))
        (void)put(&value, "car-0");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fake_open(&fake);
    now_ns = NS_PER_S;
    offset = 1;
    for (unsigned i = 0; i < CLIPS; i++)
        make_car(&cars[i], i);
    raw_value(data, size);
    for (size_t at = 0; at + 3 <= size && at < 3000; at += 3)
        operate(data[at], data[at + 1], data[at + 2]);
    fake.fail_write = fake.fail_find = fake.fail_publish = fake.fail_partial = 0;
    now_ns += 7200 * NS_PER_S; /* whatever hostile cars left open is released */
    assembler_tick(fake.assembler, now_ns);
    assembler_tick(fake.assembler, now_ns);
    for (unsigned i = 0; i < CLIPS; i++) {
        deliver(&cars[i], 1000 + i);
        deliver(&cars[i], 2000 + i); /* a segment that was damaged is asked for once more */
        check(&cars[i]);
    }
    fake_close(&fake);
    return 0;
}
