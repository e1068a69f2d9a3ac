#include "tests/sink_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define VEHICLE "car-1"
#define MIN (60 * NS_PER_S)

/* A clip as a car would send it. */
struct sent {
    struct wire_final final;
    uint8_t bytes[SEGMENTS_MAX][5 * FAKE_CHUNK];
};

static struct fake f;
static int64_t now_ns, offset;
static struct err err;
static enum assembler_refusal refusal;

static void make_clip(struct sent *s, uint64_t ordinal, uint8_t segments, uint32_t size, uint8_t fill)
{
    memset(s, 0, sizeof *s);
    struct wire_about *a = &s->final.about;
    a->ordinal = ordinal;
    a->segments = segments;
    a->end_ns = 1;
    snprintf(a->pseudonym, sizeof a->pseudonym, VEHICLE);
    clip_id_make(VEHICLE, a->session_id, ordinal, a->clip_id);
    for (unsigned k = 0; k < segments; k++) {
        for (uint32_t i = 0; i < size; i++)
            s->bytes[k][i] = (uint8_t)(fill + k + i * 7 + i / 256);
        s->final.segments[k].bytes = size;
        s->final.segments[k].chunk_bytes = FAKE_CHUNK;
        sha256_of(s->bytes[k], size, s->final.segments[k].sha256);
    }
}

static int put_key(const struct wire_value *value, const char *key)
{
    struct assembler_place place = { 0, offset++, key, key ? strlen(key) : 0 };

    memset(&err, 0, sizeof err);
    return assembler_put(f.assembler, &place, value, now_ns, &err, &refusal);
}

static int put(const struct wire_value *value)
{
    return put_key(value, VEHICLE);
}

static struct wire_value chunk(const struct sent *s, uint8_t segment, uint32_t index)
{
    const struct wire_segment *g = &s->final.segments[segment];
    struct wire_value v = { .kind = WIRE_CHUNK };

    memcpy(v.chunk.clip_id, s->final.about.clip_id, CLIP_ID_BYTES);
    memcpy(v.chunk.sha256, g->sha256, SHA256_BYTES);
    v.chunk.segment = segment;
    v.chunk.index = index;
    v.chunk.count = wire_chunk_count(g);
    v.chunk.chunk_bytes = g->chunk_bytes;
    v.chunk.segment_bytes = g->bytes;
    v.chunk.size = wire_chunk_size(g, index);
    v.chunk.payload = s->bytes[segment] + (size_t)index * g->chunk_bytes;
    return v;
}

static int put_chunk(const struct sent *s, uint8_t segment, uint32_t index)
{
    struct wire_value v = chunk(s, segment, index);
    return put(&v);
}

static void final_sha(const struct sent *s, uint8_t sha256[SHA256_BYTES])
{
    struct wire_value v = { .kind = WIRE_FINAL, .final = s->final };
    uint8_t bytes[WIRE_FINAL_MAX];
    int size = wire_encode(&v, bytes, sizeof bytes, NULL);

    assert_true(size > 0);
    sha256_of(bytes, (size_t)size, sha256);
}

static int put_final(const struct sent *s)
{
    struct wire_value v = { .kind = WIRE_FINAL, .final = s->final };
    return put(&v);
}

static int put_question(const struct sent *s, uint32_t ask)
{
    struct wire_value v = { .kind = WIRE_QUESTION, .question = { .ask = ask, .final = s->final } };

    final_sha(s, v.question.final_sha256);
    return put(&v);
}

static int put_open(const struct sent *s)
{
    struct wire_value v = { .kind = WIRE_OPEN, .open = s->final.about };
    return put(&v);
}

static int setup(void **state)
{
    (void)state;
    fake_open(&f);
    now_ns = NS_PER_S;
    offset = 100;
    return f.assembler ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    fake_close(&f);
    return 0;
}

static const struct wire_receipt *last_receipt(void)
{
    assert_true(f.receipt_count > 0);
    return &f.receipts[(f.receipt_count - 1) % FAKE_WORDS];
}

static bool is_stored(const struct sent *s)
{
    struct fake_clip *c = fake_clip(&f, VEHICLE, s->final.about.clip_id, false);
    return c && c->stored;
}

static void test_a_clip_in_order_is_stored_and_answered(void **state)
{
    struct sent s;
    uint8_t sha256[SHA256_BYTES];

    (void)state;
    make_clip(&s, 1, 1, 3 * FAKE_CHUNK + 5, 1);
    assert_int_equal(put_open(&s), 0);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(put_chunk(&s, 0, i), 0);
    assert_int_equal(assembler_needed(f.assembler, 0), 100);
    assert_int_equal(assembler_needed(f.assembler, 1), -1);
    assert_int_equal(put_final(&s), 0);
    assert_true(is_stored(&s));
    assert_int_equal(f.announced, 1);
    assert_int_equal(f.announce_hold, 100);
    assert_int_equal(f.forgotten, 1);
    assert_int_equal(last_receipt()->result, WIRE_COMPLETE);
    assert_int_equal(last_receipt()->ask, 0);
    final_sha(&s, sha256);
    assert_memory_equal(last_receipt()->final_sha256, sha256, SHA256_BYTES);
    assert_int_equal(assembler_needed(f.assembler, 0), -1);
}

/* Every order of 4 messages of chunks and final, with one chunk sent twice at the end. */
static void test_any_order_and_repetition_gives_the_clip_once(void **state)
{
    struct sent s;

    (void)state;
    for (unsigned order = 0; order < 4 * 4 * 4 * 4; order++) {
        unsigned pick[4] = { order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6 & 3 };
        bool all = (1u << pick[0] | 1u << pick[1] | 1u << pick[2] | 1u << pick[3]) == 15;
        make_clip(&s, order, 1, 3 * FAKE_CHUNK, (uint8_t)order);
        unsigned published = f.published;
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(pick[i] == 3 ? put_final(&s) : put_chunk(&s, 0, pick[i]), 0);
        assert_int_equal(f.published, published + all);
        if (all) {
            assert_int_equal(put_chunk(&s, 0, 1), 0);
            assert_int_equal(put_open(&s), 0);
            assert_int_equal(f.published, published + 1);
            assert_int_equal(assembler_needed(f.assembler, 0), -1);
        }
        fake_close(&f);
        fake_open(&f);
    }
}

static void test_two_segments_make_one_clip(void **state)
{
    struct sent s;

    (void)state;
    make_clip(&s, 2, 2, 2 * FAKE_CHUNK, 9);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(put_chunk(&s, 1, i), 0);
    assert_int_equal(put_final(&s), 0);
    assert_false(is_stored(&s));
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(put_chunk(&s, 0, i), 0);
    assert_true(is_stored(&s));
    assert_int_equal(last_receipt()->result, WIRE_COMPLETE);
}

static void test_the_lowest_open_clip_holds_the_offset(void **state)
{
    struct sent a, b;

    (void)state;
    make_clip(&a, 1, 1, 2 * FAKE_CHUNK, 1);
    make_clip(&b, 2, 1, 1 * FAKE_CHUNK, 2);
    assert_int_equal(put_chunk(&a, 0, 0), 0); /* 100 */
    assert_int_equal(put_chunk(&b, 0, 0), 0); /* 101 */
    assert_int_equal(put_final(&b), 0);
    assert_int_equal(assembler_needed(f.assembler, 0), 100);
    assert_int_equal(put_chunk(&a, 0, 1), 0);
    assert_int_equal(put_final(&a), 0);
    assert_int_equal(assembler_needed(f.assembler, 0), -1);
}

static void test_a_lost_chunk_is_asked_for_after_partial_after(void **state)
{
    struct sent s;

    (void)state;
    make_clip(&s, 3, 1, 5 * FAKE_CHUNK, 3);
    for (uint32_t i = 0; i < 5; i++)
        if (i != 2)
            assert_int_equal(put_chunk(&s, 0, i), 0);
    assert_int_equal(put_final(&s), 0);
    assert_int_equal(f.receipt_count, 0); /* late chunks have partial_after */
    assembler_tick(f.assembler, now_ns + 15 * MIN - 1);
    assert_int_equal(f.partials, 0);
    assembler_tick(f.assembler, now_ns + 15 * MIN);
    assembler_tick(f.assembler, now_ns + 16 * MIN);
    assert_int_equal(f.partials, 1);
    assert_int_equal(f.receipt_count, 1);
    assert_int_equal(last_receipt()->result, WIRE_MISSING);
    assert_int_equal(last_receipt()->ask, 0);
    assert_int_equal(last_receipt()->range_count, 1);
    assert_int_equal(last_receipt()->ranges[0].first, 2);
    assert_int_equal(last_receipt()->ranges[0].count, 1);
    now_ns += 17 * MIN;
    assert_int_equal(put_chunk(&s, 0, 2), 0);
    assert_true(is_stored(&s));
    assert_int_equal(put_question(&s, 1), 0);
    assert_int_equal(last_receipt()->result, WIRE_COMPLETE);
    assert_int_equal(last_receipt()->ask, 1);
}

static void test_a_later_ask_is_answered_at_once(void **state)
{
    struct sent s;

    (void)state;
    make_clip(&s, 4, 2, 3 * FAKE_CHUNK, 4);
    assert_int_equal(put_chunk(&s, 0, 1), 0);
    assert_int_equal(put_question(&s, 7), 0);
    assert_int_equal(last_receipt()->ask, 7);
    assert_int_equal(last_receipt()->range_count, 3);
    assert_int_equal(last_receipt()->ranges[1].first, 2);
    assert_int_equal(last_receipt()->ranges[2].segment, 1);
    assert_int_equal(last_receipt()->ranges[2].count, 3);
    assert_int_equal(f.holds[0], 101);
}

static void test_without_a_manifest_the_car_is_made_to_ask(void **state)
{
    struct sent s;

    (void)state;
    make_clip(&s, 5, 1, 2 * FAKE_CHUNK, 5);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(put_chunk(&s, 0, i), 0);
    assembler_tick(f.assembler, now_ns + 15 * MIN);
    assert_int_equal(last_receipt()->ask, WIRE_ASK_NONE);
    assert_int_equal(last_receipt()->range_count, 1);
    assert_int_equal(put_question(&s, 1), 0);
    assert_true(is_stored(&s));
}

static void test_after_an_hour_the_offset_is_released_and_the_rest_completes(void **state)
{
    struct sent s;

    (void)state;
    make_clip(&s, 6, 1, 4 * FAKE_CHUNK, 6);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(put_chunk(&s, 0, i), 0);
    assembler_tick(f.assembler, now_ns + 15 * MIN);
    assembler_tick(f.assembler, now_ns + 60 * MIN - 1);
    assert_int_equal(f.releases, 0);
    assert_int_equal(assembler_needed(f.assembler, 0), 100);
    assembler_tick(f.assembler, now_ns + 60 * MIN);
    assert_int_equal(f.releases, 1);
    assert_int_equal(assembler_needed(f.assembler, 0), -1);
    fake_restart(&f); /* another member, later */
    offset = 900;
    assert_int_equal(put_chunk(&s, 0, 3), 0);
    assert_int_equal(assembler_needed(f.assembler, 0), 900);
    assert_int_equal(put_question(&s, 2), 0);
    assert_true(is_stored(&s));
}

static void test_gone_closes_a_partial_clip(void **state)
{
    struct sent s;
    struct wire_value gone = { .kind = WIRE_GONE, .gone = { .reason = WIRE_GONE_EVICTED,
                                                            .pseudonym = VEHICLE } };

    (void)state;
    make_clip(&s, 7, 1, 2 * FAKE_CHUNK, 7);
    memcpy(gone.gone.clip_id, s.final.about.clip_id, CLIP_ID_BYTES);
    assert_int_equal(put(&gone), 0); /* nobody knows it: nothing to do */
    assert_int_equal(f.releases, 0);
    assert_int_equal(put_chunk(&s, 0, 0), 0);
    assert_int_equal(put(&gone), 0);
    assert_int_equal(f.releases, 1);
    assert_int_equal(f.gone, WIRE_GONE_EVICTED);
    assert_int_equal(assembler_needed(f.assembler, 0), -1);
}

static void test_a_stored_clip_is_answered_from_the_dataset_forever(void **state)
{
    struct sent s;

    (void)state;
    make_clip(&s, 8, 1, FAKE_CHUNK, 8);
    assert_int_equal(put_chunk(&s, 0, 0), 0);
    assert_int_equal(put_final(&s), 0);
    fake_restart(&f);
    assert_int_equal(put_chunk(&s, 0, 0), 0);
    assert_int_equal(assembler_needed(f.assembler, 0), -1);
    assert_int_equal(put_question(&s, 40), 0);
    assert_int_equal(last_receipt()->result, WIRE_COMPLETE);
    assert_int_equal(last_receipt()->ask, 40);
    assert_int_equal(put_question(&s, 41), 0);
    assert_int_equal(f.published, 1);
}

static void test_a_restart_goes_on_with_what_the_cache_holds(void **state)
{
    struct sent s;
    struct assembler_stats stats;

    (void)state;
    make_clip(&s, 9, 1, 4 * FAKE_CHUNK, 9);
    assert_int_equal(put_chunk(&s, 0, 0), 0);
    assert_int_equal(put_chunk(&s, 0, 1), 0);
    fake_restart(&f);
    offset = 100; /* the same messages again */
    assert_int_equal(put_chunk(&s, 0, 0), 0);
    assert_int_equal(put_chunk(&s, 0, 1), 0);
    assembler_stats(f.assembler, &stats);
    assert_int_equal(stats.duplicate_chunks, 2);
    assert_int_equal(assembler_needed(f.assembler, 0), 100);
    assert_int_equal(put_chunk(&s, 0, 2), 0);
    assert_int_equal(put_chunk(&s, 0, 3), 0);
    assert_int_equal(put_final(&s), 0);
    assert_true(is_stored(&s));
}

static void test_a_segment_without_its_sha256_is_dropped_and_asked_for(void **state)
{
    struct sent s;

    (void)state;
    make_clip(&s, 10, 1, 3 * FAKE_CHUNK, 10);
    s.bytes[0][5000] ^= 1;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(put_chunk(&s, 0, i), 0);
    assert_int_equal(put_final(&s), -EBADMSG);
    assert_int_equal(refusal, ASSEMBLER_CONTENT);
    assert_string_equal(err.text, "segment 0 is not its SHA-256");
    assert_int_equal(last_receipt()->result, WIRE_MISSING);
    assert_int_equal(last_receipt()->ranges[0].count, 3);
    s.bytes[0][5000] ^= 1;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(put_chunk(&s, 0, i), 0);
    assert_true(is_stored(&s));
}

static void test_other_content_under_a_known_id_is_quarantined_and_the_first_stays(void **state)
{
    struct sent a, b;

    (void)state;
    make_clip(&a, 11, 1, FAKE_CHUNK, 1);
    make_clip(&b, 11, 1, FAKE_CHUNK, 2);
    assert_int_equal(put_chunk(&a, 0, 0), 0);
    assert_int_equal(put_final(&a), 0);
    assert_int_equal(put_chunk(&b, 0, 0), 0);
    assert_int_equal(put_final(&b), -EBADMSG);
    assert_string_equal(err.text, "other content under a known id");
    assert_int_equal(last_receipt()->result, WIRE_COMPLETE); /* its bytes are kept too */
    struct fake_clip *c = fake_clip(&f, VEHICLE, a.final.about.clip_id, false);
    assert_memory_equal(c->final.segments[0].sha256, a.final.segments[0].sha256, SHA256_BYTES);
    assert_true(c->quarantined);
    assert_int_equal(f.announced, 1);
    fake_restart(&f);
    assert_int_equal(put_question(&b, 3), 0); /* answered from quarantine, not asked for again */
    assert_int_equal(last_receipt()->result, WIRE_COMPLETE);
    assert_int_equal(assembler_needed(f.assembler, 0), -1);
}

/* No room to keep it: no answer that would let the car delete it, nothing left open. */
static void test_what_quarantine_has_no_room_for_stays_in_the_car(void **state)
{
    struct assembler_stats stats;
    struct sent s;

    (void)state;
    make_clip(&s, 12, 1, FAKE_CHUNK, 1);
    f.quarantine_full = true;
    assert_int_equal(put_chunk(&s, 0, 0), 0);
    assert_int_equal(put_final(&s), -EBADMSG);
    assert_int_equal(refusal, ASSEMBLER_CONTENT);
    assert_string_equal(err.text, "quarantine is full");
    assert_int_equal(f.receipt_count, 0);
    assert_int_equal(assembler_needed(f.assembler, 0), -1);
    assembler_stats(f.assembler, &stats);
    assert_int_equal(stats.not_kept, 1);
    assert_int_equal(stats.quarantined, 0);
    f.quarantine_full = false; /* an operator made room: the car asks, sends, is answered */
    assert_int_equal(put_question(&s, 1), 0);
    assert_int_equal(last_receipt()->result, WIRE_MISSING);
    assert_int_equal(put_chunk(&s, 0, 0), 0);
    assert_true(is_stored(&s));
}

/* Chunks of another content of the same clip do not mix: two recoveries of one segment. */
static void test_contents_of_one_id_do_not_mix(void **state)
{
    struct sent a, b;

    (void)state;
    make_clip(&a, 12, 1, 2 * FAKE_CHUNK, 1);
    make_clip(&b, 12, 1, 2 * FAKE_CHUNK, 77);
    assert_int_equal(put_chunk(&a, 0, 0), 0);
    assert_int_equal(put_chunk(&b, 0, 1), 0);
    assert_int_equal(put_final(&b), 0);
    assert_false(is_stored(&b));
    assert_int_equal(put_chunk(&b, 0, 0), 0);
    assert_true(is_stored(&b));
    struct fake_clip *c = fake_clip(&f, VEHICLE, a.final.about.clip_id, false);
    assert_memory_equal(c->final.segments[0].sha256, b.final.segments[0].sha256, SHA256_BYTES);
}

static void test_an_effect_that_fails_takes_nothing(void **state)
{
    struct sent s;
    struct assembler_stats stats;

    (void)state;
    make_clip(&s, 13, 1, FAKE_CHUNK, 13);
    f.fail_find = -EIO;
    assert_int_equal(put_chunk(&s, 0, 0), -EAGAIN);
    f.fail_find = 0;
    f.fail_write = -ENOSPC;
    assert_int_equal(put_chunk(&s, 0, 0), -EAGAIN);
    assembler_stats(f.assembler, &stats);
    assert_int_equal(stats.chunks, 0);
    assert_int_equal(stats.open_clips, 0);
    f.fail_write = 0;
    assert_int_equal(put_chunk(&s, 0, 0), 0);
    f.fail_publish = -ENOSPC;
    assert_int_equal(put_final(&s), 0);
    assert_false(is_stored(&s));
    assembler_tick(f.assembler, now_ns + ASSEMBLER_RETRY_NS - 1);
    assembler_tick(f.assembler, now_ns + 3600 * NS_PER_S); /* neither partial nor released */
    assert_int_equal(f.releases + f.partials, 0);
    assert_true(assembler_needed(f.assembler, 0) >= 0);
    f.fail_publish = 0;
    assembler_tick(f.assembler, now_ns + 7200 * NS_PER_S);
    assert_true(is_stored(&s));
    assert_int_equal(last_receipt()->result, WIRE_COMPLETE);
}

/* Whoever sent chunks with another S first must not keep the right ones out. */
static void test_the_manifest_decides_between_geometries(void **state)
{
    struct sent s;
    struct wire_value v;

    (void)state;
    make_clip(&s, 15, 1, 4 * FAKE_CHUNK, 15);
    v = chunk(&s, 0, 1);
    v.chunk.chunk_bytes *= 2;
    v.chunk.count = 2;
    v.chunk.size = 2 * FAKE_CHUNK;
    v.chunk.payload = s.bytes[0] + 2 * FAKE_CHUNK;
    assert_int_equal(put(&v), 0);
    assert_int_equal(put_chunk(&s, 0, 0), -ERANGE);
    assert_int_equal(put_question(&s, 1), 0);
    assert_int_equal(last_receipt()->ranges[0].count, 4);
    assert_int_equal(put(&v), -ERANGE);
    assert_string_equal(err.text, "chunk declares 16384 bytes in chunks of 8192, other than the "
                                  "manifest-final");
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(put_chunk(&s, 0, i), 0);
    assert_true(is_stored(&s));
}

static void test_a_revoked_partition_is_forgotten(void **state)
{
    struct sent s;
    struct assembler_stats stats;

    (void)state;
    make_clip(&s, 14, 1, 2 * FAKE_CHUNK, 14);
    assert_int_equal(put_chunk(&s, 0, 0), 0);
    assembler_revoke(f.assembler, 1);
    assert_int_equal(assembler_needed(f.assembler, 0), 100);
    assembler_revoke(f.assembler, 0);
    assembler_stats(f.assembler, &stats);
    assert_int_equal(assembler_needed(f.assembler, 0), -1);
    assert_int_equal(stats.open_clips, 0);
    assert_int_equal(stats.open_bytes, 0);
    assert_int_equal(f.forgotten, 0);
}

/* ---- What bad input gets: each row is refused with its reason, and a neighbour goes on ---- */

struct broken {
    const char *name;
    void (*make)(struct wire_value *value, const char **key);
    enum assembler_refusal refusal;
    const char *text; /* how the reason begins */
};

static struct sent base;

static void no_key(struct wire_value *v, const char **key) { *v = chunk(&base, 0, 0); *key = NULL; }
static void empty_key(struct wire_value *v, const char **key) { *v = chunk(&base, 0, 0); *key = ""; }
static void path_key(struct wire_value *v, const char **key)
{
    *v = chunk(&base, 0, 0);
    *key = "../../etc";
}
static void dot_key(struct wire_value *v, const char **key) { *v = chunk(&base, 0, 0); *key = ".."; }
static void long_key(struct wire_value *v, const char **key)
{
    *v = chunk(&base, 0, 0);
    *key = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
}
static void other_key(struct wire_value *v, const char **key)
{
    v->kind = WIRE_OPEN;
    v->open = base.final.about;
    *key = "car-2";
}
static void gone_key(struct wire_value *v, const char **key)
{
    v->kind = WIRE_GONE;
    v->gone.reason = WIRE_GONE_ERASED;
    snprintf(v->gone.pseudonym, PSEUDONYM_MAX, "car-9");
    (void)key;
}
static void kind_receipt(struct wire_value *v, const char **key) { v->kind = WIRE_RECEIPT; (void)key; }
static void kind_artifact(struct wire_value *v, const char **key) { v->kind = WIRE_ARTIFACT; (void)key; }
static void kind_status(struct wire_value *v, const char **key) { v->kind = WIRE_STATUS; (void)key; }
static void kind_none(struct wire_value *v, const char **key)
{
    v->kind = WIRE_KIND_END;
    (void)key;
}
static void id_open(struct wire_value *v, const char **key)
{
    v->kind = WIRE_OPEN;
    v->open = base.final.about;
    v->open.clip_id[0] ^= 1;
    (void)key;
}
static void id_ordinal(struct wire_value *v, const char **key)
{
    v->kind = WIRE_FINAL;
    v->final = base.final;
    v->final.about.ordinal++;
    (void)key;
}
static void id_session(struct wire_value *v, const char **key)
{
    v->kind = WIRE_OPEN;
    v->open = base.final.about;
    v->open.session_id[3] = 9;
    (void)key;
}
static void id_question(struct wire_value *v, const char **key)
{
    v->kind = WIRE_QUESTION;
    v->question.ask = 1;
    v->question.final = base.final;
    v->question.final.about.clip_id[15] ^= 0x80;
    (void)key;
}
static void geometry_count(struct wire_value *v, const char **key)
{
    *v = chunk(&base, 0, 1);
    v->chunk.count++;
    (void)key;
}
static void geometry_bytes(struct wire_value *v, const char **key)
{
    *v = chunk(&base, 0, 1);
    v->chunk.segment_bytes--;
    (void)key;
}
static void geometry_size(struct wire_value *v, const char **key)
{
    *v = chunk(&base, 0, 1);
    v->chunk.chunk_bytes *= 2;
    (void)key;
}
static const struct broken broken[] = {
    { "no key", no_key, ASSEMBLER_KEY, "message key of 0 bytes is no vehicle pseudonym" },
    { "empty key", empty_key, ASSEMBLER_KEY, "message key of 0 bytes is no vehicle pseudonym" },
    { "path as key", path_key, ASSEMBLER_KEY, "message key of 9 bytes is no vehicle pseudonym" },
    { "dots as key", dot_key, ASSEMBLER_KEY, "message key of 2 bytes is no vehicle pseudonym" },
    { "long key", long_key, ASSEMBLER_KEY, "message key of 64 bytes is no vehicle pseudonym" },
    { "key of another", other_key, ASSEMBLER_KEY,
      "value names vehicle 'car-1', message key is 'car-2'" },
    { "gone of another", gone_key, ASSEMBLER_KEY,
      "value names vehicle 'car-9', message key is 'car-1'" },
    { "receipt", kind_receipt, ASSEMBLER_KIND, "kind 'receipt' does not belong on the clip topic" },
    { "artifact", kind_artifact, ASSEMBLER_KIND, "kind 'artifact' does not belong on the clip topic" },
    { "status", kind_status, ASSEMBLER_KIND, "kind 'status' does not belong on the clip topic" },
    { "no kind", kind_none, ASSEMBLER_KIND, "kind 'unknown' does not belong on the clip topic" },
    { "id of open", id_open, ASSEMBLER_CLIP_ID, "clip id " },
    { "ordinal", id_ordinal, ASSEMBLER_CLIP_ID, "clip id " },
    { "session", id_session, ASSEMBLER_CLIP_ID, "clip id " },
    { "id of question", id_question, ASSEMBLER_CLIP_ID, "clip id " },
    { "count", geometry_count, ASSEMBLER_GEOMETRY,
      "chunk declares 4 chunks of 4096 bytes, 12288 in all; earlier ones of this segment declare 3" },
    { "bytes", geometry_bytes, ASSEMBLER_GEOMETRY, "chunk declares 3 chunks of 4096 bytes, 12287" },
    { "S", geometry_size, ASSEMBLER_GEOMETRY, "chunk declares 3 chunks of 8192 bytes, 12288" },
};

static void test_bad_messages_are_refused_with_their_reason(void **state)
{
    struct assembler_stats stats;

    (void)state;
    make_clip(&base, 20, 1, 3 * FAKE_CHUNK, 20);
    assert_int_equal(put_chunk(&base, 0, 0), 0);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct wire_value v;
        const char *key = VEHICLE;
        memset(&v, 0, sizeof v);
        broken[i].make(&v, &key);
        if (put_key(&v, key) >= 0 || refusal != broken[i].refusal ||
            strncmp(err.text, broken[i].text, strlen(broken[i].text)))
            fail_msg("%s: found '%s'", broken[i].name, err.text);
        assembler_stats(f.assembler, &stats);
        assert_int_equal(stats.open_clips, 1);
    }
    assert_int_equal(put_chunk(&base, 0, 1), 0);
    assert_int_equal(put_chunk(&base, 0, 2), 0);
    assert_int_equal(put_final(&base), 0);
    assert_true(is_stored(&base));
}

static void test_limits_hold_before_anything_is_allocated(void **state)
{
    struct sent s;
    struct wire_value v;

    (void)state;
    for (uint64_t i = 0; i < 4; i++) {
        make_clip(&s, 30 + i, 1, FAKE_CHUNK * 2, (uint8_t)i);
        assert_int_equal(put_chunk(&s, 0, 0), 0);
    }
    make_clip(&s, 40, 1, FAKE_CHUNK, 1);
    assert_int_equal(put_chunk(&s, 0, 0), -ERANGE);
    assert_int_equal(refusal, ASSEMBLER_LIMIT);
    assert_string_equal(err.text,
                        "vehicle 'car-1' has 4 open clips, at most 4 are assembled at a time");
    assert_int_equal(put_final(&s), -ERANGE);
    assert_int_equal(put_open(&s), -ERANGE);
    assert_int_equal(put_question(&s, 1), -ERANGE);
    make_clip(&s, 30, 1, FAKE_CHUNK * 2, 99); /* other contents of one clip */
    for (uint8_t i = 1; i < 6; i++) {
        make_clip(&s, 30, 1, FAKE_CHUNK * 2, (uint8_t)(100 + i));
        assert_int_equal(put_chunk(&s, 0, 0), i < 4 ? 0 : -ERANGE);
    }
    assert_string_equal(err.text, "clip has 4 different segments under assembly, the limit");
    make_clip(&s, 31, 1, FAKE_CHUNK * 2, 50);
    v = chunk(&s, 0, 0);
    for (unsigned i = 0; i < 3; i++) { /* declared, never sent: 64 MiB each */
        v.chunk.segment_bytes = SEGMENT_BYTES_MAX;
        v.chunk.count = SEGMENT_BYTES_MAX / FAKE_CHUNK;
        v.chunk.sha256[0]++;
        int rc = put(&v);
        assert_int_equal(rc, i < 1 ? 0 : -ERANGE);
    }
    assert_non_null(strstr(err.text, "bytes under assembly, at most 134217728"));
}

static void test_another_car_cannot_touch_a_clip(void **state)
{
    struct sent s;

    (void)state;
    make_clip(&s, 50, 1, 2 * FAKE_CHUNK, 50);
    assert_int_equal(put_chunk(&s, 0, 0), 0);
    struct wire_value v = chunk(&s, 0, 1);
    assert_int_equal(put_key(&v, "car-2"), 0); /* its own assembly, which no manifest can end */
    assert_int_equal(put_final(&s), 0);
    assert_false(is_stored(&s));
    v = (struct wire_value){ .kind = WIRE_FINAL, .final = s.final };
    assert_int_equal(put_key(&v, "car-2"), -EINVAL);
    assert_int_equal(put_chunk(&s, 0, 1), 0);
    assert_true(is_stored(&s));
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_clip_in_order_is_stored_and_answered),
        T(test_any_order_and_repetition_gives_the_clip_once),
        T(test_two_segments_make_one_clip),
        T(test_the_lowest_open_clip_holds_the_offset),
        T(test_a_lost_chunk_is_asked_for_after_partial_after),
        T(test_a_later_ask_is_answered_at_once),
        T(test_without_a_manifest_the_car_is_made_to_ask),
        T(test_after_an_hour_the_offset_is_released_and_the_rest_completes),
        T(test_gone_closes_a_partial_clip),
        T(test_a_stored_clip_is_answered_from_the_dataset_forever),
        T(test_a_restart_goes_on_with_what_the_cache_holds),
        T(test_a_segment_without_its_sha256_is_dropped_and_asked_for),
        T(test_other_content_under_a_known_id_is_quarantined_and_the_first_stays),
        T(test_what_quarantine_has_no_room_for_stays_in_the_car),
        T(test_contents_of_one_id_do_not_mix),
        T(test_an_effect_that_fails_takes_nothing),
        T(test_the_manifest_decides_between_geometries),
        T(test_a_revoked_partition_is_forgotten),
        T(test_bad_messages_are_refused_with_their_reason),
        T(test_limits_hold_before_anything_is_allocated),
        T(test_another_car_cannot_touch_a_clip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
