/* The dataset: a clip gets in once, whole, whichever step is the last before a crash. */
#include "proto/clip_json.h"
#include "tests/sink_clips.h"
#include "tools/sink/publish.h"
#include "tools/sink/walk.h"

#include <errno.h>
#include <ftw.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#define UTC_NS INT64_C(1532700000000000000) /* 2018-07-27 */

static char root[64];
static struct made_clip clip, other, two;
static int pieces_fd[SEGMENTS_MAX];
static struct err err;

/* Fails the n-th operation, and with `crash` every one after it. */
struct faults {
    int at, seen;
    bool crash;
};

static int fault(void *context, const char *operation, const char *name)
{
    struct faults *f = context;

    (void)operation;
    (void)name;
    f->seen++;
    return f->at && (f->crash ? f->seen >= f->at : f->seen == f->at) ? -EIO : 0;
}

struct world {
    struct faults faults;
    struct files_faults hook;
    struct dataset *dataset;
    struct artifacts *artifacts;
    struct publisher *publisher;
};

static int64_t quarantine_bytes_max = INT64_C(1) << 30;

static int world_open(struct world *w, int at, bool crash)
{
    memset(w, 0, sizeof *w);
    w->faults = (struct faults){ .at = at, .crash = crash };
    w->hook = (struct files_faults){ fault, &w->faults };
    const struct dataset_config config = { .root = root, .faults = &w->hook,
                                           .member = (uint64_t)rand() };
    int rc = dataset_open(&config, &err, &w->dataset);
    if (!rc)
        rc = artifacts_open(dataset_files(w->dataset), NULL, &err, &w->artifacts);
    const struct publish_config publish = { .dataset = w->dataset, .artifacts = w->artifacts,
                                            .quarantine_bytes_max = quarantine_bytes_max };
    w->publisher = publish_open(&publish);
    return rc;
}

static void world_close(struct world *w)
{
    publish_close(w->publisher);
    artifacts_close(w->artifacts);
    dataset_close(w->dataset);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void clean(void)
{
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/test_dataset.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    clean();
    return 0;
}

static int publish(struct world *w, const struct made_clip *c, struct assembler_outcome *outcome,
                   struct record *record)
{
    struct dataset_piece pieces[SEGMENTS_MAX];

    memset(outcome, 0, sizeof *outcome);
    for (uint32_t k = 0; k < c->final.about.segments; k++) {
        FILE *file = tmpfile();
        fwrite(c->bytes[k], 1, c->final.segments[k].bytes, file);
        fflush(file);
        pieces_fd[k] = dup(fileno(file));
        fclose(file);
        pieces[k] = (struct dataset_piece){ .fd = pieces_fd[k], .bytes = c->final.segments[k].bytes };
        memcpy(pieces[k].sha256, c->final.segments[k].sha256, SHA256_BYTES);
    }
    int rc = publish_clip(w->publisher, &c->final, c->final_sha256, pieces, outcome, record, &err);
    for (uint32_t k = 0; k < c->final.about.segments; k++)
        close(pieces_fd[k]);
    return rc;
}

static void assert_stored(const struct made_clip *c)
{
    struct world w;
    struct record record;
    struct dataset_place place;
    char name[FILES_PATH_MAX], *bytes;
    size_t size, at = 0;

    assert_int_equal(world_open(&w, 0, false), 0);
    assert_int_equal(dataset_find(w.dataset, c->final.about.pseudonym, c->final.about.clip_id,
                                  &record, &place, &err), 1);
    dataset_name(&place, ".rlc", name);
    assert_int_equal(files_read(dataset_files(w.dataset), name, MADE_MAX * 2, &bytes, &size), 0);
    for (uint32_t k = 0; k < c->final.about.segments; k++) {
        assert_memory_equal(bytes + at, c->bytes[k], c->final.segments[k].bytes);
        at += c->final.segments[k].bytes;
    }
    assert_int_equal(at, size);
    free(bytes);
    dataset_name(&place, ".mcap", name);
    assert_true(files_exist(dataset_files(w.dataset), name));
    assert_string_equal(place.date, c->final.about.utc_ns ? "2018-07-27" : "unknown");
    world_close(&w);
}

static unsigned files_named(const char *suffix);
static const char *wanted_suffix;
static unsigned found_files;
static int count_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    size_t n = strlen(path), m = strlen(wanted_suffix);

    (void)st;
    (void)ftw;
    found_files += flag == FTW_F && n >= m && !strcmp(path + n - m, wanted_suffix);
    return 0;
}
static unsigned files_named(const char *suffix)
{
    wanted_suffix = suffix;
    found_files = 0;
    (void)nftw(root, count_one, 16, FTW_PHYS);
    return found_files;
}

/* For n = 1, 2, ... the n-th operation fails (alone, or with all after it: a crash). Then another
 * process does it all again. */
static void each_failure(const struct made_clip *c, bool crash)
{
    struct assembler_outcome outcome;
    struct record record;
    struct world w;
    int n = 0, rc;

    do {
        clean();
        rc = world_open(&w, ++n, crash);
        if (!rc)
            rc = publish(&w, c, &outcome, &record);
        if (!rc)
            assert_int_equal(outcome.result, ASSEMBLER_DONE);
        bool untouched = w.faults.seen < n;
        world_close(&w);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(world_open(&w, 0, false), 0);
            assert_int_equal(publish(&w, c, &outcome, &record), 0);
            assert_int_equal(outcome.result, ASSEMBLER_DONE);
            world_close(&w);
        }
        assert_stored(c);
        assert_int_equal(files_named(".json"), 1);
        assert_int_equal(files_named(".mcap") >= 1, 1);
        if (untouched)
            break;
    } while (n < 200);
    assert_true(n > 15 && n < 200);
    assert_int_equal(rc, 0);
    print_message("%d operations\n", n - 1);
}

static void test_a_crash_at_each_step_then_again_gives_the_clip_once(void **state)
{
    (void)state;
    each_failure(&clip, true);
    each_failure(&two, true);
}

static void test_a_failure_at_each_step_then_again_gives_the_clip_once(void **state)
{
    (void)state;
    each_failure(&clip, false);
}

static void test_a_failure_is_retried_by_the_same_process(void **state)
{
    struct assembler_outcome outcome;
    struct record record;
    struct world w;

    (void)state;
    for (int n = 2; n < 40; n++) {
        clean();
        if (world_open(&w, n, false)) {
            world_close(&w);
            continue;
        }
        if (publish(&w, &clip, &outcome, &record))
            assert_int_equal(publish(&w, &clip, &outcome, &record), 0);
        assert_int_equal(outcome.result, ASSEMBLER_DONE);
        world_close(&w);
        assert_stored(&clip);
        assert_true(files_named(".txt") <= 1); /* when its very unlink failed: swept later */
    }
}

static void test_other_content_goes_to_quarantine_and_the_first_stays(void **state)
{
    struct assembler_outcome outcome;
    struct record record;
    struct world w;

    (void)state;
    assert_int_equal(world_open(&w, 0, false), 0);
    assert_int_equal(publish(&w, &clip, &outcome, &record), 0);
    assert_int_equal(publish(&w, &other, &outcome, &record), 0);
    assert_int_equal(outcome.result, ASSEMBLER_QUARANTINED);
    assert_string_equal(outcome.reason, "another content is stored under this clip id");
    assert_true(dataset_quarantined(w.dataset, "car-1", other.final.about.clip_id,
                                    other.final_sha256));
    assert_false(dataset_quarantined(w.dataset, "car-1", other.final.about.clip_id,
                                     clip.final_sha256));
    world_close(&w);
    assert_stored(&clip);
    assert_int_equal(files_named(".rlc"), 2);
}

/* One car that sends nothing but rubbish cannot fill the disk; what is kept is known again. */
static void test_quarantine_of_a_car_has_an_end(void **state)
{
    struct assembler_outcome outcome;
    struct record record;
    struct world w;
    int64_t used, room = 0;

    (void)state;
    for (int round = 0; round < 2; round++) { /* the second: just what the first one took */
        quarantine_bytes_max = round ? room : INT64_C(1) << 30;
        assert_int_equal(world_open(&w, 0, false), 0);
        assert_int_equal(publish(&w, &clip, &outcome, &record), 0);
        assert_int_equal(publish(&w, &other, &outcome, &record), 0);
        assert_int_equal(outcome.result, ASSEMBLER_QUARANTINED);
        assert_int_equal(files_usage(dataset_files(w.dataset), "quarantine/vehicle=car-1", "#", &used), 0);
        room = used;
        world_close(&w);
    }
    quarantine_bytes_max = room; /* and not a clip more */
    assert_int_equal(world_open(&w, 0, false), 0);
    struct made_clip third = other;
    third.final_sha256[0] ^= 1;
    assert_int_equal(publish(&w, &third, &outcome, &record), 0);
    assert_int_equal(outcome.result, ASSEMBLER_NOT_KEPT);
    assert_non_null(strstr(outcome.reason, "quarantine has no room"));
    assert_non_null(strstr(outcome.reason, "another content is stored under this clip id"));
    assert_int_equal(files_usage(dataset_files(w.dataset), "quarantine/vehicle=car-1", "#", &used), 0);
    assert_int_equal(used, room);
    assert_int_equal(publish(&w, &other, &outcome, &record), 0); /* what is kept stays known */
    assert_int_equal(outcome.result, ASSEMBLER_QUARANTINED);
    world_close(&w);
    assert_int_equal(files_named(".txt"), 0);
    quarantine_bytes_max = INT64_C(1) << 30;
    assert_stored(&clip);
}

/* Bytes whose hashes are right and which are no clip, or another's. */
static void test_content_that_is_no_clip_goes_to_quarantine(void **state)
{
    static const char *const texts[] = {
        "garbage that is long enough to be a record of some kind, but is none at all .....", "" };
    struct assembler_outcome outcome;
    struct record record;
    struct made_clip bad = clip;
    struct world w;

    (void)state;
    assert_int_equal(world_open(&w, 0, false), 0);
    for (int kind = 0; kind < 4; kind++) {
        bad = clip;
        uint8_t *bytes = malloc(clip.final.segments[0].bytes);
        uint32_t size = clip.final.segments[0].bytes;
        memcpy(bytes, clip.bytes[0], size);
        if (kind == 0)
            memcpy(bytes, texts[0], size = (uint32_t)strlen(texts[0]));
        else if (kind == 1)
            size -= 7; /* torn manifest */
        else if (kind == 2)
            bytes[size / 2] ^= 4; /* a flipped bit inside a group */
        else {
            bad.final.about.ordinal++; /* announced as another clip */
            clip_id_make("car-1", bad.final.about.session_id, bad.final.about.ordinal,
                         bad.final.about.clip_id);
        }
        bad.bytes[0] = bytes;
        bad.final.segments[0].bytes = size;
        sha256_of(bytes, size, bad.final.segments[0].sha256);
        bad.final_sha256[0] = (uint8_t)kind;
        assert_int_equal(publish(&w, &bad, &outcome, &record), 0);
        assert_int_equal(outcome.result, ASSEMBLER_QUARANTINED);
        assert_true(outcome.reason[0] != '\0');
        assert_true(dataset_quarantined(w.dataset, "car-1", bad.final.about.clip_id,
                                        bad.final_sha256));
        free(bytes);
    }
    assert_int_equal(publish(&w, &clip, &outcome, &record), 0); /* a neighbour is unaffected */
    assert_int_equal(outcome.result, ASSEMBLER_DONE);
    world_close(&w);
    assert_stored(&clip);
}

static void test_a_segment_with_another_sha256_is_named(void **state)
{
    struct assembler_outcome outcome;
    struct record record;
    struct made_clip bad = two;
    struct world w;

    (void)state;
    assert_int_equal(world_open(&w, 0, false), 0);
    bad.final.segments[1].sha256[5] ^= 1;
    assert_int_equal(publish(&w, &bad, &outcome, &record), 0);
    assert_int_equal(outcome.result, ASSEMBLER_BAD_SEGMENT);
    assert_int_equal(outcome.bad_slot, 1);
    world_close(&w);
    assert_int_equal(files_named(".rlc"), 0);
}

static void test_a_json_that_rotted_is_made_again(void **state)
{
    struct assembler_outcome outcome;
    struct record record;
    struct dataset_place place;
    struct world w;
    char name[FILES_PATH_MAX], path[FILES_ROOT_MAX];

    (void)state;
    assert_int_equal(world_open(&w, 0, false), 0);
    assert_int_equal(publish(&w, &clip, &outcome, &record), 0);
    dataset_place(&clip.final.about, &place);
    dataset_name(&place, ".json", name);
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    fputs("{ \"clip\": tru", file);
    fclose(file);
    assert_int_equal(dataset_find(w.dataset, "car-1", clip.final.about.clip_id, &record, &place,
                                  &err), -EBADMSG);
    assert_int_equal(publish(&w, &clip, &outcome, &record), 0);
    assert_int_equal(outcome.result, ASSEMBLER_DONE);
    world_close(&w);
    assert_stored(&clip);
}

static void put_dbc(struct world *w, bool wrong)
{
    uint8_t zip[4096];
    char hex[SHA256_HEX];
    int size = wire_artifact_deflate(made_dbc, sizeof made_dbc - 1, zip, sizeof zip);
    struct wire_artifact artifact = { .kind = WIRE_ARTIFACT_DBC, .name = "demo.dbc",
                                      .raw_bytes = sizeof made_dbc - 1, .size = (uint32_t)size,
                                      .payload = zip };

    sha256_of(made_dbc, sizeof made_dbc - 1, artifact.sha256);
    artifact.sha256[0] ^= wrong;
    hex_from(artifact.sha256, SHA256_BYTES, hex);
    assert_int_equal(artifacts_put(w->artifacts, hex, 64, &artifact, &err), wrong ? -EBADMSG : 0);
}

static void test_without_its_database_a_clip_is_raw_and_reexport_makes_it_whole(void **state)
{
    struct assembler_outcome outcome;
    struct record record;
    struct dataset_place place;
    struct world w;
    struct made_clip raw;
    const struct made_config config = { .vehicle = "car-1", .ordinal = 70, .segments = 1,
                                        .groups = 2, .chunk_bytes = 4096, .with_dbc = true };
    struct publish_stats stats;

    (void)state;
    made_clip(&raw, &config);
    assert_int_equal(world_open(&w, 0, false), 0);
    put_dbc(&w, true); /* refused: it can only be missing, never wrong */
    assert_int_equal(publish(&w, &raw, &outcome, &record), 0);
    assert_int_equal(outcome.result, ASSEMBLER_DONE);
    assert_int_equal(outcome.need_count, 1);
    assert_int_equal(record.status, RECORD_RAW_ONLY);
    dataset_place(&raw.final.about, &place);
    assert_int_equal(publish_again(w.publisher, &place, &record, &err), 1);
    put_dbc(&w, false);
    assert_int_equal(publish_again(w.publisher, &place, &record, &err), 0);
    assert_int_equal(record.status, RECORD_COMPLETE);
    assert_true(strstr(record.mcap, ".r1.mcap") != NULL);
    assert_int_equal(dataset_find(w.dataset, "car-1", raw.final.about.clip_id, &record, &place,
                                  &err), 1);
    assert_int_equal(record.status, RECORD_COMPLETE);
    publish_stats(w.publisher, &stats);
    assert_int_equal(stats.raw_only, 1);
    world_close(&w);
    assert_stored(&raw);
    assert_int_equal(files_named(".mcap"), 2);
    made_free(&raw);
}

static void test_a_record_reads_back_and_broken_ones_are_refused(void **state)
{
    static const struct { const char *from, *to, *text; } edits[] = {
        { "\"format\": 1", "\"format\": 2", "field 'format'" },
        { "\"vehicle\": \"car-1\"", "\"vehicle\": \"../x\"", "field 'vehicle'" },
        { "\"status\": \"complete\"", "\"status\": \"fine\"", "field 'status'" },
        { "\"segment_count\": 2", "\"segment_count\": 9", "field 'segment_count'" },
        { "\"chunk_bytes\": 4096", "\"chunk_bytes\": 1", "field 'chunk_bytes'" },
        { "\"utc_start\": \"1532700000.000000000\"", "\"utc_start\": \"now\"", "field 'utc_start'" },
        { "\"needs\": []", "\"needs\": [7]", "field 'needs'" },
        { "\"rlc_sha256\": \"", "\"rlc_sha256\": \"zz", "field 'rlc_sha256'" },
    };
    struct record record = { .status = RECORD_COMPLETE, .about_known = true, .final_known = true,
                             .final = two.final, .rlc_bytes = 5 }, back;

    (void)state;
    snprintf(record.vehicle, sizeof record.vehicle, "car-1");
    memcpy(record.clip_id, two.final.about.clip_id, CLIP_ID_BYTES);
    char *text = record_write(&record, NULL);
    assert_int_equal(record_read(text, strlen(text), &back, &err), 0);
    assert_memory_equal(&back.final, &record.final, sizeof back.final);
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        char edited[8192], *at = strstr(text, edits[i].from);
        assert_non_null(at);
        snprintf(edited, sizeof edited, "%.*s%s%s", (int)(at - text), text, edits[i].to,
                 at + strlen(edits[i].from));
        assert_int_equal(record_read(edited, strlen(edited), &back, &err), -EBADMSG);
        if (strncmp(err.text, edits[i].text, strlen(edits[i].text)))
            fail_msg("%s: %s", edits[i].to, err.text);
    }
    for (size_t n = 0; n < strlen(text); n += 17)
        assert_int_equal(record_read(text, n, &back, &err), -EBADMSG);
    free(text);
}

static void test_times_keep_every_nanosecond(void **state)
{
    static const int64_t times[] = { 0, 1, -1, 999999999, -1500000000, INT64_MAX, -INT64_MAX };
    static const char *const bad[] = { "", "1", "1.5", ".000000000", "1.0000000000", "x", "--1.000000000",
                                       "99999999999.000000000" };
    char text[32];
    int64_t back;

    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        clip_json_time(times[i], text);
        assert_int_equal(record_time_read(text, &back), 0);
        assert_true(back == times[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(record_time_read(bad[i], &back), -EINVAL);
}

static int make_clips(void **state)
{
    struct made_config config = { .vehicle = "car-1", .ordinal = 5, .segments = 1, .groups = 3,
                                  .chunk_bytes = 4096, .utc_ns = UTC_NS };

    (void)state;
    made_clip(&clip, &config);
    config.fill = 9;
    made_clip(&other, &config);
    config = (struct made_config){ .vehicle = "car-1", .ordinal = 6, .segments = 2, .groups = 2,
                                   .chunk_bytes = 4096, .utc_ns = UTC_NS };
    made_clip(&two, &config);
    return 0;
}

static int free_clips(void **state)
{
    (void)state;
    made_free(&clip);
    made_free(&other);
    made_free(&two);
    return 0;
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_crash_at_each_step_then_again_gives_the_clip_once),
        T(test_a_failure_at_each_step_then_again_gives_the_clip_once),
        T(test_a_failure_is_retried_by_the_same_process),
        T(test_quarantine_of_a_car_has_an_end),
        T(test_other_content_goes_to_quarantine_and_the_first_stays),
        T(test_content_that_is_no_clip_goes_to_quarantine),
        T(test_a_segment_with_another_sha256_is_named),
        T(test_a_json_that_rotted_is_made_again),
        T(test_without_its_database_a_clip_is_raw_and_reexport_makes_it_whole),
        T(test_a_record_reads_back_and_broken_ones_are_refused),
        T(test_times_keep_every_nanosecond),
    };
    return cmocka_run_group_tests(tests, make_clips, free_clips);
}
