#include "daemon/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static uint8_t recordings[2][SHA256_BYTES] = { { 1 }, { 2 } };
static uint8_t pack[SHA256_BYTES] = { 3 };
static struct clip_dbc dbcs[2] = { { "can0", "a.dbc", { 4 } }, { "", "b.dbc", { 5 } } };

static void make(struct session_inputs *inputs, struct shaping *shaping)
{
    *inputs = (struct session_inputs){ .recordings = (const uint8_t(*)[SHA256_BYTES])recordings,
                                       .recording_count = 1,
                                       .pack_sha256 = pack,
                                       .dbcs = dbcs,
                                       .dbc_count = 2,
                                       .engine_version = 1 };
    shaping_init(shaping);
}

/* Whatever may change a byte of a clip changes the id; what may not (a file's name) does not. */
static void test_the_id_depends_on_all_that_shapes_clips(void **state)
{
    struct session base, other;
    struct session_inputs inputs;
    struct shaping shaping;

    (void)state;
    make(&inputs, &shaping);
    session_recorded(&base, &shaping, &inputs);
    session_recorded(&other, &shaping, &inputs);
    assert_memory_equal(base.id, other.id, SESSION_ID_BYTES);
    dbcs[0].name = "renamed.dbc";
    session_recorded(&other, &shaping, &inputs);
    assert_memory_equal(base.id, other.id, SESSION_ID_BYTES);
    for (int change = 0; change < 6; change++) {
        make(&inputs, &shaping);
        struct clip_dbc moved[2] = { dbcs[0], dbcs[1] };

        switch (change) {
        case 0: inputs.recording_count = 2; break;
        case 1: inputs.pack_sha256 = NULL; break;
        case 2: inputs.engine_version = 2; break;
        case 3: shaping.join_ns++; break;
        case 4: moved[0].bus = "can1"; inputs.dbcs = moved; break;
        default: inputs.dbc_count = 1; break;
        }
        session_recorded(&other, &shaping, &inputs);
        assert_memory_not_equal(base.id, other.id, SESSION_ID_BYTES);
    }
}

static void test_clip_ids_differ_by_ordinal_vehicle_and_session(void **state)
{
    struct session session, other;
    struct shaping shaping;
    uint8_t a[CLIP_ID_BYTES], b[CLIP_ID_BYTES], random[SESSION_ID_BYTES] = { 9 };

    (void)state;
    shaping_init(&shaping);
    session_live(&session, &shaping, random);
    session_clip_id(&session, 0, a);
    session_clip_id(&session, 1, b);
    assert_memory_not_equal(a, b, CLIP_ID_BYTES);
    (void)snprintf(shaping.vehicle, sizeof shaping.vehicle, "other");
    session_live(&other, &shaping, random);
    session_clip_id(&other, 0, b);
    assert_memory_not_equal(a, b, CLIP_ID_BYTES);
    random[0]++;
    session_live(&other, &shaping, random);
    session_clip_id(&other, 0, a);
    assert_memory_not_equal(a, b, CLIP_ID_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_id_depends_on_all_that_shapes_clips),
        cmocka_unit_test(test_clip_ids_differ_by_ordinal_vehicle_and_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
