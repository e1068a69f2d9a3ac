/* The clip store on a file system in memory: every operation fails once, the power goes after every
 * operation, and after each the store is opened again and has to keep G1 (no sealed clip is lost
 * unless a row says why) and G3 (the books close). Planted faults show that the harness would see a
 * store that does not. */
#include "storage/clipstore.h"

#include "tests/memfs.h"
#include "tests/segments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define CLIPS 3
#define S NS_PER_S

/* What a run was told is sealed. */
struct acked {
    uint8_t clip_id[CLIP_ID_BYTES];
    unsigned segments;
    uint8_t sha256[SEGMENTS_MAX][SHA256_BYTES];
};

struct world {
    struct memfs fs;
    struct clipstore *store;
    struct clipstore_config config;
    struct acked acked[16];
    unsigned acked_count;
    int64_t now_ns;
};

static struct made made[CLIPS][SEGMENTS_MAX]; /* clip 1 is of the crash class: two segments */

static unsigned segments_of(unsigned clip) { return clip == 1 ? 2 : 1; }

static int make_all(void **state)
{
    (void)state;
    for (unsigned clip = 0; clip < CLIPS; clip++)
        for (unsigned s = 0; s < segments_of(clip); s++) {
            const struct made_config config = { .ordinal = clip, .priority = clip == 1 ? 9 : 3,
                                                .segment = s, .segments = segments_of(clip),
                                                .groups = 2, .seed = s };
            made_open(&made[clip][s], &config);
        }
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    for (unsigned clip = 0; clip < CLIPS; clip++)
        for (unsigned s = 0; s < SEGMENTS_MAX; s++)
            made_close(&made[clip][s]);
    return 0;
}

static struct world *world_open(int64_t quota_bytes)
{
    struct world *w = calloc(1, sizeof *w);

    memfs_init(&w->fs);
    w->config = (struct clipstore_config){ .dir = "/s", .io = { &memfs_ops, &w->fs },
                                           .db_vfs = "memfs", .chunk_bytes = 4096,
                                           .quota_bytes = quota_bytes };
    return w;
}

static void world_close(struct world *w)
{
    clipstore_close(w->store);
    memfs_deinit(&w->fs);
    free(w);
}

static int open_store(struct world *w)
{
    struct err err = { 0 };
    int rc = clipstore_open(&w->config, w->now_ns, &err, &w->store);

    if (rc)
        w->store = NULL;
    return rc;
}

static void close_store(struct world *w)
{
    clipstore_close(w->store);
    w->store = NULL;
}

static void forget_acked(struct world *w)
{
    memset(w->acked, 0, sizeof w->acked);
    w->acked_count = 0;
}

static void note_sealed(struct world *w, const struct made *m)
{
    struct acked *a = NULL;

    for (unsigned i = 0; i < w->acked_count; i++)
        if (!memcmp(w->acked[i].clip_id, m->header.clip_id, CLIP_ID_BYTES))
            a = &w->acked[i];
    if (!a) {
        a = &w->acked[w->acked_count++];
        memcpy(a->clip_id, m->header.clip_id, CLIP_ID_BYTES);
    }
    memcpy(a->sha256[a->segments++], m->sha256, SHA256_BYTES);
}

static int put_segment(struct world *w, const struct made *m)
{
    for (unsigned n = 0; n < m->groups + 2; n++) {
        struct recorder_piece piece = made_piece(m, n);
        int rc = clipstore_put(w->store, &piece, w->now_ns);
        if (rc)
            return rc;
    }
    note_sealed(w, m);
    return 0;
}

/* As the uploader would: sent, acked, and a receipt with the SHA-256 of our own manifest-final. */
static void deliver(struct world *w, const struct job *job)
{
    struct wire_value value = { .kind = WIRE_FINAL };
    struct outcome outcome = { .kind = OUTCOME_SENT };
    uint8_t bytes[ENVELOPE_BYTES_MAX];

    value.final = job->final;
    int size = wire_encode(&value, bytes, sizeof bytes, NULL);
    assert_true(size > 0);
    memcpy(outcome.clip_id, job->final.about.clip_id, CLIP_ID_BYTES);
    sha256_of(bytes, (size_t)size, outcome.sha256);
    for (outcome.kind = OUTCOME_SENT; outcome.kind <= OUTCOME_RECEIPTED; outcome.kind++)
        clipstore_outcome(w->store, &outcome, w->now_ns);
}

static void turns(struct world *w)
{
    for (unsigned i = 0; i < 4; i++) {
        w->now_ns += 2 * S;
        (void)clipstore_turn(w->store, w->now_ns);
    }
}

/* Everything a store does in its life; goes on after errors, as the daemon does. */
static void live(struct world *w)
{
    struct job job;

    if (open_store(w) != 0)
        return;
    for (unsigned clip = 0; clip < CLIPS; clip++) {
        for (unsigned s = 0; s < segments_of(clip); s++)
            if (put_segment(w, &made[clip][s]) != 0)
                break;
        if (clip == 1 && clipstore_next_job(w->store, &job) == 1 &&
            job.sealed == job.final.about.segments)
            deliver(w, &job);
        turns(w);
    }
    close_store(w);
}

/* ---- Invariants ---- */

/* A NULL or what is wrong with one clip that was sealed. */
static const char *clip_problem(struct world *w, const struct acked *a)
{
    struct outbox_clip clip;
    char hex[CLIP_ID_HEX], path[MEMFS_PATH];
    uint8_t digest[SHA256_BYTES];

    if (clipstore_find(w->store, a->clip_id, &clip) != 1)
        return "a sealed clip has no row";
    if (clip.state == OUTBOX_EVICTED && strncmp(clip.reason, "quota", 5) &&
        strcmp(clip.reason, "the disk is full"))
        return "a sealed clip is lost";
    if (clip.state >= OUTBOX_RECEIPTED && clip.state != OUTBOX_PARKED)
        return NULL; /* its bytes may be gone */
    if (clip.state == OUTBOX_PARKED)
        return "a sealed clip is parked";
    hex_from(a->clip_id, CLIP_ID_BYTES, hex);
    for (unsigned s = 0; s < a->segments; s++) {
        (void)snprintf(path, sizeof path, "/s/clips/%s-%u.rlc", hex, s);
        int at = memfs_find(&w->fs.now, path);
        if (at < 0)
            return "a sealed segment has no file";
        const struct memnode *node = &w->fs.nodes[w->fs.now.items[at].node];
        sha256_of(node->data, node->size, digest);
        if (memcmp(digest, a->sha256[s], SHA256_BYTES))
            return "a sealed segment has other bytes";
    }
    return clip.sealed == clip.final.about.segments ? NULL : "a clip lacks its last segment";
}

static const char *problem(struct world *w)
{
    struct outbox_books books;
    struct clipstore_stats stats;

    if (open_store(w) != 0)
        return "the store does not open";
    if (clipstore_books(w->store, &books) != 0 || !outbox_books_close(&books))
        return "the books do not close";
    clipstore_stats(w->store, &stats);
    if (stats.quarantined || stats.rebuilt)
        return "something had to be quarantined";
    for (unsigned i = 0; i < w->acked_count; i++) {
        const char *text = clip_problem(w, &w->acked[i]);
        if (text)
            return text;
    }
    close_store(w); /* a second opening finds nothing to do */
    if (open_store(w) != 0)
        return "the store does not open twice";
    clipstore_stats(w->store, &stats);
    if (stats.adopted || stats.interrupted || stats.lost)
        return "recovery is not idempotent";
    return NULL;
}

static void assert_sound(struct world *w)
{
    const char *text = problem(w);

    if (text)
        fail_msg("%s", text);
}

/* ---- Tests ---- */

static void test_life_without_faults(void **state)
{
    struct world *w = world_open(1 << 20);
    struct outbox_books books;
    struct clipstore_stats stats;

    (void)state;
    live(w);
    assert_int_equal(w->acked_count, CLIPS);
    assert_sound(w);
    assert_int_equal(clipstore_books(w->store, &books), 0);
    assert_int_equal(books.sealed, CLIPS);
    assert_int_equal(books.delivered, 1);
    assert_int_equal(books.pending, CLIPS - 1);
    clipstore_stats(w->store, &stats);
    assert_int_equal(stats.disk_bytes, (int64_t)(made[1][0].size + made[1][1].size + made[2][0].size +
                                                 made[0][0].size) -
                                           (int64_t)(made[1][0].size + made[1][1].size));
    world_close(w);
}

/* At most 4 syncs a segment, SQLite's counted in. */
static void test_syncs_of_a_segment(void **state)
{
    struct world *w = world_open(1 << 20);

    (void)state;
    assert_int_equal(open_store(w), 0);
    for (unsigned clip = 0; clip < CLIPS; clip++)
        for (unsigned s = 0; s < segments_of(clip); s++) {
            uint64_t before = w->fs.syncs;
            assert_int_equal(put_segment(w, &made[clip][s]), 0);
            print_message("segment %u.%u: %u syncs\n", clip, s, (unsigned)(w->fs.syncs - before));
            assert_in_range(w->fs.syncs - before, 3, 4);
        }
    world_close(w);
}

/* Later states are committed together: a burst of outcomes costs one sync. */
static void test_later_states_are_grouped(void **state)
{
    struct world *w = world_open(1 << 20);
    struct job job;

    (void)state;
    assert_int_equal(open_store(w), 0);
    for (unsigned clip = 0; clip < CLIPS; clip++)
        for (unsigned s = 0; s < segments_of(clip); s++)
            assert_int_equal(put_segment(w, &made[clip][s]), 0);
    uint64_t before = w->fs.syncs;
    while (clipstore_next_job(w->store, &job) == 1)
        deliver(w, &job);
    assert_int_equal(w->fs.syncs, before);
    turns(w);
    assert_in_range(w->fs.syncs - before, 1, 4); /* states, removals, one checkpoint at most */
    world_close(w);
}

static void fail_each(int fail_with, unsigned *ret_runs)
{
    for (uint64_t n = 1;; n++) {
        struct world *w = world_open(1 << 20);
        w->fs.fail_at = n;
        w->fs.fail_with = fail_with;
        live(w);
        bool untouched = w->fs.ops < n;
        w->fs.fail_at = 0;
        const char *text = problem(w);
        if (text)
            fail_msg("operation %u failing with errno %d: %s", (unsigned)n, fail_with, text);
        world_close(w);
        if (untouched)
            break;
        ++*ret_runs;
    }
}

static void test_each_operation_fails_once(void **state)
{
    unsigned runs = 0;

    (void)state;
    fail_each(EIO, &runs);
    fail_each(ENOSPC, &runs);
    assert_true(runs > 100);
    print_message("%u runs, each with one failing operation\n", runs);
}

/* The number of crash points that end in a problem. */
static unsigned crash_each(int64_t quota_bytes, void (*plant)(struct world *w), unsigned *ret_runs,
                           const char **ret_text)
{
    unsigned bad = 0;

    for (uint64_t n = 1;; n++) {
        bool reached = false;
        for (uint32_t mode = 0; mode < 5; mode++) {
            struct world *w = world_open(quota_bytes);
            if (plant)
                plant(w);
            w->fs.crash_at = n;
            live(w);
            reached = w->fs.dead;
            w->fs.lie_sync = w->fs.lie_dir = w->fs.lie_db = false;
            memfs_lose(&w->fs, mode < 2 ? (enum memfs_loss)mode : MEMFS_RANDOM,
                       mode * 1000003u + (uint32_t)n);
            const char *text = reached ? problem(w) : NULL;
            if (text) {
                bad++;
                *ret_text = text;
                if (!plant)
                    print_message("crash at %u, mode %u: %s\n", (unsigned)n, mode, text);
            }
            world_close(w);
            *ret_runs += reached;
        }
        if (!reached)
            return bad;
    }
}

static void test_power_loss_after_each_operation(void **state)
{
    unsigned runs = 0;
    const char *text = NULL;

    (void)state;
    assert_int_equal(crash_each(1 << 20, NULL, &runs, &text), 0);
    print_message("%u power losses\n", runs);
    assert_true(runs > 300);
}

static void test_power_loss_while_evicting(void **state)
{
    unsigned runs = 0;
    const char *text = NULL;
    int64_t quota = (int64_t)(made[1][0].size + made[1][1].size + made[2][0].size / 2);

    (void)state;
    assert_int_equal(crash_each(quota < 65536 ? 65536 : quota, NULL, &runs, &text), 0);
}

static const uint8_t made_session[SESSION_ID_BYTES] = { 1, 2, 3 };

/* NULL, or what a recording that was played again to its end has not mended. */
static const char *played_again(struct world *w)
{
    struct outbox_books books;
    const char *text;

    forget_acked(w);
    live(w);
    if (w->acked_count != CLIPS)
        return "the second run lacks a clip";
    for (unsigned i = 0; i < CLIPS; i++)
        if (w->acked[i].segments != segments_of(i))
            return "the second run lacks a segment";
    if ((text = problem(w)))
        return text;
    if (clipstore_books(w->store, &books) != 0 || books.sealed != CLIPS)
        return "a clip was made twice";
    return NULL;
}

/* The session of a recording is the same again: after any power loss its second run makes every clip
 * whole, byte for byte, once; what the first run had sealed of it stays as it is. */
static void test_recording_played_again_after_each_power_loss(void **state)
{
    unsigned runs = 0;

    (void)state;
    for (uint64_t n = 1;; n++) {
        bool reached = false;
        for (uint32_t mode = 0; mode < 5; mode++) {
            struct world *w = world_open(1 << 20);
            memcpy(w->config.session_id, made_session, SESSION_ID_BYTES);
            w->fs.crash_at = n;
            live(w);
            reached = w->fs.dead;
            memfs_lose(&w->fs, mode < 2 ? (enum memfs_loss)mode : MEMFS_RANDOM,
                       mode * 77u + (uint32_t)n);
            const char *text = reached ? played_again(w) : NULL;
            if (text)
                fail_msg("crash at %u, mode %u: %s", (unsigned)n, mode, text);
            runs += reached;
            world_close(w);
        }
        if (!reached)
            break;
    }
    print_message("%u power losses, played again\n", runs);
    assert_true(runs > 300);
}

static void plant_no_data_sync(struct world *w) { w->fs.lie_sync = true; }
static void plant_no_dir_sync(struct world *w) { w->fs.lie_dir = true; }
static void plant_no_db_sync(struct world *w) { w->fs.lie_db = true; }

/* Negative controls: a harness that finds nothing with these proves nothing. */
static void test_planted_faults_are_caught(void **state)
{
    static const struct {
        const char *name;
        void (*plant)(struct world *w);
    } faults[] = { { "no fdatasync of segments", plant_no_data_sync },
                   { "no fsync of folders", plant_no_dir_sync },
                   { "no sync of the database", plant_no_db_sync } };
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        unsigned runs = 0;
        const char *text = NULL;
        unsigned bad = crash_each(1 << 20, faults[i].plant, &runs, &text);
        print_message("%s: caught in %u of %u power losses (%s)\n", faults[i].name, bad, runs,
                      text ? text : "never");
        assert_true(bad > 0);
    }
}

/* ---- Recovery of torn and damaged things ---- */

static void path_of(const struct made *m, const char *extension, char path[MEMFS_PATH])
{
    char hex[CLIP_ID_HEX];

    hex_from(m->header.clip_id, CLIP_ID_BYTES, hex);
    (void)snprintf(path, MEMFS_PATH, "/s/clips/%s-%u%s", hex, m->header.segment, extension);
}

static void plant_file(struct world *w, const struct made *m, const char *extension, size_t size)
{
    char path[MEMFS_PATH];

    path_of(m, extension, path);
    int fd = memfs_create(&w->fs, path);
    assert_true(fd >= 0);
    assert_int_equal(memfs_write(&w->fs, fd, m->bytes, size), 0);
}

/* A torn segment is kept up to its last whole group and closed `interrupted`, at every cut. */
static void test_torn_segments_are_closed(void **state)
{
    const struct made *m = &made[0][0];

    (void)state;
    for (size_t cut = 0; cut <= m->size; cut += cut > m->head_size + 40 && cut + 200 < m->size ? 97
                                                                                              : 1) {
        struct world *w = world_open(1 << 20);
        struct outbox_clip clip;
        struct clipstore_stats stats;
        plant_file(w, m, ".open", cut);
        assert_int_equal(open_store(w), 0);
        clipstore_stats(w->store, &stats);
        int found = clipstore_find(w->store, m->header.clip_id, &clip);
        assert_int_equal(found + (int)stats.torn_removed, 1); /* kept or nothing to keep */
        assert_int_equal(stats.interrupted, found && cut < m->size);
        if (cut >= m->head_size)
            assert_int_equal(found, 1);
        if (cut == m->size)
            assert_memory_equal(clip.final.segments[0].sha256, m->sha256, SHA256_BYTES);
        close_store(w);
        assert_sound(w);
        world_close(w);
    }
}

/* A lone pre-roll gets a segment 1 without groups, so that the clip is whole and can be sent. */
static void test_lone_pre_roll_is_finished(void **state)
{
    struct world *w = world_open(1 << 20);
    struct outbox_clip clip;

    (void)state;
    assert_int_equal(open_store(w), 0);
    assert_int_equal(put_segment(w, &made[1][0]), 0);
    close_store(w);
    assert_int_equal(open_store(w), 0);
    assert_int_equal(clipstore_find(w->store, made[1][0].header.clip_id, &clip), 1);
    assert_int_equal(clip.sealed, 2);
    assert_memory_equal(clip.final.segments[0].sha256, made[1][0].sha256, SHA256_BYTES);
    world_close(w);
}

static void put_failed(struct world *w, const struct made *m)
{
    struct recorder_piece piece = { .kind = RECORDER_FAILED, .segment = m->header.segment,
                                    .segments = m->header.segments };

    memcpy(piece.clip_id, m->header.clip_id, CLIP_ID_BYTES);
    assert_int_equal(clipstore_put(w->store, &piece, w->now_ns), 0);
}

static unsigned sealed_of(struct world *w, const struct made *m)
{
    struct outbox_clip clip;

    return clipstore_find(w->store, m->header.clip_id, &clip) == 1 ? clip.sealed : 0;
}

/* A torn segment of the recording that runs is made again by it: kept, it would take the place of
 * the whole one. Of another session nobody makes it again: it is kept and closed. */
static void test_torn_segments_of_the_running_recording_go(void **state)
{
    const struct made *m = &made[0][0];

    (void)state;
    for (unsigned ours = 0; ours < 2; ours++) {
        struct world *w = world_open(1 << 20);
        struct clipstore_stats stats;
        struct outbox_books books;
        memcpy(w->config.session_id, made_session, ours ? SESSION_ID_BYTES : 1);
        plant_file(w, m, ".open", m->group_end[0] + 10);
        assert_int_equal(open_store(w), 0);
        clipstore_stats(w->store, &stats);
        assert_int_equal(stats.discarded, ours);
        assert_int_equal(stats.interrupted, !ours);
        assert_int_equal(sealed_of(w, m), !ours);
        /* `ours`: as if it had never been; else -EEXIST, which costs no other clip. */
        assert_int_equal(put_segment(w, m), ours ? 0 : -EEXIST);
        assert_int_equal(clipstore_books(w->store, &books), 0);
        assert_int_equal(books.sealed, 1);
        assert_true(outbox_books_close(&books));
        world_close(w);
    }
}

/* Segment 0 stays through a reopening within its session, and the late segment 1 completes it; what
 * is put again must be the same, else it is refused and nothing changes. */
static void test_late_segment_completes_the_clip(void **state)
{
    struct world *w = world_open(1 << 20);
    struct clipstore_stats stats;
    struct outbox_clip clip;
    struct made other;

    (void)state;
    memcpy(w->config.session_id, made_session, SESSION_ID_BYTES);
    assert_int_equal(open_store(w), 0);
    assert_int_equal(put_segment(w, &made[1][0]), 0);
    close_store(w);
    assert_int_equal(open_store(w), 0);
    assert_int_equal(sealed_of(w, &made[1][0]), 1);
    forget_acked(w);
    assert_int_equal(put_segment(w, &made[1][0]), 0);
    assert_int_equal(put_segment(w, &made[1][1]), 0);
    assert_int_equal(sealed_of(w, &made[1][0]), 2);
    clipstore_stats(w->store, &stats);
    assert_int_equal(stats.repeated, 1);
    assert_int_equal(stats.segments_sealed, 1);
    assert_int_equal(stats.disk_bytes, made[1][0].size + made[1][1].size);
    const struct made_config config = { .ordinal = 1, .priority = 9, .segments = 2, .groups = 3,
                                        .seed = 5 };
    made_open(&other, &config);
    assert_int_equal(put_segment(w, &other), -EEXIST);
    assert_int_equal(clipstore_find(w->store, other.header.clip_id, &clip), 1);
    assert_memory_equal(clip.final.segments[0].sha256, made[1][0].sha256, SHA256_BYTES);
    made_close(&other);
    close_store(w);
    assert_sound(w);
    world_close(w);
}

/* A crash clip whose rest was given up, or whose input ended, is whole at once, not at the next start. */
static void test_lone_pre_roll_is_finished_in_a_turn(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        struct world *w = world_open(1 << 20);
        memcpy(w->config.session_id, made_session, SESSION_ID_BYTES);
        assert_int_equal(open_store(w), 0);
        assert_int_equal(put_segment(w, &made[1][0]), 0);
        turns(w);
        assert_int_equal(sealed_of(w, &made[1][0]), 1); /* the rest may still come */
        if (way == 0) { /* the recorder gives up */
            struct recorder_piece piece = made_piece(&made[1][1], 0);
            assert_int_equal(clipstore_put(w->store, &piece, w->now_ns), 0);
            put_failed(w, &made[1][1]);
            turns(w);
        } else if (way == 1) { /* the disk does; closing fails too, at first */
            w->fs.fail_with = EIO;
            w->fs.fail_at = w->fs.ops + 1;
            assert_int_equal(put_segment(w, &made[1][1]), -EIO);
            w->fs.fail_at = w->fs.ops + 1;
            (void)clipstore_turn(w->store, w->now_ns);
            assert_int_equal(sealed_of(w, &made[1][0]), 1);
            w->now_ns += 11 * S;
            turns(w);
        } else {
            assert_int_equal(clipstore_end(w->store, w->now_ns), 0);
        }
        assert_int_equal(sealed_of(w, &made[1][0]), 2);
        close_store(w);
        assert_sound(w);
        world_close(w);
    }
}

static void smash(struct world *w, const char *path, size_t at)
{
    int name = memfs_find(&w->fs.now, path);

    assert_true(name >= 0);
    struct memnode *node = &w->fs.nodes[w->fs.now.items[name].node];
    assert_true(at < node->size);
    for (size_t i = at; i < node->size && i < at + 4096; i++)
        node->data[i] ^= 0x5a;
}

/* The database is rebuilt from the segments: broken header, broken page, gone. */
static void test_database_is_rebuilt(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        struct world *w = world_open(1 << 20);
        struct outbox_books books;
        struct clipstore_stats stats;
        assert_int_equal(open_store(w), 0);
        for (unsigned clip = 0; clip < CLIPS; clip++)
            for (unsigned s = 0; s < segments_of(clip); s++)
                assert_int_equal(put_segment(w, &made[clip][s]), 0);
        close_store(w);
        if (way == 2)
            assert_int_equal(memfs_unlink(&w->fs, "/s/outbox.db"), 0);
        else
            smash(w, "/s/outbox.db", way == 0 ? 0 : 4096);
        assert_int_equal(open_store(w), 0);
        clipstore_stats(w->store, &stats);
        assert_int_equal(stats.adopted, 4);
        assert_int_equal(stats.rebuilt, way < 2);
        assert_int_equal(clipstore_books(w->store, &books), 0);
        assert_true(outbox_books_close(&books));
        assert_int_equal(books.pending, CLIPS);
        for (unsigned i = 0; i < w->acked_count; i++)
            assert_null(clip_problem(w, &w->acked[i]));
        if (way < 2)
            assert_true(memfs_find(&w->fs.now, "/s/outbox.db.quarantine-1") >= 0);
        world_close(w);
    }
}

/* A damaged orphan is set aside, a foreign file left alone; neighbours are unaffected. */
static void test_damaged_files_are_set_aside(void **state)
{
    struct world *w = world_open(1 << 20);
    struct clipstore_stats stats;
    char path[MEMFS_PATH];

    (void)state;
    plant_file(w, &made[0][0], ".rlc", made[0][0].size);
    plant_file(w, &made[2][0], ".rlc", made[2][0].size);
    plant_file(w, &made[1][1], ".rlc", made[1][1].size); /* segment 1 without segment 0 */
    assert_true(memfs_create(&w->fs, "/s/clips/notes.txt") >= 0);
    path_of(&made[0][0], ".rlc", path);
    smash(w, path, made[0][0].head_size + 100);
    assert_int_equal(open_store(w), 0);
    clipstore_stats(w->store, &stats);
    assert_int_equal(stats.adopted, 1);
    assert_int_equal(stats.quarantined, 2);
    assert_int_equal(stats.foreign, 1);
    path_of(&made[0][0], ".bad", path);
    assert_true(memfs_find(&w->fs.now, path) >= 0);
    world_close(w);
}

/* ---- Disks that fail at the start ---- */

/* Whatever operation fails while it opens, the store opens, works again within a turn after 10 s, and
 * has lost nothing. */
static void test_failing_disk_at_the_start_is_no_end(void **state)
{
    unsigned degraded = 0;

    (void)state;
    for (uint64_t n = 1;; n++) {
        struct world *w = world_open(1 << 20);
        struct clipstore_stats stats;
        plant_file(w, &made[0][0], ".open", made[0][0].group_end[0] + 10);
        w->fs.fail_with = EIO;
        w->fs.fail_at = w->fs.ops + n;
        assert_int_equal(open_store(w), 0);
        bool reached = w->fs.ops >= w->fs.fail_at;
        w->fs.fail_at = 0;
        clipstore_stats(w->store, &stats);
        degraded += stats.degraded;
        w->now_ns += 11 * S;
        turns(w);
        assert_int_equal(put_segment(w, &made[2][0]), 0);
        clipstore_stats(w->store, &stats);
        assert_false(stats.degraded);
        close_store(w);
        assert_int_equal(open_store(w), 0);
        assert_int_equal(sealed_of(w, &made[0][0]), 1);
        assert_int_equal(sealed_of(w, &made[2][0]), 1);
        world_close(w);
        if (!reached)
            break;
    }
    assert_true(degraded > 10);
}

/* One file that cannot be read costs that file: its neighbours, also its own segment 1, stay. */
static void test_unreadable_file_is_left_alone(void **state)
{
    struct world *w = world_open(1 << 20);
    struct clipstore_stats stats;
    char path[MEMFS_PATH];

    (void)state;
    plant_file(w, &made[0][0], ".rlc", made[0][0].size); /* node 0: never unreadable */
    plant_file(w, &made[1][0], ".open", made[1][0].size);
    plant_file(w, &made[1][1], ".rlc", made[1][1].size);
    path_of(&made[1][0], ".open", path);
    w->fs.unreadable = w->fs.now.items[memfs_find(&w->fs.now, path)].node;
    assert_int_equal(open_store(w), 0);
    clipstore_stats(w->store, &stats);
    assert_int_equal(stats.unread, 1);
    assert_true(stats.degraded);
    assert_int_equal(stats.quarantined, 0);
    assert_int_equal(sealed_of(w, &made[0][0]), 1);
    w->fs.unreadable = 0;
    close_store(w);
    assert_int_equal(open_store(w), 0);
    assert_int_equal(sealed_of(w, &made[1][0]), 2);
    clipstore_stats(w->store, &stats);
    assert_int_equal(stats.unread, 0);
    world_close(w);
}

/* A database that stays broken is not opened at every turn. */
static void test_reopening_backs_off(void **state)
{
    struct world *w = world_open(1 << 20);
    struct clipstore_stats stats;

    (void)state;
    w->fs.dead = true;
    assert_int_equal(open_store(w), 0);
    w->fs.dead = false;
    uint64_t before = w->fs.ops;
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(clipstore_turn(w->store, w->now_ns), 10 * S);
    assert_int_equal(w->fs.ops, before);
    w->now_ns = 10 * S;
    (void)clipstore_turn(w->store, w->now_ns);
    clipstore_stats(w->store, &stats);
    assert_false(stats.degraded);
    assert_int_equal(put_segment(w, &made[0][0]), 0);
    world_close(w);
}

/* ---- Quota ---- */

static void test_quota_evicts_by_priority_then_age(void **state)
{
    struct made clips[6];
    struct world *w;
    struct outbox_clip clip;
    struct outbox_books books;
    static const uint8_t priorities[6] = { 5, 2, 2, 7, 4, 1 };
    static const enum outbox_state want[6] = { OUTBOX_SEALED, OUTBOX_EVICTED, OUTBOX_EVICTED,
                                               OUTBOX_SEALED, OUTBOX_SEALED, 0 };
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        const struct made_config config = { .ordinal = 100 + i, .priority = priorities[i],
                                            .segments = 1, .groups = 4 };
        made_open(&clips[i], &config);
    }
    w = world_open((int64_t)clips[0].size * 7 / 2); /* three fit */
    assert_true(w->config.quota_bytes >= 65536);
    assert_int_equal(open_store(w), 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(put_segment(w, &clips[i]), 0);
    /* All that could go is more important: the newcomer is refused, and counted. */
    assert_int_equal(put_segment(w, &clips[5]), -ENOSPC);
    struct recorder_piece late = made_piece(&clips[5], 3);
    assert_int_equal(clipstore_put(w->store, &late, 0), -ECANCELED);
    for (unsigned i = 0; i < 6; i++) {
        int found = clipstore_find(w->store, clips[i].header.clip_id, &clip);
        assert_int_equal(found, want[i] != 0);
        if (found)
            assert_int_equal(clip.state, want[i]);
    }
    struct clipstore_stats stats;
    clipstore_stats(w->store, &stats);
    assert_int_equal(stats.clips_failed[CLIPSTORE_FAIL_QUOTA], 1);
    assert_int_equal(stats.evicted_now, 2);
    assert_true(stats.disk_bytes <= w->config.quota_bytes);
    assert_int_equal(clipstore_books(w->store, &books), 0);
    assert_true(outbox_books_close(&books));
    assert_int_equal(books.evicted, 2);
    for (unsigned i = 0; i < 6; i++)
        made_close(&clips[i]);
    world_close(w);
}

/* What the broker has goes before what nobody has; what is in flight stays. */
static void test_quota_spares_what_is_in_flight(void **state)
{
    struct made clips[4];
    struct world *w;
    struct outbox_clip clip;
    struct job job;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        const struct made_config config = { .ordinal = 200 + i, .priority = (uint8_t)(i == 0 ? 8 : 3),
                                            .segments = 1, .groups = 4 };
        made_open(&clips[i], &config);
    }
    w = world_open((int64_t)clips[0].size * 7 / 2);
    assert_int_equal(open_store(w), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(put_segment(w, &clips[i]), 0);
    struct outcome outcome = { .kind = OUTCOME_SENT };
    for (unsigned i = 0; i < 2; i++) { /* clip 0 acked, clip 1 in flight */
        assert_int_equal(clipstore_next_job(w->store, &job), 1);
        assert_memory_equal(job.final.about.clip_id, clips[i].header.clip_id, CLIP_ID_BYTES);
        memcpy(outcome.clip_id, clips[i].header.clip_id, CLIP_ID_BYTES);
        outcome.kind = OUTCOME_SENT;
        clipstore_outcome(w->store, &outcome, 0);
    }
    memcpy(outcome.clip_id, clips[0].header.clip_id, CLIP_ID_BYTES);
    outcome.kind = OUTCOME_ACKED;
    clipstore_outcome(w->store, &outcome, 0);
    assert_int_equal(put_segment(w, &clips[3]), 0);
    static const enum outbox_state want[4] = { OUTBOX_EVICTED, OUTBOX_SENT, OUTBOX_SEALED,
                                               OUTBOX_SEALED };
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(clipstore_find(w->store, clips[i].header.clip_id, &clip), 1);
        assert_int_equal(clip.state, want[i]);
    }
    assert_int_equal(clipstore_next_job(w->store, &job), 1);
    assert_int_equal(job.kind, JOB_CANCEL); /* the uploader would have asked about it */
    for (unsigned i = 0; i < 4; i++)
        made_close(&clips[i]);
    world_close(w);
}

/* The disk is full long before the quota: the same order of importance decides. */
static void test_full_disk_evicts_by_priority(void **state)
{
    static const uint8_t priorities[5] = { 5, 2, 7, 4, 1 };
    static const enum outbox_state want[5] = { OUTBOX_SEALED, OUTBOX_EVICTED, OUTBOX_SEALED,
                                               OUTBOX_EVICTED, 0 };
    struct world *w = world_open(1 << 30);
    struct made clips[6];
    struct outbox_clip clip;
    struct outbox_books books;

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        const struct made_config config = { .ordinal = 400 + i,
                                            .priority = i < 5 ? priorities[i] : 6,
                                            .segments = 1, .groups = 4 };
        made_open(&clips[i], &config);
    }
    w->fs.room_bytes = clips[0].size * 7 / 2; /* three fit */
    assert_int_equal(open_store(w), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(put_segment(w, &clips[i]), 0);
    assert_int_equal(put_segment(w, &clips[4]), -ENOSPC);
    assert_int_equal(put_segment(w, &clips[5]), 0); /* in the place of 4, lowest that is left */
    for (unsigned i = 0; i < 5; i++) {
        int found = clipstore_find(w->store, clips[i].header.clip_id, &clip);
        assert_int_equal(found, want[i] != 0);
        if (found)
            assert_int_equal(clip.state, want[i]);
        if (found && want[i] == OUTBOX_EVICTED)
            assert_string_equal(clip.reason, "the disk is full");
    }
    forget_acked(w);
    note_sealed(w, &clips[2]);
    note_sealed(w, &clips[5]); /* its bytes are whole although writes had stopped half way */
    assert_int_equal(clipstore_books(w->store, &books), 0);
    assert_true(outbox_books_close(&books));
    close_store(w);
    assert_sound(w);
    for (unsigned i = 0; i < 6; i++)
        made_close(&clips[i]);
    world_close(w);
}

/* The rest of a crash clip may not evict its own beginning: it would be sealed for nothing, and its
 * file would stay on the disk behind a row that says evicted. */
static void test_quota_spares_the_clip_being_written(void **state)
{
    struct made parts[2];
    struct outbox_clip clip;
    struct clipstore_stats stats;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const struct made_config config = { .ordinal = 300, .priority = 9, .segment = i,
                                            .segments = 2, .groups = 14, .seed = i };
        made_open(&parts[i], &config);
    }
    struct world *w = world_open((int64_t)parts[0].size * 3 / 2);
    assert_true(w->config.quota_bytes >= 65536);
    assert_int_equal(open_store(w), 0);
    assert_int_equal(put_segment(w, &parts[0]), 0);
    assert_int_equal(put_segment(w, &parts[1]), -ENOSPC);
    assert_int_equal(clipstore_find(w->store, parts[0].header.clip_id, &clip), 1);
    assert_int_equal(clip.state, OUTBOX_SEALED);
    assert_true(clip.on_disk);
    clipstore_stats(w->store, &stats);
    assert_int_equal(stats.clips_failed[CLIPSTORE_FAIL_QUOTA], 1);
    assert_int_equal(stats.disk_bytes, parts[0].size);
    for (unsigned i = 0; i < 2; i++)
        made_close(&parts[i]);
    world_close(w);
}

/* Flash writes: a day's budget stops ordinary clips, a crash may borrow half a day. */
static void test_flash_budget(void **state)
{
    struct world *w = world_open(1 << 20);
    struct clipstore_stats stats;

    (void)state;
    w->config.flash_bytes_per_day = 30000;
    assert_int_equal(open_store(w), 0);
    assert_int_equal(put_segment(w, &made[0][0]), 0);
    clipstore_stats(w->store, &stats);
    while (stats.flash_credit_bytes > 0) { /* commits cost too */
        clipstore_outcome(w->store, &(struct outcome){ .kind = OUTCOME_OFFSET }, w->now_ns);
        turns(w);
        clipstore_stats(w->store, &stats);
        w->now_ns = 0;
    }
    assert_int_equal(put_segment(w, &made[2][0]), -EDQUOT);
    assert_int_equal(put_segment(w, &made[1][0]), 0); /* priority 9 */
    close_store(w);
    assert_int_equal(open_store(w), 0); /* a restart gives no new credit */
    clipstore_stats(w->store, &stats);
    assert_true(stats.flash_credit_bytes < 0);
    world_close(w);
}

/* ---- Jobs and outcomes ---- */

static void test_receipt_of_another_hash_deletes_nothing(void **state)
{
    struct world *w = world_open(1 << 20);
    struct outbox_clip clip;
    struct job job;

    (void)state;
    assert_int_equal(open_store(w), 0);
    assert_int_equal(put_segment(w, &made[0][0]), 0);
    assert_int_equal(clipstore_next_job(w->store, &job), 1);
    assert_int_equal(job.artifact_count, 2); /* pack and database */
    struct outcome outcome = { .kind = OUTCOME_RECEIPTED };
    memcpy(outcome.clip_id, job.final.about.clip_id, CLIP_ID_BYTES);
    clipstore_outcome(w->store, &outcome, 0);
    turns(w);
    assert_int_equal(clipstore_find(w->store, outcome.clip_id, &clip), 1);
    assert_int_equal(clip.state, OUTBOX_SEALED);
    assert_true(clip.on_disk);
    world_close(w);
}

static void test_asked_for_what_is_gone(void **state)
{
    struct world *w = world_open(1 << 20);
    struct outcome outcome = { .kind = OUTCOME_UNKNOWN, .ask = 3, .pseudonym = "car-1" };
    struct job job;

    (void)state;
    assert_int_equal(open_store(w), 0);
    assert_int_equal(put_segment(w, &made[0][0]), 0);
    memcpy(outcome.clip_id, made[0][0].header.clip_id, CLIP_ID_BYTES);
    clipstore_outcome(w->store, &outcome, 0); /* still pending: it will be sent */
    assert_int_equal(clipstore_next_job(w->store, &job), 1);
    assert_int_equal(job.kind, JOB_CLIP);
    assert_int_equal(clipstore_drop(w->store, outcome.clip_id, OUTBOX_ERASED, "consent"), 0);
    assert_int_equal(clipstore_next_job(w->store, &job), 1);
    assert_int_equal(job.kind, JOB_CANCEL);
    clipstore_outcome(w->store, &outcome, 0);
    assert_int_equal(clipstore_next_job(w->store, &job), 1);
    assert_int_equal(job.kind, JOB_GONE);
    assert_int_equal(job.gone, WIRE_GONE_ERASED);
    assert_int_equal(job.gone_ask, 3);
    world_close(w);
}

static void test_parked_clip_waits_for_a_person(void **state)
{
    struct world *w = world_open(1 << 20);
    struct outcome outcome = { .kind = OUTCOME_PARKED, .reason = "too large" };
    struct outbox_clip clip;
    struct job job;

    (void)state;
    assert_int_equal(open_store(w), 0);
    assert_int_equal(put_segment(w, &made[0][0]), 0);
    assert_int_equal(put_segment(w, &made[2][0]), 0);
    assert_int_equal(clipstore_next_job(w->store, &job), 1);
    memcpy(outcome.clip_id, job.final.about.clip_id, CLIP_ID_BYTES);
    clipstore_outcome(w->store, &outcome, 0);
    assert_int_equal(clipstore_find(w->store, outcome.clip_id, &clip), 1);
    assert_int_equal(clip.state, OUTBOX_PARKED);
    assert_string_equal(clip.reason, "too large");
    assert_int_equal(clipstore_next_job(w->store, &job), 1); /* nothing behind it waits */
    assert_memory_not_equal(job.final.about.clip_id, outcome.clip_id, CLIP_ID_BYTES);
    assert_int_equal(clipstore_next_job(w->store, &job), 0);
    assert_int_equal(clipstore_unpark(w->store, made[1][0].header.clip_id), -ENOENT);
    assert_int_equal(clipstore_unpark(w->store, made[2][0].header.clip_id), -EPERM);
    assert_int_equal(clipstore_unpark(w->store, outcome.clip_id), 1);
    assert_int_equal(clipstore_next_job(w->store, &job), 1);
    assert_memory_equal(job.final.about.clip_id, outcome.clip_id, CLIP_ID_BYTES);
    for (unsigned i = 0; i < 3; i += 2) { /* NULL: all that are parked */
        memcpy(outcome.clip_id, made[i][0].header.clip_id, CLIP_ID_BYTES);
        clipstore_outcome(w->store, &outcome, 0);
    }
    assert_int_equal(clipstore_next_job(w->store, &job), 0);
    assert_int_equal(clipstore_unpark(w->store, NULL), 2);
    assert_int_equal(clipstore_unpark(w->store, NULL), 0);
    assert_int_equal(clipstore_next_job(w->store, &job), 1);
    world_close(w);
}

/* Clips that wait for a receipt, when the policy says that the broker's word is enough. */
static void test_change_of_policy_frees_what_is_acked(void **state)
{
    struct world *w = world_open(1 << 20);
    struct outbox_clip clip;
    struct job job;

    (void)state;
    assert_int_equal(open_store(w), 0);
    assert_int_equal(put_segment(w, &made[0][0]), 0);
    assert_int_equal(clipstore_next_job(w->store, &job), 1);
    struct outcome outcome = { .kind = OUTCOME_SENT };
    memcpy(outcome.clip_id, job.final.about.clip_id, CLIP_ID_BYTES);
    clipstore_outcome(w->store, &outcome, w->now_ns);
    outcome.kind = OUTCOME_ACKED;
    clipstore_outcome(w->store, &outcome, w->now_ns);
    close_store(w);
    w->config.delete_after = CLIPSTORE_DELETE_BROKER_ACK;
    assert_int_equal(open_store(w), 0);
    turns(w);
    assert_int_equal(clipstore_find(w->store, outcome.clip_id, &clip), 1);
    assert_int_equal(clip.state, OUTBOX_DELETABLE);
    assert_false(clip.on_disk);
    assert_int_equal(clipstore_next_job(w->store, &job), 0);
    world_close(w);
}

/* The rest of a clip that went meanwhile is worth nothing, and would stay on the disk for ever. */
static void test_rest_of_a_clip_that_went_is_refused(void **state)
{
    struct world *w = world_open(1 << 20);
    struct clipstore_stats stats;

    (void)state;
    assert_int_equal(open_store(w), 0);
    assert_int_equal(put_segment(w, &made[1][0]), 0);
    assert_int_equal(clipstore_drop(w->store, made[1][0].header.clip_id, OUTBOX_ERASED, "consent"),
                     0);
    assert_int_equal(put_segment(w, &made[1][1]), -ECANCELED);
    turns(w); /* and it is not closed by an empty segment either */
    assert_int_equal(sealed_of(w, &made[1][0]), 1);
    clipstore_stats(w->store, &stats);
    assert_int_equal(stats.clips_failed[CLIPSTORE_FAIL_QUOTA], 1);
    assert_int_equal(stats.disk_bytes, 0);
    world_close(w);
}

/* What was parked because its bytes are bad has nothing to send. */
static void test_damaged_clip_is_not_unparked(void **state)
{
    struct world *w = world_open(1 << 20);
    struct outbox_clip clip;
    char path[MEMFS_PATH];

    (void)state;
    assert_int_equal(open_store(w), 0);
    assert_int_equal(put_segment(w, &made[0][0]), 0);
    close_store(w);
    path_of(&made[0][0], ".rlc", path);
    w->fs.nodes[w->fs.now.items[memfs_find(&w->fs.now, path)].node].size--;
    assert_int_equal(open_store(w), 0);
    assert_int_equal(clipstore_find(w->store, made[0][0].header.clip_id, &clip), 1);
    assert_int_equal(clip.state, OUTBOX_PARKED);
    assert_int_equal(clipstore_unpark(w->store, made[0][0].header.clip_id), -EPERM);
    assert_int_equal(clipstore_unpark(w->store, NULL), 0);
    world_close(w);
}

/* An outcome that the database could not take is lost, but not its clip: it is handed out again. */
static void test_outcome_without_memory_keeps_no_slot(void **state)
{
    struct world *w = world_open(1 << 20);
    struct outcome outcome = { .kind = OUTCOME_RETRY };
    struct clipstore_stats stats;
    struct job job;

    (void)state;
    assert_int_equal(open_store(w), 0);
    assert_int_equal(put_segment(w, &made[0][0]), 0);
    assert_int_equal(clipstore_next_job(w->store, &job), 1);
    memcpy(outcome.clip_id, job.final.about.clip_id, CLIP_ID_BYTES);
    sqlite3_int64 limit = sqlite3_hard_heap_limit64(-1);
    (void)sqlite3_hard_heap_limit64(1);
    clipstore_outcome(w->store, &outcome, w->now_ns);
    (void)sqlite3_hard_heap_limit64(limit);
    clipstore_stats(w->store, &stats);
    assert_int_equal(stats.outcomes_ignored, 1);
    assert_int_equal(clipstore_next_job(w->store, &job), 1);
    assert_memory_equal(job.final.about.clip_id, outcome.clip_id, CLIP_ID_BYTES);
    world_close(w);
}

/* The uploader is told of every clip that goes, however many go at once. */
static void test_every_cancel_is_told(void **state)
{
    struct world *w = world_open(1 << 20);
    struct made clips[40];
    struct job job;
    unsigned cancels = 0;

    (void)state;
    assert_int_equal(open_store(w), 0);
    for (unsigned i = 0; i < 40; i++) {
        const struct made_config config = { .ordinal = 500 + i, .priority = 3, .segments = 1,
                                            .groups = 1 };
        made_open(&clips[i], &config);
        for (unsigned n = 0; n < clips[i].groups + 2; n++) {
            struct recorder_piece piece = made_piece(&clips[i], n);
            assert_int_equal(clipstore_put(w->store, &piece, 0), 0);
        }
    }
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(clipstore_next_job(w->store, &job), 1);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(clipstore_drop(w->store, clips[i].header.clip_id, OUTBOX_ERASED, ""), 0);
    while (clipstore_next_job(w->store, &job) == 1)
        cancels += job.kind == JOB_CANCEL;
    assert_int_equal(cancels, 40);
    for (unsigned i = 0; i < 40; i++)
        made_close(&clips[i]);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life_without_faults),
        cmocka_unit_test(test_syncs_of_a_segment),
        cmocka_unit_test(test_later_states_are_grouped),
        cmocka_unit_test(test_each_operation_fails_once),
        cmocka_unit_test(test_power_loss_after_each_operation),
        cmocka_unit_test(test_power_loss_while_evicting),
        cmocka_unit_test(test_recording_played_again_after_each_power_loss),
        cmocka_unit_test(test_planted_faults_are_caught),
        cmocka_unit_test(test_torn_segments_are_closed),
        cmocka_unit_test(test_lone_pre_roll_is_finished),
        cmocka_unit_test(test_torn_segments_of_the_running_recording_go),
        cmocka_unit_test(test_late_segment_completes_the_clip),
        cmocka_unit_test(test_lone_pre_roll_is_finished_in_a_turn),
        cmocka_unit_test(test_failing_disk_at_the_start_is_no_end),
        cmocka_unit_test(test_unreadable_file_is_left_alone),
        cmocka_unit_test(test_reopening_backs_off),
        cmocka_unit_test(test_database_is_rebuilt),
        cmocka_unit_test(test_damaged_files_are_set_aside),
        cmocka_unit_test(test_quota_evicts_by_priority_then_age),
        cmocka_unit_test(test_quota_spares_what_is_in_flight),
        cmocka_unit_test(test_quota_spares_the_clip_being_written),
        cmocka_unit_test(test_full_disk_evicts_by_priority),
        cmocka_unit_test(test_flash_budget),
        cmocka_unit_test(test_receipt_of_another_hash_deletes_nothing),
        cmocka_unit_test(test_asked_for_what_is_gone),
        cmocka_unit_test(test_parked_clip_waits_for_a_person),
        cmocka_unit_test(test_change_of_policy_frees_what_is_acked),
        cmocka_unit_test(test_rest_of_a_clip_that_went_is_refused),
        cmocka_unit_test(test_damaged_clip_is_not_unparked),
        cmocka_unit_test(test_outcome_without_memory_keeps_no_slot),
        cmocka_unit_test(test_every_cancel_is_told),
    };
    (void)sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0); /* so that a heap limit fails at once */
    return cmocka_run_group_tests(tests, make_all, free_all);
}
