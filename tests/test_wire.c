/* Every value of Kafka: vectors, round trips, and each field broken in turn with the words that a
 * reader of the dead-letter topic will see. Statement numbers (K..) are those of docs/KAFKA.md. */
#include "proto/wire.h"

#include "proto/bytes.h"
#include "tests/wire_samples.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static uint8_t bytes[WIRE_ARTIFACT_VALUE_MAX];

static size_t encode(const struct wire_value *value)
{
    struct err err = { 0 };
    int size = wire_encode(value, bytes, sizeof bytes, &err);

    if (size < 0)
        fail_msg("%s", err.text);
    return (size_t)size;
}

static void fix_hash(size_t size) { store_le64(bytes + 8, hash_xxh3(bytes + 16, size - 16)); }

/* K1: the bytes never change within a version: SHA-256 of each sample's encoding. */
static void test_vectors(void **state)
{
    static const struct {
        enum wire_kind kind;
        size_t size;
        const char *sha256_head;
    } vectors[] = {
        { WIRE_OPEN, 107, "c5ce247196f81d0b" },
        { WIRE_CHUNK, 1892, "cfcd592ddf140de8" },
        { WIRE_FINAL, 187, "e44d265dcba3cdd2" },
        { WIRE_QUESTION, 207, "7c02d39cb2da8314" },
        { WIRE_GONE, 46, "c2ceeea72cb47aff" },
        { WIRE_RECEIPT, 130, "e168c62bf5b3b0bc" },
        { WIRE_ARTIFACT, 114, "40d8124d638e84be" },
        { WIRE_STATUS, 239, "5aa09abfac7beeeb" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct wire_value value = sample_value(vectors[i].kind);
        size_t size = encode(&value);
        uint8_t digest[SHA256_BYTES];
        char hex[SHA256_HEX];
        sha256_of(bytes, size, digest);
        hex_from(digest, SHA256_BYTES, hex);
        hex[16] = '\0';
        if (size != vectors[i].size || strcmp(hex, vectors[i].sha256_head) != 0)
            fail_msg("%s: %zu bytes, %s", wire_kind_name(vectors[i].kind), size, hex);
    }
}

/* K2: decode gives back what was encoded, and encoding that gives the same bytes. */
static void test_round_trip(void **state)
{
    (void)state;
    for (int kind = WIRE_OPEN; kind < WIRE_KIND_END; kind++) {
        struct wire_value value = sample_value((enum wire_kind)kind), back;
        struct err err = { 0 };
        size_t size = encode(&value);
        uint8_t *copy = malloc(size); /* exact, so that a sanitizer sees a read beyond the end */
        memcpy(copy, bytes, size);
        assert_int_equal(wire_decode(copy, size, &err, &back), 0);
        assert_int_equal(back.kind, kind);
        memset(bytes, 0, size);
        assert_int_equal(encode(&back), size);
        assert_memory_equal(bytes, copy, size);
        free(copy);
    }
}

/* K3: a value cut anywhere, or with bytes behind it, is refused, also when its hash is right. */
static void test_torn_values_are_refused(void **state)
{
    (void)state;
    for (int kind = WIRE_OPEN; kind < WIRE_KIND_END; kind++) {
        struct wire_value value = sample_value((enum wire_kind)kind), back;
        size_t size = encode(&value);
        for (size_t cut = 0; cut < size; cut++) {
            (void)encode(&value);
            struct err err = { 0 };
            assert_true(wire_decode(bytes, cut, &err, &back) < 0); /* hash of the whole */
            assert_true(err.text[0]);
            if (cut < WIRE_PREFIX_BYTES)
                continue;
            fix_hash(cut);
            /* An artifact's payload has no length of its own: cut inside, it fails to inflate. */
            int rc = wire_decode(bytes, cut, &err, &back);
            assert_true(rc < 0 || (kind == WIRE_ARTIFACT && cut > size - 50));
        }
        (void)encode(&value);
        bytes[size] = 0;
        fix_hash(size + 1);
        assert_true(wire_decode(bytes, size + 1, NULL, &back) < 0 || kind == WIRE_ARTIFACT);
    }
}

/* K4: any flipped bit of any value is noticed. */
static void test_flipped_bits_are_noticed(void **state)
{
    (void)state;
    for (int kind = WIRE_OPEN; kind < WIRE_KIND_END; kind++) {
        struct wire_value value = sample_value((enum wire_kind)kind), back;
        size_t size = encode(&value);
        for (size_t bit = 0; bit < size * 8; bit += size > 600 ? 37 : 1) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_true(wire_decode(bytes, size, NULL, &back) < 0);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

struct broken {
    enum wire_kind kind;
    size_t at;      /* byte to overwrite */
    uint32_t width; /* 1, 2 or 4 */
    uint32_t value;
    int want;
    const char *says;
    bool keep_hash; /* the hash is not repaired */
};

/* Offsets: clip.v1 bodies begin at 16 with the clip id. */
#define ABOUT 16
#define ABOUT_PRIORITY (ABOUT + 64)
#define ABOUT_NAME (ABOUT + 66)
#define FINAL_SEGMENTS (ABOUT_NAME + 1 + 8 + 1 + 15)
#define CHUNK_FIELDS (16 + 16 + 32)

/* K5: every field outside its limits is refused by name. */
static void test_each_broken_field_is_named(void **state)
{
    static const struct broken cases[] = {
        { WIRE_OPEN, 0, 1, 'X', -EBADMSG, "magic: found 584c5756", false },
        { WIRE_OPEN, 4, 1, 2, -ENOTSUP, "version: found 2, expected 1", false },
        { WIRE_OPEN, 5, 1, 0, -ENOTSUP, "kind: found 0", false },
        { WIRE_OPEN, 5, 1, WIRE_KIND_END, -ENOTSUP, "kind: found 9", false },
        { WIRE_OPEN, 6, 2, 1, -ERANGE, "reserved: found 1, expected 0", false },
        { WIRE_OPEN, 40, 1, 1, -EBADMSG, "hash: the body of manifest-open gives", true },
        { WIRE_OPEN, ABOUT_PRIORITY, 1, 10, -ERANGE, "priority: found 10, expected 0 to 9", false },
        { WIRE_OPEN, ABOUT_PRIORITY + 1, 1, 0, -ERANGE, "segments: found 0, expected 1 to 2",
          false },
        { WIRE_OPEN, ABOUT_PRIORITY + 1, 1, 3, -ERANGE, "segments: found 3", false },
        { WIRE_OPEN, ABOUT + 47, 1, 0x7f, -ERANGE, "end_ns: found 20550000000, expected at least",
          false },
        { WIRE_OPEN, ABOUT + 63, 1, 0x80, -ERANGE, "utc_ns: found -", false },
        { WIRE_OPEN, ABOUT_NAME, 1, 0, -EBADMSG, "", false },
        { WIRE_OPEN, ABOUT_NAME, 1, 64, -ERANGE, "pseudonym: 64 bytes, at most 63", false },
        { WIRE_OPEN, ABOUT_NAME + 1, 1, '/', -ERANGE, "pseudonym: byte 0x2f at 0", false },
        { WIRE_OPEN, ABOUT_NAME + 1, 1, '.', -ERANGE, "pseudonym: found '.ar-0001'", false },
        { WIRE_OPEN, ABOUT_NAME + 1, 1, 0, -ERANGE, "pseudonym: holds a NUL byte", false },
        { WIRE_OPEN, ABOUT_NAME + 9, 1, 128, -ERANGE, "rule: 128 bytes, at most 127", false },
        { WIRE_OPEN, ABOUT_NAME + 10, 1, '\n', -ERANGE, "rule: byte 0x0a at 0", false },
        { WIRE_FINAL, FINAL_SEGMENTS, 4, 0, -ERANGE, "segment bytes: found 0", false },
        { WIRE_FINAL, FINAL_SEGMENTS, 4, SEGMENT_BYTES_MAX + 1, -ERANGE,
          "segment bytes: found 67108865", false },
        { WIRE_FINAL, FINAL_SEGMENTS + 4, 4, 0, -ERANGE, "chunk_bytes: found 0", false },
        { WIRE_FINAL, FINAL_SEGMENTS + 4, 4, CHUNK_BYTES_MAX + 1, -ERANGE, "chunk_bytes: found",
          false },
        { WIRE_CHUNK, CHUNK_FIELDS, 4, 2, -ERANGE, "segment: found 2, expected 0 to 1", false },
        { WIRE_CHUNK, CHUNK_FIELDS, 4, 256, -ERANGE, "segment: found 256", false },
        { WIRE_CHUNK, CHUNK_FIELDS + 4, 4, 3, -ERANGE, "index: found 3, expected 0 to 2", false },
        { WIRE_CHUNK, CHUNK_FIELDS + 4, 4, UINT32_MAX, -ERANGE, "index: found 4294967295", false },
        { WIRE_CHUNK, CHUNK_FIELDS + 4, 4, 1, -ERANGE, "payload bytes: found 1808, expected 4096",
          false },
        { WIRE_CHUNK, CHUNK_FIELDS + 8, 4, 4, -ERANGE, "count: found 4, expected 3 to 3", false },
        { WIRE_CHUNK, CHUNK_FIELDS + 12, 4, 0, -ERANGE, "chunk_bytes: found 0", false },
        { WIRE_CHUNK, CHUNK_FIELDS + 16, 4, UINT32_MAX, -ERANGE, "segment bytes: found 4294967295",
          false },
        { WIRE_QUESTION, 16, 4, 0, -ERANGE, "ask: found 0, expected 1 to", false },
        { WIRE_QUESTION, 16, 4, UINT32_MAX, -ERANGE, "ask: found 4294967295", false },
        { WIRE_QUESTION, 20, 1, 'Z', -EBADMSG, "magic: found", false },
        { WIRE_QUESTION, 25, 1, WIRE_QUESTION, -ERANGE,
          "question: holds a question, expected a manifest-final", false },
        { WIRE_QUESTION, 60, 1, 1, -EBADMSG, "hash: the body of manifest-final", false },
        { WIRE_GONE, 36, 1, 0, -ERANGE, "reason: found 0, expected 1 to 4", false },
        { WIRE_GONE, 36, 1, 5, -ERANGE, "reason: found 5", false },
        { WIRE_GONE, 37, 1, 0, -EBADMSG, "gone: 8 bytes beyond its last field", false },
        { WIRE_RECEIPT, 68, 1, 4, -ERANGE, "result: found 4, expected 1 to 3", false },
        { WIRE_RECEIPT, 68, 1, WIRE_COMPLETE, -ERANGE, "ranges: found 2, expected 0 to 0", false },
        { WIRE_RECEIPT, 78, 1, 65, -ERANGE, "ranges: found 65, expected 0 to 64", false },
        { WIRE_RECEIPT, 79, 1, 33, -ERANGE, "needs: found 33, expected 0 to 32", false },
        { WIRE_RECEIPT, 80, 1, 2, -ERANGE, "range segment: found 2", false },
        { WIRE_RECEIPT, 81, 4, UINT32_MAX, -ERANGE, "range first: found 4294967295", false },
        { WIRE_RECEIPT, 85, 4, 0, -ERANGE, "range count: found 0", false },
        { WIRE_RECEIPT, 85, 4, UINT32_MAX, -ERANGE, "range count: found 4294967295", false },
        { WIRE_ARTIFACT, 48, 1, 0, -ERANGE, "artifact kind: found 0", false },
        { WIRE_ARTIFACT, 50, 1, '/', -ERANGE, "name: found '/oyota.dbc'", false },
        { WIRE_ARTIFACT, 50, 1, '.', -ERANGE, "name: found '.oyota.dbc'", false },
        { WIRE_ARTIFACT, 51, 1, 0x07, -ERANGE, "name: byte 0x07 at 1", false },
        { WIRE_ARTIFACT, 60, 4, 0, -ERANGE, "raw_bytes: found 0", false },
        { WIRE_ARTIFACT, 60, 4, ARTIFACT_RAW_BYTES_MAX + 1, -ERANGE, "raw_bytes: found 16777217",
          false },
        { WIRE_STATUS, 41, 1, 0, -ERANGE, "state: found 0", false },
        { WIRE_STATUS, 42, 1, 128, -ERANGE, "version: 128 bytes, at most 127", false },
        { WIRE_STATUS, 43, 1, 0x1b, -ERANGE, "version: byte 0x1b", false },
        { WIRE_STATUS, 213, 1, 9, -ERANGE, "clocks: found 9, expected 0 to 8", false },
        { WIRE_STATUS, 238, 1, 5, -ERANGE, "clock origin: found 5", false },
        { WIRE_STATUS, 237, 1, 0x80, -ERANGE, "clock uncertainty: found -", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct broken *c = &cases[i];
        struct wire_value value = sample_value(c->kind), back;
        struct err err = { 0 };
        size_t size = encode(&value);
        assert_true(c->at + c->width <= size);
        if (c->width == 4)
            store_le32(bytes + c->at, c->value);
        else if (c->width == 2)
            store_le16(bytes + c->at, (uint16_t)c->value);
        else
            bytes[c->at] = (uint8_t)c->value;
        if (!c->keep_hash)
            fix_hash(size);
        int rc = wire_decode(bytes, size, &err, &back);
        if (rc != c->want || !strstr(err.text, c->says))
            fail_msg("case %zu (%s byte %zu): rc %d, '%s', expected %d, '%s'", i,
                     wire_kind_name(c->kind), c->at, rc, err.text, c->want, c->says);
    }
}

/* K6: the sender is held to the same limits, so that a car cannot send what no sink takes. */
static void test_encode_refuses_what_decode_would(void **state)
{
    struct wire_value value = sample_value(WIRE_OPEN);
    struct err err = { 0 };

    (void)state;
    value.open.pseudonym[0] = '\0';
    assert_int_equal(wire_encode(&value, bytes, sizeof bytes, &err), -ERANGE);
    assert_non_null(strstr(err.text, "pseudonym"));
    value = sample_value(WIRE_CHUNK);
    value.chunk.size--;
    assert_int_equal(wire_encode(&value, bytes, sizeof bytes, &err), -ERANGE);
    value = sample_value(WIRE_FINAL);
    assert_int_equal(wire_encode(&value, bytes, 40, &err), -ENOBUFS);
}

/* K7: manifest-open, manifest-final and questions stay within 512 bytes with the longest names. */
static void test_envelopes_are_small(void **state)
{
    static const enum wire_kind kinds[] = { WIRE_OPEN, WIRE_FINAL, WIRE_QUESTION };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct wire_value value = sample_value(kinds[i]);
        struct wire_about *about = kinds[i] == WIRE_OPEN    ? &value.open
                                   : kinds[i] == WIRE_FINAL ? &value.final.about
                                                            : &value.question.final.about;
        memset(about->pseudonym, 'p', PSEUDONYM_MAX - 1);
        memset(about->rule, 'r', RULE_NAME_MAX - 1);
        size_t size = encode(&value);
        assert_true(size <= ENVELOPE_BYTES_MAX);
    }
}

/* K8: a question holds the very manifest-final, so both give a receipt's final_sha256. */
static void test_question_carries_the_hash_of_its_final(void **state)
{
    struct wire_value value = sample_value(WIRE_FINAL), back;
    uint8_t digest[SHA256_BYTES];

    (void)state;
    sha256_of(bytes, encode(&value), digest);
    value = sample_value(WIRE_QUESTION);
    assert_int_equal(wire_decode(bytes, encode(&value), NULL, &back), 0);
    assert_memory_equal(back.question.final_sha256, digest, SHA256_BYTES);
}

/* K9: chunks of every size cover a segment exactly. */
static void test_chunks_cover_a_segment(void **state)
{
    static const struct wire_segment segments[] = { { 1, 4096, { 0 } },
                                                    { 4096, 4096, { 0 } },
                                                    { 4097, 4096, { 0 } },
                                                    { SEGMENT_BYTES_MAX, CHUNK_BYTES_MAX, { 0 } },
                                                    { SEGMENT_BYTES_MAX - 1, 4096, { 0 } } };
    (void)state;
    for (size_t i = 0; i < sizeof segments / sizeof segments[0]; i++) {
        uint64_t sum = 0;
        for (uint32_t k = 0; k < wire_chunk_count(&segments[i]); k++)
            sum += wire_chunk_size(&segments[i], k);
        assert_int_equal(sum, segments[i].bytes);
    }
}

/* K10: an artifact is inflated only to its declared size, checked against its key. */
static void test_artifacts(void **state)
{
    static uint8_t raw[60000], packed[60000], back[60001];
    struct wire_artifact artifact = { .kind = WIRE_ARTIFACT_DBC, .name = "a.dbc",
                                      .raw_bytes = sizeof raw, .payload = packed };
    struct err err = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)(i * i >> 3);
    sha256_of(raw, sizeof raw, artifact.sha256);
    int size = wire_artifact_deflate(raw, sizeof raw, packed, sizeof packed);
    assert_true(size > 0);
    artifact.size = (uint32_t)size;
    assert_int_equal(wire_artifact_inflate(&artifact, back, &err), 0);
    assert_memory_equal(back, raw, sizeof raw);

    artifact.raw_bytes--; /* inflates to more than it says: a bomb is cut here */
    assert_int_equal(wire_artifact_inflate(&artifact, back, &err), -EBADMSG);
    artifact.raw_bytes += 2;
    assert_int_equal(wire_artifact_inflate(&artifact, back, &err), -EBADMSG);
    artifact.raw_bytes--;
    artifact.size--;
    assert_int_equal(wire_artifact_inflate(&artifact, back, &err), -EBADMSG);
    artifact.size++;
    artifact.sha256[0] ^= 1;
    assert_int_equal(wire_artifact_inflate(&artifact, back, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "its key says"));
    assert_int_equal(wire_artifact_deflate(raw, sizeof raw, packed, 100), -EMSGSIZE);
}

/* K11: names of topics. K12: murmur2 as Java has it (values from kafka's UtilsTest). */
static void test_topics_and_murmur2(void **state)
{
    static const struct {
        const char *key;
        int32_t want;
    } cases[] = { { "21", -973932308 },   { "foobar", -790332482 },
                  { "a-little-bit-long-string", -985981536 },
                  { "a-little-bit-longer-string", -1486304829 },
                  { "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971 },
                  { "abc", 479470107 } };
    char name[WIRE_TOPIC_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal((int32_t)wire_murmur2(cases[i].key, strlen(cases[i].key)), cases[i].want);
    assert_int_equal(wire_topic_name(WIRE_TOPIC_CLIP, "demo", name), 0);
    assert_string_equal(name, "roadloop.demo.clip.v1");
    assert_int_equal(wire_topic_name(WIRE_TOPIC_DLQ, "", name), -EINVAL);
    assert_int_equal(wire_topic_name(WIRE_TOPIC_DLQ, "a_b", name), -EINVAL);
}

static const char *header(const struct wire_headers *headers, const char *name)
{
    for (uint32_t i = 0; i < headers->count; i++)
        if (strcmp(headers->items[i].name, name) == 0)
            return headers->items[i].value;
    return "(none)";
}

/* K13: CloudEvents 1.0 in binary mode, and rl_* beside the value. */
static void test_headers(void **state)
{
    struct wire_headers headers;
    struct wire_value value = sample_value(WIRE_CHUNK);

    (void)state;
    wire_headers_of(&value, "/vehicle/car-0001", &headers);
    assert_string_equal(header(&headers, "ce_specversion"), "1.0");
    assert_string_equal(header(&headers, "ce_type"), "roadloop.chunk.v1");
    assert_string_equal(header(&headers, "ce_source"), "/vehicle/car-0001");
    assert_string_equal(header(&headers, "ce_id"), "11111111111111111111111111111111/1.2");
    assert_string_equal(header(&headers, "content-type"), "application/vnd.roadloop.chunk.v1");
    assert_string_equal(header(&headers, "rl_seq"), "2");
    assert_string_equal(header(&headers, "rl_total"), "3");
    value = sample_value(WIRE_OPEN);
    wire_headers_of(&value, "/vehicle/car-0001", &headers);
    assert_string_equal(header(&headers, "ce_time"), "2018-08-29T19:13:20.000000001Z");
    assert_string_equal(header(&headers, "ce_partitionkey"), "car-0001");
    /* Two states of a session, two answers about a clip are two events: a deduplicator keeps both. */
    for (int kind = WIRE_RECEIPT; kind <= WIRE_STATUS; kind += WIRE_STATUS - WIRE_RECEIPT) {
        struct wire_headers again;
        value = sample_value((enum wire_kind)kind);
        wire_headers_of(&value, "/x", &headers);
        wire_headers_of(&value, "/x", &again);
        assert_string_equal(header(&headers, "ce_id"), header(&again, "ce_id"));
        if (kind == WIRE_STATUS)
            value.status.disk_bytes++;
        else
            value.receipt.ranges[0].first++;
        wire_headers_of(&value, "/x", &again);
        assert_string_not_equal(header(&headers, "ce_id"), header(&again, "ce_id"));
    }
    for (int kind = WIRE_OPEN; kind < WIRE_KIND_END; kind++) {
        value = sample_value((enum wire_kind)kind);
        wire_headers_of(&value, "/x", &headers);
        assert_true(headers.count >= 7 && headers.count <= WIRE_HEADERS_MAX);
    }
}

/* K14: dataset.v1 is one JSON object, quotes and backslashes of the path escaped. */
static void test_dataset_is_json(void **state)
{
    struct wire_dataset dataset = { .about = sample_about(), .status = WIRE_DATASET_PARTIAL,
                                    .bytes = 20001, .path = "date=2018-08-29/a\"b\\c.rlc" };
    char json[WIRE_DATASET_MAX];

    (void)state;
    int size = wire_dataset_encode(&dataset, json, sizeof json);
    assert_true(size > 0);
    assert_int_equal(size, strlen(json));
    assert_non_null(strstr(json, "\"status\":\"partial\""));
    assert_non_null(strstr(json, "\"path\":\"date=2018-08-29/a\\\"b\\\\c.rlc\""));
    assert_non_null(strstr(json, "\"utc\":\"2018-08-29T19:13:20.000000001Z\""));
    dataset.about.utc_ns = 0;
    (void)wire_dataset_encode(&dataset, json, sizeof json);
    assert_non_null(strstr(json, "\"utc\":null"));
    assert_int_equal(wire_dataset_encode(&dataset, json, 100), -ENOBUFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_torn_values_are_refused),
        cmocka_unit_test(test_flipped_bits_are_noticed),
        cmocka_unit_test(test_each_broken_field_is_named),
        cmocka_unit_test(test_encode_refuses_what_decode_would),
        cmocka_unit_test(test_envelopes_are_small),
        cmocka_unit_test(test_question_carries_the_hash_of_its_final),
        cmocka_unit_test(test_chunks_cover_a_segment),
        cmocka_unit_test(test_artifacts),
        cmocka_unit_test(test_topics_and_murmur2),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_dataset_is_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
